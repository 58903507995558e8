//! Test cases, chapter G, second half: what is said, and who else speaks. Each test bears the
//! number of its case.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::caller::Caller;
use holdfast_e2e::rtp::{Source, description, packet, sender_report, speaker};
use holdfast_e2e::script::Script;
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{Mode, Talk, assert_recorded, converse, truth};
use holdfast_load::invite::{Codec, Direction};
use holdfast_load::media::LegPlan;
use holdfast_load::pattern::{payload, stream_start};
use holdfast_load::verify::{Published, check_recording};
use holdfast_manifest::{GapCause, MarkKind};

static SYSTEM: Shared = Shared::new();

/// 1 2 2 #, with the first packet of one and all but one end packet of another lost; then a key
/// held for 12 s, in segments.
#[test]
fn tc_116_dtmf() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let mut source = Source::of(&call, 0, 0x4444);
    let key = speaker(&call, 0);
    for slot in 0..5 {
        source.send(&payload(key, slot), 160);
    }
    let mut keys = Keys { source };
    keys.press(1, 800, 0, 3);
    keys.press(2, 800, 1, 3);
    keys.press(2, 800, 0, 1);
    keys.press(11, 800, 0, 3);
    keys.hold(5, 96_000);
    keys.source.send(&payload(key, 5), 160);
    caller.stay(Duration::from_millis(100));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    assert_eq!(
        pressed(&published),
        [
            ("1", 100),
            ("2", 100),
            ("2", 100),
            ("#", 100),
            ("5", 12_000)
        ]
        .map(|(digit, ms)| (digit.to_owned(), ms))
    );
}

/// What is pressed while the recording is paused is not for the recording.
#[test]
fn tc_116_dtmf_while_paused() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcmu);
    let source = Source::of(&call, 0, 0x4444);
    let mut keys = Keys { source };
    keys.press(1, 800, 0, 3);
    caller.stay(Duration::from_millis(60));
    let paused = call.offer.redirected(Direction::Inactive);
    caller.reinvite(&mut call, paused);
    keys.press(9, 800, 0, 3);
    caller.stay(Duration::from_millis(60));
    let on = call.offer.redirected(Direction::SendOnly);
    caller.reinvite(&mut call, on);
    keys.press(2, 800, 0, 3);
    caller.stay(Duration::from_millis(60));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let digits: Vec<_> = pressed(&published)
        .into_iter()
        .map(|(digit, _)| digit)
        .collect();
    assert_eq!(digits, ["1", "2"]);
}

/// Silence suppression: timestamps go on, sequence numbers do not. The case's 10 minutes are 3 s.
#[test]
fn tc_117_dtx_and_comfort_noise() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let sdp = prepared
        .offer
        .sdp()
        .replace("RTP/AVP 0 101", "RTP/AVP 0 13 101")
        .replace("a=ptime", "a=rtpmap:13 CN/8000\r\na=ptime");
    let (call, _) = script.place_with(prepared, &sdp);
    let formats = &call.answer.lines[0].formats;
    assert!(formats.contains(&"13".to_owned()), "{formats:?}");
    for line in 0..2 {
        let mut source = Source::of(&call, line, 0x7000 + line as u32);
        let key = speaker(&call, line);
        let mut slot = 0;
        let begin = Instant::now();
        let wait = |slot: u32| {
            let due = begin + Duration::from_millis(20) * slot;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        };
        for _ in 0..3 {
            for _ in 0..25 {
                wait(slot);
                source.send(&payload(key, slot), 160);
                slot += 1;
            }
            // The first line says how its silence sounds, the second one says nothing.
            if line == 0 {
                source.payload_type = 13;
                source.send(&[60], 0);
                source.payload_type = 0;
            }
            source.timestamp = source.timestamp.wrapping_add(160 * 25);
            slot += 25;
        }
        wait(slot);
        source.send(&payload(key, slot), 160);
    }
    std::thread::sleep(Duration::from_millis(100));
    script.hang_up();
    let published = system.published(&call.call_id);
    let audio = Audio::of(&published.folder);
    for (line, samples) in audio.channels.iter().enumerate() {
        let stream = &published.manifest.streams[line];
        assert_eq!(stream.lost, 0, "{stream:?}");
        let key = speaker(&call, line);
        let find = |slot: u32| {
            samples
                .windows(160)
                .position(|window| window == payload(key, slot))
                .expect("a packet")
        };
        // 150 slots from the first to the last are 3 s of audio.
        assert_eq!(find(150) - find(0), 150 * 160);
        assert!(
            stream.gaps.iter().any(|gap| gap.cause == GapCause::Dtx),
            "{:?}",
            stream.gaps
        );
    }
}

