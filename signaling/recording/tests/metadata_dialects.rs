//! One call in every dialect met in the field gives one merged state, and rows M-01 to M-32.

use holdfast_recording::metadata::{
    DataMode, Document, DocumentError, Fault, Flag, Id, IdForm, Limits, State, TimeForm, UtcOffset,
    parse,
};
use holdfast_units::WallTime;

const RFC: &str = "urn:ietf:params:xml:ns:recording:1";
const DRAFT: &str = "urn:ietf:params:xml:ns:recording";

fn read(xml: &str) -> Result<Document, DocumentError> {
    parse(xml.as_bytes(), None, &Limits::default())
}

fn rfc(body: &str) -> Document {
    read(&format!("<recording xmlns='{RFC}'>{body}</recording>")).unwrap()
}

/// What all dialects of one call have in common, as lines of text.
fn summary(document: &Document) -> Vec<String> {
    let mut state = State::new();
    state.apply(document, WallTime(7));
    let mut lines = Vec::new();
    for session in state.sessions() {
        let start = session
            .start
            .as_ref()
            .and_then(|start| start.wall(UtcOffset(0)));
        lines.push(format!(
            "session {} in {:?} from {start:?}",
            session.id, session.group
        ));
    }
    for participant in state.participants() {
        let names: Vec<_> = participant
            .names
            .iter()
            .map(|name| (&name.aor, &name.name))
            .collect();
        lines.push(format!("participant {} {names:?}", participant.id));
        for (session, link) in state.memberships(&participant.id) {
            lines.push(format!("  in {session}: {}", link.history.is_open()));
        }
        for (stream, link) in state.media(&participant.id) {
            let (sends, receives) = (link.sends.is_open(), link.receives.is_open());
            lines.push(format!("  stream {stream}: {sends} {receives}"));
        }
    }
    for stream in state.streams() {
        lines.push(format!(
            "stream {} {:?} {:?}",
            stream.id,
            stream.label,
            stream.session()
        ));
    }
    lines
}

/// The reference: RFC 7865 to the letter.
const STANDARD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<recording xmlns='urn:ietf:params:xml:ns:recording:1'>
  <datamode>complete</datamode>
  <group group_id='R1JPVVAwMDAwMDAwMDAwMQ=='/>
  <session session_id='U0VTU0lPTjAwMDAwMDAwMQ=='>
    <group-ref>R1JPVVAwMDAwMDAwMDAwMQ==</group-ref>
    <start-time>2026-03-04T05:06:07Z</start-time>
  </session>
  <participant participant_id='UEFSVElDSVBBTlQwMDAwMQ=='>
    <nameID aor='sip:alice@example.com'><name xml:lang='en'>Alice</name></nameID>
  </participant>
  <participant participant_id='UEFSVElDSVBBTlQwMDAwMg=='>
    <nameID aor='sip:bob@example.com'/>
  </participant>
  <stream stream_id='U1RSRUFNMDAwMDAwMDAwMQ==' session_id='U0VTU0lPTjAwMDAwMDAwMQ=='>
    <label>1</label>
  </stream>
  <stream stream_id='U1RSRUFNMDAwMDAwMDAwMg==' session_id='U0VTU0lPTjAwMDAwMDAwMQ=='>
    <label>2</label>
  </stream>
  <participantsessionassoc participant_id='UEFSVElDSVBBTlQwMDAwMQ==' session_id='U0VTU0lPTjAwMDAwMDAwMQ=='/>
  <participantsessionassoc participant_id='UEFSVElDSVBBTlQwMDAwMg==' session_id='U0VTU0lPTjAwMDAwMDAwMQ=='/>
  <participantstreamassoc participant_id='UEFSVElDSVBBTlQwMDAwMQ=='>
    <send>U1RSRUFNMDAwMDAwMDAwMQ==</send><recv>U1RSRUFNMDAwMDAwMDAwMg==</recv>
  </participantstreamassoc>
  <participantstreamassoc participant_id='UEFSVElDSVBBTlQwMDAwMg=='>
    <send>U1RSRUFNMDAwMDAwMDAwMg==</send><recv>U1RSRUFNMDAwMDAwMDAwMQ==</recv>
  </participantstreamassoc>
</recording>";

