//! The files that settings name and that hold identities: certificates, keys, Digest credentials.
//!
//! They are read at start and again whenever the operator asks for it. What is wrong with one is
//! said as everything else that is wrong with the settings: key, value, what is amiss, what to do.
//! No secret is part of such a message.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use crate::check::{Checker, quoted};
use crate::limits;
use crate::problem::SettingsError;
use crate::settings::{DigestAlgorithm, Settings, SipTransport};

/// What `[tls]` names, read and found good.
#[derive(Debug)]
pub struct TlsFiles {
    /// Our certificates, and the key of the first, which belongs to it.
    pub identity: CertifiedKey,
    /// The same key in the form it was read in.
    pub key: PrivateKeyDer<'static>,
    /// The authorities of peers' certificates; empty where none are named.
    pub authorities: RootCertStore,
    /// When our certificate expires, in seconds since 1970.
    pub expires_at: i64,
}

/// What `[http]` names, read and found good.
pub struct HttpFiles {
    /// Certificates with the key of the first, and when that expires, in seconds since 1970.
    pub identity: Option<(CertifiedKey, i64)>,
    /// What requests have to bear.
    pub token: Option<String>,
}

impl fmt::Debug for HttpFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFiles").finish_non_exhaustive()
    }
}

/// Where a certificate and its key are named: key, the text there, and the path.
struct Names<'a> {
    certificate: (&'static str, &'a str, Option<&'a Path>),
    key: (&'static str, &'a str, Option<&'a Path>),
}

impl<'a> Names<'a> {
    fn of_sip(settings: &'a Settings) -> Self {
        let (raw, tls) = (&settings.raw.tls, &settings.tls);
        let certificate = tls.certificate.as_deref();
        Self {
            certificate: ("tls.certificate", &raw.certificate, certificate),
            key: ("tls.key", &raw.key, tls.key.as_deref()),
        }
    }

    fn of_http(settings: &'a Settings) -> Self {
        let (raw, http) = (&settings.raw.http, &settings.http);
        let certificate = http.certificate.as_deref();
        Self {
            certificate: ("http.certificate", &raw.certificate, certificate),
            key: ("http.key", &raw.key, http.key.as_deref()),
        }
    }
}

/// A line of the credentials file.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user.
    pub user: String,
    /// The hash that is meant.
    pub algorithm: DigestAlgorithm,
    /// The hash of user, realm and password, in hexadecimal digits.
    pub hash: String,
}

impl Settings {
    /// Reads certificate, key and authorities; `None` where nothing listens on TLS. `now` is in
    /// seconds since 1970.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is not what it should be, does not go with another or has
    /// expired.
    pub fn read_tls(&self, now: i64) -> Result<Option<TlsFiles>, SettingsError> {
        let is_tls = |listen: &crate::SipListen| listen.transport == SipTransport::Tls;
        if !self.sip.listen.iter().any(is_tls) {
            return Ok(None);
        }
        let mut reader = Reader::new(self);
        let own = reader.identity(now, &Names::of_sip(self));
        let authorities = reader.authorities();
        let files = own.map(|(identity, key, expires_at)| TlsFiles {
            identity,
            key,
            authorities,
            expires_at,
        });
        SettingsError::unless_none(reader.checker.into_problems())?;
        Ok(files)
    }

    /// Reads certificate, key and token of `[http]`. `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is not what it should be, does not go with another or has
    /// expired.
    pub fn read_http(&self, now: i64) -> Result<HttpFiles, SettingsError> {
        let mut reader = Reader::new(self);
        let files = HttpFiles {
            identity: reader
                .identity(now, &Names::of_http(self))
                .map(|(identity, _, expires_at)| (identity, expires_at)),
            token: reader.token(),
        };
        SettingsError::unless_none(reader.checker.into_problems())?;
        Ok(files)
    }

    /// Reads the credentials of `[digest]`; none where no file is named.
    ///
    /// # Errors
    ///
    /// The file cannot be read, everybody may read it, or a line is not as it should be.
    pub fn read_credentials(&self) -> Result<Vec<Credential>, SettingsError> {
        let Some(path) = &self.digest.credentials else {
            return Ok(Vec::new());
        };
        let mut reader = Reader::new(self);
        let text = &self.raw.digest.credentials;
        let octets = reader.read("digest.credentials", text, path, Audience::Few);
        let mut credentials = Vec::new();
        let content = octets.unwrap_or_default();
        for (index, line) in String::from_utf8_lossy(&content).lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match credential(line) {
                Some(credential) => credentials.push(credential),
                None => {
                    let lack = format!("its line {} is no credential", index + 1);
                    let remedy = "write USER:ALGORITHM:HASH, with the hash of USER:REALM:PASSWORD \
                                  in hexadecimal digits";
                    let key = "digest.credentials";
                    reader.checker.not_here(key, quoted(text), lack, remedy);
                }
            }
        }
        SettingsError::unless_none(reader.checker.into_problems())?;
        Ok(credentials)
    }
}

