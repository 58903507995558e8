//! Who may record: addresses, Digest, profiles of peers, rates. Whoever may not leaves nothing behind.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use holdfast_e2e::peer::{Peer, Request, branch, multipart};
use holdfast_e2e::system::{Options, System};
use holdfast_load::agent::Way;
use holdfast_load::answer::Answer;
use holdfast_load::invite::Body;
use holdfast_load::sip::Message;
use md5::Md5;
use sha2::{Digest as _, Sha256};

const PASSWORD: &str = "kept out of every log";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Md5,
}

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    fn hash(self, text: &str) -> String {
        let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect();
        match self {
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Md5 => hex(&Md5::digest(text)),
        }
    }
}

/// TC-90 with both algorithms, and in-dialog requests (TC-94).
#[test]
fn who_knows_its_secret_records_and_nobody_else() {
    for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
        let system = System::start(&asking("\"SHA-256\", \"MD5\""));
        let mut peer = Peer::over(system.sip(), &Way::Udp);
        let call_id = branch();
        let mut client = Client::new("sbc", PASSWORD, algorithm);
        let (challenge, _) = ask(&mut peer, &mut client, "INVITE", &call_id, 1, None);
        assert_eq!(challenge.status(), Some(401));
        let offered = challenges(&challenge);
        let names: Vec<bool> = offered
            .iter()
            .map(|value| value.contains("algorithm=SHA-256"))
            .collect();
        assert_eq!(names, [true, false], "the preferred one first: {offered:?}");
        // Wrong, unknown, and not for us.
        for (user, password) in [("sbc", "wrong"), ("nobody", PASSWORD)] {
            let mut other = Client::new(user, password, algorithm);
            other.learn(&challenge);
            let (response, _) = ask(&mut peer, &mut other, "INVITE", &branch(), 2, None);
            assert_eq!(response.status(), Some(401), "{user} {password}");
        }
        let basic = peer.write(&Request {
            headers: "Require: siprec\r\nAuthorization: Basic c2JjOnNlY3JldA==\r\n",
            ..recording("INVITE", &branch(), Some(&offer("")))
        });
        let response = peer.ask(&basic, 1, "INVITE");
        assert_eq!(response.status(), Some(401));
        assert!(!challenges(&response).join("").contains("Basic"));
        client.learn(&challenge);
        let (response, invite) = ask(&mut peer, &mut client, "INVITE", &call_id, 2, None);
        assert_eq!(response.status(), Some(200), "{response:?}");
        // The ACK is not challenged (TC-91), or the 200 would come again and a BYE after it.
        peer.send(&peer.write_within(&invite, &response, 2, "ACK", None));
        // A replay, in another transaction.
        let replay = String::from_utf8(client.last.clone()).expect("text");
        let replay = replay
            .replace(&call_id, &branch())
            .replace("branch=z9hG4bK", "branch=z9hG4bKr");
        let replayed = peer.ask(replay.as_bytes(), 2, "INVITE");
        assert_eq!(replayed.status(), Some(401));
        assert!(challenges(&replayed)[0].contains("stale=true"));
        // A BYE without credentials is worth nothing.
        let bye = peer.write_within(&invite, &response, 3, "BYE", None);
        assert_eq!(peer.ask(&bye, 3, "BYE").status(), Some(401));
        assert!(system.published_so_far(&call_id).is_empty());
        let within = Some((&invite, &response));
        let (response, _) = ask(&mut peer, &mut client, "BYE", &call_id, 4, within);
        assert_eq!(response.status(), Some(200), "{response:?}");
        let sip = system.published(&call_id).manifest.call.sip;
        assert_eq!(sip.user.as_deref(), Some("sbc"));
        assert_eq!(sip.profile.as_deref(), Some("main"));
        assert_eq!(system.all_recordings().len(), 1);
        let log = system.signaling.log();
        assert!(log.contains("wrong credentials"), "{log}");
        let secret = algorithm.hash(&format!("sbc:holdfast:{PASSWORD}"));
        assert!(!log.contains(PASSWORD) && !log.contains(&secret));
    }
}

