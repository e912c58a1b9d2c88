//! The invariants. Each is judged by what the simulation itself knows, not by what the library says of its own work.

use std::sync::Mutex;
use std::time::Duration;

use stapled_core::event::{Event, EventKind, Observer};
use stapled_core::fetch::{Answer, FetchError};
use stapled_core::inventory::{DeliveryState, DeliveryStatus, Inventory, PlaceState, Standing};
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
/// The back-off's cap with its chance, a breaker's longest pause, and an exchange.
pub(crate) const CAP: Duration = Duration::from_secs(3600 + 720 + 300 + 180);
/// A rescan, a look at the clock, an exchange and a delivery.
const PROMPT: Duration = Duration::from_secs(180);
/// The largest margin of a server.
const MAX_MARGIN: Duration = Duration::from_secs(300);
/// The maximum interval: every certificate is asked for at least so often.
const INTERVAL: Duration = HOUR;
/// How soon everything is in order once the clock is right: the clock is compared every five seconds.
pub(crate) const RIGHTED: Duration = Duration::from_secs(10);
/// How long one renewal may take: its turn at a responder, and all its URLs.
const LONGEST_RENEWAL: Duration = Duration::from_secs(120);
/// How long before its end a staple is taken back where the server asks for no more.
const LEAD: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Watch {
    inner: Mutex<Inner>,
    /// That something was violated: the run ends.
    pub(crate) ended: Notify,
}

#[derive(Default)]
struct Inner {
    violation: Option<String>,
    certificates: Vec<OfCertificate>,
    /// When each responder was asked last.
    asked_at: [Option<Duration>; crate::pool::RESPONDERS],
    panics: usize,
    internals: usize,
    figures: Figures,
}

/// What a run amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) questions: usize,
    pub(crate) deliveries: usize,
    pub(crate) withdrawals: usize,
    pub(crate) events: usize,
    /// Of all events, in their order.
    pub(crate) digest: u64,
}

#[derive(Clone, Debug, Default)]
struct OfCertificate {
    /// thisUpdate and end of the staple that is held.
    held: Option<(Timestamp, Timestamp)>,
    /// When it was told that the CA is asked next.
    plan: Option<Plan>,
    /// thisUpdate of the newest answer that said revoked, once that was told; and when it was.
    disowned: Option<(Timestamp, Duration)>,
    revoked_answer: Option<(Timestamp, Duration)>,
    last_answer: Option<Made>,
    /// Whether what is held may be by a CertID that not every server can use.
    is_by_sha256: bool,
    /// Whether a revocation was answered and must be told.
    to_be_told: bool,
    /// What each of its responders asked to wait, last.
    retry_after: [Option<Duration>; crate::pool::RESPONDERS],
}

/// What a server serves, by its number.
#[derive(Clone, Debug)]
pub(crate) struct InService {
    server: usize,
    place: String,
    certificate: usize,
    ends: Timestamp,
}

