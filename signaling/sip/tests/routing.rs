//! Which way answers and requests take (RFC 3261 §18.2, §12.2.1.1; RFC 3581).

mod common;

use common::{Ask, World, udp};
use holdfast_sip::endpoint::Draft;
use holdfast_sip::stream::{Frame, StreamFramer};
use holdfast_sip::{Event, Flow, Limits, Method, Status, Target, Transport};

#[test]
fn answers_follow_rport_or_the_sent_by() {
    for (via, to, stamped) in [
        (
            "SIP/2.0/UDP 10.0.0.1:5080;rport",
            "192.0.2.10:40000",
            "SIP/2.0/UDP 10.0.0.1:5080;rport=40000;branch=z9hG4bK-OPTIONS-1;received=192.0.2.10",
        ),
        (
            "SIP/2.0/UDP 10.0.0.1:5080",
            "192.0.2.10:5080",
            "SIP/2.0/UDP 10.0.0.1:5080;branch=z9hG4bK-OPTIONS-1;received=192.0.2.10",
        ),
        (
            "SIP/2.0/UDP client.example.com",
            "192.0.2.10:5060",
            "SIP/2.0/UDP client.example.com;branch=z9hG4bK-OPTIONS-1;received=192.0.2.10",
        ),
    ] {
        let mut world = World::new(Transport::Udp);
        world.source.remote = "192.0.2.10:40000".parse().unwrap();
        let mut ask = Ask::new("OPTIONS").header("Via: SIP/2.0/TCP 192.0.2.77;branch=z9hG4bKp");
        ask.via = via.to_owned();
        world.receive(&ask.text());
        let tx = world.one_tx();
        world.respond(tx, Status::OK);
        let ok = world.one_sent();
        assert_eq!(ok.to, udp(to));
        assert_eq!(
            ok.values("Via"),
            [stamped, "SIP/2.0/TCP 192.0.2.77;branch=z9hG4bKp"]
        );
    }
}

#[test]
fn addresses_of_ip_version_6() {
    let mut world = World::new(Transport::Udp);
    world.source.remote = "[2001:db8::9:1]:5060".parse().unwrap();
    world.source.local = "[2001:db8::20]:5060".parse().unwrap();
    let mut invite = Ask::new("INVITE").contact("<sip:src@[2001:db8::9:1]>");
    invite.via = "SIP/2.0/UDP [2001:db8::9:1];rport".to_owned();
    invite.uri = "sip:recorder@[2001:db8::20]".to_owned();
    let (dialog, ok) = world.call(&invite);
    assert_eq!(ok.value("Contact"), Some("<sip:[2001:db8::20]:5060>"));
    assert!(
        ok.value("Via")
            .unwrap()
            .ends_with(";received=2001:db8::9:1")
    );
    world
        .endpoint
        .request(world.now, dialog, Draft::new(Method::Bye), &mut world.rng)
        .unwrap();
    world.collect();
    let bye = world.one_sent();
    assert_eq!(
        bye.to,
        Target::Address {
            transport: Transport::Udp,
            remote: "[2001:db8::9:1]:5060".parse().unwrap(),
            local: "[2001:db8::20]:5060".parse().ok(),
        }
    );
    assert!(
        bye.value("Via")
            .unwrap()
            .starts_with("SIP/2.0/UDP [2001:db8::20]:5060;")
    );
}

#[test]
fn record_route_is_copied_in_order_with_its_parameters() {
    let mut world = World::new(Transport::Udp);
    let invite = Ask::new("INVITE")
        .header("Record-Route: <sip:p2.example.com;lr;x=\"a,b\">, <sip:p1.example.com;lr>;y")
        .header("Record-Route: <sip:p0.example.com>");
    let (dialog, ok) = world.call(&invite);
    assert_eq!(
        ok.values("Record-Route"),
        [
            "<sip:p2.example.com;lr;x=\"a,b\">, <sip:p1.example.com;lr>;y",
            "<sip:p0.example.com>"
        ]
    );
    assert_eq!(
        world.endpoint.dialog(dialog).unwrap().route_set,
        [
            "<sip:p2.example.com;lr;x=\"a,b\">",
            "<sip:p1.example.com;lr>;y",
            "<sip:p0.example.com>"
        ]
    );
    // A failure makes no dialog and has none.
    let mut second = invite.branch("z9hG4bK-second");
    second.call_id = "second".to_owned();
    world.receive(&second.text());
    let tx = world.one_tx();
    world.respond(tx, Status::FORBIDDEN);
    assert!(world.one_sent().values("Record-Route").is_empty());
}

