//! Rows M-40 to M-54: how documents change the state.

use holdfast_recording::metadata::{
    Change, EndCause, Id, Interval, Kind, Limits, SnapshotNeed, State, parse,
};
use holdfast_units::WallTime;

/// A state and the number of the document applied last, which is also its arrival.
#[derive(Default)]
struct Call {
    state: State,
    arrival: u64,
}

impl Call {
    fn new() -> Self {
        Self::default()
    }

    fn complete(&mut self, body: &str) -> Vec<Change> {
        self.apply("complete", body)
    }

    fn partial(&mut self, body: &str) -> Vec<Change> {
        self.apply("partial", body)
    }

    fn apply(&mut self, mode: &str, body: &str) -> Vec<Change> {
        self.arrival += 1;
        let xml = format!(
            "<recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>{mode}</datamode>\
             {body}</recording>"
        );
        let document = parse(xml.as_bytes(), None, &Limits::default()).unwrap();
        self.state.apply(&document, WallTime(self.arrival))
    }

    /// Intervals of a participant in a session as text: `from-to(cause)`.
    fn member(&self, participant: &str, session: &str) -> Vec<String> {
        let (participant, session) = (id(participant), id(session));
        let mut links = self.state.memberships(&participant);
        links
            .find(|(of, _)| **of == session)
            .map(|(_, link)| link.history.intervals().iter().map(text).collect())
            .unwrap_or_default()
    }

    fn sends(&self, participant: &str, stream: &str) -> Vec<String> {
        let participant = id(participant);
        let senders = self.state.senders(&id(stream));
        senders
            .into_iter()
            .find(|(of, _)| **of == participant)
            .map(|(_, history)| history.intervals().iter().map(text).collect())
            .unwrap_or_default()
    }
}

fn id(text: &str) -> Id {
    Id::read(text).unwrap()
}

/// The client's time where there is one (its seconds), else `@` and the arrival.
fn text(interval: &Interval) -> String {
    let moment = |moment: &holdfast_recording::metadata::Moment| match &moment.source {
        Some(source) => source.text()[17..19].to_owned(),
        None => format!("@{}", moment.arrival.0),
    };
    let from = interval.from.as_ref().map_or("?".to_owned(), moment);
    match &interval.to {
        None => format!("{from}-"),
        Some(end) => format!("{from}-{} {:?}", moment(&end.moment), end.cause),
    }
}

fn at(second: u32) -> String {
    format!("2026-01-02T03:04:{second:02}Z")
}

fn person(id: &str) -> String {
    format!("<participant participant_id='{id}'><nameID aor='sip:{id}@example.com'/></participant>")
}

fn member(participant: &str, from: Option<u32>, to: Option<u32>) -> String {
    let times = times(from, to);
    format!(
        "<participantsessionassoc participant_id='{participant}' session_id='s'>{times}\
         </participantsessionassoc>"
    )
}

fn times(from: Option<u32>, to: Option<u32>) -> String {
    let from = from.map(|from| format!("<associate-time>{}</associate-time>", at(from)));
    let to = to.map(|to| format!("<disassociate-time>{}</disassociate-time>", at(to)));
    from.unwrap_or_default() + &to.unwrap_or_default()
}

fn media(participant: &str, sends: &[&str], receives: &[&str], times: &str) -> String {
    let send: String = sends
        .iter()
        .map(|id| format!("<send>{id}</send>"))
        .collect();
    let recv: String = receives
        .iter()
        .map(|id| format!("<recv>{id}</recv>"))
        .collect();
    format!(
        "<participantstreamassoc participant_id='{participant}'>{send}{recv}{times}\
         </participantstreamassoc>"
    )
}

const SESSION: &str = "<session session_id='s'/>";
const STREAMS: &str = "<stream stream_id='t1' session_id='s'><label>1</label></stream>\
                       <stream stream_id='t2' session_id='s'><label>2</label></stream>";