/// A third host sends to the media ports before, during and after the call. Before, only the
/// strict policy of sources knows that it is not the caller: `latch` takes the first that speaks.
#[test]
fn tc_123_rtp_injection() {
    let system = System::start(&Options::new().set("media", "source_policy = \"strict\""));
    let mut caller = Caller::new(&system);
    let neighbour = caller.call(Codec::Pcmu);
    let undisturbed = Talk::start(&neighbour);
    let call = caller.call(Codec::Pcmu);
    // All of 127/8 is this machine, but it is another address.
    let attacker = UdpSocket::bind("127.66.6.6:0").expect("a socket");
    let (rtp, rtcp) = (
        call.answer.lines[0].rtp.expect("a port"),
        call.answer.lines[0].rtcp.expect("a port"),
    );
    let ssrc = stream_start(speaker(&call, 0)).ssrc;
    let inject = |count: u16| {
        for sequence in 0..count {
            let forged = packet(0, sequence, u32::from(sequence) * 160, ssrc, &[0x77; 160]);
            let _ = attacker.send_to(&forged, rtp);
            // A flood, but not one that the kernel throws away for us.
            if sequence % 4 == 3 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let report = [
            sender_report(ssrc, 1, 1, 1),
            description(ssrc, "evil@example.com"),
        ]
        .concat();
        let _ = attacker.send_to(&report, rtcp);
    };
    inject(20);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(300));
    inject(2_000);
    caller.stay(Duration::from_millis(4_000));
    talk.set(Mode::Silent);
    let legs = talk.finish();
    attacker.set_nonblocking(true).expect("a socket");
    assert!(
        attacker.recv(&mut [0; 1_500]).is_err(),
        "no report goes there"
    );
    caller.hang_up(&call);
    inject(20);
    let published = system.published(&call.call_id);
    let stream = &published.manifest.streams[0];
    assert_eq!(stream.packets, legs[0].plan.counts().packets, "{stream:?}");
    assert!(
        stream
            .remote
            .iter()
            .all(|from| from.ip() == call.ports[0].address.ip()),
        "{stream:?}"
    );
    assert!(
        stream
            .ssrcs
            .iter()
            .all(|one| one.cname.as_deref() != Some("evil@example.com"))
    );
    let samples = &Audio::of(&published.folder).channels[0];
    assert!(!samples.windows(160).any(|window| window == [0x77; 160]));
    assert_eq!(Slots::of(samples, &legs[0].plan).missing, [0; 0]);
    let legs = undisturbed.finish();
    caller.hang_up(&neighbour);
    assert_recorded(&system, &neighbour, legs);
}

/// A sender that goes on behind the BYE, while new calls begin.
#[test]
fn tc_124_late_packets_and_the_next_calls() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let old = caller.call(Codec::Pcmu);
    let late = Talk::start(&old);
    caller.stay(Duration::from_millis(300));
    caller.hang_up(&old);
    let old_ports: Vec<SocketAddr> = old
        .answer
        .lines
        .iter()
        .filter_map(|line| line.rtp)
        .collect();
    for _ in 0..6 {
        let call = caller.call(Codec::Pcmu);
        assert!(
            call.answer
                .lines
                .iter()
                .all(|line| !old_ports.contains(&line.rtp.expect("a port")))
        );
        let legs = converse(&call, Duration::from_millis(200));
        caller.hang_up(&call);
        let published = system.published(&call.call_id);
        for (stream, leg) in published.manifest.streams.iter().zip(&legs) {
            assert_eq!(stream.packets, leg.plan.counts().packets);
            assert_eq!(
                stream.refused.values().sum::<u64>(),
                0,
                "{:?}",
                stream.refused
            );
        }
        let verdict = check_recording(&published, &truth(&call, legs));
        assert_eq!(verdict.problems, [""; 0]);
    }
    late.finish();
    system.published(&old.call_id);
}

