//! A shard with everything around it, in memory: its journal's disk, the disk beside it, ports,
//! time, and what it says. A run is a function of its seed.
//!
//! The world carries out outputs as the shell does: in their order, ports at once, all else by
//! queues that go on at their own pace. It can end a process or the power between any two of its
//! steps.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(unreachable_pub, reason = "a module of tests")]

pub mod build;
pub mod calls;
pub mod files;
pub mod journal;
pub mod recovery;
pub mod rng;
pub mod shell;
pub mod tracks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_control::{FromEngine, PublishedRecording, RefusalReason, RefusedStream, ShardPorts};
use holdfast_journal::{PAGE_SIZE, WriterConfig};
use holdfast_rtp::GuardConfig;
use holdfast_shard::{
    Command, Datagram, DiskOrder, DiskResult, Notice, Shard, ShardConfig, ShardStatistics,
};
use holdfast_units::{MonoTime, RecordingId, StreamId, WallTime};

use files::Files;
use journal::JournalDisk;
use rng::Rng;

pub const FIRST_PORT: u16 = 20_000;
pub const LAST_PORT: u16 = 20_511;
pub const MS: Duration = Duration::from_millis(1);
pub const TICK: Duration = Duration::from_millis(5);

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// What was written is there.
    Kill,
    /// What was synced is there, and by chance parts of the rest.
    PowerCut,
}

/// A report that left.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: MonoTime,
    pub from_port: u16,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What the next orders to the disk come to.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// So many of each fail, the next ones first.
    pub tracks: u32,
    pub states: u32,
    pub documents: u32,
    pub publishes: u32,
    pub syncs: u32,
    pub checkpoints: u32,
    pub journal_writes: u32,
    /// The publisher can never publish this one.
    pub unpublishable: Option<RecordingId>,
    /// Nothing is carried out for the journal, or beside it.
    pub journal_stalls: bool,
    pub disk_stalls: bool,
    pub syncs_stall: bool,
    /// How many of a hundred syncs do nothing and say that they did.
    pub lies: u64,
}

pub enum SyncJob {
    /// Covers so many of the changes.
    Sync {
        covered: u64,
    },
    SaveCheckpoint(Vec<u8>),
}

/// The part of the world that a crash ends.
pub struct Process {
    pub shard: Shard<Vec<u8>>,
    pub journal_ops: Vec<(holdfast_journal::Ticket, journal::Op)>,
    pub orders: VecDeque<DiskOrder>,
    pub syncs: VecDeque<SyncJob>,
    pub publishing: Vec<RecordingId>,
    pub results: VecDeque<DiskResult>,
    /// Recordings with a write that failed.
    pub unwritten: BTreeSet<RecordingId>,
    /// Open ports, with the number of times that they were opened.
    pub ports: BTreeSet<u16>,
}

pub struct World {
    pub rng: Rng,
    pub now: MonoTime,
    pub wall: WallTime,
    pub config: ShardConfig,
    pub writer: WriterConfig,
    pub blocks: usize,
    pub journal: JournalDisk,
    pub files: Files,
    pub faults: Faults,
    /// Ports that somebody else has.
    pub taken_ports: BTreeSet<u16>,
    pub process: Option<Process>,
    /// Steps until the process ends by itself.
    pub fuse: Option<u64>,
    pub steps: u64,
    pub told: Vec<FromEngine>,
    pub held_done: u32,
    pub notices: Vec<Notice>,
    pub sent: Vec<Sent>,
    pub statistics: ShardStatistics,
    /// How often each recording was put into its place.
    pub published: BTreeMap<RecordingId, u32>,
    /// Records that had no stream when the journal was replayed: what came before them was not
    /// durable.
    pub unknown: u64,
    /// Findings of recoveries that are not harmless.
    pub findings: Vec<String>,
}

impl World {
    /// A machine on which nothing was recorded yet, and a shard on it.
    pub fn new(seed: u64) -> Self {
        let mut world = Self::dark(seed);
        world.start();
        world
    }

