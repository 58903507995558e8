//! Metadata in UPDATE: with and without a session description.

use holdfast_sip::Message;

use crate::peer::{Ask, metadata, offer, recording};
use crate::world::World;

#[test]
fn a_bare_document_is_merged_and_the_200_has_no_body() {
    let mut world = World::new();
    let mut src = world.call("update");
    let heard = world.revisions_heard();
    let carol = recording(
        "<participant participant_id=\"cGFydGljaXBhbnQtQ0NDQw==\">\
         <nameID aor=\"sip:carol@example.com\"><name>Carol</name></nameID></participant>",
        "partial",
    );
    let update = Ask::new("UPDATE").sole_body("application/rs-metadata+xml", &carol);
    let ok = world.answer(&mut src, &update);
    assert_eq!(ok.status(), 200);
    assert_eq!(ok.body(), "");
    assert!(ok.header("Contact").unwrap().ends_with(";+sip.srs"));
    let held = world.held();
    assert_eq!(held.text("0002.xml"), carol);
    assert_eq!(held.call().participants.len(), 3);
    assert_eq!(held.call().metadata[1].carried_by, "UPDATE");
    assert_eq!(world.revisions_heard(), heard + 1);
}

#[test]
fn a_copy_is_not_merged_twice() {
    let mut world = World::new();
    let mut src = world.call("copy");
    let update = Ask::new("UPDATE").metadata(&metadata());
    world.answer(&mut src, &update);
    let copy = src.write(&update, src.cseq);
    world.receive(&copy);
    assert_eq!(world.starts(), ["SIP/2.0 200 OK"]);
    assert_eq!(world.held().call().metadata.len(), 2);
}

#[test]
fn broken_metadata_in_a_call_is_kept_and_changes_nothing() {
    let mut world = World::new();
    let mut src = world.call("broken");
    let broken = "<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\"><participant \
                  participant_id=\"x\"><nameID aor=\"sip:x@example.com\"/></participant><oops";
    let update = Ask::new("UPDATE").sole_body("application/rs-metadata+xml", broken);
    assert_eq!(world.answer(&mut src, &update).status(), 200);
    let held = world.held();
    assert_eq!(held.text("0002.xml"), broken);
    assert_eq!(held.call().participants.len(), 2);
    assert!(
        held.call().metadata[1]
            .flags
            .contains(&"ill_formed".to_owned())
    );
}

#[test]
fn an_empty_update_refreshes_and_says_nothing_to_the_engine() {
    let mut world = World::new();
    let mut src = world.call("empty");
    let heard = world.engine.heard.len();
    assert_eq!(world.answer(&mut src, &Ask::new("UPDATE")).status(), 200);
    assert_eq!(world.engine.heard.len(), heard);
}

#[test]
fn an_unchanged_offer_is_answered_without_the_engine() {
    let mut world = World::new();
    let mut src = world.call("same");
    world.engine.manner.is_silent = true;
    let ok = world.answer(&mut src, &Ask::new("UPDATE").sdp(&offer("sendonly")));
    assert_eq!(ok.status(), 200);
    assert_eq!(
        ok.lines("o="),
        ["o=holdfast 4008988801 1 IN IP4 198.51.100.7"],
        "same version"
    );
    assert!(Message::parse(ok.text.as_bytes()).is_ok());
}
