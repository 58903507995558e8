//! What a client does whose recorder dies: it goes on at another one.
//!
//! The recorder is asked by OPTIONS, time and again. When it has answered nothing for a while, every
//! call that is up is opened at the other recorder by an INVITE with Replaces (RFC 3891) and all of its
//! metadata (RFC 7866 section 9.2), and its packets go where the answer says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Proof, Run, RunError, media_targets};
use crate::agent::Agent;
use crate::limits;
use crate::sip::Message;
use crate::uac::{DialogName, Event};

/// How the recorder is, and where to go on when it is no more.
#[derive(Debug)]
pub(super) struct Standby {
    /// The other recorder; `None` once it is the one.
    target: Option<SocketAddr>,
    /// When the first one was last heard.
    heard: Instant,
    /// When it is asked again; `None` while it has not answered.
    ask_at: Option<Instant>,
    /// Calls to open there, and what they were before.
    moving: VecDeque<(u32, DialogName)>,
}

impl Standby {
    pub(super) fn new(target: Option<SocketAddr>, now: Instant) -> Self {
        Self {
            target,
            heard: now,
            ask_at: Some(now),
            moving: VecDeque::new(),
        }
    }

    /// How long it may be left alone.
    pub(super) fn patience(&self) -> Option<Duration> {
        (!self.moving.is_empty()).then_some(Duration::ZERO)
    }

    /// Whether the event is the answer to a question of ours.
    pub(super) fn takes(&mut self, event: &Event, now: Instant) -> bool {
        if event.call() != QUESTION {
            return false;
        }
        if !matches!(event, Event::TimedOut { .. }) {
            self.heard = now;
        }
        self.ask_at = Some(now + limits::STANDBY_ASK_INTERVAL);
        true
    }
}

impl Run {
    /// Asks the recorder how it is, and goes elsewhere where it does not answer. One call at a time:
    /// what comes meanwhile is read between.
    pub(super) fn look_after(&mut self, now: Instant) -> Result<(), RunError> {
        if let Some(target) = self.standby.target {
            if now.duration_since(self.standby.heard) >= limits::STANDBY_SILENCE_MAX {
                return self.leave_for(target);
            }
            if self.standby.ask_at.is_some_and(|at| at <= now) {
                self.standby.ask_at = None;
                self.agent.options(QUESTION)?;
            }
        }
        while let Some((number, former)) = self.standby.moving.pop_front() {
            if let Some(call) = self.call_by_number.get(&number) {
                let body = call.offer.multipart();
                self.agent.invite_replacing(number, &body, &former)?;
                break;
            }
        }
        Ok(())
    }

    fn leave_for(&mut self, target: SocketAddr) -> Result<(), RunError> {
        self.standby.target = None;
        // Call-IDs of its own: it is another dialog.
        let run = format!("{}-2", self.plan.run);
        let next = Agent::connect(target, &self.plan.way, &run, &self.plan.user)?;
        let former = std::mem::replace(&mut self.agent, next);
        let mut lost = Vec::new();
        for (&number, call) in &mut self.call_by_number {
            match former.dialog_name(number) {
                Some(name) if call.is_up && call.proof == Proof::Talking => {
                    call.is_moving = true;
                    self.standby.moving.push_back((number, name));
                }
                _ => lost.push(number),
            }
        }
        for number in lost {
            self.fail(number, "its recorder died, and it was not up".to_owned());
        }
        Ok(())
    }

    /// The other recorder has the call: its packets go there.
    pub(super) fn go_on(&mut self, number: u32, response: &Message) {
        let Some(call) = self.call_by_number.get_mut(&number) else {
            return;
        };
        call.is_moving = false;
        match media_targets(response, &call.offer) {
            Ok(targets) => {
                for (plan, target) in call.plans.iter().zip(targets) {
                    self.sender.redirect(plan.key, target);
                }
                self.report.moved += 1;
            }
            Err(reason) => {
                self.byes.push_front((Instant::now(), number));
                self.report.failures.insert(number, reason);
            }
        }
    }
}

/// The number of our questions: no call has it.
const QUESTION: u32 = limits::CALLS_MAX;
