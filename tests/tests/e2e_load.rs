//! The load tool's runs against the real processes: whatever it sends, its own check finds every
//! recording right, sample by sample.

use std::time::Duration;

use holdfast_e2e::caller::run_name;
use holdfast_e2e::system::{Options, System};
use holdfast_load::agent::Way;
use holdfast_load::arrivals::Arrivals;
use holdfast_load::audit::{Audit, audit};
use holdfast_load::invite::Codec;
use holdfast_load::media::{Fate, Impairment, KeyPress, PortRange};
use holdfast_load::run::{RunPlan, RunReport, run};
use holdfast_load::verify::LegTruth;

#[test]
fn calls_of_a_poisson_process_are_recorded() {
    let system = System::start(&Options::new());
    let (report, audit) = carry_out(
        &system,
        RunPlan {
            arrivals: Arrivals::Poisson,
            calls: 6,
            ..plan(&system)
        },
    );
    assert_perfect(&report, &audit, 6);
}

#[test]
fn packets_that_leave_late_are_in_their_place() {
    let system = System::start(&Options::new());
    let late = Impairment {
        jitter_max: Duration::from_millis(150),
        seed: 5,
        ..Impairment::default()
    };
    let (report, audit) = carry_out(
        &system,
        RunPlan {
            impairment: late,
            ..plan(&system)
        },
    );
    assert_perfect(&report, &audit, 3);
    // Whether the packets were late at all, the recorder says.
    for published in system.all_recordings() {
        for stream in published.manifest.streams {
            assert!(stream.jitter_ms.max > 5.0, "{:?}", stream.jitter_ms);
        }
    }
}

#[test]
fn silences_between_spurts_are_silent_and_no_loss() {
    let system = System::start(&Options::new());
    let (report, audit) = carry_out(
        &system,
        RunPlan {
            talk_spurts: true,
            talk: Duration::from_secs(8),
            ..plan(&system)
        },
    );
    let legs = || report.truths.iter().flat_map(|call| &call.legs);
    assert!(
        legs().any(|leg| leg.plan.unsent.len() > 1),
        "there are silences"
    );
    assert_perfect(&report, &audit, 3);
}

#[test]
fn keys_are_named_and_the_audio_around_them_is_there() {
    let system = System::start(&Options::new());
    let (report, audit) = carry_out(
        &system,
        RunPlan {
            presses_keys: true,
            talk: Duration::from_secs(8),
            ..plan(&system)
        },
    );
    let legs = || report.truths.iter().flat_map(|call| &call.legs);
    assert!(
        legs().any(|leg| leg.plan.keys.len() > 1),
        "keys are pressed"
    );
    assert_perfect(&report, &audit, 3);
}

/// With silences, a packet that is lost beside one makes a gap with it; without them no gap may be told
/// but what was lost, beside keys neither.
#[test]
fn all_that_can_befall_a_call_at_once_is_accounted_for() {
    let system = System::start(&Options::new());
    for talk_spurts in [false, true] {
        let (report, audit) = carry_out(
            &system,
            RunPlan {
                impairment: HARM,
                talk_spurts,
                presses_keys: true,
                talk: Duration::from_secs(10),
                calls: 10,
                ..plan(&system)
            },
        );
        // Beside its last packets audio is lost and comes late, too.
        let legs = report.truths.iter().flat_map(|call| &call.legs);
        let fates = legs.flat_map(|leg| {
            let slots = leg.plan.keys.iter().flat_map(KeyPress::repeats);
            slots.map(|slot| leg.plan.fate(slot))
        });
        let fates: Vec<_> = fates.collect();
        for fate in [Fate::Lose, Fate::Delay] {
            assert!(fates.contains(&fate), "{fate:?} of {fates:?}");
        }
        assert_perfect(&report, &audit, 10);
    }
}

#[test]
fn calls_of_several_codecs_are_kept_packet_by_packet() {
    let options = Options::new().set("srtp", "keys_without_tls = \"accept\"");
    let system = System::start(&options);
    for is_encrypted in [false, true] {
        let impairment = Impairment {
            // Of an encrypted packet a copy is a replay.
            duplicate_ppm: if is_encrypted { 0 } else { HARM.duplicate_ppm },
            ..HARM
        };
        let (report, audit) = carry_out(
            &system,
            RunPlan {
                codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16],
                impairment,
                is_encrypted,
                talk_spurts: true,
                presses_keys: true,
                talk: Duration::from_secs(8),
                calls: 8,
                ..plan(&system)
            },
        );
        assert_perfect(&report, &audit, 8);
    }
}

/// Three calls of three seconds, all of them plain.
fn plan(system: &System) -> RunPlan {
    let (first, last) = system.caller_ports();
    RunPlan {
        target: system.sip(),
        standby: None,
        way: Way::Udp,
        user: "srs".to_owned(),
        run: run_name(),
        calls: 3,
        rate: 10.0,
        arrivals: Arrivals::Steady,
        talk: Duration::from_secs(3),
        codecs: vec![Codec::Pcmu],
        ports: PortRange::new(first, last).expect("ports"),
        impairment: Impairment::default(),
        talk_spurts: false,
        presses_keys: false,
        is_encrypted: false,
        may_be_forgotten: false,
        proves_dialogs: false,
        is_silent: false,
        streams: 2,
    }
}

fn carry_out(system: &System, plan: RunPlan) -> (RunReport, Audit) {
    let report = run(plan, |_| {}).expect("the server can be reached");
    let audit = audit(&system.recordings(), &report.truths, PATIENCE, |_| {});
    (report, audit.expect("the recordings can be read"))
}

fn assert_perfect(report: &RunReport, audit: &Audit, calls: u64) {
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!((audit.recordings, report.send_failures), (calls, 0));
    assert_eq!(audit.problems, [""; 0]);
    let sent = report.truths.iter().flat_map(|call| &call.legs);
    let right = sent.map(|LegTruth { plan, .. }| match plan.codec.is_heard() {
        true => (0..plan.slots)
            .filter(|&slot| plan.is_audible(slot))
            .count() as u64,
        false => plan.counts().packets,
    });
    let right: u64 = right.sum();
    assert_eq!((audit.packets_right, audit.packets_missing), (right, 0));
}

/// All that is done to packets.
const HARM: Impairment = Impairment {
    loss_ppm: 50_000,
    duplicate_ppm: 50_000,
    reorder_ppm: 50_000,
    jitter_max: Duration::from_millis(60),
    seed: 7,
};

/// How long the next recording may take.
const PATIENCE: Duration = Duration::from_secs(30);
