//! Bodies for fuzzers: any octets, fed to everything here that reads octets. They return nothing;
//! what they promise is to return, and what they assert holds for every input.

use std::net::IpAddr;

use holdfast_units::{SrtpSuite, WallTime};

use crate::metadata::{Channels, Limits, Line, State, parse};
use crate::multipart::{BodyLimits, UnstatedHandling, split};
use crate::offer::{KeySeed, LinePlan, LocalPorts, Origin, Policy, Session, SrtpPolicy};
use crate::sdp::{MediaKind, SessionDescription};

/// A message body: its first line is the Content-Type, what follows the octets.
pub fn any_body(octets: &[u8]) {
    let end = octets
        .iter()
        .position(|&octet| octet == b'\n')
        .unwrap_or(octets.len());
    let content_type = String::from_utf8_lossy(&octets[..end]);
    let body = octets.get(end + 1..).unwrap_or_default();
    let bodies = split(content_type.trim_end(), body, &BodyLimits::default());
    for part in &bodies.parts {
        let place = part.offset..part.offset + part.bytes.len();
        assert_eq!(body.get(place), Some(part.bytes), "a part is of the body");
        let _ = (part.charset(), part.foreign_encoding());
    }
    let _ = (bodies.sdp(), bodies.metadata(), bodies.others().count());
    for unstated in [UnstatedHandling::Required, UnstatedHandling::Optional] {
        let _ = bodies.unknown_required(unstated).count();
    }
}

/// A session description: as an offer, as a second offer, and as the answer to one of ours. What
/// we say to it must read, and keep the rules of RFC 3264 section 6.
pub fn any_description(octets: &[u8]) {
    let Ok(description) = SessionDescription::parse(octets) else {
        return;
    };
    let _ = description.all_flags();
    let policy = Policy {
        raw_media: vec![MediaKind::Video],
        srtp: SrtpPolicy {
            suites: SrtpSuite::ALL.to_vec(),
            takes_keys: true,
            opportunistic: true,
            ..SrtpPolicy::default()
        },
        ..Policy::default()
    };
    let origin = Origin {
        session_id: 1,
        address: IpAddr::from([198, 51, 100, 7]),
    };
    let mut session = Session::new(&policy, origin, KeySeed::new([7; 32]));
    for _ in 0..2 {
        if let Ok(plan) = session.plan(&description)
            && let Ok(answer) = session.accept(plan, ports)
        {
            check_answer(&description, &answer);
        }
    }
    if let Ok(plan) = session.plan_offer()
        && let Ok(offer) = session.offer(plan, ports)
    {
        assert!(SessionDescription::parse(&offer).is_ok());
        let _ = session.handle_answer(&description);
    }
}

fn check_answer(offer: &SessionDescription, answer: &[u8]) {
    let Ok(answer) = SessionDescription::parse(answer) else {
        panic!("our own answer does not read");
    };
    assert_eq!(answer.media.len(), offer.media.len(), "a line for a line");
    for (ours, theirs) in answer.media.iter().zip(&offer.media) {
        assert_eq!(ours.kind_text, theirs.kind_text);
        assert_eq!(ours.profile_text, theirs.profile_text);
        assert!(theirs.port != 0 || ours.port == 0, "a line stays refused");
    }
}

/// Where a line of ours receives.
fn ports(line: &LinePlan) -> Option<LocalPorts> {
    let rtp = 10_000 + 2 * (line.line % 20_000);
    Some(LocalPorts {
        address: IpAddr::from([198, 51, 100, 7]),
        rtp,
        rtcp: rtp + 1,
    })
}

/// A metadata document, and everything behind it.
pub fn any_metadata(octets: &[u8]) {
    let document = match parse(octets, None, &Limits::default()) {
        Ok(document) => document,
        Err(error) => match error.into_partial() {
            Some(partial) => partial,
            None => return,
        },
    };
    let mut state = State::new();
    for at in 1..3 {
        state.apply(&document, WallTime(at));
    }
    let line = |index, label| Line { index, label };
    let lines = [line(0, Some("1")), line(1, None)];
    assert_eq!(Channels::new().assign(&lines, &state).len(), lines.len());
    state.snapshot_needs();
    state.close(WallTime(9));
    assert!(
        state
            .participants()
            .iter()
            .all(|one| !one.presence.is_open()),
        "an end ends everything"
    );
}
