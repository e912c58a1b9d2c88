//! The workers behind a master, each a process of its own with one writer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stapled_core::chain::CertChain;
use stapled_core::sink::{Lost, SinkError, Site};
use stapled_core::staple::Staple;
use tokio::time::Instant;

use crate::cli::address::Address;
use crate::cli::connection::Connection;
use crate::cli::master::Worker;
use crate::cli::route::Route;
use crate::codes;
use crate::fault;
use crate::instance::channel::lock;
use crate::instance::settings::Settings;
use crate::reports;
use crate::sink::process_sink::{Peer, TOLD_AGAIN};

/// How many workers are spoken to. A master takes ten connections at a time; some are left for others.
const MOST_WORKERS: usize = 6;

/// The workers of one master.
pub(crate) struct Crew {
    master: Route,
    settings: Settings,
    members: Mutex<Members>,
    /// Held by whoever asks for the workers.
    look: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Members {
    looked: Option<Instant>,
    by_pid: BTreeMap<u64, Member>,
    /// Whether there is a worker that nobody was told of.
    is_joined: bool,
    /// Whether there was one before.
    was_there: bool,
    /// Whether one of them can be tried again, and nobody was told of it yet.
    is_again: bool,
    /// Whether a delivery reached no master, or no worker.
    missed: bool,
    /// When it was last told that deliveries can be tried again.
    told_at: Option<Instant>,
}

#[derive(Clone)]
struct Member {
    peer: Arc<Peer>,
    is_old: bool,
}

impl Crew {
    /// The workers of the master at this address.
    pub(crate) fn of(master: &Address, settings: Settings) -> Self {
        Crew {
            master: Route::to(master.clone()),
            settings,
            members: Mutex::default(),
            look: tokio::sync::Mutex::default(),
        }
    }

    /// Delivers to every worker. Those that only finish their connections get it as far as they take it: they may have
    /// other certificates, and they end.
    pub(crate) async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<(), SinkError> {
        let done = self.deliver_to_all(staple, sites).await;
        if matches!(done, Err(SinkError::Unreachable { .. })) {
            lock(&self.members).missed = true;
        }
        done
    }

    async fn deliver_to_all(&self, staple: &Staple, sites: &[Site]) -> Result<(), SinkError> {
        let members = self.members().await?;
        let mut failure = None;
        for member in &members {
            match member.peer.deliver(staple, sites).await {
                Ok(()) => {}
                Err(error) if member.is_old => self.settings.reporters.tell(reports::old_worker_without(&error)),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            // Whether the worker has just gone is seen at the next look.
            self.forget_look();
            return Err(error);
        }
        self.expect_current(&members)
    }

    /// Withdraws from every worker.
    pub(crate) async fn withdraw(&self, chain: &CertChain, is_revoked: bool) -> Result<(), SinkError> {
        let members = self.members().await?;
        let mut failure = None;
        for member in &members {
            match member.peer.withdraw(chain, is_revoked).await {
                // It ended, and with it its connections.
                Err(error) if member.is_old && error.code() == codes::WORKER_GONE => {}
                Err(error) => failure = Some(error),
                Ok(()) => {}
            }
        }
        match failure {
            Some(error) => {
                self.forget_look();
                Err(error)
            }
            None => self.expect_current(&members),
        }
    }

    /// What is not to be delivered any more is not missed.
    pub(crate) fn forget(&self, chain: &CertChain) {
        for member in self.known() {
            member.peer.forget(chain);
        }
    }

    /// Looks what has changed, at most once in the look interval.
    pub(crate) async fn inspect(&self) -> Option<Lost> {
        let members = match self.members().await {
            Ok(members) => members,
            Err(error) => {
                self.settings.reporters.tell(reports::not_surveyed(&error));
                return None;
            }
        };
        if std::mem::take(&mut lock(&self.members).is_joined) {
            return Some(Lost::Everything);
        }
        for member in members.iter().filter(|member| !member.is_old) {
            match member.peer.inspect().await {
                // Who waits for this may not wait for the others.
                Some(Lost::Nothing) => lock(&self.members).is_again = true,
                // Each by itself: what the others have to tell comes at the next look.
                Some(lost) => return Some(lost),
                None => {}
            }
        }
        let is_again = std::mem::take(&mut lock(&self.members).is_again);
        (is_again || self.is_back(&members)).then_some(Lost::Nothing)
    }

    /// Whether a worker is there after deliveries that reached none.
    fn is_back(&self, members: &[Member]) -> bool {
        let mut known = lock(&self.members);
        let is_back = known.missed
            && members.iter().any(|member| !member.is_old)
            && known.told_at.is_none_or(|at| at.elapsed() >= TOLD_AGAIN);
        if is_back {
            known.missed = false;
            known.told_at = Some(Instant::now());
        }
        is_back
    }

    /// The workers, current ones first, as the master names them; asked for at most once in the look interval.
    async fn members(&self) -> Result<Vec<Member>, SinkError> {
        let is_fresh = |members: &Members| members.looked.is_some_and(|at| at.elapsed() < self.settings.look_interval);
        let _look = self.look.lock().await;
        if !is_fresh(&lock(&self.members)) {
            let mut workers = Connection::workers(&self.master, self.settings.patience).await?;
            workers.sort_by_key(|worker| worker.is_old);
            workers.truncate(MOST_WORKERS);
            self.take_over(&workers);
        }
        Ok(self.known())
    }

    fn take_over(&self, workers: &[Worker]) {
        let mut members = lock(&self.members);
        let mut by_pid = BTreeMap::new();
        for worker in workers {
            let known = members.by_pid.get(&worker.pid).map(|member| Arc::clone(&member.peer));
            // The first one was never given anything to lose.
            members.is_joined |= known.is_none() && !worker.is_old && members.was_there;
            let route = Route::to_worker(self.master.address.clone(), worker.pid);
            let peer = known.unwrap_or_else(|| Arc::new(Peer::new(&route, self.settings.clone())));
            by_pid.insert(worker.pid, Member { peer, is_old: worker.is_old });
        }
        members.was_there |= workers.iter().any(|worker| !worker.is_old);
        members.by_pid = by_pid;
        members.looked = Some(Instant::now());
    }

    fn known(&self) -> Vec<Member> {
        let mut members: Vec<Member> = lock(&self.members).by_pid.values().cloned().collect();
        members.sort_by_key(|member| member.is_old);
        members
    }

    fn forget_look(&self) {
        lock(&self.members).looked = None;
    }

    fn expect_current(&self, members: &[Member]) -> Result<(), SinkError> {
        if members.iter().any(|member| !member.is_old) {
            return Ok(());
        }
        Err(fault::unreachable(
            codes::WORKER_GONE,
            &self.master,
            "has no worker: see in HAProxy's log why none is running",
        ))
    }
}
