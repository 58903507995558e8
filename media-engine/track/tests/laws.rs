//! Which law a file keeps, and how the two come together.

mod support;

use holdfast_rtp::g711::{ALAW_TO_LINEAR, ULAW_TO_LINEAR};
use holdfast_track::wav::SampleFormat;
use support::*;

fn track(law: u8, count: u32) -> Track {
    let mut track = Track::new();
    for number in 0..count {
        let payload = pattern(number);
        track.rtp(
            u64::from(number) * 20,
            Rtp {
                pt: law,
                ..voice(number, &payload)
            },
        );
    }
    track
}

#[test]
fn all_a_law_stays_a_law_with_its_own_silence() {
    let (short, long) = (track(PCMA, 10), track(PCMA, 20));
    let rendered = rendered(400, &[(Some(0), &short), (Some(1), &long)]);
    assert_eq!(rendered.plan.header().format, SampleFormat::ALaw);
    assert_eq!(
        rendered.channel(0),
        [spoken(0..10), vec![0xd5; 1_600]].concat()
    );
    assert_eq!(rendered.channel(1), spoken(0..20));
    assert!(!rendered.plan.is_decoded());
}

#[test]
fn mixed_laws_are_decoded_sample_by_sample() {
    let (mu_law, a_law) = (track(PCMU, 20), track(PCMA, 10));
    let rendered = rendered(400, &[(Some(0), &mu_law), (Some(1), &a_law)]);
    let header = *rendered.plan.header();
    assert_eq!((header.format, header.frames), (SampleFormat::Pcm16, 3_200));
    assert!(rendered.plan.is_decoded());
    let data = &rendered.wav[header.data_offset() as usize..];
    let expected = (0..3_200).flat_map(|frame| {
        let octet = pattern(frame as u32 / 160)[frame % 160];
        let first = ULAW_TO_LINEAR[usize::from(octet)];
        let second = if frame < 1_600 {
            ALAW_TO_LINEAR[usize::from(octet)]
        } else {
            0
        };
        [first.to_le_bytes(), second.to_le_bytes()].concat()
    });
    assert!(data.iter().copied().eq(expected));
    for report in rendered.plan.reports() {
        assert_eq!(report.flags, ["decoded"]);
    }
}

#[test]
fn an_odd_number_of_octets_is_padded_and_not_counted() {
    let mut track = Track::new();
    let payload = pattern(0);
    track.rtp(0, voice(0, &payload[..159]));
    let rendered = rendered_alone(0, &track);
    let header = rendered.plan.header();
    assert_eq!((header.frames, header.data_size()), (159, 159));
    assert_eq!(rendered.wav.len() as u64, header.data_offset() + 160);
    assert_eq!(rendered.channel(0), payload[..159]);
    assert_eq!(rendered.wav.last(), Some(&0));
}

#[test]
fn a_track_without_a_channel_is_accounted_for_and_not_heard() {
    let (heard, other) = (track(PCMU, 10), track(PCMA, 10));
    let rendered = rendered(200, &[(Some(0), &heard), (None, &other)]);
    assert_eq!(rendered.plan.header().format, SampleFormat::MuLaw);
    assert_eq!(rendered.plan.header().channels, 1);
    assert_eq!(rendered.report(1).packets, 10);
    assert!(!rendered.report(1).rendered);
    let reason = rendered.report(1).not_rendered_reason.as_deref();
    assert_eq!(reason, Some("no channel is assigned"));
}
