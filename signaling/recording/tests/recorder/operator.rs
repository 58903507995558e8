//! An operator pauses, resumes and ends calls (P-30, P-31, P-37): what the engine is told holds
//! whatever the peer makes of it.

use std::time::Duration;

use holdfast_control::operator::{Answer, Call, Command, Refusal, Stage};
use holdfast_control::{Life, StreamMode, ToEngine};
use holdfast_manifest::{EndReason, PausedBy};
use holdfast_recording::recorder::{Notice, RecorderConfig};
use holdfast_units::RecordingId;

use crate::peer::{Ask, Src, invite, line, metadata, offer, reply, reply_with, sdp};
use crate::world::{Sent, World};

fn command(world: &mut World, command: Command) -> Answer {
    let answer = world
        .recorder
        .handle_command(world.now, world.wall(), command);
    world.settle();
    answer
}

fn order(world: &mut World, ordered: Command) -> Call {
    match command(world, ordered) {
        Answer::Call { call } => *call,
        other => panic!("{other:?}"),
    }
}

fn pause(world: &mut World) -> Call {
    let id = world.held_id();
    order(world, Command::Pause { id })
}

fn resume(world: &mut World) -> Call {
    let id = world.held_id();
    order(world, Command::Resume { id })
}

fn show(world: &mut World) -> Call {
    let id = world.held_id();
    order(world, Command::Show { id })
}

fn modes(world: &World) -> Vec<StreamMode> {
    let held = world.held();
    held.last().streams.iter().map(|one| one.mode).collect()
}

/// The one re-INVITE that was sent.
fn reinvite(world: &mut World) -> Sent {
    let sent = world.take_requests();
    assert_eq!(sent.len(), 1, "{:?}", crate::world::starts(&sent));
    assert!(sent[0].text.starts_with("INVITE "), "{}", sent[0].text);
    sent[0].clone()
}

fn answered(world: &mut World, reinvite: &Sent, direction: &str) {
    let answer = reply_with(
        &reinvite.text,
        200,
        "",
        "application/sdp",
        &offer(direction),
    );
    world.receive(answer.as_bytes());
    assert!(world.starts()[0].starts_with("ACK "));
}

const RECORDED: [StreamMode; 2] = [StreamMode::Record; 2];
const WITHHELD: [StreamMode; 2] = [StreamMode::Pause; 2];

#[test]
fn a_pause_holds_at_once_and_is_offered_and_so_is_its_end() {
    let mut world = World::new();
    world.call("pause");
    world.take_sent();
    let ports: Vec<_> = world
        .held()
        .last()
        .streams
        .iter()
        .map(|s| s.rtp_port)
        .collect();
    let call = pause(&mut world);
    assert_eq!((call.is_paused, call.is_agreed), (true, false));
    assert_eq!(modes(&world), WITHHELD, "before the peer has said anything");
    let asked = reinvite(&mut world);
    assert_eq!(asked.directions(), ["inactive", "inactive"]);
    assert_eq!(asked.ports(), ports);
    assert_eq!(
        asked.lines("o=")[0].split(' ').nth(2),
        Some("2"),
        "o= went up by one"
    );
    for needed in [
        "\r\nContact: <sip:198.51.100.7:5060>;+sip.srs\r\n",
        "\r\nRequire: siprec\r\n",
        "\r\nAllow: ",
        "\r\nSupported: timer, replaces\r\n",
    ] {
        assert!(asked.text.contains(needed), "{needed}: {}", asked.text);
    }
    answered(&mut world, &asked, "inactive");
    assert!(show(&mut world).is_agreed);
    assert_eq!(modes(&world), WITHHELD);

    world.pass_secs(10);
    let call = resume(&mut world);
    assert_eq!((call.is_paused, call.is_agreed), (false, false));
    assert_eq!(
        modes(&world),
        RECORDED,
        "media may come with the answer or before (P-42)"
    );
    let asked = reinvite(&mut world);
    assert_eq!(asked.directions(), ["recvonly", "recvonly"]);
    assert_eq!((asked.ports(), asked.lines("m=").len()), (ports, 2));
    answered(&mut world, &asked, "sendonly");
    assert!(show(&mut world).is_agreed);
    assert_eq!(modes(&world), RECORDED);
    let pauses = world.held().call().pauses;
    assert_eq!(pauses.len(), 1);
    let seconds = pauses[0].to.unwrap().0 - pauses[0].from.0;
    assert_eq!(
        (seconds, pauses[0].by),
        (10_000_000_000, PausedBy::Operator)
    );
}

