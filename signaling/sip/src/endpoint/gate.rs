//! Who is let in: asked of the layer above before anything of a request is kept.

use holdfast_units::MonoTime;

use super::event::DialogId;
use crate::message::{Reply, Request};
use crate::transport::{Flow, FlowInfo};

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is answered so, and nothing is remembered of it.
    Answer(Box<Reply>),
    /// Nothing is said.
    Ignore,
}

/// Judges requests as they come, copies of those that were let in left out.
pub trait Gate {
    /// What becomes of a request; `dialog` is the one that it belongs to. An ACK or a CANCEL cannot
    /// be answered (RFC 3261 §22.1: "Requests with these methods MUST NOT be challenged").
    fn judge(
        &mut self,
        now: MonoTime,
        flow: Flow,
        source: &FlowInfo,
        request: &Request,
        dialog: Option<DialogId>,
    ) -> Verdict;

    /// Whether something that is no request may have an answer.
    fn answers_malformed(&mut self, now: MonoTime, source: &FlowInfo) -> bool;
}

/// Everybody is let in.
#[derive(Clone, Copy, Debug)]
pub struct OpenGate;

impl Gate for OpenGate {
    fn judge(
        &mut self,
        _: MonoTime,
        _: Flow,
        _: &FlowInfo,
        _: &Request,
        _: Option<DialogId>,
    ) -> Verdict {
        Verdict::Pass
    }

    fn answers_malformed(&mut self, _: MonoTime, _: &FlowInfo) -> bool {
        true
    }
}
