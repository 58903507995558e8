//! A call as it is saved, so that another process can go on with it.
//!
//! JSON with a version: a field that is added gets a default and is read from older forms too; a
//! field that changes its meaning gets a new version. What is agreed on (offer and answer, metadata)
//! is plain data and saved as it is; what belongs to this process alone (connections, transactions,
//! clocks that began with it) is not saved, or saved in another form here.
//!
//! Keys of streams are among what is agreed on: whoever keeps the octets seals them.
//!
//! Refuses: a form that is newer than this code.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_manifest::{
    Continues, EndReason, FormerDialog, MetadataDocument, Pause, SipDialog, Warning,
};
use holdfast_sip::endpoint::KeptDialog;
use holdfast_units::{MonoTime, RecordingId, StreamId, WallTime};
use serde::{Deserialize, Serialize};

use super::Now;
use super::asking::SavedAsking;
use super::call::{Call, Stage, Sync};
use super::deadlines::{Deadlines, Timer};
use super::documents::Documents;
use super::facts::{Facts, StreamKey};
use super::session_timer::SessionTimer;
use crate::admission::Sender;
use crate::metadata::{Channels, State};
use crate::offer::{Session, SlotId, Stream};

/// The form that this code writes.
pub const VERSION: u32 = 1;

/// A saved call, as the store has it.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// What was saved.
    pub bytes: &'a [u8],
    /// How long ago, by the store's clock; `None`: by the clock of this machine, which then saved it.
    /// Only so much is known of how far the deadlines in it have come: the clocks of nodes may be apart.
    pub age: Option<Duration>,
}

/// Why a saved call cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It was written by newer code.
    #[error("form {found} is newer than what is read here ({VERSION})")]
    TooNew {
        /// Its version.
        found: u32,
    },
    /// It is damaged.
    #[error("not a saved call")]
    Malformed(#[from] serde_json::Error),
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedCall {
    version: u32,
    /// When it was saved, by the clock of the node that did, as every time in it.
    at: WallTime,
    pub(super) id: RecordingId,
    shard: u16,
    started: WallTime,
    address: IpAddr,
    cname: String,
    /// The name of the peer's profile.
    pub(super) peer: Option<String>,
    pub(super) user: Option<String>,
    sip: SipDialog,
    knows_siprec: bool,
    /// Of a call that is over and whose recording is not published.
    ended: Option<(EndReason, WallTime)>,
    pub(super) dialog: Option<KeptDialog>,
    facts: SavedFacts,
    documents: SavedDocuments,
    revision: u64,
    ports: BTreeSet<u16>,
    timer: Option<SessionTimer>,
    asking: SavedAsking,
    pauses: Vec<Pause>,
    #[serde(default)]
    formers: Vec<FormerDialog>,
    /// The name of the node that saved it.
    #[serde(default)]
    pub(super) node: String,
    #[serde(default)]
    continues: Option<Continues>,
    expires_at: Option<WallTime>,
    refresh_at: Option<WallTime>,
    ends_at: Option<WallTime>,
}

/// What is agreed on and known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedFacts {
    session: Session,
    offered: Vec<Stream>,
    state: State,
    channels: Channels,
    warnings: Vec<Warning>,
    documents: Vec<MetadataDocument>,
    keys: Vec<(SlotId, StreamId, u16)>,
    streams_made: u16,
}

/// The documents: how many there have been, and those that the engine may not have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedDocuments {
    number: u32,
    count: usize,
    /// Name and base64 of its octets.
    waiting: Vec<(String, String)>,
}

/// Reads what [`write`] wrote.
pub(super) fn read(bytes: &[u8]) -> Result<SavedCall, RestoreError> {
    /// What every form has.
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let Head { version } = serde_json::from_slice(bytes)?;
    if version > VERSION {
        return Err(RestoreError::TooNew { found: version });
    }
    Ok(serde_json::from_slice(bytes)?)
}

