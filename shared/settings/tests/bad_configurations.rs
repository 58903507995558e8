//! Every way to write a wrong file, with what the person who wrote it is told.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use holdfast_settings::{Machine, Names, PlainInvite, Settings};

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    for (text, line) in [
        ("[sip", "line 1: not TOML: "),
        ("[sip]\nstrict\n", "line 2: not TOML: "),
        (
            "[sip]\nstrict = true\nstrict = false\n",
            "line 3: not TOML: ",
        ),
        (
            "[sip]\nmax_calls = 99999999999999999999\n",
            "line 2: not TOML: ",
        ),
    ] {
        let message = refusal(text);
        assert!(message.starts_with(line), "{text:?} gives {message:?}");
    }
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    for (text, expected) in [
        ("[sipp]", "line 1: sipp: no such key; did you mean sip?"),
        (
            "[media]\ntikc = \"2 ms\"",
            "line 2: media.tikc: no such key; did you mean media.tick?",
        ),
        (
            "[sip]\nmax-calls = 1",
            "line 2: sip.max-calls: no such key; did you mean sip.max_calls?",
        ),
        (
            "[sip]\ncores = [0]",
            "line 2: sip.cores: no such key; did you mean media.cores?",
        ),
        (
            "tick = \"2 ms\"",
            "line 1: tick: no such key; did you mean media.tick?",
        ),
        (
            "[xyzzy]\nkey = 1",
            "line 1: xyzzy: no such key; `holdfast config default` lists all",
        ),
        (
            "[sip]\ntcp_connections_max = 1",
            "line 2: sip.tcp_connections_max: no such key; did you mean sip.connections_max?",
        ),
        (
            "[[peer]]\nname = \"a\"\nadresses = [\"192.0.2.1\"]",
            "line 3: peer[0].adresses: no such key; did you mean peer[0].addresses?",
        ),
        (
            "[peers]\nname = \"a\"",
            "line 1: peers: no such key; did you mean peer?",
        ),
        (
            "[node]\nxyzzy = {a = 1}",
            "line 2: node.xyzzy: no such key; `holdfast config default` lists all",
        ),
    ] {
        assert_eq!(refusal(text), expected, "{text:?}");
    }
}

#[test]
fn values_of_another_type_are_refused_with_an_example() {
    for (text, expected) in [
        (
            "[media]\ntick = 2",
            "line 2: media.tick = 2: a whole number; allowed: a text such as \"2 ms\"",
        ),
        (
            "[media]\ncores = 0",
            "line 2: media.cores = 0: a whole number; allowed: a list such as [0]",
        ),
        (
            "[media]\ncores = [\"0\"]",
            "line 2: media.cores = [\"0\"]: a list; allowed: a list such as [0]",
        ),
        (
            "[sip]\nstrict = \"yes\"",
            "line 2: sip.strict = \"yes\": a text; allowed: true or false",
        ),
        (
            "[sip]\nmax_calls = 1.5",
            "line 2: sip.max_calls = 1.5: a number with a fraction; \
             allowed: a whole number such as 2000",
        ),
        (
            "sip = 5060",
            "line 1: sip = 5060: a whole number; allowed: a table",
        ),
        (
            "[node]\nname = 2026-11-22",
            "line 2: node.name = 2026-11-22: a date or time; \
             allowed: a text such as \"recorder-1\"",
        ),
    ] {
        assert_eq!(refusal(text), expected, "{text:?}");
    }
}

