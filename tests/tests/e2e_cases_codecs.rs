//! Test cases, chapter G: what packets of other formats than plain G.711 say. Each test bears the
//! number of its case.

use std::time::{Duration, Instant};

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::caller::Caller;
use holdfast_e2e::rtp::{Source, speaker};
use holdfast_e2e::script::{Script, text_of};
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::Options;
use holdfast_load::invite::Codec;
use holdfast_load::media::LegPlan;
use holdfast_load::pattern::{LegKey, dice, payload};
use holdfast_manifest::GapCause;

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
        assert!(
            lost.len() as u32 > SLOTS / 8,
            "a fifth, or nearly: {lost:?}"
        );
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

/// 3 s.
const SLOTS: u32 = 150;

/// Which packets of a leg are lost: one in five, as the dice say. Never three in a row, but once two,
/// and neither the first nor the last.
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
            run(2) && !run(3)
        };
        let mut salts = (0..).map(|salt| Self { key, salt });
        salts.find(is_right).expect("one of endless many")
    }

    fn of_slot(&self, slot: u32) -> bool {
        (1..SLOTS - 1).contains(&slot) && dice(self.key, slot, self.salt) < 200_000
    }
}

/// A payload of RFC 2198: a slot, and before it what so many slots before it said.
fn redundant(key: LegKey, slot: u32, copies: u32) -> Vec<u8> {
    let earlier: Vec<u32> = (1..=copies.min(slot)).rev().collect();
    let mut octets = Vec::new();
    for back in &earlier {
        // More follows, type 0, ticks back, length.
        let head = 1 << 31 | (back * 160) << 10 | 160;
        octets.extend(head.to_be_bytes());
    }
    octets.push(0);
    for back in &earlier {
        octets.extend(payload(key, slot - back));
    }
    octets.extend(payload(key, slot));
    octets
}
