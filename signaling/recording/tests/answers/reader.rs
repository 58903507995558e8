//! The lenient reader: D-01, D-02, D-17 and the damage of the field.

use holdfast_recording::limits;
use holdfast_recording::sdp::{
    Direction, Family, MediaKind, Profile, SdpError, SdpFlag, SessionDescription,
};

use crate::vectors::{AUDIO, HEAD, parse, with};

fn flags(text: &str) -> Vec<SdpFlag> {
    parse(text).all_flags().into_iter().collect()
}

#[test]
fn d01_a_clean_description_has_no_flags() {
    let read = with(&[AUDIO]);
    assert!(read.all_flags().is_empty());
    let origin = read.origin.as_ref().unwrap();
    assert_eq!(
        (origin.session_id.as_str(), origin.version.as_str()),
        ("11", "22")
    );
    let media = &read.media[0];
    assert_eq!(
        (media.kind, media.profile, media.port),
        (MediaKind::Audio, Profile::Avp, 40_000)
    );
    assert_eq!(
        (media.label.as_deref(), media.ptime_ms),
        (Some("1"), Some(20))
    );
    assert_eq!(read.direction_of(media), Direction::SendOnly);
    assert_eq!(read.connection_of(media).unwrap().host, "192.0.2.10");
}

#[test]
fn d01_any_line_ending_and_indentation_reads_the_same() {
    let text = format!("{HEAD}{AUDIO}");
    let expected = parse(&text);
    for ending in ["\n", "\r", "\r\n", "\n\n", "\r\n  "] {
        let bytes = text.replace('\n', ending);
        assert_eq!(
            SessionDescription::parse(bytes.as_bytes()).unwrap(),
            expected,
            "{ending:?}"
        );
    }
    let mark = format!("\u{feff}{text}");
    assert_eq!(
        SessionDescription::parse(mark.as_bytes()).unwrap(),
        expected
    );
    assert_eq!(
        SessionDescription::parse(text.trim_end().as_bytes()).unwrap(),
        expected
    );
}

#[test]
fn missing_lines_are_flagged_and_forgiven() {
    for (line, flag) in [
        ("v=0\n", SdpFlag::NoVersion),
        ("o=src 11 22 IN IP4 192.0.2.10\n", SdpFlag::NoOrigin),
        ("s=-\n", SdpFlag::NoName),
        ("t=0 0\n", SdpFlag::NoTime),
        ("c=IN IP4 192.0.2.10\n", SdpFlag::NoConnection),
    ] {
        assert_eq!(flags(&format!("{}{AUDIO}", HEAD.replace(line, ""))), [flag]);
    }
}

