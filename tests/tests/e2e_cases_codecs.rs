//! Test cases, chapter G: what packets of other formats than plain G.711 say. Each test bears the
//! number of its case.

use std::time::{Duration, Instant};

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::bodies::sdp_with_codec;
use holdfast_e2e::caller::Caller;
use holdfast_e2e::rtp::{Source, redundant, speaker};
use holdfast_e2e::script::{Script, text_of};
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::Options;
use holdfast_load::invite::Codec;
use holdfast_load::media::LegPlan;
use holdfast_load::pattern::{LegKey, dice};
use holdfast_manifest::{GapCause, Manifest};

static SYSTEM: Shared = Shared::new();

/// A fifth of the packets is lost, and each says again what two before it said: nothing is missing.
/// Where they say again what one said, only that is missing which was lost with the one behind it.
#[test]
fn tc_119_red_loss() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let sdp = prepared
        .offer
        .sdp()
        .replace("RTP/AVP 0 101", "RTP/AVP 98 0 101")
        .replace(
            "a=ptime",
            "a=rtpmap:98 red/8000\r\na=fmtp:98 0/0/0\r\na=ptime",
        );
    let (call, response) = script.place_with(prepared, &sdp);
    let text = text_of(&response);
    assert!(text.contains("a=rtpmap:98 red/8000"), "{text}");
    let lines = [0, 1].map(|line| {
        let key = speaker(&call, line);
        (key, Loss::of(key), 2 - line as u32)
    });
    let mut sources = [0, 1].map(|line| Source::of(&call, line, 0x1190 + line as u32));
    let begin = Instant::now();
    for slot in 0..SLOTS {
        let due = begin + Duration::from_millis(20) * slot;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for (source, (key, loss, copies)) in sources.iter_mut().zip(&lines) {
            source.payload_type = 98;
            if loss.of_slot(slot) {
                source.skip(160);
            } else {
                source.send(&redundant(*key, slot, *copies), 160);
            }
        }
    }
    std::thread::sleep(Duration::from_millis(100));
    script.hang_up();
    let published = system.published(&call.call_id);
    let audio = Audio::of(&published.folder);
    for (line, (key, loss, copies)) in lines.iter().enumerate() {
        let stream = &published.manifest.streams[line];
        let lost: Vec<u32> = (0..SLOTS).filter(|slot| loss.of_slot(*slot)).collect();
        let is_gone = |slot: &u32| (*slot..=slot + copies).all(|slot| loss.of_slot(slot));
        let gone: Vec<u32> = lost.iter().copied().filter(is_gone).collect();
        assert_eq!(gone.is_empty(), line == 0, "what the loss was chosen for");
        let slots = Slots::of(
            &audio.channels[line],
            &LegPlan::plain(*key, Codec::Pcmu, SLOTS),
        );
        assert_eq!(slots.missing, gone);
        assert_eq!(slots.covered(&stream.gaps, GapCause::Loss), gone);
        let recovered = (lost.len() - gone.len()) as u64;
        assert_eq!(
            (stream.lost, stream.recovered),
            (gone.len() as u64, recovered)
        );
    }
}

