//! Fencing: a node dies or is cut off, the other one goes on with its calls, and nobody takes part in two
//! minds. Here is what a node does when it is told; that leases lapse, and when, is in `leases.rs`.

use std::time::Duration;

use holdfast_control::Life;
use holdfast_manifest::{EndReason, PartCause};
use holdfast_recording::recorder::{Notice, RecorderConfig, Stored, WhenStoreAway};
use holdfast_units::RecordingId;

use crate::peer::{Ask, Src, invite, metadata, offer, reply};
use crate::world::{World, starts, stored};

fn node() -> World {
    World::with(RecorderConfig {
        node: "recorder-7".to_owned(),
        when_store_away: Some(WhenStoreAway::Accept),
        shares_calls: true,
        ..RecorderConfig::default()
    })
}

/// What the standby does when the lease has lapsed: it takes all that the other one has saved.
fn adopt(standby: &mut World, from: &World) {
    standby.now = standby.now.max(from.now);
    for (id, state) in &from.store.states {
        standby.store.states.insert(*id, state.clone());
        let (now, wall) = (standby.now, standby.wall());
        let stored = Stored {
            bytes: state,
            age: Some(from.now.since(from.store.saved_at[id])),
        };
        standby.recorder.adopt(now, wall, stored).expect("it reads");
        standby.settle();
    }
}

/// What the store tells a node that has lost calls.
fn tell_taken(world: &mut World, ids: &[RecordingId]) {
    let (now, wall) = (world.now, world.wall());
    world.recorder.handle_taken(now, wall, ids);
    world.settle();
}

#[test]
fn a_standby_goes_on_on_the_same_ports_in_a_part_of_its_own() {
    let (mut a, mut b) = (node(), node());
    let mut src = a.call("goes-on");
    let before = a.held().last().clone();
    a.pass_secs(10);
    adopt(&mut b, &a);
    let after = b.held().last().clone();
    assert_eq!(after.id, before.id);
    assert_eq!(after.streams, before.streams, "same ports, same streams");
    assert!(after.started > before.started, "the part begins now");
    assert_eq!(b.starts(), [""; 0], "the peer need not even notice");

    let ok = b.answer_among(&mut src, &Ask::new("UPDATE").metadata(&metadata()));
    assert_eq!(ok.status(), 200);
    let ok = b.answer_among(&mut src, &Ask::new("INVITE").sdp(&offer("sendonly")));
    assert_eq!(ok.status(), 200);
    b.ack(&src);
    assert_eq!(b.answer_among(&mut src, &Ask::new("BYE")).status(), 200);
    let published = b.published();
    let call = published.call();
    assert_eq!(call.participants.len(), 2);
    assert!(call.warnings.iter().any(|one| one.code == "adopted"));
    let before = call.continues.expect("what it goes on from");
    assert_eq!(
        (before.cause, before.node.as_deref()),
        (PartCause::NodeLost, Some("recorder-7"))
    );
    assert_eq!(
        before.gap_ms, None,
        "the other node knows when its part ended"
    );
    assert!(b.store.states.is_empty());
}

/// The other one lives after all: it was cut off from the store, and then finds what was taken.
#[test]
fn a_node_that_comes_back_says_nothing_more_in_what_was_taken() {
    let (mut a, mut b) = (node(), node());
    let timer = "Session-Expires: 90;refresher=uac";
    let lost = a.call_with("lost", &invite().header(timer).header("Supported: timer"));
    let id = a.held_id();
    a.store.is_silent = true;
    a.recorder.handle_store_away(a.now, a.wall());
    a.settle();
    adopt(&mut b, &a);
    // Its session expires there, since the peer refreshes it here: nobody is told.
    a.pass_secs(300);
    assert_eq!(a.starts(), [""; 0]);
    assert_eq!(a.calls(), 1, "it does not know yet");
    // New calls are its own.
    let mut own = a.call("own");
    a.store.is_silent = false;
    a.recorder.handle_store_back(a.now, a.wall());
    tell_taken(&mut a, &[id]);
    assert_eq!(a.starts(), [""; 0], "not a word");
    assert_eq!(a.calls(), 1);
    let part = a.engine.published.get(&id).expect("its part is published");
    let Life::Ended { reason, .. } = part.last().life else {
        panic!("{:?}", part.last());
    };
    assert_eq!(reason, EndReason::TakenOver);
    assert_eq!(
        a.answer_among(&mut lost.clone(), &Ask::new("UPDATE"))
            .status(),
        481
    );
    assert_eq!(a.answer_among(&mut own, &Ask::new("UPDATE")).status(), 200);
}

/// An answer that waits for the store when it turns out that the call is another node's.
#[test]
fn what_waits_to_be_sent_in_a_call_that_was_taken_is_not_sent() {
    let mut a = node();
    let mut src = a.call("taken");
    let id = a.held_id();
    a.store.is_silent = true;
    assert_eq!(a.ask(&mut src, &Ask::new("UPDATE")).len(), 0);
    tell_taken(&mut a, &[id]);
    let ticket = a.store.last_ticket;
    a.recorder.handle_saved(a.now, a.wall(), ticket);
    a.settle();
    assert_eq!(a.starts(), [""; 0]);
}

