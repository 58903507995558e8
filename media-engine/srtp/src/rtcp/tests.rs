use holdfast_units::SrtpSuite;

use super::*;
use crate::vectors::{self, hex};

#[test]
fn rfc_7714_section_17() {
    let plain = hex(vectors::GCM_RTCP);
    for (suite, key, is_encrypted, protected) in [
        (
            SrtpSuite::AesGcm128,
            vectors::GCM_KEY_128,
            true,
            vectors::GCM_128_SRTCP,
        ),
        (
            SrtpSuite::AesGcm256,
            vectors::GCM_KEY_256,
            true,
            vectors::GCM_256_SRTCP,
        ),
        (
            SrtpSuite::AesGcm128,
            vectors::GCM_KEY_128,
            false,
            vectors::GCM_128_SRTCP_TAG_ONLY,
        ),
    ] {
        let keys = vectors::gcm_keys(suite, key);
        let (mut out, mki) = (Vec::new(), Mki::default());
        let ssrc = ssrc(&plain).unwrap();
        protect(&keys, &mki, ssrc, 0x5d4, is_encrypted, &plain, &mut out);
        assert_eq!(out, hex(protected), "{suite} {is_encrypted}");
        let mut opened = Vec::new();
        let index = unprotect(&keys, &mki, ssrc, &out, &mut opened);
        assert_eq!((index, opened), (Ok(0x5d4), plain.clone()), "{suite}");
    }
}

#[test]
fn vectors_of_libsrtp() {
    for (suite, key, mki, protected) in [
        (
            SrtpSuite::AesCm128Sha1_80,
            vectors::CM_128,
            "",
            vectors::CM_128_SRTCP,
        ),
        (
            SrtpSuite::AesCm128Sha1_80,
            vectors::CM_128,
            "e1f97a0d",
            vectors::CM_128_SRTCP_MKI,
        ),
        (
            SrtpSuite::AesGcm128,
            vectors::GCM_128,
            "",
            vectors::GCM_128_LIBSRTP_SRTCP,
        ),
    ] {
        let master = MasterKey::new(suite, &hex(key)).unwrap();
        let mki = Mki::new(&hex(mki)).unwrap();
        let plain = hex(vectors::RTCP);
        let keys = Keys::new(&master, Purpose::Rtcp);
        let mut out = Vec::new();
        protect(&keys, &mki, 0xcafe_babe, 1, true, &plain, &mut out);
        assert_eq!(out, hex(protected), "{suite}");
        let key = PeerKey {
            mki,
            ..PeerKey::only(master)
        };
        let mut receiver = RtcpReceiver::new(vec![key]);
        let mut opened = Vec::new();
        receiver.unprotect(&out, &mut opened).unwrap();
        assert_eq!(opened, plain);
        assert_eq!(
            receiver.unprotect(&out, &mut opened),
            Err(SrtpError::Replay)
        );
    }
}

#[test]
fn every_suite_goes_through_and_nothing_changed_does() {
    for suite in SrtpSuite::ALL {
        for is_encrypted in [true, false] {
            let master = MasterKey::new(suite, &vec![7; suite.master_size()]).unwrap();
            let mut sender = RtcpSender::new(master.clone(), is_encrypted);
            let mut receiver = RtcpReceiver::new(vec![PeerKey::only(master)]);
            let plain = hex(vectors::RTCP);
            let (mut out, mut opened) = (Vec::new(), Vec::new());
            for index in 0..3_u32 {
                sender.protect(&plain, &mut out).unwrap();
                // The 80 bits are of the _32 suites too (RFC 4568 §6.2.2).
                let tag_size = if suite.is_aead() { 16 } else { 10 };
                assert_eq!(out.len(), plain.len() + 4 + tag_size, "{suite}");
                let word_at = if suite.is_aead() {
                    out.len() - 4
                } else {
                    plain.len()
                };
                let word = u32::from_be_bytes(out[word_at..word_at + 4].try_into().unwrap());
                assert_eq!((word >> 31 != 0, word & !ENCRYPTED), (is_encrypted, index));
                assert_eq!(out[8..plain.len()] == plain[8..], !is_encrypted);
                for at in 0..out.len() {
                    let mut changed = out.clone();
                    changed[at] ^= 0x10;
                    assert!(
                        receiver.unprotect(&changed, &mut opened).is_err(),
                        "{suite} {at}"
                    );
                }
                receiver.unprotect(&out, &mut opened).unwrap();
                assert_eq!(opened, plain);
            }
            for size in 0..out.len() {
                assert!(receiver.unprotect(&out[..size], &mut opened).is_err());
            }
        }
    }
}

#[test]
fn a_key_is_not_used_for_longer_than_it_may_be() {
    let suite = SrtpSuite::AesCm128Sha1_80;
    let master = MasterKey::new(suite, &[1; 30]).unwrap();
    let mut sender = RtcpSender::new(master, true);
    let (plain, mut out) = (hex(vectors::RTCP), Vec::new());
    sender.index = (1 << 31) - 1;
    sender.protect(&plain, &mut out).unwrap();
    for _ in 0..2 {
        assert_eq!(sender.protect(&plain, &mut out), Err(SrtpError::Lifetime));
    }
}

#[test]
fn keys_before_and_after_a_rekeying_open_and_the_index_goes_on() {
    let suite = SrtpSuite::AesGcm256;
    let [first, second, third] =
        [1, 2, 3].map(|octet| MasterKey::new(suite, &[octet; 44]).unwrap());
    let mut sender = RtcpSender::new(first.clone(), true);
    let mut receiver = RtcpReceiver::new(vec![PeerKey::only(first.clone())]);
    let (plain, mut out, mut opened) = (hex(vectors::RTCP), Vec::new(), Vec::new());
    let mut old = Vec::new();
    sender.protect(&plain, &mut old).unwrap();
    sender.rekey(second.clone(), true);
    receiver.rekey(vec![PeerKey::only(second.clone())]);
    receiver.rekey(vec![PeerKey::only(second.clone())]);
    sender.protect(&plain, &mut out).unwrap();
    assert_eq!(out[out.len() - 4..], (ENCRYPTED | 1).to_be_bytes());
    receiver.unprotect(&out, &mut opened).unwrap();
    receiver.unprotect(&old, &mut opened).unwrap();
    let mut state = Vec::new();
    receiver.encode(&mut state);
    state.push(9);
    let keys = |master| vec![PeerKey::only(master)];
    let (mut receiver, rest) = RtcpReceiver::decode(keys(second), keys(first), &state).unwrap();
    assert_eq!(rest, [9]);
    assert_eq!(
        receiver.unprotect(&old, &mut opened),
        Err(SrtpError::Replay)
    );
    receiver.rekey(keys(third));
    let mut again = Vec::new();
    sender.protect(&plain, &mut again).unwrap();
    receiver.unprotect(&again, &mut opened).unwrap();
    assert!(
        receiver.unprotect(&old, &mut opened).is_err(),
        "two offers ago"
    );
}
