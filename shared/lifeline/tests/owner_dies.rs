//! An owner of a socket is gone: the kernel goes on receiving, and the next one reads it.

mod common;

use std::net::UdpSocket;

use common::{item, wait_until};
use holdfast_lifeline::message::{ToKeeper, encode};
use holdfast_lifeline::{Connection, Lifeline, start_keeper};
use std::os::fd::AsFd;

#[test]
fn what_came_meanwhile_is_read_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock.m");
    start_keeper(&path, 10).unwrap();

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let owner = Connection::connect(&path).unwrap();
    let deposit = ToKeeper::Deposit(vec![item("udp", b"a note", 1), item("other", b"", 1)]);
    let descriptors = [socket.as_fd(), socket.as_fd()];
    owner.send(&encode(&deposit), &descriptors).unwrap();
    drop((owner, socket));
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"while nobody lives", address).unwrap();

    let (lifeline, mut kept) = Lifeline::connect(&path).unwrap();
    assert_eq!(kept.len(), 2);
    let other = kept.remove(0);
    let mut udp = kept.remove(0);
    assert_eq!((other.key.as_str(), udp.key.as_str()), ("other", "udp"));
    assert_eq!(udp.note, b"a note");
    let socket = UdpSocket::from(udp.descriptors.remove(0));
    let mut buffer = [0; 100];
    let size = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..size], b"while nobody lives");

    // Nothing of it is deposited again, so nothing of it is kept.
    drop((socket, other));
    lifeline.settle();
    wait_until("the port is free", || UdpSocket::bind(address).is_ok());
}

#[test]
fn what_is_deposited_again_outlives_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock.m");
    start_keeper(&path, 10).unwrap();
    let sockets: Vec<UdpSocket> = (0..2)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    let addresses: Vec<_> = sockets.iter().map(|it| it.local_addr().unwrap()).collect();
    let (lifeline, kept) = Lifeline::connect(&path).unwrap();
    assert!(kept.is_empty());
    for (key, socket) in ["0", "1"].into_iter().zip(sockets) {
        lifeline.deposit(
            key.to_owned(),
            Vec::new(),
            vec![std::sync::Arc::new(socket)],
        );
    }
    lifeline.settle();
    lifeline.withdraw("0".to_owned());
    wait_until("the port is free", || UdpSocket::bind(addresses[0]).is_ok());
    assert!(UdpSocket::bind(addresses[1]).is_err());
}

#[test]
fn more_than_may_be_kept_is_refused_and_harms_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock.m");
    start_keeper(&path, 2).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let owner = Connection::connect(&path).unwrap();
    let (one, two) = ([socket.as_fd()], [socket.as_fd(), socket.as_fd()]);
    let deposit = |key: &str, count: u16| encode(&ToKeeper::Deposit(vec![item(key, b"", count)]));
    owner.send(&deposit("one", 1), &one).unwrap();
    owner.send(&deposit("two", 2), &two).unwrap();
    owner.send(&deposit("lie", 2), &one).unwrap();
    drop(owner);
    let (_lifeline, kept) = Lifeline::connect(&path).unwrap();
    let keys: Vec<&str> = kept.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["one"]);
}