/// Header extensions that nobody agreed on, right ones and broken ones, and lists of contributors
/// (TC-121): the audio behind them is kept. Levels and talkers are not in the manifest.
#[test]
fn tc_120_121_header_extensions_and_contributors() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let mut source = Source::of(&call, 0, 0x2120);
    let key = speaker(&call, 0);
    // First octet, and what stands between the fixed header and the payload.
    let between: [(u8, &[u8]); 6] = [
        (0x90, &[0xbe, 0xde, 0, 1, 0x10, 0x55, 0, 0]),
        (0x90, &[0x10, 0x00, 0, 1, 1, 1, 0x55, 0]),
        // An element longer than the extension; the stop mark; an id with length alone.
        (0x90, &[0xbe, 0xde, 0, 1, 0x1f, 0x55, 0, 0]),
        (0x90, &[0xbe, 0xde, 0, 1, 0xf0, 0x55, 0, 0]),
        (0x81, &[0, 0, 0, 7]),
        (
            0x93,
            &[0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 9, 0xbe, 0xde, 0, 0],
        ),
    ];
    for slot in 0..60 {
        let (first, more) = between[slot as usize % between.len()];
        let mut bytes = packet(0, source.sequence, source.timestamp, source.ssrc, &[]);
        bytes[0] = first;
        bytes.extend_from_slice(more);
        bytes.extend_from_slice(&payload(key, slot));
        source.send_raw(&bytes);
        source.skip(160);
        std::thread::sleep(Duration::from_millis(20));
    }
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let samples = &Audio::of(&published.folder).channels[0];
    let plan = LegPlan::plain(key, Codec::Pcmu, 60);
    assert_eq!(Slots::of(samples, &plan).missing, [0; 0]);
}

// Helpers.

/// A keypad: telephone-events of payload type 101 at 8 kHz (RFC 4733).
struct Keys {
    source: Source,
}

impl Keys {
    fn event(&mut self, digit: u8, is_end: bool, duration: u16, at: u32, marker: bool) {
        let flags = if is_end { 0x8a } else { 0x0a };
        let [high, low] = duration.to_be_bytes();
        let mut bytes = packet(
            101,
            self.source.sequence,
            at,
            self.source.ssrc,
            &[digit, flags, high, low],
        );
        bytes[1] |= u8::from(marker) << 7;
        self.source.send_raw(&bytes);
        self.source.sequence = self.source.sequence.wrapping_add(1);
    }

    /// A key of some ticks, without its first packets, and with so many of its three last ones.
    fn press(&mut self, digit: u8, ticks: u16, lost: u16, ends: u16) {
        let at = self.source.timestamp;
        for step in 1..ticks / 160 {
            if step > lost {
                self.event(digit, false, step * 160, at, step == 1);
            } else {
                self.source.sequence = self.source.sequence.wrapping_add(1);
            }
        }
        for end in 0..3 {
            if end < ends {
                self.event(digit, true, ticks, at, false);
            } else {
                self.source.sequence = self.source.sequence.wrapping_add(1);
            }
        }
        self.source.timestamp = at.wrapping_add(u32::from(ticks) + 800);
        std::thread::sleep(Duration::from_millis(20));
    }

    /// A key held longer than a duration can say: segments (RFC 4733 section 2.5.1.3).
    fn hold(&mut self, digit: u8, ticks: u32) {
        let begin = self.source.timestamp;
        let mut at = begin;
        let mut is_first = true;
        while begin.wrapping_add(ticks).wrapping_sub(at) > 0xffff {
            self.event(digit, false, 0xffff, at, is_first);
            is_first = false;
            at = at.wrapping_add(0xffff);
        }
        let rest = begin.wrapping_add(ticks).wrapping_sub(at) as u16;
        std::thread::sleep(Duration::from_secs(u64::from(ticks / 8_000)));
        for _ in 0..3 {
            self.event(digit, true, rest, at, false);
        }
        self.source.timestamp = begin.wrapping_add(ticks + 800);
    }
}

fn pressed(published: &Published) -> Vec<(String, u64)> {
    let marks = published.manifest.streams[0].marks.iter();
    marks
        .filter_map(|mark| match &mark.kind {
            MarkKind::TelephoneEvent { digit, duration_ms } => Some((digit.clone(), *duration_ms)),
            _ => None,
        })
        .collect()
}
