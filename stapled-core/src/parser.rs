//! The parser: makes out which certificate lies in a place and who issued it, reuses a staple that is still good, and
//! schedules *renew* and *add*.

use std::sync::Arc;
use std::time::Duration;

use crate::bundle::{Bundle, BundleError};
use crate::certificate::Certificate;
use crate::certificate_file::{Around, ChainReader, ReadError, read_file};
use crate::chain::{CertChain, ChainError};
use crate::chance::Chance;
use crate::event::{About, EventKind, Journal};
use crate::inventory::{Displaced, Inventory, Kept, PlaceState, RenewalMemory, Settled};
use crate::lane;
use crate::lookup::IssuerPlace;
use crate::lookup::IssuerSearch;
use crate::place_fault::PlaceFault;
use crate::queues;
use crate::reason::ReasonCode;
use crate::refresh::{Failure, RefreshPolicy, Spread};
use crate::responders::Responders;
use crate::scheduler::{Lease, Scheduler, SchedulerError, Step};
use crate::sink::{Site, StapleSink, requirements_of, usable_by};
use crate::source::{Material, Sighting};
use crate::staple::{Judge, JudgePolicy};
use crate::task::{Cause, Due, Subject, Task};
use crate::time::Timestamp;

/// How long reading a file may take: a file system that hangs holds up its own files.
const PATIENCE: Duration = Duration::from_secs(30);

/// The parser.
pub(crate) struct Parser {
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) responders: Arc<Responders>,
    pub(crate) sinks: Vec<Arc<dyn StapleSink>>,
    pub(crate) journal: Journal,
    pub(crate) refresh: RefreshPolicy,
    pub(crate) chance: Arc<dyn Chance>,
    pub(crate) judging: JudgePolicy,
    /// Whether kept responses are used again.
    pub(crate) recycle: bool,
    /// Whether issuers that lie nowhere are fetched.
    pub(crate) fetch_issuers: bool,
    pub(crate) chains: Arc<ChainReader>,
}

/// How often what is due is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// As long as the stapler runs.
    Forever,
    /// Once: nothing is done later.
    Single,
}

/// Why a place could not be made out.
#[derive(Debug, thiserror::Error)]
enum ParseError {
    #[error("{what}")]
    Unreadable { what: String },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{0}")]
    Bundle(#[from] BundleError),
    #[error("{0}")]
    Chain(#[from] ChainError),
    #[error(
        "the certificate of its issuer \"{issuer}\" is not in the file, not in a .issuer file beside it, and not \
         among the certificates of the same directories: add it to one of them"
    )]
    IssuerMissing { issuer: String },
}

impl ParseError {
    fn fault(&self) -> PlaceFault {
        match self {
            ParseError::Read(ReadError::TooLarge) => PlaceFault::TooLarge,
            ParseError::Unreadable { .. } | ParseError::Read(_) => PlaceFault::Unreadable,
            ParseError::Bundle(error) => error.into(),
            ParseError::Chain(error) => error.into(),
            ParseError::IssuerMissing { .. } => PlaceFault::IssuerMissing,
        }
    }
}

/// What lies in a place.
enum Contents {
    OnlyCaCertificates,
    NotApplicable(Arc<About>),
    Chain { chain: Arc<CertChain>, issuer: IssuerPlace },
    Failed { about: Option<Arc<About>>, error: ParseError, awaits: Option<Awaiting> },
}

/// A certificate whose issuer is not known.
struct Awaiting {
    certificate: Arc<Certificate>,
    /// Whether its issuer may be another than those that were seen: fetching it can help.
    may_be_another: bool,
}

impl Parser {
    /// Does one task *parse*.
    pub(crate) async fn work(self: Arc<Self>, lease: Lease, pass: Pass) {
        match self.parse(&lease, pass).await {
            // Fenced off: the place is gone, and with it the work.
            Ok(()) | Err(SchedulerError::Fenced { .. }) => {}
            Err(error) => {
                self.journal.tell(EventKind::Internal { what: format!("parse {}: {error}", lease.task().subject) });
            }
        }
    }

