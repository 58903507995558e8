//! Test cases, chapter B: offer and answer. Each test bears the number of its case.

use std::net::UdpSocket;
use std::time::Duration;

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::bodies::{document, sdp_of, session_id, silent_offer};
use holdfast_e2e::caller::Caller;
use holdfast_e2e::peer::multipart;
use holdfast_e2e::rtp;
use holdfast_e2e::script::{Ask, Script, text_of};
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{Talk, assert_recorded, converse, truth};
use holdfast_e2e::wait::wait_until;
use holdfast_load::answer::Answer;
use holdfast_load::invite::{Codec, Direction, OfferLeg};
use holdfast_load::sip::Message;
use holdfast_load::verify::check_recording;
use holdfast_manifest::MarkKind;
use nix::sys::signal::Signal;

static SYSTEM: Shared = Shared::new();

const PCMU: &str = "RTP/AVP 0\na=rtpmap:0 PCMU/8000\n";

#[test]
fn tc_22_direction_matrix() {
    let system = SYSTEM.system(Options::new);
    let matrix = [
        ("a=sendrecv\n", "recvonly"),
        ("", "recvonly"),
        ("a=recvonly\n", "inactive"),
        ("a=sendonly\n", "recvonly"),
        ("a=inactive\n", "inactive"),
    ];
    let ports = Caller::new(&system).open_ports();
    for (offered, answered) in matrix {
        let mut script = Script::new(&system);
        let port = ports.address.port();
        let sdp = sdp_of(
            &system,
            &format!("m=audio {port} {PCMU}a=label:1\n{offered}"),
        );
        let response = script.open(&Ask::invite().sdp(&sdp));
        let answer = Answer::parse(&response.body).expect("an answer");
        assert_eq!(answer.lines[0].direction, answered, "{offered}");
        script.hang_up();
    }
    // A recorder has nothing to say.
    ports.rtp.set_nonblocking(true).expect("a socket");
    assert!(
        ports.rtp.recv(&mut [0; 100]).is_err(),
        "no media of the server's"
    );
}

/// c=0.0.0.0, the hold of old: accepted, and nothing is sent there, which here would be to whoever
/// has the port on this machine.
#[test]
fn tc_22_held_by_address() {
    let system = SYSTEM.system(Options::new);
    let ports = Caller::new(&system).open_ports();
    let mut script = Script::new(&system);
    let port = ports.address.port();
    let sdp = sdp_of(
        &system,
        &format!("m=audio {port} {PCMU}c=IN IP4 0.0.0.0\na=label:1\n"),
    );
    let response = script.open(&Ask::invite().sdp(&sdp));
    let answer = Answer::parse(&response.body).expect("an answer");
    assert!(answer.lines[0].rtp.is_some());
    // The first report to anybody else is due within 5 s.
    ports
        .rtcp
        .set_read_timeout(Some(Duration::from_secs(6)))
        .expect("a time-out");
    assert!(
        ports.rtcp.recv(&mut [0; 1_500]).is_err(),
        "no report to 0.0.0.0"
    );
    script.hang_up();
}

#[test]
fn tc_23_partial_reject() {
    let system = SYSTEM.system(Options::new);
    let mut script = Script::new(&system);
    let lines = format!(
        "m=audio 40000 {PCMU}a=label:1\na=sendonly\n\
         m=audio 40002 RTP/AVP 77\na=label:2\na=sendonly\n\
         m=application 40004 foo 1\na=sendonly\n"
    );
    let response = script.open(&Ask::invite().sdp(&sdp_of(&system, &lines)));
    let sdp = text_of(&response);
    let media: Vec<_> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(media.len(), 3, "{sdp}");
    assert!(
        media[0].starts_with("m=audio ") && !media[0].starts_with("m=audio 0 "),
        "{sdp}"
    );
    assert!(media[1].starts_with("m=audio 0 RTP/AVP "), "{sdp}");
    assert!(media[2].starts_with("m=application 0 foo "), "{sdp}");
    script.hang_up();
}

#[test]
fn tc_24_nothing_acceptable() {
    let system = SYSTEM.system(Options::new);
    let mut script = Script::new(&system);
    let lines = "m=audio 40000 RTP/AVP 77\na=sendonly\nm=audio 40002 RTP/AVP 78 79\na=sendonly\n";
    let refusal = script.ask(&Ask::invite().sdp(&sdp_of(&system, lines)));
    assert_eq!(refusal.status(), Some(488), "{refusal:?}");
    let warning = refusal.header("Warning").expect("a Warning");
    assert!(
        warning.starts_with("304 ") || warning.starts_with("305 "),
        "{warning}"
    );
    assert!(system.published_so_far(&script.call_id).is_empty());
}

