//! What a stapler's handle shows.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::{Registry, Unit};

use super::labels::{Certificate, Gauges, Percentile, Responder, Server, State, Tasks, count, gauge};
use super::tally::Tally;
use crate::event::About;
use crate::event::names::{Names, shown};
use crate::inventory::Inventory;
use crate::inventory::standing::CertificateStatus;
use crate::overview::{Row, Totals};
use crate::scheduler::census::Census;
use crate::staple::Staple;
use crate::stapler::Handle;
use crate::time::Timestamp;

/// The number of statuses that are read at once.
const PART: usize = 256;
/// How many servers are told apart.
const SERVERS: usize = 100;
/// The percentiles of the ends of staples.
const PERCENTILES: [(&str, usize); 4] = [("1", 1), ("10", 10), ("50", 50), ("90", 90)];
/// How long the scheduler may take to count its tasks.
const CENSUS: Duration = Duration::from_secs(5);

/// Registers the state of a stapler at this time, with series of their own for this many certificates.
pub(super) async fn register(handle: &Handle, limit: usize, now: Timestamp, tally: &Tally, registry: &mut Registry) {
    let inventory = handle.inventory();
    let read = tokio::task::spawn_blocking(move || Certificates::read(&inventory, limit, now));
    // It does not panic, and nothing cancels it.
    if let Ok(certificates) = read.await {
        certificates.register(registry);
    }
    let scanned = "Whether every source has been scanned: before that, certificates are missing";
    registry.register("scanned", scanned, gauge(i64::from(handle.has_scanned())));
    tally.register_scans(&handle.sources(), registry);
    register_responders(&handle.breakers(), &tally.responders, registry);
    if let Ok(Ok(census)) = tokio::time::timeout(CENSUS, handle.census()).await {
        register_tasks(&census, registry);
    }
}

fn labels(about: &About) -> Certificate {
    Certificate { certificate: shown(&about.name), serial: about.serial.clone() }
}

/// Of several certificates with these labels, the first one to end is shown.
fn set_least(gauges: &Gauges<Certificate>, labels: &Certificate, at: Timestamp) {
    let known = gauges.get(labels).map(|gauge| gauge.get());
    gauges.get_or_create(labels).set(known.map_or(at.unix(), |known| known.min(at.unix())));
}

/// The state of all certificates.
#[derive(Default)]
struct Certificates {
    totals: Totals,
    staples: Gauges<Certificate>,
    ends: Gauges<Certificate>,
    answers: Gauges<Certificate>,
    outages: Gauges<Certificate>,
    missing: BTreeMap<String, usize>,
    /// How many certificates have no series of their own.
    omitted: usize,
    /// The ends of all staples.
    until: Vec<Timestamp>,
    /// How many staples have less than a quarter of their validity left.
    ending: usize,
    soonest_end: Option<Timestamp>,
    last_answer: Option<Timestamp>,
}

impl Certificates {
    fn read(inventory: &Arc<Inventory>, limit: usize, now: Timestamp) -> Self {
        let mut all = Certificates::default();
        // Places first: a place that is parsed in between has a row in either case.
        Row::of_places(inventory).iter().for_each(|row| all.totals.count(row));
        let known = inventory.known_certificates();
        // Those that get no staple end, too. One in several places counts once.
        let places = inventory.places();
        let others = || places.iter().filter_map(|place| place.state.about());
        let serials: HashSet<(&str, &str)> =
            others().map(|about| (about.serial.as_str(), about.name.as_str())).collect();
        let number = known.len() + serials.len();
        let has_own = number <= limit;
        all.omitted = if has_own { 0 } else { number };
        for about in others() {
            let Some(not_after) = about.not_after else { continue };
            all.add_end(not_after, now);
            if has_own {
                set_least(&all.ends, &labels(about), not_after);
            }
        }
        for part in known.chunks(PART) {
            for status in inventory.statuses(part) {
                let Some(row) = Row::of_certificate(&status) else { continue };
                all.add(&status, &row, now);
                if has_own {
                    all.add_own(&status, &row);
                }
            }
        }
        all.until.sort_unstable();
        all
    }

    /// Adds one certificate to what all have in common.
    fn add(&mut self, status: &CertificateStatus, row: &Row, now: Timestamp) {
        self.totals.count(row);
        for server in &row.servers {
            *self.missing.entry(shown(&server.server)).or_default() += usize::from(row.misses(server));
        }
        self.add_end(status.chain.end_entity().not_after(), now);
        self.last_answer = self.last_answer.max(status.renewed);
        if let Some(staple) = &status.staple {
            self.until.push(staple.expires());
            self.ending += usize::from(is_ending(staple, now));
        }
    }

    /// Adds the end of a certificate.
    fn add_end(&mut self, not_after: Timestamp, now: Timestamp) {
        if not_after > now {
            self.soonest_end = Some(self.soonest_end.map_or(not_after, |soonest| soonest.min(not_after)));
        }
    }

