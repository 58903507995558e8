//! Test cases, chapter C: metadata. Each test bears the number of its case.

use std::net::TcpListener;
use std::time::Duration;

use holdfast_e2e::bodies::{document, session_id, silent_offer};
use holdfast_e2e::caller::Caller;
use holdfast_e2e::peer::multipart;
use holdfast_e2e::script::{Ask, Script};
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{assert_recorded, converse};
use holdfast_e2e::wait::PATIENCE;
use holdfast_load::invite::Codec;
use holdfast_load::verify::Published;
use holdfast_manifest::{Call, Presence};

static LENIENT: Shared = Shared::new();
static STRICT: Shared = Shared::new();

const CAROL: &str = "Y2Fyb2wtY2Fyb2wtY2Fybw==";

#[test]
fn tc_40_partial_hold() {
    let system = LENIENT.system(Options::new);
    let mut caller = Caller::new(&system);
    let mut script = Script::new(&system);
    let prepared = caller.prepare(Codec::Pcmu);
    let offer = prepared.offer.clone();
    let response = script.open(&Ask::invite().body(&offer.multipart()));
    let call = script.call(prepared, &response);
    let [alice, bob] = [0, 1].map(|index| offer.participant_id(index));
    let [first, second] = [0, 1].map(|index| offer.stream_id(index));
    let held = format!("{}{}", media(&alice, "", &second), media(&bob, &second, ""));
    script.ok(&Ask::new("UPDATE").metadata(&document("partial", &held)));
    // On hold in the call; the recording session is not.
    let legs = converse(&call, Duration::from_millis(500));
    let back = format!(
        "{}{}",
        media(&alice, &first, &second),
        media(&bob, &second, &first)
    );
    script.ok(&Ask::new("UPDATE").metadata(&document("partial", &back)));
    script.hang_up();
    let published = assert_recorded(&system, &call, legs);
    let described = &published.manifest.call;
    assert_eq!(
        sent(described, 0, "1").len(),
        2,
        "until the hold, and behind it"
    );
    assert_eq!(sent(described, 1, "2").len(), 1, "throughout");
    for (index, leg) in offer.legs.iter().enumerate() {
        let one = &described.participants[index];
        assert_eq!(one.names, [leg.participant.name.as_str()]);
        assert_eq!(joined(described, index).len(), 1, "{one:?}");
    }
}

#[test]
fn tc_41_transfer() {
    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    let (session, alice, first) = (
        session_id(&offer),
        offer.participant_id(0),
        offer.stream_id(0),
    );
    let [joins, leaves] = ["associate", "disassociate"]
        .map(|what| format!("<{what}-time>2026-01-01T00:10:00Z</{what}-time>"));
    let carol_joins = format!(
        "<session session_id=\"{session}\">\
         <sipSessionID>{:032x};remote={:032x}</sipSessionID></session>\
         <participant participant_id=\"{CAROL}\">\
         <nameID aor=\"sip:carol@example.com\"/></participant>\
         <participantsessionassoc participant_id=\"{CAROL}\" session_id=\"{session}\">\
         {joins}</participantsessionassoc>\
         <participantsessionassoc participant_id=\"{alice}\" session_id=\"{session}\">\
         {leaves}</participantsessionassoc>\
         <participantstreamassoc participant_id=\"{alice}\">{leaves}</participantstreamassoc>\
         <participantstreamassoc participant_id=\"{CAROL}\"><send>{first}</send>\
         {joins}</participantstreamassoc>",
        0xabc, 0xdef
    );
    script.ok(&Ask::new("UPDATE").metadata(&document("partial", &carol_joins)));
    script.hang_up();
    let call = system.published(&script.call_id).manifest.call;
    let at = |one: &Presence| {
        one.interval
            .to
            .or(one.interval.from)
            .map(|at| at.0 / 1_000_000_000)
    };
    // 2026-01-01T00:10:00Z.
    let then = 1_767_226_200;
    assert_eq!(
        sent(&call, 0, "1").iter().map(at).collect::<Vec<_>>(),
        [Some(then)]
    );
    let carol = call
        .participants
        .iter()
        .position(|one| one.id == CAROL)
        .expect("Carol");
    let from: Vec<_> = sent(&call, carol, "1")
        .iter()
        .map(|one| one.interval.from.map(|at| at.0 / 1_000_000_000))
        .collect();
    assert_eq!(from, [Some(then)], "label 1 is hers from then on");
    let session = &call.sessions[0];
    assert_eq!(session.group, Some(offer.group_id()), "kept");
    assert_eq!(session.sip_session_ids.len(), 1);
    assert!(session.sip_session_ids[0].contains("abc"), "{session:?}");
}

