//! The engine on disks in trouble: true file systems, frozen or full, in a mount namespace of each
//! test's own.

#[expect(dead_code, reason = "these tests need a part of it")]
mod support;

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_control::{FromEngine, Recording, ToEngine, Unwilling};
use holdfast_manifest::{Codec, GapCause, Manifest, MarkKind};
use nix::sched::{CloneFlags, unshare};
use support::{Engine, Link, Sender, ended, recording, wait_until};

/// What the ring needs is root's anyway; here it is in networks of the tests' own.
const RING: &str = "ingest = \"packet-ring\"";

/// A file system of the test's own.
struct Mount {
    path: PathBuf,
}

impl Mount {
    /// Lets this thread, and what it starts, have mounts that nobody else sees; `false`, and a word
    /// about it, where it may not.
    fn enter() -> bool {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
            eprintln!("SKIPPED: disks in trouble are mounted in a namespace: {error}");
            return false;
        }
        run("mount", &["--make-rprivate", "/"])
    }

    /// Ext4 in a file, which can be frozen.
    fn ext4(root: &Path, size: &str) -> Option<Self> {
        let image = root.join("disk.img");
        let image = image.to_str().expect("a path");
        let path = root.join("disk");
        fs::create_dir(&path).expect("a folder");
        let is_there = run("truncate", &["-s", size, image])
            && run("mkfs.ext4", &["-q", "-F", image])
            && run("mount", &["-o", "loop", image, path.to_str()?]);
        is_there.then_some(Self { path })
    }

    /// A small one, which can be filled.
    fn tmpfs(root: &Path, size: &str) -> Option<Self> {
        let path = root.join("small");
        fs::create_dir(&path).expect("a folder");
        let options = format!("size={size}");
        let arguments = ["-t", "tmpfs", "-o", &options, "none", path.to_str()?];
        run("mount", &arguments).then_some(Self { path })
    }

    /// Ext4 in a file that has room for a part of it: what is written beyond that fails as a disk's
    /// broken sectors do, with EIO, until [`Self::heal`].
    fn broken(root: &Path, good: &str) -> Option<Self> {
        let backing = Self::tmpfs(root, good)?;
        let image = backing.path.join("disk.img");
        let image = image.to_str().expect("a path");
        let path = root.join("disk");
        fs::create_dir(&path).expect("a folder");
        // Without a journal of its own, which would end it with the first failure.
        let options = "^has_journal,^resize_inode,^metadata_csum";
        let mkfs = ["-q", "-F", "-O", options, "-N", "512", image];
        let is_there = run("truncate", &["-s", "512M", image])
            && run("mkfs.ext4", &mkfs)
            && run("mount", &["-o", "loop", image, path.to_str()?]);
        // What is mounted lives on without its name.
        std::mem::forget(backing);
        is_there.then_some(Self { path })
    }

    /// What failed works again.
    fn heal(root: &Path) {
        let backing = root.join("small");
        let backing = backing.to_str().expect("a path");
        assert!(run("mount", &["-o", "remount,size=1g", backing]));
    }

    fn freeze(&self) {
        assert!(run("fsfreeze", &["-f", self.path.to_str().unwrap()]));
    }

    fn thaw(&self) {
        assert!(run("fsfreeze", &["-u", self.path.to_str().unwrap()]));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What is frozen cannot be unmounted, nor can whoever waits for it end.
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.path).output();
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            eprintln!("SKIPPED: {program} {arguments:?}: {said}");
            false
        }
        Err(error) => {
            eprintln!("SKIPPED: {program}: {error} (apt-get install util-linux e2fsprogs)");
            false
        }
    }
}

/// Streams of a recording that is flooded: one alone is not let through so fast.
const STREAMS: u16 = 40;

/// A recording whose packets are as long as the test likes: of a codec that is not rendered.
fn wide(first_port: u16) -> Recording {
    let ports: Vec<u16> = (0..STREAMS).map(|index| first_port + 2 * index).collect();
    let mut wanted = recording(&ports);
    let opus = Codec {
        name: "opus".into(),
        clock_rate: 48_000,
        channels: 2,
        fmtp: None,
    };
    for stream in &mut wanted.streams {
        stream.codecs = [(96, opus.clone())].into();
    }
    wanted
}

