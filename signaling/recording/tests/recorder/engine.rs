//! An engine that holds what it is told, answers as the protocol demands, and checks that the
//! recorder keeps its side of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_control::{
    FromEngine, Health, HeldDocument, HeldRecording, Life, PublishedRecording, Recording,
    RefusalReason, RefusedStream, ShardPorts, ToEngine, Unwilling,
};
use holdfast_manifest::Call;
use holdfast_units::RecordingId;

/// What it does out of the ordinary.
#[derive(Default)]
pub struct Manner {
    /// It takes revisions and does not confirm them.
    pub is_silent: bool,
    /// It does not publish.
    pub is_slow: bool,
    /// RTP ports that others use.
    pub busy_ports: BTreeSet<u16>,
    /// Every port is used by others.
    pub has_no_ports: bool,
    /// It refuses further recordings with this.
    pub refuses_new: Option<RefusalReason>,
    /// It refuses every revision with this.
    pub refuses_all: Option<RefusalReason>,
    /// For how long nothing has come for any recording; `None`: nothing receives.
    pub media_silent_for: Option<Duration>,
}

/// What it holds of a recording.
#[derive(Clone, Default)]
pub struct Held {
    pub recording: Option<Recording>,
    pub documents: BTreeMap<String, Vec<u8>>,
    /// All revisions, in the order they came into force.
    pub history: Vec<Recording>,
}

#[derive(Default)]
pub struct Engine {
    pub manner: Manner,
    pub is_connected: bool,
    pub shards: Vec<ShardPorts>,
    pub held: BTreeMap<RecordingId, Held>,
    /// Ended, to be published.
    pub published: BTreeMap<RecordingId, Held>,
    /// All that it was told on this connection.
    pub heard: Vec<ToEngine>,
    /// Confirmations that it keeps to itself.
    unsaid: Vec<FromEngine>,
    instance: u64,
}

impl Engine {
    pub fn new() -> Self {
        Self {
            shards: vec![
                ShardPorts {
                    first: 10_000,
                    last: 10_099,
                },
                ShardPorts {
                    first: 10_100,
                    last: 10_199,
                },
            ],
            ..Self::default()
        }
    }

    /// What it says when a connection is made.
    pub fn connect(&mut self) -> Vec<FromEngine> {
        assert!(!self.is_connected);
        self.is_connected = true;
        self.heard.clear();
        self.unsaid.clear();
        self.instance += 1;
        let mut says = vec![FromEngine::Hello {
            instance: self.instance,
            shards: self.shards.clone(),
        }];
        for (id, held) in &self.held {
            let Some(recording) = &held.recording else {
                continue;
            };
            let documents = held.documents.iter().map(|(name, bytes)| HeldDocument {
                name: name.clone().try_into().unwrap(),
                size: bytes.len() as u32,
            });
            says.push(FromEngine::Held(HeldRecording {
                id: *id,
                revision: recording.revision,
                documents: documents.collect(),
                ports: recording
                    .streams
                    .iter()
                    .flat_map(|s| [s.rtp_port, s.rtcp_port])
                    .collect(),
            }));
        }
        says.push(FromEngine::HeldDone);
        says
    }

    /// What it says to a message.
    pub fn handle(&mut self, message: ToEngine) -> Vec<FromEngine> {
        assert!(self.is_connected, "told while away: {message:?}");
        self.heard.push(message.clone());
        match message {
            ToEngine::Hello { .. } | ToEngine::ReconcileDone | ToEngine::AskLatencies => Vec::new(),
            ToEngine::AskMedia { recording, shard } => {
                let held = self
                    .held
                    .get(&recording)
                    .and_then(|it| it.recording.as_ref());
                assert_eq!(held.map(|held| held.shard), Some(shard));
                vec![FromEngine::Media {
                    recording,
                    silent_for: self.manner.media_silent_for,
                }]
            }
            ToEngine::Document(document) => {
                let held = self.held.entry(document.recording).or_default();
                let bytes = held
                    .documents
                    .entry(document.name.as_str().to_owned())
                    .or_default();
                if document.offset == 0 {
                    bytes.clear();
                }
                assert_eq!(
                    bytes.len(),
                    document.offset as usize,
                    "pieces come in order"
                );
                bytes.extend_from_slice(&document.bytes);
                Vec::new()
            }
            ToEngine::Recording(recording) => self.apply(recording),
        }
    }

