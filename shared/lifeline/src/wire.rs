//! A SOCK_SEQPACKET connection that carries descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size, set_socket_send_buffer_size, set_socket_timeout,
    socket_peercred,
};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, connect, listen, recvmsg, sendmsg, socket_with,
};

use crate::limits::{BATCH_MAX, MESSAGE_SIZE_MAX, PEER_TIMEOUT};

/// Asked of the kernel for each direction; it gives no more than `net.core.wmem_max`.
const BUFFER_SIZE: usize = 1024 * 1024;

/// A socket that waits for connections.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// One end of a connection.
#[derive(Debug)]
pub struct Connection(OwnedFd);

/// What a message brought.
#[derive(Debug)]
pub struct Received {
    /// Empty: the other end is gone.
    pub bytes: Vec<u8>,
    /// The descriptors beside it.
    pub descriptors: Vec<OwnedFd>,
}

impl Listener {
    /// Listens at `path`, in place of whatever socket a dead process left there.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = new_socket(SocketFlags::NONBLOCK)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        listen(&socket, 8)?;
        Ok(Self(socket))
    }

    /// A connection that waits. Who is of another user and group is turned away: descriptors are
    /// power.
    pub fn accept(&self) -> io::Result<Connection> {
        let socket = accept_with(&self.0, SocketFlags::CLOEXEC)?;
        // Ours, or that of the other process under a user of its own: the services share their group,
        // and only that may use the folder of the sockets.
        let peer = socket_peercred(&socket)?;
        let is_ours = peer.uid == rustix::process::geteuid();
        if !is_ours && peer.gid != rustix::process::getegid() {
            let what = format!("a process of {:?} asked for descriptors", peer.uid);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        set_up(&socket)?;
        Ok(Connection(socket))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Connection {
    /// Connects to who listens at `path`.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = new_socket(SocketFlags::empty())?;
        set_up(&socket)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self(socket))
    }

    /// Sends a message with at most [`BATCH_MAX`] descriptors; waits [`PEER_TIMEOUT`] at most.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        assert!(bytes.len() <= MESSAGE_SIZE_MAX && descriptors.len() <= BATCH_MAX);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
            assert!(fits, "there is room for a batch");
        }
        let data = [IoSlice::new(bytes)];
        loop {
            match sendmsg(&self.0, &data, &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for a message, [`PEER_TIMEOUT`] at most.
    ///
    /// # Errors
    ///
    /// What the system says; `OutOfMemory` where this process may not have so many descriptors.
    pub fn receive(&self) -> io::Result<Received> {
        let mut bytes = vec![0; MESSAGE_SIZE_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let result = loop {
            let mut data = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.0, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result?,
            }
        };
        // Taken first, so that they are closed whatever is wrong.
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        if result.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::Error::other("a message that is too long"));
        }
        if result.flags.contains(ReturnFlags::CTRUNC) {
            let what = "descriptors were lost on the way: the limit of open files is too low";
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, what));
        }
        bytes.truncate(result.bytes);
        Ok(Received { bytes, descriptors })
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn new_socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

fn set_up(socket: &OwnedFd) -> io::Result<()> {
    set_socket_send_buffer_size(socket, BUFFER_SIZE)?;
    set_socket_recv_buffer_size(socket, BUFFER_SIZE)?;
    set_socket_timeout(socket, Timeout::Send, Some(PEER_TIMEOUT))?;
    set_socket_timeout(socket, Timeout::Recv, Some(PEER_TIMEOUT))?;
    Ok(())
}
