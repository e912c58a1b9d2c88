//! Brings a first staple to a certificate that HAProxy started without one: `set ssl cert NAME.ocsp`, `commit ssl cert
//! NAME`, then the staple again, which must now be taken.

use aws_lc_rs::digest;
use bytes::Bytes;
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::ocsp::CertIdHash;
use stapled_core::report::Reporters;
use stapled_core::sink::SinkError;

use crate::cli::command::{CliName, Command};
use crate::cli::reply::{self, Loaded, PushReply, ShowReply};
use crate::cli::route::Route;
use crate::codes;
use crate::fault;
use crate::instance::names::Candidate;
use crate::instance::settings::{Settings, Transactions};
use crate::instance::transaction::{Changed, Changer, Fault, denied, dropped, foreign};
use crate::reports;

/// What is to be introduced.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    /// The names under which servers may know the certificate.
    pub(crate) names: Vec<CliName>,
    /// Names of other certificates that may be this one.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) serial: String,
    pub(crate) fingerprint: String,
    pub(crate) issuer: Bytes,
    pub(crate) response: Bytes,
    /// The DER of the CertID by which HAProxy has to know the certificate.
    pub(crate) cert_id: Vec<u8>,
    /// Whether HAProxy has the staple already, by one name at least.
    pub(crate) is_known: bool,
    pub(crate) transactions: Transactions,
    pub(crate) chain: CertChain,
    pub(crate) reporters: Reporters,
}

impl Introduction {
    pub(crate) fn new(
        chain: &CertChain,
        names: Vec<CliName>,
        candidates: Vec<Candidate>,
        response: Bytes,
        is_known: bool,
        settings: &Settings,
    ) -> Self {
        let Identity { serial, fingerprint } = Identity::of(chain.end_entity());
        Introduction {
            names,
            candidates,
            serial,
            fingerprint,
            issuer: Bytes::copy_from_slice(chain.issuer().as_der()),
            response,
            cert_id: chain.cert_id(CertIdHash::Sha1).to_der(),
            is_known,
            transactions: settings.transactions,
            chain: chain.clone(),
            reporters: settings.reporters.clone(),
        }
    }

    pub(crate) fn is(&self, loaded: &Loaded) -> bool {
        loaded.is(&self.serial, &self.fingerprint)
    }
}

/// What HAProxy tells certificates apart by, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) serial: String,
    /// The SHA-1 hash of the certificate.
    pub(crate) fingerprint: String,
}

impl Identity {
    pub(crate) fn of(certificate: &Certificate) -> Self {
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate.as_der());
        Identity { serial: hexadecimal(certificate.serial()), fingerprint: hexadecimal(hash.as_ref()) }
    }
}

/// What was seen of certificates on the way: their names, and how they are loaded.
pub(crate) type Introduced = Vec<(CliName, ShowReply)>;

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default().to_ascii_uppercase();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Where a certificate was found.
struct Found {
    name: CliName,
    loaded: Loaded,
}

/// Looks for a certificate in one process.
pub(crate) struct Introducer<'a> {
    pub(crate) changer: Changer<'a>,
}

