//! Checked settings: what the processes work with. Each field is named as its key in the file,
//! where `config/holdfast.toml` says what it does.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use holdfast_units::SrtpSuite;

use crate::problem::SettingsError;
use crate::raw::RawSettings;
use crate::store::Store;
use crate::{convert, document};

/// A settings file that was found good.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Who this node is and where it keeps its state.
    pub node: Node,
    /// SIP.
    pub sip: Sip,
    /// SIP over TLS.
    pub tls: Tls,
    /// Who may send requests.
    pub access: Access,
    /// Digest authentication.
    pub digest: Digest,
    /// Peers with a profile of their own, in the order in which they are tried.
    pub peers: Vec<Peer>,
    /// Where the state of calls is kept.
    pub store: Store,
    /// Encrypted media.
    pub srtp: Srtp,
    /// Reception of media.
    pub media: Media,
    /// The journal of each shard.
    pub journal: Journal,
    /// Recordings in progress and published.
    pub recordings: Recordings,
    /// What is asked of the running server by HTTP.
    pub http: Http,
    /// Start and stop.
    pub lifecycle: Lifecycle,
    /// What is logged, and how.
    pub log: Log,
    pub(crate) raw: RawSettings,
    /// Line of each key that stands in the file.
    pub(crate) line_by_key: BTreeMap<String, usize>,
}

impl Settings {
    /// Reads a settings file. What it does not state has its default.
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        let document = document::read(text)?;
        convert::convert(document)
    }

    /// The settings as a file that states every key.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.raw).expect("raw settings are tables of plain values")
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::from_toml("").expect("the defaults are good settings")
    }
}

/// `[node]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name of this node, unique among those that share recordings.
    pub name: String,
    /// The engine's lock and, by default, the journal.
    pub state_dir: PathBuf,
    /// The keys that seal secrets at rest; made at the first start.
    pub key_file: PathBuf,
    /// Whether a process that dies may leave its memory, and the keys in it, in a core dump.
    pub core_dumps: bool,
    /// Unix socket between the two processes.
    pub control_socket: PathBuf,
    /// Unix socket on which signaling takes the commands of an operator.
    pub operator_socket: PathBuf,
}

/// `[sip]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    /// Where SIP is received; never empty, no two overlap.
    pub listen: Vec<SipListen>,
    /// Address in Via and Contact.
    pub advertise: Advertise,
    /// Refuse what RFC 7866 does not allow.
    pub strict: bool,
    /// What an INVITE without any mark of SIPREC gets.
    pub plain_invite: PlainInvite,
    /// Whether a call is answered inactive and recorded from when an operator resumes it.
    pub start_paused: bool,
    /// What an INVITE is that speaks of a session which is being recorded.
    pub same_session: SameSession,
    /// Calls at a time; more get 503.
    pub max_calls: u32,
    /// m-lines recorded of one call; more are answered with port 0.
    pub streams_per_call_max: u32,
    /// After this a call is ended with BYE and its recording published.
    pub call_duration_max: Duration,
    /// Session-Expires that is granted (RFC 4028).
    pub session_expires: Duration,
    /// Below this a Session-Expires gets 422 with Min-SE.
    pub session_expires_min: Duration,
    /// A peer without a session timer that was silent for so long is asked whether it is there; zero:
    /// never.
    pub session_check_interval: Duration,
    /// A call whose peer answers nothing ends when it was silent for so long.
    pub session_timeout: Duration,
    /// How long the media engine may take to put a change of a recording into force before the request
    /// that waits for it is refused.
    pub engine_answer_timeout: Duration,
    /// How long whoever we call may take to accept before the call is withdrawn.
    pub callee_answer_timeout: Duration,
    /// Retry-After with a 503; whole seconds.
    pub retry_after: Duration,
    /// What messages and connections may cost.
    pub limits: SipLimits,
    /// Whether a request with a `sip` URI is refused (RFC 5630).
    pub require_sips: bool,
    /// RFC 3261 T1.
    pub t1: Duration,
    /// RFC 3261 T2.
    pub t2: Duration,
    /// RFC 3261 T4.
    pub t4: Duration,
    /// Value of the Server header; `None` sends none.
    pub server_header: Option<String>,
}

