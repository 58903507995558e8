//! The layer that owns transactions and dialogs.
//!
//! Feed it messages, closed flows and time; drain [`Endpoint::poll_output`] after each, in order.
//! It answers alone what needs no judgement about recordings (syntax, unknown dialogs, unknown
//! methods and extensions, CANCEL, copies) and hands the rest up as [`Event`]s.
//!
//! It refuses to resolve names: a next hop that is a name is reached over the flow by which the
//! peer last spoke.
//!
//! Invariant: every transaction that was handed up is answered exactly once, by the layer above
//! or by the endpoint, and then says so by an error.

mod answers;
mod clients;
mod config;
mod deadlines;
mod dialogs;
mod event;
mod gate;
mod in_dialog;
mod invitations;
mod kept;
mod keys;
mod lost_flow;
mod responses;
mod servers;
mod stateless;

use std::collections::{BTreeMap, VecDeque};

use holdfast_units::MonoTime;

pub use config::{Advertised, EndpointConfig};
pub use event::{
    CancelCause, ClientTx, DialogId, Draft, Event, FailureCause, GoneCause, MalformedFault, Output,
    Owner, RequestError, RespondError, ServerTx,
};

pub use gate::{Gate, OpenGate, Verdict};
pub use kept::KeptDialog;

use crate::Bytes;
use crate::datagram::{Datagram, classify};
use crate::dialog::{Dialog, DialogKey};
use crate::entropy::Entropy;
use crate::message::{Message, Method};
use crate::stream::BrokenStream;
use crate::transport::{Flow, FlowInfo, Target, Transport};
use clients::ClientEntry;
use deadlines::Deadlines;
use dialogs::DialogEntry;
use kept::Recalled;
use keys::{MergeKey, ServerKey};
use servers::ServerEntry;

/// A SIP user agent without I/O.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    outputs: VecDeque<Output>,
    deadlines: Deadlines<TimerKey>,
    /// Connections that are known to be open.
    connections: BTreeMap<Flow, FlowInfo>,
    servers: BTreeMap<ServerTx, ServerEntry>,
    server_by_key: BTreeMap<ServerKey, ServerTx>,
    server_by_merge: BTreeMap<MergeKey, ServerTx>,
    clients: BTreeMap<ClientTx, ClientEntry>,
    client_by_branch: BTreeMap<(String, Method), ClientTx>,
    dialogs: BTreeMap<DialogId, DialogEntry>,
    dialog_by_key: BTreeMap<DialogKey, DialogId>,
    /// Dialogs that have ended, and until when that is remembered.
    tombstones: BTreeMap<DialogKey, MonoTime>,
    tombstones_by_age: VecDeque<(MonoTime, DialogKey)>,
    recalled: Recalled,
    /// INVITEs handed up that have made no dialog yet.
    undecided: usize,
    next_number: u64,
}

/// Whose deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TimerKey {
    Server(ServerTx),
    Client(ClientTx),
    Dialog(DialogId),
}

impl Endpoint {
    /// An endpoint without any transaction.
    pub const fn new(config: EndpointConfig) -> Self {
        Self {
            config,
            outputs: VecDeque::new(),
            deadlines: Deadlines::new(),
            connections: BTreeMap::new(),
            servers: BTreeMap::new(),
            server_by_key: BTreeMap::new(),
            server_by_merge: BTreeMap::new(),
            clients: BTreeMap::new(),
            client_by_branch: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            dialog_by_key: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            tombstones_by_age: VecDeque::new(),
            recalled: Recalled::new(),
            undecided: 0,
            next_number: 1,
        }
    }

    /// A datagram, or a message that a [`StreamFramer`](crate::stream::StreamFramer) cut out, from
    /// whomever.
    pub fn handle_message(
        &mut self,
        now: MonoTime,
        flow: Flow,
        source: &FlowInfo,
        bytes: &[u8],
        rng: &mut dyn Entropy,
    ) {
        self.handle_message_at(now, flow, source, bytes, rng, &mut OpenGate);
    }

    /// The same, for those that `gate` lets in.
    pub fn handle_message_at(
        &mut self,
        now: MonoTime,
        flow: Flow,
        source: &FlowInfo,
        bytes: &[u8],
        rng: &mut dyn Entropy,
        gate: &mut dyn Gate,
    ) {
        let bytes = if source.transport.is_reliable() {
            self.connections.insert(flow, *source);
            bytes
        } else {
            match classify(bytes) {
                Datagram::Message(message) | Datagram::Junk(message) => message,
                Datagram::Keepalive | Datagram::Stun => return,
            }
        };
        match Message::parse_within(bytes, &self.config.limits) {
            Ok(Message::Request(request)) => {
                self.handle_request(now, (flow, *source), request, rng, gate);
            }
            Ok(Message::Response(response)) => {
                self.handle_response(now, (flow, *source), response);
            }
            Err(error) => {
                let is_answered = gate.answers_malformed(now, source);
                self.refuse_malformed((flow, *source), &error, is_answered);
            }
        }
    }