impl Introducer<'_> {
    /// Introduces the staple under every name that the certificate is loaded by and that has none yet.
    /// Returns how it is loaded then.
    pub(crate) async fn introduce(&mut self, what: &Introduction) -> Result<Introduced, Fault> {
        let mut found = Vec::new();
        let mut stale = None;
        for name in &what.names {
            self.try_name(what, name, true, &mut found, &mut stale).await?;
        }
        for candidate in &what.candidates {
            if let Ok(name) = CliName::new(&candidate.name) {
                self.try_name(what, &name, candidate.is_likely, &mut found, &mut stale).await?;
            }
        }
        if found.is_empty() {
            return Err(Fault::Refused(self.not_found(what, stale)));
        }
        let mut introduced = Vec::new();
        let mut mistaken = None;
        for Found { name, loaded } in found {
            if what.is_known && loaded.takes_responses_for(&what.cert_id) {
                introduced.push((name, ShowReply::Loaded(loaded)));
                continue;
            }
            match self.bring(what, &name, loaded.has_chain).await {
                Ok(loaded) => introduced.push((name, ShowReply::Loaded(loaded))),
                // That is about this name's chain alone.
                Err(Fault::Refused(error)) if error.code() == codes::WRONG_ISSUER_FIRST => mistaken = Some(error),
                Err(error) => return Err(error),
            }
        }
        match mistaken {
            Some(error) => Err(Fault::Refused(error)),
            None => Ok(introduced),
        }
    }

    fn route(&self) -> &Route {
        self.changer.route
    }

    fn not_found(&self, what: &Introduction, stale: Option<(String, Loaded)>) -> SinkError {
        match stale {
            Some((name, loaded)) => differs(self.route(), what, &name, &loaded),
            None => {
                let names: Vec<&str> = what.names.iter().map(CliName::as_str).collect();
                fault::refused(
                    codes::NOT_LOADED,
                    self.route(),
                    &format!(
                        "HAProxy has not loaded the certificate {}: name it on a `bind … crt` line and reload, or \
                         do not bind it to this socket",
                        names.join(", "),
                    ),
                )
            }
        }
    }

    /// Whether a certificate is loaded by this name, this one or another.
    async fn try_name(
        &mut self,
        what: &Introduction,
        name: &CliName,
        is_likely: bool,
        found: &mut Vec<Found>,
        stale: &mut Option<(String, Loaded)>,
    ) -> Result<bool, Fault> {
        let said = self.changer.ask(&Command::show_certificate(name)).await?;
        match reply::show(&said) {
            ShowReply::Loaded(loaded) if what.is(&loaded) => {
                if found.iter().all(|other| other.name != *name) {
                    found.push(Found { name: name.clone(), loaded });
                }
                Ok(true)
            }
            ShowReply::Loaded(loaded) => {
                if is_likely {
                    *stale = Some((name.as_str().to_owned(), loaded));
                }
                Ok(true)
            }
            ShowReply::NotFound => Ok(false),
            other => Err(Fault::Refused(not_shown(self.route(), other))),
        }
    }

    /// Makes one loaded certificate take responses; returns how it is loaded then. Where HAProxy does not find the issuer,
    /// it is given to it.
    async fn bring(&mut self, what: &Introduction, name: &CliName, has_chain: bool) -> Result<Loaded, Fault> {
        if !what.transactions.allowed_in(self.changer.connection.process().version) {
            let why_not = format!("{} has no staple since its start: {}", name.as_str(), what.transactions.why_not());
            return Err(Fault::Refused(fault::refused(codes::TRANSACTIONS_OFF, self.route(), &why_not)));
        }
        let mut last = None;
        let attempts: &[bool] = if has_chain { &[false, true] } else { &[true] };
        for with_issuer in attempts {
            match self.attempt(what, name, *with_issuer).await {
                Ok(loaded) => return Ok(loaded),
                Err(Fault::Refused(error))
                    if error.code() == codes::COMMIT_FAILED || error.code() == codes::NOT_CONFIRMED =>
                {
                    last = Some(error);
                }
                Err(other) => return Err(other),
            }
        }
        let not_confirmed = || fault::refused(codes::NOT_CONFIRMED, self.route(), "the change had no effect");
        Err(Fault::Refused(last.unwrap_or_else(not_confirmed)))
    }

    async fn attempt(&mut self, what: &Introduction, name: &CliName, with_issuer: bool) -> Result<Loaded, Fault> {
        let mut parts = Vec::with_capacity(2);
        if with_issuer {
            parts.push(Command::set_issuer(name, &what.issuer));
        }
        parts.push(Command::set_first_response(name, &what.response));
        let changed = self.changer.change(name, &parts).await?;
        let loaded = self.expect_unchanged(what, name).await?;
        if changed == Changed::WithForeignParts {
            what.reporters.tell_of(&what.chain, reports::foreign_change_committed(self.route(), name.as_str()));
        }

        let said = self.changer.ask(&Command::set_ocsp_response(&what.response)).await?;
        match reply::push(&said) {
            // It may have been taken for another name; HAProxy before 3.0 does not tell.
            PushReply::Updated if !loaded.takes_responses() || loaded.takes_responses_for(&what.cert_id) => Ok(loaded),
            // It has the issuer and has taken a response in, and still has it unless others have replaced the certificate
            // meanwhile: so it goes by another CertID.
            PushReply::Updated | PushReply::NoMatch
                if with_issuer && self.expect_unchanged(what, name).await?.takes_responses() =>
            {
                Err(Fault::Refused(mistaken(self.route(), name.as_str())))
            }
            PushReply::Updated | PushReply::NoMatch => Err(Fault::Refused(fault::refused(
                codes::NOT_CONFIRMED,
                self.route(),
                &format!(
                    "after `commit ssl cert {}` HAProxy still does not find the certificate by its CertID: see that \
                     the issuer in its file, its .issuer file or issuers-chain-path is the right one",
                    name.as_str()
                ),
            ))),
            other => Err(Fault::Refused(push_refused(self.route(), &other))),
        }
    }

    /// After a commit the certificate must be what it was.
    async fn expect_unchanged(&mut self, what: &Introduction, name: &CliName) -> Result<Loaded, Fault> {
        let said = self.changer.ask(&Command::show_certificate(name)).await?;
        match reply::show(&said) {
            ShowReply::Loaded(loaded) if what.is(&loaded) => Ok(loaded),
            ShowReply::Loaded(loaded) if self.changer.connection.process().mixes_transactions() => {
                let error = mixed_up(self.route(), what, name, &loaded);
                what.reporters.tell_of(&what.chain, reports::mixed_up(&error));
                Err(Fault::Refused(error))
            }
            ShowReply::Loaded(loaded) => Err(Fault::Refused(differs(self.route(), what, name.as_str(), &loaded))),
            ShowReply::NotFound => Err(Fault::Refused(dropped(self.route(), name))),
            other => Err(Fault::Refused(not_shown(self.route(), other))),
        }
    }
}

