//! What a keeper keeps: things under their keys, each with the connection that named it last.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use crate::limits::{BATCH_MAX, MESSAGE_SIZE_MAX};
use crate::message::Item;

/// See the module's documentation.
#[derive(Debug)]
pub struct Store {
    entries: BTreeMap<String, Entry>,
    descriptors: usize,
    descriptors_max: usize,
}

#[derive(Debug)]
struct Entry {
    note: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    /// The connection that deposited it.
    connection: u64,
}

/// Why nothing of a message was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DepositError {
    /// The message does not say what its descriptors are.
    #[error("{found} descriptors where {said} were announced, or a key or note that is too long")]
    Malformed {
        /// Descriptors that came.
        found: usize,
        /// Descriptors that were announced.
        said: usize,
    },
    /// There is no room for more.
    #[error("no more than {descriptors_max} descriptors are kept")]
    Full {
        /// How many are.
        descriptors_max: usize,
    },
}

impl Store {
    pub fn new(descriptors_max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            descriptors: 0,
            descriptors_max,
        }
    }

    /// How many descriptors are kept.
    pub const fn descriptors(&self) -> usize {
        self.descriptors
    }

    /// Keeps what a message brought: all of it or nothing.
    pub fn deposit(
        &mut self,
        connection: u64,
        items: Vec<Item>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), DepositError> {
        let (found, said) = (descriptors.len(), count_of(&items));
        if found != said || !items.iter().all(Item::is_fit) {
            return Err(DepositError::Malformed { found, said });
        }
        let replaced: usize = items
            .iter()
            .filter_map(|item| self.entries.get(&item.key))
            .map(|entry| entry.descriptors.len())
            .sum();
        if self.descriptors - replaced.min(self.descriptors) + found > self.descriptors_max {
            let descriptors_max = self.descriptors_max;
            return Err(DepositError::Full { descriptors_max });
        }
        let mut descriptors = descriptors.into_iter();
        for item in items {
            let own = descriptors.by_ref().take(usize::from(item.count)).collect();
            self.withdraw(&item.key);
            self.descriptors += usize::from(item.count);
            let entry = Entry {
                note: item.note,
                descriptors: own,
                connection,
            };
            self.entries.insert(item.key, entry);
        }
        Ok(())
    }

    /// Lets go of one thing.
    pub fn withdraw(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.descriptors -= entry.descriptors.len();
        }
    }

    /// Lets go of what this connection did not deposit; answers how many descriptors that were.
    pub fn settle(&mut self, connection: u64) -> usize {
        let before = self.descriptors;
        self.entries
            .retain(|_, entry| entry.connection == connection);
        self.descriptors = self.entries.values().map(|it| it.descriptors.len()).sum();
        before - self.descriptors
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.descriptors = 0;
    }

    /// All that is kept, in pieces that fit a message each; one at least.
    pub fn batches(&self) -> Vec<(Vec<Item>, Vec<&OwnedFd>)> {
        let mut batches = vec![(Vec::new(), Vec::new())];
        let mut size = 0;
        for (key, entry) in &self.entries {
            let item = Item {
                key: key.clone(),
                note: entry.note.clone(),
                count: entry.descriptors.len() as u16,
            };
            let is_full = |descriptors: &Vec<&OwnedFd>| {
                !fits(descriptors.len(), size, entry.descriptors.len(), &item)
            };
            if batches.last().is_some_and(|(_, fds)| is_full(fds)) {
                batches.push((Vec::new(), Vec::new()));
                size = 0;
            }
            size += encoded_size_max(&item);
            if let Some((items, descriptors)) = batches.last_mut() {
                items.push(item);
                descriptors.extend(&entry.descriptors);
            }
        }
        batches
    }
}

/// Descriptors that these items announce.
pub fn count_of(items: &[Item]) -> usize {
    items.iter().map(|item| usize::from(item.count)).sum()
}

/// Whether an item with its descriptors fits behind what a message has.
pub fn fits(descriptors: usize, size: usize, more: usize, item: &Item) -> bool {
    descriptors + more <= BATCH_MAX && size + encoded_size_max(item) + SPARE <= MESSAGE_SIZE_MAX
}

/// Octets that an item takes in a message, at most.
pub fn encoded_size_max(item: &Item) -> usize {
    item.key.len() + item.note.len() + 16
}

/// Octets of a message beside its items.
const SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptors(count: usize) -> Vec<OwnedFd> {
        let null = || std::fs::File::open("/dev/null").unwrap().into();
        std::iter::repeat_with(null).take(count).collect()
    }

    fn item(key: &str, count: u16) -> Item {
        Item {
            key: key.to_owned(),
            note: vec![1],
            count,
        }
    }

    fn keys(store: &Store) -> Vec<String> {
        let batches = store.batches();
        let items = batches.iter().flat_map(|(items, _)| items);
        items.map(|item| item.key.clone()).collect()
    }

    #[test]
    fn a_deposit_replaces_what_has_its_key_and_a_withdrawal_may_come_twice() {
        let mut store = Store::new(10);
        let both = vec![item("a", 2), item("b", 1)];
        store.deposit(1, both, descriptors(3)).unwrap();
        store
            .deposit(1, vec![item("a", 1)], descriptors(1))
            .unwrap();
        assert_eq!(
            (keys(&store), store.descriptors()),
            (vec!["a".into(), "b".into()], 2)
        );
        store.withdraw("b");
        store.withdraw("b");
        assert_eq!((keys(&store), store.descriptors()), (vec!["a".into()], 1));
    }

    #[test]
    fn what_a_later_connection_did_not_name_goes_when_it_has_said_all() {
        let mut store = Store::new(10);
        let both = vec![item("a", 1), item("b", 1)];
        store.deposit(1, both, descriptors(2)).unwrap();
        store
            .deposit(2, vec![item("b", 2)], descriptors(2))
            .unwrap();
        assert_eq!(store.settle(2), 1);
        assert_eq!((keys(&store), store.descriptors()), (vec!["b".into()], 2));
        assert_eq!(store.settle(2), 0);
        store.clear();
        assert_eq!(store.descriptors(), 0);
    }

    #[test]
    fn what_is_too_much_or_badly_announced_is_not_kept_at_all() {
        let mut store = Store::new(3);
        let malformed = store.deposit(1, vec![item("a", 2)], descriptors(1));
        assert_eq!(
            malformed,
            Err(DepositError::Malformed { found: 1, said: 2 })
        );
        let nameless = store.deposit(1, vec![item("", 1)], descriptors(1));
        assert!(matches!(nameless, Err(DepositError::Malformed { .. })));
        store
            .deposit(1, vec![item("a", 3)], descriptors(3))
            .unwrap();
        let full = store.deposit(1, vec![item("b", 1)], descriptors(1));
        assert_eq!(full, Err(DepositError::Full { descriptors_max: 3 }));
        // In the place of what is there it fits.
        store
            .deposit(1, vec![item("a", 3)], descriptors(3))
            .unwrap();
        assert_eq!(keys(&store), ["a"]);
    }

    #[test]
    fn no_batch_has_more_than_the_kernel_takes() {
        let mut store = Store::new(1_000);
        for n in 0..600 {
            let item = item(&format!("{n:04}"), 1);
            store.deposit(1, vec![item], descriptors(1)).unwrap();
        }
        let sizes: Vec<usize> = store.batches().iter().map(|(_, fds)| fds.len()).collect();
        assert_eq!(sizes, [253, 253, 94]);
        assert_eq!(keys(&store).len(), 600);
        assert_eq!(
            Store::new(1).batches().len(),
            1,
            "an answer, also to nothing"
        );
    }
}
