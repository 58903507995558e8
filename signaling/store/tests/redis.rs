//! Two nodes and a real Redis server: leases, adoption, fencing. Where there is no `redis-server`,
//! this says so and passes.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast_store::{Change, Dialog, Home as _, Redis, RedisConfig, RedisMode, Row};
use holdfast_units::RecordingId;
use tempfile::TempDir;

const LEASE: Duration = Duration::from_millis(600);

struct Server {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Server {
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--requirepass", "secret", "--appendonly", "yes"])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!("SKIPPED: there is no redis-server");
            return None;
        };
        let server = Self {
            child,
            port,
            _folder: folder,
        };
        for _ in 0..500 {
            if Redis::open(server.config("probe"), || false).is_ok() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not answer");
    }

    fn config(&self, node: &str) -> RedisConfig {
        RedisConfig {
            servers: vec![("127.0.0.1".to_owned(), self.port)],
            mode: RedisMode::Standalone,
            tls: None,
            user: String::new(),
            password: "secret".to_owned(),
            prefix: "test".to_owned(),
            node: node.to_owned(),
            lease: LEASE,
        }
    }

    fn node(&self, name: &str) -> Redis {
        Redis::open(self.config(name), || true).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn id(number: u8) -> RecordingId {
    RecordingId::from_bytes([number; 16])
}

fn dialog(number: u8) -> Dialog {
    Dialog {
        call_id: format!("call-{number}"),
        local_tag: "ours".to_owned(),
        remote_tag: "theirs".to_owned(),
    }
}

fn put(number: u8, state: &str) -> Change {
    Change::Put(Row {
        recording: id(number),
        dialog: Some(dialog(number)),
        is_adopted: false,
        state: state.as_bytes().to_vec(),
        age: None,
    })
}

fn states(mut rows: Vec<Row>) -> Vec<(RecordingId, String)> {
    rows.sort_by_key(|row| row.recording);
    let text = |row: Row| (row.recording, String::from_utf8(row.state).unwrap());
    rows.into_iter().map(text).collect()
}

/// Lets a lease lapse: by the server's clock, which nobody can turn.
fn lapse() {
    std::thread::sleep(LEASE + Duration::from_millis(200));
}

#[test]
fn a_process_finds_what_the_one_before_has_left() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut first = server.node("a");
    let none = first
        .commit(&[put(1, "x"), put(2, "y"), put(1, "z")])
        .unwrap();
    assert_eq!(none, []);
    first.commit(&[Change::Remove(id(2))]).unwrap();
    let mut second = server.node("a");
    assert_eq!(states(second.load().unwrap()), [(id(1), "z".to_owned())]);
    // The one before is fenced, though it has the same name: its epoch is over.
    assert_eq!(first.commit(&[put(1, "old")]).unwrap(), [id(1)]);
    assert_eq!(second.commit(&[put(1, "new")]).unwrap(), []);
}

#[test]
fn a_standby_adopts_when_the_lease_has_lapsed_and_not_before() {
    let Some(server) = Server::start() else {
        return;
    };
    let (mut a, mut b) = (server.node("a"), server.node("b"));
    a.commit(&[put(1, "x"), put(2, "y")]).unwrap();
    for _ in 0..4 {
        assert_eq!(a.tend().unwrap(), []);
        assert_eq!(b.tend().unwrap(), [], "it lives");
        std::thread::sleep(LEASE / 3);
    }
    lapse();
    let adopted = states(b.tend().unwrap());
    assert_eq!(adopted, [(id(1), "x".to_owned()), (id(2), "y".to_owned())]);
    assert_eq!(b.tend().unwrap(), [], "once");
    assert_eq!(b.commit(&[put(1, "b's")]).unwrap(), []);
    // The other one lives after all, and learns that it has lost them; what is new is its own.
    assert_eq!(a.commit(&[put(1, "a's"), put(3, "new")]).unwrap(), [id(1)]);
    assert_eq!(a.commit(&[Change::Remove(id(2))]).unwrap(), []);
    let mut b = server.node("b");
    let kept = states(b.load().unwrap());
    assert_eq!(kept, [(id(1), "b's".to_owned()), (id(2), "y".to_owned())]);
    assert_eq!(
        states(server.node("a").load().unwrap()),
        [(id(3), "new".to_owned())]
    );
}

/// The one that was cut off saves all of its calls when it is back: those that have ended elsewhere
/// meanwhile must not come to life again.
#[test]
fn an_adopted_call_that_has_ended_is_not_brought_back() {
    let Some(server) = Server::start() else {
        return;
    };
    let (mut a, mut b) = (server.node("a"), server.node("b"));
    a.commit(&[put(1, "x")]).unwrap();
    lapse();
    assert_eq!(b.tend().unwrap().len(), 1);
    b.commit(&[Change::Remove(id(1))]).unwrap();
    assert_eq!(a.commit(&[put(1, "x")]).unwrap(), [id(1)]);
    assert_eq!(server.node("a").load().unwrap(), []);
}

/// The standby takes nothing as long as it has not the address of the other one.
#[test]
fn a_standby_without_the_address_adopts_nothing() {
    let Some(server) = Server::start() else {
        return;
    };
    let has_address = Arc::new(AtomicBool::new(false));
    let asked = has_address.clone();
    let mut b = Redis::open(server.config("b"), move || asked.load(Ordering::Relaxed)).unwrap();
    server.node("a").commit(&[put(1, "x")]).unwrap();
    lapse();
    assert_eq!(b.tend().unwrap(), []);
    has_address.store(true, Ordering::Relaxed);
    assert_eq!(b.tend().unwrap().len(), 1);
}

#[test]
fn concurrent_recovery_by_two_nodes_gives_each_call_one_owner() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut a = server.node("a");
    let calls: Vec<Change> = (1..=200).map(|number| put(number, "x")).collect();
    a.commit(&calls).unwrap();
    lapse();
    let mut found: Vec<RecordingId> = std::thread::scope(|scope| {
        let adopt = |name: &'static str| {
            let mut node = server.node(name);
            scope.spawn(move || node.tend().unwrap())
        };
        let threads = [adopt("b"), adopt("c"), adopt("d")];
        let rows = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        rows.map(|row| row.recording).collect()
    });
    found.sort_unstable();
    let all: Vec<RecordingId> = (1..=200).map(id).collect();
    assert_eq!(found, all);
}

