//! SIP messages, transactions and dialogs, without I/O (RFC 3261 as amended by 3581, 4320, 6026
//! and 6141).
//!
//! The crate is fed bytes and time and drained of outputs; it opens nothing, reads no clock and
//! draws its chance from an [`Entropy`] it is handed. Start at [`Endpoint`].
//!
//! - [`message`] reads what real peers send, leniently, and writes what we answer, exactly;
//! - [`stream`] and [`datagram`] find messages in what a transport delivers;
//! - [`transaction`] has the four state machines, [`dialog`] what outlives them;
//! - [`endpoint`] owns them all and is what the call logic talks to;
//! - [`digest`] says which user sent a request, [`connections`] which connection is too many.
//!
//! It refuses to know SDP, recordings, DNS and who may do what: those belong to the layer above.

pub mod connections;
pub mod datagram;
pub mod dialog;
pub mod digest;
pub mod endpoint;
mod entropy;
pub mod fuzz;
pub mod limits;
pub mod message;
pub mod stream;
pub mod transaction;
pub mod transport;

pub use endpoint::{Endpoint, EndpointConfig, Event, Output};
pub use entropy::Entropy;
pub use limits::Limits;
pub use message::{Message, Method, Reply, Request, Response, Status};
pub use transport::{Flow, FlowInfo, Target, Transport};

/// Octets that are shared between a transaction that may repeat them and the output queue.
pub type Bytes = std::sync::Arc<[u8]>;
