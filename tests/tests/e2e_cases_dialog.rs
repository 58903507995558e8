//! Test cases, chapter D, first half: what a transaction and a dialog are. Each test bears the
//! number of its case. TC-66 is in `e2e_cases_offer`, TC-79 in `e2e_cases_torture`.

use std::time::Duration;

use holdfast_e2e::bodies::{sdp_of, silent_offer};
use holdfast_e2e::peer::{Peer, branch};
use holdfast_e2e::script::{Ask, Script, Sent};
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::wait::PATIENCE;
use holdfast_load::invite::Direction;
use holdfast_load::sip::{Message, StartLine};
use holdfast_load::uac::Transport;
use holdfast_manifest::EndReason;
use nix::sys::signal::Signal;

static USUAL: Shared = Shared::new();
/// Timers a fifth of what RFC 3261 says: the same steps, sooner.
static FAST: Shared = Shared::new();

fn fast() -> Options {
    Options::new().set("sip", "t1 = \"100 ms\"\nt2 = \"1 s\"\nt4 = \"1 s\"")
}

/// The 200 is repeated on every transport; then comes a BYE and the recording is closed.
#[test]
fn tc_60_no_ack() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let system = FAST.system(fast);
        let mut script = Script::over(transport, &system);
        let response = script.ask(&Ask::invite().body(&silent_offer(&system).multipart()));
        assert_eq!(response.status(), Some(200));
        // 100, 200, 400, 800, 1000 ms ... for 6.4 s.
        let mut copies = 0;
        let bye = loop {
            let message = script.hear(PATIENCE, |_| true).expect("a copy, or the BYE");
            match &message.start {
                StartLine::Response { status: 200, .. } => {
                    assert_eq!(message.body, response.body);
                    copies += 1;
                }
                StartLine::Request { method, .. } if method == "BYE" => break message,
                other => panic!("{other:?}"),
            }
        };
        assert!((7..=10).contains(&copies), "{transport:?}: {copies} copies");
        script.respond(&bye, "200 OK", "", None);
        let published = system.published(&script.call_id);
        assert_eq!(published.manifest.end_reason, EndReason::SipTimeout);
    }
}

#[test]
fn tc_61_invite_again_after_the_200() {
    let system = USUAL.system(Options::new);
    let mut script = Script::new(&system);
    let sent = script.send(&Ask::invite().body(&silent_offer(&system).multipart()));
    let response = script.answer_to(&sent);
    script.peer.send(&sent.bytes);
    // What is heard now are copies of the one 200, by its own timer.
    let copy = script
        .final_within(&sent, Duration::from_secs(2))
        .expect("a copy");
    assert_eq!(copy, response, "no second dialog");
    script.ack(None);
    script.peer.send(&sent.bytes);
    script.peer.send(&sent.bytes);
    let more = script.hear(Duration::from_millis(800), |message| {
        message.status().is_some_and(|status| status != 200)
            || message.tag("To") != response.tag("To")
    });
    assert_eq!(more, None, "absorbed");
    script.hang_up();
    system.published(&script.call_id);
}

#[test]
fn tc_62_a_refusal_is_repeated_until_its_ack() {
    let system = FAST.system(fast);
    let sdp = sdp_of(&system, "m=audio 40000 RTP/AVP 77\n");
    let refusal = |message: &Message| message.status() == Some(488);
    let mut script = Script::new(&system);
    let bytes = script.write(&Ask::invite().sdp(&sdp), 1, &branch());
    script.peer.send(&bytes);
    // 0, 100, 300, 700, 1500, 2500 ... until 6.4 s.
    let mut copies = 0;
    while script.hear(Duration::from_secs(3), refusal).is_some() {
        copies += 1;
    }
    assert!(
        (7..=11).contains(&copies),
        "{copies} copies, and then silence"
    );

    let mut script = Script::new(&system);
    let branch = branch();
    let bytes = script.write(&Ask::invite().sdp(&sdp), 1, &branch);
    script.peer.send(&bytes);
    let first = script.hear(PATIENCE, refusal).expect("the refusal");
    assert!(
        script.hear(PATIENCE, refusal).is_some(),
        "again, without an ACK"
    );
    script.to_tag = first.tag("To").map(str::to_owned);
    let ack = script.write(&Ask::new("ACK"), 1, &branch);
    script.peer.send(&ack);
    // One may have been under way.
    let _ = script.hear(Duration::from_millis(50), refusal);
    assert_eq!(script.hear(Duration::from_millis(2_500), refusal), None);
}

