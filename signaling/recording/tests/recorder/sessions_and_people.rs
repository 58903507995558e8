//! What happens to a recorded call: hold, transfer, people who come and go, several communication
//! sessions in one recording session; and metadata that says other than the session description.

use std::time::Duration;

use holdfast_control::StreamMode;
use holdfast_manifest::{Call, Presence};

use crate::peer::{Ask, Src, line, metadata, offer, recording, sdp};
use crate::world::World;

const ALICE: &str = "cGFydGljaXBhbnQtQUFBQQ==";
const BOB: &str = "cGFydGljaXBhbnQtQkJCQg==";
const CAROL: &str = "cGFydGljaXBhbnQtQ0NDQw==";
const SESSION: &str = "c2Vzc2lvbi0xMjM0NTY3OA==";
const ONE: &str = "c3RyZWFtLTExMTExMTExMQ==";

fn update(world: &mut World, src: &mut Src, elements: &str) -> Call {
    let document = recording(elements, "partial");
    let request = Ask::new("UPDATE").sole_body("application/rs-metadata+xml", &document);
    assert_eq!(world.answer(src, &request).status(), 200);
    world.held().call()
}

fn person(id: &str, name: &str) -> String {
    format!(
        "<participant participant_id=\"{id}\"><nameID aor=\"sip:{name}@example.com\">\
         <name>{name}</name></nameID></participant>"
    )
}

fn sends(id: &str, streams: &[&str]) -> String {
    let send = |stream: &&str| format!("<send>{stream}</send>");
    let streams: String = streams.iter().map(send).collect();
    format!("<participantstreamassoc participant_id=\"{id}\">{streams}</participantstreamassoc>")
}

fn membership(id: &str, time: &str, at: &str) -> String {
    format!(
        "<participantsessionassoc participant_id=\"{id}\" session_id=\"{SESSION}\">\
         <{time}>{at}</{time}></participantsessionassoc>"
    )
}

fn intervals<'c>(call: &'c Call, id: &str, of: impl Fn(&Presence) -> bool) -> Vec<&'c Presence> {
    let one = call.participants.iter().find(|one| one.id == id);
    let intervals = one.expect("the participant").intervals.iter();
    intervals.filter(|one| of(one)).collect()
}

fn codes(call: &Call) -> Vec<&str> {
    call.warnings.iter().map(|one| one.code.as_str()).collect()
}

/// TC-40, P-36: a hold in the call is told by the metadata; the recording goes on.
#[test]
fn a_hold_in_the_call_pauses_nothing_here() {
    let mut world = World::new();
    let mut src = world.call("hold");
    world.pass(Duration::from_secs(1));
    let call = update(&mut world, &mut src, &sends(ALICE, &[]));
    let sent = intervals(&call, ALICE, |one| one.label.is_some());
    assert!(sent.len() == 1 && sent[0].interval.to.is_some(), "{sent:?}");
    world.pass(Duration::from_secs(1));
    let call = update(&mut world, &mut src, &sends(ALICE, &[ONE]));
    assert_eq!(intervals(&call, ALICE, |one| one.label.is_some()).len(), 2);
    let held = world.held();
    assert!(
        held.last()
            .streams
            .iter()
            .all(|one| one.mode == StreamMode::Record)
    );
    let channels: Vec<u16> = held.last().streams.iter().map(|one| one.channel).collect();
    assert_eq!(channels, [0, 1]);
}

/// TC-41, M-48: on one label Alice speaks, then Carol; the channel is the stream's.
#[test]
fn a_transfer_replaces_who_speaks_and_moves_no_stream() {
    let mut world = World::new();
    let mut src = world.call("transfer");
    let before = world.held().last().streams.clone();
    world.pass(Duration::from_secs(5));
    let elements = person(CAROL, "Carol")
        + &membership(ALICE, "disassociate-time", "2026-01-01T10:00:05Z")
        + &membership(CAROL, "associate-time", "2026-01-01T10:00:05Z")
        + &sends(ALICE, &[])
        + &sends(CAROL, &[ONE]);
    let call = update(&mut world, &mut src, &elements);
    let left = intervals(&call, ALICE, |one| one.session.is_some());
    let at = |text: &str| format!("2026-01-01T10:00:{text}.000000000Z");
    assert_eq!(left[0].interval.from.unwrap().to_string(), at("00"));
    assert_eq!(left[0].interval.to.unwrap().to_string(), at("05"));
    let speaking = |id| intervals(&call, id, |one| one.label.as_deref() == Some("1"));
    assert!(speaking(ALICE)[0].interval.to.is_some());
    assert_eq!(speaking(CAROL)[0].interval.to, None);
    // The re-INVITE that often comes with it changes no port and no channel.
    let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer("sendonly")));
    world.ack(&src);
    assert_eq!(ok.ports(), [before[0].rtp_port, before[1].rtp_port]);
    assert_eq!(world.held().last().streams, before);
}

