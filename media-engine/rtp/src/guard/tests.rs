use super::*;
use crate::codec::Codec;
use crate::number::PayloadType;

const SDP: &str = "192.0.2.10:4000";
const SDP_OTHER_PORT: &str = "192.0.2.10:4444";
const SIGNALING: &str = "192.0.2.20:9000";
const STRANGER: &str = "198.51.100.66:5000";
const ATTACKER: &str = "203.0.113.99:6000";

struct World {
    guard: Guard,
    codecs: PayloadMap,
    now: MonoTime,
}

impl World {
    fn new(config: GuardConfig) -> Self {
        let mut codecs = PayloadMap::new();
        for number in [0, 13] {
            let payload_type = PayloadType::new(number).unwrap();
            codecs
                .insert(payload_type, Codec::from_static(payload_type).unwrap())
                .unwrap();
        }
        let expected = Expected {
            media: SDP.parse().ok(),
            control: "192.0.2.11:4001".parse().ok(),
            signaling: Some([192, 0, 2, 20].into()),
        };
        Self {
            guard: Guard::new(config, expected),
            codecs,
            now: MonoTime(1_000_000_000),
        }
    }

    fn with(sources: SourcePolicy) -> Self {
        Self::new(GuardConfig {
            sources,
            ..GuardConfig::default()
        })
    }

    fn check(&mut self, source: &str, bytes: &[u8]) -> Verdict {
        self.guard
            .check(self.now, source.parse().unwrap(), bytes, &self.codecs)
    }

    /// 20 ms later, a packet of PCMU.
    fn send(&mut self, source: &str, ssrc: u32, sequence: u16) -> Verdict {
        self.wait_ms(20);
        self.check(source, &rtp(0, ssrc, sequence))
    }

    fn wait_ms(&mut self, ms: u64) {
        self.now.0 += ms * 1_000_000;
    }

    fn held(&mut self) -> Option<Vec<u8>> {
        self.guard.take_held().map(|held| held.bytes.to_vec())
    }
}

fn rtp(payload_type: u8, ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(u32::from(sequence).wrapping_mul(160).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([0xff; 160]);
    bytes
}

fn latched(source: &str, previous: Option<&str>, cause: LatchCause) -> Verdict {
    let source = source.parse().unwrap();
    let previous = previous.map(|previous| previous.parse().unwrap());
    Verdict::Accept {
        latched: Some(SourceChange {
            source,
            previous,
            cause,
        }),
    }
}

const ACCEPT: Verdict = Verdict::Accept { latched: None };
const FOREIGN: Verdict = Verdict::Refuse(Reason::Foreign);

#[test]
fn what_is_not_ours_is_refused_with_its_reason_and_counted() {
    let good = rtp(0, 7, 1);
    let with = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        edit(&mut bytes);
        bytes
    };
    let stun = [&[0, 1, 0, 0][..], &STUN_COOKIE, &[9; 12]].concat();
    for (name, bytes, reason) in [
        ("zero-length keepalive", vec![], Reason::TooShort),
        ("four octets of 0 (RFC 6263)", vec![0; 4], Reason::TooShort),
        ("header cut off", good[..11].to_vec(), Reason::TooShort),
        ("version 0 keepalive", with(&|b| b[0] = 0), Reason::Version),
        (
            "version 0, first octet 15",
            with(&|b| b[0] = 15),
            Reason::Version,
        ),
        ("STUN", stun, Reason::Stun),
        ("ZRTP", with(&|b| b[0] = 16), Reason::OtherProtocol),
        ("DTLS", with(&|b| b[0] = 20), Reason::Dtls),
        ("short DTLS", vec![63, 1], Reason::Dtls),
        ("TURN channel", with(&|b| b[0] = 64), Reason::OtherProtocol),
        ("QUIC", with(&|b| b[0] = 127), Reason::OtherProtocol),
        ("version 3", with(&|b| b[0] = 192), Reason::OtherProtocol),
        (
            "too many CSRCs",
            with(&|b| drop(b.splice(.., [0x8f; 12]))),
            Reason::TooShort,
        ),
        (
            "padding count 0",
            with(&|b| (b[0], b[171]) = (0xa0, 0)),
            Reason::Padding,
        ),
        (
            "padding too long",
            with(&|b| (b[0], b[171]) = (0xa0, 161)),
            Reason::Padding,
        ),
        (
            "extension too long",
            with(&|b| b[0] = 0x90),
            Reason::Extension,
        ),
        ("payload type 8", with(&|b| b[1] = 8), Reason::PayloadType),
        (
            "payload type 127",
            with(&|b| b[1] = 127),
            Reason::PayloadType,
        ),
        ("RTCP", with(&|b| b[1] = 200), Reason::StrayRtcp),
        (
            "larger than any",
            vec![0x80; limits::PACKET_BYTES_MAX + 1],
            Reason::Oversize,
        ),
    ] {
        let mut world = World::with(SourcePolicy::Open);
        assert_eq!(world.check(SDP, &bytes), Verdict::Refuse(reason), "{name}");
        assert_eq!(world.guard.refused().of(reason), 1, "{name}");
        assert_eq!(world.guard.refused().total(), 1, "{name}");
        assert_eq!(world.guard.source(), None, "{name} latches nothing");
    }
}