#[test]
fn tc_42_leave_and_rejoin() {
    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    let (session, bob) = (session_id(&offer), offer.participant_id(1));
    for (what, at) in [("disassociate", "00:01:00"), ("associate", "00:02:00")] {
        let change = format!(
            "<participantsessionassoc participant_id=\"{bob}\" session_id=\"{session}\">\
             <{what}-time>2026-01-01T{at}Z</{what}-time></participantsessionassoc>"
        );
        script.ok(&Ask::new("UPDATE").metadata(&document("partial", &change)));
    }
    script.hang_up();
    let call = system.published(&script.call_id).manifest.call;
    let intervals = joined(&call, 1);
    assert_eq!(intervals.len(), 2, "{intervals:?}");
    assert!(intervals[0].interval.to < intervals[1].interval.from);
}

#[test]
fn tc_43_complete_that_drops_somebody() {
    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    let mut alone = offer.clone();
    alone.legs.truncate(1);
    script.ok(&Ask::new("UPDATE").metadata(&alone.metadata()));
    script.hang_up();
    let call = system.published(&script.call_id).manifest.call;
    assert_eq!(call.participants.len(), 2, "still in the history");
    let bob = joined(&call, 1);
    assert!(
        bob.len() == 1 && bob[0].interval.to.is_some(),
        "closed: {bob:?}"
    );
}

#[test]
fn tc_44_bye_with_metadata() {
    let system = LENIENT.system(Options::new);
    let offer = silent_offer(&system);
    let (session, bob) = (session_id(&offer), offer.participant_id(1));
    let end = document(
        "partial",
        &format!(
            "<session session_id=\"{session}\">\
             <stop-time>2026-01-01T00:30:00Z</stop-time></session>\
         <participantsessionassoc participant_id=\"{bob}\" session_id=\"{session}\">\
         <disassociate-time>2026-01-01T00:29:00Z</disassociate-time></participantsessionassoc>"
        ),
    );
    let part = format!(
        "--b\r\nContent-Type: application/rs-metadata+xml\r\n\
         Content-Disposition: recording-session\r\n\r\n{end}\r\n--b--\r\n"
    );
    let byes = [
        Ask::new("BYE").content("multipart/mixed;boundary=b", part.as_bytes()),
        Ask::new("BYE").metadata(&end),
    ];
    for bye in byes {
        let mut script = Script::new(&system);
        script.open(&Ask::invite().body(&offer.multipart()));
        script.ok(&bye);
        let call = system.published(&script.call_id).manifest.call;
        assert_eq!(
            seconds(call.sessions[0].time.to),
            Some(1_767_227_400),
            "{:?}",
            call.sessions
        );
        assert_eq!(
            seconds(joined(&call, 1)[0].interval.to),
            Some(1_767_227_340)
        );
        assert!(
            joined(&call, 0)[0].interval.to.is_some(),
            "the end ends everything"
        );
        assert_eq!(
            call.metadata.last().map(|one| one.carried_by.as_str()),
            Some("BYE")
        );
    }
}

