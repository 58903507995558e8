//! `recording.json` keeps its shape, and what the control protocol carries survives postcard.

use std::collections::BTreeMap;

use holdfast_manifest::*;
use holdfast_units::{RecordingId, StreamId, WallTime};

const STARTED: WallTime = WallTime(1_795_342_203_000_000_000);

fn at(ms: u64) -> WallTime {
    WallTime(STARTED.0 + ms * 1_000_000)
}

fn call() -> Call {
    Call {
        sip: SipDialog {
            call_id: "a84b4c76e66710".into(),
            local_tag: "314159".into(),
            remote_tag: "1928301774".into(),
            from: "<sip:src@example.com>;tag=1928301774".into(),
            to: "<sip:srs@example.com>".into(),
            peer: Some("192.0.2.10:5060".parse().unwrap()),
            transport: "udp".into(),
            user_agent: Some("example-sbc/1.0".into()),
            profile: None,
            user: None,
            asserted: vec!["sip:src@example.com".into()],
            is_private: true,
            headers: BTreeMap::from([("Session-ID".into(), vec!["ab30317f1a784dc48".into()])]),
        },
        groups: vec![Group {
            id: "Zz==".into(),
            intervals: vec![Interval {
                from: Some(STARTED),
                to: None,
            }],
        }],
        sessions: vec![Session {
            id: "hVpd7YQgRW2nD22h7q60JQ==".into(),
            sip_session_ids: vec!["ab30317f1a784dc48ff824d0d3715d86;remote=00".into()],
            group: Some("Zz==".into()),
            time: Interval {
                from: Some(STARTED),
                to: Some(at(9_000)),
            },
            reasons: vec!["transfer".into()],
        }],
        participants: vec![Participant {
            id: "srfBElmCRp2QB23b7Mpk0w==".into(),
            names: vec!["Alice".into()],
            aors: vec!["sip:alice@example.com".into()],
            intervals: vec![Presence {
                session: Some("hVpd7YQgRW2nD22h7q60JQ==".into()),
                label: Some("1".into()),
                interval: Interval {
                    from: Some(STARTED),
                    to: None,
                },
            }],
        }],
        channels: vec![Channel {
            channel: 0,
            participant: Some("srfBElmCRp2QB23b7Mpk0w==".into()),
            labels: vec!["1".into()],
        }],
        warnings: vec![Warning {
            code: "no_require".into(),
            text: "no Require: siprec".into(),
        }],
        extensions: vec![Extension {
            of: "participant".into(),
            id: Some("srfBElmCRp2QB23b7Mpk0w==".into()),
            namespace: Some("http://example.com/extension".into()),
            name: "extensiondata".into(),
            values: BTreeMap::from([("ucid".into(), vec!["0090D1AD6537E860".into()])]),
        }],
        correlations: vec![Correlation {
            vendor: "oracle".into(),
            kind: "ucid".into(),
            value: "0090D1AD6537E860".into(),
            source: "ucid".into(),
        }],
        formers: Vec::new(),
        continues: Some(Continues {
            folder: Some("abababababababababababababababab".into()),
            node: Some("recorder-2".into()),
            ended: Some(WallTime(STARTED.0 - 1_500_000_000)),
            gap_ms: Some(1_500),
            cause: PartCause::NodeLost,
        }),
        pauses: vec![Pause {
            from: STARTED,
            to: Some(STARTED),
            by: PausedBy::Operator,
        }],
        metadata: vec![MetadataDocument {
            file: "metadata/0001.xml".into(),
            sha256: "00".repeat(32),
            received_at: STARTED,
            carried_by: "INVITE".into(),
            content_type: "application/rs-metadata+xml".into(),
            flags: vec!["complete".into()],
        }],
    }
}

