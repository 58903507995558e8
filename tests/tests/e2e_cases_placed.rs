//! Test case TC-36 (chapter B): a recording session that the server starts (RFC 7866 §6.2, §9.1).

use std::net::TcpListener;
use std::time::Duration;

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::caller::{Call, Caller};
use holdfast_e2e::certificates::Authority;
use holdfast_e2e::http::Request;
use holdfast_e2e::peer::{Peer, branch};
use holdfast_e2e::process::binary;
use holdfast_e2e::script::{Ask, Script};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::converse;
use holdfast_e2e::tools::{Running, Tool};
use holdfast_e2e::wait::PATIENCE;
use holdfast_load::answer::Answer;
use holdfast_load::invite::{Body, Codec};
use holdfast_load::sip::Message;
use holdfast_load::tls::Stream;
use holdfast_load::uac::Transport;
use holdfast_load::verify::Published;
use holdfast_manifest::EndReason;
use serde_json::{Value, json};

/// Who hangs up.
#[derive(Clone, Copy)]
enum Ends {
    Client,
    Operator,
}

/// Whom the server may call.
const CALLABLE: &str = "name = \"pbx\"\naddresses = [\"127.0.0.1\"]\ncallable = true";

fn callable() -> System {
    System::start(&Options::new().peer(CALLABLE))
}

/// What an operator types.
fn record(system: &System, uri: &str) -> Running {
    let config = system.config().display().to_string();
    let arguments = ["--config", &config, "calls", "--json", "record", uri];
    Tool::at(binary("holdfast")).start(system.root(), &arguments)
}

