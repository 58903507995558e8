//! What real recording clients send gets the answer it needs. The messages are not part of this
//! repository; where they are absent, this says so and passes.

use std::fs;
use std::path::PathBuf;

use holdfast_recording::multipart::{Bodies, BodyLimits, UnstatedHandling, split};
use holdfast_recording::offer::Session;
use holdfast_recording::sdp::SessionDescription;

use crate::vectors::{answer, blocks, session};

/// File, directions and labels of the answer's lines.
const EXPECTED: [(&str, &[(&str, &str)]); 19] = [
    ("avaya-3.sip", &[("recvonly", "10"), ("recvonly", "20")]),
    ("broadworks-5.sip", &[("recvonly", "1")]),
    ("broadworks-6.sip", &[("recvonly", "1"), ("recvonly", "2")]),
    ("broadworks-7.sip", &[("recvonly", "1"), ("recvonly", "2")]),
    ("cisco-cube-2.sip", &[("recvonly", "1"), ("recvonly", "2")]),
    ("cisco-cube-3.sip", &[("inactive", "1"), ("inactive", "2")]),
    (
        "drachtio-1.sip",
        &[("recvonly", "a_leg"), ("recvonly", "b_leg")],
    ),
    (
        "genesys-1.sip",
        &[
            ("recvonly", "268749245"),
            ("inactive", "268749246"),
            ("recvonly", "268749247"),
            ("inactive", "268749248"),
        ],
    ),
    ("jambonz-1.sip", &[("recvonly", "1"), ("recvonly", "2")]),
    ("nonsiprec-1.sip", &[("recvonly", "1")]),
    ("opensips-1.sip", &[("recvonly", "1"), ("recvonly", "2")]),
    ("opensips-2.sip", &[("recvonly", "1"), ("recvonly", "2")]),
    ("opensips-3.sip", &[("recvonly", "0"), ("recvonly", "1")]),
    ("opensips-4.sdp", &[("recvonly", "1")]),
    (
        "oracle-2.sip",
        &[
            ("recvonly", "1006644281"),
            ("inactive", "1006644282"),
            ("recvonly", "1006644283"),
            ("inactive", "1006644284"),
        ],
    ),
    (
        "oracle-3.sip",
        &[("recvonly", "739440565"), ("recvonly", "739440566")],
    ),
    (
        "oracle-5.sip",
        &[("recvonly", "16777227"), ("recvonly", "16777228")],
    ),
    (
        "oracle-6.sip",
        &[("recvonly", "33675086"), ("recvonly", "33675087")],
    ),
    ("ribbon-2.sip", &[("recvonly", "1"), ("recvonly", "2")]),
];
/// SEMS, apart from the others for the array's sake.
const SEMS: (&str, &[(&str, &str)]) = (
    "sems-1.sip",
    &[("recvonly", "a_leg"), ("recvonly", "b_leg")],
);

fn folder() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("../shared/interop/samples");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no samples at {}", folder.display());
    None
}

/// Content-Type and body of a message.
fn load(name: &str) -> Option<(String, Vec<u8>)> {
    let bytes = fs::read(folder()?.join(name)).unwrap();
    if name.ends_with(".sdp") {
        return Some(("application/sdp".to_owned(), bytes));
    }
    let at = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let content_type = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-type")
            .then(|| value.trim().to_owned())
    });
    Some((content_type.unwrap_or_default(), bytes[at + 4..].to_vec()))
}

fn bodies(message: &(String, Vec<u8>)) -> Bodies<'_> {
    split(&message.0, &message.1, &BodyLimits::default())
}

fn play(session: &mut Session, name: &str) -> Option<Vec<(String, String)>> {
    let message = load(name)?;
    let bodies = bodies(&message);
    let sdp = bodies.sdp().unwrap_or_else(|| panic!("{name}: no SDP"));
    let offer = SessionDescription::parse(sdp.bytes).unwrap();
    let said = answer(session, &offer);
    let lines = blocks(&said).into_iter().map(|block| {
        let value = |prefix: &str| {
            let found = block.lines().find_map(|line| line.strip_prefix(prefix));
            found
                .unwrap_or_else(|| panic!("{name}: no {prefix} in {block}"))
                .to_owned()
        };
        assert!(!block.starts_with("m=audio 0 "), "{name}: {block}");
        let direction = if block.contains("\na=inactive\n") {
            "inactive"
        } else {
            "recvonly"
        };
        assert!(
            block.contains(&format!("\na={direction}\n")),
            "{name}: {block}"
        );
        (direction.to_owned(), value("a=label:"))
    });
    assert!(!said.contains("a=candidate") && !said.contains("a=ice"));
    Some(lines.collect())
}

#[test]
fn every_offer_gets_its_directions_and_labels() {
    for (name, expected) in EXPECTED.into_iter().chain([SEMS]) {
        let Some(lines) = play(&mut session(), name) else {
            return;
        };
        let expected: Vec<_> = expected
            .iter()
            .map(|(d, l)| ((*d).to_owned(), (*l).to_owned()))
            .collect();
        assert_eq!(lines, expected, "{name}");
    }
}

#[test]
fn cisco_resumes_after_an_inactive_first_offer_and_drachtio_pauses() {
    for (first, second, direction) in [
        (
            "cisco-cube-3.sip",
            "cisco-cube-3.f01-re-invite.sip",
            "recvonly",
        ),
        ("drachtio-1.sip", "drachtio-1.f01-re-invite.sip", "inactive"),
    ] {
        let mut session = session();
        if play(&mut session, first).is_none() {
            return;
        }
        let ports: Vec<_> = session.streams().map(|stream| stream.ports).collect();
        let lines = play(&mut session, second).unwrap();
        assert!(
            lines.iter().all(|(said, _)| said == direction),
            "{second}: {lines:?}"
        );
        assert_eq!(
            session
                .streams()
                .map(|stream| stream.ports)
                .collect::<Vec<_>>(),
            ports
        );
        assert_eq!(session.version(), 2);
    }
}

#[test]
fn metadata_is_found_in_every_message_that_has_some() {
    let Some(folder) = folder() else { return };
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".sip") {
            continue;
        }
        seen += 1;
        let message = load(&name).unwrap();
        let bodies = bodies(&message);
        assert_eq!(
            bodies.metadata().is_some(),
            name != "nonsiprec-1.sip",
            "{name}"
        );
        assert_eq!(bodies.sdp().is_none(), name == "oracle-4.sip", "{name}");
        let unknown = bodies.unknown_required(UnstatedHandling::Required).count();
        assert_eq!(unknown, 0, "{name}");
        if name == "cisco-cube-2.sip" {
            let kept: Vec<_> = bodies
                .others()
                .map(|part| part.content_type.as_str())
                .collect();
            assert_eq!(kept, ["application/gtd"]);
        }
    }
    assert_eq!(seen, 22);
}
