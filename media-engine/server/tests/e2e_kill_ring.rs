//! The engine is killed again and again with the packet ring, each test in a network namespace of its
//! own: not one packet is lost, not one is there twice.

use std::path::Path;
use std::sync::atomic::Ordering;

#[path = "e2e_kill.rs"]
mod as_with_sockets;

use as_with_sockets::support::{Engine, Sender, ended, recording};
use holdfast_control::{FromEngine, ToEngine};
use holdfast_lifeline::{Lifeline, kept_by_signaling, start_keeper};
use holdfast_manifest::MarkKind;
use holdfast_sys::SharedWords;

#[test]
fn rings_of_other_settings_are_read_to_their_end() {
    let Some(mut engine) = Engine::prepare(30_200, 30_299, "") else {
        return;
    };
    start_keeper(&kept_by_signaling(&engine.control_socket()), 1_000).expect("a keeper");
    engine.restart();
    let link = engine.connect();
    let wanted = recording(&[30_200]);
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    let mut sender = Sender::new(30_200);
    for (number, sizes) in [("16 MiB", "17 MiB"), ("17 MiB", "24 MiB")]
        .into_iter()
        .enumerate()
    {
        sender.send(50);
        engine.kill();
        sender.send(50);
        let line = |size: &str| format!("ring_size = \"{size}\"");
        engine.change_settings(&line(sizes.0), &line(sizes.1));
        engine.restart();
        // One that has read what is old takes what is said.
        let link = engine.connect();
        let mut again = wanted.clone();
        again.revision = number as u64 + 2;
        again.streams[0].cname = number.to_string();
        link.send(&ToEngine::Recording(again.clone()));
        link.wait_applied(again.id, again.revision);
    }
    sender.send(50);
    let link = engine.connect();
    link.wait_for(|message| match message {
        FromEngine::Health(health) => (health.packets >= 50).then_some(()),
        _ => None,
    });
    let mut last = wanted.clone();
    last.revision = 9;
    link.send(&ToEngine::Recording(ended(&last)));
    let (_, manifest) = link.wait_published(wanted.id);
    let stream = &manifest.streams[0];
    let counts = (stream.packets, stream.lost, stream.duplicate);
    assert_eq!(counts, (u64::from(sender.sent()), 0, 0), "{stream:?}");
}

/// A block of the ring that the engine dies of must not kill every one that comes after. No packet is
/// known to do that, so the notes are made to say it.
#[test]
fn a_block_that_two_engines_died_of_is_set_aside_and_its_packets_are_marked() {
    let Some(mut engine) = Engine::prepare(30_300, 30_399, "") else {
        return;
    };
    let keeper = kept_by_signaling(&engine.control_socket());
    start_keeper(&keeper, 1_000).expect("a keeper");
    engine.restart();
    let link = engine.connect();
    let wanted = recording(&[30_300]);
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    let mut sender = Sender::new(30_300);
    sender.send(50);
    link.wait_health(|health| health.packets >= 50);
    engine.kill();
    // Nobody reads: these are in the blocks that come next.
    sender.send(50);
    say_that_two_died_of_the_next_block(&keeper);
    engine.restart();
    let link = engine.connect();
    sender.send(50);
    link.wait_health(|health| health.packets >= 50);
    let mut last = wanted.clone();
    last.revision = 2;
    link.send(&ToEngine::Recording(ended(&last)));
    let (_, manifest) = link.wait_published(wanted.id);

    let stream = &manifest.streams[0];
    // Each packet is there, or missing and said to be; 50 of one moment are in few blocks, mostly in one.
    let missing = stream.lost + stream.dropped;
    assert!((1..=50).contains(&missing), "{stream:?}");
    assert_eq!(
        stream.packets + missing,
        u64::from(sender.sent()),
        "{stream:?}"
    );
    assert_eq!(stream.kernel_drops, missing, "{stream:?}");
    let dropped = MarkKind::Dropped { packets: missing };
    assert!(
        stream.marks.iter().any(|mark| mark.kind == dropped),
        "{stream:?}"
    );
    let files = std::fs::read_dir(engine.root().join("state/quarantine"))
        .expect("the folder")
        .map(|entry| entry.expect("its entry").metadata().expect("a file").len());
    let files: Vec<u64> = files.collect();
    assert!(files.len() == 1 && files[0] > 200, "{files:?}");
}

/// What is left when an engine died with a block in hand that was its predecessor's last one too: see
/// `ring/notes.rs` for the words, which are those of one shard and one ring.
fn say_that_two_died_of_the_next_block(keeper: &Path) {
    let (_, kept) = Lifeline::connect(keeper).expect("the keeper");
    let rings = kept.into_iter().find(|it| it.key.starts_with("rings-"));
    let descriptors = rings.expect("kept rings").descriptors;
    let notes = descriptors
        .into_iter()
        .find_map(|descriptor| SharedWords::adopt(descriptor, 5).ok())
        .expect("their notes");
    let [_, _, begun, suspect, _] = notes.words() else {
        panic!("five words");
    };
    let next = (begun.load(Ordering::Acquire) >> 1) + 1;
    begun.store(next << 1 | 1, Ordering::Release);
    suspect.store(next, Ordering::Release);
}
