//! Test cases, chapter E: who may record. Each test bears the number of its case. TC-92 is in
//! `e2e_tls`.

use std::time::Duration;

use holdfast_e2e::bodies::silent_offer;
use holdfast_e2e::certificates::Authority;
use holdfast_e2e::http::{Request, Response};
use holdfast_e2e::peer::Peer;
use holdfast_e2e::script::{Ask, Script};
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::wait::{PATIENCE, wait_for};
use holdfast_load::agent::Way;
use holdfast_load::sip::Message;
use holdfast_load::tls::Versions;
use holdfast_load::uac::Transport;
use holdfast_load::verify::Published;
use holdfast_manifest::EndReason;
use nix::sys::signal::Signal;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

static SYSTEM: Shared = Shared::new();

const REALM: &str = "holdfast";

/// A peer that is known by its address.
const PBX: &str = "name = \"pbx\"\naddresses = [\"127.0.0.1\"]";

/// Everybody is asked for credentials, and one user has some.
fn asking() -> Options {
    let ha1 = hash(&format!("src:{REALM}:secret"));
    Options::new()
        .file("credentials", &format!("src:SHA-256:{ha1}\n"))
        .set_file("digest", "credentials", "credentials")
        .set("digest", "algorithms = [\"SHA-256\", \"MD5\"]")
        .set("digest", "nonce_lifetime = \"10 s\"")
        .set("access", "unknown_peers = \"refuse\"")
        .peer("name = \"src\"\nusers = [\"src\"]")
}

