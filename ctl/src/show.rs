//! `holdfast recordings show`: the manifest for people, and how loud each channel is.

use std::fs::File;
use std::io::{BufReader, Write};

use holdfast_manifest::{Channel, Manifest, Stream};
use holdfast_track::levels::{ChannelLevel, levels};
use serde_json::{Value, json};

use crate::Verdict;
use crate::error::CommandError;
use crate::text::{self, printable};
use holdfast_catalogue::Entry;

/// Shows one recording.
pub(crate) fn show(
    out: &mut dyn Write,
    entry: &Entry,
    json: bool,
) -> Result<Verdict, CommandError> {
    let manifest = entry.manifest()?;
    let audio = measure(entry);
    if json {
        writeln!(out, "{:#}", document(entry, &manifest, &audio))?;
        return Ok(Verdict::Well);
    }
    write_head(out, entry, &manifest)?;
    write_channels(out, &manifest, &audio)?;
    write_streams(out, &manifest.streams)?;
    write_rest(out, &manifest)?;
    Ok(Verdict::Well)
}

/// What is known of `audio.wav`.
enum Audio {
    Absent,
    Measured(Vec<ChannelLevel>),
    Unreadable(String),
}

fn measure(entry: &Entry) -> Audio {
    let file = match File::open(entry.path.join(holdfast_manifest::AUDIO_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Audio::Absent,
        Err(error) => return Audio::Unreadable(error.to_string()),
    };
    match levels(BufReader::new(file)) {
        Ok(levels) => Audio::Measured(levels.channels),
        Err(error) => Audio::Unreadable(crate::error::chain(&error)),
    }
}

fn document(entry: &Entry, manifest: &Manifest, audio: &Audio) -> Value {
    let levels = match audio {
        Audio::Absent | Audio::Unreadable(_) => Value::Null,
        // JSON has no infinity: silence of pure zeros is null.
        Audio::Measured(channels) => channels
            .iter()
            .map(|level| json!({ "rms_dbfs": level.rms_dbfs, "peak_dbfs": level.peak_dbfs }))
            .collect(),
    };
    let manifest = serde_json::to_value(manifest).expect("the manifest model serialises");
    json!({ "path": entry.path, "levels": levels, "manifest": manifest })
}

fn write_head(out: &mut dyn Write, entry: &Entry, manifest: &Manifest) -> Result<(), CommandError> {
    let sip = &manifest.call.sip;
    let peer = sip.peer.map(|peer| peer.to_string()).unwrap_or_default();
    let part = match manifest.part {
        holdfast_manifest::JOINED => Some(format!("all {} joined", manifest.parts.len())),
        1 => None,
        part => Some(part.to_string()),
    };
    let continues = manifest.call.continues.as_ref().and_then(text::continues);
    let rows = [
        ("recording", manifest.id.to_string()),
        ("part", part.unwrap_or_default()),
        ("begins", continues.unwrap_or_default()),
        ("folder", entry.path.display().to_string()),
        ("started", format!("{} UTC", text::moment(manifest.started))),
        ("duration", text::span(manifest.duration_ms)),
        ("ended by", text::end_reason(manifest.end_reason)),
        (
            "node",
            format!("{}, version {}", manifest.node, manifest.software_version),
        ),
        ("call", sip.call_id.clone()),
        ("from", sip.from.clone()),
        ("peer", format!("{peer} {}", sip.transport)),
        ("agent", sip.user_agent.clone().unwrap_or_default()),
        ("flags", manifest.flags.join(", ")),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.trim().is_empty()) {
        writeln!(out, "{name:<10} {}", printable(value.trim()))?;
    }
    Ok(())
}

fn write_channels(
    out: &mut dyn Write,
    manifest: &Manifest,
    audio: &Audio,
) -> Result<(), CommandError> {
    let levels = match audio {
        Audio::Absent => return Ok(writeln!(out, "\nno audio was rendered")?),
        Audio::Unreadable(error) => return Ok(writeln!(out, "\naudio.wav: {error}")?),
        Audio::Measured(levels) => levels,
    };
    let header = ["CHANNEL", "RMS dBFS", "PEAK dBFS", "WHO"]
        .map(str::to_owned)
        .to_vec();
    let mut rows = vec![header];
    for (index, level) in levels.iter().enumerate() {
        let channels = &manifest.call.channels;
        let channel = channels.iter().find(|it| usize::from(it.channel) == index);
        let who = channel
            .map(|channel| speaker(manifest, channel))
            .unwrap_or_default();
        let decibels = |value: f64| format!("{value:.1}");
        rows.push(vec![
            index.to_string(),
            decibels(level.rms_dbfs),
            decibels(level.peak_dbfs),
            printable(&who),
        ]);
    }
    write!(out, "\n{}", text::columns(&rows))?;
    Ok(())
}

fn speaker(manifest: &Manifest, channel: &Channel) -> String {
    let labels = channel.labels.join(", ");
    let participants = &manifest.call.participants;
    let participant = participants
        .iter()
        .find(|it| Some(&it.id) == channel.participant.as_ref());
    let Some(participant) = participant else {
        return format!("label {labels}");
    };
    let name = participant
        .names
        .first()
        .map(|name| format!("{name} "))
        .unwrap_or_default();
    let aor = participant.aors.first().unwrap_or(&participant.id);
    format!("{name}{aor} (label {labels})")
}

fn write_streams(out: &mut dyn Write, streams: &[Stream]) -> Result<(), CommandError> {
    let header = [
        "STREAM",
        "LABEL",
        "CHANNEL",
        "CODECS",
        "PACKETS",
        "LOST",
        "LATE",
        "DUPLICATE",
        "REFUSED",
        "DROPPED",
        "JITTER ms",
        "GAPS",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for stream in streams {
        let codecs: Vec<&str> = stream.codecs.values().map(|it| it.name.as_str()).collect();
        let channel = match (stream.channel, stream.rendered) {
            (Some(channel), true) => channel.to_string(),
            (Some(_) | None, _) => "-".to_owned(),
        };
        rows.push(vec![
            stream.number.to_string(),
            printable(stream.label.as_deref().unwrap_or("-")),
            channel,
            printable(&codecs.join(",")),
            stream.packets.to_string(),
            stream.lost.to_string(),
            stream.late.to_string(),
            stream.duplicate.to_string(),
            stream.refused.values().sum::<u64>().to_string(),
            stream.kernel_drops.to_string(),
            format!("{:.1}/{:.1}", stream.jitter_ms.last, stream.jitter_ms.max),
            (u64::try_from(stream.gaps.len()).unwrap_or(u64::MAX))
                .saturating_add(stream.gaps_omitted)
                .to_string(),
        ]);
    }
    write!(out, "\n{}", text::columns(&rows))?;
    for stream in streams {
        for gap in stream.gaps.iter().take(GAPS_SHOWN_MAX) {
            let cause = serde_json::to_value(gap.cause).unwrap_or_default();
            let (from, to) = (text::span(gap.from_ms), text::span(gap.to_ms));
            let cause = cause.as_str().unwrap_or("unknown");
            let packets = gap.packets;
            writeln!(
                out,
                "  stream {}: {from} to {to} {cause}, {packets} packets",
                stream.number
            )?;
        }
        if stream.gaps.len() > GAPS_SHOWN_MAX {
            writeln!(out, "  stream {}: further gaps with --json", stream.number)?;
        }
        if let Some(reason) = &stream.not_rendered_reason {
            writeln!(out, "  stream {}: {}", stream.number, printable(reason))?;
        }
    }
    Ok(())
}

fn write_rest(out: &mut dyn Write, manifest: &Manifest) -> Result<(), CommandError> {
    if !manifest.call.correlations.is_empty() {
        writeln!(out)?;
    }
    for one in &manifest.call.correlations {
        let line = format!("{} {} {} ({})", one.vendor, one.kind, one.value, one.source);
        writeln!(out, "known as   {}", printable(&line))?;
    }
    for part in &manifest.parts {
        let (from, to) = (text::span(part.from_ms), text::span(part.to_ms));
        let line = format!("{} {from} to {to}, {}", part.number, part.node);
        let gap = part.continues.as_ref().and_then(text::continues);
        let gap = gap.map(|gap| format!(", {gap}")).unwrap_or_default();
        writeln!(out, "part       {}", printable(&format!("{line}{gap}")))?;
    }
    for pause in &manifest.call.pauses {
        let until = pause.to.map_or_else(|| "the end".to_owned(), text::moment);
        let by = serde_json::to_value(pause.by).unwrap_or_default();
        let by = by.as_str().unwrap_or("unknown");
        writeln!(
            out,
            "paused     {} to {until} by {by}",
            text::moment(pause.from)
        )?;
    }
    if !manifest.call.warnings.is_empty() {
        writeln!(out)?;
    }
    for warning in &manifest.call.warnings {
        writeln!(out, "warning    {}", printable(&warning.text))?;
    }
    writeln!(out)?;
    for file in &manifest.files {
        writeln!(
            out,
            "file       {} ({} octets)",
            printable(&file.name),
            file.bytes
        )?;
    }
    Ok(())
}

/// Gaps of each stream that are listed as text.
const GAPS_SHOWN_MAX: usize = 20;
