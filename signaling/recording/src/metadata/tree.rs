//! XML text to a bounded tree of elements, reading on after damage where that is possible.
//!
//! It refuses document type declarations, so no entity can be defined: the five of XML and
//! character references are all that is ever expanded. Nothing is fetched from anywhere.
//! quick-xml finds the tokens; which end tag belongs to which element is decided here, because a
//! raw `<sip:…>` inside a vendor's text (seen in the field) must not cost what follows it.

use std::ops::Range;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::id::is_xml_space;
use super::limits::{Limits, RECOVERIES_MAX};

/// One element with everything below it.
pub(super) struct Element {
    /// Local name as written.
    pub(super) written: String,
    /// Local name for comparison: see [`fold`].
    pub(super) name: String,
    pub(super) namespace: Option<Arc<str>>,
    pub(super) attributes: Vec<Attribute>,
    /// Its own text, without that of its children.
    pub(super) text: String,
    /// Text or an attribute value was longer than the limit.
    pub(super) is_cut: bool,
    pub(super) children: Vec<Element>,
    /// Where it stands in the source.
    pub(super) span: Range<usize>,
    qualified: String,
}

/// One attribute; namespace declarations are not among them.
pub(super) struct Attribute {
    /// Local name, folded.
    pub(super) name: String,
    pub(super) is_prefixed: bool,
    pub(super) value: String,
}

/// What was read, and what stopped or disturbed the reading.
pub(super) struct Tree {
    pub(super) root: Option<Element>,
    /// Position of the first damage, if any.
    pub(super) damage: Option<usize>,
    /// The root's end tag was not reached.
    pub(super) is_cut_short: bool,
    pub(super) stop: Option<Stop>,
}

/// Why reading ended before the end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Doctype,
    Depth,
    Nodes,
    Damage,
}

/// Names are compared without regard to case, `-` and `_`.
pub(super) fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// Reads the whole text.
pub(super) fn read(source: &str, limits: &Limits) -> Tree {
    let mut builder = Builder {
        source,
        limits,
        nodes: 0,
        open: Vec::new(),
        bindings: Vec::new(),
        root: None,
        is_root_closed: false,
        damage: None,
    };
    let stop = builder.read().err();
    builder.finish(stop)
}

struct Builder<'a> {
    source: &'a str,
    limits: &'a Limits,
    nodes: usize,
    open: Vec<Element>,
    /// Namespace declarations in scope: depth of the element, prefix, name.
    bindings: Vec<(usize, String, Arc<str>)>,
    root: Option<Element>,
    is_root_closed: bool,
    damage: Option<usize>,
}

