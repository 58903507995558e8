//! Real Redis servers behind Sentinels, as a cluster, and over TLS with a password. Where there is no
//! `redis-server`, this says so and passes.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holdfast_store::{Change, Home as _, Redis, RedisConfig, RedisMode, Row};
use holdfast_units::RecordingId;
use tempfile::TempDir;

const LEASE: Duration = Duration::from_millis(600);

/// One process, ended with the test.
struct Process(Child);

impl Process {
    /// Runs `redis-server` with these arguments in a folder; `None` where there is none.
    fn start(folder: &Path, arguments: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let child = Command::new("redis-server")
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Self(child)),
            Err(_) => {
                eprintln!("SKIPPED: there is no redis-server");
                None
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ports<const N: usize>() -> [u16; N] {
    let sockets: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

fn config(mode: RedisMode, ports: &[u16], node: &str) -> RedisConfig {
    RedisConfig {
        servers: ports
            .iter()
            .map(|port| ("127.0.0.1".to_owned(), *port))
            .collect(),
        mode,
        tls: None,
        user: String::new(),
        password: String::new(),
        prefix: "test".to_owned(),
        node: node.to_owned(),
        lease: LEASE,
    }
}

/// Tries again until it does, as whoever uses a store has to.
fn until_it_does<T, E: std::fmt::Debug>(mut step: impl FnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match step() {
            Ok(value) => return value,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(30), "{error:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn id(number: u8) -> RecordingId {
    RecordingId::from_bytes([number; 16])
}

fn put(number: u8, state: &str) -> Change {
    Change::Put(Row {
        recording: id(number),
        dialog: None,
        is_adopted: false,
        state: state.as_bytes().to_vec(),
        age: None,
    })
}

fn states(rows: Vec<Row>) -> Vec<(RecordingId, String)> {
    let text = |row: Row| (row.recording, String::from_utf8(row.state).unwrap());
    rows.into_iter().map(text).collect()
}

/// All that a node does: it saves, another one adopts when the lease has lapsed, the first is fenced.
fn exercise(open: impl Fn(&str) -> Redis) {
    let (mut a, mut b) = (open("a"), open("b"));
    assert_eq!(a.commit(&[put(1, "x"), put(2, "y")]).unwrap(), []);
    a.commit(&[Change::Remove(id(2))]).unwrap();
    assert_eq!(states(open("a").load().unwrap()), [(id(1), "x".to_owned())]);
    std::thread::sleep(LEASE + Duration::from_millis(200));
    assert_eq!(states(b.tend().unwrap()), [(id(1), "x".to_owned())]);
    assert_eq!(b.commit(&[put(1, "b's")]).unwrap(), []);
    assert_eq!(a.commit(&[put(1, "a's")]).unwrap(), [id(1)]);
    assert_eq!(
        states(open("b").load().unwrap()),
        [(id(1), "b's".to_owned())]
    );
}

fn redis_cli(arguments: &[&str]) -> String {
    let output = Command::new("redis-cli").args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn over_tls_with_a_password_and_the_authority_of_the_server() {
    let folder = TempDir::new().unwrap();
    let [port] = ports();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("server.pem", certificate.pem());
    write("server.key", key.serialize_pem());
    let tls_port = port.to_string();
    let arguments = [
        "--port",
        "0",
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        "server.pem",
        "--tls-key-file",
        "server.key",
        "--tls-ca-cert-file",
        "server.pem",
        "--tls-auth-clients",
        "no",
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--requirepass",
        "secret",
    ];
    let Some(_server) = Process::start(folder.path(), &arguments) else {
        return;
    };
    let config = |node: &str| RedisConfig {
        tls: Some(certificate.pem().into_bytes()),
        password: "secret".to_owned(),
        ..config(RedisMode::Standalone, &[port], node)
    };
    until_it_does(|| Redis::open(config("probe"), || false));
    exercise(|node| Redis::open(config(node), || true).unwrap());
    // Another authority, no TLS at all, a wrong password: none gets in.
    let other = rcgen::KeyPair::generate().unwrap();
    let stranger = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let stranger = stranger.self_signed(&other).unwrap();
    for wrong in [
        RedisConfig {
            tls: Some(stranger.pem().into_bytes()),
            ..config("c")
        },
        RedisConfig {
            tls: None,
            ..config("c")
        },
        RedisConfig {
            password: "guess".to_owned(),
            ..config("c")
        },
    ] {
        assert!(Redis::open(wrong, || true).is_err());
    }
}

#[test]
fn behind_sentinels_that_make_another_server_the_master() {
    let folder = TempDir::new().unwrap();
    let [first, second, sentinel] = ports();
    let (first_port, second_port) = (first.to_string(), second.to_string());
    let common = [
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--repl-diskless-sync-delay",
        "0",
    ];
    let master = [&["--port", &first_port][..], &common].concat();
    let Some(master) = Process::start(&folder.path().join("1"), &master) else {
        return;
    };
    let replica = [
        "--port",
        &second_port,
        "--replicaof",
        "127.0.0.1",
        &first_port,
    ];
    let replica = [&replica[..], &common].concat();
    let _replica = Process::start(&folder.path().join("2"), &replica);
    let rules = format!(
        "port {sentinel}\nbind 127.0.0.1\nsentinel monitor holdfast 127.0.0.1 {first} 1\n\
         sentinel down-after-milliseconds holdfast 500\nsentinel failover-timeout holdfast 2000\n"
    );
    let file = folder.path().join("sentinel.conf");
    std::fs::write(&file, rules).unwrap();
    let arguments = [file.to_str().unwrap(), "--sentinel"];
    let _sentinel = Process::start(&folder.path().join("s"), &arguments);
    let mode = || RedisMode::Sentinel("holdfast".to_owned());
    let open =
        |node: &str| until_it_does(|| Redis::open(config(mode(), &[sentinel], node), || true));
    exercise(open);
    // The replica is known to the Sentinel and has everything.
    let sentinel_port = sentinel.to_string();
    until_it_does(|| {
        let known = redis_cli(&["-p", &sentinel_port, "sentinel", "replicas", "holdfast"]);
        let has_all = redis_cli(&["-p", &second_port, "hget", "{test}:call:none", "x"]);
        let state = redis_cli(&["-p", &second_port, "info", "replication"]);
        let is_ready = known.contains(&second_port) && state.contains("master_link_status:up");
        is_ready.then_some(()).ok_or((known, has_all, state))
    });
    let mut node = open("c");
    node.commit(&[put(9, "before")]).unwrap();
    assert_eq!(
        redis_cli(&["-p", &first_port, "wait", "1", "5000"]).trim(),
        "1"
    );
    drop(master);
    until_it_does(|| node.commit(&[put(9, "after")]));
    assert_eq!(
        states(open("c").load().unwrap()),
        [(id(9), "after".to_owned())]
    );
    let role = redis_cli(&["-p", &second_port, "role"]);
    assert!(role.starts_with("master"), "{role}");
}

#[test]
fn a_cluster_of_three() {
    let folder = TempDir::new().unwrap();
    // The bus of the cluster is 10,000 above, which has to be a port too.
    let ports: [u16; 3] = ports().map(|port: u16| 20_000 + port % 20_000);
    let mut servers = Vec::new();
    for port in ports {
        let text = port.to_string();
        let arguments = [
            "--port",
            &text,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "2000",
        ];
        let Some(server) = Process::start(&folder.path().join(&text), &arguments) else {
            return;
        };
        servers.push(server);
    }
    for port in ports {
        until_it_does(|| {
            let answer = redis_cli(&["-p", &port.to_string(), "ping"]);
            (answer.trim() == "PONG").then_some(()).ok_or(answer)
        });
    }
    let addresses = ports.map(|port| format!("127.0.0.1:{port}"));
    let mut create = vec!["--cluster", "create"];
    create.extend(addresses.iter().map(String::as_str));
    create.push("--cluster-yes");
    redis_cli(&create);
    for port in ports {
        until_it_does(|| {
            let state = redis_cli(&["-p", &port.to_string(), "cluster", "info"]);
            state
                .contains("cluster_state:ok")
                .then_some(())
                .ok_or(state)
        });
    }
    // One of them is named: the others are found.
    let open = |node: &str| {
        until_it_does(|| Redis::open(config(RedisMode::Cluster, &ports[..1], node), || true))
    };
    exercise(open);
}
