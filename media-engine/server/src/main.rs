//! The media engine: receives RTP on a slice of the port range per core, keeps every packet in a
//! journal before anything else happens to it, and publishes recordings.
//!
//! This crate is a shell: it moves packets, bytes and time to the shards, which decide.
//!
//! ```text
//!   control ◄─► shard-0 … (glommio, pinned) ─► disk-0 … ─► publish-0 …
//! ```

mod block;
mod calls;
mod control;
mod disk;
mod drop_rule;
mod endings;
mod figures;
mod incoming;
mod ingest;
mod intake;
mod kept_blocks;
mod kept_rings;
mod kept_sockets;
mod known;
mod publish;
mod quarantine;
mod recovery;
mod rings;
mod segment_files;
mod segments;
mod shard_loop;
mod supervisor;
#[cfg(test)]
mod testing;
mod track_files;
mod troubles;

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use crossbeam_channel::{bounded, unbounded};
use holdfast_control::ShardPorts;
use holdfast_journal::{Shard, WriterConfig};
use holdfast_lifeline::{Kept, Lifeline};
use holdfast_rtp::{GuardConfig, SourcePolicy};
use holdfast_settings::{LoadError, LogFormat, Settings};
use holdfast_shard::{KeyRing, ShardConfig};
use holdfast_sys::clock;
use holdfast_sys::seqpacket::Listener;
use holdfast_units::SrtpSuite;
use tracing::{error, info, warn};

use crate::control::{Control, wait_until};
use crate::drop_rule::DropRule;
use crate::figures::EngineFigures;
use crate::incoming::Incoming;
use crate::ingest::ShardIngest;
use crate::kept_blocks::KeptBlocks;
use crate::publish::Publisher;
use crate::shard_loop::{BLOCK_SIZE, ShardSetup};
use crate::troubles::Troubles;

/// The media engine of Holdfast, a SIPREC session recording server.
#[derive(Parser)]
#[command(name = "holdfast-media", version)]
struct Arguments {
    /// Settings file.
    #[arg(long, value_name = "FILE", default_value = "config/holdfast.toml")]
    config: PathBuf,
    /// Goes on though node.key_file no longer has the key that running calls were sealed with: their
    /// encrypted packets, from the last two seconds before the former process ended on, are kept as
    /// they came.
    #[arg(long)]
    without_lost_keys: bool,
}

/// Descriptors that are kept for signaling: its listening sockets.
const SIGNALING_DESCRIPTORS_MAX: usize = 64;

