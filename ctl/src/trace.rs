//! `holdfast calls trace`: the SIP messages of one call, as they come and go.

use std::io::Write;
use std::time::{Duration, Instant};

use holdfast_control::operator::Stage;
use holdfast_control::status::{Question, Reply, TracedMessage};
use serde_json::json;

use crate::Verdict;
use crate::calls::Server;
use crate::error::CommandError;
use crate::text::printable;

/// Shows messages until the call is over, or for so long.
pub(crate) fn trace(
    out: &mut dyn Write,
    server: &mut Server,
    id: &str,
    limit: Option<Duration>,
    json: bool,
) -> Result<Verdict, CommandError> {
    let id = server.find(id)?;
    let call_id = server.look(id)?.call_id;
    let begun = Instant::now();
    let mut since = 0;
    let first = Question::Trace {
        call_id: call_id.clone(),
        since,
    };
    // What is said is so: from here on nothing is missed.
    server.question(first)?;
    if !json {
        writeln!(out, "tracing {}; Ctrl-C ends it", printable(&call_id))?;
    }
    loop {
        // Looked at before the messages, so that the last ones are shown.
        let is_over = server
            .look(id)
            .map_or(true, |call| call.stage == Stage::Ended);
        let question = Question::Trace {
            call_id: call_id.clone(),
            since,
        };
        let messages = match server.question(question)? {
            Reply::Trace { messages } => messages,
            other => return Err(server.misfit(&other)),
        };
        for message in &messages {
            since = message.number + 1;
            show(out, message, json)?;
        }
        out.flush()?;
        if is_over || limit.is_some_and(|limit| begun.elapsed() >= limit) {
            return Ok(Verdict::Well);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn show(out: &mut dyn Write, message: &TracedMessage, json: bool) -> Result<(), CommandError> {
    if json {
        // One object a line: a trace has no end that a list would have.
        writeln!(out, "{}", json!(message))?;
        return Ok(());
    }
    let arrow = if message.is_sent { "-->" } else { "<--" };
    let peer = message
        .peer
        .map_or_else(String::new, |peer| peer.to_string());
    writeln!(out, "\n{} {arrow} {peer}", message.at)?;
    for line in message.text.lines() {
        writeln!(out, "  {}", printable(line))?;
    }
    Ok(())
}

const LOOK_AGAIN: Duration = Duration::from_millis(250);
