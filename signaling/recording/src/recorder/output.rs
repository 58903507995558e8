//! What comes out of a recorder: work for the shell, lines for the log, counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holdfast_control::operator::Refusal;
use holdfast_control::{RefusalReason, ToEngine, Unwilling};
use holdfast_manifest::EndReason;
use holdfast_sip::dialog::DialogKey;
use holdfast_sip::endpoint::{MalformedFault, Owner};
use holdfast_sip::{Bytes, Flow, Status, Target};
use holdfast_units::RecordingId;

use super::keeping::Saving;
use crate::admission::{Counts, NotAdmitted};
use crate::offer::LineRefusal;

/// What the shell must do next, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a SIP message.
    Transmit {
        /// Where to.
        to: Target,
        /// The message.
        bytes: Bytes,
        /// What to name when sending fails.
        owner: Owner,
    },
    /// Close a connection once what was sent to it has left.
    CloseFlow(Flow),
    /// Tell the media engine.
    Engine(ToEngine),
    /// Make the state of a call durable, and say so ([`Recorder::handle_saved`](super::Recorder::handle_saved)).
    Save(Saving),
    /// Find out whether the store saves, and say so as for a state that has this ticket.
    ProbeStore(u64),
    /// Look for the call of a dialog among those of all nodes, and say so
    /// ([`Recorder::handle_found`](super::Recorder::handle_found)).
    Find {
        /// To be told back.
        number: u64,
        /// The dialog.
        dialog: DialogKey,
    },
    /// What came of a call that an operator had placed ([`Recorder::record`](super::Recorder::record)).
    Called {
        /// Its recording.
        recording: RecordingId,
        /// It is recorded, or it is not and never was.
        outcome: Result<(), Refusal>,
    },
    /// The state of a call is not needed any more.
    Unsave(RecordingId),
    /// Something for the log.
    Notice(Notice),
}

