//! Name of a segment file: `journal-<shard>-<number, 20 digits>.seg`.

use crate::ids::{SegmentNumber, Shard};
use crate::limits::NUMBER_MAX;

/// The file name of a segment. Names of one shard sort in the order of their numbers.
pub fn segment_name(shard: Shard, number: SegmentNumber) -> String {
    format!("journal-{}-{:020}.seg", shard.0, number.0)
}

/// Reads the name of a segment file; `None` where it is none.
pub fn parse_segment_name(name: &str) -> Option<(Shard, SegmentNumber)> {
    let (shard, number) = name
        .strip_prefix("journal-")?
        .strip_suffix(".seg")?
        .split_once('-')?;
    let digits_only = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if number.len() != 20 || !digits_only(number) || !digits_only(shard) {
        return None;
    }
    let number = SegmentNumber(number.parse().ok().filter(|&number| number < NUMBER_MAX)?);
    let shard = Shard(shard.parse().ok()?);
    // One spelling each: "journal-01-…" would be a second name of the same segment.
    (segment_name(shard, number) == name).then_some((shard, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_other_names_are_refused() {
        let name = segment_name(Shard(3), SegmentNumber(42));
        assert_eq!(name, "journal-3-00000000000000000042.seg");
        assert_eq!(
            parse_segment_name(&name),
            Some((Shard(3), SegmentNumber(42)))
        );
        for wrong in [
            "",
            "journal-3-42.seg",
            "journal-03-00000000000000000042.seg",
            "journal--00000000000000000042.seg",
            "journal-3-00000000000000000042.seg~",
            "journal-3-+0000000000000000042.seg",
            "journal-70000-00000000000000000042.seg",
            "journal-3-99999999999999999999.seg",
            "journal-3-18446744073709551615.seg",
        ] {
            assert_eq!(parse_segment_name(wrong), None, "{wrong}");
        }
    }
}
