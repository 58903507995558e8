//! A call over IPv6: SIP, media and reports on the loopback address.

use std::net::Ipv6Addr;
use std::time::Duration;

use holdfast_e2e::caller::Caller;
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::{converse, truth};
use holdfast_e2e::tools::skipped;
use holdfast_load::invite::Codec;
use holdfast_load::uac::Transport;
use holdfast_load::verify::check_recording;

#[test]
fn a_call_over_ipv6_by_udp_is_recorded() {
    a_call_is_recorded(Transport::Udp);
}

#[test]
fn a_call_over_ipv6_by_tcp_is_recorded() {
    a_call_is_recorded(Transport::Tcp);
}

fn a_call_is_recorded(transport: Transport) {
    if std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        skipped("this machine has no IPv6 loopback");
        return;
    }
    let system = System::start(&Options::new().host(Ipv6Addr::LOCALHOST));
    let mut caller = Caller::over(transport, &system);
    let call = caller.call(Codec::Pcmu);
    for line in &call.answer.lines {
        assert_eq!(line.rtp.map(|address| address.ip()), Some(system.host()));
    }
    let legs = converse(&call, Duration::from_millis(2_000));
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let verdict = check_recording(&published, &truth(&call, legs));
    assert_eq!(verdict.problems, [""; 0]);
    let peer = published
        .manifest
        .call
        .sip
        .peer
        .expect("the peer's address");
    assert_eq!(peer.ip(), system.host());
}
