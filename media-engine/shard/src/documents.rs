//! What signaling has sent of the documents of a recording.
//!
//! Documents are not answered; the next revision of the recording speaks for them. So whatever is
//! wrong with one is remembered until then, and that revision is refused.

use std::collections::BTreeMap;

use holdfast_control::limits::{DOCUMENT_SIZE_MAX, DOCUMENTS_MAX};
use holdfast_control::{Document, DocumentName, HeldDocument, RefusalReason};
use holdfast_journal::Lsn;
use holdfast_units::{MonoTime, RecordingId, WallTime};

use crate::limits::{
    DOCUMENT_PIECE_WITHIN, EARLY_DOCUMENTS_MAX, HELD_DOCUMENTS_MAX, INCOMPLETE_SIZE_MAX,
};
use crate::records;
use crate::shard::Shard;

/// The documents of one recording.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    size_by_name: BTreeMap<DocumentName, u32>,
    /// The one whose last piece has not come.
    incomplete: Option<Incomplete>,
    /// The first record that the next revision speaks for.
    pub(crate) first: Option<Lsn>,
    /// Why the next revision must not be confirmed.
    trouble: Option<RefusalReason>,
}

#[derive(Debug)]
struct Incomplete {
    name: DocumentName,
    size: u32,
    /// When its last piece came.
    at: MonoTime,
}

impl Documents {
    /// Takes note of a piece, unless it has no place.
    fn accept(&mut self, now: MonoTime, piece: &Document) -> Result<(), RefusalReason> {
        let name = &piece.name;
        let before = self
            .incomplete
            .take_if(|incomplete| incomplete.name == *name);
        let have = match before {
            Some(incomplete) if piece.offset > 0 => incomplete.size,
            Some(_) | None => 0,
        };
        if self.incomplete.is_some() || have != piece.offset {
            return invalid(format!(
                "document {name:?} does not follow what came before"
            ));
        }
        let size = piece.offset as usize + piece.bytes.len();
        if size > DOCUMENT_SIZE_MAX {
            return invalid(format!("document {name:?} is too long"));
        }
        if self.size_by_name.len() >= DOCUMENTS_MAX && !self.size_by_name.contains_key(name) {
            return invalid(format!("more than {DOCUMENTS_MAX} documents"));
        }
        let (name, size) = (name.clone(), size as u32);
        if piece.last {
            self.size_by_name.insert(name, size);
        } else {
            self.size_by_name.remove(&name);
            self.incomplete = Some(Incomplete {
                name,
                size,
                at: now,
            });
        }
        Ok(())
    }

    fn incomplete_size(&self) -> usize {
        self.incomplete.as_ref().map_or(0, |one| one.size as usize)
    }

    /// What is wrong since this was last asked.
    pub(crate) fn take_trouble(&mut self) -> Option<RefusalReason> {
        self.trouble.take()
    }

    /// The documents that need not be sent again.
    pub(crate) fn held(&self) -> Vec<HeldDocument> {
        let one = |(name, &size): (&DocumentName, &u32)| HeldDocument {
            name: name.clone(),
            size,
        };
        let complete = self.size_by_name.iter().map(one);
        complete.take(HELD_DOCUMENTS_MAX).collect()
    }
}

