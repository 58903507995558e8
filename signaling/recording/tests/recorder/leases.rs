//! Leases and fencing in simulated time: two nodes and the store that they share, each with a clock of its
//! own. How the store counts is what the scripts in `signaling/store/src/redis.rs` do, whose own tests
//! have a real server and a real clock.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use holdfast_control::Life;
use holdfast_manifest::EndReason;
use holdfast_recording::recorder::{RecorderConfig, Saving, Stored, WhenStoreAway};
use holdfast_units::{MonoTime, RecordingId};

use crate::peer::{Ask, metadata};
use crate::world::World;

/// How long a node is taken for alive after its last word.
const LEASE: Duration = Duration::from_secs(6);
/// How often it says one.
const PACE: Duration = Duration::from_secs(2);

/// The store that nodes share.
#[derive(Default)]
pub struct Shared {
    /// Its own clock.
    now: MonoTime,
    epoch: u64,
    /// Epoch of each node's process, and until when it is taken for alive.
    leases: BTreeMap<&'static str, (u64, MonoTime)>,
    calls: BTreeMap<RecordingId, Kept>,
    /// Adopted calls that are over.
    gone: BTreeSet<RecordingId>,
}

struct Kept {
    owner: &'static str,
    epoch: u64,
    state: Vec<u8>,
    saved: MonoTime,
    is_adopted: bool,
}

impl Shared {
    fn renew(&mut self, node: &'static str, epoch: u64) {
        let until = self.now + LEASE;
        if self.leases.get(node).is_none_or(|(own, _)| *own <= epoch) {
            self.leases.insert(node, (epoch, until));
        }
    }

    fn lives(&self, node: &str) -> bool {
        let lease = self.leases.get(node);
        lease.is_some_and(|(_, until)| *until > self.now)
    }
}

/// What becomes of a state that is handed to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Kept,
    /// The call is another node's, or of another process of this one.
    Fenced,
    /// The store does not answer.
    Unanswered,
}

/// A node's way to the store.
pub struct Link {
    store: Rc<RefCell<Shared>>,
    node: &'static str,
    epoch: u64,
    is_cut: bool,
}

impl Link {
    /// A process of a node begins.
    fn claim(store: &Rc<RefCell<Shared>>, node: &'static str) -> Self {
        let mut shared = store.borrow_mut();
        shared.epoch += 1;
        let epoch = shared.epoch;
        shared.renew(node, epoch);
        Self {
            store: Rc::clone(store),
            node,
            epoch,
            is_cut: false,
        }
    }

    pub fn put(&self, saving: &Saving) -> Fate {
        if self.is_cut {
            return Fate::Unanswered;
        }
        let mut shared = self.store.borrow_mut();
        shared.renew(self.node, self.epoch);
        let is_known_gone = shared.gone.contains(&saving.recording);
        let known = shared.calls.get(&saving.recording);
        let may = match known {
            Some(kept) => (kept.owner, kept.epoch) == (self.node, self.epoch),
            None => !is_known_gone,
        };
        if !may && !saving.is_adopted {
            return Fate::Fenced;
        }
        let is_adopted = known.is_some_and(|kept| kept.is_adopted || kept.owner != self.node);
        let kept = Kept {
            owner: self.node,
            epoch: self.epoch,
            state: saving.bytes.clone(),
            saved: shared.now,
            is_adopted,
        };
        shared.calls.insert(saving.recording, kept);
        Fate::Kept
    }

    pub fn remove(&self, recording: RecordingId) {
        let mut shared = self.store.borrow_mut();
        let is_ours = shared
            .calls
            .get(&recording)
            .is_some_and(|kept| (kept.owner, kept.epoch) == (self.node, self.epoch));
        if !self.is_cut
            && is_ours
            && let Some(kept) = shared.calls.remove(&recording)
            && kept.is_adopted
        {
            shared.gone.insert(recording);
        }
    }

