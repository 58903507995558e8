//! The signaling process: sockets, signals and clocks around a
//! [`Recorder`](holdfast_recording::recorder::Recorder).
//!
//! One task owns the recorder; all others only move octets to and from it, through queues that are
//! bounded. There is no protocol logic here: what a message means is decided in the pure crates.

mod clock;
mod engine_link;
mod http;
mod incoming;
mod lifeline;
mod limits;
mod notices;
mod operator_socket;
mod recorder_config;
mod server;
mod stun;
mod supervisor;
mod tcp;
mod tls;
mod trace;
mod traffic;
mod udp;
mod watch;

pub use server::{Reloader, Server, StartError};
pub use tls::TlsError;

/// The error and what caused it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
