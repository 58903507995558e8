//! Decryption of one stream, where its records are assembled.
//!
//! The journal has packets as they came; a track has them decrypted. What does not authenticate goes
//! no further than this: neither into the track nor into the statistics, but it is counted.
//!
//! A function of the journal's records and the node's keys alone, like everything in the assembly.

use holdfast_control::{Srtp, Stream};
use holdfast_prefetch::prefetch_whole;
use holdfast_srtp::limits::SOURCES_MAX;
use holdfast_srtp::{Place, Receiver, RtcpReceiver};
use holdfast_track::SourceKey;
use holdfast_units::{RecordingId, SrtpSuite, StreamId, WallTime};

use crate::keys::KeyRing;
use crate::limits::MUTE_AFTER;

/// How the packets of a stream are read.
#[derive(Debug, Default)]
pub(crate) enum Decryption {
    /// They are not encrypted.
    #[default]
    Off,
    /// They are.
    On(Box<Context>),
    /// They are, and the node's keys do not open theirs: they are kept as they came.
    Sealed,
}

/// What is needed to read encrypted packets.
#[derive(Debug)]
pub(crate) struct Context {
    rtp: Receiver,
    rtcp: RtcpReceiver,
    suite: SrtpSuite,
    /// The keys of the offer before the one in force, as long as they may be in use.
    former: Option<Srtp>,
    rtcp_failed: u64,
    /// Packets beyond the lifetime of their key, before the keys in force.
    expired_before: u64,
    /// Whether it was told that nothing authenticates.
    is_told: bool,
    /// By source, what the track says its packets came protected with. A later process says it again.
    noted: Vec<Place>,
}

/// What became of an encrypted packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It is not encrypted.
    Plain,
    /// It was decrypted.
    Decrypted,
    /// Nobody here can tell what it is.
    Unreadable,
    /// It is not authentic, or was there before.
    Refused,
}

/// Nothing of a stream authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mute {
    /// Which recording.
    pub recording: RecordingId,
    /// Which stream.
    pub stream: StreamId,
    /// What was agreed on.
    pub suite: SrtpSuite,
    /// Packets that have failed so far.
    pub packets: u64,
    /// Whether none authenticated before.
    pub is_first: bool,
    /// Whether some do, under a key that has protected as many as it may.
    pub is_expired: bool,
}

impl Mute {
    /// What it comes of, most likely.
    pub const fn likely_cause(&self) -> &'static str {
        if self.is_expired {
            "the sender uses its key for longer than was agreed on"
        } else if self.is_first {
            "the sender uses another key or suite than was agreed on"
        } else {
            "the sender has changed its key without saying so"
        }
    }
}

impl Decryption {
    pub(crate) fn new(keys: &KeyRing, recording: RecordingId, stream: &Stream) -> Self {
        let Some(srtp) = &stream.srtp else {
            return Self::Off;
        };
        match keys.peer(recording, stream.id, srtp) {
            Ok(peer) => Self::On(Box::new(Context {
                rtp: Receiver::new(peer.clone()),
                rtcp: RtcpReceiver::new(peer),
                suite: srtp.suite,
                former: None,
                rtcp_failed: 0,
                expired_before: 0,
                is_told: false,
                noted: Vec::new(),
            })),
            Err(_) => Self::Sealed,
        }
    }

    /// Follows a changed desired state; `stream` is the one that was in force until now.
    pub(crate) fn change(
        &mut self,
        keys: &KeyRing,
        recording: RecordingId,
        stream: &Stream,
        wanted: &Stream,
        now: WallTime,
    ) {
        if stream.srtp == wanted.srtp {
            return;
        }
        let (Self::On(context), Some(former), Some(srtp)) =
            (&mut *self, &stream.srtp, &wanted.srtp)
        else {
            *self = Self::new(keys, recording, wanted);
            return;
        };
        let Ok(peer) = keys.peer(recording, wanted.id, srtp) else {
            *self = Self::Sealed;
            return;
        };
        context.suite = srtp.suite;
        context.noted.clear();
        if context.rtp.rekey(now, peer.clone()) {
            context.rtcp.rekey(peer);
            context.former = Some(former.clone());
            context.expired_before = context.rtp.counts().expired;
            context.is_told = false;
        }
    }

    /// Whether it says of each packet if it is the peer's.
    pub(crate) const fn tells_strangers_apart(&self) -> bool {
        matches!(self, Self::On(_))
    }

    /// Asks the memory for what leads to what [`Self::open_rtp`] will need.
    pub(crate) fn prefetch(&self) {
        if let Self::On(context) = self {
            prefetch_whole(&context.rtp);
        }
    }

    /// Asks the memory for what [`Self::open_rtp`] will need; [`Self::prefetch`] was some steps before.
    pub(crate) fn prefetch_keys(&self) {
        if let Self::On(context) = self {
            context.rtp.prefetch();
        }
    }

