//! Encrypted media, end to end: strangers send, and the audio is theirs to the bit.

use holdfast_e2e::audio::Audio;
use holdfast_e2e::bodies::sdp_of;
use holdfast_e2e::certificates::Authority;
use holdfast_e2e::peer::Peer;
use holdfast_e2e::script::{Ask, Script, text_of};
use holdfast_e2e::srtp::{Key, answered};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::tools::Tool;

use holdfast_load::agent::Way;
use holdfast_load::answer::Answer;
use holdfast_load::tls::Versions;
use holdfast_units::SrtpSuite;

/// A call of one encrypted line over TLS.
struct Secure {
    system: System,
    script: Script,
    /// Where the line receives.
    port: u16,
}

impl Secure {
    fn open(profile: &str, keys: &str) -> Self {
        let authority = Authority::new("one");
        let system = System::start(&Options::new().tls(&authority.issue("srs.example.com")));
        let way = Way::Tls(authority.client(Versions::Both));
        let mut script = Script::by(Peer::over(system.sips(), &way));
        let line = format!("m=audio 40000 {profile} 0\na=label:1\na=sendonly\n{keys}");
        let response = script.open(&Ask::invite().sdp(&sdp_of(&system, &line)));
        let answer = Answer::parse(&response.body).expect("an answer");
        let port = answer.lines[0].rtp.expect("a port").port();
        let description = text_of(&response);
        assert!(description.contains(&format!("m=audio {port} {profile} 0")));
        let crypto = answered(&description)[0].clone().expect("a key of theirs");
        assert!(!keys.contains(&crypto.key.base64()), "a key of its own");
        Self {
            system,
            script,
            port,
        }
    }

    /// What of the audio is not silence before the first packet.
    fn finish(mut self) -> (Vec<u8>, holdfast_load::verify::Published) {
        self.script.hang_up();
        let published = self.system.published(&self.script.call_id);
        let audio = Audio::of(&published.folder);
        (audio.channels[0].clone(), published)
    }
}

/// Octets of mu-law that are told apart wherever they stand.
fn speech(samples: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    (0..samples).map(|_| draw()).collect()
}

fn holds(audio: &[u8], speech: &[u8]) -> bool {
    audio.windows(speech.len()).any(|window| window == speech)
}

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
