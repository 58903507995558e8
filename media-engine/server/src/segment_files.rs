//! The journal's files as recovery reads them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_journal::{ReadAt, SegmentFile, SegmentNumber, parse_segment_name};
use nix::fcntl::{Flock, FlockArg};

use crate::control::wait_until;
use crate::recovery::RecoverError;
use crate::segments::UNFINISHED;

/// A former process that was killed may still have writes in flight that hold the segments' locks.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// By shard.
pub type SegmentPaths = BTreeMap<u16, Vec<(SegmentNumber, PathBuf)>>;

/// The segments in a folder. What was not finished is removed.
pub fn list_segments(dir: &Path) -> Result<SegmentPaths, RecoverError> {
    let disk = |source| RecoverError::Disk {
        path: dir.to_owned(),
        source,
    };
    let mut segments = SegmentPaths::new();
    for entry in fs::read_dir(dir).map_err(disk)? {
        let entry = entry.map_err(disk)?;
        if entry.path().extension().is_some_and(|it| it == UNFINISHED) {
            fs::remove_file(entry.path()).map_err(disk)?;
        }
        if let Some((shard, number)) = entry.file_name().to_str().and_then(parse_segment_name) {
            segments
                .entry(shard.0)
                .or_default()
                .push((number, entry.path()));
        }
    }
    Ok(segments)
}

/// A segment that no other process has.
pub struct Segment {
    file: Flock<File>,
    size: u64,
}

impl ReadAt for Segment {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(&*self.file, into, offset)
    }
}

/// Opens a segment for reading, once no write of a dead process is in flight; what was written is
/// durable then.
pub fn open_segment(path: PathBuf) -> Result<SegmentFile<Segment>, RecoverError> {
    let disk = |source| RecoverError::Disk {
        path: path.clone(),
        source,
    };
    let file = File::open(&path).map_err(disk)?;
    let size = file.metadata().map_err(disk)?.len();
    let mut candidate = Some(file);
    let mut locked = None;
    wait_until(LOCK_TIMEOUT, || {
        let Some(file) = candidate.take() else {
            return true;
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                locked = Some(lock);
                true
            }
            Err((file, _)) => {
                candidate = Some(file);
                false
            }
        }
    });
    let file = locked.ok_or_else(|| RecoverError::Locked { path: path.clone() })?;
    file.sync_all().map_err(disk)?;
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
        .to_owned();
    Ok(SegmentFile {
        name,
        content: Segment { file, size },
    })
}

#[cfg(test)]
mod tests {
    use holdfast_journal::Shard;

    use super::*;

    #[test]
    fn what_was_not_finished_is_no_segment_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir
            .path()
            .join(holdfast_journal::segment_name(Shard(0), SegmentNumber(3)));
        let unfinished = dir
            .path()
            .join(holdfast_journal::segment_name(Shard(0), SegmentNumber(4)))
            .with_extension(UNFINISHED);
        for path in [&whole, &unfinished] {
            fs::write(path, "").unwrap();
        }
        let found = list_segments(dir.path()).unwrap();
        assert_eq!(found, [(0, vec![(SegmentNumber(3), whole)])].into());
        assert!(!unfinished.exists());
    }
}
