//! The receiving side of one stream: which key, which roll-over counter, was it there before.
//!
//! A *context* is a source under the keys of one offer. Each has a replay window of its own, so that
//! packets under the keys before and after a rekeying may overtake one another; the first packet
//! of a source under new keys is looked for where the source was (RFC 3711 §3.3.1: the counter is
//! not reset), and at 0 too, for senders that begin anew.
//!
//! What a sender's roll-over counter is, is not signalled. It is guessed from the sequence number
//! (RFC 3711 §3.3.1), and the tag decides: if it is not right, the neighbours are tried, and where a
//! source was silent for long or has begun before we heard of it, many more. Contexts begin with the
//! first packet that authenticates (RFC 4568 §6.4.1).

use holdfast_prefetch::prefetch_whole;
use holdfast_units::WallTime;

use crate::limits::{OLD_KEYS_NS, ROLLOVERS_MAX, SEARCH_AFTER_NS, SEARCH_EVERY, SOURCES_MAX};
use crate::master::{MasterKey, PeerKey};
use crate::replay::{STATE_SIZE as WINDOW_SIZE, Window};
use crate::rtp::{Protected, RtpTransform};
use crate::transform::SrtpError;

/// The receiving side of one stream.
#[derive(Debug)]
pub struct Receiver {
    contexts: Vec<Context>,
    /// Those of the offer in force, then those of the one before it.
    keys: Vec<Key>,
    /// Of the offer in force; wraps.
    generation: u8,
    /// When a key of the offer before was used last.
    old_heard_at: WallTime,
    /// Since when nothing authenticates, while that is so.
    failing_since: Option<WallTime>,
    /// Where the packet belongs that was taken last.
    last: Option<Place>,
    counts: ReceiverCounts,
}

/// What became of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverCounts {
    /// Authenticated, and there for the first time.
    pub taken: u64,
    /// Not authentic under any key and counter.
    pub failed: u64,
    /// With the name of a key that was not agreed on.
    pub unknown_mki: u64,
    /// There before, or so old that it is not known.
    pub replayed: u64,
    /// Beyond the lifetime of their key.
    pub expired: u64,
    /// First packets of a source whose counter was not where it was expected.
    pub found_by_search: u64,
}

impl ReceiverCounts {
    const SIZE: usize = 6 * 8;

    fn words(&self) -> [u64; 6] {
        [
            self.taken,
            self.failed,
            self.unknown_mki,
            self.replayed,
            self.expired,
            self.found_by_search,
        ]
    }
}

/// What a packet was protected with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Who sent it.
    pub ssrc: u32,
    /// Which key: those of the offer in force come first, in its order, then those of the one before.
    pub key: usize,
    /// Its roll-over counter.
    pub roc: u32,
}

/// Octets that are no state of a receiver with these keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state of a stream's encryption does not read")]
pub struct StateError;

#[derive(Debug)]
struct Key {
    transform: RtpTransform,
    /// To tell whether an offer has new keys.
    master: MasterKey,
    lifetime: u64,
    used: u64,
    generation: u8,
}

#[derive(Debug)]
struct Context {
    ssrc: u32,
    generation: u8,
    /// Which key was used last.
    key: u8,
    heard_at: WallTime,
    window: Window,
}

/// Where a packet was found to belong.
struct Found {
    key: usize,
    /// `None`: the first of its source under these keys.
    context: Option<usize>,
    index: u64,
    by_search: bool,
}

impl Receiver {
    /// A receiver that has heard nobody yet. There is at least one key.
    pub fn new(keys: Vec<PeerKey>) -> Self {
        let mut receiver = Self {
            contexts: Vec::new(),
            keys: Vec::new(),
            generation: 0,
            old_heard_at: WallTime(0),
            failing_since: None,
            last: None,
            counts: ReceiverCounts::default(),
        };
        receiver.put_first(keys);
        receiver
    }

    /// A new offer is in force. Where it has the keys of the one before, nothing changes; else those
    /// are kept beside the new ones for as long as they are used. Answers whether it has new ones.
    pub fn rekey(&mut self, now: WallTime, keys: Vec<PeerKey>) -> bool {
        let current = || {
            self.keys
                .iter()
                .filter(|it| it.generation == self.generation)
        };
        let is_same = current().count() == keys.len()
            && current().zip(&keys).all(|(known, key)| {
                known.master.is(&key.master) && known.transform.has_mki(&key.mki)
            });
        if is_same {
            return false;
        }
        let former = self.generation;
        self.generation = former.wrapping_add(1);
        self.forget_all_but(former);
        self.old_heard_at = now;
        self.failing_since = None;
        self.put_first(keys);
        true
    }

    fn put_first(&mut self, keys: Vec<PeerKey>) {
        let generation = self.generation;
        let new = keys.into_iter().map(|key| Key {
            transform: RtpTransform::new(&key.master, key.mki),
            master: key.master,
            lifetime: key.lifetime,
            used: 0,
            generation,
        });
        let count = new.len() as u8;
        self.keys.splice(0..0, new);
        for context in &mut self.contexts {
            context.key = context.key.saturating_add(count);
        }
    }

