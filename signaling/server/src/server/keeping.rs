//! The store of calls: opened, read, and told what to keep.

use std::time::Instant;

use holdfast_recording::recorder::{Recorder, Saving};
use holdfast_settings::{Settings, Store as StoreSettings, StoreKind};
use holdfast_store::{Home, Keeper, Report, Row, Sqlite, StoreError};
use tokio::sync::mpsc::Sender;
use tracing::{error, info};

use super::StartError;
use crate::chain;
use crate::clock::Clock;
use crate::incoming::Incoming;

/// Opens the store and gives the recorder what the process before has left in it; `None` where
/// nothing is kept.
pub(super) fn open(
    settings: &Settings,
    clock: Clock,
    recorder: &mut Recorder,
    inbox: Sender<Incoming>,
) -> Result<Option<Keeper>, StartError> {
    let Some(mut home) = home(&settings.store)? else {
        return Ok(None);
    };
    restore(home.as_mut(), clock, recorder)?;
    let report = move |report| {
        let incoming = match report {
            Report::Saved(ticket) => Incoming::Saved(ticket),
            Report::Away(error) => Incoming::StoreAway(chain(&error)),
            Report::Back => Incoming::StoreBack,
        };
        inbox.blocking_send(incoming).is_ok()
    };
    Ok(Some(Keeper::start(home, report)?))
}

fn home(settings: &StoreSettings) -> Result<Option<Box<dyn Home>>, StoreError> {
    Ok(match settings.kind {
        StoreKind::Sqlite => Some(Box::new(Sqlite::open(&settings.path)?)),
        StoreKind::Memory => None,
    })
}

/// One that cannot be read stays where it is: perhaps newer code reads it.
fn restore(home: &mut dyn Home, clock: Clock, recorder: &mut Recorder) -> Result<(), StoreError> {
    let since = Instant::now();
    let rows = home.load()?;
    let (mut restored, mut unreadable) = (0_usize, 0_usize);
    for row in rows {
        match recorder.restore(clock.now(), clock.wall(), &row.state) {
            Ok(_) => restored += 1,
            Err(error) => {
                unreadable += 1;
                let (recording, error) = (row.recording, chain(&error));
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

/// A state as the store keeps it.
pub(super) fn row(saving: Saving) -> (u64, Row) {
    let Saving {
        ticket,
        recording,
        dialog,
        bytes,
    } = saving;
    let dialog = dialog.map(|key| (key.call_id, key.local_tag, key.remote_tag));
    let row = Row {
        recording,
        dialog,
        state: bytes,
    };
    (ticket, row)
}
