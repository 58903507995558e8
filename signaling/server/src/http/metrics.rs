//! The metrics: a [`Status`] in the text format of Prometheus, which every scraper reads.
//!
//! Numbers are kept where they are counted; here they get names. Each name stands once, with its
//! meaning, and docs/metrics.md is written from them. Labels are shards, methods, codes, reasons and
//! the like: never a call, a peer or anything else that grows.

mod store;

use std::fmt;

use holdfast_control::status::Status;
use holdfast_control::{ShardStatistics, StageLatency};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// Content-Type of what [`render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics, as text.
pub fn render(status: Status, latencies: Vec<StageLatency>) -> String {
    let mut registry = Registry::with_prefix("holdfast");
    registry.register_collector(Box::new(Snapshot { status, latencies }));
    let mut out = String::new();
    // A String takes all that is written to it.
    let _ = prometheus_text::encode(&mut out, &registry);
    out
}

#[derive(Debug)]
struct Snapshot {
    status: Status,
    latencies: Vec<StageLatency>,
}

/// A label and its value.
type Label<'a> = (&'static str, &'a str);

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out { encoder };
        let status = &self.status;
        of_server(&mut out, status)?;
        of_calls(&mut out, status)?;
        store::of_store(&mut out, &status.store)?;
        of_sip(&mut out, status)?;
        of_connections(&mut out, status)?;
        of_engine(&mut out, status)?;
        of_shards(&mut out, &status.engine.shards)?;
        of_journals(&mut out, &status.engine.shards)?;
        of_latencies(&mut out, &self.latencies)
    }
}

struct Out<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl Out<'_> {
    /// A counter; `_total` is added to its name.
    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Vec<Label<'a>>, f64)>,
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Vec<Label<'a>>, f64)>,
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut metric = self.encoder.encode_descriptor(name, help, None, kind)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut metric = self.encoder.encode_descriptor(name, help, None, kind)?;
        metric.encode_gauge(&value)
    }
}

fn of_server(out: &mut Out<'_>, status: &Status) -> fmt::Result {
    out.gauges(
        "build_info",
        "Always 1; version and name of this node",
        [(
            vec![("version", status.version.as_str()), ("node", &status.node)],
            1.0,
        )],
    )?;
    let seconds = |time: holdfast_units::WallTime| time.0 as f64 / 1e9;
    out.gauge(
        "signaling_start_time_seconds",
        "When the signaling process was started, since 1970",
        seconds(status.started),
    )?;
    out.gauge(
        "ready",
        "1 where new calls are recorded",
        flag(status.is_ready),
    )?;
    let checks = [
        "engine",
        "disk",
        "store",
        "certificate",
        "drain",
        "shutdown",
    ]
    .map(|name| {
        let is_bad = status.faults().any(|check| check.name == name);
        (vec![("check", name)], flag(!is_bad))
    });
    out.gauges(
        "check_good",
        "1 where this does not stand in the way of new calls",
        checks,
    )?;
    out.gauges(
        "certificate_expiry_timestamp_seconds",
        "When a certificate of ours expires, since 1970",
        status
            .certificates
            .iter()
            .map(|it| (vec![("key", it.key.as_str())], it.expires_at as f64)),
    )?;
    let process = &status.process;
    out.counters(
        "signaling_cpu_seconds",
        "CPU time of the signaling process",
        [(vec![], process.cpu_us as f64 / 1e6)],
    )?;
    out.gauge(
        "signaling_resident_memory_bytes",
        "Memory of the signaling process",
        process.memory as f64,
    )?;
    out.gauge(
        "signaling_inbox_messages",
        "What arrived and waits for the recorder",
        process.inbox as f64,
    )?;
    out.gauge(
        "signaling_inbox_limit_messages",
        "How much may wait; then sockets are not read",
        process.inbox_max as f64,
    )
}

