//! RFC 3264 §8: streams come and go, the others stay as they are.

use crate::peer::{Ask, line, offer, sdp};
use crate::world::World;

#[test]
fn an_added_stream_gets_ports_and_a_channel_of_its_own() {
    let mut world = World::new();
    let mut src = world.call("add");
    let before = world.held().last().clone();
    let three = format!("{}{}", offer("sendonly"), line(40_004, "3", "sendonly"));
    let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&three));
    assert_eq!(ok.status(), 200);
    world.ack(&src);
    let after = world.held().last().clone();
    assert_eq!(after.streams[..2], before.streams[..]);
    let third = &after.streams[2];
    assert_eq!((third.number, third.channel, third.media_line), (3, 2, 2));
    assert_eq!(ok.ports()[2], third.rtp_port);
    assert_eq!(after.shard, before.shard);
}

#[test]
fn a_removed_stream_ends_and_its_place_begins_a_new_one() {
    let mut world = World::new();
    let mut src = world.call("remove");
    let before = world.held().last().clone();
    let one = sdp(&[&line(40_000, "1", "sendonly"), &line(0, "2", "sendonly")]);
    let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&one));
    assert_eq!((ok.status(), ok.ports()[1]), (200, 0));
    world.ack(&src);
    assert_eq!(world.held().last().streams, before.streams[..1]);
    let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer("sendonly")));
    assert_eq!(ok.status(), 200);
    let after = world.held().last().clone();
    assert_eq!(after.streams[0], before.streams[0]);
    assert_eq!(after.streams[1].number, 3, "a track of its own");
    assert_ne!(after.streams[1].id, before.streams[1].id);
    assert_ne!(
        after.streams[1].rtp_port, before.streams[1].rtp_port,
        "late packets rest first"
    );
}

#[test]
fn the_ports_of_a_removed_stream_come_back() {
    let mut world = World::new();
    world.disconnect();
    world.engine.shards = vec![holdfast_control::ShardPorts {
        first: 10_000,
        last: 10_003,
    }];
    world.connect();
    let mut src = world.call("ports");
    let one = sdp(&[&line(40_000, "1", "sendonly"), &line(0, "2", "sendonly")]);
    for _ in 0..5 {
        assert_eq!(
            world
                .answer(&mut src, &Ask::new("UPDATE").sdp(&one))
                .status(),
            200
        );
        let again = Ask::new("UPDATE").sdp(&offer("sendonly"));
        assert_eq!(
            world.answer(&mut src, &again).status(),
            503,
            "the pair rests"
        );
        world.pass_secs(5);
        assert_eq!(world.answer(&mut src, &again).status(), 200);
    }
}

#[test]
fn swapped_labels_follow_the_new_map() {
    let mut world = World::new();
    let mut src = world.call("swap");
    let swapped = sdp(&[
        &line(40_000, "2", "sendonly"),
        &line(40_002, "1", "sendonly"),
    ]);
    let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&swapped));
    assert_eq!(ok.lines("a=label:"), ["a=label:2", "a=label:1"]);
    let streams = world.held().last().streams.clone();
    assert_eq!(streams[0].label.as_deref(), Some("2"));
    assert_eq!(streams[0].channel, 0, "a channel never changes");
}