/// Which node has a call is not a matter of time: however far the nodes' clocks are apart, the one that it
/// was taken from publishes its part and is silent, and the other one goes on.
#[test]
fn with_clocks_apart_a_call_is_in_one_mind() {
    for apart in [-3_600, -1, 1, 3_600] {
        let (mut a, mut b) = (node(), node());
        b.clock_is_off_by = apart;
        let timer = "Session-Expires: 1800;refresher=uac";
        let mut src = a.call_with("apart", &invite().header(timer).header("Supported: timer"));
        let id = a.held_id();
        a.pass_secs(10);
        adopt(&mut b, &a);
        assert_eq!(b.calls(), 1, "{apart}");
        assert_eq!(
            b.starts(),
            [""; 0],
            "{apart}: not given up by another's clock"
        );
        tell_taken(&mut a, &[id]);
        let part = a.engine.published.get(&id).expect("its part");
        let Life::Ended { reason, at: ended } = part.last().life else {
            panic!("{:?}", part.last());
        };
        assert_eq!(reason, EndReason::TakenOver, "{apart}");
        assert!(ended >= part.last().started, "{apart}");
        assert_eq!(a.starts(), [""; 0], "{apart}: not a word");

        // The peer refreshes its session in time, at the other one.
        let refresh = Ask::new("UPDATE").header(timer).header("Supported: timer");
        assert_eq!(b.answer_among(&mut src, &refresh).status(), 200, "{apart}");
        b.pass_secs(900);
        assert_eq!(b.calls(), 1, "{apart}");
        assert_eq!(
            b.answer_among(&mut src, &Ask::new("BYE")).status(),
            200,
            "{apart}"
        );
        let part = b.published();
        let Life::Ended { reason, at: ended } = part.last().life else {
            panic!("{:?}", part.last());
        };
        assert_eq!(reason, EndReason::Bye, "{apart}");
        assert!(ended >= part.last().started, "{apart}");
    }
}

/// How far a deadline has come is what the nodes' clocks say between each other: not what one of them says
/// to the other. Neither a session nor a call ends sooner or later for it.
#[test]
fn with_clocks_apart_a_session_and_a_call_last_as_long_as_they_may() {
    let timer = "Session-Expires: 1800;refresher=uac";
    let timed = || invite().header(timer).header("Supported: timer");
    let limited = || {
        World::with(RecorderConfig {
            call_duration_max: Duration::from_secs(3_000),
            when_store_away: Some(WhenStoreAway::Accept),
            shares_calls: true,
            ..RecorderConfig::default()
        })
    };
    for apart in [-3_600, 0, 3_600] {
        for (ask, lasts) in [(timed(), 1_800 - 32), (invite(), 3_000)] {
            let (mut a, mut b) = (limited(), limited());
            b.clock_is_off_by = apart;
            a.call_with("lasts", &ask);
            a.pass_secs(600);
            adopt(&mut b, &a);
            b.pass_secs(lasts - 600 - 1);
            assert_eq!(b.calls(), 1, "{apart}, {lasts}: too soon");
            b.pass_secs(2);
            assert_eq!(b.calls(), 0, "{apart}, {lasts}: too late");
        }
    }
}

/// Whoever adopts first has it; a second time it is the same call.
#[test]
fn a_call_that_is_adopted_twice_is_one() {
    let (mut a, mut b) = (node(), node());
    a.call("once");
    adopt(&mut b, &a);
    adopt(&mut b, &a);
    assert_eq!(b.calls(), 1);
    assert_eq!(b.engine.held.len(), 1);
}

#[test]
fn a_call_that_had_ended_is_not_adopted() {
    let (mut a, mut b) = (node(), node());
    a.engine.manner.is_slow = true;
    let mut src = a.call("over");
    a.answer(&mut src, &Ask::new("BYE"));
    assert_eq!(a.store.states.len(), 1, "until it is published");
    adopt(&mut b, &a);
    assert_eq!(b.calls(), 0);
    assert!(b.store.states.is_empty());
}

/// 200 calls of a dead node at once, each with its own end.
#[test]
fn concurrent_recovery_of_two_hundred_calls() {
    let config = || RecorderConfig {
        when_store_away: Some(WhenStoreAway::Accept),
        shares_calls: true,
        ..RecorderConfig::default()
    };
    let wide = |mut world: World| {
        world.disconnect();
        world.engine.shards = vec![holdfast_control::ShardPorts {
            first: 10_000,
            last: 19_999,
        }];
        world.connect();
        world
    };
    let (mut a, mut b) = (wide(World::with(config())), wide(World::with(config())));
    let mut srcs: Vec<Src> = (0..200).map(|n| a.call(&format!("call-{n}"))).collect();
    adopt(&mut b, &a);
    assert_eq!(b.calls(), 200);
    for src in &mut srcs {
        assert_eq!(b.answer_among(src, &Ask::new("BYE")).status(), 200);
    }
    assert_eq!(b.engine.published.len(), 200);
}

