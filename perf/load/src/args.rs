//! The command line: what each subcommand takes, and how its values read.

use std::error::Error;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use holdfast_load::agent::Way;
use holdfast_load::arrivals::Arrivals;
use holdfast_load::invite::Codec;
use holdfast_load::limits;
use holdfast_load::media::PortRange;
use holdfast_load::tls::{Client, Versions};

/// Places SIPREC calls with verifiable media and checks every recording.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
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
pub(crate) struct CallsArgs {
    /// The server: HOST:PORT.
    #[arg(long, default_value = "127.0.0.1:5060", value_parser = resolve)]
    pub(crate) target: SocketAddr,
    /// Another server, HOST:PORT: when the first one has answered nothing for 2 s, the calls go on there
    /// by INVITE with Replaces.
    #[arg(long, value_parser = resolve, conflicts_with_all = ["verify", "srtp"])]
    pub(crate) standby: Option<SocketAddr>,
    /// How many calls.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::CALLS_MAX)))]
    pub(crate) calls: u32,
    /// New calls per second.
    #[arg(long, default_value_t = 20.0, value_parser = positive)]
    pub(crate) rate: f64,
    /// How they follow each other: at one distance, or as a Poisson process of that rate.
    #[arg(long, value_enum, default_value = "steady")]
    pub(crate) arrivals: ArrivalsArg,
    /// How long each call talks, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    #[command(flatten)]
    pub(crate) way: WayArgs,
    /// What the parties speak; mixed: the calls take all four in turn. G.722 and L16 (8,000 Hz) a recorder
    /// does not let be heard: it has to have kept each packet, as it was sent and in that order.
    #[arg(long, value_enum, default_value = "pcmu")]
    pub(crate) codec: CodecArg,
    /// Encrypts media (AES_CM_128_HMAC_SHA1_80, keys in the offers), with sequence numbers that wrap
    /// within each call. Over anything but TLS the server has to allow that.
    #[arg(long)]
    pub(crate) srtp: bool,
    /// User part of the Request-URI.
    #[arg(long, default_value = "srs")]
    pub(crate) user: String,
    /// Ports to send RTP from, FIRST-LAST; four a call.
    #[arg(long, default_value = "26000-31999", value_parser = port_range)]
    pub(crate) rtp_ports: PortRange,
    /// Folder with the published recordings.
    #[arg(long)]
    pub(crate) recordings: Option<PathBuf>,
    /// Check every recording in that folder: each sample and packet against what was sent, each file's
    /// SHA-256 against the manifest, names, ids and channels against the metadata that was given.
    #[arg(long, requires = "recordings")]
    pub(crate) verify: bool,
    /// The recorder is killed meanwhile: its BYEs may fail, and of the recordings every packet is
    /// counted, files and metadata are checked, and nothing else is looked at.
    #[arg(long, requires = "verify")]
    pub(crate) survivors: bool,
    /// Before its BYE each call has a re-INVITE and an UPDATE accepted, and the BYE may not fail either.
    #[arg(long)]
    pub(crate) prove_dialogs: bool,
    /// Streams of each call: with one, only the caller is recorded, and a call takes two sockets at either
    /// end in place of four.
    #[arg(long, default_value_t = 2, conflicts_with = "verify", value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) streams: u8,
    /// No media is sent.
    #[arg(long, conflicts_with = "verify")]
    pub(crate) silent: bool,
    /// Packets that a leg may have lost at most, all of them marked as an outage. For --survivors.
    #[arg(long, default_value_t = 0)]
    pub(crate) lost_max: u64,
    /// Make this file when all has been sent and each BYE has its answer.
    #[arg(long)]
    pub(crate) sent_file: Option<PathBuf>,
    /// How long to wait for the next recording to appear, in seconds.
    #[arg(long, default_value_t = 30)]
    pub(crate) publish_timeout: u64,
    /// Processes whose CPU time is divided by the packets sent: PID,PID.
    #[arg(long, value_delimiter = ',')]
    pub(crate) cpu_of: Vec<u32>,
    /// Write the distribution of INVITE to 200 here (.hgrm).
    #[arg(long)]
    pub(crate) hgrm: Option<PathBuf>,
    /// Fail where the 99th percentile of INVITE to 200 exceeds this many milliseconds.
    #[arg(long)]
    pub(crate) p99_max_ms: Option<f64>,
    /// Packets left out on purpose, in percent.
    #[arg(long, default_value = "0", value_parser = percent)]
    pub(crate) loss: u32,
    /// Packets sent twice on purpose, in percent.
    #[arg(long, default_value = "0", value_parser = percent)]
    pub(crate) duplicate: u32,
    /// Packets sent after their successor on purpose, in percent.
    #[arg(long, default_value = "0", value_parser = percent)]
    pub(crate) reorder: u32,
    /// Packets leave up to so many milliseconds late, in order all the same.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=limits::JITTER_MAX.as_millis() as u64))]
    pub(crate) jitter: u64,
    /// The parties speak in spurts of 1.5 s on average and send nothing for 1 s on average between them,
    /// as with silence suppression; the recording has to be silent there, and to miss nothing.
    #[arg(long)]
    pub(crate) talk_spurts: bool,
    /// The parties press keys, one every 2 s on average: telephone-events (RFC 4733) in the place of audio,
    /// that the manifest has to name.
    #[arg(long)]
    pub(crate) dtmf: bool,
    /// Decides on all that falls by chance: which packets are damaged or late, when calls come, when a
    /// party is silent, and which keys it presses.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Args)]
pub(crate) struct CompareArgs {
    /// A recording's audio.wav.
    #[arg(long)]
    pub(crate) wav: PathBuf,
    /// Which channel, from 0.
    #[arg(long)]
    pub(crate) channel: usize,
    /// The octets that were sent, without any header.
    #[arg(long)]
    pub(crate) raw: PathBuf,
}

#[derive(Args)]
pub(crate) struct HostileArgs {
    /// The server's UDP and TCP port: HOST:PORT, on the loopback.
    #[arg(long, value_parser = resolve)]
    pub(crate) target: SocketAddr,
    /// Its TLS port.
    #[arg(long, value_parser = resolve)]
    pub(crate) sips: SocketAddr,
    /// Garbage datagrams a second.
    #[arg(long, default_value_t = 50_000)]
    pub(crate) datagrams: u32,
    /// Connections held open without a request.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) half_open: u32,
    /// How long, in seconds.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u32,
}

#[derive(Args)]
pub(crate) struct IdleArgs {
    /// The server's TLS port: HOST:PORT.
    #[arg(long, value_parser = resolve)]
    pub(crate) target: SocketAddr,
    #[command(flatten)]
    pub(crate) way: WayArgs,
    /// How many connections.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) connections: usize,
    /// Whose memory is looked at: a PID.
    #[arg(long)]
    pub(crate) memory_of: u32,
    /// Fail where a connection takes more than this many octets of it.
    #[arg(long, default_value_t = 65_536)]
    pub(crate) octets_max: u64,
}

#[derive(Args)]
pub(crate) struct OptionsArgs {
    /// The server: HOST:PORT.
    #[arg(long, default_value = "127.0.0.1:5060", value_parser = resolve)]
    pub(crate) target: SocketAddr,
    #[command(flatten)]
    pub(crate) way: WayArgs,
    /// How long to wait for an answer, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) timeout_ms: u64,
}

#[derive(Args)]
pub(crate) struct WayArgs {
    #[arg(long, value_enum, default_value = "udp")]
    pub(crate) transport: TransportArg,
    /// Over TLS: the authority that the server's certificate comes from, PEM.
    #[arg(long)]
    pub(crate) ca: Option<PathBuf>,
    /// Over TLS: our certificate, PEM.
    #[arg(long, requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Over TLS: its key, PEM.
    #[arg(long, requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
}

impl WayArgs {
    pub(crate) fn way(&self) -> Result<Way, Box<dyn Error>> {
        Ok(match self.transport {
            TransportArg::Udp => Way::Udp,
            TransportArg::Tcp => Way::Tcp,
            TransportArg::Tls => Way::Tls(self.client()?),
        })
    }

