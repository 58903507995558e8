//! Every INVITE of the field gets the answer it needs, and leaves a recording.
//!
//! The messages lie beside the repository; where they are absent this says so and passes. What each
//! of them is to be answered stands in the table below.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use holdfast_e2e::certificates::Authority;
use holdfast_e2e::peer::{Peer, Request, way};
use holdfast_e2e::rtp::Source;
use holdfast_e2e::samples::{Sample, folder};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::tools::Tool;
use holdfast_load::agent::Way;
use holdfast_load::answer::Answer;
use holdfast_load::invite::Body;
use holdfast_load::sip::Message;
use holdfast_load::tls::Versions;
use holdfast_load::uac::Transport;
use holdfast_load::verify::Published;

/// What a message is answered.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// 200, with these directions and labels of its lines.
    Lines(&'static [(&'static str, &'static str)]),
    /// 200 with an offer of ours.
    OurOffer,
    /// A clean refusal, one of these.
    Refused(&'static [u16]),
}

use Expected::{Lines, OurOffer, Refused};

const BOTH: Expected = Lines(&[("recvonly", "1"), ("recvonly", "2")]);

const EXPECTED: [(&str, Expected); 20] = [
    (
        "avaya-3.sip",
        Lines(&[("recvonly", "10"), ("recvonly", "20")]),
    ),
    // Damaged in its source: any final response would do. This is what can be made of it.
    ("broadworks-5.sip", Lines(&[("recvonly", "1")])),
    ("broadworks-6.sip", BOTH),
    ("broadworks-7.sip", BOTH),
    ("cisco-cube-2.sip", BOTH),
    (
        "cisco-cube-3.sip",
        Lines(&[("inactive", "1"), ("inactive", "2")]),
    ),
    (
        "drachtio-1.sip",
        Lines(&[("recvonly", "a_leg"), ("recvonly", "b_leg")]),
    ),
    (
        "genesys-1.sip",
        Lines(&[
            ("recvonly", "268749245"),
            ("inactive", "268749246"),
            ("recvonly", "268749247"),
            ("inactive", "268749248"),
        ]),
    ),
    ("jambonz-1.sip", BOTH),
    // No mark of a recording session: by default that is refused.
    ("nonsiprec-1.sip", Refused(&[403, 421])),
    ("opensips-1.sip", BOTH),
    ("opensips-2.sip", BOTH),
    (
        "opensips-3.sip",
        Lines(&[("recvonly", "0"), ("recvonly", "1")]),
    ),
    (
        "oracle-2.sip",
        Lines(&[
            ("recvonly", "1006644281"),
            ("inactive", "1006644282"),
            ("recvonly", "1006644283"),
            ("inactive", "1006644284"),
        ]),
    ),
    (
        "oracle-3.sip",
        Lines(&[("recvonly", "739440565"), ("recvonly", "739440566")]),
    ),
    ("oracle-4.sip", OurOffer),
    (
        "oracle-5.sip",
        Lines(&[("recvonly", "16777227"), ("recvonly", "16777228")]),
    ),
    (
        "oracle-6.sip",
        Lines(&[("recvonly", "33675086"), ("recvonly", "33675087")]),
    ),
    ("ribbon-2.sip", BOTH),
    (
        "sems-1.sip",
        Lines(&[("recvonly", "a_leg"), ("recvonly", "b_leg")]),
    ),
];

/// Messages within a dialog that the other begins: what becomes of both lines.
const AGAIN: [(&str, &str, &str); 2] = [
    (
        "cisco-cube-3.sip",
        "cisco-cube-3.f01-re-invite.sip",
        "recvonly",
    ),
    ("drachtio-1.sip", "drachtio-1.f01-re-invite.sip", "inactive"),
];

#[test]
fn every_invite_of_the_field_is_answered_and_recorded_over_udp() {
    play_all(Transport::Udp);
}

#[test]
fn every_invite_of_the_field_is_answered_and_recorded_over_tcp() {
    play_all(Transport::Tcp);
}

#[test]
fn every_invite_of_the_field_is_answered_and_recorded_over_tls() {
    let authority = Authority::new("samples");
    let options = Options::new().tls(&authority.issue("srs.example.com"));
    play(&options, &Way::Tls(authority.client(Versions::Both)));
}

#[test]
fn no_sample_is_without_an_expectation() {
    let Some(folder) = folder() else { return };
    let there: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("the folder of samples")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".sip"))
        .collect();
    let begun = EXPECTED.iter().map(|(name, _)| (*name).to_owned());
    let known: BTreeSet<String> = begun
        .chain(AGAIN.iter().map(|again| again.1.to_owned()))
        .collect();
    assert_eq!(there, known);
}

