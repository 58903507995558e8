//! The recovery machine: the process dies in the middle of calls, and another one goes on with them.

use std::time::Duration;

use serde_json::Value;

use crate::peer::{Ask, invite, metadata, offer, reply};
use crate::world::{World, stored};

const GAP: Duration = Duration::from_secs(3);

#[test]
fn requests_of_the_call_are_answered_as_if_nothing_had_been() {
    let mut world = World::keeping();
    let mut src = world.call("goes-on");
    let before = world.held().last().clone();
    world.restart(GAP);
    assert_eq!(world.calls(), 1);
    let after = world.held().last().clone();
    assert_eq!(after.streams, before.streams, "the engine is told the same");
    assert!(after.revision > before.revision);

    let ok = world.answer(&mut src, &Ask::new("UPDATE").metadata(&metadata()));
    assert_eq!(ok.status(), 200);
    let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer("inactive")));
    assert_eq!(
        (ok.status(), ok.directions()),
        (200, vec!["inactive".to_owned(); 2])
    );
    assert_eq!(
        ok.ports(),
        [before.streams[0].rtp_port, before.streams[1].rtp_port]
    );
    world.ack(&src);
    let ok = world.answer(&mut src, &Ask::new("BYE"));
    assert_eq!(ok.status(), 200);
    let published = world.published();
    let carried: Vec<_> = published
        .call()
        .metadata
        .iter()
        .map(|one| one.carried_by.clone())
        .collect();
    assert_eq!(carried, ["INVITE", "UPDATE"]);
    assert!(world.store.states.is_empty(), "nothing is left of it");
}

#[test]
fn the_session_description_keeps_its_identity_and_its_version_rises() {
    let mut world = World::keeping();
    let mut src = world.call("version");
    let first = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer("inactive")));
    world.ack(&src);
    world.restart(GAP);
    let second = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer("sendonly")));
    let origin = |line: &str| {
        let fields: Vec<u64> = line
            .split(' ')
            .filter_map(|field| field.parse().ok())
            .collect();
        (fields[0], fields[1])
    };
    let (id, version) = origin(&first.lines("o=")[0]);
    assert_eq!(origin(&second.lines("o=")[0]), (id, version + 1));
}

/// RFC 3261 §17.2: the copy of a request gets the same answer, whoever gave it first.
#[test]
fn copies_of_requests_from_before_the_gap_are_recognised() {
    let mut world = World::keeping();
    let mut src = world.call("copies");
    let update = Ask::new("UPDATE").metadata(&metadata());
    let ok = world.answer(&mut src, &update);
    world.restart(GAP);
    world.receive(&src.write(&update, src.cseq));
    let again = world.take_sent();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].text, ok.text);
    assert_eq!(
        world.held().call().metadata.len(),
        2,
        "it was not taken twice"
    );
    // Long after, nobody repeats anything.
    world.pass_secs(40);
    world.restart(GAP);
    world.receive(&src.write(&update, src.cseq));
    assert_eq!(
        world.held().call().metadata.len(),
        3,
        "forgotten, so it is a new one"
    );
}

/// The 200 was saved and has not arrived, or its ACK has not.
#[test]
fn a_200_without_its_ack_is_sent_again() {
    let mut world = World::keeping();
    let mut src = crate::peer::Src::new("no-ack-yet");
    let ok = world.answer(&mut src, &invite());
    src.to_tag = ok.to_tag();
    world.restart(GAP);
    // Its copy of the INVITE makes no second call.
    let mut first = src.clone();
    first.to_tag.clear();
    world.receive(&first.write(&invite(), 1));
    world.pass_secs(1);
    let sent = world.take_sent();
    assert!(!sent.is_empty() && sent.iter().all(|one| one.text == ok.text));
    assert_eq!(world.calls(), 1);
    world.ack(&src);
    world.pass_secs(70);
    assert_eq!(world.calls(), 1, "acknowledged");
}

#[test]
fn a_200_whose_ack_came_is_not_sent_again() {
    let mut world = World::keeping();
    world.call("acked");
    world.restart(GAP);
    world.pass_secs(70);
    let starts = world.starts();
    assert!(
        starts.iter().all(|start| !start.starts_with("SIP/2.0 200")),
        "{starts:?}"
    );
    assert_eq!(world.calls(), 1);
}

/// RFC 3261 §12.2.2, RFC 7866 §9.2: our numbers keep rising, and the metadata is asked for
/// once the peer is heard again.
#[test]
fn own_requests_have_higher_numbers_and_ask_for_the_metadata() {
    let mut world = World::keeping();
    let mut src = world.call_with("cseq", &invite().header("Allow: INVITE, UPDATE, BYE"));
    world.restart(GAP);
    assert_eq!(
        world.starts(),
        [""; 0],
        "nothing is asked of a peer that is silent"
    );
    world.answer_among(&mut src, &Ask::new("UPDATE"));
    let asked = world.take_requests();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0].text.contains("requestsnapshot"),
        "{}",
        asked[0].text
    );
    let number = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with("CSeq: "))
            .unwrap();
        line.split(' ').nth(1).unwrap().parse::<u32>().unwrap()
    };
    let first = number(&asked[0].text);
    assert!(first > 1_000, "{first}");
    world.receive(reply(&asked[0].text, 200, "").as_bytes());
    world.restart(GAP);
    world.answer_among(&mut src, &Ask::new("UPDATE"));
    let asked = world.take_requests();
    assert!(number(&asked[0].text) > first);
}

