//! SIPREC: bodies, offer and answer, call metadata, without I/O.

pub mod limits;
pub mod metadata;
pub mod multipart;
pub mod offer;
pub mod sdp;
