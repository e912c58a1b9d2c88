//! Changes of staples by other clients of a server. The adder judges what the server has now, and the CA is asked.
//!
//! Another stapler, a deploy hook or an operator may know of a revocation that this process does not know yet. So a staple
//! that another client withdrew is not delivered again from memory: the CA is asked first.

use std::collections::HashMap;
use std::sync::Arc;

use super::Adder;
use crate::event::EventKind;
use crate::inventory::standing::Standing;
use crate::inventory::{CertificateView, Foreign, RenewalMemory, SinkSet};
use crate::ocsp::CertStatus;
use crate::queues;
use crate::scheduler::SchedulerError;
use crate::sink::lost::{Change, Found};
use crate::sink::requirements_of;
use crate::staple::{Judge, Judgement, Staple};
use crate::task::{Cause, Due, Subject, Task};
use crate::time::Timestamp;

impl Adder {
    /// Judges what the server has now, and schedules requests to the CAs.
    pub(super) async fn changed(&self, changes: &[Change]) -> Result<(), SchedulerError> {
        let found: HashMap<&Subject, &Found> = changes.iter().map(|change| (&change.subject, &change.found)).collect();
        // A certificate whose first delivery is about to be recorded is not among those that were delivered.
        self.inventory.note_change(self.number);
        let mut tasks = Vec::new();
        let mut certificates = 0;
        for (subject, generation) in self.inventory.delivered_to(self.number, found.keys().copied()) {
            let Some(certificate) = self.inventory.certificate(&subject, generation) else { continue };
            // The sink itself keeps staples of revoked certificates out of service.
            let is_out = matches!(certificate.standing, Standing::Revoked { .. } | Standing::Retired);
            let Some(found) = found.get(&subject).filter(|_| !is_out) else { continue };
            certificates += 1;
            tasks.extend(self.heed(&certificate, &subject, generation, found));
        }
        if certificates > 0 {
            let sink = Arc::clone(&self.name);
            self.journal.tell(EventKind::ServerChanged { sink, certificates });
        }
        queues::put_all(&*self.scheduler, &tasks).await
    }

    /// Records the consequences for one certificate. Returns the tasks to put.
    fn heed(&self, certificate: &CertificateView, subject: &Subject, generation: u64, found: &Found) -> Vec<Task> {
        let now = self.journal.clock.now();
        let mut sinks = SinkSet::from_iter([self.number]);
        match self.weigh(certificate, found, now) {
            Weighed::Newer(staple) => {
                self.inventory.set_changed(subject, self.number, Foreign::Replaced, now);
                (_, sinks) = self.inventory.set_staple(staple, RenewalMemory::default(), now, now);
            }
            Weighed::Revoked { status, this_update } => {
                let event = EventKind::Revoked { status, again: now };
                self.journal.tell_about(|| self.inventory.about(&certificate.chain), event);
                sinks = self.inventory.disown(subject, status, this_update, now, now);
            }
            Weighed::Withdrawn => self.inventory.set_changed(subject, self.number, Foreign::Withdrawn, now),
            Weighed::Worthless => self.inventory.set_changed(subject, self.number, Foreign::Replaced, now),
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
        let Ok(judgement) = Judge::new(&certificate.chain).at(now).policy(&self.judging).judge(response.clone()) else {
            return Weighed::Worthless;
        };
        let Judgement { status, facts, .. } = &judgement;
        let (status, this_update) = (*status, facts.this_update);
        let held = certificate.staple.as_ref();
        match status {
            // An older response may belong to a hold that has ended since.
            CertStatus::Revoked { .. } if held.is_none_or(|held| held.this_update() <= this_update) => {
                Weighed::Revoked { status, this_update }
            }
            CertStatus::Good if certificate.disowned.is_none_or(|disowned| this_update > disowned) => {
                let asked = requirements_of(&self.sinks, certificate.sinks.iter());
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

/// The judgement on what the server has now.
enum Weighed {
    /// A good response that is newer than the held one, lasts as long, and meets the requirements of every sink.
    Newer(Arc<Staple>),
    /// A response of the CA that the certificate is revoked, newer than the held one.
    Revoked { status: CertStatus, this_update: Timestamp },
    /// No response, or one that the server does not staple.
    Withdrawn,
    /// Something worse than the held response.
    Worthless,
}
