//! The objects of a state with their histories, and the tables that hold them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use holdfast_units::WallTime;

use super::history::{EndCause, History};
use super::id::Id;
use super::model::{Extension, NameId, Reason};
use super::time::SourceTime;

/// A group with its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Its id.
    pub id: Id,
    /// When documents spoke of it.
    pub presence: History,
    /// Its associate and disassociate times.
    pub association: History,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
}

/// A communication session with its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its id.
    pub id: Id,
    /// When documents spoke of it; ended by a stop time.
    pub presence: History,
    /// Session-IDs (RFC 7989) of its legs.
    pub sip_session_ids: Vec<String>,
    /// Why it ended.
    pub reasons: Vec<Reason>,
    /// The group it is in.
    pub group: Option<Id>,
    /// When it started, on the client's clock.
    pub start: Option<SourceTime>,
    /// When it stopped, on the client's clock.
    pub stop: Option<SourceTime>,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
}

/// A participant with its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantRecord {
    /// Its id.
    pub id: Id,
    /// When documents spoke of it.
    pub presence: History,
    /// Addresses of record and names.
    pub names: Vec<NameId>,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
    /// Foreign elements inside its `participantstreamassoc`.
    pub media_extensions: Vec<Extension>,
}

/// A media stream with its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// Its id.
    pub id: Id,
    /// When documents spoke of it.
    pub presence: History,
    /// The sessions it was in, each with the arrival of the document that said so; the last is
    /// the current one (RFC 7865 §6.7.1: it may come late and change).
    pub sessions: Vec<(Id, WallTime)>,
    /// Its SDP label.
    pub label: Option<String>,
    /// `mode` of a pre-RFC dialect.
    pub mode: Option<String>,
    /// Times that a dialect writes into the stream.
    pub association: History,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
}

/// An association with its history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// When it held.
    pub history: History,
    /// Capabilities of a participant in a session (RFC 3840).
    pub params: Vec<(String, String)>,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
}

/// What a participant did with a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaLink {
    /// When it sent the stream.
    pub sends: History,
    /// When it received it.
    pub receives: History,
}

impl StreamRecord {
    /// The session it is in now.
    pub fn session(&self) -> Option<&Id> {
        self.sessions.last().map(|(session, _)| session)
    }
}

/// Records in the order they appeared, found by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "Vec<T>",
    into = "Vec<T>",
    bound(
        serialize = "T: Clone + Serialize",
        deserialize = "T: Record + Deserialize<'de>"
    )
)]
pub(super) struct Table<T> {
    pub(super) records: Vec<T>,
    index: BTreeMap<Id, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            index: BTreeMap::new(),
        }
    }
}

/// As it is saved: the records alone.
impl<T> From<Table<T>> for Vec<T> {
    fn from(table: Table<T>) -> Self {
        table.records
    }
}

impl<T: Record> From<Vec<T>> for Table<T> {
    fn from(records: Vec<T>) -> Self {
        let index = records
            .iter()
            .enumerate()
            .map(|(at, record)| (record.id().clone(), at))
            .collect();
        Self { records, index }
    }
}

/// A record of a table.
pub(super) trait Record {
    fn new(id: Id) -> Self;
    fn id(&self) -> &Id;
    fn presence(&mut self) -> &mut History;
    /// Whether it was there and is stated to be over, so that naming it again opens nothing.
    fn is_over(&self) -> bool {
        false
    }
    /// Forgets what may not outlive an absence: partial documents build on the last complete one
    /// alone (RFC 7866 §9.2). Who a participant is stays true, and what is in a history.
    fn renew(&mut self) {}
    /// Estimated octets.
    fn weight(&self) -> usize;
}

impl<T: Record> Table<T> {
    pub(super) fn find(&self, id: &Id) -> Option<&T> {
        self.records.get(*self.index.get(id)?)
    }

    pub(super) fn find_mut(&mut self, id: &Id) -> Option<&mut T> {
        self.records.get_mut(*self.index.get(id)?)
    }

    pub(super) fn entry(&mut self, id: &Id) -> &mut T {
        let next = self.records.len();
        let index = *self.index.entry(id.clone()).or_insert(next);
        if index == next {
            self.records.push(T::new(id.clone()));
        }
        // The index only ever holds positions of records, which are never removed.
        &mut self.records[index]
    }

    pub(super) fn weight(&self) -> usize {
        let record = |record: &T| ENTRY_BYTES + size_of::<T>() + record.weight();
        self.records.iter().map(record).sum()
    }
}

