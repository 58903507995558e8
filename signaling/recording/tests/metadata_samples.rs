//! Every message of the collection of real recording clients: whom and what its metadata names,
//! and which channel each media line gets. Skipped, loudly, where the collection is absent.

use std::path::PathBuf;

use holdfast_recording::metadata::{
    Channels, Document, Fault, Flag, Limits, Line, Match, Speakers, State, parse,
};
use holdfast_units::WallTime;

fn sample(name: &str) -> Option<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/interop/samples")
        .join(name);
    let bytes = std::fs::read(&folder).ok();
    if bytes.is_none() {
        eprintln!("SKIPPED: {} is not there", folder.display());
    }
    bytes
}

/// The metadata part: from its first tag to the boundary behind it.
fn metadata(message: &[u8]) -> &[u8] {
    let find = |needle: &[u8], from: usize| {
        message[from..]
            .windows(needle.len())
            .position(|window| window == needle)
            .map(|at| at + from)
    };
    let start = find(b"<?xml", 0)
        .or_else(|| find(b"<recording", 0))
        .expect("has metadata");
    &message[start..find(b"\n--", start).unwrap_or(message.len())]
}

/// The labels of the description's m-lines.
fn labels(message: &[u8]) -> Vec<Option<String>> {
    let text = String::from_utf8_lossy(message);
    let mut labels = Vec::new();
    for line in text.lines() {
        if line.starts_with("m=") {
            labels.push(None);
        } else if let Some(label) = line.strip_prefix("a=label:") {
            *labels.last_mut().expect("label inside an m-line") = Some(label.trim().to_owned());
        }
    }
    labels
}

fn read(message: &[u8]) -> (Document, Option<Fault>) {
    match parse(metadata(message), None, &Limits::default()) {
        Ok(document) => (document, None),
        Err(error) => {
            let fault = error.fault.clone();
            (
                error.into_partial().expect("what could be read"),
                Some(fault),
            )
        }
    }
}

/// What one sample must come to.
struct Expected {
    file: &'static str,
    /// Users of the participants, in order.
    users: &'static [&'static str],
    /// Labels of the metadata's streams, in order.
    labels: &'static [&'static str],
    /// Channel of every m-line, and the user heard on it.
    channels: &'static [(u16, &'static str)],
    matched: Match,
    speakers: Speakers,
    flags: &'static [Flag],
}

const ORACLE: &[Flag] = &[
    Flag::OtherNamespace,
    Flag::PlainIds,
    Flag::PlainReferences,
    Flag::NestedAssociations,
    Flag::StreamDetails,
    Flag::SessionAssociateTime,
    Flag::ExtensionData,
    Flag::TimeWithoutZone,
];

