//! Recordings, streams, packets and documents of the tests.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use holdfast_control::{
    Document, DocumentName, KeyOf, Life, Recording, Sealed, Srtp, SrtpKey, Stream, StreamMode,
    seal_context,
};
use holdfast_manifest::{Codec, EndReason};
use holdfast_seal::NodeKeys;
use holdfast_shard::Command;
use holdfast_shard::KeyRing;
use holdfast_srtp::{MasterKey, Mki, RtpTransform};
use holdfast_units::{RecordingId, SrtpSuite, StreamId, WallTime};

use super::{FIRST_PORT, World};

pub const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
pub const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 66));

pub fn id(number: u8) -> RecordingId {
    RecordingId::from_bytes([number; 16])
}

fn codec(name: &str) -> Codec {
    Codec {
        name: name.into(),
        clock_rate: 8_000,
        channels: 1,
        fmtp: None,
    }
}

/// A stream on the pair of ports with this index.
pub fn stream(id: u64, number: u16, pair: u16) -> Stream {
    let rtp_port = FIRST_PORT + 2 * pair;
    let peer_port = 40_000 + 2 * pair;
    Stream {
        id: StreamId(id),
        number,
        media_line: number - 1,
        media: "audio".into(),
        label: Some(number.to_string()),
        channel: number - 1,
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        rtp_port,
        rtcp_port: rtp_port + 1,
        mode: StreamMode::Record,
        codecs: BTreeMap::from([(0, codec("PCMU")), (8, codec("PCMA"))]),
        peer_rtp: Some(SocketAddr::new(PEER, peer_port)),
        peer_rtcp: Some(SocketAddr::new(PEER, peer_port + 1)),
        signaling_peer: Some(PEER),
        cname: "kGk2SnwyEbT6GUhS".into(),
        send_reports: true,
        srtp: None,
    }
}

pub fn recording(number: u8, revision: u64, streams: &[Stream]) -> Recording {
    Recording {
        id: id(number),
        shard: 0,
        revision,
        started: WallTime(1_790_000_000_000_000_000),
        life: Life::Active,
        streams: streams.to_vec(),
    }
}

/// The next revision, in which it has ended.
pub fn ended(recording: &Recording, at: WallTime) -> Recording {
    Recording {
        revision: recording.revision + 1,
        life: Life::Ended {
            reason: EndReason::Bye,
            at,
        },
        ..recording.clone()
    }
}

/// The next revision, with other streams.
pub fn with_streams(recording: &Recording, streams: &[Stream]) -> Recording {
    Recording {
        revision: recording.revision + 1,
        streams: streams.to_vec(),
        ..recording.clone()
    }
}

pub fn paused(stream: &Stream) -> Stream {
    Stream {
        mode: StreamMode::Pause,
        ..stream.clone()
    }
}

pub fn media_source(stream: &Stream) -> SocketAddr {
    stream.peer_rtp.expect("the test's streams have peers")
}

pub fn control_source(stream: &Stream) -> SocketAddr {
    stream.peer_rtcp.expect("the test's streams have peers")
}

/// An RTP packet of PCMU that says in its payload what it is.
pub fn rtp(ssrc: u32, sequence: u16, text: &str) -> Vec<u8> {
    rtp_of(0, ssrc, sequence, text)
}

pub fn rtp_of(payload_type: u8, ssrc: u32, sequence: u16, text: &str) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend((u32::from(sequence).wrapping_mul(160)).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    let mut payload = text.as_bytes().to_vec();
    payload.resize(160.max(payload.len()), b'.');
    bytes.extend(payload);
    bytes
}

/// A sender report of this SSRC, without blocks.
pub fn sender_report(ssrc: u32, packets: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, 200, 0, 6];
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([0xe8, 0, 0, 0, 0x80, 0, 0, 0]);
    bytes.extend([0, 0, 1, 0]);
    bytes.extend(packets.to_be_bytes());
    bytes.extend((packets * 160).to_be_bytes());
    // An SDES with a CNAME, so that the compound is one.
    bytes.extend([0x81, 202, 0, 3]);
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([1, 4, b'p', b'e', b'e', b'r', 0, 0]);
    bytes
}

