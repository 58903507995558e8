//! A run: many calls placed one after the other, each talking for a while and then hung up.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::agent::{Agent, AgentError};
use crate::answer::Answer;
use crate::invite::Offer;
use crate::media::{LegPlan, PortPair, Sender, StreamJob, StreamReport, key_presses, silences};
use crate::pattern::LegKey;
use crate::sip::Message;
use crate::uac::{Event, Method};
use crate::verify::{CallTruth, LegTruth, MetadataTruth};
use crate::{srtp, stats};
use standby::Standby;

mod plan;
mod standby;

pub use plan::{Progress, RunError, RunPlan, RunReport};

/// Places the calls and waits until the last has ended. `progress` is called about once a second.
pub fn run(plan: RunPlan, progress: impl FnMut(&Progress)) -> Result<RunReport, RunError> {
    let agent = Agent::connect(plan.target, &plan.way, &plan.run, &plan.user)?;
    let mut run = Run::new(plan, agent, Sender::spawn()?);
    run.carry_out(progress)?;
    Ok(run.finish())
}

/// One call under way.
struct Call {
    offer: Offer,
    ports: Vec<Arc<PortPair>>,
    plans: Vec<LegPlan>,
    legs_talking: usize,
    is_up: bool,
    /// Whether the other server is to take it, and has not yet.
    is_moving: bool,
    /// How far the proof is that its dialog lives.
    proof: Proof,
}

/// ```text
///   Talking ──silence──▶ Reinvited ──200──▶ Updated ──200──▶ Proved ──BYE──▶
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Talking,
    Reinvited,
    Updated,
    Proved,
}

struct Run {
    plan: RunPlan,
    agent: Agent,
    sender: Sender,
    standby: Standby,
    started: Instant,
    /// When each call is to be placed, from the start on.
    due: Vec<Duration>,
    call_by_number: BTreeMap<u32, Call>,
    /// Calls to hang up, soonest first.
    byes: VecDeque<(Instant, u32)>,
    progress: Progress,
    report: RunReport,
}

impl Run {
    fn new(plan: RunPlan, agent: Agent, sender: Sender) -> Self {
        let due = plan
            .arrivals
            .due(plan.calls, plan.rate, plan.impairment.seed);
        let started = Instant::now();
        Self {
            standby: Standby::new(plan.standby, started),
            plan,
            agent,
            sender,
            started,
            due,
            call_by_number: BTreeMap::new(),
            byes: VecDeque::new(),
            progress: Progress::default(),
            report: RunReport::default(),
        }
    }

