//! Encrypted media by hand: keys, the lines that offer them, and packets under them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_srtp::{MasterKey, Mki, PeerKey, RtcpReceiver, RtcpSender, RtpTransform};
use holdfast_units::SrtpSuite;

/// A master key with its salt.
#[derive(Clone, Debug)]
pub struct Key {
    /// What it is for.
    pub suite: SrtpSuite,
    /// Key, then salt.
    pub octets: Vec<u8>,
}

impl Key {
    /// A key that only this number has.
    pub fn new(suite: SrtpSuite, number: u8) -> Self {
        // Nothing that would be found by chance in what a system writes.
        let octet = |at: usize| (at as u8).wrapping_mul(89).wrapping_add(number) ^ 0xa5;
        Self {
            suite,
            octets: (0..suite.master_size()).map(octet).collect(),
        }
    }

    /// As `inline:` has it.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.octets)
    }

    /// In hexadecimal digits.
    pub fn hex(&self) -> String {
        self.octets.iter().fold(String::new(), |mut text, octet| {
            let _ = write!(text, "{octet:02x}");
            text
        })
    }

    /// The line that offers it, with what follows the key.
    pub fn line(&self, tag: u32, further: &str) -> String {
        let (suite, key) = (self.suite, self.base64());
        format!("a=crypto:{tag} {suite} inline:{key}{further}\n")
    }

    /// The key as the ciphers take it.
    ///
    /// # Panics
    /// When its size is not that of the suite.
    pub fn master(&self) -> MasterKey {
        MasterKey::new(self.suite, &self.octets).expect("the suite's size")
    }

    /// What protects RTP with it.
    pub fn rtp(&self) -> RtpTransform {
        RtpTransform::new(&self.master(), Mki::default())
    }

    /// What protects RTCP with it.
    pub fn rtcp(&self) -> RtcpSender {
        RtcpSender::new(self.master(), true)
    }

    /// What opens RTCP that is protected with it.
    pub fn reports(&self) -> RtcpReceiver {
        RtcpReceiver::new(vec![PeerKey::only(self.master())])
    }
}

/// A crypto line of an answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its tag.
    pub tag: u32,
    /// The key in it.
    pub key: Key,
    /// What follows the key.
    pub further: String,
}

/// The crypto line of each m-line of a description; `None` where there is none.
///
/// # Panics
/// When one does not read.
pub fn answered(description: &str) -> Vec<Option<Answered>> {
    let mut lines = Vec::new();
    for line in description.lines() {
        if line.starts_with("m=") {
            lines.push(None);
        }
        let Some(crypto) = line.strip_prefix("a=crypto:") else {
            continue;
        };
        let mut fields = crypto.split(' ');
        let tag = fields.next().and_then(|tag| tag.parse().ok());
        let suite = fields.next().and_then(SrtpSuite::from_name);
        let inline = fields.next().and_then(|it| it.strip_prefix("inline:"));
        let octets = STANDARD.decode(inline.expect("a key")).expect("base64");
        let answered = Answered {
            tag: tag.expect("a tag"),
            key: Key {
                suite: suite.expect("a suite"),
                octets,
            },
            further: fields.collect::<Vec<_>>().join(" "),
        };
        let place = lines.last_mut().expect("an m-line before it");
        assert!(place.replace(answered).is_none(), "two keys on a line");
    }
    lines
}
