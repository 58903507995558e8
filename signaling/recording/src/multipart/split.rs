//! The splitting of a body at its boundaries.

use std::collections::BTreeSet;
use std::ops::Range;

use super::header::{MediaType, colon_of};
use super::{Bodies, BodyFlag, BodyLimits, Branch, Part, TYPE_METADATA, TYPE_SDP};
use crate::limits;

/// Splits a body by the `Content-Type` of its message (empty where there is none).
pub fn split<'b>(content_type: &str, body: &'b [u8], limits: &BodyLimits) -> Bodies<'b> {
    split_message(content_type, None, body, limits)
}

/// Splits a body of a message that also has a `Content-Disposition`.
pub fn split_message<'b>(
    content_type: &str,
    disposition: Option<&str>,
    body: &'b [u8],
    limits: &BodyLimits,
) -> Bodies<'b> {
    let mut headers = Vec::new();
    if !content_type.trim().is_empty() {
        headers.push(("Content-Type".to_owned(), content_type.trim().to_owned()));
    }
    if let Some(disposition) = disposition {
        headers.push((
            "Content-Disposition".to_owned(),
            disposition.trim().to_owned(),
        ));
    }
    let mut splitter = Splitter {
        body,
        limits,
        bodies: Bodies::empty(),
        sets: 0,
    };
    if !body.is_empty() {
        splitter.take(headers, 0..body.len(), 0, None);
    }
    splitter.bodies
}

impl Bodies<'_> {
    fn empty() -> Self {
        Self {
            parts: Vec::new(),
            flags: BTreeSet::new(),
        }
    }
}

struct Splitter<'b, 'l> {
    body: &'b [u8],
    limits: &'l BodyLimits,
    bodies: Bodies<'b>,
    /// Alternatives met so far: numbers the sets.
    sets: usize,
}

