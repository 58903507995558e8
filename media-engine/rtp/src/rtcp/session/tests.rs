use super::*;
use crate::codec::Codec;
use crate::number::{PayloadType, RtpTimestamp};
use crate::packet::RtpPacket;

const OWN: Ssrc = Ssrc(0x0bad_cafe);
const CHANCE: Chance = Chance(0);

fn session(reduced_size: bool) -> RtcpSession {
    let cname = Cname::from_random([1; 12]);
    let bandwidth = RtcpBandwidth::Default;
    let config = RtcpConfig {
        ssrc: OWN,
        cname,
        bandwidth,
        reduced_size,
    };
    RtcpSession::new(MonoTime::ZERO, config, CHANCE)
}

fn seconds(seconds: u64) -> MonoTime {
    MonoTime(seconds * 1_000_000_000)
}

fn sender_report(ssrc: u32, ntp: u64, rtp: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, 200, 0, 6];
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend(ntp.to_be_bytes());
    bytes.extend(rtp.to_be_bytes());
    bytes.extend([0, 0, 0, 5, 0, 0, 3, 32]);
    bytes
}

fn described(ssrc: u32, name: &[u8; 2]) -> Vec<u8> {
    let [a, b, c, d] = ssrc.to_be_bytes();
    vec![
        0x81, 202, 0, 3, a, b, c, d, 1, 2, name[0], name[1], 0, 0, 0, 0,
    ]
}

fn goodbye(ssrc: u32) -> Vec<u8> {
    [&[0x81, 203, 0, 1], &ssrc.to_be_bytes()[..]].concat()
}

fn hear(sources: &mut SourceTable, now: MonoTime, ssrc: u32, sequence: u16) {
    let mut bytes = vec![0x80, 0];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(ssrc.to_be_bytes());
    let codec = Codec::from_static(PayloadType::from_octet(0)).unwrap();
    sources.observe(now, &RtpPacket::parse(&bytes).unwrap(), &codec);
}

/// The report that is due, read again.
fn report(
    session: &mut RtcpSession,
    now: MonoTime,
    sources: &mut SourceTable,
) -> Option<Vec<ReportBlock>> {
    let mut out = [0; limits::RTCP_OUT_BYTES_MAX];
    let len = session.poll_report(now, CHANCE, sources, &mut out)?;
    let mut parts = Compound::parse(&out[..len], false).unwrap();
    let Some(RtcpPacket::ReceiverReport { ssrc, blocks }) = parts.next() else {
        panic!("RR")
    };
    assert_eq!(ssrc, session.ssrc());
    assert!(matches!(
        parts.next(),
        Some(RtcpPacket::SourceDescription(_))
    ));
    assert!(parts.next().is_none());
    Some(blocks.iter().collect())
}

#[test]
fn an_empty_report_leaves_within_five_seconds_also_when_nothing_is_heard() {
    let (mut session, mut sources) = (session(false), SourceTable::new());
    assert_eq!(report(&mut session, seconds(1), &mut sources), None);
    let due = session.poll_timeout().unwrap();
    assert!(due < seconds(5));
    assert_eq!(report(&mut session, due, &mut sources), Some(vec![]));
    assert!(session.poll_timeout().unwrap() > due);
}

#[test]
fn report_blocks_give_back_the_time_of_the_last_sender_report() {
    let (mut session, mut sources) = (session(false), SourceTable::new());
    hear(&mut sources, seconds(1), 7, 10);
    hear(&mut sources, seconds(1), 7, 12);
    hear(&mut sources, seconds(1), 8, 500);
    let bytes = sender_report(7, 0x1111_2222_3333_4444, 1_600);
    let events = session.handle_packet(seconds(1), &bytes).unwrap();
    let ntp = NtpTime(0x1111_2222_3333_4444);
    let pair = ClockPair {
        ntp,
        rtp: RtpTimestamp(1_600),
        at: seconds(1),
    };
    assert_eq!(
        events,
        [RtcpEvent::Clock {
            ssrc: Ssrc(7),
            pair
        }]
    );
    let blocks = report(&mut session, MonoTime(3_500_000_000), &mut sources).unwrap();
    assert_eq!(blocks.len(), 2);
    assert_eq!((blocks[0].ssrc, blocks[0].cumulative_lost), (Ssrc(7), 1));
    assert_eq!(blocks[0].last_sr, 0x2222_3333);
    assert_eq!(blocks[0].delay_since_last_sr, 2 << 16 | 1 << 15, "2.5 s");
    assert_eq!((blocks[1].last_sr, blocks[1].delay_since_last_sr), (0, 0));
    // Who was not heard since has no block.
    hear(&mut sources, seconds(4), 8, 501);
    let blocks = report(&mut session, seconds(20), &mut sources).unwrap();
    assert_eq!(
        blocks.iter().map(|block| block.ssrc).collect::<Vec<_>>(),
        [Ssrc(8)]
    );
}

