//! What the tests of the running system stand on: a system of their own, callers, and eyes.
//!
//! A scenario in `tests/` starts a [`system::System`] (both processes, own folder, own ports),
//! calls it as a session recording client does ([`caller`], [`peer`]), speaks ([`talk`], [`rtp`])
//! and looks at what is published ([`audio`], [`search`]). Nothing of the server is linked in: what
//! it says is read by other code than its own.
//!
//! Every wait has an end ([`wait::PATIENCE`]). A tool that is not installed makes its scenario say
//! `SKIPPED` and pass. What fails here panics: a scenario reads top down, without error handling.

pub mod audio;
pub mod bodies;
pub mod cable;
pub mod caller;
pub mod certificates;
pub mod disks;
pub mod http;
pub mod namespace;
pub mod peer;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod relay;
pub mod rtp;
pub mod samples;
pub mod script;
pub mod search;
pub mod secure;
pub mod shared;
pub mod srtp;
pub mod supervisor;
pub mod system;
pub mod talk;
pub mod tools;
pub mod wait;
