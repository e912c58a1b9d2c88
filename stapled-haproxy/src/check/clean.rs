//! Removes the files of staples that would hinder HAProxy's start or mislead it.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use stapled_core::describe::visible::Visible;
use stapled_core::reason::ReasonCode;

use super::inputs::{self, Inputs, Kind};
use super::problem::Reported;
use super::remove::{Removal, Stays, remove};
use super::report::{CertificateReport, Report};
use super::run::{Check, judged};
use super::verdict::{Leftover, Verdict, Why};
use crate::codes;

/// How long looking again at one file and removing it may take: a file system that hangs delays no other.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was removed, and what stays although it hinders HAProxy.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// The files that were removed or stay, in the order of their paths.
    pub files: Vec<CleanedFile>,
    /// Why certificates may be missing, each on a line: a directory that cannot be read, for example.
    pub unseen: Vec<String>,
    /// How many files hold a good staple, or are harmless.
    pub in_order: usize,
}

/// A staple's file that was removed or stays.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CleanedFile {
    /// The file.
    pub file: PathBuf,
    /// The name under which HAProxy lists its certificate, or the certificate's file.
    pub certificate: String,
    /// The name of the certificate.
    pub name: Option<String>,
    /// What happened to it.
    pub action: Action,
    /// The stable word for why.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::code"))]
    pub reason: ReasonCode,
    /// Why, in words.
    pub what: String,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Action {
    /// It is removed.
    Removed,
    /// It would be.
    WouldRemove,
    /// It stays: the operator must see to it.
    Kept,
}

impl Check<'_> {
    /// Removes the files in which HAProxy would look for a staple at its start and that hold a response which has ended, is not
    /// good, or is about another certificate than the one that lies there; or only names them. A good staple stays, and so does
    /// a file that is no OCSP response, or a symbolic link.
    ///
    /// HAProxy warns of such a file; with `zero-warning` it does not start.
    pub async fn clean(self, removal: Removal) -> Cleaned {
        let inputs = inputs::gather(&self.wanted).await;
        let unseen = unseen(&inputs);
        let report = judged(&self.rules, inputs, self.clock.now(), &*self.progress).await;
        let mut cleaned = Cleaned { unseen, ..Cleaned::default() };
        for (staple, (certificate, found)) in by_file(&report) {
            let why = match &found.verdict {
                Verdict::InOrder => {
                    cleaned.in_order += 1;
                    continue;
                }
                Verdict::Keep(why) => (Action::Kept, why.clone()),
                Verdict::Remove(why) => match in_time(staple, certificate.file.as_deref(), found, removal).await {
                    Ok(()) if removal == Removal::Done => (Action::Removed, why.clone()),
                    Ok(()) => (Action::WouldRemove, why.clone()),
                    Err(stays) => (Action::Kept, stays.after(why)),
                },
            };
            let (action, Why { code: reason, what }) = why;
            cleaned.files.push(CleanedFile {
                file: staple.to_owned(),
                certificate: certificate.certificate.clone(),
                name: certificate.description.as_ref().map(|description| description.name.clone()),
                action,
                reason,
                what,
            });
        }
        cleaned
    }
}

/// The files of staples, each with its certificate and its judgement. A file that is in order for one of its certificates stays.
fn by_file(report: &Report) -> BTreeMap<&Path, (&CertificateReport, &Leftover)> {
    let mut files: BTreeMap<&Path, (&CertificateReport, &Leftover)> = BTreeMap::new();
    for certificate in &report.certificates {
        let (Some(staple), Some(found)) = (&certificate.staple_file, &certificate.leftover) else { continue };
        let known = files.entry(staple).or_insert((certificate, found));
        if found.verdict == Verdict::InOrder {
            *known = (certificate, found);
        }
    }
    files
}

/// Why certificates may be missing.
fn unseen(inputs: &Inputs) -> Vec<String> {
    let mut unseen = Vec::new();
    for group in &inputs.groups {
        unseen.extend(group.failure().map(|(_, what)| what.to_owned()));
        if !matches!(group.kind, Kind::Process) {
            unseen.extend(group.problems().iter().map(|problem| problem.error.what.clone()));
        }
        let failed = group.processes.iter().filter_map(|&number| inputs.processes.get(number)?.snapshot.as_ref().err());
        if matches!(group.kind, Kind::Process) {
            unseen.extend(failed.map(|error| {
                let Reported { what, .. } = Reported::new(error.code, &error.what);
                format!(
                    "{what}: nothing else names its certificates; give --haproxy-config, to clean before HAProxy starts"
                )
            }));
        }
    }
    unseen
}

