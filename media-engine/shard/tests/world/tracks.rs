//! What a track holds.

use holdfast_track::{Counters, Kind, RecordReader, SourceAddresses, TrackMark};

#[derive(Clone, Debug, Default)]
pub struct Track {
    /// Number in the log and octets of each packet, in the order of the file.
    pub packets: Vec<(u64, Vec<u8>)>,
    pub rtcp: Vec<Vec<u8>>,
    pub marks: Vec<TrackMark>,
    pub sources: Vec<(u8, SourceAddresses)>,
    /// The source number of each packet.
    pub packet_sources: Vec<u8>,
    pub counters: Option<Counters>,
    pub headers: usize,
    pub ends: usize,
    /// Whether the last record is the end.
    pub is_complete: bool,
}

impl Track {
    /// Reads a track, in which nothing may be damaged.
    pub fn read(bytes: &[u8]) -> Self {
        let (track, damaged) = Self::read_damaged(bytes);
        assert_eq!(damaged, 0, "a damaged track of {} octets", bytes.len());
        track
    }

    /// Reads what is intact of a track; answers how many damaged places there are.
    pub fn read_damaged(bytes: &[u8]) -> (Self, usize) {
        let mut track = Self::default();
        let mut reader = RecordReader::new(bytes);
        while let Some(record) = reader.next().expect("memory reads") {
            track.is_complete = false;
            let payload = record.payload;
            match record.kind {
                Kind::Header => track.headers += 1,
                Kind::Packet => {
                    track.packets.push((record.lsn.0, payload.to_vec()));
                    track.packet_sources.push(record.source);
                }
                Kind::Rtcp => track.rtcp.push(payload.to_vec()),
                Kind::Source => {
                    let addresses = SourceAddresses::decode(payload).expect("addresses");
                    track.sources.push((record.source, addresses));
                }
                Kind::Mark => track
                    .marks
                    .push(TrackMark::decode(payload).expect("a mark")),
                Kind::Counters => track.counters = Counters::decode(payload).ok(),
                Kind::Pad | Kind::Key => {}
                Kind::End => {
                    track.ends += 1;
                    track.is_complete = true;
                }
            }
        }
        (track, reader.damage().len())
    }

    pub fn payloads(&self) -> Vec<Vec<u8>> {
        self.packets
            .iter()
            .map(|(_, bytes)| bytes.clone())
            .collect()
    }

    pub fn has_mark(&self, mark: &TrackMark) -> bool {
        self.marks.contains(mark)
    }
}
