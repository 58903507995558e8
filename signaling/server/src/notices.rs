//! What happens, as log lines. Those that a peer can cause at will are bounded.

use std::fmt::Display;
use std::net::SocketAddr;

use holdfast_control::status::Status;
use holdfast_recording::admission::Bucket;
use holdfast_recording::recorder::{CallName, Notice, Statistics};
use holdfast_units::MonoTime;
use tracing::{debug, error, error_span, info, warn};

use crate::limits::{PEER_LINES_BURST, PEER_LINES_PER_SECOND};

/// The log, as far as it has a memory.
#[derive(Debug)]
pub struct Log {
    /// Lines that peers cause.
    lines: Bucket,
    /// Lines that were left out since the last counts.
    left_out: u64,
    /// Lines that were left out before these.
    left_out_before: u64,
    handshakes_failed: u64,
    connections_refused: u64,
    connections_displaced: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            lines: Bucket::new(MonoTime::ZERO, PEER_LINES_PER_SECOND, PEER_LINES_BURST),
            left_out: 0,
            left_out_before: 0,
            handshakes_failed: 0,
            connections_refused: 0,
            connections_displaced: 0,
        }
    }
}

impl Log {
    /// Logs one notice, with the names of its call where it does not say them itself.
    pub fn notice(&mut self, now: MonoTime, notice: &Notice, call: Option<CallName<'_>>) {
        let by_peer = matches!(
            notice,
            Notice::InviteRefused { .. }
                | Notice::RequestRefused { .. }
                | Notice::LineRefused { .. }
                | Notice::ChangeRefused { .. }
        );
        if !by_peer || self.has_room(now) {
            let span = call.map(|CallName { call_id, peer }| {
                let peer = peer.map(tracing::field::display);
                error_span!("call", call_id, peer)
            });
            let _within = span.as_ref().map(tracing::Span::enter);
            log(notice);
        }
    }

    /// A peer and we did not come to terms about TLS.
    pub fn handshake_failed(&mut self, now: MonoTime, peer: SocketAddr, why: &str) {
        self.handshakes_failed += 1;
        if self.has_room(now) {
            info!(%peer, why, "TLS handshake failed");
        }
    }

    /// A connection was closed as soon as it was there.
    pub fn connection_refused(&mut self, now: MonoTime, peer: SocketAddr, cause: &dyn Display) {
        self.connections_refused += 1;
        if self.has_room(now) {
            warn!(%peer, %cause, "connection refused");
        }
    }

    /// A connection that never brought a request was closed for a new one.
    pub fn connection_displaced(&mut self, now: MonoTime, peer: SocketAddr) {
        self.connections_displaced += 1;
        if self.has_room(now) {
            warn!(%peer, "all connections are taken: a silent one is closed for this one");
        }
    }

    /// Logs the counts.
    pub fn statistics(&mut self, statistics: &Statistics, junk: u64) {
        log_statistics(statistics);
        let admission = &statistics.admission;
        info!(
            challenged = admission.challenged,
            forbidden = admission.forbidden,
            too_fast = admission.too_fast,
            junk,
            handshakes_failed = self.handshakes_failed,
            connections_refused = self.connections_refused,
            connections_displaced = self.connections_displaced,
            lines_left_out = self.left_out,
            "refused"
        );
        self.left_out_before += std::mem::take(&mut self.left_out);
    }

    /// The part of a status that is known here.
    pub fn tell(&self, status: &mut Status) {
        let connections = &mut status.connections;
        connections.handshakes_failed = self.handshakes_failed;
        connections.refused = self.connections_refused;
        connections.displaced = self.connections_displaced;
        status.sip.lines_left_out = self.left_out_before + self.left_out;
    }

    fn has_room(&mut self, now: MonoTime) -> bool {
        let has_room = self.lines.take(now);
        self.left_out += u64::from(!has_room);
        has_room
    }
}

