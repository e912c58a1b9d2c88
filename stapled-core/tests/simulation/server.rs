//! Simulated servers, which refuse, hang, forget and restart. Some are files, which keep their staples.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stapled_core::chain::CertChain;
use stapled_core::ocsp::CertIdHash;
use stapled_core::reason::ReasonCode;
use stapled_core::sink::{Delivered, Lost, Requirements, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::staple::Staple;
use stapled_core::task::Subject;
use tokio::sync::Notify;

use crate::responder::Made;
use crate::world::{World, injected_panic};

/// The behaviour of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// The server does not listen.
    Down,
    Hangs,
    Slow,
    /// The server refuses.
    Refuses,
    /// The server executes the command, and reports a failure.
    DoesAndFails,
    /// The server executes the command, and never answers.
    DoesAndHangs,
    Panics,
    DoesAndPanics,
}

pub(crate) const MOODS: &[Mood] = &[
    Mood::Down,
    Mood::Down,
    Mood::Hangs,
    Mood::Slow,
    Mood::Refuses,
    Mood::DoesAndFails,
    Mood::DoesAndHangs,
    Mood::Panics,
    Mood::DoesAndPanics,
];

/// The server's answer to a question for kept responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    Nothing,
    WhatItServes,
    Garbage,
    Hangs,
    Panics,
}

pub(crate) const MEMORIES: &[Memory] =
    &[Memory::Nothing, Memory::WhatItServes, Memory::Garbage, Memory::Hangs, Memory::Panics];

#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) subject: Subject,
    pub(crate) response: Bytes,
    pub(crate) made: Made,
    pub(crate) at: Duration,
}

pub(crate) struct Server {
    pub(crate) number: usize,
    pub(crate) requirements: Requirements,
    pub(crate) can_withdraw: bool,
    pub(crate) mood: Mutex<Mood>,
    pub(crate) memory: Mutex<Memory>,
    pub(crate) losing_panics: Mutex<bool>,
    /// Whether the server loses everything during the next delivery or withdrawal.
    pub(crate) loses_in_the_midst: Mutex<bool>,
    /// The served responses, by place and certificate.
    pub(crate) serves: Mutex<BTreeMap<(String, usize), Served>>,
    pub(crate) busy_with: Mutex<BTreeSet<usize>>,
    lost: Mutex<VecDeque<Lost>>,
    loses: Notify,
    /// The last time with a fault.
    pub(crate) last_fault: Mutex<Option<Duration>>,
    /// The last time at which the server lost a staple and reported it.
    pub(crate) last_loss: Mutex<Option<Duration>>,
}

impl Server {
    /// A server of one of three kinds: like HAProxy; files; and one without withdrawals.
    pub(crate) fn new(number: usize) -> Self {
        let requirements = match number {
            0 => Requirements::default().cert_id_hash(CertIdHash::Sha1).margin(Duration::from_secs(300)).concurrency(4),
            _ => Requirements::default(),
        };
        Server {
            number,
            requirements,
            can_withdraw: number != 2,
            mood: Mutex::new(Mood::Well),
            memory: Mutex::new(if number == 1 { Memory::WhatItServes } else { Memory::Nothing }),
            losing_panics: Mutex::default(),
            loses_in_the_midst: Mutex::default(),
            serves: Mutex::default(),
            busy_with: Mutex::default(),
            lost: Mutex::default(),
            loses: Notify::new(),
            last_fault: Mutex::default(),
            last_loss: Mutex::default(),
        }
    }

    pub(crate) fn tell_lost(&self, lost: Lost) {
        self.lost.lock().unwrap().push_back(lost);
        self.loses.notify_one();
    }

    pub(crate) fn lose_everything(&self, at: Duration) {
        self.serves.lock().unwrap().clear();
        *self.last_loss.lock().unwrap() = Some(at);
        self.tell_lost(Lost::Everything);
    }

    /// Loses the certificate of every other place, and reports which.
    pub(crate) fn lose_some(&self, at: Duration) {
        let mut serves = self.serves.lock().unwrap();
        let lost: BTreeSet<Subject> = serves.values().step_by(2).map(|served| served.subject.clone()).collect();
        serves.retain(|_, served| !lost.contains(&served.subject));
        drop(serves);
        *self.last_loss.lock().unwrap() = Some(at);
        self.tell_lost(Lost::Certificates(lost.into_iter().collect()));
    }

    pub(crate) fn served(&self, place: &str, certificate: usize) -> Option<Served> {
        self.serves.lock().unwrap().get(&(place.to_owned(), certificate)).cloned()
    }
}

pub(crate) struct Sink {
    pub(crate) world: Arc<World>,
    pub(crate) number: usize,
}

/// Counts an open delivery or withdrawal.
struct Busy<'a>(&'a Server, usize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy_with.lock().unwrap().remove(&self.1);
    }
}

impl Sink {
    fn server(&self) -> &Server {
        &self.world.servers[self.number]
    }

