//! Packets as pcapng, for Wireshark and everything that reads it.
//!
//! ```text
//!   SHB  | type 0A0D0D0A | length | magic 1A2B3C4D | 1 | 0 | -1 (64 bits) | options | length |
//!   IDB  | type 1 | length | link type 101 | 0 | snap length 0 | if_tsresol 9 | length |
//!   EPB  | type 6 | length | 0 | time high | low | captured | original | packet | flags | length |
//! ```
//!
//! Blocks are little-endian and padded to 32 bits. Packets get synthesised IP and UDP headers
//! (link type RAW) with the addresses the track names and valid checksums; what a track holds
//! decrypted is exported so, with a comment, unless a [`Rewrite`] makes of it what came; keys are in no
//! pcapng (it has no place for those of SRTP).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use holdfast_units::WallTime;

use crate::format::{Flags, Kind, Record};
use crate::payload::SourceAddresses;
use crate::reader::{ReadTrackError, RecordReader};

/// Which way a packet went, as the recorder saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketDirection {
    /// It was received.
    Inbound,
    /// It was sent.
    Outbound,
}

/// Why a [`Rewrite`] gives up.
pub type RewriteError = Box<dyn std::error::Error + Send + Sync>;

/// A packet as it is exported, and a comment on it.
pub type Rewritten<'a> = (&'a [u8], Option<&'a str>);

/// Makes of the packets of tracks what is exported.
pub trait Rewrite {
    /// Sees each record of a track, in its order, packets too; tracks are numbered as they were given.
    fn see(&mut self, track: usize, record: &Record<'_>) -> Result<(), RewriteError>;

    /// What is exported of the packet seen last of this track, with a comment; `None`: nothing.
    fn packet<'a>(
        &'a mut self,
        track: usize,
        record: &Record<'a>,
    ) -> Result<Option<Rewritten<'a>>, RewriteError>;
}

/// Exports packets as they are kept.
struct AsKept;

impl Rewrite for AsKept {
    fn see(&mut self, _: usize, _: &Record<'_>) -> Result<(), RewriteError> {
        Ok(())
    }

    fn packet<'a>(
        &'a mut self,
        _: usize,
        record: &Record<'a>,
    ) -> Result<Option<Rewritten<'a>>, RewriteError> {
        let decrypted = record.flags.contains(Flags::DECRYPTED);
        let comment = decrypted.then_some("received as SRTP, stored decrypted");
        Ok(Some((record.payload, comment)))
    }
}

