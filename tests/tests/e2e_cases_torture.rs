//! TC-79: the torture messages of RFC 4475 (49) and RFC 5118 (12), octet for octet, each with the
//! answer that a server which only records owes, over UDP and over TCP; and the server alive after
//! each.
//!
//! The messages lie in `tests/torture`, one a file, named as in the RFCs. Three are not theirs to
//! the octet: the printed bodies of RFC 4475 section 3.3.8 and RFC 5118 section 4.8 and 4.9 are not
//! as long as their Content-Length says, which is none of what they are about; here it is right.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use holdfast_e2e::peer::{Peer, Request};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::tools::skipped;
use holdfast_e2e::wait::PATIENCE;
use holdfast_load::sip::Message;
use holdfast_load::uac::Transport;

use Outcome::{Closed, Silence, Status};

/// What becomes of a message.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// One of these final responses.
    Status(&'static [u16]),
    /// No response; over a connection, the next message is answered all the same.
    Silence,
    /// The connection is closed, after a response or without: where the next message begins is not
    /// known.
    Closed,
}

/// A message: its name, its section, what becomes of it over UDP and over TCP.
type Row = (&'static str, &'static str, Outcome, Outcome);

/// No mark of a recording session: refused, whatever else is in it.
const NO_RECORDING: Outcome = Status(&[403, 421]);
const BAD: Outcome = Status(&[400]);
const OK: Outcome = Status(&[200]);
/// REGISTER and MESSAGE; a server may look at what is wrong in them first.
const NOT_ALLOWED: Outcome = Status(&[405]);

/// RFC 4475, in its order.
const RFC_4475: [Row; 49] = [
    // Its To has a tag, so it is of a dialog, which is not there (RFC 3261 section 12.2.2).
    ("wsinv", "3.1.1.1", Status(&[481]), Status(&[481])),
    ("intmeth", "3.1.1.2", Status(&[501]), Status(&[501])),
    ("esc01", "3.1.1.3", NO_RECORDING, NO_RECORDING),
    ("escnull", "3.1.1.4", NOT_ALLOWED, NOT_ALLOWED),
    ("esc02", "3.1.1.5", Status(&[501]), Status(&[501])),
    ("lwsdisp", "3.1.1.6", OK, OK),
    ("longreq", "3.1.1.7", NO_RECORDING, NO_RECORDING),
    // Over a stream both are answered, the first of them first.
    ("dblreq", "3.1.1.8", NOT_ALLOWED, NOT_ALLOWED),
    ("semiuri", "3.1.1.9", OK, OK),
    ("transports", "3.1.1.10", OK, OK),
    ("mpart01", "3.1.1.11", NOT_ALLOWED, NOT_ALLOWED),
    ("unreason", "3.1.1.12", Silence, Silence),
    ("noreason", "3.1.1.13", Silence, Silence),
    ("badinv01", "3.1.2.1", BAD, BAD),
    // Over a stream the rest of the body may still come.
    ("clerr", "3.1.2.2", BAD, Silence),
    ("ncl", "3.1.2.3", BAD, Closed),
    ("scalar02", "3.1.2.4", BAD, BAD),
    ("scalarlg", "3.1.2.5", Silence, Silence),
    ("quotbal", "3.1.2.6", BAD, BAD),
    ("ltgtruri", "3.1.2.7", BAD, BAD),
    ("lwsruri", "3.1.2.8", BAD, BAD),
    (
        "lwsstart",
        "3.1.2.9",
        Status(&[400, 403, 421]),
        Status(&[400, 403, 421]),
    ),
    ("trws", "3.1.2.10", Status(&[200, 400]), Status(&[200, 400])),
    ("escruri", "3.1.2.11", BAD, BAD),
    ("baddate", "3.1.2.12", NO_RECORDING, NO_RECORDING),
    (
        "regbadct",
        "3.1.2.13",
        Status(&[400, 405]),
        Status(&[400, 405]),
    ),
    // The section lets a server that can tell what is meant go on.
    (
        "badaspec",
        "3.1.2.14",
        Status(&[200, 400]),
        Status(&[200, 400]),
    ),
    (
        "baddn",
        "3.1.2.15",
        Status(&[200, 400]),
        Status(&[200, 400]),
    ),
    ("badvers", "3.1.2.16", Status(&[505]), Status(&[505])),
    ("mismatch01", "3.1.2.17", BAD, BAD),
    (
        "mismatch02",
        "3.1.2.18",
        Status(&[400, 501]),
        Status(&[400, 501]),
    ),
    ("bigcode", "3.1.2.19", Silence, Silence),
    (
        "badbranch",
        "3.2.1",
        Status(&[200, 400]),
        Status(&[200, 400]),
    ),
    ("insuf", "3.3.1", BAD, BAD),
    ("unkscm", "3.3.2", Status(&[416]), Status(&[416])),
    ("novelsc", "3.3.3", Status(&[404, 416]), Status(&[404, 416])),
    ("unksm2", "3.3.4", NOT_ALLOWED, NOT_ALLOWED),
    ("bext01", "3.3.5", Status(&[420]), Status(&[420])),
    (
        "invut",
        "3.3.6",
        Status(&[403, 415, 421]),
        Status(&[403, 415, 421]),
    ),
    ("regaut01", "3.3.7", NOT_ALLOWED, NOT_ALLOWED),
    ("multi01", "3.3.8", BAD, BAD),
    ("mcl01", "3.3.9", BAD, Closed),
    ("bcast", "3.3.10", Silence, Silence),
    ("zeromf", "3.3.11", OK, OK),
    ("cparam01", "3.3.12", NOT_ALLOWED, NOT_ALLOWED),
    ("cparam02", "3.3.13", NOT_ALLOWED, NOT_ALLOWED),
    ("regescrt", "3.3.14", NOT_ALLOWED, NOT_ALLOWED),
    (
        "sdp01",
        "3.3.15",
        Status(&[400, 403, 406, 421]),
        Status(&[400, 403, 406, 421]),
    ),
    // No Content-Length: a datagram has an end, a stream has none.
    ("inv2543", "3.4.1", NO_RECORDING, Closed),
];

