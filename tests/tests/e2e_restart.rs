//! Processes that die or are told to stop in the middle of a call.

use std::time::Duration;

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::caller::Caller;
use holdfast_e2e::peer::{Peer, Request};
use holdfast_e2e::search::files;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{Mode, Talk, converse, truth};
use holdfast_e2e::wait::{wait_for, wait_until};
use holdfast_load::invite::{Codec, Direction};
use holdfast_load::uac::{Method, Transport};
use holdfast_load::verify::{LegTruth, Published, check_recording};
use holdfast_manifest::{EndReason, GapCause, MarkKind};
use nix::sys::signal::Signal;

/// The shortest that the settings allow.
const ORPHAN_TIMEOUT: &str = "orphan_timeout = \"5 s\"";

/// Nothing of a dialog is kept; with it kept, see `e2e_signaling_restart`.
fn forgetful() -> Options {
    Options::new()
        .set("media", ORPHAN_TIMEOUT)
        .set("store", "kind = \"memory\"")
}

/// Slots of a commit interval (200 ms) and what a busy machine adds: what plain sockets may lose
/// when the process behind them is killed.
const UNCOMMITTED_MAX: u32 = 25;

/// Datagrams that the plain sockets' ingest takes with one system call.
const TAKEN_MAX: usize = 32;

#[test]
fn a_killed_engine_is_started_again_and_the_call_goes_on_in_the_same_recording() {
    let mut system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcmu);
    let ports: Vec<_> = call.answer.lines.iter().map(|line| line.rtp).collect();
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(1_500));

    let down = talk.slot();
    system.engine.kill();
    caller.stay(Duration::from_millis(500));
    system.engine.start();
    system.await_ready();
    let up = talk.slot();
    caller.stay(Duration::from_millis(1_000));

    let again = call.offer.redirected(Direction::SendOnly);
    caller.reinvite(&mut call, again);
    let ports_again: Vec<_> = call.answer.lines.iter().map(|line| line.rtp).collect();
    assert_eq!(ports_again, ports);
    let told = caller.request(&call, Method::Update, Some(&call.offer.metadata_body()));
    assert_eq!(told.status(), Some(200));
    caller.stay(Duration::from_millis(500));
    let legs = talk.finish();
    caller.hang_up(&call);

    let published = system.published(&call.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::Bye);
    let carried: Vec<_> = published
        .manifest
        .call
        .metadata
        .iter()
        .map(|one| one.carried_by.as_str())
        .collect();
    assert_eq!(carried, ["INVITE", "INVITE", "UPDATE"]);
    for (slots, channel) in slots_of(&published, &legs).iter().zip(0..) {
        let stream = &published.manifest.streams[channel];
        let outside = |slot: &&u32| **slot + UNCOMMITTED_MAX < down || **slot > up + 5;
        let lost: Vec<_> = slots.missing.iter().filter(outside).collect();
        assert_eq!(
            lost, [&0; 0],
            "down from slot {down} to {up}: {:?}",
            slots.missing
        );
        // Its sockets outlived it: what it died with is at most what one system call had taken.
        assert!(slots.missing.len() <= TAKEN_MAX, "{:?}", slots.missing);
        // Every packet that is missing is explained.
        let mut explained = slots.covered(&stream.gaps, GapCause::Outage);
        explained.extend(slots.covered(&stream.gaps, GapCause::Loss));
        let unexplained: Vec<_> = slots
            .missing
            .iter()
            .filter(|slot| !explained.contains(slot))
            .collect();
        assert_eq!(unexplained, [&0; 0], "{:?}", stream.gaps);
        let kinds: Vec<_> = stream.marks.iter().map(|mark| &mark.kind).collect();
        assert!(kinds.contains(&&MarkKind::EngineRestart), "{kinds:?}");
        assert!(
            kinds
                .iter()
                .any(|kind| matches!(kind, MarkKind::Outage { .. })),
            "{kinds:?}"
        );
    }
}

