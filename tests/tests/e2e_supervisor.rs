//! Both processes die at once, under a supervisor that keeps descriptors as systemd does: what the kernel
//! received in between is recorded, and who spoke to the SIP side meanwhile is answered.

use std::net::UdpSocket;
use std::time::Duration;

use holdfast_e2e::caller::Caller;
use holdfast_e2e::namespace::enter_lonely;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{Talk, assert_recorded};
use holdfast_e2e::wait::wait_until;
use holdfast_load::invite::Codec;
use holdfast_load::uac::Transport;
use holdfast_manifest::MarkKind;

#[test]
fn what_the_ring_held_while_both_processes_were_dead_is_recorded() {
    if !enter_lonely() {
        return;
    }
    let options = Options::new()
        .set("media", "ring_size = \"16 MiB\"")
        .ring()
        .supervised();
    let mut system = System::start(&options);
    let mut caller = Caller::over(Transport::Udp, &system);
    let call = caller.call(Codec::Pcmu);
    let talk = Talk::start(&call);
    for _ in 0..3 {
        caller.stay(Duration::from_millis(700));
        system.signaling.kill();
        system.engine.kill();
        let kept = system.engine.kept();
        assert!(kept.iter().any(|it| it.starts_with("rings-")), "{kept:?}");
        let dead = talk.slot();
        wait_until("packets come while nobody lives", || {
            talk.slot() > dead + 20
        });
        system.engine.start();
        system.signaling.start();
        system.await_ready();
    }
    caller.stay(Duration::from_millis(500));
    let legs = talk.finish();
    caller.hang_up(&call);
    // Every packet is there, once, in its place.
    let published = assert_recorded(&system, &call, legs);
    let stream = &published.manifest.streams[0];
    assert_eq!(
        (stream.lost, stream.duplicate, stream.kernel_drops),
        (0, 0, 0)
    );
    let restarts = stream.marks.iter();
    let restarts = restarts.filter(|it| it.kind == MarkKind::EngineRestart);
    assert_eq!(restarts.count(), 3, "{:?}", stream.marks);
    let log = system.engine.log();
    let taken = log.matches("goes on with the rings of the engine before");
    assert_eq!(taken.count(), 3, "{log}");

    // A clean end takes back what was kept.
    system.signaling.ask_to_end();
    assert!(system.signaling.wait().success());
    system.engine.ask_to_end();
    assert!(system.engine.wait().success());
    assert_eq!(
        (system.engine.kept(), system.signaling.kept()),
        (vec![], vec![])
    );
}

#[test]
fn sockets_outlive_both_processes_and_what_waits_in_them_is_taken() {
    let mut system = System::start(&Options::new().supervised());
    let mut caller = Caller::over(Transport::Udp, &system);
    let call = caller.call(Codec::Pcma);
    let talk = Talk::start(&call);
    caller.stay(Duration::from_millis(600));
    let down = talk.slot();
    system.signaling.kill();
    system.engine.kill();
    let kept = system.engine.kept();
    let ports = kept.iter().filter(|it| it.starts_with("port-"));
    assert_eq!(ports.count(), 4, "RTP and RTCP of two streams: {kept:?}");
    wait_until("packets come while nobody lives", || {
        talk.slot() > down + 20
    });
    let up = talk.slot();

    let socket = UdpSocket::bind((system.host(), 0)).expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a time-out");
    let (local, to) = (socket.local_addr().expect("its address"), system.sip());
    let options = format!(
        "OPTIONS sip:srs@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-1;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:test@{local}>;tag=1\r\nTo: <sip:srs@{to}>\r\n\
         Call-ID: both-dead@test\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(options.as_bytes(), to).expect("sent");

    system.engine.start();
    system.signaling.start();
    let mut answer = [0; 4_096];
    let size = socket.recv(&mut answer).expect("an answer");
    assert!(answer[..size].starts_with(b"SIP/2.0 "));
    system.await_ready();
    caller.stay(Duration::from_millis(400));
    let sent = talk.slot();
    talk.finish();
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    for stream in &published.manifest.streams {
        // What the kernel held in between is there. What the engine had in its hands when it died is what
        // one system call had taken.
        let missing = u64::from(sent).saturating_sub(stream.packets);
        assert!(missing < u64::from(up - down), "{missing}: {stream:?}");
        assert!(missing <= IN_HAND_MAX, "{missing}: {stream:?}");
    }
    let log = system.signaling.log();
    assert_eq!(log.matches("goes on with the socket").count(), 2, "{log}");
}

/// Datagrams of one system call of the plain sockets' ingest, and those of the last slot.
const IN_HAND_MAX: u64 = 33;
