//! Test cases, chapter A: set-up and recognition. Each test bears the number of its case.

use std::time::Duration;

use holdfast_e2e::audio::{Audio, Slots};
use holdfast_e2e::bodies::{document, session_id, silent_offer};
use holdfast_e2e::caller::Caller;
use holdfast_e2e::peer::{Peer, multipart};
use holdfast_e2e::script::{Ask, Script, text_of};
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{assert_recorded, converse};
use holdfast_e2e::wait::PATIENCE;
use holdfast_load::invite::{Body, Codec};
use holdfast_load::sip::Message;
use holdfast_load::uac::Transport;
use holdfast_load::verify::Published;

static LENIENT: Shared = Shared::new();
static STRICT: Shared = Shared::new();

fn strict() -> Options {
    Options::new().set("sip", "strict = true")
}

#[test]
fn tc_01_basic_recording_session() {
    let system = LENIENT.system(Options::new);
    basic_recording_session(&system, Transport::Udp);
}

/// Over TLS see `e2e_tls`.
#[test]
fn tc_02_basic_recording_session_over_tcp() {
    let system = LENIENT.system(Options::new);
    basic_recording_session(&system, Transport::Tcp);
}

fn basic_recording_session(system: &System, transport: Transport) {
    let mut caller = Caller::new(system);
    let mut script = Script::over(transport, system);
    let prepared = caller.prepare(Codec::Pcmu);
    let response = script.open(&Ask::invite().body(&prepared.offer.multipart()));
    let contact = response.header("Contact").expect("a Contact");
    assert!(contact.contains(";+sip.srs"), "{contact}");
    assert!(response.tag("To").is_some_and(|tag| tag.len() >= 8));
    let allow = response.header("Allow").expect("Allow");
    assert!(
        allow.split(',').any(|method| method.trim() == "UPDATE"),
        "{allow}"
    );
    assert!(response.header("Supported").is_some());
    assert_eq!(response.header("Content-Type"), Some("application/sdp"));
    let sdp = text_of(&response);
    let lines = |prefix: &str| -> Vec<String> {
        let found = sdp.lines().filter(|line| line.starts_with(prefix));
        found.map(str::to_owned).collect()
    };
    assert_eq!(lines("t="), ["t=0 0"]);
    assert_eq!(
        (lines("m=").len(), lines("a=recvonly").len()),
        (2, 2),
        "{sdp}"
    );
    assert_eq!(lines("a=label:"), ["a=label:1", "a=label:2"]);
    assert!(
        !lines("o=")[0].starts_with("o=src "),
        "the origin is our own"
    );
    let call = script.call(prepared, &response);
    assert!(call.answer.lines.iter().all(|line| line.rtp.is_some()));
    let legs = converse(&call, Duration::from_millis(2_000));
    script.hang_up();
    let published = assert_recorded(system, &call, legs);
    let names: Vec<_> = published
        .manifest
        .call
        .participants
        .iter()
        .map(|one| one.names.clone())
        .collect();
    let speakers = call
        .offer
        .legs
        .iter()
        .map(|leg| vec![leg.participant.name.clone()]);
    assert_eq!(names, speakers.collect::<Vec<_>>());
    for (index, channel) in published.manifest.call.channels.iter().enumerate() {
        assert_eq!(
            channel.participant.as_deref(),
            Some(&*call.offer.participant_id(index))
        );
    }
}

/// An SRC without one of the marks: `ask` is it.
fn marks_missing(ask: impl Fn(&Script) -> Ask, warning: &str) {
    let system = STRICT.system(strict);
    let mut script = Script::new(&system);
    let invite = ask(&script).body(&silent_offer(&system).multipart());
    let refusal = script.ask(&invite);
    let status = refusal.status().unwrap_or_default();
    assert!(matches!(status, 403 | 421), "{refusal:?}");
    if status == 421 {
        assert_eq!(refusal.header("Require"), Some("siprec"));
    }
    assert!(system.published_so_far(&script.call_id).is_empty());

    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let published = recorded(&system, &mut script, ask);
    assert_warned(&published, warning);
}

#[test]
fn tc_03_missing_feature_tag() {
    marks_missing(
        |script| Ask::invite().header("Contact", &bare_contact(script)),
        "no_src_tag",
    );
}

#[test]
fn tc_04_missing_option_tag() {
    marks_missing(|_| Ask::invite().without("Require"), "no_siprec_option");
}

#[test]
fn tc_05_siprec_in_supported() {
    let in_supported = |_: &Script| {
        Ask::invite()
            .without("Require")
            .header("Supported", "siprec")
    };
    marks_missing(in_supported, "siprec_not_required");
}

