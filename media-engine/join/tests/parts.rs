//! Folders of parts, as nodes publish them, and what is joined of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use holdfast_join::{JoinError, Joined, gather, gather_near, join};
use holdfast_manifest::{
    Channel, Continues, EndReason, FILE_NAME, FORMAT, JOINED, Manifest, MetadataDocument,
    PartCause, SsrcSeen, Stream, folder_name,
};
use holdfast_track::wav::{SampleFormat, WavHeader};
use holdfast_units::{RecordingId, StreamId, WallTime};
use sha2::{Digest, Sha256};

const BEGIN: u64 = 1_795_342_203_000_000_000;

fn id() -> RecordingId {
    RecordingId::from_bytes([7; 16])
}

/// What a node recorded: two channels whose octets are a function of part, channel and place.
struct Recorded {
    number: u32,
    from_ms: u64,
    length_ms: u64,
    format: SampleFormat,
    end_reason: EndReason,
    cause: Option<PartCause>,
}

impl Recorded {
    const fn new(number: u32, from_ms: u64, length_ms: u64) -> Self {
        Self {
            number,
            from_ms,
            length_ms,
            format: SampleFormat::MuLaw,
            end_reason: EndReason::Bye,
            cause: None,
        }
    }

    /// One octet of a channel.
    fn octet(&self, channel: u64, frame: u64) -> u8 {
        (frame * 7 + channel * 31 + u64::from(self.number) * 101) as u8
    }

    fn samples(&self) -> Vec<u8> {
        let size = u64::from(self.format.sample_size());
        (0..self.length_ms * 8)
            .flat_map(|frame| {
                (0..2 * size)
                    .map(move |octet| self.octet(octet / size, frame * size + octet % size))
            })
            .collect()
    }

    /// Publishes it below `dir` as this part of the folder.
    fn publish(&self, dir: &Path, node: &str, part: u32) -> PathBuf {
        let folder = dir.join("2026/11/22").join(folder_name(id(), part));
        let header = WavHeader {
            format: self.format,
            channels: 2,
            sample_rate: 8_000,
            frames: self.length_ms * 8,
        };
        let audio = [header.encode(), self.samples()].concat();
        let xml = format!("<recording>{}</recording>", self.number).into_bytes();
        let files = [("audio.wav", audio), ("metadata/0001.xml", xml)];
        let started = WallTime(BEGIN + self.from_ms * 1_000_000);
        let mut manifest = Manifest {
            format: FORMAT,
            id: id(),
            part,
            state_sha256: String::new(),
            node: node.to_owned(),
            software_version: "0.1.0".to_owned(),
            started,
            ended: WallTime(started.0 + self.length_ms * 1_000_000),
            end_reason: self.end_reason,
            duration_ms: self.length_ms,
            call: holdfast_manifest::Call::default(),
            streams: Vec::new(),
            files: Vec::new(),
            parts: Vec::new(),
            flags: Vec::new(),
        };
        manifest.call.sip.call_id = format!("call-{}", self.number);
        for channel in 0..2 {
            manifest.call.channels.push(Channel {
                channel,
                participant: Some(format!("p{channel}")),
                labels: vec![(channel + 1).to_string()],
            });
            let number = u32::from(channel) + 1;
            let mut stream = Stream::new(number, StreamId(u64::from(number)));
            (stream.channel, stream.rendered, stream.packets) = (Some(channel), true, 10);
            stream.ssrcs.push(SsrcSeen {
                ssrc: number,
                cname: None,
                first_seen: started,
                last_seen: WallTime(started.0 + self.length_ms * 1_000_000),
                packets: 10,
            });
            manifest.streams.push(stream);
        }
        manifest.call.continues = self.cause.map(|cause| Continues {
            folder: None,
            node: None,
            ended: None,
            gap_ms: None,
            cause,
        });
        for (name, content) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &content).unwrap();
            manifest.files.push(holdfast_manifest::File {
                name: name.to_owned(),
                bytes: content.len() as u64,
                sha256: hash(&content),
            });
        }
        manifest.call.metadata.push(MetadataDocument {
            file: "metadata/0001.xml".to_owned(),
            sha256: manifest.files[1].sha256.clone(),
            ..MetadataDocument::default()
        });
        fs::write(folder.join(FILE_NAME), manifest.to_json()).unwrap();
        folder
    }
}

