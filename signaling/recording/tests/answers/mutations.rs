//! Damage of every kind: nothing panics, and every answer to what can be read keeps the rules.

use holdfast_recording::multipart::{BodyLimits, UnstatedHandling, split};
use holdfast_recording::offer::{Policy, Session};
use holdfast_recording::sdp::{MediaKind, SessionDescription};

use crate::vectors::{AUDIO, AUDIO_2, HEAD, Xorshift, ports, session_of};

const ROUNDS: usize = 4_000;

fn vector() -> String {
    let rich = "m=audio 40004/2 RTP/AVPF 96 97 13 0
c=IN IP6 2001:db8::7
b=RR:0
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:97 red/8000
a=rtcp:40009 IN IP4 192.0.2.8
a=rtcp-mux
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20|1:4
a=ssrc:1 cname:x
a=label:x
m=video 40008 RTP/SAVPF 31
m=application 0 UDP/BFCP *
a=bundle-only
";
    format!("{HEAD}a=group:BUNDLE 1 2\n{AUDIO}{AUDIO_2}{rich}").replace('\n', "\r\n")
}

/// Flips, cuts, doubles and moves pieces.
fn damage(random: &mut Xorshift, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            3 => bytes.insert(at, b"\r\n =:;/0\xff\x00-"[random.below(11)]),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(random.below(256)).unwrap();
                }
            }
        }
    }
}

/// The rules that hold for every answer, whatever was offered.
fn assert_answer(offer: &SessionDescription, answer: &[u8], session: &Session) {
    let read = SessionDescription::parse(answer).unwrap();
    assert!(
        read.flags.is_empty(),
        "{:?} in {}",
        read.flags,
        String::from_utf8_lossy(answer)
    );
    assert_eq!(read.media.len(), offer.media.len());
    for (ours, theirs) in read.media.iter().zip(&offer.media) {
        assert_eq!(ours.kind_text, theirs.kind_text);
        assert_eq!(ours.profile_text, theirs.profile_text);
        assert!(theirs.port != 0 || ours.port == 0);
        assert!(!ours.formats.is_empty() && ours.crypto.is_empty());
        if ours.port != 0 {
            assert_eq!(ours.label, theirs.label);
            assert!(!ours.rtcp_mux || theirs.rtcp_mux || theirs.rtcp_mux_only);
        }
    }
    let open = read.media.iter().filter(|media| media.port != 0).count();
    assert_eq!(open, session.streams().count());
}

#[test]
fn damaged_descriptions_never_panic_and_their_answers_keep_the_rules() {
    let policy = Policy {
        raw_media: vec![MediaKind::Video],
        ..Policy::default()
    };
    let original = vector();
    let mut random = Xorshift(0x5EED_0001);
    let mut session = session_of(&policy);
    let (mut answered, mut offered) = (0, 0);
    for round in 0..ROUNDS {
        let mut bytes = original.clone().into_bytes();
        damage(&mut random, &mut bytes);
        let Ok(offer) = SessionDescription::parse(&bytes) else {
            continue;
        };
        if round % 5 == 4 {
            // Now and then it is our turn, and the damage is the answer.
            let plan = session.plan_offer().unwrap();
            if session.offer(plan, ports).is_ok() {
                offered += 1;
                session.handle_answer(&offer).unwrap();
            }
        } else if let Ok(plan) = session.plan(&offer) {
            let before = session.version();
            let answer = session.accept(plan, ports).unwrap();
            assert!(session.version() - before <= 1);
            assert_answer(&offer, &answer, &session);
            answered += 1;
        }
        if round % 50 == 49 {
            session = session_of(&policy);
        }
    }
    assert!(
        answered > ROUNDS / 4 && offered > ROUNDS / 20,
        "{answered} {offered}"
    );
}

#[test]
fn damaged_bodies_never_panic_and_parts_stay_inside() {
    let nested = "--i\r\nContent-Type: text/plain\r\n\r\nx\r\n--i--\r\n";
    let original = format!(
        "preamble\r\n--b\r\nContent-Type: application/sdp\r\n\r\n{}\r\n\
         --b\r\nContent-Type: multipart/alternative;boundary=\"i\"\r\n\r\n{nested}\r\n\
         --b\r\nContent-Disposition: recording-session;\r\n handling=required\r\n\
         Content-Type: application/rs-metadata+xml\r\nContent-Length: 99\r\n\r\n<a/>\r\n--b--\r\n",
        vector()
    );
    let mut random = Xorshift(0x5EED_0002);
    let mut found = 0;
    for _ in 0..ROUNDS {
        let mut bytes = original.clone().into_bytes();
        damage(&mut random, &mut bytes);
        let mut content_type = b"multipart/mixed;boundary=\"b\"".to_vec();
        if random.below(4) == 0 {
            damage(&mut random, &mut content_type);
        }
        let content_type = String::from_utf8_lossy(&content_type).into_owned();
        let bodies = split(&content_type, &bytes, &BodyLimits::default());
        for part in &bodies.parts {
            assert_eq!(
                bytes.get(part.offset..part.offset + part.bytes.len()),
                Some(part.bytes)
            );
        }
        let _ = bodies.unknown_required(UnstatedHandling::Required).count();
        found += usize::from(bodies.sdp().is_some() && bodies.metadata().is_some());
    }
    assert!(found > ROUNDS / 8, "{found}");
}

#[test]
fn a_description_cut_anywhere_never_panics() {
    let original = vector();
    for end in 0..original.len() {
        if let Ok(offer) = SessionDescription::parse(&original.as_bytes()[..end]) {
            let mut session = session_of(&Policy::default());
            if let Ok(plan) = session.plan(&offer) {
                let answer = session.accept(plan, ports).unwrap();
                assert_answer(&offer, &answer, &session);
            }
        }
    }
}
