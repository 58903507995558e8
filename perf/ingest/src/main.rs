//! `holdfast-ingest`: loads a media engine with the packets of many calls, without signaling, and
//! tells what one of them costs it from the socket to the published recording. Given rtpengine's
//! control port instead, it does the same to that.

mod cpu;
mod engine;
mod road;
mod rtpengine;
mod sender;
mod signalled;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use holdfast_control::Stage;
use holdfast_load::audit::{Auditor, LOOK_INTERVAL, audit};
use holdfast_load::invite::Codec;
use holdfast_load::media::LegPlan;
use holdfast_load::pattern::LegKey;
use holdfast_load::srtp::SUITE;
use holdfast_load::stats;
use holdfast_load::verify::{CallTruth, LegTruth};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::cpu::{ThreadTimes, memory_kib};
use crate::engine::Engine;
use crate::road::Road;
use crate::rtpengine::Rtpengine;
use crate::sender::{PACKET_SIZE, PACKET_TIME, Target};

/// Loads a media engine with the packets of many two-party G.711 calls.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The engine's control socket; no signaling process may use it meanwhile.
    #[arg(long, required_unless_present_any = ["rtpengine", "sipp_log"])]
    control: Option<PathBuf>,
    /// Instead of an engine: rtpengine's control port, HOST:PORT.
    #[arg(long, requires = "pcaps", conflicts_with_all = ["control", "verify"])]
    rtpengine: Option<SocketAddr>,
    /// Folder of rtpengine's pcap files.
    #[arg(long)]
    pcaps: Option<PathBuf>,
    /// Instead of an engine alone: calls that SIPp places at a whole server. This is the log that
    /// SIPp writes for perf/steady/run; each call's packets leave, as frames, from the ports that it offered
    /// to those that were answered.
    #[arg(long, requires = "verify", conflicts_with_all = ["control", "rtpengine"])]
    sipp_log: Option<PathBuf>,
    /// With --sipp-log: how many of the calls are up at once.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    up: u32,
    /// With --sipp-log: removes each recording that is as it was sent.
    #[arg(long)]
    remove: bool,
    /// The process that is measured.
    #[arg(long)]
    pid: u32,
    /// Calls; each has two streams of 50 packets a second.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=999_999))]
    calls: u32,
    /// How long they are, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Port that packets are sent from.
    #[arg(long, default_value_t = 9_000)]
    from_port: u16,
    /// Sends frames at the loopback interface, as a network card would bring them, and not datagrams
    /// of a socket: costs the sender a third. The packet ring alone receives them; needs root.
    #[arg(long)]
    frames: bool,
    /// Seconds over which the calls come up.
    #[arg(long, default_value_t = 0)]
    ramp: u64,
    /// Encrypts the packets (AES_CM_128_HMAC_SHA1_80), each stream's with a key of its own; with --sipp-log it
    /// is the one that was offered, which the log has too.
    #[arg(long)]
    srtp: bool,
    /// The engine's node.key_file: what the keys of streams are sealed with.
    #[arg(long)]
    node_keys: Option<PathBuf>,
    /// Folder of the published recordings: each of them is compared with what was sent.
    #[arg(long)]
    verify: Option<PathBuf>,
    /// Write the distribution of the time from a packet's arrival until it is durable here (.hgrm).
    #[arg(long, requires = "control")]
    hgrm: Option<PathBuf>,
    /// Kills the process as soon as the last packet has left, in the middle of all calls.
    #[arg(long, conflicts_with = "sipp_log")]
    kill: bool,
    /// Sends nothing: an engine was started over what a killed one left, and nobody claims its
    /// recordings, so it publishes them; counts the packets in them.
    #[arg(long, requires = "control", conflicts_with_all = ["kill", "verify"])]
    left: bool,
}

impl Arguments {
    /// Octets of a packet as it leaves.
    fn packet_size(&self) -> usize {
        let tag = if self.srtp { SUITE.rtp_tag_size() } else { 0 };
        PACKET_SIZE + tag
    }

