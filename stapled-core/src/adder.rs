//! The adder: brings the staple that one sink has of a certificate up to date.

mod changed;
mod recalled;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::chain::ChainError;
use crate::chance::Chance;
use crate::event::faults::Failing;
use crate::event::{EventKind, Journal};
use crate::inventory::standing::{DeliveryState, Standing};
use crate::inventory::{Delivery, DeliveryView, Inventory, SinkNumber};
use crate::lane;
use crate::queues;
use crate::reason::ReasonCode;
use crate::refresh::RefreshPolicy;
use crate::refresh::inputs::Failure;
use crate::responders::Responders;
use crate::scheduler::{Lease, Scheduler, SchedulerError, Step, Which};
use crate::sink::failure::SinkFailure;
use crate::sink::{self, Delivered, Lost, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use crate::staple::{JudgePolicy, Staple};
use crate::task::{Cause, Due, Task};
use crate::time::Timestamp;

/// The time after a withdrawal before the adder checks whether the staple is good again.
const SECOND_LOOK: Duration = Duration::from_secs(3600);
/// How long a server may lack a renewed certificate before that is reported.
const GRACE: Duration = Duration::from_secs(10);
/// The pause after a sink's own code panicked.
const PAUSE: Duration = Duration::from_secs(10);
/// The code of a staple that stays withdrawn until the CA has answered.
const UNCONFIRMED: ReasonCode = ReasonCode::new("unconfirmed");
const UNCONFIRMED_WHAT: &str = "another client took the staple out of service; it is delivered again as soon as the CA says \
                                that the certificate is good";

/// The adder of one sink.
pub(crate) struct Adder {
    pub(crate) sink: Arc<dyn StapleSink>,
    pub(crate) number: SinkNumber,
    pub(crate) name: Arc<str>,
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) journal: Journal,
    pub(crate) refresh: RefreshPolicy,
    pub(crate) chance: Arc<dyn Chance>,
    pub(crate) judging: JudgePolicy,
    pub(crate) responders: Arc<Responders>,
    /// All sinks, by their numbers: a staple must meet the requirements of all sinks of its certificate.
    pub(crate) sinks: Vec<Arc<dyn StapleSink>>,
}

/// The state of a delivery whose staple the server does not serve, since its life is shorter than the server's margin.
fn too_short_lived(what: String) -> DeliveryState {
    DeliveryState::Failed { failure: SinkFailure::ExpiresTooSoon, code: sink::EXPIRES_TOO_SOON, what }
}

/// The sites as a sink takes them.
fn one_by_one(sites: &[Arc<Site>]) -> Vec<Site> {
    sites.iter().map(|site| (**site).clone()).collect()
}

/// The task that withdraws a staple at its end, unless a newer task replaces it.
fn look_again(task: &Task, due: Due) -> Task {
    Task::new(task.queue.clone(), task.subject.clone()).generation(task.generation).due(due)
}

/// The target state of a certificate at a sink.
enum Wanted {
    /// The sink should have this staple.
    Staple(Arc<Staple>),
    /// The sink should have no staple.
    Nothing(Withdrawal),
    /// The sink keeps what it has until there is a better staple.
    AsItIs,
    /// The sink keeps what it has until the CA has answered: another client took the staple out of service.
    Unconfirmed,
}

impl Adder {
    /// Does one task *add*.
    pub(crate) async fn work(self: Arc<Self>, lease: Lease) {
        match self.add(&lease).await {
            Ok(()) | Err(SchedulerError::Fenced { .. }) => {}
            Err(error) => {
                self.journal.tell(EventKind::Internal { what: format!("add {}: {error}", lease.task().subject) });
            }
        }
    }

