//! A shard on its core: a glommio executor that gives the shard time, packets and completions, and
//! carries out what it asks for.
//!
//! It works in ticks. The disk answers in between: a completion is handed to the shard when it comes,
//! and what follows from it is carried out at once, so a commit costs the disk's time and no tick.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use glommio::{LocalExecutorBuilder, Placement};
use holdfast_journal::{
    Event as JournalEvent, Failure, Lsn, Output as JournalOutput, Ticket, Writer, WriterConfig,
};
use holdfast_lifeline::Lifeline;
use holdfast_shard::{Command, Datagram, Notice, Output, Shard, ShardConfig, ShardEvent};
use holdfast_sys::{Arrival, Ingest, PassedOver, UdpIngest, clock};
use holdfast_units::{MonoTime, WallTime};
use tracing::{error, info, warn};

use crate::block::Block;
use crate::calls::CallNames;
use crate::disk::Disk;
use crate::endings::Endings;
use crate::ingest::{IngestWatch, ShardIngest};
use crate::intake::Intake;
use crate::known::KnownPackets;
use crate::recovery::Recovered;
use crate::segments::Segments;
use crate::{kept_blocks, kept_sockets};

/// Octets of a block of the journal.
pub const BLOCK_SIZE: usize = 1024 * 1024;

/// Blocks of a shard: what the journal may hold while the disk is slow.
pub const BLOCKS: usize = 64;

/// A shard with nothing to do ticks this many times slower.
const IDLE_TICKS: u32 = 5;

/// What the executor gets of a tick: what has ended is told, what follows from it is asked for, and that
/// is handed to the kernel.
const EXECUTOR_TIME: Duration = Duration::from_micros(200);

/// After so many turns without a datagram there is nothing to do: the time of a few packets.
const QUIET_TURNS: u32 = 50;

/// What a shard's thread is given.
pub struct ShardSetup {
    pub core: usize,
    pub config: ShardConfig,
    pub journal: WriterConfig,
    pub journal_dir: std::path::PathBuf,
    pub recovered: Recovered,
    pub tick: Duration,
    pub packet_size_max: usize,
    pub ingest: ShardIngest,
    /// Packets that are not offered.
    pub passed_over: Vec<PassedOver>,
    /// Keeps what this process receives by, should it die.
    pub lifeline: Lifeline,
    pub commands: Receiver<Command>,
    pub events: Sender<(usize, ShardEvent)>,
    pub disk: Disk,
    /// The names of the calls.
    pub calls: CallNames,
    /// Set when the process is to end; the thread ends when nothing would be lost by it.
    pub stop: Arc<AtomicBool>,
    /// Set at the end where there are recordings that go on after the next start.
    pub goes_on: Arc<AtomicBool>,
    /// Told once the shard receives.
    pub ready: Sender<()>,
}

struct State {
    shard: Shard<Block>,
    ingest: Box<dyn Ingest>,
    /// What the ingest may offer again.
    known: KnownPackets,
    lifeline: Lifeline,
    watch: IngestWatch,
    intake: Intake,
    endings: Endings,
    segments: Segments,
    disk: Disk,
    events: Sender<(usize, ShardEvent)>,
    calls: CallNames,
    index: usize,
    /// Requests of the journal that are under way.
    in_flight: usize,
    /// Turns since a datagram came.
    quiet_turns: u32,
    /// The last turn took as many datagrams as it may, so there may be more.
    has_more: bool,
}

/// Starts the thread of a shard.
pub fn start(setup: ShardSetup) -> io::Result<std::thread::JoinHandle<()>> {
    let index = usize::from(setup.config.index);
    std::thread::Builder::new()
        .name(format!("shard-{index}"))
        .spawn(move || {
            // The ring of requests holds what one tick can ask for; buffers are the allocator's.
            let executor = LocalExecutorBuilder::new(Placement::Fixed(setup.core))
                .name(&format!("shard-{index}"))
                .ring_depth(256)
                .io_memory(64 * 1024)
                .make();
            match executor {
                Ok(executor) => executor.run(run(setup)),
                Err(error) => error!(shard = index, %error, "no executor for a shard"),
            }
        })
}

