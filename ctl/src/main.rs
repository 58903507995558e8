//! `holdfast`: checks settings; lists, shows, verifies and exports recordings; sees and commands the
//! calls of a running server.
//!
//! All but `calls`, `status` and `latency` works on files alone, needs no running server and changes nothing that one made.
//! Exit status: 0 where all is well, 1 where something is wrong with what was looked at, 2 where
//! the command itself was.

mod calls;
mod ciphertext;
mod config;
mod copy;
mod doctor;
mod error;
mod export;
mod join;
mod latency;
mod list;
mod progress;
mod show;
mod status;
mod text;
mod trace;
mod verify;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args, CommandFactory as _, Parser, Subcommand};
use holdfast_catalogue::{Catalogue, Query};
use holdfast_control::Stage;
use holdfast_control::operator::Command as Ask;
use holdfast_units::WallTime;

use crate::error::CommandError;

/// Checks the settings of a Holdfast recorder and reads its recordings.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Settings file [default: /etc/holdfast/holdfast.toml or config/holdfast.toml, else the
    /// built-in defaults].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
}

/// What the command leaves behind.
const EXIT_CODES: &str = "Exit status: 0 where all is well; 1 where something is wrong with what was \
                          looked at (no such recording, a file that is not as it was, a server that \
                          is not ready); 2 where the command itself was wrong.\n\n\
                          With --json, an error is written to standard output as well: {\"error\": \"…\"}, \
                          on one line and with the same exit status.";

