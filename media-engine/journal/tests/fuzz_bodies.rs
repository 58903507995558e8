//! The fuzz body over journals that were damaged at random, and over noise.

mod common;

use common::*;
use holdfast_journal::*;

#[test]
fn damaged_journals_never_break_a_promise() {
    let mut shell = Shell::fresh();
    for _ in 0..3 {
        shell.batch(7, 300);
    }
    let good = shell.disk.file(1).stable[..8 * PAGE_SIZE].to_vec();
    assert!(replay_any(&good) >= 42, "as it is, and mended");
    for_each_seed(300, |seed| {
        let mut rng = Rng::new(seed);
        let mut bytes = good.clone();
        for _ in 0..rng.below(6) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(4) {
                0 => bytes[at] ^= 1 << rng.below(8),
                1 => {
                    // Headers are where it hurts.
                    let page = at / PAGE_SIZE * PAGE_SIZE;
                    bytes[page + rng.below(120) as usize] = rng.next() as u8;
                }
                2 => {
                    let len = (rng.below(600) as usize).min(bytes.len() - at);
                    bytes[at..at + len].fill(rng.next() as u8);
                }
                _ => bytes.truncate(at.max(1)),
            }
        }
        replay_any(&bytes);
    });
}

#[test]
fn noise_holds_no_records() {
    for seed in seeds(50) {
        let mut rng = Rng::new(seed);
        let len = rng.below(40_000) as usize;
        let noise = sample(seed, len).payload;
        assert_eq!(replay_any(&noise), 0, "SEED={seed}");
    }
    assert_eq!(replay_any(&[]), 0);
}
