//! The staples that one process has lost, and the failed deliveries that can be retried.

use bytes::Bytes;
use stapled_core::ocsp::{CertStatus, OcspResponse};
use stapled_core::sink::lost::{Change, Found};
use stapled_core::sink::{Lost, Withdrawal};
use stapled_core::staple::{Judge, Judgement};
use stapled_core::task::Subject;
use tokio::time::Instant;

use crate::cli::process::Process;
use crate::cli::reply::response::ShownResponse;
use crate::cli::reply::transaction::ProbeReply;
use crate::instance::deadline::SLACK;
use crate::instance::lock::lock;
use crate::instance::survey;
use crate::instance::writer::BATCH;
use crate::reports;
use crate::sink::comparison::{Comparison, Expected};
use crate::sink::memory::{Delivered, Withdrawn};
use crate::sink::process_sink::{ProcessSink, REFUSED_FOR, REPORT_INTERVAL};
use crate::sink::requirements::{MARGIN, requirements};

/// The staples that are compared in one look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Staples that HAProxy has not shown yet.
    Unshown,
    /// All staples and withdrawals.
    All,
}

impl ProcessSink {
    /// Looks at most once in the look interval for changes; returns a loss, if there is one.
    pub(crate) async fn look_for_losses(&self) -> Option<Lost> {
        let scope = {
            let mut memory = lock(&self.memory);
            memory.refused.retain(|_, (_, since)| since.elapsed() < REFUSED_FOR);
            let is_idle = memory.refused.is_empty()
                && memory.wrong_issuer.is_empty()
                && memory.delivered.is_empty()
                && memory.withdrawn.is_empty();
            if is_idle { survey::Scope::Process } else { survey::Scope::Certificates }
        };
        let looked = self.survey.round(self.settings.look_interval, scope).await;
        if self.is_replaced() {
            return Some(Lost::Everything);
        }
        if let Err(error) = looked {
            let is_unreachable = error.is_unreachable();
            self.settings.reporters.tell(reports::not_surveyed(&self.failure(error)));
            if is_unreachable {
                return None;
            }
        }
        let missing = self.missing();
        if !missing.is_empty() {
            return Some(Lost::Certificates(missing));
        }
        self.compare().await;
        let changes = std::mem::take(&mut lock(&self.memory).changes);
        if !changes.is_empty() {
            return Some(Lost::Changed(changes));
        }
        let can_retry = self.is_refused_loaded()
            || self.is_issuer_corrected()
            || self.is_unblocked().await
            || self.is_reachable_again();
        can_retry.then_some(Lost::Retry)
    }

    /// Whether another process answers now than the one that was given the staples.
    fn is_replaced(&self) -> bool {
        let processes = self.channel.processes();
        let current = processes.borrow();
        current.as_ref().is_some_and(|current| lock(&self.memory).is_replaced_by(current))
    }

    /// The certificates that are not loaded any more, or not as they were: another client has replaced them, and their
    /// staples are lost.
    fn missing(&self) -> Vec<Subject> {
        let mut memory = lock(&self.memory);
        let memory = &mut *memory;
        self.survey.loaded(|loaded| {
            if !loaded.is_complete() || loaded.generation() == memory.compared {
                return Vec::new();
            }
            memory.compared = loaded.generation();
            if loaded.certificates().next().is_none() && loaded.len() > 0 {
                return Vec::new();
            }
            let is_lost = |cert_id: &Bytes, delivered: &Delivered| {
                let found = loaded.find(&delivered.identity);
                found.is_empty() || found.iter().any(|(_, loaded)| !loaded.takes_responses_for(cert_id))
            };
            let lost = memory.delivered.iter().filter(|(cert_id, delivered)| is_lost(cert_id, delivered));
            let lost: Vec<Bytes> = lost.map(|(cert_id, _)| cert_id.clone()).collect();
            let lost = lost.iter().filter_map(|cert_id| memory.delivered.remove(cert_id));
            lost.map(|delivered| delivered.chain.subject().clone()).collect()
        })
    }

