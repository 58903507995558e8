//! The documents of one call: bodies as received, request heads, the call's description; and which
//! of them the engine has.
//!
//! ```text
//!   0001.sip   request line and headers   0001.sdp   session description, keys redacted
//!   0001.xml   metadata                   call.json  the call, replaced at each change
//! ```
//!
//! No key of a stream is ever stored: `inline:` keys, MIKEY and `k=` lines are redacted, and so are
//! credentials among the headers.

use std::collections::{BTreeMap, VecDeque};

use holdfast_control::limits::{DOCUMENT_CHUNK_SIZE_MAX, DOCUMENT_SIZE_MAX, DOCUMENTS_MAX};
use holdfast_control::{Document, DocumentName, HeldDocument, ToEngine};
use holdfast_units::RecordingId;

use crate::limits::{DOCUMENT_BYTES_KEPT_MAX, DOCUMENT_BYTES_WAITING_MAX};

/// Documents of one call.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// Number of the last message of which something was kept.
    number: u32,
    /// Documents ever kept.
    count: usize,
    /// Those whose octets are here.
    entries: BTreeMap<DocumentName, Entry>,
    /// The same in the order they came.
    kept: VecDeque<DocumentName>,
    kept_bytes: usize,
    /// Names to be sent, in order.
    unsent: VecDeque<DocumentName>,
    description: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    bytes: Vec<u8>,
    /// Whether the engine has it on disk.
    is_durable: bool,
}

impl Documents {
    /// The number of the last message, how many documents there have been, and those that the engine
    /// may not have on disk.
    pub(super) fn to_parts(&self) -> (u32, usize, Vec<(&str, &[u8])>) {
        let waiting = self.kept.iter().filter_map(|name| {
            let entry = self.entries.get(name).filter(|entry| !entry.is_durable)?;
            Some((name.as_str(), entry.bytes.as_slice()))
        });
        (self.number, self.count, waiting.collect())
    }

    /// What [`Self::to_parts`] told of.
    pub(super) fn from_parts(
        number: u32,
        count: usize,
        waiting: impl Iterator<Item = (String, Vec<u8>)>,
    ) -> Self {
        let mut documents = Self {
            number,
            count,
            ..Self::default()
        };
        for (name, bytes) in waiting {
            let Ok(name) = DocumentName::try_from(name) else {
                continue;
            };
            documents.kept_bytes += bytes.len();
            documents.kept.push_back(name.clone());
            documents.unsent.push_back(name.clone());
            let is_durable = false;
            documents.entries.insert(name, Entry { bytes, is_durable });
        }
        documents
    }

    /// A number for the documents of one more message.
    pub(super) fn next_number(&mut self) -> u32 {
        self.number = self.number.saturating_add(1);
        self.number
    }

    /// Keeps a document of a message. `false` where the recording has as many as it may, or too
    /// much waits for the engine.
    pub(super) fn keep(&mut self, number: u32, suffix: &str, bytes: Vec<u8>) -> bool {
        // One is for the call's description.
        let is_full = self.kept_bytes.saturating_add(bytes.len()) > DOCUMENT_BYTES_WAITING_MAX;
        if is_full || self.count + 1 >= DOCUMENTS_MAX || bytes.len() > DOCUMENT_SIZE_MAX {
            return false;
        }
        let Ok(name) = DocumentName::try_from(file_name(number, suffix)) else {
            return false;
        };
        self.count += 1;
        self.kept_bytes += bytes.len();
        self.kept.push_back(name.clone());
        self.unsent.push_back(name.clone());
        self.entries.insert(
            name,
            Entry {
                bytes,
                is_durable: false,
            },
        );
        true
    }

    /// Replaces the call's description.
    pub(super) fn describe(&mut self, json: Vec<u8>) {
        self.description = json;
    }

    /// What has to be said to the engine before the next state of the recording: documents that it
    /// does not have, and the call's description.
    pub(super) fn take_unsent(&mut self, recording: RecordingId, shard: u16) -> Vec<ToEngine> {
        let mut messages = Vec::new();
        for name in std::mem::take(&mut self.unsent) {
            if let Some(entry) = self.entries.get(&name) {
                push_chunks(&mut messages, recording, shard, &name, &entry.bytes);
            }
        }
        if let Ok(name) = DocumentName::try_from(DESCRIPTION.to_owned())
            && !self.description.is_empty()
        {
            push_chunks(&mut messages, recording, shard, &name, &self.description);
        }
        messages
    }