#[test]
fn the_padding_of_an_encrypted_packet_is_not_looked_at() {
    let mut bytes = rtp(0, 7, 1);
    (bytes[0], bytes[171]) = (0xa0, 0);
    let mut world = World::new(GuardConfig {
        protected: true,
        ..GuardConfig::default()
    });
    assert!(matches!(world.check(SDP, &bytes), Verdict::Accept { .. }));
}

/// RFC 7362 section 5: of SRTP the latch is by authentication, which the guard is told.
#[test]
fn whoever_authenticates_is_latched_and_nobody_is_kept_out() {
    let mut world = World::new(GuardConfig {
        protected: true,
        packets_per_second_max: 100,
        ..GuardConfig::default()
    });
    // An attacker is first, and floods; he is heard, but as nobody.
    for sequence in 0..150 {
        let verdict = world.check(ATTACKER, &rtp(0, 7, sequence));
        let expected = if sequence < 100 {
            ACCEPT
        } else {
            Verdict::Refuse(Reason::RateCap)
        };
        assert_eq!(verdict, expected, "{sequence}");
    }
    assert_eq!(world.guard.source(), None);
    world.wait_ms(1_000);
    assert_eq!(world.check(STRANGER, &rtp(0, 9, 1)), ACCEPT);
    assert!(world.held().is_none());
    let stranger = STRANGER.parse().unwrap();
    world.guard.latch_authentic(world.now, stranger, Ssrc(9));
    assert_eq!(world.guard.source(), Some(stranger));
    // From now on the flood is no longer at his expense, though it seems to come from the right host.
    for sequence in 0..300 {
        let _ = world.check(SDP, &rtp(0, 7, sequence));
    }
    for sequence in 2..100 {
        assert_eq!(world.check(STRANGER, &rtp(0, 9, sequence)), ACCEPT);
    }
    assert_eq!(world.guard.source(), Some(stranger));
    // He moves: heard at once, and latched when his packet is known to be his.
    world.wait_ms(1_000);
    assert_eq!(world.check(SIGNALING, &rtp(0, 9, 100)), ACCEPT);
    let moved = SIGNALING.parse().unwrap();
    world.guard.latch_authentic(world.now, moved, Ssrc(9));
    assert_eq!(world.guard.source(), Some(moved));
}

#[test]
fn the_strict_policy_hears_known_hosts_alone_whatever_authenticates() {
    let mut world = World::new(GuardConfig {
        protected: true,
        sources: SourcePolicy::Strict,
        ..GuardConfig::default()
    });
    assert_eq!(world.check(ATTACKER, &rtp(0, 7, 1)), FOREIGN);
    assert_eq!(world.check(SDP_OTHER_PORT, &rtp(0, 7, 1)), ACCEPT);
    assert_eq!(world.check(SIGNALING, &rtp(0, 8, 1)), ACCEPT);
}

