//! Asks the responders of one certificate: URL after URL, question after question, until an answer is believed.
//!
//! This is the only loop over responders: [`staple_once`](crate::staple_once), the renewer and `stapled fetch` all use it.
//! The inquiry chooses the questions to one responder. The callers differ in what stands between the loop and the network:
//! the renewer's limits, breakers and validators are a fetcher around the fetcher, and its memory of a responder is a
//! `Peers`.

pub mod attempt;
pub mod issuer;

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::chain::CertChain;
use crate::chain::named::NamedCertificate;
use crate::clock::{Clock, SystemClock};
use crate::describe::visible::without_credentials;
use crate::exchange::inquiry::{Habits, Inquiry, NextQuestion, Trouble};
use crate::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use crate::ocsp::{CertIdHash, CertStatus, OcspRequest};
use crate::staple::{Judge, JudgePolicy, Judgement, Refusal};
use crate::time::Timestamp;
use attempt::Attempt;

/// The length of a nonce in octets (RFC 9654 §2.1).
const NONCE_LENGTH: usize = 32;

/// How the responders of one certificate are asked.
///
/// A program that wants one staple calls [`staple_once`](crate::staple_once). This type is for programs that choose the
/// questions, or show each of them.
///
/// ```no_run
/// # #[cfg(feature = "http")]
/// # async fn ask(chain: &stapled_core::chain::CertChain) -> Result<(), stapled_core::exchange::inquiry::Trouble> {
/// use stapled_core::HttpFetcher;
///
/// let fetcher = HttpFetcher::default();
/// let urls = chain.end_entity().ocsp_urls();
/// let attempts = stapled_core::asking::Asking::new(chain).ask(urls, &fetcher, |attempt| println!("{}", attempt.url)).await?;
/// println!("a staple: {}", attempts.last().is_some_and(|last| last.is_believed()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Asking<'a> {
    about: About<'a>,
    clock: &'a dyn Clock,
    /// The first hash, if every hash may be used.
    first_hash: CertIdHash,
    only_hash: Option<CertIdHash>,
    only_method: Option<Method>,
    caches: Caches,
    max_age: Option<Duration>,
    policy: JudgePolicy,
    nonces: Nonces,
}

/// The certificate that is asked about.
#[derive(Clone, Copy, Debug)]
enum About<'a> {
    /// A certificate with its issuer.
    Chain(&'a CertChain),
    /// A certificate of which only the issuer and the serial number are known.
    Named(&'a NamedCertificate),
}

/// Whether caches and stores between here and the responder may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caches {
    /// They may.
    Allowed,
    /// They are avoided.
    Avoided,
}

/// Whether questions carry a nonce (RFC 9654).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nonces {
    /// None has one.
    Never,
    /// Each has a fresh one, of 32 random octets.
    Fresh,
}

/// The questions that one responder got.
pub(crate) struct Asked {
    /// The attempts before the last one: all failed.
    pub(crate) earlier: Vec<Attempt>,
    /// The last attempt, which is believed or has failed too.
    pub(crate) last: Attempt,
    /// What the last answer shows about the responder.
    pub(crate) learnt: Habits,
    /// The trouble that says most about the certificate. `None` if the first question was believed.
    pub(crate) first_trouble: Option<Trouble>,
}

/// The responders as a caller of the loop sees them.
pub(crate) trait Peers {
    /// The result of an attempt that is believed.
    type Believed;

    /// Asks one responder by [`Asking::ask_one`], and returns the result of the attempt that is believed.
    fn ask(&mut self, asking: &Asking<'_>, url: &str) -> impl Future<Output = Option<Self::Believed>>;

    /// Whether another responder may be asked.
    fn may_continue(&self) -> bool;
}

impl<'a> Asking<'a> {
    /// Asks about the end-entity certificate of `chain` as the daemon does by default: by GET and POST, with SHA-1 and
    /// SHA-256 CertIDs, as far as another question can help; without a nonce; the strict policy judges.
    pub fn new(chain: &'a CertChain) -> Self {
        Asking::about(About::Chain(chain))
    }

    /// Asks about a certificate of which only the issuer and the serial number are known, with CertIDs of this hash only.
    pub fn of_named(certificate: &'a NamedCertificate, hash: CertIdHash) -> Self {
        Asking::about(About::Named(certificate)).hash_only(hash)
    }

    fn about(about: About<'a>) -> Self {
        Asking {
            about,
            clock: &SystemClock,
            first_hash: CertIdHash::Sha1,
            only_hash: None,
            only_method: None,
            caches: Caches::Allowed,
            max_age: None,
            policy: JudgePolicy::default(),
            nonces: Nonces::Never,
        }
    }

