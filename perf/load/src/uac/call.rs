//! A call as its caller knows it: the dialog, and the request that waits for an answer.

use std::time::Duration;

use holdfast_units::MonoTime;

use super::Method;
use crate::sip::Message;

/// One dialog, or the attempt at one.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) remote_tag: Option<String>,
    pub(super) remote_target: String,
    /// Route header values, in the order they are sent (RFC 3261 section 12.1.2).
    pub(super) routes: Vec<String>,
    pub(super) cseq: u32,
    pub(super) pending: Option<Pending>,
    /// The last ACK with the CSeq number of its INVITE: a repeated 2xx is answered with it again.
    pub(super) last_ack: Option<(u32, Vec<u8>)>,
    /// The dialog that it goes on from.
    pub(super) former: Option<DialogName>,
}

/// A dialog as its client names it to another server (RFC 3891 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogName {
    /// Its Call-ID.
    pub call_id: String,
    /// The server's tag.
    pub to_tag: String,
    /// The client's.
    pub from_tag: String,
}

/// A request that waits for its final response (RFC 3261 section 17.1).
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) method: Method,
    pub(super) cseq: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) since: MonoTime,
    pub(super) interval: Duration,
    /// Timer A or E; `None` on a stream and, for an INVITE, once a provisional response came.
    pub(super) repeat_at: Option<MonoTime>,
    /// Timer B or F.
    pub(super) give_up_at: MonoTime,
}

impl Call {
    /// Takes tag, route set and remote target from a 2xx (RFC 3261 sections 12.1.2, 12.2.1.2).
    pub(super) fn establish(&mut self, response: &Message) {
        if let Some(contact) = response.contact_uri() {
            self.remote_target = contact.to_owned();
        }
        if self.remote_tag.is_none() {
            self.remote_tag = Some(response.tag("To").unwrap_or("").to_owned());
            self.routes = response.record_routes().into_iter().rev().collect();
        }
    }
}

impl Pending {
    pub(super) fn deadline(&self) -> MonoTime {
        self.repeat_at
            .map_or(self.give_up_at, |at| at.min(self.give_up_at))
    }
}
