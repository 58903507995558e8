//! A Redis or Valkey server (standalone, behind Sentinels, or a cluster) that several nodes share.
//!
//! ```text
//!   {prefix}:epoch          counts the starts of nodes
//!   {prefix}:nodes          the names of all nodes that ever were
//!   {prefix}:lease:<node>   the epoch of the node's process, as long as it says that it lives
//!   {prefix}:calls:<node>   the recordings of its calls
//!   {prefix}:call:<id>      owner, epoch, dialog, state, saved (ms of the server's clock), adopted
//!   {prefix}:dialog:<key>   the recording of a dialog
//!   {prefix}:gone:<id>      an adopted call is over: who had it before must not bring it back
//! ```
//!
//! **Fencing.** A state is written by the node that owns the call, in the epoch in which it does, and
//! by nobody else: each script checks that in the server, where it runs alone. A node that was away
//! and whose calls another one has adopted is told so at its first write, call by call. Leases, and how
//! old a state is, are counted by the server's clock: those of the nodes may be apart as far as they like.
//!
//! All keys have one hash tag, so that in a cluster they are in one slot and one script sees them.
//! How durable a write is, the server decides (`appendfsync`, replicas).

use std::time::Duration;

use holdfast_units::RecordingId;
use redis::cluster::ClusterClient;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ConnectionAddr, ConnectionLike, IntoConnectionInfo as _, RedisResult, Script,
    TlsCertificates, TlsMode,
};

use crate::home::{Change, Dialog, Home, Row, StoreError};
use crate::limits::{COMMIT_CHANGES_MAX, CONNECT_TIMEOUT, GONE_KEPT, LOAD_COUNT};

/// How the server is reached, and as whom.
#[derive(Clone)]
pub struct RedisConfig {
    /// Host and port of each server or Sentinel that is asked first.
    pub servers: Vec<(String, u16)>,
    /// What they are.
    pub mode: RedisMode,
    /// TLS, with these authorities in PEM form; empty: those of the system.
    pub tls: Option<Vec<u8>>,
    /// The user; empty: the default one.
    pub user: String,
    /// Its password; empty: none.
    pub password: String,
    /// What all keys begin with.
    pub prefix: String,
    /// The name of this node.
    pub node: String,
    /// How long it is taken for alive after it has said so.
    pub lease: Duration,
}

/// What the servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisMode {
    /// The server.
    Standalone,
    /// Sentinels that know the master of this name.
    Sentinel(String),
    /// Nodes of a cluster.
    Cluster,
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig")
            .field("servers", &self.servers)
            .field("mode", &self.mode)
            .field("user", &self.user)
            .field("prefix", &self.prefix)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// See the module's documentation.
pub struct Redis {
    config: RedisConfig,
    source: Source,
    connection: Option<Box<dyn ConnectionLike + Send>>,
    /// Of this process.
    epoch: u64,
    /// Whether the calls of a node that is dead may be adopted now.
    may_adopt: Box<dyn FnMut() -> bool + Send>,
    scripts: Scripts,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("config", &self.config)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

enum Source {
    Standalone(Client),
    Sentinel(Box<SentinelClient>),
    Cluster(ClusterClient),
}

struct Scripts {
    claim: Script,
    load: Script,
    commit: Script,
    lapsed: Script,
    adopt: Script,
    find: Script,
}

impl Redis {
    /// Reaches the server and begins an epoch of this node. `may_adopt` says whether the calls of a
    /// dead node may be adopted here and now; it is asked in the thread of the store.
    ///
    /// # Errors
    ///
    /// It cannot be reached, or does not let us in.
    pub fn open(
        config: RedisConfig,
        may_adopt: impl FnMut() -> bool + Send + 'static,
    ) -> Result<Self, StoreError> {
        let source = source(&config).map_err(fault)?;
        let mut redis = Self {
            config,
            source,
            connection: None,
            epoch: 0,
            may_adopt: Box::new(may_adopt),
            scripts: Scripts::new(),
        };
        redis.epoch = redis.run(|this, connection| {
            let mut claim = this.scripts.claim.prepare_invoke();
            claim
                .key(this.route())
                .arg(this.base())
                .arg(&this.config.node)
                .arg(millis(this.config.lease))
                .invoke(connection)
        })?;
        Ok(redis)
    }

