//! The shell around the caller: one socket or connection and the clock.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use holdfast_units::MonoTime;

use crate::invite::Body;
use crate::limits;
use crate::sip::{Framer, FramingError};
use crate::tls::{Client, Stream};
use crate::uac::{DialogName, Event, Method, Output, RequestError, Transport, Uac, UacConfig};

/// A caller on the network. Blocking; one thread owns it.
#[derive(Debug)]
pub struct Agent {
    uac: Uac,
    link: Link,
    started: Instant,
    events: Vec<Event>,
    buffer: Vec<u8>,
}

/// What carries the messages.
#[derive(Debug)]
enum Link {
    Udp(UdpSocket),
    Stream(Box<Stream>, Framer),
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub enum Way {
    /// Over UDP.
    Udp,
    /// Over TCP.
    Tcp,
    /// Over TLS, as this client does it.
    Tls(Client),
}

impl Way {
    /// What carries the messages.
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Udp => Transport::Udp,
            Self::Tcp => Transport::Tcp,
            Self::Tls(_) => Transport::Tls,
        }
    }
}

/// Why a caller can't go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The server can't be reached at all.
    #[error("connecting to {target}")]
    Connect {
        /// The server.
        target: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// Sending or receiving failed.
    #[error("exchanging SIP messages")]
    Exchange(#[from] io::Error),
    /// The server's stream can't be read.
    #[error("reading the server's stream")]
    Framing(#[from] FramingError),
    /// A request came at the wrong time.
    #[error("making a request")]
    Request(#[from] RequestError),
    /// Nothing happened to the call in the time allowed.
    #[error("nothing happened to call {0} in time")]
    Silence(u32),
}

impl Agent {
    /// Opens a socket towards the server. `run` distinguishes the Call-IDs of this caller from all
    /// others; `user` is the user part of the Request-URI.
    pub fn connect(
        target: SocketAddr,
        way: &Way,
        run: &str,
        user: &str,
    ) -> Result<Self, AgentError> {
        let connect = |source| AgentError::Connect { target, source };
        let (link, local) = match way {
            Way::Udp => {
                let any: SocketAddr = if target.is_ipv4() {
                    ([0; 4], 0).into()
                } else {
                    ([0; 16], 0).into()
                };
                let socket = UdpSocket::bind(any).map_err(connect)?;
                socket.connect(target).map_err(connect)?;
                let local = socket.local_addr().map_err(connect)?;
                (Link::Udp(socket), local)
            }
            Way::Tcp => {
                let socket =
                    TcpStream::connect_timeout(&target, CONNECT_TIMEOUT).map_err(connect)?;
                socket.set_nodelay(true).map_err(connect)?;
                linked(Stream::Plain(socket)).map_err(connect)?
            }
            Way::Tls(client) => {
                let stream = client.connect(target, CONNECT_TIMEOUT).map_err(connect)?;
                linked(Stream::Tls(stream)).map_err(connect)?
            }
        };
        let (run, user) = (run.to_owned(), user.to_owned());
        let config = UacConfig {
            transport: way.transport(),
            local,
            target,
            run,
            user,
        };
        Ok(Self {
            uac: Uac::new(config),
            link,
            started: Instant::now(),
            events: Vec::new(),
            buffer: vec![0; limits::MESSAGE_SIZE_MAX],
        })
    }

    /// Our own address, as the server sees it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.link {
            Link::Udp(socket) => socket.local_addr(),
            Link::Stream(stream, _) => stream.socket().local_addr(),
        }
    }

    /// The Call-ID of a call.
    pub fn call_id(&self, call: u32) -> String {
        self.uac.call_id(call)
    }

    /// Opens a call.
    pub fn invite(&mut self, call: u32, body: &Body) -> Result<(), AgentError> {
        self.uac.invite(self.now(), call, body)?;
        self.flush()
    }

    /// Opens a call that goes on from a dialog with another server (RFC 3891).
    pub fn invite_replacing(
        &mut self,
        call: u32,
        body: &Body,
        former: &DialogName,
    ) -> Result<(), AgentError> {
        let now = self.now();
        self.uac.invite_replacing(now, call, body, former)?;
        self.flush()
    }

    /// How a call's dialog is named to others; `None` where it is not established.
    pub fn dialog_name(&self, call: u32) -> Option<DialogName> {
        self.uac.dialog_name(call)
    }

    /// Sends a request within a call.
    pub fn request(
        &mut self,
        call: u32,
        method: Method,
        body: Option<&Body>,
    ) -> Result<(), AgentError> {
        self.uac.request(self.now(), call, method, body)?;
        self.flush()
    }

    /// Asks the server outside any call what it can do.
    pub fn options(&mut self, call: u32) -> Result<(), AgentError> {
        self.uac.options(self.now(), call)?;
        self.flush()
    }

    /// Waits at most `wait` for messages and timers and returns what happened.
    pub fn step(&mut self, wait: Duration) -> Result<Vec<Event>, AgentError> {
        let until_timer = self
            .uac
            .poll_timeout()
            .map_or(wait, |at| at.since(self.now()));
        let count = self.receive(wait.min(until_timer))?;
        if count > 0 {
            self.take_in(count)?;
        }
        self.uac.handle_timeout(self.now());
        self.flush()?;
        Ok(std::mem::take(&mut self.events))
    }

    /// Waits until something happens to `call`; what happens to other calls meanwhile is returned by
    /// a later `step`.
    pub fn wait_for(&mut self, call: u32, timeout: Duration) -> Result<Event, AgentError> {
        let until = Instant::now() + timeout;
        let mut others = Vec::new();
        let found = loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut found = None;
            for event in self.step(left)? {
                if found.is_none() && event.call() == call {
                    found = Some(event);
                } else {
                    others.push(event);
                }
            }
            if found.is_some() || left.is_zero() {
                break found;
            }
        };
        self.events = others;
        found.ok_or(AgentError::Silence(call))
    }

    fn now(&self) -> MonoTime {
        MonoTime::ZERO + self.started.elapsed()
    }

    /// Reads once; 0 when nothing came in time.
    fn receive(&mut self, wait: Duration) -> Result<usize, AgentError> {
        // The system reads a timeout of zero as "for ever".
        let wait = Some(wait.max(Duration::from_micros(1)));
        let result = match &mut self.link {
            Link::Udp(socket) => {
                socket.set_read_timeout(wait)?;
                socket.recv(&mut self.buffer)
            }
            Link::Stream(stream, _) => {
                stream.set_read_timeout(wait)?;
                match stream.read(&mut self.buffer) {
                    Ok(0) => return Err(AgentError::Closed),
                    other => other,
                }
            }
        };
        match result {
            Ok(count) => Ok(count),
            // A datagram socket reports here that an earlier datagram found nobody; the request is
            // repeated anyhow.
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted
                | io::ErrorKind::ConnectionRefused => Ok(0),
                _ => Err(error.into()),
            },
        }
    }

    fn take_in(&mut self, count: usize) -> Result<(), AgentError> {
        let now = self.now();
        match &mut self.link {
            Link::Udp(_) => self.uac.handle_message(now, &self.buffer[..count]),
            Link::Stream(_, framer) => {
                framer.feed(&self.buffer[..count]);
                while let Some(message) = framer.poll()? {
                    self.uac.handle_message(now, &message);
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), AgentError> {
        while let Some(output) = self.uac.poll_output() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Transmit(bytes) => match &mut self.link {
                    Link::Stream(stream, _) => stream.write_all(&bytes)?,
                    Link::Udp(socket) => match socket.send(&bytes) {
                        Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => {
                            return Err(error.into());
                        }
                        _ => {}
                    },
                },
            }
        }
        Ok(())
    }
}

fn linked(stream: Stream) -> io::Result<(Link, SocketAddr)> {
    let local = stream.socket().local_addr()?;
    Ok((Link::Stream(Box::new(stream), Framer::default()), local))
}

/// How long a TCP connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
