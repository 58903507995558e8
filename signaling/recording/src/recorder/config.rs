//! What a recorder is told once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_seal::NodeKeys;
use holdfast_sip::EndpointConfig;

use super::keeping::WhenStoreAway;
use super::replaces::SameSession;
use crate::admission::{AdmissionConfig, PeerConfig};
use crate::offer::SrtpPolicy;
use crate::{limits, metadata};

/// Configuration of a [`Recorder`](super::Recorder).
#[derive(Clone, Debug)]
pub struct RecorderConfig {
    /// Name of this node, for whoever goes on with its calls.
    pub node: String,
    /// SIP: timers, bounds, addresses to announce.
    pub endpoint: EndpointConfig,
    /// Whether what RFC 7866 does not allow is refused instead of recorded with a warning.
    pub is_strict: bool,
    /// Whether an INVITE without any mark of SIPREC is recorded.
    pub takes_plain_invites: bool,
    /// Whether a call is answered inactive and recorded once an operator resumes it.
    pub starts_paused: bool,
    /// Calls at a time; more get 503.
    pub calls_max: usize,
    /// Who may record, and the peers that have rules of their own.
    pub admission: AdmissionConfig,
    /// Parts of one body.
    pub body_parts_max: usize,
    /// Multiparts within multiparts.
    pub body_depth_max: usize,
    /// Elements within elements of a metadata document.
    pub metadata_depth_max: usize,
    /// Labels of media lines that have none, in the order of the lines.
    pub labels: Vec<String>,
    /// Encodings that are recorded, the preferred one first; empty: all.
    pub codecs: Vec<String>,
    /// What may be agreed on about keys; whether they are taken is decided by how a call comes, where
    /// it is not allowed here.
    pub srtp: SrtpPolicy,
    /// What seals the keys that the engine is told; `None`: nothing is encrypted.
    pub node_keys: Option<Arc<NodeKeys>>,
    /// Streams recorded of one call.
    pub streams_per_call_max: usize,
    /// After this a call is ended.
    pub call_duration_max: Duration,
    /// Session interval that is granted (RFC 4028).
    pub session_expires: Duration,
    /// Shortest session interval that is granted.
    pub session_expires_min: Duration,
    /// A peer without a session timer that has said nothing for so long is asked whether it is there;
    /// zero: never.
    pub session_check_interval: Duration,
    /// A call whose peer answers nothing is ended when it has said nothing for so long.
    pub session_timeout: Duration,
    /// How long the media engine may take to put a change of a recording into force before the request
    /// that waits for it is refused.
    pub engine_answer_timeout: Duration,
    /// How long whoever we call may take to accept before the call is withdrawn.
    pub callee_answer_timeout: Duration,
    /// How long the store may take to save the state of a call before it is taken for away.
    pub store_answer_timeout: Duration,
    /// Octets of a metadata document that are read; a longer one is kept and not read.
    pub metadata_bytes_max: usize,
    /// Address that session descriptions name; `None`: the one that the INVITE came to.
    pub media_address: Option<IpAddr>,
    /// Rest of a port after its release.
    pub port_quarantine: Duration,
    /// What becomes of new calls while there is no store for the dialogs; `None`: they are not saved at
    /// all.
    pub when_store_away: Option<WhenStoreAway>,
    /// Whether other nodes may go on with the calls of this one, and this one with theirs.
    pub shares_calls: bool,
    /// What an INVITE is that speaks of a session which is being recorded, without Replaces.
    pub same_session: SameSession,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        let mut endpoint = EndpointConfig::default();
        endpoint.supported.push("replaces".to_owned());
        Self {
            node: String::new(),
            endpoint,
            is_strict: false,
            takes_plain_invites: false,
            starts_paused: false,
            admission: AdmissionConfig::default(),
            body_parts_max: limits::BODY_PARTS_MAX,
            body_depth_max: limits::BODY_DEPTH_MAX,
            metadata_depth_max: metadata::Limits::default().depth_max,
            labels: Vec::new(),
            codecs: Vec::new(),
            srtp: SrtpPolicy::default(),
            node_keys: None,
            calls_max: 2_000,
            streams_per_call_max: limits::MEDIA_LINES_MAX,
            call_duration_max: Duration::from_secs(24 * 60 * 60),
            session_expires: Duration::from_secs(2 * 60 * 60),
            session_expires_min: Duration::from_secs(90),
            session_check_interval: Duration::ZERO,
            session_timeout: Duration::from_secs(60 * 60),
            engine_answer_timeout: Duration::from_secs(2),
            callee_answer_timeout: Duration::from_secs(60),
            store_answer_timeout: Duration::from_secs(2),
            metadata_bytes_max: 128 * 1024,
            media_address: None,
            port_quarantine: Duration::from_secs(5),
            when_store_away: None,
            shares_calls: false,
            same_session: SameSession::default(),
        }
    }
}

impl RecorderConfig {
    /// The same for calls of one peer.
    pub(super) fn of_peer(&self, peer: &PeerConfig) -> Self {
        Self {
            is_strict: peer.is_strict,
            takes_plain_invites: peer.takes_plain_invites,
            labels: peer.labels.clone(),
            codecs: peer.codecs.clone(),
            srtp: peer.srtp.clone(),
            ..self.clone()
        }
    }
}
