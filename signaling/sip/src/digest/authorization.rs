//! The Authorization header field (RFC 3261 §25.1, RFC 7616 §3.4).

use super::algorithm::Algorithm;
use crate::message::{Headers, find_top_level, quoted_string, split};

/// Digest credentials as a client sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Authorization {
    pub(super) username: String,
    pub(super) realm: String,
    pub(super) nonce: String,
    pub(super) uri: String,
    pub(super) response: String,
    pub(super) cnonce: String,
    /// Eight hexadecimal digits.
    pub(super) nc: String,
    /// `None` for a client of before RFC 2617.
    pub(super) qop: Option<String>,
    algorithm: Option<String>,
}

impl Authorization {
    /// The credentials for a realm: those that can be read, in the order they stand in.
    pub(super) fn all<'a>(headers: &'a Headers, realm: &'a str) -> impl Iterator<Item = Self> + 'a {
        headers
            .all("Authorization")
            .take(AUTHORIZATIONS_MAX)
            .filter_map(Self::parse)
            .filter(move |found| found.realm == realm)
    }

    /// `None` for another scheme, and where a parameter is missing or there twice.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (scheme, parameters) = value.trim().split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut found = Self::default();
        let mut seen = Vec::new();
        for parameter in split(parameters, b',').filter(|piece| !piece.is_empty()) {
            let at = find_top_level(parameter, b'=')?;
            let name = parameter.get(..at)?.trim().to_ascii_lowercase();
            let text = parameter.get(at + 1..)?.trim();
            let value = match quoted_string(text) {
                Some((value, rest)) if rest.trim().is_empty() => value,
                Some(_) => return None,
                None => text.to_owned(),
            };
            if seen.contains(&name) {
                return None;
            }
            found.set(&name, value);
            seen.push(name);
        }
        let needed = ["username", "realm", "nonce", "uri", "response"];
        needed
            .iter()
            .all(|name| seen.iter().any(|known| known == name))
            .then_some(found)
    }

    fn set(&mut self, name: &str, value: String) {
        match name {
            "username" => self.username = value,
            "realm" => self.realm = value,
            "nonce" => self.nonce = value,
            "uri" => self.uri = value,
            "response" => self.response = value.to_ascii_lowercase(),
            "cnonce" => self.cnonce = value,
            "nc" => self.nc = value,
            "qop" => self.qop = Some(value),
            "algorithm" => self.algorithm = Some(value),
            _ => {}
        }
    }

    /// RFC 7616 §3.4: MD5 where none is named.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        match &self.algorithm {
            Some(name) => Algorithm::from_name(name),
            None => Some(Algorithm::Md5),
        }
    }

    /// The nonce count; `None` where it is none.
    pub(super) fn count(&self) -> Option<u32> {
        let is_fit = self.nc.len() == 8 && self.nc.bytes().all(|octet| octet.is_ascii_hexdigit());
        is_fit
            .then(|| u32::from_str_radix(&self.nc, 16).ok())
            .flatten()
    }

    /// What `response` has to be. `secret` is the hash of user, realm and password.
    pub(super) fn expected(&self, algorithm: Algorithm, secret: &str, method: &str) -> String {
        let request = algorithm.hash(&[method, &self.uri]);
        match &self.qop {
            Some(qop) => {
                algorithm.hash(&[secret, &self.nonce, &self.nc, &self.cnonce, qop, &request])
            }
            None => algorithm.hash(&[secret, &self.nonce, &request]),
        }
    }
}

/// Credentials of one request that are looked at: one for each algorithm, and another realm's.
const AUTHORIZATIONS_MAX: usize = 8;
