//! The handle of a running stapler: renew now, scan now, wait until it is ready, look.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::chain::CertChain;
use crate::event::About;
use crate::finder::Finder;
use crate::inventory::standing::{CertificateStatus, Standing};
use crate::inventory::{Inventory, Progress, Selected, Ticket};
use crate::overview::pace::Pace;
use crate::queues;
use crate::renewer::Renewer;
use crate::responders::Snapshot;
use crate::scheduler::{Scheduler, SchedulerError};
use crate::staple::Staple;
use crate::task::{Cause, Subject, Task};

/// The pause after a change before the state is read, so that many changes are read together.
const CHECK: Duration = Duration::from_millis(20);

/// The handle of a running stapler. [`Stapler::handle`](super::Stapler::handle) returns it before the stapler runs; clones
/// can be used anywhere.
///
/// ```no_run
/// use stapled_core::stapler::Selection;
/// use stapled_core::{DirectorySource, FileSink, Stapler};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let stapler = Stapler::builder().source(DirectorySource::new("/etc/ssl/private")).sink(FileSink::new()).build()?;
/// let handle = stapler.handle();
/// let running = tokio::spawn(stapler.run(std::future::pending()));
/// handle.ready().await?;
/// let mut asked = handle.renew(&Selection::All).await?;
/// while let Some(renewed) = asked.next().await? {
///     println!("{}: {:?}", renewed.about.name, renewed.outcome);
/// }
/// # running.abort();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    finders: Vec<Arc<Finder>>,
    inventory: Arc<Inventory>,
    scheduler: Arc<dyn Scheduler>,
    renewer: Arc<Renewer>,
    ended: CancellationToken,
}

/// Selects certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Selection {
    /// All certificates that want a staple.
    All,
    /// The certificates with this responder: a host name or address, with or without a port, or a whole URL.
    Responder(String),
    /// The certificates with one of these names, serial numbers (hexadecimal) or places.
    Certificates(Vec<String>),
}

/// Why a stapler does not do what its handle requests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandleError {
    /// The stapler has ended, or was dropped before it ran.
    #[error("the stapler has ended")]
    Ended,
    /// The scheduler failed.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
}

/// A request to renew certificates. [`next`](Asked::next) returns the results.
pub struct Asked {
    handle: Handle,
    certificates: Vec<Arc<About>>,
    open: Vec<Open>,
    done: VecDeque<Renewed>,
}

/// A certificate without a result yet.
struct Open {
    subject: Subject,
    ticket: Ticket,
    about: Arc<About>,
    before: Option<Arc<Staple>>,
}

impl Open {
    fn outcome(&self, status: &CertificateStatus) -> Outcome {
        match status.standing {
            Standing::Good if status.staple == self.before => Outcome::SameStaple,
            Standing::Good => Outcome::NewStaple,
            Standing::Revoked { .. } => Outcome::Revoked,
            Standing::Expired => Outcome::Expired,
            Standing::Retired => Outcome::Gone,
            Standing::Failing { .. } | Standing::Waiting => Outcome::Failed,
        }
    }
}

/// The result of a requested renewal of one certificate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Renewed {
    /// The certificate.
    pub about: Arc<About>,
    /// The outcome.
    pub outcome: Outcome,
    /// The state of the certificate and its deliveries; none when the certificate is gone.
    pub status: Option<CertificateStatus>,
}

/// The outcome of a requested renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Outcome {
    /// The certificate is good, by a response that differs from the one held before.
    NewStaple,
    /// The certificate is good, by the response that was held already or one that is no better.
    SameStaple,
    /// The certificate is revoked.
    Revoked,
    /// No response was believed. The status says why.
    Failed,
    /// The CA was not asked: the certificate's validity is over.
    Expired,
    /// The CA was not asked: the certificate is gone.
    Gone,
}

impl Handle {
    pub(super) fn new(
        finders: Vec<Arc<Finder>>,
        inventory: Arc<Inventory>,
        scheduler: Arc<dyn Scheduler>,
        renewer: Arc<Renewer>,
        ended: CancellationToken,
    ) -> Self {
        Handle(Arc::new(Inner { finders, inventory, scheduler, renewer, ended }))
    }

