//! SIP messages of single calls, kept for whoever asks for them and as long as they ask; secrets are
//! taken out before anything is kept.
//!
//! While nobody asks, a message costs a look at an empty list.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_control::status::TracedMessage;
use holdfast_units::{MonoTime, WallTime};

use crate::limits::{TRACE_IDLE_MAX, TRACE_MESSAGE_SIZE_MAX, TRACE_MESSAGES_MAX, TRACES_MAX};
use crate::traffic::Way;

/// The calls that are traced.
#[derive(Debug, Default)]
pub struct Tracer {
    traces: Vec<Trace>,
}

#[derive(Debug)]
struct Trace {
    call_id: String,
    /// Somebody has asked then.
    asked_at: MonoTime,
    messages: VecDeque<TracedMessage>,
    next: u64,
}

/// As many calls are traced as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyTraces;

impl Tracer {
    /// Begins to trace a call, or goes on with it; gives its messages from this number on.
    pub fn ask(
        &mut self,
        now: MonoTime,
        call_id: &str,
        since: u64,
    ) -> Result<Vec<TracedMessage>, TooManyTraces> {
        self.traces
            .retain(|trace| now.since(trace.asked_at) < TRACE_IDLE_MAX);
        if let Some(trace) = self.traces.iter_mut().find(|it| it.call_id == call_id) {
            trace.asked_at = now;
            let newer = trace.messages.iter().filter(|it| it.number >= since);
            return Ok(newer.cloned().collect());
        }
        if self.traces.len() >= TRACES_MAX {
            return Err(TooManyTraces);
        }
        self.traces.push(Trace {
            call_id: call_id.to_owned(),
            asked_at: now,
            messages: VecDeque::new(),
            next: 0,
        });
        Ok(Vec::new())
    }

    /// A message passes.
    pub fn note(
        &mut self,
        now: (MonoTime, WallTime),
        way: Way,
        peer: Option<SocketAddr>,
        message: &[u8],
    ) {
        if self.traces.is_empty() {
            return;
        }
        let (now, at) = now;
        self.traces
            .retain(|trace| now.since(trace.asked_at) < TRACE_IDLE_MAX);
        let Some(call_id) = call_id(message) else {
            return;
        };
        let wanted = |trace: &&mut Trace| trace.call_id.as_bytes() == call_id;
        let Some(trace) = self.traces.iter_mut().find(wanted) else {
            return;
        };
        if trace.messages.len() >= TRACE_MESSAGES_MAX {
            trace.messages.pop_front();
        }
        let cut = &message[..message.len().min(TRACE_MESSAGE_SIZE_MAX)];
        trace.messages.push_back(TracedMessage {
            number: trace.next,
            at,
            is_sent: way == Way::Sent,
            peer,
            text: redact(&String::from_utf8_lossy(cut)),
        });
        trace.next += 1;
    }
}

/// The value of Call-ID, in either form of its name.
fn call_id(message: &[u8]) -> Option<&[u8]> {
    let lines = message.split(|octet| *octet == b'\n').skip(1);
    let fields = lines.map(<[u8]>::trim_ascii_end);
    let mut fields = fields.take_while(|field| !field.is_empty());
    fields.find_map(|field| {
        let mut halves = field.splitn(2, |octet| *octet == b':');
        let name = halves.next()?.trim_ascii();
        let is_it = name.eq_ignore_ascii_case(b"Call-ID") || name.eq_ignore_ascii_case(b"i");
        is_it.then(|| halves.next().unwrap_or_default().trim_ascii())
    })
}

/// A message without keys of SRTP and without what proves a password.
fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_hidden_field = false;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\r', '\n']);
        let end = &line[content.len()..];
        let lower = content.to_ascii_lowercase();
        // A folded line belongs to the field before it.
        let is_folded = content.starts_with([' ', '\t']) && !content.trim().is_empty();
        if !(is_folded && is_hidden_field) {
            is_hidden_field = SECRET_FIELDS.iter().any(|name| lower.starts_with(name));
        }
        let kept = if is_hidden_field {
            match content.split_once(':') {
                Some((name, _)) if !is_folded => format!("{name}: {HIDDEN}"),
                Some(_) | None => format!(" {HIDDEN}"),
            }
        } else if lower.starts_with("a=crypto:") {
            before(content, "inline:")
        } else if lower.starts_with("a=key-mgmt:") || lower.starts_with("k=") {
            before(content, ":")
        } else {
            content.to_owned()
        };
        out.push_str(&kept);
        out.push_str(end);
    }
    out
}

