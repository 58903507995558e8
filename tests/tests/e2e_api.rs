//! The API beside a recording that was made: found, shown, its files with ranges and nothing else,
//! latencies in all formats, settings without secrets, an address from a STUN server; and its
//! description held against what is really answered.

use std::process::{Command, Output};

use holdfast_e2e::caller::Caller;
use holdfast_e2e::http::{Request, Response};
use holdfast_e2e::process::binary;
use holdfast_e2e::prometheus::repository;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::Talk;
use holdfast_e2e::tools::Tool;
use holdfast_e2e::wait::{wait_for, wait_until};
use holdfast_load::invite::Codec;
use serde_json::Value;

struct Recorded {
    system: System,
    id: String,
    call_id: String,
    folder: std::path::PathBuf,
}

fn recorded() -> Recorded {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    caller.stay(std::time::Duration::from_millis(500));
    talk.finish();
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let listed = Request::get(system.http(), "/api/recordings").send().json();
    let id = listed["recordings"][0]["id"].as_str().unwrap().to_owned();
    Recorded {
        folder: published.folder.clone(),
        call_id: call.call_id.clone(),
        system,
        id,
    }
}

fn get(system: &System, path: &str) -> Response {
    Request::get(system.http(), path).send()
}

#[test]
fn a_recording_is_found_and_its_files_are_served_with_ranges_and_no_others() {
    let Recorded {
        system,
        id,
        call_id,
        folder,
    } = recorded();
    for (query, count) in [
        ("".to_owned(), 1),
        (format!("?call_id={}", call_id.replace('@', "%40")), 1),
        ("?call_id=other".to_owned(), 0),
        ("?from=2020-01-01".to_owned(), 1),
        ("?to=2020-01-01T00:00:00Z".to_owned(), 0),
        ("?participant=nobody-at-all&limit=1".to_owned(), 0),
    ] {
        let found = get(&system, &format!("/api/recordings{query}"));
        assert_eq!(found.status, 200, "{query}");
        let found = found.json();
        assert_eq!(
            found["recordings"].as_array().unwrap().len(),
            count,
            "{query} {found}"
        );
    }
    for query in [
        "?from=yesterday",
        "?limit=0",
        "?limit=1001",
        "?limit=x",
        "?wrong=1",
    ] {
        let refused = get(&system, &format!("/api/recordings{query}"));
        assert_eq!(refused.status, 400, "{query}");
        assert!(!refused.json()["detail"].as_str().unwrap().is_empty());
    }
    let manifest = get(&system, &format!("/api/recordings/{}", &id[..8])).json();
    assert_eq!(manifest["call"]["sip"]["call_id"], *call_id);

    let audio = std::fs::read(folder.join("audio.wav")).unwrap();
    let path = format!("/api/recordings/{id}/files/audio.wav");
    let whole = get(&system, &path);
    assert_eq!((whole.status, &whole.body), (200, &audio));
    assert_eq!(whole.header("content-type"), Some("audio/wav"));
    let sum = manifest["files"]
        .as_array()
        .unwrap()
        .iter()
        .find(|file| file["name"] == "audio.wav");
    let sum = sum.unwrap()["sha256"].as_str().unwrap();
    assert_eq!(whole.header("etag"), Some(format!("\"{sum}\"").as_str()));
    let part = Request::get(system.http(), &path)
        .header("Range", "bytes=44-143")
        .send();
    assert_eq!((part.status, &part.body[..]), (206, &audio[44..144]));
    let range = format!("bytes 44-143/{}", audio.len());
    assert_eq!(part.header("content-range"), Some(range.as_str()));
    let beyond = Request::get(system.http(), &path)
        .header("Range", "bytes=999999999-")
        .send();
    assert_eq!(beyond.status, 416);
    let metadata = format!("/api/recordings/{id}/files/metadata/0001.xml");
    assert_eq!(get(&system, &metadata).status, 200);
    assert_eq!(
        get(
            &system,
            &format!("/api/recordings/{id}/files/recording.json")
        )
        .status,
        200
    );

    // What the manifest does not name is not served, wherever it lies.
    std::fs::write(folder.join("secret"), "secret").unwrap();
    for name in [
        "secret",
        "../../../../../../etc/passwd",
        "..%2f..%2f..%2f..%2fholdfast.toml",
        "%2e%2e/%2e%2e/holdfast.toml",
        "metadata/../audio.wav",
        "./audio.wav",
        "/etc/passwd",
        "metadata",
        "audio.wav%00",
        "audio.wav/",
    ] {
        let refused = get(&system, &format!("/api/recordings/{id}/files/{name}"));
        assert!(
            (400..=404).contains(&refused.status),
            "{name} {}",
            refused.status
        );
        assert!(!refused.text().contains("secret\n") && !refused.text().contains("root:"));
    }
    // Nor a file that somebody has made a link.
    std::fs::remove_file(folder.join("audio.wav")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.join("audio.wav")).unwrap();
    assert_eq!(get(&system, &path).status, 404);
}

