//! The engine as a process: what signaling sees of it, and what is left when it is killed.
//!
//! By plain sockets here; `e2e_engine_ring.rs` runs the same with the packet ring.

#[expect(dead_code, reason = "these tests need a part of it")]
pub(crate) mod support;

use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use holdfast_control::{FromEngine, ToEngine};
use holdfast_manifest::{GapCause, Manifest};
use support::{Engine, Sender, channel, count_in_place, document, ended, recording};

#[test]
fn a_recording_is_published_with_both_channels() {
    let Some(engine) = Engine::start(31_000, 31_099) else {
        return;
    };
    let link = engine.connect();
    let wanted = recording(&[31_000, 31_002]);
    link.send(&document(&wanted, "0001.xml", b"<recording/>"));
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    let mut senders = [Sender::new(31_000), Sender::new(31_002)];
    senders.iter_mut().for_each(|sender| sender.send(100));
    await_packets(&link, 200);
    link.send(&ToEngine::Recording(ended(&wanted)));
    let (folder, manifest) = link.wait_published(wanted.id);
    for index in 0..2 {
        let stream = &manifest.streams[index];
        assert_eq!(
            (stream.packets, stream.lost, stream.rendered),
            (100, 0, true),
            "{stream:?}"
        );
        assert_eq!(count_in_place(&channel(&folder, index), 0..100), 100);
    }
    assert_eq!(
        std::fs::read(folder.join("metadata/0001.xml")).unwrap(),
        b"<recording/>"
    );
    support::wait_until("nothing is left of what was in progress", || {
        std::fs::read_dir(engine.incoming()).unwrap().count() == 0
    });
}

#[test]
fn a_killed_engine_loses_nothing_that_it_had_received() {
    let Some(mut engine) = Engine::start(31_100, 31_199) else {
        return;
    };
    let link = engine.connect();
    let wanted = recording(&[31_100]);
    link.send(&document(&wanted, "0001.xml", b"<kept/>"));
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    let mut sender = Sender::new(31_100);
    let mut total = 0_u16;
    drop(link);
    for _ in 0..5 {
        // The socket is there once the ports receive.
        let link = engine.connect();
        sender.send(200);
        total += 200;
        // Durable after a commit: the next revision is confirmed only behind what came before it.
        await_packets(&link, 200);
        let mut again = wanted.clone();
        again.revision = u64::from(total);
        again.streams[0].cname = total.to_string();
        link.send(&ToEngine::Recording(again));
        link.wait_applied(wanted.id, u64::from(total));
        engine.kill();
        engine.restart();
    }
    let link = engine.connect();
    let mut last = wanted.clone();
    last.revision = u64::from(total);
    link.send(&ToEngine::Recording(ended(&last)));
    let (folder, manifest) = link.wait_published(wanted.id);
    let stream = &manifest.streams[0];
    assert_eq!((stream.packets, stream.lost), (1_000, 0), "{stream:?}");
    assert_eq!(count_in_place(&channel(&folder, 0), 0..1_000), 1_000);
    assert_eq!(
        std::fs::read(folder.join("metadata/0001.xml")).unwrap(),
        b"<kept/>"
    );
}

#[test]
fn what_a_shard_left_that_is_no_more_is_published_when_all_of_it_is_written() {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        return eprintln!("SKIPPED: two shards need two cores");
    }
    let Some(mut engine) = Engine::prepare(32_100, 32_199, "cores = [0, 1]") else {
        return;
    };
    engine.change_settings("8 MiB\"\n", "8 MiB\"\ncheckpoint_interval = \"1 min\"\n");
    engine.restart();
    let link = engine.connect();
    let mut wanted = recording(&[32_150]);
    wanted.shard = 1;
    link.send(&document(&wanted, "0001.xml", b"<recording/>"));
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    Sender::new(32_150).send(20);
    await_packets(&link, 20);
    let mut again = wanted.clone();
    again.revision = 2;
    link.send(&ToEngine::Recording(again));
    link.wait_applied(wanted.id, 2);
    let folder = engine.incoming().join(wanted.id.to_string());
    support::wait_until("the document is written", || {
        folder.join("publish/metadata").exists()
    });
    engine.kill();
    // A file stands where the tracks have to be.
    std::fs::write(folder.join("streams"), "").unwrap();
    engine.change_settings("cores = [0, 1]", "cores = [0]");
    engine.restart();
    drop(engine.connect());
    assert!(engine.stop());
    assert!(
        !engine.published(&wanted).exists(),
        "not without its packets"
    );
    assert!(folder.join("publish/metadata/0001.xml").exists());

    std::fs::remove_file(folder.join("streams")).unwrap();
    engine.restart();
    let manifest = engine.published(&wanted).join("recording.json");
    support::wait_until("it is published", || manifest.exists());
    let manifest = Manifest::from_json(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!(manifest.streams[0].packets, 20);
}

