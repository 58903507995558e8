//! Requests of the peer in a dialog: order, overlap, target, end (RFC 3261 §12.2.2, §14.2, §15).

mod common;

use common::{Ask, World, answer, udp};
use holdfast_sip::endpoint::{Draft, RequestError};
use holdfast_sip::{Event, Method, Reply, Status, Transport};

#[test]
fn a_lower_cseq_is_refused_and_a_gap_is_not() {
    let mut world = World::new(Transport::Udp);
    let mut invite = Ask::new("INVITE");
    invite.cseq = 5;
    let (_, ok) = world.call(&invite);
    world.receive(&invite.then("UPDATE", 4).tagged(&ok.to_tag()).text());
    assert_eq!(world.starts(), ["SIP/2.0 500 Server Internal Error"]);
    assert!(world.take_events().is_empty());
    world.receive(&invite.then("UPDATE", 105).tagged(&ok.to_tag()).text());
    let tx = world.one_tx();
    world.respond(tx, Status::OK);
    assert_eq!(world.starts(), ["SIP/2.0 200 OK"]);
    world.receive(&invite.then("UPDATE", 104).tagged(&ok.to_tag()).text());
    assert_eq!(world.starts(), ["SIP/2.0 500 Server Internal Error"]);
}

/// Neither ACK nor CANCEL counts, and peers are met that repeat a number with another method.
#[test]
fn an_equal_cseq_with_another_method_passes() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (_, ok) = world.call(&invite);
    world.receive(&invite.then("BYE", 1).tagged(&ok.to_tag()).text());
    assert_eq!(world.event_names(), ["Bye"]);
}

#[test]
fn copies_of_an_update_get_the_same_answer_and_one_event() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (_, ok) = world.call(&invite);
    let update = invite.then("UPDATE", 2).tagged(&ok.to_tag()).text();
    world.receive(&update);
    let tx = world.one_tx();
    world.respond(tx, Status::OK);
    world.receive(&update);
    world.receive(&update);
    let sent = world.take_sent();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|copy| copy.text == sent[0].text));
    assert!(world.take_events().is_empty());
}

#[test]
fn requests_of_an_unknown_dialog_get_481_and_a_stray_ack_silence() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.call(&invite);
    for (number, method) in ["BYE", "UPDATE", "INVITE", "OPTIONS"]
        .into_iter()
        .enumerate()
    {
        let number = 10 + u32::try_from(number).unwrap();
        world.receive(&invite.then(method, number).tagged("wrong").text());
        assert_eq!(
            world.starts(),
            ["SIP/2.0 481 Call/Transaction Does Not Exist"],
            "{method}"
        );
    }
    world.receive(
        &invite
            .then("ACK", 1)
            .branch("z9hG4bK-x")
            .tagged("wrong")
            .text(),
    );
    assert!(world.take_sent().is_empty() && world.take_events().is_empty());
    // Without a To tag there is no dialog to speak of.
    world.receive(&Ask::new("BYE").text());
    assert_eq!(
        world.starts(),
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
}

#[test]
fn after_the_end_481_and_the_dialog_is_remembered_for_a_while() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (dialog, ok) = world.call(&invite);
    let key = world.endpoint.dialog(dialog).unwrap().key.clone();
    world.receive(&invite.then("BYE", 2).tagged(&ok.to_tag()).text());
    let tx = world.one_tx();
    world.respond(tx, Status::OK);
    assert_eq!(world.event_names(), ["DialogGone"]);
    world.take_sent();
    world.receive(&invite.then("UPDATE", 3).tagged(&ok.to_tag()).text());
    assert_eq!(
        world.starts(),
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    assert!(world.endpoint.has_tombstone(&key));
    world.pass_ms(40_000);
    world.endpoint.handle_timeout(world.now);
    assert!(!world.endpoint.has_tombstone(&key));
}

/// RFC 4916: the URIs may change, the tags may not.
#[test]
fn a_changed_from_uri_is_the_same_dialog() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (_, ok) = world.call(&invite);
    let mut again = invite.then("INVITE", 2).tagged(&ok.to_tag());
    again.from = "\"New\" <sip:other@example.com>;tag=src1".to_owned();
    world.receive(&again.text());
    assert_eq!(world.event_names(), ["Reinvite"]);
}

#[test]
fn a_reinvite_is_accepted_and_its_200_repeated_until_its_own_ack() {
    let mut world = World::new(Transport::Tcp);
    let invite = Ask::new("INVITE");
    let (dialog, ok) = world.call(&invite);
    let again = invite.then("INVITE", 2).tagged(&ok.to_tag());
    world.receive(&again.text());
    let tx = world.one_tx();
    assert_eq!(world.accept(tx), dialog);
    let second = world.one_sent();
    assert_eq!(second.to_tag(), ok.to_tag());
    // The ACK of the first INVITE does not stop it.
    world.receive(
        &invite
            .then("ACK", 1)
            .branch("z9hG4bK-y")
            .tagged(&ok.to_tag())
            .text(),
    );
    world.pass_ms(500);
    assert_eq!(world.take_sent().len(), 1);
    world.receive(&again.then("ACK", 2).text());
    assert!(matches!(
        world.take_events()[..],
        [Event::Ack { cseq: 2, .. }]
    ));
    world.pass_ms(60_000);
    assert!(world.take_sent().is_empty());
}

