//! One HAProxy process as a sink has it: staples in, confirmed deliveries and withdrawals out. What it lost: `losses`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use stapled_core::chain::CertChain;
use stapled_core::ocsp::CertIdHash;
use stapled_core::sink::{Change, SinkError, Site};
use stapled_core::staple::Staple;
use stapled_core::time::Timestamp;
use tokio::time::Instant;

use crate::cli::command::{CliName, Command};
use crate::cli::process::Process;
use crate::cli::reply::{self, Loaded, PushReply, ShowReply, Shown, plain_serial};
use crate::cli::route::Route;
use crate::cli::withdrawal_token::WithdrawalToken;
use crate::codes;
use crate::fault;
use crate::instance::channel::{Latest, SLACK, Writer, lock};
use crate::instance::first_staple::{Identity, Introduction, mistaken, push_refused};
use crate::instance::names::Candidate;
use crate::instance::settings::Settings;
use crate::instance::writer;
use crate::sink::comparison::{Agreement, Compared};

/// HAProxy stops stapling a response this long before its nextUpdate.
pub(crate) const MARGIN: Duration = Duration::from_secs(300);
/// How often it is told at most that a HAProxy is back, or can be tried again.
pub(crate) const TOLD_AGAIN: Duration = Duration::from_secs(5);
/// How long a delivery waits for the end of somebody else's transaction, and how often it looks.
const FOREIGN_PATIENCE: Duration = Duration::from_secs(2);
const FOREIGN_PAUSE: Duration = Duration::from_millis(100);
/// How often a delivery is tried once more that HAProxy did not confirm.
const ATTEMPTS: usize = 2;
/// Who could not be delivered to is forgotten after so long: it is tried again before that.
pub(crate) const WANTED: Duration = Duration::from_secs(2 * 3600);

/// One process, and what it was given.
pub(crate) struct Peer {
    pub(crate) writer: Arc<Writer>,
    pub(crate) settings: Settings,
    pub(crate) memory: Mutex<Memory>,
}

/// What a process was given.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The process that has it.
    pub(crate) process: Option<Process>,
    /// What it was given, by the DER of the CertID.
    pub(crate) delivered: HashMap<Bytes, Given>,
    /// What of it HAProxy has only said to have taken, and not yet shown.
    pub(crate) unshown: HashSet<Bytes>,
    /// What was taken from it since its certificate is revoked, by the DER of the CertID.
    pub(crate) withdrawn: HashMap<Bytes, Taken>,
    /// Somebody else's responses that were replaced although nothing speaks against them but that they cannot be verified:
    /// by the DER of the CertID, their times. Who insists has it.
    pub(crate) foreign: HashMap<Bytes, (String, String)>,
    /// What it could not be given since it has it not loaded, by serial number, and since when.
    pub(crate) wanted: HashMap<String, (Identity, Instant)>,
    /// The names under which no staple can be brought, since HAProxy takes another certificate for the issuer; and how it had
    /// them loaded then. Nothing mends that but another chain.
    pub(crate) mistaken: HashMap<Arc<str>, Loaded>,
    /// The state of the register that was compared last.
    pub(crate) compared: u64,
    /// What somebody else changed, until it is told.
    pub(crate) changes: Vec<Change>,
    /// When to compare next what it shows with what it was given.
    pub(crate) compare_at: Option<Instant>,
    /// Whether a delivery reached nobody since somebody answered last.
    pub(crate) missed: bool,
    /// Whether somebody else's transaction was in the way.
    pub(crate) blocked: bool,
    /// When it was last told that deliveries can be tried again.
    pub(crate) told_at: Option<Instant>,
}

/// A response that was taken.
struct Brought {
    process: Process,
    cert_id: Bytes,
    is_shown: bool,
}

/// What took a revoked certificate's staple out of service.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) chain: CertChain,
    token: Arc<WithdrawalToken>,
    at: Timestamp,
}

impl<'a> From<&'a Taken> for Compared<'a> {
    fn from(taken: &'a Taken) -> Self {
        Compared { response: taken.token.as_der(), this_update: taken.at, next_update: taken.token.until() }
    }
}

/// A response that was delivered.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) chain: Arc<CertChain>,
    pub(crate) identity: Identity,
    /// The names by which it is known to whoever delivers.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) response: Bytes,
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Timestamp,
}

impl<'a> From<&'a Given> for Compared<'a> {
    fn from(given: &'a Given) -> Self {
        Compared { response: &given.response, this_update: given.this_update, next_update: given.next_update }
    }
}

impl Peer {
    pub(crate) fn new(route: &Route, settings: Settings) -> Self {
        Peer { writer: Writer::of(route, settings.patience), settings, memory: Mutex::default() }
    }

    pub(crate) fn route(&self) -> &Route {
        self.writer.route()
    }