    fn begin(&self, certificate: usize) -> Busy<'_> {
        let server = self.server();
        let mut busy = server.busy_with.lock().unwrap();
        if !busy.insert(certificate) {
            self.world.watch.violated(&self.world, format!("two works on c{certificate} overlap at s{}", self.number));
        }
        if busy.len() > server.requirements.concurrency {
            self.world.watch.violated(&self.world, format!("{} works at once at s{}", busy.len(), self.number));
        }
        Busy(server, certificate)
    }

    async fn act(&self, act: impl Fn() + Send) -> Result<(), SinkError> {
        let down = || SinkError::unreachable(ReasonCode::new("connect_failed"), "the server is down");
        let short = self.world.random.between(Duration::ZERO, Duration::from_millis(20));
        tokio::time::sleep(short).await;
        let mood = *self.server().mood.lock().unwrap();
        match mood {
            Mood::Well => {
                act();
                if std::mem::take(&mut *self.server().loses_in_the_midst.lock().unwrap()) {
                    self.world.note(|| format!("s{} loses everything, and then says that it has done it", self.number));
                    self.server().lose_everything(self.world.elapsed());
                }
                // The server's answer is on its way.
                tokio::time::sleep(short).await;
            }
            Mood::Down => return Err(down()),
            Mood::Hangs => std::future::pending().await,
            Mood::Slow => {
                tokio::time::sleep(self.world.random.seconds(1, 40)).await;
                act();
            }
            Mood::Refuses => return Err(SinkError::refused(ReasonCode::new("refused"), "no")),
            Mood::DoesAndFails => {
                act();
                return Err(down());
            }
            Mood::DoesAndHangs => {
                act();
                std::future::pending::<()>().await;
            }
            Mood::Panics => injected_panic(&self.world),
            Mood::DoesAndPanics => {
                act();
                injected_panic(&self.world);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl StapleSink for Sink {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        let world = &*self.world;
        let certificate = world.pool.by_der(staple.chain().end_entity().as_der());
        let _busy = self.begin(certificate);
        let Some(made) = world.watch.delivering(world, self.number, certificate, staple, sites) else {
            return Ok(Delivered::Confirmed);
        };
        let response = staple.response().clone();
        self.act(|| {
            let mut serves = self.server().serves.lock().unwrap();
            for site in sites {
                let subject = staple.chain().subject().clone();
                let served = Served { subject, response: response.clone(), made: made.clone(), at: world.elapsed() };
                serves.insert((site.served_as.to_string(), certificate), served);
            }
        })
        .await?;
        Ok(Delivered::Confirmed)
    }

    fn name(&self) -> String {
        format!("s{}", self.number)
    }

    fn requirements(&self) -> Requirements {
        self.server().requirements
    }

    async fn withdraw(&self, chain: &CertChain, sites: &[Site], why: Withdrawal) -> Result<Withdrawn, SinkError> {
        let world = &*self.world;
        let certificate = world.pool.by_der(chain.end_entity().as_der());
        let _busy = self.begin(certificate);
        world.watch.withdrawing(world, self.number, certificate, sites, why);
        if !self.server().can_withdraw {
            return Ok(Withdrawn::Unsupported);
        }
        self.act(|| {
            let mut serves = self.server().serves.lock().unwrap();
            for site in sites {
                serves.remove(&(site.served_as.to_string(), certificate));
            }
        })
        .await?;
        Ok(Withdrawn::Confirmed)
    }

    async fn recall(&self, chain: &CertChain, sites: &[Site]) -> Option<Bytes> {
        let certificate = self.world.pool.by_der(chain.end_entity().as_der());
        let memory = *self.server().memory.lock().unwrap();
        match memory {
            Memory::Nothing => None,
            Memory::WhatItServes => {
                let served = |site: &Site| self.server().served(&site.served_as, certificate);
                sites.iter().find_map(served).map(|served| served.response)
            }
            Memory::Garbage => Some(Bytes::from_static(b"0\x82garbage")),
            Memory::Hangs => std::future::pending().await,
            Memory::Panics => injected_panic(&self.world),
        }
    }

    fn has_recalled(&self, staple: &Staple, sites: &[Site]) -> bool {
        let world = &*self.world;
        let certificate = world.pool.by_der(staple.chain().end_entity().as_der());
        let serves_it = |site: &Site| {
            let served = self.server().served(&site.served_as, certificate);
            served.is_some_and(|served| served.response == *staple.response())
        };
        // A panic while the lock is held would poison it.
        let memory = *self.server().memory.lock().unwrap();
        match memory {
            Memory::Panics => injected_panic(world),
            Memory::WhatItServes if sites.iter().all(serves_it) => {
                let _busy = self.begin(certificate);
                world.watch.delivering(world, self.number, certificate, staple, sites).is_some()
            }
            _ => false,
        }
    }

    async fn lost(&self) -> Lost {
        loop {
            let next = self.server().lost.lock().unwrap().pop_front();
            if let Some(lost) = next {
                return lost;
            }
            self.server().loses.notified().await;
            if *self.server().losing_panics.lock().unwrap() {
                injected_panic(&self.world);
            }
        }
    }
}
