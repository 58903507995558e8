//! A network of the test's own: a cable with a raw sender at one end, and a host at the other.

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use holdfast_sys::{Arrival, Ingest, RingIngest};
use nix::net::if_::InterfaceFlags;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};

/// The host's end of the cable, with 192.0.2.2 and 2001:db8::2.
pub const INSIDE: &str = "inside";
const OUTSIDE: &str = "outside";

/// Moves this thread into a network of its own, with a loopback; `false`, and a word about it, where
/// it may not.
pub fn enter() -> bool {
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        eprintln!("SKIPPED: a network namespace needs root: {error}");
        return false;
    }
    if Command::new("ip").arg("-V").output().is_err() {
        eprintln!("SKIPPED: no ip (apt-get install iproute2)");
        return false;
    }
    ip("link set lo up");
    true
}

/// A cable from a raw sender to this host.
pub struct Cable {
    socket: OwnedFd,
    /// The host's link address.
    pub to: [u8; 6],
}

impl Cable {
    pub fn plug_in() -> Self {
        ip(&format!("link add {OUTSIDE} type veth peer name {INSIDE}"));
        ip(&format!("address add 192.0.2.2/24 dev {INSIDE}"));
        ip(&format!("address add 2001:db8::2/64 dev {INSIDE} nodad"));
        for name in [OUTSIDE, INSIDE] {
            ip(&format!("link set {name} mtu 9000 up"));
        }
        // What is sent before the kernel has seen the carrier is lost.
        let until = Instant::now() + PATIENCE;
        while !(is_running(OUTSIDE) && is_running(INSIDE)) {
            assert!(Instant::now() < until, "the cable has no carrier");
            std::thread::sleep(Duration::from_millis(1));
        }
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .expect("a packet socket");
        bind(socket.as_raw_fd(), &link(OUTSIDE)).expect("bound to the cable");
        let to = link(INSIDE).addr().expect("an Ethernet address");
        Self { socket, to }
    }

    /// Sends a frame as it is.
    pub fn send(&self, frame: &[u8]) {
        let until = Instant::now() + PATIENCE;
        while let Err(error) = send(self.socket.as_raw_fd(), frame, MsgFlags::empty()) {
            assert!(Instant::now() < until, "{error}");
        }
    }
}

fn is_running(name: &str) -> bool {
    let mut all = nix::ifaddrs::getifaddrs().expect("the interfaces");
    all.any(|it| it.interface_name == name && it.flags.contains(InterfaceFlags::IFF_RUNNING))
}

fn link(name: &str) -> LinkAddr {
    let mut all = nix::ifaddrs::getifaddrs().expect("the interfaces");
    let address = all.find_map(|it| match it.interface_name == name {
        true => it.address?.as_link_addr().copied(),
        false => None,
    });
    address.expect("a link address")
}

pub fn ip(arguments: &str) {
    assert!(try_ip(arguments), "ip {arguments}");
}

/// Whether it worked: some kernels lack some kinds of interfaces.
pub fn try_ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    status.expect("ip (iproute2)").success()
}

/// What arrived: port, source, payload, whether it was cut off.
pub type Got = (u16, std::net::SocketAddr, Vec<u8>, bool);

/// Polls until so many datagrams have come, or none comes any more.
pub fn collect(ingest: &mut RingIngest, want: usize) -> Vec<Got> {
    let mut got = Vec::new();
    let until = Instant::now() + PATIENCE;
    while got.len() < want && Instant::now() < until {
        poll(ingest, &mut got);
    }
    got
}

/// Polls for as long as a block takes to be handed over, and more.
pub fn drain(ingest: &mut RingIngest) -> Vec<Got> {
    let mut got = Vec::new();
    let until = Instant::now() + Duration::from_millis(150);
    while Instant::now() < until {
        poll(ingest, &mut got);
        std::thread::sleep(Duration::from_millis(5));
    }
    got
}

fn poll(ingest: &mut RingIngest, got: &mut Vec<Got>) {
    let mut sink = |arrivals: &[Arrival<'_>]| {
        for it in arrivals {
            let age = holdfast_sys::clock::wall().since(it.arrival);
            assert!(age < PATIENCE, "the kernel's time of arrival: {age:?}");
            got.push((it.port, it.source, it.bytes.to_vec(), it.truncated));
        }
    };
    ingest
        .poll(100_000, &mut sink, &mut |_| ())
        .expect("the ring is read");
}

/// Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(10);
