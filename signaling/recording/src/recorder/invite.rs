//! The INVITE that begins a call: who is recorded, and what has to be there before the 200.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_control::limits::STREAMS_MAX;
use holdfast_manifest::{EndReason, Pause, PausedBy, SipDialog};
use holdfast_sip::endpoint::{CancelCause, ServerTx};
use holdfast_sip::{FlowInfo, Reply, Request, Status, Transport};
use holdfast_units::RecordingId;

use super::asking::Asking;
use super::call::{Asked, Call, Exchange, InDialog, Stage, Sync};
use super::content::{self, AGENT, Content};
use super::documents::{self, Documents};
use super::engine::Link;
use super::facts::{Carrier, Facts};
use super::marks::Marks;
use super::output::{Notice, RefusedBecause};
use super::proposal::{Proposal, Settled};
use super::replaces::SameSession;
use super::session_timer::SessionTimer;
use super::words::Word;
use super::{Now, Recorder, Refusal, Stopping, describe};
use crate::offer::{self, KeySeed, LocalPorts, Origin, Policy, Session, SrtpPolicy};

impl Recorder {
    pub(super) fn handle_invite(
        &mut self,
        now: Now,
        tx: ServerTx,
        request: Arc<Request>,
        source: FlowInfo,
    ) {
        self.statistics.invites += 1;
        let invite = InDialog {
            tx,
            request,
            source,
        };
        if let Err(refusal) = self.open(now, &invite) {
            self.refuse_invite(now, &invite, refusal);
        }
    }

    /// OPTIONS is answered as an INVITE would be, as far as the state of the server goes
    /// (RFC 3261 §11.2).
    pub(super) fn handle_options(
        &mut self,
        now: Now,
        tx: ServerTx,
        is_in_dialog: bool,
        request: &Request,
        source: &FlowInfo,
    ) {
        let reply = match self.readiness() {
            Err(refusal) if !is_in_dialog => *refusal.reply,
            Ok(()) | Err(_) => {
                Reply::new(Status::OK).header("Contact", self.contact(request, source))
            }
        };
        // Where it fails, the transaction is over and nobody waits.
        let _ = self.endpoint.respond(now.mono, tx, &reply);
    }

    pub(super) fn handle_cancelled(&mut self, now: Now, tx: ServerTx, cause: CancelCause) {
        if let Some(id) = self.call_by_tx.get(&tx).copied() {
            let reason = match cause {
                CancelCause::Cancelled | CancelCause::DialogEnded => EndReason::Cancel,
                CancelCause::Expired => EndReason::SipTimeout,
            };
            return self.end_call(now, id, reason);
        }
        let holds = |call: &&mut Call| {
            call.exchange()
                .is_some_and(|one| one.request.tx() == Some(tx))
        };
        if let Some(id) = self.calls.values_mut().find(holds).map(|call| call.id) {
            self.roll_back(now, id);
            return self.go_on(now, id);
        }
        self.searches.forget(tx);
        for call in self.calls.values_mut() {
            call.queue.retain(|waiting| waiting.tx != tx);
        }
    }

    /// Whether a further call is welcome.
    pub(super) fn readiness(&self) -> Result<(), Refusal> {
        if self.stopping != Stopping::No {
            return Err(self.unavailable(RefusedBecause::Stopping));
        }
        if self.is_draining {
            return Err(self.unavailable(RefusedBecause::Draining));
        }
        if self.keeping.refuses() {
            return Err(self.unavailable(RefusedBecause::StoreAway));
        }
        match &self.link {
            Link::Ready { unwilling: None } => {}
            Link::Ready {
                unwilling: Some(why),
            } => {
                return Err(self.unavailable(RefusedBecause::EngineUnwilling(*why)));
            }
            Link::Away | Link::Listing { .. } => {
                return Err(self.unavailable(RefusedBecause::EngineAway));
            }
        }
        let active = self.calls.values().filter(|call| call.is_active()).count();
        if active >= self.config.calls_max {
            return Err(self.unavailable(RefusedBecause::TooManyCalls));
        }
        Ok(())
    }

    /// 503 with Retry-After (RFC 3261 §21.5.4, RFC 3263 §4.3).
    pub(super) fn unavailable(&self, cause: RefusedBecause) -> Refusal {
        let seconds = self.config.endpoint.retry_after.as_secs().max(1);
        let reply = Reply::new(Status::UNAVAILABLE).header("Retry-After", seconds.to_string());
        Refusal::new(reply, cause)
    }

