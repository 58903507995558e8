//! Numbers: histograms, their file format, and the CPU time of other processes.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

/// An empty histogram of microseconds up to an hour, three digits exact.
///
/// # Panics
/// Never: the bounds are valid.
pub fn microseconds() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are valid")
}

/// Adds a duration to a histogram of microseconds; what exceeds it counts as its highest value.
pub fn record(histogram: &mut Histogram<u64>, value: Duration) {
    histogram.saturating_record(u64::try_from(value.as_micros()).unwrap_or(u64::MAX));
}

/// A value of a histogram of microseconds as milliseconds.
pub fn milliseconds(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1_000.0
}

/// The percentile distribution in the text format (`.hgrm`) that HdrHistogram's plotters read;
/// values in milliseconds.
pub fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut total = 0;
    for step in histogram.iter_quantiles(5) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / 1_000.0;
        let quantile = step.quantile_iterated_to();
        let _ = write!(text, "{value:12.3} {quantile:2.12} {total:10}");
        if quantile < 1.0 {
            let _ = write!(text, " {:14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let (mean, deviation) = (histogram.mean() / 1_000.0, histogram.stdev() / 1_000.0);
    let (max, count) = (histogram.max() as f64 / 1_000.0, histogram.len());
    let _ = writeln!(
        text,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"
    );
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    text
}

/// Memory that a process has in use, in octets: what is resident of it.
pub fn memory(pid: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1_024)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an odd /proc/PID/status"))
}

/// User and system time a process has used, all its threads together, to 10 ms. Work that the
/// kernel does for it in the sender's time, as on loopback, is not in it.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_cpu_time(&stat)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an odd /proc/PID/stat"))
}

/// Fields 14 and 15 of proc_pid_stat(5). The name in field 2 may hold anything, so count from the
/// last parenthesis.
fn parse_cpu_time(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        user.checked_add(system)?.checked_mul(CLOCK_TICK_MS)?,
    ))
}

/// The unit of proc_pid_stat(5): USER_HZ is 100 on every architecture Linux runs on here.
const CLOCK_TICK_MS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 123 45 0 0 20 0 1 0 99";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_millis(1_680)));
        assert_eq!(parse_cpu_time("42 (x) S 1 2"), None);
        assert!(cpu_time(std::process::id()).is_ok());
    }

    #[test]
    fn the_percentile_file_ends_with_the_highest_value() {
        let mut histogram = microseconds();
        for ms in 1..=100 {
            record(&mut histogram, Duration::from_millis(ms));
        }
        let text = hgrm(&histogram);
        let rows: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with(' '))
            .skip(1)
            .collect();
        let last: Vec<_> = rows.last().unwrap().split_ascii_whitespace().collect();
        assert_eq!(last[1..], ["1.000000000000", "100"]);
        assert!((99.9..100.2).contains(&last[0].parse::<f64>().unwrap()));
        assert!((49.9..50.2).contains(&milliseconds(&histogram, 0.5)));
    }

    #[test]
    fn an_empty_histogram_has_a_file_too() {
        assert!(hgrm(&microseconds()).contains("Total count    =            0]"));
    }
}
