//! The real systemd runs what `make install` lays down: a machine of its own in namespaces, whose two
//! services are started, killed together in the middle of calls, started again by it, and stopped.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use holdfast_e2e::namespace::enter_lonely;
use holdfast_e2e::process::binary;
use holdfast_e2e::tools::{Tool, skipped};
use holdfast_e2e::wait::{wait_for, wait_until};
use serde_json::Value;
use tempfile::TempDir;

const SERVICES: [&str; 2] = ["holdfast-media", "holdfast-signaling"];

/// A machine with systemd as its process 1.
struct Machine {
    nsenter: Tool,
    outside: Child,
    work: TempDir,
}

impl Machine {
    /// Boots it; `None`, and a word about it, where that cannot be.
    fn boot() -> Option<Self> {
        if !Path::new("/lib/systemd/systemd").exists() {
            skipped("no systemd: apt-get install systemd");
            return None;
        }
        let (unshare, nsenter) = (Tool::find("unshare")?, Tool::find("nsenter")?);
        drop(unshare);
        let work = tempfile::tempdir().expect("a folder");
        let log = File::create(work.path().join("boot.log")).expect("a log");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/box");
        let outside = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(script)
            .arg(work.path())
            .arg(binary("holdfast").parent().expect("its folder"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("unshare");
        let mut machine = Self {
            nsenter,
            outside,
            work,
        };
        match wait_for("the machine boots or says why it does not", || {
            machine.booted()
        }) {
            Ok(()) => Some(machine),
            Err(status) => {
                let log = machine.log();
                assert_eq!(status.code(), Some(77), "{log}");
                skipped(log.lines().last().unwrap_or("no machine with systemd"));
                None
            }
        }
    }

    /// Whether it runs its services, or why it does not run at all; `None`: not yet.
    fn booted(&mut self) -> Option<Result<(), ExitStatus>> {
        if let Some(status) = self.outside.try_wait().expect("its state") {
            return Some(Err(status));
        }
        let ready = self.run(&["is-active", SERVICES[0], SERVICES[1]])?;
        ready.status.success().then_some(Ok(()))
    }

    /// The process id of its systemd, seen from here, once there is one.
    fn init(&self) -> Option<String> {
        let init = std::fs::read_to_string(self.work.path().join("init")).ok()?;
        let init = init.trim().to_owned();
        (!init.is_empty()).then_some(init)
    }

    /// Runs a command there, once there is a process 1.
    fn command(&self, words: &[&str]) -> Option<Output> {
        let init = self.init()?;
        let mut all = vec!["--all", "--target", &init];
        all.extend(words);
        Some(self.nsenter.run(Path::new("/"), &all))
    }

    fn run(&self, arguments: &[&str]) -> Option<Output> {
        self.command(&[&["systemctl"], arguments].concat())
    }

    /// Runs `holdfast` there, as the operator who installed it does; gives what it writes.
    fn holdfast(&self, arguments: &[&str]) -> String {
        let words = [&["holdfast"], arguments].concat();
        let output = self.command(&words).expect("it has booted");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.work.path().join("boot.log")).unwrap_or_default()
    }

    /// Runs `systemctl` there.
    fn systemctl(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).expect("it has booted");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A property of a service, as a number.
    fn count(&self, service: &str, property: &str) -> u32 {
        let value = self.systemctl(&["show", "--value", "--property", property, service]);
        value.trim().parse().expect("a number")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
            if let Some(status) = self.run(&["status", SERVICES[0], SERVICES[1]]) {
                eprintln!("{}", String::from_utf8_lossy(&status.stdout));
            }
        }
        // All that runs there ends with its process 1.
        if let Some(init) = self.init() {
            let _ = Command::new("kill").args(["-KILL", &init]).status();
        }
        let _ = self.outside.wait();
    }
}

fn answers() -> bool {
    let load = Command::new(binary("holdfast-load"))
        .args([
            "options",
            "--target",
            "127.0.0.1:5060",
            "--timeout-ms",
            "500",
        ])
        .output();
    load.is_ok_and(|it| it.status.success())
}

