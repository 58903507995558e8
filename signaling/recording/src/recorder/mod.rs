//! The recorder: which call is up, what the engine is to do about it, and what the peer is told.
//!
//! Feed it SIP messages, what the engine says, and time; after each, drain
//! [`Recorder::poll_output`] in order. It owns the SIP endpoint and the ports, and it opens nothing.
//!
//! Invariants: a 200 with a session description leaves only when the engine has confirmed that its
//! streams receive and that all said so far is in its journal; a change that is refused has changed
//! nothing; what the engine has is told to it again, whole, after either side was away.

mod asking;
mod call;
mod config;
mod content;
mod correlation;
mod deadlines;
mod describe;
mod documents;
mod ending;
mod engine;
mod facts;
mod handover;
mod in_dialog;
mod invite;
mod keeping;
mod marks;
mod naming;
mod operator;
mod outgoing;
mod output;
mod proposal;
mod reconcile;
mod replaces;
mod saved;
mod sealing;
mod session_timer;
mod silence;
mod timers;
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use holdfast_control::{FromEngine, ToEngine};
use holdfast_sip::digest::Credentials;
use holdfast_sip::endpoint::{Advertised, DialogId, Owner, ServerTx};
use holdfast_sip::stream::BrokenStream;
use holdfast_sip::{Endpoint, Entropy, Event, Flow, FlowInfo, Reply, Status};
use holdfast_units::{MonoTime, RecordingId, WallTime};

pub use config::RecorderConfig;
pub use keeping::{Saving, WhenStoreAway};
pub use naming::CallName;
pub use outgoing::Destination;
pub use output::{Notice, Output, RefusedBecause, Statistics};
pub use replaces::SameSession;
pub use saved::{RestoreError, Stored};

pub(crate) use content::AGENT;

use crate::admission::{Admission, Gate, NotAdmitted, Sender};
use crate::limits::FAREWELL_MAX;
use crate::ports::PortAllocator;
use call::Call;
use deadlines::Deadlines;
use engine::Link;
use facts::StreamIds;
use handover::Searches;
use keeping::Keeping;
use outgoing::Outgoing;

/// The call logic of a session recording server.
pub struct Recorder {
    config: Arc<RecorderConfig>,
    /// The same for each peer that has rules of its own.
    peer_configs: Vec<Arc<RecorderConfig>>,
    admission: Admission,
    /// Who sent the request in hand.
    sender: Sender,
    entropy: Box<dyn Entropy>,
    endpoint: Endpoint,
    outputs: VecDeque<Output>,
    link: Link,
    ports: PortAllocator,
    calls: BTreeMap<RecordingId, Call>,
    call_by_dialog: BTreeMap<DialogId, RecordingId>,
    /// Calls of ours that have no 2xx yet.
    outgoing: BTreeMap<DialogId, Outgoing>,
    /// By the transaction of an INVITE that waits for the engine.
    call_by_tx: BTreeMap<ServerTx, RecordingId>,
    /// Recordings that the engine holds and nobody here knows, with their ports.
    orphans: BTreeMap<RecordingId, Vec<u16>>,
    deadlines: Deadlines,
    keeping: Keeping,
    searches: Searches,
    stream_ids: StreamIds,
    /// The id of the last session description of ours.
    sdp_session: u64,
    /// Names this process to the engine.
    instance: u64,
    stopping: Stopping,
    /// No new calls are wanted; those that are up go on.
    is_draining: bool,
    statistics: Statistics,
}

/// How far the end of the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    /// Every call has been ended; peers may answer until then.
    Until(MonoTime),
    /// No peer is waited for any more.
    Overdue,
    /// The calls are left for whoever goes on with them.
    Leaving,
}

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Now {
    mono: MonoTime,
    wall: WallTime,
}

/// An answer that refuses a request, and why.
#[derive(Debug)]
struct Refusal {
    reply: Box<Reply>,
    cause: RefusedBecause,
}

impl Refusal {
    fn new(reply: Reply, cause: RefusedBecause) -> Self {
        Self {
            reply: Box::new(reply),
            cause,
        }
    }
}

