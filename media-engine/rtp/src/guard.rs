//! The guard of one stream: decides of each datagram whether it belongs to the recording.
//!
//! It refuses what is not RTP of a negotiated payload type, what comes from a stranger, what comes
//! while the stream is paused, and what exceeds the stream's share; it counts all of it by reason.
//! Nothing it refuses goes any further: neither to the journal nor to the statistics.
//!
//! SDP says where media goes to, not where it comes from (RFC 3264 §5.1), so a receiver can't match
//! the source to c= and m=. The guard latches instead, by what speaks for a source:
//!
//! ```text
//!             Exact  the very address and port of the SDP: sender and receiver use one port
//!   evidence  Host   the address of the SDP or of the signaling, from another port
//!             None   any other: has to send two sequential packets first
//!
//!   unlatched ──Host/Exact, or None with two──▶ latched ──stronger evidence────────▶ latched (new)
//!                                                  │──silence: Host/Exact, or the same SSRC──▶ 〃
//!                                                  │──reset_latch() (re-INVITE): as unlatched─▶ 〃
//!                                                  └──same host and SSRC, port moved──────────▶ 〃
//! ```
//!
//! Whatever else arrives once a source is latched is foreign (RFC 3550 §8.2, RFC 7362 §5).
//!
//! Of an encrypted stream none of that is evidence: the tag of a packet is, and it is looked at later
//! than here. So nobody is latched or refused here, but by the strict policy; whoever is said to have
//! authenticated ([`Guard::latch_authentic`]) is latched, and all others have one share of their own,
//! which is not his.
//!
//! `now` is the arrival of the packet: after a stall a backlog must not look like a flood.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use holdfast_prefetch::prefetch;
use holdfast_units::MonoTime;

use crate::codec::PayloadMap;
use crate::limits;
use crate::number::Ssrc;
use crate::packet::{PacketError, RtpPacket, is_rtcp};

mod proof;
mod refused;
mod types;

use proof::{Candidates, Proof};
pub use refused::{Reason, Refused};
pub use types::{
    Expected, GuardConfig, HeldPacket, LatchCause, SourceChange, SourcePolicy, SsrcPolicy, Verdict,
};

/// The guard of one stream. What every packet is held against lies at the beginning, together.
#[derive(Debug)]
#[repr(C)]
pub struct Guard {
    latch: Option<Latch>,
    media_rate: RateWindow,
    paused: bool,
    config: GuardConfig,
    expected: Expected,
    /// Until when the signaling lets the source change.
    reset_until: MonoTime,
    control_rate: RateWindow,
    /// Of an encrypted stream: what the others have sent, beside the latched one.
    unproven_rate: RateWindow,
    refused: Refused,
    /// Made once with the guard, so that the packet path doesn't allocate.
    candidates: Option<Box<Candidates>>,
}

/// How much speaks for a source. Ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    None,
    Host,
    Exact,
}

/// The source that the stream listens to.
#[derive(Clone, Copy, Debug)]
struct Latch {
    source: SocketAddr,
    /// Of its last packet.
    ssrc: Ssrc,
    evidence: Evidence,
    heard_at: MonoTime,
}

/// What to do with a packet of another source than the latched one.
enum Stranger {
    Admit(LatchCause),
    Prove(LatchCause),
    Refuse,
}

/// What was let through in the second that began at `start`.
#[derive(Clone, Copy, Debug, Default)]
struct RateWindow {
    start: MonoTime,
    packets: u32,
    bytes: u32,
}

impl Guard {
    /// A guard that has heard nobody yet.
    pub fn new(config: GuardConfig, expected: Expected) -> Self {
        Self {
            config,
            expected,
            latch: None,
            reset_until: MonoTime::ZERO,
            paused: false,
            media_rate: RateWindow::default(),
            control_rate: RateWindow::default(),
            unproven_rate: RateWindow::default(),
            refused: Refused::default(),
            candidates: matches!(config.sources, SourcePolicy::Latch).then(Candidates::boxed),
        }
    }

