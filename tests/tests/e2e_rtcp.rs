//! Reports: a recorder that only receives still owes them, and keeps those it gets.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use holdfast_e2e::caller::{Caller, Prepared};
use holdfast_e2e::peer::multipart;
use holdfast_e2e::process::binary;
use holdfast_e2e::rtp::{Report, Source, description, goodbye, sender_report};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::Talk;
use holdfast_e2e::tools::Tool;
use holdfast_load::invite::{Codec, Direction};
use holdfast_load::pattern::{LegKey, payload, stream_start};
use holdfast_manifest::MarkKind;

/// RFC 3550 §6.2: two reports of a stream are at most 1.5 / 1.21828 of 5 s apart, that is 6.2 s;
/// the rest is for a busy machine.
const INTERVAL_MAX: Duration = Duration::from_millis(8_000);

/// TC-110: when they come, and whose.
#[test]
fn reports_with_a_name_leave_the_announced_port_within_five_seconds_also_while_paused() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let mut call = caller.call(Codec::Pcmu);
    let began = Instant::now();
    let talk = Talk::start(&call);
    let mut names = Vec::new();
    for (leg, (ports, line)) in call.ports.iter().zip(&call.answer.lines).enumerate() {
        let limit = Duration::from_secs(5).saturating_sub(began.elapsed());
        let (report, from) = next_report(&ports.rtcp, limit).expect("a report within 5 s");
        assert_eq!(Some(from), line.rtcp, "leg {leg}: the announced port");
        names.push(report.cname.expect("a CNAME with each report"));
        let key = LegKey {
            call: call.number,
            leg: leg as u8,
        };
        let sources: Vec<_> = report.blocks.iter().map(|block| block.ssrc).collect();
        assert_eq!(sources, [stream_start(key).ssrc]);
        assert_eq!(report.blocks[0].lost, 0);
    }
    // RFC 7022: one name for all streams of an endpoint, and not an address of this machine.
    assert_eq!(names[0], names[1]);
    assert!(
        names[0].len() >= 12 && !names[0].contains("127.0.0.1"),
        "{names:?}"
    );
    talk.finish();

    let paused = call.offer.redirected(Direction::Inactive);
    caller.reinvite(&mut call, paused);
    for ports in &call.ports {
        drain(&ports.rtcp);
        assert!(
            next_report(&ports.rtcp, INTERVAL_MAX).is_some(),
            "reports go on while paused"
        );
    }
    caller.hang_up(&call);
    for ports in &call.ports {
        let goodbye = reports_until(&ports.rtcp, Duration::from_secs(5), |report| {
            report.is_goodbye
        });
        assert!(goodbye.is_some(), "the recorder says goodbye");
    }
    system.published(&call.call_id);
}

/// TC-108: on one port.
#[test]
fn with_rtcp_mux_reports_leave_the_port_of_the_media() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let sdp = prepared
        .offer
        .sdp()
        .replace("a=ptime:20\r\n", "a=ptime:20\r\na=rtcp-mux\r\n");
    let body = multipart(&sdp, prepared.offer.metadata().as_bytes());
    let (call, response) = caller.place_with(prepared, &body);
    let answer = String::from_utf8(response.body).expect("text");
    assert_eq!(answer.matches("a=rtcp-mux").count(), 2, "{answer}");
    let talk = Talk::start(&call);
    for (ports, line) in call.ports.iter().zip(&call.answer.lines) {
        let (report, from) = next_report(&ports.rtp, Duration::from_secs(5)).expect("a report");
        assert_eq!(Some(from), line.rtp, "one port for both");
        assert_eq!(report.blocks.len(), 1);
    }
    talk.finish();
    // What the caller reports comes on that port too.
    let key = LegKey {
        call: call.number,
        leg: 0,
    };
    let ssrc = stream_start(key).ssrc;
    let described = [
        sender_report(ssrc, 1, 2, 3),
        description(ssrc, "mux@example.com"),
    ]
    .concat();
    let to = call.answer.lines[0].rtp.expect("a port");
    call.ports[0].rtp.send_to(&described, to).expect("a report");
    caller.stay(Duration::from_millis(100));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let stream = &published.manifest.streams[0];
    assert_eq!(
        stream.ssrcs[0].cname.as_deref(),
        Some("mux@example.com"),
        "{stream:?}"
    );
}

