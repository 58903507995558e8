//! Reads a track of any length with a bounded buffer, past whatever is damaged in it.
//!
//! Damage costs the records it hit and nothing else: the reader looks for the next intact record
//! on the next 8-octet boundary, and says where and how much it passed over. [`recover`] finds how
//! much of a file is good after a crash.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;

use holdfast_units::WallTime;

use crate::format::{
    ALIGNMENT, DecodeRecordError, Flags, HEADER_SIZE, Kind, Lsn, Record, decode_record, record_size,
};
use crate::limits::{DAMAGE_LISTED_MAX, READ_BUFFER_FIRST, READ_BUFFER_SIZE};
use crate::payload::{CodecEntry, Counters, SourceAddresses, StreamHeader, TrackMark};

/// Why a track could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadTrackError {
    /// The operator must upgrade.
    #[error("track format {found}, this build reads {}", crate::format::VERSION)]
    OtherVersion {
        /// What the file says.
        found: u8,
    },
    /// The disk.
    #[error("reading the track")]
    Read(#[from] io::Error),
}

/// What is wrong with a place in a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The file ends inside a record.
    Torn,
    /// Octets in the middle are no records.
    Corrupt,
    /// An intact record has a lower log sequence number than the one before it, and was left out.
    LsnFell,
    /// An intact record stands behind the end of the track, of an earlier content of the file, and
    /// was left out.
    BehindEnd,
}

/// A damaged place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins in the file.
    pub offset: u64,
    /// How many octets were passed over.
    pub bytes: u64,
    /// What is wrong.
    pub kind: DamageKind,
}

/// Hands out the records of a track in the file's order.
pub struct RecordReader<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of the buffer was read and not yet handed out.
    held: Range<usize>,
    /// Offset in the file of `held.start`.
    offset: u64,
    input_ended: bool,
    current: Option<Current>,
    last_lsn: Lsn,
    has_ended: bool,
    damage: Vec<Damage>,
    damage_count: u64,
}

/// The record handed out, its payload as a range of the buffer.
struct Current {
    kind: Kind,
    source: u8,
    flags: Flags,
    lsn: Lsn,
    arrival: WallTime,
    payload: Range<usize>,
    offset: u64,
}