/// Sends long packets of these numbers on every stream, with the time as their timestamps.
fn flood(socket: &UdpSocket, first_port: u16, numbers: std::ops::Range<u16>) {
    let mut packet = vec![0x80, 96];
    packet.resize(1_900, 0x5a);
    for number in numbers {
        for index in 0..STREAMS {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let ticks = (now.as_micros() * 48 / 1_000) as u32;
            packet[2..4].copy_from_slice(&number.to_be_bytes());
            packet[4..8].copy_from_slice(&ticks.to_be_bytes());
            packet[8..12].copy_from_slice(&u32::from(index).to_be_bytes());
            let port = first_port + 2 * index;
            socket.send_to(&packet, ("127.0.0.1", port)).unwrap();
        }
    }
}

/// Waits until the engine takes no further calls, for this reason, or takes them again.
fn await_unwilling(link: &Link, wanted: Option<Unwilling>) {
    link.wait_health(|health| health.unwilling == wanted);
}

fn start(link: &Link, wanted: &Recording) {
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
}

/// An engine with the packet ring whose journal is on a disk that can be frozen.
fn with_journal_on_ext4(ports: (u16, u16), ring: &str) -> Option<(Engine, Mount)> {
    if !Mount::enter() || !support::enter_network() {
        return None;
    }
    let media = format!("{RING}\nring_size = \"{ring}\"");
    let mut engine = Engine::prepare(ports.0, ports.1, &media)?;
    let disk = Mount::ext4(engine.root(), "256M")?;
    let journal = format!("[journal]\ndir = \"{}/journal\"", disk.path.display());
    engine.change_settings("[journal]", &journal);
    engine.restart();
    Some((engine, disk))
}

#[test]
fn a_journal_that_stalls_leaves_packets_in_the_ring_and_loses_none() {
    let Some((engine, disk)) = with_journal_on_ext4((33_000, 33_099), "192 MiB") else {
        return;
    };
    let link = engine.connect();
    let wanted = wide(33_000);
    start(&link, &wanted);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    flood(&socket, 33_000, 0..10);
    disk.freeze();
    // More than the journal's blocks hold.
    flood(&socket, 33_000, 10..1_000);
    await_unwilling(&link, Some(Unwilling::Journal));
    // The end is said while most of it is still in the ring.
    link.send(&ToEngine::Recording(ended(&wanted)));
    disk.thaw();
    let (_, manifest) = link.wait_published(wanted.id);
    for stream in &manifest.streams {
        let counts = (stream.packets, stream.lost, stream.dropped);
        assert_eq!(counts, (1_000, 0, 0), "{stream:?}");
    }
    await_unwilling(&link, None);
    drop((engine, disk));
}