    async fn add(&self, lease: &Lease) -> Result<(), SchedulerError> {
        let subject = &lease.task().subject;
        let Some(mut view) = self.inventory.delivery(subject, self.number) else {
            return self.scheduler.commit(Step::finish(lease)).await;
        };
        let now = self.journal.clock.now();
        let follow_up = match self.wanted(&view, now) {
            Wanted::Staple(staple) => {
                let done = self.in_time(self.deliver(&view, &staple)).await;
                let ends = self.last_moment(staple.expires());
                if done.is_err() && self.end_what_is_served(&view).await {
                    view.delivery = Delivery::of_nothing(DeliveryState::clone(&view.delivery.state));
                }
                let task = lease.task();
                self.note_delivery(task, &view, staple, done).or_else(|| Some(look_again(task, Due::At(ends))))
            }
            Wanted::Nothing(why) => {
                if why == Withdrawal::Expiring {
                    self.journal.doubt_clock();
                }
                let retry = self.take_back(lease, &view, why).await;
                // If the clock is wrong, the staple is good again once it is right, without a renewal in between.
                let may_return =
                    why == Withdrawal::Expiring && view.staple.is_some() && view.standing != Standing::Expired;
                retry.or_else(|| may_return.then(|| look_again(lease.task(), Due::After(SECOND_LOOK))))
            }
            Wanted::Unconfirmed => {
                let error = SinkError::NotYet { code: UNCONFIRMED, what: UNCONFIRMED_WHAT.to_owned() };
                Some(self.note_failure(lease.task(), &view, view.delivery.clone(), &error, None))
            }
            Wanted::AsItIs => {
                view.delivery.ends().map(|ends| look_again(lease.task(), Due::At(self.last_moment(ends))))
            }
        };
        let mut step = Step::finish(lease);
        step.puts.extend(follow_up);
        self.scheduler.commit(step).await
    }