#[test]
fn a_call_that_ends_while_the_engine_is_away_is_published_when_it_is_back() {
    let mut system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(1_000));
    let down = talk.slot();
    system.engine.kill();
    let mut legs = talk.finish();
    wait_until("the engine is missed", || {
        system.options_status() == Some(503)
    });
    let moved = caller.request(&call, Method::Update, Some(&call.offer.metadata_body()));
    assert_eq!(
        moved.status(),
        Some(200),
        "what needs no engine is done without"
    );
    caller.hang_up(&call);
    system.engine.start();
    let published = system.published(&call.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::Bye);
    assert_eq!(
        published.manifest.call.metadata.len(),
        2,
        "told when it was back"
    );
    for leg in &mut legs {
        leg.plan.slots = down;
    }
    for slots in slots_of(&published, &legs) {
        assert_eq!(slots.missing_between(), [0; 0]);
        assert!(
            slots.right.len() as u32 + UNCOMMITTED_MAX >= down,
            "{}",
            slots.right.len()
        );
    }
}

#[test]
fn without_signaling_the_engine_goes_on_while_there_is_media_and_then_publishes() {
    let mut system = System::start(&forgetful());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(600));
    system.signaling.kill();
    // Longer than the time-out: who speaks is recorded.
    std::thread::sleep(Duration::from_millis(6_000));
    assert!(system.published_so_far(&call.call_id).is_empty());
    let legs = talk.finish();
    let published = system.published(&call.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::Orphaned);
    for slots in slots_of(&published, &legs) {
        assert_eq!(slots.missing, [0; 0]);
    }
}

/// TC-132: what is not known any more.
#[test]
fn signaling_that_comes_back_leaves_what_it_does_not_know_and_takes_new_calls() {
    let mut system = System::start(&forgetful());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(600));
    system.signaling.kill();
    system.signaling.start();
    system.await_ready();

    // The ports of the orphan are not given to anybody else.
    let mut next_caller = Caller::new(&system);
    let next = next_caller.call(Codec::Pcmu);
    for line in &next.answer.lines {
        assert!(call.answer.lines.iter().all(|known| known.rtp != line.rtp));
    }
    let next_legs = converse(&next, Duration::from_millis(800));
    next_caller.hang_up(&next);
    let verdict = check_recording(&system.published(&next.call_id), &truth(&next, next_legs));
    assert_eq!(verdict.problems, [""; 0]);

    let published = system.published(&call.call_id);
    let legs = talk.finish();
    assert_eq!(published.manifest.end_reason, EndReason::Orphaned);
    for slots in slots_of(&published, &legs) {
        assert_eq!(slots.missing_between(), [0; 0]);
        assert!(slots.right.len() > 200, "{}", slots.right.len());
    }
}

/// TC-138.
#[test]
fn both_killed_at_once_leave_a_recording_of_what_was_said() {
    let mut system = System::start(&forgetful());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(1_500));
    let down = talk.slot();
    system.signaling.kill();
    system.engine.kill();
    let mut legs = talk.finish();
    system.engine.start();
    system.signaling.start();
    let published = system.published(&call.call_id);
    let reasons = [EndReason::Orphaned, EndReason::EngineRecovered];
    assert!(
        reasons.contains(&published.manifest.end_reason),
        "{:?}",
        published.manifest
    );
    for leg in &mut legs {
        leg.plan.slots = down;
    }
    for slots in slots_of(&published, &legs) {
        assert_eq!(slots.missing_between(), [0; 0]);
        assert!(
            slots.right.len() as u32 + UNCOMMITTED_MAX >= down,
            "{} of {down}",
            slots.right.len()
        );
    }
    assert_eq!(
        published.manifest.call.participants.len(),
        2,
        "the metadata survives too"
    );
}

