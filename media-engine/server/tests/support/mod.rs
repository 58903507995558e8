//! A media engine of the test's own, and the signaling side that speaks to it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdfast_control::{
    Document, FromEngine, Health, Life, Recording, Stream, StreamMode, ToEngine, decode, encode,
};
use holdfast_manifest::{Codec, EndReason, Manifest};
use holdfast_sys::seqpacket::Connection;
use holdfast_units::{RecordingId, StreamId, WallTime};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

/// Longest that anything is waited for: only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A media engine in a folder of its own.
pub struct Engine {
    dir: TempDir,
    child: Option<Child>,
}

/// Whether this test binary tests the packet ring: then its name says so.
pub fn is_ring() -> bool {
    env!("CARGO_CRATE_NAME").ends_with("_ring")
}

/// Moves this thread, and what it starts, into a network of its own; `false`, and a word about it,
/// where it may not. Rings and rules then touch nothing but the test.
pub fn enter_network() -> bool {
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        eprintln!("SKIPPED: the packet ring is tested in a network namespace: {error}");
        return false;
    }
    let ip = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    if !ip.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no ip (apt-get install iproute2)");
        return false;
    }
    true
}

impl Engine {
    /// Starts one with these ports. Each test has a range of its own. `None`, and a word about it,
    /// where this process may not.
    pub fn start(first_port: u16, last_port: u16) -> Option<Self> {
        Self::start_with(first_port, last_port, "")
    }

    /// The same with further lines of the `[media]` table.
    pub fn start_with(first_port: u16, last_port: u16, media: &str) -> Option<Self> {
        let mut engine = Self::prepare(first_port, last_port, media)?;
        engine.restart();
        Some(engine)
    }

    /// All that one needs to start.
    pub fn prepare(first_port: u16, last_port: u16, media: &str) -> Option<Self> {
        if is_ring() && !enter_network() {
            return None;
        }
        let ingest = match (media.contains("ingest ="), is_ring()) {
            (true, _) => "",
            (false, true) => "ingest = \"packet-ring\"\nring_size = \"16 MiB\"",
            (false, false) => "ingest = \"udp\"",
        };
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().display();
        let settings = format!(
            "[node]\nstate_dir = \"{root}/state\"\ncontrol_socket = \"{root}/control.sock\"\n\
             [media]\n{ingest}\nports = \"{first_port}-{last_port}\"\n{media}\n\
             [recordings]\ndir = \"{root}/recordings\"\n\
             [journal]\nsegment_size = \"8 MiB\"\n"
        );
        std::fs::write(dir.path().join("holdfast.toml"), settings).expect("settings are written");
        Some(Self { dir, child: None })
    }

    /// Starts the process again.
    pub fn restart(&mut self) {
        self.start_behind(&[]).expect("the engine starts");
    }

    /// The same behind the words of another command.
    pub fn start_behind(&mut self, before: &[&str]) -> std::io::Result<()> {
        self.child = Some(self.command(before).spawn()?);
        Ok(())
    }

    /// The process, behind the words of another command.
    pub fn command(&self, before: &[&str]) -> Command {
        let engine = env!("CARGO_BIN_EXE_holdfast-media");
        let config = self.dir.path().join("holdfast.toml");
        let mut words = before.iter().copied().chain([engine, "--config"]);
        let mut command = Command::new(words.next().expect("the engine"));
        command.args(words).arg(config).stdin(Stdio::null());
        command
    }

