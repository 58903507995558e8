//! The keys of streams, sealed for the engine: nowhere but in memory are they as they are.

use holdfast_control::{KeyOf, Sealed, Srtp, SrtpKey, seal_context};
use holdfast_seal::NONCE_SIZE;
use holdfast_sip::Entropy;
use holdfast_units::{RecordingId, StreamId};

use super::RecorderConfig;
use crate::offer::{Encryption, KeyOctets};

/// How a stream is encrypted, as the engine is told.
///
/// # Panics
///
/// Without keys of the node: then no stream is encrypted.
pub(super) fn srtp(
    config: &RecorderConfig,
    entropy: &mut dyn Entropy,
    recording: RecordingId,
    stream: StreamId,
    encryption: &Encryption,
) -> Srtp {
    let node_keys = config.node_keys.as_ref();
    let node_keys = node_keys.expect("only a node with keys agrees on encryption");
    let mut seal = |whose: KeyOf, key: &KeyOctets| {
        let mut nonce = [0; NONCE_SIZE];
        entropy.fill(&mut nonce);
        let context = seal_context(recording, stream, whose);
        Sealed(node_keys.seal(&nonce, &context, key.expose()))
    };
    let peer = encryption.peer.iter().map(|key| SrtpKey {
        key: seal(KeyOf::Peer, &key.key),
        mki: key.mki.clone(),
        lifetime: key.lifetime,
    });
    Srtp {
        suite: encryption.suite,
        peer: peer.collect(),
        own: seal(KeyOf::Own, &encryption.own),
        encrypts_rtcp: encryption.encrypts_rtcp,
    }
}
