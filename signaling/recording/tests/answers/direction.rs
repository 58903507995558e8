//! Directions: P-20 to P-23, P-30, P-34, P-44.

use holdfast_recording::offer::{LineFlag, Session};
use holdfast_recording::sdp::Direction;

use crate::vectors::{HEAD, answer, answer_to, parse, session, with};

fn line(direction: &str) -> String {
    format!("m=audio 40000 RTP/AVP 0\na=label:1\n{direction}")
}

fn direction_of(answer: &str) -> &str {
    let names = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let mut found = answer.lines().filter_map(|line| line.strip_prefix("a="));
    let direction = found.find(|value| names.contains(value)).unwrap();
    assert_eq!(answer.matches(&format!("a={direction}")).count(), 1);
    direction
}

#[test]
fn p20_p21_p23_each_direction_has_its_answer() {
    for (offered, answered) in [
        ("a=sendonly\n", "recvonly"),
        ("a=sendrecv\n", "recvonly"),
        ("", "recvonly"),
        ("a=direction:both\n", "recvonly"),
        ("a=inactive\n", "inactive"),
        ("a=recvonly\n", "inactive"),
        ("a=SendOnly\n", "recvonly"),
    ] {
        assert_eq!(
            direction_of(&answer_to(&[&line(offered)])),
            answered,
            "{offered}"
        );
    }
}

#[test]
fn direction_of_the_session_counts_where_the_line_says_nothing() {
    for (session_level, media_level, answered) in [
        ("a=inactive\n", "", "inactive"),
        ("a=inactive\n", "a=sendonly\n", "recvonly"),
        ("a=sendonly\n", "a=inactive\n", "inactive"),
    ] {
        let offer = parse(&format!("{HEAD}{session_level}{}", line(media_level)));
        assert_eq!(direction_of(&answer(&mut session(), &offer)), answered);
    }
}

#[test]
fn p22_direction_never_sticks() {
    let cycle = [
        "inactive", "sendonly", "inactive", "sendonly", "recvonly", "sendrecv",
    ];
    let answered = [
        "inactive", "recvonly", "inactive", "recvonly", "inactive", "recvonly",
    ];
    let mut session = session();
    for (offered, expected) in cycle.into_iter().zip(answered) {
        let offer = with(&[&line(&format!("a={offered}\n"))]);
        assert_eq!(
            direction_of(&answer(&mut session, &offer)),
            expected,
            "{offered}"
        );
        assert_eq!(is_receiving(&session), expected == "recvonly");
    }
}

#[test]
fn p44_connection_0_0_0_0_is_a_hold_that_ends_with_a_real_address() {
    let mut session = session();
    for (host, expected, flagged) in [
        ("IN IP4 192.0.2.10", "recvonly", false),
        ("IN IP4 0.0.0.0", "inactive", true),
        ("IN IP4 192.0.2.10", "recvonly", false),
    ] {
        let text = format!("{HEAD}m=audio 40000 RTP/AVP 0\nc={host}\na=sendonly\n");
        assert_eq!(
            direction_of(&answer(&mut session, &parse(&text))),
            expected,
            "{host}"
        );
        let terms = &session.streams().next().unwrap().terms;
        assert_eq!(terms.flags.contains(&LineFlag::OldHold), flagged);
        assert_eq!(
            (terms.peer.rtp.is_none(), terms.peer.rtcp.is_none()),
            (flagged, flagged)
        );
    }
}

#[test]
fn p44_a_hold_sends_no_reports_to_an_explicit_rtcp_address_either() {
    let lines = "m=audio 40000 RTP/AVP 0\nc=IN IP4 0.0.0.0\na=rtcp:40001 IN IP4 192.0.2.9\n";
    let mut session = session();
    answer(&mut session, &with(&[lines]));
    assert_eq!(session.streams().next().unwrap().terms.peer.rtcp, None);
}

#[test]
fn p30_p37_while_we_are_paused_every_answer_is_inactive() {
    let mut session = session();
    session.set_paused(true);
    let offer = with(&[&line("a=sendonly\n")]);
    assert_eq!(direction_of(&answer(&mut session, &offer)), "inactive");
    session.set_paused(false);
    assert_eq!(direction_of(&answer(&mut session, &offer)), "recvonly");
}

#[test]
fn an_address_0_0_0_0_in_the_origin_alone_is_no_hold() {
    let text = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nm=audio 35011 RTP/AVP 0\na=sendonly\n";
    assert_eq!(
        direction_of(&answer(&mut session(), &parse(text))),
        "recvonly"
    );
}

fn is_receiving(session: &Session) -> bool {
    let terms = &session.streams().next().unwrap().terms;
    assert!(matches!(
        terms.direction,
        Direction::RecvOnly | Direction::Inactive
    ));
    terms.is_receiving()
}