#[derive(Subcommand)]
enum Command {
    /// The settings file.
    #[command(subcommand, arg_required_else_help = true)]
    Config(ConfigCommand),
    /// Published recordings.
    Recordings(RecordingsArgs),
    /// The calls of the running server.
    Calls(CallsArgs),
    /// Take no new calls (503 to INVITE and OPTIONS), so that SRCs go to another node; running ones
    /// go on to their end. It holds until signaling is started again.
    Drain(DrainArgs),
    /// How the running server is; exit status 1 where it does not record what comes.
    Status(SocketArgs),
    /// How long packets, commits and turns take in the running engine.
    Latency(LatencyArgs),
    /// What this machine can do, what stands in the way, and what mends it; exit status 1 where
    /// something does not work.
    Doctor(SocketArgs),
    /// Print a script that completes the words of this command in a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Which server is asked.
#[derive(Args)]
struct SocketArgs {
    /// Socket of the running server [default: node.operator_socket of the settings].
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
}

#[derive(Args)]
struct DrainArgs {
    #[command(flatten)]
    server: SocketArgs,
    /// Take new calls again.
    #[arg(long)]
    off: bool,
}

#[derive(Args)]
struct LatencyArgs {
    #[command(flatten)]
    server: SocketArgs,
    /// One stage alone: seen, commit, durable, assembled or turn.
    #[arg(long, value_parser = stage)]
    stage: Option<Stage>,
    /// Look again every SECONDS, and show what came since the last look.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
}

#[derive(Args)]
#[command(arg_required_else_help = true)]
struct CallsArgs {
    #[command(flatten)]
    server: SocketArgs,
    #[command(subcommand)]
    command: CallsCommand,
}

#[derive(Subcommand)]
enum CallsCommand {
    /// List the calls, the oldest first.
    List,
    /// Show one call with its streams.
    Show {
        /// Its recording's id, or the beginning of it.
        id: String,
    },
    /// Keep nothing of a call from now on: its recording has silence and a mark.
    Pause {
        /// Its recording's id, or the beginning of it.
        id: String,
    },
    /// Record a call again, in the same recording.
    Resume {
        /// Its recording's id, or the beginning of it.
        id: String,
    },
    /// Call a client and record what it has; waits for its answer. It must have an address of a
    /// `[[peer]]` with `callable = true`.
    Record {
        /// Whom: sip:NAME@ADDRESS, with ;transport=tcp or tls where it is not UDP; or sips:…
        uri: String,
    },
    /// Show the SIP messages of a call as they come and go, until it is over; keys are hidden.
    Trace {
        /// Its recording's id, or the beginning of it.
        id: String,
        /// For so many seconds at most.
        #[arg(long, value_name = "N")]
        seconds: Option<u64>,
    },
    /// End a call; its recording is published.
    Hangup {
        /// Its recording's id, or the beginning of it.
        id: String,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Hold the file against its rules and this machine, as the server does at start.
    Check {
        /// Leave out what depends on this machine: cores, addresses, folders.
        #[arg(long)]
        any_machine: bool,
    },
    /// Print what is in force, every key.
    Show,
    /// Print the SIP addresses of this machine that an SRC can be pointed at.
    Uris,
    /// Print the shipped file: every key with its default and what it does.
    Default,
}

#[derive(Args)]
#[command(arg_required_else_help = true)]
struct RecordingsArgs {
    /// Folder of the published recordings [default: recordings.dir of the settings].
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: RecordingsCommand,
}

#[derive(Subcommand)]
enum RecordingsCommand {
    /// List recordings, the oldest first.
    List {
        /// Those of one day (UTC) alone.
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = holdfast_catalogue::parse_day)]
        day: Option<holdfast_catalogue::Day>,
        /// Those begun at this day (UTC) or moment, or after it: 2026-11-22 or 2026-11-22T10:00:00Z.
        #[arg(long, value_name = "TIME", value_parser = holdfast_catalogue::parse_moment)]
        from: Option<WallTime>,
        /// Those begun before it.
        #[arg(long, value_name = "TIME", value_parser = holdfast_catalogue::parse_moment)]
        to: Option<WallTime>,
        /// The newest N alone.
        #[arg(long, value_name = "N")]
        last: Option<usize>,
        /// Those with this in the name or address of a participant, in whatever case.
        #[arg(long, value_name = "TEXT")]
        participant: Option<String>,
        /// Those with a participant whose number ends so; what is no digit is passed over.
        #[arg(long, value_name = "DIGITS")]
        number: Option<String>,
        /// The one with this Call-ID, or identifier that other systems know the call by.
        #[arg(long, value_name = "ID")]
        call_id: Option<String>,
    },
    /// Show what the manifest of one recording says, and how loud its channels are.
    Show {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Compute the SHA-256 of every file again and compare; exit status 1 where one differs.
    Verify {
        /// Its id, or the beginning of it.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// Verify every recording.
        #[arg(long)]
        all: bool,
    },
    /// Make one recording of all parts of it, with one timeline: `<id>.joined`. The parts stay.
    Join {
        /// Its id, or the beginning of it.
        id: String,
        /// A further folder of recordings, such as another node's; may be given several times.
        #[arg(long, value_name = "DIR")]
        from: Vec<PathBuf>,
    },
    /// Copy one recording, each file held against the manifest; or write its packets as pcapng, for
    /// Wireshark.
    #[command(group(ArgGroup::new("what").required(true)))]
    Export {
        /// Its id, or the beginning of it.
        id: String,
        /// The folder to copy it to as it was published, with its manifest; it must not exist yet.
        #[arg(long, value_name = "FOLDER", group = "what")]
        to: Option<PathBuf>,
        /// The file to write its packets to, as far as they are kept; it must not exist yet.
        #[arg(long, value_name = "FILE", group = "what")]
        pcap: Option<PathBuf>,
        /// One stream alone, by its number.
        #[arg(long, value_name = "NUMBER", conflicts_with = "to")]
        stream: Option<u32>,
        /// Encrypted packets as they came, not decrypted; KEYS_FILE, which must not exist yet, gets
        /// their keys IN CLEAR.
        #[arg(long, value_name = "KEYS_FILE", conflicts_with = "to")]
        ciphertext: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            if error.use_stderr() && std::env::args_os().any(|it| it == "--json") {
                let text = error.to_string();
                // What cannot be written is on standard error all the same.
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                let _ = write_error(&mut io::stdout(), text.trim_end());
            }
            error.exit();
        }
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = run(&cli, &mut out).and_then(|verdict| {
        out.flush().map_err(CommandError::Output)?;
        Ok(verdict)
    });
    match outcome {
        Ok(Verdict::Well) => ExitCode::SUCCESS,
        Ok(Verdict::Wrong) => ExitCode::from(1),
        // Whoever reads the output has seen enough: `holdfast recordings list | head`.
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let text = error::chain(&error);
            if cli.json {
                let _ = write_error(&mut out, &text);
            }
            eprintln!("holdfast: {text}");
            ExitCode::from(1)
        }
    }
}

/// An error for whoever reads JSON, on one line.
fn write_error(out: &mut dyn Write, text: &str) -> io::Result<()> {
    writeln!(out, "{}", serde_json::json!({ "error": text }))?;
    out.flush()
}

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Well,
    Wrong,
}

