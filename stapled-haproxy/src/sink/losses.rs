//! What one HAProxy process has lost of what it was given, and whether those can be tried again that could not be given.

use std::sync::Arc;

use bytes::Bytes;
use stapled_core::ocsp::{CertStatus, OcspResponse};
use stapled_core::sink::{Change, Found, Lost, SinkError};
use stapled_core::staple::{Judgement, judge};
use tokio::time::Instant;

use crate::cli::command::Command;
use crate::cli::reply::{self, ProbeReply, Shown};
use crate::instance::channel::{SLACK, lock};
use crate::instance::writer::{self, BATCH};
use crate::reports;
use crate::sink::comparison::{Agreement, Compared};
use crate::sink::haproxy_sink::requirements;
use crate::sink::process_sink::{Given, MARGIN, Peer, TOLD_AGAIN, Taken, WANTED};

impl Peer {
    /// Looks what has changed, at most once in the look interval; returns what was lost, if anything was.
    pub(crate) async fn inspect(&self) -> Option<Lost> {
        let is_concerned = {
            let mut memory = lock(&self.memory);
            memory.wanted.retain(|_, (_, since)| since.elapsed() < WANTED);
            let is_owed = !memory.wanted.is_empty() || !memory.mistaken.is_empty();
            !memory.delivered.is_empty() || is_owed || !memory.withdrawn.is_empty()
        };
        let looked = self.writer.round(self.settings.look_interval, is_concerned).await;
        if self.is_replaced() {
            return Some(Lost::Everything);
        }
        match looked {
            Err(error @ SinkError::Unreachable { .. }) => {
                self.settings.reporters.tell(reports::not_surveyed(&error));
                return None;
            }
            Err(error) => self.settings.reporters.tell(reports::not_surveyed(&error)),
            Ok(()) => {}
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
        (self.is_wanted_there() || self.is_corrected() || self.is_unblocked().await || self.is_back())
            .then_some(Lost::Nothing)
    }

    /// Whether another process answers now than the one that was given the staples.
    pub(crate) fn is_replaced(&self) -> bool {
        let processes = self.writer.processes();
        let current = processes.borrow();
        let Some(current) = current.as_ref() else { return false };
        let mut memory = lock(&self.memory);
        let is_replaced = memory.process.as_ref().is_some_and(|known| !known.is_same(current));
        if is_replaced {
            memory.delivered.clear();
            memory.withdrawn.clear();
            memory.foreign.clear();
            memory.unshown.clear();
            memory.wanted.clear();
            memory.changes.clear();
            memory.mistaken.clear();
            memory.missed = false;
            memory.blocked = false;
        }
        memory.process = Some(current.clone());
        is_replaced
    }

    /// Certificates that are not loaded any more, or not as they were: others have replaced them, and with them the
    /// staples are lost.
    fn missing(&self) -> Vec<Arc<str>> {
        let mut memory = lock(&self.memory);
        let memory = &mut *memory;
        self.writer.register(|register| {
            if !register.is_complete() || register.generation() == memory.compared {
                return Vec::new();
            }
            memory.compared = register.generation();
            if register.certificates().next().is_none() && register.len() > 0 {
                return Vec::new();
            }
            let is_lost = |cert_id: &Bytes, given: &Given| {
                let found = register.find(&given.identity.serial, &given.identity.fingerprint);
                found.is_empty() || found.iter().any(|(_, loaded)| loaded.response_key != *cert_id)
            };
            let lost: Vec<Bytes> = memory
                .delivered
                .iter()
                .filter(|(cert_id, given)| is_lost(cert_id, given))
                .map(|(cert_id, _)| cert_id.clone())
                .collect();
            lost.iter().filter_map(|cert_id| memory.delivered.remove(cert_id)).flat_map(|given| given.names).collect()
        })
    }

    /// Notes the certificates for which HAProxy shows another staple than it was given: new ones are compared at once, all of
    /// them at a slow pace. What was noted stays until somebody is told; what was not compared when this is dropped is compared
    /// the next time.
    async fn compare(&self) {
        let is_time = {
            let mut memory = lock(&self.memory);
            let now = Instant::now();
            let compare_at = *memory.compare_at.get_or_insert(now + self.settings.compare_interval);
            compare_at <= now
        };
        self.compare_those(is_time).await;
        if is_time {
            lock(&self.memory).compare_at = Some(Instant::now() + self.settings.compare_interval);
        }
    }

    async fn compare_those(&self, is_time: bool) {
        let (given, taken) = {
            let memory = lock(&self.memory);
            if !is_time && memory.unshown.is_empty() {
                return;
            }
            let taken = memory.withdrawn.iter().filter(|_| is_time);
            let taken: Vec<(Bytes, Taken)> = taken.map(|(cert_id, taken)| (cert_id.clone(), taken.clone())).collect();
            let all = memory.delivered.iter().filter(|(cert_id, _)| is_time || memory.unshown.contains(*cert_id));
            let given: Vec<(Bytes, Given)> = all.map(|(cert_id, given)| (cert_id.clone(), given.clone())).collect();
            (given, taken)
        };
        self.withdraw_again(&taken).await;
        let Some(process) = self.writer.processes().borrow().clone() else { return };
        for given in given.chunks(BATCH) {
            let commands = given.iter().map(|(cert_id, _)| writer::show(cert_id, &process)).collect();
            let (replies, process) = match self.writer.ask(commands).await {
                Ok(said) => said,
                Err(error) => {
                    self.settings.reporters.tell(reports::not_surveyed(&error));
                    lock(&self.memory).unshown.extend(given.iter().map(|(cert_id, _)| cert_id.clone()));
                    break;
                }
            };
            for ((cert_id, given), reply) in given.iter().zip(replies) {
                let shown = writer::shown(&reply, &process);
                let is_lost = match Compared::from(given).with(&shown) {
                    Agreement::Same | Agreement::Unknown => false,
                    Agreement::Older | Agreement::Nothing => true,
                    Agreement::Newer => !self.is_as_good(cert_id, given, &shown),
                };
                let mut memory = lock(&self.memory);
                let is_that = |now: &Given| now.response == given.response;
                if !memory.delivered.get(cert_id).is_some_and(is_that) {
                    continue;
                }
                memory.unshown.remove(cert_id);
                if is_lost {
                    memory.delivered.remove(cert_id);
                    let change = |name: &Arc<str>| Change::new(Arc::clone(name), self.found(&shown));
                    memory.changes.extend(given.names.first().map(change));
                }
            }
        }
    }

    /// What is shown in place of a staple. A response that HAProxy does not staple takes the staple out of service, as
    /// another stapler's withdrawal does.
    fn found(&self, shown: &Shown) -> Found {
        let limit = self.settings.clock.now() + MARGIN;
        match shown {
            Shown::Nothing => Found::Withdrawn,
            Shown::Response(response) => {
                let is_unserved = match OcspResponse::from_der(response) {
                    Ok(OcspResponse::Basic(basic)) => basic.responses.first().is_some_and(|single| {
                        single.status == CertStatus::Good && single.next_update.is_some_and(|next| next <= limit)
                    }),
                    _ => false,
                };
                if is_unserved { Found::Withdrawn } else { Found::Response(Bytes::copy_from_slice(response)) }
            }
            // In words only, a revocation cannot be verified: the CA is asked.
            Shown::Times { is_good, next_update, .. } if !is_good || *next_update <= limit.to_string() => {
                Found::Withdrawn
            }
            _ => Found::Unreadable,
        }
    }

    /// Whether somebody else's newer response will do: where HAProxy shows it byte for byte, it is verified, and has no
    /// certificates that could make a client refuse it; otherwise it is replaced once.
    fn is_as_good(&self, cert_id: &Bytes, given: &Given, shown: &Shown) -> bool {
        match shown {
            Shown::Response(response) => {
                let (response, now) = (Bytes::copy_from_slice(response), self.settings.clock.now());
                let judged = judge(&response, &given.chain, now, &self.settings.judge_policy, None, &[]);
                let Some(staple) = judged.ok().and_then(Judgement::into_staple) else { return false };
                let fits = requirements(self.settings.max_size).check(&staple, now + SLACK).is_ok();
                fits && *staple.response() == response && staple.expires() >= given.next_update
            }
            Shown::Times { is_good, this_update, next_update, certificates } => {
                let times = (this_update.clone(), next_update.clone());
                // More certificates than a signer's are some that no client needs, and that may make it refuse.
                let is_longer = *is_good && *certificates <= 1 && *next_update >= given.next_update.to_string();
                is_longer && lock(&self.memory).foreign.insert(cert_id.clone(), times.clone()) == Some(times)
            }
            _ => false,
        }
    }

    /// Takes from HAProxy again what somebody else has brought for a certificate that is revoked.
    async fn withdraw_again(&self, taken: &[(Bytes, Taken)]) {
        let Some(process) = self.writer.processes().borrow().clone() else { return };
        let mut brought = Vec::new();
        for taken in taken.chunks(BATCH) {
            let commands = taken.iter().map(|(cert_id, _)| writer::show(cert_id, &process)).collect();
            // Who does not answer is asked at the next look.
            let Ok((replies, process)) = self.writer.ask(commands).await else { break };
            let compared = taken.iter().zip(replies).filter(|((_, taken), reply)| {
                let agreement = Compared::from(taken).with(&writer::shown(reply, &process));
                matches!(agreement, Agreement::Older | Agreement::Newer)
            });
            brought.extend(compared.map(|((_, taken), _)| taken));
        }
        for taken in brought {
            let report = match self.withdraw(&taken.chain, true).await {
                Ok(()) => reports::withdrawn_again(self.route()),
                Err(error) => reports::not_withdrawn_again(self.route(), &error),
            };
            self.settings.reporters.tell_of(&taken.chain, report);
        }
    }

    /// Whether something is loaded now that could not be delivered since it was not.
    fn is_wanted_there(&self) -> bool {
        let mut memory = lock(&self.memory);
        let memory = &mut *memory;
        if memory.wanted.is_empty() {
            return false;
        }
        self.writer.register(|register| {
            let there: Vec<String> = memory
                .wanted
                .iter()
                .filter(|(_, (identity, _))| {
                    let found = register.find(&identity.serial, &identity.fingerprint);
                    found.iter().any(|(_, loaded)| !loaded.is_unused)
                })
                .map(|(serial, _)| serial.clone())
                .collect();
            for serial in &there {
                memory.wanted.remove(serial);
            }
            if memory.wanted.is_empty() {
                register.unwatch_all();
            }
            !there.is_empty()
        })
    }

    /// Whether a certificate is loaded otherwise than it was when HAProxy took another certificate for its issuer.
    fn is_corrected(&self) -> bool {
        let mut memory = lock(&self.memory);
        let before = memory.mistaken.len();
        self.writer.register(|register| {
            memory.mistaken.retain(|name, then| register.loaded(name).is_some_and(|now| now == then));
        });
        memory.mistaken.len() < before
    }

    /// Whether the transaction is over that was in the way.
    async fn is_unblocked(&self) -> bool {
        if !lock(&self.memory).blocked {
            return false;
        }
        let Ok((replies, _)) = self.writer.ask(vec![Command::probe_transaction()]).await else { return false };
        let is_over = replies.iter().any(|reply| reply::probe(reply) == ProbeReply::None);
        if is_over {
            lock(&self.memory).blocked = false;
        }
        is_over
    }

    /// Whether somebody answers again after deliveries that reached nobody. At most every five seconds, so that a server
    /// that answers questions and takes nothing is not pestered.
    fn is_back(&self) -> bool {
        let mut memory = lock(&self.memory);
        let is_back = memory.missed && memory.told_at.is_none_or(|at| at.elapsed() >= TOLD_AGAIN);
        if is_back {
            memory.missed = false;
            memory.told_at = Some(Instant::now());
        }
        is_back
    }
}
