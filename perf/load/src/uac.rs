//! The caller's side of SIP, as a value: INVITE, ACK, BYE and in-dialog requests for many calls.
//!
//! It opens nothing and reads no clock. Each call has at most one transaction at a time. It does
//! not fork, authenticate or follow redirections; whatever is not a 2xx is a failed call.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_units::MonoTime;

use crate::invite::Body;
use crate::limits;
use crate::sip::{Message, StartLine};
use call::{Call, Pending};

mod call;
mod wire;

#[cfg(test)]
mod tests;

pub use call::DialogName;

/// How SIP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams: requests are repeated until answered.
    Udp,
    /// One connection for all calls.
    Tcp,
    /// The same under TLS.
    Tls,
}

/// Who calls whom.
#[derive(Clone, Debug)]
pub struct UacConfig {
    /// Transport of every message.
    pub transport: Transport,
    /// Our address, in Via and Contact.
    pub local: SocketAddr,
    /// The server.
    pub target: SocketAddr,
    /// Distinguishes this run's Call-IDs from every other run's.
    pub run: String,
    /// User part of the Request-URI; empty for none.
    pub user: String,
}

/// A method the caller may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Opens a call, or changes its media.
    Invite,
    /// Changes media or metadata (RFC 3311).
    Update,
    /// Ends a call.
    Bye,
    /// Asks what the server can do; the only one that also works outside a call.
    Options,
}

/// What happened to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request was answered with a 2xx; an INVITE has been acknowledged.
    Accepted {
        /// The call.
        call: u32,
        /// Method of the request.
        method: Method,
        /// The response.
        response: Message,
        /// From the first sending of the request to its final response.
        took: Duration,
    },
    /// A request was answered with another final response.
    Refused {
        /// The call.
        call: u32,
        /// Method of the request.
        method: Method,
        /// The response.
        response: Message,
    },
    /// No final response came within 64 * T1 (timers B and F).
    TimedOut {
        /// The call.
        call: u32,
        /// Method of the request.
        method: Method,
    },
    /// The server ended the call.
    HungUp {
        /// The call.
        call: u32,
    },
}

/// What the shell must do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these octets to the server.
    Transmit(Vec<u8>),
    /// Tell whoever runs the calls.
    Event(Event),
}

/// Why a request can't be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no such call, or it has ended.
    #[error("call {0} does not exist")]
    NoCall(u32),
    /// Its last request is not answered yet.
    #[error("call {0} has a request under way")]
    Busy(u32),
    /// A call of that number is open already.
    #[error("call {0} exists already")]
    Exists(u32),
}

/// All calls of one caller.
#[derive(Debug)]
pub struct Uac {
    config: UacConfig,
    call_by_number: BTreeMap<u32, Call>,
    deadlines: BTreeSet<(MonoTime, u32)>,
    outputs: VecDeque<Output>,
}

impl Method {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Update => "UPDATE",
            Self::Bye => "BYE",
            Self::Options => "OPTIONS",
        }
    }
}

impl Event {
    /// The call it happened to.
    pub const fn call(&self) -> u32 {
        match self {
            Self::Accepted { call, .. }
            | Self::Refused { call, .. }
            | Self::TimedOut { call, .. }
            | Self::HungUp { call } => *call,
        }
    }
}

