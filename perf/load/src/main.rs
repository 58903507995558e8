//! holdfast-load.

fn main() {}
