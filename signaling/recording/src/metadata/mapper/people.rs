//! Participants: their names, and the associations that dialects write into them.

use super::super::id::Id;
use super::super::model::{
    Flag, NameId, Participant, ParticipantSession, ParticipantStream, Times,
};
use super::super::tree::Element;
use super::fields::{attribute, trim};
use super::{Around, Mapper, unique};

/// `send`, `recv` and times of one participant.
#[derive(Default)]
pub(super) struct Media {
    pub(super) is_stated: bool,
    pub(super) sends: Vec<Id>,
    pub(super) receives: Vec<Id>,
    pub(super) times: Times,
}

impl Mapper<'_> {
    pub(super) fn participant(&mut self, element: &Element, around: Around<'_>) {
        let (mut names, mut extensions) = (Vec::new(), Vec::new());
        let mut media = Media::default();
        let (mut plain_name, mut plain_aors) = (None, Vec::new());
        plain_aors.extend(attribute(element, &["aor"]).map(str::to_owned));
        for child in &element.children {
            match child.name.as_str() {
                _ if self.is_foreign(child) => extensions.push(self.extension(child)),
                "nameid" => names.push(self.name_id(child)),
                "aor" => plain_aors.push(trim(&child.text).to_owned()),
                "name" => plain_name = self.name(child),
                _ if self.media(child, &mut media) => self.flag(true, Flag::NestedAssociations),
                _ if self.times(child, &mut media.times) => {
                    self.flag(true, Flag::NestedAssociations);
                }
                _ => extensions.push(self.extension(child)),
            }
        }
        self.plain_names(&mut names, plain_aors, plain_name);
        self.flag(names.is_empty(), Flag::NamelessParticipant);
        let from = names
            .first()
            .map(|name| name.aor.clone())
            .filter(|aor| !aor.is_empty());
        let id = self.own_id(element, "participantid", "participant", from);
        self.implied_associations(element, around, &id, media);
        self.document.participants.push(Participant {
            id,
            names,
            extensions,
        });
    }

    /// `aor` and `name` directly below the participant.
    fn plain_names(
        &mut self,
        names: &mut Vec<NameId>,
        aors: Vec<String>,
        name: Option<(String, Option<String>)>,
    ) {
        self.flag(!aors.is_empty() || name.is_some(), Flag::AorElements);
        let (mut name, mut language) = name.unzip();
        for aor in aors {
            // The name belongs to the first address.
            let language = language.take().flatten();
            names.push(NameId {
                aor,
                name: name.take(),
                language,
            });
        }
        if let (Some(name), Some(first)) = (name, names.first_mut()) {
            first.name.get_or_insert(name);
        }
    }

    /// Associations that a dialect writes into the participant.
    fn implied_associations(
        &mut self,
        element: &Element,
        around: Around<'_>,
        id: &Id,
        media: Media,
    ) {
        let session = self.reference(element, &["sessionid", "session"]);
        self.flag(session.is_some(), Flag::PlainReferences);
        if let Some(session) = session.or_else(|| around.session.cloned()) {
            self.document.participant_sessions.push(ParticipantSession {
                participant: id.clone(),
                session,
                times: media.times,
                params: Vec::new(),
                extensions: Vec::new(),
            });
        }
        if media.is_stated {
            // The times of the participant are those of its joining the session.
            self.document.participant_streams.push(ParticipantStream {
                participant: id.clone(),
                sends: unique(media.sends),
                receives: unique(media.receives),
                times: Times::default(),
                extensions: Vec::new(),
            });
        }
    }

    fn name_id(&mut self, element: &Element) -> NameId {
        let mut aor = attribute(element, &["aor", "uri"])
            .map(trim)
            .map(str::to_owned);
        let mut name = None;
        for child in &element.children {
            match child.name.as_str() {
                "name" => name = self.name(child),
                "aor" => {
                    self.flag(true, Flag::AorElements);
                    aor.get_or_insert_with(|| trim(&child.text).to_owned());
                }
                _ => {}
            }
        }
        self.spelling(element);
        self.flag(element.is_cut, Flag::TextCut);
        let (name, language) = name.unzip();
        NameId {
            aor: aor.unwrap_or_default(),
            name,
            language: language.flatten(),
        }
    }

    fn name(&mut self, element: &Element) -> Option<(String, Option<String>)> {
        self.flag(element.is_cut, Flag::TextCut);
        let name = trim(&element.text);
        let language = attribute(element, &["lang"]).map(str::to_owned);
        (!name.is_empty()).then(|| (name.to_owned(), language))
    }

    /// `send` and `recv`: a stream id as text, or in a child `id`, or in an attribute.
    pub(super) fn media(&mut self, child: &Element, media: &mut Media) -> bool {
        let is_send = match child.name.as_str() {
            _ if self.is_foreign(child) => return false,
            "send" => true,
            "recv" | "receive" => false,
            _ => return false,
        };
        let nested = child
            .children
            .iter()
            .filter(|inner| matches!(&*inner.name, "id" | "streamid"));
        let texts: Vec<&str> = [child.text.as_str()]
            .into_iter()
            .chain(nested.map(|inner| inner.text.as_str()))
            .chain(attribute(child, &["streamid", "id"]))
            .collect();
        let ids: Vec<Id> = texts
            .into_iter()
            .filter_map(|text| self.id_of(text))
            .collect();
        self.flag(ids.is_empty(), Flag::EmptyReference);
        media.is_stated = true;
        let list = if is_send {
            &mut media.sends
        } else {
            &mut media.receives
        };
        list.extend(ids);
        true
    }
}
