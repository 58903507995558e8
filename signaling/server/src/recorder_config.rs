//! From settings to what the recorder is told.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use holdfast_recording::admission::{AdmissionConfig, Names, PeerConfig, Prefix};
use holdfast_recording::offer::{Preference, SrtpPolicy};
use holdfast_recording::recorder::{RecorderConfig, SameSession, WhenStoreAway};
use holdfast_seal::NodeKeys;
use holdfast_settings::{
    Advertise, DigestAlgorithm, KeysWithoutTls, MediaAddress, Peer, PlainInvite, Settings,
    SettingsError, Srtp, SrtpPreference, Store, StoreKind, UnknownPeers, WhenAway,
};
use holdfast_sip::digest::{Algorithm, Credentials, DigestConfig};
use holdfast_sip::endpoint::Advertised;
use holdfast_sip::transaction::Timers;
use holdfast_sip::{EndpointConfig, Limits, Transport};

/// The recorder's configuration. `listeners` are the sockets as they are bound.
pub fn of(
    settings: &Settings,
    listeners: &[(Transport, SocketAddr)],
    tag_secret: u64,
    credentials: Credentials,
    node_keys: Arc<NodeKeys>,
) -> RecorderConfig {
    let (sip, bounds) = (&settings.sip, &settings.sip.limits);
    let base = RecorderConfig::default();
    let count = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let calls_max = count(u64::from(sip.max_calls));
    let limits = Limits {
        head_bytes_max: count(bounds.header_size_max),
        body_bytes_max: count(bounds.message_size_max),
        message_duration_max: bounds.message_timeout,
        // Dialogs live on until their BYE is answered; those beyond max_calls get their 503 from
        // the recorder.
        dialogs_max: calls_max.saturating_mul(2).saturating_add(64),
        transactions_max: calls_max.saturating_mul(16).saturating_add(1_024),
    };
    RecorderConfig {
        node: settings.node.name.clone(),
        endpoint: EndpointConfig {
            timers: Timers {
                t1: sip.t1,
                t2: sip.t2,
                t4: sip.t4,
                ..Timers::default()
            },
            limits,
            advertised: advertised(&sip.advertise, listeners),
            server: sip.server_header.clone().unwrap_or_default(),
            retry_after: sip.retry_after,
            tag_secret,
            ..base.endpoint
        },
        admission: admission(settings, credentials),
        body_parts_max: count(u64::from(bounds.body_parts_max)),
        body_depth_max: count(u64::from(bounds.body_depth_max)),
        metadata_depth_max: count(u64::from(bounds.metadata_depth_max)),
        is_strict: sip.strict,
        takes_plain_invites: sip.plain_invite == PlainInvite::Accept,
        starts_paused: sip.start_paused,
        srtp: srtp(&settings.srtp),
        node_keys: Some(node_keys),
        calls_max,
        streams_per_call_max: count(u64::from(sip.streams_per_call_max)),
        call_duration_max: sip.call_duration_max,
        session_expires: sip.session_expires,
        session_expires_min: sip.session_expires_min,
        session_check_interval: sip.session_check_interval,
        session_timeout: sip.session_timeout,
        engine_answer_timeout: sip.engine_answer_timeout,
        callee_answer_timeout: sip.callee_answer_timeout,
        store_answer_timeout: settings.store.answer_timeout,
        metadata_bytes_max: count(bounds.metadata_size_max),
        media_address: match settings.media.address {
            MediaAddress::Auto => None,
            MediaAddress::Address(address) => Some(address),
        },
        port_quarantine: settings.media.port_quarantine,
        same_session: match sip.same_session {
            holdfast_settings::SameSession::Off => SameSession::Off,
            holdfast_settings::SameSession::Join => SameSession::Join,
            holdfast_settings::SameSession::New => SameSession::New,
        },
        shares_calls: settings.store.kind == StoreKind::Redis,
        when_store_away: when_store_away(&settings.store),
        ..base
    }
}

const fn when_store_away(store: &Store) -> Option<WhenStoreAway> {
    match (store.kind, store.when_away) {
        (StoreKind::Memory, _) => None,
        (StoreKind::Sqlite | StoreKind::Redis, WhenAway::Accept) => Some(WhenStoreAway::Accept),
        (StoreKind::Sqlite | StoreKind::Redis, WhenAway::Refuse) => Some(WhenStoreAway::Refuse),
    }
}

/// Reads the file with the users' secrets.
///
/// # Errors
///
/// It cannot be read, or has a line that is no credential.
pub fn credentials(settings: &Settings) -> Result<Credentials, SettingsError> {
    let mut credentials = Credentials::default();
    for line in settings.read_credentials()? {
        credentials.insert(&line.user, algorithm(line.algorithm), &line.hash);
    }
    Ok(credentials)
}

fn admission(settings: &Settings, credentials: Credentials) -> AdmissionConfig {
    let (access, digest) = (&settings.access, &settings.digest);
    AdmissionConfig {
        allow: prefixes(&access.allow),
        takes_unknown_peers: access.unknown_peers == UnknownPeers::Accept,
        requests_per_second: access.requests_per_second,
        requests_burst: access.requests_burst,
        retry_after: settings.sip.retry_after,
        client_names: names(&settings.tls.client_names),
        requires_sips: settings.sip.require_sips,
        digest: digest.credentials.as_ref().map(|_| DigestConfig {
            realm: digest.realm.clone(),
            algorithms: digest.algorithms.iter().copied().map(algorithm).collect(),
            nonce_lifetime: digest.nonce_lifetime,
            credentials,
        }),
        peers: settings.peers.iter().map(peer).collect(),
    }
}

