//! The builder of a stapler, and its defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::handle::Handle;
use super::owner::Stapler;
use crate::adder::Adder;
use crate::asking::Nonces;
use crate::chance::{Chance, SystemChance};
use crate::clock::{Clock, SystemClock};
use crate::event::{Journal, Observer};
use crate::fetch::OcspFetcher;
use crate::finder::{Finder, Rounds};
use crate::inventory::{Inventory, SinkNumber};
#[cfg(feature = "http")]
use crate::io::http::HttpFetcher;
use crate::io::memory::MemoryScheduler;
use crate::issuers::{IssuerFetcher, IssuerStore};
use crate::jumps::JumpWatch;
use crate::ocsp::CertIdHash;
use crate::overrides::ResponderOverrides;
use crate::parser::Parser;
use crate::refresh::RefreshPolicy;
use crate::renewer::Renewer;
use crate::responders::Responders;
use crate::scheduler::Scheduler;
use crate::sink::StapleSink;
use crate::source::CertSource;
use crate::staple::JudgePolicy;

/// Builds a [`Stapler`]. Every part but sources and sinks has a default.
#[must_use]
pub struct StaplerBuilder {
    groups: Vec<Group>,
    everywhere: Vec<Arc<dyn StapleSink>>,
    fetcher: Option<Arc<dyn OcspFetcher>>,
    scheduler: Option<Arc<dyn Scheduler>>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    observers: Vec<Arc<dyn Observer>>,
    refresh: RefreshPolicy,
    judging: JudgePolicy,
    recycle: bool,
    fetch_issuers: bool,
    issuer_store: Option<Arc<dyn IssuerStore>>,
    rescan: Duration,
    renewals: usize,
    per_responder: usize,
    responder_rate: Option<NonZeroU32>,
    overrides: ResponderOverrides,
    hash: CertIdHash,
    nonce: bool,
}

/// Sources whose staples go to certain sinks.
#[derive(Default)]
#[must_use]
pub struct Group {
    sources: Vec<Arc<dyn CertSource>>,
    sinks: Vec<Arc<dyn StapleSink>>,
}

/// Why no stapler can be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no source.
    #[error("no source of certificates")]
    NoSource,
    /// A source has no sink.
    #[error("source {source_name} has no sink: its staples would go nowhere")]
    NoSink {
        /// The name of the source.
        source_name: String,
    },
    /// No fetcher was set, and this build has no default one.
    #[error("no fetcher: set one with StaplerBuilder::fetcher, or enable the feature `http` of stapled-core")]
    NoFetcher,
}

impl Default for StaplerBuilder {
    fn default() -> Self {
        StaplerBuilder {
            groups: Vec::new(),
            everywhere: Vec::new(),
            fetcher: None,
            scheduler: None,
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance),
            observers: Vec::new(),
            refresh: RefreshPolicy::default(),
            judging: JudgePolicy::default(),
            recycle: true,
            fetch_issuers: true,
            issuer_store: None,
            rescan: Duration::from_secs(60),
            renewals: 64,
            per_responder: 32,
            responder_rate: None,
            overrides: ResponderOverrides::new(),
            hash: CertIdHash::Sha1,
            nonce: false,
        }
    }
}

impl Group {
    /// A group without sources and sinks.
    pub fn new() -> Self {
        Group::default()
    }

    /// Adds a source.
    pub fn source(self, source: impl CertSource + 'static) -> Self {
        self.shared_source(Arc::new(source))
    }

    /// Adds a source that the program shares with others.
    pub fn shared_source(mut self, source: Arc<dyn CertSource>) -> Self {
        self.sources.push(source);
        self
    }

    /// Adds a sink for the certificates of this group.
    pub fn sink(self, sink: impl StapleSink + 'static) -> Self {
        self.shared_sink(Arc::new(sink))
    }

    /// Adds a sink that other groups may share: it stays one sink.
    pub fn shared_sink(mut self, sink: Arc<dyn StapleSink>) -> Self {
        self.sinks.push(sink);
        self
    }
}

