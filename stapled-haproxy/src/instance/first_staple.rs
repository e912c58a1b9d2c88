//! Delivers the first staple of a certificate that HAProxy loaded without one: `set ssl cert NAME.ocsp`, `commit ssl cert
//! NAME`, then `set ssl ocsp-response`, which must succeed now.

use stapled_core::ocsp::CertIdHash;
use stapled_core::report::Reporters;
use stapled_core::staple::Staple;

use crate::cli::command::Command;
use crate::cli::error::{Error, Foreign, Unconfirmed};
use crate::cli::identity::Identity;
use crate::cli::name::CliName;
use crate::cli::payload::Payload;
use crate::cli::reply::certificate::{Loaded, ShowReply, show};
use crate::cli::reply::response::{PushReply, push};
use crate::cli::route::Route;
use crate::cli::transactions::Transactions;
use crate::instance::names::{Candidate, Likelihood};
use crate::instance::settings::Settings;
use crate::instance::transaction::{Committed, Transactor};
use crate::reports;

/// The first staple of a certificate, and the names under which HAProxy may have loaded the certificate.
#[derive(Clone)]
pub(crate) struct FirstDelivery {
    pub(crate) staple: Staple,
    pub(crate) identity: Identity,
    /// The DER of the CertID for which HAProxy has to take responses.
    pub(crate) cert_id: Vec<u8>,
    /// The names under which servers may know the certificate.
    pub(crate) names: Vec<CliName>,
    /// Names of other loaded certificates that may be this one.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) status: CertIdStatus,
    pub(crate) transactions: Transactions,
    pub(crate) reporters: Reporters,
}

/// Whether HAProxy takes responses of a CertID, as its reply to `set ssl ocsp-response` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertIdStatus {
    Known,
    Unknown,
}

/// Names of certificates, and HAProxy's replies about them.
pub(crate) type LoadedNames = Vec<(CliName, ShowReply)>;

/// Whether HAProxy gets the issuer's certificate with the first response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Issuer {
    Included,
    Omitted,
}

/// A loaded certificate that was found under this name.
struct Found {
    name: CliName,
    loaded: Loaded,
}

/// The search for a certificate among the loaded ones.
#[derive(Default)]
struct Search {
    found: Vec<Found>,
    /// Another certificate under a name of this one.
    stale: Option<(String, Loaded)>,
}

/// Delivers first staples over one connection.
pub(crate) struct FirstDeliverer<'a> {
    pub(crate) route: &'a Route,
    pub(crate) transactor: Transactor<'a>,
}

impl FirstDelivery {
    /// The delivery of a staple, without names yet.
    pub(crate) fn new(staple: &Staple, status: CertIdStatus, settings: &Settings) -> Self {
        FirstDelivery {
            staple: staple.clone(),
            identity: Identity::of(staple.chain().end_entity()),
            cert_id: staple.chain().cert_id(CertIdHash::Sha1).to_der(),
            names: Vec::new(),
            candidates: Vec::new(),
            status,
            transactions: settings.transactions,
            reporters: settings.reporters.clone(),
        }
    }

    /// Whether HAProxy already has the staple, under one name at least.
    pub(crate) fn is_known(&self) -> bool {
        self.status == CertIdStatus::Known
    }

    /// Whether this is the certificate that HAProxy has loaded.
    pub(crate) fn is(&self, loaded: &Loaded) -> bool {
        loaded.is(&self.identity)
    }

    fn differs(&self, name: &str, loaded: &Loaded) -> Error {
        Error::Differs { name: name.to_owned(), loaded: loaded.serial.clone(), expected: self.identity.serial.clone() }
    }
}

