//! Where packets end up on the timeline, and what is said about what is missing.

mod support;

use holdfast_manifest::GapCause::{
    Dropped, Dtx, Ended, Loss, NotRendered, NotStarted, Outage, Paused, Restart, SsrcChange,
};
use holdfast_manifest::{Direction, MarkKind};
use holdfast_track::wav::SampleFormat;
use holdfast_track::{Kind, TrackMark};
use support::*;

#[test]
fn a_whole_call_has_no_gap() {
    let mut track = Track::new();
    track.talk(0..50);
    let rendered = rendered_alone(1_000, &track);
    assert_eq!(rendered.plan.header().format, SampleFormat::MuLaw);
    assert_eq!(rendered.channel(0), spoken(0..50));
    let report = rendered.report(0);
    assert_eq!(
        (report.packets, report.bytes, report.lost),
        (50, 50 * 172, 0)
    );
    assert_eq!((report.late, report.duplicate, report.unplaced), (0, 0, 0));
    assert_eq!(rendered.causes(0), []);
    assert_eq!(rendered.marks(0), []);
    assert!(report.rendered && report.flags.is_empty() && report.not_rendered_reason.is_none());
}

#[test]
fn a_late_start_and_an_early_end_keep_both_channels_aligned() {
    let (mut first, mut second) = (Track::new(), Track::new());
    first.talk(0..50);
    second.talk(10..40);
    let rendered = rendered(1_000, &[(Some(1), &second), (Some(0), &first)]);
    assert_eq!(rendered.channel(0), spoken(0..50));
    let expected = [silence(200), spoken(10..40), silence(200)].concat();
    assert_eq!(rendered.channel(1), expected);
    assert_eq!(
        rendered.causes(0),
        [(0, 200, NotStarted, 0), (800, 1_000, Ended, 0)]
    );
    assert_eq!(rendered.causes(1), []);
}

#[test]
fn a_timestamp_gap_without_a_sequence_gap_is_silence_of_that_length() {
    let mut track = Track::new();
    track.talk(0..5);
    for number in 5..10_u32 {
        // The sender was silent for 60 s, its clock went on.
        let ts = FIRST_TS + number * 160 + 480_000;
        let payload = pattern(number);
        let rtp = Rtp {
            ts,
            marker: number == 5,
            ..voice(number, &payload)
        };
        track.rtp(60_000 + u64::from(number) * 20, rtp);
    }
    let rendered = rendered_alone(60_200, &track);
    assert_eq!(
        rendered.channel(0),
        [spoken(0..5), silence(60_000), spoken(5..10)].concat()
    );
    assert_eq!(rendered.causes(0), [(100, 60_100, Dtx, 0)]);
    assert_eq!(rendered.report(0).lost, 0);
}

#[test]
fn comfort_noise_is_silence_until_the_next_packet() {
    let mut track = Track::new();
    track.talk(0..5);
    for (number, pt) in [(5, 13), (9, 19)] {
        let payload = [60];
        let seq = FIRST_SEQ as u16 + if number == 5 { 5 } else { 6 };
        let rtp = Rtp {
            seq,
            pt,
            ..voice(number, &payload)
        };
        track.rtp(u64::from(number) * 20, rtp);
    }
    for number in 20..25 {
        let seq = (FIRST_SEQ + number - 13) as u16;
        track.rtp(
            u64::from(number) * 20,
            Rtp {
                seq,
                ..voice(number, &pattern(number))
            },
        );
    }
    let rtp = Rtp {
        seq: FIRST_SEQ as u16 + 12,
        pt: 13,
        ..voice(25, &[60])
    };
    track.rtp(500, rtp);
    let rendered = rendered_alone(600, &track);
    let expected = [spoken(0..5), silence(300), spoken(20..25), silence(100)].concat();
    assert_eq!(rendered.channel(0), expected);
    assert_eq!(rendered.causes(0), [(100, 400, Dtx, 0), (500, 600, Dtx, 0)]);
}

#[test]
fn loss_leaves_silence_and_says_how_many_packets() {
    let mut track = Track::new();
    track.talk(0..10);
    track.talk(13..20);
    let rendered = rendered_alone(400, &track);
    assert_eq!(
        rendered.channel(0),
        [spoken(0..10), silence(60), spoken(13..20)].concat()
    );
    assert_eq!(rendered.causes(0), [(200, 260, Loss, 3)]);
    assert_eq!(rendered.report(0).lost, 3);
    let gap = &rendered.report(0).gaps[0];
    assert_eq!((gap.from, gap.to), (at(200), at(260)));
}