#[test]
fn odd_lines_are_flagged_and_forgiven() {
    let cases: [(String, &[SdpFlag]); 14] = [
        (format!("{HEAD}k=clear:x\n{AUDIO}"), &[SdpFlag::KeyLine]),
        (format!("{HEAD}q=what\n{AUDIO}"), &[SdpFlag::UnknownLine]),
        (format!("{HEAD}nonsense\n{AUDIO}"), &[SdpFlag::UnknownLine]),
        (format!("{HEAD}b=AS\n{AUDIO}"), &[SdpFlag::BadBandwidth]),
        (
            format!("{HEAD}{AUDIO}c=IN IP4\n"),
            &[SdpFlag::BadConnection],
        ),
        (format!("{HEAD}{AUDIO}t=0 0\n"), &[SdpFlag::OutOfOrder]),
        (
            format!("{HEAD}{AUDIO}a=inactive\n"),
            &[SdpFlag::SeveralDirections],
        ),
        (
            format!("{HEAD}{AUDIO}a=rtpmap:nonsense\n"),
            &[SdpFlag::OddRtpmap],
        ),
        (
            format!("{HEAD}{AUDIO}a=rtpmap:8 PCMU/8000\n"),
            &[SdpFlag::StaticRemapped],
        ),
        (format!("{HEAD}{AUDIO}a=crypto:x\n"), &[SdpFlag::BadCrypto]),
        (format!("{HEAD}a=rtcp:5\n{AUDIO}"), &[SdpFlag::BadRtcp]),
        (
            format!("{HEAD}m=audio 1 RTP/AVP 0 pcmu\n"),
            &[SdpFlag::BadFormat],
        ),
        (format!("{HEAD}m=audio 1 RTP/AVP\n"), &[SdpFlag::NoFormat]),
        (
            format!("{HEAD}m=audio 1/2 RTP/AVP 0\n"),
            &[SdpFlag::SeveralPorts],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(flags(&text), expected, "{text}");
    }
}

#[test]
fn octets_that_could_break_out_of_a_line_do_not_survive() {
    let bytes = [
        HEAD.as_bytes(),
        b"m=audio 1 RTP/AVP 0\na=label:a\x00b\x1bc\xffd\n",
    ]
    .concat();
    let read = SessionDescription::parse(&bytes).unwrap();
    assert_eq!(read.media[0].label.as_deref(), Some("a?b?c\u{fffd}d"));
    assert!(read.media[0].flags.contains(&SdpFlag::BadText));
}

#[test]
fn d17_unknown_attributes_are_kept_in_order() {
    let read = parse(&format!("{HEAD}a=X-nat:0\n{AUDIO}a=3gOoBTC\na=odd:x:y z\n"));
    assert_eq!(read.attributes[0].name, "X-nat");
    let media = &read.media[0];
    assert!(media.has_attribute("3gOoBTC"));
    assert_eq!(
        media.attributes.last().unwrap().value.as_deref(),
        Some("x:y z")
    );
    assert_eq!(media.attributes.len(), AUDIO.lines().count() - 1 + 2);
}

#[test]
fn secrets_print_redacted() {
    let line = "m=audio 1 RTP/SAVP 0\na=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:SECRET WSH=64 -X\n\
                a=ice-pwd:SECRET\na=setup:actpass\na=fingerprint:SHA-256 AB:CD\n";
    let read = parse(&format!(
        "{HEAD}a=key-mgmt:mikey SECRET\na=group:BUNDLE 1 2\n{line}"
    ));
    assert!(!format!("{read:?}").contains("SECRET"));
    let media = &read.media[0];
    let crypto = &media.crypto[0];
    assert_eq!((crypto.tag, crypto.keys.expose()), (7, "inline:SECRET"));
    assert_eq!(crypto.parameters, ["WSH=64", "-X"]);
    assert_eq!(media.setup.as_deref(), Some("actpass"));
    assert_eq!(
        (
            media.fingerprints[0].hash.as_str(),
            read.groups[0].mids.len()
        ),
        ("sha-256", 2)
    );
}

#[test]
fn addresses_of_every_kind() {
    for (line, family, address) in [
        ("IN IP4 192.0.2.1", Family::V4, Some("192.0.2.1")),
        ("IN IP4 192.0.2.1/127/3", Family::V4, Some("192.0.2.1")),
        ("in ip6 2001:DB8::1", Family::V6, Some("2001:db8::1")),
        ("IN IP4 2001:db8::1", Family::V6, Some("2001:db8::1")),
        ("IN IP6 192.0.2.1", Family::V4, Some("192.0.2.1")),
        ("IN IP4 X.X.X.X", Family::V4, None),
        ("IN IP6 media.example.com", Family::V6, None),
    ] {
        let read = parse(&HEAD.replace("IN IP4 192.0.2.10\nt", &format!("{line}\nt")));
        let connection = read.connection.unwrap();
        assert_eq!(connection.family, family, "{line}");
        assert_eq!(
            connection.address.map(|ip| ip.to_string()).as_deref(),
            address,
            "{line}"
        );
    }
}

#[test]
fn other_media_than_rtp_is_read_too() {
    let read = parse(&format!(
        "{HEAD}m=image 40000 udptl t38\na=T38FaxVersion:0\n\
         m=message 9 TCP/MSRP *\nm=text 1 RTP/AVP 98\n"
    ));
    let kinds: Vec<_> = read.media.iter().map(|media| media.kind).collect();
    assert_eq!(
        kinds,
        [MediaKind::Image, MediaKind::Message, MediaKind::Text]
    );
    assert!(read.all_flags().is_empty());
}

#[test]
fn every_limit_holds() {
    let audio = "m=audio 1 RTP/AVP 0\n";
    let full = format!("{HEAD}{}", audio.repeat(limits::MEDIA_LINES_MAX));
    assert_eq!(parse(&full).media.len(), limits::MEDIA_LINES_MAX);
    let error = |text: String| SessionDescription::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error(format!("{full}{audio}")), SdpError::TooManyMedia);
    let lines = "a=x\n".repeat(limits::SDP_LINES_MAX);
    assert_eq!(error(format!("{HEAD}{lines}")), SdpError::TooManyLines);
    let size = limits::SDP_BYTES_MAX + 1;
    assert_eq!(error("v".repeat(size)), SdpError::TooLong { size });
    let long = format!(
        "{HEAD}a=x:{}\n{AUDIO}",
        "y".repeat(limits::SDP_LINE_BYTES_MAX)
    );
    assert_eq!(flags(&long), [SdpFlag::LongLine]);
    let formats = format!(
        "{HEAD}m=audio 1 RTP/AVP{}\n",
        " 0".repeat(limits::FORMATS_MAX + 1)
    );
    assert_eq!(flags(&formats), [SdpFlag::TooManyFormats]);
}
