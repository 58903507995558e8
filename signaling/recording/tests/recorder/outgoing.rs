//! TC-36: the recorder calls a client and records what it offers (RFC 7866 §6.2, P-08, P-09).

use std::net::SocketAddr;
use std::time::Duration;

use holdfast_control::operator::{Answer, Command, Refusal, Stage};
use holdfast_control::{Life, StreamMode};
use holdfast_manifest::EndReason;
use holdfast_recording::admission::{AdmissionConfig, PeerConfig, Prefix};
use holdfast_recording::recorder::{Destination, RecorderConfig, WhenStoreAway};
use holdfast_units::RecordingId;

use crate::peer::{Ask, Src, metadata, offer, reply, reply_with, sdp};
use crate::world::{Sent, World};

const URI: &str = "sip:src@192.0.2.10:5060";

/// The client at 192.0.2.10 may be called.
fn config() -> RecorderConfig {
    let peer = PeerConfig {
        name: "pbx".to_owned(),
        addresses: vec![Prefix::new([192, 0, 2, 10].into(), 32)],
        certificates: None,
        may_be_called: true,
        is_trusted: false,
        users: None,
        is_strict: false,
        takes_plain_invites: false,
        labels: Vec::new(),
        codecs: Vec::new(),
        srtp: RecorderConfig::default().srtp,
    };
    RecorderConfig {
        admission: AdmissionConfig {
            peers: vec![peer],
            ..AdmissionConfig::default()
        },
        when_store_away: Some(WhenStoreAway::Accept),
        ..RecorderConfig::default()
    }
}

fn record(world: &mut World, uri: &str) -> Result<RecordingId, Refusal> {
    let local: SocketAddr = world.source.local;
    let destination = Destination::parse(uri)?;
    let placed = world
        .recorder
        .record(world.now, world.wall(), destination, local);
    world.settle();
    placed
}

/// A call that is placed, and its INVITE.
fn placed(world: &mut World) -> (RecordingId, Sent) {
    let id = record(world, URI).expect("it may be called");
    let sent = world.take_requests();
    assert_eq!(sent.len(), 1);
    (id, sent[0].clone())
}

fn tagged(text: String) -> String {
    text.replace(
        &format!("To: <{URI}>\r\n"),
        &format!("To: <{URI}>;tag=src\r\n"),
    )
}

fn says(world: &mut World, text: String) -> Vec<Sent> {
    world.sent.clear();
    world.receive(tagged(text).as_bytes());
    world.take_sent()
}

/// The client's 200 with an offer and, where wanted, metadata.
fn accepts(invite: &Sent, extra: &str) -> String {
    let contact = format!("Contact: <{URI}>;+sip.src\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n");
    let body = format!(
        "--b\r\nContent-Type: application/sdp\r\n\r\n{}\r\n--b\r\nContent-Type: \
         application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n{}\r\n--b--\r\n",
        offer("sendonly"),
        metadata()
    );
    let kind = "multipart/mixed;boundary=b";
    reply_with(&invite.text, 200, &(contact + extra), kind, &body)
}

/// The dialog as the client sees it.
fn dialog_of(invite: &Sent) -> (String, String) {
    let value = |name: &str| {
        let prefix = format!("{name}: ");
        let found = invite
            .text
            .split("\r\n")
            .find_map(|l| l.strip_prefix(&prefix));
        found.expect(name).to_owned()
    };
    (value("Call-ID"), value("From"))
}

fn request(invite: &Sent, method: &'static str, cseq: u32) -> String {
    let (call_id, from) = dialog_of(invite);
    let mut src = Src::new(&call_id);
    src.to_tag = "ours".to_owned();
    let text = String::from_utf8(src.write(&Ask::new(method), cseq)).unwrap();
    text.replace("<sip:recorder@example.com>;tag=ours", &from)
}

