//! Asking a CA: the trait of fetchers.

use async_trait::async_trait;
use bytes::Bytes;

pub use stapled_ocsp::exchange::{Answer, FetchError, Method, Question};

/// Answers one question: this request, at this URL, by this method.
///
/// Which URL, hash and method come next is the renewer's decision, and so is whether the answer is believed. A fetcher
/// bounds time and size, and follows redirects.
///
/// Both futures may be dropped before they are ready, as when the program ends. Then nobody hears the answer: no other
/// question gets it, and none fails for it.
#[async_trait]
pub trait OcspFetcher: Send + Sync {
    /// Asks once. May be dropped.
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError>;

    /// Gets the certificate of an issuer from a caIssuers URL (RFC 5280 §4.2.2.1): whatever lies there, in at most
    /// `limit` bytes. A fetcher that cannot says so. May be dropped.
    async fn fetch_issuer(&self, url: &str, limit: usize) -> Result<Bytes, FetchError> {
        let _ = limit;
        Err(FetchError::UnsupportedUrl { url: url.to_owned(), why: "this fetcher gets no certificates".to_owned() })
    }
}