#[test]
fn m40_a_complete_document_closes_what_it_leaves_out_and_keeps_it() {
    let mut call = Call::new();
    call.complete(
        &(SESSION.to_owned() + &person("a") + &person("b") + &member("b", Some(1), None)),
    );
    let changes = call.complete(&(SESSION.to_owned() + &person("a")));
    let closed = Change::Closed {
        kind: Kind::Participant,
        id: id("b"),
        cause: EndCause::Omitted,
    };
    let left = Change::Left {
        participant: id("b"),
        session: id("s"),
        cause: EndCause::Omitted,
    };
    assert_eq!(changes, [closed, left]);
    let b = call.state.participant(&id("b")).unwrap();
    assert_eq!(b.names[0].aor, "sip:b@example.com");
    assert_eq!(
        b.presence.intervals().iter().map(text).collect::<Vec<_>>(),
        ["@1-@2 Omitted"]
    );
    assert_eq!(call.member("b", "s"), ["01-@2 Omitted"]);
    // Back again: a second interval, the first stays.
    call.complete(&(SESSION.to_owned() + &person("b") + &member("b", Some(1), None)));
    assert_eq!(call.member("b", "s"), ["01-@2 Omitted", "01-"]);
    assert_eq!(call.state.participants().len(), 2);
}

#[test]
fn m40_the_same_complete_document_again_changes_nothing() {
    let body = SESSION.to_owned()
        + STREAMS
        + &person("a")
        + &member("a", Some(1), None)
        + &media("a", &["t1"], &["t2"], &times(Some(1), None));
    let mut call = Call::new();
    call.complete(&body);
    let before = call.state.clone();
    assert_eq!(call.complete(&body), []);
    assert_eq!(call.state, before);
}

#[test]
fn m41_a_partial_document_deletes_nothing_by_omission() {
    let mut call = Call::new();
    call.complete(&(SESSION.to_owned() + STREAMS + &person("a") + &person("b")));
    let changes = call.partial(&person("c"));
    assert_eq!(
        changes,
        [Change::Appeared {
            kind: Kind::Participant,
            id: id("c")
        }]
    );
    assert!(
        call.state
            .participants()
            .iter()
            .all(|one| one.presence.is_open())
    );
    assert!(
        call.state
            .streams()
            .iter()
            .all(|one| one.presence.is_open())
    );
}

#[test]
fn m42_a_partial_document_before_any_complete_one_is_applied_and_asks_for_a_snapshot() {
    let mut call = Call::new();
    let changes = call.partial(&person("a"));
    assert_eq!(changes[0], Change::PartialBeforeComplete);
    assert_eq!(call.state.participants().len(), 1);
    assert_eq!(call.state.snapshot_needs(), [SnapshotNeed::NoBase]);
    // M-53: the snapshot settles it.
    call.complete(SESSION);
    assert_eq!(call.state.snapshot_needs(), []);
    assert!(
        !call
            .partial(&person("a"))
            .contains(&Change::PartialBeforeComplete)
    );
}

#[test]
fn m24_ids_that_nothing_defines_ask_for_a_snapshot_until_they_are_defined() {
    let mut call = Call::new();
    call.complete(&(SESSION.to_owned() + &media("ghost", &["gone"], &[], "")));
    assert_eq!(
        call.state.snapshot_needs(),
        [],
        "a complete document would say it again"
    );
    call.partial(&(media("x", &["t9"], &[], "") + &member("x", None, None)));
    let need = |kind, text| SnapshotNeed::Undefined { kind, id: id(text) };
    let needs = [need(Kind::Participant, "x"), need(Kind::Stream, "t9")];
    assert_eq!(call.state.snapshot_needs(), needs);
    assert_eq!(call.sends("x", "t9"), ["@2-"], "kept all the same");
    call.partial(&(person("x") + "<stream stream_id='t9'/>"));
    assert_eq!(call.state.snapshot_needs(), []);
}