    pub(crate) fn client(&self) -> Result<Client, Box<dyn Error>> {
        let read = |path: &Option<PathBuf>| path.as_ref().map(std::fs::read).transpose();
        let ca = read(&self.ca)?.ok_or("TLS needs --ca")?;
        let (certificate, key) = (read(&self.certificate)?, read(&self.key)?);
        let identity = certificate.as_deref().zip(key.as_deref());
        Ok(Client::new(&ca, identity, Versions::Both)?)
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum TransportArg {
    Udp,
    Tcp,
    Tls,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ArrivalsArg {
    Steady,
    Poisson,
}

impl From<ArrivalsArg> for Arrivals {
    fn from(arg: ArrivalsArg) -> Self {
        match arg {
            ArrivalsArg::Steady => Self::Steady,
            ArrivalsArg::Poisson => Self::Poisson,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CodecArg {
    Pcmu,
    Pcma,
    G722,
    L16,
    Mixed,
}

impl CodecArg {
    /// What the calls have in turn.
    pub(crate) fn codecs(self) -> Vec<Codec> {
        match self {
            Self::Pcmu => vec![Codec::Pcmu],
            Self::Pcma => vec![Codec::Pcma],
            Self::G722 => vec![Codec::G722],
            Self::L16 => vec![Codec::L16],
            Self::Mixed => vec![Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16],
        }
    }
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