async fn run(setup: ShardSetup) {
    let index = usize::from(setup.config.index);
    let ports = setup.config.ports;
    let ingest: Box<dyn Ingest> = match setup.ingest {
        ShardIngest::Ring(ingest) => ingest,
        ShardIngest::Udp(kept) => {
            let slice = (ports.first, ports.last);
            match UdpIngest::with_kept(slice, setup.packet_size_max, kept) {
                Ok(ingest) => Box::new(ingest),
                Err(error) => return error!(shard = index, %error, "no ingest for a shard"),
            }
        }
    };
    let Recovered {
        assembly,
        counts,
        start,
        known,
        ..
    } = setup.recovered;
    let segments = Segments::new(setup.journal_dir, setup.journal.shard);
    let (shard, journal_id) = (setup.config.index, setup.journal.journal);
    let mut journal = Writer::new(setup.journal, start);
    let blocks = match ingest.floor() {
        // The ring has what is not on disk.
        Some(_) => std::iter::repeat_with(|| Block::new(BLOCK_SIZE))
            .take(BLOCKS)
            .collect(),
        None => kept_blocks::make(&setup.lifeline, shard, journal_id, BLOCK_SIZE, BLOCKS),
    };
    for block in blocks {
        journal.offer_block(block);
    }
    let (now, wall) = (clock::monotonic(), clock::wall());
    let shard = Shard::new(now, wall, setup.config, journal, assembly, counts);
    let (disk, events) = (setup.disk, setup.events);
    let mut state = State {
        shard,
        ingest,
        known,
        lifeline: setup.lifeline,
        watch: IngestWatch::new(wall),
        intake: Intake::new(now, setup.packet_size_max),
        endings: Endings::default(),
        segments,
        disk,
        events,
        calls: setup.calls,
        index,
        in_flight: 0,
        quiet_turns: 0,
        has_more: false,
    };
    state.keep_journal();
    let state = Rc::new(RefCell::new(state));
    carry_out(&state);
    {
        let State { shard, ingest, .. } = &mut *state.borrow_mut();
        ingest.handle_resumed();
        for PassedOver { port, count, from } in setup.passed_over {
            shard.handle_drops(from..wall, port, count);
        }
    }
    info!(
        shard = index,
        core = setup.core,
        first = ports.first,
        last = ports.last,
        "receiving"
    );
    let _ = setup.ready.send(());
    loop {
        let began = clock::monotonic();
        let is_idle = turn(&state, &setup.commands);
        state
            .borrow_mut()
            .shard
            .note_turn(clock::monotonic().since(began));
        if setup.stop.load(Ordering::Relaxed) && is_settled(&state) {
            break;
        }
        let ticks = if is_idle { IDLE_TICKS } else { 1 };
        rest(&state, setup.tick * ticks).await;
    }
    if state.borrow().shard.has_recordings() {
        setup.goes_on.store(true, Ordering::Relaxed);
    }
    // A request to the disk that is still under way keeps the state, and with it the disk threads and
    // the publishers behind them. Nothing is ordered any more, so they may end.
    let (nowhere, _) = crossbeam_channel::bounded(0);
    state.borrow_mut().disk.orders = nowhere;
}

/// Waits for the next tick.
///
/// The executor polls the disk without a pause while a request is under way, which at a load where there
/// always is one costs as much as half of what is done for the packets. So it gets a part of each tick,
/// and all of it only where a call waits for a commit. Where the last turn has left datagrams behind, it
/// gets its part and no more, else what a stall of the disk has left would take long to be made up for.
async fn rest(state: &Rc<RefCell<State>>, time: Duration) {
    let (is_busy, is_awaited, has_more) = {
        let state = state.borrow();
        let is_busy = state.in_flight > 0;
        (is_busy, state.shard.is_awaited(), state.has_more)
    };
    if has_more {
        return glommio::timer::sleep(EXECUTOR_TIME).await;
    }
    if is_busy && is_awaited {
        return glommio::timer::sleep(time).await;
    }
    if is_busy {
        std::thread::sleep(time.saturating_sub(EXECUTOR_TIME));
        glommio::timer::sleep(EXECUTOR_TIME).await;
    } else {
        std::thread::sleep(time);
    }
}

/// One tick. Answers whether the shard has nothing to do.
fn turn(state: &Rc<RefCell<State>>, commands: &Receiver<Command>) -> bool {
    let (now, wall) = (clock::monotonic(), clock::wall());
    let is_caught_up = receive(state, now);
    carry_out(state);
    // What was said while packets wait that came before it has to wait for them.
    if is_caught_up {
        take_commands(state, commands, now, wall);
    }
    loop {
        let result = state.borrow().disk.results.try_recv();
        let Ok(result) = result else { break };
        state.borrow_mut().shard.handle_disk(now, wall, result);
    }
    state.borrow_mut().shard.handle_tick(now, wall);
    carry_out(state);
    {
        let state = &mut *state.borrow_mut();
        // Release is the acknowledgement: what the journal holds need not wait in the ring.
        state.ingest.release(state.shard.committed_lsn().0);
        state.keep_journal();
        let is_held_back = state.intake.is_holding();
        let ingest = state.ingest.as_mut();
        let lost = state.watch.look(now, is_held_back, state.index, ingest);
        if let Some((within, count)) = lost {
            state.shard.handle_overflow(within, count);
        }
    }
    let state = state.borrow();
    state.shard.is_idle() || state.quiet_turns >= QUIET_TURNS
}

