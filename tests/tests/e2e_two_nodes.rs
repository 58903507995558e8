//! Two nodes and a real Redis server: a client goes on at the other node, and the store is away for a
//! while. Where there is no `redis-server`, each test says so and passes.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_e2e::cable::Cable;
use holdfast_e2e::caller::{Call, Caller};
use holdfast_e2e::process::binary;
use holdfast_e2e::script::{Ask, Script};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{Talk, assert_recorded};
use holdfast_e2e::tools::{Tool, skipped};
use holdfast_e2e::wait::wait_until;
use holdfast_load::invite::Codec;
use holdfast_load::verify::check_channel;
use holdfast_load::wav::Wav;
use holdfast_manifest::{EndReason, JOINED, Manifest, PartCause};
use tempfile::TempDir;

/// A Redis server that keeps what it has been told, on a port of its own.
struct Redis {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Redis {
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("its number").port();
        drop(socket);
        let Some(child) = Self::spawn(port, folder.path()) else {
            skipped("redis-server is not installed");
            return None;
        };
        let redis = Self {
            child,
            port,
            folder,
        };
        redis.await_answer();
        Some(redis)
    }

    fn spawn(port: u16, folder: &Path) -> Option<Child> {
        let port = port.to_string();
        Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()
    }

    fn await_answer(&self) {
        wait_until("Redis answers", || self.ask(&["ping"]).trim() == "PONG");
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(arguments);
        let output = command.output().expect("redis-cli");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn kill(&mut self) {
        self.child.kill().expect("a process");
        self.child.wait().expect("its end");
    }

    fn start_again(&mut self) {
        self.child = Self::spawn(self.port, self.folder.path()).expect("redis-server");
        self.await_answer();
    }

    /// A node that shares this server with the others; all have the same key.
    fn node(&self, name: &str) -> Options {
        Self::node_at(name, self.port)
    }

    /// One that reaches it at another port.
    fn node_at(name: &str, port: u16) -> Options {
        Options::new()
            .node(name)
            .file("node.key", &format!("{}=\n", "A".repeat(43)))
            .set_file("node", "key_file", "node.key")
            .set("store", "kind = \"redis\"")
            .set("store", &format!("servers = [\"127.0.0.1:{port}\"]"))
            .set("media", "orphan_timeout = \"5 s\"")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The client of a call goes on at another node, by an INVITE with Replaces (RFC 3891) and all of its
/// metadata (RFC 7866 §9.2).
fn go_on_at(node: &System, old: &Script, session: u32) -> (Script, Caller, Call) {
    let mut new = Script::new(node);
    let mut caller = Caller::new(node);
    let mut prepared = caller.prepare(Codec::Pcmu);
    // Another call number, so that what it says is told from what was said before.
    prepared.number += 100;
    prepared.offer.session = session;
    let tag = old.to_tag.clone().expect("a tag of the server's");
    let named = format!("{};to-tag={tag};from-tag={}", old.call_id, old.from_tag);
    let ask = Ask::invite().header("Replaces", &named);
    let response = new.open(&ask.body(&prepared.offer.multipart()));
    let call = new.call(prepared, &response);
    (new, caller, call)
}

/// The host dies, the client goes on at the other one by INVITE with Replaces: one id, two parts, and
/// joined they are one recording with the gap between.
#[test]
fn the_client_goes_on_at_the_other_node_with_replaces() {
    let Some(redis) = Redis::start() else {
        return;
    };
    let mut first = System::start(&redis.node("recorder-1"));
    let second = System::start(&redis.node("recorder-2"));
    let mut caller = Caller::new(&first);
    let mut old = Script::new(&first);
    let prepared = caller.prepare(Codec::Pcmu);
    let session = prepared.offer.session;
    let call = old.place(prepared);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(1_000));
    first.signaling.kill();
    first.engine.kill();
    let before = talk.finish();

    let (mut new, mut other, next) = go_on_at(&second, &old, session);
    let talk = Talk::start(&next);
    other.stay(Duration::from_millis(1_000));
    let after = talk.finish();
    new.hang_up();
    let later = second.published(&new.call_id).manifest;
    let continues = later.call.continues.clone().expect("what it goes on from");
    assert_eq!(continues.cause, PartCause::Replaced);
    assert_eq!(continues.node.as_deref(), Some("recorder-1"));

    // The host comes back, and publishes what it had.
    first.engine.start();
    first.signaling.start();
    let earlier = first.published(&old.call_id).manifest;
    assert_eq!(earlier.id, later.id, "one recording");
    assert!(earlier.started < later.started);
    assert_ne!(earlier.end_reason, EndReason::Bye);

    let holdfast = Tool::at(binary("holdfast"));
    let (id, from) = (
        later.id.to_string(),
        first.recordings().display().to_string(),
    );
    let dir = second.recordings().display().to_string();
    let join = ["recordings", "join", &id, "--dir", &dir, "--from", &from];
    holdfast.output(second.root(), &join);
    let name = format!("{id}.joined");
    let verify = ["recordings", "verify", &name, "--dir", &dir];
    holdfast.output(second.root(), &verify);
    let all = second.all_recordings();
    let joined = all.iter().find(|it| it.manifest.part == JOINED);
    let joined = joined.expect("what was joined");
    let parts = &joined.manifest.parts;
    let gap = parts[1].continues.as_ref().and_then(|it| it.gap_ms);
    let between = later.started.since(earlier.recorded_until());
    assert_eq!(gap, Some(between.as_millis() as i64));
    assert!(
        earlier.recorded_until() < later.started,
        "nobody recorded between"
    );
    let length = joined.manifest.duration_ms;
    let sum = later.ended.since(earlier.started).as_millis() as u64;
    assert!(length.abs_diff(sum) <= 1, "{length} of {sum}");
    assert_eq!(joined.manifest.call.formers[0].sip.call_id, old.call_id);
    // What either heard is on the same participants' channels, octet for octet.
    let audio = Wav::open(&joined.folder.join("audio.wav")).expect("audio");
    for (index, (before, after)) in before.iter().zip(&after).enumerate() {
        let samples = &audio.channels[index];
        let middle = parts[1].from_ms as usize * 8;
        let (early, late) = samples.split_at(middle);
        let early = check_channel(early, &before.plan);
        // The datagrams of the system call in which the engine died.
        assert!(early.wrong == 0 && early.missing <= 32, "{early:?}");
        let late = check_channel(late, &after.plan);
        assert!(late.is_perfect(), "{late:?}");
    }
    let json = std::fs::read(joined.folder.join("recording.json")).expect("a manifest");
    assert!(Manifest::from_json(&json).is_ok());
}

/// Redis dies under a call, and comes back: the call goes on, a new one is taken and says so, and what
/// was to be saved meanwhile is there for the process after.
#[test]
fn calls_go_on_while_the_store_is_away_and_are_caught_up_with() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let mut system = System::start(&redis.node("recorder-1"));
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    redis.kill();
    wait_until("the store is found to be away", || {
        system.signaling.log().contains("dialogs are not saved")
    });
    let mut script = Script::new(&system);
    let new = script.place(caller.prepare(Codec::Pcmu));
    let beside = Talk::start(&new);
    let again = call.offer.clone();
    caller.request(
        &call,
        holdfast_load::uac::Method::Update,
        Some(&again.metadata_body()),
    );
    redis.start_again();
    wait_until("both calls are in the store", || {
        let known = redis.ask(&["scard", "{holdfast}:calls:recorder-1"]);
        known.trim() == "2"
    });
    // Whoever comes after knows both.
    system.signaling.kill();
    system.signaling.start();
    system.await_ready();
    script.ok(&Ask::new("UPDATE"));
    let (legs, other) = (talk.finish(), beside.finish());
    caller.hang_up(&call);
    script.hang_up();
    assert_recorded(&system, &call, legs);
    let published = assert_recorded(&system, &new, other);
    let warnings = &published.manifest.call.warnings;
    assert!(
        warnings.iter().any(|one| one.code == "dialog_not_saved"),
        "{warnings:?}"
    );
}

/// A split network: one of two nodes that live loses the store, and the client goes on at the other one.
/// Meanwhile the first one still has the dialog and is talked to. What it had to save is fenced off when
/// the way is there again: it learns whose the call is, publishes its part, and both are joined.
#[test]
fn a_node_cut_off_from_the_store_does_not_keep_a_call_that_another_one_has() {
    let Some(redis) = Redis::start() else {
        return;
    };
    let cable = Cable::lay(([127, 0, 0, 1], redis.port).into());
    let first = System::start(&Redis::node_at("recorder-1", cable.address.port()));
    let second = System::start(&redis.node("recorder-2"));
    let mut caller = Caller::new(&first);
    let mut old = Script::new(&first);
    let prepared = caller.prepare(Codec::Pcmu);
    let session = prepared.offer.session;
    let call = old.place(prepared);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(600));
    cable.cut();
    wait_until("the store is found to be away", || {
        first.signaling.log().contains("dialogs are not saved")
    });
    // It goes on, with something to be saved.
    old.ok(&Ask::new("UPDATE"));
    let before = talk.finish();

