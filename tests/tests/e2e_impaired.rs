//! A bad network: everything that arrived is in its place, and every gap is in the manifest.

use std::net::SocketAddr;
use std::time::Duration;

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::caller::{Call, Caller};
use holdfast_e2e::namespace::{CALLER, Network, SERVER};
use holdfast_e2e::relay::{Damage, Relay};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{Mode, Talk, truth};
use holdfast_e2e::tools::skipped;
use holdfast_load::invite::Codec;
use holdfast_load::media::{Impairment, LegPlan, Sender, StreamJob};
use holdfast_load::pattern::LegKey;
use holdfast_load::verify::{LegTruth, Published, check_recording};
use holdfast_manifest::{GapCause, Stream};

/// What both kinds of network do, in the words of `tc` and of the relay. The packets of a stream
/// are 20 ms apart: 25 ms of jitter to either side let them overtake each other.
const NETEM: &str = "delay 40ms 25ms loss 3% duplicate 1%";
const RELAY: Damage = Damage {
    loss_permille: 30,
    duplicate_permille: 10,
    delay: Duration::from_millis(15),
    jitter: Duration::from_millis(50),
    seed: 20_261_123,
};

/// Long enough that the chance of no loss at all is that of a lottery.
const TALK: Duration = Duration::from_secs(8);

/// TC-113: scripted.
#[test]
fn damage_done_by_the_sender_is_accounted_for_to_the_packet() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let sender = Sender::spawn().expect("a thread");
    let start = std::time::Instant::now() + Duration::from_millis(50);
    let mut legs = Vec::new();
    for (leg, (ports, line)) in call.ports.iter().zip(&call.answer.lines).enumerate() {
        let key = LegKey {
            call: call.number,
            leg: leg as u8,
        };
        let impairment = Impairment {
            loss_ppm: 30_000,
            duplicate_ppm: 10_000,
            reorder_ppm: 30_000,
            seed: 11,
            ..Impairment::default()
        };
        let plan = LegPlan {
            impairment,
            ..LegPlan::plain(key, Codec::Pcmu, 400)
        };
        let counts = plan.counts();
        assert!(
            counts.lost > 0 && counts.late > 0 && counts.duplicate > 0,
            "{counts:?}"
        );
        sender.start(StreamJob {
            protection: None,
            plan: plan.clone(),
            ports: ports.clone(),
            target: line.rtp.expect("a port"),
            start,
        });
        let label = call.offer.legs[leg].label.clone();
        legs.push(LegTruth { label, plan });
    }
    sender.finish();
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let audio = Audio::of(&published.folder);
    for (channel, leg) in legs.iter().enumerate() {
        let stream = &published.manifest.streams[channel];
        let sent = LegPlan::plain(leg.plan.key, Codec::Pcmu, leg.plan.slots);
        assert_accounted(&audio.channels[channel], &sent, stream);
    }
    let verdict = check_recording(&published, &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
}

/// TC-113: by a relay.
#[test]
fn what_the_network_did_to_the_packets_is_accounted_for() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcmu);
    let legs = talk_through_relays(&mut caller, &mut call);
    caller.hang_up(&call);
    assert_all_accounted(&system.published(&call.call_id), &legs);
}

#[test]
fn a_network_of_its_own_that_damages_is_accounted_for() {
    let Some(network) = Network::make() else {
        return;
    };
    network.enter();
    let options = Options::new()
        .host(SERVER)
        .within(&network.server_command());
    let system = System::start(&options);
    let mut caller = Caller::new(&system).on(CALLER);
    let mut call = caller.call(Codec::Pcma);
    // From here on: the signaling of the end has to get through as well.
    let legs = if network.damage(NETEM) {
        let talk = Talk::start(&call);
        caller.stay(TALK);
        talk.finish()
    } else {
        skipped("tc netem: not in this kernel; a relay in the same namespace damages instead");
        talk_through_relays(&mut caller, &mut call)
    };
    caller.hang_up(&call);
    assert_all_accounted(&system.published(&call.call_id), &legs);
}

/// Both parties speak; a relay is in the way of each.
fn talk_through_relays(caller: &mut Caller, call: &mut Call) -> Vec<LegTruth> {
    let targets: Vec<SocketAddr> = call
        .answer
        .lines
        .iter()
        .filter_map(|line| line.rtp)
        .collect();
    let host = call.ports[0].address.ip();
    let mut relays = Vec::new();
    for (number, (line, target)) in call.answer.lines.iter_mut().zip(targets).enumerate() {
        let seed = RELAY.seed + number as u64;
        let relay = Relay::start(host, target, Damage { seed, ..RELAY });
        line.rtp = Some(relay.address);
        relays.push(relay);
    }
    let talk = Talk::start(call);
    caller.stay(TALK);
    talk.set(Mode::Silent);
    let legs = talk.finish();
    for relay in relays {
        let done = relay.finish();
        let all = [done.lost, done.repeated, done.overtaken];
        assert!(all.iter().all(|&count| count > 0), "{done:?}");
    }
    // The last packets are on their way through the journal.
    caller.stay(Duration::from_millis(100));
    legs
}

fn assert_all_accounted(published: &Published, legs: &[LegTruth]) {
    let audio = Audio::of(&published.folder);
    assert_eq!(audio.channels.len(), legs.len());
    let (mut lost, mut late, mut duplicate) = (0, 0, 0);
    for (channel, leg) in legs.iter().enumerate() {
        let stream = &published.manifest.streams[channel];
        assert_accounted(&audio.channels[channel], &leg.plan, stream);
        lost += stream.lost;
        late += stream.late;
        duplicate += stream.duplicate;
    }
    assert!(
        lost > 0 && late > 0 && duplicate > 0,
        "{lost} {late} {duplicate}"
    );
}

/// What is there is right, what is missing is counted, and gaps cover exactly that.
fn assert_accounted(samples: &[u8], plan: &LegPlan, stream: &Stream) {
    let slots = Slots::of(samples, plan);
    // Nobody can tell how many went before the first that came, or behind the last.
    let missing = slots.missing_between();
    assert_eq!(stream.lost, missing.len() as u64, "{stream:?}");
    assert_eq!(stream.packets, slots.right.len() as u64, "{stream:?}");
    assert_eq!(
        slots.covered(&stream.gaps, GapCause::Loss),
        missing,
        "{:?}",
        stream.gaps
    );
    let losses = stream.gaps.iter().filter(|gap| gap.cause == GapCause::Loss);
    assert_eq!(losses.map(|gap| gap.packets).sum::<u64>(), stream.lost);
    let known = [GapCause::Loss, GapCause::NotStarted, GapCause::Ended];
    assert!(
        stream.gaps.iter().all(|gap| known.contains(&gap.cause)),
        "{:?}",
        stream.gaps
    );
    assert_eq!((stream.unplaced, stream.kernel_drops), (0, 0));
}
