//! The recording side of one stream: what becomes of its records once the journal has them.
//!
//! Everything here is a function of the journal's records alone, in their order. That is what makes
//! a recovery exact: cut the track where the checkpoint says, restore the state that it holds, and
//! the same records make the same track again.

use std::net::SocketAddr;

use holdfast_control::{Srtp, Stream, StreamMode};
use holdfast_journal::{Lsn as Position, RecordRef};
use holdfast_manifest::Direction;
use holdfast_prefetch::prefetch_whole;
use holdfast_rtp::rtcp::{Compound, RtcpPacket};
use holdfast_rtp::{PayloadMap, Refused, RtpPacket, Sequenced, SourceTable, Ssrc, StateError};
use holdfast_track::{
    CodecEntry, Counters, Flags, Kind, Lsn, Record, SourceAddresses, StreamHeader, TrackMark,
};
use holdfast_units::{RecordingId, StreamId, WallTime};

use crate::after_pause::AfterPause;
use crate::decryption::{Decryption, Mute, Opened};
use crate::keys::KeyRing;
use crate::live::{packet_time, payload_map};
use crate::track_writer::TrackWriter;

/// The recording side of one stream.
#[derive(Debug)]
pub struct AssembledStream {
    /// The recording that it belongs to.
    pub recording: RecordingId,
    /// What it is meant to be, by the journal.
    pub desired: Stream,
    /// Its track.
    pub track: TrackWriter,
    /// Whether the track has its last record.
    pub is_ended: bool,
    /// Records below are in the track, or have had their effect.
    from: Position,
    codecs: PayloadMap,
    decryption: Decryption,
    /// Of an encrypted stream. No checkpoint has it: after one it begins anew, and at most a packet is
    /// kept alone that need not be.
    after_pause: AfterPause,
    sources: SourceTable,
    /// By number, from 1: who sends.
    addresses: Vec<Option<SocketAddr>>,
    /// Of an encrypted stream, by number: who has sent, and nothing of it has authenticated yet. The
    /// track does not know them.
    unproven: Vec<Option<SocketAddr>>,
    /// Number and SSRC of whoever sent the last packet.
    last: Option<(u8, u32)>,
    /// Packets of another source authenticate than before, until somebody asks.
    authentic: Option<Authentic>,
    counts: Counts,
    scratch: Vec<u8>,
}

/// A source of an encrypted stream, of which a packet has authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authentic {
    /// Which stream.
    pub stream: StreamId,
    /// Its port.
    pub rtp_port: u16,
    /// Who has sent it.
    pub source: SocketAddr,
    /// As whom.
    pub ssrc: Ssrc,
    /// When it arrived.
    pub at: WallTime,
}

/// What of a stream is asked of the memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The stream.
    Own,
    /// What the stream leads to.
    Next,
    /// What that leads to.
    Last,
}

/// What the records of the track do not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    packets: u64,
    bytes: u64,
    duplicates: u64,
    late: u64,
    dropped: u64,
}

/// Counted by the receiving side, which the journal does not know.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveCounts {
    /// Datagrams refused by the guard.
    pub refused: Refused,
    /// Datagrams that the kernel dropped.
    pub kernel_drops: u64,
}

impl AssembledStream {
    /// Begins a track.
    pub fn begin(
        keys: &KeyRing,
        recording: RecordingId,
        desired: Stream,
        at: &RecordRef<'_>,
    ) -> Self {
        let track = TrackWriter::new(desired.id, 0);
        let decryption = Decryption::new(keys, recording, &desired);
        let mut stream = Self::with_track(recording, desired, decryption, track);
        let header = StreamHeader {
            recording,
            stream: stream.desired.id,
            number: u32::from(stream.desired.number),
            description: postcard::to_stdvec(&stream.desired)
                .expect("plain data serialises into memory"),
        };
        stream.scratch.clear();
        header.encode(&mut stream.scratch);
        stream.append_scratch(Kind::Header, 0, at);
        stream.mark(&codecs_mark(&stream.desired), at);
        if let Some(label) = stream.desired.label.clone() {
            stream.mark(&TrackMark::Label(label), at);
        }
        stream.mark(&TrackMark::Direction(direction(stream.desired.mode)), at);
        stream
    }