    /// Runs something with a connection, which is given up where it fails.
    fn run<T>(
        &mut self,
        ask: impl Fn(&Self, &mut dyn ConnectionLike) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().map_err(fault)?,
        };
        let answer = ask(self, connection.as_mut());
        if answer.is_ok() {
            self.connection = Some(connection);
        }
        answer.map_err(fault)
    }

    fn connect(&mut self) -> RedisResult<Box<dyn ConnectionLike + Send>> {
        let timed = |client: &Client| -> RedisResult<Box<dyn ConnectionLike + Send>> {
            let connection = client.get_connection_with_timeout(CONNECT_TIMEOUT)?;
            connection.set_read_timeout(Some(CONNECT_TIMEOUT))?;
            connection.set_write_timeout(Some(CONNECT_TIMEOUT))?;
            Ok(Box::new(connection))
        };
        match &mut self.source {
            Source::Standalone(client) => timed(client),
            Source::Sentinel(sentinels) => timed(&sentinels.get_client()?),
            Source::Cluster(client) => {
                let connection = client.get_connection()?;
                connection.set_read_timeout(Some(CONNECT_TIMEOUT))?;
                connection.set_write_timeout(Some(CONNECT_TIMEOUT))?;
                Ok(Box::new(connection))
            }
        }
    }

    fn base(&self) -> String {
        format!("{{{}}}:", self.config.prefix)
    }

    /// A key of the slot that all keys are in.
    fn route(&self) -> String {
        format!("{}epoch", self.base())
    }

    fn commit_some(&mut self, changes: &[Change]) -> Result<Vec<RecordingId>, StoreError> {
        let taken: Vec<String> = self.run(|this, connection| {
            let mut commit = this.scripts.commit.prepare_invoke();
            commit
                .key(this.route())
                .arg(this.base())
                .arg(&this.config.node)
                .arg(this.epoch)
                .arg(millis(this.config.lease))
                .arg(GONE_KEPT.as_secs());
            for change in changes {
                match change {
                    Change::Put(row) => {
                        let dialog = row.dialog.as_ref().map(Dialog::key).unwrap_or_default();
                        let what = if row.is_adopted { "take" } else { "put" };
                        commit.arg(what).arg(row.recording.to_string());
                        commit.arg(dialog).arg(row.state.as_slice());
                    }
                    Change::Remove(recording) => {
                        commit.arg("remove").arg(recording.to_string());
                        commit.arg("").arg("");
                    }
                }
            }
            commit.invoke(connection)
        })?;
        Ok(taken.iter().filter_map(|id| id.parse().ok()).collect())
    }
}

impl Home for Redis {
    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        let ids: Vec<String> = self.run(|this, connection| {
            let calls = format!("{}calls:{}", this.base(), this.config.node);
            redis::cmd("SMEMBERS").arg(calls).query(connection)
        })?;
        let mut rows = Vec::with_capacity(ids.len());
        for ids in ids.chunks(LOAD_COUNT) {
            let found: Vec<Found> = self.run(|this, connection| {
                let mut load = this.scripts.load.prepare_invoke();
                load.key(this.route())
                    .arg(this.base())
                    .arg(&this.config.node)
                    .arg(this.epoch);
                for id in ids {
                    load.arg(id);
                }
                load.invoke(connection)
            })?;
            rows.extend(found.into_iter().filter_map(row));
        }
        rows.sort_by_key(|row| row.recording);
        Ok(rows)
    }

    fn commit(&mut self, changes: &[Change]) -> Result<Vec<RecordingId>, StoreError> {
        let mut taken = Vec::new();
        for changes in changes.chunks(COMMIT_CHANGES_MAX) {
            taken.extend(self.commit_some(changes)?);
        }
        // Nothing but the lease, where there is nothing else: what also says whether it can be reached.
        if changes.is_empty() {
            self.commit_some(&[])?;
        }
        Ok(taken)
    }

    fn pace(&self) -> Option<Duration> {
        Some(self.config.lease / 3)
    }

    fn epoch(&self) -> Option<u64> {
        Some(self.epoch)
    }

    fn tend(&mut self) -> Result<Vec<Row>, StoreError> {
        self.commit_some(&[])?;
        let lapsed: Vec<String> = self.run(|this, connection| {
            let mut lapsed = this.scripts.lapsed.prepare_invoke();
            lapsed
                .key(this.route())
                .arg(this.base())
                .arg(&this.config.node)
                .invoke(connection)
        })?;
        if lapsed.is_empty() || !(self.may_adopt)() {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        for node in lapsed {
            loop {
                let found: Vec<Found> = self.run(|this, connection| {
                    let mut adopt = this.scripts.adopt.prepare_invoke();
                    adopt
                        .key(this.route())
                        .arg(this.base())
                        .arg(&node)
                        .arg(&this.config.node)
                        .arg(this.epoch)
                        .arg(LOAD_COUNT)
                        .invoke(connection)
                })?;
                if found.is_empty() {
                    break;
                }
                rows.extend(found.into_iter().filter_map(row));
            }
        }
        Ok(rows)
    }

    fn find(&mut self, dialog: &Dialog) -> Result<Option<Row>, StoreError> {
        let key = dialog.key();
        let found: Vec<Found> = self.run(|this, connection| {
            let mut find = this.scripts.find.prepare_invoke();
            find.key(this.route())
                .arg(this.base())
                .arg(&key)
                .invoke(connection)
        })?;
        Ok(found.into_iter().find_map(row))
    }
}

