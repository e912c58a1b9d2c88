//! Numbers for monitoring, in the OpenMetrics text format.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, UnixListener};

use crate::http_server::{self, Limits, Listener, Received};
use crate::responder::Responder;
use crate::session::{Failure, Session, Sessions};

const TEXT: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The numbers of a process: its sessions, its ledger, its responder. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    sessions: Option<Sessions>,
    responder: Option<Arc<Responder>>,
    failures: Family<FailureLabels, Counter<u64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    state: String,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    queue: String,
    place: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: String,
}

impl Metrics {
    /// The numbers of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Metrics::default()
    }

    /// With the numbers of these sessions and their ledger.
    #[must_use]
    pub fn sessions(mut self, sessions: Sessions) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// With the numbers of this responder.
    #[must_use]
    pub fn responder(mut self, responder: Arc<Responder>) -> Self {
        self.responder = Some(responder);
        self
    }

    /// Counts a failure of a daemon.
    pub fn failed(&self, session: &Session, failure: &Failure) {
        let (state, code) = (session.state.to_string(), failure.code().to_string());
        self.failures.get_or_create(&FailureLabels { state, code }).inc();
    }

    /// All numbers as text. `stapled_ca_up` is 0 when the store of the sessions does not answer.
    pub async fn text(&self) -> String {
        let mut registry = Registry::with_prefix("stapled_ca");
        let mut is_up = true;
        if let Some(sessions) = &self.sessions {
            is_up = put_sessions(sessions, &mut registry).await.is_ok();
            let failures = self.failures.clone();
            registry.register(
                "failures",
                "Failures of daemons, each tried again, by state of the session and cause",
                failures,
            );
        }
        if let Some(responder) = &self.responder {
            let questions = ConstCounter::new(responder.tally().total());
            registry.register(
                "ocsp_questions",
                "Questions to the OCSP responder, malformed ones among them",
                questions,
            );
        }
        put(&mut registry, "up", "Whether the store of the sessions answers", i64::from(is_up));
        let mut text = String::new();
        // Writing into a text does not fail.
        let _ = encode(&mut text, &registry);
        text
    }

    /// Answers `GET /metrics` on a TCP listener until `shutdown` ends. The numbers are for this machine: listen on a loopback
    /// address.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        self.serve_on(listener, shutdown).await;
    }

    /// Answers `GET /metrics` on a unix socket until `shutdown` ends.
    pub async fn serve_unix(self, listener: UnixListener, shutdown: impl Future<Output = ()>) {
        self.serve_on(listener, shutdown).await;
    }

    async fn serve_on<L: Listener>(self, listener: L, shutdown: impl Future<Output = ()>) {
        let limits = Limits { connections: 16, ..Limits::default() };
        let answer = move |received: Received<L::Client>| {
            let metrics = self.clone();
            async move {
                let is_asked = received.head.method == Method::GET && received.head.uri.path() == "/metrics";
                let text = if is_asked { metrics.text().await } else { String::new() };
                let mut response = Response::new(Full::new(Bytes::from(text)));
                if is_asked {
                    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
                } else {
                    *response.status_mut() = StatusCode::NOT_FOUND;
                }
                response
            }
        };
        http_server::serve(listener, limits, shutdown, answer).await;
    }
}

/// The numbers of sessions and their ledger.
async fn put_sessions(sessions: &Sessions, registry: &mut Registry) -> Result<(), crate::session::SessionError> {
    let status = sessions.status().await?;
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let active = i64::try_from(status.active).unwrap_or(i64::MAX);
    put(registry, "sessions_active", "Sessions that are neither dead nor in the ledger", active);
    let (tasks, resting) = (Family::<TaskLabels, Gauge>::default(), Family::<StateLabel, Gauge>::default());
    for (queue, numbers) in &status.queues {
        for (place, number) in
            [("due", numbers.due), ("waiting", numbers.waiting), ("leased", numbers.leased), ("parked", numbers.parked)]
        {
            tasks.get_or_create(&TaskLabels { queue: queue.clone(), place }).set(count(number));
        }
    }
    for (state, number) in status.resting {
        resting.get_or_create(&StateLabel { state }).set(count(number));
    }
    registry.register("tasks", "Tasks of sessions, by queue and by place in it", tasks);
    registry.register("sessions_resting", "Sessions without a task, by state", resting);
    Ok(())
}

fn put(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}