    let (mut new, mut other, next) = go_on_at(&second, &old, session);
    let talk = Talk::start(&next);
    let owned = |name: &str| redis.ask(&["scard", &format!("{{holdfast}}:calls:{name}")]);
    wait_until("the store has it as the other one's", || {
        owned("recorder-2").trim() == "1"
    });

    cable.mend();
    let earlier = first.published(&old.call_id).manifest;
    assert_eq!(earlier.end_reason, EndReason::TakenOver);
    assert_eq!(owned("recorder-1").trim(), "0", "it did not take it back");
    assert_eq!(owned("recorder-2").trim(), "1", "nor away");
    other.stay(Duration::from_millis(300));
    let after = talk.finish();
    new.hang_up();
    let later = second.published(&new.call_id).manifest;
    assert_eq!(later.end_reason, EndReason::Bye);
    assert_eq!(earlier.id, later.id, "one recording");

    let holdfast = Tool::at(binary("holdfast"));
    let (id, dir) = (
        later.id.to_string(),
        second.recordings().display().to_string(),
    );
    let from = first.recordings().display().to_string();
    let join = ["recordings", "join", &id, "--dir", &dir, "--from", &from];
    holdfast.output(second.root(), &join);
    let all = second.all_recordings();
    let joined = all.iter().find(|it| it.manifest.part == JOINED);
    let joined = joined.expect("what was joined");
    assert_eq!(joined.manifest.parts.len(), 2);
    let audio = Wav::open(&joined.folder.join("audio.wav")).expect("audio");
    let middle = joined.manifest.parts[1].from_ms as usize * 8;
    for (index, (before, after)) in before.iter().zip(&after).enumerate() {
        let (early, late) = audio.channels[index].split_at(middle);
        for (half, plan) in [(early, &before.plan), (late, &after.plan)] {
            let verdict = check_channel(half, plan);
            assert!(verdict.is_perfect(), "channel {index}: {verdict:?}");
        }
    }
}

