//! The parser: reads the certificate in a place, finds its issuer, reuses a staple that is still good, and schedules
//! *renew* and *add*.

mod recall;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::adder::Adder;
use crate::bundle::{Bundle, BundleError};
use crate::certificate::Certificate;
use crate::chain::{CertChain, ChainError};
use crate::chance::Chance;
use crate::event::faults::PlaceFault;
use crate::event::{About, EventKind, Journal};
use crate::inventory::standing::PlaceState;
use crate::inventory::{Displaced, Inventory, Kept, Settled, SinkNumber, SourceNumber};
use crate::io::blocking::{BlockedError, FILES};
use crate::io::certificate_file::{Around, ChainReader, ReadError, read_file};
use crate::lane;
use crate::lookup::IssuerPlace;
use crate::lookup::search::IssuerSearch;
use crate::queues;
use crate::refresh::RefreshPolicy;
use crate::refresh::inputs::{Failure, Received, Spread};
use crate::responders::Responders;
use crate::scheduler::{Lease, Scheduler, SchedulerError, Step};
use crate::sink::{Site, StapleSink, requirements_of, usable_by};
use crate::source::{Material, Sighting};
use crate::staple::{Judge, JudgePolicy};
use crate::task::{Cause, Due, Subject, Task};
use crate::time::Timestamp;

/// The deadline for reading a file. A file system that hangs delays only files of the same source.
const PATIENCE: Duration = Duration::from_secs(30);

/// The parser.
pub(crate) struct Parser {
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) responders: Arc<Responders>,
    pub(crate) sinks: Vec<Arc<dyn StapleSink>>,
    /// The adders of the sinks, by the same numbers.
    pub(crate) adders: Vec<Arc<Adder>>,
    pub(crate) journal: Journal,
    pub(crate) refresh: RefreshPolicy,
    pub(crate) chance: Arc<dyn Chance>,
    pub(crate) judging: JudgePolicy,
    /// Whether responses that a sink has kept are used again.
    pub(crate) recycle: bool,
    /// Whether issuers that no place holds are fetched.
    pub(crate) fetch_issuers: bool,
    pub(crate) chains: Arc<ChainReader>,
    /// The names of the sources, by their numbers.
    pub(crate) sources: Vec<String>,
}

/// How often due work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// As often as it is due, as long as the stapler runs.
    Forever,
    /// Once; later work is not done.
    Single,
}

/// A certificate that was found at a site, and that no staple is held of.
#[derive(Clone, Copy)]
struct Found<'a> {
    source: SourceNumber,
    site: &'a Site,
    chain: &'a Arc<CertChain>,
    settled: &'a Settled,
    pass: Pass,
}

/// Why the contents of a place could not be used.
#[derive(Debug, thiserror::Error)]
enum ParseError {
    #[error("cannot be read: {0}")]
    Blocked(BlockedError),
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
            ParseError::Blocked(_) | ParseError::Read(_) => PlaceFault::Unreadable,
            ParseError::Bundle(error) => error.into(),
            ParseError::Chain(error) => error.into(),
            ParseError::IssuerMissing { .. } => PlaceFault::IssuerMissing,
        }
    }
}

/// The contents of a place.
enum Contents {
    OnlyCaCertificates,
    /// A file in a directory is of another kind, such as that of a private key.
    OtherKind,
    Off(Arc<About>),
    NotApplicable(Arc<About>),
    Chain {
        chain: Arc<CertChain>,
        issuer: IssuerPlace,
    },
    Failed {
        about: Option<Arc<About>>,
        error: ParseError,
        awaits: Option<Awaiting>,
    },
}

/// A certificate whose issuer is not known.
struct Awaiting {
    certificate: Arc<Certificate>,
    /// Whether another certificate than the known ones may be the issuer, so that fetching it can help.
    may_be_another: bool,
}

impl Parser {
    /// Does one task *parse*.
    pub(crate) async fn work(self: Arc<Self>, lease: Lease, pass: Pass) {
        match self.parse(&lease, pass).await {
            // Fenced: the place is gone, so its task is obsolete.
            Ok(()) | Err(SchedulerError::Fenced { .. }) => {}
            Err(error) => {
                self.journal.tell(EventKind::Internal { what: format!("parse {}: {error}", lease.task().subject) });
            }
        }
    }

