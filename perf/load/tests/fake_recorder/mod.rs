//! A recorder of a few lines: answers calls, keeps what arrives, publishes WAV and manifest.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_catalogue::fingerprint;
use holdfast_load::answer::Answer;
use holdfast_load::invite::Codec;
use holdfast_load::sip::{Framer, Message, StartLine};
use holdfast_load::wav::Wav;
use holdfast_manifest::{
    Call, Channel, EndReason, File, Group, Manifest, MetadataDocument, Participant, Presence,
    Session, SipDialog, Stream,
};
use holdfast_units::{RecordingId, WallTime};
pub use render::track;
use render::{codec_of, distinct, render};

mod render;

/// What the recorder does wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flaws {
    /// Answers no INVITE before its second copy, and sends its own 200 twice.
    pub deaf_at_first: bool,
    /// Answers every INVITE with this status.
    pub refuses: Option<u16>,
    /// Forgets the n-th packet of the first leg.
    pub forgets: Option<usize>,
    /// Swaps the channels.
    pub swaps: bool,
    /// Answers with labels of its own.
    pub relabels: bool,
}

/// A running recorder; it stops when dropped.
pub struct FakeRecorder {
    pub address: SocketAddr,
    pub received: Arc<Mutex<u64>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Core {
    flaws: Flaws,
    root: PathBuf,
    received: Arc<Mutex<u64>>,
    calls: BTreeMap<String, Recording>,
    deaf_to: Vec<String>,
}

struct Recording {
    legs: Vec<Leg>,
    labels: Vec<String>,
    metadata: String,
    answer: Vec<u8>,
}

struct Leg {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

impl FakeRecorder {
    pub fn udp(root: PathBuf, flaws: Flaws) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        Self::start(address, root, flaws, move |mut core, stop| {
            let mut buffer = vec![0; 65_535];
            while !stop.load(Ordering::Relaxed) {
                let Ok((count, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                for answer in core.handle(&buffer[..count]) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        })
    }

    pub fn tcp(root: PathBuf, flaws: Flaws) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        Self::start(address, root, flaws, move |core, stop| {
            let (stream, _) = listener.accept().unwrap();
            serve_stream(stream, core, &stop);
        })
    }

    fn start(
        address: SocketAddr,
        root: PathBuf,
        flaws: Flaws,
        serve: impl FnOnce(Core, Arc<AtomicBool>) + Send + 'static,
    ) -> Self {
        let (received, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let core = Core {
            flaws,
            root,
            received: Arc::clone(&received),
            calls: BTreeMap::new(),
            deaf_to: Vec::new(),
        };
        let stopped = Arc::clone(&stop);
        let thread = Some(std::thread::spawn(move || serve(core, stopped)));
        Self {
            address,
            received,
            stop,
            thread,
        }
    }
}

impl Drop for FakeRecorder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the recorder itself failed"
            );
        }
    }
}

fn serve_stream(mut stream: TcpStream, mut core: Core, stop: &AtomicBool) {
    stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let (mut framer, mut buffer) = (Framer::default(), vec![0; 4_096]);
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => framer.feed(&buffer[..count]),
            Err(_) => continue,
        }
        while let Some(message) = framer.poll().unwrap() {
            for answer in core.handle(&message) {
                stream.write_all(&answer).unwrap();
            }
        }
    }
}

impl Core {
    fn handle(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let message = Message::parse(bytes).expect("the tool sends SIP");
        let StartLine::Request { method, .. } = &message.start else {
            return Vec::new();
        };
        let call_id = message.header("Call-ID").unwrap().to_owned();
        match method.as_str() {
            "INVITE" => self.invite(&message, call_id),
            "BYE" => {
                if let Some(recording) = self.calls.remove(&call_id) {
                    self.publish(&call_id, recording);
                }
                vec![reply(&message, "200 OK", &[])]
            }
            "OPTIONS" => vec![reply(&message, "200 OK", &[])],
            _ => Vec::new(),
        }
    }

