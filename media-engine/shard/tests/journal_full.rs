//! The journal takes nothing for a while: what is lost is counted and marked, the rest is recorded.

mod world;

use std::net::SocketAddr;

use holdfast_control::{RefusalReason, Stream};
use holdfast_track::TrackMark;
use world::build::{
    PEER, control_source, ended, id, recording, sender_report, stream, with_streams,
};
use world::{Crash, MS, World};

fn new_world(seed: u64) -> World {
    let mut world = World::dark(seed);
    world.blocks = 2;
    world.start();
    world.connect(&[]);
    world
}

/// Sends until the journal is full; answers what it took and how many it did not.
fn fill(world: &mut World, one: &Stream, from: u16) -> (Vec<Vec<u8>>, u32) {
    let (mut taken, mut lost) = (Vec::new(), 0);
    for sequence in from..from + 3_000 {
        let before = world.shard().next_lsn();
        let packet = world.send(one, sequence);
        if world.shard().next_lsn() > before {
            taken.push(packet);
        } else {
            lost += 1;
        }
        world.pass(1 * MS);
        if sequence % 50 == 0 {
            world.tick(1 * MS);
        }
    }
    (taken, lost)
}

#[test]
fn drops_are_counted_and_marked_and_later_packets_are_recorded() {
    let mut world = new_world(100);
    let one = stream(1, 1, 0);
    let call = recording(1, 1, std::slice::from_ref(&one));
    world.desire(&call);
    world.run(200 * MS);
    world.faults.journal_stalls = true;
    let (mut taken, lost) = fill(&mut world, &one, 0);
    assert!(lost > 1_000, "{lost}");
    // New recordings are refused, and say why.
    world.desire(&recording(2, 1, &[stream(2, 1, 1)]));
    assert_eq!(world.refusals(id(2)), [(1, RefusalReason::Journal)]);
    assert!(!world.is_port_open(stream(2, 1, 1).rtp_port));
    world.run(1_100 * MS);
    assert!(world.statistics.journal_failing);
    assert_eq!(world.statistics.unwritten, u64::from(lost));
    world.faults.journal_stalls = false;
    world.run(1_500 * MS);
    assert!(!world.statistics.journal_failing);
    taken.extend(world.talk(&call.streams, 3_000..3_050).swap_remove(0));
    world.desire(&ended(&call, world.wall));
    world.run(1_000 * MS);
    let track = world.track(1, 1);
    assert_eq!(track.payloads(), taken);
    assert_eq!(world.dropped(one.id), lost);
    let marked: u64 = track
        .marks
        .iter()
        .filter_map(|mark| match mark {
            TrackMark::Dropped { packets, .. } => Some(*packets),
            _ => None,
        })
        .sum();
    assert_eq!(marked, u64::from(lost));
    assert_eq!(world.shard().unknown_records(), 0);
}

#[test]
fn losses_of_a_stream_that_ends_are_marked_in_it_and_in_no_other() {
    let mut world = new_world(101);
    let one = stream(1, 1, 0);
    let call = recording(1, 1, std::slice::from_ref(&one));
    world.desire(&call);
    world.run(200 * MS);
    world.faults.journal_stalls = true;
    let (_, lost) = fill(&mut world, &one, 0);
    // Everything is written at once, without a tick between it.
    world.faults.journal_stalls = false;
    world.work_all();
    world.tick(5 * MS);
    world.work_all();
    let none = with_streams(&call, &[]);
    world.desire(&none);
    let next = with_streams(&none, &[stream(2, 2, 0)]);
    world.desire(&next);
    world.send(&next.streams[0], 1);
    world.run(1_000 * MS);
    world.desire(&ended(&next, world.wall));
    world.run(1_000 * MS);
    assert_eq!(world.dropped(one.id), lost);
    assert_eq!(world.dropped(next.streams[0].id), 0);
    let track = world.track(1, 1);
    assert!(track.is_complete);
    let is_drop = |mark: &&TrackMark| matches!(mark, TrackMark::Dropped { .. });
    assert_eq!(track.marks.iter().filter(is_drop).count(), 1);
    assert_eq!(world.track(1, 2).marks.iter().filter(is_drop).count(), 0);
}

