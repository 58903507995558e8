//! A recorder, its engine and its clock.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_control::operator::Refusal;
use holdfast_control::{FromEngine, ToEngine};
use holdfast_recording::recorder::{
    Notice, Output, Recorder, RecorderConfig, Saving, Stored, WhenStoreAway,
};
use holdfast_sip::dialog::DialogKey;
use holdfast_sip::endpoint::Owner;
use holdfast_sip::{Entropy, Flow, FlowInfo, Message, Response, Transport};
use holdfast_units::{MonoTime, RecordingId, WallTime};

use crate::engine::{Engine, Held};
use crate::leases::{Fate, Link};
use crate::peer::{Ask, Src, invite};

/// xorshift64*: enough for tests, the same on every machine.
struct Rng(u64);

impl Entropy for Rng {
    fn fill(&mut self, out: &mut [u8]) {
        for octet in out {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            *octet = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8;
        }
    }
}

/// A message of the recorder's.
#[derive(Clone)]
pub struct Sent {
    pub text: String,
    pub owner: Owner,
}

/// What the store has.
#[derive(Default)]
pub struct Store {
    pub states: BTreeMap<RecordingId, Vec<u8>>,
    /// When each was saved.
    pub saved_at: BTreeMap<RecordingId, MonoTime>,
    /// States saved, ever.
    pub count: u64,
    /// It takes states and does not say that it has them.
    pub is_silent: bool,
    pub last_ticket: u64,
    /// How often it was asked whether it saves.
    pub probes: u64,
}

impl Store {
    fn take(&mut self, now: MonoTime, saving: Saving) {
        assert!(saving.ticket > self.last_ticket, "tickets rise");
        self.last_ticket = saving.ticket;
        self.count += 1;
        self.saved_at.insert(saving.recording, now);
        self.states.insert(saving.recording, saving.bytes);
    }

    /// The one state.
    pub fn state(&self) -> serde_json::Value {
        assert_eq!(self.states.len(), 1);
        serde_json::from_slice(self.states.values().next().unwrap()).unwrap()
    }
}

pub struct World {
    pub recorder: Recorder,
    pub engine: Engine,
    pub now: MonoTime,
    /// By how many seconds its wall clock is ahead.
    pub clock_is_off_by: i64,
    pub source: FlowInfo,
    pub sent: Vec<Sent>,
    pub notices: Vec<Notice>,
    /// What came of calls that were placed.
    pub called: Vec<(RecordingId, Result<(), Refusal>)>,
    pub closed: Vec<Flow>,
    pub store: Store,
    /// The way to a store that other nodes share.
    pub link: Option<Link>,
    pub searched: Vec<(u64, DialogKey)>,
    config: RecorderConfig,
    /// Answers to damaged requests repeat the damage.
    pub takes_damage: bool,
}

impl World {
    /// With an engine that is there.
    pub fn new() -> Self {
        Self::with(RecorderConfig::default())
    }

    pub fn with(config: RecorderConfig) -> Self {
        let mut world = Self::without_engine(config);
        world.connect();
        world.notices.clear();
        world
    }

    /// With a store for its calls.
    pub fn keeping() -> Self {
        Self::with(RecorderConfig {
            when_store_away: Some(WhenStoreAway::Accept),
            ..RecorderConfig::default()
        })
    }

    /// The recorder dies, and another one takes its place after a while.
    pub fn restart(&mut self, after: Duration) {
        self.engine.is_connected = false;
        self.sent.clear();
        self.now = self.now + after;
        self.store.last_ticket = 0;
        let seed = 0x5eed ^ self.now.0 ^ self.store.count;
        self.recorder = Recorder::new(self.config.clone(), Box::new(Rng(seed)), self.wall());
        for state in self.store.states.clone().into_values() {
            self.recorder
                .restore(self.now, self.wall(), stored(&state))
                .expect("what it saved itself");
            self.settle();
        }
        self.connect();
    }

    pub fn without_engine(config: RecorderConfig) -> Self {
        Self::seeded(config, 0x5eed)
    }

