//! Holds HAProxy's configurations, while the daemon runs, against the HAProxys that run: relative paths, variables and
//! conditions may mean something else to these, and they may have been started with something else. Each difference is
//! told once, as long as it stands.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use stapled_haproxy::configuration::HaproxyConfiguration;
use stapled_haproxy::{Address, Difference, HaproxySource};

use crate::configuration::Configuration;
use crate::haproxys::Haproxys;
use crate::wiring;

/// More differences of one HAProxy are counted, not told one by one.
const MAX_TOLD: usize = 20;
/// How long one HAProxy may take to tell everything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Configurations, and the HAProxys that run with them.
pub(crate) struct Comparison {
    pairs: Vec<Pair>,
    interval: Duration,
}

struct Pair {
    configuration: HaproxyConfiguration,
    address: Address,
    source: HaproxySource,
    seen: Seen,
}

/// What was seen of one HAProxy.
#[derive(Debug, Default)]
struct Seen {
    /// At the last look. A HAProxy is reloaded a moment after its configuration is changed: what does not stand a second
    /// look is none.
    last: HashSet<Difference>,
    told: HashSet<Difference>,
}

/// What is to be told.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    new: Vec<Difference>,
    /// How many more there are.
    more: usize,
    /// Whether all that was told is over.
    is_well: bool,
}

impl Comparison {
    /// Of all configurations with the sockets that are used for them now.
    pub(crate) fn of(configuration: &Configuration, haproxys: &mut Haproxys) -> Self {
        let pairs = haproxys
            .sources()
            .into_iter()
            .flat_map(|(of, sockets)| sockets.into_iter().map(move |address| (of.clone(), address)));
        let pair = |(of, address): (HaproxyConfiguration, Address)| Pair {
            source: wiring::running(configuration, &address),
            configuration: of,
            address,
            seen: Seen::default(),
        };
        Comparison { pairs: pairs.map(pair).collect(), interval: configuration.rescan }
    }

    /// Looks again and again, and tells.
    pub(crate) async fn run(mut self) {
        if self.pairs.is_empty() {
            return;
        }
        loop {
            tokio::time::sleep(self.interval).await;
            // At once: one that hangs holds up its own.
            join_all(self.pairs.iter_mut().map(Pair::look)).await;
        }
    }
}

impl Pair {
    async fn look(&mut self) {
        // One that does not answer is told of by whoever delivers to it.
        let Ok(Ok(running)) = tokio::time::timeout(PATIENCE, self.source.outline()).await else { return };
        let news = self.seen.take(self.configuration.latest().differences(&running));
        let socket = &self.address;
        for difference in &news.new {
            tracing::warn!(event = "configuration_differs", code = difference.code().as_str(), %socket, "{difference}");
        }
        if news.more > 0 {
            let more = news.more;
            tracing::warn!(
                event = "configuration_differs",
                %socket,
                "{more} more differences between the running HAProxy and its configuration: `stapled check` shows them"
            );
        }
        if news.is_well {
            tracing::info!(event = "configuration_agrees", %socket, "the running HAProxy has what its configuration names");
        }
    }
}

impl Seen {
    fn take(&mut self, differences: Vec<Difference>) -> News {
        let stands = |difference: &&Difference| self.last.contains(*difference) && !self.told.contains(*difference);
        let new: Vec<Difference> = differences.iter().filter(stands).cloned().collect();
        let now: HashSet<Difference> = differences.into_iter().collect();
        let was_told = !self.told.is_empty();
        self.told.retain(|told| now.contains(told));
        let room = MAX_TOLD.saturating_sub(self.told.len());
        let is_well = was_told && now.is_empty();
        self.told.extend(new.iter().cloned());
        self.last = now;
        let more = new.len().saturating_sub(room);
        News { new: new.into_iter().take(room).collect(), more, is_well }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(name: &str) -> Difference {
        Difference::NotInConfiguration { name: name.to_owned() }
    }

    fn news(new: &[&str], more: usize, is_well: bool) -> News {
        News { new: new.iter().map(|name| loaded(name)).collect(), more, is_well }
    }

    #[test]
    fn what_stands_is_told_once() {
        let mut seen = Seen::default();
        let mut look = |names: &[&str]| seen.take(names.iter().map(|name| loaded(name)).collect());
        assert_eq!(look(&["a"]), news(&[], 0, false), "it may be over in a moment");
        assert_eq!(look(&["a", "b"]), news(&["a"], 0, false));
        assert_eq!(look(&["a"]), news(&[], 0, false));
        assert_eq!(look(&[]), news(&[], 0, true));
        assert_eq!(look(&[]), news(&[], 0, false));
        // Again, it is news again.
        assert_eq!(look(&["a"]), news(&[], 0, false));
        assert_eq!(look(&["a"]), news(&["a"], 0, false));
    }

    #[test]
    fn thousands_are_counted() {
        let names: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let all = || names.iter().map(|name| loaded(name)).collect();
        let mut seen = Seen::default();
        assert_eq!(seen.take(all()), News::default());
        let news = seen.take(all());
        assert_eq!((news.new.len(), news.more), (MAX_TOLD, 1000 - MAX_TOLD));
        assert_eq!(seen.take(all()), News::default());
    }
}