/// That the CA is asked no sooner than so long after it was told.
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
            // A millisecond is what timers are off.
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
        // A server that it came to lately may not be able to use what is held; and what was planned while the clock was
        // wrong is no plan.
        let plan = of.plan.take().filter(|plan| {
            // Such as while nobody had noticed it; and a renewal that was under way then is repeated when it has ended.
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
            // Where that is no news, no event ends the renewal.
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

    /// Nothing is delivered but what is good, right and in time.
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

    /// No good staple is taken back early, or for no reason.
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
            // What it serves may be another than it said it does.
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
                // One that waits for a responder is asked for as soon as that answers anybody.
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
                // What a certificate had before it was away, or what a server has kept.
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

    /// What must hold whenever nothing is in the midst of being done.
    pub(crate) fn check(&self, world: &World, inventory: &Inventory) {
        self.check_tasks(world, inventory);
        self.check_revocations(world);
        for server in &world.servers {
            self.check_served(world, server);
        }
        for directory in &world.directories {
            self.check_fresh(world, directory);
        }
    }

    /// No certificate is left unscheduled, and none is overdue.
    fn check_tasks(&self, world: &World, inventory: &Inventory) {
        if world.tasks.is_in_a_loop() {
            self.violated(world, "tasks are put and taken without an end".to_owned());
        }
        // What is being parsed is being scheduled.
        let parses = world.tasks.works_on("parse");
        for certificate in inventory.certificates() {
            let subject = certificate.chain.subject().as_str();
            let number = world.pool.by_der(certificate.chain.end_entity().as_der());
            if certificate.standing == Standing::Retired || parses {
                continue;
            }
            if !world.tasks.has("renew/", subject) {
                self.violated(world, format!("c{number} is never asked for again: {:?}", certificate.standing));
            }
            for DeliveryStatus { sink, state, .. } in &certificate.deliveries {
                let queue = format!("add/{}", queue_number(sink));
                let waits = matches!(state, DeliveryState::Confirmed | DeliveryState::Failed { .. });
                let is_wanted =
                    |staple: &std::sync::Arc<Staple>| staple.expires() > world.machine_now() + MAX_MARGIN + LEAD;
                let wanted = certificate.staple.as_ref().is_some_and(is_wanted);
                if wanted && waits && !world.tasks.has(&queue, subject) {
                    self.violated(world, format!("c{number} is never looked at again at {sink}: {state:?}"));
                }
            }
            let first = world.pool.certificates[number].responders[0];
            if let Some(next) = certificate.next
                && world.clock_is_right()
                && !world.jumped_since(world.elapsed().saturating_sub(PROMPT))
                && world.responder_is_calm(first, CAP)
                && world.machine_now() > next + PROMPT + MINUTE
            {
                self.violated(world, format!("c{number} should have been asked for at {next}"));
            }
        }
        for place in inventory.places() {
            let waits =
                matches!(place.state, PlaceState::Problem { .. } | PlaceState::Expired(_) | PlaceState::Pending);
            let directory = directory_in(world, &place.name).number;
            if waits && !world.tasks.has("parse", &format!("{directory}:{}", place.name)) {
                self.violated(world, format!("{} waits for its file to change: {:?}", place.name, place.state));
            }
        }
    }

    /// A revocation that was answered was told at once.
    fn check_revocations(&self, world: &World) {
        let inner = self.inner.lock().unwrap();
        let late = inner
            .certificates
            .iter()
            .position(|of| of.to_be_told && of.revoked_answer.is_some_and(|(_, at)| world.elapsed() > at + 2 * SECOND));
        drop(inner);
        if let Some(certificate) = late {
            self.violated(world, format!("the revocation of c{certificate} was answered, and is not told"));
        }
    }

    /// Nothing is served that must not be, where the server can be told.
    fn check_served(&self, world: &World, server: &server::Server) {
        let can_be_told = server.can_withdraw && server.is_calm(world, CAP);
        if !can_be_told || !world.clock_is_right() || world.jumped_since(world.elapsed().saturating_sub(RIGHTED)) {
            return;
        }
        let serves = server.serves.lock().unwrap().clone();
        for ((place, certificate), served) in serves {
            if served.made.ends < world.truth() {
                let what =
                    format!("s{} serves c{certificate} at {place} after its end {}", server.number, served.made.ends);
                self.violated(world, what);
            }
            let disowned = self.inner.lock().unwrap().certificates[certificate].disowned;
            if let Some((disowned, at)) = disowned
                && served.made.this_update <= disowned
                && world.elapsed() > at + MINUTE + 10 * SECOND
            {
                self.violated(world, format!("s{} serves c{certificate} although it is revoked", server.number));
            }
            let directory = directory_in(world, &place);
            if directory.is_calm(world, PROMPT) && directory.is_surely_gone(world, &place, certificate) {
                self.violated(
                    world,
                    format!("s{} serves c{certificate} at {place}, where it is no more", server.number),
                );
            }
        }
    }

    /// What servers serve that have no trouble, and must serve again soon after a clock that is about to be set is right.
    pub(crate) fn in_service(&self, world: &World) -> Vec<InService> {
        let mut all = Vec::new();
        if !world.clock_is_calm() {
            return all;
        }
        for server in world.servers.iter().filter(|server| server.is_calm(world, CAP)) {
            for ((place, certificate), served) in server.serves.lock().unwrap().clone() {
                let directory = directory_in(world, &place);
                let files = directory.files.lock().unwrap();
                let is_long_there = files.get(&place).is_some_and(|file| {
                    file.contents == Contents::Certificate(certificate) && world.was_calm(Some(file.since), PROMPT)
                });
                if is_long_there && directory.is_calm(world, PROMPT) {
                    all.push(InService { server: server.number, place, certificate, ends: served.made.ends });
                }
            }
        }
        all
    }

    /// The clock has been right again for a few seconds: what was in service before it was set is, unless it is over; and
    /// nothing is that is over.
    pub(crate) fn check_righted(&self, world: &World, before: &[InService]) {
        for server in &world.servers {
            self.check_served(world, server);
        }
        for InService { server, place, certificate, ends } in before {
            let known = &world.pool.certificates[*certificate];
            let margin = world.servers[*server].requirements.margin.max(LEAD);
            let is_over = *ends <= world.truth() + margin + MINUTE || known.not_after <= world.truth() + MINUTE;
            let disowned = self.inner.lock().unwrap().certificates[*certificate].disowned.is_some();
            if is_over || disowned || world.responders.is_revoked(*certificate) {
                continue;
            }
            let served = world.servers[*server].served(place, *certificate);
            if served.as_ref().is_none_or(|served| served.made.ends <= world.truth() + margin) {
                let what = format!("c{certificate} at {place} is not back at s{server}, though the clock is right");
                self.violated(world, format!("{what}: good until {ends}, serves {served:?}"));
            }
        }
    }

    /// Whatever has had no trouble for long enough is fresh, whatever trouble others have.
    fn check_fresh(&self, world: &World, directory: &Directory) {
        if !world.clock_is_calm() || !directory.is_calm(world, PROMPT) {
            return;
        }
        let files = directory.files.lock().unwrap();
        for (place, file) in files.iter() {
            let Contents::Certificate(certificate) = file.contents else { continue };
            let known = &world.pool.certificates[certificate];
            let since = world.elapsed().saturating_sub(PROMPT);
            let is_long_there = file.since < since && known.not_before + PROMPT < world.truth();
            let (answered, issuer) = world.is_answered(certificate);
            if !is_long_there || known.not_after < world.truth() || !answered || !issuer {
                continue;
            }
            let revoked = world.responders.revoked.lock().unwrap().get(&certificate).copied();
            let held = self.inner.lock().unwrap().certificates[certificate].held;
            if let Some((revoked, changed)) = revoked
                && (revoked || held.is_none_or(|(from, _)| from <= changed))
            {
                continue;
            }
            for &number in world.sinks_of(directory.number) {
                let server = &world.servers[number];
                if !server.is_calm(world, CAP) {
                    continue;
                }
                let served = server.served(place, certificate);
                let margin = server.requirements.margin;
                if served.as_ref().is_none_or(|served| served.made.ends <= world.truth() + margin) {
                    let what = format!("c{certificate} at {place} is not fresh at s{number}: {served:?}");
                    self.violated(world, what);
                }
            }
        }
    }

    /// Every panic was told, and only those.
    pub(crate) fn check_panics(&self, world: &World) {
        let (panics, internals) = {
            let inner = self.inner.lock().unwrap();
            (inner.panics, inner.internals)
        };
        if panics != internals {
            self.violated(world, format!("{panics} panics, of which {internals} were told"));
        }
    }
}

/// The stapler numbers its sinks: first those that everybody's certificates go to.
fn queue_number(sink: &str) -> usize {
    ["s1", "s0", "s2"].iter().position(|name| *name == sink).unwrap()
}

/// Half-life, with a twentieth of chance, between bounds; for a response that is past that, in steps; all within the
/// maximum interval, over which a crowd is spread. By the largest margin of its servers, of which this knows only that it
/// is one of two.
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
            // Anywhere in it, where the certificate was not good before.
            beyond if beyond >= INTERVAL => (Duration::ZERO, INTERVAL),
            _ => (soonest, latest),
        };
        // The minimum interval is halved at most for what would be over by then.
        let in_time = until.since(now) / 4 * 3;
        let least = if in_time >= MINUTE / 2 { in_time.min(MINUTE) } else { MINUTE };
        pause + SECOND >= soonest.max(least) && pause <= latest.max(MINUTE) + SECOND
    })
}

