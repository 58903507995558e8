//! Lifelines: each process keeps descriptors for the other, so that the kernel goes on receiving
//! whichever of them is dead.
//!
//! ```text
//!   owner                                      keeper (a thread of the other process)
//!   Lifeline::connect ── Fetch ──────────────►
//!                     ◄── Kept … ────────────
//!   deposit, withdraw ── Deposit, Withdraw ──► one copy of each descriptor, by key
//!   settle            ── Settled ────────────► what was not deposited since goes
//! ```
//!
//! A descriptor that any process holds keeps its socket or ring alive. Whoever starts asks the other
//! for what its former life had; whoever finds the other started anew says all of it again. A keeper
//! never looks at what it keeps, gives it to its own user's processes alone, and lets it go when nobody
//! has come for a while.
//!
//! Where systemd started a process, its descriptor store (`depot.rs`) holds the same things, so that even
//! the death of both processes at once leaves them.
//!
//! It refuses to decide who may start: that no two processes own the same things is their own lock's
//! business.

mod depot;
mod keeper;
mod lifeline;
pub mod limits;
pub mod message;
mod store;
mod wire;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use keeper::start as start_keeper;
pub use lifeline::{Descriptor, Kept, Lifeline};
pub use wire::{Connection, Listener, Received};

/// Where the media engine keeps what signaling has.
pub fn kept_by_media(control_socket: &Path) -> PathBuf {
    beside(control_socket, "m")
}

/// Where signaling keeps what the media engine has.
pub fn kept_by_signaling(control_socket: &Path) -> PathBuf {
    beside(control_socket, "s")
}

/// As short as can be: the path of a socket has little room.
fn beside(control_socket: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(control_socket);
    path.push(".");
    path.push(suffix);
    path.into()
}
