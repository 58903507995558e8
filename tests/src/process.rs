//! One of the two processes: started, told to end, killed, started again; its log is kept.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::supervisor::Supervisor;
use crate::wait::wait_for;

/// A process of the system.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    /// Program and arguments.
    command: Vec<String>,
    log: PathBuf,
    supervisor: Option<Supervisor>,
    child: Option<Child>,
}

impl Process {
    /// A process that is not started yet; `within` runs it, such as `ip netns exec NAME`.
    pub fn new(name: &'static str, within: &[String], config: &Path, log: PathBuf) -> Self {
        let mut command = within.to_vec();
        command.push(binary(name).display().to_string());
        command.push("--config".to_owned());
        command.push(config.display().to_string());
        Self {
            name,
            command,
            log,
            supervisor: None,
            child: None,
        }
    }

    /// Has it started by who keeps descriptors for it from now on.
    #[must_use]
    pub fn supervised(mut self, supervisor: Supervisor) -> Self {
        self.supervisor = Some(supervisor);
        self
    }

    /// Names of the descriptors that its supervisor keeps.
    ///
    /// # Panics
    /// When it has none.
    pub fn kept(&self) -> Vec<String> {
        self.supervisor.as_ref().expect("a supervisor").kept()
    }

    /// Starts it; what it says goes behind what is in its log already.
    ///
    /// # Panics
    /// When it can't be started, or runs.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("a log");
        let mut command = match &self.supervisor {
            Some(supervisor) => supervisor.command(&self.command),
            None => {
                let mut command = Command::new(&self.command[0]);
                command.args(&self.command[1..]);
                command
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the process starts"));
    }

    /// Starts it this once with one more argument.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with(&mut self, argument: &str) {
        self.command.push(argument.to_owned());
        self.start();
        self.command.pop();
    }

    /// Kills it as a crash would: nothing of it runs any more when this returns.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the process runs");
        child.kill().expect("SIGKILL");
        child.wait().expect("it is gone");
    }

    /// Asks it to end, as an operator does, and does not wait.
    ///
    /// # Panics
    /// When it does not run.
    pub fn ask_to_end(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the process runs");
        kill(Pid::from_raw(child.id() as i32), signal).expect("the signal is sent");
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it goes on.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the process runs");
        let ended = wait_for("the process ends", || child.try_wait().expect("its state"));
        drop(child);
        ended
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("the process runs").id()
    }

    /// Memory it has at present, in octets.
    ///
    /// # Panics
    /// When it does not run.
    pub fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.id());
        let statm = std::fs::read_to_string(path).expect("its statm");
        let pages = statm
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse::<u64>().ok());
        pages.expect("resident pages") * 4_096
    }

    /// What its open descriptors are: paths, and kinds such as `socket`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn descriptors(&self) -> Vec<String> {
        let folder = format!("/proc/{}/fd", self.id());
        let entries = std::fs::read_dir(folder).expect("its descriptors");
        let kind = |path: PathBuf| {
            let text = path.display().to_string();
            text.split(":[").next().unwrap_or_default().to_owned()
        };
        // One that is closed while they are read is none.
        let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.map(kind).collect()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes the end of its log where a failing test is read.
    pub fn show_log(&self) {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN_MAX)..];
        eprintln!("--- {} ---", self.name);
        for line in shown {
            eprintln!("{line}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A binary of this workspace: it lies beside the test's own target folder.
///
/// # Panics
/// When it has not been built.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("a target folder");
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `make test`, which builds the binaries first",
        path.display()
    );
    path
}

const LOG_LINES_SHOWN_MAX: usize = 60;
