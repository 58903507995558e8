//! Checkpoints: the journal's segments are used again while streams run for long.

mod world;

use holdfast_control::Stream;
use holdfast_shard::Checkpoint;
use world::build::{ended, recording, stream};
use world::{Crash, MS, World};

fn new_world(seed: u64) -> World {
    let mut world = World::dark(seed);
    world.config.checkpoint_interval = 300 * MS;
    world.writer.segments_max = 6;
    world.start();
    world.connect(&[]);
    world
}

fn checkpoint(world: &World) -> Checkpoint {
    Checkpoint::decode(world.files.read(world::files::CHECKPOINT).unwrap()).unwrap()
}

fn segment_number(world: &World) -> u64 {
    let names = world.journal.files.keys();
    let number = |name: &String| holdfast_journal::parse_segment_name(name).map(|(_, n)| n.0);
    names.filter_map(number).max().unwrap()
}

#[test]
fn a_long_call_takes_many_segments_and_few_files() {
    let mut world = new_world(110);
    let streams = [stream(1, 1, 0), stream(2, 2, 1)];
    let call = recording(1, 1, &streams);
    world.desire(&call);
    let mut sent = vec![Vec::new(), Vec::new()];
    for round in 0..40 {
        let more = world.talk(&streams, round * 250..round * 250 + 250);
        for (sent, more) in sent.iter_mut().zip(more) {
            sent.extend(more);
        }
        assert!(world.journal.files.len() <= 6);
    }
    // 20,000 records of some 230 octets in segments of 256 KiB.
    assert!(segment_number(&world) > 15, "{}", segment_number(&world));
    let next = world.shard().next_lsn().0;
    assert!(
        checkpoint(&world).lsn + 200 > next,
        "at most two intervals behind"
    );
    assert_eq!(world.statistics.unwritten, 0);
    // And after all of that a power cut.
    world.run(200 * MS);
    world.restart(Crash::PowerCut);
    world.connect(std::slice::from_ref(&call));
    world.desire(&ended(&call, world.wall));
    world.run(2_000 * MS);
    for (number, sent) in [1, 2].into_iter().zip(sent) {
        let track = world.track(1, number);
        assert_eq!(track.payloads(), sent);
        assert_eq!(track.counters.unwrap().packets, 10_000);
    }
}

#[test]
fn with_many_streams_each_has_a_position_of_its_own() {
    let mut world = new_world(111);
    world.writer.commit_interval = 5 * MS;
    world.restart(Crash::Kill);
    world.connect(&[]);
    let streams: Vec<Stream> = (1..=200).map(|n| stream(n, n as u16, n as u16)).collect();
    let call = recording(1, 1, &streams);
    world.desire(&call);
    world.run(100 * MS);
    let mut sent = vec![0; streams.len()];
    let mut seen = 0;
    for round in 0..400_u16 {
        for offset in 0..5 {
            let index = (usize::from(round) * 5 + offset) % streams.len();
            sent[index] += 1;
            world.send(&streams[index], sent[index]);
        }
        world.work_all();
        world.tick(5 * MS);
        if let Some(bytes) = world.files.read(world::files::CHECKPOINT) {
            let checkpoint = Checkpoint::decode(bytes).unwrap();
            let positions = checkpoint.streams.iter().map(|s| s.lsn);
            let positions: std::collections::BTreeSet<u64> = positions.collect();
            seen = seen.max(positions.len());
        }
    }
    assert!(seen > 3, "{seen} positions in a checkpoint");
    world.run(200 * MS);
    world.restart(Crash::Kill);
    world.connect(std::slice::from_ref(&call));
    world.desire(&ended(&call, world.wall));
    world.run(2_000 * MS);
    for (stream, count) in streams.iter().zip(sent) {
        let track = world.track(1, stream.number);
        assert_eq!(track.packets.len(), usize::from(count), "{}", stream.number);
    }
}

#[test]
fn pause_and_resume_while_a_checkpoint_is_made_are_marked_once() {
    use holdfast_track::TrackMark;
    use world::build::{paused, with_streams};
    for crash in [Crash::Kill, Crash::PowerCut] {
        for delay in 0..4 {
            let mut world = new_world(112 + delay);
            let streams: Vec<Stream> = (1..=100).map(|n| stream(n, n as u16, n as u16)).collect();
            let call = recording(1, 1, &streams);
            world.desire(&call);
            world.run(280 * MS);
            let pauses: Vec<Stream> = streams.iter().map(paused).collect();
            // The first half of the streams is in the checkpoint before the change, the rest after.
            let mut last = call.clone();
            for turn in 0..6 {
                let wanted = if turn % 2 == 0 { &pauses } else { &streams };
                last = with_streams(&last, wanted);
                world.desire(&last);
                for _ in 0..=delay {
                    world.work_all();
                    world.tick(5 * MS);
                }
            }
            world.run(100 * MS);
            world.restart(crash);
            world.connect(std::slice::from_ref(&last));
            world.desire(&ended(&last, world.wall));
            world.run(1_000 * MS);
            for stream in &streams {
                let track = world.track(1, stream.number);
                let count =
                    |wanted: &TrackMark| track.marks.iter().filter(|mark| *mark == wanted).count();
                let marks = (count(&TrackMark::Pause), count(&TrackMark::Resume));
                assert_eq!(marks, (3, 3), "stream {} {crash:?} {delay}", stream.number);
            }
        }
    }
}

#[test]
fn streams_that_begin_while_a_checkpoint_is_made_are_not_ended_by_the_replay() {
    use world::build::with_streams;
    for crash in [Crash::Kill, Crash::PowerCut] {
        for delay in 0..4 {
            let mut world = new_world(120 + delay);
            let mut streams: Vec<Stream> =
                (1..=100).map(|n| stream(n, n as u16, n as u16)).collect();
            let call = recording(1, 1, &streams);
            world.desire(&call);
            world.run(290 * MS);
            let mut last = call.clone();
            for n in 101..=115 {
                streams.push(stream(n, n as u16, n as u16));
                last = with_streams(&last, &streams);
                world.desire(&last);
                world.send(&streams[n as usize - 1], 1);
                for _ in 0..=delay {
                    world.work_all();
                    world.tick(5 * MS);
                }
            }
            let now = world.now;
            world.shard().request_commit(now);
            world.carry_out();
            world.run(20 * MS);
            world.restart(crash);
            for stream in &streams[100..] {
                world.send(stream, 2);
            }
            world.connect(std::slice::from_ref(&last));
            world.desire(&ended(&last, world.wall));
            world.run(1_000 * MS);
            for stream in &streams[100..] {
                let track = world.track(1, stream.number);
                assert_eq!(track.packets.len(), 2, "{} {crash:?}", stream.number);
                assert_eq!((track.headers, track.ends), (1, 1));
            }
            assert_eq!(world.shard().unknown_records(), 0);
        }
    }
}
