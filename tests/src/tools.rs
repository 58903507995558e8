//! Programs of strangers: found or loudly missed, and never waited for without end.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A program of this machine.
#[derive(Clone, Debug)]
pub struct Tool {
    path: PathBuf,
    name: String,
}

impl Tool {
    /// The program of that name, or of that path. Where it is absent, says so: the scenario is
    /// skipped.
    pub fn find(name: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Tools for root lie outside the PATH of others.
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
        let found = folders
            .map(|folder| folder.join(name))
            .find(|path| path.is_file());
        if found.is_none() {
            skipped(&format!("{name} is not installed"));
        }
        Some(Self {
            path: found?,
            name: name.to_owned(),
        })
    }

    /// A program at a known place.
    pub fn at(path: PathBuf) -> Self {
        let name = path.display().to_string();
        Self { path, name }
    }

    /// Starts it in a folder, with its output kept for [`Running::finish`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&self, folder: &Path, arguments: &[&str]) -> Running {
        let child = Command::new(&self.path)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        Running {
            child,
            said: format!("{} {}", self.name, arguments.join(" ")),
        }
    }

    /// Starts it in a folder, as long as what is given lives; what it says goes to `NAME.log` there.
    ///
    /// # Panics
    /// When it does not start.
    pub fn serve(&self, folder: &Path, arguments: &[&str]) -> Server {
        let log = File::create(folder.join(format!("{}.log", self.name))).expect("a log");
        let child = Command::new(&self.path)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        Server(child)
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Panics
    /// When it takes too long.
    pub fn run(&self, folder: &Path, arguments: &[&str]) -> Output {
        self.start(folder, arguments).finish(TOOL_TIME_MAX)
    }

    /// Runs it to its end, which must be a good one; gives its standard output.
    ///
    /// # Panics
    /// When it fails or takes too long.
    pub fn output(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = self.run(folder, arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{} {}: {}\n{}{}",
            self.name,
            arguments.join(" "),
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    said: String,
}

impl Running {
    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes longer than `limit`.
    pub fn finish(self, limit: Duration) -> Output {
        let pid = Pid::from_raw(self.child.id() as i32);
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(self.child.wait_with_output()));
        match receiver.recv_timeout(limit) {
            Ok(output) => output.expect("its output"),
            Err(_) => {
                // It is not waited for yet, so the number is still its own.
                let _ = kill(pid, Signal::SIGKILL);
                panic!("{} does not end within {limit:?}", self.said);
            }
        }
    }
}

/// A program that runs until this is dropped.
#[derive(Debug)]
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says that a scenario, or a part of it, was not played here. Not by `eprintln`: the test harness
/// would keep that to itself where a test passes.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

/// Whether this process is root; says so where it is not.
pub fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        skipped("this needs root");
    }
    is_root
}

/// Longest that a tool may take.
const TOOL_TIME_MAX: Duration = Duration::from_secs(60);
