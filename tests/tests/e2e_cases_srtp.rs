//! Test cases, chapter F: keys in session descriptions, and what is protected with them. Each test
//! bears the number of its case.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use holdfast_e2e::bodies::sdp_of;
use holdfast_e2e::certificates::Authority;
use holdfast_e2e::http::Request;
use holdfast_e2e::peer::Peer;
use holdfast_e2e::rtp::{Report, packet, sender_report};
use holdfast_e2e::script::{Ask, Script, text_of};
use holdfast_e2e::secure::{Secure, Speaker, holds, speech};
use holdfast_e2e::srtp::{Answered, Key, answered};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::wait::PATIENCE;
use holdfast_load::agent::Way;
use holdfast_load::answer::Answer;
use holdfast_load::tls::Versions;
use holdfast_manifest::GapCause;
use holdfast_units::SrtpSuite;

/// A call of one suite, with its reports.
struct Line {
    script: Script,
    key: Key,
    answered: Answered,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    port: u16,
}

impl Line {
    fn open(system: &System, way: &Way, profile: &str, suite: SrtpSuite, number: u8) -> Self {
        let bind = || UdpSocket::bind((system.host(), 0)).expect("a socket");
        let (rtp, rtcp) = (bind(), bind());
        let port = |socket: &UdpSocket| socket.local_addr().expect("an address").port();
        let key = Key::new(suite, number);
        let line = format!(
            "m=audio {} {profile} 0\na=rtcp:{}\na=sendonly\n{}",
            port(&rtp),
            port(&rtcp),
            key.line(u32::from(number), "")
        );
        let mut script = Script::by(Peer::over(system.sips(), way));
        let response = script.open(&Ask::invite().sdp(&sdp_of(system, &line)));
        let answer = Answer::parse(&response.body).expect("an answer");
        let description = text_of(&response);
        let crypto = answered(&description)[0].clone().expect("a key of theirs");
        assert_eq!((crypto.tag, crypto.key.suite), (u32::from(number), suite));
        assert!(
            description.contains(&format!("{profile} 0")),
            "{description}"
        );
        Self {
            script,
            key,
            answered: crypto,
            rtp,
            rtcp,
            port: answer.lines[0].rtp.expect("a port").port(),
        }
    }

    /// Two packets, and a report of their sender.
    fn speak(&self, system: &System) {
        let (rtp, mut protected) = (self.key.rtp(), Vec::new());
        for sequence in 0..2 {
            let plain = packet(0, sequence, u32::from(sequence) * 160, SSRC, &[0x2a; 160]);
            rtp.protect(&plain, 0, &mut protected).expect("a packet");
            let to = (system.host(), self.port);
            self.rtp.send_to(&protected, to).expect("a packet");
        }
        let report = sender_report(SSRC, 0x1234_5678, 160, 2);
        self.key
            .rtcp()
            .protect(&report, &mut protected)
            .expect("a report");
        let to = (system.host(), self.port + 1);
        self.rtcp.send_to(&protected, to).expect("a report");
    }

    /// The first report that tells of what was said: under the recorder's key.
    fn hear(&self) {
        let mut receiver = self.answered.key.reports();
        let until = Instant::now() + PATIENCE;
        let (mut octets, mut plain) = ([0; 1_500], Vec::new());
        self.rtcp
            .set_read_timeout(Some(PATIENCE))
            .expect("a time-out");
        while Instant::now() < until {
            let size = self.rtcp.recv(&mut octets).expect("a report");
            receiver
                .unprotect(&octets[..size], &mut plain)
                .expect("their key");
            // D-30: 80 bits with every suite of counter mode.
            let tag_size = if self.key.suite.is_aead() { 16 } else { 10 };
            assert_eq!(size, plain.len() + 4 + tag_size, "{}", self.key.suite);
            let report = Report::parse(&plain).expect("a compound packet");
            if let Some(block) = report.blocks.first() {
                assert_eq!((block.ssrc, block.lost), (SSRC, 0));
                // The sender's report was understood.
                assert_eq!(block.last_report, 0x1234_5678);
                return;
            }
        }
        panic!("no report tells of the stream");
    }
}

const SSRC: u32 = 0x5eed_0001;

fn secure_system() -> (System, Way) {
    let authority = Authority::new("one");
    let options = Options::new().tls(&authority.issue("srs.example.com"));
    (
        System::start(&options),
        Way::Tls(authority.client(Versions::Both)),
    )
}

