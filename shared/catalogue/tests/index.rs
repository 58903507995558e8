//! A search by the index finds what a search of the folder finds, whatever happened to the folder since.

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_catalogue::{Catalogue, Day, Index, Query, Refreshed};
use holdfast_manifest::{
    Call, Correlation, EndReason, FILE_NAME, FORMAT, JOINED, Manifest, Participant, folder_name,
};
use holdfast_units::{RecordingId, WallTime};

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);
const DAY: u64 = 24 * 3_600_000_000_000;
const NAMES: [&str; 4] = ["Zo\u{eb} Meyer", "Alice", "Bob O'Neil", ""];
const ADDRESSES: [&str; 4] = [
    "sip:+49-30-1234567@example.com;user=phone",
    "tel:+1(212)555-4567",
    "sip:alice@example.com",
    "unknown",
];

/// Small numbers that look random (an LCG of Knuth's).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len() as u64) as usize]
    }
}

fn now() -> WallTime {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    WallTime(since.as_nanos() as u64)
}

struct World {
    root: tempfile::TempDir,
    dice: Dice,
    folders: Vec<PathBuf>,
    number: u8,
}

impl World {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            dice: Dice(7),
            folders: Vec::new(),
            number: 0,
        }
    }

    fn catalogue(&self) -> Catalogue {
        Catalogue::new(self.root.path().join("recordings"))
    }

    fn index(&self) -> Index {
        Index::open(
            &self.root.path().join("state/index.sqlite"),
            self.catalogue(),
        )
        .unwrap()
    }

    fn publish(&mut self) {
        self.number += 1;
        let started = WallTime((10 + self.dice.roll(4)) * DAY + self.dice.roll(24) * DAY / 24);
        let id = RecordingId::from_bytes([self.number / 2; 16]);
        let part = 1 + u32::from(self.number % 2);
        let folder = self.write(started, id, part);
        self.folders.push(folder);
    }

    /// All parts as one, which takes the place of what was joined before.
    fn join(&mut self) {
        let id = RecordingId::from_bytes([self.dice.roll(3) as u8; 16]);
        let started = WallTime(12 * DAY + self.dice.roll(24) * DAY / 24);
        self.write(started, id, JOINED);
    }

    fn write(&mut self, started: WallTime, id: RecordingId, part: u32) -> PathBuf {
        let mut call = Call::default();
        call.sip.call_id = format!("call-{}", self.dice.roll(5));
        call.sip.from = "<sip:src@192.0.2.1>".to_owned();
        call.participants = vec![Participant {
            names: vec![self.dice.one_of(&NAMES).to_owned()],
            aors: vec![self.dice.one_of(&ADDRESSES).to_owned()],
            ..Participant::default()
        }];
        call.correlations = vec![Correlation {
            value: format!("ucid-{}", self.dice.roll(5)),
            ..Correlation::default()
        }];
        let manifest = Manifest {
            format: FORMAT,
            id,
            part,
            state_sha256: String::new(),
            node: String::new(),
            software_version: String::new(),
            started,
            ended: started,
            end_reason: EndReason::Bye,
            duration_ms: 0,
            call,
            streams: Vec::new(),
            files: Vec::new(),
            parts: Vec::new(),
            flags: Vec::new(),
        };
        let (year, month, day) = started.utc_date();
        let day = format!("recordings/{year:04}/{month:02}/{day:02}");
        let folder = self.root.path().join(day).join(folder_name(id, part));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let json = match self.dice.roll(12) {
            0 => "{".into(),
            _ => manifest.to_json(),
        };
        fs::write(folder.join(FILE_NAME), json).unwrap();
        folder
    }

    fn delete(&mut self) {
        if !self.folders.is_empty() {
            let which = self.dice.roll(self.folders.len() as u64) as usize;
            let folder = self.folders.remove(which);
            fs::remove_dir_all(folder).unwrap();
        }
    }

    fn query(&mut self) -> Query {
        let mut maybe = |of: &[&str]| {
            let text = self.dice.one_of(of).to_owned();
            (self.dice.roll(3) == 0).then_some(text)
        };
        let participant = maybe(&["ZO\u{cb}", "example.com", "o'n", "", "%", "nobody"]);
        let number = maybe(&["4567", "30 123 45 67", "x", "2125554567"]);
        let call_id = maybe(&["call-1", "ucid-2", "call-"]);
        let mut at = || (self.dice.roll(3) == 0).then_some(WallTime(self.dice.roll(60) * DAY / 4));
        let (from, to, day) = (at(), at(), at());
        Query {
            day: day.map(Day::of),
            from,
            to,
            participant,
            number,
            call_id,
        }
    }
}

