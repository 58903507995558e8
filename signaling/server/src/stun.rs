//! The address under which others see this machine, asked of a STUN server (RFC 8489).
//!
//! A Binding request goes out over UDP, is repeated as section 6.2.1 has it, and what comes back is
//! looked at again and again, so that a new address of an uplink is found. Until the first answer the
//! local address is announced; where later ones fail, the last that was found stays.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use holdfast_settings::StunServer;
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout_at};

use crate::incoming::Incoming;
use crate::limits::{STUN_FIRST_RTO, STUN_INTERVAL, STUN_LAST_WAIT, STUN_REQUESTS};

/// Why no address was found.
#[derive(Debug, thiserror::Error)]
pub enum StunError {
    /// Its name leads nowhere.
    #[error("its name has no address")]
    Name,
    /// The system does not send or receive.
    #[error("no datagram goes there")]
    Socket(#[from] io::Error),
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    Random,
    /// Nothing came back in time.
    #[error("it does not answer")]
    Silent,
    /// It answers that it does not want to.
    #[error("it refuses with error {0}")]
    Refused(u16),
    /// It answers without an address that could be announced.
    #[error("it answers without an address of one host")]
    NoAddress,
}

/// Asks until the process ends.
pub async fn run(server: StunServer, inbox: Sender<Incoming>) {
    loop {
        let found = discover(&server).await;
        if inbox.send(Incoming::Discovered(found)).await.is_err() {
            return;
        }
        tokio::time::sleep(STUN_INTERVAL).await;
    }
}

async fn discover(server: &StunServer) -> Result<IpAddr, StunError> {
    let mut addresses = lookup_host((server.host.as_str(), server.port)).await?;
    let remote = addresses.next().ok_or(StunError::Name)?;
    let local: SocketAddr = match remote {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    // Nobody else is heard from here on.
    socket.connect(remote).await?;
    let mut transaction = [0; TRANSACTION_SIZE];
    getrandom::fill(&mut transaction).map_err(|_| StunError::Random)?;
    let request = request(transaction);
    let mut wait = STUN_FIRST_RTO;
    for number in 1..=STUN_REQUESTS {
        socket.send(&request).await?;
        if number == STUN_REQUESTS {
            wait = STUN_FIRST_RTO * STUN_LAST_WAIT;
        }
        if let Some(answer) = listen(&socket, transaction, wait).await? {
            return answer;
        }
        wait *= 2;
    }
    Err(StunError::Silent)
}

/// The answer, where it comes within this time.
async fn listen(
    socket: &UdpSocket,
    transaction: [u8; TRANSACTION_SIZE],
    wait: Duration,
) -> io::Result<Option<Result<IpAddr, StunError>>> {
    let until = Instant::now() + wait;
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    loop {
        match timeout_at(until, socket.recv(&mut buffer)).await {
            Err(_) => return Ok(None),
            // The port is closed: it may be opened while the request is repeated.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                tokio::time::sleep_until(until).await;
                return Ok(None);
            }
            Ok(Err(error)) => return Err(error),
            Ok(Ok(size)) => {
                let answer = read(buffer.get(..size).unwrap_or_default(), transaction);
                if answer.is_some() {
                    return Ok(answer);
                }
            }
        }
    }
}

const MAGIC: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
const TRANSACTION_SIZE: usize = 12;
const HEADER_SIZE: usize = 20;
/// Answers to a Binding request are far shorter.
const DATAGRAM_SIZE_MAX: usize = 1_500;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// A Binding request without attributes (section 5).
///
/// ```text
///   0      2        4              8                20
///   | type | length | magic cookie | transaction id |
/// ```
fn request(transaction: [u8; TRANSACTION_SIZE]) -> [u8; HEADER_SIZE] {
    let mut bytes = [0; HEADER_SIZE];
    bytes[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
    bytes[4..8].copy_from_slice(&MAGIC);
    bytes[8..].copy_from_slice(&transaction);
    bytes
}

/// What an answer to this transaction says; `None` where it is none.
fn read(bytes: &[u8], transaction: [u8; TRANSACTION_SIZE]) -> Option<Result<IpAddr, StunError>> {
    let (header, body) = bytes.split_first_chunk::<HEADER_SIZE>()?;
    let [t0, t1, l0, l1, cookie @ ..] = header;
    let kind = u16::from_be_bytes([*t0, *t1]);
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    let is_ours = cookie[..4] == MAGIC && cookie[4..] == transaction && body.len() == length;
    if !is_ours {
        return None;
    }
    match kind {
        BINDING_SUCCESS => {
            let mut plain = None;
            for (kind, value) in attributes(body) {
                match kind {
                    // "XOR-MAPPED-ADDRESS … in preference".
                    XOR_MAPPED_ADDRESS => {
                        return Some(announceable(xor_address(value, transaction)));
                    }
                    MAPPED_ADDRESS => plain = address(value),
                    _ => {}
                }
            }
            Some(announceable(plain))
        }
        BINDING_ERROR => {
            let code = attributes(body).find(|(kind, _)| *kind == ERROR_CODE);
            let code = code.and_then(|(_, value)| {
                Some(u16::from(value.get(2)? & 7) * 100 + u16::from(*value.get(3)?))
            });
            Some(Err(StunError::Refused(code.unwrap_or_default())))
        }
        _ => None,
    }
}

/// Type and value of each attribute, as far as they read (section 14).
fn attributes(mut body: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (&[t0, t1, l0, l1], rest) = body.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(..length)?;
        body = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_be_bytes([t0, t1]), value))
    })
}

