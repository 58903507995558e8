//! Test cases, chapter G, first half: reports, sequence and sources. Each test bears the number of
//! its case.
//!
//! Shown elsewhere: the content of reports (TC-110) in `e2e_rtcp`, damage done by the network
//! (TC-113) in `e2e_impaired`.

use std::time::{Duration, Instant};

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::bodies::sdp_of;
use holdfast_e2e::caller::{Call, Caller};
use holdfast_e2e::rtp::{Source, description, packet, reports, sender_report, speaker};
use holdfast_e2e::script::{Ask, Script, text_of};
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::Options;
use holdfast_e2e::talk::Talk;
use holdfast_load::answer::Answer;
use holdfast_load::invite::{Codec, Direction};
use holdfast_load::media::LegPlan;
use holdfast_load::pattern::{payload, stream_start};
use holdfast_manifest::{GapCause, MarkKind, SharedClock};

static SYSTEM: Shared = Shared::new();

/// TC-110 and TC-112 (a sender that stops where no report comes for 15 s), and TC-111 behind it:
/// reports go on while the stream is paused. The case's minute is 20 s here.
#[test]
fn tc_110_111_112_reports_come_in_time_and_at_random_also_while_paused() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcmu);
    let began = Instant::now();
    let talk = Talk::start(&call);
    let heard = reports(&call.ports[0].rtcp, Duration::from_secs(22));
    // RFC 3550 section 6.2: half of 5 s first, 0.5 to 1.5 of it, divided by 1.21828.
    let mut last = began;
    let gaps: Vec<Duration> = heard
        .iter()
        .map(|(at, _)| at.saturating_duration_since(std::mem::replace(&mut last, *at)))
        .collect();
    // Late by what a busy machine is late; early never.
    let slack = Duration::from_millis(1_500);
    assert!(gaps[0] < Duration::from_millis(3_100) + slack, "{gaps:?}");
    for gap in &gaps[1..] {
        let right = Duration::from_millis(2_000)..Duration::from_millis(6_200) + slack;
        assert!(right.contains(gap), "{gaps:?}");
    }
    let mut distinct: Vec<u128> = gaps[1..].iter().map(|gap| gap.as_millis() / 10).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() >= gaps.len() - 2, "at random: {gaps:?}");
    talk.finish();
    let paused = call.offer.redirected(Direction::Inactive);
    caller.reinvite(&mut call, paused);
    let heard = reports(&call.ports[0].rtcp, Duration::from_secs(15));
    assert!(
        heard.len() >= 2,
        "a pause is no reason to be silent: {heard:?}"
    );
    caller.hang_up(&call);
}

/// Sequence and timestamp wrap in the middle of what is said, with one packet lost, one late and
/// one twice around it.
#[test]
fn tc_113_wraps_and_damage_around_them() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let mut source = Source::of(&call, 0, 0x0a0b_0c0d);
    source.sequence = u16::MAX - 10;
    source.timestamp = u32::MAX - 160 * 12;
    let key = speaker(&call, 0);
    let mut held = None;
    for slot in 0..60 {
        let now = packet(
            0,
            source.sequence,
            source.timestamp,
            source.ssrc,
            &payload(key, slot),
        );
        source.skip(160);
        match slot {
            9 => continue,
            10 => {
                held = Some(now);
                continue;
            }
            _ => {}
        }
        source.send_raw(&now);
        if let Some(late) = held.take() {
            source.send_raw(&late);
            source.send_raw(&late);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    caller.stay(Duration::from_millis(100));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let stream = &published.manifest.streams[0];
    let counts = (stream.packets, stream.lost, stream.late, stream.duplicate);
    assert_eq!(counts, (59, 1, 1, 1), "{stream:?}");
    let samples = &Audio::of(&published.folder).channels[0];
    let plan = LegPlan::plain(key, Codec::Pcmu, 60);
    let slots = Slots::of(samples, &plan);
    assert_eq!(slots.missing, [9]);
    assert_eq!(slots.covered(&stream.gaps, GapCause::Loss), [9]);
}

/// One source ends and another goes on: the same track, and a mark.
#[test]
fn tc_114_ssrc_change() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let mut first = Source::of(&call, 0, 0x1111);
    let key = speaker(&call, 0);
    let cname = |ssrc: u32, call: &Call| {
        let to = call.answer.lines[0].rtcp.expect("a port");
        let compound = [
            sender_report(ssrc, 1, 1, 1),
            description(ssrc, "same@example.com"),
        ]
        .concat();
        call.ports[0].rtcp.send_to(&compound, to).expect("a report");
    };
    cname(0x1111, &call);
    for slot in 0..40 {
        first.send(&payload(key, slot), 160);
        std::thread::sleep(Duration::from_millis(20));
    }
    cname(0x2222, &call);
    let mut second = Source::of(&call, 0, 0x2222);
    second.sequence = 7;
    second.timestamp = 99;
    for slot in 40..80 {
        second.send(&payload(key, slot), 160);
        std::thread::sleep(Duration::from_millis(20));
    }
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let stream = &published.manifest.streams[0];
    assert_eq!(stream.packets, 80, "{stream:?}");
    assert_eq!(stream.lost, 0);
    let sources: Vec<_> = stream
        .ssrcs
        .iter()
        .map(|one| (one.ssrc, one.packets))
        .collect();
    assert_eq!(sources, [(0x1111, 40), (0x2222, 40)]);
    let changes = stream.marks.iter().filter(|mark| {
        matches!(
            mark.kind,
            MarkKind::SsrcChange {
                from: 0x1111,
                to: 0x2222
            }
        )
    });
    assert_eq!(changes.count(), 1, "{:?}", stream.marks);
    let samples = &Audio::of(&published.folder).channels[0];
    for slot in [0, 39, 40, 79] {
        let found = samples
            .windows(160)
            .any(|window| window == payload(key, slot));
        assert!(found, "slot {slot} is in the track");
    }
}

