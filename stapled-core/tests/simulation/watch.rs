//! Checks the invariants, by the simulation's own knowledge and not by the library's reports about its work.

mod calm;
mod checks;

use std::sync::Mutex;
use std::time::Duration;

use stapled_core::event::{Event, EventKind, Observer};
use stapled_core::fetch::{Answer, FetchError};
use stapled_core::inventory::Inventory;
use stapled_core::inventory::standing::{DeliveryState, DeliveryStatus, PlaceState, Standing};
use stapled_core::sink::{Site, Withdrawal};
use stapled_core::staple::Staple;
use stapled_core::time::Timestamp;
use tokio::sync::Notify;

use crate::responder::{self, IssuerMood, Made};
use crate::server;
use crate::source::{self, Contents, Directory};
use crate::world::{VIOLATED, World, directory_in};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The longest pause of a retry: the back-off's cap with its random part, a circuit breaker's longest pause, and an
/// exchange.
pub(crate) const CAP: Duration = Duration::from_secs(3600 + 720 + 300 + 180);
/// The time for a rescan, a check of the clock, an exchange and a delivery.
const PROMPT: Duration = Duration::from_secs(180);
/// The largest margin of a server.
const MAX_MARGIN: Duration = Duration::from_secs(300);
/// The maximum interval: the longest time between two questions about a certificate.
const INTERVAL: Duration = HOUR;
/// The time within which everything is in order after the clock is corrected: the clock is compared every five seconds.
pub(crate) const RIGHTED: Duration = Duration::from_secs(10);
/// The longest renewal: the wait for a responder, and all its URLs.
const LONGEST_RENEWAL: Duration = Duration::from_secs(120);
/// The time before its end at which a staple is withdrawn, for a server without a larger margin.
const LEAD: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Watch {
    inner: Mutex<Inner>,
    /// Signals a violation: the run ends.
    pub(crate) ended: Notify,
}

#[derive(Default)]
struct Inner {
    violation: Option<String>,
    certificates: Vec<OfCertificate>,
    /// The time of the last question to each responder.
    asked_at: [Option<Duration>; crate::pool::RESPONDERS],
    panics: usize,
    internals: usize,
    figures: Figures,
}

/// The figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) questions: usize,
    pub(crate) deliveries: usize,
    pub(crate) withdrawals: usize,
    pub(crate) events: usize,
    /// A digest of all events, in their order.
    pub(crate) digest: u64,
}

#[derive(Clone, Debug, Default)]
struct OfCertificate {
    /// thisUpdate and the end of the held staple.
    held: Option<(Timestamp, Timestamp)>,
    /// The reported time of the next question to the CA.
    plan: Option<Plan>,
    /// thisUpdate of the newest answer that said revoked, once the event was reported, and the time of the report.
    disowned: Option<(Timestamp, Duration)>,
    revoked_answer: Option<(Timestamp, Duration)>,
    last_answer: Option<Made>,
    /// Whether the held staple may have a CertID that not every server can use.
    is_by_sha256: bool,
    /// Whether a revocation was answered and must be reported.
    to_be_told: bool,
    /// The last pause that each of its responders asked for.
    retry_after: [Option<Duration>; crate::pool::RESPONDERS],
}

/// A staple in service: the server's number, the place, the certificate and the end.
#[derive(Clone, Debug)]
pub(crate) struct InService {
    server: usize,
    place: String,
    certificate: usize,
    ends: Timestamp,
}

/// A plan: the CA is not asked before this time has passed since the report.
#[derive(Clone, Copy, Debug)]
struct Plan {
    told: Duration,
    due: Duration,
}

impl Plan {
    fn new(world: &World, pause: Duration) -> Self {
        Plan { told: world.elapsed(), due: world.steady() + pause }
    }
}

impl Watch {
    pub(crate) fn new(certificates: usize) -> Self {
        let inner = Inner { certificates: vec![OfCertificate::default(); certificates], ..Inner::default() };
        Watch { inner: Mutex::new(inner), ended: Notify::new() }
    }

    pub(crate) fn violated(&self, world: &World, what: String) {
        world.note(|| format!("{VIOLATED}: {what}"));
        let mut inner = self.inner.lock().unwrap();
        inner.violation.get_or_insert_with(|| format!("at {}: {what}", world.when()));
        self.ended.notify_one();
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.inner.lock().unwrap().violation.clone()
    }

    pub(crate) fn figures(&self) -> Figures {
        self.inner.lock().unwrap().figures
    }

    pub(crate) fn panicked(&self) {
        self.inner.lock().unwrap().panics += 1;
    }