#[test]
fn names_clocks_and_byes_are_kept() {
    let mut session = session(false);
    let first = [sender_report(7, 1 << 40, 0), described(7, b"ab")].concat();
    let events = session.handle_packet(seconds(1), &first).unwrap();
    assert_eq!(events[1], RtcpEvent::Named { ssrc: Ssrc(7) });
    let second = [
        sender_report(7, 2 << 40, 160),
        described(7, b"ab"),
        goodbye(7),
    ]
    .concat();
    let events = session.handle_packet(seconds(2), &second).unwrap();
    assert_eq!(events.len(), 2, "the same name is no news");
    assert_eq!(events[1], RtcpEvent::Left { ssrc: Ssrc(7) });
    let peer = session.peer(Ssrc(7)).unwrap();
    assert_eq!(peer.cname.as_deref(), Some(&b"ab"[..]));
    assert_eq!(peer.first_pair.unwrap().at, seconds(1));
    assert_eq!(peer.last_pair.unwrap().rtp, RtpTimestamp(160));
    assert_eq!(
        (peer.sent_packets, peer.sent_octets, peer.left),
        (5, 800, true)
    );
}

#[test]
fn our_own_ssrc_in_a_report_is_a_collision_with_bye_and_another_ssrc() {
    let (mut session, mut sources) = (session(false), SourceTable::new());
    let mut out = [0; limits::RTCP_OUT_BYTES_MAX];
    let theirs = [
        sender_report(OWN.0, 1, 1),
        described(OWN.0, b"xy"),
        goodbye(OWN.0),
    ]
    .concat();
    assert_eq!(
        session.handle_packet(seconds(1), &theirs).unwrap(),
        [RtcpEvent::Collision]
    );
    assert_eq!(
        session.change_ssrc(Ssrc(2), &mut out),
        None,
        "nothing was sent with the old one"
    );
    report(&mut session, seconds(4), &mut sources).unwrap();
    let len = session.change_ssrc(Ssrc(3), &mut out).unwrap();
    let left: Vec<_> = Compound::parse(&out[..len], false)
        .unwrap()
        .filter_map(|part| match part {
            RtcpPacket::Goodbye { sources, .. } => sources.iter().next(),
            _ => None,
        })
        .collect();
    assert_eq!((left, session.ssrc()), (vec![Ssrc(2)], Ssrc(3)));
    for new in 4..100 {
        session.change_ssrc(Ssrc(new), &mut out);
    }
    assert_eq!(
        session.ssrc(),
        Ssrc(1 + u32::from(limits::COLLISIONS_MAX)),
        "no flip-flop"
    );
}

#[test]
fn bye_only_if_anything_was_sent_and_only_once() {
    let (mut session, mut sources) = (session(false), SourceTable::new());
    let mut out = [0; limits::RTCP_OUT_BYTES_MAX];
    assert_eq!(session.write_bye(&mut out), None);
    report(&mut session, seconds(5), &mut sources).unwrap();
    assert!(session.write_bye(&mut out).is_some());
    assert_eq!(session.write_bye(&mut out), None);
}

#[test]
fn bandwidth_zero_in_the_sdp_silences_the_session() {
    let (mut session, mut sources) = (session(false), SourceTable::new());
    session.set_bandwidth(seconds(0), RtcpBandwidth::Receivers(0), CHANCE);
    assert_eq!(session.poll_timeout(), None);
    assert_eq!(report(&mut session, seconds(1_000), &mut sources), None);
}

#[test]
fn reduced_size_is_taken_only_if_agreed() {
    let bytes = goodbye(7);
    let refused = session(false).handle_packet(seconds(1), &bytes);
    assert_eq!(refused, Err(RtcpError::NotCompound));
    let events = session(true).handle_packet(seconds(1), &bytes).unwrap();
    assert_eq!(events, [RtcpEvent::Left { ssrc: Ssrc(7) }]);
}

#[test]
fn a_flood_of_ssrcs_costs_no_room() {
    let mut session = session(false);
    for ssrc in 0..1_000 {
        let bytes = [sender_report(ssrc, 1, 1), described(ssrc, b"ab")].concat();
        session
            .handle_packet(seconds(u64::from(ssrc)), &bytes)
            .unwrap();
    }
    assert_eq!(session.peers().len(), limits::SOURCES_MAX);
    assert!(session.peer(Ssrc(999)).is_some());
}
