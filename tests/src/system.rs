//! Both processes in a folder and on ports of their own.

use std::fs::Permissions;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_load::agent::{Agent, Way};
use holdfast_load::uac::Event;
use holdfast_load::verify::{Library, Published};
use holdfast_manifest::{FILE_NAME, Manifest};
use tempfile::TempDir;

use crate::caller::run_name;
use crate::certificates::{Authority, Identity};
use crate::ports::{MEDIA_PORTS_MAX, PortSlot};
use crate::process::Process;
use crate::search::files;
use crate::supervisor::Supervisor;
use crate::wait::wait_for;

/// How a system differs from the usual one.
#[derive(Clone, Debug)]
pub struct Options {
    node: String,
    host: IpAddr,
    media_ports: u16,
    within: Vec<String>,
    /// Further lines of a table of the settings.
    lines: Vec<(&'static str, String)>,
    /// Tables of peers.
    peers: Vec<String>,
    /// Files beside the settings.
    files: Vec<(String, String)>,
    is_tls: bool,
    is_ring: bool,
    is_supervised: bool,
}

/// A running system. Dropping it ends both processes and takes the folder away.
#[derive(Debug)]
pub struct System {
    /// The media engine.
    pub engine: Process,
    /// The SIP side.
    pub signaling: Process,
    host: IpAddr,
    slot: PortSlot,
    dir: TempDir,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            node: "e2e".to_owned(),
            host: Ipv4Addr::LOCALHOST.into(),
            media_ports: MEDIA_PORTS_MAX,
            within: Vec::new(),
            lines: Vec::new(),
            peers: Vec::new(),
            files: Vec::new(),
            is_tls: false,
            is_ring: false,
            is_supervised: false,
        }
    }
}

impl Options {
    /// The usual system: all defaults of the settings, but its own folder and ports.
    pub fn new() -> Self {
        Self::default()
    }

    /// Is a node of this name.
    #[must_use]
    pub fn node(mut self, name: &str) -> Self {
        name.clone_into(&mut self.node);
        self
    }

    /// Listens on another address than 127.0.0.1.
    #[must_use]
    pub fn host(mut self, host: impl Into<IpAddr>) -> Self {
        self.host = host.into();
        self
    }

    /// Has so many ports for media; a stream takes two.
    #[must_use]
    pub fn media_ports(mut self, count: u16) -> Self {
        self.media_ports = count;
        self
    }

