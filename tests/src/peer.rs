//! A peer that sends any octets: what a well-behaved caller never would, and what others sent once.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use holdfast_load::agent::Way;
use holdfast_load::invite::Body;
use holdfast_load::sip::{Framer, Message};
use holdfast_load::tls::Stream;
use holdfast_load::uac::Transport;

use crate::wait::{PATIENCE, wait_for};

/// A socket or a connection to the server.
#[derive(Debug)]
pub struct Peer {
    link: Link,
    /// Our address.
    pub local: SocketAddr,
    /// The server's.
    pub server: SocketAddr,
}

#[derive(Debug)]
enum Link {
    Udp(UdpSocket),
    Stream(Box<Stream>, Framer),
}

/// A request to be written: what it does not say is as usual.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Method.
    pub method: &'a str,
    /// Call-ID.
    pub call_id: &'a str,
    /// CSeq number.
    pub cseq: u32,
    /// Further header lines, each with its line end.
    pub headers: &'a str,
    /// Body, if any.
    pub body: Option<&'a Body>,
}

impl Peer {
    /// Opens a socket or a TCP connection.
    pub fn connect(server: SocketAddr, transport: Transport) -> Self {
        Self::over(server, &way(transport))
    }

    /// Opens a socket or a connection.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub fn over(server: SocketAddr, way: &Way) -> Self {
        Self::try_over(server, way).expect("the server can be reached")
    }

    /// The same where the server may not want it.
    ///
    /// # Panics
    /// When there is no socket.
    pub fn try_over(server: SocketAddr, way: &Way) -> std::io::Result<Self> {
        let stream = match way {
            Way::Udp => {
                let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0)).expect("a socket");
                socket.connect(server)?;
                let local = socket.local_addr()?;
                return Ok(Self {
                    link: Link::Udp(socket),
                    local,
                    server,
                });
            }
            Way::Tcp => {
                let socket = TcpStream::connect(server)?;
                socket.set_nodelay(true)?;
                Stream::Plain(socket)
            }
            Way::Tls(client) => Stream::Tls(client.connect(server, PATIENCE)?),
        };
        Self::on(stream, server)
    }

    /// A peer on a connection that is there.
    pub fn on(stream: Stream, server: SocketAddr) -> std::io::Result<Self> {
        let local = stream.socket().local_addr()?;
        let link = Link::Stream(Box::new(stream), Framer::default());
        Ok(Self {
            link,
            local,
            server,
        })
    }

    /// Sends octets as they are.
    ///
    /// # Panics
    /// When the system does not take them.
    pub fn send(&mut self, bytes: &[u8]) {
        match &mut self.link {
            Link::Udp(socket) => assert_eq!(socket.send(bytes).expect("a datagram"), bytes.len()),
            Link::Stream(stream, _) => stream.write_all(bytes).expect("the connection is open"),
        }
    }

    /// The next message, if one comes in time.
    pub fn receive(&mut self, timeout: Duration) -> Option<Message> {
        let until = Instant::now() + timeout;
        let mut buffer = vec![0; 65_536];
        loop {
            if let Link::Stream(_, framer) = &mut self.link
                && let Ok(Some(message)) = framer.poll()
            {
                return Message::parse(&message);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            match &mut self.link {
                Link::Udp(socket) => {
                    socket.set_read_timeout(Some(left)).expect("a time-out");
                    if let Ok(size) = socket.recv(&mut buffer) {
                        return Message::parse(&buffer[..size]);
                    }
                }
                Link::Stream(stream, framer) => {
                    stream.set_read_timeout(Some(left)).expect("a time-out");
                    match stream.read(&mut buffer) {
                        Ok(0) => return None,
                        Ok(size) => framer.feed(&buffer[..size]),
                        Err(_) => {}
                    }
                }
            }
        }
    }

    /// Sends a request and waits for its final response. Over UDP it is repeated, as RFC 3261
    /// wants: a datagram may be lost.
    ///
    /// # Panics
    /// When there is none.
    pub fn ask(&mut self, request: &[u8], cseq: u32, method: &str) -> Message {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            self.send(request);
            let interval = match self.link {
                Link::Udp(_) => REPEAT_INTERVAL,
                Link::Stream(..) => PATIENCE,
            };
            if let Some(response) = self.await_final(interval, Some((cseq, method))) {
                return response;
            }
        }
        panic!("no final response to {cseq} {method}");
    }

    /// The same for a request whose CSeq may not read: whatever final response comes.
    ///
    /// # Panics
    /// When there is none.
    pub fn ask_oddly(&mut self, request: &[u8]) -> Message {
        wait_for("a final response", || {
            self.send(request);
            self.await_final(REPEAT_INTERVAL, None)
        })
    }

    /// The final response to a request that was sent.
    ///
    /// # Panics
    /// When none comes.
    pub fn final_response(&mut self, cseq: u32, method: &str) -> Message {
        self.await_final(PATIENCE, Some((cseq, method)))
            .unwrap_or_else(|| panic!("no final response to {cseq} {method}"))
    }

    fn await_final(&mut self, limit: Duration, cseq: Option<(u32, &str)>) -> Option<Message> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self.receive(left)?;
            let is_final = message.status().is_some_and(|status| status >= 200);
            if is_final && (cseq.is_none() || message.cseq() == cseq) {
                return Some(message);
            }
        }
    }

    /// Whether the server closes the connection.
    pub fn is_closed_within(&mut self, timeout: Duration) -> bool {
        let Link::Stream(stream, _) = &mut self.link else {
            return false;
        };
        let until = Instant::now() + timeout;
        let mut buffer = [0; 4_096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            stream.set_read_timeout(Some(left)).expect("a time-out");
            match stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return false,
                    _ => return true,
                },
            }
        }
    }

    /// A request outside a dialog, with all that RFC 3261 asks of it.
    pub fn write(&self, request: &Request<'_>) -> Vec<u8> {
        let Request {
            method,
            call_id,
            cseq,
            headers,
            body,
        } = request;
        let (server, local, via, branch) = (self.server, self.local, self.via(), branch());
        let mut text = format!(
            "{method} sip:srs@{server} SIP/2.0\r\n\
             Via: SIP/2.0/{via} {local};rport;branch={branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:src@example.com>;tag=t{branch}\r\n\
             To: <sip:srs@{server}>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:src@{local};transport={via}>;+sip.src\r\n{headers}"
        );
        finish(&mut text, *body)
    }

    /// A request within the dialog that a response to `invite` made (RFC 3261 section 12.2.1.1).
    ///
    /// # Panics
    /// When either lacks what makes a dialog.
    pub fn write_within(
        &self,
        invite: &Message,
        response: &Message,
        cseq: u32,
        method: &str,
        body: Option<&Body>,
    ) -> Vec<u8> {
        let header = |message: &Message, name: &str| {
            message
                .header(name)
                .unwrap_or_else(|| panic!("no {name}"))
                .to_owned()
        };
        let target = response.contact_uri().expect("a Contact in the response");
        let (local, via, branch) = (self.local, self.via(), branch());
        let mut text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{via} {local};rport;branch={branch}\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n",
            header(invite, "From"),
            header(response, "To"),
            header(invite, "Call-ID"),
        );
        for route in response.record_routes().iter().rev() {
            text.push_str(&format!("Route: {route}\r\n"));
        }
        finish(&mut text, body)
    }

    /// Name of the transport in Via.
    pub fn via(&self) -> &'static str {
        match self.link {
            Link::Udp(_) => "UDP",
            Link::Stream(ref stream, _) => match **stream {
                Stream::Plain(_) => "TCP",
                Stream::Tls(_) | Stream::Accepted(_) => "TLS",
            },
        }
    }
}