/// RFC 5118, in its order.
const RFC_5118: [Row; 12] = [
    ("ipv6-good", "4.1", NOT_ALLOWED, NOT_ALLOWED),
    ("ipv6-bad", "4.2", BAD, BAD),
    ("port-ambiguous", "4.3", NOT_ALLOWED, NOT_ALLOWED),
    ("port-unambiguous", "4.4", NOT_ALLOWED, NOT_ALLOWED),
    // BYE of a dialog that is not there: read, so that is what is said.
    (
        "via-received-param-with-delim",
        "4.5",
        Status(&[481]),
        Status(&[481]),
    ),
    ("via-received-param-no-delim", "4.5", OK, OK),
    ("ipv6-in-sdp", "4.6", NO_RECORDING, NO_RECORDING),
    ("mult-ip-in-header", "4.7", Status(&[481]), Status(&[481])),
    ("mult-ip-in-sdp", "4.8", NO_RECORDING, NO_RECORDING),
    ("ipv4-mapped-ipv6", "4.9", NO_RECORDING, NO_RECORDING),
    ("ipv6-bug-abnf-3-colons", "4.10", OK, OK),
    ("ipv6-correct-abnf-2-colons", "4.10", OK, OK),
];

/// What the INVITEs that are valid become once they ask for a recording.
const AS_RECORDINGS: [(&str, u16); 9] = [
    ("esc01", 200),
    ("longreq", 200),
    ("baddate", 200),
    ("sdp01", 200),
    ("inv2543", 200),
    ("invut", 415),
    // This server has IPv4 alone: media of the other family is not acceptable.
    ("ipv6-in-sdp", 488),
    ("mult-ip-in-sdp", 200),
    ("ipv4-mapped-ipv6", 488),
];

#[test]
fn tc_79_each_torture_message_has_its_answer_over_udp() {
    let system = System::start(&Options::new());
    let Some(mut sender) = Sender::bind(system.sip()) else {
        return;
    };
    let mut used = BTreeSet::new();
    for (name, section, outcome, _) in RFC_4475.into_iter().chain(RFC_5118) {
        let message = with_branch_of_its_own(name, read(name), &mut used);
        let answers = sender.send(&message, name, outcome);
        judge((name, section), outcome, &message, &answers);
    }
    assert_eq!(system.all_recordings().len(), 0, "none is a recording");
}

#[test]
fn tc_79_each_torture_message_has_its_answer_over_tcp() {
    let system = System::start(&Options::new());
    // A neighbour that must not notice.
    let mut neighbour = Peer::connect(system.sip(), Transport::Tcp);
    let mut used = BTreeSet::new();
    for (name, section, _, outcome) in RFC_4475.into_iter().chain(RFC_5118) {
        let message = with_branch_of_its_own(name, read(name), &mut used);
        let mut peer = Peer::connect(system.sip(), Transport::Tcp);
        peer.send(&message);
        match outcome {
            Closed => {
                assert!(peer.is_closed_within(PATIENCE), "{name} ({section})");
            }
            Status(_) => {
                let answer = peer.receive(PATIENCE).into_iter().collect::<Vec<_>>();
                judge((name, section), outcome, &message, &answer);
                if name == "dblreq" {
                    let second = peer.receive(PATIENCE).expect("the second request");
                    let call_id = second.header("Call-ID").map(str::to_owned);
                    assert_eq!(
                        (second.status(), call_id.as_deref()),
                        (Some(403), Some("dblreq.0ha0isnda977644900765@192.0.2.15"))
                    );
                }
            }
            // It waits for 9,999 octets, and takes what follows for them: only the end tells.
            Silence if name == "clerr" => drop(peer),
            Silence => assert_alive(&mut peer, name),
        }
        assert_alive(&mut neighbour, name);
    }
}