/// What happened, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An INVITE is being turned into a recording.
    CallStarted {
        /// Its recording.
        recording: RecordingId,
        /// Call-ID.
        call_id: String,
        /// Where it came from.
        peer: SocketAddr,
    },
    /// A call that an operator had placed is not recorded.
    NotCalled {
        /// The recording that it would have been.
        recording: RecordingId,
        /// Why.
        reason: Refusal,
    },
    /// A line of an offer was answered with port 0.
    LineRefused {
        /// Call-ID.
        call_id: String,
        /// Where the offer came from.
        peer: Option<SocketAddr>,
        /// Its index, from 0.
        line: usize,
        /// Why.
        reason: LineRefusal,
    },
    /// An INVITE was refused.
    InviteRefused {
        /// Call-ID.
        call_id: String,
        /// Where it came from.
        peer: SocketAddr,
        /// The answer.
        status: Status,
        /// Why.
        cause: RefusedBecause,
    },
    /// A request was kept out before anything of it was looked at.
    RequestRefused {
        /// Its method.
        method: String,
        /// Where it came from.
        peer: SocketAddr,
        /// The answer.
        status: Status,
        /// Why.
        cause: NotAdmitted,
    },
    /// The 200 has left.
    CallAnswered {
        /// Its recording.
        recording: RecordingId,
        /// Call-ID.
        call_id: String,
        /// Where it came from.
        peer: Option<SocketAddr>,
        /// Streams that receive.
        streams: usize,
    },
    /// A session description was changed by a re-INVITE or UPDATE.
    CallChanged {
        /// Its recording.
        recording: RecordingId,
        /// Streams there are now.
        streams: usize,
    },
    /// Another dialog took the place of a call's.
    CallReplaced {
        /// Its recording.
        recording: RecordingId,
    },
    /// Another node has a call of this one: nothing more is said in it here.
    CallTaken {
        /// Its recording.
        recording: RecordingId,
        /// Call-ID.
        call_id: String,
        /// Where its INVITE came from.
        peer: Option<SocketAddr>,
    },
    /// A call of another node goes on here.
    CallAdopted {
        /// Its recording.
        recording: RecordingId,
    },
    /// A re-INVITE or UPDATE was refused; the call goes on as it was.
    ChangeRefused {
        /// Its recording.
        recording: RecordingId,
        /// The answer.
        status: Status,
        /// Why.
        cause: RefusedBecause,
    },
    /// An operator has paused a call, resumed it, or ended it.
    Commanded {
        /// Its recording.
        recording: RecordingId,
        /// What was asked for.
        command: &'static str,
    },
    /// The peer was told to pause or to go on sending.
    DirectionTold {
        /// Its recording.
        recording: RecordingId,
        /// Whether it was to pause.
        is_paused: bool,
        /// What it answered.
        status: Status,
    },
    /// The peer does not send all of its metadata again.
    SnapshotRefused {
        /// Its recording.
        recording: RecordingId,
        /// What it answered.
        status: Status,
    },
    /// A call is over; its recording is being published.
    CallEnded {
        /// Its recording.
        recording: RecordingId,
        /// Call-ID.
        call_id: String,
        /// Where it came from.
        peer: Option<SocketAddr>,
        /// Why.
        reason: EndReason,
    },
    /// A recording is there.
    Published {
        /// Which.
        recording: RecordingId,
        /// Its Call-ID; empty for one of another process.
        call_id: String,
        /// Where the call came from.
        peer: Option<SocketAddr>,
        /// Its folder.
        folder: String,
        /// Packets in its tracks.
        packets: u64,
        /// Packets missing.
        lost: u64,
    },
    /// The engine no longer has a recording that it was to publish: it has been published while
    /// nobody listened, or the engine lost it.
    RecordingUnaccounted {
        /// Which.
        recording: RecordingId,
    },
    /// The engine cannot receive on a port; another one is tried, or the stream is refused.
    PortRefused {
        /// Its recording.
        recording: RecordingId,
        /// What the engine says.
        reason: String,
    },
    /// The engine did not take the state of a recording.
    EngineRefused {
        /// Which.
        recording: RecordingId,
        /// Why.
        reason: RefusalReason,
    },
    /// The engine did not answer in time.
    EngineSilent {
        /// About which recording.
        recording: RecordingId,
    },
    /// The engine is there, and both sides agree.
    EngineReady {
        /// Calls that go on.
        calls: usize,
        /// Recordings that it holds and nobody here knows.
        orphans: usize,
    },
    /// The engine is away. Calls stay up, new ones are refused.
    EngineGone,
    /// Whether the engine takes further recordings.
    EngineWilling(Option<Unwilling>),
    /// Dialogs are not saved. Running calls go on.
    StoreAway,
    /// They are saved again, all of them.
    StoreBack,
    /// Something that is not SIP arrived.
    Malformed {
        /// Where it came from.
        peer: SocketAddr,
        /// What was wrong.
        fault: MalformedFault,
    },
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedBecause {
    /// It is no recording session, or lacks a mark that strict mode demands.
    #[error("not a recording session")]
    NotRecording,
    /// An operator wants it so.
    #[error("declined by an operator")]
    Operator,
    /// An operator wants no new calls.
    #[error("draining")]
    Draining,
    /// The process is ending.
    #[error("shutting down")]
    Stopping,
    /// The media engine is not connected.
    #[error("the media engine is away")]
    EngineAway,
    /// It was to take the place of a dialog.
    #[error("{0}")]
    Replaces(&'static str),
    /// The dialog would not be saved.
    #[error("the store of dialogs is away")]
    StoreAway,
    /// The media engine takes no further recording.
    #[error("{0}")]
    EngineUnwilling(Unwilling),
    /// The media engine did not take this recording.
    #[error("{0}")]
    EngineRefused(RefusalReason),
    /// The media engine did not answer.
    #[error("the media engine did not answer in time")]
    EngineSilent,
    /// As many calls as there may be.
    #[error("too many calls")]
    TooManyCalls,
    /// No ports are left.
    #[error("no media ports are free")]
    NoPorts,
    /// A part of the body must be understood and is not.
    #[error("a part of the body is not understood")]
    UnknownBody,
    /// The session description cannot be read.
    #[error("{0}")]
    BrokenSdp(String),
    /// No stream can be recorded, or the offer came at the wrong time.
    #[error("{0}")]
    Offer(String),
    /// Strict mode: the metadata cannot be read.
    #[error("{0}")]
    BrokenMetadata(String),
    /// The session interval is too short.
    #[error("the session interval is too short")]
    SessionInterval,
}

/// Counts since the start, and how much there is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Calls that are up or being set up.
    pub calls: usize,
    /// Recordings that are being published.
    pub publishing: usize,
    /// Recordings of nobody here that the engine holds.
    pub orphans: usize,
    /// INVITEs outside of a dialog, copies not counted.
    pub invites: u64,
    /// Of these, how many were answered 200.
    pub answered: u64,
    /// And how many were refused, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Responses sent by class, copies counted: index 1 for 1xx.
    pub responses: [u64; 7],
    /// Messages and streams that could not be read.
    pub malformed: u64,
    /// Recordings published.
    pub published: u64,
    /// Requests and connections that were kept out.
    pub admission: Counts,
    /// SIP transactions there are.
    pub transactions: usize,
    /// SIP dialogs there are.
    pub dialogs: usize,
    /// Pairs of ports that streams have.
    pub port_pairs: usize,
    /// Pairs of ports that the engine has for streams.
    pub port_pairs_max: usize,
}
