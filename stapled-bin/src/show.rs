//! Shows the running daemon: the HTTP server, and the file for Prometheus' node_exporter.

use std::path::PathBuf;
use std::sync::Arc;

use stapled_core::control::Control;
use stapled_core::metrics::Metrics;
use stapled_core::overview::Verdict;
use stapled_core::responder::Responder;
use stapled_core::web::Web;
use stapled_core::web::address::WebAddress;
use stapled_core::web::conclusion::{Conclude, Conclusion};
use stapled_core::web::listener::WebError;
use stapled_haproxy::Handshakes;
use tokio::task::JoinSet;

use crate::monitoring::Monitoring;
use crate::run_error::RunError;
use crate::summary::last_line;

/// Shows the numbers and the state, until the tasks are dropped.
pub(crate) async fn show(
    monitoring: &Monitoring,
    metrics: Option<&Metrics>,
    control: &Control,
) -> Result<JoinSet<()>, WebError> {
    let mut tasks = JoinSet::new();
    let Some(metrics) = metrics else { return Ok(tasks) };
    if let Some(address) = &monitoring.http {
        let web = Web::listen(address).await?;
        tracing::info!(event = "http", address = %web.address(), "numbers and state are shown over HTTP");
        tasks.spawn(web.serve(metrics.clone(), conclude(control.clone())));
    }
    if let Some(file) = &monitoring.file {
        tasks.spawn(write(metrics.clone(), file.clone()));
    }
    Ok(tasks)
}

/// Answers servers at these addresses, until the tasks are dropped.
pub(crate) async fn answer(responder: &Responder, at: &[WebAddress], tasks: &mut JoinSet<()>) -> Result<(), RunError> {
    for address in at {
        let (web, responder) = (Web::listen(address).await.map_err(RunError::Listen)?, responder.clone());
        tracing::info!(event = "listening", address = %web.address(), "OCSP questions are answered");
        tasks.spawn(async move { responder.serve(web).await });
    }
    Ok(())
}

/// The handshakes that HAProxys count, among the numbers.
pub(crate) fn counted(metrics: &Metrics) -> Arc<Handshakes> {
    let handshakes = Arc::new(Handshakes::default());
    metrics.add(handshakes.clone());
    handshakes
}

/// The rule of `stapled status`, and its last line.
fn conclude(control: Control) -> Conclude {
    Arc::new(move |totals| {
        let last = control.last_of_all(totals);
        let line = last_line(&last.totals, last.verdict, Some(&last));
        Conclusion::new(last.verdict == Verdict::Fine, line.trim_end())
    })
}

/// Keeps the file written. A failure is logged when it begins.
async fn write(metrics: Metrics, file: PathBuf) {
    let failed = |error: &std::io::Error| {
        let what = "the numbers for monitoring cannot be written";
        tracing::warn!(event = "metrics_file_failed", "{}: {what}: {error}", file.display());
    };
    metrics.keep_written(&file, failed).await;
}