#[test]
fn md5_is_taken_only_where_it_is_wanted() {
    let system = System::start(&asking("\"SHA-256\""));
    let mut peer = Peer::over(system.sip(), &Way::Tcp);
    let mut client = Client::new("sbc", PASSWORD, Algorithm::Md5);
    let (challenge, _) = ask(&mut peer, &mut client, "INVITE", &branch(), 1, None);
    client.nonce = nonce_of(&challenge);
    let (response, _) = ask(&mut peer, &mut client, "INVITE", &branch(), 2, None);
    assert_eq!(response.status(), Some(401));
}

/// TC-91 and the answer to an INVITE that waits: a CANCEL has no credentials.
#[test]
fn options_and_cancel_are_not_challenged() {
    let system = System::start(&asking("\"SHA-256\""));
    let mut peer = Peer::over(system.sip(), &Way::Udp);
    let options = peer.write(&recording("OPTIONS", &branch(), None));
    assert_eq!(peer.ask(&options, 1, "OPTIONS").status(), Some(200));
    let cancel = peer.write(&recording("CANCEL", &branch(), None));
    assert_eq!(peer.ask(&cancel, 1, "CANCEL").status(), Some(481));
}

/// TC-94: the right tags from the wrong address.
#[test]
fn a_call_is_ended_by_the_peer_that_began_it() {
    let options = Options::new()
        .peer("name = \"sbc\"\naddresses = [\"127.0.0.1\"]")
        .peer("name = \"other\"\naddresses = [\"127.0.0.2\"]");
    let system = System::start(&options);
    let mut peer = Peer::over(system.sip(), &Way::Udp);
    let call_id = branch();
    let invite = peer.write(&recording("INVITE", &call_id, Some(&offer(""))));
    let response = peer.ask(&invite, 1, "INVITE");
    assert_eq!(response.status(), Some(200));
    let invite = Message::parse(&invite).expect("a message");
    peer.send(&peer.write_within(&invite, &response, 1, "ACK", None));
    let forger = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).expect("a socket");
    let bye = peer.write_within(&invite, &response, 2, "BYE", None);
    forger.send_to(&bye, system.sip()).expect("a datagram");
    assert_eq!(status_at(&forger), Some(403));
    assert!(system.published_so_far(&call_id).is_empty());
    let bye = peer.write_within(&invite, &response, 3, "BYE", None);
    assert_eq!(peer.ask(&bye, 3, "BYE").status(), Some(200));
    system.published(&call_id);
}

#[test]
fn addresses_and_unknown_peers_are_refused_before_anything_is_kept() {
    let closed = Options::new().set("access", "allow = [\"127.0.0.1\"]");
    let known = Options::new()
        .set("access", "unknown_peers = \"refuse\"")
        .peer("name = \"sbc\"\naddresses = [\"127.0.0.1\"]");
    for options in [closed, known] {
        let system = System::start(&options);
        let stranger = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).expect("a socket");
        let mut peer = Peer::over(system.sip(), &Way::Udp);
        let invite = peer.write(&recording("INVITE", &branch(), Some(&offer(""))));
        stranger.send_to(&invite, system.sip()).expect("a datagram");
        assert_eq!(status_at(&stranger), Some(403));
        assert!(system.all_recordings().is_empty());
        let call_id = branch();
        let invite = peer.write(&recording("INVITE", &call_id, Some(&offer(""))));
        assert_eq!(peer.ask(&invite, 1, "INVITE").status(), Some(200));
    }
}

