//! Test cases about what the server asks of its peer: TC-33, TC-34 (chapter B), TC-45 to TC-48
//! (chapter C). Each test bears the number of its case.

use std::time::Duration;

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::bodies::{document, session_id, silent_offer};
use holdfast_e2e::caller::Caller;
use holdfast_e2e::peer::multipart;
use holdfast_e2e::process::binary;
use holdfast_e2e::script::{Ask, Script, text_of};
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::converse;
use holdfast_e2e::tools::Tool;
use holdfast_load::answer::Answer;
use holdfast_load::invite::{Codec, Direction, Offer};
use holdfast_load::sip::{Message, StartLine};
use holdfast_manifest::EndReason;
use serde_json::Value;

static USUAL: Shared = Shared::new();
static WAITING: Shared = Shared::new();

/// Answers that it is not ready, until it is told to begin.
fn waiting() -> Options {
    Options::new().set("sip", "start_paused = true")
}

/// Tells the server what to do with a call, as an operator does.
fn order(system: &System, what: &str, call_id: &str) {
    let holdfast = Tool::at(binary("holdfast"));
    let config = system.config().display().to_string();
    let calls = ["--config", &config, "calls", "--json"];
    let list = holdfast.output(system.root(), &[&calls[..], &["list"]].concat());
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let list = list.as_array().expect("calls");
    let call = list
        .iter()
        .find(|one| one["call_id"] == call_id)
        .expect("the call");
    let id = call["id"].as_str().expect("an id");
    holdfast.output(system.root(), &[&calls[..], &[what, id]].concat());
}

#[test]
fn tc_33_not_ready_at_first() {
    let system = WAITING.system(waiting);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let response = script.open(&Ask::invite().body(&prepared.offer.multipart()));
    let first = Answer::parse(&response.body).expect("an answer");
    assert!(
        first.lines.iter().all(|line| line.direction == "inactive"),
        "{first:?}"
    );
    order(&system, "resume", &script.call_id);
    let begin = script.request("INVITE");
    assert!(
        begin
            .header("Contact")
            .is_some_and(|it| it.contains(";+sip.srs")),
        "{begin:?}"
    );
    let offer = Answer::parse(&begin.body).expect("an offer");
    assert!(
        offer.lines.iter().all(|line| line.direction == "recvonly"),
        "{offer:?}"
    );
    let ports = |of: &Answer| of.lines.iter().map(|line| line.rtp).collect::<Vec<_>>();
    assert_eq!(
        ports(&offer),
        ports(&first),
        "the same lines and none added"
    );
    accept(
        &mut script,
        &begin,
        &prepared.offer.redirected(Direction::SendOnly),
    );
    script.request("ACK");
    let call = script.call(prepared, &response);
    let legs = converse(&call, Duration::from_millis(400));
    script.hang_up();
    let published = system.published(&call.call_id);
    for (samples, leg) in Audio::of(&published.folder).channels.iter().zip(&legs) {
        assert_eq!(Slots::of(samples, &leg.plan).missing, [0; 0]);
    }
}

/// An INVITE of the client's crosses the server's own.
#[test]
fn tc_34_glare() {
    let system = USUAL.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    order(&system, "pause", &script.call_id);
    let ours = script.request("INVITE");
    let crossing =
        script.ask(&Ask::invite().body(&offer.redirected(Direction::SendOnly).sdp_body()));
    assert_eq!(crossing.status(), Some(491), "{crossing:?}");
    script.respond(&ours, "491 Request Pending", "", None);
    script.request("ACK");
    // RFC 3261 section 14.1: 0 to 2 s later, since the Call-ID is the peer's.
    let again = script
        .request_within("INVITE", Duration::from_secs(5))
        .expect("once more");
    assert!(cseq(&again) > cseq(&ours));
    assert!(
        text_of(&again).contains("a=inactive"),
        "{}",
        text_of(&again)
    );
    accept(&mut script, &again, &offer.redirected(Direction::Inactive));
    script.request("ACK");
    script.hang_up();
    system.published(&script.call_id);
}

/// A dialog whose first document is a partial one, and the question that follows.
fn partial_first(system: &System) -> (Script, Offer) {
    let mut script = Script::new(system);
    let offer = silent_offer(system);
    let partial = offer
        .metadata()
        .replace("<datamode>complete", "<datamode>partial");
    let body = multipart(&offer.sdp(), partial.as_bytes());
    script.open(&Ask::invite().body(&body));
    (script, offer)
}