impl Stapler {
    /// A builder with the defaults: HTTP, a scheduler in memory, the system's clock, no observer.
    pub fn builder() -> StaplerBuilder {
        StaplerBuilder::default()
    }
}

impl StaplerBuilder {
    /// Adds a source. Its staples go to the sinks of the builder.
    pub fn source(self, source: impl CertSource + 'static) -> Self {
        self.group(Group::new().source(source))
    }

    /// Adds a source that the program shares with others.
    pub fn shared_source(self, source: Arc<dyn CertSource>) -> Self {
        self.group(Group::new().shared_source(source))
    }

    /// Adds a sink for the certificates of all sources, including those of groups.
    pub fn sink(self, sink: impl StapleSink + 'static) -> Self {
        self.shared_sink(Arc::new(sink))
    }

    /// Adds a sink that the program shares with others.
    pub fn shared_sink(mut self, sink: Arc<dyn StapleSink>) -> Self {
        self.everywhere.push(sink);
        self
    }

    /// Adds a group of sources with sinks of its own. Its staples go to these and to the sinks of the builder.
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// Adds several groups.
    pub fn groups(self, groups: impl IntoIterator<Item = Group>) -> Self {
        groups.into_iter().fold(self, StaplerBuilder::group)
    }

    /// Sets the fetcher, which sends requests to the CAs' responders. Default: `HttpFetcher`, with the feature `http`.
    pub fn fetcher(self, fetcher: impl OcspFetcher + 'static) -> Self {
        self.shared_fetcher(Arc::new(fetcher))
    }

    /// The same, for a part that the program shares with others.
    pub fn shared_fetcher(self, fetcher: Arc<dyn OcspFetcher>) -> Self {
        StaplerBuilder { fetcher: Some(fetcher), ..self }
    }

    /// Sets the scheduler, which holds the tasks. Default: [`MemoryScheduler`].
    pub fn scheduler(self, scheduler: impl Scheduler + 'static) -> Self {
        self.shared_scheduler(Arc::new(scheduler))
    }

    /// The same, for a part that the program shares with others.
    pub fn shared_scheduler(self, scheduler: Arc<dyn Scheduler>) -> Self {
        StaplerBuilder { scheduler: Some(scheduler), ..self }
    }

