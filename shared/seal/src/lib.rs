//! Secrets at rest.
//!
//! What must not lie on a disk or in a store as it is (the keys of SRTP) is *sealed*: encrypted and
//! authenticated with a key of the node, together with a context that says what it belongs to, so
//! that a sealed secret opens nowhere but where it was put. [`NodeKeys`] does so; the feature `file`
//! adds the file that the keys come from, and keeps a process out of core dumps.
//!
//! The crate refuses to keep secrets in the clear for longer than it needs them: what it opens is
//! wiped when it is dropped, and nothing of a key is in any `Debug`, error or message.
//!
//! ```
//! use holdfast_seal::NodeKeys;
//!
//! let keys = NodeKeys::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
//! let random = [7; 24]; // Of the system, new each time.
//! let sealed = keys.seal(&random, b"dialog 1", b"secret");
//! assert_eq!(keys.open(b"dialog 1", &sealed).unwrap().as_slice(), b"secret");
//! assert!(keys.open(b"dialog 2", &sealed).is_err());
//! ```

#[cfg(feature = "file")]
mod file;
#[cfg(feature = "file")]
mod memory;
mod node_keys;
mod sealed;

#[cfg(feature = "file")]
pub use file::{KeyFileError, load, load_or_create};
#[cfg(feature = "file")]
pub use memory::forbid_core_dumps;
pub use node_keys::{KEY_SIZE, KEYS_MAX, KeyTextError, NodeKeys};
pub use sealed::{NONCE_SIZE, OVERHEAD, OpenError};
