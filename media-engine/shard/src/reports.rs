//! Receiver reports: a recorder that only receives still owes them (RFC 7866 §8.1.1). Senders that
//! obey RFC 8083 stop without them.
//!
//! They leave from the announced port, to where the signaling says, and go on while a stream is
//! paused. They go by the monotonic clock: a wall clock that is set back must not silence them. What the reports say of the reception comes from the assembly, which knows only what is
//! durable: they lag by at most a commit.

use std::net::SocketAddr;

use holdfast_rtp::{Chance, RtcpEvent, Ssrc};
use holdfast_units::MonoTime;

use crate::output::Output;
use crate::shard::Shard;

/// Octets of a report, at most.
const REPORT_SIZE_MAX: usize = holdfast_rtp::limits::RTCP_OUT_BYTES_MAX;

impl<B: AsRef<[u8]> + AsMut<[u8]>> Shard<B> {
    /// Takes an RTCP packet that the guard let through.
    pub(crate) fn handle_rtcp(
        &mut self,
        now: MonoTime,
        pair: u16,
        source: SocketAddr,
        bytes: &[u8],
    ) {
        let Some(Some(live)) = self.live.get_mut(usize::from(pair)) else {
            return;
        };
        // What does not read is kept as it is and has no effect.
        let mut room = Vec::new();
        let events = live
            .srtcp
            .open_packet(bytes, &mut room)
            .and_then(|plain| live.rtcp.handle_packet(now, plain).ok())
            .unwrap_or_default();
        // A peer behind an address translator is where its own reports come from, when its media
        // comes from there too.
        let is_media_host = live
            .rtp_source()
            .is_some_and(|media| media.ip() == source.ip());
        if is_media_host && !events.is_empty() {
            live.rtcp_peer = Some(source);
        }
        if events
            .iter()
            .any(|event| matches!(event, RtcpEvent::Collision))
        {
            self.change_ssrc(usize::from(pair));
        }
    }

    /// Sends the report of a stream if it is due.
    pub(crate) fn report(&mut self, now: MonoTime, pair: usize) {
        let Some(Some(live)) = self.live.get_mut(pair) else {
            return;
        };
        if live.rtcp.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        let Some(assembled) = self.assembly.stream_mut(live.desired.id) else {
            return;
        };
        let own = live.rtcp.ssrc();
        let chance = Chance(self.random.next_u32());
        let mut room = [0; REPORT_SIZE_MAX];
        let sources = assembled.sources_mut();
        if sources.source(own).is_some() {
            self.change_ssrc(pair);
            return;
        }
        if let Some(size) = live.rtcp.poll_report(now, chance, sources, &mut room) {
            self.send(pair, &room[..size]);
        }
    }

    /// Says goodbye for a stream that ends.
    pub(crate) fn send_goodbye(&mut self, pair: usize) {
        let Some(Some(live)) = self.live.get_mut(pair) else {
            return;
        };
        let mut room = [0; REPORT_SIZE_MAX];
        if let Some(size) = live.rtcp.write_bye(&mut room) {
            self.send(pair, &room[..size]);
        }
    }

    /// The peer uses our SSRC (RFC 3550 §8.2).
    #[cold]
    fn change_ssrc(&mut self, pair: usize) {
        let Some(Some(live)) = self.live.get_mut(pair) else {
            return;
        };
        let mut room = [0; REPORT_SIZE_MAX];
        let new = Ssrc(self.random.next_u32());
        if let Some(size) = live.rtcp.change_ssrc(new, &mut room) {
            self.send(pair, &room[..size]);
        }
    }

    fn send(&mut self, pair: usize, report: &[u8]) {
        let Some(Some(live)) = self.live.get_mut(pair) else {
            return;
        };
        let Some(to) = live.rtcp_peer.or(live.desired.peer_rtcp) else {
            return;
        };
        let Some(bytes) = live.srtcp.protect(report) else {
            return;
        };
        self.outputs.push_back(Output::Send {
            from_port: live.desired.rtcp_port,
            to,
            bytes,
        });
    }
}
