//! SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714), as a recorder needs them: what comes is
//! authenticated and decrypted, our own receiver reports are protected.
//!
//! ```text
//!   MasterKey ──derivation──▶ transform (one packet, one index, no memory)
//!                                 ▲
//!   Receiver: which key, which roll-over counter, was it there before     RTP
//!   RtcpReceiver, RtcpSender                                              RTCP
//! ```
//!
//! It opens nothing, knows no time but that of the packets, and draws no random number. The ciphers
//! are those of RustCrypto; what is here is their use. Whatever holds a key wipes it when it is
//! dropped and shows nothing of it in `Debug`.
//!
//! The invariant that matters: a packet changes the state only when its tag is right.

mod cost;
mod derivation;
pub mod limits;
mod master;
mod receiver;
mod replay;
mod rtcp;
mod rtp;
mod transform;
#[cfg(test)]
mod vectors;

pub use cost::{IMPLEMENTATION, cpu_features, packet_cost};
pub use master::{MasterKey, Mki, PeerKey};
pub use receiver::{Place, Receiver, ReceiverCounts, StateError};
pub use rtcp::{RtcpReceiver, RtcpSender};
pub use rtp::RtpTransform;
pub use transform::SrtpError;
