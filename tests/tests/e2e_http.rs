//! Health, metrics and commands by HTTP, beside a call that is recorded.

use std::collections::BTreeMap;

use holdfast_e2e::caller::Caller;
use holdfast_e2e::certificates::Authority;
use holdfast_e2e::http::{self, Request};
use holdfast_e2e::rtp::Source;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::tools::Tool;
use holdfast_e2e::wait::{wait_for, wait_until};
use holdfast_load::invite::Codec;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn metrics(system: &System) -> BTreeMap<String, f64> {
    http::metrics(system.http())
}

#[test]
fn a_call_is_seen_in_the_metrics_paused_and_ended() {
    let system = System::start(&Options::new());
    let http = system.http();
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let listed = Request::get(http, "/api/calls").send().json();
    let id = listed["calls"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(listed["calls"][0]["call_id"], *call.call_id);

    let mut speaker = Source::of(&call, 0, 7);
    for _ in 0..50 {
        speaker.send(&[0; 160], 160);
    }
    let recorded = r#"holdfast_packets_total{shard="0",fate="recorded"}"#;
    let seen = wait_for("the packets are counted", || {
        let seen = metrics(&system);
        (seen.get(recorded) >= Some(&50.0)).then_some(seen)
    });
    for (name, value) in [
        (r#"holdfast_calls{state="active"}"#, 1.0),
        ("holdfast_ready", 1.0),
        ("holdfast_engine_connected", 1.0),
        (r#"holdfast_shard_streams{shard="0"}"#, 2.0),
        (
            r#"holdfast_sip_requests_total{direction="received",method="INVITE"}"#,
            1.0,
        ),
        (
            r#"holdfast_sip_responses_total{direction="sent",method="INVITE",code="200"}"#,
            1.0,
        ),
        ("holdfast_sip_dialogs", 1.0),
        ("holdfast_port_pairs", 2.0),
        (r#"holdfast_packets_total{shard="0",fate="unwritten"}"#, 0.0),
    ] {
        assert_eq!(seen.get(name), Some(&value), "{name} in {seen:#?}");
    }
    let commits = r#"holdfast_latency_seconds_count{shard="0",stage="commit"}"#;
    assert!(seen[commits] > 0.0, "{seen:#?}");
    let durable = r#"holdfast_latency_seconds_bucket{shard="0",stage="durable",le="+Inf"}"#;
    assert!(seen[durable] >= 50.0, "{seen:#?}");

    let paused = Request::post(http, &format!("/api/calls/{id}/pause")).send();
    assert_eq!(
        (paused.status, &paused.json()["is_paused"]),
        (200, &true.into())
    );
    let resumed = Request::post(http, &format!("/api/calls/{id}/resume")).send();
    assert_eq!(
        (resumed.status, &resumed.json()["is_paused"]),
        (200, &false.into())
    );
    // Each line about the call bears its names, whoever caused it.
    let log = system.signaling.log();
    let line = log
        .lines()
        .find(|line| line.contains("an operator's command"));
    let line = line.unwrap_or_else(|| panic!("no command in {log}"));
    assert!(
        line.contains(&call.call_id) && line.contains("peer=127.0.0.1:"),
        "{line}"
    );
    let ended = Request::post(http, &format!("/api/calls/{id}/hangup")).send();
    assert_eq!(ended.status, 200);
    caller.await_hang_up(&call);
    system.published(&call.call_id);
    wait_until("the publication is counted", || {
        metrics(&system)["holdfast_recordings_published_total"] == 1.0
    });
    let gone = Request::get(http, &format!("/api/calls/{id}")).send();
    assert_eq!(gone.status, 404);
    assert_eq!(
        gone.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(gone.json()["detail"], "no such call");
}

#[test]
fn health_says_what_stands_in_the_way() {
    let mut system = System::start(&Options::new());
    let http = system.http();
    let ready = Request::get(http, "/health/ready").send();
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (200, &"ready".into())
    );
    system.engine.kill();
    let unready = wait_for("the death of the engine is seen", || {
        let response = Request::get(http, "/health/ready").send();
        (response.status == 503).then_some(response)
    });
    let engine = &unready.json()["checks"][0];
    assert_eq!(
        (&engine["name"], &engine["is_good"]),
        (&"engine".into(), &false.into())
    );
    assert!(
        engine["text"]
            .as_str()
            .unwrap()
            .contains("start holdfast-media")
    );
    assert_eq!(Request::get(http, "/health/live").send().status, 200);
    assert_eq!(metrics(&system)["holdfast_ready"], 0.0);
    system.engine.start();
    system.await_ready();
    assert_eq!(Request::get(http, "/health").send().status, 200);
}

#[test]
fn with_a_token_nothing_but_health_is_told_to_others() {
    let options = Options::new()
        .file("token", &format!("{TOKEN}\n"))
        .set_file("http", "token_file", "token");
    let system = System::start(&options);
    let http = system.http();
    let bearing = |token: &str| format!("Bearer {token}");
    for path in ["/metrics", "/api/calls", "/api/status"] {
        let without = Request::get(http, path).send();
        assert_eq!(without.status, 401, "{path}");
        assert_eq!(
            without.header("www-authenticate"),
            Some("Bearer realm=\"holdfast\"")
        );
        let wrong = Request::get(http, path).header("Authorization", &bearing(&TOKEN[1..]));
        assert_eq!(wrong.send().status, 401, "{path}");
        let right = Request::get(http, path).header("Authorization", &bearing(TOKEN));
        assert_eq!(right.send().status, 200, "{path}");
    }
    assert_eq!(Request::get(http, "/health").send().status, 200);

    let newer = TOKEN.replace('0', "f");
    system.replace_file("token", &newer);
    system.signaling.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("the new token counts", || {
        let request = Request::get(http, "/metrics").header("Authorization", &bearing(&newer));
        request.send().status == 200
    });
    let former = Request::get(http, "/metrics").header("Authorization", &bearing(TOKEN));
    assert_eq!(former.send().status, 401);
}

#[test]
fn what_is_not_asked_well_is_answered_clearly() {
    let system = System::start(&Options::new());
    let http = system.http();
    let id = "ab".repeat(16);
    for (request, status) in [
        (Request::get(http, "/"), 404),
        (Request::get(http, "/api/calls/xyz"), 400),
        (Request::get(http, &format!("/api/calls/{id}")), 404),
        (Request::get(http, &format!("/api/calls/{id}/pause")), 405),
        (Request::post(http, "/metrics"), 405),
        (
            Request::get(http, "/health").header("Host", "evil.example"),
            403,
        ),
        (
            Request::get(http, "/metrics").header("Origin", "http://evil.example"),
            403,
        ),
        (
            Request::get(http, "/health").header("X", &"x".repeat(20_000)),
            431,
        ),
    ] {
        let response = request.send();
        assert_eq!(response.status, status, "{request:?}");
        if status != 431 {
            assert_eq!(response.json()["status"], status, "{request:?}");
        }
    }
}

#[test]
fn beyond_the_loopback_a_token_is_demanded() {
    let said = System::refusal(&Options::new().set("http", "listen = \"0.0.0.0:28080\""));
    for word in [
        "http.listen",
        "0.0.0.0:28080",
        "http.token_file",
        "127.0.0.1",
    ] {
        assert!(said.contains(word), "no {word} in {said}");
    }
}

#[test]
fn over_tls_with_a_certificate_of_its_own() {
    let Some(curl) = Tool::find("curl") else {
        return;
    };
    let authority = Authority::new("e2e");
    let identity = authority.issue("localhost");
    let options = Options::new()
        .file("http.pem", &identity.certificate)
        .file("http.key", &identity.key)
        .file("ca.pem", &authority.pem)
        .set_file("http", "certificate", "http.pem")
        .set_file("http", "key", "http.key");
    let system = System::start(&options);
    let url = format!("https://localhost:{}/health", system.http().port());
    let resolve = format!("localhost:{}:127.0.0.1", system.http().port());
    let shared = [
        "--silent",
        "--show-error",
        "--fail",
        "--resolve",
        &resolve,
        &url,
    ];
    let trusting = [&["--cacert", "ca.pem"], &shared[..]].concat();
    let told = curl.output(system.root(), &trusting);
    assert!(
        told.contains("\"ready\"") && told.contains("http.certificate is valid"),
        "{told}"
    );
    assert!(
        !curl.run(system.root(), &shared).status.success(),
        "an unknown authority"
    );
    // Without TLS nothing is told there.
    assert!(Request::get(system.http(), "/health").try_send().is_none());
}
