//! What there is to say of one certificate. Pure.

use std::path::Path;

use stapled_core::certificate::Certificate;
use stapled_core::chain::ChainError;
use stapled_core::io::file::codes as files;
use stapled_core::ocsp::CertStatus;
use stapled_core::overrides::ResponderOverrides;
use stapled_core::reason::ReasonCode;
use stapled_core::source::Sighting;
use stapled_core::staple::{JudgePolicy, Staple, judge};
use stapled_core::time::Timestamp;
use stapled_haproxy::{FirstStaple, HaproxySink, NameError, ServedCertificate, Transactions, codes as haproxy};

use super::contents::{Contents, StapleFile, malformed};
use super::finding::{Finding, codes};
use super::inputs::Process;
use super::issuer::{Issuer, NotFound};
use super::items::{Item, Origin};
use super::row::{First, Row};
use crate::configuration::StapleFiles;

/// By what is judged.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) now: Timestamp,
    pub(super) judging: JudgePolicy,
    pub(super) staple_files: StapleFiles,
    pub(super) transactions: Transactions,
    /// Whether the daemon fetches issuers that lie nowhere.
    pub(super) fetch_issuers: bool,
    /// Where it keeps these.
    pub(super) issuer_directory: String,
    /// Which responders it asks instead of others.
    pub(super) overrides: ResponderOverrides,
}

/// A certificate as it was found, and everything that was found around it.
pub(super) struct Case<'a> {
    pub(super) item: &'a Item,
    pub(super) contents: &'a Contents,
    pub(super) end_entity: &'a Certificate,
    pub(super) issuer: Result<&'a Issuer, &'a NotFound>,
    pub(super) processes: &'a [Process],
    pub(super) rules: &'a Rules,
}

/// The row of a certificate.
pub(super) fn row(
    item: &Item,
    contents: &Result<std::sync::Arc<Contents>, Finding>,
    issuer: Result<&Issuer, &NotFound>,
    processes: &[Process],
    rules: &Rules,
) -> Row {
    let mut row = Row::of(item, processes);
    let contents = match contents {
        Ok(contents) => contents,
        Err(finding) => {
            row.first_staple = First::no(ReasonCode::new(finding.reason), "the certificate cannot be read");
            // What is not there by mistake is no problem: a directory may hold other files.
            let is_plain = finding.reason == "no_certificate" && item.origin == Origin::Path && item.loaded.is_empty();
            if item.findings.iter().all(|finding| !finding.needs_operator) {
                row.problems.push(if is_plain { finding.clone().noted() } else { finding.clone() });
            }
            return row;
        }
    };
    let Some(end_entity) = contents.end_entity() else {
        match &contents.broken {
            Some(error) => {
                row.first_staple =
                    First::no(ReasonCode::new("malformed_certificate"), "the certificate cannot be read");
                row.problems.push(malformed(&item.path_or_name(), error));
            }
            None => {
                row.first_staple = First::not_needed("it is an authority's, which gets no staple");
                let what = "it has certificates of authorities only, which get no staples";
                row.problems.push(Finding::note(codes::ONLY_CA_CERTIFICATES, what));
            }
        }
        return row;
    };
    let case = Case { item, contents, end_entity, issuer, processes, rules };
    row.describe(&case);
    case.tell(&mut row);
    row.first_staple = case.first_staple();
    if let Some(code) = row.first_staple.code
        && code == haproxy::TRANSACTIONS_OFF
    {
        let finding = Finding::told(code, &row.first_staple.what);
        row.problems.push(row.first_staple.about.iter().fold(finding, |finding, address| finding.about(address)));
    }
    row
}