    /// The machine alone.
    pub fn dark(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            now: MonoTime(1_000_000_000),
            wall: WallTime(1_790_000_000_000_000_000),
            config: ShardConfig {
                index: 0,
                ports: ShardPorts {
                    first: FIRST_PORT,
                    last: LAST_PORT,
                },
                guard: GuardConfig::default(),
                orphan_timeout: Duration::from_secs(60),
                checkpoint_interval: Duration::from_secs(2),
                seed,
            },
            writer: WriterConfig {
                shard: holdfast_journal::Shard(0),
                journal: holdfast_journal::JournalId([7; 16]),
                segment_size: 64 * PAGE_SIZE as u64,
                segments_max: 8,
                reusable_max: 2,
                block_size: holdfast_journal::BLOCK_SIZE_MIN,
                commit_interval: 100 * MS,
            },
            blocks: 6,
            journal: JournalDisk::default(),
            files: Files::default(),
            faults: Faults::default(),
            taken_ports: BTreeSet::new(),
            process: None,
            fuse: None,
            steps: 0,
            told: Vec::new(),
            held_done: 0,
            notices: Vec::new(),
            sent: Vec::new(),
            statistics: ShardStatistics::default(),
            published: BTreeMap::new(),
            unknown: 0,
            findings: Vec::new(),
        }
    }

    /// Recovers and starts a shard, again and again where the fuse ends it meanwhile.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "one process at a time");
        self.recover_and_start();
    }

    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub fn shard(&mut self) -> &mut Shard<Vec<u8>> {
        &mut self.process.as_mut().expect("the process is up").shard
    }

    /// Lets time pass, without a tick.
    pub fn pass(&mut self, step: Duration) {
        self.now = self.now + step;
        self.wall = self.wall + step;
    }

    pub fn command(&mut self, command: Command) {
        let (now, wall) = (self.now, self.wall);
        if let Some(process) = &mut self.process {
            process.shard.handle_command(now, wall, command);
            self.carry_out();
        }
    }

    /// Gives the shard a datagram; answers the number of its record where the journal took it.
    pub fn datagram(&mut self, port: u16, source: SocketAddr, bytes: &[u8]) -> Option<u64> {
        let (now, arrival) = (self.now, self.wall);
        let process = self.process.as_mut()?;
        if !process.ports.contains(&port) {
            return None;
        }
        let datagram = Datagram {
            port,
            source,
            arrival,
            bytes,
            truncated: false,
        };
        let before = process.shard.next_lsn();
        process.shard.handle_datagram(now, &datagram);
        let after = process.shard.next_lsn();
        self.carry_out();
        (after > before).then(|| after.0 - 1)
    }

    /// One tick, with what the disk has answered until now.
    pub fn tick(&mut self, step: Duration) {
        self.pass(step);
        let (now, wall) = (self.now, self.wall);
        let Some(process) = &mut self.process else {
            return;
        };
        while let Some(result) = process.results.pop_front() {
            process.shard.handle_disk(now, wall, result);
        }
        process.shard.handle_tick(now, wall);
        self.carry_out();
    }

    /// Ticks for so long, while the disks do all that they are asked for.
    pub fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until && self.is_up() {
            self.work_all();
            self.tick(TICK);
        }
        self.work_all();
    }

    /// Ends the process. What it had in memory is gone.
    pub fn crash(&mut self, crash: Crash) {
        if let Some(process) = self.process.take() {
            self.interrupt(process, crash);
        }
        if crash == Crash::PowerCut {
            self.journal.power_cut(&mut self.rng);
            self.files.power_cut(&mut self.rng);
        }
    }

    /// Crashes and starts again.
    pub fn restart(&mut self, crash: Crash) {
        self.crash(crash);
        self.pass(300 * MS);
        self.start();
    }

    /// Whether the fuse lets one more step be taken.
    pub fn burn(&mut self) -> bool {
        self.steps += 1;
        match &mut self.fuse {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// Whether the fuse has burnt down: then nothing more happens until a crash.
    pub fn is_burnt(&self) -> bool {
        self.fuse == Some(0)
    }

    // What was told.

    pub fn applied(&self, recording: RecordingId) -> Vec<(u64, Vec<RefusedStream>)> {
        let of = |message: &FromEngine| match message {
            FromEngine::Applied {
                recording: id,
                revision,
                refused,
            } if *id == recording => Some((*revision, refused.clone())),
            _ => None,
        };
        self.told.iter().filter_map(of).collect()
    }

    pub fn applied_revision(&self, recording: RecordingId) -> Option<u64> {
        self.applied(recording)
            .iter()
            .map(|applied| applied.0)
            .max()
    }

    pub fn refusals(&self, recording: RecordingId) -> Vec<(u64, RefusalReason)> {
        let of = |message: &FromEngine| match message {
            FromEngine::Refused {
                recording: id,
                revision,
                reason,
            } if *id == recording => Some((*revision, reason.clone())),
            _ => None,
        };
        self.told.iter().filter_map(of).collect()
    }

    pub fn published_told(&self, recording: RecordingId) -> Vec<PublishedRecording> {
        let of = |message: &FromEngine| match message {
            FromEngine::Published(published) if published.id == recording => {
                Some(published.clone())
            }
            _ => None,
        };
        self.told.iter().filter_map(of).collect()
    }

    pub fn held(&self) -> Vec<holdfast_control::HeldRecording> {
        let of = |message: &FromEngine| match message {
            FromEngine::Held(held) => Some(held.clone()),
            _ => None,
        };
        self.told.iter().filter_map(of).collect()
    }

    /// Datagrams of a stream that the log says were dropped.
    pub fn dropped(&self, stream: StreamId) -> u32 {
        let of = |notice: &Notice| match notice {
            Notice::Dropped {
                stream: id, count, ..
            } if *id == stream => Some(*count),
            _ => None,
        };
        self.notices.iter().filter_map(of).sum()
    }

    pub fn is_port_open(&self, port: u16) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.ports.contains(&port))
    }

    /// Whether these octets are anywhere on a disk.
    pub fn is_on_disk(&self, octets: &[u8]) -> bool {
        let within = |bytes: &[u8]| bytes.windows(octets.len()).any(|window| window == octets);
        self.journal.contents().any(within) || self.files.contents().any(within)
    }
}
