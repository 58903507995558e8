//! RFC 4028 (S-60 to S-65).

use holdfast_control::Life;
use holdfast_manifest::EndReason;
use holdfast_recording::recorder::RecorderConfig;

use crate::peer::{Ask, Src, invite, line, offer, reply, reply_with, sdp};
use crate::world::{Sent, World};

fn asked(headers: &[&str]) -> Sent {
    let mut world = World::new();
    let ask = headers.iter().fold(invite(), |ask, line| ask.header(line));
    world.answer(&mut Src::new("timer"), &ask)
}

#[test]
fn what_is_granted() {
    let timer = "Supported: timer";
    let table: [(&[&str], Option<&str>, Option<&str>); 7] = [
        (
            &[timer, "Session-Expires: 1800"],
            Some("1800;refresher=uac"),
            Some("timer"),
        ),
        (
            &[timer, "Session-Expires: 600;refresher=uac"],
            Some("600;refresher=uac"),
            Some("timer"),
        ),
        (
            // As long as it is no longer than we grant, it is what was asked for: who does not heed
            // a shorter one would be cut off.
            &[timer, "Session-Expires: 2400;refresher=uac", "Min-SE: 90"],
            Some("2400;refresher=uac"),
            Some("timer"),
        ),
        (
            &[timer, "x: 14440"],
            Some("7200;refresher=uac"),
            Some("timer"),
        ),
        (
            &[timer, "Session-Expires: 14440", "Min-SE: 10000"],
            Some("10000;refresher=uac"),
            Some("timer"),
        ),
        (
            &["Session-Expires: 1800", "Allow: INVITE, UPDATE"],
            Some("1800;refresher=uas"),
            None,
        ),
        (
            &[timer, "Session-Expires: 1800;refresher=uas"],
            Some("1800;refresher=uas"),
            Some("timer"),
        ),
    ];
    for (headers, granted, required) in table {
        let ok = asked(headers);
        assert_eq!(ok.status(), 200, "{headers:?}");
        assert_eq!(
            ok.header("Session-Expires").as_deref(),
            granted,
            "{headers:?}"
        );
        assert_eq!(ok.header("Require").as_deref(), required, "{headers:?}");
    }
}

#[test]
fn too_short_gets_422_with_min_se() {
    let sent = asked(&["Supported: timer", "Session-Expires: 30"]);
    assert_eq!(sent.status(), 422);
    assert_eq!(sent.header("Min-SE").unwrap(), "90");
    assert_eq!(
        asked(&["Session-Expires: 30"]).status(),
        200,
        "it could not make it longer"
    );
}

#[test]
fn a_silent_client_is_hung_up_before_the_session_expires() {
    let mut world = World::new();
    let ask = invite()
        .header("Supported: timer")
        .header("Session-Expires: 90;refresher=uac");
    let mut src = world.call_with("silent", &ask);
    world.pass_secs(50);
    let refresh = Ask::new("UPDATE")
        .header("Supported: timer")
        .header("Session-Expires: 90");
    assert_eq!(world.answer(&mut src, &refresh).status(), 200);
    world.pass_secs(59);
    assert_eq!(world.calls(), 1);
    world.pass_secs(2);
    assert_eq!(world.calls(), 0);
    assert!(world.starts()[0].starts_with("BYE "));
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

#[test]
fn we_refresh_at_half_the_interval_where_that_is_our_part() {
    let mut world = World::new();
    let ask = invite()
        .header("Supported: timer")
        .header("Allow: INVITE, ACK, BYE, UPDATE")
        .header("Session-Expires: 100;refresher=uas");
    world.call_with("ours", &ask);
    for _ in 0..3 {
        world.take_sent();
        world.pass_secs(50);
        let sent = world.take_sent();
        let update = &sent[0].text;
        assert!(
            update.starts_with("UPDATE sip:src@192.0.2.10:5060 SIP/2.0\r\n"),
            "{update}"
        );
        assert!(
            update.contains("\r\nContact: <sip:198.51.100.7:5060>;+sip.srs\r\n"),
            "{update}"
        );
        assert!(
            update.contains("\r\nSession-Expires: 100;refresher=uac\r\n"),
            "{update}"
        );
        assert!(update.contains("\r\nRequire: siprec\r\n"), "{update}");
        world.receive(reply(update, 200, "Session-Expires: 100;refresher=uac\r\n").as_bytes());
    }
    assert_eq!(world.calls(), 1);
    world.pass_secs(50);
    let update = world.take_sent()[0].text.clone();
    world.receive(reply(&update, 481, "").as_bytes());
    assert_eq!(world.calls(), 0);
}

#[test]
fn a_call_may_last_so_long_and_no_longer() {
    let config = RecorderConfig {
        call_duration_max: std::time::Duration::from_secs(600),
        ..RecorderConfig::default()
    };
    let mut world = World::with(config);
    world.call("long");
    world.pass_secs(599);
    assert_eq!(world.calls(), 1);
    world.pass_secs(1);
    assert_eq!(world.calls(), 0);
    let warnings = world.published().call().warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.code == "duration_max")
    );
}

fn ours(world: &mut World, allow: &str) -> Src {
    let ask = invite()
        .header("Supported: timer")
        .header(&format!("Allow: {allow}"))
        .header("Session-Expires: 100;refresher=uas");
    let src = world.call_with("ours", &ask);
    world.take_sent();
    src
}

