//! The same packets to rtpengine, which records them to pcap files: what one of them costs it.
//!
//! Its "ng" protocol is a cookie and a bencoded dictionary in a datagram each way. No more of it is
//! read here than the ports in the SDP of an answer and why something was refused.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::time::Duration;

use holdfast_load::pattern::LegKey;

use crate::sender::Target;

/// Why rtpengine cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RtpengineError {
    /// Its control socket, or its files.
    #[error("asking rtpengine")]
    Exchange(#[from] io::Error),
    /// It does not do what it was asked.
    #[error("rtpengine answers {0:?}")]
    Refused(String),
}

/// A running rtpengine.
pub struct Rtpengine {
    socket: UdpSocket,
    cookie: u32,
    calls: u32,
}

impl Rtpengine {
    /// The one whose control port is this.
    pub fn connect(control: SocketAddr) -> Result<Self, RtpengineError> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(control)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self {
            socket,
            cookie: 0,
            calls: 0,
        })
    }

    /// Begins calls between two parties that both receive at `sink`, recorded, and answers where
    /// their packets go.
    pub fn begin(&mut self, calls: u32, sink: SocketAddr) -> Result<Vec<Target>, RtpengineError> {
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n",
            ip = sink.ip(),
            port = sink.port()
        );
        let mut targets = Vec::new();
        for call in 0..calls {
            let id = format!("ingest-{call}");
            let own = [("call-id", id.as_str()), ("from-tag", "a"), ("sdp", &sdp)];
            let offered = self.ask("offer", &own)?;
            let own = [
                ("call-id", id.as_str()),
                ("from-tag", "a"),
                ("sdp", &sdp),
                ("to-tag", "b"),
            ];
            let answered = self.ask("answer", &own)?;
            for (leg, answer) in [offered, answered].iter().enumerate() {
                let port = media_port(answer).ok_or_else(|| refused(answer))?;
                targets.push(Target {
                    from: None,
                    protection: None,
                    key: LegKey {
                        call,
                        leg: leg as u8,
                    },
                    to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
                });
            }
        }
        self.calls = calls;
        Ok(targets)
    }

    /// Ends all calls.
    pub fn end(&mut self) -> Result<(), RtpengineError> {
        for call in 0..self.calls {
            let id = format!("ingest-{call}");
            self.ask("delete", &[("call-id", &id), ("from-tag", "a")])?;
        }
        Ok(())
    }

    /// Asks, with the keys of the dictionary in order, and answers what it says.
    fn ask(&mut self, command: &str, own: &[(&str, &str)]) -> Result<Vec<u8>, RtpengineError> {
        self.cookie += 1;
        let mut entries = vec![("command", command), ("record call", "on")];
        entries.extend(own);
        entries.sort_unstable();
        let mut text = format!("{} d", self.cookie);
        for (key, value) in entries {
            text.push_str(&format!("{}:{key}{}:{value}", key.len(), value.len()));
        }
        text.push('e');
        self.socket.send(text.as_bytes())?;
        let mut buffer = vec![0; 65_536];
        let size = self.socket.recv(&mut buffer)?;
        buffer.truncate(size);
        let is_ok = find(&buffer, b"6:result2:ok").is_some();
        if is_ok {
            Ok(buffer)
        } else {
            Err(refused(&buffer))
        }
    }
}

/// Packets in the pcap files of a folder and those below it.
pub fn recorded_packets(folder: &Path) -> io::Result<u64> {
    let mut packets = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            packets += recorded_packets(&path)?;
        } else if path.extension().is_some_and(|it| it == "pcap") {
            packets += packets_of(&fs::read(&path)?);
        }
    }
    Ok(packets)
}

/// Records of a pcap file: a header of 24 octets, then each with one of 16, whose third word is its
/// length (draft-ietf-opsawg-pcap section 4).
fn packets_of(pcap: &[u8]) -> u64 {
    let (mut at, mut packets) = (24, 0);
    while let Some(size) = pcap.get(at + 8..).and_then(|rest| rest.first_chunk()) {
        let size = u32::from_le_bytes(*size) as usize;
        at += 16 + size;
        packets += u64::from(at <= pcap.len());
    }
    packets
}

/// The port of the first m-line in an answer.
fn media_port(answer: &[u8]) -> Option<u16> {
    let at = find(answer, b"m=audio ")? + b"m=audio ".len();
    let digits = answer[at..]
        .iter()
        .take_while(|octet| octet.is_ascii_digit());
    let text: String = digits.map(|&octet| char::from(octet)).collect();
    text.parse().ok()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn refused(answer: &[u8]) -> RtpengineError {
    RtpengineError::Refused(String::from_utf8_lossy(answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_the_first_media_line() {
        let answer = b"1 d6:result2:ok3:sdp40:v=0\r\nm=audio 30010 RTP/AVP 0\r\ne";
        assert_eq!(media_port(answer), Some(30_010));
        assert_eq!(media_port(b"d6:result5:errore"), None);
    }

    #[test]
    fn only_whole_packets_of_a_pcap_count() {
        let mut pcap = vec![0; 24];
        for size in [3_u32, 5] {
            pcap.extend([0; 8]);
            pcap.extend(size.to_le_bytes());
            pcap.extend(size.to_le_bytes());
            pcap.extend(vec![1; size as usize]);
        }
        assert_eq!(packets_of(&pcap), 2);
        assert_eq!(packets_of(&pcap[..pcap.len() - 1]), 1);
        assert_eq!(packets_of(&pcap[..24]), 0);
    }
}