#[test]
fn twice_is_once() {
    let mut world = World::new();
    world.call("twice");
    world.take_sent();
    assert!(!resume(&mut world).is_paused);
    assert!(world.take_sent().is_empty());
    pause(&mut world);
    let asked = reinvite(&mut world);
    assert!(pause(&mut world).is_paused);
    answered(&mut world, &asked, "inactive");
    pause(&mut world);
    assert!(world.take_sent().is_empty());
    assert_eq!(world.held().call().pauses.len(), 1);
}

/// The peer may refuse as it likes: its packets are withheld, and come back with the resume.
#[test]
fn a_peer_that_refuses_is_withheld_all_the_same() {
    for status in [401, 405, 415, 420, 488, 501, 603] {
        let mut world = World::new();
        let mut src = world.call("refuse");
        world.take_sent();
        pause(&mut world);
        let asked = reinvite(&mut world);
        world.receive(reply(&asked.text, status, "").as_bytes());
        assert!(world.starts()[0].starts_with("ACK "));
        world.pass_secs(120);
        assert_eq!((world.calls(), world.take_sent().len()), (1, 0), "{status}");
        let call = show(&mut world);
        assert_eq!((call.is_paused, call.is_agreed), (true, false));
        assert_eq!(call.warnings, ["direction_refused"]);
        assert_eq!(modes(&world), WITHHELD);
        let told = |notice: &&Notice| matches!(notice, Notice::DirectionTold { .. });
        assert_eq!(world.notices.iter().filter(told).count(), 1);
        // What the peer offers by itself is answered as the operator wants it.
        let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer("sendonly")));
        assert_eq!(ok.directions(), ["inactive", "inactive"]);
        world.ack(&src);
        assert!(show(&mut world).is_agreed, "now it knows");
        world.take_sent();
        resume(&mut world);
        assert_eq!(modes(&world), RECORDED);
        assert_eq!(reinvite(&mut world).directions(), ["recvonly", "recvonly"]);
    }
}

/// RFC 3261 §14.1: the peer owns the Call-ID, so we wait 0 to 2 s.
#[test]
fn glare_is_tried_again_and_gives_way_to_what_the_peer_offers() {
    let mut world = World::new();
    let mut src = world.call("glare");
    world.take_sent();
    pause(&mut world);
    let asked = reinvite(&mut world);
    let crossing = Ask::new("INVITE").sdp(&offer("sendonly"));
    assert_eq!(world.answer(&mut src, &crossing).status(), 491);
    world.ack(&src);
    world.receive(reply(&asked.text, 491, "").as_bytes());
    assert!(world.starts()[0].starts_with("ACK "));
    world.pass(Duration::from_millis(2_000));
    let again = reinvite(&mut world);
    assert_eq!(again.directions(), ["inactive", "inactive"]);
    answered(&mut world, &again, "inactive");

    // Now the peer is quicker: what it offers is answered as wanted, and nothing is left to ask.
    resume(&mut world);
    let asked = reinvite(&mut world);
    world.receive(reply(&asked.text, 491, "").as_bytes());
    let ok = world.answer(&mut src, &crossing);
    assert_eq!(ok.directions(), ["recvonly", "recvonly"]);
    world.ack(&src);
    world.take_sent();
    world.pass_secs(60);
    assert!(world.take_requests().is_empty());
    assert_eq!(modes(&world), RECORDED);
}

#[test]
fn a_peer_that_is_busy_for_ever_is_asked_so_often_and_no_more() {
    let mut world = World::new();
    world.call("busy");
    world.take_sent();
    pause(&mut world);
    let mut asked = 0;
    for _ in 0..400 {
        for sent in world.take_sent() {
            if sent.text.starts_with("INVITE ") {
                asked += 1;
                world.receive(reply(&sent.text, 491, "").as_bytes());
            }
        }
        world.pass(Duration::from_millis(500));
    }
    assert_eq!(asked, 8);
    assert_eq!((world.calls(), modes(&world)), (1, WITHHELD.to_vec()));
}