fn stream() -> Stream {
    let mut stream = Stream::new(1, StreamId(0x0102_0304_0506_0708));
    stream.label = Some("1".into());
    stream.m_line = Some(0);
    stream.codecs.insert(
        0,
        Codec {
            name: "PCMU".into(),
            clock_rate: 8_000,
            channels: 1,
            fmtp: None,
        },
    );
    stream.directions.push(DirectionChange {
        at: STARTED,
        direction: Direction::Recvonly,
    });
    stream.local.push("198.51.100.1:10000".parse().unwrap());
    stream.remote.push("[2001:db8::1]:40000".parse().unwrap());
    stream.ssrcs.push(SsrcSeen {
        ssrc: 0xdead_beef,
        cname: Some("x@example.com".into()),
        first_seen: at(20),
        last_seen: at(9_980),
        packets: 498,
    });
    (stream.packets, stream.bytes, stream.lost) = (498, 85_656, 1);
    stream.refused.insert("foreign_source".into(), 3);
    stream.jitter_ms = JitterMs {
        last: 0.5,
        max: 2.25,
    };
    stream.recovered = 2;
    stream.overlapped_ms = 3;
    stream.aligned = Some(Aligned {
        by: SharedClock::Cname,
        shift_ms: -300,
    });
    stream.gaps.push(Gap {
        from_ms: 1_000,
        to_ms: 1_020,
        from: at(1_000),
        to: at(1_020),
        cause: GapCause::Loss,
        packets: 1,
    });
    for (ms, kind) in [
        (5_000, MarkKind::Pause),
        (
            6_000,
            MarkKind::TelephoneEvent {
                digit: "#".into(),
                duration_ms: 100,
            },
        ),
        (7_000, MarkKind::SsrcChange { from: 1, to: 2 }),
    ] {
        stream.marks.push(Mark {
            at_ms: ms,
            at: at(ms),
            kind,
        });
    }
    (stream.channel, stream.rendered) = (Some(0), true);
    stream
}

fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        id: RecordingId::from_bytes([0xab; 16]),
        part: 2,
        state_sha256: "11".repeat(32),
        node: "recorder-1".into(),
        software_version: "0.1.0".into(),
        started: STARTED,
        ended: at(10_000),
        end_reason: EndReason::Bye,
        duration_ms: 10_000,
        call: call(),
        streams: vec![stream()],
        files: vec![File {
            name: "audio.wav".into(),
            bytes: 160_058,
            sha256: "11".repeat(32),
        }],
        parts: Vec::new(),
        flags: Vec::new(),
    }
}

#[test]
fn format_1_is_written_and_read_as_it_ever_was() {
    let golden = include_bytes!("golden/recording_v1.json");
    let json = manifest().to_json();
    assert_eq!(
        String::from_utf8(json).unwrap(),
        std::str::from_utf8(golden).unwrap()
    );
    assert_eq!(Manifest::from_json(golden).unwrap(), manifest());
}

#[test]
fn a_newer_format_is_refused_by_its_number_even_where_its_shape_changed() {
    let error = Manifest::from_json(br#"{"format": 2, "id": {"new": "shape"}}"#).unwrap_err();
    assert!(
        matches!(
            error,
            ReadManifestError::TooNew {
                found: 2,
                supported: FORMAT
            }
        ),
        "{error:?}"
    );
}

#[test]
fn what_is_not_a_manifest_is_malformed() {
    for wrong in ["", "[]", "{}", r#"{"format":1}"#, r#"{"format":"1"}"#] {
        let error = Manifest::from_json(wrong.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ReadManifestError::Malformed(_)),
            "{wrong}: {error:?}"
        );
    }
}

#[test]
fn fields_that_a_later_writer_adds_are_passed_over() {
    let json = String::from_utf8(manifest().to_json()).unwrap();
    let json = json.replacen("\"node\"", "\"colour\": \"blue\", \"node\"", 1);
    assert_eq!(Manifest::from_json(json.as_bytes()).unwrap(), manifest());
}

#[test]
fn lists_that_an_earlier_writer_left_out_are_empty() {
    let json = String::from_utf8(manifest().to_json()).unwrap();
    let json = json.replacen("\"parts\": [],", "", 1);
    assert_eq!(Manifest::from_json(json.as_bytes()).unwrap(), manifest());
}

#[test]
fn call_stream_and_end_reason_survive_the_binary_protocol() {
    let binary = postcard::to_allocvec(&(call(), stream(), EndReason::Orphaned)).unwrap();
    let back: (Call, Stream, EndReason) = postcard::from_bytes(&binary).unwrap();
    assert_eq!(back, (call(), stream(), EndReason::Orphaned));
    let binary = postcard::to_allocvec(&Call::default()).unwrap();
    assert_eq!(
        postcard::from_bytes::<Call>(&binary).unwrap(),
        Call::default()
    );
}
