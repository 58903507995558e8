//! INVITEs of ours outside of any dialog (RFC 3261 §9.1, §13.2, §17.1.1).

mod common;

use common::{Ask, Sent, World, udp};
use holdfast_sip::dialog::{Phase, Role};
use holdfast_sip::endpoint::{ClientTx, DialogId, Draft, GoneCause, RequestError};
use holdfast_sip::{EndpointConfig, Event, Limits, Method, Target, Transport};

const URI: &str = "sip:src@192.0.2.10:5060";

fn place(world: &mut World, uri: &str) -> (DialogId, ClientTx, Sent) {
    let draft = Draft::new(Method::Invite).header("Require", "siprec");
    let placed = world
        .endpoint
        .invite(world.now, uri, &world.source, draft, &mut world.rng);
    let (dialog, client) = placed.expect("a call");
    world.collect();
    (dialog, client, world.one_sent())
}

/// The peer's response, with a tag.
fn response(request: &Sent, status: u16, tag: &str, extra: &str) -> String {
    common::answer(request, status, extra).replace(
        &format!("To: {}\r\n", request.value("To").expect("To")),
        &format!("To: <{URI}>;tag={tag}\r\n"),
    )
}

fn accepted(request: &Sent, tag: &str) -> String {
    let extra = "Contact: <sip:src@192.0.2.10:5070>\r\nRecord-Route: <sip:192.0.2.99;lr>\r\n\
                 Record-Route: <sip:192.0.2.98;lr>\r\n";
    response(request, 200, tag, extra)
}

fn is_clean(world: &mut World) -> bool {
    world.pass_ms(60_000);
    world.take_sent();
    world.take_events();
    (
        world.endpoint.transaction_count(),
        world.endpoint.dialog_count(),
    ) == (0, 0)
}

#[test]
fn the_invite_has_all_that_a_request_outside_of_a_dialog_has() {
    let mut world = World::new(Transport::Udp);
    let (_, _, invite) = place(&mut world, URI);
    assert_eq!(invite.start(), format!("INVITE {URI} SIP/2.0"));
    assert_eq!(invite.to, udp("192.0.2.10:5060"));
    assert_eq!(invite.value("To"), Some("<sip:src@192.0.2.10:5060>"));
    assert_eq!(invite.value("CSeq"), Some("1 INVITE"));
    assert_eq!(invite.value("Max-Forwards"), Some("70"));
    assert_eq!(invite.value("Content-Length"), Some("0"));
    assert_eq!(invite.value("Contact"), Some("<sip:198.51.100.20:5060>"));
    let from = invite.value("From").unwrap();
    assert!(
        from.starts_with("<sip:holdfast@198.51.100.20:5060>;tag="),
        "{from}"
    );
    let via = invite.value("Via").unwrap();
    assert!(
        via.contains("198.51.100.20:5060;rport;branch=z9hG4bK"),
        "{via}"
    );
    // Another call has other names.
    let (_, _, other) = place(&mut world, URI);
    for name in ["Call-ID", "From", "Via"] {
        assert_ne!(invite.value(name), other.value(name), "{name}");
    }
}

#[test]
fn a_2xx_makes_the_dialog_and_each_copy_of_it_gets_the_same_ack() {
    let mut world = World::new(Transport::Udp);
    let (dialog, client, invite) = place(&mut world, URI);
    world.receive(&response(&invite, 100, "", "").replace(";tag=", ""));
    world.receive(&response(&invite, 180, "ringing", ""));
    // A provisional answer ends the copies (timer A).
    world.pass_ms(20_000);
    assert!(world.take_sent().is_empty());
    assert_eq!(world.event_names(), ["Response"], "of the 180 alone");

    let ok = accepted(&invite, "srs1");
    world.receive(&ok);
    assert_eq!(world.event_names(), ["Response"]);
    assert!(world.take_sent().is_empty(), "the answer is not there yet");
    world.receive(&ok);
    assert!(world.take_sent().is_empty() && world.take_events().is_empty());
    let made = world.endpoint.dialog(dialog).unwrap().clone();
    assert_eq!((made.role, made.phase), (Role::Uac, Phase::Confirmed));
    assert_eq!(made.key.remote_tag, "srs1");
    assert_eq!(world.endpoint.dialog_by_key(&made.key), Some(dialog));

    let answer = Some(("application/sdp", "v=0\r\n".as_bytes()));
    world.endpoint.acknowledge(client, answer).unwrap();
    world.collect();
    let ack = world.one_sent();
    assert_eq!(ack.start(), "ACK sip:src@192.0.2.10:5070 SIP/2.0");
    // The last proxy that recorded itself is the first on the way back (§12.1.2).
    assert_eq!(
        ack.values("Route"),
        ["<sip:192.0.2.98;lr>", "<sip:192.0.2.99;lr>"]
    );
    assert_eq!(ack.value("CSeq"), Some("1 ACK"));
    assert_eq!(ack.value("To"), Some("<sip:src@192.0.2.10:5060>;tag=srs1"));
    assert_ne!(
        ack.value("Via"),
        invite.value("Via"),
        "a transaction of its own"
    );
    assert!(ack.text.ends_with("\r\n\r\nv=0\r\n"));
    world.receive(&ok);
    assert_eq!(world.one_sent().text, ack.text);
    assert!(world.take_events().is_empty());

    // Requests in it go on from the INVITE's number, and the peer's are its.
    let bye = Draft::new(Method::Bye);
    world
        .endpoint
        .request(world.now, dialog, bye, &mut world.rng)
        .unwrap();
    world.collect();
    let bye = world.one_sent();
    assert_eq!(bye.value("CSeq"), Some("2 BYE"));
    world.receive(&common::answer(&bye, 200, ""));
    assert!(is_clean(&mut world));
}

