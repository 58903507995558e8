//! Test cases, chapter H: recovery, overload, artefacts. Each test bears the number of its case.
//!
//! Shown elsewhere: 503 by the number of calls and of ports in `e2e_bad_input`, while the server
//! drains in `e2e_restart`, both of TC-130; what a kill loses, to the packet, in `e2e_restart`.

use std::path::PathBuf;
use std::time::Duration;

use holdfast_e2e::audio::Audio;
use holdfast_e2e::bodies::{sdp_of, session_id, silent_offer};
use holdfast_e2e::caller::{Call, Caller};
use holdfast_e2e::peer::multipart;
use holdfast_e2e::process::binary;
use holdfast_e2e::rtp::{Source, speaker};
use holdfast_e2e::script::{Ask, Script};
use holdfast_e2e::search::files_with;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{Talk, assert_recorded, converse, truth};
use holdfast_e2e::tools::{Tool, is_root};
use holdfast_e2e::wait::wait_until;
use holdfast_load::invite::{Codec, Direction};
use holdfast_load::pattern::payload;
use holdfast_load::verify::{Published, check_recording};
use holdfast_manifest::{EndReason, GapCause};

/// Nothing of a dialog is kept, and the engine waits for it as shortly as the settings allow.
fn soon_orphaned() -> Options {
    Options::new()
        .set("media", "orphan_timeout = \"5 s\"")
        .set("store", "kind = \"memory\"")
}

#[test]
fn tc_130_overload_of_the_call_limit() {
    let system = System::start(&Options::new().set("sip", "max_calls = 1"));
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    assert_busy(&system);
    // A call that is up may change as before.
    let again = call.offer.redirected(Direction::SendOnly);
    caller.request(
        &call,
        holdfast_load::uac::Method::Update,
        Some(&again.metadata_body()),
    );
    caller.stay(Duration::from_millis(300));
    let legs = talk.finish();
    caller.hang_up(&call);
    assert_recorded(&system, &call, legs);
    wait_until("there is room again", || {
        system.options_status() == Some(200)
    });
}

/// The disk of the recordings fills up while a call is up. It is a small one that only the engine
/// sees, and is gone with it.
#[test]
fn tc_130_a_full_disk() {
    if !is_root() {
        return;
    }
    let own_disk = "d=$(dirname \"$2\")/recordings; mkdir -p \"$d\"; \
                    mount -t tmpfs -o size=32m none \"$d\"; exec \"$0\" \"$@\"";
    let within = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        own_disk,
    ];
    let system = System::start(&Options::new().within(&within));
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    let seen_by_engine = PathBuf::from(format!("/proc/{}/root", system.engine.id()));
    let folder = system.recordings();
    let inside = seen_by_engine.join(folder.strip_prefix("/").expect("an absolute path"));
    std::fs::write(inside.join("filler"), vec![0; 30 * 1024 * 1024])
        .expect("room for 30 of 32 MiB");
    wait_until("a full disk is told", || {
        system.options_status() == Some(503)
    });
    assert_busy(&system);
    caller.stay(Duration::from_millis(300));
    let legs = talk.finish();
    caller.hang_up(&call);
    // The call that was up is published all the same.
    let dated = || find_manifest(&inside);
    wait_until("the recording is published", || dated().is_some());
    let manifest = std::fs::read(dated().expect("a manifest")).expect("it reads");
    let manifest = holdfast_manifest::Manifest::from_json(&manifest).expect("a manifest");
    let folder = dated()
        .and_then(|path| path.parent().map(PathBuf::from))
        .expect("its folder");
    let verdict = check_recording(&Published { folder, manifest }, &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
    std::fs::remove_file(inside.join("filler")).expect("the filler");
    wait_until("there is room again", || {
        system.options_status() == Some(200)
    });
}

fn find_manifest(root: &std::path::Path) -> Option<PathBuf> {
    let incoming = root.join("incoming");
    let mut all = holdfast_e2e::search::files(root).into_iter();
    all.find(|path| path.ends_with(holdfast_manifest::FILE_NAME) && !path.starts_with(&incoming))
}