/// How long the end of this process waits for signaling to let go of what it kept.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{0}")]
    Settings(LoadError),
    #[error("{path}")]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("another media engine uses {path}")]
    Running { path: PathBuf },
    #[error("node.key_file")]
    Keys(#[source] holdfast_seal::KeyFileError),
    #[error("the control socket {path}")]
    Socket {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("recovering what was recorded before")]
    Recover(#[source] recovery::RecoverError),
    #[error("starting a thread")]
    Thread(#[source] std::io::Error),
    #[error("no shard could start: see above")]
    NoShard,
    #[error("media.ingest = \"packet-ring\" cannot be had")]
    Ring(#[source] rings::RingsError),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = match holdfast_settings::load(&arguments.config) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!(
                "holdfast-media: {}",
                disk::chain(&StartError::Settings(error))
            );
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
    match run(&settings, arguments.without_lost_keys) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = disk::chain(&error), "the media engine does not run");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings, without_lost_keys: bool) -> Result<(), StartError> {
    raise_descriptor_limit();
    for folder in [
        &settings.node.state_dir,
        &settings.journal.dir,
        &settings.recordings.dir,
        &settings.recordings.incoming_dir,
    ] {
        fs::create_dir_all(folder).map_err(|source| StartError::Folder {
            path: folder.clone(),
            source,
        })?;
    }
    let _lock = lock(&settings.node.state_dir.join("engine.lock"))?;
    let node_keys = holdfast_seal::load_or_create(&settings.node.key_file);
    let keys = KeyRing::new(node_keys.map_err(StartError::Keys)?);
    let slices = slices(settings);
    let shard_count = slices.len() as u64;
    let (lifeline, mut kept) = lifelines(settings)?;
    let kept_blocks = KeptBlocks::pick(&mut kept);
    // Before anything that takes time: what arrives meanwhile waits in the rings.
    let mut ingests =
        ingest::choose(settings, &slices, kept, &lifeline).map_err(StartError::Ring)?;
    let state_dir = &settings.node.state_dir;
    let mut passed_over = ingests.set_aside(state_dir).into_iter();
    let shards = RefCell::new(ingests.shards);
    let incoming = Incoming::new(settings.recordings.incoming_dir.clone());
    let recovered = recovery::recover(&recovery::Settings {
        journal_dir: &settings.journal.dir,
        incoming: &incoming,
        segment_size: settings.journal.segment_size,
        keys: &keys,
        without_lost_keys,
        slices: &slices,
        leftovers: &ingests.leftovers,
        kept_blocks: &kept_blocks,
        has_lost: &|shard| {
            shards
                .borrow_mut()
                .get_mut(shard)
                .is_none_or(ShardIngest::has_lost)
        },
    })
    .map_err(StartError::Recover)?;
    let troubles = Troubles::default();
    let publisher = Publisher::new(
        incoming.clone(),
        settings.node.name.clone(),
        &settings.recordings,
        troubles.clone(),
    );
    let (publish, publishers) =
        disk::start_publishers(settings.recordings.publish_threads, &publisher)
            .map_err(StartError::Thread)?;
    let (event_sender, events) = unbounded();
    let (ready_sender, ready) = bounded(slices.len());
    let stop = Arc::new(AtomicBool::new(false));
    let goes_on = Arc::new(AtomicBool::new(false));
    let (mut commands, mut threads) = (Vec::new(), Vec::new());
    for ((index, one), ingest) in recovered.into_iter().enumerate().zip(shards.into_inner()) {
        let (command_sender, command_queue) = unbounded();
        let checkpoint = recovery::checkpoint_path(&settings.journal.dir, index as u16);
        let disk = disk::start(
            index,
            shard_count,
            &incoming,
            checkpoint,
            &publish,
            &troubles,
        )
        .map_err(StartError::Thread)?;
        let setup = ShardSetup {
            core: settings.media.cores[index] as usize,
            config: shard_config(settings, index as u16, slices[index]),
            journal: writer_config(settings, index as u16, &one),
            journal_dir: settings.journal.dir.clone(),
            recovered: one,
            tick: settings.media.tick,
            packet_size_max: settings.media.packet_size_max as usize,
            ingest,
            passed_over: passed_over.next().unwrap_or_default(),
            lifeline: lifeline.clone(),
            commands: command_queue,
            events: event_sender.clone(),
            disk,
            calls: incoming.calls().clone(),
            stop: stop.clone(),
            goes_on: goes_on.clone(),
            ready: ready_sender.clone(),
        };
        threads.push(shard_loop::start(setup).map_err(StartError::Thread)?);
        commands.push(command_sender);
    }
    drop((event_sender, ready_sender, publish));
    for _ in 0..threads.len() {
        ready.recv().map_err(|_| StartError::NoShard)?;
    }
    // What goes on has been said to be kept: the rest of what was may go.
    lifeline.settle();
    let path = &settings.node.control_socket;
    let socket = |source| StartError::Socket {
        path: path.clone(),
        source,
    };
    // Whoever finds it there may end it as it should be ended.
    let stopped = stop_signal(&stop)?;
    let listener = Listener::bind(path).map_err(socket)?;
    info!(socket = %path.display(), shards = slices.len(), ingest = ingests.name, "ready");
    holdfast_process::tell_ready();
    // Not before: packets were waiting.
    tell_encryption(&settings.srtp.suites);
    let control = Control {
        instance: u64::from_le_bytes(random_bytes()),
        slices,
        cores: settings.media.cores.clone(),
        figures: EngineFigures {
            started: clock::wall(),
            ingest: ingests.name,
            disks: vec![
                ("recordings", settings.recordings.dir.clone()),
                ("journal", settings.journal.dir.clone()),
            ],
        },
        commands,
        events,
        calls: incoming.calls().clone(),
        recordings_dir: settings.recordings.dir.clone(),
        disk_high_watermark_percent: settings.recordings.disk_high_watermark,
        disk_critical_watermark_percent: settings.recordings.disk_critical_watermark,
        stop: stopped,
    };
    control::run(control, listener).map_err(StartError::Thread)?;
    holdfast_process::tell_stopping();
    finish(threads, publishers, settings.lifecycle.shutdown_timeout);
    let _ = fs::remove_file(path);
    end(&lifeline, ingests.rule, goes_on.load(Ordering::Relaxed));
    Ok(())
}

/// What encrypted media is read with here, and what a packet costs: G.711 of 20 ms, with its keys in
/// the cache.
fn tell_encryption(suites: &[SrtpSuite]) {
    let cpu = holdfast_srtp::cpu_features().join(" ");
    info!(
        implementation = holdfast_srtp::IMPLEMENTATION,
        cpu, "encrypted media is read with"
    );
    for &suite in suites {
        let cost =
            holdfast_srtp::packet_cost(suite, &mut || Duration::from_nanos(clock::monotonic().0));
        info!(%suite, ns_per_packet = cost.as_nanos() as u64, "a packet costs");
    }
}

/// Takes back what signaling has kept for this process, and begins to keep what signaling has.
fn lifelines(settings: &Settings) -> Result<(Lifeline, Vec<Kept>), StartError> {
    let control = &settings.node.control_socket;
    let socket = |source| StartError::Socket {
        path: control.clone(),
        source,
    };
    if let Some(folder) = control.parent() {
        fs::create_dir_all(folder).map_err(socket)?;
    }
    let connected = Lifeline::connect(&holdfast_lifeline::kept_by_signaling(control));
    let (lifeline, kept) = connected.map_err(StartError::Thread)?;
    let keeper = holdfast_lifeline::kept_by_media(control);
    holdfast_lifeline::start_keeper(&keeper, SIGNALING_DESCRIPTORS_MAX).map_err(socket)?;
    Ok((lifeline, kept))
}

/// What becomes of the rings and their rule. For recordings that go on they stay, so that a start that
/// comes soon misses nothing.
fn end(lifeline: &Lifeline, rule: Option<DropRule>, goes_on: bool) {
    if goes_on {
        if let Some(rule) = rule {
            let table = rule.leave();
            info!(table, "the drop rule stays until the next start");
        }
    } else {
        drop(rule);
        lifeline.withdraw_all();
    }
    lifeline.flush(FLUSH_TIMEOUT);
}

/// Waits for the shards to have everything on disk and for the publishers to be done.
fn finish(
    shards: Vec<std::thread::JoinHandle<()>>,
    publishers: Vec<std::thread::JoinHandle<()>>,
    timeout: Duration,
) {
    let threads: Vec<_> = shards.into_iter().chain(publishers).collect();
    if wait_until(timeout, || {
        threads.iter().all(std::thread::JoinHandle::is_finished)
    }) {
        info!("stopped");
    } else {
        warn!(
            ?timeout,
            "stopped before everything was published: the next start goes on with it"
        );
    }
}

fn stop_signal(stop: &Arc<AtomicBool>) -> Result<crossbeam_channel::Receiver<()>, StartError> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])
        .map_err(StartError::Thread)?;
    let (sender, receiver) = bounded(1);
    let stop = stop.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if signal == SIGHUP {
                    info!("settings are read at start; running recordings are not touched");
                    continue;
                }
                info!("told to stop: recordings that still run go on after the next start");
                stop.store(true, Ordering::Relaxed);
                let _ = sender.try_send(());
            }
        })
        .map_err(StartError::Thread)?;
    Ok(receiver)
}

