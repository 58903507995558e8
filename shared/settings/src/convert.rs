//! Raw settings to checked ones, key by key; `clash` then holds keys against each other.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::check::{Checker, quoted};
use crate::document::Document;
use crate::problem::SettingsError;
use crate::quantity::display_size;
use crate::raw::{RawJournal, RawLifecycle, RawLog, RawMedia, RawNode, RawRecordings, RawSip};
use crate::settings::{
    Advertise, IngestKind, Journal, KeepPackets, Lifecycle, Log, LogFormat, LogLevel, Media,
    MediaAddress, MediaInterface, Node, PlainInvite, PortRange, Recordings, SameSession, Settings,
    Sip, SipListen, SipTransport, SourcePolicy, StunServer, Timestamps, WhenCritical,
};
use crate::{clash, http, limits, peers, sip_limits, srtp, store};

/// Checks everything that needs no machine.
pub(crate) fn convert(document: Document) -> Result<Settings, SettingsError> {
    let Document {
        raw,
        line_by_key,
        problems,
    } = document;
    let mut checker = Checker::new(&line_by_key, problems);
    let node = node(&mut checker, &raw.node);
    let sip = sip(&mut checker, &raw.sip);
    let tls = peers::tls(&mut checker, &raw.tls);
    let access = peers::access(&mut checker, &raw.access);
    let digest = peers::digest(&mut checker, &raw.digest);
    let store = store::store(&mut checker, &raw.store, &node.state_dir);
    let srtp = srtp::srtp(&mut checker, &raw.srtp);
    let peers = peers::peers(&mut checker, &raw, &sip, &srtp);
    let media = media(&mut checker, &raw.media, sip.max_calls);
    let journal = journal(&mut checker, &raw.journal, &node.state_dir);
    let recordings = recordings(&mut checker, &raw.recordings);
    let http = http::http(&mut checker, &raw.http);
    let lifecycle = lifecycle(&mut checker, &raw.lifecycle);
    let log = log(&mut checker, &raw.log);

    clash::sip(&mut checker, &raw.sip, &sip);
    clash::media(&mut checker, &raw, &media, &journal, &sip);
    clash::recordings(&mut checker, &raw.recordings, &recordings);
    clash::folders(&mut checker, &raw, &node, &store, &journal, &recordings);
    clash::listeners(&mut checker, &raw.sip, &sip);
    http::clashes(&mut checker, &raw.http, &http, &sip);
    clash::identities(&mut checker, &raw, &sip, &tls, &digest, &peers);
    SettingsError::unless_none(checker.into_problems())?;
    Ok(Settings {
        node,
        sip,
        tls,
        access,
        digest,
        peers,
        store,
        srtp,
        media,
        journal,
        recordings,
        http,
        lifecycle,
        log,
        raw,
        line_by_key,
    })
}

fn node(checker: &mut Checker<'_>, raw: &RawNode) -> Node {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let length_max = limits::NODE_NAME_LENGTH_MAX;
    if raw.name.is_empty()
        || raw.name.len() > length_max
        || !raw.name.chars().all(is_fit)
        || raw.name.starts_with('-')
        || raw.name.ends_with('-')
    {
        let allowed = format!("1 to {length_max} letters, digits and inner hyphens");
        checker.not_allowed("node.name", quoted(&raw.name), allowed);
    }
    let control_socket = socket(checker, "node.control_socket", &raw.control_socket);
    let operator_socket = socket(checker, "node.operator_socket", &raw.operator_socket);
    let state_dir = path(checker, "node.state_dir", &raw.state_dir);
    let key_file = path_or(checker, "node.key_file", &raw.key_file, || {
        state_dir.join("node.key")
    });
    Node {
        name: raw.name.clone(),
        state_dir,
        key_file,
        core_dumps: raw.core_dumps,
        control_socket,
        operator_socket,
    }
}