/// What an INVITE is whose metadata has a session that the same peer is having recorded already, and
/// which names no dialog to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSession {
    /// A call of its own.
    Off,
    /// The same call: it takes the place of the dialog there is.
    Join,
    /// A call of its own, whose recording says so.
    New,
}

/// Of `[sip]`: what messages and connections may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipLimits {
    /// Octets of one message with its body.
    pub message_size_max: u64,
    /// Octets of start-line and header fields of one message.
    pub header_size_max: u64,
    /// Parts of one body, nested ones counted.
    pub body_parts_max: u32,
    /// Multiparts within multiparts.
    pub body_depth_max: u32,
    /// Octets of one metadata document.
    pub metadata_size_max: u64,
    /// Elements within elements of one metadata document.
    pub metadata_depth_max: u32,
    /// How long a message or a TLS handshake may take to arrive on a connection.
    pub message_timeout: Duration,
    /// Open connections, TCP and TLS together.
    pub connections_max: u32,
    /// Open connections from one address.
    pub connections_per_source_max: u32,
    /// Silence after which a connection that no call uses is closed.
    pub connection_idle_timeout: Duration,
}

/// One address SIP listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SipListen {
    /// What carries the messages.
    pub transport: SipTransport,
    /// Address and port; the address may be unspecified (`0.0.0.0`, `::`), each for its family.
    pub address: SocketAddr,
}

/// What carries SIP messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SipTransport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl SipTransport {
    /// The name as the file has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// The address that peers are told for SIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advertise {
    /// The local address the message left from.
    Auto,
    /// This one; it need not be on this machine (address translation). A listener of the other
    /// family goes on as [`Advertise::Auto`].
    Address(IpAddr),
    /// What this server says of us (RFC 8489); until it has, as [`Advertise::Auto`].
    Stun(StunServer),
}

/// A STUN server, asked over UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StunServer {
    /// Name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What an INVITE without any mark of SIPREC gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainInvite {
    /// It is recorded.
    Accept,
    /// 403.
    Refuse,
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate chain, PEM, our own certificate first; `None` where nothing listens on TLS.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM; `None` where nothing listens on TLS.
    pub key: Option<PathBuf>,
    /// Whether a client shows a certificate.
    pub client_certificates: ClientCertificates,
    /// The authorities that peers' certificates come from, PEM.
    pub client_ca: Option<PathBuf>,
    /// Names of which a client's certificate must have one.
    pub client_names: Names,
}

/// Whether a TLS client shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// It is not asked for one.
    Off,
    /// It is asked, and may have none.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// Names that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Every name: `*`.
    Any,
    /// These.
    These(Vec<String>),
}

/// `[access]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Addresses that may send at all.
    pub allow: Vec<Prefix>,
    /// What becomes of a peer that no profile names.
    pub unknown_peers: UnknownPeers,
    /// Requests outside a call, and connections, of one address in a second.
    pub requests_per_second: u32,
    /// How many of them at once.
    pub requests_burst: u32,
}

/// An address, or all whose first bits are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The address; the bits behind the prefix are 0.
    pub address: IpAddr,
    /// How many bits count.
    pub bits: u8,
}

/// What becomes of a peer that no profile names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownPeers {
    /// It is recorded as `[sip]` says.
    Accept,
    /// 403.
    Refuse,
}

/// `[digest]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The realm of challenges and of the credentials.
    pub realm: String,
    /// The file with the users' hashes; `None` where nobody is asked.
    pub credentials: Option<PathBuf>,
    /// What is offered, the preferred one first; never empty.
    pub algorithms: Vec<DigestAlgorithm>,
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
}

