//! What is agreed on and known about a call: streams, metadata, channels, what was odd.
//!
//! A value that is cloned to try something: the clone takes the place of the original when the
//! request that asked for it is answered 2xx, and is dropped otherwise, so that a refused request
//! has changed nothing (RFC 3261 §14.1, P-38).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use holdfast_manifest::{MetadataDocument, Warning};
use holdfast_units::{StreamId, WallTime};

use super::content::{Content, Metadata};
use super::words::{self, Word};
use crate::limits::WARNINGS_MAX;
use crate::metadata::{Channels, Document, Line, Match, Speakers, State};
use crate::offer::{Action, Plan, Session, SlotId, Stream};

/// What a call is.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Offer and answer.
    pub(super) session: Session,
    /// Streams of an offer of ours that made the first ones and waits for its answer.
    pub(super) offered: Vec<Stream>,
    /// The metadata.
    pub(super) state: State,
    /// Which channel each m-line goes to.
    pub(super) channels: Channels,
    /// What was odd, in the order it was met.
    pub(super) warnings: Vec<Warning>,
    /// The metadata documents, as the manifest lists them.
    pub(super) documents: Vec<MetadataDocument>,
    key_by_slot: BTreeMap<SlotId, StreamKey>,
    /// Streams ever made: the number of the last one.
    streams_made: u16,
}

/// By what the engine and the manifest know a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamKey {
    pub(super) id: StreamId,
    /// Within the recording, from 1.
    pub(super) number: u16,
}

/// Where a document came from.
pub(super) struct Carrier<'a> {
    pub(super) method: &'a str,
    /// Name of the document, where it was kept.
    pub(super) file: Option<String>,
    pub(super) arrival: WallTime,
    /// Whether a session description came with it.
    pub(super) has_sdp: bool,
    /// Whether this is a request in the dialog: a broken document then changes nothing.
    pub(super) is_in_dialog: bool,
    pub(super) call_id: &'a str,
    /// Where the INVITE of the call came from.
    pub(super) peer: Option<SocketAddr>,
}