    /// Kills it as the kernel does: nothing of it runs any more when this returns.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the engine runs");
        child.kill().expect("SIGKILL");
        child.wait().expect("it is gone");
    }

    /// Ends it as an operator does, and answers whether it ended well.
    pub fn stop(&mut self) -> bool {
        let mut child = self.child.take().expect("the engine runs");
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).expect("SIGTERM");
        child.wait().expect("it is gone").success()
    }

    /// Connects as signaling does. What the engine says first is left to be read.
    pub fn connect(&self) -> Link {
        let path = self.control_socket();
        let until = Instant::now() + PATIENCE;
        loop {
            match Connection::connect(&path) {
                Ok(connection) => {
                    let link = Link {
                        connection,
                        health: std::cell::Cell::default(),
                    };
                    link.send(&ToEngine::Hello { instance: 1 });
                    return link;
                }
                Err(error) => assert!(Instant::now() < until, "{}: {error}", path.display()),
            }
            std::thread::yield_now();
        }
    }

    /// Starts the process, and answers the file that it writes its log to.
    pub fn restart_with_log(&mut self) -> PathBuf {
        let path = self.dir.path().join("log");
        let log = std::fs::File::create(&path).expect("a log");
        let child = self.command(&[]).stderr(log).spawn();
        self.child = Some(child.expect("the engine starts"));
        path
    }

    /// The folder that all of it is in.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Changes its settings, for the next start.
    pub fn change_settings(&self, from: &str, to: &str) {
        let path = self.dir.path().join("holdfast.toml");
        let settings = std::fs::read_to_string(&path).expect("settings");
        assert!(settings.contains(from), "{settings}");
        std::fs::write(path, settings.replace(from, to)).expect("settings are written");
    }

    /// Where it listens for signaling.
    pub fn control_socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    /// The folder of recordings in progress.
    pub fn incoming(&self) -> PathBuf {
        self.dir.path().join("recordings/incoming")
    }

    /// Where a recording is published.
    pub fn published(&self, recording: &Recording) -> PathBuf {
        let (year, month, day) = recording.started.utc_date();
        let day = format!("recordings/{year:04}/{month:02}/{day:02}");
        self.dir.path().join(day).join(recording.id.to_string())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The control socket's other end.
pub struct Link {
    connection: Connection,
    /// As it was told last.
    health: std::cell::Cell<Health>,
}

impl Link {
    pub fn send(&self, message: &ToEngine) {
        self.connection
            .send(&encode(message).expect("it encodes"))
            .expect("it is sent");
    }

    pub fn receive(&self) -> FromEngine {
        let mut buffer = vec![0; holdfast_control::limits::MESSAGE_SIZE_MAX];
        self.connection
            .set_receive_timeout(PATIENCE)
            .expect("a time-out");
        let size = loop {
            match self.connection.receive(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result.expect("a message"),
            }
        };
        assert!(size > 0, "the engine is gone");
        let message = decode(&buffer[..size]).expect("it decodes");
        if let FromEngine::Health(health) = message {
            self.health.set(health);
        }
        message
    }

    /// Waits until the engine is so, unless it said so last.
    pub fn wait_health(&self, is_so: impl Fn(Health) -> bool) {
        if !is_so(self.health.get()) {
            self.wait_for(|_| is_so(self.health.get()).then_some(()));
        }
    }

    /// Reads until a message is what is wanted; health and the like are passed over.
    pub fn wait_for<T>(&self, mut want: impl FnMut(&FromEngine) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "the engine does not say it");
            if let Some(found) = want(&self.receive()) {
                return found;
            }
        }
    }

    pub fn wait_applied(&self, recording: RecordingId, revision: u64) {
        self.wait_for(|message| match message {
            FromEngine::Applied {
                recording: r,
                revision: n,
                refused,
            } => {
                assert!(refused.is_empty(), "{refused:?}");
                (*r == recording && *n == revision).then_some(())
            }
            FromEngine::Refused { reason, .. } => panic!("refused: {reason}"),
            _ => None,
        })
    }

    /// Waits for the recording to be published, and reads its manifest.
    pub fn wait_published(&self, recording: RecordingId) -> (PathBuf, Manifest) {
        let folder = self.wait_for(|message| match message {
            FromEngine::Published(published) if published.id == recording => {
                Some(PathBuf::from(&published.folder))
            }
            _ => None,
        });
        let json = std::fs::read(folder.join("recording.json")).expect("a manifest");
        (folder, Manifest::from_json(&json).expect("it reads"))
    }
}

/// A desired state with one PCMU stream for each port.
pub fn recording(ports: &[u16]) -> Recording {
    let started = WallTime(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_nanos() as u64,
    );
    Recording {
        id: RecordingId::from_bytes(u128::from(started.0 | u64::from(ports[0])).to_be_bytes()),
        shard: 0,
        revision: 1,
        started,
        life: Life::Active,
        streams: (0..)
            .zip(ports)
            .map(|(index, &port)| stream(started, index, port))
            .collect(),
    }
}

