//! How values look to people.

use holdfast_manifest::{Call, Continues, EndReason};
use holdfast_units::WallTime;

/// To the second: `2026-11-22 10:00:00`.
pub(crate) fn moment(time: WallTime) -> String {
    let text = time.to_string();
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

/// `1:02:03.456`, without hours where there are none.
pub(crate) fn span(milliseconds: u64) -> String {
    let (seconds, rest) = (milliseconds / 1_000, milliseconds % 1_000);
    let (minutes, second) = (seconds / 60, seconds % 60);
    match minutes / 60 {
        0 => format!("{minutes}:{second:02}.{rest:03}"),
        hours => format!("{hours}:{:02}:{second:02}.{rest:03}", minutes % 60),
    }
}

/// How long nothing was recorded before a part, and why, where that is known.
pub(crate) fn continues(continues: &Continues) -> Option<String> {
    let cause = serde_json::to_value(continues.cause).unwrap_or_default();
    let cause = cause.as_str().unwrap_or("unknown").to_owned();
    let gap = continues.gap_ms?;
    Some(if gap < 0 {
        format!(
            "{} ms in both it and the part before ({cause})",
            gap.unsigned_abs()
        )
    } else {
        format!("{gap} ms after the end of the part before ({cause})")
    })
}

/// The word that the manifest has for a reason.
pub(crate) fn end_reason(reason: EndReason) -> String {
    let value = serde_json::to_value(reason).ok();
    value
        .as_ref()
        .and_then(|it| it.as_str())
        .unwrap_or("unknown")
        .to_owned()
}

/// Who took part, as one would say it.
pub(crate) fn parties(call: &Call) -> String {
    let mut names: Vec<String> = call
        .participants
        .iter()
        .filter_map(|it| it.aors.first().or(it.names.first()))
        .map(|name| printable(name))
        .collect();
    if names.is_empty() {
        names = vec![printable(&call.sip.from)];
    }
    names.join(" / ")
}

/// A text from a peer, with what could steer a terminal made visible.
pub(crate) fn printable(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .flat_map(|c| match is_plain(c) {
            true => vec![c],
            false => c.escape_default().collect(),
        })
        .collect()
}

/// Columns as wide as their widest cell, two spaces apart.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let column_count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..column_count)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (milliseconds, text) in [
            (0, "0:00.000"),
            (61_005, "1:01.005"),
            (3_600_000, "1:00:00.000"),
        ] {
            assert_eq!(span(milliseconds), text);
        }
    }

    #[test]
    fn a_peer_cannot_steer_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[2Jb\u{202e}c\r\n"),
            "a\\u{1b}[2Jb\\u{202e}c\\r\\n"
        );
        assert_eq!(printable("Zoë \"Z\""), "Zoë \"Z\"");
    }

    #[test]
    fn moments_are_to_the_second() {
        assert_eq!(
            moment(WallTime(1_795_342_203_999_999_999)),
            "2026-11-22 10:10:03"
        );
    }
}