    fn latest(&self, at: Timestamp) -> Latest {
        Latest { at, made: None, clock: Arc::clone(&self.settings.clock) }
    }

    // ---- deliveries

    /// Whether the process was given just this, and nothing is known against its having it.
    fn has(&self, staple: &Staple, sites: &[Site]) -> bool {
        let memory = lock(&self.memory);
        let Some(given) = memory.delivered.get(staple.facts().cert_id.to_der().as_slice()) else { return false };
        let processes = self.writer.processes();
        let is_same_process = match (&memory.process, processes.borrow().as_ref()) {
            (Some(known), Some(current)) => known.is_same(current),
            _ => false,
        };
        is_same_process && given.response == *staple.response() && given.names == names_of(sites)
    }

    /// Delivers; returns when HAProxy has said that it took the staple, and shows it.
    pub(crate) async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<(), SinkError> {
        if self.has(staple, sites) {
            return Ok(());
        }
        let identity = Identity::of(staple.chain().end_entity());
        let mut done = self.bring(staple, sites, &identity).await;
        // Others may replace a certificate at the very moment at which it gets its staple.
        for _ in 0..ATTEMPTS {
            let is_odd = |error: &SinkError| [codes::NOT_CONFIRMED, codes::COMMIT_FAILED].contains(&error.code());
            if !done.as_ref().is_err_and(is_odd) {
                break;
            }
            tokio::time::sleep(FOREIGN_PAUSE).await;
            done = self.bring(staple, sites, &identity).await;
        }
        let mut memory = lock(&self.memory);
        let serial = plain_serial(&identity.serial);
        match &done {
            Ok(_) => {
                memory.wanted.remove(&serial);
            }
            Err(SinkError::Unreachable { .. }) => memory.missed = true,
            Err(error) if may_come(error) || error.code() == codes::CERTIFICATE_MIXED_UP => {
                memory.wanted.insert(serial, (identity.clone(), Instant::now()));
            }
            Err(error) if error.code() == codes::FOREIGN_TRANSACTION => memory.blocked = true,
            Err(_) => {}
        }
        let Brought { process, cert_id, is_shown } = done.map_err(|error| match may_come(&error) {
            true => SinkError::NotYet { code: error.code(), what: error.to_string() },
            false => error,
        })?;
        memory.process.get_or_insert(process);
        let facts = staple.facts();
        let given = Given {
            chain: Arc::clone(staple.chain()),
            identity,
            names: names_of(sites),
            response: staple.response().clone(),
            this_update: staple.this_update(),
            next_update: facts.next_update.unwrap_or_else(|| staple.expires()),
        };
        if is_shown {
            memory.unshown.remove(&cert_id);
        } else {
            memory.unshown.insert(cert_id.clone());
        }
        memory.withdrawn.remove(&cert_id);
        memory.delivered.insert(cert_id, given);
        Ok(())
    }

    async fn bring(&self, staple: &Staple, sites: &[Site], identity: &Identity) -> Result<Brought, SinkError> {
        let response = staple.response();
        let cert_id = Bytes::from(staple.facts().cert_id.to_der());
        let latest = staple.expires() - MARGIN - SLACK;
        let command = Command::set_ocsp_response(response);
        let pushed = self.writer.push(command, cert_id.clone(), self.latest(latest)).await?;
        let is_known = match pushed.said {
            PushReply::Updated => true,
            PushReply::NoMatch => false,
            other => return Err(push_refused(self.route(), &other)),
        };
        if is_known && let Some(shown) = &pushed.shown {
            self.expect_shown(shown, staple)?;
        }
        let is_shown = pushed.shown.is_some();
        match self.writer.surveyed(&pushed.process).await {
            Ok(()) => {}
            // Without the level to look closer, HAProxy's word that it has the staple is all there is.
            Err(error) if is_known && error.code() == codes::PERMISSION_DENIED => {
                return Ok(Brought { process: pushed.process, cert_id, is_shown });
            }
            Err(error) => return Err(error),
        }
        let Identity { serial, fingerprint } = identity;
        let found = self.writer.register(|register| {
            let found = register.find(serial, fingerprint);
            let names: Vec<Arc<str>> = found.iter().map(|(name, _)| Arc::clone(name)).collect();
            let mut used = found.into_iter().filter(|(_, loaded)| is_known || !loaded.is_unused).peekable();
            if used.peek().is_none()
                && let Some(name) = names.first()
            {
                register.watch(names.iter().map(Arc::clone));
                return Err(Arc::clone(name));
            }
            let takes = |loaded: &Loaded| loaded.takes_responses_for(&cert_id);
            let found: Vec<_> = used.map(|(name, loaded)| (name, takes(loaded))).collect();
            Ok((found, register.certificates().next().is_some()))
        });
        let (found, is_legible) = found.map_err(|name| {
            let what = format!(
                "HAProxy has loaded {name} and uses it nowhere: name it on a `bind` line or in a crt-list (`add ssl \
                 crt-list`), if clients are to see it; it gets its staple then"
            );
            fault::refused(codes::CERTIFICATE_UNUSED, self.route(), &what)
        })?;
        // It is loaded, and wherever it is, it takes responses. Where nothing that HAProxy shows of its certificates can
        // be read, its word has to do.
        if is_known && (!is_legible || !found.is_empty() && found.iter().all(|(_, takes_responses)| *takes_responses)) {
            return Ok(Brought { process: pushed.process, cert_id, is_shown });
        }
        let found = found.into_iter().map(|(name, _)| name);
        let mut what = self.introduction(staple, sites, found, is_known)?;
        let left_out = self.leave_out_mistaken(&mut what);
        if let Some(name) = left_out.first().filter(|_| what.names.is_empty()) {
            return Err(mistaken(self.route(), name));
        }
        let process = match self.introduce(&what, latest).await {
            Err(error) if error.code() == codes::WRONG_ISSUER_FIRST => {
                self.note_mistaken(&what).await;
                return Err(error);
            }
            done => done?,
        };
        if let Some(name) = left_out.first() {
            return Err(mistaken(self.route(), name));
        }
        self.expect_shown(&self.show(&cert_id, &process).await?, staple)?;
        Ok(Brought { process, cert_id, is_shown: true })
    }