    async fn parse(&self, lease: &Lease, pass: Pass) -> Result<(), SchedulerError> {
        let location = &lease.task().subject;
        let generation = lease.task().generation;
        let Some(sighting) = self.inventory.place(location, generation) else {
            // The place is gone or has changed since: another task is on its way, or none is needed.
            return self.scheduler.commit(Step::finish(lease)).await;
        };
        let contents = self.make_out(location, &sighting).await?;
        let now = self.journal.clock.now();
        let name = &sighting.name;
        match contents {
            Contents::OnlyCaCertificates => {
                self.journal.tell(EventKind::OnlyCaCertificates { place: Arc::clone(name) });
                self.settle_without(lease, PlaceState::OnlyCaCertificates, None).await
            }
            Contents::NotApplicable(about) if about.must_staple => {
                self.journal.tell_of(&about, EventKind::MustStapleWithoutUrl);
                self.settle_without(lease, PlaceState::MustStapleWithoutUrl(about), None).await
            }
            Contents::NotApplicable(about) => {
                self.journal.tell_of(&about, EventKind::NotApplicable);
                self.settle_without(lease, PlaceState::NotApplicable(about), None).await
            }
            Contents::Failed { about, error, awaits } => {
                let fault = error.fault();
                // The fault that the last attempt met is no news.
                let is_news =
                    !matches!(lease.task().cause, Cause::Failed(_)) || self.inventory.fault_of(location) != Some(fault);
                if let Some(Awaiting { certificate, may_be_another }) = &awaits {
                    self.inventory.wait_for_issuer(location, certificate);
                    // Whoever brought the issuer while it was looked for did not know that it is waited for; and at a
                    // start it may be in a file whose turn comes later. So it is looked for once more before it is told.
                    let is_there = || {
                        let known = self.inventory.issuers_named(certificate.issuer());
                        known.iter().any(|issuer| certificate.is_issued_by(issuer))
                    };
                    if lease.task().cause == Cause::Regular || is_there() {
                        let task = queues::parse_task(location, generation).cause(Cause::SecondLook);
                        return self.scheduler.commit(Step::finish(lease).put(task)).await;
                    }
                    // Once; it is tried again by itself.
                    if self.fetch_issuers && *may_be_another && is_news {
                        for url in certificate.ca_issuers_urls() {
                            let task = Task::new(queues::issuer(), Subject::new(url.as_str()));
                            self.scheduler.commit(Step::intake().put(task)).await?;
                        }
                    }
                }
                let failure = Failure { attempt: lease.task().attempt, ..Failure::default() };
                let retry = self.refresh.retry_at(failure, now, self.chance.draw());
                let (again, due) = match &error {
                    // Time alone mends this, at a known moment.
                    ParseError::Chain(ChainError::NotYetValid { not_before, .. }) => {
                        (*not_before, Due::At(*not_before))
                    }
                    _ => (retry, Due::After(retry.since(now))),
                };
                let expired = matches!(error, ParseError::Chain(ChainError::Expired { .. }));
                let what = error.to_string();
                let event = EventKind::PlaceProblem {
                    place: Arc::clone(name),
                    fault,
                    what: what.clone(),
                    again: (!expired).then_some(again),
                };
                if is_news {
                    match &about {
                        Some(about) => self.journal.tell_of(about, event),
                        None => self.journal.tell(event),
                    }
                }
                let state = match about {
                    Some(about) if expired => PlaceState::Expired(about),
                    about => PlaceState::Problem { about, fault, what },
                };
                let task = lease.task().again(due, Cause::failed(fault.code()));
                self.settle_without(lease, state, Some((task, again))).await
            }
            Contents::Chain { chain, issuer } => self.settle(lease, &sighting, chain, issuer, pass).await,
        }
    }

