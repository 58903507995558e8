//! Somebody who means harm: floods, half-open connections, bodies without end, XML that grows.
//!
//! All of it comes from loopback addresses other than 127.0.0.1, so that a server can tell it from
//! the calls that it records meanwhile. What is sent is counted; what comes back is not looked at.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

/// What is done to the server.
#[derive(Clone, Debug)]
pub struct Assault {
    /// Where SIP is received over UDP and TCP.
    pub target: SocketAddr,
    /// Where it is received over TLS.
    pub sips: SocketAddr,
    /// Garbage datagrams a second.
    pub datagrams: u32,
    /// Connections that are held open without a request, half of them at the TLS port.
    pub half_open: u32,
    /// How long.
    pub duration: Duration,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Connections opened to be held; those that the server closed were opened anew.
    pub connections: u64,
    /// Bodies without end, of which the server took so many octets before it closed.
    pub endless: u64,
    /// Those octets.
    pub endless_octets: u64,
    /// INVITEs with XML that grows when it is read.
    pub bombs: u64,
}

#[derive(Debug, Default)]
struct Counts {
    datagrams: AtomicU64,
    connections: AtomicU64,
    endless: AtomicU64,
    endless_octets: AtomicU64,
    bombs: AtomicU64,
}

/// Does it, with a thread for each kind.
pub fn carry_out(assault: &Assault) -> io::Result<Done> {
    let counts = Arc::new(Counts::default());
    let stop = Arc::new(AtomicBool::new(false));
    type Kind = fn(&Assault, &Counts, &AtomicBool) -> io::Result<()>;
    let kinds: [Kind; 4] = [flood, hold_open, pour, blow_up];
    let threads: Vec<JoinHandle<io::Result<()>>> = kinds
        .into_iter()
        .map(|kind| {
            let (assault, counts, stop) = (assault.clone(), counts.clone(), stop.clone());
            std::thread::spawn(move || kind(&assault, &counts, &stop))
        })
        .collect();
    std::thread::sleep(assault.duration);
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a thread has died")))?;
    }
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Ok(Done {
        datagrams: of(&counts.datagrams),
        connections: of(&counts.connections),
        endless: of(&counts.endless),
        endless_octets: of(&counts.endless_octets),
        bombs: of(&counts.bombs),
    })
}