    /// Takes those names out under which no staple can be brought; returns them. A transaction would change nothing.
    fn leave_out_mistaken(&self, what: &mut Introduction) -> Vec<Arc<str>> {
        let memory = lock(&self.memory);
        let known = |name: &CliName| memory.mistaken.get_key_value(name.as_str()).filter(|(_, loaded)| what.is(loaded));
        let left_out: Vec<Arc<str>> = what.names.iter().filter_map(|name| Some(Arc::clone(known(name)?.0))).collect();
        what.names.retain(|name| left_out.iter().all(|left_out| **left_out != *name.as_str()));
        left_out
    }

    /// Notes under which of these names HAProxy takes another certificate for the issuer.
    async fn note_mistaken(&self, what: &Introduction) {
        let candidates = what.candidates.iter().filter_map(|candidate| CliName::new(&candidate.name).ok());
        let names: Vec<CliName> = what.names.iter().cloned().chain(candidates).collect();
        for name in names {
            // What does not answer now is tried again, as if nothing were known.
            let asked = self.writer.ask(vec![Command::show_certificate(&name)]).await;
            let Ok((replies, _)) = asked else { return };
            let Some(ShowReply::Loaded(loaded)) = replies.first().map(|said| reply::show(said)) else { continue };
            if !what.is(&loaded)
                || !loaded.takes_responses()
                || what.is_known && loaded.takes_responses_for(&what.cert_id)
            {
                continue;
            }
            let name: Arc<str> = name.as_str().into();
            self.writer.register(|register| {
                register.note(&name, &ShowReply::Loaded(loaded.clone()));
                register.watch([Arc::clone(&name)]);
            });
            lock(&self.memory).mistaken.insert(name, loaded);
        }
    }

    /// Introduces the staple; waits a little where somebody else is at it.
    async fn introduce(&self, what: &Introduction, latest: Timestamp) -> Result<Process, SinkError> {
        let begun = Instant::now();
        loop {
            match self.writer.introduce(what.clone(), self.latest(latest)).await {
                Ok((introduced, process)) => {
                    self.writer.note(&introduced, &process);
                    return Ok(process);
                }
                Err(error) if error.code() == codes::FOREIGN_TRANSACTION && begun.elapsed() < FOREIGN_PATIENCE => {
                    tokio::time::sleep(FOREIGN_PAUSE).await;
                }
                Err(error) => {
                    let names = what.names.iter().map(|name| name.as_str().into());
                    let candidates = what.candidates.iter().map(|candidate| candidate.name.as_str().into());
                    self.writer.register(|register| register.watch(names.chain(candidates)));
                    return Err(error);
                }
            }
        }
    }

