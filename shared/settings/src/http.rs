//! `[http]`, key by key, and what it needs of the rest.

use std::net::SocketAddr;

use crate::check::{Checker, quoted};
use crate::convert::listen_address;
use crate::limits;
use crate::peers::file;
use crate::raw::RawHttp;
use crate::settings::{Http, Sip, SipTransport};

pub(crate) fn http(checker: &mut Checker<'_>, raw: &RawHttp) -> Http {
    Http {
        listen: listen(checker, &raw.listen),
        certificate: file(checker, "http.certificate", &raw.certificate),
        key: file(checker, "http.key", &raw.key),
        token_file: file(checker, "http.token_file", &raw.token_file),
        connections_max: checker.count(
            "http.connections_max",
            raw.connections_max,
            &limits::HTTP_CONNECTIONS,
        ),
    }
}

fn listen(checker: &mut Checker<'_>, text: &str) -> Option<SocketAddr> {
    if text.is_empty() {
        return None;
    }
    let address = listen_address(text);
    if address.is_none() {
        let allowed = "an IP address and a port from 1 to 65535, such as \"127.0.0.1:8080\" or \
                       \"[::1]:8080\", or \"\" for no HTTP";
        checker.not_allowed("http.listen", quoted(text), allowed);
    }
    address
}

pub(crate) fn clashes(checker: &mut Checker<'_>, raw: &RawHttp, http: &Http, sip: &Sip) {
    let Some(listen) = http.listen else { return };
    if !listen.ip().is_loopback() && http.token_file.is_none() {
        checker.clash(
            "http.listen",
            quoted(&raw.listen),
            "others than this machine can reach it, and http.token_file is empty",
            "name a file with a token there, or listen on 127.0.0.1",
        );
    }
    for (key, text, other, has, needs) in [
        (
            "http.certificate",
            &raw.certificate,
            "http.key",
            &http.certificate,
            &http.key,
        ),
        (
            "http.key",
            &raw.key,
            "http.certificate",
            &http.key,
            &http.certificate,
        ),
    ] {
        if has.is_some() && needs.is_none() {
            let conflict = format!("{other} is empty");
            checker.clash(key, quoted(text), conflict, "name both, or neither");
        }
    }
    let is_stream = |it: &&crate::SipListen| it.transport != SipTransport::Udp;
    let taken = |it: &crate::SipListen| {
        let (one, other) = (it.address.ip(), listen.ip());
        let overlap = one == other || one.is_unspecified() || other.is_unspecified();
        it.address.port() == listen.port() && it.address.is_ipv4() == listen.is_ipv4() && overlap
    };
    if sip.listen.iter().filter(is_stream).any(taken) {
        checker.clash(
            "http.listen",
            quoted(&raw.listen),
            "sip.listen has that port on TCP or TLS",
            "give each a port of its own",
        );
    }
}
