//! The order and the failures of the disk thread, on a true folder.

use holdfast_shard::SavedRecording;
use tempfile::TempDir;

use super::*;
use crate::testing::{ended, recording};

struct Bench {
    _dir: TempDir,
    writer: Writer,
    results: Receiver<DiskResult>,
    jobs: Receiver<PublishJob>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (result_queue, results) = unbounded();
        let (publish, jobs) = unbounded();
        let incoming = Incoming::new(dir.path().to_owned());
        let tracks = TrackFiles::new(incoming.clone(), 1);
        let writer = Writer {
            incoming,
            tracks: RefCell::new(tracks),
            results: result_queue,
            sync: bounded(4).0,
            publish,
            troubles: Troubles::default(),
            unwritten: RefCell::default(),
            unremoved: RefCell::default(),
        };
        Self {
            _dir: dir,
            writer,
            results,
            jobs,
        }
    }

    fn document(&self, recording: RecordingId) {
        self.writer.carry_out(DiskOrder::WriteDocument {
            recording,
            name: "0001.xml".to_owned().try_into().unwrap(),
            bytes: b"<recording/>".to_vec(),
        });
    }

    fn state(&self, recording: RecordingId) {
        let recording_ended = ended(recording);
        let bytes = SavedRecording {
            recording: recording_ended,
        }
        .encode();
        self.writer
            .carry_out(DiskOrder::SaveState { recording, bytes });
    }

    fn failures(&self) -> usize {
        self.results.try_iter().count()
    }
}

#[test]
fn nothing_is_published_while_one_of_its_writes_has_failed() {
    let bench = Bench::new();
    let id = recording(1);
    bench.state(id);
    // A file stands where the folder of the documents has to be.
    let documents = bench.writer.incoming.to_publish(id);
    fs::write(&documents, "").unwrap();
    bench.document(id);
    assert_eq!(bench.failures(), 1);
    bench.writer.carry_out(DiskOrder::Publish { recording: id });
    let answer = bench.results.try_recv().unwrap();
    assert!(
        matches!(answer, DiskResult::Published { result: Err(_), .. }),
        "{answer:?}"
    );
    assert!(bench.jobs.is_empty(), "no publisher has been asked");

    fs::remove_file(&documents).unwrap();
    bench.document(id);
    bench.writer.carry_out(DiskOrder::Publish { recording: id });
    assert!(matches!(
        bench.jobs.try_recv(),
        Ok(PublishJob::Publish { .. })
    ));
}

#[test]
fn a_failure_of_another_recording_keeps_none_from_being_published() {
    let bench = Bench::new();
    let (bad, good) = (recording(1), recording(2));
    bench.state(bad);
    fs::write(bench.writer.incoming.to_publish(bad), "").unwrap();
    bench.document(bad);
    bench.state(good);
    bench
        .writer
        .carry_out(DiskOrder::Publish { recording: good });
    assert!(matches!(
        bench.jobs.try_recv(),
        Ok(PublishJob::Publish { .. })
    ));
}

#[test]
fn what_comes_again_under_an_id_is_not_removed_with_what_was_before() {
    let bench = Bench::new();
    let id = recording(1);
    for _ in 0..3 {
        bench.document(id);
        bench.writer.carry_out(DiskOrder::Remove { recording: id });
    }
    bench.document(id);
    // The publishers come to it only now.
    let publisher = crate::testing::publisher(bench.writer.incoming.clone());
    let jobs: Vec<_> = bench.jobs.try_iter().collect();
    assert_eq!(jobs.len(), 3);
    jobs.into_iter().for_each(|job| run(&publisher, job));
    let document = bench.writer.incoming.document(id, "0001.xml");
    assert_eq!(fs::read(document).unwrap(), b"<recording/>");
    assert_eq!(
        fs::read_dir(bench.writer.incoming.dir()).unwrap().count(),
        1,
        "and nothing else is left"
    );
}

#[test]
fn a_folder_that_cannot_be_moved_away_is_not_written_to_again() {
    let bench = Bench::new();
    let id = recording(1);
    bench.document(id);
    bench.writer.unremoved.borrow_mut().insert(id);
    bench.state(id);
    assert_eq!(bench.failures(), 0);
    assert!(!bench.writer.incoming.to_publish(id).exists());
    assert!(bench.writer.incoming.state(id).exists());
    assert!(bench.writer.unremoved.borrow().is_empty());
}