/// Doubling pauses up to an hour, a fifth more or less; Retry-After is kept within bounds.
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

/// The observer: it needs the world, which is made later.
pub(crate) struct Ear(pub(crate) std::sync::Arc<World>);

impl Observer for Ear {
    fn observe(&self, event: &Event) {
        self.0.watch.happened(&self.0, event);
    }
}

// ---- whether somebody has had no trouble for so long

impl World {
    pub(crate) fn was_calm(&self, last: Option<Duration>, window: Duration) -> bool {
        last.is_none_or(|last| self.elapsed() >= last + window)
    }

    pub(crate) fn responder_is_calm(&self, responder: usize, window: Duration) -> bool {
        let is_good = *self.responders.all[responder].mood.lock().unwrap() == responder::Mood::Good;
        is_good && self.was_calm(self.last_responder_fault.lock().unwrap()[responder], window)
    }

    /// Whether one of a certificate's responders has been good for long; and whether its issuer can be had.
    fn is_answered(&self, certificate: usize) -> (bool, bool) {
        let known = &self.pool.certificates[certificate];
        // One that answers oddly is believed, so that the good one is not asked.
        let is_odd = |responder: usize| {
            let now = self.responders.all[responder].mood.lock().unwrap().is_odd();
            now || !self.was_calm(self.last_odd.lock().unwrap()[responder], CAP)
        };
        let answered = self.pool.is_asked_at(certificate, |responder| self.responder_is_calm(responder, CAP))
            && !self.pool.is_asked_at(certificate, is_odd);
        let mood = self.responders.issuer_moods.lock().unwrap()[known.authority];
        let last = self.last_issuer_fault.lock().unwrap()[known.authority];
        let issuer = !known.lacks_issuer || mood == IssuerMood::Good && self.was_calm(last, CAP);
        (answered, issuer)
    }

