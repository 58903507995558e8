//! The shape of an answer: P-13, P-24 to P-29, P-39, P-40, P-45, D-04 to D-06, D-16.

use holdfast_recording::offer::{BROKEN_SDP_STATUS, LineFlag, LineRefusal, LocalPorts, Policy};
use holdfast_recording::sdp::{MediaKind, SdpError, SessionDescription};

use crate::vectors::{
    AUDIO, AUDIO_2, HEAD, answer, answer_to, blocks, parse, ports, refusal_of, refused, session,
    session_of, text, with,
};

#[test]
fn the_whole_answer_to_a_usual_offer() {
    let expected = "v=0
o=holdfast 4711 1 IN IP4 198.51.100.7
s=-
c=IN IP4 198.51.100.7
t=0 0
m=audio 10000 RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=label:1
a=recvonly
m=audio 10002 RTP/AVP 8
a=rtpmap:8 PCMA/8000
a=label:2
a=recvonly
";
    assert_eq!(answer_to(&[AUDIO, AUDIO_2]), expected);
}

#[test]
fn p24_labels_are_echoed_verbatim() {
    for label in ["0", "a_leg", "16777227", "10", "x!y", "label:with:colons"] {
        let line = format!("m=audio 40000 RTP/AVP 0\na=sendonly\na=label:{label}\n");
        assert!(
            answer_to(&[&line]).contains(&format!("\na=label:{label}\n")),
            "{label}"
        );
    }
}

#[test]
fn p25_swapped_labels_follow_the_new_map() {
    let mut session = session();
    answer(&mut session, &with(&[AUDIO, AUDIO_2]));
    let before: Vec<_> = session
        .streams()
        .map(|stream| (stream.slot, stream.ports))
        .collect();
    let swapped = [
        AUDIO.replace("label:1", "label:2"),
        AUDIO_2.replace("label:2", "label:1"),
    ];
    let said = answer(&mut session, &with(&[&swapped[0], &swapped[1]]));
    let labels = session
        .streams()
        .map(|stream| stream.terms.label.as_deref().unwrap());
    assert_eq!(labels.collect::<Vec<_>>(), ["2", "1"]);
    let after: Vec<_> = session
        .streams()
        .map(|stream| (stream.slot, stream.ports))
        .collect();
    assert_eq!(before, after);
    assert!(blocks(&said)[0].contains("a=label:2"));
}

#[test]
fn p26_lines_without_a_label_are_recorded_and_flagged() {
    for line in [
        "m=audio 40000 RTP/AVP 0\na=sendonly\n",
        "m=audio 40000 RTP/AVP 0\na=label:\n",
    ] {
        let mut session = session();
        assert!(!answer(&mut session, &with(&[line])).contains("label"));
        let stream = session.streams().next().unwrap();
        assert!(stream.terms.flags.contains(&LineFlag::NoLabel));
        assert_eq!(stream.slot.to_string(), "line-0-1");
    }
}

