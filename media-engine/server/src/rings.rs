//! Where the packet rings listen, and how large they are.
//!
//! A packet must be seen by exactly one ring. Each address is therefore taken at the interface that
//! carries it, and what this host sends to itself at the loopback.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use holdfast_control::ShardPorts;
use holdfast_lifeline::Lifeline;
use holdfast_settings::{MediaAddress, MediaInterface, Settings, Timestamps, limits};
use holdfast_sys::interfaces::{self, Interface};
use holdfast_sys::{PortSlice, RingError, RingGeometry, RingInterface, RingSetup};

use crate::kept_rings::{self, KeptRings, OpenRings};

/// An interface with rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub interface: String,
    pub takes_vlans: bool,
    pub is_loopback: bool,
    /// What is recorded there is sent to these addresses; `None`: to any.
    pub destinations: Option<BTreeSet<IpAddr>>,
}

/// Why there are no rings.
#[derive(Debug, thiserror::Error)]
pub enum RingsError {
    #[error("listing the network interfaces")]
    Interfaces(#[source] io::Error),
    #[error("this machine has no interface {0} (media.interface)")]
    NoInterface(String),
    #[error("interface {0} has a link header of a kind that is not read; name another one")]
    LinkHeader(String),
    #[error("{0} is an address of the loopback, so media.interface has to say where it comes in")]
    AnyWay(IpAddr),
    #[error(transparent)]
    Ring(RingError),
}

/// What rings hold beside the packets of a commit interval: the time that a disk may stall.
const HOLD: Duration = Duration::from_secs(2);

/// Makes the rings of all shards, or goes on with kept ones. They receive from now on.
pub fn open(
    settings: &Settings,
    slices: &[ShardPorts],
    kept: Vec<KeptRings>,
    lifeline: &Lifeline,
) -> Result<(OpenRings, Vec<Target>), RingsError> {
    let interfaces = interfaces::list().map_err(RingsError::Interfaces)?;
    let targets = targets(settings, &interfaces)?;
    let setup = RingSetup {
        slices: slices
            .iter()
            .map(|slice| PortSlice {
                first: slice.first,
                last: slice.last,
            })
            .collect(),
        interfaces: ring_interfaces(settings, &targets),
        packet_size_max: settings.media.packet_size_max as usize,
        takes_card_times: settings.media.timestamps == Timestamps::Card,
    };
    let rings = kept_rings::open(&setup, &interfaces, kept, lifeline).map_err(RingsError::Ring)?;
    Ok((rings, targets))
}

fn ring_interfaces(settings: &Settings, targets: &[Target]) -> Vec<RingInterface> {
    let shards = settings.media.cores.len().max(1) as u64;
    let hold = HOLD + settings.media.commit_interval;
    let ring = |target: &Target| {
        // The loopback beside others carries what this host sends to itself: little.
        let size = match target.is_loopback && targets.len() > 1 {
            true => limits::RING_SIZE_PER_CORE_MIN,
            false => settings.media.ring_size / shards,
        };
        RingInterface {
            name: target.interface.clone(),
            takes_vlans: target.takes_vlans,
            geometry: RingGeometry::new(size, hold),
        }
    };
    targets.iter().map(ring).collect()
}

/// The interfaces that media comes in by.
fn targets(settings: &Settings, interfaces: &[Interface]) -> Result<Vec<Target>, RingsError> {
    let wanted = wanted_addresses(settings);
    match &settings.media.interface {
        MediaInterface::Auto => carriers(&wanted, interfaces),
        MediaInterface::Named(name) => {
            let interface = interfaces.iter().find(|it| it.name == *name);
            let interface = interface.ok_or_else(|| RingsError::NoInterface(name.clone()))?;
            // Routing may bring any address of this host in by any interface.
            let all = interfaces.iter().flat_map(|it| &it.addresses);
            let local = all.filter(|&&it| is_wanted(&wanted, it)).copied();
            Ok(vec![Target {
                interface: name.clone(),
                takes_vlans: true,
                is_loopback: interface.is_loopback,
                destinations: (!interface.is_loopback).then(|| local.collect()),
            }])
        }
    }
}

/// The addresses that answers may name for media; unspecified ones stand for all of their family.
fn wanted_addresses(settings: &Settings) -> BTreeSet<IpAddr> {
    let listen = settings.sip.listen.iter().map(|it| it.address.ip());
    match settings.media.address {
        MediaAddress::Auto => listen.collect(),
        // A call of the other family goes on by the address that its signaling came to.
        MediaAddress::Address(address) => listen
            .filter(|other| other.is_ipv4() != address.is_ipv4())
            .chain([address])
            .collect(),
    }
}

fn is_wanted(wanted: &BTreeSet<IpAddr>, address: IpAddr) -> bool {
    let is_same = |it: &IpAddr| it.is_unspecified() && it.is_ipv4() == address.is_ipv4();
    wanted.contains(&address) || wanted.iter().any(is_same)
}

fn carriers(
    wanted: &BTreeSet<IpAddr>,
    interfaces: &[Interface],
) -> Result<Vec<Target>, RingsError> {
    let mut targets = Vec::new();
    for interface in interfaces.iter().filter(|it| it.is_up) {
        let carried = interface.addresses.iter().copied();
        let carried: BTreeSet<IpAddr> = carried.filter(|&it| is_wanted(wanted, it)).collect();
        if interface.is_loopback {
            // An address that is nowhere else comes in by an interface that only routing knows.
            let of_host = carried.iter().find(|it| !it.is_loopback());
            if let Some(&address) = of_host {
                return Err(RingsError::AnyWay(address));
            }
        } else if carried.is_empty() {
            continue;
        }
        if interface.link_size.is_none() {
            return Err(RingsError::LinkHeader(interface.name.clone()));
        }
        targets.push(Target {
            interface: interface.name.clone(),
            takes_vlans: false,
            is_loopback: interface.is_loopback,
            destinations: (!interface.is_loopback).then_some(carried),
        });
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, addresses: &[&str]) -> Interface {
        Interface {
            name: name.to_owned(),
            index: 1,
            link_size: Some(14),
            is_loopback: name == "lo",
            is_up: true,
            addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
        }
    }

    fn machine() -> Vec<Interface> {
        vec![
            interface("eth0", &["192.0.2.2", "2001:db8::2", "fe80::2"]),
            interface("eth1", &["198.51.100.2"]),
            interface("eth2", &[]),
            interface("lo", &["127.0.0.1", "::1"]),
        ]
    }

    fn found(text: &str, machine: &[Interface]) -> Result<Vec<Target>, RingsError> {
        targets(&Settings::from_toml(text).unwrap(), machine)
    }

    fn names(text: &str) -> Vec<String> {
        let targets = found(text, &machine()).unwrap();
        targets.into_iter().map(|it| it.interface).collect()
    }

    #[test]
    fn rings_are_where_the_addresses_are_and_at_the_loopback() {
        assert_eq!(names(""), ["eth0", "eth1", "lo"]);
        let listen = |address: &str| format!("[sip]\nlisten = [\"udp:{address}:5060\"]\n");
        assert_eq!(names(&listen("127.0.0.1")), ["lo"]);
        assert_eq!(names(&listen("198.51.100.2")), ["eth1", "lo"]);
        assert_eq!(names(&listen("[2001:db8::2]")), ["eth0", "lo"]);
        assert_eq!(names(&listen("[::]")), ["eth0", "lo"]);
        let media = format!("{}[media]\naddress = \"198.51.100.2\"", listen("192.0.2.2"));
        assert_eq!(names(&media), ["eth1", "lo"]);
        let other_family = format!(
            "{}[media]\naddress = \"198.51.100.2\"",
            listen("[2001:db8::2]")
        );
        assert_eq!(names(&other_family), ["eth0", "eth1", "lo"]);
        assert_eq!(names("[media]\ninterface = \"eth2\""), ["eth2"]);
    }

    #[test]
    fn a_target_has_the_addresses_that_it_carries_and_no_others() {
        let targets = found("", &machine()).unwrap();
        let eth0 = ["192.0.2.2".parse().unwrap()].into();
        assert_eq!(targets[0].destinations, Some(eth0));
        assert_eq!(
            (targets[2].destinations.as_ref(), targets[2].is_loopback),
            (None, true)
        );
        let named = found("[media]\ninterface = \"eth1\"", &machine()).unwrap();
        let expected = ["192.0.2.2", "198.51.100.2", "127.0.0.1"];
        let expected = expected.map(|it| it.parse().unwrap()).into();
        assert_eq!(named[0].destinations, Some(expected));
        assert!(named[0].takes_vlans && !targets[0].takes_vlans);
    }

    #[test]
    fn what_no_ring_could_see_whole_is_told() {
        let mut machine = machine();
        let refused = found("[media]\ninterface = \"eth9\"", &machine);
        assert!(matches!(refused, Err(RingsError::NoInterface(_))));
        machine[1].link_size = None;
        assert!(matches!(
            found("", &machine),
            Err(RingsError::LinkHeader(_))
        ));
        machine[1].is_up = false;
        found("", &machine).unwrap();
        machine[3].addresses.insert("203.0.113.1".parse().unwrap());
        assert!(matches!(found("", &machine), Err(RingsError::AnyWay(_))));
    }

    #[test]
    fn the_loopback_has_a_small_ring_beside_others_and_the_whole_one_alone() {
        let text = "[media]\ncores = [0, 1]\nring_size = \"64 MiB\"";
        let settings = Settings::from_toml(text).unwrap();
        let sizes = |targets: &[Target]| -> Vec<usize> {
            let rings = ring_interfaces(&settings, targets);
            rings.iter().map(|it| it.geometry.size() >> 20).collect()
        };
        let targets = targets(&settings, &machine()).unwrap();
        assert_eq!(sizes(&targets), [32, 32, 8]);
        assert_eq!(sizes(&targets[2..]), [32]);
    }
}