/// Section, key, value, what is allowed.
const NOT_ALLOWED: &[(&str, &str, &str, &str)] = &[
    (
        "node",
        "name",
        "\"\"",
        "1 to 63 letters, digits and inner hyphens",
    ),
    (
        "node",
        "name",
        "\"a/b\"",
        "1 to 63 letters, digits and inner hyphens",
    ),
    (
        "node",
        "name",
        "\"-a\"",
        "1 to 63 letters, digits and inner hyphens",
    ),
    (
        "node",
        "state_dir",
        "\"\"",
        "a path, absolute or from the current folder",
    ),
    ("sip", "advertise", "\"0.0.0.0\"", ADVERTISE),
    ("sip", "advertise", "\"recorder.example.com\"", ADVERTISE),
    ("sip", "advertise", "\"224.0.0.1\"", ADVERTISE),
    ("sip", "advertise", "\"\"", ADVERTISE),
    ("sip", "advertise", "\"stun:\"", STUN),
    ("sip", "advertise", "\"stun:host\"", STUN),
    ("sip", "advertise", "\"stun:host:0\"", STUN),
    ("sip", "advertise", "\"stun:a b:3478\"", STUN),
    ("sip", "advertise", "\"stun:[::g]:3478\"", STUN),
    ("http", "listen", "\"8080\"", HTTP),
    ("http", "listen", "\"127.0.0.1:0\"", HTTP),
    ("http", "listen", "\"localhost:8080\"", HTTP),
    ("http", "connections_max", "0", "1 to 10000"),
    ("sip", "plain_invite", "\"maybe\"", "\"accept\", \"refuse\""),
    ("sip", "max_calls", "0", "1 to 100000"),
    ("sip", "max_calls", "-1", "1 to 100000"),
    ("sip", "max_calls", "4294967297", "1 to 100000"),
    ("sip", "streams_per_call_max", "65", "1 to 64"),
    ("sip", "call_duration_max", "\"8 d\"", "1 min to 7 d"),
    ("sip", "session_expires_min", "\"89 s\"", "90 s to 1 d"),
    ("sip", "session_check_interval", "\"9 s\"", "10 s to 1 d"),
    ("sip", "session_timeout", "\"59 s\"", "1 min to 7 d"),
    ("sip", "retry_after", "\"1500 ms\"", "whole seconds"),
    ("sip", "retry_after", "\"0 s\"", "1 s to 1 h"),
    ("store", "answer_timeout", "\"1 ms\"", "500 ms to 30 s"),
    ("sip", "engine_answer_timeout", "\"31 s\"", "500 ms to 30 s"),
    ("sip", "callee_answer_timeout", "\"4 s\"", "5 s to 3 min"),
    ("sip", "message_size_max", "\"256 KB\"", "8 KiB to 16 MiB"),
    ("sip", "message_size_max", "\"256\"", "8 KiB to 16 MiB"),
    ("sip", "connections_max", "0", "1 to 100000"),
    ("sip", "connections_per_source_max", "0", "1 to 100000"),
    ("sip", "connection_idle_timeout", "\"31 s\"", "32 s to 1 d"),
    ("sip", "message_timeout", "\"0 s\"", "1 s to 5 min"),
    ("sip", "header_size_max", "\"2 MiB\"", "4 KiB to 1 MiB"),
    ("sip", "body_parts_max", "1", "2 to 256"),
    ("sip", "body_depth_max", "17", "1 to 16"),
    ("sip", "metadata_depth_max", "7", "8 to 256"),
    ("sip", "t1", "\"500\"", "100 ms to 5 s"),
    ("sip", "t1", "\"0.5 s\"", "100 ms to 5 s"),
    ("sip", "t1", "\"-500 ms\"", "100 ms to 5 s"),
    (
        "sip",
        "server_header",
        "\"a\\r\\nb\"",
        "0 to 64 printable ASCII characters",
    ),
    (
        "tls",
        "client_certificates",
        "\"on\"",
        "\"off\", \"optional\", \"required\"",
    ),
    (
        "tls",
        "client_names",
        "[]",
        "names of hosts or domains, such as \"sbc.example.com\", or \"*\"",
    ),
    ("access", "allow", "[]", PREFIX),
    (
        "access",
        "unknown_peers",
        "\"ask\"",
        "\"accept\", \"refuse\"",
    ),
    ("access", "requests_per_second", "0", "1 to 100000"),
    ("access", "requests_burst", "0", "1 to 1000000"),
    (
        "digest",
        "realm",
        "\"a\\\"b\"",
        "1 to 64 letters, digits, spaces and any of - _ . @ :",
    ),
    (
        "digest",
        "algorithms",
        "[]",
        "\"SHA-256\", \"SHA-512-256\", \"MD5\"",
    ),
    ("digest", "nonce_lifetime", "\"5 s\"", "10 s to 1 d"),
    (
        "media",
        "ingest",
        "\"ring\"",
        "\"auto\", \"packet-ring\", \"udp\"",
    ),
    ("media", "interface", "\"\"", INTERFACE),
    ("media", "interface", "\"eth0/1\"", INTERFACE),
    ("media", "interface", "\"eth0:1\"", INTERFACE),
    ("media", "interface", "\"sixteen-octets-x\"", INTERFACE),
    ("media", "ring_size", "\"7 MiB\"", "8 MiB to 64 GiB"),
    ("media", "ring_size", "\"65 GiB\"", "8 MiB to 64 GiB"),
    ("media", "address", "\"localhost\"", HOST),
    ("media", "ports", "\"10001-19999\"", PORTS),
    ("media", "ports", "\"10000-20000\"", PORTS),
    ("media", "ports", "\"20000-19999\"", PORTS),
    ("media", "ports", "\"1000-1999\"", PORTS),
    ("media", "ports", "\"60000-65537\"", PORTS),
    ("media", "ports", "\"10000\"", PORTS),
    ("media", "ports", "\"+10000-19999\"", PORTS),
    ("media", "ports", "\"10000 - 19999\"", PORTS),
    ("media", "ports", "\"\"", PORTS),
    ("media", "tick", "\"0 ms\"", "1 ms to 20 ms"),
    ("media", "tick", "\"21 ms\"", "1 ms to 20 ms"),
    ("media", "commit_interval", "\"6 s\"", "10 ms to 5 s"),
    (
        "media",
        "source_policy",
        "\"any\"",
        "\"latch\", \"strict\", \"open\"",
    ),
    (
        "media",
        "timestamps",
        "\"hardware\"",
        "\"kernel\", \"card\"",
    ),
    ("media", "orphan_timeout", "\"1 s\"", "5 s to 1 h"),
    ("media", "packet_size_max", "\"64 KiB\"", "256 B to 9000 B"),
    (
        "journal",
        "segment_size",
        "\"1025 KiB\"",
        "a multiple of 1 MiB",
    ),
    ("journal", "segments_max", "2", "3 to 1024"),
    (
        "recordings",
        "dir",
        "\"\"",
        "a path, absolute or from the current folder",
    ),
    (
        "recordings",
        "keep_packets",
        "\"yes\"",
        "\"unrendered\", \"always\", \"never\"",
    ),
    (
        "recordings",
        "disk_high_watermark",
        "\"100 %\"",
        "50 % to 99 %",
    ),
    (
        "recordings",
        "disk_critical_watermark",
        "\"100 %\"",
        "50 % to 99 %",
    ),
    (
        "recordings",
        "when_critical",
        "\"stop\"",
        "\"stop-new\", \"drop-packets-first\"",
    ),
    ("recordings", "publish_threads", "0", "1 to 32"),
    ("lifecycle", "shutdown_timeout", "\"0 s\"", "1 s to 10 min"),
    (
        "log",
        "level",
        "\"INFO\"",
        "\"error\", \"warn\", \"info\", \"debug\", \"trace\"",
    ),
    ("log", "format", "\"xml\"", "\"text\", \"json\""),
];
const PREFIX: &str = "an IP address or a prefix whose further bits are 0, such as \"192.0.2.7\" or \
                      \"2001:db8::/32\"";
