//! Brings a first staple to a certificate that HAProxy started without one: `set ssl cert NAME.ocsp`, `commit ssl cert
//! NAME`, then the staple again, which must now be taken.
//!
//! A process has one transaction at a time. Only one that we began is committed or aborted by us.

use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::sink::SinkError;

use crate::codes;
use crate::command::{CliName, Command};
use crate::connection::{Broken, Connection};
use crate::fault;
use crate::names::Candidate;
use crate::reply::{self, CommitReply, Loaded, ProbeReply, PushReply, SetReply, ShowReply};
use crate::route::Route;

/// How often a command is repeated while HAProxy is in the midst of somebody else's, and after which pause.
pub(crate) const LOCKED_ATTEMPTS: usize = 40;
pub(crate) const LOCKED_PAUSE: Duration = Duration::from_millis(10);

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
    /// Whether HAProxy has the staple already, by one name at least.
    pub(crate) is_known: bool,
}

impl Introduction {
    pub(crate) fn new(
        chain: &CertChain,
        names: Vec<CliName>,
        candidates: Vec<Candidate>,
        response: Bytes,
        is_known: bool,
    ) -> Self {
        let Identity { serial, fingerprint } = Identity::of(chain.end_entity());
        Introduction {
            names,
            candidates,
            serial,
            fingerprint,
            issuer: Bytes::copy_from_slice(chain.issuer().as_der()),
            response,
            is_known,
        }
    }

    fn is(&self, loaded: &Loaded) -> bool {
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

/// What one process is remembered to have while introductions go on.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// A transaction of ours whose end we did not see.
    unfinished: Option<CliName>,
}

impl Desk {
    /// Whether a transaction of ours may be under way.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }
}

/// Why an introduction did not succeed.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The connection is of no use any more.
    Broken(Broken),
    Refused(SinkError),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Fault::Broken(broken)
    }
}

/// Where a certificate was found.
struct Found {
    name: CliName,
    loaded: Loaded,
}

