//! Networks that are nobody else's: one host alone, or two with a cable between them.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};

use crate::tools::{Tool, is_root};

/// Moves this thread to a network of its own, which has a loopback and nothing else: sockets, threads and
/// processes it makes from now on are there. `false`, and a word about it, where this process may not.
///
/// # Panics
/// When root may not either.
pub fn enter_lonely() -> bool {
    if !is_root() {
        return false;
    }
    let Some(ip) = Tool::find("ip") else {
        return false;
    };
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    ip.output(Path::new("/"), &["link", "set", "lo", "up"]);
    true
}

/// A network of two hosts, `caller` and `server`.
#[derive(Debug)]
pub struct Network {
    ip: Tool,
    caller: String,
    server: String,
}

impl Network {
    /// Makes one; `None`, and a word about it, where this process may not.
    ///
    /// # Panics
    /// When root may not either.
    pub fn make() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let ip = Tool::find("ip")?;
        let pid = std::process::id();
        let network = Self {
            ip,
            caller: format!("hfcaller{pid}"),
            server: format!("hfserver{pid}"),
        };
        let (caller, server) = (network.caller.as_str(), network.server.as_str());
        network.ip(&["netns", "add", caller]);
        network.ip(&["netns", "add", server]);
        network.ip(&[
            "link", "add", DEVICE, "netns", caller, "type", "veth", "peer", "name", DEVICE,
            "netns", server,
        ]);
        for (name, host) in [(caller, CALLER), (server, SERVER)] {
            network.ip(&[
                "-n",
                name,
                "address",
                "add",
                &format!("{host}/30"),
                "dev",
                DEVICE,
            ]);
            network.ip(&["-n", name, "link", "set", DEVICE, "up"]);
            network.ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        Some(network)
    }

    /// Moves this thread to the caller's host: sockets and processes it makes from now on are
    /// there.
    ///
    /// # Panics
    /// When root may not.
    pub fn enter(&self) {
        let namespace = File::open(Path::new("/run/netns").join(&self.caller));
        let namespace = namespace.expect("a namespace of that name");
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("setns");
    }

    /// The command within which the server's processes run.
    pub fn server_command(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.server]
    }

    /// Damages what the caller sends, by the kernel's own means: arguments of `tc qdisc … netem`.
    /// `false` where the kernel or the tool can't.
    pub fn damage(&self, netem: &str) -> bool {
        let Some(tc) = Tool::find("tc") else {
            return false;
        };
        let mut arguments = vec![
            "-n",
            &self.caller,
            "qdisc",
            "add",
            "dev",
            DEVICE,
            "root",
            "netem",
        ];
        arguments.extend(netem.split(' '));
        tc.run(Path::new("/"), &arguments).status.success()
    }

    fn ip(&self, arguments: &[&str]) {
        self.ip.output(Path::new("/"), arguments);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in [&self.caller, &self.server] {
            // Its end of the cable goes with it.
            self.ip.run(Path::new("/"), &["netns", "delete", name]);
        }
    }
}

/// The caller's address.
pub const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The server's address.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

const DEVICE: &str = "cable";
