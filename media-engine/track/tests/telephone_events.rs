//! Keys become marks, once each, whatever is lost; the time they take is silence, not a gap.

mod support;

use holdfast_manifest::{GapCause, MarkKind};
use support::*;

/// A call in which keys are pressed: audio, then for each key packets every 20 ms and three ends.
struct Sender {
    track: Track,
    seq: u16,
    ts: u32,
    ms: u64,
    /// Packets by their place in the order of sending that are lost.
    lost: Vec<u32>,
    /// One that comes after the next.
    late: Option<u32>,
    held: Option<(u16, u32, u8, bool, Vec<u8>)>,
    sent: u32,
    spoken: Vec<u8>,
}

impl Sender {
    fn new(lost: &[u32]) -> Self {
        Self {
            track: Track::new(),
            seq: 65_530,
            ts: u32::MAX - 2_000,
            ms: 0,
            lost: lost.to_vec(),
            late: None,
            held: None,
            sent: 0,
            spoken: Vec::new(),
        }
    }

    fn send(&mut self, ts: u32, pt: u8, marker: bool, payload: &[u8]) {
        if self.late == Some(self.sent) {
            self.held = Some((self.seq, ts, pt, marker, payload.to_vec()));
        } else if !self.lost.contains(&self.sent) {
            self.arrive(self.seq, ts, pt, marker, payload);
            if let Some((seq, ts, pt, marker, payload)) = self.held.take() {
                self.arrive(seq, ts, pt, marker, &payload);
            }
        }
        self.sent += 1;
        self.seq = self.seq.wrapping_add(1);
    }

    fn arrive(&mut self, seq: u16, ts: u32, pt: u8, marker: bool, payload: &[u8]) {
        let rtp = Rtp {
            seq,
            ts,
            ssrc: SSRC,
            pt,
            marker,
            payload,
        };
        self.track.rtp(self.ms, rtp);
    }

    fn talk(&mut self, packets: u32) {
        for _ in 0..packets {
            let payload = pattern(self.sent);
            let lost = self.lost.contains(&self.sent);
            self.send(self.ts, PCMU, false, &payload);
            self.spoken.extend(if lost { silence(20) } else { payload });
            self.ts = self.ts.wrapping_add(160);
            self.ms += 20;
        }
    }

    /// 100 ms.
    fn press(&mut self, event: u8) {
        let start = self.hold(event);
        for _ in 0..3 {
            self.release(event, start);
        }
    }

    /// 100 ms, and 40 ms of audio beside which its end comes again.
    fn press_and_talk(&mut self, event: u8) {
        let start = self.hold(event);
        self.release(event, start);
        for _ in 0..2 {
            self.talk(1);
            self.release(event, start);
        }
    }

    fn hold(&mut self, event: u8) -> u32 {
        let start = self.ts;
        for step in 1..=5_u16 {
            let duration = (step * 160).to_be_bytes();
            self.ms += 20;
            self.ts = self.ts.wrapping_add(160);
            let payload = [event, 10, duration[0], duration[1]];
            self.send(start, 101, step == 1, &payload);
        }
        self.spoken.extend(silence(100));
        start
    }

    fn release(&mut self, event: u8, start: u32) {
        let duration = 800_u16.to_be_bytes();
        let payload = [event, 0x80 | 10, duration[0], duration[1]];
        self.send(start, 101, false, &payload);
    }
}

fn digits(rendered: &Rendered) -> String {
    let marks = rendered.marks(0).into_iter();
    let digit = |(_, kind)| match kind {
        MarkKind::TelephoneEvent { digit, .. } => Some(digit),
        _ => None,
    };
    marks.filter_map(digit).collect()
}

fn call(lost: &[u32]) -> (Sender, Rendered) {
    let mut sender = Sender::new(lost);
    sender.talk(10);
    for event in [1, 2, 2, 11] {
        sender.press(event);
        sender.talk(5);
    }
    let rendered = rendered_alone(sender.ms, &sender.track);
    (sender, rendered)
}

