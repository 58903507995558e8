//! The SSRCs of one stream: which there are, which one is current, who came and went.
//!
//! A sender may change its SSRC at any time, and several may send on one m-line (RFC 3550 §8,
//! RFC 8108). Each has sequence numbers of its own; none is ever counted into another's. The table
//! is small and bounded: whoever has been silent for longest makes room, its statistics stay in
//! the totals.

use holdfast_prefetch::prefetch_whole;
use holdfast_units::MonoTime;

use crate::codec::Codec;
use crate::limits;
use crate::number::{ExtSeq, Ssrc};
use crate::packet::RtpPacket;
use crate::sequence::{SequenceTracker, Sequenced, StateError, Statistics, TrackerState};

/// The SSRCs of one stream.
#[derive(Debug, Default)]
pub struct SourceTable {
    sources: Vec<Source>,
    current: usize,
    /// What those counted that had to make room.
    departed: Statistics,
}

/// One SSRC.
#[derive(Debug)]
pub struct Source {
    ssrc: Ssrc,
    tracker: SequenceTracker,
    heard_at: MonoTime,
    /// Two packets fit one sequence: no stray with a damaged SSRC.
    confirmed: bool,
    /// It has said BYE and sent nothing since.
    left: bool,
}

/// What a packet did to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What its sequence number means.
    pub sequenced: Sequenced,
    /// It is the first of its SSRC.
    pub appeared: bool,
    /// An SSRC that had to make room.
    pub evicted: Option<Ssrc>,
    /// Another SSRC is the current one from now on.
    pub current: Option<CurrentChange>,
}

/// Another SSRC has become the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentChange {
    /// The one before; none at the start of the stream.
    pub from: Option<Ssrc>,
    /// The one from now on.
    pub to: Ssrc,
}

impl SourceTable {
    /// A table in which nobody is.
    pub fn new() -> Self {
        // Nearly every stream has one SSRC, or two after a transfer.
        Self {
            sources: Vec::with_capacity(2),
            current: 0,
            departed: Statistics::default(),
        }
    }

    /// Takes an accepted packet.
    pub fn observe(&mut self, now: MonoTime, packet: &RtpPacket<'_>, codec: &Codec) -> Observed {
        let ssrc = packet.ssrc();
        let clock = codec.jitter_clock();
        let Some(index) = self.position(ssrc) else {
            return self.appear(now, packet, codec);
        };
        let source = &mut self.sources[index];
        let sequenced = source
            .tracker
            .update(now, packet.sequence(), packet.timestamp(), clock);
        source.confirmed |= match sequenced {
            Sequenced::Fresh { .. } | Sequenced::Late { .. } | Sequenced::Restart { .. } => true,
            Sequenced::Duplicate { .. } | Sequenced::Suspect { .. } => false,
        };
        source.heard_at = now;
        source.left = false;
        let current = if index == self.current {
            None
        } else {
            self.consider(now, index)
        };
        Observed {
            sequenced,
            appeared: false,
            evicted: None,
            current,
        }
    }

    /// Asks the memory for what [`Self::observe`] will need of the current source.
    pub fn prefetch(&self) {
        self.sources
            .get(self.current)
            .inspect(|it| prefetch_whole(*it));
    }

    /// The source has said BYE (RFC 3550 §6.3.4). That ends it, not the stream.
    pub fn handle_bye(&mut self, ssrc: Ssrc) {
        if let Some(index) = self.position(ssrc) {
            self.sources[index].left = true;
        }
    }

    /// The SSRC that is the stream's voice now.
    pub fn current(&self) -> Option<&Source> {
        self.sources.get(self.current)
    }

    /// One SSRC.
    pub fn source(&self, ssrc: Ssrc) -> Option<&Source> {
        self.sources.get(self.position(ssrc)?)
    }

