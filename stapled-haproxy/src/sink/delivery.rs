//! The delivery of one staple to one process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stapled_core::sink::Site;
use stapled_core::staple::Staple;
use stapled_core::time::Timestamp;
use tokio::time::Instant;

use crate::cli::error::{Error, Unconfirmed};
use crate::cli::failure::Failure;
use crate::cli::identity::{Identity, plain_serial};
use crate::cli::name::CliName;
use crate::cli::payload::Payload;
use crate::cli::process::Process;
use crate::cli::reply::certificate::{Loaded, ShowReply};
use crate::cli::reply::response::{PushReply, ShownResponse};
use crate::instance::deadline::SLACK;
use crate::instance::first_staple::{CertIdStatus, FirstDelivery, push_refused};
use crate::instance::lock::lock;
use crate::instance::names::Candidate;
use crate::sink::comparison::{Comparison, Expected};
use crate::sink::memory::Delivered;
use crate::sink::process_sink::ProcessSink;
use crate::sink::requirements::MARGIN;

/// How long a delivery waits for the end of a foreign transaction.
const FOREIGN_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause between two looks at a foreign transaction, and before a repeated delivery.
const FOREIGN_PAUSE: Duration = Duration::from_millis(100);
/// How often a delivery is repeated that HAProxy did not confirm.
const REPEATS: usize = 2;

/// A response that HAProxy took.
struct Taken {
    process: Process,
    cert_id: Bytes,
    /// Whether HAProxy has shown it since.
    is_shown: bool,
}

/// Where HAProxy has loaded a certificate.
enum Places {
    /// Under these names; each with whether HAProxy takes responses for it. `is_legible` is false if nothing that HAProxy
    /// shows of its certificates can be read.
    Used { names: Vec<(Arc<str>, bool)>, is_legible: bool },
    /// Under this name, and nothing uses it.
    Unused(Arc<str>),
}

impl ProcessSink {
    /// Delivers a staple; returns when HAProxy has taken it, and shows it.
    pub(crate) async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<(), Failure> {
        if self.has(staple, sites) {
            return Ok(());
        }
        let identity = Identity::of(staple.chain().end_entity());
        let mut done = self.try_deliver(staple, sites, &identity).await;
        // Another client may replace the certificate at the very moment of the delivery.
        for _ in 0..REPEATS {
            if !done.as_ref().is_err_and(Error::is_contradiction) {
                break;
            }
            tokio::time::sleep(FOREIGN_PAUSE).await;
            done = self.try_deliver(staple, sites, &identity).await;
        }
        let Taken { process, cert_id, is_shown } = done.map_err(|error| {
            self.note_failure(&error, &identity);
            self.failure(error)
        })?;
        let mut memory = lock(&self.memory);
        memory.refused.remove(&plain_serial(&identity.serial));
        memory.process.get_or_insert(process);
        if is_shown {
            memory.unshown.remove(&cert_id);
        } else {
            memory.unshown.insert(cert_id.clone());
        }
        memory.withdrawn.remove(&cert_id);
        memory.delivered.insert(cert_id, Delivered::of(staple, sites, identity));
        Ok(())
    }

    async fn try_deliver(&self, staple: &Staple, sites: &[Site], identity: &Identity) -> Result<Taken, Error> {
        let payload = Payload::Staple(Box::new(staple.clone()));
        let cert_id = payload.cert_id();
        let latest = staple.expires() - MARGIN - SLACK;
        let pushed = self.channel.push(payload, self.deadline(latest)).await?;
        let status = match pushed.said {
            PushReply::Updated => CertIdStatus::Known,
            PushReply::NoMatch => CertIdStatus::Unknown,
            other => return Err(push_refused(other)),
        };
        let is_known = status == CertIdStatus::Known;
        if is_known && let Some(shown) = &pushed.shown {
            expect_shown(shown, staple)?;
        }
        let taken = Taken { is_shown: pushed.shown.is_some(), cert_id: cert_id.clone(), process: pushed.process };
        match self.survey.completed(&taken.process).await {
            Ok(()) => {}
            // Without the level to look at certificates, HAProxy's reply is the only evidence.
            Err(Error::Denied { .. }) if is_known => return Ok(taken),
            Err(error) => return Err(error),
        }
        let names = match self.places(identity, &cert_id, status) {
            Places::Unused(name) => return Err(Error::Unused { name: name.to_string() }),
            // Every name under which it is loaded takes responses. If nothing is legible, HAProxy's reply must do.
            Places::Used { names, is_legible }
                if is_known && (!is_legible || !names.is_empty() && names.iter().all(|(_, takes)| *takes)) =>
            {
                return Ok(taken);
            }
            Places::Used { names, .. } => names,
        };
        let names: Vec<Arc<str>> = names.into_iter().map(|(name, _)| name).collect();
        let first = self.first_delivery(staple, sites, &names, status).await?;
        let process = self.deliver_first(first, latest).await?;
        expect_shown(&self.shown(&cert_id, &process).await?, staple)?;
        Ok(Taken { process, cert_id, is_shown: true })
    }

    fn places(&self, identity: &Identity, cert_id: &[u8], status: CertIdStatus) -> Places {
        let is_known = status == CertIdStatus::Known;
        self.survey.loaded(|loaded| {
            let found = loaded.find(identity);
            let names: Vec<Arc<str>> = found.iter().map(|(name, _)| Arc::clone(name)).collect();
            let used = found.into_iter().filter(|(_, loaded)| is_known || !loaded.is_unused);
            let used: Vec<_> = used.map(|(name, loaded)| (name, loaded.takes_responses_for(cert_id))).collect();
            match names.first() {
                Some(name) if used.is_empty() => {
                    let name = Arc::clone(name);
                    loaded.watch(names);
                    Places::Unused(name)
                }
                _ => Places::Used { names: used, is_legible: loaded.certificates().next().is_some() },
            }
        })
    }