    fn with_track(
        recording: RecordingId,
        desired: Stream,
        decryption: Decryption,
        track: TrackWriter,
    ) -> Self {
        let codecs = payload_map(&desired);
        Self {
            recording,
            after_pause: AfterPause::begin(&desired, &codecs),
            codecs,
            decryption,
            desired,
            track,
            is_ended: false,
            from: Position::ZERO,
            sources: SourceTable::new(),
            addresses: Vec::new(),
            unproven: Vec::new(),
            last: None,
            authentic: None,
            counts: Counts::default(),
            scratch: Vec::new(),
        }
    }

    /// Follows a changed desired state of the same stream.
    pub fn change(&mut self, keys: &KeyRing, desired: Stream, at: &RecordRef<'_>) {
        let (recording, now) = (self.recording, at.arrival);
        self.decryption
            .change(keys, recording, &self.desired, &desired, now);
        let codecs = payload_map(&desired);
        self.after_pause
            .change((&self.desired, &self.codecs), (&desired, &codecs));
        if desired.codecs != self.desired.codecs {
            self.codecs = codecs;
            self.mark(&codecs_mark(&desired), at);
        }
        if desired.label != self.desired.label {
            self.mark(
                &TrackMark::Label(desired.label.clone().unwrap_or_default()),
                at,
            );
        }
        match (self.desired.mode, desired.mode) {
            (StreamMode::Record, StreamMode::Pause) => self.mark(&TrackMark::Pause, at),
            (StreamMode::Pause, StreamMode::Record) => self.mark(&TrackMark::Resume, at),
            (StreamMode::Record, StreamMode::Record) | (StreamMode::Pause, StreamMode::Pause) => {}
        }
        if desired.mode != self.desired.mode {
            self.mark(&TrackMark::Direction(direction(desired.mode)), at);
        }
        self.desired = desired;
    }

    /// Asks the memory for what [`Self::handle_rtp`] will need, in three steps: each leads to the next.
    pub(crate) fn prefetch(&self, step: Step) {
        match step {
            Step::Own => prefetch_whole(self),
            Step::Next => {
                self.sources.prefetch();
                self.track.prefetch();
                self.decryption.prefetch();
            }
            Step::Last => self.decryption.prefetch_keys(),
        }
    }

    /// Takes an RTP packet. A packet that came before, or does not authenticate, goes no further.
    /// `plain` is room for a decrypted one.
    pub fn handle_rtp(&mut self, record: &RecordRef<'_>, plain: &mut Vec<u8>) {
        let (bytes, flags) = match self
            .decryption
            .open_rtp(record.arrival, record.payload, plain)
        {
            Opened::Plain => (record.payload, Flags::NONE),
            Opened::Decrypted => {
                if !self.after_pause.is_over() {
                    self.after_pause.strip(&self.codecs, plain);
                }
                (&plain[..], Flags::DECRYPTED)
            }
            Opened::Unreadable => {
                self.counts.packets += 1;
                return self.append(Kind::Packet, Flags::PROTECTED, record, record.payload);
            }
            Opened::Refused => return,
        };
        let is_proven_now = self.prove(record);
        self.note_key(record);
        let Ok(packet) = RtpPacket::parse(bytes) else {
            // The guard let it pass once; kept as it is, the renderer will say what it makes of it.
            return self.append(Kind::Packet, flags, record, bytes);
        };
        let ssrc = packet.ssrc();
        let is_other = is_proven_now || self.last.is_none_or(|(last, _)| last != record.flags);
        self.last = Some((record.flags, ssrc.0));
        if is_other && flags == Flags::DECRYPTED {
            self.authentic = self.last_sender().map(|(source, ssrc)| Authentic {
                stream: self.desired.id,
                rtp_port: self.desired.rtp_port,
                source,
                ssrc,
                at: record.arrival,
            });
        }
        // A payload type that an offer has just taken away: kept, and accounted for without a clock.
        if let Some(codec) = self.codecs.codec(packet.payload_type()).copied() {
            let now = packet_time(record.arrival);
            match self.sources.observe(now, &packet, &codec).sequenced {
                Sequenced::Duplicate { .. } => {
                    self.counts.duplicates += 1;
                    return;
                }
                Sequenced::Late { .. } => self.counts.late += 1,
                Sequenced::Fresh { .. } | Sequenced::Suspect { .. } | Sequenced::Restart { .. } => {
                }
            }
        }
        self.counts.packets += 1;
        self.counts.bytes += bytes.len() as u64;
        self.append(Kind::Packet, flags, record, bytes);
    }