pub fn document(recording: u8, name: &str, offset: u32, last: bool, bytes: &[u8]) -> Document {
    Document {
        recording: id(recording),
        shard: 0,
        name: DocumentName::try_from(name.to_owned()).expect("a name"),
        offset,
        last,
        bytes: bytes.to_vec(),
    }
}

impl World {
    pub fn desire(&mut self, recording: &Recording) {
        self.command(Command::Recording(recording.clone()));
    }

    pub fn write_document(&mut self, recording: u8, name: &str, bytes: &[u8]) {
        let whole = document(recording, name, 0, true, bytes);
        self.command(Command::Document(whole));
    }

    /// Signaling connects, and claims these.
    pub fn connect(&mut self, claimed: &[Recording]) {
        self.command(Command::Connected);
        for recording in claimed {
            self.desire(recording);
        }
        self.command(Command::ReconcileDone);
    }

    /// Sends packet `sequence` to a stream from where the signaling says; gives its octets.
    pub fn send(&mut self, stream: &Stream, sequence: u16) -> Vec<u8> {
        let text = format!("stream {} packet {sequence};", stream.id.0);
        let bytes = rtp(0x1000 + stream.id.0 as u32, sequence, &text);
        self.datagram(stream.rtp_port, media_source(stream), &bytes);
        bytes
    }

    /// Sends packets with 20 ms between them.
    pub fn talk(
        &mut self,
        streams: &[Stream],
        sequences: std::ops::Range<u16>,
    ) -> Vec<Vec<Vec<u8>>> {
        let mut sent = vec![Vec::new(); streams.len()];
        for sequence in sequences {
            for (stream, sent) in streams.iter().zip(&mut sent) {
                sent.push(self.send(stream, sequence));
            }
            self.run(super::MS * 20);
        }
        sent
    }

    /// A track of a recording in progress, or of the published one.
    pub fn track(&self, recording: u8, number: u16) -> super::tracks::Track {
        let published = super::files::published(id(recording));
        let path = format!("{published}streams/{number}.track");
        let bytes = self
            .files
            .read(&path)
            .or_else(|| self.files.read(&super::files::track(id(recording), number)));
        super::tracks::Track::read(bytes.expect("there is a track"))
    }

    pub fn published_document(&self, recording: u8, name: &str) -> Option<Vec<u8>> {
        let folder = super::files::published(id(recording));
        self.files
            .read(&format!("{folder}documents/{name}"))
            .cloned()
    }

    pub fn is_published(&self, recording: u8) -> bool {
        self.published.contains_key(&id(recording))
    }
}

/// The suite of encrypted streams.
pub const SUITE: SrtpSuite = SrtpSuite::AesCm128Sha1_80;

fn master(stream: StreamId, generation: u8) -> [u8; 30] {
    std::array::from_fn(|at| (stream.0 as u8).wrapping_mul(31) ^ generation ^ at as u8)
}

/// The same stream, its packets encrypted with the key of this generation.
pub fn encrypted(recording: u8, stream: &Stream, generation: u8) -> Stream {
    let seal = |whose, key: &[u8]| {
        let context = seal_context(id(recording), stream.id, whose);
        Sealed(node_keys().seal(&[generation; 24], &context, key))
    };
    let srtp = Srtp {
        suite: SUITE,
        peer: vec![SrtpKey {
            key: seal(KeyOf::Peer, &master(stream.id, generation)),
            mki: Vec::new(),
            lifetime: 1 << 48,
        }],
        own: seal(KeyOf::Own, &[0xee; 30]),
        encrypts_rtcp: true,
    };
    Stream {
        srtp: Some(srtp),
        ..stream.clone()
    }
}

/// A packet as the sender of an encrypted stream sends it.
pub fn protect(stream: StreamId, generation: u8, plain: &[u8], roc: u32) -> Vec<u8> {
    let master = MasterKey::new(SUITE, &master(stream, generation)).expect("its size");
    let mut out = Vec::new();
    RtpTransform::new(&master, Mki::default())
        .protect(plain, roc, &mut out)
        .expect("a packet");
    out
}

/// The keys of the simulated node.
pub fn node_keys() -> NodeKeys {
    NodeKeys::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
}

/// What opens the keys of streams.
pub fn key_ring() -> KeyRing {
    KeyRing::new(node_keys())
}
