//! Message bodies: P-50 to P-53, P-57, P-58, P-60.

use holdfast_recording::multipart::{
    Bodies, BodyFlag, BodyLimits, Handling, UnstatedHandling, split, split_message,
};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nt=0 0\r\n";
const XML: &str = "<?xml version=\"1.0\"?>\r\n<recording/>\r\n";

fn parts<'b>(content_type: &str, body: &'b str) -> Bodies<'b> {
    split(content_type, body.as_bytes(), &BodyLimits::default())
}

fn usual() -> String {
    format!(
        "--b\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n\
         --b\r\nContent-Type: application/rs-metadata+xml\r\n\
         Content-Disposition: recording-session\r\n\r\n{XML}\r\n--b--\r\n"
    )
}

/// Both parts are there, octet by octet.
fn assert_both(bodies: &Bodies<'_>, what: &str) {
    let sdp = bodies
        .sdp()
        .unwrap_or_else(|| panic!("{what}: no SDP in {:?}", bodies.parts));
    assert_eq!(String::from_utf8_lossy(sdp.bytes), SDP, "{what}");
    let metadata = bodies
        .metadata()
        .unwrap_or_else(|| panic!("{what}: no metadata"));
    assert_eq!(String::from_utf8_lossy(metadata.bytes), XML, "{what}");
}

#[test]
fn p50_the_boundary_in_every_dress() {
    let body = usual();
    for content_type in [
        "multipart/mixed;boundary=b",
        "multipart/mixed; boundary=\"b\"",
        "Multipart/MIXED ; Boundary = b ",
        "multipart/related;type=x;boundary=b;start=y",
        "multipart/alternative-of-mine;boundary=b",
    ] {
        let bodies = parts(content_type, &body);
        assert_both(&bodies, content_type);
        assert!(bodies.flags.is_empty());
    }
    for content_type in ["multipart/mixed", "multipart/mixed;boundary=c", ""] {
        let bodies = parts(content_type, &body);
        assert_both(&bodies, content_type);
        assert!(bodies.flags.contains(&BodyFlag::BoundaryFromBody));
    }
}

#[test]
fn p50_preamble_epilogue_blanks_and_missing_ends() {
    let body = usual();
    let mixed = "multipart/mixed;boundary=b";
    assert_both(
        &parts(mixed, &format!("This is MIME.\r\n{body}")),
        "preamble",
    );
    assert_both(
        &parts(mixed, &format!("{body}epilogue\r\n--b\r\n\r\nnot a part")),
        "epilogue",
    );
    assert_both(
        &parts(mixed, &body.replace("--b--\r\n", "--b-- ")),
        "blank after the end",
    );
    assert_both(
        &parts(mixed, &body.replace("--b\r\n", "--b \t\r\n")),
        "blank after the boundary",
    );
    assert_both(
        &parts(mixed, &body.replace("--b--\r\n", "--b--")),
        "no line break at the end",
    );
    let open = body.replace("\r\n--b--\r\n", "");
    let bodies = parts(mixed, &open);
    assert_both(&bodies, "no end");
    assert!(bodies.flags.contains(&BodyFlag::NoClosingBoundary));
}

#[test]
fn a_boundary_that_begins_like_another_one_is_another_one() {
    let inner = usual().replace("--b", "--bb");
    let header = "Content-Type: multipart/mixed;boundary=bb";
    let body = format!("--b\r\n{header}\r\n\r\n{inner}\r\n--b--");
    let bodies = parts("multipart/mixed;boundary=b", &body);
    assert_both(&bodies, "b around bb");
    assert_eq!((bodies.parts.len(), bodies.flags.len()), (2, 0));
}

#[test]
fn p60_line_feeds_alone_are_line_ends_and_the_octets_stay() {
    let body = usual().replace("\r\n", "\n");
    let bodies = parts("multipart/mixed;boundary=b", &body);
    let sdp = bodies.sdp().unwrap();
    assert_eq!(sdp.bytes, SDP.replace("\r\n", "\n").as_bytes());
    assert_eq!(
        body.as_bytes()[sdp.offset..].get(..sdp.bytes.len()),
        Some(sdp.bytes)
    );
    assert_eq!(
        bodies.metadata().unwrap().bytes,
        XML.replace("\r\n", "\n").as_bytes()
    );
}

