//! TLS: what the files of `[tls]` make of it, and the names in a peer's certificate (RFC 5922).
//!
//! TLS 1.2 and 1.3, nothing older (RFC 8996). Sessions are not resumed: connections live long, and
//! a resumed one would not show its certificate again.

use std::sync::Arc;

use holdfast_settings::{ClientCertificates, Names, Settings, TlsFiles};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What new connections are made with.
#[derive(Clone, Debug)]
pub struct Tls {
    pub server: Arc<ServerConfig>,
    /// For connections that we open; `None` where no authority is known that could vouch for a peer.
    pub client: Option<Arc<ClientConfig>>,
    /// Names of which a peer that we connect to must have one; `None`: any.
    pub names: Option<Arc<[String]>>,
    /// When our certificate expires, in seconds since 1970.
    pub expires_at: i64,
}

/// Why the files cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authorities can't vouch for clients.
    #[error("tls.client_ca cannot vouch for clients")]
    Authorities(#[from] rustls::server::VerifierBuilderError),
    /// The library refuses the combination.
    #[error("TLS cannot be set up")]
    Library(#[from] Error),
}

impl Tls {
    /// Both sides, from files that were found good.
    ///
    /// # Errors
    ///
    /// The library refuses them all the same.
    pub fn new(settings: &Settings, files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(files.authorities);
        let identity = Arc::new(SingleCertAndKey::from(files.identity));
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let verifier = |roots| WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let builder = match settings.tls.client_certificates {
            ClientCertificates::Off => builder.with_no_client_auth(),
            ClientCertificates::Optional => {
                let verifier = verifier(roots.clone()).allow_unauthenticated().build()?;
                builder.with_client_cert_verifier(verifier)
            }
            ClientCertificates::Required => {
                builder.with_client_cert_verifier(verifier(roots.clone()).build()?)
            }
        };
        let mut server = builder.with_cert_resolver(identity.clone());
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let client = match roots.is_empty() {
            true => None,
            false => {
                let mut client = ClientConfig::builder_with_provider(provider.clone())
                    .with_safe_default_protocol_versions()?
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(ByAuthority { roots, provider }))
                    .with_client_cert_resolver(identity);
                client.resumption = Resumption::disabled();
                Some(Arc::new(client))
            }
        };
        let names = match &settings.tls.client_names {
            Names::Any => None,
            Names::These(names) => Some(names.clone().into()),
        };
        Ok(Self {
            server: Arc::new(server),
            client,
            names,
            expires_at: files.expires_at,
        })
    }

    /// Whether a peer that we have connected to is one that we may talk to.
    pub fn trusts(&self, names: &[String]) -> bool {
        self.names.as_ref().is_none_or(|allowed| {
            names
                .iter()
                .any(|name| allowed.iter().any(|it| it.eq_ignore_ascii_case(name)))
        })
    }
}

/// Vouched for by one of the authorities. Which name the certificate has is looked at afterwards:
/// we connect to addresses, and RFC 5922 §7.1 knows no addresses in certificates.
#[derive(Debug)]
struct ByAuthority {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The SIP domains that a certificate speaks for (RFC 5922 §7.1): the hosts of its `sip` URIs without
/// a user; where there are none, its DNS names; where it has no alternative names at all, its common
/// name. In lower case.
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let lower = |name: &str| name.to_ascii_lowercase();
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else {
        let common = certificate.subject().iter_common_name();
        return common
            .filter_map(|name| name.as_str().ok())
            .map(lower)
            .take(NAMES_MAX)
            .collect();
    };
    let names = &alternative.value.general_names;
    let hosts: Vec<String> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => sip_host(uri).map(lower),
            _ => None,
        })
        .take(NAMES_MAX)
        .collect();
    if !hosts.is_empty() {
        return hosts;
    }
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(lower(name)),
        _ => None,
    };
    names.iter().filter_map(dns).take(NAMES_MAX).collect()
}

/// "If the scheme of the URI value is "sip", and there is no userinfo component in the URI (there
/// is no '@'), then the implementation MUST accept the hostpart as a SIP domain identity."
fn sip_host(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") || rest.contains('@') {
        return None;
    }
    let host = rest.split([':', ';', '?']).next()?;
    (!host.is_empty()).then_some(host)
}

/// Names of one certificate that count.
const NAMES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn names(subject: &str, alternative: Vec<SanType>) -> Vec<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, subject);
        params.subject_alt_names = alternative;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        names_of(certificate.der())
    }

    #[test]
    fn the_sip_domains_of_a_certificate() {
        let uri = |text: &str| SanType::URI(text.try_into().expect("ASCII"));
        let dns = |text: &str| SanType::DnsName(text.try_into().expect("ASCII"));
        for (alternative, expected) in [
            (vec![], vec!["common.example"]),
            (vec![dns("SBC.example.com")], vec!["sbc.example.com"]),
            (
                vec![dns("a.example"), dns("b.example")],
                vec!["a.example", "b.example"],
            ),
            (
                vec![dns("a.example"), uri("SIP:Sbc.example")],
                vec!["sbc.example"],
            ),
            (
                vec![uri("sip:user@a.example"), uri("sips:b.example")],
                vec![],
            ),
            (
                vec![
                    uri("sip:user@a.example"),
                    uri("https://b.example"),
                    dns("c.example"),
                ],
                vec!["c.example"],
            ),
            (vec![uri("sip:a.example:5061")], vec!["a.example"]),
            (vec![SanType::IpAddress([192, 0, 2, 1].into())], vec![]),
        ] {
            let said = format!("{alternative:?}");
            assert_eq!(names("Common.example", alternative), expected, "{said}");
        }
        assert!(names_of(&CertificateDer::from(vec![0x30, 0x00])).is_empty());
    }
}
