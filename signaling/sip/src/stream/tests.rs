use super::*;
use std::time::Duration;

const NOW: MonoTime = MonoTime(1_000);

fn message(body: &str) -> String {
    format!(
        "OPTIONS sip:srs.example.com SIP/2.0\r\nv: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\n\
         f: <sip:a@example.com>;tag=1\r\nt: <sip:b@example.com>\r\ni: 1\r\nCSeq: 1 OPTIONS\r\n\
         l: {}\r\n\r\n{body}",
        body.len()
    )
}

fn drain(framer: &mut StreamFramer) -> Vec<String> {
    let mut out = Vec::new();
    while let Some(frame) = framer.poll_frame() {
        out.push(match frame {
            Frame::Message(octets) => String::from_utf8(octets).unwrap(),
            Frame::Pong => "pong".to_owned(),
            Frame::Broken(broken) => format!("{:?}", broken.fault),
        });
    }
    out
}

#[test]
fn byte_by_byte_and_all_at_once_give_the_same() {
    let text = format!(
        "{}\r\n\r\n{}\r\n{}",
        message("abc"),
        message(""),
        message("\r\n\r\n")
    );
    let expected = [
        message("abc"),
        "pong".to_owned(),
        message(""),
        message("\r\n\r\n"),
    ];
    let mut at_once = StreamFramer::new(&Limits::default());
    at_once.handle_bytes(NOW, text.as_bytes());
    assert_eq!(drain(&mut at_once), expected);
    let mut by_byte = StreamFramer::new(&Limits::default());
    let mut out = Vec::new();
    for octet in text.as_bytes() {
        by_byte.handle_bytes(NOW, &[*octet]);
        out.extend(drain(&mut by_byte));
    }
    assert_eq!(out, expected);
    assert_eq!(by_byte.poll_timeout(), None);
}

#[test]
fn ten_messages_in_one_segment() {
    let mut framer = StreamFramer::new(&Limits::default());
    framer.handle_bytes(NOW, message("x").repeat(10).as_bytes());
    assert_eq!(drain(&mut framer), vec![message("x"); 10]);
}

#[test]
fn a_ping_is_two_line_ends_and_one_pong_each() {
    let mut framer = StreamFramer::new(&Limits::default());
    framer.handle_bytes(NOW, b"\r\n");
    assert!(drain(&mut framer).is_empty());
    framer.handle_bytes(NOW, b"\r");
    assert!(drain(&mut framer).is_empty());
    framer.handle_bytes(NOW, b"\n\r\n\r\n\r\n");
    assert_eq!(drain(&mut framer), ["pong", "pong"]);
}

#[test]
fn bare_line_feeds_end_lines_too() {
    let text = message("ab").replace("\r\n", "\n");
    let mut framer = StreamFramer::new(&Limits::default());
    framer.handle_bytes(NOW, text.as_bytes());
    assert_eq!(drain(&mut framer), [text]);
}

#[test]
fn lost_framing_is_said_once_and_nothing_follows() {
    let lengths = [
        ("", "LengthMissing"),
        ("l: -5\r\n", "LengthBad"),
        ("l: abc\r\n", "LengthBad"),
        ("l: 3\r\nContent-Length: 5\r\n", "LengthBad"),
        ("l: 99999999999999999999\r\n", "LengthBad"),
        ("l: 4000000000\r\n", "BodyTooLarge"),
    ];
    for (line, fault) in lengths {
        let mut framer = StreamFramer::new(&Limits::default());
        framer.handle_bytes(NOW, message("").replace("l: 0\r\n", line).as_bytes());
        framer.handle_bytes(NOW, message("").as_bytes());
        assert_eq!(drain(&mut framer), [fault], "{line}");
        framer.handle_bytes(NOW, message("").as_bytes());
        assert!(drain(&mut framer).is_empty());
    }
}

#[test]
fn the_same_length_twice_is_one_length() {
    let text = message("abc").replace("l: 3\r\n", "l: 3\r\nContent-Length: 3\r\n");
    let mut framer = StreamFramer::new(&Limits::default());
    framer.handle_bytes(NOW, text.as_bytes());
    assert_eq!(drain(&mut framer), [text]);
}

#[test]
fn endless_headers_break_the_stream() {
    let limits = Limits {
        head_bytes_max: 1_000,
        ..Limits::default()
    };
    let mut framer = StreamFramer::new(&limits);
    framer.handle_bytes(NOW, b"OPTIONS sip:srs.example.com SIP/2.0\r\n");
    for _ in 0..100 {
        framer.handle_bytes(NOW, b"x: 0123456789\r\n");
        if !drain(&mut framer).is_empty() {
            return;
        }
    }
    panic!("never refused");
}

#[test]
fn a_slow_message_is_given_up_but_an_idle_connection_is_not() {
    let limits = Limits::default();
    let mut framer = StreamFramer::new(&limits);
    assert_eq!(framer.poll_timeout(), None);
    framer.handle_bytes(
        NOW,
        message("abc")
            .split_at(300.min(message("abc").len() - 1))
            .0
            .as_bytes(),
    );
    assert!(drain(&mut framer).is_empty());
    let deadline = framer.poll_timeout().unwrap();
    assert_eq!(deadline, NOW + limits.message_duration_max);
    // Further octets do not buy time.
    framer.handle_bytes(NOW + Duration::from_secs(20), b"");
    assert_eq!(framer.poll_timeout(), Some(deadline));
    assert!(framer.handle_timeout(NOW).is_none());
    assert!(matches!(
        framer.handle_timeout(deadline),
        Some(Frame::Broken(_))
    ));
    assert_eq!(framer.poll_timeout(), None);
}
