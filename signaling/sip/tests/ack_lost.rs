//! The ACK of a 2xx never comes (RFC 3261 §13.3.1.4), or late.

mod common;

use common::{Ask, World};
use holdfast_sip::endpoint::{Draft, GoneCause};
use holdfast_sip::{Event, Method, Transport};

/// On every transport: copies at T1, doubling to T2, until 64*T1; then the layer above is told.
#[test]
fn copies_of_the_200_leave_for_32_seconds_on_udp_and_on_tcp() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let mut world = World::new(transport);
        world.receive(&Ask::new("INVITE").text());
        let tx = world.one_tx();
        let dialog = world.accept(tx);
        world.pass_ms(31_999);
        let at: Vec<_> = world.take_sent().iter().map(|sent| sent.at_ms).collect();
        let expected = [
            0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
        ];
        assert_eq!(at, expected, "{transport}");
        assert!(world.events.is_empty());
        world.pass_ms(1);
        assert!(matches!(
            world.take_events()[..],
            [Event::AckTimeout { dialog: gone, cseq: 1 }] if gone == dialog
        ));
        world.pass_ms(60_000);
        assert!(world.take_sent().is_empty());
    }
}

#[test]
fn a_bye_of_ours_waits_for_the_ack() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.receive(&invite.text());
    let tx = world.one_tx();
    let dialog = world.accept(tx);
    let ok = world.one_sent();
    world
        .endpoint
        .request(world.now, dialog, Draft::new(Method::Bye), &mut world.rng)
        .unwrap();
    world.collect();
    assert!(
        world.take_sent().is_empty(),
        "RFC 3261 §15: no BYE before the ACK"
    );
    world.pass_ms(400);
    world.receive(&invite.then("ACK", 1).tagged(&ok.to_tag()).text());
    assert_eq!(world.event_names(), ["Ack"]);
    let bye = world.one_sent();
    assert!(bye.start().starts_with("BYE sip:src@192.0.2.10:5060 "));
    assert_eq!(bye.at_ms, 400);
}

#[test]
fn a_bye_of_ours_leaves_when_the_ack_is_given_up() {
    let mut world = World::new(Transport::Tcp);
    world.receive(&Ask::new("INVITE").text());
    let tx = world.one_tx();
    let dialog = world.accept(tx);
    world
        .endpoint
        .request(world.now, dialog, Draft::new(Method::Bye), &mut world.rng)
        .unwrap();
    world.pass_ms(32_000);
    let last = world.take_sent().pop().unwrap();
    assert!(last.start().starts_with("BYE "));
    assert_eq!(last.at_ms, 32_000);
    assert_eq!(world.event_names(), ["AckTimeout"]);
}

#[test]
fn a_bye_of_the_peer_stops_the_copies() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.receive(&invite.text());
    let tx = world.one_tx();
    world.accept(tx);
    let ok = world.one_sent();
    world.receive(&invite.then("BYE", 2).tagged(&ok.to_tag()).text());
    let tx = world.one_tx();
    // The layer above takes its time.
    world.pass_ms(3_000);
    assert!(world.take_sent().is_empty());
    world.respond(tx, holdfast_sip::Status::OK);
    assert_eq!(world.starts(), ["SIP/2.0 200 OK"]);
    assert!(matches!(
        world.take_events()[..],
        [Event::DialogGone {
            cause: GoneCause::ByeReceived,
            ..
        }]
    ));
    world.pass_ms(60_000);
    assert!(world.take_sent().is_empty());
    assert_eq!(
        (
            world.endpoint.dialog_count(),
            world.endpoint.transaction_count()
        ),
        (0, 0)
    );
    assert_eq!(world.endpoint.poll_timeout(), None);
}

#[test]
fn copies_of_the_ack_are_reported_once() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (_, ok) = world.call(&invite);
    for branch in ["z9hG4bK-INVITE-1", "z9hG4bK-other"] {
        world.receive(
            &invite
                .then("ACK", 1)
                .branch(branch)
                .tagged(&ok.to_tag())
                .text(),
        );
    }
    assert!(world.take_events().is_empty());
}

/// Peers are met that give the ACK of a 2xx the branch of its INVITE.
#[test]
fn an_ack_with_the_branch_of_the_invite_counts() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.receive(&invite.text());
    let tx = world.one_tx();
    world.accept(tx);
    let ok = world.one_sent();
    let ack = invite
        .then("ACK", 1)
        .branch(&invite.branch)
        .tagged(&ok.to_tag());
    world.receive(&ack.text());
    assert_eq!(world.event_names(), ["Ack"]);
    world.pass_ms(60_000);
    assert!(world.take_sent().is_empty());
}