#[test]
fn known_hosts_are_latched_by_their_first_packet() {
    for source in [
        SDP,
        SDP_OTHER_PORT,
        SIGNALING,
        "192.0.2.11:7",
        "[::ffff:192.0.2.10]:4000",
    ] {
        for policy in [
            SourcePolicy::Strict,
            SourcePolicy::Latch,
            SourcePolicy::Open,
        ] {
            let mut world = World::with(policy);
            assert_eq!(
                world.send(source, 7, 1),
                latched(source, None, LatchCause::First)
            );
            assert_eq!(world.held(), None);
            assert_eq!(world.send(source, 7, 2), ACCEPT);
        }
    }
}

#[test]
fn a_stranger_is_held_and_latched_by_its_second_packet() {
    let mut world = World::with(SourcePolicy::Latch);
    assert_eq!(world.send(STRANGER, 7, 65_535), Verdict::Hold);
    assert_eq!(
        world.send(STRANGER, 7, 0),
        latched(STRANGER, None, LatchCause::First)
    );
    let held = world.guard.take_held().unwrap();
    assert_eq!(held.at, MonoTime(1_020_000_000));
    assert_eq!(held.bytes, rtp(0, 7, 65_535));
    assert_eq!(world.held(), None, "it is given once");
    assert_eq!(world.send(STRANGER, 7, 1), ACCEPT);
    assert_eq!(world.guard.refused().total(), 0, "nothing of it was lost");
}

#[test]
fn strict_refuses_a_stranger_for_ever() {
    let mut world = World::with(SourcePolicy::Strict);
    for sequence in 0..10 {
        assert_eq!(world.send(STRANGER, 7, sequence), FOREIGN);
    }
    world.guard.reset_latch(world.now);
    assert_eq!(world.send(STRANGER, 7, 10), FOREIGN);
}

#[test]
fn two_packets_that_are_not_sequential_prove_nothing() {
    for (name, second) in [
        ("a gap", rtp(0, 7, 3)),
        ("a duplicate", rtp(0, 7, 1)),
        ("another SSRC", rtp(0, 8, 2)),
        ("another payload type", rtp(8, 7, 2)),
    ] {
        let mut world = World::with(SourcePolicy::Latch);
        world.send(STRANGER, 7, 1);
        world.wait_ms(20);
        assert!(
            !matches!(world.check(STRANGER, &second), Verdict::Accept { .. }),
            "{name}"
        );
        assert_eq!(world.guard.source(), None, "{name}");
    }
    let mut world = World::with(SourcePolicy::Latch);
    world.send(STRANGER, 7, 1);
    world.wait_ms(2_001);
    assert_eq!(world.send(STRANGER, 7, 2), Verdict::Hold, "too late");
}

#[test]
fn a_packet_too_large_to_hold_still_proves_its_source() {
    let mut world = World::with(SourcePolicy::Latch);
    let mut large = rtp(0, 7, 1);
    large.resize(limits::HELD_BYTES_MAX + 1, 0);
    assert_eq!(
        world.check(STRANGER, &large),
        Verdict::Refuse(Reason::Unproven)
    );
    assert_eq!(
        world.send(STRANGER, 7, 2),
        latched(STRANGER, None, LatchCause::First)
    );
    assert_eq!(world.held(), None);
    large.truncate(limits::HELD_BYTES_MAX);
    let mut world = World::with(SourcePolicy::Latch);
    assert_eq!(world.check(STRANGER, &large), Verdict::Hold);
    world.send(STRANGER, 7, 2);
    assert_eq!(world.held(), Some(large));
}

