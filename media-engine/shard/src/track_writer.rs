//! The end of one track file: records go in, pieces for the disk come out.
//!
//! A piece is ordered when enough has gathered, at a length that differs from stream to stream so
//! that thousands of them do not come due in the same moment. Pieces are written in order of their
//! offsets; one that could not be written is kept and ordered again.

use std::collections::VecDeque;

use holdfast_prefetch::prefetch_end;
use holdfast_track::{Record, encode_record};
use holdfast_units::StreamId;

use crate::limits::{TRACK_PIECE_ROOM, TRACK_PIECE_SIZE};

/// The end of one track file.
#[derive(Debug)]
pub struct TrackWriter {
    /// Not yet ordered.
    gathered: Vec<u8>,
    /// Octets of the file up to the gathered ones.
    ordered_size: u64,
    piece_size: usize,
    in_flight: usize,
    failed: VecDeque<Piece>,
}

/// A piece of a track for the disk.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where in the file.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// Octets of the record of a usual packet: 20 ms of G.711.
const RECORD_SIZE_USUAL: usize = 208;

impl TrackWriter {
    /// Goes on at the end of a file of this size.
    pub fn new(stream: StreamId, size: u64) -> Self {
        // Fibonacci hashing spreads consecutive numbers evenly.
        let spread = (stream.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        let first_piece = TRACK_PIECE_SIZE / 4 + spread % (TRACK_PIECE_SIZE * 3 / 4);
        Self {
            gathered: Vec::new(),
            ordered_size: size,
            piece_size: first_piece,
            in_flight: 0,
            failed: VecDeque::new(),
        }
    }

    /// Appends a record. Records longer than a track takes do not come from a journal.
    pub fn append(&mut self, record: &Record<'_>) {
        if self.gathered.capacity() == 0 {
            // Growing step by step would copy everything some ten times.
            self.gathered.reserve_exact(TRACK_PIECE_ROOM);
        }
        encode_record(&mut self.gathered, record).expect("a journal's record fits into a track's");
    }

    /// Asks the memory for where the next record goes.
    pub fn prefetch(&self) {
        prefetch_end(&self.gathered, RECORD_SIZE_USUAL);
    }

    /// Octets of the file when all that was appended is written.
    pub fn size(&self) -> u64 {
        self.ordered_size + self.gathered.len() as u64
    }

    /// Whether enough has gathered for a piece.
    pub fn is_due(&self) -> bool {
        self.gathered.len() >= self.piece_size
    }

    /// Whether nothing has gathered.
    pub fn is_empty(&self) -> bool {
        self.gathered.is_empty()
    }

    /// Whether everything that was appended is written.
    pub fn is_clean(&self) -> bool {
        self.gathered.is_empty() && self.in_flight == 0 && self.failed.is_empty()
    }

    /// Takes what has gathered, which the caller orders to be written; `spare` is gathered into
    /// next.
    pub fn take(&mut self, spare: Vec<u8>) -> Option<Piece> {
        if self.gathered.is_empty() {
            return None;
        }
        let bytes = std::mem::replace(&mut self.gathered, spare);
        let piece = Piece {
            offset: self.ordered_size,
            bytes,
        };
        self.ordered_size += piece.bytes.len() as u64;
        self.piece_size = TRACK_PIECE_SIZE;
        self.in_flight += 1;
        Some(piece)
    }

    /// A piece has been written.
    pub fn handle_written(&mut self) {
        self.in_flight -= 1;
    }

    /// A piece could not be written; [`Self::take_failed`] gives it again.
    pub fn handle_failed(&mut self, piece: Piece) {
        self.in_flight -= 1;
        self.failed.push_back(piece);
    }

    /// A piece to be ordered once more.
    pub fn take_failed(&mut self) -> Option<Piece> {
        let piece = self.failed.pop_front()?;
        self.in_flight += 1;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_track::{Flags, Kind, Lsn};
    use holdfast_units::WallTime;

    use super::*;

    fn record(payload: &[u8]) -> Record<'_> {
        let arrival = WallTime(1);
        Record {
            kind: Kind::Packet,
            source: 0,
            flags: Flags::NONE,
            lsn: Lsn(1),
            arrival,
            payload,
        }
    }

    #[test]
    fn pieces_follow_each_other_without_gap_or_overlap() {
        let mut track = TrackWriter::new(StreamId(1), 100);
        let mut next = 100;
        for _ in 0..1_000 {
            track.append(&record(&[0; 172]));
            if track.is_due() {
                let piece = track.take(Vec::new()).unwrap();
                assert_eq!(piece.offset, next);
                next += piece.bytes.len() as u64;
                track.handle_written();
            }
        }
        let rest = track.take(Vec::new()).unwrap();
        assert_eq!(rest.offset, next);
        assert_eq!(track.size(), next + rest.bytes.len() as u64);
        assert!(!track.is_clean());
        track.handle_written();
        assert!(track.is_clean());
    }

    #[test]
    fn a_failed_piece_comes_again_unchanged() {
        let mut track = TrackWriter::new(StreamId(1), 0);
        track.append(&record(&[7; 20]));
        let piece = track.take(Vec::new()).unwrap();
        let copy = Piece {
            offset: piece.offset,
            bytes: piece.bytes.clone(),
        };
        track.handle_failed(piece);
        assert!(!track.is_clean());
        assert_eq!(track.take_failed(), Some(copy));
        track.handle_written();
        assert!(track.is_clean());
    }

    #[test]
    fn first_pieces_of_consecutive_streams_come_due_at_different_lengths() {
        let sizes: std::collections::BTreeSet<usize> = (0..100)
            .map(|id| TrackWriter::new(StreamId(id), 0).piece_size / 256)
            .collect();
        assert!(sizes.len() > 30, "{sizes:?}");
    }
}
