//! Which recordings are meant: by time, participant, number or call id.

use std::collections::BTreeMap;

use holdfast_manifest::Manifest;
use holdfast_units::WallTime;

use crate::{Catalogue, CatalogueError, Day, Entry};

/// What is looked for; what is not said fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Filed under this day.
    pub day: Option<Day>,
    /// Begun at this moment or after it.
    pub from: Option<WallTime>,
    /// Begun before this moment.
    pub to: Option<WallTime>,
    /// A part of a participant's name or address, in whatever case.
    pub participant: Option<String>,
    /// The end of a participant's number; what is no digit is passed over on both sides.
    pub number: Option<String>,
    /// The Call-ID of the recording session, or any identifier that other systems know the call by.
    pub call_id: Option<String>,
}

/// What a search has found.
#[derive(Debug, Default)]
pub struct Found {
    /// Recordings and where they are, the newest first.
    pub recordings: Vec<(Entry, Manifest)>,
    /// Recordings whose manifest does not read.
    pub unreadable: Vec<(Entry, CatalogueError)>,
    /// Whether there may be older ones that fit.
    pub has_more: bool,
}

impl Catalogue {
    /// The newest recordings that are meant, at most `count` of them; reads at most `reads_max`
    /// manifests.
    ///
    /// # Errors
    ///
    /// The folders cannot be read.
    pub fn search(
        &self,
        query: &Query,
        count: usize,
        reads_max: usize,
    ) -> Result<Found, CatalogueError> {
        let mut found = Found::default();
        let mut reads = 0;
        for (_, entries) in self.days(query)?.into_iter().rev() {
            let mut of_day = Vec::new();
            for entry in entries {
                if reads == reads_max {
                    found.has_more = true;
                    break;
                }
                reads += 1;
                match entry.manifest() {
                    Ok(manifest) if query.means(&manifest) => of_day.push((entry, manifest)),
                    Ok(_) => {}
                    Err(error) => found.unreadable.push((entry, error)),
                }
            }
            of_day.sort_by_key(|(entry, it)| std::cmp::Reverse((it.started, entry.id, entry.part)));
            found.recordings.append(&mut of_day);
            if found.has_more || found.recordings.len() > count {
                break;
            }
        }
        found.has_more |= found.recordings.len() > count;
        found.recordings.truncate(count);
        Ok(found)
    }

    /// The recordings of each day that may be meant.
    fn days(&self, query: &Query) -> Result<BTreeMap<Day, Vec<Entry>>, CatalogueError> {
        let mut days: BTreeMap<Day, Vec<Entry>> = BTreeMap::new();
        for entry in self.entries(query.day)? {
            let Some(day) = entry.day() else { continue };
            if query.may_mean(day) {
                days.entry(day).or_default().push(entry);
            }
        }
        Ok(days)
    }
}

impl Query {
    /// Whether a recording that is filed under this day may be meant.
    pub fn may_mean(&self, day: Day) -> bool {
        let (first, last) = (self.from.map(Day::of), self.to.map(Day::of));
        self.day.is_none_or(|it| it == day)
            && first.is_none_or(|it| it <= day)
            && last.is_none_or(|it| day <= it)
    }

    /// Whether a recording is meant, that is filed under a day that may be.
    pub fn means(&self, manifest: &Manifest) -> bool {
        self.from.is_none_or(|from| from <= manifest.started)
            && self.to.is_none_or(|to| manifest.started < to)
            && self
                .participant
                .as_ref()
                .is_none_or(|it| has_participant(manifest, it))
            && self
                .number
                .as_ref()
                .is_none_or(|it| has_number(manifest, it))
            && self
                .call_id
                .as_ref()
                .is_none_or(|it| has_call_id(manifest, it))
    }
}

/// Names and addresses of all who took part, and who called.
pub(crate) fn addresses(manifest: &Manifest) -> impl Iterator<Item = &String> {
    let participants = manifest.call.participants.iter();
    participants
        .flat_map(|it| it.names.iter().chain(&it.aors))
        .chain([&manifest.call.sip.from, &manifest.call.sip.to])
}

fn has_participant(manifest: &Manifest, part: &str) -> bool {
    let part = part.to_lowercase();
    addresses(manifest).any(|name| name.to_lowercase().contains(&part))
}

fn has_number(manifest: &Manifest, number: &str) -> bool {
    let wanted = digits(number);
    let is_it = |address: &String| user_digits(address).ends_with(&wanted);
    !wanted.is_empty() && addresses(manifest).any(is_it)
}

/// The digits of the user of a URI: behind the scheme, before the host and its parameters.
pub(crate) fn user_digits(address: &str) -> String {
    let address = address.split_once(':').map_or(address, |(_, rest)| rest);
    digits(address.split(['@', ';', '>']).next().unwrap_or_default())
}

pub(crate) fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

fn has_call_id(manifest: &Manifest, id: &str) -> bool {
    known_as(manifest).any(|it| it == id)
}