fn hash(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

/// What a client makes of a challenge (RFC 7616 section 3.4).
#[derive(Clone, Debug)]
struct Credentials {
    nonce: String,
    count: u32,
    password: &'static str,
    with_qop: bool,
}

impl Credentials {
    fn of(challenge: &Message) -> Self {
        Self {
            nonce: challenged(challenge, "nonce"),
            count: 1,
            password: "secret",
            with_qop: true,
        }
    }

    /// The value of an Authorization for a request.
    fn value(&self, method: &str, uri: &str) -> String {
        let (nonce, count) = (&self.nonce, format!("{:08x}", self.count));
        let ha1 = hash(&format!("src:{REALM}:{}", self.password));
        let ha2 = hash(&format!("{method}:{uri}"));
        let (response, qop) = if self.with_qop {
            (
                hash(&format!("{ha1}:{nonce}:{count}:cnonce:auth:{ha2}")),
                format!(", qop=auth, nc={count}, cnonce=\"cnonce\""),
            )
        } else {
            (hash(&format!("{ha1}:{nonce}:{ha2}")), String::new())
        };
        format!(
            "Digest username=\"src\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=SHA-256{qop}"
        )
    }

    fn on(&self, ask: &Ask, script: &Script) -> Ask {
        let value = self.value(&ask.method, &script.target);
        ask.clone().header("Authorization", &value)
    }
}

/// A parameter of the first challenge.
fn challenged(response: &Message, name: &str) -> String {
    let value = response.header("WWW-Authenticate").expect("a challenge");
    let (_, rest) = value.split_once(&format!("{name}=\"")).expect(name);
    rest.split('"').next().unwrap_or_default().to_owned()
}

fn assert_status(response: &Message, allowed: &[u16], what: &str) {
    let status = response.status().unwrap_or_default();
    assert!(allowed.contains(&status), "{what}: {response:?}");
}

#[test]
fn tc_90_digest() {
    let system = SYSTEM.system(asking);
    let mut script = Script::new(&system);
    let invite = Ask::invite().body(&silent_offer(&system).multipart());
    let challenge = script.ask(&invite);
    assert_status(&challenge, &[401], "no credentials");
    let offered: Vec<_> = challenge.all("WWW-Authenticate").collect();
    assert!(
        offered[0].contains("algorithm=SHA-256"),
        "the best first: {offered:?}"
    );
    assert!(offered[1].contains("algorithm=MD5"), "{offered:?}");
    assert!(
        offered.iter().all(|one| one.contains("qop=\"auth")),
        "{offered:?}"
    );
    assert!(system.published_so_far(&script.call_id).is_empty());

    let right = Credentials::of(&challenge);
    let wrong = Credentials {
        password: "guess",
        ..right.clone()
    };
    assert_status(
        &script.ask(&wrong.on(&invite, &script)),
        &[401, 403],
        "wrong password",
    );
    let basic = invite
        .clone()
        .header("Authorization", "Basic c3JjOnNlY3JldA==");
    assert_status(&script.ask(&basic), &[401], "Basic");

    let challenge = script.ask(&invite);
    let right = Credentials::of(&challenge);
    script.open(&right.on(&invite, &script));
    // Whoever saw the INVITE could have sent this.
    let replayed = script.ask(&right.on(&Ask::new("UPDATE"), &script));
    assert_status(&replayed, &[401], "a count that was used");
    let bye = Ask::new("BYE");
    let next = Credentials { count: 2, ..right };
    assert_status(
        &script.ask(&next.on(&bye, &script)),
        &[200],
        "the next count",
    );
    system.published(&script.call_id);
}

#[test]
fn tc_90_digest_of_old_clients_and_old_nonces() {
    let system = SYSTEM.system(asking);
    let invite = Ask::invite().body(&silent_offer(&system).multipart());
    // RFC 8760 section 2.6: a client of old says no qop. Either is policy; a failure is not.
    let mut script = Script::new(&system);
    let challenge = script.ask(&invite);
    let old = Credentials {
        with_qop: false,
        ..Credentials::of(&challenge)
    };
    let response = script.ask(&old.on(&invite, &script));
    assert_status(&response, &[200, 401], "no qop");
    if response.status() == Some(200) {
        script.ack(None);
        let bye = Ask::new("BYE");
        script.ask(&old.on(&bye, &script));
    }
    // A nonce that was good once: it is used up or old, and the client need not ask its user.
    let mut script = Script::new(&system);
    let mut nonce = Credentials::of(&script.ask(&invite));
    let stale = wait_for("the nonce is stale", || {
        std::thread::sleep(Duration::from_secs(3));
        nonce.count += 1;
        let response = script.ask(&nonce.on(&Ask::new("REGISTER"), &script));
        let value = response.header("WWW-Authenticate")?.to_ascii_lowercase();
        value.contains("stale=true").then_some(response)
    });
    assert_status(&stale, &[401], "an old nonce");
}

/// A CANCEL must find its INVITE, and an ACK can't be answered (RFC 3261 section 22.1).
#[test]
fn tc_91_ack_and_cancel_are_never_challenged() {
    let system = System::start(&asking());
    let body = silent_offer(&system).multipart();
    let invite = Ask::invite().body(&body);
    let mut script = Script::new(&system);
    let challenge = script.ask(&invite);
    system.engine.signal(Signal::SIGSTOP);
    let right = Credentials::of(&challenge);
    let sent = script.send(&right.on(&invite, &script));
    script
        .hear(PATIENCE, |message| message.status() == Some(100))
        .expect("100");
    let cancel = script.write(&Ask::new("CANCEL"), sent.cseq, sent.branch());
    script.peer.send(&cancel);
    let number = sent.cseq;
    let answer = script.hear(PATIENCE, |message| {
        message.cseq() == Some((number, "CANCEL"))
    });
    assert_eq!(answer.and_then(|answer| answer.status()), Some(200));
    let ended = script
        .final_within(&sent, PATIENCE)
        .expect("a final response");
    assert_eq!(ended.status(), Some(487));
    system.engine.signal(Signal::SIGCONT);

    let mut script = Script::new(&system);
    let challenge = script.ask(&invite);
    let right = Credentials::of(&challenge);
    script.open(&right.on(&invite, &script));
    // The 200 is not repeated: the ACK has counted.
    let again = script.hear(Duration::from_secs(2), |message| {
        message.status() == Some(200)
    });
    assert_eq!(again, None);
    let next = Credentials { count: 2, ..right };
    assert_status(
        &script.ask(&next.on(&Ask::new("BYE"), &script)),
        &[200],
        "BYE",
    );
}

#[test]
fn tc_93_sips_rules() {
    let authority = Authority::new("one");
    let options = Options::new()
        .tls(&authority.issue("srs.example.com"))
        .set("sip", "require_sips = true");
    let system = System::start(&options);
    let secure = || Peer::over(system.sips(), &Way::Tls(authority.client(Versions::Both)));
    let invite = Ask::invite().body(&silent_offer(&system).multipart());
    let mut script = Script::by(secure());
    script.target = format!("sips:srs@{}", system.sips());
    let local = script.peer.local;
    let right = invite
        .clone()
        .header("Contact", &format!("<sips:src@{local}>;+sip.src"));
    let response = script.open(&right);
    let contact = response.header("Contact").expect("a Contact");
    assert!(contact.starts_with("<sips:"), "{contact}");
    script.hang_up();

    let mut script = Script::by(secure());
    script.target = format!("sips:srs@{}", system.sips());
    let mixed = invite
        .clone()
        .header("Contact", &format!("<sip:src@{local}>;+sip.src"));
    assert_status(&script.ask(&mixed), &[400], "sips to a sip Contact");

    let mut script = Script::by(secure());
    let refusal = script.ask(&invite);
    assert_status(&refusal, &[480], "sip where only sips is served");
    let warning = refusal.header("Warning").expect("a Warning");
    assert!(warning.starts_with("381 "), "{warning}");
}

/// Whoever has read a dialog's tags still is not the one who began it.
#[test]
fn tc_94_forged_bye() {
    let system = SYSTEM.system(asking);
    let invite = Ask::invite().body(&silent_offer(&system).multipart());
    let mut script = Script::new(&system);
    let right = Credentials::of(&script.ask(&invite));
    script.open(&right.on(&invite, &script));
    // The same dialog from another socket, without credentials and with some that are wrong.
    let mut forger = Script::by(Peer::connect(system.sip(), Transport::Udp));
    forger.call_id.clone_from(&script.call_id);
    forger.from_tag.clone_from(&script.from_tag);
    forger.to_tag.clone_from(&script.to_tag);
    forger.target.clone_from(&script.target);
    forger.cseq = script.cseq;
    let bye = Ask::new("BYE");
    assert_status(&forger.ask(&bye), &[401, 403, 481], "forged");
    let guess = Credentials {
        password: "guess",
        count: 7,
        ..right.clone()
    };
    assert_status(
        &forger.ask(&guess.on(&bye, &forger)),
        &[401, 403, 481],
        "forged",
    );
    // The call goes on, and ends by whom it belongs to.
    script.cseq = forger.cseq;
    let update = Ask::new("UPDATE");
    let next = Credentials {
        count: 8,
        ..right.clone()
    };
    assert_status(
        &script.ask(&next.on(&update, &script)),
        &[200],
        "it goes on",
    );
    let last = Credentials { count: 9, ..right };
    assert_status(&script.ask(&last.on(&bye, &script)), &[200], "its own BYE");
    let published = system.published(&script.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::Bye);
}

/// An asserted identity opens no door, whoever asserts it; it is kept beside the call.
#[test]
fn tc_95_asserted_identity_is_no_credential() {
    let system = SYSTEM.system(asking);
    let invite = Ask::invite()
        .header("P-Asserted-Identity", "<sip:src@example.com>")
        .body(&silent_offer(&system).multipart());
    let mut script = Script::new(&system);
    let challenge = script.ask(&invite);
    assert_status(&challenge, &[401], "not believed");
    let right = Credentials::of(&challenge);
    script.open(&right.on(&invite, &script));
    let next = Credentials { count: 2, ..right };
    assert_status(
        &script.ask(&next.on(&Ask::new("BYE"), &script)),
        &[200],
        "BYE",
    );
    let sip = system.published(&script.call_id).manifest.call.sip;
    assert_eq!(
        sip.headers["P-Asserted-Identity"],
        ["<sip:src@example.com>"]
    );
    assert_eq!(sip.profile.as_deref(), Some("src"), "known by its secret");
}

const ASSERTED: &str = "\"Alice\" <sip:alice@example.com>, <tel:+14155550100>";

/// One call of a peer that asserts an identity, and asks for privacy where `privacy` says how.
fn assert_identity(system: &System, privacy: Option<&str>) -> Published {
    let mut invite = Ask::invite()
        .header("P-Asserted-Identity", ASSERTED)
        .header("P-Preferred-Identity", "<sip:someone@example.com>")
        .body(&silent_offer(system).multipart());
    if let Some(privacy) = privacy {
        invite = invite.header("Privacy", privacy);
    }
    let mut script = Script::new(system);
    script.open(&invite);
    script.hang_up();
    system.published(&script.call_id)
}

/// What HTTP hands out of a recording: the manifest, asked for in both ways, and the head of the INVITE.
fn handed_out(system: &System, published: &Published) -> (Value, Value, Response) {
    let path = format!("/api/recordings/{}", published.manifest.id);
    let get = |path: &str| Request::get(system.http(), path).send();
    (
        get(&path).json(),
        get(&format!("{path}/files/recording.json")).json(),
        get(&format!("{path}/files/metadata/0001.sip")),
    )
}

#[test]
fn tc_95_asserted_identity_of_a_peer_that_is_not_trusted() {
    let system = System::start(&Options::new().peer(PBX));
    let sip = assert_identity(&system, None).manifest.call.sip;
    assert_eq!(sip.profile.as_deref(), Some("pbx"));
    assert_eq!(sip.asserted, [""; 0], "not believed");
    assert_eq!(sip.headers["P-Asserted-Identity"], [ASSERTED], "kept");
}

#[test]
fn tc_95_asserted_identity_of_a_trusted_peer() {
    let system = System::start(&Options::new().peer(&format!("{PBX}\ntrusted = true")));
    // RFC 3323 section 4.2: `none` asks for nothing, and what is not known is passed over.
    for privacy in [None, Some("none"), Some("header;x-new")] {
        let published = assert_identity(&system, privacy);
        let sip = &published.manifest.call.sip;
        assert_eq!(sip.asserted, ["sip:alice@example.com", "tel:+14155550100"]);
        let (manifest, file, head) = handed_out(&system, &published);
        assert_eq!(
            manifest,
            serde_json::to_value(&published.manifest).expect("JSON")
        );
        assert_eq!(file, manifest);
        assert_eq!(head.status, 200, "{privacy:?}");
        assert!(head.text().contains("alice@example.com"));
    }
}

/// The folder is within the network, what HTTP hands out is not (RFC 3325 section 7).
#[test]
fn tc_95_privacy_is_kept_in_exports() {
    let system = System::start(&Options::new().peer(&format!("{PBX}\ntrusted = true")));
    for privacy in ["id", "user; ID ;critical"] {
        let published = assert_identity(&system, Some(privacy));
        let sip = &published.manifest.call.sip;
        assert_eq!(sip.asserted, ["sip:alice@example.com", "tel:+14155550100"]);
        let (manifest, file, head) = handed_out(&system, &published);
        for document in [manifest, file] {
            let text = document.to_string();
            for identity in ["alice", "Alice", "14155550100", "someone"] {
                assert!(!text.contains(identity), "{identity}: {text}");
            }
            let sip = &document["call"]["sip"];
            assert_eq!(sip["asserted"][0], "sip:anonymous@anonymous.invalid");
            assert_eq!(sip["is_private"], true);
            assert_eq!(document["duration_ms"], published.manifest.duration_ms);
        }
        assert_eq!(head.status, 403, "{}", head.text());
        assert!(!head.text().contains("alice"));
    }
}