#[test]
fn one_stranger_does_not_keep_another_from_proving_itself() {
    let mut world = World::with(SourcePolicy::Latch);
    assert_eq!(world.send(STRANGER, 7, 1), Verdict::Hold);
    assert_eq!(world.send(ATTACKER, 9, 100), Verdict::Hold);
    assert_eq!(world.send(ATTACKER, 9, 200), Verdict::Hold);
    assert_eq!(
        world.send(STRANGER, 7, 2),
        latched(STRANGER, None, LatchCause::First)
    );
    assert_eq!(world.held(), Some(rtp(0, 7, 1)));
    assert_eq!(world.guard.refused().of(Reason::Unproven), 2);
}

#[test]
fn an_attacker_beside_the_latched_source_is_foreign() {
    let mut world = World::with(SourcePolicy::Latch);
    world.send(STRANGER, 7, 1);
    world.send(STRANGER, 7, 2);
    for sequence in 3..1_000 {
        assert_eq!(world.send(STRANGER, 7, sequence), ACCEPT);
        // Right SSRC, payload type and sequence number: all that a guess can get right.
        assert_eq!(world.send(ATTACKER, 7, sequence + 1), FOREIGN);
    }
    assert_eq!(world.guard.refused().of(Reason::Foreign), 997);
}

#[test]
fn the_address_of_the_sdp_beats_a_stranger_that_was_faster() {
    let mut world = World::with(SourcePolicy::Latch);
    world.send(ATTACKER, 9, 1);
    world.send(ATTACKER, 9, 2);
    let host = latched(SIGNALING, Some(ATTACKER), LatchCause::Evidence);
    assert_eq!(world.send(SIGNALING, 7, 1), host);
    assert_eq!(world.send(ATTACKER, 9, 3), FOREIGN);
    let exact = latched(SDP, Some(SIGNALING), LatchCause::Evidence);
    assert_eq!(world.send(SDP, 7, 2), exact);
    assert_eq!(world.send(SIGNALING, 7, 3), FOREIGN);
    assert_eq!(world.send(SDP_OTHER_PORT, 8, 3), FOREIGN);
}

#[test]
fn silence_lets_known_hosts_in_and_strangers_only_with_the_same_ssrc() {
    let silent = || {
        let mut world = World::with(SourcePolicy::Latch);
        world.send(STRANGER, 7, 1);
        world.send(STRANGER, 7, 2);
        world
    };
    let mut world = silent();
    world.wait_ms(4_900);
    assert_eq!(world.send(ATTACKER, 7, 3), FOREIGN);
    world.wait_ms(100);
    assert_eq!(world.send(ATTACKER, 8, 3), FOREIGN, "another SSRC");
    assert_eq!(world.send(ATTACKER, 7, 4), Verdict::Hold);
    let silence = latched(ATTACKER, Some(STRANGER), LatchCause::Silence);
    assert_eq!(world.send(ATTACKER, 7, 5), silence);
    assert_eq!(world.held(), Some(rtp(0, 7, 4)));

    let mut world = World::with(SourcePolicy::Latch);
    world.send(SIGNALING, 7, 1);
    world.wait_ms(5_000);
    let silence = latched("192.0.2.11:5", Some(SIGNALING), LatchCause::Silence);
    assert_eq!(world.send("192.0.2.11:5", 8, 1), silence);
}

#[test]
fn the_same_sender_may_move_to_another_port() {
    let mut world = World::with(SourcePolicy::Latch);
    world.send(SIGNALING, 7, 1);
    assert_eq!(
        world.send("192.0.2.20:9002", 7, 2),
        FOREIGN,
        "both ports alive"
    );
    world.wait_ms(80);
    assert_eq!(world.send("192.0.2.20:9002", 8, 3), FOREIGN, "another SSRC");
    let moved = latched("192.0.2.20:9002", Some(SIGNALING), LatchCause::Moved);
    assert_eq!(world.send("192.0.2.20:9002", 7, 3), moved);
}

