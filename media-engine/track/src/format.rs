//! Track file: an append-only sequence of records, little-endian, each on an 8-octet boundary.
//!
//! ```text
//!   0     4     8      9        10      12      16    24        32
//!   | crc | len | kind | source | flags | magic | lsn | arrival | payload, zeros to 8 |
//! ```
//!
//! `crc` is the CRC-32C of everything from `len` to the end of the payload; `len` is that of the
//! payload; `magic` carries the version of the format and lets a reader find its way again after
//! damage; `source` is the number of a [`Kind::Source`] record. The first record is a
//! [`Kind::Header`]; log sequence numbers never fall within a file. There is no file header and no
//! index: a file may be cut at the end of any record and goes on being a track.

use holdfast_units::WallTime;

use crate::limits::PAYLOAD_SIZE_MAX;

/// Version of the track format that this build writes and reads.
pub const VERSION: u8 = 1;

/// Octets of a record before its payload.
pub const HEADER_SIZE: usize = 32;

/// Records begin at multiples of this.
pub const ALIGNMENT: usize = 8;

/// Position in the shard's log: never falls within a track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Who the stream is: [`crate::StreamHeader`]. The first record of a file.
    Header = 1,
    /// A whole RTP packet, as received or, with [`Flags::DECRYPTED`], decrypted.
    Packet = 2,
    /// A whole RTCP packet, received or, with [`Flags::OUTBOUND`], sent.
    Rtcp = 3,
    /// The addresses that records with this `source` travelled between:
    /// [`crate::SourceAddresses`].
    Source = 4,
    /// Something that happened: [`crate::TrackMark`].
    Mark = 5,
    /// What was counted so far: [`crate::Counters`].
    Counters = 6,
    /// Nothing: fills space.
    Pad = 7,
    /// The track is complete; the payload is the caller's.
    End = 8,
    /// What the packets of a source were protected with, from here on: [`crate::SourceKey`].
    Key = 9,
}

/// Bits that qualify a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// No bit set.
    pub const NONE: Self = Self(0);
    /// The packet was SRTP or SRTCP and is stored decrypted.
    pub const DECRYPTED: Self = Self(1);
    /// We sent it.
    pub const OUTBOUND: Self = Self(2);
    /// The packet is SRTP or SRTCP as it came: nobody had the keys to it.
    pub const PROTECTED: Self = Self(4);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// Number of the [`Kind::Source`] record with the addresses; 0 for other kinds.
    pub source: u8,
    /// Qualifying bits.
    pub flags: Flags,
    /// Position in the log.
    pub lsn: Lsn,
    /// When the packet arrived, or what is marked happened.
    pub arrival: WallTime,
    /// The content.
    pub payload: &'a [u8],
}

/// The payload of a record is longer than [`PAYLOAD_SIZE_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a track record holds at most {PAYLOAD_SIZE_MAX} octets, not {size}")]
pub struct PayloadTooLong {
    /// How long it is.
    pub size: usize,
}

/// Why octets are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeRecordError {
    /// The record, if it is one, is this long.
    #[error("the record takes {size} octets")]
    Incomplete {
        /// Octets from the beginning of the record to its end.
        size: usize,
    },
    /// Written by another version of this software.
    #[error("track format {found}, this build reads {VERSION}")]
    OtherVersion {
        /// What the record says.
        found: u8,
    },
    /// Anything else.
    #[error("not a track record")]
    Invalid,
}

/// Octets that a record with a payload of `payload_size` takes in the file.
pub const fn record_size(payload_size: usize) -> usize {
    (HEADER_SIZE + payload_size).next_multiple_of(ALIGNMENT)
}

