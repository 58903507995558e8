//! Signaling is killed in the middle of calls and started again: the calls go on, and their dialogs.

use std::time::Duration;

use holdfast_e2e::bodies::silent_offer;
use holdfast_e2e::caller::{Call, Caller};
use holdfast_e2e::http::Request;
use holdfast_e2e::process::binary;
use holdfast_e2e::script::{Ask, Script, text_of};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{Talk, assert_recorded};
use holdfast_e2e::tools::Tool;
use holdfast_load::invite::{Codec, Direction};
use holdfast_load::uac::{Method, Transport};
use holdfast_manifest::EndReason;

#[test]
fn media_continuity_no_packet_is_lost_while_signaling_is_killed() {
    let mut system = System::start(&Options::new());
    // UDP: the socket outlives the process, and so does what comes to it.
    let mut caller = Caller::over(Transport::Udp, &system);
    let mut calls: Vec<Call> = (0..4).map(|_| caller.call(Codec::Pcmu)).collect();
    let talks: Vec<Talk> = calls.iter().map(Talk::start).collect();
    let ports = |call: &Call| -> Vec<_> { call.answer.lines.iter().map(|line| line.rtp).collect() };
    for _ in 0..3 {
        caller.stay(Duration::from_millis(300));
        system.signaling.kill();
        system.signaling.start();
        system.await_ready();
        let call = &mut calls[0];
        let before = ports(call);
        let again = call.offer.redirected(Direction::SendOnly);
        caller.reinvite(call, again);
        assert_eq!(ports(call), before);
        let told = caller.request(call, Method::Update, Some(&call.offer.metadata_body()));
        assert_eq!(told.status(), Some(200));
    }
    caller.stay(Duration::from_millis(300));
    for (call, talk) in calls.iter().zip(talks) {
        let legs = talk.finish();
        caller.hang_up(call);
        let published = assert_recorded(&system, call, legs);
        assert_eq!(published.manifest.end_reason, EndReason::Bye);
        assert_eq!(published.manifest.part, 1);
    }
}

/// The request comes while nobody is there to read it.
#[test]
fn a_request_that_waited_in_the_socket_is_answered_by_the_next_process() {
    let mut system = System::start(&Options::new());
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    system.signaling.kill();
    let sent = script.send(&Ask::new("UPDATE").metadata(&offer.metadata()));
    system.signaling.start();
    assert_eq!(script.answer_to(&sent).status(), Some(200));
    script.hang_up();
    let published = system.published(&script.call_id);
    assert_eq!(published.manifest.call.metadata.len(), 2);
}

/// The answer was given and has not arrived when the process dies: the copy of the request gets the same
/// answer of the next process, octet for octet, and nothing is done twice (RFC 3261 §17.2).
#[test]
fn a_reinvite_that_was_answered_before_the_gap_gets_the_same_answer_after_it() {
    let mut system = System::start(&Options::new());
    let mut script = Script::new(&system);
    let mut offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    offer.version += 1;
    let sent = script.send(&Ask::invite().body(&offer.multipart()));
    let before = script.answer_to(&sent);
    assert_eq!(before.status(), Some(200), "{before:?}");
    // Both for one that nobody has acknowledged, and for one that was.
    for is_acknowledged in [false, true] {
        if is_acknowledged {
            script.ack(None);
            script.ok(&Ask::new("UPDATE"));
        }
        system.signaling.kill();
        system.signaling.start();
        system.await_ready();
        let after = script.answer_to(&sent);
        assert_eq!(after, before, "acknowledged: {is_acknowledged}");
    }
    script.hang_up();
    let published = system.published(&script.call_id);
    assert_eq!(published.manifest.call.metadata.len(), 2, "not taken twice");
    assert_eq!(published.manifest.streams.len(), 2, "nor made anew");
}

/// The 200 to a BYE has not arrived when the process dies: its copy gets 481, by which the call is over
/// for its client (RFC 3261 §15.1.1), and its recording has one end.
#[test]
fn a_bye_that_was_answered_before_the_gap_ends_the_call_once() {
    let mut system = System::start(&Options::new());
    let mut script = Script::new(&system);
    script.open(&Ask::invite().body(&silent_offer(&system).multipart()));
    // It cannot be published meanwhile: the next process finds the call, ended.
    system.engine.kill();
    let sent = script.send(&Ask::new("BYE"));
    assert_eq!(script.answer_to(&sent).status(), Some(200));
    system.signaling.kill();
    system.signaling.start();
    let again = script.answer_to(&sent).status();
    assert_eq!(again, Some(481), "it knows of no such dialog");
    system.engine.start();
    let published = system.published(&script.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::Bye);
    assert_eq!(published.manifest.part, 1);
    assert_eq!(system.all_recordings().len(), 1);
}

