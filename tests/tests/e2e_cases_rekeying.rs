//! Test cases, chapter F: keys that change, end, are lost or belong to somebody else. Each test bears
//! the number of its case.

use std::net::UdpSocket;
use std::time::Duration;

use holdfast_e2e::bodies::sdp_of;
use holdfast_e2e::script::{Ask, text_of};
use holdfast_e2e::secure::{Secure, Speaker, holds, speech};
use holdfast_e2e::srtp::{Key, answered};
use holdfast_e2e::system::Options;
use holdfast_e2e::wait::wait_until;
use holdfast_srtp::Mki;
use holdfast_units::SrtpSuite;

const SUITE: SrtpSuite = SrtpSuite::AesCm128Sha1_80;

/// The same sender under another key.
fn under(speaker: &Speaker, key: &Key, mki: &[u8]) -> Speaker {
    Speaker {
        socket: speaker.socket.try_clone().expect("a second handle"),
        key: key.clone(),
        mki: Mki::new(mki).expect("a short one"),
        ..*speaker
    }
}

/// As fast as the stream may, and not at the rate of speech.
fn hurry(speaker: &Speaker, speech: &[u8], range: std::ops::Range<u32>) {
    for index in range {
        speaker.send(&speaker.packet(speech, 0, index));
        std::thread::sleep(Duration::from_micros(800));
    }
}

#[test]
fn tc_102_sdes_mki_lifetime() {
    let (one, two) = (Key::new(SUITE, 21), Key::new(SUITE, 22));
    let second = format!("|2^10|1:4;inline:{}|2^20|2:4", two.base64());
    let call = Secure::open("RTP/SAVP", &one.line(1, &second));
    let first = under(&Speaker::new(&call, &one), &one, &[0, 0, 0, 1]);
    let other = under(&first, &two, &[0, 0, 0, 2]);
    let unknown = under(&first, &two, &[0, 0, 0, 3]);
    let speech = speech(160 * 1_400);
    first.speak(&speech, 0, 0..30);
    other.speak(&speech, 0, 30..60);
    for index in 60..70 {
        unknown.send(&unknown.packet(&speech, 0, index));
    }
    // 1,024 under the first key and not one more: 30 were before.
    hurry(&first, &speech, 60..1_054 + 100);
    wait_until("the log tells of the key that is used for too long", || {
        first.send(&first.packet(&speech, 0, 1_300));
        std::thread::sleep(Duration::from_millis(20));
        let log = call.system.engine.log();
        log.contains("uses its key for longer than was agreed on")
    });
    // The second key goes on.
    other.speak(&speech, 0, 1_301..1_330);
    let (audio, published) = call.finish();
    let stream = &published.manifest.streams[0];
    assert_eq!(stream.packets, 1_024 + 30 + 29, "{stream:?}");
    assert_eq!(stream.refused["srtp_unknown_key"], 10, "{stream:?}");
    assert!(stream.refused["srtp_key_expired"] > 100, "{stream:?}");
    assert!(!stream.refused.contains_key("srtp_authentication"));
    assert!(holds(&audio, &speech[..160 * 60]), "continuous");
}

/// The call's next offer; the answer's key is one of the recorder's.
fn offer(call: &mut Secure, port: u16, crypto: &str) {
    let line = format!("m=audio {port} RTP/SAVP 0\na=label:1\na=sendonly\n{crypto}");
    let again = call
        .script
        .ok(&Ask::invite().sdp(&sdp_of(&call.system, &line)));
    let answer = text_of(&again);
    assert!(answered(&answer)[0].is_some(), "{answer}");
    assert!(answer.contains(&format!("m=audio {} RTP/SAVP", call.port)));
}

#[test]
fn tc_106_srtp_rekey() {
    let (one, two, three) = (
        Key::new(SUITE, 23),
        Key::new(SUITE, 24),
        Key::new(SUITE, 25),
    );
    let mut call = Secure::open("RTP/SAVP", &one.line(1, ""));
    let speaker = Speaker::new(&call, &one);
    let (speech, first) = (speech(160 * 200), 0x1_0000 - 60);
    speaker.speak(&speech, first, 0..40);
    // The same key: nothing changes, and the numbers wrap.
    offer(&mut call, 40_000, &one.line(1, ""));
    speaker.speak(&speech, first, 40..80);
    // A new key on the same port: the counter goes on (D-31, D-32).
    offer(&mut call, 40_000, &two.line(2, ""));
    under(&speaker, &two, &[]).speak(&speech, first, 80..130);
    // A new key on a new port: another sender's context, whose counter begins at 0 (D-31).
    offer(&mut call, 40_100, &three.line(3, ""));
    let anew = Speaker {
        socket: UdpSocket::bind((call.system.host(), 0)).expect("a socket"),
        ..under(&speaker, &three, &[])
    };
    anew.speak(&speech, first.wrapping_sub(0x1_0000), 130..200);
    let stream = call.finish_with(&speech, 200);
    assert_eq!(stream.refused.len(), 0, "{stream:?}");
}

