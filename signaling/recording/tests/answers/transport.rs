//! Addresses, profiles, RTCP and groups: D-03, D-07 to D-15.

use std::net::IpAddr;

use holdfast_recording::offer::{
    LineFlag, LinePlan, LineRefusal, LocalPorts, Policy, Session, Terms,
};
use holdfast_recording::sdp::Family;

use crate::vectors::{
    AUDIO, HEAD, answer, answer_to, parse, ports, refusal_of, refused, session, session_of, text,
    with,
};

fn terms_of(line: &str) -> Terms {
    let plan = session().plan(&with(&[line])).unwrap();
    plan.streams().next().unwrap().1.clone()
}

#[test]
fn d03_the_answer_has_the_family_of_the_stream() {
    let line = "m=audio 40000 RTP/AVP 0\nc=IN IP6 2001:db8::10\n";
    let v6 = |_: &LinePlan| {
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        Some(LocalPorts {
            address,
            rtp: 10_000,
            rtcp: 10_001,
        })
    };
    let mut with_v6 = session();
    let plan = with_v6.plan(&with(&[line])).unwrap();
    assert_eq!(plan.streams().next().unwrap().1.family, Family::V6);
    let said = text(with_v6.accept(plan, v6).unwrap());
    assert!(said.contains("\nc=IN IP4 198.51.100.7\n"));
    assert!(said.contains("m=audio 10000 RTP/AVP 0\nc=IN IP6 2001:db8::1\n"));

    let mut without = session();
    let plan = without.plan(&with(&[line])).unwrap();
    let said = text(without.accept(plan, ports).unwrap());
    assert!(
        said.ends_with("\nm=audio 0 RTP/AVP 0\n"),
        "an IPv4 port is no answer: {said}"
    );
}

#[test]
fn d03_names_are_kept_as_text_and_not_looked_up() {
    for host in ["media.example.com", "X.X.X.X", "300.1.2.3"] {
        let terms = terms_of(&format!("m=audio 40000 RTP/AVP 0\nc=IN IP4 {host}\n"));
        assert_eq!(terms.peer.host.as_deref(), Some(host));
        assert_eq!((terms.peer.rtp, terms.peer.rtcp), (None, None));
        assert!(terms.flags.contains(&LineFlag::UnresolvedHost) && terms.is_receiving());
    }
}

#[test]
fn d02_a_missing_connection_is_tolerated_and_flagged() {
    let offer = parse(&format!(
        "{}{AUDIO}",
        HEAD.replace("c=IN IP4 192.0.2.10\n", "")
    ));
    let mut session = session();
    assert!(answer(&mut session, &offer).contains("a=recvonly"));
    let terms = &session.streams().next().unwrap().terms;
    assert!(terms.flags.contains(&LineFlag::NoConnection));
    assert_eq!((terms.peer.host.as_ref(), terms.family), (None, Family::V4));
}

#[test]
fn d07_profiles_are_echoed_or_refused_never_changed() {
    for (profile, expected) in [
        ("RTP/AVP", None),
        ("RTP/AVPF", None),
        ("rtp/avp", None),
        ("RTP/SAVP", Some(LineRefusal::NoEncryption)),
        ("RTP/SAVPF", Some(LineRefusal::NoEncryption)),
        ("UDP/TLS/RTP/SAVP", Some(LineRefusal::Dtls)),
        ("UDP/TLS/RTP/SAVPF", Some(LineRefusal::Dtls)),
        ("TCP/RTP/AVP", Some(LineRefusal::Transport)),
        ("udptl", Some(LineRefusal::Transport)),
    ] {
        let line = format!("m=audio 40002 {profile} 0\na=label:2\na=sendonly\n");
        let plan = session().plan(&with(&[AUDIO, &line])).unwrap();
        let expected: Vec<_> = expected.map(|reason| (1, reason)).into_iter().collect();
        assert_eq!(refused(&plan), expected, "{profile}");
        let port = if expected.is_empty() { 10_002 } else { 0 };
        let said = answer_to(&[AUDIO, &line]);
        assert!(
            said.contains(&format!("\nm=audio {port} {profile} 0\n")),
            "{said}"
        );
    }
    let plain = Policy {
        feedback_profile: false,
        ..Policy::default()
    };
    assert_eq!(
        refusal_of(&plain, &["m=audio 40000 RTP/AVPF 0\n"]),
        (488, 302)
    );
}

#[test]
fn d08_crypto_under_a_plain_profile_is_ignored() {
    let line = "m=audio 40000 RTP/AVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20\n";
    let terms = terms_of(line);
    assert!(terms.flags.contains(&LineFlag::CryptoIgnored));
    assert_eq!(terms.encryption, None);
    assert!(
        !format!("{terms:?}").contains("c2VjcmV0"),
        "a key must not be printed (P-120)"
    );
    assert!(!answer_to(&[line]).contains("crypto"));
}