    /// Judges a datagram on the RTP port, before anything else looks at it.
    pub fn check(
        &mut self,
        now: MonoTime,
        source: SocketAddr,
        bytes: &[u8],
        codecs: &PayloadMap,
    ) -> Verdict {
        self.judge(now, source, bytes, codecs)
            .unwrap_or_else(|reason| self.refuse(reason))
    }

    /// Judges a datagram on the RTCP port, or RTCP on a shared one: right form, known host, not too
    /// much. It never latches: reports follow the media, an attacker's don't attract any.
    pub fn check_rtcp(
        &mut self,
        now: MonoTime,
        source: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), Reason> {
        let verdict = self.judge_rtcp(now, source, bytes);
        if let Err(reason) = verdict {
            self.refused.count(reason);
        }
        verdict
    }

    /// The packet that was kept for the source just latched; empty when taken, or when a reset or
    /// pause came between. To be recorded before the packet that proved it.
    pub fn take_held(&mut self) -> Option<HeldPacket<'_>> {
        self.candidates.as_mut()?.take_released()
    }

    /// The source that the stream listens to.
    pub fn source(&self) -> Option<SocketAddr> {
        self.latch.map(|latch| latch.source)
    }

    /// The latched source and the SSRC it used last, to be restored after a restart.
    pub fn latched(&self) -> Option<(SocketAddr, Ssrc)> {
        self.latch.map(|latch| (latch.source, latch.ssrc))
    }

    /// A packet of an encrypted stream has authenticated, of this source: it is latched, whoever was
    /// before.
    pub fn latch_authentic(&mut self, now: MonoTime, source: SocketAddr, ssrc: Ssrc) {
        self.restore_latch(now, source, ssrc);
    }

    /// Goes on listening to the source that was latched before a restart.
    pub fn restore_latch(&mut self, now: MonoTime, source: SocketAddr, ssrc: Ssrc) {
        let evidence = self.expected.evidence(source);
        self.latch = Some(Latch {
            source,
            ssrc,
            evidence,
            heard_at: now,
        });
    }

    /// The signaling knows more: another address in a new offer.
    pub fn set_expected(&mut self, expected: Expected) {
        self.expected = expected;
        if let Some(latch) = &mut self.latch {
            latch.evidence = expected.evidence(latch.source);
        }
    }

    /// Lets the source change (re-INVITE, UPDATE). The one that is latched stays until another
    /// arrives; if none does within `relatch_after`, all is as before.
    pub fn reset_latch(&mut self, now: MonoTime) {
        self.reset_until = now + self.config.relatch_after;
    }

    /// Whether packets are encrypted from now on.
    pub fn set_protected(&mut self, protected: bool) {
        self.config.protected = protected;
    }

    /// Pauses or resumes the recording. What is held is given up: it must not appear later.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.drop_held();
    }

    /// Whether the recording is paused.
    pub const fn paused(&self) -> bool {
        self.paused
    }

    /// Gives up what is held, for the end of the stream: it is counted as unproven.
    pub fn drop_held(&mut self) {
        if let Some(candidates) = &mut self.candidates {
            candidates.clear(&mut self.refused);
        }
    }

    /// Asks the memory for what [`Self::check`] will need.
    pub fn prefetch(&self) {
        prefetch(&self.latch);
        prefetch(&self.media_rate);
        prefetch(&self.config);
    }

    /// What was refused, by reason.
    pub const fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Goes on counting where an earlier life of the stream stopped.
    pub fn restore_refused(&mut self, refused: Refused) {
        self.refused = refused;
    }

    fn judge(
        &mut self,
        now: MonoTime,
        source: SocketAddr,
        bytes: &[u8],
        codecs: &PayloadMap,
    ) -> Result<Verdict, Reason> {
        if bytes.len() > self.config.packet_bytes_max {
            return Err(Reason::Oversize);
        }
        let parsed = if self.config.protected {
            RtpPacket::parse_protected(bytes)
        } else {
            RtpPacket::parse(bytes)
        };
        let packet = parsed.map_err(|error| reason_of(error, bytes))?;
        if !codecs.contains(packet.payload_type()) {
            let stray = if is_rtcp(bytes) {
                Reason::StrayRtcp
            } else {
                Reason::PayloadType
            };
            return Err(stray);
        }
        let ssrc = packet.ssrc();
        if let SsrcPolicy::Only(only) = self.config.ssrcs
            && only != ssrc
        {
            return Err(Reason::Ssrc);
        }
        if let Some(latch) = &mut self.latch
            && same_endpoint(latch.source, source)
        {
            latch.heard_at = now;
            if self.paused {
                return Err(Reason::Paused);
            }
            self.media_rate
                .admit(now, bytes.len(), self.config.media_caps())?;
            latch.ssrc = ssrc;
            return Ok(Verdict::Accept { latched: None });
        }
        if self.paused {
            return Err(Reason::Paused);
        }
        self.judge_stranger(now, source, &packet)
    }

    #[cold]
    fn judge_stranger(
        &mut self,
        now: MonoTime,
        source: SocketAddr,
        packet: &RtpPacket<'_>,
    ) -> Result<Verdict, Reason> {
        let evidence = self.expected.evidence(source);
        if self.config.protected {
            if self.config.sources == SourcePolicy::Strict && evidence == Evidence::None {
                return Err(Reason::Foreign);
            }
            self.unproven_rate
                .admit(now, packet.bytes().len(), self.config.media_caps())?;
            return Ok(Verdict::Accept { latched: None });
        }
        let cause = match self.stranger(now, source, evidence, packet.ssrc()) {
            Stranger::Admit(cause) => cause,
            Stranger::Prove(cause) => {
                let candidates = self.candidates.as_mut().ok_or(Reason::Foreign)?;
                match candidates.offer(now, source, packet, &mut self.refused) {
                    Proof::Waiting => return Ok(Verdict::Hold),
                    Proof::NotKept => return Err(Reason::Unproven),
                    Proof::Proven => cause,
                }
            }
            Stranger::Refuse if self.config.sources == SourcePolicy::Open => {
                self.media_rate
                    .admit(now, packet.bytes().len(), self.config.media_caps())?;
                return Ok(Verdict::Accept { latched: None });
            }
            Stranger::Refuse => return Err(Reason::Foreign),
        };
        self.media_rate
            .admit(now, packet.bytes().len(), self.config.media_caps())?;
        let previous = self.source();
        self.latch = Some(Latch {
            source,
            ssrc: packet.ssrc(),
            evidence,
            heard_at: now,
        });
        self.reset_until = MonoTime::ZERO;
        if let Some(candidates) = &mut self.candidates {
            candidates.keep_released_only(&mut self.refused);
        }
        Ok(Verdict::Accept {
            latched: Some(SourceChange {
                source,
                previous,
                cause,
            }),
        })
    }

    /// What a packet of another source than the latched one may do.
    fn stranger(
        &self,
        now: MonoTime,
        source: SocketAddr,
        evidence: Evidence,
        ssrc: Ssrc,
    ) -> Stranger {
        let open = self.config.sources == SourcePolicy::Open;
        let strict = self.config.sources == SourcePolicy::Strict;
        let known = evidence > Evidence::None;
        if strict && !known {
            return Stranger::Refuse;
        }
        let by_evidence = |cause| {
            if known || open {
                Stranger::Admit(cause)
            } else {
                Stranger::Prove(cause)
            }
        };
        let Some(latch) = &self.latch else {
            return by_evidence(LatchCause::First);
        };
        let silence = now.since(latch.heard_at);
        if evidence > latch.evidence {
            Stranger::Admit(LatchCause::Evidence)
        } else if now < self.reset_until {
            by_evidence(LatchCause::Reset)
        } else if silence >= self.config.relatch_after && (known || open || ssrc == latch.ssrc) {
            by_evidence(LatchCause::Silence)
        } else if silence >= limits::MOVE_AFTER
            && ssrc == latch.ssrc
            && source.ip().to_canonical() == latch.source.ip().to_canonical()
        {
            Stranger::Admit(LatchCause::Moved)
        } else {
            Stranger::Refuse
        }
    }

    fn judge_rtcp(
        &mut self,
        now: MonoTime,
        source: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), Reason> {
        if bytes.len() > self.config.packet_bytes_max {
            return Err(Reason::Oversize);
        }
        if bytes.len() < RTCP_HEADER_BYTES {
            return Err(Reason::TooShort);
        }
        if !is_rtcp(bytes) {
            return Err(first_octet(bytes).unwrap_or(Reason::NotRtcp));
        }
        let from_latched = self
            .latch
            .is_some_and(|latch| latch.source.ip().to_canonical() == source.ip().to_canonical());
        let known = from_latched || self.expected.evidence(source) > Evidence::None;
        if !known && self.config.sources != SourcePolicy::Open {
            return Err(Reason::Foreign);
        }
        let caps = (
            limits::RTCP_PACKETS_PER_SECOND_MAX,
            limits::RTCP_BYTES_PER_SECOND_MAX,
        );
        self.control_rate.admit(now, bytes.len(), caps)
    }

    fn refuse(&mut self, reason: Reason) -> Verdict {
        self.refused.count(reason);
        Verdict::Refuse(reason)
    }
}