/// TC-123 with SRTP, T-72: who sends first, from the right host and with the right numbers, has not
/// the key; he neither is recorded nor keeps the true sender out.
#[test]
fn tc_123_srtp_injection() {
    let key = Key::new(SUITE, 26);
    let call = Secure::open("RTP/SAVP", &key.line(1, ""));
    let speaker = Speaker::new(&call, &key);
    let attacker = Speaker {
        socket: UdpSocket::bind((call.system.host(), 0)).expect("a socket"),
        key: Key::new(SUITE, 27),
        ..Speaker::new(&call, &key)
    };
    let speech = speech(160 * 150);
    attacker.speak(&speech, 0, 0..50);
    let source = |socket: &UdpSocket| socket.local_addr().expect("an address").to_string();
    let is_told = |log: &str, socket| log.contains(&format!("source={}", source(socket)));
    for index in 50..150 {
        attacker.send(&attacker.packet(&speech, 0, index));
        speaker.speak(&speech, 0, index..index + 1);
        std::thread::sleep(Duration::from_millis(20));
    }
    wait_until("the log tells who is listened to", || {
        is_told(&call.system.engine.log(), &speaker.socket)
    });
    assert!(!is_told(&call.system.engine.log(), &attacker.socket));
    let (audio, published) = call.finish();
    let stream = &published.manifest.streams[0];
    assert_eq!((stream.packets, stream.lost), (100, 0), "{stream:?}");
    assert_eq!(stream.refused["srtp_authentication"], 150, "{stream:?}");
    assert!(holds(&audio, &speech[160 * 50..]), "{stream:?}");
}

/// Both processes are killed when the numbers have wrapped: the counter is known afterwards.
#[test]
fn tc_133_srtp_takeover_past_a_wrap() {
    let key = Key::new(SUITE, 28);
    let mut call = Secure::open("RTP/SAVP", &key.line(1, ""));
    let speaker = Speaker::new(&call, &key);
    let (speech, first) = (speech(160 * 200), 0x2_0000 - 50);
    speaker.speak(&speech, first, 0..100);
    call.system.signaling.kill();
    call.system.engine.kill();
    call.system.engine.start();
    call.system.signaling.start();
    call.system.await_ready();
    call.connect_again();
    speaker.speak(&speech, first, 100..200);
    let (audio, published) = call.finish();
    let stream = &published.manifest.streams[0];
    assert_eq!(stream.refused.len(), 0, "{stream:?}");
    assert!(holds(&audio, &speech[160 * 100..]), "{stream:?}");
    // Before: but for what was in no file yet (with both gone, nobody kept it).
    assert!(stream.packets >= 150, "{stream:?}");
}

/// The key of the node is gone when the engine comes back: it says so and touches nothing.
#[test]
fn an_engine_without_the_key_of_the_node_leaves_everything_as_it_is() {
    let key = Key::new(SUITE, 29);
    let mut call = Secure::open("RTP/SAVP", &key.line(1, ""));
    let speaker = Speaker::new(&call, &key);
    let speech = speech(160 * 200);
    speaker.speak(&speech, 0, 0..100);
    call.system.engine.kill();
    let file = call.system.root().join("state/node.key");
    let kept = std::fs::read(&file).expect("the keys");
    // A file that is missing, and one with other keys.
    for other in [None, Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")] {
        std::fs::remove_file(&file).expect("the file");
        if let Some(other) = other {
            call.system.replace_file("state/node.key", other);
        }
        call.system.engine.start();
        assert!(!call.system.engine.wait().success());
        let log = call.system.engine.log();
        assert!(log.contains("node.key_file does not have the key"), "{log}");
    }
    std::fs::write(&file, kept).expect("the keys");
    call.system.engine.start();
    call.system.await_ready();
    speaker.speak(&speech, 0, 100..200);
    call.finish_with(&speech, 200);
}

/// The key of the node is lost for good: with `--without-lost-keys` the engine starts all the same, and
/// keeps what it cannot read as it came.
#[test]
fn an_engine_told_to_go_on_without_lost_keys_keeps_packets_as_they_come() {
    let key = Key::new(SUITE, 31);
    let options = Options::new().set("recordings", "keep_packets = \"always\"");
    let mut call = Secure::open_with(options, "RTP/SAVP", &key.line(1, ""));
    let speaker = Speaker::new(&call, &key);
    let speech = speech(160 * 150);
    speaker.speak(&speech, 0, 0..50);
    call.system.engine.kill();
    std::fs::remove_file(call.system.root().join("state/node.key")).expect("the file");
    call.system.engine.start();
    assert!(!call.system.engine.wait().success());
    assert!(call.system.engine.log().contains("--without-lost-keys"));
    call.system.engine.start_with("--without-lost-keys");
    call.system.await_ready();
    let log = call.system.engine.log();
    assert!(log.contains("its packets are kept as they came"), "{log}");
    speaker.speak(&speech, 0, 50..150);
    call.script.hang_up();
    let published = call.system.published(&call.script.call_id);
    let track = std::fs::read(published.folder.join("streams/1.track")).expect("the track");
    for index in 50..150 {
        let sent = speaker.packet(&speech, 0, index);
        let is_there = track.windows(sent.len()).any(|it| it == sent);
        assert!(is_there, "packet {index}");
    }
}

/// Neither process leaves its memory in a core dump, unless it is told to.
#[test]
fn no_core_dump_has_keys() {
    let limits = |id: u32| {
        let text = std::fs::read_to_string(format!("/proc/{id}/limits")).expect("its limits");
        let line = text.lines().find(|it| it.starts_with("Max core file size"));
        let words = line.expect("a limit").split_whitespace();
        words.skip(4).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let call = Secure::open("RTP/SAVP", &Key::new(SUITE, 30).line(1, ""));
    for process in [&call.system.engine, &call.system.signaling] {
        assert_eq!(limits(process.id()), ["0", "0"]);
    }
    // It reads the suites' cost at start, and says what they are read with.
    let log = call.system.engine.log();
    for suite in SrtpSuite::ALL {
        assert!(
            log.contains(&format!("suite={suite} ns_per_packet=")),
            "{log}"
        );
    }
    assert!(log.contains("implementation=\"RustCrypto aes "), "{log}");
}
