//! holdfast-media.

fn main() {}
