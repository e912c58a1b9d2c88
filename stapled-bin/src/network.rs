//! How responders are reached: directly, through a proxy, or, where it is a stranger who names them, not at all.

use std::fmt;

use stapled_core::io::http::{HttpFetcher, HttpFetcherError};

/// How responders are reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    /// The proxy; without one, those that the environment names.
    pub(crate) proxy: Option<Proxy>,
    /// Whether only public addresses are asked.
    pub(crate) deny_private: bool,
}

/// A proxy, and the hosts that are reached without it.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    pub(crate) except: String,
}

impl Network {
    /// What asks responders.
    pub(crate) fn fetcher(&self) -> Result<HttpFetcher, HttpFetcherError> {
        let builder = HttpFetcher::builder().deny_private(self.deny_private);
        match &self.proxy {
            Some(proxy) => builder.proxy(proxy.url.as_str(), proxy.except.as_str()).build(),
            None => builder.proxy_from_environment().build(),
        }
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("except", &self.except).finish_non_exhaustive()
    }
}