#[test]
fn m43_single_values_not_stated_keep_theirs() {
    let mut call = Call::new();
    call.complete(
        "<session session_id='s'><sipSessionID>x</sipSessionID><group-ref>g</group-ref>\
         <start-time>2026-01-02T03:04:01Z</start-time></session><group group_id='g'/>",
    );
    call.partial("<session session_id='s'><stop-time>2026-01-02T03:04:09Z</stop-time></session>");
    let session = call.state.session(&id("s")).unwrap();
    assert_eq!(session.group, Some(id("g")));
    assert_eq!(session.sip_session_ids, ["x"]);
    assert_eq!(session.start.as_ref().unwrap().text(), at(1));
    assert_eq!(session.stop.as_ref().unwrap().text(), at(9));
    call.partial("<stream stream_id='t1'><label>1</label></stream>");
    call.partial("<stream stream_id='t1' session_id='s'/>");
    assert_eq!(
        call.state.stream(&id("t1")).unwrap().label.as_deref(),
        Some("1")
    );
    // A complete document that no longer states them takes them back.
    call.complete(SESSION);
    let session = call.state.session(&id("s")).unwrap();
    assert_eq!(
        (&session.group, &session.start, &session.stop),
        (&None, &None, &None)
    );
}

#[test]
fn m44_lists_that_are_stated_replace_the_whole_list() {
    let mut call = Call::new();
    let ids = |ids: &[&str]| -> String {
        ids.iter()
            .map(|id| format!("<sipSessionID>{id}</sipSessionID>"))
            .collect()
    };
    let session = |inner: &str| format!("<session session_id='s'>{inner}</session>");
    let names = |names: &[&str]| -> String {
        let names: String = names
            .iter()
            .map(|aor| format!("<nameID aor='{aor}'/>"))
            .collect();
        format!("<participant participant_id='a'>{names}</participant>")
    };
    let params = |inner: &str| {
        format!(
            "<participantsessionassoc participant_id='a' session_id='s'>{inner}\
             </participantsessionassoc>"
        )
    };
    let focus = "<param pname='isfocus' pval='true'/><param pname='video' pval='no'/>";
    call.complete(
        &(session(&ids(&["1", "2", "3"])) + &names(&["tel:1", "tel:2"]) + &params(focus)),
    );
    call.partial(&(session(&ids(&["4", "5"])) + &names(&["tel:3"]) + &params("")));
    let of = |call: &Call| {
        let ids = call
            .state
            .session(&id("s"))
            .unwrap()
            .sip_session_ids
            .clone();
        let a = id("a");
        let names = call.state.participant(&a).unwrap().names.clone();
        let names: Vec<String> = names.into_iter().map(|name| name.aor).collect();
        let params = call.state.memberships(&a).next().unwrap().1.params.len();
        (ids, names, params)
    };
    assert_eq!(
        of(&call),
        (vec!["4".into(), "5".into()], vec!["tel:3".into()], 2)
    );
    call.partial(&params("<param pname='isfocus' pval='false'/>"));
    call.partial(&session(""));
    assert_eq!(
        of(&call),
        (vec!["4".into(), "5".into()], vec!["tel:3".into()], 1)
    );
}

