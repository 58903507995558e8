//! What a session recording client says: SDP offer, RFC 7865 metadata and the multipart body of both.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::pattern::{LegKey, PACKET_SAMPLES};
use crate::srtp;

/// A codec the tool sends, 20 ms in a packet, with a clock of 8,000 Hz in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// mu-law, payload type 0.
    #[default]
    Pcmu,
    /// A-law, payload type 8.
    Pcma,
    /// G.722 at 64 kbit/s, payload type 9: the clock of its timestamps is not that of its audio (RFC 3551
    /// section 4.5.2).
    G722,
    /// Linear samples of 16 bits at 8,000 Hz, under a dynamic payload type.
    L16,
}

/// Payload type of telephone-events (RFC 4733), offered on every line.
pub const EVENT_PAYLOAD_TYPE: u8 = 101;

/// Direction of an m-line (RFC 8866 section 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// What an SRC offers while it records (RFC 7866 section 7.1.1).
    #[default]
    SendOnly,
    /// A pause (RFC 7866 section 7.1.1.1).
    Inactive,
    /// Offered by plain user agents.
    SendRecv,
}

/// One side of the recorded call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Address of record, a URI.
    pub aor: String,
    /// Display name.
    pub name: String,
}

/// One m-line and the participant who speaks on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferLeg {
    /// `a=label`, bound to the stream of the metadata (RFC 7866 section 7.1.1).
    pub label: String,
    /// Where the RTP comes from; port 0 takes the line away (RFC 3264 section 8.2).
    pub rtp: SocketAddr,
    /// Codec of the audio.
    pub codec: Codec,
    /// Direction attribute.
    pub direction: Direction,
    /// Who speaks.
    pub participant: Participant,
    /// Value of its `a=crypto` line (RFC 4568), where its media is encrypted.
    pub crypto: Option<String>,
}

/// An offer with its metadata: everything an INVITE of a recording session carries as its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Makes the session, participant and stream ids distinct: the call's number.
    pub session: u32,
    /// Version in the o= line; a changed offer has a higher one.
    pub version: u32,
    /// The m-lines in order.
    pub legs: Vec<OfferLeg>,
}

/// A message body and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Value of the Content-Type header field.
    pub content_type: String,
    /// The octets.
    pub bytes: Vec<u8>,
}

impl Codec {
    /// RTP payload type (RFC 3551 table 4).
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
            Self::L16 => 96,
        }
    }

    /// Encoding name in the rtpmap.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::L16 => "L16",
        }
    }

    /// The code of a silent sample in the audio file of a recording; what is not heard there is silence of
    /// mu-law.
    pub const fn silence(self) -> u8 {
        match self {
            Self::Pcmu | Self::G722 | Self::L16 => 0xff,
            Self::Pcma => 0xd5,
        }
    }

    /// Whether a recorder lets it be heard in the audio file. It keeps the packets of all others.
    pub const fn is_heard(self) -> bool {
        match self {
            Self::Pcmu | Self::Pcma => true,
            Self::G722 | Self::L16 => false,
        }
    }

    /// Octets of a packet's payload.
    pub const fn octets(self) -> usize {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => PACKET_SAMPLES,
            Self::L16 => 2 * PACKET_SAMPLES,
        }
    }
}

impl Direction {
    const fn attribute(self) -> &'static str {
        match self {
            Self::SendOnly => "sendonly",
            Self::Inactive => "inactive",
            Self::SendRecv => "sendrecv",
        }
    }
}

impl Offer {
    /// A two-party call: label 1 is the caller, label 2 the callee.
    pub fn two_party(session: u32, codec: Codec, caller: SocketAddr, callee: SocketAddr) -> Self {
        let leg = |label: u32, rtp, user: String, name: String| OfferLeg {
            label: label.to_string(),
            rtp,
            codec,
            direction: Direction::SendOnly,
            participant: Participant {
                aor: format!("sip:{user}@example.com"),
                name,
            },
            crypto: None,
        };
        let legs = vec![
            leg(
                1,
                caller,
                format!("caller-{session}"),
                format!("Caller {session}"),
            ),
            leg(
                2,
                callee,
                format!("callee-{session}"),
                format!("Callee {session}"),
            ),
        ];
        Self {
            session,
            version: 1,
            legs,
        }
    }

