//! The one task that owns the recorder, and the tasks around it.

mod connections;
mod keeping;
mod placing;
mod receiving;
mod sending;
mod status;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use holdfast_control::operator::Answer;
use holdfast_recording::recorder::{Output, Recorder};
use holdfast_settings::{
    Advertise, KeysWithoutTls, Settings, SettingsError, SipListen, SipTransport, Srtp,
};
use holdfast_sip::connections::Connections;
use holdfast_sip::{Entropy, Flow, Transport};
use holdfast_store::StoreError;
use holdfast_units::{MonoTime, RecordingId, WallTime};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::engine_link::{self, EngineSender};
use crate::http::Http;
use crate::incoming::Incoming;
use crate::lifeline::Lifelines;
use crate::limits::{CERTIFICATE_WARNING_DAYS, INBOX_MAX, STATISTICS_INTERVAL, TURN_BUDGET};
use crate::notices::Log;
use crate::tcp;
use crate::tls::{Tls, TlsError};
use crate::trace::Tracer;
use crate::traffic::Way;
use crate::udp::UdpPort;
use crate::watch::Watch;
use crate::{chain, operator_socket, recorder_config, stun, supervisor};
use connections::Connection;
use receiving::{accept, receive};

/// Why the process does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address of `sip.listen` cannot be had.
    #[error("listening on {transport} {address}")]
    Listen {
        /// How.
        transport: Transport,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// There can be no lifelines beside the control socket.
    #[error("what the two processes keep for each other")]
    Lifeline(#[source] io::Error),
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    Random,
    /// A file that the settings name cannot be used.
    #[error("a file that the settings name cannot be used")]
    Files(#[from] SettingsError),
    /// The files of `[http]` do not go together.
    #[error("the files of [http] cannot be used")]
    Http(#[source] rustls::Error),
    /// The files of `[tls]` do not go together.
    #[error("the files of [tls] cannot be used")]
    Tls(#[from] TlsError),
    /// The state of calls cannot be kept.
    #[error("the store of calls")]
    Store(#[from] StoreError),
    /// There is no key to seal it with.
    #[error("the key file of the node")]
    Key(#[from] holdfast_seal::KeyFileError),
    /// Nor is there a thread for it.
    #[error("the store of calls")]
    StoreThread(#[from] holdfast_store::StartError),
}

/// Has the files of the settings read again while the server runs.
#[derive(Clone, Debug)]
pub struct Reloader(Sender<Incoming>);

impl Reloader {
    /// New connections and requests get what the files say from now on; what is wrong with them is
    /// logged, and then all stays as it is.
    pub async fn reload(&self) {
        let _ = self.0.send(Incoming::Reload).await;
    }
}

/// The process with its sockets bound.
#[derive(Debug)]
pub struct Server {
    clock: Clock,
    recorder: Recorder,
    udp: Vec<Rc<UdpPort>>,
    listeners: Vec<(Transport, TcpListener)>,
    addresses: Vec<(Transport, SocketAddr)>,
    /// Operators who wait for a client to answer.
    placed: BTreeMap<RecordingId, oneshot::Sender<Answer>>,
    connections: BTreeMap<Flow, Connection>,
    flow_by_remote: BTreeMap<(Transport, SocketAddr), Flow>,
    crowd: Connections,
    setup: tcp::Setup,
    inbox: Receiver<Incoming>,
    /// Behind the inbox, into which it reports: when it is dropped nobody waits for the other.
    store: Option<keeping::Store>,
    engine: Option<EngineSender>,
    lifelines: Lifelines,
    log: Log,
    watch: Watch,
    tracer: Tracer,
    http: Http,
    started: WallTime,
    /// Told to stop.
    is_stopping: bool,
    /// Datagrams that were nothing like SIP.
    junk: Rc<Cell<u64>>,
    settings: Settings,
    next_flow: u64,
}

impl Server {
    /// Binds all sockets. Needs a runtime around it.
    ///
    /// # Errors
    ///
    /// An address is taken, or not on this machine; a file that the settings name cannot be used.
    pub fn bind(settings: &Settings) -> Result<Self, StartError> {
        let clock = Clock::start();
        // Before anything is taken from the process before: with bad files this one does not run.
        let tls = read_tls(settings, clock.wall())?;
        let credentials = recorder_config::credentials(settings)?;
        let http_files = settings.read_http(unix_seconds(clock.wall()))?;
        let node_keys = Arc::new(holdfast_seal::load_or_create(&settings.node.key_file)?);
        warn_of_open_keys(settings);
        let mut secret = [0; 8];
        getrandom::fill(&mut secret).map_err(|_| StartError::Random)?;
        let control_socket = &settings.node.control_socket;
        let mut lifelines = Lifelines::connect(control_socket).map_err(StartError::Lifeline)?;
        let (mut udp, mut listeners, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for listen in &settings.sip.listen {
            let fault = |source| StartError::Listen {
                transport: transport_of(listen),
                address: listen.address,
                source,
            };
            let kept = lifelines.take(transport_of(listen), listen.address);
            let address = match listen.transport {
                SipTransport::Udp => {
                    let port = UdpPort::bind(listen.address, kept).map_err(fault)?;
                    let bound = port.bound();
                    lifelines.keep(Transport::Udp, bound, &port);
                    udp.push(Rc::new(port));
                    bound
                }
                SipTransport::Tcp | SipTransport::Tls => {
                    let listener = tcp::listen(listen.address, kept).map_err(fault)?;
                    let bound = listener.local_addr().map_err(fault)?;
                    lifelines.keep(transport_of(listen), bound, &listener);
                    listeners.push((transport_of(listen), listener));
                    bound
                }
            };
            addresses.push((transport_of(listen), address));
        }
        lifelines.begin(settings).map_err(StartError::Lifeline)?;
        let secret = u64::from_le_bytes(secret);
        let config = recorder_config::of(settings, &addresses, secret, credentials, node_keys);
        let limits = config.endpoint.limits.clone();
        let (sender, inbox) = channel(INBOX_MAX);
        let bounds = &settings.sip.limits;
        let mut recorder = Recorder::new(config, Box::new(SystemEntropy), clock.wall());
        let mut watch = Watch::default();
        let store = keeping::open(settings, clock, &mut recorder, &mut watch, sender.clone())?;
        let http = Http::new(settings, http_files, sender.clone()).map_err(StartError::Http)?;
        Ok(Self {
            watch,
            tracer: Tracer::default(),
            http,
            started: clock.wall(),
            is_stopping: false,
            clock,
            recorder,
            // Flows of the UDP sockets are their numbers.
            next_flow: udp.len() as u64,
            udp,
            listeners,
            addresses: addresses.clone(),
            placed: BTreeMap::new(),
            connections: BTreeMap::new(),
            flow_by_remote: BTreeMap::new(),
            crowd: Connections::new(
                bounds.connections_max as usize,
                bounds.connections_per_source_max as usize,
            ),
            setup: tcp::Setup {
                clock,
                limits,
                idle_timeout: bounds.connection_idle_timeout,
                tls,
                listeners: addresses.into(),
                inbox: sender,
            },
            inbox,
            store,
            engine: None,
            lifelines,
            log: Log::default(),
            junk: Rc::default(),
            settings: settings.clone(),
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[(Transport, SocketAddr)] {
        &self.addresses
    }

    /// A way to have the files read again.
    pub fn reloader(&self) -> Reloader {
        Reloader(self.setup.inbox.clone())
    }

    /// Runs until `stop` is ready and all that runs has ended, or the time for that is over.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let tasks = LocalSet::new();
        tasks.run_until(self.serve(stop)).await;
    }

    async fn serve(mut self, stop: impl Future<Output = ()>) {
        self.start_tasks();
        let mut stop = std::pin::pin!(stop);
        let mut stopped_at: Option<MonoTime> = None;
        let mut statistics = tokio::time::interval(STATISTICS_INTERVAL);
        statistics.tick().await;
        loop {
            self.perform();
            let now = self.clock.now();
            if let Some(since) = stopped_at
                && (self.recorder.is_finished()
                    || now.since(since) >= self.settings.lifecycle.shutdown_timeout)
            {
                break;
            }
            let last = stopped_at.map(|since| since + self.settings.lifecycle.shutdown_timeout);
            let due = self.recorder.poll_timeout().into_iter().chain(last).min();
            if due.is_some_and(|due| due <= now) {
                // A flood must not stop time.
                self.recorder.handle_timeout(now, self.clock.wall());
                self.take_arrivals();
                tokio::task::yield_now().await;
                continue;
            }
            let due = self.clock.instant(due.unwrap_or(now + STATISTICS_INTERVAL));
            tokio::select! {
                () = &mut stop, if stopped_at.is_none() => {
                    let is_handover = self.settings.lifecycle.handover && self.store.is_some();
                    match is_handover {
                        true => info!("leaving all calls to whoever goes on with them"),
                        false => info!("ending all calls"),
                    }
                    stopped_at = Some(self.clock.now());
                    self.is_stopping = true;
                    holdfast_process::tell_stopping();
                    let (now, wall) = (self.clock.now(), self.clock.wall());
                    match is_handover {
                        true => self.recorder.begin_handover(now, wall),
                        false => self.recorder.begin_shutdown(now, wall),
                    }
                }
                Some(incoming) = self.inbox.recv() => {
                    self.take(incoming);
                    self.take_arrivals();
                }
                () = tokio::time::sleep_until(due) => {}
                _ = statistics.tick() => self.log.statistics(&self.recorder.statistics(), self.junk.get()),
            }
        }
        self.finish();
    }

    fn finish(&mut self) {
        self.log
            .statistics(&self.recorder.statistics(), self.junk.get());
        if self.settings.lifecycle.handover && self.store.is_some() {
            // What comes meanwhile waits in the sockets, which the engine keeps.
            return;
        }
        match self.recorder.is_finished() {
            true => info!("all calls are ended"),
            false => warn!("stopped before every call was ended and published"),
        }
        self.lifelines.end();
    }

    fn start_tasks(&mut self) {
        for (port, flow) in self.udp.iter().cloned().zip(0..) {
            let (inbox, junk) = (self.setup.inbox.clone(), self.junk.clone());
            tokio::task::spawn_local(receive(port, Flow(flow), inbox, junk));
        }
        for (transport, listener) in std::mem::take(&mut self.listeners) {
            let inbox = self.setup.inbox.clone();
            tokio::task::spawn_local(accept(transport, listener, inbox));
        }
        let path = self.settings.node.control_socket.clone();
        tokio::task::spawn_local(engine_link::run(path, self.setup.inbox.clone()));
        if let Advertise::Stun(server) = &self.settings.sip.advertise {
            let asking = stun::run(server.clone(), self.setup.inbox.clone());
            tokio::task::spawn_local(asking);
        }
        let inbox = self.setup.inbox.clone();
        tokio::task::spawn_local(supervisor::keep_alive(inbox));
        holdfast_process::tell_ready();
        self.http.start();
        let path = self.settings.node.operator_socket.clone();
        tokio::task::spawn_local(operator_socket::run(path, self.setup.inbox.clone()));
    }

    /// Takes what else has arrived, as much as one turn may.
    fn take_arrivals(&mut self) {
        for _ in 1..TURN_BUDGET {
            match self.inbox.try_recv() {
                Ok(incoming) => self.take(incoming),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, incoming: Incoming) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        match incoming {
            Incoming::Message { flow, info, bytes } => {
                self.crowd.handle_message(flow);
                self.watch.traffic.count(Way::Received, &bytes);
                self.tracer
                    .note((now, wall), Way::Received, Some(info.remote), &bytes);
                self.recorder.handle_sip(now, wall, flow, &info, &bytes);
            }
            Incoming::Broken { flow, info, broken } => {
                self.recorder
                    .handle_broken_stream(now, wall, flow, &info, &broken);
            }
            Incoming::Accepted {
                transport,
                stream,
                remote,
            } => self.adopt(transport, stream, remote),
            Incoming::Identified { flow, names } => self.recorder.handle_identity(flow, names),
            Incoming::Handshake { remote, why } => self.log.handshake_failed(now, remote, &why),
            Incoming::Idle { flow, answer } => {
                // Whoever asked may be gone.
                let _ = answer.send(self.recorder.uses_flow(flow));
            }
            Incoming::Reload => self.reload(),
            Incoming::Closed(flow) => {
                self.forget(flow);
                self.recorder.handle_flow_closed(now, wall, flow);
            }
            Incoming::Unsent(owner) => self.recorder.handle_transport_error(now, wall, owner),
            Incoming::EngineUp(sender) => {
                self.engine = Some(sender);
                self.watch.handle_engine_up();
            }
            Incoming::Engine(message) => {
                self.watch.handle_engine(&message);
                self.recorder.handle_engine(now, wall, message);
            }
            Incoming::Saved(ticket) => self.recorder.handle_saved(now, wall, ticket),
            Incoming::Taken(recordings) => {
                self.watch.handle_taken(recordings.len());
                self.recorder.handle_taken(now, wall, &recordings);
            }
            Incoming::Adopted(rows) => {
                if let Some(store) = &self.store {
                    let (adopted, unreadable) =
                        keeping::adopt(store, self.clock, &mut self.recorder, &rows);
                    self.watch.handle_adopted(adopted, unreadable);
                }
            }
            Incoming::Found(number, row) => {
                let store = self.store.as_ref();
                let state = store.and_then(|store| store.open(row.as_ref()?).ok());
                let found = state.as_ref().zip(row.as_ref());
                let found = found.map(|(state, row)| keeping::stored(state, row));
                self.recorder.handle_found(now, wall, number, found);
            }
            Incoming::StoreAway(why) => {
                error!(why, "the state of calls cannot be saved");
                self.watch.handle_store_away(why);
                self.recorder.handle_store_away(now, wall);
            }
            Incoming::StoreBack => self.recorder.handle_store_back(now, wall),
            Incoming::EngineGone => {
                self.engine = None;
                self.watch.handle_engine_gone();
                self.recorder.handle_engine_gone(now, wall);
            }
            Incoming::Discovered(found) => self.handle_discovered(found),
            Incoming::Ask { question, answer } => self.answer(question, answer),
            Incoming::Placing { placing, answer } => self.place(placing, answer),
            // Where nobody waits for the answer any more, the command stands all the same.
            Incoming::Command { command, answer } => {
                let _ = answer.send(self.recorder.handle_command(now, wall, command));
            }
        }
    }

    /// Does what the recorder asks for.
    fn perform(&mut self) {
        while let Some(output) = self.recorder.poll_output() {
            match output {
                Output::Transmit { to, bytes, owner } => self.transmit(to, bytes, owner),
                // The connection ends when its queue is empty.
                Output::CloseFlow(flow) => self.forget(flow),
                Output::Engine(message) => {
                    let sent = self.engine.as_ref().map(|engine| engine.send(&message));
                    if sent.is_some_and(|sent| sent.is_err()) {
                        // With its sender gone the connection ends, and says so.
                        self.engine = None;
                    }
                }
                Output::Save(saving) => {
                    if let Some(store) = &self.store {
                        store.save(saving);
                    }
                }
                Output::ProbeStore(ticket) => {
                    if let Some(store) = &self.store {
                        store.probe(ticket);
                    }
                }
                Output::Find { number, dialog } => {
                    if let Some(store) = &self.store {
                        store.find(number, dialog);
                    }
                }
                Output::Called { recording, outcome } => self.tell_placed(recording, outcome),
                Output::Unsave(recording) => {
                    if let Some(store) = &self.store {
                        store.remove(recording);
                    }
                }
                Output::Notice(notice) => {
                    self.watch.handle_notice(self.clock.wall(), &notice);
                    let call = self.recorder.name_of(&notice);
                    self.log.notice(self.clock.now(), &notice, call);
                }
            }
        }
    }

    /// Takes certificates and credentials anew, or keeps what there is where anything is wrong.
    fn reload(&mut self) {
        match self.read_again() {
            Ok(()) => info!("certificates and credentials have been read again"),
            Err(error) => {
                let error = chain(&error);
                error!(error, "certificates and credentials stay as they were");
            }
        }
    }

    fn read_again(&mut self) -> Result<(), StartError> {
        let tls = read_tls(&self.settings, self.clock.wall())?;
        let credentials = recorder_config::credentials(&self.settings)?;
        let http_files = self.settings.read_http(unix_seconds(self.clock.wall()))?;
        self.http
            .replace_files(http_files)
            .map_err(StartError::Http)?;
        self.setup.tls = tls;
        self.recorder.replace_credentials(credentials);
        Ok(())
    }
}

fn read_tls(settings: &Settings, now: WallTime) -> Result<Option<Tls>, StartError> {
    let seconds = unix_seconds(now);
    let Some(files) = settings.read_tls(seconds)? else {
        return Ok(None);
    };
    let days_left = (files.expires_at - seconds) / SECONDS_PER_DAY;
    if days_left < CERTIFICATE_WARNING_DAYS {
        warn!(days_left, "tls.certificate expires soon");
    }
    Ok(Some(Tls::new(settings, files)?))
}

fn unix_seconds(at: WallTime) -> i64 {
    i64::try_from(at.unix_seconds()).unwrap_or(i64::MAX)
}

const fn transport_of(listen: &SipListen) -> Transport {
    match listen.transport {
        SipTransport::Udp => Transport::Udp,
        SipTransport::Tcp => Transport::Tcp,
        SipTransport::Tls => Transport::Tls,
    }
}

const SECONDS_PER_DAY: i64 = 86_400;

/// Who lets keys come in the clear is told so.
fn warn_of_open_keys(settings: &Settings) {
    let is_open =
        |srtp: &Srtp| srtp.keys_without_tls == KeysWithoutTls::Accept && !srtp.suites.is_empty();
    if is_open(&settings.srtp) {
        warn!(
            "srtp.keys_without_tls is \"accept\": keys that come without TLS protect nothing from \
               whoever can read the signaling"
        );
    }
    for peer in settings.peers.iter().filter(|peer| is_open(&peer.srtp)) {
        warn!(
            peer = peer.name,
            "srtp_keys_without_tls is \"accept\": its keys protect nothing from \
               whoever can read its signaling"
        );
    }
}

/// The system's random numbers.
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        // It was there at start, and does not go away.
        getrandom::fill(out).expect("the system has random numbers");
    }
}
