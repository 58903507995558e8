//! Random complete and partial documents against a reference of the merge rules that fits on a
//! page: what is current after each of them must be the same. `SEED=…` replays one run.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_recording::metadata::{EndCause, History, Limits, State, parse};
use holdfast_units::WallTime;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn some(&mut self, prefix: &str, of: u64) -> Vec<String> {
        let mask = self.below(1 << of);
        (0..of)
            .filter(|bit| mask >> bit & 1 == 1)
            .map(|bit| format!("{prefix}{bit}"))
            .collect()
    }
}

/// One document: what it names.
#[derive(Debug, Default)]
struct Update {
    is_complete: bool,
    people: BTreeMap<String, Option<String>>,
    streams: BTreeMap<String, Option<String>>,
    pictures: BTreeMap<String, (Vec<String>, Vec<String>)>,
    members: BTreeSet<String>,
}

impl Update {
    fn random(random: &mut Random) -> Self {
        let mut update = Self {
            is_complete: random.below(3) == 0,
            ..Self::default()
        };
        let value = |random: &mut Random, keep: u64| {
            (random.below(keep) > 0).then(|| random.below(5).to_string())
        };
        for id in random.some("p", 4) {
            update.people.insert(id, value(random, 3));
        }
        for id in random.some("t", 4) {
            update.streams.insert(id, value(random, 3));
        }
        for id in random.some("p", 4) {
            update
                .pictures
                .insert(id, (random.some("t", 4), random.some("t", 4)));
        }
        update.members = random.some("p", 4).into_iter().collect();
        update
    }

    fn xml(&self) -> String {
        let mode = if self.is_complete {
            "complete"
        } else {
            "partial"
        };
        let mut xml = format!("<recording><datamode>{mode}</datamode><session session_id='s'/>");
        for (id, name) in &self.people {
            let name = name.as_ref().map(|name| format!("<nameID aor='{name}'/>"));
            let name = name.unwrap_or_default();
            xml += &format!("<participant participant_id='{id}'>{name}</participant>");
        }
        for (id, label) in &self.streams {
            let label = label
                .as_ref()
                .map(|label| format!("<label>{label}</label>"));
            xml += &format!(
                "<stream stream_id='{id}'>{}</stream>",
                label.unwrap_or_default()
            );
        }
        for (id, (sends, receives)) in &self.pictures {
            let sends: String = sends
                .iter()
                .map(|id| format!("<send>{id}</send>"))
                .collect();
            let recv: String = receives
                .iter()
                .map(|id| format!("<recv>{id}</recv>"))
                .collect();
            xml += &format!(
                "<participantstreamassoc participant_id='{id}'>{sends}{recv}\
                 </participantstreamassoc>"
            );
        }
        for id in &self.members {
            xml += &format!("<participantsessionassoc participant_id='{id}' session_id='s'/>");
        }
        xml + "</recording>"
    }
}

/// What is current, by the letter of the rules.
#[derive(Debug, Default, PartialEq)]
struct Reference {
    people: BTreeMap<String, Option<String>>,
    streams: BTreeMap<String, Option<String>>,
    sends: BTreeSet<(String, String)>,
    receives: BTreeSet<(String, String)>,
    members: BTreeSet<String>,
    /// Names outlive an absence, unlike all else.
    names: BTreeMap<String, Option<String>>,
}

impl Reference {
    fn apply(&mut self, update: &Update) {
        if update.is_complete {
            *self = Self {
                names: std::mem::take(&mut self.names),
                ..Self::default()
            };
        }
        for (id, name) in &update.people {
            let known = self.names.entry(id.clone()).or_default();
            *known = name
                .clone()
                .or(known.take().filter(|_| !update.is_complete));
            self.people.insert(id.clone(), known.clone());
        }
        for (id, label) in &update.streams {
            let known = self.streams.entry(id.clone()).or_default();
            *known = label.clone().or(known.take());
        }
        for (id, (sends, receives)) in &update.pictures {
            self.sends.retain(|(of, _)| of != id);
            self.receives.retain(|(of, _)| of != id);
            self.sends
                .extend(sends.iter().map(|stream| (id.clone(), stream.clone())));
            self.receives
                .extend(receives.iter().map(|stream| (id.clone(), stream.clone())));
        }
        self.members.extend(update.members.iter().cloned());
    }

    fn of(state: &State) -> Self {
        let mut found = Self::default();
        for one in state
            .participants()
            .iter()
            .filter(|one| one.presence.is_open())
        {
            let name = one.names.first().map(|name| name.aor.clone());
            found.people.insert(one.id.to_string(), name);
        }
        for one in state.streams().iter().filter(|one| one.presence.is_open()) {
            found.streams.insert(one.id.to_string(), one.label.clone());
        }
        for who in (0..4).map(|number| format!("p{number}")) {
            let id = holdfast_recording::metadata::Id::read(&who).unwrap();
            for (stream, link) in state.media(&id) {
                let pair = (who.clone(), stream.to_string());
                if link.sends.is_open() {
                    found.sends.insert(pair.clone());
                }
                if link.receives.is_open() {
                    found.receives.insert(pair);
                }
            }
            if state
                .memberships(&id)
                .any(|(_, link)| link.history.is_open())
            {
                found.members.insert(who);
            }
        }
        found
    }
}

/// Only the last interval may be open, and no interval of an older arrival follows a newer one.
fn check(history: &History) {
    let intervals = history.intervals();
    let open = intervals
        .iter()
        .filter(|interval| interval.to.is_none())
        .count();
    assert!(open <= 1 && (open == 0 || history.is_open()));
    let begins = intervals
        .iter()
        .map(|one| one.from.as_ref().unwrap().arrival);
    assert!(begins.is_sorted());
    for end in intervals.iter().filter_map(|interval| interval.to.as_ref()) {
        assert!(matches!(end.cause, EndCause::Stated | EndCause::Omitted));
    }
}

#[test]
fn random_documents_leave_what_the_reference_says() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (1..=60).collect(),
    };
    for seed in seeds {
        let mut random = Random(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15));
        let (mut state, mut reference) = (State::new(), Reference::default());
        let (mut people_ever, mut length) = (BTreeSet::new(), BTreeMap::new());
        for step in 1..60 {
            let update = Update::random(&mut random);
            let document = parse(update.xml().as_bytes(), None, &Limits::default()).unwrap();
            state.apply(&document, WallTime(step));
            reference.apply(&update);
            let found = Reference {
                names: reference.names.clone(),
                ..Reference::of(&state)
            };
            assert_eq!(found, reference, "SEED={seed} step {step}: {update:?}");
            // History only grows.
            people_ever.extend(update.people.into_keys());
            assert_eq!(state.participants().len(), people_ever.len(), "SEED={seed}");
            for one in state.participants() {
                check(&one.presence);
                for (stream, link) in state.media(&one.id) {
                    check(&link.sends);
                    check(&link.receives);
                    let now = link.sends.intervals().len();
                    let before = length.insert((one.id.clone(), stream.clone()), now);
                    assert!(before.is_none_or(|before| before <= now), "SEED={seed}");
                }
            }
            let again = state.apply(&document, WallTime(step));
            let found = Reference {
                names: reference.names.clone(),
                ..Reference::of(&state)
            };
            assert_eq!(found, reference, "SEED={seed} again: {again:?}");
        }
    }
}