#[test]
fn a_bare_offer_with_ice_is_answered_without() {
    let Some(sample) = Sample::read("opensips-4.sdp") else {
        return;
    };
    let system = System::start(&Options::new());
    let mut peer = Peer::connect(system.sip(), Transport::Udp);
    let body = Body {
        content_type: "application/sdp".to_owned(),
        bytes: sample.octets().to_vec(),
    };
    let invite = peer.write(&Request {
        method: "INVITE",
        call_id: "opensips-4@example.com",
        cseq: 1,
        headers: "Require: siprec\r\n",
        body: Some(&body),
    });
    let dialog = Dialog::open(&mut peer, &invite);
    dialog.expect("opensips-4.sdp", &[("recvonly", "1")]);
    let said = String::from_utf8(dialog.response.body.clone()).expect("text");
    assert!(
        !said.contains("a=ice") && !said.contains("a=candidate"),
        "{said}"
    );
    dialog.speak();
    dialog.hang_up();
    system.published("opensips-4@example.com");
}

fn play_all(transport: Transport) {
    play(&Options::new(), &way(transport));
}

fn play(options: &Options, way: &Way) {
    if folder().is_none() {
        return;
    }
    let system = System::start(options);
    let mut peer = Peer::over(system.at(way), way);
    let mut played = Vec::new();
    for (name, expected) in EXPECTED {
        let sample = Sample::read(name).expect("a sample");
        let call_id = format!("{name}.{}", sample.header("Call-ID").expect("a Call-ID"));
        let invite = sample.for_peer(&peer, &call_id, None);
        if let Refused(statuses) = expected {
            let response = peer.ask(&invite, cseq_of(&invite), "INVITE");
            let status = response.status().expect("a response");
            assert!(statuses.contains(&status), "{name}: {response:?}");
            let headers = message(&invite);
            peer.send(&refusal_ack(&headers, &response));
            assert!(system.published_so_far(&call_id).is_empty());
            continue;
        }
        let mut dialog = Dialog::open(&mut peer, &invite);
        match expected {
            Lines(lines) => dialog.expect(name, lines),
            OurOffer | Refused(_) => assert!(!dialog.answer.lines.is_empty(), "{name}"),
        }
        assert_timer(&sample, &dialog.response);
        let mut spoken = dialog.speak();
        if let Some((_, next, direction)) = AGAIN.iter().find(|again| again.0 == name) {
            let next = Sample::read(next).expect("a sample");
            dialog.again(&next, &call_id, direction);
            spoken.extend(dialog.speak());
        }
        dialog.hang_up();
        played.push((sample, call_id, spoken));
    }
    for (sample, call_id, spoken) in played {
        assert_recorded(&sample, &system.published(&call_id), &spoken);
    }
}

/// A call that began with a message of the field.
struct Dialog<'a> {
    peer: &'a mut Peer,
    invite: Message,
    response: Message,
    answer: Answer,
    cseq: u32,
}

impl<'a> Dialog<'a> {
    /// Sends an INVITE, which must be accepted, and acknowledges it.
    fn open(peer: &'a mut Peer, invite: &[u8]) -> Self {
        let cseq = cseq_of(invite);
        let response = peer.ask(invite, cseq, "INVITE");
        let invite = message(invite);
        assert_eq!(response.status(), Some(200), "{response:?}");
        assert_eq!(response.header("Content-Type"), Some("application/sdp"));
        assert!(
            response
                .header("Contact")
                .is_some_and(|contact| contact.contains("+sip.srs"))
        );
        let answer = Answer::parse(&response.body).expect("an SDP answer");
        // Where the offer was the server's, the ACK answers it.
        let has_offer = invite.body.windows(2).any(|window| window == b"m=");
        let own = (!has_offer).then(|| our_answer(peer.local, &answer));
        peer.send(&peer.write_within(&invite, &response, cseq, "ACK", own.as_ref()));
        Self {
            peer,
            invite,
            response,
            answer,
            cseq,
        }
    }

    fn expect(&self, name: &str, lines: &[(&str, &str)]) {
        let found: Vec<_> = self
            .answer
            .lines
            .iter()
            .map(|line| (line.direction.as_str(), line.label.as_deref().unwrap_or("")))
            .collect();
        assert_eq!(found, lines, "{name}");
        assert!(
            self.answer.lines.iter().all(|line| line.rtp.is_some()),
            "{name}"
        );
    }

