//! What one HAProxy process has lost of what it was given, and whether those can be tried again that could not be given.

use std::sync::Arc;

use bytes::Bytes;
use stapled_core::sink::{Lost, SinkError};
use tokio::time::Instant;

use crate::agreement::{Agreement, Compared};
use crate::command::Command;
use crate::peer::{Given, Peer, TOLD_AGAIN, WANTED};
use crate::reply::{self, ProbeReply};
use crate::shift::{self, BATCH};
use crate::writer::lock;

impl Peer {
    /// Looks what has changed, at most once in the look interval; returns what was lost, if anything was.
    pub(crate) async fn inspect(&self) -> Option<Lost> {
        let is_concerned = {
            let mut memory = lock(&self.memory);
            memory.wanted.retain(|_, (_, since)| since.elapsed() < WANTED);
            !memory.delivered.is_empty() || !memory.wanted.is_empty()
        };
        let looked = self.writer.round(self.settings.look_interval, is_concerned).await;
        if self.is_replaced() {
            return Some(Lost::Everything);
        }
        match looked {
            Err(error @ SinkError::Unreachable { .. }) => {
                tracing::debug!(sink = %self.route(), %error, "cannot look");
                return None;
            }
            Err(error) => tracing::debug!(sink = %self.route(), %error, "cannot look at certificates"),
            Ok(()) => {}
        }
        let mut missing = self.missing();
        missing.extend(self.changed().await);
        if !missing.is_empty() {
            return Some(Lost::Certificates(missing));
        }
        (self.is_wanted_there() || self.is_unblocked().await || self.is_back()).then_some(Lost::Nothing)
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
            memory.unshown.clear();
            memory.wanted.clear();
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

    /// Certificates for which HAProxy shows another staple than it was given: new ones are compared at once, all of them at
    /// a slow pace.
    async fn changed(&self) -> Vec<Arc<str>> {
        let given: Vec<(Bytes, Given)> = {
            let mut memory = lock(&self.memory);
            let now = Instant::now();
            let is_time = memory.compare_at.is_some_and(|at| at <= now);
            if is_time || memory.compare_at.is_none() {
                memory.compare_at = Some(now + self.settings.compare_interval);
            }
            if !is_time && memory.unshown.is_empty() {
                return Vec::new();
            }
            let all = memory.delivered.iter().filter(|(cert_id, _)| is_time || memory.unshown.contains(*cert_id));
            let given = all.map(|(cert_id, given)| (cert_id.clone(), given.clone())).collect();
            memory.unshown.clear();
            given
        };
        let Some(process) = self.writer.processes().borrow().clone() else { return Vec::new() };
        let mut names = Vec::new();
        for given in given.chunks(BATCH) {
            let commands = given.iter().map(|(cert_id, _)| shift::show(cert_id, &process)).collect();
            let (replies, process) = match self.writer.ask(commands).await {
                Ok(said) => said,
                Err(error) => {
                    tracing::debug!(sink = %self.route(), %error, "cannot compare");
                    lock(&self.memory).unshown.extend(given.iter().map(|(cert_id, _)| cert_id.clone()));
                    break;
                }
            };
            for ((cert_id, given), reply) in given.iter().zip(replies) {
                let compared = Compared::from(given);
                // Somebody else's newer one is as good.
                if matches!(compared.with(&shift::shown(&reply, &process)), Agreement::Older | Agreement::Nothing) {
                    let mut memory = lock(&self.memory);
                    let is_that = |now: &Given| now.response == given.response;
                    if memory.delivered.get(cert_id).is_some_and(is_that) {
                        memory.delivered.remove(cert_id);
                        names.extend(given.names.iter().map(Arc::clone));
                    }
                }
            }
        }
        names
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
                .filter(|(_, (identity, _))| !register.find(&identity.serial, &identity.fingerprint).is_empty())
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