impl Link {
    pub(super) fn weight(&self) -> usize {
        let params = self
            .params
            .iter()
            .map(|(name, value)| name.len() + value.len() + ENTRY_BYTES);
        self.history.weight() + params.sum::<usize>() + extensions_weight(&self.extensions)
    }
}

impl MediaLink {
    pub(super) fn weight(&self) -> usize {
        self.sends.weight() + self.receives.weight()
    }
}

impl Record for GroupRecord {
    fn new(id: Id) -> Self {
        Self {
            id,
            presence: History::default(),
            association: History::default(),
            extensions: Vec::new(),
        }
    }

    fn id(&self) -> &Id {
        &self.id
    }

    fn presence(&mut self) -> &mut History {
        &mut self.presence
    }

    fn weight(&self) -> usize {
        self.id.as_str().len()
            + self.presence.weight()
            + self.association.weight()
            + extensions_weight(&self.extensions)
    }
}

impl Record for SessionRecord {
    fn new(id: Id) -> Self {
        Self {
            id,
            presence: History::default(),
            sip_session_ids: Vec::new(),
            reasons: Vec::new(),
            group: None,
            start: None,
            stop: None,
            extensions: Vec::new(),
        }
    }

    fn id(&self) -> &Id {
        &self.id
    }

    fn presence(&mut self) -> &mut History {
        &mut self.presence
    }

    fn is_over(&self) -> bool {
        self.stop.is_some() && self.presence.last_cause() == Some(EndCause::SessionStopped)
    }

    fn renew(&mut self) {
        (self.start, self.stop, self.group) = (None, None, None);
    }

    fn weight(&self) -> usize {
        let time = |time: &Option<SourceTime>| time.as_ref().map_or(0, |time| time.text().len());
        let reason = |reason: &Reason| reason.protocol.len() + reason.text.len() + ENTRY_BYTES;
        self.id.as_str().len()
            + self.presence.weight()
            + self
                .sip_session_ids
                .iter()
                .map(|id| id.len() + ENTRY_BYTES)
                .sum::<usize>()
            + self.reasons.iter().map(reason).sum::<usize>()
            + self.group.as_ref().map_or(0, |group| group.as_str().len())
            + time(&self.start)
            + time(&self.stop)
            + extensions_weight(&self.extensions)
    }
}

impl Record for ParticipantRecord {
    fn new(id: Id) -> Self {
        Self {
            id,
            presence: History::default(),
            names: Vec::new(),
            extensions: Vec::new(),
            media_extensions: Vec::new(),
        }
    }

    fn id(&self) -> &Id {
        &self.id
    }

    fn presence(&mut self) -> &mut History {
        &mut self.presence
    }

    fn weight(&self) -> usize {
        let name = |name: &NameId| {
            name.aor.len() + name.name.as_ref().map_or(0, String::len) + 2 * ENTRY_BYTES
        };
        self.id.as_str().len()
            + self.presence.weight()
            + self.names.iter().map(name).sum::<usize>()
            + extensions_weight(&self.media_extensions)
            + extensions_weight(&self.extensions)
    }
}

impl Record for StreamRecord {
    fn new(id: Id) -> Self {
        Self {
            id,
            presence: History::default(),
            sessions: Vec::new(),
            label: None,
            mode: None,
            association: History::default(),
            extensions: Vec::new(),
        }
    }

    fn id(&self) -> &Id {
        &self.id
    }

    fn presence(&mut self) -> &mut History {
        &mut self.presence
    }

    fn renew(&mut self) {
        (self.label, self.mode) = (None, None);
    }

    fn weight(&self) -> usize {
        self.id.as_str().len()
            + self.presence.weight()
            + self
                .sessions
                .iter()
                .map(|(id, _)| id.as_str().len() + ENTRY_BYTES)
                .sum::<usize>()
            + self.label.as_ref().map_or(0, String::len)
            + self.mode.as_ref().map_or(0, String::len)
            + self.association.weight()
            + extensions_weight(&self.extensions)
    }
}

pub(super) fn extensions_weight(extensions: &[Extension]) -> usize {
    let weight = |extension: &Extension| {
        let namespace = extension.namespace.as_ref().map_or(0, |name| name.len());
        let values = extension
            .values
            .iter()
            .map(|(path, text)| path.len() + text.len() + ENTRY_BYTES);
        size_of::<Extension>() + extension.xml.len() + namespace + values.sum::<usize>()
    };
    extensions.iter().map(weight).sum()
}

/// Estimated octets of an entry in a map or list beside its own data.
pub(super) const ENTRY_BYTES: usize = 64;
