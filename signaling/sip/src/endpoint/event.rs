//! What goes in and out of an endpoint.

use std::sync::Arc;

use crate::Bytes;
use crate::message::{Method, ParseFault, Request, Response, Status};
use crate::stream::StreamFault;
use crate::transport::{Flow, FlowInfo, Target};

/// A request of a peer that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerTx(pub(super) u64);

/// A request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientTx(pub(super) u64);

/// A dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialogId(pub(super) u64);

/// What the shell or the call logic must do next, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send these octets.
    Transmit {
        /// Where to.
        to: Target,
        /// One message.
        bytes: Bytes,
        /// What to name when sending fails.
        owner: Owner,
    },
    /// Close the connection once what was sent to it has left.
    CloseFlow(Flow),
    /// For the call logic.
    Event(Event),
}

/// What a transmitted message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A response.
    Server(ServerTx),
    /// A request of ours, or the ACK of its refusal.
    Client(ClientTx),
    /// A 2xx to an INVITE, or the ACK of one.
    Dialog(DialogId),
    /// An answer that nothing is remembered of.
    Stateless,
}

/// What happened. Requests with a `tx` wait for [`respond`](super::Endpoint::respond), or for
/// [`accept_invite`](super::Endpoint::accept_invite).
///
/// For every dialog that an event named, `DialogGone` is the last one to name it.
#[derive(Clone, Debug)]
pub enum Event {
    /// An INVITE outside of any dialog.
    Invite {
        /// To answer by.
        tx: ServerTx,
        /// The request.
        request: Arc<Request>,
        /// Where it came from.
        source: FlowInfo,
    },
    /// An INVITE in a dialog.
    Reinvite {
        /// To answer by.
        tx: ServerTx,
        /// The dialog.
        dialog: DialogId,
        /// The request.
        request: Arc<Request>,
        /// Where it came from.
        source: FlowInfo,
    },
    /// An UPDATE.
    Update {
        /// To answer by.
        tx: ServerTx,
        /// The dialog.
        dialog: DialogId,
        /// The request.
        request: Arc<Request>,
        /// Where it came from.
        source: FlowInfo,
    },
    /// A BYE. Requests of the dialog that were unanswered have got 487; once this is answered,
    /// `DialogGone` follows.
    Bye {
        /// To answer by.
        tx: ServerTx,
        /// The dialog.
        dialog: DialogId,
        /// The request; its body may have metadata.
        request: Arc<Request>,
        /// Where it came from.
        source: FlowInfo,
    },
    /// An OPTIONS, in a dialog or outside.
    Options {
        /// To answer by.
        tx: ServerTx,
        /// The dialog, if any.
        dialog: Option<DialogId>,
        /// The request.
        request: Arc<Request>,
        /// Where it came from.
        source: FlowInfo,
    },
    /// Another method that the configuration allows, in a dialog: PRACK, INFO.
    InDialogOther {
        /// To answer by.
        tx: ServerTx,
        /// The dialog.
        dialog: DialogId,
        /// The request.
        request: Arc<Request>,
        /// Where it came from.
        source: FlowInfo,
    },
    /// An INVITE that was handed up has been answered 487; nothing is to be sent any more.
    Cancelled {
        /// The transaction of the INVITE.
        tx: ServerTx,
        /// Why.
        cause: CancelCause,
    },
    /// The ACK of a 2xx; the first of its copies.
    Ack {
        /// The dialog.
        dialog: DialogId,
        /// CSeq of the INVITE.
        cseq: u32,
        /// The ACK; its body may have the answer to our offer.
        request: Arc<Request>,
    },
    /// No ACK came for a 2xx: send BYE.
    AckTimeout {
        /// The dialog.
        dialog: DialogId,
        /// CSeq of the INVITE.
        cseq: u32,
    },
    /// A response to a request of ours; a 100 is not reported.
    Response {
        /// The request.
        client: ClientTx,
        /// Its dialog.
        dialog: DialogId,
        /// The response.
        response: Arc<Response>,
    },
    /// A further 2xx to an INVITE of ours, from another branch that it was forked to (RFC 3261
    /// §13.2.2.4): a dialog of its own, to be acknowledged
    /// ([`acknowledge_in`](super::Endpoint::acknowledge_in)) and ended.
    Forked {
        /// The INVITE.
        client: ClientTx,
        /// The further dialog.
        dialog: DialogId,
        /// The 2xx.
        response: Arc<Response>,
    },
    /// A request of ours will not be answered.
    RequestFailed {
        /// The request.
        client: ClientTx,
        /// Its dialog.
        dialog: DialogId,
        /// Its method.
        method: Method,
        /// Why.
        cause: FailureCause,
    },
    /// The dialog is over; its identifier means nothing any more.
    DialogGone {
        /// The dialog.
        dialog: DialogId,
        /// Why.
        cause: GoneCause,
    },
    /// Something that could not be read, for a counter.
    Malformed {
        /// What was wrong.
        fault: MalformedFault,
        /// The answer that was given.
        answered: Option<Status>,
        /// Where it came from.
        source: FlowInfo,
    },
}

