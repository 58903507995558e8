//! `holdfast latency`: how long packets, commits and turns take in the running engine.

use std::io::Write;
use std::time::Duration;

use holdfast_control::status::{Question, Reply};
use holdfast_control::{Stage, StageLatency};
use serde_json::Value;

use crate::Verdict;
use crate::calls::Server;
use crate::error::CommandError;
use crate::text;

/// What is to be shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// One stage alone, drawn as a histogram.
    pub stage: Option<Stage>,
    /// Again and again, with so much time between.
    pub watch: Option<Duration>,
    pub json: bool,
}

/// Shows how long things take; with `watch`, what came since the last look, until interrupted.
pub(crate) fn latency(
    out: &mut dyn Write,
    server: &mut Server,
    view: View,
) -> Result<Verdict, CommandError> {
    let mut before: Option<Vec<StageLatency>> = None;
    loop {
        let now = ask(server)?;
        // Whoever watches sees it come.
        if now.is_empty() && view.watch.is_none() {
            return Err(CommandError::NoEngine);
        }
        let shown = match &before {
            None => now.clone(),
            Some(before) => now.iter().map(|it| since(it, before)).collect(),
        };
        show(out, &shown, view)?;
        out.flush()?;
        let Some(pause) = view.watch else {
            return Ok(Verdict::Well);
        };
        before = Some(now);
        std::thread::sleep(pause);
        if !view.json {
            // Home, and what was there goes: `watch` does the same.
            write!(out, "\x1b[H\x1b[2J")?;
        }
    }
}

fn ask(server: &mut Server) -> Result<Vec<StageLatency>, CommandError> {
    match server.question(Question::Latency)? {
        Reply::Latency { stages } => Ok(stages),
        other => Err(server.misfit(&other)),
    }
}

/// What came after `before`. An engine that was started again counts from nothing.
fn since(now: &StageLatency, before: &[StageLatency]) -> StageLatency {
    let same = |it: &&StageLatency| it.shard == now.shard && it.stage == now.stage;
    let Some(before) = before.iter().find(same) else {
        return now.clone();
    };
    if before.count() > now.count() {
        return now.clone();
    }
    let known: std::collections::BTreeMap<u32, u64> = before.values.iter().copied().collect();
    let values = now.values.iter().filter_map(|&(micros, count)| {
        let newer = count.saturating_sub(known.get(&micros).copied().unwrap_or(0));
        (newer > 0).then_some((micros, newer))
    });
    StageLatency {
        values: values.collect(),
        ..now.clone()
    }
}

fn show(out: &mut dyn Write, stages: &[StageLatency], view: View) -> Result<(), CommandError> {
    let stages: Vec<&StageLatency> = stages
        .iter()
        .filter(|it| view.stage.is_none_or(|stage| it.stage == stage))
        .collect();
    if view.json {
        let rows: Vec<Value> = stages.iter().map(|it| it.to_json(&PERCENTILES)).collect();
        writeln!(out, "{:#}", Value::Array(rows))?;
        return Ok(());
    }
    if stages.is_empty() {
        writeln!(out, "{}", CommandError::NoEngine)?;
        return Ok(());
    }
    write!(out, "{}", table(&stages))?;
    let drawn = view.stage.unwrap_or(Stage::Durable);
    let of_stage = stages.iter().copied().filter(|it| it.stage == drawn);
    if let Some(merged) = StageLatency::merged(of_stage).filter(|it| it.count() > 0) {
        writeln!(out, "\n{}, all shards:", drawn.name())?;
        write!(out, "{}", drawing(&merged))?;
    }
    Ok(())
}

const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];

fn table(stages: &[&StageLatency]) -> String {
    let header = [
        "SHARD", "STAGE", "COUNT", "P50", "P90", "P99", "P99.9", "P99.99", "LONGEST",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for latency in stages {
        let mut row = vec![
            latency.shard.to_string(),
            latency.stage.name().to_owned(),
            latency.count().to_string(),
        ];
        let percentiles = PERCENTILES.iter().map(|it| latency.percentile(*it));
        let values = percentiles.chain([latency.max()]);
        row.extend(values.map(|it| it.map_or_else(|| "-".to_owned(), time)));
        rows.push(row);
    }
    text::columns(&rows)
}

/// A bar for each doubling of the time.
fn drawing(latency: &StageLatency) -> String {
    let mut counts: Vec<(u32, u64)> = Vec::new();
    for &(micros, count) in &latency.values {
        let bound = micros.max(1).next_power_of_two();
        match counts.last_mut() {
            Some((last, sum)) if *last == bound => *sum += count,
            _ => counts.push((bound, count)),
        }
    }
    let most = counts
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(1)
        .max(1);
    let total = latency.count().max(1);
    let mut text = String::new();
    for (bound, count) in counts {
        // At least a mark for what there is.
        let width = (count * BAR_WIDTH).div_ceil(most) as usize;
        let share = count as f64 * 100.0 / total as f64;
        let (bar, bound) = ("#".repeat(width), time(bound));
        text.push_str(&format!(
            "  <= {bound:>9} {bar:<width$} {share:6.2} %\n",
            width = BAR_WIDTH as usize
        ));
    }
    text
}

const BAR_WIDTH: u64 = 50;

fn time(micros: u32) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.1} ms", f64::from(micros) / 1e3),
        _ => format!("{:.2} s", f64::from(micros) / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(values: &[(u32, u64)]) -> StageLatency {
        StageLatency {
            shard: 0,
            stage: Stage::Durable,
            values: values.to_vec(),
        }
    }

    #[test]
    fn only_what_is_new_is_shown_while_watching() {
        let before = [latency(&[(100, 5), (200, 1)])];
        let now = latency(&[(100, 5), (200, 3), (400, 1)]);
        assert_eq!(since(&now, &before).values, [(200, 2), (400, 1)]);
        let started_again = latency(&[(100, 1)]);
        assert_eq!(since(&started_again, &before), started_again);
        assert_eq!(since(&now, &[]), now);
    }

    #[test]
    fn a_drawing_has_a_bar_for_each_doubling() {
        let text = drawing(&latency(&[(100, 1), (120, 1), (300, 100), (3_000_000, 1)]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("  <=    128 us #  "), "{text}");
        assert!(
            lines[1].contains(&"#".repeat(50)) && lines[1].ends_with("97.09 %"),
            "{text}"
        );
        assert!(lines[2].contains("4.19 s"), "{text}");
    }
}
