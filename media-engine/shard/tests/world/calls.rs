//! Signaling and senders as the world around a shard has them, and what they may rely on.
//!
//! A ten-line truth of each call: which packets the journal took, which revisions were confirmed,
//! which versions of its documents there were. What is published is held against it.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_control::{FromEngine, HeldRecording, Life, Recording, Stream, StreamMode};
use holdfast_shard::Command;
use holdfast_units::{RecordingId, StreamId};

use super::build::{self, document, id, media_source, rtp};
use super::tracks::Track;
use super::{Crash, World, files};

/// A packet that the journal took.
#[derive(Clone, Debug)]
struct Packet {
    bytes: Vec<u8>,
    lsn: u64,
    /// A crash came before it was durable.
    is_doubtful: bool,
}

/// One version of a document.
#[derive(Clone, Debug)]
struct Version {
    bytes: Vec<u8>,
    /// The revision that speaks for it, once one was sent.
    covered_by: Option<u64>,
    is_confirmed: bool,
}

#[derive(Debug, Default)]
pub struct Call {
    pub number: u8,
    pub desired: Option<Recording>,
    /// Every revision as it was sent.
    revisions: BTreeMap<u64, Recording>,
    confirmed: u64,
    packets: BTreeMap<StreamId, (u32, Vec<Packet>)>,
    /// Which keys the peer has offered last, and which it encrypts with: from the confirmation on.
    keys: (u8, u8),
    /// The first keys of each stream.
    first_keys: BTreeMap<StreamId, u8>,
    documents: BTreeMap<String, Vec<Version>>,
    pub is_published: bool,
}

/// A world, and the calls in it.
pub struct Calls {
    pub world: World,
    pub calls: BTreeMap<u8, Call>,
    next_stream: u64,
    next_call: u8,
    packets: u64,
    pub is_connected: bool,
    /// Whether streams are encrypted. Their sequence numbers wrap soon.
    pub are_encrypted: bool,
    /// A Recording message is sent after a reconnection until it is confirmed.
    pub crashes: u32,
}

impl Call {
    pub fn recording(&self) -> &Recording {
        self.desired.as_ref().expect("it was begun")
    }

    pub fn is_active(&self) -> bool {
        self.recording().life == Life::Active
    }

    /// Whether what is wanted is confirmed.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed == self.recording().revision
    }
}

impl Calls {
    pub fn new(world: World) -> Self {
        Self {
            world,
            calls: BTreeMap::new(),
            next_stream: 1,
            next_call: 1,
            packets: 0,
            is_connected: false,
            are_encrypted: false,
            crashes: 0,
        }
    }

    /// Calls that go on.
    pub fn active(&self) -> Vec<u8> {
        let active = self.calls.values().filter(|call| call.is_active());
        active.map(|call| call.number).collect()
    }

    fn free_pair(&self) -> Option<u16> {
        let used: BTreeSet<u16> = self
            .calls
            .values()
            .filter(|call| !call.is_published)
            .flat_map(|call| call.revisions.values())
            .flat_map(|recording| &recording.streams)
            .map(|stream| stream.rtp_port)
            .collect();
        let free = |pair: &u16| !used.contains(&(super::FIRST_PORT + 2 * pair));
        (0..256).find(free)
    }

    fn new_stream(&mut self, call: u8, number: u16) -> Option<Stream> {
        let pair = self.free_pair()?;
        let stream = build::stream(self.next_stream, number, pair);
        self.next_stream += 1;
        let owner = self.calls.get_mut(&call)?;
        let keys = owner.keys.0;
        owner.first_keys.insert(stream.id, keys);
        Some(match self.are_encrypted {
            true => build::encrypted(call, &stream, keys),
            false => stream,
        })
    }

    /// The peer offers new keys, where its last ones are agreed on.
    pub fn rekey(&mut self, number: u8) {
        let call = self.calls.get_mut(&number).expect("a call");
        if !self.are_encrypted || !call.is_confirmed() {
            return;
        }
        call.keys = (call.keys.0 + 1, call.keys.0);
        let keys = call.keys.0;
        self.want(number, |recording| {
            for stream in &mut recording.streams {
                *stream = build::encrypted(number, stream, keys);
            }
        });
    }

    // What signaling does.

