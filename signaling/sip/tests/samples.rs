//! Every message met in the field is read, accepted and survives a whole call.

mod common;

use std::path::Path;

use common::World;
use holdfast_sip::endpoint::Draft;
use holdfast_sip::{Message, Method, Transport};

fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/interop/samples");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!(
            "SKIPPED: {} is not here, nothing was checked",
            folder.display()
        );
        return Vec::new();
    };
    let mut samples: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "sip"))
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    samples.sort();
    assert!(!samples.is_empty());
    samples
}

#[test]
fn every_message_is_read_in_full() {
    for (name, octets) in samples() {
        let message = Message::parse(&octets).unwrap_or_else(|error| panic!("{name}: {error}"));
        let Message::Request(request) = message else {
            panic!("{name}")
        };
        assert_eq!(request.method(), &Method::Invite, "{name}");
        let end = octets
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap()
            + 4;
        assert_eq!(request.body(), &octets[end..], "{name}");
        assert_eq!(request.headers().contacts().count(), 1, "{name}");
        assert!(
            request
                .headers()
                .contacts()
                .all(|contact| contact.uri().is_ok()),
            "{name}"
        );
        assert!(request.from().tag().is_some(), "{name}");
        assert!(request.via().unique_branch().is_some(), "{name}");
    }
}

#[test]
fn every_initial_invite_becomes_a_call_that_we_can_end() {
    for (name, octets) in samples()
        .into_iter()
        .filter(|(name, _)| !name.contains("re-invite"))
    {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut world = World::new(transport);
            world.receive_octets(&octets);
            let tx = world.one_tx();
            let dialog = world.accept(tx);
            let ok = world.one_sent();
            assert_eq!(ok.response().status().code(), 200, "{name}");
            let uri = ok.value("To").unwrap().to_owned();
            let ack = format!(
                "ACK sip:srs SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKack\r\n\
                 From: {}\r\nTo: {uri}\r\nCall-ID: {}\r\nCSeq: {} ACK\r\nContent-Length: 0\r\n\r\n",
                ok.value("From").unwrap(),
                ok.value("Call-ID").unwrap(),
                ok.response().cseq().number,
            );
            world.receive(&ack);
            assert_eq!(world.event_names(), ["Ack"], "{name}");
            world
                .endpoint
                .request(world.now, dialog, Draft::new(Method::Bye), &mut world.rng)
                .unwrap();
            world.collect();
            let bye = world.one_sent();
            let Ok(Message::Request(bye)) = Message::parse(bye.text.as_bytes()) else {
                panic!("{name}: {}", bye.text)
            };
            assert_eq!(bye.to().tag(), ok.response().from().tag(), "{name}");
        }
    }
}