/// Why an INVITE was answered without the call logic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelCause {
    /// The peer sent CANCEL.
    Cancelled,
    /// Its Expires passed, or the longest time we keep an INVITE waiting.
    Expired,
    /// The dialog ended.
    DialogEnded,
}

/// Why a request of ours will not be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    /// Nothing came in time. RFC 3261 §12.2.1.2: the dialog should be ended.
    TimedOut,
    /// The transport could not send it.
    Transport,
}

/// Why a dialog is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoneCause {
    /// The peer sent BYE.
    ByeReceived,
    /// Our BYE was answered, with whatever code.
    ByeAnswered,
    /// Our BYE was not answered.
    ByeUnanswered,
    /// An early dialog whose INVITE was not accepted, in either direction.
    NotAccepted,
    /// The peer answered 481: it does not know the dialog.
    UnknownToPeer,
    /// The call logic let go of it.
    Released,
}

/// What was malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedFault {
    /// A message.
    #[error("{0}")]
    Message(ParseFault),
    /// The framing of a stream.
    #[error("{0}")]
    Stream(StreamFault),
}

/// Why an answer was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// The transaction is over.
    #[error("the transaction is over")]
    UnknownTransaction,
    /// A final answer has been sent, perhaps a 487 after a CANCEL.
    #[error("already answered")]
    AlreadyAnswered,
    /// A 2xx to an INVITE goes through `accept_invite`, and only that.
    #[error("a 2xx to an INVITE is sent by accept_invite, and nothing else is")]
    NotThisWay,
    /// The peer demands reliable provisional answers (RFC 3262), which this endpoint does not
    /// send, or the request is no INVITE.
    #[error("a provisional answer is not possible here")]
    NoProvisional,
}

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No such dialog, or it is ending.
    #[error("the dialog is over")]
    UnknownDialog,
    /// RFC 3261 §14.1: an INVITE is under way in one direction or the other.
    #[error("an INVITE is pending in this dialog")]
    InvitePending,
    /// RFC 3264 §4, RFC 3311 §5.1: an offer is under way in one direction or the other.
    #[error("an offer is pending in this dialog")]
    OfferPending,
    /// RFC 3261 §15: a callee must not send BYE in an early dialog.
    #[error("the dialog is not confirmed")]
    Early,
    /// No transaction or no number is left.
    #[error("no transaction left")]
    Exhausted,
    /// ACK, CANCEL and what starts no transaction in a dialog.
    #[error("not a request of a dialog")]
    Method,
}

/// A request of ours in a dialog: what the layer above decides of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub(super) method: Method,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<(String, Vec<u8>)>,
}

impl Draft {
    /// A request without body.
    pub const fn new(method: Method) -> Self {
        Self {
            method,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some((content_type.to_owned(), body.into()));
        self
    }

    /// Its method.
    pub const fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    pub(super) fn has_sdp(&self) -> bool {
        self.body.as_ref().is_some_and(|(kind, _)| {
            let kind = kind.to_ascii_lowercase();
            kind.starts_with("application/sdp") || kind.starts_with("multipart/")
        })
    }
}
