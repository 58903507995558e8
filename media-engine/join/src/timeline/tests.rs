//! Each moment of a channel is one part's, or silent.

use holdfast_manifest::{Call, Channel, EndReason, FORMAT, Pause, PausedBy, Stream};
use holdfast_units::{RecordingId, StreamId};

use super::*;

const BEGIN: u64 = 1_795_342_203_000_000_000;

fn at(ms: u64) -> WallTime {
    WallTime(BEGIN + ms * 1_000_000)
}

/// A part with one channel, and one stream that lacks this.
fn part(from: u64, to: u64, gaps: &[(u64, u64, GapCause)]) -> Manifest {
    let mut stream = Stream::new(1, StreamId(1));
    (stream.channel, stream.rendered) = (Some(0), true);
    stream.gaps = gaps
        .iter()
        .map(|&(gap_from, gap_to, cause)| Gap {
            from_ms: gap_from - from,
            to_ms: gap_to - from,
            from: at(gap_from),
            to: at(gap_to),
            cause,
            packets: 0,
        })
        .collect();
    Manifest {
        format: FORMAT,
        id: RecordingId::from_bytes([1; 16]),
        part: 1,
        state_sha256: String::new(),
        node: "n".to_owned(),
        software_version: "0".to_owned(),
        started: at(from),
        ended: at(to),
        end_reason: EndReason::Bye,
        duration_ms: to - from,
        call: Call {
            channels: vec![Channel {
                channel: 0,
                participant: Some("alice".to_owned()),
                labels: vec!["1".to_owned()],
            }],
            ..Call::default()
        },
        streams: vec![stream],
        files: Vec::new(),
        parts: Vec::new(),
        flags: Vec::new(),
    }
}

fn source(manifest: &Manifest) -> Source {
    Source {
        channels: 1,
        frames: manifest.duration_ms * 8,
    }
}

/// The pieces of the one channel as (from, to, part), in milliseconds.
fn pieces(manifests: &[Manifest]) -> Vec<(u64, u64, usize)> {
    let timeline = timeline(manifests);
    assert_eq!(timeline.pieces.len(), 1);
    let pieces = timeline.pieces[0].iter();
    let pieces: Vec<_> = pieces
        .map(|it| (it.span.from / 8, it.span.to / 8, it.part))
        .collect();
    for pair in pieces.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "no moment twice: {pieces:?}");
    }
    pieces
}

fn timeline(manifests: &[Manifest]) -> Timeline {
    let borrowed: Vec<&Manifest> = manifests.iter().collect();
    let sources: Vec<Source> = manifests.iter().map(source).collect();
    Timeline::of(&borrowed, &sources)
}

#[test]
fn what_lies_between_two_parts_is_silent_and_has_its_length() {
    let parts = [part(0, 4_000, &[]), part(5_500, 9_000, &[])];
    assert_eq!(pieces(&parts), [(0, 4_000, 0), (5_500, 9_000, 1)]);
    assert_eq!(timeline(&parts).frames, 9_000 * 8);
}

#[test]
fn where_both_recorded_the_later_one_is_heard_from_its_first_packet_on() {
    let first = part(0, 4_000, &[(3_800, 4_000, GapCause::Ended)]);
    let second = part(
        3_000,
        9_000,
        &[
            (3_000, 3_200, GapCause::NotStarted),
            (3_500, 3_600, GapCause::Loss),
        ],
    );
    assert_eq!(
        pieces(&[first, second]),
        [
            (0, 3_200, 0),
            (3_200, 3_500, 1),
            (3_500, 3_600, 0),
            (3_600, 4_000, 1),
            (4_000, 9_000, 1)
        ]
    );
}

#[test]
fn a_part_within_another_one_takes_nothing_of_what_it_has_not() {
    let first = part(0, 9_000, &[]);
    let second = part(2_000, 3_000, &[(2_500, 3_000, GapCause::Ended)]);
    assert_eq!(
        pieces(&[first, second]),
        [(0, 2_000, 0), (2_000, 2_500, 1), (2_500, 9_000, 0)]
    );
}

