//! Offers of ours: P-31, P-37, P-41, and the answers to them.

use holdfast_recording::offer::{
    Action, LineFlag, LineRefusal, NoOfferPending, OfferError, Policy, Session,
};

use crate::vectors::{
    AUDIO, AUDIO_2, HEAD, answer, blocks, parse, ports, session, session_of, text, with,
};

fn offer(session: &mut Session) -> String {
    let plan = session.plan_offer().unwrap();
    text(session.offer(plan, ports).unwrap())
}

#[test]
fn a_request_without_an_offer_gets_two_audio_lines() {
    let line = |port| {
        format!(
            "m=audio {port} RTP/AVP 0 8 101\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n\
             a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=recvonly\n"
        )
    };
    let mut session = session();
    let said = offer(&mut session);
    assert_eq!(blocks(&said), [line(10_000), line(10_002)]);
    assert!(said.starts_with("v=0\no=holdfast 4711 1 IN IP4 198.51.100.7\n"));
    assert_eq!(session.streams().count(), 0, "in force from the answer on");

    let answer = format!("{HEAD}{}{}", AUDIO, AUDIO_2.replace("40002", "0"));
    let plan = session.handle_answer(&parse(&answer)).unwrap();
    assert!(matches!(
        plan.lines[0].action,
        Action::Keep { moved: true, .. }
    ));
    assert!(matches!(
        plan.lines[1].action,
        Action::Remove { slot: Some(_) }
    ));
    let streams: Vec<_> = session.streams().collect();
    assert_eq!((streams.len(), streams[0].ports.rtp), (1, 10_000));
    assert_eq!(streams[0].terms.label.as_deref(), Some("1"));
    assert_eq!(
        streams[0].terms.peer.rtp.unwrap().to_string(),
        "192.0.2.10:40000"
    );
}

#[test]
fn one_line_and_no_ports_are_possible_too() {
    let mut one = session_of(&Policy {
        offered_lines: 1,
        ..Policy::default()
    });
    assert_eq!(blocks(&offer(&mut one)).len(), 1);
    let mut some = session();
    let plan = some.plan_offer().unwrap();
    let second = |line: &_| ports(line).filter(|ports| ports.rtp == 10_002);
    let said = text(some.offer(plan, second).unwrap());
    assert!(said.contains("\nm=audio 0 RTP/AVP 0\nm=audio 10002 RTP/AVP 0 8 101\n"));
    some.handle_answer(&with(&[&AUDIO.replace("40000", "0"), AUDIO_2]))
        .unwrap();
    assert_eq!(
        some.streams()
            .map(|stream| stream.slot.line)
            .collect::<Vec<_>>(),
        [1]
    );
    let mut none = session();
    let plan = none.plan_offer().unwrap();
    assert_eq!(none.offer(plan, |_| None), Err(OfferError::NoPorts));
    assert_eq!(none, session());
}

#[test]
fn p31_p41_an_offer_repeats_all_lines_and_adds_none() {
    let mut session = session();
    let refused = "m=video 40004 RTP/AVP 31\n";
    let said = answer(&mut session, &with(&[AUDIO, refused, AUDIO_2]));
    let repeated = offer(&mut session);
    assert_eq!(
        repeated, said,
        "nothing changed, so neither does the version"
    );
    assert_eq!(session.plan_offer(), Err(OfferError::Pending));
    let kept = session
        .handle_answer(&with(&[AUDIO, "m=video 0 RTP/AVP 31\n", AUDIO_2]))
        .unwrap();
    assert_eq!(kept.streams().count(), 2);
    assert_eq!(
        session
            .streams()
            .map(|stream| stream.ports.rtp)
            .collect::<Vec<_>>(),
        [10_000, 10_004]
    );
}

#[test]
fn p31_a_session_without_lines_gets_none_by_an_offer() {
    let mut session = session();
    answer(&mut session, &with(&[]));
    assert!(blocks(&offer(&mut session)).is_empty());
}

