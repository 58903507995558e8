//! An INVITE with Replaces (RFC 3891): TC-134 and the decision table of TC-135.

use std::time::Duration;

use holdfast_control::Life;
use holdfast_manifest::EndReason;
use holdfast_recording::admission::{AdmissionConfig, Names, PeerConfig, Prefix};
use holdfast_recording::recorder::{RecorderConfig, SameSession};

use crate::peer::{Ask, Src, invite, metadata, offer, reply};
use crate::world::{Sent, World, starts};

fn replaces(src: &Src) -> String {
    format!(
        "Replaces: {};to-tag={};from-tag=src",
        src.call_id, src.to_tag
    )
}

/// The usual INVITE, from another socket of the client's.
fn replacing(src: &Src) -> Ask {
    invite().header(&replaces(src))
}

/// Everything that an untouched call is.
fn assert_untouched(world: &mut World, src: &mut Src, before: &holdfast_control::Recording) {
    assert_eq!(world.held().last().streams, before.streams);
    let ok = world.answer_among(src, &Ask::new("UPDATE"));
    assert_eq!(ok.status(), 200, "the old dialog is as it was");
}

#[test]
fn tc_134_the_recording_goes_on_in_the_new_dialog() {
    let mut world = World::new();
    let mut old = world.call("first");
    let (id, before) = (world.held_id(), world.held().last().clone());
    let mut new = Src::new("second");
    let sent = world.ask(&mut new, &replacing(&old));
    // The 200 first, then the BYE of the old dialog.
    let said = starts(&sent);
    assert!(said[0].starts_with("SIP/2.0 200"), "{said:?}");
    assert!(said[1].starts_with("BYE "), "{said:?}");
    assert!(sent[1].text.contains("Call-ID: first"), "{}", sent[1].text);
    new.to_tag = sent[0].to_tag();
    world.ack(&new);

    // While the old BYE is not answered, the ports of both are open.
    let during = world.held().last().clone();
    assert_eq!(world.held_id(), id, "one recording");
    assert_eq!(during.streams.len(), 4);
    assert!(
        before
            .streams
            .iter()
            .all(|one| during.streams.contains(one))
    );
    let numbers: Vec<u16> = during.streams.iter().map(|one| one.number).collect();
    assert_eq!(numbers, [3, 4, 1, 2]);
    let channels: Vec<u16> = during.streams.iter().map(|one| one.channel).collect();
    assert_eq!(channels, [0, 1, 0, 1], "who speaks stays on its channel");
    // RFC 3261 §12.2.2: nobody speaks in the old one any more.
    assert_eq!(world.answer(&mut old, &Ask::new("UPDATE")).status(), 481);
    world.receive(reply(&sent[1].text, 200, "").as_bytes());
    world.pass(Duration::from_millis(600));
    let after = world.held().last().clone();
    assert_eq!(after.streams, during.streams[..2]);

    let ok = world.answer(&mut new, &Ask::new("INVITE").sdp(&offer("sendonly")));
    assert_eq!(ok.status(), 200);
    world.ack(&new);
    assert_eq!(world.answer(&mut new, &Ask::new("BYE")).status(), 200);
    let published = world.published();
    let Life::Ended { reason, .. } = published.last().life else {
        panic!("{:?}", published.last());
    };
    assert_eq!(reason, EndReason::Bye);
    let call = published.call();
    assert_eq!(call.sip.call_id, "second");
    assert_eq!(call.formers.len(), 1);
    assert_eq!(call.formers[0].sip.call_id, "first");
    assert_eq!(call.formers[0].end_reason, EndReason::Replaced);
    assert_eq!(call.participants.len(), 2, "the same participants");
}

/// A peer that is gone answers no BYE.
#[test]
fn the_call_goes_on_where_the_old_peer_never_answers() {
    let mut world = World::new();
    let old = world.call("first");
    let mut new = Src::new("second");
    let sent = world.ask(&mut new, &replacing(&old));
    new.to_tag = sent[0].to_tag();
    world.ack(&new);
    world.pass_secs(40);
    assert_eq!(world.held().last().streams.len(), 2);
    assert_eq!(world.answer(&mut new, &Ask::new("UPDATE")).status(), 200);
}

