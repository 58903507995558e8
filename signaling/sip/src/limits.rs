//! Every bound of this crate, with its unit and its reason.

use std::time::Duration;

/// Bounds an operator may move. The defaults fit one recorder of some thousand calls.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Octets of start-line and headers of one message.
    pub head_bytes_max: usize,
    /// Octets of one body. A full SIPREC snapshot of a large conference stays well below.
    pub body_bytes_max: usize,
    /// How long a message may take to arrive on a stream once its first octet is there.
    pub message_duration_max: Duration,
    /// Server and client transactions alive at once; further requests get 503.
    pub transactions_max: usize,
    /// Dialogs alive or being set up at once; further INVITEs get 503.
    pub dialogs_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 64 * 1024,
            body_bytes_max: 256 * 1024,
            message_duration_max: Duration::from_secs(20),
            transactions_max: 100_000,
            dialogs_max: 20_000,
        }
    }
}

/// Header lines in one message. Real INVITEs carry about 40.
pub const HEADER_LINES_MAX: usize = 512;

/// Via values in one message. RFC 3261 lets Max-Forwards start at 70.
pub const VIAS_MAX: usize = 128;

/// Requests of one dialog that wait for the layer above; further ones get 500.
pub const DIALOG_PENDING_MAX: usize = 16;

/// 2xx responses of one dialog that wait for their ACK.
pub const UNCONFIRMED_MAX: usize = 4;

/// An INVITE that is not answered for so long is given up, whatever its Expires says.
pub const INVITE_UNANSWERED_MAX: Duration = Duration::from_secs(180);

/// An INVITE of ours that gets provisional answers only is given up after so long.
pub const INVITE_PROCEEDING_MAX: Duration = Duration::from_secs(180);

/// 2xx responses to one INVITE of ours, from as many branches, that are acknowledged; further ones
/// are passed over. Each is ended at once but the first, so this bounds what one INVITE of ours can be
/// made to cost and nothing that is recorded: no operator has a reason to move it.
pub const FORKS_MAX: usize = 8;

/// CSeq numbers stay below this (RFC 3261 §8.1.1.5).
pub const CSEQ_END: u32 = 1 << 31;

/// Answers of a dialog that are kept for another process, should copies of their requests come.
pub const ANSWERS_KEPT_MAX: usize = 4;

/// By how much our sequence numbers leap when a process takes up the dialog of another: more than
/// requests can have been sent in it since it was kept.
pub const CSEQ_LEAP: u32 = 1_024;

/// What UDP can carry: nothing larger reaches us in one datagram.
pub const DATAGRAM_BYTES_MAX: usize = 65_535;

const _: () = assert!(UNCONFIRMED_MAX <= DIALOG_PENDING_MAX);
