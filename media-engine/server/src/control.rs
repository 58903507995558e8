//! The control thread: the engine's end of the socket to signaling.
//!
//! It takes messages apart by shard, puts the shards' answers together, and watches the disk. There
//! is one connection at a time; a newer one takes the place of an older, whose process must be dead.
//! While there is none the shards go on by themselves.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, tick};
use holdfast_control::limits::MESSAGE_SIZE_MAX;
use holdfast_control::{
    FromEngine, Health, RefusalReason, ShardPorts, ToEngine, Unwilling, decode, encode,
};
use holdfast_shard::{Command, ShardEvent, ShardStatistics};
use holdfast_sys::seqpacket::{Connection, Listener};
use tracing::{error, info, warn};

use crate::calls::CallNames;
use crate::disk::chain;
use crate::figures::{self, EngineFigures};
use crate::supervisor::Watchdog;

/// Messages from signaling that may wait. It waits in the socket when they are many.
const INBOX_MAX: usize = 1_024;

/// A signaling process that does not read for this long is taken for dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the disk is looked at and health is told while it changes.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// How long signaling may be away while streams are recorded, before someone should look: more than
/// a restart takes.
const ALONE_LONG: Duration = Duration::from_secs(5);

/// Looks, one each [`HEALTH_INTERVAL`], without a recording until its memory is given back: a shard lets go of
/// a recording's only when its journal has the end of it.
const REST_LOOKS: u32 = 3;

/// What the control thread is given.
pub struct Control {
    pub instance: u64,
    pub slices: Vec<ShardPorts>,
    /// The core of each shard, in their order.
    pub cores: Vec<u32>,
    /// What is told of the engine as a whole.
    pub figures: EngineFigures,
    /// One sender a shard, in their order.
    pub commands: Vec<Sender<Command>>,
    /// What the shards say, with the number of who says it.
    pub events: Receiver<(usize, ShardEvent)>,
    /// The names of the calls.
    pub calls: CallNames,
    /// File system whose use decides whether further recordings are welcome.
    pub recordings_dir: PathBuf,
    pub disk_high_watermark_percent: u8,
    pub disk_critical_watermark_percent: u8,
    /// Anything on it, or its end: the process is to stop.
    pub stop: Receiver<()>,
}

enum Inbox {
    Connected(Arc<Connection>),
    Message(Arc<Connection>, ToEngine),
    Gone(Arc<Connection>),
}

struct State {
    control: Control,
    peer: Option<Arc<Connection>>,
    /// Since when there is none, until that was told.
    alone_since: Option<Instant>,
    /// Shards that have not yet listed all they hold to the present peer.
    listing: Vec<bool>,
    statistics: Vec<ShardStatistics>,
    watchdog: Watchdog,
    is_critical: bool,
    health: Health,
    /// How often it was looked since there was a recording; not again once memory was given back.
    looks_at_rest: u32,
}

/// Runs until told to stop.
pub fn run(control: Control, listener: Listener) -> io::Result<()> {
    let (inbox, messages) = bounded(INBOX_MAX);
    thread::Builder::new()
        .name("accept".into())
        .spawn(move || accept(&listener, &inbox))?;
    let shards = control.slices.len();
    let events = control.events.clone();
    let stop = control.stop.clone();
    let mut state = State {
        peer: None,
        alone_since: None,
        listing: vec![false; shards],
        statistics: vec![ShardStatistics::default(); shards],
        watchdog: Watchdog::new(Instant::now(), shards),
        is_critical: false,
        health: Health::default(),
        looks_at_rest: REST_LOOKS,
        control,
    };
    state.look_after_health();
    let ticks = tick(HEALTH_INTERVAL);
    loop {
        select! {
            recv(messages) -> message => match message {
                Ok(message) => state.handle_inbox(message),
                Err(_) => return Err(io::Error::other("the accepting thread has ended")),
            },
            recv(events) -> event => match event {
                Ok((shard, event)) => state.handle_event(shard, event),
                Err(_) => return Ok(()),
            },
            recv(ticks) -> _ => {
                state.look_after_health();
                state.look_after_memory();
                state.tell_figures();
                state.watchdog.look(Instant::now());
            }
            recv(stop) -> _ => return Ok(()),
        }
    }
}

