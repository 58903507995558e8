//! From settings to what the recorder is told.

use std::net::SocketAddr;

use holdfast_recording::recorder::RecorderConfig;
use holdfast_settings::{Advertise, MediaAddress, PlainInvite, Settings};
use holdfast_sip::endpoint::Advertised;
use holdfast_sip::transaction::Timers;
use holdfast_sip::{EndpointConfig, Limits, Transport};

/// The recorder's configuration. `listeners` are the sockets as they are bound.
pub fn of(
    settings: &Settings,
    listeners: &[(Transport, SocketAddr)],
    tag_secret: u64,
) -> RecorderConfig {
    let sip = &settings.sip;
    let base = RecorderConfig::default();
    let count = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let calls_max = count(u64::from(sip.max_calls));
    let limits = Limits {
        body_bytes_max: count(sip.message_size_max),
        // Dialogs live on until their BYE is answered; those beyond max_calls get their 503 from
        // the recorder.
        dialogs_max: calls_max.saturating_mul(2).saturating_add(64),
        transactions_max: calls_max.saturating_mul(16).saturating_add(1_024),
        ..Limits::default()
    };
    RecorderConfig {
        endpoint: EndpointConfig {
            timers: Timers {
                t1: sip.t1,
                t2: sip.t2,
                t4: sip.t4,
                ..Timers::default()
            },
            limits,
            advertised: advertised(sip.advertise, listeners),
            server: sip.server_header.clone().unwrap_or_default(),
            retry_after: sip.retry_after,
            tag_secret,
            ..base.endpoint
        },
        is_strict: sip.strict,
        takes_plain_invites: sip.plain_invite == PlainInvite::Accept,
        starts_paused: sip.start_paused,
        calls_max,
        streams_per_call_max: count(u64::from(sip.streams_per_call_max)),
        call_duration_max: sip.call_duration_max,
        session_expires: sip.session_expires,
        session_expires_min: sip.session_expires_min,
        metadata_bytes_max: count(sip.metadata_size_max),
        media_address: match settings.media.address {
            MediaAddress::Auto => None,
            MediaAddress::Address(address) => Some(address),
        },
        port_quarantine: settings.media.port_quarantine,
    }
}

fn advertised(advertise: Advertise, listeners: &[(Transport, SocketAddr)]) -> Vec<Advertised> {
    let Advertise::Address(address) = advertise else {
        return Vec::new();
    };
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

    #[test]
    fn the_announced_address_has_the_port_of_the_listener_of_its_family() {
        let settings = Settings::from_toml("[sip]\nadvertise = \"203.0.113.7\"\n").unwrap();
        let listeners = [
            (Transport::Udp, "0.0.0.0:5062".parse().unwrap()),
            (Transport::Udp, "[::]:5060".parse().unwrap()),
        ];
        let config = of(&settings, &listeners, 1);
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
        let config = of(&Settings::default(), &[], 0);
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
    }
}
