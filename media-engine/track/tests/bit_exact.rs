//! Under loss, duplication and reordering everything that arrived is in its place, and every gap is
//! in the list: against a model that knows what was sent.

mod support;

use holdfast_manifest::GapCause;
use support::*;

/// What became of each packet that was sent.
struct Sent {
    track: Track,
    arrived: Vec<bool>,
    duplicates: u64,
}

/// Packets `0..count` of 20 ms through a network that loses, doubles and reorders.
fn send(random: &mut Random, count: u32, first_seq: u16, first_ts: u32) -> Sent {
    let (loss, double, delay) = (random.below(30), random.below(20), random.below(40) * 20);
    let mut arrivals = Vec::new();
    let mut arrived = vec![false; count as usize];
    let mut duplicates = 0;
    for number in 0..count {
        // The first goes through at once and alone: it is what all others are placed by.
        let is_first = number == 0;
        if !is_first && random.below(100) < loss {
            continue;
        }
        arrived[number as usize] = true;
        let ms = u64::from(number) * 20;
        let late = |random: &mut Random| if is_first { 0 } else { random.below(delay + 1) };
        arrivals.push((ms + late(random), arrivals.len(), number));
        if !is_first && random.below(100) < double {
            arrivals.push((ms + late(random), arrivals.len(), number));
            duplicates += 1;
        }
    }
    arrivals.sort_unstable();
    let mut track = Track::new();
    for (ms, _, number) in arrivals {
        let payload = pattern(number);
        let seq = first_seq.wrapping_add(number as u16);
        let ts = first_ts.wrapping_add(number * 160);
        track.rtp(
            ms,
            Rtp {
                seq,
                ts,
                ..voice(number, &payload)
            },
        );
    }
    Sent {
        track,
        arrived,
        duplicates,
    }
}

fn expected_audio(sent: &Sent) -> Vec<u8> {
    let packet = |(number, arrived): (usize, &bool)| {
        if *arrived {
            pattern(number as u32)
        } else {
            silence(20)
        }
    };
    sent.arrived.iter().enumerate().flat_map(packet).collect()
}

/// Runs of packets that did not arrive, those at the end as the end of the stream.
fn expected_gaps(sent: &Sent) -> Vec<(u64, u64, GapCause, u64)> {
    let mut gaps: Vec<(u64, u64, GapCause, u64)> = Vec::new();
    let last = sent.arrived.iter().rposition(|arrived| *arrived).unwrap();
    for (number, _) in sent
        .arrived
        .iter()
        .enumerate()
        .filter(|(_, arrived)| !**arrived)
    {
        let ms = number as u64 * 20;
        let (cause, packets) = if number > last {
            (GapCause::Ended, 0)
        } else {
            (GapCause::Loss, 1)
        };
        match gaps.last_mut() {
            Some(gap) if gap.1 == ms && gap.2 == cause => {
                gap.1 += 20;
                gap.3 += packets;
            }
            Some(_) | None => gaps.push((ms, ms + 20, cause, packets)),
        }
    }
    gaps
}

#[test]
fn whatever_the_network_does_every_octet_is_in_its_place() {
    for seed in seeds(60) {
        let mut random = Random(seed);
        let count = 200 + random.below(400) as u32;
        let (seq, ts) = (random.next() as u16, random.next() as u32);
        let first = send(&mut random, count, seq, ts);
        let second = send(&mut random, count, seq.wrapping_add(9), ts.wrapping_mul(3));
        let ms = u64::from(count) * 20;
        let rendered = rendered(ms, &[(Some(0), &first.track), (Some(1), &second.track)]);
        for (channel, sent) in [&first, &second].into_iter().enumerate() {
            assert!(
                rendered.channel(channel) == expected_audio(sent),
                "SEED={seed}"
            );
            let report = rendered.report(channel);
            assert_eq!(rendered.causes(channel), expected_gaps(sent), "SEED={seed}");
            let arrived = sent.arrived.iter().filter(|arrived| **arrived).count() as u64;
            assert_eq!(report.packets, arrived, "SEED={seed}");
            assert_eq!(report.duplicate, sent.duplicates, "SEED={seed}");
            assert_eq!(report.unplaced, 0, "SEED={seed}");
            let lost = report
                .gaps_by_cause(GapCause::Loss)
                .map(|gap| gap.packets)
                .sum::<u64>();
            assert_eq!(report.lost, lost, "SEED={seed}");
        }
    }
}

#[test]
fn records_of_noise_never_panic_nor_make_a_recording_long() {
    for seed in seeds(40) {
        let mut random = Random(seed * 77);
        let mut track = Track::new();
        for step in 0..2_000_u32 {
            let payload = pattern(step);
            let size = random.below(161) as usize;
            let rtp = Rtp {
                seq: random.next() as u16 >> random.below(16),
                ts: (random.next() as u32) >> random.below(32),
                ssrc: random.below(3) as u32,
                pt: [0, 8, 13, 101, 96, 9, 18, 77][random.below(8) as usize],
                marker: random.below(2) == 0,
                payload: &payload[..size],
            };
            let ms = u64::from(step) * 20;
            match random.below(50) {
                0 => track.mark(ms, holdfast_track::TrackMark::Pause),
                1 => track.mark(ms, holdfast_track::TrackMark::Resume),
                2 => {
                    let kind = holdfast_track::Kind::Rtcp;
                    track.record(kind, 1, ms, &payload[..size]);
                }
                _ => track.rtp(ms, rtp),
            }
        }
        let rendered = rendered_alone(40_000, &track);
        // The packets hold 40 s at most; timestamps may reach a few seconds further.
        assert!(rendered.plan.duration_ms() < 100_000, "SEED={seed}");
        let report = rendered.report(0);
        let mut end = 0;
        for gap in &report.gaps {
            assert!(
                gap.from_ms <= gap.to_ms && gap.from <= gap.to,
                "SEED={seed}: {gap:?}"
            );
            assert!(gap.from_ms >= end, "SEED={seed}: {:?}", report.gaps);
            end = gap.from_ms;
        }
    }
}

