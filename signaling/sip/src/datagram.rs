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
        Some(message) if !message.is_empty() => Datagram::Message(message),
        Some(_) | None => Datagram::Keepalive,
    }
}

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
        assert_eq!(classify(b"\r\nBYE x"), Datagram::Message(b"BYE x"));
    }
}
