//! Encrypted media, end to end: strangers send, and the audio is theirs to the bit.

use std::path::Path;

use holdfast_e2e::bodies::sdp_of;
use holdfast_e2e::script::{Ask, text_of};
use holdfast_e2e::search::files_with;
use holdfast_e2e::secure::{Secure, Speaker, holds, speech};
use holdfast_e2e::srtp::{Key, answered};
use holdfast_e2e::system::System;
use holdfast_e2e::tools::{Tool, skipped};
use holdfast_units::SrtpSuite;

/// ffmpeg has its own SRTP, of the suites in counter mode with 128 bits.
fn ffmpeg_sends(suite: SrtpSuite) {
    let Some(ffmpeg) = Tool::find("ffmpeg") else {
        return;
    };
    let key = Key::new(suite, 1);
    let call = Secure::open("RTP/SAVP", &key.line(1, ""));
    let speech = speech(16_000);
    std::fs::write(call.system.root().join("speech.ul"), &speech).expect("a file");
    let url = format!("srtp://{}:{}?pkt_size=200", call.system.host(), call.port);
    let key = key.base64();
    #[rustfmt::skip]
    let arguments = [
        "-v", "error", "-re", "-f", "mulaw", "-ar", "8000", "-ac", "1", "-i", "speech.ul",
        "-c:a", "copy", "-f", "rtp", "-srtp_out_suite", suite.name(), "-srtp_out_params", &key, &url,
    ];
    ffmpeg.output(call.system.root(), &arguments);
    let (audio, published) = call.finish();
    assert!(holds(&audio, &speech), "{} samples", audio.len());
    let stream = &published.manifest.streams[0];
    assert_eq!(stream.lost, 0, "{stream:?}");
    // ffmpeg cuts the tag of its reports to 32 bits as well, against RFC 4568 section 6.2.2.
    let refused: Vec<&str> = stream.refused.keys().map(String::as_str).collect();
    match suite {
        SrtpSuite::AesCm128Sha1_32 => assert_eq!(refused, ["srtcp_authentication"]),
        _ => assert_eq!(refused, [""; 0]),
    }
}

#[test]
fn ffmpeg_sends_aes_cm_128_hmac_sha1_80() {
    ffmpeg_sends(SrtpSuite::AesCm128Sha1_80);
}

#[test]
fn ffmpeg_sends_aes_cm_128_hmac_sha1_32() {
    ffmpeg_sends(SrtpSuite::AesCm128Sha1_32);
}

/// GStreamer's is libsrtp, with the other suites.
fn gstreamer_sends(suite: SrtpSuite, cipher: &str, auth: &str) {
    let Some(gstreamer) = Tool::find("gst-launch-1.0") else {
        return;
    };
    let Some(inspect) = Tool::find("gst-inspect-1.0") else {
        return;
    };
    if !inspect.run(Path::new("/"), &["srtpenc"]).status.success() {
        return skipped("GStreamer has no srtpenc here");
    }
    let key = Key::new(suite, 2);
    let call = Secure::open("RTP/SAVPF", &key.line(7, ""));
    let speech = speech(16_000);
    std::fs::write(call.system.root().join("speech.ul"), &speech).expect("a file");
    let key = format!("key={}", key.hex());
    let (cipher, rtcp_cipher) = (
        format!("rtp-cipher={cipher}"),
        format!("rtcp-cipher={cipher}"),
    );
    let (auth, rtcp_auth) = (format!("rtp-auth={auth}"), format!("rtcp-auth={auth}"));
    let host = format!("host={}", call.system.host());
    let port = format!("port={}", call.port);
    #[rustfmt::skip]
    let arguments = [
        "-q", "filesrc", "location=speech.ul", "!",
        "rawaudioparse", "use-sink-caps=false", "format=mulaw", "sample-rate=8000", "num-channels=1", "!",
        "rtppcmupay", "min-ptime=20000000", "max-ptime=20000000", "!",
        "srtpenc", &key, &cipher, &rtcp_cipher, &auth, &rtcp_auth, "!",
        "udpsink", &host, &port,
    ];
    gstreamer.output(call.system.root(), &arguments);
    let (audio, published) = call.finish();
    assert!(
        holds(&audio, &speech),
        "{} samples: {:?}",
        audio.len(),
        published.manifest.streams
    );
    let stream = &published.manifest.streams[0];
    assert_eq!((stream.lost, stream.refused.len()), (0, 0), "{stream:?}");
}

#[test]
fn gstreamer_sends_aes_256_cm_hmac_sha1_80() {
    gstreamer_sends(SrtpSuite::AesCm256Sha1_80, "aes-256-icm", "hmac-sha1-80");
}