    async fn parse(&self, lease: &Lease, pass: Pass) -> Result<(), SchedulerError> {
        let location = &lease.task().subject;
        let generation = lease.task().generation;
        let Some((source, sighting)) = self.inventory.place(location, generation) else {
            // The place is gone or has changed since: another task follows, or none is needed.
            return self.scheduler.commit(Step::finish(lease)).await;
        };
        let contents = self.read_place(location, source, &sighting).await?;
        let now = self.journal.clock.now();
        let name = &sighting.name;
        match contents {
            Contents::OnlyCaCertificates => {
                self.journal.tell(EventKind::OnlyCaCertificates { place: Arc::clone(name) });
                self.settle_without(lease, PlaceState::OnlyCaCertificates, None).await
            }
            Contents::OtherKind => self.settle_without(lease, PlaceState::OtherKind, None).await,
            Contents::Off(about) => {
                self.journal.tell_of(&about, EventKind::Off);
                self.settle_without(lease, PlaceState::Off(about), None).await
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
                // A fault that the last attempt reported already is not reported again.
                let is_news =
                    !matches!(lease.task().cause, Cause::Failed(_)) || self.inventory.fault_of(location) != Some(fault);
                if let Some(Awaiting { certificate, may_be_another }) = &awaits {
                    self.inventory.wait_for_issuer(location, certificate);
                    // The issuer may have been added after the search and before this place was registered as waiting;
                    // at a start, its file may be parsed later than this one. So the parser searches once more before
                    // it reports the fault.
                    let known = self.inventory.issuers_named(certificate.issuer());
                    let is_there = known.iter().any(|issuer| certificate.is_issued_by(issuer));
                    if !is_there && lease.task().cause == Cause::Regular && self.inventory.defer(source, location) {
                        return self.scheduler.commit(Step::finish(lease)).await;
                    }
                    if is_there || lease.task().cause == Cause::Regular {
                        let task = queues::parse_task(location, generation).cause(Cause::SecondLook);
                        return self.scheduler.commit(Step::finish(lease).put(task)).await;
                    }
                    // Only the first failure starts a fetch; the fetch retries by itself.
                    if self.fetch_issuers && *may_be_another && is_news {
                        for url in certificate.ca_issuers_urls() {
                            let task = Task::new(queues::issuer(), Subject::new(url.as_str()));
                            self.scheduler.commit(Step::intake().put(task)).await?;
                        }
                    }
                }
                let failure = Failure::after(lease.task().attempt);
                let retry = self.refresh.retry_at(failure, now, self.chance.draw());
                let (again, due) = match &error {
                    // This fault ends at a known time.
                    ParseError::Chain(ChainError::NotYetValid { not_before, .. }) => {
                        (*not_before, Due::At(*not_before))
                    }
                    _ => (retry, Due::After(retry.since(now))),
                };
                let expired = matches!(error, ParseError::Chain(ChainError::Expired { .. }));
                if expired {
                    self.journal.doubt_clock();
                }
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
            Contents::Chain { chain, issuer } => self.settle(lease, source, site(&sighting, issuer), chain, pass).await,
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

    /// Records that a certificate that wants a staple is in this place, and schedules the tasks that follow.
    async fn settle(
        &self,
        lease: &Lease,
        source: SourceNumber,
        site: Site,
        chain: Arc<CertChain>,
        pass: Pass,
    ) -> Result<(), SchedulerError> {
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
            self.clear_leftover(source, &site, &chain, &BTreeSet::new()).await;
            // The certificate is known from another place or from before. This place gets its staple, and the planned
            // renewals continue, unless they have ended meanwhile or a new server cannot use the staple.
            step.puts.extend(queues::add_tasks(&subject, settled.generation, &settled.sinks));
            let is_unfit = !requirements_of(&self.sinks, settled.sinks.iter()).fits(staple);
            if is_unfit || settled.revived || settled.next.is_none() {
                step.puts.push(renew);
            }
            return self.scheduler.commit(step).await;
        }
        let inherited = self.inherited(&chain, &settled, now);
        let is_recalled = inherited.is_none();
        let kept = match inherited {
            Some(inherited) => {
                self.clear_leftover(source, &site, &chain, &BTreeSet::new()).await;
                Some(inherited)
            }
            None => self.recall(Found { source, site: &site, chain: &chain, settled: &settled, pass }).await,
        };
        let Some(kept) = kept else {
            // A touched file is no reason to ask before the planned time.
            if settled.revived || settled.next.is_none() {
                step.puts.push(renew);
            }
            return self.scheduler.commit(step).await;
        };
        let (expires, renew_at) = (kept.staple.expires(), kept.renew_at);
        // If the renewer was faster, it has scheduled the tasks that follow.
        let adopted = self.inventory.adopt(kept, now);
        let planned = match &adopted {
            Some(_) => Some(renew.due(Due::After(renew_at.since(now)))),
            None => settled.revived.then_some(renew),
        };
        if adopted.is_some() {
            self.journal.tell_of(&settled.about, EventKind::Recycled { expires, renew: renew_at });
        }
        let mut plain: Vec<Task> = planned.into_iter().collect();
        step.puts.extend(plain.iter().cloned());
        // A single pass ends when no task is due, so there a task stands for each delivery that is not recorded yet.
        let may_claim = adopted.is_some() && is_recalled && pass == Pass::Forever;
        let mut claims = Vec::new();
        for sink in adopted.as_ref().unwrap_or(&settled.sinks).iter() {
            let add = queues::add_task(sink, &subject, settled.generation);
            plain.push(add.clone());
            let adder = self.adders.get(sink).filter(|_| may_claim);
            match adder.and_then(|adder| Some((adder, adder.claim(&subject)?))) {
                Some((adder, claim)) => {
                    step.puts.push(add.clone().due(Due::At(adder.end_of(&claim))));
                    claims.push((adder, claim, add));
                }
                None => step.puts.push(add),
            }
        }
        match self.scheduler.commit(step).await {
            Ok(()) => {
                let missed = claims.into_iter().filter_map(|(adder, claim, add)| {
                    let is_settled = adder.settle(&subject, claim);
                    (!is_settled).then_some(add)
                });
                queues::put_all(&*self.scheduler, &missed.collect::<Vec<_>>()).await
            }
            // The place is gone meanwhile. The certificate may be in another place, so its tasks are scheduled here.
            Err(SchedulerError::Fenced { .. }) => self.scheduler.commit(Step { puts: plain, ..Step::intake() }).await,
            Err(error) => Err(error),
        }
    }

    /// The staple that another stapler held, judged anew. Its remaining validity does not matter, because servers have
    /// it already. Its renewal keeps its time, unless the rules have changed.
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
        let requirements = requirements_of(&self.sinks, settled.sinks.iter());
        let usable = usable_by(&self.sinks, settled.sinks.iter(), &staple);
        let since = inherited.good_since();
        // A failed renewal is retried at once, and a staple that a new server cannot use is replaced.
        let is_in_order = !inherited.unconfirmed && since.is_some() && requirements.check(&staple, now).is_ok();
        let planned = inherited.next.filter(|next| is_in_order && *next > now);
        let renew_at = planned.map(|next| {
            let by_the_rules =
                |spread, chance| self.refresh.renew_at(usable, Received::at(now).cached_until(next), spread, chance);
            if next <= by_the_rules(Spread::Jitter, 0.0) {
                return next;
            }
            // The rules may have changed for many certificates at once, so their renewals are spread.
            by_the_rules(Spread::Interval, self.chance.draw())
        });
        Some(Kept { staple, memory: inherited.memory.clone(), renew_at: renew_at.unwrap_or(now), since })
    }

    /// The sinks that serve what is in a source.
    fn sinks_of(&self, source: SourceNumber) -> impl Iterator<Item = &Arc<dyn StapleSink>> {
        let numbers = self.inventory.sinks_of.get(source).into_iter().flatten();
        numbers.filter_map(|&number| self.sinks.get(number))
    }

    /// Has each sink of a source, apart from these, remove what a former certificate, or a former process, left for the next start of
    /// servers.
    async fn clear_leftover(&self, source: SourceNumber, site: &Site, chain: &CertChain, done: &BTreeSet<SinkNumber>) {
        let sinks = self.inventory.sinks_of.get(source).into_iter().flatten();
        for sink in sinks.filter(|number| !done.contains(number)).filter_map(|&number| self.sinks.get(number)) {
            self.clear_leftover_of(sink, site, chain).await;
        }
    }

    async fn clear_leftover_of(&self, sink: &Arc<dyn StapleSink>, site: &Site, chain: &CertChain) {
        let now = self.journal.clock.now();
        let clear = tokio::time::timeout(PATIENCE, sink.clear_leftover(chain, std::slice::from_ref(site), now));
        let panicked = || format!("{}: looking for a response that was left behind panicked", sink.name());
        let _ = lane::survive(&self.journal, panicked, clear).await;
    }

    /// Reads a place and finds the issuer of its certificate.
    async fn read_place(
        &self,
        location: &Subject,
        source: SourceNumber,
        sighting: &Sighting,
    ) -> Result<Contents, SchedulerError> {
        let failed = |about, error| Ok(Contents::Failed { about, error, awaits: None });
        let sinks: Vec<_> = self.sinks_of(source).cloned().collect();
        let name = self.sources.get(source).cloned().unwrap_or_default();
        let (bundle, mut around) = match read(name, sighting.clone(), Arc::clone(&self.chains), sinks).await {
            Ok(read) => read,
            // While the file of a certificate is written anew, it may hold nothing but the key for a moment.
            Err(ParseError::Bundle(BundleError::OtherKind { .. }))
                if sighting.is_listed && !self.inventory.holds_certificate(location) =>
            {
                return Ok(Contents::OtherKind);
            }
            Err(error) => return failed(None, error),
        };
        let place = bundle.certificates.iter().position(|one| Some(one) == sighting.end_entity(&bundle));
        let mut certificates: Vec<Arc<Certificate>> = bundle.certificates.into_iter().map(Arc::new).collect();
        let cas = certificates.iter_mut().chain(&mut around.beside).filter(|one| one.is_ca());
        for (waiting, generation) in self.inventory.add_issuers(location, cas) {
            if waiting != *location {
                let task = queues::parse_task(&waiting, generation);
                self.scheduler.commit(Step::intake().put(task)).await?;
            }
        }
        let Some(end_entity) = place.and_then(|place| certificates.get(place)).cloned() else {
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
            not_after: Some(end_entity.not_after()),
        });
        let now = self.journal.clock.now();
        // The issuer is the first certificate whose name and signature match.
        let mut search = IssuerSearch::new(&end_entity);
        let around_it = [certificates.as_slice(), &around.beside, around.firsts()];
        let found = around_it.into_iter().find_map(|candidates| search.among(candidates));
        let found = found.or_else(|| search.among(&self.inventory.issuers_named(end_entity.issuer())));
        let is_off = self.responders.is_off(&end_entity);
        if is_off || self.responders.urls_of(&end_entity).is_empty() {
            if let Some(chain) = found {
                let issuer = around.surroundings(&certificates).issuer_place(&end_entity, chain.issuer());
                self.clear_leftover(source, &site(sighting, issuer), &chain, &BTreeSet::new()).await;
            }
            return Ok(if is_off { Contents::Off(about) } else { Contents::NotApplicable(about) });
        }
        let Some(chain) = found else {
            let missing = || ParseError::IssuerMissing { issuer: end_entity.issuer_name() };
            let error = search.error().map_or_else(missing, ParseError::Chain);
            let awaits = Awaiting { may_be_another: !search.is_named(), certificate: end_entity };
            return Ok(Contents::Failed { about: Some(about), error, awaits: Some(awaits) });
        };
        let issuer = around.surroundings(&certificates).issuer_place(&end_entity, chain.issuer());
        if let Err(error) = chain.check_usable(now) {
            self.clear_leftover(source, &site(sighting, issuer), &chain, &BTreeSet::new()).await;
            return failed(Some(about), error.into());
        }
        Ok(Contents::Chain { chain: Arc::new(chain), issuer })
    }
}

