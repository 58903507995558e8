//! By what other systems know a call: identifiers of vendors in headers and in the metadata.
//!
//! Everything is kept as sent elsewhere (`metadata/*.sip`, `metadata/*.xml`); this is what somebody
//! who looks for a call needs in one form.

use std::collections::BTreeMap;

use holdfast_manifest::{Correlation, Extension, SipDialog};

use super::facts::Facts;
use crate::limits::{CORRELATIONS_MAX, EXTENSIONS_DESCRIBED_MAX, HEADER_CHARS_KEPT_MAX};
use crate::metadata::{self, State};

/// Whether a header field tells other systems' names of a call, or who is in it.
pub(super) fn is_telling(name: &str) -> bool {
    let is_experimental = starts_with(name, "x-");
    let is_known = HEADERS
        .iter()
        .any(|(known, ..)| name.eq_ignore_ascii_case(known));
    is_experimental
        || is_known
        || IDENTITY
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
}

/// What vendors add to the metadata.
pub(super) fn extensions(state: &State) -> Vec<Extension> {
    let mut out = Vec::new();
    add(&mut out, "recording", None, state.extensions());
    for group in state.groups() {
        add(
            &mut out,
            "group",
            Some(group.id.as_str()),
            &group.extensions,
        );
    }
    for session in state.sessions() {
        add(
            &mut out,
            "session",
            Some(session.id.as_str()),
            &session.extensions,
        );
    }
    for one in state.participants() {
        add(
            &mut out,
            "participant",
            Some(one.id.as_str()),
            &one.extensions,
        );
        add(
            &mut out,
            "participant",
            Some(one.id.as_str()),
            &one.media_extensions,
        );
    }
    for stream in state.streams() {
        add(
            &mut out,
            "stream",
            Some(stream.id.as_str()),
            &stream.extensions,
        );
    }
    out
}

fn add(out: &mut Vec<Extension>, of: &str, id: Option<&str>, found: &[metadata::Extension]) {
    for extension in found {
        if out.len() >= EXTENSIONS_DESCRIBED_MAX {
            return;
        }
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, text) in &extension.values {
            values.entry(path.clone()).or_default().push(text.clone());
        }
        out.push(Extension {
            of: of.to_owned(),
            id: id.map(str::to_owned),
            namespace: extension.namespace.as_deref().map(str::to_owned),
            name: extension.name.clone(),
            values,
        });
    }
}

