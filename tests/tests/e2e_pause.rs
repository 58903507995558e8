//! A paused call: what is said meanwhile is nowhere on the disk, and the same file goes on.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::caller::{Call, Caller};
use holdfast_e2e::rtp::{Source, redundant, speaker};
use holdfast_e2e::script::{Ask, Script, text_of};
use holdfast_e2e::search::files_with;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{Mode, Talk, truth};
use holdfast_e2e::wait::wait_for;
use holdfast_load::invite::{Codec, Direction, Offer};
use holdfast_load::media::LegPlan;
use holdfast_load::pattern::{LegKey, payload};
use holdfast_load::verify::{LegTruth, check_recording};
use holdfast_manifest::{Direction as Answered, GapCause, MarkKind, Stream};

#[test]
fn tc_20_what_is_said_while_paused_is_nowhere_and_the_same_file_goes_on() {
    // Packets that are kept twice may leak twice.
    let options = Options::new().set("recordings", "keep_packets = \"always\"");
    let system = System::start(&options);
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcmu);
    let ports = ports_of(&call);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(1_000));

    change(
        &mut caller,
        &mut call,
        &talk,
        Direction::Inactive,
        Mode::Withheld,
    );
    assert_eq!(ports_of(&call), ports, "a pause keeps the ports");
    caller.stay(Duration::from_millis(1_200));
    let paused_at = talk.slot();

    change(
        &mut caller,
        &mut call,
        &talk,
        Direction::SendOnly,
        Mode::Speak,
    );
    assert_eq!(ports_of(&call), ports, "so does its end");
    caller.stay(Duration::from_millis(1_000));
    let legs = talk.finish();
    // What was said before is on the disk by now: a search that finds nothing would be no proof.
    wait_for("what may be heard is in the journal", || {
        let found = files_with(system.root(), &octets(&call, 0..20));
        (!found.is_empty()).then_some(())
    });
    let withheld = withheld(&call, &legs);
    assert!(withheld.len() > 80, "{}", withheld.len());
    assert_eq!(files_with(system.root(), &withheld), NOWHERE);

    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    assert_eq!(files_with(system.root(), &withheld), NOWHERE);
    let said: u64 = legs.iter().map(|leg| leg.plan.counts().packets).sum();
    let slots = legs[0].plan.slots;
    let verdict = check_recording(&published, &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);

    let manifest = &published.manifest;
    let audio = Audio::of(&published.folder);
    assert_eq!(audio.len() as u64 / 8, manifest.duration_ms);
    let spoken = u64::from(slots) * 20;
    assert!(
        (spoken..spoken + 2_000).contains(&manifest.duration_ms),
        "{} ms of {spoken}",
        manifest.duration_ms
    );
    assert_marked(&manifest.streams, u64::from(paused_at) * 20);
    let kept: u64 = manifest.streams.iter().map(|stream| stream.packets).sum();
    let refused = manifest
        .streams
        .iter()
        .filter_map(|stream| stream.refused.get("paused"));
    let refused: u64 = refused.sum();
    assert_eq!(
        refused,
        withheld.len() as u64,
        "what was refused is counted"
    );
    assert_eq!(kept + refused, said);
}

/// Each stream has its pause as two marks and one gap between them, and no loss.
fn assert_marked(streams: &[Stream], paused_before_ms: u64) {
    for stream in streams {
        let at = |kind: &MarkKind| {
            let mark = stream.marks.iter().find(|mark| mark.kind == *kind);
            mark.unwrap_or_else(|| panic!("no {kind:?}: {:?}", stream.marks))
                .at_ms
        };
        let directions: Vec<_> = stream
            .directions
            .iter()
            .map(|change| change.direction)
            .collect();
        assert_eq!(
            directions,
            [Answered::Recvonly, Answered::Inactive, Answered::Recvonly]
        );
        let (pause, resume) = (at(&MarkKind::Pause), at(&MarkKind::Resume));
        assert!(
            pause < paused_before_ms && pause + 1_000 < resume,
            "{pause} {resume}"
        );
        let mut gaps = stream
            .gaps
            .iter()
            .filter(|gap| gap.cause == GapCause::Paused);
        let gap = gaps.next().expect("a gap for the pause");
        assert!(
            gap.from_ms <= pause + 100 && gap.to_ms + 100 >= resume,
            "{gap:?}"
        );
        assert_eq!(gaps.next(), None, "one pause, one gap");
        assert_eq!(stream.lost, 0, "a pause is no loss");
    }
}

