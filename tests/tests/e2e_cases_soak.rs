//! Test cases, chapter H: hundreds of calls that go wrong in every way, and nothing of them is left.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use holdfast_e2e::bodies::{document, sdp_of, silent_offer};
use holdfast_e2e::caller::Caller;
use holdfast_e2e::certificates::Authority;
use holdfast_e2e::http::metrics;
use holdfast_e2e::peer::{Peer, branch, multipart};
use holdfast_e2e::process::Process;
use holdfast_e2e::script::{Ask, Script};
use holdfast_e2e::search::files;
use holdfast_e2e::srtp::Key;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{converse, truth};
use holdfast_e2e::wait::{PATIENCE, wait_for, wait_until, wait_within};
use holdfast_load::agent::Way;
use holdfast_load::invite::{Body, Codec};
use holdfast_load::sip::Message;
use holdfast_load::tls::{Stream, Versions};
use holdfast_load::uac::Transport;
use holdfast_load::verify::{CallTruth, Library, check_recording};
use holdfast_units::SrtpSuite;

/// What is left of a call.
enum Left {
    /// It was never accepted.
    Nothing,
    /// It was accepted: there is one recording of this Call-ID.
    Recording(String),
    /// The same, with all that was said.
    Speech(CallTruth),
}

/// Where the calls go.
struct Ground<'a> {
    system: &'a System,
    tls: Way,
}

/// A way to call; the number decides what falls by chance.
type Kind = fn(&Ground<'_>, u32) -> Left;

const KINDS: [Kind; 19] = [
    spoken,
    spoken_over_tls,
    encrypted,
    body_damaged,
    body_cut,
    message_damaged,
    metadata_broken,
    offer_refused,
    extension_unknown,
    refusal_unacknowledged,
    cancelled,
    bye_before_ack,
    never_acknowledged,
    invite_repeated,
    invite_merged,
    cut_within_a_message,
    cut_within_a_call,
    garbage_on_connections,
    changed_and_refused,
];

/// How often each kind is called.
const ROUNDS: usize = 12;
const CALLERS: usize = 4;

/// In the case: for an hour. What leaks with each call is seen in hundreds.
#[test]
fn tc_142_soak() {
    let authority = Authority::new("one");
    // A fifth of the usual timers: what waits for them, such as a call without its ACK, ends sooner.
    let options = Options::new()
        .tls(&authority.issue("srs.example.com"))
        .set("sip", "t1 = \"100 ms\"\nt2 = \"1 s\"\nt4 = \"1 s\"")
        .set("sip", "message_timeout = \"1 s\"")
        .set("media", "port_quarantine = \"0 s\"");
    let system = System::start(&options);
    let ground = Ground {
        system: &system,
        tls: Way::Tls(authority.client(Versions::Both)),
    };
    // With the first packet the journal opens a segment more, and keeps it.
    let first = spoken(&ground, 0);
    let before = wait_for("nothing goes on", || {
        is_zero(&gauges(&system)).then(|| Open::of(&system))
    });
    let mut left = call_in_all_ways(&ground);
    left.push(first);
    let is_as_before = || is_zero(&gauges(&system)) && Open::of(&system) == before;
    if wait_within(PATIENCE, || is_as_before().then_some(())).is_none() {
        let (gauges, after) = (gauges(&system), Open::of(&system));
        panic!("{gauges:#?}\nbefore: {before:#?}\nafter: {after:#?}");
    }
    assert_published(&system, &left);
}

/// Descriptors of both processes: how many of each kind. A file's number is none of its kind.
#[derive(Debug, PartialEq, Eq)]
struct Open {
    engine: BTreeMap<String, usize>,
    signaling: BTreeMap<String, usize>,
}

impl Open {
    fn of(system: &System) -> Self {
        let count = |process: &Process| {
            let mut kinds = BTreeMap::new();
            for name in process.descriptors() {
                let kind = name.replace(|it: char| it.is_ascii_digit(), "");
                *kinds.entry(kind).or_insert(0) += 1;
            }
            kinds
        };
        Self {
            engine: count(&system.engine),
            signaling: count(&system.signaling),
        }
    }
}

/// What there is of calls, in both processes.
fn gauges(system: &System) -> BTreeMap<String, f64> {
    let names = [
        "holdfast_port_pairs",
        "holdfast_sip_dialogs",
        "holdfast_sip_transactions",
        r#"holdfast_sip_connections{transport="tcp"}"#,
        r#"holdfast_sip_connections{transport="tls"}"#,
        r#"holdfast_calls{state="active"}"#,
        r#"holdfast_calls{state="publishing"}"#,
        r#"holdfast_calls{state="orphan"}"#,
        r#"holdfast_shard_streams{shard="0"}"#,
        r#"holdfast_shard_recordings{shard="0"}"#,
    ];
    let all = metrics(system.http());
    // What is not known yet is not zero.
    let value = |name: &str| all.get(name).copied().unwrap_or(f64::NAN);
    names.map(|name| (name.to_owned(), value(name))).into()
}

fn is_zero(gauges: &BTreeMap<String, f64>) -> bool {
    gauges.values().all(|value| *value == 0.0)
}

fn call_in_all_ways(ground: &Ground<'_>) -> Vec<Left> {
    let next = AtomicUsize::new(0);
    let left = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= ROUNDS * KINDS.len() {
                        return;
                    }
                    let of_this = KINDS[number % KINDS.len()](ground, number as u32);
                    left.lock().expect("no caller failed").push(of_this);
                }
            });
        }
    });
    left.into_inner().expect("no caller failed")
}

