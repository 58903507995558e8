//! Who may record: `[tls]`, `[access]`, `[digest]` and each `[[peer]]`, key by key.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::check::{Checker, quoted};
use crate::convert::{is_many, path};
use crate::limits;
use crate::raw::{RawAccess, RawDigest, RawPeer, RawSettings, RawTls};
use crate::settings::{
    Access, ClientCertificates, Digest, DigestAlgorithm, Names, Peer, PlainInvite, Prefix, Sip,
    Srtp, Tls, UnknownPeers,
};
use crate::srtp;

pub(crate) fn tls(checker: &mut Checker<'_>, raw: &RawTls) -> Tls {
    Tls {
        certificate: file(checker, "tls.certificate", &raw.certificate),
        key: file(checker, "tls.key", &raw.key),
        client_certificates: checker.choice(
            "tls.client_certificates",
            &raw.client_certificates,
            &[
                ("off", ClientCertificates::Off),
                ("optional", ClientCertificates::Optional),
                ("required", ClientCertificates::Required),
            ],
        ),
        client_ca: file(checker, "tls.client_ca", &raw.client_ca),
        client_names: names(checker, "tls.client_names", &raw.client_names, HOST_NAME)
            .unwrap_or_else(|| {
                let key = "tls.client_names";
                checker.not_allowed(key, "[]", format_args!("{}, or \"*\"", HOST_NAME.allowed));
                Names::Any
            }),
    }
}

pub(crate) fn access(checker: &mut Checker<'_>, raw: &RawAccess) -> Access {
    if raw.allow.is_empty() {
        checker.not_allowed("access.allow", "[]", PREFIX);
    }
    Access {
        allow: prefixes(checker, "access.allow", &raw.allow),
        unknown_peers: checker.choice(
            "access.unknown_peers",
            &raw.unknown_peers,
            &[
                ("accept", UnknownPeers::Accept),
                ("refuse", UnknownPeers::Refuse),
            ],
        ),
        requests_per_second: checker.count(
            "access.requests_per_second",
            raw.requests_per_second,
            &limits::REQUESTS_PER_SECOND,
        ),
        requests_burst: checker.count(
            "access.requests_burst",
            raw.requests_burst,
            &limits::REQUESTS_BURST,
        ),
    }
}

pub(crate) fn digest(checker: &mut Checker<'_>, raw: &RawDigest) -> Digest {
    let known = DigestAlgorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm));
    let mut algorithms = Vec::new();
    for (index, text) in raw.algorithms.iter().enumerate() {
        let key = format!("digest.algorithms[{index}]");
        let algorithm = checker.choice(&key, text, &known);
        if checker.is_good(&key) && algorithms.contains(&algorithm) {
            checker.clash(
                &key,
                quoted(text),
                "it stands there twice",
                "name each once",
            );
        }
        algorithms.push(algorithm);
    }
    if algorithms.is_empty() {
        let words = known.map(|(word, _)| quoted(word));
        checker.not_allowed("digest.algorithms", "[]", words.join(", "));
    }
    if !REALM.is_good(&raw.realm) {
        checker.not_allowed("digest.realm", quoted(&raw.realm), REALM.allowed);
    }
    Digest {
        realm: raw.realm.clone(),
        credentials: file(checker, "digest.credentials", &raw.credentials),
        algorithms,
        nonce_lifetime: checker.seconds(
            "digest.nonce_lifetime",
            &raw.nonce_lifetime,
            &limits::NONCE_LIFETIME,
        ),
    }
}

pub(crate) fn peers(
    checker: &mut Checker<'_>,
    raw: &RawSettings,
    sip: &Sip,
    srtp: &Srtp,
) -> Vec<Peer> {
    let count_max = limits::PEER_COUNT_MAX;
    if raw.peer.len() > count_max {
        let found = format_args!("a list of {}", raw.peer.len());
        checker.not_allowed("peer", found, format_args!("at most {count_max}"));
    }
    let indexed = raw.peer.iter().enumerate();
    indexed
        .map(|(index, raw)| peer(checker, &format!("peer[{index}]"), raw, sip, srtp))
        .collect()
}