/// RFC 4028 §7.4: a re-INVITE refreshes as well; it offers what there is, with the same ports.
#[test]
fn a_peer_without_update_is_refreshed_by_reinvite() {
    let mut world = World::new();
    ours(&mut world, "INVITE, ACK, BYE");
    let before = world.held().last().clone();
    world.pass_secs(50);
    let sent = world.take_sent();
    let reinvite = &sent[0];
    assert!(reinvite.text.starts_with("INVITE "), "{}", reinvite.text);
    assert!(
        reinvite
            .text
            .contains("\r\nSession-Expires: 100;refresher=uac\r\n")
    );
    let ports: Vec<_> = before.streams.iter().map(|s| s.rtp_port).collect();
    assert_eq!(reinvite.ports(), ports);
    assert_eq!(reinvite.directions(), ["recvonly", "recvonly"]);
    let extra = "Session-Expires: 100;refresher=uac\r\n";
    let answer = reply_with(
        &reinvite.text,
        200,
        extra,
        "application/sdp",
        &offer("sendonly"),
    );
    world.receive(answer.as_bytes());
    assert!(world.starts()[0].starts_with("ACK "));
    assert_eq!(world.held().last().streams, before.streams);
    world.pass_secs(49);
    assert_eq!((world.calls(), world.take_sent().len()), (1, 0));
    world.pass_secs(1);
    assert!(world.starts()[0].starts_with("INVITE "));
}

/// A peer that says it takes UPDATE and does not: the same by re-INVITE, and where it takes neither
/// the call goes on without a timer.
#[test]
fn a_refused_refresh_is_tried_the_other_way_and_costs_no_call() {
    let mut world = World::new();
    ours(&mut world, "INVITE, UPDATE");
    world.pass_secs(50);
    let update = world.take_sent()[0].text.clone();
    world.receive(reply(&update, 501, "").as_bytes());
    let reinvite = world.take_sent()[0].text.clone();
    assert!(reinvite.starts_with("INVITE "), "{reinvite}");
    world.receive(reply(&reinvite, 405, "").as_bytes());
    assert!(world.starts()[0].starts_with("ACK "));
    world.pass_secs(600);
    assert_eq!((world.calls(), world.take_sent().len()), (1, 0));
}

#[test]
fn a_refresh_that_meets_another_request_is_sent_again_by_the_rules() {
    for (status, extra, at_most_ms) in [
        (491, "", 2_000),
        (500, "Retry-After: 7\r\n", 7_000),
        (503, "", 2_000),
        (500, "Retry-After: 86400\r\n", 30_000),
    ] {
        let mut world = World::new();
        ours(&mut world, "INVITE, UPDATE");
        world.pass_secs(50);
        let update = world.take_sent()[0].text.clone();
        world.receive(reply(&update, status, extra).as_bytes());
        assert!(world.take_sent().is_empty(), "{status}: not at once");
        world.pass(std::time::Duration::from_millis(at_most_ms));
        assert_eq!(world.take_requests().len(), 1, "{status} {extra}");
    }
}

/// RFC 4028 §7.3.
#[test]
fn a_422_makes_the_interval_longer() {
    let mut world = World::new();
    ours(&mut world, "INVITE, UPDATE");
    world.pass_secs(50);
    let update = world.take_sent()[0].text.clone();
    world.receive(reply(&update, 422, "Min-SE: 1800\r\n").as_bytes());
    world.pass_secs(0);
    let again = world.take_sent()[0].text.clone();
    assert!(
        again.contains("\r\nSession-Expires: 1800;refresher=uac\r\n"),
        "{again}"
    );
    assert!(again.contains("\r\nMin-SE: 1800\r\n"), "{again}");
    world.receive(reply(&again, 200, "Session-Expires: 1800;refresher=uac\r\n").as_bytes());
    world.pass_secs(890);
    assert_eq!((world.calls(), world.take_sent().len()), (1, 0));
}

#[test]
fn a_refresh_that_nobody_answers_or_that_finds_no_dialog_ends_the_call() {
    for status in [None, Some(408), Some(481)] {
        let mut world = World::new();
        ours(&mut world, "INVITE, UPDATE");
        world.pass_secs(50);
        let update = world.take_sent()[0].text.clone();
        match status {
            Some(status) => world.receive(reply(&update, status, "").as_bytes()),
            None => world.pass_secs(32),
        }
        assert_eq!(world.calls(), 0, "{status:?}");
        let life = world.published().last().life;
        let reason = EndReason::SipTimeout;
        assert!(
            matches!(life, Life::Ended { reason: known, .. } if known == reason),
            "{life:?}"
        );
    }
}

/// The peer goes on refreshing although a re-INVITE of ours came between, and who refreshes may
/// change with each refresh.
#[test]
fn the_peer_may_take_over_and_give_up_the_refreshing() {
    let mut world = World::new();
    let mut src = ours(&mut world, "INVITE, UPDATE");
    let refresh = |who: &str| {
        Ask::new("INVITE")
            .header("Supported: timer")
            .header(&format!("Session-Expires: 100;refresher={who}"))
            .sdp(&sdp(&[
                &line(40_000, "1", "sendonly"),
                &line(40_002, "2", "sendonly"),
            ]))
    };
    let ok = world.answer(&mut src, &refresh("uac"));
    assert_eq!(ok.header("Session-Expires").unwrap(), "100;refresher=uac");
    world.ack(&src);
    world.take_sent();
    world.pass_secs(60);
    assert!(world.take_sent().is_empty(), "it is not ours to refresh");
    let ok = world.answer(&mut src, &refresh("uas"));
    assert_eq!(ok.header("Session-Expires").unwrap(), "100;refresher=uas");
    world.ack(&src);
    world.take_sent();
    world.pass_secs(50);
    assert!(world.starts()[0].starts_with("UPDATE "));
}
