//! One call: a recording session, its dialog, and the recording that the engine makes of it.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use holdfast_control::{Life, Recording, Srtp, Stream, StreamMode};
use holdfast_manifest::{Continues, EndReason, FormerDialog, Pause, SipDialog};
use holdfast_sip::endpoint::{ClientTx, DialogId, ServerTx};
use holdfast_sip::{FlowInfo, Method, Request};
use holdfast_units::{MonoTime, RecordingId, StreamId, WallTime};

use super::asking::Asking;
use super::documents::Documents;
use super::facts::Facts;
use super::proposal::Proposal;
use super::replaces::Takeover;
use super::session_timer::SessionTimer;
use super::words::Word;
use crate::admission::Sender;
use crate::offer::{self, Encryption};
use crate::sdp::MediaKind;

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: RecordingId,
    /// The shard that owns its streams.
    pub(super) shard: u16,
    pub(super) started: WallTime,
    /// Local address of its streams.
    pub(super) address: IpAddr,
    pub(super) cname: String,
    /// Who began it: nobody else may change it.
    pub(super) sender: Sender,
    /// As the manifest has it.
    pub(super) sip: SipDialog,
    /// Whether the peer knows the option tag `siprec`.
    pub(super) knows_siprec: bool,
    pub(super) stage: Stage,
    pub(super) dialog: Option<DialogId>,
    /// What is in force.
    pub(super) facts: Facts,
    pub(super) documents: Documents,
    pub(super) sync: Sync,
    pub(super) timer: Option<SessionTimer>,
    /// When the peer said something last.
    pub(super) heard: MonoTime,
    /// What we ask of the peer.
    pub(super) asking: Asking,
    /// When the recording was paused by us, in order; the last one may be open.
    pub(super) pauses: Vec<Pause>,
    /// Requests of the dialog that wait for the one that waits for the engine.
    pub(super) queue: VecDeque<InDialog>,
    /// Streams of a dialog that was replaced, as long as packets may come on them.
    pub(super) lingering: Vec<(Stream, Option<Encryption>)>,
    /// Dialogs that were replaced, the first one first.
    pub(super) formers: Vec<FormerDialog>,
    /// What another node recorded before, where one did.
    pub(super) continues: Option<Continues>,
    /// Another node's, as long as the INVITE that takes the place of its dialog is not answered.
    pub(super) is_provisional: bool,
    /// Whether the store has any state of it.
    pub(super) is_saved: bool,
}

/// How far a call is.
///
/// ```text
///   Opening ──Applied, 200──▶ Up ──BYE, either way──▶ Ended ──Published──▶ gone
///      └──CANCEL, refused, silent engine─────────────────┘
/// ```
#[derive(Debug)]
pub(super) enum Stage {
    /// The INVITE waits for the engine.
    Opening(Box<Exchange>),
    /// The 200 has left. A further offer may wait for the engine.
    Up(Option<Box<Exchange>>),
    /// The engine is to publish the recording.
    Ended { reason: EndReason, at: WallTime },
}

/// A request with an offer, or one that gets an offer, which waits for the engine.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) request: Asked,
    /// What is in force once it is answered.
    pub(super) facts: Facts,
    pub(super) proposal: Proposal,
    /// What the 200 carries.
    pub(super) description: Vec<u8>,
    /// The session timer that is granted.
    pub(super) timer: Option<SessionTimer>,
    /// Where it is the INVITE of another dialog, which takes the place of this one.
    pub(super) takes_over: Option<Box<Takeover>>,
    /// The revision that the engine was sent; 0 before.
    pub(super) revision: u64,
}

/// What an exchange answers.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// A request of the peer, by a response.
    Theirs(InDialog),
    /// The 2xx to our INVITE, by its ACK.
    Ours(ClientTx),
}

/// A request of the peer that is not answered yet.
#[derive(Clone, Debug)]
pub(super) struct InDialog {
    pub(super) tx: ServerTx,
    pub(super) request: Arc<Request>,
    pub(super) source: FlowInfo,
}

/// How far the engine knows the recording.
#[derive(Debug, Default)]
pub(super) struct Sync {
    /// The last revision that was sent; 0 before the first.
    pub(super) revision: u64,
    /// Even ports of the last revision sent, while it is not confirmed. The engine takes one
    /// revision of a recording at a time.
    pub(super) in_flight: Option<BTreeSet<u16>>,
    /// Something has changed since.
    pub(super) is_dirty: bool,
    /// The last revision sent, and not refused, was the recording's end.
    pub(super) is_end_said: bool,
    /// The engine did not take the last revision: the next one waits a moment.
    pub(super) is_held_back: bool,
    /// Even ports that the engine may hold, or that are promised to a stream.
    pub(super) ports: BTreeSet<u16>,
}

impl Asked {
    /// The transaction that waits for an answer.
    pub(super) const fn tx(&self) -> Option<ServerTx> {
        match self {
            Self::Theirs(request) => Some(request.tx),
            Self::Ours(_) => None,
        }
    }
}