#[test]
fn tc_100_sdes_suites() {
    let (system, way) = secure_system();
    let mut lines = Vec::new();
    for (suite, number) in SrtpSuite::ALL.into_iter().zip((1..).step_by(2)) {
        lines.push(Line::open(&system, &way, "RTP/SAVP", suite, number));
        lines.push(Line::open(&system, &way, "RTP/SAVPF", suite, number + 1));
    }
    let mut keys: Vec<String> = lines
        .iter()
        .map(|line| line.answered.key.base64())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), lines.len(), "each has a key of its own");
    lines.iter().for_each(|line| line.speak(&system));
    lines.iter().for_each(Line::hear);
    for mut line in lines {
        line.script.hang_up();
        let stream = &system.published(&line.script.call_id).manifest.streams[0];
        assert_eq!((stream.packets, stream.refused.len()), (2, 0), "{stream:?}");
    }
}

#[test]
fn tc_101_sdes_choice_and_invalid() {
    let (system, way) = secure_system();
    let suite = SrtpSuite::AesCm128Sha1_80;
    let key = Key::new(suite, 9);
    let short = "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODw==\n";
    let invalid = [
        "a=crypto:1 ARIA_128_CTR_HMAC_SHA1_80 inline:AAECAwQF\n",
        short,
        &key.line(3, "|0"),
        &key.line(4, "|2^20|1"),
        &key.line(5, " FOO=1"),
    ]
    .concat();
    let ask = |crypto: &str| {
        let line = format!("m=audio 40000 RTP/SAVP 0\na=label:1\na=sendonly\n{crypto}");
        Ask::invite().sdp(&sdp_of(&system, &line))
    };
    let mut script = Script::by(Peer::over(system.sips(), &way));
    let response = script.open(&ask(&format!("{invalid}{}", key.line(6, "|2^31"))));
    let chosen = answered(&text_of(&response))[0].clone().expect("a key");
    assert_eq!((chosen.tag, chosen.key.suite), (6, suite));
    script.hang_up();
    let mut script = Script::by(Peer::over(system.sips(), &way));
    let refusal = script.ask(&ask(&invalid));
    assert_eq!(refusal.status(), Some(488), "{refusal:?}");
}

#[test]
fn tc_103_sdes_params() {
    let (system, way) = secure_system();
    let key = Key::new(SrtpSuite::AesCm128Sha1_80, 10);
    for (parameter, echoed) in [
        ("UNENCRYPTED_SRTCP", Some("UNENCRYPTED_SRTCP")),
        ("UNENCRYPTED_SRTP", None),
        ("UNAUTHENTICATED_SRTP", None),
        ("KDR=8", None),
        ("FEC_ORDER=FEC_SRTP", Some("")),
        ("FEC_ORDER=SRTP_FEC", None),
        ("-FOO", Some("")),
    ] {
        let crypto = key.line(1, &format!(" {parameter}"));
        let line = format!("m=audio 40000 RTP/SAVP 0\na=label:1\na=sendonly\n{crypto}");
        let mut script = Script::by(Peer::over(system.sips(), &way));
        let response = script.ask(&Ask::invite().sdp(&sdp_of(&system, &line)));
        match echoed {
            Some(echoed) => {
                assert_eq!(response.status(), Some(200), "{parameter}");
                script.ack(None);
                let crypto = answered(&text_of(&response))[0].clone().expect("a key");
                assert_eq!(crypto.further, echoed, "{parameter}");
                script.hang_up();
            }
            None => assert_eq!(response.status(), Some(488), "{parameter}"),
        }
    }
}

#[test]
fn tc_104_keys_over_udp_where_they_are_allowed() {
    let options = Options::new().set("srtp", "keys_without_tls = \"accept\"");
    let system = System::start(&options);
    let mut script = Script::new(&system);
    let key = Key::new(SrtpSuite::AesCm128Sha1_80, 11).line(1, "");
    let line = format!("m=audio 40000 RTP/SAVP 0\na=label:1\na=sendonly\n{key}");
    let response = script.open(&Ask::invite().sdp(&sdp_of(&system, &line)));
    assert!(answered(&text_of(&response))[0].is_some());
    script.hang_up();
    assert!(
        system
            .signaling
            .log()
            .contains("keys that come without TLS")
    );
}

