//! The store does not save: running calls go on, new ones get what the operator wants.

use std::time::Duration;

use holdfast_recording::recorder::{Notice, RecorderConfig, WhenStoreAway};

use crate::peer::{Ask, Src, invite, metadata};
use crate::world::World;

fn refusing() -> World {
    World::with(RecorderConfig {
        when_store_away: Some(WhenStoreAway::Refuse),
        ..RecorderConfig::default()
    })
}

fn lose(world: &mut World) {
    world.store.is_silent = true;
    world.recorder.handle_store_away(world.now, world.wall());
    world.settle();
}

fn regain(world: &mut World) {
    world.store.is_silent = false;
    world.recorder.handle_store_back(world.now, world.wall());
    world.settle();
}

#[test]
fn no_answer_leaves_before_its_call_is_durable() {
    let mut world = World::keeping();
    world.store.is_silent = true;
    let mut src = Src::new("patient");
    assert_eq!(world.ask(&mut src, &invite()).len(), 0);
    let (now, wall) = (world.now, world.wall());
    world
        .recorder
        .handle_saved(now, wall, world.store.last_ticket);
    world.settle();
    let ok = world.take_sent();
    assert_eq!((ok.len(), ok[0].status()), (1, 200));
    src.to_tag = ok[0].to_tag();
    world.ack(&src);
    // Nor does any later one.
    for ask in [Ask::new("UPDATE").metadata(&metadata()), Ask::new("BYE")] {
        assert_eq!(world.ask(&mut src, &ask).len(), 0, "{}", ask.method);
        world
            .recorder
            .handle_saved(now, wall, world.store.last_ticket);
        world.settle();
        assert_eq!(world.take_sent()[0].status(), 200);
    }
}

#[test]
fn running_calls_go_on_and_are_saved_when_it_is_back() {
    for mut world in [World::keeping(), refusing()] {
        let mut src = world.call("goes-on");
        lose(&mut world);
        let ok = world.answer(&mut src, &Ask::new("UPDATE").metadata(&metadata()));
        assert_eq!(ok.status(), 200);
        let before = world.store.count;
        regain(&mut world);
        assert_eq!(world.store.count, before + 1);
        world.restart(Duration::from_secs(1));
        assert_eq!(world.held().call().metadata.len(), 2, "all of it is known");
        assert_eq!(world.answer_among(&mut src, &Ask::new("BYE")).status(), 200);
    }
}

#[test]
fn new_calls_are_accepted_and_flagged_where_that_is_wanted() {
    let mut world = World::keeping();
    lose(&mut world);
    let mut src = world.call("flagged");
    world.answer(&mut src, &Ask::new("UPDATE").metadata(&metadata()));
    let codes: Vec<_> = world
        .held()
        .call()
        .warnings
        .iter()
        .map(|one| one.code.clone())
        .collect();
    assert!(codes.contains(&"dialog_not_saved".to_owned()), "{codes:?}");
    regain(&mut world);
    world.restart(Duration::from_secs(1));
    assert_eq!(world.answer_among(&mut src, &Ask::new("BYE")).status(), 200);
}

#[test]
fn new_calls_get_503_where_that_is_wanted_and_options_too() {
    let mut world = refusing();
    lose(&mut world);
    for ask in [invite(), Ask::new("OPTIONS")] {
        let refusal = world.answer(&mut Src::new("refused"), &ask);
        assert_eq!(refusal.status(), 503);
        assert!(refusal.header("Retry-After").is_some());
    }
    regain(&mut world);
    world.call("welcome");
}

/// It was accepted, and the store went away before that could leave.
#[test]
fn an_answer_that_has_not_left_becomes_a_503_where_that_is_wanted() {
    let mut world = refusing();
    world.store.is_silent = true;
    let mut src = Src::new("unlucky");
    assert_eq!(world.ask(&mut src, &invite()).len(), 0);
    lose(&mut world);
    let sent = world.take_sent();
    assert_eq!(
        (sent.len(), sent[0].status()),
        (1, 503),
        "{:?}",
        crate::world::starts(&sent)
    );
    assert_eq!(world.calls(), 0);
    assert_eq!(world.engine.published.len(), 1, "what it began is ended");
    world.pass_secs(70);
    assert_eq!(world.starts(), [""; 0], "no copy of the 200 leaves either");
    // The client tries again when it is back.
    regain(&mut world);
    let mut src = Src::new("lucky");
    assert_eq!(world.answer(&mut src, &invite()).status(), 200);
    assert!(
        world.store.states.len() == 1,
        "what was removed meanwhile is removed"
    );
}

#[test]
fn a_store_that_does_not_answer_is_taken_for_away_and_back_when_it_does() {
    let mut world = World::keeping();
    let mut src = world.call("slow");
    world.store.is_silent = true;
    assert_eq!(world.ask(&mut src, &Ask::new("UPDATE")).len(), 0);
    world.pass_secs(3);
    assert!(world.notices.contains(&Notice::StoreAway));
    assert_eq!(world.take_sent()[0].status(), 200);
    world.store.is_silent = false;
    let ticket = world.store.last_ticket;
    world.recorder.handle_saved(world.now, world.wall(), ticket);
    world.settle();
    assert!(world.notices.contains(&Notice::StoreBack));
    let before = world.store.count;
    world.answer(&mut src, &Ask::new("UPDATE"));
    assert!(world.store.count > before);
}

/// A disk that hangs gives no error; whoever watches is told before a call needs it.
#[test]
fn a_store_that_nobody_needs_is_probed_and_found_away() {
    let mut world = World::keeping();
    world.pass_secs(60);
    assert!((11..=13).contains(&world.store.probes), "every 5 s");
    assert!(!world.notices.contains(&Notice::StoreAway));
    world.store.is_silent = true;
    world.pass_secs(8);
    assert!(world.notices.contains(&Notice::StoreAway));
    let probes = world.store.probes;
    world.pass_secs(60);
    assert_eq!(world.store.probes, probes, "one that is away is not asked");
    // It was slow: what it says now answers the probe.
    world.store.is_silent = false;
    let ticket = world.store.last_ticket;
    world.recorder.handle_saved(world.now, world.wall(), ticket);
    world.settle();
    assert!(world.notices.contains(&Notice::StoreBack));
    world.pass_secs(6);
    assert_eq!(world.store.probes, probes + 1);
}

#[test]
fn who_keeps_nothing_probes_nothing() {
    let mut world = World::new();
    world.pass_secs(60);
    assert_eq!(world.store.probes, 0);
}

#[test]
fn a_call_that_ends_meanwhile_is_not_found_by_the_next_process() {
    let mut world = World::keeping();
    let mut src = world.call("ends");
    lose(&mut world);
    world.answer(&mut src, &Ask::new("BYE"));
    assert_eq!(world.store.states.len(), 1);
    regain(&mut world);
    assert!(world.store.states.is_empty());
}
