use super::*;

/// The suite of a line that is taken, with its keys; the text is what follows `a=crypto:`.
fn taken(policy: &SrtpPolicy, lines: &[&str]) -> Option<Encryption> {
    let lines: Vec<CryptoLine> = lines
        .iter()
        .map(|text| CryptoLine::parse(text).expect("it reads"))
        .collect();
    policy.choose(&lines).ok()
}

fn policy() -> SrtpPolicy {
    SrtpPolicy {
        suites: SrtpSuite::ALL.to_vec(),
        takes_keys: true,
        ..SrtpPolicy::default()
    }
}

/// 30 octets, 0 to 29.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";

fn line(suffix: &str) -> String {
    format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{suffix}")
}

#[test]
fn d21_the_first_that_can_be_used_is_taken() {
    let lines = [
        "1 F8_128_HMAC_SHA1_80 inline:AAAA",
        &format!("2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"),
        &format!("3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
    ];
    let encryption = taken(&policy(), &lines).unwrap();
    assert_eq!(
        (encryption.tag, encryption.suite),
        (2, SrtpSuite::AesCm128Sha1_32)
    );
    let own = SrtpPolicy {
        prefers: Preference::Own,
        ..policy()
    };
    assert_eq!(taken(&own, &lines).unwrap().tag, 3);
    let only = SrtpPolicy {
        suites: vec![SrtpSuite::AesGcm256],
        ..policy()
    };
    assert_eq!(taken(&only, &lines), None);
}

#[test]
fn d23_lines_that_are_not_valid_are_passed_over() {
    let two = |first: &str, second: &str| line(&format!("{first};inline:{KEY}{second}"));
    let bad = [
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &KEY[..36]),
        format!("1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}"),
        format!("1 AEAD_AES_128_GCM inline:{KEY}"),
        format!("1 AES_CM_128_HMAC_SHA1_80 outline:{KEY}"),
        format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}"),
        "1 AES_CM_128_HMAC_SHA1_80 inline:!!!!".to_owned(),
        line("|0"),
        line("|2^49"),
        line("|2^64"),
        line("|281474976710657"),
        line("|01024"),
        line("|2^010"),
        line("|"),
        line("|x"),
        line("|1:0"),
        line("|1:129"),
        line("|01:4"),
        line("|1:04"),
        line("|256:1"),
        line("|1:4|2^20"),
        line("|1:4|2:4"),
        two("", ""),
        two("|1:4", ""),
        two("|1:4", "|2:2"),
        two("|1:4", "|1:4"),
        line(" UNENCRYPTED_SRTP"),
        line(" UNAUTHENTICATED_SRTP"),
        line(" KDR=8"),
        line(" FEC_ORDER=SRTP_FEC"),
        line(&format!(" FEC_KEY=inline:{KEY}")),
        line(" FOO"),
        line(" WSH=x"),
    ];
    for bad in &bad {
        assert_eq!(taken(&policy(), &[bad]), None, "{bad}");
        let good = format!("6 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        let both = taken(&policy(), &[bad, &good]);
        assert_eq!(both.map(|it| it.tag), Some(6), "{bad}");
    }
}

#[test]
fn d24_to_d28_what_a_line_may_have() {
    let one = |suffix: &str| taken(&policy(), &[&line(suffix)]).expect(suffix);
    assert_eq!(one("").peer[0].lifetime, 1 << 48);
    assert_eq!(one("").peer[0].key.expose(), (0..30).collect::<Vec<u8>>());
    assert_eq!(one("|2^20").peer[0].lifetime, 1 << 20);
    assert_eq!(one("|1048576").peer[0].lifetime, 1 << 20);
    assert_eq!(one("|1:4").peer[0].mki, [0, 0, 0, 1]);
    assert_eq!(one("|2^31|66051:3").peer[0].mki, [1, 2, 3]);
    let big = one("|340282366920938463463374607431768211456:17");
    assert_eq!(big.peer[0].mki[..], [[1].as_slice(), &[0; 16]].concat());
    let two = one(&format!("|2^20|1:4;inline:{KEY}|2^20|2:4"));
    assert_eq!(two.peer.len(), 2);
    for harmless in ["WSH=128", "FEC_ORDER=FEC_SRTP", "-FOO=1"] {
        let encryption = one(&format!(" {harmless}"));
        assert!(encryption.encrypts_rtcp, "{harmless}");
        assert!(!crypto_line(&encryption).contains(harmless), "{harmless}");
    }
    let clear = one(" UNENCRYPTED_SRTCP");
    assert!(!clear.encrypts_rtcp);
    assert!(crypto_line(&clear).ends_with(" UNENCRYPTED_SRTCP"));
}

#[test]
fn d24_padding_is_neither_asked_for_nor_refused() {
    // 46 octets: 62 digits, two of padding.
    let digits = "AAAA".repeat(15) + "AA";
    for key in [digits.clone(), digits + "=="] {
        let line = format!("1 AES_256_CM_HMAC_SHA1_80 inline:{key}");
        assert!(taken(&policy(), &[&line]).is_some(), "{line}");
    }
}

#[test]
fn the_suite_is_repeated_as_it_came() {
    let key = "AAAA".repeat(15) + "AA==";
    let encryption = taken(
        &policy(),
        &[&format!("4 AES_CM_256_HMAC_SHA1_80 inline:{key}")],
    );
    let line = crypto_line(&encryption.unwrap());
    assert!(line.starts_with("a=crypto:4 AES_CM_256_HMAC_SHA1_80 inline:"));
}

#[test]
fn our_keys_differ_by_session_stream_and_suite_and_print_as_nothing() {
    let (seed, other) = (KeySeed::new([1; 32]), KeySeed::new([2; 32]));
    let slot = |line, serial| SlotId { line, serial };
    let suite = SrtpSuite::AesCm128Sha1_80;
    let key = seed.key(slot(0, 1), suite);
    assert_eq!(
        key,
        seed.key(slot(0, 1), suite),
        "the same for as long as it is the same"
    );
    let others = [
        other.key(slot(0, 1), suite),
        seed.key(slot(1, 1), suite),
        seed.key(slot(0, 2), suite),
        seed.key(slot(0, 1), SrtpSuite::AesCm128Sha1_32),
    ];
    assert!(others.iter().all(|it| *it != key));
    for suite in SrtpSuite::ALL {
        assert_eq!(
            seed.key(slot(0, 1), suite).expose().len(),
            suite.master_size()
        );
    }
    assert_eq!(format!("{seed:?} {key:?}"), "[redacted] [redacted]");
}

#[test]
fn keys_that_came_in_the_clear_are_taken_where_that_is_allowed_alone() {
    let private = SrtpPolicy {
        takes_keys: false,
        ..policy()
    };
    let lines = [CryptoLine::parse(&line("")).unwrap()];
    assert_eq!(private.choose(&lines), Err(NoKeys::NotPrivate));
    assert!(policy().choose(&lines).is_ok());
}
