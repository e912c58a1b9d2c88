//! The sink itself: staples in, confirmed deliveries out, and word of what HAProxy has lost.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::chain::CertChain;
use stapled_core::clock::Clock;
use stapled_core::ocsp::CertIdHash;
use stapled_core::sink::{Delivered, Lost, Requirements, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::staple::Staple;
use stapled_core::time::Timestamp;
use tokio::time::Instant;

use crate::address::Address;
use crate::codes;
use crate::command::{CliName, Command};
use crate::connection::Patience;
use crate::fault;
use crate::introduce::{Introduction, push_refused};
use crate::process::Process;
use crate::reply::PushReply;
use crate::token::WithdrawalToken;
use crate::writer::{BATCH, Latest, Writer, lock};

/// HAProxy stops stapling a response this long before its nextUpdate.
const MARGIN: Duration = Duration::from_secs(300);
/// What may pass between our look at the clock and HAProxy's.
const SLACK: Duration = Duration::from_secs(5);
/// How often it is told at most that a HAProxy is back.
const BACK_AGAIN: Duration = Duration::from_secs(10);
/// The longest wait between two attempts to find a HAProxy that is gone.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Delivers staples to a running HAProxy over its admin socket, without a reload.
///
/// ```no_run
/// use stapled_haproxy::HaproxySink;
///
/// let sink = HaproxySink::new("/run/haproxy/admin.sock");
/// ```
///
/// HAProxy needs `stats socket /run/haproxy/admin.sock level admin` in its `global` section. With a lesser level,
/// staples can be renewed in some versions, but no certificate can get its first one.
pub struct HaproxySink {
    writer: Arc<Writer>,
    settings: Settings,
    memory: Mutex<Memory>,
}

/// What HAProxy was given.
#[derive(Debug, Default)]
struct Memory {
    /// The process that has it.
    process: Option<Process>,
    /// The names of each certificate, by the DER of its CertID.
    delivered: HashMap<Vec<u8>, Vec<Arc<str>>>,
    /// When to compare it next with what HAProxy has.
    compare_at: Option<Instant>,
    /// Whether a delivery reached nobody since somebody answered last.
    missed: bool,
    /// When somebody was last found to answer again.
    back_at: Option<Instant>,
}

/// How a sink was adjusted.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) patience: Patience,
    pub(crate) max_size: usize,
    pub(crate) look_interval: Duration,
    pub(crate) compare_interval: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

impl HaproxySink {
    pub(crate) fn with(address: &Address, settings: Settings) -> Self {
        HaproxySink { writer: Writer::of(address, settings.patience), settings, memory: Mutex::default() }
    }

    /// The socket's address.
    pub fn address(&self) -> &Address {
        self.writer.address()
    }

    fn latest(&self, at: Timestamp) -> Latest {
        Latest { at, clock: Arc::clone(&self.settings.clock) }
    }

    fn names(&self, sites: &[Site]) -> Result<Vec<CliName>, SinkError> {
        let mut names = Vec::new();
        let mut unusable = None;
        for site in sites {
            match CliName::new(&site.served_as) {
                Ok(name) if names.contains(&name) => {}
                Ok(name) => names.push(name),
                Err(reason) => unusable = Some((site, reason)),
            }
        }
        match unusable {
            Some((site, reason)) if names.is_empty() => Err(fault::refused(
                codes::UNUSABLE_NAME,
                self.address(),
                &format!("HAProxy cannot be told about {:?}: {reason}; rename the file", site.served_as),
            )),
            _ => Ok(names),
        }
    }

    /// Remembers what was delivered to which process.
    fn remember(&self, staple: &Staple, sites: &[Site], process: Process) {
        let mut memory = lock(&self.memory);
        memory.process.get_or_insert(process);
        let names = sites.iter().map(|site| Arc::clone(&site.served_as)).collect();
        memory.delivered.insert(staple.facts().cert_id.to_der(), names);
    }

    async fn bring(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        let now = self.settings.clock.now();
        self.requirements().check(staple, now + SLACK)?;
        let response = staple.response();
        let latest = staple.expires() - MARGIN - SLACK;
        let (said, process) = self.writer.push(Command::set_ocsp_response(response), self.latest(latest)).await?;
        let is_known = match said {
            PushReply::Updated => true,
            PushReply::NoMatch => false,
            other => return Err(push_refused(self.address(), &other)),
        };
        let process = if is_known && sites.len() < 2 {
            process
        } else {
            let names = self.names(sites)?;
            let what = Introduction::new(staple.chain(), names, response.clone(), is_known);
            match self.writer.introduce(what, self.latest(latest)).await {
                Ok(process) => process,
                // Without the level to look closer, HAProxy's word that it has the staple is all there is.
                Err(error) if is_known && error.code() == codes::PERMISSION_DENIED => process,
                Err(error) => return Err(error),
            }
        };
        self.remember(staple, sites, process);
        Ok(Delivered::Confirmed)
    }

    /// Whether somebody answers again after deliveries that reached nobody. At most every ten seconds, so that a server
    /// that answers questions and takes nothing is not pestered.
    fn is_back(&self) -> bool {
        let mut memory = lock(&self.memory);
        let is_back = memory.missed && memory.back_at.is_none_or(|at| at.elapsed() >= BACK_AGAIN);
        if is_back {
            memory.missed = false;
            memory.back_at = Some(Instant::now());
        }
        is_back
    }

    /// Whether another process answers now than the one that was given the staples.
    fn is_replaced(&self, current: Option<&Process>) -> bool {
        let Some(current) = current else { return false };
        let mut memory = lock(&self.memory);
        let is_replaced = memory.process.as_ref().is_some_and(|known| !known.is_same(current));
        if is_replaced {
            memory.delivered.clear();
            memory.missed = false;
        }
        memory.process = Some(current.clone());
        is_replaced
    }

    /// The certificates that HAProxy should have by now and has not.
    async fn missing(&self) -> Result<Vec<Arc<str>>, SinkError> {
        let before: Vec<Vec<u8>> = lock(&self.memory).delivered.keys().cloned().collect();
        if before.is_empty() {
            return Ok(Vec::new());
        }
        let held = self.writer.list().await?;
        let mut memory = lock(&self.memory);
        let gone = before.into_iter().filter(|cert_id| !held.contains(cert_id));
        let names = gone.filter_map(|cert_id| memory.delivered.remove(&cert_id)).flatten().collect();
        Ok(names)
    }

    fn is_time_to_compare(&self) -> bool {
        let mut memory = lock(&self.memory);
        let now = Instant::now();
        let is_time = memory.compare_at.is_some_and(|at| at <= now);
        if is_time || memory.compare_at.is_none() {
            memory.compare_at = Some(now + self.settings.compare_interval);
        }
        is_time
    }
}

/// What a HAProxy asks of a staple whose buffer takes responses of this size in bytes.
pub(crate) fn requirements(max_size: usize) -> Requirements {
    let mut requirements = Requirements::default();
    requirements.cert_id_hash = Some(CertIdHash::Sha1);
    requirements.single_response = true;
    requirements.next_update = true;
    requirements.max_size = max_size;
    requirements.margin = MARGIN;
    requirements.concurrency = BATCH;
    requirements
}

impl fmt::Debug for HaproxySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HaproxySink").field("address", self.address()).field("settings", &self.settings).finish()
    }
}

