use super::*;
use crate::fuzz::XorShift;

const CLOCK: Option<ClockRate> = Some(ClockRate::TELEPHONY);
const FRAME_TICKS: u32 = 160;
const FRAME_NANOS: u64 = 20_000_000;

/// A sender of 20 ms frames; packet `number` leaves, and by default arrives, on time.
struct Sender {
    tracker: SequenceTracker,
    base: u64,
}

impl Sender {
    fn start(number: u64) -> Self {
        let (now, sequence, timestamp) = Self::packet(number);
        let tracker = SequenceTracker::begin(now, sequence, timestamp, CLOCK);
        let base = tracker.highest().value().wrapping_sub(number);
        Self { tracker, base }
    }

    fn packet(number: u64) -> (MonoTime, WireSeq, RtpTimestamp) {
        let timestamp = RtpTimestamp((number as u32).wrapping_mul(FRAME_TICKS));
        (
            MonoTime(number * FRAME_NANOS),
            WireSeq(number as u16),
            timestamp,
        )
    }

    fn send(&mut self, number: u64) -> Sequenced {
        let (now, sequence, timestamp) = Self::packet(number);
        self.tracker.update(now, sequence, timestamp, CLOCK)
    }

    /// A packet of a sender that began anew: sequence and timestamp have nothing to do with before.
    fn send_at(&mut self, ms: u64, sequence: u16, timestamp: u32) -> Sequenced {
        let now = MonoTime(ms * 1_000_000);
        self.tracker
            .update(now, WireSeq(sequence), RtpTimestamp(timestamp), CLOCK)
    }

    fn ext(&self, number: u64) -> ExtSeq {
        ExtSeq::new(self.base.wrapping_add(number))
    }
}

/// A.1, row by row: a step from the highest number, after 10,000 packets without loss.
#[test]
fn each_step_has_its_meaning() {
    let highest: u64 = 10_000;
    for (step, expected) in [
        (1_i64, "fresh"),
        (2, "fresh"),
        (2_999, "fresh"),
        (3_000, "suspect"),
        (32_767, "suspect"),
        (32_768, "suspect"),
        (0, "duplicate"),
        (-1, "duplicate"),
        (-100, "duplicate"),
        (-101, "suspect"),
        (-2_048, "suspect"),
        (-9_000, "suspect"),
    ] {
        let mut sender = Sender::start(0);
        for number in 1..=highest {
            sender.send(number);
        }
        let sequence = (highest as i64 + step) as u16;
        // The timestamp has not gone on with the clock: no long loss.
        let found = sender.send_at(highest * 20, sequence, 0x5555_0000);
        let forward = u64::from((step as u16).max(1));
        let (name, ext_seq) = match found {
            Sequenced::Fresh { ext_seq } => ("fresh", ext_seq),
            Sequenced::Late { ext_seq } => ("late", ext_seq),
            Sequenced::Duplicate { ext_seq } => ("duplicate", ext_seq),
            Sequenced::Suspect { ext_seq } => ("suspect", ext_seq),
            Sequenced::Restart { ext_seq } => ("restart", ext_seq),
        };
        assert_eq!(name, expected, "{step}");
        let at = if name == "duplicate" {
            sender.ext((highest as i64 + step) as u64)
        } else {
            sender.ext(highest + forward)
        };
        assert_eq!(ext_seq, at, "{step}");
    }
}

#[test]
fn a_hole_is_filled_by_a_packet_that_is_late_by_more_than_a_hundred() {
    let mut sender = Sender::start(0);
    for number in (1..500).filter(|number| *number != 50).chain(501..2_000) {
        sender.send(number);
    }
    assert_eq!(
        sender.send(500),
        Sequenced::Late {
            ext_seq: sender.ext(500)
        }
    );
    assert_eq!(
        sender.send(50),
        Sequenced::Late {
            ext_seq: sender.ext(50)
        }
    );
    let statistics = sender.tracker.statistics();
    assert_eq!((statistics.lost, statistics.late), (0, 2));
}

#[test]
fn losses_up_to_half_the_number_space_keep_their_place() {
    for loss in [1, 2_999, 3_000, 20_000, 32_766] {
        for start in [0, 32_768, 65_530] {
            let mut sender = Sender::start(start);
            sender.send(start + 1);
            let after = start + 2 + loss;
            assert_eq!(
                sender.send(after),
                Sequenced::Fresh {
                    ext_seq: sender.ext(after)
                }
            );
            assert_eq!(
                sender.tracker.statistics().lost,
                loss,
                "{loss} from {start}"
            );
        }
    }
}