fn accept(listener: &Listener, inbox: &Sender<Inbox>) {
    loop {
        let connection = match listener.accept() {
            Ok(connection) => Arc::new(connection),
            Err(error) => {
                error!(%error, "no connection could be accepted on the control socket");
                thread::sleep(HEALTH_INTERVAL);
                continue;
            }
        };
        // Told here, so that the newest is told last. A failing send means that the process is ending.
        if inbox.send(Inbox::Connected(connection.clone())).is_err() {
            return;
        }
        let inbox = inbox.clone();
        let reader = move || read(&connection, &inbox);
        if let Err(error) = thread::Builder::new()
            .name("control-read".into())
            .spawn(reader)
        {
            error!(%error, "no thread for a connection on the control socket");
        }
    }
}

fn read(connection: &Arc<Connection>, inbox: &Sender<Inbox>) {
    let mut buffer = vec![0; MESSAGE_SIZE_MAX + 1];
    loop {
        let size = match connection.receive(&mut buffer) {
            Ok(0) => break,
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                warn!(%error, "the control socket failed");
                break;
            }
        };
        match decode(&buffer[..size]) {
            Ok(message) => {
                if inbox
                    .send(Inbox::Message(connection.clone(), message))
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => {
                error!(error = %chain(&error), "a message from signaling does not read");
                connection.shut_down();
                break;
            }
        }
    }
    let _ = inbox.send(Inbox::Gone(connection.clone()));
}

impl State {
    fn handle_inbox(&mut self, message: Inbox) {
        match message {
            Inbox::Connected(connection) => self.connect(connection),
            Inbox::Message(from, message) if self.is_peer(&from) => self.handle_message(message),
            Inbox::Gone(from) if self.is_peer(&from) => self.disconnect("it is gone"),
            // From a connection whose place another has taken.
            Inbox::Message(..) | Inbox::Gone(_) => {}
        }
    }

    fn is_peer(&self, connection: &Arc<Connection>) -> bool {
        self.peer
            .as_ref()
            .is_some_and(|peer| Arc::ptr_eq(peer, connection))
    }

    fn connect(&mut self, connection: Arc<Connection>) {
        if let Some(former) = self.peer.take() {
            warn!("another signaling process connects; the former one is cut off");
            former.shut_down();
        }
        if let Err(error) = connection.set_send_timeout(SEND_TIMEOUT) {
            warn!(%error, "the control socket takes no time-out");
        }
        self.peer = Some(connection);
        self.alone_since = None;
        let Control {
            instance,
            ref slices,
            ..
        } = self.control;
        self.tell(&FromEngine::Hello {
            instance,
            shards: slices.clone(),
        });
        self.tell(&FromEngine::Health(self.health));
        self.listing.fill(true);
        self.command_all(&Command::Connected);
        info!("signaling is connected");
    }

    fn disconnect(&mut self, why: &str) {
        if let Some(peer) = self.peer.take() {
            peer.shut_down();
            info!(why, "signaling is not connected; recordings go on");
            self.alone_since = Some(Instant::now());
            self.command_all(&Command::Disconnected);
        }
    }

    fn handle_message(&mut self, message: ToEngine) {
        match message {
            ToEngine::Hello { instance } => info!(instance, "signaling said hello"),
            ToEngine::Recording(recording) => {
                let (id, revision, shard) = (recording.id, recording.revision, recording.shard);
                if !self.command(shard, Command::Recording(recording)) {
                    let reason = RefusalReason::Invalid(format!("there is no shard {shard}"));
                    let refused = FromEngine::Refused {
                        recording: id,
                        revision,
                        reason,
                    };
                    self.control.calls.handle_answer(&refused);
                    self.tell(&refused);
                }
            }
            ToEngine::Document(document) => {
                self.control.calls.handle_document(&document);
                self.command(document.shard, Command::Document(document));
            }
            ToEngine::ReconcileDone => self.command_all(&Command::ReconcileDone),
            ToEngine::AskLatencies => self.command_all(&Command::AskLatencies),
            ToEngine::AskMedia { recording, shard } => {
                if !self.command(shard, Command::AskMedia(recording)) {
                    self.tell(&FromEngine::Media {
                        recording,
                        silent_for: None,
                    });
                }
            }
        }
    }

    fn handle_event(&mut self, shard: usize, event: ShardEvent) {
        match event {
            ShardEvent::Tell(message) => {
                self.control.calls.handle_answer(&message);
                self.tell(&message);
            }
            ShardEvent::HeldDone => {
                self.listing[shard] = false;
                if !self.listing.contains(&true) {
                    self.tell(&FromEngine::HeldDone);
                }
            }
            ShardEvent::Statistics(statistics) => {
                self.statistics[shard] = *statistics;
                self.watchdog.handle_word(Instant::now(), shard);
            }
        }
    }