/// Writes a pcapng file.
#[derive(Debug)]
pub struct PcapNgWriter<W> {
    out: W,
    block: Vec<u8>,
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Packets written, RTP and RTCP.
    pub packets: u64,
    /// Packets among them whose addresses the track does not know: exported with address zero.
    pub without_addresses: u64,
    /// Packets left out by the [`Rewrite`].
    pub left_out: u64,
    /// Packets left out, being longer than a UDP datagram can be.
    pub too_long: u64,
    /// Damaged places in the tracks.
    pub damaged: u64,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A track could not be read.
    #[error("a track could not be exported")]
    Track(#[from] ReadTrackError),
    /// A packet could not be made into what is to be exported.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// The export could not be written.
    #[error("writing the export")]
    Write(#[from] io::Error),
}

impl<W: Write> PcapNgWriter<W> {
    /// Writes the section header and the one interface.
    pub fn new(out: W, application: &str) -> io::Result<Self> {
        let mut writer = Self {
            out,
            block: Vec::new(),
        };
        writer.begin(BLOCK_SECTION);
        writer.put(&0x1a2b_3c4d_u32.to_le_bytes());
        writer.put(&[1, 0, 0, 0]); // version 1.0
        writer.put(&u64::MAX.to_le_bytes()); // length of the section: not said
        writer.option(OPTION_USER_APPLICATION, application.as_bytes());
        writer.end_options();
        writer.finish_block()?;
        writer.begin(BLOCK_INTERFACE);
        writer.put(&LINK_TYPE_RAW.to_le_bytes());
        writer.put(&[0; 6]); // reserved, snap length unlimited
        writer.option(OPTION_TIME_RESOLUTION, &[9]);
        writer.end_options();
        writer.finish_block()?;
        Ok(writer)
    }

    /// Writes one UDP datagram; `false` where `payload` is too long to be one.
    pub fn datagram(
        &mut self,
        at: WallTime,
        from: SocketAddr,
        to: SocketAddr,
        direction: PacketDirection,
        comment: Option<&str>,
        payload: &[u8],
    ) -> io::Result<bool> {
        let Some(headers) = ip_udp_headers(from, to, payload) else {
            return Ok(false);
        };
        let captured = (headers.len() + payload.len()) as u32;
        self.begin(BLOCK_PACKET);
        self.put(&0_u32.to_le_bytes());
        self.put(&((at.0 >> 32) as u32).to_le_bytes());
        self.put(&(at.0 as u32).to_le_bytes());
        self.put(&captured.to_le_bytes());
        self.put(&captured.to_le_bytes());
        self.put(&headers);
        self.put(payload);
        self.pad();
        let flags = match direction {
            PacketDirection::Inbound => 1_u32,
            PacketDirection::Outbound => 2,
        };
        self.option(OPTION_PACKET_FLAGS, &flags.to_le_bytes());
        if let Some(comment) = comment {
            self.option(OPTION_COMMENT, comment.as_bytes());
        }
        self.end_options();
        self.finish_block()?;
        Ok(true)
    }

    /// Gives back what it wrote to, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn begin(&mut self, block_type: u32) {
        self.block.clear();
        self.put(&block_type.to_le_bytes());
        self.put(&[0; 4]);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.put(&code.to_le_bytes());
        self.put(&(value.len() as u16).to_le_bytes());
        self.put(value);
        self.pad();
    }

    fn end_options(&mut self) {
        self.put(&[0; 4]);
    }

    fn finish_block(&mut self) -> io::Result<()> {
        let length = (self.block.len() + 4) as u32;
        self.block[4..8].copy_from_slice(&length.to_le_bytes());
        self.put(&length.to_le_bytes());
        self.out.write_all(&self.block)
    }
}

/// Writes the RTP and RTCP packets of some tracks, merged by their arrival.
pub fn export<R: Read, W: Write>(
    tracks: impl IntoIterator<Item = R>,
    out: &mut PcapNgWriter<W>,
) -> Result<ExportReport, ExportError> {
    export_rewritten(tracks, out, &mut AsKept)
}

/// As [`export`], and `rewrite` says what becomes of each packet.
pub fn export_rewritten<R: Read, W: Write>(
    tracks: impl IntoIterator<Item = R>,
    out: &mut PcapNgWriter<W>,
    rewrite: &mut dyn Rewrite,
) -> Result<ExportReport, ExportError> {
    let tracks = tracks.into_iter().enumerate();
    let mut tracks: Vec<_> = tracks.map(|(at, it)| ExportTrack::new(at, it)).collect();
    for track in &mut tracks {
        track.advance(rewrite)?;
    }
    let mut report = ExportReport::default();
    while let Some(first) = earliest(&tracks) {
        let track = &mut tracks[first];
        track.write(out, rewrite, &mut report)?;
        track.advance(rewrite)?;
    }
    report.damaged = tracks.iter().map(|track| track.reader.damage_count()).sum();
    Ok(report)
}

fn earliest<R: Read>(tracks: &[ExportTrack<R>]) -> Option<usize> {
    let arrivals = tracks.iter().enumerate().filter_map(|(index, track)| {
        let record = track.reader.record()?;
        Some((record.arrival, index))
    });
    arrivals.min().map(|(_, index)| index)
}

struct ExportTrack<R> {
    number: usize,
    reader: RecordReader<R>,
    sources: BTreeMap<u8, SourceAddresses>,
}

impl<R: Read> ExportTrack<R> {
    fn new(number: usize, input: R) -> Self {
        Self {
            number,
            reader: RecordReader::new(input),
            sources: BTreeMap::new(),
        }
    }

    /// Goes to the next packet, taking note of the addresses on the way.
    fn advance(&mut self, rewrite: &mut dyn Rewrite) -> Result<(), ExportError> {
        while let Some(record) = self.reader.next()? {
            rewrite.see(self.number, &record)?;
            match record.kind {
                Kind::Packet | Kind::Rtcp => break,
                Kind::Source => {
                    if let Ok(addresses) = SourceAddresses::decode(record.payload) {
                        self.sources.insert(record.source, addresses);
                    }
                }
                Kind::Header | Kind::Mark | Kind::Counters | Kind::Pad | Kind::End | Kind::Key => {}
            }
        }
        Ok(())
    }

