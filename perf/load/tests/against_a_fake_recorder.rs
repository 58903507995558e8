//! Whole runs against a recorder of a few lines: a perfect one passes, each flaw is found.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_load::agent::Way;
use holdfast_load::arrivals::Arrivals;
use holdfast_load::audit::{Audit, Auditor, audit};
use holdfast_load::invite::Codec;
use holdfast_load::media::{Impairment, PortRange};
use holdfast_load::run::{RunPlan, RunReport, run};
use holdfast_load::survivors::{Survivors, check_survivors};
use holdfast_load::uac::Transport;
use holdfast_load::verify::{CallTruth, Library, Published};
use holdfast_manifest::{Call, FILE_NAME, Manifest};
use holdfast_units::RecordingId;
use tempfile::TempDir;

use fake_recorder::{DOCUMENT, FakeRecorder, Flaws};

mod fake_recorder;
mod kept;
mod parties;

/// What a run against a recorder with these flaws shows. Each scenario has ports of its own, since
/// they run side by side.
fn scenario(
    first_port: u16,
    transport: Transport,
    flaws: Flaws,
    impairment: Impairment,
) -> (RunReport, Audit, u64) {
    let (folder, report, received) = recorded(first_port, transport, flaws, impairment);
    let audit = audit(
        folder.path(),
        &report.truths,
        Duration::from_millis(300),
        |_| {},
    )
    .unwrap();
    (report, audit, received)
}

/// What such a run leaves.
fn recorded(
    first_port: u16,
    transport: Transport,
    flaws: Flaws,
    impairment: Impairment,
) -> (TempDir, RunReport, u64) {
    let folder = TempDir::new().unwrap();
    let root = folder.path().to_owned();
    let recorder = match transport {
        Transport::Udp => FakeRecorder::udp(root.clone(), flaws),
        Transport::Tcp | Transport::Tls => FakeRecorder::tcp(root.clone(), flaws),
    };
    let plan = plan(recorder.address, first_port, transport, impairment);
    let report = run(plan, |_| {}).unwrap();
    let received = *recorder.received.lock().unwrap();
    (folder, report, received)
}

/// Four calls of a second.
fn plan(
    target: SocketAddr,
    first_port: u16,
    transport: Transport,
    impairment: Impairment,
) -> RunPlan {
    RunPlan {
        target,
        standby: None,
        way: match transport {
            Transport::Udp => Way::Udp,
            Transport::Tcp | Transport::Tls => Way::Tcp,
        },
        user: "1000".to_owned(),
        run: format!("fake-{first_port}-{}", std::process::id()),
        calls: 4,
        rate: 20.0,
        arrivals: Arrivals::Steady,
        talk: Duration::from_secs(1),
        codecs: vec![Codec::Pcmu],
        ports: PortRange::new(first_port, first_port + 99).unwrap(),
        impairment,
        talk_spurts: false,
        presses_keys: false,
        is_encrypted: false,
        may_be_forgotten: false,
        proves_dialogs: false,
        is_silent: false,
        streams: 2,
    }
}

#[test]
fn a_perfect_recorder_passes_over_udp() {
    let (report, audit, received) = scenario(
        25_100,
        Transport::Udp,
        Flaws::default(),
        Impairment::default(),
    );
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!(
        (report.packets_sent, received, report.send_failures),
        (400, 400, 0)
    );
    assert_eq!((report.invite_us.len(), report.concurrent_max), (4, 4));
    assert_eq!((report.reports, report.streams_without_report), (8, 0));
    let perfect = Audit {
        recordings: 4,
        packets_right: 400,
        ..Audit::default()
    };
    assert_eq!(audit, perfect);
}

#[test]
fn a_perfect_recorder_passes_over_tcp() {
    let (report, audit, received) = scenario(
        25_200,
        Transport::Tcp,
        Flaws::default(),
        Impairment::default(),
    );
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!((received, audit.packets_right), (400, 400));
    assert!(audit.is_perfect(), "{audit:?}");
}

