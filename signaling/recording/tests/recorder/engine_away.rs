//! The engine is away: new calls get 503, those that run go on.

use holdfast_control::StreamMode;
use holdfast_recording::recorder::RecorderConfig;

use crate::peer::{Ask, Src, invite, line, metadata, offer};
use crate::world::World;

#[test]
fn without_an_engine_everything_gets_503() {
    let mut world = World::without_engine(RecorderConfig::default());
    let sent = world.answer(&mut Src::new("away"), &invite());
    assert_eq!(sent.status(), 503);
    assert!(sent.header("Retry-After").is_some());
    assert_eq!(
        world
            .answer(&mut Src::new("o"), &Ask::new("OPTIONS"))
            .status(),
        503
    );
    world.connect();
    world.call("back");
}

#[test]
fn an_invite_that_waits_gets_503_and_its_recording_ends() {
    let mut world = World::new();
    world.engine.manner.is_silent = true;
    world.ask(&mut Src::new("waits"), &invite());
    world.disconnect();
    assert_eq!(world.starts(), ["SIP/2.0 503 Service Unavailable"]);
    world.engine.manner.is_silent = false;
    world.connect();
    assert_eq!(world.engine.published.len(), 1, "the engine had it already");
    assert_eq!(world.recorder.statistics().publishing, 0);
}

#[test]
fn a_call_can_be_paused_and_told_about_while_the_engine_is_away() {
    let mut world = World::new();
    let mut src = world.call("runs");
    world.disconnect();
    let other = metadata().replace("Alice", "Anna");
    let ask = Ask::new("INVITE").sdp(&offer("inactive")).metadata(&other);
    let ok = world.answer(&mut src, &ask);
    assert_eq!(
        (ok.status(), ok.directions()[0].as_str()),
        (200, "inactive")
    );
    world.ack(&src);
    world.connect();
    let held = world.held();
    assert!(
        held.last()
            .streams
            .iter()
            .all(|stream| stream.mode == StreamMode::Pause)
    );
    assert_eq!(held.call().participants[0].names, ["Anna"]);
    assert_eq!(held.text("0002.xml"), other);
}

#[test]
fn a_pause_that_waits_when_the_engine_goes_is_answered() {
    let mut world = World::new();
    let mut src = world.call("half");
    world.engine.manner.is_silent = true;
    world.ask(&mut src, &Ask::new("UPDATE").sdp(&offer("inactive")));
    world.disconnect();
    assert_eq!(world.starts(), ["SIP/2.0 200 OK"]);
    world.engine.manner.is_silent = false;
    world.connect();
    assert!(
        world
            .held()
            .last()
            .streams
            .iter()
            .all(|stream| stream.mode == StreamMode::Pause)
    );
}

#[test]
fn a_new_stream_cannot_be_had_while_the_engine_is_away() {
    let mut world = World::new();
    let mut src = world.call("new");
    world.disconnect();
    let three = format!("{}{}", offer("sendonly"), line(40_004, "3", "sendonly"));
    assert_eq!(
        world
            .answer(&mut src, &Ask::new("UPDATE").sdp(&three))
            .status(),
        503
    );
    world.connect();
    assert_eq!(world.held().last().streams.len(), 2);
}

#[test]
fn a_call_that_ends_meanwhile_is_published_afterwards() {
    let mut world = World::new();
    let mut src = world.call("ends");
    world.disconnect();
    assert_eq!(world.answer(&mut src, &Ask::new("BYE")).status(), 200);
    world.connect();
    assert_eq!(world.engine.published.len(), 1);
    assert_eq!(world.recorder.statistics().publishing, 0);
}