#[test]
fn m45_a_media_association_is_the_whole_new_picture() {
    let mut call = Call::new();
    call.complete(
        &(SESSION.to_owned() + STREAMS + &person("a") + &media("a", &["t1"], &["t2"], "")),
    );
    // Hold, as RFC 8068 §3.2.2 shows it: Alice receives only.
    let changes = call.partial(&media("a", &[], &["t2"], ""));
    let ended = Change::SendingEnded {
        participant: id("a"),
        stream: id("t1"),
        cause: EndCause::Stated,
    };
    assert_eq!(changes, [ended]);
    call.partial(&media("a", &["t1"], &["t2"], &times(Some(5), None)));
    assert_eq!(call.sends("a", "t1"), ["@1-@2 Stated", "05-"]);
    // Neither.
    call.partial(&media("a", &[], &[], ""));
    let a = id("a");
    assert!(
        call.state
            .media(&a)
            .all(|(_, link)| !link.sends.is_open() && !link.receives.is_open())
    );
    assert_eq!(call.sends("a", "t1"), ["@1-@2 Stated", "05-@4 Stated"]);
    // The others are not touched by it, and a partial without one touches nobody.
    call.partial(&(person("b") + &media("b", &["t2"], &[], "")));
    call.partial(&person("a"));
    assert_eq!(call.sends("b", "t2"), ["@5-"]);
}

#[test]
fn m45_a_picture_repeated_with_an_old_time_resumes_at_its_arrival() {
    let mut call = Call::new();
    let talk = media("a", &["t1"], &[], &times(Some(1), None));
    call.complete(&(SESSION.to_owned() + STREAMS + &person("a") + &talk));
    call.partial(&media("a", &[], &[], ""));
    call.partial(&talk);
    assert_eq!(call.sends("a", "t1"), ["01-@2 Stated", "@3-"]);
}

/// Seconds of associate-time and disassociate-time.
type Times = (Option<u32>, Option<u32>);

/// Each case: the associations received one after the other, and the intervals they make.
const INTERVALS: &[(&str, &[Times], &[&str])] = &[
    ("joined", &[(Some(1), None)], &["01-"]),
    ("joined without a time", &[(None, None)], &["@2-"]),
    (
        "the same twice",
        &[(Some(1), None), (Some(1), None)],
        &["01-"],
    ),
    (
        "the time comes late",
        &[(None, None), (Some(1), None)],
        &["01-"],
    ),
    (
        "a corrected time",
        &[(Some(1), None), (Some(2), None)],
        &["02-"],
    ),
    (
        "left",
        &[(Some(1), None), (None, Some(5))],
        &["01-05 Stated"],
    ),
    (
        "left twice",
        &[(Some(1), None), (None, Some(5)), (None, Some(5))],
        &["01-05 Stated"],
    ),
    ("both at once", &[(Some(1), Some(5))], &["01-05 Stated"]),
    (
        "both at once, later",
        &[(Some(1), None), (Some(1), Some(5))],
        &["01-05 Stated"],
    ),
    (
        "both, repeated",
        &[(Some(1), Some(5)), (Some(1), Some(5))],
        &["01-05 Stated"],
    ),
    (
        "a corrected end",
        &[(Some(1), Some(5)), (Some(1), Some(6))],
        &["01-06 Stated"],
    ),
    (
        "came back",
        &[(Some(1), Some(5)), (Some(8), None)],
        &["01-05 Stated", "08-"],
    ),
    (
        "came back, in one element",
        &[(Some(1), None), (Some(8), Some(5)), (Some(8), Some(5))],
        &["01-05 Stated", "08-"],
    ),
    (
        "the old association again",
        &[(Some(1), Some(5)), (Some(1), None)],
        &["01-05 Stated"],
    ),
    (
        "named again without times",
        &[(Some(1), Some(5)), (None, None)],
        &["01-05 Stated"],
    ),
    (
        "an earlier interval comes late",
        &[(Some(8), None), (Some(1), Some(5))],
        &["01-05 Stated", "08-"],
    ),
    (
        "left without having joined",
        &[(None, Some(5))],
        &["?-05 Stated"],
    ),
    (
        "left once more",
        &[(Some(1), Some(5)), (None, Some(7))],
        &["01-05 Stated", "?-07 Stated"],
    ),
];

#[test]
fn m46_associations_are_intervals() {
    for (name, steps, wanted) in INTERVALS {
        let mut call = Call::new();
        call.complete(&(SESSION.to_owned() + &person("a")));
        for (from, to) in *steps {
            call.partial(&member("a", *from, *to));
        }
        assert_eq!(call.member("a", "s"), *wanted, "{name}");
    }
}

