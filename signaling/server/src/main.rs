//! `holdfast-signaling`: SIP in, recordings to the media engine.

use std::fs::File;
use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use holdfast_settings::{LogFormat, Settings};
use holdfast_signaling::{Reloader, Server, StartError, chain};
use holdfast_sip::Transport;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

/// The signaling process of a Holdfast session recording server.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The settings file.
    #[arg(long, default_value = "config/holdfast.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = match holdfast_settings::load_for_signaling(&arguments.config) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("holdfast-signaling: {}", chain(&error));
            return ExitCode::from(2);
        }
    };
    start_log(&settings);
    if !settings.node.core_dumps
        && let Err(error) = holdfast_seal::forbid_core_dumps()
    {
        error!(%error, "node.core_dumps = false cannot be had");
        return ExitCode::FAILURE;
    }
    raise_descriptor_limit();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever wrote the settings has to do something about it.
        Err(error) if matches!(error.downcast_ref(), Some(StartError::Files(_))) => {
            eprintln!("holdfast-signaling: {}", chain(error.as_ref()));
            ExitCode::from(2)
        }
        Err(error) => {
            error!(error = chain(error.as_ref()), "signaling does not run");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: &Settings) -> Result<(), Box<dyn std::error::Error>> {
    // Before anything else, so that no signal ends the process unheard.
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    let hangup = signal(SignalKind::hangup())?;
    let _lock = lock(settings)?;
    let server = Server::bind(settings)?;
    for (transport, address) in server.addresses() {
        let host = match reachable(*address) {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let port = address.port();
        match transport {
            // RFC 5630: that is what sips means; transport=tls is no more.
            Transport::Tls => info!(%address, "point an SRC to sips:{host}:{port}"),
            Transport::Udp | Transport::Tcp => {
                info!(%address, "point an SRC to sip:{host}:{port};transport={transport}");
            }
        }
    }
    tokio::spawn(reload(hangup, server.reloader()));
    server.run(stop(terminate, interrupt)).await;
    Ok(())
}

/// Two of them on one state would take each other's sockets.
fn lock(settings: &Settings) -> Result<Flock<File>, Box<dyn std::error::Error>> {
    let folder = &settings.node.state_dir;
    std::fs::create_dir_all(folder)?;
    let path = folder.join("signaling.lock");
    match Flock::lock(File::create(&path)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => {
            Err(format!("another signaling process uses {}", path.display()).into())
        }
        Err((_, error)) => Err(error.into()),
    }
}

/// Ready at the first SIGTERM or SIGINT. A second one ends the process at once.
async fn stop(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        warn!("told to stop twice: calls are left as they are");
        std::process::exit(1);
    });
}

/// SIGHUP: certificates and credentials are read again, settings are not.
async fn reload(mut hangup: Signal, reloader: Reloader) {
    while hangup.recv().await.is_some() {
        info!("reading certificates and credentials again; other settings are read at start");
        reloader.reload().await;
    }
}

/// An address under which others may find a socket: its own, or, where it listens on all, the one
/// that packets to elsewhere would leave from.
fn reachable(bound: SocketAddr) -> IpAddr {
    if !bound.ip().is_unspecified() {
        return bound.ip();
    }
    // Documentation addresses: nothing is sent.
    let (any, elsewhere, loopback): (IpAddr, IpAddr, IpAddr) = match bound {
        SocketAddr::V4(_) => (
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv4Addr::new(192, 0, 2, 1).into(),
            Ipv4Addr::LOCALHOST.into(),
        ),
        SocketAddr::V6(_) => (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::LOCALHOST.into(),
        ),
    };
    let local = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((elsewhere, 9))?;
        socket.local_addr()
    });
    local.map_or(loopback, |local| local.ip())
}

/// Each connection is a descriptor.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(%error, "the limit of open files stays as it is");
    }
}

fn start_log(settings: &Settings) {
    let filter = tracing_subscriber::EnvFilter::new(settings.log.level.as_str());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    match settings.log.format {
        LogFormat::Text => log.with_writer(std::io::stderr).init(),
        LogFormat::Json => log.with_writer(std::io::stderr).json().init(),
    }
}
