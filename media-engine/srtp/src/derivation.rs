//! From a master key to the keys of a session (RFC 3711 §4.3, RFC 6188 §3, RFC 7714 §11).
//!
//! The key derivation rate is 0: keys are derived once. An offer that asks for another is not
//! accepted.

use aes::cipher::{InnerIvInit as _, KeyInit as _, StreamCipher as _};
use aes::{Aes128Enc, Aes256Enc};
use ctr::{Ctr128BE, CtrCore};

use crate::master::MasterKey;

/// What a derived key is for (RFC 3711 §4.3.1, §4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    RtpCipher = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpCipher = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Octets of the salt of the derivation; a shorter one is filled with zeros (RFC 7714 §11).
const SALT_SIZE: usize = 14;

/// Fills `out` with the key for a purpose.
pub(crate) fn derive(master: &MasterKey, label: Label, out: &mut [u8]) {
    // "x = key_id XOR master_salt", key_id = label || (index DIV kdr), 56 bits, at the right end;
    // "IV = x * 2^16".
    let mut iv = [0; 16];
    let salt = master.salt();
    iv[..salt.len()].copy_from_slice(salt);
    iv[SALT_SIZE - 7] ^= label as u8;
    out.fill(0);
    if let Ok(key) = <&[u8; 16]>::try_from(master.key()) {
        let cipher = Aes128Enc::new(key.into());
        Ctr128BE::from_core(CtrCore::inner_iv_init(&cipher, &iv.into())).apply_keystream(out);
    } else if let Ok(key) = <&[u8; 32]>::try_from(master.key()) {
        let cipher = Aes256Enc::new(key.into());
        Ctr128BE::from_core(CtrCore::inner_iv_init(&cipher, &iv.into())).apply_keystream(out);
    } else {
        unreachable!("a master key has 16 or 32 octets");
    }
}

#[cfg(test)]
mod tests {
    use holdfast_units::SrtpSuite;

    use super::*;
    use crate::vectors::{self, hex};

    #[test]
    fn rfc_3711_appendix_b_3_and_rfc_6188_section_7_2() {
        for (suite, master, label, expected) in [
            (
                SrtpSuite::AesCm128Sha1_80,
                vectors::CM_128,
                Label::RtpCipher,
                "c61e7a93744f39ee10734afe3ff7a087",
            ),
            (
                SrtpSuite::AesCm128Sha1_80,
                vectors::CM_128,
                Label::RtpSalt,
                "30cbbc08863d8c85d49db34a9ae1",
            ),
            (
                SrtpSuite::AesCm128Sha1_80,
                vectors::CM_128,
                Label::RtpAuthentication,
                "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbce\
                 e049646c43d9327ad175578ef72270986371c10c9a369ac2f94a8c5fbcdddc25",
            ),
            (
                SrtpSuite::AesCm256Sha1_80,
                vectors::CM_256,
                Label::RtpCipher,
                "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
            ),
            (
                SrtpSuite::AesCm256Sha1_80,
                vectors::CM_256,
                Label::RtpSalt,
                "fa31791685ca444a9e07c6c64e93",
            ),
            (
                SrtpSuite::AesCm256Sha1_80,
                vectors::CM_256,
                Label::RtpAuthentication,
                "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
            ),
        ] {
            let master = MasterKey::new(suite, &hex(master)).unwrap();
            let expected = hex(expected);
            let mut derived = vec![0xff; expected.len()];
            derive(&master, label, &mut derived);
            assert_eq!(derived, expected, "{suite} {label:?}");
        }
    }
}