/// The path of a Unix socket.
fn socket(checker: &mut Checker<'_>, key: &'static str, text: &str) -> PathBuf {
    let length_max = limits::SOCKET_PATH_LENGTH_MAX;
    if text.len() > length_max {
        let allowed = format!("a path of at most {length_max} octets (a Unix socket's limit)");
        checker.not_allowed(key, quoted(text), allowed);
    }
    path(checker, key, text)
}

fn sip(checker: &mut Checker<'_>, raw: &RawSip) -> Sip {
    Sip {
        listen: sip_listen(checker, &raw.listen),
        advertise: advertise(checker, &raw.advertise),
        strict: raw.strict,
        plain_invite: checker.choice(
            "sip.plain_invite",
            &raw.plain_invite,
            &[
                ("accept", PlainInvite::Accept),
                ("refuse", PlainInvite::Refuse),
            ],
        ),
        start_paused: raw.start_paused,
        same_session: checker.choice(
            "sip.same_session",
            &raw.same_session,
            &[
                ("off", SameSession::Off),
                ("join", SameSession::Join),
                ("new", SameSession::New),
            ],
        ),
        max_calls: checker.count("sip.max_calls", raw.max_calls, &limits::CALLS),
        streams_per_call_max: checker.count(
            "sip.streams_per_call_max",
            raw.streams_per_call_max,
            &limits::STREAMS_PER_CALL,
        ),
        call_duration_max: checker.duration(
            "sip.call_duration_max",
            &raw.call_duration_max,
            &limits::CALL_DURATION,
        ),
        session_expires: checker.seconds(
            "sip.session_expires",
            &raw.session_expires,
            &limits::SESSION_EXPIRES,
        ),
        session_expires_min: checker.seconds(
            "sip.session_expires_min",
            &raw.session_expires_min,
            &limits::SESSION_EXPIRES,
        ),
        session_check_interval: match raw.session_check_interval.as_str() {
            "0 s" => Duration::ZERO,
            text => checker.seconds("sip.session_check_interval", text, &limits::SESSION_CHECK),
        },
        session_timeout: checker.seconds(
            "sip.session_timeout",
            &raw.session_timeout,
            &limits::SESSION_TIMEOUT,
        ),
        engine_answer_timeout: checker.duration(
            "sip.engine_answer_timeout",
            &raw.engine_answer_timeout,
            &limits::ANSWER,
        ),
        callee_answer_timeout: checker.duration(
            "sip.callee_answer_timeout",
            &raw.callee_answer_timeout,
            &limits::CALLEE_ANSWER,
        ),
        retry_after: checker.seconds("sip.retry_after", &raw.retry_after, &limits::RETRY_AFTER),
        limits: sip_limits::sip_limits(checker, raw),
        require_sips: raw.require_sips,
        t1: checker.duration("sip.t1", &raw.t1, &limits::SIP_T1),
        t2: checker.duration("sip.t2", &raw.t2, &limits::SIP_T2),
        t4: checker.duration("sip.t4", &raw.t4, &limits::SIP_T4),
        server_header: server_header(checker, &raw.server_header),
    }
}

fn sip_listen(checker: &mut Checker<'_>, raw: &[String]) -> Vec<SipListen> {
    let count_max = limits::LISTEN_COUNT_MAX;
    if raw.is_empty() || raw.len() > count_max {
        let allowed = format!("1 to {count_max} addresses such as \"udp:0.0.0.0:5060\"");
        checker.not_allowed(
            "sip.listen",
            format_args!("a list of {}", raw.len()),
            allowed,
        );
    }
    let mut listen = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        let parts = text.split_once(':').and_then(|(transport, address)| {
            let transport = match transport {
                "udp" => SipTransport::Udp,
                "tcp" => SipTransport::Tcp,
                "tls" => SipTransport::Tls,
                _ => return None,
            };
            Some(SipListen {
                transport,
                address: listen_address(address)?,
            })
        });
        match parts {
            Some(parts) => listen.push(parts),
            None => checker.not_allowed(
                &format!("sip.listen[{index}]"),
                quoted(text),
                "udp, tcp or tls, an IP address, a port from 1 to 65535, \
                 such as \"udp:192.0.2.1:5060\" or \"tcp:[::]:5060\"",
            ),
        }
    }
    listen
}

