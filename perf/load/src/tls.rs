//! TLS as a client has it: which authority it trusts, what it shows of itself, which versions it speaks;
//! and as a client that is called has it, to whom others connect.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    StreamOwned,
};

/// Which versions of TLS a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    Both,
    /// 1.2 alone.
    Tls12,
    /// 1.3 alone.
    Tls13,
}

/// Makes connections.
#[derive(Clone, Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
}

/// Accepts connections.
#[derive(Clone, Debug)]
pub struct Server {
    config: Arc<ServerConfig>,
}

/// Why there is no such client, or server.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What should be PEM is not, or lacks what it should have.
    #[error("reading PEM")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The library does not take it.
    #[error("setting up TLS")]
    Library(#[from] rustls::Error),
    /// Clients can't be asked for a certificate of this authority.
    #[error("setting up the check of clients")]
    Clients(#[from] rustls::server::VerifierBuilderError),
}

impl Client {
    /// Trusts the authorities in `ca`, and shows `identity` (certificates and key) where it is asked;
    /// all of them PEM.
    pub fn new(
        ca: &[u8],
        identity: Option<(&[u8], &[u8])>,
        versions: Versions,
    ) -> Result<Self, ClientError> {
        let roots = roots(ca)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[_] = match versions {
            Versions::Both => &[&rustls::version::TLS13, &rustls::version::TLS12],
            Versions::Tls12 => &[&rustls::version::TLS12],
            Versions::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => builder
                .with_client_auth_cert(chain(certificates)?, PrivateKeyDer::from_pem_slice(key)?)?,
        };
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Connects, and shakes hands: what the server does not like shows here, or at the first read.
    pub fn connect(&self, target: SocketAddr, timeout: Duration) -> io::Result<TlsStream> {
        self.over(TcpStream::connect_timeout(&target, timeout)?, timeout)
    }

    /// The same on a connection that is there.
    pub fn over(&self, mut socket: TcpStream, timeout: Duration) -> io::Result<TlsStream> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(timeout))?;
        let name = ServerName::IpAddress(socket.peer_addr()?.ip().into());
        let mut session =
            ClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(TlsStream(Box::new(StreamOwned::new(session, socket))))
    }
}

impl Server {
    /// Shows `identity` (certificates and key). Where `ca` is given, whoever connects has to show a
    /// certificate of one of its authorities. All of them PEM.
    pub fn new(identity: (&[u8], &[u8]), ca: Option<&[u8]>) -> Result<Self, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let roots = Arc::new(roots(ca)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let (certificates, key) = identity;
        let config =
            builder.with_single_cert(chain(certificates)?, PrivateKeyDer::from_pem_slice(key)?)?;
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Shakes hands on a connection that was accepted: what the client does not like shows here, or at
    /// the first read.
    pub fn over(&self, mut socket: TcpStream, timeout: Duration) -> io::Result<Stream> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(timeout))?;
        let mut session = ServerConnection::new(self.config.clone()).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Stream::Accepted(Box::new(StreamOwned::new(
            session, socket,
        ))))
    }
}

fn roots(ca: &[u8]) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate?)?;
    }
    Ok(roots)
}

fn chain(certificates: &[u8]) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let chain = CertificateDer::pem_slice_iter(certificates);
    Ok(chain.collect::<Result<_, _>>()?)
}

/// A connection under TLS.
#[derive(Debug)]
pub struct TlsStream(Box<StreamOwned<ClientConnection, TcpStream>>);

impl TlsStream {
    /// `1.2` or `1.3`.
    pub fn version(&self) -> &'static str {
        match self.0.conn.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "another",
        }
    }
}

impl TlsStream {
    /// Whether the server has closed it: nothing is waited for.
    pub fn is_closed(&mut self) -> bool {
        let socket = &self.0.sock;
        if socket.set_nonblocking(true).is_err() {
            return true;
        }
        let mut octet = [0];
        let is_open = matches!(
            socket.peek(&mut octet),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        );
        !is_open
    }
}

/// A connection, whatever is around what it carries.
#[derive(Debug)]
pub enum Stream {
    /// Nothing.
    Plain(TcpStream),
    /// TLS, begun here.
    Tls(TlsStream),
    /// TLS, begun by the other.
    Accepted(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    /// The socket beneath.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.0.sock,
            Self::Accepted(stream) => &stream.sock,
        }
    }

    /// Longest that a read waits.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket().set_read_timeout(timeout)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.0.read(buffer),
            Self::Accepted(stream) => stream.read(buffer),
        };
        match result {
            // Gone without a word: for SIP, whose messages say their length, that is an end.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            result => result,
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => {
                let size = stream.0.write(bytes)?;
                stream.0.flush()?;
                Ok(size)
            }
            Self::Accepted(stream) => {
                let size = stream.write(bytes)?;
                stream.flush()?;
                Ok(size)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.0.flush(),
            Self::Accepted(stream) => stream.flush(),
        }
    }
}