    /// Whether the machine's clock has been right for long, and the machine awake.
    fn clock_is_calm(&self) -> bool {
        self.clock_is_right()
            && self.was_calm(*self.last_jump.lock().unwrap(), CAP)
            && self.was_calm(*self.last_sleep.lock().unwrap(), PROMPT)
    }

    pub(crate) fn jumped_since(&self, since: Duration) -> bool {
        let later = |last: &Mutex<Option<Duration>>| last.lock().unwrap().is_some_and(|last| last >= since);
        later(&self.last_jump) || later(&self.last_sleep)
    }
}

impl server::Server {
    fn is_calm(&self, world: &World, window: Duration) -> bool {
        let is_well = *self.mood.lock().unwrap() == server::Mood::Well;
        let remembers = !matches!(*self.memory.lock().unwrap(), server::Memory::Hangs | server::Memory::Panics);
        is_well
            && remembers
            && !*self.losing_panics.lock().unwrap()
            && world.was_calm(*self.last_fault.lock().unwrap(), window)
            && world.was_calm(*self.last_loss.lock().unwrap(), PROMPT)
    }

    fn faulty_since(&self, since: Duration) -> bool {
        let is_well = *self.mood.lock().unwrap() == server::Mood::Well;
        !is_well || self.last_fault.lock().unwrap().is_some_and(|last| last >= since)
    }
}

impl Directory {
    fn is_calm(&self, world: &World, window: Duration) -> bool {
        let is_fine = *self.mood.lock().unwrap() == source::Mood::Fine;
        is_fine && world.was_calm(*self.last_fault.lock().unwrap(), window)
    }

    /// Whether a certificate has been gone from a place for so long that everybody has taken note.
    fn is_surely_gone(&self, world: &World, place: &str, certificate: usize) -> bool {
        let files = self.files.lock().unwrap();
        let Some(file) = files.get(place) else {
            return !self.was_absent_since(place, certificate, world.elapsed().saturating_sub(PROMPT));
        };
        let is_made_out = match file.contents {
            Contents::OnlyCa(_) => true,
            Contents::Certificate(other) => {
                let other_known = &world.pool.certificates[other];
                other != certificate && !other_known.lacks_issuer && other_known.not_before + PROMPT < world.truth()
            }
            _ => false,
        };
        is_made_out && world.was_calm(Some(file.since), PROMPT)
    }
}
