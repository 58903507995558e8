//! `holdfast calls`: an operator sees, pauses, resumes and ends the calls of a running system.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use holdfast_e2e::bodies::sdp_of;
use holdfast_e2e::caller::{Call, Caller};
use holdfast_e2e::peer::{Peer, Request};
use holdfast_e2e::process::binary;
use holdfast_e2e::script::{Ask, text_of};
use holdfast_e2e::search::files_with;
use holdfast_e2e::secure::Secure;
use holdfast_e2e::srtp::{Key, answered};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{Mode, Talk, truth};
use holdfast_e2e::wait::{PATIENCE, wait_for};
use holdfast_load::invite::{Body, Codec};
use holdfast_load::pattern::payload;
use holdfast_load::sip::Message;
use holdfast_load::uac::Transport;
use holdfast_load::verify::{LegTruth, check_recording};
use holdfast_manifest::{EndReason, GapCause, MarkKind, PausedBy};
use holdfast_units::SrtpSuite;
use serde_json::Value;

/// The caller answers re-INVITEs 405, as some SBCs do: the pause holds all the same.
#[test]
fn what_is_said_while_an_operator_pauses_is_nowhere_although_the_peer_goes_on() {
    let options = Options::new().set("recordings", "keep_packets = \"always\"");
    let system = System::start(&options);
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let id = id_of(&system, &call);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(1_000));

    order(&mut caller, &system, &talk, "pause", &id, Mode::Withheld);
    caller.stay(Duration::from_millis(1_200));
    let shown = calls(&system, &["show", &id]);
    assert_eq!(
        (&shown["is_paused"], &shown["is_agreed"]),
        (&true.into(), &false.into())
    );
    assert_eq!(shown["streams"][1]["is_recording"], false);

    order(&mut caller, &system, &talk, "resume", &id, Mode::Speak);
    caller.stay(Duration::from_millis(1_000));
    let legs = talk.finish();
    let withheld = withheld(&legs);
    assert!(withheld.len() > 80, "{}", withheld.len());
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    assert_eq!(files_with(system.root(), &withheld), NOWHERE);
    let verdict = check_recording(&published, &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);

    let manifest = &published.manifest;
    let [pause] = manifest.call.pauses.as_slice() else {
        panic!("{:?}", manifest.call.pauses);
    };
    assert_eq!((pause.by, pause.to.is_some()), (PausedBy::Operator, true));
    let codes = manifest.call.warnings.iter().map(|one| one.code.as_str());
    assert!(codes.clone().any(|code| code == "direction_refused"));
    for stream in &manifest.streams {
        let count = |kind: &MarkKind| stream.marks.iter().filter(|one| one.kind == *kind).count();
        assert_eq!((count(&MarkKind::Pause), count(&MarkKind::Resume)), (1, 1));
        let paused = stream
            .gaps
            .iter()
            .filter(|gap| gap.cause == GapCause::Paused);
        assert_eq!(paused.count(), 1);
        assert_eq!(stream.lost, 0, "a pause is no loss");
    }
}

#[test]
fn calls_are_listed_and_ended() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    assert_eq!(calls(&system, &["list"]), Value::Array(Vec::new()));
    let (first, second) = (caller.call(Codec::Pcmu), caller.call(Codec::Pcma));
    let listed = calls(&system, &["list"]);
    let by_call_id: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["call_id"])
        .collect();
    assert_eq!(by_call_id, [&first.call_id, &second.call_id]);
    let text = String::from_utf8(holdfast(&system, &["list"]).stdout).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("recording"), "{text}");

    let id = id_of(&system, &first);
    // The beginning of an id is enough.
    let ended = calls(&system, &["hangup", &id[..8]]);
    assert_eq!(ended["id"].as_str(), Some(id.as_str()));
    caller.await_hang_up(&first);
    let manifest = system.published(&first.call_id).manifest;
    assert_eq!(manifest.end_reason, EndReason::Operator);
    wait_for("the list has one call less", || {
        let listed = calls(&system, &["list"]);
        (listed.as_array().unwrap().len() == 1).then_some(())
    });
    let gone = holdfast(&system, &["show", &id]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&gone.stderr).contains("no call"),
        "{gone:?}"
    );
    caller.hang_up(&second);
}