    fn invite(&mut self, message: &Message, call_id: String) -> Vec<Vec<u8>> {
        assert_eq!(message.header("Require"), Some("siprec"));
        if let Some(status) = self.flaws.refuses {
            return vec![reply(message, &format!("{status} No"), &[])];
        }
        if self.flaws.deaf_at_first && !self.deaf_to.contains(&call_id) {
            self.deaf_to.push(call_id);
            return Vec::new();
        }
        let recording = self
            .calls
            .entry(call_id)
            .or_insert_with(|| open(message, &self.received, self.flaws));
        let ok = reply(message, "200 OK", &recording.answer);
        let mut answers = vec![reply(message, "100 Trying", &[]), ok.clone()];
        if self.flaws.deaf_at_first {
            answers.push(ok);
        }
        answers
    }

    fn publish(&self, call_id: &str, recording: Recording) {
        let mut streams = Vec::new();
        let (mut channels, mut tracks) = (Vec::new(), Vec::new());
        let mut codec = Codec::Pcmu;
        for (index, (leg, label)) in recording.legs.into_iter().zip(recording.labels).enumerate() {
            leg.stop.store(true, Ordering::Relaxed);
            let mut packets = leg.thread.join().unwrap();
            if packets.is_empty() {
                return;
            }
            if let Some(nth) = self.flaws.forgets.filter(|_| index == 0) {
                packets.remove(nth);
            }
            codec = codec_of(&packets[0]);
            let (stream, channel) = render(index, label, &packets, codec);
            let name = format!("streams/{}.track", stream.number);
            tracks.push((name, track(&distinct(&packets))));
            streams.push(stream);
            channels.push(channel);
        }
        if self.flaws.swaps {
            channels.reverse();
        }
        let length = channels.iter().map(Vec::len).max().unwrap();
        for channel in &mut channels {
            channel.resize(length + 13, codec.silence());
        }
        let wav = Wav {
            codec,
            rate: 8_000,
            channels,
        };
        let mut contents = vec![(DOCUMENT.to_owned(), recording.metadata.clone().into_bytes())];
        if codec.is_heard() {
            contents.insert(0, ("audio.wav".to_owned(), wav.encode()));
        } else {
            contents.extend(tracks);
        }
        let mut id = [0_u8; 16];
        for (at, byte) in call_id.bytes().enumerate() {
            id[at % 16] = byte.wrapping_add(id[at % 16].wrapping_mul(31));
        }
        let id = RecordingId::from_bytes(id);
        let folder = self.root.join("2026/01/02").join(id.to_string());
        for within in ["metadata", "streams"] {
            fs::create_dir_all(folder.join(within)).unwrap();
        }
        let write = |(name, octets): (String, Vec<u8>)| {
            fs::write(folder.join(&name), &octets).unwrap();
            let (bytes, sha256) = fingerprint(&octets[..]).unwrap();
            File {
                name,
                bytes,
                sha256,
            }
        };
        let files: Vec<File> = contents.into_iter().map(write).collect();
        let document = files.iter().find(|file| file.name == DOCUMENT).unwrap();
        let call = describe(call_id, &recording.metadata, document);
        let json = manifest(id, call, streams, files).to_json();
        let unfinished = folder.join(".recording.json");
        fs::write(&unfinished, json).unwrap();
        fs::rename(unfinished, folder.join("recording.json")).unwrap();
    }
}

/// Opens two ports and writes the answer.
fn open(message: &Message, received: &Arc<Mutex<u64>>, flaws: Flaws) -> Recording {
    let body = String::from_utf8(message.body.clone()).unwrap();
    let sdp = &body[body.find("v=0").unwrap()..];
    let (sdp, _) = sdp.split_once("\r\n--").unwrap();
    let offer = Answer::parse(sdp.as_bytes()).unwrap();
    let mut answer =
        "v=0\r\no=srs 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n".to_owned();
    let (mut legs, mut labels) = (Vec::new(), Vec::new());
    for line in &offer.lines {
        assert_eq!(line.direction, "sendonly");
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let label = line.label.clone().unwrap();
        let shown = if flaws.relabels { "x" } else { &label };
        answer.push_str(&format!(
            "m=audio {port} RTP/AVP 0 101\r\na=label:{shown}\r\na=recvonly\r\n"
        ));
        legs.push(Leg::listen(socket, line.rtp.unwrap(), Arc::clone(received)));
        labels.push(label);
    }
    let (_, metadata) = body.split_once("recording-session\r\n\r\n").unwrap();
    let (metadata, _) = metadata.split_once("\r\n--").unwrap();
    Recording {
        legs,
        labels,
        metadata: metadata.to_owned(),
        answer: answer.into_bytes(),
    }
}