#[test]
fn a_late_packet_fills_the_hole_it_left() {
    let mut track = Track::new();
    track.talk(0..10);
    for number in [14, 11, 12, 15, 10] {
        track.voice(300, number);
    }
    track.talk(16..20);
    let rendered = rendered_alone(400, &track);
    let expected = [spoken(0..13), silence(20), spoken(14..20)].concat();
    assert_eq!(rendered.channel(0), expected);
    assert_eq!(rendered.causes(0), [(260, 280, Loss, 1)]);
    assert_eq!((rendered.report(0).late, rendered.report(0).lost), (3, 1));
}

#[test]
fn packets_sent_before_the_first_that_arrived_are_put_before_it() {
    let mut track = Track::new();
    for number in [3, 1, 2, 4, 0, 5] {
        track.voice(100, number);
    }
    // Packet 3 arrived first, at 100 ms, so packet 0 is 60 ms before that.
    let rendered = rendered_alone(160, &track);
    assert_eq!(rendered.channel(0), [silence(40), spoken(0..6)].concat());
    assert_eq!(rendered.causes(0), [(0, 40, NotStarted, 0)]);
}

#[test]
fn audio_before_the_start_or_after_the_end_makes_the_timeline_longer() {
    let mut track = Track::new();
    for number in [2, 0, 1, 3] {
        track.voice(0, number);
    }
    let rendered = rendered_alone(10, &track);
    assert_eq!(rendered.channel(0), spoken(0..4));
    assert_eq!(rendered.plan.started().0, STARTED.0 - 40_000_000);
    assert_eq!(rendered.plan.ended(), at(40));
    assert_eq!(rendered.plan.duration_ms(), 80);
    assert_eq!(rendered.causes(0), []);
}

#[test]
fn of_two_packets_with_one_number_the_first_counts() {
    let mut track = Track::new();
    track.talk(0..5);
    track.rtp(100, voice(3, &pattern(99)));
    track.voice(100, 4);
    track.talk(5..10);
    let rendered = rendered_alone(200, &track);
    assert_eq!(rendered.channel(0), spoken(0..10));
    assert_eq!(
        (rendered.report(0).duplicate, rendered.report(0).packets),
        (2, 10)
    );
}

#[test]
fn sequence_and_timestamp_wrap_unnoticed() {
    let mut track = Track::new();
    for number in 0..100_u32 {
        let payload = pattern(number);
        let seq = 65_500_u16.wrapping_add(number as u16);
        let ts = (u32::MAX - 40 * 160 - 7).wrapping_add(number * 160);
        if number != 36 && number != 41 {
            track.rtp(
                u64::from(number) * 20,
                Rtp {
                    seq,
                    ts,
                    ..voice(number, &payload)
                },
            );
        }
    }
    let rendered = rendered_alone(2_000, &track);
    let expected = [
        spoken(0..36),
        silence(20),
        spoken(37..41),
        silence(20),
        spoken(42..100),
    ]
    .concat();
    assert_eq!(rendered.channel(0), expected);
    assert_eq!(
        rendered.causes(0),
        [(720, 740, Loss, 1), (820, 840, Loss, 1)]
    );
}

/// Talks in 0..200 ms and from 1,000 ms on, paused from `paused_at` ms to 800 ms; between the two the
/// sender's numbers go on by `sent`.
fn talk_around_a_pause(paused_at: u64, sent: u32) -> Rendered {
    let mut track = Track::new();
    track.talk(0..10);
    track.mark(paused_at, TrackMark::Pause);
    track.mark(800, TrackMark::Resume);
    for number in 50..60 {
        let payload = pattern(number);
        let of_its_time = voice(number, &payload);
        track.rtp(
            u64::from(number) * 20,
            Rtp {
                seq: voice(number - 40 + sent, &payload).seq,
                ..of_its_time
            },
        );
    }
    rendered_alone(1_200, &track)
}

#[test]
fn a_silence_beside_a_pause_is_no_loss_where_the_pause_accounts_for_what_is_missing() {
    // Silent for 200 ms, paused while 20 packets were sent, silent for 200 ms.
    let rendered = talk_around_a_pause(400, 20);
    let expected = [
        (200, 400, Dtx, 0),
        (400, 800, Paused, 20),
        (800, 1_000, Dtx, 0),
    ];
    assert_eq!(rendered.causes(0), expected);
    assert_eq!(rendered.report(0).lost, 0);
}

