//! Senders whose packets claim to sound longer than until the timestamp of the next one: no recording
//! gets longer by that than their timestamps or arrivals say, no loss is hidden, and what is not heard is
//! counted. Who is only a little off loses nothing.

mod support;

use holdfast_manifest::GapCause::{Dropped, Dtx, Ended, Loss, NotRendered};
use holdfast_track::TrackMark;

use crate::support::*;

/// Payload type, octets of 120 ms, ticks of 5 ms.
type Claim = (u8, usize, u32);

const PCMU_CLAIM: Claim = (PCMU, 960, 40);

/// G.711, G.722, L16 and Opus, of which the first octet says how long it is.
const CLAIMS: [Claim; 5] = [
    PCMU_CLAIM,
    (PCMA, 960, 40),
    (9, 960, 40),
    (11, 10_584, 220),
    (96, 40, 240),
];

/// Two frames of 60 ms of SILK (RFC 6716 §3.1, §3.2.2).
const OPUS: u8 = 11 << 3 | 1;

/// How far audio is put behind where it belongs, at most.
const PUSH_MS: u64 = 100;

/// Packets of 120 ms, one every 5 ms.
fn claim(track: &mut Track, (pt, size, step): Claim, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let mut payload = vec![number as u8 % 200; size];
        if pt == 96 {
            payload[0] = OPUS;
        }
        let rtp = Rtp {
            pt,
            ts: FIRST_TS + number * step,
            ..voice(number, &payload)
        };
        track.rtp(u64::from(number) * 5, rtp);
    }
}

/// How many samples are no silence.
fn heard(rendered: &Rendered) -> u64 {
    let octets = rendered.channel(0);
    octets.iter().filter(|octet| **octet != 0xff).count() as u64
}

#[test]
fn a_recording_is_as_long_as_timestamps_say_and_not_as_packets_claim() {
    for codec in CLAIMS {
        let mut track = Track::new();
        claim(&mut track, codec, 0..600);
        let rendered = rendered_alone(3_000, &track);
        let ms = rendered.plan.duration_ms();
        assert!((3_000..=3_000 + PUSH_MS).contains(&ms), "{codec:?}: {ms}");
        let flags = &rendered.report(0).flags;
        assert!(flags.contains(&"timestamp_overlap".to_owned()), "{flags:?}");
    }
}

#[test]
fn what_is_cut_is_counted_and_the_rest_is_heard_in_order() {
    let mut track = Track::new();
    claim(&mut track, PCMU_CLAIM, 0..600);
    let rendered = rendered_alone(3_000, &track);
    let report = rendered.report(0);
    assert_eq!(heard(&rendered) + report.overlapped_samples, 600 * 960);
    assert_eq!((report.unplaced, rendered.causes(0)), (0, vec![]));
    // 5 ms of each but the first, which nothing contradicted in time.
    let mut expected = vec![0; PUSH_MS as usize * 8 + 40];
    expected.extend((1..600).flat_map(|number| [number as u8 % 200; 40]));
    let audio = rendered.channel(0);
    let differs = audio
        .iter()
        .zip(&expected)
        .position(|(one, other)| one != other);
    assert_eq!((differs, audio.len()), (None, expected.len()));
}

#[test]
fn a_loss_is_a_gap_of_its_length_whatever_the_packet_before_it_claims() {
    for codec in CLAIMS {
        for is_dropped in [false, true] {
            let mut track = Track::new();
            claim(&mut track, codec, 0..200);
            if is_dropped {
                let (from, to, packets) = (at(1_000), at(1_995), 200);
                track.mark(1_995, TrackMark::RingOverflow { from, to, packets });
            }
            claim(&mut track, codec, 400..600);
            let rendered = rendered_alone(3_000, &track);
            let report = rendered.report(0);
            let (cause, expected) = if is_dropped {
                (Dropped, (0, 200))
            } else {
                (Loss, (200, 0))
            };
            assert_eq!((report.lost, report.dropped), expected);
            let gaps = report.gaps_by_cause(cause);
            let ms: u64 = gaps.map(|gap| gap.to_ms - gap.from_ms).sum();
            // It begins later by what the audio before it was put behind, and ends in time.
            let causes = rendered.causes(0);
            assert!(
                (999 - PUSH_MS..=1_000).contains(&ms),
                "{codec:?}: {causes:?}"
            );
            assert!(causes.iter().any(|gap| gap.1.abs_diff(2_000) <= 1));
            assert!(rendered.plan.duration_ms() <= 3_000 + PUSH_MS);
        }
    }
}

