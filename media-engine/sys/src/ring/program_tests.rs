//! The programs, run by an interpreter of their instructions.

use super::super::test_packets::{IPV4, IPV6, Packet, fragments};
use super::*;

const SLICE: PortSlice = PortSlice {
    first: 20_000,
    last: 20_999,
};
const SNAP_SIZE: u32 = 1_500;

/// What the kernel knows of a packet beside its octets.
#[derive(Clone, Copy)]
struct Known {
    protocol: u16,
    kind: u8,
    vlan: Option<u16>,
}

impl Known {
    fn host(protocol: u16) -> Self {
        Self {
            protocol,
            kind: PACKET_HOST,
            vlan: None,
        }
    }
}

/// Runs a program as the kernel does: what reads beyond the packet ends it with 0.
fn run(program: &[sock_filter], packet: &[u8], known: Known) -> u32 {
    interpret(program, packet, known).unwrap_or(0)
}

fn interpret(program: &[sock_filter], packet: &[u8], known: Known) -> Option<u32> {
    let octet = |at: u32| packet.get(at as usize).map(|&octet| u32::from(octet));
    let half = |at: u32| Some(octet(at)? << 8 | octet(at.checked_add(1)?)?);
    let (mut a, mut x, mut cells, mut at) = (0_u32, 0_u32, [0_u32; 16], 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let mut branch = |holds: bool| at += usize::from(if holds { jt } else { jf });
        match code {
            0x20 => {
                a = match k.wrapping_sub(libc::SKF_AD_OFF as u32) as i32 {
                    libc::SKF_AD_PROTOCOL => u32::from(known.protocol),
                    libc::SKF_AD_PKTTYPE => u32::from(known.kind),
                    libc::SKF_AD_VLAN_TAG => u32::from(known.vlan.unwrap_or(0)),
                    libc::SKF_AD_VLAN_TAG_PRESENT => u32::from(known.vlan.is_some()),
                    other => panic!("ancillary {other}"),
                }
            }
            0x30 => a = octet(k)?,
            0x28 => a = half(k)?,
            0x50 => a = octet(x.checked_add(k)?)?,
            0x48 => a = half(x.checked_add(k)?)?,
            0xb1 => x = (octet(k)? & 0xf) * 4,
            0x01 => x = k,
            0x07 => x = a,
            0x87 => a = x,
            0x02 => cells[k as usize] = a,
            0x60 => a = cells[k as usize],
            0x04 => a = a.wrapping_add(k),
            0x0c => a = a.wrapping_add(x),
            0x14 => a = a.wrapping_sub(k),
            0x34 => a /= k,
            0x64 => a <<= k,
            0x05 => at += k as usize,
            0x15 => branch(a == k),
            0x25 => branch(a > k),
            0x35 => branch(a >= k),
            0x45 => branch(a & k != 0),
            0x06 => return Some(k),
            0x16 => return Some(a),
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn filtered(packet: &[u8], known: Known) -> u32 {
    let plain = run(&slice_filter(SLICE, 0, false, SNAP_SIZE), packet, known);
    let framed = [&[0xaa; 14][..], packet].concat();
    let behind_ethernet = run(&slice_filter(SLICE, 14, false, SNAP_SIZE), &framed, known);
    assert_eq!(plain, behind_ethernet);
    plain
}

fn options() -> Vec<Packet> {
    let mut with_options = Packet::v4(20_500);
    with_options.options = vec![1; 12];
    let mut with_extensions = Packet::v6(20_500);
    // Hop-by-hop of 16 octets, an atomic fragment, routing, destination options.
    let long = [&[0, 1][..], &[0; 14]].concat();
    with_extensions.extensions = vec![
        (0, long),
        (44, vec![0; 8]),
        (43, vec![0; 8]),
        (60, vec![0; 8]),
    ];
    vec![
        Packet::v4(20_500),
        Packet::v6(20_500),
        with_options,
        with_extensions,
    ]
}

#[test]
fn a_slice_takes_its_own_ports_of_both_families() {
    for template in options() {
        for (port, is_taken) in [
            (19_999, false),
            (20_000, true),
            (20_500, true),
            (20_999, true),
            (21_000, false),
            (0, false),
            (65_535, false),
        ] {
            let mut packet = template.clone();
            packet.destination.1 = port;
            let expected = if is_taken { SNAP_SIZE } else { 0 };
            let known = Known::host(packet.ethertype());
            assert_eq!(filtered(&packet.bytes(), known), expected, "{packet:?}");
        }
    }
}

#[test]
fn what_is_no_datagram_for_this_host_is_not_taken() {
    let (v4, v6) = (Packet::v4(20_500).bytes(), Packet::v6(20_500).bytes());
    // Its family is what the kernel says.
    assert_eq!(filtered(&v4, Known::host(0x0806)), 0);
    assert_eq!(filtered(&v6, Known::host(0x8100)), 0);
    let mut tcp = v4.clone();
    tcp[9] = 6;
    assert_eq!(filtered(&tcp, Known::host(IPV4)), 0);
    let mut icmp = v6.clone();
    icmp[6] = 58;
    assert_eq!(filtered(&icmp, Known::host(IPV6)), 0);
    for kind in 1..=7 {
        let mut known = Known::host(IPV4);
        known.kind = kind;
        assert_eq!(filtered(&v4, known), 0, "kind {kind}");
    }
    for piece in fragments(&v4, 64) {
        assert_eq!(filtered(&piece, Known::host(IPV4)), 0);
    }
    for size in 0..28 {
        assert_eq!(
            filtered(&v4[..size], Known::host(IPV4)),
            if size < 24 { 0 } else { SNAP_SIZE }
        );
    }
}

#[test]
fn a_first_ipv6_fragment_is_taken_to_be_counted_and_a_later_one_is_not() {
    let mut packet = Packet::v6(20_500);
    packet.extensions = vec![(44, vec![0, 0, 0, 1, 0, 0, 0, 9])];
    assert_eq!(filtered(&packet.bytes(), Known::host(IPV6)), SNAP_SIZE);
    packet.extensions = vec![(44, vec![0, 0, 0, 8, 0, 0, 0, 9])];
    assert_eq!(filtered(&packet.bytes(), Known::host(IPV6)), 0);
}

#[test]
fn a_frame_of_a_vlan_is_taken_only_where_asked_for() {
    let packet = [&[0; 14][..], &Packet::v4(20_500).bytes()].concat();
    for (vlan, takes_vlans, is_taken) in [
        (None, false, true),
        (Some(0), false, true),
        // A priority without a VLAN.
        (Some(0xe000), false, true),
        (Some(5), false, false),
        (Some(5), true, true),
        (None, true, true),
    ] {
        let mut known = Known::host(IPV4);
        known.vlan = vlan;
        let answer = run(
            &slice_filter(SLICE, 14, takes_vlans, SNAP_SIZE),
            &packet,
            known,
        );
        assert_eq!(answer != 0, is_taken, "{vlan:?} {takes_vlans}");
    }
}

#[test]
fn the_port_tells_the_ring() {
    let program = steering(SLICE);
    for template in options() {
        for (port, ring) in [(20_000, 0), (20_999, 0), (21_000, 1), (23_999, 3), (80, 0)] {
            let mut packet = template.clone();
            packet.destination.1 = port;
            let known = Known::host(packet.ethertype());
            assert_eq!(run(&program, &packet.bytes(), known), ring, "{port}");
        }
    }
}

#[test]
fn the_whole_range_of_ports_is_one_slice() {
    let slice = PortSlice {
        first: 1_024,
        last: 65_535,
    };
    let packet = Packet::v4(65_535).bytes();
    let known = Known::host(IPV4);
    assert_eq!(run(&steering(slice), &packet, known), 0);
    assert_eq!(run(&slice_filter(slice, 0, false, 9), &packet, known), 9);
}

#[test]
fn the_filter_takes_what_the_reader_reads() {
    // The two have to agree on every length, whatever the octets.
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let program = slice_filter(SLICE, 0, false, SNAP_SIZE);
    for _ in 0..20_000 {
        let packets = options();
        let packet = &packets[random(packets.len())];
        let mut bytes = packet.bytes();
        for _ in 0..random(4) {
            let at = random(80.min(bytes.len()));
            bytes[at] = random(256) as u8;
        }
        let protocol = packet.ethertype();
        let answer = run(&program, &bytes, Known::host(protocol));
        if let Ok(read) = super::super::frame::Datagram::read(protocol, &bytes, bytes.len()) {
            assert_eq!(answer != 0, SLICE.contains(read.port), "{bytes:?}");
        }
    }
}
