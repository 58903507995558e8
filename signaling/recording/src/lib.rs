//! SIPREC without I/O: bodies, offer and answer, call metadata, and the calls themselves.
//!
//! [`recorder`] is the call logic that owns the rest: it is fed SIP messages, what the media engine
//! says, and time.

pub mod admission;
pub mod fuzz;
pub mod limits;
pub mod metadata;
pub mod multipart;
pub mod offer;
pub mod ports;
pub mod recorder;
pub mod sdp;
