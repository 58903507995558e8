//! One m-line of the peer's: what it means and whether it can be recorded.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::policy::Policy;
use super::refusal::LineRefusal;
use super::terms::{Head, LineFlag, Peer, Terms};
use crate::sdp::{Codec, CodecRole, Connection, Direction, Family, Media, SessionDescription};

/// The terms that an m-line with a port asks for, or why it is refused.
///
/// `default_family` is that of the answer where the line says nothing about an address.
pub(super) fn judge(
    policy: &Policy,
    description: &SessionDescription,
    media: &Media,
    default_family: Family,
) -> Result<Terms, LineRefusal> {
    let mut terms = judge_transport(policy, description, media, default_family)?;
    terms.codecs = storable(policy, media, terms.mux)?;
    Ok(terms)
}

/// The same without a look at the formats: the terms name no codec.
pub(super) fn judge_transport(
    policy: &Policy,
    description: &SessionDescription,
    media: &Media,
    default_family: Family,
) -> Result<Terms, LineRefusal> {
    policy.judge_kind(media.kind)?;
    policy.judge_profile(media.profile)?;
    let encryption = policy.judge_keys(media)?;
    let connection = description.connection_of(media);
    let address = connection.and_then(|connection| connection.address);
    if address.is_some_and(|address| address.is_multicast()) {
        return Err(LineRefusal::Multicast);
    }
    if media.rtcp_mux_only && !policy.rtcp_mux {
        return Err(LineRefusal::MuxOnly);
    }
    let mux = (media.rtcp_mux || media.rtcp_mux_only) && policy.rtcp_mux;
    let peer_direction = description.direction_of(media);
    let old_hold = address.is_some_and(|address| address.is_unspecified());
    let ssrcs: BTreeSet<u32> = media.ssrcs.iter().map(|line| line.ssrc).collect();
    Ok(Terms {
        kind: media.kind,
        profile: media.profile,
        direction: if old_hold {
            Direction::Inactive
        } else {
            mirrored(peer_direction)
        },
        peer_direction,
        codecs: Vec::new(),
        label: media.label.clone(),
        peer: peer_of(description, media, mux),
        family: connection.map_or(default_family, |connection| connection.family),
        mux,
        rtcp_silent: description.bandwidth_of(media, "RR") == Some(0),
        ptime_ms: media.ptime_ms,
        content: media.content.clone(),
        mid: media.mid.clone(),
        ssrcs: ssrcs.into_iter().collect(),
        flags: flags_of(media, connection, encryption.is_some()),
        encryption,
    })
}

fn flags_of(
    media: &Media,
    connection: Option<&Connection>,
    is_encrypted: bool,
) -> BTreeSet<LineFlag> {
    let mut flags = BTreeSet::new();
    if media.label.is_none() {
        flags.insert(LineFlag::NoLabel);
    }
    if !media.crypto.is_empty() && !is_encrypted {
        flags.insert(LineFlag::CryptoIgnored);
    }
    match connection.map(|connection| connection.address) {
        None => drop(flags.insert(LineFlag::NoConnection)),
        Some(None) => drop(flags.insert(LineFlag::UnresolvedHost)),
        Some(Some(address)) if address.is_unspecified() => {
            flags.insert(LineFlag::OldHold);
        }
        Some(Some(_)) => {}
    }
    flags
}

/// What every answer to an m-line repeats. A line without a format gets one: RFC 8866 §5.14 wants
/// at least one.
pub(super) fn head_of(media: &Media) -> Head {
    Head {
        kind: media.kind_text.clone(),
        profile: media.profile_text.clone(),
        format: media
            .formats
            .first()
            .cloned()
            .unwrap_or_else(|| "0".to_owned()),
    }
}

/// The answer's direction, by this offer alone: nothing sticks from the one before (P-22).
/// Sendonly is what recording clients say; a recorder has nothing to send, so recvonly can only
/// be met by inactive (RFC 3264 §6.1).
pub(super) fn mirrored(peer: Direction) -> Direction {
    match peer {
        Direction::SendOnly | Direction::SendRecv => Direction::RecvOnly,
        Direction::Inactive | Direction::RecvOnly => Direction::Inactive,
    }
}

/// The codecs whose packets can be kept, in the order of the line (P-45) unless the policy has one.
fn storable(policy: &Policy, media: &Media, mux: bool) -> Result<Vec<Codec>, LineRefusal> {
    let mut codecs = media.codecs();
    codecs.retain(|codec| {
        (policy.unknown_encodings || codec.is_known())
            && !(mux && codec.payload_type.clashes_with_rtcp())
    });
    policy.choose(&mut codecs);
    if codecs.is_empty() {
        return Err(LineRefusal::NoFormat);
    }
    if !codecs.iter().any(|codec| codec.role() == CodecRole::Media) {
        return Err(LineRefusal::OnlyAuxiliary);
    }
    Ok(codecs)
}

/// Where the peer says it is. RTCP: the RTP port + 1, unless `a=rtcp` says otherwise (D-09).
fn peer_of(description: &SessionDescription, media: &Media, mux: bool) -> Peer {
    let Some(connection) = description.connection_of(media) else {
        return Peer::default();
    };
    let reachable = |address: &std::net::IpAddr| !address.is_unspecified();
    let address = connection.address.filter(reachable);
    let rtp = address.map(|address| SocketAddr::new(address, media.port));
    let rtcp = match &media.rtcp {
        _ if mux => rtp,
        Some(stated) => {
            let address = match &stated.connection {
                Some(own) => own.address.filter(reachable),
                None => address,
            };
            // While the stream itself is on hold at 0.0.0.0, nothing goes anywhere (P-44).
            rtp.and(address)
                .map(|address| SocketAddr::new(address, stated.port))
        }
        None => rtp.and_then(|rtp| Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?))),
    };
    Peer {
        host: Some(connection.host.clone()),
        rtp,
        rtcp,
    }
}
