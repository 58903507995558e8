//! `holdfast doctor`: what this machine can do for a recorder, what stands in the way, and the command
//! that mends it. It changes nothing but a probe file, which it takes away again.

mod disk;
mod kernel;
mod network;

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use holdfast_control::status::{Question, Reply, Status};
use holdfast_settings::{Fault, LoadError, Problem};
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

/// Numbers as the kernel lists them, `0-3,8`, as ranges.
fn ranges(list: &str) -> impl Iterator<Item = (u32, u32)> {
    list.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    })
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
            findings.push(refused(source, &error));
            source.settings().unwrap_or_default()
        }
    };
    let socket = socket.unwrap_or(&settings.node.operator_socket);
    let status = running(socket);
    findings.extend(kernel::look(&machine, &settings));
    findings.extend(network::look(&machine, &settings, status.as_ref().ok()));
    findings.extend(disk::look(&settings));
    findings.push(server(socket, &status));
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

/// Why the settings do not serve: the file, or no more than what the user who asks may do.
fn refused(source: &Source, error: &LoadError) -> Finding {
    let name = "settings";
    let file = source.name();
    let ask = format!("sudo holdfast doctor --config {file}");
    match error {
        LoadError::Read { source: cause, .. } if cause.kind() == ErrorKind::PermissionDenied => {
            let text = format!(
                "{file} may not be read by this user: what follows is by the built-in defaults"
            );
            Finding::note(name, text, ask)
        }
        LoadError::Refused { source: cause, .. } if cause.problems().iter().all(is_forbidden) => {
            let keys = cause.problems().iter().map(|it| it.key.as_str());
            let keys = keys.collect::<Vec<_>>().join(", ");
            let text =
                format!("{file} is good as it stands; this user may not use what it names: {keys}");
            Finding::note(name, text, ask)
        }
        _ => {
            let remedy = format!(
                "mend the file; `holdfast config check --config {file}` says whether it is good"
            );
            Finding::bad(name, error::chain(error), remedy)
        }
    }
}

/// `man 3 errno`: permission denied.
const EACCES: i32 = 13;

/// Whether the user who asks is all that stands in the way.
fn is_forbidden(problem: &Problem) -> bool {
    let Fault::NotOnThisMachine { lack, .. } = &problem.fault else {
        return false;
    };
    lack.contains(&io::Error::from_raw_os_error(EACCES).to_string())
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

fn running(socket: &Path) -> Result<Status, CommandError> {
    let mut server = Server::connect(socket.to_owned())?;
    match server.question(Question::Status)? {
        Reply::Status { status } => Ok(*status),
        other => Err(CommandError::Misunderstood {
            path: socket.to_owned(),
            text: format!("{other:?}"),
        }),
    }
}

fn server(socket: &Path, status: &Result<Status, CommandError>) -> Finding {
    let name = "server";
    let status = match status {
        Ok(status) => status,
        Err(CommandError::NoServer { source, .. })
            if source.kind() == ErrorKind::PermissionDenied =>
        {
            let text = format!("this user may not ask the one at {}", socket.display());
            let remedy = "sudo holdfast doctor; or sudo adduser NAME holdfast, and log in again";
            return Finding::note(name, text, remedy);
        }
        Err(_) => {
            let text = format!("no server answers at {}", socket.display());
            let remedy = "systemctl start holdfast-media holdfast-signaling, or `make run`";
            return Finding::note(name, text, remedy);
        }
    };
    match status.faults().next() {
        None => Finding::good(name, format!("ready, {} calls", status.calls.active)),
        Some(fault) => {
            let remedy = "`holdfast status`, and the logs: journalctl -u 'holdfast-*' | grep -wE 'WARN|ERROR'";
            Finding::bad(name, fault.text.clone(), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use holdfast_settings::Settings;

    use super::*;

    #[test]
    fn a_server_that_this_user_may_not_ask_is_not_taken_for_none() {
        let path = PathBuf::from("operator.sock");
        let failed = |kind: ErrorKind| {
            let error = CommandError::NoServer {
                path: path.clone(),
                source: kind.into(),
            };
            server(&path, &Err(error)).text
        };
        let forbidden = failed(ErrorKind::PermissionDenied);
        assert_eq!(forbidden, "this user may not ask the one at operator.sock");
        let absent = failed(ErrorKind::NotFound);
        assert_eq!(absent, "no server answers at operator.sock");
    }

    /// A machine whose folders belong to somebody else.
    struct Others {
        cores: BTreeSet<u32>,
    }

    impl holdfast_settings::Machine for Others {
        fn cores(&self) -> io::Result<BTreeSet<u32>> {
            Ok(self.cores.clone())
        }

        fn addresses(&self) -> io::Result<BTreeSet<IpAddr>> {
            Ok([IpAddr::from([127, 0, 0, 1])].into())
        }

        fn probe_dir_writable(&self, _: &Path) -> io::Result<()> {
            Err(io::Error::from_raw_os_error(EACCES))
        }

        fn file_system(&self, _: &Path) -> io::Result<u64> {
            Ok(1)
        }
    }

    #[test]
    fn what_only_this_user_may_not_do_is_no_fault_of_the_file() {
        let path = PathBuf::from("a.toml");
        let source = Source::File(path.clone());
        let on = |cores: &[u32]| {
            let cores = cores.iter().copied().collect();
            let refusal = Settings::default().check_machine(&Others { cores });
            let error = LoadError::Refused {
                path: path.clone(),
                source: refusal.unwrap_err(),
            };
            refused(&source, &error)
        };
        let remedy = Some("sudo holdfast doctor --config a.toml");
        let forbidden = on(&[0]);
        assert_eq!(
            (forbidden.level, forbidden.remedy.as_deref()),
            (Level::Note, remedy),
            "{forbidden:?}"
        );
        assert!(
            forbidden.text.contains("node.state_dir"),
            "{}",
            forbidden.text
        );
        // Another fault beside it is the file's.
        assert_eq!(on(&[7]).level, Level::Bad);

        let unread = |kind: ErrorKind| {
            let error = LoadError::Read {
                path: path.clone(),
                source: kind.into(),
            };
            refused(&source, &error)
        };
        let unreadable = unread(ErrorKind::PermissionDenied);
        assert_eq!(
            (unreadable.level, unreadable.remedy.as_deref()),
            (Level::Note, remedy)
        );
        assert_eq!(unread(ErrorKind::IsADirectory).level, Level::Bad);
    }
}
