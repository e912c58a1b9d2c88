//! Asking about one certificate once: what came of it, for people and as JSON, and the file that keeps the answer.

use std::path::Path;
use std::sync::Arc;

use crate::asking::attempt::Attempt;
use crate::asking::{Asking, issuer};
use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::describe::visible::Visible;
use crate::fetch::OcspFetcher;
use crate::io::file::{remove_answer, replace};
use crate::ocsp::CertStatus;
use crate::reason::ReasonCode;
use crate::sink::Requirements;
use crate::verdict::Verdict;

/// What came of asking about one certificate.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Fetched {
    /// The name of the certificate; none where nothing was asked.
    pub certificate: Option<String>,
    /// Where its issuer was found.
    pub issuer: Option<String>,
    /// Each question with its result.
    pub attempts: Vec<Attempt>,
    /// The URL whose answer counts.
    pub url: Option<String>,
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

/// A certificate that is asked about, and how.
pub struct Fetching<'a> {
    /// The file with the certificate: its name and contents.
    pub certificate: (String, &'a [u8]),
    /// The file with the certificate of its issuer. None: it is looked for in the file of the certificate and in `beside`, and
    /// then fetched from where the certificate says.
    pub issuer: Option<(String, &'a [u8])>,
    /// The other file where its issuer may be; without contents, it is only named.
    pub beside: (String, Option<&'a [u8]>),
    /// The responders that are asked, in their order.
    pub urls: &'a dyn Fn(&Certificate) -> Vec<String>,
    /// Chooses the questions.
    pub asking: &'a dyn for<'c> Fn(Asking<'c>) -> Asking<'c>,
    /// What the strictest server demands of a staple.
    pub requirements: Requirements,
    /// The file that keeps the answer.
    pub output: Option<(&'a Path, Keep)>,
}

impl Fetching<'_> {
    /// Asks, and saves the answer. `told` gets a line about the certificate, then each attempt in words.
    pub async fn run(&self, fetcher: &impl OcspFetcher, told: &mut dyn FnMut(&str)) -> Fetched {
        let (chain, issuer) = match self.chain(fetcher).await {
            Ok(found) => found,
            Err(verdict) => return Fetched::of(*verdict),
        };
        let end_entity = chain.end_entity();
        let (name, serial) = (Visible::new(end_entity.name()), end_entity.serial_hex());
        told(&format!("{name}, serial number {serial}; issuer: {}\n", Visible::new(&issuer)));
        let asking = (self.asking)(Asking::new(&chain));
        let urls = (self.urls)(end_entity);
        let attempts = match asking.ask(&urls, fetcher, |attempt| told(&attempt.to_string())).await {
            Ok(attempts) => attempts,
            Err(unasked) => return Fetched::of(Verdict::invalid(unasked.code(), unasked.to_string())),
        };
        let best = Attempt::best_of(&attempts);
        let verdict = match best.or(attempts.first()) {
            Some(attempt) => attempt.verdict(&chain, &self.requirements),
            None => {
                let what =
                    "the certificate names no OCSP responder: name one with --url; servers need no staple for it";
                Verdict::invalid(ReasonCode::new("no_ocsp_url"), what).about(&chain)
            }
        };
        let mut fetched = Fetched {
            certificate: Some(end_entity.name().to_owned()),
            issuer: Some(issuer),
            url: best.map(|best| best.url.clone()),
            ..Fetched::of(verdict)
        };
        if let (Some(best), Some((path, which))) = (best, self.output) {
            fetched.keep(&chain, best, path, which);
        }
        Fetched { attempts, ..fetched }
    }

    /// The certificate with its issuer, and where that was found; or why a chain cannot be had.
    async fn chain(&self, fetcher: &impl OcspFetcher) -> Result<(CertChain, String), Box<Verdict>> {
        let (name, certificate) = &self.certificate;
        let end_entity = Arc::new(Bundle::served(certificate).map_err(|error| {
            let what = format!("the certificate cannot be read: {error}");
            Box::new(Verdict::invalid(ReasonCode::new("malformed"), what))
        })?);
        match &self.issuer {
            Some((place, contents)) => issuer::among(&end_entity, place.clone(), contents),
            None => {
                let places = [(name.clone(), Some(*certificate)), self.beside.clone()];
                issuer::around(&end_entity, &places, fetcher).await
            }
        }
    }
}

impl Fetched {
    /// The fields of the JSON object before those of the verdict, as text for a manual.
    pub const FIELDS: &str = "\
{\"certificate\", \"issuer\": where it was found, \"attempts\": [{\"url\", \"address\": that answered, \"method\", \"hash\",
   \"http_status\", \"content_type\", \"milliseconds\", \"bytes\", \"outcome\": \"good\", \"revoked\", \"unknown\" or a reason,
   \"detail\"}], \"url\": whose answer counts, \"saved\", \"removed\"}";

    /// A verdict before any question.
    pub fn of(verdict: Verdict) -> Self {
        Fetched {
            certificate: None,
            issuer: None,
            attempts: Vec::new(),
            url: None,
            saved: None,
            removed: None,
            verdict,
            fault: None,
        }
    }

    /// Whether an answer counts, or nothing was asked: the verdict says all. Otherwise, no responder answered, or there is none to
    /// ask; or the file is not as it should be.
    pub fn is_conclusive(&self) -> bool {
        self.fault.is_none() && (self.url.is_some() || self.certificate.is_none())
    }

    /// Saves the answer in this file. Where it is not saved, the staple of a revoked certificate is removed from the file.
    fn keep(&mut self, chain: &CertChain, best: &Attempt, path: &Path, which: Keep) {
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
        if self.certificate.is_none() {
            return self.verdict.to_string();
        }
        let mut text = match (&self.url, self.verdict.status) {
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
