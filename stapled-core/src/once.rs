//! One staple, once: without a scheduler, a source or a sink.

use bytes::Bytes;

use crate::chain::{CertChain, ChainError};
use crate::clock::{Clock, SystemClock};
use crate::fetch::{OcspFetcher, Question};
use crate::inquiry::{HashChoice, Inquiry, NextQuestion, Trouble};
use crate::ocsp::{CertIdHash, CertStatus, EncodeError};
use crate::staple::{Judge, Staple};
use crate::time::Timestamp;

/// Why a certificate got no staple from [`staple_once`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnceError {
    /// The certificate can use no staple: it is expired, not yet valid, or not for servers.
    #[error(transparent)]
    Unusable(#[from] ChainError),
    /// The certificate names no OCSP responder. That is normal: many authorities have none.
    #[error("{name} names no OCSP responder")]
    NoResponder {
        /// The certificate's name.
        name: String,
    },
    /// The authority has revoked the certificate: replace it.
    #[error("{name} was revoked at {at}: replace it")]
    Revoked {
        /// The certificate's name.
        name: String,
        /// When it was revoked.
        at: Timestamp,
    },
    /// No responder gave a response that is believed. Asking again later may help.
    #[error("{url}: {trouble}")]
    NoResponse {
        /// The responder that was asked first, without credentials.
        url: String,
        /// What came of that responder.
        trouble: Trouble,
    },
    /// The request cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Asks the responders that a certificate names, in their order, until one gives a staple.
///
/// Each responder is asked as the daemon asks: by GET and POST, with SHA-1 and SHA-256 CertIDs, as far as that is
/// worthwhile. The response is judged by the system's clock and the strict policy. A program that needs staples for as
/// long as it runs uses a [`Stapler`](crate::stapler::Stapler) instead.
///
/// ```no_run
/// # #[cfg(feature = "http")]
/// # async fn once() -> Result<(), Box<dyn std::error::Error>> {
/// use stapled_core::chain::CertChain;
/// use stapled_core::io::http::HttpFetcher;
///
/// let chain = CertChain::from_pem(&std::fs::read("/etc/ssl/site.pem")?)?;
/// let staple = stapled_core::staple_once(&chain, &HttpFetcher::default()).await?;
/// println!("{} bytes, valid until {}", staple.response().len(), staple.expires());
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// A certificate that can use no staple, names no responder or is revoked; otherwise what the first responder brought.
pub async fn staple_once<F: OcspFetcher + ?Sized>(chain: &CertChain, fetcher: &F) -> Result<Staple, OnceError> {
    chain.check_usable(SystemClock.now())?;
    let name = || chain.end_entity().name().to_owned();
    let mut first = None;
    for url in chain.end_entity().ocsp_urls() {
        match ask(chain, url, fetcher).await? {
            Answered::Staple(staple) => return Ok(*staple),
            Answered::Revoked(at) => return Err(OnceError::Revoked { name: name(), at }),
            Answered::No(trouble) => {
                let url = crate::url_text::without_credentials(url);
                first.get_or_insert(OnceError::NoResponse { url, trouble });
            }
        }
    }
    Err(first.unwrap_or_else(|| OnceError::NoResponder { name: name() }))
}

/// What one responder brought.
enum Answered {
    Staple(Box<Staple>),
    Revoked(Timestamp),
    No(Trouble),
}

async fn ask<F: OcspFetcher + ?Sized>(chain: &CertChain, url: &str, fetcher: &F) -> Result<Answered, EncodeError> {
    let mut inquiry = Inquiry::new(chain, url, HashChoice::First(CertIdHash::Sha1));
    loop {
        let NextQuestion { request, method, .. } = inquiry.question(None)?;
        let question = Question { chain, request: &request, method, url, etag: None };
        let trouble = match fetcher.fetch(&question).await {
            Err(error) => Trouble::from(error),
            Ok(answer) => {
                // A question without a validator gets no 304: an answer without a body is an empty one.
                let response: Bytes = answer.body.clone().unwrap_or_default();
                match Judge::new(chain).at(SystemClock.now()).judge(response) {
                    Err(refusal) => Trouble::with_answer(refusal, &answer),
                    Ok(judgement) => match judgement.status {
                        CertStatus::Revoked { at, .. } => return Ok(Answered::Revoked(at)),
                        _ => match judgement.into_staple() {
                            Some(staple) => return Ok(Answered::Staple(Box::new(staple))),
                            None => Trouble::Unknown,
                        },
                    },
                }
            }
        };
        if !inquiry.refused(method, &trouble) {
            return Ok(Answered::No(inquiry.first_trouble().cloned().unwrap_or(trouble)));
        }
    }
}
