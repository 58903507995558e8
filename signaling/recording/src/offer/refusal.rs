//! Refusals and the Warning each is explained with (RFC 3261 §20.43, RFC 5621).

use crate::sdp::SdpError;

/// Why one m-line is answered with port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum LineRefusal {
    /// Policy does not keep this kind of media.
    #[error("this kind of media is not recorded")]
    MediaKind,
    /// The transport or profile is not RTP as policy wants it.
    #[error("this transport is not supported")]
    Transport,
    /// The profile is encrypted, and policy knows no suite.
    #[error("encrypted media is not supported")]
    NoEncryption,
    /// The keys would be agreed on by DTLS (RFC 5763).
    #[error("encrypted media with keys by DTLS is not supported, offer them with a=crypto")]
    Dtls,
    /// The profile is encrypted, and the line has no keys that can be used.
    #[error("encrypted media without a crypto line that is valid, known and allowed")]
    NoUsableKeys,
    /// The keys came where others may read them (RFC 4568 §11.1, RFC 8866 §7).
    #[error("keys of encrypted media are taken over TLS alone")]
    KeysInTheClear,
    /// No format names a codec that can be kept.
    #[error("no media format of this stream can be stored")]
    NoFormat,
    /// Events, noise or repair without a codec they belong to.
    #[error("the stream offers no codec beside events")]
    OnlyAuxiliary,
    /// The stream exists within a bundle alone (RFC 9143 §6), and bundles are not supported.
    #[error("bundled streams are not supported")]
    BundleOnly,
    /// The stream wants RTP and RTCP on one port (RFC 8858) and policy does not.
    #[error("RTCP on the RTP port is not supported")]
    MuxOnly,
    /// The address is a multicast group.
    #[error("multicast is not supported")]
    Multicast,
    /// The recording session has as many streams as policy lets it have.
    #[error("too many streams in this session")]
    TooManyStreams,
}

impl LineRefusal {
    /// Whether the line could be recorded, were it not for its keys: whoever misses the audio has to
    /// know.
    pub const fn is_about_keys(self) -> bool {
        matches!(
            self,
            Self::NoEncryption | Self::Dtls | Self::NoUsableKeys | Self::KeysInTheClear
        )
    }

    /// The warning code that comes closest.
    pub fn warning_code(self) -> u16 {
        match self {
            Self::Transport
            | Self::NoEncryption
            | Self::Dtls
            | Self::NoUsableKeys
            | Self::KeysInTheClear => 302,
            Self::MediaKind => 304,
            Self::NoFormat | Self::OnlyAuxiliary => 305,
            Self::BundleOnly | Self::MuxOnly => 306,
            Self::Multicast => 330,
            Self::TooManyStreams => 399,
        }
    }
}

/// Why an offer as a whole is refused. Nothing of it took effect (P-38).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Every stream it wants has to be refused.
    #[error("{}", first_reason(lines))]
    NothingUsable {
        /// The refused m-lines by their index, at least one.
        lines: Vec<(usize, LineRefusal)>,
    },
    /// An offer of ours waits for its answer (RFC 3261 §14.2, RFC 3311 §5.2).
    #[error("an offer of the recorder is waiting for its answer")]
    OfferPending,
}

impl Refusal {
    /// The status of the answer. Never 606: another server may be able to help (P-29).
    pub fn status(&self) -> u16 {
        match self {
            Self::NothingUsable { .. } => 488,
            Self::OfferPending => 491,
        }
    }

    /// What the answer explains.
    pub fn warning(&self) -> Warning {
        let code = match self {
            Self::NothingUsable { lines } => lines
                .first()
                .map_or(399, |(_, reason)| reason.warning_code()),
            Self::OfferPending => 399,
        };
        Warning {
            code,
            text: self.to_string(),
        }
    }
}

/// The status for a session description that cannot be read.
pub const BROKEN_SDP_STATUS: u16 = 400;

impl SdpError {
    /// What the answer 400 explains.
    pub fn warning(&self) -> Warning {
        Warning {
            code: 399,
            text: self.to_string(),
        }
    }
}

/// A Warning: code and text, without the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The warning code.
    pub code: u16,
    /// What a person may read.
    pub text: String,
}

impl Warning {
    /// The value of the header. The agent is a host name or address, with port if wanted.
    pub fn header_value(&self, agent: &str) -> String {
        let text = self.text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{} {agent} \"{text}\"", self.code)
    }
}

fn first_reason(lines: &[(usize, LineRefusal)]) -> String {
    lines
        .first()
        .map_or_else(String::new, |(_, reason)| reason.to_string())
}
