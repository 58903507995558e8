//! The `packet-ring` ingest: packets are read where the kernel wrote them, without a system call.
//!
//! ```text
//!            ┌ fanout: port → ring ┐   ┌ filter: slice ┐
//!  interface ┤                     ├──►│ ring of shard │──► poll ──► journal
//!            └─────────────────────┘   └───────▲───────┘                │
//!                                              └──── release ◄── committed
//! ```
//!
//! Each shard has a ring on each interface. A block goes back to the kernel only when the journal
//! holds all its packets durably: release is the acknowledgement. What is not released is still there
//! for whoever maps the ring next, if some process has kept its descriptor.
//!
//! It refuses to read on when all but two blocks wait for the journal: what then comes stays in the
//! ring as long as there is room.

mod block;
mod bpf;
mod frame;
mod geometry;
mod mapping;
mod notes;
mod ports;
mod program;
mod reader;
mod socket;
mod takeover;
#[cfg(test)]
mod test_packets;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use holdfast_units::MonoTime;

use self::block::{Frame, Frames};
use self::frame::Datagram;
pub use self::geometry::{RETIRE_AFTER, RingGeometry};
use self::notes::{Notes, RingNotes};
use self::ports::{Admission, Ports};
pub use self::program::PortSlice;
use self::reader::Reader;
pub use self::takeover::{PassedOver, RetiredRings, SuspectBlock};
use crate::ingest::{ARRIVALS_TOGETHER, Arrival, Drops, Ingest, IngestCounters, RingOccupancy};
use crate::interfaces::{self, Interface};

/// The rings of all shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingSetup {
    /// Ports of each shard: slices of equal length that follow each other.
    pub slices: Vec<PortSlice>,
    /// Where packets come in.
    pub interfaces: Vec<RingInterface>,
    /// Longest datagram in octets that is taken whole.
    pub packet_size_max: usize,
    /// Whether packets bear the time of the network card's clock, where they have one.
    pub takes_card_times: bool,
}