#[test]
fn tc_49_malformed_xml() {
    // Whoever fetches what an entity names is seen here.
    let bait = TcpListener::bind("127.0.0.1:0").expect("a listener");
    bait.set_nonblocking(true).expect("a listener");
    let at = bait.local_addr().expect("its address");
    let laughs: String = (1..10)
        .map(|level| {
            format!(
                "<!ENTITY l{level} \"{}\">",
                format!("&l{};", level - 1).repeat(10)
            )
        })
        .collect();
    let right = silent_offer(&LENIENT.system(Options::new)).metadata();
    let documents = [
        right[..right.len() / 2].to_owned(),
        "<html><body>no recording</body></html>".to_owned(),
        document("complete", "")
            .replace("xml:ns:recording:1", "xml:ns:cookery:1")
            .replace("recording", "recipe"),
        format!("<!DOCTYPE r [<!ENTITY l0 \"ha\">{laughs}]><recording>&l9;</recording>"),
        format!("<!DOCTYPE r [<!ENTITY x SYSTEM \"http://{at}/x\">]><recording>&x;</recording>"),
        format!("<!DOCTYPE r SYSTEM \"http://{at}/x.dtd\"><recording/>"),
    ];
    let before = memory(&LENIENT.system(Options::new));
    for broken in &documents {
        let system = LENIENT.system(Options::new);
        let mut caller = Caller::new(&system);
        let mut script = Script::new(&system);
        let prepared = caller.prepare(Codec::Pcmu);
        let body = multipart(&prepared.offer.sdp(), broken.as_bytes());
        let response = script.open(&Ask::invite().body(&body));
        let call = script.call(prepared, &response);
        let legs = converse(&call, Duration::from_millis(200));
        let asked = script.request_within("UPDATE", Duration::from_millis(300));
        assert_eq!(asked, None, "the same error would return");
        script.hang_up();
        let published = assert_recorded(&system, &call, legs);
        let kept = &published.manifest.call.metadata[0];
        assert_eq!(read(&published, &kept.file), broken.as_bytes());
        assert!(!kept.flags.is_empty(), "flagged: {broken}");

        let system = STRICT.system(|| Options::new().set("sip", "strict = true"));
        let mut script = Script::new(&system);
        let refusal = script.ask(&Ask::invite().body(&body));
        assert_eq!(refusal.status(), Some(400), "{broken}: {refusal:?}");
        assert!(refusal.header("Warning").is_some(), "{refusal:?}");
    }
    assert!(bait.accept().is_err(), "nothing is fetched");
    let grown = memory(&LENIENT.system(Options::new)).saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "{grown}");
}

#[test]
fn tc_50_one_id_for_two_things() {
    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    let clash = format!(
        "<participant participant_id=\"{}\">\
         <nameID aor=\"sip:mallory@example.com\"/></participant>",
        offer.stream_id(0)
    );
    script.ok(&Ask::new("UPDATE").metadata(&document("partial", &clash)));
    script.hang_up();
    let call = system.published(&script.call_id).manifest.call;
    let codes: Vec<_> = call.warnings.iter().map(|one| one.code.as_str()).collect();
    assert!(codes.contains(&"metadata_id_conflict"), "{codes:?}");
    assert_eq!(call.participants.len(), 2, "the first binding holds");
    assert_eq!(call.channels[0].labels, ["1"]);
}

/// Two recording clients, one call: both are recorded, and one finds the other by its session.
#[test]
fn tc_51_two_srcs_of_the_same_session() {
    let system = LENIENT.system(Options::new);
    let offer = silent_offer(&system);
    let mut scripts = [Script::new(&system), Script::new(&system)];
    for script in &mut scripts {
        script.open(&Ask::invite().body(&offer.multipart()));
    }
    let published = scripts.map(|mut script| {
        script.hang_up();
        system.published(&script.call_id)
    });
    assert_ne!(published[0].manifest.id, published[1].manifest.id);
    for one in published {
        assert_eq!(one.manifest.call.sessions[0].id, session_id(&offer));
        let conflicts = one
            .manifest
            .call
            .warnings
            .iter()
            .filter(|one| one.code == "metadata_id_conflict");
        assert_eq!(conflicts.count(), 0, "that is no error");
    }
}

#[test]
fn tc_52_dangling_ids_are_resolved_later() {
    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    let stream = format!("<stream stream_id=\"{}\"", offer.stream_id(1));
    let base = offer.metadata();
    let (before, rest) = base.split_once(&stream).expect("the stream");
    let (_, after) = rest.split_once("</stream>").expect("its end");
    let base = format!("{before}{after}");
    script.open(&Ask::invite().body(&multipart(&offer.sdp(), base.as_bytes())));
    let late = format!(
        "{stream} session_id=\"{}\"><label>2</label></stream>",
        session_id(&offer)
    );
    script.ok(&Ask::new("UPDATE").metadata(&document("partial", &late)));
    script.hang_up();
    let call = system.published(&script.call_id).manifest.call;
    assert_eq!(sent(&call, 1, "2").len(), 1, "{:?}", call.participants);
}

#[test]
fn tc_53_time_formats() {
    let system = LENIENT.system(Options::new);
    let forms = [
        ("2026-01-01T00:00:00Z", None),
        ("2026-01-01T02:00:00+02:00", None),
        ("2026-01-01T00:00:00.25Z", None),
        ("2026-01-01T00:00:00", Some("time_without_zone")),
        ("2026-01-01t00:00:00z", Some("loose_time")),
    ];
    for (form, flag) in forms {
        let mut script = Script::new(&system);
        let offer = silent_offer(&system);
        let base = offer.metadata();
        let start = "<start-time>2026-01-01T00:00:00Z</start-time>";
        let base = base.replace(start, &format!("<start-time>{form}</start-time>"));
        script.open(&Ask::invite().body(&multipart(&offer.sdp(), base.as_bytes())));
        script.hang_up();
        let call = system.published(&script.call_id).manifest.call;
        assert_eq!(
            seconds(call.sessions[0].time.from),
            Some(1_767_225_600),
            "{form}"
        );
        let flags = &call.metadata[0].flags;
        match flag {
            Some(flag) => assert!(flags.iter().any(|one| one == flag), "{form}: {flags:?}"),
            None => assert_eq!(flags, &[""; 0], "{form}"),
        }
    }
}

