//! What a manifest has to tell of how a party behaved: its keys and its silences.

use std::ops::Range;

use holdfast_manifest::{GapCause, Mark, MarkKind};

use super::library::Published;
use super::recording::LegTruth;

/// Whether the manifest names each key that was pressed, with its time, and each silence that was kept.
pub(super) fn check_told(
    published: &Published,
    leg: &LegTruth,
    first_sample: Option<i64>,
    problems: &mut Vec<String>,
) {
    let streams = &published.manifest.streams;
    let stream = streams
        .iter()
        .find(|s| s.label.as_ref() == Some(&leg.label));
    // What is not there at all has been told already.
    let (Some(stream), Some(first_sample)) = (stream, first_sample) else {
        return;
    };
    let at_ms = |slot: u32| first_sample / 8 + i64::from(slot) * 20;
    let label = &leg.label;
    let told: Vec<_> = stream.marks.iter().filter_map(key_of).collect();
    let pressed = leg.plan.keys.iter().map(|key| {
        let duration_ms = u64::from(key.slots) * 20;
        (key.digit().to_string(), at_ms(key.from), duration_ms)
    });
    let pressed: Vec<_> = pressed.collect();
    let is_same = |((digit, at, length), (wanted, from, lasted)): (&Key, &Key)| {
        digit == wanted && length == lasted && (at - from).abs() <= 1
    };
    if told.len() != pressed.len() || !told.iter().zip(&pressed).all(is_same) {
        problems.push(format!("label {label}: keys {told:?}, not {pressed:?}"));
    }
    for silence in &leg.plan.unsent {
        let (from, to) = (at_ms(silence.start), at_ms(silence.end));
        // A packet that is lost beside it makes one gap of both.
        let is_told = stream.gaps.iter().any(|gap| {
            let (begin, end) = (gap.from_ms as i64, gap.to_ms as i64);
            begin <= from + 1 && end + 1 >= to
        });
        if !is_told {
            problems.push(format!(
                "label {label}: no gap for the silence {from}-{to} ms"
            ));
        }
    }
    // Where recording is paused the sender's silences are not told.
    let silences = stream.gaps.iter().filter(|gap| gap.cause == GapCause::Dtx);
    for gap in silences.filter(|_| leg.plan.withheld.is_empty()) {
        let (begin, end) = (gap.from_ms as i64, gap.to_ms as i64);
        let is_one = |silence: &Range<u32>| {
            at_ms(silence.start) <= begin + 1 && end <= at_ms(silence.end) + 1
        };
        if !leg.plan.unsent.iter().any(is_one) {
            problems.push(format!(
                "label {label}: {begin}-{end} ms was no silence of the sender"
            ));
        }
    }
}

/// A key: what is written on it, when it was pressed, and for how long; both in milliseconds.
type Key = (String, i64, u64);

fn key_of(mark: &Mark) -> Option<Key> {
    match &mark.kind {
        MarkKind::TelephoneEvent { digit, duration_ms } => {
            Some((digit.clone(), mark.at_ms as i64, *duration_ms))
        }
        _ => None,
    }
}
