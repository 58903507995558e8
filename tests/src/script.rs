//! A recording client by the letter: every header and body is the test's, and nothing happens by
//! itself but the ACK of a refusal, which is the transaction's (RFC 3261 section 17.1.1.3).

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use holdfast_load::answer::Answer;
use holdfast_load::invite::Body;
use holdfast_load::sip::{Message, StartLine};
use holdfast_load::uac::Transport;

use crate::caller::{Call, Prepared, run_name};
use crate::peer::{Peer, branch, multipart};
use crate::system::System;
use crate::wait::PATIENCE;

/// One dialog, from the client's side.
#[derive(Debug)]
pub struct Script {
    /// The socket or connection.
    pub peer: Peer,
    /// Call-ID of the dialog.
    pub call_id: String,
    /// Our tag.
    pub from_tag: String,
    /// The server's tag, once there is one.
    pub to_tag: Option<String>,
    /// CSeq number of the last request that was written.
    pub cseq: u32,
    /// Where requests within the dialog go.
    pub target: String,
    routes: Vec<String>,
    /// What was heard and not asked for yet.
    heard: VecDeque<Message>,
    /// The last ACK, with the CSeq number of its INVITE.
    acknowledged: Option<(u32, Vec<u8>)>,
}

/// A request to be written.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Method.
    pub method: String,
    headers: Vec<(String, String)>,
    without: Vec<String>,
    body: Option<Body>,
}

/// A request that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its octets.
    pub bytes: Vec<u8>,
    /// Its CSeq number.
    pub cseq: u32,
    /// Its method.
    pub method: String,
    branch: String,
}

impl Sent {
    /// The branch it went out with.
    pub fn branch(&self) -> &str {
        &self.branch
    }
}

impl Ask {
    /// A request with nothing but what each one has.
    pub fn new(method: &str) -> Self {
        Self {
            method: method.to_owned(),
            headers: Vec::new(),
            without: Vec::new(),
            body: None,
        }
    }

    /// The INVITE of the test cases: what an SRC sends that does as RFC 7866 says.
    pub fn invite() -> Self {
        Self::new("INVITE")
            .header("Require", "siprec")
            .header("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE")
            .header("Supported", "timer")
            .header("Accept", "application/sdp, application/rs-metadata+xml")
    }

    /// A header field; takes the place of those of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .retain(|(had, _)| !had.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more header field of a name.
    #[must_use]
    pub fn also(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a header field out, also one that each request has.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(had, _)| !had.eq_ignore_ascii_case(name));
        self.without.push(name.to_ascii_lowercase());
        self
    }

    /// A body.
    #[must_use]
    pub fn body(mut self, body: &Body) -> Self {
        self.body = Some(body.clone());
        self
    }

    /// A body of a type.
    #[must_use]
    pub fn content(self, content_type: &str, octets: &[u8]) -> Self {
        self.body(&Body {
            content_type: content_type.to_owned(),
            bytes: octets.to_vec(),
        })
    }

    /// A session description.
    #[must_use]
    pub fn sdp(self, sdp: &str) -> Self {
        self.content("application/sdp", sdp.as_bytes())
    }

    /// A metadata document.
    #[must_use]
    pub fn metadata(self, document: &str) -> Self {
        self.header("Content-Disposition", "recording-session")
            .content("application/rs-metadata+xml", document.as_bytes())
    }

    fn has(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.without.contains(&name)
            || self
                .headers
                .iter()
                .any(|(had, _)| had.eq_ignore_ascii_case(&name))
    }
}

impl Script {
    /// A dialog to come, over UDP.
    pub fn new(system: &System) -> Self {
        Self::over(Transport::Udp, system)
    }

    /// A dialog to come, over a transport.
    pub fn over(transport: Transport, system: &System) -> Self {
        Self::by(Peer::connect(system.sip(), transport))
    }

    /// A dialog to come, over a socket or connection that is there.
    pub fn by(peer: Peer) -> Self {
        Self {
            call_id: format!("{}@script", run_name()),
            from_tag: branch(),
            to_tag: None,
            cseq: 0,
            target: format!("sip:srs@{}", peer.server),
            routes: Vec::new(),
            heard: VecDeque::new(),
            acknowledged: None,
            peer,
        }
    }

