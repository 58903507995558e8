//! The two programs that the kernel runs for each packet: which ring it goes to, and whether it goes
//! there at all.
//!
//! Both look for the destination port of a UDP datagram, past IPv4 options and IPv6 extension headers,
//! at offsets from the beginning of what they are given: those are safe wherever the octets lie, which
//! offsets from the network header (`SKF_NET_OFF`) are not. Anything that cannot be read ends the
//! program with 0.

use libc::sock_filter;

use super::bpf::{Assembler, Label};

/// Ports that one shard owns, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSlice {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl PortSlice {
    /// Whether a port lies in it.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// How many ports there are.
    pub const fn count(self) -> usize {
        self.last as usize + 1 - self.first as usize
    }
}

/// The number of the ring for each packet: that of the slice its port is in, counted from `first`.
///
/// Slices are equally long and follow each other, so the port alone tells. It is run at the network
/// header, for all packets of the interface; for one that is in no slice any answer will do, because
/// the filter of that ring refuses it.
pub(super) fn steering(first: PortSlice) -> Vec<sock_filter> {
    let mut program = Assembler::default();
    let (found, none) = (program.label(), program.label());
    destination_port(&mut program, 0, found, none);
    program.place(found);
    program.unless_within(u32::from(first.first), u32::from(u16::MAX), none);
    program.subtract(u32::from(first.first));
    program.divide(first.count() as u32);
    program.answer_a();
    program.place(none);
    program.answer(0);
    program.finish()
}

/// Takes datagrams of a slice that are meant for this host, `snap_size` octets of them at most.
///
/// It is run at the link header, which is `link_size` octets long. Frames of a VLAN are for the
/// VLAN's own interface, unless they are asked for here.
pub(super) fn slice_filter(
    slice: PortSlice,
    link_size: u32,
    takes_vlans: bool,
    snap_size: u32,
) -> Vec<sock_filter> {
    let mut program = Assembler::default();
    let (found, none) = (program.label(), program.label());
    program.load_ancillary(libc::SKF_AD_PKTTYPE);
    program.unless_equal(u32::from(PACKET_HOST), none);
    if !takes_vlans {
        let untagged = program.label();
        program.load_ancillary(libc::SKF_AD_VLAN_TAG_PRESENT);
        program.if_equal(0, untagged);
        // Priority tags name no VLAN.
        program.load_ancillary(libc::SKF_AD_VLAN_TAG);
        program.if_any_bit(VLAN_ID_BITS, none);
        program.place(untagged);
    }
    destination_port(&mut program, link_size, found, none);
    program.place(found);
    program.unless_within(u32::from(slice.first), u32::from(slice.last), none);
    program.answer(snap_size);
    program.place(none);
    program.answer(0);
    program.finish()
}

/// Takes nothing.
pub(super) fn nothing() -> Vec<sock_filter> {
    let mut program = Assembler::default();
    program.answer(0);
    program.finish()
}

/// Goes to `found` with the destination port of a whole UDP datagram in A, else to `none`. `base` is
/// where the network header begins.
fn destination_port(program: &mut Assembler, base: u32, found: Label, none: Label) {
    let (ipv4, ipv6) = (program.label(), program.label());
    program.load_ancillary(libc::SKF_AD_PROTOCOL);
    program.if_equal(u32::from(ETHERTYPE_IPV4), ipv4);
    program.if_equal(u32::from(ETHERTYPE_IPV6), ipv6);
    program.jump(none);

    program.place(ipv4);
    program.load_byte(base + 9);
    program.unless_equal(UDP, none);
    // The kernel puts fragments together before the ring's filter; one that is left is no datagram.
    program.load_half(base + 6);
    program.if_any_bit(0x3fff, none);
    program.load_x_ipv4_length(base);
    program.load_half_at_x(base + 2);
    program.jump(found);

    program.place(ipv6);
    program.set_x(40);
    program.load_byte(base + 6);
    let udp = program.label();
    for _ in 0..EXTENSIONS_MAX {
        extension(program, base, udp, none);
    }
    program.unless_equal(UDP, none);
    program.place(udp);
    program.load_half_at_x(base + 2);
    program.jump(found);
}

/// Passes one IPv6 extension header (RFC 8200 section 4), if A says that one begins at X.
fn extension(program: &mut Assembler, base: u32, udp: Label, none: Label) {
    let (options, fragment, next) = (program.label(), program.label(), program.label());
    program.if_equal(UDP, udp);
    for header in [HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS] {
        program.if_equal(header, options);
    }
    program.if_equal(FRAGMENT, fragment);
    program.jump(none);

    program.place(options);
    program.load_byte_at_x(base);
    program.store(0);
    program.load_byte_at_x(base + 1);
    program.add(1);
    program.shift_left(3);
    program.add_x();
    program.jump(next);

    program.place(fragment);
    // The first fragment goes on, so that it is counted; further ones have no port.
    program.load_half_at_x(base + 2);
    program.if_any_bit(0xfff8, none);
    program.load_byte_at_x(base);
    program.store(0);
    program.x_to_a();
    program.add(8);

    program.place(next);
    program.a_to_x();
    program.load(0);
}

/// IPv6 extension headers that are passed before a datagram; real ones have one or two.
pub(super) const EXTENSIONS_MAX: usize = 4;

/// EtherType of IPv4.
pub(super) const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;

/// A packet for this host, as the link layer has it.
pub(super) const PACKET_HOST: u8 = 0;

const VLAN_ID_BITS: u32 = 0x0fff;

/// Protocol numbers (IANA).
pub(super) const UDP: u32 = 17;
/// Hop-by-hop options.
pub(super) const HOP_BY_HOP: u32 = 0;
/// Routing header.
pub(super) const ROUTING: u32 = 43;
/// Fragment header.
pub(super) const FRAGMENT: u32 = 44;
/// Destination options.
pub(super) const DESTINATION_OPTIONS: u32 = 60;

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