#[test]
fn the_peers_requests_belong_to_the_dialog() {
    let mut world = World::new(Transport::Udp);
    let (dialog, client, invite) = place(&mut world, URI);
    let from = invite.value("From").unwrap().to_owned();
    let mut bye = Ask::new("BYE");
    bye.call_id = invite.value("Call-ID").unwrap().to_owned();
    (bye.from, bye.to) = (format!("<{URI}>;tag=srs1"), from);
    // Before the 2xx there is nothing that it could belong to.
    world.receive(&bye.text());
    assert!(world.one_sent().start().starts_with("SIP/2.0 481"));
    world.receive(&accepted(&invite, "srs1"));
    world.endpoint.acknowledge(client, None).unwrap();
    world.collect();
    world.take_events();
    world.receive(&bye.branch("z9hG4bK-second").text());
    let tx = match world.take_events().as_slice() {
        [Event::Bye { tx, dialog: of, .. }] if *of == dialog => *tx,
        other => panic!("{other:?}"),
    };
    world.respond(tx, holdfast_sip::Status::OK);
    assert_eq!(world.event_names(), ["DialogGone"]);
    assert!(is_clean(&mut world));
}

#[test]
fn a_failure_is_acknowledged_by_its_transaction_and_ends_the_dialog() {
    for status in [302, 404, 486, 503, 603] {
        let mut world = World::new(Transport::Udp);
        let (_, _, invite) = place(&mut world, URI);
        let refusal = response(&invite, status, "no", "");
        world.receive(&refusal);
        let ack = world.one_sent();
        assert!(ack.start().starts_with(&format!("ACK {URI}")), "{status}");
        assert_eq!(ack.value("Via"), invite.value("Via"), "§17.1.1.3");
        assert_eq!(ack.value("To"), Some("<sip:src@192.0.2.10:5060>;tag=no"));
        match world.take_events().as_slice() {
            [
                Event::Response { response, .. },
                Event::DialogGone {
                    cause: GoneCause::NotAccepted,
                    ..
                },
            ] => assert_eq!(response.status().code(), status),
            other => panic!("{other:?}"),
        }
        world.receive(&refusal);
        assert_eq!(
            world.one_sent().text,
            ack.text,
            "a copy is acknowledged too"
        );
        assert!(is_clean(&mut world));
    }
}

#[test]
fn silence_ends_with_timer_b() {
    for (transport, copies) in [
        (
            Transport::Udp,
            vec![500, 1_500, 3_500, 7_500, 15_500, 31_500],
        ),
        (Transport::Tcp, vec![]),
    ] {
        let mut world = World::new(transport);
        place(&mut world, &format!("{URI};transport={transport}"));
        world.pass_ms(31_999);
        assert!(world.take_events().is_empty());
        world.pass_ms(1);
        assert_eq!(world.event_names(), ["RequestFailed", "DialogGone"]);
        let at: Vec<_> = world.take_sent().iter().map(|sent| sent.at_ms).collect();
        assert_eq!(at, copies);
        assert!(is_clean(&mut world));
    }
}

#[test]
fn a_cancel_waits_for_the_first_answer_and_names_the_invite() {
    let mut world = World::new(Transport::Udp);
    let (_, client, invite) = place(&mut world, URI);
    world.endpoint.withdraw(world.now, client);
    world.collect();
    assert!(world.take_sent().is_empty(), "§9.1: nothing has come yet");
    world.receive(&response(&invite, 180, "ringing", ""));
    let cancel = world.one_sent();
    assert_eq!(cancel.start(), format!("CANCEL {URI} SIP/2.0"));
    for name in ["Via", "From", "To", "Call-ID"] {
        assert_eq!(cancel.value(name), invite.value(name), "{name}");
    }
    assert_eq!(cancel.value("CSeq"), Some("1 CANCEL"));
    assert_eq!(cancel.to, invite.to);
    world.take_events();
    // Once is enough, and its own answer says nothing about the INVITE.
    world.endpoint.withdraw(world.now, client);
    world.receive(&response(&invite, 180, "ringing", ""));
    world.take_events();
    assert!(world.take_sent().is_empty());
    for status in [200, 481] {
        world.receive(&common::answer(&cancel, status, ""));
        assert!(world.take_events().is_empty(), "{status}");
    }
    world.receive(&response(&invite, 487, "ringing", ""));
    assert_eq!(world.event_names(), ["Response", "DialogGone"]);
    assert!(is_clean(&mut world));
}

