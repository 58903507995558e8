//! What does it cost to take a committed packet into its track?

mod common;

fn main() {
    common::time(&[("track", &[1, 8_000])]);
}
