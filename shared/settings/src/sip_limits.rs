//! What messages and connections may cost, key by key.

use crate::check::Checker;
use crate::limits;
use crate::raw::RawSip;
use crate::settings::SipLimits;

pub(crate) fn sip_limits(checker: &mut Checker<'_>, raw: &RawSip) -> SipLimits {
    SipLimits {
        message_size_max: checker.size(
            "sip.message_size_max",
            &raw.message_size_max,
            &limits::SIP_MESSAGE_SIZE,
        ),
        header_size_max: checker.size(
            "sip.header_size_max",
            &raw.header_size_max,
            &limits::HEADER_SIZE,
        ),
        body_parts_max: checker.count(
            "sip.body_parts_max",
            raw.body_parts_max,
            &limits::BODY_PARTS,
        ),
        body_depth_max: checker.count(
            "sip.body_depth_max",
            raw.body_depth_max,
            &limits::BODY_DEPTH,
        ),
        metadata_size_max: checker.size(
            "sip.metadata_size_max",
            &raw.metadata_size_max,
            &limits::METADATA_SIZE,
        ),
        metadata_depth_max: checker.count(
            "sip.metadata_depth_max",
            raw.metadata_depth_max,
            &limits::METADATA_DEPTH,
        ),
        message_timeout: checker.duration(
            "sip.message_timeout",
            &raw.message_timeout,
            &limits::MESSAGE_TIMEOUT,
        ),
        connections_max: checker.count(
            "sip.connections_max",
            raw.connections_max,
            &limits::CONNECTIONS,
        ),
        connections_per_source_max: checker.count(
            "sip.connections_per_source_max",
            raw.connections_per_source_max,
            &limits::CONNECTIONS,
        ),
        connection_idle_timeout: checker.duration(
            "sip.connection_idle_timeout",
            &raw.connection_idle_timeout,
            &limits::CONNECTION_IDLE_TIMEOUT,
        ),
    }
}