fn slices(settings: &Settings) -> Vec<ShardPorts> {
    let shard = |index| settings.media.shard_ports(index);
    let ranges = (0..settings.media.cores.len()).filter_map(shard);
    ranges
        .map(|range| ShardPorts {
            first: range.first,
            last: range.last,
        })
        .collect()
}

fn shard_config(settings: &Settings, index: u16, ports: ShardPorts) -> ShardConfig {
    let media = &settings.media;
    let sources = match media.source_policy {
        holdfast_settings::SourcePolicy::Latch => SourcePolicy::Latch,
        holdfast_settings::SourcePolicy::Strict => SourcePolicy::Strict,
        holdfast_settings::SourcePolicy::Open => SourcePolicy::Open,
    };
    ShardConfig {
        index,
        ports,
        guard: GuardConfig {
            sources,
            relatch_after: media.relatch_after,
            packet_bytes_max: media.packet_size_max as usize,
            ..GuardConfig::default()
        },
        orphan_timeout: media.orphan_timeout,
        checkpoint_interval: settings.journal.checkpoint_interval,
        seed: u64::from_le_bytes(random_bytes()),
    }
}

fn writer_config(settings: &Settings, index: u16, recovered: &recovery::Recovered) -> WriterConfig {
    WriterConfig {
        shard: Shard(index),
        journal: recovered.journal,
        segment_size: settings.journal.segment_size,
        segments_max: settings.journal.segments_max as usize,
        // To make one anew takes many times as long, and so do its first writes.
        reusable_max: settings.journal.segments_max as usize,
        block_size: BLOCK_SIZE,
        commit_interval: settings.media.commit_interval,
    }
}

/// Two engines on one state would destroy each other's journal.
fn lock(path: &Path) -> Result<File, StartError> {
    let folder = |source| StartError::Folder {
        path: path.to_owned(),
        source,
    };
    let file = File::create(path).map_err(folder)?;
    match holdfast_sys::file::lock(&file) {
        Ok(()) => Ok(file),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(StartError::Running {
            path: path.to_owned(),
        }),
        Err(error) => Err(folder(error)),
    }
}

/// Two sockets a stream are more than most systems allow by default.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(%error, "the limit of open files stays as it is");
    }
}

/// Random octets from the system.
///
/// # Panics
///
/// Where the system has none, which no supported one lacks.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

fn start_log(settings: &Settings) {
    let level = settings.log.level.as_str();
    // glommio's own start-up remarks are about buffers that this engine does not use.
    let filter = tracing_subscriber::EnvFilter::new(format!("{level},glommio=error"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    match settings.log.format {
        LogFormat::Text => log.with_writer(std::io::stderr).init(),
        LogFormat::Json => log.with_writer(std::io::stderr).json().init(),
    }
}
