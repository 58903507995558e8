//! Test vectors: RFC 3711 appendix B, RFC 6188 §7.1 and §7.2, RFC 7714 §16 and §17, and packets of libsrtp's own
//! tests (`test/srtp_driver.c`). Octets in hexadecimal digits; a key is master key, then salt.

use holdfast_units::SrtpSuite;

use crate::transform::{AEAD_TAG_SIZE, Keys};

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|digit| char::from(digit).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// RFC 7714 has session keys, no master keys.
pub(crate) fn gcm_keys(suite: SrtpSuite, key: &str) -> Keys {
    let mut salt = [0; 14];
    salt[..12].copy_from_slice(&hex(GCM_SALT));
    Keys::from_parts(suite, &hex(key), salt, &[0; 20], AEAD_TAG_SIZE)
}

pub(crate) const GCM_KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
pub(crate) const GCM_KEY_256: &str =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
pub(crate) const GCM_SALT: &str = "517569642070726f2071756f";
pub(crate) const GCM_RTP: &str = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e697320646976\
    69736120696e207061727465732074726573";
pub(crate) const GCM_128_SRTP: &str = "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe63\
    3bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce";
pub(crate) const GCM_256_SRTP: &str = "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab180\
    12389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13";
pub(crate) const GCM_RTCP: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61\
    deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
pub(crate) const GCM_128_SRTCP: &str = "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c0\
    6f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4";
pub(crate) const GCM_256_SRTCP: &str = "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbff\
    e0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4";
pub(crate) const GCM_128_SRTCP_TAG_ONLY: &str = "81c8000d4d6172734e5450314e545032525450200000042a00\
    00e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef841dd9683dd78ec92ae58790125f62b3000005d4";

pub(crate) const RTP: &str = "800f1234decafbadcafebabeabababababababababababababababab";
pub(crate) const RTCP: &str = "81c8000bcafebabeabababababababababababababababab";

pub(crate) const CM_128: &str = "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6";
pub(crate) const CM_128_SRTP: &str =
    "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb";
pub(crate) const CM_128_SRTP_MKI: &str =
    "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402e1f97a0db78d6acc99ea179b8dbb";
pub(crate) const CM_128_SRTCP: &str =
    "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798";
pub(crate) const CM_128_SRTCP_MKI: &str =
    "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001e1f97a0d993e08cd54d6c1230798";

pub(crate) const GCM_128: &str = "000102030405060708090a0b0c0d0e0fa0a1a2a3a4a5a6a7a8a9aaab";
pub(crate) const GCM_128_LIBSRTP_SRTP: &str = "800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880a\
    a06ed2976826f796b201df3131a127e8a392";
pub(crate) const GCM_128_LIBSRTP_SRTCP: &str = "81c8000bcafebabec98b8b5df0392a55852b6c21ac8e7025c52\
    c6fbea2b3b446ea31123ba88ce61e80000001";

pub(crate) const CM_256: &str = "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63\
    b04803de51ee7c96423ab5b78d2";
pub(crate) const CM_256_SRTP: &str =
    "800f1234decafbadcafebabef1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b";