#[test]
fn tc_36_the_recorder_calls_and_its_ack_has_the_answer() {
    let mut world = World::with(config());
    let (id, invite) = placed(&mut world);
    for line in [
        "Require: siprec",
        "Content-Length: 0",
        "Session-Expires: 7200;refresher=uac",
    ] {
        assert!(invite.text.contains(&format!("{line}\r\n")), "{line}");
    }
    assert!(invite.text.contains("\r\nSupported: timer"));
    assert!(invite.text.contains(";+sip.srs\r\n"), "{}", invite.text);
    assert!(!invite.text.contains("Content-Type"), "no offer of ours");
    let listed = world
        .recorder
        .handle_command(world.now, world.wall(), Command::Show { id });
    assert!(
        matches!(&listed, Answer::Call { call } if call.stage == Stage::Opening && call.id == id)
    );

    assert!(says(&mut world, reply(&invite.text, 180, "")).is_empty());
    assert!(world.called.is_empty(), "it rings");
    let sent = says(&mut world, accepts(&invite, ""));
    assert_eq!(sent.len(), 1, "{:?}", crate::world::starts(&sent));
    let ack = &sent[0];
    assert!(ack.text.starts_with(&format!("ACK {URI} ")), "{}", ack.text);
    assert_eq!(ack.directions(), ["recvonly", "recvonly"]);
    assert!(ack.ports().iter().all(|port| *port > 0));
    assert_eq!(world.called, [(id, Ok(()))]);

    let held = world.held();
    assert_eq!(world.held_id(), id);
    assert!(
        held.last()
            .streams
            .iter()
            .all(|one| one.mode == StreamMode::Record)
    );
    let call = world
        .recorder
        .handle_command(world.now, world.wall(), Command::Show { id });
    let Answer::Call { call } = call else {
        panic!("{call:?}")
    };
    assert_eq!((call.stage, call.participants.len()), (Stage::Up, 2));
    // It is kept like any other, from before the ACK on.
    assert_eq!(world.store.state()["id"], id.to_string());

    let sent = says(&mut world, request(&invite, "BYE", 1));
    assert_eq!(sent[0].status(), 200);
    assert!(matches!(
        world.published().last().life,
        Life::Ended {
            reason: EndReason::Bye,
            ..
        }
    ));
    assert_eq!(world.calls(), 0);
}

#[test]
fn the_session_is_refreshed_as_the_200_says_and_ended_by_us() {
    let mut world = World::with(config());
    let (id, invite) = placed(&mut world);
    says(
        &mut world,
        accepts(&invite, "Session-Expires: 120;refresher=uac\r\n"),
    );
    world.pass_secs(60);
    let refresh = world.take_requests();
    assert!(
        refresh[0].text.starts_with("UPDATE "),
        "{}",
        refresh[0].text
    );
    assert!(refresh[0].text.contains("CSeq: 2 UPDATE\r\n"));
    let extra = "Session-Expires: 120;refresher=uac\r\n";
    world.receive(reply(&refresh[0].text, 200, extra).as_bytes());
    let now = world.now;
    let wall = world.wall();
    world
        .recorder
        .handle_command(now, wall, Command::HangUp { id });
    world.settle();
    let bye = world.take_requests();
    assert!(bye[0].text.starts_with("BYE "), "{}", bye[0].text);
}

#[test]
fn who_refuses_is_told_to_the_operator_by_its_status() {
    for status in [302, 401, 404, 486, 503, 603] {
        let mut world = World::with(config());
        let (id, invite) = placed(&mut world);
        let sent = says(&mut world, reply(&invite.text, status, ""));
        assert!(sent[0].text.starts_with("ACK "));
        assert_eq!(world.called, [(id, Err(Refusal::Rejected { status }))]);
        assert!(world.engine.held.is_empty());
    }
}

