//! What is wrong gets its answer or is counted, and no other call is touched by it.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::caller::{Call, Caller};
use holdfast_e2e::peer::{Peer, Request, multipart};
use holdfast_e2e::rtp;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{Mode, Talk, converse, truth};
use holdfast_e2e::wait::{wait_for, wait_until};
use holdfast_load::invite::Codec;
use holdfast_load::sip::Message;
use holdfast_load::uac::Transport;
use holdfast_load::verify::{Published, check_recording};

/// Everything at once, and a call that is recorded meanwhile.
#[test]
fn a_call_is_unharmed_by_all_that_happens_beside_it() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    let server = system.sip();
    std::thread::scope(|scope| {
        scope.spawn(|| garbage_in_datagrams(server));
        scope.spawn(|| garbage_in_streams(server));
        scope.spawn(|| half_messages(server));
        scope.spawn(|| malformed_requests(server));
    });
    caller.stay(Duration::from_millis(500));
    let legs = talk.finish();
    caller.hang_up(&call);
    let verdict = check_recording(&system.published(&call.call_id), &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
    assert_eq!(
        system.all_recordings().len(),
        1,
        "nothing else was recorded"
    );
}

fn garbage_in_datagrams(server: SocketAddr) {
    let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0)).expect("a socket");
    let mut chance = 0x2545_f491_4f6c_dd1d_u64;
    for size in (0..1_500).chain([8_000, 60_000]) {
        let mut octets = Vec::with_capacity(size);
        for _ in 0..size {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            octets.push((chance >> 56) as u8);
        }
        socket.send_to(&octets, server).expect("a datagram");
    }
    for text in [
        &b"\r\n\r\n"[..],
        b"\0",
        b"INVITE",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"ACK  SIP/2.0\r\n\r\n",
    ] {
        socket.send_to(text, server).expect("a datagram");
    }
}

/// A stream that has lost its framing can only be closed.
fn garbage_in_streams(server: SocketAddr) {
    let lengths = ["99999999999999999999", "-1", "4294967295", "x"];
    for length in lengths {
        let mut peer = Peer::connect(server, Transport::Tcp);
        let options = peer.write(&request("OPTIONS", "absurd-length@example.com"));
        let text = String::from_utf8(options).expect("text");
        let text = text.replace("Content-Length: 0", &format!("Content-Length: {length}"));
        peer.send(text.as_bytes());
        assert!(
            peer.is_closed_within(Duration::from_secs(10)),
            "Content-Length: {length}"
        );
    }
    for stream in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc],
    ] {
        let mut peer = Peer::connect(server, Transport::Tcp);
        peer.send(stream);
        // What has no end of its head may yet have one; it is not waited for here.
        let _ = peer.is_closed_within(Duration::from_millis(200));
    }
    let mut peer = Peer::connect(server, Transport::Tcp);
    peer.send("X".repeat(70_000).as_bytes());
    assert!(
        peer.is_closed_within(Duration::from_secs(10)),
        "a head without an end"
    );
}

/// Connections that say half a message, and go away or stay.
fn half_messages(server: SocketAddr) {
    let mut open = Vec::new();
    for part in 1..=20 {
        let mut peer = Peer::connect(server, Transport::Tcp);
        let message = peer.write(&request("INVITE", "half@example.com"));
        peer.send(&message[..message.len() * part / 21]);
        if part % 2 == 0 {
            open.push(peer);
        }
    }
    // Behind them, a whole one is answered at once; in two pieces, too.
    let mut peer = Peer::connect(server, Transport::Tcp);
    let message = peer.write(&request("OPTIONS", "whole@example.com"));
    let (head, tail) = message.split_at(40);
    peer.send(head);
    std::thread::sleep(Duration::from_millis(50));
    peer.send(tail);
    assert_eq!(peer.final_response(1, "OPTIONS").status(), Some(200));
    drop(open);
}

fn malformed_requests(server: SocketAddr) {
    let invite = Request {
        headers: "Require: siprec\r\n",
        ..request("INVITE", "malformed@example.com")
    };
    // What is changed, what it becomes, and the answer.
    let changes = [
        ("CSeq: 1 INVITE", "CSeq: one INVITE", 400),
        ("CSeq: 1 INVITE", "CSeq: 1 OPTIONS", 400),
        ("Call-ID: malformed@example.com\r\n", "", 400),
        ("Content-Length: 0", "Content-Length: 99", 400),
        ("SIP/2.0\r\nVia", "SIP/7.0\r\nVia", 505),
        ("INVITE sip:srs", "INVITE http:srs", 416),
        ("Require: siprec", "Require: siprec, teleportation", 420),
    ];
    for (from, to, status) in changes {
        let mut peer = Peer::connect(server, Transport::Udp);
        let text = String::from_utf8(peer.write(&invite)).expect("text");
        assert!(text.contains(from), "{from}");
        let response = peer.ask_oddly(text.replacen(from, to, 1).as_bytes());
        assert_eq!(response.status(), Some(status), "{to}: {response:?}");
    }
}

