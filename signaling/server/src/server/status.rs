//! How the server is, put together from whoever knows.

use holdfast_control::ToEngine;
use holdfast_control::status::{Certificate, Connections, Question, Reply, Status};
use holdfast_settings::Advertise;
use holdfast_sip::Transport;
use std::net::IpAddr;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Server;
use crate::limits::{INBOX_MAX, TRACES_MAX};
use crate::stun::StunError;
use crate::trace::TooManyTraces;
use crate::{chain, recorder_config, watch};

impl Server {
    /// A STUN server has said what it knows, or nothing.
    pub(super) fn handle_discovered(&mut self, found: Result<IpAddr, StunError>) {
        let known = self.watch.handle_discovered(self.clock.wall(), &found);
        match found {
            Ok(address) if known != Some(address) => {
                info!(%address, "peers are told this address, as a STUN server sees it");
                let advertised = recorder_config::advertised_as(address, &self.addresses);
                self.recorder.replace_advertised(advertised);
            }
            Ok(_) => {}
            Err(error) => {
                let error = chain(&error);
                warn!(
                    error,
                    "the STUN server of sip.advertise does not tell our address"
                );
            }
        }
    }

    pub(super) fn answer(&mut self, question: Question, answer: oneshot::Sender<Reply>) {
        match question {
            // Whoever asked may be gone.
            Question::Status => {
                let status = Box::new(self.status());
                let _ = answer.send(Reply::Status { status });
            }
            Question::Trace { call_id, since } => {
                let now = self.clock.now();
                let _ = answer.send(match self.tracer.ask(now, &call_id, since) {
                    Ok(messages) => Reply::Trace { messages },
                    Err(TooManyTraces) => Reply::Malformed {
                        text: format!("{TRACES_MAX} calls are traced already"),
                    },
                });
            }
            Question::Latency => {
                if self.watch.want_latencies(answer)
                    && let Some(engine) = &self.engine
                {
                    // One that takes nothing is given up elsewhere, and then all are answered.
                    let _ = engine.send(&ToEngine::AskLatencies);
                }
            }
        }
    }

    fn status(&self) -> Status {
        let of = |transport| {
            let of_transport = |it: &&super::Connection| it.transport() == transport;
            self.connections.values().filter(of_transport).count() as u64
        };
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.settings.node.name.clone(),
            started: self.started,
            at: self.clock.wall(),
            connections: Connections {
                tcp: of(Transport::Tcp),
                tls: of(Transport::Tls),
                max: u64::from(self.settings.sip.limits.connections_max),
                ..Connections::default()
            },
            certificates: self.certificates(),
            ..Status::default()
        };
        if let Advertise::Stun(server) = &self.settings.sip.advertise {
            status.stun.is_used = true;
            status.stun.server = Some(format!("{}:{}", server.host, server.port));
        }
        status.calls.max = u64::from(self.settings.sip.max_calls);
        status.sip.junk = self.junk.get();
        status.process.inbox = self.inbox.len() as u64;
        status.process.inbox_max = INBOX_MAX as u64;
        self.log.tell(&mut status);
        self.watch.tell(&mut status, &self.recorder.statistics());
        let socket = &self.settings.node.control_socket;
        status.checks = watch::checks(
            &status,
            socket,
            self.recorder.is_draining(),
            self.is_stopping,
        );
        let is_ready = status.faults().next().is_none();
        status.is_ready = is_ready;
        status
    }

    fn certificates(&self) -> Vec<Certificate> {
        let sip = self.setup.tls.as_ref().map(|tls| tls.expires_at);
        let all = [
            ("tls.certificate", sip),
            ("http.certificate", self.http.certificate_expires_at()),
        ];
        let there = all.into_iter().filter_map(|(key, at)| Some((key, at?)));
        there
            .map(|(key, expires_at)| Certificate {
                key: key.to_owned(),
                expires_at,
            })
            .collect()
    }
}