/// All identifiers, each once.
pub(super) fn of(sip: &SipDialog, facts: &Facts, extensions: &[Extension]) -> Vec<Correlation> {
    let mut found = Found::default();
    for (name, values) in &sip.headers {
        for value in values {
            found.header(name, value);
        }
    }
    found.uri("From", &sip.from);
    found.uri("To", &sip.to);
    for extension in extensions {
        found.extension(extension);
    }
    for session in facts.state.sessions() {
        // Avaya's SBC names a session by the UCID of the call.
        if let Some(ucid) = ucid_of(session.id.as_str()) {
            found.push("avaya", "ucid", &ucid, "session_id");
        }
        for id in &session.sip_session_ids {
            found.push("sip", "session_id", id, "sipSessionID");
        }
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Correlation>);

impl Found {
    fn push(&mut self, vendor: &str, kind: &str, value: &str, source: &str) {
        let value: String = value.trim().chars().take(HEADER_CHARS_KEPT_MAX).collect();
        let is_known = self
            .0
            .iter()
            .any(|one| one.vendor == vendor && one.kind == kind && one.value == value);
        if value.is_empty() || is_known || self.0.len() >= CORRELATIONS_MAX {
            return;
        }
        self.0.push(Correlation {
            vendor: vendor.to_owned(),
            kind: kind.to_owned(),
            value,
            source: source.to_owned(),
        });
    }

    fn header(&mut self, name: &str, value: &str) {
        let known = HEADERS
            .iter()
            .find(|(known, ..)| name.eq_ignore_ascii_case(known));
        if let Some((_, vendor, kind)) = known {
            return match *kind {
                "uui" => self.user_to_user(name, value),
                "ucid" => self.ucid(vendor, value, name),
                "icid" => {
                    let icid = param(value, "icid-value").unwrap_or_default();
                    self.push(vendor, kind, &icid, name);
                }
                kind => self.push(vendor, kind, value, name),
            };
        }
        let vendors = VENDOR_HEADERS
            .iter()
            .find(|(prefix, _)| starts_with(name, prefix));
        if let Some((prefix, vendor)) = vendors {
            let kind = word_of(name.get(prefix.len()..).unwrap_or_default());
            match kind.as_str() {
                "ucid" => self.ucid(vendor, value, name),
                kind => self.push(vendor, kind, value, name),
            }
        }
    }

    /// RFC 7433; Avaya and Genesys carry the UCID of the call in it.
    fn user_to_user(&mut self, name: &str, value: &str) {
        let data = value.split(';').next().unwrap_or_default().trim();
        match ucid_of(data) {
            Some(ucid) => self.push("avaya", "ucid", &ucid, name),
            None => self.push("sip", "uui", data, name),
        }
    }

    fn ucid(&mut self, vendor: &str, value: &str, source: &str) {
        let value = value.trim();
        let is_hex = value.len() == 16 && !value.bytes().all(|b| b.is_ascii_digit());
        let ucid = decimal_ucid(value)
            .filter(|_| is_hex)
            .or_else(|| ucid_of(value));
        self.push(vendor, "ucid", ucid.as_deref().unwrap_or(value), source);
    }

    /// Parameters by which CUCM names the recorded call (`x-refci`) and Genesys does (`calluuid`).
    fn uri(&mut self, source: &str, text: &str) {
        for (name, vendor, kind) in URI_PARAMS {
            if let Some(value) = param(text, name) {
                self.push(vendor, kind, &value, source);
            }
        }
    }

    fn extension(&mut self, extension: &Extension) {
        let namespace = extension.namespace.as_deref().unwrap_or_default();
        let whole = format!("{namespace} {}", extension.name).to_ascii_lowercase();
        for (path, texts) in &extension.values {
            let within = format!("{whole} {path}").to_ascii_lowercase();
            let vendor = VENDOR_WORDS.iter().find(|(word, _)| within.contains(word));
            let vendor = vendor.map_or("other", |(_, vendor)| vendor);
            let leaf = path
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            let is_call_id = path.to_ascii_lowercase().ends_with("header[call-id]/value");
            let kind = VALUES
                .iter()
                .find(|(known, _)| *known == leaf)
                .map(|(_, kind)| *kind);
            for text in texts {
                match kind {
                    _ if is_call_id => self.push(vendor, "call_id", text, path),
                    Some("ucid") => self.ucid(vendor, text, path),
                    Some(kind) => self.push(vendor, kind, text, path),
                    None => {}
                }
                self.uri(path, text);
            }
        }
    }
}

/// A UCID in hexadecimal user-to-user data: the octet FA, the length 8, and eight octets.
fn ucid_of(data: &str) -> Option<String> {
    let data = data.get(..64).unwrap_or(data);
    let start = match data.get(2..6) {
        Some(tag) if tag.eq_ignore_ascii_case("fa08") => 6,
        _ => 4,
    };
    let tag = data.get(start - 4..start)?;
    (tag.eq_ignore_ascii_case("fa08")).then_some(())?;
    decimal_ucid(data.get(start..start + 16)?)
}

/// The twenty digits by which a UCID is told: node, sequence number, seconds since 1970.
fn decimal_ucid(hex: &str) -> Option<String> {
    (hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then_some(())?;
    let part = |range| u64::from_str_radix(hex.get(range)?, 16).ok();
    let (node, sequence, time) = (part(0..4)?, part(4..8)?, part(8..16)?);
    Some(format!("{node:05}{sequence:05}{time:010}"))
}

/// The value of a parameter in a URI or a header field, whatever surrounds it.
fn param(text: &str, name: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let wanted = format!("{name}=");
    let mut from = 0;
    loop {
        let at = from + lower.get(from..)?.find(&wanted)?;
        let is_whole = at == 0
            || matches!(
                lower.as_bytes().get(at - 1),
                Some(b';' | b'?' | b'&' | b' ')
            );
        let rest = text.get(at + wanted.len()..)?;
        if is_whole {
            let ends = |c: char| matches!(c, ';' | '>' | '"' | '&' | ',') || c.is_whitespace();
            let rest = rest.trim_start_matches('"');
            return Some(rest.split(ends).next().unwrap_or_default().to_owned());
        }
        from = at + wanted.len();
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}

fn word_of(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// Header fields with an identifier: name, whose it is, what it is.
const HEADERS: [(&str, &str, &str); 13] = [
    ("Session-ID", "sip", "session_id"),
    ("User-to-User", "sip", "uui"),
    ("P-Charging-Vector", "ims", "icid"),
    ("Cisco-Guid", "cisco", "guid"),
    ("Cisco-Gucid", "cisco", "gucid"),
    ("X-UCID", "oracle", "ucid"),
    ("P-OCSBC-UCID", "oracle", "ucid"),
    ("X-Acme-Call-ID", "oracle", "call_id"),
    ("X-Account-Sid", "jambonz", "account_sid"),
    ("ms-conversation-id", "microsoft", "conversation_id"),
    (
        "X-BroadWorks-Correlation-Info",
        "broadworks",
        "correlation_info",
    ),
    ("X-MetaSwitch-Call-ID", "metaswitch", "call_id"),
    ("X-Call-ID", "other", "call_id"),
];

/// Who is in a call and why it is there or ended, as far as headers say (S-90).
const IDENTITY: [&str; 7] = [
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Remote-Party-ID",
    "Privacy",
    "Diversion",
    "Reason",
    "Date",
];

/// Vendors by how their header fields begin; what follows is what it is.
const VENDOR_HEADERS: [(&str, &str); 20] = [
    ("X-Oracle-", "oracle"),
    ("X-OCSBC-", "oracle"),
    ("X-Acme-", "oracle"),
    ("X-Cisco-", "cisco"),
    ("X-Avaya-", "avaya"),
    ("X-AC-", "audiocodes"),
    ("X-Ribbon-", "ribbon"),
    ("X-Sonus-", "ribbon"),
    ("X-GENBAND-", "ribbon"),
    ("X-Sansay-", "sansay"),
    ("X-VSXi-", "sansay"),
    ("X-NICE-", "nice"),
    ("X-NTR-", "nice"),
    ("X-inContact-", "nice"),
    ("X-CXone-", "nice"),
    ("X-Genesys-", "genesys"),
    ("X-ININ-", "genesys"),
    ("X-BroadWorks-", "broadworks"),
    ("X-MetaSwitch-", "metaswitch"),
    ("X-Twilio-", "twilio"),
];

/// Vendors by a word in the namespace, the name or the path of their elements.
const VENDOR_WORDS: [(&str, &str); 12] = [
    ("acmepacket", "oracle"),
    ("broadsoft", "broadworks"),
    ("broadworks", "broadworks"),
    ("calldata", "ribbon"),
    ("sonus", "ribbon"),
    ("metaswitch", "metaswitch"),
    ("metswitch", "metaswitch"),
    ("audiocodes", "audiocodes"),
    ("cisco", "cisco"),
    ("avaya", "avaya"),
    ("genesys", "genesys"),
    ("jambonz", "jambonz"),
];

/// Identifiers among the values of vendors' elements.
const VALUES: [(&str, &str); 12] = [
    ("ucid", "ucid"),
    ("callid", "call_id"),
    ("gcid", "gcid"),
    ("exttrackingid", "ext_tracking_id"),
    ("serviceproviderid", "service_provider_id"),
    ("groupid", "group_id"),
    ("userid", "user_id"),
    ("callsid", "call_sid"),
    ("recordingid", "recording_id"),
    ("calluuid", "call_uuid"),
    ("avayaucid", "ucid"),
    ("correlationid", "correlation_id"),
];

/// Parameters of URIs.
const URI_PARAMS: [(&str, &str, &str); 6] = [
    ("x-refci", "cisco", "refci"),
    ("x-nearenddevice", "cisco", "near_end_device"),
    ("x-farenddevice", "cisco", "far_end_device"),
    ("x-farendrefci", "cisco", "far_end_refci"),
    ("calluuid", "genesys", "call_uuid"),
    ("connid", "genesys", "conn_id"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(&str, &str)]) -> Vec<String> {
        let mut found = Found::default();
        for (name, value) in headers {
            found.header(name, value);
        }
        let line = |one: &Correlation| format!("{} {} {}", one.vendor, one.kind, one.value);
        found.0.iter().map(line).collect()
    }

    #[test]
    fn headers_of_every_vendor() {
        for (name, value, expected) in [
            (
                "X-Oracle-UCID",
                "0090D1B06537E860",
                "oracle ucid 00144536801698162784",
            ),
            (
                "p-ocsbc-ucid",
                "00144536801698162784",
                "oracle ucid 00144536801698162784",
            ),
            ("Cisco-GUID", "1-2-3-4", "cisco guid 1-2-3-4"),
            (
                "Cisco-Gucid",
                "00144536801698162784",
                "cisco gucid 00144536801698162784",
            ),
            (
                "X-Cisco-Recording-Participant",
                "sip:1@192.0.2.1;media-index=\"0\"",
                "cisco recording_participant sip:1@192.0.2.1;media-index=\"0\"",
            ),
            ("X-Avaya-Conf-ID", "7", "avaya conf_id 7"),
            (
                "User-to-User",
                "04FA080090D1B06537E860C8143030;encoding=hex",
                "avaya ucid 00144536801698162784",
            ),
            (
                "User-to-User",
                "FA080090D1B06537E860;encoding=hex",
                "avaya ucid 00144536801698162784",
            ),
            (
                "User-to-User",
                "56a390f3d2b7;encoding=hex",
                "sip uui 56a390f3d2b7",
            ),
            (
                "X-AC-Action",
                "start-siprec",
                "audiocodes action start-siprec",
            ),
            ("X-Sonus-GCID", "241205267", "ribbon gcid 241205267"),
            ("X-GENBAND-ID", "9", "ribbon id 9"),
            (
                "P-Charging-Vector",
                "icid-value=\"AyretyU0dm+6O2IrT5tAFrbHLso=\";orig-ioi=home1.net",
                "ims icid AyretyU0dm+6O2IrT5tAFrbHLso=",
            ),
            ("ms-conversation-id", "c1", "microsoft conversation_id c1"),
            ("X-NTR-Call", "n", "nice call n"),
            ("X-CXone-Contact-ID", "8", "nice contact_id 8"),
            ("X-Genesys-CallUUID", "00U2", "genesys calluuid 00U2"),
            ("X-ININ-CRN", "10", "genesys crn 10"),
            (
                "X-BroadWorks-Correlation-Info",
                "a.b",
                "broadworks correlation_info a.b",
            ),
            (
                "Session-ID",
                "ab30;remote=00",
                "sip session_id ab30;remote=00",
            ),
        ] {
            assert!(is_telling(name), "{name}");
            assert_eq!(found(&[(name, value)]), [expected], "{name}: {value}");
        }
        assert!(found(&[("X-Unheard-Of", "1"), ("X-Sonus-GCID", " ")]).is_empty());
        assert!(is_telling("X-Unheard-Of") && !is_telling("Via") && !is_telling("Authorization"));
    }

    #[test]
    fn each_is_told_once_and_so_many_and_no_more() {
        assert_eq!(found(&[("Cisco-Guid", "1"), ("Cisco-Guid", "1")]).len(), 1);
        let many: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        let many: Vec<_> = many
            .iter()
            .map(|value| ("Cisco-Guid", value.as_str()))
            .collect();
        assert_eq!(found(&many).len(), CORRELATIONS_MAX);
        let long = "é".repeat(4_000);
        let told = &found(&[("Cisco-Guid", &long)])[0];
        assert_eq!(
            told.chars().count(),
            HEADER_CHARS_KEPT_MAX + "cisco guid ".len()
        );
    }

    #[test]
    fn parameters_are_found_whole() {
        let uri = "<sip:x-nearend;x-refci=26817;x-nearenddevice=SEP001@192.0.2.1>;tag=1";
        assert_eq!(param(uri, "x-refci").as_deref(), Some("26817"));
        assert_eq!(param("<sip:a;max-refci=1>", "x-refci"), None);
        assert_eq!(param("é=é;calluuid=", "calluuid").as_deref(), Some(""));
        assert_eq!(ucid_of("é"), None);
        assert_eq!(ucid_of("00FA08"), None);
        assert_eq!(ucid_of("00FA08ZZ705D4C5DCAAC41ZZ"), None);
        assert_eq!(
            ucid_of("00FA0800705D4C5DCAAC41").as_deref(),
            Some("00112238841573563457")
        );
    }
}