#[test]
fn what_a_pause_has_no_room_for_is_lost_beside_it() {
    // All 40 packets of 200 ms to 1,000 ms were sent; one may straddle each end of the pause.
    let rendered = talk_around_a_pause(400, 40);
    let expected = [
        (200, 400, Loss, 8),
        (400, 800, Paused, 23),
        (800, 1_000, Loss, 9),
    ];
    assert_eq!(rendered.causes(0), expected);
    assert_eq!(rendered.report(0).lost, 17);
}

#[test]
fn a_pause_is_silence_of_its_length_and_no_loss() {
    let mut track = Track::new();
    track.talk(0..10);
    track.mark(203, TrackMark::Pause);
    track.mark(799, TrackMark::Resume);
    track.talk(40..50);
    let rendered = rendered_alone(1_000, &track);
    assert_eq!(
        rendered.channel(0),
        [spoken(0..10), silence(600), spoken(40..50)].concat()
    );
    assert_eq!(rendered.causes(0), [(200, 800, Paused, 30)]);
    assert_eq!(rendered.report(0).lost, 0);
    assert_eq!(
        rendered.marks(0),
        [(203, MarkKind::Pause), (799, MarkKind::Resume)]
    );
}

#[test]
fn a_sender_whose_clock_stood_still_in_a_pause_is_placed_by_arrival_after_it() {
    let mut track = Track::new();
    track.talk(0..10);
    track.mark(200, TrackMark::Pause);
    track.mark(1_200, TrackMark::Resume);
    for number in 10..20 {
        track.voice(1_000 + u64::from(number) * 20, number);
    }
    let rendered = rendered_alone(1_400, &track);
    assert_eq!(
        rendered.channel(0),
        [spoken(0..10), silence(1_000), spoken(10..20)].concat()
    );
    assert_eq!(rendered.causes(0), [(200, 1_200, Paused, 0)]);
}

#[test]
fn a_pause_until_the_end_is_no_end_of_the_stream() {
    let mut track = Track::new();
    track.mark(0, TrackMark::Pause);
    track.mark(100, TrackMark::Resume);
    track.talk(5..10);
    track.mark(200, TrackMark::Pause);
    let rendered = rendered_alone(1_000, &track);
    assert_eq!(
        rendered.causes(0),
        [(0, 100, Paused, 0), (200, 1_000, Paused, 0)]
    );
}

#[test]
fn a_stream_that_begins_inactive_is_paused_and_not_merely_late() {
    let mut track = Track::new();
    track.mark(0, TrackMark::Direction(Direction::Inactive));
    track.mark(400, TrackMark::Resume);
    track.mark(400, TrackMark::Direction(Direction::Recvonly));
    track.talk(30..40);
    let rendered = rendered_alone(1_000, &track);
    assert_eq!(
        rendered.causes(0),
        [
            (0, 400, Paused, 0),
            (400, 600, NotStarted, 0),
            (800, 1_000, Ended, 0)
        ]
    );
    let mut never = Track::new();
    never.mark(0, TrackMark::Direction(Direction::Inactive));
    let rendered = rendered_alone(1_000, &never);
    assert_eq!(rendered.causes(0), [(0, 1_000, Paused, 0)]);
}

#[test]
fn outages_and_drops_are_told_from_loss() {
    let mut track = Track::new();
    track.talk(0..10);
    track.mark(
        500,
        TrackMark::Outage {
            from: at(200),
            to: at(500),
        },
    );
    track.talk(25..30);
    track.mark(
        800,
        TrackMark::Dropped {
            from: at(600),
            to: at(700),
            packets: 5,
        },
    );
    track.talk(35..40);
    track.talk(41..50);
    let rendered = rendered_alone(1_000, &track);
    let expected = [
        (200, 500, Outage, 15),
        (600, 700, Dropped, 5),
        (800, 820, Loss, 1),
    ];
    assert_eq!(rendered.causes(0), expected);
    assert_eq!(rendered.report(0).lost, 1);
}

#[test]
fn what_is_missing_while_the_ring_was_full_was_dropped_and_not_lost() {
    let mut track = Track::new();
    track.talk(0..10);
    track.talk(20..25);
    track.mark(
        450,
        TrackMark::RingOverflow {
            from: at(180),
            to: at(440),
            packets: 800,
        },
    );
    track.talk(25..30);
    track.talk(35..50);
    let rendered = rendered_alone(1_000, &track);
    assert_eq!(
        rendered.causes(0),
        [(200, 400, Dropped, 10), (600, 700, Loss, 5)]
    );
    let report = rendered.report(0);
    assert_eq!((report.lost, report.dropped), (5, 10));
    assert!(report.flags.contains(&"packets_dropped".to_owned()));
    let mark = MarkKind::RingOverflow {
        duration_ms: 260,
        packets: 800,
    };
    assert_eq!(rendered.marks(0), [(180, mark)]);
}