    /// All SSRCs, in the order of their first packets.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// All SSRCs, to report on them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.sources.iter_mut()
    }

    /// What all SSRCs together counted, those included that are gone. The jitter is that of the
    /// current one.
    pub fn totals(&self) -> Statistics {
        let sum = self.sources.iter().fold(self.departed, |sum, source| {
            sum_of(sum, source.tracker.statistics())
        });
        let jitter = self
            .current()
            .map_or(0, |source| source.statistics().jitter);
        Statistics {
            jitter,
            highest: None,
            ..sum
        }
    }

    /// Appends what the next process needs to go on with all sources.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let departed = &self.departed;
        into.extend([
            STATE_VERSION,
            self.sources.len() as u8,
            self.current as u8,
            0,
        ]);
        for counter in [
            departed.received,
            departed.expected,
            departed.lost,
            departed.duplicates,
            departed.late,
            departed.strays,
            departed.restarts,
            u64::from(departed.jitter_max),
        ] {
            into.extend(counter.to_le_bytes());
        }
        for source in &self.sources {
            into.extend(source.ssrc.0.to_le_bytes());
            into.extend([u8::from(source.confirmed), u8::from(source.left), 0, 0]);
            source.tracker.state().encode(into);
        }
    }

    /// Reads what [`SourceTable::encode`] wrote. All sources count as heard at `now`.
    pub fn decode(now: MonoTime, bytes: &[u8]) -> Result<Self, StateError> {
        let (head, rest) = bytes.split_first_chunk::<4>().ok_or(StateError::TooShort)?;
        let [version, count, current, _] = *head;
        if version != STATE_VERSION {
            return Err(StateError::Version { found: version });
        }
        let (counters, mut rest) = rest
            .split_first_chunk::<DEPARTED_BYTES>()
            .ok_or(StateError::TooShort)?;
        let mut words = [0; DEPARTED_BYTES / 8];
        for (word, octets) in words.iter_mut().zip(counters.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*octets);
        }
        let [
            received,
            expected,
            lost,
            duplicates,
            late,
            strays,
            restarts,
            jitter_max,
        ] = words;
        let (count, current) = (usize::from(count), usize::from(current));
        if count > limits::SOURCES_MAX || (current >= count && count + current > 0) {
            return Err(StateError::Invalid);
        }
        let jitter_max = u32::try_from(jitter_max).map_err(|_| StateError::Invalid)?;
        let departed = Statistics {
            received,
            expected,
            lost,
            duplicates,
            late,
            strays,
            restarts,
            jitter_max,
            ..Statistics::default()
        };
        let mut table = Self {
            current,
            departed,
            ..Self::new()
        };
        for _ in 0..count {
            let (one, after) = rest
                .split_at_checked(SOURCE_BYTES)
                .ok_or(StateError::TooShort)?;
            rest = after;
            table.sources.push(Source::decode(now, one)?);
        }
        Ok(table)
    }

    fn position(&self, ssrc: Ssrc) -> Option<usize> {
        // The current one nearly always.
        if self
            .sources
            .get(self.current)
            .is_some_and(|source| source.ssrc == ssrc)
        {
            return Some(self.current);
        }
        self.sources.iter().position(|source| source.ssrc == ssrc)
    }

    #[cold]
    fn appear(&mut self, now: MonoTime, packet: &RtpPacket<'_>, codec: &Codec) -> Observed {
        let evicted = self.make_room();
        let ssrc = packet.ssrc();
        let tracker = SequenceTracker::begin(
            now,
            packet.sequence(),
            packet.timestamp(),
            codec.jitter_clock(),
        );
        let ext_seq = tracker.highest();
        self.sources.push(Source {
            ssrc,
            tracker,
            heard_at: now,
            confirmed: false,
            left: false,
        });
        let alone = self.sources.len() == 1;
        Observed {
            sequenced: Sequenced::Fresh { ext_seq },
            appeared: true,
            evicted,
            current: alone.then_some(CurrentChange {
                from: None,
                to: ssrc,
            }),
        }
    }

    /// Drops one source if the table is full: first those that were never confirmed, then whoever
    /// was heard longest ago, but never the current one.
    fn make_room(&mut self) -> Option<Ssrc> {
        if self.sources.len() < limits::SOURCES_MAX {
            return None;
        }
        let others = self
            .sources
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != self.current);
        let (index, _) = others.min_by_key(|(_, source)| (source.confirmed, source.heard_at))?;
        let gone = self.sources.remove(index);
        if index < self.current {
            self.current -= 1;
        }
        self.departed = sum_of(self.departed, gone.tracker.statistics());
        Some(gone.ssrc)
    }

    /// Makes the source current whose packet has just come, unless it is a stray or the current
    /// one still speaks: then both do, and the first one stays.
    fn consider(&mut self, now: MonoTime, index: usize) -> Option<CurrentChange> {
        let challenger = self.sources.get(index).filter(|source| source.confirmed)?;
        let current = self.sources.get(self.current)?;
        let speaks = now.since(current.heard_at) < limits::SWITCH_AFTER;
        if speaks && current.confirmed && !current.left {
            return None;
        }
        let change = CurrentChange {
            from: Some(current.ssrc),
            to: challenger.ssrc,
        };
        self.current = index;
        Some(change)
    }
}

impl Source {
    /// Its SSRC.
    pub const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// When its last packet came.
    pub const fn heard_at(&self) -> MonoTime {
        self.heard_at
    }

    /// Whether two of its packets fit one sequence.
    pub const fn confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether it has said BYE and sent nothing since.
    pub const fn left(&self) -> bool {
        self.left
    }

    /// The number of its highest packet.
    pub const fn highest(&self) -> ExtSeq {
        self.tracker.highest()
    }

    /// What was received of it.
    pub fn statistics(&self) -> Statistics {
        self.tracker.statistics()
    }

    pub(crate) fn tracker_mut(&mut self) -> &mut SequenceTracker {
        &mut self.tracker
    }

    fn decode(now: MonoTime, bytes: &[u8]) -> Result<Self, StateError> {
        let (head, state) = bytes.split_first_chunk::<8>().ok_or(StateError::TooShort)?;
        Ok(Self {
            ssrc: Ssrc(u32::from_le_bytes([head[0], head[1], head[2], head[3]])),
            tracker: SequenceTracker::resume(TrackerState::decode(state)?),
            heard_at: now,
            confirmed: head[4] != 0,
            left: head[5] != 0,
        })
    }
}

fn sum_of(a: Statistics, b: Statistics) -> Statistics {
    Statistics {
        received: a.received.saturating_add(b.received),
        expected: a.expected.saturating_add(b.expected),
        lost: a.lost.saturating_add(b.lost),
        duplicates: a.duplicates.saturating_add(b.duplicates),
        late: a.late.saturating_add(b.late),
        strays: a.strays.saturating_add(b.strays),
        restarts: a.restarts.saturating_add(b.restarts),
        jitter: 0,
        jitter_max: a.jitter_max.max(b.jitter_max),
        highest: None,
    }
}

/// Version of the encoding: 4 octets of head, the departed, then each source as SSRC, flags, state.
const STATE_VERSION: u8 = 1;
const DEPARTED_BYTES: usize = 8 * 8;
const SOURCE_BYTES: usize = 8 + TrackerState::SIZE;
// What a stream keeps here, with one SSRC: small, so that thousands fit the cache.
const _: () = assert!(
    size_of::<crate::guard::Guard>()
        + size_of::<crate::codec::PayloadMap>()
        + size_of::<SourceTable>()
        + size_of::<Source>()
        + size_of::<crate::rtcp::RtcpSession>()
        <= 1_536
);

#[cfg(test)]
mod tests;