/// The call as the operator is told of it.
fn recorded(running: Running) -> Value {
    let output = running.finish(PATIENCE);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What the operator is told where there is none.
fn refused(running: Running) -> String {
    let output = running.finish(PATIENCE);
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Answers an INVITE of the server's; the dialog is then the script's.
fn answer(script: &mut Script, invite: &Message, status: &str, body: Option<&Body>) {
    if let Some(target) = invite.contact_uri() {
        script.target = target.to_owned();
    }
    let to = invite.header("To").expect("To");
    let tagged = format!("{to};tag={}", script.from_tag);
    let mut response = format!("SIP/2.0 {status}\r\nContact: {}\r\n", script.contact());
    response.push_str("Allow: INVITE, ACK, CANCEL, BYE, UPDATE\r\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        for value in invite.all(name) {
            response.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    response.push_str(&format!("To: {tagged}\r\n"));
    if let Some(body) = body {
        response.push_str(&format!("Content-Type: {}\r\n", body.content_type));
    }
    let octets = body.map_or(&[][..], |body| &body.bytes);
    response.push_str(&format!("Content-Length: {}\r\n\r\n", octets.len()));
    script.peer.send(&[response.as_bytes(), octets].concat());
    script.call_id = invite.header("Call-ID").expect("Call-ID").to_owned();
    script.to_tag = invite.tag("From").map(str::to_owned);
}

/// The whole life of a session over a transport; `ends` says who hangs up. Gives what was published.
fn plays(system: &System, mut script: Script, running: Running, ends: Ends) -> Published {
    let invite = script.request("INVITE");
    assert_eq!(invite.header("Require"), Some("siprec"));
    assert!(invite.body.is_empty(), "P-09: no SDP");
    let contact = invite.header("Contact").expect("a Contact");
    assert!(contact.contains(";+sip.srs"), "{contact}");
    let mut caller = Caller::new(system);
    let prepared = caller.prepare(Codec::Pcmu);
    answer(&mut script, &invite, "180 Ringing", None);
    answer(
        &mut script,
        &invite,
        "200 OK",
        Some(&prepared.offer.multipart()),
    );
    let ack = script.request("ACK");
    assert_eq!(ack.header("Content-Type"), Some("application/sdp"));
    let description = Answer::parse(&ack.body).expect("an answer");
    assert!(
        description
            .lines
            .iter()
            .all(|line| line.direction == "recvonly"),
        "{description:?}"
    );
    let call = Call {
        number: prepared.number,
        call_id: script.call_id.clone(),
        offer: prepared.offer,
        answer: description,
        ports: prepared.ports,
    };
    let told = recorded(running);
    assert_eq!(told["stage"], "up");
    assert_eq!(told["call_id"], call.call_id);
    let legs = converse(&call, Duration::from_millis(400));
    let reason = match ends {
        Ends::Client => {
            script.hang_up();
            EndReason::Bye
        }
        Ends::Operator => {
            let config = system.config().display().to_string();
            let id = told["id"].as_str().expect("an id");
            let arguments = ["--config", &config, "calls", "hangup", id];
            let holdfast = Tool::at(binary("holdfast"));
            holdfast.output(system.root(), &arguments);
            let bye = script.request("BYE");
            script.respond(&bye, "200 OK", "", None);
            EndReason::Operator
        }
    };
    let published = system.published(&call.call_id);
    assert_eq!(published.manifest.end_reason, reason);
    let described = &published.manifest.call;
    assert_eq!(described.sip.profile.as_deref(), Some("pbx"));
    assert!(!described.participants.is_empty(), "the 200 had metadata");
    for (samples, leg) in Audio::of(&published.folder).channels.iter().zip(&legs) {
        assert_eq!(Slots::of(samples, &leg.plan).missing, [0; 0]);
    }
    published
}

#[test]
fn tc_36_srs_initiated() {
    let system = callable();
    for ends in [Ends::Client, Ends::Operator] {
        let script = Script::over(Transport::Udp, &system);
        let uri = format!("sip:src@{}", script.peer.local);
        let running = record(&system, &uri);
        plays(&system, script, running, ends);
    }
}

#[test]
fn tc_36_srs_initiated_over_tcp() {
    let system = callable();
    for ends in [Ends::Client, Ends::Operator] {
        let listener = TcpListener::bind((system.host(), 0)).expect("a port");
        let address = listener.local_addr().expect("its number");
        let running = record(&system, &format!("sip:src@{address};transport=tcp"));
        let (socket, _) = listener.accept().expect("a connection");
        let peer = Peer::on(Stream::Plain(socket), system.sip()).expect("a peer");
        plays(&system, Script::by(peer), running, ends);
    }
}

/// To a client that lets nobody in without a certificate of ours.
#[test]
fn tc_36_srs_initiated_over_tls() {
    let authority = Authority::new("one");
    let options = Options::new()
        .tls(&authority.issue("srs.example.com"))
        .client_ca(&authority, "optional")
        .set("tls", "client_names = [\"sbc.example.com\"]")
        .peer(CALLABLE);
    let system = System::start(&options);
    let client = authority.issue("sbc.example.com").server(Some(&authority));
    for (ends, scheme) in [
        (Ends::Client, "sips"),
        (Ends::Operator, "sips"),
        (Ends::Client, "sip"),
    ] {
        let listener = TcpListener::bind((system.host(), 0)).expect("a port");
        let address = listener.local_addr().expect("its number");
        let parameter = if scheme == "sip" {
            ";transport=tls"
        } else {
            ""
        };
        let running = record(&system, &format!("{scheme}:src@{address}{parameter}"));
        let (socket, _) = listener.accept().expect("a connection");
        let stream = client
            .over(socket, PATIENCE)
            .expect("a certificate of ours");
        let peer = Peer::on(stream, system.sips()).expect("a peer");
        let published = plays(&system, Script::by(peer), running, ends);
        assert_eq!(published.manifest.call.sip.transport, "tls");
    }
}

/// Whoever does not want it says so, and the operator hears it.
#[test]
fn tc_36_a_client_that_refuses() {
    let system = callable();
    let mut script = Script::over(Transport::Udp, &system);
    let uri = format!("sip:src@{}", script.peer.local);
    let running = record(&system, &uri);
    let invite = script.request("INVITE");
    answer(&mut script, &invite, "486 Busy Here", None);
    script.request("ACK");
    let said = refused(running);
    assert!(said.contains("486"), "{said}");
    // Nothing that can be recorded: an answer that refuses, and a BYE.
    script.from_tag = branch();
    let running = record(&system, &uri);
    let invite = script.request("INVITE");
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
               m=audio 40000 UDP/BFCP *\r\na=sendonly\r\n";
    let body = Body {
        content_type: "application/sdp".to_owned(),
        bytes: sdp.as_bytes().to_vec(),
    };
    answer(&mut script, &invite, "200 OK", Some(&body));
    let ack = script.request("ACK");
    let text = String::from_utf8_lossy(&ack.body).into_owned();
    assert!(text.contains("m=audio 0 UDP/BFCP"), "{text}");
    let bye = script.request("BYE");
    script.respond(&bye, "200 OK", "", None);
    let said = refused(running);
    assert!(said.contains("offers nothing"), "{said}");
    assert!(system.all_recordings().is_empty());
}

/// By HTTP, and by nobody who may not be called.
#[test]
fn tc_36_by_http_and_within_bounds() {
    let system = callable();
    let post = |body: &Value| Request::post_json(system.http(), "/api/calls", body).send();
    for (uri, status) in [
        ("sip:src@192.0.2.1", 403),
        ("sip:src@pbx.example.com", 400),
        ("sip:src@127.0.0.1:5099;transport=tls", 409),
    ] {
        assert_eq!(post(&json!({"uri": uri})).status, status, "{uri}");
    }
    assert_eq!(post(&json!({"url": "sip:src@127.0.0.1"})).status, 400);
    // Nobody listens there: the connection is refused.
    let free = TcpListener::bind((system.host(), 0)).expect("a port");
    let address = free.local_addr().expect("its number");
    drop(free);
    let nobody = post(&json!({"uri": format!("sip:src@{address};transport=tcp")}));
    assert_eq!(nobody.status, 504, "{}", nobody.text());

    let mut script = Script::over(Transport::Udp, &system);
    let uri = format!("sip:src@{}", script.peer.local);
    let request = Request::post_json(system.http(), "/api/calls", &json!({"uri": uri}));
    let asking = std::thread::spawn(move || request.send());
    let invite = script.request("INVITE");
    let prepared = Caller::new(&system).prepare(Codec::Pcmu);
    answer(
        &mut script,
        &invite,
        "200 OK",
        Some(&prepared.offer.multipart()),
    );
    script.request("ACK");
    let response = asking.join().expect("an answer");
    assert_eq!(response.status, 201, "{}", response.text());
    assert_eq!(response.json()["call_id"], script.call_id);
    script.send(&Ask::new("BYE"));
    system.published(&script.call_id);
    // A server of the usual settings calls nobody.
    let usual = System::start(&Options::new());
    assert!(refused(record(&usual, &uri)).contains("callable"));
}
