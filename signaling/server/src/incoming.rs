//! What the tasks around the recorder tell it.

use std::net::{IpAddr, SocketAddr};

use holdfast_control::FromEngine;
use holdfast_control::operator::{Answer, Command, Placing};
use holdfast_control::status::{Question, Reply};
use holdfast_sip::endpoint::Owner;
use holdfast_sip::stream::BrokenStream;
use holdfast_sip::{Flow, FlowInfo, Transport};
use holdfast_store::Row;
use holdfast_units::RecordingId;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::engine_link::EngineSender;
use crate::stun::StunError;

/// What arrived.
#[derive(Debug)]
pub enum Incoming {
    Message {
        flow: Flow,
        info: FlowInfo,
        bytes: Vec<u8>,
    },
    Broken {
        flow: Flow,
        info: FlowInfo,
        broken: BrokenStream,
    },
    Accepted {
        transport: Transport,
        stream: TcpStream,
        remote: SocketAddr,
    },
    /// The peer of a connection has shown a certificate with these names.
    Identified {
        flow: Flow,
        names: Vec<String>,
    },
    /// A peer and we did not come to terms about TLS.
    Handshake {
        remote: SocketAddr,
        why: String,
    },
    /// Nothing came on a connection for long: is it in use?
    Idle {
        flow: Flow,
        answer: oneshot::Sender<bool>,
    },
    Closed(Flow),
    /// The operator wants the files of the settings read again.
    Reload,
    Unsent(Owner),
    EngineUp(EngineSender),
    Engine(FromEngine),
    EngineGone,
    /// Every state of a call up to this ticket is durable.
    Saved(u64),
    /// Another node has these calls.
    Taken(Vec<RecordingId>),
    /// These calls were another node's.
    Adopted(Vec<Row>),
    /// The call of the dialog that was asked for.
    Found(u64, Option<Row>),
    /// The state of calls cannot be saved, and why.
    StoreAway(String),
    /// It can again.
    StoreBack,
    /// What a STUN server said of our address.
    Discovered(Result<IpAddr, StunError>),
    /// Somebody wants to know how the server is.
    Ask {
        question: Question,
        answer: oneshot::Sender<Reply>,
    },
    /// An operator wants a client called; the answer comes when the client has answered.
    Placing {
        placing: Placing,
        answer: oneshot::Sender<Answer>,
    },
    /// An operator wants something done.
    Command {
        command: Command,
        answer: oneshot::Sender<Answer>,
    },
}
