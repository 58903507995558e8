//! Asking for all of the metadata (RFC 7866 §9.2, P-70 to P-77).

use std::time::Duration;

use holdfast_control::Life;
use holdfast_manifest::EndReason;

use crate::peer::{Ask, Src, metadata, offer, recording, reply};
use crate::world::{Sent, World};

const ALLOW: &str = "Allow: INVITE, ACK, CANCEL, BYE, UPDATE";

fn partial() -> String {
    recording(
        "<participant participant_id=\"cGFydGljaXBhbnQtQUFBQQ==\">\
         <nameID aor=\"sip:alice@example.com\"/></participant>",
        "partial",
    )
}

/// A call that began with a partial document.
fn begun(allow: &str, kind: &str) -> (World, Src, Vec<Sent>) {
    let mut world = World::new();
    let ask = Ask::new("INVITE")
        .header(allow)
        .sdp(&offer("sendonly"))
        .part(&format!("Content-Type: {kind}"), &partial());
    let mut src = Src::new("partial");
    let ok = world.answer(&mut src, &ask);
    assert_eq!(ok.status(), 200);
    src.to_tag = ok.to_tag();
    assert!(world.take_sent().is_empty(), "nothing before the ACK");
    world.ack(&src);
    let sent = world.take_sent();
    (world, src, sent)
}

fn only(mut sent: Vec<Sent>) -> String {
    assert_eq!(sent.len(), 1, "{:?}", crate::world::starts(&sent));
    sent.remove(0).text
}

/// TC-45, TC-46.
#[test]
fn a_partial_document_first_asks_for_all_of_it_once() {
    let (mut world, mut src, sent) = begun(ALLOW, "application/rs-metadata+xml");
    let update = only(sent);
    assert!(update.starts_with("UPDATE sip:src@192.0.2.10:5060 SIP/2.0\r\n"));
    for line in [
        "CSeq: 1 UPDATE",
        "Contact: <sip:198.51.100.7:5060>;+sip.srs",
        "Require: siprec",
        "Accept: application/sdp, application/rs-metadata+xml, application/rs-metadata",
        "Content-Type: application/rs-metadata+xml",
        "Content-Disposition: recording-session",
    ] {
        assert!(
            update.contains(&format!("\r\n{line}\r\n")),
            "{line}: {update}"
        );
    }
    let body = update.split_once("\r\n\r\n").unwrap().1;
    assert!(body.contains("<requestsnapshot xmlns=\"urn:ietf:params:xml:ns:recording:1\">"));
    assert!(!body.contains("m=audio"));
    world.receive(reply(&update, 200, "").as_bytes());

    // It comes by a request of its own (P-75), and is what counts from then on.
    let snapshot = Ask::new("INVITE")
        .header(ALLOW)
        .sdp(&offer("sendonly"))
        .metadata(&metadata());
    assert_eq!(world.answer(&mut src, &snapshot).status(), 200);
    world.ack(&src);
    world.take_sent();
    world.pass_secs(600);
    assert!(world.take_sent().is_empty(), "there is nothing left to ask");
    let call = world.held().call();
    assert_eq!(call.participants.len(), 2);
    assert!(
        call.warnings
            .iter()
            .any(|one| one.code == "metadata_no_base")
    );
}

#[test]
fn it_is_asked_in_the_words_of_the_peer() {
    for (accept, kind, expected) in [
        ("", "application/rs-metadata", "application/rs-metadata"),
        (
            "Accept: application/sdp",
            "application/rs-metadata+xml",
            "application/rs-metadata+xml",
        ),
        (
            "Accept: application/sdp, application/rs-metadata-request",
            "application/rs-metadata+xml",
            "application/rs-metadata-request",
        ),
        (
            "Accept: application/rs-metadata, application/rs-metadata-request",
            "application/rs-metadata+xml",
            "application/rs-metadata",
        ),
    ] {
        let headers = match accept {
            "" => ALLOW.to_owned(),
            accept => format!("{ALLOW}\r\n{accept}"),
        };
        let update = only(begun(&headers, kind).2);
        let line = format!("\r\nContent-Type: {expected}\r\n");
        assert!(update.contains(&line), "{accept} {kind}: {update}");
    }
}

