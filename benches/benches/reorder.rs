//! What does it cost to number a packet, and to put packets back into order that overtook another?

mod common;

fn main() {
    common::time(&[("sequence", &[1, 8_000]), ("reorder", &[1])]);
}
