//! The renewer: asks the CA's responders, judges the answer, and schedules *add* now and the next *renew*.

mod ask;
#[cfg(feature = "responder")]
mod named;
mod parts;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::chain::ChainError;
use crate::event::EventKind;
use crate::inventory::standing::Standing;
use crate::inventory::{CertificateView, SinkSet, Ticket};
use crate::lane::Lane;
use crate::queues;
use crate::reason::ReasonCode;
use crate::refresh::inputs::{Failure, Spread, Usable};
use crate::scheduler::{Lease, SchedulerError, Step};
use crate::sink::{SinkError, requirements_of, usable_by};
use crate::staple::Staple;
use crate::task::{Cause, Due, Queue, Task};
use crate::time::Timestamp;

use ask::{Believed, Refused};
#[cfg(feature = "responder")]
pub(crate) use named::NamedAnswer;
pub(crate) use parts::Renewer;

impl Renewer {
    /// Runs a lane for each queue that comes into use, so that a slow responder delays only its own certificates. `lane`
    /// makes the lane of a queue.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut opened: mpsc::UnboundedReceiver<Queue>,
        stop: CancellationToken,
        lane: impl Fn(Queue, usize) -> Lane,
    ) {
        // The channel never closes by itself: the renewer holds the responders, which open queues.
        while let Some(Some(queue)) = stop.run_until_cancelled(opened.recv()).await {
            let lane = lane(queue, self.per_responder);
            let renewer = Arc::clone(&self);
            let workers = lane.workers.clone();
            workers.spawn(lane.run(move |lease| Arc::clone(&renewer).work(lease)));
        }
    }

    /// Does one task *renew*.
    // The future of an `async fn` would have room for the lease twice.
    #[allow(clippy::manual_async_fn)]
    fn work(self: Arc<Self>, lease: Lease) -> impl Future<Output = ()> {
        async move {
            let subject = &lease.task().subject;
            let is_asked_now = lease.task().cause == Cause::Requested;
            // This renewal does not answer a request that arrives while it runs.
            let ticket = self.inventory.asked(subject);
            let renewed = self.renew(&lease, ticket).await;
            if is_asked_now && renewed.is_ok() {
                self.inventory.set_answered(subject, ticket);
            }
            match renewed {
                // Fenced: the certificate is gone, so its task is obsolete.
                Ok(()) | Err(SchedulerError::Fenced { .. }) => {}
                Err(error) => {
                    self.journal.tell(EventKind::Internal { what: format!("renew {subject}: {error}") });
                }
            }
        }
    }

    async fn renew(&self, lease: &Lease, ticket: Ticket) -> Result<(), SchedulerError> {
        let subject = &lease.task().subject;
        let Some(mut certificate) = self.inventory.certificate(subject, lease.task().generation) else {
            return self.scheduler.commit(Step::finish(lease)).await;
        };
        if certificate.retired {
            return self.scheduler.commit(Step::finish(lease)).await;
        }
        let now = self.journal.clock.now();
        if let Err(ChainError::Expired { not_after, .. }) = certificate.chain.check_usable(now) {
            self.journal.doubt_clock();
            if certificate.standing != Standing::Expired {
                self.tell(&certificate, EventKind::CertificateExpired { not_after });
            }
            let sinks = self.inventory.set_standing(subject, Standing::Expired, None, now);
            return self.finish_expired(lease, &sinks).await;
        }
        if certificate.standing == Standing::Expired {
            let sinks = self.inventory.revive(subject, now);
            let mut step = Step::intake();
            step.puts.extend(queues::add_tasks(subject, lease.task().generation, &sinks));
            self.scheduler.commit(step).await?;
            match self.inventory.certificate(subject, lease.task().generation) {
                Some(revived) => certificate = revived,
                None => return self.scheduler.commit(Step::finish(lease)).await,
            }
        }
        if lease.task().cause == Cause::ClockSet
            && let Some(at) = self.replan(&certificate, now)
        {
            self.inventory.set_standing(subject, certificate.standing.clone(), Some(at), now);
            if certificate.next.is_some_and(|next| next < at) {
                self.inventory.put_off(subject);
            }
            return self.scheduler.commit(Step::finish(lease).put(self.next(lease, Due::After(at.since(now))))).await;
        }
        if lease.task().cause == Cause::Found
            && let Some(planned) = self.planned(lease, &certificate, now)
        {
            return self.scheduler.commit(Step::finish(lease).put(planned)).await;
        }
        if let Some(at) = self.spread(lease, &certificate, now) {
            let task = self.next(lease, Due::After(at.since(now))).cause(Cause::Spread);
            self.inventory.set_standing(subject, certificate.standing.clone(), Some(at), now);
            return self.scheduler.commit(Step::finish(lease).put(task)).await;
        }
        let believed = self.ask(&certificate).await;
        match believed.and_then(|believed| self.believe(lease, &certificate, believed, ticket)) {
            Ok(step) => self.scheduler.commit(step).await,
            // Boxed, so that this future, which every renewal has, stays below a kilobyte: above it, allocators are slow.
            Err(refused) => Box::pin(self.fail(lease, &certificate, refused)).await,
        }
    }

    fn tell(&self, certificate: &CertificateView, kind: EventKind) {
        self.journal.tell_about(|| self.inventory.about(&certificate.chain), kind);
    }

    /// A later time for a renewal that is overdue together with many others, as after a suspend of the machine. Each renewal
    /// is spread once.
    fn spread(&self, lease: &Lease, certificate: &CertificateView, now: Timestamp) -> Option<Timestamp> {
        let Due::At(due) = lease.task().due else { return None };
        let held = certificate.staple.as_ref().filter(|_| certificate.standing == Standing::Good)?;
        if lease.task().cause != Cause::Regular {
            return None;
        }
        self.refresh.spread(self.usable(held, certificate), due, now, self.chance.draw())
    }

    /// When to renew after the clock was set: at the planned time if that is possible, otherwise as for a recycled staple.
    /// `None`: now, since no good staple is held, or the last renewal failed, perhaps because the clock was wrong.
    fn replan(&self, certificate: &CertificateView, now: Timestamp) -> Option<Timestamp> {
        let asked = requirements_of(&self.sinks, certificate.sinks.iter());
        let held = certificate.staple.as_ref().filter(|_| certificate.standing == Standing::Good)?;
        asked.check(held, now).ok()?;
        let usable = self.usable(held, certificate);
        let planned = certificate.next.filter(|next| *next > now && *next <= self.refresh.latest(Some(usable), now));
        // A due renewal is put off a few times only, so that a clock that is set again and again does not prevent it.
        let put_off = || match certificate.put_off {
            MOST_PUT_OFF.. => now,
            _ => self.refresh.renew_kept_at(usable, now, self.chance.place(certificate.chain.subject())),
        };
        let at = planned.unwrap_or_else(put_off);
        (at > now).then_some(at)
    }

    /// The planned renewal of a certificate that was found again.
    fn planned(&self, lease: &Lease, certificate: &CertificateView, now: Timestamp) -> Option<Task> {
        let asked = requirements_of(&self.sinks, certificate.sinks.iter());
        let held = certificate.staple.as_ref();
        if held.is_some_and(|staple| !asked.fits(staple)) {
            return None;
        }
        // A time that is too late was planned while the clock was wrong.
        let latest = match certificate.standing {
            Standing::Revoked { .. } => now + DISOWNED_CAP.min(self.refresh.maximum_interval),
            _ => self.refresh.latest(held.map(|staple| self.usable(staple, certificate)), now),
        };
        let next = certificate.next.filter(|next| *next > now && *next <= latest)?;
        let task = self.next(lease, Due::After(next.since(now)));
        Some(match &certificate.standing {
            Standing::Failing { attempts, .. } => Task { attempt: *attempts, ..task },
            _ => task,
        })
    }

    /// Records a believed answer, and returns the step that ends the renewal; or why the answer does not count.
    fn believe<'a>(
        &self,
        lease: &'a Lease,
        certificate: &CertificateView,
        believed: Believed,
        ticket: Ticket,
    ) -> Result<Step<'a>, Refused> {
        let subject = &lease.task().subject;
        let now = self.journal.clock.now();
        let Believed { status, staple, memory, url, received, retry_after, .. } = believed;
        let unusable = |code, what| {
            self.inventory.set_asked_at(subject, received.asked_at());
            Refused { retry_after, ..Refused::new(code, what) }
        };
        let Some(staple) = staple else {
            self.inventory.set_asked_at(subject, received.asked_at());
            let usable = Usable { from: believed.this_update, until: believed.until };
            let again = self.refresh.renew_at(usable, received, Spread::Jitter, self.chance.draw());
            let again = again.min(now + DISOWNED_CAP);
            if !matches!(certificate.standing, Standing::Revoked { .. }) {
                self.tell(certificate, EventKind::Revoked { status, again });
            }
            let sinks = self.inventory.disown(subject, status, believed.this_update, again, now);
            let mut step = Step::finish(lease).put(self.next(lease, Due::After(again.since(now))));
            step.puts.extend(queues::add_tasks(subject, lease.task().generation, &sinks));
            self.answer(lease, ticket);
            return Ok(step);
        };
        // Only a newer response ends a revocation: an older one comes from a cache, or from a server that is behind.
        if certificate.disowned.is_some_and(|disowned| staple.this_update() <= disowned) {
            let what = format!("{url}: good, but from before the answer that says revoked");
            return Err(unusable(ReasonCode::new("superseded"), what));
        }
        if let Some(unfit) = certificate.staple.as_ref().and_then(|held| self.loss(held, &staple, certificate, now)) {
            return Err(unusable(unfit.code(), format!("{url}: {unfit}")));
        }
        let asked = requirements_of(&self.sinks, certificate.sinks.iter());
        let staple = match &certificate.staple {
            // The held staple must meet the requirements of all sinks.
            Some(held) if asked.fits(held) && self.outlives(held, &staple, certificate, now) => Arc::clone(held),
            _ => staple,
        };
        let usable = self.usable(&staple, certificate);
        let spread = match certificate.standing {
            Standing::Good => Spread::Jitter,
            // The process that asked spreads the renewal. The others come after it.
            _ if !received.age.is_zero() => Spread::Jitter,
            _ => Spread::Interval,
        };
        let renew = self.refresh.renew_at(usable, received, spread, self.chance.draw());
        let (this_update, expires) = (staple.this_update(), staple.expires());
        let recovered = matches!(certificate.standing, Standing::Failing { .. });
        let (changed, sinks) = self.inventory.set_staple(staple, memory, renew, now);
        let event = EventKind::Renewed { url, this_update, expires, renew, changed, recovered, age: received.age };
        self.tell(certificate, event);
        let mut step = Step::finish(lease).put(self.next(lease, Due::After(renew.since(now))));
        step.puts.extend(queues::add_tasks(subject, lease.task().generation, &sinks));
        self.answer(lease, ticket);
        Ok(step)
    }

    /// Records which request the answer covers, before the adders can take their tasks: an adder that is faster would follow the
    /// request before, and the client would wait for ever.
    fn answer(&self, lease: &Lease, ticket: Ticket) {
        if lease.task().cause == Cause::Requested {
            self.inventory.set_answered(&lease.task().subject, ticket);
        }
    }

    async fn fail(&self, lease: &Lease, certificate: &CertificateView, refused: Refused) -> Result<(), SchedulerError> {
        let subject = &lease.task().subject;
        let now = self.journal.clock.now();
        let held = certificate.staple.as_ref().filter(|staple| staple.expires() > now);
        // A sink that cannot take the held staple has none, so the retry comes sooner.
        let asked = requirements_of(&self.sinks, certificate.sinks.iter());
        let mut failure = Failure::after(lease.task().attempt);
        failure.retry_after = refused.retry_after;
        failure.not_known = refused.not_known;
        failure.first_seen = Some(certificate.first_seen);
        failure.held = held.filter(|staple| asked.fits(staple)).map(|staple| self.usable(staple, certificate));
        let retry = self.refresh.retry_at(failure, now, self.chance.draw());
        let (queue, until) = (&lease.task().queue, refused.not_before);
        // One waiting certificate at a time probes a responder that is down; once it answers, the others ask. If another
        // responder sent a Retry-After, that time counts instead.
        let down = if refused.retry_after.is_none() { refused.down } else { Vec::new() };
        let probes = down.iter().filter_map(|down| down.wait(queue, subject, now));
        let again = match probes.min() {
            Some(at) => at.max(now + PROBE_PAUSE),
            None => until.map_or(retry, |until| retry.max(until)),
        };
        let attempts = lease.task().attempt.saturating_add(1);
        let standing = match &certificate.standing {
            // A revoked certificate stays revoked until the CA says otherwise.
            revoked @ Standing::Revoked { .. } => revoked.clone(),
            _ => Standing::Failing { code: refused.code, what: refused.what.clone(), attempts },
        };
        self.inventory.set_standing(subject, standing, Some(again), now);
        self.inventory.set_in_vain(subject);
        self.tell(
            certificate,
            EventKind::RenewalFailed {
                responder: queues::responder_of(queue).into(),
                code: refused.code,
                what: refused.what,
                attempts,
                again,
                held_until: held.map(|staple| staple.expires()),
            },
        );
        let task = lease.task().again(Due::After(again.since(now)), Cause::failed(refused.code));
        self.scheduler.commit(Step::finish(lease).put(task)).await?;
        // The responder may have answered before there was a task to hasten.
        if !down.iter().all(|down| down.awaits(subject)) {
            self.hasten(queue, subject).await;
        }
        Ok(())
    }

    /// Ends the renewals of an expired certificate. A regular check stays, because the clock may be wrong.
    async fn finish_expired(&self, lease: &Lease, sinks: &SinkSet) -> Result<(), SchedulerError> {
        let mut step = Step::finish(lease).put(self.next(lease, Due::After(EXPIRED_LOOK)));
        step.puts.extend(queues::add_tasks(&lease.task().subject, lease.task().generation, sinks));
        self.scheduler.commit(step).await
    }

    /// Why a new staple does not replace the held one: a sink that can serve the held one cannot serve the new one.
    fn loss(&self, held: &Staple, new: &Staple, certificate: &CertificateView, now: Timestamp) -> Option<SinkError> {
        let sinks = certificate.sinks.iter().filter_map(|sink| self.sinks.get(sink));
        let mut served =
            sinks.map(|sink| sink.requirements().in_service()).filter(|asked| asked.check(held, now).is_ok());
        served.find_map(|asked| asked.check(new, now).err())
    }

    /// Whether the held staple stays: it lasts longer than the new one, and either it is newer, since a cache or one of the
    /// CA's servers may be behind, or less than the minimum validity remains of the new one.
    fn outlives(&self, held: &Staple, new: &Staple, certificate: &CertificateView, now: Timestamp) -> bool {
        let is_newer = held.this_update() > new.this_update();
        let lasts_longer = held.expires() > new.expires() || is_newer && held.expires() == new.expires();
        let remains = self.usable(new, certificate).until.since(now);
        lasts_longer && (is_newer || remains < self.refresh.minimum_validity)
    }

    /// The next renewal after a success. Callers set a delay and not an instant, so that setting a clock back does not delay
    /// it.
    fn next(&self, lease: &Lease, due: Due) -> Task {
        let task = lease.task();
        Task::new(task.queue.clone(), task.subject.clone()).generation(task.generation).due(due)
    }

    fn usable(&self, staple: &Staple, certificate: &CertificateView) -> Usable {
        usable_by(&self.sinks, certificate.sinks.iter(), staple)
    }
}

/// How many times in a row a renewal is put off because the clock was set.
const MOST_PUT_OFF: u8 = 3;
/// The longest time between requests about a revoked certificate: a hold can end.
const DISOWNED_CAP: Duration = Duration::from_secs(86_400);
/// The shortest time before a waiting certificate probes a responder that is down.
const PROBE_PAUSE: Duration = Duration::from_secs(30);
/// The time between checks whether an expired certificate is still expired.
const EXPIRED_LOOK: Duration = Duration::from_secs(3600);