fn peer(peer: &Peer) -> PeerConfig {
    PeerConfig {
        name: peer.name.clone(),
        addresses: prefixes(&peer.addresses),
        certificates: peer.certificates.as_ref().map(names),
        may_be_called: peer.callable,
        is_trusted: peer.trusted,
        users: peer.users.as_ref().map(names),
        is_strict: peer.strict,
        takes_plain_invites: peer.plain_invite == PlainInvite::Accept,
        labels: peer.labels.clone(),
        codecs: peer.codecs.clone(),
        srtp: srtp(&peer.srtp),
    }
}

fn srtp(srtp: &Srtp) -> SrtpPolicy {
    SrtpPolicy {
        suites: srtp.suites.clone(),
        prefers: match srtp.prefer {
            SrtpPreference::Offer => Preference::Offer,
            SrtpPreference::Own => Preference::Own,
        },
        takes_keys: srtp.keys_without_tls == KeysWithoutTls::Accept,
        opportunistic: srtp.opportunistic,
    }
}

fn prefixes(prefixes: &[holdfast_settings::Prefix]) -> Vec<Prefix> {
    let of = |prefix: &holdfast_settings::Prefix| Prefix::new(prefix.address, prefix.bits);
    prefixes.iter().map(of).collect()
}

fn names(names: &holdfast_settings::Names) -> Names {
    match names {
        holdfast_settings::Names::Any => Names::Any,
        holdfast_settings::Names::These(names) => Names::These(names.clone()),
    }
}

const fn algorithm(algorithm: DigestAlgorithm) -> Algorithm {
    match algorithm {
        DigestAlgorithm::Sha256 => Algorithm::Sha256,
        DigestAlgorithm::Sha512_256 => Algorithm::Sha512_256,
        DigestAlgorithm::Md5 => Algorithm::Md5,
    }
}

fn advertised(advertise: &Advertise, listeners: &[(Transport, SocketAddr)]) -> Vec<Advertised> {
    match advertise {
        Advertise::Address(address) => advertised_as(*address, listeners),
        Advertise::Auto | Advertise::Stun(_) => Vec::new(),
    }
}

/// What is announced where others see this machine at `address`.
pub fn advertised_as(address: IpAddr, listeners: &[(Transport, SocketAddr)]) -> Vec<Advertised> {
    let same_family =
        |listener: &&(Transport, SocketAddr)| listener.1.is_ipv4() == address.is_ipv4();
    let entry = |(transport, local): &(Transport, SocketAddr)| Advertised {
        transport: *transport,
        is_ipv6: address.is_ipv6(),
        host: match address.is_ipv6() {
            true => format!("[{address}]"),
            false => address.to_string(),
        },
        port: local.port(),
    };
    listeners.iter().filter(same_family).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Arc<NodeKeys> {
        let text = NodeKeys::text_of(&[7; 32]);
        Arc::new(NodeKeys::parse(&text).unwrap())
    }

    #[test]
    fn the_announced_address_has_the_port_of_the_listener_of_its_family() {
        let settings = Settings::from_toml("[sip]\nadvertise = \"203.0.113.7\"\n").unwrap();
        let listeners = [
            (Transport::Udp, "0.0.0.0:5062".parse().unwrap()),
            (Transport::Udp, "[::]:5060".parse().unwrap()),
        ];
        let config = of(&settings, &listeners, 1, Credentials::default(), keys());
        let [only] = config.endpoint.advertised.as_slice() else {
            panic!("{:?}", config.endpoint.advertised);
        };
        assert_eq!(
            (only.host.as_str(), only.port, only.is_ipv6),
            ("203.0.113.7", 5062, false)
        );
    }

    #[test]
    fn the_defaults_of_both_sides_agree() {
        let config = of(&Settings::default(), &[], 0, Credentials::default(), keys());
        let own = RecorderConfig::default();
        assert_eq!(config.calls_max, own.calls_max);
        assert_eq!(config.call_duration_max, own.call_duration_max);
        assert_eq!(config.session_expires, own.session_expires);
        assert_eq!(config.session_expires_min, own.session_expires_min);
        assert_eq!(config.metadata_bytes_max, own.metadata_bytes_max);
        assert_eq!(config.port_quarantine, own.port_quarantine);
        assert_eq!(config.endpoint.timers, own.endpoint.timers);
        assert_eq!(config.endpoint.retry_after, own.endpoint.retry_after);
        assert!(!config.is_strict && !config.takes_plain_invites && !config.starts_paused);
        assert_eq!(config.body_parts_max, own.body_parts_max);
        assert_eq!(config.body_depth_max, own.body_depth_max);
        assert_eq!(config.metadata_depth_max, own.metadata_depth_max);
        let (admission, own_admission) = (&config.admission, &own.admission);
        assert_eq!(admission.allow, own_admission.allow);
        assert_eq!(
            admission.requests_per_second,
            own_admission.requests_per_second
        );
        assert_eq!(admission.requests_burst, own_admission.requests_burst);
        let (limits, own_limits) = (&config.endpoint.limits, &own.endpoint.limits);
        assert_eq!(limits.head_bytes_max, own_limits.head_bytes_max);
        assert_eq!(limits.body_bytes_max, own_limits.body_bytes_max);
        assert_eq!(limits.message_duration_max, own_limits.message_duration_max);
    }
}
