//! SIPREC metadata (RFC 7865): what a call is about.
//!
//! [`parse`] turns one document into a [`Document`], whatever dialect it is in; [`State`] merges
//! the documents of one recording session; [`Channels`] gives every stream its channel in the
//! rendered recording; [`SnapshotRequest`] asks the recording client for everything again.
//!
//! Nothing here may cost a recording: what is wrong is flagged and passed over, and the caller
//! keeps every body as received beside it. What is never accepted is a document type declaration
//! or more than the [`Limits`] allow.

mod associations;
mod change;
pub mod channels;
mod charset;
mod closing;
pub mod document;
mod history;
mod id;
mod limits;
mod mapper;
mod merge;
mod model;
mod records;
pub mod snapshot;
pub mod state;
mod time;
mod tree;

pub use change::{Change, Kind, SnapshotNeed};
pub use channels::{Assignment, ChannelNumber, Channels, Line, Match, Speakers};
pub use document::{DocumentError, Fault, parse};
pub use history::{End, EndCause, History, Interval, Moment};
pub use id::{Id, IdForm, NotAnId};
pub use limits::Limits;
pub use model::{
    DataMode, Document, Extension, Flag, Group, NameId, Participant, ParticipantSession,
    ParticipantStream, Reason, Session, SessionRecording, Stream, Times,
};
pub use records::{GroupRecord, Link, MediaLink, ParticipantRecord, SessionRecord, StreamRecord};
pub use snapshot::{Dialect, SnapshotRequest};
pub use state::State;
pub use time::{SourceTime, TimeForm, UtcOffset};
