//! Test cases, chapter D, second half: session timers, and where a message ends. Each test bears
//! the number of its case.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use holdfast_e2e::bodies::silent_offer;
use holdfast_e2e::peer::{Peer, branch};
use holdfast_e2e::script::{Ask, Script};
use holdfast_e2e::shared::Shared;
use holdfast_e2e::system::Options;
use holdfast_e2e::wait::PATIENCE;
use holdfast_load::sip::Message;
use holdfast_load::uac::Transport;
use holdfast_manifest::EndReason;

static SYSTEM: Shared = Shared::new();

/// Seconds and refresher of a Session-Expires.
fn granted(response: &Message) -> Option<(u32, String)> {
    let value = response.header("Session-Expires")?;
    let (seconds, rest) = value.split_once(';').unwrap_or((value, ""));
    let refresher = rest.trim().strip_prefix("refresher=").unwrap_or_default();
    Some((seconds.trim().parse().ok()?, refresher.to_owned()))
}

#[test]
fn tc_73_session_timer_matrix() {
    let system = SYSTEM.system(Options::new);
    let body = silent_offer(&system).multipart();
    let ask = |expires: &str| Ask::invite().header("Session-Expires", expires).body(&body);
    let refusal = Script::new(&system).ask(&ask("30"));
    assert_eq!(refusal.status(), Some(422));
    let min = refusal
        .header("Min-SE")
        .and_then(|value| value.parse::<u32>().ok());
    assert!(min.is_some_and(|min| min >= 90), "{refusal:?}");

    let mut script = Script::new(&system);
    let open = script.open(&ask("1800"));
    assert_eq!(
        granted(&open),
        Some((1_800, "uac".to_owned())),
        "left open: the peer's"
    );
    assert!(
        open.header("Require")
            .is_some_and(|it| it.contains("timer")),
        "{open:?}"
    );
    script.hang_up();

    let mut script = Script::new(&system);
    let open = script.open(&ask("1800;refresher=uas"));
    assert_eq!(granted(&open), Some((1_800, "uas".to_owned())));
    script.hang_up();

    // RFC 4028 section 9, table 2: who does not know the timer can't be the refresher.
    let mut script = Script::new(&system);
    let open = script.open(&ask("1800").without("Supported"));
    assert!(
        granted(&open).is_none_or(|(_, refresher)| refresher == "uas"),
        "{open:?}"
    );
    assert!(open.header("Require").is_none(), "{open:?}");
    script.hang_up();

    let mut script = Script::new(&system);
    let open = script.open(&ask("3600").header("Min-SE", "3600"));
    assert_eq!(
        granted(&open).map(|(seconds, _)| seconds),
        Some(3_600),
        "not lowered"
    );
    script.hang_up();
}

/// The server refreshes at half of the interval, by UPDATE without a body, or by what it may.
#[test]
fn tc_73_the_server_refreshes() {
    let system = SYSTEM.system(Options::new);
    let mut script = Script::new(&system);
    let ask = Ask::invite().header("Session-Expires", "90;refresher=uas");
    script.open(&ask.body(&silent_offer(&system).multipart()));
    let early = script.request_within("UPDATE", Duration::from_secs(40));
    assert_eq!(early, None, "half of 90 s is not over");
    let refresh = script.request("UPDATE");
    assert!(refresh.body.is_empty(), "{refresh:?}");
    assert_eq!(granted(&refresh).map(|(seconds, _)| seconds), Some(90));
    script.respond(
        &refresh,
        "200 OK",
        "Session-Expires: 90;refresher=uac\r\n",
        None,
    );
    // And goes on: the recording is there to be ended by us.
    script.hang_up();
    let published = system.published(&script.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::Bye);
}

/// 90 s, and the client is silent: a BYE a third of that before the end.
#[test]
fn tc_74_session_expiry() {
    let system = SYSTEM.system(Options::new);
    let mut script = Script::new(&system);
    let ask = Ask::invite().header("Session-Expires", "90;refresher=uac");
    script.open(&ask.body(&silent_offer(&system).multipart()));
    let early = script.request_within("BYE", Duration::from_secs(55));
    assert_eq!(early, None);
    let bye = script.request("BYE");
    script.respond(&bye, "200 OK", "", None);
    let published = system.published(&script.call_id);
    assert_eq!(published.manifest.end_reason, EndReason::SipTimeout);
}

