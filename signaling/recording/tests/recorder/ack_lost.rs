//! RFC 3261 §13.3.1.4: a 200 without ACK is repeated, then the session ends with a BYE.

use holdfast_control::Life;
use holdfast_manifest::EndReason;

use crate::peer::{Src, invite};
use crate::world::World;

#[test]
fn without_an_ack_the_call_ends_after_64_t1_with_a_bye() {
    let mut world = World::new();
    let mut src = Src::new("no-ack");
    assert_eq!(world.answer(&mut src, &invite()).status(), 200);
    world.pass_secs(31);
    assert_eq!(world.calls(), 1);
    let copies = world.starts();
    assert!(copies.len() > 5 && copies.iter().all(|start| start == "SIP/2.0 200 OK"));
    world.pass_secs(2);
    assert_eq!(world.calls(), 0);
    let starts = world.starts();
    assert!(
        starts
            .last()
            .unwrap()
            .starts_with("BYE sip:src@192.0.2.10:5060"),
        "{starts:?}"
    );
    let life = world.published().last().life;
    assert!(
        matches!(
            life,
            Life::Ended {
                reason: EndReason::SipTimeout,
                ..
            }
        ),
        "{life:?}"
    );
}