#[test]
fn tc_25_add_stream() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcmu);
    let third = caller.open_ports();
    let mut offer = call.offer.clone();
    offer.version += 1;
    let mut leg: OfferLeg = offer.legs[1].clone();
    leg.label = "3".to_owned();
    leg.rtp = third.address;
    leg.participant.name = "Carol".to_owned();
    leg.participant.aor = "sip:carol@example.com".to_owned();
    offer.legs.push(leg);
    let (session, carol, stream) = (
        session_id(&offer),
        offer.participant_id(2),
        offer.stream_id(2),
    );
    let partial = document(
        "partial",
        &format!(
            "<participant participant_id=\"{carol}\">\
             <nameID aor=\"sip:carol@example.com\"/></participant>\
             <stream stream_id=\"{stream}\" session_id=\"{session}\"><label>3</label></stream>\
             <participantsessionassoc participant_id=\"{carol}\" session_id=\"{session}\"/>\
             <participantstreamassoc participant_id=\"{carol}\">\
             <send>{stream}</send></participantstreamassoc>"
        ),
    );
    let body = multipart(&offer.sdp(), partial.as_bytes());
    let response = caller.request(&call, holdfast_load::uac::Method::Invite, Some(&body));
    call.answer = Answer::parse(&response.body).expect("an answer");
    call.offer = offer;
    call.ports.push(third);
    assert_eq!(call.answer.lines.len(), 3);
    let legs = converse(&call, Duration::from_millis(500));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let manifest = &published.manifest;
    assert_eq!(manifest.streams.len(), 3);
    let verdict = check_recording(&published, &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
    let attributed = manifest
        .call
        .channels
        .iter()
        .find(|one| one.labels == ["3"]);
    assert_eq!(
        attributed.and_then(|one| one.participant.clone()),
        Some(carol),
        "{:?}",
        manifest.call.channels
    );
}

#[test]
fn tc_26_remove_and_reuse() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcmu);
    let before = call.answer.lines[1].rtp.expect("a port");
    let mut removed = call.offer.redirected(Direction::SendOnly);
    removed.legs[1].rtp.set_port(0);
    caller.reinvite(&mut call, removed);
    assert_eq!(call.answer.lines.len(), 2);
    assert_eq!(
        call.answer.lines[1].rtp, None,
        "the line is answered as it is offered"
    );
    // Late media of the line that is gone.
    let late = rtp::packet(0, 1, 0, 0x0bad, &[0x11; 160]);
    for _ in 0..5 {
        call.ports[1].rtp.send_to(&late, before).expect("a packet");
    }
    let mut reused = call.offer.redirected(Direction::SendOnly);
    let ports = caller.open_ports();
    reused.legs[1].rtp = ports.address;
    reused.legs[1].label = "9".to_owned();
    caller.reinvite(&mut call, reused);
    call.ports[1] = ports;
    let after = call.answer.lines[1].rtp.expect("a port");
    assert_ne!(before, after, "what comes late must not get in");
    let legs = converse(&call, Duration::from_millis(400));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let streams = &published.manifest.streams;
    let labels: Vec<_> = streams
        .iter()
        .map(|one| one.label.clone().unwrap_or_default())
        .collect();
    assert_eq!(labels, ["1", "2", "9"], "a line used again is a new track");
    assert_eq!(streams[1].packets, 0, "{:?}", streams[1]);
    assert_eq!(streams[2].packets, legs[1].plan.counts().packets);
}

