//! One story of two calls, cut off between any two steps of the shard and its disks: by a kill and
//! by a power cut, and by a second one in the recovery.

mod world;

use holdfast_control::StreamMode;
use world::calls::Calls;
use world::{Crash, MS, World};

fn new_world() -> World {
    let mut world = World::dark(11);
    world.config.checkpoint_interval = 80 * MS;
    world.writer.commit_interval = 30 * MS;
    world.start();
    world
}

/// Lets each stream of a call hear a few packets, while everything goes on.
fn talk(calls: &mut Calls, number: u8, rounds: u32) {
    for _ in 0..rounds {
        for stream in calls.calls[&number].recording().streams.clone() {
            calls.send(number, &stream);
        }
        calls.world.tick(10 * MS);
        calls.world.work_all();
        calls.listen();
    }
}

fn set_mode(calls: &mut Calls, number: u8, mode: StreamMode) {
    calls.want(number, |recording| {
        for stream in &mut recording.streams {
            stream.mode = mode;
        }
    });
}

type Step = fn(&mut Calls);

const STORY: &[Step] = &[
    |calls| {
        calls.begin(2);
    },
    |calls| talk(calls, 1, 6),
    |calls| set_mode(calls, 1, StreamMode::Pause),
    |calls| talk(calls, 1, 4),
    |calls| set_mode(calls, 1, StreamMode::Record),
    |calls| {
        calls.begin(1);
    },
    |calls| talk(calls, 1, 4),
    |calls| talk(calls, 2, 4),
    |calls| calls.add_stream(1),
    |calls| talk(calls, 1, 5),
    |calls| {
        calls.write_document(1, "0002.xml", 200);
        calls.want(1, |recording| {
            recording.streams.remove(0);
        });
    },
    |calls| talk(calls, 1, 8),
    |calls| calls.end(1),
    |calls| talk(calls, 2, 12),
    |calls| {
        calls.begin(1);
    },
    |calls| talk(calls, 3, 3),
    |calls| calls.end(2),
    |calls| talk(calls, 3, 12),
];

/// After a crash: a start, with a second crash after so many steps of it, and the reconciliation.
fn start_again(calls: &mut Calls, crash: Crash, second: Option<u64>) {
    calls.world.fuse = None;
    calls.crash(crash);
    calls.world.pass(500 * MS);
    if let Some(steps) = second {
        calls.world.fuse = Some(steps);
        calls.world.start();
        calls.world.fuse = None;
        calls.crash(crash);
        calls.world.pass(500 * MS);
    }
    calls.world.start();
    calls.connect();
}

/// Tells the story, with a crash after so many steps; answers how many there were.
fn tell(steps: u64, crash: Crash, second: Option<u64>) -> u64 {
    let mut calls = Calls::new(new_world());
    calls.world.fuse = Some(steps);
    calls.connect();
    for step in STORY {
        if calls.world.is_burnt() {
            start_again(&mut calls, crash, second);
        }
        step(&mut calls);
    }
    if calls.world.is_burnt() {
        start_again(&mut calls, crash, second);
    }
    let all = calls.world.steps;
    calls.finish();
    all
}

fn everywhere(crash: Crash) {
    let all = tell(u64::MAX, crash, None);
    assert!(all > 250, "a story of {all} steps");
    for steps in 1..all {
        // A second crash at another place each time.
        let second = (steps % 3 > 0).then_some(steps % 41);
        let told = std::panic::catch_unwind(|| tell(steps, crash, second));
        if let Err(panic) = told {
            eprintln!("{crash:?} after {steps} steps, again after {second:?}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_kill_between_any_two_steps_loses_nothing_that_was_durable() {
    everywhere(Crash::Kill);
}

#[test]
fn a_power_cut_between_any_two_steps_loses_nothing_that_was_durable() {
    everywhere(Crash::PowerCut);
}
