//! What `make install` lays down: complete, checked by the tools that read it, and taken away again.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use holdfast_e2e::process::binary;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::tools::{Tool, skipped};
use holdfast_e2e::wait::PATIENCE;

fn install(root: &Path, arguments: &[&str]) -> Output {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(repository.join("scripts/install"))
        .args(arguments)
        .env("DESTDIR", root)
        .env("PREFIX", "/usr")
        .env("BIN_DIR", binary("holdfast").parent().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// All files below a folder, relative to it.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(root).unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn everything_is_laid_down_and_taken_away_but_the_settings() {
    let root = tempfile::tempdir().unwrap();
    install(root.path(), &[]);
    let there = files(root.path());
    for wanted in [
        "usr/bin/holdfast",
        "usr/bin/holdfast-media",
        "usr/bin/holdfast-signaling",
        "etc/systemd/system/holdfast-media.service",
        "etc/systemd/system/holdfast-signaling.service",
        "etc/holdfast/holdfast.toml",
        "usr/lib/sysusers.d/holdfast.conf",
        "usr/lib/tmpfiles.d/holdfast.conf",
        "usr/lib/sysctl.d/60-holdfast.conf",
        "usr/share/bash-completion/completions/holdfast",
        "usr/share/holdfast/nftables.conf",
        "usr/share/holdfast/keepalived.conf",
        "usr/share/holdfast/prometheus/prometheus.yml",
        "usr/share/holdfast/prometheus/alerts.yml",
        "usr/share/holdfast/grafana/holdfast.json",
    ] {
        assert!(
            there.contains(&PathBuf::from(wanted)),
            "no {wanted} in {there:?}"
        );
    }
    let unit = root
        .path()
        .join("etc/systemd/system/holdfast-media.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/holdfast-media ") && !unit.contains("/usr/local"));

    let settings = root.path().join("etc/holdfast/holdfast.toml");
    let checked = Command::new(binary("holdfast"))
        .args(["config", "check", "--any-machine", "--json", "--config"])
        .arg(&settings)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let checked: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    for (table, key, value) in [
        ("node", "state_dir", "/var/lib/holdfast/state"),
        ("node", "control_socket", "/run/holdfast/control.sock"),
        ("node", "operator_socket", "/run/holdfast/operator.sock"),
        ("recordings", "dir", "/var/lib/holdfast/recordings"),
    ] {
        assert_eq!(checked["settings"][table][key], value, "{table}.{key}");
    }

    // What an operator has written stays.
    std::fs::write(&settings, "[node]\nname = \"mine\"\n").unwrap();
    install(root.path(), &[]);
    assert!(std::fs::read_to_string(&settings).unwrap().contains("mine"));
    install(root.path(), &["--uninstall"]);
    assert_eq!(
        files(root.path()),
        [PathBuf::from("etc/holdfast/holdfast.toml")]
    );
}

#[test]
fn what_deployment_needs_is_read_by_the_tools_it_is_for() {
    let Some(bash) = Tool::find("bash") else {
        return;
    };
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let said = bash.output(&repository, &["scripts/lint-deploy"]);
    for missed in said.lines().filter(|line| line.starts_with("not checked")) {
        skipped(missed);
    }
}

/// What systemd hears of both processes: ready once each, alive again and again, and the end.
#[test]
fn a_supervisor_is_told_of_readiness_life_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let heard = UnixDatagram::bind(&path).unwrap();
    heard.set_read_timeout(Some(PATIENCE)).unwrap();
    let notify = format!("NOTIFY_SOCKET={}", path.display());
    let options = Options::new().within(&["env", &notify, "WATCHDOG_USEC=600000"]);
    let mut system = System::start(&options);
    let hear = |word: &str, times: usize| {
        let mut count = 0;
        while count < times {
            let mut buffer = [0; 512];
            let size = heard
                .recv(&mut buffer)
                .unwrap_or_else(|_| panic!("no {word}"));
            count += usize::from(String::from_utf8_lossy(&buffer[..size]).contains(word));
        }
    };
    hear("READY=1", 2);
    hear("WATCHDOG=1", 4);
    system.signaling.ask_to_end();
    hear("STOPPING=1", 1);
    system.signaling.wait();
    // The engine alone still lives.
    hear("WATCHDOG=1", 2);
    system.engine.ask_to_end();
    hear("STOPPING=1", 1);
    system.engine.wait();
}
