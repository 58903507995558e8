use super::*;
use crate::message::Message;

fn response(record_routes: &str, contact: &str) -> Response {
    let text = format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS 198.51.100.20:5061;branch=z9hG4bK1\r\n{record_routes}\
         From: <sips:recorder@198.51.100.20>;tag=ours\r\nTo: <sips:src@example.com>;tag=theirs\r\n\
         Call-ID: c\r\nCSeq: 7 INVITE\r\n{contact}Content-Length: 0\r\n\r\n"
    );
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Response(response) => response,
        Message::Request(_) => unreachable!(),
    }
}

fn source() -> FlowInfo {
    FlowInfo {
        transport: Transport::Tls,
        remote: "192.0.2.10:5061".parse().unwrap(),
        local: "198.51.100.20:40000".parse().unwrap(),
    }
}

#[test]
fn a_dialog_of_ours_takes_the_route_in_reverse() {
    let response = response(
        "Record-Route: <sip:p2.example.com;lr>, <sip:p1.example.com;lr>\r\n",
        "Contact: <sips:src@192.0.2.10>\r\n",
    );
    let mut dialog = Dialog::uac(&response, Flow(3), &source()).unwrap();
    assert_eq!(
        dialog.route_set,
        ["<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"]
    );
    assert_eq!(
        (
            dialog.key.local_tag.as_str(),
            dialog.key.remote_tag.as_str()
        ),
        ("ours", "theirs")
    );
    assert_eq!(dialog.remote_target, "sips:src@192.0.2.10");
    assert_eq!((dialog.phase, dialog.role), (Phase::Confirmed, Role::Uac));
    assert_eq!((dialog.next_cseq(), dialog.remote_cseq), (Some(8), None));
    assert!(dialog.is_secure);
    assert_eq!(dialog.take_cseq(100), Ok(()), "the peer begins anywhere");
    assert_eq!(dialog.take_cseq(99), Err(StaleCSeq));
}

#[test]
fn the_caller_waits_longer_after_glare() {
    struct Counting(u8);
    impl Entropy for Counting {
        fn fill(&mut self, out: &mut [u8]) {
            for octet in out {
                self.0 = self.0.wrapping_mul(13).wrapping_add(7);
                *octet = self.0;
            }
        }
    }
    let ours = Dialog::uac(&response("", ""), Flow(3), &source()).unwrap();
    let mut rng = Counting(0);
    for _ in 0..200 {
        let wait = ours.glare_backoff(&mut rng).as_millis();
        assert!(
            (2_100..=4_000).contains(&wait) && wait.is_multiple_of(10),
            "{wait}"
        );
    }
}

#[test]
fn cseq_numbers_run_out_instead_of_wrapping() {
    let mut dialog = Dialog::uac(&response("", ""), Flow(3), &source()).unwrap();
    dialog.local_cseq = CSEQ_END - 2;
    assert_eq!(dialog.next_cseq(), Some(CSEQ_END - 1));
    assert_eq!(dialog.next_cseq(), None);
}

#[test]
fn a_strict_router_is_stripped_of_what_a_request_uri_must_not_have() {
    let mut dialog = Dialog::uac(&response("", ""), Flow(3), &source()).unwrap();
    dialog.remote_target = "sip:src@192.0.2.10".to_owned();
    dialog.route_set = vec!["<sip:p.example.com;Method=BYE;x=1?a=b>".to_owned()];
    let path = dialog.path();
    assert_eq!(path.request_uri, "sip:p.example.com;x=1");
    assert_eq!(path.routes, ["<sip:src@192.0.2.10>"]);
}
