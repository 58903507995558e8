//! What the records of a track hold besides packets: header, addresses, marks, counters.
//!
//! Little-endian; a text or blob is a 32-bit length and its octets, a list a 16-bit count. An
//! address is `| family 4 or 6 | 0 | port u16 | 16 octets, IPv4 in the first four |`.
//!
//! ```text
//!   header    | recording id 16 | stream id u64 | number u32 | 0 u32 | description … |
//!   source    | remote address 20 | local address 20 |
//!   mark      | tag u8 | what the tag says |
//!   counters  | packets u64 | octets u64 | duplicates u64 | late u64 | kernel drops u64 |
//!             | count u16 | count × (reason text, u64) | tracker blob |
//! ```

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use holdfast_manifest::Direction;
use holdfast_units::{RecordingId, SrtpSuite, StreamId, WallTime};

use crate::limits::{CODECS_MAX, REASONS_MAX, TEXT_SIZE_MAX};

/// Payload of a [`crate::Kind::Header`] record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHeader {
    /// The recording the stream belongs to.
    pub recording: RecordingId,
    /// The stream.
    pub stream: StreamId,
    /// Its number within the recording, from 1.
    pub number: u32,
    /// Whatever the caller must find again; not looked at here.
    pub description: Vec<u8>,
}

/// Payload of a [`crate::Kind::Source`] record: whose packets the records with the same `source`
/// octet are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceAddresses {
    /// The other side.
    pub remote: SocketAddr,
    /// Our side.
    pub local: SocketAddr,
}

/// Payload of a [`crate::Kind::Key`] record: what the decrypted packets of one source came protected
/// with, from here on. The key is sealed with the node's. With it a kept packet can be protected again
/// into the octets that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceKey<'a> {
    /// Whose packets.
    pub ssrc: u32,
    /// Their roll-over counter (RFC 3711 §3.3.1).
    pub roc: u32,
    /// What the key is for.
    pub suite: SrtpSuite,
    /// The name of the key as it stands in packets; empty where it has none.
    pub mki: &'a [u8],
    /// Master key and salt, sealed.
    pub sealed: &'a [u8],
}

/// Payload of a [`crate::Kind::Mark`] record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackMark {
    /// Packets are refused from here on.
    Pause,
    /// Packets are accepted again.
    Resume,
    /// The payload types that are negotiated from here on, all of them.
    Codecs(Vec<CodecEntry>),
    /// The label from here on.
    Label(String),
    /// The answered direction from here on.
    Direction(Direction),
    /// The engine was started again.
    EngineRestart,
    /// Nothing could be received in this time.
    Outage {
        /// Its beginning.
        from: WallTime,
        /// Its end.
        to: WallTime,
    },
    /// Packets were received in this time and could not be kept.
    Dropped {
        /// The first moment.
        from: WallTime,
        /// The last moment.
        to: WallTime,
        /// How many.
        packets: u64,
    },
    /// The ring was full in this time: packets of its streams were dropped, perhaps of this one.
    RingOverflow {
        /// Before the first of them.
        from: WallTime,
        /// After the last of them.
        to: WallTime,
        /// How many, of all streams together.
        packets: u64,
    },
    /// Packets are accepted from another address from here on.
    SourceChange {
        /// The address.
        remote: SocketAddr,
    },
}

/// What a payload type means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecEntry {
    /// RTP payload type, 0–127.
    pub payload_type: u8,
    /// Encoding name of `a=rtpmap`, in any case.
    pub name: String,
    /// Clock rate in hertz.
    pub clock_rate: u32,
    /// Number of channels.
    pub channels: u8,
    /// Value of `a=fmtp`, empty where there is none.
    pub fmtp: String,
}

/// Payload of a [`crate::Kind::Counters`] record: totals since the stream began, of what the
/// records themselves do not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets accepted.
    pub packets: u64,
    /// Octets of those packets.
    pub bytes: u64,
    /// Duplicates that were not written.
    pub duplicates: u64,
    /// Packets that came late, as the receiver saw it.
    pub late: u64,
    /// Packets the kernel dropped.
    pub kernel_drops: u64,
    /// Packets refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// State of the sequence tracker, so that a restart goes on; not looked at here.
    pub tracker: Vec<u8>,
}

/// The payload of a record is not what its kind says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload of a track record does not read")]
pub struct DecodePayloadError;

