//! INVITEs without an offer: ours is in the 200, the answer in the ACK (P-41).

use holdfast_control::{Life, StreamMode};
use holdfast_manifest::EndReason;

use crate::peer::{Ask, Src, line, metadata, sdp};
use crate::world::World;

fn answer() -> String {
    sdp(&[
        &line(41_000, "1", "sendonly"),
        &line(41_002, "2", "sendonly"),
    ])
}

#[test]
fn our_offer_is_received_before_its_answer_and_the_answer_completes_it() {
    let mut world = World::new();
    let mut src = Src::new("late-offer");
    let ok = world.answer(&mut src, &Ask::new("INVITE").metadata(&metadata()));
    assert_eq!(ok.status(), 200);
    assert_eq!(ok.header("Content-Type").unwrap(), "application/sdp");
    assert_eq!(ok.directions(), ["recvonly", "recvonly"]);
    let before = world.held().last().clone();
    assert_eq!(before.streams.len(), 2);
    assert!(
        before
            .streams
            .iter()
            .all(|s| s.mode == StreamMode::Record && s.peer_rtp.is_none())
    );
    src.to_tag = ok.to_tag();
    world.receive(&src.write(&Ask::new("ACK").sole_body("application/sdp", &answer()), 1));
    let after = world.held().last().clone();
    let identity = |s: &holdfast_control::Stream| (s.id, s.number, s.rtp_port);
    assert!(
        after
            .streams
            .iter()
            .map(identity)
            .eq(before.streams.iter().map(identity))
    );
    assert_eq!(
        after.streams[0].peer_rtp,
        Some("192.0.2.10:41000".parse().unwrap())
    );
    assert_eq!(after.streams[1].label.as_deref(), Some("2"));
    let call = world.held().call();
    assert_eq!(
        call.channels[1].participant,
        Some(call.participants[1].id.clone())
    );
    assert_eq!(world.answer(&mut src, &Ask::new("BYE")).status(), 200);
}

#[test]
fn an_ack_without_an_answer_ends_the_call() {
    let mut world = World::new();
    let mut src = Src::new("no-answer");
    let ok = world.answer(&mut src, &Ask::new("INVITE").metadata(&metadata()));
    src.to_tag = ok.to_tag();
    world.ack(&src);
    assert!(world.starts().iter().any(|start| start.starts_with("BYE ")));
    let life = world.published().last().life;
    assert!(
        matches!(
            life,
            Life::Ended {
                reason: EndReason::Failure,
                ..
            }
        ),
        "{life:?}"
    );
}

#[test]
fn an_offerless_reinvite_gets_an_offer_of_the_same_streams() {
    let mut world = World::new();
    let mut src = world.call("again");
    let before = world.held().last().clone();
    let ok = world.answer(&mut src, &Ask::new("INVITE"));
    assert_eq!(ok.status(), 200);
    assert_eq!(
        ok.ports(),
        [before.streams[0].rtp_port, before.streams[1].rtp_port]
    );
    let offer = Ask::new("UPDATE").sdp(&answer());
    assert_eq!(
        world.answer(&mut src, &offer).status(),
        491,
        "our offer waits for its answer"
    );
    src.cseq -= 1;
    let moved = Ask::new("ACK").sole_body("application/sdp", &answer());
    world.receive(&src.write(&moved, src.cseq));
    let after = world.held().last().clone();
    assert_eq!(after.streams[0].rtp_port, before.streams[0].rtp_port);
    assert_eq!(
        after.streams[0].peer_rtp,
        Some("192.0.2.10:41000".parse().unwrap())
    );
}
