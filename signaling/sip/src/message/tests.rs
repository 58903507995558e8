use super::*;
use crate::limits::{HEADER_LINES_MAX, Limits};

fn request(text: &str) -> Request {
    match Message::parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn fault(text: &str) -> ParseFault {
    Message::parse(text.as_bytes())
        .expect_err("malformed")
        .fault
}

const PLAIN: &str = "OPTIONS sip:srs.example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
    To: <sip:b@example.com>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

/// Everything that the grammar allows in blanks, case, folding and compact names.
const CONTORTED: &str = "\r\nINVITE sip:rec@srs.example.com;unknownparam SIP/2.0\r\n\
    TO :\r\n sip:rec@srs.example.com ;   x    = 1918181833n\r\n\
    from   : \"J Doe \\\\\\\"\"       <sip:jd@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n\
    MaX-fOrWaRdS: 0068\r\n\
    Call-ID: contorted@192.0.2.1\r\n\
    Content-Length   : 3\r\n\
    cseq: 0009\r\n  INVITE\r\n\
    Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;rport;branch=z9hG4bKjd\r\n\
    s :\r\n\
    NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n\
    UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n\
    Content-Type: application/sdp\r\n\
    Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n\
    v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n\
    \x20SIP  /    2.0   / UDP  192.0.2.111   ; branch=\r\n z9hG4bK30239\r\n\
    m:\"Quoted string \\\"\\\"\" <sip:jd@example.com> ; newparam =\r\n      newvalue ;\r\n\
    \x20 secondparam ; q = 0.33\r\n\r\nabcdef";

#[test]
fn contorted_but_valid() {
    let request = request(CONTORTED);
    assert_eq!(
        request.cseq(),
        &CSeq {
            number: 9,
            method: Method::Invite
        }
    );
    assert_eq!(
        (request.from().tag(), request.to().tag()),
        (Some("98asjd8"), None)
    );
    assert_eq!(request.from().display(), Some("J Doe \\\""));
    assert_eq!(request.via().unique_branch(), Some("z9hG4bKjd"));
    let vias = request.headers().vias().unwrap();
    assert_eq!(
        vias.iter().map(Via::host).collect::<Vec<_>>(),
        ["192.0.2.2", "spindle.example.com", "192.0.2.111"]
    );
    let contact = request.headers().contacts().next().unwrap();
    assert_eq!(contact.params().value("newparam"), Some("newvalue"));
    assert_eq!(contact.params().value("Q"), Some("0.33"));
    assert_eq!(request.headers().first("Subject"), Some(""));
    assert_eq!(
        request.headers().first("newfangledheader"),
        Some("newfangled value continued newfangled value")
    );
    assert_eq!(request.headers().routes().count(), 1);
    assert_eq!(
        request.body(),
        b"abc",
        "what follows the announced body is dropped"
    );
    assert!(request.has_sdp());
    assert!(request.raw().starts_with(b"INVITE ") && request.raw().ends_with(b"\r\n\r\nabc"));
    assert!(request.head().ends_with(b"\r\n\r\n"));
}

#[test]
fn headers_are_kept_verbatim_and_in_order() {
    let request = request(&PLAIN.replace("Call-ID: c", "X-A: 1\r\nx-a:  2;y \r\ni: c"));
    let all: Vec<_> = request
        .headers()
        .iter()
        .map(|h| (h.name(), h.value()))
        .collect();
    assert_eq!(all[3..6], [("X-A", "1"), ("x-a", "2;y"), ("i", "c")]);
    assert_eq!(
        request.headers().all("X-A").collect::<Vec<_>>(),
        ["1", "2;y"]
    );
}

#[test]
fn octets_that_are_no_text_survive_into_the_response() {
    let mut octets = PLAIN.as_bytes().to_vec();
    let at = PLAIN.find("<sip:a@").unwrap();
    octets.splice(at..at, b"M\xfcller ".iter().copied());
    let Ok(Message::Request(request)) = Message::parse(&octets) else {
        panic!()
    };
    assert_eq!(request.from().tag(), Some("1"));
    let frame = ResponseFrame {
        headers: request.headers(),
        top_via: None,
        to_tag: Some("t"),
        record_route: false,
    };
    let response = frame.render(&Reply::new(Status::OK));
    assert!(
        response
            .windows(16)
            .any(|window| window.starts_with(b"From: M\xfcller <"))
    );
}

#[test]
fn body_rules_of_a_datagram() {
    let with = |length: &str, body: &str| PLAIN.replace("Content-Length: 0\r\n", length) + body;
    assert_eq!(
        request(&with("Content-Length: 2\r\n", "abcd")).body(),
        b"ab"
    );
    assert_eq!(request(&with("", "abcd")).body(), b"abcd");
    assert_eq!(
        request(&with("l: 2\r\nContent-Length: 2\r\n", "ab")).body(),
        b"ab"
    );
    assert_eq!(
        fault(&with("Content-Length: 5\r\n", "abcd")),
        ParseFault::BodyShort
    );
    for length in ["-1", "+1", "1 2", "abc", "", "99999999999999999999"] {
        let fault = fault(&with(&format!("Content-Length: {length}\r\n"), "abcd"));
        assert_eq!(fault, ParseFault::Bad("Content-Length"), "{length}");
    }
    let two = with("Content-Length: 1\r\nContent-Length: 2\r\n", "abcd");
    assert_eq!(fault(&two), ParseFault::Repeated("Content-Length"));
}

#[test]
fn a_start_line_with_too_many_blanks_passes() {
    let text = PLAIN.replace(
        "OPTIONS sip:srs.example.com SIP/2.0",
        "OPTIONS  sip:srs.example.com   sip/2.0  ",
    );
    assert_eq!(request(&text).uri().host(), "srs.example.com");
}

#[test]
fn bare_line_feeds_end_lines() {
    let request = request(
        &PLAIN
            .replace("\r\n", "\n")
            .replace("Length: 0", "Length: 3")
            .replace("\n\n", "\n\na\nb"),
    );
    assert_eq!(request.body(), b"a\nb");
}

#[test]
fn faults_and_their_answers() {
    for (from, to, fault, status) in [
        (
            "SIP/2.0\r\nVia",
            "SIP/3.0\r\nVia",
            ParseFault::Version,
            Some(505),
        ),
        (
            "OPTIONS sip:srs.example.com",
            "OPTIONS sip:srs.example.com?Route=x",
            ParseFault::RequestUri,
            Some(400),
        ),
        (
            "OPTIONS sip:srs.example.com",
            "OPTIONS <sip:srs.example.com>",
            ParseFault::RequestUri,
            Some(400),
        ),
        (
            "OPTIONS sip:srs.example.com",
            "OPTIONS sip:srs.example.com; lr",
            ParseFault::RequestUri,
            Some(400),
        ),
        (
            "Call-ID: c\r\n",
            "",
            ParseFault::Missing("Call-ID"),
            Some(400),
        ),
        (
            "Call-ID: c",
            "Call-ID:",
            ParseFault::Bad("Call-ID"),
            Some(400),
        ),
        (
            "Call-ID: c",
            "Call-ID: c\r\ni: d",
            ParseFault::Repeated("Call-ID"),
            Some(400),
        ),
        (
            "1 OPTIONS",
            "1 INVITE",
            ParseFault::MethodMismatch,
            Some(400),
        ),
        (
            "OPTIONS sip",
            "NEWMETHOD sip",
            ParseFault::MethodMismatch,
            Some(501),
        ),
        (
            "192.0.2.1;branch",
            "192.0.2.1;;,;,,;branch",
            ParseFault::Bad("Via"),
            Some(400),
        ),
        (
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n",
            "",
            ParseFault::Missing("Via"),
            None,
        ),
        (
            "<sip:b@example.com>",
            "\"b <sip:b@example.com>",
            ParseFault::Bad("To"),
            Some(400),
        ),
        (
            "<sip:b@example.com>",
            "\"b\" < sip:b@example.com >",
            ParseFault::Bad("To"),
            Some(400),
        ),
        (
            "<sip:a@example.com>",
            "Doe, J <sip:a@example.com>",
            ParseFault::Bad("From"),
            Some(400),
        ),
        (
            "OPTIONS sip:srs.example.com SIP/2.0",
            "OPTIONS",
            ParseFault::StartLine,
            None,
        ),
        (
            "OPTIONS sip:srs.example.com SIP/2.0",
            "SIP/2.0 99 x",
            ParseFault::Status,
            None,
        ),
        (
            "OPTIONS sip:srs.example.com SIP/2.0",
            "SIP/2.0 4294967301 x",
            ParseFault::Status,
            None,
        ),
        ("\r\n\r\n", "\r\n", ParseFault::HeadEnd, Some(400)),
    ] {
        let text = PLAIN.replacen(from, to, 1);
        assert_ne!(text, PLAIN);
        let error = Message::parse(text.as_bytes()).expect_err(to);
        assert_eq!(error.fault, fault, "{to}");
        assert_eq!(error.status().map(Status::code), status, "{to}");
    }
}

#[test]
fn responses_with_odd_reasons() {
    for (line, code, reason) in [
        (
            "SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять - простое",
            200,
            "= 2**3 * 5**2 но сто девяносто девять - простое",
        ),
        ("SIP/2.0 100 ", 100, ""),
        ("SIP/2.0 487", 487, ""),
    ] {
        let text = PLAIN.replacen("OPTIONS sip:srs.example.com SIP/2.0", line, 1);
        let Ok(Message::Response(response)) = Message::parse(text.as_bytes()) else {
            panic!("{line}")
        };
        assert_eq!(
            (response.status().code(), response.reason()),
            (code, reason)
        );
    }
}

#[test]
fn bounds_hold() {
    let many = "x: y\r\n".repeat(HEADER_LINES_MAX + 1);
    let text = PLAIN.replace("Call-ID", &format!("{many}Call-ID"));
    assert_eq!(fault(&text), ParseFault::HeadTooLarge);
    let text = PLAIN.replace("Call-ID", &format!("x: {}\r\nCall-ID", "y".repeat(70_000)));
    assert_eq!(fault(&text), ParseFault::HeadTooLarge);
    let limits = Limits {
        body_bytes_max: 3,
        ..Limits::default()
    };
    let text = PLAIN.replace("Content-Length: 0\r\n", "") + "abcd";
    let error = Message::parse_within(text.as_bytes(), &limits).unwrap_err();
    assert_eq!(error.status(), Some(Status::ENTITY_TOO_LARGE));
    let vias = "Via: SIP/2.0/UDP a".to_owned() + &",SIP/2.0/UDP a".repeat(200) + "\r\nCall-ID";
    assert_eq!(
        fault(&PLAIN.replace("Call-ID", &vias)),
        ParseFault::Bad("Via")
    );
}

#[test]
fn typed_views() {
    let more = "Require: siprec, Foo\r\nk: timer,100rel\r\nSupported:\r\nAllow: INVITE,UPDATE\r\n\
        x: 1800;refresher=uac\r\nMin-SE: 90\r\nExpires: 60\r\nRSeq: 5\r\nRAck: 5 1 INVITE\r\n\
        Replaces: c@d;to-tag=1;from-tag=2\r\nc: Multipart/Mixed;boundary=\"b b\"\r\nCall-ID";
    let request = request(&PLAIN.replace("Call-ID", more));
    let headers = request.headers();
    assert!(headers.requires("SIPREC") && headers.supports("100rel") && !headers.supports(""));
    assert!(headers.allows(&Method::Update) && !headers.allows(&Method::Bye));
    assert_eq!(
        headers.session_expires().unwrap().refresher,
        Some(Refresher::Uac)
    );
    assert_eq!(
        (headers.min_se(), headers.expires(), headers.rseq()),
        (Some(90), Some(60), Some(5))
    );
    assert_eq!(headers.rack().unwrap().cseq.method, Method::Invite);
    assert_eq!(headers.replaces().flatten().unwrap().call_id, "c@d");
    assert_eq!(
        headers.content_type().unwrap().params().value("boundary"),
        Some("b b")
    );
    assert_eq!(
        headers.list("Require").collect::<Vec<_>>(),
        ["siprec", "Foo"]
    );
}

#[test]
fn warning_quotes_its_text() {
    let reply = Reply::new(Status::NOT_ACCEPTABLE_HERE).warning(304, "srs", "no \"codec\"");
    assert_eq!(reply.value("warning"), Some("304 srs \"no \\\"codec\\\"\""));
}