    /// The same offer with encrypted media, each leg under the key of its call and place.
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        for (leg, line) in (0..).zip(&mut self.legs) {
            let call = self.session;
            line.crypto = Some(srtp::crypto(LegKey { call, leg }));
        }
        self
    }

    /// The same offer one version later with every line in `direction`: a pause or its end.
    #[must_use]
    pub fn redirected(&self, direction: Direction) -> Self {
        let mut next = self.clone();
        next.version += 1;
        for leg in &mut next.legs {
            leg.direction = direction;
        }
        next
    }

    /// The SDP offer (RFC 8866, RFC 4574, RFC 4733).
    pub fn sdp(&self) -> String {
        let origin = self
            .legs
            .first()
            .map_or(IpAddr::from([0, 0, 0, 0]), |leg| leg.rtp.ip());
        let mut text = format!(
            "v=0\r\no=src {} {} IN {}\r\ns=-\r\nc=IN {}\r\nt=0 0\r\n",
            u64::from(self.session) + 1,
            self.version,
            connection(origin),
            connection(origin),
        );
        for leg in &self.legs {
            let (port, codec) = (leg.rtp.port(), leg.codec);
            let payload_type = codec.payload_type();
            let profile = leg.crypto.as_ref().map_or("RTP/AVP", |_| "RTP/SAVP");
            let _ = write!(
                text,
                "m=audio {port} {profile} {payload_type} {EVENT_PAYLOAD_TYPE}\r\n"
            );
            if leg.rtp.ip() != origin {
                let _ = write!(text, "c=IN {}\r\n", connection(leg.rtp.ip()));
            }
            let _ = write!(
                text,
                "a=rtpmap:{payload_type} {}/8000\r\na=rtpmap:{EVENT_PAYLOAD_TYPE} telephone-event/8000\r\n\
                 a=fmtp:{EVENT_PAYLOAD_TYPE} 0-15\r\na=ptime:20\r\na=label:{}\r\na={}\r\n",
                codec.name(),
                leg.label,
                leg.direction.attribute(),
            );
            if let Some(crypto) = &leg.crypto {
                let _ = write!(text, "a=crypto:{crypto}\r\n");
            }
        }
        text
    }

    /// A complete metadata document (RFC 7865): each participant sends its own stream and receives
    /// all the others.
    pub fn metadata(&self) -> String {
        let (session, group) = (self.session_id(), self.group_id());
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <recording xmlns=\"urn:ietf:params:xml:ns:recording:1\">\r\n\
             \x20 <datamode>complete</datamode>\r\n\
             \x20 <group group_id=\"{group}\">\r\n\
             \x20   <associate-time>{START_TIME}</associate-time>\r\n\
             \x20 </group>\r\n\
             \x20 <session session_id=\"{session}\">\r\n\
             \x20   <sipSessionID>{}</sipSessionID>\r\n\
             \x20   <group-ref>{group}</group-ref>\r\n\
             \x20   <start-time>{START_TIME}</start-time>\r\n\
             \x20 </session>\r\n",
            self.sip_session_id(),
        );
        for (index, leg) in self.legs.iter().enumerate() {
            let Participant { aor, name } = &leg.participant;
            let _ = write!(
                text,
                "  <participant participant_id=\"{}\">\r\n    <nameID aor=\"{}\">\r\n      \
                 <name xml:lang=\"en\">{}</name>\r\n    </nameID>\r\n  </participant>\r\n",
                self.participant_id(index),
                escape(aor),
                escape(name),
            );
        }
        for (index, leg) in self.legs.iter().enumerate() {
            let _ = write!(
                text,
                "  <stream stream_id=\"{}\" session_id=\"{session}\">\r\n    \
                 <label>{}</label>\r\n  </stream>\r\n",
                self.stream_id(index),
                escape(&leg.label),
            );
        }
        self.write_associations(&mut text, &session);
        text.push_str("</recording>\r\n");
        text
    }

    fn write_associations(&self, text: &mut String, session: &str) {
        let time = format!("    <associate-time>{START_TIME}</associate-time>\r\n");
        let _ = write!(
            text,
            "  <sessionrecordingassoc session_id=\"{session}\">\r\n{time}  \
             </sessionrecordingassoc>\r\n"
        );
        for index in 0..self.legs.len() {
            let participant = self.participant_id(index);
            let _ = write!(
                text,
                "  <participantsessionassoc participant_id=\"{participant}\" \
                 session_id=\"{session}\">\r\n{time}  </participantsessionassoc>\r\n"
            );
        }
        for index in 0..self.legs.len() {
            let participant = self.participant_id(index);
            let _ = write!(
                text,
                "  <participantstreamassoc participant_id=\"{participant}\">\r\n    \
                 <send>{}</send>\r\n",
                self.stream_id(index),
            );
            for other in (0..self.legs.len()).filter(|&other| other != index) {
                let _ = write!(text, "    <recv>{}</recv>\r\n", self.stream_id(other));
            }
            let _ = write!(text, "{time}  </participantstreamassoc>\r\n");
        }
    }

    /// Both parts in one multipart/mixed body (RFC 7866 section 9.1).
    pub fn multipart(&self) -> Body {
        let (sdp, metadata) = (self.sdp(), self.metadata());
        let text = format!(
            "--{BOUNDARY}\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n\
             --{BOUNDARY}\r\nContent-Type: application/rs-metadata+xml\r\n\
             Content-Disposition: recording-session\r\n\r\n{metadata}\r\n--{BOUNDARY}--\r\n",
        );
        Body {
            content_type: format!("multipart/mixed;boundary={BOUNDARY}"),
            bytes: text.into_bytes(),
        }
    }

    /// The offer alone.
    pub fn sdp_body(&self) -> Body {
        Body {
            content_type: "application/sdp".to_owned(),
            bytes: self.sdp().into_bytes(),
        }
    }

    /// The metadata alone, as an UPDATE may carry it.
    pub fn metadata_body(&self) -> Body {
        Body {
            content_type: "application/rs-metadata+xml".to_owned(),
            bytes: self.metadata().into_bytes(),
        }
    }

    /// The `group_id` of the communication session group.
    pub fn group_id(&self) -> String {
        self.id(0x3000)
    }

    /// The `session_id` of the communication session.
    pub fn session_id(&self) -> String {
        self.id(0)
    }

    /// The `sipSessionID` of the communication session (RFC 7989).
    pub fn sip_session_id(&self) -> String {
        let number = u128::from(self.session);
        format!("{:032x};remote={:032x}", number + 1, number + (1 << 64))
    }

    /// The `participant_id` of the speaker on m-line `index`.
    pub fn participant_id(&self, index: usize) -> String {
        self.id(0x1000 + index as u64)
    }

    /// The `stream_id` of m-line `index`.
    pub fn stream_id(&self, index: usize) -> String {
        self.id(0x2000 + index as u64)
    }

    /// Base64 of a 16-octet identifier (RFC 7865 section 6.10).
    fn id(&self, kind: u64) -> String {
        base64_id((u128::from(kind) << 64) | u128::from(self.session))
    }
}