/// Datagrams at a steady rate: noise, the beginnings of SIP, SIP with a mistake.
fn flood(assault: &Assault, counts: &Counts, stop: &AtomicBool) -> io::Result<()> {
    let kinds = garbage();
    let sockets: Vec<UdpSocket> = (0..SOURCES)
        .map(|number| {
            let socket = UdpSocket::bind((source(number), 0))?;
            socket.connect(assault.target)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .collect::<io::Result<_>>()?;
    let started = Instant::now();
    let mut sent = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let due = started.elapsed().as_secs_f64() * f64::from(assault.datagrams);
        while (sent as f64) < due {
            let index = usize::try_from(sent).unwrap_or(0);
            let (socket, datagram) = (&sockets[index % sockets.len()], &kinds[index % kinds.len()]);
            // A full buffer or an ICMP error takes nothing back: the next one is due.
            if socket.send(datagram).is_ok() {
                counts.datagrams.fetch_add(1, Ordering::Relaxed);
            }
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn garbage() -> Vec<Vec<u8>> {
    let noise = |size: usize, seed: u32| -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..size).map(|_| next()).collect()
    };
    let mut kinds: Vec<Vec<u8>> = (1..=12)
        .map(|seed| noise(40 * seed as usize, seed))
        .collect();
    kinds.push(b"\r\n\r\n".to_vec());
    kinds.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    kinds.push(b"INVITE sip:srs@example.com SIP/2.0\r\nVia: nonsense\r\n\r\n".to_vec());
    kinds.push(
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nCSeq: 1 BYE\r\n\r\n".to_vec(),
    );
    kinds
}

/// Connections that say nothing, or half a line; whichever the server closes is opened anew.
fn hold_open(assault: &Assault, counts: &Counts, stop: &AtomicBool) -> io::Result<()> {
    let mut open: Vec<Option<TcpStream>> = (0..assault.half_open).map(|_| None).collect();
    let mut buffer = [0; 256];
    while !stop.load(Ordering::Relaxed) {
        for (index, place) in open.iter_mut().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let is_gone = place.as_mut().is_none_or(|stream| {
                !matches!(stream.read(&mut buffer), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            });
            if !is_gone {
                continue;
            }
            let target = if index % 2 == 0 {
                assault.target
            } else {
                assault.sips
            };
            *place = connect(target, index as u32 % SOURCES).ok();
            if let Some(stream) = place {
                counts.connections.fetch_add(1, Ordering::Relaxed);
                if index % 4 == 0 {
                    let _ = stream.write_all(b"INVITE sip:srs@example.com SIP/2.0\r\nVia: ");
                }
                stream.set_nonblocking(true)?;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// One body after another that says it is huge, has no length, or never ends.
fn pour(assault: &Assault, counts: &Counts, stop: &AtomicBool) -> io::Result<()> {
    let piece = vec![b'x'; 16 * 1_024];
    let heads = [
        "INVITE sip:srs@a SIP/2.0\r\nContent-Length: 4000000000\r\n\r\n",
        "INVITE sip:srs@a SIP/2.0\r\nContent-Length: 200000\r\n\r\n",
        "INVITE sip:srs@a SIP/2.0\r\nSubject: ",
    ];
    for number in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let Ok(mut stream) = connect(assault.target, number % SOURCES) else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        stream.set_write_timeout(Some(Duration::from_millis(200)))?;
        let head = heads[number as usize % heads.len()];
        let mut written = stream.write_all(head.as_bytes());
        let until = Instant::now() + Duration::from_secs(2);
        while written.is_ok() && Instant::now() < until && !stop.load(Ordering::Relaxed) {
            written = stream.write_all(&piece);
            if written.is_ok() {
                let size = piece.len() as u64;
                counts.endless_octets.fetch_add(size, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        counts.endless.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// INVITEs whose metadata is small and says that it is large: entities within entities, elements
/// within elements, parts within parts.
fn blow_up(assault: &Assault, counts: &Counts, stop: &AtomicBool) -> io::Result<()> {
    let socket = UdpSocket::bind((source(0), 0))?;
    socket.connect(assault.target)?;
    let bodies = bombs();
    for number in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let local = socket.local_addr()?;
        let (kind, body) = &bodies[number % bodies.len()];
        let mut message = format!(
            "INVITE sip:srs@{target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bKb{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag={number}\r\nTo: <sip:srs@{target}>\r\n\
             Call-ID: bomb-{number}-{pid}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@{local}>\r\n\
             Require: siprec\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n",
            target = assault.target,
            pid = std::process::id(),
            length = body.len(),
        )
        .into_bytes();
        message.extend_from_slice(body);
        if socket.send(&message).is_ok() {
            counts.bombs.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(BOMB_INTERVAL);
    }
    Ok(())
}

/// None of them has a usable offer: they are read, and refused.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let mut laughs = "<?xml version=\"1.0\"?><!DOCTYPE r [<!ENTITY a0 \"ha\">".to_owned();
    for level in 1..30 {
        let inner = format!("&a{};", level - 1).repeat(10);
        laughs.push_str(&format!("<!ENTITY a{level} \"{inner}\">"));
    }
    laughs.push_str("]><recording xmlns=\"urn:ietf:params:xml:ns:recording:1\">&a29;</recording>");
    let deep = "<a>".repeat(10_000);
    let wide = format!(
        "<r {}/>",
        (0..4_000)
            .map(|n| format!("a{n}=\"\" "))
            .collect::<String>()
    );
    let of = |xml: &str| {
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 RTP/AVP 99\r\n";
        format!(
            "--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\n\
             Content-Type: application/rs-metadata+xml\r\n\r\n{xml}\r\n--b--\r\n"
        )
        .into_bytes()
    };
    let mut nested = String::new();
    for level in 0..200 {
        nested.push_str(&format!(
            "--p{level}\r\nContent-Type: multipart/mixed;boundary=p{}\r\n\r\n",
            level + 1
        ));
    }
    vec![
        ("multipart/mixed;boundary=b", of(&laughs)),
        ("multipart/mixed;boundary=b", of(&deep)),
        ("multipart/mixed;boundary=b", of(&wide)),
        ("multipart/mixed;boundary=p0", nested.into_bytes()),
    ]
}

fn connect(target: SocketAddr, number: u32) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let from = SocketAddr::from((source(number), 0));
    socket.bind(&SockAddr::from(from))?;
    socket.connect_timeout(&SockAddr::from(target), Duration::from_millis(500))?;
    Ok(socket.into())
}

/// 127.9.0.1 and following: the loopback has them all.
fn source(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 9, 0, 1)) + number)
}

/// Addresses that it comes from.
const SOURCES: u32 = 20;

/// Twenty a second.
const BOMB_INTERVAL: Duration = Duration::from_millis(50);
