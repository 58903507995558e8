//! Peers whose SIP is gone without a word.

use std::time::Duration;

use holdfast_e2e::caller::Caller;
use holdfast_e2e::script::{Ask, Script};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::Talk;
use holdfast_e2e::wait::{PATIENCE, wait_within};
use holdfast_load::invite::Codec;
use holdfast_manifest::EndReason;

/// A minute, which is the shortest timeout there is: of two clients that answer nothing, the one whose
/// packets stopped is given up, and the one that still sends is not.
#[test]
fn a_silent_peer_is_given_up_when_its_media_is_silent_too() {
    let options = Options::new()
        .set("sip", "session_check_interval = \"10 s\"")
        .set("sip", "session_timeout = \"1 min\"");
    let system = System::start(&options);
    let mut caller = Caller::new(&system);
    // The one that sends is there first: it is looked at first too.
    let (mut sends, mut stops) = (Script::new(&system), Script::new(&system));
    let call = sends.place(caller.prepare(Codec::Pcmu));
    let talk = Talk::start(&call);
    let other = stops.place(caller.prepare(Codec::Pcmu));
    Talk::start(&other).finish();

    let timeout = Duration::from_secs(60);
    let found = wait_within(timeout + PATIENCE, || {
        let all = system.all_recordings();
        all.into_iter().map(|one| one.manifest).next()
    });
    let gone = found.expect("one of them is given up");
    assert_eq!(gone.call.sip.call_id, stops.call_id);
    assert_eq!(gone.end_reason, EndReason::SipTimeout);
    let warnings = &gone.call.warnings;
    assert!(
        warnings.iter().any(|one| one.code == "peer_silent"),
        "{warnings:?}"
    );
    // The other one was asked all the while, and when it speaks again all is as it was.
    sends.request("OPTIONS");
    sends.ok(&Ask::new("UPDATE"));
    talk.finish();
    sends.hang_up();
    let published = system.published(&sends.call_id).manifest;
    assert_eq!(published.end_reason, EndReason::Bye);
    assert_eq!(published.part, 1);
}