    async fn settle_without(
        &self,
        lease: &Lease,
        state: PlaceState,
        again: Option<(Task, Timestamp)>,
    ) -> Result<(), SchedulerError> {
        let now = self.journal.clock.now();
        let (task, again) = again.unzip();
        let (location, generation) = (&lease.task().subject, lease.task().generation);
        let displaced = self.inventory.settle_without(location, generation, state, again, now);
        self.displace(displaced).await?;
        let mut step = Step::finish(lease);
        step.puts.extend(task);
        self.scheduler.commit(step).await
    }

    async fn displace(&self, displaced: Option<Displaced>) -> Result<(), SchedulerError> {
        let Some(displaced) = displaced else { return Ok(()) };
        queues::displace(&*self.scheduler, &displaced).await?;
        if displaced.retired {
            self.journal.tell_of(&displaced.about, EventKind::Retired);
        }
        Ok(())
    }

    /// A certificate that wants a staple has come to its place.
    async fn settle(
        &self,
        lease: &Lease,
        sighting: &Sighting,
        chain: Arc<CertChain>,
        issuer: IssuerPlace,
        pass: Pass,
    ) -> Result<(), SchedulerError> {
        let site = Site {
            served_as: sighting.served_as.clone().unwrap_or_else(|| Arc::clone(&sighting.name)),
            file: match &sighting.material {
                Material::File(path) => Some(path.clone()),
                Material::Bytes(_) => None,
            },
            staple_file: sighting.staple_file.clone(),
            staple_file_needed: sighting.staple_file_needed,
            issuer,
        };
        let now = self.journal.clock.now();
        let subject = chain.subject().clone();
        let settled = self.inventory.settle(
            &lease.task().subject,
            lease.task().generation,
            Arc::clone(&chain),
            site.clone(),
            now,
        );
        let Some(settled) = settled else {
            return self.scheduler.commit(Step::finish(lease)).await;
        };
        let mut step = Step::finish(lease);
        if settled.new {
            self.journal.tell_of(&settled.about, EventKind::Accepted);
        }
        let renew = Task::new(self.responders.queue_for(&chain), subject.clone()).generation(settled.generation);
        let renew = renew.cause(Cause::Found);
        self.displace(settled.displaced.clone()).await?;
        if let Some(staple) = &settled.staple {
            // It is known from another place, or from before: this place gets its staple, and renewals go on as planned,
            // unless they have ended meanwhile or a server is new that cannot take it.
            step.puts.extend(queues::add_tasks(&subject, settled.generation, &settled.sinks));
            let is_unfit = !requirements_of(&self.sinks, &settled.sinks).fits(staple);
            if is_unfit || settled.revived || settled.next.is_none() {
                step.puts.push(renew);
            }
            return self.scheduler.commit(step).await;
        }
        let kept = match self.inherited(&chain, &settled, now) {
            Some(inherited) => Some(inherited),
            None => self.recall(&chain, &site, &settled, pass).await,
        };
        let Some(kept) = kept else {
            // A file that is touched is no reason to ask before its time.
            if settled.revived || settled.next.is_none() {
                step.puts.push(renew);
            }
            return self.scheduler.commit(step).await;
        };
        let (expires, renew_at) = (kept.staple.expires(), kept.renew_at);
        // Unless the renewer was quicker: then it has planned what follows, too.
        let adopted = self.inventory.adopt(kept, now);
        if adopted.is_some() {
            step.puts.push(renew.due(Due::After(renew_at.since(now))));
        } else if settled.revived {
            step.puts.push(renew);
        }
        let sinks = adopted.as_ref().unwrap_or(&settled.sinks);
        step.puts.extend(queues::add_tasks(&subject, settled.generation, sinks));
        let puts = step.puts.clone();
        let mut committed = self.scheduler.commit(step).await;
        if matches!(committed, Err(SchedulerError::Fenced { .. })) {
            // The place is gone meanwhile. The certificate may lie in another, and has its renewal from here.
            committed = self.scheduler.commit(Step { puts, ..Step::intake() }).await;
        }
        if adopted.is_some() {
            self.journal.tell_of(&settled.about, EventKind::Recycled { expires, renew: renew_at });
        }
        committed
    }