impl<R: Read> RecordReader<R> {
    /// Reads from the beginning of a track.
    pub fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            held: 0..0,
            offset: 0,
            input_ended: false,
            current: None,
            last_lsn: Lsn(0),
            has_ended: false,
            damage: Vec::new(),
            damage_count: 0,
        }
    }

    /// Goes to the next intact record; `false` at the end of the track.
    pub fn advance(&mut self) -> Result<bool, ReadTrackError> {
        self.current = None;
        let mut damage_from = None;
        loop {
            match decode_record(&self.buffer[self.held.clone()]) {
                Ok(record) => {
                    let (payload_size, lsn) = (record.payload.len(), record.lsn);
                    let payload = self.held.start + HEADER_SIZE;
                    let current = Current {
                        kind: record.kind,
                        source: record.source,
                        flags: record.flags,
                        lsn,
                        arrival: record.arrival,
                        payload: payload..payload + payload_size,
                        offset: self.offset,
                    };
                    self.note(damage_from.take(), DamageKind::Corrupt);
                    let begins = self.offset;
                    self.pass(record_size(payload_size));
                    if lsn < self.last_lsn {
                        self.note(Some(begins), DamageKind::LsnFell);
                        continue;
                    }
                    if self.has_ended {
                        self.note(Some(begins), DamageKind::BehindEnd);
                        continue;
                    }
                    self.has_ended = current.kind == Kind::End;
                    self.last_lsn = lsn;
                    self.current = Some(current);
                    return Ok(true);
                }
                Err(DecodeRecordError::Incomplete { size }) if !self.input_ended => {
                    self.fill(size)?;
                }
                // A length that was hit by damage asks for more than there is: look on after it.
                Err(DecodeRecordError::Incomplete { .. }) if self.held.is_empty() => {
                    self.note(damage_from, DamageKind::Torn);
                    return Ok(false);
                }
                Err(DecodeRecordError::OtherVersion { found }) if self.offset == 0 => {
                    return Err(ReadTrackError::OtherVersion { found });
                }
                Err(
                    DecodeRecordError::Incomplete { .. }
                    | DecodeRecordError::OtherVersion { .. }
                    | DecodeRecordError::Invalid,
                ) => {
                    damage_from = damage_from.or(Some(self.offset));
                    self.pass(ALIGNMENT.min(self.held.len()));
                }
            }
        }
    }

    /// The record that [`RecordReader::advance`] went to.
    pub fn record(&self) -> Option<Record<'_>> {
        let current = self.current.as_ref()?;
        Some(Record {
            kind: current.kind,
            source: current.source,
            flags: current.flags,
            lsn: current.lsn,
            arrival: current.arrival,
            payload: self.buffer.get(current.payload.clone())?,
        })
    }

    /// Goes to the next intact record and hands it out.
    #[expect(
        clippy::should_implement_trait,
        reason = "the record borrows from the reader"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, ReadTrackError> {
        Ok(if self.advance()? { self.record() } else { None })
    }

    /// Where the current record begins in the file.
    pub fn record_offset(&self) -> Option<u64> {
        self.current.as_ref().map(|current| current.offset)
    }

    /// How much of the file was read: the end of the current record, then the end of the file.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The damaged places so far, at most [`DAMAGE_LISTED_MAX`] of them.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// How many damaged places there were so far.
    pub const fn damage_count(&self) -> u64 {
        self.damage_count
    }

    fn pass(&mut self, len: usize) {
        self.held.start += len;
        self.offset += len as u64;
    }

    fn note(&mut self, from: Option<u64>, kind: DamageKind) {
        let Some(offset) = from else { return };
        self.damage_count += 1;
        if self.damage.len() < DAMAGE_LISTED_MAX {
            self.damage.push(Damage {
                offset,
                bytes: self.offset - offset,
                kind,
            });
        }
    }

    /// Reads until `size` octets are held or the input has ended.
    fn fill(&mut self, size: usize) -> io::Result<()> {
        let wanted = if size <= READ_BUFFER_FIRST / 2 {
            READ_BUFFER_FIRST
        } else {
            READ_BUFFER_SIZE
        };
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        // Moving little and rarely, and never asking the input for the last few octets only.
        if self.held.start + size.max(self.buffer.len() / 2) > self.buffer.len() {
            self.buffer.copy_within(self.held.clone(), 0);
            self.held = 0..self.held.len();
        }
        while self.held.len() < size && !self.input_ended {
            match self.input.read(&mut self.buffer[self.held.end..]) {
                Ok(0) => self.input_ended = true,
                Ok(len) => self.held.end += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What a track file says about how to go on with it after a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Length to cut the file to: the end of its last good record.
    pub valid_len: u64,
    /// Log sequence number of that record: only what is above it need be appended again.
    pub last_lsn: Option<Lsn>,
    /// Arrival of that record.
    pub last_arrival: Option<WallTime>,
    /// Who the stream is.
    pub header: Option<StreamHeader>,
    /// The last counters that were written.
    pub counters: Option<Counters>,
    /// The addresses that are known, by their number.
    pub sources: BTreeMap<u8, SourceAddresses>,
    /// The last codec map that was written.
    pub codecs: Option<Vec<CodecEntry>>,
    /// Whether the stream is paused.
    pub paused: bool,
    /// Whether the track was completed.
    pub ended: bool,
    /// Good records.
    pub records: u64,
    /// Packets among them.
    pub packets: u64,
    /// What is damaged, the torn tail included.
    pub damage: Vec<Damage>,
}

/// Finds how much of a track is good after a crash.
///
/// `safe_below` is the checkpoint of the journal: all records below it were synced to the track,
/// and the journal still has all others. So damage that is followed by a record below it is an old
/// wound, which is reported and left; damage that is not may be a hole that a lost write left, and
/// the file is cut there, since the journal brings back what followed. Without a journal
/// `Lsn(u64::MAX)` keeps every record that is intact.
pub fn recover(input: impl Read, safe_below: Lsn) -> Result<Tail, ReadTrackError> {
    let mut reader = RecordReader::new(input);
    let mut tail = Tail::default();
    while reader.advance()? {
        let Some(record) = reader.record() else { break };
        let hole = reader
            .record_offset()
            .is_some_and(|begins| begins > tail.valid_len);
        if hole && record.lsn >= safe_below {
            break;
        }
        tail.take(&record);
        tail.valid_len = reader.offset();
    }
    tail.damage = reader.damage().to_vec();
    Ok(tail)
}

impl Tail {
    fn take(&mut self, record: &Record<'_>) {
        self.records += 1;
        self.last_lsn = Some(record.lsn);
        self.last_arrival = Some(record.arrival);
        match record.kind {
            Kind::Header => self.header = StreamHeader::decode(record.payload).ok(),
            Kind::Packet => self.packets += 1,
            Kind::Source => {
                if let Ok(addresses) = SourceAddresses::decode(record.payload) {
                    self.sources.insert(record.source, addresses);
                }
            }
            Kind::Mark => match TrackMark::decode(record.payload) {
                Ok(TrackMark::Pause) => self.paused = true,
                Ok(TrackMark::Resume) => self.paused = false,
                Ok(TrackMark::Codecs(codecs)) => self.codecs = Some(codecs),
                Ok(_) | Err(_) => {}
            },
            Kind::Counters => {
                self.counters = Counters::decode(record.payload)
                    .ok()
                    .or(self.counters.take());
            }
            Kind::End => self.ended = true,
            Kind::Rtcp | Kind::Pad | Kind::Key => {}
        }
    }
}
