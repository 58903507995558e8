//! Who may record: decided for each request before anything of it is kept.
//!
//! In this order: is the address allowed at all (403), does it ask too often (503), does its
//! certificate have a name that is allowed (403), is the URI one that is served (RFC 5630), which
//! peer is it (403 where unknown ones are refused), and does it know its secret (401). A request of
//! a call has to come from whoever began the call. ACK and CANCEL are never challenged (RFC 3261
//! §22.1), and OPTIONS is not either: it keeps nothing, and clients that look whether the server is
//! there do not authenticate.
//!
//! It remembers no request. What a refusal costs is bounded: the answer is stateless.

mod config;
mod gate;
mod rate;
mod sips;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use holdfast_sip::digest::{Credentials, Digest, Identity};
use holdfast_sip::{Flow, FlowInfo, Method, Reply, Request, Status};
use holdfast_units::MonoTime;

pub use config::{AdmissionConfig, Names, PeerConfig, Prefix};
pub(crate) use gate::Gate;
pub use rate::Bucket;
use rate::Rates;

/// Decides who may record.
#[derive(Debug)]
pub struct Admission {
    config: AdmissionConfig,
    digest: Option<Digest>,
    rates: Rates,
    /// Names in the certificates of open connections.
    names_by_flow: BTreeMap<Flow, Arc<[String]>>,
    counts: Counts,
}

/// Who sent a request that was let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// Its profile, by its place in the configuration; `None` for one that no profile names.
    pub peer: Option<usize>,
    /// The user it authenticated as.
    pub user: Option<String>,
}

/// What was refused, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests answered 401.
    pub challenged: u64,
    /// Requests answered 403 or 480, or passed over.
    pub forbidden: u64,
    /// Requests answered 503, and connections closed, because the source asked too often.
    pub too_fast: u64,
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The address stands in no prefix of `access.allow`.
    #[error("access.allow has no such address")]
    Address,
    /// The source asks more often than it may.
    #[error("too many requests from this address")]
    TooFast,
    /// No name of the certificate is one of `tls.client_names`.
    #[error("no name in its certificate is allowed")]
    Name,
    /// The URI is `sip` where only `sips` is served.
    #[error("only sips URIs are served")]
    SipsRequired,
    /// The URI is `sips` and the request did not come over TLS.
    #[error("a sips URI without TLS")]
    SipsNotAllowed,
    /// The Request-URI is `sips` and the Contact is not.
    #[error("a sips Request-URI with another Contact")]
    SipsMixed,
    /// No profile fits, and unknown peers are refused.
    #[error("no such peer")]
    Unknown,
    /// It has no credentials, wrong ones or old ones.
    #[error("{0}")]
    Credentials(CredentialsFault),
    /// The user is known, and none of the peers that fit may be it.
    #[error("this user may not record from there")]
    User,
    /// A request of a call of somebody else.
    #[error("the call is another peer's")]
    NotItsCall,
}

/// What is wrong with credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsFault {
    /// There are none: most clients wait to be asked.
    #[error("no credentials")]
    Missing,
    /// The user is unknown or the secret is not its.
    #[error("wrong credentials")]
    Wrong,
    /// The nonce is too old, or was used before.
    #[error("credentials from an old challenge")]
    Stale,
}

/// An answer that keeps a request out, and why.
#[derive(Clone, Debug)]
pub(crate) struct Rejection {
    /// `None`: nothing is said.
    pub(crate) reply: Option<Box<Reply>>,
    pub(crate) cause: NotAdmitted,
}

/// What a request belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Belongs<'a> {
    /// To no call.
    Nowhere,
    /// To a call that this sender began.
    ToCallOf(&'a Sender),
}

