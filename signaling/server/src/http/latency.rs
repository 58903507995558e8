//! `/api/latency`: percentiles for dashboards, and HdrHistogram's own formats for its tools: `hgrm`
//! (a percentile distribution, in milliseconds) and `hlog` (an interval log of compressed histograms,
//! in microseconds, one line for each shard and stage).

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use holdfast_control::{Stage, StageLatency};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Http, Problem};

pub fn router() -> Router<Http> {
    Router::new().route("/api/latency", get(latency))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    format: Option<Format>,
    stage: Option<String>,
    shard: Option<u16>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Hgrm,
    Hlog,
}

async fn latency(
    State(http): State<Http>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::bad_request(error.body_text()))?;
    let stage = wanted.stage.as_deref().map(stage_of).transpose()?;
    let mut stages = http.latencies().await?;
    if stages.is_empty() {
        return Err(Problem::no_engine());
    }
    stages.retain(|it| stage.is_none_or(|stage| it.stage == stage));
    stages.retain(|it| wanted.shard.is_none_or(|shard| it.shard == shard));
    match wanted.format.unwrap_or(Format::Json) {
        Format::Json => {
            let rows: Vec<Value> = stages.iter().map(|it| it.to_json(&PERCENTILES)).collect();
            Ok(Json(json!({"stages": rows})).into_response())
        }
        Format::Hgrm => {
            let stage = stage.unwrap_or(Stage::Durable);
            let of_stage = stages.iter().filter(|it| it.stage == stage);
            Ok(text(hgrm(StageLatency::merged(of_stage))))
        }
        Format::Hlog => {
            let started = http
                .status()
                .await?
                .engine
                .statistics
                .map(|it| it.started.0);
            let started = Duration::from_nanos(started.unwrap_or_default());
            let log = hlog(SystemTime::UNIX_EPOCH + started, &stages);
            log.map(text).ok_or_else(Problem::silent)
        }
    }
}

fn stage_of(name: &str) -> Result<Stage, Problem> {
    let known = Stage::ALL.into_iter().find(|stage| stage.name() == name);
    known.ok_or_else(|| {
        let names = Stage::ALL.map(Stage::name).join(", ");
        Problem::bad_request(format!("there is no such stage; there are {names}"))
    })
}

fn text(text: String) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (kind, text).into_response()
}

const PERCENTILES: [f64; 7] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];

fn histogram(latency: Option<&StageLatency>) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).expect("good bounds");
    for (micros, count) in latency.iter().flat_map(|it| &it.values) {
        histogram.saturating_record_n(u64::from(*micros), *count);
    }
    histogram
}

/// The table that HdrHistogram's `outputPercentileDistribution` writes, in milliseconds.
fn hgrm(latency: Option<StageLatency>) -> String {
    let histogram = histogram(latency.as_ref());
    let ms = |micros: f64| micros / 1_000.0;
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    // A String takes all that is written to it.
    for one in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += one.count_since_last_iteration();
        let value = ms(one.value_iterated_to() as f64);
        let quantile = one.quantile_iterated_to();
        let _ = match quantile < 1.0 {
            true => {
                let inverse = 1.0 / (1.0 - quantile);
                writeln!(
                    out,
                    "{value:12.3} {quantile:2.12} {total:10} {inverse:14.2}"
                )
            }
            false => writeln!(out, "{value:12.3} {quantile:2.12} {total:10}"),
        };
    }
    let (mean, deviation) = (ms(histogram.mean()), ms(histogram.stdev()));
    let _ = writeln!(
        out,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"
    );
    let (max, count) = (ms(histogram.max() as f64), histogram.len());
    let _ = writeln!(out, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    let (buckets, sub) = (histogram.buckets(), SUB_BUCKETS);
    let _ = writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {sub:12}]");
    out
}

const TICKS_PER_HALF_DISTANCE: u32 = 5;
/// Of three significant digits.
const SUB_BUCKETS: u32 = 2_048;

/// An interval log: all since the engine was started.
fn hlog(started: SystemTime, stages: &[StageLatency]) -> Option<String> {
    let mut out = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let lasted = started.elapsed().unwrap_or_default();
    {
        let mut builder = IntervalLogWriterBuilder::new();
        builder.add_comment("values are microseconds since the engine was started");
        builder.with_start_time(started).with_base_time(started);
        let mut log = builder.begin_log_with(&mut out, &mut serializer).ok()?;
        for latency in stages {
            let name = format!("shard-{}-{}", latency.shard, latency.stage.name());
            let histogram = histogram(Some(latency));
            let tag = Tag::new(&name);
            log.write_histogram(&histogram, Duration::ZERO, lasted, tag)
                .ok()?;
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    fn stages() -> Vec<StageLatency> {
        [Stage::Seen, Stage::Durable]
            .map(|stage| StageLatency {
                shard: 1,
                stage,
                values: vec![(132, 90), (1_000, 9), (200_000, 1)],
            })
            .to_vec()
    }

    #[test]
    fn a_distribution_as_the_tools_read_it() {
        let text = hgrm(stages().pop());
        let lines: Vec<&str> = text.lines().collect();
        let fields: Vec<&str> = lines[2].split_whitespace().collect();
        assert_eq!(fields, ["0.132", "0.000000000000", "90", "1.00"], "{text}");
        let last = lines.iter().rev().find(|line| !line.starts_with('#'));
        let fields: Vec<&str> = last.unwrap().split_whitespace().collect();
        assert_eq!(fields[1..], ["1.000000000000", "100"], "{text}");
        assert!(text.contains("Total count    =          100]"), "{text}");
    }

    #[test]
    fn an_interval_log_is_read_by_the_library() {
        let log = hlog(SystemTime::UNIX_EPOCH, &stages()).unwrap();
        let mut found = Vec::new();
        for entry in IntervalLogIterator::new(log.as_bytes()) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                let bytes = base64(interval.encoded_histogram());
                let histogram: Histogram<u64> = Deserializer::new()
                    .deserialize(&mut bytes.as_slice())
                    .unwrap();
                let tag = interval.tag().unwrap().as_str().to_owned();
                found.push((tag, histogram.len()));
            }
        }
        let expected = [
            ("shard-1-seen".to_owned(), 100),
            ("shard-1-durable".to_owned(), 100),
        ];
        assert_eq!(found, expected);
    }

    /// RFC 4648 section 4.
    fn base64(text: &str) -> Vec<u8> {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let value = |octet| alphabet.iter().position(|it| *it == octet).unwrap() as u32;
        let mut bytes = Vec::new();
        for four in text.trim_end_matches('=').as_bytes().chunks(4) {
            let bits = four.iter().fold(0, |sum, octet| sum << 6 | value(*octet))
                << (6 * (4 - four.len()));
            bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
        }
        bytes
    }
}
