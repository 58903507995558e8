//! The key file: made once, kept to its owner.

#![cfg(feature = "file")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread;

use holdfast_seal::{KeyFileError, KeyTextError, NodeKeys, load_or_create};

const NONCE: [u8; 24] = [1; 24];

#[test]
fn the_first_start_makes_it_and_the_next_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/node.key");
    let first = load_or_create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let next = load_or_create(&path).unwrap();
    let sealed = first.seal(&NONCE, b"of", b"secret");
    assert_eq!(next.open(b"of", &sealed).unwrap().as_slice(), b"secret");
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");
}

#[test]
fn all_who_come_at_once_have_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.key");
    let together = |_| {
        let path = path.clone();
        thread::spawn(move || load_or_create(&path).unwrap())
    };
    let all: Vec<NodeKeys> = (0..16)
        .map(together)
        .collect::<Vec<_>>()
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    let sealed = all[0].seal(&NONCE, b"", b"secret");
    assert!(all.iter().all(|keys| keys.open(b"", &sealed).is_ok()));
}

#[test]
fn one_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.key");
    load_or_create(&path).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Permissions { mode: found, .. } if found == mode));
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    load_or_create(&path).unwrap();
}

/// The two services have a user each, and one group.
#[test]
fn in_a_folder_of_a_group_the_group_may_read_it_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o2770)).unwrap();
    let path = folder.path().join("node.key");
    load_or_create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    load_or_create(&path).unwrap();
    for mode in [0o660, 0o644, 0o641] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Permissions { mode: found, .. } if found == mode));
    }
    // A file of another group is none of this one's.
    if std::os::unix::fs::chown(&path, None, Some(60_001)).is_ok() {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        load_or_create(&path).unwrap_err();
    }
}

#[test]
fn one_without_keys_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.key");
    write_private(&path, "");
    assert!(matches!(
        load_or_create(&path).unwrap_err(),
        KeyFileError::Text {
            source: KeyTextError::Empty,
            ..
        }
    ));
    write_private(&path, "c2VjcmV0\n");
    let error = load_or_create(&path).unwrap_err();
    assert!(
        !format!("{error:?} {error}").contains("c2VjcmV0"),
        "{error:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "c2VjcmV0\n");
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
