//! What a recorder makes of the packets of a leg.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_load::invite::Codec;
use holdfast_manifest::{Gap, GapCause, Mark, MarkKind, Stream};
use holdfast_track::{Flags, Kind, Lsn, Record, encode_record};
use holdfast_units::{StreamId, WallTime};

/// Places packets by their timestamps, the first at a place of the leg's own.
pub(super) fn render(
    index: usize,
    label: String,
    packets: &[Vec<u8>],
    codec: Codec,
) -> (Stream, Vec<u8>) {
    let sequence_of = |packet: &[u8]| u16::from_be_bytes([packet[2], packet[3]]);
    let timestamp_of = |p: &[u8]| u32::from_be_bytes([p[4], p[5], p[6], p[7]]);
    let (first_sequence, first_timestamp) = (sequence_of(&packets[0]), timestamp_of(&packets[0]));
    let offset = 80 * (index + 1);
    let mut stream = Stream::new(index as u32 + 1, StreamId(index as u64));
    let mut by_sequence = BTreeMap::new();
    for packet in packets {
        let sequence = sequence_of(packet).wrapping_sub(first_sequence);
        let elapsed = timestamp_of(packet).wrapping_sub(first_timestamp) as usize;
        if by_sequence.contains_key(&sequence) {
            stream.duplicate += 1;
            continue;
        }
        by_sequence.insert(sequence, (offset + elapsed, packet.as_slice()));
        stream.late += u64::from(by_sequence.last_key_value().unwrap().0 > &sequence);
        stream.packets += 1;
    }
    let mut channel = vec![codec.silence(); offset];
    let (mut next, mut end, mut missing) = (0, offset, 0);
    for (sequence, (place, packet)) in by_sequence {
        missing += u64::from(sequence - next);
        next = sequence + 1;
        assert_eq!(packet[0], 0x80);
        match (packet[1] & 0x7f, &packet[12..]) {
            (101, [event, _, high, low]) => {
                let samples = u16::from_be_bytes([*high, *low]).into();
                press(&mut stream, *event, place, samples);
                end = end.max(place + samples);
            }
            (payload_type, samples) => {
                let sent = (payload_type, samples.len());
                assert_eq!(sent, (codec.payload_type(), codec.octets()));
                note_gap(&mut stream, end, place, std::mem::take(&mut missing));
                end = place + 160;
                channel.resize(channel.len().max(end), codec.silence());
                if codec.is_heard() {
                    channel[place..end].copy_from_slice(samples);
                }
            }
        }
    }
    stream.lost = u64::from(next) - stream.packets;
    stream.label = Some(label);
    stream.channel = Some(index as u16);
    stream.rendered = codec.is_heard();
    if !stream.rendered {
        stream.not_rendered_reason = Some("nobody can hear it".to_owned());
        note_gap(&mut stream, offset, end, 0);
        let gap = stream.gaps.last_mut().unwrap();
        gap.cause = GapCause::NotRendered;
        let begin = Gap {
            from_ms: 0,
            to_ms: milliseconds(offset),
            cause: GapCause::NotStarted,
            ..gap.clone()
        };
        stream.gaps.insert(0, begin);
    }
    (stream, channel)
}

/// The codec of a leg, by its first packet.
pub(super) fn codec_of(packet: &[u8]) -> Codec {
    let payload_type = packet[1] & 0x7f;
    let codecs = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16];
    let codec = codecs
        .into_iter()
        .find(|codec| codec.payload_type() == payload_type);
    codec.expect("a codec of the tool")
}

/// A track with these packets.
pub fn track(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = Vec::new();
    for (lsn, payload) in (1..).zip(packets) {
        let record = Record {
            kind: Kind::Packet,
            source: 1,
            flags: Flags::NONE,
            lsn: Lsn(lsn),
            arrival: WallTime(0),
            payload,
        };
        encode_record(&mut octets, &record).unwrap();
    }
    octets
}

/// Each packet once, as it came first.
pub(super) fn distinct(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut seen = BTreeSet::new();
    let fresh = packets.iter().filter(|packet| seen.insert(*packet));
    fresh.cloned().collect()
}

/// A key is told once, as long as the longest of its packets says.
fn press(stream: &mut Stream, event: u8, place: usize, samples: usize) {
    let (at_ms, ms) = (milliseconds(place), milliseconds(samples));
    let digit = char::from(b"0123456789*#ABCD"[usize::from(event)]).to_string();
    if let Some(Mark {
        at_ms: at,
        kind: MarkKind::TelephoneEvent { duration_ms, .. },
        ..
    }) = stream.marks.last_mut()
        && *at == at_ms
    {
        *duration_ms = ms.max(*duration_ms);
        return;
    }
    let (at, duration_ms) = (WallTime(0), ms);
    let kind = MarkKind::TelephoneEvent { digit, duration_ms };
    stream.marks.push(Mark { at_ms, at, kind });
}

/// What is missing between two packets of audio.
fn note_gap(stream: &mut Stream, from: usize, to: usize, packets: u64) {
    if from == to && packets == 0 {
        return;
    }
    let cause = if packets == 0 {
        GapCause::Dtx
    } else {
        GapCause::Loss
    };
    stream.gaps.push(Gap {
        from_ms: milliseconds(from),
        to_ms: milliseconds(to),
        from: WallTime(0),
        to: WallTime(0),
        cause,
        packets,
    });
}

const fn milliseconds(samples: usize) -> u64 {
    samples as u64 / 8
}