const SAMPLES: &[Expected] = &[
    Expected {
        file: "avaya-3.sip",
        users: &["9878942259", "ASBCE"],
        labels: &["10", "20"],
        channels: &[(0, "9878942259"), (1, "ASBCE")],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: &[Flag::ElementSpelling, Flag::OpaqueId, Flag::TimeWithoutZone],
    },
    Expected {
        file: "broadworks-6.sip",
        users: &["fred", "+12295556666"],
        labels: &["1", "2"],
        channels: &[(0, "fred"), (1, "+12295556666")],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: &[
            Flag::OtherNamespace,
            Flag::RecordingMetadataRoot,
            Flag::ElementSpelling,
            Flag::PlainIds,
            Flag::PlainReferences,
            Flag::NestedAssociations,
            Flag::AorElements,
            Flag::StreamDetails,
            Flag::ExtensionData,
            Flag::OpaqueId,
        ],
    },
    Expected {
        file: "broadworks-7.sip",
        users: &["user1001", "15550001002"],
        labels: &["1", "2"],
        channels: &[(0, "user1001"), (1, "15550001002")],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: &[Flag::RecordingMetadataRoot],
    },
    Expected {
        file: "cisco-cube-2.sip",
        users: &["7301", "7300"],
        labels: &["1", "2"],
        channels: &[(0, "7301"), (1, "7300")],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: &[],
    },
    // The metadata says that nobody sends yet: no speaker, and none is guessed.
    Expected {
        file: "cisco-cube-3.sip",
        users: &["0733165805", "+972546136443"],
        labels: &["1", "2"],
        channels: &[(0, ""), (1, "")],
        matched: Match::Label,
        speakers: Speakers::None,
        flags: &[],
    },
    // The description's labels (a_leg, b_leg) are not those of the metadata (1, 2).
    Expected {
        file: "drachtio-1.sip",
        users: &["6001", "101"],
        labels: &["1", "2"],
        channels: &[(0, "6001"), (1, "101")],
        matched: Match::Order,
        speakers: Speakers::Order,
        flags: &[],
    },
    // Not well-formed: a raw "<sip:…>" inside a participant. Nothing is lost by it.
    Expected {
        file: "genesys-1.sip",
        users: &[
            "Genesys",
            "record=00U2QRJBLKAF3CCSEDB1Q2LAES0188NT_2023-10-24_15-53-28",
        ],
        labels: &["268749245", "268749247", "268749246", "268749248"],
        channels: &[
            (0, "Genesys"),
            (
                1,
                "record=00U2QRJBLKAF3CCSEDB1Q2LAES0188NT_2023-10-24_15-53-28",
            ),
            (0, "Genesys"),
            (
                1,
                "record=00U2QRJBLKAF3CCSEDB1Q2LAES0188NT_2023-10-24_15-53-28",
            ),
        ],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: &[Flag::IllFormed, Flag::PlainIds, Flag::NestedAssociations],
    },
    Expected {
        file: "jambonz-1.sip",
        users: &["+15551230001", "+15551230002"],
        labels: &["1", "2"],
        channels: &[(0, "+15551230001"), (1, "+15551230002")],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: &[Flag::OpaqueId, Flag::ExtensionData],
    },
    Expected {
        file: "opensips-1.sip",
        users: &["0771121212", "0760516936"],
        labels: &["1", "2"],
        channels: &[(0, "0771121212"), (1, "0760516936")],
        matched: Match::Label,
        speakers: Speakers::Order,
        flags: &[],
    },
    Expected {
        file: "opensips-2.sip",
        users: &["0771121212", "0760516936"],
        labels: &["1", "2"],
        channels: &[(0, "0771121212"), (1, "0760516936")],
        matched: Match::Label,
        speakers: Speakers::Order,
        flags: &[],
    },
    // The first participant sends what goes by label 1, the second m-line.
    Expected {
        file: "opensips-3.sip",
        users: &["+123", "+321"],
        labels: &["1", "0"],
        channels: &[(1, "+321"), (0, "+123")],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: &[Flag::LooseTime],
    },
    Expected {
        file: "oracle-2.sip",
        users: &[
            "Genesys",
            "record=01PEP83ES8B0FC7QD151Q2LAES00022M_2024-04-05_12-59-19",
        ],
        labels: &["1006644281", "1006644283", "1006644282", "1006644284"],
        channels: &[
            (0, "Genesys"),
            (
                1,
                "record=01PEP83ES8B0FC7QD151Q2LAES00022M_2024-04-05_12-59-19",
            ),
            (0, "Genesys"),
            (
                1,
                "record=01PEP83ES8B0FC7QD151Q2LAES00022M_2024-04-05_12-59-19",
            ),
        ],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: &[Flag::IllFormed, Flag::PlainIds, Flag::NestedAssociations],
    },
    Expected {
        file: "oracle-3.sip",
        users: &["+19195184357", "+18442820485"],
        labels: &["739440565", "739440566"],
        channels: &[(0, "+19195184357"), (1, "+18442820485")],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: ORACLE,
    },
    Expected {
        file: "oracle-4.sip",
        users: &[],
        labels: &[],
        channels: &[],
        matched: Match::None,
        speakers: Speakers::None,
        flags: &[Flag::SessionAssociateTime],
    },
    Expected {
        file: "oracle-5.sip",
        users: &["9000", "1002"],
        labels: &["16777227", "16777228"],
        channels: &[(0, "9000"), (1, "1002")],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: ORACLE,
    },
    Expected {
        file: "oracle-6.sip",
        users: &["22938884455", "+12298558585"],
        labels: &["33675086", "33675087"],
        channels: &[(0, "22938884455"), (1, "+12298558585")],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: ORACLE,
    },
    // Every element prefixed; the first participant sends label 2.
    Expected {
        file: "ribbon-2.sip",
        users: &["2249888500", "2249888012"],
        labels: &["1", "2"],
        channels: &[(1, "2249888012"), (0, "2249888500")],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: &[Flag::OtherNamespace, Flag::StreamDetails],
    },
    Expected {
        file: "sems-1.sip",
        users: &["016190200", "Extension-016190619"],
        labels: &["a_leg", "b_leg"],
        channels: &[(0, "016190200"), (1, "Extension-016190619")],
        matched: Match::Label,
        speakers: Speakers::Stated,
        flags: &[],
    },
];

fn user(state: &State, id: &holdfast_recording::metadata::Id) -> String {
    let participant = state.participant(id).expect("a known participant");
    participant.names[0].user().unwrap_or_default().to_owned()
}

