//! Random calls, random order of everything, and crashes: kills, power cuts, crashes in the middle
//! of a recovery. Whatever was durable is published, once, in order; nothing else is.

mod world;

use std::time::Duration;

use holdfast_control::StreamMode;
use world::calls::Calls;
use world::rng::{Rng, for_each_seed};
use world::{Crash, MS, World};

/// Streams of a call: with many, a checkpoint takes more than one tick.
fn streams(rng: &mut Rng, is_wide: bool) -> u16 {
    let many = if is_wide { 16 } else { 4 };
    rng.below(many) as u16
}

fn action(calls: &mut Calls, rng: &mut Rng, is_wide: bool) {
    let active = calls.active();
    if active.len() < 2 || (active.len() < 6 && rng.chance(15)) {
        if calls.calls.len() < 200 {
            calls.begin(streams(rng, is_wide));
        }
        return;
    }
    let number = active[rng.index(active.len())];
    match rng.below(12) {
        0 => calls.end(number),
        1 => calls.add_stream(number),
        2 => calls.want(number, |recording| {
            recording.streams.pop();
        }),
        3 => calls.want(number, |recording| {
            if !recording.streams.is_empty() {
                recording.streams.remove(0);
            }
        }),
        4..=6 => {
            let mode = if rng.chance(50) {
                StreamMode::Pause
            } else {
                StreamMode::Record
            };
            let one = rng.chance(50);
            calls.want(number, |recording| {
                let count = if one { 1 } else { recording.streams.len() };
                for stream in recording.streams.iter_mut().take(count) {
                    stream.mode = mode;
                }
            });
        }
        7 if calls.are_encrypted => calls.rekey(number),
        7 => calls.want(number, |recording| {
            for stream in &mut recording.streams {
                stream.codecs.remove(&8);
            }
        }),
        8 => {
            let size = if rng.chance(20) { 9_000 } else { 100 };
            let name = format!("{:04}.xml", rng.below(4));
            calls.write_document(number, &name, size);
        }
        9 => {
            calls.write_document(number, "call.json", 60 + rng.index(50));
            calls.want(number, |_| {});
        }
        _ => {
            calls.write_document(number, "0009.xml", 300);
            calls.want(number, |_| {});
        }
    }
}

fn packets(calls: &mut Calls, rng: &mut Rng) {
    let active = calls.active();
    for _ in 0..rng.below(12) {
        let Some(&number) = active.get(rng.index(active.len().max(1))) else {
            return;
        };
        let streams = calls.calls[&number].recording().streams.clone();
        if !streams.is_empty() {
            calls.send(number, &streams[rng.index(streams.len())]);
        }
    }
}

fn fault(calls: &mut Calls, rng: &mut Rng) {
    let faults = &mut calls.world.faults;
    match rng.below(9) {
        8 => faults.journal_writes += rng.below(3) as u32,
        0 => faults.tracks += rng.below(3) as u32,
        1 => faults.states += 1,
        2 => faults.documents += 1,
        3 => faults.publishes += 1,
        4 => faults.syncs += 1,
        5 => faults.checkpoints += 1,
        6 => faults.disk_stalls = !faults.disk_stalls,
        _ => faults.syncs_stall = !faults.syncs_stall,
    }
}

fn step(calls: &mut Calls, rng: &mut Rng, is_wide: bool) {
    match rng.below(100) {
        0..40 => packets(calls, rng),
        40..60 => calls.world.tick(MS * (1 + rng.below(40) as u32)),
        60..85 => {
            for _ in 0..rng.below(6) {
                calls.world.work_one();
            }
        }
        85..93 => action(calls, rng, is_wide),
        93..95 if rng.chance(30) => fault(calls, rng),
        95 if rng.chance(20) => calls.disconnect(),
        _ if !calls.is_connected && rng.chance(60) => calls.connect(),
        _ => {}
    }
    calls.listen();
}

/// Starts again after a crash, and by chance crashes in the middle of that.
fn start_again(calls: &mut Calls, rng: &mut Rng, crash: Crash) {
    calls.crash(crash);
    while !calls.world.is_up() {
        calls.world.pass(MS * 500);
        calls.world.fuse = rng.chance(60).then(|| rng.below(80));
        calls.world.start();
        if calls.world.is_up() && !calls.world.is_burnt() {
            calls.world.fuse = None;
        } else {
            let again = if rng.chance(50) {
                Crash::Kill
            } else {
                Crash::PowerCut
            };
            calls.crash(again);
        }
    }
}

fn run(seed: u64, are_encrypted: bool) {
    let mut rng = Rng::new(seed * 31);
    let mut world = World::new(seed);
    world.config.checkpoint_interval = [100, 400, 2_000][rng.index(3)] * MS;
    world.config.orphan_timeout = Duration::from_secs(3_600);
    world.blocks = 12;
    world.writer.segments_max = 40;
    world.crash(Crash::Kill);
    world.start();
    let mut calls = Calls::new(world);
    calls.are_encrypted = are_encrypted;
    calls.connect();
    let is_wide = rng.chance(30);
    let length = 300 + rng.below(900);
    for _ in 0..length {
        step(&mut calls, &mut rng, is_wide);
        if rng.chance(1) {
            let crash = if rng.chance(50) {
                Crash::Kill
            } else {
                Crash::PowerCut
            };
            start_again(&mut calls, &mut rng, crash);
        }
    }
    calls.finish();
}

#[test]
fn what_was_durable_is_published_once_whatever_crashes() {
    for_each_seed(300, |seed| run(seed, false));
}

/// Packets are encrypted, their numbers wrap, keys change: every one is in its track in the clear.
#[test]
fn what_was_durable_of_encrypted_streams_is_published_in_the_clear_whatever_crashes() {
    for_each_seed(150, |seed| run(seed, true));
}