/// TC-42, M-46; and the channel of somebody new is a new one at the end.
#[test]
fn who_leaves_and_comes_back_has_two_intervals_and_who_is_new_a_channel() {
    let mut world = World::new();
    let mut src = world.call("rejoin");
    update(
        &mut world,
        &mut src,
        &membership(ALICE, "disassociate-time", "2026-01-01T10:01:00Z"),
    );
    let call = update(
        &mut world,
        &mut src,
        &membership(ALICE, "associate-time", "2026-01-01T10:02:00Z"),
    );
    let joined = intervals(&call, ALICE, |one| one.session.is_some());
    assert_eq!(joined.len(), 2);
    assert_eq!(
        (joined[0].interval.to.is_some(), joined[1].interval.to),
        (true, None)
    );

    let three = sdp(&[
        &line(40_000, "1", "sendonly"),
        &line(40_002, "2", "sendonly"),
        &line(40_004, "3", "sendonly"),
    ]);
    let third = "c3RyZWFtLTMzMzMzMzMzMw==";
    let elements = person(CAROL, "Carol")
        + &format!(
            "<stream stream_id=\"{third}\" session_id=\"{SESSION}\"><label>3</label></stream>"
        )
        + &sends(CAROL, &[third]);
    let request = Ask::new("INVITE")
        .sdp(&three)
        .metadata(&recording(&elements, "partial"));
    assert_eq!(world.answer(&mut src, &request).status(), 200);
    world.ack(&src);
    let held = world.held();
    let channels: Vec<u16> = held.last().streams.iter().map(|one| one.channel).collect();
    assert_eq!(channels, [0, 1, 2]);
    assert_eq!(held.call().channels[2].participant.as_deref(), Some(CAROL));
    // A complete document in another order of people moves no channel.
    let reordered = metadata()
        .replace(ALICE, "X")
        .replace(BOB, ALICE)
        .replace('X', BOB);
    let request = Ask::new("INVITE").sdp(&three).metadata(&reordered);
    assert_eq!(world.answer(&mut src, &request).status(), 200);
    world.ack(&src);
    let channels: Vec<u16> = world
        .held()
        .last()
        .streams
        .iter()
        .map(|one| one.channel)
        .collect();
    assert_eq!(channels, [0, 1, 2]);
}

/// TC-11, P-14 to P-16: the recording session is there before the first call, and outlives it.
#[test]
fn calls_come_and_go_in_one_recording_session() {
    let mut world = World::new();
    let empty = recording("", "complete");
    let ask = Ask::new("INVITE").sdp(&offer("sendonly")).metadata(&empty);
    let mut src = world.call_with("persistent", &ask);
    world.pass(Duration::from_secs(3_600));
    assert_eq!(world.calls(), 1, "silence ends nothing");
    let session =
        |id: &str, inside: &str| format!("<session session_id=\"{id}\">{inside}</session>");
    let start = |at: &str| format!("<start-time>2026-01-01T{at}Z</start-time>");
    let stop = |at: &str| format!("<stop-time>2026-01-01T{at}Z</stop-time>");
    update(&mut world, &mut src, &session("czE=", &start("10:00:00")));
    update(&mut world, &mut src, &session("czE=", &stop("10:05:00")));
    world.pass(Duration::from_secs(600));
    assert_eq!(
        world.calls(),
        1,
        "the end of a call is not that of the recording session"
    );
    update(
        &mut world,
        &mut src,
        &(session("czI=", &start("10:10:00")) + &session("czM=", "")),
    );
    assert_eq!(world.answer(&mut src, &Ask::new("BYE")).status(), 200);
    let call = world.published().call();
    let ids: Vec<_> = call.sessions.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["czE=", "czI=", "czM="]);
    let first = call.sessions[0].time;
    assert!(first.from.is_some() && first.to.is_some());
    assert!(call.sessions[1].time.to.is_none());
}

/// TC-51, M-23: two clients may record one call.
#[test]
fn two_recording_sessions_of_one_call_are_two_recordings_with_one_session_id() {
    let mut world = World::new();
    world.call("first");
    world.call("second");
    let sessions: Vec<String> = world
        .engine
        .held
        .values()
        .map(|held| held.call().sessions[0].id.clone())
        .collect();
    assert_eq!(sessions, [SESSION, SESSION]);
}

#[test]
fn labels_that_contradict_the_session_description_are_told() {
    let twice = metadata().replace("<label>2</label>", "<label>1</label>");
    let elsewhere = metadata().replace("<label>2</label>", "<label>9</label>");
    for (document, expected) in [
        (metadata(), &[][..]),
        (twice, &["metadata_label_twice", "label_not_in_metadata"]),
        (
            elsewhere,
            &["metadata_label_not_in_sdp", "label_not_in_metadata"],
        ),
    ] {
        let mut world = World::new();
        let ask = Ask::new("INVITE")
            .sdp(&offer("sendonly"))
            .metadata(&document);
        world.call_with("labels", &ask);
        let call = world.held().call();
        assert_eq!(codes(&call), expected);
        assert_eq!(
            world.held().last().streams.len(),
            2,
            "nothing is lost by it"
        );
    }
}

/// M-25: the label of a line that was refused is no contradiction.
#[test]
fn the_metadata_of_a_refused_line_is_kept_without_a_word() {
    let mut world = World::new();
    let video = "m=video 40002 RTP/AVP 97\na=rtpmap:97 H264/90000\na=label:2\na=sendonly\n";
    let both = sdp(&[&line(40_000, "1", "sendonly"), video]);
    world.call_with(
        "refused",
        &Ask::new("INVITE").sdp(&both).metadata(&metadata()),
    );
    let call = world.held().call();
    assert_eq!(
        (codes(&call).len(), call.participants.len()),
        (0, 2),
        "{:?}",
        codes(&call)
    );
}

/// M-15: Avaya's SBC sends the people in an UPDATE of their own.
#[test]
fn labels_without_a_session_description_mean_those_of_the_last_one() {
    let mut world = World::new();
    let mut src = world.call_with("bare", &Ask::new("INVITE").sdp(&offer("sendonly")));
    let request = Ask::new("UPDATE").sole_body("application/rs-metadata", &metadata());
    assert_eq!(world.answer(&mut src, &request).status(), 200);
    let call = world.held().call();
    assert_eq!(codes(&call), ["no_metadata", "labels_without_sdp"]);
    let owners: Vec<_> = call
        .channels
        .iter()
        .map(|one| one.participant.as_deref())
        .collect();
    assert_eq!(owners.len(), 2);
}
