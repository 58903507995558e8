//! Ports of one system and its callers, shared with no other test on this machine.
//!
//! ```text
//!   slot of 256 ports: SIP | claim | RTP of the server 2 … 159 | RTP of the callers 160 … 255
//! ```
//!
//! The slots lie outside the range from which the kernel takes ports for sockets that ask for none
//! (32768 to 60999), so nobody takes one by chance. A slot is claimed by a listening TCP socket:
//! the kernel gives it to one process only, and takes it back whatever becomes of that process.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// A claimed slot of ports.
#[derive(Debug)]
pub struct PortSlot {
    first: u16,
    _claim: TcpListener,
}

impl PortSlot {
    /// Claims a slot whose ports are all free on `host`.
    ///
    /// # Panics
    /// When there is none.
    pub fn claim(host: IpAddr) -> Self {
        let start = (std::process::id() as u16).wrapping_mul(31);
        let slots: Vec<u16> = RANGES
            .iter()
            .flat_map(|&(first, last)| (first..=last - (SIZE - 1)).step_by(usize::from(SIZE)))
            .collect();
        let count = slots.len() as u16;
        for _ in 0..count {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let first = slots[usize::from(start.wrapping_add(next) % count)];
            let Ok(claim) = TcpListener::bind(SocketAddr::new(host, first + 1)) else {
                continue;
            };
            let is_free = |port| UdpSocket::bind(SocketAddr::new(host, port)).is_ok();
            let sip = SocketAddr::new(host, first);
            let sips = SocketAddr::new(host, first + 2);
            let http = SocketAddr::new(host, first + 3);
            let is_open = [sip, sips, http]
                .iter()
                .all(|at| TcpListener::bind(at).is_ok());
            if is_open && (first..first + SIZE).all(is_free) {
                return Self {
                    first,
                    _claim: claim,
                };
            }
        }
        panic!("no {SIZE} free ports in a row in {RANGES:?}");
    }

    /// The port of SIP, over UDP and TCP.
    pub const fn sip(&self) -> u16 {
        self.first
    }

    /// The port of HTTP: the TCP port beside the one after that.
    pub const fn http(&self) -> u16 {
        self.first + 3
    }

    /// The port of SIP over TLS: the TCP port beside the first of the server's media.
    pub const fn sips(&self) -> u16 {
        self.first + 2
    }

    /// First and last port of the server's media: `count` of them.
    ///
    /// # Panics
    /// When the slot has not as many.
    pub fn media(&self, count: u16) -> (u16, u16) {
        assert!(count.is_multiple_of(2) && count <= MEDIA_PORTS_MAX);
        (self.first + 2, self.first + 1 + count)
    }

    /// First and last port of the callers' media.
    pub const fn callers(&self) -> (u16, u16) {
        (self.first + 2 + MEDIA_PORTS_MAX, self.first + SIZE - 1)
    }
}

/// Most ports of the server's media in a slot.
pub const MEDIA_PORTS_MAX: u16 = 158;

const SIZE: u16 = 256;

/// Both sides of the kernel's own range.
const RANGES: [(u16, u16); 2] = [(32_000, 32_767), (61_000, 65_535)];

static NEXT: AtomicU16 = AtomicU16::new(0);