#[test]
fn tc_27_label_swap() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcmu);
    let mut legs = converse(&call, Duration::from_millis(300));
    let mut swapped = call.offer.redirected(Direction::SendOnly);
    swapped.legs[0].label = "2".to_owned();
    swapped.legs[1].label = "1".to_owned();
    caller.reinvite(&mut call, swapped);
    let answered: Vec<_> = call
        .answer
        .lines
        .iter()
        .map(|line| line.label.clone().unwrap_or_default())
        .collect();
    assert_eq!(answered, ["2", "1"]);
    legs.clear();
    caller.stay(Duration::from_millis(200));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    for (stream, label) in published.manifest.streams.iter().zip(["2", "1"]) {
        let changes: Vec<_> = stream
            .marks
            .iter()
            .filter_map(|mark| match &mark.kind {
                MarkKind::LabelChange { label } => Some(label.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(changes, [label], "from that moment: {:?}", stream.marks);
    }
}

#[test]
fn tc_28_no_labels() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let sdp = prepared
        .offer
        .sdp()
        .replace("a=label:1\r\n", "")
        .replace("a=label:2\r\n", "");
    let (call, _) = script.place_with(prepared, &sdp);
    let legs = converse(&call, Duration::from_millis(400));
    script.hang_up();
    let published = system.published(&call.call_id);
    let warnings = &published.manifest.call.warnings;
    assert!(
        warnings.iter().any(|one| one.code == "no_label"),
        "{warnings:?}"
    );
    for (samples, leg) in Audio::of(&published.folder).channels.iter().zip(&legs) {
        assert_eq!(Slots::of(samples, &leg.plan).missing, [0; 0]);
    }
}

#[test]
fn tc_29_offerless_reinvite() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let call = script.place(prepared);
    let talk = Talk::start(&call);
    let offer = script.ask(&Ask::invite());
    assert_eq!(offer.status(), Some(200), "{offer:?}");
    let ours = Answer::parse(&offer.body).expect("an offer of the server's");
    let ports = |answer: &Answer| answer.lines.iter().map(|line| line.rtp).collect::<Vec<_>>();
    assert_eq!(ports(&ours), ports(&call.answer), "the same lines");
    assert_eq!(text_of(&offer).matches("m=").count(), 2);
    let mut answer = call.offer.redirected(Direction::SendOnly);
    answer.version += 1;
    script.ack(Some(&answer.sdp_body()));
    std::thread::sleep(Duration::from_millis(500));
    let legs = talk.finish();
    script.hang_up();
    assert_recorded(&system, &call, legs);
}

#[test]
fn tc_30_update_offer_and_update_against_an_offer_of_ours() {
    let system = SYSTEM.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    let paused = offer.redirected(Direction::Inactive);
    let response = script.ok(&Ask::new("UPDATE").body(&paused.sdp_body()));
    let answer = Answer::parse(&response.body).expect("an answer");
    assert!(answer.lines.iter().all(|line| line.direction == "inactive"));
    // Our offer in the 200 to an INVITE without one waits for its answer in the ACK.
    let ours = script.ask(&Ask::invite());
    assert_eq!(ours.status(), Some(200));
    let invite = script.cseq;
    let again = paused.redirected(Direction::SendOnly);
    let glare = script.ask(&Ask::new("UPDATE").body(&again.sdp_body()));
    assert_eq!(glare.status(), Some(491), "{glare:?}");
    let update = std::mem::replace(&mut script.cseq, invite);
    script.ack(Some(&again.sdp_body()));
    script.cseq = update;
    script.hang_up();
}

/// An engine that is stopped for a moment keeps the first answer back.
#[test]
fn tc_30_update_before_the_first_is_answered() {
    let system = System::start(&Options::new());
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    system.engine.signal(Signal::SIGSTOP);
    let mut removed = offer.redirected(Direction::SendOnly);
    removed.legs[1].label = "7".to_owned();
    let first = script.send(&Ask::new("UPDATE").body(&removed.sdp_body()));
    let second =
        script.ask(&Ask::new("UPDATE").body(&removed.redirected(Direction::Inactive).sdp_body()));
    assert_eq!(second.status(), Some(500), "{second:?}");
    assert_retry_after(&second);
    system.engine.signal(Signal::SIGCONT);
    assert_eq!(script.answer_to(&first).status(), Some(200));
    script.hang_up();
}

#[test]
fn tc_66_second_invite_before_the_first_is_answered() {
    let system = System::start(&Options::new());
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    system.engine.signal(Signal::SIGSTOP);
    let first = script.send(&Ask::invite().body(&offer.redirected(Direction::Inactive).sdp_body()));
    let second = script.ask(&Ask::invite().body(&offer.redirected(Direction::SendOnly).sdp_body()));
    assert_eq!(second.status(), Some(500), "{second:?}");
    assert_retry_after(&second);
    system.engine.signal(Signal::SIGCONT);
    assert_eq!(script.answer_to(&first).status(), Some(200));
    let last = std::mem::replace(&mut script.cseq, first.cseq);
    script.ack(None);
    script.cseq = last;
    script.hang_up();
}

