//! The daemons of sessions, in this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use stapled_ca::Metrics;
use stapled_ca::session::{
    Daemon, Done, Expire, Failure, Issue, MakeChallenge, NetworkProber, Pace, Session, Sessions, TestChallenge, run,
};
use stapled_redis::Recovery;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often tasks that are missing are put again.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(600);
/// How long the daemons have to finish their work at the end.
const PATIENCE: Duration = Duration::from_secs(15);

/// The daemon of a state
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Stage {
    /// Makes the challenges of new sessions
    MakeChallenge,
    /// Tests the challenges of clients that are ready
    TestChallenge,
    /// Signs certificates
    Issue,
    /// Enters certificates into the ledger
    Done,
}

impl Stage {
    pub(crate) const ALL: [Stage; 4] = [Stage::MakeChallenge, Stage::TestChallenge, Stage::Issue, Stage::Done];

    /// How many sessions one daemon works on at a time. Tests wait for the network, and signatures for a processor.
    fn at_once(self) -> usize {
        match self {
            Stage::TestChallenge => 64,
            Stage::MakeChallenge | Stage::Done => 16,
            Stage::Issue => 4,
        }
    }
}

/// Running daemons.
pub(crate) struct Daemons {
    stop: CancellationToken,
    running: JoinSet<()>,
}

/// What the daemons work with.
pub(crate) struct Parts {
    pub(crate) sessions: Sessions,
    pub(crate) prober: Arc<NetworkProber>,
    /// Signs certificates; `None` where no daemon issues.
    pub(crate) issue: Option<Issue>,
    /// Counts failures.
    pub(crate) metrics: Metrics,
}

impl Daemons {
    /// Puts what is missing, and starts the daemons of these stages, with the one that ends old sessions. It runs in every
    /// process, so that expiry never depends on one of them.
    pub(crate) fn start(stages: &[Stage], parts: Parts) -> Self {
        let (stop, mut running) = (CancellationToken::new(), JoinSet::new());
        let Parts { sessions, prober, issue, metrics } = parts;
        let report = || {
            let metrics = metrics.clone();
            move |session: &Session, failure: &Failure| report(&metrics, session, failure)
        };
        let mut daemons: BTreeMap<Stage, Arc<dyn Daemon>> = BTreeMap::new();
        for stage in stages {
            match stage {
                Stage::MakeChallenge => daemons.insert(*stage, Arc::new(MakeChallenge::new(sessions.clone()))),
                Stage::TestChallenge => {
                    daemons.insert(*stage, Arc::new(TestChallenge::new(sessions.clone(), prober.clone())))
                }
                Stage::Done => daemons.insert(*stage, Arc::new(Done::new(sessions.clone()))),
                Stage::Issue => None,
            };
        }
        if let Some(issue) = issue {
            daemons.insert(Stage::Issue, Arc::new(issue));
        }
        for (stage, daemon) in daemons {
            running.spawn(run(daemon, sessions.clone(), Pace::new(stage.at_once()), report(), stop.clone()));
        }
        let expire = Arc::new(Expire::new(sessions.clone()));
        running.spawn(run(expire, sessions.clone(), Pace::new(4), report(), stop.clone()));
        running.spawn(recover(sessions, stop.clone()));
        Daemons { stop, running }
    }

    /// Lets the daemons finish their work.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let finished = async { while self.running.join_next().await.is_some() {} };
        // What is not finished returns to its queue when its lease ends.
        let _ = tokio::time::timeout(PATIENCE, finished).await;
    }
}

/// Puts missing tasks, at once and from time to time.
async fn recover(sessions: Sessions, stop: CancellationToken) {
    loop {
        match sessions.recover(Recovery::Run).await {
            Ok(put) if put.is_empty() => {}
            Ok(put) => tracing::warn!(count = put.len(), "sessions without a task are on their queues again"),
            Err(error) => tracing::warn!(%error, "cannot look for sessions without a task"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RECOVERY_INTERVAL) => {}
        }
    }
}

fn report(metrics: &Metrics, session: &Session, failure: &Failure) {
    metrics.failed(session, failure);
    tracing::warn!(session = session.id.as_str(), state = %session.state, error = %failure, "will try again");
}