/// What is not rendered is on the timeline for as long as it sounds: Opus in packets of 20 and 60 ms, mono
/// and stereo, with FEC, G.722 with its clock of 8,000, and G.729 with descriptions of silence. That its
/// packets are kept and read by a stranger: `e2e_strangers`.
#[test]
fn tc_118_g722_opus_g729() {
    // RFC 6716 §3.1: SILK, wide band, of so many ms.
    const OPUS_20_MS: u8 = 9 << 3;
    const OPUS_60_MS: u8 = 11 << 3;
    const STEREO: u8 = 1 << 2;
    // RFC 6716 §4.2.3: behind the flags of three frames, the one of what is said again for lost packets.
    const FEC: u8 = 1 << 4;
    let opus = |first: u8, ms: u32| {
        let mut payload = [first; 40];
        payload[1] = if ms == 60 { FEC } else { 0 };
        Spoken::new(&payload, ms * 48, ms)
    };
    let g729 = |size: usize, ms: u32| Spoken::new(&vec![7; size], ms * 8, ms);
    let mut opus_call = vec![opus(OPUS_20_MS, 20); 10];
    opus_call.extend(vec![opus(OPUS_60_MS, 60); 5]);
    opus_call.extend(vec![opus(OPUS_60_MS | STEREO, 60); 5]);
    let mut g729_call = vec![g729(20, 20); 10];
    // A frame and a description of silence, one alone, and 300 ms without a packet.
    g729_call.extend([g729(12, 20), g729(2, 10).before(300)]);
    g729_call.extend(vec![g729(20, 20); 10]);
    let g722_call = vec![Spoken::new(&[5; 160], 160, 20); 20];
    for (payload_type, name, spoken) in [
        (96, "opus/48000/2", opus_call),
        (9, "G722/8000", g722_call),
        (18, "G729/8000", g729_call),
    ] {
        let sounding: u32 = spoken.iter().map(|one| one.ms).sum();
        let manifest = record(payload_type, name, &spoken);
        for stream in &manifest.streams {
            assert_eq!((stream.packets, stream.lost), (spoken.len() as u64, 0));
            let kept = stream.gaps.iter();
            let kept = kept.filter(|gap| gap.cause == GapCause::NotRendered);
            let kept_ms: u64 = kept.map(|gap| gap.to_ms - gap.from_ms).sum();
            assert!(
                kept_ms.abs_diff(u64::from(sounding)) <= 2,
                "{name}: {kept_ms} ms of {sounding}: {:?}",
                stream.gaps
            );
        }
    }
}

/// A packet that is spoken.
#[derive(Clone)]
struct Spoken {
    payload: Vec<u8>,
    ticks: u32,
    ms: u32,
    /// Silence behind it, in ms.
    rest: u32,
}

impl Spoken {
    fn new(payload: &[u8], ticks: u32, ms: u32) -> Self {
        Self {
            payload: payload.to_vec(),
            ticks,
            ms,
            rest: 0,
        }
    }

    /// With silence behind it.
    fn before(self, rest: u32) -> Self {
        let ticks = self.ticks + rest * 8;
        Self {
            ticks,
            rest,
            ..self
        }
    }
}

/// A call whose two streams say the same in a codec.
fn record(payload_type: u8, name: &str, spoken: &[Spoken]) -> Manifest {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let sdp = sdp_with_codec(&prepared.offer, payload_type, name);
    let (call, _) = script.place_with(prepared, &sdp);
    let mut sources = [0, 1].map(|line| Source::of(&call, line, 0x1180 + line as u32));
    let mut due = Instant::now();
    for one in spoken {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for source in &mut sources {
            source.payload_type = payload_type;
            source.send(&one.payload, one.ticks);
        }
        due += Duration::from_millis(u64::from(one.ms + one.rest));
    }
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    script.hang_up();
    system.published(&call.call_id).manifest
}

/// 3 s.
const SLOTS: u32 = 150;

/// Which packets of a leg are lost: one in five, as the dice say, and not many fewer. Never three in a
/// row, but once two, and neither the first nor the last.
struct Loss {
    key: LegKey,
    salt: u64,
}

impl Loss {
    fn of(key: LegKey) -> Self {
        let is_right = |loss: &Self| {
            let run = |length: u32| {
                (0..SLOTS).any(|slot| (slot..slot + length).all(|slot| loss.of_slot(slot)))
            };
            let lost = (0..SLOTS).filter(|slot| loss.of_slot(*slot)).count();
            run(2) && !run(3) && lost as u32 > SLOTS / 8
        };
        let mut salts = (0..).map(|salt| Self { key, salt });
        salts.find(is_right).expect("one of endless many")
    }

    fn of_slot(&self, slot: u32) -> bool {
        (1..SLOTS - 1).contains(&slot) && dice(self.key, slot, self.salt) < 200_000
    }
}