#[test]
fn p37_we_pause_and_resume_by_an_offer() {
    let mut session = session();
    answer(&mut session, &with(&[AUDIO]));
    session.set_paused(true);
    assert!(offer(&mut session).contains("o=holdfast 4711 2 IN IP4 198.51.100.7\n"));
    session
        .handle_answer(&with(&[&AUDIO.replace("sendonly", "inactive")]))
        .unwrap();
    assert!(!session.streams().next().unwrap().terms.is_receiving());
    session.set_paused(false);
    let said = offer(&mut session);
    assert!(said.contains("a=recvonly") && said.contains("m=audio 10000 "));
    session.handle_answer(&with(&[AUDIO])).unwrap();
    assert!(session.streams().next().unwrap().terms.is_receiving());
}

#[test]
fn an_offer_asks_a_paused_peer_to_send_again_and_its_answer_decides() {
    let mut session = session();
    let inactive = AUDIO.replace("sendonly", "inactive");
    answer(&mut session, &with(&[&inactive]));
    assert!(offer(&mut session).contains("a=recvonly"));
    session.handle_answer(&with(&[&inactive])).unwrap();
    assert!(!session.streams().next().unwrap().terms.is_receiving());
}

#[test]
fn an_offer_of_the_peer_meanwhile_is_491_and_a_failed_offer_changes_nothing() {
    let mut session = session();
    answer(&mut session, &with(&[AUDIO, AUDIO_2]));
    let streams: Vec<_> = session.streams().cloned().collect();
    session.set_paused(true);
    offer(&mut session);
    assert_eq!(session.plan(&with(&[AUDIO])).unwrap_err().status(), 491);
    session.cancel_offer();
    assert_eq!(session.streams().cloned().collect::<Vec<_>>(), streams);
    assert_eq!(session.handle_answer(&with(&[AUDIO])), Err(NoOfferPending));
    assert!(session.plan(&with(&[AUDIO])).is_ok());
}

#[test]
fn codecs_after_an_answer_are_what_it_lists_then_what_we_offered() {
    let mut session = session();
    offer(&mut session);
    let line = "m=audio 40000 RTP/AVP 8 97\na=rtpmap:97 telephone-event/8000\n";
    session.handle_answer(&with(&[line, AUDIO_2])).unwrap();
    let terms = &session.streams().next().unwrap().terms;
    let types: Vec<_> = terms
        .codecs
        .iter()
        .map(|codec| codec.payload_type.value())
        .collect();
    assert_eq!(types, [8, 101, 0, 97]);
    assert!(!terms.flags.contains(&LineFlag::ForeignAnswer));
}

#[test]
fn an_answer_that_lists_nothing_we_offered_is_taken_and_flagged() {
    let mut session = session();
    offer(&mut session);
    session
        .handle_answer(&with(&["m=audio 40000 RTP/AVP 100\n", AUDIO_2]))
        .unwrap();
    let terms = &session.streams().next().unwrap().terms;
    assert!(terms.flags.contains(&LineFlag::ForeignAnswer) && terms.is_receiving());
    assert_eq!(terms.codecs.len(), 3);
    assert_eq!(terms.peer.rtp.unwrap().to_string(), "192.0.2.10:40000");
}

#[test]
fn an_answer_of_the_wrong_shape_ends_the_lines_it_does_not_fit() {
    let mut session = session();
    offer(&mut session);
    let secure = AUDIO.replace("RTP/AVP", "RTP/SAVP");
    let plan = session.handle_answer(&with(&[&secure])).unwrap();
    assert!(matches!(
        plan.lines[0].action,
        Action::Refuse {
            reason: LineRefusal::NoEncryption,
            ends: Some(_)
        }
    ));
    assert!(matches!(
        plan.lines[1].action,
        Action::Remove { slot: Some(_) }
    ));
    assert_eq!(session.streams().count(), 0);
}