#[test]
fn a_reset_opens_the_latch_once_and_for_a_while() {
    let mut world = World::with(SourcePolicy::Latch);
    world.send(STRANGER, 7, 1);
    world.send(STRANGER, 7, 2);
    world.guard.reset_latch(world.now);
    assert_eq!(world.send(STRANGER, 7, 3), ACCEPT, "nobody else came");
    assert_eq!(world.send(ATTACKER, 9, 1), Verdict::Hold);
    let reset = latched(ATTACKER, Some(STRANGER), LatchCause::Reset);
    assert_eq!(world.send(ATTACKER, 9, 2), reset);
    assert_eq!(world.send(STRANGER, 7, 4), FOREIGN, "used up");
    world.guard.reset_latch(world.now);
    for sequence in 3..303 {
        assert_eq!(world.send(ATTACKER, 9, sequence), ACCEPT);
    }
    assert_eq!(
        world.send(STRANGER, 7, 5),
        FOREIGN,
        "6 s later it is closed"
    );
}

#[test]
fn a_new_offer_moves_the_evidence() {
    let mut world = World::with(SourcePolicy::Latch);
    world.send(SDP, 7, 1);
    let media = STRANGER.parse().ok();
    world.guard.set_expected(Expected {
        media,
        ..Expected::default()
    });
    assert_eq!(world.send(SDP, 7, 2), ACCEPT, "until the new one sends");
    let evidence = latched(STRANGER, Some(SDP), LatchCause::Evidence);
    assert_eq!(world.send(STRANGER, 8, 1), evidence);
    assert_eq!(world.send(SDP, 7, 3), FOREIGN);
}

#[test]
fn open_takes_everyone_and_reports_only_real_changes() {
    let mut world = World::with(SourcePolicy::Open);
    assert_eq!(
        world.send(STRANGER, 7, 1),
        latched(STRANGER, None, LatchCause::First)
    );
    assert_eq!(world.send(ATTACKER, 9, 1), ACCEPT);
    assert_eq!(world.send(STRANGER, 7, 2), ACCEPT);
    world.wait_ms(6_000);
    let silence = latched(ATTACKER, Some(STRANGER), LatchCause::Silence);
    assert_eq!(world.send(ATTACKER, 9, 2), silence);
}

#[test]
fn nothing_passes_a_paused_stream_and_nothing_of_it_appears_later() {
    let mut world = World::with(SourcePolicy::Latch);
    world.send(STRANGER, 7, 1);
    world.guard.set_paused(true);
    assert!(world.guard.paused());
    assert_eq!(
        world.guard.refused().of(Reason::Unproven),
        1,
        "what was held is gone"
    );
    for sequence in 2..10 {
        assert_eq!(
            world.send(STRANGER, 7, sequence),
            Verdict::Refuse(Reason::Paused)
        );
        assert_eq!(
            world.send(SDP, 8, sequence),
            Verdict::Refuse(Reason::Paused)
        );
    }
    assert_eq!(world.guard.source(), None, "nobody is latched while paused");
    world.guard.set_paused(false);
    assert_eq!(world.send(STRANGER, 7, 10), Verdict::Hold);
    assert_eq!(
        world.send(STRANGER, 7, 11),
        latched(STRANGER, None, LatchCause::First)
    );
    assert_eq!(world.held(), Some(rtp(0, 7, 10)));
}

#[test]
fn a_long_pause_does_not_let_a_stranger_in() {
    let mut world = World::with(SourcePolicy::Latch);
    world.send(STRANGER, 7, 1);
    world.send(STRANGER, 7, 2);
    world.guard.set_paused(true);
    for sequence in 3..1_000 {
        world.send(STRANGER, 7, sequence);
    }
    world.guard.set_paused(false);
    assert_eq!(world.send(ATTACKER, 7, 1_000), FOREIGN);
    assert_eq!(world.send(STRANGER, 7, 1_001), ACCEPT);
}