#[test]
fn p50_p52_headers_in_any_order_shape_and_number() {
    let body = format!(
        "--b\r\ncontent-disposition:Recording-Session;handling=REQUIRED\r\n\
         CONTENT-TYPE:Application/RS-Metadata;charset=\"utf-8\"\r\n\
         Content-Length:9999\r\n\r\n{XML}\r\n\
         --b\r\nContent-Disposition: session;\r\n handling=optional\r\n\
         Content-Type :  application/SDP\r\nX-Vendor: kept: as is\r\n\r\n{SDP}\r\n--b--"
    );
    let bodies = parts("multipart/mixed;boundary=b", &body);
    assert_both(&bodies, "odd headers");
    let (metadata, sdp) = (bodies.metadata().unwrap(), bodies.sdp().unwrap());
    assert_eq!(metadata.content_type, "application/rs-metadata");
    assert_eq!(metadata.charset(), Some("utf-8"));
    assert_eq!(metadata.handling, Some(Handling::Required));
    assert_eq!(
        metadata.header("content-length"),
        Some("9999"),
        "a hint that nobody follows"
    );
    assert_eq!(
        (sdp.disposition.as_deref(), sdp.handling),
        (Some("session"), Some(Handling::Optional))
    );
    assert_eq!(sdp.header("x-vendor"), Some("kept: as is"));
}

#[test]
fn parts_without_a_type_are_told_by_their_first_octets() {
    for (first, second) in [("\r\n", "\r\n"), ("", ""), ("X-A: b\r\n\r\n", "\r\n")] {
        let body = format!("--b\r\n{first}{SDP}\r\n--b\r\n{second}{XML}\r\n--b--\r\n");
        let bodies = parts("multipart/mixed;boundary=b", &body);
        assert_both(&bodies, first);
        assert!(bodies.flags.contains(&BodyFlag::TypeGuessed));
    }
    let headers_only = format!("--b\r\nContent-Type: application/sdp\r\n{SDP}\r\n--b--");
    let bodies = parts("multipart/mixed;boundary=b", &headers_only);
    assert_eq!(
        bodies.sdp().unwrap().bytes,
        SDP.as_bytes(),
        "no blank line after the headers"
    );
}

#[test]
fn p53_a_body_alone_is_one_part() {
    for (content_type, body) in [
        ("application/sdp", SDP),
        ("Application/SDP;charset=x", SDP),
        ("", SDP),
        ("application/rs-metadata+xml", XML),
        ("application/rs-metadata", XML),
        ("", XML),
    ] {
        let bodies = parts(content_type, body);
        assert_eq!(bodies.parts.len(), 1);
        let found = if body == SDP {
            bodies.sdp()
        } else {
            bodies.metadata()
        };
        assert_eq!(found.unwrap().bytes, body.as_bytes(), "{content_type}");
        assert_eq!(bodies.sdp().is_some(), body == SDP);
    }
    assert!(parts("", "").parts.is_empty());
    let one = format!("--b\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b--\r\n");
    assert_eq!(
        parts("multipart/mixed;boundary=b", &one)
            .sdp()
            .unwrap()
            .bytes,
        SDP.as_bytes()
    );
}

#[test]
fn p52_metadata_of_a_damaged_type_is_known_by_its_disposition() {
    let body = usual().replace("application/rs-metadata+xml", "application/ +xml");
    let bodies = parts("multipart/mixed;boundary=b", &body);
    assert_both(&bodies, "damaged type");
    assert!(bodies.flags.contains(&BodyFlag::TypeDamaged));
    assert_eq!(
        bodies.unknown_required(UnstatedHandling::Required).count(),
        0
    );
    let alone = split_message(
        "text/xml",
        Some("recording-session"),
        XML.as_bytes(),
        &BodyLimits::default(),
    );
    assert!(alone.metadata().is_some());
}

#[test]
fn p50_nested_multiparts_open_up_to_the_limit() {
    let nest = |inner: String, name: &str| {
        format!(
            "--{name}\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n{inner}\r\n--{name}--\r\n"
        )
    };
    let bodies_of = |depth: usize| {
        let mut body = usual();
        let mut boundary = "b".to_owned();
        for level in 0..depth {
            let name = format!("n{level}");
            body = nest(body, &name).replacen("boundary=b\r", &format!("boundary={boundary}\r"), 1);
            boundary = name;
        }
        (format!("multipart/mixed;boundary={boundary}"), body)
    };
    for depth in 0..4 {
        let (content_type, body) = bodies_of(depth);
        assert_both(&parts(&content_type, &body), &format!("depth {depth}"));
    }
    let (content_type, body) = bodies_of(4);
    let bodies = parts(&content_type, &body);
    assert!(bodies.flags.contains(&BodyFlag::TooDeep) && bodies.sdp().is_none());
    assert_eq!(bodies.parts.len(), 1, "kept unsplit");
}

