//! The engine is killed again and again while packets come without a pause, at moments that SEED
//! decides: `SEED=7 cargo test --test e2e_kill`. This test stands for signaling, which keeps what the
//! engine receives by.
//!
//! By plain sockets here; `e2e_kill_ring.rs` runs the same with the packet ring, where not one packet may
//! be missing.

#[expect(dead_code, reason = "these tests need a part of it")]
pub(crate) mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use holdfast_control::ToEngine;
use holdfast_lifeline::{kept_by_signaling, start_keeper};
use holdfast_manifest::Manifest;
use support::{Engine, Sender, channel, count_in_place, ended, is_ring, recording};

/// Kills of one test.
const KILLS: u64 = 6;

#[test]
fn an_engine_that_is_killed_again_and_again_has_every_packet_once() {
    let Some(mut engine) = Engine::prepare(30_000, 30_099, "") else {
        return;
    };
    start_keeper(&kept_by_signaling(&engine.control_socket()), 1_000).expect("a keeper");
    engine.restart();
    let link = engine.connect();
    let ports: Vec<u16> = (30_000..30_080).step_by(2).collect();
    let wanted = recording(&ports);
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    drop(link);
    let load = Load::start(&ports);
    let seed = std::env::var("SEED").map_or(1, |it| it.parse().expect("SEED is a number"));
    for kill in 0..KILLS {
        sleep(Duration::from_millis(random(seed, kill) % 350));
        engine.kill();
        engine.restart();
    }
    // One that has said hello has read what the others left.
    drop(engine.connect());
    sleep(Duration::from_millis(300));
    let sent = load.stop();
    let link = engine.connect();
    link.send(&ToEngine::Recording(ended(&wanted)));
    let (folder, manifest) = link.wait_published(wanted.id);
    check(&folder, &manifest, &sent, seed);
}

#[test]
fn a_kill_before_the_rings_are_read_again_changes_nothing() {
    let Some(mut engine) = Engine::prepare(30_100, 30_199, "") else {
        return;
    };
    start_keeper(&kept_by_signaling(&engine.control_socket()), 1_000).expect("a keeper");
    engine.restart();
    let link = engine.connect();
    let ports: Vec<u16> = (30_100..30_180).step_by(2).collect();
    let wanted = recording(&ports);
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    drop(link);
    let load = Load::start(&ports);
    let seed = std::env::var("SEED").map_or(1, |it| it.parse().expect("SEED is a number"));
    sleep(Duration::from_millis(200));
    // As a rule before it has begun, sometimes in the middle of it.
    for kill in 0..8 {
        engine.kill();
        engine.restart();
        sleep(Duration::from_millis(random(seed, kill) % 60));
    }
    drop(engine.connect());
    let sent = load.stop();
    let link = engine.connect();
    link.send(&ToEngine::Recording(ended(&wanted)));
    let (folder, manifest) = link.wait_published(wanted.id);
    check(&folder, &manifest, &sent, seed);
}

/// Every packet is there once. With plain sockets those may be missing that a process died with in its
/// hands: those of one system call each time.
fn check(folder: &Path, manifest: &Manifest, sent: &[u16], seed: u64) {
    let mut missing = 0;
    for (index, (stream, &sent)) in manifest.streams.iter().zip(sent).enumerate() {
        let context = format!("SEED={seed} of {sent}: {stream:?}");
        assert_eq!((stream.duplicate, stream.kernel_drops), (0, 0), "{context}");
        missing += u64::from(sent) - stream.packets;
        if stream.packets == u64::from(sent) {
            assert_eq!(stream.lost, 0, "{context}");
            let in_place = count_in_place(&channel(folder, index), 0..sent);
            assert_eq!(in_place, usize::from(sent), "{context}");
        }
    }
    let allowed = if is_ring() { 0 } else { IN_HAND_MAX };
    assert!(
        missing <= allowed,
        "SEED={seed}: {missing} packets are missing"
    );
}

/// Datagrams of one system call, and one of its kind that is being appended.
const IN_HAND_MAX: u64 = 33;

/// Senders that go on until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u16>>,
}

impl Load {
    /// Fifty packets a second for each port, as a telephone sends them.
    fn start(ports: &[u16]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut senders: Vec<Sender> = ports.iter().map(|&port| Sender::new(port)).collect();
        let is_over = stop.clone();
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                // In groups, so that at most moments some are on their way.
                for group in senders.chunks_mut(5) {
                    group.iter_mut().for_each(|it| it.send(1));
                    sleep(Duration::from_micros(2_400));
                }
            }
            senders.iter().map(Sender::sent).collect()
        });
        Self { stop, thread }
    }

    /// Stops them; answers how many packets each has sent.
    fn stop(self) -> Vec<u16> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the senders")
    }
}

/// SplitMix64: the `index`th number of a seed.
fn random(seed: u64, index: u64) -> u64 {
    let mut z = seed
        .wrapping_mul(0x2545_f491_4f6c_dd1d)
        .wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
