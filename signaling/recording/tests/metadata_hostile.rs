//! Documents made to hurt: entities, depth, size, amplification, damage at every octet.

use std::time::{Duration, Instant};

use holdfast_recording::metadata::{Change, Channels, Fault, Flag, Limits, Line, State, parse};
use holdfast_units::WallTime;

fn fault(xml: &str) -> Fault {
    parse(xml.as_bytes(), None, &Limits::default())
        .unwrap_err()
        .fault
}

/// Every element and dialect in one document.
const VECTOR: &str = "<?xml version=\"1.0\" encoding='UTF-8'?>\n<!-- c -->\n\
<recording xmlns='urn:ietf:params:xml:ns:recording:1' xmlns:v='http://vendor.example.com'>
<datamode>partial</datamode>
<group group_id='R1JPVVAwMDAwMDAwMDAwMQ=='><associate-time>2026-03-04T05:06:07Z</associate-time></group>
<session session_id='U0VTU0lPTjAwMDAwMDAwMQ=='><sipSessionID>a;remote=b</sipSessionID>
<reason cause='200' protocol='SIP'>x &amp; y &#x41;</reason><group-ref>R1JPVVAwMDAwMDAwMDAwMQ==</group-ref>
<stop-time>2026-03-04T05:06:08.5+01:00</stop-time><v:e><![CDATA[<raw>]]></v:e></session>
<participant id='p' session='s'><nameID aor='sip:alice@example.com'><name xml:lang='en'>Zo\u{eb}</name></nameID>
<aor>tel:+15550100</aor><send><id>t</id></send><recv>u</recv><associate-time>x</associate-time></participant>
<stream stream_id='t' session_id='s'><label>1</label><mode>mixed</mode></stream>
<sessionrecordingassoc session_id='s'/>
<participantsessionassoc participant_id='p' session_id='s'><param pname='isfocus' pval='true'/>
<disassociate-time>2026-03-04T05:06:09Z</disassociate-time></participantsessionassoc>
<participantstreamassoc participant_id='p'><send>t</send><recv>t</recv></participantstreamassoc>
<extensiondata parent='p'><v:x/></extensiondata>
</recording>";

/// Whatever comes out of the parser must be fit for everything behind it.
fn digest(body: &[u8], charset: Option<&str>) {
    let document = match parse(body, charset, &Limits::default()) {
        Ok(document) => document,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let Some(partial) = error.into_partial() else {
                return;
            };
            partial
        }
    };
    let mut state = State::new();
    for at in 1..3 {
        state.apply(&document, WallTime(at));
    }
    let lines = [
        Line {
            index: 0,
            label: Some("1"),
        },
        Line {
            index: 1,
            label: None,
        },
    ];
    assert_eq!(Channels::new().assign(&lines, &state).len(), 2);
    state.snapshot_needs();
    state.close(WallTime(9));
    assert!(
        state
            .participants()
            .iter()
            .all(|one| !one.presence.is_open())
    );
}

#[test]
fn the_vector_is_well_formed() {
    let document = parse(VECTOR.as_bytes(), None, &Limits::default()).unwrap();
    assert_eq!(document.participants[0].names.len(), 2);
    assert_eq!(document.sessions[0].reasons[0].text, "x & y A");
    assert_eq!(
        document.sessions[0].extensions[0].xml,
        "<v:e><![CDATA[<raw>]]></v:e>"
    );
}

#[test]
fn m03_document_types_are_refused_whatever_they_define() {
    let laughs: String = (1..10)
        .map(|level| {
            let inner = format!("&l{};", level - 1).repeat(10);
            format!("<!ENTITY l{level} \"{inner}\">")
        })
        .collect();
    for xml in [
        "<!DOCTYPE recording [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><recording>&x;</recording>",
        "<!DOCTYPE recording SYSTEM \"http://192.0.2.1/x.dtd\"><recording/>",
        "<!doctype recording><recording/>",
        "<?xml version='1.0'?>\n<!DOCTYPE recording>\n<recording/>",
        "<!DOCTYPE recording [<!ENTITY % p SYSTEM \"http://192.0.2.1/\"> %p;]><recording/>",
        "<!DOCTYPE recording [",
        "<recording><!DOCTYPE x></recording>",
        &format!("<!DOCTYPE r [<!ENTITY l0 \"ha\">{laughs}]><recording>&l9;</recording>"),
    ] {
        let error = parse(xml.as_bytes(), None, &Limits::default()).unwrap_err();
        assert_eq!(
            (error.fault, error.partial),
            (Fault::Doctype, None),
            "{xml}"
        );
    }
}