const ADVERTISE: &str = "\"auto\", the IP address of one host, such as \"192.0.2.1\", or a STUN \
                         server, such as \"stun:stun.example.com:3478\"";
const STUN: &str = "stun:HOST:PORT, such as \"stun:stun.example.com:3478\" or \
                    \"stun:[2001:db8::1]:3478\"";
const HTTP: &str = "an IP address and a port from 1 to 65535, such as \"127.0.0.1:8080\" or \
                    \"[::1]:8080\", or \"\" for no HTTP";
const HOST: &str = "\"auto\" or the IP address of one host, such as \"192.0.2.1\"";
const INTERFACE: &str = "\"auto\" or the name of a network interface, such as \"eth0\"";
const PORTS: &str = "an even first and a higher, odd last port within 1024 to 65535, \
                     such as \"10000-19999\"";

#[test]
fn values_that_are_not_allowed_are_refused_with_what_is() {
    for (section, key, value, allowed) in NOT_ALLOWED {
        let message = refusal(&format!("[{section}]\n{key} = {value}\n"));
        let expected = format!("line 2: {section}.{key} = {value}: allowed: {allowed}");
        assert_eq!(message, expected);
    }
}

#[test]
fn paths_and_names_at_their_limit_are_taken_and_one_more_is_not() {
    let settings = |key: &str, length: usize| {
        Settings::from_toml(&format!("[node]\n{key} = \"{}\"", "a".repeat(length)))
    };
    for (key, length_max) in [
        ("name", 63),
        ("control_socket", 105),
        ("operator_socket", 105),
    ] {
        settings(key, length_max).unwrap();
        settings(key, length_max + 1).unwrap_err();
    }
}