    /// 603: what an operator has declined is not to be tried elsewhere (RFC 3261 §21.6.2).
    pub(super) fn declined(&self) -> Refusal {
        let status = Status::new(603).unwrap_or(Status::FORBIDDEN);
        Refusal::new(Reply::new(status), RefusedBecause::Operator)
    }

    /// Begins a recording; the INVITE is answered when the engine has it.
    fn open(&mut self, now: Now, invite: &InDialog) -> Result<(), Refusal> {
        let request = &*invite.request;
        let marks = Marks::of(request);
        let config = self.config_of(&self.sender);
        marks.judge(&config)?;
        if let Some(named) = request.headers().replaces() {
            return self.replace(now, invite, marks, named);
        }
        self.readiness()?;
        let content = content::read(&config, request)?;
        let same = self.find_same(invite, &content);
        if let Some(id) = same.filter(|_| self.config.same_session == SameSession::Join) {
            return self.take_over(now, invite, marks, id);
        }
        let timer = SessionTimer::asked(&self.config, request.headers())?;
        let ground = self.prepare(now, &invite.source, &content)?;
        let beginning = Beginning {
            id: RecordingId::from_bytes(self.random()),
            request: Asked::Theirs(invite.clone()),
            head: request.head(),
            method: "INVITE",
            call_id: request.call_id(),
            sip: describe::dialog_of(request, &invite.source),
            words: marks.warnings(),
            knows_siprec: marks.knows_siprec(),
            asking: Asking::new(request.headers()),
            timer,
        };
        let mut call = self.assemble(now, beginning, &content, ground);
        if same.is_some() {
            call.warn(SESSION_ELSEWHERE);
        }
        self.begin(now, invite.source.remote, Some(invite.tx), call);
        Ok(())
    }

    /// Finds a shard and ports for what an INVITE asks for.
    pub(super) fn prepare(
        &mut self,
        now: Now,
        source: &FlowInfo,
        content: &Content,
    ) -> Result<Ground, Refusal> {
        let address = self.media_address(source);
        let session = self.new_session(address, source);
        let mut proposal = propose(&session, content)?;
        let wanting = proposal.wanting(address).len();
        if wanting == 0 && proposal.plan.streams().next().is_some() {
            return Err(no_family());
        }
        let no_ports = self.unavailable(RefusedBecause::NoPorts);
        let Some(shard) = self.ports.best_shard(now.mono, wanting) else {
            return Err(no_ports);
        };
        let is_found = self.find_ports(now, shard, address, 0, &mut proposal);
        let Some(Ok(settled)) = is_found.then(|| proposal.settle()) else {
            self.return_ports(now, &proposal);
            return Err(no_ports);
        };
        Ok(Ground {
            shard,
            address,
            session,
            proposal,
            settled,
        })
    }

    pub(super) fn assemble(
        &mut self,
        now: Now,
        beginning: Beginning<'_>,
        content: &Content,
        ground: Ground,
    ) -> Call {
        let Ground {
            shard,
            address,
            session,
            proposal,
            settled,
        } = ground;
        let mut documents = Documents::default();
        let file = keep(&mut documents, beginning.head, content, Head::Always);
        let session_is_paused = session.is_paused();
        let mut facts = Facts::new(session);
        for word in beginning.words {
            facts.warn(word);
        }
        if content.metadata.is_none() {
            facts.warn(("no_metadata", "the call began without metadata"));
        }
        let carrier = Carrier {
            method: beginning.method,
            file,
            arrival: now.wall,
            has_sdp: content.sdp.is_some(),
            is_in_dialog: false,
            call_id: beginning.call_id,
            peer: beginning.sip.peer,
        };
        let mut asking = beginning.asking;
        if let Some(metadata) = &content.metadata {
            asking.note_metadata(&metadata.content_type, metadata.dialect());
        }
        let pauses = match session_is_paused {
            true => vec![Pause::new(now.wall, PausedBy::Settings)],
            false => Vec::new(),
        };
        let ports = proposal.ports().collect();
        let exchange = Exchange {
            request: beginning.request,
            description: settled.description.clone(),
            facts: self.candidate(facts.clone(), content, &carrier, Some((&proposal, settled))),
            proposal,
            timer: beginning.timer,
            revision: 0,
            takes_over: None,
        };
        Call {
            id: beginning.id,
            shard,
            started: now.wall,
            address,
            cname: STANDARD.encode(self.random::<12>()),
            sender: self.sender.clone(),
            sip: self.known(beginning.sip),
            knows_siprec: beginning.knows_siprec,
            stage: Stage::Opening(Box::new(exchange)),
            dialog: None,
            facts,
            documents,
            sync: Sync {
                ports,
                is_dirty: true,
                ..Sync::default()
            },
            timer: None,
            heard: now.mono,
            asking,
            pauses,
            queue: VecDeque::new(),
            lingering: Vec::new(),
            formers: Vec::new(),
            continues: None,
            is_provisional: false,
            is_saved: false,
        }
    }

