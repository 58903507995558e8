//! Full reconciliation after the engine was away.

use holdfast_control::{Life, ShardPorts, ToEngine};
use holdfast_manifest::EndReason;
use holdfast_recording::recorder::{Notice, RecorderConfig};

use crate::peer::{Ask, Src, invite};
use crate::world::World;

#[test]
fn what_is_up_is_said_again_newer_than_what_the_engine_has() {
    let mut world = World::new();
    let mut src = world.call("kept");
    world.call("too");
    let before: Vec<_> = world
        .engine
        .held
        .values()
        .map(|held| held.last().clone())
        .collect();
    world.disconnect();
    world.connect();
    assert!(matches!(
        world.engine.heard.last(),
        Some(ToEngine::ReconcileDone)
    ));
    for (held, before) in world.engine.held.values().zip(&before) {
        assert_eq!(held.last().streams, before.streams);
        assert!(held.last().revision > before.revision);
    }
    let names = world
        .engine
        .heard
        .iter()
        .filter_map(|message| match message {
            ToEngine::Document(document) => Some(document.name.as_str().to_owned()),
            _ => None,
        });
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["call.json", "call.json"],
        "the rest is held"
    );
    let ready = Notice::EngineReady {
        calls: 2,
        orphans: 0,
    };
    assert!(world.notices.contains(&ready), "{:?}", world.notices);
    assert_eq!(world.answer(&mut src, &Ask::new("BYE")).status(), 200);
    assert_eq!(world.engine.published.len(), 1);
}

#[test]
fn an_engine_that_lost_everything_gets_everything() {
    let mut world = World::new();
    world.call("lost");
    let before = world.held();
    world.disconnect();
    world.engine.held.clear();
    world.connect();
    let after = world.held();
    assert_eq!(after.last().streams, before.last().streams);
    assert_eq!(after.last().started, before.last().started);
    for name in ["0001.sip", "0001.sdp", "0001.xml", "call.json"] {
        assert_eq!(after.text(name), before.text(name), "{name}");
    }
}

#[test]
fn a_call_whose_ports_are_no_more_is_hung_up() {
    let mut world = World::new();
    world.call("ports");
    world.disconnect();
    world.engine.held.clear();
    world.engine.shards = vec![ShardPorts {
        first: 20_000,
        last: 20_099,
    }];
    world.take_sent();
    world.connect();
    assert!(world.starts()[0].starts_with("BYE "));
    assert_eq!(world.calls(), 0);
    assert!(world.engine.held.is_empty(), "there is nothing to publish");
    let ended = |n: &Notice| {
        matches!(
            n,
            Notice::CallEnded {
                reason: EndReason::Failure,
                ..
            }
        )
    };
    assert!(world.notices.iter().any(ended));
    world.call("new ports");
    assert!(
        world
            .held()
            .last()
            .streams
            .iter()
            .all(|stream| stream.rtp_port >= 20_000)
    );
}

#[test]
fn recordings_of_nobody_are_left_alone_and_so_are_their_ports() {
    let mut world = World::new();
    world.call("orphan");
    let orphan = world.held_id();
    let held = std::mem::take(&mut world.engine.held);
    let ports: Vec<u16> = held[&orphan]
        .last()
        .streams
        .iter()
        .map(|s| s.rtp_port)
        .collect();
    // Another signaling process, which knows nothing.
    let mut world = World::seeded(RecorderConfig::default(), 0xbeef);
    world.engine.held = held;
    world.engine.shards = vec![
        ShardPorts {
            first: 10_000,
            last: 10_099,
        },
        ShardPorts {
            first: 10_100,
            last: 10_199,
        },
    ];
    world.connect();
    assert_eq!(world.recorder.statistics().orphans, 1);
    for call in 0..49 {
        // The engine checks that no port is given twice.
        world.call(&format!("new-{call}"));
    }
    assert_eq!(
        world
            .answer(&mut Src::new("one too many"), &invite())
            .status(),
        503
    );
    let published = world.engine.publish(orphan);
    world.engine_says(published);
    assert_eq!(world.recorder.statistics().orphans, 0);
    world.pass_secs(5);
    let ok = world.answer(&mut Src::new("its ports"), &invite());
    assert_eq!(ok.status(), 200);
    assert!(ok.ports().iter().all(|port| ports.contains(port)));
}

#[test]
fn a_recording_that_the_engine_ended_by_itself_ends_its_call() {
    let mut world = World::new();
    world.call("disk");
    let id = world.held_id();
    let heard = world.revisions_heard();
    let published = world.engine.publish(id);
    world.take_sent();
    world.engine_says(published);
    assert!(world.starts()[0].starts_with("BYE "));
    assert_eq!(world.calls(), 0);
    assert_eq!(world.revisions_heard(), heard, "it is not spoken of again");
}

#[test]
fn an_end_that_was_lost_with_the_connection_is_said_again() {
    let mut world = World::new();
    let mut src = world.call("end");
    let before = world.engine.held.clone();
    world.engine.manner.is_slow = true;
    world.answer(&mut src, &Ask::new("BYE"));
    // The engine died before that was durable.
    world.disconnect();
    world.engine.held = before;
    world.engine.manner.is_slow = false;
    world.connect();
    let life = world.published().last().life;
    assert!(
        matches!(
            life,
            Life::Ended {
                reason: EndReason::Bye,
                ..
            }
        ),
        "{life:?}"
    );
}

#[test]
fn a_recording_that_was_published_unheard_is_forgotten() {
    let mut world = World::new();
    let mut src = world.call("unheard");
    world.engine.manner.is_slow = true;
    world.answer(&mut src, &Ask::new("BYE"));
    assert_eq!(world.recorder.statistics().publishing, 1);
    world.disconnect();
    world.engine.held.clear();
    world.connect();
    assert_eq!(world.recorder.statistics().publishing, 0);
    assert!(
        world.engine.held.is_empty(),
        "it does not come to life again"
    );
}

/// The engine came back empty, and others use the ports by now.
#[test]
fn a_stream_that_can_no_longer_be_received_ends_its_call() {
    let mut world = World::new();
    world.call("gone");
    let id = world.held_id();
    world.disconnect();
    world.engine.held.clear();
    world.engine.manner.has_no_ports = true;
    world.take_sent();
    world.connect();
    assert!(world.starts()[0].starts_with("BYE "));
    assert_eq!(world.calls(), 0);
    assert!(world.engine.published.contains_key(&id));
}
