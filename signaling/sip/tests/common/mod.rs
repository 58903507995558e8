//! A world for one endpoint: simulated time, seeded chance, a peer that writes messages.
#![allow(dead_code, reason = "every scenario uses its own part of the world")]

use std::time::Duration;

use holdfast_sip::endpoint::{DialogId, ServerTx};
use holdfast_sip::{
    Endpoint, EndpointConfig, Entropy, Event, Flow, FlowInfo, Message, Output, Reply, Response,
    Status, Target, Transport,
};
use holdfast_units::MonoTime;

/// xorshift64*: enough for tests, the same on every machine.
pub struct Rng(pub u64);

impl Entropy for Rng {
    fn fill(&mut self, out: &mut [u8]) {
        for octet in out {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            *octet = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8;
        }
    }
}

/// What left the endpoint, and when (milliseconds since the start).
pub struct Sent {
    pub at_ms: u64,
    pub to: Target,
    pub text: String,
}

impl Sent {
    pub fn response(&self) -> Response {
        match Message::parse(self.text.as_bytes()).expect("we send what we can read") {
            Message::Response(response) => response,
            Message::Request(_) => panic!("a request: {}", self.text),
        }
    }

    pub fn start(&self) -> &str {
        self.text.split("\r\n").next().unwrap_or_default()
    }

    /// The value of the first header line of that name.
    pub fn value(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next()?;
        head.split("\r\n")
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn values(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let lines = head.split("\r\n");
        lines
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .collect()
    }

    pub fn to_tag(&self) -> String {
        self.response().to().tag().expect("a To tag").to_owned()
    }
}

pub struct World {
    pub endpoint: Endpoint,
    pub now: MonoTime,
    pub rng: Rng,
    pub flow: Flow,
    pub source: FlowInfo,
    pub sent: Vec<Sent>,
    pub events: Vec<Event>,
    pub closed: Vec<Flow>,
}

impl World {
    pub fn new(transport: Transport) -> Self {
        Self::with(transport, EndpointConfig::default())
    }

    pub fn with(transport: Transport, config: EndpointConfig) -> Self {
        Self {
            endpoint: Endpoint::new(config),
            now: MonoTime::ZERO,
            rng: Rng(0x5eed),
            flow: Flow(1),
            source: FlowInfo {
                transport,
                remote: "192.0.2.10:5060".parse().unwrap(),
                local: "198.51.100.20:5060".parse().unwrap(),
            },
            sent: Vec::new(),
            events: Vec::new(),
            closed: Vec::new(),
        }
    }

    pub fn collect(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { to, bytes, .. } => self.sent.push(Sent {
                    at_ms: self.now.0 / 1_000_000,
                    to,
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                }),
                Output::Event(event) => self.events.push(event),
                Output::CloseFlow(flow) => self.closed.push(flow),
            }
        }
    }

    pub fn receive(&mut self, text: &str) {
        self.receive_octets(text.as_bytes());
    }

    pub fn receive_octets(&mut self, octets: &[u8]) {
        self.endpoint
            .handle_message(self.now, self.flow, &self.source, octets, &mut self.rng);
        self.collect();
    }

    /// Lets time pass, stopping at every deadline.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    /// What was sent since the last look.
    pub fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// Start-lines of what was sent since the last look.
    pub fn starts(&mut self) -> Vec<String> {
        self.take_sent()
            .iter()
            .map(|sent| sent.start().to_owned())
            .collect()
    }

    /// The one message that was sent since the last look.
    pub fn one_sent(&mut self) -> Sent {
        let mut sent = self.take_sent();
        assert_eq!(
            sent.len(),
            1,
            "{:?}",
            sent.iter().map(Sent::start).collect::<Vec<_>>()
        );
        sent.remove(0)
    }

    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Names of the events since the last look.
    pub fn event_names(&mut self) -> Vec<String> {
        let name = |event: &Event| {
            let text = format!("{event:?}");
            text.split([' ', '{']).next().unwrap_or_default().to_owned()
        };
        self.take_events().iter().map(name).collect()
    }

    /// The transaction of the one request that was handed up since the last look.
    pub fn one_tx(&mut self) -> ServerTx {
        let events = self.take_events();
        let mut txs = events.iter().filter_map(tx_of);
        let tx = txs
            .next()
            .unwrap_or_else(|| panic!("no request was handed up: {events:?}"));
        assert!(txs.next().is_none());
        tx
    }

    pub fn respond(&mut self, tx: ServerTx, status: Status) {
        self.endpoint
            .respond(self.now, tx, &Reply::new(status))
            .unwrap();
        self.collect();
    }

    pub fn accept(&mut self, tx: ServerTx) -> DialogId {
        let reply = Reply::new(Status::OK).body("application/sdp", "v=0\r\n");
        let dialog = self.endpoint.accept_invite(self.now, tx, &reply).unwrap();
        self.collect();
        dialog
    }

    /// A call that is set up and acknowledged: the dialog, and the text of its 200.
    pub fn call(&mut self, invite: &Ask) -> (DialogId, Sent) {
        self.receive(&invite.text());
        let tx = self.one_tx();
        let dialog = self.accept(tx);
        let ok = self.one_sent();
        self.receive(&invite.then("ACK", invite.cseq).tagged(&ok.to_tag()).text());
        assert_eq!(self.event_names(), ["Ack"]);
        (dialog, ok)
    }
}

