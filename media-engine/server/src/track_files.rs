//! The track files that are being written: kept open, up to a limit.
//!
//! A piece of 20 KiB is written in a few microseconds, and opening its file takes as long. Thousands
//! of files meet the process's limit of descriptors, so no more stay open than that has room for. Tracks
//! take turns, so the one that was written longest ago is the next to be written: whoever made room by
//! closing it would have none open when its turn comes. Those beyond the limit are opened for each piece,
//! until a recording ends.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use holdfast_units::RecordingId;
use nix::sys::resource::{Resource, getrlimit};

use crate::incoming::Incoming;

/// See the module's documentation.
#[derive(Debug)]
pub struct TrackFiles {
    incoming: Incoming,
    open: HashMap<RecordingId, Vec<(u16, File)>>,
    count: usize,
    count_max: usize,
}

impl TrackFiles {
    /// One part in so many of the process's descriptors: the others are sockets, above all.
    pub fn new(incoming: Incoming, part: u64) -> Self {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
        Self::with_limit(incoming, (limit / part.max(1)) as usize)
    }

    fn with_limit(incoming: Incoming, count_max: usize) -> Self {
        Self {
            incoming,
            open: HashMap::new(),
            count: 0,
            count_max,
        }
    }

    /// Writes a piece of a track.
    pub fn write(
        &mut self,
        recording: RecordingId,
        number: u16,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let open = self.open.get(&recording).map_or(&[][..], Vec::as_slice);
        if let Some((_, file)) = open.iter().find(|(known, _)| *known == number) {
            return file.write_all_at(bytes, offset);
        }
        let file = match self.incoming.open_track(recording, number) {
            Err(error) if error.raw_os_error() == Some(nix::libc::EMFILE) => {
                self.close_all();
                self.incoming.open_track(recording, number)
            }
            result => result,
        }?;
        file.write_all_at(bytes, offset)?;
        if self.count < self.count_max {
            self.count += 1;
            let files = self.open.entry(recording).or_default();
            files.push((number, file));
        }
        Ok(())
    }

    fn close_all(&mut self) {
        self.open.clear();
        self.count = 0;
    }

    /// Closes the files of a recording: they are about to be published or removed.
    pub fn close(&mut self, recording: RecordingId) {
        let closed = self.open.remove(&recording);
        self.count -= closed.map_or(0, |files| files.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> RecordingId {
        RecordingId::from_bytes([number; 16])
    }

    #[test]
    fn pieces_go_to_their_files_whatever_stays_open() {
        for limit in [0, 1, 3, 100] {
            let dir = tempfile::tempdir().unwrap();
            let incoming = Incoming::new(dir.path().to_owned());
            let mut tracks = TrackFiles::with_limit(incoming.clone(), limit);
            for round in 0..3_u8 {
                for recording in 0..4 {
                    for number in 1..3 {
                        let offset = u64::from(round);
                        tracks
                            .write(id(recording), number, offset, &[round])
                            .unwrap();
                    }
                }
                assert!(tracks.count <= limit);
            }
            tracks.close(id(2));
            tracks.close(id(2));
            for recording in 0..4 {
                let written = std::fs::read(incoming.track(id(recording), 2)).unwrap();
                assert_eq!(written, [0, 1, 2], "limit {limit}");
            }
        }
    }

    #[test]
    fn a_recording_that_comes_again_has_files_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let incoming = Incoming::new(dir.path().to_owned());
        let mut tracks = TrackFiles::with_limit(incoming.clone(), 8);
        tracks.write(id(1), 1, 0, b"former").unwrap();
        tracks.close(id(1));
        std::fs::remove_dir_all(incoming.folder(id(1))).unwrap();
        tracks.write(id(1), 1, 0, b"new").unwrap();
        assert_eq!(std::fs::read(incoming.track(id(1), 1)).unwrap(), b"new");
    }
}