/// A server that asks for a password: the right one, read from a file, opens it; a wrong one ends the
/// process with what is wrong. Neither is ever said.
#[test]
fn the_password_of_the_store_comes_from_a_file_and_is_never_said() {
    let Some(redis) = Redis::start() else {
        return;
    };
    let (right, wrong) = ("correct-horse-7c1f", "battery-staple-93de");
    assert_eq!(
        redis.ask(&["config", "set", "requirepass", right]).trim(),
        "OK"
    );
    let with = |password: &str| {
        redis
            .node("recorder-1")
            .file("store.password", &format!("{password}\n"))
            .set_file("store", "password_file", "store.password")
            .set("log", "level = \"debug\"")
    };
    let system = System::start(&with(right));
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let owned = ["-a", right, "scard", "{holdfast}:calls:recorder-1"];
    assert_eq!(redis.ask(&owned).trim(), "1", "its dialog is there");
    caller.hang_up(&call);
    system.published(&call.call_id);
    for log in [system.signaling.log(), system.engine.log()] {
        assert!(!log.contains(right), "{log}");
    }
    let said = System::refusal(&with(wrong));
    assert!(said.contains("store.password_file"), "{said}");
    assert!(!said.contains(wrong) && !said.contains(right), "{said}");
    // None at all.
    let said = System::refusal(&redis.node("recorder-1"));
    assert!(said.contains("store.password_file"), "{said}");
}