#[test]
fn a_dialog_that_is_dead_ends_the_recording() {
    for status in [None, Some(408), Some(481)] {
        let mut world = World::new();
        world.call("dead");
        world.take_sent();
        pause(&mut world);
        let asked = reinvite(&mut world);
        match status {
            Some(status) => world.receive(reply(&asked.text, status, "").as_bytes()),
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

/// That we cannot reach the peer is no reason to let go of what it sends.
#[test]
fn a_peer_that_cannot_be_reached_is_recorded_on() {
    let mut world = World::new();
    world.call("unreachable");
    world.take_sent();
    pause(&mut world);
    for _ in 0..20 {
        if let Some(sent) = world.take_sent().pop() {
            let owner = sent.owner;
            world
                .recorder
                .handle_transport_error(world.now, world.wall(), owner);
            world.settle();
        }
        world.pass_secs(31);
    }
    assert_eq!(world.calls(), 1);
    resume(&mut world);
    assert_eq!(modes(&world), RECORDED);
}

#[test]
fn an_answer_is_awaited_with_what_the_peer_pauses_itself_withheld() {
    let mut world = World::new();
    let mut src = world.call("both");
    let inactive = Ask::new("INVITE").sdp(&offer("inactive"));
    world.answer(&mut src, &inactive);
    world.ack(&src);
    world.take_sent();
    pause(&mut world);
    let asked = reinvite(&mut world);
    answered(&mut world, &asked, "inactive");
    // The recorder wants it again, the peer has not said so.
    resume(&mut world);
    assert_eq!(modes(&world), WITHHELD);
    let asked = reinvite(&mut world);
    answered(&mut world, &asked, "inactive");
    assert_eq!(modes(&world), WITHHELD);
    assert!(world.take_sent().is_empty());
    let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer("sendonly")));
    assert_eq!(ok.directions(), ["recvonly", "recvonly"]);
    assert_eq!(modes(&world), RECORDED);
}

/// One stream of two is paused by the peer: the resume brings back the other one.
#[test]
fn what_the_peer_paused_of_several_streams_stays_paused() {
    let mut world = World::new();
    let mut src = world.call("one-of-two");
    let one = sdp(&[
        &line(40_000, "1", "sendonly"),
        &line(40_002, "2", "inactive"),
    ]);
    world.answer(&mut src, &Ask::new("INVITE").sdp(&one));
    world.ack(&src);
    world.take_sent();
    pause(&mut world);
    let asked = reinvite(&mut world);
    answered(&mut world, &asked, "inactive");
    resume(&mut world);
    assert_eq!(modes(&world), [StreamMode::Record, StreamMode::Pause]);
}

#[test]
fn a_pause_while_a_change_waits_for_the_engine_is_not_undone_by_it() {
    let mut world = World::new();
    let mut src = world.call("meanwhile");
    world.engine.manner.is_silent = true;
    let three = sdp(&[
        &line(40_000, "1", "sendonly"),
        &line(40_002, "2", "sendonly"),
        &line(40_004, "3", "sendonly"),
    ]);
    assert!(
        world
            .ask(&mut src, &Ask::new("INVITE").sdp(&three))
            .is_empty()
    );
    pause(&mut world);
    world.engine_speaks();
    world.engine_speaks();
    let sent = world.take_sent();
    let ok = sent.iter().find(|sent| sent.is_response()).unwrap();
    assert_eq!(ok.status(), 200);
    let held = world.held();
    assert_eq!(held.last().streams.len(), 3);
    assert!(
        held.last()
            .streams
            .iter()
            .all(|one| one.mode == StreamMode::Pause)
    );
    world.ack(&src);
    let asked = reinvite(&mut world);
    assert_eq!(asked.directions(), ["inactive"; 3]);
}

#[test]
fn a_pause_while_the_engine_is_away_is_the_first_thing_it_hears() {
    let mut world = World::new();
    world.call("away");
    world.take_sent();
    world.disconnect();
    pause(&mut world);
    reinvite(&mut world);
    world.connect();
    assert_eq!(modes(&world), WITHHELD);
}

/// P-30, TC-33: answered inactive, and recorded once somebody says so.
#[test]
fn a_call_may_wait_for_an_operator_to_begin() {
    let config = RecorderConfig {
        starts_paused: true,
        ..RecorderConfig::default()
    };
    let mut world = World::with(config);
    let mut src = Src::new("waits");
    let ok = world.answer(&mut src, &invite());
    assert_eq!(ok.directions(), ["inactive", "inactive"]);
    src.to_tag = ok.to_tag();
    world.ack(&src);
    assert!(world.take_sent().is_empty());
    assert_eq!(modes(&world), WITHHELD);
    assert!(show(&mut world).is_agreed);
    resume(&mut world);
    assert_eq!(modes(&world), RECORDED);
    let asked = reinvite(&mut world);
    assert_eq!(asked.directions(), ["recvonly", "recvonly"]);
    assert_eq!(asked.ports(), ok.ports());
    answered(&mut world, &asked, "sendonly");
    let pauses = world.held().call().pauses;
    assert_eq!((pauses.len(), pauses[0].by), (1, PausedBy::Settings));
    assert!(pauses[0].to.is_some());
}

/// RFC 3261 §14.1: an INVITE of ours has to wait until theirs is done, its ACK included.
#[test]
fn nothing_is_asked_before_the_ack() {
    let mut world = World::new();
    let mut src = Src::new("no-ack-yet");
    let ok = world.answer(&mut src, &invite());
    src.to_tag = ok.to_tag();
    pause(&mut world);
    assert_eq!(modes(&world), WITHHELD);
    assert!(world.take_sent().is_empty());
    world.ack(&src);
    assert_eq!(reinvite(&mut world).directions(), ["inactive", "inactive"]);
}

#[test]
fn a_200_without_an_answer_leaves_what_was_agreed() {
    let mut world = World::new();
    let mut src = world.call("no-answer");
    world.take_sent();
    pause(&mut world);
    let asked = reinvite(&mut world);
    world.receive(reply(&asked.text, 200, "").as_bytes());
    assert!(world.starts()[0].starts_with("ACK "));
    assert_eq!(modes(&world), WITHHELD);
    assert_eq!(show(&mut world).warnings, ["offer_unanswered"]);
    let ok = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer("sendonly")));
    assert_eq!(ok.status(), 200, "no offer of ours is left pending");
}

