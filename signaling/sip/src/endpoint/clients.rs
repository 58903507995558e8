//! Requests of ours in a dialog: built and sent.

use holdfast_units::MonoTime;

use super::Endpoint;
use super::event::{ClientTx, DialogId, Draft, GoneCause, Owner, RequestError};
use crate::Bytes;
use crate::dialog::{Dialog, Phase};
use crate::entropy::{Entropy, token};
use crate::message::{COOKIE, Method, RequestFrame, Response, Uri, Via};
use crate::transaction::{Client, ClientInvite, Reliability};
use crate::transport::{Target, Transport};

/// A request of ours and what became of it.
#[derive(Debug)]
pub(super) struct ClientEntry {
    pub(super) machine: Machine,
    pub(super) dialog: DialogId,
    pub(super) sent: Sent,
    /// The 2xx responses to an INVITE and their ACKs: one, or of each branch that it was forked to.
    pub(super) accepted: Vec<Accepted>,
    /// The INVITE had a body, so the ACK needs none and leaves by itself.
    pub(super) acks_alone: bool,
    /// Whether an INVITE is to be cancelled.
    pub(super) withdrawal: Withdrawal,
}

/// A 2xx to an INVITE of ours.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Its To tag; empty for a peer that predates tags.
    pub(super) tag: String,
    /// Its ACK, for further copies of it.
    pub(super) ack: Option<(Target, Bytes)>,
}

/// RFC 3261 §9.1: "If no provisional response has been received, the CANCEL request MUST NOT be
/// sent; rather, the client MUST wait for the arrival of a provisional response".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withdrawal {
    No,
    /// With the next provisional response.
    Wanted,
    Sent,
}

#[derive(Debug)]
pub(super) enum Machine {
    Invite(ClientInvite),
    Other(Client),
}

/// What was sent, as far as an ACK to a failure repeats it (RFC 3261 §17.1.1.3).
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) uri: String,
    pub(super) via: String,
    pub(super) branch: String,
    pub(super) routes: Vec<String>,
    pub(super) from: String,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) target: Target,
}

/// A BYE that waits for the ACK of our 2xx, or for its timeout (RFC 3261 §15).
#[derive(Debug)]
pub(super) struct DeferredBye {
    pub(super) client: ClientTx,
    draft: Draft,
    branch: String,
}

impl Endpoint {
    /// Sends a request in a dialog. Contact is added to INVITE and UPDATE where the draft has
    /// none. A BYE waits until our 2xx is acknowledged or given up. The ACK of a 2xx to an INVITE
    /// leaves by itself if the INVITE had a body; otherwise call [`Endpoint::acknowledge`].
    pub fn request(
        &mut self,
        now: MonoTime,
        id: DialogId,
        draft: Draft,
        rng: &mut dyn Entropy,
    ) -> Result<ClientTx, RequestError> {
        let is_invite = draft.method == Method::Invite;
        if matches!(draft.method, Method::Ack | Method::Cancel) {
            return Err(RequestError::Method);
        }
        if self.is_full() {
            return Err(RequestError::Exhausted);
        }
        let has_their_invite = self.dialogs.get(&id).is_some_and(|entry| {
            entry
                .pending
                .iter()
                .any(|tx| self.servers.get(tx).is_some_and(|s| s.is_invite()))
        });
        let has_their_offer = self.dialogs.get(&id).is_some_and(|entry| {
            entry
                .pending
                .iter()
                .filter_map(|tx| self.servers.get(tx)?.request.as_ref())
                .any(|request| request.has_sdp())
        });
        let client = ClientTx(self.number());
        let entry = self
            .dialogs
            .get_mut(&id)
            .ok_or(RequestError::UnknownDialog)?;
        if entry.dialog.phase == Phase::Terminating || entry.deferred_bye.is_some() {
            return Err(RequestError::UnknownDialog);
        }
        // RFC 3261 §14.1: of theirs, one whose 2xx has no ACK yet is in progress too.
        let is_theirs = has_their_invite || !entry.unconfirmed.is_empty();
        if is_invite && (is_theirs || entry.invite_client.is_some()) {
            return Err(RequestError::InvitePending);
        }
        if draft.has_sdp() && (has_their_offer || entry.offer_client.is_some()) {
            return Err(RequestError::OfferPending);
        }
        let branch = format!("{COOKIE}{}", token::<16>(rng));
        entry.clients.insert(client);
        if draft.method == Method::Bye {
            if entry.dialog.phase == Phase::Early {
                entry.clients.remove(&client);
                return Err(RequestError::Early);
            }
            if !entry.unconfirmed.is_empty() {
                entry.deferred_bye = Some(DeferredBye {
                    client,
                    draft,
                    branch,
                });
                return Ok(client);
            }
        }
        self.send_request(now, id, client, draft, branch)
            .inspect_err(|_| {
                if let Some(entry) = self.dialogs.get_mut(&id) {
                    entry.clients.remove(&client);
                }
            })?;
        Ok(client)
    }