#[test]
fn a_loss_right_after_a_packet_that_claims_to_sound_over_it_is_a_gap() {
    let mut track = Track::new();
    // A second, and 15 ms later the fourth packet after it.
    track.rtp(0, voice_of(0, &[7; 8_000]));
    claim(&mut track, PCMU_CLAIM, 4..50);
    let rendered = rendered_alone(250, &track);
    let report = rendered.report(0);
    assert_eq!(report.lost, 3);
    assert_eq!(rendered.causes(0), [(105, 120, Loss, 3)]);
    // What the gap says is silent, is.
    assert_eq!(rendered.channel(0)[105 * 8..120 * 8], silence(15));
    let cut = report.overlapped_samples;
    assert_eq!(heard(&rendered) + cut, 46 * 960 + 8_000);
    // The same of what is not rendered.
    let mut track = Track::new();
    track.rtp(
        0,
        Rtp {
            pt: 9,
            ..voice_of(0, &[7; 8_000])
        },
    );
    claim(&mut track, (9, 960, 40), 4..5);
    let causes = rendered_alone(240, &track).causes(0);
    let expected = [(0, 105, NotRendered, 1), (105, 120, Loss, 3)];
    assert_eq!(causes[..2], expected);
}

#[test]
fn who_claims_the_truth_again_is_heard_in_full() {
    let mut track = Track::new();
    claim(&mut track, PCMU_CLAIM, 0..100);
    for number in 100..300_u32 {
        let payload = pattern(number);
        let ts = FIRST_TS + 4_000 + (number - 100) * 160;
        let ms = 500 + u64::from(number - 100) * 20;
        track.rtp(
            ms,
            Rtp {
                ts,
                ..voice(number, &payload)
            },
        );
    }
    let rendered = rendered_alone(4_500, &track);
    // No more than until the silence that the step of before leaves.
    assert!(rendered.channel(0).ends_with(&spoken(110..300)));
    assert!(rendered.plan.duration_ms() <= 4_500 + PUSH_MS);
}

#[test]
fn timestamps_that_jitter_lose_no_sample_and_make_no_recording_longer() {
    for seed in seeds(5) {
        let mut random = Random(seed);
        let mut track = Track::new();
        for number in 0..3_000_u32 {
            let payload = pattern(number);
            let ts = FIRST_TS + number * 160 + random.below(200) as u32;
            let ms = u64::from(number) * 20 + random.below(15);
            track.rtp(
                ms,
                Rtp {
                    ts,
                    ..voice(number, &payload)
                },
            );
        }
        let rendered = rendered_alone(60_000, &track);
        let audio = rendered.channel(0);
        let voiced: Vec<u8> = audio.into_iter().filter(|octet| *octet != 0xff).collect();
        assert_eq!(voiced, spoken(0..3_000), "SEED={seed}");
        let report = rendered.report(0);
        assert_eq!((report.overlapped_samples, report.lost), (0, 0));
        let ms = rendered.plan.duration_ms();
        assert!(ms <= 60_000 + 2 * PUSH_MS, "SEED={seed}: {ms}");
    }
}

#[test]
fn a_step_back_of_the_timestamps_loses_no_sample() {
    let mut track = Track::new();
    track.talk(0..100);
    for number in 100..200_u32 {
        let payload = pattern(number);
        let ts = FIRST_TS + (number - 30) * 160;
        track.rtp(
            u64::from(number) * 20,
            Rtp {
                ts,
                ..voice(number, &payload)
            },
        );
    }
    let rendered = rendered_alone(4_000, &track);
    assert_eq!(rendered.channel(0), spoken(0..200));
    assert_eq!(rendered.report(0).overlapped_samples, 0);
}

