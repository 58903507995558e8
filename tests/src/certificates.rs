//! Authorities and certificates that exist for one test.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use holdfast_load::tls::{Client, Server, Versions};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};

/// Somebody who vouches for others.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, PEM.
    pub pem: String,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// When a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Now,
    /// Now, and three days on.
    Soon,
    /// No more.
    Past,
    /// Not yet.
    Future,
}

impl Authority {
    /// An authority of its own.
    ///
    /// # Panics
    /// When no key can be made.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for whoever is at 127.0.0.1 and has this DNS name.
    pub fn issue(&self, name: &str) -> Identity {
        self.issue_for(name, Validity::Now)
    }

    /// The same, good at another time.
    ///
    /// # Panics
    /// When no key can be made.
    pub fn issue_for(&self, name: &str, validity: Validity) -> Identity {
        let host = IpAddr::from(Ipv4Addr::LOCALHOST);
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let dns = name.try_into().expect("a name");
        params.subject_alt_names = vec![SanType::DnsName(dns), SanType::IpAddress(host)];
        let (from, to) = match validity {
            Validity::Now | Validity::Soon => (2020, 2120),
            Validity::Past => (2020, 2021),
            Validity::Future => (2119, 2120),
        };
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = match validity {
            Validity::Soon => (SystemTime::now() + Duration::from_secs(3 * 86_400)).into(),
            Validity::Now | Validity::Past | Validity::Future => date_time_ymd(to, 1, 1),
        };
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client that trusts this authority.
    pub fn client(&self, versions: Versions) -> Client {
        self.client_with(None, versions)
    }

    /// The same with a certificate of its own.
    ///
    /// # Panics
    /// When the certificate can't be used.
    pub fn client_with(&self, identity: Option<&Identity>, versions: Versions) -> Client {
        let identity =
            identity.map(|identity| (identity.certificate.as_bytes(), identity.key.as_bytes()));
        Client::new(self.pem.as_bytes(), identity, versions).expect("a client")
    }
}

impl Identity {
    /// Whoever is called and shows this; with `clients`, to those alone that show one of its certificates.
    ///
    /// # Panics
    /// When the certificate can't be used.
    pub fn server(&self, clients: Option<&Authority>) -> Server {
        let identity = (self.certificate.as_bytes(), self.key.as_bytes());
        let clients = clients.map(|authority| authority.pem.as_bytes());
        Server::new(identity, clients).expect("a server")
    }
}
