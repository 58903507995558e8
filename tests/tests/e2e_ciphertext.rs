//! Encrypted packets as they came, long after they were decrypted: `holdfast recordings export
//! --ciphertext`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use holdfast_e2e::bodies::sdp_of;
use holdfast_e2e::process::binary;
use holdfast_e2e::script::Ask;
use holdfast_e2e::search::files_with;
use holdfast_e2e::secure::{Secure, Speaker, speech};
use holdfast_e2e::srtp::Key;
use holdfast_e2e::system::{Options, System};
use holdfast_load::verify::Published;
use holdfast_srtp::Mki;
use holdfast_units::SrtpSuite;

const IP_AND_UDP: usize = 28;

fn export(system: &System, config: &Path, id: &str, name: &str, ciphertext: bool) -> Output {
    let mut command = Command::new(binary("holdfast"));
    command.args(["recordings", "export", id, "--pcap"]);
    command.arg(system.root().join(format!("{name}.pcapng")));
    if ciphertext {
        let keys = system.root().join(format!("{name}.keys"));
        command.arg("--ciphertext").arg(keys);
    }
    command.arg("--config").arg(config);
    command.output().expect("the command runs")
}

/// The datagrams of a pcapng, without their headers.
fn datagrams(file: &[u8]) -> Vec<Vec<u8>> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut found) = (0, Vec::new());
    while at < file.len() {
        if word(at) == 6 {
            let packet = &file[at + 28..][..word(at + 20)];
            found.push(packet[IP_AND_UDP..].to_vec());
        }
        at += word(at + 4);
    }
    found
}

/// A call in this suite: a key with a name, over a wrap of the numbers, then another key.
fn call(suite: SrtpSuite) -> (Secure, Vec<Vec<u8>>, [Key; 2]) {
    let keys = [Key::new(suite, 41), Key::new(suite, 42)];
    let options = Options::new().set("recordings", "keep_packets = \"always\"");
    let named = |key: &Key, name| key.line(1, &format!("|2^40|{name}:4"));
    let mut call = Secure::open_with(options, "RTP/SAVP", &named(&keys[0], 300));
    let mut speaker = Speaker::new(&call, &keys[0]);
    speaker.mki = Mki::new(&[0, 0, 1, 44]).expect("a short one");
    let (speech, first) = (speech(160 * 90), 0x1_0000 - 30);
    speaker.speak(&speech, first, 0..60);
    let mut sent: Vec<_> = (0..60)
        .map(|it| speaker.packet(&speech, first, it))
        .collect();
    let line = format!(
        "m=audio 40000 RTP/SAVP 0\na=label:1\na=sendonly\n{}",
        named(&keys[1], 301)
    );
    let ask = Ask::invite().sdp(&sdp_of(&call.system, &line));
    call.script.ok(&ask);
    speaker.key = keys[1].clone();
    speaker.mki = Mki::new(&[0, 0, 1, 45]).expect("a short one");
    speaker.speak(&speech, first, 60..90);
    sent.extend((60..90).map(|it| speaker.packet(&speech, first, it)));
    (call, sent, keys)
}

fn finish(call: &mut Secure) -> Published {
    call.script.hang_up();
    call.system.published(&call.script.call_id)
}

fn what_came_is_made_again(suite: SrtpSuite) {
    let (mut call, sent, keys) = call(suite);
    let published = finish(&mut call);
    let id = published.manifest.id.to_string();
    let config = call.system.config();

    let out = export(&call.system, &config, &id, "plain", false);
    assert!(out.status.success(), "{out:?}");
    let read = |name: &str| fs::read(call.system.root().join(name)).expect("the export");
    let plain = datagrams(&read("plain.pcapng"));
    assert!(sent.iter().all(|it| !plain.contains(it)), "decrypted");

    let out = export(&call.system, &config, &id, "sealed", true);
    assert!(out.status.success(), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("KEYS IN CLEAR"));
    assert_eq!(datagrams(&read("sealed.pcapng")), sent);
    let path = call.system.root().join("sealed.keys");
    let mode = fs::metadata(&path).expect("the keys").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = String::from_utf8(read("sealed.keys")).expect("text");
    let lines: Vec<&str> = text.lines().filter(|it| !it.starts_with('#')).collect();
    let line = |key: &Key, name| key.line(1, &format!("|{name}:4")).trim_end().to_owned();
    assert_eq!(lines, [line(&keys[0], 300), line(&keys[1], 301)]);
    // Sealed, the keys lie beside the recording; in clear they are in that one file.
    let needles = keys.map(|key| key.octets);
    let found = files_with(&published.folder, &needles);
    assert!(found.is_empty(), "keys in clear: {found:?}");

    // With another key of the node: nothing, and no file is left.
    fs::remove_file(call.system.root().join("state/node.key")).expect("the file");
    let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    call.system.replace_file("state/node.key", other);
    let out = export(&call.system, &config, &id, "other", true);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("does not open with node.key_file"), "{text}");
    for name in ["other.pcapng", "other.keys"] {
        assert!(!call.system.root().join(name).exists());
    }
}

#[test]
fn what_came_is_made_again_in_counter_mode_over_a_wrap_and_a_rekeying() {
    what_came_is_made_again(SrtpSuite::AesCm128Sha1_80);
}

#[test]
fn what_came_is_made_again_in_gcm_over_a_wrap_and_a_rekeying() {
    what_came_is_made_again(SrtpSuite::AesGcm256);
}

#[test]
fn without_kept_packets_it_says_how_to_keep_them() {
    let key = Key::new(SrtpSuite::AesCm128Sha1_80, 43);
    let mut call = Secure::open("RTP/SAVP", &key.line(1, ""));
    Speaker::new(&call, &key).speak(&speech(160 * 20), 0, 0..20);
    let id = finish(&mut call).manifest.id.to_string();
    let out = export(&call.system, &call.system.config(), &id, "none", true);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(
        text.contains("recordings.keep_packets = \"always\""),
        "{text}"
    );
}