#[test]
fn entities_that_nobody_defines_stay_as_written() {
    let xml = "<recording><participant id='p'><nameID aor='sip:a@example.com;x=1&y=2'>\
               <name>A &nbsp; B & C &#0; &#x110000; &lt;</name></nameID></participant></recording>";
    let error = parse(xml.as_bytes(), None, &Limits::default()).unwrap_err();
    assert!(matches!(error.fault, Fault::IllFormed { .. }));
    let document = error.into_partial().unwrap();
    let name = &document.participants[0].names[0];
    assert_eq!(name.aor, "sip:a@example.com;x=1&y=2");
    assert_eq!(
        name.name.as_deref(),
        Some("A &nbsp; B & C &#0; &#x110000; <")
    );
    assert!(document.flags.contains(&Flag::IllFormed) && document.is_whole_picture());
}

#[test]
fn raw_markup_in_a_text_costs_nothing_behind_it() {
    for damage in [
        "<sip:bob@example.com;x=\"1>",
        "<sip:bob@example.com>",
        "<!{CDATA{<sip:bob@example.com>}}>",
        "<",
        "<>",
        "</",
        "a & b",
        "</nothing>",
        "<a b c=d>",
    ] {
        let xml = format!(
            "<recording><participant id='p'><x:uri xmlns:x='urn:x'>{damage}</x:uri></participant>\
             <stream id='t'><label>7</label></stream><stream id='u'/></recording>"
        );
        let error = parse(xml.as_bytes(), None, &Limits::default()).unwrap_err();
        let document = error.into_partial().unwrap();
        assert_eq!(document.participants.len(), 1, "{damage}");
        assert!(document.flags.contains(&Flag::IllFormed), "{damage}");
        // An open quotation mark may swallow what follows; all else is found.
        if !damage.contains('"') {
            assert_eq!(document.streams.len(), 2, "{damage}");
            assert_eq!(document.streams[0].label.as_deref(), Some("7"), "{damage}");
        }
    }
}

#[test]
fn what_is_too_much_is_refused_with_what_was_read_before() {
    let head = "<recording><participant id='p'/>";
    let max = Limits::default();
    let deep = head.to_owned() + &"<a>".repeat(100_000 / 3);
    let error = parse(deep.as_bytes(), None, &max).unwrap_err();
    assert_eq!(error.fault, Fault::TooDeep { max: max.depth_max });
    let partial = error.into_partial().unwrap();
    assert_eq!(partial.participants.len(), 1);
    assert!(!partial.is_whole_picture());

    let wide = head.to_owned() + &"<a/>".repeat(20_000) + "</recording>";
    let error = parse(wide.as_bytes(), None, &max).unwrap_err();
    assert_eq!(error.fault, Fault::TooManyNodes { max: max.nodes_max });
    assert_eq!(error.into_partial().unwrap().participants.len(), 1);

    let attributes: String = (0..20_000).map(|number| format!(" a{number}=''")).collect();
    let error = fault(&format!("{head}<x{attributes}/></recording>"));
    assert_eq!(error, Fault::TooManyNodes { max: max.nodes_max });

    let large = " ".repeat(max.size_bytes_max + 1);
    let wanted = Fault::TooLarge {
        size: large.len(),
        max: max.size_bytes_max,
    };
    assert_eq!(fault(&large), wanted);
}

#[test]
fn long_texts_are_cut_between_characters_and_flagged() {
    let limits = Limits {
        text_bytes_max: 5,
        ..Limits::default()
    };
    let xml = "<recording><participant id='p'><nameID aor='sip:&#xe9;'><name>ab&#xe9;\u{e9}z</name>\
               </nameID></participant><stream id='t'><label>12345</label></stream></recording>";
    let document = parse(xml.as_bytes(), None, &limits).unwrap();
    assert!(document.flags.contains(&Flag::TextCut));
    let name = &document.participants[0].names[0];
    assert_eq!(
        (name.aor.as_str(), name.name.as_deref()),
        ("sip:", Some("abé"))
    );
    assert_eq!(document.streams[0].label.as_deref(), Some("12345"));
}