#[test]
fn listening_addresses() {
    for text in [
        "5060",
        "udp:5060",
        "udp:0.0.0.0",
        "udp:0.0.0.0:0",
        "udp:0.0.0.0:65536",
        "UDP:0.0.0.0:5060",
        "tls:recorder.example.com:5061",
        "udp:::5060",
        "udp:recorder.example.com:5060",
        "udp:239.1.1.1:5060",
    ] {
        assert_eq!(
            refusal(&format!("[sip]\nlisten = [\n  \"{text}\",\n]")),
            format!(
                "line 3: sip.listen[0] = \"{text}\": allowed: udp, tcp or tls, an IP address, \
                 a port from 1 to 65535, such as \"udp:192.0.2.1:5060\" or \"tcp:[::]:5060\""
            )
        );
    }
    assert_eq!(
        refusal("[sip]\nlisten = []"),
        "line 2: sip.listen = a list of 0: allowed: 1 to 16 addresses such as \"udp:0.0.0.0:5060\""
    );
    assert_eq!(
        refusal("[media]\ncores = []"),
        "line 2: media.cores = a list of 0: allowed: 1 to 64 numbers of cores, such as [0]"
    );
}

/// Text and what is said about it, with `{own}` and `{order}` for the two remedies.
const CLASHES: &[(&str, &str)] = &[
    (
        "[sip]\nlisten = [\"udp:192.0.2.1:5060\", \"udp:192.0.2.1:5060\"]",
        "line 2: sip.listen[1] = \"udp:192.0.2.1:5060\": \"udp:192.0.2.1:5060\" has taken \
                 it already; {own}",
    ),
    (
        "[sip]\nlisten = [\"udp:192.0.2.1:5060\", \"udp:0.0.0.0:5060\"]",
        "line 2: sip.listen[1] = \"udp:0.0.0.0:5060\": \"udp:192.0.2.1:5060\" has taken it \
                 already; {own}",
    ),
    (
        "[sip]\nlisten = [\"udp:[::]:5060\", \"tcp:[::]:5060\", \"tcp:[2001:db8::1]:5060\"]",
        "line 2: sip.listen[2] = \"tcp:[2001:db8::1]:5060\": \"tcp:[::]:5060\" has taken it \
                 already; {own}",
    ),
    (
        "[sip]\nlisten = [\"udp:0.0.0.0:10060\"]",
        "media.ports = \"10000-19999\": port 10060 of sip.listen lies within; move the range \
             or the SIP port",
    ),
    (
        "[sip]\nadvertise = \"2001:db8::1\"",
        "line 2: sip.advertise = \"2001:db8::1\": sip.listen has no IPv6 address; listen on \
             IPv6 too, or advertise the other family",
    ),
    (
        "[media]\nports = \"10000-10009\"\ncores = [0, 1, 2]",
        "line 2: media.ports = \"10000-10009\": 10 ports for 3 cores of media.cores; each core \
             needs 4: give at least 12 ports",
    ),
    (
        "[media]\nring_size = \"15 MiB\"\ncores = [0, 1]",
        "line 2: media.ring_size = \"15 MiB\": 2 cores of media.cores; give each 8 MiB",
    ),
    (
        "[media]\ncores = [0, 1, 0]",
        "line 2: media.cores[2] = 0: core stands there twice; name each core once",
    ),
    (
        "[media]\ncommit_interval = \"10 ms\"\ntick = \"20 ms\"",
        "line 3: media.tick = \"20 ms\": it is above media.commit_interval = \"10 ms\"; \
                 {order}",
    ),
    (
        "[journal]\ncheckpoint_interval = \"100 ms\"",
        "media.commit_interval = \"200 ms\": it is above journal.checkpoint_interval = \
                 \"100 ms\"; {order}",
    ),
    (
        "[sip]\nmetadata_size_max = \"1 MiB\"",
        "line 2: sip.metadata_size_max = \"1 MiB\": it is above sip.message_size_max = \
                 \"256 KiB\"; {order}",
    ),
    (
        "[sip]\nt1 = \"5 s\"",
        "line 2: sip.t1 = \"5 s\": it is above sip.t2 = \"4 s\"; {order}",
    ),
    (
        "[sip]\nsession_expires = \"90 s\"\nsession_expires_min = \"2 min\"",
        "line 3: sip.session_expires_min = \"2 min\": it is above sip.session_expires = \
                 \"90 s\"; {order}",
    ),
    (
        "[sip]\nlisten = [\"tcp:0.0.0.0:5061\", \"tls:0.0.0.0:5061\"]\n\
             [tls]\ncertificate = \"a\"\nkey = \"b\"",
        "line 2: sip.listen[1] = \"tls:0.0.0.0:5061\": \"tcp:0.0.0.0:5061\" has taken it \
                 already; {own}",
    ),
    (
        "[sip]\nlisten = [\"tls:0.0.0.0:5061\"]\n[tls]\nkey = \"b\"",
        "tls.certificate = \"\": sip.listen[0] needs it; name a PEM file, or take the tls address \
             out",
    ),
    (
        "[tls]\nclient_certificates = \"required\"",
        "line 2: tls.client_certificates = \"required\": tls.client_ca is empty; name a PEM file \
             with the authorities that clients' certificates come from",
    ),
    (
        "[digest]\nalgorithms = [\"MD5\", \"MD5\"]",
        "line 2: digest.algorithms[1] = \"MD5\": it stands there twice; name each once",
    ),
    (
        "[[peer]]\nname = \"a\"\ncertificates = [\"*\"]",
        "line 3: peer[0].certificates = [\"*\"]: tls.client_certificates is \"off\"; set it to \
             \"optional\" or \"required\"",
    ),
    (
        "[[peer]]\nname = \"a\"\nusers = [\"u\"]",
        "line 3: peer[0].users = [\"u\"]: digest.credentials is empty; name the file with the \
             users' hashes",
    ),
    (
        "[tls]\nclient_certificates = \"optional\"\nclient_ca = \"/ca.pem\"\n\
             [[peer]]\nname = \"a\"\ncertificates = [\"*\"]\ncallable = true",
        "line 7: peer[0].callable = true: peer has no addresses; list the addresses that may be \
             called",
    ),
    (
        "[[peer]]\nname = \"a\"\naddresses = [\"::1\"]\n\
             [[peer]]\nname = \"a\"\naddresses = [\"::2\"]",
        "line 5: peer[1].name = \"a\": another peer is called so; give each its own name",
    ),
    (
        "[http]\nlisten = \"0.0.0.0:8080\"",
        "line 2: http.listen = \"0.0.0.0:8080\": others than this machine can reach it, and \
             http.token_file is empty; name a file with a token there, or listen on 127.0.0.1",
    ),
    (
        "[http]\nkey = \"a\"",
        "line 2: http.key = \"a\": http.certificate is empty; name both, or neither",
    ),
    (
        "[http]\nlisten = \"127.0.0.1:5060\"",
        "line 2: http.listen = \"127.0.0.1:5060\": sip.listen has that port on TCP or TLS; give \
             each a port of its own",
    ),
    (
        "[recordings]\ndir = \"var/state/journal\"",
        "line 2: recordings.dir = \"var/state/journal\": journal.dir is the same path; give \
             each a path of its own",
    ),
];
const OWN: &str = "give each its own port, or its own address without 0.0.0.0 or [::]";
const ORDER: &str = "lower the one or raise the other";

