//! `holdfast config`: what an operator sees before anything is started.

mod common;

use common::Sandbox;
use holdfast_settings::DEFAULT_FILE;
use serde_json::Value;

#[test]
fn the_shipped_file_is_good_here_and_is_found_by_itself() {
    let sandbox = Sandbox::new();
    sandbox.write("config/holdfast.toml", DEFAULT_FILE);
    let outcome = sandbox.holdfast(&["config", "check"]);
    assert_eq!(outcome.status, 0, "{}{}", outcome.stdout, outcome.stderr);
    assert!(
        outcome
            .stdout
            .starts_with("config/holdfast.toml is good.\n"),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome
            .stdout
            .contains("core 0 receives 5000 streams on ports 10000-19999")
    );
    assert!(
        outcome
            .stdout
            .contains("journal in var/state/journal, 2 GiB")
    );
    assert!(!sandbox.path("var").exists(), "a check made something");
}

#[test]
fn a_refused_file_tells_every_mistake_and_ends_with_status_1() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "bad.toml",
        "[sip]\nt1 = \"1 h\"\n[media]\ncores = [0, 999]\n",
    );
    let outcome = sandbox.holdfast(&["config", "check", "--config", "bad.toml"]);
    assert_eq!(outcome.status, 1);
    assert_eq!(
        outcome.stdout,
        "bad.toml is refused:\n  line 2: sip.t1 = \"1 h\": allowed: 100 ms to 5 s\n"
    );

    sandbox.write("bad.toml", "[media]\ncores = [0, 999]\n");
    let outcome = sandbox.holdfast(&["config", "check", "--config", "bad.toml", "--json"]);
    assert_eq!(outcome.status, 1);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(document["good"], false);
    assert_eq!(document["problems"][0]["key"], "media.cores[1]");
    assert_eq!(document["problems"][0]["line"], 2);

    let outcome = sandbox.holdfast(&["config", "check", "--any-machine", "--config", "bad.toml"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stdout);
}

#[test]
fn a_file_that_is_not_there_is_an_error_not_the_defaults() {
    let outcome = Sandbox::new().holdfast(&["config", "show", "--config", "none.toml"]);
    assert_eq!(outcome.status, 1);
    assert_eq!(outcome.stdout, "");
    assert!(
        outcome
            .stderr
            .starts_with("holdfast: the settings do not serve: reading none.toml: ")
    );
}

#[test]
fn show_prints_what_is_in_force_and_reads_back() {
    let sandbox = Sandbox::new();
    sandbox.write("my.toml", "[sip]\nmax_calls = 7\n");
    let shown = sandbox
        .holdfast(&["config", "show", "--config", "my.toml"])
        .stdout;
    assert!(
        shown.contains("\nmax_calls = 7\n") && shown.contains("\ntick = \"2 ms\"\n"),
        "{shown}"
    );
    sandbox.write("again.toml", &shown);
    let again = sandbox
        .holdfast(&["config", "show", "--config", "again.toml"])
        .stdout;
    let settings = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    assert_eq!(settings(&again), settings(&shown));

    let json = sandbox
        .holdfast(&["config", "show", "--config", "my.toml", "--json"])
        .stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["sip"]["max_calls"], 7);
}

#[test]
fn default_prints_the_shipped_file_and_uris_where_it_is_reached() {
    let sandbox = Sandbox::new();
    assert_eq!(
        sandbox.holdfast(&["config", "default"]).stdout,
        DEFAULT_FILE
    );
    sandbox.write(
        "my.toml",
        "[sip]\nlisten = [\"udp:127.0.0.1:5070\", \"tcp:[::1]:5070\"]\n",
    );
    assert_eq!(
        sandbox
            .holdfast(&["config", "uris", "--config", "my.toml"])
            .stdout,
        "sip:127.0.0.1:5070;transport=udp\nsip:[::1]:5070;transport=tcp\n"
    );
}

#[test]
fn a_command_that_does_not_exist_ends_with_status_2() {
    assert_eq!(Sandbox::new().holdfast(&["config", "chek"]).status, 2);
}