/// Plain ids, references as attributes, associations inside the participant, `extensiondata`.
const NESTED: &str = "<?xml version='1.0' encoding='UTF-8'?>
<recording xmlns='urn:ietf:params:xml:ns:recording'>
  <dataMode>complete</dataMode>
  <group id='R1JPVVAwMDAwMDAwMDAwMQ=='/>
  <session id='U0VTU0lPTjAwMDAwMDAwMQ==' group='R1JPVVAwMDAwMDAwMDAwMQ=='>
    <associate-time>2026-03-04T05:06:07</associate-time>
    <extensiondata xmlns:v='http://vendor.example.com/ext'><v:a>1</v:a></extensiondata>
  </session>
  <participant id='UEFSVElDSVBBTlQwMDAwMQ==' session='U0VTU0lPTjAwMDAwMDAwMQ=='>
    <nameID aor='sip:alice@example.com'><name>Alice</name></nameID>
    <send>U1RSRUFNMDAwMDAwMDAwMQ==</send>
    <recv>U1RSRUFNMDAwMDAwMDAwMg==</recv>
    <associate-time>2026-03-04T05:06:07</associate-time>
  </participant>
  <participant id='UEFSVElDSVBBTlQwMDAwMg==' session='U0VTU0lPTjAwMDAwMDAwMQ=='>
    <nameID aor='sip:bob@example.com'/>
    <send>U1RSRUFNMDAwMDAwMDAwMg==</send>
    <recv>U1RSRUFNMDAwMDAwMDAwMQ==</recv>
  </participant>
  <stream id='U1RSRUFNMDAwMDAwMDAwMQ==' session='U0VTU0lPTjAwMDAwMDAwMQ=='>
    <label>1</label><mode>separate</mode><associate-time>2026-03-04T05:06:07</associate-time>
  </stream>
  <stream id='U1RSRUFNMDAwMDAwMDAwMg==' session='U0VTU0lPTjAwMDAwMDAwMQ=='>
    <label>2</label><mode>separate</mode>
  </stream>
</recording>";

/// `recording_metadata`, addresses as elements, ids inside `send`.
const EARLY: &str = "<recording_metadata xmlns='urn:ietf:params:xml:ns:siprec'>
  <dataMode>complete</dataMode>
  <recording id='urn:uuid:00000000-0000-4000-8000-000000000000'><type>selective</type></recording>
  <group id='R1JPVVAwMDAwMDAwMDAwMQ==' recording='urn:uuid:0'><initiator>x</initiator></group>
  <session id='U0VTU0lPTjAwMDAwMDAwMQ==' group='R1JPVVAwMDAwMDAwMDAwMQ=='>
    <start-time>2026-03-04T07:06:07+02:00</start-time>
  </session>
  <participant id='UEFSVElDSVBBTlQwMDAwMQ==' session='U0VTU0lPTjAwMDAwMDAwMQ=='>
    <aor>sip:alice@example.com</aor><name>Alice</name>
    <send><id>U1RSRUFNMDAwMDAwMDAwMQ==</id></send>
    <recv><id>U1RSRUFNMDAwMDAwMDAwMg==</id></recv>
  </participant>
  <participant id='UEFSVElDSVBBTlQwMDAwMg==' session='U0VTU0lPTjAwMDAwMDAwMQ=='>
    <aor>sip:bob@example.com</aor>
    <send><id>U1RSRUFNMDAwMDAwMDAwMg==</id></send>
    <recv><id>U1RSRUFNMDAwMDAwMDAwMQ==</id></recv>
  </participant>
  <stream id='U1RSRUFNMDAwMDAwMDAwMQ==' session='U0VTU0lPTjAwMDAwMDAwMQ=='><label>1</label></stream>
  <stream id='U1RSRUFNMDAwMDAwMDAwMg==' session='U0VTU0lPTjAwMDAwMDAwMQ=='><label>2</label></stream>
  <extensiondata id='e1' parent='U0VTU0lPTjAwMDAwMDAwMQ=='><v xmlns='http://vendor.example.com'/></extensiondata>
</recording_metadata>";