    pub fn begin(&mut self, streams: u16) -> Option<u8> {
        let number = self.next_call;
        self.next_call += 1;
        let call = Call {
            number,
            ..Call::default()
        };
        self.calls.insert(number, call);
        let empty = build::recording(number, 0, &[]);
        self.calls.get_mut(&number)?.desired = Some(empty);
        self.write_document(number, "call.json", 40);
        let mut wanted = Vec::new();
        for index in 0..streams {
            let Some(stream) = self.new_stream(number, index + 1) else {
                break;
            };
            // So that the next one takes another pair.
            wanted.push(stream);
            let call = self.calls.get_mut(&number)?;
            let draft = build::recording(number, 0, &wanted);
            call.revisions.insert(0, draft);
        }
        self.calls.get_mut(&number)?.revisions.remove(&0);
        self.want(number, |recording| recording.streams = wanted.clone());
        Some(number)
    }

    /// Sends a new revision.
    pub fn want(&mut self, number: u8, change: impl FnOnce(&mut Recording)) {
        let call = self.calls.get_mut(&number).expect("a call");
        let mut recording = call.recording().clone();
        recording.revision += 1;
        change(&mut recording);
        call.desired = Some(recording.clone());
        call.revisions.insert(recording.revision, recording);
        self.say(number);
    }

    pub fn add_stream(&mut self, number: u8) {
        let taken = self.calls[&number].revisions.values();
        let numbers = taken.flat_map(|r| &r.streams).map(|s| s.number).max();
        if let Some(stream) = self.new_stream(number, numbers.unwrap_or(0) + 1) {
            self.want(number, |recording| recording.streams.push(stream));
        }
    }

    pub fn end(&mut self, number: u8) {
        let wall = self.world.wall;
        self.write_document(number, "call.json", 55);
        self.want(number, |recording| {
            recording.life = build::ended(recording, wall).life;
        });
    }

    /// Says of a recording what is wanted, where there is a connection.
    fn say(&mut self, number: u8) {
        if !self.is_connected {
            return;
        }
        let call = self.calls.get_mut(&number).expect("a call");
        let recording = call.recording().clone();
        for versions in call.documents.values_mut() {
            if let Some(last) = versions.last_mut() {
                last.covered_by.get_or_insert(recording.revision);
            }
        }
        self.world.desire(&recording);
        self.listen();
    }

    /// A new version of a document; the next revision speaks for it.
    pub fn write_document(&mut self, number: u8, name: &str, size: usize) {
        let call = self.calls.get_mut(&number).expect("a call");
        let versions = call.documents.entry(name.to_owned()).or_default();
        let mut bytes = format!("{name} of call {number}, version {};", versions.len());
        while bytes.len() < size {
            bytes.push('x');
        }
        versions.push(Version {
            bytes: bytes.into_bytes(),
            covered_by: None,
            is_confirmed: false,
        });
        self.send_document(number, name);
    }

    fn send_document(&mut self, number: u8, name: &str) {
        if !self.is_connected {
            return;
        }
        let versions = &self.calls[&number].documents[name];
        let bytes = versions.last().expect("a version").bytes.clone();
        let piece = 1 + self.world.rng.index(bytes.len());
        let mut offset = 0;
        for chunk in bytes.chunks(piece) {
            let last = offset + chunk.len() == bytes.len();
            let part = document(number, name, offset as u32, last, chunk);
            self.world.command(Command::Document(part));
            offset += chunk.len();
        }
    }

    pub fn disconnect(&mut self) {
        if self.is_connected {
            self.listen();
            self.world.command(Command::Disconnected);
            self.is_connected = false;
        }
    }

    /// Connects and reconciles, as after a restart of either side.
    pub fn connect(&mut self) {
        self.listen();
        self.world.command(Command::Connected);
        if self.world.is_burnt() {
            return;
        }
        let held = self.world.held();
        self.world.told.clear();
        self.check_held(&held);
        self.is_connected = true;
        let open: Vec<u8> = self
            .calls
            .values()
            .filter(|call| !call.is_published)
            .filter(|call| call.is_active() || !call.is_confirmed())
            .map(|call| call.number)
            .collect();
        for number in open {
            let held = held.iter().find(|held| held.id == id(number));
            let names: Vec<String> = self.calls[&number].documents.keys().cloned().collect();
            for name in names {
                let versions = &self.calls[&number].documents[&name];
                let size = versions.last().map(|version| version.bytes.len() as u32);
                let is_replaced = versions.len() > 1;
                let known = held.and_then(|held| {
                    let mut documents = held.documents.iter();
                    documents.find(|document| document.name.as_str() == name)
                });
                if is_replaced || known.map(|known| known.size) != size {
                    self.send_document(number, &name);
                }
            }
            self.say(number);
        }
        self.world.command(Command::ReconcileDone);
    }

