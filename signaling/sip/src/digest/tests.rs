use super::*;
use crate::limits::Limits;
use crate::message::Message;

const REALM: &str = "holdfast";
const PASSWORD: &str = "for:the record";

fn at(seconds: u64) -> MonoTime {
    MonoTime::ZERO + Duration::from_secs(seconds)
}

fn server(algorithms: &[Algorithm]) -> Digest {
    let mut credentials = Credentials::default();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512_256, Algorithm::Md5] {
        let hash = algorithm.hash(&["sbc", REALM, PASSWORD]);
        credentials.insert("sbc", algorithm, &hash.to_ascii_uppercase());
    }
    let config = DigestConfig {
        realm: REALM.to_owned(),
        algorithms: algorithms.to_vec(),
        nonce_lifetime: Duration::from_secs(60),
        credentials,
    };
    Digest::new(config, [3; 32])
}

fn request(authorizations: &[String]) -> Request {
    let mut text = "INVITE sip:srs@example.com SIP/2.0\r\n\
        Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
        To: <sip:srs@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
        .to_owned();
    for value in authorizations {
        text.push_str(&format!("Authorization: {value}\r\n"));
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    match Message::parse_within(text.as_bytes(), &Limits::default()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// What a client makes of a challenge.
struct Client {
    user: &'static str,
    password: &'static str,
    algorithm: Algorithm,
    nonce: String,
    count: u32,
    qop: Option<&'static str>,
}

impl Client {
    fn asked(server: &mut Digest, now: MonoTime, algorithm: Algorithm) -> Self {
        let challenge = server.challenge(now, false).remove(0);
        let (_, rest) = challenge.split_once("nonce=\"").expect("a nonce");
        Self {
            user: "sbc",
            password: PASSWORD,
            algorithm,
            nonce: rest.split('"').next().expect("its end").to_owned(),
            count: 1,
            qop: Some("auth"),
        }
    }

    fn answer(&self) -> String {
        let (user, nonce, algorithm) = (self.user, &self.nonce, self.algorithm);
        let secret = algorithm.hash(&[user, REALM, self.password]);
        let request = algorithm.hash(&["INVITE", "sip:srs@example.com"]);
        let count = format!("{:08x}", self.count);
        let (response, rest) = match self.qop {
            Some(qop) => (
                algorithm.hash(&[&secret, nonce, &count, "c", qop, &request]),
                format!(", qop={qop}, nc={count}, cnonce=\"c\""),
            ),
            None => (algorithm.hash(&[&secret, nonce, &request]), String::new()),
        };
        format!(
            "Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", \
             uri=\"sip:srs@example.com\", response=\"{response}\", algorithm={}{rest}",
            algorithm.name()
        )
    }
}

/// RFC 7616 §3.9.1, RFC 2617 §3.5, and RFC 7616 §3.9.2 as its erratum 4897 has it: there the
/// algorithm of the text had not been used.
#[test]
fn the_examples_of_the_rfcs() {
    let mufasa = |algorithm: &str, response: &str| {
        format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
             response=\"{response}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    };
    let old = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
        nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, \
        nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\", \
        opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
    let jason = "Digest username=\"J\u{e4}s\u{f8}n Doe\", realm=\"api@example.org\", \
        uri=\"/doe.json\", algorithm=SHA-512-256, \
        nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", nc=00000001, \
        cnonce=\"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v\", qop=auth, \
        response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\"";
    for (value, algorithm, password) in [
        (
            mufasa("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            Algorithm::Md5,
            "Circle of Life",
        ),
        (
            mufasa(
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
            Algorithm::Sha256,
            "Circle of Life",
        ),
        (old.to_owned(), Algorithm::Md5, "Circle Of Life"),
        (jason.to_owned(), Algorithm::Sha512_256, "Secret, or not?"),
    ] {
        let found = Authorization::parse(&value).expect("credentials");
        assert_eq!(found.algorithm(), Some(algorithm));
        let secret = algorithm.hash(&[&found.username, &found.realm, password]);
        assert_eq!(
            found.expected(algorithm, &secret, "GET"),
            found.response,
            "{value}"
        );
    }
}

#[test]
fn a_challenge_has_one_value_for_each_algorithm_in_order() {
    let mut server = server(&[Algorithm::Sha256, Algorithm::Md5]);
    let values = server.challenge(at(1), false);
    let of = |name: &str| {
        let end = format!("algorithm={name}, qop=\"auth\"");
        values.iter().position(|value| value.ends_with(&end))
    };
    assert_eq!((of("SHA-256"), of("MD5")), (Some(0), Some(1)), "{values:?}");
    assert!(values[0].starts_with("Digest realm=\"holdfast\", nonce=\""));
    assert!(server.challenge(at(1), true)[1].ends_with(", stale=true"));
}

#[test]
fn who_knows_the_secret_is_known_by_each_algorithm() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512_256, Algorithm::Md5] {
        let mut server = server(&[algorithm]);
        let client = Client::asked(&mut server, at(1), algorithm);
        let answer = request(&[client.answer()]);
        let known = Identity::Known("sbc".to_owned());
        assert_eq!(server.judge(at(2), &answer), known, "{algorithm:?}");
        // The same once more is a replay.
        assert_eq!(server.judge(at(2), &answer), Identity::Stale);
    }
}

#[test]
fn whatever_is_not_right_is_refused() {
    type Change = fn(&mut Client);
    let table: [(&str, Change, Identity); 6] = [
        ("wrong password", |c| c.password = "x", Identity::Wrong),
        ("unknown user", |c| c.user = "nobody", Identity::Wrong),
        (
            "an algorithm that is not offered",
            |c| c.algorithm = Algorithm::Md5,
            Identity::Wrong,
        ),
        ("auth-int", |c| c.qop = Some("auth-int"), Identity::Wrong),
        (
            "a nonce of another server",
            |c| c.nonce = "00".repeat(32),
            Identity::Stale,
        ),
        (
            "no qop, once",
            |c| c.qop = None,
            Identity::Known("sbc".to_owned()),
        ),
    ];
    for (what, change, expected) in table {
        let mut server = server(&[Algorithm::Sha256]);
        let mut client = Client::asked(&mut server, at(1), Algorithm::Sha256);
        change(&mut client);
        let answer = request(&[client.answer()]);
        assert_eq!(server.judge(at(2), &answer), expected, "{what}");
    }
}

#[test]
fn an_old_client_uses_a_nonce_once() {
    let mut server = server(&[Algorithm::Md5]);
    let mut client = Client::asked(&mut server, at(1), Algorithm::Md5);
    client.qop = None;
    let answer = request(&[client.answer()]);
    let known = Identity::Known("sbc".to_owned());
    assert_eq!(server.judge(at(2), &answer), known);
    assert_eq!(server.judge(at(2), &answer), Identity::Stale);
}

#[test]
fn a_nonce_grows_old_and_is_counted_on_meanwhile() {
    let mut server = server(&[Algorithm::Sha256]);
    let mut client = Client::asked(&mut server, at(1), Algorithm::Sha256);
    for (second, count, is_known) in [(2, 1, true), (30, 2, true), (30, 2, false), (61, 3, false)] {
        client.count = count;
        let verdict = server.judge(at(second), &request(&[client.answer()]));
        let expected = match is_known {
            true => Identity::Known("sbc".to_owned()),
            false => Identity::Stale,
        };
        assert_eq!(verdict, expected, "count {count} after {second} s");
    }
}

#[test]
fn one_of_several_credentials_is_enough() {
    let mut server = server(&[Algorithm::Sha256, Algorithm::Md5]);
    let good = Client::asked(&mut server, at(1), Algorithm::Sha256);
    let mut bad = Client::asked(&mut server, at(1), Algorithm::Md5);
    bad.password = "x";
    let other = "Digest username=\"a\", realm=\"elsewhere\", nonce=\"1\", uri=\"sip:b\", \
                 response=\"2\"";
    let answer = request(&[other.to_owned(), bad.answer(), good.answer()]);
    assert_eq!(
        server.judge(at(2), &answer),
        Identity::Known("sbc".to_owned())
    );
}

#[test]
fn what_is_not_for_us_counts_as_nothing() {
    let other = "Digest username=\"a\", realm=\"elsewhere\", nonce=\"1\", uri=\"sip:b\", \
                 response=\"2\"";
    for value in [
        other,
        "Basic c2JjOnNlY3JldA==",
        "NoOneKnowsThisScheme opaque",
        "Digest",
    ] {
        let mut server = server(&[Algorithm::Sha256]);
        let verdict = server.judge(at(1), &request(&[value.to_owned()]));
        assert_eq!(verdict, Identity::Missing, "{value}");
    }
}

#[test]
fn broken_credentials_are_none() {
    for value in [
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\"",
        "Digest username=\"a\", username=\"b\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"x\"",
        "Digest username=\"a, realm=\"r\", nonce=\"n\", uri=\"u\", response=\"x\"",
        "Digest username, realm=\"r\", nonce=\"n\", uri=\"u\", response=\"x\"",
        "digest",
        "",
    ] {
        assert_eq!(Authorization::parse(value), None, "{value}");
    }
    // Commas and escapes within quotes are none.
    let value =
        "Digest username=\"a\\\"b,c\",realm=\"r\",nonce=n,uri=\"u=1\" ,response=AB,,nc=0000001f";
    let found = Authorization::parse(value).expect("credentials");
    assert_eq!(
        (found.username.as_str(), found.uri.as_str()),
        ("a\"b,c", "u=1")
    );
    assert_eq!((found.response.as_str(), found.count()), ("ab", Some(31)));
}

#[test]
fn secrets_are_not_printed() {
    let server = server(&[Algorithm::Sha256]);
    let printed = format!("{server:?}");
    let secret = Algorithm::Sha256.hash(&["sbc", REALM, PASSWORD]);
    assert!(
        printed.contains("sbc") && !printed.contains(&secret),
        "{printed}"
    );
    assert!(!printed.contains("3, 3, 3"), "{printed}");
}