#[test]
fn one_call_in_every_dialect_gives_one_state() {
    let wanted = summary(&read(STANDARD).unwrap());
    assert_eq!(wanted.len(), 11, "{wanted:#?}");
    let prefixed = STANDARD
        .replace("</", "\u{1}")
        .replace('<', "<r:")
        .replace('\u{1}', "</r:")
        .replace("<r:?xml", "<?xml")
        .replace("xmlns=", "xmlns:r=");
    let shouted: String = STANDARD
        .split('>')
        .map(|piece| match piece.split_once('<') {
            Some((text, tag)) if !tag.starts_with('?') => {
                let end = tag.find([' ', '\n']).unwrap_or(tag.len());
                format!("{text}<{}{}>", tag[..end].to_uppercase(), &tag[end..])
            }
            _ => format!("{piece}>"),
        })
        .collect();
    let shouted = shouted.trim_end_matches('>').to_owned() + ">";
    let bare = STANDARD.replace(" xmlns='urn:ietf:params:xml:ns:recording:1'", "");
    for (dialect, xml) in [
        ("nested", NESTED),
        ("early", EARLY),
        ("prefixed", &prefixed),
        ("upper case", &shouted),
        ("no namespace", &bare),
        ("draft namespace", &STANDARD.replace(RFC, DRAFT)),
        ("CRLF", &STANDARD.replace('\n', "\r\n")),
    ] {
        let document = read(xml).unwrap_or_else(|error| panic!("{dialect}: {error}"));
        assert_eq!(summary(&document), wanted, "{dialect}");
    }
}

#[test]
fn the_standard_raises_no_flag_and_dialects_raise_theirs() {
    assert_eq!(read(STANDARD).unwrap().flags, [].into());
    let nested = [
        Flag::OtherNamespace,
        Flag::ElementSpelling,
        Flag::PlainIds,
        Flag::PlainReferences,
        Flag::NestedAssociations,
        Flag::StreamDetails,
        Flag::SessionAssociateTime,
        Flag::ExtensionData,
        Flag::TimeWithoutZone,
    ];
    assert_eq!(read(NESTED).unwrap().flags, nested.into());
    let early = [
        Flag::OtherNamespace,
        Flag::RecordingMetadataRoot,
        Flag::ElementSpelling,
        Flag::PlainIds,
        Flag::PlainReferences,
        Flag::NestedAssociations,
        Flag::AorElements,
        Flag::ExtensionData,
    ];
    assert_eq!(read(EARLY).unwrap().flags, early.into());
}

#[test]
fn m01_an_unknown_root_is_an_error_that_keeps_what_is_known() {
    let error = read("<call xmlns='urn:x'/>").unwrap_err();
    assert_eq!(
        error.fault,
        Fault::UnknownRoot {
            name: "call".into()
        }
    );
    assert_eq!(error.partial, None);
    let error = read("<call><participant id='p'><aor>sip:a@example.com</aor></participant></call>");
    assert_eq!(
        error
            .unwrap_err()
            .into_partial()
            .unwrap()
            .participants
            .len(),
        1
    );
    let error = read(&format!("<requestsnapshot xmlns='{RFC}'/>")).unwrap_err();
    assert_eq!(
        error.fault,
        Fault::UnknownRoot {
            name: "requestsnapshot".into()
        }
    );
}

#[test]
fn m02_the_charset_parameter_wins_over_the_declaration() {
    let xml = "<?xml version='1.0' encoding='ISO-8859-1'?><recording><participant \
               participant_id='p'><nameID aor='sip:a@example.com'><name>Zoë</name></nameID>\
               </participant></recording>";
    let name = |charset| {
        let document = parse(xml.as_bytes(), charset, &Limits::default()).unwrap();
        document.participants[0].names[0].name.clone().unwrap()
    };
    assert_eq!(name(Some("utf-8")), "Zoë");
    assert_eq!(name(None), "ZoÃ«");
}

#[test]
fn m04_data_mode_in_every_spelling() {
    for (body, mode) in [
        ("", DataMode::Complete),
        ("<datamode>complete</datamode>", DataMode::Complete),
        ("<datamode> partial\n</datamode>", DataMode::Partial),
        ("<dataMode>partial</dataMode>", DataMode::Partial),
        ("<datamode>Partial</datamode>", DataMode::Partial),
        ("<datamode>delta</datamode>", DataMode::Complete),
    ] {
        assert_eq!(rfc(body).data_mode, mode, "{body}");
    }
    assert!(
        rfc("<datamode>delta</datamode>")
            .flags
            .contains(&Flag::UnknownDataMode)
    );
}