#[test]
fn two_lines_with_one_label_are_recorded_and_flagged() {
    let plan = session().plan(&with(&[AUDIO, AUDIO, AUDIO_2])).unwrap();
    let flagged = plan
        .streams()
        .map(|(_, terms)| terms.flags.contains(&LineFlag::DuplicateLabel));
    assert_eq!(flagged.collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn p27_p29_refused_lines_keep_their_place_with_port_0_and_a_format() {
    let unknown = "m=audio 40004 RTP/AVP 100 102\na=label:3\n";
    let application = "m=application 40006 UDP/BFCP *\n";
    let removed = "m=video 0 RTP/AVP 31\n";
    let lines = [unknown, AUDIO, application, removed, AUDIO_2];
    let said = answer_to(&lines);
    let heads: Vec<_> = blocks(&said)
        .iter()
        .map(|block| block.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(
        heads,
        [
            "m=audio 0 RTP/AVP 100",
            "m=audio 10002 RTP/AVP 0 101",
            "m=application 0 UDP/BFCP *",
            "m=video 0 RTP/AVP 31",
            "m=audio 10008 RTP/AVP 8",
        ]
    );
    let plan = session().plan(&with(&lines)).unwrap();
    assert_eq!(
        refused(&plan),
        [(0, LineRefusal::NoFormat), (2, LineRefusal::MediaKind)]
    );
}

#[test]
fn p27_times_are_copied_and_made_up_where_missing() {
    for (times, expected) in [
        ("t=2873397496 2873404696\n", "t=2873397496 2873404696\n"),
        ("t=1 2\nr=7d 1h 0 25h\nt=3 4\n", "t=1 2\nt=3 4\n"),
        ("", "t=0 0\n"),
    ] {
        let head = HEAD.replace("t=0 0\n", times);
        let said = answer(&mut session(), &parse(&format!("{head}{AUDIO}")));
        assert!(
            said.contains(&format!("c=IN IP4 198.51.100.7\n{expected}m=")),
            "{said}"
        );
    }
}

#[test]
fn p28_four_lines_are_four_streams() {
    let mut policy = Policy::default();
    let video =
        "m=video 40004 RTP/AVPF 96\na=rtpmap:96 H264/90000\na=fmtp:96 profile-level-id=42e01f\n";
    let lines = [AUDIO, AUDIO_2, video, video];
    let mut refusing = session_of(&policy);
    assert_eq!(
        answer(&mut refusing, &with(&lines))
            .matches("m=video 0 RTP/AVPF 96\n")
            .count(),
        2
    );
    policy.raw_media = vec![MediaKind::Video];
    let mut keeping = session_of(&policy);
    let said = answer(&mut keeping, &with(&lines));
    assert!(said.contains("m=video 10006 RTP/AVPF 96\na=rtpmap:96 H264/90000\na=fmtp:96 profile"));
    assert_eq!(keeping.streams().count(), 4);
}

#[test]
fn p29_nothing_usable_is_488_with_the_warning_that_fits() {
    let policy = Policy::default();
    for (line, code) in [
        ("m=video 40000 RTP/AVP 31\n", 304),
        ("m=audio 40000 RTP/AVP 100\n", 305),
        ("m=audio 40000 RTP/AVP\n", 305),
        (
            "m=audio 40000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n",
            305,
        ),
        ("m=audio 40000 RTP/AVP 13\n", 305),
        ("m=audio 40000 RTP/SAVP 0\na=crypto:1 X inline:y\n", 302),
        ("m=audio 40000 TCP/RTP/AVP 0\n", 302),
        ("m=audio 0 RTP/AVP 0\na=bundle-only\n", 306),
        ("m=audio 40000 RTP/AVP 0\nc=IN IP4 224.2.1.1/127\n", 330),
    ] {
        assert_eq!(refusal_of(&policy, &[line]), (488, code), "{line}");
    }
    let strict = Policy {
        unknown_encodings: false,
        ..Policy::default()
    };
    let unheard = "m=audio 40000 RTP/AVP 96\na=rtpmap:96 X-UNHEARD/16000\n";
    assert_eq!(refusal_of(&strict, &[unheard]), (488, 305));
    assert!(
        answer_to(&[unheard]).contains("m=audio 10000 RTP/AVP 96\na=rtpmap:96 X-UNHEARD/16000")
    );
}

#[test]
fn warnings_are_written_as_a_header_value() {
    let refusal = session()
        .plan(&with(&["m=audio 40000 RTP/AVP 100\n"]))
        .unwrap_err();
    let expected = "305 recorder.example.com \"no media format of this stream can be stored\"";
    assert_eq!(
        refusal.warning().header_value("recorder.example.com"),
        expected
    );
}

#[test]
fn a_description_that_cannot_be_answered_is_400_with_warning_399() {
    for (text, error) in [
        ("", SdpError::Empty),
        ("\r\n \n", SdpError::Empty),
        ("hello\r\nworld", SdpError::NotSdp),
        ("v=0\r\nm=audio\r\n", SdpError::BadMediaLine { number: 1 }),
        (
            "v=0\r\nm=audio 4000\r\n",
            SdpError::BadMediaLine { number: 1 },
        ),
        (
            "v=0\nm=audio 1 RTP/AVP 0\nm=audio 70000 RTP/AVP 0\n",
            SdpError::BadMediaLine { number: 2 },
        ),
        (
            "v=0\nm=audio -1 RTP/AVP 0\n",
            SdpError::BadMediaLine { number: 1 },
        ),
    ] {
        let found = SessionDescription::parse(text.as_bytes()).unwrap_err();
        assert_eq!(found, error, "{text}");
        assert_eq!((BROKEN_SDP_STATUS, found.warning().code), (400, 399));
    }
}

#[test]
fn p39_p40_the_version_goes_up_by_one_exactly_when_our_description_changes() {
    let mut session = session();
    let offer = with(&[AUDIO]);
    let first = answer(&mut session, &offer);
    assert_eq!(
        answer(&mut session, &offer),
        first,
        "an unchanged offer has the same answer"
    );
    assert_eq!(session.version(), 1);
    let inactive = with(&[&AUDIO.replace("sendonly", "inactive")]);
    assert!(answer(&mut session, &inactive).contains("o=holdfast 4711 2 IN"));
    assert!(answer(&mut session, &inactive).contains("o=holdfast 4711 2 IN"));
    assert!(answer(&mut session, &offer).contains("o=holdfast 4711 3 IN"));
    assert!(answer(&mut session, &with(&[AUDIO, AUDIO_2])).contains("o=holdfast 4711 4 IN"));
    let moved = with(&[&AUDIO.replace("40000", "41000"), AUDIO_2]);
    assert!(
        answer(&mut session, &moved).contains("o=holdfast 4711 4 IN"),
        "only theirs changed"
    );
}

#[test]
fn p45_d04_d06_every_storable_format_in_the_order_of_the_offer() {
    let line = "m=audio 40000 RTP/AVP 96 18 0 101 13 97 9 8 100 4 98 0 200 x
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=rtpmap:97 RED/8000
a=fmtp:97 0/0
a=rtpmap:98 X-VENDOR/8000
a=sendonly
";
    let said = answer_to(&[line]);
    let expected = "m=audio 10000 RTP/AVP 96 18 0 101 13 97 9 8 4 98
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:18 G729/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtpmap:13 CN/8000
a=rtpmap:97 red/8000
a=fmtp:97 0/0
a=rtpmap:9 G722/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:4 G723/8000
a=rtpmap:98 X-VENDOR/8000
a=recvonly
";
    assert_eq!(blocks(&said), [expected]);
}

#[test]
fn t54_event_lists_are_bare_and_sane() {
    for (fmtp, expected) in [
        ("a=fmtp:101 0-16\n", "0-16"),
        ("a=fmtp:101 events=0-15\n", "0-15"),
        ("a=fmtp:101 0-11,66;rate=8000\n", "0-11,66"),
        ("a=fmtp:101 nonsense\n", "0-15"),
        ("", "0-15"),
    ] {
        let line =
            format!("m=audio 40000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n{fmtp}");
        assert!(
            answer_to(&[&line]).contains(&format!("\na=fmtp:101 {expected}\n")),
            "{fmtp}"
        );
    }
}

#[test]
fn damaged_rtpmaps_are_answered_repaired() {
    let line = "m=audio 33098 RTP/AVP 0\na=rtpmap:0 pcmu/8000a\na=sendonly\n";
    assert!(answer_to(&[line]).contains("\na=rtpmap:0 PCMU/8000\n"));
}

#[test]
fn d16_ptime_is_echoed_and_nothing_is_said_where_nothing_was() {
    for ptime in [10, 20, 30, 60, 200] {
        let line = AUDIO.replace("ptime:20", &format!("ptime:{ptime}"));
        assert!(answer_to(&[&line]).contains(&format!("\na=ptime:{ptime}\n")));
    }
    assert!(!answer_to(&[AUDIO_2]).contains("ptime"));
    assert!(
        !answer_to(&["m=audio 40000 RTP/AVP 0\na=ptime:abc\na=maxptime:30\n"]).contains("ptime")
    );
}

#[test]
fn p13_d15_what_is_not_ours_does_not_come_back() {
    let line = "m=audio 40000 RTP/AVP 0
a=sendonly
a=record:paused
a=recordpref:off
a=ice-ufrag:4e08
a=ice-pwd:0940
a=candidate:1 1 UDP 2130706431 192.0.2.10 40000 typ host
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=rtcp-rsize
a=X-vendor:1
a=3gOoBTC
";
    let mut session = session();
    let offer = parse(&format!("{HEAD}a=ice-lite\na=key-mgmt:mikey AQAF\n{line}"));
    let said = answer(&mut session, &offer);
    let attributes: Vec<_> = said.lines().filter(|line| line.starts_with("a=")).collect();
    assert_eq!(attributes, ["a=rtpmap:0 PCMU/8000", "a=recvonly"]);
    assert!(
        session
            .streams()
            .next()
            .unwrap()
            .terms
            .flags
            .contains(&LineFlag::CryptoIgnored)
    );
}

#[test]
fn a_line_without_ports_is_answered_with_port_0() {
    let mut session = session();
    let plan = session.plan(&with(&[AUDIO, AUDIO_2])).unwrap();
    let only_second = |line: &_| ports(line).filter(|ports| ports.rtp != 10_000);
    let said = text(session.accept(plan, only_second).unwrap());
    assert!(
        said.contains("m=audio 0 RTP/AVP 0\nm=audio 10002 RTP/AVP 8\n"),
        "{said}"
    );
    assert_eq!(session.streams().count(), 1);
}

#[test]
fn d10_ports_that_are_no_pair_are_told() {
    let of = |rtp, rtcp| {
        let mut session = session();
        let plan = session.plan(&with(&[AUDIO])).unwrap();
        let address = "198.51.100.9".parse().unwrap();
        text(
            session
                .accept(plan, |_| Some(LocalPorts { address, rtp, rtcp }))
                .unwrap(),
        )
    };
    assert!(!of(10_000, 10_001).contains("a=rtcp"));
    assert!(of(10_000, 10_003).contains("\na=rtcp:10003\n"));
    assert!(of(10_001, 10_002).contains("\na=rtcp:10002\n"));
    assert!(of(10_000, 10_001).contains("\nm=audio 10000 RTP/AVP 0 101\nc=IN IP4 198.51.100.9\n"));
}

#[test]
fn more_streams_than_policy_has_are_refused() {
    let policy = Policy {
        streams_max: 2,
        ..Policy::default()
    };
    let plan = session_of(&policy)
        .plan(&with(&[AUDIO, AUDIO_2, AUDIO]))
        .unwrap();
    assert_eq!(refused(&plan), [(2, LineRefusal::TooManyStreams)]);
}

#[test]
fn an_offer_without_lines_is_answered_without_lines() {
    assert!(answer_to(&[]).ends_with("t=0 0\n"));
}