    /// Sets the only hash of CertIDs, whatever the result.
    pub fn hash_only(self, hash: CertIdHash) -> Self {
        Asking { only_hash: Some(hash), ..self }
    }

    /// Sets the only method, whatever the result.
    pub fn method_only(self, method: Method) -> Self {
        Asking { only_method: Some(method), ..self }
    }

    /// Sets the hash of the first question. Others may follow.
    pub(crate) fn first_hash(self, first_hash: CertIdHash) -> Self {
        Asking { first_hash, ..self }
    }

    /// Sets the rules by which answers are judged.
    pub fn judge_policy(self, policy: JudgePolicy) -> Self {
        Asking { policy, ..self }
    }

    /// Puts a nonce into every question: 32 random octets. Questions with a nonce use POST.
    pub fn with_nonce(self) -> Self {
        self.nonces(Nonces::Fresh)
    }

    pub(crate) fn nonces(self, nonces: Nonces) -> Self {
        Asking { nonces, ..self }
    }

    pub(crate) fn clock(self, clock: &'a dyn Clock) -> Self {
        Asking { clock, ..self }
    }

    pub(crate) fn caches(self, caches: Caches) -> Self {
        Asking { caches, ..self }
    }

    /// Sets the age that an answer from a store must be below.
    pub(crate) fn max_age(self, max_age: Duration) -> Self {
        Asking { max_age: Some(max_age), ..self }
    }

    /// Asks the responders at `urls`, in this order, until an answer is believed. `told` gets each attempt as soon as its
    /// result is known. Returns all attempts: the last one is believed, or none is.
    ///
    /// May be dropped.
    ///
    /// # Errors
    ///
    /// A request cannot be made, as without random numbers for a nonce. A failed exchange and a refused answer are attempts,
    /// not errors.
    pub async fn ask<F: OcspFetcher + ?Sized>(
        &self,
        urls: &[String],
        fetcher: &F,
        told: impl FnMut(&Attempt),
    ) -> Result<Vec<Attempt>, Trouble> {
        let mut peers = Plain::new(fetcher, told);
        let _ = self.ask_each(urls.iter().map(String::as_str), &mut peers).await;
        match peers.unasked {
            Some(unasked) => Err(unasked),
            None => Ok(peers.attempts),
        }
    }

    /// Asks these responders until an answer is believed, and returns its result.
    pub(crate) async fn ask_each<'u, P: Peers>(
        &self,
        urls: impl Iterator<Item = &'u str>,
        peers: &mut P,
    ) -> Option<P::Believed> {
        for url in urls {
            if !peers.may_continue() {
                break;
            }
            if let Some(believed) = peers.ask(self, url).await {
                return Some(believed);
            }
        }
        None
    }

    /// Asks one responder with these habits, until an answer is believed or no other question can help.
    pub(crate) async fn ask_one<F: OcspFetcher + ?Sized>(
        &self,
        url: &str,
        habits: Habits,
        fetcher: &F,
        mut told: impl FnMut(&Attempt),
    ) -> Result<Asked, Trouble> {
        let unasked = |why: String| Trouble::from(FetchError::unsupported_url(url, why));
        let mut inquiry = match (self.about, self.only_hash) {
            (About::Chain(chain), Some(hash)) => Inquiry::with_hash_only(chain, url, hash),
            (About::Chain(chain), None) => Inquiry::new(chain, url, self.first_hash),
            (About::Named(named), hash) => Inquiry::of_named(named, url, hash.unwrap_or(self.first_hash)),
        };
        if let Some(method) = self.only_method {
            inquiry = inquiry.method_only(method);
        }
        inquiry = inquiry.habits(habits);
        if self.caches == Caches::Avoided {
            inquiry = inquiry.past_caches();
        }
        let mut earlier = Vec::new();
        loop {
            let nonce = self.fresh_nonce().map_err(|_| unasked("no randomness for a nonce".to_owned()))?;
            let question = inquiry
                .question(nonce.as_ref().map(<[u8; NONCE_LENGTH]>::as_slice))
                .map_err(|error| unasked(error.to_string()))?;
            let mut attempt = self.attempt(url, question, fetcher).await;
            let refused = |trouble: &Trouble| inquiry.refused(attempt.method, trouble);
            let continues = attempt.trouble.as_ref().is_some_and(refused);
            attempt.continues = continues;
            told(&attempt);
            if !continues {
                let first_trouble = inquiry.first_trouble().cloned();
                return Ok(Asked { earlier, last: attempt, learnt: inquiry.learnt(), first_trouble });
            }
            earlier.push(attempt);
        }
    }