#[test]
fn d09_reports_go_one_port_up_unless_told_otherwise() {
    for (attribute, port, expected) in [
        ("", 40_000, Some("192.0.2.10:40001")),
        ("", 40_001, Some("192.0.2.10:40002")),
        ("", 65_535, None),
        ("a=rtcp:53020\n", 40_001, Some("192.0.2.10:53020")),
        (
            "a=rtcp:53020 IN IP4 192.0.2.99\n",
            40_000,
            Some("192.0.2.99:53020"),
        ),
        (
            "a=rtcp:53020 IN IP6 2001:db8::9\n",
            40_000,
            Some("[2001:db8::9]:53020"),
        ),
        ("a=rtcp:53020 IN IP4 rtcp.example.com\n", 40_000, None),
        ("a=rtcp:port\n", 40_000, Some("192.0.2.10:40001")),
        ("a=rtcp:0\n", 40_000, Some("192.0.2.10:40001")),
        ("a=rtcp-mux\n", 40_000, Some("192.0.2.10:40000")),
        (
            "a=rtcp-mux\na=rtcp:53020\n",
            40_000,
            Some("192.0.2.10:40000"),
        ),
    ] {
        let terms = terms_of(&format!("m=audio {port} RTP/AVP 0\n{attribute}"));
        assert_eq!(
            terms.peer.rtcp.map(|to| to.to_string()).as_deref(),
            expected,
            "{attribute}"
        );
    }
}

#[test]
fn d11_mux_is_answered_only_where_it_is_offered() {
    let offered = "m=audio 40000 RTP/AVP 0 72\na=rtpmap:72 X-CLASH/8000\na=rtcp-mux\n";
    let said = answer_to(&[offered]);
    assert!(said.contains("\nm=audio 10000 RTP/AVP 0\n") && said.contains("\na=rtcp-mux\n"));
    assert!(!said.contains("a=rtcp:"));
    assert!(!answer_to(&[AUDIO]).contains("rtcp-mux"));
    let mut without = session_of(&Policy {
        rtcp_mux: false,
        ..Policy::default()
    });
    let said = answer(&mut without, &with(&[offered]));
    assert!(said.contains("RTP/AVP 0 72\n") && !said.contains("rtcp-mux"));
}

#[test]
fn d12_mux_only_is_met_by_mux_or_refused() {
    let line = "m=audio 40000 RTP/AVP 0\na=rtcp-mux-only\n";
    let said = answer_to(&[line]);
    assert!(said.contains("\na=rtcp-mux\n") && !said.contains("mux-only"));
    let policy = Policy {
        rtcp_mux: false,
        ..Policy::default()
    };
    assert_eq!(refusal_of(&policy, &[line]), (488, 306));
}

#[test]
fn d13_only_rr_0_silences_reports() {
    for (bandwidth, silent) in [
        ("b=RR:0\n", true),
        ("b=RS:0\n", false),
        ("b=RS:0\nb=RR:0\n", true),
        ("b=AS:80\n", false),
    ] {
        assert_eq!(
            terms_of(&format!("m=audio 4000 RTP/AVP 0\n{bandwidth}")).rtcp_silent,
            silent
        );
    }
    let offer = parse(&format!("{HEAD}b=RR:0\n{AUDIO}"));
    assert!(
        session()
            .plan(&offer)
            .unwrap()
            .streams()
            .next()
            .unwrap()
            .1
            .rtcp_silent
    );
}

#[test]
fn d14_bundles_are_ignored_and_bundle_only_lines_refused() {
    let first = format!("{AUDIO}a=mid:a\n");
    let second = "m=audio 0 RTP/AVP 8\na=mid:b\na=bundle-only\na=label:2\n";
    let offer = parse(&format!("{HEAD}a=group:BUNDLE a b\n{first}{second}"));
    let mut session: Session = session();
    assert_eq!(
        refused(&session.plan(&offer).unwrap()),
        [(1, LineRefusal::BundleOnly)]
    );
    let said = answer(&mut session, &offer);
    assert!(said.contains("\nm=audio 10000 ") && said.contains("\nm=audio 0 RTP/AVP 8\n"));
    assert!(!said.contains("group") && !said.contains("mid") && !said.contains("bundle"));
    assert_eq!(
        session.streams().next().unwrap().terms.mid.as_deref(),
        Some("a")
    );
}

#[test]
fn d17_what_the_line_says_about_itself_is_in_the_terms() {
    let line = "m=audio 40000 RTP/AVP 0
a=content:speaker
a=mid:7
a=ssrc:305419896 cname:x@example.com
a=ssrc:305419896 label:1
a=ssrc:1 cname:y@example.com
";
    let terms = terms_of(line);
    assert_eq!(
        (terms.content.as_deref(), terms.mid.as_deref()),
        (Some("speaker"), Some("7"))
    );
    assert_eq!(terms.ssrcs, [1, 305_419_896]);
    let codecs = terms.codec_map();
    assert_eq!(
        (codecs[&0].name.as_str(), codecs[&0].clock_rate),
        ("PCMU", 8_000)
    );
}