/// Takes what has arrived, as far as the journal has room for it: the rest waits in the kernel. Answers
/// whether there is nothing left of a former process.
fn receive(state: &Rc<RefCell<State>>, now: MonoTime) -> bool {
    let State {
        shard,
        ingest,
        known,
        intake,
        quiet_turns,
        has_more,
        ..
    } = &mut *state.borrow_mut();
    let budget = intake.budget(shard.room());
    let mut drops = Vec::new();
    let mut sink = |arrivals: &[Arrival<'_>]| {
        if known.is_empty() {
            return shard.handle_datagrams(now, arrivals.iter().map(datagram));
        }
        for arrival in arrivals {
            if !known.take(arrival.port, arrival.arrival, arrival.bytes) {
                shard.handle_datagram(now, &datagram(arrival));
            }
        }
    };
    let mut taken = 0;
    if budget > 0 {
        match ingest.poll(budget, &mut sink, &mut |drop| drops.push(drop)) {
            Ok(count) => taken = count,
            Err(error) => error!(%error, "the ingest of a shard fails"),
        }
        *quiet_turns = match taken {
            0 => quiet_turns.saturating_add(1),
            _ => 0,
        };
    }
    *has_more = taken > 0 && taken >= budget;
    intake.handle_polled(now, budget, taken, ingest.holds_back());
    shard.set_held_back(intake.is_held_back(now));
    ingest.handle_position(shard.next_lsn().0);
    for drop in drops {
        shard.handle_drops(drop.from..drop.to, drop.port, drop.count);
    }
    let is_caught_up = !ingest.is_catching_up();
    if is_caught_up && !known.is_empty() {
        *known = KnownPackets::default();
    }
    is_caught_up
}

fn take_commands(
    state: &Rc<RefCell<State>>,
    commands: &Receiver<Command>,
    now: MonoTime,
    wall: WallTime,
) {
    for command in commands.try_iter() {
        let command = state.borrow_mut().endings.take(now, command);
        if let Some(command) = command {
            hand_on(state, now, wall, command);
        }
    }
    loop {
        let due = {
            let state = &mut *state.borrow_mut();
            state.endings.due(state.intake.drained_at())
        };
        let Some(command) = due else { break };
        hand_on(state, now, wall, command);
    }
}

const fn datagram<'a>(arrival: &Arrival<'a>) -> Datagram<'a> {
    Datagram {
        port: arrival.port,
        source: arrival.source,
        arrival: arrival.arrival,
        bytes: arrival.bytes,
        truncated: arrival.truncated,
    }
}

fn hand_on(state: &Rc<RefCell<State>>, now: MonoTime, wall: WallTime, command: Command) {
    state.borrow_mut().shard.handle_command(now, wall, command);
    carry_out(state);
}

fn is_settled(state: &Rc<RefCell<State>>) -> bool {
    let settled = {
        let state = state.borrow();
        let is_read = !state.ingest.is_catching_up();
        is_read && state.endings.is_empty() && state.shard.is_settled()
    };
    if !settled {
        state.borrow_mut().shard.request_commit(clock::monotonic());
        carry_out(state);
    }
    settled
}

/// Carries out what the shard asks for, until it asks for nothing more.
fn carry_out(state: &Rc<RefCell<State>>) {
    loop {
        let output = state.borrow_mut().shard.poll_output();
        let Some(output) = output else { return };
        match output {
            Output::Journal(output) => carry_out_journal(state, output),
            output => state.borrow_mut().carry_out(output),
        }
    }
}