/// The index is a convenience: the folder says what there is.
#[test]
fn a_search_follows_what_is_moved_and_outlives_a_damaged_index() {
    let Recorded {
        mut system, folder, ..
    } = recorded();
    let is_indexed = |system: &System, times: usize| {
        let log = system.signaling.log();
        log.matches("recordings are found by an index").count() == times
    };
    wait_until("the index is there", || is_indexed(&system, 1));
    let count = |system: &System| {
        let found = get(system, "/api/recordings").json();
        found["recordings"].as_array().unwrap().len()
    };
    assert_eq!(count(&system), 1);
    let elsewhere = system.root().join("elsewhere");
    std::fs::rename(&folder, &elsewhere).unwrap();
    assert_eq!(count(&system), 0);
    std::fs::rename(&elsewhere, &folder).unwrap();
    assert_eq!(count(&system), 1);

    system.signaling.kill();
    let index = system.root().join("state/recordings.sqlite");
    assert!(index.is_file());
    std::fs::write(&index, "no database").unwrap();
    system.signaling.start();
    system.await_ready();
    wait_until("the index is there again", || is_indexed(&system, 2));
    assert_eq!(count(&system), 1);
    let log = system.signaling.log();
    assert!(!log.contains("searched without an index"), "{log}");
}

#[test]
fn latencies_are_told_in_the_formats_of_hdrhistogram_and_in_the_terminal() {
    let Recorded { system, .. } = recorded();
    let told = get(&system, "/api/latency").json();
    let stages = told["stages"].as_array().unwrap();
    let durable = stages.iter().find(|it| it["stage"] == "durable").unwrap();
    assert!(durable["count"].as_u64() > Some(20), "{told}");
    let (middle, longest) = (&durable["percentiles_us"]["50"], &durable["max_us"]);
    assert!(
        middle.as_u64() > Some(0) && middle.as_u64() <= longest.as_u64(),
        "{told}"
    );

    let distribution = get(&system, "/api/latency?format=hgrm&stage=durable").text();
    assert!(
        distribution.trim_start().starts_with("Value"),
        "{distribution}"
    );
    assert!(distribution.contains("#[Max"), "{distribution}");
    let log = get(&system, "/api/latency?format=hlog").text();
    assert!(log.contains("Tag=shard-0-durable,"), "{log}");
    for wrong in ["?stage=xyz", "?format=pdf", "?shard=x", "?other=1"] {
        assert_eq!(
            get(&system, &format!("/api/latency{wrong}")).status,
            400,
            "{wrong}"
        );
    }

    let holdfast = |arguments: &[&str]| {
        let output = holdfast(&system, arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let table = holdfast(&["latency"]);
    assert!(
        table.contains("P99.9") && table.contains("durable, all shards:"),
        "{table}"
    );
    assert!(table.contains('#'), "no bar: {table}");
    let json: Value =
        serde_json::from_str(&holdfast(&["latency", "--stage", "seen", "--json"])).unwrap();
    assert_eq!(json[0]["stage"], "seen");
    let status = holdfast(&["status"]);
    assert!(
        status.contains("e2e: ready") && status.contains("1 recordings published"),
        "{status}"
    );
    let doctor = holdfast(&["doctor"]);
    assert!(
        doctor.contains("ok    server") && doctor.ends_with("to note\n"),
        "{doctor}"
    );
}

/// Nothing is told of an engine that is not there, and that is no good answer.
#[test]
fn latencies_of_an_engine_that_is_not_there_are_an_error() {
    let Recorded { mut system, .. } = recorded();
    assert_eq!(get(&system, "/api/latency").status, 200);
    system.engine.kill();
    let gone = wait_for("the death of the engine is seen", || {
        let response = get(&system, "/api/latency");
        (response.status == 503).then_some(response)
    });
    assert_eq!(gone.json()["detail"], "the media engine is not connected");
    assert_eq!(get(&system, "/api/latency?format=hlog").status, 503);
    for arguments in [&["latency"][..], &["latency", "--json"]] {
        let output = holdfast(&system, arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("the media engine is not connected"), "{said}");
    }
}

/// Every path that the description has is asked; what comes back is what it says.
#[test]
fn the_description_says_what_is_answered() {
    let Recorded { system, id, .. } = recorded();
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let calls = get(&system, "/api/calls").json();
    let of = |it: &&Value| it["call_id"] == *call.call_id;
    let call_recording = calls["calls"].as_array().unwrap().iter().find(of).unwrap()["id"].clone();
    let call_recording = call_recording.as_str().unwrap();
    let description = get(&system, "/api/openapi.json").json();
    let paths = description["paths"].as_object().unwrap();
    assert!(paths.len() > 15);
    let mut asked = 0;
    // What ends the call comes last.
    let (ending, others): (Vec<_>, Vec<_>) =
        paths.iter().partition(|(path, _)| path.ends_with("hangup"));
    for (path, methods) in others.into_iter().chain(ending) {
        for (method, operation) in methods.as_object().unwrap() {
            let recording = path.starts_with("/api/recordings");
            let real = path
                .replace("{id}", if recording { &id } else { call_recording })
                .replace("{name}", "audio.wav");
            let request = match method.as_str() {
                "post" => Request::post(system.http(), &real),
                _ => Request::get(system.http(), &real),
            };
            // Whom to call has to be said: TC-36 does.
            let status = match (path.as_str(), method.as_str()) {
                ("/api/calls", "post") => "400",
                _ => "200",
            };
            check(&description, operation, &request.send(), path, status);
            if path.contains("{id}") {
                let nobody = path
                    .replace("{id}", &"0123".repeat(8))
                    .replace("{name}", "audio.wav");
                let request = match method.as_str() {
                    "post" => Request::post(system.http(), &nobody),
                    _ => Request::get(system.http(), &nobody),
                };
                check(&description, operation, &request.send(), path, "404");
            }
            asked += 1;
        }
    }
    assert_eq!(
        asked,
        paths.len() + 1,
        "each path has one method but /api/calls"
    );
    caller.await_hang_up(&call);
}

/// Without the token each is refused as the description says, but for those that it says need none.
#[test]
fn the_description_says_what_needs_the_token() {
    let options = Options::new()
        .file("token", "0123456789abcdef0123456789abcdef\n")
        .set_file("http", "token_file", "token");
    let system = System::start(&options);
    let docs = std::fs::read_to_string(repository().join("docs/openapi.json")).unwrap();
    let description: Value = serde_json::from_str(&docs).unwrap();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let real = path
                .replace("{id}", &"0123".repeat(8))
                .replace("{name}", "audio.wav");
            let request = match method.as_str() {
                "post" => Request::post(system.http(), &real),
                _ => Request::get(system.http(), &real),
            };
            let response = request.send();
            match operation["security"].is_array() {
                true => assert_eq!(response.status, 200, "{path}"),
                false => check(&description, operation, &response, path, "401"),
            }
        }
    }
}