/// 503 and a time, to INVITE and to OPTIONS alike.
fn assert_busy(system: &System) {
    let mut script = Script::new(system);
    let refusal = script.ask(&Ask::invite().body(&silent_offer(system).multipart()));
    assert_eq!(refusal.status(), Some(503), "{refusal:?}");
    assert!(refusal.header("Retry-After").is_some(), "{refusal:?}");
    assert_eq!(system.options_status(), Some(503));
}

/// One node dies in the middle of a call; the client goes on at another one with the same call.
#[test]
fn tc_131_failover_to_another_server() {
    let mut first = System::start(&soon_orphaned());
    let second = System::start(&Options::new());
    let mut caller = Caller::new(&first);
    let prepared = caller.prepare(Codec::Pcmu);
    let (offer, body) = (prepared.offer.clone(), prepared.offer.multipart());
    let (call, _) = caller.place_with(prepared, &body);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(1_000));
    first.signaling.kill();
    first.engine.kill();
    talk.finish();
    let mut next = Caller::new(&second);
    let mut prepared = next.prepare(Codec::Pcmu);
    // The same call: the same ids.
    prepared.offer.session = offer.session;
    let body = prepared.offer.multipart();
    let (rest, _) = next.place_with(prepared, &body);
    let legs = converse(&rest, Duration::from_millis(500));
    next.hang_up(&rest);
    let second_part = second.published(&rest.call_id);
    let verdict = check_recording(&second_part, &truth(&rest, legs));
    assert_eq!(verdict.problems, [""; 0]);
    first.engine.start();
    first.signaling.start();
    let first_part = first.published(&call.call_id);
    let of = |published: &Published| published.manifest.call.sessions[0].id.clone();
    assert_eq!(
        (of(&first_part), of(&second_part)),
        (session_id(&offer), session_id(&offer))
    );
    let (until, from) = (first_part.manifest.ended, second_part.manifest.started);
    assert!(
        until < from || first_part.manifest.end_reason != EndReason::Bye,
        "the gap can be told"
    );
    assert!(first_part.manifest.streams[0].packets > 20);
}

/// Without shared state a dialog is gone with the process that knew it. With it, see
/// `e2e_signaling_restart`.
#[test]
fn tc_132_restart_without_shared_state() {
    let mut system = System::start(&soon_orphaned());
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    system.signaling.kill();
    system.signaling.start();
    system.await_ready();
    let update = script.ask(&Ask::new("UPDATE").metadata(&offer.metadata()));
    assert_eq!(update.status(), Some(481), "{update:?}");
    assert_eq!(script.ask(&Ask::new("BYE")).status(), Some(481));
    let published = system.published(&script.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::Orphaned);
}

/// A second client of the same identity takes over: one recording, and nothing lost in the overlap.
#[test]
fn tc_134_replaces_of_a_confirmed_dialog() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let mut old = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let session = prepared.offer.session;
    let first = old.place(prepared);
    let talk = Talk::start(&first);
    caller.stay(Duration::from_millis(400));

    let mut new = Script::new(&system);
    let mut prepared = caller.prepare(Codec::Pcmu);
    prepared.offer.session = session;
    let tag = old.to_tag.clone().expect("a tag of the server's");
    let named = format!("{};to-tag={tag};from-tag={}", old.call_id, old.from_tag);
    let ask = Ask::invite().header("Replaces", &named);
    let response = new.open(&ask.body(&prepared.offer.multipart()));
    let second = new.call(prepared, &response);
    let next = Talk::start(&second);
    let bye = old.request("BYE");
    // What is sent while the old dialog ends is kept too.
    caller.stay(Duration::from_millis(200));
    let old_legs = talk.finish();
    old.respond(&bye, "200 OK", "", None);
    caller.stay(Duration::from_millis(800));
    let new_legs = next.finish();
    new.hang_up();

    let published = system.published(&new.call_id);
    let manifest = &published.manifest;
    assert_eq!(manifest.end_reason, EndReason::Bye);
    assert_eq!(manifest.call.formers.len(), 1);
    assert_eq!(manifest.call.formers[0].sip.call_id, old.call_id);
    let mut packets: Vec<u64> = manifest.streams.iter().map(|one| one.packets).collect();
    let legs = old_legs.iter().chain(&new_legs);
    let mut said: Vec<u64> = legs.map(|leg| u64::from(leg.plan.slots)).collect();
    packets.sort_unstable();
    said.sort_unstable();
    assert_eq!(packets, said);
    assert_eq!(system.all_published(&new.call_id, 1).len(), 1);
}