#[test]
fn damage_by_the_sender_is_known_to_the_checker() {
    let damage = Impairment {
        loss_ppm: 60_000,
        duplicate_ppm: 60_000,
        reorder_ppm: 60_000,
        seed: 3,
        ..Impairment::default()
    };
    let (report, audit, received) = scenario(25_300, Transport::Udp, Flaws::default(), damage);
    let lost: u64 = report
        .truths
        .iter()
        .flat_map(|call| &call.legs)
        .map(|leg| leg.plan.counts().lost)
        .sum();
    assert!((8..50).contains(&lost), "{lost}");
    assert_eq!(received, report.packets_sent);
    assert!(audit.is_perfect(), "{audit:?}");
    assert_eq!(audit.packets_right, 400 - lost);
}

#[test]
fn one_forgotten_packet_fails_the_run() {
    let flaws = Flaws {
        forgets: Some(20),
        ..Flaws::default()
    };
    let (report, audit, _) = scenario(25_400, Transport::Udp, flaws, Impairment::default());
    assert!(report.failures.is_empty());
    assert_eq!((audit.packets_missing, audit.packets_wrong), (4, 0));
    assert!(!audit.is_perfect());
}

#[test]
fn a_recording_is_removed_only_where_it_is_right() {
    let forgetful = Flaws {
        forgets: Some(20),
        ..Flaws::default()
    };
    for (port, flaws, left) in [(24_800, Flaws::default(), 0), (24_900, forgetful, 4)] {
        let (folder, report, _) = recorded(port, Transport::Udp, flaws, Impairment::default());
        let mut auditor = Auditor::new(folder.path(), true);
        for truth in &report.truths {
            auditor.expect(truth.clone());
        }
        let audit = auditor.finish(Duration::from_millis(300), |_| {}).unwrap();
        assert_eq!((audit.recordings, audit.is_perfect()), (4, left == 0));
        let mut library = Library::new(folder.path());
        library.refresh().unwrap();
        let still_there = report
            .truths
            .iter()
            .filter(|truth| !library.recordings(&truth.call_id).is_empty());
        assert_eq!(still_there.count(), left);
    }
}

#[test]
fn swapped_channels_fail_the_run() {
    let flaws = Flaws {
        swaps: true,
        ..Flaws::default()
    };
    let (_, audit, _) = scenario(25_500, Transport::Udp, flaws, Impairment::default());
    assert_eq!((audit.packets_right, audit.packets_missing), (0, 400));
}

/// Whatever is changed in one recording of four, the audit names that recording and the reason, and
/// nothing else.
#[test]
fn each_change_of_a_published_recording_is_told() {
    let (folder, report, _) = recorded(
        24_700,
        Transport::Udp,
        Flaws::default(),
        Impairment::default(),
    );
    let look = || {
        let patience = Duration::from_millis(300);
        audit(folder.path(), &report.truths, patience, |_| {}).unwrap()
    };
    assert_eq!(look().problems, [""; 0], "as it was recorded");
    let is_second = |truth: &&CallTruth| {
        let metadata = truth.metadata.as_ref().unwrap();
        metadata.speakers[0].who.name == "Caller 2"
    };
    let call_id = &report.truths.iter().find(is_second).unwrap().call_id;
    let mut library = Library::new(folder.path());
    library.refresh().unwrap();
    let published = &library.recordings(call_id)[0];
    let told = format!("recording {} of {call_id}: ", published.name());
    let kept = ["audio.wav", DOCUMENT, FILE_NAME].map(|name| {
        let path = published.folder.join(name);
        (fs::read(&path).unwrap(), path)
    });
    for (reasons, change) in changes_of_files().iter().chain(&changes_of_metadata()) {
        change(published);
        let problems = look().problems;
        assert_eq!(problems.len(), reasons.len(), "{reasons:?}: {problems:?}");
        for (problem, reason) in problems.iter().zip(reasons) {
            let is_told = problem.starts_with(&told) && problem.contains(reason);
            assert!(is_told, "not {told}{reason}: {problem}");
        }
        for (octets, path) in &kept {
            fs::write(path, octets).unwrap();
        }
        // Where there is one.
        let _ = fs::remove_file(published.folder.join("other.txt"));
    }
    assert_eq!(look().problems, [""; 0], "as it was recorded, again");
}

