//! Everything one core owns: from the datagram to the orders for its disk.
//!
//! It refuses to wait, to allocate per packet, and to say that something is done before the journal
//! has it. The shell gives it datagrams, completions and time, and carries out what it asks for.
//!
//! The invariant that matters: [`FromEngine::Applied`] leaves only when the streams of that revision
//! receive and the journal holds everything that was said of the recording until then.

mod upkeep;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use holdfast_control::{DocumentName, FromEngine, ShardPorts, Stage, Unwilling};
use holdfast_journal::{Committed, Full, Lsn, NewRecord, Writer};
use holdfast_rtp::{GuardConfig, Refused};
use holdfast_units::{MonoTime, RecordingId, StreamId, WallTime};

use crate::assembled::LiveCounts;
use crate::assembly::{Assembly, Finished};
use crate::checkpoint::Checkpointer;
use crate::desire::{LiveRecording, Opening};
use crate::disk::{DiskOrder, DiskResult};
use crate::documents::Documents;
use crate::latency::Latencies;
use crate::live::{LiveStream, Passage, packet_time};
use crate::output::{Command, Datagram, Notice, Output, ShardEvent, ShardStatistics};
use crate::random::Random;
use crate::reconcile::Peer;
use crate::records;

/// What a shard is told once.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Which shard it is.
    pub index: u16,
    /// Its slice of the port range.
    pub ports: ShardPorts,
    /// What the guard of each stream is told.
    pub guard: GuardConfig,
    /// How long a recording stays that signaling does not claim.
    pub orphan_timeout: Duration,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// For SSRCs and the times of reports.
    pub seed: u64,
}

/// Everything one core owns. `B` is a block of the journal as the shell's pool has it.
#[derive(Debug)]
pub struct Shard<B> {
    pub(crate) config: ShardConfig,
    pub(crate) journal: Writer<B>,
    pub(crate) assembly: Assembly,
    /// By pair of ports.
    pub(crate) live: Vec<Option<Box<LiveStream>>>,
    pub(crate) recordings: BTreeMap<RecordingId, LiveRecording>,
    /// Documents that came before their recording.
    pub(crate) early: BTreeMap<RecordingId, Documents>,
    /// There were too many of them: which recordings they were for is not known.
    pub(crate) early_overflow: bool,
    /// Octets of all documents that are not complete.
    pub(crate) incomplete_size: usize,
    /// Documents that the journal is still to say are given up.
    pub(crate) given_up: Vec<(RecordingId, DocumentName)>,
    /// Recordings that the journal is still to say are gone.
    pub(crate) unremoved: Vec<RecordingId>,
    /// What the receiving side counted for streams that have ended, until the assembly asks.
    pub(crate) ended_counts: BTreeMap<StreamId, LiveCounts>,
    /// What signaling is told once all records below are durable.
    pub(crate) confirmations: VecDeque<(Lsn, FromEngine)>,
    pub(crate) outputs: VecDeque<Output<B>>,
    pub(crate) random: Random,
    pub(crate) unwilling: Option<Unwilling>,
    /// Revisions whose ports are being opened.
    pub(crate) opening: BTreeMap<RecordingId, Opening>,
    pub(crate) peer: Peer,
    committed: VecDeque<Committed<B>>,
    /// When each of them was.
    committed_at: VecDeque<WallTime>,
    latencies: Latencies,
    /// The same moment on both clocks, lately.
    moment: (MonoTime, WallTime),
    checkpointer: Checkpointer,
    /// Pairs whose stream has datagrams that were not kept and are not yet written down.
    unwritten: Vec<u16>,
    /// Datagrams that the kernel dropped, not yet written down.
    overflow: Option<Overflow>,
    /// The shell leaves datagrams where they are, for want of room here.
    is_held_back: bool,
    report_cursor: usize,
    /// When streams were last looked at for reports.
    reported_at: MonoTime,
    next_housekeeping: MonoTime,
    statistics: ShardStatistics,
    /// Refused by streams that have ended.
    pub(crate) refused_before: Refused,
    journal_failing: bool,
    /// The journal keeps what it has from here on, though the tracks have it too.
    kept_from: Lsn,
}

