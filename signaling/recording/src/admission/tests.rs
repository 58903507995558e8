use std::time::Duration;

use holdfast_sip::digest::{Algorithm, DigestConfig};
use holdfast_sip::{Limits, Message, Transport};

use super::*;

const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

fn at(millis: u64) -> MonoTime {
    MonoTime::ZERO + Duration::from_millis(millis)
}

fn prefix(text: &str, bits: u8) -> Prefix {
    Prefix::new(text.parse().expect("an address"), bits)
}

fn peer(name: &str) -> PeerConfig {
    PeerConfig {
        name: name.to_owned(),
        addresses: Vec::new(),
        certificates: None,
        may_be_called: false,
        is_trusted: false,
        users: None,
        is_strict: false,
        takes_plain_invites: false,
        labels: Vec::new(),
        codecs: Vec::new(),
        srtp: Default::default(),
    }
}

fn named(names: &[&str]) -> Option<Names> {
    let names = names.iter().map(|name| (*name).to_owned());
    Some(Names::These(names.collect()))
}

fn admission(config: AdmissionConfig) -> Admission {
    Admission::new(config, [1; 32])
}

fn digest() -> DigestConfig {
    let mut credentials = Credentials::default();
    for user in ["a", "b", "c"] {
        let hash = Algorithm::Sha256.hash(&[user, "holdfast", "secret"]);
        credentials.insert(user, Algorithm::Sha256, &hash);
    }
    DigestConfig {
        realm: "holdfast".to_owned(),
        algorithms: vec![Algorithm::Sha256],
        nonce_lifetime: Duration::from_secs(60),
        credentials,
    }
}

struct Asked<'a> {
    method: &'a str,
    from: &'a str,
    transport: Transport,
    uri: &'a str,
    contact: &'a str,
    authorization: Option<String>,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self {
            method: "INVITE",
            from: HOME,
            transport: Transport::Udp,
            uri: "sip:srs@example.com",
            contact: "sip:src@192.0.2.1",
            authorization: None,
        }
    }
}

