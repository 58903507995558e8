//! What may be recorded.

use super::refusal::LineRefusal;
use super::sdes::{Encryption, NoKeys, SrtpPolicy};
use crate::limits;
use crate::sdp::{Codec, CodecRole, Media, MediaKind, Profile};
use serde::{Deserialize, Serialize};

/// What the operator lets be recorded, and how the recorder answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether `RTP/AVPF` is answered beside `RTP/AVP`.
    pub feedback_profile: bool,
    /// Whether RTP and RTCP may share a port when the offer asks for it (RFC 5761).
    pub rtcp_mux: bool,
    /// Whether an encoding with an rtpmap but a name nobody registered is kept as raw packets.
    pub unknown_encodings: bool,
    /// Encodings that are recorded, the preferred one first; empty: all. Events, noise and repair come
    /// with whichever it is.
    pub encodings: Vec<String>,
    /// Labels of lines that have none, in the order of the lines. They name the recording's streams;
    /// an answer has only labels that its offer has.
    pub labels: Vec<String>,
    /// Kinds of media beside audio whose packets are kept raw.
    pub raw_media: Vec<MediaKind>,
    /// What may be agreed on about keys.
    pub srtp: SrtpPolicy,
    /// Streams recorded at a time in one recording session.
    pub streams_max: usize,
    /// Audio lines of an offer of ours where the session has none yet.
    pub offered_lines: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            feedback_profile: true,
            rtcp_mux: true,
            unknown_encodings: true,
            encodings: Vec::new(),
            labels: Vec::new(),
            raw_media: Vec::new(),
            srtp: SrtpPolicy::default(),
            streams_max: limits::MEDIA_LINES_MAX,
            offered_lines: 2,
        }
    }
}

impl Policy {
    /// Whether a kind of media is recorded.
    pub(super) fn judge_kind(&self, kind: MediaKind) -> Result<(), LineRefusal> {
        if kind == MediaKind::Audio || self.raw_media.contains(&kind) {
            return Ok(());
        }
        Err(LineRefusal::MediaKind)
    }

    /// Takes out what is not recorded and puts what is preferred first.
    pub(super) fn choose(&self, codecs: &mut Vec<Codec>) {
        if self.encodings.is_empty() {
            return;
        }
        let place = |codec: &Codec| {
            let mut named = self.encodings.iter();
            named.position(|name| name.eq_ignore_ascii_case(&codec.name))
        };
        codecs.retain(|codec| codec.role() != CodecRole::Media || place(codec).is_some());
        codecs.sort_by_key(|codec| place(codec).unwrap_or(usize::MAX));
    }

    /// Whether a profile is recorded. This is the one place that knows: a profile is answered as
    /// it was offered or its line is refused, never changed (D-07).
    pub(super) fn judge_profile(&self, profile: Profile) -> Result<(), LineRefusal> {
        match profile {
            Profile::Avp | Profile::Savp => Ok(()),
            Profile::Avpf | Profile::Savpf if self.feedback_profile => Ok(()),
            Profile::Avpf | Profile::Savpf | Profile::Other => Err(LineRefusal::Transport),
            Profile::DtlsSavp | Profile::DtlsSavpf => Err(LineRefusal::Dtls),
        }
    }

    /// How a line is encrypted: as its keys say, where its profile asks for it or both sides would
    /// like it (RFC 8643). Our own key is still to be given.
    pub(super) fn judge_keys(&self, media: &Media) -> Result<Option<Encryption>, LineRefusal> {
        let is_wished = self.srtp.opportunistic && !media.crypto.is_empty();
        if !media.profile.is_secure() && !is_wished {
            return Ok(None);
        }
        match self.srtp.choose(&media.crypto) {
            Ok(encryption) => Ok(Some(encryption)),
            Err(_) if !media.profile.is_secure() => Ok(None),
            Err(_) if self.srtp.suites.is_empty() => Err(LineRefusal::NoEncryption),
            Err(NoKeys::NoneUsable) => Err(LineRefusal::NoUsableKeys),
            Err(NoKeys::NotPrivate) => Err(LineRefusal::KeysInTheClear),
        }
    }
}
