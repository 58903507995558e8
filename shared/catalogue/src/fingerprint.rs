//! The files of a recording, held against its manifest: their names, and their SHA-256.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Component, Path};

use sha2::{Digest, Sha256};

/// Size in octets and SHA-256 of all that a reader has, as the manifest writes them.
///
/// # Errors
///
/// What the reader says.
pub fn fingerprint(mut reader: impl Read) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut piece = vec![0; PIECE_SIZE];
    loop {
        let count = match reader.read(&mut piece) {
            Ok(0) => return Ok((size, hex(&hash.finalize()))),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&piece[..count]);
        size += count as u64;
    }
}

/// Octets as the manifest writes them: two lower-case digits each.
pub fn hex(octets: &[u8]) -> String {
    let mut text = String::new();
    for octet in octets {
        // A String takes all.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// Whether a manifest's name of a file is that of one within its folder: below it, and by no way around.
pub fn is_within(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

const PIECE_SIZE: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_fips_180() {
        for (text, expected) in [
            (
                "",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
        ] {
            let size = u64::try_from(text.len()).unwrap();
            assert_eq!(
                fingerprint(text.as_bytes()).unwrap(),
                (size, expected.to_owned())
            );
        }
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        for name in ["audio.wav", "metadata/0001.xml"] {
            assert!(is_within(name), "{name}");
        }
        for name in ["", "/etc/passwd", "../other", "metadata/../../x", "."] {
            assert!(!is_within(name), "{name}");
        }
    }
}
