//! SHA-256 of a file, read piece by piece.

use std::fmt::Write as _;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// Size and SHA-256 of all that a reader has, as the manifest writes them.
pub(crate) fn fingerprint(mut reader: impl Read) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut piece = vec![0; PIECE_SIZE];
    loop {
        let count = match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let read = piece.get(..count).unwrap_or_default();
        hash.update(read);
        size += u64::try_from(count).unwrap_or(u64::MAX);
    }
    let mut text = String::new();
    for octet in hash.finalize() {
        write!(text, "{octet:02x}").expect("a String takes all");
    }
    Ok((size, text))
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
}
