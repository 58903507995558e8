//! Calls that we place: recording sessions that the server starts (RFC 7866 §6.2, P-08, P-09).
//!
//! The INVITE has no session description; the client's 2xx has the offer, our ACK the answer. From
//! the 2xx on it is a call like all others, whose first exchange is concluded by the ACK.
//!
//! ```text
//!   Calling ──2xx with an offer──▶ a call that is opening ──Applied, ACK──▶ Up
//!      └──3xx–6xx, silence, CANCEL──▶ gone, and whoever asked is told
//! ```
//!
//! It follows no redirection and has no credentials: a 3xx and a 401 are reported like all others.

use std::net::SocketAddr;
use std::sync::Arc;

use holdfast_control::operator::{self, Refusal};
use holdfast_sip::endpoint::{ClientTx, DialogId, Draft};
use holdfast_sip::message::Uri;
use holdfast_sip::{FlowInfo, Method, Response, Status, Transport};
use holdfast_units::{MonoTime, RecordingId, WallTime};

use super::asking::Asking;
use super::call::{Asked, Stage};
use super::content::{self, Content};
use super::deadlines::Timer;
use super::describe;
use super::invite::Beginning;
use super::output::{Notice, Output, RefusedBecause};
use super::session_timer::SessionTimer;
use super::{Now, Recorder};
use crate::admission::Sender;
use crate::offer::Session;

/// Whom to call, as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The Request-URI.
    pub uri: String,
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    is_sips: bool,
}

/// A call of ours that has no 2xx yet.
#[derive(Debug)]
pub(super) struct Outgoing {
    order: Order,
    client: ClientTx,
    call_id: String,
}

/// What is to become of it.
#[derive(Debug)]
struct Order {
    id: RecordingId,
    started: WallTime,
    destination: Destination,
    way: FlowInfo,
    sender: Sender,
    timer: SessionTimer,
    /// Why it was given up, once it was.
    withdrawn: Option<Refusal>,
}

impl Destination {
    /// Reads a SIP or SIPS URI whose host is an address: names are not looked up.
    ///
    /// # Errors
    ///
    /// It is none, or has header fields.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let uri = Uri::parse(text.trim()).map_err(|_| Refusal::BadTarget)?;
        let is_fit = (uri.is_sip() || uri.is_sips()) && uri.headers().is_none();
        let ip = uri.ip().filter(|_| is_fit).ok_or(Refusal::BadTarget)?;
        let stated = uri.params().value("transport");
        let transport = match (uri.is_sips(), stated) {
            (true, _) => Transport::Tls,
            (false, None) => Transport::Udp,
            (false, Some(name)) => Transport::from_name(name).ok_or(Refusal::BadTarget)?,
        };
        let port = uri.port().unwrap_or(transport.default_port());
        if ip.is_unspecified() || ip.is_multicast() || port == 0 {
            return Err(Refusal::BadTarget);
        }
        Ok(Self {
            uri: uri.as_str().to_owned(),
            transport,
            address: (ip, port).into(),
            is_sips: uri.is_sips(),
        })
    }
}

impl Recorder {
    /// Calls a client to record what it has. `local` is the address of ours that it is to answer to.
    /// [`Output::Called`] says what came of it.
    ///
    /// # Errors
    ///
    /// Nobody by that address may be called, or no call is taken now.
    pub fn record(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        destination: Destination,
        local: SocketAddr,
    ) -> Result<RecordingId, Refusal> {
        let now = Now { mono: now, wall };
        let peer = self.admission.callee(destination.address.ip());
        let sender = Sender {
            peer: Some(peer.ok_or(Refusal::NotAllowed)?),
            user: None,
        };
        let is_full = self.statistics().calls + self.outgoing.len() >= self.config.calls_max;
        if is_full || self.readiness().is_err() {
            return Err(Refusal::Unavailable);
        }
        let order = Order {
            id: RecordingId::from_bytes(self.random()),
            started: now.wall,
            way: FlowInfo {
                transport: destination.transport,
                remote: destination.address,
                local,
            },
            destination,
            sender,
            timer: SessionTimer::wanted(self.config.session_expires),
            withdrawn: None,
        };
        let id = order.id;
        self.place(now, order)?;
        self.await_callee(now, id);
        self.drain(now);
        Ok(id)
    }