/// The text until behind a mark; what follows is hidden.
fn before(text: &str, mark: &str) -> String {
    match text.find(mark) {
        Some(at) => format!("{}{HIDDEN}", &text[..at + mark.len()]),
        None => HIDDEN.to_owned(),
    }
}

/// Fields whose values prove who somebody is, in lower case.
const SECRET_FIELDS: [&str; 4] = [
    "authorization:",
    "authorization ",
    "proxy-authorization:",
    "proxy-authorization ",
];
const HIDDEN: &str = "***";

const _: () = assert!(TRACE_IDLE_MAX.as_secs() >= Duration::from_secs(5).as_secs());

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> (MonoTime, WallTime) {
        (MonoTime(seconds * 1_000_000_000), WallTime(seconds))
    }

    const INVITE: &[u8] = b"INVITE sip:a@b SIP/2.0\r\nCall-ID: one\r\n\r\n";

    #[test]
    fn only_what_is_asked_for_is_kept_and_only_while_it_is_asked_for() {
        let mut tracer = Tracer::default();
        tracer.note(at(0), Way::Received, None, INVITE);
        assert_eq!(tracer.ask(at(1).0, "one", 0), Ok(vec![]));
        tracer.note(at(2), Way::Received, None, INVITE);
        tracer.note(at(2), Way::Sent, None, b"SIP/2.0 200 OK\r\ni:one\r\n\r\n");
        tracer.note(
            at(2),
            Way::Sent,
            None,
            b"BYE sip:a SIP/2.0\r\nCall-ID: two\r\n\r\n",
        );
        tracer.note(
            at(2),
            Way::Sent,
            None,
            b"BYE sip:a SIP/2.0\r\n\r\nCall-ID: one",
        );
        let heard = tracer.ask(at(3).0, "one", 0).unwrap();
        let ways: Vec<_> = heard.iter().map(|it| (it.number, it.is_sent)).collect();
        assert_eq!(ways, [(0, false), (1, true)]);
        assert_eq!(tracer.ask(at(3).0, "one", 1).unwrap().len(), 1);
        let later = 4 + TRACE_IDLE_MAX.as_secs();
        tracer.note(at(later), Way::Received, None, INVITE);
        assert_eq!(tracer.ask(at(later).0, "one", 0), Ok(vec![]), "begun anew");
    }

    #[test]
    fn traces_and_their_messages_are_bounded() {
        let mut tracer = Tracer::default();
        for number in 0..TRACES_MAX {
            tracer.ask(at(0).0, &number.to_string(), 0).unwrap();
        }
        assert_eq!(tracer.ask(at(0).0, "one", 0), Err(TooManyTraces));
        let message = b"BYE sip:a SIP/2.0\r\nCall-ID: 0\r\n\r\n";
        for _ in 0..TRACE_MESSAGES_MAX + 5 {
            tracer.note(at(0), Way::Received, None, message);
        }
        let kept = tracer.ask(at(0).0, "0", 0).unwrap();
        assert_eq!((kept.len(), kept[0].number), (TRACE_MESSAGES_MAX, 5));
        let mut long = message.to_vec();
        long.resize(TRACE_MESSAGE_SIZE_MAX * 2, b'x');
        tracer.note(at(0), Way::Received, None, &long);
        let kept = tracer.ask(at(0).0, "0", 0).unwrap();
        assert_eq!(kept.last().unwrap().text.len(), TRACE_MESSAGE_SIZE_MAX);
    }

    #[test]
    fn secrets_are_hidden_and_nothing_else() {
        let text = "INVITE sip:a@b SIP/2.0\r\n\
                    Authorization: Digest username=\"u\", response=\"secret1\"\r\n\
                    PROXY-AUTHORIZATION : Digest\r\n response=\"secret2\"\r\n\
                    Subject: kept\r\n\
                    \r\n\
                    m=audio 1 RTP/SAVP 0\r\n\
                    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret3|2^20|1:4\r\n\
                    a=CRYPTO:2 X INLINE:secret4\r\n\
                    a=key-mgmt:mikey secret5\r\n\
                    k=base64:secret6\r\n\
                    a=label:1";
        let shown = redact(text);
        assert!(!shown.contains("secret"), "{shown}");
        for kept in [
            "Authorization: ***\r\n",
            "Subject: kept\r\n",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***\r\n",
            "a=key-mgmt:***\r\n",
            "k=base64:***\r\n",
            "a=label:1",
        ] {
            assert!(shown.contains(kept), "no {kept:?} in {shown}");
        }
        assert_eq!(redact("a b\n\nc"), "a b\n\nc");
    }
}