#[test]
fn keys_are_heard_once_and_leave_no_gap() {
    let (sender, rendered) = call(&[]);
    assert_eq!(digits(&rendered), "122#");
    let marks: Vec<_> = rendered.marks(0).into_iter().map(|(ms, _)| ms).collect();
    assert_eq!(marks, [200, 400, 600, 800]);
    let (_, first) = rendered.marks(0).swap_remove(0);
    assert_eq!(
        first,
        MarkKind::TelephoneEvent {
            digit: "1".into(),
            duration_ms: 100
        }
    );
    assert!(rendered.channel(0) == sender.spoken);
    assert_eq!(rendered.causes(0), []);
}

#[test]
fn keys_survive_any_two_lost_packets_in_a_row() {
    // The first packet of the call is what the timeline is anchored by.
    for first in 1..60 {
        let (sender, rendered) = call(&[first, first + 1]);
        assert_eq!(digits(&rendered), "122#", "lost {first} and the next");
        assert!(
            rendered.channel(0) == sender.spoken,
            "lost {first} and the next"
        );
        let expected = if first + 1 < sender.sent { 2 } else { 0 };
        assert_eq!(
            rendered.report(0).lost,
            expected,
            "lost {first} and the next"
        );
    }
}

/// Audio, a key, and audio again beside the last of its packets.
fn audio_beside_a_key(lost: &[u32], late: Option<u32>) -> (Sender, Rendered) {
    let mut sender = Sender::new(lost);
    sender.late = late;
    sender.talk(3);
    sender.press_and_talk(7);
    sender.talk(3);
    let rendered = rendered_alone(sender.ms, &sender.track);
    (sender, rendered)
}

/// Where each packet of audio is, by its place in the order of sending.
const AUDIO_BESIDE: [(u32, u64); 7] = [
    (1, 20),
    (2, 40),
    (9, 160),
    (11, 180),
    (13, 200),
    (14, 220),
    (15, 240),
];

#[test]
fn audio_lost_beside_a_key_is_a_loss_where_it_is_missing() {
    for (packet, ms) in &AUDIO_BESIDE[..6] {
        let (sender, rendered) = audio_beside_a_key(&[*packet], None);
        assert!(rendered.channel(0) == sender.spoken, "{packet}");
        let expected = [(*ms, ms + 20, GapCause::Loss, 1)];
        assert_eq!(rendered.causes(0), expected, "{packet}");
        assert_eq!(digits(&rendered), "7", "{packet}");
    }
    let (_, rendered) = audio_beside_a_key(&[9, 11], None);
    assert_eq!(rendered.causes(0), [(160, 200, GapCause::Loss, 2)]);
}

#[test]
fn what_comes_late_beside_a_key_leaves_no_gap() {
    for late in 1..15 {
        let (sender, rendered) = audio_beside_a_key(&[], Some(late));
        assert!(rendered.channel(0) == sender.spoken, "{late}");
        assert_eq!(rendered.causes(0), [], "{late}");
        assert_eq!(rendered.report(0).lost, 0, "{late}");
    }
}

#[test]
fn a_lost_packet_and_a_late_one_beside_a_key_are_told_apart() {
    for (packet, ms) in &AUDIO_BESIDE[..6] {
        for late in (1..15).filter(|late| late != packet) {
            let (sender, rendered) = audio_beside_a_key(&[*packet], Some(late));
            assert!(rendered.channel(0) == sender.spoken, "{packet}, {late}");
            let expected = [(*ms, ms + 20, GapCause::Loss, 1)];
            assert_eq!(rendered.causes(0), expected, "{packet}, {late}");
        }
    }
}

#[test]
fn a_key_whose_end_is_lost_ends_with_the_audio_that_follows() {
    let (sender, rendered) = call(&[15, 16, 17]);
    assert_eq!(digits(&rendered), "122#");
    assert!(rendered.channel(0) == sender.spoken);
}

#[test]
fn a_key_as_the_very_last_thing_is_not_lost() {
    let mut sender = Sender::new(&[15, 16, 17]);
    sender.talk(10);
    sender.press(9);
    let rendered = rendered_alone(sender.ms, &sender.track);
    assert_eq!(digits(&rendered), "9");
}
