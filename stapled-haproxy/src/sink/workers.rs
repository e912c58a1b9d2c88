//! The workers behind a master as a sink. Each worker is a process with a channel of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stapled_core::chain::CertChain;
use stapled_core::sink::{Lost, Site, Withdrawal};
use stapled_core::staple::Staple;
use tokio::time::Instant;

use crate::cli::address::Address;
use crate::cli::connection::Connection;
use crate::cli::error::Error;
use crate::cli::failure::Failure;
use crate::cli::reply::workers::Worker;
use crate::cli::route::Route;
use crate::instance::lock::lock;
use crate::instance::settings::Settings;
use crate::reports;
use crate::sink::process_sink::{ProcessSink, REPORT_INTERVAL};

/// The number of workers that get staples. A master takes ten connections at a time; some are left for other clients.
const MOST_WORKERS: usize = 6;

/// The workers behind one master.
pub(crate) struct Workers {
    master: Route,
    settings: Settings,
    members: Mutex<Members>,
    /// Locked while the master is asked for its workers.
    look: tokio::sync::Mutex<()>,
}

/// The known workers.
#[derive(Default)]
struct Members {
    /// When the master was asked last.
    looked: Option<Instant>,
    by_pid: BTreeMap<u64, Member>,
    /// Whether a new worker has not been reported yet.
    is_joined: bool,
    /// Whether there has been a worker before.
    was_there: bool,
    /// Whether deliveries to one worker can be retried, and that has not been reported yet.
    can_retry: bool,
    /// Whether a delivery reached no master, or no worker.
    unreachable: bool,
    /// When it was last reported that deliveries can be retried.
    reported_at: Option<Instant>,
}

/// One worker.
#[derive(Clone)]
struct Member {
    sink: Arc<ProcessSink>,
    /// Whether a reload has replaced it.
    is_old: bool,
}

impl Workers {
    /// The workers of the master at this address.
    pub(crate) fn of(master: &Address, settings: Settings) -> Self {
        Workers {
            master: Route::to(master.clone()),
            settings,
            members: Mutex::default(),
            look: tokio::sync::Mutex::default(),
        }
    }

    /// Delivers to every worker. Failures of old workers are ignored: these may have other certificates, and they end.
    pub(crate) async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<(), Failure> {
        let done = self.deliver_to_all(staple, sites).await;
        if done.as_ref().is_err_and(|failure| failure.error.is_unreachable()) {
            lock(&self.members).unreachable = true;
        }
        done
    }

    async fn deliver_to_all(&self, staple: &Staple, sites: &[Site]) -> Result<(), Failure> {
        let members = self.members().await?;
        let mut last = None;
        for member in &members {
            match member.sink.deliver(staple, sites).await {
                Ok(()) => {}
                Err(failure) if member.is_old => self.settings.reporters.tell(reports::old_worker_without(&failure)),
                Err(failure) => last = Some(failure),
            }
        }
        self.done(last, &members)
    }

    /// Withdraws from every worker.
    pub(crate) async fn withdraw(&self, chain: &CertChain, why: Withdrawal) -> Result<(), Failure> {
        let members = self.members().await?;
        let mut last = None;
        for member in &members {
            match member.sink.withdraw(chain, why).await {
                // The worker ended, and its connections with it.
                Err(Failure { error: Error::WorkerGone, .. }) if member.is_old => {}
                Err(failure) => last = Some(failure),
                Ok(()) => {}
            }
        }
        self.done(last, &members)
    }

    /// The result of work at these workers.
    fn done(&self, failure: Option<Failure>, members: &[Member]) -> Result<(), Failure> {
        if let Some(failure) = failure {
            // The next call asks the master whether the worker has ended.
            self.forget_look();
            return Err(failure);
        }
        if members.iter().any(|member| !member.is_old) {
            return Ok(());
        }
        Err(Error::NoWorker.at(&self.master))
    }

    /// Forgets a certificate that gets no staples any more.
    pub(crate) fn forget(&self, chain: &CertChain) {
        for member in self.known() {
            member.sink.forget(chain);
        }
    }

    /// Looks at most once in the look interval for changes; returns a loss, if there is one.
    pub(crate) async fn look_for_losses(&self) -> Option<Lost> {
        let members = match self.members().await {
            Ok(members) => members,
            Err(failure) => {
                self.settings.reporters.tell(reports::not_surveyed(&failure));
                return None;
            }
        };
        if std::mem::take(&mut lock(&self.members).is_joined) {
            return Some(Lost::Everything);
        }
        for member in members.iter().filter(|member| !member.is_old) {
            match member.sink.look_for_losses().await {
                // A report of a retry must not wait for the other workers.
                Some(Lost::Retry) => lock(&self.members).can_retry = true,
                // One loss at a time: the losses of the other workers come at the next look.
                Some(lost) => return Some(lost),
                None => {}
            }
        }
        let can_retry = std::mem::take(&mut lock(&self.members).can_retry);
        (can_retry || self.is_reachable_again(&members)).then_some(Lost::Retry)
    }

    /// Whether there is a worker after deliveries that reached none.
    fn is_reachable_again(&self, members: &[Member]) -> bool {
        let mut known = lock(&self.members);
        let is_due = known.reported_at.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        let is_again = known.unreachable && members.iter().any(|member| !member.is_old) && is_due;
        if is_again {
            known.unreachable = false;
            known.reported_at = Some(Instant::now());
        }
        is_again
    }

    /// The workers, current ones first. The master is asked for them at most once in the look interval.
    async fn members(&self) -> Result<Vec<Member>, Failure> {
        let is_fresh = |members: &Members| members.looked.is_some_and(|at| at.elapsed() < self.settings.look_interval);
        let _look = self.look.lock().await;
        if !is_fresh(&lock(&self.members)) {
            let workers = Connection::workers(&self.master, self.settings.timeouts).await;
            let mut workers = workers.map_err(|error| error.at(&self.master))?;
            workers.sort_by_key(|worker| worker.is_old);
            workers.truncate(MOST_WORKERS);
            self.take_over(&workers);
        }
        Ok(self.known())
    }

    fn take_over(&self, workers: &[Worker]) {
        let mut members = lock(&self.members);
        let mut by_pid = BTreeMap::new();
        for worker in workers {
            let known = members.by_pid.get(&worker.pid).map(|member| Arc::clone(&member.sink));
            // The first worker has lost nothing.
            members.is_joined |= known.is_none() && !worker.is_old && members.was_there;
            let route = Route::to_worker(self.master.address.clone(), worker.pid);
            let sink = known.unwrap_or_else(|| Arc::new(ProcessSink::new(&route, self.settings.clone())));
            by_pid.insert(worker.pid, Member { sink, is_old: worker.is_old });
        }
        members.was_there |= workers.iter().any(|worker| !worker.is_old);
        members.by_pid = by_pid;
        members.looked = Some(Instant::now());
    }

    fn known(&self) -> Vec<Member> {
        let mut members: Vec<Member> = lock(&self.members).by_pid.values().cloned().collect();
        members.sort_by_key(|member| member.is_old);
        members
    }

    fn forget_look(&self) {
        lock(&self.members).looked = None;
    }
}