    /// The inventory. It outlives the stapler.
    pub fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(&self.0.inventory)
    }

    /// Whether both are handles of one stapler.
    pub fn is_same(&self, other: &Handle) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Requests a renewal of these certificates now, past caches and back-off, and returns as soon as the renewals are
    /// scheduled. If no certificate fits and the selection names certificates, the sources are scanned first
    /// ([`rescan`](Handle::rescan)). The limits of concurrent requests and of each responder's rate hold.
    ///
    /// # Errors
    ///
    /// The stapler has ended, or its scheduler failed.
    pub async fn renew(&self, which: &Selection) -> Result<Asked, HandleError> {
        let mut selected = self.select(which);
        if selected.is_empty() && matches!(which, Selection::Certificates(_)) {
            self.rescan().await?;
            selected = self.select(which);
        }
        if self.0.ended.is_cancelled() {
            return Err(HandleError::Ended);
        }
        let mut asked =
            Asked { handle: self.clone(), certificates: Vec::new(), open: Vec::new(), done: VecDeque::new() };
        let mut tasks = Vec::new();
        for certificate in selected {
            let subject = certificate.chain.subject().clone();
            let Some(ticket) = self.0.inventory.ask(&subject) else { continue };
            self.0.renewer.responders.ask_again(&certificate.chain);
            let queue = self.0.renewer.responders.queue_for(&certificate.chain);
            let task = Task::new(queue, subject.clone()).generation(certificate.generation);
            tasks.push(task.cause(Cause::Requested));
            asked.certificates.push(Arc::clone(&certificate.about));
            asked.open.push(Open { subject, ticket, about: certificate.about, before: certificate.staple });
        }
        queues::put_all(&*self.0.scheduler, &tasks).await?;
        Ok(asked)
    }

    /// Scans all sources now. Returns when every place that they found is parsed.
    ///
    /// # Errors
    ///
    /// The stapler has ended, or its scheduler failed.
    pub async fn rescan(&self) -> Result<(), HandleError> {
        let rounds: Vec<u64> = self.0.finders.iter().map(|finder| finder.rounds.ask()).collect();
        let scanned = async {
            for (finder, round) in self.0.finders.iter().zip(rounds) {
                finder.rounds.finished(round).await;
            }
        };
        self.unless_ended(scanned).await?;
        loop {
            let census = self.unless_ended(self.0.scheduler.census()).await??;
            let is_parsed = |source| {
                census.queues.get(&queues::parse(source)).is_none_or(|queue| queue.due == 0 && queue.leased == 0)
            };
            if (0..self.0.finders.len()).all(is_parsed) {
                return Ok(());
            }
            self.unless_ended(tokio::time::sleep(CHECK)).await?;
        }
    }

    pub(super) fn scheduler(&self) -> &dyn Scheduler {
        &*self.0.scheduler
    }

    /// The hosts of the responders of each certificate, once for each certificate.
    pub(super) fn hosts(&self) -> Vec<String> {
        let selected = self.select(&Selection::All);
        selected.iter().flat_map(|certificate| self.0.renewer.responders.hosts_of(&certificate.chain)).collect()
    }

    /// The state of each responder that was asked, by host.
    pub(super) fn known_responders(&self) -> HashMap<String, Snapshot> {
        self.0.renewer.responders.snapshots()
    }

    /// Whether every source has been scanned. Before that, the [inventory](Handle::inventory) lacks certificates.
    pub fn has_scanned(&self) -> bool {
        self.0.finders.iter().all(|finder| finder.rounds.have_finished())
    }

    /// Returns when everything that the sources have was tried once: each certificate that wants a staple has one and
    /// every sink has it, or the [inventory](Handle::inventory) says what failed. Failures are tried again later; a program
    /// that waits for success reads the inventory.
    ///
    /// # Errors
    ///
    /// The stapler has ended.
    pub async fn ready(&self) -> Result<(), HandleError> {
        let scanned = async {
            for finder in &self.0.finders {
                finder.rounds.finished(0).await;
            }
        };
        self.unless_ended(scanned).await?;
        let mut changes = self.0.inventory.changes();
        loop {
            changes.mark_unchanged();
            if self.0.inventory.is_settled() {
                return Ok(());
            }
            self.unless_ended(changes.changed()).await?.map_err(|_| HandleError::Ended)?;
            self.unless_ended(tokio::time::sleep(CHECK)).await?;
        }
    }

    /// Waits as [`ready`](Handle::ready) does. After each `pause`, `report` gets the progress in words: how many certificates were
    /// tried and how many were found so far, such as `1,200 of 5,000 certificates, 240/s, 15 s left`.
    ///
    /// # Errors
    ///
    /// The stapler has ended.
    pub async fn ready_with_progress(
        &self,
        pause: Duration,
        mut report: impl FnMut(&str) + Send,
    ) -> Result<(), HandleError> {
        let (began, mut pace) = (Instant::now(), Pace::new());
        let mut ready = pin!(self.ready());
        loop {
            if let Ok(is_ready) = tokio::time::timeout(pause, ready.as_mut()).await {
                return is_ready;
            }
            let (tried, of) = self.0.inventory.tried();
            pace.note(began.elapsed(), tried);
            report(&pace.line(of, "certificates"));
        }
    }

    /// The names of the sources.
    #[cfg(feature = "metrics")]
    pub(crate) fn sources(&self) -> Vec<String> {
        self.0.finders.iter().map(|finder| finder.source.name()).collect()
    }

    /// Every responder that was asked, with whether it is down.
    #[cfg(feature = "metrics")]
    pub(crate) fn breakers(&self) -> Vec<(String, bool)> {
        let known = self.0.renewer.responders.snapshots().into_iter();
        let mut known: Vec<_> = known.map(|(host, snapshot)| (host, snapshot.open_until.is_some())).collect();
        known.sort_unstable();
        known
    }

    /// The numbers of tasks.
    #[cfg(feature = "metrics")]
    pub(crate) async fn census(&self) -> Result<crate::scheduler::census::Census, SchedulerError> {
        self.0.scheduler.census().await
    }

    /// The responders of a certificate.
    #[cfg(feature = "responder")]
    pub(crate) fn urls_of(&self, chain: &CertChain) -> Vec<String> {
        self.0.renewer.responders.urls_of(chain.end_entity())
    }

    /// Asks about a certificate of which only the issuer and the serial number are known.
    ///
    /// # Errors
    ///
    /// The stapler has ended.
    #[cfg(feature = "responder")]
    pub(crate) async fn ask_named(
        &self,
        certificate: &crate::chain::named::NamedCertificate,
        hash: crate::ocsp::CertIdHash,
        urls: &[String],
    ) -> Result<crate::renewer::NamedAnswer, HandleError> {
        self.unless_ended(self.0.renewer.ask_named(certificate, hash, urls)).await
    }

    /// The longest time between two questions about one certificate.
    #[cfg(feature = "responder")]
    pub(crate) fn maximum_interval(&self) -> Duration {
        self.0.renewer.refresh.maximum_interval
    }

    fn select(&self, which: &Selection) -> Vec<Selected> {
        let fits = |about: &About, chain: &CertChain| match which {
            Selection::All => true,
            Selection::Responder(host) => self.0.renewer.responders.is_asked(chain, host),
            Selection::Certificates(names) => names.iter().any(|name| about.is_named(name)),
        };
        self.0.inventory.selected(fits)
    }

    async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Result<T, HandleError> {
        self.0.ended.run_until_cancelled(work).await.ok_or(HandleError::Ended)
    }
}

