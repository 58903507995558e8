//! One channel of audio against the plan of the leg it should hold.

use crate::limits;
use crate::media::LegPlan;
use crate::pattern::{self, PACKET_SAMPLES};

/// What a channel holds of a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelVerdict {
    /// Where the leg's first slot lies in the channel, in samples; negative when its beginning was
    /// cut off, `None` when not one of the first packets was found.
    pub first_sample: Option<i64>,
    /// Packets that are there, each sample right.
    pub right: u32,
    /// Packets whose place is silent, or behind the end.
    pub missing: u32,
    /// Packets with other samples in their place.
    pub wrong: u32,
    /// Slots that must be silent and are not.
    pub invented: u32,
    /// Samples before the first and behind the last slot that are not silent.
    pub stray_samples: u64,
}

impl ChannelVerdict {
    /// Whether the channel is what a perfect recorder would have written.
    pub const fn is_perfect(&self) -> bool {
        self.first_sample.is_some()
            && self.missing == 0
            && self.wrong == 0
            && self.invented == 0
            && self.stray_samples == 0
    }
}

/// Compares a channel, one G.711 octet per sample, with what the leg sent.
pub fn check_channel(samples: &[u8], plan: &LegPlan) -> ChannelVerdict {
    let silence = plan.codec.silence();
    let Some(first) = align(samples, plan) else {
        let missing = (0..plan.slots)
            .filter(|&slot| plan.is_audible(slot))
            .count() as u32;
        let stray_samples = samples.iter().filter(|&&b| b != silence).count() as u64;
        return ChannelVerdict {
            missing,
            stray_samples,
            ..ChannelVerdict::default()
        };
    };
    let mut verdict = ChannelVerdict {
        first_sample: Some(first),
        ..ChannelVerdict::default()
    };
    for slot in 0..plan.slots {
        let there = clip(samples, first + sample_of(slot), PACKET_SAMPLES as i64);
        let is_silent = there.iter().all(|&b| b == silence);
        if !plan.is_audible(slot) {
            verdict.invented += u32::from(!is_silent);
        } else if there == pattern::payload(plan.key, slot) {
            verdict.right += 1;
        } else if is_silent {
            verdict.missing += 1;
        } else {
            verdict.wrong += 1;
        }
    }
    let end = first + sample_of(plan.slots);
    for outside in [
        clip(samples, 0, first),
        clip(samples, end, samples.len() as i64),
    ] {
        verdict.stray_samples += outside.iter().filter(|&&b| b != silence).count() as u64;
    }
    verdict
}

/// First place of `pattern` in `samples`.
pub fn find(samples: &[u8], pattern: &[u8]) -> Option<usize> {
    let (&head, _) = pattern.split_first()?;
    let last = samples.len().checked_sub(pattern.len())?;
    (0..=last).find(|&at| samples[at] == head && samples[at..].starts_with(pattern))
}

/// Where slot 0 lies, by the first packet that is found.
fn align(samples: &[u8], plan: &LegPlan) -> Option<i64> {
    (0..plan.slots)
        .filter(|&slot| plan.is_audible(slot))
        .take(limits::ALIGN_PACKETS_MAX as usize)
        .find_map(|slot| {
            let at = find(samples, &pattern::payload(plan.key, slot))?;
            Some(at as i64 - sample_of(slot))
        })
}

fn sample_of(slot: u32) -> i64 {
    i64::from(slot) * PACKET_SAMPLES as i64
}