    pub fn seeded(config: RecorderConfig, seed: u64) -> Self {
        let started = WallTime(1_800_000_000_000_000_000);
        Self {
            recorder: Recorder::new(config.clone(), Box::new(Rng(seed)), started),
            store: Store::default(),
            link: None,
            searched: Vec::new(),
            config,
            engine: Engine::new(),
            now: MonoTime::ZERO,
            clock_is_off_by: 0,
            source: FlowInfo {
                transport: Transport::Udp,
                remote: "192.0.2.10:5060".parse().unwrap(),
                local: "198.51.100.7:5060".parse().unwrap(),
            },
            sent: Vec::new(),
            notices: Vec::new(),
            called: Vec::new(),
            closed: Vec::new(),
            takes_damage: false,
        }
    }

    pub fn wall(&self) -> WallTime {
        let true_wall = 1_800_000_000_000_000_000 + self.now.0;
        WallTime(true_wall.saturating_add_signed(self.clock_is_off_by * 1_000_000_000))
    }

    /// Does what the recorder wants, until it wants nothing.
    pub fn settle(&mut self) {
        while let Some(output) = self.recorder.poll_output() {
            match output {
                Output::Transmit { bytes, owner, .. } => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let read = Message::parse(&bytes);
                    assert!(self.takes_damage || read.is_ok(), "{read:?}: {text}");
                    self.sent.push(Sent { text, owner });
                }
                Output::CloseFlow(flow) => self.closed.push(flow),
                Output::Save(saving) => {
                    let (id, ticket) = (saving.recording, saving.ticket);
                    let fate = self.link.as_ref().map(|link| link.put(&saving));
                    self.store.take(self.now, saving);
                    let (now, wall) = (self.now, self.wall());
                    if fate == Some(Fate::Fenced) {
                        self.recorder.handle_taken(now, wall, &[id]);
                    }
                    if !self.store.is_silent && fate != Some(Fate::Unanswered) {
                        self.recorder.handle_saved(now, wall, ticket);
                    }
                }
                Output::ProbeStore(ticket) => {
                    assert!(ticket > self.store.last_ticket, "tickets rise");
                    self.store.last_ticket = ticket;
                    self.store.probes += 1;
                    if !self.store.is_silent {
                        self.recorder.handle_saved(self.now, self.wall(), ticket);
                    }
                }
                Output::Find { number, dialog } => self.searched.push((number, dialog)),
                Output::Unsave(recording) => {
                    if let Some(link) = &self.link {
                        link.remove(recording);
                    }
                    self.store.states.remove(&recording);
                }
                Output::Called { recording, outcome } => self.called.push((recording, outcome)),
                Output::Notice(notice) => self.notices.push(notice),
                Output::Engine(message) => {
                    for said in self.engine.handle(message) {
                        self.recorder.handle_engine(self.now, self.wall(), said);
                    }
                }
            }
        }
    }

    /// The engine says this.
    pub fn engine_says(&mut self, message: FromEngine) {
        self.recorder.handle_engine(self.now, self.wall(), message);
        self.settle();
    }

    pub fn connect(&mut self) {
        for said in self.engine.connect() {
            self.recorder.handle_engine(self.now, self.wall(), said);
            self.settle();
        }
    }

    pub fn disconnect(&mut self) {
        self.engine.is_connected = false;
        self.recorder.handle_engine_gone(self.now, self.wall());
        self.settle();
    }

    /// The engine says what it kept to itself.
    pub fn engine_speaks(&mut self) {
        self.engine.manner.is_silent = false;
        for said in self.engine.speak() {
            self.engine_says(said);
        }
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        self.recorder
            .handle_sip(self.now, self.wall(), Flow(1), &self.source, bytes);
        self.settle();
    }

    /// Lets time pass, stopping at every deadline.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.recorder.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.recorder.handle_timeout(self.now, self.wall());
            self.settle();
        }
        self.now = end;
    }

    pub fn pass_secs(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Sends a request with the next sequence number; gives what was sent meanwhile.
    pub fn ask(&mut self, src: &mut Src, ask: &Ask) -> Vec<Sent> {
        if !src.to_tag.is_empty() {
            src.cseq += 1;
        }
        self.sent.clear();
        self.receive(&src.write(ask, src.cseq));
        self.take_sent()
    }

    /// The same, with one answer.
    pub fn answer(&mut self, src: &mut Src, ask: &Ask) -> Sent {
        let sent = self.ask(src, ask);
        let answers: Vec<_> = sent.iter().filter(|sent| sent.is_response()).collect();
        assert_eq!(answers.len(), 1, "answers: {:?}", starts(&sent));
        answers[0].clone()
    }

    /// The one answer, whatever is asked beside it: what was asked stays to be looked at.
    pub fn answer_among(&mut self, src: &mut Src, ask: &Ask) -> Sent {
        let sent = self.ask(src, ask);
        let (mut answers, asked): (Vec<_>, Vec<_>) = sent.into_iter().partition(Sent::is_response);
        assert_eq!(answers.len(), 1, "answers: {:?}", starts(&answers));
        self.sent = asked;
        answers.remove(0)
    }

    pub fn ack(&mut self, src: &Src) {
        self.receive(&src.write(&Ask::new("ACK"), src.cseq));
    }

    /// A call that is up.
    pub fn call(&mut self, call_id: &str) -> Src {
        self.call_with(call_id, &invite())
    }

    pub fn call_with(&mut self, call_id: &str, invite: &Ask) -> Src {
        let mut src = Src::new(call_id);
        let ok = self.answer(&mut src, invite);
        assert_eq!(ok.status(), 200, "{}", ok.text);
        src.to_tag = ok.to_tag();
        self.ack(&src);
        src
    }

    pub fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// Requests sent since the last look, copies left out.
    pub fn take_requests(&mut self) -> Vec<Sent> {
        let mut requests: Vec<Sent> = self.take_sent();
        requests.retain(|sent| !sent.is_response());
        requests.dedup_by(|copy, first| copy.text == first.text);
        requests
    }

    pub fn starts(&mut self) -> Vec<String> {
        starts(&self.take_sent())
    }

    /// The one recording that the engine holds.
    pub fn held(&self) -> Held {
        assert_eq!(
            self.engine.held.len(),
            1,
            "recordings: {:?}",
            self.engine.held.keys()
        );
        self.engine.held.values().next().unwrap().clone()
    }

    pub fn held_id(&self) -> RecordingId {
        *self.engine.held.keys().next().expect("a recording")
    }

    /// The one recording that was published.
    pub fn published(&self) -> Held {
        assert_eq!(self.engine.published.len(), 1);
        self.engine.published.values().next().unwrap().clone()
    }

    /// How often the engine was told a state since the connection was made.
    pub fn revisions_heard(&self) -> usize {
        self.engine
            .heard
            .iter()
            .filter(|m| matches!(m, ToEngine::Recording(_)))
            .count()
    }

    /// Calls that are up or being set up.
    pub fn calls(&self) -> usize {
        self.recorder.statistics().calls
    }
}