#[async_trait]
impl StapleSink for HaproxySink {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        let delivered = self.bring(staple, sites).await;
        if matches!(delivered, Err(SinkError::Unreachable { .. })) {
            lock(&self.memory).missed = true;
        }
        delivered
    }

    fn name(&self) -> String {
        self.address().to_string()
    }

    fn requirements(&self) -> Requirements {
        requirements(self.settings.max_size)
    }

    /// Ends stapling by a response that HAProxy does not serve. Clients never see it.
    async fn withdraw(&self, chain: &CertChain, _sites: &[Site], why: Withdrawal) -> Result<Withdrawn, SinkError> {
        if why == Withdrawal::Retired {
            // The file is gone; HAProxy may go on serving the certificate, and its staple is as true as before.
            return Ok(Withdrawn::Unsupported);
        }
        let cert_id = chain.cert_id(CertIdHash::Sha1);
        let now = self.settings.clock.now();
        let token = WithdrawalToken::new(&cert_id, now)
            .map_err(|error| fault::refused(codes::REJECTED, self.address(), &error.to_string()))?;
        let command = Command::set_ocsp_response(token.as_der());
        // An expired token would be refused, and change nothing.
        let (said, _) = self.writer.push(command, self.latest(now + Duration::from_secs(50))).await?;
        tracing::debug!(sink = %self.address(), certificate = chain.end_entity().name(), ?why, ?said, "withdrawn");
        match said {
            // From 3.2 on HAProxy calls the token an error, and has dropped the staple all the same. Where no
            // certificate matches there is none.
            PushReply::Updated | PushReply::EndsTooSoon | PushReply::NoMatch => {
                lock(&self.memory).delivered.remove(&cert_id.to_der());
                Ok(Withdrawn::Confirmed)
            }
            other => Err(push_refused(self.address(), &other)),
        }
    }

    async fn lost(&self) -> Lost {
        let mut processes = self.writer.processes();
        let mut wait = self.settings.look_interval;
        loop {
            if self.is_replaced(processes.borrow_and_update().as_ref()) {
                return Lost::Everything;
            }
            if self.is_time_to_compare() {
                match self.missing().await {
                    Ok(names) if names.is_empty() => {}
                    Ok(names) => return Lost::Certificates(names),
                    Err(error) => tracing::debug!(sink = %self.address(), %error, "cannot compare"),
                }
            }
            tokio::select! {
                changed = processes.changed() => {
                    // Its sender is ours.
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                () = tokio::time::sleep(wait) => {
                    wait = match self.writer.look().await {
                        Ok(()) => {
                            if self.is_replaced(processes.borrow_and_update().as_ref()) {
                                return Lost::Everything;
                            }
                            if self.is_back() {
                                return Lost::Nothing;
                            }
                            self.settings.look_interval
                        }
                        Err(error) => {
                            tracing::debug!(sink = %self.address(), %error, "cannot look");
                            (wait * 2).min(LONGEST_WAIT.max(self.settings.look_interval))
                        }
                    };
                }
            }
        }
    }
}
