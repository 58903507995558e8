//! Which INVITE is a recording session (P-01 to P-05a).

use holdfast_recording::recorder::RecorderConfig;

use crate::peer::{Ask, Src, metadata, offer};
use crate::world::World;

const PLAIN: &str = "<sip:src@192.0.2.10:5060>";

fn status(config: &RecorderConfig, require: &str, contact: &str, with_metadata: bool) -> u16 {
    let mut world = World::with(config.clone());
    let mut src = Src::new("marks");
    src.require = require.to_owned();
    src.contact = contact.to_owned();
    let ask = Ask::new("INVITE").sdp(&offer("sendonly"));
    let ask = if with_metadata {
        ask.metadata(&metadata())
    } else {
        ask
    };
    world.answer(&mut src, &ask).status()
}

#[test]
fn leniently_any_one_mark_will_do() {
    let config = RecorderConfig::default();
    let with = |require, contact| status(&config, require, contact, false);
    assert_eq!(with("", PLAIN), 403);
    assert_eq!(with("Require: siprec\r\n", PLAIN), 200);
    assert_eq!(with("Supported: timer, siprec\r\n", PLAIN), 200);
    for contact in [
        "<sip:src@192.0.2.10:5060>;+sip.src",
        "<sip:src@192.0.2.10:5060>;+SIP.SRC=\"TRUE\"",
        "sip:src@192.0.2.10:5060;+sip.src",
        "<sip:src@192.0.2.10:5060>;src",
        "<sip:src@192.0.2.10:5060;+sip.src>",
        "<sip:src@192.0.2.10:5060;src>",
    ] {
        assert_eq!(with("", contact), 200, "{contact}");
    }
    for contact in [
        "<sip:src@192.0.2.10:5060>;+sip.src=\"FALSE\"",
        "<sip:src@192.0.2.10:5060>;+sip.src=\"!TRUE\"",
        "<sip:src@192.0.2.10:5060>;+sip.srs",
    ] {
        assert_eq!(with("", contact), 403, "{contact}");
    }
    assert_eq!(status(&config, "", PLAIN, true), 200, "metadata is a mark");
}

#[test]
fn plain_invites_are_recorded_where_that_is_configured() {
    let config = RecorderConfig {
        takes_plain_invites: true,
        ..RecorderConfig::default()
    };
    assert_eq!(status(&config, "", PLAIN, false), 200);
}

#[test]
fn strictly_both_marks_are_needed_each_in_its_place() {
    let config = RecorderConfig {
        is_strict: true,
        ..RecorderConfig::default()
    };
    let tag = "<sip:src@192.0.2.10:5060>;+sip.src";
    assert_eq!(status(&config, "Require: siprec\r\n", tag, true), 200);
    assert_eq!(status(&config, "Supported: siprec\r\n", tag, true), 421);
    assert_eq!(status(&config, "", tag, true), 421);
    assert_eq!(status(&config, "Require: siprec\r\n", PLAIN, true), 403);
    assert_eq!(status(&config, "", PLAIN, true), 403);
}

#[test]
fn what_is_missing_is_noted() {
    let mut world = World::new();
    let mut src = Src::new("noted");
    src.require = String::new();
    src.contact = PLAIN.to_owned();
    world.answer(
        &mut src,
        &Ask::new("INVITE")
            .sdp(&offer("sendonly"))
            .metadata(&metadata()),
    );
    let codes: Vec<_> = world
        .held()
        .call()
        .warnings
        .into_iter()
        .map(|w| w.code)
        .collect();
    assert_eq!(codes, ["no_siprec_option", "no_src_tag"]);
}