/// Names of what is found, and of what does not read, and whether there is more.
fn both(index: &Index, catalogue: &Catalogue, query: &Query, count: usize) {
    let by_index = index.search(query, count).unwrap();
    let by_folder = catalogue.search(query, count, usize::MAX).unwrap();
    let names = |found: &holdfast_catalogue::Found| -> Vec<String> {
        found.recordings.iter().map(|(it, _)| it.name()).collect()
    };
    assert_eq!(names(&by_index), names(&by_folder), "{query:?}");
    assert_eq!(by_index.has_more, by_folder.has_more, "{query:?}");
    if !by_folder.has_more {
        let broken = |found: &holdfast_catalogue::Found| {
            let mut names: Vec<_> = found.unreadable.iter().map(|(it, _)| it.name()).collect();
            names.sort();
            names
        };
        assert_eq!(broken(&by_index), broken(&by_folder), "{query:?}");
    }
}

#[test]
fn it_finds_what_the_folder_has_whatever_comes_and_goes() {
    let mut world = World::new();
    world.publish();
    let mut index = world.index();
    for _ in 0..60 {
        for _ in 0..world.dice.roll(3) {
            world.publish();
        }
        if world.dice.roll(3) == 0 {
            world.delete();
        }
        if world.dice.roll(2) == 0 {
            world.join();
        }
        if world.dice.roll(10) == 0 {
            drop(index);
            index = world.index();
        }
        index.refresh(now()).unwrap();
        for _ in 0..10 {
            let query = world.query();
            let count = 1 + world.dice.roll(8) as usize;
            both(&index, &world.catalogue(), &query, count);
        }
    }
    // A whole day that somebody takes away.
    let day = world.folders[0].parent().unwrap().to_owned();
    fs::remove_dir_all(day).unwrap();
    assert!(index.refresh(now()).unwrap().removed > 0);
    both(&index, &world.catalogue(), &Query::default(), 1_000);
}

#[test]
fn a_day_that_has_not_changed_for_a_while_is_not_read_again() {
    let mut world = World::new();
    for _ in 0..20 {
        world.publish();
    }
    let mut index = world.index();
    assert_eq!(index.refresh(now()).unwrap().added, 20);
    let past = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(now().0) - MINUTE;
    let days: Vec<PathBuf> = world
        .folders
        .iter()
        .map(|it| it.parent().unwrap().to_owned())
        .collect();
    let touch = |day: &Path| fs::File::open(day).unwrap().set_modified(past).unwrap();
    days.iter().for_each(|day| touch(day));
    index.refresh(now()).unwrap();
    // Gone without a trace in the time of change: it is believed.
    fs::remove_dir_all(&world.folders[0]).unwrap();
    touch(&days[0]);
    assert_eq!(index.refresh(now()).unwrap(), Refreshed::default());
    fs::create_dir(days[0].join("something")).unwrap();
    assert_eq!(index.refresh(now()).unwrap().removed, 1);
}

#[test]
fn one_that_is_damaged_or_of_another_folder_is_made_anew() {
    let mut world = World::new();
    world.publish();
    let path = world.root.path().join("state/index.sqlite");
    world.index().refresh(now()).unwrap();
    fs::write(&path, "no database").unwrap();
    assert_eq!(world.index().refresh(now()).unwrap().added, 1);
    assert_eq!(world.index().refresh(now()).unwrap().added, 0, "it is kept");
    fs::create_dir(world.root.path().join("other")).unwrap();
    let other = Catalogue::new(world.root.path().join("other"));
    let mut index = Index::open(&path, other.clone()).unwrap();
    index.refresh(now()).unwrap();
    both(&index, &other, &Query::default(), 10);
}
