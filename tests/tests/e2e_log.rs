//! Each line about a call bears its names, in both processes: Call-ID, recording, and who the client is.

use holdfast_e2e::caller::Caller;
use holdfast_e2e::http::Request;
use holdfast_e2e::rtp::Source;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::wait::wait_until;
use holdfast_load::invite::Codec;
use serde_json::Value;

/// The lines of a log in JSON.
fn lines(log: &str) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON: {line}"));
    log.lines().map(read).collect()
}

/// A field of a line, or of the span that it is in.
fn field<'l>(line: &'l Value, name: &str) -> Option<&'l str> {
    ["fields", "span"]
        .iter()
        .find_map(|within| line[within][name].as_str())
}

/// What is said of a recording, each line with all the names.
fn said_of(log: &str, recording: &str, call_id: &str) -> Vec<String> {
    let lines = lines(log);
    let is_about = |line: &&Value| {
        field(line, "recording") == Some(recording) || field(line, "call_id") == Some(call_id)
    };
    let mut said = Vec::new();
    for line in lines.iter().filter(is_about) {
        assert_eq!(field(line, "recording"), Some(recording), "{line}");
        assert_eq!(field(line, "call_id"), Some(call_id), "{line}");
        let peer = field(line, "peer").unwrap_or_else(|| panic!("no peer: {line}"));
        assert!(peer.starts_with("127.0.0.1:"), "{line}");
        said.extend(field(line, "message").map(str::to_owned));
    }
    said
}

#[test]
fn each_line_about_a_call_bears_its_call_id_its_recording_and_its_peer() {
    let options = Options::new().set("log", "format = \"json\"");
    let mut system = System::start(&options);
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let mut source = Source::of(&call, 0, 7);
    wait_until("media is heard", || {
        source.send(&[0x55; 160], 160);
        system.engine.log().contains("media comes from here")
    });
    let id = Request::get(system.http(), "/api/calls").send().json();
    let id = id["calls"][0]["id"].as_str().unwrap().to_owned();
    let paused = Request::post(system.http(), &format!("/api/calls/{id}/pause")).send();
    assert_eq!(paused.status, 200);
    // The next one has the names from what is on disk, before signaling tells it anything.
    system.engine.kill();
    system.engine.start();
    system.await_ready();
    caller.hang_up(&call);
    system.published(&call.call_id);
    wait_until("signaling knows", || {
        system.signaling.log().contains("recording published")
    });

    let by_engine = said_of(&system.engine.log(), &id, &call.call_id);
    for message in ["media comes from here", "goes on", "published"] {
        assert!(by_engine.iter().any(|it| it == message), "{by_engine:?}");
    }
    let by_signaling = said_of(&system.signaling.log(), &id, &call.call_id);
    for message in [
        "call started",
        "call answered",
        "an operator's command",
        "call ended",
        "recording published",
    ] {
        let is_said = by_signaling.iter().any(|it| it == message);
        assert!(is_said, "{message}: {by_signaling:?}");
    }
}
