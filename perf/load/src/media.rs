//! The media of a call: what each leg sends and when, from which ports, and the thread that does it.

mod habits;
mod plan;
mod ports;
mod sender;

pub use habits::{KeyPress, key_presses, silences};
pub use plan::{Counts, DATAGRAM, Fate, Impairment, LegPlan, Packet};
pub use ports::{PortError, PortPair, PortRange, raise_open_files};
pub use sender::{Sender, SenderReport, StreamJob, StreamReport};