#[test]
fn what_survives_is_held_against_manifest_and_metadata_too() {
    let (folder, report, _) = recorded(
        24_600,
        Transport::Udp,
        Flaws::default(),
        Impairment::default(),
    );
    let look = || {
        let patience = Duration::from_millis(300);
        check_survivors(folder.path(), &report.truths, patience, |_| {}).unwrap()
    };
    let whole = Survivors {
        recordings: 4,
        right: 400,
        ..Survivors::default()
    };
    assert_eq!(look(), whole);
    let mut library = Library::new(folder.path());
    library.refresh().unwrap();
    let published = &library.recordings(&report.truths[1].call_id)[0];
    fs::write(published.folder.join(DOCUMENT), "other").unwrap();
    let found = look();
    assert_eq!((found.altered, found.misdescribed), (1, 1), "{found:?}");
    let published = &library.recordings(&report.truths[0].call_id)[0];
    of_both(
        published,
        |call| &mut call.participants,
        |one| &mut one.names,
    );
    let found = look();
    assert_eq!((found.altered, found.misdescribed), (1, 2), "{found:?}");
    assert_eq!((found.right, found.lost, found.wrong), (400, 0, 0));
}

/// What is said of a change, and the change.
type Change = (Vec<&'static str>, fn(&Published));

fn changes_of_files() -> Vec<Change> {
    vec![
        // The size of the whole: samples are not told by it.
        (vec!["audio.wav: SHA-256 DIFFERS: "], |it| {
            let path = it.folder.join("audio.wav");
            let mut octets = fs::read(&path).unwrap();
            octets[4] ^= 1;
            fs::write(path, octets).unwrap();
        }),
        (vec!["audio.wav: SIZE DIFFERS: "], |it| {
            let path = it.folder.join("audio.wav");
            let octets = fs::read(&path).unwrap();
            fs::write(path, [&octets[..], &[0xff]].concat()).unwrap();
        }),
        (
            vec![
                "metadata/0001.xml: SHA-256 DIFFERS: ",
                "metadata/0001.xml is not what the INVITE carried",
            ],
            |it| {
                let path = it.folder.join(DOCUMENT);
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, text.replace("Caller", "Walter")).unwrap();
            },
        ),
        (
            vec!["metadata/0001.xml: MISSING", "metadata/0001.xml: No such"],
            |it| fs::remove_file(it.folder.join(DOCUMENT)).unwrap(),
        ),
        (vec!["audio.wav: SHA-256 DIFFERS: "], |it| {
            rewrite(it, |manifest| manifest.files[0].sha256 = "0".repeat(64));
        }),
        (vec!["is the manifest of recording "], |it| {
            rewrite(it, |manifest| {
                manifest.id = RecordingId::from_bytes([7; 16])
            });
        }),
        (vec!["other.txt: not named by the manifest"], |it| {
            fs::write(it.folder.join("other.txt"), "").unwrap()
        }),
    ]
}

fn changes_of_metadata() -> Vec<Change> {
    let mut changes = changes_of_participants();
    let more: [Change; 8] = [
        (
            vec![
                "channel 0 is told as 0 of participant",
                "channel 1 is told as 1 of participant",
            ],
            |it| of_both(it, |call| &mut call.channels, |one| &mut one.participant),
        ),
        (
            vec!["with labels [\"2\"], not", "with labels [\"1\"], not"],
            |it| of_both(it, |call| &mut call.channels, |one| &mut one.labels),
        ),
        (vec!["1 channels are told, 2 were sent"], |it| {
            rewrite(it, |manifest| manifest.call.channels.truncate(1));
        }),
        (
            vec![
                "label 1: channel Some(1), not 0",
                "label 2: channel Some(0), not 1",
            ],
            |it| {
                rewrite(it, |manifest| {
                    for stream in &mut manifest.streams {
                        stream.channel = stream.channel.map(|channel| 1 - channel);
                    }
                });
            },
        ),
        (vec![": sessions "], |it| {
            rewrite(it, |manifest| manifest.call.sessions[0].id.push('x'));
        }),
        (vec![": sipSessionID [], not [\""], |it| {
            rewrite(it, |manifest| {
                manifest.call.sessions[0].sip_session_ids.clear()
            });
        }),
        (vec![": groups "], |it| {
            rewrite(it, |manifest| manifest.call.groups[0].id.push('x'));
        }),
        (vec![": group of the session [], not [\""], |it| {
            rewrite(it, |manifest| manifest.call.sessions[0].group = None);
        }),
    ];
    changes.extend(more);
    changes
}

