//! Test cases, chapter F: keys, as far as they are refused. Each test bears the number of its case.

use holdfast_e2e::bodies::sdp_of;
use holdfast_e2e::script::{Ask, Script, text_of};
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::Options;

static SYSTEM: Shared = Shared::new();

const CRYPTO: &str = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 \
                      inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\n";
const FINGERPRINT: &str = "a=setup:actpass
a=fingerprint:sha-256 \
    00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:\
    10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F
";

/// A line that can't be had costs itself; a call of nothing else is not acceptable. Gives what the
/// manifest says of the line.
fn is_refused(profile: &str, keys: &str) -> String {
    let system = SYSTEM.system(Options::new);
    let secure = format!("m=audio 40000 {profile} 0\na=label:1\na=sendonly\n{keys}");
    let plain = "m=audio 40002 RTP/AVP 0\na=label:2\na=sendonly\n";
    let mut script = Script::new(&system);
    let response = script.open(&Ask::invite().sdp(&sdp_of(&system, &format!("{secure}{plain}"))));
    let answer = text_of(&response);
    assert!(
        answer.contains(&format!("m=audio 0 {profile} ")),
        "{answer}"
    );
    assert!(
        !answer.contains("a=crypto") && !answer.contains("a=fingerprint"),
        "{answer}"
    );
    script.hang_up();
    let manifest = system.published(&script.call_id).manifest;
    assert_eq!(manifest.streams.len(), 1, "the other one is recorded");
    let mut warnings = manifest.call.warnings.iter();
    let reason = warnings.find(|it| it.code == "line_refused");
    let reason = reason.expect("the reason").text.clone();

    let mut script = Script::new(&system);
    let refusal = script.ask(&Ask::invite().sdp(&sdp_of(&system, &secure)));
    assert_eq!(refusal.status(), Some(488), "{refusal:?}");
    let warning = refusal.header("Warning").expect("the reason");
    assert!(
        warning.contains("encrypted") || warning.starts_with("302 "),
        "{warning}"
    );
    reason
}

/// The keys would be read by whoever reads the signaling.
#[test]
fn tc_104_sdes_over_udp() {
    is_refused("RTP/SAVP", CRYPTO);
    is_refused("RTP/SAVPF", CRYPTO);
}

/// Until there is DTLS-SRTP: port 0, and the reason.
#[test]
fn tc_107_dtls_srtp() {
    for profile in ["UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"] {
        let reason = is_refused(profile, FINGERPRINT);
        assert!(reason.contains("keys by DTLS"), "{reason}");
    }
}

/// D-08: keys on a line that is not encrypted are ignored (RFC 4568 section 6).
#[test]
fn keys_on_a_line_without_encryption_are_ignored() {
    let system = SYSTEM.system(Options::new);
    let mut script = Script::new(&system);
    let lines = format!("m=audio 40000 RTP/AVP 0\na=label:1\na=sendonly\n{CRYPTO}");
    let response = script.open(&Ask::invite().sdp(&sdp_of(&system, &lines)));
    let answer = text_of(&response);
    assert!(
        !answer.contains("a=crypto") && !answer.contains("m=audio 0"),
        "{answer}"
    );
    script.hang_up();
    system.published(&script.call_id);
}
