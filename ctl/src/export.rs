//! `holdfast recordings export`: the kept packets of a recording as pcapng.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use holdfast_seal::NodeKeys;
use holdfast_track::pcapng::{self, ExportError, ExportReport, PcapNgWriter, Rewrite};
use serde_json::json;

use crate::Verdict;
use crate::ciphertext::Ciphertext;
use crate::error::CommandError;
use crate::progress::{Counted, Progress, Work};
use holdfast_catalogue::{Entry, read_error};

/// Packets as they came, and where their keys go.
pub(crate) struct Wanted<'a> {
    /// Gets them in clear.
    pub(crate) keys_file: &'a Path,
    /// What they are sealed with.
    pub(crate) node_keys: &'a NodeKeys,
}

/// Writes the packets of one recording, or of one of its streams, to a new file.
pub(crate) fn export(
    out: &mut dyn Write,
    entry: &Entry,
    pcap: &Path,
    stream: Option<u32>,
    json: bool,
    ciphertext: Option<Wanted<'_>>,
) -> Result<Verdict, CommandError> {
    let tracks = tracks(entry, stream)?;
    if tracks.is_empty() {
        return Err(CommandError::NoPackets {
            id: entry.id.to_string(),
        });
    }
    let progress = Progress::begin(Work {
        doing: "exporting",
        octets_of: Some(tracks.iter().map(size).sum()),
        ..Work::default()
    });
    let mut inputs = Vec::new();
    for path in &tracks {
        let inner = File::open(path).map_err(|error| read_error(path, error))?;
        let progress = &progress;
        inputs.push(BufReader::new(Counted { inner, progress }));
    }
    let file = create(pcap, 0o666)?;
    let written = match &ciphertext {
        None => write_packets(inputs, file, None).map_err(|error| export_error(entry, pcap, error)),
        Some(wanted) => write_ciphertext(entry, inputs, file, pcap, wanted),
    };
    if written.is_err() {
        // Half an export is none; what went wrong is what is told.
        let _ = fs::remove_file(pcap);
    }
    drop(progress);
    let report = written?;
    if json {
        let document = json!({
            "id": entry.id.to_string(),
            "file": pcap,
            "tracks": tracks,
            "packets": report.packets,
            "without_addresses": report.without_addresses,
            "left_out": report.left_out,
            "keys_in_clear": ciphertext.as_ref().map(|it| it.keys_file),
            "too_long": report.too_long,
            "damaged": report.damaged,
        });
        writeln!(out, "{document:#}")?;
    } else {
        let (packets, count) = (report.packets, tracks.len());
        writeln!(
            out,
            "{packets} packets of {count} streams in {}",
            pcap.display()
        )?;
        if report.left_out > 0 {
            let left_out = report.left_out;
            writeln!(
                out,
                "{left_out} packets of RTCP were left out: how they came is not kept"
            )?;
        }
        if report.damaged > 0 {
            writeln!(out, "{} damaged places were passed over", report.damaged)?;
        }
    }
    if let Some(wanted) = &ciphertext {
        eprintln!(
            "holdfast: KEYS IN CLEAR in {}: whoever has that file reads these calls; delete it when done",
            wanted.keys_file.display()
        );
    }
    Ok(if report.damaged == 0 {
        Verdict::Well
    } else {
        Verdict::Wrong
    })
}

pub(crate) fn create(path: &Path, mode: u32) -> Result<File, CommandError> {
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(CommandError::FileExists {
                path: path.to_path_buf(),
            })
        }
        Err(source) => Err(write_error(path, source)),
    }
}

fn export_error(entry: &Entry, pcap: &Path, error: ExportError) -> CommandError {
    match error {
        ExportError::Write(source) => write_error(pcap, source),
        ExportError::Rewrite(source) => CommandError::Ciphertext(source),
        ExportError::Track(source) => CommandError::Track {
            path: entry.path.join(STREAMS),
            source,
        },
    }
}

fn write_ciphertext(
    entry: &Entry,
    inputs: Vec<BufReader<Counted<'_, File>>>,
    file: File,
    pcap: &Path,
    wanted: &Wanted<'_>,
) -> Result<ExportReport, CommandError> {
    let mut ciphertext = Ciphertext::new(wanted.node_keys);
    let report = write_packets(inputs, file, Some(&mut ciphertext))
        .map_err(|error| export_error(entry, pcap, error))?;
    let id = entry.id.to_string();
    if ciphertext.encrypted == 0 {
        return Err(CommandError::NotEncrypted { id });
    }
    let mut file = create(wanted.keys_file, 0o600)?;
    ciphertext.write_keys(&id, &mut file).map_err(|source| {
        let _ = fs::remove_file(wanted.keys_file);
        write_error(wanted.keys_file, source)
    })?;
    Ok(report)
}

fn write_packets(
    inputs: Vec<BufReader<Counted<'_, File>>>,
    file: File,
    rewrite: Option<&mut dyn Rewrite>,
) -> Result<ExportReport, ExportError> {
    let application = concat!("holdfast ", env!("CARGO_PKG_VERSION"));
    let mut writer = PcapNgWriter::new(BufWriter::new(file), application)?;
    let report = match rewrite {
        None => pcapng::export(inputs, &mut writer)?,
        Some(rewrite) => pcapng::export_rewritten(inputs, &mut writer, rewrite)?,
    };
    writer.finish()?;
    Ok(report)
}

/// The track files that were kept, in the order of their numbers.
fn tracks(entry: &Entry, stream: Option<u32>) -> Result<Vec<PathBuf>, CommandError> {
    let folder = entry.path.join(STREAMS);
    let files = match fs::read_dir(&folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(read_error(&folder, source).into()),
    };
    let mut tracks: Vec<(u32, PathBuf)> = Vec::new();
    for file in files {
        let path = file.map_err(|source| read_error(&folder, source))?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".track")?.parse::<u32>().ok());
        if let Some(number) = number.filter(|number| stream.is_none_or(|it| it == *number)) {
            tracks.push((number, path));
        }
    }
    tracks.sort();
    Ok(tracks.into_iter().map(|(_, path)| path).collect())
}

/// For the progress alone: what cannot be read is told when it is.
fn size(path: &PathBuf) -> u64 {
    fs::metadata(path).map_or(0, |it| it.len())
}

pub(crate) fn write_error(path: &Path, source: io::Error) -> CommandError {
    CommandError::Write {
        path: path.to_path_buf(),
        source,
    }
}

/// Folder of the track files within a recording.
const STREAMS: &str = "streams";