impl GuardConfig {
    const fn media_caps(&self) -> (u32, u32) {
        (self.packets_per_second_max, self.bytes_per_second_max)
    }
}

impl Expected {
    fn evidence(&self, source: SocketAddr) -> Evidence {
        let host = source.ip().to_canonical();
        let is_host = |ip: IpAddr| !ip.is_unspecified() && ip.to_canonical() == host;
        let media = self.media.filter(|media| is_host(media.ip()));
        if media.is_some_and(|media| media.port() == source.port()) {
            Evidence::Exact
        } else if media.is_some()
            || self.control.is_some_and(|control| is_host(control.ip()))
            || self.signaling.is_some_and(is_host)
        {
            Evidence::Host
        } else {
            Evidence::None
        }
    }
}

impl RateWindow {
    /// Lets `len` octets through, or says that this second is full.
    fn admit(&mut self, now: MonoTime, len: usize, caps: (u32, u32)) -> Result<(), Reason> {
        if now.since(self.start) >= Duration::from_secs(1) {
            *self = Self {
                start: now,
                packets: 0,
                bytes: 0,
            };
        }
        let packets = self.packets.saturating_add(1);
        let bytes = self
            .bytes
            .saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        if packets > caps.0 || bytes > caps.1 {
            return Err(Reason::RateCap);
        }
        (self.packets, self.bytes) = (packets, bytes);
        Ok(())
    }
}

