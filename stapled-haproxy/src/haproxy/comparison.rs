//! Configurations compared with running HAProxys, again and again, while a program runs.

use std::collections::HashSet;
#[cfg(feature = "metrics")]
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use stapled_core::report::Report;
#[cfg(feature = "metrics")]
use tokio::task::JoinSet;

use super::grouping::Certificates;
use super::one::differences;
use super::several::Haproxys;
use crate::cli::address::Address;
use crate::configuration::HaproxyConfiguration;
use crate::reports;
use crate::running::difference::Difference;
use crate::running::ignored::Ignored;
use crate::running::source::HaproxySource;
#[cfg(feature = "metrics")]
use crate::statistics::Handshakes;

/// How many differences of one HAProxy are reported singly. More are counted.
const MAX_REPORTED: usize = 20;

/// Compares configurations with the HAProxys that run with them. Relative paths, variables and conditions may mean
/// something else to the running process, and it may have been started with another configuration. Each difference is
/// reported once as long as it stands.
pub struct Comparison(Vec<Pair>);

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    /// The process differs from its configuration.
    Differs(Difference),
    /// The process differs in as many more points, which are not reported singly.
    MoreDiffer(usize),
    /// All differences that were reported are over.
    Agrees,
}

/// A configuration and one process that runs with it.
struct Pair {
    configuration: HaproxyConfiguration,
    address: Address,
    source: HaproxySource,
    ignored: Ignored,
    history: History,
}

/// The differences of one process that were seen before.
#[derive(Debug, Default)]
struct History {
    /// The differences of the last look. HAProxy is reloaded a moment after its configuration changes: a difference that
    /// is gone at the second look is none.
    last: HashSet<Difference>,
    reported: HashSet<Difference>,
}

impl Haproxys {
    /// A comparison of all configurations with the processes behind their admin sockets, as these are now.
    pub fn comparison(&mut self) -> Comparison {
        let pairs = self.wanted().into_iter().flat_map(|wanted| {
            let configuration = match &wanted.certificates {
                Certificates::Configuration(configuration, _) => Some(configuration.clone()),
                _ => None,
            };
            let pair = |configuration: HaproxyConfiguration| {
                let of = |address: &Address| Pair {
                    source: wanted.process(address),
                    configuration: configuration.clone(),
                    address: address.clone(),
                    ignored: wanted.options.ignored.clone(),
                    history: History::default(),
                };
                wanted.sockets.iter().map(of).collect::<Vec<_>>()
            };
            configuration.map(pair).unwrap_or_default()
        });
        Comparison(pairs.collect())
    }
}

#[cfg(feature = "metrics")]
impl Haproxys {
    /// What runs beside a stapler, until it is dropped: the comparison at this interval, and the counters of handshakes that are read.
    /// To be called inside a tokio runtime, and again when a stapler with other groups is started.
    pub fn accompany(&mut self, interval: Duration, handshakes: Option<&Arc<Handshakes>>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.comparison().run(interval));
        if let Some(handshakes) = handshakes.map(Arc::clone) {
            handshakes.of(self.sockets());
            tasks.spawn(async move { handshakes.run().await });
        }
        tasks
    }
}

impl Comparison {
    /// Compares at this interval. Each piece of news is an event of the stapler that has the configuration as a source.
    /// Runs until it is dropped, or returns at once where there is nothing to compare.
    pub async fn run(mut self, interval: Duration) {
        if self.0.is_empty() {
            return;
        }
        loop {
            tokio::time::sleep(interval).await;
            // All at once, so that a process that hangs delays only its own comparison.
            join_all(self.0.iter_mut().map(Pair::look)).await;
        }
    }
}

impl Pair {
    async fn look(&mut self) {
        // The sink of a process reports that it does not answer.
        let Ok(found) = differences(&self.configuration, &self.source, &self.ignored).await else { return };
        for news in self.history.take(found) {
            self.configuration.reporters().tell(news.report(&self.address));
        }
    }
}

impl News {
    fn report(&self, socket: &Address) -> Report {
        match self {
            News::Differs(difference) => reports::configuration_differs(socket, difference.code(), difference),
            News::MoreDiffer(more) => reports::more_differ(socket, *more),
            News::Agrees => reports::configuration_agrees(socket),
        }
    }
}

impl History {
    fn take(&mut self, differences: Vec<Difference>) -> Vec<News> {
        let stands = |found: &&Difference| self.last.contains(*found) && !self.reported.contains(*found);
        let new: Vec<Difference> = differences.iter().filter(stands).cloned().collect();
        let now: HashSet<Difference> = differences.into_iter().collect();
        let had_reported = !self.reported.is_empty();
        self.reported.retain(|reported| now.contains(reported));
        let room = MAX_REPORTED.saturating_sub(self.reported.len());
        let agrees = had_reported && now.is_empty();
        self.reported.extend(new.iter().cloned());
        self.last = now;
        let more = new.len().saturating_sub(room);
        let single = new.into_iter().take(room).map(News::Differs);
        let more = (more > 0).then_some(News::MoreDiffer(more));
        single.chain(more).chain(agrees.then_some(News::Agrees)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(name: &str) -> Difference {
        Difference::NotInConfiguration { name: name.to_owned() }
    }

    fn differs(names: &[&str]) -> Vec<News> {
        names.iter().map(|name| News::Differs(loaded(name))).collect()
    }

    #[test]
    fn a_difference_that_stands_is_reported_once() {
        let mut history = History::default();
        let mut look = |names: &[&str]| history.take(names.iter().map(|name| loaded(name)).collect());
        assert_eq!(look(&["a"]), [], "it may be over in a moment");
        assert_eq!(look(&["a", "b"]), differs(&["a"]));
        assert_eq!(look(&["a"]), []);
        assert_eq!(look(&[]), [News::Agrees]);
        assert_eq!(look(&[]), []);
        // Once it was over, the same difference is reported anew.
        assert_eq!(look(&["a"]), []);
        assert_eq!(look(&["a"]), differs(&["a"]));
    }

    #[test]
    fn thousands_of_differences_are_counted() {
        let names: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let all = || names.iter().map(|name| loaded(name)).collect();
        let mut history = History::default();
        assert_eq!(history.take(all()), []);
        let news = history.take(all());
        assert_eq!(news.len(), MAX_REPORTED + 1);
        assert_eq!(news.last(), Some(&News::MoreDiffer(1000 - MAX_REPORTED)));
        assert_eq!(history.take(all()), []);
    }
}
