//! Audio that a later packet repeats (RFC 2198) is put where it is missing.

mod support;

use holdfast_manifest::GapCause::{Loss, Paused};
use holdfast_track::{CodecEntry, TrackMark};
use support::*;

const RED: u8 = 98;

fn track() -> Track {
    let mut track = Track::new();
    let entry = |payload_type, name: &str| CodecEntry {
        payload_type,
        name: name.into(),
        clock_rate: 8_000,
        channels: 1,
        fmtp: String::new(),
    };
    let codecs = vec![entry(PCMU, "PCMU"), entry(PCMA, "PCMA"), entry(RED, "red")];
    track.mark(0, TrackMark::Codecs(codecs));
    track
}

/// A redundant payload: the primary of a packet, and what those say that are so many before it.
fn red(number: u32, before: &[u32]) -> Vec<u8> {
    let mut payload = Vec::new();
    for back in before {
        let word = 1 << 31 | u32::from(PCMU) << 24 | (back * 160) << 10 | 160;
        payload.extend(word.to_be_bytes());
    }
    payload.push(PCMU);
    for back in before {
        payload.extend(pattern(number - back));
    }
    payload.extend(pattern(number));
    payload
}

fn say(track: &mut Track, ms: u64, number: u32, before: &[u32]) {
    let payload = red(number, before);
    let pt = RED;
    track.rtp(
        ms,
        Rtp {
            pt,
            ..voice(number, &payload)
        },
    );
}

/// Packets in time, those that are not lost, each with what two before it said.
fn talk(track: &mut Track, numbers: std::ops::Range<u32>, lost: impl Fn(u32) -> bool) {
    for number in numbers {
        if !lost(number) {
            say(
                track,
                u64::from(number) * 20,
                number,
                if number < 2 { &[] } else { &[2, 1] },
            );
        }
    }
}

#[test]
fn the_audio_of_lost_packets_comes_from_later_ones() {
    let mut track = track();
    talk(&mut track, 0..50, |number| {
        matches!(number, 7 | 20 | 21 | 33)
    });
    let rendered = rendered_alone(1_000, &track);
    assert!(rendered.channel(0) == spoken(0..50));
    assert_eq!(rendered.causes(0), []);
    let report = rendered.report(0);
    assert_eq!((report.packets, report.lost, report.recovered), (46, 0, 4));
    assert!(
        report.marks.iter().all(|mark| mark.at_ms == 0),
        "{:?}",
        report.marks
    );
}

#[test]
fn what_no_packet_repeats_stays_lost() {
    let mut track = track();
    talk(&mut track, 0..50, |number| (10..13).contains(&number));
    let rendered = rendered_alone(1_000, &track);
    let expected = [spoken(0..10), silence(20), spoken(11..50)].concat();
    assert!(rendered.channel(0) == expected);
    assert_eq!(rendered.causes(0), [(200, 220, Loss, 1)]);
    assert_eq!(
        (rendered.report(0).lost, rendered.report(0).recovered),
        (1, 2)
    );
}

/// Redundancy against bursts: what was said five packets before, and nothing between.
#[test]
fn a_block_belongs_where_its_offset_says() {
    let mut track = track();
    for number in 0..50 {
        if !(10..14).contains(&number) {
            let before: &[u32] = if number < 5 { &[] } else { &[5] };
            say(&mut track, u64::from(number) * 20, number, before);
        }
    }
    let rendered = rendered_alone(1_000, &track);
    assert!(rendered.channel(0) == spoken(0..50));
    assert_eq!(
        (rendered.report(0).lost, rendered.report(0).recovered),
        (0, 4)
    );
}

#[test]
fn a_packet_that_comes_behind_its_copy_changes_nothing() {
    let mut track = track();
    talk(&mut track, 0..20, |number| number == 10);
    say(&mut track, 395, 10, &[2, 1]);
    talk(&mut track, 20..50, |_| false);
    let rendered = rendered_alone(1_000, &track);
    assert!(rendered.channel(0) == spoken(0..50));
    let report = rendered.report(0);
    assert_eq!((report.packets, report.late, report.lost), (50, 1, 0));
}

/// What was said while the recording was paused is not recorded, said again neither.
#[test]
fn nothing_comes_back_from_a_pause() {
    let mut track = track();
    talk(&mut track, 0..10, |_| false);
    track.mark(200, TrackMark::Pause);
    track.mark(400, TrackMark::Resume);
    talk(&mut track, 20..50, |number| number == 30);
    let rendered = rendered_alone(1_000, &track);
    let expected = [spoken(0..10), silence(200), spoken(20..50)].concat();
    assert!(rendered.channel(0) == expected);
    assert_eq!(rendered.causes(0), [(200, 400, Paused, 10)]);
    assert_eq!(rendered.report(0).recovered, 1);
}

#[test]
fn redundancy_that_does_not_read_is_kept_and_not_heard() {
    let mut track = track();
    talk(&mut track, 0..10, |_| false);
    for (number, payload) in [(10, &[0x80, 0, 3, 0xff, 0][..]), (11, &[RED, 1, 2, 3])] {
        let pt = RED;
        track.rtp(
            u64::from(number) * 20,
            Rtp {
                pt,
                ..voice(number, payload)
            },
        );
    }
    talk(&mut track, 14..20, |_| false);
    let rendered = rendered_alone(400, &track);
    let expected = [spoken(0..10), silence(40), spoken(12..20)].concat();
    assert!(rendered.channel(0) == expected, "{:?}", rendered.causes(0));
    let report = rendered.report(0);
    assert_eq!((report.unplaced, report.recovered, report.lost), (2, 2, 0));
}
