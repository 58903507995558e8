//! Health, metrics and the API, by HTTP.
//!
//! It runs on a thread with a runtime of its own, so that a large file or a crowd of dashboards takes
//! no time of SIP. What it knows it asks of the task that owns the recorder, as operators do.
//! Recording does not depend on it: where the address cannot be had the process says so and tries
//! again.

mod access;
mod api;
mod calls;
mod health;
mod indexed;
mod latency;
mod listener;
mod metrics;
mod problem;
mod recordings;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;
use holdfast_control::StageLatency;
use holdfast_control::operator::{Answer, Command, Placing};
use holdfast_control::status::{Question, Reply, Status};
use holdfast_settings::{HttpFiles, Settings};
use rustls::ServerConfig;
use rustls::sign::SingleCertAndKey;
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::error;

use crate::incoming::Incoming;
use crate::limits::{HTTP_ANSWER_TIMEOUT, HTTP_BODY_SIZE_MAX, HTTP_PLACING_TIMEOUT};
use indexed::Indexed;
use problem::Problem;

/// What all requests share.
#[derive(Clone, Debug)]
pub struct Http(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    inbox: Sender<Incoming>,
    files: RwLock<Files>,
    indexed: Indexed,
}

/// What the files of `[http]` say.
#[derive(Clone, Debug, Default)]
struct Files {
    tls: Option<Arc<ServerConfig>>,
    token: Option<Arc<str>>,
    certificate_expires_at: Option<i64>,
}

impl Http {
    /// Serves nothing yet.
    ///
    /// # Errors
    ///
    /// The TLS library refuses the certificate.
    pub fn new(
        settings: &Settings,
        files: HttpFiles,
        inbox: Sender<Incoming>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self(Arc::new(Shared {
            settings: settings.clone(),
            inbox,
            files: RwLock::new(Files::new(files)?),
            indexed: Indexed::new(
                settings.recordings.dir.clone(),
                settings.node.state_dir.join(INDEX_FILE),
            ),
        })))
    }

    /// Takes files that were read again; connections that are open keep their certificate.
    ///
    /// # Errors
    ///
    /// The TLS library refuses the certificate; then all stays as it is.
    pub fn replace_files(&self, files: HttpFiles) -> Result<(), rustls::Error> {
        let files = Files::new(files)?;
        let mut place = self.0.files.write().unwrap_or_else(PoisonError::into_inner);
        *place = files;
        Ok(())
    }

    /// When its certificate expires, in seconds since 1970; `None` without TLS.
    pub fn certificate_expires_at(&self) -> Option<i64> {
        self.files().certificate_expires_at
    }

    /// Serves on a thread of its own, from now on until the process ends.
    pub fn start(&self) {
        let Some(address) = self.0.settings.http.listen else {
            return;
        };
        let http = self.clone();
        let serving = move || http.run(address);
        let started = std::thread::Builder::new()
            .name("http".into())
            .spawn(serving);
        if let Err(error) = started {
            error!(%error, "no HTTP: no thread for it");
        }
        let http = self.clone();
        let indexing = std::thread::Builder::new().name("index".into());
        if let Err(error) = indexing.spawn(move || http.0.indexed.build()) {
            error!(%error, "no index of recordings: no thread for it");
        }
    }

    fn run(&self, address: SocketAddr) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // They read files and manifests.
            .max_blocking_threads(4)
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(listener::run(self.clone(), address)),
            Err(error) => error!(%error, "no HTTP: no runtime for it"),
        }
    }

    fn files(&self) -> Files {
        let files = self.0.files.read().unwrap_or_else(PoisonError::into_inner);
        files.clone()
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// All there is, behind what decides who may see it.
    fn router(&self) -> Router {
        let guarded = Router::new()
            .route("/metrics", get(metrics_of))
            .merge(api::router())
            .layer(middleware::from_fn_with_state(self.clone(), access::check));
        Router::new()
            .merge(health::router())
            .merge(guarded)
            .fallback(|| async { Problem::not_found("there is nothing under that path") })
            .method_not_allowed_fallback(|| async { Problem::method() })
            .layer(middleware::from_fn_with_state(
                self.clone(),
                access::check_host,
            ))
            .layer(DefaultBodyLimit::max(HTTP_BODY_SIZE_MAX))
            .with_state(self.clone())
    }

    async fn status(&self) -> Result<Status, Problem> {
        match self.ask(Question::Status).await? {
            Reply::Status { status } => Ok(*status),
            Reply::Latency { .. } | Reply::Trace { .. } | Reply::Malformed { .. } => {
                Err(Problem::silent())
            }
        }
    }

    async fn latencies(&self) -> Result<Vec<StageLatency>, Problem> {
        match self.ask(Question::Latency).await? {
            Reply::Latency { stages } => Ok(stages),
            Reply::Status { .. } | Reply::Trace { .. } | Reply::Malformed { .. } => {
                Err(Problem::silent())
            }
        }
    }

    async fn ask(&self, question: Question) -> Result<Reply, Problem> {
        let (answer, answered) = oneshot::channel();
        self.put(Incoming::Ask { question, answer }, answered).await
    }

    async fn command(&self, command: Command) -> Result<Answer, Problem> {
        let (answer, answered) = oneshot::channel();
        self.put(Incoming::Command { command, answer }, answered)
            .await
    }

    /// Has a client called; its answer is waited for.
    async fn place(&self, placing: Placing) -> Result<Answer, Problem> {
        let (answer, answered) = oneshot::channel();
        let what = Incoming::Placing { placing, answer };
        self.put_for(HTTP_PLACING_TIMEOUT, what, answered).await
    }

    /// Whatever keeps the recorder busy, a request is answered.
    async fn put<T>(&self, what: Incoming, answered: oneshot::Receiver<T>) -> Result<T, Problem> {
        self.put_for(HTTP_ANSWER_TIMEOUT, what, answered).await
    }

    async fn put_for<T>(
        &self,
        limit: Duration,
        what: Incoming,
        answered: oneshot::Receiver<T>,
    ) -> Result<T, Problem> {
        let asked = async {
            self.0.inbox.send(what).await.ok()?;
            answered.await.ok()
        };
        let answer = timeout(limit, asked).await;
        answer.ok().flatten().ok_or_else(Problem::silent)
    }
}

impl Files {
    fn new(files: HttpFiles) -> Result<Self, rustls::Error> {
        let HttpFiles { identity, token } = files;
        let (tls, certificate_expires_at) = match identity {
            None => (None, None),
            Some((identity, expires_at)) => {
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let mut config = ServerConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()?
                    .with_no_client_auth()
                    .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                (Some(Arc::new(config)), Some(expires_at))
            }
        };
        Ok(Self {
            tls,
            token: token.map(Into::into),
            certificate_expires_at,
        })
    }
}

/// `/metrics`
async fn metrics_of(
    axum::extract::State(http): axum::extract::State<Http>,
) -> Result<impl axum::response::IntoResponse, Problem> {
    let status = http.status().await?;
    // An engine that does not answer must not take the other numbers with it.
    let latencies = http.latencies().await.unwrap_or_default();
    let text = metrics::render(status, latencies);
    Ok((
        [(axum::http::header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        text,
    ))
}

/// The index of published recordings, in `node.state_dir`.
const INDEX_FILE: &str = "recordings.sqlite";