    // ---- at every question

    pub(crate) fn asked(&self, world: &World, certificate: usize, responder: usize, open: usize) {
        world.note(|| format!("c{certificate} is asked for at r{responder}"));
        if open > world.per_responder {
            self.violated(world, format!("{open} questions at once at r{responder}"));
        }
        if let Some(rate) = world.rate {
            let mut inner = self.inner.lock().unwrap();
            let last = inner.asked_at[responder].replace(world.steady());
            drop(inner);
            // The inaccuracy of timers is a millisecond.
            let pause = SECOND / rate.get() - Duration::from_millis(1);
            if last.is_some_and(|last| world.steady() < last + pause) {
                self.violated(world, format!("r{responder} is asked more than {rate} times a second"));
            }
        }
        if world.responders.open() > world.renewals {
            self.violated(world, format!("{} questions at once", world.responders.open()));
        }
        if !world.pool.is_asked_at(certificate, |one| one == responder) {
            self.violated(world, format!("c{certificate} is asked for at r{responder}, which it does not name"));
        }
        let mut inner = self.inner.lock().unwrap();
        inner.figures.questions += 1;
        let of = &mut inner.certificates[certificate];
        // A server that got the certificate lately may be unable to use the held staple. A plan from a time when the
        // clock was wrong does not count.
        let plan = of.plan.take().filter(|plan| {
            // The jump may be unnoticed so far. A renewal that was open at the jump is repeated after its end.
            let jumped = world.jumped_since(plan.told.saturating_sub(RIGHTED + LONGEST_RENEWAL));
            !of.is_by_sha256 && !jumped
        });
        drop(inner);
        if let Some(Plan { due, .. }) = plan
            && world.steady() + SECOND < due
        {
            let early = due - world.steady();
            self.violated(world, format!("c{certificate} is asked for {early:?} before it was told to be"));
        }
    }

    pub(crate) fn answered(
        &self,
        world: &World,
        certificate: usize,
        responder: usize,
        answer: &Result<Answer, FetchError>,
    ) {
        world.note(|| match answer {
            Ok(answer) => {
                let made = answer.body.as_ref().and_then(|body| world.responders.made(body));
                format!("r{responder} on c{certificate}: {made:?}")
            }
            Err(error) => format!("r{responder} on c{certificate}: {error}"),
        });
        let retry_after = answer.as_ref().err().and_then(FetchError::retry_after);
        let body = answer.as_ref().ok().and_then(|answer| answer.body.as_ref());
        let mut inner = self.inner.lock().unwrap();
        let of = &mut inner.certificates[certificate];
        of.retry_after[responder] = retry_after;
        of.last_answer = body.and_then(|body| world.responders.made(body)).or(of.last_answer.take());
    }

    pub(crate) fn answered_revoked(&self, world: &World, certificate: usize, this_update: Timestamp, in_time: bool) {
        let mut inner = self.inner.lock().unwrap();
        let of = &mut inner.certificates[certificate];
        if in_time {
            // A revocation that is already known gives no event that ends the renewal.
            of.retry_after = Default::default();
        }
        of.revoked_answer = Some((this_update, world.elapsed()));
        of.to_be_told |= in_time && world.clock_is_right() && of.disowned.is_none();
    }

    pub(crate) fn asked_issuer(&self, world: &World, authority: usize) {
        world.note(|| format!("the issuer ca{authority} is asked for"));
        self.inner.lock().unwrap().figures.questions += 1;
    }

    // ---- at every delivery and withdrawal

    /// Checks a delivery: the staple must be good, for this certificate, and in time.
    pub(crate) fn delivering(
        &self,
        world: &World,
        server: usize,
        certificate: usize,
        staple: &Staple,
        sites: &[Site],
    ) -> Option<Made> {
        world.note(|| format!("c{certificate} goes to s{server}, good until {}", staple.expires()));
        self.inner.lock().unwrap().figures.deliveries += 1;
        let Some(made) = world.responders.made(staple.response()) else {
            self.violated(world, format!("s{server} gets a staple for c{certificate} that nobody made"));
            return None;
        };
        if !made.is_good || made.certificate != certificate {
            self.violated(world, format!("s{server} gets for c{certificate} what must not be believed: {made:?}"));
        }
        let margin = world.servers[server].requirements.margin;
        if made.ends <= world.machine_now() + margin {
            self.violated(world, format!("s{server} gets a staple for c{certificate} that is over: {made:?}"));
        }
        let disowned = self.inner.lock().unwrap().certificates[certificate].disowned;
        if let Some((disowned, _)) = disowned
            && made.this_update <= disowned
        {
            self.violated(world, format!("s{server} gets a staple for c{certificate} from before its revocation"));
        }
        for site in sites {
            let directory = directory_in(world, &site.served_as);
            if !world.sinks_of(directory.number).contains(&server) {
                self.violated(
                    world,
                    format!("s{server} gets a staple for {}, which it does not serve", site.served_as),
                );
            }
        }
        Some(made)
    }