    /// What was confirmed before is held now.
    fn check_held(&self, held: &[HeldRecording]) {
        for call in self.calls.values().filter(|call| !call.is_published) {
            let number = call.number;
            let confirmed = call.revisions.get(&call.confirmed);
            let Some(confirmed) = confirmed.filter(|_| call.is_active()) else {
                continue;
            };
            let held = held.iter().find(|held| held.id == id(number));
            let held = held.unwrap_or_else(|| panic!("call {number} was confirmed, and is gone"));
            assert!(
                held.revision >= call.confirmed,
                "call {number}: revision {} was confirmed, {} is held",
                call.confirmed,
                held.revision
            );
            if held.revision == call.confirmed {
                for stream in &confirmed.streams {
                    assert!(held.ports.contains(&stream.rtp_port));
                }
            }
        }
    }

    // What senders do.

    /// Sends a packet to a stream. Where its pause is confirmed, it says so in its payload.
    pub fn send(&mut self, number: u8, stream: &Stream) {
        self.packets += 1;
        let call = self.calls.get_mut(&number).expect("a call");
        let is_paused = call.is_confirmed() && stream.mode == StreamMode::Pause;
        let has_to = call.is_confirmed() && stream.mode == StreamMode::Record && call.is_active();
        if call.is_confirmed() {
            call.keys.1 = call.keys.0;
        }
        let keys = call.keys.1.max(call.first_keys[&stream.id]);
        let (sequence, packets) = call.packets.entry(stream.id).or_insert_with(|| {
            let before_the_wrap = 8 + stream.id.0 as u32 % 8;
            let first = if self.are_encrypted {
                0x1_0000 - before_the_wrap
            } else {
                0
            };
            (first, Vec::new())
        });
        *sequence += 1;
        let kind = if is_paused { "PAUSED" } else { "packet" };
        let text = format!("{kind} {} of stream {};", self.packets, stream.id.0);
        let bytes = rtp(stream.id.0 as u32, *sequence as u16, &text);
        let sent = match self.are_encrypted {
            true => build::protect(stream.id, keys, &bytes, *sequence >> 16),
            false => bytes.clone(),
        };
        let lsn = self
            .world
            .datagram(stream.rtp_port, media_source(stream), &sent);
        match lsn {
            Some(lsn) => {
                assert!(!is_paused, "stream {} is paused", stream.id);
                packets.push(Packet {
                    bytes,
                    lsn,
                    is_doubtful: false,
                });
            }
            None => assert!(
                !has_to || !self.world.is_up() || self.world.is_burnt(),
                "a packet of stream {} was not taken",
                stream.id
            ),
        }
    }

    // What the shard says.

    /// Takes note of what the shard has told.
    pub fn listen(&mut self) {
        for message in std::mem::take(&mut self.world.told) {
            match message {
                FromEngine::Applied {
                    recording,
                    revision,
                    refused,
                } => {
                    assert_eq!(refused, [], "no port is taken");
                    self.confirm(recording, revision);
                }
                FromEngine::Refused {
                    recording,
                    revision,
                    reason,
                } => panic!("{recording} {revision} was refused: {reason}"),
                FromEngine::Published(published) => {
                    let call = self.call_mut(published.id);
                    call.is_published = true;
                }
                held @ FromEngine::Held(_) => self.world.told.push(held),
                FromEngine::Hello { .. }
                | FromEngine::HeldDone
                | FromEngine::Health(_)
                | FromEngine::Latency(_)
                | FromEngine::Engine(_)
                | FromEngine::Shard(_)
                | FromEngine::Media { .. } => {}
            }
        }
    }

    fn call_mut(&mut self, recording: RecordingId) -> &mut Call {
        let number = recording.to_bytes()[0];
        self.calls.get_mut(&number).expect("one of ours")
    }

    fn confirm(&mut self, recording: RecordingId, revision: u64) {
        let call = self.call_mut(recording);
        call.confirmed = call.confirmed.max(revision);
        for version in call.documents.values_mut().flatten() {
            version.is_confirmed |= version.covered_by.is_some_and(|by| by <= revision);
        }
    }

    // Crashes.