fn check(description: &Value, operation: &Value, response: &Response, path: &str, status: &str) {
    assert_eq!(
        response.status.to_string(),
        status,
        "{path}: {}",
        response.text()
    );
    let said = &operation["responses"][status];
    let content = said["content"]
        .as_object()
        .unwrap_or_else(|| panic!("{path}: no {status}"));
    let kind = response
        .header("content-type")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let schema = content.get(kind).or_else(|| content.get("*/*"));
    let schema = schema.unwrap_or_else(|| panic!("{path}: {kind} is not described"));
    if kind.ends_with("json") {
        fits(description, &schema["schema"], &response.json(), path);
    }
}

/// Whether a value is what a schema says, as far as the description uses schemas.
fn fits(description: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let schema = description
            .pointer(&name[1..])
            .unwrap_or_else(|| panic!("{name}"));
        return fits(description, schema, value, at);
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{at}: what is {other}?"),
    };
    let fits_type = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap())),
        _ => true,
    };
    assert!(fits_type, "{at}: {value} is no {}", schema["type"]);
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap();
        assert!(value.get(name).is_some(), "{at}: no {name} in {value}");
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            fits(description, schema, value, &format!("{at}.{name}"));
        }
    }
    for item in value.as_array().into_iter().flatten() {
        if !schema["items"].is_null() {
            fits(description, &schema["items"], item, at);
        }
    }
}