fn bye_through(record_route: &str) -> common::Sent {
    let mut world = World::new(Transport::Udp);
    let (dialog, _) = world.call(&Ask::new("INVITE").header(record_route));
    world
        .endpoint
        .request(world.now, dialog, Draft::new(Method::Bye), &mut world.rng)
        .unwrap();
    world.collect();
    world.one_sent()
}

#[test]
fn a_bye_through_loose_routers() {
    let bye = bye_through("Record-Route: <sip:192.0.2.21;lr>, <sip:192.0.2.22:5070;lr>");
    assert_eq!(bye.start(), "BYE sip:src@192.0.2.10:5060 SIP/2.0");
    assert_eq!(
        bye.values("Route"),
        ["<sip:192.0.2.21;lr>", "<sip:192.0.2.22:5070;lr>"]
    );
    assert_eq!(bye.to, udp("192.0.2.21:5060"));
}

#[test]
fn a_bye_through_a_strict_router() {
    let bye = bye_through("Record-Route: <sip:192.0.2.21:5080;method=X>, <sip:192.0.2.22;lr>");
    assert_eq!(bye.start(), "BYE sip:192.0.2.21:5080 SIP/2.0");
    assert_eq!(
        bye.values("Route"),
        ["<sip:192.0.2.22;lr>", "<sip:src@192.0.2.10:5060>"]
    );
    assert_eq!(bye.to, udp("192.0.2.21:5080"));
}

#[test]
fn a_bye_has_the_identity_of_the_dialog() {
    let mut world = World::new(Transport::Udp);
    let mut invite = Ask::new("INVITE");
    invite.from = "Src <sip:src@example.com>;tag=src1;x=y".to_owned();
    invite.to = "sip:recorder@198.51.100.20;user=phone".to_owned();
    world.receive(&invite.text());
    let tx = world.one_tx();
    let dialog = world.accept(tx);
    let ok = world.one_sent();
    let tag = ok.to_tag();
    assert_eq!(ok.value("To").unwrap(), format!("{};tag={tag}", invite.to));
    world.receive(&invite.then("ACK", 1).tagged(&tag).text());
    world
        .endpoint
        .request(world.now, dialog, Draft::new(Method::Bye), &mut world.rng)
        .unwrap();
    world.collect();
    let bye = world.one_sent();
    assert_eq!(
        bye.value("From").unwrap(),
        format!("<sip:recorder@198.51.100.20>;tag={tag}")
    );
    assert_eq!(bye.value("To"), Some("<sip:src@example.com>;tag=src1"));
    assert_eq!(bye.value("CSeq"), Some("1 BYE"));
    assert_eq!(bye.value("Call-ID"), Some("call-1@192.0.2.10"));
}

#[test]
fn a_contact_that_cannot_be_read_costs_nobody_the_call() {
    for contact in ["*", "<sip:>", "nonsense"] {
        let mut world = World::new(Transport::Udp);
        let (dialog, _) = world.call(&Ask::new("INVITE").contact(contact));
        let target = &world.endpoint.dialog(dialog).unwrap().remote_target;
        assert_eq!(target, "sip:192.0.2.10:5060;transport=udp");
    }
}

