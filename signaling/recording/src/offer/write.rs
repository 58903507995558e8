//! The session descriptions we write: answers and offers alike.
//!
//! Deliberately plain: no ICE, no bundle, no `a=record`, none of the peer's vendor
//! attributes. A field of recorders and clients was broken by less.

use std::fmt::{self, Write};
use std::net::IpAddr;

use super::sdes::crypto_line;
use super::{Line, Origin, Stream};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::sdp::{Codec, Family};

/// Everything after the `o=` line.
pub(super) fn body(origin: &Origin, times: &[String], lines: &[Line]) -> Body {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    // Writing to a String cannot fail.
    let _ = write_body(&mut text, origin, times, lines);
    Body(text)
}

/// A description after its `o=` line. It may have keys of ours, so it prints as nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(super) struct Body(Zeroizing<String>);

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<Body> for String {
    fn from(Body(text): Body) -> Self {
        Self::clone(&text)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[description]")
    }
}

/// The whole description.
pub(super) fn description(origin: &Origin, version: u64, Body(body): &Body) -> Vec<u8> {
    let Origin {
        session_id,
        address,
    } = origin;
    let family = Family::of(*address);
    format!(
        "v=0\r\no=holdfast {session_id} {version} IN {family} {address}\r\n{}",
        **body
    )
    .into_bytes()
}

fn write_body(out: &mut String, origin: &Origin, times: &[String], lines: &[Line]) -> fmt::Result {
    write!(out, "s=-\r\n")?;
    write_connection(out, origin.address)?;
    if times.is_empty() {
        write!(out, "t=0 0\r\n")?;
    }
    for time in times {
        write!(out, "t={time}\r\n")?;
    }
    for line in lines {
        match &line.stream {
            Some(stream) => write_stream(out, origin, line, stream)?,
            None => {
                let head = &line.head;
                write!(
                    out,
                    "m={} 0 {} {}\r\n",
                    head.kind, head.profile, head.format
                )?;
            }
        }
    }
    Ok(())
}

fn write_stream(out: &mut String, origin: &Origin, line: &Line, stream: &Stream) -> fmt::Result {
    let (terms, ports) = (&stream.terms, &stream.ports);
    write!(
        out,
        "m={} {} {}",
        line.head.kind, ports.rtp, line.head.profile
    )?;
    for codec in &terms.codecs {
        write!(out, " {}", codec.payload_type)?;
    }
    write!(out, "\r\n")?;
    if ports.address != origin.address {
        write_connection(out, ports.address)?;
    }
    for codec in &terms.codecs {
        write_codec(out, codec)?;
    }
    if let Some(ptime_ms) = terms.ptime_ms {
        write!(out, "a=ptime:{ptime_ms}\r\n")?;
    }
    if terms.mux {
        write!(out, "a=rtcp-mux\r\n")?;
    } else if ports.rtp % 2 != 0 || ports.rtp.checked_add(1) != Some(ports.rtcp) {
        // Not the pair that RFC 8866 §5.14 takes for granted.
        write!(out, "a=rtcp:{}\r\n", ports.rtcp)?;
    }
    if let Some(encryption) = &terms.encryption {
        write!(out, "{}\r\n", *crypto_line(encryption))?;
    }
    if let Some(label) = &terms.label {
        write!(out, "a=label:{label}\r\n")?;
    }
    write!(out, "a={}\r\n", terms.direction.name())
}

fn write_codec(out: &mut String, codec: &Codec) -> fmt::Result {
    let Codec {
        payload_type,
        name,
        clock_hz,
        channels,
        fmtp,
    } = codec;
    write!(out, "a=rtpmap:{payload_type} {name}/{clock_hz}")?;
    if *channels > 1 {
        write!(out, "/{channels}")?;
    }
    write!(out, "\r\n")?;
    if name.eq_ignore_ascii_case("telephone-event") {
        let events = fmtp
            .as_deref()
            .and_then(event_list)
            .unwrap_or(EVENTS_DEFAULT);
        return write!(out, "a=fmtp:{payload_type} {events}\r\n");
    }
    match fmtp {
        // Parameters that both sides must agree on (AMR, iLBC, H.264) are met by repeating them.
        Some(fmtp) => write!(out, "a=fmtp:{payload_type} {fmtp}\r\n"),
        None => Ok(()),
    }
}

fn write_connection(out: &mut String, address: IpAddr) -> fmt::Result {
    write!(out, "c=IN {} {address}\r\n", Family::of(address))
}

/// The list of events, bare: some write `events=0-15` (RFC 4733 §2.4.1).
fn event_list(fmtp: &str) -> Option<&str> {
    let list = fmtp.strip_prefix("events=").unwrap_or(fmtp).trim();
    let list = list.split(';').next().unwrap_or_default().trim();
    let plain = |c: char| c.is_ascii_digit() || c == '-' || c == ',';
    (!list.is_empty() && list.chars().all(plain)).then_some(list)
}

/// RFC 4733 §2.4.1: what is meant where nothing is said.
const EVENTS_DEFAULT: &str = "0-15";
