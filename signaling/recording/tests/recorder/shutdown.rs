//! SIGTERM: new calls get 503, those that run are ended and published.

use std::time::Duration;

use holdfast_control::Life;
use holdfast_manifest::EndReason;

use crate::peer::{Ask, Src, invite};
use crate::world::World;

#[test]
fn every_call_is_ended_and_the_end_waits_for_the_engine_and_the_peers() {
    let mut world = World::new();
    world.call("one");
    world.call("two");
    world.take_sent();
    world.engine.manner.is_slow = true;
    world.recorder.begin_shutdown(world.now, world.wall());
    world.settle();
    let byes = world.take_sent();
    assert_eq!(byes.len(), 2);
    assert!(byes.iter().all(|bye| bye.text.starts_with("BYE ")));
    for held in world.engine.held.values() {
        assert!(matches!(
            held.last().life,
            Life::Ended {
                reason: EndReason::Shutdown,
                ..
            }
        ));
    }
    let sent = world.answer(&mut Src::new("late"), &invite());
    assert_eq!(sent.status(), 503);
    assert!(sent.header("Retry-After").is_some());
    assert_eq!(
        world
            .answer(&mut Src::new("o"), &Ask::new("OPTIONS"))
            .status(),
        503
    );
    for bye in byes {
        let ok = bye
            .text
            .replacen("BYE sip:src@192.0.2.10:5060 SIP/2.0", "SIP/2.0 200 OK", 1);
        world.receive(ok.as_bytes());
    }
    assert!(!world.recorder.is_finished(), "nothing is published yet");
    let ids: Vec<_> = world.engine.held.keys().copied().collect();
    for id in ids {
        let published = world.engine.publish(id);
        world.engine_says(published);
    }
    assert!(world.recorder.is_finished());
}

#[test]
fn an_invite_that_waits_gets_503() {
    let mut world = World::new();
    world.engine.manner.is_silent = true;
    world.ask(&mut Src::new("waits"), &invite());
    world.recorder.begin_shutdown(world.now, world.wall());
    world.settle();
    assert_eq!(world.starts(), ["SIP/2.0 503 Service Unavailable"]);
    world.engine_speaks();
    let life = world.published().last().life;
    assert!(
        matches!(
            life,
            Life::Ended {
                reason: EndReason::Shutdown,
                ..
            }
        ),
        "{life:?}"
    );
    assert!(world.recorder.is_finished());
}

#[test]
fn a_peer_that_is_gone_does_not_keep_the_process() {
    let mut world = World::new();
    world.call("gone");
    world.recorder.begin_shutdown(world.now, world.wall());
    world.settle();
    world.pass(Duration::from_millis(3_900));
    assert!(!world.recorder.is_finished());
    let byes = world.starts();
    assert!(
        byes.iter()
            .filter(|start| start.starts_with("BYE "))
            .count()
            >= 4,
        "{byes:?}"
    );
    world.pass(Duration::from_millis(100));
    assert!(world.recorder.is_finished());
}

#[test]
fn without_an_engine_nobody_waits_for_it() {
    let mut world = World::new();
    world.disconnect();
    world.recorder.begin_shutdown(world.now, world.wall());
    world.settle();
    assert!(world.recorder.is_finished());
}
