//! The store of calls: opened, read, and told what to keep.
//!
//! A state is sealed with the node's key before it goes anywhere: it says who talks to whom, and has
//! the keys of their streams. It opens as the state of its own recording and of none else.

use std::time::Instant;

use holdfast_recording::recorder::{Recorder, Saving};
use holdfast_seal::{NONCE_SIZE, NodeKeys};
use holdfast_settings::{Settings, Store as StoreSettings, StoreKind};
use holdfast_sip::Entropy as _;
use holdfast_store::{Home, Keeper, Report, Row, Sqlite, StoreError};
use holdfast_units::RecordingId;
use tokio::sync::mpsc::Sender;
use tracing::{error, info};

use super::{StartError, SystemEntropy};
use crate::chain;
use crate::clock::Clock;
use crate::incoming::Incoming;

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
            dialog: saving
                .dialog
                .map(|key| (key.call_id, key.local_tag, key.remote_tag)),
            state: self.keys.seal(&nonce, &context, &saving.bytes),
        };
        self.keeper.put(saving.ticket, row);
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
    inbox: Sender<Incoming>,
) -> Result<Option<Store>, StartError> {
    let Some(mut home) = home(&settings.store)? else {
        return Ok(None);
    };
    let keys = holdfast_seal::load_or_create(&settings.node.key_file)?;
    restore(home.as_mut(), &keys, clock, recorder)?;
    let report = move |report| {
        let incoming = match report {
            Report::Saved(ticket) => Incoming::Saved(ticket),
            Report::Away(error) => Incoming::StoreAway(chain(&error)),
            Report::Back => Incoming::StoreBack,
        };
        inbox.blocking_send(incoming).is_ok()
    };
    let keeper = Keeper::start(home, report)?;
    Ok(Some(Store { keeper, keys }))
}

fn home(settings: &StoreSettings) -> Result<Option<Box<dyn Home>>, StoreError> {
    Ok(match settings.kind {
        StoreKind::Sqlite => Some(Box::new(Sqlite::open(&settings.path)?)),
        StoreKind::Memory => None,
    })
}

/// One that cannot be read stays where it is: perhaps newer code reads it.
fn restore(
    home: &mut dyn Home,
    keys: &NodeKeys,
    clock: Clock,
    recorder: &mut Recorder,
) -> Result<(), StoreError> {
    let since = Instant::now();
    let rows = home.load()?;
    let (mut restored, mut unreadable) = (0_usize, 0_usize);
    for row in rows {
        let opened = keys.open(&row.recording.to_bytes(), &row.state);
        let outcome = match &opened {
            Ok(state) => recorder
                .restore(clock.now(), clock.wall(), state)
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
    Ok(())
}
