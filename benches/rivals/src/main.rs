//! What does it cost to open an SRTP packet, its key in the cache: with the crate of the media engine,
//! with AWS-LC's ciphers, and with the libsrtp of this system? The same packets for all three, 20 ms of
//! G.711, each opened once, in rounds that take turns; the fastest round of each counts.
//!
//! ```sh
//! cargo run --release --manifest-path benches/rivals/Cargo.toml      # libsrtp: cc and libsrtp2-dev
//! LIBSRTP=FOLDER cargo run …    # another one, built there: ./configure --enable-openssl; make libsrtp2.a
//! ```
//!
//! Ours and libsrtp find the roll-over counter and look whether a packet was there before; AWS-LC has no
//! SRTP, so its figures are those of the ciphers alone: a bound that SRTP on top of it would not reach.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::{constant_time, hmac, iv::FixedLength};
use holdfast_srtp::{MasterKey, Mki, PeerKey, Receiver, RtpTransform};
use holdfast_units::{SrtpSuite, WallTime};

const PACKETS: usize = 20_000;
const ROUNDS: usize = 30;
const HEADER: usize = 12;

fn main() {
    let libsrtp = compile();
    println!("{:24} {:>10} {:>10} {:>10}", "ns per packet", "holdfast", "aws-lc", "libsrtp");
    for suite in SrtpSuite::ALL {
        let octets: Vec<u8> = (0..suite.master_size() as u8).map(|it| it ^ 0x5c).collect();
        let master = MasterKey::new(suite, &octets).expect("its size");
        let packets = packets(&master);
        let [mut ours, mut aws] = [Duration::MAX; 2];
        let mut theirs = None;
        for _ in 0..ROUNDS {
            ours = ours.min(open_ours(&master, &packets));
            aws = aws.min(open_aws(suite, &packets));
            let round = libsrtp.as_deref().map(|it| open_libsrtp(it, suite, &octets, &packets));
            theirs = theirs.into_iter().chain(round).min();
        }
        let per_packet = |it: Duration| it.as_nanos() as usize / PACKETS;
        let theirs = theirs.map_or("-".to_owned(), |it| per_packet(it).to_string());
        let (ours, aws) = (per_packet(ours), per_packet(aws));
        println!("{:24} {ours:>10} {aws:>10} {theirs:>10}", suite.name());
    }
}

fn packets(master: &MasterKey) -> Vec<Vec<u8>> {
    let transform = RtpTransform::new(master, Mki::default());
    let protect = |number: usize| {
        let mut plain = vec![0x80, 0];
        plain.extend((number as u16).to_be_bytes());
        plain.extend((number as u32 * 160).to_be_bytes());
        plain.extend([1, 2, 3, 4]);
        plain.resize(HEADER + 160, number as u8);
        let mut out = Vec::new();
        transform.protect(&plain, 0, &mut out).expect("a packet of RTP");
        out
    };
    (0..PACKETS).map(protect).collect()
}

fn open_ours(master: &MasterKey, packets: &[Vec<u8>]) -> Duration {
    let mut receiver = Receiver::new(vec![PeerKey::only(master.clone())]);
    let mut out = Vec::new();
    let begin = Instant::now();
    for (number, packet) in (0..).zip(packets) {
        receiver
            .unprotect(WallTime(number), packet, &mut out)
            .expect("it is authentic");
        black_box(&out);
    }
    begin.elapsed()
}

/// The ciphers that the suite asks for, over as many octets; the keys and nonces are others, which costs
/// the same, so nothing would authenticate: the tag is computed, and compared, and not believed.
fn open_aws(suite: SrtpSuite, packets: &[Vec<u8>]) -> Duration {
    let key = &[0x5c; 32][..suite.key_size()];
    let mut room = Vec::with_capacity(256);
    if suite.is_aead() {
        let algorithm = if key.len() == 16 { &aead::AES_128_GCM } else { &aead::AES_256_GCM };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key).expect("its size"));
        // Of its own making, so that it is opened.
        let sealed: Vec<Vec<u8>> = packets.iter().map(|it| seal(&key, it)).collect();
        let begin = Instant::now();
        for packet in &sealed {
            room.clear();
            room.extend_from_slice(packet);
            let (header, payload) = room.split_at_mut(HEADER);
            let nonce = Nonce::assume_unique_for_key([7; 12]);
            black_box(key.open_in_place(nonce, Aad::from(header), payload)).expect("the same key");
        }
        return begin.elapsed();
    }
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    let cipher = DecryptingKey::ctr(UnboundCipherKey::new(algorithm, key).expect("its size"))
        .expect("a key of counter mode");
    let authentication = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[0x5c; 20]);
    let begin = Instant::now();
    for packet in packets {
        let (content, cut) = packet.split_at(packet.len() - suite.rtp_tag_size());
        let mut mac = hmac::Context::with_key(&authentication);
        mac.update(content);
        mac.update(&[0; 4]);
        let tag = mac.sign();
        let _ = black_box(constant_time::verify_slices_are_equal(&tag.as_ref()[..cut.len()], cut));
        room.clear();
        room.extend_from_slice(content);
        let iv = DecryptionContext::Iv128(FixedLength::from([9; 16]));
        black_box(cipher.decrypt(&mut room[HEADER..], iv)).expect("counter mode takes all");
    }
    begin.elapsed()
}

fn seal(key: &LessSafeKey, packet: &[u8]) -> Vec<u8> {
    let (header, rest) = packet.split_at(HEADER);
    let mut payload = rest[..160].to_vec();
    let nonce = Nonce::assume_unique_for_key([7; 12]);
    key.seal_in_place_append_tag(nonce, Aad::from(header), &mut payload)
        .expect("a short packet");
    [header, &payload].concat()
}

/// libsrtp behind a file of packets; `None` where it is not here.
fn compile() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("libsrtp.c");
    let program = std::env::temp_dir().join(format!("libsrtp-{}", std::process::id()));
    let mut command = Command::new("cc");
    command.args(["-O2", "-o"]).args([&program, &source]);
    match std::env::var_os("LIBSRTP").map(PathBuf::from) {
        // Its headers have no folder of their own before they are installed.
        Some(built) => command
            .arg("-DLIBSRTP_UNINSTALLED")
            .arg("-I")
            .arg(built.join("include"))
            .arg("-I")
            .arg(built.join("crypto/include"))
            .arg(built.join("libsrtp2.a"))
            .arg("-lcrypto"),
        None => command.arg("-lsrtp2"),
    };
    let compiled = command.output();
    let is_there = compiled.is_ok_and(|it| it.status.success());
    if !is_there {
        eprintln!("no libsrtp: cc and libsrtp2-dev are needed");
    }
    is_there.then_some(program)
}

fn open_libsrtp(program: &Path, suite: SrtpSuite, key: &[u8], packets: &[Vec<u8>]) -> Duration {
    let number = SrtpSuite::ALL.iter().position(|it| *it == suite).expect("it is among them") as u8;
    let file = program.with_extension("packets");
    let mut octets = vec![number];
    octets.extend_from_slice(key);
    octets.resize(47, 0);
    for packet in packets {
        octets.extend((packet.len() as u16).to_le_bytes());
        octets.extend_from_slice(packet);
    }
    fs::write(&file, octets).expect("a file");
    let output = Command::new(program).arg(&file).output().expect("it was compiled");
    let text = String::from_utf8_lossy(&output.stdout);
    let nanos = text.trim().parse().unwrap_or_else(|_| panic!("{suite}: libsrtp says {text:?}"));
    Duration::from_nanos(nanos)
}
