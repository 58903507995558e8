//! What an update of the state says about itself.

use super::history::EndCause;
use super::id::Id;
use serde::{Deserialize, Serialize};

/// What an id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A group of communication sessions.
    Group,
    /// A communication session.
    Session,
    /// A participant.
    Participant,
    /// A media stream.
    Stream,
}

/// Something an update changed, or something wrong in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An object is there for the first time, or again.
    Appeared {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: Id,
    },
    /// What is said of an object changed.
    Updated {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: Id,
    },
    /// An object is no longer there.
    Closed {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: Id,
        /// Why.
        cause: EndCause,
    },
    /// A participant joined a session.
    Joined {
        /// Who.
        participant: Id,
        /// Which session.
        session: Id,
    },
    /// A participant left a session.
    Left {
        /// Who.
        participant: Id,
        /// Which session.
        session: Id,
        /// Why.
        cause: EndCause,
    },
    /// Times or parameters of a participant in a session changed.
    MembershipUpdated {
        /// Who.
        participant: Id,
        /// Which session.
        session: Id,
    },
    /// A participant began to send a stream.
    SendingStarted {
        /// Who.
        participant: Id,
        /// Which stream.
        stream: Id,
    },
    /// A participant no longer sends a stream.
    SendingEnded {
        /// Who.
        participant: Id,
        /// Which stream.
        stream: Id,
        /// Why.
        cause: EndCause,
    },
    /// A participant began to receive a stream.
    ReceivingStarted {
        /// Who.
        participant: Id,
        /// Which stream.
        stream: Id,
    },
    /// A participant no longer receives a stream.
    ReceivingEnded {
        /// Who.
        participant: Id,
        /// Which stream.
        stream: Id,
        /// Why.
        cause: EndCause,
    },
    /// Fault: an id that stands for something was used for something else; that part is ignored
    /// (RFC 7865 §6.10).
    IdConflict {
        /// The id.
        id: Id,
        /// What it stands for.
        bound: Kind,
        /// What it was used for.
        ignored: Kind,
    },
    /// Fault: a participant left a session that it was not in; kept as an end without beginning.
    StrayDisassociation {
        /// Who.
        participant: Id,
        /// Which session.
        session: Id,
    },
    /// Fault: a partial document before any complete one; applied to what there is.
    PartialBeforeComplete,
    /// Fault: the state holds as much as it may; the document was not applied.
    HistoryFull,
}

/// Why a snapshot should be asked for (RFC 7866 §9.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SnapshotNeed {
    /// Partial documents came, but never a complete one.
    NoBase,
    /// A partial document refers to an id that nothing defines.
    Undefined {
        /// What it should be.
        kind: Kind,
        /// The id.
        id: Id,
    },
}