/// One after the other takes the place of the one before.
#[test]
fn a_chain_of_replacements_is_one_recording() {
    let mut world = World::keeping();
    let mut last = world.call("call-0");
    for number in 1..=4 {
        let mut new = Src::new(&format!("call-{number}"));
        let sent = world.ask(&mut new, &replacing(&last));
        new.to_tag = sent[0].to_tag();
        world.ack(&new);
        world.receive(reply(&sent[1].text, 481, "").as_bytes());
        if number == 2 {
            world.restart(Duration::from_secs(1));
        }
        last = new;
    }
    assert_eq!(
        world.answer_among(&mut last, &Ask::new("BYE")).status(),
        200
    );
    assert_eq!(world.published().call().formers.len(), 4);
}

fn refusal(world: &mut World, ask: &Ask) -> Sent {
    let other = format!("other-{}", world.recorder.statistics().invites);
    world.answer(&mut Src::new(&other), ask)
}

#[test]
fn tc_135_what_is_refused_leaves_the_old_dialog_as_it_was() {
    let mut world = World::new();
    let mut old = world.call("first");
    let before = world.held().last().clone();
    let named = replaces(&old);
    let tag = old.to_tag.clone();
    let unusable = "v=0\no=src 1 1 IN IP4 192.0.2.10\ns=-\nc=IN IP4 192.0.2.10\nt=0 0\n\
                    m=audio 40000 RTP/AVP 77\n";
    let foreign = metadata().replace("c2Vzc2lvbi0xMjM0NTY3OA==", "b3RoZXItc2Vzc2lvbi0xMg==");
    for (what, ask, status) in [
        ("two of them", invite().header(&named).header(&named), 400),
        (
            "no from-tag",
            invite().header(&format!("Replaces: first;to-tag={tag}")),
            400,
        ),
        (
            "two to-tags",
            invite().header(&format!(
                "Replaces: first;to-tag={tag};to-tag=1;from-tag=src"
            )),
            400,
        ),
        (
            "with Join",
            invite()
                .header(&named)
                .header("Join: x;to-tag=1;from-tag=2"),
            400,
        ),
        (
            "swapped tags",
            invite().header(&format!("Replaces: first;to-tag=src;from-tag={tag}")),
            481,
        ),
        (
            "an unknown dialog",
            invite().header(&format!("Replaces: nobody;to-tag={tag};from-tag=src")),
            481,
        ),
        (
            "early-only",
            invite().header(&format!("{named};early-only")),
            486,
        ),
        (
            "bad SDP",
            Ask::new("INVITE")
                .sdp(unusable)
                .metadata(&metadata())
                .header(&named),
            488,
        ),
        (
            "the metadata of another session",
            Ask::new("INVITE")
                .sdp(&offer("sendonly"))
                .metadata(&foreign)
                .header(&named),
            403,
        ),
    ] {
        let answer = refusal(&mut world, &ask);
        assert_eq!(answer.status(), status, "{what}: {}", answer.text);
        assert_untouched(&mut world, &mut old, &before);
    }
    let update = Ask::new("UPDATE").header(&named);
    assert_eq!(world.answer(&mut old, &update).status(), 400);
    // No recording session.
    let mut plain = Src::new("plain");
    plain.require.clear();
    plain.contact = "<sip:somebody@192.0.2.10:5060>".to_owned();
    let ask = Ask::new("INVITE").sdp(&offer("sendonly")).header(&named);
    assert_eq!(world.answer(&mut plain, &ask).status(), 403);
    assert_untouched(&mut world, &mut old, &before);
}

#[test]
fn tc_135_a_dialog_that_has_ended_is_answered_603_for_a_while() {
    let mut world = World::new();
    let mut old = world.call("first");
    let ask = replacing(&old);
    assert_eq!(world.answer(&mut old, &Ask::new("BYE")).status(), 200);
    assert_eq!(refusal(&mut world, &ask).status(), 603);
    world.pass_secs(40);
    assert_eq!(refusal(&mut world, &ask).status(), 481);
}

/// A dialog whose INVITE waits for the engine has no answer yet: nobody can name it.
#[test]
fn tc_135_an_early_dialog_is_left_alone() {
    let mut world = World::new();
    world.engine.manner.is_silent = true;
    let mut early = Src::new("early");
    world.ask(&mut early, &invite());
    let named = "Replaces: early;to-tag=1;from-tag=src";
    assert_eq!(refusal(&mut world, &invite().header(named)).status(), 481);
}

