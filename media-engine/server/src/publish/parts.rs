//! Several parts of one recording: what a further one goes on from, and all of them as one.

use std::fs;

use holdfast_control::Recording;
use holdfast_join::JoinError;
use holdfast_manifest::{Continues, EndReason, Manifest, PartCause};
use holdfast_units::WallTime;
use tracing::{info, warn};

use super::Publisher;

impl Publisher {
    /// What a part that begins then goes on from: by the part before where it is here, else what
    /// signaling stated.
    pub(super) fn continues(
        &self,
        recording: &Recording,
        part: u32,
        stated: Option<Continues>,
        started: WallTime,
    ) -> Option<Continues> {
        let Some(before) = self.part_before(recording, part, started) else {
            return stated;
        };
        let cause = stated.map(|it| it.cause);
        let cause = cause.unwrap_or(match before.end_reason {
            EndReason::TakenOver => PartCause::NodeLost,
            _ => PartCause::Restart,
        });
        Some(Continues::from_part(&before, cause, started))
    }

    /// The part that one which begins then goes on from, where it is here.
    fn part_before(&self, recording: &Recording, part: u32, started: WallTime) -> Option<Manifest> {
        let day = self.day(recording);
        let others = (1..part).filter_map(|other| {
            let folder = day.join(holdfast_manifest::folder_name(recording.id, other));
            let json = fs::read(folder.join(holdfast_manifest::FILE_NAME)).ok()?;
            Manifest::from_json(&json).ok()
        });
        others
            .filter(|other| other.started <= started)
            .max_by_key(|other| other.started)
    }

    /// Makes one of the parts that are here. It can be done at any time, so nothing depends on it.
    pub(super) fn join_parts(&self, last: &Manifest) {
        if !self.settings.join_parts {
            return;
        }
        let id = last.id;
        if self.is_disk_critical() {
            warn!(recording = %id, "its parts are not joined: the disk is nearly full");
            return;
        }
        let dir = &self.settings.dir;
        let joined = holdfast_join::gather_near(dir, id, last.started)
            .and_then(|parts| holdfast_join::join(dir, parts, env!("CARGO_PKG_VERSION")));
        match joined {
            Ok(joined) => {
                let parts = joined.manifest.parts.len();
                info!(recording = %id, folder = %joined.folder.display(), parts, "joined");
            }
            // The others are another node's.
            Err(JoinError::TooFew { .. }) => {}
            Err(failure) => {
                let error = crate::disk::chain(&failure);
                warn!(recording = %id, %error, "its parts are not joined");
            }
        }
    }
}