#[test]
fn values_that_do_not_go_together_are_refused_with_a_remedy() {
    for (text, expected) in CLASHES {
        let expected = expected.replace("{own}", OWN).replace("{order}", ORDER);
        assert_eq!(refusal(text), expected, "{text:?}");
    }
}

#[test]
fn addresses_that_can_be_bound_together_are_taken() {
    for listen in [
        r#"["udp:0.0.0.0:5060", "udp:[::]:5060", "tcp:0.0.0.0:5060", "tcp:[::]:5060"]"#,
        r#"["udp:192.0.2.1:5060", "udp:192.0.2.2:5060", "udp:192.0.2.1:5070"]"#,
        r#"["tcp:192.0.2.1:10000"]"#,
        r#"["udp:[2001:db8::1]:5060"]"#,
    ] {
        Settings::from_toml(&format!("[sip]\nlisten = {listen}")).unwrap();
    }
}

#[test]
fn peers_that_cannot_be_told_apart_or_are_misspelt_are_refused() {
    let peer = |lines: &str| refusal(&format!("[[peer]]\nname = \"a\"\n{lines}\n"));
    for (lines, expected) in [
        (
            "",
            "line 1: peer[0] = \"a\": allowed: at least one of addresses, certificates and users, \
             so that it can be told from others",
        ),
        (
            "addresses = [\"192.0.2.0/33\"]",
            "line 3: peer[0].addresses[0] = \"192.0.2.0/33\": allowed: {prefix}",
        ),
        (
            "addresses = [\"192.0.2.1/24\"]",
            "line 3: peer[0].addresses[0] = \"192.0.2.1/24\": allowed: {prefix}",
        ),
        (
            "addresses = [\"::1\"]\nmode = \"loose\"",
            "line 4: peer[0].mode = \"loose\": allowed: \"default\", \"strict\", \"lenient\"",
        ),
        (
            "addresses = [\"::1\"]\ncodecs = [\"PCMA/8000\"]",
            "line 4: peer[0].codecs[0] = \"PCMA/8000\": allowed: 1 to 64 letters, digits, hyphens, \
             points, plus signs and underscores",
        ),
        (
            "addresses = \"::1\"",
            "line 3: peer[0].addresses = \"::1\": a text; allowed: a list such as \
             [\"192.0.2.0/24\"]",
        ),
    ] {
        assert_eq!(peer(lines), expected.replace("{prefix}", PREFIX), "{lines}");
    }
    assert_eq!(
        refusal("peer = [1]"),
        "line 1: peer[0] = 1: a whole number; allowed: a table"
    );
}