#[test]
fn another_ssrc_goes_on_where_it_arrives_and_loses_nothing_to_jitter() {
    let mut track = Track::new();
    track.talk(0..10);
    for number in 10..20_u32 {
        // 5 ms early: its first packet would begin inside the last one of the old source.
        let payload = pattern(number);
        let rtp = Rtp {
            ssrc: 9,
            seq: number as u16,
            ts: number * 160,
            ..voice(number, &payload)
        };
        track.rtp(u64::from(number) * 20 - 5, rtp);
    }
    let rendered = rendered_alone(400, &track);
    assert_eq!(rendered.channel(0), spoken(0..20));
    assert_eq!(rendered.causes(0), []);
    assert_eq!(rendered.report(0).ssrcs.len(), 2);
    let marks = rendered.marks(0);
    assert_eq!(marks, [(195, MarkKind::SsrcChange { from: SSRC, to: 9 })]);
    assert!(rendered.report(0).flags.is_empty());
}

#[test]
fn between_two_sources_is_a_gap_with_that_cause() {
    let mut track = Track::new();
    track.talk(0..10);
    for number in 20..30_u32 {
        let payload = pattern(number);
        track.rtp(
            u64::from(number) * 20,
            Rtp {
                ssrc: 9,
                ..voice(number, &payload)
            },
        );
    }
    let rendered = rendered_alone(600, &track);
    assert_eq!(
        rendered.channel(0),
        [spoken(0..10), silence(200), spoken(20..30)].concat()
    );
    assert_eq!(rendered.causes(0), [(200, 400, SsrcChange, 0)]);
}

#[test]
fn of_two_sources_at_once_the_first_is_heard_and_the_second_where_it_is_silent() {
    let mut track = Track::new();
    for number in 0..300_u32 {
        let ms = u64::from(number) * 20;
        if !(100..250).contains(&number) {
            track.voice(ms, number);
        }
        if number >= 50 {
            let payload = pattern(1_000 + number);
            track.rtp(
                ms,
                Rtp {
                    ssrc: 9,
                    ..voice(number, &payload)
                },
            );
        }
    }
    let rendered = rendered_alone(6_000, &track);
    let expected = [spoken(0..100), spoken(1_100..1_250), spoken(250..300)].concat();
    assert_eq!(rendered.channel(0), expected);
    let report = rendered.report(0);
    assert_eq!(report.flags, ["simultaneous_sources"]);
    assert_eq!(report.hidden_samples, 100 * 160);
    assert_eq!(report.packets, 150 + 250);
    // What the first source lost while the second was heard takes no time.
    assert_eq!(report.lost, 150);
    assert_eq!(rendered.causes(0), [(2_000, 2_000, Loss, 150)]);
}

#[test]
fn a_source_that_restarts_its_numbers_goes_on() {
    let mut track = Track::new();
    track.talk(0..10);
    for number in 20..30_u32 {
        let payload = pattern(number);
        let (seq, ts) = (40_000 + number as u16, 3_000_000_000 + number * 160);
        track.rtp(
            u64::from(number) * 20,
            Rtp {
                seq,
                ts,
                ..voice(number, &payload)
            },
        );
    }
    let rendered = rendered_alone(600, &track);
    assert_eq!(
        rendered.channel(0),
        [spoken(0..10), silence(200), spoken(20..30)].concat()
    );
    assert_eq!(rendered.causes(0), [(200, 400, Restart, 0)]);
    assert_eq!(rendered.marks(0), [(400, MarkKind::SequenceRestart)]);
    assert_eq!(
        (rendered.report(0).lost, rendered.report(0).unplaced),
        (0, 0)
    );
}

#[test]
fn a_single_packet_far_off_is_kept_out_of_the_audio() {
    let mut track = Track::new();
    track.talk(0..10);
    track.rtp(
        200,
        Rtp {
            seq: 30_000,
            ts: 77,
            ..voice(0, &pattern(99))
        },
    );
    track.talk(10..20);
    let rendered = rendered_alone(400, &track);
    assert_eq!(rendered.channel(0), spoken(0..20));
    assert_eq!(rendered.report(0).unplaced, 1);
}