    /// Delivers a first staple, except under the names where HAProxy takes another certificate for the issuer: there a
    /// transaction would change nothing.
    async fn deliver_first(&self, mut first: FirstDelivery, latest: Timestamp) -> Result<Process, Error> {
        let wrong_issuer = self.remove_wrong_issuer(&mut first);
        let wrong_issuer = wrong_issuer.first().map(|name| Error::WrongIssuerFirst { name: name.to_string() });
        if let Some(error) = wrong_issuer.clone().filter(|_| first.names.is_empty()) {
            return Err(error);
        }
        let process = match self.deliver_first_while_foreign(&first, latest).await {
            Err(error @ Error::WrongIssuerFirst { .. }) => {
                self.note_wrong_issuer(&first).await;
                return Err(error);
            }
            done => done?,
        };
        wrong_issuer.map_or(Ok(process), Err)
    }

    /// Removes the names where HAProxy takes another certificate for the issuer; returns them.
    fn remove_wrong_issuer(&self, first: &mut FirstDelivery) -> Vec<Arc<str>> {
        let memory = lock(&self.memory);
        let known = |name: &CliName| {
            let entry = memory.wrong_issuer.get_key_value(name.as_str());
            entry.filter(|(_, loaded)| first.is(loaded)).map(|(name, _)| Arc::clone(name))
        };
        let removed: Vec<Arc<str>> = first.names.iter().filter_map(known).collect();
        first.names.retain(|name| removed.iter().all(|removed| **removed != *name.as_str()));
        removed
    }

    /// Notes under which names HAProxy takes another certificate for the issuer.
    async fn note_wrong_issuer(&self, first: &FirstDelivery) {
        let candidates = first.candidates.iter().filter_map(|candidate| CliName::new(&candidate.name).ok());
        let names: Vec<CliName> = first.names.iter().cloned().chain(candidates).collect();
        // Without a reply nothing is noted, and the delivery is retried as before.
        let Ok((replies, _)) = self.channel.show_certificates(&names).await else { return };
        let is_wrong = |loaded: &Loaded| {
            let is_delivered = first.is_known() && loaded.takes_responses_for(&first.cert_id);
            first.is(loaded) && loaded.takes_responses() && !is_delivered
        };
        for (name, reply) in names.iter().zip(replies) {
            let ShowReply::Loaded(loaded) = reply else { continue };
            if !is_wrong(&loaded) {
                continue;
            }
            let name: Arc<str> = name.as_str().into();
            self.survey.loaded(|all| {
                all.note(&name, &ShowReply::Loaded(loaded.clone()));
                all.watch([Arc::clone(&name)]);
            });
            lock(&self.memory).wrong_issuer.insert(name, loaded);
        }
    }

    /// Delivers a first staple; waits a little for the end of a foreign transaction.
    async fn deliver_first_while_foreign(&self, first: &FirstDelivery, latest: Timestamp) -> Result<Process, Error> {
        let begun = Instant::now();
        loop {
            match self.channel.deliver_first(first.clone(), self.deadline(latest)).await {
                Ok((names, process)) => {
                    self.survey.note(&names, &process);
                    return Ok(process);
                }
                Err(Error::ForeignTransaction(_)) if begun.elapsed() < FOREIGN_TIMEOUT => {
                    tokio::time::sleep(FOREIGN_PAUSE).await;
                }
                Err(error) => {
                    let names = first.names.iter().map(|name| name.as_str().into());
                    let candidates = first.candidates.iter().map(|candidate| candidate.name.as_str().into());
                    self.survey.loaded(|loaded| loaded.watch(names.chain(candidates)));
                    return Err(error);
                }
            }
        }
    }

    /// The first delivery of a certificate under the names where it was found loaded; if there are none, under the names
    /// of its sites and the loaded names that may stand for these.
    async fn first_delivery(
        &self,
        staple: &Staple,
        sites: &[Site],
        found: &[Arc<str>],
        status: CertIdStatus,
    ) -> Result<FirstDelivery, Error> {
        let mut names: Vec<CliName> = found.iter().filter_map(|name| CliName::new(name).ok()).collect();
        let mut candidates: Vec<Candidate> = Vec::new();
        if names.is_empty() {
            names = usable_names(sites)?;
            for name in &names {
                let new = self.survey.candidates(name.as_str()).await;
                candidates.extend(new.into_iter().filter(|new| !names.iter().any(|name| name.as_str() == new.name)));
            }
        }
        let first = FirstDelivery::new(staple, status, &self.settings);
        Ok(FirstDelivery { names, candidates, ..first })
    }
}

/// The names of these sites that can be written in a command.
fn usable_names(sites: &[Site]) -> Result<Vec<CliName>, Error> {
    let mut names = Vec::new();
    let mut unusable = None;
    for site in sites {
        match CliName::new(&site.served_as) {
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
            Err(error) => unusable = Some(Error::UnusableName { name: site.served_as.to_string(), error }),
        }
    }
    match unusable {
        Some(error) if names.is_empty() => Err(error),
        _ => Ok(names),
    }
}

/// Checks that HAProxy shows the staple that it took.
fn expect_shown(shown: &ShownResponse, staple: &Staple) -> Result<(), Error> {
    if let ShownResponse::Garbled(said) = shown {
        return Err(Unconfirmed::Garbled(said.clone()).into());
    }
    match Comparison::of(&Expected::from(staple), shown) {
        Comparison::Same | Comparison::Unknown => Ok(()),
        Comparison::Missing | Comparison::Older | Comparison::Newer => Err(Unconfirmed::AnotherStaple.into()),
    }
}