/// The way over a transport that needs nothing else.
///
/// # Panics
/// TLS needs a client.
pub fn way(transport: Transport) -> Way {
    match transport {
        Transport::Udp => Way::Udp,
        Transport::Tcp => Way::Tcp,
        Transport::Tls => panic!("which client?"),
    }
}

/// A branch that was never used.
pub fn branch() -> String {
    let number = BRANCHES.fetch_add(1, Ordering::Relaxed);
    format!("z9hG4bK-e2e-{}-{number}", std::process::id())
}

fn finish(text: &mut String, body: Option<&Body>) -> Vec<u8> {
    if let Some(body) = body {
        text.push_str(&format!("Content-Type: {}\r\n", body.content_type));
    }
    let octets = body.map_or(&[][..], |body| &body.bytes);
    text.push_str(&format!("Content-Length: {}\r\n\r\n", octets.len()));
    let mut bytes = text.as_bytes().to_vec();
    bytes.extend_from_slice(octets);
    bytes
}

/// Session description and metadata of the test's own in one body.
pub fn multipart(sdp: &str, metadata: &[u8]) -> Body {
    let mut bytes = format!(
        "--e2e\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--e2e\r\n\
         Content-Type: application/rs-metadata+xml\r\n\
         Content-Disposition: recording-session\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(metadata);
    bytes.extend_from_slice(b"\r\n--e2e--\r\n");
    Body {
        content_type: "multipart/mixed;boundary=e2e".to_owned(),
        bytes,
    }
}

/// RFC 3261 T1.
const REPEAT_INTERVAL: Duration = Duration::from_millis(500);

static BRANCHES: AtomicU32 = AtomicU32::new(0);