pub(crate) fn listen_address(text: &str) -> Option<SocketAddr> {
    let address: SocketAddr = text.parse().ok()?;
    (address.port() != 0 && !is_many(address.ip())).then_some(address)
}

/// `auto`, an address, or `stun:HOST:PORT`.
fn advertise(checker: &mut Checker<'_>, text: &str) -> Advertise {
    if let Some(server) = text.strip_prefix("stun:") {
        let server = stun_server(server).unwrap_or_else(|| {
            let allowed = "stun:HOST:PORT, such as \"stun:stun.example.com:3478\" or \
                           \"stun:[2001:db8::1]:3478\"";
            checker.not_allowed("sip.advertise", quoted(text), allowed);
            StunServer {
                host: String::new(),
                port: 0,
            }
        });
        return Advertise::Stun(server);
    }
    let allowed = "\"auto\", the IP address of one host, such as \"192.0.2.1\", or a STUN server, such \
                   as \"stun:stun.example.com:3478\"";
    match host_address(checker, "sip.advertise", text, allowed) {
        None => Advertise::Auto,
        Some(address) => Advertise::Address(address),
    }
}

fn stun_server(text: &str) -> Option<StunServer> {
    let (host, port) = text.rsplit_once(':')?;
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let is_good = match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => {
            (1..=limits::HOST_NAME_LENGTH_MAX).contains(&host.len()) && host.chars().all(is_name)
        }
    };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    is_good.then(|| StunServer {
        host: inner.unwrap_or(host).to_owned(),
        port,
    })
}

/// `None` is "auto".
fn host_address(checker: &mut Checker<'_>, key: &str, text: &str, allowed: &str) -> Option<IpAddr> {
    if text == "auto" {
        return None;
    }
    let address = text
        .parse()
        .ok()
        .filter(|ip: &IpAddr| !ip.is_unspecified() && !is_many(*ip));
    if address.is_none() {
        checker.not_allowed(key, quoted(text), allowed);
    }
    address
}

/// What is allowed where a host's address is asked for.
const HOST: &str = "\"auto\" or the IP address of one host, such as \"192.0.2.1\"";

