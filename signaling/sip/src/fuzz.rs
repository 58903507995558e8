//! Bodies for fuzzers: any octets, fed to everything here that reads octets. They return nothing;
//! what they promise is to return, and what they assert holds for every input.

use std::time::Duration;

use holdfast_units::MonoTime;

use crate::datagram::{Datagram, classify};
use crate::digest::{Algorithm, Credentials, Digest, DigestConfig, Identity};
use crate::limits::Limits;
use crate::message::{Message, NameAddr, Uri};
use crate::stream::{Frame, StreamFramer};

/// One datagram: read as a message, with every view of its headers.
pub fn any_message(octets: &[u8]) {
    let Datagram::Message(octets) = classify(octets) else {
        return;
    };
    let Ok(message) = Message::parse(octets) else {
        return;
    };
    let (headers, head, body, raw) = match &message {
        Message::Request(request) => {
            let _ = (request.uri().to_string(), request.has_sdp());
            let identity = nobody().judge(MonoTime::ZERO, request);
            assert!(!matches!(identity, Identity::Known(_)), "nobody may come");
            let (head, body) = (request.head(), request.body());
            (request.headers(), head, body, request.raw())
        }
        Message::Response(response) => {
            assert!((100..700).contains(&response.status().code()));
            let (head, body) = (response.head(), response.body());
            (response.headers(), head, body, response.raw())
        }
    };
    assert_eq!(head.len() + body.len(), raw.len(), "nothing is lost");
    assert!(octets.starts_with(head), "the head is as it came");
    assert!(headers.vias().is_some_and(|vias| !vias.is_empty()));
    let _ = (headers.contacts().count(), headers.content_type());
    let _ = (headers.routes().count(), headers.record_routes().count());
    let _ = (headers.expires(), headers.session_expires());
    let _ = (headers.min_se(), headers.retry_after());
    let _ = (headers.rseq(), headers.rack(), headers.replaces());
    for header in headers.iter() {
        // What cannot stand there may stand here.
        let _ = (NameAddr::parse(header.value()), Uri::parse(header.value()));
    }
}

/// A realm without users.
fn nobody() -> Digest {
    let config = DigestConfig {
        realm: "holdfast".to_owned(),
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        nonce_lifetime: Duration::from_secs(300),
        credentials: Credentials::default(),
    };
    Digest::new(config, [7; 32])
}

/// A stream, in one piece and octet by octet: the same messages come out of it.
pub fn any_stream(octets: &[u8]) {
    let whole = frames(octets.chunks(octets.len().max(1)));
    let pieces = frames(octets.chunks(1));
    assert_eq!(whole, pieces, "where a segment ends says nothing");
}

/// Each message; an empty one for a keepalive; the word of a fault, which is the last.
fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut framer = StreamFramer::new(&Limits::default());
    let mut found = Vec::new();
    for piece in pieces {
        framer.handle_bytes(MonoTime::ZERO, piece);
        while let Some(frame) = framer.poll_frame() {
            match frame {
                Frame::Message(message) => {
                    any_message(&message);
                    found.push(message);
                }
                Frame::Pong => found.push(Vec::new()),
                Frame::Broken(broken) => found.push(broken.to_string().into_bytes()),
            }
        }
    }
    found
}
