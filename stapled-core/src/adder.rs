//! The adder: brings what one sink has of a certificate in line with what it should have.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::event::{EventKind, Journal};
use crate::inventory::{Delivery, DeliveryState, DeliveryView, Inventory, SinkNumber, Standing};
use crate::queues;
use crate::reason::ReasonCode;
use crate::refresh::{Failure, RefreshPolicy};
use crate::scheduler::{Lease, Scheduler, SchedulerError, Step, Which};
use crate::sink::{Delivered, Lost, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use crate::staple::Staple;
use crate::task::{Due, Task};
use crate::time::Timestamp;

/// How long before its end a staple is withdrawn, where the server does not stop serving it earlier by itself.
const LEAD: Duration = Duration::from_secs(5);
/// How long a sink may take for one delivery.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many tasks one step puts at most.
const CHUNK: usize = 1000;

/// The adder of one sink.
pub(crate) struct Adder {
    pub(crate) sink: Arc<dyn StapleSink>,
    pub(crate) number: SinkNumber,
    pub(crate) name: Arc<str>,
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) journal: Journal,
    pub(crate) refresh: RefreshPolicy,
}

/// A sink that hangs costs its own deliveries a retry.
async fn in_time<T>(work: impl Future<Output = Result<T, SinkError>>) -> Result<T, SinkError> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        let what = format!("no answer within {} s", PATIENCE.as_secs());
        Err(SinkError::unreachable(ReasonCode::new("sink_timeout"), what))
    })
}

