//! The store of calls: opened, read, and told what to keep.
//!
//! A state is sealed with the node's key before it goes anywhere: it says who talks to whom, and has
//! the keys of their streams. It opens as the state of its own recording and of none else.

use std::net::IpAddr;
use std::ops::Deref;
use std::time::Instant;

use holdfast_control::status;
use holdfast_recording::recorder::{Recorder, Saving, Stored};
use holdfast_seal::{NONCE_SIZE, NodeKeys, OpenError};
use holdfast_settings::{Settings, StoreKind};
use holdfast_sip::Entropy as _;
use holdfast_sip::dialog::DialogKey;
use holdfast_store::{
    Dialog, Home, Keeper, Redis, RedisConfig, RedisMode, Report, Row, Sqlite, StoreError,
};
use holdfast_units::RecordingId;
use nix::ifaddrs::getifaddrs;
use tokio::sync::mpsc::Sender;
use tracing::{error, info};

use super::{StartError, SystemEntropy};
use crate::chain;
use crate::clock::Clock;
use crate::incoming::Incoming;
use crate::watch::Watch;

/// The store of calls.
#[derive(Debug)]
pub(super) struct Store {
    keeper: Keeper,
    keys: NodeKeys,
}

impl Store {
    /// Has the state of a call saved.
    pub(super) fn save(&self, saving: Saving) {
        let mut nonce = [0; NONCE_SIZE];
        SystemEntropy.fill(&mut nonce);
        let context = saving.recording.to_bytes();
        let row = Row {
            recording: saving.recording,
            dialog: saving.dialog.map(dialog_of),
            is_adopted: saving.is_adopted,
            state: self.keys.seal(&nonce, &context, &saving.bytes),
            age: None,
        };
        self.keeper.put(saving.ticket, row);
    }

    /// Finds out whether states are saved.
    pub(super) fn probe(&self, ticket: u64) {
        self.keeper.probe(ticket);
    }

    /// Asks for the call of a dialog.
    pub(super) fn find(&self, number: u64, dialog: DialogKey) {
        self.keeper.find(number, dialog_of(dialog));
    }

    /// The state in a row.
    pub(super) fn open(
        &self,
        row: &Row,
    ) -> Result<impl Deref<Target = Vec<u8>> + use<>, OpenError> {
        self.keys.open(&row.recording.to_bytes(), &row.state)
    }

    /// Has it removed.
    pub(super) fn remove(&self, recording: RecordingId) {
        self.keeper.remove(recording);
    }
}

/// Opens the store and gives the recorder what the process before has left in it; `None` where
/// nothing is kept.
pub(super) fn open(
    settings: &Settings,
    clock: Clock,
    recorder: &mut Recorder,
    watch: &mut Watch,
    inbox: Sender<Incoming>,
) -> Result<Option<Store>, StartError> {
    let kind = match settings.store.kind {
        StoreKind::Sqlite => "sqlite",
        StoreKind::Redis => "redis",
        StoreKind::Memory => "memory",
    };
    let mut figures = status::Store {
        kind: kind.to_owned(),
        ..status::Store::default()
    };
    let Some(mut home) = home(settings)? else {
        watch.handle_store_open(figures);
        return Ok(None);
    };
    let keys = holdfast_seal::load_or_create(&settings.node.key_file)?;
    (figures.restored, figures.unreadable) = restore(home.as_mut(), &keys, clock, recorder)?;
    figures.epoch = home.epoch();
    let lease = settings.store.redis.lease.as_millis() as u64;
    figures.lease_ms = figures.epoch.map(|_| lease);
    watch.handle_store_open(figures);
    let report = move |report| {
        let incoming = match report {
            Report::Saved(ticket) => Incoming::Saved(ticket),
            Report::Taken(recordings) => Incoming::Taken(recordings),
            Report::Adopted(rows) => Incoming::Adopted(rows),
            Report::Found(number, row) => Incoming::Found(number, row),
            Report::Away(error) => Incoming::StoreAway(chain(&error)),
            Report::Back => Incoming::StoreBack,
        };
        inbox.blocking_send(incoming).is_ok()
    };
    let keeper = Keeper::start(home, report)?;
    Ok(Some(Store { keeper, keys }))
}

