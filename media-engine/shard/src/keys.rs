//! The keys of a stream, opened.

use std::sync::Arc;

use holdfast_control::{KeyOf, Sealed, Srtp, Stream, seal_context};
use holdfast_seal::{NodeKeys, OpenError};
use holdfast_srtp::{MasterKey, Mki, PeerKey};
use holdfast_units::{RecordingId, StreamId};

/// Opens the keys of streams with those of the node.
#[derive(Clone, Debug, Default)]
pub struct KeyRing(Option<Arc<NodeKeys>>);

/// Why the keys of a stream are of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The engine has no key file.
    #[error("the engine has no keys of the node")]
    NoNodeKeys,
    /// They do not open.
    #[error("a key of the stream does not open: {0}")]
    Sealed(#[from] OpenError),
    /// They are not what the suite asks for.
    #[error("a key of the stream does not fit its suite")]
    Unfit,
}

impl KeyRing {
    /// A ring with the keys of the node.
    pub fn new(keys: NodeKeys) -> Self {
        Self(Some(Arc::new(keys)))
    }

    /// What the peer protects the packets of a stream with.
    pub(crate) fn peer(
        &self,
        recording: RecordingId,
        stream: StreamId,
        srtp: &Srtp,
    ) -> Result<Vec<PeerKey>, KeyError> {
        let context = seal_context(recording, stream, KeyOf::Peer);
        let open = |key: &holdfast_control::SrtpKey| {
            Ok(PeerKey {
                master: self.master(srtp, &context, &key.key)?,
                mki: Mki::new(&key.mki).ok_or(KeyError::Unfit)?,
                lifetime: key.lifetime,
            })
        };
        let keys: Vec<PeerKey> = srtp
            .peer
            .iter()
            .map(open)
            .collect::<Result<_, KeyError>>()?;
        if keys.is_empty() || keys.len() > holdfast_srtp::limits::KEYS_MAX {
            return Err(KeyError::Unfit);
        }
        Ok(keys)
    }

    /// What we protect our reports with.
    pub(crate) fn own(
        &self,
        recording: RecordingId,
        stream: StreamId,
        srtp: &Srtp,
    ) -> Result<MasterKey, KeyError> {
        self.master(
            srtp,
            &seal_context(recording, stream, KeyOf::Own),
            &srtp.own,
        )
    }

    /// Whether all keys of a stream open.
    pub(crate) fn check(&self, recording: RecordingId, stream: &Stream) -> Result<(), KeyError> {
        if let Some(srtp) = &stream.srtp {
            self.peer(recording, stream.id, srtp)?;
            self.own(recording, stream.id, srtp)?;
        }
        Ok(())
    }

    fn master(&self, srtp: &Srtp, context: &[u8], sealed: &Sealed) -> Result<MasterKey, KeyError> {
        let keys = self.0.as_ref().ok_or(KeyError::NoNodeKeys)?;
        let octets = keys.open(context, &sealed.0)?;
        MasterKey::new(srtp.suite, &octets).ok_or(KeyError::Unfit)
    }
}