#[test]
fn metadata_in_the_answer_is_taken() {
    let mut world = World::new();
    world.call_with("bare", &Ask::new("INVITE").sdp(&offer("sendonly")));
    world.take_sent();
    pause(&mut world);
    let asked = reinvite(&mut world);
    let body = format!(
        "--x\nContent-Type: application/sdp\n\n{}\n--x\nContent-Type: application/rs-metadata+xml\n\n\
         {}\n--x--\n",
        offer("inactive"),
        metadata()
    );
    let ok = reply_with(&asked.text, 200, "", "multipart/mixed;boundary=x", &body);
    world.receive(ok.as_bytes());
    let call = world.held().call();
    assert_eq!(call.participants.len(), 2);
    assert_eq!(call.metadata[0].carried_by, "200 INVITE");
    assert_eq!(show(&mut world).participants, ["Alice", "Bob"]);
}

#[test]
fn a_call_is_ended_with_its_reason() {
    let mut world = World::new();
    world.call("end");
    world.take_sent();
    let id = world.held_id();
    world.engine.manner.is_slow = true;
    let call = order(&mut world, Command::HangUp { id });
    assert_eq!(call.stage, Stage::Ended);
    assert!(
        world.take_sent()[0]
            .text
            .contains("\r\nReason: SIP;text=\"ended by an operator\"\r\n")
    );
    let held = world.held();
    let life = held.last().life;
    assert!(
        matches!(
            life,
            Life::Ended {
                reason: EndReason::Operator,
                ..
            }
        ),
        "{life:?}"
    );
    for late in [
        Command::Pause { id },
        Command::Resume { id },
        Command::HangUp { id },
    ] {
        let refused = Answer::Refused {
            reason: Refusal::Ended,
        };
        assert_eq!(command(&mut world, late), refused);
    }
    let published = world.engine.publish(id);
    world.engine_says(published);
    let gone = Answer::Refused {
        reason: Refusal::NoSuchCall,
    };
    assert_eq!(command(&mut world, Command::Show { id }), gone);
}

#[test]
fn a_call_that_is_not_answered_yet_is_declined() {
    let mut world = World::new();
    world.engine.manner.is_silent = true;
    let mut src = Src::new("opening");
    assert!(world.ask(&mut src, &invite()).is_empty());
    let id = world.held_id();
    assert_eq!(
        order(&mut world, Command::Show { id }).stage,
        Stage::Opening
    );
    order(&mut world, Command::HangUp { id });
    assert_eq!(world.starts(), ["SIP/2.0 603 Decline"]);
}

#[test]
fn the_list_has_all_calls_in_their_order() {
    let mut world = World::new();
    let none = Answer::Calls { calls: Vec::new() };
    assert_eq!(command(&mut world, Command::List), none);
    for name in ["a", "b", "c"] {
        world.call(name);
        world.pass_secs(1);
    }
    let Answer::Calls { calls } = command(&mut world, Command::List) else {
        panic!("a list")
    };
    let names: Vec<_> = calls.iter().map(|call| call.call_id.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let stream = &calls[0].streams[1];
    assert_eq!((stream.number, stream.channel), (2, 1));
    assert_eq!(stream.label.as_deref(), Some("2"));
    assert_eq!(stream.codecs, ["PCMU", "telephone-event"]);
    assert!(stream.is_recording);
    assert_eq!(stream.remote, "192.0.2.10:40002".parse().ok());
    let unknown = Command::Show {
        id: RecordingId::from_bytes([9; 16]),
    };
    let refused = Answer::Refused {
        reason: Refusal::NoSuchCall,
    };
    assert_eq!(command(&mut world, unknown), refused);
    let told = |message: &&ToEngine| matches!(message, ToEngine::Recording(_));
    let before = world.engine.heard.iter().filter(told).count();
    command(&mut world, Command::List);
    assert_eq!(world.engine.heard.iter().filter(told).count(), before);
}
