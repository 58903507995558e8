//! One deadline per object, and which comes first.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_units::MonoTime;

/// Deadlines by key. Setting, stopping and finding the first cost a logarithm each.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines<K: Ord + Copy> {
    by_time: BTreeSet<(MonoTime, K)>,
    by_key: BTreeMap<K, MonoTime>,
}

impl<K: Ord + Copy> Deadlines<K> {
    pub(super) const fn new() -> Self {
        Self {
            by_time: BTreeSet::new(),
            by_key: BTreeMap::new(),
        }
    }

    /// Moves the deadline of `key`; `None` stops it.
    pub(super) fn set(&mut self, key: K, at: Option<MonoTime>) {
        let before = match at {
            Some(at) => self.by_key.insert(key, at),
            None => self.by_key.remove(&key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, key));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key));
        }
    }

    /// The first deadline.
    pub(super) fn next(&self) -> Option<MonoTime> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the first deadline that is not after `now`.
    pub(super) fn expired(&mut self, now: MonoTime) -> Option<K> {
        let (at, key) = *self.by_time.first().filter(|(at, _)| *at <= now)?;
        self.by_time.remove(&(at, key));
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_move_stop_and_expire_in_order() {
        let mut deadlines = Deadlines::new();
        deadlines.set('a', Some(MonoTime(5)));
        deadlines.set('b', Some(MonoTime(3)));
        deadlines.set('c', Some(MonoTime(4)));
        deadlines.set('a', Some(MonoTime(2)));
        deadlines.set('c', None);
        assert_eq!(deadlines.next(), Some(MonoTime(2)));
        assert_eq!(deadlines.expired(MonoTime(1)), None);
        assert_eq!(deadlines.expired(MonoTime(9)), Some('a'));
        assert_eq!(deadlines.expired(MonoTime(9)), Some('b'));
        assert_eq!(deadlines.expired(MonoTime(9)), None);
    }
}
