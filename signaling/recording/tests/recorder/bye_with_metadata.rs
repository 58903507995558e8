//! The last metadata comes in the BYE (RFC 8068 §3.2.4, P-55).

use crate::peer::{Ask, recording};
use crate::world::World;

#[test]
fn a_stop_time_in_the_bye_is_in_the_description() {
    let mut world = World::new();
    let mut src = world.call("stop");
    let last = recording(
        "<session session_id=\"c2Vzc2lvbi0xMjM0NTY3OA==\">\
         <stop-time>2027-01-15T08:00:30Z</stop-time></session>",
        "partial",
    );
    let bye = Ask::new("BYE").sole_body("application/rs-metadata+xml", &last);
    assert_eq!(world.answer(&mut src, &bye).status(), 200);
    let published = world.published();
    assert_eq!(published.text("0002.xml"), last);
    assert!(published.text("0002.sip").starts_with("BYE "));
    let call = published.call();
    assert_eq!(call.metadata[1].carried_by, "BYE");
    let stopped = holdfast_manifest::time::parse("2027-01-15T08:00:30Z").unwrap();
    assert_eq!(call.sessions[0].time.to, Some(stopped));
    let alice = &call.participants[0].intervals;
    assert!(
        alice.iter().all(|presence| presence.interval.to.is_some()),
        "{alice:?}"
    );
}

#[test]
fn what_is_wrong_with_a_bye_does_not_keep_the_call_up() {
    let mut world = World::new();
    let mut src = world.call("wrong");
    let bye = Ask::new("BYE").sole_body("application/sdp", "nonsense");
    assert_eq!(world.answer(&mut src, &bye).status(), 200);
    assert_eq!(world.calls(), 0);
}