    fn forget_all_but(&mut self, generation: u8) {
        self.keys.retain(|key| key.generation == generation);
        self.contexts.retain(|it| it.generation == generation);
        for context in &mut self.contexts {
            // Only a hint; those that are left begin at the front.
            context.key = 0;
        }
    }

    /// Authenticates and decrypts a packet; `out` gets it. The time is that of its arrival.
    ///
    /// # Errors
    ///
    /// It is not taken, and counted.
    pub fn unprotect(
        &mut self,
        now: WallTime,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SrtpError> {
        let taken = self
            .find(now, bytes, out)
            .and_then(|(ssrc, found)| self.take(now, ssrc, &found));
        let counts = &mut self.counts;
        match taken {
            Ok(()) => {
                counts.taken += 1;
                self.failing_since = None;
            }
            Err(SrtpError::Replay | SrtpError::TooOld) => counts.replayed += 1,
            Err(error) => {
                match error {
                    SrtpError::UnknownMki => counts.unknown_mki += 1,
                    SrtpError::Lifetime => counts.expired += 1,
                    _ => counts.failed += 1,
                }
                self.failing_since.get_or_insert(now);
            }
        }
        taken
    }

    /// What the packet was protected with that was taken last. Means nothing after a rekeying, until
    /// the next one.
    pub const fn last(&self) -> Option<Place> {
        self.last
    }

    /// What became of packets.
    pub const fn counts(&self) -> &ReceiverCounts {
        &self.counts
    }

    /// Since when packets come and none authenticates.
    pub const fn failing_since(&self) -> Option<WallTime> {
        self.failing_since
    }

    /// Asks the memory for what [`Self::unprotect`] will need.
    pub fn prefetch(&self) {
        self.contexts.first().inspect(|it| prefetch_whole(*it));
        self.keys.first().inspect(|it| prefetch_whole(*it));
    }

    fn find(
        &self,
        now: WallTime,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(u32, Found), SrtpError> {
        let packet = Protected::parse(bytes)?;
        let ssrc = packet.ssrc;
        let last = self.contexts.iter().find(|it| it.ssrc == ssrc);
        let first = last.map_or(0, |context| usize::from(context.key));
        let order = std::iter::once(first).chain((0..self.keys.len()).filter(|&at| at != first));
        let mut error = SrtpError::UnknownMki;
        for at in order {
            let Some(key) = self.keys.get(at) else {
                continue;
            };
            if !key.transform.is_named(&packet) {
                continue;
            }
            let of_key = |it: &Context| it.ssrc == ssrc && it.generation == key.generation;
            let context = self.contexts.iter().position(of_key);
            let before = context.map(|at| &self.contexts[at]).or(last);
            for (roc, by_search) in self.counters(now, packet.sequence, before, context.is_none()) {
                match key.transform.unprotect(&packet, roc, out) {
                    Ok(()) => {
                        let index = u64::from(roc) << 16 | u64::from(packet.sequence);
                        let found = Found {
                            key: at,
                            context,
                            index,
                            by_search,
                        };
                        return Ok((ssrc, found));
                    }
                    Err(malformed @ SrtpError::Malformed) => {
                        error = malformed;
                        break;
                    }
                    Err(other) => error = other,
                }
            }
        }
        Err(error)
    }

    /// The roll-over counters that a packet may have, the likeliest first, and whether that is more
    /// than what the RFC asks for.
    fn counters(
        &self,
        now: WallTime,
        sequence: u16,
        before: Option<&Context>,
        is_first: bool,
    ) -> impl Iterator<Item = (u32, bool)> + use<> {
        let guess = before.map_or(0, |context| guess(context.window.highest(), sequence));
        let was_silent =
            before.is_some_and(|it| now.since(it.heard_at).as_nanos() as u64 > SEARCH_AFTER_NS);
        let failed = self.counts.failed;
        let every = u64::from(SEARCH_EVERY);
        let searches = was_silent || failed < every / 2 || failed.is_multiple_of(every);
        let near = match before {
            Some(_) => [
                Some(guess),
                guess.checked_add(1),
                guess.checked_sub(1),
                (is_first && guess > 1).then_some(0),
            ],
            None => [Some(0), None, None, None],
        };
        let from = if before.is_some() { 2 } else { 1 };
        let to = if searches { ROLLOVERS_MAX } else { 0 };
        let far = (from..=to).filter_map(move |ahead| guess.checked_add(ahead));
        near.into_iter()
            .flatten()
            .map(|roc| (roc, false))
            .chain(far.map(|roc| (roc, true)))
    }

    fn take(&mut self, now: WallTime, ssrc: u32, found: &Found) -> Result<(), SrtpError> {
        let key = &mut self.keys[found.key];
        if let Some(at) = found.context {
            self.contexts[at].window.check(found.index)?;
        }
        if key.used >= key.lifetime {
            return Err(SrtpError::Lifetime);
        }
        key.used += 1;
        let generation = key.generation;
        let at = match found.context {
            Some(at) => {
                self.contexts[at].window.take(found.index);
                at
            }
            None => self.insert(Context {
                ssrc,
                generation,
                key: 0,
                heard_at: now,
                window: Window::first(found.index),
            }),
        };
        let context = &mut self.contexts[at];
        context.heard_at = now;
        context.key = found.key as u8;
        self.last = Some(Place {
            ssrc,
            key: found.key,
            roc: (found.index >> 16) as u32,
        });
        self.counts.found_by_search += u64::from(found.by_search);
        if generation != self.generation {
            self.old_heard_at = now;
        } else if self
            .keys
            .last()
            .is_some_and(|it| it.generation != generation)
            && now.since(self.old_heard_at).as_nanos() as u64 > OLD_KEYS_NS
        {
            self.forget_all_but(generation);
        }
        Ok(())
    }

    /// Puts a context in front of those of its source, so that the newest is looked at first.
    fn insert(&mut self, context: Context) -> usize {
        if self.contexts.len() >= SOURCES_MAX {
            let silent = self.contexts.iter().enumerate();
            if let Some((at, _)) = silent.min_by_key(|(_, it)| it.heard_at) {
                self.contexts.remove(at);
            }
        }
        self.contexts.insert(0, context);
        0
    }

    /// What a later process needs to go on, but for the keys.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.extend([
            self.generation,
            self.keys.len() as u8,
            self.contexts.len() as u8,
        ]);
        into.extend(self.old_heard_at.0.to_le_bytes());
        into.extend(self.failing_since.map_or(0, |at| at.0).to_le_bytes());
        for count in self.counts.words() {
            into.extend(count.to_le_bytes());
        }
        for key in &self.keys {
            into.push(key.generation);
            into.extend(key.used.to_le_bytes());
        }
        for context in &self.contexts {
            into.extend(context.ssrc.to_le_bytes());
            into.extend([context.generation, context.key]);
            into.extend(context.heard_at.0.to_le_bytes());
            context.window.encode(into);
        }
    }

    /// Goes on with what [`Self::encode`] wrote: with the keys of the offer in force, and those of the
    /// one before it. Octets that are left over belong to the caller.
    ///
    /// # Errors
    ///
    /// Where the octets were not written with these keys.
    pub fn decode(
        keys: Vec<PeerKey>,
        old: Vec<PeerKey>,
        mut bytes: &[u8],
    ) -> Result<(Self, &[u8]), StateError> {
        let bytes = &mut bytes;
        let [generation, key_count, context_count] = chunk(bytes)?;
        let mut receiver = Self::new(Vec::new());
        receiver.old_heard_at = WallTime(u64::from_le_bytes(chunk(bytes)?));
        let failing = u64::from_le_bytes(chunk(bytes)?);
        receiver.failing_since = (failing != 0).then_some(WallTime(failing));
        let counts: [u8; ReceiverCounts::SIZE] = chunk(bytes)?;
        let (words, _) = counts.as_chunks::<8>();
        let mut words = words.iter().map(|octets| u64::from_le_bytes(*octets));
        let mut word = || words.next().unwrap_or_default();
        receiver.counts = ReceiverCounts {
            taken: word(),
            failed: word(),
            unknown_mki: word(),
            replayed: word(),
            expired: word(),
            found_by_search: word(),
        };
        let count = keys.len();
        if usize::from(key_count) != count && usize::from(key_count) != count + old.len() {
            return Err(StateError);
        }
        if usize::from(key_count) != count {
            receiver.put_first(old);
        }
        receiver.put_first(keys);
        receiver.generation = generation;
        for key in &mut receiver.keys {
            let [of] = chunk(bytes)?;
            key.generation = of;
            key.used = u64::from_le_bytes(chunk(bytes)?);
        }
        for _ in 0..context_count {
            let ssrc = u32::from_le_bytes(chunk(bytes)?);
            let [generation, key] = chunk(bytes)?;
            let heard_at = WallTime(u64::from_le_bytes(chunk(bytes)?));
            receiver.contexts.push(Context {
                ssrc,
                generation,
                key,
                heard_at,
                window: Window::decode(&chunk::<WINDOW_SIZE>(bytes)?),
            });
        }
        Ok((receiver, bytes))
    }
}

/// RFC 3711 §3.3.1, appendix A: the counter under which the sequence number is nearest.
fn guess(highest: u64, sequence: u16) -> u32 {
    let (roc, last) = ((highest >> 16) as u32, highest as u16);
    if last < 0x8000 {
        if i32::from(sequence) - i32::from(last) > 0x8000 {
            roc.saturating_sub(1)
        } else {
            roc
        }
    } else if i32::from(last) - 0x8000 > i32::from(sequence) {
        roc.saturating_add(1)
    } else {
        roc
    }
}

pub(crate) fn chunk<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], StateError> {
    let (chunk, rest) = bytes.split_first_chunk().ok_or(StateError)?;
    *bytes = rest;
    Ok(*chunk)
}