impl FirstDeliverer<'_> {
    /// Delivers the staple under every name under which the certificate is loaded without one. Returns these names.
    pub(crate) async fn deliver(&mut self, first: &FirstDelivery) -> Result<LoadedNames, Error> {
        let found = used(self.search(first).await?, first)?;
        let mut delivered = Vec::new();
        let mut wrong_issuer = None;
        for Found { name, loaded } in found {
            if first.is_known() && loaded.takes_responses_for(&first.cert_id) {
                delivered.push((name, ShowReply::Loaded(loaded)));
                continue;
            }
            match self.deliver_as(first, &name, &loaded).await {
                Ok(loaded) => delivered.push((name, ShowReply::Loaded(loaded))),
                // This is about the chain of this name alone.
                Err(error @ Error::WrongIssuerFirst { .. }) => wrong_issuer = Some(error),
                Err(error) => return Err(error),
            }
        }
        match wrong_issuer {
            Some(error) => Err(error),
            None => Ok(delivered),
        }
    }

    /// Finds the certificate under its names and the candidates.
    async fn search(&mut self, first: &FirstDelivery) -> Result<Vec<Found>, Error> {
        let mut search = Search::default();
        for name in &first.names {
            self.try_name(first, name, Likelihood::Likely, &mut search).await?;
        }
        for candidate in &first.candidates {
            if let Ok(name) = CliName::new(&candidate.name) {
                self.try_name(first, &name, candidate.likelihood, &mut search).await?;
            }
        }
        if !search.found.is_empty() {
            return Ok(search.found);
        }
        Err(match search.stale {
            Some((name, loaded)) => first.differs(&name, &loaded),
            None => Error::NotLoaded { names: first.names.iter().map(|name| name.as_str().to_owned()).collect() },
        })
    }

    /// Notes whether this or another certificate is loaded under this name.
    async fn try_name(
        &mut self,
        first: &FirstDelivery,
        name: &CliName,
        likelihood: Likelihood,
        search: &mut Search,
    ) -> Result<(), Error> {
        match self.transactor.retry_while_locked(&Command::show_certificate(name), show).await? {
            ShowReply::Loaded(loaded) if first.is(&loaded) => {
                if search.found.iter().all(|other| other.name != *name) {
                    search.found.push(Found { name: name.clone(), loaded });
                }
            }
            ShowReply::Loaded(loaded) if likelihood == Likelihood::Likely => {
                search.stale = Some((name.as_str().to_owned(), loaded))
            }
            ShowReply::Loaded(_) | ShowReply::NotFound => {}
            other => return Err(not_shown(other)),
        }
        Ok(())
    }

    /// Makes HAProxy take responses for one loaded certificate; returns how it is loaded then. If HAProxy does not find the
    /// issuer, the issuer is sent with the response.
    async fn deliver_as(&mut self, first: &FirstDelivery, name: &CliName, before: &Loaded) -> Result<Loaded, Error> {
        if !first.transactions.allowed_in(self.transactor.connection.process().version) {
            let name = name.as_str().to_owned();
            return Err(Error::TransactionsOff { name, transactions: first.transactions });
        }
        let mut last = Error::from(Unconfirmed::NoEffect);
        let attempts: &[Issuer] =
            if before.has_chain { &[Issuer::Omitted, Issuer::Included] } else { &[Issuer::Included] };
        for issuer in attempts {
            match self.attempt(first, name, *issuer).await {
                Err(error) if error.is_contradiction() => last = error,
                done => return done,
            }
        }
        Err(last)
    }

    async fn attempt(&mut self, first: &FirstDelivery, name: &CliName, issuer: Issuer) -> Result<Loaded, Error> {
        let mut parts = Vec::with_capacity(2);
        if issuer == Issuer::Included {
            parts.push(Command::set_issuer(name, first.staple.chain().issuer()));
        }
        parts.push(Command::set_first_response(name, &first.staple));
        let committed = self.transactor.change(name, &parts).await?;
        let loaded = self.expect_unchanged(first, name).await?;
        if committed == Committed::WithForeignParts {
            let report = reports::foreign_change_committed(self.route, name.as_str());
            first.reporters.tell_of(first.staple.chain(), report);
        }

        let command = Command::set_ocsp_response(&Payload::Staple(Box::new(first.staple.clone())));
        match push(&self.transactor.connection.ask(&command).await?) {
            // HAProxy before 3.0 does not show whether it took the response for this name or another one.
            PushReply::Updated if !loaded.takes_responses() || loaded.takes_responses_for(&first.cert_id) => Ok(loaded),
            // HAProxy has the issuer and a response, unless another client has replaced the certificate meanwhile: so it
            // computes another CertID.
            PushReply::Updated | PushReply::NoMatch
                if issuer == Issuer::Included && self.expect_unchanged(first, name).await?.takes_responses() =>
            {
                Err(Error::WrongIssuerFirst { name: name.as_str().to_owned() })
            }
            PushReply::Updated | PushReply::NoMatch => {
                Err(Unconfirmed::NotFound { name: name.as_str().to_owned() }.into())
            }
            other => Err(push_refused(other)),
        }
    }

    /// Checks that the certificate is the same after a commit.
    async fn expect_unchanged(&mut self, first: &FirstDelivery, name: &CliName) -> Result<Loaded, Error> {
        match self.transactor.retry_while_locked(&Command::show_certificate(name), show).await? {
            ShowReply::Loaded(loaded) if first.is(&loaded) => Ok(loaded),
            ShowReply::Loaded(loaded) if self.transactor.connection.process().mixes_transactions() => {
                let (name, expected) = (name.as_str().to_owned(), first.identity.serial.clone());
                let error = Error::MixedUp { name, loaded: loaded.serial, expected };
                let report = reports::mixed_up(&error.clone().at(self.route));
                first.reporters.tell_of(first.staple.chain(), report);
                Err(error)
            }
            ShowReply::Loaded(loaded) => Err(first.differs(name.as_str(), &loaded)),
            ShowReply::NotFound => Err(Error::Dropped { name: name.as_str().to_owned() }),
            other => Err(not_shown(other)),
        }
    }
}

/// The found certificates that clients see. HAProxy takes no response for a certificate that nothing uses, whatever a
/// transaction says; the survey may not have listed such a certificate yet.
fn used(mut found: Vec<Found>, first: &FirstDelivery) -> Result<Vec<Found>, Error> {
    let unused = found.first().map(|found| Error::Unused { name: found.name.as_str().to_owned() });
    found.retain(|found| first.is_known() || !found.loaded.is_unused);
    match unused {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// The error of a certificate that HAProxy does not show.
fn not_shown(reply: ShowReply) -> Error {
    let command = "show ssl cert";
    match reply {
        ShowReply::Locked => Error::ForeignTransaction(Foreign::Command),
        ShowReply::Denied => Error::Denied { command },
        ShowReply::Other(said) => Error::Rejected { command, said },
        ShowReply::Loaded(_) | ShowReply::NotFound => Error::Rejected { command, said: String::new() },
    }
}

/// The error of a response that HAProxy did not take.
pub(crate) fn push_refused(reply: PushReply) -> Error {
    let command = "set ssl ocsp-response";
    match reply {
        PushReply::Denied => Error::Denied { command },
        PushReply::EndsTooSoon => Error::EndsTooSoon,
        PushReply::NoMatch => Error::NoMatch,
        PushReply::Updated => Error::Rejected { command, said: String::new() },
        PushReply::Other(said) => Error::Rejected { command, said },
    }
}
