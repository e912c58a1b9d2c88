//! What came of asking about one certificate once, for people and as JSON, and the file that keeps the answer.

use std::path::Path;

use crate::asking::attempt::Attempt;
use crate::chain::CertChain;
use crate::describe::visible::Visible;
use crate::io::file::{remove_answer, replace};
use crate::ocsp::CertStatus;
use crate::verdict::Verdict;

/// What came of asking about one certificate.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Fetched<'a> {
    /// The name of the certificate.
    pub certificate: Option<&'a str>,
    /// Where its issuer was found.
    pub issuer: Option<&'a str>,
    /// Each question with its result.
    pub attempts: &'a [Attempt],
    /// The URL whose answer counts.
    pub url: Option<&'a str>,
    /// The file that has the answer now.
    pub saved: Option<String>,
    /// The file from which a staple was removed, because the certificate is revoked.
    pub removed: Option<String>,
    /// The verdict on the answer.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub verdict: Verdict,
    /// Why the file is not as it should be.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub fault: Option<String>,
}

/// Which answers a file keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Those that say good.
    Staples,
    /// All.
    Any,
}

impl<'a> Fetched<'a> {
    /// A verdict before any question.
    pub fn of(verdict: Verdict) -> Self {
        Fetched {
            certificate: None,
            issuer: None,
            attempts: &[],
            url: None,
            saved: None,
            removed: None,
            verdict,
            fault: None,
        }
    }

    /// The same, after these questions about the certificate of this chain. `issuer` says where its issuer was found.
    #[must_use]
    pub fn asked(self, chain: &'a CertChain, issuer: &'a str, attempts: &'a [Attempt]) -> Self {
        Fetched {
            certificate: Some(chain.end_entity().name()),
            issuer: Some(issuer),
            attempts,
            url: Attempt::best_of(attempts).map(|best| best.url.as_str()),
            ..self
        }
    }

    /// Saves the answer in this file. Where it is not saved, the staple of a revoked certificate is removed from the file.
    pub fn keep(&mut self, chain: &CertChain, best: &Attempt, path: &Path, which: Keep) {
        let name = path.display().to_string();
        let is_good = best.judgement().is_some_and(|judgement| judgement.status == CertStatus::Good);
        if is_good || which == Keep::Any {
            match replace(path, &best.response()) {
                Ok(()) => {
                    self.saved = Some(name);
                    return;
                }
                Err(error) => self.fault = Some(format!("{name} cannot be written: {error}")),
            }
        }
        if !best.is_revoked() {
            return;
        }
        match remove_answer(path, chain) {
            Ok(true) => self.removed = Some(name),
            Ok(false) => {}
            Err(error) => {
                let what = "holds a staple of this certificate, which is revoked, and cannot be removed";
                self.fault = Some(format!("{name} {what}: {error}; remove it"));
            }
        }
    }

    /// As lines for people. `output` is the file that was to keep the answer.
    pub fn in_words(&self, output: Option<&Path>) -> String {
        let mut text = match (self.url, self.verdict.status) {
            (None, Err(code)) => format!("NO ANSWER ({code}): {}\n", Visible::new(&self.verdict.detail)),
            _ => self.verdict.to_string(),
        };
        if let Some(path) = output {
            let what = match (&self.saved, &self.removed) {
                (Some(_), _) => "saved to",
                (None, Some(_)) => "the certificate is revoked: removed its staple from",
                (None, None) => "nothing saved to",
            };
            text.push_str(&format!("{what} {}\n", Visible::new(&path.display().to_string())));
        }
        text
    }
}
