//! libsrtp as the judge: random packets of every suite, protected by one side and opened by the
//! other, both ways. `SRTP_PACKETS` says how many; a million takes a minute with a release build.

use std::fs;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use holdfast_srtp::{MasterKey, Mki, PeerKey, Receiver, RtcpReceiver, RtcpSender, RtpTransform};
use holdfast_units::{SrtpSuite, WallTime};

#[test]
fn libsrtp_agrees_on_random_packets() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(format!("oracle-{}", std::process::id()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle.c");
    let compiled = Command::new("cc")
        .args(["-O2", "-o"])
        .args([&program, &source])
        .arg("-lsrtp2")
        .output();
    match compiled {
        Ok(output) if output.status.success() => {}
        Ok(_) | Err(_) => {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: libsrtp_agrees_on_random_packets: no cc, or no libsrtp2-dev"
            );
            return;
        }
    }
    let count = std::env::var("SRTP_PACKETS").map_or(6_000, |text| text.parse().expect("a number"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (number, suite) in (0..).zip(SrtpSuite::ALL) {
        let share = count / SrtpSuite::ALL.len() as u64;
        agree(&program, number, suite, share, &mut random);
    }
    fs::remove_file(&program).expect("it is there");
}

fn agree(program: &Path, number: u8, suite: SrtpSuite, count: u64, random: &mut Random) {
    let octets = random.octets(suite.master_size());
    let key = MasterKey::new(suite, &octets).unwrap();
    let mut oracle = Oracle::start(program, number, &octets);
    let ours = RtpTransform::new(&key, Mki::default());
    let mut receiver = Receiver::new(vec![PeerKey::only(key.clone())]);
    let mut reports = RtcpReceiver::new(vec![PeerKey::only(key.clone())]);
    let mut reporter = RtcpSender::new(key, true);
    // libsrtp follows a context for each direction: each has a source of its own.
    let (theirs, mine) = (random.next() as u32, random.next() as u32);
    let mut index = random.next() % 0x1_0000;
    let (mut out, mut wire) = (Vec::new(), Vec::new());
    for round in 0..count {
        let plain = random.rtp(theirs, index as u16);
        let protected = oracle.ask(b'p', &plain);
        receiver
            .unprotect(WallTime(round), &protected, &mut out)
            .unwrap();
        assert_eq!(out, plain, "{suite} {index}");

        let plain = random.rtp(mine, index as u16);
        let roc = (index >> 16) as u32;
        ours.protect(&plain, roc, &mut wire).unwrap();
        assert_eq!(oracle.ask(b'u', &wire), plain, "{suite} {index}");
        let at = random.next() as usize % wire.len();
        wire[at] ^= 1 << (random.next() % 8);
        assert_eq!(oracle.ask(b'u', &wire), [0; 0], "{suite} {index}");
        assert!(
            receiver
                .unprotect(WallTime(round), &wire, &mut out)
                .is_err()
        );

        if round.is_multiple_of(8) {
            let plain = random.rtcp(theirs);
            let protected = oracle.ask(b'P', &plain);
            reports.unprotect(&protected, &mut out).unwrap();
            assert_eq!(out, plain, "{suite} report {round}");
            let plain = random.rtcp(mine);
            reporter.protect(&plain, &mut wire).unwrap();
            assert_eq!(oracle.ask(b'U', &wire), plain, "{suite} report {round}");
        }
        index += 1 + u64::from(random.next().is_multiple_of(64)) * (random.next() % 1_000);
    }
}

/// The program beside this file: a frame for a frame.
struct Oracle {
    child: Child,
    to: BufWriter<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Oracle {
    fn start(program: &Path, suite: u8, key: &[u8]) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was compiled");
        let to = BufWriter::new(child.stdin.take().unwrap());
        let from = BufReader::new(child.stdout.take().unwrap());
        let mut oracle = Self { child, to, from };
        let begun = oracle.ask(b'k', &[&[suite], key].concat());
        assert_eq!(begun, b"ok");
        oracle
    }

    /// Empty where it refuses.
    fn ask(&mut self, command: u8, bytes: &[u8]) -> Vec<u8> {
        self.to.write_all(&[command]).unwrap();
        self.to
            .write_all(&(bytes.len() as u16).to_le_bytes())
            .unwrap();
        self.to.write_all(bytes).unwrap();
        self.to.flush().unwrap();
        let mut size = [0; 2];
        self.from.read_exact(&mut size).unwrap();
        let mut answer = vec![0; usize::from(u16::from_le_bytes(size))];
        self.from.read_exact(&mut answer).unwrap();
        answer
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// With contributing sources and an extension, sometimes.
    fn rtp(&mut self, ssrc: u32, sequence: u16) -> Vec<u8> {
        let csrcs = (self.next() % 8).saturating_sub(5) as usize;
        let extension = self.next().is_multiple_of(4);
        let mut packet = vec![
            0x80 | u8::from(extension) << 4 | csrcs as u8,
            self.next() as u8,
        ];
        packet.extend(sequence.to_be_bytes());
        packet.extend(self.octets(4));
        packet.extend(ssrc.to_be_bytes());
        packet.extend(self.octets(4 * csrcs));
        if extension {
            let words = self.next() % 4;
            packet.extend([0xbe, 0xde, 0, words as u8]);
            packet.extend(self.octets(4 * words as usize));
        }
        let size = self.next() % 400;
        packet.extend(self.octets(size as usize));
        packet
    }

    fn rtcp(&mut self, ssrc: u32) -> Vec<u8> {
        let words = 1 + self.next() % 20;
        let mut packet = vec![0x80, 200, 0, words as u8];
        packet.extend(ssrc.to_be_bytes());
        packet.extend(self.octets(4 * (words as usize - 1)));
        packet
    }
}
