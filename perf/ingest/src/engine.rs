//! The engine's other end of the control socket: as many recordings as wanted, and their ends.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdfast_control::limits::MESSAGE_SIZE_MAX;
use holdfast_control::{
    DecodeError, Document, EncodeError, FromEngine, Health, KeyOf, Life, PublishedRecording,
    Recording, Sealed, ShardPorts, Srtp, SrtpKey, Stage, Stream, StreamMode, ToEngine, decode,
    encode, seal_context,
};
use holdfast_load::pattern::LegKey;
use holdfast_load::srtp;
use holdfast_manifest::{Call, Channel, Codec, EndReason, MetadataDocument};
use holdfast_seal::{NONCE_SIZE, NodeKeys};
use holdfast_sys::seqpacket::Connection;
use holdfast_units::{RecordingId, StreamId, WallTime};

use crate::sender::Target;

/// Recordings that are asked for before the first of them is answered.
const WINDOW: usize = 64;
/// Longest that one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ports of a call: RTP and RTCP of two streams.
const PORTS_PER_CALL: u16 = 4;

/// Why the engine cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The control socket.
    #[error("the control socket")]
    Socket(#[from] io::Error),
    /// It speaks another version.
    #[error("a message of the engine")]
    Decode(#[from] DecodeError),
    /// A message of ours.
    #[error("a message to the engine")]
    Encode(#[from] EncodeError),
    /// It has ended.
    #[error("the engine has closed the control socket")]
    Gone,
    /// It does not answer.
    #[error("the engine says nothing for {PATIENCE:?}")]
    Silent,
    /// It does not take a recording.
    #[error("a recording was refused: {0}")]
    Refused(String),
    /// Its ports are too few.
    #[error("{calls} calls need {needed} ports in each slice")]
    TooFewPorts {
        /// Calls wanted.
        calls: u32,
        /// Ports of each shard that they take.
        needed: u32,
    },
}

/// The engine, as signaling sees it.
pub struct Engine {
    connection: Connection,
    shards: Vec<ShardPorts>,
    recordings: Vec<Recording>,
    published: BTreeMap<RecordingId, PublishedRecording>,
    held: usize,
    health: Health,
    buffer: Vec<u8>,
}

impl Engine {
    /// Connects, and waits for what the engine says first.
    pub fn connect(path: &Path) -> Result<Self, EngineError> {
        let connection = Connection::connect(path)?;
        connection.set_receive_timeout(PATIENCE)?;
        let mut engine = Self {
            connection,
            shards: Vec::new(),
            recordings: Vec::new(),
            published: BTreeMap::new(),
            held: 0,
            health: Health::default(),
            buffer: vec![0; MESSAGE_SIZE_MAX],
        };
        let instance = u64::from(std::process::id());
        engine.tell(&ToEngine::Hello { instance })?;
        while !matches!(engine.hear()?, FromEngine::HeldDone) {}
        engine.tell(&ToEngine::ReconcileDone)?;
        Ok(engine)
    }

    /// Begins `calls` recordings of two PCMU streams, spread evenly over the shards, and answers
    /// where their packets go. Reports go to `reports`. With keys of the node the streams are
    /// encrypted.
    pub fn begin(
        &mut self,
        calls: u32,
        reports: SocketAddr,
        node_keys: Option<&NodeKeys>,
    ) -> Result<Vec<Target>, EngineError> {
        let shards = self.shards.len() as u32;
        let needed = calls.div_ceil(shards) * u32::from(PORTS_PER_CALL);
        let room = |slice: &ShardPorts| u32::from(slice.last - slice.first) + 1;
        if self.shards.iter().map(room).min().unwrap_or(0) < needed {
            return Err(EngineError::TooFewPorts { calls, needed });
        }
        let started = now();
        let mut targets = Vec::new();
        let mut waiting = 0;
        for call in 0..calls {
            let shard = (call % shards) as u16;
            let slice = self.shards[usize::from(shard)];
            let first = slice.first + (call / shards) as u16 * PORTS_PER_CALL;
            let mut recording = recording(call, shard, first, started, reports);
            if let Some(keys) = node_keys {
                encrypt(&mut recording, call, keys);
            }
            for (leg, stream) in (0..).zip(&recording.streams) {
                let key = LegKey { call, leg };
                targets.push(Target {
                    key,
                    from: None,
                    protection: node_keys.map(|_| srtp::transform(key)),
                    to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, stream.rtp_port),
                });
            }
            for document in documents(&recording, call) {
                self.tell(&ToEngine::Document(document))?;
            }
            self.tell(&ToEngine::Recording(recording.clone()))?;
            self.recordings.push(recording);
            waiting += 1;
            while waiting >= WINDOW {
                waiting -= usize::from(self.hear_applied()?);
            }
        }
        while waiting > 0 {
            waiting -= usize::from(self.hear_applied()?);
        }
        Ok(targets)
    }

    /// Ends all recordings and waits until each is published. `progress` is told how many are.
    pub fn end(&mut self, progress: impl FnMut(usize)) -> Result<(), EngineError> {
        let total = self.recordings.len();
        for index in 0..total {
            let recording = &self.recordings[index];
            let ended = Recording {
                revision: recording.revision + 1,
                life: Life::Ended {
                    reason: EndReason::Bye,
                    at: now(),
                },
                ..recording.clone()
            };
            self.tell(&ToEngine::Recording(ended))?;
        }
        self.wait_until_published(total, progress)
    }

    /// Waits until so many recordings are published. `progress` is told how many are.
    pub fn wait_until_published(
        &mut self,
        total: usize,
        mut progress: impl FnMut(usize),
    ) -> Result<(), EngineError> {
        let mut last_progress = Instant::now();
        while self.published.len() < total {
            self.hear()?;
            if last_progress.elapsed() >= Duration::from_secs(5) {
                last_progress = Instant::now();
                progress(self.published.len());
            }
        }
        Ok(())
    }

    /// Waits until the engine has counted so many packets, or says nothing new for a while.
    pub fn wait_for_packets(&mut self, packets: u64) -> Result<(), EngineError> {
        self.connection
            .set_receive_timeout(Duration::from_secs(3))?;
        let mut result = Ok(());
        let mut moved = (self.health.packets, Instant::now());
        while self.health.packets < packets && moved.1.elapsed() < PATIENCE && result.is_ok() {
            result = self.hear().map(|_| ());
            if self.health.packets != moved.0 {
                moved = (self.health.packets, Instant::now());
            }
        }
        self.connection.set_receive_timeout(PATIENCE)?;
        match result {
            Err(EngineError::Silent) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How long things took in each stage, all shards together: microseconds and counts.
    pub fn latencies(&mut self) -> Result<BTreeMap<Stage, BTreeMap<u32, u64>>, EngineError> {
        self.tell(&ToEngine::AskLatencies)?;
        let mut waiting = self.shards.len() * Stage::ALL.len();
        let mut stages: BTreeMap<Stage, BTreeMap<u32, u64>> = BTreeMap::new();
        while waiting > 0 {
            let FromEngine::Latency(told) = self.hear()? else {
                continue;
            };
            waiting -= 1;
            let values = stages.entry(told.stage).or_default();
            for (micros, count) in told.values {
                *values.entry(micros).or_default() += count;
            }
        }
        Ok(stages)
    }

    /// How many recordings it held when it began, of an engine before it.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// How it was when it last said so.
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// All that has been published.
    pub fn published(&self) -> impl Iterator<Item = &PublishedRecording> {
        self.published.values()
    }

    fn hear_applied(&mut self) -> Result<bool, EngineError> {
        match self.hear()? {
            FromEngine::Applied { refused, .. } if refused.is_empty() => Ok(true),
            FromEngine::Applied { refused, .. } => {
                Err(EngineError::Refused(refused[0].reason.clone()))
            }
            FromEngine::Refused { reason, .. } => Err(EngineError::Refused(reason.to_string())),
            _ => Ok(false),
        }
    }

    fn tell(&self, message: &ToEngine) -> Result<(), EngineError> {
        Ok(self.connection.send(&encode(message)?)?)
    }

    fn hear(&mut self) -> Result<FromEngine, EngineError> {
        let size = match self.connection.receive(&mut self.buffer) {
            Ok(0) => return Err(EngineError::Gone),
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(EngineError::Silent);
            }
            Err(error) => return Err(error.into()),
        };
        let message: FromEngine = decode(&self.buffer[..size])?;
        match &message {
            FromEngine::Hello { shards, .. } => self.shards.clone_from(shards),
            FromEngine::Held(_) => self.held += 1,
            FromEngine::Health(health) => self.health = *health,
            FromEngine::Published(published) => {
                self.published.insert(published.id, published.clone());
            }
            _ => {}
        }
        Ok(message)
    }
}

/// The Call-ID by which a checker finds the recording of a call.
pub fn call_id(call: u32) -> String {
    format!("ingest-{call:06}")
}

/// The label of a leg.
pub fn label(leg: u8) -> String {
    (leg + 1).to_string()
}

fn recording(
    call: u32,
    shard: u16,
    first_port: u16,
    started: WallTime,
    reports: SocketAddr,
) -> Recording {
    let identity = u128::from(started.0) << 32 | u128::from(call);
    let stream = |leg: u16| Stream {
        id: StreamId(started.0 ^ u64::from(call) << 1 ^ u64::from(leg)),
        number: leg + 1,
        media_line: leg,
        media: "audio".into(),
        label: Some(label(leg as u8)),
        channel: leg,
        address: Ipv4Addr::LOCALHOST.into(),
        rtp_port: first_port + 2 * leg,
        rtcp_port: first_port + 2 * leg + 1,
        mode: StreamMode::Record,
        codecs: [(0, pcmu())].into(),
        peer_rtp: None,
        peer_rtcp: Some(reports),
        signaling_peer: Some(Ipv4Addr::LOCALHOST.into()),
        cname: "ingest".into(),
        send_reports: true,
        srtp: None,
    };
    Recording {
        id: RecordingId::from_bytes(identity.to_be_bytes()),
        shard,
        revision: 1,
        started,
        life: Life::Active,
        streams: vec![stream(0), stream(1)],
    }
}

/// Gives each stream its key, as signaling would: sealed.
fn encrypt(recording: &mut Recording, call: u32, keys: &NodeKeys) {
    for (leg, stream) in (0..).zip(&mut recording.streams) {
        let seal = |whose, leg| {
            let context = seal_context(recording.id, stream.id, whose);
            // Distinct for each thing that is sealed, which is all that a nonce has to be.
            let mut nonce = [0; NONCE_SIZE];
            nonce[..8].copy_from_slice(&stream.id.0.to_be_bytes());
            nonce[8..24].copy_from_slice(&recording.id.to_bytes());
            nonce[8] ^= u8::from(whose == KeyOf::Own);
            Sealed(keys.seal(&nonce, &context, &srtp::master(LegKey { call, leg })))
        };
        stream.srtp = Some(Srtp {
            suite: srtp::SUITE,
            peer: vec![SrtpKey {
                key: seal(KeyOf::Peer, leg),
                mki: Vec::new(),
                lifetime: 1 << 48,
            }],
            // None that a leg has.
            own: seal(KeyOf::Own, leg + 2),
            encrypts_rtcp: true,
        });
    }
}

fn pcmu() -> Codec {
    Codec {
        name: "PCMU".into(),
        clock_rate: 8_000,
        channels: 1,
        fmtp: None,
    }
}

/// What signaling would keep of a call: its description and one metadata document.
fn documents(recording: &Recording, number: u32) -> [Document; 2] {
    let channel = |channel: u16| Channel {
        channel,
        participant: None,
        labels: vec![label(channel as u8)],
    };
    let mut call = Call {
        channels: vec![channel(0), channel(1)],
        metadata: vec![MetadataDocument {
            file: "metadata/0001.xml".into(),
            carried_by: "INVITE".into(),
            received_at: recording.started,
            ..MetadataDocument::default()
        }],
        ..Call::default()
    };
    call.sip.call_id = call_id(number);
    let description = serde_json::to_vec(&call).expect("plain data serialises into memory");
    let document = |name: &str, bytes: Vec<u8>| Document {
        recording: recording.id,
        shard: recording.shard,
        name: name.to_owned().try_into().expect("a plain name"),
        offset: 0,
        last: true,
        bytes,
    };
    [
        document("0001.xml", b"<recording/>".to_vec()),
        document("call.json", description),
    ]
}

fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    WallTime(since.unwrap_or_default().as_nanos() as u64)
}