fn peer(checker: &mut Checker<'_>, at: &str, raw: &RawPeer, sip: &Sip, srtp: &Srtp) -> Peer {
    let key = |name: &str| format!("{at}.{name}");
    if !WORD.is_good(&raw.name) {
        checker.not_allowed(&key("name"), quoted(&raw.name), WORD.allowed);
    }
    let has_any =
        !(raw.addresses.is_empty() && raw.certificates.is_empty() && raw.users.is_empty());
    if !has_any && checker.is_good(at) {
        let allowed = "at least one of addresses, certificates and users, so that it can be told \
                       from others";
        checker.not_allowed(at, quoted(&raw.name), allowed);
    }
    Peer {
        name: raw.name.clone(),
        addresses: prefixes(checker, &key("addresses"), &raw.addresses),
        certificates: names(checker, &key("certificates"), &raw.certificates, HOST_NAME),
        users: names(checker, &key("users"), &raw.users, USER),
        callable: raw.callable,
        trusted: raw.trusted,
        strict: checker.choice(
            &key("mode"),
            &raw.mode,
            &[
                ("default", sip.strict),
                ("strict", true),
                ("lenient", false),
            ],
        ),
        plain_invite: checker.choice(
            &key("plain_invite"),
            &raw.plain_invite,
            &[
                ("default", sip.plain_invite),
                ("accept", PlainInvite::Accept),
                ("refuse", PlainInvite::Refuse),
            ],
        ),
        labels: words(checker, &key("labels"), &raw.labels, WORD),
        codecs: words(checker, &key("codecs"), &raw.codecs, WORD),
        srtp: srtp::of_peer(checker, at, raw, srtp),
    }
}

/// The empty text names no file.
pub(crate) fn file(checker: &mut Checker<'_>, key: &str, text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| path(checker, key, text))
}

/// `None` where the list is empty.
fn names(checker: &mut Checker<'_>, key: &str, raw: &[String], form: Form) -> Option<Names> {
    if raw.iter().any(|text| text == "*") {
        if raw.len() > 1 {
            checker.not_allowed(
                key,
                crate::check::listed(raw),
                "[\"*\"] alone, or names alone",
            );
        }
        return Some(Names::Any);
    }
    let names = words(checker, key, raw, form);
    (!raw.is_empty()).then_some(Names::These(names))
}

fn words(checker: &mut Checker<'_>, key: &str, raw: &[String], form: Form) -> Vec<String> {
    let count_max = limits::PEER_LIST_MAX;
    if raw.len() > count_max {
        let found = format_args!("a list of {}", raw.len());
        checker.not_allowed(key, found, format_args!("at most {count_max}"));
    }
    for (index, text) in raw.iter().enumerate() {
        if !form.is_good(text) {
            checker.not_allowed(&format!("{key}[{index}]"), quoted(text), form.allowed);
        }
    }
    raw.to_vec()
}

fn prefixes(checker: &mut Checker<'_>, key: &str, raw: &[String]) -> Vec<Prefix> {
    let count_max = limits::PREFIX_COUNT_MAX;
    if raw.len() > count_max {
        let found = format_args!("a list of {}", raw.len());
        checker.not_allowed(key, found, format_args!("at most {count_max}"));
    }
    let mut prefixes = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        match prefix(text) {
            Some(prefix) => prefixes.push(prefix),
            None => checker.not_allowed(&format!("{key}[{index}]"), quoted(text), PREFIX),
        }
    }
    prefixes
}

fn prefix(text: &str) -> Option<Prefix> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => bits_max,
        Some(bits) if bits.len() <= 3 && bits.bytes().all(|octet| octet.is_ascii_digit()) => {
            bits.parse().ok().filter(|bits| *bits <= bits_max)?
        }
        Some(_) => return None,
    };
    let is_clean = match address {
        IpAddr::V4(address) => {
            let behind = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
            address.to_bits() & behind == 0
        }
        IpAddr::V6(address) => {
            let behind = u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
            address.to_bits() & behind == 0
        }
    };
    (is_clean && !is_many(address)).then_some(Prefix { address, bits })
}

/// What a kind of word looks like.
#[derive(Clone, Copy)]
struct Form {
    length_max: usize,
    further: &'static str,
    allowed: &'static str,
}

impl Form {
    fn is_good(self, text: &str) -> bool {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || self.further.contains(c);
        !text.is_empty() && text.len() <= self.length_max && text.chars().all(is_fit)
    }
}

const WORD: Form = Form {
    length_max: limits::WORD_LENGTH_MAX,
    further: "-_.+",
    allowed: "1 to 64 letters, digits, hyphens, points, plus signs and underscores",
};

const USER: Form = Form {
    further: "-_.+@",
    allowed: "1 to 64 letters, digits, hyphens, points, plus signs, underscores and @",
    ..WORD
};

/// No octet that would need quoting.
const REALM: Form = Form {
    further: "-_.@: ",
    allowed: "1 to 64 letters, digits, spaces and any of - _ . @ :",
    ..WORD
};

/// RFC 5922 §7.2: no wildcards.
const HOST_NAME: Form = Form {
    length_max: limits::HOST_NAME_LENGTH_MAX,
    further: "-_.",
    allowed: "names of hosts or domains, such as \"sbc.example.com\"",
};

const PREFIX: &str = "an IP address or a prefix whose further bits are 0, such as \"192.0.2.7\" or \
                      \"2001:db8::/32\"";
