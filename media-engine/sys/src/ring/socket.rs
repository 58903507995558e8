//! Packet sockets: the options that make one a ring (`man 7 packet`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::sock_filter;

use super::geometry::{FRAME_SIZE, RETIRE_AFTER, RingGeometry};

/// What a ring counted since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SocketStatistics {
    /// Packets that did not fit in.
    pub drops: u32,
    /// Times that all blocks were the reader's.
    pub freezes: u32,
}

/// A packet socket that receives nothing yet.
pub(super) fn packet_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: it takes numbers only; the result is checked before it is used.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: this descriptor has just been made, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives a socket its ring.
pub(super) fn set_ring(socket: BorrowedFd<'_>, geometry: RingGeometry) -> io::Result<()> {
    let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
    set(socket, libc::PACKET_VERSION, &version)?;
    let RingGeometry {
        block_size,
        block_count,
    } = geometry;
    let request = libc::tpacket_req3 {
        tp_block_size: block_size,
        tp_block_nr: block_count,
        tp_frame_size: FRAME_SIZE,
        tp_frame_nr: block_size / FRAME_SIZE * block_count,
        tp_retire_blk_tov: RETIRE_AFTER.as_millis() as u32,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    };
    set(socket, libc::PACKET_RX_RING, &request)
}

/// Lets the kernel run a program on what the socket would receive.
pub(super) fn set_filter(socket: BorrowedFd<'_>, program: &[sock_filter]) -> io::Result<()> {
    set_program(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

/// Does without what this host sends itself; over the loopback it would come twice.
pub(super) fn ignore_outgoing(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::PACKET_IGNORE_OUTGOING, &1_i32)
}

/// Has packets bear the time that their network card noted, where it notes one and was told to; the
/// others go on to bear the kernel's.
pub(super) fn take_card_times(socket: BorrowedFd<'_>) -> io::Result<()> {
    let kind = libc::SOF_TIMESTAMPING_RAW_HARDWARE as libc::c_int;
    set(socket, libc::PACKET_TIMESTAMP, &kind)
}

/// Begins to receive by an interface. `ETH_P_ALL`, because a tap for one protocol runs only after the
/// ingress hook, and sees nothing of what is dropped there.
pub(super) fn bind(socket: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the address is a sockaddr_ll of exactly the stated size and outlives the call.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    checked(result)
}

/// Makes a group of which the socket is the first member, and answers its number.
///
/// `program` tells the member for each packet, by the order in which they joined.
pub(super) fn found_group(socket: BorrowedFd<'_>, program: &[sock_filter]) -> io::Result<u16> {
    let unique = libc::PACKET_FANOUT_FLAG_UNIQUEID;
    set(socket, libc::PACKET_FANOUT, &group_word(0, unique))?;
    set_program(socket, libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, program)?;
    let group: libc::c_int = value(socket, libc::PACKET_FANOUT)?;
    Ok(group as u16)
}

/// Makes the socket the next member of a group.
pub(super) fn join_group(socket: BorrowedFd<'_>, group: u16) -> io::Result<()> {
    set(socket, libc::PACKET_FANOUT, &group_word(group, 0))
}

/// What the ring counted since it was asked last.
pub(super) fn statistics(socket: BorrowedFd<'_>) -> io::Result<SocketStatistics> {
    let [_packets, drops, freezes]: [u32; 3] = value(socket, libc::PACKET_STATISTICS)?;
    Ok(SocketStatistics { drops, freezes })
}

/// Fragments are put together first, since only the first has a port.
fn group_word(group: u16, flags: libc::c_uint) -> u32 {
    let kind = libc::PACKET_FANOUT_CBPF
        | libc::PACKET_FANOUT_FLAG_DEFRAG
        | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING
        | flags;
    u32::from(group) | kind << 16
}

fn set_program(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    program: &[sock_filter],
) -> io::Result<()> {
    let header = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_ptr().cast_mut(),
    };
    // The kernel copies the instructions during the call, which `program` outlives.
    set_at(socket, level, name, &header)
}

fn set<T>(socket: BorrowedFd<'_>, name: libc::c_int, option: &T) -> io::Result<()> {
    set_at(socket, libc::SOL_PACKET, name, option)
}

/// Sets an option. One that points elsewhere must do so for the length of the call.
fn set_at<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    option: &T,
) -> io::Result<()> {
    // SAFETY: the option is read only, is as long as stated, and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const *option).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    checked(result)
}

/// What can be read from the kernel as it is: any octets are a value of it.
trait Plain: Copy {}
impl Plain for libc::c_int {}
impl Plain for [u32; 3] {}

fn value<T: Plain>(socket: BorrowedFd<'_>, name: libc::c_int) -> io::Result<T> {
    let mut option = MaybeUninit::<T>::zeroed();
    let mut size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` octets to `option`, which has as many; both outlive
    // the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            name,
            option.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    checked(result)?;
    // SAFETY: all octets are initialised, by `zeroed` or by the kernel, and a `Plain` type takes any.
    Ok(unsafe { option.assume_init() })
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
