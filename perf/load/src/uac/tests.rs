use super::*;
use crate::invite::{Codec, Offer};

fn uac(transport: Transport) -> Uac {
    Uac::new(UacConfig {
        transport,
        local: "192.0.2.1:5070".parse().unwrap(),
        target: "192.0.2.9:5060".parse().unwrap(),
        run: "r1".to_owned(),
        user: "1000".to_owned(),
    })
}

fn body() -> Body {
    let port = |port| SocketAddr::new([192, 0, 2, 1].into(), port);
    Offer::two_party(3, Codec::Pcmu, port(26000), port(26002)).multipart()
}

fn at(ms: u64) -> MonoTime {
    MonoTime::ZERO + Duration::from_millis(ms)
}

fn drain(uac: &mut Uac) -> (Vec<Message>, Vec<Event>) {
    let (mut sent, mut events) = (Vec::new(), Vec::new());
    while let Some(output) = uac.poll_output() {
        match output {
            Output::Transmit(bytes) => sent.push(Message::parse(&bytes).unwrap()),
            Output::Event(event) => events.push(event),
        }
    }
    (sent, events)
}

fn answer(request: &Message, status: &str, extra: &str) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        text.push_str(&format!("{name}: {}\r\n", request.header(name).unwrap()));
    }
    text.push_str(&format!("To: <sip:1000@192.0.2.9>;tag=srs\r\n{extra}\r\n"));
    text.into_bytes()
}

fn method(message: &Message) -> &str {
    match &message.start {
        StartLine::Request { method, .. } => method,
        StartLine::Response { .. } => "response",
    }
}

fn established(uac: &mut Uac) -> Message {
    uac.invite(at(0), 3, &body()).unwrap();
    let (sent, _) = drain(uac);
    let extra = "Contact: <sip:srs@192.0.2.8:5080>;+sip.srs\r\n\
                 Record-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>\r\n";
    uac.handle_message(at(7), &answer(&sent[0], "200 OK", extra));
    sent[0].clone()
}

#[test]
fn an_invite_over_udp_is_repeated_until_a_provisional_response() {
    let mut uac = uac(Transport::Udp);
    uac.invite(at(0), 3, &body()).unwrap();
    let (sent, _) = drain(&mut uac);
    for due in [500, 1_500, 3_500] {
        uac.handle_timeout(at(due - 1));
        assert_eq!(drain(&mut uac).0, [], "nothing before {due} ms");
        uac.handle_timeout(at(due));
        assert_eq!(drain(&mut uac).0, sent, "the same octets at {due} ms");
    }
    uac.handle_message(at(3_600), &answer(&sent[0], "100 Trying", ""));
    uac.handle_timeout(at(31_999));
    assert_eq!(drain(&mut uac), (vec![], vec![]));
    uac.handle_timeout(at(32_000));
    let timed_out = Event::TimedOut {
        call: 3,
        method: Method::Invite,
    };
    assert_eq!(drain(&mut uac).1, [timed_out]);
    assert_eq!(uac.poll_timeout(), None);
}

#[test]
fn nothing_is_repeated_over_tcp() {
    let mut uac = uac(Transport::Tcp);
    uac.invite(at(0), 3, &body()).unwrap();
    drain(&mut uac);
    assert_eq!(uac.poll_timeout(), Some(at(32_000)));
}

#[test]
fn every_copy_of_the_200_is_acknowledged_along_the_route_set() {
    let mut uac = uac(Transport::Udp);
    let invite = established(&mut uac);
    let (sent, events) = drain(&mut uac);
    assert!(matches!(
        events[..],
        [Event::Accepted { call: 3, method: Method::Invite, took, .. }]
            if took == Duration::from_millis(7)
    ));
    assert_eq!(method(&sent[0]), "ACK");
    let uri = "sip:srs@192.0.2.8:5080".to_owned();
    assert_eq!(
        sent[0].start,
        StartLine::Request {
            method: "ACK".to_owned(),
            uri
        }
    );
    assert_eq!(sent[0].cseq(), Some((1, "ACK")));
    assert_eq!(sent[0].tag("To"), Some("srs"));
    assert_eq!(
        sent[0].all("Route").collect::<Vec<_>>(),
        ["<sip:p2;lr>", "<sip:p1;lr>"]
    );
    assert_ne!(sent[0].branch(), invite.branch());
    uac.handle_message(at(500), &answer(&invite, "200 OK", ""));
    assert_eq!(drain(&mut uac), (sent, vec![]));
    assert_eq!(uac.poll_timeout(), None);
}

#[test]
fn a_refusal_is_acknowledged_in_its_own_transaction_and_ends_the_call() {
    let mut uac = uac(Transport::Udp);
    uac.invite(at(0), 3, &body()).unwrap();
    let (sent, _) = drain(&mut uac);
    uac.handle_message(at(9), &answer(&sent[0], "503 Service Unavailable", ""));
    let (acks, events) = drain(&mut uac);
    assert_eq!(
        (method(&acks[0]), acks[0].branch()),
        ("ACK", sent[0].branch())
    );
    assert!(matches!(
        events[..],
        [Event::Refused {
            call: 3,
            method: Method::Invite,
            ..
        }]
    ));
    let no_call = Err(RequestError::NoCall(3));
    assert_eq!(uac.request(at(10), 3, Method::Bye, None), no_call);
}

