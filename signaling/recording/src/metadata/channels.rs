//! Which channel of the rendered recording each media stream goes to.
//!
//! One channel per participant, in the order of the metadata's participant elements; streams of
//! one participant share its channel; streams that nobody is known to send follow, each on its
//! own channel, in the order of the m-lines.
//!
//! Invariant: a stream's channel, once assigned, never changes, whatever later metadata says;
//! what is new goes to a channel it belongs to or to a new one at the end. Who speaks on a
//! channel may change, and is answered by the state's intervals.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::history::History;
use super::id::Id;
use super::records::StreamRecord;
use super::state::State;

/// A media line of the session description that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its place among the m-lines, from 0: its identity for the whole recording session.
    pub index: usize,
    /// Its `a=label`.
    pub label: Option<&'a str>,
}

/// A channel of the rendered recording, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelNumber(pub u16);

/// The channels of one recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Parts", into = "Parts")]
pub struct Channels {
    channel_by_line: BTreeMap<usize, ChannelNumber>,
    /// The participants each channel was made for, in the order of the channels.
    owners: Vec<BTreeSet<Id>>,
}

/// Lines with their channels, and the owners of every channel.
type Parts = (Vec<(usize, ChannelNumber)>, Vec<Vec<Id>>);

impl From<Channels> for Parts {
    fn from(channels: Channels) -> Self {
        channels.to_parts()
    }
}

impl From<Parts> for Channels {
    fn from((lines, owners): Parts) -> Self {
        Self::from_parts(lines, owners)
    }
}

/// Where one media line goes, and what is known about it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The m-line.
    pub index: usize,
    /// Its channel.
    pub channel: ChannelNumber,
    /// The metadata's stream, where one was found.
    pub stream: Option<Id>,
    /// How it was found.
    pub matched: Match,
    /// Who sends it, in the order of the metadata.
    pub participants: Vec<Id>,
    /// How they were found.
    pub speakers: Speakers,
}

/// How an m-line found its stream in the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// By its label (RFC 7866 §7.1.1).
    Label,
    /// By its place: no label of the description is in the metadata, and there are as many
    /// m-lines as streams. A guess, to be flagged.
    Order,
    /// Not at all.
    None,
}

/// How a stream found its senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speakers {
    /// The metadata says so now.
    Stated,
    /// The metadata said so earlier; at present nobody sends it (hold).
    Past,
    /// By place: the metadata associates no participant with any stream, and there are as many
    /// of these as of those. A guess, to be flagged.
    Order,
    /// Not at all.
    None,
}

impl Channels {
    /// No channel assigned.
    pub fn new() -> Self {
        Self::default()
    }