#[test]
fn a_connection_is_used_while_it_lives_and_then_another_is_opened() {
    let mut world = World::new(Transport::Tcp);
    world.source.remote = "192.0.2.10:40000".parse().unwrap();
    let invite = Ask::new("INVITE");
    world.receive(&invite.text());
    let tx = world.one_tx();
    let dialog = world.accept(tx);
    let ok = world.one_sent();
    assert_eq!(ok.to, Target::Flow(Flow(1)));
    world.endpoint.handle_flow_closed(world.now, Flow(1));
    world.pass_ms(500);
    let elsewhere = Target::Address {
        transport: Transport::Tcp,
        remote: "192.0.2.10:5060".parse().unwrap(),
        local: None,
    };
    assert_eq!(world.one_sent().to, elsewhere);
    // The ACK comes on a new connection: the dialog goes on there once a request came on it.
    world.flow = Flow(2);
    world.receive(&invite.then("ACK", 1).tagged(&ok.to_tag()).text());
    world.receive(&invite.then("UPDATE", 2).tagged(&ok.to_tag()).text());
    let tx = common::tx_of(&world.take_events()[1]).unwrap();
    world.respond(tx, Status::OK);
    assert_eq!(world.one_sent().to, Target::Flow(Flow(2)));
    world
        .endpoint
        .request(world.now, dialog, Draft::new(Method::Bye), &mut world.rng)
        .unwrap();
    world.collect();
    let bye = world.one_sent();
    assert_eq!(bye.to, Target::Flow(Flow(2)));
    assert!(
        bye.value("Via")
            .unwrap()
            .starts_with("SIP/2.0/TCP 198.51.100.20:5060;")
    );
}

#[test]
fn an_answer_on_a_connection_never_leaves_by_another_ones() {
    let mut world = World::new(Transport::Tcp);
    world.receive(&Ask::new("OPTIONS").text());
    let first = world.one_tx();
    world.flow = Flow(2);
    let mut other = Ask::new("OPTIONS").branch("z9hG4bK-other");
    other.call_id = "other".to_owned();
    world.receive(&other.text());
    let second = world.one_tx();
    world.respond(second, Status::OK);
    world.respond(first, Status::OK);
    let to: Vec<_> = world.take_sent().iter().map(|sent| sent.to).collect();
    assert_eq!(to, [Target::Flow(Flow(2)), Target::Flow(Flow(1))]);
}

/// Lost framing: an answer where possible, then the connection closes.
#[test]
fn a_broken_stream_is_answered_and_closed() {
    for (lengths, start) in [
        ("", Some("SIP/2.0 400 Bad Request")),
        ("Content-Length: -3\r\n", Some("SIP/2.0 400 Bad Request")),
        (
            "Content-Length: 3\r\nl: 4\r\n",
            Some("SIP/2.0 400 Bad Request"),
        ),
        (
            "Content-Length: 9999999\r\n",
            Some("SIP/2.0 413 Request Entity Too Large"),
        ),
    ] {
        let mut world = World::new(Transport::Tcp);
        let text = Ask::new("INVITE")
            .text()
            .replace("Content-Length: 0\r\n", lengths);
        let mut framer = StreamFramer::new(&Limits::default());
        framer.handle_bytes(world.now, text.as_bytes());
        let Some(Frame::Broken(broken)) = framer.poll_frame() else {
            panic!("{lengths}")
        };
        world
            .endpoint
            .handle_broken_stream(world.flow, &world.source, &broken);
        world.collect();
        assert_eq!(world.starts().first().map(String::as_str), start);
        assert_eq!(world.closed, [Flow(1)]);
        assert!(matches!(world.take_events()[..], [Event::Malformed { .. }]));
    }
}