fn hash(octets: &[u8]) -> String {
    let digest = Sha256::digest(octets);
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The samples of what was joined.
fn audio(joined: &Joined) -> (WavHeader, Vec<u8>) {
    let octets = fs::read(joined.folder.join("audio.wav")).unwrap();
    let header = WavHeader::read(&mut octets.as_slice()).unwrap();
    let samples = &octets[header.data_offset() as usize..];
    assert_eq!(samples.len() as u64, header.data_size());
    (header, samples.to_vec())
}

fn all_files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(all_files(&path));
        } else {
            files.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

/// Two nodes, each with a folder of its own: one timeline, octet for octet, silence between.
#[test]
fn parts_of_two_nodes_are_one_recording_with_the_gap_between() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = Recorded::new(1, 0, 3_000);
    first.end_reason = EndReason::EngineRecovered;
    let mut second = Recorded::new(2, 4_250, 2_000);
    second.cause = Some(PartCause::NodeLost);
    // Each is the first part of its node's folder.
    first.publish(a.path(), "recorder-1", 1);
    second.publish(b.path(), "recorder-2", 1);
    let before = [all_files(a.path()), all_files(b.path())];

    let dirs = [a.path().to_owned(), b.path().to_owned()];
    let joined = join(a.path(), gather(&dirs, id()).unwrap(), "0.1.0").unwrap();
    assert!(
        joined
            .folder
            .ends_with(format!("2026/11/22/{}.joined", id()))
    );
    let (header, samples) = audio(&joined);
    assert_eq!((header.format, header.channels), (SampleFormat::MuLaw, 2));
    let silence = vec![0xff; 1_250 * 8 * 2];
    let wanted = [first.samples(), silence, second.samples()].concat();
    assert!(samples == wanted, "octet for octet");

    let manifest = &joined.manifest;
    assert_eq!((manifest.part, manifest.duration_ms), (JOINED, 6_250));
    assert_eq!(manifest.end_reason, EndReason::Bye);
    let parts = &manifest.parts;
    let places: Vec<_> = parts.iter().map(|it| (it.from_ms, it.to_ms)).collect();
    assert_eq!(places, [(0, 3_000), (4_250, 6_250)]);
    assert_eq!(parts[0].continues, None);
    let gap = parts[1].continues.as_ref().unwrap();
    assert_eq!((gap.gap_ms, gap.cause), (Some(1_250), PartCause::NodeLost));
    assert_eq!(gap.node.as_deref(), Some("recorder-1"));
    assert_eq!(gap.ended, Some(parts[0].ended));
    assert_eq!(parts[1].streams, [3, 4]);
    assert_eq!(manifest.streams.len(), 4);
    assert_eq!(manifest.call.channels.len(), 2);
    assert_eq!(manifest.call.sip.call_id, "call-2");
    assert_eq!(manifest.call.formers[0].sip.call_id, "call-1");
    let documents: Vec<_> = manifest.call.metadata.iter().map(|it| &it.file).collect();
    assert_eq!(documents, ["metadata/1/0001.xml", "metadata/2/0001.xml"]);
    for file in &manifest.files {
        let content = fs::read(joined.folder.join(&file.name)).unwrap();
        assert_eq!(
            (file.bytes, &file.sha256),
            (content.len() as u64, &hash(&content))
        );
    }
    let is_part = |(path, _): &(PathBuf, Vec<u8>)| !path.starts_with(&joined.folder);
    let now: Vec<_> = all_files(a.path()).into_iter().filter(is_part).collect();
    assert!(
        before == [now, all_files(b.path())],
        "the parts are as they were"
    );
}

