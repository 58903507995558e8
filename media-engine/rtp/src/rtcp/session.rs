//! RTCP of one stream: what its senders say, and what we report to them.
//!
//! It keeps the last moment that a sender named on both of its clocks, its CNAME and its BYE, and
//! gives them back in report blocks. It knows no addresses: reports go where the signaling says.

use holdfast_units::MonoTime;

use super::wire::{Compound, ReportBlock, RtcpError, RtcpPacket, write_compound};
use super::{Chance, ClockPair, Cname, NtpTime, RtcpBandwidth, RtcpScheduler};
use crate::limits;
use crate::number::Ssrc;
use crate::sources::SourceTable;

/// What a session is told once.
#[derive(Clone, Copy, Debug)]
pub struct RtcpConfig {
    /// Our own SSRC, random.
    pub ssrc: Ssrc,
    /// Our name, the same for all streams of a recording session (RFC 7022).
    pub cname: Cname,
    /// What RTCP may use.
    pub bandwidth: RtcpBandwidth,
    /// a=rtcp-rsize was agreed on (RFC 5506).
    pub reduced_size: bool,
}

/// RTCP of one stream.
#[derive(Debug)]
pub struct RtcpSession {
    config: RtcpConfig,
    scheduler: RtcpScheduler,
    peers: Vec<Peer>,
    /// A report has left: only then is a BYE owed (RFC 3550 §6.3.7).
    has_sent: bool,
    collisions: u8,
}

/// What an SSRC has said of itself.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its SSRC.
    pub ssrc: Ssrc,
    /// Its name.
    pub cname: Option<Box<[u8]>>,
    /// The first moment that it named on both clocks.
    pub first_pair: Option<ClockPair>,
    /// The latest.
    pub last_pair: Option<ClockPair>,
    /// Packets that it says it has sent.
    pub sent_packets: u32,
    /// Payload octets that it says it has sent.
    pub sent_octets: u32,
    /// It has said BYE.
    pub left: bool,
    /// When its last RTCP came.
    pub heard_at: MonoTime,
}

/// What a compound packet brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpEvent {
    /// A sender named a moment on both its clocks.
    Clock {
        /// The sender.
        ssrc: Ssrc,
        /// The moment.
        pair: ClockPair,
    },
    /// A name was heard for the first time, or is another than before.
    Named {
        /// Whose it is; look it up with [`RtcpSession::peer`].
        ssrc: Ssrc,
    },
    /// A source says BYE. Tell [`SourceTable::handle_bye`].
    Left {
        /// The source.
        ssrc: Ssrc,
    },
    /// Somebody uses our SSRC: call [`RtcpSession::change_ssrc`].
    Collision,
}

impl RtcpSession {
    /// Begins with the stream.
    pub fn new(now: MonoTime, config: RtcpConfig, chance: Chance) -> Self {
        let scheduler = RtcpScheduler::new(now, config.bandwidth, chance);
        Self {
            config,
            scheduler,
            peers: Vec::new(),
            has_sent: false,
            collisions: 0,
        }
    }

    /// Our own SSRC. Media with it is a collision too: call [`RtcpSession::change_ssrc`].
    pub const fn ssrc(&self) -> Ssrc {
        self.config.ssrc
    }

    /// The signaling has changed what RTCP may use.
    pub fn set_bandwidth(&mut self, now: MonoTime, bandwidth: RtcpBandwidth, chance: Chance) {
        self.config.bandwidth = bandwidth;
        self.scheduler.set_bandwidth(now, bandwidth, chance);
    }

