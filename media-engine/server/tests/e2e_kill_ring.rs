//! The engine is killed again and again with the packet ring, each test in a network namespace of its
//! own: not one packet is lost, not one is there twice.

#[path = "e2e_kill.rs"]
mod as_with_sockets;

use as_with_sockets::support::{Engine, Sender, ended, recording};
use holdfast_control::{FromEngine, ToEngine};
use holdfast_lifeline::{kept_by_signaling, start_keeper};

#[test]
fn rings_of_other_settings_are_read_to_their_end() {
    let Some(mut engine) = Engine::prepare(30_200, 30_299, "") else {
        return;
    };
    start_keeper(&kept_by_signaling(&engine.control_socket()), 1_000).expect("a keeper");
    engine.restart();
    let link = engine.connect();
    let wanted = recording(&[30_200]);
    link.send(&ToEngine::Recording(wanted.clone()));
    link.wait_applied(wanted.id, 1);
    let mut sender = Sender::new(30_200);
    for (number, sizes) in [("16 MiB", "17 MiB"), ("17 MiB", "24 MiB")]
        .into_iter()
        .enumerate()
    {
        sender.send(50);
        engine.kill();
        sender.send(50);
        let line = |size: &str| format!("ring_size = \"{size}\"");
        engine.change_settings(&line(sizes.0), &line(sizes.1));
        engine.restart();
        // One that has read what is old takes what is said.
        let link = engine.connect();
        let mut again = wanted.clone();
        again.revision = number as u64 + 2;
        again.streams[0].cname = number.to_string();
        link.send(&ToEngine::Recording(again.clone()));
        link.wait_applied(again.id, again.revision);
    }
    sender.send(50);
    let link = engine.connect();
    link.wait_for(|message| match message {
        FromEngine::Health(health) => (health.packets >= 50).then_some(()),
        _ => None,
    });
    let mut last = wanted.clone();
    last.revision = 9;
    link.send(&ToEngine::Recording(ended(&last)));
    let (_, manifest) = link.wait_published(wanted.id);
    let stream = &manifest.streams[0];
    let counts = (stream.packets, stream.lost, stream.duplicate);
    assert_eq!(counts, (u64::from(sender.sent()), 0, 0), "{stream:?}");
}