#[test]
fn a_flood_is_cut_off_within_its_second_and_strangers_do_not_use_it_up() {
    let config = GuardConfig {
        packets_per_second_max: 100,
        ..GuardConfig::default()
    };
    let mut world = World::new(config);
    world.check(SDP, &rtp(0, 7, 0));
    for sequence in 1..300 {
        assert_eq!(world.check(ATTACKER, &rtp(0, 7, sequence)), FOREIGN);
    }
    let passed = (1..300).filter(|sequence| world.check(SDP, &rtp(0, 7, *sequence)) == ACCEPT);
    assert_eq!(passed.count(), 99);
    assert_eq!(world.guard.refused().of(Reason::RateCap), 200);
    world.wait_ms(1_000);
    assert_eq!(world.check(SDP, &rtp(0, 7, 300)), ACCEPT);
    let config = GuardConfig {
        bytes_per_second_max: 1_000,
        ..GuardConfig::default()
    };
    let mut world = World::new(config);
    let passed = (0..20).filter(|sequence| {
        matches!(
            world.check(SDP, &rtp(0, 7, *sequence)),
            Verdict::Accept { .. }
        )
    });
    assert_eq!(passed.count(), 5, "172 octets each");
}

#[test]
fn an_ssrc_policy_holds_within_the_right_source() {
    let ssrcs = SsrcPolicy::Only(Ssrc(7));
    let mut world = World::new(GuardConfig {
        ssrcs,
        ..GuardConfig::default()
    });
    assert_eq!(world.send(SDP, 8, 1), Verdict::Refuse(Reason::Ssrc));
    assert!(matches!(world.send(SDP, 7, 1), Verdict::Accept { .. }));
}

#[test]
fn a_restored_latch_goes_on_without_proof() {
    let mut world = World::with(SourcePolicy::Latch);
    let mut refused = Refused::default();
    refused.count(Reason::Stun);
    world.guard.restore_refused(refused);
    world
        .guard
        .restore_latch(world.now, STRANGER.parse().unwrap(), Ssrc(7));
    assert_eq!(world.send(STRANGER, 7, 500), ACCEPT);
    assert_eq!(world.send(ATTACKER, 7, 501), FOREIGN);
    assert_eq!(
        world.guard.latched(),
        Some((STRANGER.parse().unwrap(), Ssrc(7)))
    );
    assert_eq!(world.guard.refused().total(), 2);
}

#[test]
fn rtcp_is_taken_from_known_hosts_only_and_not_without_end() {
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
    let mut world = World::with(SourcePolicy::Latch);
    let mut check = |source: &str, bytes: &[u8]| {
        world
            .guard
            .check_rtcp(world.now, source.parse().unwrap(), bytes)
    };
    assert_eq!(check(STRANGER, &report), Err(Reason::Foreign));
    assert_eq!(check("192.0.2.11:4001", &report), Ok(()));
    assert_eq!(check(SDP, &report), Ok(()));
    assert_eq!(check(SDP, &report[..7]), Err(Reason::TooShort));
    assert_eq!(check(SDP, &rtp(0, 7, 1)), Err(Reason::NotRtcp));
    assert_eq!(check(SDP, &[20; 30]), Err(Reason::Dtls));
    assert_eq!(check(SDP, &vec![0x80; 9_001]), Err(Reason::Oversize));
    let passed = (0..500).filter(|_| check(SDP, &report).is_ok()).count();
    assert_eq!(passed, limits::RTCP_PACKETS_PER_SECOND_MAX as usize - 2);
    // The host that the media comes from is known too.
    world.send(STRANGER, 7, 1);
    world.send(STRANGER, 7, 2);
    world.wait_ms(1_000);
    let control = "198.51.100.66:5001".parse().unwrap();
    assert_eq!(world.guard.check_rtcp(world.now, control, &report), Ok(()));
}

#[test]
fn an_address_that_names_nobody_is_no_evidence() {
    let media = "0.0.0.0:4000".parse().ok();
    let mut guard = Guard::new(
        GuardConfig::default(),
        Expected {
            media,
            ..Expected::default()
        },
    );
    let codecs = World::with(SourcePolicy::Latch).codecs;
    let source = "0.0.0.0:4000".parse().unwrap();
    assert_eq!(
        guard.check(MonoTime(1), source, &rtp(0, 7, 1), &codecs),
        Verdict::Hold
    );
}