impl<'b> Splitter<'b, '_> {
    /// Takes one entity: splits it where it is a multipart, keeps it as a part otherwise.
    fn take(
        &mut self,
        headers: Vec<(String, String)>,
        range: Range<usize>,
        depth: usize,
        alternative: Option<Branch>,
    ) {
        let bytes = self.body.get(range.clone()).unwrap_or_default();
        let stated = header_of(&headers, "Content-Type", "c").map(MediaType::parse);
        let disposition = header_of(&headers, "Content-Disposition", "").map(MediaType::parse);
        let media_type = match stated {
            Some(media_type) if !media_type.essence.is_empty() => media_type,
            _ => self.guess(bytes, disposition.as_ref()),
        };
        if media_type.essence.starts_with("multipart/") {
            if depth >= self.limits.depth_max {
                self.bodies.flags.insert(BodyFlag::TooDeep);
            } else {
                return self.take_multipart(&media_type, range, depth, alternative);
            }
        }
        let part = Part {
            handling: disposition.as_ref().and_then(MediaType::handling),
            disposition: disposition.map(|value| value.essence),
            content_type: media_type.essence,
            parameters: media_type.parameters,
            headers,
            bytes,
            offset: range.start,
            alternative,
        };
        if part.has_metadata_disposition() && !part.has_metadata_type() {
            self.bodies.flags.insert(BodyFlag::TypeDamaged);
        }
        if self.bodies.parts.len() >= self.limits.parts_max {
            self.bodies.flags.insert(BodyFlag::TooManyParts);
        } else {
            self.bodies.parts.push(part);
        }
    }

    fn take_multipart(
        &mut self,
        media_type: &MediaType,
        range: Range<usize>,
        depth: usize,
        alternative: Option<Branch>,
    ) {
        let bytes = self.body.get(range.clone()).unwrap_or_default();
        let Some(ranges) = self.ranges_of(media_type, bytes) else {
            self.bodies.flags.insert(BodyFlag::NoBoundary);
            // Without a Content-Type the octets decide; a multipart is not guessed again.
            let guessed = self.guess(bytes, None).essence;
            let guessed = if guessed.starts_with("multipart/") {
                "text/plain"
            } else {
                &guessed
            };
            let headers = vec![("Content-Type".to_owned(), guessed.to_owned())];
            return self.take(headers, range, self.limits.depth_max, alternative);
        };
        let set = (media_type.essence == "multipart/alternative").then(|| {
            self.sets += 1;
            self.sets
        });
        for (branch, inner) in ranges.into_iter().enumerate() {
            if self.bodies.parts.len() >= self.limits.parts_max {
                self.bodies.flags.insert(BodyFlag::TooManyParts);
                return;
            }
            let (start, end) = (range.start + inner.start, range.start + inner.end);
            let entity = self.body.get(start..end).unwrap_or_default();
            if entity.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let (headers, header_bytes) = self.headers_of(entity);
            let branch = set.map(|set| Branch { set, branch }).or(alternative);
            self.take(headers, start + header_bytes..end, depth + 1, branch);
        }
    }

    /// The ranges of the parts: by the boundary stated, else by one that the body itself shows.
    fn ranges_of(&mut self, media_type: &MediaType, bytes: &[u8]) -> Option<Vec<Range<usize>>> {
        let stated = media_type
            .parameter("boundary")
            .filter(|value| !value.is_empty() && value.len() <= limits::BOUNDARY_BYTES_MAX);
        if let Some(ranges) = stated.and_then(|value| self.delimit(bytes, value.as_bytes())) {
            return Some(ranges);
        }
        let shown = boundary_in(bytes)?;
        let ranges = self.delimit(bytes, shown)?;
        self.bodies.flags.insert(BodyFlag::BoundaryFromBody);
        Some(ranges)
    }

    /// The ranges between the delimiter lines of a boundary; `None` where there is no such line.
    fn delimit(&mut self, bytes: &[u8], boundary: &[u8]) -> Option<Vec<Range<usize>>> {
        let mut ranges = Vec::new();
        let mut open: Option<usize> = None;
        for line in lines(bytes) {
            let text = bytes.get(line.clone()).unwrap_or_default().trim_ascii_end();
            let rest = text
                .strip_prefix(b"--")
                .and_then(|text| text.strip_prefix(boundary));
            let closing = match rest {
                Some(b"") => false,
                Some(b"--") => true,
                _ => continue,
            };
            if let Some(start) = open.take() {
                // The line break before a delimiter belongs to the delimiter.
                ranges.push(start..without_line_break(bytes, start, line.start));
            }
            if closing {
                return Some(ranges);
            }
            open = Some(line.end);
        }
        ranges.push(open?..bytes.len());
        self.bodies.flags.insert(BodyFlag::NoClosingBoundary);
        Some(ranges)
    }

    /// The header lines at the start of an entity and how many octets they take, the blank line
    /// included. What does not look like a header is content already.
    fn headers_of(&mut self, entity: &[u8]) -> (Vec<(String, String)>, usize) {
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines(entity) {
            let text = entity
                .get(line.clone())
                .unwrap_or_default()
                .trim_ascii_end();
            if text.is_empty() {
                return (headers, line.end);
            }
            let folded = matches!(text.first(), Some(b' ' | b'\t')) && !headers.is_empty();
            if folded {
                self.fold(&mut headers, text.trim_ascii_start());
                continue;
            }
            let Some(colon) = colon_of(text) else {
                return (headers, line.start);
            };
            if headers.len() >= self.limits.headers_max {
                self.bodies.flags.insert(BodyFlag::HeadersCut);
                continue;
            }
            let name = text.get(..colon).unwrap_or_default().trim_ascii();
            let value = text.get(colon + 1..).unwrap_or_default().trim_ascii();
            headers.push((self.cut(name), self.cut(value)));
        }
        (headers, entity.len())
    }

    fn fold(&mut self, headers: &mut [(String, String)], text: &[u8]) {
        let Some((_, value)) = headers.last_mut() else {
            return;
        };
        if value.len() + text.len() > self.limits.header_bytes_max {
            self.bodies.flags.insert(BodyFlag::HeadersCut);
            return;
        }
        value.push(' ');
        value.push_str(&String::from_utf8_lossy(text));
    }

    fn cut(&mut self, text: &[u8]) -> String {
        let kept = text.get(..self.limits.header_bytes_max).unwrap_or(text);
        if kept.len() < text.len() {
            self.bodies.flags.insert(BodyFlag::HeadersCut);
        }
        String::from_utf8_lossy(kept).into_owned()
    }

    /// What the first octets look like.
    fn guess(&mut self, bytes: &[u8], disposition: Option<&MediaType>) -> MediaType {
        self.bodies.flags.insert(BodyFlag::TypeGuessed);
        let text = bytes
            .strip_prefix(b"\xEF\xBB\xBF")
            .unwrap_or(bytes)
            .trim_ascii_start();
        let essence = if text.starts_with(b"v=0") {
            TYPE_SDP
        } else if text.starts_with(b"<") {
            let foreign = disposition.is_some_and(|value| value.essence != "recording-session");
            if foreign {
                "application/xml"
            } else {
                TYPE_METADATA
            }
        } else if text.starts_with(b"--") {
            "multipart/mixed"
        } else {
            // RFC 2046 §5.2: the default.
            "text/plain"
        };
        MediaType {
            essence: essence.to_owned(),
            parameters: Vec::new(),
        }
    }
}

fn header_of<'h>(headers: &'h [(String, String)], name: &str, compact: &str) -> Option<&'h str> {
    let wanted = |have: &str| {
        have.eq_ignore_ascii_case(name)
            || (!compact.is_empty() && have.eq_ignore_ascii_case(compact))
    };
    headers
        .iter()
        .find(|(have, _)| wanted(have))
        .map(|(_, value)| value.as_str())
}

/// The first line that can be a delimiter, without its dashes.
fn boundary_in(bytes: &[u8]) -> Option<&[u8]> {
    lines(bytes).find_map(|line| {
        let text = bytes.get(line)?.trim_ascii_end().strip_prefix(b"--")?;
        (!text.is_empty() && text.len() <= limits::BOUNDARY_BYTES_MAX).then_some(text)
    })
}

/// The lines of a text, each with its line break, as ranges.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(rest.len(), |at| at + 1);
        let line = start..start + length;
        start = line.end;
        Some(line)
    })
}

/// The end of a part whose delimiter line starts at `end`.
fn without_line_break(bytes: &[u8], start: usize, end: usize) -> usize {
    let text = bytes.get(start..end).unwrap_or_default();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    start + text.len()
}
