//! The committed corpus of the fuzz targets, replayed: those of the engine. `make fuzz` looks for
//! more; what breaks something is put beside the others.

use std::path::PathBuf;

use holdfast_journal::replay_any;
use holdfast_rtp::fuzz::{any_datagram, any_stream};

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
fn datagrams() {
    replay("rtp_datagram", any_datagram);
}

#[test]
fn streams() {
    replay("rtp_stream", any_stream);
}

#[test]
fn journals() {
    replay("journal", |octets| {
        replay_any(octets);
    });
}
