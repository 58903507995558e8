//! Pauses of both sides against a reference of three lines: a stream is recorded exactly while no
//! operator has paused the call and the peer's last word about the stream was that it sends.
//! Offers cross, are refused or find no answer, the engine comes and goes. `SEED=…` replays one run.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_control::StreamMode;
use holdfast_control::operator::{Answer, Command};
use holdfast_recording::recorder::RecorderConfig;
use holdfast_units::RecordingId;

use crate::peer::{Ask, Src, invite, line, reply, reply_with, sdp};
use crate::world::{Sent, World};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

struct Play {
    world: World,
    random: Random,
    src: Src,
    id: RecordingId,
    /// The reference: whether an operator has paused, and whether each stream is sent.
    is_paused: bool,
    is_sent: [bool; 2],
    /// Re-INVITEs of the recorder without an answer.
    unanswered: Vec<Sent>,
    /// Version of the recorder's last description, and the description.
    described: (u64, String),
    ports: Vec<u16>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let config = RecorderConfig {
            starts_paused: seed.is_multiple_of(5),
            ..RecorderConfig::default()
        };
        let is_paused = config.starts_paused;
        let mut world = World::seeded(config, seed);
        world.connect();
        let mut src = Src::new("play");
        let ok = world.answer(&mut src, &invite());
        src.to_tag = ok.to_tag();
        world.ack(&src);
        let mut play = Self {
            id: world.held_id(),
            ports: ok.ports(),
            world,
            random: Random(seed),
            src,
            is_paused,
            is_sent: [true; 2],
            unanswered: Vec::new(),
            described: (0, String::new()),
        };
        play.read(&ok);
        play.look();
        play
    }

    fn step(&mut self) {
        match self.random.below(9) {
            0 | 1 => self.command(),
            2..=4 => self.peer_offers(),
            5 | 6 => self.peer_answers(),
            7 => {
                let wait = [10, 700, 2_500][self.random.below(3) as usize];
                self.world.pass(Duration::from_millis(wait));
            }
            _ if self.world.engine.is_connected => self.world.disconnect(),
            _ => self.world.connect(),
        }
        self.look();
        if !self.world.engine.is_connected {
            return;
        }
        let held = self.world.held();
        let expected = self
            .is_sent
            .map(|is_sent| match is_sent && !self.is_paused {
                true => StreamMode::Record,
                false => StreamMode::Pause,
            });
        let modes: Vec<_> = held.last().streams.iter().map(|one| one.mode).collect();
        assert_eq!(modes, expected);
        let ports: Vec<_> = held.last().streams.iter().map(|one| one.rtp_port).collect();
        assert_eq!(ports, self.ports);
    }

    fn command(&mut self) {
        let id = self.id;
        self.is_paused = self.random.below(2) == 0;
        let command = match self.is_paused {
            true => Command::Pause { id },
            false => Command::Resume { id },
        };
        let answer = self
            .world
            .recorder
            .handle_command(self.world.now, self.world.wall(), command);
        assert!(matches!(answer, Answer::Call { call } if call.is_paused == self.is_paused));
        self.world.settle();
    }

    fn directions(&mut self) -> [bool; 2] {
        [self.random.below(3) > 0, self.random.below(3) > 0]
    }

    fn description(sent: [bool; 2]) -> String {
        let word = |is_sent| if is_sent { "sendonly" } else { "inactive" };
        sdp(&[
            &line(40_000, "1", word(sent[0])),
            &line(40_002, "2", word(sent[1])),
        ])
    }

    fn peer_offers(&mut self) {
        self.look();
        let wanted = self.directions();
        let offer = Ask::new("INVITE").sdp(&Self::description(wanted));
        let answers = self.world.ask(&mut self.src, &offer);
        let is_answer = |sent: &&Sent| sent.is_response() && sent.status() >= 200;
        let answer = answers.iter().find(is_answer).expect("an answer").clone();
        // Our own that crossed it is answered 491 in turn, or waits.
        match answer.status() {
            200 => {
                self.is_sent = wanted;
                self.read(&answer);
                self.world.ack(&self.src);
            }
            491 => assert!(!self.unanswered.is_empty(), "there is nothing to cross"),
            status => panic!("{status}"),
        }
        self.keep(answers);
    }

    fn peer_answers(&mut self) {
        if self.unanswered.is_empty() {
            return;
        }
        let asked = self.unanswered.remove(0);
        let asks_for_media = asked.directions() == ["recvonly", "recvonly"];
        let text = match self.random.below(5) {
            0 => reply(&asked.text, 491, ""),
            1 => reply(&asked.text, 488, ""),
            2 => reply(&asked.text, 500, "Retry-After: 1\r\n"),
            _ => {
                let granted = match asks_for_media {
                    true => self.directions(),
                    false => [false; 2],
                };
                if asks_for_media {
                    self.is_sent = granted;
                }
                let answer = Self::description(granted);
                reply_with(&asked.text, 200, "", "application/sdp", &answer)
            }
        };
        self.world.receive(text.as_bytes());
    }

    fn look(&mut self) {
        let sent = self.world.take_sent();
        self.keep(sent);
    }

    fn keep(&mut self, sent: Vec<Sent>) {
        for one in sent {
            let is_known = self.unanswered.iter().any(|known| known.text == one.text);
            if one.text.starts_with("INVITE ") && !is_known {
                self.read(&one);
                self.unanswered.push(one);
            }
        }
        assert!(self.unanswered.len() <= 1, "one request at a time");
    }

    /// P-40: the version goes up by one where something changed, and stays where nothing did.
    fn read(&mut self, sent: &Sent) {
        let origin = sent.lines("o=").remove(0);
        let version: u64 = origin.split(' ').nth(2).unwrap().parse().unwrap();
        let rest = sent.body().replace(&origin, "");
        let expected = self.described.0 + u64::from(rest != self.described.1);
        assert_eq!(version, expected, "{origin}");
        self.described = (version, rest);
    }
}

#[test]
fn a_stream_is_recorded_while_both_sides_want_it() {
    let seeds: Vec<u64> = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (1..=60).collect(),
    };
    let mut told: BTreeMap<bool, usize> = BTreeMap::new();
    for seed in seeds {
        eprintln!("SEED={seed}");
        let mut play = Play::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..40 {
            play.step();
        }
        if !play.world.engine.is_connected {
            play.world.connect();
        }
        play.look();
        play.unanswered.clear();
        *told.entry(play.is_paused).or_default() += 1;
        let bye = play.world.answer(&mut play.src, &Ask::new("BYE"));
        assert_eq!((bye.status(), play.world.calls()), (200, 0));
        play.world.published();
        play.world.pass_secs(40);
        let now = play.world.now;
        let free = play.world.recorder.free_pairs(now);
        let all: usize = play
            .world
            .engine
            .shards
            .iter()
            .map(|one| usize::from(one.last - one.first + 1) / 2)
            .sum();
        assert_eq!(free, all, "no port is lost");
    }
    assert!(told.len() == 2, "both ends were met: {told:?}");
}
