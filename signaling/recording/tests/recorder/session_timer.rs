//! RFC 4028 (S-60 to S-65).

use holdfast_control::Life;
use holdfast_manifest::EndReason;
use holdfast_recording::recorder::RecorderConfig;

use crate::peer::{Ask, Src, invite};
use crate::world::{Sent, World};

fn asked(headers: &[&str]) -> Sent {
    let mut world = World::new();
    let ask = headers.iter().fold(invite(), |ask, line| ask.header(line));
    world.answer(&mut Src::new("timer"), &ask)
}

#[test]
fn what_is_granted() {
    let timer = "Supported: timer";
    let table: [(&[&str], Option<&str>, Option<&str>); 6] = [
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
            &[timer, "x: 7200"],
            Some("1800;refresher=uac"),
            Some("timer"),
        ),
        (
            &[timer, "Session-Expires: 3600", "Min-SE: 3600"],
            Some("3600;refresher=uac"),
            Some("timer"),
        ),
        (
            &["Session-Expires: 1800", "Allow: INVITE, UPDATE"],
            Some("1800;refresher=uas"),
            None,
        ),
        (&[timer, "Session-Expires: 1800;refresher=uas"], None, None),
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

/// The peer's response to a request of ours.
fn reply(request: &str, status: u16, extra: &str) -> String {
    let mut text = format!("SIP/2.0 {status} Whatever\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let prefix = format!("{name}: ");
        let line = request
            .split("\r\n")
            .find(|line| line.starts_with(&prefix))
            .unwrap();
        text.push_str(&format!("{line}\r\n"));
    }
    format!("{text}{extra}Content-Length: 0\r\n\r\n")
}
