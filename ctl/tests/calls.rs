//! `holdfast calls` beside a server that is played by the test.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use common::{Sandbox, id};
use serde_json::Value;

/// Answers one line for each that comes on each of so many connections; gives what came.
fn serve(sandbox: &Sandbox, answers: &'static [&'static str]) -> JoinHandle<Vec<String>> {
    let path = sandbox.path("var/operator.sock");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut heard = Vec::new();
        for answer in answers {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            heard.push(line.trim_end().to_owned());
            (&stream).write_all(answer.as_bytes()).unwrap();
            (&stream).write_all(b"\n").unwrap();
        }
        heard
    })
}

const LIST: &str = r#"{"answer":"calls","calls":[{"id":"01010101010101010101010101010101","call_id":"c1","started":"2026-11-22T10:00:00Z","stage":"up","peer":"192.0.2.10:5060","transport":"udp","user_agent":"sbc","is_paused":false,"is_in_force":true,"is_agreed":true,"participants":["Alice","Bob\u001b[31m"],"streams":[],"warnings":[]},{"id":"01020202020202020202020202020202","call_id":"c2","started":"2026-11-22T10:00:01Z","stage":"opening","peer":null,"transport":"tcp","user_agent":null,"is_paused":false,"is_in_force":false,"is_agreed":true,"participants":[],"streams":[],"warnings":[]}]}"#;
const PAUSING: &str = r#"{"answer":"call","call":{"id":"01010101010101010101010101010101","call_id":"c1","started":"2026-11-22T10:00:00Z","stage":"up","peer":"192.0.2.10:5060","transport":"udp","user_agent":"sbc","is_paused":true,"is_in_force":false,"is_agreed":false,"participants":["Alice"],"streams":[{"number":1,"label":"1","channel":0,"media":"audio","codecs":["PCMU"],"is_recording":false,"local":"192.0.2.1:10000","remote":null}],"warnings":[]}}"#;
const PAUSED: &str = r#"{"answer":"call","call":{"id":"01010101010101010101010101010101","call_id":"c1","started":"2026-11-22T10:00:00Z","stage":"up","peer":"192.0.2.10:5060","transport":"udp","user_agent":"sbc","is_paused":true,"is_in_force":true,"is_agreed":false,"participants":["Alice"],"streams":[{"number":1,"label":"1","channel":0,"media":"audio","codecs":["PCMU"],"is_recording":false,"local":"192.0.2.1:10000","remote":null}],"warnings":["no_metadata"]}}"#;
const ENDED: &str = r#"{"answer":"refused","reason":"ended"}"#;

#[test]
fn a_list_for_people_and_for_programs() {
    let sandbox = Sandbox::new();
    let server = serve(&sandbox, &[LIST]);
    let outcome = sandbox.holdfast(&["calls", "list"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(server.join().unwrap(), [r#"{"command":"list"}"#]);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", outcome.stdout);
    for (line, expected) in [
        (lines[1], "2026-11-22 10:00:00"),
        (lines[1], "recording"),
        (lines[1], "192.0.2.10:5060"),
        (lines[1], &id(1).to_string()),
        (lines[2], "opening"),
    ] {
        assert!(line.contains(expected), "no {expected} in {line}");
    }
    assert!(
        !outcome.stdout.contains('\u{1b}'),
        "nothing of a peer steers the terminal"
    );

    std::fs::remove_file(sandbox.path("var/operator.sock")).unwrap();
    let server = serve(&sandbox, &[LIST]);
    let json = sandbox.holdfast(&["calls", "list", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[1]["call_id"], "c2");
    server.join().unwrap();
}

#[test]
fn a_pause_is_told_once_it_is_in_force() {
    let sandbox = Sandbox::new();
    let server = serve(&sandbox, &[LIST, PAUSING, PAUSED]);
    let outcome = sandbox.holdfast(&["calls", "pause", "0101"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let full = id(1);
    assert_eq!(
        server.join().unwrap(),
        [
            r#"{"command":"list"}"#.to_owned(),
            format!(r#"{{"command":"pause","id":"{full}"}}"#),
            format!(r#"{{"command":"show","id":"{full}"}}"#),
        ]
    );
    for expected in [
        "  paused\n",
        "stream 1    label 1 channel 0 audio PCMU at 192.0.2.1:10000 paused\n",
        "the peer has not agreed to the pause: what it sends is not kept\n",
        "warnings    no_metadata\n",
    ] {
        assert!(
            outcome.stdout.contains(expected),
            "no {expected:?} in\n{}",
            outcome.stdout
        );
    }
}

#[test]
fn what_cannot_be_done_ends_with_status_1_and_a_reason() {
    for (answers, arguments, expected) in [
        (&[LIST][..], ["calls", "show", "0103"], "no call 0103"),
        (
            &[LIST],
            ["calls", "show", "01"],
            "is not the beginning of a recording's id",
        ),
        (
            &[LIST, ENDED],
            ["calls", "hangup", "0101"],
            "the call has ended",
        ),
        (
            &[r#"{"answer":"refused","reason":{"rejected":{"status":486}}}"#],
            ["calls", "record", "sip:src@192.0.2.20"],
            "the peer answered 486",
        ),
        (
            &["nonsense"],
            ["calls", "resume", "0101"],
            "does not speak as this command does",
        ),
        (
            &[r#"{"answer":"malformed","text":"what?"}"#],
            ["calls", "resume", "0101"],
            "what?",
        ),
    ] {
        let sandbox = Sandbox::new();
        let server = serve(&sandbox, answers);
        let outcome = sandbox.holdfast(&arguments);
        assert_eq!(outcome.status, 1, "{arguments:?}");
        assert!(
            outcome.stderr.contains(expected),
            "{arguments:?}: {}",
            outcome.stderr
        );
        drop(server);
    }
    let sandbox = Sandbox::new();
    let outcome = sandbox.holdfast(&["calls", "list"]);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome
            .stderr
            .contains("no server answers at var/operator.sock"),
        "{}",
        outcome.stderr
    );
}
