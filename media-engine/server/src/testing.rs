//! Recordings for the tests of this crate.

use std::path::PathBuf;

use holdfast_control::{Life, Recording};
use holdfast_manifest::EndReason;
use holdfast_settings::Settings;
use holdfast_units::{RecordingId, WallTime};

use crate::incoming::Incoming;
use crate::publish::Publisher;
use crate::troubles::Troubles;

/// 2026-11-22 10:00:00 UTC.
const STARTED: WallTime = WallTime(1_795_341_600_000_000_000);

pub fn recording(number: u8) -> RecordingId {
    RecordingId::from_bytes([number; 16])
}

/// A recording without streams that lasted a second.
pub fn ended(id: RecordingId) -> Recording {
    let life = Life::Ended {
        reason: EndReason::Bye,
        at: WallTime(STARTED.0 + 1_000_000_000),
    };
    Recording {
        id,
        shard: 0,
        revision: 2,
        started: STARTED,
        life,
        streams: Vec::new(),
    }
}

/// One that publishes beside the recordings in progress.
pub fn publisher(incoming: Incoming) -> Publisher {
    let mut settings = Settings::from_toml("").expect("the defaults").recordings;
    settings.dir = published_dir(&incoming);
    Publisher::new(incoming, "test".into(), &settings, Troubles::default())
}

pub fn published_dir(incoming: &Incoming) -> PathBuf {
    incoming.dir().join("published")
}