    /// Notes the certificates for which HAProxy shows another staple than it was given. New staples are compared at once,
    /// all of them once in the compare interval. Notes stay until they are reported; staples that were not compared when
    /// this future was dropped are compared the next time.
    async fn compare(&self) {
        let scope = {
            let mut memory = lock(&self.memory);
            let now = Instant::now();
            let compare_at = *memory.compare_at.get_or_insert(now + self.settings.compare_interval);
            if compare_at <= now { Scope::All } else { Scope::Unshown }
        };
        self.compare_within(scope).await;
        if scope == Scope::All {
            lock(&self.memory).compare_at = Some(Instant::now() + self.settings.compare_interval);
        }
    }

    async fn compare_within(&self, scope: Scope) {
        let is_all = scope == Scope::All;
        let (delivered, withdrawn) = {
            let memory = lock(&self.memory);
            if !is_all && memory.unshown.is_empty() {
                return;
            }
            let withdrawn = memory.withdrawn.iter().filter(|_| is_all);
            let withdrawn: Vec<(Bytes, Withdrawn)> =
                withdrawn.map(|(cert_id, withdrawn)| (cert_id.clone(), withdrawn.clone())).collect();
            let delivered = memory.delivered.iter().filter(|(cert_id, _)| is_all || memory.unshown.contains(*cert_id));
            let delivered: Vec<(Bytes, Delivered)> =
                delivered.map(|(cert_id, delivered)| (cert_id.clone(), delivered.clone())).collect();
            (delivered, withdrawn)
        };
        let Some(process) = self.channel.processes().borrow().clone() else { return };
        self.withdraw_again(&withdrawn, &process).await;
        for batch in delivered.chunks(BATCH) {
            match self.channel.show_responses(batch.iter().map(|(cert_id, _)| cert_id.as_ref()), &process).await {
                Ok(shown) => {
                    for ((cert_id, delivered), shown) in batch.iter().zip(shown) {
                        self.compare_one(cert_id, delivered, &shown);
                    }
                }
                Err(error) => {
                    self.settings.reporters.tell(reports::not_surveyed(&self.failure(error)));
                    lock(&self.memory).unshown.extend(batch.iter().map(|(cert_id, _)| cert_id.clone()));
                    break;
                }
            }
        }
    }

    fn compare_one(&self, cert_id: &Bytes, delivered: &Delivered, shown: &ShownResponse) {
        let is_lost = match Comparison::of(&Expected::from(delivered), shown) {
            Comparison::Same | Comparison::Unknown => false,
            Comparison::Older | Comparison::Missing => true,
            Comparison::Newer => !self.is_as_good(cert_id, delivered, shown),
        };
        let mut memory = lock(&self.memory);
        let is_that = |now: &Delivered| now.response == delivered.response;
        if !memory.delivered.get(cert_id).is_some_and(is_that) {
            return;
        }
        memory.unshown.remove(cert_id);
        if is_lost {
            memory.delivered.remove(cert_id);
            memory.changes.push(Change::new(delivered.chain.subject().clone(), self.found(shown)));
        }
    }

    /// The meaning of a shown response that takes the place of a staple. A response that HAProxy does not staple withdraws the
    /// staple, as another stapler's withdrawal does.
    fn found(&self, shown: &ShownResponse) -> Found {
        let limit = self.settings.clock.now() + MARGIN;
        match shown {
            ShownResponse::None => Found::Withdrawn,
            ShownResponse::Bytes(response) => {
                let is_unserved = match OcspResponse::from_der(response) {
                    Ok(OcspResponse::Basic(basic)) => basic.responses.first().is_some_and(|single| {
                        single.status == CertStatus::Good && single.next_update.is_some_and(|next| next <= limit)
                    }),
                    _ => false,
                };
                if is_unserved { Found::Withdrawn } else { Found::Response(Bytes::copy_from_slice(response)) }
            }
            // As text, a revocation cannot be verified: the CA is asked.
            ShownResponse::Times { is_good, next_update, .. } if !is_good || next_update.unix() <= limit.unix() => {
                Found::Withdrawn
            }
            _ => Found::Unreadable,
        }
    }

