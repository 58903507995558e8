//! Bodies of the test cases: offers that nobody speaks on, and metadata by the element.

use holdfast_load::invite::{Codec, Offer};

use crate::caller::Caller;
use crate::system::System;

/// The SDP of an offer of PCMU with another codec in its place, by its payload type and its name of
/// `a=rtpmap` (RFC 8866 §6.6).
pub fn sdp_with_codec(offer: &Offer, payload_type: u8, name: &str) -> String {
    let sdp = offer.sdp();
    let sdp = sdp.replace("RTP/AVP 0 101", &format!("RTP/AVP {payload_type} 101"));
    sdp.replace(
        "rtpmap:0 PCMU/8000",
        &format!("rtpmap:{payload_type} {name}"),
    )
}

/// An offer of two lines, with ports that nobody listens on.
pub fn silent_offer(system: &System) -> Offer {
    Caller::new(system).prepare(Codec::Pcmu).offer
}

/// A description with these lines behind the usual head; each `m=` line begins a medium.
pub fn sdp_of(system: &System, lines: &str) -> String {
    let host = system.host();
    let family = if host.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=src 11 1 IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\nt=0 0\r\n{}",
        lines.replace('\n', "\r\n")
    )
}

/// A metadata document (RFC 7865) with these elements; `mode` is complete or partial.
pub fn document(mode: &str, elements: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <recording xmlns=\"urn:ietf:params:xml:ns:recording:1\">\
         <datamode>{mode}</datamode>{elements}</recording>\r\n"
    )
}

/// The `session_id` of an offer's metadata.
///
/// # Panics
/// When it has none.
pub fn session_id(offer: &Offer) -> String {
    let document = offer.metadata();
    let (_, rest) = document.split_once("session_id=\"").expect("a session");
    rest.split('"').next().unwrap_or_default().to_owned()
}
