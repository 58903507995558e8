//! Digest authentication of requests (RFC 3261 §22 as amended by RFC 8760, RFC 7616).
//!
//! [`Digest::judge`] says who sent a request, [`Digest::challenge`] what to ask. Nothing is
//! remembered of a client until it has shown that it knows its secret; secrets are hashes, and
//! neither is ever printed.
//!
//! Only `qop=auth` is offered. A client that sends none (RFC 2069) can use a nonce once.
//!
//! The `uri` of the credentials is hashed and not held against the Request-URI: on its way a proxy
//! may have changed that (RFC 3261 §22.4), and here it leads to the same recorder whatever it says.

mod algorithm;
mod authorization;
mod nonce;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use holdfast_units::MonoTime;
use subtle::ConstantTimeEq as _;

pub use algorithm::Algorithm;
use authorization::Authorization;
use nonce::Nonces;

use crate::message::Request;

/// The hash of each user's name, realm and password, by user and algorithm.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    secrets: BTreeMap<(String, Algorithm), String>,
}

/// What a server is told about Digest.
#[derive(Clone, Debug)]
pub struct DigestConfig {
    /// The realm; no quotes or backslashes.
    pub realm: String,
    /// What is offered, the preferred one first.
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
    /// Who may come.
    pub credentials: Credentials,
}

/// Digest authentication as a server does it.
#[derive(Clone, Debug)]
pub struct Digest {
    config: DigestConfig,
    nonces: Nonces,
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// This user: the credentials are right and new.
    Known(String),
    /// It has no credentials for this realm.
    Missing,
    /// The secret is right; the nonce is too old, or its count was used before.
    Stale,
    /// The credentials are wrong, or cannot be read.
    Wrong,
}

impl Digest {
    /// `secret` keeps nonces from being forged; random.
    pub const fn new(config: DigestConfig, secret: [u8; 32]) -> Self {
        let nonces = Nonces::new(secret, config.nonce_lifetime);
        Self { config, nonces }
    }

    /// Takes other credentials; nonces stay good.
    pub fn replace_credentials(&mut self, credentials: Credentials) {
        self.config.credentials = credentials;
    }

    /// Who sent this request. A second look at the same one finds a replay.
    pub fn judge(&mut self, now: MonoTime, request: &Request) -> Identity {
        let headers = request.headers();
        let method = request.method().as_str();
        let mut verdict = match headers.has("Authorization") {
            true => Identity::Wrong,
            false => return Identity::Missing,
        };
        let mut is_for_us = false;
        let realm = self.config.realm.clone();
        for authorization in Authorization::all(headers, &realm) {
            is_for_us = true;
            match self.judge_one(now, method, &authorization) {
                Identity::Known(user) => return Identity::Known(user),
                Identity::Stale => verdict = Identity::Stale,
                Identity::Missing | Identity::Wrong => {}
            }
        }
        // Those of another realm, or of another scheme, are none (RFC 4475 §3.3.7).
        if is_for_us {
            verdict
        } else {
            Identity::Missing
        }
    }

    fn judge_one(&mut self, now: MonoTime, method: &str, found: &Authorization) -> Identity {
        let offered = |algorithm: &Algorithm| self.config.algorithms.contains(algorithm);
        let Some(algorithm) = found.algorithm().filter(offered) else {
            return Identity::Wrong;
        };
        let count = match found.qop.as_deref() {
            None => Some(1),
            Some(qop) if qop.eq_ignore_ascii_case("auth") && !found.cnonce.is_empty() => {
                found.count()
            }
            Some(_) => None,
        };
        let Some(count) = count else {
            return Identity::Wrong;
        };
        let key = (found.username.clone(), algorithm);
        let secret = self.config.credentials.secrets.get(&key);
        // An unknown user costs as much time as a known one.
        let expected = found.expected(algorithm, secret.map_or("", String::as_str), method);
        let is_right = bool::from(expected.as_bytes().ct_eq(found.response.as_bytes()));
        if secret.is_none() || !is_right {
            return Identity::Wrong;
        }
        match self.nonces.recognise(now, &found.nonce) {
            Some(nonce) if self.nonces.take(now, nonce, count) => Identity::Known(key.0),
            Some(_) | None => Identity::Stale,
        }
    }

    /// The WWW-Authenticate values of a 401: one for each algorithm, the preferred one first
    /// (RFC 8760 §2.3). `is_stale`: the client need not ask its user again.
    pub fn challenge(&mut self, now: MonoTime, is_stale: bool) -> Vec<String> {
        let realm = &self.config.realm;
        let nonce = self.nonces.issue(now);
        let stale = if is_stale { ", stale=true" } else { "" };
        let value = |algorithm: &Algorithm| {
            format!(
                "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}",
                algorithm.name()
            )
        };
        self.config.algorithms.iter().map(value).collect()
    }
}

impl Credentials {
    /// Adds a user. `hash` is that of name, realm and password with colons between them.
    pub fn insert(&mut self, user: &str, algorithm: Algorithm, hash: &str) {
        self.secrets
            .insert((user.to_owned(), algorithm), hash.to_ascii_lowercase());
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.secrets.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
