//! What is found of a track after a crash, wherever it was torn, and after damage.

mod support;

use std::io::{self, Read};

use holdfast_track::{
    Counters, Damage, DamageKind, Kind, Lsn, ReadTrackError, RecordReader, Tail, TrackMark, recover,
};
use support::*;

const EVERYTHING: Lsn = Lsn(u64::MAX);

fn tail(bytes: &[u8], safe_below: Lsn) -> Tail {
    recover(bytes, safe_below).unwrap()
}

/// A track with a bit of everything, and where each of its records ends.
fn sample() -> (Track, Vec<usize>) {
    let mut track = Track::new();
    let mut ends = Vec::new();
    let (_, header_len) = (track.bytes.clone(), track.bytes.len());
    // The header record has 32 octets of payload, the addresses 40.
    ends.extend([64, header_len]);
    let counters = Counters {
        packets: 3,
        tracker: vec![1, 2, 3],
        ..Counters::default()
    };
    let mut payload = Vec::new();
    counters.encode(&mut payload);
    for number in 0..3 {
        track.voice(u64::from(number) * 20, number);
        ends.push(track.bytes.len());
    }
    track.record(Kind::Counters, 0, 60, &payload);
    ends.push(track.bytes.len());
    track.mark(60, TrackMark::Pause);
    ends.push(track.bytes.len());
    track.voice(80, 4);
    ends.push(track.bytes.len());
    (track, ends)
}

/// Hands out few octets at a time.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = into.len().min(7);
        self.0.read(&mut into[..len])
    }
}

#[test]
fn a_track_cut_at_any_octet_ends_with_its_last_whole_record() {
    let (track, ends) = sample();
    for len in 0..=track.bytes.len() {
        let found = tail(&track.bytes[..len], Lsn(0));
        let whole = ends.iter().filter(|end| **end <= len).count();
        let valid_len = whole.checked_sub(1).map_or(0, |last| ends[last]);
        assert_eq!(found.valid_len, valid_len as u64, "{len}");
        assert_eq!(
            found.last_lsn,
            (whole > 0).then_some(Lsn(whole as u64)),
            "{len}"
        );
        assert_eq!(found.records, whole as u64, "{len}");
        let torn = (len > valid_len).then_some(Damage {
            offset: valid_len as u64,
            bytes: (len - valid_len) as u64,
            kind: DamageKind::Torn,
        });
        assert_eq!(found.damage, torn.into_iter().collect::<Vec<_>>(), "{len}");
        assert_eq!(
            recover(Trickle(&track.bytes[..len]), Lsn(0)).unwrap(),
            found,
            "{len}"
        );
    }
}

#[test]
fn the_tail_says_how_to_go_on() {
    let (track, _) = sample();
    let found = tail(&track.bytes, EVERYTHING);
    assert_eq!(found.header.unwrap().number, 1);
    assert_eq!(found.counters.unwrap().tracker, [1, 2, 3]);
    assert_eq!(
        found.sources[&1].remote,
        "192.0.2.10:40000".parse().unwrap()
    );
    assert_eq!((found.packets, found.paused, found.ended), (4, true, false));
    assert_eq!(found.last_arrival, Some(at(80)));
}

#[test]
fn an_old_wound_costs_its_own_records_and_a_hole_behind_the_checkpoint_is_cut() {
    let (track, ends) = sample();
    for record in 1..ends.len() - 1 {
        for octet in [ends[record - 1], ends[record - 1] + 5, ends[record] - 9] {
            let mut bytes = track.bytes.clone();
            bytes[octet] ^= 0x10;
            let (from, to) = (ends[record - 1] as u64, ends[record] as u64);
            let damage = Damage {
                offset: from,
                bytes: to - from,
                kind: DamageKind::Corrupt,
            };
            // All of the track is safe: only the damaged record is lost.
            let kept = tail(&bytes, EVERYTHING);
            assert_eq!(kept.valid_len, bytes.len() as u64, "{record} at {octet}");
            assert_eq!(kept.records, ends.len() as u64 - 1);
            assert_eq!(kept.damage, [damage]);
            // What follows the damage is still in the journal: it must be written anew.
            let cut = tail(&bytes, Lsn(record as u64 + 2));
            assert_eq!(cut.valid_len, from, "{record} at {octet}");
            assert_eq!(cut.last_lsn, Some(Lsn(record as u64)));
            assert_eq!(cut.damage, [damage]);
        }
    }
}