    /// A dialog, and who its peer was found to be. Who the peer says that its user is counts where the peer
    /// is trusted alone (S-91).
    pub(super) fn known(&self, said: SipDialog) -> SipDialog {
        let peer = self.admission.peer(&self.sender);
        let is_trusted = peer.is_some_and(|peer| peer.is_trusted);
        SipDialog {
            profile: peer.map(|peer| peer.name.clone()),
            user: self.sender.user.clone(),
            asserted: match is_trusted {
                true => said.asserted,
                false => Vec::new(),
            },
            ..said
        }
    }

    pub(super) fn begin(&mut self, now: Now, peer: SocketAddr, tx: Option<ServerTx>, call: Call) {
        let id = call.id;
        self.notice(Notice::CallStarted {
            recording: id,
            call_id: call.sip.call_id.clone(),
            peer,
        });
        self.calls.insert(id, call);
        if let Some(tx) = tx {
            self.call_by_tx.insert(tx, id);
        }
        self.await_engine(now, id);
        self.push(id);
    }

    pub(super) fn refuse_invite(&mut self, now: Now, invite: &InDialog, refusal: Refusal) {
        let status = refusal.reply.status;
        *self.statistics.refused.entry(status.code()).or_default() += 1;
        // Where it fails, a CANCEL was quicker.
        let _ = self.endpoint.respond(now.mono, invite.tx, &refusal.reply);
        self.notice(Notice::InviteRefused {
            call_id: invite.request.call_id().to_owned(),
            peer: invite.source.remote,
            status,
            cause: refusal.cause,
        });
    }

    /// Refuses an INVITE that waited for the engine; what the engine has of it ends.
    pub(super) fn refuse_opening(
        &mut self,
        now: Now,
        id: RecordingId,
        refusal: Refusal,
        reason: EndReason,
    ) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let Stage::Opening(exchange) = &call.stage else {
            return;
        };
        match exchange.request.clone() {
            Asked::Theirs(invite) => self.refuse_invite(now, &invite, refusal),
            Asked::Ours(client) => self.refuse_callee(now, id, client),
        }
        self.end_call(now, id, reason);
    }

    pub(super) fn new_session(&mut self, address: IpAddr, source: &FlowInfo) -> Session {
        let is_private = source.transport == Transport::Tls;
        self.sdp_session = self.sdp_session.wrapping_add(1);
        let config = self.config_of(&self.sender);
        let policy = Policy {
            streams_max: config.streams_per_call_max,
            encodings: config.codecs.clone(),
            labels: config.labels.clone(),
            srtp: SrtpPolicy {
                suites: match config.node_keys {
                    Some(_) => config.srtp.suites.clone(),
                    // The engine could not be told any.
                    None => Vec::new(),
                },
                takes_keys: is_private || config.srtp.takes_keys,
                ..config.srtp.clone()
            },
            ..Policy::default()
        };
        let origin = Origin {
            session_id: self.sdp_session,
            address,
        };
        let mut session = Session::new(&policy, origin, KeySeed::new(self.random()));
        session.set_paused(self.config.starts_paused);
        session
    }

    /// Finds ports for the streams of a proposal that have none; `false` where they do not suffice.
    pub(super) fn find_ports(
        &mut self,
        now: Now,
        shard: u16,
        address: IpAddr,
        streams_made: usize,
        proposal: &mut Proposal,
    ) -> bool {
        let wanting = proposal.wanting(address);
        if streams_made + wanting.len() > STREAMS_MAX {
            return false;
        }
        for slot in wanting {
            let random = u32::from_le_bytes(self.random());
            let Some(rtp) = self.ports.allocate(now.mono, shard, random) else {
                return false;
            };
            // The first port of a pair is even, so there is one above it.
            proposal.give(
                slot,
                LocalPorts {
                    address,
                    rtp,
                    rtcp: rtp | 1,
                },
            );
        }
        true
    }

    /// Gives back the ports of a proposal that the engine never heard of.
    pub(super) fn return_ports(&mut self, now: Now, proposal: &Proposal) {
        for port in proposal.ports() {
            self.ports.release(now.mono, port);
        }
    }

    /// The facts as a request would have them.
    pub(super) fn candidate(
        &mut self,
        mut facts: Facts,
        content: &Content,
        carrier: &Carrier<'_>,
        exchange: Option<(&Proposal, Settled)>,
    ) -> Facts {
        facts.note_content(content);
        if let Some(metadata) = &content.metadata {
            facts.merge(metadata, carrier);
        }
        if let Some((proposal, settled)) = exchange {
            facts.session = settled.session;
            facts.offered = settled.offered;
            facts.release_channels(&proposal.plan);
            facts.name_streams(&mut self.stream_ids);
            facts.note_streams();
            facts.note_refusals(&proposal.plan);
            for (line, reason) in proposal.plan.refusals() {
                let call_id = carrier.call_id.to_owned();
                self.notice(Notice::LineRefused {
                    call_id,
                    peer: carrier.peer,
                    line,
                    reason,
                });
            }
        }
        facts.assign_channels();
        facts
    }

    /// Contact of our answers (RFC 7866 §6.2: with `+sip.srs`).
    pub(super) fn contact(&self, request: &Request, source: &FlowInfo) -> String {
        let uri = self.endpoint.config().contact_for(source, request);
        format!("<{uri}>;+sip.srs")
    }

    pub(super) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        self.entropy.fill(&mut octets);
        octets
    }
}

