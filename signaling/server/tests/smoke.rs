//! The shell on ports of the system's choice, beside an engine that says yes to everything: a call
//! over UDP, one over TCP, framing lost, and a clean end. What messages mean is tested elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_control::{FromEngine, Life, PublishedRecording, ShardPorts, ToEngine};
use holdfast_settings::{Settings, SipListen, SipTransport};
use holdfast_signaling::Server;
use holdfast_sip::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio_seqpacket::{UnixSeqpacket, UnixSeqpacketListener};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn calls_over_udp_and_tcp_are_recorded_and_the_process_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let (server, udp, tcp) = bind(&socket);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.run(async {
        let _ = stopped.await;
    });
    let (count, counted) = oneshot::channel();
    let calling = async {
        // The engine comes late, and signaling finds it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut listener = UnixSeqpacketListener::bind(&socket).unwrap();
        let connection = listener.accept().await.unwrap();
        tokio::spawn(async { count.send(say_yes(connection).await) });
        call_over_udp(udp).await;
        call_over_tcp(tcp).await;
        garbage_closes(tcp).await;
        stop.send(()).unwrap();
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(serving, calling) })
        .await
        .expect("it does not end");
    assert_eq!(counted.await.unwrap(), 2, "recordings ended");
}

fn bind(socket: &Path) -> (Server, std::net::SocketAddr, std::net::SocketAddr) {
    let mut settings = Settings::default();
    settings.store.path = socket.with_file_name("dialogs.sqlite");
    settings.node.key_file = socket.with_file_name("node.key");
    settings.node.control_socket = PathBuf::from(socket);
    settings.node.operator_socket = socket.with_file_name("operator.sock");
    settings.http.listen = None;
    let address = "0.0.0.0:0".parse().unwrap();
    settings.sip.listen = vec![
        SipListen {
            transport: SipTransport::Udp,
            address,
        },
        SipListen {
            transport: SipTransport::Tcp,
            address,
        },
    ];
    let server = Server::bind(&settings).unwrap();
    let of = |wanted| {
        let found = server
            .addresses()
            .iter()
            .find(|(transport, _)| *transport == wanted);
        std::net::SocketAddr::from(([127, 0, 0, 1], found.unwrap().1.port()))
    };
    let (udp, tcp) = (of(Transport::Udp), of(Transport::Tcp));
    (server, udp, tcp)
}

/// Confirms and publishes; gives how many recordings ended.
async fn say_yes(connection: UnixSeqpacket) -> usize {
    let shards = vec![ShardPorts {
        first: 10_000,
        last: 10_099,
    }];
    let say = async |message: &FromEngine| {
        connection
            .send(&holdfast_control::encode(message).unwrap())
            .await
            .unwrap();
    };
    say(&FromEngine::Hello {
        instance: 1,
        shards,
    })
    .await;
    say(&FromEngine::HeldDone).await;
    let (mut ended, mut buffer) = (0, vec![0; 1 << 18]);
    loop {
        let size = connection.recv(&mut buffer).await.unwrap().bytes_read();
        if size == 0 {
            return ended;
        }
        let message = holdfast_control::decode(&buffer[..size]).unwrap();
        let ToEngine::Recording(recording) = message else {
            continue;
        };
        let (id, revision) = (recording.id, recording.revision);
        say(&FromEngine::Applied {
            recording: id,
            revision,
            refused: Vec::new(),
        })
        .await;
        if recording.life != Life::Active {
            ended += 1;
            let folder = id.to_string();
            let published = PublishedRecording {
                id,
                folder,
                packets: 0,
                lost: 0,
            };
            say(&FromEngine::Published(published)).await;
        }
    }
}

fn request(method: &str, transport: &str, cseq: u32, to: &str, body: &str) -> String {
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!(
        "{method} sip:recorder@127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/{transport} 127.0.0.1:9;rport;branch=z9hG4bK{transport}{cseq}{method}\r\n\
         From: <sip:src@example.com>;tag=1\r\nTo: {to}\r\nCall-ID: {transport}\r\n\
         CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nRequire: siprec\r\n\
         Contact: <sip:src@127.0.0.1:9>;+sip.src\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                     m=audio 9000 RTP/AVP 0\r\na=label:1\r\na=sendonly\r\n";
const TO: &str = "<sip:recorder@example.com>";

fn to_of(ok: &str) -> String {
    assert!(ok.starts_with("SIP/2.0 200 OK\r\n"), "{ok}");
    let line = ok.lines().find(|line| line.starts_with("To: ")).unwrap();
    line["To: ".len()..].to_owned()
}

async fn call_over_udp(address: std::net::SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let mut ok = String::new();
    // 503 until the engine has said what it holds.
    for cseq in 1..100 {
        socket
            .send(request("INVITE", "UDP", cseq, TO, OFFER).as_bytes())
            .await
            .unwrap();
        let size = socket.recv(&mut buffer).await.unwrap();
        ok = String::from_utf8_lossy(&buffer[..size]).into_owned();
        let ack = request("ACK", "UDP", cseq, &line_of(&ok, "To: "), "");
        socket.send(ack.as_bytes()).await.unwrap();
        if !ok.starts_with("SIP/2.0 503 ") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        ok.contains("\r\nc=IN IP4 127.0.0.1\r\n"),
        "the address that was called: {ok}"
    );
    let bye = request("BYE", "UDP", 200, &to_of(&ok), "");
    socket.send(bye.as_bytes()).await.unwrap();
    let size = socket.recv(&mut buffer).await.unwrap();
    assert!(buffer[..size].starts_with(b"SIP/2.0 200 OK\r\n"));
}

fn line_of(message: &str, name: &str) -> String {
    let line = message.lines().find(|line| line.starts_with(name)).unwrap();
    line[name.len()..].to_owned()
}

async fn call_over_tcp(address: std::net::SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A keepalive, and an INVITE in two pieces.
    let invite = request("INVITE", "TCP", 1, TO, OFFER);
    let (begin, end) = invite.split_at(100);
    stream
        .write_all(format!("\r\n\r\n{begin}").as_bytes())
        .await
        .unwrap();
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\r\n");
    stream.write_all(end.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let size = stream.read(&mut buffer).await.unwrap();
    let to = to_of(&String::from_utf8_lossy(&buffer[..size]));
    // Two messages in one segment.
    let both = request("ACK", "TCP", 1, &to, "") + &request("BYE", "TCP", 2, &to, "");
    stream.write_all(both.as_bytes()).await.unwrap();
    let size = stream.read(&mut buffer).await.unwrap();
    to_of(&String::from_utf8_lossy(&buffer[..size]));
}

async fn garbage_closes(address: std::net::SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"OPTIONS sip:x SIP/2.0\r\nCall-ID: no length\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
}
