//! What an operator asks of a running signaling process, and what it answers: one JSON object a line
//! in each direction, an answer to each question, in their order.
//!
//! ```text
//!   {"command":"list"}                    {"answer":"calls","calls":[…]}
//!   {"command":"show","id":"…"}           {"answer":"call","call":{…}}
//!   {"command":"pause","id":"…"}          {"answer":"call","call":{…}}
//!   {"command":"resume","id":"…"}         {"answer":"refused","reason":"no_such_call"}
//!   {"command":"hang_up","id":"…"}        {"answer":"malformed","text":"…"}
//!   {"command":"drain","on":true}         {"answer":"draining","on":true,"calls":12}
//!   {"command":"record","uri":"sip:…"}    {"answer":"refused","reason":{"rejected":{"status":486}}}
//! ```
//!
//! Members that a reader does not know are passed over, so that either side may be the older one.

use std::net::SocketAddr;

use holdfast_manifest::time;
use holdfast_units::{RecordingId, WallTime};
use serde::{Deserialize, Serialize};

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// All calls. Answered by [`Answer::Calls`].
    List,
    /// One call. Answered, like all that follow, by [`Answer::Call`] or [`Answer::Refused`].
    Show {
        /// Its recording.
        id: RecordingId,
    },
    /// To keep nothing of a call until it is resumed: at once, whatever its peer says to that.
    /// A call that is paused stays so.
    Pause {
        /// Its recording.
        id: RecordingId,
    },
    /// To record a call again. One that is recorded goes on.
    Resume {
        /// Its recording.
        id: RecordingId,
    },
    /// To take no new calls, or to take them again; those that are up go on. Answered by
    /// [`Answer::Draining`].
    Drain {
        /// Whether new calls and OPTIONS get 503.
        on: bool,
    },
    /// To end a call; its recording is published.
    HangUp {
        /// Its recording.
        id: RecordingId,
    },
}

/// What an operator has the server do that is answered when its peer has answered: a call to a
/// client, to record what it has. By [`Answer::Call`] once it is recorded, else by
/// [`Answer::Refused`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Placing {
    /// To call a client (RFC 7866 §6.2).
    Record {
        /// A `sip` or `sips` URI whose host is an address.
        uri: String,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The calls there are, in the order in which they began.
    Calls {
        /// Each of them.
        calls: Vec<Call>,
    },
    /// One call, after the command.
    Call {
        /// As it is now.
        call: Box<Call>,
    },
    /// Whether new calls are taken.
    Draining {
        /// They are not.
        on: bool,
        /// Calls that are up.
        calls: usize,
    },
    /// The command was not carried out.
    Refused {
        /// Why.
        reason: Refusal,
    },
    /// The line is no command.
    Malformed {
        /// What is wrong, for a reader.
        text: String,
    },
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No call has this recording, or no longer.
    #[error("no such call")]
    NoSuchCall,
    /// It is over, and its recording is being published.
    #[error("the call has ended")]
    Ended,
    /// Whom to call is not said by a SIP URI with an address.
    #[error("a sip or sips URI is wanted whose host is an IP address, without header fields")]
    BadTarget,
    /// No `[[peer]]` that may be called has the address.
    #[error("no [[peer]] with callable = true has this address")]
    NotAllowed,
    /// Nothing listens on the transport, so that the peer could not answer.
    #[error("sip.listen has no address of this transport and address family")]
    NoListener,
    /// The server takes no call now: it drains or ends, has as many as there may be, no ports, or no
    /// media engine.
    #[error("no further call can be recorded now")]
    Unavailable,
    /// The peer refused.
    #[error("the peer answered {status}")]
    Rejected {
        /// With this status.
        status: u16,
    },
    /// The peer did not answer, or cannot be reached.
    #[error("the peer did not answer")]
    Unanswered,
    /// The peer accepted, and nothing that it offers can be recorded.
    #[error("the peer offers nothing that can be recorded")]
    Unusable,
}

/// A call, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its recording.
    pub id: RecordingId,
    /// Call-ID.
    pub call_id: String,
    /// When the INVITE came.
    #[serde(with = "time")]
    pub started: WallTime,
    /// How far it is.
    pub stage: Stage,
    /// Where the INVITE came from.
    pub peer: Option<SocketAddr>,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// User-Agent of the peer.
    pub user_agent: Option<String>,
    /// Whether nothing of it is kept because an operator or the settings want it so.
    pub is_paused: bool,
    /// Whether the media engine has confirmed all that is shown here: a pause that it has not may
    /// still let a packet through.
    pub is_in_force: bool,
    /// Whether the peer knows and agrees. A pause without that keeps nothing all the same.
    pub is_agreed: bool,
    /// Who takes part, by the metadata: a name, or else an address.
    pub participants: Vec<String>,
    /// The streams there are, in the order of their m-lines.
    pub streams: Vec<Stream>,
    /// Stable words for what was odd, as the manifest will have them.
    pub warnings: Vec<String>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The INVITE is not answered yet.
    Opening,
    /// It is answered.
    Up,
    /// It is over and being published.
    Ended,
}

/// One media stream of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Number within the recording, from 1.
    pub number: u16,
    /// `a=label`.
    pub label: Option<String>,
    /// Channel of the audio, from 0.
    pub channel: u16,
    /// Media of the m-line: `audio`.
    pub media: String,
    /// Names of the codecs, in the order of the offer.
    pub codecs: Vec<String>,
    /// Whether its packets are recorded now.
    pub is_recording: bool,
    /// Where its packets are received.
    pub local: SocketAddr,
    /// Where the peer says that it is.
    pub remote: Option<SocketAddr>,
}

/// The line for a command or an answer, with its end.
pub fn to_line(message: &impl Serialize) -> Vec<u8> {
    // No member is a map with keys that are no text, or anything else that could fail.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads a line, with or without its end.
///
/// # Errors
///
/// It is no JSON object of this kind.
pub fn from_line<'l, T: Deserialize<'l>>(line: &'l [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(line)
}

/// Octets of a line that asks for something. The longest command has some eighty.
pub const COMMAND_SIZE_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_they_are_documented() {
        let id = RecordingId::from_bytes([0xab; 16]);
        let hex = "ab".repeat(16);
        for (command, line) in [
            (Command::List, r#"{"command":"list"}"#.to_owned()),
            (
                Command::HangUp { id },
                format!(r#"{{"command":"hang_up","id":"{hex}"}}"#),
            ),
        ] {
            assert_eq!(to_line(&command), format!("{line}\n").as_bytes());
            assert_eq!(from_line::<Command>(line.as_bytes()).unwrap(), command);
        }
        let refused = Answer::Refused {
            reason: Refusal::NoSuchCall,
        };
        let line = r#"{"answer":"refused","reason":"no_such_call"}"#;
        assert_eq!(to_line(&refused), format!("{line}\n").as_bytes());
        let newer = r#"{"command":"show","id":"abababababababababababababababab","since":1}"#;
        assert_eq!(
            from_line::<Command>(newer.as_bytes()).unwrap(),
            Command::Show { id }
        );
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"command":"list""#,
            r#"{"command":"show"}"#,
        ] {
            assert!(from_line::<Command>(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