#[test]
fn tc_06_contact_variants() {
    // The Contact behind its address, and whether it is the header's parameter.
    let variants = [
        ("<sip:src@A;+sip.src>", false),
        ("sip:src@A;+sip.src", true),
        ("<sip:src@A>;src", false),
        ("<sip:src@A>;+sip.src=\"TRUE\"", true),
        ("<sip:src@A>;+sip.src=\"FALSE\"", false),
        ("<sip:src@A>;+SIP.SRC", true),
    ];
    let (lenient, strict) = (LENIENT.system(Options::new), STRICT.system(strict));
    for (variant, is_right) in variants {
        for (system, is_strict) in [(&lenient, false), (&strict, true)] {
            let mut script = Script::new(system);
            let contact = variant.replace('A', &script.peer.local.to_string());
            let ask = Ask::invite().header("Contact", &contact);
            let response = script.ask(&ask.body(&silent_offer(system).multipart()));
            let status = response.status().unwrap_or_default();
            if is_strict && !is_right {
                assert!(matches!(status, 403 | 421), "{variant}: {response:?}");
            } else {
                assert_eq!(status, 200, "{variant}: {response:?}");
                script.ack(None);
                script.hang_up();
            }
        }
    }
}

#[test]
fn tc_07_unknown_require() {
    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let ask = Ask::invite().header("Require", "siprec, foo, bar");
    let refusal = script.ask(&ask.body(&silent_offer(&system).multipart()));
    assert_eq!(refusal.status(), Some(420));
    assert_eq!(refusal.header("Unsupported"), Some("foo, bar"));
}

#[test]
fn tc_08_require_record_aware() {
    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let body = silent_offer(&system).multipart();
    let ask = Ask::invite()
        .header("Require", "siprec, record-aware")
        .body(&body);
    let refusal = script.ask(&ask);
    assert_eq!(refusal.status(), Some(420));
    assert_eq!(refusal.header("Unsupported"), Some("record-aware"));
    let mut script = Script::new(&system);
    script.open(
        &Ask::invite()
            .header("Supported", "timer, record-aware")
            .body(&body),
    );
    script.hang_up();
}

#[test]
fn tc_09_record_attributes() {
    let system = LENIENT.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let sdp = prepared.offer.sdp();
    let sdp = sdp.replace(
        "a=ptime:20\r\n",
        "a=ptime:20\r\na=record:paused\r\na=recordpref:off\r\n",
    );
    let body = multipart(&sdp, prepared.offer.metadata().as_bytes());
    let response = script.open(&Ask::invite().body(&body));
    assert!(
        !text_of(&response).contains("a=record"),
        "{}",
        text_of(&response)
    );
    let call = script.call(prepared, &response);
    let legs = converse(&call, Duration::from_millis(400));
    script.hang_up();
    assert_recorded(&system, &call, legs);
}

#[test]
fn tc_10_no_metadata_then_update() {
    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.sdp_body()));
    let response = script.ok(&Ask::new("UPDATE").metadata(&offer.metadata()));
    assert!(response.body.is_empty(), "no SDP: {response:?}");
    assert!(
        response
            .header("Contact")
            .is_some_and(|it| it.contains(";+sip.srs"))
    );
    script.hang_up();
    let call = system.published(&script.call_id).manifest.call;
    assert_eq!((call.participants.len(), call.metadata.len()), (2, 1));
    assert_eq!(call.metadata[0].carried_by, "UPDATE");
}

/// A recording session that is there before, between and after the calls it records.
#[test]
fn tc_11_persistent_recording_session() {
    let system = LENIENT.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let (sdp, first) = (prepared.offer.sdp(), prepared.offer.metadata());
    let session = session_id(&prepared.offer);
    let body = multipart(&sdp, document("complete", "").as_bytes());
    let response = script.open(&Ask::invite().body(&body));
    let call = script.call(prepared, &response);
    // No media and no call: nothing happens. (In the case: 30 s.)
    assert!(
        script
            .request_within("BYE", Duration::from_secs(6))
            .is_none()
    );
    script.ok(&Ask::new("UPDATE").metadata(&first));
    let legs = converse(&call, Duration::from_millis(400));
    let stop = format!(
        "<session session_id=\"{session}\"><stop-time>2026-01-01T00:05:00Z</stop-time></session>"
    );
    script.ok(&Ask::new("UPDATE").metadata(&document("partial", &stop)));
    assert!(
        script
            .request_within("BYE", Duration::from_millis(500))
            .is_none()
    );
    let second = "<session session_id=\"c2Vjb25kLXNlc3Npb24hIQ==\">\
                  <start-time>2026-01-01T00:06:00Z</start-time></session>";
    script.ok(&Ask::new("UPDATE").metadata(&document("partial", second)));
    script.hang_up();
    let published = assert_recorded(&system, &call, legs);
    let sessions = &published.manifest.call.sessions;
    let ids: Vec<_> = sessions.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, [session.as_str(), "c2Vjb25kLXNlc3Npb24hIQ=="]);
    let times = |index: usize| {
        let time = sessions[index].time;
        (
            time.from.is_some(),
            time.to.is_some_and(|to| Some(to) > time.from),
        )
    };
    assert_eq!(times(0), (true, true), "{sessions:?}");
    assert!(sessions[1].time.from > sessions[0].time.to, "{sessions:?}");
}