    /// Checks a withdrawal: a good staple is not withdrawn early or without a reason.
    pub(crate) fn withdrawing(
        &self,
        world: &World,
        server: usize,
        certificate: usize,
        sites: &[Site],
        why: Withdrawal,
    ) {
        world.note(|| format!("c{certificate} is withdrawn from s{server}: {why:?}"));
        let mut inner = self.inner.lock().unwrap();
        inner.figures.withdrawals += 1;
        let is_disowned = inner.certificates[certificate].disowned.is_some();
        drop(inner);
        if why == Withdrawal::Revoked && !is_disowned {
            self.violated(world, format!("c{certificate} is withdrawn as revoked, which nobody said"));
        }
        let known = &world.pool.certificates[certificate];
        let now = world.machine_now();
        for site in sites {
            let Some(served) = world.servers[server].served(&site.served_as, certificate) else { continue };
            // The served staple may differ from the one that the server reported.
            if world.servers[server].faulty_since(served.at) || world.jumped_since(served.at) {
                continue;
            }
            let is_over =
                now > known.not_after || served.made.ends <= now + world.servers[server].requirements.margin.max(LEAD);
            let directory = directory_in(world, &site.served_as);
            let is_gone = || {
                let holds = directory.contents(&site.served_as);
                directory.was_absent_since(&site.served_as, certificate, served.at)
                    || matches!(holds, None | Some(Contents::OnlyCa(_)))
                    || matches!(holds, Some(Contents::Certificate(other)) if other != certificate)
                    || directory.held_another(&site.served_as, certificate)
            };
            let is_right = match why {
                Withdrawal::Expiring => is_over,
                Withdrawal::Retired => is_over || is_gone(),
                _ => true,
            };
            if !is_right {
                let what = format!("s{server} loses the staple of c{certificate} at {} early: {why:?}", site.served_as);
                self.violated(world, format!("{what}, good until {}", served.made.ends));
            }
        }
    }

    // ---- at every event