/// A stopped engine keeps the INVITE waiting.
#[test]
fn tc_63_cancel() {
    let system = System::start(&Options::new());
    let lost = Script::new(&system).ask(&Ask::new("CANCEL"));
    assert_eq!(lost.status(), Some(481), "{lost:?}");

    let mut script = Script::new(&system);
    let body = silent_offer(&system).multipart();
    system.engine.signal(Signal::SIGSTOP);
    let (invite, branch) = raw_invite(&mut script, &body);
    let trying = script.hear(PATIENCE, |message| message.status() == Some(100));
    assert!(trying.is_some_and(|trying| trying.tag("To").is_none()));
    let cancel = cancel(&mut script, &branch);
    assert_eq!(cancel.status(), Some(200));
    let ended = script
        .final_within(&invite, PATIENCE)
        .expect("a final response");
    assert_eq!(ended.status(), Some(487));
    assert_eq!(ended.tag("To"), cancel.tag("To"));
    system.engine.signal(Signal::SIGCONT);
    let cancelled = script.call_id;

    let mut script = Script::new(&system);
    let (invite, branch) = raw_invite(&mut script, &body);
    assert_eq!(script.answer_to(&invite).status(), Some(200));
    let late = self::cancel(&mut script, &branch);
    assert_eq!(late.status(), Some(200), "it has no effect");
    script.ack(None);
    script.hang_up();
    system.published(&script.call_id);
    // The engine had been told of the other one: what it made of it says how it ended.
    let cancelled = system.published(&cancelled);
    assert_eq!(cancelled.manifest.end_reason, EndReason::Cancel);
    assert_eq!(cancelled.manifest.streams[0].packets, 0, "nothing came");
}

/// An INVITE whose branch is known: a CANCEL has the same.
fn raw_invite(script: &mut Script, body: &holdfast_load::invite::Body) -> (Sent, String) {
    let sent = script.send(&Ask::invite().body(body));
    let branch = sent.branch().to_owned();
    (sent, branch)
}

fn cancel(script: &mut Script, branch: &str) -> Message {
    let tag = script.to_tag.take();
    let bytes = script.write(&Ask::new("CANCEL"), script.cseq, branch);
    script.to_tag = tag;
    script.peer.send(&bytes);
    let number = script.cseq;
    script
        .hear(PATIENCE, |message| {
            message.cseq() == Some((number, "CANCEL"))
        })
        .expect("a response to the CANCEL")
}

#[test]
fn tc_64_cseq_rules() {
    let system = USUAL.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.cseq = 50;
    script.open(&Ask::invite().body(&offer.multipart()));
    let update = Ask::new("UPDATE").metadata(&offer.metadata());
    script.ok(&update);
    let sent = script.send_as(&update, 40);
    assert_eq!(
        script.answer_to(&sent).status(),
        Some(500),
        "lower than the last"
    );
    let sent = script.send_as(&update, 152);
    assert_eq!(
        script.answer_to(&sent).status(),
        Some(200),
        "a gap is none of our business"
    );
    script.hang_up();
}