#[test]
fn tc_76_tcp_framing() {
    let system = SYSTEM.system(Options::new);
    // One octet in each segment: a recording session all the same.
    let mut script = Script::over(Transport::Tcp, &system);
    let bytes = script.write(
        &Ask::invite().body(&silent_offer(&system).multipart()),
        1,
        &branch(),
    );
    script.cseq = 1;
    for octet in &bytes {
        script.peer.send(&[*octet]);
    }
    let response = script
        .hear(PATIENCE, |message| message.status() == Some(200))
        .expect("200");
    script.to_tag = response.tag("To").map(str::to_owned);
    script.target = response.contact_uri().expect("a Contact").to_owned();
    script.ack(None);
    // Five requests in one segment, CRLF CRLF between them.
    let requests: Vec<u8> = (2..7)
        .flat_map(|cseq| {
            [
                script.write(&Ask::new("OPTIONS"), cseq, &branch()),
                b"\r\n\r\n".to_vec(),
            ]
            .concat()
        })
        .collect();
    script.peer.send(&requests);
    for cseq in 2..7 {
        let response = script.hear(PATIENCE, |message| {
            message.cseq() == Some((cseq, "OPTIONS"))
        });
        assert_eq!(
            response.and_then(|response| response.status()),
            Some(200),
            "{cseq}"
        );
    }
    // What can't be framed costs its own connection alone.
    for (length, what) in [
        ("", "no Content-Length"),
        ("Content-Length: -1\r\n", "a negative one"),
        (
            "Content-Length: 5\r\nContent-Length: 7\r\n",
            "two that differ",
        ),
    ] {
        let mut broken = Script::over(Transport::Tcp, &system);
        let bytes = broken.write(&Ask::new("OPTIONS"), 1, &branch());
        let text = String::from_utf8(bytes).expect("text");
        broken
            .peer
            .send(text.replace("Content-Length: 0\r\n", length).as_bytes());
        assert!(broken.peer.is_closed_within(PATIENCE), "{what}");
        script.cseq = 6;
        script.ok(&Ask::new("OPTIONS"));
    }
    script.hang_up();
}

/// RFC 5626 section 4.4.1: a double CRLF is answered by one.
#[test]
fn tc_76_keepalive() {
    let system = SYSTEM.system(Options::new);
    let mut stream = TcpStream::connect(system.sip()).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    for _ in 0..2 {
        stream.write_all(b"\r\n\r\n").expect("a ping");
        let mut pong = [0; 2];
        stream.read_exact(&mut pong).expect("a pong");
        assert_eq!(&pong, b"\r\n");
    }
    // Nothing further comes: not two for one.
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a time-out");
    assert!(stream.read(&mut [0; 1]).is_err());
    // Over UDP it is never answered.
    let mut peer = Peer::connect(system.sip(), Transport::Udp);
    peer.send(b"\r\n\r\n");
    assert_eq!(peer.receive(Duration::from_millis(200)), None);
}

#[test]
fn tc_77_udp_length() {
    let system = SYSTEM.system(Options::new);
    let body = silent_offer(&system).multipart();
    let size = body.bytes.len();
    let answer_to = |length: Option<usize>, extra: &[u8]| {
        let mut script = Script::new(&system);
        let ask = Ask::invite().body(&body);
        let ask = match length {
            Some(length) => ask.header("Content-Length", &length.to_string()),
            None => ask.without("Content-Length"),
        };
        let mut bytes = script.write(&ask, 1, &branch());
        bytes.extend_from_slice(extra);
        script.cseq = 1;
        script.peer.send(&bytes);
        let response = script
            .hear(PATIENCE, |message| {
                message.status().is_some_and(|status| status >= 200)
            })
            .expect("a final response");
        if response.status() == Some(200) {
            script.to_tag = response.tag("To").map(str::to_owned);
            script.ack(None);
            script.hang_up();
            let call = system.published(&script.call_id).manifest.call;
            assert_eq!(call.participants.len(), 2);
        }
        response.status()
    };
    assert_eq!(
        answer_to(Some(size + 1), b""),
        Some(400),
        "shorter than it says"
    );
    assert_eq!(
        answer_to(Some(size), b"INVITE of something else"),
        Some(200),
        "longer"
    );
    assert_eq!(
        answer_to(None, b""),
        Some(200),
        "to the end of the datagram"
    );
}