    /// Takes an RTCP packet. One that does not read is kept all the same; one that does not
    /// authenticate goes no further. `plain` is room for a decrypted one.
    pub fn handle_rtcp(&mut self, record: &RecordRef<'_>, plain: &mut Vec<u8>) {
        let (bytes, flags) = match self.decryption.open_rtcp(record.payload, plain) {
            Opened::Plain => (record.payload, Flags::NONE),
            Opened::Decrypted => (&plain[..], Flags::DECRYPTED),
            Opened::Unreadable => {
                return self.append(Kind::Rtcp, Flags::PROTECTED, record, record.payload);
            }
            Opened::Refused => return,
        };
        self.prove(record);
        for packet in Compound::parse(bytes, false).into_iter().flatten() {
            if let RtcpPacket::Goodbye { sources, .. } = packet {
                sources
                    .iter()
                    .for_each(|ssrc| self.sources.handle_bye(ssrc));
            }
        }
        self.append(Kind::Rtcp, flags, record, bytes);
    }

    /// Whether packets are still to come that nobody here can read.
    pub(crate) const fn is_sealed(&self) -> bool {
        !self.is_ended && matches!(self.decryption, Decryption::Sealed)
    }

    /// Whose packets authenticate, and did not just before.
    pub(crate) fn take_authentic(&mut self) -> Option<Authentic> {
        self.authentic.take()
    }

    /// Says once that packets have come for a while and none of them authenticates.
    pub(crate) fn mute(&mut self, now: WallTime) -> Option<Mute> {
        self.decryption.mute(now, self.recording, self.desired.id)
    }

    /// Takes the address of a sender. One that does not read is not from this version's journal.
    pub fn handle_source(&mut self, record: &RecordRef<'_>, _: &mut Vec<u8>) {
        let Ok(remote) = postcard::from_bytes(record.payload) else {
            return;
        };
        if !self.decryption.tells_strangers_apart() {
            return self.append_source(remote, record);
        }
        if let Some(index) = usize::from(record.flags).checked_sub(1) {
            put(&mut self.unproven, index, remote);
        }
    }

    /// A packet of this sender is authentic: the track gets to know him. Answers whether it did not
    /// before.
    fn prove(&mut self, record: &RecordRef<'_>) -> bool {
        let Some(index) = usize::from(record.flags).checked_sub(1) else {
            return false;
        };
        let Some(remote) = self.unproven.get_mut(index).and_then(Option::take) else {
            return false;
        };
        if self.addresses.get(index) == Some(&Some(remote)) {
            return false;
        }
        self.append_source(remote, record);
        true
    }

    fn append_source(&mut self, remote: SocketAddr, record: &RecordRef<'_>) {
        if let Some(index) = usize::from(record.flags).checked_sub(1) {
            put(&mut self.addresses, index, remote);
        }
        let local = SocketAddr::new(self.desired.address, self.desired.rtp_port);
        self.scratch.clear();
        SourceAddresses { remote, local }.encode(&mut self.scratch);
        self.append_scratch(Kind::Source, record.flags, record);
    }