impl Uac {
    /// A caller without calls.
    pub fn new(config: UacConfig) -> Self {
        Self {
            config,
            call_by_number: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The Call-ID of a call.
    pub fn call_id(&self, call: u32) -> String {
        self.config.call_id(call)
    }

    /// Opens a call with an INVITE that requires `siprec` (RFC 7866 section 6.1.1).
    pub fn invite(&mut self, now: MonoTime, call: u32, body: &Body) -> Result<(), RequestError> {
        self.open(now, call, Method::Invite, Some(body))
    }

    /// Opens a call that goes on from a dialog with another server, or the same one (RFC 3891).
    pub fn invite_replacing(
        &mut self,
        now: MonoTime,
        call: u32,
        body: &Body,
        former: &DialogName,
    ) -> Result<(), RequestError> {
        self.prepare(call, Some(former))?;
        self.send(now, call, Method::Invite, Some(body));
        Ok(())
    }

    /// How a call's dialog is named to others; `None` where it is not established.
    pub fn dialog_name(&self, call: u32) -> Option<DialogName> {
        Some(DialogName {
            call_id: self.config.call_id(call),
            to_tag: self.call_by_number.get(&call)?.remote_tag.clone()?,
            from_tag: self.config.local_tag(call),
        })
    }

    /// Asks the server, outside any call, what it can do; `call` names the answer.
    pub fn options(&mut self, now: MonoTime, call: u32) -> Result<(), RequestError> {
        self.open(now, call, Method::Options, None)
    }

    /// Sends a request within a call.
    pub fn request(
        &mut self,
        now: MonoTime,
        call: u32,
        method: Method,
        body: Option<&Body>,
    ) -> Result<(), RequestError> {
        let state = self
            .call_by_number
            .get_mut(&call)
            .ok_or(RequestError::NoCall(call))?;
        if state.pending.is_some() || state.remote_tag.is_none() {
            return Err(RequestError::Busy(call));
        }
        state.cseq += 1;
        self.send(now, call, method, body);
        Ok(())
    }

    /// Takes in a message from the server; what belongs to no call is passed over.
    pub fn handle_message(&mut self, now: MonoTime, bytes: &[u8]) {
        let Some(message) = Message::parse(bytes) else {
            return;
        };
        let Some(call) = message.header("Call-ID").and_then(|id| self.call_of(id)) else {
            return;
        };
        match &message.start {
            StartLine::Response { status, .. } if *status < 200 => {
                self.handle_provisional(now, call, &message);
            }
            StartLine::Response { status, .. } => self.handle_final(now, call, *status, message),
            StartLine::Request { method, .. } => {
                let method = method.clone();
                self.handle_request(call, &method, &message);
            }
        }
    }

    /// Repeats or gives up what is due.
    pub fn handle_timeout(&mut self, now: MonoTime) {
        while let Some(&(at, call)) = self.deadlines.first() {
            if at > now {
                break;
            }
            self.deadlines.pop_first();
            let Some(pending) = self
                .call_by_number
                .get_mut(&call)
                .and_then(|c| c.pending.as_mut())
            else {
                continue;
            };
            if pending.give_up_at <= now {
                let method = pending.method;
                self.take_pending(call);
                if method != Method::Update {
                    self.call_by_number.remove(&call);
                }
                self.outputs
                    .push_back(Output::Event(Event::TimedOut { call, method }));
                continue;
            }
            if pending.repeat_at.is_some_and(|at| at <= now) {
                pending.interval *= 2;
                if pending.method != Method::Invite {
                    pending.interval = pending.interval.min(limits::T2);
                }
                pending.repeat_at = Some(now + pending.interval);
                self.outputs
                    .push_back(Output::Transmit(pending.bytes.clone()));
            }
            self.deadlines.insert((pending.deadline(), call));
        }
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn open(
        &mut self,
        now: MonoTime,
        call: u32,
        method: Method,
        body: Option<&Body>,
    ) -> Result<(), RequestError> {
        self.prepare(call, None)?;
        self.send(now, call, method, body);
        Ok(())
    }

    /// A call that nothing has been sent for.
    fn prepare(&mut self, call: u32, former: Option<&DialogName>) -> Result<(), RequestError> {
        if self.call_by_number.contains_key(&call) {
            return Err(RequestError::Exists(call));
        }
        let state = Call {
            remote_tag: None,
            remote_target: self.config.request_uri(),
            routes: Vec::new(),
            cseq: 1,
            pending: None,
            last_ack: None,
            former: former.cloned(),
        };
        self.call_by_number.insert(call, state);
        Ok(())
    }

    /// Sends a request of the call's present CSeq number and waits for its answer.
    fn send(&mut self, now: MonoTime, call: u32, method: Method, body: Option<&Body>) {
        let Some(state) = self.call_by_number.get_mut(&call) else {
            return;
        };
        let cseq = state.cseq;
        let bytes = self
            .config
            .write_request(call, state, method.name(), cseq, body);
        let udp = self.config.transport == Transport::Udp;
        let pending = Pending {
            method,
            cseq,
            bytes: bytes.clone(),
            since: now,
            interval: limits::T1,
            repeat_at: udp.then(|| now + limits::T1),
            give_up_at: now + limits::TRANSACTION_TIMEOUT,
        };
        self.deadlines.insert((pending.deadline(), call));
        state.pending = Some(pending);
        self.outputs.push_back(Output::Transmit(bytes));
    }

    fn handle_provisional(&mut self, now: MonoTime, call: u32, message: &Message) {
        if !self.answers_pending(call, message) {
            return;
        }
        let Some(mut pending) = self.take_pending(call) else {
            return;
        };
        // An INVITE is not repeated once the server has it (RFC 3261 section 17.1.1.2); any other
        // request goes on at T2 (section 17.1.2.2). Timers B and F keep running: a server that
        // neither answers nor refuses within them has failed the call.
        pending.repeat_at = match (pending.method, pending.repeat_at) {
            (Method::Invite, _) | (_, None) => None,
            (_, Some(_)) => {
                pending.interval = limits::T2;
                Some(now + limits::T2)
            }
        };
        self.deadlines.insert((pending.deadline(), call));
        if let Some(state) = self.call_by_number.get_mut(&call) {
            state.pending = Some(pending);
        }
    }

    fn handle_final(&mut self, now: MonoTime, call: u32, status: u16, response: Message) {
        if !self.answers_pending(call, &response) {
            self.repeat_ack(call, &response);
            return;
        }
        let Some(Pending {
            method,
            cseq,
            since,
            ..
        }) = self.take_pending(call)
        else {
            return;
        };
        let Some(state) = self.call_by_number.get_mut(&call) else {
            return;
        };
        let (success, took) = (status < 300, now.since(since));
        if method == Method::Invite {
            let ack = if success {
                state.establish(&response);
                let ack = self.config.write_request(call, state, "ACK", cseq, None);
                state.last_ack = Some((cseq, ack.clone()));
                ack
            } else {
                self.config.write_failure_ack(call, state, cseq, &response)
            };
            self.outputs.push_back(Output::Transmit(ack));
        }
        let dialog_gone = matches!(status, 408 | 481);
        if method == Method::Bye || dialog_gone || state.remote_tag.is_none() {
            self.call_by_number.remove(&call);
        }
        self.outputs.push_back(Output::Event(if success {
            Event::Accepted {
                call,
                method,
                response,
                took,
            }
        } else {
            Event::Refused {
                call,
                method,
                response,
            }
        }));
    }

    /// Every copy of a 2xx is acknowledged (RFC 3261 section 13.2.2.4).
    fn repeat_ack(&mut self, call: u32, response: &Message) {
        let Some((cseq, "INVITE")) = response.cseq() else {
            return;
        };
        let ack = self
            .call_by_number
            .get(&call)
            .and_then(|state| state.last_ack.as_ref());
        if let Some((_, bytes)) = ack.filter(|(acknowledged, _)| *acknowledged == cseq) {
            self.outputs.push_back(Output::Transmit(bytes.clone()));
        }
    }

    fn handle_request(&mut self, call: u32, method: &str, message: &Message) {
        let status = match method {
            "ACK" => return,
            "BYE" | "OPTIONS" => "200 OK",
            _ => "405 Method Not Allowed",
        };
        self.outputs
            .push_back(Output::Transmit(wire::response(message, status)));
        if method == "BYE" {
            self.take_pending(call);
            self.call_by_number.remove(&call);
            self.outputs
                .push_back(Output::Event(Event::HungUp { call }));
        }
    }

    /// Whether a response belongs to the call's pending request: same CSeq and branch (RFC 3261
    /// section 17.1.3).
    fn answers_pending(&self, call: u32, response: &Message) -> bool {
        let pending = self
            .call_by_number
            .get(&call)
            .and_then(|state| state.pending.as_ref());
        pending.is_some_and(|pending| {
            let name = pending.method.name();
            let branch = self.config.branch(call, pending.cseq, name);
            response.cseq() == Some((pending.cseq, name))
                && response.branch() == Some(branch.as_str())
        })
    }

    fn take_pending(&mut self, call: u32) -> Option<Pending> {
        let pending = self.call_by_number.get_mut(&call)?.pending.take()?;
        self.deadlines.remove(&(pending.deadline(), call));
        Some(pending)
    }

    fn call_of(&self, call_id: &str) -> Option<u32> {
        let rest = call_id.strip_prefix(&self.config.run)?.strip_prefix('-')?;
        rest.split_once('@')?.0.parse().ok()
    }
}
