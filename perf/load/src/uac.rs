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

mod wire;

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

/// One dialog, or the attempt at one.
#[derive(Debug)]
struct Call {
    remote_tag: Option<String>,
    remote_target: String,
    /// Route header values, in the order they are sent (RFC 3261 section 12.1.2).
    routes: Vec<String>,
    cseq: u32,
    pending: Option<Pending>,
    /// The last ACK with the CSeq number of its INVITE: a repeated 2xx is answered with it again.
    last_ack: Option<(u32, Vec<u8>)>,
    /// The dialog that it goes on from.
    former: Option<DialogName>,
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
struct Pending {
    method: Method,
    cseq: u32,
    bytes: Vec<u8>,
    since: MonoTime,
    interval: Duration,
    /// Timer A or E; `None` on a stream and, for an INVITE, once a provisional response came.
    repeat_at: Option<MonoTime>,
    /// Timer B or F.
    give_up_at: MonoTime,
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

impl Call {
    /// Takes tag, route set and remote target from a 2xx (RFC 3261 sections 12.1.2, 12.2.1.2).
    fn establish(&mut self, response: &Message) {
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
    fn deadline(&self) -> MonoTime {
        self.repeat_at
            .map_or(self.give_up_at, |at| at.min(self.give_up_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::{Codec, Offer};

    fn uac(transport: Transport) -> Uac {
        Uac::new(UacConfig {
            transport,
            local: "192.0.2.1:5070".parse().unwrap(),
            target: "192.0.2.9:5060".parse().unwrap(),
            run: "r1".to_owned(),
            user: "1000".to_owned(),
        })
    }

    fn body() -> Body {
        let port = |port| SocketAddr::new([192, 0, 2, 1].into(), port);
        Offer::two_party(3, Codec::Pcmu, port(26000), port(26002)).multipart()
    }

    fn at(ms: u64) -> MonoTime {
        MonoTime::ZERO + Duration::from_millis(ms)
    }

    fn drain(uac: &mut Uac) -> (Vec<Message>, Vec<Event>) {
        let (mut sent, mut events) = (Vec::new(), Vec::new());
        while let Some(output) = uac.poll_output() {
            match output {
                Output::Transmit(bytes) => sent.push(Message::parse(&bytes).unwrap()),
                Output::Event(event) => events.push(event),
            }
        }
        (sent, events)
    }

    fn answer(request: &Message, status: &str, extra: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "From", "Call-ID", "CSeq"] {
            text.push_str(&format!("{name}: {}\r\n", request.header(name).unwrap()));
        }
        text.push_str(&format!("To: <sip:1000@192.0.2.9>;tag=srs\r\n{extra}\r\n"));
        text.into_bytes()
    }

    fn method(message: &Message) -> &str {
        match &message.start {
            StartLine::Request { method, .. } => method,
            StartLine::Response { .. } => "response",
        }
    }

    fn established(uac: &mut Uac) -> Message {
        uac.invite(at(0), 3, &body()).unwrap();
        let (sent, _) = drain(uac);
        let extra = "Contact: <sip:srs@192.0.2.8:5080>;+sip.srs\r\n\
                     Record-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>\r\n";
        uac.handle_message(at(7), &answer(&sent[0], "200 OK", extra));
        sent[0].clone()
    }

    #[test]
    fn an_invite_over_udp_is_repeated_until_a_provisional_response() {
        let mut uac = uac(Transport::Udp);
        uac.invite(at(0), 3, &body()).unwrap();
        let (sent, _) = drain(&mut uac);
        for due in [500, 1_500, 3_500] {
            uac.handle_timeout(at(due - 1));
            assert_eq!(drain(&mut uac).0, [], "nothing before {due} ms");
            uac.handle_timeout(at(due));
            assert_eq!(drain(&mut uac).0, sent, "the same octets at {due} ms");
        }
        uac.handle_message(at(3_600), &answer(&sent[0], "100 Trying", ""));
        uac.handle_timeout(at(31_999));
        assert_eq!(drain(&mut uac), (vec![], vec![]));
        uac.handle_timeout(at(32_000));
        let timed_out = Event::TimedOut {
            call: 3,
            method: Method::Invite,
        };
        assert_eq!(drain(&mut uac).1, [timed_out]);
        assert_eq!(uac.poll_timeout(), None);
    }

    #[test]
    fn nothing_is_repeated_over_tcp() {
        let mut uac = uac(Transport::Tcp);
        uac.invite(at(0), 3, &body()).unwrap();
        drain(&mut uac);
        assert_eq!(uac.poll_timeout(), Some(at(32_000)));
    }

    #[test]
    fn every_copy_of_the_200_is_acknowledged_along_the_route_set() {
        let mut uac = uac(Transport::Udp);
        let invite = established(&mut uac);
        let (sent, events) = drain(&mut uac);
        assert!(matches!(
            events[..],
            [Event::Accepted { call: 3, method: Method::Invite, took, .. }]
                if took == Duration::from_millis(7)
        ));
        assert_eq!(method(&sent[0]), "ACK");
        let uri = "sip:srs@192.0.2.8:5080".to_owned();
        assert_eq!(
            sent[0].start,
            StartLine::Request {
                method: "ACK".to_owned(),
                uri
            }
        );
        assert_eq!(sent[0].cseq(), Some((1, "ACK")));
        assert_eq!(sent[0].tag("To"), Some("srs"));
        assert_eq!(
            sent[0].all("Route").collect::<Vec<_>>(),
            ["<sip:p2;lr>", "<sip:p1;lr>"]
        );
        assert_ne!(sent[0].branch(), invite.branch());
        uac.handle_message(at(500), &answer(&invite, "200 OK", ""));
        assert_eq!(drain(&mut uac), (sent, vec![]));
        assert_eq!(uac.poll_timeout(), None);
    }

    #[test]
    fn a_refusal_is_acknowledged_in_its_own_transaction_and_ends_the_call() {
        let mut uac = uac(Transport::Udp);
        uac.invite(at(0), 3, &body()).unwrap();
        let (sent, _) = drain(&mut uac);
        uac.handle_message(at(9), &answer(&sent[0], "503 Service Unavailable", ""));
        let (acks, events) = drain(&mut uac);
        assert_eq!(
            (method(&acks[0]), acks[0].branch()),
            ("ACK", sent[0].branch())
        );
        assert!(matches!(
            events[..],
            [Event::Refused {
                call: 3,
                method: Method::Invite,
                ..
            }]
        ));
        let no_call = Err(RequestError::NoCall(3));
        assert_eq!(uac.request(at(10), 3, Method::Bye, None), no_call);
    }

    #[test]
    fn a_bye_is_repeated_up_to_t2_and_ends_the_call() {
        let mut uac = uac(Transport::Udp);
        established(&mut uac);
        drain(&mut uac);
        uac.request(at(1_000), 3, Method::Bye, None).unwrap();
        assert_eq!(
            uac.request(at(1_000), 3, Method::Bye, None),
            Err(RequestError::Busy(3))
        );
        let (sent, _) = drain(&mut uac);
        assert_eq!(sent[0].cseq(), Some((2, "BYE")));
        let mut times = Vec::new();
        while times.len() < 5 {
            let due = uac.poll_timeout().unwrap();
            uac.handle_timeout(due);
            times.extend(
                drain(&mut uac)
                    .0
                    .iter()
                    .map(|_| (due - at(1_000)).as_millis()),
            );
        }
        assert_eq!(times, [500, 1_500, 3_500, 7_500, 11_500]);
        uac.handle_message(at(13_000), &answer(&sent[0], "200 OK", ""));
        assert!(matches!(
            drain(&mut uac).1[..],
            [Event::Accepted {
                method: Method::Bye,
                ..
            }]
        ));
        assert_eq!(
            uac.request(at(14_000), 3, Method::Bye, None),
            Err(RequestError::NoCall(3))
        );
    }

    #[test]
    fn a_reinvite_raises_the_cseq_and_a_refused_one_keeps_the_call() {
        let mut uac = uac(Transport::Tcp);
        established(&mut uac);
        drain(&mut uac);
        uac.request(at(20), 3, Method::Invite, Some(&body()))
            .unwrap();
        let (sent, _) = drain(&mut uac);
        assert_eq!(sent[0].cseq(), Some((2, "INVITE")));
        uac.handle_message(at(30), &answer(&sent[0], "491 Request Pending", ""));
        drain(&mut uac);
        assert_eq!(
            uac.request(at(40), 3, Method::Update, Some(&body())),
            Ok(())
        );
        assert_eq!(drain(&mut uac).0[0].cseq(), Some((3, "UPDATE")));
    }

    #[test]
    fn a_call_goes_on_elsewhere_by_the_name_of_its_dialog() {
        let mut first = uac(Transport::Udp);
        assert_eq!(first.dialog_name(3), None);
        let invite = established(&mut first);
        let name = first.dialog_name(3).unwrap();
        assert_eq!(Some(name.call_id.as_str()), invite.header("Call-ID"));
        let mut second = uac(Transport::Udp);
        second.invite_replacing(at(9), 3, &body(), &name).unwrap();
        let (sent, _) = drain(&mut second);
        let replaces = format!(
            "{};to-tag=srs;from-tag={}",
            name.call_id,
            invite.tag("From").unwrap()
        );
        assert_eq!(sent[0].header("Replaces"), Some(replaces.as_str()));
        assert_eq!(
            sent[0].all("Require").collect::<Vec<_>>(),
            ["siprec", "replaces"]
        );
        second.handle_message(at(10), &answer(&sent[0], "200 OK", ""));
        drain(&mut second);
        second
            .request(at(20), 3, Method::Invite, Some(&body()))
            .unwrap();
        let (sent, _) = drain(&mut second);
        assert_eq!(sent[0].header("Replaces"), None, "it is said once");
    }

    #[test]
    fn the_servers_bye_is_answered_and_reported() {
        let mut uac = uac(Transport::Udp);
        let invite = established(&mut uac);
        drain(&mut uac);
        let bye = format!(
            "BYE sip:src@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\n\
             From: <sip:srs>;tag=srs\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\n\r\n",
            invite.header("From").unwrap(),
            invite.header("Call-ID").unwrap()
        );
        uac.handle_message(at(50), bye.as_bytes());
        let (sent, events) = drain(&mut uac);
        assert_eq!(sent[0].status(), Some(200));
        assert_eq!(sent[0].branch(), Some("z9hG4bKx"));
        assert_eq!(events, [Event::HungUp { call: 3 }]);
    }

    #[test]
    fn messages_of_other_runs_and_noise_are_passed_over() {
        let mut uac = uac(Transport::Udp);
        uac.invite(at(0), 3, &body()).unwrap();
        let (sent, _) = drain(&mut uac);
        let ok = String::from_utf8(answer(&sent[0], "200 OK", "")).unwrap();
        for other in [
            ok.replace("r1-000003@", "r2-000003@"),
            ok.replace("r1-000003@", "r1-000004@"),
            ok.replace("branch=z9", "branch=z8"),
            ok.replace("1 INVITE", "2 INVITE"),
            "noise".to_owned(),
        ] {
            uac.handle_message(at(1), other.as_bytes());
            assert_eq!(drain(&mut uac), (vec![], vec![]), "{other}");
        }
    }
}
