//! `holdfast-load`: places calls, checks recordings, asks a server whether it is there.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser as _;
use holdfast_load::agent::Agent;
use holdfast_load::hostile::{Assault, carry_out};
use holdfast_load::media::raise_open_files;
use holdfast_load::stats;
use holdfast_load::uac::Event;
use holdfast_load::verify::find;
use holdfast_load::wav::Wav;

use args::{Cli, Command, CompareArgs, HostileArgs, IdleArgs, OptionsArgs};

mod args;
mod calls;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Calls(args) => calls::calls(&args),
        Command::Compare(args) => compare(&args),
        Command::Hostile(args) => hostile(&args),
        Command::Idle(args) => idle(&args),
        Command::Options(args) => options(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("holdfast-load: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<bool, Box<dyn Error>>;

fn compare(args: &CompareArgs) -> Outcome {
    let wav = Wav::open(&args.wav)?;
    let sent = std::fs::read(&args.raw)?;
    let samples = wav
        .channels
        .get(args.channel)
        .ok_or("the file has no such channel")?;
    // Sound may begin with silence, which is everywhere: look for all of it at once.
    let found = find(samples, &sent);
    let rate = f64::from(wav.rate);
    let (seconds, name) = (sent.len() as f64 / rate, wav.codec.name());
    match found {
        Some(at) => println!(
            "channel {}: all {} {name} samples ({seconds:.2} s) are there, bit-exact, from {:.3} s on",
            args.channel,
            sent.len(),
            at as f64 / rate
        ),
        None => println!(
            "channel {}: the {} samples sent are NOT there",
            args.channel,
            sent.len()
        ),
    }
    Ok(found.is_some() && !sent.is_empty())
}

fn hostile(args: &HostileArgs) -> Outcome {
    raise_open_files()?;
    let done = carry_out(&Assault {
        target: args.target,
        sips: args.sips,
        datagrams: args.datagrams,
        half_open: args.half_open,
        duration: Duration::from_secs(args.seconds.into()),
    })?;
    println!(
        "garbage={} half_open={} connections_opened={} endless_bodies={} endless_octets={} bombs={}",
        done.datagrams,
        args.half_open,
        done.connections,
        done.endless,
        done.endless_octets,
        done.bombs
    );
    Ok(true)
}

fn idle(args: &IdleArgs) -> Outcome {
    raise_open_files()?;
    let client = args.way.client()?;
    let before = stats::memory(args.memory_of)?;
    let mut open = Vec::new();
    for number in 1..=args.connections {
        open.push(client.connect(args.target, Duration::from_secs(10))?);
        if number % 1_000 == 0 {
            eprintln!("{number} of {} connections are open", args.connections);
        }
    }
    // The last handshakes have left what they needed.
    std::thread::sleep(Duration::from_secs(2));
    let after = stats::memory(args.memory_of)?;
    let each = after.saturating_sub(before) / (args.connections as u64).max(1);
    let mut closed = 0;
    for stream in &mut open {
        closed += u32::from(stream.is_closed());
    }
    println!(
        "connections={} closed={closed} memory_before={before} memory_after={after} \
         octets_per_connection={each}",
        args.connections
    );
    Ok(closed == 0 && each <= args.octets_max)
}

fn options(args: &OptionsArgs) -> Outcome {
    let mut agent = Agent::connect(args.target, &args.way.way()?, &run_name(), "")?;
    agent.options(0)?;
    match agent.wait_for(0, Duration::from_millis(args.timeout_ms))? {
        Event::Accepted { took, .. } => {
            println!(
                "{} answered OPTIONS in {:.1} ms",
                args.target,
                took.as_secs_f64() * 1_000.0
            );
            Ok(true)
        }
        Event::Refused { response, .. } => {
            println!(
                "{} answered OPTIONS with {}",
                args.target,
                response.status().unwrap_or(0)
            );
            Ok(false)
        }
        Event::TimedOut { .. } | Event::HungUp { .. } => Ok(false),
    }
}

/// Distinguishes this run from every other on this machine.
fn run_name() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("load{:x}p{}", now.as_millis(), std::process::id())
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
