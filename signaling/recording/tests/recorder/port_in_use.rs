//! The engine cannot have a port: others are tried.

use std::collections::BTreeSet;

use holdfast_recording::recorder::Notice;

use crate::peer::{Ask, Src, invite, line, offer};
use crate::world::World;

#[test]
fn another_port_is_tried_and_is_the_one_in_the_answer() {
    let mut world = World::new();
    // Half of all pairs.
    world.engine.manner.busy_ports = (10_000..10_200).step_by(4).collect::<BTreeSet<u16>>();
    for call in 0..8 {
        let mut src = Src::new(&format!("busy-{call}"));
        let ok = world.answer(&mut src, &invite());
        if ok.status() == 200 {
            let ports: Vec<u16> = ok.ports().into_iter().filter(|port| *port != 0).collect();
            assert!(!ports.is_empty());
            assert!(
                ports
                    .iter()
                    .all(|port| !world.engine.manner.busy_ports.contains(port))
            );
        }
    }
    let retried = world
        .notices
        .iter()
        .any(|n| matches!(n, Notice::PortRefused { .. }));
    assert!(retried, "chance has met a busy port");
    assert!(world.recorder.statistics().answered >= 6);
}

#[test]
fn where_no_port_can_be_had_the_call_gets_503() {
    let mut world = World::new();
    world.engine.manner.has_no_ports = true;
    let ok = world.answer(&mut Src::new("none"), &invite());
    assert_eq!(ok.status(), 503);
    assert_eq!(world.revisions_heard(), 5, "four attempts and the end");
    assert_eq!(world.calls(), 0);
}

#[test]
fn an_added_stream_without_a_port_is_refused_and_the_others_go_on() {
    let mut world = World::new();
    let mut src = world.call("added");
    let before = world.held().last().clone();
    world.engine.manner.has_no_ports = true;
    let three = format!("{}{}", offer("sendonly"), line(40_004, "3", "sendonly"));
    let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&three));
    assert_eq!(ok.status(), 200);
    assert_eq!(ok.ports()[2], 0);
    assert_eq!(world.held().last().streams, before.streams);
}
