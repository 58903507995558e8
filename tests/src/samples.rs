//! Real messages of the field, read from beside the repository: they are not part of it.

use std::path::PathBuf;

use holdfast_load::sip::Message;

use crate::peer::{Peer, branch};
use crate::tools::skipped;

/// A message as somebody once sent it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Name of the file.
    pub name: String,
    octets: Vec<u8>,
}

/// The folder of samples; `None`, and a word about it, where it is absent.
pub fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/interop/samples");
    if folder.is_dir() {
        return Some(folder);
    }
    skipped(&format!("no samples at {}", folder.display()));
    None
}

impl Sample {
    /// Reads a sample.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn read(name: &str) -> Option<Self> {
        let path = folder()?.join(name);
        let octets = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        Some(Self {
            name: name.to_owned(),
            octets,
        })
    }

    /// The message as `peer` sends it: its answer must come to this socket (RFC 3581), and it must
    /// not be taken for the copy of another. All else is as it was. `remote_tag` is put into a
    /// request within a dialog.
    pub fn for_peer(&self, peer: &Peer, call_id: &str, remote_tag: Option<&str>) -> Vec<u8> {
        let (head, body) = self.split();
        let mut out = String::new();
        for line in head.split("\r\n") {
            let name = line.split(':').next().unwrap_or_default();
            let line = if name.eq_ignore_ascii_case("via") {
                let via = line.split(";branch=").next().unwrap_or(line);
                // The transport that is used, not that of the trace.
                let via = via
                    .replace("/UDP", "/X")
                    .replace("/TCP", "/X")
                    .replace("/TLS", "/X");
                format!(
                    "{};rport;branch={}",
                    via.replace("/X", &format!("/{}", peer.via())),
                    branch()
                )
            } else if name.eq_ignore_ascii_case("call-id") {
                format!("Call-ID: {call_id}")
            } else {
                line.replace("REMOTE-TAG", remote_tag.unwrap_or("REMOTE-TAG"))
            };
            out.push_str(&line);
            out.push_str("\r\n");
        }
        let mut octets = out.into_bytes();
        octets.extend_from_slice(b"\r\n");
        octets.extend_from_slice(body);
        octets
    }

    /// The octets of its metadata: what stands in the part of that type, without the line end that
    /// belongs to the boundary (RFC 2046 section 5.1.1).
    pub fn metadata(&self) -> Option<Vec<u8>> {
        let message = Message::parse(&self.octets)?;
        let kind = message.header("Content-Type")?;
        let (_, boundary) = kind.split_once("boundary=")?;
        let boundary = format!("--{}", boundary.trim().trim_matches('"'));
        let (_, body) = self.split();
        let parts = split_at_all(body, boundary.as_bytes());
        let at = parts.iter().position(|part| {
            let head = part
                .split(|&octet| octet == b'<')
                .next()
                .unwrap_or_default();
            let head = String::from_utf8_lossy(head).to_ascii_lowercase();
            head.contains("content-type") && head.contains("application/rs-metadata")
        })?;
        let part = parts[at];
        let begin = part.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let content = &part[begin..];
        // Without a boundary behind it, the line end is the document's.
        let is_closed = at + 1 < parts.len();
        Some(
            if is_closed {
                content.strip_suffix(b"\r\n")?
            } else {
                content
            }
            .to_vec(),
        )
    }

    /// A header value.
    pub fn header(&self, name: &str) -> Option<String> {
        Message::parse(&self.octets)?
            .header(name)
            .map(str::to_owned)
    }

    /// The octets as they are in the file.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    fn split(&self) -> (String, &[u8]) {
        let at = self
            .octets
            .windows(4)
            .position(|window| window == b"\r\n\r\n");
        let at = at.expect("a blank line behind the headers");
        let head = String::from_utf8_lossy(&self.octets[..at]).into_owned();
        (head, &self.octets[at + 4..])
    }
}

fn split_at_all<'a>(octets: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = octets;
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        parts.push(&rest[..at]);
        rest = &rest[at + mark.len()..];
    }
    parts.push(rest);
    parts
}