impl Builder<'_> {
    /// Reads run by run: after a syntax error the offending character is text, and a new run
    /// begins behind it.
    fn read(&mut self) -> Result<(), Stop> {
        let mut from = 0;
        for _ in 0..RECOVERIES_MAX {
            match self.read_run(from)? {
                None => return Ok(()),
                Some(error_at) => {
                    self.damaged(error_at);
                    let mut rest = self.source.get(error_at..).unwrap_or_default().chars();
                    let Some(skipped) = rest.next() else {
                        return Ok(());
                    };
                    self.text(skipped.encode_utf8(&mut [0; 4]), error_at);
                    from = self.source.len() - rest.as_str().len();
                }
            }
        }
        Err(Stop::Damage)
    }

    /// Reads from `from` to the end or to the first syntax error, whose position is returned.
    fn read_run(&mut self, from: usize) -> Result<Option<usize>, Stop> {
        let source = self.source;
        let mut reader = Reader::from_str(source.get(from..).unwrap_or_default());
        let config = reader.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        loop {
            let start = from.saturating_add(position(&reader));
            let event = reader.read_event();
            let end = from.saturating_add(position(&reader));
            match event {
                Ok(Event::Start(tag)) => self.start(&tag, start)?,
                Ok(Event::Empty(tag)) => {
                    self.start(&tag, start)?;
                    self.close(end);
                }
                Ok(Event::End(tag)) => self.end(tag.name().into_inner(), start, end),
                Ok(Event::Text(text)) => {
                    if text.contains('&') {
                        self.damaged(start);
                    }
                    self.text(&text.xml10_content(), start);
                }
                Ok(Event::CData(text)) => self.text(&text.xml10_content(), start),
                Ok(Event::GeneralRef(reference)) => self.reference(&reference, start),
                Ok(Event::DocType(_)) => return Err(Stop::Doctype),
                Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => {}
                Ok(Event::Eof) => return Ok(None),
                Err(_) if is_doctype(source.get(start..)) => return Err(Stop::Doctype),
                Err(_) => return Ok(Some(start)),
            }
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>, at: usize) -> Result<(), Stop> {
        if self.is_root_closed {
            // A second root: read into nothing, but count it.
            self.damaged(at);
        }
        let depth = self.open.len();
        if depth >= self.limits.depth_max {
            return Err(Stop::Depth);
        }
        self.count_node()?;
        let (attributes, is_cut) = self.attributes(tag, at, depth)?;
        let qualified = tag.name().into_inner();
        let (prefix, written) = qualified.split_once(':').unwrap_or(("", qualified));
        let namespace = self
            .bindings
            .iter()
            .rev()
            .find(|(_, bound, _)| bound == prefix)
            .map(|(_, _, name)| Arc::clone(name))
            .filter(|name| !name.is_empty());
        self.open.push(Element {
            written: written.to_owned(),
            name: fold(written),
            namespace,
            attributes,
            text: String::new(),
            is_cut,
            children: Vec::new(),
            span: at..at,
            qualified: qualified.to_owned(),
        });
        Ok(())
    }

    fn attributes(
        &mut self,
        tag: &BytesStart<'_>,
        at: usize,
        depth: usize,
    ) -> Result<(Vec<Attribute>, bool), Stop> {
        let (mut attributes, mut is_cut) = (Vec::new(), false);
        for attribute in tag.attributes() {
            self.count_node()?;
            let Ok(attribute) = attribute else {
                self.damaged(at);
                continue;
            };
            let raw = attribute.value.as_ref();
            let value = match attribute.normalized_value(XmlVersion::Implicit1_0) {
                Ok(value) if !raw.contains('<') => value.into_owned(),
                Ok(value) => {
                    self.damaged(at);
                    value.into_owned()
                }
                Err(_) => {
                    self.damaged(at);
                    raw.to_owned()
                }
            };
            let (value, cut) = cut(value, self.limits.text_bytes_max);
            is_cut |= cut;
            let name = attribute.key.into_inner();
            match name.split_once(':') {
                None if name == "xmlns" => {
                    self.bindings
                        .push((depth, String::new(), value.trim().into()));
                }
                Some(("xmlns", prefix)) => {
                    self.bindings
                        .push((depth, prefix.to_owned(), value.trim().into()));
                }
                split => attributes.push(Attribute {
                    name: fold(split.map_or(name, |(_, local)| local)),
                    is_prefixed: split.is_some(),
                    value,
                }),
            }
        }
        Ok((attributes, is_cut))
    }

    fn count_node(&mut self) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes_max {
            Err(Stop::Nodes)
        } else {
            Ok(())
        }
    }

    /// An end tag closes the innermost element of its name, and what was left open inside.
    fn end(&mut self, name: &str, at: usize, end: usize) {
        let name = name.trim_end_matches(is_xml_space);
        let Some(depth) = self
            .open
            .iter()
            .rposition(|element| element.qualified == name)
        else {
            self.damaged(at);
            return;
        };
        while self.open.len() > depth + 1 {
            self.damaged(at);
            self.close(at);
        }
        self.close(end);
    }

    fn close(&mut self, end: usize) {
        let Some(mut element) = self.open.pop() else {
            return;
        };
        element.span.end = end;
        let depth = self.open.len();
        self.bindings.retain(|(of, _, _)| *of < depth);
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None if self.root.is_none() => {
                self.root = Some(element);
                self.is_root_closed = true;
            }
            None => {}
        }
    }

    fn text(&mut self, text: &str, at: usize) {
        match self.open.last_mut() {
            Some(element) => {
                let room = self
                    .limits
                    .text_bytes_max
                    .saturating_sub(element.text.len());
                let (text, is_cut) = cut_str(text, room);
                element.text.push_str(text);
                element.is_cut |= is_cut;
            }
            None if text.chars().all(is_xml_space) => {}
            None => self.damaged(at),
        }
    }

    fn reference(&mut self, reference: &BytesRef<'_>, at: usize) {
        let known = match &**reference {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            _ => reference.resolve_char_ref().ok().flatten(),
        };
        match known {
            Some(c) => self.text(c.encode_utf8(&mut [0; 4]), at),
            None => {
                self.damaged(at);
                self.text("&", at);
                self.text(reference, at);
                self.text(";", at);
            }
        }
    }

    fn damaged(&mut self, at: usize) {
        self.damage.get_or_insert(at);
    }

    fn finish(mut self, stop: Option<Stop>) -> Tree {
        let is_cut_short = !self.is_root_closed;
        if is_cut_short && stop.is_none() {
            self.damaged(self.source.len());
        }
        if let Some(innermost) = self.open.last_mut() {
            // Where the text breaks off in the middle of a label, half a label would be a lie.
            innermost.text.clear();
        }
        while !self.open.is_empty() {
            self.close(self.source.len());
        }
        Tree {
            root: self.root,
            damage: self.damage,
            is_cut_short,
            stop,
        }
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// An unclosed declaration is an error to quick-xml, and a refusal here all the same.
fn is_doctype(rest: Option<&str>) -> bool {
    let head = rest.and_then(|rest| rest.get(..DOCTYPE.len()));
    head.is_some_and(|head| head.eq_ignore_ascii_case(DOCTYPE))
}

fn cut(mut text: String, bytes_max: usize) -> (String, bool) {
    let length = cut_str(&text, bytes_max).0.len();
    let is_cut = length < text.len();
    text.truncate(length);
    (text, is_cut)
}

fn cut_str(text: &str, bytes_max: usize) -> (&str, bool) {
    if text.len() <= bytes_max {
        return (text, false);
    }
    // Index 0 is always a boundary, so something is found.
    let boundary = (0..=bytes_max)
        .rev()
        .find(|&index| text.is_char_boundary(index));
    (text.get(..boundary.unwrap_or(0)).unwrap_or_default(), true)
}

const DOCTYPE: &str = "<!DOCTYPE";