/// A hash of Digest (RFC 8760).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512/256.
    Sha512_256,
    /// MD5, for clients that know nothing better.
    Md5,
}

impl DigestAlgorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha512_256, Self::Md5];

    /// The name as the file has it, and SIP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
            Self::Md5 => "MD5",
        }
    }
}

/// `[[peer]]`. It is meant where the address, the certificate and the user fit, of those that are
/// stated; one at least is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it is called in logs and manifests.
    pub name: String,
    /// Addresses it sends from; empty: any.
    pub addresses: Vec<Prefix>,
    /// Names in its certificate; `None`: no certificate is asked for.
    pub certificates: Option<Names>,
    /// Users that it may authenticate as; `None`: no credentials are asked for.
    pub users: Option<Names>,
    /// Whether operators may have it called, at any of its addresses.
    pub callable: bool,
    /// Whether it is believed who it says that its user is (P-Asserted-Identity, RFC 3325).
    pub trusted: bool,
    /// Refuse what RFC 7866 does not allow.
    pub strict: bool,
    /// What an INVITE without any mark of SIPREC gets.
    pub plain_invite: PlainInvite,
    /// Labels of media lines that have none, in the order of the lines.
    pub labels: Vec<String>,
    /// Encodings that are recorded, the preferred one first; empty: all.
    pub codecs: Vec<String>,
    /// Encrypted media.
    pub srtp: Srtp,
}

/// `[srtp]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srtp {
    /// Suites that are taken, the preferred one first; empty: streams are not encrypted.
    pub suites: Vec<SrtpSuite>,
    /// Whose order counts.
    pub prefer: SrtpPreference,
    /// What becomes of keys that do not come by TLS.
    pub keys_without_tls: KeysWithoutTls,
    /// Whether keys on a line of a plain profile encrypt it all the same (RFC 8643).
    pub opportunistic: bool,
}

/// Whose order of suites counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpPreference {
    /// That of the offer.
    Offer,
    /// Ours.
    Own,
}

/// What becomes of keys that do not come by TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysWithoutTls {
    /// The stream is refused.
    Refuse,
    /// They are taken: whoever reads the signaling can read the media.
    Accept,
}

/// `[media]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// How packets come in.
    pub ingest: IngestKind,
    /// Where the packet ring takes them.
    pub interface: MediaInterface,
    /// Octets of the packet rings of one interface, of all shards together.
    pub ring_size: u64,
    /// Whose time of arrival packets in the ring bear.
    pub timestamps: Timestamps,
    /// Local address in SDP.
    pub address: MediaAddress,
    /// All ports of all shards; see [`Media::shard_ports`].
    pub ports: PortRange,
    /// One pinned shard each; never empty, no core twice.
    pub cores: Vec<u32>,
    /// Length of a shard's tick.
    pub tick: Duration,
    /// Time between two commits of the journal.
    pub commit_interval: Duration,
    /// Rest of a port after its release.
    pub port_quarantine: Duration,
    /// From whom a stream takes packets.
    pub source_policy: SourcePolicy,
    /// Silence after which a stream may follow a new source.
    pub relatch_after: Duration,
    /// How long a stream that signaling does not claim stays open.
    pub orphan_timeout: Duration,
    /// Octets of the largest RTP packet that is kept.
    pub packet_size_max: u64,
}

impl Media {
    /// The ports of one shard: the range is split evenly, in the order of `cores`. Pairs that do
    /// not divide evenly stay unused at the end of the range. `None` beyond the last shard.
    pub fn shard_ports(&self, shard: usize) -> Option<PortRange> {
        if shard >= self.cores.len() {
            return None;
        }
        let ports_per_shard = self.ports.pairs() / u32::try_from(self.cores.len()).ok()? * 2;
        let first = u32::from(self.ports.first) + u32::try_from(shard).ok()? * ports_per_shard;
        let last = (first + ports_per_shard).checked_sub(1)?;
        Some(PortRange {
            first: u16::try_from(first).ok()?,
            last: u16::try_from(last).ok()?,
        })
    }
}

