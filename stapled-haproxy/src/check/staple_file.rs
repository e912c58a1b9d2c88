//! Judges the file that HAProxy reads a certificate's staple from when it starts. Pure.

use stapled_core::ocsp::CertStatus;
use stapled_core::source::Sighting;
use stapled_core::staple::{Judge, Staple};

use super::at_start::NotTaken;
use super::certificate::Case;
use super::contents::{StapleFile, Unwritable};
use super::finding::Finding;
use super::problem::StapleFileProblem;
use super::report::KeptStaple;
use super::rules::StapleFiles;
use super::verdict::Verdict;
use crate::configuration::ZeroWarning;
use crate::sink::haproxy_sink::HaproxySink;

impl Case<'_> {
    pub(super) fn is_staple_there(&self) -> bool {
        !matches!(self.contents.staple, StapleFile::Absent)
    }

    /// The contents of the staple's file, and their problem.
    pub(super) fn staple(&self) -> (Option<KeptStaple>, Option<StapleFileProblem>) {
        let file = || self.item.staple.clone().unwrap_or_default();
        let bytes = match &self.contents.staple {
            StapleFile::Absent => return (None, self.missing()),
            StapleFile::Unreadable(error) => {
                let problem = StapleFileProblem::Unreadable { file: file(), error: error.clone() };
                return (Some(KeptStaple::Unreadable), Some(problem));
            }
            StapleFile::Bytes(bytes) => bytes,
        };
        let not_taken = self.not_taken(bytes);
        // HAProxy does not start: a problem, even if the stapler replaces the file later.
        let stops = || Some((self.item.zero_warning.clone()?, not_taken?));
        let stopping = || {
            let (by, why) = stops()?;
            Some(self.not_usable(why.to_string(), Some(by)))
        };
        if bytes.is_empty() {
            // With an empty file, HAProxy takes responses from its start on.
            return (Some(KeptStaple::Empty), stopping());
        }
        let Ok(issuer) = self.issuer else { return (Some(KeptStaple::NotJudged), stopping()) };
        let (staple, why) =
            match Judge::new(&issuer.chain).at(self.now).policy(&self.rules.judging).judge(bytes.clone()) {
                Ok(judgement) => match (judgement.status, judgement.staple()) {
                    (CertStatus::Good, Some(staple)) => {
                        let problem =
                            self.short_life(staple).or_else(stopping).or_else(|| self.of_good(staple, not_taken));
                        return (Some(KeptStaple::Good(staple.expires())), problem);
                    }
                    (CertStatus::Revoked { at, .. }, _) => {
                        return (Some(KeptStaple::Revoked), Some(StapleFileProblem::Revoked { file: file(), at }));
                    }
                    (CertStatus::Good, None) => (KeptStaple::NotStapleable, "clients could not verify it".to_owned()),
                    _ => (KeptStaple::Unknown, "its CA did not know the certificate".to_owned()),
                },
                Err(refusal) => (KeptStaple::Refused(refusal.code()), refusal.to_string()),
            };
        // A staple beside a certificate without issuer is a worse problem, and reported.
        let is_new = !self.is_issuer_hidden();
        (Some(staple), is_new.then(|| self.not_usable(why, stops().map(|(by, _)| by))))
    }

    fn not_usable(&self, why: String, stops: Option<ZeroWarning>) -> StapleFileProblem {
        let file = self.item.staple.clone().unwrap_or_default();
        let is_cleaned = self.leftover().is_some_and(|found| matches!(found.verdict, Verdict::Remove(_)));
        StapleFileProblem::Unusable { file, why, is_replaced: self.is_written(), stops, is_cleaned }
    }

    /// What is the matter with the file of a good staple.
    fn of_good(&self, staple: &Staple, not_taken: Option<NotTaken>) -> Option<StapleFileProblem> {
        let file = || self.item.staple.clone().unwrap_or_default();
        match not_taken {
            // Another problem of the issuer explains it.
            Some(_) if self.is_mistaken_in_file() || self.is_issuer_hidden() => None,
            Some(why) if self.item.is_served() || !self.item.processes.is_empty() => {
                Some(self.not_usable(why.to_string(), None))
            }
            None if !self.wants_staple() => {
                Some(StapleFileProblem::Unrenewed { file: file(), until: staple.expires() })
            }
            _ => None,
        }
    }

    /// A staple that HAProxy does not send at all, since it sends none in its last minutes.
    fn short_life(&self, staple: &Staple) -> Option<StapleFileProblem> {
        let life = staple.expires().since(staple.this_update());
        let margin = HaproxySink::default_requirements().margin;
        let goes_to_haproxy = self.item.is_served() || !self.item.processes.is_empty();
        let is_too_short = goes_to_haproxy && self.wants_staple() && life <= margin;
        is_too_short.then_some(StapleFileProblem::ExpiresTooSoon { life, margin })
    }

    /// Whether the stapler writes staples for it to files.
    fn is_written(&self) -> bool {
        let is_wanted = self.wants_staple() && self.unusable().is_none() && !self.is_mistaken_in_file();
        is_wanted && self.rules.staple_files != StapleFiles::Nowhere
    }

    /// A file that the configuration names must be there, whatever is in it.
    fn missing(&self) -> Option<StapleFileProblem> {
        let is_needed = |sighting: &Sighting| sighting.staple_file_needed;
        let file = self.item.staple.clone().filter(|_| self.item.sighting.as_ref().is_some_and(is_needed))?;
        let is_written = self.is_written() && !self.is_issuer_hidden() && self.contents.unwritable.is_none();
        Some(StapleFileProblem::Missing { file, is_written })
    }

    /// Whether the stapler could write the staple's file.
    pub(super) fn writing(&self) -> Option<Finding> {
        if !self.is_written() || self.is_issuer_hidden() {
            return None;
        }
        let has_socket = !self.item.processes.is_empty();
        if let Some(Unwritable { directory, code, error }) = self.contents.unwritable.clone() {
            return Some(StapleFileProblem::Unwritable { directory, code, error, has_socket }.into());
        }
        let directory = self.item.staple.as_deref()?.parent()?;
        let sandbox = self.rules.sandbox.as_ref().filter(|sandbox| sandbox.forbids(directory))?;
        let (directory, unit) = (directory.to_owned(), sandbox.unit.clone());
        Some(StapleFileProblem::Forbidden { directory, unit, has_socket }.into())
    }
}