#[test]
fn each_peer_has_its_own_rules() {
    let options = Options::new()
        .set("digest", "algorithms = [\"MD5\"]")
        .peer("name = \"strict\"\naddresses = [\"127.0.0.2\"]\nmode = \"strict\"")
        .peer(
            "name = \"plain\"\naddresses = [\"127.0.0.3\"]\nplain_invite = \"accept\"\n\
             labels = [\"agent\", \"customer\"]\ncodecs = [\"PCMA\"]",
        );
    let system = System::start(&options);
    let plain = offer_of("m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n");
    let ask = |last: u8, headers: &str, body: &Body| {
        let peer = Peer::over(system.sip(), &Way::Udp);
        let call_id = branch();
        let request = peer.write(&Request {
            headers,
            body: Some(body),
            ..recording("INVITE", &call_id, None)
        });
        // Its Contact has no mark either.
        let text = String::from_utf8(request).expect("text");
        let text = text.replace(";+sip.src", "");
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, last), 0)).expect("a socket");
        socket.send_to(text.as_bytes(), system.sip()).expect("sent");
        (call_id, response_at(&socket).expect("an answer"))
    };
    // Lenient by default: the option tag is mark enough. Strict: it is not.
    let marked = "Require: siprec\r\n";
    assert_eq!(ask(1, marked, &offer("")).1.status(), Some(200));
    assert_eq!(ask(2, marked, &offer("")).1.status(), Some(403));
    // Without any mark.
    assert_eq!(ask(1, "", &plain).1.status(), Some(403));
    let (call_id, response) = ask(3, "", &plain);
    assert_eq!(response.status(), Some(200));
    let answer = Answer::parse(&response.body).expect("an answer");
    let formats: Vec<&str> = answer.lines[0].formats.iter().map(String::as_str).collect();
    assert_eq!(formats, ["8", "101"], "only what is wanted, and events");
    assert_eq!(answer.lines[0].label, None, "it has sent no label");
    drop(system.signaling.log());
    let mut system = system;
    system.signaling.ask_to_end();
    assert!(system.signaling.wait().success());
    let manifest = system.published(&call_id).manifest;
    assert_eq!(manifest.call.sip.profile.as_deref(), Some("plain"));
    assert_eq!(manifest.streams[0].label.as_deref(), Some("agent"));
}

#[test]
fn a_source_that_asks_too_often_gets_503() {
    let options = Options::new()
        .set("access", "requests_per_second = 1")
        .set("access", "requests_burst = 200")
        .set("sip", "retry_after = \"7 s\"");
    let system = System::start(&options);
    let peer = Peer::over(system.sip(), &Way::Udp);
    // From an address of its own: whoever waited for the server to start has asked often, too.
    let asking = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 3), 0)).expect("a socket");
    let ask = || {
        let options = peer.write(&recording("OPTIONS", &branch(), None));
        asking.send_to(&options, system.sip()).expect("a datagram");
        response_at(&asking).expect("an answer")
    };
    let refused = (0..260).map(|_| ask()).find(|it| it.status() == Some(503));
    let refused = refused.expect("a 503");
    assert_eq!(refused.header("Retry-After"), Some("7"));
    // Others are not harmed.
    let other = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).expect("a socket");
    let options = peer.write(&recording("OPTIONS", &branch(), None));
    other.send_to(&options, system.sip()).expect("a datagram");
    assert_eq!(status_at(&other), Some(200));
    assert!(system.signaling.log().contains("too many requests"));
}

/// Everybody who knows the password of a user, and nobody else.
fn asking(algorithms: &str) -> Options {
    let line = |algorithm: Algorithm| {
        let hash = algorithm.hash(&format!("sbc:holdfast:{PASSWORD}"));
        format!("sbc:{}:{hash}\n", algorithm.name())
    };
    let lines = line(Algorithm::Sha256) + &line(Algorithm::Md5);
    Options::new()
        .file("users", &format!("# users\n\n{lines}"))
        .set_file("digest", "credentials", "users")
        .set("digest", &format!("algorithms = [{algorithms}]"))
        .peer("name = \"main\"\nusers = [\"*\"]")
}

/// A client of Digest, as RFC 7616 §3.4 has it.
struct Client {
    user: &'static str,
    password: &'static str,
    algorithm: Algorithm,
    nonce: String,
    count: u32,
    /// What was sent last.
    last: Vec<u8>,
}