    /// Limits the time of one delivery or withdrawal. A sink that hangs delays its own deliveries only.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, SinkError>>) -> Result<T, SinkError> {
        let deadline = self.sink.requirements().deadline;
        tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
            let what = format!("no answer within {} s", deadline.as_secs_f32());
            Err(SinkError::unreachable(ReasonCode::new("sink_timeout"), what))
        })
    }

    fn wanted(&self, view: &DeliveryView, now: Timestamp) -> Wanted {
        if view.sites.is_empty() || view.standing == Standing::Retired {
            return Wanted::Nothing(Withdrawal::Retired);
        }
        match view.standing {
            Standing::Revoked { .. } => return Wanted::Nothing(Withdrawal::Revoked),
            // The clock may have been wrong when the certificate expired, so its present time decides.
            Standing::Expired if matches!(view.chain.check_usable(now), Err(ChainError::Expired { .. })) => {
                return Wanted::Nothing(Withdrawal::Expiring);
            }
            _ => {}
        }
        let is_over = |ends: Timestamp| self.last_moment(ends) <= now;
        match &view.staple {
            Some(staple) if is_over(staple.expires()) => Wanted::Nothing(Withdrawal::Expiring),
            Some(staple) if view.unconfirmed && !view.has(staple) => Wanted::Unconfirmed,
            Some(staple) => Wanted::Staple(Arc::clone(staple)),
            None if view.delivery.ends().is_some_and(is_over) => Wanted::Nothing(Withdrawal::Expiring),
            None => Wanted::AsItIs,
        }
    }

    /// The instant from which the sink must no longer serve a staple with this end.
    fn last_moment(&self, ends: Timestamp) -> Timestamp {
        ends - self.sink.requirements().in_service().margin
    }

    async fn deliver(&self, view: &DeliveryView, staple: &Arc<Staple>) -> Result<Delivered, SinkError> {
        if view.has(staple) {
            return Ok(Delivered::Confirmed);
        }
        // Staples of former sites are withdrawn first: a server that finds the certificate by its CertID would otherwise
        // lose the staple altogether.
        let left = view.delivery.sites();
        let left: Vec<Site> =
            left.iter().filter(|site| !view.sites.contains(site)).map(|site| (**site).clone()).collect();
        if !left.is_empty() {
            self.sink.withdraw(&view.chain, &left, Withdrawal::Retired).await?;
        }
        self.sink.requirements().check(staple, self.journal.clock.now())?;
        let begun = Some(Box::new(view.delivery.begin(staple, &view.sites)));
        let delivery = Delivery { begun, ..view.delivery.clone() };
        self.inventory.begin_delivery(view.chain.subject(), self.number, delivery);
        self.sink.deliver(staple, &one_by_one(&view.sites)).await
    }

    /// Records the outcome of a delivery. Returns the task of the next attempt, if there is one.
    fn note_delivery(
        &self,
        task: &Task,
        view: &DeliveryView,
        staple: Arc<Staple>,
        done: Result<Delivered, SinkError>,
    ) -> Option<Task> {
        match done {
            Ok(Delivered::Confirmed) => {
                let expires = staple.expires();
                let is_new = view.delivery.served.as_ref().is_none_or(|(served, _)| *served != staple);
                let delivery = Delivery::new(Some((staple, view.sites.clone())), DeliveryState::Confirmed);
                if self.set_delivery(task, view, delivery) {
                    // The server lost staples during the delivery, perhaps this one, too.
                    return Some(look_again(task, Due::Now));
                }
                if is_new {
                    self.tell_delivered(view, expires);
                }
                None
            }
            Ok(Delivered::NotWanted { code, what }) => {
                let state = DeliveryState::NotWanted { code, what: what.clone() };
                if *view.delivery.state != state {
                    let sink = Arc::clone(&self.name);
                    self.tell(view, EventKind::NotWanted { sink, code, what });
                }
                self.set_delivery(task, view, Delivery::of_nothing(state));
                None
            }
            Err(error) => {
                let mut delivery = view.delivery.clone();
                // A server that did not answer may have taken the staple. A server that refused has not.
                if matches!(error, SinkError::Unreachable { .. }) {
                    delivery.begun = Some(Box::new(delivery.begin(&staple, &view.sites)));
                }
                Some(self.note_failure(task, view, delivery, &error, None))
            }
        }
    }

    fn tell(&self, view: &DeliveryView, kind: EventKind) {
        self.journal.tell_about(|| self.inventory.about(&view.chain), kind);
    }

    /// Reports a staple that the sink has now.
    fn tell_delivered(&self, view: &DeliveryView, expires: Timestamp) {
        let sink = || Arc::clone(&self.name);
        self.tell(view, EventKind::Delivered { sink: sink(), expires });
        let was_told =
            matches!(&*view.delivery.state, DeliveryState::Failed { failure: SinkFailure::ExpiresTooSoon, .. });
        if !was_told && let Some(what) = self.short_lived(view) {
            self.tell(view, EventKind::ShortLived { sink: sink(), what });
        }
    }

    /// Withdraws every staple that the server may serve. Returns the task of the next attempt, if there is one.
    async fn take_back(&self, lease: &Lease, view: &DeliveryView, why: Withdrawal) -> Option<Task> {
        let may_serve = view.delivery.may_serve();
        // An earlier process may have delivered a staple. The staple of a revoked certificate must not stay in service.
        if !may_serve && (why != Withdrawal::Revoked || *view.delivery.state == DeliveryState::Withdrawn) {
            let state = self.never_served(view, why).unwrap_or_else(|| DeliveryState::clone(&view.delivery.state));
            // This forgets a certificate without places.
            self.set_delivery(lease.task(), view, Delivery::of_nothing(state));
            return None;
        }
        let sites = if may_serve { view.delivery.sites() } else { view.sites.clone() };
        // After a failure, the server may still serve the staple.
        let in_doubt = view.delivery.in_doubt();
        self.inventory.begin_delivery(view.chain.subject(), self.number, in_doubt.clone());
        let withdrawn = self.in_time(self.sink.withdraw(&view.chain, &one_by_one(&sites), why)).await;
        // If the clock was corrected during the withdrawal, the withdrawn staple is good.
        let is_good_again =
            why == Withdrawal::Expiring && matches!(self.wanted(view, self.journal.clock.now()), Wanted::Staple(_));
        let withdrawn = match withdrawn {
            Ok(withdrawn) => withdrawn,
            Err(_) if is_good_again => return Some(look_again(lease.task(), Due::Now)),
            Err(error) => return Some(self.note_failure(lease.task(), view, in_doubt, &error, Some(why))),
        };
        let short_lived = self.short_lived(view).filter(|_| why == Withdrawal::Expiring);
        let state = match &short_lived {
            Some(what) => too_short_lived(what.clone()),
            None => DeliveryState::Withdrawn,
        };
        self.tell_withdrawn(view, why, withdrawn, short_lived);
        self.set_delivery(lease.task(), view, Delivery::of_nothing(state));
        is_good_again.then(|| look_again(lease.task(), Due::Now))
    }

    /// The state of a staple that this sink cannot serve at all, since its life is shorter than the sink's margin. This is
    /// reported once.
    fn never_served(&self, view: &DeliveryView, why: Withdrawal) -> Option<DeliveryState> {
        let staple = view.staple.as_ref().filter(|_| why == Withdrawal::Expiring && view.standing == Standing::Good)?;
        let margin = self.sink.requirements().in_service().margin;
        // A staple that was in service until now, or that was reported as too short before, is not reported.
        let is_news = match &*view.delivery.state {
            DeliveryState::Withdrawn if staple.expires().since(staple.this_update()) > margin => return None,
            DeliveryState::Failed { failure, .. } => *failure != SinkFailure::ExpiresTooSoon,
            _ => true,
        };
        let what = sink::too_short(staple, margin).to_string();
        if is_news {
            let event = EventKind::DeliveryFailed {
                sink: Arc::clone(&self.name),
                code: sink::EXPIRES_TOO_SOON,
                what: what.clone(),
                again: view.next.unwrap_or_else(|| self.journal.clock.now()),
                served_until: None,
                is_felt: view.is_felt,
                withdrawing: None,
            };
            self.tell(view, event);
        }
        Some(too_short_lived(what))
    }

    /// Why this sink has no staple for a time: the staple ends before the next renewal. `None` if it does not.
    fn short_lived(&self, view: &DeliveryView) -> Option<String> {
        let staple = view.staple.as_ref().filter(|_| view.standing == Standing::Good)?;
        let (ends, next) = (self.last_moment(staple.expires()), view.next?);
        if next <= ends || next <= self.journal.clock.now() {
            return None;
        }
        let life = staple.expires().since(staple.this_update()).as_secs();
        let margin = self.sink.requirements().in_service().margin.as_secs();
        Some(format!(
            "the CA's responses live {life} s, and the server serves none in its last {margin} s: it serves this one until \
             {ends}, and the CA is asked again at {next} (--minimum-interval); ask the CA for responses that live longer"
        ))
    }

    /// Withdraws a staple that is over although its successor could not be delivered. Returns whether the withdrawal
    /// succeeded.
    async fn end_what_is_served(&self, view: &DeliveryView) -> bool {
        let now = self.journal.clock.now();
        if view.delivery.ends().is_none_or(|ends| self.last_moment(ends) > now) {
            return false;
        }
        let (sites, why) = (view.delivery.sites(), Withdrawal::Expiring);
        // A failure here is tried again with the delivery.
        let Ok(withdrawn) = self.in_time(self.sink.withdraw(&view.chain, &one_by_one(&sites), why)).await else {
            return false;
        };
        self.tell_withdrawn(view, why, withdrawn, None);
        true
    }

    fn tell_withdrawn(&self, view: &DeliveryView, why: Withdrawal, done: Withdrawn, short_lived: Option<String>) {
        let confirmed = done == Withdrawn::Confirmed;
        let failing = match &view.standing {
            Standing::Failing { code, what, .. } if why == Withdrawal::Expiring => {
                Some(Failing { code: *code, what: what.clone(), since: view.since })
            }
            _ => None,
        };
        let event = EventKind::Withdrawn { sink: Arc::clone(&self.name), why, confirmed, failing, short_lived };
        self.tell(view, event);
    }

    fn note_failure(
        &self,
        task: &Task,
        view: &DeliveryView,
        had: Delivery,
        error: &SinkError,
        withdrawing: Option<Withdrawal>,
    ) -> Task {
        let (code, what) = (error.code(), error.to_string());
        let failure = Failure::after(task.attempt);
        let now = self.journal.clock.now();
        let retry = self.refresh.retry_at(failure, now, self.chance.draw());
        // The next attempt comes at the end of the served staple at the latest, to withdraw that staple.
        let ends = had.ends().map(|ends| self.last_moment(ends)).filter(|ends| *ends > now);
        let mut again = ends.map_or(retry, |ends| retry.min(ends));
        let kind = error.failure();
        let stands = matches!(*view.delivery.state, DeliveryState::Failed { failure, .. } if failure == kind);
        let since = view.delivery.since.filter(|_| stands).unwrap_or(now);
        let is_told = !matches!(error, SinkError::NotYet { .. }) || now.since(since) >= GRACE;
        if !is_told {
            again = again.min(now + GRACE);
        }
        let served_until = had.served.as_ref().map(|(staple, _)| staple.expires()).filter(|until| *until > now);
        let state = DeliveryState::Failed { failure: kind, code, what: what.clone() };
        let delivery = Delivery { state: state.into(), ..had };
        let delivery = delivery.again(again);
        self.set_delivery(task, view, delivery);
        if is_told {
            let sink = Arc::clone(&self.name);
            let is_felt = view.is_felt;
            let event = EventKind::DeliveryFailed { sink, code, what, again, served_until, is_felt, withdrawing };
            self.tell(view, event);
        }
        task.again(Due::After(again.since(now)), Cause::failed(code))
    }

    /// Records the state of a delivery. Returns whether the sink has lost staples since the work began.
    fn set_delivery(&self, task: &Task, view: &DeliveryView, delivery: Delivery) -> bool {
        let now = self.journal.clock.now();
        let delivery = Delivery { follows: view.answered, ..delivery };
        self.inventory.set_delivery(&task.subject, self.number, view.losses, delivery, now)
    }

    /// Waits for losses of the server and schedules new deliveries of lost staples. Failed deliveries become due at once.
    pub(crate) async fn watch(&self, stop: CancellationToken) {
        loop {
            let panicked = || format!("{}: listening for what it loses panicked", self.name);
            let lost = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                lost = lane::survive(&self.journal, panicked, self.sink.lost()) => lost,
            };
            let Some(lost) = lost else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            if let Err(error) = self.restore(&lost).await {
                self.journal.tell(EventKind::Internal { what: format!("{}: {error}", self.name) });
            }
        }
    }

    async fn restore(&self, lost: &Lost) -> Result<(), SchedulerError> {
        let now = self.journal.clock.now();
        let certificates = match lost {
            Lost::Retry => Vec::new(),
            Lost::Everything => self.inventory.set_lost(self.number, None, now),
            Lost::Certificates(subjects) => self.inventory.set_lost(self.number, Some(subjects), now),
            Lost::Changed(changes) => return self.changed(changes).await,
        };
        if !certificates.is_empty() {
            let sink = Arc::clone(&self.name);
            self.journal.tell(EventKind::ServerLost { sink, certificates: certificates.len() });
        }
        let adds = certificates.iter().map(|(subject, generation)| queues::add_task(self.number, subject, *generation));
        queues::put_all(&*self.scheduler, &adds.collect::<Vec<_>>()).await?;
        if matches!(lost, Lost::Everything | Lost::Retry) {
            self.scheduler.hasten(Which::Queue(&queues::add(self.number))).await?;
        }
        Ok(())
    }
}