#[test]
fn tc_65_unknown_dialog() {
    let system = USUAL.system(Options::new);
    let mut script = Script::new(&system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    let right = script.to_tag.replace("not-the-tag".to_owned());
    let asks = [
        Ask::new("BYE"),
        Ask::new("UPDATE").metadata(&offer.metadata()),
        Ask::invite().body(&offer.sdp_body()),
    ];
    for ask in asks {
        assert_eq!(script.ask(&ask).status(), Some(481), "{}", ask.method);
    }
    script.ack(None);
    let anything = script.hear(Duration::from_millis(500), |_| true);
    assert_eq!(anything, None, "an ACK is never answered");
    script.to_tag = right;
    script.hang_up();
}

#[test]
fn tc_67_merged_request() {
    let system = USUAL.system(Options::new);
    let mut script = Script::new(&system);
    let ask = Ask::invite().body(&silent_offer(&system).multipart());
    let first = script.send_as(&ask, 1);
    let second = script.send_as(&ask, 1);
    let answers = [script.answer_to(&first), script.answer_to(&second)];
    let statuses = answers
        .each_ref()
        .map(|answer| answer.status().unwrap_or_default());
    assert_eq!(statuses, [200, 482]);
    script.to_tag = answers[0].tag("To").map(str::to_owned);
    script.ack(None);
    script.hang_up();
}

#[test]
fn tc_68_via_and_rport() {
    let system = USUAL.system(Options::new);
    let via = |script: &Script, via: &str| {
        let ask = Ask::new("OPTIONS").header("Via", &format!("{via};branch={}", branch()));
        script.write(&ask, 1, "unused")
    };
    // With rport: to the source, and both are said.
    let mut script = Script::new(&system);
    let bytes = via(&script, "SIP/2.0/UDP 192.0.2.77:4444;rport");
    script.peer.send(&bytes);
    let response = script.hear(PATIENCE, |_| true).expect("a response");
    let top = response.header("Via").expect("Via");
    let port = script.peer.local.port();
    assert!(top.contains(&format!(";rport={port}")), "{top}");
    assert!(
        top.contains(&format!(";received={}", system.host())),
        "{top}"
    );
    // Without: to the address of the source and the port that sent-by names. The socket of the
    // peer is connected, so what it hears comes from the port that was addressed.
    let mut other = Script::new(&system);
    let named = other.peer.local.port();
    let bytes = via(&script, &format!("SIP/2.0/UDP 192.0.2.77:{named}"));
    script.peer.send(&bytes);
    let response = other
        .hear(PATIENCE, |_| true)
        .expect("a response at the named port");
    let top = response.header("Via").expect("Via");
    assert!(
        top.contains(&format!(";received={}", system.host())),
        "{top}"
    );
    assert!(!top.contains("rport"), "{top}");
}

/// Two proxies recorded their route, the second one by strict routing.
#[test]
fn tc_69_record_route() {
    let system = FAST.system(fast);
    for (routes, is_loose) in [
        ("<sip:A;lr;x=1>, <sip:p2.example.com;lr>", true),
        ("<sip:A>, <sip:p2.example.com;lr>", false),
    ] {
        let mut script = Script::new(&system);
        let routes = routes.replace('A', &script.peer.local.to_string());
        let ask = Ask::invite().header("Record-Route", &routes);
        let response = script.ask(&ask.body(&silent_offer(&system).multipart()));
        assert_eq!(response.status(), Some(200), "{response:?}");
        assert_eq!(
            response.record_routes().join(", "),
            routes,
            "copied in order"
        );
        // No ACK: a BYE comes of itself, by the first proxy.
        let bye = script.request("BYE");
        let StartLine::Request { uri, .. } = &bye.start else {
            unreachable!("it is a request");
        };
        let routed: Vec<_> = bye
            .all("Route")
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        let contact = format!("sip:src@{};transport=udp", script.peer.local);
        if is_loose {
            assert_eq!(*uri, contact);
            assert_eq!(routed.join(", "), routes);
        } else {
            // RFC 3261 section 12.2.1.1: the first becomes the target, the Contact the last.
            assert_eq!(*uri, format!("sip:{}", script.peer.local));
            assert_eq!(routed, ["<sip:p2.example.com;lr>", &format!("<{contact}>")]);
        }
        script.respond(&bye, "200 OK", "", None);
        system.published(&script.call_id);
    }
}

/// The next request of the server goes to the Contact that was accepted last.
#[test]
fn tc_70_target_refresh() {
    let system = System::start(&fast());
    let offer = silent_offer(&system);
    let moved = |to: &Peer| format!("<sip:moved@{}>;+sip.src", to.local);
    let peer = || Peer::connect(system.sip(), Transport::Udp);
    let mut places = Vec::new();
    for refresh in ["INVITE", "UPDATE", "refused"] {
        let (mut script, elsewhere) = (Script::new(&system), peer());
        script.open(&Ask::invite().body(&offer.multipart()));
        let contact = moved(&elsewhere);
        match refresh {
            "INVITE" => drop(
                script.ok(&Ask::invite()
                    .header("Contact", &contact)
                    .body(&offer.sdp_body())),
            ),
            "UPDATE" => drop(script.ok(&Ask::new("UPDATE").header("Contact", &contact))),
            _ => {
                let sdp = sdp_of(
                    &system,
                    "m=audio 40000 RTP/AVP 77\nm=audio 40002 RTP/AVP 77\n",
                );
                let response = script.ask(&Ask::invite().header("Contact", &contact).sdp(&sdp));
                assert_eq!(response.status(), Some(488));
            }
        }
        places.push((refresh, script, elsewhere));
    }
    system.signaling.ask_to_end();
    for (refresh, script, elsewhere) in places {
        let has_moved = refresh != "refused";
        let call_id = script.call_id.clone();
        let (there, not_there) = if has_moved {
            (elsewhere, script.peer)
        } else {
            (script.peer, elsewhere)
        };
        let mut there = Script::by(there);
        let bye = there.request("BYE");
        assert_eq!(bye.header("Call-ID"), Some(call_id.as_str()), "{refresh}");
        there.respond(&bye, "200 OK", "", None);
        let mut not_there = Script::by(not_there);
        assert_eq!(
            not_there.request_within("BYE", Duration::from_millis(100)),
            None,
            "{refresh}"
        );
    }
}

#[test]
fn tc_71_options() {
    let system = USUAL.system(Options::new);
    let mut script = Script::new(&system);
    let idle = script.ok(&Ask::new("OPTIONS"));
    for name in ["Allow", "Accept", "Supported"] {
        assert!(idle.header(name).is_some(), "no {name}: {idle:?}");
    }
    script.ok(&Ask::new("OPTIONS").header("Max-Forwards", "0"));
    let offer = silent_offer(&system);
    let mut script = Script::new(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    script.ok(&Ask::new("OPTIONS"));
    script.ok(&Ask::new("UPDATE").metadata(&offer.metadata()));
    script.hang_up();
    // Under overload see TC-130.
}

#[test]
fn tc_72_methods() {
    let system = USUAL.system(Options::new);
    let methods = [
        ("REGISTER", 405),
        ("REFER", 405),
        ("SUBSCRIBE", 405),
        ("MESSAGE", 405),
        ("PUBLISH", 405),
        ("FOO", 501),
    ];
    for (method, status) in methods {
        let mut script = Script::new(&system);
        let response = script.ask(&Ask::new(method));
        assert_eq!(response.status(), Some(status), "{method}");
        let allow = response.header("Allow").expect("Allow");
        assert!(
            allow.contains("INVITE") && allow.contains("UPDATE"),
            "{allow}"
        );
    }
}

/// A server that answers straight away needs no reliable provisional response, and one that makes
/// the peer wait sends none but 100, which never is (RFC 3262 section 3). So no PRACK can match.
#[test]
fn tc_75_require_100rel() {
    let system = System::start(&Options::new());
    let body = silent_offer(&system).multipart();
    let ask = Ask::invite()
        .header("Require", "siprec, 100rel")
        .body(&body);
    let is_provisional = |message: &Message| message.status().is_some_and(|status| status < 200);
    for waits in [false, true] {
        let mut script = Script::new(&system);
        if waits {
            system.engine.signal(Signal::SIGSTOP);
        }
        let sent = script.send(&ask);
        if waits {
            let trying = script.hear(PATIENCE, is_provisional).expect("100");
            assert_eq!(trying.status(), Some(100));
            assert_eq!(script.final_within(&sent, Duration::from_secs(1)), None);
            system.engine.signal(Signal::SIGCONT);
        }
        assert_eq!(script.answer_to(&sent).status(), Some(200));
        script.ack(None);
        let other = script.hear(Duration::from_millis(1), |message| {
            is_provisional(message) && message.status() != Some(100)
        });
        assert_eq!(other, None);
        let stray = script.ask(&Ask::new("PRACK").header("RAck", "1 1 INVITE"));
        assert_eq!(stray.status(), Some(481));
        script.hang_up();
        system.published(&script.call_id);
    }
}

/// The answer to our 200 is late, and meanwhile the server is told to end: a callee sends no BYE
/// before the ACK (RFC 3261 section 15).
#[test]
fn tc_80_no_bye_before_the_ack() {
    let system = System::start(&fast());
    let mut script = Script::new(&system);
    let response = script.ask(&Ask::invite().body(&silent_offer(&system).multipart()));
    assert_eq!(response.status(), Some(200));
    system.signaling.ask_to_end();
    let early = script.request_within("BYE", Duration::from_millis(1_500));
    assert_eq!(early, None);
    script.ack(None);
    let bye = script.request("BYE");
    script.respond(&bye, "200 OK", "", None);
    system.published(&script.call_id);
}

#[test]
fn tc_78_connection_lost_and_an_update_on_another() {
    let system = USUAL.system(Options::new);
    let mut script = Script::over(Transport::Tcp, &system);
    let offer = silent_offer(&system);
    script.open(&Ask::invite().body(&offer.multipart()));
    script.peer = Peer::connect(system.sip(), Transport::Tcp);
    script.ok(&Ask::new("UPDATE").metadata(&offer.metadata()));
    let paused = offer.redirected(Direction::Inactive);
    script.ok(&Ask::invite().body(&paused.sdp_body()));
    script.hang_up();
    let published = system.published(&script.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::Bye);
    assert_eq!(published.manifest.call.metadata.len(), 2);
}
