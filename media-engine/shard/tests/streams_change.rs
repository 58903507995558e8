//! Streams come, go and change while a recording goes on.

mod world;

use holdfast_track::TrackMark;
use world::build::{ended, media_source, recording, rtp_of, stream, with_streams};
use world::{MS, World};

#[test]
fn a_stream_added_and_one_removed() {
    let mut world = World::new(17);
    world.connect(&[]);
    let [a, b, c] = [stream(1, 1, 0), stream(2, 2, 1), stream(3, 3, 2)];
    let first = recording(1, 1, &[a.clone(), b.clone()]);
    world.desire(&first);
    let mut of_a = world.talk(&[a.clone(), b.clone()], 0..20);
    let of_b = of_a.pop().unwrap();
    let second = with_streams(&first, &[a.clone(), c.clone()]);
    world.desire(&second);
    assert!(!world.is_port_open(b.rtp_port));
    let more = world.talk(&[a.clone(), c.clone()], 20..40);
    of_a[0].extend(more[0].clone());
    // The track of the one that is gone is complete already.
    world.run(500 * MS);
    let track = world.track(1, 2);
    assert!(track.is_complete);
    assert_eq!(track.payloads(), of_b);
    world.desire(&ended(&second, world.wall));
    world.run(1_000 * MS);
    assert_eq!(world.track(1, 1).payloads(), of_a[0]);
    assert_eq!(world.track(1, 3).payloads(), more[1]);
}

#[test]
fn another_payload_map() {
    let mut world = World::new(18);
    world.connect(&[]);
    let one = stream(1, 1, 0);
    let first = recording(1, 1, std::slice::from_ref(&one));
    world.desire(&first);
    world.run(100 * MS);
    let source = media_source(&one);
    let alaw = rtp_of(8, 7, 1, "A-law");
    assert!(world.datagram(one.rtp_port, source, &alaw).is_some());
    let mut changed = one.clone();
    changed.codecs.remove(&8);
    let codec = changed.codecs[&0].clone();
    changed.codecs.insert(101, codec);
    changed.label = Some("other".into());
    let second = with_streams(&first, &[changed]);
    world.desire(&second);
    let late = rtp_of(8, 7, 2, "A-law");
    assert_eq!(world.datagram(one.rtp_port, source, &late), None);
    let new = rtp_of(101, 7, 3, "new");
    assert!(world.datagram(one.rtp_port, source, &new).is_some());
    world.desire(&ended(&second, world.wall));
    world.run(1_000 * MS);
    let track = world.track(1, 1);
    assert_eq!(track.payloads(), [alaw, new]);
    let maps = track.marks.iter().filter_map(|mark| match mark {
        TrackMark::Codecs(codecs) => Some(codecs.iter().map(|c| c.payload_type).collect()),
        _ => None,
    });
    let maps: Vec<Vec<u8>> = maps.collect();
    assert_eq!(maps, [vec![0, 8], vec![0, 101]]);
    assert!(track.has_mark(&TrackMark::Label("other".into())));
    assert_eq!(track.counters.unwrap().refused["payload_type"], 1);
}