    /// The engine has made durable all that it was sent.
    pub(super) fn handle_durable(&mut self) {
        for (name, entry) in &mut self.entries {
            entry.is_durable |= !self.unsent.contains(name);
        }
        while self.kept_bytes > DOCUMENT_BYTES_KEPT_MAX {
            let Some(name) = self.kept.front() else { break };
            if !self.entries.get(name).is_some_and(|entry| entry.is_durable) {
                break;
            }
            let bytes = self
                .entries
                .remove(name)
                .map_or(0, |entry| entry.bytes.len());
            self.kept_bytes = self.kept_bytes.saturating_sub(bytes);
            self.kept.pop_front();
        }
    }

    /// After a restart of the engine: what it does not list in full is sent again.
    pub(super) fn reconcile(&mut self, held: &[HeldDocument]) {
        let size_by_name: BTreeMap<&DocumentName, usize> = held
            .iter()
            .map(|document| (&document.name, document.size as usize))
            .collect();
        let entries = &self.entries;
        let is_held = |name: &DocumentName| {
            let size = entries.get(name).map(|entry| entry.bytes.len());
            size.is_some() && size_by_name.get(name).copied() == size
        };
        self.unsent = self
            .kept
            .iter()
            .filter(|name| !is_held(name))
            .cloned()
            .collect();
    }
}

/// Name of a document of a message.
pub(super) fn file_name(number: u32, suffix: &str) -> String {
    format!("{number:04}.{suffix}")
}

/// A request line and headers without credentials.
pub(super) fn redacted_head(head: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len());
    let mut is_hidden = false;
    for line in head.split_inclusive(|octet| *octet == b'\n') {
        let is_continued = matches!(line.first(), Some(b' ' | b'\t'));
        if !is_continued {
            let name = line
                .split(|octet| *octet == b':')
                .next()
                .unwrap_or_default();
            let name = name.trim_ascii();
            is_hidden = CREDENTIALS
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known));
            if is_hidden {
                out.extend_from_slice(name);
                out.extend_from_slice(b": redacted\r\n");
            }
        }
        if !is_hidden {
            out.extend_from_slice(line);
        }
    }
    out
}

/// A session description without keys: whatever follows `inline:` is replaced, wherever it stands,
/// and so are the values of `a=key-mgmt`, `a=ice-pwd` and `k=`.
pub(super) fn redacted_sdp(sdp: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sdp.len());
    for line in sdp.split_inclusive(|octet| matches!(octet, b'\n' | b'\r')) {
        let start = line.len() - line.trim_ascii_start().len();
        let text = line.get(start..).unwrap_or_default();
        let hidden = SECRET_LINES.iter().find(|prefix| {
            text.get(..prefix.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
        });
        match hidden {
            Some(prefix) => {
                out.extend_from_slice(prefix);
                out.extend_from_slice(b"redacted");
                let end = line.len() - line.trim_ascii_end().len();
                out.extend_from_slice(line.get(line.len() - end..).unwrap_or_default());
            }
            None => redact_inline(line, &mut out),
        }
    }
    out
}