#[test]
fn silence_makes_up_for_what_was_put_behind() {
    let mut track = Track::new();
    track.talk(0..10);
    // 5 ms too early, for ever.
    for number in 10..20_u32 {
        let payload = pattern(number);
        let ts = FIRST_TS + number * 160 - 40;
        track.rtp(
            u64::from(number) * 20 - 5,
            Rtp {
                ts,
                ..voice(number, &payload)
            },
        );
    }
    // After 200 ms without a packet.
    for number in 20..30_u32 {
        let payload = pattern(number);
        let ts = FIRST_TS + number * 160 + 1_600 - 40;
        track.rtp(
            u64::from(number) * 20 + 195,
            Rtp {
                ts,
                ..voice(number, &payload)
            },
        );
    }
    let rendered = rendered_alone(800, &track);
    assert_eq!(
        rendered.causes(0),
        [(400, 595, Dtx, 0), (795, 800, Ended, 0)]
    );
    let expected = [spoken(0..20), silence(195), spoken(20..30), silence(5)].concat();
    assert_eq!(rendered.channel(0), expected);
}

#[test]
fn timestamps_that_stand_still_make_no_recording_longer_than_arrivals() {
    for (step_ms, claimed) in [(0, 960), (1, 960), (20, 960), (20, 8_000), (0, 40_000)] {
        let mut track = Track::new();
        for number in 0..500_u32 {
            let payload = vec![number as u8 % 200; claimed];
            let rtp = Rtp {
                ts: FIRST_TS,
                ..voice(number, &payload)
            };
            track.rtp(u64::from(number) * step_ms, rtp);
        }
        let ended = 500 * step_ms;
        let rendered = rendered_alone(ended, &track);
        let ms = rendered.plan.duration_ms();
        // The last packet is contradicted by none.
        assert!(
            ms <= ended + PUSH_MS + claimed as u64 / 8,
            "{step_ms}: {ms}"
        );
        let sent = 500 * claimed as u64;
        let cut = rendered.report(0).overlapped_samples;
        assert_eq!(heard(&rendered) + cut, sent, "{step_ms} {claimed}");
    }
}

#[test]
fn audio_that_begins_anew_again_and_again_makes_no_recording_longer() {
    for (is_restart, step) in [(false, 8), (false, 0), (true, 8), (true, 0)] {
        let mut random = Random(7);
        let (mut track, mut seq, mut ts) = (Track::new(), 0_u16, 0_u32);
        for number in 0..3_000_u32 {
            if number % 3 == 0 {
                ts = ts.wrapping_add(10_000_000 + random.below(1_000_000) as u32);
                seq = seq.wrapping_add(if is_restart { 20_000 } else { 1 });
            } else {
                (seq, ts) = (seq.wrapping_add(1), ts.wrapping_add(step));
            }
            let payload = vec![number as u8 % 200; 960];
            let rtp = Rtp {
                seq,
                ts,
                ..voice(number, &payload)
            };
            track.rtp(u64::from(number), rtp);
        }
        let rendered = rendered_alone(3_000, &track);
        let ms = rendered.plan.duration_ms();
        let longest = 3_000 + 2 * PUSH_MS + 120;
        assert!(ms <= longest, "{is_restart}, {step}: {ms}");
        let runs = rendered.marks(0).len();
        assert!(runs > 500, "{runs}");
    }
}

#[test]
fn what_a_packet_claims_too_much_hides_no_other_source() {
    let mut track = Track::new();
    track.rtp(0, voice_of(0, &[7; 8_000]));
    track.rtp(20, voice_of(1, &[7; 160]));
    for number in 0..30 {
        let payload = pattern(number);
        let ms = 200 + u64::from(number) * 20;
        track.rtp(
            ms,
            Rtp {
                ssrc: 5,
                ..voice(number, &payload)
            },
        );
    }
    let rendered = rendered_alone(800, &track);
    assert_eq!(rendered.channel(0)[200 * 8..], spoken(0..30));
    assert_eq!(rendered.report(0).hidden_samples, 0);
}

#[test]
fn what_comes_late_is_put_where_it_is_missing_and_nowhere_else() {
    let mut track = Track::new();
    for number in (0..50).chain(51..300) {
        // One number is left out, and no time.
        let payload = pattern(number);
        let ts = FIRST_TS + number.min(50) * 160 + number.saturating_sub(51) * 160;
        track.rtp(
            u64::from(number) * 20,
            Rtp {
                ts,
                ..voice(number, &payload)
            },
        );
    }
    // There it is, and says that it belongs seconds farther on.
    let payload = [1; 960];
    let ts = FIRST_TS + 200 * 160;
    track.rtp(
        6_000,
        Rtp {
            ts,
            ..voice(50, &payload)
        },
    );
    let rendered = rendered_alone(6_000, &track);
    let expected = [spoken(0..50), spoken(51..300), silence(20)].concat();
    assert_eq!(rendered.channel(0), expected);
    let report = rendered.report(0);
    assert_eq!((report.packets, report.lost), (300, 0));
    assert_eq!(report.overlapped_samples, 960);
}