#[test]
fn a_long_loss_with_another_clock_is_a_restart_that_keeps_rising() {
    let mut sender = Sender::start(100);
    let suspect = sender.send_at(2_020, 20_100, 0x4000_0000);
    assert_eq!(
        suspect,
        Sequenced::Suspect {
            ext_seq: sender.ext(20_100)
        }
    );
    let restart = sender.send_at(2_040, 20_101, 0x4000_00a0);
    assert_eq!(
        restart,
        Sequenced::Restart {
            ext_seq: sender.ext(20_101)
        }
    );
    let next = sender.send_at(2_060, 20_102, 0x4000_0140);
    assert_eq!(
        next,
        Sequenced::Fresh {
            ext_seq: sender.ext(20_102)
        }
    );
    let statistics = sender.tracker.statistics();
    assert_eq!(
        (statistics.restarts, statistics.strays, statistics.lost),
        (1, 0, 0)
    );
    assert_eq!((statistics.received, statistics.expected), (4, 4));
}

#[test]
fn a_file_played_again_restarts_above_all_earlier_numbers() {
    let mut sender = Sender::start(1_000);
    for number in 1_001..1_300 {
        sender.send(number);
    }
    let end = sender.tracker.highest();
    let mut last = end;
    for (index, sequence) in (1_000..1_300_u16).enumerate() {
        let timestamp = u32::from(sequence) * FRAME_TICKS;
        let ext_seq = match sender.send_at(26_000 + index as u64 * 20, sequence, timestamp) {
            Sequenced::Suspect { ext_seq } if index == 0 => ext_seq,
            Sequenced::Restart { ext_seq } if index == 1 => ext_seq,
            Sequenced::Fresh { ext_seq } if index > 1 => ext_seq,
            other => panic!("{index}: {other:?}"),
        };
        assert!(ext_seq > last, "{index}");
        last = ext_seq;
    }
    let statistics = sender.tracker.statistics();
    assert_eq!(
        (statistics.received, statistics.lost, statistics.restarts),
        (600, 0, 1)
    );
}

#[test]
fn a_lone_stray_changes_nothing() {
    let mut sender = Sender::start(10);
    assert!(matches!(
        sender.send_at(220, 40_000, 7),
        Sequenced::Suspect { .. }
    ));
    assert!(matches!(
        sender.send_at(221, 40_000, 7),
        Sequenced::Duplicate { .. }
    ));
    assert_eq!(
        sender.send(11),
        Sequenced::Fresh {
            ext_seq: sender.ext(11)
        }
    );
    // Its successor, long after: no longer two in a row.
    assert!(matches!(
        sender.send_at(240, 40_001, 7),
        Sequenced::Suspect { .. }
    ));
    let statistics = sender.tracker.statistics();
    assert_eq!(
        (statistics.received, statistics.strays, statistics.restarts),
        (2, 3, 0)
    );
}

#[test]
fn packets_sent_before_the_first_one_have_numbers_too() {
    let mut sender = Sender::start(65_536);
    assert_eq!(
        sender.send(65_535),
        Sequenced::Late {
            ext_seq: sender.ext(65_535)
        }
    );
    assert_eq!(
        sender.send(65_535),
        Sequenced::Duplicate {
            ext_seq: sender.ext(65_535)
        }
    );
    let statistics = sender.tracker.statistics();
    assert_eq!((statistics.expected, statistics.lost), (2, 0));
}

#[test]
fn a_step_to_before_the_start_is_no_hole() {
    let mut sender = Sender::start(1_000);
    sender.send(1_001);
    let found = sender.send_at(20_040, 500, 0);
    assert!(matches!(found, Sequenced::Suspect { .. }), "{found:?}");
}

#[test]
fn a_restart_is_no_jitter() {
    let mut sender = Sender::start(1_000);
    sender.send(1_001);
    // Five seconds of timestamp in no time.
    sender.send_at(20_040, 50_000, 1_002 * FRAME_TICKS + 40_000);
    let found = sender.send_at(20_060, 50_001, 1_003 * FRAME_TICKS + 40_000);
    assert!(matches!(found, Sequenced::Restart { .. }), "{found:?}");
    assert_eq!(sender.tracker.statistics().jitter_max, 0);
    sender.send_at(20_100, 50_002, 1_004 * FRAME_TICKS + 40_000);
    assert!(
        sender.tracker.statistics().jitter_max > 0,
        "it is measured on from there"
    );
}

