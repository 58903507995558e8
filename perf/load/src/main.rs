//! `holdfast-load`: places calls, checks recordings, asks a server whether it is there.

use std::error::Error;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand, ValueEnum};
use holdfast_load::agent::{Agent, Way};
use holdfast_load::audit::{Audit, audit};
use holdfast_load::hostile::{Assault, carry_out};
use holdfast_load::invite::Codec;
use holdfast_load::media::{Impairment, PortRange, raise_open_files};
use holdfast_load::run::{Progress, RunPlan, RunReport, run};
use holdfast_load::survivors::{Survivors, check_survivors};
use holdfast_load::tls::{Client, Versions};
use holdfast_load::uac::Event;
use holdfast_load::verify::find;
use holdfast_load::wav::Wav;
use holdfast_load::{limits, stats};

/// Places SIPREC calls with verifiable media and checks every recording.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Place calls; exit 0 only where every call and every recording is right.
    Calls(Box<CallsArgs>),
    /// Look for raw G.711 octets in one channel of a WAV file; exit 0 only where all are there.
    Compare(CompareArgs),
    /// Do to a server on this machine what somebody who means harm would do.
    Hostile(HostileArgs),
    /// Open TLS connections that say nothing, and hold them; exit 0 only where all stay open.
    Idle(IdleArgs),
    /// Send OPTIONS; exit 0 only where the server answers with a 2xx.
    Options(OptionsArgs),
}

#[derive(Args)]
struct CallsArgs {
    /// The server: HOST:PORT.
    #[arg(long, default_value = "127.0.0.1:5060", value_parser = resolve)]
    target: SocketAddr,
    /// Another server, HOST:PORT: when the first one has answered nothing for 2 s, the calls go on there
    /// by INVITE with Replaces.
    #[arg(long, value_parser = resolve, conflicts_with_all = ["verify", "srtp"])]
    standby: Option<SocketAddr>,
    /// How many calls.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::CALLS_MAX)))]
    calls: u32,
    /// New calls per second.
    #[arg(long, default_value_t = 20.0, value_parser = positive)]
    rate: f64,
    /// How long each call talks, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    #[command(flatten)]
    way: WayArgs,
    #[arg(long, value_enum, default_value = "pcmu")]
    codec: CodecArg,
    /// Encrypts media (AES_CM_128_HMAC_SHA1_80, keys in the offers), with sequence numbers that wrap
    /// within each call. Over anything but TLS the server has to allow that.
    #[arg(long)]
    srtp: bool,
    /// User part of the Request-URI.
    #[arg(long, default_value = "srs")]
    user: String,
    /// Ports to send RTP from, FIRST-LAST; four a call.
    #[arg(long, default_value = "26000-31999", value_parser = port_range)]
    rtp_ports: PortRange,
    /// Folder with the published recordings.
    #[arg(long)]
    recordings: Option<PathBuf>,
    /// Check every recording in that folder against what was sent.
    #[arg(long, requires = "recordings")]
    verify: bool,
    /// The recorder is killed meanwhile: its BYEs may fail, and of the recordings every packet is
    /// counted and nothing else looked at.
    #[arg(long, requires = "verify")]
    survivors: bool,
    /// Before its BYE each call has a re-INVITE and an UPDATE accepted, and the BYE may not fail either.
    #[arg(long)]
    prove_dialogs: bool,
    /// Streams of each call: with one, only the caller is recorded, and a call takes two sockets at either
    /// end in place of four.
    #[arg(long, default_value_t = 2, conflicts_with = "verify", value_parser = clap::value_parser!(u8).range(1..=2))]
    streams: u8,
    /// No media is sent.
    #[arg(long, conflicts_with = "verify")]
    silent: bool,
    /// Packets that a leg may have lost at most, all of them marked as an outage. For --survivors.
    #[arg(long, default_value_t = 0)]
    lost_max: u64,
    /// Make this file when all has been sent and each BYE has its answer.
    #[arg(long)]
    sent_file: Option<PathBuf>,
    /// How long to wait for the next recording to appear, in seconds.
    #[arg(long, default_value_t = 30)]
    publish_timeout: u64,
    /// Processes whose CPU time is divided by the packets sent: PID,PID.
    #[arg(long, value_delimiter = ',')]
    cpu_of: Vec<u32>,
    /// Write the distribution of INVITE to 200 here (.hgrm).
    #[arg(long)]
    hgrm: Option<PathBuf>,
    /// Fail where the 99th percentile of INVITE to 200 exceeds this many milliseconds.
    #[arg(long)]
    p99_max_ms: Option<f64>,
    /// Packets left out on purpose, in percent.
    #[arg(long, default_value = "0", value_parser = percent)]
    loss: u32,
    /// Packets sent twice on purpose, in percent.
    #[arg(long, default_value = "0", value_parser = percent)]
    duplicate: u32,
    /// Packets sent after their successor on purpose, in percent.
    #[arg(long, default_value = "0", value_parser = percent)]
    reorder: u32,
    /// Decides which packets are damaged.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args)]
struct CompareArgs {
    /// A recording's audio.wav.
    #[arg(long)]
    wav: PathBuf,
    /// Which channel, from 0.
    #[arg(long)]
    channel: usize,
    /// The octets that were sent, without any header.
    #[arg(long)]
    raw: PathBuf,
}

#[derive(Args)]
struct HostileArgs {
    /// The server's UDP and TCP port: HOST:PORT, on the loopback.
    #[arg(long, value_parser = resolve)]
    target: SocketAddr,
    /// Its TLS port.
    #[arg(long, value_parser = resolve)]
    sips: SocketAddr,
    /// Garbage datagrams a second.
    #[arg(long, default_value_t = 50_000)]
    datagrams: u32,
    /// Connections held open without a request.
    #[arg(long, default_value_t = 2_000)]
    half_open: u32,
    /// How long, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

#[derive(Args)]
struct IdleArgs {
    /// The server's TLS port: HOST:PORT.
    #[arg(long, value_parser = resolve)]
    target: SocketAddr,
    #[command(flatten)]
    way: WayArgs,
    /// How many connections.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Whose memory is looked at: a PID.
    #[arg(long)]
    memory_of: u32,
    /// Fail where a connection takes more than this many octets of it.
    #[arg(long, default_value_t = 65_536)]
    octets_max: u64,
}

#[derive(Args)]
struct OptionsArgs {
    /// The server: HOST:PORT.
    #[arg(long, default_value = "127.0.0.1:5060", value_parser = resolve)]
    target: SocketAddr,
    #[command(flatten)]
    way: WayArgs,
    /// How long to wait for an answer, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    timeout_ms: u64,
}

#[derive(Args)]
struct WayArgs {
    #[arg(long, value_enum, default_value = "udp")]
    transport: TransportArg,
    /// Over TLS: the authority that the server's certificate comes from, PEM.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Over TLS: our certificate, PEM.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Over TLS: its key, PEM.
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
}

impl WayArgs {
    fn way(&self) -> Result<Way, Box<dyn Error>> {
        Ok(match self.transport {
            TransportArg::Udp => Way::Udp,
            TransportArg::Tcp => Way::Tcp,
            TransportArg::Tls => Way::Tls(self.client()?),
        })
    }

