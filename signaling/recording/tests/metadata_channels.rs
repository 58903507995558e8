//! Channels of a recording: stable, in the metadata's order, whatever is missing or comes late.

use holdfast_recording::metadata::{
    Assignment, ChannelNumber, Channels, Id, Limits, Line, Match, Speakers, State, parse,
};
use holdfast_units::WallTime;

fn apply(state: &mut State, body: &str, at: u64) {
    let xml = format!("<recording xmlns='urn:ietf:params:xml:ns:recording:1'>{body}</recording>");
    state.apply(
        &parse(xml.as_bytes(), None, &Limits::default()).unwrap(),
        WallTime(at),
    );
}

fn state(body: &str) -> State {
    let mut state = State::new();
    apply(&mut state, body, 1);
    state
}

fn person(id: &str, sends: &[&str]) -> String {
    let sends: String = sends
        .iter()
        .map(|stream| format!("<send>{stream}</send>"))
        .collect();
    format!(
        "<participant participant_id='{id}'><nameID aor='sip:{id}@example.com'/></participant>\
         <participantstreamassoc participant_id='{id}'>{sends}</participantstreamassoc>"
    )
}

fn stream(id: &str, label: &str) -> String {
    format!("<stream stream_id='{id}' session_id='s'><label>{label}</label></stream>")
}

fn lines<'a>(labels: &[&'a str]) -> Vec<Line<'a>> {
    let line = |(index, label): (usize, &&'a str)| Line {
        index,
        label: (!label.is_empty()).then_some(*label),
    };
    labels.iter().enumerate().map(line).collect()
}

fn numbers(assigned: &[Assignment]) -> Vec<u16> {
    assigned.iter().map(|one| one.channel.0).collect()
}

fn heard(assigned: &[Assignment]) -> Vec<String> {
    let names = |one: &Assignment| {
        one.participants
            .iter()
            .map(Id::as_str)
            .collect::<Vec<_>>()
            .join("+")
    };
    assigned.iter().map(names).collect()
}

#[test]
fn channels_follow_the_participants_not_the_lines() {
    let body =
        person("bob", &["b"]) + &person("alice", &["a"]) + &stream("a", "1") + &stream("b", "2");
    let assigned = Channels::new().assign(&lines(&["1", "2"]), &state(&body));
    assert_eq!(numbers(&assigned), [1, 0]);
    assert_eq!(heard(&assigned), ["alice", "bob"]);
}

#[test]
fn streams_of_one_participant_share_a_channel() {
    let body = person("alice", &["a", "c"])
        + &person("bob", &["b"])
        + &stream("a", "1")
        + &stream("b", "2")
        + &stream("c", "3");
    let assigned = Channels::new().assign(&lines(&["1", "2", "3"]), &state(&body));
    assert_eq!(numbers(&assigned), [0, 1, 0]);
}

#[test]
fn lines_that_no_metadata_names_come_last_in_their_order() {
    let body = person("alice", &["a"]) + &stream("a", "3");
    let assigned = Channels::new().assign(&lines(&["1", "", "3"]), &state(&body));
    assert_eq!(numbers(&assigned), [1, 2, 0]);
    assert_eq!(assigned[0].matched, Match::None);
    assert_eq!(assigned[0].speakers, Speakers::None);
}

#[test]
fn without_any_metadata_every_line_has_its_own_channel() {
    let assigned = Channels::new().assign(&lines(&["", ""]), &State::new());
    assert_eq!(numbers(&assigned), [0, 1]);
    assert!(assigned.iter().all(|one| one.matched == Match::None));
}

#[test]
fn late_metadata_names_the_speakers_and_moves_nobody() {
    let mut channels = Channels::new();
    channels.assign(&lines(&["1", "2"]), &State::new());
    let body =
        person("bob", &["b"]) + &person("alice", &["a"]) + &stream("a", "1") + &stream("b", "2");
    let mut state = state(&body);
    let assigned = channels.assign(&lines(&["1", "2"]), &state);
    assert_eq!(numbers(&assigned), [0, 1]);
    assert_eq!(heard(&assigned), ["alice", "bob"]);
    // A further stream of somebody heard already joins them; a new voice comes last.
    let body = String::from("<datamode>partial</datamode>")
        + &person("bob", &["b", "b2"])
        + &person("carol", &["c"])
        + &stream("b2", "3")
        + &stream("c", "4");
    apply(&mut state, &body, 2);
    let assigned = channels.assign(&lines(&["1", "2", "3", "4"]), &state);
    assert_eq!(numbers(&assigned), [0, 1, 1, 2]);
    assert_eq!(channels.count(), 3);
}

#[test]
fn a_transfer_stays_on_its_channel_and_changes_its_speaker() {
    let mut state = state(
        &(person("alice", &["a"]) + &person("bob", &["b"]) + &stream("a", "1") + &stream("b", "2")),
    );
    let mut channels = Channels::new();
    channels.assign(&lines(&["1", "2"]), &state);
    let body = String::from("<datamode>partial</datamode>")
        + &person("alice", &[])
        + &person("carol", &["a"]);
    apply(&mut state, &body, 2);
    let assigned = channels.assign(&lines(&["1", "2"]), &state);
    assert_eq!(numbers(&assigned), [0, 1]);
    assert_eq!(heard(&assigned), ["carol", "bob"]);
}