    /// Says that the node lives; takes the calls of one that does not: states, and how old they are.
    fn tend(&self) -> Vec<(Vec<u8>, Duration)> {
        let mut shared = self.store.borrow_mut();
        shared.renew(self.node, self.epoch);
        let now = shared.now;
        let lost: Vec<RecordingId> = shared
            .calls
            .iter()
            .filter(|(_, kept)| kept.owner != self.node && !shared.lives(kept.owner))
            .map(|(id, _)| *id)
            .collect();
        let mut taken = Vec::new();
        for id in lost {
            if let Some(kept) = shared.calls.get_mut(&id) {
                (kept.owner, kept.epoch, kept.is_adopted) = (self.node, self.epoch, true);
                taken.push((kept.state.clone(), now.since(kept.saved)));
            }
        }
        taken
    }
}

/// Two nodes and what they share.
struct Pair {
    store: Rc<RefCell<Shared>>,
    nodes: [Option<World>; 2],
    /// How fast the second one's clock runs, in thousandths of the true one.
    pace: u32,
}

const NAMES: [&str; 2] = ["recorder-1", "recorder-2"];

impl Pair {
    fn new() -> Self {
        let mut pair = Self {
            store: Rc::default(),
            nodes: [None, None],
            pace: 1_000,
        };
        pair.start(0);
        pair.start(1);
        pair
    }

    /// A process of a node begins, which finds none of its own calls: the test sees to that.
    fn start(&mut self, index: usize) {
        let mut world = World::with(RecorderConfig {
            node: NAMES[index].to_owned(),
            when_store_away: Some(WhenStoreAway::Accept),
            shares_calls: true,
            ..RecorderConfig::default()
        });
        world.link = Some(Link::claim(&self.store, NAMES[index]));
        self.nodes[index] = Some(world);
    }

    fn node(&mut self, index: usize) -> &mut World {
        self.nodes[index].as_mut().expect("it is up")
    }

    fn epoch(&self, index: usize) -> u64 {
        let world = self.nodes[index].as_ref();
        let link = world.and_then(|world| world.link.as_ref());
        link.expect("it is up").epoch
    }

    /// Who has the one call, and in which epoch.
    fn owner(&self) -> (&'static str, u64) {
        let shared = self.store.borrow();
        assert_eq!(shared.calls.len(), 1);
        let kept = shared.calls.values().next().expect("a call");
        (kept.owner, kept.epoch)
    }

    /// Cuts a node off from the store, or mends that.
    fn set_cut(&mut self, index: usize, is_cut: bool) {
        let world = self.node(index);
        let link = world.link.as_mut().expect("a way to the store");
        link.is_cut = is_cut;
        let (now, wall) = (world.now, world.wall());
        match is_cut {
            true => world.recorder.handle_store_away(now, wall),
            false => world.recorder.handle_store_back(now, wall),
        }
        world.settle();
    }

    /// Lets time pass for all; each node that can says that it lives.
    fn pass(&mut self, duration: Duration) {
        let mut left = duration;
        while left > Duration::ZERO {
            let step = left.min(PACE);
            left -= step;
            let now = self.store.borrow().now + step;
            self.store.borrow_mut().now = now;
            for (index, world) in self.nodes.iter_mut().enumerate() {
                let Some(world) = world else { continue };
                let pace = [1_000, self.pace][index];
                world.pass(step * pace / 1_000);
                let link = world.link.as_ref().filter(|link| !link.is_cut);
                let taken = link.map(Link::tend).unwrap_or_default();
                for (bytes, age) in taken {
                    let stored = Stored {
                        bytes: &bytes,
                        age: Some(age),
                    };
                    let (now, wall) = (world.now, world.wall());
                    world.recorder.adopt(now, wall, stored).expect("it reads");
                    world.settle();
                }
            }
        }
    }
}

fn end_of(world: &World, id: RecordingId) -> EndReason {
    let part = world.engine.published.get(&id).expect("its part");
    match part.last().life {
        Life::Ended { reason, .. } => reason,
        Life::Active => panic!("{:?}", part.last()),
    }
}

