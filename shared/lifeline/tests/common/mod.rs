//! What these tests share.

use std::time::{Duration, Instant};

use holdfast_lifeline::message::Item;

/// An announcement of descriptors.
pub fn item(key: &str, note: &[u8], count: u16) -> Item {
    Item {
        key: key.to_owned(),
        note: note.to_vec(),
        count,
    }
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
