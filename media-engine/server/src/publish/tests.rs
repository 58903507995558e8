//! Which folder a recording gets, and when it gets none.

use super::*;
use crate::testing::{ended, published_dir, publisher, recording};

fn save(publisher: &Publisher, recording: Recording) {
    let id = recording.id;
    let bytes = SavedRecording { recording }.encode();
    publisher.incoming.save_state(id, &bytes).unwrap();
}

fn manifest(published: &Published) -> Manifest {
    let path = Path::new(&published.folder).join(holdfast_manifest::FILE_NAME);
    Manifest::from_json(&fs::read(path).unwrap()).unwrap()
}

fn bench() -> (tempfile::TempDir, Publisher) {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(Incoming::new(dir.path().to_owned()));
    (dir, publisher)
}

#[test]
fn a_crash_after_the_rename_publishes_nothing_twice() {
    let (_dir, publisher) = bench();
    let id = recording(1);
    save(&publisher, ended(id));
    let first = publisher.publish(id).unwrap();
    assert_eq!(publisher.publish(id).unwrap(), first);
    // A second part does not make the first one forgotten.
    let mut again = ended(id);
    again.revision += 1;
    save(&publisher, again);
    assert_ne!(publisher.publish(id).unwrap().folder, first.folder);
    save(&publisher, ended(id));
    assert_eq!(publisher.publish(id).unwrap(), first);
}

#[test]
fn a_recording_that_comes_again_is_a_further_part_and_overwrites_nothing() {
    let (_dir, publisher) = bench();
    let id = recording(1);
    for part in 1..=3 {
        let mut next = ended(id);
        next.revision = u64::from(part);
        save(&publisher, next);
        let published = publisher.publish(id).unwrap();
        assert!(
            published
                .folder
                .ends_with(&holdfast_manifest::folder_name(id, part)),
            "{published:?}"
        );
        assert_eq!(manifest(&published).part, part);
    }
    let day = published_dir(&publisher.incoming).join("2026/11/22");
    assert_eq!(
        fs::read_dir(&day).unwrap().count(),
        4,
        "and all of them as one"
    );
    let joined = day.join(holdfast_manifest::folder_name(
        id,
        holdfast_manifest::JOINED,
    ));
    let joined = Manifest::from_json(&fs::read(joined.join("recording.json")).unwrap()).unwrap();
    assert_eq!(joined.parts.len(), 3);
}

#[test]
fn parts_are_joined_only_where_that_is_wanted() {
    let (_dir, mut publisher) = bench();
    publisher.settings.join_parts = false;
    let id = recording(1);
    for revision in 1..=2 {
        save(
            &publisher,
            Recording {
                revision,
                ..ended(id)
            },
        );
        publisher.publish(id).unwrap();
    }
    let day = published_dir(&publisher.incoming).join("2026/11/22");
    assert_eq!(fs::read_dir(day).unwrap().count(), 2);
}

#[test]
fn what_stands_at_its_place_and_does_not_read_is_not_taken_for_it() {
    let (_dir, publisher) = bench();
    let id = recording(1);
    save(&publisher, ended(id));
    let first = publisher.publish(id).unwrap();
    let path = Path::new(&first.folder).join(holdfast_manifest::FILE_NAME);
    fs::write(&path, "{").unwrap();
    let second = publisher.publish(id).unwrap();
    assert!(second.folder.ends_with(".2"), "{second:?}");
    assert_eq!(fs::read(path).unwrap(), b"{");
}

#[test]
fn a_recording_that_goes_on_is_not_published() {
    let (_dir, publisher) = bench();
    let id = recording(1);
    let mut active = ended(id);
    active.life = Life::Active;
    save(&publisher, active);
    let refused = publisher.publish(id);
    assert!(matches!(refused, Err(PublishError::Active { .. })));
    assert!(!published_dir(&publisher.incoming).exists());
}
