//! Shows the running daemon: the HTTP server, and the file for Prometheus' node_exporter.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stapled_core::metrics::Metrics;
use stapled_core::overview::json::json_line;
use stapled_core::responder::Responder;
use stapled_core::web::Web;
use stapled_core::web::address::WebAddress;
use stapled_core::web::conclusion::{Conclude, Conclusion};
use stapled_core::web::listener::WebError;
use stapled_haproxy::Handshakes;
use tokio::task::JoinSet;

use crate::control::known::Known;
use crate::monitoring::Monitoring;
use crate::run_error::RunError;
use crate::summary::Totals;

/// How often the file is written.
const WRITING: Duration = Duration::from_secs(15);

/// Shows the numbers and the state, until the tasks are dropped.
pub(crate) async fn show(
    monitoring: &Monitoring,
    metrics: Option<&Metrics>,
    known: &Arc<Known>,
) -> Result<JoinSet<()>, WebError> {
    let mut tasks = JoinSet::new();
    let Some(metrics) = metrics else { return Ok(tasks) };
    if let Some(address) = &monitoring.http {
        let web = Web::listen(address).await?;
        tracing::info!(event = "http", address = %web.address(), "numbers and state are shown over HTTP");
        tasks.spawn(web.serve(metrics.clone(), conclude(Arc::clone(known))));
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
fn conclude(known: Arc<Known>) -> Conclude {
    Arc::new(move |totals| {
        let last = known.last(Totals::of_all(totals));
        Conclusion::new(last.totals.exit_code == 0, json_line(&last).trim_end())
    })
}

/// Writes the file again and again. A failure is logged when it begins.
async fn write(metrics: Metrics, file: PathBuf) {
    let mut has_failed = false;
    loop {
        let written = metrics.write(&file).await;
        if let Err(error) = &written
            && !has_failed
        {
            let what = "the numbers for monitoring cannot be written";
            tracing::warn!(event = "metrics_file_failed", "{}: {what}: {error}", file.display());
        }
        has_failed = written.is_err();
        tokio::time::sleep(WRITING).await;
    }
}