fn run(cli: &Cli, out: &mut dyn Write) -> Result<Verdict, CommandError> {
    let source = config::Source::choose(cli.config.as_deref());
    let recordings = match &cli.command {
        Command::Config(ConfigCommand::Check { any_machine }) => {
            return config::check(out, &source, *any_machine, cli.json);
        }
        Command::Config(ConfigCommand::Show) => return config::show(out, &source, cli.json),
        Command::Config(ConfigCommand::Uris) => return config::uris(out, &source, cli.json),
        Command::Config(ConfigCommand::Default) => return config::default(out, cli.json),
        Command::Recordings(recordings) => recordings,
        Command::Calls(calls) => return run_calls(out, &source, calls, cli.json),
        Command::Drain(wanted) => {
            let mut server = connect(&source, &wanted.server)?;
            return calls::drain(out, &mut server, !wanted.off, cli.json);
        }
        Command::Status(server) => {
            return status::status(out, &mut connect(&source, server)?, cli.json);
        }
        Command::Latency(wanted) => {
            let view = latency::View {
                stage: wanted.stage,
                watch: wanted.watch.map(Duration::from_secs),
                json: cli.json,
            };
            return latency::latency(out, &mut connect(&source, &wanted.server)?, view);
        }
        Command::Doctor(server) => {
            return doctor::doctor(out, &source, server.socket.as_deref(), cli.json);
        }
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "holdfast", &mut &mut *out);
            return Ok(Verdict::Well);
        }
    };
    let dir = match &recordings.dir {
        Some(dir) => dir.clone(),
        None => source.settings()?.recordings.dir,
    };
    let catalogue = Catalogue::new(dir.clone());
    match &recordings.command {
        RecordingsCommand::List {
            day,
            from,
            to,
            last,
            participant,
            number,
            call_id,
        } => {
            let query = Query {
                day: *day,
                from: *from,
                to: *to,
                participant: participant.clone(),
                number: number.clone(),
                call_id: call_id.clone(),
            };
            let wanted = list::Wanted { last: *last, query };
            // The server makes the folder of the settings with the first recording.
            if recordings.dir.is_none() && is_absent(&dir) {
                return list::none_yet(out, &dir, cli.json);
            }
            list::list(out, &catalogue, &wanted, cli.json)
        }
        RecordingsCommand::Show { id } => show::show(out, &catalogue.find(id)?, cli.json),
        RecordingsCommand::Verify { id, .. } => {
            let entries = match id {
                Some(id) => vec![catalogue.find(id)?],
                None => catalogue.entries(None)?,
            };
            verify::verify(out, &catalogue, &entries, cli.json)
        }
        RecordingsCommand::Join { id, from } => join::join(out, &dir, from, id, cli.json),
        RecordingsCommand::Export {
            id,
            to,
            pcap,
            stream,
            ciphertext,
        } => {
            let entry = catalogue.find(id)?;
            let pcap = match (to, pcap) {
                (Some(to), _) => return copy::copy(out, &entry, to, cli.json),
                (None, Some(pcap)) => pcap,
                (None, None) => unreachable!("one of them is required"),
            };
            let Some(keys_file) = ciphertext else {
                return export::export(out, &entry, pcap, *stream, cli.json, None);
            };
            let node_keys = holdfast_seal::load(&source.settings()?.node.key_file)?;
            let ciphertext = export::Wanted {
                keys_file,
                node_keys: &node_keys,
            };
            export::export(out, &entry, pcap, *stream, cli.json, Some(ciphertext))
        }
    }
}

fn is_absent(path: &Path) -> bool {
    path.metadata()
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn stage(text: &str) -> Result<Stage, String> {
    let known = Stage::ALL.into_iter().find(|stage| stage.name() == text);
    known.ok_or_else(|| format!("one of {}", Stage::ALL.map(Stage::name).join(", ")))
}

fn connect(source: &config::Source, server: &SocketArgs) -> Result<calls::Server, CommandError> {
    match &server.socket {
        Some(socket) => calls::Server::connect(socket.clone()),
        None => calls::Server::connect(source.settings()?.node.operator_socket),
    }
}

fn run_calls(
    out: &mut dyn Write,
    source: &config::Source,
    calls: &CallsArgs,
    json: bool,
) -> Result<Verdict, CommandError> {
    let mut server = connect(source, &calls.server)?;
    match &calls.command {
        CallsCommand::List => calls::list(out, &mut server, json),
        CallsCommand::Show { id } => {
            let id = server.find(id)?;
            calls::one(out, &mut server, Ask::Show { id }, json)
        }
        CallsCommand::Record { uri } => calls::record(out, &mut server, uri, json),
        CallsCommand::Trace { id, seconds } => {
            let limit = seconds.map(Duration::from_secs);
            trace::trace(out, &mut server, id, limit, json)
        }
        CallsCommand::Pause { id } => {
            let id = server.find(id)?;
            calls::one(out, &mut server, Ask::Pause { id }, json)
        }
        CallsCommand::Resume { id } => {
            let id = server.find(id)?;
            calls::one(out, &mut server, Ask::Resume { id }, json)
        }
        CallsCommand::Hangup { id } => {
            let id = server.find(id)?;
            calls::one(out, &mut server, Ask::HangUp { id }, json)
        }
    }
}
