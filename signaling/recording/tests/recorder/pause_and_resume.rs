//! inactive and back (P-22, P-34, P-35), and what is refused changes nothing (P-38).

use holdfast_control::{RefusalReason, StreamMode};

use crate::peer::{Ask, metadata, offer, sdp};
use crate::world::World;

#[test]
fn inactive_pauses_and_sendonly_goes_on_with_the_same_ports() {
    let mut world = World::new();
    let mut src = world.call("pause");
    let before = world.held().last().clone();
    for (direction, answer, mode) in [
        ("inactive", "inactive", StreamMode::Pause),
        ("sendonly", "recvonly", StreamMode::Record),
        ("inactive", "inactive", StreamMode::Pause),
        ("sendonly", "recvonly", StreamMode::Record),
    ] {
        let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer(direction)));
        assert_eq!(ok.status(), 200);
        assert_eq!(ok.directions(), [answer, answer]);
        assert!(ok.header("Contact").unwrap().ends_with(";+sip.srs"));
        world.ack(&src);
        let now = world.held().last().clone();
        assert!(now.streams.iter().all(|stream| stream.mode == mode));
        let identity = |s: &holdfast_control::Stream| (s.id, s.number, s.rtp_port, s.channel);
        assert!(
            now.streams
                .iter()
                .map(identity)
                .eq(before.streams.iter().map(identity))
        );
    }
}

#[test]
fn the_answer_waits_until_the_engine_has_paused() {
    let mut world = World::new();
    let mut src = world.call("wait");
    world.engine.manner.is_silent = true;
    assert!(
        world
            .ask(&mut src, &Ask::new("UPDATE").sdp(&offer("inactive")))
            .is_empty()
    );
    world.engine_speaks();
    assert_eq!(world.take_sent()[0].directions(), ["inactive", "inactive"]);
}

#[test]
fn inactive_in_the_first_offer_does_not_stick() {
    let mut world = World::new();
    let ask = Ask::new("INVITE")
        .sdp(&offer("inactive"))
        .metadata(&metadata());
    let mut src = world.call_with("first", &ask);
    assert!(
        world
            .held()
            .last()
            .streams
            .iter()
            .all(|s| s.mode == StreamMode::Pause)
    );
    let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer("sendonly")));
    assert_eq!(ok.directions(), ["recvonly", "recvonly"]);
}

#[test]
fn a_refused_change_leaves_streams_and_metadata_as_they_were() {
    let mut world = World::new();
    let mut src = world.call("refused");
    let before = world.held();
    let video = "m=video 40000 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let other = metadata().replace("Alice", "Mallory");
    let ask = Ask::new("INVITE")
        .sdp(&sdp(&[video, video]))
        .metadata(&other);
    assert_eq!(world.answer(&mut src, &ask).status(), 488);
    world.ack(&src);
    let after = world.held();
    assert_eq!(after.last().streams, before.last().streams);
    assert_eq!(after.call().participants[0].names, ["Alice"]);
    assert_eq!(world.answer(&mut src, &Ask::new("BYE")).status(), 200);
}

#[test]
fn a_change_that_the_engine_refuses_gets_503_and_is_undone() {
    let mut world = World::new();
    let mut src = world.call("journal");
    world.engine.manner.refuses_all = Some(RefusalReason::Journal);
    let other = metadata().replace("Alice", "Mallory");
    let ask = Ask::new("INVITE").sdp(&offer("inactive")).metadata(&other);
    assert_eq!(world.answer(&mut src, &ask).status(), 503);
    world.ack(&src);
    world.engine.manner.refuses_all = None;
    let heard = world.revisions_heard();
    world.pass_secs(1);
    assert_eq!(
        world.revisions_heard(),
        heard + 1,
        "the state in force is said again, once"
    );
    assert!(
        world
            .held()
            .last()
            .streams
            .iter()
            .all(|s| s.mode == StreamMode::Record)
    );
    assert_eq!(world.held().call().participants[0].names, ["Alice"]);
    let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer("inactive")));
    assert_eq!(ok.status(), 200);
}

#[test]
fn an_engine_that_is_silent_about_a_change_costs_the_change_and_not_the_call() {
    let mut world = World::new();
    let mut src = world.call("silent");
    world.engine.manner.is_silent = true;
    world.ask(&mut src, &Ask::new("INVITE").sdp(&offer("inactive")));
    world.pass_secs(3);
    assert!(
        world
            .starts()
            .contains(&"SIP/2.0 503 Service Unavailable".to_owned())
    );
    world.ack(&src);
    // The late confirmation is of a state that is not wanted any more.
    world.engine_speaks();
    assert!(
        world
            .held()
            .last()
            .streams
            .iter()
            .all(|s| s.mode == StreamMode::Record)
    );
    assert_eq!(world.calls(), 1);
}

#[test]
fn requests_that_overtake_a_waiting_one_are_taken_in_their_order() {
    let mut world = World::new();
    let mut src = world.call("order");
    world.engine.manner.is_silent = true;
    let first = metadata().replace("Alice", "Anna");
    world.ask(
        &mut src,
        &Ask::new("INVITE").sdp(&offer("inactive")).metadata(&first),
    );
    let second = metadata().replace("Alice", "Agnes");
    let update = Ask::new("UPDATE").metadata(&second);
    assert!(world.ask(&mut src, &update).is_empty(), "it waits");
    world.engine_speaks();
    let starts = world.starts();
    assert_eq!(starts, ["SIP/2.0 200 OK", "SIP/2.0 200 OK"]);
    let call = world.held().call();
    assert_eq!(call.participants[0].names, ["Agnes"]);
    let carried: Vec<_> = call
        .metadata
        .iter()
        .map(|m| m.carried_by.as_str())
        .collect();
    assert_eq!(carried, ["INVITE", "INVITE", "UPDATE"]);
}