/// For an INVITE with Replaces: found by any node, and its own from its first state on.
#[test]
fn a_call_is_found_by_its_dialog_and_taken_with_the_first_state() {
    let Some(server) = Server::start() else {
        return;
    };
    let (mut a, mut b) = (server.node("a"), server.node("b"));
    a.commit(&[put(1, "x")]).unwrap();
    assert_eq!(b.find(&dialog(2)).unwrap(), None);
    let row = b.find(&dialog(1)).unwrap().unwrap();
    assert_eq!((row.recording, row.state.as_slice()), (id(1), &b"x"[..]));
    assert_eq!(a.commit(&[put(1, "still a's")]).unwrap(), []);
    assert_eq!(b.commit(&[put(1, "too early")]).unwrap(), [id(1)]);
    let taken = Change::Put(Row {
        recording: id(1),
        dialog: Some(dialog(9)),
        is_adopted: true,
        state: b"b's".to_vec(),
        age: None,
    });
    assert_eq!(b.commit(&[taken]).unwrap(), []);
    assert_eq!(a.commit(&[put(1, "late")]).unwrap(), [id(1)]);
    assert_eq!(
        a.find(&dialog(1)).unwrap(),
        None,
        "its dialog is another one now"
    );
    assert_eq!(a.find(&dialog(9)).unwrap().unwrap().state, b"b's");
}

/// Whoever goes on with a call counts its deadlines by that.
#[test]
fn how_old_a_state_is_the_server_says_to_whoever_reads_it() {
    let Some(server) = Server::start() else {
        return;
    };
    let (mut a, mut b) = (server.node("a"), server.node("b"));
    let saved_at = std::time::Instant::now();
    a.commit(&[put(1, "x")]).unwrap();
    lapse();
    let age = |row: &Row| row.age.expect("the server has a clock");
    let found = age(&b.find(&dialog(1)).unwrap().unwrap());
    let adopted = age(&b.tend().unwrap()[0]);
    let loaded = age(&server.node("b").load().unwrap()[0]);
    assert!(LEASE <= found && found <= adopted && adopted <= loaded);
    assert!(loaded <= saved_at.elapsed() + Duration::from_millis(1));
    // A state that is saved anew is new.
    let mut b = server.node("b");
    b.load().unwrap();
    let saved_at = std::time::Instant::now();
    assert_eq!(b.commit(&[put(1, "y")]).unwrap(), []);
    let found = age(&b.find(&dialog(1)).unwrap().unwrap());
    assert!(found <= saved_at.elapsed() + Duration::from_millis(1));
}

#[test]
fn a_wrong_password_and_a_server_that_is_not_there_are_told() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut config = server.config("a");
    config.password = "guess".to_owned();
    assert!(Redis::open(config.clone(), || true).is_err());
    assert!(!format!("{config:?}").contains("guess"));
    config.servers = vec![("127.0.0.1".to_owned(), 1)];
    assert!(Redis::open(config, || true).is_err());
}