fn redact_inline(line: &[u8], out: &mut Vec<u8>) {
    let mut rest = line;
    while let Some(at) = find_inline(rest) {
        let (before, after) = rest.split_at(at + INLINE.len());
        out.extend_from_slice(before);
        out.extend_from_slice(b"redacted");
        let ends = |octet: &u8| octet.is_ascii_whitespace() || *octet == b';';
        let end = after.iter().position(ends).unwrap_or(after.len());
        rest = after.get(end..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

fn find_inline(text: &[u8]) -> Option<usize> {
    text.windows(INLINE.len())
        .position(|window| window.eq_ignore_ascii_case(INLINE))
}

fn push_chunks(
    messages: &mut Vec<ToEngine>,
    recording: RecordingId,
    shard: u16,
    name: &DocumentName,
    bytes: &[u8],
) {
    let count = bytes.len().div_ceil(DOCUMENT_CHUNK_SIZE_MAX).max(1);
    for index in 0..count {
        let from = index * DOCUMENT_CHUNK_SIZE_MAX;
        let to = bytes.len().min(from + DOCUMENT_CHUNK_SIZE_MAX);
        messages.push(ToEngine::Document(Document {
            recording,
            shard,
            name: name.clone(),
            // Documents are not larger than DOCUMENT_SIZE_MAX.
            offset: u32::try_from(from).unwrap_or(u32::MAX),
            last: index + 1 == count,
            bytes: bytes.get(from..to).unwrap_or_default().to_vec(),
        }));
    }
}

/// Name of the call's description.
const DESCRIPTION: &str = "call.json";
const INLINE: &[u8] = b"inline:";
const CREDENTIALS: [&[u8]; 2] = [b"Authorization", b"Proxy-Authorization"];
const SECRET_LINES: [&[u8]; 3] = [b"a=key-mgmt:", b"a=ice-pwd:", b"k="];

const _: () = assert!(DOCUMENT_SIZE_MAX <= u32::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_survives_in_a_session_description() {
        let sdp = "m=audio 4000 RTP/SAVP 0\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 INLINE:c2VjcmV0|2^20|1:4;inline:bW9yZQ== KDR=1\r\n\
            a=crypto:2 X inline:ZW5k\na=ice-pwd:cHdk\r\nk=base64:a2V5\r\na=label:1\r\n";
        let text = String::from_utf8(redacted_sdp(sdp.as_bytes())).unwrap();
        for secret in ["c2VjcmV0", "bW9yZQ", "ZW5k", "cHdk", "a2V5"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(
            text,
            "m=audio 4000 RTP/SAVP 0\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 INLINE:redacted;inline:redacted KDR=1\r\n\
            a=crypto:2 X inline:redacted\na=ice-pwd:redacted\r\nk=redacted\r\na=label:1\r\n"
        );
    }

    #[test]
    fn credentials_are_not_kept_folded_or_not() {
        let head = b"INVITE sip:a SIP/2.0\r\nAuthorization: Digest a=\"1\",\r\n response=\"2\"\r\n\
            Via: x\r\nproxy-authorization : y\r\n\r\n";
        let kept = String::from_utf8(redacted_head(head)).unwrap();
        assert_eq!(
            kept,
            "INVITE sip:a SIP/2.0\r\nAuthorization: redacted\r\nVia: x\r\n\
            proxy-authorization: redacted\r\n\r\n"
        );
    }

    #[test]
    fn a_long_document_travels_in_pieces_and_an_empty_one_in_one() {
        let mut documents = Documents::default();
        let number = documents.next_number();
        assert!(documents.keep(number, "xml", vec![7; DOCUMENT_CHUNK_SIZE_MAX + 1]));
        assert!(documents.keep(number, "sip", Vec::new()));
        let id = RecordingId::from_bytes([1; 16]);
        let pieces: Vec<(String, u32, bool, usize)> = documents
            .take_unsent(id, 3)
            .into_iter()
            .map(|message| match message {
                ToEngine::Document(one) => (one.name.into(), one.offset, one.last, one.bytes.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        let chunk = DOCUMENT_CHUNK_SIZE_MAX;
        assert_eq!(
            pieces,
            [
                ("0001.xml".to_owned(), 0, false, chunk),
                ("0001.xml".to_owned(), chunk as u32, true, 1),
                ("0001.sip".to_owned(), 0, true, 0),
            ]
        );
        assert!(documents.take_unsent(id, 3).is_empty());
    }

    #[test]
    fn what_is_durable_is_dropped_beyond_the_budget_and_what_is_held_is_not_sent_again() {
        let mut documents = Documents::default();
        let id = RecordingId::from_bytes([1; 16]);
        let half = DOCUMENT_BYTES_KEPT_MAX / 2 + 1;
        for number in 1..=2 {
            assert!(documents.keep(number, "xml", vec![0; half]));
        }
        documents.handle_durable();
        assert_eq!(documents.kept.len(), 2, "unsent documents stay");
        documents.take_unsent(id, 0);
        documents.handle_durable();
        assert_eq!(documents.kept.len(), 1);
        documents.reconcile(&[]);
        assert_eq!(documents.unsent.len(), 1);
        let name = DocumentName::try_from("0002.xml".to_owned()).unwrap();
        documents.reconcile(&[HeldDocument {
            name: name.clone(),
            size: 1,
        }]);
        assert_eq!(documents.unsent.len(), 1, "half a document is not held");
        documents.reconcile(&[HeldDocument {
            name,
            size: half as u32,
        }]);
        assert!(documents.unsent.is_empty());
    }
}