impl InDialog {
    pub(super) fn is_invite(&self) -> bool {
        *self.request.method() == Method::Invite
    }
}

impl Call {
    /// The exchange that waits for the engine.
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        match &self.stage {
            Stage::Opening(exchange) => Some(exchange),
            Stage::Up(exchange) => exchange.as_deref(),
            Stage::Ended { .. } => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        match &mut self.stage {
            Stage::Opening(exchange) => Some(exchange),
            Stage::Up(exchange) => exchange.as_deref_mut(),
            Stage::Ended { .. } => None,
        }
    }

    /// Takes away the exchange of a call that is up.
    pub(super) fn take_exchange(&mut self) -> Option<Box<Exchange>> {
        match &mut self.stage {
            Stage::Up(exchange) => exchange.take(),
            Stage::Opening(_) | Stage::Ended { .. } => None,
        }
    }

    /// Whether the call goes on.
    pub(super) const fn is_active(&self) -> bool {
        match &self.stage {
            Stage::Opening(_) | Stage::Up(_) => true,
            Stage::Ended { .. } => false,
        }
    }

    /// Whether it has been answered and goes on, and nothing waits for the engine.
    pub(super) const fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up(None))
    }

    /// Notes something odd, in what is in force and in what is to be.
    pub(super) fn warn(&mut self, word: Word) {
        self.facts.warn(word);
        if let Some(exchange) = self.exchange_mut() {
            exchange.facts.warn(word);
        }
    }

    /// What the engine is to have: that of the exchange which waits for it, else what is in force.
    pub(super) fn wanted_facts(&self) -> &Facts {
        self.exchange()
            .map_or(&self.facts, |exchange| &exchange.facts)
    }

    /// The desired state of the recording, as a revision.
    pub(super) fn desired(
        &self,
        revision: u64,
        mut seal: impl FnMut(RecordingId, StreamId, &Encryption) -> Srtp,
    ) -> Recording {
        let life = match &self.stage {
            Stage::Opening(_) | Stage::Up(_) => Life::Active,
            Stage::Ended { reason, at } => Life::Ended {
                reason: *reason,
                at: *at,
            },
        };
        Recording {
            id: self.id,
            shard: self.shard,
            revision,
            started: self.started,
            life,
            streams: self
                .all_streams()
                .map(|(mut stream, encryption)| {
                    stream.srtp = encryption.map(|it| seal(self.id, stream.id, it));
                    stream
                })
                .collect(),
        }
    }

    /// What is wanted, and beside it what a dialog that is being replaced has.
    fn all_streams(&self) -> impl Iterator<Item = (Stream, Option<&Encryption>)> {
        let takes_over = |exchange: &Exchange| exchange.takes_over.is_some();
        let replaced = self
            .exchange()
            .is_some_and(takes_over)
            .then_some(&self.facts);
        let lingering = self.lingering.iter();
        self.desired_streams(self.wanted_facts())
            .chain(
                replaced
                    .into_iter()
                    .flat_map(|facts| self.desired_streams(facts)),
            )
            .chain(lingering.map(|(stream, encryption)| (stream.clone(), encryption.as_ref())))
    }

    /// Whether the engine would have to do the same for both.
    pub(super) fn is_same_media(&self, one: &Facts, other: &Facts) -> bool {
        self.desired_streams(one).eq(self.desired_streams(other))
    }

    /// The streams as the engine knows them, but for how they are encrypted, which stands beside them.
    pub(super) fn desired_streams<'a>(
        &'a self,
        facts: &'a Facts,
    ) -> impl Iterator<Item = (Stream, Option<&'a Encryption>)> {
        facts.streams().filter_map(|stream| {
            let desired = self.desired_stream(facts, stream)?;
            Some((desired, stream.terms.encryption.as_ref()))
        })
    }

    fn desired_stream(&self, facts: &Facts, stream: &offer::Stream) -> Option<Stream> {
        let key = facts.key(stream.slot)?;
        let (terms, ports) = (&stream.terms, &stream.ports);
        let channel = facts.channels.of_line(usize::from(stream.slot.line))?;
        Some(Stream {
            id: key.id,
            number: key.number,
            media_line: stream.slot.line,
            media: media_name(terms.kind).to_owned(),
            label: facts.session.label_of(stream.slot.line, terms),
            channel: channel.0,
            address: ports.address,
            rtp_port: ports.rtp,
            rtcp_port: if terms.mux { ports.rtp } else { ports.rtcp },
            mode: match facts.session.is_receiving(stream) {
                true => StreamMode::Record,
                false => StreamMode::Pause,
            },
            codecs: terms.codec_map(),
            peer_rtp: terms.peer.rtp,
            peer_rtcp: terms.peer.rtcp,
            signaling_peer: self.sip.peer.map(|peer| peer.ip()),
            cname: self.cname.clone(),
            send_reports: !terms.rtcp_silent,
            srtp: None,
        })
    }
}

const fn media_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Text => "text",
        MediaKind::Application => "application",
        MediaKind::Message => "message",
        MediaKind::Image => "image",
        MediaKind::Other => "other",
    }
}