    /// Sends the ACK of a 2xx to an INVITE of ours that had no body: `body` is our answer.
    pub fn acknowledge(
        &mut self,
        client: ClientTx,
        body: Option<(&str, &[u8])>,
    ) -> Result<(), RequestError> {
        let entry = self
            .clients
            .get(&client)
            .ok_or(RequestError::UnknownDialog)?;
        if entry.sent.method != Method::Invite {
            return Err(RequestError::Method);
        }
        let dialog = entry.dialog;
        let body = body.map(|(kind, octets)| (kind.to_owned(), octets.to_vec()));
        self.send_ack(client, dialog, body.as_ref())
            .ok_or(RequestError::UnknownDialog)
    }

    pub(super) fn send_deferred_bye(&mut self, now: MonoTime, id: DialogId) {
        let Some(entry) = self.dialogs.get_mut(&id) else {
            return;
        };
        if !entry.unconfirmed.is_empty() {
            return;
        }
        let Some(DeferredBye {
            client,
            draft,
            branch,
        }) = entry.deferred_bye.take()
        else {
            return;
        };
        if self.send_request(now, id, client, draft, branch).is_err() {
            self.remove_dialog(now, id, GoneCause::ByeUnanswered);
        }
    }

    pub(super) fn send_request(
        &mut self,
        now: MonoTime,
        id: DialogId,
        client: ClientTx,
        mut draft: Draft,
        branch: String,
    ) -> Result<(), RequestError> {
        let entry = self
            .dialogs
            .get_mut(&id)
            .ok_or(RequestError::UnknownDialog)?;
        let cseq = entry.dialog.next_cseq().ok_or(RequestError::Exhausted)?;
        let path = entry.dialog.path();
        let (target, transport) = next_hop(&entry.dialog, path.next_hop.as_ref(), |flow| {
            self.connections.contains_key(flow)
        });
        let refreshes = matches!(draft.method, Method::Invite | Method::Update);
        if refreshes && !draft.has("Contact") {
            let source = source_of(&entry.dialog, transport);
            let uri = self.config.contact_uri(&source, entry.dialog.is_secure);
            draft = draft.header("Contact", format!("<{uri}>"));
        }
        let sent_by = self.config.sent_by(transport, entry.dialog.local);
        let sent = Sent {
            method: draft.method.clone(),
            uri: path.request_uri,
            via: Via::own(transport, &sent_by, &branch),
            branch,
            routes: path.routes,
            from: entry.dialog.local_address(),
            call_id: entry.dialog.key.call_id.clone(),
            cseq,
            target,
        };
        let to = entry.dialog.remote_address();
        let bytes = sent.render(&draft.method, &to, &draft.headers, draft.body.as_ref());
        match draft.method {
            Method::Bye => entry.dialog.phase = Phase::Terminating,
            Method::Invite => entry.invite_client = Some(client),
            _ => {}
        }
        if draft.has_sdp() {
            entry.offer_client = Some(client);
        }
        self.open_client(
            now,
            id,
            client,
            sent,
            bytes,
            draft.body.is_some(),
            transport,
        );
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one entry, built in one place"
    )]
    pub(super) fn open_client(
        &mut self,
        now: MonoTime,
        dialog: DialogId,
        client: ClientTx,
        sent: Sent,
        bytes: Bytes,
        acks_alone: bool,
        transport: Transport,
    ) {
        let timers = self.config.timers;
        let reliability = match transport.is_reliable() {
            true => Reliability::Reliable,
            false => Reliability::Unreliable,
        };
        let machine = if sent.method == Method::Invite {
            Machine::Invite(ClientInvite::new(now, timers, reliability, bytes.clone()))
        } else {
            Machine::Other(Client::new(now, timers, reliability, bytes.clone()))
        };
        self.transmit(sent.target, bytes, Owner::Client(client));
        let key = (sent.branch.clone(), sent.method.clone());
        self.client_by_branch.insert(key, client);
        let entry = ClientEntry {
            machine,
            dialog,
            sent,
            accepted: Vec::new(),
            acks_alone,
            withdrawal: Withdrawal::No,
        };
        self.clients.insert(client, entry);
        self.settle_client(client);
    }

    /// RFC 3261 §13.2.2.4: the ACK of a 2xx is a request of the dialog with the CSeq number of
    /// the INVITE.
    pub(super) fn send_ack(
        &mut self,
        client: ClientTx,
        dialog: DialogId,
        body: Option<&(String, Vec<u8>)>,
    ) -> Option<()> {
        let entry = self.clients.get_mut(&client)?;
        let made = dialog;
        let dialog = &self.dialogs.get(&made)?.dialog;
        let tag = &dialog.key.remote_tag;
        let at = entry.accepted.iter().position(|one| one.tag == *tag)?;
        // Each ACK is a transaction of its own; its branch needs no chance of its own.
        let branch = format!("{}a{at}", entry.sent.branch);
        let path = dialog.path();
        let (target, transport) = next_hop(dialog, path.next_hop.as_ref(), |flow| {
            self.connections.contains_key(flow)
        });
        let sent_by = self.config.sent_by(transport, dialog.local);
        let bytes = RequestFrame {
            method: &Method::Ack,
            uri: &path.request_uri,
            via: &Via::own(transport, &sent_by, &branch),
            routes: &path.routes,
            from: &dialog.local_address(),
            to: &dialog.remote_address(),
            call_id: &dialog.key.call_id,
            cseq: entry.sent.cseq,
            headers: &[],
            body,
        }
        .render();
        entry.accepted.get_mut(at)?.ack = Some((target, bytes.clone()));
        self.transmit(target, bytes, Owner::Dialog(made));
        Some(())
    }
}

