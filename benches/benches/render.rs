//! What does it cost to get the audio out of a packet of a track, and to write it into a WAV?

mod common;

fn main() {
    common::time(&[("depacketise", &[2]), ("render", &[2])]);
}
