//! The `udp` ingest: a plain socket per port, no privilege needed.
//!
//! One epoll set tells which sockets have something; what they have is taken in batches. It is what
//! a laptop or a container runs. Its cost per packet is that of the kernel's UDP stack.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use holdfast_units::WallTime;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock;
use crate::ingest::{Arrival, Drops, Ingest, SharedSocket};
use crate::recv_batch::{BATCH_SIZE, RecvBatch, socket_memory};

/// Asked of the kernel for each socket: about 4 s of G.711 at 20 ms, by what the kernel charges
/// for a small datagram (about 1 KiB). It gives no more than `net.core.rmem_max`.
const RECEIVE_BUFFER_SIZE: usize = 256 * 1024;

/// Sockets that one look at the epoll set may name.
const EVENTS_MAX: usize = 1024;

/// See the module's documentation.
pub struct UdpIngest {
    first_port: u16,
    sockets: Vec<Option<OpenSocket>>,
    /// Sockets of an earlier process, until the ports that go on are open.
    kept: Vec<Socket>,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    batch: RecvBatch,
}

struct OpenSocket {
    /// Another process may hold a handle of it too.
    socket: SharedSocket,
    drops_total: u32,
    last_arrival: Option<WallTime>,
}

impl UdpIngest {
    /// For the ports from `first_port` to `last_port`, datagrams up to `packet_size_max` octets.
    ///
    /// # Errors
    ///
    /// The system gives no epoll set.
    pub fn new(first_port: u16, last_port: u16, packet_size_max: usize) -> io::Result<Self> {
        assert!(first_port <= last_port, "a slice of ports is not empty");
        let count = usize::from(last_port - first_port) + 1;
        Ok(Self {
            first_port,
            sockets: std::iter::repeat_with(|| None).take(count).collect(),
            kept: Vec::new(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); EVENTS_MAX],
            batch: RecvBatch::new(packet_size_max),
        })
    }

    /// The same with the sockets of a process that is dead, and what they received since. Each is used
    /// when its port is opened.
    ///
    /// # Errors
    ///
    /// The system gives no epoll set.
    pub fn with_kept(
        (first_port, last_port): (u16, u16),
        packet_size_max: usize,
        sockets: Vec<OwnedFd>,
    ) -> io::Result<Self> {
        let mut ingest = Self::new(first_port, last_port, packet_size_max)?;
        ingest.kept = sockets.into_iter().map(Socket::from).collect();
        Ok(ingest)
    }

    /// The kept socket of a port. What the kernel dropped until now is in the outage that is marked.
    fn take_kept(&mut self, address: SocketAddr) -> Option<OpenSocket> {
        let is_it = |socket: &Socket| {
            let bound = socket.local_addr().ok().and_then(|it| it.as_socket());
            bound == Some(address) && socket.r#type().is_ok_and(|it| it == Type::DGRAM)
        };
        let index = self.kept.iter().position(is_it)?;
        let socket = self.kept.swap_remove(index);
        let drops_total = drops_of(&socket).unwrap_or(0);
        Some(OpenSocket {
            socket: Arc::new(socket),
            drops_total,
            last_arrival: None,
        })
    }

    fn index(&self, port: u16) -> Option<usize> {
        let index = usize::from(port.checked_sub(self.first_port)?);
        (index < self.sockets.len()).then_some(index)
    }
}

impl Ingest for UdpIngest {
    fn open(&mut self, address: IpAddr, port: u16) -> io::Result<()> {
        let index = self.index(port).ok_or(io::ErrorKind::InvalidInput)?;
        if self.sockets[index].is_some() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let address = SocketAddr::new(address, port);
        let open = match self.take_kept(address) {
            Some(open) => open,
            None => OpenSocket {
                socket: Arc::new(bind(address)?),
                drops_total: 0,
                last_arrival: None,
            },
        };
        self.epoll.add(
            open.socket.as_fd(),
            EpollEvent::new(EpollFlags::EPOLLIN, index as u64),
        )?;
        self.sockets[index] = Some(open);
        Ok(())
    }

    fn handle_resumed(&mut self) {
        self.kept = Vec::new();
    }

    fn close(&mut self, port: u16) {
        if let Some(open) = self
            .index(port)
            .and_then(|index| self.sockets[index].take())
        {
            // Where another process holds a handle too, closing this one would not do it.
            let _ = self.epoll.delete(open.socket.as_fd());
        }
    }

