//! The file with a node's keys: made by whichever process comes first, refused where others may
//! read it.
//!
//! A folder with the set-group-id bit is shared by its group, as that of the services is: each process has
//! a user of its own there, so the group may read the file too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::node_keys::{KEY_SIZE, KeyTextError, NodeKeys};

/// Why there are no node keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The operator has to make it readable, or its folder writable.
    #[error("the key file {path} cannot be {what}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// `read` or `made`.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may use it.
    #[error(
        "the key file {path} may be used by others (mode {mode:03o}): chmod 600 {path}, and make \
         new keys if somebody may have read it"
    )]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to another user, who can make it readable.
    #[error("the key file {path} belongs to user {owner}, not to the user of this process or root")]
    Owner {
        /// Which file.
        path: PathBuf,
        /// The number of that user.
        owner: u32,
    },
    /// It does not have what it should have.
    #[error("the key file {path} is not good")]
    Text {
        /// Which file.
        path: PathBuf,
        /// What is amiss.
        source: KeyTextError,
    },
}

/// Reads the key file. Where there is none, one with a random key is made first, mode 0600, or 0640 in a
/// folder that its group shares; if
/// several processes do so at once, all of them get the same.
///
/// # Errors
///
/// It can neither be read nor made, others may use it, or it has no keys.
pub fn load_or_create(path: &Path) -> Result<NodeKeys, KeyFileError> {
    match load(path) {
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            create(path).map_err(|source| KeyFileError::Io {
                path: path.to_owned(),
                what: "made",
                source,
            })?;
            load(path)
        }
        loaded => loaded,
    }
}

/// Reads the key file, which has to be there.
///
/// # Errors
///
/// It cannot be read, others may use it, or it has no keys.
pub fn load(path: &Path) -> Result<NodeKeys, KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        what: "read",
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o777;
    let is_shared = sharing_group(folder_of(path)) == Some(metadata.gid());
    let not_to_others = if is_shared { 0o037 } else { 0o077 };
    if mode & not_to_others != 0 {
        let path = path.to_owned();
        return Err(KeyFileError::Permissions { path, mode });
    }
    let owner = metadata.uid();
    let is_of_group = is_shared && mode & 0o040 != 0;
    if !is_of_group && owner != 0 && owner != rustix::process::geteuid().as_raw() {
        let path = path.to_owned();
        return Err(KeyFileError::Owner { path, owner });
    }
    // As long as it may become from the start: a longer one would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(SIZE_MAX as usize));
    file.take(SIZE_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    NodeKeys::parse(&text).map_err(|source| KeyFileError::Text {
        path: path.to_owned(),
        source,
    })
}

/// Makes a file with a key under a name of its own and gives it the right one when it is whole and
/// on disk. If there is one by then, that one stays.
fn create(path: &Path) -> io::Result<()> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut key = Zeroizing::new([0; KEY_SIZE]);
    getrandom::fill(key.as_mut_slice()).map_err(io::Error::other)?;
    let folder = folder_of(path);
    fs::create_dir_all(folder)?;
    let is_shared = sharing_group(folder).is_some();
    let whole = folder.join(format!(".node-key-{:016x}", u64::from_le_bytes(random)));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(if is_shared { 0o640 } else { 0o600 })
        .open(&whole)?;
    let made = file
        .write_all(NodeKeys::text_of(&key).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| match fs::hard_link(&whole, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    fs::remove_file(&whole)?;
    made?;
    File::open(folder)?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The group that shares a folder: what is made there belongs to it (set-group-id bit).
fn sharing_group(folder: &Path) -> Option<u32> {
    let metadata = fs::metadata(folder).ok()?;
    (metadata.mode() & 0o2000 != 0).then(|| metadata.gid())
}

/// More than a full file of keys and comments has.
const SIZE_MAX: u64 = 64 * 1024;