impl SavedCall {
    /// The call as it is now.
    pub(super) fn of(
        now: Now,
        node: &str,
        call: &Call,
        peer: Option<String>,
        dialog: Option<KeptDialog>,
        deadlines: &Deadlines,
    ) -> Self {
        let facts = &call.facts;
        let at = |timer| {
            let at: MonoTime = deadlines.at(call.id, timer)?;
            Some(now.wall + at.since(now.mono))
        };
        let (number, count, waiting) = call.documents.to_parts();
        let waiting = waiting.into_iter();
        Self {
            version: VERSION,
            at: now.wall,
            id: call.id,
            shard: call.shard,
            started: call.started,
            address: call.address,
            cname: call.cname.clone(),
            peer,
            user: call.sender.user.clone(),
            sip: call.sip.clone(),
            knows_siprec: call.knows_siprec,
            ended: match &call.stage {
                Stage::Opening(_) | Stage::Up(_) => None,
                Stage::Ended { reason, at } => Some((*reason, *at)),
            },
            dialog,
            facts: SavedFacts {
                session: facts.session.clone(),
                offered: facts.offered.clone(),
                state: facts.state.clone(),
                channels: facts.channels.clone(),
                warnings: facts.warnings.clone(),
                documents: facts.documents.clone(),
                keys: facts
                    .keys()
                    .map(|(slot, key)| (slot, key.id, key.number))
                    .collect(),
                streams_made: facts.streams_made_number(),
            },
            documents: SavedDocuments {
                number,
                count,
                waiting: waiting
                    .map(|(name, bytes)| (name.to_owned(), STANDARD.encode(bytes)))
                    .collect(),
            },
            revision: call.sync.revision,
            ports: call.sync.ports.clone(),
            timer: call.timer,
            asking: call.asking.to_saved(!facts.documents.is_empty()),
            pauses: call.pauses.clone(),
            formers: call.formers.clone(),
            node: node.to_owned(),
            continues: call.continues.clone(),
            expires_at: at(Timer::Expiry),
            refresh_at: at(Timer::Refresh),
            ends_at: at(Timer::Duration),
        }
    }

    /// Its octets.
    pub(super) fn write(&self) -> Vec<u8> {
        // Its maps have keys that are text or numbers, and nothing else in it could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The call, without its dialog and its timers.
    pub(super) fn into_call(self, now: Now, sender: Sender) -> Call {
        let facts = self.facts;
        let keys = facts.keys.into_iter();
        let keys = keys.map(|(slot, id, number)| (slot, StreamKey { id, number }));
        let waiting = self.documents.waiting.into_iter();
        let waiting = waiting.filter_map(|(name, text)| Some((name, STANDARD.decode(text).ok()?)));
        Call {
            id: self.id,
            shard: self.shard,
            started: self.started,
            address: self.address,
            cname: self.cname,
            sender,
            sip: self.sip,
            knows_siprec: self.knows_siprec,
            stage: match self.ended {
                None => Stage::Up(None),
                Some((reason, at)) => Stage::Ended { reason, at },
            },
            dialog: None,
            facts: Facts::from_parts(
                facts.session,
                facts.offered,
                facts.state,
                facts.channels,
                facts.warnings,
                facts.documents,
                keys.collect(),
                facts.streams_made,
            ),
            documents: Documents::from_parts(self.documents.number, self.documents.count, waiting),
            sync: Sync {
                revision: self.revision,
                ports: self.ports,
                is_dirty: true,
                ..Sync::default()
            },
            timer: self.timer,
            heard: now.mono,
            asking: super::asking::Asking::from_saved(self.asking),
            pauses: self.pauses,
            queue: VecDeque::new(),
            lingering: Vec::new(),
            formers: self.formers,
            continues: self.continues,
            is_provisional: false,
            is_saved: true,
        }
    }

    /// Whether it is a call that has ended.
    pub(super) const fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// How long ago this machine saved it, by its clock, which may have been set since.
    pub(super) fn age(&self, now: Now) -> Duration {
        now.wall.since(self.at)
    }

    /// Its deadlines and how far each was when it was saved: both times are the saving node's.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = (Timer, Duration)> + use<> {
        let at = self.at;
        let all = [
            (Timer::Expiry, self.expires_at),
            (Timer::Refresh, self.refresh_at),
            (Timer::Duration, self.ends_at),
        ];
        all.into_iter()
            .filter_map(move |(timer, due)| Some((timer, due?.since(at))))
    }
}