impl Settings {
    /// The password of the store and the authorities of its servers, where the settings name them.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or everybody may read the password.
    pub fn read_store(&self) -> Result<(String, Vec<u8>), SettingsError> {
        let (mut reader, raw, redis) = (Reader::new(self), &self.raw.store, &self.store.redis);
        let password = redis.password_file.as_ref().and_then(|path| {
            reader.read(
                "store.password_file",
                &raw.password_file,
                path,
                Audience::Few,
            )
        });
        let authorities = redis
            .tls_ca
            .as_ref()
            .and_then(|path| reader.read("store.tls_ca", &raw.tls_ca, path, Audience::All));
        SettingsError::unless_none(reader.checker.into_problems())?;
        let password = String::from_utf8_lossy(&password.unwrap_or_default()).into_owned();
        Ok((
            password.trim_end().to_owned(),
            authorities.unwrap_or_default(),
        ))
    }
}

/// Reads files and collects what is wrong with them.
struct Reader<'a> {
    settings: &'a Settings,
    checker: Checker<'a>,
}

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    All,
    /// Its owner and group.
    Few,
}

impl<'a> Reader<'a> {
    fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            checker: Checker::new(&settings.line_by_key, Vec::new()),
        }
    }

    fn read(&mut self, key: &str, text: &str, path: &Path, audience: Audience) -> Option<Vec<u8>> {
        let octets = match read_some(path) {
            Ok((octets, mode)) if audience == Audience::Few && mode & 0o007 != 0 => {
                let lack = format!("everybody may use it (mode {:o})", mode & 0o777);
                let remedy = format!("chmod 640 {}", path.display());
                self.checker.not_here(key, quoted(text), lack, remedy);
                return Some(octets);
            }
            Ok((octets, _)) => octets,
            Err(error) => {
                let lack = format!("it cannot be read: {error}");
                let remedy = "make it readable for the user of the server, or name another one";
                self.checker.not_here(key, quoted(text), lack, remedy);
                return None;
            }
        };
        if octets.len() as u64 > limits::FILE_SIZE_MAX {
            let lack = "it is too large for such a file";
            self.checker
                .not_here(key, quoted(text), lack, "name another one");
            return None;
        }
        Some(octets)
    }

    fn certificates(&mut self, key: &str, text: &str, path: &Path) -> Vec<CertificateDer<'static>> {
        let Some(octets) = self.read(key, text, path, Audience::All) else {
            return Vec::new();
        };
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
        let lack = match found {
            Ok(certificates) if !certificates.is_empty() => return certificates,
            Ok(_) => "there is no certificate in it".to_owned(),
            Err(error) => format!("it is not PEM: {error}"),
        };
        let remedy = "name a file with BEGIN CERTIFICATE in it";
        self.checker.not_here(key, quoted(text), lack, remedy);
        Vec::new()
    }

    /// Certificates with the key of the first, the key as it was read, and when the first expires.
    fn identity(
        &mut self,
        now: i64,
        names: &Names<'_>,
    ) -> Option<(CertifiedKey, PrivateKeyDer<'static>, i64)> {
        let certificate = self.certificate(now, names.certificate);
        let key = self.key(names.key);
        let (chain, expires_at) = certificate?;
        let (identity, key) = self.pair(chain, key?, names)?;
        Some((identity, key, expires_at))
    }

    fn token(&mut self) -> Option<String> {
        let settings = self.settings;
        let path = settings.http.token_file.as_deref()?;
        let (key, text) = ("http.token_file", &settings.raw.http.token_file);
        let octets = self.read(key, text, path, Audience::Few)?;
        let content = String::from_utf8_lossy(&octets);
        let token = content.trim();
        let is_fit = token.bytes().all(|octet| octet.is_ascii_graphic());
        if is_fit && limits::HTTP_TOKEN_LENGTH.contains(&token.len()) {
            return Some(token.to_owned());
        }
        let (from, to) = (
            limits::HTTP_TOKEN_LENGTH.start(),
            limits::HTTP_TOKEN_LENGTH.end(),
        );
        let lack = format!("it is no line of {from} to {to} printable characters");
        let remedy = format!("openssl rand -hex 32 > {}", path.display());
        self.checker.not_here(key, quoted(text), lack, remedy);
        None
    }

    /// Our certificate and those behind it, and when the first expires.
    fn certificate(
        &mut self,
        now: i64,
        (key, text, path): (&str, &str, Option<&Path>),
    ) -> Option<(Vec<CertificateDer<'static>>, i64)> {
        let path = path?;
        let chain = self.certificates(key, text, path);
        let Ok((_, own)) = X509Certificate::from_der(chain.first()?) else {
            let lack = "its first certificate cannot be read";
            let remedy = "have it issued anew, as X.509";
            self.checker.not_here(key, quoted(text), lack, remedy);
            return None;
        };
        let validity = own.validity();
        let date = |time: ASN1Time| time.to_rfc2822().unwrap_or_else(|_| time.to_string());
        let expires_at = validity.not_after.timestamp();
        let lack = if now > expires_at {
            format!("it expired on {}", date(validity.not_after))
        } else if now < validity.not_before.timestamp() {
            format!("it is not valid before {}", date(validity.not_before))
        } else {
            return Some((chain, expires_at));
        };
        let remedy = "have it renewed, or set this machine's clock";
        self.checker.not_here(key, quoted(text), lack, remedy);
        None
    }

    fn key(
        &mut self,
        (key, text, path): (&str, &str, Option<&Path>),
    ) -> Option<PrivateKeyDer<'static>> {
        let path = path?;
        let octets = self.read(key, text, path, Audience::Few)?;
        let (lack, remedy) = match PrivateKeyDer::from_pem_slice(&octets) {
            Ok(found) => return Some(found),
            Err(_) if contains(&octets, b"ENCRYPTED") => (
                "it is encrypted",
                "take the pass phrase off: openssl pkey -in KEY -out NEW",
            ),
            Err(_) => (
                "there is no private key in it",
                "name a file with BEGIN PRIVATE KEY in it",
            ),
        };
        self.checker.not_here(key, quoted(text), lack, remedy);
        None
    }

    /// Certificate and key as one, where they are.
    fn pair(
        &mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        names: &Names<'_>,
    ) -> Option<(CertifiedKey, PrivateKeyDer<'static>)> {
        let (name, text) = (names.key.0, quoted(names.key.1));
        let Ok(signing) = any_supported_type(&key) else {
            let lack = "a key of this kind cannot be used";
            let remedy = "use ECDSA with P-256 or P-384, Ed25519, or RSA with 2048 bits or more";
            self.checker.not_here(name, text, lack, remedy);
            return None;
        };
        let pair = CertifiedKey::new(chain, signing);
        if pair.keys_match().is_err() {
            let (certificate, of) = (names.certificate.0, quoted(names.certificate.1));
            let lack = format!("it does not belong to {certificate} = {of}");
            let remedy = "name the key that the first certificate there was issued for";
            self.checker.not_here(name, text, lack, remedy);
            return None;
        }
        Some((pair, key))
    }

    fn authorities(&mut self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        let settings = self.settings;
        let Some(path) = settings.tls.client_ca.as_deref() else {
            return store;
        };
        let (key, text) = ("tls.client_ca", &settings.raw.tls.client_ca);
        for (index, certificate) in self.certificates(key, text, path).into_iter().enumerate() {
            if let Err(error) = store.add(certificate) {
                let lack = format!("its certificate {} cannot be used: {error}", index + 1);
                let remedy = "take it out, or have it issued anew";
                self.checker.not_here(key, quoted(text), lack, remedy);
            }
        }
        store
    }
}

/// At most one octet more than a file may have, and the file's mode.
fn read_some(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut octets = Vec::new();
    file.take(limits::FILE_SIZE_MAX + 1)
        .read_to_end(&mut octets)?;
    Ok((octets, mode))
}

fn contains(octets: &[u8], word: &[u8]) -> bool {
    octets.windows(word.len()).any(|window| window == word)
}

fn credential(line: &str) -> Option<Credential> {
    let (user_and_algorithm, hash) = line.rsplit_once(':')?;
    let (user, algorithm) = user_and_algorithm.rsplit_once(':')?;
    let algorithm = DigestAlgorithm::ALL
        .into_iter()
        .find(|known| known.as_str() == algorithm)?;
    let digits = match algorithm {
        DigestAlgorithm::Sha256 | DigestAlgorithm::Sha512_256 => 64,
        DigestAlgorithm::Md5 => 32,
    };
    let is_hash = hash.len() == digits && hash.bytes().all(|octet| octet.is_ascii_hexdigit());
    (!user.is_empty() && is_hash).then(|| Credential {
        user: user.to_owned(),
        algorithm,
        hash: hash.to_owned(),
    })
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("user", &self.user)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
