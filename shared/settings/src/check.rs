//! The checks that most keys share. A check that fails notes the problem and yields a stand-in,
//! which nobody sees: settings with a problem are never given out.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::problem::{Fault, Problem};
use crate::quantity::{display_duration, display_size, parse_duration, parse_percent, parse_size};

/// Collects what is wrong.
pub(crate) struct Checker<'a> {
    line_by_key: &'a BTreeMap<String, usize>,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    /// A checker that knows where each key stands and what was found wrong before.
    pub fn new(line_by_key: &'a BTreeMap<String, usize>, problems: Vec<Problem>) -> Self {
        Self {
            line_by_key,
            problems,
        }
    }

    /// What was found wrong.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Whether nothing is wrong with a key so far, its items and what is in them included: only then
    /// is it compared with others.
    pub fn is_good(&self, key: &str) -> bool {
        !self.problems.iter().any(|problem| {
            problem
                .key
                .strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
        })
    }

    /// The value cannot be had for this key.
    pub fn not_allowed(&mut self, key: &str, value: impl Display, allowed: impl Display) {
        let (value, allowed) = (value.to_string(), allowed.to_string());
        self.note(key, Fault::NotAllowed { value, allowed });
    }

    /// The value does not go with another one.
    pub fn clash(
        &mut self,
        key: &str,
        value: impl Display,
        conflict: impl Display,
        remedy: impl Display,
    ) {
        let (value, conflict) = (value.to_string(), conflict.to_string());
        self.note(
            key,
            Fault::Clash {
                value,
                conflict,
                remedy: remedy.to_string(),
            },
        );
    }

    /// The machine does not have or permit it.
    pub fn not_here(
        &mut self,
        key: &str,
        value: impl Display,
        lack: impl Display,
        remedy: impl Display,
    ) {
        let (value, lack) = (value.to_string(), lack.to_string());
        self.note(
            key,
            Fault::NotOnThisMachine {
                value,
                lack,
                remedy: remedy.to_string(),
            },
        );
    }

    fn note(&mut self, key: &str, fault: Fault) {
        let line = self.line_by_key.get(key).copied();
        self.problems.push(Problem {
            key: key.to_owned(),
            line,
            fault,
        });
    }

    /// A duration within its range.
    pub fn duration(
        &mut self,
        key: &str,
        text: &str,
        range: &RangeInclusive<Duration>,
    ) -> Duration {
        parse_duration(text)
            .filter(|value| range.contains(value))
            .unwrap_or_else(|| {
                let (from, to) = (
                    display_duration(*range.start()),
                    display_duration(*range.end()),
                );
                self.not_allowed(key, quoted(text), format_args!("{from} to {to}"));
                *range.start()
            })
    }

    /// A duration of whole seconds within its range, because SIP says it in seconds.
    pub fn seconds(&mut self, key: &str, text: &str, range: &RangeInclusive<Duration>) -> Duration {
        let value = self.duration(key, text, range);
        if value.subsec_nanos() != 0 {
            self.not_allowed(key, quoted(text), "whole seconds");
        }
        value
    }

    /// A size within its range.
    pub fn size(&mut self, key: &str, text: &str, range: &RangeInclusive<u64>) -> u64 {
        parse_size(text)
            .filter(|value| range.contains(value))
            .unwrap_or_else(|| {
                let (from, to) = (display_size(*range.start()), display_size(*range.end()));
                self.not_allowed(key, quoted(text), format_args!("{from} to {to}"));
                *range.start()
            })
    }

    /// A percentage within its range.
    pub fn percent(&mut self, key: &str, text: &str, range: &RangeInclusive<u8>) -> u8 {
        parse_percent(text)
            .filter(|value| range.contains(value))
            .unwrap_or_else(|| {
                let (from, to) = (range.start(), range.end());
                self.not_allowed(key, quoted(text), format_args!("{from} % to {to} %"));
                *range.start()
            })
    }

    /// A count within its range.
    pub fn count(&mut self, key: &str, value: i64, range: &RangeInclusive<u32>) -> u32 {
        u32::try_from(value)
            .ok()
            .filter(|value| range.contains(value))
            .unwrap_or_else(|| {
                let (from, to) = (range.start(), range.end());
                self.not_allowed(key, value, format_args!("{from} to {to}"));
                *range.start()
            })
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, key: &str, text: &str, choices: &[(&str, T)]) -> T {
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => *value,
            None => {
                let words: Vec<String> = choices.iter().map(|(word, _)| quoted(word)).collect();
                self.not_allowed(key, quoted(text), words.join(", "));
                choices[0].1
            }
        }
    }
}

/// A text as the file has it, on one line: Rust's escapes are TOML's, as far as people write them.
pub(crate) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// A list of texts as the file has it.
pub(crate) fn listed(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}
