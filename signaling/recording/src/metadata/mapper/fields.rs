//! The leaves: ids, references, times and extensions, each with the flags it may raise.

use std::sync::Arc;

use super::super::id::{Id, IdForm, is_xml_space};
use super::super::model::{Extension, Flag, Times};
use super::super::time::{SourceTime, TimeForm};
use super::super::tree::{Element, fold};
use super::{Around, Mapper, NAMESPACE, values};

impl Mapper<'_> {
    pub(super) fn times(&mut self, child: &Element, times: &mut Times) -> bool {
        let slot = match child.name.as_str() {
            _ if self.is_foreign(child) => return false,
            "associatetime" | "starttime" => &mut times.associate,
            "disassociatetime" | "stoptime" | "endtime" => &mut times.disassociate,
            _ => return false,
        };
        if let Some(time) = self.time(child) {
            slot.get_or_insert(time);
        }
        true
    }

    pub(super) fn time(&mut self, element: &Element) -> Option<SourceTime> {
        if trim(&element.text).is_empty() {
            return None;
        }
        let time = SourceTime::read(&element.text);
        match time.form() {
            TimeForm::Rfc3339 => {}
            TimeForm::Loose => self.flag(true, Flag::LooseTime),
            TimeForm::NoZone => self.flag(true, Flag::TimeWithoutZone),
            TimeForm::Unreadable => self.flag(true, Flag::UnreadableTime),
        }
        Some(time)
    }

    /// The id of an object: its own attribute, a plain `id`, or one made for it.
    pub(super) fn own_id(
        &mut self,
        element: &Element,
        name: &str,
        what: &str,
        from: Option<String>,
    ) -> Id {
        let own = attribute(element, &[name]).and_then(|text| self.id_of(text));
        let id = own.or_else(|| {
            let plain = attribute(element, &["id"]).and_then(|text| self.id_of(text));
            self.flag(plain.is_some(), Flag::PlainIds);
            plain
        });
        id.unwrap_or_else(|| {
            self.flag(true, Flag::MissingId);
            self.place += 1;
            Id::made(what, &from.unwrap_or_else(|| self.place.to_string()))
        })
    }

    pub(super) fn reference(&mut self, element: &Element, names: &[&str]) -> Option<Id> {
        attribute(element, names).and_then(|text| self.id_of(text))
    }

    /// The session an association names, else the one around it.
    pub(super) fn session_reference(
        &mut self,
        element: &Element,
        around: Around<'_>,
    ) -> Option<Id> {
        let session = self.reference(element, &["sessionid", "session"]);
        self.flag(session.is_none(), Flag::EmptyReference);
        session.or_else(|| around.session.cloned())
    }

    pub(super) fn id_of(&mut self, text: &str) -> Option<Id> {
        let id = Id::read(text)?;
        self.flag(id.form() != IdForm::Uuid, Flag::OpaqueId);
        Some(id)
    }

    pub(super) fn extension(&mut self, element: &Element) -> Extension {
        self.flag(element.name == "extensiondata", Flag::ExtensionData);
        Extension {
            namespace: self.vendor_of(element),
            values: values::of(element),
            name: element.written.clone(),
            parent: attribute(element, &["parent"]).and_then(Id::read),
            xml: self
                .source
                .get(element.span.clone())
                .unwrap_or_default()
                .to_owned(),
        }
    }

    /// The namespace of a vendor's element; of the wrapper that the drafts had, that of what is in it.
    fn vendor_of(&self, element: &Element) -> Option<Arc<str>> {
        let mut foreign = element
            .children
            .iter()
            .filter(|child| self.is_foreign(child));
        match foreign.next() {
            Some(child) if !self.is_foreign(element) => child.namespace.clone(),
            Some(_) | None => element.namespace.clone(),
        }
    }

    pub(super) fn is_foreign(&self, element: &Element) -> bool {
        let own = self.namespace.as_deref();
        element
            .namespace
            .as_deref()
            .is_some_and(|name| Some(name) != own && !SIPREC_NAMESPACES.contains(&name))
    }

    pub(super) fn spelling(&mut self, element: &Element) {
        let canonical = CANONICAL.iter().find(|name| fold(name) == element.name);
        self.flag(
            canonical.is_some_and(|name| *name != element.written),
            Flag::ElementSpelling,
        );
    }
}

/// The value of the first of `names` that is there; without a prefix where there are both.
pub(super) fn attribute<'e>(element: &'e Element, names: &[&str]) -> Option<&'e str> {
    names.iter().find_map(|name| {
        let mut found = element
            .attributes
            .iter()
            .filter(|attribute| attribute.name == *name);
        let first = found.next()?;
        let plain = found.find(|attribute| !attribute.is_prefixed && first.is_prefixed);
        Some(plain.unwrap_or(first).value.as_str())
    })
}

pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_xml_space)
}

/// RFC 7865's namespace and those of the drafts before it.
const SIPREC_NAMESPACES: &[&str] = &[
    NAMESPACE,
    "urn:ietf:params:xml:ns:recording",
    "urn:ietf:params:xml:ns:siprec",
    "urn:ietf:params:xml:ns:siprec:1",
];

/// Names as RFC 7865 §9 spells them.
const CANONICAL: &[&str] = &[
    "datamode",
    "group",
    "session",
    "participant",
    "stream",
    "sessionrecordingassoc",
    "participantsessionassoc",
    "participantstreamassoc",
    "sipSessionID",
    "reason",
    "group-ref",
    "start-time",
    "stop-time",
    "nameID",
    "label",
];
