//! Rings whose process is dead, in a network namespace of each test's own: what it had not
//! acknowledged is read again, a block that it died of twice is not.

#[expect(dead_code, reason = "these tests need no cable")]
mod cable;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use cable::{Got, collect, drain, enter};
use holdfast_sys::{
    Ingest, PortSlice, RetireGuard, RetiredRings, RingError, RingGeometry, RingIngest,
    RingInterface, RingSetup,
};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SLICE: PortSlice = PortSlice {
    first: 20_000,
    last: 20_099,
};

fn setup() -> RingSetup {
    RingSetup {
        slices: vec![SLICE],
        interfaces: vec![RingInterface {
            name: "lo".to_owned(),
            takes_vlans: true,
            geometry: RingGeometry::new(4 << 20, Duration::from_secs(1)),
        }],
        packet_size_max: 2_048,
        takes_card_times: false,
    }
}

fn open(setup: &RingSetup) -> RingIngest {
    let mut ring = RingIngest::open_all(setup).expect("a ring").remove(0);
    ring.open(LOCALHOST, 20_000).unwrap();
    ring
}

/// What a dead process leaves, if another has kept it.
fn die(ring: RingIngest) -> Vec<OwnedFd> {
    RingIngest::descriptors(&[ring]).unwrap()
}

fn take_over(setup: &RingSetup, kept: Vec<OwnedFd>) -> RingIngest {
    let mut ring = RingIngest::take_over_all(setup, kept).unwrap().remove(0);
    ring.open(LOCALHOST, 20_000).unwrap();
    ring
}

fn numbers(got: Vec<Got>) -> Vec<u32> {
    let number = |it: &Got| u32::from_be_bytes(it.2[..4].try_into().unwrap());
    got.iter().map(number).collect()
}

/// Numbers each datagram that it sends.
struct Peer(UdpSocket, u32);

impl Peer {
    fn new() -> Self {
        Self(UdpSocket::bind((LOCALHOST, 0)).unwrap(), 0)
    }

    fn send(&mut self, count: u32) {
        for _ in 0..count {
            let Self(socket, next) = self;
            socket
                .send_to(&next.to_be_bytes(), (LOCALHOST, 20_000))
                .unwrap();
            *next += 1;
        }
    }
}

#[test]
fn who_takes_a_ring_over_reads_what_was_not_acknowledged() {
    if !enter() {
        return;
    }
    let (setup, mut peer) = (setup(), Peer::new());
    let mut dead = open(&setup);
    assert_eq!(dead.known_from(), None, "a new ring follows nobody");
    // Far around the ring, so that the oldest block is not the first.
    for round in 0..40 {
        peer.send(50);
        let got = numbers(collect(&mut dead, 50));
        assert_eq!(got, (round * 50..round * 50 + 50).collect::<Vec<_>>());
        dead.handle_position(u64::from(round));
        dead.release(u64::from(round));
    }
    // Read, and not acknowledged.
    peer.send(700);
    assert_eq!(collect(&mut dead, 700).len(), 700);
    dead.handle_position(1_000);
    dead.release(999);
    let kept = die(dead);
    // While nobody is there.
    peer.send(300);
    let mut ring = take_over(&setup, kept);
    assert_eq!((ring.known_from(), ring.is_catching_up()), (Some(39), true));
    let got = numbers(collect(&mut ring, 1_000));
    assert_eq!(got, (2_000..3_000).collect::<Vec<_>>());
    assert!(
        !ring.is_catching_up(),
        "what is new begins where nothing is left"
    );
    ring.handle_position(1_300);
    ring.release(1_299);
    assert_eq!(ring.floor(), Some(39));
    ring.release(1_300);
    assert_eq!((ring.floor(), ring.held_blocks()), (Some(1_300), 0));
    // All released: the next reader finds an empty ring, and waits for the block to come.
    let mut ring = take_over(&setup, die(ring));
    assert_eq!(drain(&mut ring), []);
    assert!(!ring.is_catching_up());
    peer.send(100);
    let got = numbers(collect(&mut ring, 100));
    assert_eq!(got, (3_000..3_100).collect::<Vec<_>>());
    assert_eq!(ring.counters().unwrap().kernel_drops, 0);
}

#[test]
fn the_floor_stays_until_all_that_a_dead_process_had_begun_is_read_again() {
    if !enter() {
        return;
    }
    let (setup, mut peer) = (setup(), Peer::new());
    let mut dead = open(&setup);
    for block in 0..3 {
        peer.send(10);
        assert_eq!(collect(&mut dead, 10).len(), 10);
        dead.handle_position(10 * (block + 1));
    }
    dead.release(10);
    assert_eq!(dead.floor(), Some(10));
    let mut ring = take_over(&setup, die(dead));
    // A block at a time, placed and given back at once.
    let mut got = 0;
    loop {
        ring.poll(1, &mut |some| got += some.len(), &mut |_| ())
            .unwrap();
        ring.handle_position(30);
        ring.release(30);
        if !ring.is_catching_up() {
            break;
        }
        let why = "what is left may have any of these records";
        assert_eq!(ring.floor(), Some(10), "{why}");
    }
    assert_eq!((got, ring.floor()), (20, Some(30)));
}