#[test]
fn what_comes_late_behind_audio_that_ended_does_not_cover_what_came_after_it() {
    let mut track = Track::new();
    track.talk(0..50);
    // The timestamps jump, a thousand numbers later.
    for number in 1_050..1_150_u32 {
        let payload = pattern(number);
        let ts = FIRST_TS + number * 160 + 1_000_000;
        let ms = 1_000 + u64::from(number - 1_050) * 20;
        track.rtp(
            ms,
            Rtp {
                ts,
                ..voice(number, &payload)
            },
        );
    }
    for number in 50..1_000 {
        let payload = [1; 960];
        track.rtp(3_000, voice_of(number, &payload));
    }
    let rendered = rendered_alone(3_000, &track);
    assert!(rendered.plan.duration_ms() <= 3_000 + PUSH_MS);
    assert_eq!(rendered.report(0).hidden_samples, 0);
    let voiced: Vec<u8> = rendered.channel(0);
    assert!(
        voiced
            .windows(16_000)
            .any(|part| part == spoken(1_050..1_150))
    );
}

/// The same with a length of its own.
fn voice_of(number: u32, payload: &[u8]) -> Rtp<'_> {
    Rtp {
        payload,
        ..voice(number, payload)
    }
}

#[test]
fn what_was_sent_before_the_first_packet_is_as_long_as_its_timestamps_say() {
    let mut track = Track::new();
    for number in [100_u32, 99, 98, 97, 96].into_iter().chain(101..150) {
        let payload = vec![number as u8; if number < 100 { 8_000 } else { 160 }];
        track.rtp(
            u64::from(number.max(100) - 100) * 20,
            voice_of(number, &payload),
        );
    }
    let rendered = rendered_alone(1_000, &track);
    let ms = rendered.plan.duration_ms();
    assert!(ms <= 1_000 + 4 * 20 + PUSH_MS, "{ms}");
    let cut = rendered.report(0).overlapped_samples;
    assert_eq!(heard(&rendered) + cut, 4 * 8_000 + 50 * 160);
}

#[test]
fn whatever_is_sent_is_heard_or_counted_and_no_longer_than_it_may() {
    let seeds = seeds(60);
    let mut checked = 0;
    for &seed in &seeds {
        let mut random = Random(seed);
        let (mut track, mut ts, mut us, mut sent) = (Track::new(), 0_i64, 0_u64, 0);
        let (mut farthest, mut late) = (0_i64, Vec::new());
        let lengths = [40, 160, 240, 960, 3_000];
        for number in 0..400_u32 {
            let claimed = lengths[random.below(5) as usize];
            let payload = vec![1 + random.below(200) as u8; claimed];
            let packet = (number, ts, payload);
            match random.below(20) {
                0 => {}
                1 => late.push(packet),
                _ => sent += send(&mut track, us, &packet),
            }
            if random.below(10) == 0 {
                for packet in late.drain(..) {
                    sent += send(&mut track, us, &packet);
                }
            }
            ts += random.below(400) as i64 - 60;
            farthest = farthest.max(ts);
            us += random.below(40_000);
        }
        let rendered = rendered_alone(us / 1_000, &track);
        let report = rendered.report(0);
        let heard = heard(&rendered) + report.overlapped_samples + report.hidden_samples;
        if report.unplaced > 0 || !rendered.marks(0).is_empty() {
            continue;
        }
        checked += 1;
        assert_eq!(heard, sent, "SEED={seed}");
        let longest = 3_000 / 8;
        let bound = (us / 1_000).max(farthest as u64 / 8) + 2 * PUSH_MS + longest;
        let ms = rendered.plan.duration_ms();
        assert!(ms <= bound, "SEED={seed}: {ms} of {bound}");
    }
    assert!(checked * 10 > seeds.len() * 9, "{checked}");
}

fn send(track: &mut Track, us: u64, (number, ts, payload): &(u32, i64, Vec<u8>)) -> u64 {
    let ts = FIRST_TS.wrapping_add(*ts as u32);
    track.rtp(
        us / 1_000,
        Rtp {
            ts,
            ..voice_of(*number, payload)
        },
    );
    payload.len() as u64
}