/// Against the reference: a sender's own numbering and the set of what has arrived. `SEED=…` replays
/// one run.
#[test]
fn random_loss_reordering_and_duplicates_over_wraps() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (0..40).collect(),
    };
    for seed in seeds {
        let mut random = XorShift::new(seed);
        let start = 65_000 + random.below(70_000);
        let mut arrivals: Vec<u64> = Vec::new();
        let mut number = start + 1;
        while number < start + 5_000 {
            match random.below(100) {
                0..5 => {}
                5 => number += random.below(1_500),
                6..10 => arrivals.extend([number, number]),
                _ => arrivals.push(number),
            }
            number += 1;
        }
        for index in 1..arrivals.len() {
            let other = index.saturating_sub(random.below(20) as usize);
            if arrivals[index] - arrivals[other].min(arrivals[index]) < 40 {
                arrivals.swap(index, other);
            }
        }
        let mut sender = Sender::start(start);
        let mut seen = std::collections::BTreeSet::from([start]);
        let (mut duplicates, mut late) = (0, 0);
        for number in &arrivals {
            let highest = *seen.last().unwrap();
            let ext_seq = sender.ext(*number);
            let expected = if !seen.insert(*number) {
                duplicates += 1;
                Sequenced::Duplicate { ext_seq }
            } else if *number < highest {
                late += 1;
                Sequenced::Late { ext_seq }
            } else {
                Sequenced::Fresh { ext_seq }
            };
            assert_eq!(sender.send(*number), expected, "SEED={seed} {number}");
            // A restart of ours between any two packets makes no difference.
            if random.below(50) == 0 {
                let mut bytes = Vec::new();
                sender.tracker.state().encode(&mut bytes);
                let state = TrackerState::decode(&bytes).unwrap();
                assert_eq!(&state, sender.tracker.state());
                sender.tracker = SequenceTracker::resume(state);
            }
        }
        let span = seen.last().unwrap() - seen.first().unwrap() + 1;
        let statistics = sender.tracker.statistics();
        assert_eq!(statistics.expected, span);
        assert_eq!(statistics.lost, span - seen.len() as u64);
        assert_eq!((statistics.duplicates, statistics.late), (duplicates, late));
        assert_eq!(statistics.received, 1 + arrivals.len() as u64);
    }
}

/// A.3, by hand: the report covers what came since the last one.
#[test]
fn report_values_of_known_loss() {
    let mut sender = Sender::start(65_000);
    for number in 65_001..65_100 {
        sender.send(number);
    }
    let report = sender.tracker.report();
    assert_eq!((report.fraction_lost, report.cumulative_lost), (0, 0));
    assert_eq!(report.highest, 65_099);
    assert!(!sender.tracker.heard_since_report());
    // 64 of the next 256 are missing, over the wrap … and the wrap is counted.
    for number in (65_100..65_700).filter(|number| number % 4 != 3) {
        sender.send(number);
    }
    sender.send(65_699);
    let report = sender.tracker.report();
    assert_eq!((report.fraction_lost, report.cumulative_lost), (63, 149));
    assert_eq!(report.highest, 1 << 16 | (65_699 - 65_536));
    // More duplicates than loss: no fraction, a negative sum.
    for _ in 0..200 {
        sender.send(65_699);
    }
    sender.send(65_701);
    let report = sender.tracker.report();
    assert_eq!((report.fraction_lost, report.cumulative_lost), (0, -50));
    assert_eq!(
        sender.tracker.statistics().lost,
        150,
        "duplicates don't hide loss from us"
    );
    // Nothing at all came.
    assert_eq!(sender.tracker.report().fraction_lost, 0);
}

#[test]
fn everything_lost_but_one_is_the_highest_fraction() {
    let mut sender = Sender::start(0);
    sender.tracker.report();
    sender.send(2_900);
    let report = sender.tracker.report();
    assert_eq!((report.fraction_lost, report.cumulative_lost), (255, 2_899));
}