#[test]
fn a_bye_is_repeated_up_to_t2_and_ends_the_call() {
    let mut uac = uac(Transport::Udp);
    established(&mut uac);
    drain(&mut uac);
    uac.request(at(1_000), 3, Method::Bye, None).unwrap();
    assert_eq!(
        uac.request(at(1_000), 3, Method::Bye, None),
        Err(RequestError::Busy(3))
    );
    let (sent, _) = drain(&mut uac);
    assert_eq!(sent[0].cseq(), Some((2, "BYE")));
    let mut times = Vec::new();
    while times.len() < 5 {
        let due = uac.poll_timeout().unwrap();
        uac.handle_timeout(due);
        times.extend(
            drain(&mut uac)
                .0
                .iter()
                .map(|_| (due - at(1_000)).as_millis()),
        );
    }
    assert_eq!(times, [500, 1_500, 3_500, 7_500, 11_500]);
    uac.handle_message(at(13_000), &answer(&sent[0], "200 OK", ""));
    assert!(matches!(
        drain(&mut uac).1[..],
        [Event::Accepted {
            method: Method::Bye,
            ..
        }]
    ));
    assert_eq!(
        uac.request(at(14_000), 3, Method::Bye, None),
        Err(RequestError::NoCall(3))
    );
}

#[test]
fn a_reinvite_raises_the_cseq_and_a_refused_one_keeps_the_call() {
    let mut uac = uac(Transport::Tcp);
    established(&mut uac);
    drain(&mut uac);
    uac.request(at(20), 3, Method::Invite, Some(&body()))
        .unwrap();
    let (sent, _) = drain(&mut uac);
    assert_eq!(sent[0].cseq(), Some((2, "INVITE")));
    uac.handle_message(at(30), &answer(&sent[0], "491 Request Pending", ""));
    drain(&mut uac);
    assert_eq!(
        uac.request(at(40), 3, Method::Update, Some(&body())),
        Ok(())
    );
    assert_eq!(drain(&mut uac).0[0].cseq(), Some((3, "UPDATE")));
}

#[test]
fn a_call_goes_on_elsewhere_by_the_name_of_its_dialog() {
    let mut first = uac(Transport::Udp);
    assert_eq!(first.dialog_name(3), None);
    let invite = established(&mut first);
    let name = first.dialog_name(3).unwrap();
    assert_eq!(Some(name.call_id.as_str()), invite.header("Call-ID"));
    let mut second = uac(Transport::Udp);
    second.invite_replacing(at(9), 3, &body(), &name).unwrap();
    let (sent, _) = drain(&mut second);
    let replaces = format!(
        "{};to-tag=srs;from-tag={}",
        name.call_id,
        invite.tag("From").unwrap()
    );
    assert_eq!(sent[0].header("Replaces"), Some(replaces.as_str()));
    assert_eq!(
        sent[0].all("Require").collect::<Vec<_>>(),
        ["siprec", "replaces"]
    );
    second.handle_message(at(10), &answer(&sent[0], "200 OK", ""));
    drain(&mut second);
    second
        .request(at(20), 3, Method::Invite, Some(&body()))
        .unwrap();
    let (sent, _) = drain(&mut second);
    assert_eq!(sent[0].header("Replaces"), None, "it is said once");
}

#[test]
fn the_servers_bye_is_answered_and_reported() {
    let mut uac = uac(Transport::Udp);
    let invite = established(&mut uac);
    drain(&mut uac);
    let bye = format!(
        "BYE sip:src@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\n\
         From: <sip:srs>;tag=srs\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\n\r\n",
        invite.header("From").unwrap(),
        invite.header("Call-ID").unwrap()
    );
    uac.handle_message(at(50), bye.as_bytes());
    let (sent, events) = drain(&mut uac);
    assert_eq!(sent[0].status(), Some(200));
    assert_eq!(sent[0].branch(), Some("z9hG4bKx"));
    assert_eq!(events, [Event::HungUp { call: 3 }]);
}

#[test]
fn messages_of_other_runs_and_noise_are_passed_over() {
    let mut uac = uac(Transport::Udp);
    uac.invite(at(0), 3, &body()).unwrap();
    let (sent, _) = drain(&mut uac);
    let ok = String::from_utf8(answer(&sent[0], "200 OK", "")).unwrap();
    for other in [
        ok.replace("r1-000003@", "r2-000003@"),
        ok.replace("r1-000003@", "r1-000004@"),
        ok.replace("branch=z9", "branch=z8"),
        ok.replace("1 INVITE", "2 INVITE"),
        "noise".to_owned(),
    ] {
        uac.handle_message(at(1), other.as_bytes());
        assert_eq!(drain(&mut uac), (vec![], vec![]), "{other}");
    }
}