#[test]
fn tc_45_46_partial_first_and_the_snapshot() {
    let system = USUAL.system(Options::new);
    let (mut script, offer) = partial_first(&system);
    let update = script.request("UPDATE");
    assert_eq!(
        update.header("Content-Type"),
        Some("application/rs-metadata+xml"),
        "no SDP"
    );
    assert_eq!(
        update.header("Content-Disposition"),
        Some("recording-session")
    );
    assert!(
        update
            .header("Require")
            .is_some_and(|it| it.contains("siprec")),
        "{update:?}"
    );
    assert!(
        update
            .header("Contact")
            .is_some_and(|it| it.contains(";+sip.srs")),
        "{update:?}"
    );
    assert!(
        update
            .header("Accept")
            .is_some_and(|it| it.contains("rs-metadata")),
        "{update:?}"
    );
    let body = text_of(&update);
    assert!(
        body.contains("<requestsnapshot xmlns=\"urn:ietf:params:xml:ns:recording:1\">"),
        "{body}"
    );
    script.respond(&update, "200 OK", &contact(&script), None);
    // Once: no second question while the snapshot is on its way.
    assert_eq!(
        script.request_within("UPDATE", Duration::from_secs(3)),
        None
    );
    let mut renamed = offer.clone();
    renamed.legs[0].participant.name = "As in the snapshot".to_owned();
    renamed.legs.truncate(1);
    let snapshot = multipart(&offer.sdp(), renamed.metadata().as_bytes());
    script.ok(&Ask::invite().body(&snapshot));
    script.hang_up();
    let call = system.published(&script.call_id).manifest.call;
    let codes: Vec<_> = call.warnings.iter().map(|one| one.code.as_str()).collect();
    assert!(codes.contains(&"metadata_no_base"), "flagged: {codes:?}");
    assert_eq!(call.participants[0].names, ["As in the snapshot"]);
    let bob = call
        .participants
        .iter()
        .find(|one| one.id == offer.participant_id(1));
    let is_gone = bob.is_none_or(|bob| bob.intervals.iter().all(|one| one.interval.to.is_some()));
    assert!(
        is_gone,
        "the state is the snapshot's: {:?}",
        call.participants
    );
    assert_eq!(call.sessions[0].id, session_id(&offer));
}

#[test]
fn tc_47_snapshot_request_refused() {
    let system = USUAL.system(Options::new);
    // For good.
    let (mut script, _) = partial_first(&system);
    let update = script.request("UPDATE");
    script.respond(
        &update,
        "405 Method Not Allowed",
        "Allow: INVITE, ACK, BYE, CANCEL\r\n",
        None,
    );
    assert_eq!(
        script.request_within("UPDATE", Duration::from_secs(4)),
        None
    );
    script.hang_up();
    system.published(&script.call_id);
    // For now.
    for status in [
        "491 Request Pending",
        "500 Server Internal Error\r\nRetry-After: 1",
    ] {
        let (mut script, _) = partial_first(&system);
        let update = script.request("UPDATE");
        script.respond(&update, status, "", None);
        let again = script
            .request_within("UPDATE", Duration::from_secs(5))
            .expect(status);
        assert!(cseq(&again) > cseq(&update), "{status}");
        script.respond(&again, "200 OK", &contact(&script), None);
        script.hang_up();
    }
    // The dialog is gone.
    let (mut script, _) = partial_first(&system);
    let update = script.request("UPDATE");
    script.respond(&update, "481 Call/Transaction Does Not Exist", "", None);
    let bye = script.request_within("BYE", Duration::from_secs(5));
    if let Some(bye) = bye {
        script.respond(&bye, "481 Call/Transaction Does Not Exist", "", None);
    }
    let published = system.published(&script.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::SipTimeout);
}

#[test]
fn tc_47_snapshot_request_without_any_answer() {
    let fast = "t1 = \"100 ms\"\nt2 = \"1 s\"\nt4 = \"1 s\"";
    let system = System::start(&Options::new().set("sip", fast));
    let (mut script, _) = partial_first(&system);
    script.request("UPDATE");
    // 64 times T1 later.
    let bye = script.request("BYE");
    script.respond(&bye, "200 OK", "", None);
    let published = system.published(&script.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::SipTimeout);
}

#[test]
fn tc_48_no_update_in_allow() {
    let system = USUAL.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    let partial = document(
        "partial",
        &format!("<session session_id=\"{}\"/>", session_id(&offer)),
    );
    let body = multipart(&offer.sdp(), partial.as_bytes());
    let ask = Ask::invite().header("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS");
    script.open(&ask.body(&body));
    let asked = script.hear(Duration::from_secs(3), |message| {
        matches!(message.start, StartLine::Request { .. })
    });
    assert_eq!(asked, None);
    script.hang_up();
    system.published(&script.call_id);
}

// Helpers.

fn cseq(message: &Message) -> u32 {
    message.cseq().map_or(0, |(number, _)| number)
}

fn contact(script: &Script) -> String {
    format!("Contact: {}\r\n", script.contact())
}

/// 200 with an answer to an INVITE of the server's.
fn accept(script: &mut Script, invite: &Message, answer: &Offer) {
    let headers = contact(script);
    script.respond(invite, "200 OK", &headers, Some(&answer.sdp_body()));
}
