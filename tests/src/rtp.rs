//! RTP and RTCP packets by hand: sources that speak no G.711, reports that come and reports that
//! go.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use holdfast_load::pattern::{LegKey, payload};

use crate::caller::Call;

/// A source of packets with octets of the test's choice.
#[derive(Debug)]
pub struct Source {
    /// From where.
    pub socket: UdpSocket,
    /// Where to.
    pub target: SocketAddr,
    /// Payload type.
    pub payload_type: u8,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Of the next packet.
    pub sequence: u16,
    /// Of the next packet.
    pub timestamp: u32,
}

impl Source {
    /// A source that begins at some number.
    pub const fn new(socket: UdpSocket, target: SocketAddr, payload_type: u8, ssrc: u32) -> Self {
        Self {
            socket,
            target,
            payload_type,
            ssrc,
            sequence: 1_000,
            timestamp: 50_000,
        }
    }

    /// A source that speaks on a line of a call, from the port that the offer names.
    ///
    /// # Panics
    /// When the line has no port.
    pub fn of(call: &Call, line: usize, ssrc: u32) -> Self {
        let socket = call.ports[line].rtp.try_clone().expect("a second handle");
        let target = call.answer.lines[line].rtp.expect("a port in the answer");
        Self::new(
            socket,
            target,
            call.offer.legs[line].codec.payload_type(),
            ssrc,
        )
    }

    /// Sends octets as they are.
    ///
    /// # Panics
    /// When the system does not take them.
    pub fn send_raw(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.target).expect("a packet");
    }

    /// Sends a packet; the next one is `ticks` later.
    ///
    /// # Panics
    /// When the system does not take it.
    pub fn send(&mut self, payload: &[u8], ticks: u32) {
        let packet = packet(
            self.payload_type,
            self.sequence,
            self.timestamp,
            self.ssrc,
            payload,
        );
        self.socket.send_to(&packet, self.target).expect("a packet");
        self.skip(ticks);
    }

    /// Leaves a packet out, as the network does.
    pub const fn skip(&mut self, ticks: u32) {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(ticks);
    }
}

/// Who speaks on a line of a call: decides what is said.
pub fn speaker(call: &Call, line: usize) -> LegKey {
    LegKey {
        call: call.number,
        leg: line as u8,
    }
}

/// A payload of RFC 2198: a slot, and before it what so many slots before it said.
pub fn redundant(key: LegKey, slot: u32, copies: u32) -> Vec<u8> {
    let earlier: Vec<u32> = (1..=copies.min(slot)).rev().collect();
    let mut octets = Vec::new();
    for back in &earlier {
        // More follows, type 0, ticks back, length.
        let head = 1 << 31 | (back * 160) << 10 | 160;
        octets.extend(head.to_be_bytes());
    }
    octets.push(0);
    for back in &earlier {
        octets.extend(payload(key, slot - back));
    }
    octets.extend(payload(key, slot));
    octets
}

/// The reports that come to a socket in a while, each with when it came.
///
/// # Panics
/// When the socket takes no time-out.
pub fn reports(socket: &UdpSocket, limit: Duration) -> Vec<(Instant, Report)> {
    let until = Instant::now() + limit;
    let mut buffer = [0; 1_500];
    let mut heard = Vec::new();
    socket.set_nonblocking(false).expect("a socket");
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return heard;
        }
        socket.set_read_timeout(Some(left)).expect("a time-out");
        if let Ok(size) = socket.recv(&mut buffer)
            && let Some(report) = Report::parse(&buffer[..size])
        {
            heard.push((Instant::now(), report));
        }
    }
}

