//! What the endpoint answers alone (RFC 3261 §8.2, §21; table 1.7 of the recording protocol).

mod common;

use common::{Ask, World};
use holdfast_sip::{EndpointConfig, Event, Limits, Status, Transport};

fn refused(ask: &Ask) -> common::Sent {
    let mut world = World::new(Transport::Udp);
    world.receive(&ask.text());
    assert!(world.take_events().is_empty());
    world.one_sent()
}

#[test]
fn methods() {
    for method in [
        "REGISTER",
        "SUBSCRIBE",
        "NOTIFY",
        "REFER",
        "MESSAGE",
        "PUBLISH",
        "INFO",
        "PRACK",
    ] {
        let answer = refused(&Ask::new(method));
        assert_eq!(answer.start(), "SIP/2.0 405 Method Not Allowed", "{method}");
        assert_eq!(
            answer.value("Allow"),
            Some("INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE")
        );
    }
    for method in [
        "FOO",
        "invite",
        "!interesting-Method0123456789_*+`.%indeed'~",
    ] {
        let answer = refused(&Ask::new(method));
        assert_eq!(answer.start(), "SIP/2.0 501 Not Implemented", "{method}");
        assert!(answer.value("Allow").is_some());
    }
}

#[test]
fn extensions() {
    let answer = refused(
        &Ask::new("INVITE")
            .header("Require: siprec, foo")
            .header("Require: bar"),
    );
    assert_eq!(answer.start(), "SIP/2.0 420 Bad Extension");
    assert_eq!(answer.value("Unsupported"), Some("foo, bar"));
    let answer = refused(&Ask::new("OPTIONS").header("Require: record-aware"));
    assert_eq!(answer.value("Unsupported"), Some("record-aware"));
    let mut world = World::new(Transport::Udp);
    let known = Ask::new("INVITE").header("Require: SIPREC,timer , 100rel, replaces");
    world.receive(&known.header("Proxy-Require: foo").text());
    assert_eq!(world.event_names(), ["Invite"]);
}

#[test]
fn schemes() {
    for uri in [
        "nobodyKnowsThisScheme:totallyopaquecontent",
        "soap.beep://192.0.2.103:3002",
    ] {
        let mut ask = Ask::new("OPTIONS");
        ask.uri = uri.to_owned();
        assert_eq!(refused(&ask).start(), "SIP/2.0 416 Unsupported URI Scheme");
    }
}

#[test]
fn malformed_requests_get_400_or_505_and_are_counted() {
    let ask = Ask::new("INVITE").text();
    for (from, to, start) in [
        (
            "SIP/2.0\r\nVia",
            "SIP/7.0\r\nVia",
            "SIP/2.0 505 Version Not Supported",
        ),
        (
            "CSeq: 1 INVITE",
            "CSeq: 36893488147419103232 INVITE",
            "SIP/2.0 400 Bad Request",
        ),
        (
            "CSeq: 1 INVITE",
            "CSeq: 1 OPTIONS",
            "SIP/2.0 400 Bad Request",
        ),
        (
            "Call-ID: call-1@192.0.2.10\r\n",
            "",
            "SIP/2.0 400 Bad Request",
        ),
        (
            "Max-Forwards: 70",
            "From: <sip:b@example.com>;tag=2",
            "SIP/2.0 400 Bad Request",
        ),
        (
            "Content-Length: 0",
            "Content-Length: 99",
            "SIP/2.0 400 Bad Request",
        ),
        (
            "Content-Length: 0",
            "Content-Length: -1",
            "SIP/2.0 400 Bad Request",
        ),
        (
            "Max-Forwards: 70",
            "Content-Length: 5",
            "SIP/2.0 400 Bad Request",
        ),
        (
            "sip:recorder@198.51.100.20 SIP",
            "sip:recorder@198.51.100.20; lr SIP",
            "SIP/2.0 400 Bad Request",
        ),
        (
            "sip:recorder@198.51.100.20 SIP",
            "<sip:recorder@198.51.100.20> SIP",
            "SIP/2.0 400 Bad Request",
        ),
        (
            "sip:recorder@198.51.100.20 SIP",
            "sip:2001:db8::10 SIP",
            "SIP/2.0 400 Bad Request",
        ),
        (
            "192.0.2.10:5060;branch",
            "192.0.2.10;;,;,,;branch",
            "SIP/2.0 400 Bad Request",
        ),
        (
            "<sip:src@example.com>;tag",
            "\"Mr. J. <sip:src@example.com>;tag",
            "SIP/2.0 400 Bad Request",
        ),
    ] {
        let text = ask.replacen(from, to, 1);
        assert_ne!(text, ask, "{from}");
        let mut world = World::new(Transport::Udp);
        world.receive(&text);
        let answer = world.one_sent();
        assert_eq!(answer.start(), start, "{to}");
        assert_eq!(
            answer.value("CSeq"),
            text.split("CSeq: ").nth(1).unwrap().split("\r\n").next()
        );
        assert!(matches!(
            &world.take_events()[..],
            [Event::Malformed {
                answered: Some(_),
                ..
            }]
        ));
        assert_eq!(world.endpoint.transaction_count(), 0);
    }
}