/// A place as sinks see it.
fn site(sighting: &Sighting, issuer: IssuerPlace) -> Site {
    Site {
        served_as: sighting.served_as.clone().unwrap_or_else(|| Arc::clone(&sighting.name)),
        file: match &sighting.material {
            Material::File(path) => Some(path.clone()),
            Material::Bytes(_) => None,
        },
        staple_file: sighting.staple_file.clone(),
        staple_file_needed: sighting.staple_file_needed,
        issuer,
    }
}

/// Reads a place of the source with this name, and what these sinks have beside it.
async fn read(
    source: String,
    sighting: Sighting,
    chains: Arc<ChainReader>,
    sinks: Vec<Arc<dyn StapleSink>>,
) -> Result<(Bundle, Around), ParseError> {
    let path = match &sighting.material {
        Material::Bytes(bytes) => return Ok((chains.read_bundle(bytes)?, Around::default())),
        Material::File(path) => Arc::clone(path),
    };
    let file = path.clone();
    let work = move || {
        let bundle = chains.read_bundle(&read_file(&file)?)?;
        if sighting.end_entity(&bundle).is_some() {
            // A sink that panics here has read nothing ahead, and is asked later.
            let ahead = || sinks.iter().for_each(|sink| sink.read_ahead(&file, sighting.staple_file.as_deref()));
            let _ = catch_unwind(AssertUnwindSafe(ahead));
        }
        Ok((bundle, Around::read(&file, &sighting, &chains, Arc::new)))
    };
    FILES.run(&source, &path, PATIENCE, work).await.map_err(ParseError::Blocked)?
}