impl Recorder {
    /// A recorder without calls, whose engine is away. `started` keeps its identities apart from
    /// those of the process before it.
    pub fn new(config: RecorderConfig, mut entropy: Box<dyn Entropy>, started: WallTime) -> Self {
        let mut random = [0; 10];
        entropy.fill(&mut random);
        let [a, b, instance @ ..] = random;
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        let peers = config.admission.peers.iter();
        Self {
            peer_configs: peers.map(|peer| Arc::new(config.of_peer(peer))).collect(),
            admission: Admission::new(config.admission.clone(), secret),
            sender: Sender::default(),
            endpoint: Endpoint::new(config.endpoint.clone()),
            entropy,
            outputs: VecDeque::new(),
            link: Link::Away,
            ports: PortAllocator::new(config.port_quarantine),
            calls: BTreeMap::new(),
            call_by_dialog: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            call_by_tx: BTreeMap::new(),
            orphans: BTreeMap::new(),
            deadlines: Deadlines::default(),
            keeping: Keeping::new(&config),
            searches: Searches::default(),
            stream_ids: StreamIds::new(started, u16::from_le_bytes([a, b])),
            // As RFC 8866 §5.2 suggests: seconds since 1900.
            sdp_session: started.unix_seconds().wrapping_add(NTP_OFFSET_SECONDS),
            instance: u64::from_le_bytes(instance),
            stopping: Stopping::No,
            is_draining: false,
            statistics: Statistics::default(),
            config: Arc::new(config),
        }
    }

    /// A datagram, or a message that was cut out of a stream.
    pub fn handle_sip(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        flow: Flow,
        source: &FlowInfo,
        bytes: &[u8],
    ) {
        let (calls, by_dialog) = (&self.calls, &self.call_by_dialog);
        let mut gate = Gate {
            admission: &mut self.admission,
            sender_of: |dialog| Some(&calls.get(by_dialog.get(&dialog)?)?.sender),
            outputs: &mut self.outputs,
            sender: Sender::default(),
        };
        let rng = self.entropy.as_mut();
        self.endpoint
            .handle_message_at(now, flow, source, bytes, rng, &mut gate);
        self.sender = gate.sender;
        self.drain(Now { mono: now, wall });
    }

    /// The peer of a connection has shown a certificate with these names (RFC 5922 §7.1).
    pub fn handle_identity(&mut self, flow: Flow, names: Vec<String>) {
        self.admission.handle_identity(flow, names);
    }

    /// Whether a connection is worth being taken at all.
    ///
    /// # Errors
    ///
    /// Its address is not allowed, or comes too often.
    pub fn admit_connection(
        &mut self,
        now: MonoTime,
        remote: SocketAddr,
    ) -> Result<(), NotAdmitted> {
        self.admission.admit_connection(now, remote)
    }

    /// Takes other Digest credentials.
    pub fn replace_credentials(&mut self, credentials: Credentials) {
        self.admission.replace_credentials(credentials);
    }

    /// Announces other addresses from now on.
    pub fn replace_advertised(&mut self, advertised: Vec<Advertised>) {
        self.endpoint.replace_advertised(advertised);
    }

    /// Whether a call would send its next request on this connection.
    pub fn uses_flow(&self, flow: Flow) -> bool {
        self.endpoint.uses_flow(flow)
    }

    /// A stream has lost its framing.
    pub fn handle_broken_stream(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        flow: Flow,
        source: &FlowInfo,
        broken: &BrokenStream,
    ) {
        self.endpoint.handle_broken_stream(flow, source, broken);
        self.drain(Now { mono: now, wall });
    }

    /// A connection is gone.
    pub fn handle_flow_closed(&mut self, now: MonoTime, wall: WallTime, flow: Flow) {
        self.admission.handle_flow_closed(flow);
        self.endpoint.handle_flow_closed(now, flow);
        self.drain(Now { mono: now, wall });
    }

    /// A message could not be sent.
    pub fn handle_transport_error(&mut self, now: MonoTime, wall: WallTime, owner: Owner) {
        self.endpoint.handle_transport_error(now, owner);
        self.drain(Now { mono: now, wall });
    }

    /// The engine said something; [`FromEngine::Hello`] begins a connection.
    pub fn handle_engine(&mut self, now: MonoTime, wall: WallTime, message: FromEngine) {
        let now = Now { mono: now, wall };
        self.take_engine_message(now, message);
        self.drain(now);
    }

