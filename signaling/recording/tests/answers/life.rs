//! Streams over several exchanges: P-32, P-33, P-38, P-43, D-05, and the slots they live in.

use holdfast_recording::offer::{Action, LineFlag, LineRefusal, StalePlan};

use crate::vectors::{AUDIO, AUDIO_2, HEAD, answer, parse, ports, refused, session, with};

#[test]
fn p32_added_lines_are_new_streams_and_the_others_keep_their_ports() {
    let mut session = session();
    answer(&mut session, &with(&[AUDIO]));
    let first = session.streams().next().unwrap().clone();
    let plan = session.plan(&with(&[AUDIO, AUDIO_2])).unwrap();
    assert_eq!(
        plan.new_lines().map(|line| line.line).collect::<Vec<_>>(),
        [1]
    );
    let Action::Keep { slot, moved, .. } = &plan.lines[0].action else {
        panic!("{:?}", plan.lines)
    };
    assert_eq!((*slot, *moved), (first.slot, false));
    let asked = |line: &_| ports(line).filter(|ports| ports.rtp != 10_000);
    session.accept(plan, asked).unwrap();
    let rtp: Vec<_> = session.streams().map(|stream| stream.ports.rtp).collect();
    assert_eq!(rtp, [10_000, 10_002]);
}

#[test]
fn p33_port_0_ends_a_stream_and_p32_the_slot_comes_back_as_another() {
    let mut session = session();
    answer(&mut session, &with(&[AUDIO, AUDIO_2]));
    let old = session.streams().nth(1).unwrap().slot;
    let removed = AUDIO_2.replace("40002", "0");
    let plan = session.plan(&with(&[AUDIO, &removed])).unwrap();
    assert_eq!(plan.lines[1].action, Action::Remove { slot: Some(old) });
    assert_eq!(plan.ended().collect::<Vec<_>>(), [old]);
    let said = answer(&mut session, &with(&[AUDIO, &removed]));
    assert!(said.contains("\nm=audio 0 RTP/AVP 8\n"));
    assert_eq!(session.streams().count(), 1);
    let plan = session.plan(&with(&[AUDIO, &removed])).unwrap();
    assert_eq!(plan.lines[1].action, Action::Remove { slot: None });

    let reused = AUDIO_2.replace("label:2", "label:9");
    answer(&mut session, &with(&[AUDIO, &reused]));
    let new = session.streams().nth(1).unwrap();
    assert_eq!((new.slot.line, new.slot.serial), (1, 3));
    assert_ne!(new.slot, old);
    assert_eq!(new.terms.label.as_deref(), Some("9"));
}

#[test]
fn p38_a_refused_or_dropped_offer_leaves_everything_as_it_was() {
    let mut session = session();
    answer(&mut session, &with(&[AUDIO, AUDIO_2]));
    let before = session.clone();
    let unusable = ["m=audio 40000 RTP/AVP 100\n", "m=video 40002 RTP/AVP 31\n"];
    assert_eq!(session.plan(&with(&unusable)).unwrap_err().status(), 488);
    drop(session.plan(&with(&[AUDIO])).unwrap());
    assert_eq!(session, before);
}

#[test]
fn a_line_that_becomes_unusable_ends_its_stream_alone() {
    let mut session = session();
    answer(&mut session, &with(&[AUDIO, AUDIO_2]));
    let second = session.streams().nth(1).unwrap().slot;
    let secure = AUDIO_2.replace("RTP/AVP", "RTP/SAVP");
    let plan = session.plan(&with(&[AUDIO, &secure])).unwrap();
    assert_eq!(refused(&plan), [(1, LineRefusal::NoEncryption)]);
    assert_eq!(plan.ended().collect::<Vec<_>>(), [second]);
}

#[test]
fn p43_a_moved_peer_is_told() {
    let mut session = session();
    answer(&mut session, &with(&[AUDIO]));
    let moved = |text: String| {
        let plan = session.plan(&parse(&text)).unwrap();
        matches!(plan.lines[0].action, Action::Keep { moved: true, .. })
    };
    assert!(!moved(format!("{HEAD}{AUDIO}")));
    assert!(moved(format!("{HEAD}{}", AUDIO.replace("40000", "40010"))));
    assert!(moved(format!(
        "{}{AUDIO}",
        HEAD.replace("c=IN IP4 192.0.2.10", "c=IN IP4 192.0.2.11")
    )));
}

#[test]
fn d05_a_payload_type_that_changes_its_codec_is_flagged() {
    let mut session = session();
    let of = |name: &str| {
        format!("m=audio 40000 RTP/AVP 0 96\na=rtpmap:96 {name}\na=label:1\na=sendonly\n")
    };
    answer(&mut session, &with(&[&of("opus/48000/2")]));
    answer(&mut session, &with(&[&of("OPUS/48000/2")]));
    let flags = |session: &holdfast_recording::offer::Session| {
        session.streams().next().unwrap().terms.flags.clone()
    };
    assert!(flags(&session).is_empty());
    answer(&mut session, &with(&[&of("iLBC/8000")]));
    assert_eq!(
        flags(&session).into_iter().collect::<Vec<_>>(),
        [LineFlag::Remapped]
    );
}

#[test]
fn lines_that_vanish_end_their_streams_and_the_answer_has_as_many_as_the_offer() {
    let mut session = session();
    answer(&mut session, &with(&[AUDIO, AUDIO_2]));
    let second = session.streams().nth(1).unwrap().slot;
    let plan = session.plan(&with(&[AUDIO])).unwrap();
    assert_eq!(
        (plan.dropped.as_slice(), plan.ended().next()),
        (&[second][..], Some(second))
    );
    assert_eq!(
        answer(&mut session, &with(&[AUDIO]))
            .matches("\nm=")
            .count(),
        1
    );
    answer(&mut session, &with(&[AUDIO, AUDIO_2]));
    assert_ne!(
        session.streams().nth(1).unwrap().slot,
        second,
        "a serial is never used again"
    );
}

#[test]
fn a_line_that_changes_its_media_type_or_family_is_a_new_stream() {
    let mut session = session();
    answer(&mut session, &with(&[AUDIO]));
    let old = session.streams().next().unwrap().slot;
    let v6 = AUDIO.replace("a=ptime", "c=IN IP6 2001:db8::5\na=ptime");
    let plan = session.plan(&with(&[&v6])).unwrap();
    let Action::New {
        slot,
        replaces,
        terms,
    } = &plan.lines[0].action
    else {
        panic!("{:?}", plan.lines)
    };
    assert_eq!((*replaces, slot.serial), (Some(old), 2));
    assert_eq!(terms.family, holdfast_recording::sdp::Family::V6);
}

#[test]
fn a_plan_of_another_state_is_not_taken() {
    let mut session = session();
    let stale = session.plan(&with(&[AUDIO])).unwrap();
    answer(&mut session, &with(&[AUDIO, AUDIO_2]));
    let before = session.clone();
    assert_eq!(session.accept(stale, ports), Err(StalePlan));
    assert_eq!(session, before);
}