/// TC-110: what they say.
#[test]
fn a_report_says_what_was_lost_and_when_the_sender_reported() {
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let call = caller.call(Codec::Pcmu);
    let ports = &call.ports[0];
    let line = &call.answer.lines[0];
    let socket = ports.rtp.try_clone().expect("a second handle");
    let mut source = Source::new(socket, line.rtp.expect("a port"), 0, 0x0102_0304);
    // It wraps on the way.
    source.sequence = 65_500;
    let key = LegKey {
        call: call.number,
        leg: 0,
    };
    for index in 0..100 {
        if matches!(index, 20..25 | 50 | 60..64) {
            source.skip(160);
        } else {
            source.send(&payload(key, index), 160);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let report = sender_report(source.ssrc, 0x1234_5678, source.timestamp, 90);
    ports
        .rtcp
        .send_to(&report, line.rtcp.expect("a port"))
        .expect("a report");
    let reported = Instant::now();
    let (report, _) = reports_until(&ports.rtcp, INTERVAL_MAX + INTERVAL_MAX, |report| {
        report.blocks.iter().any(|block| block.last_report != 0)
    })
    .expect("a report that knows ours");
    let block = report.blocks[0];
    assert_eq!((block.ssrc, block.lost), (0x0102_0304, 10), "{block:?}");
    // RFC 3550 §6.4.1: once around, then the last number.
    assert_eq!(
        block.highest,
        (1 << 16) | u32::from(65_500_u16.wrapping_add(99))
    );
    assert_eq!(block.last_report, 0x1234_5678);
    let delay = Duration::from_secs_f64(f64::from(block.delay) / 65_536.0);
    assert!(
        delay <= reported.elapsed() + Duration::from_millis(50),
        "{delay:?}"
    );
    // Sleeps of 20 ms on a busy machine: some jitter, but not that of wrong ticks.
    assert!(block.jitter < 8 * 200, "{block:?}");
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    assert_eq!(
        (
            published.manifest.streams[0].packets,
            published.manifest.streams[0].lost
        ),
        (90, 10)
    );
}

#[test]
fn what_the_caller_reports_is_used_and_kept() {
    let system = System::start(&Options::new().set("recordings", "keep_packets = \"always\""));
    let mut caller = Caller::new(&system);
    let prepared: Prepared = caller.prepare(Codec::Pcmu);
    let call = caller.place(prepared);
    let ports = &call.ports[0];
    let line = &call.answer.lines[0];
    let socket = ports.rtp.try_clone().expect("a second handle");
    let mut source = Source::new(socket, line.rtp.expect("a port"), 0, 77);
    let key = LegKey {
        call: call.number,
        leg: 0,
    };
    for index in 0..25 {
        source.send(&payload(key, index), 160);
        std::thread::sleep(Duration::from_millis(20));
    }
    let to = line.rtcp.expect("a port");
    let head = || sender_report(77, 9, source.timestamp, 25);
    let described = [head(), description(77, "src@example.com")].concat();
    let farewell = [head(), goodbye(77)].concat();
    ports.rtcp.send_to(&described, to).expect("a report");
    ports.rtcp.send_to(&farewell, to).expect("a report");
    caller.stay(Duration::from_millis(100));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let stream = &published.manifest.streams[0];
    assert_eq!(
        stream.ssrcs[0].cname.as_deref(),
        Some("src@example.com"),
        "{stream:?}"
    );
    let is_farewell = |kind: &MarkKind| matches!(kind, MarkKind::RtcpBye { ssrc: 77 });
    let farewells = stream.marks.iter().filter(|mark| is_farewell(&mark.kind));
    assert_eq!(farewells.count(), 1, "{:?}", stream.marks);

    let Some(tshark) = Tool::find("tshark") else {
        return;
    };
    let id = published.manifest.id.to_string();
    let dir = system.recordings().display().to_string();
    let export = [
        "recordings",
        "--dir",
        &dir,
        "export",
        &id,
        "--pcap",
        "call.pcapng",
    ];
    Tool::at(binary("holdfast")).output(system.root(), &export);
    let decode = format!("udp.port=={},rtcp", to.port());
    let fields = [
        "-r",
        "call.pcapng",
        "-d",
        &decode,
        "-Y",
        "rtcp",
        "-T",
        "fields",
        "-e",
        "rtcp.pt",
    ];
    let seen = tshark.output(system.root(), &fields);
    let kinds: Vec<&str> = seen.lines().collect();
    assert_eq!(kinds, ["200,202", "200,203"]);
}

/// The next receiver report, and where it came from.
fn next_report(socket: &UdpSocket, limit: Duration) -> Option<(Report, SocketAddr)> {
    reports_until(socket, limit, |_| true)
}

fn reports_until(
    socket: &UdpSocket,
    limit: Duration,
    is_wanted: impl Fn(&Report) -> bool,
) -> Option<(Report, SocketAddr)> {
    let until = Instant::now() + limit;
    let mut buffer = [0; 1_500];
    socket.set_nonblocking(true).expect("a socket");
    while Instant::now() < until {
        let Ok((size, from)) = socket.recv_from(&mut buffer) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let report = Report::parse(&buffer[..size]).expect("a compound packet, a report first");
        if is_wanted(&report) {
            return Some((report, from));
        }
    }
    None
}

fn drain(socket: &UdpSocket) {
    while next_report(socket, Duration::from_millis(1)).is_some() {}
}