#[test]
fn tc_12_legacy_media_type_and_dialect() {
    let system = LENIENT.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let legacy = "<?xml version=\"1.0\"?>\n<recording xmlns=\"urn:ietf:params:xml:ns:recording\">\n\
        <dataMode>complete</dataMode>\n<session id=\"s1\">\
        <start-time>2026-01-01T00:00:00Z</start-time></session>\n\
        <participant id=\"p1\" session=\"s1\">\
        <nameID aor=\"sip:old@example.com\"><name>Old</name></nameID>\
        <send>t1</send><recv>t2</recv></participant>\n\
        <stream id=\"t1\" session=\"s1\"><label>1</label></stream>\n\
        <stream id=\"t2\" session=\"s1\"><label>2</label></stream>\n\
        <extensiondata id=\"e1\" parent=\"s1\">\
        <v:x xmlns:v=\"http://vendor.example.com\">7</v:x></extensiondata>\n\
        </recording>\n";
    let body = multipart(&prepared.offer.sdp(), legacy.as_bytes());
    let text = String::from_utf8(body.bytes).expect("text");
    let text = text.replace("application/rs-metadata+xml", "application/rs-metadata");
    let response = script.open(&Ask::invite().content(&body.content_type, text.as_bytes()));
    let call = script.call(prepared, &response);
    let legs = converse(&call, Duration::from_millis(400));
    script.hang_up();
    let published = system.published(&call.call_id);
    let manifest = &published.manifest.call;
    assert_eq!(manifest.participants[0].aors, ["sip:old@example.com"]);
    assert_eq!(manifest.sessions[0].id, "s1");
    assert_eq!(manifest.channels[0].participant.as_deref(), Some("p1"));
    let flags = &manifest.metadata[0].flags;
    assert!(!flags.is_empty(), "the dialect is flagged");
    let kept =
        std::fs::read(published.folder.join(&manifest.metadata[0].file)).expect("a document");
    assert_eq!(kept, legacy.as_bytes(), "kept with the vendor's data");
    for (samples, leg) in Audio::of(&published.folder).channels.iter().zip(&legs) {
        let slots = Slots::of(samples, &leg.plan);
        assert_eq!(slots.missing, [0; 0]);
    }
}

#[test]
fn tc_13_mime_variants() {
    let system = LENIENT.system(Options::new);
    let offer = silent_offer(&system);
    let (sdp, xml) = (offer.sdp(), offer.metadata());
    let sdp_part = format!("Content-Type: application/sdp\r\n\r\n{sdp}\r\n");
    let head =
        "Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n";
    let xml_part = format!("{head}\r\n{xml}\r\n");
    let plain = format!("--b\r\n{sdp_part}--b\r\n{xml_part}--b--\r\n");
    let bare = "multipart/mixed;boundary=b";
    let nested = format!("--i\r\n{sdp_part}--i\r\n{xml_part}--i--\r\n");
    let variants = [
        (
            "swapped",
            bare,
            format!("--b\r\n{xml_part}--b\r\n{sdp_part}--b--\r\n"),
        ),
        ("quoted", "multipart/mixed; boundary=\"b\"", plain.clone()),
        (
            "preamble",
            bare,
            format!("Read the parts.\r\n{plain}An epilogue.\r\n"),
        ),
        (
            "nested",
            bare,
            format!(
                "--b\r\nContent-Type: multipart/related;boundary=i\r\n\r\n{nested}\r\n--b--\r\n"
            ),
        ),
        ("line feeds", bare, plain.replace("\r\n", "\n")),
        (
            "no space",
            bare,
            plain.replace("Content-Type: ", "Content-Type:"),
        ),
        (
            "no disposition",
            bare,
            plain.replace("Content-Disposition: recording-session\r\n", ""),
        ),
        (
            "upper case",
            "MULTIPART/MIXED;BOUNDARY=b",
            plain
                .replace("application/sdp", "APPLICATION/SDP")
                .replace("application/rs-metadata+xml", "Application/RS-Metadata+XML"),
        ),
    ];
    for transport in [Transport::Udp, Transport::Tcp] {
        for (name, content_type, body) in &variants {
            let mut script = Script::over(transport, &system);
            let response = script.ask(&Ask::invite().content(content_type, body.as_bytes()));
            assert_eq!(response.status(), Some(200), "{name}: {response:?}");
            script.ack(None);
            script.hang_up();
            let call = system.published(&script.call_id).manifest.call;
            assert_eq!(
                (call.participants.len(), call.channels.len()),
                (2, 2),
                "{name}"
            );
        }
    }
}