/// Whoever got a 200 has one recording, with all that was said; nothing is under way.
fn assert_published(system: &System, left: &[Left]) {
    let mut library = Library::new(&system.recordings());
    library.refresh().expect("the folder of recordings reads");
    assert_eq!(library.unreadable(), [], "manifests that do not read");
    let mut spoken = 0;
    for one in left {
        let call_id = match one {
            Left::Nothing => continue,
            Left::Recording(call_id) => call_id,
            Left::Speech(truth) => &truth.call_id,
        };
        let found = library.recordings(call_id);
        assert_eq!(found.len(), 1, "recordings of {call_id}");
        if let Left::Speech(truth) = one {
            let verdict = check_recording(&found[0], truth);
            assert_eq!(verdict.problems, [""; 0], "{call_id}");
            spoken += 1;
        }
    }
    assert_eq!(spoken, 2 * ROUNDS + 1, "those that were spoken in");
    let begun = files(&system.recordings().join("incoming"));
    assert!(begun.is_empty(), "{begun:?}");
    // What was cancelled while the engine was asked is published, too, and nobody waits for the word of it.
    let there = system.all_recordings().len() as f64;
    wait_until("each recording is counted", || {
        metrics(system.http())["holdfast_recordings_published_total"] == there
    });
    let answered = metrics(system.http())["holdfast_sip_invites_answered_total"];
    assert!(there >= answered, "{there} of {answered}");
}

fn spoken(ground: &Ground<'_>, _: u32) -> Left {
    speak(ground, &Way::Udp)
}

fn spoken_over_tls(ground: &Ground<'_>, _: u32) -> Left {
    speak(ground, &ground.tls)
}

fn speak(ground: &Ground<'_>, way: &Way) -> Left {
    let mut caller = Caller::by(way, ground.system);
    let call = caller.call(Codec::Pcmu);
    let legs = converse(&call, Duration::from_millis(300));
    caller.hang_up(&call);
    Left::Speech(truth(&call, legs))
}

fn encrypted(ground: &Ground<'_>, number: u32) -> Left {
    let key = Key::new(SrtpSuite::AesCm128Sha1_80, number as u8).line(1, "");
    let line = format!("m=audio 40000 RTP/SAVP 0\na=label:1\na=sendonly\n{key}");
    let mut script = Script::by(Peer::over(ground.system.sips(), &ground.tls));
    script.open(&Ask::invite().sdp(&sdp_of(ground.system, &line)));
    script.hang_up();
    Left::Recording(script.call_id)
}

/// Of one line: hundreds of calls share the few ports of a test, and some keep theirs for long.
fn offer(ground: &Ground<'_>) -> Body {
    let mut offer = silent_offer(ground.system);
    offer.legs.truncate(1);
    offer.multipart()
}

