//! 503 with Retry-After: too many calls, no ports, an engine that cannot (issue, "Bad input").

use holdfast_control::{RefusalReason, Unwilling};
use holdfast_recording::recorder::RecorderConfig;

use crate::engine::Engine;
use crate::peer::{Ask, Src, invite};
use crate::world::World;

fn assert_unavailable(world: &mut World) {
    let sent = world.answer(&mut Src::new(&format!("no-{}", world.now.0)), &invite());
    assert_eq!(sent.status(), 503, "{}", sent.text);
    assert_eq!(sent.header("Retry-After").unwrap(), "10");
    let options = world.answer(
        &mut Src::new(&format!("o-{}", world.now.0)),
        &Ask::new("OPTIONS"),
    );
    assert_eq!(options.status(), 503, "OPTIONS says the same");
}

#[test]
fn beyond_max_calls() {
    let mut world = World::with(RecorderConfig {
        calls_max: 2,
        ..RecorderConfig::default()
    });
    let mut first = world.call("one");
    world.call("two");
    assert_unavailable(&mut world);
    world.answer(&mut first, &Ask::new("BYE"));
    world.call("three");
}

#[test]
fn while_the_disk_is_full() {
    let mut world = World::new();
    let mut src = world.call("running");
    world.engine_says(Engine::health(Some(Unwilling::DiskFull)));
    assert_unavailable(&mut world);
    assert_eq!(
        world.answer(&mut src, &Ask::new("UPDATE")).status(),
        200,
        "what runs goes on"
    );
    world.engine_says(Engine::health(None));
    world.call("after");
}

#[test]
fn when_the_engine_refuses_this_one() {
    let mut world = World::new();
    for reason in [
        RefusalReason::Journal,
        RefusalReason::Unwilling(Unwilling::DiskFull),
    ] {
        world.engine.manner.refuses_new = Some(reason);
        world.pass_secs(1);
        let name = format!("refused-{}", world.now.0);
        let sent = world.answer(&mut Src::new(&name), &invite());
        assert_eq!(sent.status(), 503);
        assert!(sent.header("Retry-After").is_some());
    }
    assert_eq!(world.calls(), 0);
    assert_eq!(world.recorder.statistics().publishing, 0);
    assert!(world.engine.held.is_empty());
    assert_eq!(world.recorder.statistics().refused[&503], 2);
}

#[test]
fn when_the_engine_does_not_answer_in_time() {
    let mut world = World::new();
    world.engine.manner.is_silent = true;
    let mut src = Src::new("silent");
    world.ask(&mut src, &invite());
    world.pass_secs(3);
    let starts = world.starts();
    assert!(
        starts.contains(&"SIP/2.0 503 Service Unavailable".to_owned()),
        "{starts:?}"
    );
    // It did take the recording: that ends as soon as it speaks.
    world.engine_speaks();
    assert_eq!(world.engine.published.len(), 1);
    assert_eq!(world.recorder.statistics().publishing, 0);
}

#[test]
fn streams_beyond_the_limit_of_a_call_get_port_0() {
    let config = RecorderConfig {
        streams_per_call_max: 1,
        ..RecorderConfig::default()
    };
    let mut world = World::with(config);
    let sent = world.answer(&mut Src::new("many"), &invite());
    assert_eq!(sent.status(), 200);
    assert_eq!(sent.ports()[1], 0);
}

#[test]
fn options_is_welcome_otherwise() {
    let mut world = World::new();
    let sent = world.answer(&mut Src::new("options"), &Ask::new("OPTIONS"));
    assert_eq!(sent.status(), 200);
    assert!(
        sent.header("Accept")
            .unwrap()
            .contains("application/rs-metadata+xml")
    );
    assert!(sent.header("Contact").unwrap().ends_with(";+sip.srs"));
}