fn log(notice: &Notice) {
    match notice {
        Notice::RequestRefused {
            method,
            peer,
            status,
            cause,
        } => {
            info!(%method, %peer, status = status.code(), %cause, "request refused");
        }
        Notice::CallStarted {
            recording,
            call_id,
            peer,
        } => {
            info!(%recording, call_id, %peer, "call started");
        }
        Notice::NotCalled { recording, reason } => {
            warn!(%recording, %reason, "a client that was called is not recorded");
        }
        Notice::LineRefused {
            call_id,
            peer,
            line,
            reason,
        } => {
            let peer = peer.map(tracing::field::display);
            info!(call_id, peer, line, %reason, "a stream is answered with port 0");
        }
        Notice::InviteRefused {
            call_id,
            peer,
            status,
            cause,
        } => {
            info!(call_id, %peer, status = status.code(), %cause, "INVITE refused");
        }
        Notice::CallAnswered {
            recording,
            call_id,
            peer,
            streams,
        } => {
            let peer = peer.map(tracing::field::display);
            info!(%recording, call_id, peer, streams, "call answered");
        }
        Notice::CallChanged { recording, streams } => {
            info!(%recording, streams, "call changed");
        }
        Notice::CallReplaced { recording } => {
            info!(%recording, "another dialog goes on with the call");
        }
        Notice::CallTaken {
            recording,
            call_id,
            peer,
        } => {
            let peer = peer.map(tracing::field::display);
            warn!(%recording, call_id, peer, "another node goes on with the call");
        }
        Notice::CallAdopted { recording } => {
            warn!(%recording, "goes on with a call of another node");
        }
        Notice::ChangeRefused {
            recording,
            status,
            cause,
        } => {
            info!(%recording, status = status.code(), %cause, "change of a call refused");
        }
        Notice::CallEnded {
            recording,
            call_id,
            peer,
            reason,
        } => {
            let peer = peer.map(tracing::field::display);
            info!(%recording, call_id, peer, ?reason, "call ended");
        }
        Notice::Published {
            recording,
            call_id,
            peer,
            folder,
            packets,
            lost,
        } => {
            let peer = peer.map(tracing::field::display);
            info!(%recording, call_id, peer, folder, packets, lost, "recording published");
        }
        Notice::RecordingUnaccounted { recording } => {
            warn!(%recording, "the engine no longer holds a recording that it was to publish");
        }
        Notice::Commanded { recording, command } => {
            info!(%recording, command, "an operator's command");
        }
        Notice::DirectionTold {
            recording,
            is_paused,
            status,
        } => {
            info!(%recording, is_paused, status = status.code(), "the peer was told");
        }
        Notice::SnapshotRefused { recording, status } => {
            warn!(%recording, status = status.code(), "the peer does not send its metadata again");
        }
        Notice::Malformed { peer, fault } => debug!(%peer, %fault, "not a SIP message"),
        other => log_engine(other),
    }
}

fn log_engine(notice: &Notice) {
    match notice {
        Notice::PortRefused { recording, reason } => {
            warn!(%recording, reason, "a media port cannot be had");
        }
        Notice::EngineRefused { recording, reason } => {
            error!(%recording, %reason, "the engine did not take a recording");
        }
        Notice::EngineSilent { recording } => {
            error!(%recording, "the engine does not answer");
        }
        Notice::EngineReady { calls, orphans } => {
            info!(calls, orphans, "the media engine is ready");
        }
        Notice::EngineGone => error!("the media engine is gone; calls stay up, new ones get 503"),
        Notice::StoreAway => error!("dialogs are not saved; calls that are up go on"),
        Notice::StoreBack => info!("dialogs are saved again"),
        Notice::EngineWilling(Some(why)) => error!(%why, "new calls get 503"),
        Notice::EngineWilling(None) => info!("new calls are welcome again"),
        other => debug!(?other, "notice"),
    }
}

fn log_statistics(statistics: &Statistics) {
    let [_, r1xx, r2xx, r3xx, r4xx, r5xx, r6xx] = statistics.responses;
    info!(
        calls = statistics.calls,
        publishing = statistics.publishing,
        orphans = statistics.orphans,
        invites = statistics.invites,
        answered = statistics.answered,
        refused = statistics.refused.values().sum::<u64>(),
        published = statistics.published,
        malformed = statistics.malformed,
        r1xx,
        r2xx,
        r3xx,
        r4xx,
        r5xx,
        r6xx,
        "statistics"
    );
}