impl Asked<'_> {
    fn request(&self) -> Request {
        let (method, uri, contact) = (self.method, self.uri, self.contact);
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:srs@example.com>\r\nCall-ID: 1\r\n\
             CSeq: 1 {method}\r\nContact: <{contact}>\r\nMax-Forwards: 70\r\n"
        );
        if let Some(value) = &self.authorization {
            text.push_str(&format!("Authorization: {value}\r\n"));
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        match Message::parse_within(text.as_bytes(), &Limits::default()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn judge(
        &self,
        admission: &mut Admission,
        now: MonoTime,
        flow: u64,
        belongs: Belongs<'_>,
    ) -> Result<Sender, Rejection> {
        let source = FlowInfo {
            transport: self.transport,
            remote: SocketAddr::new(self.from.parse().expect("an address"), 5060),
            local: "192.0.2.9:5060".parse().expect("an address"),
        };
        admission.judge(now, Flow(flow), &source, &self.request(), belongs)
    }

    fn begins(&self, admission: &mut Admission, flow: u64) -> Result<Sender, NotAdmitted> {
        let verdict = self.judge(admission, at(1), flow, Belongs::Nowhere);
        verdict.map_err(|rejection| rejection.cause)
    }
}

/// Credentials for the challenge in a 401.
fn answer(reply: &Reply, user: &str, count: u32, method: &str) -> String {
    let challenge = reply.value("WWW-Authenticate").expect("a challenge");
    let (_, rest) = challenge.split_once("nonce=\"").expect("a nonce");
    let nonce = rest.split('"').next().expect("its end");
    let hash = |pieces: &[&str]| Algorithm::Sha256.hash(pieces);
    let secret = hash(&[user, "holdfast", "secret"]);
    let request = hash(&[method, "sip:srs@example.com"]);
    let count = format!("{count:08x}");
    let response = hash(&[&secret, nonce, &count, "c", "auth", &request]);
    format!(
        "Digest username=\"{user}\", realm=\"holdfast\", nonce=\"{nonce}\", \
         uri=\"sip:srs@example.com\", response=\"{response}\", algorithm=SHA-256, qop=auth, \
         nc={count}, cnonce=\"c\""
    )
}

fn sent_by(peer: usize) -> Result<Sender, NotAdmitted> {
    Ok(Sender {
        peer: Some(peer),
        user: None,
    })
}

#[test]
fn prefixes_have_the_addresses_they_say() {
    for (own, bits, ip, is_in) in [
        ("192.0.2.0", 24, "192.0.2.255", true),
        ("192.0.2.0", 24, "192.0.3.0", false),
        ("192.0.2.7", 32, "192.0.2.7", true),
        ("192.0.2.7", 32, "192.0.2.6", false),
        ("0.0.0.0", 0, "255.255.255.255", true),
        ("0.0.0.0", 0, "::1", false),
        ("::", 0, "2001:db8::1", true),
        ("2001:db8::", 33, "2001:db8:7fff::1", true),
        ("2001:db8::", 33, "2001:db8:8000::1", false),
    ] {
        let ip = ip.parse().expect("an address");
        assert_eq!(
            prefix(own, bits).contains(ip),
            is_in,
            "{ip} in {own}/{bits}"
        );
    }
}

#[test]
fn by_default_everybody_may() {
    let mut open = admission(AdmissionConfig::default());
    assert_eq!(Asked::default().begins(&mut open, 1), Ok(Sender::default()));
}

#[test]
fn addresses_that_are_not_allowed_get_nowhere() {
    let mut closed = admission(AdmissionConfig {
        allow: vec![prefix("192.0.2.0", 24)],
        ..AdmissionConfig::default()
    });
    assert!(Asked::default().begins(&mut closed, 1).is_ok());
    for method in ["INVITE", "OPTIONS", "BYE", "ACK", "CANCEL"] {
        let asked = Asked {
            method,
            from: ELSEWHERE,
            ..Asked::default()
        };
        let belongs = Belongs::ToCallOf(&Sender {
            peer: None,
            user: None,
        });
        for belongs in [Belongs::Nowhere, belongs] {
            let rejection = asked.judge(&mut closed, at(1), 1, belongs).unwrap_err();
            assert_eq!(rejection.cause, NotAdmitted::Address);
            let status = rejection.reply.map(|reply| reply.status);
            let is_silent = matches!(method, "ACK" | "CANCEL");
            assert_eq!(
                status,
                (!is_silent).then_some(Status::FORBIDDEN),
                "{method}"
            );
        }
    }
    let remote = SocketAddr::new(ELSEWHERE.parse().expect("an address"), 1);
    let verdict = closed.admit_connection(at(1), remote);
    assert_eq!(verdict, Err(NotAdmitted::Address));
    assert_eq!(closed.counts().forbidden, 11);
}

#[test]
fn a_source_that_asks_too_often_gets_503_and_its_calls_go_on() {
    let mut limited = admission(AdmissionConfig {
        requests_per_second: 1,
        requests_burst: 2,
        retry_after: Duration::from_secs(7),
        ..AdmissionConfig::default()
    });
    let invite = Asked::default();
    let mut ask = |asked: &Asked<'_>, millis, belongs| {
        asked
            .judge(&mut limited, at(millis), 1, belongs)
            .map_err(|rejection| rejection.reply.map(|reply| (*reply).clone()))
    };
    assert!(ask(&invite, 0, Belongs::Nowhere).is_ok());
    assert!(ask(&invite, 0, Belongs::Nowhere).is_ok());
    let Err(Some(reply)) = ask(&invite, 0, Belongs::Nowhere) else {
        panic!("let in");
    };
    assert_eq!(reply.status, Status::UNAVAILABLE);
    assert_eq!(reply.value("Retry-After"), Some("7"));
    // What belongs to a call is not counted, nor is what others ask.
    let nobody = Sender::default();
    let bye = Asked {
        method: "BYE",
        ..Asked::default()
    };
    assert!(ask(&bye, 0, Belongs::ToCallOf(&nobody)).is_ok());
    let ack = Asked {
        method: "ACK",
        ..Asked::default()
    };
    assert!(ask(&ack, 0, Belongs::Nowhere).is_ok());
    let other = Asked {
        from: ELSEWHERE,
        ..Asked::default()
    };
    assert!(ask(&other, 0, Belongs::Nowhere).is_ok());
    assert!(ask(&invite, 1_000, Belongs::Nowhere).is_ok());
    assert!(ask(&invite, 1_000, Belongs::Nowhere).is_err());
}