    fn poll(
        &mut self,
        budget: usize,
        sink: &mut dyn FnMut(&[Arrival<'_>]),
        dropped: &mut dyn FnMut(Drops),
    ) -> io::Result<usize> {
        let mut taken = 0;
        while taken < budget {
            let ready = self.epoll.wait(&mut self.events, EpollTimeout::ZERO)?;
            for event in &self.events[..ready] {
                let index = event.data() as usize;
                let Some(open) = self.sockets.get_mut(index).and_then(Option::as_mut) else {
                    continue;
                };
                if taken >= budget {
                    // The level-triggered set names it again.
                    break;
                }
                let port = self.first_port + index as u16;
                taken += drain(open, port, &mut self.batch, sink, dropped);
            }
            if ready < EVENTS_MAX {
                break;
            }
        }
        Ok(taken)
    }

    fn send(&mut self, from_port: u16, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let open = self
            .index(from_port)
            .and_then(|index| self.sockets[index].as_ref());
        let open = open.ok_or(io::ErrorKind::NotConnected)?;
        open.socket.send_to(bytes, &to.into()).map(|_| ())
    }

    fn socket(&self, port: u16) -> Option<SharedSocket> {
        let open = self.sockets[self.index(port)?].as_ref()?;
        Some(open.socket.clone())
    }
}

/// What the kernel dropped of a socket since it was made (`SO_MEMINFO`).
fn drops_of(socket: &Socket) -> Option<u32> {
    let figures = socket_memory(socket.as_fd()).ok()?;
    figures.last().copied()
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_SIZE)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Takes up to two batches, so that one flooded port cannot starve the others of a turn.
fn drain(
    open: &mut OpenSocket,
    port: u16,
    batch: &mut RecvBatch,
    sink: &mut dyn FnMut(&[Arrival<'_>]),
    dropped: &mut dyn FnMut(Drops),
) -> usize {
    let mut taken = 0;
    for _ in 0..2 {
        // An error here (an ICMP answer to a report of ours, or nothing left) concerns this
        // socket's queue alone; the level-triggered set names it again while there is more.
        let count = batch.receive(open.socket.as_fd()).unwrap_or(0);
        for index in 0..count {
            let received = batch.received(index);
            let Some(source) = received.source else {
                continue;
            };
            let arrival: WallTime = received.arrival.unwrap_or_else(clock::wall);
            // The kernel tells the count as it was when this one came.
            if let Some(total) = received
                .drops_total
                .filter(|&total| total != open.drops_total)
            {
                dropped(Drops {
                    port,
                    count: total.wrapping_sub(open.drops_total),
                    from: open.last_arrival.unwrap_or(arrival),
                    to: arrival,
                });
                open.drops_total = total;
            }
            open.last_arrival = Some(arrival);
            let (bytes, truncated) = (received.bytes, received.truncated);
            sink(&[Arrival {
                port,
                source,
                arrival,
                bytes,
                truncated,
            }]);
        }
        taken += count;
        if count < BATCH_SIZE {
            break;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
    use std::time::{Duration, Instant};

    use super::*;

    fn collect(ingest: &mut UdpIngest, want: usize) -> Vec<(u16, SocketAddr, Vec<u8>, bool)> {
        let mut got = Vec::new();
        let until = Instant::now() + Duration::from_secs(5);
        while got.len() < want && Instant::now() < until {
            let mut sink = |arrivals: &[Arrival<'_>]| {
                for a in arrivals {
                    assert!(clock::wall().since(a.arrival) < Duration::from_secs(5));
                    got.push((a.port, a.source, a.bytes.to_vec(), a.truncated));
                }
            };
            ingest.poll(1000, &mut sink, &mut |_| ()).unwrap();
        }
        got
    }

    fn open_somewhere(address: IpAddr) -> (UdpIngest, u16) {
        // A free port is found by binding to none in particular.
        let port = UdpSocket::bind((address, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut ingest = UdpIngest::new(port, port, 512).unwrap();
        ingest.open(address, port).unwrap();
        (ingest, port)
    }

    #[test]
    fn datagrams_of_both_families_come_with_source_and_time() {
        for address in [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ] {
            let (mut ingest, port) = open_somewhere(address);
            let sender = UdpSocket::bind((address, 0)).unwrap();
            for i in 0..100u8 {
                sender.send_to(&[i; 3], (address, port)).unwrap();
            }
            let got = collect(&mut ingest, 100);
            assert_eq!(got.len(), 100);
            for (i, (at, source, bytes, truncated)) in got.into_iter().enumerate() {
                assert_eq!((at, source), (port, sender.local_addr().unwrap()));
                assert_eq!((bytes, truncated), (vec![i as u8; 3], false));
            }
        }
    }

    #[test]
    fn an_oversized_datagram_is_marked() {
        let (mut ingest, port) = open_somewhere(Ipv4Addr::LOCALHOST.into());
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        sender
            .send_to(&[1; 513], (Ipv4Addr::LOCALHOST, port))
            .unwrap();
        let got = collect(&mut ingest, 1);
        assert_eq!((got[0].2.len(), got[0].3), (512, true));
    }

    #[test]
    fn kernel_drops_are_told() {
        let (mut ingest, port) = open_somewhere(Ipv4Addr::LOCALHOST.into());
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for _ in 0..20_000 {
            sender
                .send_to(&[1; 200], (Ipv4Addr::LOCALHOST, port))
                .unwrap();
        }
        let (mut got, mut lost) = (0, 0);
        ingest
            .poll(
                usize::MAX,
                &mut |some: &[Arrival<'_>]| got += some.len() as u32,
                &mut |d| lost += d.count,
            )
            .unwrap();
        while ingest
            .poll(
                usize::MAX,
                &mut |some: &[Arrival<'_>]| got += some.len() as u32,
                &mut |d| lost += d.count,
            )
            .unwrap()
            > 0
        {}
        // The kernel tells the count with the next datagram that it delivers.
        sender
            .send_to(&[1; 200], (Ipv4Addr::LOCALHOST, port))
            .unwrap();
        while lost == 0
            && ingest
                .poll(
                    1,
                    &mut |some: &[Arrival<'_>]| got += some.len() as u32,
                    &mut |d| lost += d.count,
                )
                .is_ok()
        {
            std::thread::yield_now();
        }
        while ingest
            .poll(
                usize::MAX,
                &mut |some: &[Arrival<'_>]| got += some.len() as u32,
                &mut |d| lost += d.count,
            )
            .unwrap()
            > 0
        {}
        assert_eq!(
            got + lost,
            20_001,
            "every datagram is either delivered or counted"
        );
    }

    #[test]
    fn a_kept_socket_is_used_again_with_what_it_received() {
        let (dead, port) = open_somewhere(Ipv4Addr::LOCALHOST.into());
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let kept = dead.socket(port).unwrap().try_clone().unwrap();
        let other = UdpSocket::bind((address, 0)).unwrap();
        let free = other.local_addr().unwrap();
        drop(dead);
        let sender = UdpSocket::bind((address, 0)).unwrap();
        sender.send_to(b"meanwhile", (address, port)).unwrap();
        let kept = vec![OwnedFd::from(other), kept.into()];
        let mut ingest = UdpIngest::with_kept((port, port), 512, kept).unwrap();
        ingest.open(address, port).unwrap();
        assert!(
            UdpSocket::bind(free).is_err(),
            "kept until all ports are open"
        );
        ingest.handle_resumed();
        UdpSocket::bind(free).unwrap();
        let got = collect(&mut ingest, 1);
        assert_eq!(got[0].2, b"meanwhile");
    }

    #[test]
    fn a_closed_port_is_silent_though_another_holds_its_socket() {
        let (mut ingest, port) = open_somewhere(Ipv4Addr::LOCALHOST.into());
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let held_by_another = ingest.socket(port).unwrap();
        ingest.close(port);
        let sender = UdpSocket::bind((address, 0)).unwrap();
        sender.send_to(b"late", (address, port)).unwrap();
        let ready = ingest.epoll.wait(&mut ingest.events, EpollTimeout::ZERO);
        assert_eq!(ready, Ok(0));
        drop(held_by_another);
        ingest.open(address, port).unwrap();
    }

    #[test]
    fn a_taken_port_is_refused_and_a_closed_one_free_again() {
        let (mut ingest, port) = open_somewhere(Ipv4Addr::LOCALHOST.into());
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(
            ingest.open(address, port).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        ingest.close(port);
        ingest.open(address, port).unwrap();
        ingest.close(port);
        let _other = UdpSocket::bind((address, port)).unwrap();
        assert_eq!(
            ingest.open(address, port).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }
}