/// The metadata speaks of a session that another recording has.
const SESSION_ELSEWHERE: Word = (
    "session_in_another_recording",
    "another call of the same peer records a session of the same id",
);

/// What the message that begins a call says of it.
pub(super) struct Beginning<'m> {
    pub(super) id: RecordingId,
    pub(super) request: Asked,
    pub(super) head: &'m [u8],
    /// As metadata documents name what carried them.
    pub(super) method: &'static str,
    pub(super) call_id: &'m str,
    pub(super) sip: SipDialog,
    /// What was tolerated.
    pub(super) words: Vec<Word>,
    pub(super) knows_siprec: bool,
    pub(super) asking: Asking,
    pub(super) timer: Option<SessionTimer>,
}

/// What a call is built on: where its streams are received.
pub(super) struct Ground {
    shard: u16,
    address: IpAddr,
    session: Session,
    proposal: Proposal,
    settled: Settled,
}

/// What the offer asks for, or our own offer where there is none.
pub(super) fn propose(session: &Session, content: &Content) -> Result<Proposal, Refusal> {
    match &content.sdp {
        Some(sdp) => {
            let plan = session
                .plan(&sdp.description)
                .map_err(|refusal| not_acceptable(&refusal))?;
            Ok(Proposal::answer(session.clone(), plan))
        }
        None => {
            let plan = session.plan_offer().map_err(|error| {
                let reply = Reply::new(Status::REQUEST_PENDING);
                Refusal::new(reply, RefusedBecause::Offer(error.to_string()))
            })?;
            Ok(Proposal::offer(session.clone(), plan))
        }
    }
}

fn not_acceptable(refusal: &offer::Refusal) -> Refusal {
    let warning = refusal.warning();
    let status = Status::new(refusal.status()).unwrap_or(Status::NOT_ACCEPTABLE_HERE);
    let reply = Reply::new(status).warning(warning.code, AGENT, &warning.text);
    Refusal::new(reply, RefusedBecause::Offer(warning.text))
}

/// Every stream is of another address family than we have (RFC 3261 §20.43: 300).
fn no_family() -> Refusal {
    let text = "media of this address family is not received here";
    let reply = Reply::new(Status::NOT_ACCEPTABLE_HERE).warning(300, AGENT, text);
    Refusal::new(reply, RefusedBecause::Offer(text.to_owned()))
}

/// Whether the head of a message is kept that carries nothing else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// It begins or ends the call: what it says of it stands nowhere else.
    Always,
    /// Only beside what it carries.
    WithBody,
}

/// Keeps what a message carries; gives the name of its metadata document.
pub(super) fn keep(
    documents: &mut Documents,
    head: &[u8],
    content: &Content,
    wanted: Head,
) -> Option<String> {
    if content.is_empty() && wanted == Head::WithBody {
        return None;
    }
    let number = documents.next_number();
    documents.keep(number, "sip", documents::redacted_head(head));
    if let Some(sdp) = &content.sdp {
        documents.keep(number, "sdp", documents::redacted_sdp(&sdp.bytes));
    }
    let metadata = content.metadata.as_ref()?;
    let is_kept = documents.keep(number, "xml", metadata.bytes.clone());
    is_kept.then(|| documents::file_name(number, "xml"))
}
