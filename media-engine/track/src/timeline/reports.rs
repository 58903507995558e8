//! What sender reports say about where the timeline of a sender's clock lies (RFC 3550 §6.4.1).

use holdfast_rtp::{NtpTime, RtpTimestamp};
use holdfast_units::WallTime;

use super::{RATE, SKEW_MAX, Timeline, samples_between};
use crate::limits::{EARLY_REPORTS_MAX, REPORTS_MAX};

/// A moment on both clocks of a sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SenderReport {
    pub(crate) ssrc: u32,
    pub(crate) ntp: NtpTime,
    pub(crate) rtp: RtpTimestamp,
    pub(crate) arrival: WallTime,
}

impl Timeline {
    /// Takes a sender report. One that comes before the first packet of its source is kept for it.
    pub(super) fn handle_sender_report(&mut self, report: SenderReport) {
        if let Some(index) = self.find(report.ssrc) {
            self.note_delay(index, &report);
        } else if self.early_reports.len() < EARLY_REPORTS_MAX {
            self.early_reports.push(report);
        }
    }

    /// A source has begun: what it reported before, and its name.
    pub(super) fn take_early_reports(&mut self, index: usize) {
        let ssrc = self.sources[index].ssrc;
        let early = std::mem::take(&mut self.early_reports);
        let is_own = |(named, _): &mut (u32, String)| *named == ssrc;
        let names = self.early_names.extract_if(.., is_own);
        self.sources[index].cname = names.last().map(|(_, cname)| cname);
        for report in early {
            if report.ssrc == ssrc {
                self.note_delay(index, &report);
            } else {
                self.early_reports.push(report);
            }
        }
    }

    /// Notes by how many samples the source lies behind its sender's clock. NTP time 0 says that it
    /// has none; where its media clock is far from where its packets are, it is not theirs.
    fn note_delay(&mut self, index: usize, report: &SenderReport) {
        let source = &self.sources[index];
        let is_settled = source.pending.is_none() && source.delays.len() < REPORTS_MAX;
        let (Some(ts), true) = (source.ts.nearest(report.rtp), is_settled) else {
            return;
        };
        let at = self.runs[source.run].position(ts);
        let arrived_at = samples_between(self.started, report.arrival);
        if report.ntp.0 == 0 || at.saturating_sub(arrived_at).saturating_abs() > SKEW_MAX {
            return;
        }
        let delay = at.saturating_sub(samples_since(self.started, report.ntp));
        self.sources[index].delays.push(delay);
    }
}

/// Samples at 8 kHz from `started` to a time in NTP format, of the era that is nearest.
fn samples_since(started: WallTime, ntp: NtpTime) -> i64 {
    let since = ntp.0.wrapping_sub(NtpTime::from_wall(started).0) as i64;
    ((i128::from(since) * i128::from(RATE)) >> 32) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_time_is_counted_from_the_start_also_across_its_eras() {
        let second = 1_000_000_000;
        // 2036-02-07T06:28:16Z is second 0 of era 1.
        for started in [
            WallTime(1_795_342_203 * second),
            WallTime(2_085_978_495 * second),
        ] {
            for (nanos, samples) in [(0, 0), (second, 8_000), (1_500_000_000, 12_000)] {
                let ntp = NtpTime::from_wall(WallTime(started.0 + nanos));
                let found = samples_since(started, ntp);
                assert!((found - samples).abs() <= 1, "{found} {samples}");
            }
        }
        // 10 s since a sender was switched on: far away, whichever way round is shorter.
        let since = samples_since(WallTime(1_795_342_203 * second), NtpTime(10 << 32));
        assert!(since.abs() > 86_400 * RATE, "{since}");
    }
}
