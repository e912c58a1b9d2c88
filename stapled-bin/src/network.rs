//! How responders are reached: directly or through a proxy, and at which addresses.

use std::fmt;
use std::time::Duration;

use stapled_core::io::http::{HttpFetcher, HttpFetcherError};
use stapled_core::overrides::{OverrideError, ResponderOverrides};

use crate::fault::ConfigurationError;
use crate::options::arguments::{self, Options};
use crate::options::declaration::Opt;
use crate::options::settings::Settings;
use crate::options::table as option;

/// How long one request of the daemon may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);

/// The options that say how responders are reached, for a command.
pub(crate) type NetworkArguments = Options<arguments::Network>;

impl NetworkArguments {
    pub(crate) fn network(&self) -> Result<Network, ConfigurationError> {
        Network::of(&self.settings)
    }
}

/// How responders are reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    /// The proxy. None: the proxies that the environment names.
    pub(crate) proxy: Option<Proxy>,
    /// Whether only responders at public addresses are asked.
    pub(crate) deny_private: bool,
    /// Whether the IPv4 addresses of a host are tried first.
    pub(crate) prefer_ipv4: bool,
    /// Responders that are asked instead of others.
    pub(crate) overrides: ResponderOverrides,
}

/// A proxy, and the hosts that are reached without it.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    pub(crate) except: String,
}

impl Network {
    /// The network that settings ask for.
    pub(crate) fn of(settings: &Settings) -> Result<Network, ConfigurationError> {
        let except = settings.get(&option::NO_PROXY).join(",");
        let proxy = settings.get(&option::HTTP_PROXY).map(|url| Proxy { url, except });
        if proxy.is_none() && settings.has(&option::NO_PROXY) {
            return Err(ConfigurationError::Setting {
                place: settings.origin(&option::NO_PROXY),
                what: "belongs to http-proxy; for the proxies of the environment, set no_proxy there".to_owned(),
            });
        }
        Ok(Network {
            proxy,
            deny_private: settings.get(&option::DENY_PRIVATE_RESPONDERS),
            prefer_ipv4: settings.get(&option::PREFER_IPV4),
            overrides: overrides(settings)?,
        })
    }

    /// An HTTP client for responders. One request may take as long as `timeout`.
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

fn overrides(settings: &Settings) -> Result<ResponderOverrides, ConfigurationError> {
    fn unusable<K>(settings: &Settings, option: &Opt<K>, error: &OverrideError) -> ConfigurationError {
        ConfigurationError::Setting { place: settings.origin(option), what: error.to_string() }
    }
    let mut overrides = ResponderOverrides::new();
    for text in settings.get(&option::RESPONDER) {
        let replaced = overrides.replace_by_text(&text);
        overrides = replaced.map_err(|error| unusable(settings, &option::RESPONDER, &error))?;
    }
    match settings.get(&option::DEFAULT_RESPONDER) {
        Some(url) => {
            overrides.without_url(&url).map_err(|error| unusable(settings, &option::DEFAULT_RESPONDER, &error))
        }
        None => Ok(overrides),
    }
}

/// Without the URL, which may contain a password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("except", &self.except).finish_non_exhaustive()
    }
}
