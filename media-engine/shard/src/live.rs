//! The receiving side of one stream: what becomes of a datagram before the journal.
//!
//! It follows the desired state at once; the assembly follows it when the journal has it. Nothing
//! here remembers audio: what passes goes into the journal's block in the same call.

use std::net::SocketAddr;
use std::time::Duration;

use holdfast_control::{Stream, StreamMode};
use holdfast_manifest::Codec as CodecEntry;
use holdfast_prefetch::prefetch;
use holdfast_rtp::{
    Chance, ClockRate, Cname, Codec, CodecKind, Expected, Guard, GuardConfig, HeldPacket,
    PayloadMap, PayloadType, Reason, Refused, RtcpBandwidth, RtcpConfig, RtcpSession, Ssrc,
    Verdict, is_rtcp,
};
use holdfast_units::{MonoTime, RecordingId, StreamId, WallTime};

use crate::after_pause::AfterPause;
use crate::keys::KeyRing;
use crate::limits::SOURCES_MAX;

pub(crate) mod srtcp;

use srtcp::Srtcp;

/// The receiving side of one stream.
///
/// What every datagram is held against lies at the beginning, together: in memory each other place
/// costs as much as all the rest of a packet's way.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct LiveStream {
    /// Datagrams that went into the journal.
    pub packets: u64,
    /// Of what it is meant to be, as below.
    id: StreamId,
    ports: Ports,
    /// The source that was heard last, with its number.
    last_source: Option<(SocketAddr, u8)>,
    codecs: PayloadMap,
    after_pause: AfterPause,
    guard: Guard,
    /// The recording that it belongs to.
    pub recording: RecordingId,
    /// What it is meant to be.
    pub desired: Stream,
    /// Datagrams that the kernel dropped.
    pub kernel_drops: u64,
    /// Datagrams that passed, and that the journal did not take, not yet written down.
    pub unwritten: Unwritten,
    /// Receiver reports.
    pub rtcp: RtcpSession,
    /// Where reports go instead of where the signaling says.
    pub rtcp_peer: Option<SocketAddr>,
    /// How RTCP is encrypted.
    pub(crate) srtcp: Srtcp,
    sources: Vec<SocketAddr>,
    /// The signs of life when it was last looked, and when they were last other than before.
    heard: (u64, MonoTime),
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    rtp: u16,
    rtcp: u16,
}

impl Ports {
    const fn of(desired: &Stream) -> Self {
        Self {
            rtp: desired.rtp_port,
            rtcp: desired.rtcp_port,
        }
    }
}

/// Datagrams that could not be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unwritten {
    /// How many.
    pub count: u32,
    /// Before the first of them, or its arrival.
    pub from: WallTime,
    /// After the last of them, or its arrival.
    pub to: WallTime,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is an RTP packet of the recording. `source` numbers its sender; where `is_new`, that has
    /// to be written down first, and [`LiveStream::take_held`] precedes it.
    Rtp {
        /// Number of the sender.
        source: u8,
        /// Whether the stream listens to this sender from now on.
        is_new: bool,
    },
    /// It is an RTCP packet of the recording.
    Rtcp {
        /// Number of the sender.
        source: u8,
        /// Whether the number is new.
        is_new: bool,
    },
    /// It goes no further; counted where it has to be.
    Stopped,
}

impl LiveStream {
    /// A stream that has heard nobody yet. The random numbers are for its reports.
    pub fn new(
        now: MonoTime,
        keys: &KeyRing,
        recording: RecordingId,
        desired: Stream,
        config: GuardConfig,
        random: [u32; 2],
    ) -> Self {
        let [ssrc, chance] = random;
        let config_rtcp = RtcpConfig {
            ssrc: Ssrc(ssrc),
            cname: Cname::from_bytes(desired.cname.as_bytes())
                .unwrap_or_else(|| Cname::from_random([0; 12])),
            bandwidth: bandwidth(&desired),
            reduced_size: false,
        };
        let mut guard = Guard::new(config, expected(&desired));
        guard.set_paused(desired.mode == StreamMode::Pause);
        guard.set_protected(desired.srtp.is_some());
        let codecs = payload_map(&desired);
        Self {
            packets: 0,
            id: desired.id,
            ports: Ports::of(&desired),
            last_source: None,
            recording,
            after_pause: AfterPause::begin(&desired, &codecs),
            guard,
            codecs,
            srtcp: Srtcp::new(keys, recording, &desired),
            desired,
            kernel_drops: 0,
            unwritten: Unwritten::default(),
            rtcp: RtcpSession::new(now, config_rtcp, Chance(chance)),
            rtcp_peer: None,
            sources: Vec::new(),
            heard: (0, now),
        }
    }