    /// Adds the series of one certificate.
    fn add_own(&mut self, status: &CertificateStatus, row: &Row) {
        let labels = labels(&status.about);
        let set_least = |gauges, at| set_least(gauges, &labels, at);
        set_least(&self.ends, status.chain.end_entity().not_after());
        if let Some(staple) = &status.staple {
            set_least(&self.staples, staple.expires());
        }
        if let Some(renewed) = status.renewed {
            set_least(&self.answers, renewed);
        }
        if row.outage {
            self.outages.get_or_create(&labels).set(1);
        }
    }

    fn register(self, registry: &mut Registry) {
        let states = Gauges::<State>::default();
        for (state, number) in self.totals.by_state() {
            states.get_or_create(&State { state }).set(count(number));
        }
        registry.register("certificates", "Certificates, and places without a usable one, by state", states);
        let outages = "Must-staple certificates that clients refuse now, because a staple is missing";
        registry.register("must_staple_outages", outages, gauge(count(self.totals.outages)));
        let ending = "Staples with less than a quarter of their validity left";
        registry.register("staples_ending", ending, gauge(count(self.ending)));
        let omitted = "Certificates without series of their own, because there are more than the limit";
        registry.register("certificates_omitted", omitted, gauge(count(self.omitted)));

        let missing = Gauges::<Server>::default();
        let names = Names::up_to(SERVERS);
        for (server, number) in self.missing {
            missing.get_or_create(&Server { server: names.of(&server) }).inc_by(count(number));
        }
        registry.register("deliveries_missing", "Staples that a server has not confirmed, by server", missing);

        let mut seconds = |name: &str, help: &str, gauges| {
            registry.register_with_unit(
                name,
                format!("{help}, as seconds since the Unix epoch"),
                Unit::Seconds,
                gauges,
            );
        };
        seconds("staple_expiry_timestamp", "When the staple of a certificate ends", self.staples);
        seconds("certificate_expiry_timestamp", "When a certificate ends", self.ends);
        let answers = "When the CA was asked for its last answer about a certificate that was believed";
        seconds("certificate_last_success_timestamp", answers, self.answers);
        let outages = "Must-staple certificates that clients refuse now, each with the value 1";
        registry.register("certificate_outage", outages, self.outages);

        let percentiles = Gauges::<Percentile>::default();
        for (percentile, hundredths) in PERCENTILES {
            // The staple that so many hundredths of all staples do not outlive.
            let index = (self.until.len() * hundredths).div_ceil(100).saturating_sub(1);
            if let Some(until) = self.until.get(index) {
                percentiles.get_or_create(&Percentile { percentile }).set(until.unix());
            }
        }
        let help = "Until when so many per cent of all staples have ended, as seconds since the Unix epoch";
        registry.register_with_unit("staple_expiry_percentile_timestamp", help, Unit::Seconds, percentiles);
        for (name, help, at) in [
            ("soonest_staple_expiry_timestamp", "When the first staple ends", self.until.first().copied()),
            ("soonest_certificate_expiry_timestamp", "When the first valid certificate ends", self.soonest_end),
            ("last_success_timestamp", "When a CA was asked for the last answer that was believed", self.last_answer),
        ] {
            if let Some(at) = at {
                let help = format!("{help}, as seconds since the Unix epoch");
                registry.register_with_unit(name, help, Unit::Seconds, gauge(at.unix()));
            }
        }
    }
}

/// Whether less than a quarter of the validity is left. Renewals begin at half of it.
fn is_ending(staple: &Staple, now: Timestamp) -> bool {
    let validity = staple.expires().since(staple.this_update());
    staple.expires().since(now) < validity / 4
}

/// Registers the responders that were asked, each with whether it is down.
fn register_responders(responders: &[(String, bool)], names: &Names, registry: &mut Registry) {
    let down = Gauges::<Responder>::default();
    for (responder, is_down) in responders {
        let labels = Responder { responder: names.of(responder) };
        down.get_or_create(&labels).inc_by(i64::from(*is_down));
    }
    let help = "Whether a responder is down, so that it is asked at long intervals only; of `other`, how many are";
    registry.register("responder_down", help, down);
    let open = responders.iter().filter(|(_, is_down)| *is_down).count();
    registry.register("responders_down", "Responders that are down: open breakers", gauge(count(open)));
}

/// Registers the numbers of tasks. The queues of responders count together, and so do those of servers.
fn register_tasks(census: &Census, registry: &mut Registry) {
    let tasks = Gauges::<Tasks>::default();
    for queue in ["parse", "issuer", "renew", "add"] {
        for place in ["due", "waiting", "leased"] {
            tasks.get_or_create(&Tasks { queue: queue.to_owned(), place }).set(0);
        }
    }
    for (queue, numbers) in &census.queues {
        let queue = queue.as_str();
        let queue = queue.split_once('/').map_or(queue, |(stage, _)| stage);
        for (place, number) in
            [("due", numbers.due), ("waiting", numbers.waiting), ("leased", numbers.leased), ("parked", numbers.parked)]
        {
            if place != "parked" || number > 0 {
                tasks.get_or_create(&Tasks { queue: queue.to_owned(), place }).inc_by(count(number));
            }
        }
    }
    registry.register("tasks", "Tasks of the scheduler, by queue and by place in it", tasks);
}