#[test]
fn m05_order_does_not_count_and_foreign_elements_stay_verbatim_under_their_parent() {
    let vendor = "<v:x xmlns:v='http://vendor.example.com/1' a='&lt;'>t<v:label>9</v:label></v:x>";
    let body = format!(
        "<stream stream_id='t' colour='red'>{vendor}<label>1</label></stream>\
         <participant participant_id='p'>{vendor}<nameID aor='sip:a@example.com'/></participant>\
         <session session_id='s'>{vendor}</session>\
         <participantstreamassoc participant_id='p'>{vendor}</participantstreamassoc>\
         <participantsessionassoc participant_id='p' session_id='s'>{vendor}</participantsessionassoc>\
         <sessionrecordingassoc session_id='s'>{vendor}</sessionrecordingassoc>\
         <group group_id='g'>{vendor}</group>{vendor}<datamode>partial</datamode>"
    );
    let document = rfc(&body);
    assert_eq!(document.data_mode, DataMode::Partial);
    assert_eq!(document.streams[0].label.as_deref(), Some("1"));
    for extensions in [
        &document.streams[0].extensions,
        &document.participants[0].extensions,
        &document.sessions[0].extensions,
        &document.participant_streams[0].extensions,
        &document.participant_sessions[0].extensions,
        &document.session_recordings[0].extensions,
        &document.groups[0].extensions,
        &document.extensions,
    ] {
        assert_eq!(extensions.len(), 1);
        assert_eq!(extensions[0].xml, vendor);
        assert_eq!(extensions[0].name, "x");
        assert_eq!(
            extensions[0].namespace.as_deref(),
            Some("http://vendor.example.com/1")
        );
    }
}

#[test]
fn m05_a_foreign_element_with_a_known_name_stays_foreign() {
    let document = rfc(
        "<stream stream_id='t' xmlns:v='urn:v'><v:label>9</v:label><label>1</label></stream>\
         <session xmlns='urn:v' session_id='x'/>",
    );
    assert_eq!(document.streams[0].label.as_deref(), Some("1"));
    assert_eq!(
        document.streams[0].extensions[0].xml,
        "<v:label>9</v:label>"
    );
    assert!(document.sessions.is_empty());
    assert_eq!(document.extensions.len(), 1);
}

#[test]
fn elements_in_the_roots_own_namespace_are_known_whatever_it_is() {
    let xml = "<recording xmlns='urn:some:namespace' xmlns:r='urn:ietf:params:xml:ns:recording:1'>\
               <stream stream_id='t'><label>1</label></stream><r:stream stream_id='u'/></recording>";
    let document = read(xml).unwrap();
    assert_eq!(document.streams.len(), 2);
    assert_eq!(document.streams[0].label.as_deref(), Some("1"));
    assert!(document.flags.contains(&Flag::OtherNamespace));
}

#[test]
fn m06_an_empty_recording_is_a_document() {
    for xml in [
        "<recording/>",
        "<recording></recording>",
        "\r\n <recording/> \r\n",
    ] {
        let document = read(xml).unwrap();
        assert!(document.is_whole_picture());
        assert!(document.sessions.is_empty() && document.extensions.is_empty());
    }
    assert_eq!(read("").unwrap_err().fault, Fault::Empty);
    assert_eq!(read("nothing").unwrap_err().fault, Fault::Empty);
}

#[test]
fn m20_m21_ids_are_compared_by_their_octets_and_others_are_flagged() {
    let document = rfc("<group group_id='R1JPVVAwMDAwMDAwMDAwMQ=='/>\
         <session session_id='U0VTU0lPTjAwMDAwMDAwMQ=='>\
         <group-ref>R1JPVVAw\n  MDAwMDAwMDAwMQ==\n</group-ref></session>");
    assert_eq!(
        document.sessions[0].group.as_ref(),
        Some(&document.groups[0].id)
    );
    assert!(!document.flags.contains(&Flag::OpaqueId));
    for id in [
        "urn:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "4711",
        "+15550100",
    ] {
        let document = rfc(&format!("<session session_id='{id}'/>"));
        assert_eq!(document.sessions[0].id, Id::read(id).unwrap());
        assert!(document.flags.contains(&Flag::OpaqueId));
    }
}

#[test]
fn objects_without_an_id_are_kept_and_told_apart() {
    let document = rfc(
        "<stream stream_id=''><label>10</label></stream><stream><label>20</label></stream>\
         <participant participant_id=''><nameID aor='sip:a@example.com'/></participant>\
         <participant><nameID aor=''/></participant><participant/>\
         <participantstreamassoc participant_id='p'><send/><recv> </recv></participantstreamassoc>\
         <participantsessionassoc/>",
    );
    assert_eq!(document.streams.len(), 2);
    assert_eq!(document.participants.len(), 3);
    assert!(
        document
            .streams
            .iter()
            .all(|stream| stream.id.form() == IdForm::Made)
    );
    assert!(document.flags.contains(&Flag::MissingId));
    assert!(document.flags.contains(&Flag::EmptyReference));
    assert!(document.flags.contains(&Flag::NamelessParticipant));
    assert_eq!(document.participant_streams[0].sends, []);
    assert_eq!(document.participant_sessions, []);
}

