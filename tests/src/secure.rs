//! Calls whose media is encrypted, and speech on them.

use std::net::{IpAddr, UdpSocket};
use std::ops::Range;
use std::time::{Duration, Instant};

use holdfast_load::agent::Way;
use holdfast_load::answer::Answer;
use holdfast_load::tls::Versions;
use holdfast_load::verify::Published;
use holdfast_manifest::Stream;
use holdfast_srtp::{Mki, RtpTransform};

use crate::audio::Audio;
use crate::bodies::sdp_of;
use crate::certificates::Authority;
use crate::peer::Peer;
use crate::rtp::packet;
use crate::script::{Ask, Script, text_of};
use crate::srtp::{Key, answered};
use crate::system::{Options, System};

/// A call of one encrypted line over TLS.
#[derive(Debug)]
pub struct Secure {
    /// The recorder.
    pub system: System,
    /// The dialog.
    pub script: Script,
    /// Where the line receives.
    pub port: u16,
    way: Way,
}

impl Secure {
    /// Places a call with these crypto lines on its one line.
    ///
    /// # Panics
    /// When it is not accepted, or answered without a key of the recorder's own.
    pub fn open(profile: &str, keys: &str) -> Self {
        Self::open_with(Options::new(), profile, keys)
    }

    /// The same with settings of its own.
    ///
    /// # Panics
    /// As [`Self::open`].
    pub fn open_with(options: Options, profile: &str, keys: &str) -> Self {
        let authority = Authority::new("one");
        let system = System::start(&options.tls(&authority.issue("srs.example.com")));
        let way = Way::Tls(authority.client(Versions::Both));
        let mut script = Script::by(Peer::over(system.sips(), &way));
        let line = format!("m=audio 40000 {profile} 0\na=label:1\na=sendonly\n{keys}");
        let response = script.open(&Ask::invite().sdp(&sdp_of(&system, &line)));
        let answer = Answer::parse(&response.body).expect("an answer");
        let port = answer.lines[0].rtp.expect("a port").port();
        let description = text_of(&response);
        assert!(description.contains(&format!("m=audio {port} {profile} 0")));
        let crypto = answered(&description)[0].clone().expect("a key of theirs");
        assert!(!keys.contains(&crypto.key.base64()), "a key of its own");
        Self {
            system,
            script,
            port,
            way,
        }
    }

    /// The connection is gone with the recorder's signaling: another one.
    ///
    /// # Panics
    /// When there is none to be had.
    pub fn connect_again(&mut self) {
        self.script.peer = Peer::over(self.system.sips(), &self.way);
    }

    /// Ends the call: its audio, and all that was published.
    ///
    /// # Panics
    /// When it is not published.
    pub fn finish(mut self) -> (Vec<u8>, Published) {
        self.script.hang_up();
        let published = self.system.published(&self.script.call_id);
        let audio = Audio::of(&published.folder);
        (audio.channels[0].clone(), published)
    }

    /// Ends the call; its stream is this speech, in so many packets of which none is lost.
    ///
    /// # Panics
    /// When it is not.
    pub fn finish_with(self, speech: &[u8], packets: u64) -> Stream {
        let (audio, published) = self.finish();
        let stream = published.manifest.streams[0].clone();
        assert_eq!((stream.packets, stream.lost), (packets, 0), "{stream:?}");
        assert!(holds(&audio, speech), "{stream:?}");
        stream
    }
}

/// Octets of mu-law that are told apart wherever they stand.
pub fn speech(samples: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    (0..samples).map(|_| draw()).collect()
}

/// Whether the speech is in the audio, to the bit.
pub fn holds(audio: &[u8], speech: &[u8]) -> bool {
    audio.windows(speech.len()).any(|window| window == speech)
}

/// Somebody who speaks under a key.
#[derive(Debug)]
pub struct Speaker {
    /// From where.
    pub socket: UdpSocket,
    /// Where to.
    pub target: (IpAddr, u16),
    /// What protects the packets.
    pub key: Key,
    /// Names the key in each packet.
    pub mki: Mki,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl Speaker {
    /// Somebody on the line of a call.
    ///
    /// # Panics
    /// When there is no socket.
    pub fn new(call: &Secure, key: &Key) -> Self {
        Self {
            socket: UdpSocket::bind((call.system.host(), 0)).expect("a socket"),
            target: (call.system.host(), call.port),
            key: key.clone(),
            mki: Mki::default(),
            ssrc: 0x0a0b_0c0d,
        }
    }

    /// Packet `index` of the speech; its sequence number goes on from `first`, with the roll-over
    /// counter above it.
    ///
    /// # Panics
    /// When the speech is shorter.
    pub fn packet(&self, speech: &[u8], first: u32, index: u32) -> Vec<u8> {
        let number = first.wrapping_add(index);
        let payload = &speech[index as usize * 160..][..160];
        let plain = packet(0, number as u16, 9_000 + index * 160, self.ssrc, payload);
        let mut out = Vec::new();
        let roc = number >> 16;
        RtpTransform::new(&self.key.master(), self.mki.clone())
            .protect(&plain, roc, &mut out)
            .expect("a packet");
        out
    }

    /// Sends octets as they are.
    ///
    /// # Panics
    /// When the system does not take them.
    pub fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.target).expect("a packet");
    }

    /// Sends packets at the rate of speech.
    pub fn speak(&self, speech: &[u8], first: u32, range: Range<u32>) {
        let begin = Instant::now();
        for (slot, index) in (0..).zip(range) {
            let due = begin + Duration::from_millis(20) * slot;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.send(&self.packet(speech, first, index));
        }
    }
}
