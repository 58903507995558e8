//! Whatever octets arrive, in whatever order: nothing panics, nothing grows.

use holdfast_rtp::fuzz::{XorShift, any_datagram, any_stream};

/// RTP with CSRCs, extension, padding and an event; RTCP of every type.
fn seeds() -> Vec<Vec<u8>> {
    let mut rtp = vec![
        0xb2, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2,
    ];
    rtp.extend([
        0xbe, 0xde, 0, 1, 0x10, 0x55, 0, 0, 5, 0x8a, 3, 0x20, 0, 0, 0, 4,
    ]);
    let mut rtcp = vec![0x81, 200, 0, 12, 0, 0, 0, 9];
    rtcp.extend([7; 44]);
    rtcp.extend([0x81, 202, 0, 3, 0, 0, 0, 9, 1, 3, b'a', b'@', b'b', 0, 0, 0]);
    rtcp.extend([0x83, 204, 0, 2, 0, 0, 0, 9, b'T', b'E', b'S', b'T']);
    rtcp.extend([
        0x81, 205, 0, 2, 0, 0, 0, 9, 0, 0, 0, 8, 0x80, 207, 0, 1, 0, 0, 0, 9,
    ]);
    rtcp.extend([0x81, 203, 0, 2, 0, 0, 0, 9, 3, b'b', b'y', b'e']);
    vec![rtp, rtcp]
}

fn mutate(random: &mut XorShift, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1) as u64) as usize;
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), random.next() as u8),
            2 => bytes.extend_from_within(at.min(bytes.len())..),
            _ => {
                if let Some(octet) = bytes.get_mut(at) {
                    *octet ^= 1 << random.below(8);
                }
            }
        }
    }
}

#[test]
fn datagrams_cut_at_every_octet() {
    for seed in seeds() {
        for len in 0..=seed.len() {
            any_datagram(&seed[..len]);
        }
    }
}

#[test]
fn datagrams_with_random_damage() {
    let mut random = XorShift::new(1);
    for seed in seeds() {
        for _ in 0..40_000 {
            let mut bytes = seed.clone();
            mutate(&mut random, &mut bytes);
            any_datagram(&bytes);
        }
    }
}

#[test]
fn whole_streams_with_random_damage() {
    let mut random = XorShift::new(2);
    for _ in 0..300 {
        let mut stream = Vec::new();
        let mut sequence = random.next() as u16;
        for _ in 0..100 {
            let mut datagram = vec![0x80, [0, 8, 13, 96][random.below(4) as usize]];
            match random.below(8) {
                0 => sequence = random.next() as u16,
                1 => {}
                2 => sequence = sequence.wrapping_sub(random.below(200) as u16),
                _ => sequence = sequence.wrapping_add(1),
            }
            datagram.extend(sequence.to_be_bytes());
            datagram.extend((random.next() as u32).to_be_bytes());
            datagram.extend((random.below(12) as u32).to_be_bytes());
            if random.below(6) == 0 {
                datagram = seeds().swap_remove(random.below(2) as usize);
                mutate(&mut random, &mut datagram);
            }
            datagram.truncate(255);
            let source = if random.below(10) == 0 {
                random.next() as u8
            } else {
                1
            };
            stream.extend([random.below(256) as u8, source, datagram.len() as u8]);
            stream.extend(datagram);
        }
        any_stream(&stream);
    }
}