    fn fresh_nonce(&self) -> Result<Option<[u8; NONCE_LENGTH]>, rand::rand_core::OsError> {
        let mut nonce = [0; NONCE_LENGTH];
        match self.nonces {
            Nonces::Never => Ok(None),
            Nonces::Fresh => OsRng.try_fill_bytes(&mut nonce).map(|()| Some(nonce)),
        }
    }

    /// Sends one question, and judges the answer.
    async fn attempt<F: OcspFetcher + ?Sized>(&self, url: &str, question: NextQuestion, fetcher: &F) -> Attempt {
        let NextQuestion { request, method, hash, .. } = question;
        let began = Instant::now();
        let answered = match self.about {
            About::Chain(chain) => {
                let mut question = Question::new(chain, &request, method, url);
                question.max_age = match self.caches {
                    Caches::Allowed => self.max_age,
                    Caches::Avoided => Some(Duration::ZERO),
                };
                fetcher.fetch(&question).await
            }
            About::Named(_) => fetcher.fetch_by_cert_id(&request, method, url).await,
        };
        let took = began.elapsed();
        let at = self.clock.now();
        let (answer, trouble) = match answered {
            Err(error) => (None, Some(error.into())),
            Ok(answer) => {
                let (judged, trouble) = self.judge(&request, &answer, at);
                (Some((answer, judged)), trouble)
            }
        };
        Attempt { url: without_credentials(url), request, method, hash, took, at, answer, trouble, continues: false }
    }

    /// Judges an answer. The trouble is there where the answer is not believed.
    fn judge(
        &self,
        request: &OcspRequest,
        answer: &Answer,
        at: Timestamp,
    ) -> (Result<Judgement, Refusal>, Option<Trouble>) {
        // A question without a validator gets no 304: an answer without a body is an empty one.
        let response: Bytes = answer.body.clone().unwrap_or_default();
        let judge = match self.about {
            About::Chain(chain) => Judge::new(chain),
            About::Named(named) => Judge::of_named(named),
        };
        let judged = judge.at(at).policy(&self.policy).nonce(request.nonce()).judge(response);
        let trouble = match &judged {
            Err(refusal) => Some(Trouble::with_answer(refusal.clone(), answer)),
            Ok(judgement) if judgement.status == CertStatus::Unknown => Some(Trouble::Unknown),
            // Only a response without nextUpdate passes the judgement and is over all the same.
            Ok(judgement) => (judgement.is_staple() && judgement.facts.expires() <= at)
                .then(|| Refusal::Expired { next_update: judgement.facts.expires(), at }.into()),
        };
        (judged, trouble)
    }
}

/// Responders that are asked without limits, and about which nothing is remembered.
pub(crate) struct Plain<'a, F: ?Sized, T> {
    fetcher: &'a F,
    told: T,
    attempts: Vec<Attempt>,
    /// The URL of the first responder that failed, without credentials, and its trouble.
    first: Option<(String, Trouble)>,
    /// Why a request could not be made.
    unasked: Option<Trouble>,
}

impl<'a, F: OcspFetcher + ?Sized, T: FnMut(&Attempt)> Plain<'a, F, T> {
    /// Responders that are asked through `fetcher`. `told` gets each attempt.
    pub(crate) fn new(fetcher: &'a F, told: T) -> Self {
        Plain { fetcher, told, attempts: Vec::new(), first: None, unasked: None }
    }

    /// The URL of the first responder that failed, without credentials, and the trouble that says most about it.
    pub(crate) fn into_first_trouble(self) -> Option<(String, Trouble)> {
        self.first
    }
}

impl<F: OcspFetcher + ?Sized, T: FnMut(&Attempt)> Peers for Plain<'_, F, T> {
    type Believed = Attempt;

    async fn ask(&mut self, asking: &Asking<'_>, url: &str) -> Option<Attempt> {
        let trouble = match asking.ask_one(url, Habits::default(), self.fetcher, &mut self.told).await {
            Ok(Asked { earlier, last, first_trouble, .. }) => {
                self.attempts.extend(earlier);
                self.attempts.push(last.clone());
                match &last.trouble {
                    None => return Some(last),
                    Some(trouble) => first_trouble.unwrap_or_else(|| trouble.clone()),
                }
            }
            Err(unasked) => self.unasked.insert(unasked).clone(),
        };
        self.first.get_or_insert_with(|| (without_credentials(url), trouble));
        None
    }

    fn may_continue(&self) -> bool {
        self.unasked.is_none()
    }
}
