//! CANCEL before a final answer, after it, and stray (RFC 3261 §9.2).

mod common;

use common::{Ask, World};
use holdfast_sip::endpoint::CancelCause;
use holdfast_sip::{Event, Status, Transport};

fn cancel(invite: &Ask) -> String {
    let cancel = invite.then("CANCEL", invite.cseq).branch(&invite.branch);
    // RFC 3261 §8.2.2.3: Require in a CANCEL means nothing.
    cancel.header("Require: nonsense").text()
}

#[test]
fn before_the_answer_200_and_487_with_one_tag() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.receive(&invite.text());
    let tx = world.one_tx();
    world.receive(&cancel(&invite));
    let sent = world.take_sent();
    assert_eq!(
        (sent[0].start(), sent[1].start()),
        ("SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated")
    );
    assert_eq!(sent[0].value("CSeq"), Some("1 CANCEL"));
    assert_eq!(sent[1].value("CSeq"), Some("1 INVITE"));
    assert_eq!(sent[0].to_tag(), sent[1].to_tag());
    assert!(matches!(
        world.take_events()[..],
        [Event::Cancelled { tx: gone, cause: CancelCause::Cancelled }] if gone == tx
    ));
    // A copy of the CANCEL: 200 again, nothing else.
    world.receive(&cancel(&invite));
    assert_eq!(world.starts(), ["SIP/2.0 200 OK"]);
}

#[test]
fn after_the_200_it_has_no_effect() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (dialog, _) = world.call(&invite);
    world.receive(&cancel(&invite));
    assert_eq!(world.starts(), ["SIP/2.0 200 OK"]);
    assert!(world.take_events().is_empty());
    assert!(world.endpoint.dialog(dialog).is_some());
}

#[test]
fn without_an_invite_481() {
    let mut world = World::new(Transport::Udp);
    world.receive(&cancel(&Ask::new("INVITE")));
    assert_eq!(
        world.starts(),
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
}

#[test]
fn of_a_reinvite_leaves_the_dialog_alone() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (dialog, ok) = world.call(&invite);
    let again = invite.then("INVITE", 2).tagged(&ok.to_tag());
    world.receive(&again.text());
    world.one_tx();
    world.receive(&cancel(&again));
    assert_eq!(
        world.starts(),
        ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]
    );
    assert_eq!(world.event_names(), ["Cancelled"]);
    assert!(world.endpoint.dialog(dialog).is_some());
}

#[test]
fn of_an_early_dialog_ends_it() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.receive(&invite.text());
    let tx = world.one_tx();
    world.respond(tx, Status::new(180).unwrap());
    assert_eq!(world.endpoint.dialog_count(), 1);
    world.take_sent();
    world.receive(&cancel(&invite));
    assert_eq!(world.event_names(), ["DialogGone", "Cancelled"]);
    assert_eq!(world.endpoint.dialog_count(), 0);
}