    /// What an SSRC has said of itself.
    pub fn peer(&self, ssrc: Ssrc) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.ssrc == ssrc)
    }

    /// All that have said something.
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// Takes a compound packet that the guard let through.
    pub fn handle_packet(
        &mut self,
        now: MonoTime,
        bytes: &[u8],
    ) -> Result<Vec<RtcpEvent>, RtcpError> {
        let compound = Compound::parse(bytes, self.config.reduced_size)?;
        self.scheduler.handle_received(bytes.len());
        let own = self.config.ssrc;
        let mut events = Vec::new();
        for packet in compound {
            if packet.sender() == Some(own) {
                if !events.contains(&RtcpEvent::Collision) {
                    events.push(RtcpEvent::Collision);
                }
                continue;
            }
            match packet {
                RtcpPacket::SenderReport {
                    ssrc,
                    ntp,
                    rtp,
                    packets,
                    octets,
                    ..
                } => {
                    let pair = ClockPair { ntp, rtp, at: now };
                    let peer = self.peer_mut(now, ssrc);
                    peer.first_pair.get_or_insert(pair);
                    peer.last_pair = Some(pair);
                    (peer.sent_packets, peer.sent_octets) = (packets, octets);
                    events.push(RtcpEvent::Clock { ssrc, pair });
                }
                RtcpPacket::SourceDescription(chunks) => {
                    for (ssrc, name) in chunks {
                        events.extend(self.handle_name(now, ssrc, name));
                    }
                }
                RtcpPacket::Goodbye { sources, .. } => {
                    for ssrc in sources.iter().filter(|ssrc| *ssrc != own) {
                        self.peer_mut(now, ssrc).left = true;
                        events.push(RtcpEvent::Left { ssrc });
                    }
                }
                RtcpPacket::ReceiverReport { .. }
                | RtcpPacket::Application { .. }
                | RtcpPacket::Feedback { .. }
                | RtcpPacket::ExtendedReport { .. }
                | RtcpPacket::Unknown { .. } => {}
            }
        }
        Ok(events)
    }

    /// When to call [`RtcpSession::poll_report`] again.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        self.scheduler.poll_timeout()
    }

    /// Writes a report if one is due, and gives its length.
    pub fn poll_report(
        &mut self,
        now: MonoTime,
        chance: Chance,
        sources: &mut SourceTable,
        out: &mut [u8; limits::RTCP_OUT_BYTES_MAX],
    ) -> Option<usize> {
        if !self.scheduler.handle_timeout(now, chance) {
            return None;
        }
        let (blocks, count) = self.blocks(now, sources);
        let blocks = blocks.get(..count).unwrap_or_default();
        let (own, cname) = (self.config.ssrc, self.config.cname);
        let len = write_compound(out, own, blocks, &cname, false).ok()?;
        self.scheduler.handle_sent(now, len, chance);
        self.has_sent = true;
        Some(len)
    }

    /// Writes the last report with a BYE, if one is owed: the stream ends.
    pub fn write_bye(&mut self, out: &mut [u8; limits::RTCP_OUT_BYTES_MAX]) -> Option<usize> {
        if !std::mem::take(&mut self.has_sent) || self.scheduler.is_silent() {
            return None;
        }
        write_compound(out, self.config.ssrc, &[], &self.config.cname, true).ok()
    }

    /// Takes another SSRC because a peer uses ours, and writes the BYE of the old one if it was ever
    /// used (RFC 3550 §8.2). A peer that mirrors each new one is let be in the end.
    pub fn change_ssrc(
        &mut self,
        new: Ssrc,
        out: &mut [u8; limits::RTCP_OUT_BYTES_MAX],
    ) -> Option<usize> {
        if self.collisions >= limits::COLLISIONS_MAX {
            return None;
        }
        self.collisions += 1;
        let bye = self.write_bye(out);
        self.config.ssrc = new;
        bye
    }

    fn handle_name(&mut self, now: MonoTime, ssrc: Ssrc, name: Option<&[u8]>) -> Option<RtcpEvent> {
        if ssrc == self.config.ssrc {
            // Our own name mirrored, or a collision that its report has told already.
            return None;
        }
        let name = name?;
        let peer = self.peer_mut(now, ssrc);
        if peer.cname.as_deref() == Some(name) {
            return None;
        }
        peer.cname = Some(name.into());
        Some(RtcpEvent::Named { ssrc })
    }

    /// The peer with this SSRC; whoever was heard longest ago makes room for a new one.
    fn peer_mut(&mut self, now: MonoTime, ssrc: Ssrc) -> &mut Peer {
        let known = self.peers.iter().position(|peer| peer.ssrc == ssrc);
        let index = known.unwrap_or_else(|| {
            let oldest = self
                .peers
                .iter()
                .enumerate()
                .min_by_key(|(_, peer)| peer.heard_at);
            match oldest {
                Some((index, _)) if self.peers.len() >= limits::SOURCES_MAX => {
                    self.peers[index] = Peer::new(now, ssrc);
                    index
                }
                Some(_) | None => {
                    self.peers.push(Peer::new(now, ssrc));
                    self.peers.len() - 1
                }
            }
        });
        let peer = &mut self.peers[index];
        peer.heard_at = now;
        peer.left = false;
        peer
    }

    /// A block for each source that was heard since the last report (§6.4).
    fn blocks(
        &self,
        now: MonoTime,
        sources: &mut SourceTable,
    ) -> ([ReportBlock; limits::SOURCES_MAX], usize) {
        let mut blocks = [ReportBlock::EMPTY; limits::SOURCES_MAX];
        let heard = sources.iter_mut().filter_map(|source| {
            let ssrc = source.ssrc();
            let tracker = source.tracker_mut();
            tracker
                .heard_since_report()
                .then(|| (ssrc, tracker.report()))
        });
        let mut count = 0;
        for (block, (ssrc, reception)) in blocks.iter_mut().zip(heard) {
            let pair = self.peer(ssrc).and_then(|peer| peer.last_pair);
            *block = ReportBlock {
                ssrc,
                fraction_lost: reception.fraction_lost,
                cumulative_lost: reception.cumulative_lost,
                highest: reception.highest,
                jitter: reception.jitter,
                last_sr: pair.map_or(0, |pair| NtpTime::middle(pair.ntp)),
                delay_since_last_sr: pair.map_or(0, |pair| delay_units(now, pair.at)),
            };
            count += 1;
        }
        (blocks, count)
    }
}

impl Peer {
    const fn new(now: MonoTime, ssrc: Ssrc) -> Self {
        Self {
            ssrc,
            cname: None,
            first_pair: None,
            last_pair: None,
            sent_packets: 0,
            sent_octets: 0,
            left: false,
            heard_at: now,
        }
    }
}

/// Time since `at` in 1/65536 s.
fn delay_units(now: MonoTime, at: MonoTime) -> u32 {
    u32::try_from((now.since(at).as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