/// Each refusal leaves the call as it was. The whole table is held in simulated time, in the tests
/// of the recorder.
#[test]
fn tc_135_replaces_errors() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let mut old = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let session = prepared.offer.session;
    let call = old.place(prepared);
    let talk = Talk::start(&call);
    let tag = old.to_tag.clone().expect("a tag of the server's");
    let (call_id, ours) = (old.call_id.clone(), old.from_tag.clone());
    for (named, status) in [
        (format!("{call_id};to-tag={tag}"), 400),
        (format!("{call_id};to-tag={ours};from-tag={tag}"), 481),
        (format!("nobody;to-tag={tag};from-tag={ours}"), 481),
        (
            format!("{call_id};to-tag={tag};from-tag={ours};early-only"),
            486,
        ),
    ] {
        let mut prepared = caller.prepare(Codec::Pcmu);
        prepared.offer.session = session;
        let ask = Ask::invite().header("Replaces", &named);
        let mut other = Script::new(&system);
        let refusal = other.ask(&ask.body(&prepared.offer.multipart()));
        assert_eq!(refusal.status(), Some(status), "{named}");
        assert_eq!(old.ask(&Ask::new("UPDATE")).status(), Some(200));
    }
    caller.stay(Duration::from_millis(300));
    let legs = talk.finish();
    old.hang_up();
    assert_recorded(&system, &call, legs);
    let named = format!("{call_id};to-tag={tag};from-tag={ours}");
    let late = caller.prepare(Codec::Pcmu);
    let ask = Ask::invite().header("Replaces", &named);
    let refusal = Script::new(&system).ask(&ask.body(&late.offer.multipart()));
    assert_eq!(refusal.status(), Some(603));
}

/// What a call says about another one is said about nobody else.
#[test]
fn tc_136_metadata_cannot_hijack() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    let mut script = Script::new(&system);
    let session = session_id(&call.offer);
    let foreign = silent_offer(&system).metadata().replacen(
        "</datamode>",
        &format!(
            "</datamode><v:recovery xmlns:v=\"urn:x\" replaces=\"{}\"/>",
            call.call_id
        ),
        1,
    );
    let own = session_id_in(&foreign);
    let foreign = foreign.replace(&own, &session).replace(
        "<sessionrecordingassoc ",
        "<sessionrecordingassoc recovery=\"true\" state=\"failed\" ",
    );
    let sdp = silent_offer(&system).sdp();
    script.open(&Ask::invite().body(&multipart(&sdp, foreign.as_bytes())));
    let stop = format!(
        "<session session_id=\"{session}\"><stop-time>2026-01-01T00:05:00Z</stop-time></session>"
    );
    let stop = holdfast_e2e::bodies::document("partial", &stop);
    script.ok(&Ask::new("UPDATE").metadata(&stop));
    caller.stay(Duration::from_millis(400));
    script.hang_up();
    let legs = talk.finish();
    caller.hang_up(&call);
    let published = assert_recorded(&system, &call, legs);
    let described = &published.manifest.call;
    let names: Vec<_> = described
        .participants
        .iter()
        .flat_map(|one| one.names.clone())
        .collect();
    let right: Vec<_> = call
        .offer
        .legs
        .iter()
        .map(|leg| leg.participant.name.clone())
        .collect();
    assert_eq!(names, right);
    assert!(described.warnings.is_empty(), "{:?}", described.warnings);
}

