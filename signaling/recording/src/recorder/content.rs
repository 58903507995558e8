//! What a request carries: its session description and its metadata, read, or the answer that
//! refuses it (RFC 3261 §8.2.3, RFC 7866 §9.1).

use std::collections::BTreeSet;

use holdfast_sip::message::Headers;
use holdfast_sip::{Reply, Request, Response, Status};

use super::output::RefusedBecause;
use super::{RecorderConfig, Refusal};
use crate::metadata::{self, Dialect, Document, Fault};
use crate::multipart::{
    self, ACCEPT, Bodies, BodyFlag, BodyLimits, Part, UnstatedHandling, split_message,
};
use crate::sdp::SessionDescription;

/// The parts of a request that mean something here.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The session description.
    pub(super) sdp: Option<Sdp>,
    /// The call metadata.
    pub(super) metadata: Option<Metadata>,
    /// What was odd about how the body was put together.
    pub(super) flags: BTreeSet<BodyFlag>,
}

/// A session description, read and as received.
#[derive(Debug)]
pub(super) struct Sdp {
    pub(super) description: SessionDescription,
    pub(super) bytes: Vec<u8>,
}

/// A metadata document, as received and as far as it could be read.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) bytes: Vec<u8>,
    pub(super) content_type: String,
    /// What could be read, of a broken document what came before and behind the damage.
    pub(super) document: Option<Document>,
    /// What is wrong with the document as a whole.
    pub(super) fault: Option<Fault>,
}

impl Metadata {
    /// The vocabulary it is written in.
    pub(super) fn dialect(&self) -> Dialect {
        self.document.as_ref().map(Dialect::of).unwrap_or_default()
    }
}

impl Content {
    pub(super) const fn is_empty(&self) -> bool {
        self.sdp.is_none() && self.metadata.is_none()
    }
}

/// Whether a request has a metadata part.
pub(super) fn has_metadata(request: &Request) -> bool {
    let limits = BodyLimits::default();
    bodies_of(request.headers(), request.body(), &limits)
        .is_some_and(|bodies| bodies.metadata().is_some())
}

/// Reads what a request carries.
pub(super) fn read(config: &RecorderConfig, request: &Request) -> Result<Content, Refusal> {
    read_parts(config, request.headers(), request.body())
}

/// Reads what an answer to a request of ours carries; nothing where that is beyond reading.
pub(super) fn read_answer(config: &RecorderConfig, response: &Response) -> Content {
    read_parts(config, response.headers(), response.body()).unwrap_or_default()
}

fn read_parts(config: &RecorderConfig, headers: &Headers, body: &[u8]) -> Result<Content, Refusal> {
    let limits = BodyLimits {
        parts_max: config.body_parts_max,
        depth_max: config.body_depth_max,
        ..BodyLimits::default()
    };
    let Some(bodies) = bodies_of(headers, body, &limits) else {
        return Ok(Content::default());
    };
    if foreign(headers.first("Content-Encoding")) {
        return Err(not_understood(true));
    }
    if let Some(part) = unknown_part(config, &bodies) {
        return Err(not_understood(part.foreign_encoding().is_some()));
    }
    let sdp = match bodies.sdp() {
        Some(part) => Some(read_sdp(part)?),
        None => None,
    };
    let metadata = bodies.metadata().map(|part| read_metadata(config, part));
    if let Some(fault) = metadata
        .as_ref()
        .and_then(|metadata| metadata.fault.as_ref())
        && config.is_strict
    {
        let text = fault.to_string();
        let reply = Reply::new(Status::BAD_REQUEST).warning(399, AGENT, &text);
        return Err(Refusal::new(reply, RefusedBecause::BrokenMetadata(text)));
    }
    Ok(Content {
        sdp,
        metadata,
        flags: bodies.flags,
    })
}

fn bodies_of<'m>(headers: &'m Headers, body: &'m [u8], limits: &BodyLimits) -> Option<Bodies<'m>> {
    if body.is_empty() {
        return None;
    }
    Some(split_message(
        headers.first("Content-Type").unwrap_or_default(),
        headers.first("Content-Disposition"),
        body,
        limits,
    ))
}

/// Vendors attach parts of their own without a thought about `handling`: beside a session
/// description or metadata these are passed over unless they demand to be understood (P-57).
fn unknown_part<'b>(config: &RecorderConfig, bodies: &'b Bodies<'_>) -> Option<&'b Part<'b>> {
    let is_recording = bodies.sdp().is_some() || bodies.metadata().is_some();
    let unstated = match !config.is_strict && is_recording {
        true => UnstatedHandling::Optional,
        false => UnstatedHandling::Required,
    };
    bodies.unknown_required(unstated).next()
}

fn foreign(encoding: Option<&str>) -> bool {
    encoding.is_some_and(|encoding| !encoding.trim().eq_ignore_ascii_case("identity"))
}

/// RFC 3261 §8.2.3: 415 with Accept, and with Accept-Encoding where the coding is the reason.
fn not_understood(is_encoding: bool) -> Refusal {
    let mut reply = Reply::new(Status::UNSUPPORTED_MEDIA_TYPE).header("Accept", accepted());
    if is_encoding {
        reply = reply.header("Accept-Encoding", "identity");
    }
    Refusal::new(reply, RefusedBecause::UnknownBody)
}

pub(super) fn accepted() -> String {
    format!("{ACCEPT}, multipart/mixed")
}

fn read_sdp(part: &Part<'_>) -> Result<Sdp, Refusal> {
    match SessionDescription::parse(part.bytes) {
        Ok(description) => Ok(Sdp {
            description,
            bytes: part.bytes.to_vec(),
        }),
        Err(error) => {
            let warning = error.warning();
            let reply = Reply::new(Status::BAD_REQUEST).warning(warning.code, AGENT, &warning.text);
            Err(Refusal::new(reply, RefusedBecause::BrokenSdp(warning.text)))
        }
    }
}

fn read_metadata(config: &RecorderConfig, part: &Part<'_>) -> Metadata {
    let limits = metadata::Limits {
        size_bytes_max: config.metadata_bytes_max,
        depth_max: config.metadata_depth_max,
        ..metadata::Limits::default()
    };
    let (document, fault) = match metadata::parse(part.bytes, part.charset(), &limits) {
        Ok(document) => (Some(document), None),
        Err(error) => {
            let fault = error.fault.clone();
            (error.into_partial(), Some(fault))
        }
    };
    let content_type = part
        .header("Content-Type")
        .unwrap_or(multipart::TYPE_METADATA);
    Metadata {
        bytes: part.bytes.to_vec(),
        content_type: content_type.to_owned(),
        document,
        fault,
    }
}

/// Who warns (RFC 3261 §20.43): a pseudonym, since our address may not be the one the peer knows.
pub(crate) const AGENT: &str = "holdfast";
