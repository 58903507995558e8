//! RTP and RTCP (RFC 3550): parse, guard, order, account, without I/O.
//!
//! Everything here is a value that is fed and asked. It reads no clock, draws no random number and
//! opens nothing; what a peer sends may be refused but can't panic, overflow or make it grow.
//!
//! The order in which a packet meets these modules:
//!
//! ```text
//! bytes ─▶ packet::is_rtcp ─yes─▶ Guard::check_rtcp ─▶ RtcpSession
//!              └─no─▶ Guard::check ─▶ (journal) ─▶ RtpPacket ─▶ SourceTable ─▶ (track)
//!                                   readers of a track: ReorderBuffer, EventReceiver, Redundancy, g711
//! ```

pub mod codec;
pub mod event;
pub mod fuzz;
pub mod g711;
pub mod guard;
pub mod limits;
mod number;
pub mod packet;
pub mod redundancy;
pub mod reorder;
pub mod rtcp;
pub mod sequence;
pub mod sources;

pub use codec::{Codec, CodecKind, MapFull, PayloadMap};
pub use event::{Digit, EventReceiver};
pub use guard::{
    Expected, Guard, GuardConfig, HeldPacket, LatchCause, Reason, Refused, SourceChange,
    SourcePolicy, SsrcPolicy, Verdict,
};
pub use number::{ClockRate, ExtSeq, ExtTimestamp, PayloadType, RtpTimestamp, Ssrc, WireSeq};
pub use packet::{PacketError, RtpPacket, is_rtcp};
pub use redundancy::{BadRedundancy, Redundancy, RedundantBlock};
pub use reorder::{Released, ReorderBuffer, ReorderWindow, Unordered};
pub use rtcp::{
    Chance, ClockPair, Cname, NtpTime, ReportBlock, RtcpBandwidth, RtcpConfig, RtcpEvent,
    RtcpScheduler, RtcpSession,
};
pub use sequence::{SequenceTracker, Sequenced, StateError, Statistics, TrackerState};
pub use sources::{CurrentChange, Observed, Source, SourceTable};