#[test]
fn packets_later_than_the_window_are_written_to_their_place_all_the_same() {
    for law in [PCMU, PCMA] {
        let (mut first, mut second) = (Track::new(), Track::new());
        let late = [3, 4, 100, 700];
        for number in (0..2_000_u32)
            .filter(|number| !late.contains(number))
            .chain(late)
        {
            let payload = pattern(number);
            // Arrivals are the same for all, so that 40 s at once are no jump.
            let rtp = Rtp {
                pt: law,
                ..voice(number, &payload)
            };
            first.rtp(u64::from(number.min(1_999)) * 20, rtp);
        }
        second.talk(0..2_000);
        let rendered = rendered(40_000, &[(Some(0), &first), (Some(2), &second)]);
        let (mono, wide) = (rendered_alone(40_000, &first), rendered);
        assert!(mono.channel(0) == spoken(0..2_000), "law {law}");
        assert_eq!(wide.causes(0), []);
        if law == PCMU {
            assert!(wide.channel(0) == spoken(0..2_000));
            assert!(wide.channel(2) == spoken(0..2_000));
            assert!(wide.channel(1) == silence(40_000));
        }
    }
}

#[test]
fn two_tracks_of_one_participant_share_the_channel() {
    let (mut first, mut second) = (Track::new(), Track::new());
    first.talk(0..50);
    second.talk(40..100);
    let rendered = rendered(2_000, &[(Some(0), &first), (Some(0), &second)]);
    // 200 ms of overlap is a handover: nothing of either is lost.
    assert!(rendered.channel(0)[..400 * 8 + 600 * 8] == spoken(0..50));
    assert!(rendered.channel(0)[1_000 * 8..] == spoken(40..100)[..]);
    assert_eq!(rendered.plan.duration_ms(), 2_200);
}

/// Keeps the beginning of a file, and checks that the rest is written once and in order.
struct Sink {
    head: Vec<u8>,
    size: u64,
}

impl holdfast_track::wav::WriteAt for Sink {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        assert_eq!(offset, self.size);
        self.size += bytes.len() as u64;
        if self.head.len() < 256 {
            self.head.extend_from_slice(&bytes[..bytes.len().min(256)]);
        }
        Ok(())
    }
}

#[test]
fn tc_139_a_recording_beyond_4_gib_takes_the_64_bit_form() {
    // One channel of mu-law for 149 hours: the last millisecond of audio that 32 bits can count.
    let mut track = Track::new();
    track.talk(0..10);
    for (ms, fits) in [(536_870_901, true), (536_870_902, false)] {
        let mut tracks = [input(Some(0), &track.bytes)];
        let time = holdfast_track::RecordingTime {
            started: STARTED,
            ended: at(ms),
        };
        let plan = holdfast_track::plan(time, 0, &mut tracks).unwrap();
        assert_eq!(plan.header().is_rf64(), !fits, "{ms}");
        if !fits {
            let mut sink = Sink {
                head: Vec::new(),
                size: 0,
            };
            plan.write(&mut tracks, &mut sink).unwrap();
            assert_eq!(sink.size, plan.header().file_size());
            assert_eq!(&sink.head[..4], b"RF64");
            let read = holdfast_track::wav::WavHeader::read(&mut &sink.head[..]).unwrap();
            assert_eq!(read, *plan.header());
        }
    }
}

#[test]
fn a_track_is_read_once_where_its_audio_is_kept_and_twice_where_that_is_too_much() {
    let mut track = Track::new();
    track.talk(0..100);
    let opened = std::cell::Cell::new(0);
    for (kept_size_max, times) in [(100 * 160 + 100, 1), (100 * 160 - 1, 2), (0, 2)] {
        opened.set(0);
        let mut tracks = [holdfast_track::TrackInput {
            open: Box::new(|| {
                opened.set(opened.get() + 1);
                Ok(Box::new(track.bytes.as_slice()) as Box<dyn std::io::Read>)
            }),
            ..input(Some(0), &[])
        }];
        let time = holdfast_track::RecordingTime {
            started: STARTED,
            ended: at(2_000),
        };
        let plan = holdfast_track::plan_within(time, 0, &mut tracks, kept_size_max).unwrap();
        let mut wav = Vec::new();
        plan.write(&mut tracks, &mut wav).unwrap();
        assert_eq!(opened.get(), times, "{kept_size_max}");
    }
}

#[test]
fn more_channels_than_a_file_holds_are_refused() {
    let track = Track::new();
    let mut tracks = [input(Some(64), &track.bytes)];
    let time = holdfast_track::RecordingTime {
        started: STARTED,
        ended: at(1),
    };
    let error = holdfast_track::plan(time, 0, &mut tracks).unwrap_err();
    assert_eq!(
        error.to_string(),
        "65 channels, at most 64 go into one file"
    );
}
