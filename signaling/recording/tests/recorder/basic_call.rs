//! INVITE, 200, ACK, BYE, and what is left of it.

use holdfast_control::{Life, StreamMode, ToEngine};
use holdfast_manifest::EndReason;
use holdfast_recording::recorder::Notice;

use crate::peer::{Ask, Src, invite};
use crate::world::World;

#[test]
fn the_200_leaves_when_the_engine_has_it_and_says_what_rfc_7866_wants() {
    let mut world = World::new();
    world.engine.manner.is_silent = true;
    let mut src = Src::new("basic");
    assert!(
        world.ask(&mut src, &invite()).is_empty(),
        "the engine has not confirmed"
    );
    world.engine_speaks();
    let ok = world.take_sent().remove(0);
    assert_eq!(ok.status(), 200);
    assert_eq!(ok.header("Content-Type").unwrap(), "application/sdp");
    assert_eq!(
        ok.header("Contact").unwrap(),
        "<sip:198.51.100.7:5060>;+sip.srs"
    );
    for name in ["Allow", "Supported", "Accept"] {
        assert!(ok.header(name).is_some(), "{name} in {}", ok.text);
    }
    assert!(ok.header("Require").is_none());
    assert!(
        ok.header("Session-Expires").is_none(),
        "nobody asked for a timer"
    );
    assert_eq!(ok.directions(), ["recvonly", "recvonly"]);
    assert_eq!(ok.lines("a=label:"), ["a=label:1", "a=label:2"]);
    assert_eq!(ok.lines("c="), ["c=IN IP4 198.51.100.7"]);
    let streams = world.held().last().streams.clone();
    assert_eq!(ok.ports(), [streams[0].rtp_port, streams[1].rtp_port]);
}

#[test]
fn documents_come_before_the_state_and_say_what_the_call_is() {
    let mut world = World::new();
    world.call("documents");
    let names: Vec<String> = world
        .engine
        .heard
        .iter()
        .map(|message| match message {
            ToEngine::Document(document) => document.name.as_str().to_owned(),
            ToEngine::Recording(recording) => format!("revision {}", recording.revision),
            ToEngine::Hello { .. } => "hello".to_owned(),
            ToEngine::ReconcileDone => "done".to_owned(),
            ToEngine::AskLatencies => "latencies".to_owned(),
            ToEngine::AskMedia { .. } => "media".to_owned(),
        })
        .collect();
    assert_eq!(
        names,
        [
            "hello",
            "done",
            "0001.sip",
            "0001.sdp",
            "0001.xml",
            "call.json",
            "revision 1",
            // Our tag is known once the 200 has left.
            "call.json",
        ]
    );
    let held = world.held();
    assert!(
        held.text("0001.sip")
            .starts_with("INVITE sip:recorder@198.51.100.7 SIP/2.0\r\n")
    );
    assert!(
        held.text("0001.sip").ends_with("\r\n\r\n"),
        "the head, without the body"
    );
    assert!(
        held.text("0001.xml")
            .contains("<datamode>complete</datamode>")
    );
    assert!(held.text("0001.sdp").starts_with("v=0\r\n"));
    let call = held.call();
    assert_eq!(call.sip.call_id, "documents");
    assert_eq!(call.sip.remote_tag, "src");
    assert!(!call.sip.local_tag.is_empty());
    assert_eq!(call.sip.peer, Some("192.0.2.10:5060".parse().unwrap()));
    assert_eq!(call.participants[0].names, ["Alice"]);
    assert_eq!(call.participants[1].aors, ["sip:bob@example.com"]);
    assert_eq!(call.channels.len(), 2);
    assert_eq!(call.channels[0].labels, ["1"]);
    assert_eq!(
        call.channels[0].participant,
        Some(call.participants[0].id.clone())
    );
    assert_eq!(call.metadata[0].file, "metadata/0001.xml");
    assert_eq!(call.metadata[0].carried_by, "INVITE");
    assert!(call.warnings.is_empty(), "{:?}", call.warnings);
}

#[test]
fn the_streams_are_what_was_agreed_on() {
    let mut world = World::new();
    world.call("streams");
    let recording = world.held().last().clone();
    assert_eq!(recording.life, Life::Active);
    assert_eq!(
        recording.started,
        holdfast_units::WallTime(1_800_000_000_000_000_000)
    );
    let [one, two] = recording.streams.as_slice() else {
        panic!("{recording:?}")
    };
    assert_eq!((one.number, two.number), (1, 2));
    assert_eq!((one.media_line, two.media_line), (0, 1));
    assert_eq!((one.channel, two.channel), (0, 1));
    assert_eq!(one.label.as_deref(), Some("1"));
    assert_eq!(one.mode, StreamMode::Record);
    assert_eq!(one.codecs[&0].name, "PCMU");
    assert_eq!(
        one.address,
        "198.51.100.7".parse::<std::net::IpAddr>().unwrap()
    );
    assert_eq!(one.peer_rtp, Some("192.0.2.10:40000".parse().unwrap()));
    assert_eq!(one.peer_rtcp, Some("192.0.2.10:40001".parse().unwrap()));
    assert_eq!(one.signaling_peer, Some("192.0.2.10".parse().unwrap()));
    assert_eq!(one.cname, two.cname);
    assert_eq!(one.cname.len(), 16, "96 bits in base64 (RFC 7022)");
    assert_ne!(one.id, two.id);
    assert_eq!(one.id.0 >> 32, 1_800_000_000);
    assert!(one.send_reports);
}

#[test]
fn a_bye_is_answered_at_once_and_ends_the_recording() {
    let mut world = World::new();
    let mut src = world.call("bye");
    world.engine.manner.is_silent = true;
    let ok = world.answer(&mut src, &Ask::new("BYE"));
    assert_eq!(ok.status(), 200);
    assert_eq!(world.recorder.statistics().publishing, 1);
    world.engine_speaks();
    let id = world.held_id();
    let published = world.engine.publish(id);
    world.engine_says(published);
    assert!(matches!(
        world.published().last().life,
        Life::Ended {
            reason: EndReason::Bye,
            ..
        }
    ));
    let statistics = world.recorder.statistics();
    assert_eq!(
        (
            statistics.calls,
            statistics.publishing,
            statistics.published
        ),
        (0, 0, 1)
    );
    assert!(matches!(
        world.notices.last(),
        Some(Notice::Published { .. })
    ));
    assert_eq!(
        world.answer(&mut src, &Ask::new("BYE")).status(),
        481,
        "the dialog is over"
    );
}

#[test]
fn ports_are_free_again_after_their_rest_and_no_sooner() {
    let mut world = World::new();
    // One shard of two pairs.
    world.disconnect();
    world.engine.shards = vec![holdfast_control::ShardPorts {
        first: 10_000,
        last: 10_003,
    }];
    world.connect();
    let mut src = world.call("first");
    assert_eq!(
        world.answer(&mut Src::new("second"), &invite()).status(),
        503
    );
    world.answer(&mut src, &Ask::new("BYE"));
    assert_eq!(
        world.answer(&mut Src::new("third"), &invite()).status(),
        503
    );
    world.pass_secs(5);
    world.call("fourth");
}

#[test]
fn copies_of_an_invite_make_one_recording() {
    let mut world = World::new();
    let mut src = Src::new("copies");
    let first = world.answer(&mut src, &invite());
    let again = src.write(&invite(), 1);
    world.receive(&again);
    world.pass_secs(1);
    assert!(world.take_sent().iter().all(|sent| sent.text == first.text));
    assert_eq!(world.engine.held.len(), 1);
    assert_eq!(world.recorder.statistics().invites, 1);
}
