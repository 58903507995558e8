//! What of a recording is not for everybody: who a network asserts that somebody is, where that person
//! wants to be named within the network alone (RFC 3325 §7).
//!
//! The folder of a recording is within the network. What is handed out beyond it is masked here.

use crate::{Call, FILE_NAME, Manifest, SipDialog};

/// Takes the place of an identity (RFC 3323 §4.1.1.3).
const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

/// Header fields by which networks assert an identity, the older ones too.
const ASSERTING: [&str; 3] = [
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Remote-Party-ID",
];

/// End of the names of documents that hold header fields as they were sent.
const HEADS: &str = ".sip";

impl Manifest {
    /// The same for a reader outside of the network.
    #[must_use]
    pub fn masked(mut self) -> Self {
        for sip in dialogs(&mut self.call) {
            if sip.is_private {
                mask(sip);
            }
        }
        self
    }

    /// Whether a file of the recording, the manifest or one that it lists, names somebody who is not to be
    /// named outside of the network.
    pub fn is_withheld(&self, file: &str) -> bool {
        let formers = self.call.formers.iter().map(|former| &former.sip);
        let mut dialogs = formers.chain([&self.call.sip]);
        (file == FILE_NAME || file.ends_with(HEADS)) && dialogs.any(|sip| sip.is_private)
    }
}

fn dialogs(call: &mut Call) -> impl Iterator<Item = &mut SipDialog> {
    let formers = call.formers.iter_mut().map(|former| &mut former.sip);
    formers.chain([&mut call.sip])
}

fn mask(sip: &mut SipDialog) {
    for uri in &mut sip.asserted {
        ANONYMOUS.clone_into(uri);
    }
    for (name, values) in &mut sip.headers {
        if ASSERTING.iter().any(|it| name.eq_ignore_ascii_case(it)) {
            for value in values {
                *value = format!("<{ANONYMOUS}>");
            }
        }
    }
}

#[cfg(test)]
mod tests;