    /// The connection to the engine is gone.
    pub fn handle_engine_gone(&mut self, now: MonoTime, wall: WallTime) {
        let now = Now { mono: now, wall };
        self.lose_engine(now);
        self.drain(now);
    }

    /// Lets time pass. Call it when [`Recorder::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: MonoTime, wall: WallTime) {
        let both = Now { mono: now, wall };
        self.endpoint.handle_timeout(now);
        self.drain(both);
        self.judge_store(both);
        // A deadline is set anew after `now` or not at all, so this ends.
        if matches!(self.stopping, Stopping::Until(until) if until <= now) {
            self.stopping = Stopping::Overdue;
        }
        while let Some((call, timer)) = self.deadlines.expired(now) {
            self.expire(both, call, timer);
            self.drain(both);
        }
    }

    /// When [`Recorder::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        let farewell = match self.stopping {
            Stopping::Until(until) => Some(until),
            Stopping::No | Stopping::Overdue | Stopping::Leaving => None,
        };
        let store = self.keeping.poll_timeout();
        let own = self
            .deadlines
            .next()
            .into_iter()
            .chain(farewell)
            .chain(store);
        self.endpoint.poll_timeout().into_iter().chain(own).min()
    }

    /// Ends every call; further INVITEs get 503.
    pub fn begin_shutdown(&mut self, now: MonoTime, wall: WallTime) {
        let now = Now { mono: now, wall };
        if self.stopping == Stopping::No {
            self.stopping = Stopping::Until(now.mono + FAREWELL_MAX);
            self.end_all(now);
            self.drain(now);
        }
    }

    /// Leaves every call as it is, for the next process or another node; further INVITEs get 503.
    pub fn begin_handover(&mut self, now: MonoTime, wall: WallTime) {
        if self.stopping == Stopping::No {
            self.stopping = Stopping::Leaving;
            self.drain(Now { mono: now, wall });
        }
    }

    /// Whether all that was said is saved, and nobody waits for an answer.
    fn is_handed_over(&self) -> bool {
        let is_settled = |call: &Call| call.exchange().is_none();
        self.keeping.is_settled() && self.calls.values().all(is_settled)
    }

    /// Whether a shutdown is complete: every recording is published, and every BYE is answered or
    /// has had its time. Without an engine nobody publishes: its next start does.
    pub fn is_finished(&self) -> bool {
        let is_published = self.calls.is_empty() || matches!(self.link, Link::Away);
        let is_said = match self.stopping {
            Stopping::No => false,
            Stopping::Leaving => return self.is_handed_over(),
            Stopping::Until(_) => self.endpoint.dialog_count() == 0,
            Stopping::Overdue => true,
        };
        is_published && is_said
    }

    /// What to do next; in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether an operator wants no new calls here.
    pub const fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Counts.
    pub fn statistics(&self) -> Statistics {
        let calls = self.calls.values().filter(|call| call.is_active()).count();
        Statistics {
            calls,
            publishing: self.calls.len() - calls,
            orphans: self.orphans.len(),
            admission: self.admission.counts(),
            transactions: self.endpoint.transaction_count(),
            dialogs: self.endpoint.dialog_count(),
            port_pairs: self.ports.used_pairs(),
            port_pairs_max: self.ports.pairs(),
            ..self.statistics.clone()
        }
    }

    /// Pairs of ports that streams could have at once.
    pub fn free_pairs(&mut self, now: MonoTime) -> usize {
        self.ports.free_pairs(now)
    }

    fn notice(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notice(notice));
    }

    fn tell_engine(&mut self, message: ToEngine) {
        self.outputs.push_back(Output::Engine(message));
    }

    /// The local address of the media of a call that came by this way.
    fn media_address(&self, source: &FlowInfo) -> IpAddr {
        let local = source.local.ip().to_canonical();
        match self.config.media_address {
            Some(address) if address.is_ipv4() == local.is_ipv4() => address,
            Some(_) | None => local,
        }
    }

    /// Passes on what the endpoint wants done, and acts on what it says happened.
    fn drain(&mut self, now: Now) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                holdfast_sip::Output::Transmit { to, bytes, owner } => {
                    self.count_response(&bytes);
                    self.send_or_hold(Output::Transmit { to, bytes, owner }, owner);
                }
                holdfast_sip::Output::CloseFlow(flow) => {
                    self.outputs.push_back(Output::CloseFlow(flow));
                }
                holdfast_sip::Output::Event(event) => self.handle_event(now, event),
            }
        }
        self.save_touched(now);
    }

    fn count_response(&mut self, bytes: &[u8]) {
        let class = bytes
            .strip_prefix(b"SIP/2.0 ")
            .and_then(|rest| rest.first());
        let index = class.map(|digit| usize::from(digit.wrapping_sub(b'0')));
        if let Some(count) = index.and_then(|index| self.statistics.responses.get_mut(index)) {
            *count += 1;
        }
    }

    fn handle_event(&mut self, now: Now, event: Event) {
        if let Some(dialog) = dialog_heard(&event) {
            self.note_heard(now, dialog);
        }
        match event {
            Event::Invite {
                tx,
                request,
                source,
            } => self.handle_invite(now, tx, request, source),
            Event::Reinvite {
                tx,
                dialog,
                request,
                source,
            }
            | Event::Update {
                tx,
                dialog,
                request,
                source,
            } => {
                let request = call::InDialog {
                    tx,
                    request,
                    source,
                };
                self.handle_in_dialog(now, dialog, request);
            }
            Event::Bye {
                tx,
                dialog,
                request,
                ..
            } => self.handle_bye(now, tx, dialog, &request),
            Event::Options {
                tx,
                dialog,
                request,
                source,
            } => {
                self.handle_options(now, tx, dialog.is_some(), &request, &source);
            }
            Event::InDialogOther { tx, .. } => self.refuse_method(now, tx),
            Event::Cancelled { tx, cause } => self.handle_cancelled(now, tx, cause),
            Event::Ack {
                dialog, request, ..
            } => self.handle_ack(now, dialog, &request),
            Event::AckTimeout { dialog, .. } => self.handle_no_ack(now, dialog),
            Event::Response {
                client,
                dialog,
                response,
            } => {
                self.handle_response(now, dialog, client, &response);
            }
            Event::Forked {
                client,
                dialog,
                response,
            } => self.handle_forked(now, client, dialog, &response),
            Event::RequestFailed {
                client,
                dialog,
                cause,
                ..
            } => {
                self.handle_request_failed(now, dialog, client, cause);
            }
            Event::DialogGone { dialog, cause } => self.handle_dialog_gone(now, dialog, cause),
            Event::Malformed { fault, source, .. } => {
                self.statistics.malformed += 1;
                self.notice(Notice::Malformed {
                    peer: source.remote,
                    fault,
                });
            }
        }
    }

    /// The rules for whoever sent a request.
    fn config_of(&self, sender: &Sender) -> Arc<RecorderConfig> {
        let own = sender.peer.and_then(|peer| self.peer_configs.get(peer));
        own.unwrap_or(&self.config).clone()
    }

    fn config_of_call(&self, id: RecordingId) -> Arc<RecorderConfig> {
        let sender = self.calls.get(&id).map(|call| &call.sender);
        sender.map_or_else(|| self.config.clone(), |sender| self.config_of(sender))
    }

    fn call_of(&self, dialog: DialogId) -> Option<RecordingId> {
        self.call_by_dialog.get(&dialog).copied()
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("calls", &self.calls.len())
            .field("link", &self.link)
            .field("stopping", &self.stopping)
            .finish_non_exhaustive()
    }
}

/// The dialog whose peer an event is a word of.
fn dialog_heard(event: &Event) -> Option<DialogId> {
    match event {
        Event::Reinvite { dialog, .. }
        | Event::Update { dialog, .. }
        | Event::Bye { dialog, .. }
        | Event::Ack { dialog, .. } => Some(*dialog),
        // Somebody on the way says that it was not found.
        Event::Response { response, .. } if response.status() == Status::REQUEST_TIMEOUT => None,
        Event::Response { dialog, .. } => Some(*dialog),
        Event::Options { dialog, .. } => *dialog,
        Event::Invite { .. }
        | Event::InDialogOther { .. }
        | Event::Forked { .. }
        | Event::Cancelled { .. }
        | Event::AckTimeout { .. }
        | Event::RequestFailed { .. }
        | Event::DialogGone { .. }
        | Event::Malformed { .. } => None,
    }
}

/// Seconds from 1900 to 1970.
const NTP_OFFSET_SECONDS: u64 = 2_208_988_800;