/// TC-130: while it drains.
#[test]
fn a_clean_stop_ends_calls_publishes_them_and_refuses_new_ones() {
    let mut system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let legs = converse(&call, Duration::from_millis(800));

    system.signaling.ask_to_end();
    // While this caller does not answer the BYE the server has to wait for it.
    wait_for("new calls are refused", || {
        (system.options_status() == Some(503)).then_some(())
    });
    let mut late = Caller::new(&system);
    let prepared = late.prepare(Codec::Pcmu);
    let refusal = late
        .try_invite(prepared.number, &prepared.offer.multipart())
        .expect_err("503");
    assert_eq!(refusal.status(), Some(503));
    let seconds = refusal
        .header("Retry-After")
        .and_then(|value| value.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{refusal:?}");

    caller.await_hang_up(&call);
    assert!(system.signaling.wait().success());
    let published = system.published(&call.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::Shutdown);
    for slots in slots_of(&published, &legs) {
        assert_eq!(slots.missing, [0; 0]);
    }
    system.engine.ask_to_end();
    assert!(system.engine.wait().success());
    assert!(files(&system.recordings().join("incoming")).is_empty());
}

#[test]
fn an_engine_told_to_stop_loses_nothing_that_it_had_received() {
    let mut system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(800));
    talk.set(Mode::Silent);
    caller.stay(Duration::from_millis(60));
    system.engine.ask_to_end();
    assert!(system.engine.wait().success());
    wait_until("the engine is missed", || {
        system.options_status() == Some(503)
    });
    system.engine.start();
    system.await_ready();
    talk.set(Mode::Speak);
    caller.stay(Duration::from_millis(800));
    let legs = talk.finish();
    caller.hang_up(&call);
    for slots in slots_of(&system.published(&call.call_id), &legs) {
        assert_eq!(slots.missing, [0; 0]);
    }
}

#[test]
fn a_hangup_signal_harms_no_call() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(400));
    system.signaling.signal(Signal::SIGHUP);
    system.engine.signal(Signal::SIGHUP);
    // Whatever becomes of the file meanwhile is of no interest to a call either.
    std::fs::write(system.config(), "this is no TOML").expect("the settings are spoiled");
    system.signaling.signal(Signal::SIGHUP);
    system.engine.signal(Signal::SIGHUP);
    caller.stay(Duration::from_millis(400));
    let legs = talk.finish();
    caller.hang_up(&call);
    let verdict = check_recording(&system.published(&call.call_id), &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
}

#[test]
fn a_call_id_that_comes_again_makes_a_second_recording() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call_id = "the-same-every-time@example.com";
    let mut folders = Vec::new();
    for count in 1..=2 {
        let mut peer = Peer::connect(system.sip(), Transport::Udp);
        let prepared = caller.prepare(Codec::Pcmu);
        let invite = peer.write(&Request {
            method: "INVITE",
            call_id,
            cseq: 1,
            headers: "Require: siprec\r\n",
            body: Some(&prepared.offer.multipart()),
        });
        let response = peer.ask(&invite, 1, "INVITE");
        assert_eq!(response.status(), Some(200));
        let invite = holdfast_load::sip::Message::parse(&invite).expect("our own INVITE");
        peer.send(&peer.write_within(&invite, &response, 1, "ACK", None));
        peer.send(&peer.write_within(&invite, &response, 2, "BYE", None));
        assert_eq!(peer.final_response(2, "BYE").status(), Some(200));
        folders = system.all_published(call_id, count);
    }
    assert_ne!(folders[0].folder, folders[1].folder);
    assert_ne!(folders[0].manifest.id, folders[1].manifest.id);
}

/// Where the packets of each leg are.
fn slots_of(published: &Published, legs: &[LegTruth]) -> Vec<Slots> {
    let audio = Audio::of(&published.folder);
    assert_eq!(audio.channels.len(), legs.len());
    audio
        .channels
        .iter()
        .zip(legs)
        .map(|(samples, leg)| Slots::of(samples, &leg.plan))
        .collect()
}
