//! What of a dialog outlives the process: the dialog, the answers that its peer may ask for again,
//! and the 2xx that nobody has acknowledged.
//!
//! Requests of ours that wait for an answer are not kept: whoever goes on asks anew, with higher
//! sequence numbers (RFC 3261 §12.2.2 wants them to keep rising).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_units::MonoTime;
use serde::{Deserialize, Serialize};

use super::event::{DialogId, Owner, ServerTx};
use super::keys::ServerKey;
use super::{Endpoint, Origin, ReplyRoute};
use crate::Bytes;
use crate::dialog::{Dialog, Phase, Unconfirmed};
use crate::limits::{ANSWERS_KEPT_MAX, CSEQ_END, CSEQ_LEAP};
use crate::message::{Reply, Request};
use crate::transport::Flow;

/// A dialog as another process can take it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptDialog {
    /// The dialog.
    pub dialog: Dialog,
    answers: Vec<KeptAnswer>,
    unacknowledged: Option<Unacknowledged>,
}

/// An answer that its peer may ask for again by a copy of its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeptAnswer {
    request: ServerKey,
    response: String,
    /// How long copies may still come.
    remaining_ms: u64,
}

/// A 2xx without its ACK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Unacknowledged {
    cseq: u32,
    response: String,
    to: SocketAddr,
}

/// An answer to a request of a dialog, while its copies may come.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    key: ServerKey,
    response: Bytes,
    until: MonoTime,
}

/// Answers of the process before.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    by_key: BTreeMap<ServerKey, (Bytes, MonoTime)>,
    by_age: BTreeSet<(MonoTime, ServerKey)>,
}

impl Recalled {
    pub(super) const fn new() -> Self {
        Self {
            by_key: BTreeMap::new(),
            by_age: BTreeSet::new(),
        }
    }

    fn insert(&mut self, key: ServerKey, response: Bytes, until: MonoTime) {
        if let Some((_, before)) = self.by_key.insert(key.clone(), (response, until)) {
            self.by_age.remove(&(before, key.clone()));
        }
        self.by_age.insert((until, key));
    }

    pub(super) fn forget_old(&mut self, now: MonoTime) {
        while let Some((until, key)) = self.by_age.first().filter(|(until, _)| *until <= now) {
            let (until, key) = (*until, key.clone());
            self.by_key.remove(&key);
            self.by_age.remove(&(until, key));
        }
    }
}

impl KeptDialog {
    /// The 2xx that waits for its ACK is not sent again.
    pub fn acknowledge(&mut self) {
        self.unacknowledged = None;
    }
}

impl Endpoint {
    /// What is to be kept of a dialog.
    pub fn keep_dialog(&self, now: MonoTime, id: DialogId) -> Option<KeptDialog> {
        let entry = self.dialogs.get(&id)?;
        let answers = entry.answers.iter().filter(|answer| answer.until > now);
        let answers = answers.filter_map(|answer| {
            Some(KeptAnswer {
                request: answer.key.clone(),
                response: text_of(&answer.response)?,
                remaining_ms: millis(answer.until - now),
            })
        });
        let waiting = entry.unconfirmed.last().zip(entry.route);
        let unacknowledged = waiting.and_then(|(waiting, route)| {
            Some(Unacknowledged {
                cseq: waiting.cseq(),
                response: text_of(waiting.response())?,
                to: route.address,
            })
        });
        Some(KeptDialog {
            dialog: entry.dialog.clone(),
            answers: answers.collect(),
            unacknowledged,
        })
    }

