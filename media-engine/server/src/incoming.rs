//! Where a recording in progress lies, and how its files are written.
//!
//! ```text
//! <incoming>/<recording id>/
//!   state               desired state, replaced as a whole
//!   call.json           what signaling says of the call, replaced as a whole
//!   streams/<n>.track   append-only, one a stream
//!   publish/            the folder that is published; here while the call runs:
//!     metadata/<name>   metadata, SIP heads
//! ```
//!
//! Nothing here makes anything durable: that is the journal's and the checkpoint's part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use holdfast_control::DocumentName;
use holdfast_units::RecordingId;
use tracing::span::EnteredSpan;

use crate::calls::CallNames;

/// Name of the document in which signaling describes the call: all of it that is not published.
pub const CALL_DOCUMENT: &str = "call.json";

/// Folder of the other documents in the published one.
pub const METADATA: &str = "metadata";

/// End of the name of a file that is to replace another.
const BESIDE: &str = "new";

/// End of the name of a folder that is being removed.
const DOOMED: &str = ".removed";

/// End of the name of a folder that is kept for whoever wants to look into it.
const ASIDE: &str = ".aside";

/// The folder of all recordings in progress.
#[derive(Clone, Debug)]
pub struct Incoming {
    dir: PathBuf,
    calls: CallNames,
}

impl Incoming {
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            calls: CallNames::default(),
        }
    }

    /// The names of the calls.
    pub fn calls(&self) -> &CallNames {
        &self.calls
    }

    /// Lines of this thread bear the names of a recording's call until this is dropped. Reads its
    /// description, where they are not known yet.
    pub fn enter_call(&self, recording: RecordingId) -> EnteredSpan {
        if !self.calls.has(recording)
            && let Ok(description) = fs::read(self.document(recording, CALL_DOCUMENT))
        {
            self.calls.note(recording, &description, true);
        }
        self.calls.enter(recording)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn folder(&self, recording: RecordingId) -> PathBuf {
        self.dir.join(recording.to_string())
    }

    pub fn state(&self, recording: RecordingId) -> PathBuf {
        self.folder(recording).join("state")
    }

    /// What becomes the published folder.
    pub fn to_publish(&self, recording: RecordingId) -> PathBuf {
        self.folder(recording).join("publish")
    }

    /// Where a document lies.
    pub fn document(&self, recording: RecordingId, name: &str) -> PathBuf {
        if name == CALL_DOCUMENT {
            return self.folder(recording).join(name);
        }
        self.to_publish(recording).join(METADATA).join(name)
    }

    pub fn streams(&self, recording: RecordingId) -> PathBuf {
        self.folder(recording).join("streams")
    }

    pub fn track(&self, recording: RecordingId, number: u16) -> PathBuf {
        self.streams(recording).join(format!("{number}.track"))
    }

    /// The recordings in progress, in the order of their ids; other entries are passed over.
    pub fn list(&self) -> io::Result<Vec<RecordingId>> {
        let mut recordings = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if let Some(Ok(recording)) = name.to_str().map(str::parse) {
                recordings.push(recording);
            }
        }
        recordings.sort_unstable();
        Ok(recordings)
    }

    pub fn save_state(&self, recording: RecordingId, bytes: &[u8]) -> io::Result<()> {
        replace(&self.state(recording), bytes)
    }

    pub fn write_document(
        &self,
        recording: RecordingId,
        name: &DocumentName,
        bytes: &[u8],
    ) -> io::Result<()> {
        if name.as_str() == CALL_DOCUMENT {
            self.calls.note(recording, bytes, true);
        }
        replace(&self.document(recording, name.as_str()), bytes)
    }

    /// Opens a track to be written, and makes it where there is none.
    pub fn open_track(&self, recording: RecordingId, number: u16) -> io::Result<File> {
        let path = self.track(recording, number);
        let open = || {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
        };
        with_parent(&path, open)
    }

    /// Writes one piece of a track.
    pub fn write_track(
        &self,
        recording: RecordingId,
        number: u16,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.open_track(recording, number)?
            .write_all_at(bytes, offset)
    }

    /// Whether anything of a recording's media is there.
    pub fn has_tracks(&self, recording: RecordingId) -> io::Result<bool> {
        match fs::read_dir(self.streams(recording)) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes what is left of a recording; harmless where nothing is. A crash on the way leaves a
    /// folder that is no recording's any more, see [`Self::remove_rest`].
    pub fn remove(&self, recording: RecordingId) -> io::Result<()> {
        match self.move_away(recording)? {
            Some(moved) => fs::remove_dir_all(moved),
            None => Ok(()),
        }
    }

    /// Moves what is left of a recording to where it is no recording's any more, and answers where
    /// that is: the caller deletes it, or the next start does.
    pub fn move_away(&self, recording: RecordingId) -> io::Result<Option<PathBuf>> {
        self.rename(recording, DOOMED)
    }

    /// Moves what nobody knows any more to where no recording writes, should one come under its id,
    /// and answers where that is.
    pub fn set_aside(&self, recording: RecordingId) -> io::Result<Option<PathBuf>> {
        self.rename(recording, ASIDE)
    }

    fn rename(&self, recording: RecordingId, ending: &str) -> io::Result<Option<PathBuf>> {
        self.calls.forget(recording);
        let folder = self.folder(recording);
        let mut number = 0;
        loop {
            // One that was moved before may be there still.
            let moved = self.dir.join(format!("{recording}.{number}{ending}"));
            match fs::rename(&folder, &moved) {
                Ok(()) => return Ok(Some(moved)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes what a crash left of removals.
    pub fn remove_rest(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.ends_with(DOOMED))
            {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Makes everything that was written to this file system durable.
    pub fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::syncfs(File::open(&self.dir)?.as_fd())?)
    }
}

/// Writes a file beside its place and renames it there, so that a reader never sees half of it.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(BESIDE);
    with_parent(&beside, || File::create(&beside))?.write_all(bytes)?;
    fs::rename(&beside, path)
}

/// Whether this is what [`replace`] wrote when it was cut off.
pub fn is_beside(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == BESIDE)
}

/// As [`replace`], durable when it returns.
pub fn replace_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(BESIDE);
    let mut file = with_parent(&beside, || File::create(&beside))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_folder_of(path)
}

/// Makes the entries of the folder that holds `path` durable.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Tries, and where the folder of `path` is missing makes it and tries again.
fn with_parent(path: &Path, open: impl Fn() -> io::Result<File>) -> io::Result<File> {
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            open()
        }
        result => result,
    }
}