/// Two streams of one clock, the second held back for 300 ms on its way, lie beside each other as
/// their sender reports say; those of two clocks as they arrived.
#[test]
fn tc_122_av_sync() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    for cnames in [["av@example.com"; 2], ["a@example.com", "b@example.com"]] {
        let is_one_clock = cnames[0] == cnames[1];
        let call = caller.call(Codec::Pcmu);
        let mut sources = [0, 1].map(|line| Source::of(&call, line, 0x1220 + line as u32));
        sources[1].timestamp = u32::MAX - 160 * 20;
        let starts = [0, 1].map(|line| sources[line].timestamp);
        let begin = Instant::now();
        for slot in 0..90_u32 {
            let due = begin + Duration::from_millis(20) * slot;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            for line in 0..2 {
                let source = &mut sources[line];
                let Some(own) = slot.checked_sub(15 * line as u32).filter(|own| *own < 75) else {
                    continue;
                };
                source.send(&payload(speaker(&call, line), own), 160);
                if own % 25 == 10 {
                    // Units of 1/65,536 s.
                    let ntp = 0x4000_0000 + own * 65_536 / 50;
                    let rtp = starts[line].wrapping_add(own * 160);
                    let compound = [
                        sender_report(source.ssrc, ntp, rtp, own),
                        description(source.ssrc, cnames[line]),
                    ]
                    .concat();
                    let to = call.answer.lines[line].rtcp.expect("a port");
                    let sent = call.ports[line].rtcp.send_to(&compound, to);
                    sent.expect("a report");
                }
            }
        }
        caller.stay(Duration::from_millis(100));
        caller.hang_up(&call);
        let published = system.published(&call.call_id);
        let audio = Audio::of(&published.folder);
        let begins = [0, 1].map(|line| {
            let plan = LegPlan::plain(speaker(&call, line), Codec::Pcmu, 75);
            let slots = Slots::of(&audio.channels[line], &plan);
            assert_eq!(slots.missing, [0; 0]);
            slots.first_sample
        });
        let streams = &published.manifest.streams;
        // However late a busy machine sent and took them.
        let came = [0, 1].map(|line| streams[line].ssrcs[0].first_seen);
        let came_apart_ms = came[1].since(came[0]).as_millis() as i64;
        let apart_ms = (begins[1] - begins[0]) / 8;
        match (is_one_clock, [0, 1].map(|line| streams[line].aligned)) {
            (true, [Some(first), Some(second)]) => {
                assert!(apart_ms.abs() < 20, "{begins:?} of samples");
                assert_eq!((first.by, first.shift_ms), (SharedClock::Cname, 0));
                assert!((second.shift_ms + came_apart_ms).abs() < 20, "{second:?}");
            }
            (false, [None, None]) => {
                assert!(
                    (apart_ms - came_apart_ms).abs() < 20,
                    "{begins:?} of samples"
                );
            }
            (_, aligned) => panic!("aligned: {aligned:?}"),
        }
    }
}

/// Two at once are told apart and never interleaved.
#[test]
fn tc_114_two_ssrcs_at_once() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let mut one = Source::of(&call, 0, 0x1111);
    let mut two = Source::of(&call, 0, 0x2222);
    two.sequence = 30_000;
    let key = speaker(&call, 0);
    for slot in 0..60 {
        one.send(&payload(key, slot), 160);
        two.send(&payload(key, 1_000 + slot), 160);
        std::thread::sleep(Duration::from_millis(20));
    }
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let stream = &published.manifest.streams[0];
    let sources: Vec<_> = stream.ssrcs.iter().map(|one| one.ssrc).collect();
    assert_eq!(sources, [0x1111, 0x2222], "{stream:?}");
    let samples = &Audio::of(&published.folder).channels[0];
    let plan = LegPlan::plain(key, Codec::Pcmu, 60);
    assert_eq!(
        Slots::of(samples, &plan).missing,
        [0; 0],
        "the first is whole"
    );
}

