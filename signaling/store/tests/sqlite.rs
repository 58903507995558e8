//! What was committed is there when the database is opened again, and what was removed is not.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::channel;
use std::time::Duration;

use holdfast_store::{Change, Dialog, Home as _, Keeper, Report, Row, Sqlite, StoreError};
use holdfast_units::RecordingId;

fn row(number: u8, state: &str) -> Row {
    let text = |what: &str| format!("{what}-{number}");
    Row {
        recording: RecordingId::from_bytes([number; 16]),
        dialog: (number != 3).then(|| Dialog {
            call_id: text("call"),
            local_tag: text("ours"),
            remote_tag: text("theirs"),
        }),
        is_adopted: false,
        state: state.as_bytes().to_vec(),
        age: None,
    }
}

#[test]
fn what_was_committed_is_there_again_and_what_was_removed_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deeper").join("dialogs.sqlite");
    let mut home = Sqlite::open(&path).unwrap();
    home.commit(&[
        Change::Put(row(1, "a")),
        Change::Put(row(2, "b")),
        Change::Put(row(3, "c")),
    ])
    .unwrap();
    home.commit(&[
        Change::Put(row(2, "later")),
        Change::Remove(row(1, "").recording),
        Change::Remove(row(9, "").recording),
    ])
    .unwrap();
    drop(home);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut home = Sqlite::open(&path).unwrap();
    assert_eq!(home.load().unwrap(), [row(2, "later"), row(3, "c")]);
}

/// Another process that has the database to itself, as an operator's may.
#[test]
fn a_probe_is_answered_by_a_database_that_saves_and_by_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dialogs.sqlite");
    let (sender, reports) = channel();
    let home = Box::new(Sqlite::open(&path).unwrap());
    let keeper = Keeper::start(home, move |report| sender.send(report).is_ok()).unwrap();
    let next = || {
        reports
            .recv_timeout(Duration::from_secs(20))
            .expect("a report")
    };
    keeper.probe(1);
    assert!(matches!(next(), Report::Saved(1)));
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    keeper.probe(2);
    assert!(matches!(next(), Report::Away(_)));
    // It is not said to be back while it is locked, however often it is tried.
    assert!(reports.recv_timeout(2 * RETRIES).is_err());
    other.execute_batch("COMMIT").unwrap();
    assert!(matches!(next(), Report::Back));
    keeper.probe(3);
    assert!(matches!(next(), Report::Saved(3)));
}

/// An attempt and the pause before it.
const RETRIES: Duration = Duration::from_millis(1_500);

#[test]
fn a_database_of_newer_code_and_a_file_that_is_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("newer.sqlite");
    drop(Sqlite::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Sqlite::open(&path).unwrap_err();
    assert!(
        matches!(error, StoreError::TooNew { found: 99, .. }),
        "{error:?}"
    );
    let path = folder.path().join("text");
    std::fs::write(
        &path,
        "this is no database, though it is as long as a header of one is".repeat(9),
    )
    .unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Database { .. }), "{error:?}");
}

#[test]
fn the_keeper_reports_what_is_durable_and_ends_when_all_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dialogs.sqlite");
    let (sender, reports) = channel();
    let keeper = Keeper::start(Box::new(Sqlite::open(&path).unwrap()), move |report| {
        sender.send(report).is_ok()
    })
    .unwrap();
    for ticket in 1..=100 {
        keeper.put(ticket, row(ticket as u8 % 5, &ticket.to_string()));
    }
    keeper.remove(row(0, "").recording);
    drop(keeper);
    let saved: Vec<u64> = reports
        .iter()
        .map(|report| match report {
            Report::Saved(ticket) => ticket,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(saved.last(), Some(&100));
    assert!(saved.is_sorted(), "{saved:?}");
    let kept = Sqlite::open(&path).unwrap().load().unwrap();
    let expected: Vec<Row> = (1..5).map(|n| row(n, &(95 + n).to_string())).collect();
    assert_eq!(kept, expected);
}
