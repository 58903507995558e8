//! Up to [`BATCH_SIZE`] datagrams with one system call: `recvmmsg` with the kernel's time of arrival and
//! its count of drops.
//!
//! All memory is allocated once. The raw pointers among the headers never leave this file; they
//! point into boxed memory that the same value owns, does not move and outlives them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

use holdfast_units::WallTime;

/// Most datagrams that one call takes: beyond this the call's own cost no longer shows.
pub const BATCH_SIZE: usize = 32;

/// Room for two control messages (a timespec, a counter) with their headers and alignment.
const CONTROL_SIZE: usize = 128;

pub struct RecvBatch {
    payload_size: usize,
    payloads: Box<[u8]>,
    controls: Box<[ControlBuffer; BATCH_SIZE]>,
    names: Box<[libc::sockaddr_storage; BATCH_SIZE]>,
    vectors: Box<[libc::iovec; BATCH_SIZE]>,
    headers: Box<[libc::mmsghdr; BATCH_SIZE]>,
}

/// Control messages want the alignment of their header.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct ControlBuffer([u8; CONTROL_SIZE]);

/// One received datagram.
pub struct Received<'a> {
    pub source: Option<SocketAddr>,
    pub arrival: Option<WallTime>,
    /// The socket's running total of drops.
    pub drops_total: Option<u32>,
    pub bytes: &'a [u8],
    pub truncated: bool,
}

impl RecvBatch {
    /// `payload_size`: longest datagram in octets that is taken whole.
    pub fn new(payload_size: usize) -> Self {
        // SAFETY: sockaddr_storage, iovec and mmsghdr are plain C structures of integers and
        // pointers, for which all zeros is a valid value.
        let (names, vectors, headers) = unsafe {
            (
                Box::new([std::mem::zeroed::<libc::sockaddr_storage>(); BATCH_SIZE]),
                Box::new([std::mem::zeroed::<libc::iovec>(); BATCH_SIZE]),
                Box::new([std::mem::zeroed::<libc::mmsghdr>(); BATCH_SIZE]),
            )
        };
        Self {
            payload_size,
            payloads: vec![0; payload_size * BATCH_SIZE].into_boxed_slice(),
            controls: Box::new([ControlBuffer([0; CONTROL_SIZE]); BATCH_SIZE]),
            names,
            vectors,
            headers,
        }
    }

    /// Receives what is there without waiting; answers how many datagrams [`Self::received`] has.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for index in 0..BATCH_SIZE {
            let payload = &mut self.payloads[index * self.payload_size..][..self.payload_size];
            self.vectors[index] = libc::iovec {
                iov_base: payload.as_mut_ptr().cast(),
                iov_len: payload.len(),
            };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[index].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_SIZE;
            header.msg_flags = 0;
        }
        // SAFETY: `headers` holds BATCH_SIZE initialised headers; each points to a name, a control
        // buffer and one vector that live in `self` and are as long as stated; each vector covers
        // a piece of `payloads` of its own. The kernel writes within these lengths only. No
        // reference to any of that memory is held while the call runs. The time-out may be null.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH_SIZE as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(count as usize)
        }
    }

    /// The datagram of this index, less than what [`Self::receive`] answered last.
    pub fn received(&self, index: usize) -> Received<'_> {
        let header = &self.headers[index];
        let size = (header.msg_len as usize).min(self.payload_size);
        let mut received = Received {
            source: socket_address(&self.names[index]),
            arrival: None,
            drops_total: None,
            bytes: &self.payloads[index * self.payload_size..][..size],
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        };
        let controls = header.msg_hdr.msg_controllen.min(CONTROL_SIZE);
        read_controls(&self.controls[index].0[..controls], &mut received);
        received
    }
}

/// What the kernel counts of a socket (`SO_MEMINFO`): octets by use, and last the datagrams that it
/// dropped.
pub fn socket_memory(socket: BorrowedFd<'_>) -> io::Result<[u32; MEMORY_FIGURES]> {
    let mut figures = [0_u32; MEMORY_FIGURES];
    let mut size = size_of_val(&figures) as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` octets to `figures`, which has as many; both outlive
    // the call, and any octets are numbers.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            figures.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    match result {
        0 => Ok(figures),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `SK_MEMINFO_VARS` of `linux/sock_diag.h`; the last is `SK_MEMINFO_DROPS`.
const MEMORY_FIGURES: usize = 9;

/// Control messages are `{ len: usize, level: i32, type: i32, data }`, each padded to 8 octets
/// (`man 3 cmsg`). They are read as octets, so a wrong length can do no harm.
fn read_controls(mut rest: &[u8], received: &mut Received<'_>) {
    const HEADER_SIZE: usize = size_of::<libc::cmsghdr>();
    while let Some(header) = rest.get(..HEADER_SIZE) {
        let word = |at: usize| i32::from_ne_bytes(header[at..at + 4].try_into().unwrap_or([0; 4]));
        let len = usize::from_ne_bytes(header[..8].try_into().unwrap_or([0; 8]));
        let (level, kind) = (word(8), word(12));
        let Some(data) = rest.get(HEADER_SIZE..len) else {
            return;
        };
        if level == libc::SOL_SOCKET && kind == libc::SCM_TIMESTAMPNS {
            received.arrival = timestamp(data);
        } else if level == libc::SOL_SOCKET && kind == libc::SO_RXQ_OVFL {
            received.drops_total = data.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
        }
        rest = rest
            .get(len.next_multiple_of(size_of::<usize>())..)
            .unwrap_or(&[]);
    }
}

fn timestamp(timespec: &[u8]) -> Option<WallTime> {
    let (seconds, rest) = timespec.split_first_chunk()?;
    let (nanos, _) = rest.split_first_chunk()?;
    let seconds = u64::try_from(i64::from_ne_bytes(*seconds)).ok()?;
    let nanos = u64::try_from(i64::from_ne_bytes(*nanos)).ok()?;
    Some(WallTime(
        seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?,
    ))
}

fn socket_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the kernel wrote a sockaddr_in, which is smaller than
            // sockaddr_storage, is aligned no stricter, and is valid for any octets.
            let v4 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let address = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(
                address,
                u16::from_be(v4.sin_port),
            )))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, with sockaddr_in6.
            let v6 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let address = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddr::V6(SocketAddrV6::new(
                address,
                port,
                0,
                v6.sin6_scope_id,
            )))
        }
        _ => None,
    }
}
