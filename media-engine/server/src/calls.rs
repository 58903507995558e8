//! The names of calls, for the lines about them: who looks for a call in the log knows its Call-ID, and the
//! engine itself knows recordings alone.
//!
//! They are in the call's description, which signaling sends before each state of a recording.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_control::{Document, FromEngine};
use holdfast_units::RecordingId;
use serde::Deserialize;
use tracing::span::EnteredSpan;
use tracing::{Span, error_span};

use crate::incoming::CALL_DOCUMENT;

/// The names of the calls of all recordings in progress. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct CallNames(Arc<Mutex<BTreeMap<RecordingId, Named>>>);

#[derive(Clone, Debug)]
struct Named {
    name: CallName,
    /// Whether the recording has come to be.
    is_held: bool,
}

/// What a description says of it.
#[derive(Clone, Debug, Deserialize)]
struct CallName {
    call_id: String,
    peer: Option<SocketAddr>,
}

#[derive(Deserialize)]
struct Description {
    sip: CallName,
}

impl CallNames {
    /// Signaling sends a document, which may be the description of a call.
    pub fn handle_document(&self, document: &Document) {
        let is_whole = document.offset == 0 && document.last;
        if is_whole && document.name.as_str() == CALL_DOCUMENT {
            self.note(document.recording, &document.bytes, false);
        }
    }

    /// The engine answers: what it does not take never was.
    pub fn handle_answer(&self, answer: &FromEngine) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            FromEngine::Applied { recording, .. } => {
                if let Some(named) = names.get_mut(recording) {
                    named.is_held = true;
                }
            }
            FromEngine::Refused { recording, .. }
                if names.get(recording).is_some_and(|named| !named.is_held) =>
            {
                names.remove(recording);
            }
            _ => {}
        }
    }

    /// The description of a call, of a recording that `is_held`. One that does not read changes nothing.
    pub fn note(&self, recording: RecordingId, description: &[u8], is_held: bool) {
        if let Ok(Description { sip: name }) = serde_json::from_slice(description) {
            let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let is_held = is_held || names.get(&recording).is_some_and(|named| named.is_held);
            names.insert(recording, Named { name, is_held });
        }
    }

    /// The recording is no longer in progress.
    pub fn forget(&self, recording: RecordingId) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(&recording);
    }

    /// Whether the call of a recording is known.
    pub fn has(&self, recording: RecordingId) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.contains_key(&recording)
    }

    /// Lines of this thread bear the names of the call until this is dropped.
    pub fn enter(&self, recording: RecordingId) -> EnteredSpan {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let span = names
            .get(&recording)
            .map_or_else(Span::none, |Named { name, .. }| {
                let peer = name.peer.map(tracing::field::display);
                error_span!("call", call_id = name.call_id, peer)
            });
        span.entered()
    }
}

#[cfg(test)]
mod tests {
    use holdfast_control::RefusalReason;

    use super::*;

    const DESCRIPTION: &[u8] =
        br#"{"sip": {"call_id": "one", "peer": "192.0.2.1:5060", "more": 1}, "more": []}"#;

    fn document(recording: RecordingId, bytes: &[u8]) -> Document {
        Document {
            recording,
            shard: 0,
            name: CALL_DOCUMENT.to_owned().try_into().unwrap(),
            offset: 0,
            last: true,
            bytes: bytes.to_vec(),
        }
    }

    fn refused(recording: RecordingId) -> FromEngine {
        FromEngine::Refused {
            recording,
            revision: 1,
            reason: RefusalReason::Invalid("whatever".to_owned()),
        }
    }

    #[test]
    fn the_name_of_a_recording_that_is_refused_at_once_is_not_kept() {
        let names = CallNames::default();
        let id = RecordingId::from_bytes([1; 16]);
        names.handle_document(&document(id, b"no description"));
        assert!(!names.has(id));
        names.handle_document(&document(id, DESCRIPTION));
        assert!(names.has(id));
        names.handle_answer(&refused(id));
        assert!(!names.has(id));
    }

    #[test]
    fn the_name_of_a_recording_whose_later_state_is_refused_stays_until_it_ends() {
        let names = CallNames::default();
        let id = RecordingId::from_bytes([1; 16]);
        names.handle_document(&document(id, DESCRIPTION));
        names.handle_answer(&FromEngine::Applied {
            recording: id,
            revision: 1,
            refused: Vec::new(),
        });
        names.handle_document(&document(id, DESCRIPTION));
        names.handle_answer(&refused(id));
        assert!(names.has(id));
        names.forget(id);
        assert!(!names.has(id));
    }
}
