use std::collections::BTreeMap;

use super::*;
use crate::{EndReason, FORMAT, FormerDialog};
use holdfast_units::{RecordingId, WallTime};

const ALICE: &str = "sip:alice@example.com";

fn sip(is_private: bool) -> SipDialog {
    let header = |name: &str| (name.to_owned(), vec![format!("\"Alice\" <{ALICE}>")]);
    SipDialog {
        asserted: vec![ALICE.to_owned()],
        is_private,
        headers: BTreeMap::from([
            header("P-Asserted-Identity"),
            header("remote-party-id"),
            ("Privacy".to_owned(), vec!["id".to_owned()]),
        ]),
        ..SipDialog::default()
    }
}

fn manifest(call: Call) -> Manifest {
    Manifest {
        format: FORMAT,
        id: RecordingId::from_bytes([1; 16]),
        part: 1,
        state_sha256: String::new(),
        node: String::new(),
        software_version: String::new(),
        started: WallTime(0),
        ended: WallTime(0),
        end_reason: EndReason::Bye,
        duration_ms: 0,
        call,
        streams: Vec::new(),
        files: Vec::new(),
        parts: Vec::new(),
        flags: Vec::new(),
    }
}

#[test]
fn who_wants_to_be_private_is_not_named() {
    let masked = manifest(Call {
        sip: sip(true),
        ..Call::default()
    });
    assert!(masked.is_withheld("metadata/0001.sip"));
    assert!(masked.is_withheld(FILE_NAME));
    assert!(!masked.is_withheld("metadata/0001.xml"));
    let masked = masked.masked();
    let text = serde_json::to_string(&masked).unwrap();
    assert!(!text.contains("alice") && !text.contains("Alice"), "{text}");
    let anonymous = format!("<{ANONYMOUS}>");
    assert_eq!(masked.call.sip.headers["P-Asserted-Identity"], [anonymous]);
    assert_eq!(masked.call.sip.headers["Privacy"], ["id"]);
}

#[test]
fn who_does_not_is() {
    let open = manifest(Call {
        sip: sip(false),
        ..Call::default()
    });
    assert!(!open.is_withheld("metadata/0001.sip"));
    assert_eq!(open.clone().masked(), open);
}

/// The documents of all dialogs of a call lie side by side.
#[test]
fn a_dialog_that_was_replaced_is_as_private() {
    let replaced = manifest(Call {
        formers: vec![FormerDialog {
            sip: sip(true),
            until: WallTime(0),
            end_reason: EndReason::Replaced,
        }],
        sip: sip(false),
        ..Call::default()
    });
    assert!(replaced.is_withheld("metadata/0002.sip"));
    let masked = replaced.masked();
    assert_eq!(masked.call.formers[0].sip.asserted, [ANONYMOUS]);
    assert_eq!(masked.call.sip.asserted, [ALICE]);
}
