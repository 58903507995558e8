//! Copies of an INVITE, before and after its answer (RFC 3261 §17.2.1, RFC 6026).

mod common;

use common::{Ask, World, udp};
use holdfast_sip::endpoint::{Event, Owner, RespondError};
use holdfast_sip::{Output, Reply, Status, Transport};

#[test]
fn trying_leaves_after_200_ms_without_a_tag_and_with_the_timestamp() {
    let mut world = World::new(Transport::Udp);
    world.receive(&Ask::new("INVITE").header("Timestamp: 54").text());
    world.pass_ms(199);
    assert!(world.take_sent().is_empty());
    world.pass_ms(1);
    let trying = world.one_sent();
    assert_eq!(trying.start(), "SIP/2.0 100 Trying");
    assert_eq!(trying.response().to().tag(), None);
    assert_eq!(trying.value("Timestamp"), Some("54"));
    world.pass_ms(10_000);
    assert!(world.take_sent().is_empty());
}

#[test]
fn no_trying_after_a_quick_answer() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.call(&invite);
    world.pass_ms(1_000);
    assert!(world.take_sent().is_empty());
}

#[test]
fn a_copy_before_the_answer_gets_the_last_provisional() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE").text();
    world.receive(&invite);
    let tx = world.one_tx();
    world.respond(tx, Status::new(183).unwrap());
    world.receive(&invite);
    assert_eq!(world.starts(), ["SIP/2.0 183 Session Progress"; 2]);
    assert!(world.take_events().is_empty());
}

#[test]
fn a_copy_after_the_200_is_absorbed_before_and_after_the_ack() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.receive(&invite.text());
    let tx = world.one_tx();
    world.accept(tx);
    let ok = world.one_sent();
    world.receive(&invite.text());
    assert!(world.take_sent().is_empty() && world.take_events().is_empty());
    world.receive(&invite.then("ACK", 1).tagged(&ok.to_tag()).text());
    assert_eq!(world.event_names(), ["Ack"]);
    world.receive(&invite.text());
    world.pass_ms(31_000);
    world.receive(&invite.text());
    assert!(world.take_sent().is_empty() && world.take_events().is_empty());
    assert_eq!(world.endpoint.dialog_count(), 1);
}

#[test]
fn a_failure_is_repeated_on_udp_until_timer_h() {
    let mut world = World::new(Transport::Udp);
    world.receive(&Ask::new("INVITE").text());
    let tx = world.one_tx();
    world.respond(tx, Status::NOT_ACCEPTABLE_HERE);
    world.pass_ms(60_000);
    let at: Vec<_> = world.take_sent().iter().map(|sent| sent.at_ms).collect();
    assert_eq!(
        at,
        [
            0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    assert_eq!(world.endpoint.transaction_count(), 0);
}

#[test]
fn a_failure_is_sent_once_on_tcp_and_stops_at_the_ack_on_udp() {
    let mut world = World::new(Transport::Tcp);
    world.receive(&Ask::new("INVITE").text());
    let tx = world.one_tx();
    world.respond(tx, Status::NOT_ACCEPTABLE_HERE);
    world.pass_ms(60_000);
    assert_eq!(world.take_sent().len(), 1);

    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.receive(&invite.text());
    let tx = world.one_tx();
    world.respond(tx, Status::NOT_ACCEPTABLE_HERE);
    let tag = world.one_sent().to_tag();
    world.receive(
        &invite
            .then("ACK", 1)
            .branch(&invite.branch)
            .tagged(&tag)
            .text(),
    );
    world.pass_ms(4_999);
    assert_eq!(world.endpoint.transaction_count(), 1, "timer I runs");
    world.pass_ms(1);
    assert_eq!(world.endpoint.transaction_count(), 0);
    assert!(world.take_sent().is_empty() && world.take_events().is_empty());
}

/// RFC 6026 §7.1: "ICMP unreachable, then a copy of the INVITE": no new call.
#[test]
fn a_transport_error_does_not_make_a_copy_a_new_call() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE").text();
    world.receive(&invite);
    let tx = world.one_tx();
    world.respond(tx, Status::FORBIDDEN);
    world
        .endpoint
        .handle_transport_error(world.now, Owner::Server(tx));
    world.take_sent();
    world.receive(&invite);
    assert_eq!(world.starts(), ["SIP/2.0 403 Forbidden"]);
    assert!(world.take_events().is_empty());
}

#[test]
fn the_same_request_by_another_way_is_merged() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.receive(&invite.text());
    let tx = world.one_tx();
    world.receive(&invite.clone().branch("z9hG4bK-fork").text());
    assert_eq!(world.starts(), ["SIP/2.0 482 Loop Detected"]);
    assert!(world.take_events().is_empty());
    world.accept(tx);
    assert_eq!(world.starts(), ["SIP/2.0 200 OK"]);
}

