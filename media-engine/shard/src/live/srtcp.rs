//! RTCP of one stream that is encrypted: what is heard is opened, what is said is protected.
//!
//! Our packets are told apart by SSRC and index (RFC 3711 §4.1). The index begins at 0 with each life
//! of the engine; so does the SSRC, at random, so that no key stream is used twice.

use holdfast_control::Stream;
use holdfast_srtp::{RtcpReceiver, RtcpSender};
use holdfast_units::RecordingId;

use crate::keys::{KeyError, KeyRing};

/// RTCP of one stream that is encrypted.
#[derive(Debug)]
pub(crate) enum Srtcp {
    /// It is not encrypted.
    Off,
    /// It is.
    On(Box<(RtcpReceiver, RtcpSender)>),
    /// It is, and the keys do not open: nothing is understood, nothing is said.
    Sealed,
}

impl Srtcp {
    pub(crate) fn new(keys: &KeyRing, recording: RecordingId, stream: &Stream) -> Self {
        match Self::open(keys, recording, stream) {
            Ok(None) => Self::Off,
            Ok(Some(both)) => Self::On(Box::new(both)),
            Err(_) => Self::Sealed,
        }
    }

    fn open(
        keys: &KeyRing,
        recording: RecordingId,
        stream: &Stream,
    ) -> Result<Option<(RtcpReceiver, RtcpSender)>, KeyError> {
        let Some(srtp) = &stream.srtp else {
            return Ok(None);
        };
        let peer = keys.peer(recording, stream.id, srtp)?;
        let own = keys.own(recording, stream.id, srtp)?;
        let sender = RtcpSender::new(own, srtp.encrypts_rtcp);
        Ok(Some((RtcpReceiver::new(peer), sender)))
    }

    /// Follows a changed desired state; `stream` is the one that was in force until now.
    pub(crate) fn change(
        &mut self,
        keys: &KeyRing,
        recording: RecordingId,
        stream: &Stream,
        wanted: &Stream,
    ) {
        if stream.srtp == wanted.srtp {
            return;
        }
        let (Self::On(both), Some(srtp)) = (&mut *self, &wanted.srtp) else {
            *self = Self::new(keys, recording, wanted);
            return;
        };
        let peer = keys.peer(recording, wanted.id, srtp);
        let own = keys.own(recording, wanted.id, srtp);
        let (Ok(peer), Ok(own)) = (peer, own) else {
            *self = Self::Sealed;
            return;
        };
        let (receiver, sender) = &mut **both;
        receiver.rekey(peer);
        sender.rekey(own, srtp.encrypts_rtcp);
    }

    /// A packet that came, in the clear; `None` where it does not authenticate. `room` may hold it.
    pub(crate) fn open_packet<'a>(
        &mut self,
        bytes: &'a [u8],
        room: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        match self {
            Self::Off => Some(bytes),
            Self::Sealed => None,
            Self::On(both) => {
                both.0.unprotect(bytes, room).ok()?;
                Some(room)
            }
        }
    }

    /// A packet of ours as it is sent; `None` where it must not be.
    pub(crate) fn protect(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Off => Some(plain.to_vec()),
            Self::Sealed => None,
            Self::On(both) => {
                let mut out = Vec::with_capacity(plain.len() + OVERHEAD);
                both.1.protect(plain, &mut out).ok()?;
                Some(out)
            }
        }
    }
}

/// Index and tag, the longest.
const OVERHEAD: usize = 20;