#[test]
fn what_a_full_ring_drops_is_a_gap_with_that_cause_in_every_stream() {
    let Some((engine, disk)) = with_journal_on_ext4((33_100, 33_199), "8 MiB") else {
        return;
    };
    let link = engine.connect();
    let flooded = wide(33_100);
    let beside = recording(&[33_198]);
    start(&link, &flooded);
    start(&link, &beside);
    Sender::new(33_198).send(5);
    // A steady sender, as those of a call are: what is missing is where the time is missing.
    let is_enough = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicU16::new(0));
    let (enough, round) = (is_enough.clone(), rounds.clone());
    let steady = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        while !enough.load(Ordering::Relaxed) {
            let number = round.load(Ordering::Relaxed);
            flood(&socket, 33_100, number..number + 1);
            round.store(number + 1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
        u64::from(round.load(Ordering::Relaxed))
    });
    link.wait_health(|health| health.packets > 1_000);
    disk.freeze();
    await_unwilling(&link, Some(Unwilling::Journal));
    // Several times what the ring holds, however slow the sender is.
    let before = rounds.load(Ordering::Relaxed);
    link.wait_health(|_| rounds.load(Ordering::Relaxed) > before + 400);
    disk.thaw();
    await_unwilling(&link, None);
    is_enough.store(true, Ordering::Relaxed);
    let sent = steady.join().unwrap();
    for recording in [&flooded, &beside] {
        link.send(&ToEngine::Recording(ended(recording)));
    }
    let mut by_id = std::collections::BTreeMap::new();
    while by_id.len() < 2 {
        let published = link.wait_for(|message| match message {
            FromEngine::Published(published) => Some(published.clone()),
            _ => None,
        });
        let path = Path::new(&published.folder).join("recording.json");
        let manifest = Manifest::from_json(&fs::read(path).unwrap()).unwrap();
        by_id.insert(published.id, manifest);
    }
    let manifest = &by_id[&flooded.id];
    for stream in &manifest.streams {
        let (lost, dropped) = (stream.lost, stream.dropped);
        assert_eq!(
            stream.packets + dropped + lost,
            sent,
            "all is accounted for"
        );
        // A few may be counted to the moments before the first drop and after the last.
        assert!(dropped > 50 && dropped > 9 * lost, "{dropped} and {lost}");
        let dropped = stream
            .gaps
            .iter()
            .filter(|it| it.cause == GapCause::Dropped);
        assert_eq!(dropped.map(|gap| gap.packets).sum::<u64>(), stream.dropped);
    }
    assert!(manifest.flags.contains(&"packets_dropped".to_owned()));
    // The other one lost nothing; it is told that it might have.
    let beside = &by_id[&beside.id].streams[0];
    assert_eq!((beside.packets, beside.dropped), (5, 0));
    for stream in manifest.streams.iter().chain([beside]) {
        let is_overflow = |kind: &MarkKind| matches!(kind, MarkKind::RingOverflow { .. });
        assert!(
            stream.marks.iter().any(|mark| is_overflow(&mark.kind)),
            "{:?}",
            stream.marks
        );
    }
    drop((engine, disk));
}

