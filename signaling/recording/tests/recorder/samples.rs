//! What real recording clients send gets the answer it needs, and a recording. The messages are
//! not part of this repository; where they are absent, this says so and passes.

use std::fs;
use std::path::PathBuf;

use crate::peer::{Ask, Src};
use crate::world::{Sent, World};

/// File, status, directions and labels of the answer.
const EXPECTED: &[(&str, u16, &[&str], &[&str])] = &[
    ("avaya-3.sip", 200, RECEIVED, &["10", "20"]),
    ("broadworks-6.sip", 200, RECEIVED, &["1", "2"]),
    ("broadworks-7.sip", 200, RECEIVED, &["1", "2"]),
    ("cisco-cube-2.sip", 200, RECEIVED, &["1", "2"]),
    (
        "cisco-cube-3.sip",
        200,
        &["inactive", "inactive"],
        &["1", "2"],
    ),
    ("drachtio-1.sip", 200, RECEIVED, &["a_leg", "b_leg"]),
    (
        "genesys-1.sip",
        200,
        HALF_RECEIVED,
        &["268749245", "268749246", "268749247", "268749248"],
    ),
    ("jambonz-1.sip", 200, RECEIVED, &["1", "2"]),
    ("nonsiprec-1.sip", 403, &[], &[]),
    ("opensips-1.sip", 200, RECEIVED, &["1", "2"]),
    ("opensips-2.sip", 200, RECEIVED, &["1", "2"]),
    ("opensips-3.sip", 200, RECEIVED, &["0", "1"]),
    (
        "oracle-2.sip",
        200,
        HALF_RECEIVED,
        &["1006644281", "1006644282", "1006644283", "1006644284"],
    ),
    ("oracle-3.sip", 200, RECEIVED, &["739440565", "739440566"]),
    ("oracle-4.sip", 200, RECEIVED, &[]),
    ("oracle-5.sip", 200, RECEIVED, &["16777227", "16777228"]),
    ("oracle-6.sip", 200, RECEIVED, &["33675086", "33675087"]),
    ("ribbon-2.sip", 200, RECEIVED, &["1", "2"]),
    ("sems-1.sip", 200, RECEIVED, &["a_leg", "b_leg"]),
];
const RECEIVED: &[&str] = &["recvonly", "recvonly"];
const HALF_RECEIVED: &[&str] = &["recvonly", "inactive", "recvonly", "inactive"];

fn sample(name: &str) -> Option<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("../shared/interop/samples").join(name);
    let read = fs::read(&path).ok();
    if read.is_none() {
        eprintln!("SKIPPED: no sample at {}", path.display());
    }
    read
}

/// Every sample that is recorded.
pub fn all() -> impl Iterator<Item = Vec<u8>> {
    let recorded = EXPECTED.iter().filter(|(_, status, ..)| *status == 200);
    recorded.filter_map(|(name, ..)| sample(name))
}

fn final_answer(world: &mut World) -> Sent {
    let sent = world.take_sent();
    let finals: Vec<_> = sent.into_iter().filter(|one| one.status() >= 200).collect();
    assert_eq!(finals.len(), 1);
    finals[0].clone()
}

#[test]
fn every_sample_gets_what_its_row_expects() {
    for (name, status, directions, labels) in EXPECTED {
        let Some(bytes) = sample(name) else { continue };
        let mut world = World::new();
        world.receive(&bytes);
        let answer = final_answer(&mut world);
        assert_eq!(answer.status(), *status, "{name}: {}", answer.text);
        assert_eq!(answer.directions(), *directions, "{name}");
        let labels: Vec<String> = labels
            .iter()
            .map(|label| format!("a=label:{label}"))
            .collect();
        assert_eq!(answer.lines("a=label:"), labels, "{name}");
        if *status == 200 {
            assert_eq!(
                answer.header("Content-Type").as_deref(),
                Some("application/sdp")
            );
            let held = world.held();
            assert_eq!(held.last().streams.len(), directions.len(), "{name}");
            assert!(!held.call().sip.call_id.is_empty());
        }
    }
}

