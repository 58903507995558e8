//! `holdfast calls`: what a running server records now, and commands to it.

use std::io::{BufRead as _, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use holdfast_control::operator::{Answer, Call, Command, Placing, Stage, from_line, to_line};
use holdfast_control::status::{Question, Reply};
use holdfast_units::RecordingId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Verdict;
use crate::error::CommandError;
use crate::text::{self, printable};
use holdfast_catalogue::check_id;

/// A connection to a running server.
pub(crate) struct Server {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Server {
    pub fn connect(path: PathBuf) -> Result<Self, CommandError> {
        let stream = UnixStream::connect(&path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        match stream {
            Ok(stream) => Ok(Self {
                path,
                stream: BufReader::new(stream),
            }),
            Err(source) => Err(CommandError::NoServer { path, source }),
        }
    }

    /// Waits so long for answers from now on.
    fn wait_for(&mut self, patience: Duration) -> Result<(), CommandError> {
        let set = self.stream.get_ref().set_read_timeout(Some(patience));
        set.map_err(|source| CommandError::NoServer {
            path: self.path.clone(),
            source,
        })
    }

    /// The one call whose recording's id is, or begins with, `text`.
    pub fn find(&mut self, text: &str) -> Result<RecordingId, CommandError> {
        check_id(text)?;
        let mut ids: Vec<RecordingId> = self.calls()?.iter().map(|call| call.id).collect();
        ids.retain(|id| id.to_string().starts_with(text));
        let text = text.to_owned();
        match ids.as_slice() {
            [] => Err(CommandError::NoSuchCall { text }),
            [only] => Ok(*only),
            several => {
                let ids = several.iter().map(RecordingId::to_string).collect();
                Err(CommandError::Ambiguous { text, ids })
            }
        }
    }

    /// A call as it is now.
    pub fn look(&mut self, id: RecordingId) -> Result<Call, CommandError> {
        self.ask_about(Command::Show { id })
    }

    fn calls(&mut self) -> Result<Vec<Call>, CommandError> {
        match self.ask(Command::List)? {
            Answer::Calls { calls } => Ok(calls),
            other => Err(self.misunderstood(&other)),
        }
    }

    /// Carries out a command about one call, and waits until the media engine has it.
    fn call(&mut self, command: Command) -> Result<Call, CommandError> {
        let mut call = self.ask_about(command)?;
        for _ in 0..LOOKS_MAX {
            if call.is_in_force || call.stage != Stage::Up {
                break;
            }
            std::thread::sleep(LOOK_AGAIN);
            call = self.ask_about(Command::Show { id: call.id })?;
        }
        Ok(call)
    }

    fn ask_about(&mut self, command: Command) -> Result<Call, CommandError> {
        match self.ask(command)? {
            Answer::Call { call } => Ok(*call),
            other => Err(self.misunderstood(&other)),
        }
    }

    fn ask(&mut self, command: Command) -> Result<Answer, CommandError> {
        self.exchange(&command)
    }

    /// Asks about the server as a whole.
    pub fn question(&mut self, question: Question) -> Result<Reply, CommandError> {
        self.exchange(&question)
    }

    /// That the server answered something else.
    pub fn misfit(&self, reply: &Reply) -> CommandError {
        let text = match reply {
            Reply::Malformed { text } => text.clone(),
            Reply::Status { .. } | Reply::Latency { .. } | Reply::Trace { .. } => {
                OTHER_ANSWER.to_owned()
            }
        };
        CommandError::Misunderstood {
            path: self.path.clone(),
            text,
        }
    }

    fn exchange<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        question: &Q,
    ) -> Result<A, CommandError> {
        let failed = |source| CommandError::NoServer {
            path: self.path.clone(),
            source,
        };
        let mut line = Vec::new();
        let sent = self.stream.get_mut().write_all(&to_line(question));
        sent.and_then(|()| self.stream.read_until(b'\n', &mut line))
            .map_err(failed)?;
        from_line(&line).map_err(|error| CommandError::Misunderstood {
            path: self.path.clone(),
            text: error.to_string(),
        })
    }

    fn misunderstood(&self, answer: &Answer) -> CommandError {
        let text = match answer {
            Answer::Malformed { text } => text.clone(),
            Answer::Refused { reason } => return CommandError::Refused(*reason),
            Answer::Calls { .. } | Answer::Call { .. } | Answer::Draining { .. } => {
                OTHER_ANSWER.to_owned()
            }
        };
        CommandError::Misunderstood {
            path: self.path.clone(),
            text,
        }
    }
}

/// What is wrong with an answer to something else.
const OTHER_ANSWER: &str = "another answer was expected";

/// Has the server take no new calls, or take them again.
pub(crate) fn drain(
    out: &mut dyn Write,
    server: &mut Server,
    on: bool,
    json: bool,
) -> Result<Verdict, CommandError> {
    let (on, calls) = match server.ask(Command::Drain { on })? {
        Answer::Draining { on, calls } => (on, calls),
        other => return Err(server.misunderstood(&other)),
    };
    match (json, on) {
        (true, _) => writeln!(out, "{{\"draining\":{on},\"calls\":{calls}}}")?,
        (false, true) => writeln!(out, "new calls get 503; {calls} go on")?,
        (false, false) => writeln!(out, "new calls are taken; {calls} are up")?,
    }
    Ok(Verdict::Well)
}

/// Lists all calls.
pub(crate) fn list(
    out: &mut dyn Write,
    server: &mut Server,
    json: bool,
) -> Result<Verdict, CommandError> {
    let calls = server.calls()?;
    if json {
        let value = serde_json::to_value(&calls).unwrap_or_default();
        writeln!(out, "{value:#}")?;
        return Ok(Verdict::Well);
    }
    let header = ["STARTED (UTC)", "STATE", "STREAMS", "PEER", "ID", "PARTIES"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(calls.iter().map(row));
    write!(out, "{}", text::columns(&rows))?;
    Ok(Verdict::Well)
}

/// Carries out a command about one call, and shows the call as it then is.
pub(crate) fn one(
    out: &mut dyn Write,
    server: &mut Server,
    command: Command,
    json: bool,
) -> Result<Verdict, CommandError> {
    let call = server.call(command)?;
    print(out, &call, json)
}

/// Has a client called, and shows the call once it is recorded.
pub(crate) fn record(
    out: &mut dyn Write,
    server: &mut Server,
    uri: &str,
    json: bool,
) -> Result<Verdict, CommandError> {
    server.wait_for(PLACING_PATIENCE)?;
    let placing = Placing::Record {
        uri: uri.to_owned(),
    };
    let call = match server.exchange(&placing)? {
        Answer::Call { call } => call,
        other => return Err(server.misunderstood(&other)),
    };
    print(out, &call, json)
}

fn print(out: &mut dyn Write, call: &Call, json: bool) -> Result<Verdict, CommandError> {
    if json {
        let value = serde_json::to_value(call).unwrap_or_default();
        writeln!(out, "{value:#}")?;
    } else {
        show(out, call)?;
    }
    Ok(Verdict::Well)
}

fn row(call: &Call) -> Vec<String> {
    vec![
        text::moment(call.started),
        state(call).to_owned(),
        call.streams.len().to_string(),
        call.peer.map_or_else(String::new, |peer| peer.to_string()),
        call.id.to_string(),
        printable(&call.participants.join(", ")),
    ]
}

fn show(out: &mut dyn Write, call: &Call) -> Result<(), CommandError> {
    writeln!(out, "{}  {}", call.id, state(call))?;
    writeln!(out, "  Call-ID     {}", printable(&call.call_id))?;
    writeln!(out, "  started     {} UTC", text::moment(call.started))?;
    if let Some(peer) = call.peer {
        let agent = call.user_agent.as_deref().unwrap_or_default();
        writeln!(
            out,
            "  from        {peer} {} {}",
            call.transport,
            printable(agent)
        )?;
    }
    if !call.participants.is_empty() {
        let parties = printable(&call.participants.join(", "));
        writeln!(out, "  parties     {parties}")?;
    }
    for stream in &call.streams {
        let label = stream.label.as_deref().unwrap_or("-");
        let mode = if stream.is_recording {
            "recorded"
        } else {
            "paused"
        };
        writeln!(
            out,
            "  stream {:<4} label {} channel {} {} {} at {} {mode}",
            stream.number,
            printable(label),
            stream.channel,
            printable(&stream.media),
            printable(&stream.codecs.join("/")),
            stream.local,
        )?;
    }
    if !call.is_in_force {
        writeln!(out, "  the media engine has not confirmed this yet")?;
    }
    if call.is_paused && !call.is_agreed {
        let told = "the peer has not agreed to the pause: what it sends is not kept";
        writeln!(out, "  {told}")?;
    }
    if !call.warnings.is_empty() {
        writeln!(
            out,
            "  warnings    {}",
            printable(&call.warnings.join(", "))
        )?;
    }
    Ok(())
}

fn state(call: &Call) -> &'static str {
    match call.stage {
        Stage::Opening => "opening",
        Stage::Up if call.is_paused => "paused",
        Stage::Up => "recording",
        Stage::Ended => "ended",
    }
}

/// Pause between two looks at what the media engine has confirmed.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How often it is looked: longer than the engine has to answer a change.
const LOOKS_MAX: usize = 500;

/// How long a client that is called may take: it rings for a minute at most, and is then cancelled.
const PLACING_PATIENCE: Duration = Duration::from_secs(120);

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
