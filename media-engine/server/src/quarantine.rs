//! Blocks of a ring that two engines in a row died of: each is set aside in a file and passed over.

use std::io;
use std::path::Path;

use holdfast_sys::{PassedOver, RingIngest, SuspectBlock, clock};
use tracing::{error, warn};

use crate::incoming::replace_durably;

/// Files that are kept: beyond them a block is passed over without one.
const FILES_MAX: usize = 64;

/// Sets the suspects of a shard's rings aside; answers what is thereby not offered.
pub fn set_aside(state_dir: &Path, shard: usize, ingest: &mut RingIngest) -> Vec<PassedOver> {
    let dir = state_dir.join("quarantine");
    let mut passed_over = Vec::new();
    for suspect in ingest.suspects() {
        let SuspectBlock {
            interface, number, ..
        } = &suspect;
        let at = clock::wall().0;
        let path = dir.join(format!("{interface}-{shard}-{number}-{at}.block"));
        match write(&dir, &path, &suspect.octets) {
            Ok(()) => error!(shard, interface, number, file = %path.display(),
                "two engines in a row ended while they read this block of the ring: it is set aside \
                 and passed over"),
            Err(error) => error!(shard, interface, number, %error,
                "two engines in a row ended while they read this block of the ring: it cannot be set \
                 aside, and is passed over"),
        }
        let packets = ingest.pass_over(&suspect);
        for PassedOver { port, count, .. } in &packets {
            warn!(port, count, "packets in the block that is passed over");
        }
        passed_over.extend(packets);
    }
    passed_over
}

fn write(dir: &Path, path: &Path, octets: &[u8]) -> io::Result<()> {
    let there = std::fs::read_dir(dir).map_or(0, Iterator::count);
    if there >= FILES_MAX {
        let what = format!("{} has {there} files", dir.display());
        return Err(io::Error::other(what));
    }
    replace_durably(path, octets)
}
