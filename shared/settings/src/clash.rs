//! Keys held against each other: each may be fine by itself.

use std::net::SocketAddr;

use crate::check::{Checker, listed, quoted};
use crate::limits;
use crate::raw::{RawRecordings, RawSettings, RawSip};
use crate::settings::{
    Advertise, ClientCertificates, Digest, Journal, Media, Node, Peer, Recordings, Sip, SipListen,
    SipTransport, Tls,
};
use crate::store::Store;

pub(crate) fn sip(checker: &mut Checker<'_>, raw: &RawSip, sip: &Sip) {
    at_most(
        checker,
        ("sip.t1", &raw.t1, sip.t1),
        ("sip.t2", &raw.t2, sip.t2),
    );
    at_most(
        checker,
        (
            "sip.session_expires_min",
            &raw.session_expires_min,
            sip.session_expires_min,
        ),
        (
            "sip.session_expires",
            &raw.session_expires,
            sip.session_expires,
        ),
    );
    at_most(
        checker,
        (
            "sip.session_check_interval",
            &raw.session_check_interval,
            sip.session_check_interval,
        ),
        (
            "sip.session_timeout",
            &raw.session_timeout,
            sip.session_timeout,
        ),
    );
    at_most(
        checker,
        (
            "sip.metadata_size_max",
            &raw.metadata_size_max,
            sip.limits.metadata_size_max,
        ),
        (
            "sip.message_size_max",
            &raw.message_size_max,
            sip.limits.message_size_max,
        ),
    );
    if let Advertise::Address(address) = sip.advertise {
        let has_family = sip
            .listen
            .iter()
            .any(|it| it.address.is_ipv4() == address.is_ipv4());
        if checker.is_good("sip.listen") && !has_family {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            checker.clash(
                "sip.advertise",
                quoted(&raw.advertise),
                format_args!("sip.listen has no {family} address"),
                format_args!("listen on {family} too, or advertise the other family"),
            );
        }
    }
}

pub(crate) fn media(
    checker: &mut Checker<'_>,
    raw: &RawSettings,
    media: &Media,
    journal: &Journal,
    sip: &Sip,
) {
    let commit = (
        "media.commit_interval",
        raw.media.commit_interval.as_str(),
        media.commit_interval,
    );
    at_most(checker, ("media.tick", &raw.media.tick, media.tick), commit);
    let checkpoint = raw.journal.checkpoint_interval.as_str();
    let checkpoint = (
        "journal.checkpoint_interval",
        checkpoint,
        journal.checkpoint_interval,
    );
    at_most(checker, commit, checkpoint);

    if !checker.is_good("media.ports") {
        return;
    }
    let core_count = u32::try_from(media.cores.len()).unwrap_or(u32::MAX);
    let needed = core_count.saturating_mul(limits::PORTS_PER_CORE_MIN);
    if checker.is_good("media.cores") && media.ports.pairs() * 2 < needed {
        checker.clash(
            "media.ports",
            quoted(&raw.media.ports),
            format_args!(
                "{} ports for {core_count} cores of media.cores",
                media.ports.pairs() * 2
            ),
            format_args!(
                "each core needs {}: give at least {needed} ports",
                limits::PORTS_PER_CORE_MIN
            ),
        );
    }
    for listen in sip
        .listen
        .iter()
        .filter(|it| it.transport == SipTransport::Udp)
    {
        if media.ports.contains(listen.address.port()) {
            checker.clash(
                "media.ports",
                quoted(&raw.media.ports),
                format_args!("port {} of sip.listen lies within", listen.address.port()),
                "move the range or the SIP port",
            );
        }
    }
}

pub(crate) fn recordings(checker: &mut Checker<'_>, raw: &RawRecordings, recordings: &Recordings) {
    at_most(
        checker,
        (
            "recordings.disk_high_watermark",
            &raw.disk_high_watermark,
            recordings.disk_high_watermark,
        ),
        (
            "recordings.disk_critical_watermark",
            &raw.disk_critical_watermark,
            recordings.disk_critical_watermark,
        ),
    );
}

pub(crate) fn folders(
    checker: &mut Checker<'_>,
    raw: &RawSettings,
    node: &Node,
    store: &Store,
    journal: &Journal,
    recordings: &Recordings,
) {
    let folders = [
        ("node.state_dir", &raw.node.state_dir, &node.state_dir),
        ("node.key_file", &raw.node.key_file, &node.key_file),
        (
            "node.control_socket",
            &raw.node.control_socket,
            &node.control_socket,
        ),
        (
            "node.operator_socket",
            &raw.node.operator_socket,
            &node.operator_socket,
        ),
        ("store.path", &raw.store.path, &store.path),
        ("journal.dir", &raw.journal.dir, &journal.dir),
        ("recordings.dir", &raw.recordings.dir, &recordings.dir),
        (
            "recordings.incoming_dir",
            &raw.recordings.incoming_dir,
            &recordings.incoming_dir,
        ),
    ];
    for (index, (key, text, path)) in folders.iter().enumerate() {
        let taken = folders
            .iter()
            .take(index)
            .find(|(_, _, other)| other == path);
        if let Some((other, _, _)) = taken.filter(|_| checker.is_good(key)) {
            let conflict = format!("{other} is the same path");
            checker.clash(key, quoted(text), conflict, "give each a path of its own");
        }
    }
}