    /// Assigns a channel to every line that has none, and tells all of them, in the order given.
    ///
    /// Call it with every new session description or metadata document. Lines that are left out
    /// keep their channel for when they come back.
    pub fn assign(&mut self, lines: &[Line<'_>], state: &State) -> Vec<Assignment> {
        let found = Found::new(lines, state);
        for participant in state.participants() {
            for line in lines {
                let sends = found.senders(line).contains(&participant.id);
                if sends && !self.channel_by_line.contains_key(&line.index) {
                    let channel = self.channel_for(found.senders(line), lines, &found);
                    self.channel_by_line.insert(line.index, channel);
                }
            }
        }
        for line in lines {
            if !self.channel_by_line.contains_key(&line.index) {
                let owners = found.senders(line).iter().cloned().collect();
                let channel = self.add(owners);
                self.channel_by_line.insert(line.index, channel);
            }
        }
        lines
            .iter()
            .filter_map(|line| self.assignment(line, &found))
            .collect()
    }

    /// The channel of an m-line.
    pub fn of_line(&self, index: usize) -> Option<ChannelNumber> {
        self.channel_by_line.get(&index).copied()
    }

    /// How many channels the recording has.
    pub fn count(&self) -> usize {
        self.owners.len()
    }

    /// Frees an m-line whose place a re-INVITE gave to a new stream (RFC 3264 §8.1), so that the
    /// new one gets a channel of its own. The old channel keeps its number and its owner.
    pub fn release(&mut self, index: usize) {
        self.channel_by_line.remove(&index);
    }

    /// All lines with their channels, and the owners of every channel: what has to be kept for
    /// another process to go on.
    pub fn to_parts(&self) -> (Vec<(usize, ChannelNumber)>, Vec<Vec<Id>>) {
        let lines = self
            .channel_by_line
            .iter()
            .map(|(index, channel)| (*index, *channel));
        let owners = self
            .owners
            .iter()
            .map(|owners| owners.iter().cloned().collect());
        (lines.collect(), owners.collect())
    }

    /// The value that [`to_parts`](Self::to_parts) told of. Channels that lines name but `owners`
    /// lacks are added without an owner.
    pub fn from_parts(lines: Vec<(usize, ChannelNumber)>, owners: Vec<Vec<Id>>) -> Self {
        let mut owners: Vec<BTreeSet<Id>> = owners
            .into_iter()
            .map(|owners| owners.into_iter().collect())
            .collect();
        let highest = lines
            .iter()
            .map(|(_, channel)| usize::from(channel.0))
            .max();
        owners.resize(
            owners.len().max(highest.map_or(0, |highest| highest + 1)),
            BTreeSet::new(),
        );
        Self {
            channel_by_line: lines.into_iter().collect(),
            owners,
        }
    }

    /// The channel these senders have, or a new one.
    ///
    /// A stream with several senders is a mix (RFC 7865 §6.5.2) and goes to no single one's
    /// channel.
    fn channel_for(&mut self, senders: &[Id], lines: &[Line<'_>], found: &Found) -> ChannelNumber {
        let wanted: BTreeSet<Id> = senders.iter().cloned().collect();
        let own = self.owners.iter().position(|owners| *owners == wanted);
        let own = own
            .and_then(|position| u16::try_from(position).ok())
            .map(ChannelNumber);
        // A participant that took over another one's stream goes on where it is heard already.
        let taken_over = || {
            let heard = lines.iter().filter(|line| found.senders(line) == senders);
            heard.filter_map(|line| self.of_line(line.index)).next()
        };
        own.or_else(taken_over).unwrap_or_else(|| self.add(wanted))
    }

    /// A new channel; the last possible one is shared by all that come after.
    fn add(&mut self, owners: BTreeSet<Id>) -> ChannelNumber {
        match u16::try_from(self.owners.len()) {
            Ok(number) => {
                self.owners.push(owners);
                ChannelNumber(number)
            }
            Err(_) => ChannelNumber(u16::MAX),
        }
    }

    fn assignment(&self, line: &Line<'_>, found: &Found) -> Option<Assignment> {
        let channel = self.of_line(line.index)?;
        let finding = found.by_line.get(&line.index)?;
        Some(Assignment {
            index: line.index,
            channel,
            stream: finding.stream.clone(),
            matched: finding.matched,
            participants: finding.senders.clone(),
            speakers: finding.speakers,
        })
    }
}

/// What the metadata says about the lines.
struct Found {
    by_line: BTreeMap<usize, Finding>,
}

struct Finding {
    stream: Option<Id>,
    matched: Match,
    senders: Vec<Id>,
    speakers: Speakers,
}

impl Found {
    fn new(lines: &[Line<'_>], state: &State) -> Self {
        let streams = match_streams(lines, state);
        let guesses = guess_senders(state);
        let by_line = lines.iter().zip(streams).map(|(line, (stream, matched))| {
            let (senders, speakers) = stream.map_or((Vec::new(), Speakers::None), |stream| {
                senders_of(stream, &guesses, state)
            });
            let stream = stream.map(|stream| stream.id.clone());
            (
                line.index,
                Finding {
                    stream,
                    matched,
                    senders,
                    speakers,
                },
            )
        });
        Self {
            by_line: by_line.collect(),
        }
    }

    fn senders(&self, line: &Line<'_>) -> &[Id] {
        self.by_line
            .get(&line.index)
            .map_or(&[], |finding| &finding.senders)
    }
}

/// The stream of every line, by label or, where no label fits at all, by order.
fn match_streams<'s>(
    lines: &[Line<'_>],
    state: &'s State,
) -> Vec<(Option<&'s StreamRecord>, Match)> {
    let by_label: Vec<_> = lines
        .iter()
        .map(|line| stream_of_label(line.label?, state))
        .collect();
    if by_label.iter().any(Option::is_some) {
        let matched = |stream: &Option<_>| {
            if stream.is_some() {
                Match::Label
            } else {
                Match::None
            }
        };
        return by_label
            .into_iter()
            .map(|stream| (stream, matched(&stream)))
            .collect();
    }
    let current: Vec<_> = current_streams(state).collect();
    if current.len() == lines.len() {
        return current
            .into_iter()
            .map(|stream| (Some(stream), Match::Order))
            .collect();
    }
    lines.iter().map(|_| (None, Match::None)).collect()
}

/// Of several streams with one label, one that is there now, and of these one that is sent.
fn stream_of_label<'s>(label: &str, state: &'s State) -> Option<&'s StreamRecord> {
    let is_sent = |stream: &&StreamRecord| {
        state
            .senders(&stream.id)
            .iter()
            .any(|(_, sends)| sends.is_open())
    };
    let mut current = state
        .streams_with_label(label)
        .filter(|stream| stream.presence.is_open());
    let first = current.next();
    let sent = first.filter(is_sent).or_else(|| current.find(is_sent));
    sent.or(first)
        .or_else(|| state.streams_with_label(label).last())
}

fn current_streams(state: &State) -> impl Iterator<Item = &StreamRecord> {
    state
        .streams()
        .iter()
        .filter(|stream| stream.presence.is_open())
}

/// Senders by place, where the metadata has never associated anybody with any stream.
fn guess_senders(state: &State) -> BTreeMap<&Id, &Id> {
    let has_media = state
        .participants()
        .iter()
        .any(|one| state.media.contains_key(&one.id));
    let participants = state
        .participants()
        .iter()
        .filter(|one| one.presence.is_open());
    let participants: Vec<_> = participants.map(|one| &one.id).collect();
    let streams: Vec<_> = current_streams(state).map(|stream| &stream.id).collect();
    if has_media || participants.len() != streams.len() {
        return BTreeMap::new();
    }
    streams.into_iter().zip(participants).collect()
}

fn senders_of(
    stream: &StreamRecord,
    guesses: &BTreeMap<&Id, &Id>,
    state: &State,
) -> (Vec<Id>, Speakers) {
    let all = state.senders(&stream.id);
    let is_open = |(_, sends): &&(&Id, &History)| sends.is_open();
    let now: Vec<Id> = all
        .iter()
        .filter(is_open)
        .map(|(id, _)| (*id).clone())
        .collect();
    if !now.is_empty() {
        return (now, Speakers::Stated);
    }
    if let Some(&guess) = guesses.get(&stream.id) {
        return (vec![guess.clone()], Speakers::Order);
    }
    // Of those who sent it earlier, whoever stopped last comes back from hold.
    let ended = |sends: &History| {
        let end = sends
            .intervals()
            .last()
            .and_then(|interval| interval.to.as_ref());
        end.map(|end| end.moment.arrival)
    };
    let latest = all.iter().filter_map(|(_, sends)| ended(sends)).max();
    let last = all
        .iter()
        .filter(|(_, sends)| latest.is_some() && ended(sends) == latest);
    let last: Vec<Id> = last.map(|(id, _)| (*id).clone()).collect();
    let speakers = if last.is_empty() {
        Speakers::None
    } else {
        Speakers::Past
    };
    (last, speakers)
}
