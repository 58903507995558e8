//! What vendors add to headers and metadata is kept as sent and told in one form: in the manifest a
//! call is found by what other systems call it.

use holdfast_manifest::Call;

use crate::peer::{Ask, Src, offer};
use crate::world::World;

fn described(headers: &[&str], metadata: &str) -> (World, Call) {
    let mut world = World::new();
    let ask = Ask::new("INVITE").sdp(&offer("sendonly"));
    let ask = headers.iter().fold(ask, |ask, line| ask.header(line));
    let ask = match metadata {
        "" => ask,
        metadata => ask.metadata(metadata),
    };
    world.call_with("vendor", &ask);
    let call = world.held().call();
    (world, call)
}

fn correlations(call: &Call) -> Vec<String> {
    let line = |one: &holdfast_manifest::Correlation| {
        format!(
            "{} {} {} by {}",
            one.vendor, one.kind, one.value, one.source
        )
    };
    call.correlations.iter().map(line).collect()
}

#[test]
fn oracle() {
    let metadata = "<recording xmlns='urn:ietf:params:xml:ns:recording'><session id='s1'>\
        <extensiondata xmlns:apkt='http://acmepacket.com/siprec/extensiondata'>\
        <apkt:ucid>0090D1B06537E860</apkt:ucid><apkt:callerOrig>true</apkt:callerOrig>\
        </extensiondata></session><participant id='p1' session='s1'>\
        <nameID aor='sip:1@example.com'/>\
        <extensiondata xmlns:apkt='http://acmepacket.com/siprec/extensiondata'>\
        <apkt:callingParty>true</apkt:callingParty>\
        <apkt:request-uri>&lt;sip:a@example.com;calluuid=00U2;connid=0c93&gt;</apkt:request-uri>\
        <apkt:realm>core</apkt:realm>\
        <apkt:header label='Call-ID'><value> w-1@192.0.2.9 </value></apkt:header>\
        </extensiondata></participant></recording>";
    let (world, call) = described(&["X-Oracle-UCID: 00144536801698162784"], metadata);
    assert_eq!(
        correlations(&call),
        [
            "oracle ucid 00144536801698162784 by X-Oracle-UCID",
            "oracle call_id w-1@192.0.2.9 by header[Call-ID]/value",
            "genesys call_uuid 00U2 by request-uri",
            "genesys conn_id 0c93 by request-uri",
        ],
        "the hexadecimal UCID of the metadata is the one of the header"
    );
    let [of_session, of_participant] = call.extensions.as_slice() else {
        panic!("{:?}", call.extensions);
    };
    assert_eq!(
        (of_session.of.as_str(), of_session.id.as_deref()),
        ("session", Some("s1"))
    );
    let namespace = of_session.namespace.as_deref();
    assert_eq!(
        namespace,
        Some("http://acmepacket.com/siprec/extensiondata")
    );
    assert_eq!(of_session.values["callerOrig"], ["true"]);
    assert_eq!(of_participant.of, "participant");
    assert_eq!(of_participant.values["realm"], ["core"]);
    assert_eq!(
        of_participant.values["header[Call-ID]/value"],
        ["w-1@192.0.2.9"]
    );
    assert!(
        world
            .held()
            .text("0001.xml")
            .contains("<apkt:realm>core</apkt:realm>")
    );
    let head = world.held().text("0001.sip");
    assert!(
        head.contains("X-Oracle-UCID: 00144536801698162784\r\n"),
        "{head}"
    );
}

#[test]
fn broadworks_ribbon_metaswitch_audiocodes_and_jambonz() {
    let broadworks = "<recording_metadata xmlns='urn:ietf:params:xml:ns:siprec'>\
        <session id='urn:uuid:33333333-3333-3333-3333-333333333333'/>\
        <extensiondata id='x' parent='urn:uuid:33333333-3333-3333-3333-333333333333'>\
        <broadWorksRecordingMetadata xmlns='http://schema.broadsoft.com/broadworksCallRecording' \
        version='4.0'><extTrackingID>9:1</extTrackingID><callID>callhalf-9:0</callID>\
        <callType><origCall><calledPartyNumber>+1</calledPartyNumber></origCall></callType>\
        </broadWorksRecordingMetadata></extensiondata></recording_metadata>";
    let (_, call) = described(&[], broadworks);
    let base = "broadWorksRecordingMetadata";
    assert_eq!(
        correlations(&call),
        [
            format!("broadworks call_id callhalf-9:0 by {base}/callID"),
            format!("broadworks ext_tracking_id 9:1 by {base}/extTrackingID"),
        ]
    );
    let values = &call.extensions[0].values;
    assert_eq!(call.extensions[0].of, "session");
    assert_eq!(values[&format!("{base}@version")], ["4.0"]);
    assert_eq!(
        values[&format!("{base}/callType/origCall/calledPartyNumber")],
        ["+1"]
    );

    for (element, expected) in [
        (
            "<callData xmlns='urn:ietf:params:xml:ns:callData'><gcid>241205267</gcid></callData>",
            "ribbon gcid 241205267 by gcid",
        ),
        (
            "<metswitchRecordingMetadata xmlns='http://www.metaswitch.com/x'><callid>7</callid>\
             </metswitchRecordingMetadata>",
            "metaswitch call_id 7 by callid",
        ),
        (
            "<ac:AvayaUCID xmlns:ac='http://AudioCodes'>00FA0800705D4C5DCAAC41</ac:AvayaUCID>",
            "audiocodes ucid 00112238841573563457 by AvayaUCID",
        ),
        (
            "<extensiondata xmlns:jb='http://jambonz.org/siprec'><jb:callsid>c7</jb:callsid>\
             </extensiondata>",
            "jambonz call_sid c7 by callsid",
        ),
    ] {
        let metadata = format!(
            "<recording xmlns='urn:ietf:params:xml:ns:recording:1'>\
             <group group_id='g1'>{element}</group></recording>"
        );
        let (_, call) = described(&[], &metadata);
        assert_eq!(correlations(&call), [expected], "{element}");
        assert_eq!(
            (call.extensions.len(), call.extensions[0].of.as_str()),
            (1, "group")
        );
    }
}

