//! What is wrong, and which answer it gets (standards 1.7).

use holdfast_recording::recorder::RecorderConfig;

use crate::peer::{Ask, Src, invite, line, metadata, offer, sdp};
use crate::world::{Sent, World};

fn answer(ask: &Ask) -> Sent {
    let mut world = World::new();
    let sent = world.answer(&mut Src::new("bad"), ask);
    if sent.status() != 200 {
        assert!(world.engine.held.is_empty(), "nothing is recorded");
        assert!(world.engine.published.is_empty());
    }
    sent
}

#[test]
fn broken_metadata_costs_no_recording_and_is_kept_as_it_came() {
    let broken = "<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\"><participant \
                  participant_id=\"x\"><nameID aor=\"sip:alice@example.com\"/></participant><oops";
    let mut world = World::new();
    world.call_with(
        "broken",
        &Ask::new("INVITE").sdp(&offer("sendonly")).metadata(broken),
    );
    let held = world.held();
    assert_eq!(held.text("0001.xml"), broken);
    let call = held.call();
    assert!(
        call.metadata[0].flags.contains(&"ill_formed".to_owned()),
        "{:?}",
        call.metadata
    );
    assert!(
        call.warnings
            .iter()
            .any(|warning| warning.code == "metadata_broken")
    );
    assert_eq!(
        call.participants[0].aors,
        ["sip:alice@example.com"],
        "as far as it could be read"
    );
    assert_eq!(held.last().streams.len(), 2);
}

#[test]
fn strictly_broken_metadata_gets_400() {
    let mut world = World::with(RecorderConfig {
        is_strict: true,
        ..RecorderConfig::default()
    });
    let ask = Ask::new("INVITE").sdp(&offer("sendonly")).metadata("<oops");
    let sent = world.answer(&mut Src::new("strict"), &ask);
    assert_eq!(sent.status(), 400);
    assert!(sent.header("Warning").unwrap().starts_with("399 "));
}

#[test]
fn no_usable_stream_gets_488_with_a_warning() {
    for (line, code) in [
        ("m=video 40000 RTP/AVP 96\na=rtpmap:96 H264/90000\n", "304"),
        ("m=audio 40000 RTP/SAVP 0\n", "302"),
        (
            "m=audio 40000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n",
            "305",
        ),
    ] {
        let sent = answer(&Ask::new("INVITE").sdp(&sdp(&[line])).metadata(&metadata()));
        assert_eq!(sent.status(), 488, "{line}");
        assert!(
            sent.header("Warning")
                .unwrap()
                .starts_with(&format!("{code} holdfast "))
        );
    }
}

#[test]
fn streams_of_a_family_that_is_not_ours_get_488() {
    let offer = offer("sendonly").replace("IN IP4 192.0.2.10", "IN IP6 2001:db8::10");
    let sent = answer(&Ask::new("INVITE").sdp(&offer));
    assert_eq!(sent.status(), 488);
    assert!(sent.header("Warning").unwrap().starts_with("300 "));
}

#[test]
fn one_unusable_stream_gets_port_0_and_the_other_is_recorded() {
    let video = "m=video 40004 RTP/AVP 96\na=rtpmap:96 H264/90000\na=label:3\n";
    let sent = answer(&Ask::new("INVITE").sdp(&sdp(&[&line(40_000, "1", "sendonly"), video])));
    assert_eq!(sent.status(), 200);
    assert_eq!(sent.ports()[1], 0);
    assert_ne!(sent.ports()[0], 0);
}

#[test]
fn a_broken_session_description_gets_400_with_a_warning() {
    for text in ["this is no session description", "v=0\nm=audio\n"] {
        let sent = answer(&Ask::new("INVITE").sdp(text));
        assert_eq!(sent.status(), 400, "{text}");
        assert!(sent.header("Warning").unwrap().starts_with("399 "));
    }
}

#[test]
fn a_part_that_must_be_understood_and_is_not_gets_415() {
    let with = |disposition: &str| {
        let headers = format!("Content-Type: application/x-vendor{disposition}");
        invite().part(&headers, "?")
    };
    let sent = answer(&with("\nContent-Disposition: signal;handling=required"));
    assert_eq!(sent.status(), 415);
    let accept = sent.header("Accept").unwrap();
    for kind in [
        "application/sdp",
        "application/rs-metadata+xml",
        "application/rs-metadata",
    ] {
        assert!(accept.contains(kind), "{accept}");
    }
    assert_eq!(
        answer(&with("\nContent-Disposition: signal;handling=optional")).status(),
        200
    );
    assert_eq!(
        answer(&with("")).status(),
        200,
        "vendor parts say nothing about it"
    );
    assert_eq!(
        answer(&Ask::new("INVITE").sole_body("text/plain", "hello")).status(),
        415
    );
}

#[test]
fn a_content_coding_gets_415_with_accept_encoding() {
    let sent = answer(&invite().header("Content-Encoding: gzip"));
    assert_eq!(sent.status(), 415);
    assert_eq!(sent.header("Accept-Encoding").unwrap(), "identity");
    assert_eq!(
        answer(&invite().header("Content-Encoding: identity")).status(),
        200
    );
}

#[test]
fn what_is_not_sip_is_counted_and_stops_nothing() {
    let mut world = World::new();
    let mut src = world.call("other");
    for junk in [
        &b"\xff\xfe\xfd"[..],
        b"INVITE",
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
        b"\0\x01",
    ] {
        world.receive(junk);
    }
    let count = world.recorder.statistics().malformed;
    assert!(count >= 3, "{count}");
    assert_eq!(world.answer(&mut src, &Ask::new("BYE")).status(), 200);
}

#[test]
fn unknown_options_get_420_and_siprec_is_not_among_them() {
    let sent = answer(&invite().header("Require: foo"));
    assert_eq!(sent.status(), 420);
    assert_eq!(sent.header("Unsupported").unwrap(), "foo");
}

#[test]
fn keys_never_reach_a_document() {
    let secret = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let keyed = format!(
        "{}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{secret}|2^20\n",
        line(40_000, "1", "sendonly")
    );
    let mut world = World::new();
    let ask = Ask::new("INVITE")
        .sdp(&sdp(&[&keyed]))
        .metadata(&metadata());
    world.call_with(
        "keys",
        &ask.header("Proxy-Authorization: Digest response=\"abc123\""),
    );
    for (name, bytes) in &world.held().documents {
        let text = String::from_utf8_lossy(bytes);
        assert!(
            !text.contains(secret) && !text.contains("abc123"),
            "{name}: {text}"
        );
    }
    assert!(world.held().text("0001.sdp").contains("inline:redacted"));
}