#[test]
fn p50_of_alternatives_the_last_one_understood_counts() {
    let other = SDP.replace("192.0.2.10", "192.0.2.99");
    let sdp = |text: &str| format!("--a\r\nContent-Type: application/sdp\r\n\r\n{text}\r\n");
    let foreign = "--a\r\nContent-Type: application/sdpng\r\n\r\n<x/>\r\n";
    let body = format!(
        "--b\r\nContent-Type: multipart/alternative;boundary=a\r\n\r\n{}{}{foreign}--a--\r\n\
         --b\r\nContent-Type: application/rs-metadata+xml\r\n\r\n{XML}\r\n--b--\r\n",
        sdp(&other),
        sdp(SDP),
    );
    let bodies = parts("multipart/mixed;boundary=b", &body);
    assert_both(&bodies, "alternative");
    assert_eq!(bodies.parts.len(), 4);
    assert_eq!(
        bodies.unknown_required(UnstatedHandling::Required).count(),
        0
    );
}

#[test]
fn p57_unknown_parts_by_their_handling() {
    let body = |disposition: &str| {
        let part = format!("--b\r\n{disposition}Content-Type: application/foo\r\n\r\nx\r\n--b--");
        usual().replace("--b--", &part)
    };
    for (disposition, strict, lenient) in [
        ("Content-Disposition: signal;handling=required\r\n", 1, 1),
        ("Content-Disposition: signal;handling=optional\r\n", 0, 0),
        ("Content-Disposition: signal\r\n", 1, 0),
        ("", 1, 0),
    ] {
        let body = body(disposition);
        let bodies = parts("multipart/mixed;boundary=b", &body);
        assert_both(&bodies, disposition);
        let count = |unstated| bodies.unknown_required(unstated).count();
        assert_eq!(count(UnstatedHandling::Required), strict, "{disposition}");
        assert_eq!(count(UnstatedHandling::Optional), lenient, "{disposition}");
        assert_eq!(
            bodies.others().map(|part| part.bytes).collect::<Vec<_>>(),
            [b"x"]
        );
    }
}

#[test]
fn p58_a_foreign_content_coding_is_not_understood() {
    let body = usual().replace(
        "Content-Disposition",
        "Content-Encoding: gzip\r\nContent-Disposition",
    );
    let bodies = parts("multipart/mixed;boundary=b", &body);
    assert!(bodies.metadata().is_none() && bodies.sdp().is_some());
    let unknown: Vec<_> = bodies
        .unknown_required(UnstatedHandling::Required)
        .collect();
    assert_eq!(unknown[0].foreign_encoding(), Some("gzip"));
}

#[test]
fn an_early_session_is_not_the_session() {
    let body = usual().replacen(
        "Content-Type",
        "Content-Disposition: early-session\r\nContent-Type",
        1,
    );
    assert!(parts("multipart/mixed;boundary=b", &body).sdp().is_none());
}

#[test]
fn what_is_no_multipart_is_one_part() {
    let bodies = parts("multipart/mixed;boundary=b", SDP);
    assert!(bodies.flags.contains(&BodyFlag::NoBoundary));
    assert_eq!(bodies.sdp().unwrap().bytes, SDP.as_bytes());
    assert_eq!(
        parts("multipart/mixed;boundary=b", "--").parts[0].content_type,
        "text/plain"
    );
}

#[test]
fn every_limit_holds() {
    let limits = BodyLimits::default();
    let many = format!("{}--b--", "--b\r\n\r\nx\r\n".repeat(limits.parts_max + 1));
    let bodies = parts("multipart/mixed;boundary=b", &many);
    assert!(bodies.flags.contains(&BodyFlag::TooManyParts));
    assert_eq!(bodies.parts.len(), limits.parts_max);
    let headers = "A: b\r\n".repeat(limits.headers_max + 1);
    let body = format!("--b\r\n{headers}\r\nx\r\n--b--");
    let bodies = parts("multipart/mixed;boundary=b", &body);
    assert!(bodies.flags.contains(&BodyFlag::HeadersCut));
    assert_eq!(
        (bodies.parts[0].headers.len(), bodies.parts[0].bytes),
        (limits.headers_max, &b"x"[..])
    );
    let long = format!(
        "--b\r\nA: {}\r\n c\r\n\r\nx\r\n--b--",
        "b".repeat(limits.header_bytes_max)
    );
    let bodies = parts("multipart/mixed;boundary=b", &long);
    assert_eq!(bodies.parts[0].headers[0].1.len(), limits.header_bytes_max);
}
