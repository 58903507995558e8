//! The disks: kind, room, speed, and how long a sync takes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use holdfast_settings::Settings;

use super::Finding;

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let (journal, recordings) = (&settings.journal.dir, &settings.recordings.dir);
    let mut findings = Vec::new();
    findings.extend(kind("journal disk", journal));
    findings.push(sync(
        "journal sync",
        journal,
        settings.media.commit_interval,
    ));
    findings.extend(kind("recordings disk", recordings));
    findings.push(speed("recordings speed", recordings));
    findings
}

/// The folder, or the nearest above it that is there.
fn existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = path.ancestors().find(|it| it.is_dir());
    found.map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

/// The file system's kind, by the longest mount point that the folder lies below.
fn kind(name: &'static str, path: &Path) -> Option<Finding> {
    let folder = existing(path);
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (point, kind) = (words.nth(1)?, words.next()?);
        folder.starts_with(point).then_some((point, kind))
    });
    let (point, kind) = mounts.max_by_key(|(point, _)| point.len())?;
    let text = format!("{kind} at {point}");
    let lacking = match kind {
        "tmpfs" | "ramfs" => "nothing on it survives a power cut",
        "overlay" | "aufs" => "a container's own layer goes with the container",
        kind if kind.starts_with("nfs") || kind.starts_with("fuse") || kind == "cifs" => {
            "it is another machine's, and as fast as the way there"
        }
        _ => return Some(Finding::good(name, text)),
    };
    let remedy = "mount a local disk there, or name a folder on one in the settings";
    Some(Finding::note(name, format!("{text}: {lacking}"), remedy))
}

fn sync(name: &'static str, path: &Path, commit_interval: Duration) -> Finding {
    match syncs(&existing(path)) {
        Err(error) => unwritable(name, path, &error),
        Ok((middle, longest)) => {
            let text = format!(
                "16 KiB are durable after {} (the slowest of {SYNCS}: {})",
                ms(middle),
                ms(longest)
            );
            match middle * 4 <= commit_interval {
                true => Finding::good(name, text),
                false => Finding::note(
                    name,
                    text,
                    "put node.state_dir on a disk with a power-safe cache, or raise \
                     media.commit_interval to four times that",
                ),
            }
        }
    }
}

/// The middle and the longest of some syncs.
fn syncs(folder: &Path) -> io::Result<(Duration, Duration)> {
    let probe = Probe::make(folder)?;
    let mut file = &probe.file;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0x5a; 16 * 1024])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok((times[SYNCS / 2], times[SYNCS - 1]))
}

const SYNCS: usize = 32;

fn speed(name: &'static str, path: &Path) -> Finding {
    let folder = existing(path);
    let written = Probe::make(&folder).and_then(|probe| {
        let mut file = &probe.file;
        let block = vec![0x5a; 1024 * 1024];
        let begun = Instant::now();
        for _ in 0..SPEED_MIB {
            file.write_all(&block)?;
        }
        file.sync_data()?;
        Ok(begun.elapsed())
    });
    match written {
        Err(error) => unwritable(name, path, &error),
        Ok(took) => {
            let speed = SPEED_MIB as f64 / took.as_secs_f64().max(1e-6);
            let calls = speed * 1024.0 * 1024.0 / OCTETS_PER_CALL;
            let text = format!(
                "{speed:.0} MiB/s written and synced: good for some {calls:.0} calls of G.711"
            );
            match speed >= SPEED_MIN {
                true => Finding::good(name, text),
                false => Finding::note(
                    name,
                    text,
                    "a faster disk for recordings.dir, before there are more calls",
                ),
            }
        }
    }
}

const SPEED_MIB: usize = 64;
const SPEED_MIN: f64 = 50.0;
/// Octets a second: two streams, in the tracks and again in the audio.
const OCTETS_PER_CALL: f64 = 2.0 * (50.0 * 200.0 + 16_000.0);

fn unwritable(name: &'static str, path: &Path, error: &io::Error) -> Finding {
    let folder = existing(path);
    let folder = folder.display();
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "this user may not write there: sudo holdfast doctor".to_owned()
        }
        _ => format!("findmnt -T {folder} and df -h {folder} show the disk"),
    };
    Finding::note(name, format!("{folder} cannot be tried: {error}"), remedy)
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

/// A file that goes away with this.
struct Probe {
    path: PathBuf,
    file: File,
}

impl Probe {
    fn make(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!(".holdfast-doctor.{}", std::process::id()));
        let file = File::create_new(&path)?;
        Ok(Self { path, file })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let deeper = folder.path().join("not/there/yet");
        let settings = Settings::from_toml(&format!(
            "[node]\nstate_dir = \"{0}/state\"\n[recordings]\ndir = \"{0}/recordings\"",
            deeper.display()
        ));
        let findings = look(&settings.unwrap());
        assert!(findings.len() >= 2, "{findings:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
