//! Offers to test with, and short ways to play them.

use std::net::IpAddr;

use holdfast_recording::offer::{
    Action, KeySeed, LinePlan, LineRefusal, LocalPorts, Origin, Plan, Policy, Refusal, Session,
};
use holdfast_recording::sdp::SessionDescription;

/// What a usual m-line looks like.
pub const AUDIO: &str = "m=audio 40000 RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=label:1
a=sendonly
";

/// A second one.
pub const AUDIO_2: &str = "m=audio 40002 RTP/AVP 8
a=label:2
a=sendonly
";

/// The lines of a description before its m-lines.
pub const HEAD: &str = "v=0
o=src 11 22 IN IP4 192.0.2.10
s=-
c=IN IP4 192.0.2.10
t=0 0
";

/// A description with these m-lines after the usual head.
pub fn with(lines: &[&str]) -> SessionDescription {
    parse(&format!("{HEAD}{}", lines.concat()))
}

/// Reads a description written with bare line feeds, sent with CRLF.
pub fn parse(text: &str) -> SessionDescription {
    SessionDescription::parse(text.replace('\n', "\r\n").as_bytes()).unwrap()
}

pub fn session() -> Session {
    session_of(&Policy::default())
}

pub fn session_of(policy: &Policy) -> Session {
    let address = IpAddr::from([198, 51, 100, 7]);
    Session::new(
        policy,
        Origin {
            session_id: 4711,
            address,
        },
        KeySeed::new([7; 32]),
    )
}

/// The ports of a line in all tests: 10000 and 10001 for line 0, 10002 and 10003 for line 1 …
pub fn ports(line: &LinePlan) -> Option<LocalPorts> {
    let rtp = 10_000 + 2 * line.line;
    Some(LocalPorts {
        address: IpAddr::from([198, 51, 100, 7]),
        rtp,
        rtcp: rtp + 1,
    })
}

/// Plans and accepts an offer, and returns the answer with bare line feeds.
pub fn answer(session: &mut Session, offer: &SessionDescription) -> String {
    let plan = session.plan(offer).unwrap();
    text(session.accept(plan, ports).unwrap())
}

/// The answer of a new session to m-lines under the usual head.
pub fn answer_to(lines: &[&str]) -> String {
    answer(&mut session(), &with(lines))
}

pub fn text(description: Vec<u8>) -> String {
    let text = String::from_utf8(description).unwrap();
    assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']));
    text.replace("\r\n", "\n")
}

/// The m-line blocks of a description.
pub fn blocks(description: &str) -> Vec<String> {
    description
        .split("\nm=")
        .skip(1)
        .map(|block| format!("m={}\n", block.trim_end()))
        .collect()
}

/// Why each line was refused, of a plan that stands.
pub fn refused(plan: &Plan) -> Vec<(u16, LineRefusal)> {
    let refused = plan.lines.iter().filter_map(|line| match line.action {
        Action::Refuse { reason, .. } => Some((line.line, reason)),
        _ => None,
    });
    refused.collect()
}

/// The status and warning code with which a new session refuses m-lines.
pub fn refusal_of(policy: &Policy, lines: &[&str]) -> (u16, u16) {
    let refusal: Refusal = session_of(policy).plan(&with(lines)).unwrap_err();
    (refusal.status(), refusal.warning().code)
}

/// A small generator: the same numbers in every run.
pub struct Xorshift(pub u64);

impl Xorshift {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}