impl StreamHeader {
    /// Appends the payload to `into`.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.recording.to_bytes());
        into.extend_from_slice(&self.stream.0.to_le_bytes());
        into.extend_from_slice(&self.number.to_le_bytes());
        into.extend_from_slice(&[0; 4]);
        into.extend_from_slice(&self.description);
    }

    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodePayloadError> {
        let mut input = Input(payload);
        let recording = RecordingId::from_bytes(input.array()?);
        let stream = StreamId(input.u64()?);
        let number = input.u32()?;
        input.array::<4>()?;
        Ok(Self {
            recording,
            stream,
            number,
            description: input.0.to_vec(),
        })
    }
}

impl SourceAddresses {
    /// Appends the payload to `into`.
    pub fn encode(&self, into: &mut Vec<u8>) {
        put_address(into, self.remote);
        put_address(into, self.local);
    }

    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodePayloadError> {
        let mut input = Input(payload);
        Ok(Self {
            remote: input.address()?,
            local: input.address()?,
        })
    }
}

impl<'a> SourceKey<'a> {
    /// Appends the payload to `into`.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.ssrc.to_le_bytes());
        into.extend_from_slice(&self.roc.to_le_bytes());
        put_octets(into, self.suite.name().as_bytes());
        put_octets(into, self.mki);
        put_octets(into, self.sealed);
    }

    /// Reads the payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodePayloadError> {
        let mut input = Input(payload);
        Ok(Self {
            ssrc: u32::from_le_bytes(input.array()?),
            roc: u32::from_le_bytes(input.array()?),
            suite: SrtpSuite::from_name(&input.text()?).ok_or(DecodePayloadError)?,
            mki: input.octets()?,
            sealed: input.octets()?,
        })
    }
}

impl TrackMark {
    /// Appends the payload to `into`. Texts are cut at [`TEXT_SIZE_MAX`] octets.
    pub fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Pause => into.push(1),
            Self::Resume => into.push(2),
            Self::Codecs(codecs) => {
                into.push(3);
                put_count(into, codecs.len(), CODECS_MAX);
                for codec in codecs.iter().take(CODECS_MAX) {
                    into.extend_from_slice(&[codec.payload_type, codec.channels]);
                    into.extend_from_slice(&codec.clock_rate.to_le_bytes());
                    // Half the payload limit is far more than 128 names need.
                    put_text(into, &codec.name, 64);
                    put_text(into, &codec.fmtp, 512);
                }
            }
            Self::Label(label) => {
                into.push(4);
                put_text(into, label, TEXT_SIZE_MAX);
            }
            Self::Direction(Direction::Recvonly) => into.extend_from_slice(&[5, 0]),
            Self::Direction(Direction::Inactive) => into.extend_from_slice(&[5, 1]),
            Self::EngineRestart => into.push(6),
            Self::Outage { from, to } => {
                into.push(7);
                into.extend_from_slice(&from.0.to_le_bytes());
                into.extend_from_slice(&to.0.to_le_bytes());
            }
            Self::Dropped { from, to, packets } => {
                into.push(8);
                into.extend_from_slice(&from.0.to_le_bytes());
                into.extend_from_slice(&to.0.to_le_bytes());
                into.extend_from_slice(&packets.to_le_bytes());
            }
            Self::RingOverflow { from, to, packets } => {
                into.push(10);
                into.extend_from_slice(&from.0.to_le_bytes());
                into.extend_from_slice(&to.0.to_le_bytes());
                into.extend_from_slice(&packets.to_le_bytes());
            }
            Self::SourceChange { remote } => {
                into.push(9);
                put_address(into, *remote);
            }
        }
    }

    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodePayloadError> {
        let mut input = Input(payload);
        Ok(match input.u8()? {
            1 => Self::Pause,
            2 => Self::Resume,
            3 => Self::Codecs(input.codecs()?),
            4 => Self::Label(input.text()?),
            5 => Self::Direction(match input.u8()? {
                0 => Direction::Recvonly,
                1 => Direction::Inactive,
                _ => return Err(DecodePayloadError),
            }),
            6 => Self::EngineRestart,
            7 => Self::Outage {
                from: WallTime(input.u64()?),
                to: WallTime(input.u64()?),
            },
            8 => Self::Dropped {
                from: WallTime(input.u64()?),
                to: WallTime(input.u64()?),
                packets: input.u64()?,
            },
            9 => Self::SourceChange {
                remote: input.address()?,
            },
            10 => Self::RingOverflow {
                from: WallTime(input.u64()?),
                to: WallTime(input.u64()?),
                packets: input.u64()?,
            },
            _ => return Err(DecodePayloadError),
        })
    }
}