fn replacing(src: &Src) -> Ask {
    invite().header(&format!(
        "Replaces: {};to-tag={};from-tag=src",
        src.call_id, src.to_tag
    ))
}

/// The client found its node dead and comes to another one, by RFC 3263.
#[test]
fn replaces_finds_the_call_of_another_node() {
    let (mut a, mut c) = (node(), node());
    let old = a.call("first");
    let id = a.held_id();
    let state = a.store.states[&id].clone();
    let mut new = Src::new("second");
    assert_eq!(c.ask(&mut new, &replacing(&old)).len(), 0, "it asks around");
    let (number, dialog) = c.searched.remove(0);
    assert_eq!(
        (dialog.call_id.as_str(), dialog.remote_tag.as_str()),
        ("first", "src")
    );
    assert_eq!(dialog.local_tag, old.to_tag);
    let (now, wall) = (c.now, c.wall());
    c.recorder
        .handle_found(now, wall, number, Some(stored(&state)));
    c.settle();
    let sent = c.take_sent();
    assert!(sent[0].status() == 200, "{:?}", starts(&sent));
    assert!(sent[1].text.starts_with("BYE "), "the old dialog is ended");
    new.to_tag = sent[0].to_tag();
    c.ack(&new);
    c.receive(reply(&sent[1].text, 481, "").as_bytes());
    c.pass_secs(1);
    assert_eq!(c.held_id(), id, "one id");
    assert_eq!(c.held().last().streams.len(), 2);
    let before = c.held().call().continues.map(|it| it.cause);
    assert_eq!(before, Some(PartCause::Replaced));
    let formers = c.held().call().formers;
    assert_eq!(formers[0].sip.call_id, "first");
    assert!(c.notices.contains(&Notice::CallAdopted { recording: id }));
    assert_eq!(c.store.states.len(), 1);
    assert_eq!(c.answer_among(&mut new, &Ask::new("BYE")).status(), 200);
    assert_eq!(c.published().last().id, id);
}

#[test]
fn what_is_found_elsewhere_is_refused_by_the_same_rules_and_left_alone() {
    let (mut a, mut c) = (node(), node());
    let old = a.call("first");
    let state = a.store.states[&a.held_id()].clone();
    let unusable = "v=0\no=src 1 1 IN IP4 192.0.2.10\ns=-\nc=IN IP4 192.0.2.10\nt=0 0\n\
                    m=audio 40000 RTP/AVP 77\n";
    let named = replacing(&old).headers[0].clone();
    let bad = Ask::new("INVITE")
        .sdp(unusable)
        .metadata(&metadata())
        .header(&named);
    let early = invite().header(&format!("{named};early-only"));
    let home = c.source.remote;
    for (what, ask, state, remote, status) in [
        ("nobody has it", replacing(&old), None, home, 481),
        ("early-only", early, Some(&state), home, 486),
        ("bad SDP", bad, Some(&state), home, 488),
        (
            "a stranger",
            replacing(&old),
            Some(&state),
            "203.0.113.9:5060".parse().unwrap(),
            403,
        ),
    ] {
        c.source.remote = remote;
        let mut new = Src::new(&format!("try-{status}"));
        c.ask(&mut new, &ask);
        let (number, _) = c.searched.remove(0);
        let (now, wall) = (c.now, c.wall());
        c.recorder
            .handle_found(now, wall, number, state.map(|state| stored(state)));
        c.settle();
        let sent = c.take_sent();
        assert_eq!(sent.len(), 1, "{what}: {:?}", starts(&sent));
        assert_eq!(sent[0].status(), status, "{what}");
        assert_eq!((c.calls(), c.store.states.len()), (0, 0), "{what}");
        assert!(c.engine.held.is_empty(), "{what}");
    }
}

/// The engine takes nothing: then the call stays with whoever has it.
#[test]
fn a_takeover_that_the_engine_refuses_leaves_the_call_where_it_is() {
    let (mut a, mut c) = (node(), node());
    let old = a.call("first");
    let state = a.store.states[&a.held_id()].clone();
    c.engine.manner.refuses_all = Some(holdfast_control::RefusalReason::Journal);
    c.ask(&mut Src::new("second"), &replacing(&old));
    let (number, _) = c.searched.remove(0);
    let (now, wall) = (c.now, c.wall());
    c.recorder
        .handle_found(now, wall, number, Some(stored(&state)));
    c.settle();
    c.pass(Duration::from_secs(1));
    let said = c.starts();
    assert!(
        !said.is_empty() && said.iter().all(|one| one.contains("503")),
        "{said:?}"
    );
    assert!(c.store.states.is_empty());
}
