//! Reads the SDP answer of a recording server: as much of it as a sender needs.

use std::net::{IpAddr, SocketAddr};

/// An SDP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// One per m-line, in order.
    pub lines: Vec<AnswerLine>,
}

/// One m-line of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerLine {
    /// Where RTP goes; `None` when the line was refused with port 0.
    pub rtp: Option<SocketAddr>,
    /// Where RTCP goes: `a=rtcp` (RFC 3605), else the port after the RTP port.
    pub rtcp: Option<SocketAddr>,
    /// First direction attribute of the line, `sendrecv` when it has none.
    pub direction: String,
    /// `a=label`.
    pub label: Option<String>,
    /// Value of `a=crypto`: the key that its reports come under.
    pub crypto: Option<String>,
    /// Payload types in order, as written.
    pub formats: Vec<String>,
}

/// Why an answer can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The body is not text.
    #[error("the answer is not UTF-8")]
    NotText,
    /// An m-line without a port, or with one that is no number.
    #[error("an m-line has no port")]
    NoPort,
    /// Neither the line nor the session says to which address.
    #[error("an m-line has no connection address")]
    NoAddress,
}

impl Answer {
    /// Reads an answer.
    pub fn parse(body: &[u8]) -> Result<Self, AnswerError> {
        let text = std::str::from_utf8(body).map_err(|_| AnswerError::NotText)?;
        let mut sections = vec![Vec::new()];
        for line in text.lines() {
            if line.starts_with("m=") {
                sections.push(Vec::new());
            }
            if let Some(section) = sections.last_mut() {
                section.push(line.trim_end());
            }
        }
        let session = &sections[0];
        let lines = sections[1..]
            .iter()
            .map(|section| read_line(session, section))
            .collect::<Result<_, _>>()?;
        Ok(Self { lines })
    }
}

fn read_line(session: &[&str], section: &[&str]) -> Result<AnswerLine, AnswerError> {
    let mut fields = section
        .first()
        .map_or("", |line| line.trim_start_matches("m="))
        .split(' ');
    let port: u16 = fields
        .nth(1)
        .and_then(|port| port.parse().ok())
        .ok_or(AnswerError::NoPort)?;
    let formats = fields.skip(1).map(str::to_owned).collect();
    let find = |prefix: &str| section.iter().find_map(|line| line.strip_prefix(prefix));
    let rtp = if port == 0 {
        None
    } else {
        let address = connection(section).or_else(|| connection(session));
        Some(SocketAddr::new(
            address.ok_or(AnswerError::NoAddress)?,
            port,
        ))
    };
    let rtcp_port = find("a=rtcp:").and_then(|value| value.split(' ').next()?.parse().ok());
    let rtcp = rtp.map(|rtp| {
        SocketAddr::new(
            rtp.ip(),
            rtcp_port.unwrap_or_else(|| rtp.port().wrapping_add(1)),
        )
    });
    let direction = ["sendonly", "recvonly", "inactive", "sendrecv"]
        .into_iter()
        .find(|name| {
            section
                .iter()
                .any(|line| line.strip_prefix("a=") == Some(name))
        })
        .unwrap_or("sendrecv");
    Ok(AnswerLine {
        rtp,
        rtcp,
        direction: direction.to_owned(),
        label: find("a=label:").map(str::to_owned),
        crypto: find("a=crypto:").map(str::to_owned),
        formats,
    })
}

fn connection(lines: &[&str]) -> Option<IpAddr> {
    let value = lines.iter().find_map(|line| line.strip_prefix("c=IN "))?;
    value.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_labels_and_directions_are_read_per_line() {
        let text = "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
                    m=audio 10000 RTP/AVP 0 101\r\na=label:1\r\na=recvonly\r\n\
                    m=audio 10002 RTP/AVP 8\r\nc=IN IP6 2001:db8::2\r\na=rtcp:20001\r\n\
                    a=inactive\r\nm=video 0 RTP/AVP 96\r\n";
        let answer = Answer::parse(text.as_bytes()).unwrap();
        assert_eq!(answer.lines.len(), 3);
        assert_eq!(
            answer.lines[0].rtp,
            Some("198.51.100.1:10000".parse().unwrap())
        );
        assert_eq!(
            answer.lines[0].rtcp,
            Some("198.51.100.1:10001".parse().unwrap())
        );
        assert_eq!(answer.lines[0].formats, ["0", "101"]);
        assert_eq!(answer.lines[0].label.as_deref(), Some("1"));
        assert_eq!(answer.lines[0].direction, "recvonly");
        assert_eq!(
            answer.lines[1].rtp,
            Some("[2001:db8::2]:10002".parse().unwrap())
        );
        assert_eq!(
            answer.lines[1].rtcp,
            Some("[2001:db8::2]:20001".parse().unwrap())
        );
        assert_eq!(answer.lines[1].direction, "inactive");
        assert_eq!(answer.lines[2].rtp, None);
    }

    #[test]
    fn what_cannot_be_sent_to_is_refused() {
        assert_eq!(
            Answer::parse(b"v=0\r\nm=audio 5 RTP/AVP 0\r\n"),
            Err(AnswerError::NoAddress)
        );
        assert_eq!(
            Answer::parse(b"v=0\r\nm=audio x RTP/AVP 0\r\n"),
            Err(AnswerError::NoPort)
        );
        assert_eq!(Answer::parse(b"m=audio \xff"), Err(AnswerError::NotText));
        assert_eq!(Answer::parse(b"").unwrap().lines, []);
    }
}