#[test]
fn a_peer_has_what_it_says_and_else_what_sip_says() {
    let text = "[sip]\nstrict = true\n[digest]\ncredentials = \"users\"\n\
                [[peer]]\nname = \"a\"\naddresses = [\"192.0.2.0/24\", \"2001:db8::1\"]\n\
                [[peer]]\nname = \"b\"\nusers = [\"*\"]\nmode = \"lenient\"\n\
                plain_invite = \"accept\"\nlabels = [\"agent\"]\n";
    let settings = Settings::from_toml(text).unwrap();
    let [a, b] = settings.peers.as_slice() else {
        panic!("{:?}", settings.peers);
    };
    assert!(a.strict && a.plain_invite == PlainInvite::Refuse && a.users.is_none());
    let bits: Vec<u8> = a.addresses.iter().map(|prefix| prefix.bits).collect();
    assert_eq!(bits, [24, 128]);
    assert!(!b.strict && b.plain_invite == PlainInvite::Accept && b.users == Some(Names::Any));
    let again = Settings::from_toml(&settings.to_toml()).unwrap();
    assert_eq!(again.peers, settings.peers);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = "[sip]\nstrict = 1\nlissten = []\nt1 = \"1 h\"\n[media]\ncores = [0, 5000]\n\
                ports = \"1-2\"\n[log]\nformat = \"\"\n";
    let error = Settings::from_toml(text).unwrap_err();
    let keys: Vec<&str> = error
        .problems()
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    let expected = [
        "sip.lissten",
        "sip.strict",
        "sip.t1",
        "media.ports",
        "media.cores[1]",
        "log.format",
    ];
    assert_eq!(keys, expected, "{error}");
}

