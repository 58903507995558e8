//! Bodies for fuzzers: what the other process, or an operator's, might send. They return nothing; what they promise is
//! to return, and that what was read says the same when it is written and read again.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::operator::{Answer, Command, from_line, to_line};
use crate::{FromEngine, ToEngine, decode, encode};

/// One message, in either direction; as it is, and once more behind a right header.
pub fn any_message(octets: &[u8]) {
    for octets in [octets.to_vec(), headed(octets)] {
        check::<ToEngine>(&octets);
        check::<FromEngine>(&octets);
    }
    if let Ok(command) = from_line::<Command>(octets) {
        assert_eq!(from_line(&to_line(&command)).ok(), Some(command));
    }
    if let Ok(answer) = from_line::<Answer>(octets) {
        assert_eq!(from_line(&to_line(&answer)).ok(), Some(answer));
    }
}

fn check<M: Serialize + DeserializeOwned + PartialEq + Debug>(octets: &[u8]) {
    let Ok(message) = decode::<M>(octets) else {
        return;
    };
    // Numbers have longer encodings than they need, so the octets may differ; what they say may not.
    if let Ok(again) = encode(&message) {
        assert_eq!(decode::<M>(&again).ok(), Some(message));
    }
}

/// The octets with the header of a message before them.
fn headed(octets: &[u8]) -> Vec<u8> {
    let mut bytes = encode(&()).unwrap_or_default();
    bytes.extend_from_slice(octets);
    bytes
}
