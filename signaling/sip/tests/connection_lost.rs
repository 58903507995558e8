//! A connection goes away with requests of ours on it (RFC 3261 §12 and §18, RFC 5923).

mod common;

use common::{Ask, World, answer};
use holdfast_sip::endpoint::{DialogId, Draft, Owner};
use holdfast_sip::{Flow, Method, Target, Transport};

fn calling(transport: Transport) -> (World, DialogId, Flow) {
    let mut world = World::new(transport);
    let (dialog, _) = world.call(&Ask::new("INVITE").contact("<sip:src@192.0.2.10:5070>"));
    let flow = world.endpoint.dialog(dialog).and_then(|it| it.flow);
    (world, dialog, flow.expect("a connection"))
}

fn at_contact(transport: Transport) -> Target {
    Target::Address {
        transport,
        remote: "192.0.2.10:5070".parse().unwrap(),
        local: None,
    }
}

#[test]
fn an_unanswered_request_goes_once_more_to_the_contact() {
    for (transport, method) in [
        (Transport::Tcp, Method::Bye),
        (Transport::Tls, Method::Bye),
        (Transport::Tls, Method::Invite),
    ] {
        let (mut world, dialog, flow) = calling(transport);
        assert!(world.endpoint.uses_flow(flow));
        let draft = Draft::new(method);
        let now = world.now;
        let asked = world
            .endpoint
            .request(now, dialog, draft, &mut world.rng)
            .unwrap();
        world.collect();
        let first = world.one_sent();
        assert_eq!(first.to, Target::Flow(flow));
        world.endpoint.handle_flow_closed(now, flow);
        world.collect();
        let again = world.one_sent();
        assert_eq!(again.to, at_contact(transport));
        assert_eq!(again.text, first.text, "a copy is known by its branch");
        // There too nobody is: that is the end of it.
        world
            .endpoint
            .handle_transport_error(now, Owner::Client(asked));
        world.collect();
        assert!(world.event_names().contains(&"RequestFailed".to_owned()));
    }
}

#[test]
fn what_was_answered_stays_where_it_was() {
    let (mut world, dialog, flow) = calling(Transport::Tls);
    let draft = Draft::new(Method::Update);
    let now = world.now;
    world
        .endpoint
        .request(now, dialog, draft, &mut world.rng)
        .unwrap();
    world.collect();
    let sent = world.one_sent();
    world.receive(&answer(&sent, 200, ""));
    world.endpoint.handle_flow_closed(now, flow);
    world.collect();
    assert!(world.take_sent().is_empty());
    assert!(!world.endpoint.uses_flow(Flow(flow.0 + 1)));
}

#[test]
fn a_sips_target_is_never_reached_without_tls() {
    let mut world = World::new(Transport::Tcp);
    let (dialog, _) = world.call(&Ask::new("INVITE").contact("<sips:src@192.0.2.10:5070>"));
    let flow = world
        .endpoint
        .dialog(dialog)
        .and_then(|it| it.flow)
        .unwrap();
    let now = world.now;
    world.endpoint.handle_flow_closed(now, flow);
    world
        .endpoint
        .request(now, dialog, Draft::new(Method::Bye), &mut world.rng)
        .unwrap();
    world.collect();
    assert_eq!(world.one_sent().to, at_contact(Transport::Tls));
}
