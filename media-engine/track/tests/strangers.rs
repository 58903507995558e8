//! Tools of others open what is written: ffprobe, sox, tshark, capinfos. Where one is not
//! installed its test says so and passes.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_track::pcapng::{PacketDirection, PcapNgWriter, export};
use holdfast_track::wav::{SampleFormat, WavHeader};
use holdfast_track::{Flags, Kind, Lsn, Record, SourceAddresses, encode_record, levels};
use support::*;

/// A file of this test alone, gone with it.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str) -> Self {
        let name = format!("holdfast-track-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What a tool prints; `None` where it is not installed.
fn ask(tool: &str, arguments: &[&str], file: &Path) -> Option<String> {
    let mut command = Command::new(tool);
    for argument in arguments {
        command.arg(if *argument == "FILE" {
            file.as_os_str()
        } else {
            argument.as_ref()
        });
    }
    match command.output() {
        Ok(output) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert!(output.status.success(), "{tool}: {}", text(&output.stderr));
            Some(text(&output.stdout))
        }
        Err(error) => {
            eprintln!("SKIPPED: {tool} does not start: {error}");
            None
        }
    }
}

fn call(law: u8, channels: u16) -> Rendered {
    let mut track = Track::new();
    for number in 0..100_u32 {
        let payload = pattern(number);
        track.rtp(
            u64::from(number) * 20,
            Rtp {
                pt: law,
                ..voice(number, &payload)
            },
        );
    }
    let tracks: Vec<_> = (0..channels)
        .map(|channel| (Some(channel), &track))
        .collect();
    rendered(2_001, &tracks)
}

#[test]
fn ffprobe_reads_every_law_and_number_of_channels() {
    for (law, codec) in [(PCMU, "pcm_mulaw"), (PCMA, "pcm_alaw")] {
        for channels in [1, 2, 3, 6] {
            let file = TempFile::new(&format!("ffprobe-{codec}-{channels}.wav"));
            fs::write(&file.0, call(law, channels).wav).unwrap();
            let entries = "stream=codec_name,sample_rate,channels,duration_ts";
            let arguments = [
                "-v",
                "error",
                "-of",
                "csv=p=0",
                "-show_entries",
                entries,
                "FILE",
            ];
            let Some(printed) = ask("ffprobe", &arguments, &file.0) else {
                return;
            };
            assert_eq!(printed.trim(), format!("{codec},8000,{channels},16008"));
        }
    }
}

#[test]
fn sox_reads_the_same_samples() {
    for (law, kind) in [(PCMU, "ul"), (PCMA, "al")] {
        for channels in [1, 2, 3] {
            let file = TempFile::new(&format!("sox-{kind}-{channels}.wav"));
            let rendered = call(law, channels);
            fs::write(&file.0, &rendered.wav).unwrap();
            let Some(samples) = ask("soxi", &["-s", "FILE"], &file.0) else {
                return;
            };
            assert_eq!(samples.trim(), "16008");
            let mut sox = Command::new("sox");
            let raw = [
                "-t",
                "raw",
                "-e",
                if law == PCMU { "u-law" } else { "a-law" },
                "-b",
                "8",
            ];
            let output = sox.arg(&file.0).args(raw).arg("-").output().unwrap();
            let header = rendered.plan.header();
            let data = &rendered.wav[header.data_offset() as usize..];
            // sox decodes and encodes anew: mu-law has two zeros, of which it keeps one.
            let same = |(ours, theirs): (&u8, &u8)| ours == theirs || (*ours | 0x80) == 0xff;
            assert_eq!(output.stdout.len() as u64, header.data_size());
            assert!(
                data.iter().zip(&output.stdout).all(same),
                "{kind} {channels}"
            );
        }
    }
}

#[test]
fn tc_139_ffprobe_reads_a_file_beyond_4_gib() {
    let file = TempFile::new("rf64.wav");
    let frames = 5 << 29;
    let header = WavHeader {
        format: SampleFormat::MuLaw,
        channels: 2,
        sample_rate: 8_000,
        frames,
    };
    assert!(header.is_rf64());
    fs::write(&file.0, header.encode()).unwrap();
    // A sparse file: nothing is written but the header.
    fs::File::options()
        .write(true)
        .open(&file.0)
        .unwrap()
        .set_len(header.file_size())
        .unwrap();
    let entries = "stream=codec_name,duration_ts";
    let arguments = [
        "-v",
        "error",
        "-of",
        "csv=p=0",
        "-show_entries",
        entries,
        "FILE",
    ];
    if let Some(printed) = ask("ffprobe", &arguments, &file.0) {
        assert_eq!(printed.trim(), format!("pcm_mulaw,{frames}"));
    }
}