#[test]
fn tc_135_only_the_peer_that_began_the_call_may_replace_it() {
    // Nobody has a profile: then the address tells.
    let mut world = World::new();
    let mut old = world.call("first");
    let before = world.held().last().clone();
    let home = world.source;
    world.source.remote = "203.0.113.9:5060".parse().unwrap();
    assert_eq!(refusal(&mut world, &replacing(&old)).status(), 403);
    world.source = home;
    assert_untouched(&mut world, &mut old, &before);

    // Two that have: each its own, from whatever address.
    let peer = |name: &str, address: &str| PeerConfig {
        name: name.to_owned(),
        addresses: vec![Prefix::new(address.parse().unwrap(), 24)],
        certificates: None::<Names>,
        may_be_called: false,
        is_trusted: false,
        users: None,
        is_strict: false,
        takes_plain_invites: false,
        labels: Vec::new(),
        codecs: Vec::new(),
        srtp: Default::default(),
    };
    let mut world = World::with(RecorderConfig {
        admission: AdmissionConfig {
            peers: vec![peer("a", "192.0.2.0"), peer("b", "203.0.113.0")],
            ..AdmissionConfig::default()
        },
        ..RecorderConfig::default()
    });
    let old = world.call("first");
    world.source.remote = "203.0.113.9:5060".parse().unwrap();
    assert_eq!(refusal(&mut world, &replacing(&old)).status(), 403);
    world.source.remote = "192.0.2.99:5060".parse().unwrap();
    let sent = world.ask(&mut Src::new("second"), &replacing(&old));
    assert_eq!(sent[0].status(), 200);
}

#[test]
fn an_engine_that_refuses_the_new_streams_leaves_the_old_ones() {
    let mut world = World::new();
    let mut old = world.call("first");
    let before = world.held().last().clone();
    world.engine.manner.refuses_all = Some(holdfast_control::RefusalReason::Journal);
    assert_eq!(refusal(&mut world, &replacing(&old)).status(), 503);
    world.engine.manner.refuses_all = None;
    world.pass_secs(5);
    assert_untouched(&mut world, &mut old, &before);
    // Nor does one that is away.
    world.disconnect();
    assert_eq!(refusal(&mut world, &replacing(&old)).status(), 503);
}

#[test]
fn a_cancel_is_quicker() {
    let mut world = World::new();
    let mut old = world.call("first");
    let before = world.held().last().clone();
    world.engine.manner.is_silent = true;
    let mut new = Src::new("second");
    world.ask(&mut new, &replacing(&old));
    world.receive(&new.cancel());
    world.engine_speaks();
    world.pass(Duration::from_millis(10));
    assert_untouched(&mut world, &mut old, &before);
}

#[test]
fn it_is_said_that_replaces_is_known() {
    let mut world = World::new();
    let ok = world.answer(&mut Src::new("options"), &Ask::new("OPTIONS"));
    assert!(ok.header("Supported").unwrap().contains("replaces"));
    let ask = invite().header("Require: replaces");
    assert_eq!(world.answer(&mut Src::new("requires"), &ask).status(), 200);
}

fn with_same_session(same_session: SameSession) -> World {
    World::with(RecorderConfig {
        same_session,
        ..RecorderConfig::default()
    })
}

/// A client that does not know Replaces begins anew with the ids of what it was recording.
#[test]
fn the_same_session_without_replaces_is_what_the_operator_wants_it_to_be() {
    for (wanted, recordings, is_flagged) in [
        (SameSession::Off, 2, false),
        (SameSession::New, 2, true),
        (SameSession::Join, 1, false),
    ] {
        let mut world = with_same_session(wanted);
        world.call("first");
        let sent = world.ask(&mut Src::new("second"), &invite());
        assert_eq!(sent[0].status(), 200);
        assert_eq!(world.engine.held.len(), recordings, "{wanted:?}");
        let flagged = world.engine.held.values().any(|held| {
            let warnings = &held.call().warnings;
            warnings
                .iter()
                .any(|one| one.code == "session_in_another_recording")
        });
        assert_eq!(flagged, is_flagged, "{wanted:?}");
    }
}

#[test]
fn a_stranger_with_the_same_session_joins_nothing() {
    let mut world = with_same_session(SameSession::Join);
    world.call("first");
    world.source.remote = "203.0.113.9:5060".parse().unwrap();
    world.ask(&mut Src::new("second"), &invite());
    assert_eq!(world.engine.held.len(), 2);
}
