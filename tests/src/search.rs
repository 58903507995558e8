//! Looks for octets in everything below a folder: what must be nowhere, and what must be somewhere.

use std::fs;
use std::path::{Path, PathBuf};

/// Files below `root` that hold one of `needles`, each with how many places.
///
/// # Panics
/// When a needle is shorter than two octets, or the folder does not read.
pub fn files_with(root: &Path, needles: &[Vec<u8>]) -> Vec<(PathBuf, usize)> {
    // Most places are told apart by two octets.
    let mut begins = vec![false; 1 << 16];
    for needle in needles {
        begins[usize::from(u16::from_be_bytes([needle[0], needle[1]]))] = true;
    }
    let mut found = Vec::new();
    for path in files(root) {
        // A file may be taken away meanwhile: it was published or recycled.
        let Ok(bytes) = fs::read(&path) else { continue };
        let count = (0..bytes.len().saturating_sub(1))
            .filter(|&at| {
                begins[usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))]
                    && needles.iter().any(|needle| bytes[at..].starts_with(needle))
            })
            .count();
        if count > 0 {
            found.push((path, count));
        }
    }
    found
}

/// All files below a folder, in order.
pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_in_every_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("deep")).unwrap();
        fs::write(dir.path().join("deep/one"), b"xabcabc").unwrap();
        fs::write(dir.path().join("two"), b"xyz-ab").unwrap();
        let needles = [b"abc".to_vec(), b"yz-".to_vec()];
        let found = files_with(dir.path(), &needles);
        let expected = [
            (dir.path().join("deep/one"), 2),
            (dir.path().join("two"), 1),
        ];
        assert_eq!(found, expected);
    }
}
