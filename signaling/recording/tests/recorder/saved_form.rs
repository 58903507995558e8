//! The saved form of a call, as committed octets: what an earlier version has left in a store is taken
//! up by every later one.
//!
//! Where the form grows (a field with a default) the golden file stays, and must still be read. A new
//! version of the form gets a file of its own beside it:
//!
//!   UPDATE_GOLDEN=1 cargo test -p holdfast-recording --test recorder saved_form

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::peer::{Ask, Src, invite, metadata, offer};
use crate::world::World;

const GOLDEN: &[u8] = include_bytes!("../golden/saved_call_v1.json");

/// A call with a bit of everything: a session timer, a pause, metadata, an answer for copies.
fn saved() -> (World, Src) {
    let mut world = World::keeping();
    let ask = invite()
        .header("Session-Expires: 1800")
        .header("Supported: timer");
    let mut src = world.call_with("golden", &ask);
    let paused = Ask::new("INVITE").sdp(&offer("inactive"));
    world.answer(&mut src, &paused.metadata(&metadata()));
    world.ack(&src);
    (world, src)
}

#[test]
fn the_form_of_version_1_is_taken_up_and_its_dialog_goes_on() {
    let (mut world, mut src) = saved();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/saved_call_v1.json");
        let json = serde_json::to_vec_pretty(&world.store.state()).unwrap();
        std::fs::write(path, json).unwrap();
    }
    let id = *world.store.states.keys().next().unwrap();
    let golden: Value = serde_json::from_slice(GOLDEN).unwrap();
    assert_eq!(golden["version"], 1);
    assert_eq!(golden["id"], id.to_string());
    world.store.states.insert(id, GOLDEN.to_vec());
    world.restart(std::time::Duration::from_secs(1));
    assert_eq!(world.held().call().sip.call_id, "golden");
    assert_eq!(world.held().call().participants.len(), 2);
    let resumed = Ask::new("INVITE").sdp(&offer("sendonly"));
    let ok = world.answer_among(&mut src, &resumed);
    assert_eq!(ok.status(), 200);
    assert_eq!(ok.directions(), ["recvonly", "recvonly"]);
    world.ack(&src);
    assert_eq!(world.answer_among(&mut src, &Ask::new("BYE")).status(), 200);
    world.published();
}

/// Nothing of it has gone or has another name: only new members may stand beside those.
#[test]
fn nothing_of_the_form_of_version_1_is_missing_now() {
    let (world, _) = saved();
    let golden: Value = serde_json::from_slice(GOLDEN).unwrap();
    let (mut then, mut now) = (BTreeSet::new(), BTreeSet::new());
    collect("", &golden, &mut then);
    collect("", &world.store.state(), &mut now);
    let missing: Vec<_> = then.difference(&now).collect();
    assert!(
        missing.is_empty(),
        "a new version of the form is needed: {missing:?}"
    );
    assert!(then.len() > 60, "{}", then.len());
}

/// The paths of all members.
fn collect(path: &str, value: &Value, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = format!("{path}/{name}");
                paths.insert(path.clone());
                collect(&path, value, paths);
            }
        }
        Value::Array(values) => {
            for value in values {
                collect(&format!("{path}[]"), value, paths);
            }
        }
        _ => {}
    }
}