#[test]
fn what_one_was_told_not_to_record_is_silent_whatever_the_other_has() {
    let first = part(0, 4_000, &[]);
    let mut second = part(2_000, 9_000, &[(2_500, 3_000, GapCause::Paused)]);
    assert_eq!(
        pieces(&[first.clone(), second.clone()]),
        [
            (0, 2_000, 0),
            (2_000, 2_500, 1),
            (3_000, 4_000, 1),
            (4_000, 9_000, 1)
        ]
    );
    // The same of the whole call, to its end.
    second
        .call
        .pauses
        .push(Pause::new(at(3_500), PausedBy::Operator));
    assert_eq!(
        pieces(&[first, second]),
        [(0, 2_000, 0), (2_000, 2_500, 1), (3_000, 3_500, 1)]
    );
}

#[test]
fn two_streams_of_a_channel_lack_only_what_both_lack() {
    let first = part(0, 9_000, &[]);
    let mut second = part(1_000, 9_000, &[(1_000, 5_000, GapCause::NotStarted)]);
    let other = part(1_000, 9_000, &[(2_000, 9_000, GapCause::Ended)]);
    second.streams.extend(other.streams);
    assert_eq!(
        pieces(&[first, second]),
        [
            (0, 1_000, 0),
            (1_000, 2_000, 1),
            (2_000, 5_000, 0),
            (5_000, 9_000, 1)
        ]
    );
}

/// It was killed, and found and ended 20 s later: what is silent since then is nothing of it.
#[test]
fn a_part_that_nobody_ended_goes_as_far_as_its_packets() {
    let mut first = part(0, 24_000, &[(4_000, 24_000, GapCause::Ended)]);
    first.end_reason = EndReason::Orphaned;
    first.streams[0].ssrcs.push(holdfast_manifest::SsrcSeen {
        ssrc: 1,
        cname: None,
        first_seen: at(0),
        last_seen: at(3_980),
        packets: 200,
    });
    let second = part(6_000, 9_000, &[]);
    let parts = [first, second];
    assert_eq!(pieces(&parts), [(0, 4_980, 0), (6_000, 9_000, 1)]);
    assert_eq!(timeline(&parts).frames, 9_000 * 8);
}

#[test]
fn a_channel_is_that_of_the_same_participant_wherever_it_stood() {
    let mut first = part(0, 1_000, &[]);
    let channel = |channel, participant: Option<&str>, label: &str| Channel {
        channel,
        participant: participant.map(str::to_owned),
        labels: vec![label.to_owned()],
    };
    first.call.channels = vec![
        channel(0, Some("alice"), "1"),
        channel(1, Some("bob"), "2"),
        channel(2, None, "3"),
    ];
    let mut second = part(1_000, 2_000, &[]);
    second.call.channels = vec![
        channel(0, Some("bob"), "1"),
        channel(1, Some("carol"), "2"),
        channel(2, None, "3"),
    ];
    let maps = crate::merge::map_channels(&[&first, &second], &[Source::default(); 2]);
    assert_eq!(maps, [[0, 1, 2], [1, 3, 2]]);
    // Nothing is known of either: by their numbers.
    for manifest in [&mut first, &mut second] {
        manifest.call.channels.clear();
    }
    let sources = [2, 3].map(|channels| Source {
        channels,
        frames: 0,
    });
    let maps = crate::merge::map_channels(&[&first, &second], &sources);
    assert_eq!(maps, [vec![0, 1], vec![0, 1, 2]]);
}

#[test]
fn a_part_that_began_between_two_samples_lies_at_the_nearest() {
    let first = part(0, 1_000, &[]);
    let mut second = part(2_000, 3_000, &[]);
    second.started = WallTime(second.started.0 + 70_000);
    assert_eq!(timeline(&[first, second]).offsets, [0, 16_001]);
}