#[test]
fn what_is_not_claimed_after_a_restart_of_signaling_is_published_as_an_orphan() {
    let Some(engine) = Engine::start_with(31_200, 31_299, "orphan_timeout = \"5 s\"") else {
        return;
    };
    let link = engine.connect();
    let wanted = recording(&[31_200]);
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    Sender::new(31_200).send(10);
    await_packets(&link, 10);
    drop(link);
    let link = engine.connect();
    let ports = link.wait_for(|message| match message {
        FromEngine::Held(held) => Some(held.ports.clone()),
        _ => None,
    });
    assert_eq!(ports, [31_200, 31_201]);
    link.send(&ToEngine::ReconcileDone);
    let (_, manifest) = link.wait_published(wanted.id);
    assert_eq!(manifest.end_reason, holdfast_manifest::EndReason::Orphaned);
    assert_eq!(manifest.streams[0].packets, 10);
}

#[test]
fn a_recording_that_is_claimed_after_it_was_published_gets_a_part_of_its_own() {
    let Some(engine) = Engine::start(32_000, 32_099) else {
        return;
    };
    let link = engine.connect();
    let mut wanted = recording(&[32_000]);
    let mut sender = Sender::new(32_000);
    let mut folders = Vec::new();
    for part in 1..=2 {
        link.send(&ToEngine::Recording(wanted.clone()));
        link.wait_applied(wanted.id, wanted.revision);
        let begun = sender.sent();
        sender.send(20);
        await_packets(&link, u64::from(sender.sent()));
        link.send(&ToEngine::Recording(ended(&wanted)));
        let (folder, manifest) = link.wait_published(wanted.id);
        assert_eq!((manifest.part, manifest.streams[0].packets), (part, 20));
        let samples = channel(&folder, 0);
        assert_eq!(count_in_place(&samples, begun..sender.sent()), 20);
        folders.push(folder);
        wanted.revision += 10;
        support::wait_until("the former part is forgotten", || {
            !engine.incoming().join(wanted.id.to_string()).exists()
        });
    }
    assert_ne!(folders[0], folders[1]);
    assert_eq!(count_in_place(&channel(&folders[0], 0), 0..20), 20);
    assert_joined(&folders);
}

/// The second part says what it goes on from, and both are one recording too, sample for sample.
fn assert_joined(folders: &[PathBuf]) {
    let manifest = |folder: &Path| {
        let json = std::fs::read(folder.join(holdfast_manifest::FILE_NAME)).unwrap();
        holdfast_manifest::Manifest::from_json(&json).unwrap()
    };
    let parts = [manifest(&folders[0]), manifest(&folders[1])];
    let between = parts[1]
        .started
        .since(parts[0].recorded_until())
        .as_millis() as i64;
    let continues = parts[1].call.continues.clone().unwrap();
    assert_eq!(parts[0].call.continues, None);
    assert_eq!(continues.folder, Some(parts[0].id.to_string()));
    assert_eq!(
        (continues.ended, continues.gap_ms),
        (Some(parts[0].recorded_until()), Some(between))
    );
    assert_eq!(continues.cause, holdfast_manifest::PartCause::Restart);

    let joined = folders[0].with_file_name(format!("{}.joined", parts[0].id));
    support::wait_until("the parts are joined", || joined.exists());
    let whole = manifest(&joined);
    assert_eq!(whole.parts.len(), 2);
    assert_eq!(
        whole.parts[1].continues.as_ref().unwrap().gap_ms,
        Some(between)
    );
    let [first, second, all] = [&folders[0], &folders[1], &joined].map(|folder| channel(folder, 0));
    let begin = whole.parts[1].from_ms as usize * 8;
    // The second part lies at the nearest sample.
    let begin = (begin..begin + 8).find(|at| all[*at..].starts_with(&second));
    let begin = begin.expect("the second part, at its place");
    assert!(all.starts_with(&first));
    assert_eq!(all.len(), begin + second.len());
    assert!(
        all[first.len()..begin].iter().all(|octet| *octet == 0xff),
        "silence between"
    );
}