/// Ends what was accepted.
fn end(mut script: Script, response: &Message) -> Left {
    if response.status() != Some(200) {
        return Left::Nothing;
    }
    script.ack(None);
    script.hang_up();
    Left::Recording(script.call_id)
}

fn invite(mut script: Script, body: &Body) -> Left {
    let response = script.ask(&Ask::invite().body(body));
    end(script, &response)
}

/// Turns some octets into others.
fn damage(octets: &mut [u8], number: u32) {
    let mut state = u64::from(number) + 1;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..=draw() % 8 {
        let at = draw() % octets.len();
        octets[at] ^= 1 + (draw() % 255) as u8;
    }
}

fn body_damaged(ground: &Ground<'_>, number: u32) -> Left {
    let mut body = offer(ground);
    damage(&mut body.bytes, number);
    invite(Script::new(ground.system), &body)
}

fn body_cut(ground: &Ground<'_>, number: u32) -> Left {
    let mut body = offer(ground);
    let size = body.bytes.len();
    body.bytes.truncate(size * (number as usize % 16) / 16);
    invite(Script::over(Transport::Tcp, ground.system), &body)
}

/// Whatever it says now: an answer, silence, or a call that nobody acknowledges.
fn message_damaged(ground: &Ground<'_>, number: u32) -> Left {
    let mut script = Script::new(ground.system);
    let mut message = script.write(&Ask::invite().body(&offer(ground)), 1, &branch());
    damage(&mut message, number);
    script.peer.send(&message);
    let answer = script.hear(Duration::from_millis(500), |message| {
        message.status().is_some_and(|status| status >= 200)
    });
    // A Call-ID that was damaged, too, may be written otherwise by who reads it.
    let is_ours = |answer: &Message| {
        answer.status() == Some(200) && answer.header("Call-ID") == Some(&script.call_id)
    };
    match answer.is_some_and(|answer| is_ours(&answer)) {
        true => Left::Recording(script.call_id),
        false => Left::Nothing,
    }
}

fn metadata_broken(ground: &Ground<'_>, _: u32) -> Left {
    let broken = document("complete", "<session><!-- &nothing; </recording>");
    let body = multipart(&silent_offer(ground.system).sdp(), broken.as_bytes());
    let mut script = Script::new(ground.system);
    script.open(&Ask::invite().body(&body));
    script.ok(&Ask::new("UPDATE").metadata(&broken[..40]));
    script.hang_up();
    Left::Recording(script.call_id)
}

/// No codec that is known.
fn unusable(ground: &Ground<'_>) -> String {
    sdp_of(ground.system, "m=audio 40000 RTP/AVP 77\n")
}

fn offer_refused(ground: &Ground<'_>, _: u32) -> Left {
    let mut script = Script::over(Transport::Tcp, ground.system);
    let refusal = script.ask(&Ask::invite().sdp(&unusable(ground)));
    assert_eq!(refusal.status(), Some(488));
    Left::Nothing
}

fn extension_unknown(ground: &Ground<'_>, _: u32) -> Left {
    let ask = Ask::invite().header("Require", "siprec, foo");
    let refusal = Script::new(ground.system).ask(&ask.body(&offer(ground)));
    assert_eq!(refusal.status(), Some(420));
    Left::Nothing
}

fn refusal_unacknowledged(ground: &Ground<'_>, _: u32) -> Left {
    let mut script = Script::new(ground.system);
    let bytes = script.write(&Ask::invite().sdp(&unusable(ground)), 1, &branch());
    script.peer.send(&bytes);
    let refusal = script.hear(PATIENCE, |message| message.status() == Some(488));
    assert!(refusal.is_some());
    Left::Nothing
}

/// Behind the INVITE at once: before its answer, or after.
fn cancelled(ground: &Ground<'_>, _: u32) -> Left {
    let mut script = Script::new(ground.system);
    let invite = script.send(&Ask::invite().body(&offer(ground)));
    let cancel = script.write(&Ask::new("CANCEL"), invite.cseq, invite.branch());
    script.peer.send(&cancel);
    let response = script.answer_to(&invite);
    end(script, &response)
}

