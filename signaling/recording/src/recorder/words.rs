//! Stable words for what was odd, as manifests have them. They never change; new ones are added.

use crate::metadata::{Change, Fault, Flag};
use crate::multipart::BodyFlag;
use crate::offer::LineFlag;
use crate::sdp::SdpFlag;

/// A word, and the same for a reader.
pub(super) type Word = (&'static str, &'static str);

pub(super) const fn of_body(flag: BodyFlag) -> Word {
    match flag {
        BodyFlag::NoClosingBoundary => (
            "no_closing_boundary",
            "the last part of the body ends without a boundary",
        ),
        BodyFlag::BoundaryFromBody => (
            "boundary_from_body",
            "the boundary was taken from the body, not from Content-Type",
        ),
        BodyFlag::NoBoundary => ("no_boundary", "a multipart body without any boundary"),
        BodyFlag::TypeGuessed => ("part_type_guessed", "a part of the body says no type"),
        BodyFlag::TypeDamaged => ("part_type_damaged", "the metadata part's type is damaged"),
        BodyFlag::TooManyParts => ("too_many_parts", "the body has more parts than are read"),
        BodyFlag::TooDeep => ("parts_too_deep", "a multipart lies too deep to be read"),
        BodyFlag::HeadersCut => ("part_headers_cut", "a part has more headers than are read"),
    }
}

pub(super) const fn of_sdp(flag: SdpFlag) -> Word {
    match flag {
        SdpFlag::NoVersion => ("sdp_no_version", "the session description has no v= line"),
        SdpFlag::NoOrigin => (
            "sdp_no_origin",
            "the session description has no usable o= line",
        ),
        SdpFlag::NoName => ("sdp_no_name", "the session description has no s= line"),
        SdpFlag::NoTime => ("sdp_no_time", "the session description has no t= line"),
        SdpFlag::BadConnection => ("sdp_bad_connection", "a c= line cannot be read"),
        SdpFlag::NoConnection => ("sdp_no_connection", "a stream has no connection address"),
        SdpFlag::OutOfOrder => (
            "sdp_out_of_order",
            "a session line follows the first m-line",
        ),
        SdpFlag::UnknownLine => (
            "sdp_unknown_line",
            "a line of the description is of no kind",
        ),
        SdpFlag::LongLine => (
            "sdp_long_line",
            "a line of the description was too long to read",
        ),
        SdpFlag::BadText => (
            "sdp_bad_text",
            "the description has octets that are no text",
        ),
        SdpFlag::KeyLine => ("sdp_key_line", "a k= line was ignored"),
        SdpFlag::BadBandwidth => ("sdp_bad_bandwidth", "a b= line cannot be read"),
        SdpFlag::SeveralDirections => (
            "sdp_several_directions",
            "a stream has several directions; the last one counts",
        ),
        SdpFlag::OddRtpmap => ("sdp_odd_rtpmap", "an rtpmap is damaged"),
        SdpFlag::StaticRemapped => (
            "sdp_static_remapped",
            "a static payload type has another codec",
        ),
        SdpFlag::BadCrypto => ("sdp_bad_crypto", "a crypto line cannot be read"),
        SdpFlag::BadRtcp => ("sdp_bad_rtcp", "an rtcp line cannot be read"),
        SdpFlag::BadFormat => ("sdp_bad_format", "a format is no payload type"),
        SdpFlag::NoFormat => ("sdp_no_format", "an m-line lists no format"),
        SdpFlag::TooManyFormats => ("sdp_too_many_formats", "an m-line lists too many formats"),
        SdpFlag::SeveralPorts => ("sdp_several_ports", "an m-line names several ports"),
    }
}

pub(super) const fn of_line(flag: LineFlag) -> Word {
    match flag {
        LineFlag::NoLabel => (
            "no_label",
            "a stream has no label: the metadata cannot name it",
        ),
        LineFlag::DuplicateLabel => ("duplicate_label", "two streams have the same label"),
        LineFlag::NoConnection => ("no_connection", "a stream has no connection address"),
        LineFlag::UnresolvedHost => (
            "unresolved_host",
            "a stream's address is a name or nonsense; it is not looked up",
        ),
        LineFlag::OldHold => ("old_hold", "a stream is held by address 0.0.0.0"),
        LineFlag::Remapped => ("payload_type_remapped", "a payload type changed its codec"),
        LineFlag::CryptoIgnored => ("crypto_ignored", "keys on a stream that is not encrypted"),
        LineFlag::ForeignAnswer => (
            "foreign_answer",
            "the answer names none of the codecs that were offered",
        ),
    }
}

/// What is wrong with a metadata document as a whole.
pub(super) const fn of_fault(fault: &Fault) -> &'static str {
    match fault {
        Fault::TooLarge { .. } => "too_large",
        Fault::Empty => "empty",
        Fault::Doctype => "doctype",
        Fault::TooDeep { .. } => "too_deep",
        Fault::TooManyNodes { .. } => "too_many_nodes",
        Fault::IllFormed { .. } => "ill_formed",
        Fault::UnknownRoot { .. } => "unknown_root",
    }
}

/// The words of the metadata have hyphens, those of the manifest underscores.
pub(super) fn of_metadata(flag: Flag) -> String {
    flag.code().replace('-', "_")
}

/// What a change of the metadata says against itself.
pub(super) fn of_change(change: &Change) -> Option<Word> {
    match change {
        Change::IdConflict { .. } => Some((
            "metadata_id_conflict",
            "the metadata uses one id for two things",
        )),
        Change::StrayDisassociation { .. } => Some((
            "metadata_stray_end",
            "somebody left a session without having joined it",
        )),
        Change::PartialBeforeComplete => Some((
            "metadata_no_base",
            "a partial document came before any complete one",
        )),
        Change::HistoryFull => Some((
            "metadata_full",
            "the metadata is larger than is kept; a document was passed over",
        )),
        Change::Appeared { .. }
        | Change::Updated { .. }
        | Change::Closed { .. }
        | Change::Joined { .. }
        | Change::Left { .. }
        | Change::MembershipUpdated { .. }
        | Change::SendingStarted { .. }
        | Change::SendingEnded { .. }
        | Change::ReceivingStarted { .. }
        | Change::ReceivingEnded { .. } => None,
    }
}