/// A source that takes the identity of the recorder's own: a goodbye, and another identity.
#[test]
fn tc_114_own_ssrc_taken() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    let first = reports(&call.ports[0].rtcp, Duration::from_secs(5));
    let ours = first.first().expect("a report").1.ssrc;
    talk.finish();
    let mut source = Source::of(&call, 0, ours);
    for slot in 0..10 {
        source.send(&payload(speaker(&call, 0), slot), 160);
        std::thread::sleep(Duration::from_millis(20));
    }
    let to = call.answer.lines[0].rtcp.expect("a port");
    let compound = [
        sender_report(ours, 1, 1, 1),
        description(ours, "thief@example.com"),
    ]
    .concat();
    call.ports[0].rtcp.send_to(&compound, to).expect("a report");
    let heard = reports(&call.ports[0].rtcp, Duration::from_secs(8));
    assert!(
        heard
            .iter()
            .any(|(_, report)| report.is_goodbye && report.ssrc == ours),
        "{heard:?}"
    );
    assert!(
        heard.iter().any(|(_, report)| report.ssrc != ours),
        "{heard:?}"
    );
    caller.hang_up(&call);
}

#[test]
fn tc_115_keepalives_and_junk() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    let to = call.answer.lines[0].rtp.expect("a port");
    let from = &call.ports[0].rtp;
    let key = speaker(&call, 0);
    let ssrc = stream_start(key).ssrc;
    let right = packet(0, 1, 0, ssrc, &[1; 160]);
    let with = |at: usize, octet: u8| {
        let mut bytes = right.clone();
        bytes[at] = octet;
        bytes
    };
    let mut padded = with(0, 0xa0);
    *padded.last_mut().expect("octets") = 255;
    let mut extended = with(0, 0x90);
    extended[14..16].copy_from_slice(&[0xff, 0xff]);
    let junk: [&[u8]; 9] = [
        b"",
        b"\0",
        &with(0, 0x00),                                                  // V=0
        &with(1, 77),                                                    // a type nobody knows
        &[&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat(), // STUN
        &padded,                                                         // more padding than packet
        &extended,            // more extension than packet
        &with(0, 0x8f)[..40], // more sources than packet
        &right[..11],         // no whole header
    ];
    for bytes in junk {
        from.send_to(bytes, to).expect("a datagram");
    }
    caller.stay(Duration::from_millis(400));
    let legs = talk.finish();
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let stream = &published.manifest.streams[0];
    let refused: u64 = stream.refused.values().sum();
    // An empty datagram has nothing that could be counted as a packet.
    assert!(refused >= junk.len() as u64 - 1, "{:?}", stream.refused);
    let counts = (stream.packets, stream.lost);
    assert_eq!(counts, (legs[0].plan.counts().packets, 0), "{stream:?}");
    let samples = &Audio::of(&published.folder).channels[0];
    assert_eq!(Slots::of(samples, &legs[0].plan).missing, [0; 0]);
}

#[test]
fn tc_108_rtcp_variants() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut answers = Vec::new();
    for attribute in ["", "a=rtcp-mux\n", "a=rtcp-mux\na=rtcp-mux-only\n"] {
        let mut script = Script::new(&system);
        let sdp = sdp_of(
            &system,
            &format!("m=audio 40000 RTP/AVP 0\na=label:1\na=sendonly\n{attribute}"),
        );
        let response = script.open(&Ask::invite().sdp(&sdp));
        let text = text_of(&response);
        assert!(!text.contains("rtcp-mux-only"), "{text}");
        answers.push(text.contains("a=rtcp-mux"));
        script.hang_up();
    }
    assert_eq!(answers, [false, true, true]);
    // Reports to a port of their own, and none at all where none are wanted.
    let elsewhere = caller.open_ports();
    for (bandwidth, comes) in [("", true), ("b=RS:0\n", true), ("b=RR:0\n", false)] {
        let mut script = Script::new(&system);
        let port = elsewhere.address.port();
        let sdp = sdp_of(
            &system,
            &format!("m=audio 40000 RTP/AVP 0\n{bandwidth}a=rtcp:{port}\na=label:1\na=sendonly\n"),
        );
        let response = script.open(&Ask::invite().sdp(&sdp));
        let answer = Answer::parse(&response.body).expect("an answer");
        assert!(answer.lines[0].rtp.is_some());
        let heard = reports(&elsewhere.rtp, Duration::from_millis(4_500));
        assert_eq!(!heard.is_empty(), comes, "{bandwidth}: {heard:?}");
        script.hang_up();
        // The goodbye of this call is none of the next one's.
        let _ = reports(&elsewhere.rtp, Duration::from_millis(300));
    }
}
