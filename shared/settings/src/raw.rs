//! The file as it is written: every key with its default, nothing checked.
//!
//! Integers are `i64` throughout, so that the range check is ours and its message names the key.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawSettings {
    pub node: RawNode,
    pub sip: RawSip,
    pub media: RawMedia,
    pub journal: RawJournal,
    pub recordings: RawRecordings,
    pub lifecycle: RawLifecycle,
    pub log: RawLog,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawNode {
    pub name: String,
    pub state_dir: String,
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
    pub max_calls: i64,
    pub streams_per_call_max: i64,
    pub call_duration_max: String,
    pub session_expires: String,
    pub session_expires_min: String,
    pub retry_after: String,
    pub message_size_max: String,
    pub metadata_size_max: String,
    pub tcp_connections_max: i64,
    pub tcp_idle_timeout: String,
    pub t1: String,
    pub t2: String,
    pub t4: String,
    pub server_header: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawMedia {
    pub ingest: String,
    pub interface: String,
    pub ring_size: String,
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
    pub publish_threads: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawLifecycle {
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
            max_calls: 2_000,
            streams_per_call_max: 16,
            call_duration_max: "24 h".to_owned(),
            session_expires: "2 h".to_owned(),
            session_expires_min: "90 s".to_owned(),
            retry_after: "10 s".to_owned(),
            message_size_max: "256 KiB".to_owned(),
            metadata_size_max: "128 KiB".to_owned(),
            tcp_connections_max: 1_000,
            tcp_idle_timeout: "10 min".to_owned(),
            t1: "500 ms".to_owned(),
            t2: "4 s".to_owned(),
            t4: "5 s".to_owned(),
            server_header: "Holdfast".to_owned(),
        }
    }
}

impl Default for RawMedia {
    fn default() -> Self {
        Self {
            ingest: "auto".to_owned(),
            interface: "auto".to_owned(),
            ring_size: "auto".to_owned(),
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
            segments_max: 16,
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
            publish_threads: 1,
        }
    }
}

impl Default for RawLifecycle {
    fn default() -> Self {
        Self {
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