    /// Takes up a dialog that another process kept so long ago. Requests of ours get numbers that are
    /// higher than any it can have used; a 2xx without its ACK is sent again.
    pub fn restore_dialog(&mut self, now: MonoTime, kept: KeptDialog, since: Duration) -> DialogId {
        let KeptDialog {
            mut dialog,
            answers,
            unacknowledged,
        } = kept;
        let leapt = dialog.local_cseq.saturating_add(CSEQ_LEAP);
        dialog.local_cseq = leapt.min(CSEQ_END - 1).max(dialog.local_cseq);
        if dialog.phase == Phase::Terminating {
            // A BYE of ours without its answer: it is to be said again.
            dialog.phase = Phase::Confirmed;
        }
        let (transport, local) = (dialog.transport, dialog.local);
        let id = self.adopt_dialog(dialog);
        for answer in answers {
            let remaining = Duration::from_millis(answer.remaining_ms);
            let Some(left) = remaining.checked_sub(since) else {
                continue;
            };
            let (response, until): (Bytes, _) = (answer.response.into_bytes().into(), now + left);
            let key = answer.request;
            self.recalled.insert(key.clone(), response.clone(), until);
            if let Some(entry) = self.dialogs.get_mut(&id) {
                entry.answers.push_back(Answered {
                    key,
                    response,
                    until,
                });
            }
        }
        let timers = self.config.timers;
        if let (Some(waiting), Some(entry)) = (unacknowledged, self.dialogs.get_mut(&id)) {
            let response: Bytes = waiting.response.into_bytes().into();
            let route = ReplyRoute {
                flow: NO_FLOW,
                transport,
                address: waiting.to,
                local,
            };
            entry.route = Some(route);
            entry.unconfirmed.push(Unconfirmed::new(
                now,
                &timers,
                waiting.cseq,
                response.clone(),
            ));
            let target = self.reply_target(&route);
            self.transmit(target, response, Owner::Dialog(id));
        }
        self.settle_dialog(id);
        id
    }

    /// The dialog that a message of ours belongs to.
    pub fn dialog_of(&self, owner: Owner) -> Option<DialogId> {
        match owner {
            Owner::Server(tx) => self.servers.get(&tx)?.dialog,
            Owner::Client(client) => self.clients.get(&client).map(|entry| entry.dialog),
            Owner::Dialog(id) => Some(id),
            Owner::Stateless => None,
        }
    }

    /// Takes back a 2xx to an INVITE outside of a dialog that has not left yet, and answers so
    /// instead. Nothing is remembered of either; `DialogGone` does not follow.
    pub fn retract_invite(&mut self, tx: ServerTx, id: DialogId, reply: &Reply) {
        let Some(entry) = self.servers.get(&tx) else {
            return;
        };
        let Some(bytes) = self.word(entry, reply) else {
            return;
        };
        let route = entry.route;
        self.forget_server(tx);
        self.forget_dialog(id);
        let target = self.reply_target(&route);
        self.transmit(target, bytes, Owner::Stateless);
    }

    /// Lets go of a dialog that another process has now: it has not ended, so nobody is told that it
    /// has, then or later. `DialogGone` does not follow.
    pub fn disown_dialog(&mut self, id: DialogId) {
        self.forget_dialog(id);
    }

    /// Notes a final answer in a dialog, should its request come again to another process.
    pub(super) fn note_answer(&mut self, now: MonoTime, tx: ServerTx, response: Bytes) {
        let Some(server) = self.servers.get(&tx) else {
            return;
        };
        let until = now + self.config.timers.timeout();
        let (key, id) = (server.key.clone(), server.dialog);
        if let Some(entry) = id.and_then(|id| self.dialogs.get_mut(&id)) {
            if entry.answers.len() >= ANSWERS_KEPT_MAX {
                entry.answers.pop_front();
            }
            entry.answers.push_back(Answered {
                key,
                response,
                until,
            });
        }
    }

    /// Answers a copy of a request that a process before has answered.
    pub(super) fn answer_again(
        &mut self,
        now: MonoTime,
        origin: Origin,
        key: &ServerKey,
        request: &Request,
    ) -> bool {
        self.recalled.forget_old(now);
        let Some((response, _)) = self.recalled.by_key.get(key) else {
            return false;
        };
        let (flow, source) = origin;
        let route = ReplyRoute {
            flow,
            transport: source.transport,
            address: request
                .via()
                .response_address(source.transport, source.remote),
            local: source.local,
        };
        let (target, response) = (self.reply_target(&route), response.clone());
        self.transmit(target, response, Owner::Stateless);
        true
    }
}

fn text_of(response: &Bytes) -> Option<String> {
    std::str::from_utf8(response).ok().map(str::to_owned)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A connection that is not there.
const NO_FLOW: Flow = Flow(u64::MAX);
