//! Every bound of this process beside those in the settings.

use std::time::Duration;

use holdfast_control::limits::MESSAGE_SIZE_MAX;

/// What arrived and waits for the recorder. Beyond it sockets are not read: datagrams wait in the
/// kernel, then are dropped there, and streams push back.
pub const INBOX_MAX: usize = 4_096;

/// Arrivals taken in one turn before deadlines are looked at.
pub const TURN_BUDGET: usize = 64;

/// Octets of the largest datagram.
pub const DATAGRAM_SIZE_MAX: usize = 65_535;

/// Asked of the kernel for each UDP socket in each direction, so that a burst of INVITEs with
/// metadata waits and is not lost. It gives no more than `net.core.rmem_max`.
pub const UDP_BUFFER_SIZE: usize = 4 * 1024 * 1024;

/// Messages that wait to leave on one connection; a peer that reads no faster is cut off.
pub const CONNECTION_QUEUE_MAX: usize = 256;

/// Octets read from a connection at a time: as long as it is open, each has such a buffer.
pub const READ_SIZE: usize = 4 * 1024;

/// How long one message may take to leave on a connection.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// Silence on a connection after which the kernel asks whether the peer is still there.
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// Pause between two such questions.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Questions without an answer after which the connection is given up.
pub const KEEPALIVE_PROBES: u32 = 6;

/// How long a connection of ours may take to come about: less than a transaction waits.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Pause after a connection could not be accepted, for want of descriptors as a rule, or a socket not
/// be read.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections of operators at a time; one more is closed at once.
pub const OPERATORS_MAX: usize = 16;

/// Silence after which an operator's connection is closed.
pub const OPERATOR_IDLE_MAX: Duration = Duration::from_secs(60);

/// Calls that are traced at a time.
pub const TRACES_MAX: usize = 16;
/// Messages that are kept of one; beyond it the oldest go.
pub const TRACE_MESSAGES_MAX: usize = 200;
/// Octets that are kept of a message.
pub const TRACE_MESSAGE_SIZE_MAX: usize = 16 * 1024;
/// A call that nobody has asked about for so long is traced no more.
pub const TRACE_IDLE_MAX: Duration = Duration::from_secs(10);

/// How often a STUN server is asked.
pub const STUN_INTERVAL: Duration = Duration::from_secs(60);
/// RFC 8489 section 6.2.1: the first wait for an answer, doubled with each repetition.
pub const STUN_FIRST_RTO: Duration = Duration::from_millis(500);
/// RFC 8489 section 6.2.1, Rc: how often a request is sent.
pub const STUN_REQUESTS: u32 = 7;
/// RFC 8489 section 6.2.1, Rm: the last wait, as a multiple of the first.
pub const STUN_LAST_WAIT: u32 = 16;

/// How long a request of HTTP waits for the recorder.
pub const HTTP_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The same where a client is to be called: it may ring for a minute, and has 32 s more to say that it
/// has heard a CANCEL.
pub const HTTP_PLACING_TIMEOUT: Duration = Duration::from_secs(100);
/// How long the head of a request may take to arrive, and a TLS handshake.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Octets of the head of a request.
pub const HTTP_HEAD_SIZE_MAX: usize = 16 * 1024;
/// Octets of the body of a request: none of ours has one.
pub const HTTP_BODY_SIZE_MAX: usize = 16 * 1024;
/// Recordings in one answer, where it is not said.
pub const HTTP_RECORDINGS_USUAL: usize = 100;
/// Recordings in one answer.
pub const HTTP_RECORDINGS_MAX: usize = 1_000;
/// Manifests that are read for one answer while there is no index.
pub const HTTP_MANIFESTS_MAX: usize = 20_000;
/// How long a reader may take nothing of what it asked for.
pub const HTTP_STALL_MAX: Duration = Duration::from_secs(30);
/// Pause between two attempts to listen.
pub const HTTP_RETRY: Duration = Duration::from_secs(2);

/// Days before our certificate expires from which on starts and reloads warn.
pub const CERTIFICATE_WARNING_DAYS: i64 = 14;

/// Log lines a second that peers can cause, and how many at once; what is beyond is counted.
pub const PEER_LINES_PER_SECOND: u32 = 5;
/// See [`PEER_LINES_PER_SECOND`].
pub const PEER_LINES_BURST: u32 = 50;

/// Octets that wait for the engine. One that lets so much wait is taken for hung, and the
/// connection is made anew.
pub const ENGINE_QUEUE_SIZE_MAX: usize = 256 * 1024 * 1024;

/// First and longest pause between two attempts to reach the engine.
pub const ENGINE_RETRY_MIN: Duration = Duration::from_millis(100);
/// See [`ENGINE_RETRY_MIN`].
pub const ENGINE_RETRY_MAX: Duration = Duration::from_secs(1);

/// The engine is not there for this long before someone should look: more than a start or a stop
/// of both processes takes.
pub const ENGINE_ABSENT_LONG: Duration = Duration::from_secs(5);

/// Descriptors that are kept for the engine.
pub const ENGINE_DESCRIPTORS_MAX: usize = holdfast_lifeline::limits::DESCRIPTORS_MAX;

/// How long the end of this process waits for the engine to let go of its sockets.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How often counts are logged.
pub const STATISTICS_INTERVAL: Duration = Duration::from_secs(60);

const _: () = assert!(ENGINE_QUEUE_SIZE_MAX > 1_000 * MESSAGE_SIZE_MAX);