/// Whole calls over a stream that delivers one octet at a time.
#[test]
fn a_call_over_tcp_byte_by_byte() {
    let mut world = World::new(Transport::Tcp);
    let mut framer = StreamFramer::new(&Limits::default());
    let invite = Ask::new("INVITE").sdp();
    for octet in invite.text().as_bytes() {
        framer.handle_bytes(world.now, &[*octet]);
        while let Some(frame) = framer.poll_frame() {
            let Frame::Message(message) = frame else {
                panic!("{frame:?}")
            };
            world.receive_octets(&message);
        }
    }
    let events = world.take_events();
    let [Event::Invite { request, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(request.body(), b"v=0\r\n");
}

/// RFC 3261 §12.1.1: by the Request-URI, else by the top Record-Route, else by the Contact.
#[test]
fn our_contact_is_sips_where_theirs_is() {
    let sips = "sips:recorder@198.51.100.20";
    for (transport, uri, headers, expected) in [
        (
            Transport::Tls,
            sips,
            "Contact: <sips:src@192.0.2.10>",
            "<sips:198.51.100.20:5060>",
        ),
        (
            Transport::Tcp,
            "sip:recorder@198.51.100.20",
            "Contact: <sip:src@192.0.2.10>\r\nRecord-Route: <sips:p1.example.com;lr>, <sip:p0;lr>",
            "<sips:198.51.100.20:5060>",
        ),
        (
            Transport::Tls,
            "sip:recorder@198.51.100.20",
            "Contact: <sips:src@192.0.2.10>\r\nRecord-Route: <sip:p1.example.com;lr>, <sips:p0;lr>",
            "<sip:198.51.100.20:5060;transport=tls>",
        ),
        (
            Transport::Tls,
            "sip:recorder@198.51.100.20",
            "Contact: <sips:src@192.0.2.10>",
            "<sips:198.51.100.20:5060>",
        ),
        // It could not reach us by it.
        (
            Transport::Udp,
            "sip:recorder@198.51.100.20",
            "Contact: <sips:src@192.0.2.10>",
            "<sip:198.51.100.20:5060>",
        ),
    ] {
        let mut world = World::new(transport);
        let mut invite = Ask::new("INVITE");
        invite.uri = uri.to_owned();
        invite.headers = format!("{headers}\r\n");
        world.receive(&invite.text());
        let tx = world.one_tx();
        world.accept(tx);
        assert_eq!(
            world.one_sent().value("Contact"),
            Some(expected),
            "{transport} {headers}"
        );
    }
}

/// RFC 3261 §26.2.2: a request to a sips URI travels by TLS, whatever the peer spoke by.
#[test]
fn a_sips_route_set_is_followed_by_tls() {
    let by_tls = |remote: &str| Target::Address {
        transport: Transport::Tls,
        remote: remote.parse().unwrap(),
        local: None,
    };
    for (headers, expected) in [
        (
            "Contact: <sip:src@192.0.2.10>\r\nRecord-Route: <sips:192.0.2.21;lr;transport=tcp>",
            by_tls("192.0.2.21:5061"),
        ),
        // A strict router: it is the Request-URI, and the target the last Route.
        (
            "Contact: <sips:src@192.0.2.10>\r\nRecord-Route: <sips:192.0.2.21:7061>",
            by_tls("192.0.2.21:7061"),
        ),
        ("Contact: <sips:src@192.0.2.10>", by_tls("192.0.2.10:5061")),
    ] {
        let mut world = World::new(Transport::Tcp);
        let mut invite = Ask::new("INVITE");
        invite.headers = format!("{headers}\r\n");
        let (dialog, _) = world.call(&invite);
        let bye = Draft::new(Method::Bye);
        world
            .endpoint
            .request(world.now, dialog, bye, &mut world.rng)
            .unwrap();
        world.collect();
        let bye = world.one_sent();
        assert_eq!(bye.to, expected, "{headers}");
        assert!(bye.value("Via").unwrap().starts_with("SIP/2.0/TLS "));
    }
}

/// A dialog that began with a sips Request-URI over TLS stays there.
#[test]
fn a_secure_dialog_never_leaves_tls() {
    let mut world = World::new(Transport::Tls);
    let mut invite = Ask::new("INVITE").contact("<sips:src@192.0.2.10>");
    invite.uri = "sips:recorder@198.51.100.20".to_owned();
    let (dialog, ok) = world.call(&invite);
    // Somebody with the tags of the dialog speaks over another transport.
    world.source.transport = Transport::Tcp;
    world.flow = Flow(2);
    world.receive(
        &invite
            .then("UPDATE", 2)
            .tagged(&ok.to_tag())
            .contact("<sip:x@192.0.2.66>")
            .text(),
    );
    let tx = world.one_tx();
    world.respond(tx, Status::OK);
    world.take_sent();
    world
        .endpoint
        .request(world.now, dialog, Draft::new(Method::Bye), &mut world.rng)
        .unwrap();
    world.collect();
    let bye = world.one_sent();
    assert!(bye.value("Via").unwrap().starts_with("SIP/2.0/TLS "));
    assert!(!matches!(bye.to, Target::Flow(_)));
}