    /// Takes a count of datagrams that were lost before the journal.
    pub fn handle_drops(&mut self, record: &RecordRef<'_>, _: &mut Vec<u8>) {
        let Some((packets, rest)) = record.payload.split_first_chunk() else {
            return;
        };
        let Some((from, _)) = rest.split_first_chunk() else {
            return;
        };
        let packets = u64::from(u32::from_le_bytes(*packets));
        self.counts.dropped += packets;
        let (from, to) = (WallTime(u64::from_le_bytes(*from)), record.arrival);
        self.mark(&TrackMark::Dropped { from, to, packets }, record);
    }

    /// The ring was full until now, for all streams together.
    pub fn handle_overflow(&mut self, from: WallTime, packets: u64, at: &RecordRef<'_>) {
        let to = at.arrival;
        self.mark(&TrackMark::RingOverflow { from, to, packets }, at);
    }

    /// The engine was started again.
    pub fn handle_restart(&mut self, at: &RecordRef<'_>) {
        self.mark(&TrackMark::EngineRestart, at);
    }

    /// Nobody received.
    pub fn handle_outage(&mut self, from: WallTime, to: WallTime, at: &RecordRef<'_>) {
        self.mark(&TrackMark::Outage { from, to }, at);
    }

    /// Ends the track.
    pub fn end(&mut self, live: &LiveCounts, at: &RecordRef<'_>) {
        if self.is_ended {
            return;
        }
        self.is_ended = true;
        let Counts {
            packets,
            bytes,
            duplicates,
            late,
            ..
        } = self.counts;
        let counters = Counters {
            packets,
            bytes,
            duplicates,
            late,
            kernel_drops: live.kernel_drops,
            refused: live
                .refused
                .iter()
                .map(|(why, n)| (why.name(), n))
                .chain(self.decryption.refused())
                .map(|(why, n)| (why.to_owned(), n))
                .collect(),
            tracker: Vec::new(),
        };
        self.scratch.clear();
        counters.encode(&mut self.scratch);
        self.append_scratch(Kind::Counters, 0, at);
        self.scratch.clear();
        self.append_scratch(Kind::End, 0, at);
    }

    /// SSRCs and their statistics, for receiver reports.
    pub fn sources_mut(&mut self) -> &mut SourceTable {
        &mut self.sources
    }

    /// Packets in the track.
    pub fn packets(&self) -> u64 {
        self.counts.packets
    }

    /// Adds the packets which had come before, and which came late.
    pub const fn repeated_since(&self, (duplicates, late): (u64, u64)) -> (u64, u64) {
        (duplicates + self.counts.duplicates, late + self.counts.late)
    }

    /// Whether the track has a record, because a checkpoint that it was resumed from covers it.
    pub fn has(&self, record: Position) -> bool {
        record < self.from
    }

    /// Where the last packet came from.
    pub fn last_sender(&self) -> Option<(SocketAddr, Ssrc)> {
        let (number, ssrc) = self.last?;
        let index = usize::from(number).checked_sub(1)?;
        let address = (*self.addresses.get(index)?)?;
        Some((address, Ssrc(ssrc)))
    }