#[test]
fn a_longer_session_timer_is_asked_for_once_more() {
    let mut world = World::with(config());
    let (id, invite) = placed(&mut world);
    world.receive(reply(&invite.text, 422, "Min-SE: 9000\r\n").as_bytes());
    let again = world.take_requests();
    let again = again.iter().find(|sent| sent.text.starts_with("INVITE "));
    let again = again.expect("once more").clone();
    assert!(
        again.text.contains("Session-Expires: 9000"),
        "{}",
        again.text
    );
    assert!(again.text.contains("Min-SE: 9000"));
    says(&mut world, accepts(&again, ""));
    assert_eq!(world.called, [(id, Ok(()))]);
}

#[test]
fn who_does_not_answer_is_given_up() {
    let mut world = World::with(config());
    let (id, _) = placed(&mut world);
    world.pass_secs(33);
    assert_eq!(world.called, [(id, Err(Refusal::Unanswered))]);
}

#[test]
fn who_rings_for_a_minute_is_cancelled() {
    let mut world = World::with(config());
    let (id, invite) = placed(&mut world);
    says(&mut world, reply(&invite.text, 180, ""));
    world.pass(Duration::from_millis(60_100));
    let cancel = world.take_requests();
    assert!(cancel[0].text.starts_with("CANCEL "), "{}", cancel[0].text);
    world.receive(reply(&cancel[0].text, 200, "").as_bytes());
    says(&mut world, reply(&invite.text, 487, ""));
    assert_eq!(world.called, [(id, Err(Refusal::Unanswered))]);
}

#[test]
fn a_200_that_crosses_the_cancel_gets_an_answer_that_refuses_and_a_bye() {
    let mut world = World::with(config());
    let (id, invite) = placed(&mut world);
    says(&mut world, reply(&invite.text, 180, ""));
    let (now, wall) = (world.now, world.wall());
    world
        .recorder
        .handle_command(now, wall, Command::HangUp { id });
    world.settle();
    let sent = says(&mut world, accepts(&invite, ""));
    let starts = crate::world::starts(&sent);
    assert!(
        starts[0].starts_with("ACK ") && starts[1].starts_with("BYE "),
        "{starts:?}"
    );
    assert_eq!(sent[0].ports(), [0, 0]);
    assert_eq!(world.called, [(id, Err(Refusal::Ended))]);
    assert!(world.engine.held.is_empty());
}

#[test]
fn an_offer_that_cannot_be_recorded_is_answered_and_ended() {
    let mut world = World::with(config());
    for description in [
        sdp(&["m=audio 40000 RTP/AVP 96\na=rtpmap:96 nobody-knows/8000\na=sendonly\n"]),
        sdp(&["m=audio 40000 UDP/BFCP *\na=sendonly\n"]),
    ] {
        world.called.clear();
        let (id, invite) = placed(&mut world);
        let ok = reply_with(&invite.text, 200, "", "application/sdp", &description);
        let sent = says(&mut world, ok);
        let starts = crate::world::starts(&sent);
        if world.called == [(id, Ok(()))] {
            // A codec of no name that is known is kept as it is.
            assert!(starts[0].starts_with("ACK "));
            continue;
        }
        assert!(
            starts[0].starts_with("ACK ") && starts[1].starts_with("BYE "),
            "{starts:?}"
        );
        assert_eq!(sent[0].ports(), [0]);
        assert_eq!(world.called, [(id, Err(Refusal::Unusable))]);
    }
    // Nor is one that offers nothing at all.
    world.called.clear();
    let (id, invite) = placed(&mut world);
    let sent = says(&mut world, reply(&invite.text, 200, ""));
    assert!(sent[0].text.starts_with("ACK ") && sent[1].text.starts_with("BYE "));
    assert_eq!(world.called, [(id, Err(Refusal::Unusable))]);
}