    /// Ten packets on each line that is recorded and has G.711 first; gives the labels.
    fn speak(&self) -> Vec<String> {
        let mut sources = Vec::new();
        let mut labels = Vec::new();
        for line in self
            .answer
            .lines
            .iter()
            .filter(|line| line.direction == "recvonly")
        {
            let payload_type = match line.formats.first().map(String::as_str) {
                Some("0") => 0,
                Some("8") => 8,
                _ => continue,
            };
            let socket =
                UdpSocket::bind(SocketAddr::new(self.peer.local.ip(), 0)).expect("a socket");
            let to = line.rtp.expect("a port");
            sources.push(Source::new(socket, to, payload_type, u32::from(to.port())));
            labels.extend(line.label.clone());
        }
        for index in 0..PACKETS {
            for source in &mut sources {
                source.send(&[index | 1; 160], 160);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        labels
    }

    /// Sends another message within the dialog, which changes the direction of both lines.
    fn again(&mut self, sample: &Sample, call_id: &str, direction: &str) {
        let tag = self.response.tag("To").expect("our tag").to_owned();
        let invite = sample.for_peer(self.peer, call_id, Some(&tag));
        self.cseq = cseq_of(&invite);
        let response = self.peer.ask(&invite, self.cseq, "INVITE");
        assert_eq!(
            response.status(),
            Some(200),
            "{}: {response:?}",
            sample.name
        );
        let answer = Answer::parse(&response.body).expect("an SDP answer");
        self.peer.send(
            &self
                .peer
                .write_within(&self.invite, &response, self.cseq, "ACK", None),
        );
        for (line, before) in answer.lines.iter().zip(&self.answer.lines) {
            assert_eq!(line.direction, direction, "{}", sample.name);
            assert_eq!(
                (line.rtp, &line.label),
                (before.rtp, &before.label),
                "the ports stay"
            );
        }
        self.answer = answer;
    }

    fn hang_up(self) {
        let cseq = self.cseq + 1;
        let bye = self
            .peer
            .write_within(&self.invite, &self.response, cseq, "BYE", None);
        let response = self.peer.ask(&bye, cseq, "BYE");
        assert_eq!(response.status(), Some(200), "{response:?}");
    }
}

/// A session timer is answered where one is asked for (RFC 4028 §9).
fn assert_timer(sample: &Sample, response: &Message) {
    let supports = sample
        .header("Supported")
        .is_some_and(|value| value.contains("timer"));
    if supports && sample.header("Session-Expires").is_some() {
        let granted = response.header("Session-Expires").expect("Session-Expires");
        assert!(
            granted.contains("refresher=ua"),
            "{}: {granted}",
            sample.name
        );
    }
}

fn assert_recorded(sample: &Sample, published: &Published, spoken: &[String]) {
    let manifest = &published.manifest;
    for label in spoken {
        let stream = manifest
            .streams
            .iter()
            .find(|stream| stream.label.as_ref() == Some(label));
        let stream = stream.unwrap_or_else(|| panic!("{}: no stream {label}", sample.name));
        let counts = (stream.packets, stream.lost, stream.rendered);
        assert_eq!(
            counts,
            (u64::from(PACKETS), 0, true),
            "{}: {stream:?}",
            sample.name
        );
    }
    let Some(metadata) = sample.metadata() else {
        // One sample has a part of a type that is none.
        assert_eq!(sample.name, "broadworks-5.sip");
        return;
    };
    let documents = &manifest.call.metadata;
    let again = AGAIN.iter().filter(|again| again.0 == sample.name).count();
    assert_eq!(documents.len(), 1 + again, "{}", sample.name);
    let kept = std::fs::read(published.folder.join(&documents[0].file)).expect("the document");
    assert!(
        kept == metadata,
        "{}: the metadata is not as it came",
        sample.name
    );
    // Some are not well-formed in their source: they are kept all the same, and flagged.
    let is_flagged = documents[0].flags.iter().any(|flag| flag == "ill_formed");
    if let Some(xmllint) = Tool::find("xmllint") {
        let file = documents[0].file.as_str();
        let verdict = xmllint.run(&published.folder, &["--noout", "--nonet", file]);
        let is_read = verdict.status.success();
        assert_eq!(
            is_read, !is_flagged,
            "{}: {verdict:?} {documents:?}",
            sample.name
        );
    }
}

/// Accepts an offer of the server's: PCMU, as a recording client sends.
fn our_answer(local: SocketAddr, offer: &Answer) -> Body {
    let ip = local.ip();
    let mut sdp = format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n");
    for (line, port) in offer.lines.iter().zip((40_000..).step_by(2)) {
        sdp.push_str(&format!(
            "m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\n"
        ));
        if let Some(label) = &line.label {
            sdp.push_str(&format!("a=label:{label}\r\n"));
        }
    }
    Body {
        content_type: "application/sdp".to_owned(),
        bytes: sdp.into_bytes(),
    }
}

/// The ACK of a refusal belongs to the INVITE's transaction (RFC 3261 §17.1.1.3).
fn refusal_ack(invite: &Message, response: &Message) -> Vec<u8> {
    let header =
        |message: &Message, name: &str| message.header(name).unwrap_or_default().to_owned();
    let text = format!(
        "ACK sip:srs@example.com SIP/2.0\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: {} ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        header(invite, "Via"),
        header(invite, "From"),
        header(response, "To"),
        header(invite, "Call-ID"),
        invite.cseq().map_or(1, |(number, _)| number),
    );
    text.into_bytes()
}

fn message(octets: &[u8]) -> Message {
    Message::parse(octets).expect("a message that reads")
}

fn cseq_of(octets: &[u8]) -> u32 {
    message(octets).cseq().map_or(1, |(number, _)| number)
}

/// Packets sent on each line.
const PACKETS: u8 = 10;