    /// When the last recording is published, what they took goes back to the kernel. Shards allocate little
    /// then, and hardly ever wait for it.
    fn look_after_memory(&mut self) {
        if self.statistics.iter().any(|it| it.recordings > 0) {
            self.looks_at_rest = 0;
        } else if self.looks_at_rest < REST_LOOKS {
            self.looks_at_rest += 1;
            if self.looks_at_rest == REST_LOOKS {
                holdfast_sys::memory::give_back();
            }
        }
    }

    /// Looks at disk and journals; tells both sides what has changed.
    fn look_after_health(&mut self) {
        let disk_used_permille = match disk_used_permille(&self.control.recordings_dir) {
            Ok(used) => used,
            Err(error) => {
                error!(%error, "the use of the disk cannot be told");
                self.health.disk_used_permille
            }
        };
        let sum = |of: fn(&ShardStatistics) -> u64| self.statistics.iter().map(of).sum::<u64>();
        let journal_used = self
            .statistics
            .iter()
            .map(ShardStatistics::journal_used_permille)
            .max()
            .unwrap_or(0);
        let is_full =
            disk_used_permille >= u16::from(self.control.disk_high_watermark_percent) * 10;
        let is_critical =
            disk_used_permille >= u16::from(self.control.disk_critical_watermark_percent) * 10;
        if is_critical != std::mem::replace(&mut self.is_critical, is_critical) {
            match is_critical {
                true => error!(
                    disk_used_permille,
                    "the disk is past its critical watermark"
                ),
                false => info!(
                    disk_used_permille,
                    "the disk is below its critical watermark"
                ),
            }
        }
        let unwilling = if is_full {
            Some(Unwilling::DiskFull)
        } else if self.statistics.iter().any(|s| s.journal_failing) {
            Some(Unwilling::Journal)
        } else {
            None
        };
        let health = Health {
            unwilling,
            disk_used_permille,
            journal_used_permille: journal_used,
            streams: u32::try_from(sum(|s| s.streams)).unwrap_or(u32::MAX),
            packets: sum(|s| s.packets),
            refused: sum(|s| s.refused.total()),
            kernel_drops: sum(|s| s.kernel_drops),
        };
        if health.unwilling != self.health.unwilling {
            match health.unwilling {
                Some(reason) => error!(%reason, "no further recordings are taken"),
                None => info!("further recordings are taken again"),
            }
            self.command_all(&Command::Willing(health.unwilling));
        }
        let is_long = |since: &mut Instant| since.elapsed() >= ALONE_LONG;
        if health.streams > 0 && self.alone_since.take_if(is_long).is_some() {
            warn!(
                streams = health.streams,
                "signaling stays away; recordings go on"
            );
        }
        if health != self.health {
            self.health = health;
            self.tell(&FromEngine::Health(health));
        }
    }

    /// Tells whoever watches, where there is anybody.
    fn tell_figures(&mut self) {
        if self.peer.is_none() {
            return;
        }
        self.tell(&FromEngine::Engine(self.control.figures.look()));
        for shard in 0..self.statistics.len() {
            let (core, counted) = (self.control.cores[shard], &self.statistics[shard]);
            let told = figures::of_shard(shard as u16, core, counted);
            self.tell(&FromEngine::Shard(told));
        }
    }

    fn tell(&mut self, message: &FromEngine) {
        let Some(peer) = &self.peer else { return };
        let sent = match encode(message) {
            Ok(bytes) => peer.send(&bytes),
            Err(error) => {
                error!(error = %chain(&error), "a message to signaling cannot be encoded");
                return;
            }
        };
        if let Err(error) = sent {
            self.disconnect(&error.to_string());
        }
    }

    fn command(&self, shard: u16, command: Command) -> bool {
        match self.control.commands.get(usize::from(shard)) {
            // A shard ends only with the process.
            Some(shard) => shard.send(command).is_ok(),
            None => false,
        }
    }

    fn command_all(&self, command: &Command) {
        for shard in &self.control.commands {
            let _ = shard.send(command.clone());
        }
    }
}

/// Use of the file system that a folder is on, 0–1,000.
pub fn disk_used_permille(dir: &std::path::Path) -> io::Result<u16> {
    let figures = nix::sys::statvfs::statvfs(dir)?;
    let total = figures.blocks().max(1);
    // As df counts: what is kept for root is neither used nor to be had.
    let used = total - figures.blocks_free();
    let reachable = (used + figures.blocks_available()).max(1);
    Ok(u16::try_from(used.saturating_mul(1_000) / reachable).unwrap_or(1_000))
}

/// Waits until `done` says yes, for at most `timeout`; answers whether it did.
pub fn wait_until(timeout: Duration, mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + timeout;
    while Instant::now() < until {
        if done() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    done()
}
