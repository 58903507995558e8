//! `[store]`: where the state of calls is kept, so that it outlives the signaling process.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::{Checker, quoted};
use crate::convert::path_or;
use crate::limits;
use crate::peers::file;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawStore {
    pub kind: String,
    pub path: String,
    pub when_away: String,
    pub answer_timeout: String,
    pub servers: Vec<String>,
    pub mode: String,
    pub master: String,
    pub tls: bool,
    pub tls_ca: String,
    pub user: String,
    pub password_file: String,
    pub prefix: String,
    pub lease: String,
    pub takeover_address: String,
}

impl Default for RawStore {
    fn default() -> Self {
        Self {
            kind: "sqlite".to_owned(),
            path: "auto".to_owned(),
            when_away: "accept".to_owned(),
            answer_timeout: "2 s".to_owned(),
            servers: vec!["127.0.0.1:6379".to_owned()],
            mode: "standalone".to_owned(),
            master: "holdfast".to_owned(),
            tls: false,
            tls_ca: String::new(),
            user: String::new(),
            password_file: String::new(),
            prefix: "holdfast".to_owned(),
            lease: "1500 ms".to_owned(),
            takeover_address: "none".to_owned(),
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// What keeps it.
    pub kind: StoreKind,
    /// The database of [`StoreKind::Sqlite`].
    pub path: PathBuf,
    /// What new calls get while it does not save.
    pub when_away: WhenAway,
    /// How long it may take to save a change before it is taken for away.
    pub answer_timeout: Duration,
    /// What [`StoreKind::Redis`] needs.
    pub redis: Redis,
}

/// Of `[store]`: a Redis or Valkey server that nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Host and port of those that are asked first; never empty.
    pub servers: Vec<(String, u16)>,
    /// What they are.
    pub mode: RedisMode,
    /// The master's name, as the Sentinels have it.
    pub master: String,
    /// Whether they are reached over TLS.
    pub tls: bool,
    /// Their authorities; `None`: those of the system.
    pub tls_ca: Option<PathBuf>,
    /// The user; empty: the default one.
    pub user: String,
    /// File with the password; `None`: there is none.
    pub password_file: Option<PathBuf>,
    /// What all keys begin with.
    pub prefix: String,
    /// How long a node is taken for alive after it has said so.
    pub lease: Duration,
    /// The address that has to be on this machine before it adopts the calls of a dead node; `None`:
    /// it never does.
    pub takeover_address: Option<IpAddr>,
}

/// What keeps the state of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A file.
    Sqlite,
    /// A server that nodes share.
    Redis,
    /// Nothing: a restart of signaling ends all dialogs. For measuring what the others cost.
    Memory,
}

/// What the servers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisMode {
    /// The server.
    Standalone,
    /// Sentinels, which know where the server is.
    Sentinel,
    /// Nodes of a cluster.
    Cluster,
}

/// What new calls get while their state cannot be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAway {
    /// They are recorded, and flagged.
    Accept,
    /// 503.
    Refuse,
}

pub(crate) fn store(checker: &mut Checker<'_>, raw: &RawStore, state_dir: &Path) -> Store {
    let kinds = [
        ("sqlite", StoreKind::Sqlite),
        ("redis", StoreKind::Redis),
        ("memory", StoreKind::Memory),
    ];
    let when_away = [("accept", WhenAway::Accept), ("refuse", WhenAway::Refuse)];
    Store {
        kind: checker.choice("store.kind", &raw.kind, &kinds),
        path: path_or(checker, "store.path", &raw.path, || {
            state_dir.join("dialogs.sqlite")
        }),
        when_away: checker.choice("store.when_away", &raw.when_away, &when_away),
        answer_timeout: checker.duration(
            "store.answer_timeout",
            &raw.answer_timeout,
            &limits::ANSWER,
        ),
        redis: redis(checker, raw),
    }
}

fn redis(checker: &mut Checker<'_>, raw: &RawStore) -> Redis {
    let modes = [
        ("standalone", RedisMode::Standalone),
        ("sentinel", RedisMode::Sentinel),
        ("cluster", RedisMode::Cluster),
    ];
    let length_max = limits::STORE_NAME_LENGTH_MAX;
    let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    for (key, text) in [("store.master", &raw.master), ("store.prefix", &raw.prefix)] {
        if text.is_empty() || text.len() > length_max || !text.chars().all(is_fit) {
            let allowed = format!("1 to {length_max} letters, digits, hyphens and underscores");
            checker.not_allowed(key, quoted(text), allowed);
        }
    }
    Redis {
        servers: servers(checker, &raw.servers),
        mode: checker.choice("store.mode", &raw.mode, &modes),
        master: raw.master.clone(),
        tls: raw.tls,
        tls_ca: file(checker, "store.tls_ca", &raw.tls_ca),
        user: raw.user.clone(),
        password_file: file(checker, "store.password_file", &raw.password_file),
        prefix: raw.prefix.clone(),
        lease: checker.duration("store.lease", &raw.lease, &limits::STORE_LEASE),
        takeover_address: takeover_address(checker, &raw.takeover_address),
    }
}

fn servers(checker: &mut Checker<'_>, raw: &[String]) -> Vec<(String, u16)> {
    let count_max = limits::STORE_SERVERS_MAX;
    if raw.is_empty() || raw.len() > count_max {
        let allowed = format!("1 to {count_max} of HOST:PORT");
        checker.not_allowed(
            "store.servers",
            format_args!("a list of {}", raw.len()),
            allowed,
        );
    }
    let mut servers = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        let parts = text.rsplit_once(':').and_then(|(host, port)| {
            let is_fit = |c: char| c.is_ascii_alphanumeric() || ".-[]:".contains(c);
            let is_host = !host.is_empty() && host.chars().all(is_fit);
            let port = port.parse().ok().filter(|port| *port != 0);
            Some((host.to_owned(), port.filter(|_| is_host)?))
        });
        match parts {
            Some(parts) => servers.push(parts),
            None => checker.not_allowed(
                &format!("store.servers[{index}]"),
                quoted(text),
                "a name or address and a port, such as \"redis-1:6379\" or \"[2001:db8::1]:6379\"",
            ),
        }
    }
    servers
}

fn takeover_address(checker: &mut Checker<'_>, text: &str) -> Option<IpAddr> {
    if text == "none" {
        return None;
    }
    let address = text.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified());
    if address.is_none() {
        let allowed = "\"none\" or the IP address that moves between the nodes";
        checker.not_allowed("store.takeover_address", quoted(text), allowed);
    }
    address
}