/// The Call-ID, and what other systems know the call by.
pub(crate) fn known_as(manifest: &Manifest) -> impl Iterator<Item = &String> {
    let known = manifest.call.correlations.iter().map(|it| &it.value);
    known.chain([&manifest.call.sip.call_id])
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use holdfast_manifest::{Correlation, EndReason, FILE_NAME, Participant};
    use holdfast_units::RecordingId;

    use super::*;

    const HOUR: u64 = 3_600_000_000_000;
    const DAY: u64 = 24 * HOUR;

    fn manifest(number: u8, started: u64, names: &[&str], aors: &[&str]) -> Manifest {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let mut manifest = Manifest {
            format: holdfast_manifest::FORMAT,
            id: RecordingId::from_bytes([number; 16]),
            part: 1,
            state_sha256: String::new(),
            node: "n".to_owned(),
            software_version: "0".to_owned(),
            started: WallTime(started),
            ended: WallTime(started + HOUR),
            end_reason: EndReason::Bye,
            duration_ms: 0,
            call: holdfast_manifest::Call::default(),
            streams: Vec::new(),
            files: Vec::new(),
            parts: Vec::new(),
            flags: Vec::new(),
        };
        manifest.call.sip.call_id = format!("call-{number}");
        manifest.call.participants = vec![Participant {
            names: owned(names),
            aors: owned(aors),
            ..Participant::default()
        }];
        manifest.call.correlations = vec![Correlation {
            value: format!("ucid-{number}"),
            ..Correlation::default()
        }];
        manifest
    }

    fn publish(root: &Path, manifest: &Manifest) {
        let (year, month, day) = manifest.started.utc_date();
        let name = holdfast_manifest::folder_name(manifest.id, 1);
        let folder = root.join(format!("{year:04}/{month:02}/{day:02}/{name}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(FILE_NAME), manifest.to_json()).unwrap();
    }

    #[test]
    fn what_a_query_means() {
        let found = manifest(
            1,
            10 * DAY,
            &["Zo\u{eb} Meyer"],
            &["sip:+49-30-1234567@example.com;user=phone"],
        );
        let text = |it: &str| Some(it.to_owned());
        let at = |hours: u64| Some(WallTime(10 * DAY + hours * HOUR));
        let none = Query::default();
        for (query, expected) in [
            (none.clone(), true),
            (
                Query {
                    from: at(0),
                    to: at(1),
                    ..none.clone()
                },
                true,
            ),
            (
                Query {
                    from: at(1),
                    ..none.clone()
                },
                false,
            ),
            (
                Query {
                    to: at(0),
                    ..none.clone()
                },
                false,
            ),
            (
                Query {
                    participant: text("ZO\u{cb} m"),
                    ..none.clone()
                },
                true,
            ),
            (
                Query {
                    participant: text("example.com"),
                    ..none.clone()
                },
                true,
            ),
            (
                Query {
                    participant: text("mayer"),
                    ..none.clone()
                },
                false,
            ),
            (
                Query {
                    number: text("030/1234567"),
                    ..none.clone()
                },
                false,
            ),
            (
                Query {
                    number: text("30 123 45 67"),
                    ..none.clone()
                },
                true,
            ),
            (
                Query {
                    number: text("4567"),
                    ..none.clone()
                },
                true,
            ),
            (
                Query {
                    number: text("123"),
                    ..none.clone()
                },
                false,
            ),
            (
                Query {
                    number: text("x"),
                    ..none.clone()
                },
                false,
            ),
            (
                Query {
                    call_id: text("call-1"),
                    ..none.clone()
                },
                true,
            ),
            (
                Query {
                    call_id: text("ucid-1"),
                    ..none.clone()
                },
                true,
            ),
            (
                Query {
                    call_id: text("call-"),
                    ..none.clone()
                },
                false,
            ),
            (
                Query {
                    call_id: text("call-1"),
                    number: text("0"),
                    ..none
                },
                false,
            ),
        ] {
            assert_eq!(query.means(&found), expected, "{query:?}");
        }
    }

    #[test]
    fn the_newest_come_first_and_what_was_left_out_is_told() {
        let root = tempfile::tempdir().unwrap();
        for number in 1..=6 {
            let started = u64::from(number) * DAY / 2;
            publish(root.path(), &manifest(number, started, &[], &[]));
        }
        let catalogue = Catalogue::new(root.path().to_owned());
        let ids = |query: &Query, count, reads| {
            let found = catalogue.search(query, count, reads).unwrap();
            let of = |(_, it): &(Entry, Manifest)| it.call.sip.call_id.clone();
            (
                found.recordings.iter().map(of).collect::<Vec<_>>(),
                found.has_more,
            )
        };
        let all = Query::default();
        let expected = ["call-6", "call-5", "call-4"].map(str::to_owned).to_vec();
        assert_eq!(ids(&all, 3, 100), (expected, true));
        assert!(!ids(&all, 6, 100).1);
        let (some, has_more) = ids(&all, 6, 4);
        assert_eq!(
            (some.len(), has_more),
            (4, true),
            "no more than that is read"
        );
        let early = Query {
            to: Some(WallTime(DAY)),
            ..all
        };
        assert_eq!(ids(&early, 6, 100), (vec!["call-1".to_owned()], false));
        fs::write(root.path().join("1970/01/02").join("x"), "no folder").unwrap();
        let broken = root.path().join("1970/01/02").join("09".repeat(16));
        fs::create_dir(&broken).unwrap();
        fs::write(broken.join(FILE_NAME), "{").unwrap();
        let found = catalogue.search(&Query::default(), 10, 100).unwrap();
        assert_eq!((found.recordings.len(), found.unreadable.len()), (6, 1));
    }
}