#[test]
fn on_hold_the_last_sender_is_told_as_past() {
    let mut state = state(&(person("alice", &["a"]) + &stream("a", "1")));
    let mut channels = Channels::new();
    channels.assign(&lines(&["1"]), &state);
    apply(&mut state, &(person("alice", &[]) + &stream("a", "1")), 2);
    let assigned = channels.assign(&lines(&["1"]), &state);
    assert_eq!(heard(&assigned), ["alice"]);
    assert_eq!(assigned[0].speakers, Speakers::Past);
}

#[test]
fn a_mixed_stream_is_everybodys_and_nobodys_channel() {
    let body = person("alice", &["m", "a"])
        + &person("bob", &["m"])
        + &stream("m", "1")
        + &stream("a", "2");
    let assigned = Channels::new().assign(&lines(&["1", "2"]), &state(&body));
    assert_eq!(heard(&assigned), ["alice+bob", "alice"]);
    assert_eq!(numbers(&assigned), [0, 1]);
}

#[test]
fn labels_that_match_nothing_fall_back_to_order_only_when_counts_match() {
    let body =
        person("bob", &["b"]) + &person("alice", &["a"]) + &stream("a", "1") + &stream("b", "2");
    let state = state(&body);
    let assigned = Channels::new().assign(&lines(&["a_leg", "b_leg"]), &state);
    assert_eq!(numbers(&assigned), [1, 0]);
    assert!(assigned.iter().all(|one| one.matched == Match::Order));
    let assigned = Channels::new().assign(&lines(&["a_leg", "b_leg", "c_leg"]), &state);
    assert_eq!(numbers(&assigned), [0, 1, 2]);
    assert!(assigned.iter().all(|one| one.matched == Match::None));
    // One label that fits: the others are not guessed.
    let assigned = Channels::new().assign(&lines(&["1", "b_leg"]), &state);
    assert_eq!(assigned[1].matched, Match::None);
}

#[test]
fn speakers_are_guessed_by_order_only_where_nobody_is_associated() {
    let people = "<participant participant_id='x'><nameID aor='sip:x@example.com'/></participant>\
                  <participant participant_id='y'><nameID aor='sip:y@example.com'/></participant>";
    let body = people.to_owned() + &stream("a", "1") + &stream("b", "2");
    let assigned = Channels::new().assign(&lines(&["2", "1"]), &state(&body));
    assert_eq!(heard(&assigned), ["y", "x"]);
    assert_eq!(numbers(&assigned), [1, 0]);
    assert!(assigned.iter().all(|one| one.speakers == Speakers::Order));
    let assigned = Channels::new().assign(&lines(&["1", "2"]), &state(&(body + &person("z", &[]))));
    assert!(assigned.iter().all(|one| one.speakers == Speakers::None));
}

#[test]
fn swapped_labels_change_the_speakers_not_the_channels() {
    // A label binds only within the message that carries both (RFC 7866 §7.1.1).
    let body =
        person("alice", &["a"]) + &person("bob", &["b"]) + &stream("a", "1") + &stream("b", "2");
    let state = state(&body);
    let mut channels = Channels::new();
    channels.assign(&lines(&["1", "2"]), &state);
    let assigned = channels.assign(&lines(&["2", "1"]), &state);
    assert_eq!(numbers(&assigned), [0, 1]);
    assert_eq!(heard(&assigned), ["bob", "alice"]);
}

#[test]
fn a_released_line_gets_a_channel_anew_and_parts_restore_the_rest() {
    let body = person("alice", &["a"]) + &stream("a", "1");
    let mut state = state(&body);
    let mut channels = Channels::new();
    channels.assign(&lines(&["1"]), &state);
    let (kept, owners) = channels.to_parts();
    assert_eq!(Channels::from_parts(kept, owners), channels);
    channels.release(0);
    assert_eq!(channels.of_line(0), None);
    apply(&mut state, &(person("bob", &["b"]) + &stream("b", "1")), 2);
    let assigned = channels.assign(&lines(&["1"]), &state);
    assert_eq!(assigned[0].channel, ChannelNumber(1));
    assert_eq!(heard(&assigned), ["bob"]);
}

#[test]
fn more_lines_than_channel_numbers_share_the_last_one() {
    let lines: Vec<_> = (0..65_600)
        .map(|index| Line { index, label: None })
        .collect();
    let assigned = Channels::new().assign(&lines, &State::new());
    assert_eq!(assigned.last().unwrap().channel, ChannelNumber(u16::MAX));
}

#[test]
fn random_updates_never_move_a_line() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut state = State::new();
    let mut channels = Channels::new();
    let mut known = std::collections::BTreeMap::new();
    for step in 0..400 {
        let mut body = String::new();
        if random(2) == 0 {
            body += "<datamode>partial</datamode>";
        }
        for _ in 0..random(4) {
            let streams: Vec<String> = (0..random(3)).map(|_| format!("t{}", random(6))).collect();
            let streams: Vec<&str> = streams.iter().map(String::as_str).collect();
            body += &person(&format!("p{}", random(5)), &streams);
            body += &stream(&format!("t{}", random(6)), &random(6).to_string());
        }
        apply(&mut state, &body, step);
        let labels: Vec<String> = (0..random(5)).map(|_| random(7).to_string()).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        for one in channels.assign(&lines(&labels), &state) {
            let first = *known.entry(one.index).or_insert(one.channel);
            assert_eq!(first, one.channel, "step {step}");
            assert!(usize::from(one.channel.0) < channels.count());
        }
    }
}