pub fn tx_of(event: &Event) -> Option<ServerTx> {
    match event {
        Event::Invite { tx, .. }
        | Event::Reinvite { tx, .. }
        | Event::Update { tx, .. }
        | Event::Bye { tx, .. }
        | Event::Options { tx, .. }
        | Event::InDialogOther { tx, .. } => Some(*tx),
        _ => None,
    }
}

/// A request of the peer.
#[derive(Clone)]
pub struct Ask {
    pub method: String,
    pub uri: String,
    pub via: String,
    pub branch: String,
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
    pub headers: String,
    pub body: String,
}

impl Ask {
    pub fn new(method: &str) -> Self {
        Self {
            method: method.to_owned(),
            uri: "sip:recorder@198.51.100.20".to_owned(),
            via: "SIP/2.0/UDP 192.0.2.10:5060".to_owned(),
            branch: format!("z9hG4bK-{method}-1"),
            from: "<sip:src@example.com>;tag=src1".to_owned(),
            to: "<sip:recorder@198.51.100.20>".to_owned(),
            call_id: "call-1@192.0.2.10".to_owned(),
            cseq: 1,
            headers: "Contact: <sip:src@192.0.2.10:5060>;+sip.src\r\n".to_owned(),
            body: String::new(),
        }
    }

    /// A later request of the same call.
    pub fn then(&self, method: &str, cseq: u32) -> Self {
        let mut next = self.clone();
        next.method = method.to_owned();
        next.branch = format!("z9hG4bK-{method}-{cseq}");
        next.cseq = cseq;
        next.body = String::new();
        next
    }

    pub fn branch(mut self, branch: &str) -> Self {
        self.branch = branch.to_owned();
        self
    }

    pub fn tagged(mut self, tag: &str) -> Self {
        self.to = format!("<sip:recorder@198.51.100.20>;tag={tag}");
        self
    }

    pub fn header(mut self, line: &str) -> Self {
        self.headers.push_str(line);
        self.headers.push_str("\r\n");
        self
    }

    pub fn contact(mut self, value: &str) -> Self {
        self.headers = format!("Contact: {value}\r\n");
        self
    }

    pub fn sdp(mut self) -> Self {
        self.body = "v=0\r\n".to_owned();
        self.header("Content-Type: application/sdp")
    }

    pub fn text(&self) -> String {
        let Self {
            method,
            uri,
            via,
            branch,
            from,
            to,
            call_id,
            cseq,
            headers,
            body,
        } = self;
        let branch = match branch.as_str() {
            "" => String::new(),
            branch => format!(";branch={branch}"),
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: {via}{branch}\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// The peer's response to a request of ours.
pub fn answer(request: &Sent, status: u16, extra: &str) -> String {
    let mut text = format!("SIP/2.0 {status} Whatever\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for value in request.values(name) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text + extra + "Content-Length: 0\r\n\r\n"
}

pub fn udp(remote: &str) -> Target {
    Target::Address {
        transport: Transport::Udp,
        remote: remote.parse().unwrap(),
        local: "198.51.100.20:5060".parse().ok(),
    }
}
