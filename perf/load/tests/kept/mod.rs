//! Calls of several codecs: what is not heard has to be kept, packet by packet.

use std::fs;
use std::time::Duration;

use holdfast_catalogue::fingerprint;
use holdfast_load::audit::{Audit, audit};
use holdfast_load::invite::Codec;
use holdfast_load::media::Impairment;
use holdfast_load::run::{RunPlan, RunReport, run};
use holdfast_load::uac::Transport;
use holdfast_load::verify::{Library, Published};
use holdfast_track::{Kind, RecordReader};
use tempfile::TempDir;

use super::fake_recorder::{FakeRecorder, Flaws, track};
use super::{plan, rewrite};

/// Four calls, each of another codec.
fn recorded(first_port: u16, impairment: Impairment) -> (TempDir, RunReport) {
    let folder = TempDir::new().unwrap();
    let recorder = FakeRecorder::udp(folder.path().to_owned(), Flaws::default());
    let plan = RunPlan {
        codecs: CODECS.to_vec(),
        talk: Duration::from_secs(3),
        talk_spurts: true,
        presses_keys: true,
        ..plan(recorder.address, first_port, Transport::Udp, impairment)
    };
    let report = run(plan, |_| {}).unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    (folder, report)
}

fn look(folder: &TempDir, report: &RunReport) -> Audit {
    let patience = Duration::from_millis(300);
    audit(folder.path(), &report.truths, patience, |_| {}).unwrap()
}

#[test]
fn calls_take_the_codecs_in_turn_and_each_packet_of_them_is_looked_for() {
    let damage = Impairment {
        loss_ppm: 60_000,
        duplicate_ppm: 60_000,
        reorder_ppm: 60_000,
        seed: 5,
        ..Impairment::default()
    };
    let (folder, report) = recorded(23_800, damage);
    let audit = look(&folder, &report);
    assert_eq!(audit.problems, [""; 0]);
    let mut codecs: Vec<_> = report
        .truths
        .iter()
        .map(|call| (call.legs[0].plan.key.call, call.legs[0].plan.codec))
        .collect();
    codecs.sort_unstable_by_key(|(call, _)| *call);
    let codecs: Vec<Codec> = codecs.into_iter().map(|(_, codec)| codec).collect();
    assert_eq!(codecs, CODECS);
    let legs = report.truths.iter().flat_map(|call| &call.legs);
    let right = legs.map(|leg| match leg.plan.codec.is_heard() {
        true => {
            let slots = 0..leg.plan.slots;
            slots.filter(|&slot| leg.plan.is_audible(slot)).count() as u64
        }
        false => leg.plan.counts().packets,
    });
    assert_eq!(audit.packets_right, right.sum::<u64>());
}

#[test]
fn each_change_of_what_is_kept_is_told() {
    let (folder, report) = recorded(23_900, Impairment::default());
    assert!(look(&folder, &report).is_perfect());
    let mut library = Library::new(folder.path());
    library.refresh().unwrap();
    for codec in [Codec::G722, Codec::L16] {
        let is_it = |it: &Codec| *it == codec;
        let mut calls = report.truths.iter();
        let call = calls.find(|call| is_it(&call.legs[0].plan.codec)).unwrap();
        let published = &library.recordings(&call.call_id)[0];
        let right = packets(published);
        for (reason, change) in CHANGES {
            let mut packets = right.clone();
            change(&mut packets);
            keep(published, &packets);
            let problems = look(&folder, &report).problems;
            assert_eq!(problems.len(), 1, "{reason}: {problems:?}");
            assert!(problems[0].contains(reason), "not {reason}: {problems:?}");
        }
        keep(published, &right);
        rewrite(published, |manifest| manifest.streams[0].rendered = true);
        let problems = look(&folder, &report).problems;
        assert!(problems[0].contains("rendered true"), "{problems:?}");
        assert_eq!(problems.len(), 1, "{problems:?}");
        keep(published, &right);
        assert!(look(&folder, &report).is_perfect());
    }
}

/// What is said of a change of the packets, and the change.
type Change = (&'static str, fn(&mut Vec<Vec<u8>>));

const CHANGES: [Change; 6] = [
    ("1 are missing, 0 were not sent", |it| {
        it.remove(20);
    }),
    ("1 are missing, 1 were not sent", |it| it[20][12] ^= 1),
    ("1 are missing, 1 were not sent", |it| {
        *it[20].last_mut().unwrap() ^= 1;
    }),
    ("1 are missing, 1 were not sent", |it| it[20][1] ^= 0x80),
    ("kept in another order", |it| it.swap(20, 21)),
    ("kept in another order", |it| it.insert(20, it[20].clone())),
];

/// What is in the first track of a recording.
fn packets(published: &Published) -> Vec<Vec<u8>> {
    let octets = fs::read(published.folder.join(TRACK)).unwrap();
    let mut reader = RecordReader::new(&octets[..]);
    let mut packets = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        assert_eq!(record.kind, Kind::Packet);
        packets.push(record.payload.to_vec());
    }
    packets
}

/// Puts packets into the first track of a recording, whose manifest says so.
fn keep(published: &Published, packets: &[Vec<u8>]) {
    let octets = track(packets);
    fs::write(published.folder.join(TRACK), &octets).unwrap();
    rewrite(published, |manifest| {
        let file = manifest.files.iter_mut().find(|file| file.name == TRACK);
        let file = file.unwrap();
        (file.bytes, file.sha256) = fingerprint(&octets[..]).unwrap();
    });
}

const TRACK: &str = "streams/1.track";

const CODECS: [Codec; 4] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16];