async fn in_time(staple: &Path, certificate: Option<&Path>, found: &Leftover, removal: Removal) -> Result<(), Stays> {
    let (staple, certificate, found) = (staple.to_owned(), certificate.map(Path::to_owned), found.clone());
    let work = move || remove(&staple, certificate.as_deref(), &found, removal);
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(work)).await {
        Ok(done) => done.unwrap_or_else(|error| Err(Stays::Failed(std::io::Error::other(error)))),
        Err(_) => Err(Stays::Failed(std::io::ErrorKind::TimedOut.into())),
    }
}

impl Stays {
    /// Why the file stays, after why it was to be removed.
    fn after(self, why: &Why) -> Why {
        let code = match self {
            Stays::Failed(_) => codes::STAPLE_FILE_NOT_REMOVED,
            Stays::Link => codes::SYMBOLIC_LINK,
            Stays::NotAFile | Stays::Changed => codes::STAPLE_FILE_CHANGED,
        };
        Why { code, what: format!("{}; {self}", why.what) }
    }
}

impl Cleaned {
    /// Which files are removed, as text for a manual.
    pub const RULES: &str = "\
Removed: an OCSP response, in the file where HAProxy looks for the staple of a certificate that was
found, which
  - has ended, or ends so soon that HAProxy does not send it
  - is about another certificate, as after a renewal
  - says revoked or unknown, or is a responder's error
  - has a wrong signature, or a form that HAProxy does not take
  - has an issuer that HAProxy, by its configuration, does not find: it would not start
  - and an empty file, if HAProxy has `zero-warning`
Kept: a good staple, also beside a certificate without OCSP URL. Kept and told as KEPT: a file that is
no OCSP response, a symbolic link, a response that begins in the future (is the clock right?), one
whose signature cannot be checked, and a file that HAProxy's configuration names and needs. Files
beside anything else than a certificate are not touched.";

    /// The fields of the JSON object of a file, as text for a manual.
    pub const FIELDS: &str = "\
file, certificate (its name in HAProxy, or its file), name,
action (removed, would_remove, kept), reason (a stable word), what.";

    /// Whether HAProxy may be hindered or misled now: a file stays that must not, or would be removed.
    pub fn needs_operator(&self) -> bool {
        !self.unseen.is_empty() || self.files.iter().any(|file| file.action != Action::Removed)
    }

    /// What the operator must see to, each on a line.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        let kept = self.files.iter().filter(|file| file.action != Action::Removed).map(ToString::to_string);
        self.unseen.iter().cloned().chain(kept)
    }
}

/// Each file on a line, why certificates may be missing, and a summary.
impl Display for Cleaned {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.files.iter().try_for_each(|file| writeln!(f, "{file}"))?;
        self.unseen.iter().try_for_each(|unseen| writeln!(f, "not seen: {}", Visible::new(unseen)))?;
        let count = |action| self.files.iter().filter(|file| file.action == action).count();
        let parts = [
            (count(Action::Removed), "removed"),
            (count(Action::WouldRemove), "to be removed"),
            (count(Action::Kept), "kept, see above"),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}")).collect();
        writeln!(f, "staple files: {} in order{}", self.in_order, parts.concat())
    }
}

impl Display for CleanedFile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Removed => "removed",
            Action::WouldRemove => "would remove",
            Action::Kept => "KEPT",
        };
        let (file, what) = (self.file.display().to_string(), &self.what);
        write!(f, "{action} {}: {}", Visible::new(&file), Visible::new(what))
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use stapled_core::overview::json::json_line;

    use super::*;

    #[test]
    fn the_text_for_manuals_names_every_field_and_action() {
        for action in [Action::Removed, Action::WouldRemove, Action::Kept] {
            let file = CleanedFile {
                file: "a.pem.ocsp".into(),
                certificate: "a.pem".to_owned(),
                name: None,
                action,
                reason: ReasonCode::new("expired"),
                what: String::new(),
            };
            let line = json_line(&file);
            let (fields, _) = line.rsplit_once("\":").unwrap();
            for field in fields.split("\":").filter_map(|field| field.rsplit('"').next()) {
                assert!(Cleaned::FIELDS.contains(field), "{field}");
            }
            let action = line.split("\"action\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            assert!(Cleaned::FIELDS.contains(action), "{action}");
        }
    }
}