#[test]
fn the_same_parts_are_joined_once_and_a_further_one_makes_it_anew() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = [dir.path().to_owned()];
    let again = || join(dir.path(), gather(&dirs, id()).unwrap(), "0.1.0").unwrap();
    Recorded::new(1, 0, 1_000).publish(dir.path(), "n", 1);
    Recorded::new(2, 2_000, 1_000).publish(dir.path(), "n", 2);
    let first = again();
    assert!(!first.was_there && again().was_there);
    assert_eq!(
        first.manifest.parts[1].continues.as_ref().unwrap().cause,
        PartCause::Restart
    );
    Recorded::new(3, 4_000, 1_000).publish(dir.path(), "n", 3);
    let second = again();
    assert!(!second.was_there);
    assert_eq!(
        (second.manifest.parts.len(), audio(&second).0.frames),
        (3, 40_000)
    );
    assert_eq!(second.folder, first.folder);
    let names = fs::read_dir(dir.path().join("2026/11/22")).unwrap();
    assert_eq!(names.count(), 4, "nothing else is left beside the parts");
    let near = gather_near(dir.path(), id(), WallTime(BEGIN)).unwrap();
    assert_eq!(near.len(), 3, "what was joined is no part");
}

/// A copy of a part in another folder is no further part.
#[test]
fn one_part_alone_is_not_joined() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&a, &b] {
        Recorded::new(1, 0, 1_000).publish(dir.path(), "n", 1);
    }
    let dirs = [a.path().to_owned(), b.path().to_owned()];
    let refused = join(a.path(), gather(&dirs, id()).unwrap(), "0.1.0");
    assert!(matches!(refused, Err(JoinError::TooFew { found: 1, .. })));
}

#[test]
fn a_part_that_is_not_as_recorded_is_not_joined() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = [dir.path().to_owned()];
    Recorded::new(1, 0, 1_000).publish(dir.path(), "n", 1);
    let folder = Recorded::new(2, 2_000, 1_000).publish(dir.path(), "n", 2);
    let path = folder.join("audio.wav");
    let mut octets = fs::read(&path).unwrap();
    octets[5_000] ^= 1;
    fs::write(&path, octets).unwrap();
    let refused = join(dir.path(), gather(&dirs, id()).unwrap(), "0.1.0");
    assert!(matches!(refused, Err(JoinError::Damaged { path: it }) if it == path));
    // A name that leads out of the folder is none.
    let json = fs::read_to_string(folder.join(FILE_NAME)).unwrap();
    let json = json.replace("metadata/0001.xml", "metadata/../../x");
    fs::write(folder.join(FILE_NAME), json).unwrap();
    fs::write(folder.join("audio.wav"), "").unwrap();
    let refused = join(dir.path(), gather(&dirs, id()).unwrap(), "0.1.0");
    assert!(matches!(refused, Err(JoinError::Damaged { .. })));
    assert!(
        !dir.path()
            .join("2026/11/22")
            .join(folder_name(id(), JOINED))
            .exists()
    );
}

#[test]
fn parts_of_different_forms_become_linear() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = [dir.path().to_owned()];
    let laws = Recorded::new(1, 0, 100);
    laws.publish(dir.path(), "n", 1);
    let mut linear = Recorded::new(2, 200, 100);
    linear.format = SampleFormat::Pcm16;
    linear.publish(dir.path(), "n", 2);
    let joined = join(dir.path(), gather(&dirs, id()).unwrap(), "0.1.0").unwrap();
    let (header, samples) = audio(&joined);
    assert_eq!(header.format, SampleFormat::Pcm16);
    assert!(joined.manifest.flags.contains(&"decoded".to_owned()));
    assert!(samples.ends_with(&linear.samples()));
    let first = holdfast_rtp::g711::ULAW_TO_LINEAR[usize::from(laws.octet(0, 0))];
    assert_eq!(samples[..2], first.to_le_bytes());
    assert_eq!(samples[100 * 8 * 4..200 * 8 * 4], vec![0; 100 * 8 * 4]);
}

/// A crash while it was joined leaves a folder beside: it is no recording, and made anew.
#[test]
fn what_a_crash_has_left_is_in_nobody_s_way() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = [dir.path().to_owned()];
    Recorded::new(1, 0, 100).publish(dir.path(), "n", 1);
    Recorded::new(2, 200, 100).publish(dir.path(), "n", 2);
    let left = dir.path().join(format!("2026/11/22/{}.joining", id()));
    fs::create_dir(&left).unwrap();
    File::create(left.join("audio.wav")).unwrap();
    assert_eq!(gather(&dirs, id()).unwrap().len(), 2);
    join(dir.path(), gather(&dirs, id()).unwrap(), "0.1.0").unwrap();
    assert!(!left.exists());
}