fn home(settings: &Settings) -> Result<Option<Box<dyn Home>>, StartError> {
    let store = &settings.store;
    Ok(match store.kind {
        StoreKind::Sqlite => Some(Box::new(Sqlite::open(&store.path)?)),
        StoreKind::Redis => {
            let (password, authorities) = settings.read_store()?;
            let config = redis(settings, password, authorities);
            let address = store.redis.takeover_address;
            let may_adopt = move || address.is_some_and(is_here);
            Some(Box::new(Redis::open(config, may_adopt)?))
        }
        StoreKind::Memory => None,
    })
}

fn redis(settings: &Settings, password: String, authorities: Vec<u8>) -> RedisConfig {
    let redis = &settings.store.redis;
    RedisConfig {
        servers: redis.servers.clone(),
        mode: match redis.mode {
            holdfast_settings::RedisMode::Standalone => RedisMode::Standalone,
            holdfast_settings::RedisMode::Sentinel => RedisMode::Sentinel(redis.master.clone()),
            holdfast_settings::RedisMode::Cluster => RedisMode::Cluster,
        },
        tls: redis.tls.then_some(authorities),
        user: redis.user.clone(),
        password,
        prefix: redis.prefix.clone(),
        node: settings.node.name.clone(),
        lease: redis.lease,
    }
}

/// Whether an interface of this machine has the address.
fn is_here(address: IpAddr) -> bool {
    let Ok(interfaces) = getifaddrs() else {
        return false;
    };
    interfaces
        .filter_map(|interface| interface.address)
        .any(|known| {
            let v4 = known.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            let v6 = || known.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
            v4.or_else(v6) == Some(address)
        })
}

/// Answers how many calls go on, and how many cannot be read. Such a one stays where it is: perhaps newer
/// code reads it.
fn restore(
    home: &mut dyn Home,
    keys: &NodeKeys,
    clock: Clock,
    recorder: &mut Recorder,
) -> Result<(u64, u64), StoreError> {
    let since = Instant::now();
    let rows = home.load()?;
    let (mut restored, mut unreadable) = (0, 0);
    for row in rows {
        let opened = keys.open(&row.recording.to_bytes(), &row.state);
        let outcome = match &opened {
            Ok(state) => recorder
                .restore(clock.now(), clock.wall(), stored(state, &row))
                .map_err(|error| chain(&error)),
            Err(error) => Err(chain(error)),
        };
        match outcome {
            Ok(_) => restored += 1,
            Err(error) => {
                unreadable += 1;
                let recording = row.recording;
                error!(%recording, error, "a call that was saved cannot be taken up");
            }
        }
    }
    if restored + unreadable > 0 {
        let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(
            restored,
            unreadable, ms, "goes on with the calls of the process before"
        );
    }
    Ok((restored, unreadable))
}

/// Goes on with the calls of a node that is dead: with how many, and how many cannot be read.
pub(super) fn adopt(
    store: &Store,
    clock: Clock,
    recorder: &mut Recorder,
    rows: &[Row],
) -> (u64, u64) {
    let (mut adopted, mut unreadable) = (0, 0);
    for row in rows {
        let recording = row.recording;
        let outcome = match store.open(row) {
            Ok(state) => recorder
                .adopt(clock.now(), clock.wall(), stored(&state, row))
                .map_err(|error| chain(&error)),
            Err(error) => Err(chain(&error)),
        };
        match outcome {
            Ok(_) => adopted += 1,
            Err(error) => {
                unreadable += 1;
                error!(%recording, error, "a call of another node cannot be taken up");
            }
        }
    }
    info!(calls = rows.len(), "goes on with the calls of another node");
    (adopted, unreadable)
}

/// What a row says, opened, as the recorder takes it.
pub(super) fn stored<'a>(state: &'a [u8], row: &Row) -> Stored<'a> {
    Stored {
        bytes: state,
        age: row.age,
    }
}

fn dialog_of(key: DialogKey) -> Dialog {
    Dialog {
        call_id: key.call_id,
        local_tag: key.local_tag,
        remote_tag: key.remote_tag,
    }
}