#[test]
fn zeros_where_a_write_was_lost_are_passed_over() {
    let (track, ends) = sample();
    let mut bytes = track.bytes.clone();
    bytes[ends[2]..ends[4]].fill(0);
    let found = tail(&bytes, EVERYTHING);
    assert_eq!(found.records, ends.len() as u64 - 2);
    assert_eq!(found.valid_len, bytes.len() as u64);
    let rendered = rendered_alone(100, &Track { bytes, lsn: 0 });
    assert!(
        rendered
            .report(0)
            .flags
            .contains(&String::from("track_damaged"))
    );
    let expected = [spoken(0..1), silence(60), spoken(4..5)].concat();
    assert_eq!(rendered.channel(0), expected);
}

#[test]
fn a_record_whose_number_falls_is_left_out_and_reported() {
    let (mut track, _) = sample();
    let len = track.bytes.len() as u64;
    track.lsn = 3;
    track.voice(100, 5);
    let after = track.bytes.len() as u64;
    track.lsn = 20;
    track.voice(120, 6);
    let mut reader = RecordReader::new(&track.bytes[..]);
    let mut lsns = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        lsns.push(record.lsn.0);
    }
    assert_eq!(lsns, [1, 2, 3, 4, 5, 6, 7, 8, 21]);
    let damage = Damage {
        offset: len,
        bytes: after - len,
        kind: DamageKind::LsnFell,
    };
    assert_eq!(reader.damage(), [damage]);
}

#[test]
fn a_newer_track_is_refused_and_noise_is_no_track() {
    let (track, _) = sample();
    let mut bytes = track.bytes.clone();
    bytes[15] = 2;
    let error = recover(&bytes[..], Lsn(0)).unwrap_err();
    assert!(
        matches!(error, ReadTrackError::OtherVersion { found: 2 }),
        "{error}"
    );
    let mut random = Random(5);
    let noise: Vec<u8> = (0..300_000).map(|_| random.next() as u8).collect();
    let found = tail(&noise, EVERYTHING);
    assert_eq!(
        (found.valid_len, found.records, found.damage.len()),
        (0, 0, 1)
    );
}

#[test]
fn one_track_that_fails_to_read_does_not_silence_the_others() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let mut good = Track::new();
    good.talk(0..10);
    let mut bad = input(Some(0), &[]);
    bad.open = Box::new(|| Ok(Box::new(Failing)));
    let mut tracks = [bad, input(Some(1), &good.bytes)];
    let mut wav = Vec::new();
    let time = holdfast_track::RecordingTime {
        started: STARTED,
        ended: at(200),
    };
    let plan = holdfast_track::render(time, 0, &mut tracks, &mut wav).unwrap();
    let rendered = Rendered { plan, wav };
    assert_eq!(rendered.channel(1), spoken(0..10));
    assert_eq!(rendered.channel(0), silence(200));
    assert_eq!(rendered.report(0).flags, ["track_unreadable"]);
    let reason = rendered.report(0).not_rendered_reason.as_deref();
    assert_eq!(reason, Some("reading the track: bad sector"));
}

#[test]
fn what_stands_behind_the_end_belongs_to_an_earlier_content() {
    let mut track = Track::new();
    track.talk(0..5);
    track.record(Kind::End, 0, 100, &[]);
    let whole = track.bytes.len() as u64;
    track.talk(5..8);
    let mut reader = RecordReader::new(&track.bytes[..]);
    let mut packets = 0;
    while let Some(record) = reader.next().unwrap() {
        packets += u32::from(record.kind == Kind::Packet);
    }
    assert_eq!(packets, 5);
    assert_eq!(reader.damage_count(), 3);
    let first = reader.damage()[0];
    assert_eq!((first.offset, first.kind), (whole, DamageKind::BehindEnd));
}