    /// The staple that another stapler held, judged anew, however long it lasts: servers have it. Its renewal stays where
    /// it was, unless the rules have changed.
    fn inherited(&self, chain: &Arc<CertChain>, settled: &Settled, now: Timestamp) -> Option<Kept> {
        let inherited = settled.inherited.as_ref()?;
        let response = inherited.staple.as_ref()?.response();
        let staple = match Judge::new(chain).at(now).policy(&self.judging).judge(response.clone()) {
            Ok(judgement) => Arc::new(judgement.into_staple()?),
            Err(refusal) => {
                let (code, what) = (refusal.code(), refusal.to_string());
                self.journal.tell_of(&settled.about, EventKind::NotRecycled { code, what });
                return None;
            }
        };
        let requirements = requirements_of(&self.sinks, &settled.sinks);
        let usable = usable_by(&self.sinks, &settled.sinks, &staple);
        let since = inherited.good_since();
        // What failed is tried again at once, and what a new server cannot take is replaced.
        let is_in_order = !inherited.unconfirmed && since.is_some() && requirements.check(&staple, now).is_ok();
        let planned = inherited.next.filter(|next| is_in_order && *next > now);
        let renew_at = planned.map(|next| {
            let by_the_rules = |spread, chance| self.refresh.renew_at(usable, now, Some(next), spread, chance);
            if next <= by_the_rules(Spread::Jitter, 0.0) {
                return next;
            }
            // As many others, where the rules have changed.
            by_the_rules(Spread::Interval, self.chance.draw())
        });
        Some(Kept { staple, memory: inherited.memory.clone(), renew_at: renew_at.unwrap_or(now), since })
    }

    /// A response that a sink has kept, judged as if it came from the network. It is in service until the renewal, and after
    /// one that fails.
    async fn recall(&self, chain: &Arc<CertChain>, site: &Site, settled: &Settled, pass: Pass) -> Option<Kept> {
        if !self.recycle || settled.staple.is_some() {
            return None;
        }
        let not_recycled =
            |code, what: String| self.journal.tell_of(&settled.about, EventKind::NotRecycled { code, what });
        for sink in settled.sinks.iter().filter_map(|&sink| self.sinks.get(sink)) {
            // One that fails keeps nothing: its staples are fetched, as everybody's.
            let kept = tokio::time::timeout(PATIENCE, sink.recall(chain, std::slice::from_ref(site)));
            let panicked = || format!("{}: looking for a kept staple panicked", sink.name());
            let Some(Ok(Some(kept))) = lane::survive(&self.journal, panicked, kept).await else { continue };
            let now = self.journal.clock.now();
            let staple = match Judge::new(chain).at(now).policy(&self.judging).judge(kept.clone()) {
                Ok(judgement) => match judgement.into_staple() {
                    Some(staple) => staple,
                    None => {
                        not_recycled(ReasonCode::new("not_good"), "its status is not good".to_owned());
                        continue;
                    }
                },
                Err(refusal) => {
                    not_recycled(refusal.code(), refusal.to_string());
                    continue;
                }
            };
            // What every sink can use; one that cannot gets a fresh one.
            let requirements = settled.sinks.iter().filter_map(|&sink| Some(self.sinks.get(sink)?.requirements()));
            let mut unfit = requirements.filter_map(|asked| asked.check(&staple, now).err());
            if let Some(unfit) = unfit.next() {
                not_recycled(unfit.code(), unfit.to_string());
                continue;
            }
            let usable = usable_by(&self.sinks, &settled.sinks, &staple);
            let renew_at = match pass {
                // There is no later: what the daemon would have asked for by now is asked for.
                Pass::Single if self.refresh.due_at(usable) <= now => now,
                _ => self.refresh.renew_kept_at(usable, now, self.chance.draw()),
            };
            let staple = Arc::new(staple);
            return Some(Kept { staple, memory: RenewalMemory::default(), renew_at, since: None });
        }
        None
    }