#[test]
fn another_from_tag_with_the_same_call_id_is_another_call() {
    let mut world = World::new(Transport::Udp);
    let mut invite = Ask::new("INVITE");
    world.call(&invite);
    invite.from = "<sip:src@example.com>;tag=src2".to_owned();
    invite.branch = "z9hG4bK-second".to_owned();
    world.call(&invite);
    assert_eq!(world.endpoint.dialog_count(), 2);
}

#[test]
fn the_same_branch_of_another_sender_is_another_transaction() {
    let mut world = World::new(Transport::Udp);
    let mut invite = Ask::new("INVITE");
    world.receive(&invite.text());
    world.one_tx();
    invite.via = "SIP/2.0/UDP 192.0.2.11:5060".to_owned();
    invite.call_id = "other".to_owned();
    world.receive(&invite.text());
    world.one_tx();
}

/// SIPp scenarios are met that use one branch for a whole call.
#[test]
fn a_reinvite_with_the_branch_of_the_invite_is_a_request_of_its_own() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (_, ok) = world.call(&invite);
    let again = invite
        .then("INVITE", 2)
        .branch(&invite.branch)
        .tagged(&ok.to_tag());
    world.receive(&again.text());
    assert_eq!(world.event_names(), ["Reinvite"]);
}

/// RFC 2543: no branch, no From tag; copies and the ACK are matched all the same.
#[test]
fn a_client_without_branch_and_tag_is_served() {
    let mut world = World::new(Transport::Udp);
    let mut invite = Ask::new("INVITE").branch("");
    invite.from = "<sip:old@example.com>".to_owned();
    world.receive(&invite.text());
    let tx = world.one_tx();
    world.receive(&invite.text());
    assert_eq!(world.starts(), ["SIP/2.0 100 Trying"]);
    world.accept(tx);
    let ok = world.one_sent();
    world.receive(&invite.text());
    assert!(world.take_sent().is_empty() && world.take_events().is_empty());
    world.receive(&invite.then("ACK", 1).branch("").tagged(&ok.to_tag()).text());
    assert_eq!(world.event_names(), ["Ack"]);
    world.receive(&invite.then("BYE", 2).branch("").tagged(&ok.to_tag()).text());
    assert_eq!(world.event_names(), ["Bye"]);
}

#[test]
fn nothing_is_answered_twice() {
    let mut world = World::new(Transport::Udp);
    world.receive(&Ask::new("INVITE").text());
    let tx = world.one_tx();
    let ok = Reply::new(Status::OK);
    assert_eq!(
        world.endpoint.respond(world.now, tx, &ok),
        Err(RespondError::NotThisWay)
    );
    world.accept(tx);
    let busy = Reply::new(Status::FORBIDDEN);
    assert_eq!(
        world.endpoint.respond(world.now, tx, &busy),
        Err(RespondError::AlreadyAnswered)
    );
    assert_eq!(
        world.endpoint.accept_invite(world.now, tx, &ok),
        Err(RespondError::AlreadyAnswered)
    );
    world.take_sent();
    world.pass_ms(64_000);
    assert_eq!(
        world.endpoint.respond(world.now, tx, &busy),
        Err(RespondError::UnknownTransaction)
    );
}

#[test]
fn require_100rel_forbids_unreliable_provisionals_but_not_trying() {
    let mut world = World::new(Transport::Udp);
    world.receive(&Ask::new("INVITE").header("Require: 100rel").text());
    let tx = world.one_tx();
    let ringing = Reply::new(Status::new(180).unwrap());
    assert_eq!(
        world.endpoint.respond(world.now, tx, &ringing),
        Err(RespondError::NoProvisional)
    );
    world.endpoint.trying(world.now, tx).unwrap();
    world.accept(tx);
    assert_eq!(world.starts(), ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]);
}

#[test]
fn an_expired_invite_is_answered_487() {
    let mut world = World::new(Transport::Udp);
    world.receive(&Ask::new("INVITE").header("Expires: 1").text());
    let tx = world.one_tx();
    world.pass_ms(999);
    assert_eq!(world.starts(), ["SIP/2.0 100 Trying"]);
    world.pass_ms(1);
    assert_eq!(world.starts(), ["SIP/2.0 487 Request Terminated"]);
    assert!(matches!(world.take_events()[..], [Event::Cancelled { tx: gone, .. }] if gone == tx));
}

/// Outputs come in the order in which they are to be performed.
#[test]
fn the_answer_leaves_before_the_event_that_follows_it() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.receive(&invite.text());
    let cancel = invite.then("CANCEL", 1).branch(&invite.branch);
    let bytes = cancel.text();
    world.endpoint.handle_message(
        world.now,
        world.flow,
        &world.source,
        bytes.as_bytes(),
        &mut world.rng,
    );
    let kinds: Vec<_> = std::iter::from_fn(|| world.endpoint.poll_output())
        .map(|output| match output {
            Output::Transmit { to, .. } => {
                assert_eq!(to, udp("192.0.2.10:5060"));
                "transmit"
            }
            Output::Event(_) => "event",
            Output::CloseFlow(_) => "close",
        })
        .collect();
    assert_eq!(kinds, ["transmit", "transmit", "event"]);
}