/// How packets come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestKind {
    /// The packet ring where it can be had, else plain UDP sockets.
    Auto,
    /// The packet ring, or no start.
    PacketRing,
    /// Plain UDP sockets.
    Udp,
}

/// Whose time of arrival packets in the ring bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// The kernel's.
    Kernel,
    /// The network card's, where it has noted one; else the kernel's.
    Card,
}

/// Where the packet ring takes packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaInterface {
    /// At the interfaces that carry the addresses media is sent to, and the loopback.
    Auto,
    /// At this one alone, frames of its VLANs included.
    Named(String),
}

/// The local address that SDP names for media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaAddress {
    /// The local address that the call's signaling came to.
    Auto,
    /// This one; a call of the other family goes on as [`MediaAddress::Auto`].
    Address(IpAddr),
}

/// From whom a stream takes packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourcePolicy {
    /// The announced address, or the first source that proves itself.
    Latch,
    /// The announced addresses alone.
    Strict,
    /// Anyone.
    Open,
}

/// A range of ports that begins even and ends odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port, even.
    pub first: u16,
    /// The last port, odd.
    pub last: u16,
}

impl PortRange {
    /// Pairs of an RTP and an RTCP port.
    pub const fn pairs(self) -> u32 {
        (self.last as u32 + 1 - self.first as u32) / 2
    }

    /// Whether `port` lies in it.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// `[journal]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Folder of the segments.
    pub dir: PathBuf,
    /// Octets of one segment; a multiple of [`crate::limits::SEGMENT_SIZE_STEP`].
    pub segment_size: u64,
    /// Segments of one shard.
    pub segments_max: u32,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
}

/// `[recordings]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recordings {
    /// Published recordings.
    pub dir: PathBuf,
    /// Recordings in progress; on the same file system as `dir`.
    pub incoming_dir: PathBuf,
    /// Which track files stay with a published recording.
    pub keep_packets: KeepPackets,
    /// Percent; above it new calls get 503.
    pub disk_high_watermark: u8,
    /// Percent, at least [`Self::disk_high_watermark`]; above it [`Self::when_critical`] holds.
    pub disk_critical_watermark: u8,
    /// What is given up on a disk that is nearly full.
    pub when_critical: WhenCritical,
    /// Threads that render and publish.
    pub publish_threads: u32,
    /// Whether the parts of a recording are also published as one.
    pub join_parts: bool,
}

/// Which track files stay with a published recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepPackets {
    /// Those of streams that could not be rendered to audio.
    Unrendered,
    /// All.
    Always,
    /// None.
    Never,
}

/// What is given up on a disk that is nearly full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenCritical {
    /// Nothing but new calls.
    StopNew,
    /// Packets that are kept although their audio is rendered.
    DropPacketsFirst,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where it listens; `None` nowhere. Never beyond the loopback without a token.
    pub listen: Option<SocketAddr>,
    /// Certificate chain, PEM, our own first; `None`: HTTP without TLS.
    pub certificate: Option<PathBuf>,
    /// Its private key; there is one where there is a certificate.
    pub key: Option<PathBuf>,
    /// The file with the token that requests have to bear; `None`: none is asked for.
    pub token_file: Option<PathBuf>,
    /// Open connections.
    pub connections_max: u32,
}

/// `[lifecycle]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// Whether a clean stop of signaling leaves the calls to the next process, or to another node.
    pub handover: bool,
    /// Time a clean stop may take.
    pub shutdown_timeout: Duration,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least that is logged.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// The least that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something was lost or refused that should not be.
    Error,
    /// Someone should look today.
    Warn,
    /// What happens per call.
    Info,
    /// What happens per message.
    Debug,
    /// What happens per packet.
    Trace,
}

impl LogLevel {
    /// The name as the file has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
