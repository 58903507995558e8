//! SIPp plays the scenarios that ship with the project: no call may fail, and each is recorded.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_e2e::certificates::Authority;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::tools::Tool;
use holdfast_e2e::wait::{PATIENCE, wait_for};
use holdfast_load::tls::{Client, Stream, Versions};
use holdfast_load::verify::Published;
use holdfast_manifest::MarkKind;

#[test]
fn an_rfc_style_call_over_udp() {
    let recordings = play("siprec_invite.xml", 1, &["-m", "1"]);
    for published in recordings {
        let call = &published.manifest.call;
        assert_eq!(
            (call.sip.transport.as_str(), call.participants.len()),
            ("udp", 2)
        );
        assert_eq!((call.channels.len(), call.sessions.len()), (2, 1));
        assert_eq!(call.warnings, []);
    }
}

#[test]
fn an_rfc_style_call_over_tcp() {
    let recordings = play("siprec_invite.xml", 1, &["-m", "1", "-t", "t1"]);
    for published in recordings {
        assert_eq!(published.manifest.call.sip.transport, "tcp");
    }
}

#[test]
fn twenty_calls_ten_a_second() {
    play("siprec_invite.xml", 20, &["-m", "20", "-r", "10"]);
}

#[test]
fn a_pause_and_its_end_by_reinvite() {
    let recordings = play("siprec_reinvite.xml", 1, &["-m", "1"]);
    for published in recordings {
        for stream in &published.manifest.streams {
            let is_pause = |kind: &&MarkKind| matches!(kind, MarkKind::Pause | MarkKind::Resume);
            let marks = stream.marks.iter().map(|mark| &mark.kind);
            let pauses: Vec<_> = marks.filter(is_pause).collect();
            assert_eq!(pauses, [&MarkKind::Pause, &MarkKind::Resume]);
        }
    }
}

#[test]
fn a_transfer_told_by_update() {
    let recordings = play("siprec_update.xml", 1, &["-m", "1"]);
    for published in recordings {
        let carried: Vec<_> = published
            .manifest
            .call
            .metadata
            .iter()
            .map(|document| document.carried_by.as_str())
            .collect();
        assert_eq!(carried, ["INVITE", "UPDATE"]);
        // The one who was transferred to is the third.
        assert_eq!(published.manifest.call.participants.len(), 3);
    }
}

#[test]
fn encrypted_media_is_answered_line_by_line() {
    let options = Options::new().set("srtp", "keys_without_tls = \"accept\"");
    let system = System::start(&options);
    let recordings = play_at(&system, "siprec_srtp.xml", 1, &["-m", "1"]);
    assert_encrypted(&recordings);
}

/// What is played over TCP above and what is not, over the one connection.
#[test]
fn each_scenario_over_tcp() {
    let options = Options::new().set("srtp", "keys_without_tls = \"accept\"");
    for scenario in [
        "siprec_reinvite.xml",
        "siprec_update.xml",
        "siprec_srtp.xml",
    ] {
        let system = System::start(&options);
        let recordings = play_at(&system, scenario, 1, &["-m", "1", "-t", "t1"]);
        for published in recordings {
            assert_eq!(published.manifest.call.sip.transport, "tcp", "{scenario}");
        }
    }
}

/// Debian's SIPp is built without TLS: it says that it speaks it, and a relay does.
#[test]
fn each_scenario_over_tls() {
    let authority = Authority::new("one");
    let options = Options::new().tls(&authority.issue("srs.example.com"));
    for name in [
        "siprec_invite.xml",
        "siprec_reinvite.xml",
        "siprec_update.xml",
        "siprec_srtp.xml",
    ] {
        let system = System::start(&options);
        let relay = TlsRelay::start(authority.client(Versions::Both), &system);
        let scenario = fs::read_to_string(scenarios().join(name)).expect("a scenario");
        let scenario = scenario.replace("[transport]", "TLS");
        let path = system.root().join(name);
        fs::write(&path, scenario).expect("a copy of it");
        let arguments = ["-m", "1", "-t", "t1"];
        let recordings = play_to(&system, relay.address, &path, 1, &arguments);
        for published in &recordings {
            assert_eq!(published.manifest.call.sip.transport, "tls", "{name}");
        }
        if name == "siprec_srtp.xml" {
            assert_encrypted(&recordings);
        }
    }
}

fn assert_encrypted(recordings: &[Published]) {
    for published in recordings {
        let streams = published.manifest.streams.iter();
        let suites: Vec<_> = streams.map(|stream| stream.srtp.as_deref()).collect();
        assert_eq!(suites, [Some("AES_CM_128_HMAC_SHA1_80"); 2]);
    }
}

/// Plays a scenario; gives the `count` recordings it leaves. None where SIPp is absent.
fn play(scenario: &str, count: usize, arguments: &[&str]) -> Vec<Published> {
    let system = System::start(&Options::new());
    play_at(&system, scenario, count, arguments)
}

fn play_at(system: &System, scenario: &str, count: usize, arguments: &[&str]) -> Vec<Published> {
    let scenario = scenarios().join(scenario);
    play_to(system, system.sip(), &scenario, count, arguments)
}

fn play_to(
    system: &System,
    target: SocketAddr,
    scenario: &Path,
    count: usize,
    arguments: &[&str],
) -> Vec<Published> {
    let Some(sipp) = Tool::find("sipp") else {
        return Vec::new();
    };
    // The reports at the end of a call go to ports that nobody has opened: that is fine.
    let target = target.to_string();
    let (local, port) = (
        system.host().to_string(),
        system.caller_ports().0.to_string(),
    );
    let scenario = scenario.display().to_string();
    let fixed = [
        "-sf",
        &scenario,
        "-s",
        "1000",
        "-i",
        &local,
        "-p",
        &port,
        "-nostdin",
        "-trace_err",
        "-error_file",
        "errors.log",
        "-timeout",
        "50",
        &target,
    ];
    let output = sipp.run(system.root(), &[arguments, &fixed].concat());
    let errors = std::fs::read_to_string(system.root().join("errors.log")).unwrap_or_default();
    assert!(
        output.status.success(),
        "{}\n{errors}",
        String::from_utf8_lossy(&output.stdout)
    );
    let recordings = wait_for("all recordings are published", || {
        let found = system.all_recordings();
        (found.len() >= count).then_some(found)
    });
    assert_eq!(recordings.len(), count);
    recordings
}

/// Takes one connection and carries it on over TLS.
struct TlsRelay {
    address: SocketAddr,
}

impl TlsRelay {
    /// A relay to a system. It ends with the connection.
    fn start(client: Client, system: &System) -> Self {
        let listener = TcpListener::bind((system.host(), 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let target = system.sips();
        std::thread::spawn(move || -> io::Result<()> {
            let (mut near, _) = listener.accept()?;
            let mut far = Stream::Tls(client.connect(target, PATIENCE)?);
            near.set_read_timeout(Some(TURN))?;
            far.set_read_timeout(Some(TURN))?;
            let mut buffer = vec![0; 65_536];
            while carry(&mut near, &mut far, &mut buffer)?
                && carry(&mut far, &mut near, &mut buffer)?
            {}
            Ok(())
        });
        Self { address }
    }
}

/// Carries on what there is within a turn; false at the end of it all.
fn carry(from: &mut impl Read, to: &mut impl Write, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read(buffer) {
        Ok(0) => Ok(false),
        Ok(count) => {
            to.write_all(&buffer[..count])?;
            to.flush()?;
            Ok(true)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// How long a relay waits for one side before it looks at the other.
const TURN: Duration = Duration::from_millis(2);

fn scenarios() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../perf/sipp")
}
