//! What a leg sends: slots of 20 ms, and what becomes of the packet of each.
//!
//! The sender walks the plan and the checker walks the same plan, so that both always mean the same
//! packets. Nothing here knows the time or a socket.

use std::ops::Range;
use std::time::Duration;

use super::habits::KeyPress;
use crate::invite::{Codec, EVENT_PAYLOAD_TYPE};
use crate::pattern::{self, LegKey, PACKET_SAMPLES, StreamStart};

/// What one leg sends from its first packet to its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegPlan {
    /// Which leg; decides every octet.
    pub key: LegKey,
    /// Codec, that is payload type and silence.
    pub codec: Codec,
    /// Slots of 20 ms from the first packet to the last, both included.
    pub slots: u32,
    /// Slots in which the sender is silent, in order: no packet, no sequence number, the timestamp goes on.
    pub unsent: Vec<Range<u32>>,
    /// Keys that the party presses, in order.
    pub keys: Vec<KeyPress>,
    /// Slots whose packets are sent while recording is paused, in order: they must not be in the recording.
    pub withheld: Vec<Range<u32>>,
    /// What the sender does to its own packets.
    pub impairment: Impairment,
}

/// Damage done on purpose by the sender, its rates in packets per million. Each packet's fate is a function
/// of its leg, its slot and the seed, so the checker knows it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Impairment {
    /// Packets that are never sent.
    pub loss_ppm: u32,
    /// Packets that are sent twice in a row.
    pub duplicate_ppm: u32,
    /// Packets that are sent after their successor.
    pub reorder_ppm: u32,
    /// How late a packet leaves at most. It never overtakes another one by that.
    pub jitter_max: Duration,
    /// Another seed, other victims.
    pub seed: u64,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Sent once in its slot.
    Send,
    /// Never sent, though it has a sequence number.
    Lose,
    /// Sent twice in its slot.
    Duplicate,
    /// Sent in the next packet's slot, after that packet.
    Delay,
    /// There is no packet: silence.
    Silence,
}

/// One datagram to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its slot, which decides payload and timestamp. The repetitions of a key's final packet have that
    /// of the first of them.
    pub slot: u32,
    /// Packets before it in sequence.
    pub sequence: u32,
    /// First packet of a talk spurt (RFC 3551 section 4.1).
    pub marker: bool,
}

/// The totals of a plan, as a perfect recorder counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Different packets sent.
    pub packets: u64,
    /// Sequence numbers never sent.
    pub lost: u64,
    /// Packets sent a second time.
    pub duplicate: u64,
    /// Packets sent after one with a higher sequence number.
    pub late: u64,
}

/// Where a walk stands; apart from the plan, so that a sender can own both.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    slot: u32,
    sequence: u32,
    was_silent: bool,
    held: Option<Packet>,
}

/// What one slot sends, in order.
pub(super) type Burst = [Option<Packet>; 4];

impl LegPlan {
    /// An unbroken, undamaged leg.
    pub fn plain(key: LegKey, codec: Codec, slots: u32) -> Self {
        let (unsent, withheld) = (Vec::new(), Vec::new());
        Self {
            key,
            codec,
            slots,
            unsent,
            keys: Vec::new(),
            withheld,
            impairment: Impairment::default(),
        }
    }

    /// What becomes of the packet of a slot. The first packets, by which a recorder learns the
    /// source, the last, whose loss nobody could notice, and those of keys are always sent.
    pub fn fate(&self, slot: u32) -> Fate {
        if slot >= self.slots || contains(&self.unsent, slot) {
            return Fate::Silence;
        }
        if slot < UNHARMED || slot + 1 >= self.slots || self.key_at(slot).is_some() {
            return Fate::Send;
        }
        let Impairment {
            loss_ppm,
            duplicate_ppm,
            reorder_ppm,
            seed,
            ..
        } = self.impairment;
        let dice = pattern::dice(self.key, slot, seed);
        if dice < loss_ppm {
            Fate::Lose
        } else if dice < loss_ppm + duplicate_ppm {
            Fate::Duplicate
        } else if dice < loss_ppm + duplicate_ppm + reorder_ppm {
            Fate::Delay
        } else {
            Fate::Send
        }
    }