    /// Sets the clock. Default: [`SystemClock`].
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.shared_clock(Arc::new(clock))
    }

    /// The same, for a part that the program shares with others.
    pub fn shared_clock(self, clock: Arc<dyn Clock>) -> Self {
        StaplerBuilder { clock, ..self }
    }

    /// Sets the source of the random numbers that spread renewals and retries. Default: the system's
    /// random numbers.
    pub fn chance(self, chance: impl Chance + 'static) -> Self {
        self.shared_chance(Arc::new(chance))
    }

    /// The same, for a part that the program shares with others.
    pub fn shared_chance(self, chance: Arc<dyn Chance>) -> Self {
        StaplerBuilder { chance, ..self }
    }

    /// Adds an observer, which receives every event: a closure, such as `|event: &Event| println!("{event}")`, or another
    /// type that implements [`Observer`]. Each event goes to all observers, one after the other. Default: none.
    pub fn observer(self, observer: impl Observer + 'static) -> Self {
        self.shared_observer(Arc::new(observer))
    }

    /// Adds an observer that the program shares with others.
    pub fn shared_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Sets the rules for the times of renewals and retries.
    pub fn refresh_policy(self, refresh: RefreshPolicy) -> Self {
        StaplerBuilder { refresh, ..self }
    }

    /// Sets the rules by which responses are judged.
    pub fn judge_policy(self, judging: JudgePolicy) -> Self {
        StaplerBuilder { judging, ..self }
    }

    /// Sets whether responses that sinks have kept since an earlier run are verified and used. Default: yes.
    pub fn recycle(self, recycle: bool) -> Self {
        StaplerBuilder { recycle, ..self }
    }

    /// Sets whether issuers that no place holds are fetched from caIssuers URLs. Default: yes.
    pub fn fetch_issuers(self, fetch_issuers: bool) -> Self {
        StaplerBuilder { fetch_issuers, ..self }
    }

    /// Sets the store that keeps fetched issuers from one run to the next. Default: none.
    pub fn issuer_store(self, issuer_store: impl IssuerStore + 'static) -> Self {
        self.shared_issuer_store(Arc::new(issuer_store))
    }

    /// The same, for a part that the program shares with others.
    pub fn shared_issuer_store(self, issuer_store: Arc<dyn IssuerStore>) -> Self {
        StaplerBuilder { issuer_store: Some(issuer_store), ..self }
    }

    /// Sets the time between scans of a source without noticed changes. Default: 60 s.
    pub fn rescan_interval(self, rescan: Duration) -> Self {
        StaplerBuilder { rescan, ..self }
    }

    /// Sets how many requests to responders may run at once. Default: 64. It is never more than a quarter of the files that this
    /// process may open: a failure for want of one would count as the responder's.
    pub fn concurrent_renewals(self, renewals: usize) -> Self {
        StaplerBuilder { renewals, ..self }
    }

    /// Sets how many requests one responder gets at once. Default: 32.
    pub fn per_responder(self, per_responder: usize) -> Self {
        StaplerBuilder { per_responder, ..self }
    }

    /// Sets the highest number of requests a second to one responder, evenly spread. Default: no limit.
    pub fn responder_rate(self, per_second: NonZeroU32) -> Self {
        StaplerBuilder { responder_rate: Some(per_second), ..self }
    }

    /// Sets the responders that replace those that certificates name. Default: none.
    pub fn responder_overrides(self, overrides: ResponderOverrides) -> Self {
        StaplerBuilder { overrides, ..self }
    }

    /// Sets the CertID hash of requests where no sink requires one. Default: SHA-1, which every responder knows.
    pub fn cert_id_hash(self, hash: CertIdHash) -> Self {
        StaplerBuilder { hash, ..self }
    }

    /// Sets whether requests carry a nonce (RFC 9654). Default: no, since CAs produce responses in advance.
    pub fn nonce(self, nonce: bool) -> Self {
        StaplerBuilder { nonce, ..self }
    }

    /// Builds the stapler. Call it inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// A part without a default is missing.
    pub fn build(self) -> Result<Stapler, BuildError> {
        let mut sinks: Vec<Arc<dyn StapleSink>> = Vec::new();
        let mut number_of = |sink: &Arc<dyn StapleSink>| -> SinkNumber {
            sinks.iter().position(|known| Arc::ptr_eq(known, sink)).unwrap_or_else(|| {
                sinks.push(Arc::clone(sink));
                sinks.len() - 1
            })
        };
        let everywhere: BTreeSet<SinkNumber> = self.everywhere.iter().map(&mut number_of).collect();
        let mut sources: Vec<Arc<dyn CertSource>> = Vec::new();
        let mut sinks_of = Vec::new();
        for group in &self.groups {
            let mut own = everywhere.clone();
            own.extend(group.sinks.iter().map(&mut number_of));
            for source in &group.sources {
                if own.is_empty() {
                    return Err(BuildError::NoSink { source_name: source.name() });
                }
                sources.push(Arc::clone(source));
                sinks_of.push(own.clone());
            }
        }
        if sources.is_empty() {
            return Err(BuildError::NoSource);
        }
        let fetcher = self.fetcher.or_else(default_fetcher).ok_or(BuildError::NoFetcher)?;
        let journal =
            Journal { clock: Arc::clone(&self.clock), observers: self.observers.into(), doubts: Arc::default() };
        let scheduler = self.scheduler.unwrap_or_else(|| Arc::new(MemoryScheduler::new(Arc::clone(&self.clock))));
        let names = distinct_names(&sinks);
        let numbered = sinks.iter().enumerate();
        let live = numbered.filter(|(_, sink)| sink.is_live()).map(|(number, _)| number).collect();
        let inventory = Arc::new(Inventory::new(sinks_of, names.clone(), live));
        let (open, opened) = mpsc::unbounded_channel();
        let responders = Arc::new(Responders::new(self.overrides, self.per_responder, self.responder_rate, open));
        let refresh = self.refresh;
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = usize::try_from(files / 4).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let renewals = self.renewals.clamp(1, most);

        let finder = |(number, source)| {
            Arc::new(Finder {
                source,
                number,
                inventory: Arc::clone(&inventory),
                scheduler: Arc::clone(&scheduler),
                journal: journal.clone(),
                interval: self.rescan,
                rounds: Rounds::default(),
            })
        };
        let adder = |(number, (sink, name)): (SinkNumber, (&Arc<dyn StapleSink>, Arc<str>))| {
            Arc::new(Adder {
                sink: Arc::clone(sink),
                number,
                name,
                inventory: Arc::clone(&inventory),
                scheduler: Arc::clone(&scheduler),
                journal: journal.clone(),
                refresh,
                chance: Arc::clone(&self.chance),
                judging: self.judging,
                responders: Arc::clone(&responders),
                sinks: sinks.clone(),
            })
        };
        let adders: Vec<Arc<Adder>> = sinks.iter().zip(names).enumerate().map(adder).collect();
        let source_names = sources.iter().map(|source| source.name()).collect();
        let finders: Vec<Arc<Finder>> = sources.into_iter().enumerate().map(finder).collect();
        let ended = CancellationToken::new();
        let renewer = Arc::new(Renewer {
            inventory: Arc::clone(&inventory),
            scheduler: Arc::clone(&scheduler),
            responders: Arc::clone(&responders),
            fetcher: Arc::clone(&fetcher),
            sinks: sinks.clone(),
            journal: journal.clone(),
            refresh,
            chance: Arc::clone(&self.chance),
            judging: self.judging,
            hash: self.hash,
            nonces: if self.nonce { Nonces::Fresh } else { Nonces::Never },
            exchanges: Semaphore::new(renewals),
            doubtful_exchanges: Semaphore::new((renewals / 2).max(1)),
            per_responder: self.per_responder,
        });
        Ok(Stapler {
            jumps: Some(JumpWatch {
                inventory: Arc::clone(&inventory),
                scheduler: Arc::clone(&scheduler),
                responders: Arc::clone(&responders),
                journal: journal.clone(),
                sinks: sinks.len(),
                sources: finders.len(),
            }),
            handle: Handle::new(
                finders.clone(),
                Arc::clone(&inventory),
                Arc::clone(&scheduler),
                Arc::clone(&renewer),
                ended.clone(),
            ),
            ending: ended.clone(),
            ended: ended.drop_guard(),
            finders,
            adders: adders.clone(),
            parser: Arc::new(Parser {
                adders,
                inventory: Arc::clone(&inventory),
                scheduler: Arc::clone(&scheduler),
                responders: Arc::clone(&responders),
                sinks: sinks.clone(),
                journal: journal.clone(),
                refresh,
                chance: Arc::clone(&self.chance),
                judging: self.judging,
                recycle: self.recycle,
                fetch_issuers: self.fetch_issuers,
                chains: Arc::default(),
                sources: source_names,
            }),
            issuers: Arc::new(IssuerFetcher {
                inventory: Arc::clone(&inventory),
                scheduler: Arc::clone(&scheduler),
                fetcher,
                store: self.issuer_store,
                journal: journal.clone(),
                refresh,
                chance: Arc::clone(&self.chance),
            }),
            renewer,
            inventory,
            scheduler,
            journal,
            opened,
        })
    }
}

#[cfg(feature = "http")]
fn default_fetcher() -> Option<Arc<dyn OcspFetcher>> {
    Some(Arc::new(HttpFetcher::new()))
}

#[cfg(not(feature = "http"))]
fn default_fetcher() -> Option<Arc<dyn OcspFetcher>> {
    None
}

/// The names of the sinks. Equal names get a number.
fn distinct_names(sinks: &[Arc<dyn StapleSink>]) -> Vec<Arc<str>> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut distinct = |sink: &Arc<dyn StapleSink>| -> Arc<str> {
        let name = sink.name();
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 { name.into() } else { format!("{name}#{count}").into() }
    };
    sinks.iter().map(&mut distinct).collect()
}