#[test]
fn a_jump_of_the_timestamp_that_goes_on_is_placed_by_arrival() {
    for jump in [10_000_000_u32, 0x8000_0000, u32::MAX - 1_000_000] {
        let mut track = Track::new();
        track.talk(0..10);
        for number in 10..20_u32 {
            let payload = pattern(number);
            let ts = (FIRST_TS + number * 160).wrapping_add(jump);
            track.rtp(
                u64::from(number) * 20,
                Rtp {
                    ts,
                    ..voice(number, &payload)
                },
            );
        }
        let rendered = rendered_alone(400, &track);
        assert_eq!(rendered.channel(0), spoken(0..20), "{jump}");
        assert_eq!(rendered.causes(0), [], "{jump}");
        let marks = rendered.marks(0);
        assert!(
            matches!(marks[..], [(200, MarkKind::Reanchored { .. })]),
            "{jump}: {marks:?}"
        );
    }
}

#[test]
fn one_wrong_timestamp_does_not_move_the_audio() {
    let mut track = Track::new();
    track.talk(0..10);
    let payload = pattern(10);
    track.rtp(
        200,
        Rtp {
            ts: FIRST_TS + 99_000_000,
            ..voice(10, &payload)
        },
    );
    track.talk(11..20);
    let rendered = rendered_alone(400, &track);
    assert_eq!(rendered.channel(0), spoken(0..20));
    assert_eq!((rendered.causes(0), rendered.marks(0)), (vec![], vec![]));
}

#[test]
fn packets_held_back_by_the_network_belong_where_their_timestamps_say() {
    let mut track = Track::new();
    track.talk(0..50);
    for number in 50..300_u32 {
        // Nothing for 5 s, then all of it at once.
        track.voice(6_000 + u64::from(number - 50) / 10, number);
    }
    track.talk(300..350);
    let rendered = rendered_alone(7_000, &track);
    assert_eq!(rendered.channel(0), spoken(0..350));
    assert_eq!((rendered.causes(0), rendered.marks(0)), (vec![], vec![]));
}

#[test]
fn a_sender_whose_clock_stood_still_is_placed_by_arrival() {
    let mut track = Track::new();
    track.talk(0..50);
    for number in 50..200 {
        track.voice(10_000 + u64::from(number) * 20, number);
    }
    let rendered = rendered_alone(14_000, &track);
    let expected = [spoken(0..50), silence(10_000), spoken(50..200)].concat();
    assert_eq!(rendered.channel(0), expected);
    assert_eq!(rendered.causes(0), [(1_000, 11_000, Dtx, 0)]);
    assert_eq!(
        rendered.marks(0),
        [(11_000, MarkKind::Reanchored { ahead_ms: -10_000 })]
    );
}

#[test]
fn a_packet_that_comes_after_the_audio_was_placed_anew_goes_behind_what_came_before_it() {
    let mut track = Track::new();
    track.talk(0..50);
    for number in (51..150).chain([50]).chain(150..200) {
        track.voice(10_000 + u64::from(number.clamp(51, 199)) * 20, number);
    }
    let rendered = rendered_alone(14_000, &track);
    let expected = [spoken(0..51), silence(10_000), spoken(51..200)].concat();
    assert_eq!(rendered.channel(0), expected);
    assert_eq!(rendered.causes(0), [(1_020, 11_020, Dtx, 0)]);
}

#[test]
fn a_fast_sender_loses_nothing() {
    let mut track = Track::new();
    for number in 0..2_000 {
        track.voice(u64::from(number), number);
    }
    let rendered = rendered_alone(2_000, &track);
    assert_eq!(rendered.channel(0), spoken(0..2_000));
    assert_eq!(rendered.causes(0), []);
}

#[test]
fn timestamps_that_overlap_lose_no_sample() {
    let mut track = Track::new();
    for number in 0..50_u32 {
        let payload = pattern(number);
        let rtp = Rtp {
            ts: FIRST_TS + number * 150,
            ..voice(number, &payload)
        };
        track.rtp(u64::from(number) * 20, rtp);
    }
    let rendered = rendered_alone(1_000, &track);
    assert_eq!(rendered.channel(0), spoken(0..50));
    assert_eq!(rendered.report(0).flags, ["timestamp_overlap"]);
}