/// Datagrams of all streams together that the kernel dropped.
#[derive(Debug)]
struct Overflow {
    within: Range<WallTime>,
    count: u64,
}

/// The longest that a datagram counts as late.
const LATE_MAX: Duration = Duration::from_millis(100);

/// How often statistics are told, orphans looked for and failed orders repeated.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

impl<B: AsRef<[u8]> + AsMut<[u8]>> Shard<B> {
    /// A shard that goes on where `assembly` and `journal` stand. Streams that go on are opened at
    /// once: see [`Self::poll_output`].
    pub fn new(
        now: MonoTime,
        wall: WallTime,
        config: ShardConfig,
        journal: Writer<B>,
        mut assembly: Assembly,
        counts: BTreeMap<StreamId, LiveCounts>,
    ) -> Self {
        assembly.resume_publishing();
        // Whoever authenticated in a former life is restored with the streams.
        while assembly.poll_authentic().is_some() {}
        let pairs = usize::from(config.ports.last - config.ports.first).div_ceil(2);
        let saved = assembly.position();
        let mut shard = Self {
            live: std::iter::repeat_with(|| None).take(pairs).collect(),
            recordings: BTreeMap::new(),
            early: BTreeMap::new(),
            early_overflow: false,
            incomplete_size: 0,
            given_up: Vec::new(),
            unremoved: Vec::new(),
            ended_counts: counts,
            confirmations: VecDeque::new(),
            outputs: VecDeque::new(),
            random: Random::new(config.seed),
            unwilling: None,
            opening: BTreeMap::new(),
            peer: Peer::Away,
            committed: VecDeque::new(),
            committed_at: VecDeque::new(),
            latencies: Latencies::new(),
            moment: (now, wall),
            checkpointer: Checkpointer::new(now, config.checkpoint_interval, saved),
            unwritten: Vec::new(),
            overflow: None,
            is_held_back: false,
            report_cursor: 0,
            reported_at: now,
            next_housekeeping: now,
            statistics: ShardStatistics::default(),
            refused_before: Refused::default(),
            journal_failing: false,
            kept_from: Lsn(u64::MAX),
            config,
            journal,
            assembly,
        };
        shard.resume_recordings(now, wall);
        shard
    }

    /// Takes a command of the control thread.
    pub fn handle_command(&mut self, now: MonoTime, wall: WallTime, command: Command) {
        match command {
            Command::Connected => self.handle_connected(now, wall),
            Command::Disconnected => self.handle_disconnected(now, wall),
            Command::ReconcileDone => self.handle_reconciled(now),
            Command::Recording(desired) => self.handle_desired(now, wall, desired),
            Command::Document(document) => self.handle_document(now, wall, document),
            Command::Willing(unwilling) => self.unwilling = unwilling,
            Command::AskLatencies => self.tell_latencies(),
            Command::AskMedia(recording) => self.tell_media(now, recording),
        }
    }