    /// What a later process needs to go on with the stream at this record.
    pub fn encode_state(&self, position: Position, live: &LiveCounts) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(STATE_SIZE_USUAL);
        bytes.extend([STATE_VERSION, u8::from(self.is_ended)]);
        bytes.extend(position.0.to_le_bytes());
        let Counts {
            packets,
            bytes: octets,
            duplicates,
            late,
            dropped,
        } = self.counts;
        let own = [
            packets,
            octets,
            duplicates,
            late,
            dropped,
            live.kernel_drops,
        ];
        for counter in own.iter().chain(live.refused.counts()) {
            bytes.extend(counter.to_le_bytes());
        }
        let size_at = bytes.len();
        bytes.extend([0; 4]);
        let (former, decryption) = self.decryption.state();
        let plain = (
            &self.desired,
            &self.addresses,
            &self.unproven,
            self.last,
            former,
            decryption,
        );
        let mut bytes =
            postcard::to_extend(&plain, bytes).expect("plain data serialises into memory");
        let size = (bytes.len() - size_at - 4) as u32;
        bytes[size_at..size_at + 4].copy_from_slice(&size.to_le_bytes());
        self.sources.encode(&mut bytes);
        bytes
    }

    /// Goes on with a stream: what [`Self::encode_state`] wrote when the track had this size.
    ///
    /// # Errors
    ///
    /// Where the octets are not of this version.
    pub fn resume(
        keys: &KeyRing,
        recording: RecordingId,
        track_size: u64,
        now: WallTime,
        state: &[u8],
    ) -> Result<(Self, LiveCounts), StateError> {
        let (head, rest) = state.split_first_chunk::<2>().ok_or(StateError::TooShort)?;
        let [version, is_ended] = *head;
        if version != STATE_VERSION {
            return Err(StateError::Version { found: version });
        }
        let (position, rest) = rest.split_first_chunk().ok_or(StateError::TooShort)?;
        let (counters, rest) = rest
            .split_first_chunk::<{ COUNTERS * 8 }>()
            .ok_or(StateError::TooShort)?;
        let mut words = [0; COUNTERS];
        for (word, octets) in words.iter_mut().zip(counters.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*octets);
        }
        let (own, refused) = words.split_at(OWN_COUNTERS);
        let [packets, bytes, duplicates, late, dropped, kernel_drops] = *own else {
            return Err(StateError::Invalid);
        };
        let (size, rest) = rest.split_first_chunk().ok_or(StateError::TooShort)?;
        let (plain, sources) = rest
            .split_at_checked(u32::from_le_bytes(*size) as usize)
            .ok_or(StateError::TooShort)?;
        let plain = postcard::from_bytes(plain).map_err(|_| StateError::Invalid)?;
        let (desired, addresses, unproven, last, former, decryption): PlainState = plain;
        let decryption = Decryption::resume(keys, recording, &desired, former, &decryption)
            .ok_or(StateError::Invalid)?;
        let track = TrackWriter::new(desired.id, track_size);
        let mut stream = Self::with_track(recording, desired, decryption, track);
        stream.is_ended = is_ended != 0;
        stream.from = Position(u64::from_le_bytes(*position));
        stream.addresses = addresses;
        stream.unproven = unproven;
        stream.last = last;
        stream.counts = Counts {
            packets,
            bytes,
            duplicates,
            late,
            dropped,
        };
        stream.sources = SourceTable::decode(packet_time(now), sources)?;
        let refused = refused.try_into().map_err(|_| StateError::Invalid)?;
        let live = LiveCounts {
            refused: Refused::from_counts(refused),
            kernel_drops,
        };
        Ok((stream, live))
    }

    /// Which stream it is.
    pub fn id(&self) -> StreamId {
        self.desired.id
    }

    fn mark(&mut self, mark: &TrackMark, at: &RecordRef<'_>) {
        self.scratch.clear();
        mark.encode(&mut self.scratch);
        self.append_scratch(Kind::Mark, 0, at);
    }

    /// Says in the track what the packet came protected with that was just decrypted.
    fn note_key(&mut self, at: &RecordRef<'_>) {
        if let Some(key) = self.decryption.unnoted_key(self.desired.srtp.as_ref()) {
            self.scratch.clear();
            key.encode(&mut self.scratch);
            self.append_scratch(Kind::Key, 0, at);
        }
    }

    fn append(&mut self, kind: Kind, flags: Flags, record: &RecordRef<'_>, payload: &[u8]) {
        self.track.append(&Record {
            kind,
            source: record.flags,
            flags,
            lsn: Lsn(record.lsn.0),
            arrival: record.arrival,
            payload,
        });
    }

    fn append_scratch(&mut self, kind: Kind, source: u8, at: &RecordRef<'_>) {
        self.track.append(&Record {
            kind,
            source,
            flags: Flags::NONE,
            lsn: Lsn(at.lsn.0),
            arrival: at.arrival,
            payload: &self.scratch,
        });
    }
}

fn put(addresses: &mut Vec<Option<SocketAddr>>, index: usize, remote: SocketAddr) {
    if index >= addresses.len() {
        addresses.resize(index + 1, None);
    }
    addresses[index] = Some(remote);
}

