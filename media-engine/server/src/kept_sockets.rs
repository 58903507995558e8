//! The sockets of open ports, for which signaling holds a second handle each: while no engine is
//! there, the kernel goes on receiving into their buffers.

use std::os::fd::OwnedFd;

use holdfast_control::ShardPorts;
use holdfast_lifeline::{Kept, Lifeline};
use holdfast_sys::SharedSocket;
use tracing::{info, warn};

/// What their keys begin with; the port follows.
const KEY_PREFIX: &str = "port-";

/// Hands the kept sockets out by the shards' slices. What belongs to none is closed.
pub fn by_slice(kept: Vec<Kept>, slices: &[ShardPorts]) -> Vec<Vec<OwnedFd>> {
    let mut sockets: Vec<Vec<OwnedFd>> = slices.iter().map(|_| Vec::new()).collect();
    let (mut taken, mut closed) = (0, 0);
    for kept in kept {
        let port = kept
            .key
            .strip_prefix(KEY_PREFIX)
            .and_then(|it| it.parse().ok());
        let within = |port: u16| {
            let is_in = |it: &ShardPorts| (it.first..=it.last).contains(&port);
            slices.iter().position(is_in)
        };
        match port.and_then(within) {
            Some(shard) => {
                sockets[shard].extend(kept.descriptors);
                taken += 1;
            }
            None => closed += 1,
        }
    }
    if taken > 0 {
        info!(
            sockets = taken,
            "goes on with the sockets of the engine before"
        );
    }
    if closed > 0 {
        warn!(
            sockets = closed,
            "kept sockets that are not wanted now are closed"
        );
    }
    sockets
}

/// Has the socket of a port kept.
pub fn keep(lifeline: &Lifeline, port: u16, socket: Option<SharedSocket>) {
    if let Some(socket) = socket {
        lifeline.deposit(key(port), Vec::new(), vec![socket]);
    }
}

/// Has it kept no longer.
pub fn let_go(lifeline: &Lifeline, port: u16) {
    lifeline.withdraw(key(port));
}

fn key(port: u16) -> String {
    format!("{KEY_PREFIX}{port}")
}
