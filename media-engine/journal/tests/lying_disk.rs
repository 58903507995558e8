//! A disk that says it has synced and has not, and then loses power: what it lost cannot be had back.
//! What is still there is read as it was written, in order and once, no number stands for two
//! records, a hole is told, and the journal goes on. `SEED=… cargo test` replays one run.

mod common;

use std::collections::BTreeMap;

use common::*;
use holdfast_journal::*;

struct World {
    rng: Rng,
    shell: Shell,
    /// All that was ever appended, by the number it has now.
    appended: BTreeMap<u64, Copy>,
    checkpoint: u64,
    /// How many of a hundred syncs are lies.
    lies: u64,
}

/// What a run came to.
#[derive(Default)]
struct Sum {
    recovered: usize,
    lost: usize,
    holes: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let lies = [2, 20, 100][rng.below(3) as usize];
        let blocks = 2 + rng.below(7) as usize;
        Self {
            rng,
            shell: Shell::new(config(), Start::fresh(), Disk::default(), blocks),
            appended: BTreeMap::new(),
            checkpoint: 0,
            lies,
        }
    }

    fn step(&mut self) {
        match self.rng.below(10) {
            0..=2 => self.append(),
            3 => self.shell.writer.request_commit(self.shell.now),
            4 => {
                let duration = MS * self.rng.below(300) as u32;
                self.shell.sleep(duration);
            }
            5 if self.rng.chance(30) => {
                let committed = self.shell.writer.committed().0;
                self.checkpoint += self.rng.below(committed - self.checkpoint + 1);
                self.shell.writer.checkpoint(Lsn(self.checkpoint));
            }
            5 | 6 => self.shell.poll(),
            _ => self.complete(),
        }
    }

    fn append(&mut self) {
        for _ in 0..self.rng.below(40) {
            let lsn = self.shell.writer.next_lsn();
            let record = sample(self.rng.below(1 << 30), 172);
            if self.shell.append(&record).is_err() {
                return;
            }
            self.appended.insert(lsn.0, record);
        }
    }

    /// Ends something that is in flight; a sync may have done nothing.
    fn complete(&mut self) {
        if self.shell.in_flight.is_empty() {
            return;
        }
        let index = self.rng.below(self.shell.in_flight.len() as u64) as usize;
        let Op::Sync { segment, .. } = self.shell.in_flight[index].1 else {
            return self.shell.complete(index);
        };
        let before = self.shell.disk.file(segment).clone();
        self.shell.complete(index);
        if self.rng.chance(self.lies) {
            *self.shell.disk.file(segment) = before;
        }
    }

    fn power_cut(mut self, sum: &mut Sum) -> Self {
        let in_flight = std::mem::take(&mut self.shell.in_flight);
        let mut disk = std::mem::take(&mut self.shell.disk);
        disk.power_cut(in_flight, &mut self.rng);
        let (recovered, outcome) = disk.recover();
        for (lsn, record) in &recovered {
            assert_eq!(self.appended.get(lsn), Some(record), "{lsn} is another one");
        }
        let from = outcome.start.checkpoint.0.max(self.checkpoint);
        let end = recovered.keys().next_back().map_or(0, |last| last + 1);
        assert!(outcome.start.next.0 >= end, "a number would be given twice");
        for lsn in (from..end).filter(|lsn| !recovered.contains_key(lsn)) {
            let tells = |finding: &Finding| finding.lost.is_some_and(|it| it.contains(Lsn(lsn)));
            assert!(
                outcome.findings.iter().any(tells),
                "nobody tells that {lsn} of {from}..{end} is missing: {outcome:?}"
            );
            sum.holes += 1;
        }
        let committed = self.shell.committed.keys().filter(|lsn| **lsn >= from);
        sum.lost += committed.filter(|lsn| !recovered.contains_key(lsn)).count();
        sum.recovered += recovered.len();
        let (again, second) = disk.recover();
        assert_eq!((again, second.start), (recovered, outcome.start.clone()));

        self.appended.split_off(&outcome.start.next.0);
        self.checkpoint = outcome.start.checkpoint.0;
        let blocks = 2 + self.rng.below(7) as usize;
        self.shell = Shell::new(config(), outcome.start, disk, blocks);
        self
    }
}

#[test]
fn what_a_lying_disk_has_left_is_told_from_what_it_lost() {
    let mut sum = Sum::default();
    for_each_seed(150, |seed| {
        let mut world = World::new(seed);
        for _ in 0..4 {
            for _ in 0..world.rng.below(400) {
                world.step();
            }
            world = world.power_cut(&mut sum);
        }
    });
    let Sum {
        recovered,
        lost,
        holes,
    } = sum;
    eprintln!("{recovered} records recovered, {lost} lost, {holes} of them in holes");
    assert!(recovered > 0);
    // One seed alone may have nothing to lose.
    assert!(std::env::var("SEED").is_ok() || (lost > 0 && holes > 0));
}
