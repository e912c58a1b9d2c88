//! Fetchers send requests to responders.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::ocsp::OcspRequest;
use crate::report::Reporter;

pub use stapled_ocsp::exchange::{Answer, FetchError, Method, Question};

/// Sends one request to a responder and returns its answer.
///
/// The renewer decides which URL, hash and method come next, and whether the answer is believed. A fetcher bounds time and
/// size, and follows redirects. One that answers from a store keeps to [`Question::max_age`], and tells the age.
///
/// Both futures may be dropped before they are ready, as when the program ends. The answer is then lost; it must not
/// reach another request, and no other request may fail for it.
///
/// ```
/// use std::collections::HashMap;
///
/// use stapled_core::fetch::{Answer, FetchError, OcspFetcher, Question};
///
/// /// Answers that another program has collected, by the serial number of the certificate.
/// struct Collected(HashMap<String, Vec<u8>>);
///
/// #[async_trait::async_trait]
/// impl OcspFetcher for Collected {
///     async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
///         match self.0.get(&question.chain.end_entity().serial_hex()) {
///             Some(response) => Ok(Answer::new(response.clone())),
///             None => Err(FetchError::status(question.url, 404)),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait OcspFetcher: Send + Sync {
    /// Sends one request. May be dropped.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError>;

    /// Sends one request about a certificate of which only the CertID is known, as [`fetch`](OcspFetcher::fetch) does. May be
    /// dropped.
    ///
    /// # Errors
    ///
    /// Why there is no answer; by default, that this fetcher asks about whole certificates only.
    async fn fetch_by_cert_id(&self, request: &OcspRequest, method: Method, url: &str) -> Result<Answer, FetchError> {
        let _ = (request, method);
        Err(FetchError::unsupported_url(url, "this fetcher asks about whole certificates only"))
    }

    /// Fetches the certificate of an issuer from a caIssuers URL (RFC 5280 §4.2.2.1), as bytes of any format, at most
    /// `limit`. May be dropped.
    ///
    /// # Errors
    ///
    /// Why there is no answer; by default, that this fetcher gets no certificates.
    async fn fetch_issuer(&self, url: &str, limit: usize) -> Result<Bytes, FetchError> {
        let _ = limit;
        Err(FetchError::unsupported_url(url, "this fetcher gets no certificates"))
    }

    /// Takes a reporter. Through it, the fetcher sends facts to a stapler's observer that an operator must know and that no
    /// answer returns, such as that a store of answers fails. A stapler calls this method when it begins to run. A fetcher
    /// of several staplers, or one that outlives its stapler, gets several reporters:
    /// [`Reporters`](crate::report::Reporters) keeps them.
    fn report_to(&self, reporter: Reporter) {
        let _ = reporter;
    }
}

#[async_trait]
impl<F: OcspFetcher + ?Sized> OcspFetcher for Arc<F> {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        (**self).fetch(question).await
    }

    async fn fetch_by_cert_id(&self, request: &OcspRequest, method: Method, url: &str) -> Result<Answer, FetchError> {
        (**self).fetch_by_cert_id(request, method, url).await
    }

    async fn fetch_issuer(&self, url: &str, limit: usize) -> Result<Bytes, FetchError> {
        (**self).fetch_issuer(url, limit).await
    }

    fn report_to(&self, reporter: Reporter) {
        (**self).report_to(reporter);
    }
}
