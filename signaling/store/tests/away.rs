//! A home that does not save for a while.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_store::{Change, Home, Keeper, Report, Row, StoreError};
use holdfast_units::RecordingId;

/// Fails as often as it is told to; remembers what it committed.
#[derive(Clone, Default)]
struct Moody(Arc<Mutex<(u32, Vec<Change>)>>);

impl Home for Moody {
    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<Vec<RecordingId>, StoreError> {
        let (failures, committed) = &mut *self.0.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(StoreError::Folder {
                path: "nowhere".into(),
                source: std::io::Error::other("moody"),
            });
        }
        committed.extend_from_slice(changes);
        Ok(Vec::new())
    }
}

fn next(reports: &Receiver<Report>) -> Report {
    reports
        .recv_timeout(Duration::from_secs(20))
        .expect("a report")
}

#[test]
fn it_is_told_once_and_again_when_it_saves_and_no_removal_is_forgotten() {
    let home = Moody::default();
    home.0.lock().unwrap().0 = 3;
    let (sender, reports) = channel();
    let keeper = Keeper::start(Box::new(home.clone()), move |report| {
        sender.send(report).is_ok()
    })
    .unwrap();
    let removed = RecordingId::from_bytes([1; 16]);
    keeper.remove(removed);
    assert!(matches!(next(&reports), Report::Away(_)));
    let row = Row {
        recording: RecordingId::from_bytes([2; 16]),
        dialog: None,
        is_adopted: false,
        state: vec![7],
        age: None,
    };
    // Handed over while it is away: it will be again.
    keeper.put(1, row.clone());
    assert!(matches!(next(&reports), Report::Back));
    assert_eq!(home.0.lock().unwrap().1, [Change::Remove(removed)]);
    keeper.put(2, row.clone());
    assert!(matches!(next(&reports), Report::Saved(2)));
    drop(keeper);
    assert!(reports.recv().is_err());
    assert_eq!(
        home.0.lock().unwrap().1,
        [Change::Remove(removed), Change::Put(row)]
    );
}