impl Sent {
    pub(super) fn render(
        &self,
        method: &Method,
        to: &str,
        headers: &[(String, String)],
        body: Option<&(String, Vec<u8>)>,
    ) -> Bytes {
        RequestFrame {
            method,
            uri: &self.uri,
            via: &self.via,
            routes: &self.routes,
            from: &self.from,
            to,
            call_id: &self.call_id,
            cseq: self.cseq,
            headers,
            body,
        }
        .render()
    }

    /// The CANCEL of an INVITE.
    pub(super) fn cancelling(&self) -> Self {
        Self {
            method: Method::Cancel,
            uri: self.uri.clone(),
            via: self.via.clone(),
            branch: self.branch.clone(),
            routes: self.routes.clone(),
            from: self.from.clone(),
            call_id: self.call_id.clone(),
            cseq: self.cseq,
            target: self.target,
        }
    }

    /// RFC 3261 §17.1.1.3: Call-ID, From, Request-URI, Via and Route of the request, To of the
    /// response.
    pub(super) fn ack_of_failure(&self, response: &Response) -> Bytes {
        let to = response.headers().first("To").unwrap_or_default();
        self.render(&Method::Ack, to, &[], None)
    }
}

/// Where a request of ours goes. A live connection of the peer is used whatever its URI says,
/// since the way back may be the only one through a NAT; a next hop that is a name is taken to be
/// where the peer last spoke from. To a `sips` URI, and in a dialog that began as one, all goes by
/// TLS and nothing else (§26.2.2).
pub(super) fn next_hop(
    dialog: &Dialog,
    uri: Option<&Uri>,
    is_open: impl Fn(&crate::transport::Flow) -> bool,
) -> (Target, Transport) {
    let must_be_tls = dialog.is_secure || uri.is_some_and(Uri::is_sips);
    let is_fit = !must_be_tls || dialog.transport == Transport::Tls;
    if let Some(flow) = dialog.flow.filter(|flow| is_fit && is_open(flow)) {
        return (Target::Flow(flow), dialog.transport);
    }
    let transport = match must_be_tls {
        true => Transport::Tls,
        false => uri.and_then(Uri::transport).unwrap_or(dialog.transport),
    };
    let ip = uri.and_then(|uri| {
        let maddr = uri
            .params()
            .value("maddr")
            .and_then(|maddr| maddr.parse().ok());
        maddr.or_else(|| uri.ip())
    });
    let remote = match (ip, uri.and_then(Uri::port)) {
        (Some(ip), port) => (ip, port.unwrap_or(transport.default_port())).into(),
        // The port a peer connects from is not one it listens on.
        (None, port) if transport.is_reliable() => {
            (dialog.peer.ip(), port.unwrap_or(transport.default_port())).into()
        }
        (None, _) => dialog.peer,
    };
    let is_local = transport == Transport::Udp && dialog.local.is_ipv4() == remote.is_ipv4();
    let local = is_local.then_some(dialog.local);
    (
        Target::Address {
            transport,
            remote,
            local,
        },
        transport,
    )
}

fn source_of(dialog: &Dialog, transport: Transport) -> crate::transport::FlowInfo {
    crate::transport::FlowInfo {
        transport,
        remote: dialog.peer,
        local: dialog.local,
    }
}