impl Leg {
    fn listen(socket: UdpSocket, offered: SocketAddr, received: Arc<Mutex<u64>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        socket
            .set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let thread = std::thread::spawn(move || {
            let (mut packets, mut buffer) = (Vec::new(), [0; 1_500]);
            // An empty receiver report (RFC 3550 section 6.4.2) to the offered RTCP port.
            let rtcp = SocketAddr::new(offered.ip(), offered.port() + 1);
            socket
                .send_to(&[0x80, 201, 0, 1, 0, 0, 0, 7], rtcp)
                .unwrap();
            while !stopped.load(Ordering::Relaxed) {
                let Ok((count, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                assert_eq!(from, offered, "RTP comes from the port the SDP offers");
                *received.lock().unwrap() += 1;
                packets.push(buffer[..count].to_vec());
            }
            packets
        });
        Self { stop, thread }
    }
}

/// What the metadata of the tool says, in the words of a manifest.
fn describe(call_id: &str, metadata: &str, file: &File) -> Call {
    let session = one(metadata, "<session session_id=\"", "\"");
    let group = one(metadata, "<group group_id=\"", "\"");
    let sip_session = one(metadata, "<sipSessionID>", "</sipSessionID>");
    let ids = all(metadata, "<participant participant_id=\"", "\"");
    let names = all(metadata, "<name xml:lang=\"en\">", "</name>");
    let aors = all(metadata, "<nameID aor=\"", "\"");
    let labels = all(metadata, "<label>", "</label>");
    let mut call = Call {
        sip: SipDialog {
            call_id: call_id.to_owned(),
            ..Default::default()
        },
        groups: vec![Group {
            id: group.clone(),
            ..Default::default()
        }],
        sessions: vec![Session {
            id: session.clone(),
            sip_session_ids: vec![sip_session],
            group: Some(group),
            ..Default::default()
        }],
        metadata: vec![MetadataDocument {
            file: file.name.clone(),
            sha256: file.sha256.clone(),
            carried_by: "INVITE".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    for (index, id) in ids.into_iter().enumerate() {
        let label = labels[index].clone();
        let [joined, sent] =
            [(Some(session.clone()), None), (None, Some(label.clone()))].map(|(session, label)| {
                Presence {
                    session,
                    label,
                    ..Default::default()
                }
            });
        call.channels.push(Channel {
            channel: index as u16,
            participant: Some(id.clone()),
            labels: vec![label],
        });
        call.participants.push(Participant {
            id,
            names: vec![names[index].clone()],
            aors: vec![aors[index].clone()],
            intervals: vec![joined, sent],
        });
    }
    call
}

/// All that stands between these two.
fn all(text: &str, before: &str, behind: &str) -> Vec<String> {
    let found = text.split(before).skip(1);
    let found = found.map(|rest| rest.split_once(behind).unwrap().0.to_owned());
    found.collect()
}

fn one(text: &str, before: &str, behind: &str) -> String {
    all(text, before, behind).remove(0)
}

fn manifest(id: RecordingId, call: Call, streams: Vec<Stream>, files: Vec<File>) -> Manifest {
    Manifest {
        format: holdfast_manifest::FORMAT,
        id,
        part: 1,
        state_sha256: String::new(),
        node: "fake".to_owned(),
        software_version: "0".to_owned(),
        started: WallTime(0),
        ended: WallTime(0),
        end_reason: EndReason::Bye,
        duration_ms: 0,
        call,
        streams,
        files,
        parts: Vec::new(),
        flags: Vec::new(),
    }
}

fn reply(request: &Message, status: &str, body: &[u8]) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        text.push_str(&format!("{name}: {}\r\n", request.header(name).unwrap()));
    }
    text.push_str(&format!("To: {}", request.header("To").unwrap()));
    if request.tag("To").is_none() {
        text.push_str(";tag=fake");
    }
    text.push_str("\r\nContact: <sip:fake@127.0.0.1>;+sip.srs\r\n");
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Where the metadata is kept.
pub const DOCUMENT: &str = "metadata/0001.xml";
