//! Parties that are silent now and then and press keys: what a recorder has to tell of that is asked for.

use std::time::Duration;

use holdfast_load::audit::{Audit, audit};
use holdfast_load::media::{Fate, Impairment, KeyPress};
use holdfast_load::run::{RunPlan, RunReport, run};
use holdfast_load::uac::Transport;
use holdfast_load::verify::{LegTruth, Library, Published};
use holdfast_manifest::{GapCause, MarkKind, Stream};
use tempfile::TempDir;

use super::fake_recorder::{FakeRecorder, Flaws};
use super::{plan, rewrite};

#[test]
fn spurts_and_keys_pass_whatever_else_befalls_them() {
    let damage = Impairment {
        loss_ppm: 150_000,
        duplicate_ppm: 150_000,
        reorder_ppm: 150_000,
        jitter_max: Duration::from_millis(60),
        seed: 5,
    };
    for (first_port, talk_spurts, presses_keys, impairment) in [
        (23_400, true, false, Impairment::default()),
        (23_500, false, true, damage),
        (23_600, true, true, damage),
    ] {
        let run = Run::of(first_port, talk_spurts, presses_keys, impairment);
        let audit = run.audit();
        assert_eq!(audit.problems, [""; 0]);
        assert_eq!((audit.packets_missing, audit.packets_wrong), (0, 0));
        let legs: Vec<_> = run.legs().collect();
        let heard = |leg: &&LegTruth| {
            let slots = 0..leg.plan.slots;
            slots.filter(|&slot| leg.plan.is_audible(slot)).count() as u64
        };
        assert_eq!(audit.packets_right, legs.iter().map(heard).sum::<u64>());
        let silences = legs.iter().map(|leg| leg.plan.unsent.len()).sum::<usize>();
        let keys = legs.iter().map(|leg| leg.plan.keys.len()).sum::<usize>();
        assert_eq!((silences > 8, keys > 8), (talk_spurts, presses_keys));
        // Beside its last packets audio is lost and comes late, too.
        let fates: Vec<_> = legs.iter().flat_map(|leg| fates_beside_keys(leg)).collect();
        let is_damaged = presses_keys && impairment == damage;
        for fate in [Fate::Lose, Fate::Delay] {
            assert_eq!(fates.contains(&fate), is_damaged, "{fate:?} of {fates:?}");
        }
    }
}

/// What is said of a change, and the change.
type Change = (&'static str, fn(&mut Stream));

/// Whatever is told wrong of one stream, the audit names it.
#[test]
fn keys_and_silences_that_are_told_wrong_are_found() {
    let run = Run::of(23_700, true, true, Impairment::default());
    assert!(run.audit().is_perfect());
    let mut library = Library::new(run.folder.path());
    library.refresh().unwrap();
    let is_rich = |truth: &&LegTruth| truth.plan.keys.len() > 1 && truth.plan.unsent.len() > 1;
    let call = run.report.truths.iter().find_map(|call| {
        let index = call.legs.iter().position(|leg| is_rich(&leg))?;
        Some((&call.call_id, index))
    });
    let (call_id, index) = call.expect("somebody presses keys and is silent");
    let published: &Published = &library.recordings(call_id)[0];
    let changes: [Change; 8] = [
        (": keys [", |it| it.marks.clear()),
        (": keys [", |it| it.marks.push(it.marks[0].clone())),
        (": keys [", |it| it.marks[1].at_ms += 20),
        (": keys [", |it| {
            let MarkKind::TelephoneEvent { duration_ms, .. } = &mut it.marks[0].kind else {
                panic!("a key");
            };
            *duration_ms += 20;
        }),
        (": keys [", |it| {
            let MarkKind::TelephoneEvent { digit, .. } = &mut it.marks[0].kind else {
                panic!("a key");
            };
            *digit = "E".to_owned();
        }),
        (": no gap for the silence ", |it| {
            it.gaps.remove(0);
        }),
        (": no gap for the silence ", |it| it.gaps[0].from_ms += 20),
        (" was no silence of the sender", |it| {
            let mut gap = it.gaps[0].clone();
            assert_eq!(gap.cause, GapCause::Dtx);
            (gap.from_ms, gap.to_ms) = (gap.from_ms - 40, gap.from_ms - 20);
            it.gaps.insert(0, gap);
        }),
    ];
    for (reason, change) in changes {
        rewrite(published, |manifest| change(&mut manifest.streams[index]));
        let problems = run.audit().problems;
        assert_eq!(problems.len(), 1, "{reason}: {problems:?}");
        assert!(problems[0].contains(reason), "not {reason}: {problems:?}");
    }
    rewrite(published, |_| {});
    assert!(run.audit().is_perfect());
}

/// What becomes of the audio beside the last packets of each key.
fn fates_beside_keys(leg: &LegTruth) -> impl Iterator<Item = Fate> {
    let slots = leg.plan.keys.iter().flat_map(KeyPress::repeats);
    slots.map(|slot| leg.plan.fate(slot))
}

/// A run against a recorder without flaws.
struct Run {
    folder: TempDir,
    report: RunReport,
}

impl Run {
    /// Four calls of six seconds.
    fn of(first_port: u16, talk_spurts: bool, presses_keys: bool, impairment: Impairment) -> Self {
        let folder = TempDir::new().unwrap();
        let recorder = FakeRecorder::udp(folder.path().to_owned(), Flaws::default());
        let plan = plan(recorder.address, first_port, Transport::Udp, impairment);
        let plan = RunPlan {
            talk: Duration::from_secs(6),
            talk_spurts,
            presses_keys,
            ..plan
        };
        let report = run(plan, |_| {}).unwrap();
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        Self { folder, report }
    }

    fn audit(&self) -> Audit {
        let patience = Duration::from_millis(300);
        audit(self.folder.path(), &self.report.truths, patience, |_| {}).unwrap()
    }

    fn legs(&self) -> impl Iterator<Item = &LegTruth> {
        self.report.truths.iter().flat_map(|call| &call.legs)
    }
}