    /// Whether a newer foreign response is as good as the delivered one. If HAProxy shows its bytes, it is verified, and
    /// must have no certificates that could make a client refuse it. Otherwise it is replaced once.
    fn is_as_good(&self, cert_id: &Bytes, delivered: &Delivered, shown: &ShownResponse) -> bool {
        match shown {
            ShownResponse::Bytes(response) => {
                let (response, now) = (Bytes::copy_from_slice(response), self.settings.clock.now());
                let judged =
                    Judge::new(&delivered.chain).at(now).policy(&self.settings.judge_policy).judge(response.clone());
                let Some(staple) = judged.ok().and_then(Judgement::into_staple) else { return false };
                let fits = requirements(self.settings.max_size).check(&staple, now + SLACK).is_ok();
                fits && *staple.response() == response && staple.expires() >= delivered.next_update
            }
            ShownResponse::Times { is_good, this_update, next_update, certificates } => {
                let times = (*this_update, *next_update);
                // No client needs more certificates than the signer's, and some clients refuse them.
                let is_longer = *is_good && *certificates <= 1 && next_update.unix() >= delivered.next_update.unix();
                is_longer && lock(&self.memory).replaced.insert(cert_id.clone(), times) == Some(times)
            }
            _ => false,
        }
    }

    /// Withdraws foreign staples of revoked certificates.
    async fn withdraw_again(&self, withdrawn: &[(Bytes, Withdrawn)], process: &Process) {
        let mut foreign = Vec::new();
        for batch in withdrawn.chunks(BATCH) {
            let cert_ids = batch.iter().map(|(cert_id, _)| cert_id.as_ref());
            // Without a reply they are compared again at the next look.
            let Ok(shown) = self.channel.show_responses(cert_ids, process).await else { break };
            let compared = batch.iter().zip(shown).filter(|((_, withdrawn), shown)| {
                let comparison = Comparison::of(&Expected::from(&*withdrawn.token), shown);
                matches!(comparison, Comparison::Older | Comparison::Newer)
            });
            foreign.extend(compared.map(|((_, withdrawn), _)| withdrawn));
        }
        for withdrawn in foreign {
            let report = match self.withdraw(&withdrawn.chain, Withdrawal::Revoked).await {
                Ok(()) => reports::withdrawn_again(self.route()),
                Err(failure) => reports::not_withdrawn_again(self.route(), &failure),
            };
            self.settings.reporters.tell_of(&withdrawn.chain, report);
        }
    }

    /// Whether a certificate is loaded now whose delivery was refused because it was not.
    fn is_refused_loaded(&self) -> bool {
        let mut memory = lock(&self.memory);
        if memory.refused.is_empty() {
            return false;
        }
        self.survey.loaded(|loaded| {
            let before = memory.refused.len();
            memory.refused.retain(|_, (identity, _)| loaded.find(identity).iter().all(|(_, loaded)| loaded.is_unused));
            if memory.refused.is_empty() {
                loaded.unwatch_all();
            }
            memory.refused.len() < before
        })
    }

    /// Whether a certificate is loaded otherwise than when HAProxy took another certificate for its issuer.
    fn is_issuer_corrected(&self) -> bool {
        let mut memory = lock(&self.memory);
        let before = memory.wrong_issuer.len();
        self.survey.loaded(|loaded| {
            memory.wrong_issuer.retain(|name, then| loaded.loaded(name).is_some_and(|now| now == then));
        });
        memory.wrong_issuer.len() < before
    }

    /// Whether the foreign transaction is over that was in the way of a delivery.
    async fn is_unblocked(&self) -> bool {
        if !lock(&self.memory).blocked {
            return false;
        }
        let is_over = matches!(self.channel.probe_transaction().await, Ok(Some(ProbeReply::None)));
        if is_over {
            lock(&self.memory).blocked = false;
        }
        is_over
    }

    /// Whether the process answers after deliveries that reached none. At most once in the report interval, because a
    /// server may answer questions and take no response.
    fn is_reachable_again(&self) -> bool {
        let mut memory = lock(&self.memory);
        let is_due = memory.reported_at.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        let is_again = memory.unreachable && is_due;
        if is_again {
            memory.unreachable = false;
            memory.reported_at = Some(Instant::now());
        }
        is_again
    }
}