    /// How long after its time the packet of a slot leaves, where none before it is later still.
    pub fn delay(&self, slot: u32) -> Duration {
        let part = pattern::dice(self.key, slot, self.impairment.seed ^ JITTER);
        self.impairment.jitter_max * part / 1_000_000
    }

    /// Whether the recording must hold the packet of a slot.
    pub fn is_audible(&self, slot: u32) -> bool {
        !matches!(self.fate(slot), Fate::Lose | Fate::Silence)
            && !contains(&self.withheld, slot)
            && self.key_at(slot).is_none()
    }

    /// The key that is held in a slot.
    fn key_at(&self, slot: u32) -> Option<&KeyPress> {
        let next = self.keys.partition_point(|key| key.span().end <= slot);
        self.keys.get(next).filter(|key| key.span().contains(&slot))
    }

    /// The key whose final packet comes again in a slot.
    fn key_again_at(&self, slot: u32) -> Option<&KeyPress> {
        let next = self.keys.partition_point(|key| key.repeats().end <= slot);
        self.keys
            .get(next)
            .filter(|key| key.repeats().contains(&slot))
    }

    /// All packets in the order in which they are sent.
    pub fn walk(&self) -> impl Iterator<Item = Packet> {
        let mut cursor = Cursor::default();
        std::iter::from_fn(move || cursor.next(self))
            .flatten()
            .flatten()
    }

    /// The totals.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        let mut highest: Option<u32> = None;
        let mut previous = None;
        for packet in self.walk() {
            counts.datagrams += 1;
            if previous == Some(packet.sequence) {
                counts.duplicate += 1;
                continue;
            }
            previous = Some(packet.sequence);
            counts.packets += 1;
            if highest.is_some_and(|highest| packet.sequence < highest) {
                counts.late += 1;
            }
            highest = highest.max(Some(packet.sequence));
        }
        counts.lost = (0..self.slots)
            .filter(|&slot| self.fate(slot) == Fate::Lose)
            .count() as u64;
        counts
    }

    /// Writes the RTP packet (RFC 3550 section 5.1) into `datagram` and returns its length: audio, or the
    /// telephone-event of the key that is held in its slot.
    pub fn write(
        &self,
        start: StreamStart,
        packet: Packet,
        datagram: &mut [u8; DATAGRAM],
    ) -> usize {
        let key = self.key_at(packet.slot);
        let marker = if packet.marker { 0x80 } else { 0 };
        let sequence = start.sequence.wrapping_add(packet.sequence as u16);
        // All packets of one event have the time of its beginning (RFC 4733 section 2.2).
        let slot = key.map_or(packet.slot, |key| key.from);
        let elapsed = slot.wrapping_mul(PACKET_SAMPLES as u32);
        let payload_type = key.map_or(self.codec.payload_type(), |_| EVENT_PAYLOAD_TYPE);
        datagram[0] = 0x80;
        datagram[1] = marker | payload_type;
        datagram[2..4].copy_from_slice(&sequence.to_be_bytes());
        datagram[4..8].copy_from_slice(&start.timestamp.wrapping_add(elapsed).to_be_bytes());
        datagram[8..HEADER].copy_from_slice(&start.ssrc.to_be_bytes());
        if let Some(key) = key {
            let payload = key.payload(packet.slot);
            datagram[HEADER..HEADER + payload.len()].copy_from_slice(&payload);
            return HEADER + payload.len();
        }
        let length = HEADER + self.codec.octets();
        let parts = datagram[HEADER..length].chunks_exact_mut(PACKET_SAMPLES);
        for (part, index) in parts.zip([packet.slot, packet.slot | SECOND]) {
            part.copy_from_slice(&pattern::payload(self.key, index));
        }
        length
    }
}