fn of_calls(out: &mut Out<'_>, status: &Status) -> fmt::Result {
    let calls = &status.calls;
    out.gauges(
        "calls",
        "Calls by state: active, publishing, or orphan (held by the engine, known to nobody)",
        [
            (vec![("state", "active")], calls.active as f64),
            (vec![("state", "publishing")], calls.publishing as f64),
            (vec![("state", "orphan")], calls.orphans as f64),
        ],
    )?;
    out.gauge("calls_limit", "sip.max_calls", calls.max as f64)?;
    out.gauge(
        "port_pairs",
        "Pairs of ports that streams have",
        calls.port_pairs as f64,
    )?;
    out.gauge(
        "port_pairs_limit",
        "Pairs of ports in media.ports, as the engine has divided them",
        calls.port_pairs_max as f64,
    )?;
    out.counter(
        "recordings_published",
        "Recordings published",
        calls.published,
    )?;
    out.counter(
        "recordings_packets",
        "RTP packets in published recordings",
        calls.packets,
    )?;
    out.counter(
        "recordings_lost_packets",
        "RTP packets that are missing in published recordings, by their sequence numbers",
        calls.lost,
    )
}

fn of_sip(out: &mut Out<'_>, status: &Status) -> fmt::Result {
    let sip = &status.sip;
    let requests = [
        ("received", &sip.requests_received),
        ("sent", &sip.requests_sent),
    ];
    let requests = requests.iter().flat_map(|(way, methods)| {
        methods.iter().map(move |(method, count)| {
            (
                vec![("direction", *way), ("method", method.as_str())],
                *count as f64,
            )
        })
    });
    out.counters("sip_requests", "SIP requests, copies included", requests)?;
    let responses = [
        ("received", &sip.responses_received),
        ("sent", &sip.responses_sent),
    ];
    let responses = responses.iter().flat_map(|(way, methods)| {
        methods.iter().flat_map(move |(method, codes)| {
            codes.iter().map(move |(code, count)| {
                let labels = vec![
                    ("direction", *way),
                    ("method", method.as_str()),
                    ("code", code.as_str()),
                ];
                (labels, *count as f64)
            })
        })
    });
    out.counters("sip_responses", "SIP responses, copies included", responses)?;
    out.counter(
        "sip_invites",
        "INVITEs that would begin a call",
        sip.invites,
    )?;
    out.counter(
        "sip_invites_answered",
        "Of these, answered 200",
        sip.answered,
    )?;
    let refused: Vec<(String, u64)> = sip
        .refused
        .iter()
        .map(|(code, count)| (code.to_string(), *count))
        .collect();
    out.counters(
        "sip_invites_refused",
        "And refused, by code",
        refused
            .iter()
            .map(|(code, count)| (vec![("code", code.as_str())], *count as f64)),
    )?;
    out.counters(
        "sip_rejected",
        "What was kept out: not readable, no SIP, 401, 403 or 480, too many of one address",
        [
            ("malformed", sip.malformed),
            ("junk", sip.junk),
            ("challenged", sip.challenged),
            ("forbidden", sip.forbidden),
            ("too_fast", sip.too_fast),
        ]
        .map(|(cause, count)| (vec![("cause", cause)], count as f64)),
    )?;
    out.gauge(
        "sip_transactions",
        "SIP transactions there are",
        sip.transactions as f64,
    )?;
    out.gauge("sip_dialogs", "SIP dialogs there are", sip.dialogs as f64)?;
    out.counter(
        "log_lines_left_out",
        "Log lines that peers caused beyond what is logged of such",
        sip.lines_left_out,
    )
}

fn of_connections(out: &mut Out<'_>, status: &Status) -> fmt::Result {
    let connections = &status.connections;
    out.gauges(
        "sip_connections",
        "Open connections of SIP",
        [
            (vec![("transport", "tcp")], connections.tcp as f64),
            (vec![("transport", "tls")], connections.tls as f64),
        ],
    )?;
    out.gauge(
        "sip_connections_limit",
        "sip.connections_max",
        connections.max as f64,
    )?;
    out.counters(
        "sip_connections_closed_early",
        "Connections refused, closed for a new one, or without a TLS handshake",
        [
            ("refused", connections.refused),
            ("displaced", connections.displaced),
            ("handshake", connections.handshakes_failed),
        ]
        .map(|(cause, count)| (vec![("cause", cause)], count as f64)),
    )
}