#[test]
fn a_second_invite_before_the_first_is_answered_gets_500_and_a_time() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (_, ok) = world.call(&invite);
    world.receive(&invite.then("INVITE", 2).tagged(&ok.to_tag()).text());
    let tx = world.one_tx();
    world.receive(&invite.then("INVITE", 3).tagged(&ok.to_tag()).text());
    let refusal = world.one_sent();
    assert_eq!(refusal.start(), "SIP/2.0 500 Server Internal Error");
    assert!(
        refusal
            .value("Retry-After")
            .unwrap()
            .parse::<u32>()
            .unwrap()
            <= 10
    );
    assert!(world.take_events().is_empty());
    world.accept(tx);
    assert_eq!(world.starts(), ["SIP/2.0 200 OK"]);
}

#[test]
fn an_update_overlaps_by_the_rules_of_rfc_3311() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (dialog, ok) = world.call(&invite);
    let update = |cseq| invite.then("UPDATE", cseq).tagged(&ok.to_tag());
    // Theirs unanswered: 500.
    world.receive(&update(2).sdp().text());
    let tx = world.one_tx();
    world.receive(&update(3).text());
    let refusal = world.one_sent();
    assert_eq!(refusal.start(), "SIP/2.0 500 Server Internal Error");
    assert!(refusal.value("Retry-After").is_some());
    world.respond(tx, Status::OK);
    world.take_sent();
    // Our offer pending: 491 for theirs, and none for an UPDATE without one.
    let ours = Draft::new(Method::Invite).body("application/sdp", "v=0\r\n");
    world
        .endpoint
        .request(world.now, dialog, ours, &mut world.rng)
        .unwrap();
    world.collect();
    world.take_sent();
    world.receive(&update(4).sdp().text());
    assert_eq!(world.starts(), ["SIP/2.0 491 Request Pending"]);
    world.receive(&update(5).text());
    assert_eq!(world.event_names(), ["Update"]);
}

#[test]
fn glare_gets_491_both_ways() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (dialog, ok) = world.call(&invite);
    let ours = || Draft::new(Method::Invite).body("application/sdp", "v=0\r\n");
    let client = world
        .endpoint
        .request(world.now, dialog, ours(), &mut world.rng)
        .unwrap();
    world.collect();
    let reinvite = world.one_sent();
    // Theirs while ours is pending.
    world.receive(&invite.then("INVITE", 2).tagged(&ok.to_tag()).text());
    let glare = world.one_sent();
    assert_eq!(glare.start(), "SIP/2.0 491 Request Pending");
    // And ours gets 491 from them: acknowledged, and a time to wait for.
    world.receive(&answer(&reinvite, 491, ""));
    let ack = world.take_sent().pop().unwrap();
    assert!(ack.start().starts_with("ACK "));
    assert_eq!(ack.value("Via"), reinvite.value("Via"));
    let events = world.take_events();
    assert!(
        matches!(&events[..], [Event::Response { client: which, response, .. }]
        if *which == client && response.status() == Status::REQUEST_PENDING)
    );
    let dialog_state = world.endpoint.dialog(dialog).unwrap().clone();
    for _ in 0..100 {
        let wait = dialog_state.glare_backoff(&mut world.rng).as_millis();
        assert!(
            wait <= 2_000 && wait.is_multiple_of(10),
            "the peer owns the Call-ID"
        );
    }
    // Now there is none pending.
    world
        .endpoint
        .request(world.now, dialog, ours(), &mut world.rng)
        .unwrap();
}

#[test]
fn we_do_not_invite_while_their_invite_is_pending() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (dialog, ok) = world.call(&invite);
    world.receive(&invite.then("INVITE", 2).tagged(&ok.to_tag()).text());
    world.one_tx();
    let refused = world.endpoint.request(
        world.now,
        dialog,
        Draft::new(Method::Invite),
        &mut world.rng,
    );
    assert_eq!(refused, Err(RequestError::InvitePending));
}