#[test]
fn levels_agree_with_those_of_sox() {
    let file = TempFile::new("levels.wav");
    let wav = call(PCMU, 1).wav;
    fs::write(&file.0, &wav).unwrap();
    let levels = levels::levels(&wav[..]).unwrap();
    let mut sox = Command::new("sox");
    let Ok(output) = sox.arg(&file.0).args(["-n", "stats"]).output() else {
        eprintln!("SKIPPED: sox does not start");
        return;
    };
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    let figure = |name: &str| -> f64 {
        let line = printed.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    assert!(
        (levels.channels[0].rms_dbfs - figure("RMS lev dB")).abs() < 0.02,
        "{printed}"
    );
    assert!(
        (levels.channels[0].peak_dbfs - figure("Pk lev dB")).abs() < 0.02,
        "{printed}"
    );
}

/// Two packets of RTP and one of RTCP over IPv4, one packet over IPv6, one that we sent.
fn capture() -> Vec<u8> {
    let mut track = Track::new();
    track.voice(0, 0);
    track.record(Kind::Rtcp, 1, 10, &[0x80, 201, 0, 1, 0, 0, 0, 1]);
    let mut payload = Vec::new();
    SourceAddresses {
        remote: "[2001:db8::10]:40000".parse().unwrap(),
        local: "[2001:db8::1]:10000".parse().unwrap(),
    }
    .encode(&mut payload);
    track.record(Kind::Source, 2, 15, &payload);
    track.record(Kind::Packet, 2, 20, &voice(1, &pattern(1)[..159]).bytes());
    let mut other = Track::new();
    other.voice(5, 2);
    let sent = Record {
        kind: Kind::Rtcp,
        source: 1,
        flags: Flags::OUTBOUND.with(Flags::DECRYPTED),
        lsn: Lsn(100),
        arrival: at(30),
        payload: &[0x80, 201, 0, 1, 0, 0, 0, 2],
    };
    encode_record(&mut other.bytes, &sent).unwrap();
    let mut out = PcapNgWriter::new(Vec::new(), "Holdfast").unwrap();
    let report = export([&track.bytes[..], &other.bytes[..]], &mut out).unwrap();
    assert_eq!(
        (report.packets, report.without_addresses, report.damaged),
        (5, 0, 0)
    );
    out.finish().unwrap()
}

#[test]
fn a_capture_is_as_it_ever_was() {
    assert!(capture() == include_bytes!("golden/capture_v1.pcapng"));
}

#[test]
fn tshark_reads_the_packets_with_right_checksums() {
    let file = TempFile::new("capture.pcapng");
    fs::write(&file.0, capture()).unwrap();
    let mut arguments = vec!["-r", "FILE", "-d", "udp.port==10000,rtp", "-T", "fields"];
    arguments.extend([
        "-o",
        "udp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
    ]);
    for field in [
        "frame.time_epoch",
        "ip.checksum.status",
        "udp.checksum.status",
        "ip.src",
        "ipv6.src",
        "udp.dstport",
        "rtp.seq",
        "frame.packet_flags_direction",
        "frame.comment",
    ] {
        arguments.extend(["-e", field]);
    }
    let Some(printed) = ask("tshark", &arguments, &file.0) else {
        return;
    };
    let epoch = |ms: u64| {
        let seconds = STARTED.0 / 1_000_000_000;
        let (plain, nanos) = (seconds, ms * 1_000_000);
        [format!("{plain}.{nanos:09}"), support::at(ms).to_string()]
    };
    let lines: Vec<Vec<&str>> = printed
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(lines.len(), 5, "{printed}");
    let comment = "received as SRTP, stored decrypted";
    for (line, (ms, ip, source, source_6, port, seq, direction, comment)) in lines.iter().zip([
        (0, "1", "192.0.2.10", "", "10000", "1000", "1", ""),
        (5, "1", "192.0.2.10", "", "10000", "1002", "1", ""),
        (10, "1", "192.0.2.10", "", "10000", "", "1", ""),
        (20, "", "", "2001:db8::10", "10000", "1001", "1", ""),
        (30, "1", "198.51.100.1", "", "40000", "", "2", comment),
    ]) {
        assert!(epoch(ms).iter().any(|time| time == line[0]), "{printed}");
        assert_eq!(line[1..6], [ip, "1", source, source_6, port], "{printed}");
        assert_eq!(line[6], seq, "{printed}");
        assert!(line[7].ends_with(direction), "{printed}");
        assert_eq!(line[8], comment, "{printed}");
    }
}

#[test]
fn capinfos_reads_a_capture_cut_at_the_edge_of_a_block() {
    let file = TempFile::new("cut.pcapng");
    let whole = capture();
    // The last block says its length in its last four octets.
    let last = u32::from_le_bytes(*whole.last_chunk().unwrap()) as usize;
    fs::write(&file.0, &whole[..whole.len() - last]).unwrap();
    let Some(printed) = ask("capinfos", &["-c", "-M", "FILE"], &file.0) else {
        return;
    };
    assert!(printed.contains("Number of packets:   4"), "{printed}");
}

#[test]
fn a_datagram_too_long_for_udp_is_left_out() {
    let mut out = PcapNgWriter::new(Vec::new(), "Holdfast").unwrap();
    let (from, to) = (
        "192.0.2.1:1".parse().unwrap(),
        "192.0.2.2:2".parse().unwrap(),
    );
    let inbound = PacketDirection::Inbound;
    for (size, fits) in [(0, true), (65_507, true), (65_508, false), (100_000, false)] {
        let payload = vec![0; size];
        assert_eq!(
            out.datagram(STARTED, from, to, inbound, None, &payload)
                .unwrap(),
            fits
        );
    }
}