#[test]
fn a_change_of_payload_type_keeps_numbers_and_timeline() {
    let mut track = Track::new();
    for number in 0..20_u32 {
        let payload = pattern(number);
        let pt = if (5..10).contains(&number) {
            PCMA
        } else {
            PCMU
        };
        if number != 7 {
            track.rtp(
                u64::from(number) * 20,
                Rtp {
                    pt,
                    ..voice(number, &payload)
                },
            );
        }
    }
    let rendered = rendered_alone(400, &track);
    assert_eq!(rendered.plan.header().format, SampleFormat::Pcm16);
    assert_eq!(rendered.causes(0), [(140, 160, Loss, 1)]);
    let change = |from, to| MarkKind::PayloadTypeChange { from, to };
    assert_eq!(
        rendered.marks(0),
        [(100, change(PCMU, PCMA)), (200, change(PCMA, PCMU))]
    );
    assert_eq!(rendered.report(0).flags, ["mixed_laws", "decoded"]);
}

#[test]
fn a_codec_that_is_not_rendered_says_so_and_keeps_its_timeline() {
    let mut track = Track::new();
    for number in 0..50_u32 {
        if number != 20 {
            let rtp = Rtp {
                pt: 96,
                ts: number * 960,
                ..voice(number, &[0x78, 1, 2, 3])
            };
            track.rtp(u64::from(number) * 20, rtp);
        }
    }
    let rendered = rendered_alone(1_000, &track);
    let report = rendered.report(0);
    assert!(!report.rendered && !rendered.plan.has_audio());
    let reason = report.not_rendered_reason.as_deref();
    assert_eq!(
        reason,
        Some("49 packets are kept in the track, not rendered: opus")
    );
    assert_eq!(rendered.channel(0), silence(1_000));
    assert_eq!(
        rendered.causes(0),
        [
            (0, 400, NotRendered, 20),
            (400, 420, Loss, 1),
            (420, 1_000, NotRendered, 29)
        ]
    );
    assert_eq!(report.packets, 49);
}

#[test]
fn an_unrendered_codec_inside_rendered_audio_is_a_gap_with_that_cause() {
    let mut track = Track::new();
    track.talk(0..10);
    for number in 10..20_u32 {
        let rtp = Rtp {
            pt: 96,
            ts: number * 960,
            ..voice(number, &[0x78, 1, 2, 3])
        };
        track.rtp(u64::from(number) * 20, rtp);
    }
    track.talk(20..30);
    let rendered = rendered_alone(600, &track);
    assert_eq!(
        rendered.channel(0),
        [spoken(0..10), silence(200), spoken(20..30)].concat()
    );
    assert_eq!(rendered.causes(0), [(200, 400, NotRendered, 10)]);
    assert!(rendered.report(0).rendered);
}

#[test]
fn nothing_received_is_said_too() {
    let rendered = rendered_alone(1_000, &Track::new());
    assert_eq!(rendered.channel(0), silence(1_000));
    assert_eq!(rendered.causes(0), [(0, 1_000, NotStarted, 0)]);
    let reason = rendered.report(0).not_rendered_reason.as_deref();
    assert_eq!(reason, Some("no audio was received"));
}

#[test]
fn keepalives_of_unknown_type_are_no_audio_and_no_source() {
    let mut track = Track::new();
    track.rtp(
        0,
        Rtp {
            pt: 77,
            ssrc: 5,
            ..voice(0, &[1; 160])
        },
    );
    track.talk(5..10);
    track.rtp(
        200,
        Rtp {
            pt: 77,
            ..voice(10, &[1; 160])
        },
    );
    track.talk(11..15);
    let rendered = rendered_alone(300, &track);
    let expected = [silence(100), spoken(5..10), silence(20), spoken(11..15)].concat();
    assert_eq!(rendered.channel(0), expected);
    assert_eq!(rendered.report(0).ssrcs.len(), 1);
    assert_eq!(rendered.report(0).lost, 0);
}

#[test]
fn padding_extension_and_contributing_sources_are_no_audio() {
    let mut track = Track::new();
    for number in 0..5_u32 {
        let plain = voice(number, &pattern(number)).bytes();
        let mut bytes = plain[..12].to_vec();
        bytes[0] = 0x80 | 0x20 | 0x10 | 2;
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        bytes.extend_from_slice(&plain[12..]);
        bytes.extend_from_slice(&[0, 0, 0, 4]);
        track.record(Kind::Packet, 1, u64::from(number) * 20, &bytes);
    }
    assert_eq!(rendered_alone(100, &track).channel(0), spoken(0..5));
}