    fn carry_out(&mut self, mut progress: impl FnMut(&Progress)) -> Result<(), RunError> {
        let ramp = self.due.last().copied().unwrap_or_default();
        let deadline = self.started + ramp + self.plan.talk + GRACE;
        let mut next_progress = self.started + PROGRESS_INTERVAL;
        while self.progress.placed < self.plan.calls || !self.call_by_number.is_empty() {
            let now = Instant::now();
            self.look_after(now)?;
            self.place_due(now)?;
            self.hang_up_due(now)?;
            for event in self.agent.step(self.patience(now))? {
                self.handle_event(event)?;
            }
            while let Some(report) = self.sender.poll_finished() {
                self.handle_stream_end(report);
            }
            if now >= next_progress {
                progress(&self.progress);
                next_progress += PROGRESS_INTERVAL;
            }
            if now >= deadline {
                for call in self.call_by_number.keys().copied().collect::<Vec<_>>() {
                    self.fail(call, "it did not end in time".to_owned());
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> RunReport {
        let mut report = self.report;
        report.lateness_us = self.sender.finish().lateness_us;
        report
    }

    /// When the next call is to be placed; `None` where all are.
    fn next_call(&self) -> Option<Instant> {
        let due = self.due.get(self.progress.placed as usize)?;
        Some(self.started + *due)
    }

    /// How long the loop may wait for messages: the end of a stream does not wake it.
    fn patience(&self, now: Instant) -> Duration {
        let next_bye = self.byes.front().map(|&(at, _)| at);
        let due = [self.next_call(), next_bye]
            .into_iter()
            .flatten()
            .map(|at| at.saturating_duration_since(now));
        due.chain(self.standby.patience())
            .fold(POLL_INTERVAL, Duration::min)
    }

    fn place_due(&mut self, now: Instant) -> Result<(), RunError> {
        while self.next_call().is_some_and(|due| due <= now) {
            let number = self.progress.placed;
            self.progress.placed += 1;
            let ip = self.agent.local_addr().map_err(AgentError::from)?.ip();
            let ports = (0..self.plan.streams)
                .map(|_| self.plan.ports.open(ip).map(Arc::new))
                .collect::<Result<Vec<_>, _>>()?;
            let codec = self.plan.codec_of(number);
            let [caller, callee] = [ports.first(), ports.last()]
                .map(|pair: Option<&Arc<PortPair>>| pair.map(|pair| pair.address));
            let (Some(caller), Some(callee)) = (caller, callee) else {
                return Ok(());
            };
            let mut offer = Offer::two_party(number, codec, caller, callee);
            // A call of one stream has the first line of one of two.
            offer.legs.truncate(self.plan.streams.into());
            if self.plan.is_encrypted {
                offer = offer.encrypted();
            }
            let plans = (0..self.plan.streams)
                .map(|leg| self.leg_plan(LegKey { call: number, leg }))
                .collect();
            self.agent.invite(number, &offer.multipart())?;
            let call = Call {
                offer,
                ports,
                plans,
                legs_talking: 0,
                is_up: false,
                is_moving: false,
                proof: Proof::Talking,
            };
            self.call_by_number.insert(number, call);
        }
        Ok(())
    }

    /// What a leg says.
    fn leg_plan(&self, key: LegKey) -> LegPlan {
        let RunPlan {
            talk,
            impairment,
            talk_spurts,
            presses_keys,
            ..
        } = self.plan;
        let slots = u32::try_from(talk.as_millis() / 20).unwrap_or(u32::MAX);
        let mut plan = LegPlan {
            impairment,
            ..LegPlan::plain(key, self.plan.codec_of(key.call), slots)
        };
        if talk_spurts {
            plan.unsent = silences(key, slots, impairment.seed);
        }
        if presses_keys {
            plan.keys = key_presses(key, slots, &plan.unsent, impairment.seed);
        }
        plan
    }

    fn hang_up_due(&mut self, now: Instant) -> Result<(), RunError> {
        while let Some(&(at, call)) = self.byes.front() {
            if at > now {
                break;
            }
            self.byes.pop_front();
            match self.call_by_number.get_mut(&call) {
                Some(known) if known.is_moving => {
                    self.byes.push_back((now + POLL_INTERVAL, call));
                }
                Some(known) if self.plan.proves_dialogs && known.proof == Proof::Talking => {
                    known.proof = Proof::Reinvited;
                    let body = known.offer.sdp_body();
                    self.agent.request(call, Method::Invite, Some(&body))?;
                }
                Some(_) => self.agent.request(call, Method::Bye, None)?,
                None => {}
            }
        }
        Ok(())
    }

    fn handle_event(&mut self, event: Event) -> Result<(), RunError> {
        if self.standby.takes(&event, Instant::now()) {
            return Ok(());
        }
        match event {
            Event::Accepted { call, response, .. } if self.is_moving(call) => {
                self.go_on(call, &response);
            }
            Event::Accepted { call, method, .. } if self.is_proving(call) => {
                return self.go_on_proving(call, method);
            }
            Event::Accepted {
                call,
                method: Method::Invite,
                response,
                took,
            } => {
                stats::record(&mut self.report.invite_us, took);
                let answered = self.report.invite_us.len() as f64;
                self.report.answered_per_second = answered / self.started.elapsed().as_secs_f64();
                self.talk(call, &response);
            }
            Event::Accepted {
                call,
                method: Method::Bye,
                ..
            } => self.end(call),
            Event::Accepted { .. } => {}
            Event::Refused {
                call,
                method: Method::Bye,
                ..
            }
            | Event::TimedOut {
                call,
                method: Method::Bye,
            } if self.plan.may_be_forgotten => self.end(call),
            Event::Refused {
                call,
                method,
                response,
            } => {
                let status = response.status().unwrap_or(0);
                self.fail(call, format!("{} was answered {status}", method.name()));
            }
            Event::TimedOut { call, method } => {
                self.fail(call, format!("{} was not answered", method.name()));
            }
            Event::HungUp { call } => self.fail(call, "the server hung up".to_owned()),
        }
        Ok(())
    }

    fn is_moving(&self, call: u32) -> bool {
        let call = self.call_by_number.get(&call);
        call.is_some_and(|call| call.is_moving)
    }

    fn is_proving(&self, call: u32) -> bool {
        let proof = self.call_by_number.get(&call).map(|call| call.proof);
        matches!(
            proof,
            Some(Proof::Reinvited | Proof::Updated | Proof::Proved)
        )
    }

    /// A request of a call whose dialog is to be shown to live was accepted.
    fn go_on_proving(&mut self, number: u32, method: Method) -> Result<(), RunError> {
        let Some(call) = self.call_by_number.get_mut(&number) else {
            return Ok(());
        };
        match (call.proof, method) {
            (Proof::Reinvited, Method::Invite) => {
                call.proof = Proof::Updated;
                let body = call.offer.metadata_body();
                self.agent.request(number, Method::Update, Some(&body))?;
            }
            (Proof::Updated, Method::Update) => {
                call.proof = Proof::Proved;
                self.agent.request(number, Method::Bye, None)?;
            }
            (Proof::Proved, Method::Bye) => {
                self.report.dialogs_proved += 1;
                self.end(number);
            }
            _ => {}
        }
        Ok(())
    }

    fn talk(&mut self, number: u32, response: &Message) {
        let Some(call) = self.call_by_number.get_mut(&number) else {
            return;
        };
        let targets = match media_targets(response, &call.offer) {
            Ok(targets) => targets,
            Err(reason) => {
                // The call is up at the server: it must be ended there too.
                self.byes.push_front((Instant::now(), number));
                self.report.failures.insert(number, reason);
                return;
            }
        };
        call.is_up = true;
        call.legs_talking = targets.len();
        let (start, is_encrypted) = (Instant::now(), self.plan.is_encrypted);
        if self.plan.is_silent {
            call.legs_talking = 0;
            self.byes.push_back((start + self.plan.talk, number));
        }
        let targets = if self.plan.is_silent {
            Vec::new()
        } else {
            targets
        };
        for ((ports, plan), target) in call.ports.iter().zip(&call.plans).zip(targets) {
            let ports = Arc::clone(ports);
            self.sender.start(StreamJob {
                plan: plan.clone(),
                ports,
                target,
                start,
                protection: is_encrypted.then(|| srtp::transform(plan.key)),
            });
        }
        self.progress.up += 1;
        self.report.concurrent_max = self.report.concurrent_max.max(self.progress.up);
    }

    fn handle_stream_end(&mut self, stream: StreamReport) {
        self.report.packets_sent += stream.sent;
        self.report.send_failures += stream.failed;
        self.report.reports += u64::from(stream.reports);
        self.report.streams_without_report += u32::from(stream.reports == 0);
        let number = stream.key.call;
        let Some(call) = self.call_by_number.get_mut(&number) else {
            return;
        };
        call.legs_talking = call.legs_talking.saturating_sub(1);
        if call.legs_talking == 0 {
            self.byes.push_back((Instant::now(), number));
        }
    }

    fn end(&mut self, number: u32) {
        let Some(call) = self.call_by_number.remove(&number) else {
            return;
        };
        self.progress.up -= u32::from(call.is_up);
        if self.report.failures.contains_key(&number) {
            self.progress.failed += 1;
            return;
        }
        self.progress.ended += 1;
        let metadata = MetadataTruth::of(&call.offer);
        let legs = call
            .offer
            .legs
            .into_iter()
            .map(|leg| leg.label)
            .zip(call.plans);
        self.report.truths.push(CallTruth {
            call_id: self.agent.call_id(number),
            legs: legs.map(|(label, plan)| LegTruth { label, plan }).collect(),
            metadata: Some(metadata),
        });
    }

    fn fail(&mut self, number: u32, reason: String) {
        let Some(call) = self.call_by_number.remove(&number) else {
            return;
        };
        self.progress.up -= u32::from(call.is_up);
        self.progress.failed += 1;
        self.report.failures.entry(number).or_insert(reason);
    }
}

/// Where each leg goes, if the answer is what a recorder owes to the offer.
fn media_targets(response: &Message, offer: &Offer) -> Result<Vec<SocketAddr>, String> {
    let content_type = response.header("Content-Type").unwrap_or("none");
    if !content_type.eq_ignore_ascii_case("application/sdp") {
        return Err(format!("the 200 has Content-Type {content_type}"));
    }
    let answer = Answer::parse(&response.body).map_err(|error| error.to_string())?;
    if answer.lines.len() != offer.legs.len() {
        return Err(format!("{} m-lines in the answer", answer.lines.len()));
    }
    let mut targets = Vec::new();
    for (line, leg) in answer.lines.iter().zip(&offer.legs) {
        if line.direction != "recvonly" || line.label.as_ref() != Some(&leg.label) {
            let (direction, label) = (&line.direction, &line.label);
            return Err(format!(
                "label {} was answered {direction} {label:?}",
                leg.label
            ));
        }
        if line.crypto.is_some() != leg.crypto.is_some() {
            return Err(format!(
                "label {} was answered with a=crypto {:?}",
                leg.label, line.crypto
            ));
        }
        targets.push(
            line.rtp
                .ok_or_else(|| format!("label {} was refused", leg.label))?,
        );
    }
    Ok(targets)
}

/// How long the loop waits at most: the delay of a BYE after the last packet's slot.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Time a run may take beyond its plan: a SIP transaction's time-out and some.
const GRACE: Duration = Duration::from_secs(40);

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
