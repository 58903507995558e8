//! What an operator sees of the calls, and does to them.

use holdfast_control::StreamMode;
use holdfast_control::operator::{self, Answer, Command, Refusal};
use holdfast_manifest::{EndReason, Pause, PausedBy};
use holdfast_units::{MonoTime, RecordingId, WallTime};

use super::call::{Call, Stage};
use super::output::Notice;
use super::{Now, Recorder};
use crate::metadata::ParticipantRecord;

impl Recorder {
    /// Carries out a command of an operator. What it leads to is drained like everything else.
    pub fn handle_command(&mut self, now: MonoTime, wall: WallTime, command: Command) -> Answer {
        let now = Now { mono: now, wall };
        let outcome = match command {
            Command::List => {
                return Answer::Calls {
                    calls: self.calls(),
                };
            }
            Command::Drain { on } => {
                self.is_draining = on;
                let calls = self.statistics().calls;
                return Answer::Draining { on, calls };
            }
            Command::Show { id } => self.find(id),
            Command::Pause { id } => self.set_paused(now, id, true),
            Command::Resume { id } => self.set_paused(now, id, false),
            Command::HangUp { id } => self.end_by_operator(now, id),
        };
        self.drain(now);
        let call = outcome.and_then(|()| self.view(id_of(command)));
        match call {
            Ok(call) => Answer::Call {
                call: Box::new(call),
            },
            Err(reason) => Answer::Refused { reason },
        }
    }

    fn calls(&self) -> Vec<operator::Call> {
        let mut calls: Vec<_> = self.calls.values().map(view).collect();
        calls.extend(self.callees());
        calls.sort_by_key(|call| (call.started, call.id));
        calls
    }

    fn view(&self, id: Option<RecordingId>) -> Result<operator::Call, Refusal> {
        let call = id.and_then(|id| self.calls.get(&id));
        let callee = || self.callees().find(|callee| Some(callee.id) == id);
        call.map(view).or_else(callee).ok_or(Refusal::NoSuchCall)
    }

    fn find(&self, id: RecordingId) -> Result<(), Refusal> {
        self.view(Some(id)).map(drop)
    }

    fn set_paused(&mut self, now: Now, id: RecordingId, is_paused: bool) -> Result<(), Refusal> {
        let call = self.calls.get_mut(&id).ok_or(Refusal::NoSuchCall)?;
        if !call.is_active() {
            return Err(Refusal::Ended);
        }
        if call.facts.session.is_paused() == is_paused {
            return Ok(());
        }
        call.facts.session.set_paused(is_paused);
        // A change that waits for the engine must not undo it.
        if let Some(exchange) = call.exchange_mut() {
            exchange.facts.session.set_paused(is_paused);
        }
        match is_paused {
            true => call.pauses.push(Pause::new(now.wall, PausedBy::Operator)),
            false => call.end_pause(now.wall),
        }
        call.asking.renew_direction();
        call.sync.is_dirty = true;
        self.notice(Notice::Commanded {
            recording: id,
            command: if is_paused { "pause" } else { "resume" },
        });
        // The engine first: whatever the peer makes of it, nothing more is kept, or all is again.
        self.push(id);
        self.ask(now, id);
        Ok(())
    }

    fn end_by_operator(&mut self, now: Now, id: RecordingId) -> Result<(), Refusal> {
        if self.withdraw(now, id, Refusal::Ended) {
            return Ok(());
        }
        let call = self.calls.get(&id).ok_or(Refusal::NoSuchCall)?;
        let is_opening = matches!(call.stage, Stage::Opening(_));
        if !call.is_active() {
            return Err(Refusal::Ended);
        }
        self.notice(Notice::Commanded {
            recording: id,
            command: "hang up",
        });
        if is_opening {
            let refusal = self.declined();
            self.refuse_opening(now, id, refusal, EndReason::Operator);
        } else {
            self.hang_up(now, id, EndReason::Operator, "ended by an operator");
        }
        Ok(())
    }
}

impl Call {
    /// The recorder keeps the call again.
    pub(super) fn end_pause(&mut self, at: WallTime) {
        if let Some(pause) = self.pauses.last_mut().filter(|pause| pause.to.is_none()) {
            pause.to = Some(at);
        }
    }
}

const fn id_of(command: Command) -> Option<RecordingId> {
    match command {
        Command::List | Command::Drain { .. } => None,
        Command::Show { id }
        | Command::Pause { id }
        | Command::Resume { id }
        | Command::HangUp { id } => Some(id),
    }
}

fn view(call: &Call) -> operator::Call {
    let facts = call.wanted_facts();
    let session = &facts.session;
    operator::Call {
        id: call.id,
        call_id: call.sip.call_id.clone(),
        started: call.started,
        stage: match &call.stage {
            Stage::Opening(_) => operator::Stage::Opening,
            Stage::Up(_) => operator::Stage::Up,
            Stage::Ended { .. } => operator::Stage::Ended,
        },
        peer: call.sip.peer,
        transport: call.sip.transport.clone(),
        user_agent: call.sip.user_agent.clone(),
        is_paused: session.is_paused(),
        is_in_force: !call.sync.is_dirty && call.sync.in_flight.is_none(),
        is_agreed: !session.has_to_tell() && !session.is_offer_pending(),
        participants: facts.state.participants().iter().map(name_of).collect(),
        streams: call
            .desired_streams(facts)
            .map(|(desired, _)| stream(desired))
            .collect(),
        warnings: facts.warnings.iter().map(|one| one.code.clone()).collect(),
    }
}

fn name_of(participant: &ParticipantRecord) -> String {
    let named = participant.names.iter().find_map(|name| name.name.clone());
    let addressed = || participant.names.first().map(|name| name.aor.clone());
    named
        .or_else(addressed)
        .unwrap_or_else(|| participant.id.as_str().to_owned())
}

fn stream(stream: holdfast_control::Stream) -> operator::Stream {
    operator::Stream {
        number: stream.number,
        label: stream.label,
        channel: stream.channel,
        media: stream.media,
        codecs: stream
            .codecs
            .into_values()
            .map(|codec| codec.name)
            .collect(),
        is_recording: stream.mode == StreamMode::Record,
        local: (stream.address, stream.rtp_port).into(),
        remote: stream.peer_rtp,
    }
}