#[test]
fn gstreamer_sends_aes_256_cm_hmac_sha1_32() {
    gstreamer_sends(SrtpSuite::AesCm256Sha1_32, "aes-256-icm", "hmac-sha1-32");
}

#[test]
fn gstreamer_sends_aead_aes_128_gcm() {
    gstreamer_sends(SrtpSuite::AesGcm128, "aes-128-gcm", "null");
}

#[test]
fn gstreamer_sends_aead_aes_256_gcm() {
    gstreamer_sends(SrtpSuite::AesGcm256, "aes-256-gcm", "null");
}

/// The roll-over counter outlives the engine: it is killed before the numbers wrap, and after.
#[test]
fn an_engine_that_is_killed_goes_on_with_numbers_that_wrap() {
    let key = Key::new(SrtpSuite::AesCm128Sha1_80, 3);
    let mut call = Secure::open("RTP/SAVP", &key.line(1, ""));
    let speaker = Speaker::new(&call, &key);
    let speech = speech(160 * 200);
    let first = 0x1_0000 - 60;
    for range in [0..50, 50..100, 100..150, 150..200] {
        speaker.speak(&speech, first, range);
        call.system.engine.kill();
        call.system.engine.start();
    }
    call.system.await_ready();
    let stream = call.finish_with(&speech, 200);
    assert_eq!(stream.refused.len(), 0, "{stream:?}");
}

/// A re-INVITE with a new key: packets under both arrive across the change, out of order.
#[test]
fn a_new_key_loses_nothing_on_either_side() {
    let (old, new) = (
        Key::new(SrtpSuite::AesGcm128, 4),
        Key::new(SrtpSuite::AesGcm128, 5),
    );
    let mut call = Secure::open("RTP/SAVP", &old.line(1, ""));
    let before = Speaker::new(&call, &old);
    let after = Speaker {
        socket: before.socket.try_clone().expect("a second handle"),
        key: new.clone(),
        ..Speaker::new(&call, &old)
    };
    let speech = speech(160 * 100);
    let first = 0x1_0000 - 40;
    before.speak(&speech, first, 0..50);
    let late = before.packet(&speech, first, 50);
    let line = format!(
        "m=audio 40000 RTP/SAVP 0\na=label:1\na=sendonly\n{}",
        new.line(2, "")
    );
    let again = call
        .script
        .ok(&Ask::invite().sdp(&sdp_of(&call.system, &line)));
    let answer = answered(&text_of(&again))[0]
        .clone()
        .expect("a key of theirs");
    assert_eq!(answer.tag, 2);
    after.speak(&speech, first, 51..60);
    before.send(&late);
    after.speak(&speech, first, 60..100);
    call.finish_with(&speech, 100);
}

/// Nothing that is written has a key: logs, recordings, state, journal.
#[test]
fn no_key_is_written_in_the_clear() {
    let key = Key::new(SrtpSuite::AesCm256Sha1_80, 6);
    let mut call = Secure::open("RTP/SAVP", &key.line(1, ""));
    let speaker = Speaker::new(&call, &key);
    let speech = speech(160 * 150);
    speaker.speak(&speech, 1, 0..60);
    let line = format!(
        "m=audio 40000 RTP/SAVP 0\na=label:1\na=sendonly\n{}",
        key.line(1, "")
    );
    let again = call
        .script
        .ok(&Ask::invite().sdp(&sdp_of(&call.system, &line)));
    let own = answered(&text_of(&again))[0]
        .clone()
        .expect("a key of theirs");
    let search = |system: &System| {
        let mut needles = Vec::new();
        for key in [&key, &own.key] {
            let parts = [&key.octets[..16], &key.octets[16..32], &key.octets[..]];
            needles.extend(parts.map(<[u8]>::to_vec));
            needles.extend([key.base64()[..40].into(), key.hex()[..32].into()]);
            needles.push(
                format!("{:?}", &key.octets[..8])
                    .trim_matches(['[', ']'])
                    .into(),
            );
        }
        files_with(system.root(), &needles)
    };
    // While the call runs, when the engine has been killed, and afterwards.
    assert_eq!(search(&call.system), []);
    call.system.engine.kill();
    assert_eq!(search(&call.system), []);
    call.system.engine.start();
    speaker.speak(&speech, 1, 60..150);
    call.system.await_ready();
    let mut system = call.system;
    call.script.hang_up();
    system.published(&call.script.call_id);
    assert_eq!(search(&system), []);
    system.signaling.kill();
    assert_eq!(search(&system), []);
    // It would have been found.
    std::fs::write(system.root().join("leak"), key.base64()).expect("a file");
    assert_eq!(search(&system).len(), 1);
}
