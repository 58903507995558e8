//! Requests of ours in a dialog: copies, timeouts, answers (RFC 3261 §17.1, §12.2.1).

mod common;

use common::{Ask, Sent, World, answer};
use holdfast_sip::endpoint::{DialogId, Draft, Owner, RequestError};
use holdfast_sip::{Event, Method, Transport};

fn calling(transport: Transport) -> (World, DialogId, Ask, String) {
    let mut world = World::new(transport);
    let invite = Ask::new("INVITE");
    let (dialog, ok) = world.call(&invite);
    let tag = ok.to_tag();
    (world, dialog, invite, tag)
}

fn ask(world: &mut World, dialog: DialogId, draft: Draft) -> Sent {
    world
        .endpoint
        .request(world.now, dialog, draft, &mut world.rng)
        .unwrap();
    world.collect();
    world.one_sent()
}

#[test]
fn an_unanswered_update_is_repeated_on_udp_and_given_up() {
    let (mut world, dialog, ..) = calling(Transport::Udp);
    ask(&mut world, dialog, Draft::new(Method::Update));
    world.pass_ms(40_000);
    let at: Vec<_> = world.take_sent().iter().map(|sent| sent.at_ms).collect();
    assert_eq!(
        at,
        [
            500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    assert_eq!(world.event_names(), ["RequestFailed"]);
    assert!(
        world.endpoint.dialog(dialog).is_some(),
        "to end it is for the layer above"
    );
}

#[test]
fn an_unanswered_invite_is_repeated_on_udp_and_given_up() {
    let (mut world, dialog, ..) = calling(Transport::Udp);
    ask(&mut world, dialog, Draft::new(Method::Invite));
    world.pass_ms(40_000);
    let at: Vec<_> = world.take_sent().iter().map(|sent| sent.at_ms).collect();
    assert_eq!(at, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(world.event_names(), ["RequestFailed"]);
}

#[test]
fn on_tcp_nothing_is_repeated_and_timers_b_and_f_still_run() {
    for method in [Method::Update, Method::Invite] {
        let (mut world, dialog, ..) = calling(Transport::Tcp);
        ask(&mut world, dialog, Draft::new(method));
        world.pass_ms(31_999);
        assert!(world.take_sent().is_empty() && world.take_events().is_empty());
        world.pass_ms(1);
        assert_eq!(world.event_names(), ["RequestFailed"]);
    }
}

#[test]
fn an_answered_bye_ends_the_dialog_whatever_the_answer() {
    for status in [200, 401, 481, 500] {
        let (mut world, dialog, ..) = calling(Transport::Udp);
        let bye = ask(&mut world, dialog, Draft::new(Method::Bye));
        world.receive(&answer(&bye, status, ""));
        assert_eq!(world.event_names(), ["Response", "DialogGone"], "{status}");
        // A copy of the answer means nothing.
        world.receive(&answer(&bye, status, ""));
        assert!(world.take_events().is_empty());
        world.pass_ms(60_000);
        assert_eq!(
            (
                world.endpoint.transaction_count(),
                world.endpoint.dialog_count()
            ),
            (0, 0)
        );
    }
}

#[test]
fn an_unanswered_bye_ends_the_dialog_too() {
    let (mut world, dialog, ..) = calling(Transport::Udp);
    ask(&mut world, dialog, Draft::new(Method::Bye));
    let again = world.endpoint.request(
        world.now,
        dialog,
        Draft::new(Method::Update),
        &mut world.rng,
    );
    assert_eq!(again, Err(RequestError::UnknownDialog));
    world.pass_ms(32_000);
    assert_eq!(world.event_names(), ["RequestFailed", "DialogGone"]);
}

#[test]
fn crossing_byes_are_both_answered() {
    let (mut world, dialog, invite, tag) = calling(Transport::Udp);
    let bye = ask(&mut world, dialog, Draft::new(Method::Bye));
    world.receive(&invite.then("BYE", 2).tagged(&tag).text());
    let tx = world.one_tx();
    world.respond(tx, holdfast_sip::Status::OK);
    assert_eq!(world.starts(), ["SIP/2.0 200 OK"]);
    assert_eq!(world.event_names(), ["DialogGone"]);
    world.receive(&answer(&bye, 200, ""));
    assert!(world.take_events().is_empty());
}

#[test]
fn a_481_ends_the_dialog() {
    let (mut world, dialog, ..) = calling(Transport::Udp);
    let update = ask(&mut world, dialog, Draft::new(Method::Update));
    world.receive(&answer(&update, 481, ""));
    assert_eq!(world.event_names(), ["Response", "DialogGone"]);
}

#[test]
fn a_reinvite_is_acknowledged_and_its_contact_moves_the_target() {
    let (mut world, dialog, ..) = calling(Transport::Udp);
    let draft = Draft::new(Method::Invite)
        .header("Contact", "<sip:198.51.100.20:5060>;+sip.srs")
        .body("application/sdp", "v=0\r\n");
    let reinvite = ask(&mut world, dialog, draft);
    assert_eq!(
        reinvite.values("Contact"),
        ["<sip:198.51.100.20:5060>;+sip.srs"]
    );
    world.receive(&answer(&reinvite, 100, ""));
    assert!(world.take_events().is_empty());
    let ok = answer(&reinvite, 200, "Contact: <sip:src@192.0.2.10:6060>\r\n");
    world.receive(&ok);
    assert_eq!(world.event_names(), ["Response"]);
    let ack = world.one_sent();
    assert_eq!(ack.start(), "ACK sip:src@192.0.2.10:6060 SIP/2.0");
    assert_eq!(ack.value("CSeq"), Some("1 ACK"));
    assert_ne!(ack.value("Via"), reinvite.value("Via"));
    // A copy of the 200 gets a copy of the ACK.
    world.receive(&ok);
    assert_eq!(world.one_sent().text, ack.text);
    assert!(world.take_events().is_empty());
    world.pass_ms(60_000);
    assert!(world.take_sent().is_empty());
}

#[test]
fn an_offerless_reinvite_is_acknowledged_with_the_answer() {
    let (mut world, dialog, ..) = calling(Transport::Udp);
    let client = world.endpoint.request(
        world.now,
        dialog,
        Draft::new(Method::Invite),
        &mut world.rng,
    );
    world.collect();
    let reinvite = world.one_sent();
    world.receive(&answer(&reinvite, 200, ""));
    assert_eq!(world.event_names(), ["Response"]);
    assert!(world.take_sent().is_empty());
    world
        .endpoint
        .acknowledge(client.unwrap(), Some(("application/sdp", b"v=0\r\n")))
        .unwrap();
    world.collect();
    let ack = world.one_sent();
    assert!(ack.start().starts_with("ACK ") && ack.text.ends_with("\r\n\r\nv=0\r\n"));
}

#[test]
fn a_failed_reinvite_is_acknowledged_by_its_transaction() {
    let (mut world, dialog, ..) = calling(Transport::Udp);
    let reinvite = ask(&mut world, dialog, Draft::new(Method::Invite));
    let refusal = answer(&reinvite, 405, "");
    world.receive(&refusal);
    let ack = world.one_sent();
    assert_eq!(ack.value("Via"), reinvite.value("Via"));
    assert_eq!(ack.value("CSeq"), Some("1 ACK"));
    world.receive(&refusal);
    assert_eq!(world.one_sent().text, ack.text);
    assert_eq!(world.event_names(), ["Response"]);
    assert!(world.endpoint.dialog(dialog).is_some());
}

#[test]
fn cseq_rises_and_a_transport_error_is_reported() {
    let (mut world, dialog, ..) = calling(Transport::Udp);
    let first = ask(&mut world, dialog, Draft::new(Method::Update));
    world.receive(&answer(&first, 200, ""));
    world.take_events();
    let client = world.endpoint.request(
        world.now,
        dialog,
        Draft::new(Method::Update),
        &mut world.rng,
    );
    world.collect();
    assert_eq!(world.one_sent().value("CSeq"), Some("2 UPDATE"));
    world
        .endpoint
        .handle_transport_error(world.now, Owner::Client(client.unwrap()));
    world.collect();
    assert!(matches!(
        &world.take_events()[..],
        [Event::RequestFailed { .. }]
    ));
}

#[test]
fn stray_and_foreign_responses_are_dropped() {
    let (mut world, dialog, ..) = calling(Transport::Udp);
    let update = ask(&mut world, dialog, Draft::new(Method::Update));
    let wrong_method = answer(&update, 200, "").replace("1 UPDATE", "1 BYE");
    let wrong_branch = answer(&update, 200, "").replace("branch=z9hG4bK", "branch=z9hG4bKx");
    world.receive(&wrong_method);
    world.receive(&wrong_branch);
    assert!(world.take_events().is_empty());
    world.receive(&answer(&update, 200, ""));
    assert_eq!(world.event_names(), ["Response"]);
}

#[test]
fn no_bye_in_an_early_dialog() {
    let mut world = World::new(Transport::Udp);
    world.receive(&Ask::new("INVITE").text());
    let tx = world.one_tx();
    world.respond(tx, holdfast_sip::Status::new(183).unwrap());
    let key = holdfast_sip::dialog::DialogKey {
        call_id: "call-1@192.0.2.10".to_owned(),
        local_tag: world.one_sent().to_tag(),
        remote_tag: "src1".to_owned(),
    };
    let dialog = world.endpoint.dialog_by_key(&key).unwrap();
    let refused =
        world
            .endpoint
            .request(world.now, dialog, Draft::new(Method::Bye), &mut world.rng);
    assert_eq!(refused, Err(RequestError::Early));
}

/// Another process goes on with the dialog: same identity, rising CSeq.
#[test]
fn an_adopted_dialog_goes_on() {
    let (mut world, dialog, invite, tag) = calling(Transport::Udp);
    let state = world.endpoint.dialog(dialog).unwrap().clone();
    let mut other = World::new(Transport::Udp);
    let dialog = other.endpoint.adopt_dialog(state);
    other.receive(&invite.then("UPDATE", 2).tagged(&tag).text());
    assert_eq!(other.event_names(), ["Update"]);
    let update = ask(&mut other, dialog, Draft::new(Method::Update));
    assert_eq!(update.value("CSeq"), Some("1 UPDATE"));
    world.take_sent();
}

/// A value that came from a peer cannot end a header line of ours.
#[test]
fn line_ends_in_header_values_are_replaced() {
    let (mut world, dialog, ..) = calling(Transport::Udp);
    let draft = Draft::new(Method::Update).header("X", "a\r\nVia: evil");
    let update = ask(&mut world, dialog, draft);
    assert_eq!(update.value("X"), Some("a  Via: evil"));
    assert_eq!(update.values("Via").len(), 1);
}
