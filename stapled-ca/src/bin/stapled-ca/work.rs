//! `work`: daemons of some states in a process of their own.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use stapled_ca::responder::file_name;
use stapled_ca::session::{Issue, Sessions};
use stapled_ca::{Metrics, interrupted};

use crate::authorities::open;
use crate::daemons::{Daemons, Parts, Stage};
use crate::failure::Failure;
use crate::metrics::publish;
use crate::shared_arguments::{SharedArguments, ledger, runtime};
use crate::store_arguments::NoStore;

#[derive(Debug, Args)]
pub(crate) struct WorkArguments {
    /// The state whose sessions this process works on (may be repeated)
    #[arg(required = true, value_enum)]
    stage: Vec<Stage>,
    /// The authority's directory: for issue and done alone, which sign and write the ledger
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    shared: SharedArguments,
}

impl WorkArguments {
    pub(crate) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        runtime(2)?.block_on(async {
            let store = self.shared.store.in_redis().await?.ok_or(NoStore::RedisNeeded)?;
            let needs_directory = self.stage.iter().any(|stage| matches!(stage, Stage::Issue | Stage::Done));
            let dir = match (&self.dir, needs_directory) {
                (None, true) => return Err(Failure::DirNeeded),
                (dir, _) => dir.as_deref().filter(|_| needs_directory),
            };
            let (limits, policy) = (self.shared.policy.limits(), self.shared.policy.policy()?);
            let authority = dir.map(open).transpose()?;
            let sessions = match (&authority, dir) {
                (Some(authority), Some(dir)) => Sessions::new(store, ledger(authority, dir)?, limits, policy),
                _ => Sessions::without_ledger(store, limits, policy),
            };
            sessions.configure().await?;
            let issue = match authority.filter(|_| self.stage.contains(&Stage::Issue)) {
                Some(authority) => {
                    let url = self.shared.certificate.public_url.as_ref().ok_or(Failure::UrlNeeded)?;
                    let settings = self.shared.certificate.settings(url, &file_name(authority.name()));
                    Some(Issue::new(sessions.clone(), authority, settings))
                }
                None => None,
            };
            let shutdown = interrupted()?;
            let metrics = Metrics::new().sessions(sessions.clone());
            let parts =
                Parts { sessions, prober: Arc::new(self.shared.probe.prober()), issue, metrics: metrics.clone() };
            let measured = publish(self.shared.metrics.as_ref(), metrics).await?;
            let daemons = Daemons::start(&self.stage, parts);
            writeln!(out, "working")?;
            if let Some(measured) = &measured {
                writeln!(out, "metrics at {}", measured.place)?;
            }
            out.flush()?;
            shutdown.await;
            daemons.stop().await;
            Ok(())
        })
    }
}