#[test]
fn m46_an_end_without_a_beginning_is_flagged() {
    let mut call = Call::new();
    call.complete(&(SESSION.to_owned() + &person("a")));
    let changes = call.partial(&member("a", None, Some(5)));
    let stray = Change::StrayDisassociation {
        participant: id("a"),
        session: id("s"),
    };
    assert_eq!(changes, [stray]);
}

#[test]
fn m47_a_stop_time_ends_everything_in_the_session() {
    let mut call = Call::new();
    let other = "<session session_id='other'/><stream stream_id='t3' session_id='other'/>";
    let body = SESSION.to_owned()
        + STREAMS
        + other
        + &person("a")
        + &person("b")
        + &member("a", Some(1), None)
        + &member("b", Some(2), None)
        + &media("a", &["t1", "t3"], &[], "");
    call.complete(&body);
    // RFC 8068 §3.2.3: no disassociation is stated for a; b's is.
    let stop = "<session session_id='s'><stop-time>2026-01-02T03:04:09Z</stop-time></session>";
    let changes = call.partial(&(stop.to_owned() + &member("b", None, Some(7))));
    assert_eq!(call.member("a", "s"), ["01-09 SessionStopped"]);
    assert_eq!(call.member("b", "s"), ["02-07 Stated"]);
    assert_eq!(call.sends("a", "t1"), ["@1-09 SessionStopped"]);
    assert_eq!(call.sends("a", "t3"), ["@1-"], "of another session");
    let cause = EndCause::SessionStopped;
    assert!(changes.contains(&Change::Closed {
        kind: Kind::Session,
        id: id("s"),
        cause
    }));
    // The whole state with the stop time in it, twice: nothing reopens.
    let whole = stop.to_owned() + body.strip_prefix(SESSION).unwrap();
    for _ in 0..2 {
        assert_eq!(call.complete(&whole), []);
    }
    assert_eq!(call.member("a", "s"), ["01-09 SessionStopped"]);
    assert_eq!(call.sends("a", "t1"), ["@1-09 SessionStopped"]);
    // What was inferred gives way to what is stated later.
    call.partial(&member("a", None, Some(8)));
    assert_eq!(call.member("a", "s"), ["01-08 Stated"]);
}

#[test]
fn m47_the_end_of_the_recording_session_ends_what_is_open() {
    let mut call = Call::new();
    call.complete(
        &(SESSION.to_owned()
            + STREAMS
            + &person("a")
            + &member("a", Some(1), None)
            + &media("a", &["t1"], &["t2"], "")),
    );
    let changes = call.state.close(WallTime(50));
    // A session, a participant, two streams, a membership, a sending and a receiving.
    assert_eq!(changes.len(), 7);
    assert_eq!(call.member("a", "s"), ["01-@50 RecordingEnded"]);
    assert_eq!(call.sends("a", "t1"), ["@1-@50 RecordingEnded"]);
    assert_eq!(call.state.close(WallTime(60)), []);
}

#[test]
fn m48_speakers_of_one_stream_follow_the_intervals() {
    let mut call = Call::new();
    call.complete(
        &(SESSION.to_owned()
            + STREAMS
            + &person("alice")
            + &media("alice", &["t1"], &[], &times(Some(1), None))),
    );
    call.partial(
        &(person("carol")
            + &media("carol", &["t1"], &[], &times(Some(20), None))
            + &media("alice", &[], &[], &times(None, Some(20)))),
    );
    let t1 = id("t1");
    let senders: Vec<(String, Vec<String>)> = call
        .state
        .senders(&t1)
        .into_iter()
        .map(|(who, when)| (who.to_string(), when.intervals().iter().map(text).collect()))
        .collect();
    let wanted = [
        ("alice".to_owned(), vec!["01-20 Stated".to_owned()]),
        ("carol".to_owned(), vec!["20-".to_owned()]),
    ];
    assert_eq!(senders, wanted);
}