impl Counters {
    /// Appends the payload to `into`.
    pub fn encode(&self, into: &mut Vec<u8>) {
        for count in [
            self.packets,
            self.bytes,
            self.duplicates,
            self.late,
            self.kernel_drops,
        ] {
            into.extend_from_slice(&count.to_le_bytes());
        }
        put_count(into, self.refused.len(), REASONS_MAX);
        for (reason, count) in self.refused.iter().take(REASONS_MAX) {
            put_text(into, reason, 64);
            into.extend_from_slice(&count.to_le_bytes());
        }
        put_octets(into, &self.tracker);
    }

    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodePayloadError> {
        let mut input = Input(payload);
        let mut counters = Self {
            packets: input.u64()?,
            bytes: input.u64()?,
            duplicates: input.u64()?,
            late: input.u64()?,
            kernel_drops: input.u64()?,
            ..Self::default()
        };
        for _ in 0..input.count(REASONS_MAX)? {
            let reason = input.text()?;
            counters.refused.insert(reason, input.u64()?);
        }
        counters.tracker = input.octets()?.to_vec();
        Ok(counters)
    }
}

fn put_count(into: &mut Vec<u8>, count: usize, max: usize) {
    let count = u16::try_from(count.min(max)).unwrap_or(u16::MAX);
    into.extend_from_slice(&count.to_le_bytes());
}

fn put_text(into: &mut Vec<u8>, text: &str, size_max: usize) {
    let size = (0..=size_max.min(text.len()))
        .rev()
        .find(|&size| text.is_char_boundary(size));
    put_octets(into, &text.as_bytes()[..size.unwrap_or(0)]);
}

fn put_octets(into: &mut Vec<u8>, octets: &[u8]) {
    let len = u32::try_from(octets.len()).unwrap_or(u32::MAX);
    into.extend_from_slice(&len.to_le_bytes());
    into.extend_from_slice(&octets[..len as usize]);
}

fn put_address(into: &mut Vec<u8>, address: SocketAddr) {
    let mut octets = [0; 16];
    let family = match address.ip() {
        IpAddr::V4(ip) => {
            octets[..4].copy_from_slice(&ip.octets());
            4
        }
        IpAddr::V6(ip) => {
            octets = ip.octets();
            6
        }
    };
    into.extend_from_slice(&[family, 0]);
    into.extend_from_slice(&address.port().to_le_bytes());
    into.extend_from_slice(&octets);
}

