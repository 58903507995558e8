//! The packet ring on real interfaces, in a network namespace of each test's own.

mod cable;
#[path = "../src/ring/test_packets.rs"]
mod test_packets;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use cable::{Cable, INSIDE, collect, drain, enter};
use holdfast_sys::{
    Ingest, PortSlice, RingError, RingGeometry, RingIngest, RingInterface, RingSetup,
};
use test_packets::{Packet, ethernet, fragments};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SLICE: PortSlice = PortSlice {
    first: 20_000,
    last: 20_099,
};

fn setup(interface: &str, slices: &[PortSlice]) -> RingSetup {
    RingSetup {
        slices: slices.to_vec(),
        interfaces: vec![RingInterface {
            name: interface.to_owned(),
            takes_vlans: true,
            geometry: RingGeometry::new(4 << 20, Duration::from_secs(1)),
        }],
        packet_size_max: 2_048,
        takes_card_times: false,
    }
}

fn open(setup: &RingSetup) -> RingIngest {
    let mut all = RingIngest::open_all(setup).expect("a ring");
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn datagrams_of_both_families_come_however_they_are_wrapped() {
    if !enter() {
        return;
    }
    let cable = Cable::plug_in();
    let mut ring = open(&setup(INSIDE, &[SLICE]));
    ring.open(V4, 20_000).unwrap();
    ring.open("2001:db8::2".parse().unwrap(), 20_002).unwrap();
    let mut with_options = Packet::v4(20_000).payload(b"options");
    with_options.options = vec![1; 8];
    let mut with_extensions = Packet::v6(20_002).payload(b"extensions");
    with_extensions.extensions = vec![(60, vec![0; 8])];
    let (plain, six) = (
        Packet::v4(20_000).payload(b"plain"),
        Packet::v6(20_002).payload(b"six"),
    );
    let tagged = Packet::v4(20_000).payload(b"VLAN");
    let large = Packet::v4(20_000).payload(&[7; 1_900]);
    cable.send(&plain.frame(cable.to, None));
    cable.send(&with_options.frame(cable.to, None));
    cable.send(&six.frame(cable.to, None));
    cable.send(&with_extensions.frame(cable.to, None));
    cable.send(&tagged.frame(cable.to, Some(5)));
    // The pieces in an order that is not theirs.
    for piece in fragments(&large.bytes(), 480).iter().rev() {
        cable.send(&ethernet(cable.to, None, test_packets::IPV4, piece));
    }
    let sent = [plain, with_options, six, with_extensions, tagged, large];
    let got = collect(&mut ring, sent.len());
    for (packet, (port, source, payload, truncated)) in sent.iter().zip(&got) {
        assert_eq!((*port, *truncated), (packet.destination.1, false));
        assert_eq!(*source, SocketAddr::from(packet.source));
        assert_eq!(*payload, packet.payload);
    }
    assert_eq!(got.len(), sent.len());
    assert_eq!(ring.counters().unwrap(), Default::default());
}

#[test]
fn what_must_not_be_taken_is_counted() {
    if !enter() {
        return;
    }
    let cable = Cable::plug_in();
    let mut ring = open(&setup(INSIDE, &[SLICE]));
    ring.open(V4, 20_000).unwrap();
    let mut damaged = Packet::v4(20_000);
    damaged.checksum_error = 1;
    let mut foreign = Packet::v4(20_000);
    foreign.destination.0 = Ipv4Addr::new(192, 0, 2, 3).into();
    let mut from_inside = Packet::v4(20_000);
    from_inside.source.0 = LOCALHOST;
    let closed = Packet::v4(20_001);
    let beyond = Packet::v4(20_100);
    let long = Packet::v4(20_000).payload(&[1; 2_049]);
    let longer = Packet::v4(20_000).payload(&[1; 4_000]);
    let mut piece = Packet::v6(20_000);
    piece.extensions = vec![(44, vec![0, 0, 0, 1, 0, 0, 0, 9])];
    let good = Packet::v4(20_000).payload(b"");
    let all = [
        damaged,
        foreign,
        from_inside,
        closed,
        beyond,
        long,
        longer,
        piece,
        good,
    ];
    for packet in all {
        cable.send(&packet.frame(cable.to, None));
    }
    // For another host, though the address is ours.
    cable.send(&Packet::v4(20_000).frame([2, 0, 0, 0, 0, 9], None));
    let got = drain(&mut ring);
    let sizes: Vec<_> = got.iter().map(|it| (it.2.len(), it.3)).collect();
    assert_eq!(sizes, [(2_048, true), (2_048, true), (0, false)]);
    let counters = ring.counters().unwrap();
    assert_eq!(
        (counters.checksum, counters.foreign),
        (1, 2),
        "{counters:?}"
    );
    assert_eq!(
        (counters.closed, counters.unreadable),
        (1, 1),
        "{counters:?}"
    );
    assert_eq!((counters.truncated, counters.kernel_drops), (2, 0));
}

#[test]
fn frames_of_a_vlan_are_left_to_its_own_interface() {
    if !enter() {
        return;
    }
    let cable = Cable::plug_in();
    let mut two = setup(INSIDE, &[SLICE]);
    two.interfaces[0].takes_vlans = false;
    let has_vlan = cable::try_ip(&format!(
        "link add link {INSIDE} name {INSIDE}.5 type vlan id 5"
    ));
    if has_vlan {
        cable::ip(&format!("link set {INSIDE}.5 up"));
        let mut vlan = two.interfaces[0].clone();
        vlan.name = format!("{INSIDE}.5");
        two.interfaces.push(vlan);
    } else {
        eprintln!("SKIPPED in part: this kernel has no VLAN interfaces");
    }
    let mut ring = open(&two);
    ring.open(V4, 20_000).unwrap();
    cable.send(&Packet::v4(20_000).payload(b"5").frame(cable.to, Some(5)));
    cable.send(&Packet::v4(20_000).payload(b"none").frame(cable.to, None));
    let mut got: Vec<_> = drain(&mut ring).into_iter().map(|it| it.2).collect();
    got.sort();
    let expected: &[&[u8]] = if has_vlan {
        &[b"5", b"none"]
    } else {
        &[b"none"]
    };
    assert_eq!(got, expected, "each of them once");
}

#[test]
fn each_of_four_rings_gets_its_slice() {
    if !enter() {
        return;
    }
    let cable = Cable::plug_in();
    let slices: Vec<PortSlice> = (0..4)
        .map(|index| PortSlice {
            first: 20_000 + index * 50,
            last: 20_049 + index * 50,
        })
        .collect();
    let mut rings = RingIngest::open_all(&setup(INSIDE, &slices)).unwrap();
    for (ring, slice) in rings.iter_mut().zip(&slices) {
        for port in slice.first..=slice.last {
            ring.open(V4, port).unwrap();
        }
    }
    for port in (19_990..20_210).cycle().take(220 * 20) {
        let packet = Packet::v4(port).payload(&port.to_be_bytes());
        match port % 10 {
            // Pieces have to find their ring as well.
            0 => fragments(&packet.payload(&[9; 64]).bytes(), 32)
                .iter()
                .for_each(|piece| {
                    cable.send(&ethernet(cable.to, None, test_packets::IPV4, piece));
                }),
            _ => cable.send(&packet.frame(cable.to, None)),
        }
    }
    for (ring, slice) in rings.iter_mut().zip(&slices) {
        let got = collect(ring, 50 * 20);
        assert_eq!(got.len(), 50 * 20);
        assert!(got.iter().all(|it| slice.contains(it.0)));
        assert_eq!(drain(ring), []);
        assert_eq!(ring.counters().unwrap(), Default::default());
    }
}

#[test]
fn the_loopback_delivers_once_and_reports_leave_from_the_port() {
    if !enter() {
        return;
    }
    let mut ring = open(&setup("lo", &[SLICE]));
    ring.open(LOCALHOST, 20_000).unwrap();
    ring.open(Ipv4Addr::UNSPECIFIED.into(), 20_002).unwrap();
    let peer = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    for port in [20_000, 20_001, 20_002] {
        peer.send_to(b"hello", (LOCALHOST, port)).unwrap();
    }
    let ports: Vec<_> = drain(&mut ring).into_iter().map(|it| it.0).collect();
    assert_eq!(ports, [20_000, 20_002]);
    // The socket that holds the port has seen nothing of it.
    ring.send(20_000, peer.local_addr().unwrap(), b"report")
        .unwrap();
    let mut buffer = [0; 16];
    let (size, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (&buffer[..size], from),
        (&b"report"[..], (LOCALHOST, 20_000).into())
    );
    assert!(ring.send(20_001, from, b"").is_err(), "not open");
}

#[test]
fn where_the_card_notes_no_time_packets_bear_the_kernels() {
    if !enter() {
        return;
    }
    let setup = RingSetup {
        takes_card_times: true,
        ..setup("lo", &[SLICE])
    };
    let mut ring = open(&setup);
    ring.open(LOCALHOST, 20_000).unwrap();
    let peer = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    peer.send_to(b"hello", (LOCALHOST, 20_000)).unwrap();
    // Whose time it bears is looked at there.
    assert_eq!(drain(&mut ring).len(), 1);
}

#[test]
fn an_open_port_is_nobody_elses_and_a_closed_one_is_ignored() {
    if !enter() {
        return;
    }
    let mut ring = open(&setup("lo", &[SLICE]));
    ring.open(LOCALHOST, 20_000).unwrap();
    let in_use = std::io::ErrorKind::AddrInUse;
    assert_eq!(ring.open(LOCALHOST, 20_000).unwrap_err().kind(), in_use);
    assert_eq!(
        UdpSocket::bind((LOCALHOST, 20_000)).unwrap_err().kind(),
        in_use
    );
    ring.close(20_000);
    let other = UdpSocket::bind((LOCALHOST, 20_000)).unwrap();
    assert_eq!(ring.open(LOCALHOST, 20_000).unwrap_err().kind(), in_use);
    other.send_to(b"for another", (LOCALHOST, 20_000)).unwrap();
    assert_eq!(drain(&mut ring), []);
    assert_eq!(ring.counters().unwrap().closed, 1);
    assert!(ring.open(LOCALHOST, 20_100).is_err(), "not of this slice");
}

#[test]
fn a_block_is_held_until_the_journal_has_its_packets() {
    if !enter() {
        return;
    }
    let mut small = setup("lo", &[SLICE]);
    small.interfaces[0].geometry = RingGeometry {
        block_size: 16 * 1024,
        block_count: 8,
    };
    let peer = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    let send = |count: u32, first: u32| {
        for number in first..first + count {
            let payload = [&number.to_be_bytes()[..], &[0; 1_996]].concat();
            peer.send_to(&payload, (LOCALHOST, 20_000)).unwrap();
        }
    };
    // A block holds 7 of them, or less where this process sleeps for so long that the kernel hands
    // it over before it is full: then the ring is too small, and it is tried again.
    let fill = || {
        let mut ring = open(&small);
        ring.open(LOCALHOST, 20_000).unwrap();
        send(50, 0);
        let first = drain(&mut ring);
        (ring.counters().unwrap().kernel_drops == 0).then_some((ring, first))
    };
    let (mut ring, first) = (0..50).find_map(|_| fill()).expect("50 of 56 fit");
    assert_eq!(ring.held_blocks(), 6, "all but two");
    ring.handle_position(first.len() as u64);
    ring.release(first.len() as u64 - 1);
    assert_eq!(drain(&mut ring), [], "nothing may be released yet");
    ring.release(first.len() as u64);
    assert_eq!(ring.held_blocks(), 0);
    let second = drain(&mut ring);
    assert_eq!(first.len() + second.len(), 50, "what waited came later");
    for (number, got) in (0_u32..).zip(first.iter().chain(&second)) {
        assert_eq!(got.2[..4], number.to_be_bytes());
    }
    // With everything held, the kernel has to drop, and says so.
    send(200, 50);
    let third = drain(&mut ring);
    let counters = ring.counters().unwrap();
    assert!(counters.kernel_drops > 0 && counters.kernel_freezes > 0);
    ring.handle_position(1_000_000);
    ring.release(1_000_000);
    let fourth = drain(&mut ring).len() as u64;
    let all = third.len() as u64 + fourth + ring.counters().unwrap().kernel_drops;
    assert_eq!(all, 200, "each is delivered or counted");
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    if !enter() {
        return;
    }
    let refused = RingIngest::open_all(&setup("eth77", &[SLICE]));
    assert!(matches!(refused, Err(RingError::NoInterface(name)) if name == "eth77"));
}