    /// Follows a changed desired state of the same stream.
    pub fn change(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        keys: &KeyRing,
        desired: Stream,
        random: u32,
    ) {
        self.srtcp
            .change(keys, self.recording, &self.desired, &desired);
        self.guard.set_protected(desired.srtp.is_some());
        self.guard.set_expected(expected(&desired));
        self.rtcp
            .set_bandwidth(now, bandwidth(&desired), Chance(random));
        if self.desired.peer_rtcp != desired.peer_rtcp {
            self.rtcp_peer = None;
        }
        if self.desired.peer_rtp != desired.peer_rtp
            || self.desired.signaling_peer != desired.signaling_peer
        {
            self.guard.reset_latch(packet_time(wall));
        }
        let is_paused = desired.mode == StreamMode::Pause;
        if is_paused != self.guard.paused() {
            self.guard.set_paused(is_paused);
        }
        let codecs = payload_map(&desired);
        self.after_pause
            .change((&self.desired, &self.codecs), (&desired, &codecs));
        self.codecs = codecs;
        self.ports = Ports::of(&desired);
        self.desired = desired;
    }

    /// Which stream it is.
    pub const fn id(&self) -> StreamId {
        self.id
    }

    /// Asks the memory for what [`Self::admit`] will need.
    pub fn prefetch(&self) {
        prefetch(&self.packets);
        prefetch(&self.last_source);
        prefetch(&self.codecs);
        prefetch(&self.after_pause);
        self.guard.prefetch();
    }

    /// Decides about a datagram on one of the stream's ports.
    pub fn admit(&mut self, now: MonoTime, port: u16, source: SocketAddr, bytes: &[u8]) -> Passage {
        let is_shared = self.ports.rtcp == self.ports.rtp;
        if port == self.ports.rtp && !(is_shared && is_rtcp(bytes)) {
            return match self.guard.check(now, source, bytes, &self.codecs) {
                Verdict::Accept { latched: None } => {
                    let (source, is_new) = self.number(source);
                    Passage::Rtp { source, is_new }
                }
                Verdict::Accept { latched: Some(_) } => {
                    let (source, _) = self.number(source);
                    Passage::Rtp {
                        source,
                        is_new: true,
                    }
                }
                Verdict::Hold | Verdict::Refuse(_) => Passage::Stopped,
            };
        }
        match self.guard.check_rtcp(now, source, bytes) {
            Ok(()) if self.guard.paused() => Passage::Stopped,
            Ok(()) => {
                let (source, is_new) = self.number(source);
                Passage::Rtcp { source, is_new }
            }
            Err(_) => Passage::Stopped,
        }
    }

    /// The packet that waited for its source to be proven: its arrival, and what is to be kept of it.
    pub fn take_held(&mut self) -> Option<(MonoTime, [&[u8]; 3])> {
        let is_protected = self.is_protected();
        let HeldPacket { at, bytes, .. } = self.guard.take_held()?;
        let parts = if is_protected {
            [bytes, &[], &[]]
        } else {
            self.after_pause.kept(&self.codecs, bytes)
        };
        Some((at, parts))
    }

    /// Whether packets may repeat what was said before anything was to be recorded. Of encrypted ones the
    /// assembly sees it, not we.
    pub(crate) const fn is_after_pause(&self) -> bool {
        !self.after_pause.is_over() && !self.is_protected()
    }

