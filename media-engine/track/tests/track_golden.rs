//! The bytes of a track are written and read as they ever were.

mod support;

use std::collections::BTreeMap;

use holdfast_manifest::Direction;
use holdfast_track::{
    CodecEntry, Counters, DecodePayloadError, Kind, RecordReader, SourceKey, TrackMark,
};
use holdfast_units::SrtpSuite;
use support::*;

fn track() -> Track {
    let mut track = Track::new();
    track.voice(20, 1);
    let codec = CodecEntry {
        payload_type: 0,
        name: "PCMU".into(),
        clock_rate: 8_000,
        channels: 1,
        fmtp: String::new(),
    };
    for mark in [
        TrackMark::Pause,
        TrackMark::Resume,
        TrackMark::Codecs(vec![codec]),
        TrackMark::Label("1".into()),
        TrackMark::Direction(Direction::Inactive),
        TrackMark::EngineRestart,
        TrackMark::Outage {
            from: at(1),
            to: at(2),
        },
        TrackMark::Dropped {
            from: at(1),
            to: at(2),
            packets: 3,
        },
        TrackMark::SourceChange {
            remote: "[2001:db8::7]:9".parse().unwrap(),
        },
    ] {
        track.mark(40, mark);
    }
    let mut payload = Vec::new();
    Counters {
        packets: 1,
        bytes: 2,
        duplicates: 3,
        late: 4,
        kernel_drops: 5,
        refused: BTreeMap::from([("paused".into(), 6)]),
        tracker: vec![7],
    }
    .encode(&mut payload);
    track.record(Kind::Counters, 0, 50, &payload);
    track.record(Kind::Rtcp, 1, 55, &[0x80, 201, 0, 1, 0, 0, 0, 1]);
    track.record(Kind::Pad, 0, 56, &[0; 5]);
    track.record(Kind::End, 0, 60, b"");
    track
}

#[test]
fn version_1_is_written_and_read() {
    let golden = include_bytes!("golden/track_v1.bin");
    assert!(track().bytes == golden);
    let mut reader = RecordReader::new(&golden[..]);
    let mut kinds = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        kinds.push(record.kind);
    }
    assert_eq!(reader.damage(), []);
    assert_eq!(kinds.len(), 16);
    assert_eq!((kinds[0], kinds[15]), (Kind::Header, Kind::End));
}

/// It came after the others, so that it stands for itself.
#[test]
fn the_key_of_a_source_is_written_and_read_as_it_ever_was() {
    let key = SourceKey {
        ssrc: 0x1122_3344,
        roc: 7,
        suite: SrtpSuite::from_name("AES_CM_128_HMAC_SHA1_80").expect("a suite"),
        mki: &[1, 2],
        sealed: b"sealed",
    };
    let golden = b"\x44\x33\x22\x11\x07\0\0\0\
        \x17\0\0\0AES_CM_128_HMAC_SHA1_80\x02\0\0\0\x01\x02\x06\0\0\0sealed";
    let mut payload = Vec::new();
    key.encode(&mut payload);
    assert_eq!(payload, golden);
    assert_eq!(SourceKey::decode(golden), Ok(key));
    for len in 0..golden.len() {
        let cut = SourceKey::decode(&golden[..len]);
        assert_eq!(cut, Err(DecodePayloadError), "{len}");
    }
}