#[test]
fn tc_14_unknown_body_part() {
    let system = LENIENT.system(Options::new);
    for (handling, status) in [("required", 415), ("optional", 200)] {
        let offer = silent_offer(&system);
        let body = multipart(&offer.sdp(), offer.metadata().as_bytes());
        let text = String::from_utf8(body.bytes).expect("text");
        let foreign = format!(
            "\r\n--e2e\r\nContent-Type: application/foo\r\n\
             Content-Disposition: render;handling={handling}\r\n\r\nfoo\r\n--e2e--"
        );
        let text = text.replace("\r\n--e2e--", &foreign);
        let mut script = Script::new(&system);
        let response = script.ask(&Ask::invite().content(&body.content_type, text.as_bytes()));
        assert_eq!(response.status(), Some(status), "{handling}: {response:?}");
        if status == 415 {
            let accept = response.header("Accept").expect("Accept");
            assert!(accept.contains("application/rs-metadata+xml"), "{accept}");
        } else {
            script.ack(None);
            script.hang_up();
        }
    }
}

#[test]
fn tc_15_content_encoding() {
    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let ask = Ask::invite().header("Content-Encoding", "gzip");
    let response = script.ask(&ask.body(&silent_offer(&system).multipart()));
    assert_eq!(response.status(), Some(415), "{response:?}");
    assert!(response.header("Accept-Encoding").is_some(), "{response:?}");
}

/// 20 kB and 60 kB that are recorded see `e2e_bad_input`.
#[test]
fn tc_16_ten_megabytes_over_tcp_are_refused() {
    let system = System::start(&Options::new());
    let before = system.signaling.memory_bytes();
    let mut peer = Peer::connect(system.sip(), Transport::Tcp);
    let script = Script::new(&system);
    let head = Ask::invite().without("Content-Length");
    let head = String::from_utf8(script.write(&head, 1, "z9hG4bK-big")).expect("text");
    let size = 10 * 1024 * 1024;
    let head = head
        .trim_end_matches("\r\n")
        .replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    let head = format!("{head}\r\nContent-Type: application/sdp\r\nContent-Length: {size}\r\n\r\n");
    peer.send(head.as_bytes());
    let response = peer.receive(PATIENCE);
    assert!(
        response.is_none_or(|it| matches!(it.status(), Some(400 | 413))),
        "refused, or nothing said"
    );
    // What comes all the same meets a connection that is closed.
    assert!(peer.is_closed_within(PATIENCE));
    let grown = system.signaling.memory_bytes().saturating_sub(before);
    assert!(grown < 4 * 1024 * 1024, "{grown} bytes more");
    assert_eq!(system.options_status(), Some(200));
}

// Helpers.

fn bare_contact(script: &Script) -> String {
    format!("<sip:src@{}>", script.peer.local)
}

/// A call with some media and its recording.
fn recorded(system: &System, script: &mut Script, ask: impl Fn(&Script) -> Ask) -> Published {
    let mut caller = Caller::new(system);
    let prepared = caller.prepare(Codec::Pcmu);
    let body: Body = prepared.offer.multipart();
    let response: Message = script.open(&ask(script).body(&body));
    let call = script.call(prepared, &response);
    let legs = converse(&call, Duration::from_millis(300));
    script.hang_up();
    assert_recorded(system, &call, legs)
}

fn assert_warned(published: &Published, code: &str) {
    let warnings = &published.manifest.call.warnings;
    assert!(
        warnings.iter().any(|one| one.code == code),
        "{code}: {warnings:?}"
    );
}
