//! A folder with recordings made for a test, and the command run in it.

#![allow(dead_code, reason = "each test uses its own part")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use holdfast_manifest::{
    Channel, Correlation, EndReason, File, Manifest, Participant, Pause, PausedBy, Stream,
};
use holdfast_units::{RecordingId, StreamId, WallTime};

/// What one run of the command left.
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// An empty folder of its own, where the command is run.
pub struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    pub fn holdfast(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        Outcome {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// As `holdfast`, and standard error is a terminal.
    pub fn holdfast_on_a_terminal(&self, arguments: &[&str]) -> Outcome {
        let nix::pty::OpenptyResult { master, slave } = nix::pty::openpty(None, None).unwrap();
        let child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(slave)
            .spawn()
            .unwrap();
        let mut terminal = std::fs::File::from(master);
        let mut stderr = Vec::new();
        // When nobody has the other side any more, reading ends with EIO.
        let end = terminal.read_to_end(&mut stderr).unwrap_err();
        assert_eq!(end.raw_os_error(), Some(nix::libc::EIO));
        let output = child.wait_with_output().unwrap();
        Outcome {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Publishes a recording of one second with the files given, as the engine would.
    pub fn publish(&self, id: RecordingId, started: WallTime, files: &[(&str, &[u8])]) -> PathBuf {
        self.publish_part(id, 1, started, files)
    }

    /// The same as one of several parts.
    pub fn publish_part(
        &self,
        id: RecordingId,
        part: u32,
        started: WallTime,
        files: &[(&str, &[u8])],
    ) -> PathBuf {
        let (year, month, day) = started.utc_date();
        let name = holdfast_manifest::folder_name(id, part);
        let folder = format!("var/recordings/{year:04}/{month:02}/{day:02}/{name}");
        for (name, content) in files {
            self.write(&format!("{folder}/{name}"), content);
        }
        let manifest = manifest(id, part, started, files);
        self.write(&format!("{folder}/recording.json"), manifest.to_json());
        self.path(&folder)
    }
}

pub fn id(number: u8) -> RecordingId {
    RecordingId::from_bytes([number; 16])
}

/// 2026-11-22 10:00:00 UTC and so many seconds.
pub fn moment(seconds: u64) -> WallTime {
    WallTime((1_795_341_600 + seconds) * 1_000_000_000)
}

fn manifest(id: RecordingId, part: u32, started: WallTime, files: &[(&str, &[u8])]) -> Manifest {
    let mut call = holdfast_manifest::Call::default();
    call.sip.call_id = format!("call-{id}@example.com");
    call.sip.from = "<sip:src@example.com>".to_owned();
    for (index, name) in ["alice", "bob"].into_iter().enumerate() {
        call.participants.push(Participant {
            id: format!("p{index}"),
            names: vec![name.to_owned()],
            aors: vec![format!("sip:{name}@example.com")],
            intervals: Vec::new(),
        });
        call.channels.push(Channel {
            channel: u16::try_from(index).unwrap(),
            participant: Some(format!("p{index}")),
            labels: vec![(index + 1).to_string()],
        });
    }
    call.correlations.push(Correlation {
        vendor: "oracle".to_owned(),
        kind: "ucid".to_owned(),
        value: "00144536801698162784".to_owned(),
        source: "X-Oracle-UCID".to_owned(),
    });
    call.pauses.push(Pause::new(started, PausedBy::Operator));
    let mut stream = Stream::new(1, StreamId(7));
    stream.label = Some("1".to_owned());
    stream.packets = 50;
    stream.channel = Some(0);
    stream.rendered = true;
    Manifest {
        format: holdfast_manifest::FORMAT,
        id,
        part,
        state_sha256: String::new(),
        node: "recorder-1".to_owned(),
        software_version: "0.1.0".to_owned(),
        started,
        ended: WallTime(started.0 + 1_000_000_000),
        end_reason: EndReason::Bye,
        duration_ms: 1_000,
        call,
        streams: vec![stream],
        files: files
            .iter()
            .map(|(name, content)| listed(name, content))
            .collect(),
        parts: Vec::new(),
        flags: Vec::new(),
    }
}

/// The entry of a file, hashed by a program that is not ours.
fn listed(name: &str, content: &[u8]) -> File {
    let scratch = tempfile::NamedTempFile::new().unwrap();
    fs::write(scratch.path(), content).unwrap();
    File {
        name: name.to_owned(),
        bytes: u64::try_from(content.len()).unwrap(),
        sha256: sha256sum(scratch.path()),
    }
}

fn sha256sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}
