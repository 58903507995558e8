//! `holdfast status`: how the running server is.

use std::io::Write;
use std::time::Duration;

use holdfast_control::status::{Question, Reply, Status, Stun};
use holdfast_control::{EngineStatistics, ShardStatistics};
use holdfast_settings::display_size;
use holdfast_units::WallTime;

use crate::Verdict;
use crate::calls::Server;
use crate::error::CommandError;
use crate::text::{self, printable};

/// Shows how the server is.
pub(crate) fn status(
    out: &mut dyn Write,
    server: &mut Server,
    json: bool,
) -> Result<Verdict, CommandError> {
    let status = match server.question(Question::Status)? {
        Reply::Status { status } => *status,
        other => return Err(server.misfit(&other)),
    };
    if json {
        let value = serde_json::to_value(&status).unwrap_or_default();
        writeln!(out, "{value:#}")?;
    } else {
        write!(out, "{}", for_people(&status))?;
    }
    Ok(match status.is_ready {
        true => Verdict::Well,
        false => Verdict::Wrong,
    })
}

fn for_people(status: &Status) -> String {
    let word = if status.is_ready {
        "ready"
    } else {
        "NOT READY"
    };
    let up = uptime(status.started, status.at);
    let mut text = format!(
        "{}: {word}, Holdfast {}, up {up}\n",
        printable(&status.node),
        printable(&status.version)
    );
    for check in status.faults() {
        text.push_str(&line("problem", &printable(&check.text)));
    }
    let calls = &status.calls;
    text.push_str(&line(
        "calls",
        &format!(
            "{} of {}, {} being published, {} without a peer; {} recordings published",
            calls.active, calls.max, calls.publishing, calls.orphans, calls.published
        ),
    ));
    let sip = &status.sip;
    let refused: u64 = sip.refused.values().sum();
    text.push_str(&line(
        "SIP",
        &format!(
            "{} INVITEs, {} answered, {refused} refused; {} dialogs, {} transactions",
            sip.invites, sip.answered, sip.dialogs, sip.transactions
        ),
    ));
    let connections = &status.connections;
    text.push_str(&line(
        "connections",
        &format!(
            "{} TCP, {} TLS of {}",
            connections.tcp, connections.tls, connections.max
        ),
    ));
    for certificate in &status.certificates {
        let now = i64::try_from(status.at.unix_seconds()).unwrap_or(i64::MAX);
        let days = (certificate.expires_at - now).div_euclid(86_400);
        let said = format!("{} expires in {days} days", certificate.key);
        text.push_str(&line("certificate", &said));
    }
    if status.stun.is_used {
        text.push_str(&line("address", &advertised(&status.stun)));
    }
    let engine = &status.engine;
    match &engine.statistics {
        Some(statistics) if engine.is_connected => text.push_str(&of_engine(statistics, status.at)),
        None if engine.is_connected => {
            text.push_str(&line(
                "engine",
                "connected; its numbers come within a second",
            ));
        }
        Some(_) | None => text.push_str(&line("engine", "not connected")),
    }
    if !engine.shards.is_empty() {
        text.push('\n');
        text.push_str(&text::columns(&shards(&engine.shards)));
    }
    text
}

/// The address that peers are told, where a STUN server says which.
fn advertised(stun: &Stun) -> String {
    let server = printable(stun.server.as_deref().unwrap_or("a STUN server"));
    match (stun.address, &stun.error) {
        (Some(address), None) => format!("{address}, as {server} says"),
        (Some(address), Some(error)) => {
            let error = printable(error);
            format!("{address}, as {server} said before; now: {error}")
        }
        (None, Some(error)) => format!("not known: {server}: {}", printable(error)),
        (None, None) => format!("not known yet: {server} was asked"),
    }
}

fn of_engine(statistics: &EngineStatistics, now: WallTime) -> String {
    let up = uptime(statistics.started, now);
    let memory = size(statistics.memory);
    let said = format!("{}, up {up}, {memory} of memory", statistics.ingest);
    let mut text = line("engine", &said);
    for disk in &statistics.disks {
        let used = disk.size.saturating_sub(disk.free) as f64 / disk.size.max(1) as f64;
        let (free, whole) = (size(disk.free), size(disk.size));
        let said = format!(
            "{free} free of {whole}, {:.0} % used ({})",
            used * 100.0,
            disk.name
        );
        text.push_str(&line("disk", &said));
    }
    text
}

fn shards(shards: &[ShardStatistics]) -> Vec<Vec<String>> {
    let header = [
        "SHARD", "CORE", "STREAMS", "PACKETS", "REFUSED", "DROPPED", "JOURNAL", "MEMORY", "RING",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(shards.iter().map(|shard| {
        let refused: u64 = shard.refused.iter().map(|refused| refused.count).sum();
        let journal = &shard.journal;
        let filled = journal.blocks.saturating_sub(journal.blocks_empty);
        vec![
            shard.shard.to_string(),
            shard.core.to_string(),
            shard.streams.to_string(),
            shard.packets.to_string(),
            refused.to_string(),
            (shard.kernel_drops + shard.unwritten).to_string(),
            match journal.is_failing {
                true => "FAILING".to_owned(),
                false => share(journal.segments_used.into(), journal.segments_max.into()),
            },
            share(filled.into(), journal.blocks.into()),
            shard
                .ring
                .map_or_else(|| "-".to_owned(), |ring| share(ring.held, ring.blocks)),
        ]
    }));
    rows
}

fn line(name: &str, said: &str) -> String {
    format!("  {name:<12} {said}\n")
}

fn share(part: u64, whole: u64) -> String {
    format!("{} %", part * 100 / whole.max(1))
}

/// In the largest unit that leaves something before the point.
fn size(octets: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (octets as f64, 0);
    while value >= 1_024.0 && unit + 1 < units.len() {
        value /= 1_024.0;
        unit += 1;
    }
    match unit {
        0 => display_size(octets),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

/// `3 d 4 h`, `4 h 12 min`, `12 min 3 s`.
fn uptime(since: WallTime, now: WallTime) -> String {
    let seconds = now.since(since).max(Duration::ZERO).as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
