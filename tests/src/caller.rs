//! A session recording client: places calls, changes them and ends them as RFC 7866 draws it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use holdfast_load::agent::{Agent, AgentError, Way};
use holdfast_load::answer::Answer;
use holdfast_load::invite::{Body, Codec, Offer};
use holdfast_load::media::{PortPair, PortRange};
use holdfast_load::sip::Message;
use holdfast_load::uac::{Event, Method, Transport};

use crate::peer::way;
use crate::system::System;
use crate::wait::PATIENCE;

/// A caller with a socket or connection of its own.
#[derive(Debug)]
pub struct Caller {
    agent: Agent,
    host: IpAddr,
    ports: PortRange,
}

/// A call that is up.
#[derive(Debug)]
pub struct Call {
    /// Its number; decides what is spoken.
    pub number: u32,
    /// Its Call-ID.
    pub call_id: String,
    /// What was offered last.
    pub offer: Offer,
    /// What was answered last.
    pub answer: Answer,
    /// The ports that the offer names.
    pub ports: Vec<Arc<PortPair>>,
}

/// An offer that is not sent yet, and the ports it names.
#[derive(Debug)]
pub struct Prepared {
    /// Number of the call.
    pub number: u32,
    /// The offer.
    pub offer: Offer,
    /// One pair for each of its lines.
    pub ports: Vec<Arc<PortPair>>,
}

impl Caller {
    /// A caller over UDP.
    pub fn new(system: &System) -> Self {
        Self::over(Transport::Udp, system)
    }

    /// A caller over UDP or TCP.
    pub fn over(transport: Transport, system: &System) -> Self {
        Self::by(&way(transport), system)
    }

    /// A caller by whatever way.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub fn by(way: &Way, system: &System) -> Self {
        let agent = Agent::connect(system.at(way), way, &run_name(), "srs");
        let (first, last) = system.caller_ports();
        Self {
            agent: agent.expect("the server can be reached"),
            host: system.host(),
            ports: PortRange::new(first, last).expect("ports"),
        }
    }

    /// The same for a caller on another address than the server's.
    #[must_use]
    pub const fn on(mut self, host: IpAddr) -> Self {
        self.host = host;
        self
    }

    /// Opens a pair of ports as an offer names them.
    ///
    /// # Panics
    /// When there is none.
    pub fn open_ports(&mut self) -> Arc<PortPair> {
        Arc::new(self.ports.open(self.host).expect("free ports"))
    }

    /// An offer of two lines of one codec.
    pub fn prepare(&mut self, codec: Codec) -> Prepared {
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        let ports = vec![self.open_ports(), self.open_ports()];
        let offer = Offer::two_party(number, codec, ports[0].address, ports[1].address);
        Prepared {
            number,
            offer,
            ports,
        }
    }

    /// The Call-ID that a prepared call will have.
    pub fn call_id(&self, prepared: &Prepared) -> String {
        self.agent.call_id(prepared.number)
    }

    /// Places a call of two parties.
    ///
    /// # Panics
    /// When it is not accepted.
    pub fn call(&mut self, codec: Codec) -> Call {
        let prepared = self.prepare(codec);
        self.place(prepared)
    }

    /// Places a prepared call.
    ///
    /// # Panics
    /// When it is not accepted.
    pub fn place(&mut self, prepared: Prepared) -> Call {
        let body = prepared.offer.multipart();
        let (call, _) = self.place_with(prepared, &body);
        call
    }

    /// Places a prepared call with a body of the test's own; gives the 200 too.
    ///
    /// # Panics
    /// When it is not accepted.
    pub fn place_with(&mut self, prepared: Prepared, body: &Body) -> (Call, Message) {
        let response = match self.try_invite(prepared.number, body) {
            Ok(response) => response,
            Err(refusal) => panic!("the INVITE is refused: {refusal:?}"),
        };
        let Prepared {
            number,
            offer,
            ports,
        } = prepared;
        let call = Call {
            number,
            call_id: self.agent.call_id(number),
            offer,
            answer: Answer::parse(&response.body).expect("an SDP answer"),
            ports,
        };
        (call, response)
    }

    /// Sends an INVITE for a new call and waits: the 200, or the refusal.
    ///
    /// # Panics
    /// When there is no final response.
    pub fn try_invite(&mut self, number: u32, body: &Body) -> Result<Message, Box<Message>> {
        self.agent.invite(number, body).expect("the INVITE is sent");
        self.outcome(number)
    }

    /// Changes a call by re-INVITE.
    ///
    /// # Panics
    /// When that is not accepted.
    pub fn reinvite(&mut self, call: &mut Call, offer: Offer) -> Message {
        let body = offer.multipart();
        let response = self.request(call, Method::Invite, Some(&body));
        call.answer = Answer::parse(&response.body).expect("an SDP answer");
        call.offer = offer;
        response
    }

    /// Sends a request within a call and waits for its 2xx.
    ///
    /// # Panics
    /// When it is refused.
    pub fn request(&mut self, call: &Call, method: Method, body: Option<&Body>) -> Message {
        self.agent
            .request(call.number, method, body)
            .expect("the request is sent");
        self.outcome(call.number)
            .unwrap_or_else(|refusal| panic!("{} is refused: {refusal:?}", method.name()))
    }

    /// Ends a call.
    ///
    /// # Panics
    /// When the BYE is not accepted.
    pub fn hang_up(&mut self, call: &Call) {
        self.request(call, Method::Bye, None);
    }

    /// Waits until the server ends a call.
    ///
    /// # Panics
    /// When it does not.
    pub fn await_hang_up(&mut self, call: &Call) {
        let event = self.agent.wait_for(call.number, PATIENCE).expect("a BYE");
        assert!(matches!(event, Event::HungUp { .. }), "{event:?}");
    }

    /// Stays on the line for a while: answers what the server says.
    ///
    /// # Panics
    /// When something happens to a call.
    pub fn stay(&mut self, duration: Duration) {
        let until = Instant::now() + duration;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let events = self.agent.step(left).expect("the server is there");
            assert_eq!(events, [], "nothing was asked");
        }
    }

    fn outcome(&mut self, number: u32) -> Result<Message, Box<Message>> {
        match self.agent.wait_for(number, PATIENCE) {
            Ok(Event::Accepted { response, .. }) => Ok(response),
            Ok(Event::Refused { response, .. }) => Err(Box::new(response)),
            Ok(other) => panic!("instead of a response: {other:?}"),
            Err(error @ AgentError::Silence(_)) => panic!("{error}"),
            Err(error) => panic!("the caller can't go on: {error}"),
        }
    }
}

/// A name that no other caller of this machine has: it begins every Call-ID.
pub fn run_name() -> String {
    let number = CALLERS.fetch_add(1, Ordering::Relaxed);
    format!("e2e-{}-{number}", std::process::id())
}

static CALLERS: AtomicU32 = AtomicU32::new(0);
static CALLS: AtomicU32 = AtomicU32::new(0);
