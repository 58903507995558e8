use super::*;
use crate::number::PayloadType;

struct World {
    table: SourceTable,
    codec: Codec,
    now: MonoTime,
}

impl World {
    fn new() -> Self {
        let codec = Codec::from_static(PayloadType::from_octet(0)).unwrap();
        Self {
            table: SourceTable::new(),
            codec,
            now: MonoTime::ZERO,
        }
    }

    /// `ms` later, a packet.
    fn send(&mut self, ms: u64, ssrc: u32, sequence: u16) -> Observed {
        self.now.0 += ms * 1_000_000;
        let bytes = rtp(ssrc, sequence);
        let packet = RtpPacket::parse(&bytes).unwrap();
        self.table.observe(self.now, &packet, &self.codec)
    }

    fn current(&self) -> u32 {
        self.table.current().unwrap().ssrc().0
    }
}

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(u32::from(sequence).wrapping_mul(160).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes
}

#[test]
fn the_first_source_is_current_at_once() {
    let mut world = World::new();
    assert!(world.table.current().is_none());
    let observed = world.send(0, 7, 100);
    assert!(observed.appeared);
    assert_eq!(
        observed.current,
        Some(CurrentChange {
            from: None,
            to: Ssrc(7)
        })
    );
    assert!(matches!(observed.sequenced, Sequenced::Fresh { .. }));
    let observed = world.send(20, 7, 101);
    assert_eq!((observed.appeared, observed.current), (false, None));
}

#[test]
fn a_changed_ssrc_takes_over_when_the_old_one_has_stopped() {
    let mut world = World::new();
    for sequence in 0..50 {
        world.send(20, 7, sequence);
    }
    assert!(world.send(20, 8, 9_000).appeared);
    let changes: Vec<_> = (9_001..9_020)
        .filter_map(|sequence| world.send(20, 8, sequence).current)
        .collect();
    assert_eq!(
        changes,
        [CurrentChange {
            from: Some(Ssrc(7)),
            to: Ssrc(8)
        }]
    );
}

#[test]
fn bye_lets_the_next_one_take_over_at_its_second_packet() {
    let mut world = World::new();
    world.send(0, 7, 1);
    world.send(20, 7, 2);
    world.table.handle_bye(Ssrc(7));
    assert!(world.table.source(Ssrc(7)).unwrap().left());
    assert_eq!(world.send(20, 8, 1).current, None);
    assert!(world.send(20, 8, 2).current.is_some());
    world.send(20, 7, 3);
    assert!(
        !world.table.source(Ssrc(7)).unwrap().left(),
        "it has come back"
    );
}

#[test]
fn two_that_speak_at_once_stay_apart_and_the_first_stays_current() {
    let mut world = World::new();
    for sequence in 0..200 {
        assert_eq!(
            world
                .send(10, 7, sequence)
                .current
                .map(|change| change.to.0),
            match sequence {
                0 => Some(7),
                _ => None,
            }
        );
        assert_eq!(world.send(10, 8, 40_000 + sequence).current, None);
    }
    for ssrc in [7, 8] {
        let statistics = world.table.source(Ssrc(ssrc)).unwrap().statistics();
        assert_eq!((statistics.received, statistics.lost), (200, 0));
    }
    assert_eq!(world.table.totals().received, 400);
}

#[test]
fn a_stray_with_a_damaged_ssrc_is_never_current() {
    let mut world = World::new();
    world.send(0, 7, 1);
    world.send(20, 7, 2);
    world.send(5_000, 8, 77);
    assert_eq!(world.current(), 7);
    assert!(!world.table.source(Ssrc(8)).unwrap().confirmed());
    // A stream that begins with a stray is freed of it.
    let mut world = World::new();
    world.send(0, 99, 500);
    world.send(1, 7, 1);
    assert!(world.send(20, 7, 2).current.is_some());
}

#[test]
fn a_flood_of_ssrcs_costs_no_room_and_never_the_current_one() {
    let mut world = World::new();
    world.send(0, 7, 1);
    world.send(20, 7, 2);
    world.send(1, 8, 1);
    world.send(1, 8, 2);
    let mut evicted = 0;
    for ssrc in 1_000..6_000 {
        evicted += u32::from(world.send(0, ssrc, 1).evicted.is_some());
    }
    assert_eq!(evicted, 5_002 - limits::SOURCES_MAX as u32);
    assert_eq!(world.table.iter().count(), limits::SOURCES_MAX);
    assert_eq!(world.current(), 7);
    assert!(
        world.table.source(Ssrc(8)).is_some(),
        "confirmed ones outlast strays"
    );
    assert_eq!(
        world.table.totals().received,
        5_004,
        "who is gone still counts"
    );
    assert!(matches!(
        world.send(20, 7, 3).sequenced,
        Sequenced::Fresh { .. }
    ));
}

#[test]
fn when_all_are_confirmed_the_oldest_makes_room() {
    let mut world = World::new();
    for ssrc in 0..limits::SOURCES_MAX as u32 {
        world.send(20, ssrc, 1);
        world.send(20, ssrc, 2);
    }
    world.send(0, 0, 3);
    let current = world.current();
    let evicted = world.send(20, 100, 1).evicted.unwrap();
    assert_eq!(evicted, Ssrc(1));
    assert_eq!(world.current(), current);
}

#[test]
fn stored_tables_go_on_where_they_stopped() {
    let mut world = World::new();
    for sequence in 0..300 {
        world.send(10, 7, sequence);
        world.send(10, 8, sequence * 2);
    }
    world.table.handle_bye(Ssrc(8));
    let mut bytes = Vec::new();
    world.table.encode(&mut bytes);
    let mut restored = SourceTable::decode(world.now, &bytes).unwrap();
    assert_eq!(restored.totals(), world.table.totals());
    assert_eq!(restored.current().unwrap().ssrc(), Ssrc(7));
    assert!(restored.source(Ssrc(8)).unwrap().left());
    let bytes_of = rtp(7, 299);
    let packet = RtpPacket::parse(&bytes_of).unwrap();
    let observed = restored.observe(world.now, &packet, &world.codec);
    assert!(matches!(observed.sequenced, Sequenced::Duplicate { .. }));
    for len in 0..bytes.len() {
        assert!(
            SourceTable::decode(world.now, &bytes[..len]).is_err(),
            "{len}"
        );
    }
    bytes[1] = 9;
    assert_eq!(
        SourceTable::decode(world.now, &bytes).map(|_| ()),
        Err(StateError::Invalid)
    );
    bytes[0] = 2;
    let newer = SourceTable::decode(world.now, &bytes).map(|_| ());
    assert_eq!(newer, Err(StateError::Version { found: 2 }));
}

#[test]
fn an_empty_table_is_stored_too() {
    let mut bytes = Vec::new();
    SourceTable::new().encode(&mut bytes);
    assert!(
        SourceTable::decode(MonoTime::ZERO, &bytes)
            .unwrap()
            .current()
            .is_none()
    );
}