/// RFC 6141 §4.3: only a request that is accepted moves the target.
#[test]
fn the_remote_target_moves_with_a_200_and_not_with_a_488() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (dialog, ok) = world.call(&invite);
    let moved = |method: &str, cseq, port| {
        let ask = invite.then(method, cseq).tagged(&ok.to_tag());
        ask.contact(&format!("<sip:src@192.0.2.10:{port}>")).text()
    };
    let target = |world: &World| world.endpoint.dialog(dialog).unwrap().remote_target.clone();
    world.receive(&moved("INVITE", 2, 6002));
    let tx = world.one_tx();
    assert_eq!(
        target(&world),
        "sip:src@192.0.2.10:5060",
        "not before the answer"
    );
    world.respond(tx, Status::NOT_ACCEPTABLE_HERE);
    assert_eq!(target(&world), "sip:src@192.0.2.10:5060");
    world.receive(&moved("INVITE", 3, 6003));
    let tx = world.one_tx();
    world.accept(tx);
    assert_eq!(target(&world), "sip:src@192.0.2.10:6003");
    world.receive(&moved("UPDATE", 4, 6004));
    let tx = world.one_tx();
    world.respond(tx, Status::OK);
    assert_eq!(target(&world), "sip:src@192.0.2.10:6004");
    world.receive(&invite.then("ACK", 3).tagged(&ok.to_tag()).text());
    world.take_sent();
    world
        .endpoint
        .request(world.now, dialog, Draft::new(Method::Bye), &mut world.rng)
        .unwrap();
    world.collect();
    assert_eq!(world.one_sent().to, udp("192.0.2.10:6004"));
}

#[test]
fn a_bye_answers_what_was_pending_with_487() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (_, ok) = world.call(&invite);
    world.receive(&invite.then("INVITE", 2).tagged(&ok.to_tag()).text());
    let reinvite = world.one_tx();
    world.receive(&invite.then("BYE", 3).tagged(&ok.to_tag()).text());
    assert_eq!(world.starts(), ["SIP/2.0 487 Request Terminated"]);
    let events = world.take_events();
    assert!(
        matches!(&events[..], [Event::Cancelled { tx, .. }, Event::Bye { .. }]
        if *tx == reinvite)
    );
    // Before the BYE is answered the dialog takes nothing else, and a second BYE has to wait.
    world.receive(&invite.then("UPDATE", 4).tagged(&ok.to_tag()).text());
    world.receive(&invite.then("BYE", 5).tagged(&ok.to_tag()).text());
    assert_eq!(
        world.starts(),
        [
            "SIP/2.0 481 Call/Transaction Does Not Exist",
            "SIP/2.0 500 Server Internal Error"
        ]
    );
    let bye = common::tx_of(&events[1]).unwrap();
    world.respond(bye, Status::OK);
    assert_eq!(world.event_names(), ["DialogGone"]);
}

#[test]
fn a_bye_that_nobody_answers_still_ends_the_dialog() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (_, ok) = world.call(&invite);
    world.receive(&invite.then("BYE", 2).tagged(&ok.to_tag()).text());
    assert_eq!(world.event_names(), ["Bye"]);
    world.pass_ms(32_000);
    assert_eq!(world.event_names(), ["DialogGone"]);
    assert_eq!(world.endpoint.dialog_count(), 0);
}

#[test]
fn a_bye_in_an_early_dialog_ends_the_invite_first() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    world.receive(&invite.text());
    let tx = world.one_tx();
    world.respond(tx, Status::new(183).unwrap());
    let tag = world.one_sent().to_tag();
    world.receive(&invite.then("BYE", 2).tagged(&tag).text());
    assert_eq!(world.starts(), ["SIP/2.0 487 Request Terminated"]);
    let events = world.take_events();
    assert!(matches!(
        &events[..],
        [Event::Cancelled { .. }, Event::Bye { .. }]
    ));
    world.respond(common::tx_of(&events[1]).unwrap(), Status::OK);
    assert_eq!(world.event_names(), ["DialogGone"]);
}

/// RFC 4320: a slow answer to a non-INVITE gets a 100 at T2, a very slow one nothing at all.
#[test]
fn a_slow_update() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (_, ok) = world.call(&invite);
    let update = invite.then("UPDATE", 2).tagged(&ok.to_tag()).text();
    world.receive(&update);
    let tx = world.one_tx();
    world.receive(&update);
    world.pass_ms(3_999);
    assert!(world.take_sent().is_empty());
    world.pass_ms(1);
    assert_eq!(world.starts(), ["SIP/2.0 100 Trying"]);
    world.receive(&update);
    assert_eq!(world.starts(), ["SIP/2.0 100 Trying"]);
    world.pass_ms(28_000);
    assert!(world.take_sent().is_empty());
    assert!(
        world
            .endpoint
            .respond(world.now, tx, &Reply::new(Status::OK))
            .is_err()
    );
}

#[test]
fn no_408_to_a_non_invite() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (_, ok) = world.call(&invite);
    world.receive(&invite.then("UPDATE", 2).tagged(&ok.to_tag()).text());
    let tx = world.one_tx();
    world.respond(tx, Status::REQUEST_TIMEOUT);
    assert!(world.take_sent().is_empty());
}