#[test]
fn tc_105_srtp_wrap_replay() {
    let key = Key::new(SrtpSuite::AesCm128Sha1_80, 12);
    let call = Secure::open("RTP/SAVP", &key.line(1, ""));
    let speaker = Speaker::new(&call, &key);
    let forger = Key::new(SrtpSuite::AesCm128Sha1_80, 13);
    let forger = Speaker {
        socket: speaker.socket.try_clone().expect("a second handle"),
        key: forger,
        ..Speaker::new(&call, &key)
    };
    let (speech, first) = (speech(160 * 1_400), 65_500);
    // What is forged comes first, with numbers that would lead astray.
    forger.send(&forger.packet(&speech, 40_000, 0));
    speaker.speak(&speech, first, 0..30);
    // The numbers wrap at packet 36: out of order, some twice.
    for index in [31, 30, 33, 36, 35, 34, 32, 38, 37, 36, 35] {
        speaker.send(&speaker.packet(&speech, first, index));
    }
    forger.send(&forger.packet(&speech, 20_000, 0));
    speaker.speak(&speech, first, 39..250);
    // 200 and more behind: they were there.
    for index in [40, 0] {
        speaker.send(&speaker.packet(&speech, first, index));
    }
    // A thousand are lost.
    std::thread::sleep(Duration::from_millis(20));
    speaker.speak(&speech, first, 1_250..1_300);
    let (audio, published) = call.finish();
    let stream = &published.manifest.streams[0];
    assert_eq!((stream.packets, stream.lost), (300, 1_000), "{stream:?}");
    assert_eq!(
        stream.refused.get("srtp_authentication"),
        Some(&2),
        "{stream:?}"
    );
    assert_eq!(stream.refused.get("srtp_replay"), Some(&4), "{stream:?}");
    let loss = stream.gaps.iter().filter(|gap| gap.cause == GapCause::Loss);
    assert_eq!(
        loss.map(|gap| gap.packets).sum::<u64>(),
        1_000,
        "{stream:?}"
    );
    assert!(holds(&audio, &speech[..160 * 250]), "{stream:?}");
    assert!(
        holds(&audio, &speech[160 * 1_250..160 * 1_300]),
        "{stream:?}"
    );
}

/// D-33: keys of a call that was there before; its counter is not 0.
#[test]
fn a_stream_whose_counter_is_not_zero_is_found() {
    let key = Key::new(SrtpSuite::AesGcm256, 14);
    let call = Secure::open("RTP/SAVP", &key.line(1, ""));
    let speaker = Speaker::new(&call, &key);
    let speech = speech(160 * 50);
    speaker.speak(&speech, 3 << 16, 0..50);
    let (audio, published) = call.finish();
    let stream = &published.manifest.streams[0];
    assert_eq!(
        (stream.packets, stream.refused.len()),
        (50, 0),
        "{stream:?}"
    );
    assert!(holds(&audio, &speech), "{stream:?}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Nothing authenticates: said within 2 s, with the likely cause, and in the manifest.
#[test]
fn a_wrong_key_is_told() {
    let key = Key::new(SrtpSuite::AesCm128Sha1_80, 15);
    let call = Secure::open("RTP/SAVP", &key.line(1, ""));
    let speaker = Speaker::new(&call, &Key::new(SrtpSuite::AesCm128Sha1_80, 16));
    speaker.speak(&speech(160 * 150), 1, 0..150);
    holdfast_e2e::wait::wait_until("the log tells", || {
        let log = call.system.engine.log();
        log.contains("nothing of an encrypted stream authenticates")
            && log.contains("another key or suite")
    });
    // Told by signaling once a second.
    let metric = "holdfast_srtp_mute_streams_total{shard=\"0\"} 1.0";
    holdfast_e2e::wait::wait_until("the metric counts it", || {
        let metrics = Request::get(call.system.http(), "/metrics").send();
        text(&metrics.body).lines().any(|line| line == metric)
    });
    let (_, published) = call.finish();
    let manifest = &published.manifest;
    let stream = &manifest.streams[0];
    assert_eq!(stream.packets, 0, "{stream:?}");
    assert_eq!(
        stream.refused.get("srtp_authentication"),
        Some(&150),
        "{stream:?}"
    );
    let told = manifest
        .call
        .warnings
        .iter()
        .find(|it| it.code == "srtp_not_authentic");
    assert!(
        told.is_some_and(|it| it.text.contains("another key or suite")),
        "{manifest:?}"
    );
}