#[test]
fn a_cancelled_invite_that_rings_for_ever_is_given_up() {
    let mut world = World::new(Transport::Udp);
    let (_, client, invite) = place(&mut world, URI);
    world.receive(&response(&invite, 180, "ringing", ""));
    world.endpoint.withdraw(world.now, client);
    world.collect();
    for _ in 0..31 {
        world.pass_ms(1_000);
        world.receive(&response(&invite, 180, "ringing", ""));
    }
    world.take_events();
    world.pass_ms(1_000);
    assert_eq!(world.event_names(), ["RequestFailed", "DialogGone"]);
    assert!(is_clean(&mut world));
}

#[test]
fn a_2xx_that_crosses_the_cancel_makes_the_dialog_all_the_same() {
    let mut world = World::new(Transport::Udp);
    let (dialog, client, invite) = place(&mut world, URI);
    world.receive(&response(&invite, 180, "ringing", ""));
    world.endpoint.withdraw(world.now, client);
    world.collect();
    world.receive(&accepted(&invite, "quick"));
    let made = world.endpoint.dialog(dialog).unwrap();
    assert_eq!(made.phase, Phase::Confirmed);
}

#[test]
fn each_fork_is_a_dialog_with_an_ack_of_its_own() {
    let mut world = World::new(Transport::Udp);
    let (dialog, client, invite) = place(&mut world, URI);
    world.receive(&accepted(&invite, "one"));
    world.endpoint.acknowledge(client, None).unwrap();
    world.collect();
    let first = world.one_sent();
    world.take_events();
    world.receive(&accepted(&invite, "two"));
    let fork = match world.take_events().as_slice() {
        [
            Event::Forked {
                client: of, dialog, ..
            },
        ] if *of == client => *dialog,
        other => panic!("{other:?}"),
    };
    assert_ne!(fork, dialog);
    // A copy before its ACK is nothing new.
    world.receive(&accepted(&invite, "two"));
    assert!(world.take_events().is_empty() && world.take_sent().is_empty());
    world.endpoint.acknowledge_in(client, fork, None).unwrap();
    world.collect();
    let second = world.one_sent();
    assert!(second.value("To").unwrap().ends_with(";tag=two"));
    assert_ne!(second.value("Via"), first.value("Via"));
    world.receive(&accepted(&invite, "one"));
    assert_eq!(world.one_sent().text, first.text);
    world.receive(&accepted(&invite, "two"));
    assert_eq!(world.one_sent().text, second.text);
}

#[test]
fn branches_without_number_are_not_remembered_without_number() {
    let mut world = World::new(Transport::Udp);
    let (_, _, invite) = place(&mut world, URI);
    for number in 0..50 {
        world.receive(&accepted(&invite, &format!("fork{number}")));
    }
    assert_eq!(
        world.endpoint.dialog_count(),
        holdfast_sip::limits::FORKS_MAX
    );
}

#[test]
fn nothing_is_sent_where_there_is_no_room() {
    let config = EndpointConfig {
        limits: Limits {
            dialogs_max: 1,
            ..Limits::default()
        },
        ..EndpointConfig::default()
    };
    let mut world = World::with(Transport::Udp, config);
    place(&mut world, URI);
    for (method, error) in [
        (Method::Invite, RequestError::Exhausted),
        (Method::Options, RequestError::Method),
    ] {
        let draft = Draft::new(method);
        let placed = world
            .endpoint
            .invite(world.now, URI, &world.source, draft, &mut world.rng);
        assert_eq!(placed.unwrap_err(), error);
    }
    world.collect();
    assert!(world.take_sent().is_empty());
}

#[test]
fn a_sips_uri_goes_by_tls_and_nothing_else() {
    let mut world = World::new(Transport::Tls);
    let (_, _, invite) = place(&mut world, "sips:src@192.0.2.10");
    assert_eq!(
        invite.to,
        Target::Address {
            transport: Transport::Tls,
            remote: "192.0.2.10:5061".parse().unwrap(),
            local: None
        }
    );
    assert!(invite.value("Contact").unwrap().starts_with("<sips:"));
}