    /// Takes datagrams that arrived one after the other, as [`Self::handle_datagram`] does.
    ///
    /// Thousands of streams take turns, so what a datagram needs of its own has left the cache since
    /// the one before. It is asked for some datagrams ahead.
    pub fn handle_datagrams<'a>(
        &mut self,
        now: MonoTime,
        datagrams: impl Iterator<Item = Datagram<'a>> + Clone,
    ) {
        let mut ahead = datagrams.clone();
        ahead.by_ref().take(AHEAD).for_each(|it| self.prefetch(&it));
        let wall = self.wall(now);
        for datagram in datagrams {
            ahead.next().inspect(|it| self.prefetch(it));
            let after = wall.since(datagram.arrival);
            self.latencies.record(Stage::Seen, after);
            self.handle_datagram(now, &datagram);
        }
    }

    /// Asks the memory for what the stream of a datagram will need.
    fn prefetch(&self, datagram: &Datagram<'_>) {
        if let Some(Some(stream)) = self.live.get(self.pair(datagram.port)) {
            stream.prefetch();
        }
    }

    /// Takes a datagram. Its octets are in the journal's block, or nowhere, when this returns.
    pub fn handle_datagram(&mut self, now: MonoTime, datagram: &Datagram<'_>) {
        let Datagram {
            port,
            source,
            arrival,
            bytes,
            truncated,
        } = *datagram;
        let pair = port.wrapping_sub(self.config.ports.first) >> 1;
        let Some(Some(stream)) = self.live.get_mut(usize::from(pair)) else {
            self.statistics.strays += 1;
            return;
        };
        if truncated {
            stream.refuse_truncated();
            return;
        }
        let passage = stream.admit(packet_time(arrival), port, source, bytes);
        let (kind, number, is_new) = match passage {
            Passage::Rtp { source, is_new } => (records::RTP, source, is_new),
            Passage::Rtcp { source, is_new } => (records::RTCP, source, is_new),
            Passage::Stopped => return,
        };
        let is_after_pause = kind == records::RTP && stream.is_after_pause();
        let record = NewRecord {
            kind,
            flags: number,
            source: pair,
            stream: stream.id(),
            arrival,
        };
        if is_new && !self.introduce(now, source, &record) {
            return self.handle_unwritten(pair, arrival);
        }
        let (mut parts, mut count) = ([bytes, &[], &[]], 1);
        if is_after_pause && let Some(Some(stream)) = self.live.get_mut(usize::from(pair)) {
            (parts, count) = (stream.kept(bytes), 3);
        }
        match self
            .journal
            .append(self.came_at(now, arrival), &record, &parts[..count])
        {
            Ok(_) => {
                if let Some(Some(stream)) = self.live.get_mut(usize::from(pair)) {
                    stream.packets += 1;
                }
                self.statistics.packets += 1;
                self.statistics.octets += bytes.len() as u64;
            }
            Err(_) => self.handle_unwritten(pair, arrival),
        }
        if kind == records::RTCP {
            self.handle_rtcp(now, pair, source, bytes);
        }
    }

    /// Writes down who a number of a sender stands for, and the packet that waited for the sender
    /// to be proven. Answers whether the journal took it; if not, the next packet tries again.
    #[cold]
    fn introduce(&mut self, now: MonoTime, source: SocketAddr, record: &NewRecord) -> bool {
        let pair = record.source;
        let Some(Some(stream)) = self.live.get_mut(usize::from(pair)) else {
            return false;
        };
        // Of an encrypted stream the assembly says whom it listens to.
        if record.kind == records::RTP && !stream.is_protected() {
            self.outputs.push_back(Output::Notice(Notice::Latched {
                recording: stream.recording,
                stream: stream.desired.id,
                source,
            }));
        }
        let is_written = write_source(&mut self.journal, now, source, record).is_ok();
        if !is_written {
            stream.forget_source(record.flags);
        }
        let mut lost = None;
        if let Some((at, parts)) = stream.take_held() {
            let earlier = NewRecord {
                arrival: WallTime(at.0),
                ..*record
            };
            if is_written && self.journal.append(now, &earlier, &parts).is_ok() {
                self.statistics.packets += 1;
                stream.packets += 1;
            } else {
                lost = Some(earlier.arrival);
            }
        }
        if let Some(arrival) = lost {
            self.handle_unwritten(pair, arrival);
        }
        is_written
    }

    /// The kernel had to drop datagrams of a port, within this time.
    pub fn handle_drops(&mut self, within: Range<WallTime>, port: u16, count: u32) {
        let pair = port.wrapping_sub(self.config.ports.first) >> 1;
        if let Some(Some(stream)) = self.live.get_mut(usize::from(pair)) {
            stream.kernel_drops += u64::from(count);
            self.statistics.kernel_drops += u64::from(count);
            self.note_loss(pair, count, within);
        }
    }

    /// The kernel had to drop datagrams within this time, of which ports it does not tell.
    pub fn handle_overflow(&mut self, within: Range<WallTime>, count: u64) {
        self.statistics.kernel_drops += count;
        let noted = self.overflow.get_or_insert_with(|| Overflow {
            within: within.clone(),
            count: 0,
        });
        noted.within.start = noted.within.start.min(within.start);
        noted.within.end = noted.within.end.max(within.end);
        noted.count += count;
    }

    /// Octets of datagrams that the journal would take now; the shell offers no more than that and
    /// leaves the rest where it is, so that nothing has to be dropped here.
    pub fn room(&self) -> usize {
        self.journal.room()
    }

    /// Whether datagrams are left where they are, for want of [`Self::room`].
    pub fn set_held_back(&mut self, is_held_back: bool) {
        self.is_held_back = is_held_back;
    }

    /// The journal's completion of an [`Output::Journal`].
    pub fn handle_journal(
        &mut self,
        now: MonoTime,
        ticket: holdfast_journal::Ticket,
        result: Result<Option<B>, holdfast_journal::Failure<B>>,
    ) {
        self.journal.handle_completion(now, ticket, result);
        if let Some(took) = self.journal.poll_commit() {
            self.statistics.commits += 1;
            self.latencies.record(Stage::Commit, took);
        }
        self.take_committed(now);
        self.confirm();
    }

    /// Gives the journal a block.
    pub fn offer_block(&mut self, block: B) {
        self.journal.offer_block(block);
    }

    /// The end of an [`Output::Disk`].
    pub fn handle_disk(&mut self, now: MonoTime, wall: WallTime, result: DiskResult) {
        let failure = match &result {
            DiskResult::Synced(result) => {
                if let Some(bytes) = self.checkpointer.handle_synced(result.is_ok()) {
                    self.outputs
                        .push_back(Output::Disk(DiskOrder::SaveCheckpoint { bytes }));
                }
                result.clone().err()
            }
            DiskResult::CheckpointSaved(result) => {
                if let Some(lsn) = self.checkpointer.handle_saved(result.is_ok()) {
                    self.journal.checkpoint(lsn.min(self.kept_from));
                }
                result.clone().err()
            }
            DiskResult::TrackWritten { result: Err(_), .. }
            | DiskResult::WriteFailed { .. }
            | DiskResult::DocumentFailed { .. } => {
                self.checkpointer.give_up();
                None
            }
            DiskResult::TrackWritten { .. } | DiskResult::Published { .. } => None,
        };
        if let Some(error) = failure {
            self.outputs
                .push_back(Output::Notice(Notice::CheckpointFailed(error)));
        }
        match self.assembly.handle_result(result) {
            Some(Finished::Published(recording, published)) => {
                self.handle_published(now, wall, recording, published);
            }
            Some(Finished::Failed(recording, error)) => {
                self.outputs
                    .push_back(Output::Notice(Notice::Failed(recording, error)));
            }
            None => {}
        }
    }

    /// One tick: what is due, and a share of what is not urgent.
    pub fn handle_tick(&mut self, now: MonoTime, wall: WallTime) {
        self.moment = (now, wall);
        self.write_losses(now);
        self.write_given_up(now, wall);
        self.journal.handle_timeout(now);
        while let Some(event) = self.journal.poll_event() {
            self.statistics.journal_failures += u64::from(event.is_failure());
            self.outputs
                .push_back(Output::Notice(Notice::Journal(event)));
        }
        self.assemble(wall);
        self.advance_checkpoint(now);
        self.send_reports(now);
        if self.next_housekeeping <= now {
            self.next_housekeeping = now + HOUSEKEEPING_INTERVAL;
            self.assembly.retry();
            self.give_up_stale(now);
            for recording in std::mem::take(&mut self.unremoved) {
                self.forget(now, wall, recording);
            }
            self.end_orphans(now, wall);
            self.tell_statistics(now);
        }
    }

    /// What the shell has to do next.
    pub fn poll_output(&mut self) -> Option<Output<B>> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        self.journal
            .poll_output()
            .map(Output::Journal)
            .or_else(|| self.assembly.poll_order().map(Output::Disk))
    }

    /// Whether somebody waits for a commit.
    pub fn is_awaited(&self) -> bool {
        !self.confirmations.is_empty()
    }

    /// A turn took so long: for the statistics alone.
    pub fn note_turn(&mut self, took: Duration) {
        self.latencies.record(Stage::Turn, took);
    }

    /// The time of day at a moment near the last turn.
    fn wall(&self, now: MonoTime) -> WallTime {
        let (then, wall) = self.moment;
        WallTime(wall.0.saturating_add(now.0.saturating_sub(then.0)))
    }

    /// When a datagram came, by the clock of deadlines: what has waited for its turn must not wait
    /// for a whole commit interval from now on. A clock that was set has no say beyond one.
    fn came_at(&self, now: MonoTime, arrival: WallTime) -> MonoTime {
        let age = self.wall(now).since(arrival).min(LATE_MAX);
        MonoTime(now.0.saturating_sub(age.as_nanos() as u64))
    }

    /// Whether any stream receives or anything is on its way: the tick may be longer if not.
    pub fn is_idle(&self) -> bool {
        self.recordings.is_empty() && self.assembly.pieces_in_flight() == 0
    }

    /// Whether there are recordings that have not been published.
    pub fn has_recordings(&self) -> bool {
        !self.recordings.is_empty()
    }

    /// Whether all that was received is in the journal, durably, and nothing waits for publication
    /// that has ended: the process may end without losing anything.
    pub fn is_settled(&self) -> bool {
        let is_durable = self.journal.committed() == self.journal.next_lsn();
        is_durable && self.recordings.values().all(LiveRecording::is_active)
    }

    /// The number that the next record gets.
    pub fn next_lsn(&self) -> Lsn {
        self.journal.next_lsn()
    }

    /// Everything below this number is durable.
    pub fn committed_lsn(&self) -> Lsn {
        self.journal.committed()
    }

    /// Has the journal keep its records from this number on, whether or not the tracks have them: an
    /// ingest that offers packets again after a crash needs them to know which.
    pub fn keep_from(&mut self, lsn: Lsn) {
        self.kept_from = lsn;
    }

    /// Makes everything durable as soon as the disk can.
    pub fn request_commit(&mut self, now: MonoTime) {
        self.journal.request_commit(now);
    }

    /// Pieces of tracks that are kept to be used again: not more than there are streams.
    pub fn spare_pieces(&self) -> usize {
        self.assembly.spare_pieces()
    }

    /// Records that had no stream when they were assembled. None, unless something is wrong.
    pub fn unknown_records(&self) -> u64 {
        self.assembly.unknown()
    }

    /// Tells signaling what has become durable.
    pub(crate) fn confirm(&mut self) {
        let committed = self.journal.committed();
        while let Some((end, _)) = self.confirmations.front() {
            if *end > committed {
                break;
            }
            if let Some((_, message)) = self.confirmations.pop_front() {
                self.tell(message);
            }
        }
    }

    pub(crate) fn tell(&mut self, message: FromEngine) {
        self.outputs
            .push_back(Output::Event(ShardEvent::Tell(message)));
    }
}

/// So many datagrams ahead a stream's memory is asked for.
const AHEAD: usize = 8;

/// Writes down who a number of a sender stands for.
fn write_source<B: AsRef<[u8]> + AsMut<[u8]>>(
    journal: &mut Writer<B>,
    now: MonoTime,
    source: SocketAddr,
    record: &NewRecord,
) -> Result<Lsn, Full> {
    let mut room = [0; 64];
    let address = postcard::to_slice(&source, &mut room).expect("an address fits");
    let record = NewRecord {
        kind: records::SOURCE,
        ..*record
    };
    journal.append(now, &record, &[address])
}
