//! Encrypted packets: what it costs to make one, which is the sender's, and what it costs to have one
//! opened on its way into a track.

use std::hint::black_box;

use holdfast_control::{KeyOf, Recording, Sealed, Srtp, SrtpKey, seal_context};
use holdfast_seal::NodeKeys;
use holdfast_shard::KeyRing;
use holdfast_srtp::{MasterKey, Mki, RtpTransform};
use holdfast_units::SrtpSuite;

use crate::feed::{Feed, Packet};
use crate::stage::Stage;

/// What senders have in common: a key, so that theirs is not what fills the cache.
pub(crate) struct Protection {
    transform: RtpTransform,
    streams: u64,
    packets: u64,
    out: Vec<u8>,
}

impl Protection {
    pub(crate) fn new(suite: SrtpSuite, streams: usize) -> Self {
        let master = MasterKey::new(suite, &KEY[..suite.master_size()]).expect("its size");
        Self {
            transform: RtpTransform::new(&master, Mki::default()),
            streams: streams as u64,
            packets: 0,
            out: Vec::new(),
        }
    }

    /// The packet as it arrives; the streams take turns.
    pub(crate) fn protect(&mut self, packet: &Packet<'_>) -> &[u8] {
        let roc = ((self.packets / self.streams) >> 16) as u32;
        self.packets += 1;
        self.transform
            .protect(packet.bytes, roc, &mut self.out)
            .expect("it reads");
        &self.out
    }
}

/// What opens the keys of [`encrypted`] recordings.
pub(crate) fn key_ring() -> KeyRing {
    KeyRing::new(node_keys())
}

/// The same recording with encrypted streams.
pub(crate) fn encrypted(mut recording: Recording, suite: SrtpSuite) -> Recording {
    for stream in &mut recording.streams {
        let seal = |whose| {
            let context = seal_context(recording.id, stream.id, whose);
            Sealed(node_keys().seal(&[0; 24], &context, &KEY[..suite.master_size()]))
        };
        stream.srtp = Some(Srtp {
            suite,
            peer: vec![SrtpKey {
                key: seal(KeyOf::Peer),
                mki: Vec::new(),
                lifetime: 1 << 48,
            }],
            own: seal(KeyOf::Own),
            encrypts_rtcp: true,
        });
    }
    recording
}

fn node_keys() -> NodeKeys {
    NodeKeys::parse(&NodeKeys::text_of(&[7; 32])).expect("a key")
}

/// The sender's part.
pub(crate) struct Protect {
    feed: Feed,
    protection: Protection,
    fed: u64,
}

impl Protect {
    pub(crate) fn new(streams: usize, suite: SrtpSuite) -> Self {
        Self {
            feed: Feed::new(streams),
            protection: Protection::new(suite, streams),
            fed: 0,
        }
    }
}

impl Stage for Protect {
    fn run(&mut self, packets: u64) {
        for _ in 0..packets {
            black_box(self.protection.protect(&self.feed.take()));
            self.fed += 1;
        }
    }

    fn finish(self: Box<Self>) -> u64 {
        self.fed
    }
}

const KEY: [u8; 46] = [0x5c; 46];