#[test]
fn an_engine_that_does_not_take_it_costs_the_client_no_dialog() {
    let mut world = World::with(config());
    let (id, invite) = placed(&mut world);
    world.engine.manner.is_silent = true;
    assert!(says(&mut world, accepts(&invite, "")).is_empty());
    world.pass_secs(3);
    let sent = world.take_requests();
    let starts = crate::world::starts(&sent);
    assert!(
        starts[0].starts_with("ACK ") && starts[1].starts_with("BYE "),
        "{starts:?}"
    );
    assert_eq!(sent[0].ports(), [0, 0]);
    assert_eq!(world.called, [(id, Err(Refusal::Unavailable))]);
}

#[test]
fn a_second_client_that_accepts_is_sent_away() {
    let mut world = World::with(config());
    let (id, invite) = placed(&mut world);
    says(&mut world, accepts(&invite, ""));
    let other = tagged(accepts(&invite, "")).replace(";tag=src\r\n", ";tag=fork\r\n");
    world.sent.clear();
    world.receive(other.as_bytes());
    let sent = world.take_sent();
    let starts = crate::world::starts(&sent);
    assert!(
        starts[0].starts_with("ACK ") && starts[1].starts_with("BYE "),
        "{starts:?}"
    );
    assert_eq!(sent[0].ports(), [0, 0]);
    assert!(sent.iter().all(|one| one.text.contains(";tag=fork\r\n")));
    assert_eq!(world.called, [(id, Ok(()))]);
    assert_eq!(world.calls(), 1);
}

#[test]
fn a_client_that_hangs_up_before_the_ack_leaves_nothing() {
    let mut world = World::with(config());
    let (id, invite) = placed(&mut world);
    world.engine.manner.is_silent = true;
    says(&mut world, accepts(&invite, ""));
    let sent = says(&mut world, request(&invite, "BYE", 1));
    assert_eq!(sent[0].status(), 200);
    world.engine_speaks();
    assert_eq!(world.calls(), 0);
    assert_eq!(world.called, [(id, Err(Refusal::Ended))]);
}

#[test]
fn nobody_is_called_who_may_not_be() {
    let mut world = World::with(config());
    assert_eq!(
        record(&mut world, "sip:src@192.0.2.11"),
        Err(Refusal::NotAllowed)
    );
    for bad in [
        "",
        "tel:+15551234",
        "sip:src@pbx.example.com",
        "sip:src@192.0.2.10?Replaces=x",
        "sip:src@192.0.2.10;transport=sctp",
        "sip:src@0.0.0.0",
        "sip:src@192.0.2.10\r\nVia: x",
    ] {
        assert_eq!(record(&mut world, bad), Err(Refusal::BadTarget), "{bad:?}");
    }
    assert!(world.take_sent().is_empty());
    // Off by default.
    let mut world = World::new();
    assert_eq!(record(&mut world, URI), Err(Refusal::NotAllowed));
    let mut world = World::without_engine(config());
    assert_eq!(record(&mut world, URI), Err(Refusal::Unavailable));
}

#[test]
fn a_restart_goes_on_with_it() {
    let mut world = World::with(config());
    let (_, invite) = placed(&mut world);
    says(&mut world, accepts(&invite, ""));
    world.restart(Duration::from_secs(1));
    assert_eq!(world.calls(), 1);
    let sent = says(&mut world, request(&invite, "BYE", 1));
    assert!(
        sent.iter()
            .any(|one| one.is_response() && one.status() == 200)
    );
    assert_eq!(world.calls(), 0);
}

#[test]
fn a_shutdown_cancels_what_rings() {
    let mut world = World::with(config());
    let (id, invite) = placed(&mut world);
    says(&mut world, reply(&invite.text, 180, ""));
    let (now, wall) = (world.now, world.wall());
    world.recorder.begin_shutdown(now, wall);
    world.settle();
    assert!(world.take_requests()[0].text.starts_with("CANCEL "));
    says(&mut world, reply(&invite.text, 487, ""));
    assert_eq!(world.called, [(id, Err(Refusal::Ended))]);
}