/// A state that nobody but the one that saved it knows the age of.
pub const fn stored(bytes: &[u8]) -> Stored<'_> {
    Stored { bytes, age: None }
}

pub fn starts(sent: &[Sent]) -> Vec<String> {
    let start = |sent: &Sent| {
        sent.text
            .split("\r\n")
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    sent.iter().map(start).collect()
}

impl Sent {
    pub fn is_response(&self) -> bool {
        self.text.starts_with("SIP/2.0 ")
    }

    pub fn response(&self) -> Response {
        match Message::parse(self.text.as_bytes()).unwrap() {
            Message::Response(response) => response,
            Message::Request(_) => panic!("a request: {}", self.text),
        }
    }

    pub fn status(&self) -> u16 {
        self.response().status().code()
    }

    pub fn to_tag(&self) -> String {
        self.response().to().tag().expect("a To tag").to_owned()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.response().headers().first(name).map(str::to_owned)
    }

    pub fn body(&self) -> String {
        self.text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Lines of the body that begin so.
    pub fn lines(&self, begin: &str) -> Vec<String> {
        let body = self.body();
        body.lines()
            .filter(|line| line.starts_with(begin))
            .map(str::to_owned)
            .collect()
    }

    /// Ports of the m-lines.
    pub fn ports(&self) -> Vec<u16> {
        let port = |line: &String| line.split(' ').nth(1).unwrap().parse().unwrap();
        self.lines("m=").iter().map(port).collect()
    }

    /// The directions of the m-lines that have one.
    pub fn directions(&self) -> Vec<String> {
        let is_direction =
            |line: &&str| ["a=recvonly", "a=inactive", "a=sendonly", "a=sendrecv"].contains(line);
        self.body()
            .lines()
            .filter(is_direction)
            .map(|line| line[2..].to_owned())
            .collect()
    }
}
