//! holdfast-signaling.

fn main() {}