#[test]
fn what_cannot_be_answered_is_counted() {
    let ack = Ask::new("ACK")
        .text()
        .replace("CSeq: 1 ACK", "CSeq: 1 INVITE");
    let no_via = Ask::new("OPTIONS").text().replace("Via:", "X:");
    let response = "SIP/2.0 4294967301 better not break the receiver\r\n\r\n".to_owned();
    for text in [
        ack,
        no_via,
        response,
        "\u{7f}junk".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
    ] {
        let mut world = World::new(Transport::Udp);
        world.receive(&text);
        assert!(world.take_sent().is_empty(), "{text}");
        assert!(matches!(
            &world.take_events()[..],
            [Event::Malformed { answered: None, .. }]
        ));
    }
    let mut world = World::new(Transport::Udp);
    world.receive("\r\n\r\n");
    world.receive_octets(b"\x00\x01\x00\x00\x21\x12\xa4\x42");
    assert!(world.take_sent().is_empty() && world.take_events().is_empty());
}

#[test]
fn options_goes_up_and_its_answer_says_what_works() {
    let mut world = World::new(Transport::Udp);
    let options = Ask::new("OPTIONS").header("Max-Forwards: 0").text();
    world.receive(&options);
    let tx = world.one_tx();
    world.respond(tx, Status::OK);
    let ok = world.one_sent();
    assert_eq!(
        ok.value("Allow"),
        Some("INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE")
    );
    assert!(
        ok.value("Accept")
            .unwrap()
            .contains("application/rs-metadata+xml")
    );
    assert_eq!(ok.value("Supported"), Some("timer"));
    assert_eq!(ok.value("Accept-Encoding"), Some("identity"));
    assert!(ok.value("Accept-Language").is_some());
    assert_eq!(world.endpoint.dialog_count(), 0);
}

#[test]
fn options_in_a_dialog_names_it() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE");
    let (dialog, ok) = world.call(&invite);
    world.receive(&invite.then("OPTIONS", 2).tagged(&ok.to_tag()).text());
    assert!(matches!(&world.take_events()[..],
        [Event::Options { dialog: Some(which), .. }] if *which == dialog));
}

#[test]
fn beyond_capacity_503_with_a_time_and_always_the_same_tag() {
    let limits = Limits {
        transactions_max: 1,
        ..Limits::default()
    };
    let mut world = World::with(
        Transport::Udp,
        EndpointConfig {
            limits,
            ..Default::default()
        },
    );
    world.receive(&Ask::new("INVITE").text());
    let tx = world.one_tx();
    let mut second = Ask::new("INVITE");
    second.call_id = "second".to_owned();
    world.receive(&second.text());
    let refusal = world.one_sent();
    assert_eq!(refusal.start(), "SIP/2.0 503 Service Unavailable");
    assert_eq!(refusal.value("Retry-After"), Some("10"));
    world.receive(&second.text());
    assert_eq!(world.one_sent().text, refusal.text);
    // Its ACK is dropped, and the first call goes on.
    world.receive(&second.then("ACK", 1).tagged(&refusal.to_tag()).text());
    assert!(world.take_sent().is_empty() && world.take_events().is_empty());
    world.accept(tx);
    assert_eq!(world.starts(), ["SIP/2.0 200 OK"]);
}

#[test]
fn beyond_the_dialogs_503_until_one_ends() {
    let limits = Limits {
        dialogs_max: 1,
        ..Limits::default()
    };
    let mut world = World::with(
        Transport::Udp,
        EndpointConfig {
            limits,
            ..Default::default()
        },
    );
    let first = Ask::new("INVITE");
    let (_, ok) = world.call(&first);
    let mut second = Ask::new("INVITE").branch("z9hG4bK-second");
    second.call_id = "second".to_owned();
    world.receive(&second.text());
    assert_eq!(world.starts(), ["SIP/2.0 503 Service Unavailable"]);
    world.receive(&first.then("BYE", 2).tagged(&ok.to_tag()).text());
    let tx = world.one_tx();
    world.respond(tx, Status::OK);
    world.take_sent();
    world.take_events();
    second.branch = "z9hG4bK-third".to_owned();
    second.cseq = 2;
    world.receive(&second.text());
    assert_eq!(world.event_names(), ["Invite"]);
}

/// An INVITE counts once towards the dialogs to come, from its arrival to its answer.
#[test]
fn a_refused_invite_makes_room_at_once_and_only_once() {
    let limits = Limits {
        dialogs_max: 1,
        ..Limits::default()
    };
    let mut world = World::with(
        Transport::Udp,
        EndpointConfig {
            limits,
            ..Default::default()
        },
    );
    let call = |name: &str| {
        let mut invite = Ask::new("INVITE").branch(&format!("z9hG4bK-{name}"));
        invite.call_id = name.to_owned();
        invite.text()
    };
    world.receive(&call("first"));
    let tx = world.one_tx();
    world.receive(&call("second"));
    assert_eq!(world.starts(), ["SIP/2.0 503 Service Unavailable"]);
    world.respond(tx, Status::FORBIDDEN);
    world.receive(&call("third"));
    assert_eq!(world.event_names(), ["Invite"]);
    // The transactions of the refused ones end; the third is still being decided.
    world.pass_ms(40_000);
    world.take_sent();
    world.receive(&call("fourth"));
    assert_eq!(world.starts(), ["SIP/2.0 503 Service Unavailable"]);
}