/// MAPPED-ADDRESS (section 14.1): a zero octet, the family, the port, the address.
fn address(value: &[u8]) -> Option<IpAddr> {
    let (&[_, family, _, _], address) = value.split_first_chunk()?;
    match family {
        1 => <[u8; 4]>::try_from(address).ok().map(IpAddr::from),
        2 => <[u8; 16]>::try_from(address).ok().map(IpAddr::from),
        _ => None,
    }
}

/// XOR-MAPPED-ADDRESS (section 14.2): the same, by the magic cookie and the transaction.
fn xor_address(value: &[u8], transaction: [u8; TRANSACTION_SIZE]) -> Option<IpAddr> {
    let mut plain = value.to_vec();
    let key = MAGIC.into_iter().chain(transaction);
    for (octet, key) in plain.iter_mut().skip(4).zip(key) {
        *octet ^= key;
    }
    address(&plain)
}

fn announceable(address: Option<IpAddr>) -> Result<IpAddr, StunError> {
    let is_one = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast();
    address.filter(is_one).ok_or(StunError::NoAddress)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 section 2.2 and 2.3: sample responses, whose addresses are 192.0.2.1 and
    /// 2001:db8:1234:5678:11:2233:4455:6677, port 32853.
    const TRANSACTION: [u8; 12] = [
        0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
    ];
    const V4: [u8; 8] = [0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
    const V6: [u8; 20] = [
        0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4,
        0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
    ];

    fn message(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0x20);
        }
        let mut bytes = request(TRANSACTION).to_vec();
        bytes[..2].copy_from_slice(&kind.to_be_bytes());
        bytes[2..4].copy_from_slice(&(body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn outcome(bytes: &[u8]) -> Option<Result<IpAddr, String>> {
        read(bytes, TRANSACTION).map(|it| it.map_err(|error| error.to_string()))
    }

    #[test]
    fn the_addresses_of_rfc_5769() {
        let software: &[u8] = b"test vector";
        for (value, expected) in [
            (&V4[..], "192.0.2.1"),
            (&V6[..], "2001:db8:1234:5678:11:2233:4455:6677"),
        ] {
            let bytes = message(
                BINDING_SUCCESS,
                &[(0x8022, software), (XOR_MAPPED_ADDRESS, value)],
            );
            assert_eq!(outcome(&bytes), Some(Ok(expected.parse().unwrap())));
            for end in 0..bytes.len() {
                assert_eq!(outcome(&bytes[..end]), None, "cut at {end}");
            }
        }
    }

    #[test]
    fn other_answers() {
        let plain: &[u8] = &[0, 1, 0, 9, 192, 0, 2, 7];
        let many: &[u8] = &[0, 1, 0, 9, 224, 0, 0, 1];
        let no_address = Some(Err(StunError::NoAddress.to_string()));
        for (kind, attributes, expected) in [
            (
                BINDING_SUCCESS,
                vec![(MAPPED_ADDRESS, plain)],
                Some(Ok("192.0.2.7".parse().unwrap())),
            ),
            (
                BINDING_SUCCESS,
                vec![(MAPPED_ADDRESS, plain), (XOR_MAPPED_ADDRESS, &V4[..])],
                Some(Ok("192.0.2.1".parse().unwrap())),
            ),
            (BINDING_SUCCESS, vec![], no_address.clone()),
            (
                BINDING_SUCCESS,
                vec![(MAPPED_ADDRESS, many)],
                no_address.clone(),
            ),
            (
                BINDING_SUCCESS,
                vec![(XOR_MAPPED_ADDRESS, &plain[..7])],
                no_address,
            ),
            (
                BINDING_ERROR,
                vec![(ERROR_CODE, &[0, 0, 4, 20])],
                Some(Err(StunError::Refused(420).to_string())),
            ),
            (BINDING_REQUEST, vec![(MAPPED_ADDRESS, plain)], None),
        ] {
            assert_eq!(
                outcome(&message(kind, &attributes)),
                expected,
                "{attributes:?}"
            );
        }
    }

    #[test]
    fn answers_to_others_are_none() {
        let mut bytes = message(BINDING_SUCCESS, &[(XOR_MAPPED_ADDRESS, &V4)]);
        bytes[19] ^= 1;
        assert_eq!(outcome(&bytes), None);
        bytes[19] ^= 1;
        bytes[4] ^= 1;
        assert_eq!(outcome(&bytes), None);
    }
}