    /// Under which names to look for a certificate: those that it was seen under, or else those that may stand for where
    /// it lies.
    fn introduction(
        &self,
        staple: &Staple,
        sites: &[Site],
        found: impl Iterator<Item = Arc<str>>,
        is_known: bool,
    ) -> Result<Introduction, SinkError> {
        let mut names: Vec<CliName> = found.filter_map(|name| CliName::new(&name).ok()).collect();
        let mut candidates: Vec<Candidate> = Vec::new();
        if names.is_empty() {
            names = self.names(sites)?;
            for name in &names {
                let new = self.writer.register(|register| register.candidates(name.as_str()));
                candidates.extend(new.into_iter().filter(|new| !names.iter().any(|name| name.as_str() == new.name)));
            }
        }
        Ok(Introduction::new(staple.chain(), names, candidates, staple.response().clone(), is_known, &self.settings))
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
                self.route(),
                &format!("HAProxy cannot be told about {:?}: {reason}; rename the file", site.served_as),
            )),
            _ => Ok(names),
        }
    }

    /// What HAProxy shows after it took a staple must be that.
    fn expect_shown(&self, shown: &Shown, staple: &Staple) -> Result<(), SinkError> {
        let given = Compared {
            response: staple.response(),
            this_update: staple.this_update(),
            next_update: staple.facts().next_update.unwrap_or_else(|| staple.expires()),
        };
        if let Shown::Garbled(said) = shown {
            let what = format!("`show ssl ocsp-response` was answered with {}", fault::quoted(said));
            return Err(fault::refused(codes::NOT_CONFIRMED, self.route(), &what));
        }
        match given.with(shown) {
            Agreement::Same | Agreement::Unknown => Ok(()),
            Agreement::Nothing | Agreement::Older | Agreement::Newer => Err(fault::refused(
                codes::NOT_CONFIRMED,
                self.route(),
                "HAProxy took the staple, but shows another one: see who else gives it staples, such as its own \
                 `ocsp-update`",
            )),
        }
    }

    // ---- withdrawals

    /// What is not to be delivered any more is not missed.
    pub(crate) fn forget(&self, chain: &CertChain) {
        let mut memory = lock(&self.memory);
        let cert_id = chain.cert_id(CertIdHash::Sha1).to_der();
        memory.delivered.remove(cert_id.as_slice());
        memory.withdrawn.remove(cert_id.as_slice());
        memory.foreign.remove(cert_id.as_slice());
        memory.wanted.remove(&plain_serial(&Identity::of(chain.end_entity()).serial));
    }

    /// Ends stapling by a response that HAProxy does not serve. Clients never see it. Of a certificate that is revoked, it
    /// stays so whatever others bring.
    pub(crate) async fn withdraw(&self, chain: &CertChain, is_revoked: bool) -> Result<(), SinkError> {
        let now = self.settings.clock.now();
        let cert_id = chain.cert_id(CertIdHash::Sha1);
        let token = WithdrawalToken::new(&cert_id, now)
            .map_err(|error| fault::refused(codes::REJECTED, self.route(), &error.to_string()))?;
        let token = Arc::new(token);
        let command = Command::set_ocsp_response(token.as_der());
        // An expired token would be refused, and change nothing.
        let latest = Latest { made: Some(now), ..self.latest(now + Duration::from_secs(50)) };
        let cert_id = Bytes::from(cert_id.to_der());
        let pushed = self.writer.push(command, cert_id.clone(), latest).await?;
        match pushed.said {
            // From 3.2 on HAProxy calls the token an error, and has dropped the staple all the same. Where no
            // certificate matches there is none.
            PushReply::EndsTooSoon | PushReply::NoMatch => {}
            PushReply::Updated => {
                let shown = match pushed.shown {
                    Some(shown) => shown,
                    None => self.show(&cert_id, &pushed.process).await?,
                };
                let given = Compared { response: token.as_der(), this_update: now, next_update: token.until() };
                if !matches!(given.with(&shown), Agreement::Same | Agreement::Unknown) {
                    return Err(fault::refused(
                        codes::NOT_CONFIRMED,
                        self.route(),
                        "HAProxy was told to drop a staple, and shows that it still has one",
                    ));
                }
            }
            other => return Err(push_refused(self.route(), &other)),
        }
        self.forget(chain);
        if is_revoked {
            lock(&self.memory).withdrawn.insert(cert_id, Taken { chain: chain.clone(), token, at: now });
        }
        Ok(())
    }

    /// Asks what the process has under a CertID.
    async fn show(&self, cert_id: &[u8], process: &Process) -> Result<Shown, SinkError> {
        let (replies, process) = self.writer.ask(vec![writer::show(cert_id, process)]).await?;
        Ok(replies.first().map_or(Shown::Unclear, |reply| writer::shown(reply, &process)))
    }
}

/// Whether what is missing may come by itself: somebody is telling HAProxy of a renewed file.
fn may_come(error: &SinkError) -> bool {
    [codes::NOT_LOADED, codes::CERTIFICATE_DIFFERS, codes::CERTIFICATE_UNUSED].contains(&error.code())
}

fn names_of(sites: &[Site]) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::with_capacity(sites.len());
    for site in sites {
        if !names.contains(&site.served_as) {
            names.push(Arc::clone(&site.served_as));
        }
    }
    names
}
