//! The engine as a process with the packet ring, each test in a network namespace of its own: all that
//! holds with plain sockets, and what the ring alone has.

#[path = "e2e_engine.rs"]
mod as_with_sockets;

use std::process::{Command, Stdio};

use as_with_sockets::support::{Engine, Sender, ended, recording};
use holdfast_control::{FromEngine, ToEngine};

#[test]
fn the_drop_rule_is_there_while_the_engine_is() {
    let Some(mut engine) = Engine::start(31_700, 31_799) else {
        return;
    };
    let rules = || {
        let output = Command::new("nft").args(["list", "ruleset"]).output();
        output.ok().map(|it| String::from_utf8(it.stdout).unwrap())
    };
    drop(engine.connect());
    let Some(found) = rules() else {
        return eprintln!("SKIPPED: no nft (apt-get install nftables)");
    };
    if found.is_empty() {
        return eprintln!("SKIPPED: this kernel takes no netdev rules");
    }
    assert!(found.contains("udp dport 31700-31799 drop"), "{found}");
    engine.kill();
    assert_eq!(rules().unwrap(), found, "a killed engine leaves it");
    engine.restart();
    drop(engine.connect());
    assert_eq!(rules().unwrap().matches("drop").count(), 1);
    assert!(engine.stop());
    assert_eq!(rules().unwrap(), "");
}

/// The words that take the capabilities of the ring away from what follows them.
const WITHOUT_CAPABILITIES: [&str; 4] = [
    "setpriv",
    "--bounding-set=-net_raw,-net_admin",
    "--inh-caps=-net_raw,-net_admin",
    "--",
];

#[test]
fn without_the_capability_the_ring_is_refused_with_the_reason() {
    let Some(engine) = Engine::prepare(31_800, 31_899, "") else {
        return;
    };
    let Ok(output) = engine
        .command(&WITHOUT_CAPABILITIES)
        .stderr(Stdio::piped())
        .output()
    else {
        return eprintln!("SKIPPED: no setpriv (apt-get install util-linux)");
    };
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("CAP_NET_RAW"),
        "{said}"
    );
}

#[test]
fn auto_takes_sockets_where_the_capability_is_missing() {
    let Some(mut engine) = Engine::prepare(31_900, 31_999, "ingest = \"auto\"") else {
        return;
    };
    if engine.start_behind(&WITHOUT_CAPABILITIES).is_err() {
        return eprintln!("SKIPPED: no setpriv (apt-get install util-linux)");
    }
    let link = engine.connect();
    let wanted = recording(&[31_900]);
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    Sender::new(31_900).send(20);
    link.wait_for(|message| match message {
        FromEngine::Health(health) if health.packets >= 20 => Some(()),
        _ => None,
    });
    link.send(&ToEngine::Recording(ended(&wanted)));
    let (_, manifest) = link.wait_published(wanted.id);
    assert_eq!(manifest.streams[0].packets, 20);
}