impl Cursor {
    /// What the next slot sends; `None` behind the last slot.
    pub(super) fn next(&mut self, plan: &LegPlan) -> Option<Burst> {
        let slot = self.slot;
        if slot >= plan.slots {
            return None;
        }
        self.slot += 1;
        let fate = plan.fate(slot);
        let overtaken = self.held.take();
        if fate == Fate::Silence {
            self.was_silent = true;
            return Some([overtaken, None, None, self.again(plan, slot)]);
        }
        let begins_key = plan.key_at(slot).is_some_and(|key| key.from == slot);
        let marker = std::mem::take(&mut self.was_silent) || slot == 0 || begins_key;
        let packet = self.number(slot, marker);
        let again = self.again(plan, slot);
        Some(match fate {
            Fate::Send => [Some(packet), overtaken, None, again],
            Fate::Duplicate => [Some(packet), Some(packet), overtaken, again],
            Fate::Delay => {
                self.held = Some(packet);
                [overtaken, None, None, again]
            }
            Fate::Lose | Fate::Silence => [overtaken, None, None, again],
        })
    }

    /// The final packet of a key once more, where that is due: of the key's last slot, under a number of
    /// its own.
    fn again(&mut self, plan: &LegPlan, slot: u32) -> Option<Packet> {
        let key = plan.key_again_at(slot)?;
        Some(self.number(key.span().end - 1, false))
    }

    /// The next packet in sequence.
    const fn number(&mut self, slot: u32, marker: bool) -> Packet {
        let sequence = self.sequence;
        self.sequence += 1;
        Packet {
            slot,
            sequence,
            marker,
        }
    }
}

/// Whether one of these ranges, which are in order, has the slot in it.
fn contains(ranges: &[Range<u32>], slot: u32) -> bool {
    let next = ranges.partition_point(|range| range.end <= slot);
    ranges.get(next).is_some_and(|range| range.contains(&slot))
}

/// Octets of the fixed header (RFC 3550 section 5.1).
const HEADER: usize = 12;

/// Octets of the longest datagram: fixed header and audio.
pub const DATAGRAM: usize = HEADER + 2 * PACKET_SAMPLES;

/// In a slot's number: the second half of a payload of twice the size. No leg has so many slots.
const SECOND: u32 = 1 << 31;

/// Makes other dice of a seed than those that decide on a packet's fate.
const JITTER: u64 = 0x6a69_7474_6572;