/// The part of `from..from + length` that lies within the samples.
fn clip(samples: &[u8], from: i64, length: i64) -> &[u8] {
    let bound = |at: i64| usize::try_from(at.max(0)).unwrap_or(0).min(samples.len());
    let (from, to) = (bound(from), bound(from.saturating_add(length)));
    &samples[from..to.max(from)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::Codec;
    use crate::media::{Fate, Impairment};
    use crate::pattern::LegKey;

    fn plan() -> LegPlan {
        LegPlan::plain(LegKey { call: 2, leg: 0 }, Codec::Pcmu, 100)
    }

    /// A perfect recording of a plan with silence around it.
    fn record(plan: &LegPlan, before: usize, behind: usize) -> Vec<u8> {
        let mut samples = vec![plan.codec.silence(); before];
        for slot in 0..plan.slots {
            if plan.is_audible(slot) {
                samples.extend_from_slice(&pattern::payload(plan.key, slot));
            } else {
                samples.extend_from_slice(&[plan.codec.silence(); PACKET_SAMPLES]);
            }
        }
        samples.extend(std::iter::repeat_n(plan.codec.silence(), behind));
        samples
    }

    #[test]
    fn a_perfect_recording_passes_wherever_it_begins() {
        for before in [0, 1, 159, 777] {
            let verdict = check_channel(&record(&plan(), before, 33), &plan());
            assert!(verdict.is_perfect(), "{verdict:?}");
            assert_eq!(
                (verdict.right, verdict.first_sample),
                (100, Some(before as i64))
            );
        }
    }

    #[test]
    fn one_changed_sample_is_one_wrong_packet() {
        for at in [0, 160, 5_000, 15_999] {
            let mut samples = record(&plan(), 50, 0);
            samples[50 + at] ^= 1;
            let verdict = check_channel(&samples, &plan());
            assert_eq!((verdict.right, verdict.wrong), (99, 1), "{at}");
            assert!(!verdict.is_perfect());
        }
    }

    #[test]
    fn a_shift_by_one_sample_in_the_middle_is_seen() {
        let mut samples = record(&plan(), 0, 0);
        samples.insert(8_000, 0xff);
        let verdict = check_channel(&samples, &plan());
        assert_eq!((verdict.right, verdict.wrong), (50, 50));
    }

    #[test]
    fn silence_in_the_place_of_a_packet_is_missing_not_wrong() {
        let mut samples = record(&plan(), 0, 0);
        samples[320..640].fill(0xff);
        let verdict = check_channel(&samples, &plan());
        assert_eq!((verdict.right, verdict.missing, verdict.wrong), (98, 2, 0));
    }

    #[test]
    fn a_lost_beginning_is_counted_and_the_rest_still_checked() {
        let samples = record(&plan(), 0, 0).split_off(3 * 160 + 7);
        let verdict = check_channel(&samples, &plan());
        assert_eq!(verdict.first_sample, Some(-(3 * 160 + 7)));
        assert_eq!((verdict.right, verdict.missing, verdict.wrong), (96, 3, 1));
    }

    #[test]
    fn a_lost_end_is_missing() {
        let mut samples = record(&plan(), 0, 0);
        samples.truncate(90 * 160);
        let verdict = check_channel(&samples, &plan());
        assert_eq!((verdict.right, verdict.missing), (90, 10));
    }

    #[test]
    fn what_was_not_sent_must_not_be_there() {
        let damaged = LegPlan {
            unsent: std::iter::once(20..30).collect(),
            withheld: std::iter::once(40..45).collect(),
            impairment: Impairment {
                loss_ppm: 100_000,
                ..Impairment::default()
            },
            ..plan()
        };
        let lost = (0..100)
            .filter(|&slot| damaged.fate(slot) == Fate::Lose)
            .count();
        assert!(lost > 0);
        assert!(check_channel(&record(&damaged, 9, 9), &damaged).is_perfect());
        let verdict = check_channel(&record(&plan(), 9, 9), &damaged);
        assert!(verdict.invented as usize >= 15, "{verdict:?}");
        assert!(!verdict.is_perfect());
    }

    #[test]
    fn another_leg_and_stray_sound_are_seen() {
        let other = LegPlan {
            key: LegKey { call: 2, leg: 1 },
            ..plan()
        };
        let verdict = check_channel(&record(&other, 0, 0), &plan());
        assert_eq!((verdict.first_sample, verdict.missing), (None, 100));
        assert!(verdict.stray_samples > 15_000);
        let mut samples = record(&plan(), 200, 200);
        samples[3] = 0;
        samples.push(7);
        assert_eq!(check_channel(&samples, &plan()).stray_samples, 2);
        assert_eq!(check_channel(&[], &plan()).missing, 100);
    }
}
