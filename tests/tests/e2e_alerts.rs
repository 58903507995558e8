//! Faults of disks, injected into a running system that a real Prometheus watches: each makes the alert
//! fire that is for it. The other alerts are in `e2e_prometheus.rs`, which also sees to it that none is
//! forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_e2e::caller::{Call, Caller};
use holdfast_e2e::disks::{Disk, enter_mounts};
use holdfast_e2e::http::Request;
use holdfast_e2e::namespace::enter_lonely;
use holdfast_e2e::prometheus::Prometheus;
use holdfast_e2e::rtp::Source;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::tools::Tool;
use holdfast_e2e::wait::wait_until;
use holdfast_load::invite::Codec;
use holdfast_load::uac::Transport;

/// Long packets on every line of some calls, about 4 MB a second, until told otherwise.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Flood {
    fn start(calls: &[Call]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let lines = |call| (0..2).map(move |line| Source::of(call, line, 7 + line as u32));
        let mut sources: Vec<Source> = calls.iter().flat_map(lines).collect();
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                for source in &mut sources {
                    source.send(&[0x55; 1_400], 160);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the senders");
    }
}

/// A system in a network and with disks of its own, and who watches it.
struct Scene {
    watch: Prometheus,
    // They go before the system: what waits for a frozen disk cannot end.
    recordings: Disk,
    state: Disk,
    system: System,
}

impl Scene {
    fn set() -> Option<Self> {
        let prometheus = Tool::find("prometheus")?;
        if !enter_lonely() || !enter_mounts() {
            return None;
        }
        let options = Options::new()
            .ring()
            .set("media", "ring_size = \"16 MiB\"")
            .set("journal", "segments_max = 3")
            .set("store", "answer_timeout = \"2 s\"");
        let mut system = System::start(&options);
        // With the folders made, the disks come over them.
        system.signaling.kill();
        system.engine.kill();
        let recordings = Disk::in_memory(&system.recordings(), "64M")?;
        let state = Disk::ext4(&system.root().join("state"), "256M")?;
        system.engine.start();
        system.signaling.start();
        system.await_ready();
        let watch = Prometheus::start(&prometheus, system.http());
        wait_until("the target is up", || {
            watch.finds("up{job=\"holdfast\"} == 1")
        });
        Some(Self {
            watch,
            system,
            recordings,
            state,
        })
    }

    fn call(caller: &mut Caller, count: usize) -> Vec<Call> {
        (0..count).map(|_| caller.call(Codec::Pcmu)).collect()
    }
}

#[test]
fn a_recordings_disk_that_fills_is_told_before_and_while_it_does() {
    let Some(scene) = Scene::set() else {
        return;
    };
    let watch = &scene.watch;
    for name in [
        "HoldfastDiskFilling",
        "HoldfastUnwilling",
        "HoldfastJournalFull",
    ] {
        assert!(!watch.fires(name), "{name} fires at a healthy system");
    }
    let mut caller = Caller::over(Transport::Udp, &scene.system);
    let calls = Scene::call(&mut caller, 8);
    scene.recordings.fill(87);
    watch.await_alert("HoldfastDiskFilling");
    assert!(!watch.fires("HoldfastUnwilling"));
    scene.recordings.fill(93);
    watch.await_alert("HoldfastUnwilling");
    // The tracks of running calls find no room: the journal keeps what they would have.
    scene.recordings.fill(100);
    let flood = Flood::start(&calls);
    watch.await_alert("HoldfastJournalFull");
    watch.await_alert("HoldfastJournalFailing");
    // And what the journal does not take stays in the ring.
    watch.await_alert("HoldfastRingFull");
    flood.stop();
    scene.recordings.empty();
    wait_until("all is well again", || {
        [
            "HoldfastUnwilling",
            "HoldfastJournalFailing",
            "HoldfastRingFull",
        ]
        .iter()
        .all(|name| !watch.fires(name))
    });
    for call in &calls {
        caller.hang_up(call);
    }
}

/// The disk of the state of calls, which hangs and gives no error: nobody calls, and it is told all the same.
#[test]
fn a_store_whose_disk_hangs_is_told_before_a_call_needs_it() {
    let Some(scene) = Scene::set() else {
        return;
    };
    let watch = &scene.watch;
    let ready = || Request::get(scene.system.http(), "/health/ready").send();
    assert_eq!(ready().status, 200);
    assert!(
        !watch.fires("HoldfastStoreAway"),
        "it fires at a healthy system"
    );
    scene.state.freeze();
    watch.await_alert("HoldfastStoreAway");
    let told = ready();
    assert_eq!(told.status, 503);
    let checks = &told.json()["checks"];
    let bad: Vec<&str> = checks
        .as_array()
        .into_iter()
        .flatten()
        .filter(|check| check["is_good"] == false)
        .filter_map(|check| check["name"].as_str())
        .collect();
    assert!(bad.contains(&"store"), "{checks}");
    scene.state.thaw();
    wait_until("it is back", || {
        ready().status == 200
            && !watch.fires("HoldfastStoreAway")
            && watch.finds("holdfast_store_outages_total == 1")
    });
}

#[test]
fn a_journal_whose_disk_stalls_is_told() {
    let Some(scene) = Scene::set() else {
        return;
    };
    let watch = &scene.watch;
    assert!(
        !watch.fires("HoldfastCommitsSlow"),
        "it fires at a healthy system"
    );
    let mut caller = Caller::over(Transport::Udp, &scene.system);
    let calls = Scene::call(&mut caller, 1);
    let mut source = Source::of(&calls[0], 0, 7);
    wait_until("commits are timed", || {
        source.send(&[0x55; 160], 160);
        watch.finds("holdfast_latency_seconds_count{stage=\"commit\"} > 0")
    });
    // Commits that take half a second each, until there are enough of them.
    wait_until("HoldfastCommitsSlow fires", || {
        source.send(&[0x55; 160], 160);
        scene.state.freeze();
        source.send(&[0x55; 160], 160);
        std::thread::sleep(Duration::from_millis(500));
        scene.state.thaw();
        watch.fires("HoldfastCommitsSlow")
    });
    watch.await_alert("HoldfastCommitsSlow");
    for call in &calls {
        caller.hang_up(call);
    }
}