#[test]
fn tc_79_valid_torture_invites_are_recorded_once_they_ask_for_it() {
    let system = System::start(&Options::new());
    for (name, status) in AS_RECORDINGS {
        let message = read(name);
        let text = String::from_utf8_lossy(&message);
        // Nothing is sent to the addresses of the RFC: others of the same length.
        let text = text.replace("IN IP4 192.0.2.", "IN IP4 127.0.0.");
        let text = text
            .replace("IN IP6 2001:db8::20", "IN IP6 ::1")
            .replace("2001:db8::1\r\n", "::1\r\n");
        let text = text.replace("::ffff:192.0.2.2\r\n", "::ffff:127.0.0.2\r\n");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let head: Vec<&str> = head
            .split("\r\n")
            .filter(|line| {
                !line.to_ascii_lowercase().starts_with("content-length") && !line.starts_with("l:")
            })
            .collect();
        let message = format!(
            "{}\r\nRequire: siprec\r\nContent-Length: {}\r\n\r\n{body}",
            head.join("\r\n"),
            body.len()
        );
        let mut peer = Peer::connect(system.sip(), Transport::Tcp);
        peer.send(message.as_bytes());
        let response = peer.final_answer(name);
        assert_eq!(response.status(), Some(status), "{name}: {response:?}");
        if status != 200 {
            let why = if status == 415 { "Accept" } else { "Warning" };
            assert!(response.header(why).is_some(), "{name}: {response:?}");
            continue;
        }
        let invite = Message::parse(message.as_bytes()).expect("our own message");
        let cseq = invite.cseq().map_or(9, |(number, _)| number);
        peer.send(&peer.write_within(&invite, &response, cseq, "ACK", None));
        let bye = peer.write_within(&invite, &response, cseq + 1, "BYE", None);
        assert_eq!(
            peer.ask(&bye, cseq + 1, "BYE").status(),
            Some(200),
            "{name}"
        );
        let call_id = invite.header("Call-ID").expect("a Call-ID");
        system.all_published(call_id, 1);
    }
}

trait FinalAnswer {
    fn final_answer(&mut self, name: &str) -> Message;
}

impl FinalAnswer for Peer {
    fn final_answer(&mut self, name: &str) -> Message {
        loop {
            let message = self
                .receive(PATIENCE)
                .unwrap_or_else(|| panic!("no answer to {name}"));
            if message.status().is_some_and(|status| status >= 200) {
                return message;
            }
        }
    }
}

/// Where the answers come to: the address of the sender and the ports that the messages name in
/// their topmost Via, since but one of them asks for `rport` (RFC 3261 section 18.2.2).
struct Sender {
    /// The first is that which sends.
    sockets: Vec<UdpSocket>,
    server: SocketAddr,
    /// Requests of our own so far.
    asked: u32,
}

impl Sender {
    /// `None`, and a word about it, where another program has one of the ports on all addresses.
    fn bind(server: SocketAddr) -> Option<Self> {
        // All of 127/8 is ours; the process id keeps two runs apart.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let host = IpAddr::from(Ipv4Addr::new(127, 79, high, low.max(1)));
        let mut sockets = Vec::new();
        for port in VIA_PORTS {
            match UdpSocket::bind((host, port)) {
                Ok(socket) => sockets.push(socket),
                Err(error) => {
                    skipped(&format!("{host}:{port}, which the messages name: {error}"));
                    return None;
                }
            }
        }
        for socket in &sockets {
            socket.set_nonblocking(true).expect("a socket");
        }
        Some(Self {
            sockets,
            server,
            asked: 0,
        })
    }

