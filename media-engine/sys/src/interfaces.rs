//! The network interfaces of this host.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Octets of its link header; `None` where it has one of a kind that is not read here.
    pub link_size: Option<u32>,
    /// Whether it leads nowhere but to this host itself.
    pub is_loopback: bool,
    /// Whether it is switched on.
    pub is_up: bool,
    /// Its addresses, of both families.
    pub addresses: BTreeSet<IpAddr>,
}

/// All of them, in the order of their names.
///
/// # Errors
///
/// What the system says.
pub fn list() -> io::Result<Vec<Interface>> {
    let mut interfaces: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in getifaddrs()? {
        // A further address may have a label of its own ("eth0:1").
        let name = entry.interface_name.split(':').next().unwrap_or_default();
        let name = name.to_owned();
        let interface = interfaces.entry(name.clone()).or_insert(Interface {
            name,
            index: 0,
            link_size: None,
            is_loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            is_up: entry.flags.contains(InterfaceFlags::IFF_UP),
            addresses: BTreeSet::new(),
        });
        let Some(address) = entry.address else {
            continue;
        };
        if let Some(link) = address.as_link_addr() {
            interface.index = link.ifindex() as u32;
            interface.link_size = link_size(link.hatype());
        } else if let Some(address) = address.as_sockaddr_in() {
            interface.addresses.insert(address.ip().into());
        } else if let Some(address) = address.as_sockaddr_in6() {
            interface.addresses.insert(address.ip().into());
        }
    }
    Ok(interfaces
        .into_values()
        .filter(|interface| interface.index != 0)
        .collect())
}

/// By the kernel's `ARPHRD_…`.
const fn link_size(kind: u16) -> Option<u32> {
    match kind {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Some(14),
        libc::ARPHRD_NONE => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_among_them() {
        let interfaces = list().unwrap();
        let loopback = interfaces.iter().find(|it| it.is_loopback).unwrap();
        assert_eq!(
            (loopback.link_size, loopback.name.as_str()),
            (Some(14), "lo")
        );
    }
}