    fn place(&mut self, now: Now, order: Order) -> Result<(), Refusal> {
        let config = self.endpoint.config();
        let is_secure = order.destination.is_sips;
        let contact = config.contact_uri(&order.way, is_secure);
        let draft = Draft::new(Method::Invite)
            .header("Contact", format!("<{contact}>;+sip.srs"))
            .header("Require", "siprec")
            .header("Supported", config.supported.join(", "))
            .header("Allow", config.allow_value())
            .header("Accept", content::accepted());
        let draft = order.timer.ask(draft);
        let (uri, way) = (&order.destination.uri, &order.way);
        let placed = self
            .endpoint
            .invite(now.mono, uri, way, draft, self.entropy.as_mut());
        let (dialog, client) = placed.map_err(|_| Refusal::Unavailable)?;
        let call_id = self.endpoint.dialog(dialog).map(|it| &it.key.call_id);
        let outgoing = Outgoing {
            call_id: call_id.cloned().unwrap_or_default(),
            order,
            client,
        };
        self.outgoing.insert(dialog, outgoing);
        Ok(())
    }

    /// Takes a response to an INVITE of ours outside of any dialog; `false` where it is to another.
    pub(super) fn handle_callee(
        &mut self,
        now: Now,
        dialog: DialogId,
        client: ClientTx,
        response: &Response,
    ) -> bool {
        let is_its = |outgoing: &Outgoing| outgoing.client == client;
        if !self.outgoing.get(&dialog).is_some_and(is_its) {
            return false;
        }
        let status = response.status();
        if status.is_provisional() {
            return true;
        }
        let Some(outgoing) = self.outgoing.remove(&dialog) else {
            return true;
        };
        self.deadlines.stop(outgoing.order.id, Timer::Callee);
        if status.is_success() {
            self.take_callee(now, dialog, outgoing, response);
            return true;
        }
        let longer = response.headers().min_se();
        let longer = longer.and_then(|seconds| outgoing.order.timer.lengthened(seconds));
        match longer.filter(|_| status == Status::INTERVAL_TOO_SMALL) {
            // RFC 4028 §7.3.
            Some(timer) if outgoing.order.withdrawn.is_none() => {
                let id = outgoing.order.id;
                let again = Order {
                    timer,
                    ..outgoing.order
                };
                match self.place(now, again) {
                    Ok(()) => self.await_callee(now, id),
                    Err(reason) => self.report(id, Err(reason)),
                }
            }
            Some(_) | None => {
                let rejected = Refusal::Rejected {
                    status: status.code(),
                };
                self.report(
                    outgoing.order.id,
                    Err(outgoing.order.withdrawn.unwrap_or(rejected)),
                );
            }
        }
        true
    }

    /// No answer will come.
    pub(super) fn lose_callee(&mut self, dialog: DialogId) {
        if let Some(outgoing) = self.outgoing.remove(&dialog) {
            self.deadlines.stop(outgoing.order.id, Timer::Callee);
            let reason = outgoing.order.withdrawn.unwrap_or(Refusal::Unanswered);
            self.report(outgoing.order.id, Err(reason));
        }
    }

    /// Gives up a call that has no answer; `false` where there is none of that name.
    pub(super) fn withdraw(&mut self, now: Now, id: RecordingId, reason: Refusal) -> bool {
        let mut all = self.outgoing.values_mut();
        let Some(outgoing) = all.find(|outgoing| outgoing.order.id == id) else {
            return false;
        };
        let client = outgoing.client;
        outgoing.order.withdrawn.get_or_insert(reason);
        self.deadlines.stop(id, Timer::Callee);
        self.endpoint.withdraw(now.mono, client);
        true
    }

    /// Gives up all of them.
    pub(super) fn withdraw_all(&mut self, now: Now) {
        let ids: Vec<_> = self.outgoing.values().map(|it| it.order.id).collect();
        for id in ids {
            self.withdraw(now, id, Refusal::Ended);
        }
    }