fn connection(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("IP4 {address}"),
        IpAddr::V6(address) => format!("IP6 {address}"),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Base64 (RFC 4648 section 4) of 16 octets: 22 digits and the padding.
fn base64_id(value: u128) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(24);
    for place in 0..22_u32 {
        // Digit 21 has but two bits of the value; the other four are zero.
        let shifted = if place < 21 {
            value >> (122 - 6 * place)
        } else {
            value << 4
        };
        text.push(DIGITS[(shifted & 0x3f) as usize] as char);
    }
    text.push_str("==");
    text
}

/// The SRC's clock in the metadata. A constant, so that a body is a function of its call number.
const START_TIME: &str = "2026-01-01T00:00:00Z";

const BOUNDARY: &str = "holdfast-load-boundary";

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer::two_party(
            7,
            Codec::Pcmu,
            "192.0.2.1:26000".parse().unwrap(),
            "192.0.2.1:26002".parse().unwrap(),
        )
    }

    #[test]
    fn ids_are_base64_of_sixteen_octets() {
        assert_eq!(base64_id(0), "AAAAAAAAAAAAAAAAAAAAAA==");
        assert_eq!(base64_id(u128::MAX), "/////////////////////w==");
        assert_eq!(
            base64_id(u128::from_be_bytes(*b"holdfast-load-id")),
            "aG9sZGZhc3QtbG9hZC1pZA=="
        );
    }

    #[test]
    fn the_offer_has_one_labelled_sendonly_line_per_leg() {
        let sdp = offer().sdp();
        assert_eq!(sdp.matches("m=audio ").count(), 2);
        assert_eq!(sdp.matches("a=sendonly\r\n").count(), 2);
        assert!(sdp.contains("m=audio 26000 RTP/AVP 0 101\r\n"));
        assert!(sdp.contains("a=label:1\r\n") && sdp.contains("a=label:2\r\n"));
        assert!(sdp.lines().count() == sdp.matches("\r\n").count());
    }

    #[test]
    fn an_encrypted_offer_has_a_key_of_its_own_on_each_line() {
        let sdp = offer().encrypted().sdp();
        assert_eq!(sdp.matches(" RTP/SAVP 0 101\r\n").count(), 2);
        let keys: Vec<&str> = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"))
            .collect();
        assert_eq!((keys.len(), keys[0].len()), (2, 40));
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn a_pause_raises_the_version_and_keeps_the_ports() {
        let paused = offer().redirected(Direction::Inactive).sdp();
        assert!(paused.contains("o=src 8 2 IN IP4 192.0.2.1\r\n"));
        assert_eq!(paused.matches("a=inactive").count(), 2);
        assert!(paused.contains("m=audio 26002 "));
    }

    #[test]
    fn a_leg_of_the_other_family_gets_its_own_connection_line() {
        let mut offer = offer();
        offer.legs[1].rtp = "[2001:db8::1]:26002".parse().unwrap();
        assert!(
            offer
                .sdp()
                .contains("m=audio 26002 RTP/AVP 0 101\r\nc=IN IP6 2001:db8::1\r\n")
        );
    }

    #[test]
    fn names_are_escaped() {
        let mut offer = offer();
        offer.legs[0].participant.name = "A <b> & \"c\"".to_owned();
        assert!(
            offer
                .metadata()
                .contains(">A &lt;b&gt; &amp; &quot;c&quot;</name>")
        );
    }

    #[test]
    fn the_body_closes_its_boundary_and_each_stream_has_one_sender() {
        let body = String::from_utf8(offer().multipart().bytes).unwrap();
        assert_eq!(body.matches("--holdfast-load-boundary\r\n").count(), 2);
        assert!(body.ends_with("\r\n--holdfast-load-boundary--\r\n"));
        for index in 0..2 {
            let id = offer().stream_id(index);
            assert_eq!(body.matches(&format!("<send>{id}</send>")).count(), 1);
            assert_eq!(body.matches(&format!("<recv>{id}</recv>")).count(), 1);
        }
    }
}
