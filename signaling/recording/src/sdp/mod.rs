//! Session descriptions (RFC 8866) as recording clients really write them.
//!
//! The reader keeps what it does not know, flags what is wrong and goes on: a missing `t=`, an
//! address that is none, lines in any order. It resolves no names and judges nothing: what an
//! offer means is the business of `offer`. It gives up ([`SdpError`]) only where no answer could
//! be built, because an answer has to mirror the m-lines one by one (RFC 3264 §6).
//!
//! No value it returns contains a control character, so none can break out of an answer's line.

mod attribute;
mod codec;
mod media;
mod reader;

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

pub use attribute::{
    Attribute, CryptoLine, Fingerprint, Group, RtcpAddress, Secret, SsrcAttribute,
};
pub use codec::{Codec, CodecRole, PayloadType, RtpMap};
pub use media::{Direction, Media, MediaKind, Profile};

use crate::limits;

/// A session description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionDescription {
    /// `o=`, where it can be read.
    pub origin: Option<OriginLine>,
    /// `s=`, also where it is a dash or a blank.
    pub name: Option<String>,
    /// The session's `c=`.
    pub connection: Option<Connection>,
    /// The session's `b=` lines.
    pub bandwidth: Vec<Bandwidth>,
    /// The values of the `t=` lines.
    pub times: Vec<String>,
    /// The session's direction attribute.
    pub direction: Option<Direction>,
    /// `a=group` (RFC 5888).
    pub groups: Vec<Group>,
    /// The session's `a=setup` (RFC 4145), as text.
    pub setup: Option<String>,
    /// The session's `a=fingerprint` lines (RFC 8122).
    pub fingerprints: Vec<Fingerprint>,
    /// All session attributes in order, known ones too.
    pub attributes: Vec<Attribute>,
    /// The m-lines in order.
    pub media: Vec<Media>,
    /// What was wrong at session level.
    pub flags: BTreeSet<SdpFlag>,
}

/// The `o=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginLine {
    /// The user name, often a dash.
    pub username: String,
    /// The session's id: digits, of any length.
    pub session_id: String,
    /// The description's version: digits, of any length.
    pub version: String,
    /// The address, as text.
    pub host: String,
}

/// An address family, as `c=` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// `IN IP4`.
    V4,
    /// `IN IP6`.
    V6,
}

/// A `c=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The family: of the address where there is one, else the one named.
    pub family: Family,
    /// The address as text, without TTL.
    pub host: String,
    /// The address, where the text is one. A name is not looked up.
    pub address: Option<IpAddr>,
}

/// A `b=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// What it limits: `AS`, `TIAS`, `RR`, `RS`.
    pub kind: String,
    /// The value in the unit of the kind.
    pub value: u64,
}

/// Something wrong with a description that could be read all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SdpFlag {
    /// No `v=0`.
    NoVersion,
    /// No readable `o=`.
    NoOrigin,
    /// No `s=`.
    NoName,
    /// No `t=`.
    NoTime,
    /// A `c=` that cannot be read.
    BadConnection,
    /// An m-line without a connection address, neither its own nor the session's.
    NoConnection,
    /// A session line (`v`, `o`, `s`, `t`) after the first m-line.
    OutOfOrder,
    /// A line that is no `x=value` of a known kind.
    UnknownLine,
    /// A line longer than the limit, skipped.
    LongLine,
    /// Octets that are not UTF-8, or control characters; they are replaced.
    BadText,
    /// A `k=` line, ignored (RFC 8866 §5.12).
    KeyLine,
    /// A `b=` that cannot be read.
    BadBandwidth,
    /// More than one direction attribute; the last one counts.
    SeveralDirections,
    /// An `a=rtpmap` with a damaged rate, or one that cannot be read.
    OddRtpmap,
    /// An `a=rtpmap` that gives a static payload type another codec.
    StaticRemapped,
    /// An `a=crypto` that cannot be read.
    BadCrypto,
    /// An `a=rtcp` that cannot be read, or one at session level.
    BadRtcp,
    /// A format of an RTP line that is no payload type.
    BadFormat,
    /// An m-line that lists no format.
    NoFormat,
    /// More formats than are looked at.
    TooManyFormats,
    /// An m-line for several consecutive ports; only the first is used.
    SeveralPorts,
}

/// Why no answer can be built: the sender has to hear 400 (Warning 399).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// The body is empty.
    #[error("the session description is empty")]
    Empty,
    /// More octets than the limit.
    #[error(
        "the session description has {size} octets, at most {} are read",
        limits::SDP_BYTES_MAX
    )]
    TooLong {
        /// Its size.
        size: usize,
    },
    /// More lines than the limit.
    #[error(
        "the session description has more than {} lines",
        limits::SDP_LINES_MAX
    )]
    TooManyLines,
    /// More m-lines than the limit.
    #[error(
        "the session description has more than {} m-lines",
        limits::MEDIA_LINES_MAX
    )]
    TooManyMedia,
    /// No line of a session description in it.
    #[error("the body is not a session description")]
    NotSdp,
    /// An m-line without media type, port or transport: it cannot be answered line by line.
    #[error("m-line {number} of the session description cannot be read")]
    BadMediaLine {
        /// Which m-line, from 1.
        number: usize,
    },
}

impl SessionDescription {
    /// Reads a session description.
    pub fn parse(bytes: &[u8]) -> Result<Self, SdpError> {
        reader::read(bytes)
    }

    /// The direction of one of its m-lines: its own, else the session's, else sendrecv
    /// (RFC 8866 §6.7).
    pub fn direction_of(&self, media: &Media) -> Direction {
        media
            .direction
            .or(self.direction)
            .unwrap_or(Direction::SendRecv)
    }

    /// The connection of one of its m-lines: its own, else the session's (RFC 8866 §5.7).
    pub fn connection_of<'s>(&'s self, media: &'s Media) -> Option<&'s Connection> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// A bandwidth of one of its m-lines: its own, else the session's.
    pub fn bandwidth_of(&self, media: &Media, kind: &str) -> Option<u64> {
        let find = |lines: &[Bandwidth]| {
            lines
                .iter()
                .find(|line| line.kind.eq_ignore_ascii_case(kind))
                .map(|line| line.value)
        };
        find(&media.bandwidth).or_else(|| find(&self.bandwidth))
    }

    /// All flags, of the session and of its m-lines.
    pub fn all_flags(&self) -> BTreeSet<SdpFlag> {
        let lines = self.media.iter().flat_map(|media| media.flags.iter());
        self.flags.iter().chain(lines).copied().collect()
    }
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IP4",
            Self::V6 => "IP6",
        })
    }
}