/// Appends a record to `into`. The caller sees to it that log sequence numbers do not fall.
pub fn encode_record(into: &mut Vec<u8>, record: &Record<'_>) -> Result<(), PayloadTooLong> {
    let size = record.payload.len();
    let Some(len) = u32::try_from(size)
        .ok()
        .filter(|_| size <= PAYLOAD_SIZE_MAX)
    else {
        return Err(PayloadTooLong { size });
    };
    let mut header = [0; HEADER_SIZE];
    header[4..8].copy_from_slice(&len.to_le_bytes());
    header[8] = record.kind as u8;
    header[9] = record.source;
    header[10..12].copy_from_slice(&record.flags.0.to_le_bytes());
    header[12..16].copy_from_slice(&MAGIC);
    header[16..24].copy_from_slice(&record.lsn.0.to_le_bytes());
    header[24..32].copy_from_slice(&record.arrival.0.to_le_bytes());
    let start = into.len();
    into.extend_from_slice(&header);
    into.extend_from_slice(record.payload);
    // In one go, where both lie: two of them cost twice the beginning and the end.
    let crc = crc32c::crc32c(&into[start + 4..]);
    into[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    let padding = record_size(size) - HEADER_SIZE - size;
    into.extend_from_slice(&[0; ALIGNMENT][..padding]);
    Ok(())
}

/// Reads the record at the beginning of `bytes`, which may be longer; it takes
/// [`record_size`]`(payload.len())` octets.
pub fn decode_record(bytes: &[u8]) -> Result<Record<'_>, DecodeRecordError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_SIZE>() else {
        return Err(DecodeRecordError::Incomplete { size: HEADER_SIZE });
    };
    let magic = [header[12], header[13], header[14], header[15]];
    if magic != MAGIC {
        return Err(match magic {
            [b'H', b'f', b'T', found] if found > 0 => DecodeRecordError::OtherVersion { found },
            _ => DecodeRecordError::Invalid,
        });
    }
    let kind = Kind::from_u8(header[8]).ok_or(DecodeRecordError::Invalid)?;
    let len = u32_at(header, 4) as usize;
    if len > PAYLOAD_SIZE_MAX {
        return Err(DecodeRecordError::Invalid);
    }
    let size = record_size(len);
    let (Some(payload), true) = (rest.get(..len), bytes.len() >= size) else {
        return Err(DecodeRecordError::Incomplete { size });
    };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[4..]), payload);
    if crc != u32_at(header, 0) {
        return Err(DecodeRecordError::Invalid);
    }
    Ok(Record {
        kind,
        source: header[9],
        flags: Flags(u16::from_le_bytes([header[10], header[11]])),
        lsn: Lsn(u64_at(header, 16)),
        arrival: WallTime(u64_at(header, 24)),
        payload,
    })
}

impl Kind {
    const fn from_u8(octet: u8) -> Option<Self> {
        Some(match octet {
            1 => Self::Header,
            2 => Self::Packet,
            3 => Self::Rtcp,
            4 => Self::Source,
            5 => Self::Mark,
            6 => Self::Counters,
            7 => Self::Pad,
            8 => Self::End,
            9 => Self::Key,
            _ => return None,
        })
    }
}

fn u32_at(header: &[u8; HEADER_SIZE], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

fn u64_at(header: &[u8; HEADER_SIZE], at: usize) -> u64 {
    u64::from(u32_at(header, at)) | u64::from(u32_at(header, at + 4)) << 32
}

const MAGIC: [u8; 4] = [b'H', b'f', b'T', VERSION];

const _: () = assert!(HEADER_SIZE.is_multiple_of(ALIGNMENT));

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: &[u8]) -> Record<'_> {
        Record {
            kind: Kind::Packet,
            source: 3,
            flags: Flags::DECRYPTED,
            lsn: Lsn(7),
            arrival: WallTime(9),
            payload,
        }
    }

    #[test]
    fn every_payload_length_round_trips_on_an_8_octet_boundary() {
        for len in 0..64_u8 {
            let payload: Vec<u8> = (0..len).collect();
            let mut bytes = Vec::new();
            encode_record(&mut bytes, &record(&payload)).unwrap();
            assert_eq!(bytes.len(), record_size(payload.len()));
            assert!(bytes.len().is_multiple_of(8));
            bytes.extend_from_slice(b"what follows");
            assert_eq!(decode_record(&bytes), Ok(record(&payload)));
        }
    }

    #[test]
    fn any_flipped_bit_outside_the_padding_is_noticed() {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, &record(b"payload")).unwrap();
        for bit in 0..(HEADER_SIZE + 7) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_record(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_is_incomplete() {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, &record(b"payload")).unwrap();
        for len in 0..bytes.len() {
            let error = decode_record(&bytes[..len]).unwrap_err();
            assert!(
                matches!(error, DecodeRecordError::Incomplete { .. }),
                "{len}: {error:?}"
            );
        }
    }

    #[test]
    fn another_version_is_told_apart_from_noise() {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, &record(b"payload")).unwrap();
        bytes[15] = 2;
        assert_eq!(
            decode_record(&bytes),
            Err(DecodeRecordError::OtherVersion { found: 2 })
        );
        bytes[12] = 0;
        assert_eq!(decode_record(&bytes), Err(DecodeRecordError::Invalid));
    }

    #[test]
    fn a_payload_beyond_the_limit_is_refused() {
        let long = vec![0; PAYLOAD_SIZE_MAX + 1];
        let mut bytes = Vec::new();
        let size = long.len();
        assert_eq!(
            encode_record(&mut bytes, &record(&long)),
            Err(PayloadTooLong { size })
        );
        assert!(bytes.is_empty());
        encode_record(&mut bytes, &record(&long[1..])).unwrap();
        assert_eq!(
            decode_record(&bytes).unwrap().payload.len(),
            PAYLOAD_SIZE_MAX
        );
    }
}