#[test]
fn the_first_peer_that_fits_is_meant() {
    let mut by_address = peer("a");
    by_address.addresses = vec![prefix("192.0.2.0", 24)];
    let mut by_name = peer("b");
    by_name.certificates = named(&["Sbc.example.com"]);
    let mut by_both = peer("c");
    by_both.addresses = vec![prefix(ELSEWHERE, 32)];
    by_both.certificates = Some(Names::Any);
    let mut known = admission(AdmissionConfig {
        takes_unknown_peers: false,
        peers: vec![by_address, by_name, by_both],
        ..AdmissionConfig::default()
    });
    known.handle_identity(Flow(1), vec!["sbc.example.com".to_owned()]);
    known.handle_identity(Flow(2), vec!["other.example.com".to_owned()]);
    for (from, flow, expected) in [
        (HOME, 9, sent_by(0)),
        (HOME, 1, sent_by(0)),
        (ELSEWHERE, 1, sent_by(1)),
        (ELSEWHERE, 2, sent_by(2)),
        (ELSEWHERE, 9, Err(NotAdmitted::Unknown)),
        ("203.0.113.1", 2, Err(NotAdmitted::Unknown)),
        ("203.0.113.1", 1, sent_by(1)),
    ] {
        let asked = Asked {
            from,
            ..Asked::default()
        };
        assert_eq!(asked.begins(&mut known, flow), expected, "{from} on {flow}");
    }
    known.handle_flow_closed(Flow(1));
    let asked = Asked {
        from: ELSEWHERE,
        ..Asked::default()
    };
    let unknown = Err(NotAdmitted::Unknown);
    assert_eq!(
        asked.begins(&mut known, 1),
        unknown,
        "the connection is gone"
    );
}

#[test]
fn a_certificate_needs_a_name_that_is_allowed() {
    let mut named_only = admission(AdmissionConfig {
        client_names: Names::These(vec!["sbc.example.com".to_owned()]),
        ..AdmissionConfig::default()
    });
    named_only.handle_identity(Flow(1), vec!["SBC.example.com".to_owned()]);
    named_only.handle_identity(Flow(2), vec!["a.sbc.example.com".to_owned()]);
    named_only.handle_identity(Flow(3), Vec::new());
    let invite = Asked::default();
    assert!(invite.begins(&mut named_only, 1).is_ok());
    assert_eq!(invite.begins(&mut named_only, 2), Err(NotAdmitted::Name));
    assert_eq!(invite.begins(&mut named_only, 3), Err(NotAdmitted::Name));
    assert!(invite.begins(&mut named_only, 4).is_ok(), "no certificate");
}

#[test]
fn who_has_to_authenticate_is_challenged_and_then_known() {
    let (mut first, mut second) = (peer("first"), peer("second"));
    first.users = named(&["a"]);
    second.users = named(&["b"]);
    let mut asking = admission(AdmissionConfig {
        digest: Some(digest()),
        peers: vec![first, second],
        ..AdmissionConfig::default()
    });
    let bare = Asked::default();
    let rejection = bare
        .judge(&mut asking, at(1), 1, Belongs::Nowhere)
        .unwrap_err();
    let reply = rejection.reply.expect("an answer");
    assert_eq!(reply.status, Status::UNAUTHORIZED);
    let with = |user: &str, count| Asked {
        authorization: Some(answer(&reply, user, count, "INVITE")),
        ..Asked::default()
    };
    let known = |peer, user: &str| {
        Ok(Sender {
            peer: Some(peer),
            user: Some(user.to_owned()),
        })
    };
    assert_eq!(with("b", 1).begins(&mut asking, 1), known(1, "b"));
    assert_eq!(with("a", 2).begins(&mut asking, 1), known(0, "a"));
    let user = Err(NotAdmitted::User);
    assert_eq!(with("c", 3).begins(&mut asking, 1), user, "of no peer");
    let stale = Err(NotAdmitted::Credentials(CredentialsFault::Stale));
    assert_eq!(with("a", 2).begins(&mut asking, 1), stale, "a replay");
    let wrong = Err(NotAdmitted::Credentials(CredentialsFault::Wrong));
    assert_eq!(with("nobody", 4).begins(&mut asking, 1), wrong);
    // OPTIONS is answered without.
    let options = Asked {
        method: "OPTIONS",
        ..Asked::default()
    };
    assert_eq!(options.begins(&mut asking, 1), sent_by(0));
    asking.replace_credentials(Credentials::default());
    assert_eq!(with("a", 5).begins(&mut asking, 1), wrong, "taken away");
}