#[test]
fn a_port_in_use_is_told_and_the_other_stream_receives() {
    let Some(engine) = Engine::start(31_300, 31_399) else {
        return;
    };
    let _taken = UdpSocket::bind("127.0.0.1:31302").unwrap();
    let link = engine.connect();
    let wanted = recording(&[31_300, 31_302]);
    link.send(&ToEngine::Recording(wanted.clone()));
    let refused = link.wait_for(|message| match message {
        FromEngine::Applied { refused, .. } => Some(refused.clone()),
        _ => None,
    });
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].stream, wanted.streams[1].id);
    Sender::new(31_300).send(5);
    await_packets(&link, 5);
}

#[test]
fn noise_on_a_port_is_counted_and_not_recorded() {
    let Some(engine) = Engine::start(31_400, 31_499) else {
        return;
    };
    let link = engine.connect();
    let wanted = recording(&[31_400]);
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    for size in 0..100 {
        noise.send_to(&vec![0x5a; size], "127.0.0.1:31400").unwrap();
    }
    Sender::new(31_400).send(5);
    await_packets(&link, 5);
    link.send(&ToEngine::Recording(ended(&wanted)));
    let (_, manifest) = link.wait_published(wanted.id);
    let stream = &manifest.streams[0];
    assert_eq!(stream.packets, 5);
    assert_eq!(
        stream.refused.values().sum::<u64>(),
        100,
        "{:?}",
        stream.refused
    );
}

#[test]
fn silence_where_packets_are_missing_and_a_gap_in_the_manifest() {
    let Some(engine) = Engine::start(31_500, 31_599) else {
        return;
    };
    let link = engine.connect();
    let wanted = recording(&[31_500]);
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for index in (0..50).filter(|index| !(20..25).contains(index)) {
        socket
            .send_to(&support::packet(1, index), "127.0.0.1:31500")
            .unwrap();
    }
    await_packets(&link, 45);
    link.send(&ToEngine::Recording(ended(&wanted)));
    let (folder, manifest) = link.wait_published(wanted.id);
    let stream = &manifest.streams[0];
    assert_eq!((stream.packets, stream.lost), (45, 5));
    let losses: Vec<_> = stream
        .gaps
        .iter()
        .filter(|gap| gap.cause == GapCause::Loss)
        .collect();
    assert_eq!(
        (
            losses.len(),
            losses[0].packets,
            losses[0].to_ms - losses[0].from_ms
        ),
        (1, 5, 100)
    );
    let samples = channel(&folder, 0);
    assert_eq!(count_in_place(&samples, 0..50), 45);
    let begin = samples
        .windows(160)
        .position(|w| w == support::payload(0))
        .unwrap();
    assert!(
        samples[begin + 20 * 160..begin + 25 * 160]
            .iter()
            .all(|&sample| sample == 0xff)
    );
}

#[test]
fn an_engine_that_is_told_to_stop_ends_well_and_the_next_one_goes_on() {
    let Some(mut engine) = Engine::start(31_600, 31_699) else {
        return;
    };
    let link = engine.connect();
    let wanted = recording(&[31_600]);
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    let mut sender = Sender::new(31_600);
    sender.send(10);
    await_packets(&link, 10);
    assert!(engine.stop());
    engine.restart();
    let link = engine.connect();
    link.wait_for(|message| matches!(message, FromEngine::HeldDone).then_some(()));
    sender.send(10);
    await_packets(&link, 10);
    link.send(&ToEngine::Recording(ended(&wanted)));
    let (_, manifest) = link.wait_published(wanted.id);
    assert_eq!((manifest.streams[0].packets, sender.sent()), (20, 20));
}

/// Waits until the engine's own count has come this far since its start.
fn await_packets(link: &support::Link, packets: u64) {
    link.wait_health(|health| health.packets >= packets);
}
