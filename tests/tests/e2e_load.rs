//! The load tool's runs against the real processes: whatever it sends, its own check finds every
//! recording right, sample by sample.

use std::time::Duration;

use holdfast_e2e::caller::run_name;
use holdfast_e2e::system::{Options, System};
use holdfast_load::agent::Way;
use holdfast_load::arrivals::Arrivals;
use holdfast_load::audit::{Audit, audit};
use holdfast_load::invite::Codec;
use holdfast_load::media::{Impairment, PortRange};
use holdfast_load::run::{RunPlan, RunReport, run};

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
        codec: Codec::Pcmu,
        ports: PortRange::new(first, last).expect("ports"),
        impairment: Impairment::default(),
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
    let packets: u64 = sent.map(|leg| leg.plan.counts().packets).sum();
    assert_eq!((audit.packets_right, audit.packets_missing), (packets, 0));
}

/// How long the next recording may take.
const PATIENCE: Duration = Duration::from_secs(30);