fn of_engine(out: &mut Out<'_>, status: &Status) -> fmt::Result {
    let engine = &status.engine;
    out.gauge(
        "engine_connected",
        "1 where the media engine is connected",
        flag(engine.is_connected),
    )?;
    out.counter(
        "engine_connections",
        "Connections to the media engine that came about",
        engine.connections,
    )?;
    out.gauge(
        "engine_willing",
        "1 where the media engine takes further recordings",
        flag(engine.health.unwilling.is_none()),
    )?;
    out.gauge(
        "disk_used_ratio",
        "Use of the file system of the recordings, as the watermarks count it",
        f64::from(engine.health.disk_used_permille) / 1_000.0,
    )?;
    let statistics = engine.statistics.as_ref();
    let ingest = statistics.map(|it| (vec![("ingest", it.ingest.as_str())], 1.0));
    out.gauges(
        "engine_ingest_info",
        "Always 1; how packets come in",
        ingest,
    )?;
    let started = statistics.map(|it| (vec![], it.started.0 as f64 / 1e9));
    out.gauges(
        "engine_start_time_seconds",
        "When the media engine began to receive, since 1970",
        started,
    )?;
    out.counters(
        "engine_cpu_seconds",
        "CPU time of the media engine",
        statistics.map(|it| (vec![], it.cpu_us as f64 / 1e6)),
    )?;
    out.gauges(
        "engine_resident_memory_bytes",
        "Memory of the media engine",
        statistics.map(|it| (vec![], it.memory as f64)),
    )?;
    let disks = statistics.map_or(&[][..], |it| &it.disks);
    out.gauges(
        "disk_size_bytes",
        "Size of a file system",
        disks
            .iter()
            .map(|it| (vec![("disk", it.name.as_str())], it.size as f64)),
    )?;
    out.gauges(
        "disk_free_bytes",
        "What the engine may still take of a file system",
        disks
            .iter()
            .map(|it| (vec![("disk", it.name.as_str())], it.free as f64)),
    )
}

fn of_shards(out: &mut Out<'_>, shards: &[ShardStatistics]) -> fmt::Result {
    let names: Vec<String> = shards.iter().map(|it| it.shard.to_string()).collect();
    let named = || names.iter().map(String::as_str).zip(shards);
    let gauge = |of: fn(&ShardStatistics) -> f64| {
        named().map(move |(name, shard)| (vec![("shard", name)], of(shard)))
    };
    out.gauges(
        "shard_core",
        "The core that a shard is pinned to",
        gauge(|it| f64::from(it.core)),
    )?;
    out.gauges(
        "shard_streams",
        "Streams that receive",
        gauge(|it| it.streams as f64),
    )?;
    out.gauges(
        "shard_recordings",
        "Recordings that are not published yet",
        gauge(|it| it.recordings as f64),
    )?;
    let fates = named().flat_map(|(name, it)| {
        let refused: u64 = it.refused.iter().map(|refused| refused.count).sum();
        [
            ("recorded", it.packets),
            ("refused", refused),
            ("stray", it.strays),
            ("dropped", it.kernel_drops),
            ("unwritten", it.unwritten),
        ]
        .map(|(fate, count)| (vec![("shard", name), ("fate", fate)], count as f64))
    });
    out.counters(
        "packets",
        "Datagrams by fate: into the journal; refused by a guard; to a port without stream; dropped by \
         the kernel; not taken by the journal",
        fates,
    )?;
    let octets = named().map(|(name, it)| (vec![("shard", name)], it.octets as f64));
    out.counters("packet_bytes", "Octets that went into the journal", octets)?;
    let refused = named().flat_map(|(name, it)| {
        it.refused.iter().map(move |refused| {
            let labels = vec![("shard", name), ("reason", refused.reason.as_str())];
            (labels, refused.count as f64)
        })
    });
    out.counters("packets_refused", "Datagrams refused, by reason", refused)?;
    let odd = named().flat_map(|(name, it)| {
        [("duplicate", it.duplicates), ("late", it.late)]
            .map(|(kind, count)| (vec![("shard", name), ("kind", kind)], count as f64))
    });
    out.counters(
        "packets_out_of_order",
        "RTP packets that had come before, or came after a later one",
        odd,
    )?;
    out.counters(
        "srtp_mute_streams",
        "Encrypted streams of which packets came and for 2 s none authenticated",
        named().map(|(name, it)| (vec![("shard", name)], it.mute_streams as f64)),
    )?;
    let rings = || named().filter_map(|(name, it)| Some((name, it.ring.as_ref()?)));
    out.gauges(
        "ring_blocks",
        "Blocks of the packet rings",
        rings().map(|(name, ring)| (vec![("shard", name)], ring.blocks as f64)),
    )?;
    out.gauges(
        "ring_blocks_held",
        "Blocks of the packet rings that wait for the journal",
        rings().map(|(name, ring)| (vec![("shard", name)], ring.held as f64)),
    )
}

