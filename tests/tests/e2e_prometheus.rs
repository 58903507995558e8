//! A real Prometheus beside a running system: it scrapes, every rule and panel of config/ resolves,
//! and faults make alerts fire.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_e2e::caller::Caller;
use holdfast_e2e::certificates::{Authority, Validity};
use holdfast_e2e::http::Request;
use holdfast_e2e::process::binary;
use holdfast_e2e::prometheus::{Prometheus, repository};
use holdfast_e2e::rtp::Source;
use holdfast_e2e::script::{Ask, Script};
use holdfast_e2e::secure::{Secure, Speaker};
use holdfast_e2e::srtp::Key;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::tools::Tool;
use holdfast_e2e::wait::wait_until;
use holdfast_load::invite::Codec;
use holdfast_load::uac::Transport;
use holdfast_units::SrtpSuite;
use nix::sys::signal::Signal;
use serde_json::Value;

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// Every expression of the dashboard, its variables filled in as Grafana would.
fn panels() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("config/grafana/holdfast.json")).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter();
    let targets = targets.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions = targets.map(|target| {
        let expression = target["expr"].as_str().unwrap();
        expression
            .replace("$__rate_interval", "1m")
            .replace("$__range", "1h")
            .replace("$instance", ".*")
    });
    expressions.collect()
}

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_name(c));
    words
        .filter(|word| word.starts_with("holdfast_"))
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn rules_and_panels_name_only_metrics_that_there_are() {
    let system = System::start(&Options::new());
    let metrics = Request::get(system.http(), "/metrics").send().text();
    let there: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(there.len() > 50, "{there:?}");
    let mut wanted = names(&read("config/prometheus/alerts.yml"));
    wanted.extend(names(&read("tests/prometheus/alerts_test.yml")));
    wanted.extend(names(&panels().join("\n")));
    assert!(wanted.len() > 40, "{wanted:?}");
    let absent: Vec<_> = wanted
        .iter()
        .filter(|name| !there.contains(name.as_str()))
        .collect();
    assert_eq!(absent, Vec::<&String>::new());
    // And the page that explains them has all of them.
    let page = read("docs/metrics.md");
    let untold: Vec<_> = there
        .iter()
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert_eq!(untold, Vec::<&&str>::new(), "docs/metrics.md");
}

#[test]
fn the_rules_fire_at_what_they_are_for_and_not_at_a_healthy_system() {
    let Some(promtool) = Tool::find("promtool") else {
        return;
    };
    let root = repository();
    promtool.output(&root, &["check", "rules", "config/prometheus/alerts.yml"]);
    promtool.output(
        &root,
        &["check", "config", "config/prometheus/prometheus.yml"],
    );
    promtool.output(
        &root,
        &["test", "rules", "tests/prometheus/alerts_test.yml"],
    );
    // Each rule has its scenario.
    let rules = read("config/prometheus/alerts.yml");
    let scenarios = read("tests/prometheus/alerts_test.yml");
    for rule in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert!(
            scenarios.contains(&format!("name: {rule}\n")),
            "no scenario for {rule}"
        );
        let is_fired = |source: &str| source.contains(&format!("await_alert(\"{rule}\")"));
        assert!(
            is_fired(include_str!("e2e_alerts.rs")) || is_fired(include_str!("e2e_prometheus.rs")),
            "no fault makes {rule} fire"
        );
    }
}

