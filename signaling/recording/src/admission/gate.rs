//! The admission as the SIP endpoint asks it.

use std::collections::VecDeque;

use holdfast_sip::endpoint::{self, DialogId, Verdict};
use holdfast_sip::{Flow, FlowInfo, Request, Status};
use holdfast_units::MonoTime;

use super::{Admission, Belongs, Sender};
use crate::recorder::{Notice, Output};

/// One request on its way in.
pub(crate) struct Gate<'a, F> {
    pub(crate) admission: &'a mut Admission,
    /// Who began the call that a dialog belongs to.
    pub(crate) sender_of: F,
    /// Where refusals are told.
    pub(crate) outputs: &'a mut VecDeque<Output>,
    /// Who sent the request, once it is let in.
    pub(crate) sender: Sender,
}

impl<'s, F: Fn(DialogId) -> Option<&'s Sender>> endpoint::Gate for Gate<'_, F> {
    fn judge(
        &mut self,
        now: MonoTime,
        flow: Flow,
        source: &FlowInfo,
        request: &Request,
        dialog: Option<DialogId>,
    ) -> Verdict {
        let belongs = match dialog.and_then(&self.sender_of) {
            Some(sender) => Belongs::ToCallOf(sender),
            None => Belongs::Nowhere,
        };
        match self.admission.judge(now, flow, source, request, belongs) {
            Ok(sender) => {
                self.sender = sender;
                Verdict::Pass
            }
            Err(rejection) => {
                let reply = rejection.reply;
                if let Some(status) = reply.as_ref().map(|reply| reply.status) {
                    self.tell(source, request, status, rejection.cause);
                }
                reply.map_or(Verdict::Ignore, Verdict::Answer)
            }
        }
    }

    fn answers_malformed(&mut self, now: MonoTime, source: &FlowInfo) -> bool {
        self.admission.answers_malformed(now, source)
    }
}

impl<F> Gate<'_, F> {
    /// A first request without credentials is no news: that is how clients learn the nonce.
    fn tell(
        &mut self,
        source: &FlowInfo,
        request: &Request,
        status: Status,
        cause: super::NotAdmitted,
    ) {
        use super::{CredentialsFault, NotAdmitted};
        if cause == NotAdmitted::Credentials(CredentialsFault::Missing) {
            return;
        }
        self.outputs
            .push_back(Output::Notice(Notice::RequestRefused {
                method: request.method().as_str().to_owned(),
                peer: source.remote,
                status,
                cause,
            }));
    }
}
