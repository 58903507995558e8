//! No new calls are wanted: running ones go on to their end, or are left to somebody else.

use std::time::Duration;

use holdfast_control::operator::{Answer, Command};

use crate::peer::{Ask, Src, invite};
use crate::world::World;

fn drain(world: &mut World, on: bool) -> Answer {
    let (now, wall) = (world.now, world.wall());
    world
        .recorder
        .handle_command(now, wall, Command::Drain { on })
}

#[test]
fn new_calls_and_options_get_503_and_running_ones_go_on() {
    let mut world = World::new();
    let mut src = world.call("up");
    let answer = drain(&mut world, true);
    assert_eq!(answer, Answer::Draining { on: true, calls: 1 });
    for ask in [invite(), Ask::new("OPTIONS")] {
        let refusal = world.answer(&mut Src::new("new"), &ask);
        assert_eq!(refusal.status(), 503);
        assert!(refusal.header("Retry-After").is_some());
    }
    assert_eq!(world.answer(&mut src, &Ask::new("UPDATE")).status(), 200);
    assert_eq!(world.answer(&mut src, &Ask::new("BYE")).status(), 200);
    assert_eq!(
        drain(&mut world, false),
        Answer::Draining {
            on: false,
            calls: 0
        }
    );
    world.call("welcome");
}

#[test]
fn a_handover_ends_nothing_and_waits_until_all_is_saved() {
    let mut world = World::keeping();
    let mut src = world.call("left");
    world.store.is_silent = true;
    assert_eq!(world.ask(&mut src, &Ask::new("UPDATE")).len(), 0);
    let (now, wall) = (world.now, world.wall());
    world.recorder.begin_handover(now, wall);
    world.settle();
    assert!(!world.recorder.is_finished(), "an answer waits");
    assert_eq!(world.answer(&mut Src::new("late"), &invite()).status(), 503);
    let ticket = world.store.last_ticket;
    world.recorder.handle_saved(now, wall, ticket);
    world.settle();
    assert_eq!(world.take_sent()[0].status(), 200);
    assert!(world.recorder.is_finished());
    assert_eq!(world.calls(), 1);
    world.store.is_silent = false;
    world.restart(Duration::from_secs(1));
    assert_eq!(world.answer_among(&mut src, &Ask::new("BYE")).status(), 200);
}