fn changes_of_participants() -> Vec<Change> {
    vec![
        (
            vec![
                "names [\"Callee 2\"], not \"Caller 2\"",
                "names [\"Caller 2\"], not \"Callee 2\"",
            ],
            |it| of_both(it, |call| &mut call.participants, |one| &mut one.names),
        ),
        (
            vec![
                "addresses [\"sip:callee-2@example.com\"], not \"sip:caller-2@example.com\"",
                "addresses [\"sip:caller-2@example.com\"], not \"sip:callee-2@example.com\"",
            ],
            |it| of_both(it, |call| &mut call.participants, |one| &mut one.aors),
        ),
        // Their names go with them: it is their order that is another.
        (vec![": participants ["], |it| {
            rewrite(it, |manifest| manifest.call.participants.reverse());
        }),
        (
            vec![
                "sent labels [\"2\"], not \"1\"",
                "sent labels [\"1\"], not \"2\"",
            ],
            |it| of_both(it, |call| &mut call.participants, |one| &mut one.intervals),
        ),
        (vec![": in sessions [], not \""], |it| {
            rewrite(it, |manifest| {
                let intervals = &mut manifest.call.participants[1].intervals;
                intervals.retain(|presence| presence.session.is_none());
            });
        }),
    ]
}

/// Gives to either of two what the other one has.
fn of_both<T, V: Default>(
    published: &Published,
    list: fn(&mut Call) -> &mut Vec<T>,
    field: fn(&mut T) -> &mut V,
) {
    rewrite(published, |manifest| {
        let list = list(&mut manifest.call);
        let mut first = std::mem::take(field(&mut list[0]));
        std::mem::swap(&mut first, field(&mut list[1]));
        *field(&mut list[0]) = first;
    });
}

fn rewrite(published: &Published, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = published.manifest.clone();
    change(&mut manifest);
    fs::write(published.folder.join(FILE_NAME), manifest.to_json()).unwrap();
}

#[test]
fn a_repeated_invite_and_a_repeated_200_are_one_call() {
    let flaws = Flaws {
        deaf_at_first: true,
        ..Flaws::default()
    };
    let (report, audit, received) = scenario(25_600, Transport::Udp, flaws, Impairment::default());
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!(received, 400);
    assert!(audit.is_perfect(), "{audit:?}");
    assert!(
        report.invite_us.min() >= 500_000,
        "the wait for timer A is part of the answer time"
    );
}

#[test]
fn refused_calls_fail_with_their_status() {
    let flaws = Flaws {
        refuses: Some(503),
        ..Flaws::default()
    };
    let (report, _, received) = scenario(25_700, Transport::Udp, flaws, Impairment::default());
    let reasons: Vec<_> = report.failures.values().collect();
    assert_eq!(reasons, ["INVITE was answered 503"; 4]);
    assert_eq!((received, report.truths.len()), (0, 0));
}

#[test]
fn an_answer_without_the_offered_labels_fails_the_call() {
    let flaws = Flaws {
        relabels: true,
        ..Flaws::default()
    };
    let (report, _, received) = scenario(25_800, Transport::Udp, flaws, Impairment::default());
    assert_eq!(report.failures.len(), 4);
    assert!(
        report.failures[&0].contains("label 1"),
        "{:?}",
        report.failures
    );
    assert_eq!(received, 0);
}

#[test]
fn the_calls_of_a_recorder_that_dies_go_on_at_the_other_one() {
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [first, second] = [&folders[0], &folders[1]]
        .map(|folder| FakeRecorder::udp(folder.path().to_owned(), Flaws::default()));
    let plan = RunPlan {
        standby: Some(second.address),
        talk: Duration::from_secs(6),
        ..plan(first.address, 25_900, Transport::Udp, Impairment::default())
    };
    let mut lives = Some(first);
    let report = run(plan, |progress| {
        if progress.up == 4 {
            lives = None;
        }
    })
    .unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!((report.moved, report.truths.len()), (4, 4));
    assert_eq!(report.packets_sent, 4 * 2 * 300, "none is held back");
    assert!(*second.received.lock().unwrap() > 0);
    let mut library = Library::new(folders[1].path());
    library.refresh().unwrap();
    for truth in &report.truths {
        let published = library.recordings(&truth.call_id);
        let streams = &published[0].manifest.streams;
        assert!(
            streams.iter().all(|one| one.packets > 0 && one.lost == 0),
            "{streams:?}"
        );
    }
}
