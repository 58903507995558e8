//! What a guard is told, and what it answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use holdfast_units::MonoTime;

use super::Reason;
use crate::limits;
use crate::number::Ssrc;

/// Which sources may be latched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourcePolicy {
    /// Only the hosts of the SDP and of the signaling.
    Strict,
    /// Also others, when they send two sequential packets and nobody better is there.
    #[default]
    Latch,
    /// Everyone, at any time; changes are reported, nothing is refused for its source.
    Open,
}

/// Which SSRCs are taken from the latched source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SsrcPolicy {
    /// Any: a sender may change its SSRC at any time (RFC 3550 §8).
    #[default]
    Any,
    /// Only this one.
    Only(Ssrc),
}

/// What the guard of a stream is told once.
#[derive(Clone, Copy, Debug)]
pub struct GuardConfig {
    /// Which sources may be latched.
    pub sources: SourcePolicy,
    /// Which SSRCs are taken.
    pub ssrcs: SsrcPolicy,
    /// Silence after which another source may take over; also how long a reset stays open.
    pub relatch_after: Duration,
    /// The payload is encrypted: padding can't be checked.
    pub protected: bool,
    /// Octets of the largest RTP packet.
    pub packet_bytes_max: usize,
    /// Packets per second that the stream is good for.
    pub packets_per_second_max: u32,
    /// Octets per second that the stream is good for.
    pub bytes_per_second_max: u32,
}

/// Where the signaling says that the peer is. Addresses that name nobody (0.0.0.0) say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// c= and m= of the SDP.
    pub media: Option<SocketAddr>,
    /// Where its RTCP is: a=rtcp, or the port after the media's.
    pub control: Option<SocketAddr>,
    /// Where the SIP requests come from.
    pub signaling: Option<IpAddr>,
}

/// What the guard says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to the recording.
    Accept {
        /// The source was latched by this packet, which the log should know. Take
        /// [`take_held`](super::Guard::take_held) first: that packet precedes this one.
        latched: Option<SourceChange>,
    },
    /// The first of an unknown source: kept until a second one proves it, or counted later.
    Hold,
    /// It is none of ours. Already counted.
    Refuse(Reason),
}

/// A source was latched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceChange {
    /// Whom the stream listens to from now on.
    pub source: SocketAddr,
    /// Whom it listened to before.
    pub previous: Option<SocketAddr>,
    /// What made it change.
    pub cause: LatchCause,
}

/// Why a source was latched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatchCause {
    /// There was none before.
    First,
    /// More speaks for it than for the one before.
    Evidence,
    /// The signaling has asked for it.
    Reset,
    /// The one before was silent.
    Silence,
    /// The same host and SSRC go on from another port.
    Moved,
}

/// A packet that was kept until its source was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldPacket<'a> {
    /// When it arrived.
    pub at: MonoTime,
    /// Where it came from.
    pub source: SocketAddr,
    /// The datagram.
    pub bytes: &'a [u8],
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            sources: SourcePolicy::Latch,
            ssrcs: SsrcPolicy::Any,
            relatch_after: Duration::from_secs(5),
            protected: false,
            packet_bytes_max: limits::PACKET_BYTES_MAX,
            packets_per_second_max: 2_000,
            bytes_per_second_max: 4 << 20,
        }
    }
}