#[test]
fn installed_services_start_and_calls_outlive_their_being_killed_together() {
    if !enter_lonely() {
        return;
    }
    let Some(machine) = Machine::boot() else {
        return;
    };
    wait_until("the installed services take calls", answers);
    let recordings = machine.work.path().join("lib/recordings");
    let progress = machine.work.path().join("load.log");
    let mut load = Command::new(binary("holdfast-load"))
        .args(["calls", "--target", "127.0.0.1:5060", "--calls", "4"])
        .args([
            "--seconds",
            "15",
            "--verify",
            "--survivors",
            "--lost-max",
            "0",
        ])
        .arg("--recordings")
        .arg(&recordings)
        .stdout(Stdio::null())
        .stderr(File::create(&progress).expect("a log"))
        .spawn()
        .expect("the load");
    let said = || std::fs::read_to_string(&progress).unwrap_or_default();
    wait_until("the calls are up", || said().contains("up 4,"));
    for round in 1..=3 {
        machine.systemctl(&["kill", "--signal=KILL", SERVICES[0], SERVICES[1]]);
        for service in SERVICES {
            wait_until("systemd has started it again", || {
                let state = machine.systemctl(&["show", "--value", "--property=SubState", service]);
                state.trim() == "running" && machine.count(service, "NRestarts") >= round
            });
            assert!(
                machine.count(service, "NFileDescriptorStore") >= 2,
                "{service}"
            );
        }
        wait_until("it takes calls again", answers);
    }
    // Not a packet is missing in any of them.
    let status = load.wait().expect("the load ends");
    assert!(status.success(), "{}", said());

    machine.systemctl(&["reload", SERVICES[1]]);
    machine.systemctl(&["restart", SERVICES[0]]);
    wait_until("it takes calls again", answers);
    machine.systemctl(&["stop", SERVICES[1], SERVICES[0]]);
    for service in SERVICES {
        assert_eq!(
            machine
                .systemctl(&["show", "--value", "--property=Result", service])
                .trim(),
            "success"
        );
        assert_eq!(
            machine.count(service, "NFileDescriptorStore"),
            0,
            "{service}"
        );
    }
}

/// What README tells a new operator to do once the services run, and in that order.
#[test]
fn a_new_operator_finds_verifies_and_exports_a_call_of_the_installed_services() {
    if !enter_lonely() {
        return;
    }
    let Some(machine) = Machine::boot() else {
        return;
    };
    machine.holdfast(&["config", "check"]);
    wait_until("the installed services take calls", answers);

    // Nothing is wrong, or what is wrong comes with the command that mends it.
    let found: Value = serde_json::from_str(&machine.holdfast(&["doctor", "--json"])).unwrap();
    let findings = found["findings"].as_array().expect("findings");
    assert!(findings.len() > 10, "{found}");
    for finding in findings {
        let is_told = finding["level"] == "good" || finding["remedy"].is_string();
        assert!(is_told, "{finding}");
    }
    assert!(
        found.to_string().contains("of the running engine"),
        "{found}"
    );
    let status = machine.holdfast(&["status"]);
    assert!(status.contains("ready"), "{status}");

    let call = || {
        let load = Command::new(binary("holdfast-load"))
            .args(["calls", "--target", "127.0.0.1:5060", "--calls", "1"])
            .args(["--seconds", "3", "--verify", "--recordings"])
            .arg(machine.work.path().join("lib/recordings"))
            .output()
            .expect("the call");
        assert!(load.status.success(), "{load:?}");
        let list = machine.holdfast(&["recordings", "list", "--last", "1", "--json"]);
        let listed: Value = serde_json::from_str(&list).unwrap();
        let [recording] = listed.as_array().expect("a list").as_slice() else {
            panic!("one recording: {listed}");
        };
        recording["id"].as_str().expect("its id").to_owned()
    };
    let size = |path: &str| -> u64 {
        let size = machine.command(&["stat", "--format=%s", path]);
        let size = String::from_utf8_lossy(&size.expect("it has booted").stdout).into_owned();
        size.trim().parse().expect("a size")
    };
    // 3 s of two lines, 50 packets of 160 octets a second.
    let spoken = 3 * 2 * 50 * 160;

    let id = call();
    machine.holdfast(&["recordings", "show", &id]);
    machine.holdfast(&["recordings", "verify", &id]);
    machine.holdfast(&["recordings", "export", &id, "--to", "/tmp/call"]);
    assert!(size("/tmp/call/audio.wav") > spoken);
    assert!(size("/tmp/call/recording.json") > 0);
    let latency = machine.holdfast(&["latency"]);
    assert!(latency.contains("P99"), "{latency}");

    // G.711 is rendered and its packets are not kept, unless that is wanted.
    let settings = "/etc/holdfast/holdfast.toml";
    let edit = "s/^keep_packets = .*/keep_packets = \"always\"/";
    let edited = machine.command(&["sed", "-i", edit, settings]);
    assert!(edited.is_some_and(|it| it.status.success()));
    machine.holdfast(&["config", "check"]);
    machine.systemctl(&["restart", SERVICES[0], SERVICES[1]]);
    wait_until("the installed services take calls", answers);

    let id = call();
    machine.holdfast(&["recordings", "export", &id, "--pcap", "/tmp/call.pcapng"]);
    assert!(size("/tmp/call.pcapng") > spoken);
    machine.systemctl(&["stop", SERVICES[1], SERVICES[0]]);
}
