//! SIP over TLS: calls, certificates of both sides, connections that come and go.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use holdfast_e2e::caller::Caller;
use holdfast_e2e::certificates::{Authority, Identity, Validity};
use holdfast_e2e::http::Request as HttpRequest;
use holdfast_e2e::peer::{Peer, Request, multipart};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{converse, truth};
use holdfast_e2e::tools::Tool;
use holdfast_e2e::wait::{PATIENCE, wait_until};
use holdfast_load::agent::Way;
use holdfast_load::invite::{Body, Codec};
use holdfast_load::sip::Message;
use holdfast_load::tls::{Client, Stream, Versions};
use holdfast_load::verify::check_recording;
use nix::sys::signal::Signal;

/// TC-02.
#[test]
fn a_call_over_tls_1_2_is_recorded() {
    a_call_is_recorded(Versions::Tls12, "1.2");
}

/// TC-02.
#[test]
fn a_call_over_tls_1_3_is_recorded() {
    a_call_is_recorded(Versions::Tls13, "1.3");
}

fn a_call_is_recorded(versions: Versions, name: &str) {
    let authority = Authority::new("one");
    let system = System::start(&Options::new().tls(&authority.issue("srs.example.com")));
    let client = authority.client(versions);
    let stream = client.connect(system.sips(), PATIENCE).expect("TLS");
    assert_eq!(stream.version(), name);
    let mut caller = Caller::by(&Way::Tls(client), &system);
    let prepared = caller.prepare(Codec::Pcma);
    let body = prepared.offer.multipart();
    let (call, response) = caller.place_with(prepared, &body);
    // RFC 3261 §12.1.1: who asks a sips URI is answered by one.
    let contact = response.header("Contact").expect("a Contact");
    assert!(contact.starts_with("<sips:"), "{contact}");
    assert!(!contact.contains("transport="), "{contact}");
    let legs = converse(&call, Duration::from_millis(1_000));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let verdict = check_recording(&published, &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
    assert_eq!(published.manifest.call.sip.transport, "tls");
}

/// TC-02; RFC 8996, RFC 9325 §3.1.1.
#[test]
fn versions_before_1_2_are_refused_and_openssl_is_understood() {
    let Some(openssl) = Tool::find("openssl") else {
        return;
    };
    let authority = Authority::new("one");
    let options = Options::new().tls(&authority.issue("srs.example.com"));
    let system = System::start(&options.file("authority.pem", &authority.pem));
    let at = system.sips().to_string();
    let try_version = |version: &str| {
        let arguments = ["s_client", "-connect", &at, "-CAfile", "authority.pem"];
        let arguments = [&arguments[..], &["-verify_return_error", "-brief", version]].concat();
        openssl.run(system.root(), &arguments).status.success()
    };
    assert!(try_version("-tls1_3") && try_version("-tls1_2"));
    assert!(!try_version("-tls1_1") && !try_version("-tls1"));
}

/// What `make certs` makes is good for a start.
#[test]
fn the_demo_certificates_serve() {
    if Tool::find("openssl").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/certs");
    let path = folder.path().display().to_string();
    Tool::at(script).output(folder.path(), &[&path]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    let identity = |name: &str| Identity {
        certificate: read(&format!("{name}.pem")),
        key: read(&format!("{name}.key")),
    };
    let options = Options::new()
        .tls(&identity("server"))
        .file("ca.pem", &read("ca.pem"))
        .set_file("tls", "client_ca", "ca.pem")
        .set("tls", "client_certificates = \"required\"");
    let system = System::start(&options);
    let caller = identity("client");
    let caller = (caller.certificate.as_bytes(), caller.key.as_bytes());
    let client = Client::new(read("ca.pem").as_bytes(), Some(caller), Versions::Both);
    let way = Way::Tls(client.expect("a client"));
    let mut peer = Peer::over(system.sips(), &way);
    let request = peer.write(&bare("OPTIONS", "demo@example.com"));
    assert_eq!(peer.ask(&request, 1, "OPTIONS").status(), Some(200));
}

/// RFC 5626 §4.4.1: "two CRLFs ("CRLFCRLF")" are answered by one.
#[test]
fn a_ping_is_answered_by_a_pong_over_tls_and_tcp() {
    let authority = Authority::new("one");
    let system = System::start(&Options::new().tls(&authority.issue("srs.example.com")));
    let client = authority.client(Versions::Both);
    let secure = client.connect(system.sips(), PATIENCE).expect("TLS");
    let plain = TcpStream::connect(system.sip()).expect("TCP");
    for mut stream in [Stream::Tls(secure), Stream::Plain(plain)] {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(b"\r\n\r\n").expect("a ping");
        let mut pong = [0; 2];
        stream.read_exact(&mut pong).expect("a pong");
        assert_eq!(&pong, b"\r\n");
        // The connection goes on, and one CRLF alone means nothing.
        stream.write_all(b"\r\n").expect("half a ping");
        let mut peer = Peer::on(stream, system.sip()).expect("a peer");
        let options = peer.write(&bare("OPTIONS", "after-a-ping@example.com"));
        let response = peer.ask(&options, 1, "OPTIONS");
        assert_eq!(response.status(), Some(200));
    }
}

/// TC-92.
#[test]
fn a_client_without_the_right_certificate_comes_to_nothing() {
    let (authority, stranger) = (Authority::new("one"), Authority::new("another"));
    let options = Options::new()
        .tls(&authority.issue("srs.example.com"))
        .client_ca(&authority, "required")
        .set("tls", "client_names = [\"sbc.example.com\"]");
    let system = System::start(&options);
    let way =
        |identity: Option<&Identity>| Way::Tls(authority.client_with(identity, Versions::Both));
    let expired = authority.issue_for("sbc.example.com", Validity::Past);
    let foreign = stranger.issue("sbc.example.com");
    for identity in [None, Some(&expired), Some(&foreign)] {
        // Under TLS 1.3 the client only learns of it when it reads.
        let is_refused = Peer::try_over(system.sips(), &way(identity))
            .map_or(true, |mut peer| peer.is_closed_within(PATIENCE));
        assert!(is_refused, "{identity:?}");
    }
    // The right authority, and a name that may not record.
    let other = authority.issue("other.example.com");
    let mut peer = Peer::over(system.sips(), &way(Some(&other)));
    let invite = peer.write(&recording("other@example.com", Some(&offer())));
    assert_eq!(peer.ask(&invite, 1, "INVITE").status(), Some(403));
    // The right name, in whatever case.
    let right = authority.issue("SBC.example.com");
    let mut caller = Caller::by(&way(Some(&right)), &system);
    let call = caller.call(Codec::Pcmu);
    let legs = converse(&call, Duration::from_millis(500));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let verdict = check_recording(&published, &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
    assert_eq!(system.all_recordings().len(), 1, "nothing of the others");
    assert!(system.signaling.log().contains("TLS handshake failed"));
}

#[test]
fn a_peer_is_known_by_its_certificate_where_that_is_optional() {
    let authority = Authority::new("one");
    let options = Options::new()
        .tls(&authority.issue("srs.example.com"))
        .client_ca(&authority, "optional")
        .set("access", "unknown_peers = \"refuse\"")
        .peer("name = \"sbc\"\ncertificates = [\"sbc.example.com\"]");
    let system = System::start(&options);
    let mut nobody = Peer::over(system.sips(), &Way::Tls(authority.client(Versions::Both)));
    let invite = nobody.write(&recording("nobody@example.com", Some(&offer())));
    assert_eq!(nobody.ask(&invite, 1, "INVITE").status(), Some(403));
    let identity = authority.issue("sbc.example.com");
    let known = Way::Tls(authority.client_with(Some(&identity), Versions::Tls12));
    let mut caller = Caller::by(&known, &system);
    let call = caller.call(Codec::Pcmu);
    // Its tags in another's mouth are worth nothing (TC-94).
    let forged = nobody.write(&Request {
        method: "BYE",
        ..bare("BYE", &call.call_id)
    });
    assert_ne!(nobody.ask(&forged, 1, "BYE").status(), Some(200));
    caller.hang_up(&call);
    let sip = system.published(&call.call_id).manifest.call.sip;
    assert_eq!(sip.profile.as_deref(), Some("sbc"));
}

#[test]
fn certificates_are_changed_while_a_call_goes_on() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let system = System::start(&Options::new().tls(&old.issue("srs.example.com")));
    let mut caller = Caller::by(&Way::Tls(old.client(Versions::Both)), &system);
    let call = caller.call(Codec::Pcmu);
    let legs = converse(&call, Duration::from_millis(300));
    let renewed = new.issue("srs.example.com");
    system.replace_file("server.pem", &renewed.certificate);
    system.replace_file("server.key", &renewed.key);
    system.signaling.signal(Signal::SIGHUP);
    let newcomer = new.client(Versions::Both);
    wait_until("the new certificate is shown", || {
        newcomer.connect(system.sips(), PATIENCE).is_ok()
    });
    assert!(
        old.client(Versions::Both)
            .connect(system.sips(), PATIENCE)
            .is_err()
    );
    // One that is no good changes nothing.
    system.replace_file("server.key", "no key");
    system.signaling.signal(Signal::SIGHUP);
    wait_until("the refusal is logged", || {
        let log = system.signaling.log();
        log.contains("stay as they were") && log.contains("there is no private key in it")
    });
    newcomer
        .connect(system.sips(), PATIENCE)
        .expect("the one before");
    // The call's own connection never noticed.
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let verdict = check_recording(&published, &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
}

#[test]
fn files_that_are_no_good_are_told_at_start() {
    let authority = Authority::new("one");
    let good = authority.issue("srs.example.com");
    let with = |identity: &Identity| Options::new().tls(identity);
    let mixed = Identity {
        key: authority.issue("srs.example.com").key,
        ..good.clone()
    };
    let without = |name: &str| with(&good).file(name, "nothing");
    for (options, said) in [
        (
            with(&authority.issue_for("srs.example.com", Validity::Past)),
            "server.pem\": it expired on Fri, 01 Jan 2021 00:00:00 +0000; have it renewed",
        ),
        (
            with(&authority.issue_for("srs.example.com", Validity::Future)),
            "server.pem\": it is not valid before",
        ),
        (
            with(&mixed),
            "server.key\": it does not belong to tls.certificate = ",
        ),
        (
            without("server.pem"),
            "server.pem\": there is no certificate in it",
        ),
        (
            without("server.key"),
            "server.key\": there is no private key in it",
        ),
        (
            with(&good)
                .client_ca(&authority, "required")
                .file("ca.pem", ""),
            "ca.pem\": there is no certificate in it",
        ),
        (
            with(&good).set_file("digest", "credentials", "absent"),
            "absent\": it cannot be read: No such file or directory",
        ),
    ] {
        let log = System::refusal(&options);
        assert!(log.contains(said), "{said}: {log}");
        let secret = good.key.lines().nth(1).expect("the key itself");
        assert!(!log.contains(secret), "{log}");
    }
}

/// TC-78: the dialog outlives its connection (RFC 3261 §12).
#[test]
fn a_call_goes_on_when_its_connection_is_lost() {
    let authority = Authority::new("one");
    let system = System::start(&Options::new().tls(&authority.issue("srs.example.com")));
    let way = Way::Tls(authority.client(Versions::Both));
    let call_id = "lost@example.com";
    let mut first = Peer::over(system.sips(), &way);
    let (invite, response) = begin(&mut first, &recording(call_id, Some(&offer())));
    drop(first);
    let mut second = Peer::over(system.sips(), &way);
    for (cseq, method) in [(2, "UPDATE"), (3, "BYE")] {
        let request = second.write_within(&invite, &response, cseq, method, None);
        assert_eq!(second.ask(&request, cseq, method).status(), Some(200));
    }
    system.published(call_id);
}

/// Our own request goes to the peer's Contact, over a TLS connection that we open and in which we
/// show our certificate.
#[test]
fn our_bye_finds_the_peer_when_its_connection_is_lost() {
    let authority = Authority::new("one");
    let options = Options::new()
        .tls(&authority.issue("srs.example.com"))
        .client_ca(&authority, "optional")
        .set("tls", "client_names = [\"sbc.example.com\"]");
    let mut system = System::start(&options);
    for (name, is_trusted) in [("other.example.com", false), ("sbc.example.com", true)] {
        let (port, requests) = listen(&authority.issue(name));
        let way = Way::Tls(authority.client(Versions::Both));
        let mut peer = Peer::over(system.sips(), &way);
        let call_id = format!("{name}@example.com");
        let invite = peer.write(&recording(&call_id, Some(&offer())));
        let text = String::from_utf8(invite).expect("text");
        let contact = format!("sip:src@{}", peer.local);
        let text = text.replace(&contact, &format!("sip:src@127.0.0.1:{port}"));
        let response = peer.ask(text.as_bytes(), 1, "INVITE");
        assert_eq!(response.status(), Some(200));
        let invite = Message::parse(text.as_bytes()).expect("a message");
        peer.send(&peer.write_within(&invite, &response, 1, "ACK", None));
        drop(peer);
        system.signaling.signal(Signal::SIGTERM);
        assert!(system.signaling.wait().success());
        let request = requests.recv_timeout(if is_trusted {
            PATIENCE
        } else {
            Duration::from_millis(100)
        });
        match is_trusted {
            true => assert!(request.expect("a BYE").starts_with("BYE sip:src@127.0.0.1")),
            false => assert!(request.is_err(), "{request:?}"),
        }
        system.published(&call_id);
        system.signaling.start();
        system.await_ready();
    }
}

/// TC-36 over TLS: whom we call shows a certificate of ours with a name that is allowed, or hears
/// nothing.
#[test]
fn our_invite_goes_to_a_peer_that_proves_itself() {
    let authority = Authority::new("one");
    let options = Options::new()
        .tls(&authority.issue("srs.example.com"))
        .client_ca(&authority, "optional")
        .set("tls", "client_names = [\"sbc.example.com\"]")
        .peer("name = \"sbc\"\naddresses = [\"127.0.0.1\"]\ncallable = true");
    let system = System::start(&options);
    for (identity, is_trusted) in [
        (authority.issue("other.example.com"), false),
        (Authority::new("another").issue("sbc.example.com"), false),
        (authority.issue("sbc.example.com"), true),
    ] {
        let (port, requests) = listen(&identity);
        let uri = serde_json::json!({"uri": format!("sips:src@127.0.0.1:{port}")});
        let response = HttpRequest::post_json(system.http(), "/api/calls", &uri).send();
        if !is_trusted {
            assert_eq!(response.status, 504, "{}", response.text());
            assert!(requests.try_recv().is_err());
            continue;
        }
        // It accepts and offers nothing.
        assert_eq!(response.status, 502, "{}", response.text());
        let invite = requests.recv_timeout(PATIENCE).expect("a request");
        assert!(invite.starts_with("INVITE sips:src@127.0.0.1"), "{invite}");
        let contact = format!("Contact: <sips:{}>;+sip.srs", system.sips());
        assert!(invite.contains(&contact), "{invite}");
    }
}

#[test]
fn whoever_holds_connections_open_keeps_nobody_out() {
    let authority = Authority::new("one");
    let options = Options::new()
        .tls(&authority.issue("srs.example.com"))
        .set("sip", "connections_max = 20")
        .set("sip", "connections_per_source_max = 200");
    let system = System::start(&options);
    let client = authority.client(Versions::Both);
    // One that has proved itself, then many that say nothing, before and after a handshake.
    let mut proven = Peer::over(system.sips(), &Way::Tls(client.clone()));
    let options = proven.write(&bare("OPTIONS", "first@example.com"));
    assert_eq!(proven.ask(&options, 1, "OPTIONS").status(), Some(200));
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(system.sips()).expect("a connection"));
    }
    let held: Vec<_> = (0..5)
        .map(|_| client.connect(system.sips(), PATIENCE).expect("TLS"))
        .collect();
    let mut newcomer = Peer::over(system.sips(), &Way::Tls(client));
    let request = newcomer.write(&bare("OPTIONS", "newcomer@example.com"));
    assert_eq!(newcomer.ask(&request, 1, "OPTIONS").status(), Some(200));
    let again = proven.write(&bare("OPTIONS", "again@example.com"));
    assert_eq!(proven.ask(&again, 1, "OPTIONS").status(), Some(200));
    // The first of the silent ones had to go.
    let mut first = Peer::on(Stream::Plain(silent.remove(0)), system.sips()).expect("a peer");
    assert!(first.is_closed_within(PATIENCE));
    drop(held);
}

#[test]
fn one_source_has_no_more_connections_than_its_share() {
    let system = System::start(&Options::new().set("sip", "connections_per_source_max = 3"));
    let mut open: Vec<_> = (0..3)
        .map(|_| Peer::over(system.sip(), &Way::Tcp))
        .collect();
    for peer in &mut open {
        let options = peer.write(&bare("OPTIONS", &holdfast_e2e::peer::branch()));
        assert_eq!(peer.ask(&options, 1, "OPTIONS").status(), Some(200));
    }
    let mut further = Peer::over(system.sip(), &Way::Tcp);
    assert!(further.is_closed_within(PATIENCE));
    open.pop();
    wait_until("the place is free again", || {
        let mut peer = Peer::over(system.sip(), &Way::Tcp);
        !peer.is_closed_within(Duration::from_millis(200))
    });
}

/// Whoever is slow loses its connection: in the handshake, in a head, in a body.
#[test]
fn slow_clients_are_cut_off() {
    let authority = Authority::new("one");
    let options = Options::new()
        .tls(&authority.issue("srs.example.com"))
        .set("sip", "message_timeout = \"1 s\"");
    let system = System::start(&options);
    let client = authority.client(Versions::Both);
    let no_handshake = TcpStream::connect(system.sips()).expect("a connection");
    let mut slow = vec![Peer::on(Stream::Plain(no_handshake), system.sips()).expect("a peer")];
    for part in ["OPTIONS sip:a@b SIP/2.0\r\nVia: ", "X"] {
        let way = Way::Tls(client.clone());
        let mut peer = Peer::over(system.sips(), &way);
        peer.send(part.as_bytes());
        slow.push(peer);
    }
    let mut body = Peer::over(system.sip(), &Way::Tcp);
    let request = body.write(&recording("slow-body@example.com", Some(&offer())));
    body.send(&request[..request.len() - 1]);
    slow.push(body);
    for (index, peer) in slow.iter_mut().enumerate() {
        assert!(peer.is_closed_within(PATIENCE), "number {index}");
    }
    // Who is between messages is not slow.
    let mut quiet = Peer::over(system.sips(), &Way::Tls(client));
    assert!(!quiet.is_closed_within(Duration::from_millis(1_500)));
}

/// TC-93.
#[test]
fn sips_is_answered_as_rfc_5630_asks() {
    let authority = Authority::new("one");
    let options = Options::new().tls(&authority.issue("srs.example.com"));
    let way = Way::Tls(authority.client(Versions::Both));
    let ask = |system: &System, way: &Way, uri: &str, contact: &str| {
        let mut peer = Peer::over(system.at(way), way);
        let call_id = holdfast_e2e::peer::branch();
        let invite = peer.write(&recording(&call_id, Some(&offer())));
        let text = String::from_utf8(invite).expect("text");
        let text = text
            .replacen("INVITE sip:", &format!("INVITE {uri}:"), 1)
            .replace("Contact: <sip:", &format!("Contact: <{contact}:"));
        let response = peer.ask(text.as_bytes(), 1, "INVITE");
        let of = |name: &str| response.header(name).unwrap_or_default().to_owned();
        (response.status(), of("Contact"), of("Warning"))
    };
    let system = System::start(&options);
    let (status, contact, _) = ask(&system, &way, "sips", "sips");
    assert_eq!(status, Some(200));
    assert!(contact.starts_with("<sips:"), "{contact}");
    assert_eq!(ask(&system, &way, "sips", "sip").0, Some(400));
    let (status, _, warning) = ask(&system, &Way::Tcp, "sips", "sips");
    assert_eq!(status, Some(480));
    assert!(warning.starts_with("380 "), "{warning}");
    let system = System::start(&options.set("sip", "require_sips = true"));
    let (status, _, warning) = ask(&system, &way, "sip", "sip");
    assert_eq!(status, Some(480));
    assert!(warning.starts_with("381 "), "{warning}");
    assert_eq!(ask(&system, &way, "sips", "sips").0, Some(200));
}

/// What a peer's own listener got, one message each, each answered 200.
fn listen(identity: &Identity) -> (u16, Receiver<String>) {
    let server = identity.server(None);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut stream) = server.over(socket.expect("a connection"), PATIENCE) else {
                continue;
            };
            let mut buffer = [0; 8_192];
            let Ok(size @ 1..) = stream.read(&mut buffer) else {
                continue;
            };
            let request = Message::parse(&buffer[..size]).expect("a message");
            let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
            for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
                let value = request.header(name).expect("a header");
                answer.push_str(&format!("{name}: {value}\r\n"));
            }
            answer.push_str("Content-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.flush();
            let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    (port, receiver)
}

fn begin(peer: &mut Peer, request: &Request<'_>) -> (Message, Message) {
    let invite = peer.write(request);
    let response = peer.ask(&invite, 1, "INVITE");
    assert_eq!(response.status(), Some(200), "{response:?}");
    let invite = Message::parse(&invite).expect("a message");
    peer.send(&peer.write_within(&invite, &response, 1, "ACK", None));
    (invite, response)
}

fn bare<'a>(method: &'a str, call_id: &'a str) -> Request<'a> {
    Request {
        method,
        call_id,
        cseq: 1,
        headers: "",
        body: None,
    }
}

fn recording<'a>(call_id: &'a str, body: Option<&'a Body>) -> Request<'a> {
    Request {
        headers: "Require: siprec\r\n",
        body,
        ..bare("INVITE", call_id)
    }
}

fn offer() -> Body {
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
               m=audio 40000 RTP/AVP 0\r\na=label:1\r\na=sendonly\r\n";
    multipart(
        sdp,
        b"<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\"/>",
    )
}