/// Both processes at once, as when the power fails: the dialog is on disk as the packets are.
#[test]
fn a_call_goes_on_after_both_processes_were_killed() {
    let mut system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcma);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(600));
    system.signaling.kill();
    system.engine.kill();
    system.engine.start();
    system.signaling.start();
    system.await_ready();
    caller.stay(Duration::from_millis(600));
    let after = talk.slot();
    talk.finish();
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::Bye);
    let streams = &published.manifest.streams;
    assert!(
        streams
            .iter()
            .all(|one| one.packets + 60 > u64::from(after)),
        "{after} were sent: {streams:?}"
    );
}

/// TC-132, with what is known kept: 200, and then all of the metadata is asked for, by a number that
/// no process before can have used.
#[test]
fn tc_132_restart_with_the_state_kept() {
    let mut system = System::start(&Options::new());
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    system.signaling.kill();
    system.signaling.start();
    system.await_ready();
    let update = script.ask(&Ask::new("UPDATE").metadata(&offer.metadata()));
    assert_eq!(update.status(), Some(200), "{update:?}");
    let asked = script.request("UPDATE");
    assert!(text_of(&asked).contains("requestsnapshot"), "{asked:?}");
    let cseq = asked.header("CSeq").and_then(|value| {
        let number = value.split(' ').next()?;
        number.parse::<u32>().ok()
    });
    assert!(cseq.is_some_and(|cseq| cseq > 1_000), "{asked:?}");
    script.respond(&asked, "200 OK", "", None);
    script.hang_up();
    let published = system.published(&script.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::Bye);
}

/// A connection does not outlive the process, the dialog does: RFC 3261 §12, §18.
#[test]
fn a_call_over_tcp_goes_on_over_a_new_connection() {
    let mut system = System::start(&Options::new());
    let mut script = Script::over(Transport::Tcp, &system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    system.signaling.kill();
    system.signaling.start();
    system.await_ready();
    script.peer = holdfast_e2e::peer::Peer::connect(system.sip(), Transport::Tcp);
    let update = script.ask(&Ask::new("UPDATE").metadata(&offer.metadata()));
    assert_eq!(update.status(), Some(200), "{update:?}");
    script.hang_up();
    system.published(&script.call_id);
}

/// SIGTERM with `handover = true`: an upgrade in the middle of calls.
#[test]
fn a_clean_stop_that_hands_over_leaves_the_calls_to_the_next_process() {
    let mut system = System::start(&Options::new().set("lifecycle", "handover = true"));
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(300));
    system.signaling.ask_to_end();
    assert!(system.signaling.wait().success());
    caller.stay(Duration::from_millis(200));
    system.signaling.start();
    system.await_ready();
    caller.stay(Duration::from_millis(300));
    let legs = talk.finish();
    caller.hang_up(&call);
    assert_recorded(&system, &call, legs);
}

/// An operator wants no new calls.
#[test]
fn a_server_that_drains_refuses_new_calls_and_keeps_those_that_are_up() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    let holdfast = Tool::at(binary("holdfast"));
    let config = system.config().display().to_string();
    let said = holdfast.output(system.root(), &["--config", &config, "drain"]);
    assert!(said.contains("1 go on"), "{said}");
    assert_eq!(system.options_status(), Some(503));
    // Nor does it say elsewhere that it takes them.
    let ready = || Request::get(system.http(), "/health/ready").send();
    let told = ready();
    assert_eq!(told.status, 503);
    assert!(told.text().contains("holdfast drain --off"), "{told:?}");
    let status = holdfast.run(system.root(), &["--config", &config, "status"]);
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    caller.stay(Duration::from_millis(200));
    let legs = talk.finish();
    caller.hang_up(&call);
    assert_recorded(&system, &call, legs);
    holdfast.output(system.root(), &["--config", &config, "drain", "--off"]);
    assert_eq!(system.options_status(), Some(200));
    assert_eq!(ready().status, 200);
}