#[test]
fn every_sample_tells_its_participants_labels_and_channels() {
    for expected in SAMPLES {
        let file = expected.file;
        let Some(message) = sample(file) else { return };
        let (document, fault) = read(&message);
        let is_ill_formed = matches!(fault, Some(Fault::IllFormed { .. }));
        assert_eq!(
            is_ill_formed,
            expected.flags.contains(&Flag::IllFormed),
            "{file}: {fault:?}"
        );
        assert!(document.is_whole_picture(), "{file}");
        for flag in expected.flags {
            assert!(
                document.flags.contains(flag),
                "{file}: {flag:?} of {:?}",
                document.flags
            );
        }
        let mut state = State::new();
        state.apply(&document, WallTime(1));
        let users: Vec<String> = state
            .participants()
            .iter()
            .map(|one| user(&state, &one.id))
            .collect();
        assert_eq!(users, expected.users, "{file}");
        let found: Vec<_> = state
            .streams()
            .iter()
            .map(|stream| stream.label.as_deref().unwrap_or(""))
            .collect();
        assert_eq!(found, expected.labels, "{file}");
        assert_eq!(state.snapshot_needs(), [], "{file}");

        let labels = labels(&message);
        let lines: Vec<Line<'_>> = labels
            .iter()
            .enumerate()
            .map(|(index, label)| Line {
                index,
                label: label.as_deref(),
            })
            .collect();
        let assigned = Channels::new().assign(&lines, &state);
        let heard: Vec<(u16, String)> = assigned
            .iter()
            .map(|one| {
                let heard: Vec<_> = one.participants.iter().map(|id| user(&state, id)).collect();
                (one.channel.0, heard.join("+"))
            })
            .collect();
        let wanted: Vec<(u16, String)> = expected
            .channels
            .iter()
            .map(|(channel, user)| (*channel, (*user).to_owned()))
            .collect();
        assert!(
            assigned.iter().all(|one| one.speakers == expected.speakers),
            "{file}"
        );
        assert_eq!(heard, wanted, "{file}");
        assert!(
            assigned.iter().all(|one| one.matched == expected.matched),
            "{file}"
        );
    }
}

#[test]
fn a_sample_whose_tags_were_lost_is_a_document_without_objects() {
    let Some(message) = sample("broadworks-5.sip") else {
        return;
    };
    let (document, fault) = read(&message);
    assert_eq!(fault, None);
    assert!(document.participants.is_empty() && document.streams.is_empty());
    assert!(document.flags.contains(&Flag::StrayText));
}

#[test]
fn vendor_data_of_the_samples_stays_under_its_object() {
    let Some(message) = sample("ribbon-2.sip") else {
        return;
    };
    let (document, _) = read(&message);
    let fragment = &document.groups[0].extensions[0];
    assert_eq!(
        fragment.namespace.as_deref(),
        Some("urn:ietf:params:xml:ns:callData")
    );
    assert!(fragment.xml.starts_with("<callData ") && fragment.xml.ends_with("</callData>"));
    assert_eq!(
        document.participants[0].names[0].name.as_deref(),
        Some("Extension 8500")
    );
    assert_eq!(
        document.participants[0].names[0].language.as_deref(),
        Some("en")
    );
    assert_eq!(
        document.participants[1].names[0].name, None,
        "a single blank is no name"
    );

    let Some(message) = sample("broadworks-6.sip") else {
        return;
    };
    let (document, _) = read(&message);
    let mut state = State::new();
    state.apply(&document, WallTime(1));
    let fragment = &state.sessions()[0].extensions[0];
    assert!(
        fragment
            .xml
            .contains("<extTrackingID>9999:1</extTrackingID>")
    );
    let recording = state.recording_id().map(|id| id.as_str());
    assert_eq!(
        recording,
        Some("urn:uuid:11111111-1111-1111-1111-111111111111")
    );

    let Some(message) = sample("oracle-2.sip") else {
        return;
    };
    let (document, _) = read(&message);
    let fragment = &document.participants[0].extensions[0];
    assert!(
        fragment
            .xml
            .contains("<sip:record=01PEP83ES8B0FC7QD151Q2LAES00022M")
    );
    assert!(fragment.xml.ends_with("</extensiondata>"));

    let Some(message) = sample("oracle-6.sip") else {
        return;
    };
    let (document, _) = read(&message);
    assert_eq!(
        document.participants[0].names[0].name.as_deref(),
        Some("\"ECG Tester\"")
    );
}

#[test]
fn a_line_that_starts_inactive_keeps_its_channel_when_it_resumes() {
    let (Some(first), Some(second)) = (
        sample("cisco-cube-3.sip"),
        sample("cisco-cube-3.f01-re-invite.sip"),
    ) else {
        return;
    };
    let (mut state, mut channels) = (State::new(), Channels::new());
    let lines = [
        Line {
            index: 0,
            label: Some("1"),
        },
        Line {
            index: 1,
            label: Some("2"),
        },
    ];
    state.apply(&read(&first).0, WallTime(1));
    let before = channels.assign(&lines, &state);
    assert_eq!(
        state.apply(&read(&second).0, WallTime(2)),
        [],
        "the same once more"
    );
    assert_eq!(channels.assign(&lines, &state), before);
}