#[test]
fn tc_21_a_call_that_begins_paused_is_recorded_from_its_resumption() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let mut prepared = caller.prepare(Codec::Pcma);
    for leg in &mut prepared.offer.legs {
        leg.direction = Direction::Inactive;
    }
    let mut call = caller.place(prepared);
    assert!(
        call.answer
            .lines
            .iter()
            .all(|line| line.direction == "inactive")
    );
    let talk = Talk::start(&call);
    talk.set(Mode::Withheld);
    caller.stay(Duration::from_millis(600));
    change(
        &mut caller,
        &mut call,
        &talk,
        Direction::SendOnly,
        Mode::Speak,
    );
    caller.stay(Duration::from_millis(800));
    let mut legs = talk.finish();
    // The packet or two between the start and the first look at the mode.
    for leg in &mut legs {
        leg.plan.withheld[0].start = 0;
    }
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let verdict = check_recording(&published, &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
}

#[test]
fn tc_20_a_pause_of_one_line_alone() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(300));
    let mut paused = call.offer.clone();
    paused.version += 1;
    paused.legs[0].direction = Direction::Inactive;
    caller.reinvite(&mut call, paused);
    let directions: Vec<_> = call
        .answer
        .lines
        .iter()
        .map(|line| line.direction.clone())
        .collect();
    assert_eq!(directions, ["inactive", "recvonly"]);
    caller.stay(Duration::from_millis(400));
    talk.set(Mode::Silent);
    let legs = talk.finish();
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let audio = Audio::of(&published.folder);
    assert_eq!(Slots::of(&audio.channels[1], &legs[1].plan).missing, [0; 0]);
    let first = &published.manifest.streams[0];
    assert!(first.packets < legs[0].plan.counts().packets, "{first:?}");
    assert!(first.refused.contains_key("paused"), "{:?}", first.refused);
}