#[test]
fn m49_a_mixed_stream_has_several_senders_who_also_receive_it() {
    let mut call = Call::new();
    call.complete(
        &(SESSION.to_owned()
            + STREAMS
            + &person("a")
            + &person("b")
            + &media("b", &["t1"], &["t1"], "")
            + &media("a", &["t1"], &["t1"], "")),
    );
    let t1 = id("t1");
    let senders: Vec<_> = call
        .state
        .senders(&t1)
        .into_iter()
        .map(|(who, _)| who)
        .collect();
    assert_eq!(
        senders,
        [&id("a"), &id("b")],
        "in the order of the participants"
    );
    let a = id("a");
    assert!(
        call.state
            .media(&a)
            .all(|(_, link)| link.receives.is_open())
    );
}

#[test]
fn m50_a_stream_gets_its_session_late_and_moves() {
    let mut call = Call::new();
    call.complete("<stream stream_id='t1'/>");
    assert_eq!(call.state.stream(&id("t1")).unwrap().session(), None);
    call.partial("<session session_id='s'/><stream stream_id='t1' session_id='s'/>");
    call.partial("<stream stream_id='t1'/>");
    let changes = call.partial("<session session_id='z'/><stream stream_id='t1' session_id='z'/>");
    assert!(changes.contains(&Change::Updated {
        kind: Kind::Stream,
        id: id("t1")
    }));
    let stream = call.state.stream(&id("t1")).unwrap();
    assert_eq!(
        stream.sessions,
        [(id("s"), WallTime(2)), (id("z"), WallTime(4))]
    );
}

#[test]
fn m22_an_id_keeps_its_first_meaning() {
    let mut call = Call::new();
    call.complete(&(SESSION.to_owned() + STREAMS + &person("a")));
    let changes = call.partial(&(person("t1") + &media("s", &["t2"], &[], "")));
    let conflict = |text, bound| Change::IdConflict {
        id: id(text),
        bound,
        ignored: Kind::Participant,
    };
    assert_eq!(
        changes,
        [conflict("t1", Kind::Stream), conflict("s", Kind::Session)]
    );
    assert!(call.state.participant(&id("t1")).is_none());
    assert_eq!(
        call.state.stream(&id("t1")).unwrap().label.as_deref(),
        Some("1")
    );
}

#[test]
fn m32_the_clients_clock_and_the_arrival_are_both_kept() {
    let mut call = Call::new();
    call.complete(&(SESSION.to_owned() + &person("a") + &member("a", Some(1), None)));
    call.partial(&member("a", None, Some(2)));
    let a = id("a");
    let (_, link) = call.state.memberships(&a).next().unwrap();
    let interval = &link.history.intervals()[0];
    let from = interval.from.as_ref().unwrap();
    let to = &interval.to.as_ref().unwrap().moment;
    assert_eq!(
        (from.source.as_ref().unwrap().text(), from.arrival),
        (&*at(1), WallTime(1))
    );
    assert_eq!(
        (to.source.as_ref().unwrap().text(), to.arrival),
        (&*at(2), WallTime(2))
    );
}

#[test]
fn extensions_follow_their_object_and_are_replaced_by_name() {
    let mut call = Call::new();
    let data = |text: &str| {
        format!("<extensiondata parent='s'><v xmlns='urn:v'>{text}</v></extensiondata>")
    };
    let other = "<w xmlns='urn:v'/>";
    call.complete(&format!(
        "<session session_id='s'>{other}</session>{}{other}",
        data("1")
    ));
    let of = |call: &Call| -> Vec<String> {
        let session = call.state.session(&id("s")).unwrap();
        session
            .extensions
            .iter()
            .map(|one| one.xml.clone())
            .collect()
    };
    assert_eq!(of(&call), [other.to_owned(), data("1")]);
    assert_eq!(call.state.extensions().len(), 1);
    call.partial(&data("2"));
    assert_eq!(of(&call), [other.to_owned(), data("2")]);
    call.complete(&(SESSION.to_owned() + &data("3")));
    assert_eq!(of(&call), [data("3")]);
    assert_eq!(call.state.extensions().len(), 0);
}