/// RFC 7866 §7.2, figure 7: the recorder answers inactive and asks for media later.
#[test]
fn a_call_that_waits_is_begun_by_a_reinvite_of_the_recorder() {
    let system = System::start(&Options::new().set("sip", "start_paused = true"));
    let mut peer = Peer::connect(system.sip(), Transport::Tcp);
    let sdp = |direction: &str| {
        format!(
            "v=0\r\no=src 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio 9 RTP/AVP 0\r\na=label:1\r\na={direction}\r\n"
        )
    };
    let body = |direction: &str| Body {
        content_type: "application/sdp".to_owned(),
        bytes: sdp(direction).into_bytes(),
    };
    let invite = peer.write(&Request {
        method: "INVITE",
        call_id: "operator-begins",
        cseq: 1,
        headers: "Require: siprec\r\n",
        body: Some(&body("sendonly")),
    });
    let ok = peer.ask(&invite, 1, "INVITE");
    assert_eq!(ok.status(), Some(200));
    assert!(text(&ok).contains("a=inactive"), "{}", text(&ok));
    let sent = Message::parse(&invite).unwrap();
    let ack = peer.write_within(&sent, &ok, 1, "ACK", None);
    peer.send(&ack);

    let listed = wait_for("the call is up", || {
        let listed = calls(&system, &["list"]);
        (listed[0]["stage"] == "up").then_some(listed)
    });
    let id = listed[0]["id"].as_str().unwrap();
    let resumed = calls(&system, &["resume", id]);
    assert_eq!(resumed["streams"][0]["is_recording"], true);
    let reinvite = peer.receive(PATIENCE).expect("a re-INVITE");
    let offer = text(&reinvite);
    assert!(
        reinvite.cseq() == Some((1, "INVITE")) && offer.contains("a=recvonly"),
        "{offer}"
    );
    assert!(reinvite.header("Contact").unwrap().contains(";+sip.srs"));
    peer.send(&answer(&reinvite, &body("sendonly")));
    assert_eq!(
        peer.receive(PATIENCE).expect("an ACK").cseq(),
        Some((1, "ACK"))
    );
    wait_for("the peer has agreed", || {
        (calls(&system, &["show", id])["is_agreed"] == true).then_some(())
    });
    calls(&system, &["hangup", id]);
    let manifest = system.published("operator-begins").manifest;
    assert_eq!(manifest.call.pauses[0].by, PausedBy::Settings);
}

/// Whatever else comes on the socket is answered, and harms nobody.
#[test]
fn a_socket_that_takes_commands_takes_nothing_else() {
    let system = System::start(&Options::new());
    let path = system.root().join("operator.sock");
    let mut line = Line::connect(&system);
    let mut ask = |text: &str| line.ask(text);
    assert_eq!(
        ask("{\"command\":\"list\"}\n"),
        "{\"answer\":\"calls\",\"calls\":[]}\n"
    );
    for line in ["\n", "[]\n", "{\"command\":\"explode\"}\n", "\u{0}\u{1}\n"] {
        assert!(
            ask(line).starts_with("{\"answer\":\"malformed\""),
            "{line:?}"
        );
    }
    // A line without end is answered once and cut off.
    assert!(ask(&"x".repeat(5_000)).starts_with("{\"answer\":\"malformed\""));
    let crowd: Vec<_> = (0..40).map(|_| Line::connect(&system)).collect();
    drop(crowd);
    wait_for("there is room again", || {
        let out = holdfast(&system, &["list"]);
        out.status.success().then_some(())
    });
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

/// Gives an order while nobody speaks: no packet is under way when it is in force. It goes by the
/// socket itself, since a silence that lasts looks like loss to a recorder.
fn order(caller: &mut Caller, system: &System, talk: &Talk, command: &str, id: &str, then: Mode) {
    let mut line = Line::connect(system);
    talk.set(Mode::Silent);
    caller.stay(Duration::from_millis(60));
    line.ask(&format!("{{\"command\":\"{command}\",\"id\":\"{id}\"}}\n"));
    wait_for("it is in force", || {
        let shown = line.ask(&format!("{{\"command\":\"show\",\"id\":\"{id}\"}}\n"));
        shown.contains("\"is_in_force\":true").then_some(())
    });
    talk.set(then);
}

/// A connection to the socket for commands.
struct Line(BufReader<UnixStream>);

impl Line {
    fn connect(system: &System) -> Self {
        let path = system.root().join("operator.sock");
        Self(BufReader::new(
            UnixStream::connect(path).expect("the socket"),
        ))
    }

    fn ask(&mut self, line: &str) -> String {
        self.0
            .get_mut()
            .write_all(line.as_bytes())
            .expect("it is taken");
        let mut answer = String::new();
        self.0.read_line(&mut answer).expect("an answer");
        answer
    }
}

fn id_of(system: &System, call: &Call) -> String {
    let listed = calls(system, &["list"]);
    let found = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["call_id"] == call.call_id);
    found.expect("the call is listed")["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn calls(system: &System, arguments: &[&str]) -> Value {
    let out = holdfast(system, &[arguments, &["--json"]].concat());
    assert!(out.status.success(), "{arguments:?}: {out:?}");
    serde_json::from_slice(&out.stdout).expect("JSON")
}

fn holdfast(system: &System, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("holdfast"));
    command
        .arg("calls")
        .args(arguments)
        .arg("--config")
        .arg(system.config());
    command.output().expect("the command runs")
}

