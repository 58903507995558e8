//! The disk beside the journal: tracks, states, documents, the checkpoint, what is published.
//!
//! What a process wrote is visible at once and survives its end. What was not synced may be there
//! or not after a power cut, a write page by page. A file that was replaced may then be the old
//! one, the new one, or an empty one: that is what a rename without a sync leaves on some file
//! systems.

use std::collections::BTreeMap;

use holdfast_units::RecordingId;

use super::rng::Rng;

#[derive(Clone, Debug)]
enum Change {
    Replace {
        path: String,
        bytes: Vec<u8>,
    },
    Write {
        path: String,
        offset: usize,
        bytes: Vec<u8>,
    },
    Cut {
        path: String,
        size: usize,
    },
    Remove {
        path: String,
    },
}

impl Change {
    fn writes(&self, file: &str) -> bool {
        matches!(self, Self::Write { path, .. } if path == file)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Files {
    visible: BTreeMap<String, Vec<u8>>,
    durable: BTreeMap<String, Vec<u8>>,
    unsynced: Vec<Change>,
    /// Changes that are durable: the number of the first unsynced one.
    synced: u64,
}

pub const CHECKPOINT: &str = "checkpoint-0";

pub fn folder(recording: RecordingId) -> String {
    format!("incoming/{recording}/")
}

pub fn state(recording: RecordingId) -> String {
    format!("incoming/{recording}/state")
}

pub fn document(recording: RecordingId, name: &str) -> String {
    format!("incoming/{recording}/documents/{name}")
}

pub fn track(recording: RecordingId, number: u16) -> String {
    format!("incoming/{recording}/streams/{number}.track")
}

pub fn published(recording: RecordingId) -> String {
    format!("recordings/{recording}/")
}

impl Files {
    pub fn read(&self, path: &str) -> Option<&Vec<u8>> {
        self.visible.get(path)
    }

    /// Files below a folder, by the rest of their path.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a Vec<u8>)> {
        let all = self.visible.range(folder.to_owned()..);
        all.map_while(move |(path, bytes)| Some((path.strip_prefix(folder)?, bytes)))
    }

    pub fn replace(&mut self, path: &str, bytes: Vec<u8>) {
        self.visible.insert(path.to_owned(), bytes.clone());
        self.unsynced.push(Change::Replace {
            path: path.to_owned(),
            bytes,
        });
    }

    pub fn replace_durably(&mut self, path: &str, bytes: Vec<u8>) {
        self.visible.insert(path.to_owned(), bytes.clone());
        self.durable.insert(path.to_owned(), bytes);
    }

    pub fn write(&mut self, path: &str, offset: u64, bytes: Vec<u8>) {
        let offset = offset as usize;
        write(
            self.visible.entry(path.to_owned()).or_default(),
            offset,
            &bytes,
        );
        self.unsynced.push(Change::Write {
            path: path.to_owned(),
            offset,
            bytes,
        });
    }

    /// Cuts a file to a size where it is longer; answers its size.
    pub fn cut(&mut self, path: &str, size: u64) -> u64 {
        let size = size as usize;
        let Some(file) = self.visible.get_mut(path) else {
            return 0;
        };
        if file.len() > size {
            file.truncate(size);
            self.unsynced.push(Change::Cut {
                path: path.to_owned(),
                size,
            });
        }
        file.len() as u64
    }

    pub fn remove_below(&mut self, folder: &str) {
        let paths: Vec<String> = self
            .below(folder)
            .map(|(rest, _)| format!("{folder}{rest}"))
            .collect();
        for path in paths {
            self.visible.remove(&path);
            self.unsynced.push(Change::Remove { path });
        }
    }

    /// How many changes there were until now.
    pub fn changes(&self) -> u64 {
        self.synced + self.unsynced.len() as u64
    }

    /// Makes the first `covered` changes durable.
    pub fn sync(&mut self, covered: u64) {
        let count = covered.saturating_sub(self.synced) as usize;
        for change in self.unsynced.drain(..count) {
            let files = &mut self.durable;
            match change {
                Change::Replace { path, bytes } => {
                    files.insert(path, bytes);
                }
                Change::Write {
                    path,
                    offset,
                    bytes,
                } => write(files.entry(path).or_default(), offset, &bytes),
                Change::Cut { path, size } => files.entry(path).or_default().truncate(size),
                Change::Remove { path } => {
                    files.remove(&path);
                }
            }
            self.synced += 1;
        }
    }

    pub fn power_cut(&mut self, rng: &mut Rng) {
        let survive = [0, 30, 70, 97, 100][rng.index(5)];
        let changes = std::mem::take(&mut self.unsynced);
        for (index, change) in changes.iter().enumerate() {
            self.synced += 1;
            let change = change.clone();
            if let Change::Write {
                path,
                offset,
                bytes,
            } = change
            {
                let pages = pages(offset, bytes.len());
                for (from, to) in pages.into_iter().filter(|_| rng.chance(survive)) {
                    let file = self.durable.entry(path.clone()).or_default();
                    write(file, from, &bytes[from - offset..to - offset]);
                }
                continue;
            }
            let is_remade = matches!(&change, Change::Remove { path }
                if changes[index + 1..].iter().any(|it| it.writes(path)));
            // What is written to a file that was made anew never lands in the one before.
            if !rng.chance(survive) && !is_remade {
                continue;
            }
            match change {
                Change::Replace { path, bytes } => {
                    let left = if rng.chance(25) { Vec::new() } else { bytes };
                    self.durable.insert(path, left);
                }
                Change::Cut { path, size } => {
                    if let Some(file) = self.durable.get_mut(&path) {
                        file.truncate(size);
                    }
                }
                Change::Remove { path } => {
                    self.durable.remove(&path);
                }
                Change::Write { .. } => unreachable!("done above"),
            }
        }
        self.visible.clone_from(&self.durable);
    }

    pub fn contents(&self) -> impl Iterator<Item = &[u8]> {
        let unsynced = self.unsynced.iter().filter_map(|change| match change {
            Change::Replace { bytes, .. } | Change::Write { bytes, .. } => Some(bytes.as_slice()),
            Change::Cut { .. } | Change::Remove { .. } => None,
        });
        let files = self.visible.values().chain(self.durable.values());
        files.map(Vec::as_slice).chain(unsynced)
    }

    /// Recordings in progress that have left anything.
    pub fn recordings(&self) -> Vec<RecordingId> {
        let mut found: Vec<RecordingId> = self
            .below("incoming/")
            .filter_map(|(rest, _)| rest.split('/').next()?.parse().ok())
            .collect();
        found.dedup();
        found
    }
}

/// The parts of a write by page.
fn pages(offset: usize, len: usize) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    let (mut from, end) = (offset, offset + len);
    while from < end {
        let to = ((from / 4096 + 1) * 4096).min(end);
        parts.push((from, to));
        from = to;
    }
    parts
}

fn write(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}