    fn apply(&mut self, mut recording: Recording) -> Vec<FromEngine> {
        let (id, revision) = (recording.id, recording.revision);
        assert!(
            self.unsaid.is_empty(),
            "a revision before the last one was confirmed"
        );
        let is_new = self
            .held
            .get(&id)
            .is_none_or(|held| held.recording.is_none());
        let refusal = self.manner.refuses_all.clone();
        let refusal = refusal.or_else(|| self.manner.refuses_new.clone().filter(|_| is_new));
        if let Some(reason) = refusal {
            if is_new {
                self.held.remove(&id);
            }
            return vec![FromEngine::Refused {
                recording: id,
                revision,
                reason,
            }];
        }
        self.check(&recording);
        let held = self.held.entry(id).or_default();
        let former = held.recording.take();
        assert!(
            former
                .as_ref()
                .is_none_or(|former| former.revision < revision),
            "rising revisions"
        );
        let had = |stream: &holdfast_control::Stream| {
            former
                .iter()
                .flat_map(|former| &former.streams)
                .any(|old| old.id == stream.id)
        };
        let mut refused = Vec::new();
        recording.streams.retain(|stream| {
            let is_busy =
                self.manner.has_no_ports || self.manner.busy_ports.contains(&stream.rtp_port);
            if is_busy && !had(stream) {
                let reason = "the port is in use".to_owned();
                refused.push(RefusedStream {
                    stream: stream.id,
                    reason,
                });
                return false;
            }
            true
        });
        let is_ended = recording.life != Life::Active;
        held.recording = Some(recording.clone());
        held.history.push(recording);
        let applied = FromEngine::Applied {
            recording: id,
            revision,
            refused,
        };
        if self.manner.is_silent {
            self.unsaid.push(applied);
            return Vec::new();
        }
        let mut says = vec![applied];
        if is_ended && !self.manner.is_slow {
            says.push(self.publish(id));
        }
        says
    }

    /// Ports are pairs of the shard, and no two streams share one.
    fn check(&self, recording: &Recording) {
        let slice = self.shards[usize::from(recording.shard)];
        let others = self
            .held
            .values()
            .filter_map(|held| held.recording.as_ref());
        let others: Vec<_> = others
            .filter(|other| other.id != recording.id && other.life == Life::Active)
            .flat_map(|other| other.streams.iter().map(|stream| stream.rtp_port))
            .collect();
        let mut seen = BTreeSet::new();
        for stream in &recording.streams {
            let rtp = stream.rtp_port;
            assert!(rtp.is_multiple_of(2) && (slice.first..slice.last).contains(&rtp));
            assert!(stream.rtcp_port == rtp || stream.rtcp_port == rtp + 1);
            assert!(seen.insert(rtp), "two streams on port {rtp}");
            assert!(
                !others.contains(&rtp),
                "port {rtp} belongs to another recording"
            );
        }
    }

    pub fn publish(&mut self, id: RecordingId) -> FromEngine {
        let held = self.held.remove(&id).expect("it is held");
        self.published.insert(id, held);
        let folder = format!("recordings/{id}");
        FromEngine::Published(PublishedRecording {
            id,
            folder,
            packets: 0,
            lost: 0,
        })
    }

    /// What it kept to itself.
    pub fn speak(&mut self) -> Vec<FromEngine> {
        std::mem::take(&mut self.unsaid)
    }

    pub fn health(unwilling: Option<Unwilling>) -> FromEngine {
        FromEngine::Health(Health {
            unwilling,
            ..Health::default()
        })
    }
}

impl Held {
    /// The description of the call.
    pub fn call(&self) -> Call {
        serde_json::from_slice(&self.documents["call.json"]).expect("call.json reads")
    }

    pub fn text(&self, name: &str) -> String {
        let bytes = self.documents.get(name);
        let bytes = bytes.unwrap_or_else(|| panic!("{name} among {:?}", self.documents.keys()));
        String::from_utf8_lossy(bytes).into_owned()
    }

    pub fn last(&self) -> &Recording {
        self.history.last().expect("a revision")
    }
}