/// TC-48, P-73.
#[test]
fn a_peer_without_update_is_not_asked_and_the_recording_goes_on() {
    let (mut world, mut src, sent) = begun("Allow: INVITE, ACK, BYE", "application/rs-metadata");
    assert!(sent.is_empty());
    world.pass_secs(100);
    assert_eq!((world.calls(), world.take_sent().len()), (1, 0));
    // Its next request says that it can.
    let update = Ask::new("UPDATE").header(ALLOW);
    let sent = world.ask(&mut src, &update);
    assert!(
        sent.iter().any(|sent| sent.text.starts_with("UPDATE ")),
        "{:?}",
        sent.len()
    );
    assert_eq!(world.answer(&mut src, &Ask::new("BYE")).status(), 200);
    let warnings = world.published().call().warnings;
    assert!(warnings.iter().any(|one| one.code == "metadata_incomplete"));
}

/// TC-47, P-77.
#[test]
fn what_a_refusal_means() {
    for (status, extra, again_within_ms) in [
        (405, "", None),
        (415, "", None),
        (420, "", None),
        (501, "", None),
        (401, "", None),
        (491, "", Some(2_000)),
        (500, "Retry-After: 5\r\n", Some(5_000)),
    ] {
        let (mut world, _, sent) = begun(ALLOW, "application/rs-metadata+xml");
        world.receive(reply(&only(sent), status, extra).as_bytes());
        world.pass(Duration::from_millis(again_within_ms.unwrap_or(600_000)));
        let again = world.take_requests();
        assert_eq!(
            again.len(),
            usize::from(again_within_ms.is_some()),
            "{status}"
        );
        assert_eq!(world.calls(), 1, "{status}");
    }
    for status in [None, Some(408), Some(481)] {
        let (mut world, _, sent) = begun(ALLOW, "application/rs-metadata+xml");
        match status {
            Some(status) => world.receive(reply(&only(sent), status, "").as_bytes()),
            None => world.pass_secs(32),
        }
        assert_eq!(world.calls(), 0, "{status:?}");
        let life = world.published().last().life;
        let is_timeout = matches!(
            life,
            Life::Ended {
                reason: EndReason::SipTimeout,
                ..
            }
        );
        assert!(is_timeout, "{life:?}");
    }
}

/// P-76: a peer that says yes and sends nothing is asked so often and no more.
#[test]
fn a_peer_that_consents_and_sends_nothing_is_asked_four_times() {
    let (mut world, mut src, sent) = begun(ALLOW, "application/rs-metadata+xml");
    world.receive(reply(&only(sent), 200, "").as_bytes());
    let mut asked = 1;
    for _ in 0..100 {
        // Partial documents go on meanwhile; they ask nothing by themselves.
        world.answer(
            &mut src,
            &Ask::new("UPDATE").header(ALLOW).metadata(&partial()),
        );
        world.pass_secs(4);
        for sent in world.take_sent() {
            if sent.text.starts_with("UPDATE ") {
                asked += 1;
                world.receive(reply(&sent.text, 200, "").as_bytes());
            }
        }
    }
    assert_eq!((asked, world.calls()), (4, 1));
}

/// P-74: a document that is broken would be broken again, and a complete one that is dangling too.
#[test]
fn what_asking_would_not_mend_is_not_asked() {
    let dangling = recording(
        "<participantstreamassoc participant_id=\"cGFydGljaXBhbnQtQUFBQQ==\">\
         <send>c3RyZWFtLTk5OTk5OTk5OQ==</send></participantstreamassoc>",
        "complete",
    );
    for document in [
        "<recording><datamode>partial</",
        "nonsense",
        dangling.as_str(),
    ] {
        let mut world = World::new();
        let ask = Ask::new("INVITE")
            .header(ALLOW)
            .sdp(&offer("sendonly"))
            .metadata(document);
        world.call_with("broken", &ask);
        world.take_sent();
        world.pass_secs(100);
        assert!(world.take_sent().is_empty(), "{document}");
    }
}

/// P-74: a partial document that builds on what is not known here.
#[test]
fn a_partial_document_with_unknown_ids_asks() {
    let mut world = World::new();
    let mut src = world.call_with(
        "unknown",
        &Ask::new("INVITE")
            .header(ALLOW)
            .sdp(&offer("sendonly"))
            .metadata(&metadata()),
    );
    world.take_sent();
    let dangling = recording(
        "<participantstreamassoc participant_id=\"cGFydGljaXBhbnQtWlpaWg==\">\
         <send>c3RyZWFtLTExMTExMTExMQ==</send></participantstreamassoc>",
        "partial",
    );
    let sent = world.ask(&mut src, &Ask::new("UPDATE").metadata(&dangling));
    let is_update = |sent: &&Sent| sent.text.starts_with("UPDATE ");
    assert_eq!(sent.iter().filter(is_update).count(), 1);
}