impl State {
    fn carry_out(&mut self, output: Output<Block>) {
        match output {
            Output::Disk(order) => {
                // The threads end only with the process.
                let _ = self.disk.orders.send(order);
            }
            Output::Open {
                stream,
                address,
                rtp_port,
                rtcp_port,
            } => {
                let result = self.open(address, rtp_port, rtcp_port);
                let (now, wall) = (clock::monotonic(), clock::wall());
                self.shard.handle_opened(now, wall, stream, result);
            }
            Output::Close { port } => self.close(port),
            Output::Send {
                from_port,
                to,
                bytes,
            } => {
                // A report that does not leave is made up for by the next.
                let _ = self.ingest.send(from_port, to, &bytes);
            }
            Output::Event(mut event) => {
                if let ShardEvent::Statistics(statistics) = &mut event {
                    statistics.ingest = self.watch.figures(self.ingest.as_ref());
                }
                let _ = self.events.send((self.index, event));
            }
            Output::Notice(notice) => log(self.index, &self.calls, &notice),
            Output::Journal(_) => unreachable!("carried out by the caller"),
        }
    }

    fn open(
        &mut self,
        address: std::net::IpAddr,
        rtp_port: u16,
        rtcp_port: u16,
    ) -> Result<(), String> {
        let told = |port| move |error: io::Error| format!("port {port} of {address}: {error}");
        self.ingest
            .open(address, rtp_port)
            .map_err(told(rtp_port))?;
        if rtcp_port != rtp_port
            && let Err(error) = self.ingest.open(address, rtcp_port)
        {
            self.ingest.close(rtp_port);
            return Err(told(rtcp_port)(error));
        }
        for port in BTreeSet::from([rtp_port, rtcp_port]) {
            kept_sockets::keep(&self.lifeline, port, self.ingest.socket(port));
        }
        Ok(())
    }

    fn close(&mut self, port: u16) {
        if self.ingest.socket(port).is_some() {
            kept_sockets::let_go(&self.lifeline, port);
        }
        self.ingest.close(port);
    }

    /// What the ingest would offer again if this process died, the journal has to know.
    fn keep_journal(&mut self) {
        if let Some(floor) = self.ingest.floor() {
            self.shard.keep_from(Lsn(floor));
        }
    }
}

fn carry_out_journal(state: &Rc<RefCell<State>>, output: JournalOutput<Block>) {
    let state = state.clone();
    state.borrow_mut().in_flight += 1;
    let task = async move {
        let segments = state.borrow().segments.clone();
        match output {
            JournalOutput::OpenSegment {
                ticket,
                number,
                reuse,
                header,
            } => {
                let result = segments.open(number, reuse, header).await;
                complete(&state, ticket, None, result);
            }
            JournalOutput::Write {
                ticket,
                segment,
                offset,
                block,
                len,
            } => {
                let result = segments.write(segment, offset, &block, len).await;
                complete(&state, ticket, Some(block), result);
            }
            JournalOutput::Sync { ticket, segment } => {
                let result = segments.sync(segment).await;
                complete(&state, ticket, None, result);
            }
            JournalOutput::DeleteSegment { ticket, number } => {
                let result = segments.delete(number).await;
                complete(&state, ticket, None, result);
            }
        }
    };
    glommio::spawn_local(task).detach();
}

fn complete(
    state: &Rc<RefCell<State>>,
    ticket: Ticket,
    block: Option<Block>,
    result: io::Result<()>,
) {
    let now = clock::monotonic();
    state.borrow_mut().in_flight -= 1;
    let result = match result {
        Ok(()) => Ok(block),
        Err(error) => Err(Failure {
            block,
            error: error.kind(),
        }),
    };
    state.borrow_mut().shard.handle_journal(now, ticket, result);
    carry_out(state);
}

fn log(shard: usize, calls: &CallNames, notice: &Notice) {
    let _call = notice.recording().map(|recording| calls.enter(recording));
    match notice {
        Notice::Journal(JournalEvent::Recovered { committed }) => {
            info!(shard, %committed, "the journal is written again");
        }
        Notice::Journal(event) => error!(shard, ?event, "the journal is in trouble"),
        Notice::Failed(recording, error) => {
            error!(%recording, %error, "a recording could not be written; it is tried again");
        }
        Notice::CheckpointFailed(error) => warn!(shard, %error, "no checkpoint; it is tried again"),
        Notice::Latched {
            recording,
            stream,
            source,
        } => {
            info!(%recording, %stream, %source, "media comes from here");
        }
        Notice::Orphaned(recording) => warn!(%recording, "nobody claims this recording; it ends"),
        Notice::Mute(mute) => {
            let cause = mute.likely_cause();
            warn!(recording = %mute.recording, stream = %mute.stream, suite = %mute.suite,
                packets = mute.packets, cause, "nothing of an encrypted stream authenticates");
        }
        Notice::Dropped {
            recording,
            stream,
            count,
        } => {
            error!(%recording, %stream, count, "packets could not be kept");
        }
    }
}
