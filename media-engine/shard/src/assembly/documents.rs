//! Documents that come in pieces.
//!
//! The receiving side lets only pieces through that follow each other, and says in the journal when
//! it gives a document up: by a piece that does not follow.

use std::collections::BTreeMap;

use holdfast_control::{Document, DocumentName};
use holdfast_journal::Lsn;
use holdfast_units::RecordingId;

use crate::disk::DiskOrder;
use crate::limits::PARTIAL_DOCUMENT_SIZE_MAX;

/// Documents of which the last piece has not come.
#[derive(Debug, Default)]
pub(super) struct DocumentsInPieces {
    incomplete: BTreeMap<RecordingId, BTreeMap<DocumentName, Incomplete>>,
    /// Checksum of the newest version of each document: one that could not be written must not
    /// come in the place of a newer one.
    newest: BTreeMap<RecordingId, BTreeMap<DocumentName, u32>>,
}

#[derive(Debug)]
struct Incomplete {
    /// The record of its first piece.
    first: Lsn,
    bytes: Vec<u8>,
}

impl DocumentsInPieces {
    /// The first record that an incomplete document needs.
    pub(super) fn first(&self) -> Option<Lsn> {
        let documents = self.incomplete.values().flat_map(BTreeMap::values);
        documents.map(|document| document.first).min()
    }

    /// Takes a piece; gives the order to write the document where it was the last one.
    pub(super) fn take(&mut self, piece: Document, lsn: Lsn) -> Option<DiskOrder> {
        let (recording, name) = (piece.recording, piece.name);
        let of_recording = self.incomplete.entry(recording).or_default();
        let mut document = match of_recording.remove(&name) {
            Some(document) if piece.offset > 0 => document,
            _ => Incomplete {
                first: lsn,
                bytes: Vec::new(),
            },
        };
        let follows = document.bytes.len() == piece.offset as usize;
        let size = document.bytes.len() + piece.bytes.len();
        let mut complete = None;
        if follows && size <= PARTIAL_DOCUMENT_SIZE_MAX {
            document.bytes.extend_from_slice(&piece.bytes);
            if piece.last {
                complete = Some((name, document.bytes));
            } else {
                of_recording.insert(name, document);
            }
        }
        if of_recording.is_empty() {
            self.incomplete.remove(&recording);
        }
        let (name, bytes) = complete?;
        let newest = self.newest.entry(recording).or_default();
        newest.insert(name.clone(), crc32c::crc32c(&bytes));
        Some(DiskOrder::WriteDocument {
            recording,
            name,
            bytes,
        })
    }

    /// Whether no other version of the document has come since.
    pub(super) fn is_newest(
        &self,
        recording: RecordingId,
        name: &DocumentName,
        bytes: &[u8],
    ) -> bool {
        let newest = self.newest.get(&recording).and_then(|all| all.get(name));
        newest.is_some_and(|&checksum| checksum == crc32c::crc32c(bytes))
    }

    /// Gives up what is not complete: whoever sent it is gone, and will send it anew.
    pub(super) fn give_up(&mut self) {
        self.incomplete.clear();
    }

    pub(super) fn forget(&mut self, recording: RecordingId) {
        self.incomplete.remove(&recording);
        self.newest.remove(&recording);
    }
}