    /// Runs both processes within another program, such as `ip netns exec NAME`.
    #[must_use]
    pub fn within(mut self, command: &[&str]) -> Self {
        self.within = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// A line of a table of the settings: `set("sip", "max_calls = 1")`.
    #[must_use]
    pub fn set(mut self, table: &'static str, line: &str) -> Self {
        self.lines.push((table, line.to_owned()));
        self
    }

    /// A `[[peer]]`, of these lines.
    #[must_use]
    pub fn peer(mut self, lines: &str) -> Self {
        self.peers.push(lines.to_owned());
        self
    }

    /// A file beside the settings, that its owner alone may read.
    #[must_use]
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Takes packets by the packet ring; the usual one has plain sockets.
    #[must_use]
    pub const fn ring(mut self) -> Self {
        self.is_ring = true;
        self
    }

    /// Has each process started by a supervisor that keeps its descriptors.
    #[must_use]
    pub const fn supervised(mut self) -> Self {
        self.is_supervised = true;
        self
    }

    /// Listens on TLS too, with this certificate.
    #[must_use]
    pub fn tls(mut self, identity: &Identity) -> Self {
        self.is_tls = true;
        self.file("server.pem", &identity.certificate)
            .file("server.key", &identity.key)
            .set_file("tls", "certificate", "server.pem")
            .set_file("tls", "key", "server.key")
    }

    /// Asks clients for a certificate of this authority: `optional` or `required`.
    #[must_use]
    pub fn client_ca(self, authority: &Authority, demand: &str) -> Self {
        self.file("ca.pem", &authority.pem)
            .set_file("tls", "client_ca", "ca.pem")
            .set("tls", &format!("client_certificates = \"{demand}\""))
    }

    /// A key whose value is a file beside the settings.
    #[must_use]
    pub fn set_file(self, table: &'static str, key: &str, name: &str) -> Self {
        self.set(table, &format!("{key} = \"{{root}}/{name}\""))
    }

    /// Writes everything into `root`; gives the settings file.
    fn write(&self, root: &Path, slot: &PortSlot) -> PathBuf {
        for (name, content) in &self.files {
            write_private(&root.join(name), content);
        }
        let config = root.join("holdfast.toml");
        std::fs::write(&config, self.settings(root, slot)).expect("settings");
        config
    }

    /// A line of a table, unless the test has one with the same key.
    fn unless_said(&self, table: &str, key: &str, value: &str) -> String {
        let is_said = |(of, line): &(&str, String)| *of == table && line.starts_with(key);
        match self.lines.iter().any(is_said) {
            true => String::new(),
            false => format!("{key} = \"{value}\"\n"),
        }
    }

    /// The settings file.
    fn settings(&self, root: &Path, slot: &PortSlot) -> String {
        let (root, sip) = (root.display(), SocketAddr::new(self.host, slot.sip()));
        let (first, last) = slot.media(self.media_ports);
        let sips = SocketAddr::new(self.host, slot.sips());
        let tls = self.is_tls.then(|| format!(", \"tls:{sips}\""));
        let tls = tls.unwrap_or_default();
        let http = self.unless_said("http", "listen", &format!("127.0.0.1:{}", slot.http()));
        // The disk of a machine that was just built on may take seconds for a sync, and most tests are
        // about something else.
        let engine_answer = self.unless_said("sip", "engine_answer_timeout", "20 s");
        let store_answer = self.unless_said("store", "answer_timeout", "20 s");
        let ingest = if self.is_ring { "packet-ring" } else { "udp" };
        let tables = [
            (
                "node",
                format!(
                    "name = \"{}\"\nstate_dir = \"{root}/state\"\n\
                     control_socket = \"{root}/control.sock\"\n\
                     operator_socket = \"{root}/operator.sock\"\n",
                    self.node
                ),
            ),
            (
                "sip",
                format!("listen = [\"udp:{sip}\", \"tcp:{sip}\"{tls}]\n{engine_answer}"),
            ),
            ("tls", String::new()),
            ("access", String::new()),
            ("digest", String::new()),
            ("store", store_answer),
            (
                "media",
                format!("ingest = \"{ingest}\"\nports = \"{first}-{last}\"\n"),
            ),
            ("srtp", String::new()),
            ("journal", "segment_size = \"4 MiB\"\n".to_owned()),
            ("recordings", format!("dir = \"{root}/recordings\"\n")),
            ("http", http),
            ("lifecycle", String::new()),
            ("log", String::new()),
        ];
        let mut text = String::new();
        for (name, mut table) in tables {
            for (_, line) in self.lines.iter().filter(|(table, _)| *table == name) {
                table.push_str(line);
                table.push('\n');
            }
            text.push_str(&format!("[{name}]\n{table}"));
        }
        for peer in &self.peers {
            text.push_str(&format!("[[peer]]\n{peer}\n"));
        }
        text.replace("{root}", &root.to_string())
    }
}

impl System {
    /// Starts both processes and waits until they take calls.
    ///
    /// # Panics
    /// When they don't.
    pub fn start(options: &Options) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("holdfast-e2e.")
            .tempdir()
            .expect("a folder");
        // A host within another program, such as a namespace, is none of this one's addresses.
        let is_here = options.within.is_empty();
        let slot = PortSlot::claim(if is_here {
            options.host
        } else {
            Ipv4Addr::LOCALHOST.into()
        });
        let config = options.write(dir.path(), &slot);
        let process = |name| {
            let log = dir.path().join(format!("{name}.log"));
            let process = Process::new(name, &options.within, &config, log);
            match options.is_supervised {
                true => {
                    let socket = dir.path().join(format!("{name}.notify"));
                    process.supervised(Supervisor::listen(&socket))
                }
                false => process,
            }
        };
        let mut system = Self {
            engine: process("holdfast-media"),
            signaling: process("holdfast-signaling"),
            host: options.host,
            slot,
            dir,
        };
        system.engine.start();
        system.signaling.start();
        system.await_ready();
        system
    }

    /// Starts the SIP side alone, which has to end by itself without having begun; gives what it
    /// says.
    ///
    /// # Panics
    /// When it begins.
    pub fn refusal(options: &Options) -> String {
        let dir = tempfile::tempdir().expect("a folder");
        let slot = PortSlot::claim(options.host);
        let config = options.write(dir.path(), &slot);
        let log = dir.path().join("signaling.log");
        let mut signaling = Process::new("holdfast-signaling", &options.within, &config, log);
        signaling.start();
        let status = signaling.wait();
        assert!(!status.success(), "it has ended well");
        signaling.log()
    }