/// Looks for a certificate in one process.
pub(crate) struct Introducer<'a> {
    pub(crate) route: &'a Route,
    pub(crate) connection: &'a mut Connection,
    pub(crate) desk: &'a mut Desk,
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
        for Found { name, loaded } in found {
            if loaded.takes_responses() && what.is_known {
                introduced.push((name, ShowReply::Loaded(loaded)));
                continue;
            }
            self.bring(what, &name, loaded.has_chain).await?;
            let shown = reply::show(&self.ask(&Command::show_certificate(&name)).await?);
            introduced.push((name, shown));
        }
        Ok(introduced)
    }

    /// Asks; again for a while where HAProxy is in the midst of somebody else's command.
    async fn ask(&mut self, command: &Command) -> Result<String, Broken> {
        let mut said = self.connection.ask(command).await?;
        for _ in 0..LOCKED_ATTEMPTS {
            if !reply::is_locked(&said) {
                break;
            }
            tokio::time::sleep(LOCKED_PAUSE).await;
            said = self.connection.ask(command).await?;
        }
        Ok(said)
    }

    fn not_found(&self, what: &Introduction, stale: Option<(String, Loaded)>) -> SinkError {
        match stale {
            Some((name, loaded)) => fault::refused(
                codes::CERTIFICATE_DIFFERS,
                self.route,
                &format!(
                    "HAProxy has another certificate loaded as {name} (serial {}, not {}): the file was renewed and \
                     HAProxy was not told; reload it, or use `set ssl cert` and `commit ssl cert`",
                    fault::quoted(&loaded.serial),
                    what.serial,
                ),
            ),
            None => {
                let names: Vec<&str> = what.names.iter().map(CliName::as_str).collect();
                fault::refused(
                    codes::NOT_LOADED,
                    self.route,
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
        let said = self.ask(&Command::show_certificate(name)).await?;
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
            ShowReply::Locked => Err(Fault::Refused(foreign(self.route, "certificates"))),
            ShowReply::Denied => Err(Fault::Refused(denied(self.route, "show ssl cert", "admin"))),
            ShowReply::Other(said) => Err(Fault::Refused(fault::refused(
                codes::REJECTED,
                self.route,
                &format!("`show ssl cert` was answered with {}", fault::quoted(&said)),
            ))),
        }
    }

    /// Makes one loaded certificate take responses. Where HAProxy does not find the issuer, it is given to it.
    async fn bring(&mut self, what: &Introduction, name: &CliName, has_chain: bool) -> Result<(), Fault> {
        let mut last = None;
        let attempts: &[bool] = if has_chain { &[false, true] } else { &[true] };
        for with_issuer in attempts {
            match self.attempt(what, name, *with_issuer).await {
                Ok(()) => return Ok(()),
                Err(Fault::Refused(error))
                    if error.code() == codes::COMMIT_FAILED || error.code() == codes::NOT_CONFIRMED =>
                {
                    last = Some(error);
                }
                Err(other) => return Err(other),
            }
        }
        let not_confirmed = || fault::refused(codes::NOT_CONFIRMED, self.route, "the change had no effect");
        Err(Fault::Refused(last.unwrap_or_else(not_confirmed)))
    }

    async fn attempt(&mut self, what: &Introduction, name: &CliName, with_issuer: bool) -> Result<(), Fault> {
        self.finish().await?;
        self.expect_no_transaction().await?;
        let mut is_ours = false;
        if with_issuer {
            self.set(&Command::set_issuer(name, &what.issuer), name, &mut is_ours).await?;
        }
        self.set(&Command::set_first_response(name, &what.response), name, &mut is_ours).await?;

        let said = self.ask(&Command::commit(name)).await?;
        let committed = match reply::commit(&said, name.as_str()) {
            CommitReply::Done => Ok(()),
            CommitReply::Denied => Err(denied(self.route, "commit ssl cert", "admin")),
            CommitReply::Failed(said) => Err(fault::refused(
                codes::COMMIT_FAILED,
                self.route,
                &format!("`commit ssl cert {}` was answered with {}", name.as_str(), fault::quoted(&said)),
            )),
        };
        if let Err(error) = committed {
            self.finish().await?;
            return Err(Fault::Refused(error));
        }
        self.desk.unfinished = None;

        let said = self.ask(&Command::set_ocsp_response(&what.response)).await?;
        match reply::push(&said) {
            PushReply::Updated => Ok(()),
            PushReply::NoMatch => Err(Fault::Refused(fault::refused(
                codes::NOT_CONFIRMED,
                self.route,
                &format!(
                    "after `commit ssl cert {}` HAProxy still does not find the certificate by its CertID: see that \
                     the issuer in its file, its .issuer file or issuers-chain-path is the right one",
                    name.as_str()
                ),
            ))),
            other => Err(Fault::Refused(push_refused(self.route, &other))),
        }
    }

    /// Puts one part into the transaction that we begin with the first.
    async fn set(&mut self, command: &Command, name: &CliName, is_ours: &mut bool) -> Result<(), Fault> {
        if !*is_ours {
            // From here on until its reply is seen, a transaction may be ours; a reply that says otherwise clears it.
            self.desk.unfinished = Some(name.clone());
        }
        let said = self.ask(command).await?;
        if reply::is_locked(&said) {
            // Nothing was begun, and what was begun before is finished.
            if *is_ours {
                self.finish().await?;
            } else {
                self.desk.unfinished = None;
            }
            return Err(Fault::Refused(foreign(self.route, "certificates")));
        }
        let error = match reply::set(&said, name.as_str()) {
            SetReply::Created => {
                *is_ours = true;
                return Ok(());
            }
            SetReply::Joined if *is_ours => return Ok(()),
            SetReply::Joined | SetReply::Busy => foreign(self.route, "another certificate"),
            SetReply::Denied => denied(self.route, "set ssl cert", "admin"),
            SetReply::NotLoaded => fault::refused(
                codes::NOT_LOADED,
                self.route,
                &format!("HAProxy has just dropped the certificate {}", name.as_str()),
            ),
            SetReply::Other(said) => fault::refused(
                codes::COMMIT_FAILED,
                self.route,
                &format!("`set ssl cert {}` was answered with {}", name.as_str(), fault::quoted(&said)),
            ),
        };
        if *is_ours {
            self.finish().await?;
        } else {
            self.desk.unfinished = None;
        }
        Err(Fault::Refused(error))
    }

    /// Aborts the transaction that we began, if there is one left. Ours leaves the certificate as it is: one that would
    /// put another in its place was begun by somebody else since.
    pub(crate) async fn finish(&mut self) -> Result<(), Broken> {
        if let Some(name) = self.desk.unfinished.clone() {
            let begun = self.ask(&Command::show_transaction(&name)).await?;
            let loaded = self.ask(&Command::show_certificate(&name)).await?;
            let is_over = match (reply::show(&begun), reply::show(&loaded)) {
                (ShowReply::Locked, _) | (_, ShowReply::Locked) => false,
                (ShowReply::Loaded(begun), ShowReply::Loaded(loaded))
                    if (&begun.serial, &begun.fingerprint) == (&loaded.serial, &loaded.fingerprint) =>
                {
                    !reply::is_locked(&self.ask(&Command::abort(&name)).await?)
                }
                _ => true,
            };
            // What is not over is finished the next time.
            if is_over {
                self.desk.unfinished = None;
            }
        }
        Ok(())
    }

    /// A part that is set while somebody else's transaction is under way would end up in it.
    async fn expect_no_transaction(&mut self) -> Result<(), Fault> {
        let said = self.ask(&Command::probe_transaction()).await?;
        if reply::is_locked(&said) {
            return Err(Fault::Refused(foreign(self.route, "certificates")));
        }
        Err(Fault::Refused(match reply::probe(&said) {
            ProbeReply::None => return Ok(()),
            ProbeReply::Busy(about) => foreign(self.route, &about),
            ProbeReply::Denied => denied(self.route, "set ssl cert", "admin"),
            ProbeReply::Other(said) => fault::refused(
                codes::REJECTED,
                self.route,
                &format!("`abort ssl cert` was answered with {}", fault::quoted(&said)),
            ),
        }))
    }
}

/// Somebody else is at it.
pub(crate) fn foreign(route: &Route, about: &str) -> SinkError {
    fault::refused(
        codes::FOREIGN_TRANSACTION,
        route,
        &format!(
            "somebody else is changing {}: end that with `commit ssl cert` or `abort ssl cert`; it is tried again",
            fault::quoted(about)
        ),
    )
}

/// HAProxy's level does not allow a command.
pub(crate) fn denied(route: &Route, command: &str, level: &str) -> SinkError {
    fault::refused(
        codes::PERMISSION_DENIED,
        route,
        &format!("HAProxy denies `{command}`: give its `stats socket` line `level {level}`"),
    )
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