    pub fn crash(&mut self, crash: Crash) {
        self.crashes += 1;
        self.is_connected = false;
        // What the shard had told before is known.
        self.listen();
        self.world.told.clear();
        if let Some(process) = &self.world.process {
            let committed = process.shard.committed_lsn().0;
            for call in self.calls.values_mut() {
                for (_, packets) in call.packets.values_mut() {
                    for packet in packets.iter_mut().filter(|packet| packet.lsn >= committed) {
                        packet.is_doubtful = true;
                    }
                }
                // Whether a later revision is there is not known either: it is said again.
                for version in call.documents.values_mut().flatten() {
                    if !version.is_confirmed {
                        version.covered_by = None;
                    }
                }
            }
        }
        self.world.crash(crash);
        // Numbers below may be given again.
        for call in self.calls.values_mut() {
            for (_, packets) in call.packets.values_mut() {
                for packet in packets {
                    packet.lsn = 0;
                }
            }
        }
    }

    // The end.

    /// Ends all calls and lets everything be published; then holds it against the truth.
    pub fn finish(&mut self) {
        self.world.fuse = None;
        self.world.faults = Default::default();
        if !self.world.is_up() {
            self.world.start();
        }
        if !self.is_connected {
            self.connect();
        }
        for number in self.active() {
            self.end(number);
        }
        for _ in 0..600 {
            self.world.run(super::MS * 20);
            self.listen();
            let is_published = self.calls.values().all(|call| call.is_published);
            if is_published && self.world.files.recordings().is_empty() {
                break;
            }
        }
        for call in self.calls.values() {
            self.check_published(call);
        }
        assert!(
            !self.world.is_on_disk(b"PAUSED"),
            "a paused packet is on disk"
        );
        assert_eq!(self.world.files.recordings(), [], "left in progress");
        let unknown = self.world.shard().unknown_records();
        assert_eq!(unknown, self.world.unknown, "records without a stream");
    }

    fn check_published(&self, call: &Call) {
        let number = call.number;
        assert!(call.is_published, "call {number} is not published");
        let times = self.world.published.get(&id(number)).copied();
        assert_eq!(times, Some(1), "call {number} is published so often");
        for (stream, (_, packets)) in &call.packets {
            let mut streams = call.revisions.values().flat_map(|r| &r.streams);
            let file = streams
                .find(|s| s.id == *stream)
                .expect("it was wanted")
                .number;
            let folder = files::published(id(number));
            let bytes = self
                .world
                .files
                .read(&format!("{folder}streams/{file}.track"));
            let Some(bytes) = bytes else {
                let is_sure = packets.iter().any(|packet| !packet.is_doubtful);
                assert!(!is_sure, "call {number}: stream {stream} has no track");
                continue;
            };
            let track = Track::read(bytes);
            check_track(number, *stream, &track, packets);
        }
        for (name, versions) in &call.documents {
            self.check_document(number, name, versions);
        }
    }

    fn check_document(&self, number: u8, name: &str, versions: &[Version]) {
        let confirmed = versions.iter().rposition(|version| version.is_confirmed);
        let found = self.world.published_document(number, name);
        let Some(found) = found else {
            assert_eq!(confirmed, None, "call {number}: {name} is missing");
            return;
        };
        let index = versions.iter().position(|version| version.bytes == found);
        let text = String::from_utf8_lossy(&found);
        assert!(
            index.is_some() && index >= confirmed,
            "call {number}: {name} has {text:?}; version {confirmed:?} was confirmed"
        );
    }
}

fn check_track(number: u8, stream: StreamId, track: &Track, packets: &[Packet]) {
    assert!(track.is_complete, "stream {stream} has no end");
    assert_eq!((track.headers, track.ends), (1, 1), "stream {stream}");
    let mut found = track.packets.iter().map(|(_, bytes)| bytes).peekable();
    for packet in packets {
        if found.next_if(|bytes| **bytes == packet.bytes).is_some() {
            continue;
        }
        let text = String::from_utf8_lossy(&packet.bytes[12..50]).into_owned();
        assert!(
            packet.is_doubtful,
            "call {number}: {text:?} was durable and is missing, or out of order"
        );
    }
    let more = found
        .next()
        .map(|bytes| String::from_utf8_lossy(&bytes[12..50]));
    assert_eq!(more, None, "call {number}: a packet too many, or twice");
    let counted = track.counters.as_ref().expect("counters").packets;
    assert_eq!(counted, track.packets.len() as u64, "stream {stream}");
}
