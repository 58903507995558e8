//! The line reader.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::attribute::{Attribute, CryptoLine, Fingerprint, Group, RtcpAddress, SsrcAttribute};
use super::codec::{PayloadType, RtpMap};
use super::media::{Direction, Media, MediaKind, Profile};
use super::{Bandwidth, Connection, OriginLine, SdpError, SdpFlag, SessionDescription};
use crate::limits;

pub(super) fn read(bytes: &[u8]) -> Result<SessionDescription, SdpError> {
    if bytes.len() > limits::SDP_BYTES_MAX {
        return Err(SdpError::TooLong { size: bytes.len() });
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    // A lone CR ends a line too: it must not survive inside a value.
    let lines = bytes.split(|&byte| byte == b'\n' || byte == b'\r');
    let lines = lines
        .map(<[u8]>::trim_ascii_start)
        .filter(|line| !line.is_empty());
    let mut reader = Reader::default();
    for (index, line) in lines.enumerate() {
        if index >= limits::SDP_LINES_MAX {
            return Err(SdpError::TooManyLines);
        }
        reader.take(line)?;
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    description: SessionDescription,
    has_version: bool,
    lines: usize,
    /// Lines that only a session description has: its `v=`, `o=` and `m=`.
    marks: usize,
}

impl Reader {
    fn take(&mut self, line: &[u8]) -> Result<(), SdpError> {
        self.lines += 1;
        if line.len() > limits::SDP_LINE_BYTES_MAX && !line.starts_with(b"m=") {
            self.flag(SdpFlag::LongLine);
            return Ok(());
        }
        let (Some(&key), Some(b'='), Some(value)) = (line.first(), line.get(1), line.get(2..))
        else {
            self.flag(SdpFlag::UnknownLine);
            return Ok(());
        };
        let value = self.text_of(value);
        match key {
            b'm' => return self.take_media(value.trim()),
            b'a' => self.take_attribute(value.trim()),
            b'c' => self.take_connection(&value),
            b'b' => self.take_bandwidth(&value),
            b'v' | b'o' | b's' | b't' => self.take_session_line(key, &value),
            b'k' => self.flag(SdpFlag::KeyLine),
            // Kept with the raw body; they mean nothing to a recorder.
            b'i' | b'u' | b'e' | b'p' | b'r' | b'z' => {}
            _ => self.flag(SdpFlag::UnknownLine),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<SessionDescription, SdpError> {
        if self.lines == 0 {
            return Err(SdpError::Empty);
        }
        if self.marks == 0 {
            return Err(SdpError::NotSdp);
        }
        let session = &mut self.description;
        for (missing, flag) in [
            (!self.has_version, SdpFlag::NoVersion),
            (session.origin.is_none(), SdpFlag::NoOrigin),
            (session.name.is_none(), SdpFlag::NoName),
            (session.times.is_empty(), SdpFlag::NoTime),
        ] {
            if missing {
                session.flags.insert(flag);
            }
        }
        let has_connection = session.connection.is_some();
        for media in &mut session.media {
            if !has_connection && media.connection.is_none() {
                media.flags.insert(SdpFlag::NoConnection);
            }
        }
        Ok(self.description)
    }

    /// Flags the section that is being read.
    fn flag(&mut self, flag: SdpFlag) {
        match self.description.media.last_mut() {
            Some(media) => media.flags.insert(flag),
            None => self.description.flags.insert(flag),
        };
    }

    fn text_of<'v>(&mut self, value: &'v [u8]) -> Cow<'v, str> {
        let text = String::from_utf8_lossy(value);
        let control = |c: char| c.is_control() && c != '\t';
        if matches!(text, Cow::Borrowed(_)) && !text.contains(control) {
            return text;
        }
        self.flag(SdpFlag::BadText);
        Cow::Owned(text.replace(control, "?"))
    }

    fn take_session_line(&mut self, key: u8, value: &str) {
        if !self.description.media.is_empty() {
            self.description.flags.insert(SdpFlag::OutOfOrder);
        }
        match key {
            b'v' => {
                self.marks += 1;
                self.has_version = value.trim() == "0";
            }
            b'o' => {
                self.marks += 1;
                let origin = OriginLine::parse(value);
                self.description.origin = self.description.origin.take().or(origin);
            }
            b's' => self.description.name = Some(value.to_owned()),
            _ if self.description.times.len() < limits::TIMES_MAX => {
                self.description.times.push(value.trim().to_owned());
            }
            _ => {}
        }
    }

    fn take_connection(&mut self, value: &str) {
        let Some(connection) = Connection::parse(value) else {
            return self.flag(SdpFlag::BadConnection);
        };
        let place = match self.description.media.last_mut() {
            Some(media) => &mut media.connection,
            None => &mut self.description.connection,
        };
        place.get_or_insert(connection);
    }

    fn take_bandwidth(&mut self, value: &str) {
        let read = value.split_once(':').and_then(|(kind, value)| {
            Some(Bandwidth {
                kind: kind.trim().to_owned(),
                value: value.trim().parse().ok()?,
            })
        });
        let Some(bandwidth) = read else {
            return self.flag(SdpFlag::BadBandwidth);
        };
        match self.description.media.last_mut() {
            Some(media) => media.bandwidth.push(bandwidth),
            None => self.description.bandwidth.push(bandwidth),
        }
    }

    fn take_media(&mut self, value: &str) -> Result<(), SdpError> {
        self.marks += 1;
        let number = self.description.media.len() + 1;
        if number > limits::MEDIA_LINES_MAX {
            return Err(SdpError::TooManyMedia);
        }
        let media = Media::parse(value).ok_or(SdpError::BadMediaLine { number })?;
        self.description.media.push(media);
        Ok(())
    }

    fn take_attribute(&mut self, text: &str) {
        let attribute = Attribute::parse(text);
        let name = attribute.name.to_ascii_lowercase();
        match self.description.media.last_mut() {
            Some(media) => media.take_attribute(&name, attribute),
            None => self.description.take_attribute(&name, attribute),
        }
    }
}

impl OriginLine {
    fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split_ascii_whitespace();
        let username = fields.next()?.to_owned();
        let session_id = fields.next()?.to_owned();
        let version = fields.next()?.to_owned();
        let host = fields.nth(2)?.to_owned();
        Some(Self {
            username,
            session_id,
            version,
            host,
        })
    }
}

impl SessionDescription {
    fn take_attribute(&mut self, name: &str, attribute: Attribute) {
        let text = attribute.text();
        match name {
            "group" => self.groups.extend(Group::parse(text)),
            "setup" => self.setup = Some(text.to_owned()),
            "fingerprint" => self.fingerprints.extend(Fingerprint::parse(text)),
            // Media level only (RFC 3605 §2.1).
            "rtcp" => drop(self.flags.insert(SdpFlag::BadRtcp)),
            _ => {
                if let Some(direction) = Direction::parse(name)
                    && self.direction.replace(direction).is_some()
                {
                    self.flags.insert(SdpFlag::SeveralDirections);
                }
            }
        }
        self.attributes.push(attribute);
    }
}

impl Media {
    /// `type port[/count] transport format…`
    fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split_ascii_whitespace();
        let kind_text = fields.next()?.to_owned();
        let port = fields.next()?;
        let (port, count) = match port.split_once('/') {
            Some((port, count)) => (port, Some(count)),
            None => (port, None),
        };
        let port = port.parse().ok()?;
        let profile_text = fields.next()?.to_owned();
        let profile = Profile::parse(&profile_text);
        let mut flags = BTreeSet::new();
        if count.is_some_and(|count| count != "1") {
            flags.insert(SdpFlag::SeveralPorts);
        }
        let formats: Vec<String> = fields
            .by_ref()
            .take(limits::FORMATS_MAX)
            .map(str::to_owned)
            .collect();
        if fields.next().is_some() {
            flags.insert(SdpFlag::TooManyFormats);
        }
        if formats.is_empty() {
            flags.insert(SdpFlag::NoFormat);
        }
        if profile.is_rtp()
            && formats
                .iter()
                .any(|text| PayloadType::parse(text).is_none())
        {
            flags.insert(SdpFlag::BadFormat);
        }
        Some(Self {
            kind: MediaKind::parse(&kind_text),
            kind_text,
            port,
            profile,
            profile_text,
            formats,
            flags,
            ..Self::blank()
        })
    }

    fn blank() -> Self {
        Self {
            kind: MediaKind::Other,
            kind_text: String::new(),
            port: 0,
            profile: Profile::Other,
            profile_text: String::new(),
            formats: Vec::new(),
            connection: None,
            bandwidth: Vec::new(),
            direction: None,
            label: None,
            mid: None,
            content: None,
            ptime_ms: None,
            maxptime_ms: None,
            rtcp: None,
            rtcp_mux: false,
            rtcp_mux_only: false,
            rtcp_rsize: false,
            bundle_only: false,
            rtpmaps: BTreeMap::new(),
            fmtps: BTreeMap::new(),
            ssrcs: Vec::new(),
            crypto: Vec::new(),
            setup: None,
            fingerprints: Vec::new(),
            attributes: Vec::new(),
            flags: BTreeSet::new(),
        }
    }

    fn take_attribute(&mut self, name: &str, attribute: Attribute) {
        let text = attribute.text();
        match name {
            "label" => self.label = Some(text.to_owned()).filter(|label| !label.is_empty()),
            "mid" => self.mid = Some(text.to_owned()),
            "content" => self.content = Some(text.to_owned()),
            "ptime" => self.ptime_ms = milliseconds(text),
            "maxptime" => self.maxptime_ms = milliseconds(text),
            "rtcp-mux" => self.rtcp_mux = true,
            "rtcp-mux-only" => self.rtcp_mux_only = true,
            "rtcp-rsize" => self.rtcp_rsize = true,
            "bundle-only" => self.bundle_only = true,
            "rtpmap" => self.take_rtpmap(text),
            "fmtp" => self.take_fmtp(text),
            "ssrc" => self.ssrcs.extend(SsrcAttribute::parse(text)),
            "setup" => self.setup = Some(text.to_owned()),
            "fingerprint" => self.fingerprints.extend(Fingerprint::parse(text)),
            "rtcp" => match RtcpAddress::parse(text) {
                Some(rtcp) => self.rtcp = Some(rtcp),
                None => drop(self.flags.insert(SdpFlag::BadRtcp)),
            },
            "crypto" => {
                // The key goes into its own wrapping and nowhere else.
                match CryptoLine::parse(text) {
                    Some(line) => self.crypto.push(line),
                    None => drop(self.flags.insert(SdpFlag::BadCrypto)),
                }
                return;
            }
            _ => {
                if let Some(direction) = Direction::parse(name)
                    && self.direction.replace(direction).is_some()
                {
                    self.flags.insert(SdpFlag::SeveralDirections);
                }
            }
        }
        self.attributes.push(attribute);
    }

    fn take_rtpmap(&mut self, text: &str) {
        let read = text.split_once([' ', '\t']).and_then(|(number, map)| {
            let payload_type = PayloadType::parse(number)?;
            Some((payload_type, RtpMap::parse(payload_type, map)?))
        });
        let Some((payload_type, (map, odd))) = read else {
            self.flags.insert(SdpFlag::OddRtpmap);
            return;
        };
        if odd {
            self.flags.insert(SdpFlag::OddRtpmap);
        }
        if !map.agrees_with_static(payload_type) {
            self.flags.insert(SdpFlag::StaticRemapped);
        }
        self.rtpmaps.entry(payload_type).or_insert(map);
    }

    fn take_fmtp(&mut self, text: &str) {
        if let Some((number, value)) = text.split_once([' ', '\t'])
            && let Some(payload_type) = PayloadType::parse(number)
        {
            self.fmtps
                .entry(payload_type)
                .or_insert_with(|| value.trim().to_owned());
        }
    }
}

/// A packet time: whole milliseconds, above 0. Some peers write `20.0`.
fn milliseconds(text: &str) -> Option<u32> {
    let whole = text.split('.').next().unwrap_or_default();
    whole.trim().parse().ok().filter(|&ms| ms > 0)
}
