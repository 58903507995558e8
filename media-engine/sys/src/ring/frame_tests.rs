//! Datagrams as they should be, and everything else.

use super::super::test_packets::{IPV4, IPV6, Packet, fragments};
use super::*;

fn read(packet: &Packet) -> Datagram<'static> {
    let bytes: &'static [u8] = packet.bytes().leak();
    Datagram::read(packet.ethertype(), bytes, bytes.len()).unwrap()
}

#[test]
fn datagrams_of_both_families_are_read_past_options_and_extensions() {
    let mut with_options = Packet::v4(20_000);
    with_options.options = vec![1; 40];
    let mut with_extensions = Packet::v6(20_000);
    let long = [&[0, 2][..], &[0; 22]].concat();
    with_extensions.extensions = vec![(0, long), (60, vec![0; 8]), (44, vec![0; 8])];
    for packet in [
        Packet::v4(20_000),
        Packet::v6(20_000),
        with_options,
        with_extensions,
    ] {
        let found = read(&packet);
        assert_eq!((found.source, found.source_port), packet.source);
        assert_eq!((found.destination, found.port), packet.destination);
        assert_eq!(found.payload, packet.payload);
        assert!(found.is_whole() && found.is_intact(), "{packet:?}");
    }
}

#[test]
fn a_checksum_is_right_for_every_length_and_wrong_after_any_change() {
    for size in (0..20).chain([171, 172, 173, 1_472]) {
        for packet in [Packet::v4(20_000), Packet::v6(20_000)] {
            let packet = packet.payload(&vec![0xa5; size]);
            let mut bytes = packet.bytes();
            let last = bytes.len();
            let intact = |bytes: &[u8]| {
                Datagram::read(packet.ethertype(), bytes, last).is_ok_and(|it| it.is_intact())
            };
            assert!(intact(&bytes), "{size}");
            // Addresses, ports, checksum, payload; and twice is no change.
            for at in (last - 8 - size - 8..last).filter(|at| at % 7 == 0 || *at + 1 == last) {
                for _ in 0..2 {
                    assert!(intact(&bytes));
                    bytes[at] ^= 0x10;
                    assert!(!intact(&bytes), "octet {at} of {last}");
                    bytes[at] ^= 0x10;
                }
            }
        }
    }
}

#[test]
fn no_checksum_is_right_over_ipv4_only_and_then_the_header_must_be() {
    let mut packet = Packet::v4(20_000);
    packet.without_checksum = true;
    assert!(read(&packet).is_intact());
    let mut bytes = packet.bytes();
    bytes[15] ^= 1;
    assert!(
        !Datagram::read(IPV4, &bytes, bytes.len())
            .unwrap()
            .is_intact()
    );
    let mut packet = Packet::v6(20_000);
    packet.without_checksum = true;
    assert!(!read(&packet).is_intact());
}

#[test]
fn padding_behind_a_short_packet_is_no_payload() {
    let packet = Packet::v4(20_000).payload(&[1, 2, 3]);
    let mut bytes = packet.bytes();
    bytes.resize(46, 0);
    let found = Datagram::read(IPV4, &bytes, bytes.len()).unwrap();
    assert_eq!((found.payload, found.is_whole()), (&[1, 2, 3][..], true));
    assert!(found.is_intact());
}

#[test]
fn a_datagram_that_was_cut_off_says_how_long_it_is() {
    let bytes = Packet::v4(20_000).bytes();
    let found = Datagram::read(IPV4, &bytes[..100], bytes.len()).unwrap();
    assert_eq!((found.payload.len(), found.size), (72, 172));
    assert!(!found.is_whole());
    // On the wire it must have been whole.
    assert_eq!(
        Datagram::read(IPV4, &bytes[..100], 100).unwrap_err(),
        Unreadable
    );
}

#[test]
fn fragments_are_no_datagrams() {
    for piece in fragments(&Packet::v4(20_000).bytes(), 64) {
        assert!(Datagram::read(IPV4, &piece, piece.len()).is_err());
    }
    let mut packet = Packet::v6(20_000);
    packet.extensions = vec![(44, vec![0, 0, 0, 1, 0, 0, 0, 9])];
    let bytes = packet.bytes();
    assert!(Datagram::read(IPV6, &bytes, bytes.len()).is_err());
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let good = Packet::v4(20_000).bytes();
    for (at, value) in [
        (0, 0x44),  // a header shorter than a header
        (0, 0x65),  // another version
        (3, 19),    // an end within the header
        (24, 0xff), // a datagram longer than its packet
        (25, 7),    // a datagram shorter than its header
        (9, 6),     // not UDP
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        if at == 3 {
            bytes[2] = 0;
        }
        if at == 25 {
            bytes[24] = 0;
        }
        assert!(Datagram::read(IPV4, &bytes, bytes.len()).is_err(), "{at}");
    }
    assert!(Datagram::read(0x0806, &good, good.len()).is_err());
    let mut packet = Packet::v6(20_000);
    packet.extensions = vec![(60, vec![0; 8]); 5];
    let bytes = packet.bytes();
    assert!(
        Datagram::read(IPV6, &bytes, bytes.len()).is_err(),
        "a chain without end"
    );
}

#[test]
fn mutated_packets_never_panic() {
    let mut seed = 3_u64;
    let mut random = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let mut with_extensions = Packet::v6(20_000);
    with_extensions.extensions = vec![(0, vec![0; 8]), (44, vec![0; 8])];
    let templates = [Packet::v4(20_000), Packet::v6(20_000), with_extensions];
    let (mut good, mut bad) = (0, 0);
    for _ in 0..50_000 {
        let packet = &templates[random() % templates.len()];
        let mut bytes = packet.bytes();
        for _ in 0..random() % 5 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        let wire_size = bytes.len() + random() % 3;
        bytes.truncate(random() % (bytes.len() + 200));
        match Datagram::read(packet.ethertype(), &bytes, wire_size) {
            Ok(found) => {
                assert!(found.payload.len() <= found.size && found.size <= wire_size);
                good += usize::from(found.is_whole() && found.is_intact());
            }
            Err(Unreadable) => bad += 1,
        }
    }
    assert!(good > 1_000 && bad > 1_000, "{good} {bad}");
}