#[test]
fn a_sender_whose_address_was_not_written_is_introduced_later() {
    let mut world = new_world(102);
    let one = stream(1, 1, 0);
    let other = stream(2, 2, 1);
    let call = recording(1, 1, &[one.clone(), other.clone()]);
    world.desire(&call);
    world.run(200 * MS);
    world.faults.journal_stalls = true;
    fill(&mut world, &one, 0);
    // Of these neither the address nor the packet is taken.
    world.send(&other, 1);
    let report = sender_report(0x1002, 1);
    assert_eq!(
        world.datagram(other.rtcp_port, control_source(&other), &report),
        None
    );
    world.faults.journal_stalls = false;
    world.run(1_000 * MS);
    let packet = world.send(&other, 2);
    assert!(
        world
            .datagram(other.rtcp_port, control_source(&other), &report)
            .is_some()
    );
    world.desire(&ended(&call, world.wall));
    world.run(1_000 * MS);
    let track = world.track(1, 2);
    assert_eq!(track.payloads(), [packet]);
    let remote: Vec<SocketAddr> = track.sources.iter().map(|(_, a)| a.remote).collect();
    assert_eq!(remote.len(), 2);
    assert!(remote.iter().all(|remote| remote.ip() == PEER));
    let number = track.packet_sources[0];
    let found = track.sources.iter().find(|(of, _)| *of == number).unwrap();
    assert_eq!(found.1.remote, one_source(&other));
    assert_eq!(world.dropped(other.id), 2);
}

fn one_source(stream: &Stream) -> SocketAddr {
    stream.peer_rtp.unwrap()
}

#[test]
fn a_removal_that_the_journal_did_not_take_is_made_up_for() {
    let mut world = new_world(103);
    let first = recording(1, 1, &[stream(1, 1, 0)]);
    let second = recording(2, 1, &[stream(2, 1, 1)]);
    world.desire(&first);
    world.desire(&second);
    world.run(200 * MS);
    world.faults.publishes = 1;
    world.desire(&ended(&first, world.wall));
    world.run(300 * MS);
    assert!(!world.is_published(1));
    world.faults.journal_stalls = true;
    fill(&mut world, &second.streams[0], 0);
    world.run(2_000 * MS);
    assert_eq!(world.published_told(id(1)).len(), 1);
    assert_eq!(world.files.recordings().len(), 2);
    world.faults.journal_stalls = false;
    world.run(2_000 * MS);
    assert_eq!(world.files.recordings(), [id(2)]);
    world.restart(Crash::Kill);
    world.run(1_000 * MS);
    assert_eq!(world.published[&id(1)], 1);
    assert_eq!(world.published_told(id(1)).len(), 1);
}

#[test]
fn what_the_kernel_dropped_is_counted_and_marked() {
    let mut world = World::new(104);
    world.connect(&[]);
    let one = stream(1, 1, 0);
    let call = recording(1, 1, std::slice::from_ref(&one));
    world.desire(&call);
    world.talk(&call.streams, 0..10);
    let wall = world.wall;
    world.shard().handle_drops(wall..wall, one.rtp_port, 17);
    world.shard().handle_drops(wall..wall, one.rtcp_port, 1);
    // Of a port that no stream has.
    world.shard().handle_drops(wall..wall, 20_100, 5);
    world.run(1_100 * MS);
    assert_eq!(world.statistics.kernel_drops, 18);
    world.desire(&ended(&call, world.wall));
    world.run(1_000 * MS);
    let track = world.track(1, 1);
    assert_eq!(track.counters.unwrap().kernel_drops, 18);
    let (from, packets) = (wall, 18);
    let is_it = |mark: &TrackMark| matches!(mark, TrackMark::Dropped { from: f, packets: p, .. } if (*f, *p) == (from, packets));
    assert!(track.marks.iter().any(is_it), "{:?}", track.marks);
}