pub(crate) fn listeners(checker: &mut Checker<'_>, raw: &RawSip, sip: &Sip) {
    // Where an item was refused, the indexes no longer agree; it has to be mended first.
    if !checker.is_good("sip.listen") {
        return;
    }
    for (index, (listen, text)) in sip.listen.iter().zip(&raw.listen).enumerate() {
        let mut others = sip.listen.iter().zip(&raw.listen).take(index);
        // TLS and TCP share the ports.
        let is_udp = |it: &SipListen| it.transport == SipTransport::Udp;
        let taken = others.find(|(other, _)| {
            is_udp(other) == is_udp(listen) && overlaps(other.address, listen.address)
        });
        if let Some((_, other)) = taken {
            let conflict = format!("{} has taken it already", quoted(other));
            let remedy = "give each its own port, or its own address without 0.0.0.0 or [::]";
            checker.clash(
                &format!("sip.listen[{index}]"),
                quoted(text),
                conflict,
                remedy,
            );
        }
    }
}

/// What identifies peers: keys that need another one.
pub(crate) fn identities(
    checker: &mut Checker<'_>,
    raw: &RawSettings,
    sip: &Sip,
    tls: &Tls,
    digest: &Digest,
    peers: &[Peer],
) {
    let on_tls = sip
        .listen
        .iter()
        .position(|it| it.transport == SipTransport::Tls);
    let listens = on_tls.filter(|_| checker.is_good("sip.listen"));
    if let Some(index) = listens {
        for (key, text, path) in [
            ("tls.certificate", &raw.tls.certificate, &tls.certificate),
            ("tls.key", &raw.tls.key, &tls.key),
        ] {
            if path.is_none() {
                let conflict = format!("sip.listen[{index}] needs it");
                let remedy = "name a PEM file, or take the tls address out";
                checker.clash(key, quoted(text), conflict, remedy);
            }
        }
    }
    let asks = tls.client_certificates != ClientCertificates::Off;
    if asks && tls.client_ca.is_none() {
        checker.clash(
            "tls.client_certificates",
            quoted(&raw.tls.client_certificates),
            "tls.client_ca is empty",
            "name a PEM file with the authorities that clients' certificates come from",
        );
    }
    for (index, peer) in peers.iter().enumerate() {
        if peer.certificates.is_some() && !asks {
            checker.clash(
                &format!("peer[{index}].certificates"),
                listed(&raw.peer[index].certificates),
                "tls.client_certificates is \"off\"",
                "set it to \"optional\" or \"required\"",
            );
        }
        if peer.users.is_some() && digest.credentials.is_none() {
            checker.clash(
                &format!("peer[{index}].users"),
                listed(&raw.peer[index].users),
                "digest.credentials is empty",
                "name the file with the users' hashes",
            );
        }
        if peer.callable && peer.addresses.is_empty() {
            checker.clash(
                &format!("peer[{index}].callable"),
                "true".to_owned(),
                "peer has no addresses",
                "list the addresses that may be called",
            );
        }
        let mut others = peers.iter().take(index);
        if others.any(|other| other.name == peer.name) {
            let key = format!("peer[{index}].name");
            let conflict = "another peer is called so";
            checker.clash(&key, quoted(&peer.name), conflict, "give each its own name");
        }
    }
}

fn overlaps(left: SocketAddr, right: SocketAddr) -> bool {
    left.port() == right.port()
        && left.is_ipv4() == right.is_ipv4()
        && (left.ip() == right.ip() || left.ip().is_unspecified() || right.ip().is_unspecified())
}

/// The first key must not be above the second.
fn at_most<T: PartialOrd>(
    checker: &mut Checker<'_>,
    (low_key, low_text, low): (&str, &str, T),
    (high_key, high_text, high): (&str, &str, T),
) {
    if low > high && checker.is_good(low_key) && checker.is_good(high_key) {
        let conflict = format!("it is above {high_key} = {}", quoted(high_text));
        checker.clash(
            low_key,
            quoted(low_text),
            conflict,
            "lower the one or raise the other",
        );
    }
}