    /// Sends a message, then a request of our own, and gives what was answered before that one was.
    /// A message that is to be answered is waited for, and repeated if a datagram was lost.
    fn send(&mut self, message: &[u8], name: &str, outcome: Outcome) -> Vec<Message> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.sockets[0]
                .send_to(message, self.server)
                .expect("a datagram");
            let answers = self.hear_until_alive(name);
            // Refusals of messages before this one are repeated meanwhile.
            let own = call_id(message);
            let is_answered = answers
                .iter()
                .any(|one| one.header("Call-ID") == own.as_deref());
            if is_answered || !matches!(outcome, Status(_)) || Instant::now() > until {
                return answers;
            }
        }
    }

    /// Asks OPTIONS of our own until it is answered; gives what else is said until then.
    fn hear_until_alive(&mut self, name: &str) -> Vec<Message> {
        self.asked += 1;
        let local = self.sockets[0].local_addr().expect("our address");
        let call_id = format!("alive-{}-{}", std::process::id(), self.asked);
        let (server, asked) = (self.server, self.asked);
        let options = format!(
            "OPTIONS sip:srs@{server} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK-{call_id}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:srs@{server}>\r\nCall-ID: {call_id}\r\n\
             CSeq: {asked} OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let until = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        while Instant::now() < until {
            self.sockets[0]
                .send_to(options.as_bytes(), server)
                .expect("a datagram");
            let repeat = Instant::now() + Duration::from_millis(500);
            while Instant::now() < repeat {
                // All that is here by now: answers come to several sockets.
                let heard = self.hear();
                let is_alive = |one: &Message| one.header("Call-ID") == Some(&call_id);
                let alive = heard
                    .iter()
                    .find(|one| is_alive(one))
                    .and_then(Message::status);
                others.extend(heard);
                if let Some(status) = alive {
                    assert_eq!(status, 200, "after {name}");
                    return others;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        panic!("the server does not answer after {name}");
    }

    fn hear(&self) -> Vec<Message> {
        let mut buffer = vec![0; 65_536];
        let mut heard = Vec::new();
        for socket in &self.sockets {
            while let Ok((size, _)) = socket.recv_from(&mut buffer) {
                heard.extend(Message::parse(&buffer[..size]));
            }
        }
        heard
    }
}

/// Holds what was answered against what was to be.
fn judge((name, section): (&str, &str), outcome: Outcome, sent: &[u8], answers: &[Message]) {
    let own = call_id(sent);
    let about: Vec<&Message> = answers
        .iter()
        .filter(|answer| answer.header("Call-ID").map(str::to_owned) == own)
        .collect();
    let Status(allowed) = outcome else {
        assert!(about.is_empty(), "{name} ({section}): {about:?}");
        return;
    };
    let answer = about
        .first()
        .unwrap_or_else(|| panic!("{name} ({section}): no answer"));
    let status = answer.status().unwrap_or_default();
    assert!(allowed.contains(&status), "{name} ({section}): {answer:?}");
    let owed = match status {
        405 | 501 => Some("Allow"),
        415 => Some("Accept"),
        420 => Some("Unsupported"),
        _ => None,
    };
    if let Some(header) = owed {
        assert!(
            answer.header(header).is_some(),
            "{name} ({section}): no {header}"
        );
    }
    if status == 420 {
        let unsupported = answer.header("Unsupported").unwrap_or_default();
        assert_eq!(
            unsupported,
            "nothingSupportsThis, nothingSupportsThisEither"
        );
    }
}

/// The Call-ID of a message, the first where it has two; `None` where it has none.
fn call_id(message: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(message);
    let (head, _) = text.split_once("\r\n\r\n")?;
    head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim().to_ascii_lowercase();
        matches!(name.as_str(), "call-id" | "i").then(|| value.trim().to_owned())
    })
}

/// Messages of the RFCs share branches and Call-IDs. Two with the same branch, host and method are
/// one and the same to a server (RFC 3261 section 17.2.3), two with one Call-ID, number and tag
/// a request that was forked (section 8.2.2.2): the second and later get some of their own.
fn with_branch_of_its_own(name: &str, message: Vec<u8>, used: &mut BTreeSet<String>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&message);
    let line_of = |what: &str| {
        text.split("\r\n")
            .find(|line| line.starts_with(what))
            .unwrap_or_default()
            .to_owned()
    };
    let method = text.split(' ').next().unwrap_or_default().to_owned();
    let via = line_of("Via:");
    if via.is_empty() || used.insert(format!("{method} {via}")) {
        return message;
    }
    let other = via.replace(";branch=z9hG4bK", &format!(";branch=z9hG4bK{name}"));
    assert_ne!(via, other, "{name}");
    let text = text.replacen(&via, &other, 1);
    text.replacen("Call-ID: ", &format!("Call-ID: {name}"), 1)
        .into_bytes()
}

fn assert_alive(peer: &mut Peer, name: &str) {
    let call_id = format!("alive-{}-{name}", std::process::id());
    let options = peer.write(&Request {
        method: "OPTIONS",
        call_id: &call_id,
        cseq: 7,
        headers: "",
        body: None,
    });
    peer.send(&options);
    let answer = peer.final_answer(name);
    assert_eq!(
        (answer.status(), answer.header("Call-ID")),
        (Some(200), Some(call_id.as_str())),
        "after {name}"
    );
}

fn read(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("torture/{name}.sip"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The ports of the topmost Via, and 5060 where there is none.
const VIA_PORTS: [u16; 5] = [5060, 5050, 5070, 6050, 19_823];