/// A 200 with a body to a request of the recorder.
fn answer(request: &Message, body: &Body) -> Vec<u8> {
    let mut text = "SIP/2.0 200 OK\r\n".to_owned();
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        text.push_str(&format!(
            "{name}: {}\r\n",
            request.header(name).expect(name)
        ));
    }
    text.push_str(&format!(
        "Content-Type: {}\r\nContent-Length: {}\r\n\r\n",
        body.content_type,
        body.bytes.len()
    ));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&body.bytes);
    bytes
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.body).into_owned()
}

/// What was said while nobody might listen, as octets of the payload.
fn withheld(legs: &[LegTruth]) -> Vec<Vec<u8>> {
    let ranges = legs.iter().flat_map(|leg| {
        let ranges = leg.plan.withheld.iter();
        ranges.map(move |range| (leg.plan.key, range.clone()))
    });
    ranges
        .flat_map(|(key, range)| range.map(move |slot| payload(key, slot)[..16].to_vec()))
        .collect()
}

const NOWHERE: [(PathBuf, usize); 0] = [];

#[test]
fn the_messages_of_a_call_are_traced_while_somebody_looks() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let other = caller.call(Codec::Pcmu);
    let id = id_of(&system, &call);
    let mut trace = Command::new(binary("holdfast"))
        .args(["calls", "trace", &id, "--config"])
        .arg(system.root().join("holdfast.toml"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(trace.stdout.take().unwrap());
    let mut text = String::new();
    said.read_line(&mut text).unwrap();
    assert!(
        text.starts_with(&format!("tracing {}", call.call_id)),
        "{text}"
    );
    caller.hang_up(&other);
    caller.hang_up(&call);
    said.read_to_string(&mut text).unwrap();
    assert!(trace.wait().unwrap().success());
    assert!(
        text.contains("BYE sip:") && text.contains("SIP/2.0 200"),
        "{text}"
    );
    assert!(text.contains("<--") && text.contains("-->"), "{text}");
    assert!(!text.contains(&other.call_id), "{text}");
}

/// A key is offered while somebody looks; neither it nor the recorder's is in what he sees.
#[test]
fn a_trace_has_no_keys_of_srtp() {
    let suite = SrtpSuite::AesCm128Sha1_80;
    let (one, two) = (Key::new(suite, 31), Key::new(suite, 32));
    let mut call = Secure::open("RTP/SAVP", &one.line(1, ""));
    let id = calls(&call.system, &["list"])[0]["id"].clone();
    let mut trace = Command::new(binary("holdfast"))
        .args(["calls", "trace", id.as_str().expect("its id"), "--config"])
        .arg(call.system.root().join("holdfast.toml"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a trace");
    let mut said = BufReader::new(trace.stdout.take().expect("its output"));
    let mut text = String::new();
    said.read_line(&mut text).expect("that it has begun");

    let line = two.line(2, "|2^20");
    let line = format!("m=audio 40000 RTP/SAVP 0\na=label:1\na=sendonly\n{line}");
    let offer = Ask::invite().sdp(&sdp_of(&call.system, &line));
    let answer = text_of(&call.script.ok(&offer));
    let theirs = answered(&answer)[0].clone().expect("a key of theirs").key;
    call.script.hang_up();
    said.read_to_string(&mut text).expect("the trace");
    assert!(trace.wait().expect("its end").success());

    // The offer and the answer are there, each with its line and without its key.
    for shown in [
        "<-- ",
        "--> ",
        "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:***",
    ] {
        assert!(text.contains(shown), "no {shown} in {text}");
    }
    assert_eq!(text.matches("a=crypto:2 ").count(), 2, "{text}");
    for key in [&two, &theirs] {
        for secret in [key.base64(), key.hex()] {
            assert!(!text.contains(&secret), "{text}");
        }
    }
}