fn session_id_in(document: &str) -> String {
    let (_, rest) = document.split_once("session_id=\"").expect("a session");
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// One call to two servers: two whole copies, and one finds the other.
#[test]
fn tc_137_parallel_recording_sessions() {
    let systems = [
        System::start(&Options::new()),
        System::start(&Options::new()),
    ];
    let mut callers = systems.each_ref().map(Caller::new);
    let mut session = None;
    let calls: Vec<Call> = callers
        .iter_mut()
        .map(|caller| {
            let mut prepared = caller.prepare(Codec::Pcmu);
            prepared.offer.session = *session.get_or_insert(prepared.offer.session);
            let body = prepared.offer.multipart();
            caller.place_with(prepared, &body).0
        })
        .collect();
    let talks: Vec<Talk> = calls.iter().map(Talk::start).collect();
    std::thread::sleep(Duration::from_millis(500));
    let mut sessions = Vec::new();
    for (((talk, call), caller), system) in talks
        .into_iter()
        .zip(&calls)
        .zip(&mut callers)
        .zip(&systems)
    {
        let legs = talk.finish();
        caller.hang_up(call);
        let published = system.published(&call.call_id);
        let verdict = check_recording(&published, &truth(call, legs));
        assert_eq!(verdict.problems, [""; 0]);
        sessions.push(published.manifest.call.sessions[0].id.clone());
    }
    assert_eq!(sessions[0], sessions[1]);
}

/// Both processes killed in the middle of a call: what strangers make of the recording.
#[test]
fn tc_138_crash_artefacts() {
    let mut system = System::start(&soon_orphaned());
    let mut caller = Caller::new(&system);
    let rendered = caller.call(Codec::Pcmu);
    let talk = Talk::start(&rendered);
    // Beside it one whose codec nobody can render, so that its packets are kept.
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let sdp = prepared
        .offer
        .sdp()
        .replace("RTP/AVP 0 101", "RTP/AVP 18 101")
        .replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:18 G729/8000");
    let response =
        script.open(&Ask::invite().body(&multipart(&sdp, prepared.offer.metadata().as_bytes())));
    let kept = script.call(prepared, &response);
    speak_g729(&kept);
    system.signaling.kill();
    system.engine.kill();
    let spoken = talk.slot();
    talk.finish();
    system.engine.start();
    system.signaling.start();
    let recording = system.published(&rendered.call_id);
    let manifest = &recording.manifest;
    assert!(
        matches!(
            manifest.end_reason,
            EndReason::Orphaned | EndReason::EngineRecovered
        ),
        "marked: {manifest:?}"
    );
    // At most a commit interval of 200 ms, and what a busy machine adds.
    let audio = Audio::of(&recording.folder);
    assert!(
        audio.len() / 160 + 25 >= spoken as usize,
        "{} of {spoken}",
        audio.len() / 160
    );
    if let Some(ffprobe) = Tool::find("ffprobe") {
        ffprobe.output(&recording.folder, &["-v", "error", "audio.wav"]);
    }
    if let Some(sox) = Tool::find("sox") {
        let read = sox.run(&recording.folder, &["audio.wav", "-n", "stat"]);
        let said = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(read.status.success() && !said.contains("WARN"), "{said}");
    }
    assert_exports(&system, &system.published(&kept.call_id));
}

/// What was kept of a codec that is not rendered verifies, is exported and reads.
fn assert_exports(system: &System, packets: &Published) {
    assert!(
        packets.manifest.streams[0].packets >= 50,
        "{:?}",
        packets.manifest.streams[0]
    );
    let (dir, id) = (
        system.recordings().display().to_string(),
        packets.manifest.id.to_string(),
    );
    let holdfast = Tool::at(binary("holdfast"));
    let recordings = ["recordings", "--dir", &dir];
    holdfast.output(
        system.root(),
        &[&recordings[..], &["verify", "--all"]].concat(),
    );
    holdfast.output(
        system.root(),
        &[&recordings[..], &["export", &id, "--pcap", "kept.pcapng"]].concat(),
    );
    if let Some(capinfos) = Tool::find("capinfos") {
        let said = capinfos.output(system.root(), &["-c", "-M", "kept.pcapng"]);
        assert!(said.contains("Number of packets"), "{said}");
    }
}

/// A second and a half of packets on the first line.
fn speak_g729(call: &Call) {
    let mut source = Source::of(call, 0, 0x1818);
    source.payload_type = 18;
    for index in 0..75 {
        source.send(&[index; 20], 160);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// G.711 legs that start 3 s apart, and a pause of 2 s (the case's 60): each packet in its place.
/// Opus see the codec's own tests.
#[test]
fn tc_140_legs_apart_and_a_pause() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcma);
    let begin = std::time::Instant::now();
    let mut sources = [0, 1].map(|line| Source::of(&call, line, 0x500 + line as u32));
    // Packets of 20 ms by the clock: leg 0 from the start, leg 1 from 3 s on.
    let mut speak = |slots: std::ops::Range<u32>, legs: std::ops::Range<usize>, call: &Call| {
        for slot in slots {
            let due = begin + Duration::from_millis(20) * slot;
            std::thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
            for line in legs.clone() {
                sources[line].timestamp = slot * 160;
                sources[line].send(&payload(speaker(call, line), slot), 0);
            }
        }
    };
    speak(0..150, 0..1, &call);
    speak(150..200, 0..2, &call);
    let paused = call.offer.redirected(Direction::Inactive);
    caller.reinvite(&mut call, paused);
    caller.stay(Duration::from_millis(2_000));
    let on = call.offer.redirected(Direction::SendOnly);
    caller.reinvite(&mut call, on);
    // Where their clocks are by now: a busy machine takes its time for a pause.
    let next = begin.elapsed().as_millis() as u32 / 20 + 2;
    speak(next..next + 50, 0..2, &call);
    let last = next + 49;
    caller.stay(Duration::from_millis(60));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let audio = Audio::of(&published.folder);
    let find = |line: usize, slot: u32| {
        let octets = payload(speaker(&call, line), slot);
        audio.channels[line]
            .windows(160)
            .position(|window| window == octets)
            .expect("the packet") as i64
    };
    for line in 0..2 {
        let first = if line == 0 { 0 } else { 150 };
        assert_eq!(
            find(line, last) - find(line, first),
            i64::from(last - first) * 160,
            "line {line}"
        );
        let gaps = &published.manifest.streams[line].gaps;
        assert!(
            gaps.iter().any(|gap| gap.cause == GapCause::Paused),
            "{gaps:?}"
        );
    }
    // Both legs sent their last in one moment: they lie together, to what a busy machine adds.
    assert!(
        (find(0, last) - find(1, last)).abs() < 8 * 60,
        "{} {}",
        find(0, last),
        find(1, last)
    );
    assert_eq!(audio.len() as u64 / 8, published.manifest.duration_ms);
}

/// Keys that a client sends are in no log, manifest or journal, whether they are of use or not.
#[test]
fn tc_141_secrets_scan() {
    let system = System::start(&Options::new().set("log", "level = \"trace\""));
    let key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEy";
    let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20|1:4\n");
    for profile in ["RTP/AVP", "RTP/SAVP"] {
        let lines = format!(
            "m=audio 40000 {profile} 0\na=label:1\na=sendonly\n{crypto}\
             m=audio 40002 RTP/AVP 0\na=label:2\na=sendonly\n"
        );
        let mut script = Script::new(&system);
        let offer = silent_offer(&system);
        let body = multipart(&sdp_of(&system, &lines), offer.metadata().as_bytes());
        script.open(&Ask::invite().body(&body));
        script.hang_up();
        system.published(&script.call_id);
        // One that is refused leaves nothing either.
        let mut script = Script::new(&system);
        let sdp = sdp_of(&system, &format!("m=audio 40000 RTP/AVP 77\n{crypto}"));
        assert_eq!(script.ask(&Ask::invite().sdp(&sdp)).status(), Some(488));
    }
    let needles = [
        key.as_bytes().to_vec(),
        b"secret-secret-secret-secret-12".to_vec(),
    ];
    assert_eq!(files_with(system.root(), &needles), []);
}