#[test]
fn avaya_cisco_genesys_and_nice() {
    let avaya = "<recording xmlns='urn:ietf:params:xml:ns:recording:1'>\
        <session session_id='00FA0800705D4C5DCAAC41'><sipSessionID>ab\n ;remote=00</sipSessionID>\
        </session></recording>";
    let (_, call) = described(
        &[
            "User-to-User: 04FA0800705D4C5DCAAC41;encoding=hex",
            "Cisco-Gucid: 00112238841573563457",
            "X-Genesys-CallUUID: 00U2",
            "X-NICE-Call: n1",
        ],
        avaya,
    );
    assert_eq!(
        correlations(&call),
        [
            "cisco gucid 00112238841573563457 by Cisco-Gucid",
            "avaya ucid 00112238841573563457 by User-to-User",
            "genesys calluuid 00U2 by X-Genesys-CallUUID",
            "nice call n1 by X-NICE-Call",
            "sip session_id ab;remote=00 by sipSessionID",
        ]
    );
}

/// CUBE network recording and CUCM send no metadata: what there is stands in headers.
#[test]
fn who_and_what_is_in_a_call_without_metadata() {
    let (_, call) = described(
        &[
            "X-Cisco-Recording-Participant: sip:1001@192.0.2.1;media-index=\"0\"",
            "X-Cisco-Recording-Participant: sip:1002@192.0.2.1;media-index=\"1\"",
            "P-Asserted-Identity: <sip:alice@example.com>",
            "Privacy: id",
        ],
        "",
    );
    assert_eq!(call.sip.headers["X-Cisco-Recording-Participant"].len(), 2);
    assert_eq!(call.correlations.len(), 2);
    assert_eq!(
        call.sip.headers["P-Asserted-Identity"],
        ["<sip:alice@example.com>"]
    );
    assert_eq!(call.sip.headers["Privacy"], ["id"]);
    assert!(call.sip.is_private);
    assert_eq!(call.sip.asserted, [""; 0], "no peer of ours says so");
}

/// What begins and ends a call stands as it was sent in the sidecar, with a body or without.
#[test]
fn the_heads_of_invite_and_bye_are_kept_without_bodies_too() {
    let mut world = World::new();
    let ask = Ask::new("INVITE").header("Cisco-Guid: 1-2-3-4");
    let mut src = Src::new("bare");
    let ok = world.answer(&mut src, &ask);
    src.to_tag = ok.to_tag();
    let answer = Ask::new("ACK").sole_body("application/sdp", &offer("sendonly"));
    world.receive(&src.write(&answer, 1));
    assert!(
        world
            .held()
            .text("0001.sip")
            .contains("\r\nCisco-Guid: 1-2-3-4\r\n")
    );
    world.answer(&mut src, &Ask::new("UPDATE"));
    let bye = Ask::new("BYE").header("X-AC-Action: stop-siprec");
    assert_eq!(world.answer(&mut src, &bye).status(), 200);
    let published = world.published();
    let heads: Vec<_> = published
        .documents
        .keys()
        .filter(|name| name.ends_with(".sip"))
        .collect();
    assert_eq!(
        heads,
        ["0001.sip", "0002.sip"],
        "an empty UPDATE tells nothing"
    );
    assert!(
        published
            .text("0002.sip")
            .contains("\r\nX-AC-Action: stop-siprec\r\n")
    );
}

/// S-90: why the call ended, in the words of whoever ended it.
#[test]
fn the_reason_of_the_bye_is_told() {
    let mut world = World::new();
    let mut src = world.call("reason");
    let bye = Ask::new("BYE").header("Reason: Q.850;cause=16;text=\"Normal\"");
    assert_eq!(world.answer(&mut src, &bye).status(), 200);
    let reasons = &world.published().call().sip.headers["Reason"];
    assert_eq!(reasons, &["Q.850;cause=16;text=\"Normal\""]);
}
