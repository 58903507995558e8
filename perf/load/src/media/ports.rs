//! Port pairs for RTP and RTCP, as an offer names them.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::SockRef;

/// Ports that may be offered. Streams take them in turn, as a real caller does, so that a port comes
/// back as late as possible.
#[derive(Clone, Debug)]
pub struct PortRange {
    first: u16,
    last: u16,
    next: u16,
}

/// An even port for RTP and the odd one above it for RTCP (RFC 3550 section 11).
#[derive(Debug)]
pub struct PortPair {
    /// Sends RTP.
    pub rtp: UdpSocket,
    /// Receives the recorder's reports.
    pub rtcp: UdpSocket,
    /// Address of `rtp`, which the offer names.
    pub address: SocketAddr,
}

/// Why there is no pair.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The range holds no pair.
    #[error("{0}-{1} holds no pair of an even port and the odd one above it")]
    Empty(u16, u16),
    /// Every port of the range is taken.
    #[error("no free pair of ports in {0}-{1}")]
    Exhausted(u16, u16),
    /// The address is not ours, or the system refuses sockets.
    #[error("opening a socket on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl PortRange {
    /// The ports from `first` to `last`, both included.
    pub fn new(first: u16, last: u16) -> Result<Self, PortError> {
        let even = first
            .checked_add(first % 2)
            .ok_or(PortError::Empty(first, last))?;
        if even >= last {
            return Err(PortError::Empty(first, last));
        }
        Ok(Self {
            first: even,
            last,
            next: even,
        })
    }

    /// Opens the next free pair on `ip`.
    pub fn open(&mut self, ip: IpAddr) -> Result<PortPair, PortError> {
        let pairs = (u32::from(self.last) + 1 - u32::from(self.first)) / 2;
        for _ in 0..pairs {
            let port = self.next;
            // `last` may be the odd port of the last pair or one before it.
            self.next = match port.checked_add(2) {
                Some(next) if next < self.last => next,
                _ => self.first,
            };
            match PortPair::open(ip, port) {
                Ok(pair) => return Ok(pair),
                Err(PortError::Bind { source, .. })
                    if source.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(PortError::Exhausted(self.first, self.last))
    }
}

impl PortPair {
    /// Opens the pair at an even `port`.
    pub fn open(ip: IpAddr, port: u16) -> Result<Self, PortError> {
        let bind = |port| {
            let address = SocketAddr::new(ip, port);
            UdpSocket::bind(address).map_err(|source| PortError::Bind { address, source })
        };
        let (rtp, rtcp) = (bind(port)?, bind(port.saturating_add(1))?);
        let address = SocketAddr::new(ip, port);
        let refused = |source| PortError::Bind { address, source };
        rtcp.set_nonblocking(true).map_err(refused)?;
        // Nothing is expected on the RTP port: the smallest buffer the system allows.
        let _ = SockRef::from(&rtp).set_recv_buffer_size(0);
        Ok(Self { rtp, rtcp, address })
    }

    /// Reads what came to the RTCP port and counts the receiver reports (RFC 3550 section 6.4.2).
    pub fn drain_reports(&self) -> u32 {
        let mut buffer = [0; 1_500];
        let mut reports = 0;
        while let Ok(count) = self.rtcp.recv(&mut buffer) {
            let is_report =
                matches!(buffer[..count], [first, 201, ..] if first & 0xc0 == 0x80 && count >= 8);
            reports += u32::from(is_report);
        }
        reports
    }
}

/// Raises the number of files this process may open to what the system allows; four sockets a call.
pub fn raise_open_files() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn pairs_are_even_distinct_and_run_out() {
        let mut range = PortRange::new(25_001, 25_009).unwrap();
        let mut pairs = Vec::new();
        let error = loop {
            match range.open(LOOPBACK) {
                Ok(pair) => pairs.push(pair),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error, PortError::Exhausted(25_002, 25_009)),
            "{error}"
        );
        assert!(pairs.len() <= 4 && !pairs.is_empty());
        for pair in &pairs {
            assert_eq!(pair.address.port() % 2, 0);
            let rtcp = pair.rtcp.local_addr().unwrap();
            assert_eq!(rtcp.port(), pair.address.port() + 1);
        }
    }

    #[test]
    fn a_range_without_a_pair_is_refused() {
        for (first, last) in [(25_000, 25_000), (25_001, 25_002), (65_535, 65_535), (9, 3)] {
            assert!(
                matches!(PortRange::new(first, last), Err(PortError::Empty(..))),
                "{first}"
            );
        }
        assert!(PortRange::new(25_000, 25_001).is_ok());
        assert!(PortRange::new(65_534, 65_535).is_ok());
    }
}