fn bye_before_ack(ground: &Ground<'_>, _: u32) -> Left {
    let mut script = Script::new(ground.system);
    let response = script.ask(&Ask::invite().body(&offer(ground)));
    assert_eq!(response.status(), Some(200), "{response:?}");
    script.hang_up();
    Left::Recording(script.call_id)
}

/// Who was called back is gone, too.
fn never_acknowledged(ground: &Ground<'_>, number: u32) -> Left {
    let transport = match number % 2 {
        0 => Transport::Udp,
        _ => Transport::Tcp,
    };
    let mut script = Script::over(transport, ground.system);
    let response = script.ask(&Ask::invite().body(&offer(ground)));
    assert_eq!(response.status(), Some(200), "{response:?}");
    Left::Recording(script.call_id)
}

fn invite_repeated(ground: &Ground<'_>, _: u32) -> Left {
    let mut script = Script::new(ground.system);
    let sent = script.send(&Ask::invite().body(&offer(ground)));
    script.peer.send(&sent.bytes);
    script.peer.send(&sent.bytes);
    let response = script.answer_to(&sent);
    script.peer.send(&sent.bytes);
    end(script, &response)
}

fn invite_merged(ground: &Ground<'_>, _: u32) -> Left {
    let mut script = Script::new(ground.system);
    let ask = Ask::invite().body(&offer(ground));
    let (first, second) = (script.send_as(&ask, 1), script.send_as(&ask, 1));
    let response = script.answer_to(&first);
    let tag = script.to_tag.clone();
    assert_eq!(script.answer_to(&second).status(), Some(482));
    script.to_tag = tag;
    end(script, &response)
}

fn cut_within_a_message(ground: &Ground<'_>, number: u32) -> Left {
    for way in [&Way::Tcp, &ground.tls] {
        let mut peer = Peer::over(ground.system.at(way), way);
        let request =
            Script::new(ground.system).write(&Ask::invite().body(&offer(ground)), 1, &branch());
        let size = request.len() * (1 + number as usize % 16) / 17;
        peer.send(&request[..size]);
    }
    Left::Nothing
}

/// It is ended over another connection.
fn cut_within_a_call(ground: &Ground<'_>, _: u32) -> Left {
    let way = Way::Tcp;
    let mut script = Script::by(Peer::over(ground.system.at(&way), &way));
    let offer = silent_offer(ground.system);
    script.open(&Ask::invite().body(&offer.multipart()));
    let update = Ask::new("UPDATE").metadata(&offer.metadata());
    let update = script.write(&update, script.cseq + 1, &branch());
    script.peer.send(&update[..update.len() / 2]);
    script.peer = Peer::over(ground.system.at(&way), &way);
    script.hang_up();
    Left::Recording(script.call_id)
}

fn garbage_on_connections(ground: &Ground<'_>, number: u32) -> Left {
    let mut garbage = offer(ground).bytes;
    damage(&mut garbage, number);
    for at in [ground.system.sip(), ground.system.sips()] {
        let mut stream = TcpStream::connect(at).expect("a connection");
        // It may be closed as soon as the first of it is read.
        let _ = stream.write_all(&garbage);
        TcpStream::connect(at).expect("one that says nothing, and goes");
    }
    Peer::over(ground.system.sips(), &ground.tls).send(&garbage);
    let silent = TcpStream::connect(ground.system.sips()).expect("a connection");
    let silent = Peer::on(Stream::Plain(silent), ground.system.sips());
    let is_closed = silent.expect("a peer").is_closed_within(PATIENCE);
    assert!(is_closed, "no handshake");
    Left::Nothing
}

fn changed_and_refused(ground: &Ground<'_>, _: u32) -> Left {
    let mut script = Script::new(ground.system);
    let offer = silent_offer(ground.system);
    script.open(&Ask::invite().body(&offer.multipart()));
    let refusal = script.ask(&Ask::invite().sdp(&unusable(ground)));
    assert_eq!(refusal.status(), Some(488));
    // Its second line is gone.
    let sdp = offer.sdp();
    let (first, second) = sdp.rsplit_once("m=audio ").expect("two lines");
    let (_, rest) = second.split_once(' ').expect("a port");
    script.ok(&Ask::invite().sdp(&format!("{first}m=audio 0 {rest}")));
    script.hang_up();
    Left::Recording(script.call_id)
}