    fn ramp(&self) -> Duration {
        Duration::from_secs(self.ramp)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match (&arguments.control, arguments.rtpengine, &arguments.sipp_log) {
        (_, _, Some(log)) => load_server(&arguments, log),
        (_, Some(control), None) => load_rtpengine(&arguments, control),
        (Some(control), None, None) if arguments.left => count_left(control),
        (control, None, None) => {
            load_engine(&arguments, control.as_deref().unwrap_or(Path::new("")))
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            eprintln!("holdfast-ingest: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Loads rtpengine: no packet may be missing in its files.
fn load_rtpengine(arguments: &Arguments, control: SocketAddr) -> Result<bool, Box<dyn Error>> {
    let &Arguments {
        pid,
        calls,
        seconds,
        ..
    } = arguments;
    let mut road = Road::Socket(UdpSocket::bind(("127.0.0.1", arguments.from_port))?);
    // What it forwards is for nobody here.
    let sink = UdpSocket::bind(("127.0.0.1", 0))?;
    let memory_before = memory_kib(pid, "RssAnon")?;
    let mut rtpengine = Rtpengine::connect(control)?;
    let targets = rtpengine.begin(calls, sink.local_addr()?)?;
    let (count, total) = packets(&targets, seconds);
    let begun = ThreadTimes::of(pid)?;
    let sent = sender::send(&mut road, &targets, count, arguments.ramp(), |packets| {
        eprintln!("sent {packets} of {total}");
    })?;
    let pcaps = arguments.pcaps.as_deref().unwrap_or(Path::new(""));
    if arguments.kill {
        kill(pid)?;
        let on_disk = rtpengine::recorded_packets(pcaps)?;
        println!("calls={calls} packets_sent={total} packets_on_disk={on_disk}");
        return Ok(true);
    }
    let memory_full = memory_kib(pid, "RssAnon")?;
    rtpengine.end()?;
    // Its files are written by threads of their own.
    thread::sleep(Duration::from_secs(2));
    let used = ThreadTimes::of(pid)?.since(&begun).total();
    let recorded = rtpengine::recorded_packets(pcaps)?;
    println!(
        "calls={calls} seconds={seconds} packets_sent={total} packets_recorded={recorded} \
         published_ns_per_packet={} memory_per_stream_kib={} rate_per_s={:.0} \
         send_late_max_ms={:.1}",
        used.as_nanos() as u64 / recorded.max(1),
        memory_full.saturating_sub(memory_before) / targets.len() as u64,
        total as f64 / sent.took.as_secs_f64(),
        sent.late_max.as_secs_f64() * 1_000.0,
    );
    Ok(recorded == total)
}

/// Packets of each stream, and of all.
fn packets(targets: &[Target], seconds: u32) -> (u32, u64) {
    let count = seconds * (1_000 / PACKET_TIME.as_millis() as u32);
    (count, targets.len() as u64 * u64::from(count))
}

fn load_engine(arguments: &Arguments, control: &Path) -> Result<bool, Box<dyn Error>> {
    let &Arguments {
        pid,
        calls,
        seconds,
        ..
    } = arguments;
    let node_keys = match (&arguments.node_keys, arguments.srtp) {
        (Some(path), true) => Some(holdfast_seal::load_or_create(path)?),
        (None, true) => return Err("--srtp needs --node-keys here".into()),
        (_, false) => None,
    };
    let mut road = if arguments.frames {
        Road::frames(arguments.from_port, arguments.packet_size())?
    } else {
        Road::Socket(UdpSocket::bind(("127.0.0.1", arguments.from_port))?)
    };
    // Reports are for nobody here: what does not fit into the socket is dropped.
    let reports = UdpSocket::bind(("127.0.0.1", 0))?;
    let mut engine = Engine::connect(control)?;
    let memory_before = memory_kib(pid, "RssAnon")?;
    let targets = engine.begin(calls, reports.local_addr()?, node_keys.as_ref())?;
    eprintln!("{calls} calls are up, {} streams", targets.len());

    let (count, total) = packets(&targets, seconds);
    let begun = ThreadTimes::of(pid)?;
    let sent = sender::send(&mut road, &targets, count, arguments.ramp(), |packets| {
        eprintln!("sent {packets} of {total}");
    })?;
    if arguments.kill {
        kill(pid)?;
        println!("calls={calls} packets_sent={total}");
        return Ok(true);
    }
    engine.wait_for_packets(total)?;
    let received = ThreadTimes::of(pid)?.since(&begun);
    let memory_full = memory_kib(pid, "RssAnon")?;
    let latencies = engine.latencies()?;
    for (stage, values) in &latencies {
        let at = |quantile| f64::from(value_at(values, quantile)) / 1_000.0;
        let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
        eprintln!("{stage:?}: p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms");
    }
    if let Some(path) = &arguments.hgrm {
        fs::write(path, stats::hgrm(&histogram(&latencies[&Stage::Durable])))?;
    }
    let ending = Instant::now();
    engine.end(|published| eprintln!("published {published} of {calls}"))?;
    let published_after = ending.elapsed();
    let ended = ThreadTimes::of(pid)?.since(&begun);

    let packets: u64 = engine.published().map(|one| one.packets).sum();
    let lost: u64 = engine.published().map(|one| one.lost).sum();
    let per_packet = |time: Duration| time.as_nanos() as u64 / total;
    for (name, time) in ended.used() {
        let then = received.used().find(|(other, _)| *other == name);
        let then = then.map_or(0, |(_, time)| per_packet(time));
        eprintln!(
            "{name}: {} ns a packet, {then} while they came",
            per_packet(time)
        );
    }
    let shards = ended.used().filter(|(name, _)| name.starts_with("shard-"));
    let shard_ns: u64 = shards.map(|(_, time)| per_packet(time)).sum();
    let mut line = format!(
        "calls={calls} streams={} seconds={seconds} packets_sent={total} packets_recorded={packets} \
         packets_lost={lost} kernel_drops={} shard_ns_per_packet={shard_ns} \
         receive_ns_per_packet={} published_ns_per_packet={} \
         published_after_s={:.1} memory_per_stream_kib={} rate_per_s={:.0} send_late_max_ms={:.1}",
        targets.len(),
        engine.health().kernel_drops,
        per_packet(received.total()),
        per_packet(ended.total()),
        published_after.as_secs_f64(),
        memory_full.saturating_sub(memory_before) / targets.len() as u64,
        total as f64 / sent.took.as_secs_f64(),
        sent.late_max.as_secs_f64() * 1_000.0,
    );
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
        let millis = f64::from(value_at(&latencies[&Stage::Durable], quantile)) / 1_000.0;
        line.push_str(&format!(" durable_{name}_ms={millis:.1}"));
    }
    let mut is_right = packets == total && lost == 0;
    if let Some(folder) = &arguments.verify {
        let truths: Vec<CallTruth> = (0..calls).map(|call| truth(call, count)).collect();
        let audit = audit(folder, &truths, Duration::from_secs(30), |checked| {
            eprintln!("checked {checked} of {calls} recordings");
        })?;
        for problem in &audit.problems {
            eprintln!("{problem}");
        }
        line.push_str(&format!(
            " recordings={} packets_missing={} packets_wrong={} problems={}",
            audit.recordings, audit.packets_missing, audit.packets_wrong, audit.problem_count
        ));
        is_right &= audit.is_perfect();
    }
    println!("{line}");
    Ok(is_right)
}

/// Counts the packets of the recordings that a killed engine left to the one that runs now.
fn count_left(control: &Path) -> Result<bool, Box<dyn Error>> {
    let mut engine = Engine::connect(control)?;
    let held = engine.held();
    engine.wait_until_published(held, |published| {
        eprintln!("published {published} of {held}")
    })?;
    let packets: u64 = engine.published().map(|one| one.packets).sum();
    println!("recordings={held} packets_on_disk={packets}");
    Ok(true)
}

/// Kills a process and waits until its files are nobody's: until the last of its threads is gone, and
/// the first is a zombie or gone too.
fn kill(pid: u32) -> Result<(), Box<dyn Error>> {
    signal::kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)?;
    let process = PathBuf::from(format!("/proc/{pid}"));
    let threads = || fs::read_dir(process.join("task")).map_or(0, Iterator::count);
    let is_running =
        || fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while threads() > 1 || is_running() {
        thread::sleep(sender::SLEEP_MIN);
    }
    Ok(())
}

/// Sends the media of calls that SIPp places, and checks their recordings meanwhile.
fn load_server(arguments: &Arguments, log: &Path) -> Result<bool, Box<dyn Error>> {
    let &Arguments {
        pid,
        calls,
        seconds,
        up,
        remove,
        ..
    } = arguments;
    let folder = arguments.verify.clone().unwrap_or_default();
    let mut road = Road::frames(arguments.from_port, arguments.packet_size())?;
    let (ended, incoming) = mpsc::channel::<CallTruth>();
    let auditor = thread::Builder::new().name("audit".into()).spawn(move || {
        let mut auditor = Auditor::new(&folder, remove);
        let mut next_progress = Instant::now() + sender::PROGRESS_INTERVAL;
        loop {
            match incoming.recv_timeout(LOOK_INTERVAL) {
                Ok(truth) => auditor.expect(truth),
                Err(RecvTimeoutError::Timeout) => {
                    auditor.look()?;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= next_progress {
                auditor.look()?;
                eprintln!("checked {} recordings", auditor.checked());
                next_progress += sender::PROGRESS_INTERVAL;
            }
        }
        auditor.finish(Duration::from_secs(60), |checked| {
            eprintln!("checked {checked} recordings");
        })
    })?;
    let (count, _) = packets(&[], seconds);
    let begun = ThreadTimes::of(pid)?;
    let plan = signalled::Plan {
        calls,
        up,
        count,
        is_encrypted: arguments.srtp,
    };
    let sent = signalled::send(&mut road, log, &plan, ended, |up, ended, packets| {
        eprintln!("up {up}, ended {ended} of {calls}, sent {packets}");
    })?;
    let audit = auditor.join().map_err(|_| "the audit panicked")??;
    let used = ThreadTimes::of(pid)?.since(&begun).total();
    for problem in &audit.problems {
        eprintln!("{problem}");
    }
    println!(
        "calls={calls} answered={} up_max={} seconds={seconds} packets_sent={} recordings={} \
         packets_right={} packets_missing={} packets_wrong={} problems={} \
         published_ns_per_packet={} rate_per_s={:.0} send_late_max_ms={:.1}",
        sent.calls,
        sent.up_max,
        sent.packets,
        audit.recordings,
        audit.packets_right,
        audit.packets_missing,
        audit.packets_wrong,
        audit.problem_count,
        used.as_nanos() as u64 / sent.packets.max(1),
        sent.packets as f64 / sent.took.as_secs_f64(),
        sent.late_max.as_secs_f64() * 1_000.0,
    );
    Ok(sent.calls == calls
        && audit.recordings == u64::from(calls)
        && audit.packets_right == sent.packets
        && audit.is_perfect())
}

/// The same as a histogram of microseconds.
fn histogram(values: &BTreeMap<u32, u64>) -> Histogram<u64> {
    let mut histogram = stats::microseconds();
    for (&value, &count) in values {
        histogram.saturating_record_n(value.into(), count);
    }
    histogram
}

/// The value that this part of all values does not exceed.
fn value_at(values: &BTreeMap<u32, u64>, quantile: f64) -> u32 {
    let total: u64 = values.values().sum();
    let wanted = (total as f64 * quantile).ceil() as u64;
    let mut seen = 0;
    let found = values.iter().find(|&(_, count)| {
        seen += count;
        seen >= wanted
    });
    found.map_or(0, |(&value, _)| value)
}

fn truth(call: u32, slots: u32) -> CallTruth {
    let leg = |leg: u8| LegTruth {
        label: engine::label(leg),
        plan: LegPlan::plain(LegKey { call, leg }, Codec::Pcmu, slots),
    };
    CallTruth {
        call_id: engine::call_id(call),
        legs: vec![leg(0), leg(1)],
        // No client has given any.
        metadata: None,
    }
}