pub fn stream(started: WallTime, index: u16, port: u16) -> Stream {
    let pcmu = Codec {
        name: "PCMU".into(),
        clock_rate: 8_000,
        channels: 1,
        fmtp: None,
    };
    Stream {
        id: StreamId(started.0 + u64::from(index)),
        number: index + 1,
        media_line: index,
        media: "audio".into(),
        label: Some((index + 1).to_string()),
        channel: index,
        address: Ipv4Addr::LOCALHOST.into(),
        rtp_port: port,
        rtcp_port: port + 1,
        mode: StreamMode::Record,
        codecs: [(0, pcmu)].into(),
        peer_rtp: None,
        peer_rtcp: None,
        signaling_peer: Some(Ipv4Addr::LOCALHOST.into()),
        cname: "test".into(),
        send_reports: true,
        srtp: None,
    }
}

/// The next revision of it: ended.
pub fn ended(recording: &Recording) -> Recording {
    let at = WallTime(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_nanos() as u64,
    );
    let life = Life::Ended {
        reason: EndReason::Bye,
        at,
    };
    Recording {
        revision: recording.revision + 1,
        life,
        ..recording.clone()
    }
}

pub fn document(recording: &Recording, name: &str, bytes: &[u8]) -> ToEngine {
    ToEngine::Document(Document {
        recording: recording.id,
        shard: recording.shard,
        name: name.to_owned().try_into().expect("a name"),
        offset: 0,
        last: true,
        bytes: bytes.to_vec(),
    })
}

/// A sender of PCMU whose packets say which they are.
pub struct Sender {
    socket: UdpSocket,
    to: SocketAddr,
    ssrc: u32,
    next: u16,
}

impl Sender {
    pub fn new(port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let to = (Ipv4Addr::LOCALHOST, port).into();
        Self {
            socket,
            to,
            ssrc: u32::from(port),
            next: 0,
        }
    }

    /// Sends so many packets of 20 ms, without waiting in between.
    pub fn send(&mut self, count: u16) {
        for _ in 0..count {
            let packet = packet(self.ssrc, self.next);
            // Refused while nobody listens: lost like any other.
            let _ = self.socket.send_to(&packet, self.to);
            self.next += 1;
        }
    }

    /// Packets sent so far.
    pub fn sent(&self) -> u16 {
        self.next
    }
}

/// Packet `index` of a stream: its payload repeats its number.
pub fn packet(ssrc: u32, index: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(index.to_be_bytes());
    packet.extend((u32::from(index) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload(index));
    packet
}

/// 160 octets that no silence has.
pub fn payload(index: u16) -> [u8; 160] {
    std::array::from_fn(|at| {
        if at % 2 == 0 {
            index as u8 | 1
        } else {
            (index >> 8) as u8 | 2
        }
    })
}

/// One channel of a mu-law WAV file.
pub fn channel(folder: &Path, channel: usize) -> Vec<u8> {
    let wav = std::fs::read(folder.join("audio.wav")).expect("audio");
    let mut rest = &wav[..];
    let header = holdfast_track::wav::WavHeader::read(&mut rest).expect("a WAV header");
    let channels = usize::from(header.channels);
    let samples = &rest[..header.frames as usize * channels];
    samples
        .iter()
        .skip(channel)
        .step_by(channels)
        .copied()
        .collect()
}

/// How many packets of these are in a channel, each in its place after the first.
pub fn count_in_place(samples: &[u8], indexes: std::ops::Range<u16>) -> usize {
    let first = payload(indexes.start);
    let begin = samples
        .windows(160)
        .position(|window| window == first)
        .expect("the first packet");
    let start = indexes.start;
    let is_there = |index: &u16| {
        let at = begin + usize::from(index - start) * 160;
        samples.get(at..at + 160) == Some(&payload(*index)[..])
    };
    indexes.filter(is_there).count()
}