/// The first packets after a pause say again what the last ones in it said (RFC 2198).
#[test]
fn tc_20_what_is_said_again_after_a_pause_is_nowhere_either() {
    // Each packet repeats what six before it said. Nothing is sent while the direction changes.
    const COPIES: u32 = 6;
    const SLOTS: [std::ops::Range<u32>; 3] = [0..13, 15..28, 30..43];
    let options = Options::new().set("recordings", "keep_packets = \"always\"");
    let system = System::start(&options);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let offer = prepared.offer.clone();
    let with_red = |sdp: String| {
        sdp.replace("RTP/AVP 0 101", "RTP/AVP 98 0 101").replace(
            "a=ptime",
            "a=rtpmap:98 red/8000\r\na=fmtp:98 0/0/0\r\na=ptime",
        )
    };
    let (call, response) = script.place_with(prepared, &with_red(offer.sdp()));
    assert!(text_of(&response).contains("a=rtpmap:98 red/8000"));
    let mut sources = [0, 1].map(|line| Source::of(&call, line, 0x3500 + line as u32));
    let begin = Instant::now();
    let mut speak = |slots: std::ops::Range<u32>, lost: Option<u32>| {
        for slot in slots {
            let due = begin + Duration::from_millis(20) * slot;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            for (line, source) in sources.iter_mut().enumerate() {
                source.payload_type = 98;
                source.timestamp = 50_000 + slot * 160;
                if lost == Some(slot) {
                    source.skip(160);
                } else {
                    source.send(&redundant(speaker(&call, line), slot, COPIES), 160);
                }
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let paused = offer.redirected(Direction::Inactive);
    let resumed = paused.redirected(Direction::SendOnly);
    let directions = [(paused, "a=inactive"), (resumed, "a=recvonly")];
    let mut change = |(offer, answer): &(Offer, &str)| {
        let body = Ask::invite().sdp(&with_red(offer.sdp()));
        let response = script.ok(&body);
        assert_eq!(text_of(&response).matches(answer).count(), 2);
    };
    let [before, during, after] = SLOTS;
    let in_pause = before.end..after.start;
    speak(before, None);
    change(&directions[0]);
    speak(during, None);
    change(&directions[1]);
    // One that is lost is brought back by those after it, as before.
    let lost = after.start + 8;
    speak(after.clone(), Some(lost));

    let said = |slots: std::ops::Range<u32>| -> Vec<Vec<u8>> {
        let keys = [speaker(&call, 0), speaker(&call, 1)];
        slots
            .flat_map(|slot| keys.map(|key| payload(key, slot)[..16].to_vec()))
            .collect()
    };
    let last = said(after.end - 1..after.end);
    wait_for("what may be heard is in the journal", || {
        (!files_with(system.root(), &last).is_empty()).then_some(())
    });
    let withheld = said(in_pause.clone());
    assert_eq!(files_with(system.root(), &withheld), NOWHERE);
    script.hang_up();
    let published = system.published(&call.call_id);
    assert_eq!(files_with(system.root(), &withheld), NOWHERE);
    let again = said(lost..lost + 1);
    assert!(!files_with(&published.folder, &again).is_empty());
    let audio = Audio::of(&published.folder);
    for (line, stream) in published.manifest.streams.iter().enumerate() {
        let plan = LegPlan::plain(speaker(&call, line), Codec::Pcmu, after.end);
        let slots = Slots::of(&audio.channels[line], &plan);
        assert_eq!(slots.missing, in_pause.clone().collect::<Vec<_>>());
        assert_eq!((stream.lost, stream.recovered), (0, 1));
        assert_eq!(stream.packets, 13 + 12);
    }
}

/// Changes the direction while nobody speaks: no packet is under way when the answer comes.
fn change(caller: &mut Caller, call: &mut Call, talk: &Talk, to: Direction, then: Mode) {
    talk.set(Mode::Silent);
    caller.stay(Duration::from_millis(60));
    caller.reinvite(call, call.offer.redirected(to));
    let answered = match to {
        Direction::Inactive => "inactive",
        Direction::SendOnly | Direction::SendRecv => "recvonly",
    };
    assert!(
        call.answer
            .lines
            .iter()
            .all(|line| line.direction == answered),
        "{:?}",
        call.answer
    );
    talk.set(then);
}

fn ports_of(call: &Call) -> Vec<Option<std::net::SocketAddr>> {
    call.answer.lines.iter().map(|line| line.rtp).collect()
}

/// What was said while nobody might listen, as octets of the payload.
fn withheld(call: &Call, legs: &[LegTruth]) -> Vec<Vec<u8>> {
    legs.iter()
        .flat_map(|leg| {
            leg.plan
                .withheld
                .iter()
                .map(move |range| (leg.plan.key, range.clone()))
        })
        .inspect(|(key, _)| assert_eq!(key.call, call.number))
        .flat_map(|(key, range)| range.map(move |slot| payload(key, slot)[..16].to_vec()))
        .collect()
}

/// Payloads of the first leg.
fn octets(call: &Call, slots: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    let key = LegKey {
        call: call.number,
        leg: 0,
    };
    slots
        .map(|slot| payload(key, slot)[..16].to_vec())
        .collect()
}

const NOWHERE: [(PathBuf, usize); 0] = [];
