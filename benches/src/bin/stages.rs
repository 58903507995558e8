//! Runs one stage for a number of packets, to be counted from outside (`perf/instructions/run`).
//!
//! ```text
//!   stages list          the names, one a line
//!   stages NAME COUNT    the stage, warmed up, with COUNT packets more
//! ```
//!
//! It reads no clock: what it does is the same every time, so the difference between two counts is
//! what the packets between them cost.

use std::process::ExitCode;

use holdfast_benches::{BATCH, NAMES, Running};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => {
            NAMES.iter().for_each(|name| println!("{name}"));
            ExitCode::SUCCESS
        }
        [name, count] => run(name, count),
        _ => refuse("usage: stages list | stages NAME COUNT"),
    }
}

fn run(name: &str, count: &str) -> ExitCode {
    let count = count.parse().ok();
    let Some(count) = count.filter(|count: &u64| count.is_multiple_of(BATCH)) else {
        return refuse(&format!("COUNT is a multiple of {BATCH}"));
    };
    let Some(mut stage) = Running::begin(name, STREAMS) else {
        return refuse(&format!("no stage {name}; choose among {NAMES:?}"));
    };
    stage.run(count);
    stage.finish();
    ExitCode::SUCCESS
}

fn refuse(reason: &str) -> ExitCode {
    eprintln!("stages: {reason}");
    ExitCode::from(2)
}

/// As many as the benches time at most. What the caches hold has no part in a count of instructions.
const STREAMS: usize = 8_000;