/// An interface that rings listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingInterface {
    /// Its name.
    pub name: String,
    /// Whether frames of its VLANs are taken here too. Not where a VLAN's own interface has a ring:
    /// they would come twice.
    pub takes_vlans: bool,
    /// The ring of each shard.
    pub geometry: RingGeometry,
}

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The process lacks a capability.
    #[error("packet sockets need the capability CAP_NET_RAW")]
    NotPermitted,
    /// The operator named an interface that is not there.
    #[error("this machine has no interface {0}")]
    NoInterface(String),
    /// An interface that is neither Ethernet nor bare IP.
    #[error("interface {0} has a link header of a kind that is not read here")]
    LinkHeader(String),
    /// The kernel has too little memory at present.
    #[error("the kernel has no room for a ring of {0} MiB: lower media.ring_size")]
    NoMemory(usize),
    /// The kernel does not know it, or forbids it.
    #[error("the kernel does not {step}")]
    Kernel {
        /// What was asked of it.
        step: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// Descriptors that are not those of such rings.
    #[error("{found} descriptors of rings where {expected} were expected")]
    Count {
        /// Descriptors that were given.
        found: usize,
        /// One for each shard and interface, and one for their notes.
        expected: usize,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub struct RingIngest {
    rings: Vec<Ring>,
    /// The ring that is read first next time, so that none can starve another.
    turn: usize,
    ports: Ports,
    packet_size_max: usize,
    counters: IngestCounters,
    notes: Notes,
    shard: usize,
    /// Positions in the journal at which all blocks that were read had been placed, rising: the floor
    /// rises to one when all below it is committed.
    positions: VecDeque<u64>,
}

#[derive(Debug)]
struct Ring {
    reader: Reader,
    socket: OwnedFd,
    interface: String,
    is_loopback: bool,
    notes: RingNotes,
    /// A block that a former reader had begun, and that is not reached again yet.
    behind: Option<u64>,
    /// A block that was in hand at the last two deaths.
    poisoned: Option<u64>,
    /// A block that is never offered.
    passed_over: Option<u64>,
    retired: Option<Retired>,
}

/// What a ring has that receives nothing any more and is read to its end.
#[derive(Debug)]
struct Retired {
    since: MonoTime,
    /// Whoever holds it learns from its end that the ring is not needed any more.
    _guard: RetireGuard,
}

/// Something that is dropped when rings have been read to their end.
pub type RetireGuard = std::sync::Arc<dyn std::any::Any + Send + Sync>;

impl RingIngest {
    /// Makes the rings of all shards, an ingest for each slice. They receive from now on.
    ///
    /// # Errors
    ///
    /// There can be no ring; what was made until then is gone.
    pub fn open_all(setup: &RingSetup) -> Result<Vec<Self>, RingError> {
        let notes = Notes::create(setup.slices.len(), setup.interfaces.len());
        let mut ingests = Self::without_rings(setup, &notes.map_err(refused("share memory"))?);
        for wanted in &setup.interfaces {
            let interface = find_interface(&wanted.name)?;
            let mut group = None;
            for (ingest, &slice) in ingests.iter_mut().zip(&setup.slices) {
                let socket = make_socket(setup, wanted, &interface, slice)?;
                group = Some(steer(socket.as_fd(), group, setup)?);
                let reader = Reader::of_new(socket.as_fd(), wanted.geometry).map_err(unmapped)?;
                ingest.rings.push(Ring {
                    reader,
                    socket,
                    interface: wanted.name.clone(),
                    is_loopback: interface.is_loopback,
                    notes: ingest.notes.ring(ingest.shard, ingest.rings.len()),
                    behind: None,
                    poisoned: None,
                    passed_over: None,
                    retired: None,
                });
            }
        }
        Ok(ingests)
    }

    /// Blocks that wait to be released, of all rings.
    pub fn held_blocks(&self) -> usize {
        self.rings.iter().map(|ring| ring.reader.held()).sum()
    }

    fn without_rings(setup: &RingSetup, notes: &Notes) -> Vec<Self> {
        let slices = setup.slices.iter().enumerate();
        let ingest = |(shard, &slice)| Self {
            rings: Vec::with_capacity(setup.interfaces.len()),
            turn: 0,
            ports: Ports::new(slice, setup.slices.len()),
            packet_size_max: setup.packet_size_max,
            counters: IngestCounters::default(),
            notes: notes.clone(),
            shard,
            positions: VecDeque::new(),
        };
        slices.map(ingest).collect()
    }
}

impl Ingest for RingIngest {
    fn open(&mut self, address: IpAddr, port: u16) -> io::Result<()> {
        self.ports.open(address, port)
    }

    fn close(&mut self, port: u16) {
        self.ports.close(port);
    }

    fn poll(
        &mut self,
        budget: usize,
        sink: &mut dyn FnMut(&[Arrival<'_>]),
        _dropped: &mut dyn FnMut(Drops),
    ) -> io::Result<usize> {
        let count = self.rings.len();
        let mut taken = 0;
        for index in 0..count {
            let ring = &mut self.rings[(self.turn + index) % count];
            while taken < budget {
                let Some((number, block)) = ring.reader.next_block() else {
                    ring.handle_end();
                    break;
                };
                ring.behind = ring.behind.filter(|&last| number < last);
                if ring.passed_over == Some(number) {
                    continue;
                }
                ring.notes.begin(number);
                let mut passage = Passage {
                    ports: &self.ports,
                    packet_size_max: self.packet_size_max,
                    is_loopback: ring.is_loopback,
                    counters: &mut self.counters,
                };
                taken += passage.offer(block, sink);
                ring.notes.end(number);
            }
        }
        self.turn = (self.turn + 1) % count.max(1);
        Ok(taken)
    }

    fn handle_position(&mut self, next: u64) {
        for ring in &mut self.rings {
            ring.reader.handle_position(next);
        }
        // Records that a former process wrote may be of any block that it had begun.
        if !self.is_catching_up() && self.positions.back() != Some(&next) {
            self.positions.push_back(next);
        }
    }

    fn holds_back(&self) -> bool {
        self.rings.iter().any(|ring| ring.reader.holds_back())
    }

    fn release(&mut self, committed: u64) {
        for ring in &mut self.rings {
            ring.reader.release(committed);
        }
        self.rings.retain(|ring| !ring.is_done());
        let mut floor = None;
        while let Some(&position) = self.positions.front().filter(|&&it| it <= committed) {
            floor = Some(position);
            self.positions.pop_front();
        }
        if let Some(floor) = floor {
            self.notes.set_floor(self.shard, floor);
        }
    }

    fn is_catching_up(&self) -> bool {
        self.rings.iter().any(|ring| ring.behind.is_some())
    }

    fn floor(&self) -> Option<u64> {
        Some(self.notes.floor(self.shard))
    }

    fn occupancy(&self) -> Option<RingOccupancy> {
        Some(RingOccupancy {
            blocks: self.rings.iter().map(|ring| ring.reader.blocks()).sum(),
            held: self.held_blocks(),
        })
    }

    fn counters(&mut self) -> io::Result<IngestCounters> {
        for ring in &self.rings {
            let statistics = socket::statistics(ring.socket.as_fd())?;
            self.counters.kernel_drops += u64::from(statistics.drops);
            self.counters.kernel_freezes += u64::from(statistics.freezes);
        }
        Ok(self.counters)
    }

    fn send(&mut self, from_port: u16, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        self.ports.send(from_port, to, bytes)
    }
}

/// What a block's packets are held against.
struct Passage<'a> {
    ports: &'a Ports,
    packet_size_max: usize,
    is_loopback: bool,
    counters: &'a mut IngestCounters,
}

impl Passage<'_> {
    /// Offers what is wanted of a block; answers how many packets it had.
    fn offer(&mut self, block: &[u8], sink: &mut dyn FnMut(&[Arrival<'_>])) -> usize {
        let mut frames = Frames::of(block);
        // Once a block, of some thousand packets.
        let mut together = Vec::with_capacity(ARRIVALS_TOGETHER);
        let mut taken = 0;
        for frame in frames.by_ref() {
            taken += 1;
            together.extend(self.admit(&frame));
            if together.len() == ARRIVALS_TOGETHER {
                sink(&together);
                together.clear();
            }
        }
        if !together.is_empty() {
            sink(&together);
        }
        self.counters.unreadable += u64::from(frames.unread());
        taken
    }

    fn admit<'a>(&mut self, frame: &Frame<'a>) -> Option<Arrival<'a>> {
        let Ok(datagram) = Datagram::read(frame.protocol, frame.captured, frame.wire_size) else {
            self.counters.unreadable += 1;
            return None;
        };
        let admission = match self.ports.admission(datagram.destination, datagram.port) {
            Admission::Open if !self.may_be_here(frame, &datagram) => Admission::Foreign,
            admission => admission,
        };
        match admission {
            Admission::Open => {}
            Admission::Foreign => {
                self.counters.foreign += 1;
                return None;
            }
            Admission::Closed => {
                self.counters.closed += 1;
                return None;
            }
        }
        // What was cut off cannot be summed, and is not kept anyway.
        if datagram.is_whole() && !frame.is_known_intact() && !datagram.is_intact() {
            self.counters.checksum += 1;
            return None;
        }
        let bytes = datagram.payload;
        let bytes = bytes.get(..self.packet_size_max).unwrap_or(bytes);
        let truncated = bytes.len() < datagram.size;
        self.counters.truncated += u64::from(truncated);
        Some(Arrival {
            port: datagram.port,
            source: source(&datagram, frame.interface),
            arrival: frame.arrival,
            bytes,
            truncated,
        })
    }

    /// Whether this could have reached a socket: addresses of the loopback exist nowhere else
    /// (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3), and nothing comes from a group.
    fn may_be_here(&self, frame: &Frame<'_>, datagram: &Datagram<'_>) -> bool {
        let (source, destination) = (datagram.source, datagram.destination);
        let is_inside = source.is_loopback() || destination.is_loopback();
        frame.kind == program::PACKET_HOST
            && !source.is_multicast()
            && (self.is_loopback || !is_inside)
    }
}

/// A link-local address means something together with its interface only.
fn source(datagram: &Datagram<'_>, interface: u32) -> SocketAddr {
    let mut source = SocketAddr::new(datagram.source, datagram.source_port);
    if let SocketAddr::V6(source) = &mut source
        && source.ip().is_unicast_link_local()
    {
        source.set_scope_id(interface);
    }
    source
}

fn find_interface(name: &str) -> Result<Interface, RingError> {
    let interfaces = interfaces::list().map_err(refused("list the interfaces"))?;
    let interface = interfaces.into_iter().find(|it| it.name == name);
    interface.ok_or_else(|| RingError::NoInterface(name.to_owned()))
}

fn make_socket(
    setup: &RingSetup,
    wanted: &RingInterface,
    interface: &Interface,
    slice: PortSlice,
) -> Result<OwnedFd, RingError> {
    let link_size = interface
        .link_size
        .ok_or_else(|| RingError::LinkHeader(interface.name.clone()))?;
    let snap_size = link_size + HEADERS_SIZE_MAX + setup.packet_size_max as u32;
    let filter = program::slice_filter(slice, link_size, wanted.takes_vlans, snap_size);
    let socket = socket::packet_socket().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => RingError::NotPermitted,
        _ => refused("open a packet socket")(error),
    })?;
    let fd = socket.as_fd();
    socket::set_filter(fd, &filter).map_err(refused("take the filter"))?;
    socket::set_ring(fd, wanted.geometry).map_err(|error| match error.kind() {
        io::ErrorKind::OutOfMemory => RingError::NoMemory(wanted.geometry.size() >> 20),
        _ => refused("make a ring")(error),
    })?;
    if setup.takes_card_times {
        socket::take_card_times(fd).map_err(refused("give the card's time of a packet"))?;
    }
    socket::ignore_outgoing(fd).map_err(refused("leave out what is sent"))?;
    socket::bind(fd, interface.index).map_err(refused("bind a packet socket"))?;
    Ok(socket)
}

/// Puts a ring into the interface's group, which the first one makes.
fn steer(socket: BorrowedFd<'_>, group: Option<u16>, setup: &RingSetup) -> Result<u16, RingError> {
    let result = match group {
        Some(group) => socket::join_group(socket, group).map(|()| group),
        None => socket::found_group(socket, &program::steering(setup.slices[0])),
    };
    result.map_err(refused("steer packets to the rings"))
}

fn unmapped(error: io::Error) -> RingError {
    refused("map the ring")(error)
}

fn refused(step: &'static str) -> impl FnOnce(io::Error) -> RingError {
    move |source| RingError::Kernel { step, source }
}

/// Octets of IP and UDP headers that are captured beside the payload: IPv6 with a few extensions.
const HEADERS_SIZE_MAX: u32 = 256;
