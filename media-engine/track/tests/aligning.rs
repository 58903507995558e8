//! Tracks of one clock lie as their sender reports say; all others where they arrived.

mod support;

use holdfast_manifest::{Aligned, GapCause, SharedClock};
use holdfast_rtp::NtpTime;
use holdfast_track::Kind;
use holdfast_units::WallTime;
use support::*;

/// A report of the usual source, and how it names itself.
struct Clock {
    /// What it says is the time when packet 0 was made, in milliseconds after the start.
    ntp_ms: i64,
    cname: &'static str,
}

impl Clock {
    /// A compound for the moment of packet `number`, arriving at `ms`.
    fn report(&self, track: &mut Track, ms: u64, number: u32) {
        let nanos = (self.ntp_ms + i64::from(number) * 20) * 1_000_000;
        let ntp = NtpTime::from_wall(WallTime(STARTED.0.saturating_add_signed(nanos)));
        self.report_with(track, ms, number, ntp);
    }

    fn report_with(&self, track: &mut Track, ms: u64, number: u32, ntp: NtpTime) {
        let mut bytes = vec![0x80, 200, 0, 6];
        bytes.extend(SSRC.to_be_bytes());
        bytes.extend(ntp.0.to_be_bytes());
        bytes.extend((FIRST_TS + number * 160).to_be_bytes());
        bytes.extend([0; 8]);
        if !self.cname.is_empty() {
            let mut chunk = SSRC.to_be_bytes().to_vec();
            chunk.extend([1, self.cname.len() as u8]);
            chunk.extend(self.cname.as_bytes());
            chunk.push(0);
            chunk.resize(chunk.len().next_multiple_of(4), 0);
            bytes.extend([0x81, 202, 0, (chunk.len() / 4) as u8]);
            bytes.extend(chunk);
        }
        track.record(Kind::Rtcp, 1, ms, &bytes);
    }
}

/// 50 packets, the first of which arrives at `ms`, with reports of that clock.
fn track(ms: u64, clock: &Clock) -> Track {
    let mut track = Track::new();
    for number in 0..50 {
        let now = ms + u64::from(number) * 20;
        track.voice(now, number);
        if number % 10 == 3 {
            clock.report(&mut track, now, number);
        }
    }
    track
}

fn both(first: &Track, second: &Track) -> Rendered {
    rendered(2_000, &[(Some(0), first), (Some(1), second)])
}

fn aligned(rendered: &Rendered) -> [Option<(SharedClock, i64)>; 2] {
    let of = |track: usize| rendered.report(track).aligned;
    [0, 1].map(|track| of(track).map(|Aligned { by, shift_ms }| (by, shift_ms)))
}

/// Milliseconds at which the first packet lies in each channel.
fn begins(rendered: &Rendered) -> [usize; 2] {
    [0, 1].map(|channel| {
        let samples = rendered.channel(channel);
        let mut windows = samples.windows(160);
        windows.position(|it| it == pattern(0)).expect("packet 0") / 8
    })
}

#[test]
fn a_stream_that_came_later_than_its_clock_says_is_moved_back() {
    let first = track(
        200,
        &Clock {
            ntp_ms: 150,
            cname: "one",
        },
    );
    let second = track(
        500,
        &Clock {
            ntp_ms: 150,
            cname: "one",
        },
    );
    let rendered = both(&first, &second);
    let by = SharedClock::Cname;
    assert_eq!(aligned(&rendered), [Some((by, 0)), Some((by, -300))]);
    assert_eq!(begins(&rendered), [200, 200]);
    let expected = [
        (0, 200, GapCause::NotStarted, 0),
        (1_200, 2_000, GapCause::Ended, 0),
    ];
    assert_eq!(rendered.causes(1), expected);
    let gap = &rendered.report(1).gaps[1];
    assert_eq!((gap.from, gap.to), (at(1_200), at(2_000)));
    // What began at the same time and was reported otherwise is moved as well.
    let second = track(
        200,
        &Clock {
            ntp_ms: -150,
            cname: "one",
        },
    );
    assert_eq!(
        begins(&both(&first, &second)),
        [300, 0],
        "the recording begins earlier"
    );
}

