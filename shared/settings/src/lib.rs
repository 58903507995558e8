//! The settings file: one TOML for both processes and the command.
//!
//! Text becomes raw structs, raw structs become [`Settings`], once; nothing else sees an unchecked
//! value. It refuses rather than corrects: each [`Problem`] names the key, the value and what is
//! allowed, and all of them are reported, not the first alone.
//!
//! The crate is pure: what only the machine knows (cores, addresses, folders) is asked through
//! [`Machine`]. The feature `machine` adds the real one,
//! `load` and `read`.

mod check;
mod clash;
mod convert;
mod document;
pub mod limits;
#[cfg(feature = "machine")]
mod local;
mod machine;
mod problem;
mod quantity;
mod raw;
mod settings;

#[cfg(feature = "machine")]
pub use local::{LoadError, LocalMachine, load, read};
pub use machine::Machine;
pub use problem::{Fault, Problem, SettingsError};
pub use quantity::{display_duration, display_size};
pub use settings::{
    Advertise, IngestKind, Journal, KeepPackets, Lifecycle, Log, LogFormat, LogLevel, Media,
    MediaAddress, MediaInterface, Node, PlainInvite, PortRange, Recordings, Settings, Sip,
    SipListen, SipTransport, SourcePolicy,
};

/// The shipped settings file: every key with its default and one comment.
pub const DEFAULT_FILE: &str = include_str!("../../../config/holdfast.toml");