    /// The client has accepted: what it offers is recorded, or refused by an answer and a BYE.
    fn take_callee(&mut self, now: Now, dialog: DialogId, outgoing: Outgoing, response: &Response) {
        let id = outgoing.order.id;
        self.sender = outgoing.order.sender.clone();
        let content = content::read_answer(&self.config_of(&self.sender), response);
        let unfit = match (outgoing.order.withdrawn, &content.sdp) {
            (Some(reason), _) => Some(reason),
            (None, None) => Some(Refusal::Unusable),
            (None, Some(_)) => self.readiness().err().map(|_| Refusal::Unavailable),
        };
        if let Some(reason) = unfit {
            self.decline(now, outgoing.client, dialog, &outgoing.order.way, &content);
            return self.report(id, Err(reason));
        }
        let ground = match self.prepare(now, &outgoing.order.way, &content) {
            Ok(ground) => ground,
            Err(refusal) => {
                self.decline(now, outgoing.client, dialog, &outgoing.order.way, &content);
                let reason = match refusal.cause {
                    RefusedBecause::NoPorts => Refusal::Unavailable,
                    _ => Refusal::Unusable,
                };
                return self.report(id, Err(reason));
            }
        };
        let mut asking = Asking::new(response.headers());
        if let Some(metadata) = &content.metadata {
            asking.note_metadata(&metadata.content_type, metadata.dialect());
        }
        let beginning = Beginning {
            id,
            request: Asked::Ours(outgoing.client),
            head: response.head(),
            method: "200 INVITE",
            call_id: response.call_id(),
            sip: describe::dialog_with(response, &outgoing.order.way),
            words: Vec::new(),
            // It was required, and the INVITE was accepted.
            knows_siprec: true,
            asking,
            timer: outgoing.order.timer.granted(response.headers()),
        };
        let mut call = self.assemble(now, beginning, &content, ground);
        call.started = now.wall;
        call.dialog = Some(dialog);
        self.call_by_dialog.insert(dialog, id);
        self.begin(now, outgoing.order.way.remote, None, call);
    }

    /// RFC 3261 §13.2.2.4: a 2xx that is not wanted is acknowledged all the same, "MUST generate a
    /// valid answer in the ACK and then send a BYE immediately".
    fn decline(
        &mut self,
        now: Now,
        client: ClientTx,
        dialog: DialogId,
        way: &FlowInfo,
        content: &Content,
    ) {
        let address = self.media_address(way);
        let session = self.new_session(address, way);
        let answer = refusing(session, content);
        let body = answer.as_deref().map(|answer| ("application/sdp", answer));
        let _ = self.endpoint.acknowledge_in(client, dialog, body);
        self.say_bye(now, dialog, "not recorded");
    }

    /// Another client has accepted the same INVITE: one recording is enough.
    pub(super) fn handle_forked(
        &mut self,
        now: Now,
        client: ClientTx,
        dialog: DialogId,
        response: &Arc<Response>,
    ) {
        let made = self.endpoint.dialog(dialog);
        let way = made.map(|made| FlowInfo {
            transport: made.transport,
            remote: made.peer,
            local: made.local,
        });
        let content = content::read_answer(&self.config, response);
        if let Some(way) = way {
            self.decline(now, client, dialog, &way, &content);
        }
    }

    /// The engine does not take a call of ours: its client is told by the answer that says no.
    pub(super) fn refuse_callee(&mut self, now: Now, id: RecordingId, client: ClientTx) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let (Stage::Opening(exchange), Some(dialog)) = (&call.stage, call.dialog) else {
            return;
        };
        let mut proposal = exchange.proposal.clone();
        proposal.give_up_all();
        let answer = proposal.settle().ok().map(|settled| settled.description);
        let body = answer.as_deref().map(|answer| ("application/sdp", answer));
        let _ = self.endpoint.acknowledge(client, body);
        self.say_bye(now, dialog, "not recorded");
    }

    /// Tells whoever asked what came of it.
    pub(super) fn report(&mut self, recording: RecordingId, outcome: Result<(), Refusal>) {
        if let Err(reason) = outcome {
            self.notice(Notice::NotCalled { recording, reason });
        }
        self.outputs
            .push_back(Output::Called { recording, outcome });
    }

    /// How operators see those that have no answer yet.
    pub(super) fn callees(&self) -> impl Iterator<Item = operator::Call> {
        self.outgoing.values().map(|outgoing| operator::Call {
            id: outgoing.order.id,
            call_id: outgoing.call_id.clone(),
            started: outgoing.order.started,
            stage: operator::Stage::Opening,
            peer: Some(outgoing.order.destination.address),
            transport: outgoing.order.destination.transport.to_string(),
            user_agent: None,
            is_paused: false,
            is_in_force: false,
            is_agreed: false,
            participants: Vec::new(),
            streams: Vec::new(),
            warnings: Vec::new(),
        })
    }
}

/// An answer that refuses every line of an offer.
fn refusing(mut session: Session, content: &Content) -> Option<Vec<u8>> {
    let offer = &content.sdp.as_ref()?.description;
    Some(session.refuse(offer))
}
