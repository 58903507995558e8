use super::*;
use crate::fuzz::XorShift;

const BLOCK: ReportBlock = ReportBlock {
    ssrc: Ssrc(0x0102_0304),
    fraction_lost: 64,
    cumulative_lost: -2,
    highest: 0x0001_ffee,
    jitter: 33,
    last_sr: 0xaabb_ccdd,
    delay_since_last_sr: 0x0001_8000,
};

fn written(blocks: &[ReportBlock], cname: &[u8], bye: bool) -> Vec<u8> {
    let mut out = [0xee; crate::limits::RTCP_OUT_BYTES_MAX];
    let cname = Cname::from_bytes(cname).unwrap();
    let len = write_compound(&mut out, Ssrc(0xcafe_f00d), blocks, &cname, bye).unwrap();
    out[..len].to_vec()
}

#[test]
fn golden_report_with_name() {
    #[rustfmt::skip]
    let golden = [
        0x81, 201, 0, 7,  0xca, 0xfe, 0xf0, 0x0d,
        1, 2, 3, 4,  64, 0xff, 0xff, 0xfe,  0, 1, 0xff, 0xee,
        0, 0, 0, 33,  0xaa, 0xbb, 0xcc, 0xdd,  0, 1, 0x80, 0,
        0x81, 202, 0, 6,  0xca, 0xfe, 0xf0, 0x0d,
        1, 16, b'T', b'W', b'F', b'u', b'I', b'G', b'l', b'z',
        b'I', b'G', b'R', b'p', b'c', b'3', b'R', b'/', 0, 0,
    ];
    assert_eq!(written(&[BLOCK], b"TWFuIGlzIGRpc3R/", false), golden);
}

#[test]
fn golden_empty_report_with_name_and_bye() {
    #[rustfmt::skip]
    let golden = [
        0x80, 201, 0, 1,  0xca, 0xfe, 0xf0, 0x0d,
        // A name that fills its word is followed by a word of zeros.
        0x81, 202, 0, 3,  0xca, 0xfe, 0xf0, 0x0d,  1, 2, b'a', b'b',  0, 0, 0, 0,
        0x81, 203, 0, 1,  0xca, 0xfe, 0xf0, 0x0d,
    ];
    assert_eq!(written(&[], b"ab", true), golden);
}

#[test]
fn what_is_written_is_read_back() {
    let mut random = XorShift::new(3_550);
    for round in 0..500 {
        let blocks: Vec<ReportBlock> = (0..random.below(9))
            .map(|_| ReportBlock {
                ssrc: Ssrc(random.next() as u32),
                fraction_lost: random.next() as u8,
                cumulative_lost: (random.below(1 << 24) as i32) - (1 << 23),
                highest: random.next() as u32,
                jitter: random.next() as u32,
                last_sr: random.next() as u32,
                delay_since_last_sr: random.next() as u32,
            })
            .collect();
        let name: Vec<u8> = (0..=random.below(47))
            .map(|_| random.next() as u8)
            .collect();
        let bye = random.below(2) == 0;
        let bytes = written(&blocks, &name, bye);
        let mut parts = Compound::parse(&bytes, false).unwrap();
        let Some(RtcpPacket::ReceiverReport { ssrc, blocks: read }) = parts.next() else {
            panic!("round {round}");
        };
        assert_eq!(ssrc, Ssrc(0xcafe_f00d));
        assert_eq!(read.iter().collect::<Vec<_>>(), blocks);
        let Some(RtcpPacket::SourceDescription(chunks)) = parts.next() else {
            panic!("round {round}");
        };
        assert_eq!(
            chunks.collect::<Vec<_>>(),
            [(Ssrc(0xcafe_f00d), Some(&name[..]))]
        );
        assert_eq!(
            matches!(parts.next(), Some(RtcpPacket::Goodbye { .. })),
            bye
        );
    }
}

#[test]
fn a_buffer_too_small_is_an_answer() {
    let whole = written(&[BLOCK], b"name", true).len();
    let cname = Cname::from_bytes(b"name").unwrap();
    for len in 0..whole {
        let mut out = vec![0; len];
        assert_eq!(
            write_compound(&mut out, Ssrc(1), &[BLOCK], &cname, true),
            Err(NoRoom)
        );
    }
    let many = [BLOCK; 32];
    assert_eq!(
        write_compound(&mut [0; 2_000], Ssrc(1), &many, &cname, false),
        Err(NoRoom)
    );
}

