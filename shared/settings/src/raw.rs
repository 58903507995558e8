//! The file as it is written: every key with its default, nothing checked.
//!
//! Integers are `i64` throughout, so that the range check is ours and its message names the key.

use holdfast_units::SrtpSuite;
use serde::{Deserialize, Serialize};

use crate::store::RawStore;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawSettings {
    pub node: RawNode,
    pub sip: RawSip,
    pub tls: RawTls,
    pub access: RawAccess,
    pub digest: RawDigest,
    pub store: RawStore,
    pub srtp: RawSrtp,
    pub media: RawMedia,
    pub journal: RawJournal,
    pub recordings: RawRecordings,
    pub http: RawHttp,
    pub lifecycle: RawLifecycle,
    pub log: RawLog,
    /// Behind the tables: that is where TOML has arrays of tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peer: Vec<RawPeer>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawNode {
    pub name: String,
    pub state_dir: String,
    pub key_file: String,
    pub core_dumps: bool,
    pub control_socket: String,
    pub operator_socket: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawSip {
    pub listen: Vec<String>,
    pub advertise: String,
    pub strict: bool,
    pub plain_invite: String,
    pub start_paused: bool,
    pub same_session: String,
    pub max_calls: i64,
    pub streams_per_call_max: i64,
    pub call_duration_max: String,
    pub session_expires: String,
    pub session_expires_min: String,
    pub session_check_interval: String,
    pub session_timeout: String,
    pub engine_answer_timeout: String,
    pub callee_answer_timeout: String,
    pub retry_after: String,
    pub message_size_max: String,
    pub header_size_max: String,
    pub body_parts_max: i64,
    pub body_depth_max: i64,
    pub metadata_size_max: String,
    pub metadata_depth_max: i64,
    pub message_timeout: String,
    pub connections_max: i64,
    pub connections_per_source_max: i64,
    pub connection_idle_timeout: String,
    pub require_sips: bool,
    pub t1: String,
    pub t2: String,
    pub t4: String,
    pub server_header: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawTls {
    pub certificate: String,
    pub key: String,
    pub client_certificates: String,
    pub client_ca: String,
    pub client_names: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawAccess {
    pub allow: Vec<String>,
    pub unknown_peers: String,
    pub requests_per_second: i64,
    pub requests_burst: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawDigest {
    pub realm: String,
    pub credentials: String,
    pub algorithms: Vec<String>,
    pub nonce_lifetime: String,
}

/// One `[[peer]]`; its default is what the keys that are left out have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawPeer {
    pub name: String,
    pub addresses: Vec<String>,
    pub certificates: Vec<String>,
    pub users: Vec<String>,
    pub callable: bool,
    pub trusted: bool,
    pub mode: String,
    pub plain_invite: String,
    pub labels: Vec<String>,
    pub codecs: Vec<String>,
    pub srtp_suites: Vec<String>,
    pub srtp_keys_without_tls: String,
    pub srtp_opportunistic: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawSrtp {
    pub suites: Vec<String>,
    pub prefer: String,
    pub keys_without_tls: String,
    pub opportunistic: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawMedia {
    pub ingest: String,
    pub interface: String,
    pub ring_size: String,
    pub timestamps: String,
    pub address: String,
    pub ports: String,
    pub cores: Vec<i64>,
    pub tick: String,
    pub commit_interval: String,
    pub port_quarantine: String,
    pub source_policy: String,
    pub relatch_after: String,
    pub orphan_timeout: String,
    pub packet_size_max: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawJournal {
    pub dir: String,
    pub segment_size: String,
    pub segments_max: i64,
    pub checkpoint_interval: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawRecordings {
    pub dir: String,
    pub incoming_dir: String,
    pub keep_packets: String,
    pub disk_high_watermark: String,
    pub disk_critical_watermark: String,
    pub when_critical: String,
    pub publish_threads: i64,
    pub join_parts: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawHttp {
    pub listen: String,
    pub certificate: String,
    pub key: String,
    pub token_file: String,
    pub connections_max: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawLifecycle {
    pub handover: bool,
    pub shutdown_timeout: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawLog {
    pub level: String,
    pub format: String,
}

impl Default for RawNode {
    fn default() -> Self {
        Self {
            name: "recorder-1".to_owned(),
            state_dir: "var/state".to_owned(),
            key_file: "auto".to_owned(),
            core_dumps: false,
            control_socket: "var/control.sock".to_owned(),
            operator_socket: "var/operator.sock".to_owned(),
        }
    }
}

impl Default for RawSip {
    fn default() -> Self {
        Self {
            listen: vec!["udp:0.0.0.0:5060".to_owned(), "tcp:0.0.0.0:5060".to_owned()],
            advertise: "auto".to_owned(),
            strict: false,
            plain_invite: "refuse".to_owned(),
            start_paused: false,
            same_session: "off".to_owned(),
            max_calls: 2_000,
            streams_per_call_max: 16,
            call_duration_max: "24 h".to_owned(),
            session_expires: "2 h".to_owned(),
            session_expires_min: "90 s".to_owned(),
            session_check_interval: "15 min".to_owned(),
            session_timeout: "1 h".to_owned(),
            engine_answer_timeout: "2 s".to_owned(),
            callee_answer_timeout: "1 min".to_owned(),
            retry_after: "10 s".to_owned(),
            message_size_max: "256 KiB".to_owned(),
            header_size_max: "64 KiB".to_owned(),
            body_parts_max: 32,
            body_depth_max: 4,
            metadata_size_max: "128 KiB".to_owned(),
            metadata_depth_max: 32,
            message_timeout: "20 s".to_owned(),
            connections_max: 2_000,
            connections_per_source_max: 500,
            connection_idle_timeout: "10 min".to_owned(),
            require_sips: false,
            t1: "500 ms".to_owned(),
            t2: "4 s".to_owned(),
            t4: "5 s".to_owned(),
            server_header: "Holdfast".to_owned(),
        }
    }
}

impl Default for RawTls {
    fn default() -> Self {
        Self {
            certificate: String::new(),
            key: String::new(),
            client_certificates: "off".to_owned(),
            client_ca: String::new(),
            client_names: vec!["*".to_owned()],
        }
    }
}

impl Default for RawAccess {
    fn default() -> Self {
        Self {
            allow: vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()],
            unknown_peers: "accept".to_owned(),
            requests_per_second: 1_000,
            requests_burst: 2_000,
        }
    }
}

impl Default for RawDigest {
    fn default() -> Self {
        Self {
            realm: "holdfast".to_owned(),
            credentials: String::new(),
            algorithms: vec!["SHA-256".to_owned()],
            nonce_lifetime: "5 min".to_owned(),
        }
    }
}

impl Default for RawPeer {
    fn default() -> Self {
        Self {
            name: String::new(),
            addresses: Vec::new(),
            certificates: Vec::new(),
            users: Vec::new(),
            callable: false,
            trusted: false,
            mode: "default".to_owned(),
            plain_invite: "default".to_owned(),
            labels: Vec::new(),
            codecs: Vec::new(),
            srtp_suites: vec!["default".to_owned()],
            srtp_keys_without_tls: "default".to_owned(),
            srtp_opportunistic: "default".to_owned(),
        }
    }
}

impl Default for RawSrtp {
    fn default() -> Self {
        Self {
            suites: SrtpSuite::ALL.map(|suite| suite.name().to_owned()).to_vec(),
            prefer: "offer".to_owned(),
            keys_without_tls: "refuse".to_owned(),
            opportunistic: false,
        }
    }
}

impl RawPeer {
    /// One with an item in each list: what says which types the keys have.
    pub(crate) fn example() -> Self {
        let list = |text: &str| vec![text.to_owned()];
        Self {
            name: "sbc-1".to_owned(),
            addresses: list("192.0.2.0/24"),
            certificates: list("sbc-1.example.com"),
            users: list("sbc-1"),
            labels: list("agent"),
            codecs: list("PCMA"),
            srtp_suites: list("AEAD_AES_256_GCM"),
            ..Self::default()
        }
    }
}

impl Default for RawMedia {
    fn default() -> Self {
        Self {
            ingest: "auto".to_owned(),
            interface: "auto".to_owned(),
            ring_size: "auto".to_owned(),
            timestamps: "kernel".to_owned(),
            address: "auto".to_owned(),
            ports: "10000-19999".to_owned(),
            cores: vec![0],
            tick: "2 ms".to_owned(),
            commit_interval: "200 ms".to_owned(),
            port_quarantine: "5 s".to_owned(),
            source_policy: "latch".to_owned(),
            relatch_after: "5 s".to_owned(),
            orphan_timeout: "60 s".to_owned(),
            packet_size_max: "2 KiB".to_owned(),
        }
    }
}

impl Default for RawJournal {
    fn default() -> Self {
        Self {
            dir: "auto".to_owned(),
            segment_size: "64 MiB".to_owned(),
            segments_max: 32,
            checkpoint_interval: "2 s".to_owned(),
        }
    }
}

impl Default for RawRecordings {
    fn default() -> Self {
        Self {
            dir: "var/recordings".to_owned(),
            incoming_dir: "auto".to_owned(),
            keep_packets: "unrendered".to_owned(),
            disk_high_watermark: "90 %".to_owned(),
            disk_critical_watermark: "97 %".to_owned(),
            when_critical: "stop-new".to_owned(),
            publish_threads: 1,
            join_parts: true,
        }
    }
}

impl Default for RawHttp {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            certificate: String::new(),
            key: String::new(),
            token_file: String::new(),
            connections_max: 64,
        }
    }
}

impl Default for RawLifecycle {
    fn default() -> Self {
        Self {
            handover: false,
            shutdown_timeout: "30 s".to_owned(),
        }
    }
}

impl Default for RawLog {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: "text".to_owned(),
        }
    }
}
