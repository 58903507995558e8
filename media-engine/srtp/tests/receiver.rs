//! The receiving side of a stream: wraps, losses, copies, forgeries, new keys, restarts.

use holdfast_srtp::{MasterKey, Mki, PeerKey, Receiver, RtpTransform, SrtpError};
use holdfast_units::{SrtpSuite, WallTime};

const SSRC: u32 = 0x1234_5678;

/// A sender that knows its index.
struct Sender {
    transform: RtpTransform,
}

impl Sender {
    fn new(key: &PeerKey) -> Self {
        let transform = RtpTransform::new(&key.master, key.mki.clone());
        Self { transform }
    }

    fn packet(&self, index: u64) -> Vec<u8> {
        self.packet_of(SSRC, index)
    }

    fn packet_of(&self, ssrc: u32, index: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let plain = plain(ssrc, index);
        let roc = (index >> 16) as u32;
        self.transform.protect(&plain, roc, &mut out).unwrap();
        out
    }
}

fn plain(ssrc: u32, index: u64) -> Vec<u8> {
    let mut plain = vec![0x80, 0];
    plain.extend((index as u16).to_be_bytes());
    plain.extend((index as u32 * 160).to_be_bytes());
    plain.extend(ssrc.to_be_bytes());
    plain.extend([index as u8; 20]);
    plain
}

fn key(suite: SrtpSuite, octet: u8) -> PeerKey {
    let octets = vec![octet; suite.master_size()];
    PeerKey::only(MasterKey::new(suite, &octets).unwrap())
}

fn named(octet: u8, mki: &[u8]) -> PeerKey {
    PeerKey {
        mki: Mki::new(mki).unwrap(),
        ..key(SrtpSuite::AesCm128Sha1_80, octet)
    }
}

/// Time goes on by 20 ms a packet.
fn at(index: u64) -> WallTime {
    WallTime(1_000_000_000 + index * 20_000_000)
}

fn take(receiver: &mut Receiver, index: u64, bytes: &[u8]) -> Result<(), SrtpError> {
    take_at(receiver, index, index, bytes)
}

fn take_at(receiver: &mut Receiver, time: u64, index: u64, bytes: &[u8]) -> Result<(), SrtpError> {
    let mut out = Vec::new();
    receiver.unprotect(at(time), bytes, &mut out)?;
    assert_eq!(out, plain(SSRC, index), "{index}");
    Ok(())
}

#[test]
fn t04_numbers_wrap_with_loss_and_out_of_order() {
    for suite in SrtpSuite::ALL {
        let key = key(suite, 7);
        let sender = Sender::new(&key);
        let mut receiver = Receiver::new(vec![key]);
        let mut taken = 0;
        let order = [
            65_500, 65_530, 65_535, 65_537, 65_536, 65_534, 65_540, 65_533,
        ];
        // The longest loss that the RFC lets a receiver follow, again and again.
        let jumps = (1..12).map(|n| 65_540 + n * 0x7fff);
        for index in order.into_iter().chain(jumps) {
            take(&mut receiver, index, &sender.packet(index)).unwrap();
            taken += 1;
        }
        assert_eq!(receiver.counts().taken, taken);
        assert_eq!(receiver.counts().failed + receiver.counts().replayed, 0);
    }
}

#[test]
fn t02_t03_what_is_forged_copied_or_too_old_changes_nothing() {
    let key = key(SrtpSuite::AesCm128Sha1_32, 7);
    let (sender, forger) = (Sender::new(&key), Sender::new(&named(8, &[])));
    let mut receiver = Receiver::new(vec![key]);
    // D-29: a forged first packet does not bind.
    assert_eq!(
        take(&mut receiver, 40_000, &forger.packet(40_000)),
        Err(SrtpError::Authentication)
    );
    for index in 65_500..65_900 {
        take(&mut receiver, index, &sender.packet(index)).unwrap();
        let far = forger.packet(index + 30_000);
        assert_eq!(
            take(&mut receiver, index, &far),
            Err(SrtpError::Authentication)
        );
        assert_eq!(
            take(&mut receiver, index, &sender.packet(index)),
            Err(SrtpError::Replay)
        );
    }
    assert_eq!(
        take(&mut receiver, 65_700, &sender.packet(65_700)),
        Err(SrtpError::Replay)
    );
    assert_eq!(
        take(&mut receiver, 65_510, &sender.packet(65_510)),
        Err(SrtpError::TooOld)
    );
    assert_eq!(receiver.counts().taken, 400);
    assert_eq!(receiver.counts().failed, 401);
    assert_eq!(receiver.counts().replayed, 402);
}

#[test]
fn d31_d32_a_new_key_goes_on_with_the_counter_or_begins_anew() {
    for is_reset in [false, true] {
        let (old, new) = (
            key(SrtpSuite::AesCm128Sha1_80, 1),
            key(SrtpSuite::AesGcm256, 2),
        );
        let (before, after) = (Sender::new(&old), Sender::new(&new));
        let mut receiver = Receiver::new(vec![old]);
        let start = (5 << 16) - 20;
        for index in start..start + 40 {
            // Whether its counter was 0 at the beginning is not signalled.
            take(&mut receiver, index, &before.packet(index)).unwrap();
        }
        assert!(receiver.rekey(at(start + 40), vec![new.clone()]));
        assert!(!receiver.rekey(at(start + 40), vec![new]), "the same again");
        let shift = if is_reset { 5 << 16 } else { 0 };
        for index in start + 41..start + 60 {
            let packet = after.packet(index - shift);
            take_at(&mut receiver, index, index - shift, &packet).unwrap();
        }
        // Those before the change come late.
        take(&mut receiver, start + 40, &before.packet(start + 40)).unwrap();
        assert_eq!(receiver.counts().taken, 60);
        assert_eq!(receiver.counts().failed, 0);
        // They have had their time.
        let late = start + 41 + 1_000;
        let packet = after.packet(late - shift);
        take_at(&mut receiver, late, late - shift, &packet).unwrap();
        let forgotten = before.packet(start + 61);
        assert_eq!(
            take(&mut receiver, late, &forgotten),
            Err(SrtpError::Authentication)
        );
    }
}

