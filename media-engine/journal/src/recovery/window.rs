//! The one piece of a file that recovery holds in memory.

use std::collections::BTreeMap;
use std::io;

use super::ReadAt;
use crate::limits::{FINDINGS_MAX, PAGE_SIZE, WINDOW_SIZE};

/// A window on the file that was read last.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// Which file, where in it the window begins, and how much of the window counts.
    file: Option<usize>,
    start: u64,
    len: usize,
    /// Pages that the disk did not give, by file and offset.
    faults: BTreeMap<(usize, u64), io::ErrorKind>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; WINDOW_SIZE],
            file: None,
            start: 0,
            len: 0,
            faults: BTreeMap::new(),
        }
    }

    /// Up to `len` bytes at `offset` of a file of `size` bytes; fewer where it ends.
    pub(super) fn read<R: ReadAt>(
        &mut self,
        file: usize,
        content: &R,
        size: u64,
        offset: u64,
        len: usize,
    ) -> &[u8] {
        assert!(
            len <= WINDOW_SIZE - PAGE_SIZE,
            "more than a window is never asked for"
        );
        let end = offset.saturating_add(len as u64).min(size);
        if offset >= end {
            return &[];
        }
        let window_end = self.start + self.len as u64;
        if self.file != Some(file) || offset < self.start || end > window_end {
            self.fill(file, content, size, offset - offset % PAGE_SIZE as u64);
        }
        let from = (offset - self.start) as usize;
        let to = ((end - self.start) as usize).min(self.len);
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// All pages that could not be read.
    pub(super) fn take_faults(&mut self) -> Vec<(usize, u64, io::ErrorKind)> {
        let faults = std::mem::take(&mut self.faults);
        faults
            .into_iter()
            .map(|((file, offset), error)| (file, offset, error))
            .collect()
    }

    fn fill<R: ReadAt>(&mut self, file: usize, content: &R, size: u64, start: u64) {
        self.file = Some(file);
        self.start = start;
        let len = (size - start).min(WINDOW_SIZE as u64) as usize;
        self.len = len;
        let bytes = &mut self.bytes[..len];
        let Err((at, _)) = read_all(content, start, bytes) else {
            return;
        };
        // One request a page from there on, so that a page at fault costs only itself.
        let first = at - at % PAGE_SIZE;
        for (index, page) in bytes[first..].chunks_mut(PAGE_SIZE).enumerate() {
            let offset = start + (first + index * PAGE_SIZE) as u64;
            if let Err((_, error)) = read_all(content, offset, page) {
                page.fill(0);
                if self.faults.len() < FINDINGS_MAX {
                    self.faults.insert((file, offset), error.kind());
                }
            }
        }
    }
}

/// Fills `into`; where that fails, says how far it came and why. What a file lacks is zero.
fn read_all<R: ReadAt>(
    content: &R,
    offset: u64,
    into: &mut [u8],
) -> Result<(), (usize, io::Error)> {
    let mut at = 0;
    while at < into.len() {
        match read_some(content, offset + at as u64, &mut into[at..]) {
            Ok(0) => {
                into[at..].fill(0);
                break;
            }
            Ok(count) => at += count.min(into.len() - at),
            Err(error) => return Err((at, error)),
        }
    }
    Ok(())
}

fn read_some<R: ReadAt>(content: &R, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    for _ in 1..INTERRUPTS_MAX {
        match content.read_at(offset, into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
    content.read_at(offset, into)
}

/// Signals in a row that a read bears.
const INTERRUPTS_MAX: usize = 16;
