//! Issuers that no place holds: fetched from the caIssuers URLs of certificates (RFC 5280 §4.2.2.1).
//!
//! A fetched certificate is not trusted: it is used and kept only if its key made the signature on a certificate that waits
//! for its issuer.

use std::sync::Arc;

use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::chance::Chance;
use crate::event::{EventKind, Journal};
use crate::fetch::OcspFetcher;
use crate::inventory::Inventory;
use crate::queues;
use crate::reason::ReasonCode;
use crate::refresh::RefreshPolicy;
use crate::refresh::inputs::Failure;
use crate::scheduler::{Lease, Scheduler, SchedulerError, Step};
use crate::task::{Cause, Due, Subject, Task};

/// How many bytes are read from a caIssuers URL.
const MAX_SIZE: usize = 64 * 1024;

/// Keeps fetched issuers from one run to the next. Its methods may block briefly and are never cancelled. A program that is
/// killed during a write must find the certificate whole or not at all at its next start.
///
/// ```
/// use std::sync::{Mutex, PoisonError};
///
/// use stapled_core::IssuerStore;
/// use stapled_core::certificate::Certificate;
///
/// /// Keeps issuers from one stapler of a program to the next.
/// #[derive(Default)]
/// struct Kept(Mutex<Vec<Certificate>>);
///
/// impl IssuerStore for Kept {
///     fn load(&self) -> Vec<Certificate> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
///     }
///
///     fn keep(&self, issuer: &Certificate) -> std::io::Result<()> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner).push(issuer.clone());
///         Ok(())
///     }
/// }
/// ```
pub trait IssuerStore: Send + Sync {
    /// The kept certificates.
    fn load(&self) -> Vec<Certificate>;

    /// Keeps a certificate.
    ///
    /// # Errors
    ///
    /// Why it was not kept. The next run fetches it again.
    fn keep(&self, issuer: &Certificate) -> std::io::Result<()>;
}

/// Fetches issuers.
pub(crate) struct IssuerFetcher {
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) fetcher: Arc<dyn OcspFetcher>,
    pub(crate) store: Option<Arc<dyn IssuerStore>>,
    pub(crate) journal: Journal,
    pub(crate) refresh: RefreshPolicy,
    pub(crate) chance: Arc<dyn Chance>,
}

impl IssuerFetcher {
    /// Loads the issuers that earlier runs kept.
    pub(crate) fn load(&self) {
        let Some(store) = &self.store else { return };
        let mut kept: Vec<Arc<Certificate>> = store.load().into_iter().map(Arc::new).collect();
        self.inventory.add_issuers(&Subject::from("issuer-store"), &mut kept);
    }

    /// Does one task *issuer*; its subject is the URL.
    pub(crate) async fn work(self: Arc<Self>, lease: Lease) {
        if let Err(error) = self.fetch(&lease).await {
            self.journal.tell(EventKind::Internal { what: format!("issuer {}: {error}", lease.task().subject) });
        }
    }

    async fn fetch(&self, lease: &Lease) -> Result<(), SchedulerError> {
        let location = &lease.task().subject;
        let url = location.as_str();
        let mut step = Step::finish(lease);
        if !self.inventory.is_issuer_awaited_from(url) {
            // The issuer was found elsewhere, or the certificate that waited for it is gone.
            return self.scheduler.commit(step).await;
        }
        match self.get(url).await {
            Ok(fetched) => {
                // A fetched certificate that signed none of the waiting ones is not used.
                let mut issuers = self.inventory.confirmed_issuers(&fetched);
                if issuers.is_empty() {
                    let (code, what) = self.refused(url, &fetched);
                    step.puts.extend(self.note_unsupported(location, &fetched));
                    step.puts.push(self.again(lease, code, what));
                }
                for issuer in &issuers {
                    let issuer_name = issuer.name().to_owned();
                    self.journal.tell(EventKind::IssuerFetched { url: url.to_owned(), issuer: issuer_name });
                    if let Some(store) = &self.store
                        && let Err(error) = store.keep(issuer)
                    {
                        let what = format!("the issuer fetched from {url} could not be kept: {error}");
                        self.journal.tell(EventKind::Internal { what });
                    }
                }
                if !issuers.is_empty() {
                    let waiting = self.inventory.add_issuers(location, &mut issuers);
                    step.puts.extend(waiting.iter().map(|(place, generation)| queues::parse_task(place, *generation)));
                }
            }
            Err((code, what)) => step.puts.push(self.again(lease, code, what)),
        }
        self.scheduler.commit(step).await
    }

    /// Why no fetched certificate is the issuer.
    fn refused(&self, url: &str, fetched: &[Arc<Certificate>]) -> (ReasonCode, String) {
        match self.inventory.unsupported_issuers(fetched).first() {
            Some(issuer) => (
                ReasonCode::new("unsupported_algorithm"),
                format!(
                    "{url}: {} may be the issuer, but signs in a way that is not supported: it cannot be checked",
                    issuer.name()
                ),
            ),
            None => (
                ReasonCode::new("wrong_issuer"),
                format!("{url}: the certificates there issued none of the certificates that name this URL"),
            ),
        }
    }

    /// Adds certificates that seem to be issuers and cannot be checked, so that the waiting places report that reason. Such
    /// certificates never become part of a chain, and are not kept.
    fn note_unsupported(&self, location: &Subject, fetched: &[Arc<Certificate>]) -> Vec<Task> {
        let mut unsupported = self.inventory.unsupported_issuers(fetched);
        let is_known = |issuer: &Arc<Certificate>| self.inventory.issuers_named(issuer.subject()).contains(issuer);
        // A second addition would make the waiting places due, which would start another fetch.
        if unsupported.is_empty() || unsupported.iter().all(is_known) {
            return Vec::new();
        }
        let waiting = self.inventory.add_issuers(location, &mut unsupported);
        waiting.iter().map(|(place, generation)| queues::parse_task(place, *generation)).collect()
    }

    fn again(&self, lease: &Lease, code: ReasonCode, what: String) -> Task {
        let failure = Failure::after(lease.task().attempt);
        let now = self.journal.clock.now();
        let again = self.refresh.retry_at(failure, now, self.chance.draw());
        let url = lease.task().subject.to_string();
        self.journal.tell(EventKind::IssuerFetchFailed { url, code, what, again });
        lease.task().again(Due::After(again.since(now)), Cause::failed(code))
    }

    async fn get(&self, url: &str) -> Result<Vec<Arc<Certificate>>, (ReasonCode, String)> {
        let bytes =
            self.fetcher.fetch_issuer(url, MAX_SIZE).await.map_err(|error| (error.code(), error.to_string()))?;
        let unusable = |what: String| (ReasonCode::new("malformed_certificate"), format!("{url}: {what}"));
        let bundle = Bundle::read_issuers(&bytes).map_err(|error| unusable(error.to_string()))?;
        let issuers: Vec<_> = bundle.certificates.into_iter().filter(Certificate::is_ca).map(Arc::new).collect();
        if issuers.is_empty() {
            return Err(unusable("no certificate of a CA there".to_owned()));
        }
        Ok(issuers)
    }
}