/// Equal address and port; flow label and scope of IPv6 don't tell sources apart.
fn same_endpoint(a: SocketAddr, b: SocketAddr) -> bool {
    match (a, b) {
        (SocketAddr::V4(a), SocketAddr::V4(b)) => a == b,
        (a, b) => a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical(),
    }
}

/// A datagram that is no RTP may be another protocol on the same port, which is worth knowing.
fn reason_of(error: PacketError, bytes: &[u8]) -> Reason {
    match error {
        PacketError::TooShort => first_octet(bytes).unwrap_or(Reason::TooShort),
        PacketError::BadVersion => first_octet(bytes).unwrap_or(Reason::Version),
        PacketError::BadExtension => Reason::Extension,
        PacketError::BadPadding => Reason::Padding,
    }
}

/// The other protocols that share the port, by their first octet (RFC 7983 §7).
fn first_octet(bytes: &[u8]) -> Option<Reason> {
    match *bytes.first()? {
        // A keepalive with RTP version 0 (RFC 6263 §4.5) has no magic cookie of STUN.
        0..=3 if bytes.get(4..8) == Some(&STUN_COOKIE) => Some(Reason::Stun),
        20..=63 => Some(Reason::Dtls),
        // ZRTP (16 to 19), TURN channels (64 to 79), QUIC (80 to 127 and above 191).
        16..=19 | 64..=127 | 192..=255 => Some(Reason::OtherProtocol),
        _ => None,
    }
}

/// Octets of an RTCP header with its SSRC.
const RTCP_HEADER_BYTES: usize = 8;

/// RFC 8489 §5.
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

#[cfg(test)]
mod tests;
