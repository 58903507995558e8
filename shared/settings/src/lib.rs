//! The settings file: one TOML for both processes and the command.
//!
//! Text becomes raw structs, raw structs become [`Settings`], once; nothing else sees an unchecked
//! value. It refuses rather than corrects: each [`Problem`] names the key, the value and what is
//! allowed, and all of them are reported, not the first alone.
//!
//! The crate is pure: what only the machine knows (cores, addresses, folders) is asked through
//! [`Machine`]. The feature `machine` adds the real one, `load` and `read`; the feature `files` reads
//! the certificates, keys and credentials that settings name.

mod check;
mod clash;
mod convert;
mod document;
#[cfg(feature = "files")]
mod files;
mod http;
pub mod limits;
#[cfg(feature = "machine")]
mod local;
mod machine;
mod peers;
mod problem;
mod quantity;
mod raw;
mod redact;
mod settings;
mod sip_limits;
mod srtp;
mod store;

#[cfg(feature = "files")]
pub use files::{Credential, HttpFiles, TlsFiles};
#[cfg(feature = "machine")]
pub use local::{LoadError, LocalMachine, load, load_for_signaling, read};
pub use machine::Machine;
pub use problem::{Fault, Problem, SettingsError};
pub use quantity::{display_duration, display_size};
pub use settings::{
    Access, Advertise, ClientCertificates, Digest, DigestAlgorithm, Http, IngestKind, Journal,
    KeepPackets, KeysWithoutTls, Lifecycle, Log, LogFormat, LogLevel, Media, MediaAddress,
    MediaInterface, Names, Node, Peer, PlainInvite, PortRange, Prefix, Recordings, SameSession,
    Settings, Sip, SipLimits, SipListen, SipTransport, SourcePolicy, Srtp, SrtpPreference,
    StunServer, Timestamps, Tls, UnknownPeers, WhenCritical,
};
pub use store::{Redis, RedisMode, Store, StoreKind, WhenAway};

/// The shipped settings file: every key with its default and one comment.
pub const DEFAULT_FILE: &str = include_str!("../../../config/holdfast.toml");