#[test]
fn a_document_cut_at_any_octet_never_panics_and_never_lies() {
    let whole = parse(VECTOR.as_bytes(), None, &Limits::default()).unwrap();
    for cut in 0..VECTOR.len() {
        let body = &VECTOR.as_bytes()[..cut];
        digest(body, None);
        let error = parse(body, None, &Limits::default()).expect_err("incomplete");
        if let Some(partial) = error.into_partial() {
            assert!(partial.flags.contains(&Flag::CutShort), "{cut}");
            // Half a label, half a name or half an id would be worse than none.
            for stream in &partial.streams {
                assert!(
                    stream.label.is_none() || stream.label == whole.streams[0].label,
                    "{cut}"
                );
                assert_eq!(stream.id, whole.streams[0].id, "{cut}");
            }
            for name in partial.participants.iter().flat_map(|one| &one.names) {
                let known = &whole.participants[0].names;
                let is_known = known.iter().any(|known| known.aor == name.aor);
                assert!(name.aor.is_empty() || is_known, "{cut}: {name:?}");
            }
        }
    }
}

#[test]
fn random_mutations_never_panic() {
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    const PIECES: &[&[u8]] = &[
        b"<",
        b">",
        b"&",
        b";",
        b"'",
        b"\"",
        b"]]>",
        b"<!--",
        b"<![CDATA[",
        b"<?",
        b"</",
        b"/>",
        b"\xFF",
        b"\x00",
        b"&#",
        b"<!",
        b"xmlns:v='",
        b" id='p'",
        b"<participant>",
        b"</stream>",
    ];
    const CHARSETS: &[Option<&str>] = &[None, Some("utf-8"), Some("latin1"), Some("utf-16le")];
    for _ in 0..2_000 {
        let mut body = VECTOR.as_bytes().to_vec();
        for _ in 0..=random(5) {
            let at = random(body.len());
            match random(4) {
                0 => body[at] = u8::try_from(random(256)).unwrap(),
                1 => drop(body.drain(at..(at + random(40)).min(body.len()))),
                2 => drop(body.splice(at..at, PIECES[random(PIECES.len())].iter().copied())),
                _ => {
                    let piece = body[at..(at + random(200)).min(body.len())].to_vec();
                    let to = random(body.len());
                    body.splice(to..to, piece);
                }
            }
            if body.is_empty() {
                body.push(b'<');
            }
        }
        digest(&body, CHARSETS[random(CHARSETS.len())]);
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "only the real clock tells how long reading takes"
)]
fn the_worst_documents_of_full_size_are_read_in_bounded_time() {
    let size = Limits::default().size_bytes_max;
    let fill = |head: &str, piece: &str, tail: &str| {
        let count = (size - head.len() - tail.len()) / piece.len();
        format!("{head}{}{tail}", piece.repeat(count))
    };
    let long_id = "i".repeat(16_000);
    let nested = format!("<recording><session id='{long_id}'>");
    let name = format!("<recording xmlns='urn:{long_id}'>");
    let sends: String = (0..15_000)
        .map(|number| format!("<send>{number:x}</send>"))
        .collect();
    for (what, xml) in [
        ("open comments", fill("<recording>", "<!--", "")),
        ("open quotes", fill("<recording>", "<a b=\"", "")),
        ("open tags", fill("<recording>", "<a ", "")),
        ("ampersands", fill("<recording>", "&", "</recording>")),
        ("references", fill("<recording>", "&a;", "</recording>")),
        ("bangs", fill("<recording>", "<!{", "</recording>")),
        ("end tags", fill("<recording>", "</a>", "</recording>")),
        (
            "nested participants",
            fill(&nested, "<participant/>", "</session></recording>"),
        ),
        ("foreign elements", fill(&name, "<x/>", "</recording>")),
        (
            "sends",
            format!("<recording><participant id='p'>{sends}</participant></recording>"),
        ),
    ] {
        let start = Instant::now();
        digest(xml.as_bytes(), None);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "{what}: {took:?}");
    }
}

#[test]
fn a_state_stops_growing() {
    let mut state = State::new();
    let mut refused = 0;
    for round in 0..60 {
        let people: String = (0..4_000)
            .map(|number| format!("<participant id='{round}-{number}'/>"))
            .collect();
        let xml = format!("<recording>{people}</recording>");
        let document = parse(xml.as_bytes(), None, &Limits::default()).unwrap();
        if state.apply(&document, WallTime(round)) == [Change::HistoryFull] {
            refused += 1;
        }
    }
    assert!(refused > 30, "{refused}");
    assert!(
        state.participants().len() < 50_000,
        "{}",
        state.participants().len()
    );
    // An honest session of a thousand identical updates does not reach the limit.
    let document = parse(VECTOR.as_bytes(), None, &Limits::default()).unwrap();
    let mut state = State::new();
    for round in 0..1_000 {
        assert!(
            !state
                .apply(&document, WallTime(round))
                .contains(&Change::HistoryFull)
        );
    }
}