    fn write<W: Write>(
        &self,
        out: &mut PcapNgWriter<W>,
        rewrite: &mut dyn Rewrite,
        report: &mut ExportReport,
    ) -> Result<(), ExportError> {
        let Some(record) = self.reader.record() else {
            return Ok(());
        };
        let known = self.sources.get(&record.source);
        let SourceAddresses { remote, local } = known.copied().unwrap_or(UNKNOWN);
        let (from, to, direction) = if record.flags.contains(Flags::OUTBOUND) {
            (local, remote, PacketDirection::Outbound)
        } else {
            (remote, local, PacketDirection::Inbound)
        };
        let Some((payload, comment)) = rewrite.packet(self.number, &record)? else {
            report.left_out += 1;
            return Ok(());
        };
        if out.datagram(record.arrival, from, to, direction, comment, payload)? {
            report.packets += 1;
            report.without_addresses += u64::from(known.is_none());
        } else {
            report.too_long += 1;
        }
        Ok(())
    }
}

/// The octets before the payload; `None` where it does not fit. A mixture of families is shown as
/// IPv6 with the IPv4 address mapped into it.
fn ip_udp_headers(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let udp_size = u16::try_from(payload.len().checked_add(8)?).ok()?;
    let mut headers = Vec::with_capacity(48);
    let pseudo = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => put_ipv4(&mut headers, from, to, udp_size)?,
        (from, to) => put_ipv6(&mut headers, to_v6(from), to_v6(to), udp_size),
    };
    let udp = headers.len();
    headers.extend_from_slice(&from.port().to_be_bytes());
    headers.extend_from_slice(&to.port().to_be_bytes());
    headers.extend_from_slice(&udp_size.to_be_bytes());
    headers.extend_from_slice(&[0, 0]);
    let sum = ones_sum(ones_sum(pseudo, &headers[udp..]), payload);
    // RFC 768: "If the computed checksum is zero, it is transmitted as all ones".
    let checksum = if fold(sum) == 0xffff {
        0xffff
    } else {
        !fold(sum)
    };
    headers[udp + 6..udp + 8].copy_from_slice(&checksum.to_be_bytes());
    Some(headers)
}

/// Writes an IPv4 header; the answer is the sum over the pseudo header (RFC 768).
fn put_ipv4(out: &mut Vec<u8>, from: Ipv4Addr, to: Ipv4Addr, udp_size: u16) -> Option<u64> {
    let total = udp_size.checked_add(20)?;
    out.extend_from_slice(&[0x45, 0]);
    out.extend_from_slice(&total.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0x40, 0, 64, UDP, 0, 0]); // don't fragment, 64 hops
    out.extend_from_slice(&from.octets());
    out.extend_from_slice(&to.octets());
    let checksum = !fold(ones_sum(0, out));
    out[10..12].copy_from_slice(&checksum.to_be_bytes());
    Some(ones_sum(u64::from(UDP) + u64::from(udp_size), &out[12..20]))
}

/// Writes an IPv6 header; the answer is the sum over the pseudo header (RFC 8200 §8.1).
fn put_ipv6(out: &mut Vec<u8>, from: Ipv6Addr, to: Ipv6Addr, udp_size: u16) -> u64 {
    out.extend_from_slice(&[0x60, 0, 0, 0]);
    out.extend_from_slice(&udp_size.to_be_bytes());
    out.extend_from_slice(&[UDP, 64]);
    out.extend_from_slice(&from.octets());
    out.extend_from_slice(&to.octets());
    ones_sum(u64::from(UDP) + u64::from(udp_size), &out[8..40])
}

fn to_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Adds 16-bit words in network order, an odd octet at the end as the upper half of one.
fn ones_sum(start: u64, bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|word| match *word {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    words.fold(start, |sum, word| sum + word)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

const UNKNOWN: SourceAddresses = SourceAddresses {
    remote: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    local: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
};

const BLOCK_SECTION: u32 = 0x0a0d_0d0a;
const BLOCK_INTERFACE: u32 = 1;
const BLOCK_PACKET: u32 = 6;
const LINK_TYPE_RAW: u16 = 101;
const OPTION_COMMENT: u16 = 1;
const OPTION_PACKET_FLAGS: u16 = 2;
const OPTION_USER_APPLICATION: u16 = 4;
const OPTION_TIME_RESOLUTION: u16 = 9;
const UDP: u8 = 17;