    fn client(&self) -> Result<Client, Box<dyn Error>> {
        let read = |path: &Option<PathBuf>| path.as_ref().map(std::fs::read).transpose();
        let ca = read(&self.ca)?.ok_or("TLS needs --ca")?;
        let (certificate, key) = (read(&self.certificate)?, read(&self.key)?);
        let identity = certificate.as_deref().zip(key.as_deref());
        Ok(Client::new(&ca, identity, Versions::Both)?)
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum TransportArg {
    Udp,
    Tcp,
    Tls,
}

#[derive(Clone, Copy, ValueEnum)]
enum CodecArg {
    Pcmu,
    Pcma,
}

impl From<CodecArg> for Codec {
    fn from(arg: CodecArg) -> Self {
        match arg {
            CodecArg::Pcmu => Self::Pcmu,
            CodecArg::Pcma => Self::Pcma,
        }
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Calls(args) => calls(&args),
        Command::Compare(args) => compare(&args),
        Command::Hostile(args) => hostile(&args),
        Command::Idle(args) => idle(&args),
        Command::Options(args) => options(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("holdfast-load: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<bool, Box<dyn Error>>;

fn calls(args: &CallsArgs) -> Outcome {
    let plan = RunPlan {
        target: args.target,
        standby: args.standby,
        way: args.way.way()?,
        user: args.user.clone(),
        run: run_name(),
        calls: args.calls,
        rate: args.rate,
        talk: Duration::from_secs(args.seconds.into()),
        codec: args.codec.into(),
        ports: args.rtp_ports.clone(),
        impairment: Impairment {
            loss_ppm: args.loss,
            duplicate_ppm: args.duplicate,
            reorder_ppm: args.reorder,
            seed: args.seed,
        },
        is_encrypted: args.srtp,
        may_be_forgotten: args.survivors && !args.prove_dialogs,
        proves_dialogs: args.prove_dialogs,
        is_silent: args.silent,
        streams: args.streams,
    };
    raise_open_files()?;
    let cpu_before = cpu_time(&args.cpu_of)?;
    let report = run(plan, |progress: &Progress| {
        let Progress {
            placed,
            up,
            ended,
            failed,
        } = progress;
        eprintln!(
            "placed {placed} of {}, up {up}, ended {ended}, failed {failed}",
            args.calls
        );
    })?;
    let cpu = cpu_time(&args.cpu_of)?.saturating_sub(cpu_before);
    if let Some(path) = &args.hgrm {
        std::fs::write(path, stats::hgrm(&report.invite_us))?;
    }
    if let Some(path) = &args.sent_file {
        std::fs::write(path, "")?;
    }
    for (call, reason) in report.failures.iter().take(limits::PROBLEMS_SHOWN_MAX) {
        eprintln!("call {call} failed: {reason}");
    }
    if let (Some(folder), true) = (&args.recordings, args.survivors) {
        return survivors(args, folder, &report);
    }
    let checked = match (&args.recordings, args.verify) {
        (Some(folder), true) => Some(check(folder, &report, args.publish_timeout)?),
        _ => None,
    };
    println!("{}", figures(args, &report, checked.as_ref(), cpu));
    let fast_enough = args
        .p99_max_ms
        .is_none_or(|max| stats::milliseconds(&report.invite_us, 0.99) <= max);
    Ok(report.failures.is_empty()
        && (!args.prove_dialogs || report.dialogs_proved == args.calls)
        && report.send_failures == 0
        && fast_enough
        && checked.is_none_or(|audit| audit.is_perfect()))
}

fn survivors(args: &CallsArgs, folder: &Path, report: &RunReport) -> Outcome {
    let total = report.truths.len();
    let timeout = Duration::from_secs(args.publish_timeout);
    let found = check_survivors(folder, &report.truths, timeout, |checked| {
        eprintln!("checked {checked} of {total} recordings");
    })?;
    for problem in &found.problems {
        eprintln!("{problem}");
    }
    let Survivors {
        recordings,
        right,
        lost,
        lost_max,
        unmarked,
        twice,
        undecryptable,
        wrong,
        problem_count,
        ..
    } = found;
    let (calls, failed, sent) = (args.calls, report.failures.len(), report.packets_sent);
    let (send_failures, proved) = (report.send_failures, report.dialogs_proved);
    println!(
        "calls={calls} failed={failed} dialogs_proved={proved} packets_sent={sent} \
         send_failures={send_failures} recordings={recordings} packets_right={right} lost={lost} lost_max={lost_max} \
         unmarked={unmarked} twice={twice} wrong={wrong} \
         undecryptable={undecryptable} problems={problem_count} \
         send_late_max_ms={:.3}",
        stats::milliseconds(&report.lateness_us, 1.0),
    );
    Ok(failed == 0
        && (!args.prove_dialogs || proved == calls)
        && send_failures == 0
        && recordings == u64::from(calls)
        && lost_max <= args.lost_max
        && unmarked + twice + wrong + undecryptable == 0)
}

fn check(folder: &Path, report: &RunReport, timeout: u64) -> Result<Audit, Box<dyn Error>> {
    let total = report.truths.len();
    let timeout = Duration::from_secs(timeout);
    let audit = audit(folder, &report.truths, timeout, |checked| {
        eprintln!("checked {checked} of {total} recordings");
    })?;
    for problem in &audit.problems {
        eprintln!("{problem}");
    }
    let more = audit.problem_count - audit.problems.len() as u64;
    if more > 0 {
        eprintln!("and {more} more");
    }
    let verdict = if audit.is_perfect() {
        "bit-exact, nothing missing"
    } else {
        "NOT as sent"
    };
    eprintln!("{} recordings: {verdict}", audit.recordings);
    Ok(audit)
}

fn figures(args: &CallsArgs, report: &RunReport, audit: Option<&Audit>, cpu: Duration) -> String {
    let unchecked = || "unchecked".to_owned();
    let or_unchecked =
        |number: fn(&Audit) -> u64| audit.map_or_else(unchecked, |a| number(a).to_string());
    let invite = |quantile| stats::milliseconds(&report.invite_us, quantile);
    let mut line = format!(
        "calls={} failed={} dialogs_proved={} moved={} answered_per_second={:.1} concurrent_max={} packets_sent={} send_failures={} recordings={} \
         packets_missing={} packets_wrong={} problems={} invite_200_p50_ms={:.3} \
         invite_200_p99_ms={:.3} invite_200_max_ms={:.3} rtcp_reports={} \
         streams_without_report={} send_late_p99_ms={:.3} send_late_max_ms={:.3}",
        args.calls,
        report.failures.len(),
        report.dialogs_proved,
        report.moved,
        report.answered_per_second,
        report.concurrent_max,
        report.packets_sent,
        report.send_failures,
        or_unchecked(|audit| audit.recordings),
        or_unchecked(|audit| audit.packets_missing),
        or_unchecked(|audit| audit.packets_wrong),
        or_unchecked(|audit| audit.problem_count),
        invite(0.5),
        invite(0.99),
        invite(1.0),
        report.reports,
        report.streams_without_report,
        stats::milliseconds(&report.lateness_us, 0.99),
        stats::milliseconds(&report.lateness_us, 1.0),
    );
    if !args.cpu_of.is_empty() {
        let per_packet = cpu.as_nanos() / u128::from(report.packets_sent.max(1));
        line.push_str(&format!(
            " engine_cpu_ms={} engine_ns_per_packet={per_packet}",
            cpu.as_millis()
        ));
    }
    line
}

fn compare(args: &CompareArgs) -> Outcome {
    let wav = Wav::open(&args.wav)?;
    let sent = std::fs::read(&args.raw)?;
    let samples = wav
        .channels
        .get(args.channel)
        .ok_or("the file has no such channel")?;
    // Sound may begin with silence, which is everywhere: look for all of it at once.
    let found = find(samples, &sent);
    let rate = f64::from(wav.rate);
    let (seconds, name) = (sent.len() as f64 / rate, wav.codec.name());
    match found {
        Some(at) => println!(
            "channel {}: all {} {name} samples ({seconds:.2} s) are there, bit-exact, from {:.3} s on",
            args.channel,
            sent.len(),
            at as f64 / rate
        ),
        None => println!(
            "channel {}: the {} samples sent are NOT there",
            args.channel,
            sent.len()
        ),
    }
    Ok(found.is_some() && !sent.is_empty())
}

fn hostile(args: &HostileArgs) -> Outcome {
    raise_open_files()?;
    let done = carry_out(&Assault {
        target: args.target,
        sips: args.sips,
        datagrams: args.datagrams,
        half_open: args.half_open,
        duration: Duration::from_secs(args.seconds.into()),
    })?;
    println!(
        "garbage={} half_open={} connections_opened={} endless_bodies={} endless_octets={} bombs={}",
        done.datagrams,
        args.half_open,
        done.connections,
        done.endless,
        done.endless_octets,
        done.bombs
    );
    Ok(true)
}

fn idle(args: &IdleArgs) -> Outcome {
    raise_open_files()?;
    let client = args.way.client()?;
    let before = stats::memory(args.memory_of)?;
    let mut open = Vec::new();
    for number in 1..=args.connections {
        open.push(client.connect(args.target, Duration::from_secs(10))?);
        if number % 1_000 == 0 {
            eprintln!("{number} of {} connections are open", args.connections);
        }
    }
    // The last handshakes have left what they needed.
    std::thread::sleep(Duration::from_secs(2));
    let after = stats::memory(args.memory_of)?;
    let each = after.saturating_sub(before) / (args.connections as u64).max(1);
    let mut closed = 0;
    for stream in &mut open {
        closed += u32::from(stream.is_closed());
    }
    println!(
        "connections={} closed={closed} memory_before={before} memory_after={after} \
         octets_per_connection={each}",
        args.connections
    );
    Ok(closed == 0 && each <= args.octets_max)
}

fn options(args: &OptionsArgs) -> Outcome {
    let mut agent = Agent::connect(args.target, &args.way.way()?, &run_name(), "")?;
    agent.options(0)?;
    match agent.wait_for(0, Duration::from_millis(args.timeout_ms))? {
        Event::Accepted { took, .. } => {
            println!(
                "{} answered OPTIONS in {:.1} ms",
                args.target,
                took.as_secs_f64() * 1_000.0
            );
            Ok(true)
        }
        Event::Refused { response, .. } => {
            println!(
                "{} answered OPTIONS with {}",
                args.target,
                response.status().unwrap_or(0)
            );
            Ok(false)
        }
        Event::TimedOut { .. } | Event::HungUp { .. } => Ok(false),
    }
}

/// Distinguishes this run from every other on this machine.
fn run_name() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("load{:x}p{}", now.as_millis(), std::process::id())
}

fn cpu_time(pids: &[u32]) -> std::io::Result<Duration> {
    pids.iter().map(|&pid| stats::cpu_time(pid)).sum()
}

fn resolve(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses
        .next()
        .ok_or_else(|| format!("{text} has no address"))
}

fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
    (0.01..=10_000.0)
        .contains(&value)
        .then_some(value)
        .ok_or("0.01 to 10000".to_owned())
}

fn percent(text: &str) -> Result<u32, String> {
    let value: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
    let ppm = (0.0..=30.0)
        .contains(&value)
        .then_some((value * 10_000.0) as u32);
    ppm.ok_or("0 to 30 percent".to_owned())
}

fn port_range(text: &str) -> Result<PortRange, String> {
    let (first, last) = text.split_once('-').ok_or("FIRST-LAST")?;
    let port = |text: &str| {
        text.parse::<u16>()
            .map_err(|_| format!("{text} is no port"))
    };
    PortRange::new(port(first)?, port(last)?).map_err(|error| error.to_string())
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