    /// A stream lost its framing: answers if that is possible, and closes the connection.
    pub fn handle_broken_stream(&mut self, flow: Flow, source: &FlowInfo, broken: &BrokenStream) {
        self.connections.insert(flow, *source);
        let answered = broken
            .refusal
            .as_ref()
            .and_then(|refusal| self.answer_malformed((flow, *source), refusal));
        self.connections.remove(&flow);
        self.emit(Event::Malformed {
            fault: MalformedFault::Stream(broken.fault),
            answered,
            source: *source,
        });
        self.outputs.push_back(Output::CloseFlow(flow));
    }

    /// Whether a dialog would send its next request on this connection.
    pub fn uses_flow(&self, flow: Flow) -> bool {
        self.dialogs
            .values()
            .any(|entry| entry.dialog.flow == Some(flow))
    }

    /// A connection is gone. Dialogs outlive it (RFC 3261 §12), responses and requests that are not
    /// answered look for another way.
    pub fn handle_flow_closed(&mut self, _now: MonoTime, flow: Flow) {
        self.connections.remove(&flow);
        self.move_clients(flow);
    }

    /// Something could not be sent.
    pub fn handle_transport_error(&mut self, now: MonoTime, owner: Owner) {
        match owner {
            Owner::Server(tx) => self.fail_server(now, tx),
            Owner::Client(client) => self.fail_client(now, client),
            // The next copy of the 2xx tries again; its ACK, or the lack of it, decides.
            Owner::Dialog(_) | Owner::Stateless => {}
        }
    }

    /// Lets time pass. Call it when [`Endpoint::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: MonoTime) {
        self.forget_tombstones(now);
        // Each expired deadline is set anew strictly after `now` or not at all, so this ends.
        while let Some(key) = self.deadlines.expired(now) {
            match key {
                TimerKey::Server(tx) => self.expire_server(now, tx),
                TimerKey::Client(client) => self.expire_client(now, client),
                TimerKey::Dialog(dialog) => self.expire_dialog(now, dialog),
            }
        }
    }

    /// When [`Endpoint::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        self.deadlines.next()
    }

    /// What to do next; in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The configuration.
    pub const fn config(&self) -> &EndpointConfig {
        &self.config
    }

    /// Announces other addresses from now on; a dialog's peer learns of them with our next Contact.
    pub fn replace_advertised(&mut self, advertised: Vec<Advertised>) {
        self.config.advertised = advertised;
    }

    /// Transactions alive, of both kinds.
    pub fn transaction_count(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    /// Dialogs alive.
    pub fn dialog_count(&self) -> usize {
        self.dialogs.len()
    }

    /// A dialog.
    pub fn dialog(&self, id: DialogId) -> Option<&Dialog> {
        self.dialogs.get(&id).map(|entry| &entry.dialog)
    }

    /// The dialog of that identity.
    pub fn dialog_by_key(&self, key: &DialogKey) -> Option<DialogId> {
        self.dialog_by_key.get(key).copied()
    }

    /// Whether a dialog of that identity ended within the last 64*T1.
    pub fn has_tombstone(&self, key: &DialogKey) -> bool {
        self.tombstones.contains_key(key)
    }

    fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn transmit(&mut self, to: Target, bytes: Bytes, owner: Owner) {
        self.outputs
            .push_back(Output::Transmit { to, bytes, owner });
    }

    fn is_full(&self) -> bool {
        self.transaction_count() >= self.config.limits.transactions_max
    }

    /// Where a response goes now: on the connection of the request as long as it is open.
    fn reply_target(&self, route: &ReplyRoute) -> Target {
        let transport = route.transport;
        if transport.is_reliable() && self.connections.contains_key(&route.flow) {
            return Target::Flow(route.flow);
        }
        let local = (!transport.is_reliable()).then_some(route.local);
        Target::Address {
            transport,
            remote: route.address,
            local,
        }
    }
}

/// How the response to a request travels (RFC 3261 §18.2.2).
#[derive(Clone, Copy, Debug)]
struct ReplyRoute {
    flow: Flow,
    transport: Transport,
    /// Where to, when there is no connection.
    address: std::net::SocketAddr,
    local: std::net::SocketAddr,
}

/// Where a message came from.
type Origin = (Flow, FlowInfo);