    /// Writes a request with a CSeq number and branch of the test's choice.
    pub fn write(&self, ask: &Ask, cseq: u32, branch: &str) -> Vec<u8> {
        let (local, via, server) = (self.peer.local, self.peer.via(), self.peer.server);
        let (target, method) = (&self.target, &ask.method);
        let to_tag = self.to_tag.as_ref().map(|tag| format!(";tag={tag}"));
        let mut usual = vec![
            (
                "Via",
                format!("SIP/2.0/{via} {local};rport;branch={branch}"),
            ),
            ("Max-Forwards", "70".to_owned()),
            (
                "From",
                format!("<sip:src@example.com>;tag={}", self.from_tag),
            ),
            (
                "To",
                format!("<sip:srs@{server}>{}", to_tag.unwrap_or_default()),
            ),
            ("Call-ID", self.call_id.clone()),
            ("CSeq", format!("{cseq} {method}")),
        ];
        if matches!(method.as_str(), "INVITE" | "UPDATE") {
            usual.push(("Contact", self.contact()));
        }
        usual.extend(self.routes.iter().map(|route| ("Route", route.clone())));
        let mut text = format!("{method} {target} SIP/2.0\r\n");
        let usual = usual.into_iter().filter(|(name, _)| !ask.has(name));
        for (name, value) in usual {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        for (name, value) in &ask.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let octets = ask.body.as_ref().map_or(&[][..], |body| &body.bytes);
        if let Some(body) = ask.body.as_ref().filter(|_| !ask.has("Content-Type")) {
            let _ = write!(text, "Content-Type: {}\r\n", body.content_type);
        }
        if !ask.has("Content-Length") {
            let _ = write!(text, "Content-Length: {}\r\n", octets.len());
        }
        text.push_str("\r\n");
        [text.as_bytes(), octets].concat()
    }

    /// Our Contact, with the mark of a recording client; a sips URI where the server's is one
    /// (RFC 3261 section 8.1.1.8).
    pub fn contact(&self) -> String {
        let (local, via) = (self.peer.local, self.peer.via().to_ascii_lowercase());
        if self.target.starts_with("sips:") {
            return format!("<sips:src@{local}>;+sip.src");
        }
        format!("<sip:src@{local};transport={via}>;+sip.src")
    }

    /// Sends a request as the next one of the dialog.
    pub fn send(&mut self, ask: &Ask) -> Sent {
        self.send_as(ask, self.cseq + 1)
    }

    /// Sends a request with a CSeq number.
    pub fn send_as(&mut self, ask: &Ask, cseq: u32) -> Sent {
        let branch = branch();
        let bytes = self.write(ask, cseq, &branch);
        self.cseq = cseq;
        self.peer.send(&bytes);
        Sent {
            bytes,
            cseq,
            method: ask.method.clone(),
            branch,
        }
    }

    /// Sends a request and gives its final response; a refused INVITE is acknowledged.
    ///
    /// # Panics
    /// When there is none.
    pub fn ask(&mut self, ask: &Ask) -> Message {
        let sent = self.send(ask);
        self.answer_to(&sent)
    }

    /// The final response to a request that was sent. Over UDP the request is repeated until then.
    ///
    /// # Panics
    /// When there is none.
    pub fn answer_to(&mut self, sent: &Sent) -> Message {
        let until = Instant::now() + PATIENCE;
        let repeats = self.peer.via() == "UDP";
        while Instant::now() < until {
            let wait = if repeats { T1 } else { PATIENCE };
            if let Some(response) = self.final_within(sent, wait) {
                return response;
            }
            if repeats {
                self.peer.send(&sent.bytes);
            }
        }
        panic!("no final response to {} {}", sent.cseq, sent.method);
    }

    /// The final response to a request, if it comes in time.
    pub fn final_within(&mut self, sent: &Sent, limit: Duration) -> Option<Message> {
        let cseq = Some((sent.cseq, sent.method.as_str()));
        let response = self.hear(limit, |message| {
            message.status().is_some_and(|status| status >= 200)
                && message.cseq() == cseq
                && message.branch() == Some(&sent.branch)
        })?;
        let status = response.status().unwrap_or_default();
        match sent.method.as_str() {
            "INVITE" if status < 300 => self.learn(&response),
            "INVITE" => {
                let had = self.to_tag.clone();
                self.to_tag = response.tag("To").map(str::to_owned);
                let bytes = self.write(&Ask::new("ACK"), sent.cseq, &sent.branch);
                self.to_tag = had;
                self.peer.send(&bytes);
            }
            "UPDATE" if status < 300 => self.learn(&response),
            _ => {}
        }
        Some(response)
    }

    fn learn(&mut self, response: &Message) {
        self.to_tag = response.tag("To").map(str::to_owned);
        if let Some(target) = response.contact_uri() {
            self.target = target.to_owned();
        }
        if self.routes.is_empty() {
            self.routes = response.record_routes();
            self.routes.reverse();
        }
    }

    /// Acknowledges a 2xx, with a body or without.
    pub fn ack(&mut self, body: Option<&Body>) {
        let mut ask = Ask::new("ACK");
        ask.body = body.cloned();
        let bytes = self.write(&ask, self.cseq, &branch());
        self.peer.send(&bytes);
        self.acknowledged = Some((self.cseq, bytes));
    }

    /// A 2xx that comes again is acknowledged again: the ACK may have been lost with a process that
    /// had read it (RFC 3261 §13.2.2.4).
    fn acknowledge_again(&mut self, message: &Message) {
        if let Some((cseq, bytes)) = &self.acknowledged
            && message.status().is_some_and(|status| status / 100 == 2)
            && message.cseq() == Some((*cseq, "INVITE"))
        {
            self.peer.send(bytes);
        }
    }

    /// Places a call that is accepted, and acknowledges it.
    ///
    /// # Panics
    /// When it is not.
    pub fn open(&mut self, ask: &Ask) -> Message {
        let response = self.ask(ask);
        assert_eq!(response.status(), Some(200), "{response:?}");
        self.ack(None);
        response
    }

    /// Sends a request that is accepted; an INVITE is acknowledged.
    ///
    /// # Panics
    /// When it is not.
    pub fn ok(&mut self, ask: &Ask) -> Message {
        let response = self.ask(ask);
        assert_eq!(response.status(), Some(200), "{} {response:?}", ask.method);
        if ask.method == "INVITE" {
            self.ack(None);
        }
        response
    }

    /// Ends the call.
    ///
    /// # Panics
    /// When the BYE is not accepted.
    pub fn hang_up(&mut self) {
        self.ok(&Ask::new("BYE"));
    }

    /// The next message that is wanted; others stay for later.
    pub fn hear(
        &mut self,
        limit: Duration,
        is_wanted: impl Fn(&Message) -> bool,
    ) -> Option<Message> {
        if let Some(at) = self.heard.iter().position(&is_wanted) {
            return self.heard.remove(at);
        }
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self.peer.receive(left)?;
            if is_wanted(&message) {
                return Some(message);
            }
            self.acknowledge_again(&message);
            self.heard.push_back(message);
        }
    }

