//! Recordings opened by programs that know nothing of this one: ffprobe, sox, tshark, xmllint. And
//! by the `holdfast` command, as an operator would.

use std::path::Path;
use std::time::Duration;

use holdfast_e2e::bodies::sdp_with_codec;
use holdfast_e2e::caller::Caller;
use holdfast_e2e::peer::multipart;
use holdfast_e2e::process::binary;
use holdfast_e2e::rtp::Source;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::converse;
use holdfast_e2e::tools::Tool;
use holdfast_load::invite::Codec;
use holdfast_load::verify::Published;
use serde_json::Value;

#[test]
fn ffprobe_and_sox_read_the_audio() {
    let system = System::start(&Options::new());
    let published = record(&system);
    let seconds = published.manifest.duration_ms as f64 / 1_000.0;
    if let Some(ffprobe) = Tool::find("ffprobe") {
        let ask = [
            "-v",
            "error",
            "-show_streams",
            "-show_format",
            "-of",
            "json",
            "audio.wav",
        ];
        let said = json(&ffprobe.output(&published.folder, &ask));
        let stream = &said["streams"][0];
        assert_eq!(stream["codec_name"], "pcm_mulaw");
        assert_eq!(
            (&stream["sample_rate"], &stream["channels"]),
            (&"8000".into(), &2.into())
        );
        assert_eq!(said["format"]["format_name"], "wav");
        let duration: f64 = said["format"]["duration"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((duration - seconds).abs() < 0.01, "{duration} of {seconds}");
    }
    if let Some(sox) = Tool::find("sox") {
        let said = sox.run(&published.folder, &["--i", "audio.wav"]);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
        for line in ["Channels       : 2", "Sample Rate    : 8000", "8-bit u-law"] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        // All of it is read, to the last frame.
        let decoded = sox.run(&published.folder, &["audio.wav", "-n", "stat"]);
        let text = String::from_utf8_lossy(&decoded.stderr);
        assert!(decoded.status.success() && !text.contains("WARN"), "{text}");
    }
}

#[test]
fn xmllint_reads_the_metadata() {
    let Some(xmllint) = Tool::find("xmllint") else {
        return;
    };
    let system = System::start(&Options::new());
    let published = record(&system);
    let documents = &published.manifest.call.metadata;
    assert_eq!(documents.len(), 1);
    for document in documents {
        xmllint.output(&published.folder, &["--noout", "--nonet", &document.file]);
    }
}

#[test]
fn the_command_lists_shows_and_verifies() {
    let system = System::start(&Options::new());
    let published = record(&system);
    let holdfast = Tool::at(binary("holdfast"));
    let dir = system.recordings().display().to_string();
    let id = published.manifest.id.to_string();
    let ask = |words: &[&str]| {
        let arguments = [&["recordings", "--dir", &dir, "--json"], words].concat();
        json(&holdfast.output(system.root(), &arguments))
    };
    let list = ask(&["list"]).to_string();
    assert!(list.contains(&id), "{list}");
    let shown = ask(&["show", &id]).to_string();
    assert!(
        shown.contains(&published.manifest.call.sip.call_id),
        "{shown}"
    );
    ask(&["verify", "--all"]);

    // The settings say where the recordings are, too.
    let config = system.config().display().to_string();
    let listed = holdfast.output(system.root(), &["--config", &config, "recordings", "list"]);
    assert!(listed.contains(&id), "{listed}");

    // One octet of the audio is changed: that is found.
    let audio = published.folder.join("audio.wav");
    let mut octets = std::fs::read(&audio).unwrap();
    octets[1_000] ^= 1;
    std::fs::write(&audio, octets).unwrap();
    let verify = holdfast.run(system.root(), &["recordings", "--dir", &dir, "verify", &id]);
    assert_eq!(verify.status.code(), Some(1), "{verify:?}");
}

#[test]
fn tshark_reads_the_packets_of_an_opus_call() {
    packets_are_kept(96, "opus/48000/2", 960, 80);
}

#[test]
fn tshark_reads_the_packets_of_a_g729_call() {
    packets_are_kept(18, "G729/8000", 160, 20);
}

/// A call whose codec is not rendered: its packets are kept, exported and read by tshark.
fn packets_are_kept(payload_type: u8, name: &str, ticks: u32, size: usize) {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let sdp = sdp_with_codec(&prepared.offer, payload_type, name);
    let body = multipart(&sdp, prepared.offer.metadata().as_bytes());
    let (call, _) = caller.place_with(prepared, &body);
    let mut sources = Vec::new();
    for (ports, line) in call.ports.iter().zip(&call.answer.lines) {
        assert_eq!(line.formats[0], payload_type.to_string());
        let socket = ports.rtp.try_clone().unwrap();
        let ssrc = u32::from(ports.address.port());
        sources.push(Source::new(socket, line.rtp.unwrap(), payload_type, ssrc));
    }
    for index in 0..PACKETS {
        for source in &mut sources {
            source.send(&octets(index, size), ticks);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    for stream in &published.manifest.streams {
        assert_eq!((stream.packets, stream.lost), (u64::from(PACKETS), 0));
        assert!(
            !stream.rendered && stream.not_rendered_reason.is_some(),
            "{stream:?}"
        );
    }
    let Some(tshark) = Tool::find("tshark") else {
        return;
    };
    let (dir, id) = (
        system.recordings().display().to_string(),
        published.manifest.id.to_string(),
    );
    let export = [
        "recordings",
        "--dir",
        &dir,
        "export",
        &id,
        "--pcap",
        "call.pcapng",
    ];
    Tool::at(binary("holdfast")).output(system.root(), &export);
    for source in &sources {
        let expected: Vec<String> = (0..PACKETS)
            .map(|index| {
                let payload: String = octets(index, size)
                    .iter()
                    .map(|octet| format!("{octet:02x}"))
                    .collect();
                format!("{}\t{payload_type}\t{payload}", 1_000 + index)
            })
            .collect();
        assert_eq!(read_stream(&tshark, system.root(), source), expected);
    }
}

/// Sequence number, payload type and payload of each packet that came to a port.
fn read_stream(tshark: &Tool, folder: &Path, source: &Source) -> Vec<String> {
    let port = source.target.port();
    let (decode, filter) = (
        format!("udp.port=={port},rtp"),
        format!("udp.dstport=={port}"),
    );
    let fields = [
        "-r",
        "call.pcapng",
        "-d",
        &decode,
        "-Y",
        &filter,
        "-T",
        "fields",
        "-e",
        "rtp.seq",
        "-e",
        "rtp.p_type",
        "-e",
        "rtp.payload",
    ];
    let seen = tshark.output(folder, &fields);
    seen.lines().map(str::to_owned).collect()
}

/// A short call of two voices.
fn record(system: &System) -> Published {
    let mut caller = Caller::new(system);
    let call = caller.call(Codec::Pcmu);
    converse(&call, Duration::from_millis(1_000));
    caller.hang_up(&call);
    system.published(&call.call_id)
}

fn octets(index: u16, size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| (at as u8).wrapping_mul(7) ^ index as u8)
        .collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const PACKETS: u16 = 50;
