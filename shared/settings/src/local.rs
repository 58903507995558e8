//! The machine this process runs on, and reading the settings file from its disk.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::ifaddrs::getifaddrs;
use nix::unistd::{AccessFlags, access};

use crate::limits;
use crate::machine::Machine;
use crate::problem::SettingsError;
use crate::settings::Settings;

/// Why settings could not be had from a file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not there or not readable.
    #[error("reading {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not of this size, whatever it is.
    #[error("{path} is larger than {limit} octets: not a settings file", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// The file says something that is refused.
    #[error("{path} is refused", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is refused.
        source: SettingsError,
    },
}

/// Reads a settings file and holds it against this machine: what each process does at start.
pub fn load(path: &Path) -> Result<Settings, LoadError> {
    let settings = read(path)?;
    let checked = settings.check_machine(&LocalMachine);
    refused(path, settings, checked)
}

/// The same for signaling, which writes nothing into the journal: its folder may be the engine's alone.
pub fn load_for_signaling(path: &Path) -> Result<Settings, LoadError> {
    let settings = read(path)?;
    let journal = &settings.journal.dir;
    let checked = settings.check_machine(&ForSignaling { journal });
    refused(path, settings, checked)
}

fn refused(
    path: &Path,
    settings: Settings,
    checked: Result<(), SettingsError>,
) -> Result<Settings, LoadError> {
    checked.map_err(|source| LoadError::Refused {
        path: path.to_path_buf(),
        source,
    })?;
    Ok(settings)
}

/// Reads a settings file that may be meant for another machine.
pub fn read(path: &Path) -> Result<Settings, LoadError> {
    let unread = |source| LoadError::Read {
        path: path.to_path_buf(),
        source,
    };
    let mut text = String::new();
    let limit = limits::FILE_SIZE_MAX;
    let file = File::open(path).map_err(unread)?;
    file.take(limit + 1)
        .read_to_string(&mut text)
        .map_err(unread)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > limit {
        return Err(LoadError::TooLarge {
            path: path.to_path_buf(),
            limit,
        });
    }
    Settings::from_toml(&text).map_err(|source| LoadError::Refused {
        path: path.to_path_buf(),
        source,
    })
}

/// The machine this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalMachine;

impl Machine for LocalMachine {
    fn cores(&self) -> io::Result<BTreeSet<u32>> {
        let text = fs::read_to_string("/sys/devices/system/cpu/online")?;
        parse_cores(text.trim()).ok_or_else(|| io::Error::other(format!("odd list {text:?}")))
    }

    fn addresses(&self) -> io::Result<BTreeSet<IpAddr>> {
        let mut addresses = BTreeSet::new();
        for address in getifaddrs()?.filter_map(|entry| entry.address) {
            if let Some(address) = address.as_sockaddr_in() {
                addresses.insert(IpAddr::V4(address.ip()));
            } else if let Some(address) = address.as_sockaddr_in6() {
                addresses.insert(IpAddr::V6(address.ip()));
            }
        }
        Ok(addresses)
    }

    fn probe_dir_writable(&self, path: &Path) -> io::Result<()> {
        let existing = nearest_existing(path)?;
        if !fs::metadata(&existing)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        access(&existing, AccessFlags::W_OK | AccessFlags::X_OK)?;
        Ok(())
    }

    fn file_system(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(nearest_existing(path)?)?.dev())
    }
}

/// The path itself, or the nearest folder above it that is there.
fn nearest_existing(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for candidate in path.ancestors() {
        match fs::metadata(candidate) {
            Ok(_) => return Ok(candidate.to_path_buf()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// The kernel's list of cores: `0-3,8`.
/// This machine, as far as it concerns signaling.
struct ForSignaling<'a> {
    journal: &'a Path,
}

impl Machine for ForSignaling<'_> {
    fn cores(&self) -> io::Result<BTreeSet<u32>> {
        LocalMachine.cores()
    }

    fn addresses(&self) -> io::Result<BTreeSet<IpAddr>> {
        LocalMachine.addresses()
    }

    fn probe_dir_writable(&self, path: &Path) -> io::Result<()> {
        match path == self.journal {
            true => Ok(()),
            false => LocalMachine.probe_dir_writable(path),
        }
    }

    fn file_system(&self, path: &Path) -> io::Result<u64> {
        LocalMachine.file_system(path)
    }
}

fn parse_cores(text: &str) -> Option<BTreeSet<u32>> {
    let mut cores = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last > *limits::CORE_NUMBER.end() {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_lists_of_the_kernel() {
        for (text, expected) in [
            ("0", Some(vec![0])),
            ("0-1", Some(vec![0, 1])),
            ("0-2,5,7-8", Some(vec![0, 1, 2, 5, 7, 8])),
            ("", None),
            ("0-", None),
            ("0-4294967295", None),
        ] {
            assert_eq!(
                parse_cores(text),
                expected.map(BTreeSet::from_iter),
                "{text:?}"
            );
        }
    }

    #[test]
    fn this_machine_has_a_core_and_a_loopback_address() {
        assert!(!LocalMachine.cores().unwrap().is_empty());
        let addresses = LocalMachine.addresses().unwrap();
        assert!(addresses.iter().any(IpAddr::is_loopback));
    }

    #[test]
    fn folders_are_probed_without_being_made() {
        let scratch = tempfile::tempdir().unwrap();
        let inner = scratch.path().join("a/b/c");
        LocalMachine.probe_dir_writable(&inner).unwrap();
        assert!(!scratch.path().join("a").exists());

        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let kind = LocalMachine.probe_dir_writable(&path).unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::NotADirectory, "{}", path.display());
        }
        let here = LocalMachine.file_system(scratch.path()).unwrap();
        assert_eq!(LocalMachine.file_system(&inner).unwrap(), here);
        assert_ne!(LocalMachine.file_system(Path::new("/proc")).unwrap(), here);
    }

    #[test]
    fn a_file_that_is_not_there_too_large_or_refused_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("holdfast.toml");
        assert!(matches!(load(&path), Err(LoadError::Read { .. })));
        fs::write(&path, "#".repeat(1 + (1 << 20))).unwrap();
        assert!(matches!(load(&path), Err(LoadError::TooLarge { .. })));
        fs::write(&path, "[media]\ncores = [1023]\n").unwrap();
        let Err(LoadError::Refused { source, .. }) = load(&path) else {
            panic!("not refused")
        };
        let expected = "line 2: media.cores[0] = 1023: this machine has no such core online";
        assert!(source.to_string().starts_with(expected), "{source}");
    }
}