impl Case<'_> {
    fn tell(&self, row: &mut Row) {
        let problems = &mut row.problems;
        problems.extend(self.validity());
        problems.extend(self.url());
        problems.extend(self.name());
        problems.extend(self.item.processes.iter().filter_map(|&number| self.difference(number)));
        problems.extend(self.about_issuer());
        problems.extend(self.writers());
        let (staple, until, finding) = self.staple();
        problems.extend(finding);
        problems.extend(self.writing());
        (row.staple, row.staple_until) = (staple, until);
    }

    /// Whether a running HAProxy has it, or would load it.
    fn is_served(&self) -> bool {
        self.item.origin != Origin::Path || !self.item.loaded.is_empty()
    }

    pub(super) fn wants_staple(&self) -> bool {
        !self.rules.overrides.urls_of(self.end_entity).is_empty()
    }

    /// Why it gets no staple as it is.
    pub(super) fn unusable(&self) -> Option<ChainError> {
        let (name, now) = (self.end_entity.name().to_owned(), self.rules.now);
        let (not_before, not_after) = (self.end_entity.not_before(), self.end_entity.not_after());
        if !self.end_entity.allows_server_auth() {
            Some(ChainError::NotForServers { name })
        } else if now < not_before {
            Some(ChainError::NotYetValid { name, not_before })
        } else if now.unix() > not_after.unix() {
            Some(ChainError::Expired { name, not_after })
        } else {
            None
        }
    }

    fn validity(&self) -> Option<Finding> {
        let error = self.unusable()?;
        let name = self.end_entity.name();
        let (what, remedy) = match &error {
            ChainError::Expired { not_after, .. } => (
                format!("{name} expired at {not_after}; it gets no staple"),
                "replace it, and have HAProxy load the new one (reload, or `set ssl cert` and `commit ssl cert`)",
            ),
            ChainError::NotYetValid { .. } => (
                format!("{error}; until then it gets no staple"),
                "see that this machine's clock is right; clients refuse the certificate until then",
            ),
            // Where it has no URL, it wants no staple.
            _ if !self.wants_staple() => return None,
            _ => (format!("{error}: it gets no staple"), "have it issued for servers, or leave it out here"),
        };
        let finding = Finding::problem(error.code(), what, remedy);
        // Old certificates may lie in directories.
        let is_old = matches!(error, ChainError::Expired { .. }) && !self.is_served();
        Some(if is_old { finding.noted() } else { finding })
    }

    fn url(&self) -> Option<Finding> {
        if self.wants_staple() {
            return None;
        }
        Some(match self.end_entity.must_staple() {
            true => Finding::problem(
                ReasonCode::new("must_staple_without_url"),
                "it is must-staple and names no OCSP responder: clients refuse it",
                "have it issued again with an OCSP URL, or without must-staple; or name its responder with --default-responder",
            ),
            false => Finding::note(
                codes::NO_OCSP_URL,
                "it names no OCSP responder (as Let's Encrypt's), and needs no staple",
            ),
        })
    }

    fn name(&self) -> Option<Finding> {
        let error = NameError::check(&self.item.name).err().filter(|_| !self.item.processes.is_empty())?;
        Some(Finding::problem(
            haproxy::UNUSABLE_NAME,
            format!(
                "its name cannot be said on HAProxy's command line ({error}): it gets no staple while HAProxy runs"
            ),
            "rename the file",
        ))
    }

    /// What a running HAProxy has otherwise.
    fn difference(&self, number: usize) -> Option<Finding> {
        let process = self.processes.get(number)?;
        let picture = process.picture.as_ref().ok()?;
        let Some(served) = self.loaded_by(number) else {
            if NameError::check(&self.item.name).is_err() {
                return None;
            }
            let (what, remedy) = match (&self.item.named_at, self.item.origin) {
                (Some(place), Origin::Configuration) => (
                    format!("{place} names it, and the running HAProxy (process {}) has not loaded it", picture.pid),
                    "reload HAProxy",
                ),
                _ => (
                    format!("the running HAProxy (process {}) has not loaded it", picture.pid),
                    "name it on a `bind … crt` line and reload HAProxy, or do not give its path this socket",
                ),
            };
            return Some(Finding::problem(haproxy::NOT_LOADED, what, remedy).about(&process.address));
        };
        if !served.is_used {
            // What only the process has is nobody's loss.
            let is_meant = matches!(self.item.origin, Origin::Path | Origin::Configuration) && self.wants_staple();
            let what = "HAProxy has loaded it and uses it nowhere: no client sees it, and it gets no staple until then";
            let remedy =
                "name it on a `bind` line or in a crt-list (`add ssl crt-list`), or do not give its path this socket";
            let finding = Finding::problem(haproxy::CERTIFICATE_UNUSED, what, remedy).about(&process.address);
            return is_meant.then_some(finding);
        }
        if !self.differs(served) {
            return None;
        }
        let what = format!(
            "the file holds another certificate than HAProxy has loaded (serial number {}, not {})",
            self.file_serial().unwrap_or_else(|| "unknown".to_owned()),
            served.serial
        );
        // What is served is read from wherever it lies.
        let is_nowhere = match self.item.origin {
            Origin::Process | Origin::NotInConfiguration => !served.is(self.end_entity),
            Origin::Configuration => !process.holds(&served.name),
            Origin::Path => false,
        };
        let remedy = match is_nowhere {
            true => {
                "write the one that is served into the file, since no readable file holds it and a stapled that is started \
                 now has no staple for it; or, if the file is right, reload HAProxy, or bring it with `set ssl cert` and \
                 `commit ssl cert`"
            }
            false => {
                "reload HAProxy, or bring the new one with `set ssl cert` and `commit ssl cert`; HAProxy is right about what \
                 is served"
            }
        };
        Some(Finding::problem(haproxy::SERVED_DIFFERS, what, remedy).about(&process.address))
    }

    pub(super) fn loaded_by(&self, number: usize) -> Option<&ServedCertificate> {
        self.item.loaded.iter().find(|(of, _)| *of == number).map(|(_, served)| served)
    }

    /// Whether the file of a loaded certificate holds another one.
    pub(super) fn differs(&self, served: &ServedCertificate) -> bool {
        match self.item.origin {
            // What was read may be what is served, from a copy.
            Origin::Process | Origin::NotInConfiguration => served.file.is_some() && !served.is_in_file,
            _ => !served.is(self.end_entity),
        }
    }

    fn file_serial(&self) -> Option<String> {
        let is_file = !matches!(self.item.origin, Origin::Process | Origin::NotInConfiguration)
            || self.item.loaded.iter().all(|(_, served)| !served.is(self.end_entity));
        is_file.then(|| self.end_entity.serial_hex())
    }

    fn writers(&self) -> Option<Finding> {
        (self.item.updates_itself && self.wants_staple()).then(|| {
            Finding::problem(
                codes::TWO_WRITERS,
                "HAProxy asks for its responses itself (`ocsp-update on`): beside stapled it is a second writer, which \
                 checks no signature and puts its own answers in the place of verified ones",
                "leave it to one of them: `ocsp-update off` for this certificate, or `ocsp-update.mode off` for all",
            )
        })
    }

    pub(super) fn is_staple_there(&self) -> bool {
        !matches!(self.contents.staple, StapleFile::Absent)
    }

    /// What the staple's file holds, until when that lasts, and what there is to say.
    fn staple(&self) -> (Option<&'static str>, Option<Timestamp>, Option<Finding>) {
        let path = || self.item.staple.as_deref().unwrap_or(Path::new("")).display();
        let bytes = match &self.contents.staple {
            StapleFile::Absent => return (None, None, self.missing()),
            StapleFile::Unreadable(what) => {
                let code = ReasonCode::new("unreadable_file");
                let remedy = "let this user read it, or remove it";
                return (Some(code.as_str()), None, Some(Finding::problem(code, what.clone(), remedy)));
            }
            // As good as none, by which HAProxy takes responses from its start on.
            StapleFile::Bytes(bytes) if bytes.is_empty() => return (Some("empty"), None, None),
            StapleFile::Bytes(bytes) => bytes,
        };
        let Ok(issuer) = self.issuer else { return (Some("not_judged"), None, None) };
        let (staple, why) = match judge(bytes, &issuer.chain, self.rules.now, &self.rules.judging, None, &[]) {
            Ok(judgement) => match (judgement.status, judgement.staple()) {
                (CertStatus::Good, Some(staple)) => {
                    return (Some("good"), Some(staple.expires()), self.short_life(staple));
                }
                (CertStatus::Revoked { at, .. }, _) => {
                    let what = format!("by {} its CA revoked it at {at}", path());
                    let finding = Finding::problem(codes::REVOKED, what, "replace the certificate");
                    return (Some("revoked"), None, Some(finding));
                }
                (CertStatus::Good, None) => ("not_stapleable", "clients could not verify it".to_owned()),
                _ => ("unknown", "its CA did not know the certificate".to_owned()),
            },
            Err(refusal) => (refusal.code().as_str(), refusal.to_string()),
        };
        if self.is_issuer_hidden() {
            // Worse is told of it already.
            return (Some(staple), None, None);
        }
        let what = format!("{} is no staple for this certificate now: {why}", path());
        let finding = match self.is_written() {
            true => Finding::note(codes::STAPLE_FILE_UNUSABLE, format!("{what}; stapled will replace it")),
            false => Finding::problem(
                codes::STAPLE_FILE_UNUSABLE,
                format!("{what}, and stapled will not replace it"),
                format!("remove {}", path()),
            ),
        };
        (Some(staple), None, Some(finding))
    }

    /// A staple that HAProxy does not send at all, as it sends none in its last minutes.
    fn short_life(&self, staple: &Staple) -> Option<Finding> {
        let life = staple.expires().since(staple.this_update());
        let margin = HaproxySink::default_requirements().margin;
        let goes_to_haproxy = self.is_served() || !self.item.processes.is_empty();
        (goes_to_haproxy && self.wants_staple() && life <= margin).then(|| {
            let (life, margin) = (life.as_secs(), margin.as_secs());
            let what = format!(
                "its CA's responses live {life} s, and HAProxy sends none in its last {margin} s: clients get no staple"
            );
            Finding::problem(codes::EXPIRES_TOO_SOON, what, "ask the CA for responses that live longer")
        })
    }

    /// Whether the daemon writes staples for it to files.
    fn is_written(&self) -> bool {
        let is_wanted = self.wants_staple() && self.unusable().is_none() && !self.is_mistaken_in_file();
        is_wanted && self.rules.staple_files != StapleFiles::Nowhere
    }

    /// A file that the configuration names must be there, whatever is in it.
    fn missing(&self) -> Option<Finding> {
        let is_needed = |sighting: &Sighting| sighting.staple_file_needed;
        let file =
            self.item.staple.as_deref().filter(|_| self.item.sighting.as_ref().is_some_and(is_needed))?.display();
        let what = format!("HAProxy does not start without {file}, which its configuration names, and there is none");
        let remedy = format!("make an empty one, if HAProxy is to start now: touch {file}");
        let is_written = self.is_written() && !self.is_issuer_hidden() && self.contents.unwritable.is_none();
        Some(match is_written {
            true => {
                let what = format!("{what}; stapled writes it with the first staple");
                Finding::note(codes::STAPLE_FILE_MISSING, what).remedy(remedy)
            }
            false => Finding::problem(codes::STAPLE_FILE_MISSING, what, remedy),
        })
    }

    /// Whether the daemon could write the staple's file.
    fn writing(&self) -> Option<Finding> {
        let (code, what) = self.contents.unwritable.as_ref()?;
        if !self.is_written() || self.is_issuer_hidden() {
            return None;
        }
        let then = match self.item.processes.is_empty() {
            true => "",
            false => ", so HAProxy starts without one and gets it over the socket",
        };
        let what = format!("{what}: no staple can be written there{then}");
        Some(Finding::problem(*code, what, "let this user write there, or give --no-staple-files"))
    }

    fn first_staple(&self) -> First {
        if !self.wants_staple() {
            let what = "it names no OCSP responder";
            return match self.end_entity.must_staple() {
                true => First::no(ReasonCode::new("must_staple_without_url"), what),
                false => First::not_needed(what),
            };
        }
        if let Some(error) = self.unusable() {
            return First::no(error.code(), error.to_string());
        }
        let is_fetched = self.rules.fetch_issuers && !self.end_entity.ca_issuers_urls().is_empty();
        if let Some(unsupported) = self.unsupported() {
            return First::no(unsupported.error.code(), "its issuer's signatures cannot be checked");
        }
        if self.issuer.is_err() && !is_fetched {
            return First::no(ReasonCode::new("issuer_missing"), "its issuer is not known");
        }
        if self.item.processes.is_empty() {
            let what = "nothing goes to a running HAProxy: staples are in files, which HAProxy reads when it starts";
            return First::no(codes::NO_SOCKET, what);
        }
        let firsts = self.item.processes.iter().filter_map(|&number| {
            let process = self.processes.get(number)?;
            Some(First { about: Some(process.address.to_string()), ..self.at(number, process) })
        });
        // That of the HAProxy where it stands worst.
        firsts
            .max_by_key(|first| first.answer)
            .unwrap_or_else(|| First::unknown(codes::NO_SOCKET, "there is no socket"))
    }

    fn at(&self, number: usize, process: &Process) -> First {
        let picture = match &process.picture {
            Ok(picture) => picture,
            Err(error) => return First::unknown(error.code, "this HAProxy cannot be asked"),
        };
        let Some(served) = self.loaded_by(number) else {
            return First::no(haproxy::NOT_LOADED, "this HAProxy has not loaded it");
        };
        if self.item.origin != Origin::Process && self.differs(served) {
            return First::no(haproxy::SERVED_DIFFERS, "this HAProxy has loaded another certificate from its file");
        }
        let fetched = if self.issuer.is_err() { ", once its issuer is fetched" } else { "" };
        let Some(first) = picture.first_staple(served, self.rules.transactions) else {
            return First::unknown(haproxy::SOCKET_LEVEL, "this HAProxy does not tell the level of the socket");
        };
        let other = "HAProxy takes another certificate of the issuer's name for the issuer";
        match first {
            FirstStaple::TakesResponses if self.is_mistaken(served) => First::no(files::WRONG_ISSUER_FIRST, other),
            FirstStaple::Transaction { .. } if self.is_mistaken_in_file() => {
                First::no(files::WRONG_ISSUER_FIRST, other)
            }
            FirstStaple::TakesResponses => First::already("HAProxy takes responses for it already"),
            FirstStaple::Transaction { .. } if picture.transaction.is_some() => {
                First::no(haproxy::FOREIGN_TRANSACTION, "somebody is changing certificates of this HAProxy")
            }
            FirstStaple::Transaction { with_issuer: false } => First::yes(format!("by a transaction{fetched}")),
            FirstStaple::Transaction { with_issuer: true } => {
                First::yes(format!("by a transaction that brings the issuer along{fetched}"))
            }
            FirstStaple::Refused { code, what } => First::no(code, what),
            other => First::unknown(haproxy::REJECTED, format!("{other:?}")),
        }
    }
}