impl Facts {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            offered: Vec::new(),
            state: State::new(),
            channels: Channels::new(),
            warnings: Vec::new(),
            documents: Vec::new(),
            key_by_slot: BTreeMap::new(),
            streams_made: 0,
        }
    }

    /// What was saved of it.
    #[expect(
        clippy::too_many_arguments,
        reason = "its fields, which its saved form names one by one"
    )]
    pub(super) fn from_parts(
        session: Session,
        offered: Vec<Stream>,
        state: State,
        channels: Channels,
        warnings: Vec<Warning>,
        documents: Vec<MetadataDocument>,
        key_by_slot: BTreeMap<SlotId, StreamKey>,
        streams_made: u16,
    ) -> Self {
        Self {
            session,
            offered,
            state,
            channels,
            warnings,
            documents,
            key_by_slot,
            streams_made,
        }
    }

    /// Another dialog goes on with the call: its streams are all new, what is known of the call stays.
    pub(super) fn begin_session(&mut self, session: Session) {
        self.session = session;
        self.offered.clear();
        self.key_by_slot.clear();
    }

    /// How the engine knows each stream.
    pub(super) fn keys(&self) -> impl Iterator<Item = (SlotId, StreamKey)> {
        self.key_by_slot.iter().map(|(slot, key)| (*slot, *key))
    }

    /// The number of the last stream made.
    pub(super) const fn streams_made_number(&self) -> u16 {
        self.streams_made
    }

    /// The streams that are to receive.
    pub(super) fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.offered.iter().chain(self.session.streams())
    }

    /// How the engine knows a stream.
    pub(super) fn key(&self, slot: SlotId) -> Option<StreamKey> {
        self.key_by_slot.get(&slot).copied()
    }

    /// How many streams there have been.
    pub(super) fn streams_made(&self) -> usize {
        usize::from(self.streams_made)
    }

    /// Gives every stream that is new its key, and forgets those that are gone.
    pub(super) fn name_streams(&mut self, ids: &mut StreamIds) {
        let slots: Vec<SlotId> = self.streams().map(|stream| stream.slot).collect();
        self.key_by_slot.retain(|slot, _| slots.contains(slot));
        for slot in slots {
            if !self.key_by_slot.contains_key(&slot) {
                self.streams_made = self.streams_made.saturating_add(1);
                let key = StreamKey {
                    id: ids.next(),
                    number: self.streams_made,
                };
                self.key_by_slot.insert(slot, key);
            }
        }
    }

    /// Frees the lines that got a new stream, so that it gets a channel of its own (P-32).
    pub(super) fn release_channels(&mut self, plan: &Plan) {
        for line in &plan.lines {
            if matches!(line.action, Action::New { .. }) {
                self.channels.release(usize::from(line.line));
            }
        }
    }

    /// Gives every stream its channel, by what the metadata says now.
    pub(super) fn assign_channels(&mut self) {
        let streams: Vec<Stream> = self.streams().cloned().collect();
        let lines: Vec<Line<'_>> = streams
            .iter()
            .map(|stream| Line {
                index: usize::from(stream.slot.line),
                label: stream.terms.label.as_deref(),
            })
            .collect();
        let assignments = self.channels.assign(&lines, &self.state);
        if self.state.streams().is_empty() {
            return;
        }
        for word in contradictions(&self.session, &self.state) {
            self.warn(word);
        }
        for assignment in assignments {
            match assignment.matched {
                Match::Label => {}
                Match::Order => self.warn((
                    "label_matched_by_order",
                    "no label of the session description is in the metadata; streams were matched \
                     by their order",
                )),
                Match::None => self.warn((
                    "label_not_in_metadata",
                    "the metadata does not know the label of a stream",
                )),
            }
            if assignment.speakers == Speakers::Order {
                self.warn((
                    "speakers_matched_by_order",
                    "the metadata does not say who sends which stream; they were matched by order",
                ));
            }
        }
    }

    /// Notes what was odd about a request's body and session description.
    pub(super) fn note_content(&mut self, content: &Content) {
        for flag in &content.flags {
            self.warn(words::of_body(*flag));
        }
        let sdp = content
            .sdp
            .iter()
            .flat_map(|sdp| sdp.description.all_flags());
        for flag in sdp {
            self.warn(words::of_sdp(flag));
        }
    }

    /// Notes what was odd about the streams.
    pub(super) fn note_streams(&mut self) {
        let flags: Vec<_> = self
            .streams()
            .flat_map(|stream| stream.terms.flags.iter().copied())
            .collect();
        for flag in flags {
            self.warn(words::of_line(flag));
        }
    }

    /// Notes which lines were refused for their keys, and why.
    pub(super) fn note_refusals(&mut self, plan: &Plan) {
        for (line, reason) in plan.refusals().filter(|(_, why)| why.is_about_keys()) {
            // A line and a reason once, however often it is offered.
            let text = format!("m-line {} is not recorded: {reason}", line + 1);
            if self.warnings.iter().all(|known| known.text != text) {
                self.warn_text_again("line_refused", &text);
            }
        }
    }

    /// Takes a metadata document into the state, and lists it.
    pub(super) fn merge(&mut self, metadata: &Metadata, carrier: &Carrier<'_>) {
        let has_labels = |document: &Document| {
            let mut streams = document.streams.iter();
            streams.any(|stream| stream.label.is_some())
        };
        if !carrier.has_sdp && metadata.document.as_ref().is_some_and(has_labels) {
            // M-15: a label means a line of the same message (RFC 7866 §7.1.1).
            self.warn((
                "labels_without_sdp",
                "metadata with labels came without a session description; they were taken for \
                 those of the last one",
            ));
        }
        let mut flags: Vec<String> = Vec::new();
        if let Some(document) = &metadata.document {
            flags.extend(document.flags.iter().copied().map(words::of_metadata));
        }
        if let Some(fault) = &metadata.fault {
            let word = words::of_fault(fault).to_owned();
            if !flags.contains(&word) {
                flags.push(word);
            }
            self.warn_text("metadata_broken", &fault.to_string());
        }
        let is_taken = metadata.fault.is_none() || !carrier.is_in_dialog;
        if let Some(document) = metadata.document.as_ref().filter(|_| is_taken) {
            for change in self.state.apply(document, carrier.arrival) {
                if let Some(word) = words::of_change(&change) {
                    self.warn(word);
                }
            }
        }
        let Some(file) = &carrier.file else {
            return self.warn(("document_not_kept", "more documents came than are kept"));
        };
        self.documents.push(MetadataDocument {
            file: format!("metadata/{file}"),
            // Whoever writes the file knows.
            sha256: String::new(),
            received_at: carrier.arrival,
            carried_by: carrier.method.to_owned(),
            content_type: metadata.content_type.clone(),
            flags,
        });
    }

    /// Notes something odd, once.
    pub(super) fn warn(&mut self, (code, text): Word) {
        self.warn_text(code, text);
    }

    fn warn_text(&mut self, code: &str, text: &str) {
        if self.warnings.iter().all(|known| known.code != code) {
            self.warn_text_again(code, text);
        }
    }

    fn warn_text_again(&mut self, code: &str, text: &str) {
        if self.warnings.len() < WARNINGS_MAX {
            let warning = Warning {
                code: code.to_owned(),
                text: text.to_owned(),
            };
            self.warnings.push(warning);
        }
    }
}

/// What the metadata says against the session description. A line that was refused has its label
/// too (M-25); where no label fits at all, the streams were matched by order, which is told elsewhere.
fn contradictions(session: &Session, state: &State) -> Vec<Word> {
    let of_lines: BTreeSet<&str> = session.labels().collect();
    let current = state
        .streams()
        .iter()
        .filter(|stream| stream.presence.is_open());
    let mut of_streams: Vec<&str> = current
        .filter_map(|stream| stream.label.as_deref())
        .collect();
    of_streams.sort_unstable();
    let mut words = Vec::new();
    let fits = |label: &&str| of_lines.contains(*label);
    if of_streams.iter().any(fits) && !of_streams.iter().all(fits) {
        words.push((
            "metadata_label_not_in_sdp",
            "the metadata describes a stream whose label no m-line has",
        ));
    }
    if of_streams
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a == b))
    {
        words.push((
            "metadata_label_twice",
            "the metadata gives one label to two streams",
        ));
    }
    words
}

/// Makes identities of streams: the upper half is the second in which the process started, the
/// lower half counts.
#[derive(Debug)]
pub(super) struct StreamIds {
    next: u64,
}

impl StreamIds {
    /// `random` keeps two processes apart that start within one second.
    pub(super) const fn new(started: WallTime, random: u16) -> Self {
        Self {
            next: (started.unix_seconds() << 32) | ((random as u64) << 16),
        }
    }

    fn next(&mut self) -> StreamId {
        self.next = self.next.wrapping_add(1);
        StreamId(self.next)
    }
}