#[test]
fn d26_several_keys_are_told_apart_by_their_names() {
    let (one, two) = (named(1, &[0, 0, 0, 1]), named(2, &[0, 0, 0, 2]));
    let senders = [Sender::new(&one), Sender::new(&two)];
    let stranger = Sender::new(&named(3, &[0, 0, 0, 3]));
    let mut receiver = Receiver::new(vec![one, two]);
    for index in 1..50 {
        let sender = &senders[usize::from(index > 25)];
        take(&mut receiver, index, &sender.packet(index)).unwrap();
        let strange = stranger.packet(index);
        assert_eq!(
            take(&mut receiver, index, &strange),
            Err(SrtpError::UnknownMki)
        );
    }
    assert_eq!(receiver.counts().unknown_mki, 49);
}

#[test]
fn d25_no_packet_beyond_the_lifetime() {
    let key = PeerKey {
        lifetime: 1 << 10,
        ..key(SrtpSuite::AesCm128Sha1_80, 1)
    };
    let sender = Sender::new(&key);
    let mut receiver = Receiver::new(vec![key]);
    for index in 0..1_024 {
        take(&mut receiver, index, &sender.packet(index)).unwrap();
    }
    assert_eq!(
        take(&mut receiver, 1_024, &sender.packet(1_024)),
        Err(SrtpError::Lifetime)
    );
    assert_eq!(receiver.counts().expired, 1);
}

#[test]
fn d33_d34_a_counter_that_is_elsewhere_is_searched_for() {
    let key = key(SrtpSuite::AesCm256Sha1_80, 1);
    let sender = Sender::new(&key);
    let mut receiver = Receiver::new(vec![key]);
    let mut index = 9 << 16;
    take(&mut receiver, index, &sender.packet(index)).unwrap();
    assert_eq!(receiver.counts().found_by_search, 1);
    // A pause of hours, without a packet.
    index += 17 << 16;
    take(&mut receiver, index, &sender.packet(index)).unwrap();
    assert_eq!(receiver.counts().found_by_search, 2);
    assert_eq!(receiver.counts().failed, 0);
}

#[test]
fn sources_are_followed_apart_and_have_a_limit() {
    let key = key(SrtpSuite::AesGcm128, 1);
    let sender = Sender::new(&key);
    let mut receiver = Receiver::new(vec![key]);
    let mut out = Vec::new();
    for round in 0..3 {
        for ssrc in 0..40 {
            let packet = sender.packet_of(ssrc, 65_534 + round);
            receiver.unprotect(at(round), &packet, &mut out).unwrap();
        }
    }
    assert_eq!(receiver.counts().taken, 120);
}

/// Whatever came before: one that was written down and read goes on as the other does.
#[test]
fn a_restart_at_any_packet_changes_nothing() {
    let (old, new) = (
        key(SrtpSuite::AesCm128Sha1_80, 1),
        key(SrtpSuite::AesCm128Sha1_80, 2),
    );
    let (before, after) = (Sender::new(&old), Sender::new(&new));
    let packets: Vec<Vec<u8>> = (65_500..65_600)
        .map(|index| match index {
            65_540 => before.packet(65_530),
            65_545..65_600 => after.packet(index),
            _ => before.packet(index),
        })
        .collect();
    let mut kept = Receiver::new(vec![old.clone()]);
    for (place, packet) in (0..).zip(&packets) {
        let mut bytes = Vec::new();
        kept.encode(&mut bytes);
        bytes.push(0xee);
        let (keys, former) = match place {
            0..=30 => (old.clone(), Vec::new()),
            _ => (new.clone(), vec![old.clone()]),
        };
        let (mut read, rest) = Receiver::decode(vec![keys], former, &bytes).unwrap();
        assert_eq!(rest, [0xee]);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let now = at(place);
        let both = (
            read.unprotect(now, packet, &mut a),
            kept.unprotect(now, packet, &mut b),
        );
        assert_eq!(both.0, both.1, "{place}");
        assert_eq!((a, read.counts()), (b, kept.counts()), "{place}");
        let (mut one, mut other) = (Vec::new(), Vec::new());
        read.encode(&mut one);
        kept.encode(&mut other);
        assert_eq!(one, other, "{place}");
        if place == 30 {
            kept.rekey(now, vec![new.clone()]);
        }
    }
    assert_eq!(kept.counts().failed, 0);
    for end in 0..60 {
        let mut bytes = Vec::new();
        kept.encode(&mut bytes);
        let cut = Receiver::decode(vec![new.clone()], vec![old.clone()], &bytes[..end]);
        assert!(cut.is_err(), "{end}");
    }
}
