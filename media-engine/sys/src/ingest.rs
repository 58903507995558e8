//! The seam between where packets come from and what is done with them.

use std::io;
use std::net::{IpAddr, SocketAddr};

use holdfast_units::WallTime;

/// A socket that several hold.
pub type SharedSocket = std::sync::Arc<socket2::Socket>;

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

/// Most datagrams that an ingest offers at a time: whoever takes them can ask for what each of them
/// needs of memory before looking at the first. A core's own buffers for such requests hold no more.
pub const ARRIVALS_TOGETHER: usize = 16;

/// Datagrams that the kernel dropped on a port since it was last told, for want of buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drops {
    /// Local port they were sent to.
    pub port: u16,
    /// How many.
    pub count: u32,
    /// Arrival of the last one before them that was not dropped; of the next one where it is the
    /// first.
    pub from: WallTime,
    /// Arrival of the first one after them.
    pub to: WallTime,
}

/// What an ingest refused or lost that no port can be told of, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestCounters {
    /// Datagrams with a wrong checksum.
    pub checksum: u64,
    /// Datagrams for an open port at an address that it is not open at.
    pub foreign: u64,
    /// Packets that are no whole UDP datagram.
    pub unreadable: u64,
    /// Datagrams for ports that are not open.
    pub closed: u64,
    /// Datagrams that are longer than the ingest takes.
    pub truncated: u64,
    /// Packets that the kernel had no room for.
    pub kernel_drops: u64,
    /// Times that the kernel had no room at all.
    pub kernel_freezes: u64,
}

/// How full the rings of a shard are, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingOccupancy {
    /// Blocks there are.
    pub blocks: usize,
    /// Blocks that were read and are not released.
    pub held: usize,
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

    /// Says that all ports are open that an earlier process had open and that go on: what was kept of it
    /// beside them may go.
    fn handle_resumed(&mut self) {}

    /// Ends receiving on a port; what it has not offered yet is dropped. Harmless where not open.
    fn close(&mut self, port: u16);

    /// Offers what has arrived, at most about `budget` datagrams, up to [`ARRIVALS_TOGETHER`] at a
    /// time, and answers how many there were.
    ///
    /// # Errors
    ///
    /// Only what makes the whole ingest useless.
    fn poll(
        &mut self,
        budget: usize,
        sink: &mut dyn FnMut(&[Arrival<'_>]),
        dropped: &mut dyn FnMut(Drops),
    ) -> io::Result<usize>;

    /// Says that everything that was offered until now has numbers below `next` in the journal; called
    /// after each [`Self::poll`]. An ingest that holds nothing ignores it.
    fn handle_position(&mut self, _next: u64) {}

    /// Whether the last [`Self::poll`] left datagrams where they are although its budget would have
    /// allowed for them: until what was offered before is released.
    fn holds_back(&self) -> bool {
        false
    }

    /// Lets go of what the journal holds durably: everything with a number below `committed`.
    fn release(&mut self, _committed: u64) {}

    /// Whether there may still be packets that an earlier process has read too.
    fn is_catching_up(&self) -> bool {
        false
    }

    /// The number from which on the journal's records may be of packets that would be offered again
    /// if this process died; `None` where nothing is ever offered again.
    fn floor(&self) -> Option<u64> {
        None
    }

    /// A handle of the socket of a port, for whoever is to keep it; `None` where there is none, or it
    /// is of no use to another process.
    fn socket(&self, _port: u16) -> Option<SharedSocket> {
        None
    }

    /// How full the kernel's rings are; `None` where there are none.
    fn occupancy(&self) -> Option<RingOccupancy> {
        None
    }

    /// What was refused or lost on the way here, beyond what [`Self::poll`] tells.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    fn counters(&mut self) -> io::Result<IngestCounters> {
        Ok(IngestCounters::default())
    }

    /// Sends a datagram from an open port.
    ///
    /// # Errors
    ///
    /// What the kernel says; a full buffer is an error too, reports are not worth waiting for.
    fn send(&mut self, from_port: u16, to: SocketAddr, bytes: &[u8]) -> io::Result<()>;
}