/// Whether an address names more than one host.
pub(crate) fn is_many(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

fn server_header(checker: &mut Checker<'_>, text: &str) -> Option<String> {
    let length_max = limits::SERVER_HEADER_LENGTH_MAX;
    if text.len() > length_max || !text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        let allowed = format!("0 to {length_max} printable ASCII characters");
        checker.not_allowed("sip.server_header", quoted(text), allowed);
    }
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn media(checker: &mut Checker<'_>, raw: &RawMedia, max_calls: u32) -> Media {
    Media {
        ingest: checker.choice(
            "media.ingest",
            &raw.ingest,
            &[
                ("auto", IngestKind::Auto),
                ("packet-ring", IngestKind::PacketRing),
                ("udp", IngestKind::Udp),
            ],
        ),
        address: match host_address(checker, "media.address", &raw.address, HOST) {
            None => MediaAddress::Auto,
            Some(address) => MediaAddress::Address(address),
        },
        ports: ports(checker, &raw.ports),
        cores: cores(checker, &raw.cores),
        interface: interface(checker, &raw.interface),
        ring_size: ring_size(checker, &raw.ring_size, max_calls, raw.cores.len()),
        timestamps: checker.choice(
            "media.timestamps",
            &raw.timestamps,
            &[("kernel", Timestamps::Kernel), ("card", Timestamps::Card)],
        ),
        tick: checker.duration("media.tick", &raw.tick, &limits::TICK),
        commit_interval: checker.duration(
            "media.commit_interval",
            &raw.commit_interval,
            &limits::COMMIT_INTERVAL,
        ),
        port_quarantine: checker.duration(
            "media.port_quarantine",
            &raw.port_quarantine,
            &limits::PORT_QUARANTINE,
        ),
        source_policy: checker.choice(
            "media.source_policy",
            &raw.source_policy,
            &[
                ("latch", SourcePolicy::Latch),
                ("strict", SourcePolicy::Strict),
                ("open", SourcePolicy::Open),
            ],
        ),
        relatch_after: checker.duration(
            "media.relatch_after",
            &raw.relatch_after,
            &limits::RELATCH_AFTER,
        ),
        orphan_timeout: checker.duration(
            "media.orphan_timeout",
            &raw.orphan_timeout,
            &limits::ORPHAN_TIMEOUT,
        ),
        packet_size_max: checker.size(
            "media.packet_size_max",
            &raw.packet_size_max,
            &limits::PACKET_SIZE,
        ),
    }
}

fn interface(checker: &mut Checker<'_>, text: &str) -> MediaInterface {
    if text == "auto" {
        return MediaInterface::Auto;
    }
    // What the kernel takes as a name.
    let is_fit = |c: char| c.is_ascii_graphic() && !"/:\"".contains(c);
    let length_max = limits::INTERFACE_NAME_LENGTH_MAX;
    if text.is_empty() || text.len() > length_max || !text.chars().all(is_fit) {
        let allowed = "\"auto\" or the name of a network interface, such as \"eth0\"";
        checker.not_allowed("media.interface", quoted(text), allowed);
    }
    MediaInterface::Named(text.to_owned())
}

fn ring_size(checker: &mut Checker<'_>, text: &str, max_calls: u32, cores: usize) -> u64 {
    let smallest = limits::RING_SIZE_PER_CORE_MIN.saturating_mul(cores as u64);
    if text == "auto" {
        return (u64::from(max_calls) * limits::RING_SIZE_PER_CALL).max(smallest);
    }
    let size = checker.size("media.ring_size", text, &limits::RING_SIZE);
    if checker.is_good("media.ring_size") && checker.is_good("media.cores") && size < smallest {
        checker.clash(
            "media.ring_size",
            quoted(text),
            format_args!("{cores} cores of media.cores"),
            format_args!("give each {}", display_size(limits::RING_SIZE_PER_CORE_MIN)),
        );
    }
    size
}

fn ports(checker: &mut Checker<'_>, text: &str) -> PortRange {
    let allowed_range: &RangeInclusive<u16> = &limits::MEDIA_PORTS;
    let range = text.split_once('-').and_then(|(first, last)| {
        let port = |text: &str| {
            let is_digits = text.bytes().all(|octet| octet.is_ascii_digit());
            text.parse()
                .ok()
                .filter(|port| is_digits && allowed_range.contains(port))
        };
        Some(PortRange {
            first: port(first)?,
            last: port(last)?,
        })
    });
    match range {
        // Even and odd: then first < last is the same as first <= last.
        Some(range) if range.first % 2 == 0 && range.last % 2 == 1 && range.first < range.last => {
            range
        }
        Some(_) | None => {
            checker.not_allowed(
                "media.ports",
                quoted(text),
                format_args!(
                    "an even first and a higher, odd last port within {} to {}, \
                     such as \"10000-19999\"",
                    allowed_range.start(),
                    allowed_range.end(),
                ),
            );
            PortRange {
                first: *allowed_range.start(),
                last: *allowed_range.end(),
            }
        }
    }
}

fn cores(checker: &mut Checker<'_>, raw: &[i64]) -> Vec<u32> {
    let count_max = limits::CORE_COUNT_MAX;
    if raw.is_empty() || raw.len() > count_max {
        let allowed = format!("1 to {count_max} numbers of cores, such as [0]");
        checker.not_allowed(
            "media.cores",
            format_args!("a list of {}", raw.len()),
            allowed,
        );
    }
    let mut cores = Vec::new();
    for (index, value) in raw.iter().enumerate() {
        let key = format!("media.cores[{index}]");
        let core = checker.count(&key, *value, &limits::CORE_NUMBER);
        if checker.is_good(&key) && cores.contains(&core) {
            checker.clash(&key, core, "core stands there twice", "name each core once");
        }
        cores.push(core);
    }
    cores
}

fn journal(checker: &mut Checker<'_>, raw: &RawJournal, state_dir: &Path) -> Journal {
    let segment_size = checker.size(
        "journal.segment_size",
        &raw.segment_size,
        &limits::SEGMENT_SIZE,
    );
    if !segment_size.is_multiple_of(limits::SEGMENT_SIZE_STEP) {
        let allowed = format!("a multiple of {} MiB", limits::SEGMENT_SIZE_STEP >> 20);
        checker.not_allowed("journal.segment_size", quoted(&raw.segment_size), allowed);
    }
    Journal {
        dir: path_or(checker, "journal.dir", &raw.dir, || {
            state_dir.join("journal")
        }),
        segment_size,
        segments_max: checker.count("journal.segments_max", raw.segments_max, &limits::SEGMENTS),
        checkpoint_interval: checker.duration(
            "journal.checkpoint_interval",
            &raw.checkpoint_interval,
            &limits::CHECKPOINT_INTERVAL,
        ),
    }
}

fn recordings(checker: &mut Checker<'_>, raw: &RawRecordings) -> Recordings {
    let dir = path(checker, "recordings.dir", &raw.dir);
    Recordings {
        incoming_dir: path_or(
            checker,
            "recordings.incoming_dir",
            &raw.incoming_dir,
            || dir.join("incoming"),
        ),
        dir,
        keep_packets: checker.choice(
            "recordings.keep_packets",
            &raw.keep_packets,
            &[
                ("unrendered", KeepPackets::Unrendered),
                ("always", KeepPackets::Always),
                ("never", KeepPackets::Never),
            ],
        ),
        disk_high_watermark: checker.percent(
            "recordings.disk_high_watermark",
            &raw.disk_high_watermark,
            &limits::DISK_FILL,
        ),
        disk_critical_watermark: checker.percent(
            "recordings.disk_critical_watermark",
            &raw.disk_critical_watermark,
            &limits::DISK_FILL,
        ),
        when_critical: checker.choice(
            "recordings.when_critical",
            &raw.when_critical,
            &[
                ("stop-new", WhenCritical::StopNew),
                ("drop-packets-first", WhenCritical::DropPacketsFirst),
            ],
        ),
        publish_threads: checker.count(
            "recordings.publish_threads",
            raw.publish_threads,
            &limits::PUBLISH_THREADS,
        ),
        join_parts: raw.join_parts,
    }
}

fn lifecycle(checker: &mut Checker<'_>, raw: &RawLifecycle) -> Lifecycle {
    Lifecycle {
        handover: raw.handover,
        shutdown_timeout: checker.duration(
            "lifecycle.shutdown_timeout",
            &raw.shutdown_timeout,
            &limits::SHUTDOWN_TIMEOUT,
        ),
    }
}

fn log(checker: &mut Checker<'_>, raw: &RawLog) -> Log {
    let levels = [
        LogLevel::Error,
        LogLevel::Warn,
        LogLevel::Info,
        LogLevel::Debug,
        LogLevel::Trace,
    ]
    .map(|level| (level.as_str(), level));
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    Log {
        level: checker.choice("log.level", &raw.level, &levels),
        format: checker.choice("log.format", &raw.format, &formats),
    }
}

pub(crate) fn path(checker: &mut Checker<'_>, key: &str, text: &str) -> PathBuf {
    if text.is_empty() || text.contains('\0') {
        checker.not_allowed(
            key,
            quoted(text),
            "a path, absolute or from the current folder",
        );
    }
    PathBuf::from(text)
}

pub(crate) fn path_or(
    checker: &mut Checker<'_>,
    key: &str,
    text: &str,
    automatic: impl FnOnce() -> PathBuf,
) -> PathBuf {
    if text == "auto" {
        automatic()
    } else {
        path(checker, key, text)
    }
}
