//! What does it cost to find a datagram's stream and to judge whether it belongs to it?

mod common;

fn main() {
    common::time(&[("feed", &[1, 8_000]), ("demux_guard", &[1, 8_000])]);
}
