//! Random appends, completions, failures, kills and power cuts against a model of what has to be
//! there afterwards. `SEED=… cargo test` replays one run.

mod common;

use std::collections::BTreeMap;

use common::*;
use holdfast_journal::*;

/// What may and what must be recovered.
struct World {
    rng: Rng,
    shell: Shell,
    /// All that was ever appended, by the number it has now.
    appended: BTreeMap<u64, Copy>,
    /// What was durable when the present writer began.
    inherited: BTreeMap<u64, Copy>,
    /// The highest checkpoint that was told.
    checkpoint: u64,
    failures: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let failures = rng.chance(40);
        let disk = Disk::default();
        let shell = Shell::new(config(), Start::fresh(), disk, 2 + rng.below(7) as usize);
        let (appended, inherited) = Default::default();
        Self {
            rng,
            shell,
            appended,
            inherited,
            checkpoint: 0,
            failures,
        }
    }

    fn step(&mut self) {
        match self.rng.below(12) {
            0..=2 => self.append(),
            3 => self.shell.writer.request_commit(self.shell.now),
            4 => {
                let duration = MS * self.rng.below(300) as u32;
                self.shell.sleep(duration);
            }
            5 => self.tell_checkpoint(),
            6 | 7 => self.shell.poll(),
            _ => self.complete(),
        }
        assert_eq!(self.shell.writer.events_lost(), 0);
        while self.shell.writer.poll_event().is_some() {}
    }

    fn append(&mut self) {
        for _ in 0..self.rng.below(40) {
            let len = match self.rng.below(100) {
                0 => self.rng.below(PAYLOAD_MAX as u64 + 1),
                1..=9 => self.rng.below(1500),
                _ => 172,
            };
            let lsn = self.shell.writer.next_lsn();
            // The number comes again after a loss: the content must not be the same then.
            let record = sample(self.rng.below(1 << 30), len as usize);
            match self.shell.append(&record) {
                Ok(given) => assert_eq!(given, lsn),
                Err(Full { reason }) => {
                    assert_ne!(reason, FullReason::TooLarge);
                    return;
                }
            }
            self.appended.insert(lsn.0, record);
        }
    }

    fn tell_checkpoint(&mut self) {
        let committed = self.shell.writer.committed().0;
        let step = self.rng.below(committed - self.checkpoint + 1);
        self.checkpoint += step;
        self.shell.writer.checkpoint(Lsn(self.checkpoint));
    }

    fn complete(&mut self) {
        if self.shell.in_flight.is_empty() {
            return;
        }
        let index = self.rng.below(self.shell.in_flight.len() as u64) as usize;
        if self.failures && self.rng.chance(5) {
            self.shell.fail(index, &mut self.rng);
        } else {
            self.shell.complete(index);
        }
    }

    /// The writer is gone, with the power or without.
    fn crash(mut self, seed: u64) -> Self {
        let committed = self.shell.writer.committed().0;
        let mut must = std::mem::take(&mut self.inherited);
        must.extend(std::mem::take(&mut self.shell.committed));
        for (lsn, record) in &must {
            assert_eq!(
                self.appended.get(lsn),
                Some(record),
                "SEED={seed}: committed {lsn}"
            );
        }
        let in_flight = std::mem::take(&mut self.shell.in_flight);
        let mut disk = std::mem::take(&mut self.shell.disk);
        if self.rng.chance(30) {
            // Killed only: completed writes are there, and the next shell syncs before it reads.
            for file in disk.files.values_mut() {
                for (offset, bytes) in file.pending.drain(..) {
                    apply(&mut file.stable, offset, &bytes);
                }
            }
        }
        disk.power_cut(in_flight, &mut self.rng);

        let (recovered, outcome) = disk.recover();
        for (lsn, record) in &recovered {
            assert_eq!(
                self.appended.get(lsn),
                Some(record),
                "SEED={seed}: invented {lsn}"
            );
        }
        let from = outcome.start.checkpoint.0;
        assert!(
            from <= self.checkpoint,
            "SEED={seed}: a checkpoint that was never told"
        );
        for (lsn, record) in must.range(from..committed) {
            // Between the checkpoint that was told and the one that the disk has, a full journal
            // may have used a segment again.
            let may_be_gone = *lsn < self.checkpoint && !recovered.contains_key(lsn);
            assert!(
                may_be_gone || recovered.get(lsn) == Some(record),
                "SEED={seed}: lost {lsn} of {from}..{committed}, told {}",
                self.checkpoint
            );
        }
        assert!(
            outcome.start.next.0 >= committed,
            "SEED={seed}: {committed} numbers, told {}, {:?}",
            self.checkpoint,
            outcome
        );
        let end = recovered.keys().next_back().map_or(0, |last| last + 1);
        assert!(
            outcome.start.next.0 >= end,
            "SEED={seed}: a number given twice"
        );
        for finding in &outcome.findings {
            self.judge(finding, &must, seed);
        }
        let (again, second) = disk.recover();
        assert_eq!(again, recovered, "SEED={seed}: recovery changed its mind");
        assert_eq!(second.start, outcome.start, "SEED={seed}");

        self.appended.split_off(&outcome.start.next.0);
        self.inherited = recovered;
        self.checkpoint = self.checkpoint.max(from);
        let blocks = 2 + self.rng.below(7) as usize;
        self.shell = Shell::new(config(), outcome.start, disk, blocks);
        self
    }

    /// A disk that only loses power shows torn writes, and nothing durable is missing.
    fn judge(&self, finding: &Finding, must: &BTreeMap<u64, Copy>, seed: u64) {
        if let Some(lost) = finding.lost {
            let from = lost.first.0.max(self.checkpoint);
            let first = must.range(from..lost.end.0.max(from)).next();
            assert_eq!(first.map(|(lsn, _)| lsn), None, "SEED={seed}: {finding}");
        }
        // What was safe elsewhere may be missed: a full journal let it go before the disk had the
        // checkpoint.
        let begins_safe = |lost: LsnRange| lost.first.0 < self.checkpoint;
        let expected = match finding.kind {
            FindingKind::Torn | FindingKind::StaleTail => true,
            // A file that was being made.
            FindingKind::Truncated { .. } => finding.lost.is_none(),
            FindingKind::MissingSegment { .. } | FindingKind::BitFlip => {
                finding.lost.is_some_and(begins_safe)
            }
            FindingKind::Foreign(_) | FindingKind::Unreadable { .. } => false,
        };
        assert!(expected, "SEED={seed}: {finding}");
    }

    /// Whatever failed before: once nothing does, everything gets committed.
    fn must_settle(&mut self, seed: u64) {
        for _ in 0..100 {
            self.shell.writer.request_commit(self.shell.now);
            self.shell.settle();
            self.shell.sleep(600 * MS);
            self.checkpoint = self.shell.writer.committed().0;
            self.shell.writer.checkpoint(Lsn(self.checkpoint));
            while self.shell.writer.poll_event().is_some() {}
        }
        let writer = &self.shell.writer;
        assert_eq!(writer.committed(), writer.next_lsn(), "SEED={seed}: stuck");
    }
}

#[test]
fn whatever_was_committed_is_recovered_once_and_in_order() {
    let (mut records, mut crashes) = (0, 0);
    for_each_seed(300, |seed| {
        let mut world = World::new(seed);
        for _ in 0..4 {
            for _ in 0..world.rng.below(400) {
                world.step();
            }
            if world.rng.chance(20) {
                world.must_settle(seed);
            }
            world = world.crash(seed);
            crashes += 1;
            records += world.inherited.len();
        }
    });
    eprintln!("{crashes} crashes, {records} records recovered");
    assert!(records > crashes, "the model has to have something to lose");
}