#[test]
fn session_timers_go_on_by_the_wall_clock() {
    let mut world = World::keeping();
    let timer = "Session-Expires: 1800;refresher=uac";
    world.call_with("timer", &invite().header(timer).header("Supported: timer"));
    world.pass_secs(1_000);
    world.restart(Duration::from_secs(100));
    // 1,800 s less the 32 s of RFC 4028 §10, of which 1,100 have passed.
    world.pass_secs(660);
    assert_eq!(world.calls(), 1);
    world.pass_secs(10);
    assert_eq!(world.calls(), 0);
    assert!(world.starts().iter().any(|start| start.starts_with("BYE")));
}

#[test]
fn a_session_that_expired_meanwhile_gets_the_time_of_a_repeated_refresh() {
    let mut world = World::keeping();
    let timer = "Session-Expires: 90;refresher=uac";
    let mut src = world.call_with("late", &invite().header(timer).header("Supported: timer"));
    world.restart(Duration::from_secs(600));
    world.pass_secs(20);
    let refresh = Ask::new("UPDATE").header(timer).header("Supported: timer");
    assert_eq!(world.answer_among(&mut src, &refresh).status(), 200);
    world.pass_secs(50);
    assert_eq!(world.calls(), 1);
    world.restart(Duration::from_secs(600));
    world.pass_secs(33);
    assert_eq!(world.calls(), 0, "nobody refreshed it");
}

/// What was promised by a 200 and not told to the engine is told to it after all.
#[test]
fn documents_that_the_engine_never_got_are_sent_to_it() {
    let mut world = World::keeping();
    let mut src = world.call("documents");
    world.disconnect();
    world.answer(&mut src, &Ask::new("UPDATE").metadata(&metadata()));
    assert!(!world.held().documents.contains_key("0002.xml"));
    world.restart(GAP);
    assert!(world.held().documents.contains_key("0002.xml"));
}

#[test]
fn a_call_that_ended_while_the_engine_was_away_is_ended_by_the_next_process() {
    let mut world = World::keeping();
    let mut src = world.call("ended");
    world.disconnect();
    world.answer(&mut src, &Ask::new("BYE"));
    world.restart(GAP);
    let published = world.published();
    let holdfast_control::Life::Ended { reason, .. } = published.last().life else {
        panic!("{:?}", published.last());
    };
    assert_eq!(reason, holdfast_manifest::EndReason::Bye);
    assert!(world.store.states.is_empty());
}

#[test]
fn a_bye_of_ours_without_an_answer_is_sent_by_the_next_process() {
    let mut world = World::keeping();
    world.engine.manner.is_slow = true;
    world.call_with(
        "hang-up",
        &invite()
            .header("Session-Expires: 90;refresher=uac")
            .header("Supported: timer"),
    );
    world.pass_secs(61);
    assert!(world.starts().iter().any(|start| start.starts_with("BYE")));
    world.restart(GAP);
    assert!(world.starts().iter().any(|start| start.starts_with("BYE")));
}

#[test]
fn many_restarts_in_a_row_change_nothing() {
    let mut world = World::keeping();
    let mut src = world.call("again-and-again");
    let streams = world.held().last().streams.clone();
    for _ in 0..20 {
        world.restart(Duration::from_millis(300));
        assert_eq!(world.held().last().streams, streams);
        let ok = world.answer_among(&mut src, &Ask::new("UPDATE"));
        assert_eq!(ok.status(), 200);
    }
    assert_eq!(world.answer_among(&mut src, &Ask::new("BYE")).status(), 200);
    world.published();
}

/// Round trip of the saved form: what is taken up and saved again is the same, but for the moment,
/// and what has to rise.
#[test]
fn what_is_restored_and_saved_again_is_the_same_for_every_sample() {
    let mut compared = 0;
    for bytes in crate::samples::all() {
        let mut world = World::keeping();
        world.receive(&bytes);
        if world.store.states.is_empty() {
            continue;
        }
        let saved = plain(world.store.state());
        world.restart(Duration::ZERO);
        let again = plain(world.store.state());
        assert_eq!(again, saved);
        compared += 1;
    }
    assert!(
        compared == 0 || compared > 10,
        "{compared} samples were compared"
    );
    let mut world = World::keeping();
    let mut src = world.call_with(
        "own",
        &invite()
            .header("Session-Expires: 1800")
            .header("Supported: timer"),
    );
    world.answer(
        &mut src,
        &Ask::new("INVITE")
            .sdp(&offer("inactive"))
            .metadata(&metadata()),
    );
    world.ack(&src);
    let saved = plain(world.store.state());
    world.restart(Duration::ZERO);
    assert_eq!(plain(world.store.state()), saved);
}

/// Without what differs by intention.
fn plain(mut state: Value) -> Value {
    for name in ["at", "revision", "expires_at", "refresh_at", "ends_at"] {
        state[name] = Value::Null;
    }
    state["dialog"]["dialog"]["local_cseq"] = Value::Null;
    if let Some(answers) = state["dialog"]["answers"].as_array_mut() {
        for answer in answers {
            answer["remaining_ms"] = Value::Null;
        }
    }
    state
}

#[test]
fn what_is_newer_or_damaged_is_refused_and_nothing_changes() {
    let mut world = World::keeping();
    world.call("versions");
    let mut state = world.store.state();
    state["version"] = 99.into();
    let wall = world.wall();
    let newer = serde_json::to_vec(&state).unwrap();
    let error = world
        .recorder
        .restore(world.now, wall, stored(&newer))
        .unwrap_err();
    assert!(error.to_string().contains("99"), "{error}");
    for bytes in [&b"{}"[..], b"", b"{\"version\":1}"] {
        assert!(
            world
                .recorder
                .restore(world.now, wall, stored(bytes))
                .is_err()
        );
    }
    assert_eq!(world.calls(), 1);
}
