//! What the recorder says, as log lines.

use holdfast_recording::recorder::{Notice, Statistics};
use tracing::{debug, error, info, warn};

/// Logs one notice.
pub fn log(notice: &Notice) {
    match notice {
        Notice::CallStarted {
            recording,
            call_id,
            peer,
        } => {
            info!(%recording, call_id, %peer, "call started");
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
        Notice::EngineWilling(Some(why)) => error!(%why, "new calls get 503"),
        Notice::EngineWilling(None) => info!("new calls are welcome again"),
        other => debug!(?other, "notice"),
    }
}

/// Logs the counts.
pub fn log_statistics(statistics: &Statistics) {
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
