//! What a datagram on the SIP port is (RFC 3261 §7.5 and §18.3, RFC 5626 §8, RFC 7983 §7).

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// To be read as a SIP message; blank lines before it are cut off.
    Message(&'a [u8]),
    /// Nothing, or blank lines: keeps a binding of a NAT alive. Never answered on UDP.
    Keepalive,
    /// STUN: the first octet is 0 or 1, which no SIP message begins with. Dropped, since this
    /// server does not claim RFC 5626.
    Stun,
    /// Nothing that begins as SIP does: its first line does not name the protocol. It cannot be
    /// read; whoever counts it himself may drop it, so that a flood of it costs little.
    Junk(&'a [u8]),
}

/// Tells SIP from what else arrives.
pub fn classify(datagram: &[u8]) -> Datagram<'_> {
    if datagram.first().is_some_and(|octet| *octet <= 1) {
        return Datagram::Stun;
    }
    let blank = datagram
        .iter()
        .take_while(|b| b.is_ascii_whitespace())
        .count();
    match datagram.get(blank..) {
        Some([]) => Datagram::Keepalive,
        Some(message) if names_sip(message) => Datagram::Message(message),
        Some(other) => Datagram::Junk(other),
        None => Datagram::Keepalive,
    }
}

/// Whether the first line has the name of the protocol in it; a very long one may.
fn names_sip(message: &[u8]) -> bool {
    let is_end = |octet: &u8| matches!(octet, b'\r' | b'\n');
    let end = message.iter().take(LINE_LOOKED_AT_MAX).position(is_end);
    let Some(line) = end.and_then(|end| message.get(..end)) else {
        return message.len() > LINE_LOOKED_AT_MAX;
    };
    line.windows(4)
        .any(|window| window.eq_ignore_ascii_case(b"SIP/"))
}

/// Octets of a first line that are looked at here; the reader of messages looks at all.
const LINE_LOOKED_AT_MAX: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_on_a_sip_port() {
        assert_eq!(classify(b""), Datagram::Keepalive);
        assert_eq!(classify(b"\r\n\r\n"), Datagram::Keepalive);
        assert_eq!(
            classify(b"\x00\x01\x00\x00\x21\x12\xa4\x42"),
            Datagram::Stun
        );
        assert_eq!(classify(b"\x01\x01"), Datagram::Stun);
        let bye = b"BYE sip:a@b SIP/2.0\r\n";
        assert_eq!(
            classify(b"\r\nBYE sip:a@b SIP/2.0\r\n"),
            Datagram::Message(bye)
        );
        // What names the protocol is read, however odd, and answered where it can be.
        for odd in [
            "BYE  sip:a SIP/7.0\n",
            "sip/2.0 200 OK\r\nVia: x",
            "a SIP/\r",
        ] {
            let bytes = odd.as_bytes();
            assert_eq!(classify(bytes), Datagram::Message(bytes), "{odd:?}");
        }
        for junk in [
            "BYE sip:a@b\r\nVia: SIP/2.0/UDP x",
            "GET / HTTP/1.1\r\n",
            "SIP/2.0",
        ] {
            let bytes = junk.as_bytes();
            assert_eq!(classify(bytes), Datagram::Junk(bytes), "{junk:?}");
        }
        let long = vec![b'x'; 2 * LINE_LOOKED_AT_MAX];
        assert_eq!(classify(&long), Datagram::Message(&long));
    }
}