/// Each one answered 200 leaves a recording, also where nobody ever sends the ACK.
#[test]
fn every_sample_that_is_answered_200_ends_as_a_recording() {
    for (name, status, ..) in EXPECTED {
        let Some(bytes) = sample(name) else { continue };
        let mut world = World::new();
        world.receive(&bytes);
        world.pass_secs(70);
        assert_eq!(
            world.engine.published.len(),
            usize::from(*status == 200),
            "{name}"
        );
        assert_eq!(world.calls(), 0, "{name}");
    }
}

#[test]
fn the_damaged_sample_gets_some_final_response() {
    let Some(bytes) = sample("broadworks-5.sip") else {
        return;
    };
    let mut world = World::new();
    world.receive(&bytes);
    assert!(final_answer(&mut world).status() >= 200);
}

#[test]
fn a_session_description_alone_is_answered() {
    let Some(bytes) = sample("opensips-4.sdp") else {
        return;
    };
    let text = String::from_utf8(bytes).unwrap();
    let mut world = World::new();
    let ask = Ask::new("INVITE").sole_body("application/sdp", &text.replace("\r\n", "\n"));
    let ok = world.answer(&mut Src::new("sdp"), &ask);
    assert_eq!((ok.status(), ok.directions().len()), (200, 1));
    assert_eq!(ok.lines("a=label:"), ["a=label:1"]);
    assert!(!ok.body().contains("ice-"));
}

#[test]
fn the_session_timer_samples_get_their_timer() {
    for (name, value) in [
        ("oracle-4.sip", "2400;refresher=uac"),
        ("ribbon-2.sip", "1800;refresher=uac"),
    ] {
        let Some(bytes) = sample(name) else { continue };
        let mut world = World::new();
        world.receive(&bytes);
        let answer = final_answer(&mut world);
        assert_eq!(
            answer.header("Session-Expires").as_deref(),
            Some(value),
            "{name}"
        );
        assert_eq!(answer.header("Require").as_deref(), Some("timer"), "{name}");
    }
}

/// The re-INVITEs of two clients: inactive to sendonly, and back.
#[test]
fn the_reinvites_are_answered_by_their_own_direction() {
    for (first, second, directions) in [
        (
            "cisco-cube-3.sip",
            "cisco-cube-3.f01-re-invite.sip",
            RECEIVED,
        ),
        (
            "drachtio-1.sip",
            "drachtio-1.f01-re-invite.sip",
            &["inactive", "inactive"],
        ),
    ] {
        let (Some(first), Some(second)) = (sample(first), sample(second)) else {
            continue;
        };
        let mut world = World::new();
        world.receive(&first);
        let tag = final_answer(&mut world).to_tag();
        let before = world.held().last().clone();
        let text = String::from_utf8(second).unwrap();
        world.receive(in_dialog(&text, &tag).as_bytes());
        let answer = final_answer(&mut world);
        assert_eq!(answer.status(), 200, "{}", answer.text);
        assert_eq!(answer.directions(), directions);
        let ports = |recording: &holdfast_control::Recording| {
            recording
                .streams
                .iter()
                .map(|s| s.rtp_port)
                .collect::<Vec<_>>()
        };
        assert_eq!(ports(world.held().last()), ports(&before));
    }
}

/// The request with the recorder's tag in To.
fn in_dialog(text: &str, tag: &str) -> String {
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let lines = head.split("\r\n").map(|line| {
        let name = line.split(':').next().unwrap_or_default().trim();
        if !name.eq_ignore_ascii_case("To") {
            return line.to_owned();
        }
        match line.find(";tag=") {
            Some(at) => format!("{};tag={tag}", &line[..at]),
            None => format!("{line};tag={tag}"),
        }
    });
    format!("{}\r\n\r\n{body}", lines.collect::<Vec<_>>().join("\r\n"))
}
