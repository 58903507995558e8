//! Small header values: CSeq, timers, reliability, Replaces, media types.

use super::method::Method;
use super::scan::{Params, cut, find_top_level};
use crate::limits::CSEQ_END;

/// CSeq (RFC 3261 §20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31.
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

impl CSeq {
    /// Reads `number method`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let number = number(words.next()?).filter(|number| *number < CSEQ_END)?;
        let method = Method::from_token(words.next()?)?;
        words.next().is_none().then_some(Self { number, method })
    }
}

/// Who refreshes a session (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// The one that sent the request.
    Uac,
    /// The one that answers it.
    Uas,
}

/// Session-Expires (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// The interval.
    pub seconds: u32,
    /// The choice of the sender, if it made one.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads `seconds;refresher=uac`. Another refresher counts as none.
    pub fn parse(text: &str) -> Option<Self> {
        let (seconds, params) = seconds_and_params(text)?;
        let refresher = params.value("refresher").and_then(|who| {
            if who.eq_ignore_ascii_case("uac") {
                Some(Refresher::Uac)
            } else {
                who.eq_ignore_ascii_case("uas").then_some(Refresher::Uas)
            }
        });
        Some(Self { seconds, refresher })
    }
}

/// A number of seconds, parameters ignored: Expires, Min-SE, Retry-After.
pub fn seconds(text: &str) -> Option<u32> {
    seconds_and_params(text).map(|(seconds, _)| seconds)
}

fn seconds_and_params(text: &str) -> Option<(u32, Params)> {
    let end = find_top_level(text, b';').unwrap_or(text.len());
    let (seconds, params) = cut(text, end, end)?;
    // Retry-After may carry a comment.
    let seconds = seconds.split(['(', ' ', '\t']).next()?;
    Some((number(seconds)?, Params::parse(params)))
}

/// Digits alone; a sign or a blank is refused.
pub fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// RAck (RFC 3262 §7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RAck {
    /// The RSeq of the response that it acknowledges.
    pub rseq: u32,
    /// The CSeq of that response.
    pub cseq: CSeq,
}

impl RAck {
    /// Reads `rseq number method`.
    pub fn parse(text: &str) -> Option<Self> {
        let (rseq, cseq) = text.trim().split_once([' ', '\t'])?;
        Some(Self {
            rseq: number(rseq)?,
            cseq: CSeq::parse(cseq)?,
        })
    }
}

/// Replaces (RFC 3891 §6.1). The tags are those the **other** side of the message sees: match
/// `to_tag` with our local tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// The Call-ID of the dialog.
    pub call_id: String,
    /// Our tag.
    pub to_tag: String,
    /// The peer's tag.
    pub from_tag: String,
    /// Only an early dialog may be replaced.
    pub early_only: bool,
}

impl Replaces {
    /// Reads the value; RFC 3891 §3 wants exactly one of each tag.
    pub fn parse(text: &str) -> Option<Self> {
        let end = find_top_level(text, b';').unwrap_or(text.len());
        let (call_id, params) = cut(text, end, end)?;
        let params = Params::parse(params);
        let only = |name: &str| {
            let mut found = params
                .iter()
                .filter(|(known, _)| known.eq_ignore_ascii_case(name));
            let value = found.next()?.1?.to_owned();
            found.next().is_none().then_some(value)
        };
        let call_id = call_id.trim().to_owned();
        (!call_id.is_empty()).then_some(())?;
        Some(Self {
            to_tag: only("to-tag")?,
            from_tag: only("from-tag")?,
            early_only: params.has("early-only"),
            call_id,
        })
    }
}

/// Content-Type, or one value of Accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    essence: String,
    params: Params,
}

impl MediaType {
    /// Reads `type/subtype;params`; blanks may stand around the slash.
    pub fn parse(text: &str) -> Option<Self> {
        let end = find_top_level(text, b';').unwrap_or(text.len());
        let (essence, params) = cut(text, end, end)?;
        let (kind, subtype) = essence.split_once('/')?;
        let essence = format!("{}/{}", kind.trim(), subtype.trim()).to_ascii_lowercase();
        Some(Self {
            essence,
            params: Params::parse(params),
        })
    }

    /// `type/subtype` in lower case.
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// Parameters such as `boundary`.
    pub const fn params(&self) -> &Params {
        &self.params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cseq_bounds() {
        assert_eq!(
            CSeq::parse("0009\t INVITE"),
            Some(CSeq {
                number: 9,
                method: Method::Invite
            })
        );
        assert!(CSeq::parse("2147483647 BYE").is_some());
        for text in [
            "2147483648 BYE",
            "36893488147419103232 REGISTER",
            "-1 BYE",
            "1",
            "1 B YE",
            "",
        ] {
            assert_eq!(CSeq::parse(text), None, "{text}");
        }
    }

    #[test]
    fn session_expires_forms() {
        let parse =
            |text| SessionExpires::parse(text).map(|value| (value.seconds, value.refresher));
        assert_eq!(parse("1800"), Some((1800, None)));
        assert_eq!(
            parse("2400 ; Refresher=UAC"),
            Some((2400, Some(Refresher::Uac)))
        );
        assert_eq!(
            parse("90;refresher=uas;x=y"),
            Some((90, Some(Refresher::Uas)))
        );
        assert_eq!(parse("soon"), None);
    }

    #[test]
    fn replaces_needs_one_of_each_tag() {
        let value = Replaces::parse("a@example.com;to-tag=7;from-tag=8;early-only").unwrap();
        assert_eq!(
            (
                value.to_tag.as_str(),
                value.from_tag.as_str(),
                value.early_only
            ),
            ("7", "8", true)
        );
        assert_eq!(Replaces::parse("a;to-tag=7"), None);
        assert_eq!(Replaces::parse("a;to-tag=7;to-tag=8;from-tag=9"), None);
        assert_eq!(Replaces::parse(";to-tag=7;from-tag=9"), None);
    }

    #[test]
    fn media_types_in_any_case() {
        let value = MediaType::parse("Multipart / Mixed; Boundary=\"a b\"").unwrap();
        assert_eq!(value.essence(), "multipart/mixed");
        assert_eq!(value.params().value("boundary"), Some("a b"));
    }

    #[test]
    fn rack_names_the_response() {
        let value = RAck::parse("776656 1 INVITE").unwrap();
        assert_eq!((value.rseq, value.cseq.number), (776_656, 1));
    }
}