#[test]
fn cumulative_loss_is_clamped_to_24_bits() {
    let mut sender = Sender::start(0);
    let mut number = 0;
    while number < 9_000_000 {
        number += 2_900;
        sender.send(number);
    }
    assert_eq!(sender.tracker.report().cumulative_lost, 0x7f_ffff);
}

/// Against the reference: A.8 in floating point.
#[test]
fn jitter_follows_the_appendix() {
    let mut random = XorShift::new(8);
    let mut sender = Sender::start(0);
    let (mut jitter, mut before) = (0_f64, 0_f64);
    for number in 1..3_000_u64 {
        let delay = random.below(40_000_000);
        let (now, sequence, timestamp) = Sender::packet(number);
        sender
            .tracker
            .update(MonoTime(now.0 + delay), sequence, timestamp, CLOCK);
        let transit = delay as f64 * 8e-6;
        jitter += ((transit - before).abs() - jitter) / 16.0;
        before = transit;
        let found = f64::from(sender.tracker.statistics().jitter);
        assert!((found - jitter).abs() < 2.0, "{number}: {found} {jitter}");
    }
    assert!(jitter > 80.0, "there was some to measure");
}

#[test]
fn jitter_ignores_events_clock_changes_and_timestamp_jumps() {
    let mut sender = Sender::start(0);
    for number in 1..100 {
        sender.send(number);
    }
    let (now, ..) = Sender::packet(100);
    let mut update = |step: u64, sequence, timestamp, clock| {
        let now = MonoTime(now.0 + step * FRAME_NANOS);
        sender
            .tracker
            .update(now, WireSeq(sequence), RtpTimestamp(timestamp), clock);
        sender.tracker.statistics().jitter_max
    };
    assert_eq!(update(0, 100, 100 * 160, CLOCK), 0);
    // Three packets of one event, all with its start.
    assert_eq!(update(1, 101, 101 * 160, None), 0);
    assert_eq!(update(5, 102, 101 * 160, None), 0);
    // RFC 7160: another rate, then back.
    assert_eq!(update(6, 103, 777, ClockRate::new(16_000)), 0);
    assert_eq!(update(7, 104, 777 + 320, ClockRate::new(16_000)), 0);
    assert_eq!(update(8, 105, 108 * 160, CLOCK), 0);
    // A jump by an hour is none of the network's doing.
    assert_eq!(update(9, 106, 109 * 160 + 28_800_000, CLOCK), 0);
    assert_eq!(update(10, 107, 110 * 160 + 28_800_000, CLOCK), 0);
    assert!(
        update(12, 108, 111 * 160 + 28_800_000, CLOCK) > 0,
        "20 ms late is jitter"
    );
}

#[test]
fn stored_state_has_the_bytes_of_version_1() {
    let mut sender = Sender::start(65_530);
    for number in (65_531..65_600).filter(|number| number % 7 > 0) {
        sender.send(number);
    }
    sender.send(65_599);
    sender.tracker.report();
    let (now, sequence, timestamp) = Sender::packet(65_601);
    sender
        .tracker
        .update(MonoTime(now.0 + 15_000_000), sequence, timestamp, CLOCK);
    sender.send(65_600);
    sender.send_at(5_000, 30_000, 9);
    let mut bytes = Vec::new();
    sender.tracker.state().encode(&mut bytes);
    let golden = include_bytes!("../../tests/golden/tracker_state_v1.bin");
    assert_eq!(bytes, golden);
    assert_eq!(
        TrackerState::decode(golden).as_ref(),
        Ok(sender.tracker.state())
    );
}

#[test]
fn damaged_state_is_refused_with_its_reason() {
    let sender = Sender::start(5);
    let mut bytes = Vec::new();
    sender.tracker.state().encode(&mut bytes);
    for len in 0..bytes.len() {
        assert_eq!(
            TrackerState::decode(&bytes[..len]),
            Err(StateError::TooShort),
            "{len}"
        );
    }
    let with = |at: usize, octet: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = octet;
        TrackerState::decode(&bytes)
    };
    assert_eq!(with(0, 2), Err(StateError::Version { found: 2 }));
    assert_eq!(
        with(8 + 7, 1),
        Err(StateError::Invalid),
        "first above highest"
    );
    assert_eq!(
        with(16 + 6, 2),
        Err(StateError::Invalid),
        "highest beyond any call"
    );
    assert_eq!(
        with(8 + 14 * 8 + 4, 1),
        Err(StateError::Invalid),
        "jitter beyond its bound"
    );
}