    /// Decrypts an RTP packet into `plain`.
    pub(crate) fn open_rtp(&mut self, now: WallTime, bytes: &[u8], plain: &mut Vec<u8>) -> Opened {
        match self {
            Self::Off => Opened::Plain,
            Self::Sealed => Opened::Unreadable,
            Self::On(context) => match context.rtp.unprotect(now, bytes, plain) {
                Ok(()) => Opened::Decrypted,
                Err(_) => Opened::Refused,
            },
        }
    }

    /// What the packet that was decrypted last came protected with, where the track does not say so
    /// yet. `srtp` is what is in force.
    pub(crate) fn unnoted_key<'a>(&'a mut self, srtp: Option<&'a Srtp>) -> Option<SourceKey<'a>> {
        let Self::On(context) = self else { return None };
        let place = context.rtp.last()?;
        let noted = &mut context.noted;
        match noted.iter_mut().find(|it| it.ssrc == place.ssrc) {
            Some(known) if *known == place => return None,
            Some(known) => *known = place,
            None => {
                if noted.len() >= SOURCES_MAX {
                    noted.clear();
                }
                noted.push(place);
            }
        }
        let srtp = srtp?;
        let (of, at) = match place.key.checked_sub(srtp.peer.len()) {
            None => (srtp, place.key),
            Some(at) => (context.former.as_ref()?, at),
        };
        let key = of.peer.get(at)?;
        Some(SourceKey {
            ssrc: place.ssrc,
            roc: place.roc,
            suite: of.suite,
            mki: &key.mki,
            sealed: &key.key.0,
        })
    }

    /// Decrypts an RTCP packet into `plain`.
    pub(crate) fn open_rtcp(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Opened {
        match self {
            Self::Off => Opened::Plain,
            Self::Sealed => Opened::Unreadable,
            Self::On(context) => match context.rtcp.unprotect(bytes, plain) {
                Ok(()) => Opened::Decrypted,
                Err(_) => {
                    context.rtcp_failed += 1;
                    Opened::Refused
                }
            },
        }
    }

    /// Says once that packets have come for a while and none of them authenticates.
    pub(crate) fn mute(
        &mut self,
        now: WallTime,
        recording: RecordingId,
        stream: StreamId,
    ) -> Option<Mute> {
        let Self::On(context) = self else { return None };
        let since = context.rtp.failing_since()?;
        if context.is_told || now.since(since) < MUTE_AFTER {
            return None;
        }
        context.is_told = true;
        let counts = context.rtp.counts();
        Some(Mute {
            recording,
            stream,
            suite: context.suite,
            packets: counts.failed + counts.unknown_mki + counts.expired,
            is_first: counts.taken == 0,
            is_expired: counts.expired > context.expired_before,
        })
    }

    /// What was not taken, by reason: for the manifest.
    pub(crate) fn refused(&self) -> Vec<(&'static str, u64)> {
        let Self::On(context) = self else {
            return Vec::new();
        };
        let counts = context.rtp.counts();
        let all = [
            ("srtp_authentication", counts.failed),
            ("srtp_unknown_key", counts.unknown_mki),
            ("srtp_replay", counts.replayed),
            ("srtp_key_expired", counts.expired),
            ("srtcp_authentication", context.rtcp_failed),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// The keys of the offer before, and all that is not a key, for a later process.
    pub(crate) fn state(&self) -> (Option<Srtp>, Vec<u8>) {
        let Self::On(context) = self else {
            return (None, Vec::new());
        };
        let mut bytes = vec![u8::from(context.is_told)];
        bytes.extend(context.rtcp_failed.to_le_bytes());
        context.rtp.encode(&mut bytes);
        context.rtcp.encode(&mut bytes);
        (context.former.clone(), bytes)
    }

    /// Goes on with what [`Self::state`] gave. `None`: it does not read.
    pub(crate) fn resume(
        keys: &KeyRing,
        recording: RecordingId,
        stream: &Stream,
        former: Option<Srtp>,
        bytes: &[u8],
    ) -> Option<Self> {
        let mut fresh = Self::new(keys, recording, stream);
        let Self::On(context) = &mut fresh else {
            return Some(fresh);
        };
        if bytes.is_empty() {
            // It could not be read before.
            return Some(fresh);
        }
        let ([is_told], rest) = bytes.split_first_chunk()?;
        let (rtcp_failed, rest) = rest.split_first_chunk()?;
        let open = |srtp: &Srtp| keys.peer(recording, stream.id, srtp).ok();
        let current = open(stream.srtp.as_ref()?)?;
        let old = former.as_ref().and_then(open).unwrap_or_default();
        let (rtp, rest) = Receiver::decode(current.clone(), old.clone(), rest).ok()?;
        let (rtcp, _) = RtcpReceiver::decode(current, old, rest).ok()?;
        **context = Context {
            expired_before: rtp.counts().expired,
            rtp,
            rtcp,
            suite: context.suite,
            former,
            rtcp_failed: u64::from_le_bytes(*rtcp_failed),
            is_told: *is_told != 0,
            noted: Vec::new(),
        };
        Some(fresh)
    }
}