/// Leading packets that are never damaged.
const UNHARMED: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(impairment: Impairment) -> LegPlan {
        let key = LegKey { call: 9, leg: 1 };
        LegPlan {
            impairment,
            ..LegPlan::plain(key, Codec::Pcmu, 3_000)
        }
    }

    fn sequences(plan: &LegPlan) -> Vec<u32> {
        plan.walk().map(|packet| packet.sequence).collect()
    }

    #[test]
    fn an_undamaged_leg_sends_each_packet_once_in_order() {
        let plan = plan(Impairment::default());
        assert_eq!(sequences(&plan), (0..3_000).collect::<Vec<_>>());
        let counts = Counts {
            datagrams: 3_000,
            packets: 3_000,
            ..Counts::default()
        };
        assert_eq!(plan.counts(), counts);
    }

    #[test]
    fn damage_is_what_the_order_of_sending_shows() {
        let plan = plan(Impairment {
            loss_ppm: 50_000,
            duplicate_ppm: 50_000,
            reorder_ppm: 50_000,
            seed: 4,
            ..Impairment::default()
        });
        let sent = sequences(&plan);
        let counts = plan.counts();
        let mut distinct = sent.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(counts.datagrams, sent.len() as u64);
        assert_eq!(counts.packets, distinct.len() as u64);
        assert_eq!(counts.lost, 3_000 - counts.packets);
        assert_eq!(counts.duplicate, counts.datagrams - counts.packets);
        for count in [counts.lost, counts.duplicate, counts.late] {
            assert!((90..220).contains(&count), "{counts:?}");
        }
        assert_eq!(sent[..4], [0, 1, 2, 3]);
        assert_eq!(sent.last(), Some(&2_999));
        assert_eq!(sequences(&plan), sent, "the same every time");
    }

    #[test]
    fn jitter_is_spread_over_its_width_and_is_none_where_none_is_wanted() {
        let wanted = Duration::from_millis(60);
        let plan = plan(Impairment {
            jitter_max: wanted,
            ..Impairment::default()
        });
        let delays: Vec<_> = (0..3_000).map(|slot| plan.delay(slot)).collect();
        assert!(delays.iter().all(|&delay| delay < wanted));
        let early = delays.iter().filter(|&&delay| delay < wanted / 2).count();
        assert!((1_350..1_650).contains(&early), "{early}");
        let plain = LegPlan::plain(plan.key, Codec::Pcmu, 100);
        assert_eq!(plain.delay(7), Duration::ZERO);
    }

    #[test]
    fn silence_takes_no_sequence_number_and_the_next_packet_is_marked() {
        let plan = LegPlan {
            unsent: vec![10..20, 25..26],
            ..plan(Impairment::default())
        };
        let packets: Vec<_> = plan.walk().collect();
        assert_eq!(packets.len(), 2_989);
        assert_eq!(
            packets[10],
            Packet {
                slot: 20,
                sequence: 10,
                marker: true
            }
        );
        let marked: Vec<_> = packets
            .iter()
            .filter(|p| p.marker)
            .map(|p| p.slot)
            .collect();
        assert_eq!(marked, [0, 20, 26]);
        assert_eq!(plan.counts().lost, 0);
        assert!(!plan.is_audible(15) && plan.is_audible(20));
    }

    #[test]
    fn a_packet_carries_what_its_slot_says() {
        let start = StreamStart {
            ssrc: 0x01020304,
            sequence: 0xffff,
            timestamp: 0xffff_ff60,
        };
        let packet = Packet {
            slot: 2,
            sequence: 1,
            marker: true,
        };
        for (codec, payload_type, octets) in [
            (Codec::Pcmu, 0, 160),
            (Codec::Pcma, 8, 160),
            (Codec::G722, 9, 160),
            (Codec::L16, 96, 320),
        ] {
            let plan = LegPlan {
                codec,
                ..plan(Impairment::default())
            };
            let mut datagram = [0; DATAGRAM];
            let length = plan.write(start, packet, &mut datagram);
            assert_eq!(length, 12 + octets, "{codec:?}");
            let head = [0x80, 0x80 | payload_type, 0, 0, 0, 0, 0, 160, 1, 2, 3, 4];
            assert_eq!(datagram[..12], head);
            assert_eq!(datagram[12..172], pattern::payload(plan.key, 2));
            if octets > 160 {
                assert_ne!(
                    datagram[172..],
                    datagram[12..172],
                    "two halves, not one twice"
                );
            }
            assert_eq!(datagram[length..], [0; DATAGRAM][length..]);
        }
    }

    #[test]
    fn a_key_takes_the_place_of_audio_and_its_end_is_sent_three_times() {
        let key = KeyPress {
            event: 5,
            from: 10,
            slots: 3,
        };
        let plan = LegPlan {
            keys: vec![key],
            ..plan(Impairment::default())
        };
        let start = pattern::stream_start(plan.key);
        let mut datagram = [0; DATAGRAM];
        let mut events = Vec::new();
        for packet in plan.walk() {
            let length = plan.write(start, packet, &mut datagram);
            if datagram[1] & 0x7f == EVENT_PAYLOAD_TYPE {
                assert_eq!(length, HEADER + 4);
                let time = u32::from_be_bytes([datagram[4], datagram[5], datagram[6], datagram[7]]);
                assert_eq!(time.wrapping_sub(start.timestamp), 10 * 160);
                let held = u16::from_be_bytes([datagram[14], datagram[15]]);
                let (marker, is_end) = (datagram[1] & 0x80 != 0, datagram[13] & 0x80 != 0);
                events.push((packet.sequence, marker, is_end, held));
            }
        }
        let expected = [
            (10, true, false, 160),
            (11, false, false, 320),
            (12, false, true, 480),
            (14, false, true, 480),
            (16, false, true, 480),
        ];
        assert_eq!(events, expected);
        let heard: Vec<_> = (8..15).filter(|&slot| plan.is_audible(slot)).collect();
        assert_eq!(heard, [8, 9, 13, 14]);
        assert_eq!(plan.counts().packets, 3_002);
    }
}