#[test]
fn a_full_disk_delays_what_it_concerns_and_says_so_in_the_manifest() {
    if !Mount::enter() {
        return;
    }
    let Some(mut engine) = Engine::prepare(33_200, 33_299, "") else {
        return;
    };
    let Some(small) = Mount::tmpfs(engine.root(), "8m") else {
        return;
    };
    let dir = format!("dir = \"{}/recordings\"", engine.root().display());
    let there = format!("dir = \"{}/recordings\"", small.path.display());
    engine.change_settings(&dir, &there);
    let log = engine.restart_with_log();
    let link = engine.connect();
    let wanted = recording(&[33_200]);
    start(&link, &wanted);
    let mut sender = Sender::new(33_200);
    sender.send(20);
    let filler = small.path.join("filler");
    fill(&filler);
    await_unwilling(&link, Some(Unwilling::DiskFull));
    sender.send(20);
    link.send(&ToEngine::Recording(ended(&wanted)));
    wait_until("the engine feels it", || {
        fs::read_to_string(&log)
            .unwrap()
            .contains("could not be written")
    });
    fs::remove_file(&filler).unwrap();
    let (_, manifest) = link.wait_published(wanted.id);
    assert_eq!(
        (manifest.streams[0].packets, manifest.streams[0].lost),
        (40, 0)
    );
    assert!(
        manifest.flags.contains(&"disk_trouble".to_owned()),
        "{:?}",
        manifest.flags
    );
    let warnings = &manifest.call.warnings;
    assert!(
        warnings
            .iter()
            .any(|it| it.text.contains("No space left on device")),
        "{warnings:?}"
    );
    // What comes after it is not concerned.
    await_unwilling(&link, None);
    let next = recording(&[33_202]);
    start(&link, &next);
    Sender::new(33_202).send(5);
    link.wait_health(|health| health.packets >= 45);
    link.send(&ToEngine::Recording(ended(&next)));
    let (_, manifest) = link.wait_published(next.id);
    assert_eq!(manifest.streams[0].packets, 5);
    assert_eq!(manifest.flags, Vec::<String>::new());
    drop((engine, small));
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for size in [64 * 1024, 4_096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// The disk past its critical watermark, full to this percentage with what is no recording.
fn publish_on_a_critical_disk(ports: (u16, u16), when_critical: &str) -> Option<Manifest> {
    if !Mount::enter() {
        return None;
    }
    let mut engine = Engine::prepare(ports.0, ports.1, "")?;
    let small = Mount::tmpfs(engine.root(), "32m")?;
    let dir = format!("dir = \"{}/recordings\"", engine.root().display());
    let there = format!(
        "dir = \"{}/recordings\"\nkeep_packets = \"always\"\ndisk_high_watermark = \"60 %\"\n\
         disk_critical_watermark = \"80 %\"\nwhen_critical = \"{when_critical}\"",
        small.path.display()
    );
    engine.change_settings(&dir, &there);
    let log = engine.restart_with_log();
    let link = engine.connect();
    let wanted = recording(&[ports.0]);
    start(&link, &wanted);
    Sender::new(ports.0).send(50);
    link.wait_health(|health| health.packets >= 50);
    fs::write(small.path.join("filler"), vec![1; 28 * 1024 * 1024]).unwrap();
    wait_until("the disk is seen to be critical", || {
        fs::read_to_string(&log).unwrap().contains("critical")
    });
    // Neither policy takes new calls.
    await_unwilling(&link, Some(Unwilling::DiskFull));
    let next = recording(&[ports.0 + 2]);
    link.send(&ToEngine::Recording(next.clone()));
    link.wait_for(|message| match message {
        FromEngine::Refused { recording, .. } => (*recording == next.id).then_some(()),
        _ => None,
    });
    link.send(&ToEngine::Recording(ended(&wanted)));
    let (folder, manifest) = link.wait_published(wanted.id);
    let stream = &manifest.streams[0];
    assert_eq!((stream.packets, stream.lost), (50, 0), "{stream:?}");
    let keeps_packets = manifest.files.iter().any(|it| it.name == "streams/1.track");
    assert_eq!(keeps_packets, folder.join("streams/1.track").exists());
    drop((engine, small));
    Some(manifest)
}

#[test]
fn past_the_critical_watermark_stop_new_keeps_all_of_what_runs() {
    let Some(manifest) = publish_on_a_critical_disk((33_300, 33_399), "stop-new") else {
        return;
    };
    assert_eq!(manifest.flags, Vec::<String>::new());
    assert!(manifest.files.iter().any(|it| it.name == "streams/1.track"));
}

#[test]
fn past_the_critical_watermark_packets_may_go_first_and_the_manifest_says_so() {
    let Some(manifest) = publish_on_a_critical_disk((33_400, 33_499), "drop-packets-first") else {
        return;
    };
    assert_eq!(manifest.flags, ["packets_not_kept"]);
    assert!(!manifest.files.iter().any(|it| it.name == "streams/1.track"));
}

#[test]
fn a_disk_that_fails_is_tried_again_and_the_manifest_says_so() {
    if !Mount::enter() {
        return;
    }
    let Some(mut engine) = Engine::prepare(33_500, 33_599, "") else {
        return;
    };
    let Some(disk) = Mount::broken(engine.root(), "20m") else {
        return;
    };
    let dir = format!("dir = \"{}/recordings\"", engine.root().display());
    let there = format!("dir = \"{}/recordings\"", disk.path.display());
    engine.change_settings(&dir, &there);
    let log = engine.restart_with_log();
    let link = engine.connect();
    let wanted = recording(&[33_500]);
    start(&link, &wanted);
    let mut sender = Sender::new(33_500);
    sender.send(20);
    // Takes what room there is behind the disk.
    let _ = fs::write(disk.path.join("filler"), vec![1; 64 * 1024 * 1024]);
    sender.send(20);
    wait_until("the engine feels it", || {
        fs::read_to_string(&log).unwrap().contains("Input/output")
    });
    sender.send(20);
    Mount::heal(engine.root());
    link.send(&ToEngine::Recording(ended(&wanted)));
    let (folder, manifest) = link.wait_published(wanted.id);
    let stream = &manifest.streams[0];
    assert_eq!((stream.packets, stream.lost), (60, 0), "{stream:?}");
    let samples = support::channel(&folder, 0);
    assert_eq!(support::count_in_place(&samples, 0..60), 60);
    assert_eq!(manifest.flags, ["disk_trouble", "warnings"]);
    let warnings = &manifest.call.warnings;
    assert!(
        warnings.iter().any(|it| it.text.contains("Input/output")),
        "{warnings:?}"
    );
    drop((engine, disk));
}
