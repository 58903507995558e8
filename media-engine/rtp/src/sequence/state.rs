//! What a [`super::SequenceTracker`] knows, as plain data and as bytes that outlive a process.
//!
//! ```text
//!   0         1       2              4           8                   136      392
//!   | version | flags | suspect next | zero      | 16 words of u64   | window |   little-endian
//! ```
//!
//! Bit 0 of the flags says that a suspect is waiting. The words are those of
//! [`TrackerState::words`], the window is the duplicate bitmap.

use super::WINDOW_WORDS;
use crate::number::{ExtSeq, WireSeq};

/// What is needed to go on with a source in another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerState {
    pub(super) first: ExtSeq,
    pub(super) highest: ExtSeq,
    /// The cycle in which the present numbering began, which reports count from.
    pub(super) first_cycle: u64,
    /// What would follow the last packet that was far off (`bad_seq` of A.1).
    pub(super) suspect_next: Option<WireSeq>,
    /// Packets since the numbering began, duplicates included.
    pub(super) received: u64,
    pub(super) duplicates: u64,
    pub(super) expected_prior: u64,
    pub(super) received_prior: u64,
    pub(super) earlier_received: u64,
    pub(super) earlier_expected: u64,
    pub(super) earlier_lost: u64,
    pub(super) earlier_duplicates: u64,
    pub(super) late: u64,
    pub(super) strays: u64,
    pub(super) restarts: u64,
    /// Times 16, as in A.8.
    pub(super) jitter: u32,
    pub(super) jitter_max: u32,
    /// Which of the last numbers were received, by number modulo the window.
    pub(super) seen: [u64; WINDOW_WORDS],
}

/// Why bytes are no tracker state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The disk's: cut off.
    #[error("the state of a source is cut off")]
    TooShort,
    /// The operator's: written by a newer build.
    #[error("the state of a source has version {found}, this build reads {VERSION}")]
    Version {
        /// The version it has.
        found: u8,
    },
    /// The disk's: numbers that can't be.
    #[error("the state of a source contradicts itself")]
    Invalid,
}

/// Version of the encoding.
pub const VERSION: u8 = 1;

impl TrackerState {
    /// Octets of the encoding.
    pub const SIZE: usize = HEAD_BYTES + 8 * WORDS + 8 * WINDOW_WORDS;

    /// A source whose first packet has just been received.
    pub(super) const fn begin(first: ExtSeq) -> Self {
        Self {
            first,
            highest: first,
            first_cycle: first.value() >> 16,
            suspect_next: None,
            received: 1,
            duplicates: 0,
            expected_prior: 0,
            received_prior: 0,
            earlier_received: 0,
            earlier_expected: 0,
            earlier_lost: 0,
            earlier_duplicates: 0,
            late: 0,
            strays: 0,
            restarts: 0,
            jitter: 0,
            jitter_max: 0,
            seen: [0; WINDOW_WORDS],
        }
    }

    /// Appends the encoding.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let start = into.len();
        let suspect = self.suspect_next.map_or(0, |next| next.0);
        into.extend([VERSION, u8::from(self.suspect_next.is_some())]);
        into.extend(suspect.to_le_bytes());
        into.extend([0; 4]);
        for word in self.words().iter().chain(&self.seen) {
            into.extend(word.to_le_bytes());
        }
        assert_eq!(into.len() - start, Self::SIZE);
    }

    /// Reads an encoding from the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let head = bytes
            .first_chunk::<HEAD_BYTES>()
            .ok_or(StateError::TooShort)?;
        if head[0] != VERSION {
            return Err(StateError::Version { found: head[0] });
        }
        let body = bytes
            .get(HEAD_BYTES..Self::SIZE)
            .ok_or(StateError::TooShort)?;
        let mut words = [0; WORDS + WINDOW_WORDS];
        for (word, octets) in words.iter_mut().zip(body.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*octets);
        }
        let (counters, seen) = words
            .split_first_chunk::<WORDS>()
            .ok_or(StateError::TooShort)?;
        let suspect = WireSeq(u16::from_le_bytes([head[2], head[3]]));
        let suspect_next = (head[1] & 1 != 0).then_some(suspect);
        let mut state = Self {
            suspect_next,
            ..Self::from_words(counters)
        };
        state.seen.copy_from_slice(seen);
        if state.first > state.highest
            || state.highest.value() > NUMBER_MAX
            || state.jitter.max(state.jitter_max) > JITTER_MAX
        {
            return Err(StateError::Invalid);
        }
        Ok(state)
    }

    const fn words(&self) -> [u64; WORDS] {
        [
            self.first.value(),
            self.highest.value(),
            self.first_cycle,
            self.received,
            self.duplicates,
            self.expected_prior,
            self.received_prior,
            self.earlier_received,
            self.earlier_expected,
            self.earlier_lost,
            self.earlier_duplicates,
            self.late,
            self.strays,
            self.restarts,
            self.jitter as u64,
            self.jitter_max as u64,
        ]
    }

    const fn from_words(words: &[u64; WORDS]) -> Self {
        let [
            first,
            highest,
            first_cycle,
            received,
            duplicates,
            expected_prior,
            rest @ ..,
        ] = *words;
        let [
            received_prior,
            earlier_received,
            earlier_expected,
            earlier_lost,
            rest @ ..,
        ] = rest;
        let [
            earlier_duplicates,
            late,
            strays,
            restarts,
            jitter,
            jitter_max,
        ] = rest;
        Self {
            first: ExtSeq::new(first),
            highest: ExtSeq::new(highest),
            first_cycle,
            suspect_next: None,
            received,
            duplicates,
            expected_prior,
            received_prior,
            earlier_received,
            earlier_expected,
            earlier_lost,
            earlier_duplicates,
            late,
            strays,
            restarts,
            // Too large ones stay too large, and are refused.
            jitter: if jitter > JITTER_MAX as u64 {
                u32::MAX
            } else {
                jitter as u32
            },
            jitter_max: if jitter_max > JITTER_MAX as u64 {
                u32::MAX
            } else {
                jitter_max as u32
            },
            seen: [0; WINDOW_WORDS],
        }
    }
}

const HEAD_BYTES: usize = 8;
const WORDS: usize = 16;
/// No call lasts for 2^48 packets.
const NUMBER_MAX: u64 = 1 << 48;
/// See the bound at [`super::SequenceTracker`]: a scaled jitter is below it.
pub(super) const JITTER_MAX: u32 =
    17 * crate::limits::JITTER_SECONDS_MAX * crate::limits::CLOCK_RATE_MAX;