/// HAProxy has another certificate for the issuer.
pub(crate) fn mistaken(route: &Route, name: &str) -> SinkError {
    fault::refused(
        codes::WRONG_ISSUER_FIRST,
        route,
        &format!(
            "HAProxy takes another certificate of the issuer's name for the issuer of {name}, since it comes first in its chain: \
             no staple fits; put the issuer's certificate before the other one in {name}, or remove the other one, and reload \
             HAProxy"
        ),
    )
}

/// Something else is loaded in its place.
fn differs(route: &Route, what: &Introduction, name: &str, loaded: &Loaded) -> SinkError {
    fault::refused(
        codes::CERTIFICATE_DIFFERS,
        route,
        &format!(
            "HAProxy has another certificate loaded as {name} (serial {}, not {}): the file was renewed and HAProxy was \
             not told; reload it, or use `set ssl cert` and `commit ssl cert`",
            fault::quoted(&loaded.serial),
            what.serial,
        ),
    )
}

/// What somebody else set has come under this name.
fn mixed_up(route: &Route, what: &Introduction, name: &CliName, loaded: &Loaded) -> SinkError {
    fault::refused(
        codes::CERTIFICATE_MIXED_UP,
        route,
        &format!(
            "HAProxy now serves another certificate as {} (serial {}, not {}): somebody set one with `set ssl cert` at the \
             very moment at which this one got its first staple, and HAProxy before 3.0 puts it under whatever name is \
             being changed; unless it was meant for this name, RELOAD HAProxy at once",
            name.as_str(),
            fault::quoted(&loaded.serial),
            what.serial,
        ),
    )
}

/// HAProxy does not show a certificate.
fn not_shown(route: &Route, said: ShowReply) -> SinkError {
    match said {
        ShowReply::Locked => foreign(route, "certificates"),
        ShowReply::Denied => denied(route, "show ssl cert", "admin"),
        ShowReply::Other(said) => fault::refused(
            codes::REJECTED,
            route,
            &format!("`show ssl cert` was answered with {}", fault::quoted(&said)),
        ),
        ShowReply::Loaded(_) | ShowReply::NotFound => {
            fault::refused(codes::REJECTED, route, "`show ssl cert` was answered with something else")
        }
    }
}

/// What a push that did not succeed means.
pub(crate) fn push_refused(route: &Route, said: &PushReply) -> SinkError {
    match said {
        PushReply::Denied => denied(route, "set ssl ocsp-response", "admin"),
        PushReply::EndsTooSoon => fault::refused(codes::REJECTED, route, "the response ends within 300 s"),
        PushReply::NoMatch => fault::refused(codes::NOT_LOADED, route, "HAProxy knows no certificate of this CertID"),
        PushReply::Updated => fault::refused(codes::REJECTED, route, "the response was taken"),
        PushReply::Other(said) => {
            let what = format!("`set ssl ocsp-response` was answered with {}", fault::quoted(said));
            fault::refused(codes::REJECTED, route, &what)
        }
    }
}