/// What is left of a payload that is being read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodePayloadError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(DecodePayloadError)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, DecodePayloadError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, DecodePayloadError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodePayloadError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodePayloadError> {
        self.array().map(u64::from_le_bytes)
    }

    fn count(&mut self, max: usize) -> Result<usize, DecodePayloadError> {
        let count = usize::from(self.u16()?);
        if count > max {
            Err(DecodePayloadError)
        } else {
            Ok(count)
        }
    }

    fn octets(&mut self) -> Result<&'a [u8], DecodePayloadError> {
        let len = self.u32()? as usize;
        let (head, rest) = self.0.split_at_checked(len).ok_or(DecodePayloadError)?;
        self.0 = rest;
        Ok(head)
    }

    fn text(&mut self) -> Result<String, DecodePayloadError> {
        let octets = self.octets()?;
        if octets.len() > TEXT_SIZE_MAX {
            return Err(DecodePayloadError);
        }
        std::str::from_utf8(octets)
            .map(String::from)
            .map_err(|_| DecodePayloadError)
    }

    fn codecs(&mut self) -> Result<Vec<CodecEntry>, DecodePayloadError> {
        let count = self.count(CODECS_MAX)?;
        (0..count)
            .map(|_| {
                let [payload_type, channels] = self.array()?;
                let clock_rate = self.u32()?;
                let (name, fmtp) = (self.text()?, self.text()?);
                Ok(CodecEntry {
                    payload_type,
                    name,
                    clock_rate,
                    channels,
                    fmtp,
                })
            })
            .collect()
    }

    fn address(&mut self) -> Result<SocketAddr, DecodePayloadError> {
        let [family, _] = self.array()?;
        let port = self.u16()?;
        let octets: [u8; 16] = self.array()?;
        let ip = match family {
            4 => IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3])),
            6 => IpAddr::V6(Ipv6Addr::from(octets)),
            _ => return Err(DecodePayloadError),
        };
        Ok(SocketAddr::new(ip, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> Vec<TrackMark> {
        let codec = CodecEntry {
            payload_type: 101,
            name: "telephone-event".into(),
            clock_rate: 8_000,
            channels: 1,
            fmtp: "0-15".into(),
        };
        let (from, to) = (WallTime(1), WallTime(2));
        vec![
            TrackMark::Pause,
            TrackMark::Resume,
            TrackMark::Codecs(vec![
                codec.clone(),
                CodecEntry {
                    payload_type: 0,
                    ..codec
                },
            ]),
            TrackMark::Label("1\u{e9}".into()),
            TrackMark::Direction(Direction::Recvonly),
            TrackMark::Direction(Direction::Inactive),
            TrackMark::EngineRestart,
            TrackMark::Outage { from, to },
            TrackMark::Dropped {
                from,
                to,
                packets: 3,
            },
            TrackMark::RingOverflow {
                from,
                to,
                packets: 5,
            },
            TrackMark::SourceChange {
                remote: "192.0.2.1:9".parse().unwrap(),
            },
            TrackMark::SourceChange {
                remote: "[2001:db8::1]:9".parse().unwrap(),
            },
        ]
    }

    fn counters() -> Counters {
        Counters {
            packets: 1,
            bytes: 2,
            duplicates: 3,
            late: 4,
            kernel_drops: 5,
            refused: BTreeMap::from([("bad_version".into(), 6), ("paused".into(), 7)]),
            tracker: vec![8, 9],
        }
    }

    #[test]
    fn every_mark_round_trips_and_none_reads_when_cut_short() {
        for mark in marks() {
            let mut payload = Vec::new();
            mark.encode(&mut payload);
            assert_eq!(TrackMark::decode(&payload), Ok(mark));
            for len in 0..payload.len() {
                assert_eq!(
                    TrackMark::decode(&payload[..len]),
                    Err(DecodePayloadError),
                    "{len}"
                );
            }
        }
    }

    #[test]
    fn header_addresses_and_counters_round_trip() {
        let header = StreamHeader {
            recording: RecordingId::from_bytes([7; 16]),
            stream: StreamId(8),
            number: 9,
            description: b"opaque".to_vec(),
        };
        let mut payload = Vec::new();
        header.encode(&mut payload);
        assert_eq!(StreamHeader::decode(&payload), Ok(header));

        let addresses = SourceAddresses {
            remote: "192.0.2.1:40000".parse().unwrap(),
            local: "[2001:db8::2]:10000".parse().unwrap(),
        };
        payload.clear();
        addresses.encode(&mut payload);
        assert_eq!(SourceAddresses::decode(&payload), Ok(addresses));

        payload.clear();
        counters().encode(&mut payload);
        assert_eq!(Counters::decode(&payload), Ok(counters()));
        for len in 0..payload.len() {
            assert_eq!(
                Counters::decode(&payload[..len]),
                Err(DecodePayloadError),
                "{len}"
            );
        }
    }

    #[test]
    fn noise_never_panics_nor_allocates_by_a_length_it_claims() {
        let mut payload = Vec::new();
        TrackMark::Label("x".into()).encode(&mut payload);
        payload[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(TrackMark::decode(&payload), Err(DecodePayloadError));
        let mut state = 1_u32;
        for _ in 0..20_000 {
            let noise: Vec<u8> = (0..state % 64)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8 % 12
                })
                .collect();
            state = state.wrapping_add(1);
            let _ = TrackMark::decode(&noise);
            let _ = Counters::decode(&noise);
            let _ = StreamHeader::decode(&noise);
            let _ = SourceAddresses::decode(&noise);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let mut payload = Vec::new();
        TrackMark::Label("\u{e9}".repeat(TEXT_SIZE_MAX)).encode(&mut payload);
        let TrackMark::Label(label) = TrackMark::decode(&payload).unwrap() else {
            panic!()
        };
        assert_eq!(label.len(), TEXT_SIZE_MAX);
    }
}