/// Reads a ring as a process does that dies of a certain datagram.
fn die_of(mut ring: RingIngest, poison: u32) -> Vec<OwnedFd> {
    let mut sink = |arrivals: &[holdfast_sys::Arrival<'_>]| {
        let is_poison = arrivals.iter().any(|it| it.bytes == poison.to_be_bytes());
        assert!(!is_poison, "this is what the test is about");
    };
    let death = catch_unwind(AssertUnwindSafe(|| {
        loop {
            ring.poll(1_000, &mut sink, &mut |_| ()).unwrap();
        }
    }));
    assert!(death.is_err());
    die(ring)
}

#[test]
fn a_block_that_two_in_a_row_died_of_can_be_passed_over() {
    if !enter() {
        return;
    }
    let (setup, mut peer) = (setup(), Peer::new());
    let mut first = open(&setup);
    peer.send(5);
    assert_eq!(collect(&mut first, 5).len(), 5);
    // A block of its own: nothing else comes before it is handed over.
    peer.send(3);
    let kept = die_of(first, 6);
    peer.send(4);
    let second = take_over(&setup, kept);
    assert_eq!(second.suspects(), [], "once may be chance");
    let kept = die_of(second, 6);
    let mut third = take_over(&setup, kept);
    let suspects = third.suspects();
    assert_eq!(suspects.len(), 1);
    assert_eq!(suspects[0].interface, "lo");
    let passed = third.pass_over(&suspects[0]);
    assert_eq!((passed.len(), passed[0].port), (1, 20_000));
    // As a rule all three of the second burst are in one block, and none of the others.
    let left = 12 - passed[0].count as usize;
    let got = numbers(collect(&mut third, left));
    assert!(
        (1..=3).contains(&passed[0].count) && !got.contains(&6),
        "{got:?}"
    );
    for other in [0, 1, 2, 3, 4, 8, 9, 10, 11] {
        assert!(got.contains(&other), "{other} of {got:?}");
    }
    // It stays passed over, and a suspect no longer, whoever is next.
    let mut fourth = take_over(&setup, die(third));
    assert_eq!(fourth.suspects(), []);
    assert_eq!(numbers(collect(&mut fourth, left)), got);
}

#[test]
fn rings_that_are_not_wanted_any_more_are_read_to_their_end() {
    if !enter() {
        return;
    }
    let (setup, mut peer) = (setup(), Peer::new());
    let mut dead = open(&setup);
    peer.send(20);
    assert_eq!(collect(&mut dead, 20).len(), 20);
    dead.handle_position(20);
    let kept = die(dead);
    peer.send(20);

    let guard: RetireGuard = Arc::new(());
    let watch = Arc::downgrade(&guard);
    let mut retired = RetiredRings::stop_all(&setup, kept, &guard).unwrap();
    drop(guard);
    let mut larger = setup.clone();
    larger.interfaces[0].geometry = RingGeometry::new(8 << 20, Duration::from_secs(1));
    let mut ring = open(&larger);
    ring.drain(retired.remove(0));
    assert_eq!((ring.known_from(), ring.is_catching_up()), (Some(0), true));
    peer.send(20);
    let mut got = numbers(collect(&mut ring, 60));
    got.sort_unstable();
    assert_eq!(
        got,
        (0..60).collect::<Vec<_>>(),
        "each once, by the old ring or the new"
    );
    assert_eq!(drain(&mut ring), []);
    assert!(!ring.is_catching_up());
    ring.handle_position(60);
    assert!(watch.upgrade().is_some(), "not durable yet");
    ring.release(60);
    assert!(watch.upgrade().is_none());
    assert_eq!(RingIngest::descriptors(&[ring]).unwrap().len(), 2);
}

#[test]
fn other_descriptors_are_no_rings() {
    if !enter() {
        return;
    }
    let setup = setup();
    let no_ring = || OwnedFd::from(UdpSocket::bind((LOCALHOST, 0)).unwrap());
    let take = |kept| RingIngest::take_over_all(&setup, kept);
    assert!(matches!(
        take(vec![]),
        Err(RingError::Count {
            found: 0,
            expected: 2
        })
    ));
    let refused = take(vec![no_ring(), no_ring()]);
    assert!(matches!(refused, Err(RingError::Kernel { .. })));
    let mut kept = die(open(&setup));
    kept[1] = no_ring();
    assert!(matches!(take(kept), Err(RingError::Kernel { .. })));
    // Of another size.
    let kept = die(open(&setup));
    let mut other = setup.clone();
    other.interfaces[0].geometry.block_count += 1;
    let refused = RingIngest::take_over_all(&other, kept);
    assert!(matches!(refused, Err(RingError::Kernel { .. })));
}
