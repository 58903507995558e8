//! A keeper is gone: the next one is told all of it. A keeper that hangs holds nobody up.

#[expect(dead_code, reason = "these tests wait for messages alone")]
mod common;

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use holdfast_lifeline::message::{FromKeeper, ToKeeper, decode, encode};
use holdfast_lifeline::{Connection, Lifeline, Listener, Received};
use rustix::event::{PollFd, PollFlags, poll};

fn accept(listener: &Listener) -> Connection {
    poll(&mut [PollFd::new(listener, PollFlags::IN)], None).unwrap();
    listener.accept().unwrap()
}

fn receive(connection: &Connection) -> (ToKeeper, usize) {
    let Received { bytes, descriptors } = connection.receive().unwrap();
    (decode(&bytes).unwrap(), descriptors.len())
}

/// All that is said until the end of it, as keys.
fn told(connection: &Connection) -> Vec<String> {
    let mut keys = Vec::new();
    loop {
        match receive(connection) {
            (ToKeeper::Deposit(items), descriptors) => {
                let announced: usize = items.iter().map(|it| usize::from(it.count)).sum();
                assert_eq!(descriptors, announced);
                keys.extend(items.into_iter().map(|it| it.key));
            }
            (ToKeeper::Withdraw(gone), _) => keys.retain(|it| !gone.contains(it)),
            (ToKeeper::Settled, _) => return keys,
            (other, _) => panic!("{other:?}"),
        }
    }
}

fn descriptor() -> Vec<holdfast_lifeline::Descriptor> {
    vec![Arc::new(std::fs::File::open("/dev/null").unwrap())]
}

#[test]
fn the_next_keeper_is_told_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock.s");
    let (lifeline, kept) = Lifeline::connect(&path).unwrap();
    assert!(kept.is_empty(), "there is no keeper yet");
    for n in 0..600 {
        lifeline.deposit(format!("{n:04}"), vec![0; 100], descriptor());
    }
    lifeline.withdraw("0007".to_owned());
    lifeline.settle();

    let first = Listener::bind(&path).unwrap();
    let connection = accept(&first);
    let keys = told(&connection);
    assert_eq!(
        (keys.len(), keys.contains(&"0007".to_owned())),
        (599, false)
    );
    lifeline.withdraw("0008".to_owned());
    let gone = ToKeeper::Withdraw(vec!["0008".to_owned()]);
    assert_eq!(receive(&connection).0, gone);
    drop((connection, first));

    let second = Listener::bind(&path).unwrap();
    assert_eq!(told(&accept(&second)).len(), 598);
}

#[test]
fn a_keeper_that_hangs_or_does_not_make_sense_is_done_without() {
    let dir = tempfile::tempdir().unwrap();
    let answers: [&[u8]; 2] = [b"nonsense", b""];
    for answer in answers {
        let path = dir.path().join("control.sock.s");
        let listener = Listener::bind(&path).unwrap();
        let hangs = answer.is_empty();
        let keeper = std::thread::spawn(move || {
            let connection = accept(&listener);
            if !hangs {
                connection.send(answer, &[]).unwrap();
            }
            (connection, listener)
        });
        let (_lifeline, kept) = Lifeline::connect(&path).unwrap();
        assert!(kept.is_empty());
        drop(keeper.join().unwrap());
    }
}

#[test]
fn what_an_answer_announces_has_to_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock.s");
    let listener = Listener::bind(Path::new(&path)).unwrap();
    let keeper = std::thread::spawn(move || {
        let connection = accept(&listener);
        let items = vec![common::item("rings", b"", 2)];
        let answer = FromKeeper::Kept {
            items,
            is_last: true,
        };
        let null = std::fs::File::open("/dev/null").unwrap();
        connection.send(&encode(&answer), &[null.as_fd()]).unwrap();
        (connection, listener)
    });
    let (_lifeline, kept) = Lifeline::connect(&path).unwrap();
    assert!(kept.is_empty());
    drop(keeper.join().unwrap());
}