fn source(config: &RedisConfig) -> RedisResult<Source> {
    if config.tls.is_some() {
        // The client names no provider and panics where the build does not decide; another one that
        // this process has chosen before stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let certificates = config.tls.clone().map(|authorities| TlsCertificates {
        client_tls: None,
        root_cert: (!authorities.is_empty()).then_some(authorities),
    });
    let scheme = if certificates.is_some() {
        "rediss"
    } else {
        "redis"
    };
    let mut infos = Vec::new();
    for (host, port) in &config.servers {
        let info = format!("{scheme}://{host}:{port}/").into_connection_info()?;
        let mut settings = info.redis_settings().clone();
        if !config.user.is_empty() {
            settings = settings.set_username(&config.user);
        }
        if !config.password.is_empty() {
            settings = settings.set_password(&config.password);
        }
        infos.push(info.set_redis_settings(settings));
    }
    Ok(match &config.mode {
        RedisMode::Standalone => {
            let first = infos.into_iter().next().ok_or_else(no_server)?;
            Source::Standalone(match certificates {
                Some(certificates) => Client::build_with_tls(first, certificates)?,
                None => Client::open(first)?,
            })
        }
        RedisMode::Sentinel(master) => {
            let addresses: Vec<ConnectionAddr> =
                infos.iter().map(|info| info.addr().clone()).collect();
            let kind = SentinelServerType::Master;
            let mut builder = SentinelClientBuilder::new(addresses, master.clone(), kind)?;
            if !config.user.is_empty() {
                builder = builder.set_client_to_redis_username(&config.user);
            }
            if !config.password.is_empty() {
                builder = builder.set_client_to_redis_password(&config.password);
            }
            if let Some(certificates) = certificates {
                builder = builder
                    .set_client_to_redis_tls_mode(TlsMode::Secure)
                    .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                    .set_client_to_redis_certificates(certificates.clone())
                    .set_client_to_sentinel_certificates(certificates);
            }
            Source::Sentinel(Box::new(builder.build()?))
        }
        RedisMode::Cluster => {
            let mut builder = ClusterClient::builder(infos)
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(CONNECT_TIMEOUT);
            if let Some(certificates) = certificates {
                builder = builder.tls(TlsMode::Secure).certs(certificates);
            }
            Source::Cluster(builder.build()?)
        }
    })
}

fn no_server() -> redis::RedisError {
    redis::RedisError::from((redis::ErrorKind::InvalidClientConfig, "no server is named"))
}

/// What a script gives of a call: its recording, its state, and how many milliseconds ago that was
/// saved, -1 where it does not say.
type Found = (String, Vec<u8>, i64);

fn row((id, state, age): Found) -> Option<Row> {
    Some(Row {
        age: u64::try_from(age).ok().map(Duration::from_millis),
        recording: id.parse().ok()?,
        dialog: None,
        is_adopted: false,
        state,
    })
}

