//! A TCP way to a server that can be cut, and mended: the network of one of several nodes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What comes to its address goes on to its target, while it is whole.
#[derive(Debug)]
pub struct Cable {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_cut: AtomicBool,
    is_over: AtomicBool,
    ends: Mutex<Vec<TcpStream>>,
}

impl Cable {
    /// Begins to relay from a port of 127.0.0.1.
    ///
    /// # Panics
    /// When the system has no socket.
    pub fn lay(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("its address");
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if shared.is_over.load(Ordering::Acquire) {
                    return;
                }
                shared.join(near, target);
            }
        });
        Self { address, state }
    }

    /// Nothing passes any more: what is open is closed, what is opened is closed at once.
    pub fn cut(&self) {
        let mut ends = self.state.ends();
        self.state.is_cut.store(true, Ordering::Release);
        for end in ends.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// New connections pass again.
    pub fn mend(&self) {
        self.state.is_cut.store(false, Ordering::Release);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.cut();
        self.state.is_over.store(true, Ordering::Release);
        // Wakes who waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn ends(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, near: TcpStream, target: SocketAddr) {
        // Held meanwhile: a cut between would miss the connection.
        let mut ends = self.ends();
        if self.is_cut.load(Ordering::Acquire) {
            return;
        }
        let Ok(far) = TcpStream::connect(target) else {
            return;
        };
        for (from, to) in [(&near, &far), (&far, &near)] {
            let (Ok(from), Ok(to), Ok(end)) = (from.try_clone(), to.try_clone(), from.try_clone())
            else {
                return;
            };
            ends.push(end);
            std::thread::spawn(move || carry(from, to));
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut octets = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut octets) {
        if to.write_all(&octets[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
