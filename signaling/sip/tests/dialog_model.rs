//! Random requests in one dialog, of the peer and of ours, against a reference of the rules that fits
//! on a page (RFC 3261 §12.2.2, §14, §15; RFC 3311 §5). `SEED=…` replays one run.

mod common;

use std::collections::BTreeMap;

use common::{Ask, Sent, World, answer, tx_of};
use holdfast_sip::endpoint::{DialogId, Draft, RequestError, ServerTx};
use holdfast_sip::{Event, Method, Reply, Status, Transport};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What the rules know of the dialog.
#[derive(Debug, Default)]
struct Model {
    /// CSeq of the peer's last request that counts.
    last: u32,
    /// Requests of the peer without an answer, by method.
    theirs: BTreeMap<String, usize>,
    /// Those among them with an offer.
    their_offers: usize,
    /// 2xx to INVITEs of the peer without an ACK.
    unacked: Vec<u32>,
    our_invite: bool,
    our_offer: bool,
    /// Our BYE waits for an ACK.
    deferred: bool,
    /// A BYE is under way.
    ending: bool,
    /// It is over.
    over: bool,
}

/// What becomes of a request of the peer.
#[derive(Debug, PartialEq)]
enum Fate {
    HandedUp,
    Refused(u16),
}

impl Model {
    fn has(&self, method: &str) -> bool {
        self.theirs.get(method).is_some_and(|count| *count > 0)
    }

    fn judge(&mut self, method: &str, cseq: u32, has_offer: bool) -> Fate {
        if self.over || (self.ending && method != "BYE") {
            return Fate::Refused(481);
        }
        if cseq < self.last {
            return Fate::Refused(500);
        }
        self.last = cseq;
        let fate = match method {
            "PRACK" => Fate::Refused(481),
            "INFO" => Fate::Refused(405),
            "BYE" if self.has("BYE") => Fate::Refused(500),
            "INVITE" if self.has("INVITE") || self.unacked.len() >= 4 => Fate::Refused(500),
            "INVITE" if self.our_invite => Fate::Refused(491),
            "UPDATE" if self.has("UPDATE") => Fate::Refused(500),
            "UPDATE" if has_offer && self.our_offer => Fate::Refused(491),
            "UPDATE" if has_offer && self.has("INVITE") => Fate::Refused(500),
            _ => Fate::HandedUp,
        };
        if fate == Fate::HandedUp {
            *self.theirs.entry(method.to_owned()).or_default() += 1;
            self.their_offers += usize::from(has_offer);
            if method == "BYE" {
                // What was unanswered has got 487.
                self.theirs.retain(|known, _| known == "BYE");
                self.their_offers = usize::from(has_offer);
                self.unacked.clear();
                (self.ending, self.deferred) = (true, false);
            }
        }
        fate
    }

    fn ask(&self, method: &Method, has_offer: bool) -> Result<(), RequestError> {
        if self.over || self.ending || self.deferred {
            return Err(RequestError::UnknownDialog);
        }
        let is_invite = *method == Method::Invite;
        let is_theirs = self.has("INVITE") || !self.unacked.is_empty();
        if is_invite && (is_theirs || self.our_invite) {
            return Err(RequestError::InvitePending);
        }
        match has_offer && (self.our_offer || self.their_offers > 0) {
            true => Err(RequestError::OfferPending),
            false => Ok(()),
        }
    }
}

