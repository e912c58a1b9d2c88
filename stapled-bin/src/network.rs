//! How responders are reached: directly, through a proxy, or, where it is a stranger who names them, not at all.

use std::fmt;
use std::time::Duration;

use clap::Args;
use stapled_core::io::http::{HttpFetcher, HttpFetcherError};
use stapled_core::overrides::{OverrideError, ResponderOverrides};

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

    /// Ask the responder at NEW instead of the one at OLD, and what is below NEW instead of what is below OLD; may be given
    /// several times
    #[arg(long, value_name = "OLD=NEW", help_heading = ASKING)]
    responder: Vec<String>,

    /// Ask this responder about a certificate that names none
    #[arg(long, value_name = "URL", help_heading = ASKING)]
    default_responder: Option<String>,

    /// Try the IPv4 addresses of a responder before those of IPv6 [default: in the system's order]
    #[arg(long, help_heading = ASKING)]
    prefer_ipv4: bool,

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
    /// Whether a host's IPv4 addresses are tried first.
    pub(crate) prefer_ipv4: bool,
    /// Responders that are asked instead of others.
    pub(crate) overrides: ResponderOverrides,
}

/// An override that cannot be used, and the setting that says it.
#[derive(Debug, thiserror::Error)]
#[error("--{setting}: {error}")]
pub(crate) struct UnusableOverride {
    pub(crate) setting: &'static str,
    pub(crate) error: OverrideError,
}

/// A proxy, and the hosts that are reached without it.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    pub(crate) except: String,
}

impl NetworkArguments {
    pub(crate) fn network(&self) -> Result<Network, UnusableOverride> {
        let except = self.no_proxy.clone().unwrap_or_default();
        let proxy = self.http_proxy.clone().map(|url| Proxy { url, except });
        let overrides = overrides(&self.responder, self.default_responder.as_deref())?;
        Ok(Network { proxy, deny_private: self.deny_private_responders, prefer_ipv4: self.prefer_ipv4, overrides })
    }
}

/// The overrides, as they were said.
pub(crate) fn overrides(responders: &[String], default: Option<&str>) -> Result<ResponderOverrides, UnusableOverride> {
    let unusable = |setting| move |error| UnusableOverride { setting, error };
    let mut overrides = ResponderOverrides::new();
    for text in responders {
        overrides = overrides.replace_by_text(text).map_err(unusable("responder"))?;
    }
    match default {
        Some(url) => overrides.without_url(url).map_err(unusable("default-responder")),
        None => Ok(overrides),
    }
}

impl Network {
    /// What asks responders; each question may take so long.
    pub(crate) fn fetcher(&self, timeout: Duration) -> Result<HttpFetcher, HttpFetcherError> {
        let builder = HttpFetcher::builder()
            .crypto_provider(rustls::crypto::aws_lc_rs::default_provider())
            .deny_private(self.deny_private)
            .prefer_ipv4(self.prefer_ipv4)
            .timeout(timeout);
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