    /// The next request of a method that the server sends.
    pub fn request_within(&mut self, method: &str, limit: Duration) -> Option<Message> {
        self.hear(limit, |message| {
            matches!(&message.start, StartLine::Request { method: is, .. } if is == method)
        })
    }

    /// The next request of a method that the server sends.
    ///
    /// # Panics
    /// When there is none.
    pub fn request(&mut self, method: &str) -> Message {
        self.request_within(method, PATIENCE)
            .unwrap_or_else(|| panic!("no {method} of the server's"))
    }

    /// Answers a request of the server's.
    pub fn respond(&mut self, request: &Message, status: &str, headers: &str, body: Option<&Body>) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for value in request.all(name) {
                let _ = write!(text, "{name}: {value}\r\n");
            }
        }
        text.push_str(headers);
        if let Some(body) = body {
            let _ = write!(text, "Content-Type: {}\r\n", body.content_type);
        }
        let octets = body.map_or(&[][..], |body| &body.bytes);
        let _ = write!(text, "Content-Length: {}\r\n\r\n", octets.len());
        self.peer.send(&[text.as_bytes(), octets].concat());
    }

    /// Places a prepared call, with its offer and metadata.
    ///
    /// # Panics
    /// When it is not accepted.
    pub fn place(&mut self, prepared: Prepared) -> Call {
        let response = self.open(&Ask::invite().body(&prepared.offer.multipart()));
        self.call(prepared, &response)
    }

    /// The same with another SDP than the offer's own; gives the 200 as well.
    ///
    /// # Panics
    /// When it is not accepted.
    pub fn place_with(&mut self, prepared: Prepared, sdp: &str) -> (Call, Message) {
        let body = multipart(sdp, prepared.offer.metadata().as_bytes());
        let response = self.open(&Ask::invite().body(&body));
        (self.call(prepared, &response), response)
    }

    /// The call that a prepared offer became, for those who speak.
    ///
    /// # Panics
    /// When the response has no answer.
    pub fn call(&self, prepared: Prepared, response: &Message) -> Call {
        let Prepared {
            number,
            offer,
            ports,
        } = prepared;
        Call {
            number,
            call_id: self.call_id.clone(),
            offer,
            answer: Answer::parse(&response.body).expect("an SDP answer"),
            ports,
        }
    }
}

/// A body as text.
pub fn text_of(message: &Message) -> String {
    String::from_utf8_lossy(&message.body).into_owned()
}

/// RFC 3261 T1.
const T1: Duration = Duration::from_millis(500);