#[test]
fn a_request_of_a_call_comes_from_whoever_began_it() {
    let mut by_address = peer("by address");
    by_address.addresses = vec![prefix("192.0.2.0", 24)];
    let mut by_user = peer("by user");
    by_user.users = Some(Names::Any);
    let mut known = admission(AdmissionConfig {
        digest: Some(digest()),
        peers: vec![by_address, by_user],
        ..AdmissionConfig::default()
    });
    let of_address = Sender {
        peer: Some(0),
        user: None,
    };
    let of_user = Sender {
        peer: Some(1),
        user: Some("a".to_owned()),
    };
    let mut within = |asked: &Asked<'_>, sender: &Sender| {
        asked
            .judge(&mut known, at(1), 1, Belongs::ToCallOf(sender))
            .map_err(|rejection| (rejection.cause, rejection.reply))
    };
    let from = |method, from| Asked {
        method,
        from,
        ..Asked::default()
    };
    assert!(within(&from("BYE", HOME), &of_address).is_ok());
    for method in ["BYE", "INVITE", "UPDATE", "ACK"] {
        let verdict = within(&from(method, ELSEWHERE), &of_address);
        let (cause, reply) = verdict.unwrap_err();
        assert_eq!(cause, NotAdmitted::NotItsCall);
        assert_eq!(reply.is_none(), method == "ACK");
    }
    // The ACK of a call that was begun with credentials needs none.
    assert!(within(&from("ACK", ELSEWHERE), &of_user).is_ok());
    let (_, reply) = within(&from("BYE", ELSEWHERE), &of_user).unwrap_err();
    let reply = reply.expect("a challenge");
    assert_eq!(reply.status, Status::UNAUTHORIZED);
    let with = |user: &str, count| Asked {
        method: "BYE",
        from: ELSEWHERE,
        authorization: Some(answer(&reply, user, count, "BYE")),
        ..Asked::default()
    };
    let (cause, _) = within(&with("b", 1), &of_user).unwrap_err();
    assert_eq!(cause, NotAdmitted::NotItsCall, "another user");
    assert_eq!(within(&with("a", 2), &of_user).ok(), Some(of_user.clone()));
    // A call of a peer that nobody named is anybody's who knows its tags.
    assert!(within(&from("BYE", ELSEWHERE), &Sender::default()).is_ok());
}

/// RFC 5630 and RFC 3261 §8.1.1.8.
#[test]
fn sips_is_held_to_what_it_promises() {
    let tls = Transport::Tls;
    for (requires, transport, uri, contact, expected) in [
        (
            false,
            tls,
            "sips:srs@example.com",
            "sips:src@192.0.2.1",
            None,
        ),
        (
            false,
            tls,
            "sips:srs@example.com",
            "sip:src@192.0.2.1",
            Some((400, "399")),
        ),
        (
            false,
            Transport::Tcp,
            "sips:srs@example.com",
            "sips:src@192.0.2.1",
            Some((480, "380")),
        ),
        (false, tls, "sip:srs@example.com", "sip:src@192.0.2.1", None),
        (
            true,
            tls,
            "sip:srs@example.com",
            "sip:src@192.0.2.1",
            Some((480, "381")),
        ),
        (
            true,
            tls,
            "sips:srs@example.com",
            "sips:src@192.0.2.1",
            None,
        ),
    ] {
        let mut admission = admission(AdmissionConfig {
            requires_sips: requires,
            ..AdmissionConfig::default()
        });
        let asked = Asked {
            transport,
            uri,
            contact,
            ..Asked::default()
        };
        let verdict = asked.judge(&mut admission, at(1), 1, Belongs::Nowhere);
        let found = verdict.err().map(|rejection| {
            let reply = rejection.reply.expect("an answer");
            let warning = reply.value("Warning").expect("a Warning").to_owned();
            (reply.status.code(), warning)
        });
        let said = format!("{uri}, {contact}, {transport}");
        match (&found, expected) {
            (None, None) => {}
            (Some((status, warning)), Some((code, number))) => {
                assert_eq!(*status, code, "{said}");
                assert!(warning.starts_with(number), "{said}: {warning}");
            }
            _ => panic!("{said}: {found:?}"),
        }
    }
}
