//! The bytes of the control protocol: changing them without changing the version fails here.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use holdfast_control::statistics::RingStatistics;
use holdfast_control::{
    DecodeError, Document, DocumentName, EngineStatistics, FromEngine, Health, Life, Recording,
    Sealed, ShardPorts, ShardStatistics, Srtp, SrtpKey, Stage, StageLatency, Stream, StreamMode,
    ToEngine, decode, encode, frame,
};
use holdfast_manifest::Codec;
use holdfast_units::{RecordingId, SrtpSuite, StreamId, WallTime};

fn recording() -> ToEngine {
    ToEngine::Recording(Recording {
        id: RecordingId::from_bytes([7; 16]),
        shard: 1,
        revision: 3,
        started: WallTime(1_000),
        life: Life::Active,
        streams: vec![Stream {
            id: StreamId(9),
            number: 1,
            media_line: 0,
            media: "audio".into(),
            label: Some("1".into()),
            channel: 0,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            rtp_port: 10_000,
            rtcp_port: 10_001,
            mode: StreamMode::Record,
            codecs: [(
                0,
                Codec {
                    name: "PCMU".into(),
                    clock_rate: 8_000,
                    channels: 1,
                    fmtp: None,
                },
            )]
            .into(),
            peer_rtp: Some("192.0.2.1:4000".parse().unwrap()),
            peer_rtcp: Some("192.0.2.1:4001".parse().unwrap()),
            signaling_peer: Some("192.0.2.1".parse().unwrap()),
            cname: "c".into(),
            send_reports: true,
            srtp: Some(Srtp {
                suite: SrtpSuite::AesGcm128,
                peer: vec![SrtpKey {
                    key: Sealed(vec![1, 2, 3]),
                    mki: vec![4],
                    lifetime: 1 << 31,
                }],
                own: Sealed(vec![5]),
                encrypts_rtcp: true,
            }),
        }],
    })
}

#[test]
fn golden_bytes_of_version_5() {
    assert_eq!(
        frame::VERSION,
        5,
        "new golden files belong to a new version"
    );
    let golden: &[u8] = include_bytes!("golden/recording_v5.bin");
    let encoded = encode(&recording()).unwrap();
    assert_eq!(encoded, golden);
    assert_eq!(decode::<ToEngine>(golden).unwrap(), recording());
}

#[test]
fn engine_messages_round_trip() {
    for message in [
        FromEngine::Hello {
            instance: 1,
            shards: vec![ShardPorts {
                first: 10_000,
                last: 19_999,
            }],
        },
        FromEngine::HeldDone,
        FromEngine::Health(Health {
            packets: 5,
            ..Health::default()
        }),
        FromEngine::Engine(EngineStatistics {
            ingest: "udp".into(),
            ..EngineStatistics::default()
        }),
        FromEngine::Shard(ShardStatistics {
            shard: 1,
            ring: Some(RingStatistics {
                blocks: 64,
                held: 3,
            }),
            ..ShardStatistics::default()
        }),
        FromEngine::Latency(StageLatency {
            shard: 1,
            stage: Stage::Durable,
            values: vec![(132, 7), (200_000, 1)],
        }),
        FromEngine::Media {
            recording: RecordingId::from_bytes([7; 16]),
            silent_for: Some(Duration::from_millis(3_500)),
        },
    ] {
        assert_eq!(
            decode::<FromEngine>(&encode(&message).unwrap()).unwrap(),
            message
        );
    }
}

#[test]
fn foreign_and_newer_messages_are_told_apart() {
    let mut bytes = encode(&ToEngine::ReconcileDone).unwrap();
    bytes[4] = 9;
    assert!(matches!(
        decode::<ToEngine>(&bytes),
        Err(DecodeError::Version { found: 9 })
    ));
    bytes[0] = b'x';
    assert!(matches!(
        decode::<ToEngine>(&bytes),
        Err(DecodeError::NotOurs)
    ));
    assert!(matches!(decode::<ToEngine>(&[]), Err(DecodeError::NotOurs)));
}

#[test]
fn truncated_messages_are_errors() {
    let bytes = encode(&recording()).unwrap();
    for end in 0..bytes.len() {
        assert!(decode::<ToEngine>(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_document_name_cannot_leave_its_folder() {
    for name in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        ".hidden",
        "UPPER",
        "a b",
        &"a".repeat(65),
    ] {
        assert!(DocumentName::try_from(name.to_owned()).is_err(), "{name}");
    }
    assert!(DocumentName::try_from("0001.xml".to_owned()).is_ok());
    // … nor by way of the wire.
    let good = ToEngine::Document(Document {
        recording: RecordingId::from_bytes([0; 16]),
        shard: 0,
        name: DocumentName::try_from("aaaaa".to_owned()).unwrap(),
        offset: 0,
        last: true,
        bytes: vec![],
    });
    let bytes = encode(&good).unwrap();
    let at = bytes.windows(5).position(|w| w == b"aaaaa").unwrap();
    let mut evil = bytes;
    evil[at..at + 5].copy_from_slice(b"../xx");
    assert!(matches!(
        decode::<ToEngine>(&evil),
        Err(DecodeError::Decoder(_))
    ));
}
