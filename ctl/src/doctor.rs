//! `holdfast doctor`: what this machine can do for a recorder, what stands in the way, and the command
//! that mends it. It changes nothing but a probe file, which it takes away again.

mod disk;
mod kernel;
mod network;

use std::io::Write;
use std::path::{Path, PathBuf};

use holdfast_control::status::{Question, Reply, Status};
use holdfast_settings::Settings;
use serde_json::json;

use crate::Verdict;
use crate::calls::Server;
use crate::config::Source;
use crate::error::{self, CommandError};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    name: &'static str,
    level: Level,
    text: String,
    /// A command, or what to write where.
    remedy: Option<String>,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// As it should be.
    Good,
    /// It works, but less well.
    Note,
    /// It does not work.
    Bad,
}

impl Finding {
    pub fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self {
            name,
            level: Level::Good,
            text: text.into(),
            remedy: None,
        }
    }

    pub fn note(name: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level: Level::Note,
            remedy: Some(remedy.into()),
            ..Self::good(name, text)
        }
    }

    pub fn bad(name: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level: Level::Bad,
            ..Self::note(name, text, remedy)
        }
    }
}

/// `/proc` and `/sys`, as far as they are read here; a test has its own.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The machine that this runs on.
    pub fn here() -> Self {
        Self { root: "/".into() }
    }

    /// What a file says, without the space around it.
    fn read(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// Where a symbolic link points.
    fn link(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.root.join(path)).ok()?;
        target.into_os_string().into_string().ok()
    }

    /// Names in a folder, in order.
    fn list(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(path));
        let names = entries.into_iter().flatten().flatten();
        let mut names: Vec<String> = names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }
}

/// Looks at everything.
pub(crate) fn doctor(
    out: &mut dyn Write,
    source: &Source,
    socket: Option<&Path>,
    json: bool,
) -> Result<Verdict, CommandError> {
    let machine = Machine::here();
    let mut findings = Vec::new();
    let settings = match source.settings_for_this_machine() {
        Ok(settings) => {
            findings.push(Finding::good(
                "settings",
                format!("{} is good", source.name()),
            ));
            settings
        }
        Err(error) => {
            let remedy = "mend the file; `holdfast config check` says whether it is good";
            findings.push(Finding::bad("settings", error::chain(&error), remedy));
            source.settings().unwrap_or_default()
        }
    };
    let status = running(&settings, socket);
    findings.extend(kernel::look(&machine, &settings));
    findings.extend(network::look(&machine, &settings, status.as_ref()));
    findings.extend(disk::look(&settings));
    findings.push(server(&settings, status.as_ref()));
    if json {
        let rows = findings.iter().map(|it| {
            json!({
                "name": it.name,
                "level": it.level.word(),
                "text": it.text,
                "remedy": it.remedy,
            })
        });
        let document =
            json!({"good": worst(&findings) < Level::Bad, "findings": rows.collect::<Vec<_>>()});
        writeln!(out, "{document:#}")?;
    } else {
        write!(out, "{}", for_people(&findings))?;
    }
    Ok(match worst(&findings) {
        Level::Good | Level::Note => Verdict::Well,
        Level::Bad => Verdict::Wrong,
    })
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Bad => "bad",
        }
    }
}

fn worst(findings: &[Finding]) -> Level {
    findings
        .iter()
        .map(|it| it.level)
        .max()
        .unwrap_or(Level::Good)
}

fn for_people(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.level {
            Level::Good => "ok  ",
            Level::Note => "note",
            Level::Bad => "BAD ",
        };
        text.push_str(&format!("{word}  {:<14} {}\n", finding.name, finding.text));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("{:20} -> {remedy}\n", ""));
        }
    }
    let count = |level| findings.iter().filter(|it| it.level == level).count();
    let (bad, notes) = (count(Level::Bad), count(Level::Note));
    text.push_str(&format!("{bad} bad, {notes} to note\n"));
    text
}

fn running(settings: &Settings, socket: Option<&Path>) -> Option<Status> {
    let socket = socket.unwrap_or(&settings.node.operator_socket);
    let mut server = Server::connect(socket.to_owned()).ok()?;
    match server.question(Question::Status).ok()? {
        Reply::Status { status } => Some(*status),
        _ => None,
    }
}

fn server(settings: &Settings, status: Option<&Status>) -> Finding {
    let name = "server";
    let Some(status) = status else {
        let socket = settings.node.operator_socket.display();
        let text = format!("no server answers at {socket}");
        let remedy = "systemctl start holdfast-media holdfast-signaling, or `make run`";
        return Finding::note(name, text, remedy);
    };
    match status.faults().next() {
        None => Finding::good(name, format!("ready, {} calls", status.calls.active)),
        Some(fault) => {
            let remedy = "`holdfast status` and the logs: journalctl -u 'holdfast-*' -p warning";
            Finding::bad(name, fault.text.clone(), remedy)
        }
    }
}