/// An RTP packet (RFC 3550 section 5.1).
pub fn packet(
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A sender report without blocks (RFC 3550 section 6.4.1); `ntp` is the middle of its time.
pub fn sender_report(ssrc: u32, ntp: u32, timestamp: u32, packets: u32) -> Vec<u8> {
    let octets = packets * 160;
    // The middle 32 bits of the 64-bit time: what comes back as LSR.
    let (seconds, fraction) = (0xe000_0000 | ntp >> 16, ntp << 16);
    let words = [ssrc, seconds, fraction, timestamp, packets, octets];
    rtcp(200, 0, &words.map(u32::to_be_bytes).concat())
}

/// A source description with a CNAME (RFC 3550 section 6.5).
pub fn description(ssrc: u32, cname: &str) -> Vec<u8> {
    let mut body = ssrc.to_be_bytes().to_vec();
    body.extend([1, cname.len() as u8]);
    body.extend(cname.as_bytes());
    // At least one zero ends the list; the chunk is padded to a word.
    body.push(0);
    body.resize(body.len().next_multiple_of(4), 0);
    rtcp(202, 1, &body)
}

/// A goodbye (RFC 3550 section 6.6).
pub fn goodbye(ssrc: u32) -> Vec<u8> {
    rtcp(203, 1, &ssrc.to_be_bytes())
}

fn rtcp(kind: u8, count: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | count, kind];
    bytes.extend((body.len() as u16 / 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// What a compound packet of a receiver says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Who reports.
    pub ssrc: u32,
    /// What it received of whom.
    pub blocks: Vec<Block>,
    /// The name it gives itself.
    pub cname: Option<String>,
    /// Whether it says goodbye.
    pub is_goodbye: bool,
}

/// A report block (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Of whom.
    pub ssrc: u32,
    /// Lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Lost since the beginning.
    pub lost: i32,
    /// Extended highest sequence number.
    pub highest: u32,
    /// Jitter in ticks.
    pub jitter: u32,
    /// The middle of the time in the last sender report.
    pub last_report: u32,
    /// How long ago that came, in 65,536ths of a second.
    pub delay: u32,
}

impl Report {
    /// Reads a compound packet; `None` where it is none that begins with a receiver report.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut report = Self::default();
        let mut rest = bytes;
        let mut is_first = true;
        while !rest.is_empty() {
            let [head, kind, high, low, ..] = *rest else {
                return None;
            };
            let size = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
            if head >> 6 != 2 || (is_first && kind != 201) {
                return None;
            }
            let body = rest.get(4..size)?;
            match kind {
                201 => {
                    report.ssrc = word(body, 0)?;
                    let blocks = body.get(4..)?.chunks_exact(24);
                    report.blocks = blocks
                        .take(usize::from(head & 0x1f))
                        .filter_map(Block::parse)
                        .collect();
                }
                // The only chunk: SSRC, then CNAME.
                202 if body.get(4) == Some(&1) => {
                    let end = 6 + usize::from(*body.get(5)?);
                    report.cname = Some(String::from_utf8_lossy(body.get(6..end)?).into_owned());
                }
                203 => report.is_goodbye = true,
                _ => {}
            }
            rest = rest.get(size..)?;
            is_first = false;
        }
        (!is_first).then_some(report)
    }
}

impl Block {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let loss = word(bytes, 4)?;
        Some(Self {
            ssrc: word(bytes, 0)?,
            fraction_lost: (loss >> 24) as u8,
            // 24 bits with a sign.
            lost: (loss << 8) as i32 >> 8,
            highest: word(bytes, 8)?,
            jitter: word(bytes, 12)?,
            last_report: word(bytes, 16)?,
            delay: word(bytes, 20)?,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_whole_or_not_at_all() {
        let block = [7, 0x80ff_fffe, 0x0001_0005, 12, 0x1234_5678, 65_536];
        let mut body = 9_u32.to_be_bytes().to_vec();
        body.extend(block.map(u32::to_be_bytes).concat());
        let mut bytes = rtcp(201, 1, &body);
        bytes.extend(description(9, "me"));
        let report = Report::parse(&bytes).unwrap();
        assert_eq!((report.ssrc, report.cname.as_deref()), (9, Some("me")));
        let expected = Block {
            ssrc: 7,
            fraction_lost: 128,
            lost: -2,
            highest: 0x0001_0005,
            jitter: 12,
            last_report: 0x1234_5678,
            delay: 65_536,
        };
        assert_eq!(report.blocks, [expected]);
        let parts = [32, bytes.len()];
        for end in (0..bytes.len()).filter(|end| !parts.contains(end)) {
            assert_eq!(Report::parse(&bytes[..end]), None, "{end}");
        }
        assert_eq!(
            Report::parse(&description(9, "me")),
            None,
            "no report first"
        );
    }
}