impl Admission {
    /// `secret` keeps nonces from being forged; random.
    pub fn new(config: AdmissionConfig, secret: [u8; 32]) -> Self {
        let digest = config
            .digest
            .clone()
            .map(|config| Digest::new(config, secret));
        Self {
            rates: Rates::new(config.requests_per_second, config.requests_burst),
            digest,
            config,
            names_by_flow: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// What was refused.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The profile of a sender.
    pub fn peer(&self, sender: &Sender) -> Option<&PeerConfig> {
        self.config.peers.get(sender.peer?)
    }

    /// The profile by which an address may be called, by its place in the configuration.
    pub fn callee(&self, ip: IpAddr) -> Option<usize> {
        let ip = ip.to_canonical();
        let peers = self.config.peers.iter();
        self.config.allows(ip).then_some(())?;
        peers.clone().position(|peer| peer.may_be_called_at(ip))
    }

    /// The place of a profile in the configuration.
    pub fn place_of(&self, name: &str) -> Option<usize> {
        self.config.peers.iter().position(|peer| peer.name == name)
    }

    /// Takes other credentials; what has been let in stays.
    pub fn replace_credentials(&mut self, credentials: Credentials) {
        if let Some(digest) = &mut self.digest {
            digest.replace_credentials(credentials);
        }
    }

    /// The peer of a connection has shown a certificate with these names.
    pub fn handle_identity(&mut self, flow: Flow, names: Vec<String>) {
        self.names_by_flow.insert(flow, names.into());
    }

    /// A connection is gone.
    pub fn handle_flow_closed(&mut self, flow: Flow) {
        self.names_by_flow.remove(&flow);
    }

    /// Whether a connection is worth being taken at all.
    pub fn admit_connection(
        &mut self,
        now: MonoTime,
        remote: SocketAddr,
    ) -> Result<(), NotAdmitted> {
        let ip = remote.ip().to_canonical();
        let cause = if !self.config.allows(ip) {
            NotAdmitted::Address
        } else if !self.rates.take(now, ip) {
            NotAdmitted::TooFast
        } else {
            return Ok(());
        };
        self.count(cause);
        Err(cause)
    }

    /// Whether something that cannot be read may have an answer: as often as a request may.
    pub(crate) fn answers_malformed(&mut self, now: MonoTime, source: &FlowInfo) -> bool {
        let ip = source.remote.ip().to_canonical();
        self.config.allows(ip) && self.rates.take(now, ip)
    }

    /// Who sent a request, or the answer that keeps it out.
    pub(crate) fn judge(
        &mut self,
        now: MonoTime,
        flow: Flow,
        source: &FlowInfo,
        request: &Request,
        belongs: Belongs<'_>,
    ) -> Result<Sender, Rejection> {
        let verdict = self.decide(now, flow, source, request, belongs);
        verdict.map_err(|cause| {
            self.count(cause);
            let is_unanswerable = matches!(request.method(), Method::Ack | Method::Cancel);
            let reply = (!is_unanswerable).then(|| Box::new(self.reply(now, cause)));
            Rejection { reply, cause }
        })
    }

    fn decide(
        &mut self,
        now: MonoTime,
        flow: Flow,
        source: &FlowInfo,
        request: &Request,
        belongs: Belongs<'_>,
    ) -> Result<Sender, NotAdmitted> {
        let ip = source.remote.ip().to_canonical();
        if !self.config.allows(ip) {
            return Err(NotAdmitted::Address);
        }
        let is_challenged = !matches!(
            request.method(),
            Method::Ack | Method::Cancel | Method::Options
        );
        let is_counted = !matches!(request.method(), Method::Ack | Method::Cancel);
        if let Belongs::Nowhere = belongs
            && is_counted
            && !self.rates.take(now, ip)
        {
            return Err(NotAdmitted::TooFast);
        }
        let names = self.names_by_flow.get(&flow).cloned();
        if !self.config.allows_names(names.as_deref()) {
            return Err(NotAdmitted::Name);
        }
        match belongs {
            Belongs::Nowhere => {
                sips::judge(source, request, self.config.requires_sips)?;
                self.identify(now, ip, names.as_deref(), request, is_challenged)
            }
            Belongs::ToCallOf(sender) => {
                self.judge_within(now, ip, names.as_deref(), request, is_challenged, sender)?;
                Ok(sender.clone())
            }
        }
    }

    /// Which peer begins something.
    fn identify(
        &mut self,
        now: MonoTime,
        ip: IpAddr,
        names: Option<&[String]>,
        request: &Request,
        is_challenged: bool,
    ) -> Result<Sender, NotAdmitted> {
        let fits = |(_, peer): &(usize, &PeerConfig)| peer.fits(ip, names);
        let Some((first, peer)) = self.config.peers.iter().enumerate().find(fits) else {
            return match self.config.takes_unknown_peers {
                true => Ok(Sender::default()),
                false => Err(NotAdmitted::Unknown),
            };
        };
        if peer.users.is_none() || !is_challenged {
            let peer = Some(first);
            return Ok(Sender { peer, user: None });
        }
        let user = self.authenticate(now, request)?;
        let may_be = |(_, peer): &(usize, &PeerConfig)| {
            let users = peer.users.as_ref();
            peer.fits(ip, names) && users.is_some_and(|users| users.has_user(&user))
        };
        let found = self.config.peers.iter().enumerate().find(may_be);
        let (peer, _) = found.ok_or(NotAdmitted::User)?;
        Ok(Sender {
            peer: Some(peer),
            user: Some(user),
        })
    }

    /// Whether a request of a call comes from whoever began it.
    fn judge_within(
        &mut self,
        now: MonoTime,
        ip: IpAddr,
        names: Option<&[String]>,
        request: &Request,
        is_challenged: bool,
        sender: &Sender,
    ) -> Result<(), NotAdmitted> {
        let Some(peer) = sender.peer.and_then(|peer| self.config.peers.get(peer)) else {
            return Ok(());
        };
        if !peer.fits(ip, names) {
            return Err(NotAdmitted::NotItsCall);
        }
        if sender.user.is_none() || !is_challenged {
            return Ok(());
        }
        let user = self.authenticate(now, request)?;
        match sender.user.as_ref() == Some(&user) {
            true => Ok(()),
            false => Err(NotAdmitted::NotItsCall),
        }
    }

    fn authenticate(&mut self, now: MonoTime, request: &Request) -> Result<String, NotAdmitted> {
        let digest = self.digest.as_mut();
        let identity = digest.map(|digest| digest.judge(now, request));
        Err(NotAdmitted::Credentials(match identity {
            Some(Identity::Known(user)) => return Ok(user),
            Some(Identity::Wrong) => CredentialsFault::Wrong,
            Some(Identity::Stale) => CredentialsFault::Stale,
            Some(Identity::Missing) | None => CredentialsFault::Missing,
        }))
    }

    fn reply(&mut self, now: MonoTime, cause: NotAdmitted) -> Reply {
        match cause {
            NotAdmitted::TooFast => {
                let seconds = self.config.retry_after.as_secs().max(1);
                Reply::new(Status::UNAVAILABLE).header("Retry-After", seconds.to_string())
            }
            NotAdmitted::Credentials(fault) => {
                let is_stale = fault == CredentialsFault::Stale;
                let digest = self.digest.as_mut();
                let values = digest.map(|digest| digest.challenge(now, is_stale));
                values
                    .unwrap_or_default()
                    .into_iter()
                    .fold(Reply::new(Status::UNAUTHORIZED), |reply, value| {
                        reply.header("WWW-Authenticate", value)
                    })
            }
            NotAdmitted::SipsRequired => sips::required(),
            NotAdmitted::SipsNotAllowed => sips::not_allowed(),
            NotAdmitted::SipsMixed => sips::mixed(),
            NotAdmitted::Address
            | NotAdmitted::Name
            | NotAdmitted::Unknown
            | NotAdmitted::User
            | NotAdmitted::NotItsCall => Reply::new(Status::FORBIDDEN),
        }
    }

    const fn count(&mut self, cause: NotAdmitted) {
        match cause {
            NotAdmitted::TooFast => self.counts.too_fast += 1,
            NotAdmitted::Credentials(_) => self.counts.challenged += 1,
            NotAdmitted::Address
            | NotAdmitted::Name
            | NotAdmitted::SipsRequired
            | NotAdmitted::SipsNotAllowed
            | NotAdmitted::SipsMixed
            | NotAdmitted::Unknown
            | NotAdmitted::User
            | NotAdmitted::NotItsCall => self.counts.forbidden += 1,
        }
    }
}

#[cfg(test)]
mod tests;
