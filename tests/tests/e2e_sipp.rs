//! SIPp plays the scenarios that ship with the project: no call may fail, and each is recorded.

use std::path::PathBuf;

use holdfast_e2e::system::{Options, System};
use holdfast_e2e::tools::Tool;
use holdfast_e2e::wait::wait_for;
use holdfast_load::verify::Published;
use holdfast_manifest::MarkKind;

#[test]
fn an_rfc_style_call_over_udp() {
    let recordings = play("siprec_invite.xml", 1, &["-m", "1"]);
    for published in recordings {
        let call = &published.manifest.call;
        assert_eq!(
            (call.sip.transport.as_str(), call.participants.len()),
            ("udp", 2)
        );
        assert_eq!((call.channels.len(), call.sessions.len()), (2, 1));
        assert_eq!(call.warnings, []);
    }
}

#[test]
fn an_rfc_style_call_over_tcp() {
    let recordings = play("siprec_invite.xml", 1, &["-m", "1", "-t", "t1"]);
    for published in recordings {
        assert_eq!(published.manifest.call.sip.transport, "tcp");
    }
}

#[test]
fn twenty_calls_ten_a_second() {
    play("siprec_invite.xml", 20, &["-m", "20", "-r", "10"]);
}

#[test]
fn a_pause_and_its_end_by_reinvite() {
    let recordings = play("siprec_reinvite.xml", 1, &["-m", "1"]);
    for published in recordings {
        for stream in &published.manifest.streams {
            let is_pause = |kind: &&MarkKind| matches!(kind, MarkKind::Pause | MarkKind::Resume);
            let marks = stream.marks.iter().map(|mark| &mark.kind);
            let pauses: Vec<_> = marks.filter(is_pause).collect();
            assert_eq!(pauses, [&MarkKind::Pause, &MarkKind::Resume]);
        }
    }
}

#[test]
fn a_transfer_told_by_update() {
    let recordings = play("siprec_update.xml", 1, &["-m", "1"]);
    for published in recordings {
        let carried: Vec<_> = published
            .manifest
            .call
            .metadata
            .iter()
            .map(|document| document.carried_by.as_str())
            .collect();
        assert_eq!(carried, ["INVITE", "UPDATE"]);
        // The one who was transferred to is the third.
        assert_eq!(published.manifest.call.participants.len(), 3);
    }
}

/// Plays a scenario; gives the `count` recordings it leaves. None where SIPp is absent.
fn play(scenario: &str, count: usize, arguments: &[&str]) -> Vec<Published> {
    let Some(sipp) = Tool::find("sipp") else {
        return Vec::new();
    };
    // The reports at the end of a call go to ports that nobody has opened: that is fine.
    let system = System::start(&Options::new());
    let (scenario, target) = (scenarios().join(scenario), system.sip().to_string());
    let (local, port) = (
        system.host().to_string(),
        system.caller_ports().0.to_string(),
    );
    let scenario = scenario.display().to_string();
    let fixed = [
        "-sf",
        &scenario,
        "-s",
        "1000",
        "-i",
        &local,
        "-p",
        &port,
        "-nostdin",
        "-trace_err",
        "-error_file",
        "errors.log",
        "-timeout",
        "50",
        &target,
    ];
    let output = sipp.run(system.root(), &[arguments, &fixed].concat());
    let errors = std::fs::read_to_string(system.root().join("errors.log")).unwrap_or_default();
    assert!(
        output.status.success(),
        "{}\n{errors}",
        String::from_utf8_lossy(&output.stdout)
    );
    let recordings = wait_for("all recordings are published", || {
        let found = system.all_recordings();
        (found.len() >= count).then_some(found)
    });
    assert_eq!(recordings.len(), count);
    recordings
}

fn scenarios() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../perf/sipp")
}
