//! Whatever arrives: no panic, no endless loop, no leak, and the next call is served.

mod common;

use common::{Ask, Rng, World};
use holdfast_sip::stream::{Frame, StreamFramer};
use holdfast_sip::{Entropy, Limits, Message, Status, Transport};

fn vectors() -> Vec<String> {
    let invite = Ask::new("INVITE")
        .header("Record-Route: <sip:p1.example.com;lr>, \"x\" <sip:p2.example.com>")
        .header("Session-Expires: 1800;refresher=uac")
        .header("Require: siprec")
        .header("Timestamp: 1\r\n .5")
        .sdp();
    let mut bye = invite.then("BYE", 2).tagged("x");
    bye.via = "SIP/2.0/TCP [2001:db8::1]:5060;rport;maddr=192.0.2.3".to_owned();
    let response = invite.text().replacen(
        "INVITE sip:recorder@198.51.100.20 SIP/2.0",
        "SIP/2.0 200 OK",
        1,
    );
    vec![
        invite.text(),
        bye.text(),
        invite.then("CANCEL", 1).text(),
        response,
    ]
}

fn below(rng: &mut Rng, end: usize) -> usize {
    let mut octets = [0; 8];
    rng.fill(&mut octets);
    (u64::from_le_bytes(octets) % end.max(1) as u64) as usize
}

/// One to eight small damages.
fn damage(text: &str, rng: &mut Rng) -> Vec<u8> {
    const BITS: [&[u8]; 12] = [
        b"\r\n",
        b"\"",
        b"<",
        b">",
        b";",
        b",",
        b"\0",
        b"\xff",
        b": ",
        b"=",
        b"\r\n ",
        b"99999999999",
    ];
    let mut octets = text.as_bytes().to_vec();
    for _ in 0..=below(rng, 8) {
        let at = below(rng, octets.len());
        match below(rng, 4) {
            0 => {
                octets.truncate(at);
            }
            1 => {
                octets.splice(at..at, BITS[below(rng, BITS.len())].iter().copied());
            }
            2 => {
                let end = (at + below(rng, 20)).min(octets.len());
                octets.drain(at..end);
            }
            _ => {
                let end = (at + below(rng, 60)).min(octets.len());
                let copy = octets[at..end].to_vec();
                let to = below(rng, octets.len());
                octets.splice(to..to, copy);
            }
        }
    }
    octets
}

#[test]
fn damaged_datagrams() {
    let vectors = vectors();
    for seed in 1..4_000 {
        let mut rng = Rng(seed);
        let octets = damage(&vectors[seed as usize % vectors.len()], &mut rng);
        if let Ok(Message::Request(request)) = Message::parse(&octets) {
            let headers = request.headers();
            let _ = (
                headers.vias(),
                headers.contacts().count(),
                headers.replaces(),
            );
            let _ = (
                headers.session_expires(),
                headers.rack(),
                headers.content_type(),
            );
        }
        let mut world = World::new(Transport::Udp);
        world.receive_octets(&octets);
        for event in world.take_events() {
            if let holdfast_sip::Event::Invite { tx, .. } = event {
                world.accept(tx);
            } else if let Some(tx) = common::tx_of(&event) {
                world.respond(tx, Status::OK);
            }
        }
        // All that we send can be read again, but for what was copied from a broken message.
        world.pass_ms(400_000);
        assert_eq!(world.endpoint.transaction_count(), 0, "seed {seed}");
        world.take_events();
        let mut next = Ask::new("INVITE").branch("z9hG4bK-next");
        next.call_id = "next".to_owned();
        world.take_sent();
        world.call(&next);
    }
}

#[test]
fn damaged_streams() {
    let vectors = vectors();
    for seed in 1..2_000 {
        let mut rng = Rng(seed);
        let mut framer = StreamFramer::new(&Limits::default());
        let mut world = World::new(Transport::Tcp);
        let octets = damage(&vectors.concat(), &mut rng);
        for piece in octets.chunks(1 + below(&mut rng, 200)) {
            framer.handle_bytes(world.now, piece);
            while let Some(frame) = framer.poll_frame() {
                match frame {
                    Frame::Message(message) => world.receive_octets(&message),
                    Frame::Pong => {}
                    Frame::Broken(broken) => {
                        world
                            .endpoint
                            .handle_broken_stream(world.flow, &world.source, &broken);
                        world.collect();
                        assert_eq!(world.closed.len(), 1, "seed {seed}");
                    }
                }
            }
        }
    }
}

#[test]
fn noise() {
    for seed in 1..500 {
        let mut rng = Rng(seed);
        let mut octets = vec![0; below(&mut rng, 2_000)];
        rng.fill(&mut octets);
        let mut world = World::new(Transport::Udp);
        world.receive_octets(&octets);
        assert!(world.take_sent().is_empty());
        let mut framer = StreamFramer::new(&Limits::default());
        framer.handle_bytes(world.now, &octets);
        while framer.poll_frame().is_some() {}
    }
}