    /// What is to be kept of such a packet.
    pub(crate) fn kept<'a>(&mut self, bytes: &'a [u8]) -> [&'a [u8]; 3] {
        self.after_pause.kept(&self.codecs, bytes)
    }

    /// Where RTP comes from.
    pub fn rtp_source(&self) -> Option<SocketAddr> {
        self.guard.source()
    }

    /// Gives up the packet that waits for its source to be proven: the stream ends.
    pub fn give_up_held(&mut self) {
        self.guard.drop_held();
    }

    /// Listens to a source of an encrypted stream of which a packet has authenticated. Answers whether
    /// it listened to another before.
    pub fn latch_authentic(&mut self, arrival: WallTime, source: SocketAddr, ssrc: Ssrc) -> bool {
        let is_new = self.guard.source() != Some(source);
        self.guard
            .latch_authentic(packet_time(arrival), source, ssrc);
        is_new
    }

    /// Whether its packets are encrypted.
    pub const fn is_protected(&self) -> bool {
        self.desired.srtp.is_some()
    }

    /// Goes on listening to whom an earlier process listened to.
    pub fn restore_latch(&mut self, wall: WallTime, source: SocketAddr, ssrc: Ssrc) {
        self.guard.restore_latch(packet_time(wall), source, ssrc);
    }

    /// The number of a source was not written down: it is given again.
    pub fn forget_source(&mut self, number: u8) {
        if self.sources.len() == usize::from(number) {
            self.sources.pop();
            self.last_source = None;
        }
    }

    /// A count that changes while the sender sends, whether it is recorded or paused.
    pub fn signs_of_life(&self) -> u64 {
        self.packets
            .saturating_add(self.refused().of(Reason::Paused))
    }

    /// How long nothing has come, or how long it has been received at all: by the looks that are taken
    /// at it, so that a packet costs nothing more.
    pub fn silent_for(&mut self, now: MonoTime) -> Duration {
        let signs = self.signs_of_life();
        if self.heard.0 != signs {
            self.heard = (signs, now);
        }
        now.since(self.heard.1)
    }

    /// What was refused.
    pub fn refused(&self) -> &Refused {
        self.guard.refused()
    }

    /// Counts a datagram that the ingest could not take whole.
    pub fn refuse_truncated(&mut self) {
        let mut refused = *self.guard.refused();
        refused.count(Reason::Oversize);
        self.guard.restore_refused(refused);
    }

    /// Goes on with what an earlier process counted.
    pub fn restore(&mut self, refused: Refused, kernel_drops: u64) {
        self.guard.restore_refused(refused);
        self.kernel_drops = kernel_drops;
    }

    /// The number of a source, from 1, and whether it is new. Beyond the limit all share one.
    fn number(&mut self, source: SocketAddr) -> (u8, bool) {
        if let Some((last, number)) = self.last_source
            && last == source
        {
            return (number, false);
        }
        if let Some(at) = self.sources.iter().position(|known| *known == source) {
            let number = at as u8 + 1;
            self.last_source = Some((source, number));
            return (number, false);
        }
        if self.sources.len() < SOURCES_MAX - 1 {
            self.sources.push(source);
            let number = self.sources.len() as u8;
            self.last_source = Some((source, number));
            return (number, true);
        }
        (SOURCES_MAX as u8, true)
    }
}

fn bandwidth(desired: &Stream) -> RtcpBandwidth {
    if desired.send_reports {
        RtcpBandwidth::Default
    } else {
        RtcpBandwidth::Receivers(0)
    }
}

fn expected(desired: &Stream) -> Expected {
    Expected {
        media: desired.peer_rtp,
        control: desired.peer_rtcp,
        signaling: desired.signaling_peer,
    }
}

/// The table of what is negotiated. Signaling names no more codecs than fit; one too many would
/// be refused as not negotiated.
pub fn payload_map(desired: &Stream) -> PayloadMap {
    let mut map = PayloadMap::new();
    for (&number, entry) in &desired.codecs {
        if let (Some(payload_type), Some(codec)) = (PayloadType::new(number), codec(entry)) {
            let _ = map.insert(payload_type, codec);
        }
    }
    map
}

fn codec(entry: &CodecEntry) -> Option<Codec> {
    let clock_rate = ClockRate::new(entry.clock_rate)?;
    Some(Codec {
        kind: CodecKind::from_name(&entry.name),
        clock_rate,
        channels: entry.channels,
    })
}

/// The time that the guard and the sequence trackers go by: that of a packet's arrival, so that a
/// stall of the engine does not look like one of the sender.
pub const fn packet_time(arrival: WallTime) -> MonoTime {
    MonoTime(arrival.0)
}