#[test]
fn tc_54_retransmitted_update() {
    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.sdp_body()));
    let sent = script.send(&Ask::new("UPDATE").metadata(&offer.metadata()));
    let first = script.answer_to(&sent);
    for _ in 0..2 {
        script.peer.send(&sent.bytes);
        let again = script
            .final_within(&sent, PATIENCE)
            .expect("the same again");
        assert_eq!(again, first);
    }
    script.hang_up();
    let call = system.published(&script.call_id).manifest.call;
    assert_eq!(call.metadata.len(), 1, "one event");
}

#[test]
fn tc_55_extensions_are_kept_where_they_stood() {
    let system = LENIENT.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    let vendor = "<v:data xmlns:v=\"http://vendor.example.com\" v:n=\"7\"><v:x>kept</v:x></v:data>";
    let base = offer.metadata();
    let base = ["</group>", "</session>", "</participant>", "</stream>"]
        .iter()
        .fold(base, |base, end| {
            base.replacen(end, &format!("{vendor}{end}"), 1)
        })
        .replacen("<stream ", "<stream unknown=\"attribute\" ", 1);
    assert_eq!(base.matches(vendor).count(), 4);
    script.open(&Ask::invite().body(&multipart(&offer.sdp(), base.as_bytes())));
    script.hang_up();
    let published = system.published(&script.call_id);
    let described = &published.manifest.call;
    assert_eq!(
        read(&published, &described.metadata[0].file),
        base.as_bytes(),
        "octet for octet"
    );
    assert_eq!(
        (described.participants.len(), described.groups.len()),
        (2, 1)
    );
    assert_eq!(
        described.metadata[0].flags, [""; 0],
        "nothing is odd about them"
    );
    let told: Vec<_> = described
        .extensions
        .iter()
        .map(|one| {
            (
                one.of.as_str(),
                one.id.clone().unwrap_or_default(),
                one.name.as_str(),
            )
        })
        .collect();
    let of = |kind, id: String| (kind, id, "data");
    let expected = [
        of("group", offer.group_id()),
        of("session", session_id(&offer)),
        of("participant", offer.participant_id(0)),
        of("stream", offer.stream_id(0)),
    ];
    assert_eq!(told, expected, "each under what it belongs to");
    for one in &described.extensions {
        assert_eq!(one.namespace.as_deref(), Some("http://vendor.example.com"));
        assert!(
            one.values.values().flatten().any(|text| text == "kept"),
            "{one:?}"
        );
    }
}

// Helpers.

/// What a participant sends and receives: the whole picture (RFC 7865 section 6.8.1).
fn media(participant: &str, send: &str, recv: &str) -> String {
    let element = |name: &str, id: &str| match id {
        "" => String::new(),
        id => format!("<{name}>{id}</{name}>"),
    };
    format!(
        "<participantstreamassoc participant_id=\"{participant}\">{}{}</participantstreamassoc>",
        element("send", send),
        element("recv", recv)
    )
}

/// When a participant sent the stream of a label.
fn sent(call: &Call, participant: usize, label: &str) -> Vec<Presence> {
    let all = call.participants[participant].intervals.iter();
    all.filter(|one| one.label.as_deref() == Some(label))
        .cloned()
        .collect()
}

/// When a participant was in a session.
fn joined(call: &Call, participant: usize) -> Vec<Presence> {
    let all = call.participants[participant].intervals.iter();
    all.filter(|one| one.session.is_some()).cloned().collect()
}

fn seconds(at: Option<holdfast_units::WallTime>) -> Option<i64> {
    at.map(|at| i64::try_from(at.0 / 1_000_000_000).expect("a time"))
}

fn read(published: &Published, file: &str) -> Vec<u8> {
    std::fs::read(published.folder.join(file)).expect("the document")
}

fn memory(system: &System) -> u64 {
    system.signaling.memory_bytes()
}
