//! Packets that the journal has and a ring may offer again.
//!
//! A packet is told from every other by its port, the kernel's time of arrival, its length, the head of
//! what it carries (sequence number, timestamp and source of RTP) and the checksum of the rest. What is
//! the same in all of that is counted: as many as the journal has are dropped, so which of them they
//! are makes no difference. What tells packets apart is in the journal's record anyway, so nothing has
//! to be written for it, and a hole in the journal is filled again from the ring.

use std::collections::HashMap;

use holdfast_journal::RecordRef;
use holdfast_shard::records;
use holdfast_units::WallTime;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct KnownPackets {
    /// First port of the slice when they were written.
    first_port: u16,
    count_by_packet: HashMap<Packet, u32>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Packet {
    arrival: WallTime,
    /// The even port of its pair.
    port: u16,
    size: u32,
    head: [u8; HEAD_SIZE],
    checksum: u32,
}

/// The fixed header of RTP (RFC 3550 section 5.1).
const HEAD_SIZE: usize = 12;

impl KnownPackets {
    /// For records of a shard whose slice begins there.
    pub fn new(first_port: u16) -> Self {
        Self {
            first_port,
            count_by_packet: HashMap::new(),
        }
    }

    /// Remembers a record, where it is that of a packet.
    pub fn insert(&mut self, record: &RecordRef<'_>) {
        if matches!(record.kind, records::RTP | records::RTCP) {
            let port = self.first_port.wrapping_add(record.source.wrapping_mul(2));
            let packet = Packet::new(port, record.arrival, record.payload);
            *self.count_by_packet.entry(packet).or_default() += 1;
        }
    }

    /// Whether the journal has a packet, which is counted off.
    pub fn take(&mut self, port: u16, arrival: WallTime, payload: &[u8]) -> bool {
        if self.count_by_packet.is_empty() {
            return false;
        }
        let Some(count) = self
            .count_by_packet
            .get_mut(&Packet::new(port, arrival, payload))
            .filter(|count| **count > 0)
        else {
            return false;
        };
        *count -= 1;
        true
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count_by_packet.is_empty()
    }

    /// How many different ones there are.
    pub fn len(&self) -> usize {
        self.count_by_packet.len()
    }
}

impl Packet {
    fn new(port: u16, arrival: WallTime, payload: &[u8]) -> Self {
        let mut head = [0; HEAD_SIZE];
        let size = payload.len().min(HEAD_SIZE);
        head[..size].copy_from_slice(&payload[..size]);
        Self {
            arrival,
            port: port & !1,
            // A datagram has no more than 65,535 octets.
            size: payload.len() as u32,
            head,
            checksum: crc32c::crc32c(payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_journal::Lsn;
    use holdfast_units::StreamId;

    use super::*;

    fn record(kind: u8, pair: u16, arrival: u64, payload: &[u8]) -> RecordRef<'_> {
        RecordRef {
            lsn: Lsn(1),
            kind,
            flags: 0,
            source: pair,
            stream: StreamId(1),
            arrival: WallTime(arrival),
            payload,
        }
    }

    #[test]
    fn as_many_as_the_journal_has_are_known_and_no_more() {
        let mut known = KnownPackets::new(10_000);
        for _ in 0..2 {
            known.insert(&record(records::RTP, 3, 7, b"the same"));
        }
        known.insert(&record(records::RTCP, 3, 7, b"a report"));
        assert_eq!(known.len(), 2);
        let mut take = |port, payload: &[u8]| known.take(port, WallTime(7), payload);
        assert!(take(10_006, b"the same") && take(10_006, b"the same"));
        assert!(!take(10_006, b"the same"), "the third is new");
        assert!(take(10_007, b"a report"));
    }

    #[test]
    fn whatever_differs_is_another_packet() {
        let mut known = KnownPackets::new(10_000);
        let payload = [5; 172];
        known.insert(&record(records::RTP, 0, 7, &payload));
        known.insert(&record(records::DROPS, 0, 8, &payload));
        let mut head = payload;
        head[3] ^= 1;
        let mut tail = payload;
        tail[171] ^= 1;
        for (port, arrival, payload) in [
            (10_002, 7, &payload[..]),
            (10_000, 6, &payload),
            (10_000, 8, &payload),
            (10_000, 7, &payload[..171]),
            (10_000, 7, &head),
            (10_000, 7, &tail),
            (10_000, 7, &[]),
        ] {
            assert!(
                !known.take(port, WallTime(arrival), payload),
                "{port} {arrival}"
            );
        }
        assert!(known.take(10_000, WallTime(7), &payload));
    }
}
