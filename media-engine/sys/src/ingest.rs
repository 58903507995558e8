//! The seam between where packets come from and what is done with them.

use std::io;
use std::net::{IpAddr, SocketAddr};

use holdfast_units::WallTime;

/// One datagram as it arrived. The octets are valid until the sink returns.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Local port it was sent to.
    pub port: u16,
    /// Where it came from.
    pub source: SocketAddr,
    /// The kernel's time of arrival.
    pub arrival: WallTime,
    /// UDP payload.
    pub bytes: &'a [u8],
    /// Whether it was longer than the ingest takes; `bytes` is then only its beginning.
    pub truncated: bool,
}

/// Datagrams that the kernel dropped on a port since it was last told, for want of buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drops {
    /// Local port they were sent to.
    pub port: u16,
    /// How many.
    pub count: u32,
}

/// What a shard receives by, and what its receiver reports leave by.
///
/// Everything after it is the same code, whichever ingest runs. It never blocks.
pub trait Ingest {
    /// Begins to receive on a port. What arrives from now on will be offered by [`Self::poll`].
    ///
    /// # Errors
    ///
    /// The port is in use, or the system has no more descriptors or memory.
    fn open(&mut self, address: IpAddr, port: u16) -> io::Result<()>;

    /// Ends receiving on a port; what it has not offered yet is dropped. Harmless where not open.
    fn close(&mut self, port: u16);

    /// Offers what has arrived, at most about `budget` datagrams, and answers how many there were.
    ///
    /// # Errors
    ///
    /// Only what makes the whole ingest useless.
    fn poll(
        &mut self,
        budget: usize,
        sink: &mut dyn FnMut(Arrival<'_>),
        dropped: &mut dyn FnMut(Drops),
    ) -> io::Result<usize>;

    /// Sends a datagram from an open port.
    ///
    /// # Errors
    ///
    /// What the kernel says; a full buffer is an error too, reports are not worth waiting for.
    fn send(&mut self, from_port: u16, to: SocketAddr, bytes: &[u8]) -> io::Result<()>;
}
