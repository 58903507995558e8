//! Signaling is dead for a while: who speaks to it meanwhile is heard when it is back.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use holdfast_e2e::system::{Options, System};

/// A request that any server answers, with a name of its own.
fn options(transport: &str, local: std::net::SocketAddr, to: std::net::SocketAddr) -> String {
    format!(
        "OPTIONS sip:srs@{to} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} {local};branch=z9hG4bK-{transport}-{0};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:test@{local}>;tag=1\r\n\
         To: <sip:srs@{to}>\r\n\
         Call-ID: {transport}-{0}@test\r\n\
         CSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n",
        local.port()
    )
}

#[test]
fn what_is_sent_while_signaling_is_dead_is_answered_when_it_is_back() {
    let mut system = System::start(&Options::default());
    let to = system.sip();
    system.signaling.kill();

    let datagrams = UdpSocket::bind((system.host(), 0)).expect("a socket");
    datagrams
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a time-out");
    let local = datagrams.local_addr().expect("its address");
    datagrams
        .send_to(options("UDP", local, to).as_bytes(), to)
        .expect("sent");
    let mut stream = TcpStream::connect(to).expect("the listener is there, though nobody accepts");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a time-out");
    let local = stream.local_addr().expect("its address");
    stream
        .write_all(options("TCP", local, to).as_bytes())
        .expect("sent");

    system.signaling.start();
    let mut answer = [0; 4_096];
    let size = datagrams.recv(&mut answer).expect("an answer over UDP");
    assert!(
        answer[..size].starts_with(b"SIP/2.0 "),
        "{:?}",
        &answer[..size]
    );
    let size = stream.read(&mut answer).expect("an answer over TCP");
    assert!(
        answer[..size].starts_with(b"SIP/2.0 "),
        "{:?}",
        &answer[..size]
    );
    system.await_ready();
    let log = system.signaling.log();
    assert_eq!(log.matches("goes on with the socket").count(), 2, "{log}");
}

#[test]
fn a_clean_end_of_signaling_leaves_no_socket() {
    let mut system = System::start(&Options::default());
    let to = system.sip();
    system.signaling.ask_to_end();
    assert!(system.signaling.wait().success());
    UdpSocket::bind(to).expect("the port is free");
    assert!(TcpStream::connect(to).is_err(), "nobody listens");
}
