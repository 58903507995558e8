//! Which call a notice is about, for a log whose lines bear the call's names.

use std::net::SocketAddr;

use super::Recorder;
use super::output::Notice;

/// The names by which a peer knows a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallName<'c> {
    /// Call-ID.
    pub call_id: &'c str,
    /// Where the INVITE came from.
    pub peer: Option<SocketAddr>,
}

impl Recorder {
    /// The call of a notice that says its recording alone; `None` where it says more, or is about none.
    pub fn name_of(&self, notice: &Notice) -> Option<CallName<'_>> {
        let recording = match notice {
            Notice::CallChanged { recording, .. }
            | Notice::CallReplaced { recording, .. }
            | Notice::CallAdopted { recording, .. }
            | Notice::ChangeRefused { recording, .. }
            | Notice::RecordingUnaccounted { recording, .. }
            | Notice::Commanded { recording, .. }
            | Notice::DirectionTold { recording, .. }
            | Notice::SnapshotRefused { recording, .. }
            | Notice::PortRefused { recording, .. }
            | Notice::EngineRefused { recording, .. }
            | Notice::EngineSilent { recording, .. } => recording,
            _ => return None,
        };
        let call = self.calls.get(recording)?;
        Some(CallName {
            call_id: &call.sip.call_id,
            peer: call.sip.peer,
        })
    }
}