/// RFC 3550 A.2, a row for each check.
#[test]
fn what_is_no_compound_is_refused_with_its_reason() {
    const RR: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 1];
    const BYE: [u8; 8] = [0x81, 203, 0, 1, 0, 0, 0, 1];
    let join = |parts: &[&[u8]]| parts.concat();
    for (name, bytes, reduced, expected) in [
        ("a report", join(&[&RR]), false, Ok(1)),
        ("report and BYE", join(&[&RR, &BYE]), false, Ok(2)),
        ("empty", vec![], false, Err(RtcpError::TooShort)),
        (
            "three octets",
            vec![0x80, 201, 0],
            false,
            Err(RtcpError::TooShort),
        ),
        (
            "BYE first",
            join(&[&BYE, &RR]),
            false,
            Err(RtcpError::NotCompound),
        ),
        ("BYE first, reduced size", join(&[&BYE]), true, Ok(1)),
        (
            "version 1",
            vec![0x40, 201, 0, 1, 0, 0, 0, 1],
            false,
            Err(RtcpError::BadVersion),
        ),
        (
            "version 1 later",
            join(&[&RR, &[0x41, 203, 0, 0]]),
            false,
            Err(RtcpError::BadVersion),
        ),
        (
            "too long",
            vec![0x80, 201, 0, 2, 0, 0, 0, 1],
            false,
            Err(RtcpError::BadLength),
        ),
        (
            "trailing octets",
            join(&[&RR, &[0x81, 203]]),
            false,
            Err(RtcpError::TooShort),
        ),
        (
            "padded first",
            join(&[&[0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4]]),
            false,
            Err(RtcpError::BadPadding),
        ),
        (
            "padded last",
            join(&[&RR, &[0xa1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4]]),
            false,
            Ok(2),
        ),
        (
            "padded in the middle",
            join(&[&RR, &[0xa1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4], &BYE]),
            false,
            Err(RtcpError::BadPadding),
        ),
        (
            "padding of 0",
            join(&[&RR, &[0xa1, 203, 0, 1, 0, 0, 0, 0]]),
            false,
            Err(RtcpError::BadPadding),
        ),
        (
            "padding of 3",
            join(&[&RR, &[0xa1, 203, 0, 1, 0, 0, 0, 3]]),
            false,
            Err(RtcpError::BadPadding),
        ),
        (
            "padding over the head",
            join(&[&RR, &[0xa1, 203, 0, 1, 0, 0, 0, 8]]),
            false,
            Err(RtcpError::BadPadding),
        ),
        (
            "a head alone, padded",
            join(&[&RR, &[0xa0, 203, 0, 0]]),
            false,
            Err(RtcpError::BadPadding),
        ),
    ] {
        let found = Compound::parse(&bytes, reduced).map(Iterator::count);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn every_type_is_read() {
    #[rustfmt::skip]
    let bytes = [
        0x80, 200, 0, 6,  0, 0, 0, 9,  1, 2, 3, 4, 5, 6, 7, 8,  0, 0, 0, 160,
        0, 0, 0, 50,  0, 0, 31, 64,
        0x82, 202, 0, 5,  0, 0, 0, 9,  1, 3, b'a', b'@', b'b', 6, 0, 0,
        0, 0, 0, 10,  2, 1, b'x', 0,
        0x83, 204, 0, 3,  0, 0, 0, 9,  b'T', b'E', b'S', b'T',  1, 2, 3, 4,
        0x8f, 205, 0, 3,  0, 0, 0, 9,  0, 0, 0, 8,  5, 5, 5, 5,
        0x81, 206, 0, 2,  0, 0, 0, 9,  0, 0, 0, 8,
        0x80, 207, 0, 2,  0, 0, 0, 9,  4, 0, 0, 0,
        0x80, 210, 0, 0,
        0x85, 201, 0, 1,  0, 0, 0, 9,
        0x82, 203, 0, 4,  0, 0, 0, 9,  0, 0, 0, 10,  4, b'g', b'o', b'n',  b'e', 0, 0, 0,
    ];
    let mut parts = Compound::parse(&bytes, false).unwrap();
    let Some(RtcpPacket::SenderReport {
        ssrc,
        ntp,
        rtp,
        packets,
        octets,
        blocks,
    }) = parts.next()
    else {
        panic!("SR");
    };
    assert_eq!(
        (ssrc, rtp, packets, octets),
        (Ssrc(9), RtpTimestamp(160), 50, 8_000)
    );
    assert_eq!(
        (ntp, blocks.iter().count()),
        (NtpTime(0x0102_0304_0506_0708), 0)
    );
    let Some(RtcpPacket::SourceDescription(chunks)) = parts.next() else {
        panic!("SDES")
    };
    let chunks: Vec<_> = chunks.collect();
    assert_eq!(chunks, [(Ssrc(9), Some(&b"a@b"[..])), (Ssrc(10), None)]);
    let Some(RtcpPacket::Application {
        subtype: 3,
        name,
        data,
        ..
    }) = parts.next()
    else {
        panic!("APP")
    };
    assert_eq!((&name, data), (b"TEST", &[1, 2, 3, 4][..]));
    let Some(RtcpPacket::Feedback {
        payload: false,
        format: 15,
        media,
        control,
        ..
    }) = parts.next()
    else {
        panic!("RTPFB")
    };
    assert_eq!((media, control), (Ssrc(8), &[5, 5, 5, 5][..]));
    assert!(matches!(
        parts.next(),
        Some(RtcpPacket::Feedback {
            payload: true,
            format: 1,
            ..
        })
    ));
    assert!(matches!(
        parts.next(),
        Some(RtcpPacket::ExtendedReport { ssrc: Ssrc(9), .. })
    ));
    assert!(matches!(
        parts.next(),
        Some(RtcpPacket::Unknown { packet_type: 210 })
    ));
    // Five blocks are claimed, none is there.
    assert!(matches!(
        parts.next(),
        Some(RtcpPacket::Unknown { packet_type: 201 })
    ));
    let Some(RtcpPacket::Goodbye { sources, reason }) = parts.next() else {
        panic!("BYE")
    };
    assert_eq!(sources.iter().collect::<Vec<_>>(), [Ssrc(9), Ssrc(10)]);
    assert_eq!(reason, Some(&b"gone"[..]));
    assert!(parts.next().is_none());
}

#[test]
fn cumulative_loss_keeps_its_sign_in_24_bits() {
    for (lost, expected) in [
        (0, 0),
        (-1, -1),
        (0x7f_ffff, 0x7f_ffff),
        (0x80_0000, 0x7f_ffff),
        (-0x80_0000, -0x80_0000),
        (i32::MIN, -0x80_0000),
    ] {
        let block = ReportBlock {
            cumulative_lost: lost,
            fraction_lost: 255,
            ..BLOCK
        };
        let read = ReportBlock::decode(&block.encode());
        assert_eq!(
            (read.cumulative_lost, read.fraction_lost),
            (expected, 255),
            "{lost}"
        );
    }
}

#[test]
fn padding_is_no_data() {
    let bytes = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let padded = [
        0xa0, 204, 0, 4, 0, 0, 0, 9, b'T', b'E', b'S', b'T', 1, 2, 3, 4, 0, 0, 0, 4,
    ];
    let bytes = [&bytes[..], &padded].concat();
    let Some(RtcpPacket::Application { data, .. }) = Compound::parse(&bytes, false).unwrap().nth(1)
    else {
        panic!("APP")
    };
    assert_eq!(data, [1, 2, 3, 4]);
}

#[test]
fn chunks_follow_each_other_whatever_the_length_of_their_names() {
    for len in 0..=255_u8 {
        let mut body = vec![0, 0, 0, 9, 1, len];
        body.extend(vec![b'n'; usize::from(len)]);
        body.push(0);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend([0, 0, 0, 10, 1, 1, b'x', 0]);
        let words = (body.len() / 4) as u8;
        let bytes = [&[0x82, 202, 0, words], &body[..]].concat();
        let Some(RtcpPacket::SourceDescription(chunks)) =
            Compound::parse(&bytes, true).unwrap().next()
        else {
            panic!("{len}")
        };
        let names: Vec<_> = chunks
            .map(|(ssrc, name)| (ssrc, name.map(<[u8]>::len)))
            .collect();
        assert_eq!(
            names,
            [(Ssrc(9), Some(usize::from(len))), (Ssrc(10), Some(1))]
        );
    }
}
