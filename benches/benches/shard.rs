//! What does a packet cost in the whole shard, and how much more of it at 8,000 streams than at 1,000?

mod common;

fn main() {
    common::time(&[("shard", &[1_000, 8_000])]);
}
