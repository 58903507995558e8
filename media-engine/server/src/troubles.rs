//! What the disk did to recordings in progress, for their manifests.
//!
//! Nothing is missing for it: what could not be written is tried again until it is. But whoever looks
//! into why a recording came late, or at a disk that ails, finds it where it was felt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_units::RecordingId;

/// The first trouble of each recording that had any. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<RecordingId, String>>>);

impl Troubles {
    /// Something of a recording could not be written.
    pub fn note(&self, recording: RecordingId, error: &str) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        troubles
            .entry(recording)
            .or_insert_with(|| error.to_owned());
    }

    /// What there was first.
    pub fn of(&self, recording: RecordingId) -> Option<String> {
        let troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.get(&recording).cloned()
    }

    /// The recording is no longer in progress.
    pub fn forget(&self, recording: RecordingId) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.remove(&recording);
    }
}