/// TC-16: over UDP in fragments, and over TCP.
#[test]
fn a_large_invite_is_recorded_with_all_its_metadata() {
    let system = System::start(&Options::new());
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut caller = Caller::over(transport, &system);
        let prepared = caller.prepare(Codec::Pcmu);
        let metadata = padded(&prepared.offer.metadata(), 57_000);
        let body = multipart(&prepared.offer.sdp(), metadata.as_bytes());
        assert!(body.bytes.len() > 57_000);
        let (call, _) = caller.place_with(prepared, &body);
        let legs = converse(&call, Duration::from_millis(300));
        caller.hang_up(&call);
        let published = system.published(&call.call_id);
        assert_eq!(document(&published, 0), metadata.as_bytes());
        let verdict = check_recording(&published, &truth(&call, legs));
        assert_eq!(verdict.problems, [""; 0]);
    }
}

/// TC-49.
#[test]
fn broken_metadata_is_kept_as_it_came_and_flagged() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    // A document, and the word with which the manifest flags it.
    let broken: [(&[u8], &str); 4] = [
        (
            b"<recording xmlns='urn:ietf:params:xml:ns:recording:1'><session></recording>",
            "ill_formed",
        ),
        (b"no XML at all", "empty"),
        (
            b"<!DOCTYPE r [<!ENTITY a 'aa'><!ENTITY b '&a;&a;'>]><recording>&b;</recording>",
            "doctype",
        ),
        // A wrong letter costs no more than itself.
        (b"<recording>\xff</recording>", "broken_charset"),
    ];
    for (metadata, flag) in broken {
        let prepared = caller.prepare(Codec::Pcmu);
        let body = multipart(&prepared.offer.sdp(), metadata);
        let (call, _) = caller.place_with(prepared, &body);
        let legs = converse(&call, Duration::from_millis(300));
        caller.hang_up(&call);
        let published = system.published(&call.call_id);
        assert_eq!(document(&published, 0), metadata);
        let described = &published.manifest.call;
        let flags = &described.metadata[0].flags;
        assert!(flags.iter().any(|one| one == flag), "{flag}: {flags:?}");
        assert!(
            published.manifest.flags.iter().any(|one| one == "warnings")
                || flag == "broken_charset"
        );
        let verdict = check_recording(&published, &truth(&call, legs));
        assert_eq!(verdict.problems, [""; 0]);
    }
}

/// TC-24.
#[test]
fn no_usable_stream_is_not_acceptable_and_a_broken_offer_is_a_bad_request() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";
    let offers = [
        ("m=message 2855 TCP/MSRP *\r\na=sendonly\r\n", 488),
        ("m=audio 4000 UDP/NONSENSE 0\r\na=sendonly\r\n", 488),
        (
            "m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n",
            488,
        ),
        ("m=audio four RTP/AVP 0\r\n", 400),
    ];
    for (lines, status) in offers {
        let prepared = caller.prepare(Codec::Pcmu);
        let body = multipart(
            &format!("{head}{lines}"),
            prepared.offer.metadata().as_bytes(),
        );
        let refusal = caller
            .try_invite(prepared.number, &body)
            .expect_err("a refusal");
        assert_eq!(refusal.status(), Some(status), "{lines}");
        let warning = refusal.header("Warning").expect("a Warning");
        assert!(
            warning.starts_with('3') && warning.contains('"'),
            "{warning}"
        );
    }
    // Nothing is left of them: neither a folder, nor ports.
    let call = caller.call(Codec::Pcmu);
    caller.hang_up(&call);
    system.published(&call.call_id);
    assert_eq!(system.all_recordings().len(), 1);
}

