//! How responders are reached: directly, through a proxy, or, where it is a stranger who names them, not at all.

use std::fmt;
use std::time::Duration;

use clap::Args;
use stapled_core::io::http::{HttpFetcher, HttpFetcherError};

use crate::settings::ASKING;

/// How long one question may take, where nothing else is said.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);

/// How responders are reached, as it is said to a command.
#[derive(Args, Clone, Debug)]
pub(crate) struct NetworkArguments {
    /// The proxy to ask through, for http and https: `http://[USER:PASSWORD@]HOST:PORT` [default: what http_proxy,
    /// https_proxy, all_proxy and no_proxy in the environment say]
    #[arg(long, value_name = "URL", help_heading = ASKING)]
    http_proxy: Option<String>,

    /// What is asked without the proxy, separated by commas: domains with their subdomains, addresses, networks, *
    #[arg(long, value_name = "LIST", requires = "http_proxy", help_heading = ASKING)]
    no_proxy: Option<String>,

    /// Ask public addresses only
    #[arg(long, help_heading = ASKING)]
    deny_private_responders: bool,
}

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

impl NetworkArguments {
    pub(crate) fn network(&self) -> Network {
        let except = self.no_proxy.clone().unwrap_or_default();
        let proxy = self.http_proxy.clone().map(|url| Proxy { url, except });
        Network { proxy, deny_private: self.deny_private_responders }
    }
}

impl Network {
    /// What asks responders; each question may take so long.
    pub(crate) fn fetcher(&self, timeout: Duration) -> Result<HttpFetcher, HttpFetcherError> {
        let builder = HttpFetcher::builder().deny_private(self.deny_private).timeout(timeout);
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
