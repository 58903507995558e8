//! Peers without a session timer that say nothing.

use std::time::Duration;

use holdfast_control::{FromEngine, Life};
use holdfast_manifest::EndReason;
use holdfast_recording::recorder::{RecorderConfig, WhenStoreAway};

use crate::peer::{Ask, invite, offer, reply};
use crate::world::World;

const CHECK: u64 = 900;

fn watching() -> World {
    watching_for(4 * CHECK)
}

/// Gives up whoever says nothing for so many seconds.
fn watching_for(timeout: u64) -> World {
    World::with(RecorderConfig {
        session_check_interval: Duration::from_secs(CHECK),
        session_timeout: Duration::from_secs(timeout),
        when_store_away: Some(WhenStoreAway::Accept),
        ..RecorderConfig::default()
    })
}

/// The requests sent, each once, whatever was repeated.
fn asked(world: &mut World) -> Vec<String> {
    let mut starts: Vec<String> = world
        .take_requests()
        .iter()
        .map(|sent| sent.text.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    starts.dedup();
    starts
}

fn reason(world: &World) -> EndReason {
    match world.published().last().life {
        Life::Ended { reason, .. } => reason,
        Life::Active => panic!("it goes on"),
    }
}

#[test]
fn any_answer_is_a_sign_of_life_and_silence_alone_is_asked_about() {
    for status in [200, 405, 486, 500, 501] {
        let mut world = watching();
        let mut src = world.call("lives");
        world.pass_secs(CHECK - 1);
        assert_eq!(asked(&mut world), [""; 0]);
        // What it says itself puts the question off.
        world.answer(&mut src, &Ask::new("UPDATE"));
        world.pass_secs(CHECK - 1);
        assert_eq!(asked(&mut world), [""; 0]);
        for _ in 0..10 {
            world.pass_secs(1);
            let question = world.take_requests().remove(0);
            assert!(question.text.starts_with("OPTIONS "), "{status}");
            world.receive(reply(&question.text, status, "").as_bytes());
            world.pass_secs(CHECK - 1);
        }
        assert_eq!(world.calls(), 1, "{status}");
    }
}

#[test]
fn a_peer_that_knows_nothing_of_the_call_ends_it_at_once() {
    let mut world = watching();
    world.call("unknown");
    world.pass_secs(CHECK);
    let question = world.take_requests().remove(0);
    world.receive(reply(&question.text, 481, "").as_bytes());
    assert_eq!(world.calls(), 0);
    assert_eq!(reason(&world), EndReason::SipTimeout);
}

/// It is not there, or its proxy does not find it: it may come back until the timeout.
#[test]
fn a_peer_that_is_not_there_is_given_up_after_the_timeout() {
    for by_proxy in [false, true] {
        let mut world = watching();
        world.call("gone");
        for _ in 0..4 {
            assert_eq!(world.calls(), 1);
            world.pass_secs(CHECK);
            let requests = world.take_requests();
            if by_proxy && let Some(question) = requests.first() {
                world.receive(reply(&question.text, 408, "").as_bytes());
            }
        }
        assert_eq!(world.calls(), 0, "{by_proxy}");
        assert_eq!(reason(&world), EndReason::SipTimeout);
        let warnings = world.published().call().warnings;
        assert!(
            warnings.iter().any(|one| one.code == "peer_silent"),
            "{warnings:?}"
        );
    }
}

/// Its SIP is gone and its packets come: it is asked on, and given up when they end too.
#[test]
fn a_peer_whose_media_still_comes_is_not_given_up() {
    let mut world = watching();
    world.call("sends");
    world.engine.manner.media_silent_for = Some(Duration::from_secs(1));
    world.pass_secs(12 * CHECK);
    assert_eq!(world.calls(), 1);
    assert!(world.take_requests().len() >= 8, "it is asked on");
    // What a peer may be silent for, it may be silent for in media too.
    world.engine.manner.media_silent_for = Some(Duration::from_secs(4 * CHECK - 1));
    world.pass_secs(CHECK);
    assert_eq!(world.calls(), 1);
    world.engine.manner.media_silent_for = Some(Duration::from_secs(4 * CHECK));
    world.pass_secs(CHECK);
    assert_eq!(world.calls(), 0);
    assert_eq!(reason(&world), EndReason::SipTimeout);
}

/// A call on hold has no media: that alone ends nothing, and SIP decides as if it were not on hold.
#[test]
fn a_call_on_hold_lives_by_sip_alone() {
    let mut world = watching();
    let mut src = world.call("holds");
    let hold = world.answer(&mut src, &Ask::new("INVITE").sdp(&offer("inactive")));
    assert_eq!(hold.status(), 200);
    world.ack(&src);
    world.engine.manner.media_silent_for = None;
    world.take_sent();
    for _ in 0..10 {
        world.pass_secs(CHECK);
        let question = world.take_requests().remove(0);
        world.receive(reply(&question.text, 200, "").as_bytes());
    }
    assert_eq!(world.calls(), 1, "no media, and an answer each time");
    world.pass_secs(5 * CHECK);
    assert_eq!(world.calls(), 0, "no media, and none");
    assert_eq!(reason(&world), EndReason::SipTimeout);
}

/// Nobody knows whether packets come.
#[test]
fn nobody_is_given_up_while_the_engine_is_away() {
    let mut world = watching();
    world.call("alone");
    world.disconnect();
    world.pass_secs(8 * CHECK);
    assert_eq!(world.calls(), 1);
    assert!(world.take_requests().len() >= 6, "it is asked on");
    world.connect();
    world.pass_secs(CHECK);
    assert_eq!(world.calls(), 0);
}

/// It came back while the engine was being asked.
#[test]
fn an_answer_about_media_that_comes_late_ends_nothing() {
    let mut world = watching();
    let mut src = world.call("late");
    world.pass_secs(3 * CHECK);
    world.answer_among(&mut src, &Ask::new("UPDATE"));
    let recording = world.held_id();
    world.engine_says(FromEngine::Media {
        recording,
        silent_for: None,
    });
    assert_eq!(world.calls(), 1);
}

/// However short the timeout is: silence alone is no answer.
#[test]
fn nobody_is_given_up_who_was_not_asked() {
    let mut world = watching_for(CHECK);
    world.call("quiet");
    world.pass_secs(CHECK);
    assert_eq!(world.calls(), 1);
    let question = world.take_requests().remove(0);
    assert!(question.text.starts_with("OPTIONS "));
    world.receive(reply(&question.text, 200, "").as_bytes());
    world.pass_secs(CHECK - 1);
    assert_eq!(world.calls(), 1);
}

#[test]
fn one_that_comes_back_in_time_is_forgiven() {
    let mut world = watching();
    let mut src = world.call("back");
    world.pass_secs(3 * CHECK);
    assert_eq!(
        world.answer_among(&mut src, &Ask::new("UPDATE")).status(),
        200
    );
    world.take_sent();
    world.pass_secs(3 * CHECK);
    assert_eq!(world.calls(), 1);
}

/// A session timer tells by itself.
#[test]
fn a_call_with_a_session_timer_is_not_asked_beside_it() {
    let mut world = watching();
    let timer = "Session-Expires: 7200;refresher=uac";
    world.call_with("timer", &invite().header(timer).header("Supported: timer"));
    world.pass_secs(3 * CHECK);
    assert_eq!(asked(&mut world), [""; 0]);
    assert_eq!(world.calls(), 1);
}

#[test]
fn whoever_is_not_to_be_asked_is_not() {
    let mut world = World::new();
    world.call("forever");
    world.pass_secs(20 * CHECK);
    assert_eq!(asked(&mut world), [""; 0]);
    assert_eq!(world.calls(), 1);
}

/// A process before has left it, and meanwhile the peer has given it up.
#[test]
fn a_restored_call_whose_peer_is_gone_is_found_within_a_minute() {
    let mut world = watching();
    world.call("left");
    world.restart(Duration::from_secs(5));
    world.take_sent();
    let question = (0..=60).find_map(|_| {
        world.pass_secs(1);
        world.take_requests().pop()
    });
    let question = question.expect("a question within a minute");
    assert!(question.text.starts_with("OPTIONS "));
    world.receive(reply(&question.text, 481, "").as_bytes());
    assert_eq!(world.calls(), 0);
    assert_eq!(reason(&world), EndReason::SipTimeout);
}
