//! What somebody else made of staples at a server: judged, heeded, and a reason to ask the CA.
//!
//! Another stapler, a deploy hook or an operator may know of a revocation that this process has not heard of yet. So a
//! staple that was taken away is not brought back from memory: the CA is asked first.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Adder, CHUNK};
use crate::event::EventKind;
use crate::inventory::{CertificateView, RenewalMemory, Standing};
use crate::ocsp::CertStatus;
use crate::queues;
use crate::scheduler::{SchedulerError, Step};
use crate::sink::{Change, Found, requirements_of};
use crate::staple::{Judgement, Staple, judge};
use crate::task::{Cause, Due, Subject, Task};
use crate::time::Timestamp;

impl Adder {
    /// Judges what was found, and has the CAs asked.
    pub(super) async fn changed(&self, changes: &[Change]) -> Result<(), SchedulerError> {
        let found: HashMap<&Subject, &Found> = changes.iter().map(|change| (&change.subject, &change.found)).collect();
        let mut tasks = Vec::new();
        let mut certificates = 0;
        for (subject, generation) in self.inventory.delivered_to(self.number, found.keys().copied()) {
            let Some(certificate) = self.inventory.certificate(&subject, generation) else { continue };
            // Of a revoked one the sink sees to it that nothing comes back.
            let is_out = matches!(certificate.standing, Standing::Revoked { .. } | Standing::Retired);
            let Some(found) = found.get(&subject).filter(|_| !is_out) else { continue };
            certificates += 1;
            tasks.extend(self.heed(&certificate, &subject, generation, found));
        }
        if certificates > 0 {
            let sink = Arc::clone(&self.name);
            self.journal.tell(EventKind::ServerChanged { sink, certificates });
        }
        for chunk in tasks.chunks(CHUNK) {
            let mut step = Step::intake();
            step.puts.extend(chunk.iter().cloned());
            self.scheduler.commit(step).await?;
        }
        Ok(())
    }

    /// Takes down what follows for one certificate; returns the tasks to put.
    fn heed(&self, certificate: &CertificateView, subject: &Subject, generation: u64, found: &Found) -> Vec<Task> {
        let now = self.journal.clock.now();
        let mut sinks = [self.number].into();
        match self.weigh(certificate, found, now) {
            Weighed::Newer(staple) => {
                self.inventory.set_changed(subject, self.number, false, now);
                (_, sinks) = self.inventory.set_staple(staple, RenewalMemory::default(), now, now);
            }
            Weighed::Revoked { status, this_update } => {
                self.journal.tell_of(&certificate.about, EventKind::Revoked { status, again: now });
                sinks = self.inventory.disown(subject, status, this_update, now, now);
            }
            Weighed::Withdrawn => self.inventory.set_changed(subject, self.number, true, now),
            Weighed::Worthless => self.inventory.set_changed(subject, self.number, false, now),
        }
        let mut tasks: Vec<Task> = queues::add_tasks(subject, generation, &sinks).collect();
        if let Some(pause) = self.inventory.doubt(subject, self.refresh.minimum_interval, now) {
            let ask = Task::new(self.responders.queue_for(&certificate.chain), subject.clone())
                .generation(generation)
                .due(if pause.is_zero() { Due::Now } else { Due::After(pause) })
                .cause(Cause::Requested);
            tasks.push(ask);
        }
        tasks
    }

    fn weigh(&self, certificate: &CertificateView, found: &Found, now: Timestamp) -> Weighed {
        let response = match found {
            Found::Withdrawn => return Weighed::Withdrawn,
            Found::Unreadable => return Weighed::Worthless,
            Found::Response(response) => response,
        };
        let Ok(judgement) = judge(response, &certificate.chain, now, &self.judging, None, &[]) else {
            return Weighed::Worthless;
        };
        let Judgement { status, facts, .. } = &judgement;
        let (status, this_update) = (*status, facts.this_update);
        let held = certificate.staple.as_ref();
        match status {
            // An older one may be of a hold that has ended since.
            CertStatus::Revoked { .. } if held.is_none_or(|held| held.this_update() <= this_update) => {
                Weighed::Revoked { status, this_update }
            }
            CertStatus::Good if certificate.disowned.is_none_or(|disowned| this_update > disowned) => {
                let asked = requirements_of(&self.sinks, &certificate.sinks);
                let is_better = |staple: &Staple| {
                    let is_newer = |held: &Arc<Staple>| {
                        held.this_update() < staple.this_update() && held.expires() <= staple.expires()
                    };
                    held.is_none_or(is_newer) && asked.check(staple, now).is_ok()
                };
                let staple = judgement.into_staple().filter(is_better);
                staple.map_or(Weighed::Worthless, |staple| Weighed::Newer(Arc::new(staple)))
            }
            _ => Weighed::Worthless,
        }
    }
}

/// What was found, by its worth.
enum Weighed {
    /// A good response that is newer than what is held, lasts as long, and that every server can take.
    Newer(Arc<Staple>),
    /// The CA's own word that the certificate is revoked, newer than what is held.
    Revoked { status: CertStatus, this_update: Timestamp },
    /// Nothing, or nothing that is served.
    Withdrawn,
    /// What is held is better.
    Worthless,
}