#[test]
fn settings_are_shown_with_every_key() {
    let system = System::start(&Options::new());
    let shown = get(&system, "/api/config").json();
    assert_eq!(shown["node"]["name"], "e2e");
    assert_eq!(shown["media"]["commit_interval"], "200 ms");
}

#[test]
fn a_stun_server_tells_the_address_that_peers_are_told() {
    let Some(coturn) = Tool::find("turnserver") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let options = "--stun-only --no-cli --no-tls --no-dtls -n --log-file=stdout \
                   --listening-ip=127.0.0.1 --pidfile=turn.pid --db=turn.db";
    let listening = format!("--listening-port={port}");
    let arguments: Vec<&str> = options
        .split_whitespace()
        .chain([listening.as_str()])
        .collect();
    let _coturn = coturn.serve(folder.path(), &arguments);
    let advertise = format!("advertise = \"stun:127.0.0.1:{port}\"");
    let system = System::start(&Options::new().set("sip", &advertise));
    let told = wait_for("the STUN server has answered", || {
        let told = get(&system, "/stun-status").json();
        told["address"].is_string().then_some(told)
    });
    assert_eq!(
        (&told["address"], &told["is_used"]),
        (&"127.0.0.1".into(), &true.into())
    );
    assert_eq!(told["error"], Value::Null);
    assert!(system.signaling.log().contains("as a STUN server sees it"));
    let status = operator_status(&system);
    let said = format!("127.0.0.1, as 127.0.0.1:{port} says");
    assert!(status.contains(&said), "{status}");
}

#[test]
fn a_stun_server_that_is_not_there_stops_nothing() {
    let advertise = format!("advertise = \"stun:127.0.0.1:{}\"", free_port());
    let system = System::start(&Options::new().set("sip", &advertise));
    let told = get(&system, "/stun-status").json();
    assert_eq!(
        (&told["is_used"], &told["address"]),
        (&true.into(), &Value::Null)
    );
    let status = operator_status(&system);
    assert!(status.contains("not known"), "{status}");
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    caller.hang_up(&call);
}

/// Runs the operator's command with the settings of a system.
fn holdfast(system: &System, arguments: &[&str]) -> Output {
    Command::new(binary("holdfast"))
        .args(arguments)
        .arg("--config")
        .arg(system.config())
        .output()
        .unwrap()
}

/// What `holdfast status` says to people.
fn operator_status(system: &System) -> String {
    let output = holdfast(system, &["status"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A UDP port that nobody has at present.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}
