//! Name of a published recording's folder: the id, and from the second part on the part's number.
//!
//! ```text
//! 0af1…c3      the recording, or its first part
//! 0af1…c3.2    its second part: the call came again after the first one had been published
//! ```

use holdfast_units::RecordingId;

/// The name of the folder of this part, counted from 1.
pub fn folder_name(id: RecordingId, part: u32) -> String {
    if part <= 1 {
        id.to_string()
    } else {
        format!("{id}.{part}")
    }
}

/// The recording and the part that a folder of this name holds; `None` where it is no such name.
pub fn parse_folder_name(name: &str) -> Option<(RecordingId, u32)> {
    let (id, part) = match name.split_once('.') {
        Some((id, part)) => (id, part.parse().ok()?),
        None => (name, 1),
    };
    let id = id.parse().ok()?;
    // Each part has one name: no sign, no leading zero, no ".1".
    (folder_name(id, part) == name).then_some((id, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_one_name() {
        let id = RecordingId::from_bytes([0xab; 16]);
        for part in [1, 2, 10, u32::MAX] {
            let name = folder_name(id, part);
            assert_eq!(parse_folder_name(&name), Some((id, part)), "{name}");
        }
        for ending in [
            ".0", ".1", ".02", ".+2", ".", ".x", ".2.3", ".removed", "0", "ab",
        ] {
            let name = format!("{id}{ending}");
            assert_eq!(parse_folder_name(&name), None, "{name}");
        }
    }
}