#[test]
fn m22_the_first_of_two_elements_with_one_id_stays() {
    let document = rfc(
        "<participant participant_id='p'><nameID aor='sip:a@example.com'/></participant>\
         <participant participant_id='p'><nameID aor='sip:b@example.com'/></participant>",
    );
    assert_eq!(document.participants.len(), 1);
    assert_eq!(document.participants[0].names[0].aor, "sip:a@example.com");
    assert!(document.flags.contains(&Flag::RepeatedId));
}

#[test]
fn a_participant_repeated_for_each_session_is_in_all_of_them() {
    let document = rfc(
        "<participant id='p' session='s1'><aor>sip:a@example.com</aor><send>t1</send></participant>\
         <participant id='p' session='s2'><aor>sip:a@example.com</aor><send>t2</send></participant>",
    );
    let mut state = State::new();
    state.apply(&document, WallTime(1));
    let id = Id::read("p").unwrap();
    assert_eq!(
        state
            .memberships(&id)
            .filter(|(_, link)| link.history.is_open())
            .count(),
        2
    );
    assert_eq!(
        state
            .media(&id)
            .filter(|(_, link)| link.sends.is_open())
            .count(),
        2
    );
}

#[test]
fn objects_nested_into_each_other_are_found() {
    let document = rfc(
        "<recording id='r'><group id='g'><session id='s'><participant id='p'>\
         <nameID><aor>sip:a@example.com</aor></nameID></participant><stream id='t'/></session>\
         </group></recording>",
    );
    assert_eq!(document.recording_id, Id::read("r"));
    assert_eq!(document.sessions[0].group, Id::read("g"));
    assert_eq!(document.streams[0].session, Id::read("s"));
    assert_eq!(
        document.participant_sessions[0].session,
        Id::read("s").unwrap()
    );
    assert_eq!(document.participants[0].names[0].aor, "sip:a@example.com");
    assert!(document.flags.contains(&Flag::NestedObjects));
}

#[test]
fn m26_a_folded_session_id_is_one_line() {
    let document = rfc(
        "<session session_id='s'><sipSessionID>ab30317f1a784dc48ff824d0d3715d86\n   \
         ;remote=47755a9de7794ba387653f2099600ef2</sipSessionID><sipSessionID>x</sipSessionID>\
         </session>",
    );
    let wanted = "ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2";
    assert_eq!(document.sessions[0].sip_session_ids, [wanted, "x"]);
}

#[test]
fn m30_times_keep_their_text_and_tell_their_form() {
    for (text, form, flag) in [
        ("2026-01-02T03:04:05Z", TimeForm::Rfc3339, None),
        ("2026-01-02T03:04:05.123+02:00", TimeForm::Rfc3339, None),
        (
            "2026-01-02T03:04:05",
            TimeForm::NoZone,
            Some(Flag::TimeWithoutZone),
        ),
        (
            "2026-01-02T03:04:05+0300",
            TimeForm::Loose,
            Some(Flag::LooseTime),
        ),
        (
            "yesterday",
            TimeForm::Unreadable,
            Some(Flag::UnreadableTime),
        ),
    ] {
        let body = format!("<session session_id='s'><start-time> {text}\n</start-time></session>");
        let document = rfc(&body);
        let start = document.sessions[0].start.clone().unwrap();
        assert_eq!((start.text(), start.form()), (text, form));
        let mut flags = document.flags;
        flags.remove(&Flag::OpaqueId);
        assert_eq!(flags, flag.into_iter().collect(), "{text}");
    }
}

#[test]
fn m51_reasons_of_several_protocols_keep_their_cause() {
    let document = rfc(
        "<session session_id='s'><reason cause='200'>Call completed elsewhere</reason>\
         <reason protocol='Q.850' cause=' 16 '/><reason cause='many'>?</reason></session>",
    );
    let reasons: Vec<_> = document.sessions[0]
        .reasons
        .iter()
        .map(|reason| (reason.protocol.as_str(), reason.cause, reason.text.as_str()))
        .collect();
    let wanted = [
        ("SIP", Some(200), "Call completed elsewhere"),
        ("Q.850", Some(16), ""),
        ("SIP", None, "?"),
    ];
    assert_eq!(reasons, wanted);
}