#[test]
fn a_clock_of_no_known_time_is_one_all_the_same_where_it_is_shared() {
    // Counted from when the sender was switched on.
    let ago = -3_600_000_000;
    let first = track(
        200,
        &Clock {
            ntp_ms: ago,
            cname: "one",
        },
    );
    let second = track(
        260,
        &Clock {
            ntp_ms: ago,
            cname: "one",
        },
    );
    assert_eq!(begins(&both(&first, &second)), [200, 200]);
}

#[test]
fn clocks_that_nothing_says_are_one_move_nobody() {
    let names = [("one", "two"), ("one", ""), ("", "")];
    let skews = [0, 0, 1_500];
    for ((one, two), skew) in names.into_iter().zip(skews) {
        let first = track(
            200,
            &Clock {
                ntp_ms: 200 + skew,
                cname: one,
            },
        );
        let second = track(
            500,
            &Clock {
                ntp_ms: 200,
                cname: two,
            },
        );
        let rendered = both(&first, &second);
        assert_eq!(aligned(&rendered), [None, None], "{one:?} {two:?}");
        assert_eq!(begins(&rendered), [200, 500]);
    }
}

#[test]
fn without_names_the_clock_of_one_host_is_believed_where_it_agrees_with_ours() {
    let first = track(
        200,
        &Clock {
            ntp_ms: 190,
            cname: "",
        },
    );
    let second = track(
        500,
        &Clock {
            ntp_ms: 200,
            cname: "",
        },
    );
    let rendered = both(&first, &second);
    let by = SharedClock::Host;
    assert_eq!(aligned(&rendered), [Some((by, 0)), Some((by, -290))]);
}

#[test]
fn clocks_that_cannot_be_true_move_nobody() {
    let right = Clock {
        ntp_ms: 200,
        cname: "one",
    };
    let first = track(200, &right);
    // More than a second away; no clock at all; one that was set in between; another media clock.
    let far = track(
        500,
        &Clock {
            ntp_ms: -5_000,
            cname: "one",
        },
    );
    let mut none = Track::new();
    let mut set = Track::new();
    let mut other = Track::new();
    for number in 0..50 {
        let now = 500 + u64::from(number) * 20;
        for track in [&mut none, &mut set, &mut other] {
            track.voice(now, number);
        }
        if number % 10 == 3 {
            right.report_with(&mut none, now, number, NtpTime(0));
            let ntp_ms = if number < 30 { 200 } else { 700 };
            Clock { ntp_ms, ..right }.report(&mut set, now, number);
            right.report(&mut other, now, number + 1_000);
        }
    }
    for second in [far, none, set, other] {
        let rendered = both(&first, &second);
        assert_eq!(aligned(&rendered), [None, None]);
        assert_eq!(begins(&rendered), [200, 500]);
    }
}

#[test]
fn a_report_before_the_first_packet_is_kept_for_it() {
    let first = track(
        200,
        &Clock {
            ntp_ms: 200,
            cname: "one",
        },
    );
    let mut second = Track::new();
    Clock {
        ntp_ms: 200,
        cname: "one",
    }
    .report(&mut second, 490, 0);
    for number in 0..50 {
        second.voice(500 + u64::from(number) * 20, number);
    }
    // Its name came before its first packet too.
    let rendered = both(&first, &second);
    assert_eq!(begins(&rendered), [200, 200]);
}

#[test]
fn tracks_that_share_a_channel_stay_where_they_arrived() {
    let clock = Clock {
        ntp_ms: 200,
        cname: "one",
    };
    let first = track(200, &clock);
    let second = track(
        1_250,
        &Clock {
            ntp_ms: 1_200,
            cname: "one",
        },
    );
    let third = track(240, &clock);
    let tracks = [(Some(0), &first), (Some(0), &second), (Some(1), &third)];
    let rendered = rendered(3_000, &tracks);
    assert!((0..3).all(|track| rendered.report(track).aligned.is_none()));
    assert_eq!(rendered.report(1).hidden_samples, 0);
}
