//! One stage, by name: begun, fed, and asked at the end whether it took everything.

use holdfast_units::SrtpSuite;

use crate::stages;

/// A part of a packet's way.
pub(crate) trait Stage {
    /// Takes so many packets, a multiple of [`BATCH`].
    fn run(&mut self, packets: u64);

    /// Ends it, and says how many packets came out as they should.
    fn finish(self: Box<Self>) -> u64;
}

/// The stages, and the feed alone: what it costs is in the figures of those that it feeds, which
/// are all but `reorder`, `depacketise` and `render`. So is what it costs to protect a packet
/// (`protect_…`) in those that take it encrypted into a track (`track_…`).
pub const NAMES: [&str; 13] = [
    "feed",
    "demux_guard",
    "append",
    "sequence",
    "reorder",
    "track",
    "protect_cm",
    "track_cm",
    "protect_gcm",
    "track_gcm",
    "depacketise",
    "render",
    "shard",
];

/// Packets that a stage takes at once: two tracks of 80 s.
pub const BATCH: u64 = 8_000;

/// A stage that runs.
pub struct Running {
    stage: Box<dyn Stage>,
    fed: u64,
}

impl Running {
    /// Begins a stage with so many streams, and feeds it until it is as it is in the midst of
    /// calls: sources latched, buffers as large as they become. `None` where no stage has that
    /// name.
    pub fn begin(name: &str, streams: usize) -> Option<Self> {
        let stage: Box<dyn Stage> = match name {
            "feed" => Box::new(stages::FeedAlone::new(streams)),
            "demux_guard" => Box::new(stages::DemuxGuard::new(streams)),
            "append" => Box::new(stages::Append::new(streams)),
            "sequence" => Box::new(stages::Sequence::new(streams)),
            "reorder" => Box::new(stages::Reorder::new()),
            "track" => Box::new(stages::Track::new(streams, None)),
            "protect_cm" => Box::new(stages::Protect::new(streams, COUNTER)),
            "track_cm" => Box::new(stages::Track::new(streams, Some(COUNTER))),
            "protect_gcm" => Box::new(stages::Protect::new(streams, GALOIS)),
            "track_gcm" => Box::new(stages::Track::new(streams, Some(GALOIS))),
            "depacketise" => Box::new(stages::Depacketise::new()),
            "render" => Box::new(stages::Render::new()),
            "shard" => Box::new(stages::WholeShard::new(streams)),
            _ => return None,
        };
        let mut running = Self { stage, fed: 0 };
        let warm_up = WARM_UP_ROUNDS * streams as u64;
        running.run(warm_up.next_multiple_of(BATCH));
        Some(running)
    }

    /// Takes so many packets.
    ///
    /// # Panics
    ///
    /// Where that is no multiple of [`BATCH`].
    pub fn run(&mut self, packets: u64) {
        assert!(
            packets.is_multiple_of(BATCH),
            "packets come in {BATCH}s, not {packets}"
        );
        self.stage.run(packets);
        self.fed += packets;
    }

    /// Ends the stage.
    ///
    /// # Panics
    ///
    /// Where not every packet came out of it as it should: then its figures mean nothing.
    pub fn finish(self) {
        let taken = self.stage.finish();
        assert_eq!(taken, self.fed, "packets taken of those fed");
    }
}

const COUNTER: SrtpSuite = SrtpSuite::AesCm128Sha1_80;
const GALOIS: SrtpSuite = SrtpSuite::AesGcm128;

/// Packets of each stream before anything is measured: a track's buffer is handed on after about
/// 100, and then one of full size is in use.
const WARM_UP_ROUNDS: u64 = 250;
