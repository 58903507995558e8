use super::*;
use crate::number::RtpTimestamp;

fn at(ticks: u32) -> ExtTimestamp {
    ExtTimestamp::first(RtpTimestamp(ticks))
}

fn payload(event: u8, end: bool, duration: u16) -> [u8; 4] {
    let [high, low] = duration.to_be_bytes();
    [event, if end { 0x80 | 10 } else { 10 }, high, low]
}

/// One key: updates each 160 ticks, then its end three times. As (start, marker, payload).
fn key(event: u8, start: u32, updates: u16) -> Vec<(u32, bool, [u8; 4])> {
    let ongoing = (1..=updates).map(|n| (start, n == 1, payload(event, false, n * 160)));
    let end = (start, false, payload(event, true, (updates + 1) * 160));
    ongoing.chain([end; 3]).collect()
}

fn receive(receiver: &mut EventReceiver, packets: &[(u32, bool, [u8; 4])]) -> Vec<Digit> {
    let feed = |(start, marker, payload): &(u32, bool, [u8; 4])| {
        receiver.handle_packet(at(*start), *marker, payload)
    };
    packets.iter().flat_map(feed).collect()
}

fn symbols(digits: &[Digit]) -> String {
    digits.iter().filter_map(Digit::symbol).collect()
}

fn receiver() -> EventReceiver {
    EventReceiver::new(ClockRate::TELEPHONY)
}

#[test]
fn a_key_is_one_digit_with_the_duration_of_its_last_packet() {
    let mut receiver = receiver();
    let digits = receive(&mut receiver, &key(5, 1_000, 9));
    assert_eq!(
        digits,
        [Digit {
            event: 5,
            start: at(1_000),
            duration: 1_600,
            ended: true
        }]
    );
    assert_eq!(receiver.flush(), None);
}

#[test]
fn digits_122_hash_with_first_and_end_packets_lost() {
    let mut packets = key(1, 1_000, 9);
    packets.extend(key(2, 4_000, 9).into_iter().skip(1));
    packets.extend(key(2, 7_000, 9).into_iter().take(9));
    packets.extend(
        key(11, 10_000, 9)
            .into_iter()
            .filter(|packet| packet.2[1] & 0x80 != 0)
            .skip(2),
    );
    let digits = receive(&mut receiver(), &packets);
    assert_eq!(symbols(&digits), "122#");
    let ended: Vec<bool> = digits.iter().map(|digit| digit.ended).collect();
    assert_eq!(ended, [true, true, false, true]);
    let durations: Vec<u64> = digits.iter().map(|digit| digit.duration).collect();
    assert_eq!(durations, [1_600, 1_600, 1_440, 1_600]);
}

#[test]
fn any_order_and_repetition_gives_each_digit_once() {
    let mut random = crate::fuzz::XorShift::new(4_733);
    for round in 0..300 {
        let mut packets = Vec::new();
        for (index, event) in [1, 2, 2, 11].into_iter().enumerate() {
            packets.extend(key(event, 1_000 + 3_000 * index as u32, 9));
        }
        for index in 1..packets.len() {
            let other = index - random.below(index.min(4) as u64 + 1) as usize;
            packets.swap(index, other);
            if random.below(10) == 0 {
                packets.insert(index, packets[other]);
            }
        }
        let mut receiver = receiver();
        let mut digits = receive(&mut receiver, &packets);
        digits.extend(receiver.flush());
        digits.sort_by_key(|digit| digit.start);
        assert_eq!(symbols(&digits), "122#", "round {round}");
    }
}

#[test]
fn a_lost_end_is_replaced_by_three_missing_updates() {
    let mut receiver = receiver();
    let packets = key(9, 0, 5);
    assert_eq!(receive(&mut receiver, &packets[..5]), []);
    // The default interval, 50 ms, holds until the packets show a longer one.
    assert_eq!(receiver.handle_progress(at(5 * 160 + 1_199)), None);
    let digit = receiver.handle_progress(at(5 * 160 + 1_200)).unwrap();
    assert_eq!((digit.event, digit.duration, digit.ended), (9, 800, false));
    assert_eq!(
        receive(&mut receiver, &packets),
        [],
        "it was counted already"
    );
}

#[test]
fn twelve_seconds_in_two_segments_are_one_event() {
    let mut packets = Vec::new();
    for duration in (400..0xffff_u32).step_by(400).chain([0xffff]) {
        packets.push((1_000, duration == 400, payload(7, false, duration as u16)));
    }
    let second = 1_000 + 0xffff;
    for duration in (400..=30_400).step_by(400) {
        packets.push((second, false, payload(7, duration == 30_400, duration)));
    }
    packets.extend([(second, false, payload(7, true, 30_400)); 2]);
    // A straggler of the first segment.
    packets.push((1_000, false, payload(7, false, 800)));
    let expected = Digit {
        event: 7,
        start: at(1_000),
        duration: 0xffff + 30_400,
        ended: true,
    };
    assert_eq!(receive(&mut receiver(), &packets), [expected]);
    // The last packet of the first segment may be lost.
    packets.remove(163);
    assert_eq!(receive(&mut receiver(), &packets), [expected]);
}

#[test]
fn a_marked_event_right_after_another_is_its_own() {
    let mut packets = key(3, 0, 9);
    packets.truncate(9);
    packets.extend(key(3, 9 * 160, 9));
    let digits = receive(&mut receiver(), &packets);
    assert_eq!(symbols(&digits), "33");
}

#[test]
fn several_events_in_one_packet_follow_each_other() {
    let blocks = [
        payload(1, true, 800),
        payload(2, true, 400),
        payload(3, false, 160),
    ]
    .concat();
    let mut receiver = receiver();
    let digits: Vec<Digit> = receiver.handle_packet(at(0), true, &blocks).collect();
    assert_eq!(symbols(&digits), "12");
    assert_eq!(digits[1].start, at(800));
    let last = receiver.flush().unwrap();
    assert_eq!((last.event, last.start), (3, at(1_200)));
}

#[test]
fn a_duration_of_zero_says_nothing_unless_it_is_a_state() {
    let mut receiver = receiver();
    assert_eq!(
        receive(&mut receiver, &[(0, true, payload(1, true, 0))]),
        []
    );
    assert_eq!(receiver.flush(), None);
    let states = receive(&mut receiver, &[(0, true, payload(150, true, 0))]);
    assert_eq!(states.len(), 1);
    assert_eq!(states[0].symbol(), None);
}

#[test]
fn a_whole_event_that_arrives_after_the_next_one_is_not_lost() {
    let mut packets = key(2, 3_000, 3);
    packets.truncate(3);
    packets.push((0, false, payload(1, true, 800)));
    packets.push((0, false, payload(1, true, 800)));
    let mut receiver = receiver();
    let digits = receive(&mut receiver, &packets);
    assert_eq!(symbols(&digits), "1");
    assert_eq!(receiver.flush().and_then(|digit| digit.symbol()), Some('2'));
}

#[test]
fn truncated_blocks_are_ignored() {
    let mut receiver = receiver();
    for len in 0..4 {
        let short = &payload(1, true, 800)[..len];
        assert_eq!(receiver.handle_packet(at(0), true, short).count(), 0);
    }
    assert_eq!(receiver.flush(), None);
}

#[test]
fn symbols_of_the_keypad() {
    let all: String = (0..=17)
        .filter_map(|event| {
            Digit {
                event,
                start: at(0),
                duration: 1,
                ended: true,
            }
            .symbol()
        })
        .collect();
    assert_eq!(all, "0123456789*#ABCD");
}
