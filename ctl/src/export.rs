//! `holdfast recordings export`: the kept packets of a recording as pcapng.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use holdfast_track::pcapng::{self, ExportError, ExportReport, PcapNgWriter};
use serde_json::json;

use crate::Verdict;
use crate::error::CommandError;
use holdfast_catalogue::{Entry, read_error};

/// Writes the packets of one recording, or of one of its streams, to a new file.
pub(crate) fn export(
    out: &mut dyn Write,
    entry: &Entry,
    pcap: &Path,
    stream: Option<u32>,
    json: bool,
) -> Result<Verdict, CommandError> {
    let tracks = tracks(entry, stream)?;
    if tracks.is_empty() {
        return Err(CommandError::NoPackets {
            id: entry.id.to_string(),
        });
    }
    let mut inputs = Vec::new();
    for path in &tracks {
        inputs.push(BufReader::new(
            File::open(path).map_err(|error| read_error(path, error))?,
        ));
    }
    let file = match File::create_new(pcap) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(CommandError::FileExists {
                path: pcap.to_path_buf(),
            });
        }
        Err(source) => return Err(write_error(pcap, source)),
    };
    let written = write_packets(inputs, file);
    if written.is_err() {
        // Half an export is none; what went wrong is what is told.
        let _ = fs::remove_file(pcap);
    }
    let report = written.map_err(|error| match error {
        ExportError::Write(source) => write_error(pcap, source),
        ExportError::Track(source) => CommandError::Track {
            path: entry.path.join(STREAMS),
            source,
        },
    })?;
    if json {
        let document = json!({
            "id": entry.id.to_string(),
            "file": pcap,
            "tracks": tracks,
            "packets": report.packets,
            "without_addresses": report.without_addresses,
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
        if report.damaged > 0 {
            writeln!(out, "{} damaged places were passed over", report.damaged)?;
        }
    }
    Ok(if report.damaged == 0 {
        Verdict::Well
    } else {
        Verdict::Wrong
    })
}

fn write_packets(inputs: Vec<BufReader<File>>, file: File) -> Result<ExportReport, ExportError> {
    let application = concat!("holdfast ", env!("CARGO_PKG_VERSION"));
    let mut writer = PcapNgWriter::new(BufWriter::new(file), application)?;
    let report = pcapng::export(inputs, &mut writer)?;
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

fn write_error(path: &Path, source: io::Error) -> CommandError {
    CommandError::Write {
        path: path.to_path_buf(),
        source,
    }
}

/// Folder of the track files within a recording.
const STREAMS: &str = "streams";
