//! Name of a published recording's folder: the id, and from the second part on the part's number.
//!
//! ```text
//! 0af1…c3      the recording, or its first part
//! 0af1…c3.2    its second part: the call came again after the first one had been published
//! 0af1…c3.joined   all of its parts as one recording
//! ```

use holdfast_units::RecordingId;

/// The number of the recording that was joined from all parts.
pub const JOINED: u32 = 0;

/// The name of the folder of this part, counted from 1, or of [`JOINED`].
pub fn folder_name(id: RecordingId, part: u32) -> String {
    match part {
        JOINED => format!("{id}.{JOINED_ENDING}"),
        1 => id.to_string(),
        _ => format!("{id}.{part}"),
    }
}

/// The recording and the part that a folder of this name holds; `None` where it is no such name.
pub fn parse_folder_name(name: &str) -> Option<(RecordingId, u32)> {
    let (id, part) = match name.split_once('.') {
        Some((id, ending)) => (id, parse_ending(ending)?),
        None => (name, 1),
    };
    let id = id.parse().ok()?;
    // Each part has one name: no sign, no leading zero, no ".1".
    (folder_name(id, part) == name).then_some((id, part))
}

/// The part that a name's ending behind its dot says, [`JOINED`] among them; `None` where it says none.
pub fn parse_ending(ending: &str) -> Option<u32> {
    match ending {
        JOINED_ENDING => Some(JOINED),
        number => number.parse().ok().filter(|&part| part != JOINED),
    }
}

const JOINED_ENDING: &str = "joined";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_one_name() {
        let id = RecordingId::from_bytes([0xab; 16]);
        for part in [JOINED, 1, 2, 10, u32::MAX] {
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