fn codecs_mark(desired: &Stream) -> TrackMark {
    let entry = |(&payload_type, codec): (&u8, &holdfast_manifest::Codec)| CodecEntry {
        payload_type,
        name: codec.name.clone(),
        clock_rate: codec.clock_rate,
        channels: codec.channels,
        fmtp: codec.fmtp.clone().unwrap_or_default(),
    };
    TrackMark::Codecs(desired.codecs.iter().map(entry).collect())
}

const fn direction(mode: StreamMode) -> Direction {
    match mode {
        StreamMode::Record => Direction::Recvonly,
        StreamMode::Pause => Direction::Inactive,
    }
}

/// The part of a state that is no counter and no source: the desired state, the addresses of senders,
/// of those that are not proven, the last of them, keys that were in force before, and what is known of the encryption.
type PlainState = (
    Stream,
    Vec<Option<SocketAddr>>,
    Vec<Option<SocketAddr>>,
    Option<(u8, u32)>,
    Option<Srtp>,
    Vec<u8>,
);

const STATE_VERSION: u8 = 4;
/// Octets of a state with one SSRC, generously.
const STATE_SIZE_USUAL: usize = 1_280;
const OWN_COUNTERS: usize = 6;
const COUNTERS: usize = OWN_COUNTERS + holdfast_rtp::Reason::ALL.len();

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use holdfast_manifest::Codec;

    use super::*;
    use crate::records;

    fn stream() -> Stream {
        let pcmu = Codec {
            name: "PCMU".into(),
            clock_rate: 8_000,
            channels: 1,
            fmtp: None,
        };
        Stream {
            id: StreamId(1),
            number: 1,
            media_line: 0,
            media: "audio".into(),
            label: None,
            channel: 0,
            address: Ipv4Addr::LOCALHOST.into(),
            rtp_port: 10_000,
            rtcp_port: 10_001,
            mode: StreamMode::Record,
            codecs: [(0, pcmu)].into(),
            peer_rtp: None,
            peer_rtcp: None,
            signaling_peer: None,
            cname: "test".into(),
            send_reports: true,
            srtp: None,
        }
    }

    fn record(lsn: u64, kind: u8, payload: &[u8]) -> RecordRef<'_> {
        RecordRef {
            lsn: Position(lsn),
            kind,
            flags: 1,
            source: 0,
            stream: StreamId(1),
            arrival: WallTime(lsn * 20_000_000),
            payload,
        }
    }

    fn rtp(ssrc: u8, number: u8) -> Vec<u8> {
        let mut packet = vec![0x80, 0, 0, number, 0, 0, number, 0, 0, 0, 0, ssrc];
        packet.extend([0x55; 160]);
        packet
    }

    #[test]
    fn a_source_that_says_goodbye_makes_room_for_the_next_one_at_once() {
        let start = record(0, records::RECORDING, &[]);
        let mut stream = AssembledStream::begin(
            &KeyRing::default(),
            RecordingId::from_bytes([1; 16]),
            stream(),
            &start,
        );
        let mut lsn = 0;
        let mut take = |stream: &mut AssembledStream, ssrc, numbers: std::ops::Range<u8>| {
            for number in numbers {
                lsn += 1;
                stream.handle_rtp(
                    &record(lsn, records::RTP, &rtp(ssrc, number)),
                    &mut Vec::new(),
                );
            }
            lsn
        };
        let current = |stream: &mut AssembledStream| stream.sources_mut().current().unwrap().ssrc();
        let said = take(&mut stream, 1, 0..3);
        // An empty receiver report and a BYE of SSRC 1.
        let goodbye = [0x80, 201, 0, 1, 0, 0, 0, 1, 0x81, 203, 0, 1, 0, 0, 0, 1];
        stream.handle_rtcp(&record(said, records::RTCP, &goodbye), &mut Vec::new());
        take(&mut stream, 2, 0..3);
        assert_eq!(current(&mut stream), Ssrc(2));
        // Without one, it is not believed to have ended.
        take(&mut stream, 3, 0..3);
        assert_eq!(current(&mut stream), Ssrc(2));
    }
}