/// However far the nodes' clocks are apart, and at whatever pace the standby's runs: the lease lapses by
/// the store's clock and not before, the standby goes on in its own epoch, and who was cut off is fenced.
#[test]
fn a_lease_lapses_by_the_stores_clock_and_who_comes_back_is_fenced() {
    for (apart, pace) in [
        (0, 1_000),
        (3_600, 1_000),
        (-3_600, 1_000),
        (60, 900),
        (60, 1_100),
    ] {
        let what = format!("{apart} s apart, at {pace} thousandths");
        let mut pair = Pair::new();
        pair.node(1).clock_is_off_by = apart;
        pair.pace = pace;
        let mut src = pair.node(0).call("moves");
        let id = pair.node(0).held_id();
        pair.pass(10 * LEASE);
        assert_eq!(pair.node(1).calls(), 0, "{what}: it lives");
        assert_eq!(pair.owner(), (NAMES[0], pair.epoch(0)), "{what}");

        pair.set_cut(0, true);
        pair.pass(LEASE - Duration::from_secs(1));
        assert_eq!(pair.node(1).calls(), 0, "{what}: it may live");
        pair.pass(PACE);
        assert_eq!(pair.node(1).calls(), 1, "{what}");
        assert!(pair.epoch(1) > pair.epoch(0));
        assert_eq!(pair.owner(), (NAMES[1], pair.epoch(1)), "{what}");
        assert_eq!(pair.node(1).starts(), [""; 0], "{what}: not a word");
        // The peer is with the standby, which saves what it is told.
        let update = Ask::new("UPDATE").metadata(&metadata());
        let ok = pair.node(1).answer_among(&mut src, &update);
        assert_eq!(ok.status(), 200, "{what}");
        pair.pass(10 * LEASE);
        assert_eq!(pair.node(0).calls(), 1, "{what}: it does not know yet");
        pair.node(0).take_sent();

        pair.set_cut(0, false);
        pair.pass(2 * LEASE);
        assert_eq!(pair.node(0).calls(), 0, "{what}: it was told");
        assert_eq!(end_of(pair.node(0), id), EndReason::TakenOver, "{what}");
        assert_eq!(pair.node(0).starts(), [""; 0], "{what}: not a word");
        assert_eq!(pair.owner(), (NAMES[1], pair.epoch(1)), "{what}");

        let bye = pair.node(1).answer_among(&mut src, &Ask::new("BYE"));
        assert_eq!(bye.status(), 200, "{what}");
        assert_eq!(end_of(pair.node(1), id), EndReason::Bye, "{what}");
        assert!(pair.store.borrow().calls.is_empty(), "{what}");
    }
}

/// It is mended only when the call is over at the standby: what it saves then must not bring it back.
#[test]
fn who_comes_back_after_the_end_of_the_call_does_not_bring_it_back() {
    let mut pair = Pair::new();
    let mut src = pair.node(0).call("over");
    let id = pair.node(0).held_id();
    pair.set_cut(0, true);
    pair.pass(LEASE + PACE);
    pair.node(1).answer_among(&mut src, &Ask::new("BYE"));
    assert!(pair.store.borrow().calls.is_empty());
    pair.set_cut(0, false);
    pair.pass(2 * LEASE);
    assert_eq!((pair.node(0).calls(), pair.node(1).calls()), (0, 0));
    assert_eq!(end_of(pair.node(0), id), EndReason::TakenOver);
    assert!(pair.store.borrow().calls.is_empty());
}

/// The host dies and comes back as a new process, in an epoch above all: that alone takes nothing from the
/// standby. When the standby dies in its turn, the call comes back to the first host.
#[test]
fn a_call_goes_from_host_to_host_as_their_leases_lapse() {
    let mut pair = Pair::new();
    let mut src = pair.node(0).call("there-and-back");
    pair.nodes[0] = None;
    pair.pass(LEASE + PACE);
    assert_eq!(pair.owner(), (NAMES[1], pair.epoch(1)));
    pair.start(0);
    assert!(pair.epoch(0) > pair.epoch(1));
    pair.pass(10 * LEASE);
    assert_eq!((pair.node(0).calls(), pair.node(1).calls()), (0, 1));
    let ok = pair.node(1).answer_among(&mut src, &Ask::new("UPDATE"));
    assert_eq!(ok.status(), 200);
    assert_eq!(
        pair.owner(),
        (NAMES[1], pair.epoch(1)),
        "its writes are taken"
    );

    pair.nodes[1] = None;
    pair.pass(LEASE + PACE);
    assert_eq!(pair.owner(), (NAMES[0], pair.epoch(0)));
    let bye = pair.node(0).answer_among(&mut src, &Ask::new("BYE"));
    assert_eq!(bye.status(), 200);
    assert!(pair.store.borrow().calls.is_empty());
}
