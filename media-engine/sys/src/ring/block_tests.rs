//! Blocks made as the kernel makes them, and damaged.

use super::*;

/// A block with these packets, each behind an Ethernet header.
fn block(packets: &[&[u8]]) -> Vec<u8> {
    let mut block = vec![0; 48];
    block[12..16].copy_from_slice(&(packets.len() as u32).to_ne_bytes());
    block[16..20].copy_from_slice(&48_u32.to_ne_bytes());
    for (index, packet) in packets.iter().enumerate() {
        let (mac, net) = (82_u16, 96_u16);
        let size = usize::from(net) + packet.len();
        let next = size.next_multiple_of(8);
        let mut header = vec![0; next];
        let mut word = |at: usize, value: u32| {
            header[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        };
        word(
            0,
            if index + 1 < packets.len() {
                next as u32
            } else {
                0
            },
        );
        word(4, 1_000 + index as u32);
        word(8, 7);
        word(12, packet.len() as u32 + 14);
        word(16, packet.len() as u32 + 14);
        word(20, STATUS_USER | libc::TP_STATUS_CSUM_VALID);
        word(52, 3);
        header[24..26].copy_from_slice(&mac.to_ne_bytes());
        header[26..28].copy_from_slice(&net.to_ne_bytes());
        header[50..52].copy_from_slice(&0x0800_u16.to_be_bytes());
        header[96..size].copy_from_slice(packet);
        block.extend(header);
    }
    block
}

#[test]
fn the_packets_of_a_block_come_in_order_with_what_the_kernel_says_of_them() {
    let bytes = block(&[b"first", b"", b"the third"]);
    let mut frames = Frames::of(&bytes);
    let found: Vec<_> = frames.by_ref().collect();
    assert_eq!(
        found.iter().map(|it| it.captured).collect::<Vec<_>>(),
        [&b"first"[..], b"", b"the third"]
    );
    let third = found[2];
    assert_eq!(third.arrival, WallTime(1_002_000_000_007));
    assert_eq!(
        (third.protocol, third.kind, third.interface),
        (0x0800, 0, 3)
    );
    assert_eq!((third.wire_size, third.is_known_intact()), (9, true));
    assert_eq!(frames.unread(), 0);
}

#[test]
fn a_packet_that_was_cut_off_has_its_size_on_the_wire() {
    let mut bytes = block(&[b"0123456789"]);
    bytes[48 + 12..48 + 16].copy_from_slice(&18_u32.to_ne_bytes());
    let frame = Frames::of(&bytes).next().unwrap();
    assert_eq!((frame.captured, frame.wire_size), (&b"0123"[..], 10));
}

#[test]
fn damaged_blocks_never_panic_and_end() {
    let good = block(&[&[1; 30], &[2; 200], &[3; 7]]);
    let mut seed = 11_u64;
    let mut random = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for _ in 0..50_000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        bytes.truncate(random() % (2 * bytes.len()));
        // A packet that points at itself ends with the count that the block states.
        if let Some(high) = bytes.get_mut(14..16) {
            high.fill(0);
        }
        let mut frames = Frames::of(&bytes);
        let count = frames.by_ref().count();
        assert!(count <= 0xffff);
    }
}
