//! The listening sockets outlive this process: the media engine holds a second handle of each, so what
//! comes while signaling is dead waits in them, and nobody is told that nobody is there.
//!
//! Connections that were accepted are not kept: what a dead process had read of a message is gone, and
//! the rest of it makes no sense to another. Their peers learn that they are closed, and connect anew.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_lifeline::{Kept, Lifeline, kept_by_media, kept_by_signaling, start_keeper};
use holdfast_settings::{IngestKind, Settings};
use holdfast_sip::Transport;
use nix::sys::resource::{Resource, getrlimit};
use socket2::{Socket, Type};
use tracing::{info, warn};

use crate::limits::{ENGINE_DESCRIPTORS_MAX, FLUSH_TIMEOUT};

/// See the module's documentation.
#[derive(Debug)]
pub struct Lifelines {
    kept: Vec<Kept>,
    lifeline: Lifeline,
}

impl Lifelines {
    /// Takes back what the engine has kept.
    pub fn connect(control_socket: &Path) -> io::Result<Self> {
        let (lifeline, kept) = Lifeline::connect(&kept_by_media(control_socket))?;
        Ok(Self { kept, lifeline })
    }

    /// The kept socket that listens there, if there is one.
    pub fn take(&mut self, transport: Transport, address: SocketAddr) -> Option<Socket> {
        let name = key(transport, address);
        let index = self.kept.iter().position(|it| it.key == name)?;
        let descriptor = self.kept.swap_remove(index).descriptors.pop()?;
        let socket = Socket::from(descriptor);
        let is_it = socket.local_addr().ok()?.as_socket() == Some(address)
            && socket.r#type().ok()? == type_of(transport);
        if !is_it {
            warn!(%transport, %address, "what was kept as this socket is another one");
            return None;
        }
        info!(%transport, %address, "goes on with the socket of the process before");
        Some(socket)
    }

    /// Has a socket kept.
    pub fn keep(&self, transport: Transport, address: SocketAddr, socket: &impl AsFd) {
        match socket.as_fd().try_clone_to_owned() {
            Ok(handle) => {
                let name = key(transport, address);
                self.lifeline
                    .deposit(name, Vec::new(), vec![Arc::new(handle)]);
            }
            Err(error) => warn!(%transport, %address, %error, "a socket cannot be kept"),
        }
    }

    /// All sockets are there: begins to keep what the engine has, and has what was kept beside them
    /// closed.
    pub fn begin(&mut self, settings: &Settings) -> io::Result<()> {
        for kept in std::mem::take(&mut self.kept) {
            info!(socket = kept.key, "the settings have it no longer: closed");
        }
        self.lifeline.settle();
        check_descriptors(settings);
        let path = kept_by_signaling(&settings.node.control_socket);
        start_keeper(&path, ENGINE_DESCRIPTORS_MAX)
    }

    /// The process ends as it should: nothing of it is to be kept.
    pub fn end(&self) {
        self.lifeline.withdraw_all();
        self.lifeline.flush(FLUSH_TIMEOUT);
    }
}

/// With plain sockets the engine has up to four for each call, and a handle of each is here.
fn check_descriptors(settings: &Settings) {
    if settings.media.ingest == IngestKind::PacketRing {
        return;
    }
    let calls = settings.sip.max_calls;
    let connections = settings.sip.limits.connections_max;
    let wanted = u64::from(calls) * 4 + u64::from(connections) + OWN_DESCRIPTORS;
    if let Ok((allowed, _)) = getrlimit(Resource::RLIMIT_NOFILE)
        && allowed < wanted
    {
        warn!(
            allowed,
            wanted,
            "the limit of open files (ulimit -n) is low: with as many calls as there may be, not all \
             sockets of the engine can be kept for it"
        );
    }
}

/// Descriptors of this process itself, and some.
const OWN_DESCRIPTORS: u64 = 256;

const fn type_of(transport: Transport) -> Type {
    match transport {
        Transport::Udp => Type::DGRAM,
        _ => Type::STREAM,
    }
}

fn key(transport: Transport, address: SocketAddr) -> String {
    format!("{transport}:{address}")
}

const _: () = assert!(FLUSH_TIMEOUT.as_millis() < Duration::from_secs(2).as_millis());