#[test]
fn a_document_that_breaks_off_closes_nothing() {
    let mut call = Call::new();
    call.complete(&(SESSION.to_owned() + STREAMS + &person("a") + &person("b")));
    let cut = format!(
        "<recording><datamode>complete</datamode>{SESSION}{}",
        person("c")
    );
    let error = parse(cut.as_bytes(), None, &Limits::default()).unwrap_err();
    let changes = call
        .state
        .apply(&error.into_partial().unwrap(), WallTime(2));
    assert_eq!(
        changes,
        [Change::Appeared {
            kind: Kind::Participant,
            id: id("c")
        }]
    );
}

#[test]
fn labels_find_their_stream_and_prefer_what_is_there_now() {
    let mut call = Call::new();
    call.complete("<stream stream_id='old'><label>1</label></stream>");
    call.complete("<stream stream_id='new'><label>1</label></stream>");
    let found: Vec<_> = call
        .state
        .streams_with_label("1")
        .map(|one| one.id.to_string())
        .collect();
    assert_eq!(found, ["new", "old"]);
    assert_eq!(
        call.state.streams_with_label("01").count(),
        0,
        "compared exactly"
    );
}

#[test]
fn group_times_and_session_recordings_are_intervals_too() {
    let mut call = Call::new();
    let group = |times: &str| format!("<group group_id='g'>{times}</group>");
    let recording = |times: &str| {
        format!("<sessionrecordingassoc session_id='s'>{times}</sessionrecordingassoc>")
    };
    call.complete(&(group(&times(Some(1), None)) + SESSION + &recording(&times(Some(2), None))));
    call.partial(&(group(&times(None, Some(8))) + &recording(&times(None, Some(9)))));
    let group = call.state.groups()[0].association.intervals();
    assert_eq!(group.iter().map(text).collect::<Vec<_>>(), ["01-08 Stated"]);
    let recording = call
        .state
        .recording_of(&id("s"))
        .unwrap()
        .history
        .intervals();
    assert_eq!(
        recording.iter().map(text).collect::<Vec<_>>(),
        ["02-09 Stated"]
    );
}

#[test]
fn a_session_recording_left_out_of_a_complete_document_is_over() {
    let mut call = Call::new();
    call.complete(&(SESSION.to_owned() + "<sessionrecordingassoc session_id='s'/>"));
    call.partial(SESSION);
    assert!(call.state.recording_of(&id("s")).unwrap().history.is_open());
    call.complete(SESSION);
    let recording = call
        .state
        .recording_of(&id("s"))
        .unwrap()
        .history
        .intervals();
    assert_eq!(
        recording.iter().map(text).collect::<Vec<_>>(),
        ["@1-@3 Omitted"]
    );
}

#[test]
fn two_elements_for_one_membership_add_up() {
    let mut call = Call::new();
    let focus = "<participantsessionassoc participant_id='a' session_id='s'>\
                 <param pname='isfocus' pval='true'/></participantsessionassoc>";
    call.complete(
        &(SESSION.to_owned()
            + &person("a")
            + focus
            + &member("a", Some(1), Some(2))
            + &member("a", Some(5), None)),
    );
    let a = id("a");
    let (_, link) = call.state.memberships(&a).next().unwrap();
    assert_eq!(link.params, [("isfocus".to_owned(), "true".to_owned())]);
    assert_eq!(call.member("a", "s").last().unwrap(), "05-");
}