    /// Reads a place and finds the issuer of what is in it.
    async fn make_out(&self, location: &Subject, sighting: &Sighting) -> Result<Contents, SchedulerError> {
        let failed = |about, error| Ok(Contents::Failed { about, error, awaits: None });
        let read = tokio::time::timeout(PATIENCE, read(sighting.clone(), Arc::clone(&self.chains))).await;
        let (bundle, around) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return failed(None, error),
            Err(_) => {
                let what = format!("cannot be read within {} s: does its file system hang?", PATIENCE.as_secs());
                return failed(None, ParseError::Unreadable { what });
            }
        };
        let certificates: Vec<Arc<Certificate>> = bundle.certificates.into_iter().map(Arc::new).collect();
        let cas: Vec<Arc<Certificate>> =
            certificates.iter().chain(&around.beside).filter(|one| one.is_ca()).cloned().collect();
        for (waiting, generation) in self.inventory.add_issuers(location, &cas) {
            if waiting != *location {
                let task = queues::parse_task(&waiting, generation);
                self.scheduler.commit(Step::intake().put(task)).await?;
            }
        }
        let Some(end_entity) = certificates.iter().find(|one| !one.is_ca()).cloned() else {
            return match bundle.broken.into_iter().next() {
                Some((_, error)) => failed(None, error.into()),
                None => Ok(Contents::OnlyCaCertificates),
            };
        };
        let about = Arc::new(About {
            subject: None,
            name: end_entity.name().to_owned(),
            serial: end_entity.serial_hex(),
            places: vec![Arc::clone(&sighting.name)],
            must_staple: end_entity.must_staple(),
        });
        if self.responders.urls_of(&end_entity).is_empty() {
            return Ok(Contents::NotApplicable(about));
        }
        let now = self.journal.clock.now();
        // The first whose name and signature fit.
        let mut search = IssuerSearch::new(&end_entity);
        let around_it = [certificates.as_slice(), &around.beside, around.firsts()];
        let found = around_it.into_iter().find_map(|candidates| search.among(candidates));
        let found = found.or_else(|| search.among(&self.inventory.issuers_named(end_entity.issuer())));
        let Some(chain) = found else {
            let missing = || ParseError::IssuerMissing { issuer: end_entity.issuer_name() };
            let error = search.error().map_or_else(missing, ParseError::Chain);
            let awaits = Awaiting { may_be_another: !search.is_named(), certificate: end_entity };
            return Ok(Contents::Failed { about: Some(about), error, awaits: Some(awaits) });
        };
        let issuer = around.surroundings(&certificates).issuer_place(&end_entity, chain.issuer());
        if let Err(error) = chain.check_usable(now) {
            return failed(Some(about), error.into());
        }
        Ok(Contents::Chain { chain: Arc::new(chain), issuer })
    }
}

async fn read(sighting: Sighting, chains: Arc<ChainReader>) -> Result<(Bundle, Around), ParseError> {
    let path = match &sighting.material {
        Material::Bytes(bytes) => return Ok((Bundle::read(bytes)?, Around::default())),
        Material::File(path) => path.clone(),
    };
    let work = move || {
        let bundle = Bundle::read(&read_file(&path)?)?;
        Ok((bundle, Around::read(&path, &sighting, &chains, Arc::new)))
    };
    let unreadable = |what: String| ParseError::Unreadable { what };
    tokio::task::spawn_blocking(work).await.map_err(|error| unreadable(error.to_string()))?
}