    /// Waits until an INVITE would be welcome.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn await_ready(&mut self) {
        wait_for("OPTIONS is answered 200", || {
            for process in [&mut self.engine, &mut self.signaling] {
                assert!(process.is_running(), "a process has ended: see its log");
            }
            match self.options_status() {
                Some(200) => Some(()),
                // Not to everybody; then its log has to tell.
                Some(403 | 480) => self.says_ready().then_some(()),
                _ => None,
            }
        });
    }

    /// Whether the SIP side has found the engine since it was started last.
    fn says_ready(&self) -> bool {
        let log = self.signaling.log();
        let started = log.rfind("point an SRC to");
        started.is_some() && log.rfind("the media engine is ready") > started
    }

    /// What OPTIONS is answered at present; `None` when there is no answer within half a second.
    pub fn options_status(&self) -> Option<u16> {
        let run = run_name();
        let mut agent = Agent::connect(self.sip(), &Way::Udp, &run, "e2e").ok()?;
        agent.options(0).ok()?;
        match agent.wait_for(0, Duration::from_millis(500)).ok()? {
            Event::Accepted { response, .. } | Event::Refused { response, .. } => response.status(),
            Event::TimedOut { .. } | Event::HungUp { .. } => None,
        }
    }

    /// Where SIP is received, over UDP and TCP.
    pub fn sip(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.slot.sip())
    }

    /// Where SIP is received over TLS.
    pub const fn sips(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.slot.sips())
    }

    /// Where HTTP is served, unless the test says otherwise.
    pub fn http(&self) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.slot.http())
    }

    /// Where SIP is received by that way.
    pub fn at(&self, way: &Way) -> SocketAddr {
        match way {
            Way::Udp | Way::Tcp => self.sip(),
            Way::Tls(_) => self.sips(),
        }
    }

    /// Writes a file beside the settings anew.
    pub fn replace_file(&self, name: &str, content: &str) {
        write_private(&self.root().join(name), content);
    }

    /// The address of the server, and of its callers.
    pub const fn host(&self) -> IpAddr {
        self.host
    }

    /// First and last port for the media of callers.
    pub const fn caller_ports(&self) -> (u16, u16) {
        self.slot.callers()
    }

    /// The folder of everything that the system writes.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The folder of published recordings.
    pub fn recordings(&self) -> PathBuf {
        self.root().join("recordings")
    }

    /// The settings file of both processes.
    pub fn config(&self) -> PathBuf {
        self.root().join("holdfast.toml")
    }

    /// Waits for the one recording of a call.
    ///
    /// # Panics
    /// When there is none in time, or more than one.
    pub fn published(&self, call_id: &str) -> Published {
        let mut found = self.all_published(call_id, 1);
        found.remove(0)
    }

    /// Waits until a call has `count` recordings.
    ///
    /// # Panics
    /// When there are fewer in time, or more.
    pub fn all_published(&self, call_id: &str, count: usize) -> Vec<Published> {
        let mut library = Library::new(&self.recordings());
        let found = wait_for("the recording is published", || {
            library.refresh().expect("the folder of recordings reads");
            let found = library.recordings(call_id);
            (found.len() >= count).then(|| found.to_vec())
        });
        assert_eq!(library.unreadable(), [], "manifests that do not read");
        assert_eq!(found.len(), count, "recordings of {call_id}");
        found
    }

    /// All that is published at present, in the order of the folders.
    ///
    /// # Panics
    /// When a manifest does not read.
    pub fn all_recordings(&self) -> Vec<Published> {
        let in_progress = self.recordings().join("incoming");
        let read = |path: &PathBuf| {
            let folder = path.parent()?.to_owned();
            let json = std::fs::read(path).expect("a manifest");
            let manifest = Manifest::from_json(&json).expect("a manifest that reads");
            Some(Published { folder, manifest })
        };
        files(&self.recordings())
            .iter()
            .filter(|path| path.ends_with(FILE_NAME) && !path.starts_with(&in_progress))
            .filter_map(read)
            .collect()
    }

    /// The recordings of a call that are published at present.
    ///
    /// # Panics
    /// When the folder does not read.
    pub fn published_so_far(&self, call_id: &str) -> Vec<Published> {
        let mut library = Library::new(&self.recordings());
        library.refresh().expect("the folder of recordings reads");
        library.recordings(call_id).to_vec()
    }
}

fn write_private(path: &Path, content: &str) {
    std::fs::write(path, content).expect("a file");
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).expect("its mode");
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} ---", self.dir.path().display());
            self.signaling.show_log();
            self.engine.show_log();
            // For whoever wants to look: KEEP=1 leaves the folder of a failed test.
            self.dir.disable_cleanup(std::env::var_os("KEEP").is_some());
        }
    }
}