/// What a sink should have of a certificate.
enum Wanted {
    /// This staple.
    Staple(Arc<Staple>),
    /// None.
    Nothing(Withdrawal),
    /// What it has, until something better comes.
    AsItIs,
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
                let done = in_time(self.deliver(&view, &staple)).await;
                let ends = self.last_moment(&staple);
                if done.is_err() && self.end_what_is_served(&view, now).await {
                    view.delivery.served = None;
                }
                self.note_delivery(lease, &view, staple, done).or_else(|| Some(self.look_again(lease, ends)))
            }
            Wanted::Nothing(why) => match &view.delivery.served {
                // What a server was given before this process began is not known; of a revoked certificate it must not
                // stay in service.
                None if why == Withdrawal::Revoked && view.delivery.state != DeliveryState::Withdrawn => {
                    let done = in_time(self.sink.withdraw(&view.chain, &view.sites, why)).await;
                    self.note_withdrawal(lease, &view, None, why, done)
                }
                None => {
                    // Nothing to take back. A certificate that is gone is forgotten with this.
                    self.set_delivery(lease, &view, Delivery::new(None, view.delivery.state.clone()));
                    None
                }
                Some((staple, sites)) => {
                    let done = in_time(self.sink.withdraw(&view.chain, sites, why)).await;
                    self.note_withdrawal(lease, &view, Some((Arc::clone(staple), sites.clone())), why, done)
                }
            },
            Wanted::AsItIs => {
                view.delivery.served.as_ref().map(|(staple, _)| self.look_again(lease, self.last_moment(staple)))
            }
        };
        let mut step = Step::finish(lease);
        step.puts.extend(follow_up);
        self.scheduler.commit(step).await
    }

    fn wanted(&self, view: &DeliveryView, now: Timestamp) -> Wanted {
        if view.sites.is_empty() || view.standing == Standing::Retired {
            return Wanted::Nothing(Withdrawal::Retired);
        }
        match view.standing {
            Standing::Revoked { .. } => return Wanted::Nothing(Withdrawal::Revoked),
            Standing::Expired => return Wanted::Nothing(Withdrawal::Expiring),
            _ => {}
        }
        let Some(staple) = &view.staple else { return Wanted::AsItIs };
        if self.last_moment(staple) <= now {
            return Wanted::Nothing(Withdrawal::Expiring);
        }
        Wanted::Staple(Arc::clone(staple))
    }

    /// The instant from which the sink must not serve a staple any more.
    fn last_moment(&self, staple: &Staple) -> Timestamp {
        staple.expires() - self.sink.requirements().margin.max(LEAD)
    }

    async fn deliver(&self, view: &DeliveryView, staple: &Arc<Staple>) -> Result<Delivered, SinkError> {
        let already = view.delivery.served.as_ref();
        if already.is_some_and(|(served, sites)| served == staple && *sites == view.sites) {
            return Ok(Delivered::Confirmed);
        }
        let requirements = self.sink.requirements();
        requirements.check(staple, self.journal.clock.now())?;
        // Places that it lay in before: what is kept there is taken back first, since a server that finds the
        // certificate by its CertID would lose the staple altogether.
        if let Some((_, sites)) = already {
            let left: Vec<Site> = sites.iter().filter(|site| !view.sites.contains(site)).cloned().collect();
            if !left.is_empty() {
                self.sink.withdraw(&view.chain, &left, Withdrawal::Retired).await?;
            }
        }
        self.sink.deliver(staple, &view.sites).await
    }

    /// Takes down how a delivery went; returns the task to put when it is to be tried again.
    fn note_delivery(
        &self,
        lease: &Lease,
        view: &DeliveryView,
        staple: Arc<Staple>,
        done: Result<Delivered, SinkError>,
    ) -> Option<Task> {
        let sink = || Arc::clone(&self.name);
        match done {
            Ok(Delivered::Confirmed) => {
                let is_new = view.delivery.served.as_ref().is_none_or(|(served, _)| *served != staple);
                let delivery = Delivery::new(Some((staple, view.sites.clone())), DeliveryState::Confirmed);
                if self.set_delivery(lease, view, delivery) {
                    // The server lost it while it was delivered, or got it only to lose it.
                    return Some(self.look_again(lease, self.journal.clock.now()));
                }
                if is_new {
                    self.journal.tell_of(&view.about, EventKind::Delivered { sink: sink() });
                }
                None
            }
            Ok(Delivered::NotWanted { code, what }) => {
                let state = DeliveryState::NotWanted { code, what: what.clone() };
                if view.delivery.state != state {
                    self.journal.tell_of(&view.about, EventKind::NotWanted { sink: sink(), code, what });
                }
                self.set_delivery(lease, view, Delivery::new(None, state));
                None
            }
            Err(error) => Some(self.note_failure(lease, view, view.delivery.served.clone(), &error)),
        }
    }

    fn note_withdrawal(
        &self,
        lease: &Lease,
        view: &DeliveryView,
        served: Option<(Arc<Staple>, Vec<Site>)>,
        why: Withdrawal,
        done: Result<Withdrawn, SinkError>,
    ) -> Option<Task> {
        let confirmed = match done {
            Ok(withdrawn) => withdrawn == Withdrawn::Confirmed,
            Err(error) => return Some(self.note_failure(lease, view, served, &error)),
        };
        let sink = Arc::clone(&self.name);
        self.journal.tell_of(&view.about, EventKind::Withdrawn { sink, why, confirmed });
        self.set_delivery(lease, view, Delivery::new(None, DeliveryState::Withdrawn));
        None
    }

    /// A staple that is over is taken back even while its successor cannot be delivered. Returns whether it was.
    async fn end_what_is_served(&self, view: &DeliveryView, now: Timestamp) -> bool {
        let Some((staple, sites)) = &view.delivery.served else { return false };
        if self.last_moment(staple) > now {
            return false;
        }
        let why = Withdrawal::Expiring;
        // What fails here fails the next time, too, and is tried again with the delivery.
        let Ok(withdrawn) = in_time(self.sink.withdraw(&view.chain, sites, why)).await else { return false };
        let confirmed = withdrawn == Withdrawn::Confirmed;
        self.journal.tell_of(&view.about, EventKind::Withdrawn { sink: Arc::clone(&self.name), why, confirmed });
        true
    }

    fn note_failure(
        &self,
        lease: &Lease,
        view: &DeliveryView,
        served: Option<(Arc<Staple>, Vec<Site>)>,
        error: &SinkError,
    ) -> Task {
        let (code, what) = (error.code(), error.to_string());
        let failure = Failure { attempt: lease.task().attempt, ..Failure::default() };
        let now = self.journal.clock.now();
        let retry = self.refresh.retry_at(failure, now, rand::random());
        // Not after the end of what is served: then that is taken back.
        let ends = served.as_ref().map(|(staple, _)| self.last_moment(staple)).filter(|ends| *ends > now);
        let again = ends.map_or(retry, |ends| retry.min(ends));
        let served_until = served.as_ref().map(|(staple, _)| staple.expires()).filter(|until| *until > now);
        let delivery = Delivery::new(served, DeliveryState::Failed { code, what: what.clone() }).again(again);
        self.set_delivery(lease, view, delivery);
        let sink = Arc::clone(&self.name);
        self.journal.tell_of(&view.about, EventKind::DeliveryFailed { sink, code, what, again, served_until });
        lease.task().again(Due::After(again.since(now)), code.as_str())
    }

    /// Takes down what the sink has; returns whether it has lost something meanwhile.
    fn set_delivery(&self, lease: &Lease, view: &DeliveryView, delivery: Delivery) -> bool {
        let now = self.journal.clock.now();
        self.inventory.set_delivery(&lease.task().subject, self.number, view.losses, delivery, now)
    }

    /// The task that takes a staple back at its end, unless a newer one replaces the task before.
    fn look_again(&self, lease: &Lease, at: Timestamp) -> Task {
        let task = lease.task();
        Task::new(task.queue.clone(), task.subject.clone()).generation(task.generation).due(Due::At(at))
    }

    /// Listens for what the server loses, and has it delivered again; what could not be delivered is tried at once.
    pub(crate) async fn watch(&self, stop: CancellationToken) {
        loop {
            let lost = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                lost = self.sink.lost() => lost,
            };
            if let Err(error) = self.restore(&lost).await {
                self.journal.tell(EventKind::Internal { what: format!("{}: {error}", self.name) });
            }
        }
    }

    async fn restore(&self, lost: &Lost) -> Result<(), SchedulerError> {
        let now = self.journal.clock.now();
        let certificates = match lost {
            Lost::Nothing => Vec::new(),
            Lost::Everything => self.inventory.set_lost(self.number, None, now),
            Lost::Certificates(names) => self.inventory.set_lost(self.number, Some(names), now),
        };
        if !certificates.is_empty() {
            let sink = Arc::clone(&self.name);
            self.journal.tell(EventKind::ServerLost { sink, certificates: certificates.len() });
        }
        for chunk in certificates.chunks(CHUNK) {
            let mut step = Step::intake();
            step.puts.extend(chunk.iter().map(|(subject, generation)| {
                Task::new(queues::add(self.number), subject.clone()).generation(*generation)
            }));
            self.scheduler.commit(step).await?;
        }
        if matches!(lost, Lost::Everything | Lost::Nothing) {
            self.scheduler.hasten(Which::Queue(&queues::add(self.number))).await?;
        }
        Ok(())
    }
}
