//! A recording client: it writes requests and reads answers.

/// One dialog, as the client sees it.
#[derive(Clone)]
pub struct Src {
    pub call_id: String,
    /// The recorder's tag.
    pub to_tag: String,
    pub cseq: u32,
    pub require: String,
    pub contact: String,
}

/// A request to be sent.
#[derive(Clone, Default)]
pub struct Ask {
    pub method: &'static str,
    pub headers: Vec<String>,
    pub parts: Vec<(String, String)>,
    pub body: Option<(String, Vec<u8>)>,
}

impl Ask {
    pub fn new(method: &'static str) -> Self {
        Self {
            method,
            ..Self::default()
        }
    }

    pub fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }

    pub fn part(mut self, headers: &str, body: &str) -> Self {
        self.parts
            .push((headers.replace('\n', "\r\n"), body.replace('\n', "\r\n")));
        self
    }

    pub fn sdp(self, sdp: &str) -> Self {
        self.part("Content-Type: application/sdp", sdp)
    }

    pub fn metadata(self, xml: &str) -> Self {
        self.part(
            "Content-Type: application/rs-metadata+xml\nContent-Disposition: recording-session",
            xml,
        )
    }

    pub fn sole_body(mut self, content_type: &str, body: &str) -> Self {
        self.body = Some((
            content_type.to_owned(),
            body.replace('\n', "\r\n").into_bytes(),
        ));
        self
    }

    fn body(&self) -> Option<(String, Vec<u8>)> {
        if self.body.is_some() || self.parts.is_empty() {
            return self.body.clone();
        }
        let mut text = String::new();
        for (headers, body) in &self.parts {
            text.push_str(&format!("--b1\r\n{headers}\r\n\r\n{body}\r\n"));
        }
        text.push_str("--b1--\r\n");
        Some(("multipart/mixed;boundary=b1".to_owned(), text.into_bytes()))
    }
}

impl Src {
    pub fn new(call_id: &str) -> Self {
        Self {
            call_id: call_id.to_owned(),
            to_tag: String::new(),
            cseq: 1,
            require: "Require: siprec\r\n".to_owned(),
            contact: "<sip:src@192.0.2.10:5060>;+sip.src".to_owned(),
        }
    }

    /// The octets of a request with this sequence number.
    pub fn write(&self, ask: &Ask, cseq: u32) -> Vec<u8> {
        let Self {
            call_id,
            to_tag,
            contact,
            require,
            ..
        } = self;
        let method = ask.method;
        let tag = match to_tag.as_str() {
            "" => String::new(),
            tag => format!(";tag={tag}"),
        };
        let require = if method == "INVITE" {
            require.as_str()
        } else {
            ""
        };
        let mut head = format!(
            "{method} sip:recorder@198.51.100.7 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-{call_id}-{cseq}-{method}\r\n\
             From: <sip:src@example.com>;tag=src\r\nTo: <sip:recorder@example.com>{tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
             Contact: {contact}\r\n{require}"
        );
        for line in &ask.headers {
            head.push_str(&format!("{line}\r\n"));
        }
        let body = ask.body();
        if let Some((kind, _)) = &body {
            head.push_str(&format!("Content-Type: {kind}\r\n"));
        }
        let body = body.map(|(_, body)| body).unwrap_or_default();
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        [head.into_bytes(), body].concat()
    }

    /// A CANCEL has the branch of what it cancels.
    pub fn cancel(&self) -> Vec<u8> {
        let text = String::from_utf8(self.write(&Ask::new("CANCEL"), self.cseq)).unwrap();
        text.replace("-CANCEL\r\n", "-INVITE\r\n").into_bytes()
    }
}

/// A session description with these m-lines.
pub fn sdp(lines: &[&str]) -> String {
    format!(
        "v=0\no=src 1 1 IN IP4 192.0.2.10\ns=-\nc=IN IP4 192.0.2.10\nt=0 0\n{}",
        lines.concat()
    )
}

/// An m-line on a port of the client.
pub fn line(port: u16, label: &str, direction: &str) -> String {
    format!(
        "m=audio {port} RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\n\
         a=label:{label}\na={direction}\n"
    )
}

/// The usual offer: two streams, labels 1 and 2.
pub fn offer(direction: &str) -> String {
    sdp(&[&line(40_000, "1", direction), &line(40_002, "2", direction)])
}

/// Metadata of two participants, Alice on label 1 and Bob on label 2.
pub fn metadata() -> String {
    recording(
        "<session session_id=\"c2Vzc2lvbi0xMjM0NTY3OA==\"/>\
         <participant participant_id=\"cGFydGljaXBhbnQtQUFBQQ==\">\
         <nameID aor=\"sip:alice@example.com\"><name>Alice</name></nameID></participant>\
         <participant participant_id=\"cGFydGljaXBhbnQtQkJCQg==\">\
         <nameID aor=\"sip:bob@example.com\"><name>Bob</name></nameID></participant>\
         <stream stream_id=\"c3RyZWFtLTExMTExMTExMQ==\" session_id=\"c2Vzc2lvbi0xMjM0NTY3OA==\">\
         <label>1</label></stream>\
         <stream stream_id=\"c3RyZWFtLTIyMjIyMjIyMg==\" session_id=\"c2Vzc2lvbi0xMjM0NTY3OA==\">\
         <label>2</label></stream>\
         <participantsessionassoc participant_id=\"cGFydGljaXBhbnQtQUFBQQ==\" \
         session_id=\"c2Vzc2lvbi0xMjM0NTY3OA==\">\
         <associate-time>2026-01-01T10:00:00Z</associate-time></participantsessionassoc>\
         <participantstreamassoc participant_id=\"cGFydGljaXBhbnQtQUFBQQ==\">\
         <send>c3RyZWFtLTExMTExMTExMQ==</send></participantstreamassoc>\
         <participantstreamassoc participant_id=\"cGFydGljaXBhbnQtQkJCQg==\">\
         <send>c3RyZWFtLTIyMjIyMjIyMg==</send></participantstreamassoc>",
        "complete",
    )
}

/// A document around these elements.
pub fn recording(elements: &str, mode: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <recording xmlns=\"urn:ietf:params:xml:ns:recording:1\"><datamode>{mode}</datamode>\
         {elements}</recording>"
    )
}

/// The usual INVITE.
pub fn invite() -> Ask {
    Ask::new("INVITE")
        .sdp(&offer("sendonly"))
        .metadata(&metadata())
}

/// The peer's response to a request of ours.
pub fn reply(request: &str, status: u16, extra: &str) -> String {
    reply_head(request, status, extra) + "Content-Length: 0\r\n\r\n"
}

/// The same with a body.
pub fn reply_with(request: &str, status: u16, extra: &str, kind: &str, body: &str) -> String {
    let body = body.replace('\n', "\r\n");
    let head = reply_head(request, status, extra);
    let length = body.len();
    format!("{head}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn reply_head(request: &str, status: u16, extra: &str) -> String {
    let mut text = format!("SIP/2.0 {status} Whatever\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let prefix = format!("{name}: ");
        let line = request
            .split("\r\n")
            .find(|line| line.starts_with(&prefix))
            .unwrap();
        text.push_str(&format!("{line}\r\n"));
    }
    text + extra
}