#[test]
fn prometheus_scrapes_and_faults_make_alerts_fire() {
    let Some(prometheus) = Tool::find("prometheus") else {
        return;
    };
    // One call is all there may be, and the certificate is as good as expired.
    let authority = Authority::new("e2e");
    let options = Options::new()
        .set("sip", "max_calls = 1")
        .tls(&authority.issue_for("localhost", Validity::Soon));
    let mut system = System::start(&options);
    let watch = Prometheus::start(&prometheus, system.http());
    wait_until("the target is up", || {
        let up = watch.query("up{job=\"holdfast\"}").unwrap_or_default();
        up["data"]["result"][0]["value"][1] == "1"
    });
    wait_until("rules are evaluated", || {
        let told = watch.get("/api/v1/rules").unwrap_or_default();
        let rules = told["data"]["groups"][0]["rules"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        rules.len() > 10 && rules.iter().all(|rule| rule["health"] == "ok")
    });
    for expression in panels() {
        let told = watch.query(&expression).unwrap_or_default();
        assert_eq!(told["status"], "success", "{expression}: {told}");
    }
    watch.await_alert("HoldfastCertificateExpires");

    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    watch.await_alert("HoldfastCallsNearLimit");
    let second = caller.prepare(Codec::Pcmu);
    let body = second.offer.multipart();
    let refused = caller.try_invite(second.number, &body).unwrap_err();
    assert_eq!(refused.status(), Some(503));
    // `increase` has to have seen the count before it rises.
    wait_until("the refusal is counted", || {
        let told = watch
            .query("holdfast_sip_invites_refused_total")
            .unwrap_or_default();
        told["data"]["result"][0]["value"][1].is_string()
    });
    let third = caller.prepare(Codec::Pcmu);
    let body = third.offer.multipart();
    caller.try_invite(third.number, &body).unwrap_err();
    watch.await_alert("HoldfastCallsRefused");

    // The kernel drops what an engine that does not run leaves in the socket.
    let mut source = Source::of(&call, 0, 7);
    source.send(&[0; 160], 160);
    source.send(&[0; 160], 160);
    wait_until("packets are seen", || {
        let told = watch.query("holdfast_packets_total{fate=\"recorded\"} > 0");
        told.unwrap_or_default()["data"]["result"][0].is_object()
    });
    system.engine.signal(Signal::SIGSTOP);
    for _ in 0..40_000 {
        source.send(&[0; 160], 160);
    }
    system.engine.signal(Signal::SIGCONT);
    wait_until("the drops are told with the packets after them", || {
        source.send(&[0; 160], 160);
        let told = watch.query("holdfast_packets_total{fate=\"dropped\"} > 0");
        told.unwrap_or_default()["data"]["result"][0].is_object()
    });
    watch.await_alert("HoldfastPacketsDropped");
    // What the network loses is missing in the recording too, which says so when it is published.
    (0..1_000).for_each(|_| source.skip(160));
    source.send(&[0; 160], 160);
    source.send(&[0; 160], 160);
    caller.hang_up(&call);
    system.published(&call.call_id);
    watch.await_alert("HoldfastPacketsMissing");

    let holdfast = Tool::at(binary("holdfast"));
    let config = system.config().display().to_string();
    holdfast.output(system.root(), &["--config", &config, "drain"]);
    watch.await_alert("HoldfastDraining");
    holdfast.output(system.root(), &["--config", &config, "drain", "--off"]);
    wait_until("it takes calls again", || !watch.fires("HoldfastDraining"));

    for _ in 0..4 {
        system.engine.kill();
        watch.await_alert("HoldfastEngineGone");
        system.engine.start();
        system.await_ready();
    }
    watch.await_alert("HoldfastEngineRestarts");
    system.signaling.kill();
    watch.await_alert("HoldfastDown");
}

#[test]
fn an_encrypted_stream_of_which_nothing_authenticates_is_told() {
    let Some(prometheus) = Tool::find("prometheus") else {
        return;
    };
    let key = Key::new(SrtpSuite::AesCm128Sha1_80, 15);
    let call = Secure::open("RTP/SAVP", &key.line(1, ""));
    let watch = Prometheus::start(&prometheus, call.system.http());
    // `increase` has to have seen the count before it rises.
    wait_until("no stream is mute", || {
        watch.finds("holdfast_srtp_mute_streams_total == 0")
    });
    let speaker = Speaker::new(&call, &Key::new(SrtpSuite::AesCm128Sha1_80, 16));
    speaker.speak(&[0x55; 160 * 150], 1, 0..150);
    watch.await_alert("HoldfastStreamMute");
}

/// Connections that each write requests without end, until told otherwise, and read what is answered.
fn flood(system: &System, stop: &AtomicBool) {
    let script = Script::over(Transport::Tcp, system);
    let batch = script
        .write(&Ask::new("OPTIONS"), 1, "z9hG4bKflood")
        .repeat(200);
    let connect = |_| {
        let stream = TcpStream::connect(system.sip()).expect("a connection");
        stream.set_nonblocking(true).expect("a socket");
        (stream, 0)
    };
    let mut streams: Vec<(TcpStream, usize)> = (0..FLOODING_CONNECTIONS).map(connect).collect();
    let mut answers = [0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        for (stream, written) in &mut streams {
            // A socket that is full, or has nothing to read, has its turn again.
            *written += stream.write(&batch[*written..]).unwrap_or(0);
            *written %= batch.len();
            let _ = stream.read(&mut answers);
        }
    }
}

/// Each adds some hundred messages while signaling handles 64.
const FLOODING_CONNECTIONS: usize = 100;

/// Tells it to stop when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn more_messages_than_signaling_handles_are_told() {
    let Some(prometheus) = Tool::find("prometheus") else {
        return;
    };
    let system = System::start(&Options::new());
    // With its inbox full signaling answers late, as everything has its turn.
    let watch = Prometheus::start_every(5, &prometheus, system.http());
    wait_until("the inbox is told", || {
        watch.finds("holdfast_signaling_inbox_limit_messages > 0")
    });
    assert!(!watch.fires("HoldfastSignalingBusy"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // It ends with this scope, however that ends.
        let _stop = Stop(&stop);
        scope.spawn(|| flood(&system, &stop));
        watch.await_alert("HoldfastSignalingBusy");
    });
    wait_until("signaling is well again", || {
        !watch.fires("HoldfastSignalingBusy")
    });
}
