//! Shows the running daemon: the HTTP server, and the file for Prometheus' node_exporter.

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
use crate::summary::exit_code;

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
        let control = control.clone();
        // The rule of `stapled status`, and its last line.
        let conclude: Conclude = Arc::new(move |totals| {
            let last = control.last_of_all(totals);
            Conclusion::new(last.verdict == Verdict::Fine, last.to_json(exit_code(last.verdict)).trim_end())
        });
        tasks.spawn(web.serve(metrics.clone(), conclude));
    }
    if let (metrics, Some(file)) = (metrics.clone(), monitoring.file.clone()) {
        tasks.spawn(async move {
            let what = format!("{}: the numbers for monitoring cannot be written", file.display());
            let failed = |error: &_| tracing::warn!(event = "metrics_file_failed", "{what}: {error}");
            metrics.keep_written(&file, failed).await;
        });
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
