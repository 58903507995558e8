//! `holdfast recordings`: published recordings as an operator finds them.

mod common;

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use common::{Sandbox, id, moment};
use holdfast_track::wav::{SampleFormat, WavHeader};
use holdfast_track::{Flags, Kind, Lsn, Record, SourceAddresses, encode_record};
use serde_json::Value;

#[test]
fn list_is_in_the_order_of_time_and_passes_over_what_is_no_recording() {
    let sandbox = Sandbox::new();
    sandbox.publish(id(0xaa), moment(0), &[]);
    sandbox.publish(id(0x11), moment(60), &[]);
    sandbox.publish(id(0x22), moment(86_400), &[]);
    sandbox.write("var/recordings/incoming/x/1.track", "");
    sandbox.write("var/recordings/2026/11/22/notes/readme.txt", "");
    sandbox.write("var/recordings/2026/11/readme.txt", "");

    let text = sandbox.holdfast(&["recordings", "list"]);
    assert_eq!(text.status, 0, "{}", text.stderr);
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", text.stdout);
    assert!(lines[0].starts_with("STARTED (UTC)"));
    assert!(lines[1].starts_with("2026-11-22 10:00:00  0:01.000  1        bye  aaaaaaaa"));
    assert!(lines[1].ends_with("sip:alice@example.com / sip:bob@example.com"));
    assert!(lines[2].contains(&id(0x11).to_string()));
    assert!(lines[3].contains(&id(0x22).to_string()));

    let json = |arguments: &[&str]| -> Vec<String> {
        let arguments = [&["recordings", "list", "--json"], arguments].concat();
        let rows: Vec<Value> = serde_json::from_str(&sandbox.holdfast(&arguments).stdout).unwrap();
        rows.iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(json(&["--day", "2026-11-23"]), [id(0x22).to_string()]);
    assert_eq!(json(&["--last", "1"]), [id(0x22).to_string()]);
    assert!(json(&["--day", "2025-01-01"]).is_empty());
    // Begun at it or after it, and before it.
    let all = [id(0xaa), id(0x11), id(0x22)].map(|it| it.to_string());
    let from = |time| json(&["--from", time]);
    let to = |time| json(&["--to", time]);
    assert_eq!(from("2026-11-22T10:00:00Z"), all);
    assert_eq!(from("2026-11-22T10:00:01Z"), all[1..]);
    assert_eq!(from("2026-11-23"), all[2..]);
    assert_eq!(to("2026-11-22T10:01:00Z"), all[..1]);
    assert_eq!(to("2026-11-23"), all[..2]);
    let between = [
        "--from",
        "2026-11-22T10:00:30Z",
        "--to",
        "2026-11-22T10:01:30Z",
    ];
    assert_eq!(json(&between), all[1..2]);
    let wrong = sandbox.holdfast(&["recordings", "list", "--from", "yesterday"]);
    assert_eq!(wrong.status, 2);
    assert!(
        wrong.stderr.contains("2026-11-22T10:00:00Z"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn before_the_first_recording_there_are_none_yet_but_a_named_folder_has_to_be_there() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.holdfast(&["recordings", "list"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(
        outcome.stdout.starts_with("No recordings yet"),
        "{}",
        outcome.stdout
    );
    let outcome = sandbox.holdfast(&["recordings", "list", "--json"]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "[]\n"));
    let outcome = sandbox.holdfast(&["recordings", "list", "--dir", "var/recordings"]);
    assert_eq!(outcome.status, 1, "{}", outcome.stdout);
}

#[test]
fn a_manifest_that_does_not_read_is_told_and_hides_no_other() {
    let sandbox = Sandbox::new();
    sandbox.publish(id(1), moment(0), &[]);
    let folder = sandbox.publish(id(2), moment(0), &[]);
    fs::write(folder.join("recording.json"), "{").unwrap();
    let outcome = sandbox.holdfast(&["recordings", "list"]);
    assert_eq!(outcome.status, 1);
    assert!(outcome.stdout.contains(&id(1).to_string()));
    assert!(
        outcome
            .stdout
            .contains("recording.json is not a good manifest"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn recordings_are_found_by_the_beginning_of_their_id() {
    let sandbox = Sandbox::new();
    sandbox.publish(id(0xab), moment(0), &[]);
    let status_and_error = |text: &str| {
        let outcome = sandbox.holdfast(&["recordings", "show", text]);
        (outcome.status, outcome.stderr)
    };
    assert_eq!(status_and_error("abab"), (0, String::new()));
    for wrong in ["aba", "ABAB", "../..", "abab/", &"ab".repeat(17)] {
        let (status, error) = status_and_error(wrong);
        assert_eq!(status, 1, "{wrong}");
        assert!(
            error.contains("is not the beginning of a recording's id"),
            "{error}"
        );
    }
    assert!(
        status_and_error("abac")
            .1
            .contains("no recording abac in var/recordings")
    );
    sandbox.publish(id(0xab), moment(86_400), &[]);
    assert!(
        status_and_error("abab")
            .1
            .contains("begins the ids of several recordings")
    );
}

#[test]
fn show_tells_who_how_loud_and_how_much() {
    let sandbox = Sandbox::new();
    sandbox.publish(id(1), moment(0), &[("audio.wav", &wav())]);
    let outcome = sandbox.holdfast(&["recordings", "show", "0101"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    for expected in [
        "recording  01010101010101010101010101010101\n",
        "duration   0:01.000\n",
        "0        -0.2      -0.2       alice sip:alice@example.com (label 1)\n",
        "1        -inf      -inf       bob sip:bob@example.com (label 2)\n",
        "1       1      0        ",
        "known as   oracle ucid 00144536801698162784 (X-Oracle-UCID)\n",
        "paused     2026-11-22 10:00:00 to the end by operator\n",
        "file       audio.wav (",
    ] {
        assert!(
            outcome.stdout.contains(expected),
            "no {expected:?} in\n{}",
            outcome.stdout
        );
    }
    let json = sandbox
        .holdfast(&["recordings", "show", "0101", "--json"])
        .stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["levels"][0]["peak_dbfs"].as_f64().unwrap() > -0.5);
    assert_eq!(json["manifest"]["end_reason"], "bye");
}

#[test]
fn verify_finds_every_kind_of_change() {
    type Change = fn(&Sandbox, &std::path::Path);
    let cases: [(&str, bool, Change); 7] = [
        ("nothing", true, |_, _| {}),
        (
            "waveform.png: not named by the manifest",
            true,
            |_, folder| {
                fs::write(folder.join("waveform.png"), "png").unwrap();
            },
        ),
        ("audio.wav: SHA-256 DIFFERS", false, |_, folder| {
            let mut content = fs::read(folder.join("audio.wav")).unwrap();
            *content.last_mut().unwrap() ^= 1;
            fs::write(folder.join("audio.wav"), content).unwrap();
        }),
        ("audio.wav: SIZE DIFFERS", false, |_, folder| {
            fs::write(folder.join("audio.wav"), "short").unwrap();
        }),
        ("metadata/0001.xml: MISSING", false, |_, folder| {
            fs::remove_file(folder.join("metadata/0001.xml")).unwrap();
        }),
        (
            "audio.wav: UNREADABLE: not a plain file",
            false,
            |sandbox, folder| {
                fs::rename(folder.join("audio.wav"), sandbox.path("elsewhere.wav")).unwrap();
                let target = sandbox.path("elsewhere.wav");
                std::os::unix::fs::symlink(target, folder.join("audio.wav")).unwrap();
            },
        ),
        (
            "recording.json is not a good manifest",
            false,
            |_, folder| {
                fs::write(folder.join("recording.json"), "{\"format\": 1}").unwrap();
            },
        ),
    ];
    for (expected, is_good, change) in cases {
        let sandbox = Sandbox::new();
        let files: [(&str, &[u8]); 2] = [("audio.wav", &wav()), ("metadata/0001.xml", b"<r/>")];
        let folder = sandbox.publish(id(1), moment(0), &files);
        change(&sandbox, &folder);
        let outcome = sandbox.holdfast(&["recordings", "verify", "0101"]);
        assert_eq!(
            outcome.status == 0,
            is_good,
            "{expected}: {}",
            outcome.stdout
        );
        assert!(
            expected == "nothing" || outcome.stdout.contains(expected),
            "{}",
            outcome.stdout
        );
        let json = sandbox
            .holdfast(&["recordings", "verify", "--all", "--json"])
            .stdout;
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json[0]["good"], is_good, "{expected}");
    }
}

#[test]
fn a_manifest_cannot_lead_verify_out_of_the_recording() {
    let sandbox = Sandbox::new();
    sandbox.write("var/secret", "secret");
    let folder = sandbox.publish(id(1), moment(0), &[("audio.wav", b"secret")]);
    let manifest = fs::read_to_string(folder.join("recording.json")).unwrap();
    for name in [
        "../../../../../secret",
        "/etc/passwd",
        "./audio.wav/../audio.wav",
    ] {
        let changed = manifest.replace("\"audio.wav\"", &format!("\"{name}\""));
        fs::write(folder.join("recording.json"), changed).unwrap();
        let outcome = sandbox.holdfast(&["recordings", "verify", "0101"]);
        assert_eq!(outcome.status, 1);
        assert!(
            outcome.stdout.contains("NAME LEADS OUT OF THE RECORDING"),
            "{}",
            outcome.stdout
        );
    }
}

#[test]
fn export_writes_what_was_kept_once_and_wireshark_reads_it() {
    let sandbox = Sandbox::new();
    let tracks = [
        ("streams/1.track", &track(30_000)[..]),
        ("streams/2.track", &track(30_002)),
    ];
    sandbox.publish(id(1), moment(0), &tracks);
    let all = sandbox.holdfast(&["recordings", "export", "0101", "--pcap", "all.pcapng"]);
    assert_eq!(all.status, 0, "{}", all.stderr);
    assert_eq!(all.stdout, "6 packets of 2 streams in all.pcapng\n");
    let one = [
        "recordings",
        "export",
        "0101",
        "--pcap",
        "one.pcapng",
        "--stream",
        "2",
        "--json",
    ];
    let one: Value = serde_json::from_str(&sandbox.holdfast(&one).stdout).unwrap();
    assert_eq!(one["packets"], 3);

    let before = fs::read(sandbox.path("all.pcapng")).unwrap();
    let again = sandbox.holdfast(&["recordings", "export", "0101", "--pcap", "all.pcapng"]);
    assert_eq!(again.status, 1);
    assert!(
        again.stderr.contains("all.pcapng is there already"),
        "{}",
        again.stderr
    );
    assert_eq!(fs::read(sandbox.path("all.pcapng")).unwrap(), before);

    let mut tshark = Command::new("tshark");
    tshark
        .args(["-n", "-T", "fields", "-e", "udp.dstport", "-r"])
        .arg(sandbox.path("one.pcapng"));
    match tshark.output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "30002\n".repeat(3)),
        Err(error) => eprintln!("SKIPPED: tshark did not read the export: {error}"),
    }
}

#[test]
fn export_of_a_recording_without_packets_says_how_to_keep_them() {
    let sandbox = Sandbox::new();
    sandbox.publish(id(1), moment(0), &[]);
    let outcome = sandbox.holdfast(&["recordings", "export", "0101", "--pcap", "x.pcapng"]);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome
            .stderr
            .contains("recordings.keep_packets = \"always\""),
        "{}",
        outcome.stderr
    );
    assert!(!sandbox.path("x.pcapng").exists());
}

/// On a terminal a line says how far it has come, and is gone at the end; elsewhere nothing is said.
#[test]
fn long_work_shows_its_progress_on_a_terminal() {
    let sandbox = Sandbox::new();
    let files: [(&str, &[u8]); 2] = [("audio.wav", &wav()), ("streams/1.track", &track(30_000))];
    sandbox.publish(id(1), moment(0), &files);
    sandbox.publish_part(id(1), 2, moment(3), &files);
    let cases: [(&[&str], &str); 4] = [
        (
            &["recordings", "verify", "--all"],
            "holdfast: verifying, 0 of 2 recordings, 0 MiB",
        ),
        (
            &["recordings", "verify", "--all", "--json"],
            "holdfast: verifying, 0 of 2 recordings, 0 MiB",
        ),
        (
            &["recordings", "export", "0101", "--pcap", "x.pcapng"],
            "holdfast: exporting, 0 of 0 MiB",
        ),
        (&["recordings", "join", "0101"], "holdfast: joining, 0 MiB"),
    ];
    for (arguments, expected) in cases {
        let silent = sandbox.holdfast(arguments);
        assert_eq!((silent.status, silent.stderr.as_str()), (0, ""));
        let _ = fs::remove_file(sandbox.path("x.pcapng"));
        let shown = sandbox.holdfast_on_a_terminal(arguments);
        assert_eq!(shown.status, 0, "{}", shown.stderr);
        let line = format!("\r\u{1b}[K{expected}");
        assert!(shown.stderr.starts_with(&line), "{:?}", shown.stderr);
        assert!(shown.stderr.ends_with("\r\u{1b}[K"), "{:?}", shown.stderr);
        assert!(!shown.stdout.contains("holdfast:"), "{}", shown.stdout);
    }
}

/// What is found stands there before the next recording is looked at.
#[test]
fn verify_tells_each_recording_when_it_is_done() {
    let sandbox = Sandbox::new();
    sandbox.publish(id(1), moment(0), &[]);
    let second = sandbox.publish(id(2), moment(0), &[]);
    let manifest = second.join("recording.json");
    fs::remove_file(&manifest).unwrap();
    nix::unistd::mkfifo(&manifest, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut child = sandbox
        .command(&["recordings", "verify", "--all"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, format!("{} good\n", id(1)));
    // It waits for somebody to write.
    fs::write(&manifest, "{").unwrap();
    line.clear();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, format!("{} NOT AS RECORDED\n", id(2)));
    said.read_to_string(&mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn export_to_a_folder_copies_what_the_manifest_names() {
    let sandbox = Sandbox::new();
    let files: [(&str, &[u8]); 3] = [
        ("audio.wav", &wav()),
        ("metadata/0001.xml", b"<r/>"),
        ("metadata/0002.xml", b""),
    ];
    let folder = sandbox.publish(id(1), moment(0), &files);
    fs::write(folder.join("notes.txt"), "not the recorder's").unwrap();
    fs::set_permissions(folder.join("audio.wav"), Permissions::from_mode(0o600)).unwrap();

    let to = ["recordings", "export", "0101", "--to", "copy"];
    let outcome = sandbox.holdfast(&to);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let expected = format!("3 files of {}, 32084 octets, as the", id(1));
    assert!(outcome.stdout.starts_with(&expected), "{}", outcome.stdout);
    let copy = sandbox.path("copy");
    for name in [
        "audio.wav",
        "metadata/0001.xml",
        "metadata/0002.xml",
        "recording.json",
    ] {
        let (published, copied) = (folder.join(name), copy.join(name));
        assert_eq!(
            fs::read(copied).unwrap(),
            fs::read(published).unwrap(),
            "{name}"
        );
    }
    assert!(!copy.join("notes.txt").exists());
    let mode = fs::metadata(copy.join("audio.wav")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);

    let again = sandbox.holdfast(&to);
    assert_eq!(again.status, 1);
    assert!(
        again.stderr.contains("copy is there already"),
        "{}",
        again.stderr
    );
    let json = sandbox.holdfast(&["recordings", "export", "0101", "--to", "two/", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&json["folder"], &json["bytes"]),
        (&"two/".into(), &32_084.into())
    );
    assert_eq!(json["files"][1]["name"], "metadata/0001.xml");
}

#[test]
fn export_to_a_folder_leaves_nothing_of_what_is_not_as_recorded() {
    type Change = fn(&Sandbox, &std::path::Path);
    let in_manifest = |folder: &std::path::Path, from: &str, to: &str| {
        let path = folder.join("recording.json");
        let json = fs::read_to_string(&path).unwrap();
        assert!(json.contains(from));
        fs::write(&path, json.replace(from, to)).unwrap();
    };
    let cases: [(&str, Change); 6] = [
        ("metadata/0001.xml: SHA-256 DIFFERS", |_, folder| {
            fs::write(folder.join("metadata/0001.xml"), "<s/>").unwrap();
        }),
        ("metadata/0001.xml: SIZE DIFFERS", |_, folder| {
            fs::write(folder.join("metadata/0001.xml"), "<r/>\n").unwrap();
        }),
        ("metadata/0001.xml: MISSING", |_, folder| {
            fs::remove_file(folder.join("metadata/0001.xml")).unwrap();
        }),
        ("not a plain file", |sandbox, folder| {
            fs::rename(folder.join("audio.wav"), sandbox.path("else.wav")).unwrap();
            let target = sandbox.path("else.wav");
            std::os::unix::fs::symlink(target, folder.join("audio.wav")).unwrap();
        }),
        ("is not a good manifest", |_, folder| {
            fs::write(folder.join("recording.json"), "{").unwrap();
        }),
        ("is the manifest of recording", |sandbox, folder| {
            let other = sandbox.publish(id(2), moment(0), &[]);
            fs::copy(other.join("recording.json"), folder.join("recording.json")).unwrap();
        }),
    ];
    let refused = |sandbox: &Sandbox, expected: &str| {
        let outcome = sandbox.holdfast(&["recordings", "export", "0101", "--to", "copy"]);
        assert_eq!(
            (outcome.status, outcome.stdout.as_str()),
            (1, ""),
            "{expected}"
        );
        assert!(
            outcome.stderr.contains(expected),
            "{expected}: {}",
            outcome.stderr
        );
        let mut left = fs::read_dir(sandbox.path("")).unwrap();
        assert!(left.all(|it| {
            !it.unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .starts_with("copy")
        }));
    };
    let files: [(&str, &[u8]); 2] = [("audio.wav", &wav()), ("metadata/0001.xml", b"<r/>")];
    for (expected, change) in cases {
        let sandbox = Sandbox::new();
        let folder = sandbox.publish(id(1), moment(0), &files);
        change(&sandbox, &folder);
        refused(&sandbox, expected);
    }
    // Names that lead out, and one that is there twice.
    for (name, expected) in [
        ("../../../../../../stolen", "NAME LEADS OUT"),
        ("/etc/passwd", "NAME LEADS OUT"),
        ("metadata/0001.xml", "is there already"),
    ] {
        let sandbox = Sandbox::new();
        let files: [(&str, &[u8]); 2] = [("metadata/0001.xml", b"<r/>"), ("x", b"<r/>")];
        let folder = sandbox.publish(id(1), moment(0), &files);
        in_manifest(&folder, "\"x\"", &format!("\"{name}\""));
        refused(&sandbox, expected);
        assert!(!sandbox.path("stolen").exists());
    }
}

#[test]
fn export_takes_one_target() {
    let sandbox = Sandbox::new();
    sandbox.publish(id(1), moment(0), &[]);
    for wrong in [
        &[][..],
        &["--to", "a", "--pcap", "b"],
        &["--to", "a", "--stream", "1"],
        &["--to", "a", "--ciphertext", "keys"],
        &["--stream", "1"],
    ] {
        let arguments = [&["recordings", "export", "0101"], wrong].concat();
        let outcome = sandbox.holdfast(&arguments);
        assert_eq!(outcome.status, 2, "{wrong:?}: {}", outcome.stderr);
    }
}

/// Whoever reads JSON reads why there is none.
#[test]
fn an_error_is_json_where_that_was_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.publish(id(1), moment(0), &[]);
    for (arguments, status, expected) in [
        (
            &["recordings", "show", "0202", "--json"][..],
            1,
            "no recording 0202 in",
        ),
        (&["status", "--json"], 1, "no server answers at"),
        (
            &["config", "show", "--json", "--config", "none"],
            1,
            "reading none: ",
        ),
        (&["recordings", "verify", "--json"], 2, "<ID>"),
        (&["--json", "nonsense"], 2, "nonsense"),
    ] {
        let outcome = sandbox.holdfast(arguments);
        assert_eq!(outcome.status, status, "{arguments:?}");
        let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let error = json["error"].as_str().unwrap();
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert!(
            outcome.stderr.contains(error),
            "{error}: {}",
            outcome.stderr
        );
        let text: Vec<&str> = arguments
            .iter()
            .copied()
            .filter(|it| *it != "--json")
            .collect();
        let outcome = sandbox.holdfast(&text);
        assert_eq!(
            (outcome.status, outcome.stdout.as_str()),
            (status, ""),
            "{text:?}"
        );
    }
    let help = sandbox.holdfast(&["--help"]);
    assert!(help.stdout.contains(r#"{"error": "#), "{}", help.stdout);
}

/// One second of stereo, linear: near full scale on the left, zeros on the right.
fn wav() -> Vec<u8> {
    let (format, channels, sample_rate) = (SampleFormat::Pcm16, 2, 8_000);
    let mut file = WavHeader {
        format,
        channels,
        sample_rate,
        frames: 8_000,
    }
    .encode();
    let frame = [32_000_i16.to_le_bytes(), 0_i16.to_le_bytes()].concat();
    file.extend_from_slice(&frame.repeat(8_000));
    file
}

/// A track with three packets to this port.
fn track(port: u16) -> Vec<u8> {
    let address = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
    let mut source = Vec::new();
    SourceAddresses {
        remote: address(40_000),
        local: address(port),
    }
    .encode(&mut source);
    let mut file = Vec::new();
    let mut put = |lsn, kind, payload: &[u8]| {
        let (lsn, arrival) = (Lsn(lsn), moment(lsn));
        let record = Record {
            kind,
            source: 1,
            flags: Flags::NONE,
            lsn,
            arrival,
            payload,
        };
        encode_record(&mut file, &record).unwrap();
    };
    put(1, Kind::Source, &source);
    for lsn in 2..5 {
        put(
            lsn,
            Kind::Packet,
            &[
                0x80,
                0,
                0,
                u8::try_from(lsn).unwrap(),
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                9,
                1,
            ],
        );
    }
    file
}

#[test]
fn list_finds_a_call_by_its_id() {
    let sandbox = Sandbox::new();
    for number in [1, 2] {
        sandbox.publish(id(number), moment(0), &[]);
    }
    let call_id = format!("call-{}@example.com", id(2));
    let found = sandbox.holdfast(&["recordings", "list", "--call-id", &call_id, "--json"]);
    assert_eq!(found.status, 0, "{}", found.stderr);
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    let ids: Vec<&Value> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"])
        .collect();
    assert_eq!(ids, [&Value::from(id(2).to_string())]);
    let none = sandbox.holdfast(&["recordings", "list", "--number", "999", "--json"]);
    assert_eq!(none.stdout.trim(), "[]");
}

/// Parts of two nodes' folders: joined, listed, shown and verified.
#[test]
fn parts_are_joined_and_what_was_joined_is_verified_with_its_parts() {
    let sandbox = Sandbox::new();
    sandbox.publish(id(5), moment(0), &[("audio.wav", &wav())]);
    let alone = sandbox.holdfast(&["recordings", "join", "0505"]);
    assert_eq!(alone.status, 1);
    assert!(
        alone.stderr.contains("nothing is to be joined"),
        "{}",
        alone.stderr
    );

    let second = sandbox.publish_part(id(5), 2, moment(3), &[("audio.wav", &wav())]);
    // Where another node's folder would be.
    let other = sandbox.path("other/2026/11/22");
    fs::create_dir_all(&other).unwrap();
    let moved = other.join(second.file_name().unwrap());
    fs::rename(&second, &moved).unwrap();
    let from = ["recordings", "join", "0505", "--from", "other"];
    let outcome = sandbox.holdfast(&from);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    for expected in [
        "05050505050505050505050505050505 joined: var/recordings/2026/11/22/",
        "  part 1: 0:00.000 to 0:01.000, recorder-1, 05050505050505050505050505050505\n",
        "    2000 ms after the end of the part before (restart)\n",
    ] {
        assert!(
            outcome.stdout.contains(expected),
            "no {expected:?} in\n{}",
            outcome.stdout
        );
    }
    assert!(sandbox.holdfast(&from).stdout.contains("is joined already"));
    let list = sandbox.holdfast(&["recordings", "list"]).stdout;
    assert!(list.contains("0:04.000"), "{list}");
    let shown = sandbox
        .holdfast(&["recordings", "show", "0505.joined"])
        .stdout;
    assert!(shown.contains("part       all 2 joined\n"), "{shown}");
    assert!(
        shown.contains("part       2 0:03.000 to 0:04.000, recorder-1, 2000 ms after"),
        "{shown}"
    );

    let verify = || sandbox.holdfast(&["recordings", "verify", "0505.joined"]);
    let good = verify();
    assert_eq!(good.status, 0, "{}", good.stdout);
    assert!(
        good.stdout.contains("part 1 of recorder-1: good"),
        "{}",
        good.stdout
    );
    assert!(
        good.stdout
            .contains("part 2 of recorder-1: not in this folder"),
        "{}",
        good.stdout
    );
    // A part that is another one now.
    let path =
        sandbox.path("var/recordings/2026/11/22/05050505050505050505050505050505/recording.json");
    let json = fs::read_to_string(&path).unwrap();
    fs::write(&path, json.replace("\"packets\": 50", "\"packets\": 51")).unwrap();
    let bad = verify();
    assert_eq!(bad.status, 1);
    assert!(
        bad.stdout.contains("part 1 of recorder-1: SHA-256 DIFFERS"),
        "{}",
        bad.stdout
    );
}