impl Asked {
    /// The certificates of the request, in the order of their names.
    pub fn certificates(&self) -> &[Arc<About>] {
        &self.certificates
    }

    /// The certificates whose results [`next`](Asked::next) has not returned yet.
    pub fn open(&self) -> impl Iterator<Item = &Arc<About>> {
        self.done.iter().map(|done| &done.about).chain(self.open.iter().map(|open| &open.about))
    }

    /// Waits for the next result: the CA was asked for one more certificate, and every sink has its staple or has failed
    /// once. `None` after the last result. The time depends on the responders: set a deadline around the call. The call may
    /// be dropped at any time without losing a result.
    ///
    /// # Errors
    ///
    /// The stapler has ended.
    pub async fn next(&mut self) -> Result<Option<Renewed>, HandleError> {
        let inventory = self.handle.inventory();
        let mut changes = inventory.changes();
        loop {
            changes.mark_unchanged();
            self.collect(&inventory);
            if let Some(done) = self.done.pop_front() {
                return Ok(Some(done));
            }
            if self.open.is_empty() {
                return Ok(None);
            }
            self.handle.unless_ended(changes.changed()).await?.map_err(|_| HandleError::Ended)?;
            self.handle.unless_ended(tokio::time::sleep(CHECK)).await?;
        }
    }

    fn collect(&mut self, inventory: &Inventory) {
        let done = &mut self.done;
        self.open.retain(|open| {
            let (outcome, status) = match inventory.progress(&open.subject, open.ticket) {
                Progress::Open => return true,
                Progress::InVain(status) => (Outcome::Failed, Some(*status)),
                Progress::Done(status) => (open.outcome(&status), Some(*status)),
                Progress::Gone => (Outcome::Gone, None),
            };
            done.push_back(Renewed { about: Arc::clone(&open.about), outcome, status });
            false
        });
    }
}
