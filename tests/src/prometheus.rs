//! A real Prometheus that watches a running system by the rules of config/.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::http::Request;
use crate::tools::{Server, Tool};
use crate::wait::wait_until;

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).expect("a file of config/")
}

/// A Prometheus that looks every second and does not wait before it calls somebody.
#[derive(Debug)]
pub struct Prometheus {
    _server: Server,
    _folder: tempfile::TempDir,
    at: SocketAddr,
}

impl Prometheus {
    /// Starts one that watches this target, with the rules and the configuration of config/.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(prometheus: &Tool, target: SocketAddr) -> Self {
        Self::start_every(1, prometheus, target)
    }

    /// The same for a target that may take so many seconds to answer: it is asked as often.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_every(seconds: u32, prometheus: &Tool, target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a file system and a port for it");
        let rules: Vec<String> = read("config/prometheus/alerts.yml")
            .lines()
            .map(|line| match line.trim_start().starts_with("for: ") {
                true => "        for: 0s".to_owned(),
                false => line.to_owned(),
            })
            .collect();
        std::fs::write(folder.path().join("alerts.yml"), rules.join("\n"))
            .expect("a file system and a port for it");
        let config = read("config/prometheus/prometheus.yml")
            .replace("15s", &format!("{seconds}s"))
            .replace("127.0.0.1:8080", &target.to_string());
        std::fs::write(folder.path().join("prometheus.yml"), config)
            .expect("a file system and a port for it");
        let free =
            std::net::TcpListener::bind("127.0.0.1:0").expect("a file system and a port for it");
        let at = free.local_addr().expect("a file system and a port for it");
        drop(free);
        let listen = format!("--web.listen-address={at}");
        // Debian's build keeps its data in one place of the machine where it is not told another:
        // two at a time wait for its lock, and each finds the series of those before it.
        let arguments = [
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            &listen,
        ];
        let server = prometheus.serve(folder.path(), &arguments);
        Self {
            _server: server,
            _folder: folder,
            at,
        }
    }

    /// The answer to a GET.
    pub fn get(&self, path: &str) -> Option<Value> {
        let response = Request::get(self.at, path).try_send()?;
        (response.status < 500).then(|| response.json())
    }

    /// The answer to a query; `None` where it says nothing yet.
    pub fn query(&self, expression: &str) -> Option<Value> {
        let encoded: String = expression
            .bytes()
            .map(|octet| format!("%{octet:02X}"))
            .collect();
        self.get(&format!("/api/v1/query?query={encoded}"))
    }

    /// Whether a query has any result.
    pub fn finds(&self, expression: &str) -> bool {
        let told = self.query(expression).unwrap_or_default();
        told["data"]["result"][0].is_object()
    }

    /// Whether an alert fires at present.
    pub fn fires(&self, name: &str) -> bool {
        let told = self.get("/api/v1/alerts").unwrap_or_default();
        let alerts = told["data"]["alerts"].as_array();
        alerts
            .into_iter()
            .flatten()
            .any(|it| it["labels"]["alertname"] == name && it["state"] == "firing")
    }

    /// Waits until an alert fires.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn await_alert(&self, name: &str) {
        wait_until(&format!("{name} fires"), || self.fires(name));
    }
}