#[test]
fn what_this_machine_does_not_have_is_refused() {
    for (text, expected) in [
        (
            "[media]\ncores = [0, 5]",
            "line 2: media.cores[1] = 5: this machine has no such core online; choose among 0-1,3",
        ),
        (
            "[sip]\nlisten = [\"udp:192.0.2.9:5060\"]",
            "line 2: sip.listen[0] = \"udp:192.0.2.9:5060\": this machine has no such address; \
             choose among 127.0.0.1, 192.0.2.1",
        ),
        (
            "[sip]\nlisten = [\"udp:[::]:5060\"]",
            "line 2: sip.listen[0] = \"udp:[::]:5060\": this machine has no IPv6 address; listen \
             on the other family alone",
        ),
        (
            "[media]\naddress = \"192.0.2.2\"",
            "line 2: media.address = \"192.0.2.2\": this machine has no such address; choose among \
             127.0.0.1, 192.0.2.1",
        ),
        (
            "[recordings]\ndir = \"/locked\"",
            "line 2: recordings.dir = \"/locked\": /locked is not a folder to write to: permission \
             denied; make it writable for this user, or name another one",
        ),
        (
            "[node]\nstate_dir = \"/locked/state\"",
            "line 2: node.state_dir = \"/locked/state\": /locked/state is not a folder to write \
             to: permission denied; make it writable for this user, or name another one",
        ),
        (
            "[node]\ncontrol_socket = \"/locked/control.sock\"",
            "line 2: node.control_socket = \"/locked/control.sock\": /locked is not a folder to \
             write to: permission denied; make it writable for this user, or name another one",
        ),
        (
            "[recordings]\nincoming_dir = \"/elsewhere/incoming\"",
            "line 2: recordings.incoming_dir = \"/elsewhere/incoming\": it is on another file \
             system than recordings.dir; name a folder on the file system of recordings.dir, or \
             \"auto\"",
        ),
    ] {
        let error = Settings::from_toml(text)
            .unwrap()
            .check_machine(&Appliance)
            .unwrap_err();
        assert_eq!(error.to_string(), expected, "{text:?}");
    }
}

#[test]
fn what_this_machine_has_is_taken() {
    let text = "[sip]\nlisten = [\"udp:192.0.2.1:5060\", \"tcp:127.1.2.3:5060\"]\n\
                advertise = \"198.51.100.7\"\n[media]\ncores = [3, 0]\naddress = \"192.0.2.1\"\n";
    Settings::from_toml(text)
        .unwrap()
        .check_machine(&Appliance)
        .unwrap();
    Settings::default().check_machine(&Appliance).unwrap();
}

#[test]
fn a_machine_that_tells_nothing_is_refused_not_trusted() {
    let error = Settings::default().check_machine(&Mute).unwrap_err();
    let keys: Vec<&str> = error
        .problems()
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    // The folders below a refused one are not told again.
    let expected = [
        "sip.listen",
        "media.cores",
        "node.state_dir",
        "node.control_socket",
    ];
    assert_eq!(keys, expected, "{error}");
}

fn refusal(text: &str) -> String {
    match Settings::from_toml(text) {
        Ok(_) => panic!("taken: {text:?}"),
        Err(error) => error.to_string(),
    }
}

/// Cores 0, 1 and 3, one address besides loopback, `/locked` is not writable, `/elsewhere` is
/// another file system.
struct Appliance;

impl Machine for Appliance {
    fn cores(&self) -> io::Result<BTreeSet<u32>> {
        Ok([0, 1, 3].into())
    }

    fn addresses(&self) -> io::Result<BTreeSet<IpAddr>> {
        Ok(["127.0.0.1", "192.0.2.1"]
            .map(|text| text.parse().unwrap())
            .into())
    }

    fn probe_dir_writable(&self, path: &Path) -> io::Result<()> {
        let is_locked = path.starts_with("/locked");
        if is_locked {
            Err(io::ErrorKind::PermissionDenied.into())
        } else {
            Ok(())
        }
    }

    fn file_system(&self, path: &Path) -> io::Result<u64> {
        Ok(u64::from(path.starts_with("/elsewhere")))
    }
}

/// A machine of which nothing can be learned.
struct Mute;

impl Machine for Mute {
    fn cores(&self) -> io::Result<BTreeSet<u32>> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn addresses(&self) -> io::Result<BTreeSet<IpAddr>> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn probe_dir_writable(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn file_system(&self, _: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}
