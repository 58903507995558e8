//! One m-line with the lines that belong to it.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::attribute::{Attribute, CryptoLine, Fingerprint, RtcpAddress, SsrcAttribute};
use super::codec::{Codec, PayloadType, RtpMap};
use super::{Bandwidth, Connection, SdpFlag};

/// What kind of media an m-line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MediaKind {
    /// `audio`.
    Audio,
    /// `video`.
    Video,
    /// `text` (RFC 4103).
    Text,
    /// `application`.
    Application,
    /// `message` (MSRP).
    Message,
    /// `image` (T.38).
    Image,
    /// Anything else.
    Other,
}

/// The transport and profile of an m-line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Profile {
    /// `RTP/AVP` (RFC 3551).
    Avp,
    /// `RTP/AVPF` (RFC 4585).
    Avpf,
    /// `RTP/SAVP` (RFC 3711).
    Savp,
    /// `RTP/SAVPF` (RFC 5124).
    Savpf,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764).
    DtlsSavp,
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764).
    DtlsSavpf,
    /// Anything else: `udptl`, `TCP/MSRP`, `UDP/BFCP`.
    Other,
}

/// The direction of a stream, seen from who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// `a=sendrecv`, also where nothing is said.
    SendRecv,
    /// `a=sendonly`.
    SendOnly,
    /// `a=recvonly`.
    RecvOnly,
    /// `a=inactive`.
    Inactive,
}

/// One m-line and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The kind of media.
    pub kind: MediaKind,
    /// The kind, as written.
    pub kind_text: String,
    /// The port; 0 removes or refuses the stream.
    pub port: u16,
    /// The profile.
    pub profile: Profile,
    /// The profile, as written.
    pub profile_text: String,
    /// The formats, as written, in order.
    pub formats: Vec<String>,
    /// The line's own `c=`.
    pub connection: Option<Connection>,
    /// The line's own `b=` lines.
    pub bandwidth: Vec<Bandwidth>,
    /// The line's own direction attribute.
    pub direction: Option<Direction>,
    /// `a=label` (RFC 4574): an opaque token, compared exactly.
    pub label: Option<String>,
    /// `a=mid` (RFC 5888).
    pub mid: Option<String>,
    /// `a=content` (RFC 4796).
    pub content: Option<String>,
    /// `a=ptime`, in milliseconds.
    pub ptime_ms: Option<u32>,
    /// `a=maxptime`, in milliseconds.
    pub maxptime_ms: Option<u32>,
    /// `a=rtcp` (RFC 3605).
    pub rtcp: Option<RtcpAddress>,
    /// `a=rtcp-mux` (RFC 5761).
    pub rtcp_mux: bool,
    /// `a=rtcp-mux-only` (RFC 8858).
    pub rtcp_mux_only: bool,
    /// `a=rtcp-rsize` (RFC 5506).
    pub rtcp_rsize: bool,
    /// `a=bundle-only` (RFC 9143).
    pub bundle_only: bool,
    /// `a=rtpmap` by payload type.
    pub rtpmaps: BTreeMap<PayloadType, RtpMap>,
    /// `a=fmtp` by payload type; the first of each counts.
    pub fmtps: BTreeMap<PayloadType, String>,
    /// `a=ssrc` (RFC 5576).
    pub ssrcs: Vec<SsrcAttribute>,
    /// `a=crypto` (RFC 4568); not among `attributes`.
    pub crypto: Vec<CryptoLine>,
    /// `a=setup` (RFC 4145), as text.
    pub setup: Option<String>,
    /// `a=fingerprint` (RFC 8122).
    pub fingerprints: Vec<Fingerprint>,
    /// All attributes in order, known ones too, but for `a=crypto`.
    pub attributes: Vec<Attribute>,
    /// What was wrong with it.
    pub flags: BTreeSet<SdpFlag>,
}

impl MediaKind {
    pub(super) fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "audio" => Self::Audio,
            "video" => Self::Video,
            "text" => Self::Text,
            "application" => Self::Application,
            "message" => Self::Message,
            "image" => Self::Image,
            _ => Self::Other,
        }
    }
}

impl Profile {
    pub(super) fn parse(text: &str) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "RTP/AVP" => Self::Avp,
            "RTP/AVPF" => Self::Avpf,
            "RTP/SAVP" => Self::Savp,
            "RTP/SAVPF" => Self::Savpf,
            "UDP/TLS/RTP/SAVP" => Self::DtlsSavp,
            "UDP/TLS/RTP/SAVPF" => Self::DtlsSavpf,
            _ => Self::Other,
        }
    }

    /// Whether the formats of such a line are RTP payload types.
    pub fn is_rtp(self) -> bool {
        self != Self::Other
    }

    /// Whether the packets are encrypted.
    pub fn is_secure(self) -> bool {
        matches!(
            self,
            Self::Savp | Self::Savpf | Self::DtlsSavp | Self::DtlsSavpf
        )
    }
}

impl Direction {
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "sendrecv" => Some(Self::SendRecv),
            "sendonly" => Some(Self::SendOnly),
            "recvonly" => Some(Self::RecvOnly),
            "inactive" => Some(Self::Inactive),
            _ => None,
        }
    }

    /// The name of the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

impl Media {
    /// The codecs it lists, in its order, each payload type once. A payload type that is neither
    /// mapped nor static (RFC 3551 §6) names no codec and is left out.
    pub fn codecs(&self) -> Vec<Codec> {
        let mut seen = BTreeSet::new();
        let types = self
            .formats
            .iter()
            .filter_map(|text| PayloadType::parse(text));
        types
            .filter(|&payload_type| seen.insert(payload_type))
            .filter_map(|payload_type| {
                let map = match self.rtpmaps.get(&payload_type) {
                    Some(map) => map.clone(),
                    None => RtpMap::of_static(payload_type)?,
                };
                Some(Codec {
                    payload_type,
                    name: map.name,
                    clock_hz: map.clock_hz,
                    channels: map.channels,
                    fmtp: self.fmtps.get(&payload_type).cloned(),
                })
            })
            .collect()
    }

    /// Whether it has that attribute.
    pub fn has_attribute(&self, name: &str) -> bool {
        self.attributes
            .iter()
            .any(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }
}
