//! CANCEL while the engine is thinking.

use std::time::Duration;

use holdfast_control::Life;
use holdfast_manifest::EndReason;

use crate::peer::{Src, invite};
use crate::world::World;

#[test]
fn a_cancel_before_the_200_gets_487_and_ends_the_recording() {
    let mut world = World::new();
    world.engine.manner.is_silent = true;
    let mut src = Src::new("cancel");
    world.ask(&mut src, &invite());
    world.pass(Duration::from_millis(250));
    assert_eq!(world.starts(), ["SIP/2.0 100 Trying"]);
    world.receive(&src.cancel());
    let starts = world.starts();
    assert_eq!(starts, ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(world.calls(), 0);
    // Only now the engine has the first state, and hears of the end.
    world.engine_speaks();
    let life = world.published().last().life;
    assert!(
        matches!(
            life,
            Life::Ended {
                reason: EndReason::Cancel,
                ..
            }
        ),
        "{life:?}"
    );
    assert!(!world.starts().iter().any(|start| start.contains("200")));
}

#[test]
fn a_cancel_after_the_200_changes_nothing() {
    let mut world = World::new();
    let mut src = Src::new("late");
    let ok = world.answer(&mut src, &invite());
    world.receive(&src.cancel());
    assert_eq!(world.starts(), ["SIP/2.0 200 OK"]);
    src.to_tag = ok.to_tag();
    world.ack(&src);
    assert_eq!(world.calls(), 1);
}
