//! `holdfast-load calls`: places calls, checks their recordings and says in figures how it went.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use holdfast_load::audit::{Audit, audit};
use holdfast_load::media::{Impairment, raise_open_files};
use holdfast_load::run::{Progress, RunPlan, RunReport, run};
use holdfast_load::survivors::{Survivors, check_survivors};
use holdfast_load::{limits, stats};

use crate::args::CallsArgs;
use crate::{Outcome, run_name};

/// Exit 0 only where every call and every recording is right.
pub(crate) fn calls(args: &CallsArgs) -> Outcome {
    let plan = RunPlan {
        target: args.target,
        standby: args.standby,
        way: args.way.way()?,
        user: args.user.clone(),
        run: run_name(),
        calls: args.calls,
        rate: args.rate,
        arrivals: args.arrivals.into(),
        talk: Duration::from_secs(args.seconds.into()),
        codecs: args.codec.codecs(),
        ports: args.rtp_ports.clone(),
        impairment: Impairment {
            loss_ppm: args.loss,
            duplicate_ppm: args.duplicate,
            reorder_ppm: args.reorder,
            jitter_max: Duration::from_millis(args.jitter),
            seed: args.seed,
        },
        talk_spurts: args.talk_spurts,
        presses_keys: args.dtmf,
        is_encrypted: args.srtp,
        may_be_forgotten: args.survivors && !args.prove_dialogs,
        proves_dialogs: args.prove_dialogs,
        is_silent: args.silent,
        streams: args.streams,
    };
    if args.survivors && !plan.codecs.iter().all(|codec| codec.is_heard()) {
        return Err("--survivors counts packets that are heard: --codec pcmu or pcma".into());
    }
    raise_open_files()?;
    let cpu_before = cpu_time(&args.cpu_of)?;
    let report = run(plan, |progress: &Progress| {
        let Progress {
            placed,
            up,
            ended,
            failed,
        } = progress;
        eprintln!(
            "placed {placed} of {}, up {up}, ended {ended}, failed {failed}",
            args.calls
        );
    })?;
    let cpu = cpu_time(&args.cpu_of)?.saturating_sub(cpu_before);
    if let Some(path) = &args.hgrm {
        std::fs::write(path, stats::hgrm(&report.invite_us))?;
    }
    if let Some(path) = &args.sent_file {
        std::fs::write(path, "")?;
    }
    for (call, reason) in report.failures.iter().take(limits::PROBLEMS_SHOWN_MAX) {
        eprintln!("call {call} failed: {reason}");
    }
    if let (Some(folder), true) = (&args.recordings, args.survivors) {
        return survivors(args, folder, &report);
    }
    let checked = match (&args.recordings, args.verify) {
        (Some(folder), true) => Some(check(folder, &report, args.publish_timeout)?),
        _ => None,
    };
    println!("{}", figures(args, &report, checked.as_ref(), cpu));
    let fast_enough = args
        .p99_max_ms
        .is_none_or(|max| stats::milliseconds(&report.invite_us, 0.99) <= max);
    Ok(report.failures.is_empty()
        && (!args.prove_dialogs || report.dialogs_proved == args.calls)
        && report.send_failures == 0
        && fast_enough
        && checked.is_none_or(|audit| audit.is_perfect()))
}

fn survivors(args: &CallsArgs, folder: &Path, report: &RunReport) -> Outcome {
    let total = report.truths.len();
    let timeout = Duration::from_secs(args.publish_timeout);
    let found = check_survivors(folder, &report.truths, timeout, |checked| {
        eprintln!("checked {checked} of {total} recordings");
    })?;
    for problem in &found.problems {
        eprintln!("{problem}");
    }
    let Survivors {
        recordings,
        right,
        lost,
        lost_max,
        unmarked,
        twice,
        undecryptable,
        wrong,
        altered,
        misdescribed,
        problem_count,
        ..
    } = found;
    let (calls, failed, sent) = (args.calls, report.failures.len(), report.packets_sent);
    let (send_failures, proved) = (report.send_failures, report.dialogs_proved);
    println!(
        "calls={calls} failed={failed} dialogs_proved={proved} packets_sent={sent} \
         send_failures={send_failures} recordings={recordings} packets_right={right} lost={lost} lost_max={lost_max} \
         unmarked={unmarked} twice={twice} wrong={wrong} \
         undecryptable={undecryptable} altered={altered} misdescribed={misdescribed} problems={problem_count} \
         send_late_max_ms={:.3}",
        stats::milliseconds(&report.lateness_us, 1.0),
    );
    Ok(failed == 0
        && (!args.prove_dialogs || proved == calls)
        && send_failures == 0
        && recordings == u64::from(calls)
        && lost_max <= args.lost_max
        && unmarked + twice + wrong + undecryptable + altered + misdescribed == 0)
}

fn check(folder: &Path, report: &RunReport, timeout: u64) -> Result<Audit, Box<dyn Error>> {
    let total = report.truths.len();
    let timeout = Duration::from_secs(timeout);
    let audit = audit(folder, &report.truths, timeout, |checked| {
        eprintln!("checked {checked} of {total} recordings");
    })?;
    for problem in &audit.problems {
        eprintln!("{problem}");
    }
    let more = audit.problem_count - audit.problems.len() as u64;
    if more > 0 {
        eprintln!("and {more} more");
    }
    let verdict = if audit.is_perfect() {
        "bit-exact, nothing missing"
    } else {
        "NOT as sent"
    };
    eprintln!("{} recordings: {verdict}", audit.recordings);
    Ok(audit)
}

fn figures(args: &CallsArgs, report: &RunReport, audit: Option<&Audit>, cpu: Duration) -> String {
    let unchecked = || "unchecked".to_owned();
    let or_unchecked =
        |number: fn(&Audit) -> u64| audit.map_or_else(unchecked, |a| number(a).to_string());
    let invite = |quantile| stats::milliseconds(&report.invite_us, quantile);
    let mut line = format!(
        "calls={} failed={} dialogs_proved={} moved={} answered_per_second={:.1} concurrent_max={} packets_sent={} send_failures={} recordings={} \
         packets_missing={} packets_wrong={} problems={} invite_200_p50_ms={:.3} \
         invite_200_p99_ms={:.3} invite_200_max_ms={:.3} rtcp_reports={} \
         streams_without_report={} send_late_p99_ms={:.3} send_late_max_ms={:.3}",
        args.calls,
        report.failures.len(),
        report.dialogs_proved,
        report.moved,
        report.answered_per_second,
        report.concurrent_max,
        report.packets_sent,
        report.send_failures,
        or_unchecked(|audit| audit.recordings),
        or_unchecked(|audit| audit.packets_missing),
        or_unchecked(|audit| audit.packets_wrong),
        or_unchecked(|audit| audit.problem_count),
        invite(0.5),
        invite(0.99),
        invite(1.0),
        report.reports,
        report.streams_without_report,
        stats::milliseconds(&report.lateness_us, 0.99),
        stats::milliseconds(&report.lateness_us, 1.0),
    );
    if !args.cpu_of.is_empty() {
        let per_packet = cpu.as_nanos() / u128::from(report.packets_sent.max(1));
        line.push_str(&format!(
            " engine_cpu_ms={} engine_ns_per_packet={per_packet}",
            cpu.as_millis()
        ));
    }
    line
}

fn cpu_time(pids: &[u32]) -> std::io::Result<Duration> {
    pids.iter().map(|&pid| stats::cpu_time(pid)).sum()
}