#[test]
fn without_the_engine_new_calls_get_503_until_it_is_back() {
    let mut system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    system.engine.kill();
    wait_until("OPTIONS says 503", || system.options_status() == Some(503));
    for _ in 0..3 {
        assert_unavailable(&mut caller);
    }
    system.engine.start();
    system.await_ready();
    let call = caller.call(Codec::Pcmu);
    let legs = converse(&call, Duration::from_millis(300));
    caller.hang_up(&call);
    let verdict = check_recording(&system.published(&call.call_id), &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
}

/// TC-130: the limit of calls.
#[test]
fn more_calls_than_allowed_get_503_and_the_others_go_on() {
    let system = System::start(&Options::new().set("sip", "max_calls = 2"));
    let mut caller = Caller::new(&system);
    let calls = [caller.call(Codec::Pcmu), caller.call(Codec::Pcmu)];
    let talks: Vec<Talk> = calls.iter().map(Talk::start).collect();
    assert_unavailable(&mut caller);
    assert_eq!(system.options_status(), Some(503), "OPTIONS says the same");
    caller.stay(Duration::from_millis(500));
    for (call, talk) in calls.iter().zip(talks) {
        let legs = talk.finish();
        caller.hang_up(call);
        let verdict = check_recording(&system.published(&call.call_id), &truth(call, legs));
        assert_eq!(verdict.problems, [""; 0]);
    }
    let call = caller.call(Codec::Pcmu);
    caller.hang_up(&call);
}

#[test]
fn without_ports_new_calls_get_503_until_some_have_rested() {
    let options = Options::new()
        .media_ports(4)
        .set("media", "port_quarantine = \"1 s\"");
    let system = System::start(&options);
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    assert_unavailable(&mut caller);
    let legs = converse(&call, Duration::from_millis(300));
    caller.hang_up(&call);
    let verdict = check_recording(&system.published(&call.call_id), &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
    // The ports rest: what is still under way must not get into the next call.
    assert_unavailable(&mut caller);
    let next = wait_for("the ports are free again", || {
        std::thread::sleep(Duration::from_millis(200));
        let prepared = caller.prepare(Codec::Pcmu);
        let body = prepared.offer.multipart();
        caller.try_invite(prepared.number, &body).ok()
    });
    assert_eq!(next.status(), Some(200));
}

/// TC-115.
#[test]
fn random_octets_on_a_media_port_are_counted_and_not_recorded() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(200));
    let sent = disturb(&call);
    caller.stay(Duration::from_millis(300));
    talk.set(Mode::Silent);
    let legs = talk.finish();
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let audio = Audio::of(&published.folder);
    for ((stream, leg), samples) in published
        .manifest
        .streams
        .iter()
        .zip(&legs)
        .zip(&audio.channels)
    {
        let slots = Slots::of(samples, &leg.plan);
        assert_eq!(slots.missing, [0; 0]);
        assert_eq!(stream.packets, leg.plan.counts().packets);
        assert_eq!(
            stream.refused.values().sum::<u64>(),
            sent,
            "{:?}",
            stream.refused
        );
        assert!(stream.refused.len() >= 4, "by reason: {:?}", stream.refused);
    }
}

/// Sends to both lines what is none of the call's media; gives how many datagrams to each.
fn disturb(call: &Call) -> u64 {
    let stranger =
        UdpSocket::bind(SocketAddr::new(call.ports[0].address.ip(), 0)).expect("a socket");
    let mut count = 0;
    for line in &call.answer.lines {
        let to = line.rtp.expect("a port");
        count = 0;
        let mut send = |octets: &[u8]| {
            stranger.send_to(octets, to).expect("a datagram");
            count += 1;
        };
        for size in 0..60 {
            send(&vec![0x5a; size]);
            send(&vec![0; size]);
        }
        // RTP of a payload type that was not negotiated, of a stranger, and too large.
        for index in 0..10 {
            send(&rtp::packet(77, index, 0, 5, &[1; 160]));
        }
        send(&rtp::packet(0, 7, 0, 6, &[1; 160]));
        send(&rtp::packet(0, 1, 0, 7, &[1; 4_000]));
        // STUN and DTLS, as a browser would.
        send(&[&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat());
        send(&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    }
    count
}

/// INVITE is answered 503 with a time.
fn assert_unavailable(caller: &mut Caller) {
    let prepared = caller.prepare(Codec::Pcmu);
    let body = prepared.offer.multipart();
    let refusal: Box<Message> = caller.try_invite(prepared.number, &body).expect_err("503");
    assert_eq!(refusal.status(), Some(503));
    let seconds = refusal
        .header("Retry-After")
        .and_then(|value| value.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{refusal:?}");
}

fn request<'a>(method: &'a str, call_id: &'a str) -> Request<'a> {
    Request {
        method,
        call_id,
        cseq: 1,
        headers: "",
        body: None,
    }
}

/// Metadata made larger by what every reader passes over, and still well-formed.
fn padded(metadata: &str, size: usize) -> String {
    let comment = format!("<!-- {} -->\r\n</recording>", "long ".repeat(size / 5));
    metadata.replace("</recording>", &comment)
}

fn document(published: &Published, index: usize) -> Vec<u8> {
    let file = &published.manifest.call.metadata[index].file;
    std::fs::read(published.folder.join(file)).expect("the document")
}
