//! SOCK_SEQPACKET over a Unix path, blocking: the engine's end of the control socket.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, listen, recv,
    send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Asked of the kernel for each direction; it gives no more than `net.core.wmem_max`.
const BUFFER_SIZE: usize = 4 * 1024 * 1024;

/// A socket that waits for the other process.
pub struct Listener(OwnedFd);

/// A connection with the other process.
pub struct Connection(OwnedFd);

impl Listener {
    /// Listens at `path`, in place of whatever socket a dead process left there. The caller makes
    /// sure that it is dead.
    ///
    /// # Errors
    ///
    /// What the system says of the path.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        listen(&fd, Backlog::new(8)?)?;
        Ok(Self(fd))
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn accept(&self) -> io::Result<Connection> {
        let fd = accept4(self.0.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
        // SAFETY: accept4 has just made this descriptor, and nothing else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        for result in [
            setsockopt(&fd, sockopt::SndBuf, &BUFFER_SIZE),
            setsockopt(&fd, sockopt::RcvBuf, &BUFFER_SIZE),
        ] {
            result?;
        }
        Ok(Connection(fd))
    }
}

impl Connection {
    /// Connects to the process that listens at `path`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        nix::sys::socket::connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(Self(fd))
    }

    /// A second handle, so that one thread may receive while another sends.
    ///
    /// # Errors
    ///
    /// The system has no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// How long [`Self::send`] may wait for a peer that does not read.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_send_timeout(&self, timeout: Duration) -> io::Result<()> {
        let micros = i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX);
        Ok(setsockopt(
            &self.0,
            sockopt::SendTimeout,
            &TimeVal::microseconds(micros),
        )?)
    }

    /// How long [`Self::receive`] may wait.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_receive_timeout(&self, timeout: Duration) -> io::Result<()> {
        let micros = i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX);
        Ok(setsockopt(
            &self.0,
            sockopt::ReceiveTimeout,
            &TimeVal::microseconds(micros),
        )?)
    }

    /// Waits for a message. `Ok(0)` means that the peer is gone.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0.as_raw_fd(), buffer, MsgFlags::empty())?)
    }

    /// Sends a message, whole.
    ///
    /// # Errors
    ///
    /// What the system says; `WouldBlock` after the time-out.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        Ok(send(self.0.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL).map(|_| ())?)
    }

    /// Ends the connection for both handles, which wakes a waiting [`Self::receive`].
    pub fn shut_down(&self) {
        let how = nix::sys::socket::Shutdown::Both;
        // It fails only where the peer has ended it already.
        let _ = nix::sys::socket::shutdown(self.0.as_raw_fd(), how);
    }
}
