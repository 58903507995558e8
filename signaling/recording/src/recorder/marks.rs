//! By which marks an INVITE is a recording session (RFC 7866 §6, P-01 to P-05a).

use holdfast_sip::message::{NameAddr, Params};
use holdfast_sip::{Reply, Request, Status};

use super::content;
use super::output::RefusedBecause;
use super::words::Word;
use super::{RecorderConfig, Refusal};

/// The marks of an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    option: OptionTag,
    tag: Tag,
    has_metadata: bool,
}

/// Where the option tag `siprec` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OptionTag {
    /// In Require, as RFC 7866 §6.2 has it.
    Required,
    /// In Supported alone.
    Supported,
    Absent,
}

/// How the Contact says that it is a recording client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    /// `+sip.src` as a parameter of the header.
    Proper,
    /// `src`, or either of them as a parameter of the URI.
    Misplaced,
    Absent,
}

impl Marks {
    /// The marks that an INVITE has.
    pub(super) fn of(request: &Request) -> Self {
        let headers = request.headers();
        let option = if headers.requires("siprec") {
            OptionTag::Required
        } else if headers.supports("siprec") {
            OptionTag::Supported
        } else {
            OptionTag::Absent
        };
        let tag = headers
            .contacts()
            .map(|contact| tag_of(&contact))
            .min_by_key(|tag| match tag {
                Tag::Proper => 0,
                Tag::Misplaced => 1,
                Tag::Absent => 2,
            });
        Self {
            option,
            tag: tag.unwrap_or(Tag::Absent),
            has_metadata: content::has_metadata(request),
        }
    }

    /// Whether it is to be recorded.
    pub(super) fn judge(&self, config: &RecorderConfig) -> Result<(), Refusal> {
        if config.is_strict {
            return self.judge_strictly();
        }
        let has_any =
            self.option != OptionTag::Absent || self.tag != Tag::Absent || self.has_metadata;
        if has_any || config.takes_plain_invites {
            return Ok(());
        }
        Err(Refusal::new(
            Reply::new(Status::FORBIDDEN),
            RefusedBecause::NotRecording,
        ))
    }

    /// Both marks, each in its place. 421 is for a missing option tag (RFC 3261 §21.4.16).
    fn judge_strictly(&self) -> Result<(), Refusal> {
        let reply = match (self.option, self.tag) {
            (OptionTag::Required, Tag::Proper) => return Ok(()),
            (OptionTag::Supported | OptionTag::Absent, Tag::Proper) => {
                Reply::new(Status::EXTENSION_REQUIRED).header("Require", "siprec")
            }
            (_, Tag::Misplaced | Tag::Absent) => Reply::new(Status::FORBIDDEN),
        };
        Err(Refusal::new(reply, RefusedBecause::NotRecording))
    }

    /// Whether the peer knows the option tag, so that a request of ours may require it.
    pub(super) fn knows_siprec(&self) -> bool {
        self.option != OptionTag::Absent
    }

    /// What was tolerated.
    pub(super) fn warnings(&self) -> Vec<Word> {
        let mut words = Vec::new();
        match self.option {
            OptionTag::Required => {}
            OptionTag::Supported => {
                words.push((
                    "siprec_not_required",
                    "siprec stands in Supported, not in Require",
                ));
            }
            OptionTag::Absent => {
                words.push(("no_siprec_option", "the option tag siprec is missing"))
            }
        }
        match self.tag {
            Tag::Proper => {}
            Tag::Misplaced => {
                words.push((
                    "src_tag_misplaced",
                    "the Contact says src in the wrong place",
                ));
            }
            Tag::Absent => words.push(("no_src_tag", "the Contact has no +sip.src")),
        }
        words
    }
}

/// P-05: a header parameter without value or "TRUE"; P-05a: its misplacements.
fn tag_of(contact: &NameAddr) -> Tag {
    let of_header = contact.params();
    if is_set(of_header, "+sip.src") {
        return Tag::Proper;
    }
    let of_uri = contact.uri().ok();
    let in_uri = |name| {
        of_uri
            .as_ref()
            .is_some_and(|uri| is_set(uri.params(), name))
    };
    if is_set(of_header, "src") || in_uri("+sip.src") || in_uri("src") {
        return Tag::Misplaced;
    }
    Tag::Absent
}

/// RFC 3840 §9: a boolean feature tag is true without a value, and has `"TRUE"` or `"FALSE"`.
fn is_set(params: &Params, name: &str) -> bool {
    let mut found = params
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name));
    found.any(|(_, value)| {
        value.is_none_or(|value| value.is_empty() || value.eq_ignore_ascii_case("TRUE"))
    })
}