struct Play {
    world: World,
    model: Model,
    random: Random,
    invite: Ask,
    tag: String,
    dialog: DialogId,
    /// Requests that wait for us.
    waiting: Vec<(ServerTx, String, u32, bool)>,
    /// Requests of ours that wait for the peer.
    ours: Vec<(Sent, Method, bool)>,
    /// The last request of the peer, for copies.
    copy: String,
    /// The final answer to each branch.
    finals: BTreeMap<String, String>,
    branches: u32,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut world = World::new(Transport::Udp);
        let invite = Ask::new("INVITE");
        let (dialog, ok) = world.call(&invite);
        let tag = ok.to_tag();
        Self {
            world,
            model: Model {
                last: 1,
                ..Model::default()
            },
            random: Random(seed),
            copy: invite.text(),
            invite,
            tag,
            dialog,
            waiting: Vec::new(),
            ours: Vec::new(),
            finals: BTreeMap::new(),
            branches: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..=3 => self.peer_asks(),
            4 | 5 => self.we_answer(),
            6 => self.peer_acknowledges(),
            7 => self.we_ask(),
            8 => self.peer_answers(),
            _ => {
                let text = self.copy.clone();
                self.world.receive(&text);
                self.look();
            }
        }
        assert_eq!(
            self.world.endpoint.dialog(self.dialog).is_none(),
            self.model.over,
            "{:?}",
            self.model
        );
    }

    fn peer_asks(&mut self) {
        let methods = [
            "INVITE", "UPDATE", "UPDATE", "OPTIONS", "PRACK", "INFO", "BYE",
        ];
        // A BYE now and then, or no dialog lasts.
        let among = if self.random.below(6) == 0 { 7 } else { 6 };
        let method = methods[self.random.below(among) as usize];
        let cseq = match self.random.below(5) {
            0 => self.model.last.saturating_sub(1).max(1),
            1 => self.model.last + 7,
            _ => self.model.last + 1,
        };
        let has_offer = self.random.below(2) == 0;
        self.branches += 1;
        let branch = format!("z9hG4bK-m{}", self.branches);
        let mut ask = self
            .invite
            .then(method, cseq)
            .tagged(&self.tag)
            .branch(&branch);
        if has_offer {
            ask = ask.sdp();
        }
        let expected = self.model.judge(method, cseq, has_offer);
        self.copy = ask.text();
        self.world.receive(&self.copy.clone());
        let events = self.look();
        let handed = events.iter().find_map(tx_of);
        let fate = match (handed, self.finals.get(&branch)) {
            (Some(tx), None) => {
                self.waiting.push((tx, method.to_owned(), cseq, has_offer));
                Fate::HandedUp
            }
            (None, Some(text)) => Fate::Refused(text[8..11].parse().unwrap()),
            other => panic!("{method} {cseq}: {other:?}"),
        };
        assert_eq!(
            fate, expected,
            "{method} {cseq} {has_offer}: {:?}",
            self.model
        );
    }

    fn we_answer(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let at = self.random.below(self.waiting.len() as u64) as usize;
        let (tx, method, cseq, had_offer) = self.waiting.remove(at);
        self.model.their_offers -= usize::from(had_offer);
        *self.model.theirs.entry(method.clone()).or_default() -= 1;
        let is_refusal = self.random.below(3) == 0;
        if method == "INVITE" && !is_refusal {
            self.model.unacked.push(cseq);
            self.world.accept(tx);
        } else {
            let status = if is_refusal { 488 } else { 200 };
            let reply = Reply::new(Status::new(status).unwrap());
            self.world
                .endpoint
                .respond(self.world.now, tx, &reply)
                .unwrap();
            self.world.collect();
            self.model.over |= method == "BYE";
        }
        self.look();
    }

    fn peer_acknowledges(&mut self) {
        let known = self.model.unacked.first().copied();
        let cseq = known.filter(|_| self.random.below(4) > 0).unwrap_or(9_999);
        self.branches += 1;
        let branch = format!("z9hG4bK-m{}", self.branches);
        let ack = self
            .invite
            .then("ACK", cseq)
            .tagged(&self.tag)
            .branch(&branch);
        self.world.receive(&ack.text());
        let before = self.model.unacked.len();
        self.model.unacked.retain(|waiting| *waiting != cseq);
        let events = self.look();
        let told = events
            .iter()
            .filter(|event| matches!(event, Event::Ack { .. }))
            .count();
        assert_eq!(told, before - self.model.unacked.len(), "ACK {cseq}");
        if self.model.deferred && self.model.unacked.is_empty() {
            (self.model.deferred, self.model.ending) = (false, true);
        }
    }

    fn we_ask(&mut self) {
        let (method, has_offer) = match self.random.below(12) {
            0 => (Method::Bye, false),
            1..=5 => (Method::Invite, true),
            6 | 7 => (Method::Update, true),
            _ => (Method::Update, false),
        };
        let mut draft = Draft::new(method.clone());
        if has_offer {
            draft = draft.body("application/sdp", "v=0\r\n");
        }
        let expected = self.model.ask(&method, has_offer);
        let asked =
            self.world
                .endpoint
                .request(self.world.now, self.dialog, draft, &mut self.world.rng);
        assert_eq!(asked.map(drop), expected, "{method:?}: {:?}", self.model);
        if asked.is_err() {
            return;
        }
        self.world.collect();
        if method == Method::Bye && !self.model.unacked.is_empty() {
            self.model.deferred = true;
            return self.look().is_empty().then_some(()).unwrap();
        }
        let sent = self.world.sent.pop().expect("a request");
        assert!(
            sent.start().starts_with(method.as_str()),
            "{}",
            sent.start()
        );
        self.model.ending |= method == Method::Bye;
        self.model.our_invite |= method == Method::Invite;
        self.model.our_offer |= has_offer;
        self.ours.push((sent, method, has_offer));
        self.look();
    }

    fn peer_answers(&mut self) {
        if self.ours.is_empty() {
            return;
        }
        let at = self.random.below(self.ours.len() as u64) as usize;
        let status = [100, 200, 200, 491, 500, 481][self.random.below(6) as usize];
        let text = answer(&self.ours[at].0, status, "");
        self.world.receive(&text);
        if status >= 200 {
            let (_, method, had_offer) = self.ours.remove(at);
            self.model.our_invite &= method != Method::Invite;
            self.model.our_offer &= !had_offer;
            self.model.over |= method == Method::Bye || status == 481;
        }
        self.look();
    }

    /// Takes note of what was sent and told; what was answered once is never answered otherwise.
    fn look(&mut self) -> Vec<Event> {
        for sent in self.world.take_sent() {
            if !sent.start().starts_with("SIP/2.0 ") || sent.start().starts_with("SIP/2.0 1") {
                continue;
            }
            let via = sent.value("Via").unwrap();
            let branch = via.split("branch=").nth(1).unwrap();
            let branch = branch.split(';').next().unwrap().to_owned();
            let first = self
                .finals
                .entry(branch)
                .or_insert_with(|| sent.text.clone());
            assert_eq!(*first, sent.text, "two final answers to one request");
        }
        let events = self.world.take_events();
        for event in &events {
            match event {
                Event::DialogGone { .. } => self.model.over = true,
                Event::Cancelled { tx, .. } => self.waiting.retain(|(known, ..)| known != tx),
                _ => {}
            }
        }
        if self.model.ending {
            // Those that are not INVITEs were answered 487 without a word.
            self.waiting.retain(|(_, method, ..)| method == "BYE");
        }
        if self.model.over {
            self.waiting.clear();
            self.ours.clear();
            self.model.unacked.clear();
        }
        events
    }
}

#[test]
fn every_request_has_the_fate_that_the_rules_give_it() {
    let seeds: Vec<u64> = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (1..=200).collect(),
    };
    let mut ends = 0;
    for seed in seeds {
        eprintln!("SEED={seed}");
        let mut play = Play::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..60 {
            play.step();
        }
        ends += usize::from(play.model.over);
        // Whatever nobody answers is given up in the end, on either side.
        play.world.pass_ms(400_000);
        if play.world.endpoint.dialog(play.dialog).is_some() {
            play.world
                .endpoint
                .release_dialog(play.world.now, play.dialog);
            play.world.pass_ms(400_000);
        }
        let endpoint = &play.world.endpoint;
        assert_eq!(
            (endpoint.transaction_count(), endpoint.dialog_count()),
            (0, 0)
        );
    }
    eprintln!("{ends} dialogs ended by themselves");
}