fn assert_retry_after(response: &Message) {
    let seconds = response
        .header("Retry-After")
        .and_then(|value| value.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds <= 10), "{response:?}");
}

#[test]
fn tc_31_reinvite_rejected_is_atomic() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let call = script.place(prepared);
    let talk = Talk::start(&call);
    let mut renamed = call.offer.clone();
    renamed.legs[1].participant.name = "Mallory".to_owned();
    let sdp = sdp_of(
        &system,
        "m=audio 40000 RTP/AVP 77\nm=audio 40002 RTP/AVP 78\n",
    );
    let refusal = script.ask(&Ask::invite().body(&multipart(&sdp, renamed.metadata().as_bytes())));
    assert_eq!(refusal.status(), Some(488), "{refusal:?}");
    std::thread::sleep(Duration::from_millis(400));
    let legs = talk.finish();
    script.hang_up();
    let published = assert_recorded(&system, &call, legs);
    let name = &call.offer.legs[1].participant.name;
    assert_eq!(
        published.manifest.call.participants[1].names,
        [name.as_str()]
    );
}

#[test]
fn tc_32_same_version_refresh() {
    let system = SYSTEM.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    let first = script.open(&Ask::invite().body(&offer.multipart()));
    let second = script.ok(&Ask::invite().body(&offer.sdp_body()));
    let third = script.ok(&Ask::invite().body(&offer.redirected(Direction::Inactive).sdp_body()));
    let origin = |response: &Message| {
        let sdp = text_of(response);
        let line = sdp
            .lines()
            .find(|line| line.starts_with("o="))
            .expect("o=")
            .to_owned();
        line.split(' ')
            .nth(2)
            .and_then(|word| word.parse::<u64>().ok())
            .expect("a version")
    };
    assert_eq!(origin(&first), origin(&second), "nothing has changed");
    assert_eq!(origin(&third), origin(&first) + 1, "by one for a change");
    script.hang_up();
}

/// Video is answered with port 0 where it is not built: then the audio beside it counts.
#[test]
fn tc_35_four_lines_with_video() {
    let system = SYSTEM.system(Options::new);
    for profile in ["RTP/AVPF", "RTP/AVP"] {
        let mut script = Script::new(&system);
        let line = |kind: &str, port: u16, format: &str, label: u32| {
            format!("m={kind} {port} {profile} {format}\na=label:{label}\na=sendonly\n")
        };
        let video = "96\na=rtpmap:96 H264/90000";
        let lines = [
            line("audio", 40_000, "0", 1),
            line("audio", 40_002, "0", 2),
            line("video", 40_004, video, 3),
            line("video", 40_006, video, 4),
        ];
        let response = script.open(&Ask::invite().sdp(&sdp_of(&system, &lines.concat())));
        let sdp = text_of(&response);
        let media: Vec<_> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
        let kinds: Vec<_> = media
            .iter()
            .map(|line| line.split(' ').next().unwrap_or_default())
            .collect();
        assert_eq!(kinds, ["m=audio", "m=audio", "m=video", "m=video"], "{sdp}");
        assert!(
            media
                .iter()
                .all(|line| line.contains(&format!(" {profile} "))),
            "{sdp}"
        );
        assert!(
            media[..2].iter().all(|line| !line.contains(" 0 RTP")),
            "{sdp}"
        );
        script.hang_up();
    }
}

/// RTCP of a line that is gone stops: TC-26, seen from the other side.
#[test]
fn tc_26_no_reports_for_a_line_that_is_gone() {
    let system = SYSTEM.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    let heard = |socket: &UdpSocket| {
        socket.set_nonblocking(true).expect("a socket");
        let mut last = None;
        let mut buffer = [0; 1_500];
        while let Ok(size) = socket.recv(&mut buffer) {
            last = rtp::Report::parse(&buffer[..size]);
        }
        last
    };
    wait_until("a report for both lines", || {
        heard(&call.ports[1].rtcp).is_some()
    });
    let mut removed = call.offer.redirected(Direction::SendOnly);
    removed.legs[1].rtp.set_port(0);
    caller.reinvite(&mut call, removed);
    wait_until("a goodbye", || {
        heard(&call.ports[1].rtcp).is_some_and(|report| report.is_goodbye)
    });
    // Two reports of the other line, and none of this one.
    for _ in 0..2 {
        wait_until("a report", || heard(&call.ports[0].rtcp).is_some());
    }
    assert_eq!(heard(&call.ports[1].rtcp), None);
    talk.finish();
    caller.hang_up(&call);
}