    pub(crate) fn happened(&self, world: &World, event: &Event) {
        world.note(|| format!("event: {event}"));
        let mut inner = self.inner.lock().unwrap();
        inner.figures.events += 1;
        let certificate = event.certificate.as_ref().and_then(|about| world.pool.by_serial(&about.serial));
        let mut fold = |word: u64| {
            inner.figures.digest = (inner.figures.digest ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
        };
        fold(event.at.unix_millis() as u64);
        fold(certificate.map_or(u64::MAX, |certificate| certificate as u64));
        event.kind.name().bytes().for_each(|byte| fold(byte.into()));
        if let EventKind::Internal { what } = &event.kind {
            inner.internals += 1;
            if inner.internals > inner.panics {
                drop(inner);
                self.violated(world, format!("an internal error that nobody caused: {what}"));
            }
            return;
        }
        let Some(certificate) = certificate else { return };
        let of = &mut inner.certificates[certificate];
        let wrong = match &event.kind {
            EventKind::Renewed { this_update, expires, renew, .. } => {
                of.held = Some((*this_update, *expires));
                if let Some(answer) = of.last_answer.as_ref().filter(|answer| answer.this_update == *this_update) {
                    of.is_by_sha256 = !answer.is_by_sha1;
                }
                of.retry_after = Default::default();
                let undone = of.disowned.is_some_and(|(disowned, _)| *this_update <= disowned);
                of.to_be_told = false;
                of.plan = Some(Plan::new(world, renew.since(event.at)));
                let planned = is_planned_well(*this_update, *expires, event.at, *renew);
                match (undone, planned) {
                    (true, _) => Some("its revocation is undone by an older answer".to_owned()),
                    (_, false) => Some(format!("renewed at {renew}: {this_update} to {expires}, now {}", event.at)),
                    _ => None,
                }
            }
            EventKind::RenewalFailed { again, held_until, what, .. } => {
                let pause = again.since(event.at);
                // A certificate that waits for a responder is asked for as soon as the responder answers any question.
                let waits = what.contains("is left alone until it answers");
                of.plan = (!waits).then(|| Plan::new(world, pause));
                let held = of.held.filter(|_| held_until.is_some());
                let wanted = of.retry_after.iter().flatten().max().copied();
                of.retry_after = Default::default();
                (!is_retried_well(pause, wanted, held, of.is_by_sha256, event.at))
                    .then(|| format!("tried again after {pause:?}, Retry-After was {wanted:?}"))
            }
            EventKind::Revoked { again, .. } => {
                of.held = None;
                of.to_be_told = false;
                of.plan = Some(Plan::new(world, again.since(event.at)));
                let told = of.revoked_answer.map(|(this_update, _)| (this_update, world.elapsed()));
                of.disowned = of.disowned.max(told);
                told.is_none().then(|| "it is told to be revoked, which nobody said".to_owned())
            }
            EventKind::Recycled { expires, renew } => {
                // The staple from before the certificate was removed, or one that a server has kept.
                of.held = of.held.filter(|(_, ends)| ends == expires);
                of.plan = Some(Plan::new(world, renew.since(event.at)));
                None
            }
            EventKind::Accepted | EventKind::Retired | EventKind::CertificateExpired { .. } => {
                of.plan = None;
                None
            }
            _ => None,
        };
        drop(inner);
        if let Some(wrong) = wrong {
            self.violated(world, format!("c{certificate}: {wrong}"));
        }
    }

    // ---- at quiet points
}

/// The queue number of a sink. The stapler numbers its sinks; the sinks for all certificates come first.
fn queue_number(sink: &str) -> usize {
    ["s1", "s0", "s2"].iter().position(|name| *name == sink).unwrap()
}

/// Whether a renewal is planned by the rules: half-life with a random twentieth, between bounds; in steps for a
/// response that is past that; all within the maximum interval, over which many certificates are spread. The largest
/// margin of the servers counts. The check knows only that it is one of two.
fn is_planned_well(from: Timestamp, expires: Timestamp, now: Timestamp, renew: Timestamp) -> bool {
    let pause = renew.since(now);
    [Duration::ZERO, MAX_MARGIN].into_iter().any(|margin| {
        let until = expires - margin;
        let half = from + until.since(from) / 2;
        let three_quarters = from + until.since(from) / 4 * 3;
        let (soonest, latest) = if half > now {
            (half.since(now).mul_f64(0.95), three_quarters.since(now))
        } else {
            (Duration::ZERO, (until.since(now) / 8).min(HOUR).max(three_quarters.since(now)))
        };
        let (soonest, latest) = match soonest.max(latest) {
            // Any time in the interval, if the certificate was not good before.
            beyond if beyond >= INTERVAL => (Duration::ZERO, INTERVAL),
            _ => (soonest, latest),
        };
        // The minimum interval is halved at most, for a response that would end within it.
        let in_time = until.since(now) / 4 * 3;
        let least = if in_time >= MINUTE / 2 { in_time.min(MINUTE) } else { MINUTE };
        pause + SECOND >= soonest.max(least) && pause <= latest.max(MINUTE) + SECOND
    })
}

/// Whether a retry is planned by the rules: pauses double up to an hour, and vary by a fifth. Retry-After counts within
/// bounds.
fn is_retried_well(
    pause: Duration,
    retry_after: Option<Duration>,
    held: Option<(Timestamp, Timestamp)>,
    may_be_unfit: bool,
    now: Timestamp,
) -> bool {
    let longest_backoff = HOUR + 12 * MINUTE + SECOND;
    let Some(wanted) = retry_after else { return pause >= 24 * SECOND && pause <= longest_backoff };
    let bounds = [Duration::ZERO, MAX_MARGIN].map(|margin| {
        let until = |(from, expires): (Timestamp, Timestamp)| {
            let three_quarters = from + (expires - margin).since(from) / 4 * 3;
            three_quarters.since(now)
        };
        held.map(until).filter(|until| !until.is_zero()).unwrap_or(HOUR).min(INTERVAL)
    });
    let without = if may_be_unfit { HOUR } else { Duration::MAX };
    let soonest = wanted.min(bounds[0]).min(bounds[1]).min(without);
    pause >= 24 * SECOND && pause + SECOND >= soonest && pause <= longest_backoff.max(bounds[0]).max(bounds[1])
}

/// The observer. It needs the world, which is made later.
pub(crate) struct Ear(pub(crate) std::sync::Arc<World>);

impl Observer for Ear {
    fn observe(&self, event: &Event) {
        self.0.watch.happened(&self.0, event);
    }
}

// ---- whether an object has had no trouble for long enough