fn of_journals(out: &mut Out<'_>, shards: &[ShardStatistics]) -> fmt::Result {
    let names: Vec<String> = shards.iter().map(|it| it.shard.to_string()).collect();
    let named = || names.iter().map(String::as_str).zip(shards);
    let each = |of: fn(&ShardStatistics) -> f64| {
        named().map(move |(name, shard)| (vec![("shard", name)], of(shard)))
    };
    out.gauges(
        "journal_segments_used",
        "Segments of the journal whose records are still needed",
        each(|it| f64::from(it.journal.segments_used)),
    )?;
    out.gauges(
        "journal_segments_limit",
        "journal.segments_max",
        each(|it| f64::from(it.journal.segments_max)),
    )?;
    out.gauges(
        "journal_uncommitted_bytes",
        "Octets that are not durable yet",
        each(|it| it.journal.uncommitted as f64),
    )?;
    out.gauges(
        "journal_blocks_empty",
        "Blocks of memory that the journal can still fill",
        each(|it| f64::from(it.journal.blocks_empty)),
    )?;
    out.gauges(
        "journal_blocks",
        "Blocks of memory of the journal",
        each(|it| f64::from(it.journal.blocks)),
    )?;
    out.gauges(
        "journal_failing",
        "1 where the journal takes nothing at present",
        each(|it| flag(it.journal.is_failing)),
    )?;
    out.counters(
        "journal_commits",
        "Commits of the journal that succeeded",
        each(|it| it.journal.commits as f64),
    )?;
    out.counters(
        "journal_failures",
        "Writes, syncs and openings of segments that failed",
        each(|it| it.journal.failures as f64),
    )
}

/// Buckets of the latencies, in seconds.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 5.0,
];

fn of_latencies(out: &mut Out<'_>, latencies: &[StageLatency]) -> fmt::Result {
    let mut family = out.encoder.encode_descriptor(
        "latency_seconds",
        "How long packets take from the kernel to a stage, and commits and turns; api/latency has more",
        None,
        MetricType::Histogram,
    )?;
    for latency in latencies {
        let shard = latency.shard.to_string();
        let labels = [("shard", shard.as_str()), ("stage", latency.stage.name())];
        let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
        let mut buckets: Vec<(f64, u64)> = bounds.map(|bound| (bound, 0)).collect();
        let (mut sum, mut count) = (0.0, 0);
        for &(micros, values) in &latency.values {
            let seconds = f64::from(micros) / 1e6;
            sum += seconds * values as f64;
            count += values;
            let place = buckets.iter_mut().find(|(bound, _)| seconds <= *bound);
            if let Some((_, sum)) = place {
                *sum += values;
            }
        }
        let mut metric = family.encode_family(&labels)?;
        metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
