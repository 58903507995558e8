//! Which ports are whose: pairs of an even RTP port and the odd one above it, in the slices that the
//! engine's shards own.
//!
//! It refuses to give a port twice: a released pair rests until late packets of its former stream
//! have died out. Ports are drawn at random, so that the next one cannot be guessed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use holdfast_control::ShardPorts;
use holdfast_units::MonoTime;

/// The pairs of all shards.
#[derive(Debug)]
pub struct PortAllocator {
    quarantine: Duration,
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    slice: ShardPorts,
    /// First port of each free pair, in no order.
    free: Vec<u16>,
    /// Position in `free` of each free pair, by its first port.
    position_by_port: BTreeMap<u16, usize>,
    /// Released pairs with the time their rest ends, in that order.
    resting: VecDeque<(MonoTime, u16)>,
}

impl PortAllocator {
    /// No ports yet: the engine has to say which.
    pub fn new(quarantine: Duration) -> Self {
        Self {
            quarantine,
            shards: Vec::new(),
        }
    }

    /// The engine's slices. Where they are the ones known, nothing changes; otherwise all pairs are
    /// free and the caller says with [`Self::take`] which are in use.
    pub fn set_shards(&mut self, slices: &[ShardPorts]) {
        if !self.shards.iter().map(|shard| &shard.slice).eq(slices) {
            self.shards = slices.iter().map(|&slice| Shard::new(slice)).collect();
        }
    }

    /// The shard with the most free pairs, where any has at least `pairs`.
    pub fn best_shard(&mut self, now: MonoTime, pairs: usize) -> Option<u16> {
        for shard in &mut self.shards {
            shard.wake(now);
        }
        let (index, shard) = self
            .shards
            .iter()
            .enumerate()
            .max_by_key(|(_, shard)| shard.free.len())?;
        (shard.free.len() >= pairs).then_some(index as u16)
    }

    /// A free pair of a shard; `random` chooses. The answer is its even port.
    pub fn allocate(&mut self, now: MonoTime, shard: u16, random: u32) -> Option<u16> {
        let shard = self.shards.get_mut(usize::from(shard))?;
        shard.wake(now);
        let count = shard.free.len();
        let port = *shard.free.get((random as usize).checked_rem(count)?)?;
        shard.remove(port);
        Some(port)
    }

    /// Marks the pair of a port as in use, whoever uses it. Harmless where it is already.
    pub fn take(&mut self, port: u16) {
        let pair = port & !1;
        for shard in &mut self.shards {
            shard.remove(pair);
            shard.resting.retain(|&(_, resting)| resting != pair);
        }
    }

    /// Gives a pair back; it rests first.
    pub fn release(&mut self, now: MonoTime, port: u16) {
        let (pair, until) = (port & !1, now + self.quarantine);
        let Some(shard) = self.shards.iter_mut().find(|shard| shard.contains(pair)) else {
            return;
        };
        let is_known = shard.position_by_port.contains_key(&pair)
            || shard.resting.iter().any(|&(_, resting)| resting == pair);
        if !is_known {
            shard.resting.push_back((until, pair));
        }
    }

    /// Pairs that can be had at once, over all shards.
    pub fn free_pairs(&mut self, now: MonoTime) -> usize {
        self.shards
            .iter_mut()
            .map(|shard| {
                shard.wake(now);
                shard.free.len()
            })
            .sum()
    }

    /// Pairs that streams have, over all shards: those that rest are nobody's.
    pub fn used_pairs(&self) -> usize {
        let used = |shard: &Shard| shard.pairs() - shard.free.len() - shard.resting.len();
        self.shards.iter().map(used).sum()
    }

    /// All pairs.
    pub fn pairs(&self) -> usize {
        self.shards.iter().map(Shard::pairs).sum()
    }
}

impl Shard {
    fn new(slice: ShardPorts) -> Self {
        let free: Vec<u16> = (slice.first..slice.last).step_by(2).collect();
        let position_by_port = free
            .iter()
            .enumerate()
            .map(|(at, &port)| (port, at))
            .collect();
        Self {
            slice,
            free,
            position_by_port,
            resting: VecDeque::new(),
        }
    }

    fn pairs(&self) -> usize {
        (self.slice.first..self.slice.last).step_by(2).len()
    }

    fn contains(&self, port: u16) -> bool {
        (self.slice.first..=self.slice.last).contains(&port)
    }

    fn wake(&mut self, now: MonoTime) {
        while let Some(&(until, port)) = self.resting.front() {
            if until > now {
                return;
            }
            self.resting.pop_front();
            self.position_by_port.insert(port, self.free.len());
            self.free.push(port);
        }
    }

    fn remove(&mut self, port: u16) {
        let Some(at) = self.position_by_port.remove(&port) else {
            return;
        };
        self.free.swap_remove(at);
        if let Some(&moved) = self.free.get(at) {
            self.position_by_port.insert(moved, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const T0: MonoTime = MonoTime(1_000_000_000);

    fn allocator() -> PortAllocator {
        let mut ports = PortAllocator::new(Duration::from_secs(5));
        ports.set_shards(&[
            ShardPorts {
                first: 10_000,
                last: 10_003,
            },
            ShardPorts {
                first: 10_004,
                last: 10_011,
            },
        ]);
        ports
    }

    #[test]
    fn no_pair_is_given_twice_and_all_are_given() {
        let mut ports = allocator();
        let mut given = BTreeSet::new();
        for random in [7, 3, 1, 0] {
            assert!(given.insert(ports.allocate(T0, 1, random).unwrap()));
        }
        assert_eq!(given, BTreeSet::from([10_004, 10_006, 10_008, 10_010]));
        assert_eq!(ports.allocate(T0, 1, 0), None);
        assert_eq!(ports.allocate(T0, 9, 0), None, "no such shard");
        assert_eq!(ports.best_shard(T0, 2), Some(0));
        assert_eq!(ports.best_shard(T0, 3), None);
    }

    #[test]
    fn a_released_pair_rests_and_is_not_doubled_by_a_second_release() {
        let mut ports = allocator();
        let pair = ports.allocate(T0, 0, 0).unwrap();
        assert_eq!((ports.used_pairs(), ports.pairs()), (1, 6));
        ports.release(T0, pair + 1);
        ports.release(T0, pair);
        assert_eq!(ports.used_pairs(), 0, "it rests");
        assert_eq!(ports.free_pairs(T0 + Duration::from_millis(4_999)), 5);
        assert_eq!(ports.free_pairs(T0 + Duration::from_secs(5)), 6);
        ports.release(T0, pair);
        assert_eq!(ports.free_pairs(T0 + Duration::from_secs(50)), 6);
    }

    #[test]
    fn ports_that_the_engine_still_holds_are_not_given() {
        let mut ports = allocator();
        ports.take(10_001);
        ports.take(10_001);
        assert_eq!(ports.allocate(T0, 0, 0), Some(10_002));
        assert_eq!(ports.allocate(T0, 0, 0), None);
    }

    #[test]
    fn the_same_slices_again_forget_nothing() {
        let mut ports = allocator();
        ports.allocate(T0, 0, 0).unwrap();
        ports.set_shards(&[
            ShardPorts {
                first: 10_000,
                last: 10_003,
            },
            ShardPorts {
                first: 10_004,
                last: 10_011,
            },
        ]);
        assert_eq!(ports.free_pairs(T0), 5);
        ports.set_shards(&[ShardPorts {
            first: 10_000,
            last: 10_003,
        }]);
        assert_eq!(ports.free_pairs(T0), 2);
    }
}