fn invalid<T>(text: String) -> Result<T, RefusalReason> {
    Err(RefusalReason::Invalid(text))
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Shard<B> {
    /// Takes a piece of a document.
    pub(crate) fn handle_document(&mut self, now: MonoTime, wall: WallTime, piece: Document) {
        let recording = piece.recording;
        let known = self.recordings.get(&recording);
        if known.is_some_and(|known| !known.is_active()) {
            // It has ended: what belongs to it came before.
            return;
        }
        if known.is_none()
            && !self.early.contains_key(&recording)
            && self.early.len() >= EARLY_DOCUMENTS_MAX
        {
            self.early_overflow = true;
            return;
        }
        // A document that was given up must not take the next one of its name along.
        self.write_given_up(now, wall);
        let total = self.incomplete_size;
        let documents = self.documents_mut(recording);
        let before = documents.incomplete_size();
        let was = documents.incomplete.as_ref().map(|one| one.name.clone());
        let mut result = documents.accept(now, &piece);
        let after = documents.incomplete_size();
        self.incomplete_size = total - before + after;
        let is_too_much = self.incomplete_size > INCOMPLETE_SIZE_MAX;
        if result.is_ok() && (is_too_much || !self.given_up.is_empty()) {
            result = Err(RefusalReason::Journal);
        }
        if result.is_ok() {
            let bytes = postcard::to_stdvec(&piece).expect("plain data serialises into memory");
            match self.write(now, wall, records::DOCUMENT, &bytes) {
                Ok(lsn) => {
                    self.documents_mut(recording).first.get_or_insert(lsn);
                }
                Err(_) => result = Err(RefusalReason::Journal),
            }
        }
        if let Err(reason) = result {
            // Both the one that was interrupted and the one that interrupts.
            let interrupted = was.filter(|name| *name != piece.name);
            self.spoil(
                recording,
                reason,
                interrupted.into_iter().chain([piece.name]),
            );
            self.write_given_up(now, wall);
        }
    }

    fn documents_mut(&mut self, recording: RecordingId) -> &mut Documents {
        match self.recordings.get_mut(&recording) {
            Some(known) => &mut known.documents,
            None => self.early.entry(recording).or_default(),
        }
    }

    /// Remembers that documents are not what they should be.
    fn spoil(
        &mut self,
        recording: RecordingId,
        reason: RefusalReason,
        names: impl Iterator<Item = DocumentName>,
    ) {
        let documents = self.documents_mut(recording);
        documents.trouble.get_or_insert(reason);
        let size = documents.incomplete_size();
        documents.incomplete = None;
        for name in names {
            self.documents_mut(recording).size_by_name.remove(&name);
            self.given_up.push((recording, name));
        }
        self.incomplete_size -= size;
    }

    /// Before a revision takes effect: what is wrong with the documents that it speaks for.
    pub(crate) fn document_trouble(&mut self, recording: RecordingId) -> Option<RefusalReason> {
        self.give_up_incomplete(recording);
        let is_known = self.recordings.contains_key(&recording);
        if !is_known && !self.early.contains_key(&recording) {
            // Whether it had documents is not known.
            return self.early_overflow.then_some(RefusalReason::Journal);
        }
        self.documents_mut(recording).take_trouble()
    }

    fn give_up_incomplete(&mut self, recording: RecordingId) {
        let known = self
            .recordings
            .get(&recording)
            .map(|known| &known.documents);
        let documents = known.or_else(|| self.early.get(&recording));
        if let Some(incomplete) = documents.and_then(|documents| documents.incomplete.as_ref()) {
            let name = incomplete.name.clone();
            let reason = RefusalReason::Invalid(format!("document {name:?} is not complete"));
            self.spoil(recording, reason, std::iter::once(name));
        }
    }

    /// The documents that came before their recording; it takes them over.
    pub(crate) fn take_early(&mut self, recording: RecordingId) -> Documents {
        let documents = self.early.remove(&recording).unwrap_or_default();
        self.early_overflow &= !self.early.is_empty();
        documents
    }

    /// Whoever sent documents is gone: what is not complete stays so, and what belongs to no
    /// recording never will.
    pub(crate) fn abandon_documents(&mut self, now: MonoTime, wall: WallTime) {
        let incomplete: Vec<RecordingId> = self
            .recordings
            .iter()
            .filter(|(_, known)| known.documents.incomplete.is_some())
            .map(|(&recording, _)| recording)
            .collect();
        for recording in incomplete {
            self.give_up_incomplete(recording);
            // Nobody is there to be told of it.
            self.documents_mut(recording).trouble = None;
        }
        let early: Vec<RecordingId> = self.early.keys().copied().collect();
        for recording in early {
            self.give_up_incomplete(recording);
            self.forget(now, wall, recording);
        }
        self.write_given_up(now, wall);
    }

    /// Gives up documents whose next piece does not come: they would keep the journal from being
    /// used again.
    pub(crate) fn give_up_stale(&mut self, now: MonoTime) {
        let is_stale = |documents: &Documents| {
            let incomplete = documents.incomplete.as_ref();
            incomplete.is_some_and(|one| now.since(one.at) >= DOCUMENT_PIECE_WITHIN)
        };
        let known = self
            .recordings
            .iter()
            .map(|(id, known)| (id, &known.documents));
        let stale: Vec<RecordingId> = known
            .chain(&self.early)
            .filter(|(_, documents)| is_stale(documents))
            .map(|(&recording, _)| recording)
            .collect();
        for recording in stale {
            self.give_up_incomplete(recording);
        }
    }

    /// Tells the assembly, through the journal, which documents are given up: a piece that does
    /// not follow. Tried again with the next tick where the journal is full.
    pub(crate) fn write_given_up(&mut self, now: MonoTime, wall: WallTime) {
        while let Some((recording, name)) = self.given_up.last() {
            let end = Document {
                recording: *recording,
                shard: self.config.index,
                name: name.clone(),
                offset: u32::MAX,
                last: false,
                bytes: Vec::new(),
            };
            let bytes = postcard::to_stdvec(&end).expect("plain data serialises into memory");
            if self.write(now, wall, records::DOCUMENT, &bytes).is_err() {
                return;
            }
            self.given_up.pop();
        }
    }
}
