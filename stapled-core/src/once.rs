//! One staple, once: without a scheduler, a source or a sink.

use crate::asking::attempt::Attempt;
use crate::asking::{Asking, Plain};
use crate::chain::{CertChain, ChainError};
use crate::clock::{Clock, SystemClock};
use crate::exchange::inquiry::Trouble;
use crate::fetch::OcspFetcher;
use crate::ocsp::CertStatus;
use crate::staple::Staple;
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
/// use stapled_core::HttpFetcher;
/// use stapled_core::chain::CertChain;
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
    let mut peers = Plain::new(fetcher, |_: &Attempt| {});
    let urls = chain.end_entity().ocsp_urls().iter().map(String::as_str);
    let believed = Asking::new(chain).ask_each(urls, &mut peers).await;
    if let Some(Attempt { answer: Some((_, Ok(judgement))), .. }) = believed {
        if let CertStatus::Revoked { at, .. } = judgement.status {
            return Err(OnceError::Revoked { name: name(), at });
        }
        if let Some(staple) = judgement.into_staple() {
            return Ok(staple);
        }
    }
    Err(match peers.into_first_trouble() {
        Some((url, trouble)) => OnceError::NoResponse { url, trouble },
        None => OnceError::NoResponder { name: name() },
    })
}
