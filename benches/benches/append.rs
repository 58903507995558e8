//! What does it cost to put a packet into the journal? It has no state of the stream.

mod common;

fn main() {
    common::time(&[("append", &[8_000])]);
}
