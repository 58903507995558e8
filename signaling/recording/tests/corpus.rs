//! The committed corpus of the fuzz targets, replayed: those of signaling and of the control
//! protocol. `make fuzz` looks for more; what breaks something is put beside the others.

use std::path::PathBuf;

use holdfast_control::fuzz::any_message as any_control;
use holdfast_recording::fuzz::{any_body, any_description, any_metadata};
use holdfast_sip::fuzz::{any_message, any_stream};

fn replay(target: &str, body: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("the corpus reads").path();
        println!("{}", path.display());
        body(&std::fs::read(&path).expect("a file of the corpus"));
        count += 1;
    }
    assert!(count > 10, "{}: {count} files", folder.display());
}

#[test]
fn sip_messages() {
    replay("sip_message", any_message);
}

#[test]
fn sip_streams() {
    replay("sip_stream", any_stream);
}

#[test]
fn multiparts() {
    replay("multipart", any_body);
}

#[test]
fn session_descriptions() {
    replay("sdp", any_description);
}

#[test]
fn metadata() {
    replay("metadata", any_metadata);
}

#[test]
fn control_messages() {
    replay("control", any_control);
}