impl Client {
    const fn new(user: &'static str, password: &'static str, algorithm: Algorithm) -> Self {
        Self {
            user,
            password,
            algorithm,
            nonce: String::new(),
            count: 0,
            last: Vec::new(),
        }
    }

    fn learn(&mut self, challenge: &Message) {
        self.nonce = nonce_of(challenge);
        self.count = 0;
    }

    fn authorization(&mut self, method: &str, uri: &str) -> String {
        if self.nonce.is_empty() {
            return String::new();
        }
        self.count += 1;
        let (user, nonce, algorithm) = (self.user, &self.nonce, self.algorithm);
        let count = format!("{:08x}", self.count);
        let secret = algorithm.hash(&format!("{user}:holdfast:{}", self.password));
        let request = algorithm.hash(&format!("{method}:{uri}"));
        let response = algorithm.hash(&format!("{secret}:{nonce}:{count}:cn:auth:{request}"));
        format!(
            "Authorization: Digest username=\"{user}\", realm=\"holdfast\", nonce=\"{nonce}\", \
             uri=\"{uri}\", response=\"{response}\", algorithm={}, qop=auth, nc={count}, \
             cnonce=\"cn\"\r\n",
            algorithm.name()
        )
    }
}

fn challenges(response: &Message) -> Vec<String> {
    let values = response.all("WWW-Authenticate");
    values.map(str::to_owned).collect()
}

fn nonce_of(challenge: &Message) -> String {
    let value = challenge.header("WWW-Authenticate").expect("a challenge");
    let (_, rest) = value.split_once("nonce=\"").expect("a nonce");
    rest.split('"').next().expect("its end").to_owned()
}

/// Sends a request with the credentials that the client has; gives the response and the request.
fn ask(
    peer: &mut Peer,
    client: &mut Client,
    method: &str,
    call_id: &str,
    cseq: u32,
    within: Option<(&Message, &Message)>,
) -> (Message, Message) {
    let bytes = match within {
        Some((invite, response)) => peer.write_within(invite, response, cseq, method, None),
        None => peer.write(&Request {
            cseq,
            ..recording(method, call_id, Some(&offer("")))
        }),
    };
    let text = String::from_utf8(bytes).expect("text");
    let uri = text.split(' ').nth(1).expect("a URI").to_owned();
    let authorization = client.authorization(method, &uri);
    let text = text.replacen("Max-Forwards", &format!("{authorization}Max-Forwards"), 1);
    client.last = text.clone().into_bytes();
    let response = peer.ask(text.as_bytes(), cseq, method);
    let request = Message::parse(text.as_bytes()).expect("a message");
    (response, request)
}

fn recording<'a>(method: &'a str, call_id: &'a str, body: Option<&'a Body>) -> Request<'a> {
    Request {
        method,
        call_id,
        cseq: 1,
        headers: "Require: siprec\r\n",
        body,
    }
}

fn offer(more: &str) -> Body {
    let sdp = format!("{SESSION}m=audio 40000 RTP/AVP 0\r\na=label:1\r\na=sendonly\r\n{more}");
    multipart(
        &sdp,
        b"<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\"/>",
    )
}

fn offer_of(line: &str) -> Body {
    Body {
        content_type: "application/sdp".to_owned(),
        bytes: format!("{SESSION}{line}a=sendonly\r\n").into_bytes(),
    }
}

const SESSION: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";

fn status_at(socket: &UdpSocket) -> Option<u16> {
    response_at(socket)?.status()
}

/// The final response that a socket gets; `rport` brings it to whoever asked.
fn response_at(socket: &UdpSocket) -> Option<Message> {
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time-out");
    let mut buffer = [0; 65_535];
    loop {
        let (size, from): (usize, SocketAddr) = socket.recv_from(&mut buffer).ok()?;
        let message = Message::parse(&buffer[..size])?;
        assert!(from.ip().is_loopback());
        if message.status().is_some_and(|status| status >= 200) {
            return Some(message);
        }
    }
}
