//! The audio while it is written: past the page cache where the file system allows it.
//!
//! Rendered audio is written once, from its beginning to its end, and not read again soon. Through
//! the page cache each of its pages would be found, cleared and copied, which costs more than to render it,
//! and would push out tracks that are yet to be rendered. So it is gathered in one buffer, and written
//! from there as the disk takes it. What comes late, for a place that is written already, takes the
//! ordinary way.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use holdfast_track::wav::WriteAt;
use sha2::{Digest, Sha256};

use super::files::{hashed_from, hex};

/// Octets that are gathered, and written at once.
const BUFFER_SIZE: usize = 256 * 1024;

/// What direct writes have to begin and end at, in memory and in the file. Disks with larger sectors
/// refuse it, and are written through the page cache.
const ALIGNMENT: usize = 4096;

/// See the module's documentation.
pub(super) struct AudioFile {
    file: File,
    /// The same file, past the page cache; `None` where that is refused.
    direct: Option<File>,
    /// Written from `begin` on, which is aligned in memory.
    buffer: Vec<u8>,
    begin: usize,
    /// Octets in the buffer.
    gathered: usize,
    /// Octets before those in the buffer: a multiple of [`BUFFER_SIZE`].
    written: u64,
    hash: Sha256,
    /// Whether nothing came late, so that the checksum is that of the file.
    is_in_order: bool,
}

impl AudioFile {
    /// Makes the file, or empties it.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).read(true);
        let file = options.open(path)?;
        // Not every file system takes it, and that is no error.
        let direct = OpenOptions::new()
            .write(true)
            .custom_flags(nix::libc::O_DIRECT)
            .open(path)
            .ok();
        let buffer = vec![0; BUFFER_SIZE + ALIGNMENT];
        let begin = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Ok(Self {
            file,
            direct,
            buffer,
            begin,
            gathered: 0,
            written: 0,
            hash: Sha256::new(),
            is_in_order: true,
        })
    }

    /// Writes what is gathered, and answers with the file, and with what the manifest says of it.
    pub(super) fn finish(mut self, name: &str) -> io::Result<(File, holdfast_manifest::File)> {
        let size = self.size();
        self.write()?;
        // A direct write ends where a block does.
        self.file.set_len(size)?;
        if !self.is_in_order {
            let described = hashed_from(&self.file, name)?;
            return Ok((self.file, described));
        }
        let described = holdfast_manifest::File {
            name: name.to_owned(),
            bytes: size,
            sha256: hex(&self.hash.finalize()),
        };
        Ok((self.file, described))
    }

    /// Octets that have come, from the beginning on.
    const fn size(&self) -> u64 {
        self.written + self.gathered as u64
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        while !bytes.is_empty() {
            let room = BUFFER_SIZE - self.gathered;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let at = self.begin + self.gathered;
            self.buffer[at..at + now.len()].copy_from_slice(now);
            self.gathered += now.len();
            bytes = later;
            if self.gathered == BUFFER_SIZE {
                self.write()?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let whole = self.gathered.next_multiple_of(ALIGNMENT);
        self.buffer[self.begin + self.gathered..self.begin + whole].fill(0);
        let block = &self.buffer[self.begin..self.begin + whole];
        let direct = self.direct.as_ref();
        match direct.map(|direct| direct.write_all_at(block, self.written)) {
            Some(Ok(())) => {}
            Some(Err(error)) if error.kind() != io::ErrorKind::InvalidInput => return Err(error),
            Some(Err(_)) | None => {
                self.direct = None;
                let block = &block[..self.gathered];
                self.file.write_all_at(block, self.written)?;
            }
        }
        self.written += self.gathered as u64;
        self.gathered = 0;
        Ok(())
    }
}

impl WriteAt for AudioFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset == self.size() {
            return self.append(bytes);
        }
        self.is_in_order = false;
        let end = offset + bytes.len() as u64;
        if end <= self.written {
            return self.file.write_all_at(bytes, offset);
        }
        if offset >= self.written && end <= self.size() {
            let at = self.begin + (offset - self.written) as usize;
            self.buffer[at..at + bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        // Across the border, or beyond the end: neither is ever asked for by a renderer.
        for (offset, octet) in (offset..).zip(bytes) {
            while self.size() < offset {
                self.append(&[0])?;
            }
            self.write_at(offset, std::slice::from_ref(octet))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at * 31 % 251) as u8).collect()
    }

    /// Writes these pieces to a file and to memory, and compares what became of them.
    fn check(pieces: &[(u64, Vec<u8>)], is_direct: bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audio");
        let mut audio = AudioFile::create(&path).unwrap();
        if !is_direct {
            audio.direct = None;
        }
        let mut wanted = Vec::new();
        for (offset, bytes) in pieces {
            audio.write_at(*offset, bytes).unwrap();
            wanted.write_at(*offset, bytes).unwrap();
        }
        let (file, described) = audio.finish("audio").unwrap();
        file.sync_all().unwrap();
        assert!(std::fs::read(&path).unwrap() == wanted, "{is_direct}");
        assert_eq!(described.bytes, wanted.len() as u64);
        assert_eq!(described.sha256, hex(&Sha256::digest(&wanted)));
    }

    #[test]
    fn what_comes_in_order_is_the_file_and_its_checksum() {
        for size in [0, 1, 4095, 4096, 4097, BUFFER_SIZE, 2 * BUFFER_SIZE + 77] {
            let whole = octets(size);
            let mut pieces = vec![(0, whole[..size.min(60)].to_vec())];
            for at in (60..size).step_by(70_000) {
                let end = size.min(at + 70_000);
                pieces.push((at as u64, whole[at..end].to_vec()));
            }
            check(&pieces, true);
            check(&pieces, false);
        }
    }

    #[test]
    fn what_comes_late_is_in_its_place_whether_that_is_written_or_gathered() {
        let whole = octets(3 * BUFFER_SIZE / 2);
        let late = [0, 100, BUFFER_SIZE - 2, BUFFER_SIZE + 5, whole.len() - 1];
        let mut pieces = vec![(0, whole)];
        pieces.extend(late.map(|at| (at as u64, vec![7])));
        // Across the border between what is written and what is gathered, and over the end.
        pieces.push((BUFFER_SIZE as u64 - 3, vec![8; 6]));
        pieces.push((2 * BUFFER_SIZE as u64, vec![9; 6]));
        check(&pieces, true);
        check(&pieces, false);
    }

    #[test]
    fn what_was_there_before_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audio");
        std::fs::write(&path, octets(100_000)).unwrap();
        let mut audio = AudioFile::create(&path).unwrap();
        audio.write_at(0, b"short").unwrap();
        audio.finish("audio").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
    }
}