fn fault(source: redis::RedisError) -> StoreError {
    StoreError::Redis { source }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Scripts {
    fn new() -> Self {
        Self {
            claim: Script::new(CLAIM),
            load: Script::new(&[CLOCK, LOAD].concat()),
            commit: Script::new(&[CLOCK, COMMIT].concat()),
            lapsed: Script::new(LAPSED),
            adopt: Script::new(&[CLOCK, ADOPT].concat()),
            find: Script::new(&[CLOCK, FIND].concat()),
        }
    }
}

/// The server's clock in milliseconds, and how old a state is that was saved then. A clock that was set
/// back makes nothing younger than now; without a time the age is -1.
const CLOCK: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function age(saved)
  if not saved then return -1 end
  return math.max(0, now - tonumber(saved))
end
";

/// A process of a node begins: its epoch is higher than all before.
const CLAIM: &str = "
local base, node, lease = ARGV[1], ARGV[2], ARGV[3]
local epoch = redis.call('INCR', base .. 'epoch')
redis.call('SADD', base .. 'nodes', node)
redis.call('SET', base .. 'lease:' .. node, epoch, 'PX', lease)
return epoch
";

/// The calls of a node, which are of its new epoch now.
const LOAD: &str = "
local base, node, epoch = ARGV[1], ARGV[2], ARGV[3]
local out = {}
for i = 4, #ARGV do
  local call = base .. 'call:' .. ARGV[i]
  local found = redis.call('HMGET', call, 'owner', 'state', 'saved')
  if found[1] == node then
    redis.call('HSET', call, 'epoch', epoch)
    out[#out + 1] = { ARGV[i], found[2], age(found[3]) }
  end
end
return out
";

/// Writes what the node owns in its epoch; tells what it does not own any more. Renews the lease.
const COMMIT: &str = "
local base, node, epoch, lease, kept = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local own = redis.call('GET', base .. 'lease:' .. node)
if not own or tonumber(own) <= tonumber(epoch) then
  redis.call('SET', base .. 'lease:' .. node, epoch, 'PX', lease)
end
local taken = {}
for i = 6, #ARGV, 4 do
  local what, id, dialog, state = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local call = base .. 'call:' .. id
  local found = redis.call('HMGET', call, 'owner', 'epoch', 'dialog', 'adopted')
  local is_ours = found[1] == node and found[2] == epoch
  local is_new = not found[1] and redis.call('EXISTS', base .. 'gone:' .. id) == 0
  if what == 'remove' then
    if is_ours then
      redis.call('DEL', call)
      if found[3] and found[3] ~= '' then redis.call('DEL', base .. 'dialog:' .. found[3]) end
      redis.call('SREM', base .. 'calls:' .. node, id)
      if found[4] then redis.call('SET', base .. 'gone:' .. id, node, 'EX', kept) end
    end
  elseif is_ours or is_new or what == 'take' then
    if found[3] and found[3] ~= dialog then redis.call('DEL', base .. 'dialog:' .. found[3]) end
    if found[1] and found[1] ~= node then
      redis.call('SREM', base .. 'calls:' .. found[1], id)
      redis.call('HSET', call, 'adopted', 1)
    end
    redis.call('HSET', call, 'owner', node, 'epoch', epoch, 'dialog', dialog, 'state', state,
      'saved', string.format('%.0f', now))
    redis.call('SADD', base .. 'calls:' .. node, id)
    if dialog ~= '' then redis.call('SET', base .. 'dialog:' .. dialog, id) end
  else
    taken[#taken + 1] = id
  end
end
return taken
";

/// Nodes that have calls and have not said that they live.
const LAPSED: &str = "
local base, node = ARGV[1], ARGV[2]
local out = {}
for _, other in ipairs(redis.call('SMEMBERS', base .. 'nodes')) do
  if other ~= node and redis.call('EXISTS', base .. 'lease:' .. other) == 0
      and redis.call('SCARD', base .. 'calls:' .. other) > 0 then
    out[#out + 1] = other
  end
end
return out
";

/// Takes some of the calls of a node that has not said that it lives.
const ADOPT: &str = "
local base, from, to, epoch, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local out = {}
if redis.call('EXISTS', base .. 'lease:' .. from) == 1 then return out end
for _, id in ipairs(redis.call('SRANDMEMBER', base .. 'calls:' .. from, count)) do
  local call = base .. 'call:' .. id
  local found = redis.call('HMGET', call, 'state', 'saved')
  redis.call('SREM', base .. 'calls:' .. from, id)
  if found[1] then
    redis.call('HSET', call, 'owner', to, 'epoch', epoch, 'adopted', 1)
    redis.call('SADD', base .. 'calls:' .. to, id)
    out[#out + 1] = { id, found[1], age(found[2]) }
  end
end
return out
";

/// The call of a dialog, whoever owns it.
const FIND: &str = "
local base, dialog = ARGV[1], ARGV[2]
local id = redis.call('GET', base .. 'dialog:' .. dialog)
local found = id and redis.call('HMGET', base .. 'call:' .. id, 'state', 'saved')
if not found or not found[1] then return {} end
return { { id, found[1], age(found[2]) } }
";
