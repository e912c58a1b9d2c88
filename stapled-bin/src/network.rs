//! How responders are reached: directly or through a proxy, at which addresses, and by which of several processes.

use std::sync::Arc;
use std::time::Duration;

use stapled_core::fetch::OcspFetcher;
use stapled_core::io::http::{HttpFetcher, HttpFetcherError};
use stapled_core::overrides::ResponderOverrides;
use stapled_core::staple::JudgePolicy;

use crate::fault::ConfigurationError;
use crate::options::arguments::{self, Options};
use crate::options::declarations as option;
use crate::options::settings::Settings;
use crate::shared_cache::SharedCache;

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
#[derive(Clone, Debug)]
pub(crate) struct Network {
    settings: Settings,
    /// Responders that are asked instead of others.
    pub(crate) overrides: ResponderOverrides,
    shared_cache: Option<SharedCache>,
}

impl Network {
    /// The network that settings ask for.
    pub(crate) fn of(settings: &Settings) -> Result<Network, ConfigurationError> {
        if settings.has(&option::NO_PROXY) && !settings.has(&option::HTTP_PROXY) {
            let what = "belongs to http-proxy; for the proxies of the environment, set no_proxy there";
            return Err(settings.unusable(&option::NO_PROXY, what));
        }
        let (overrides, shared_cache) = (overrides(settings)?, SharedCache::of(settings)?);
        Ok(Network { settings: settings.clone(), overrides, shared_cache })
    }

    /// The fetcher of the daemon: an HTTP client, whose answers are shared if the settings say so. Shared answers are judged
    /// by this policy.
    pub(crate) fn shared_fetcher(&self, policy: JudgePolicy) -> Result<Arc<dyn OcspFetcher>, HttpFetcherError> {
        let fetcher = self.fetcher(TIMEOUT)?;
        Ok(match &self.shared_cache {
            Some(cache) => cache.around(fetcher, policy),
            None => Arc::new(fetcher),
        })
    }

    /// An HTTP client for responders. One request may take as long as `timeout`.
    pub(crate) fn fetcher(&self, timeout: Duration) -> Result<HttpFetcher, HttpFetcherError> {
        let settings = &self.settings;
        let builder = HttpFetcher::builder()
            .crypto_provider(rustls::crypto::aws_lc_rs::default_provider())
            .deny_private(settings.get(&option::DENY_PRIVATE_RESPONDERS))
            .prefer_ipv4(settings.get(&option::PREFER_IPV4))
            .timeout(timeout);
        match settings.get(&option::HTTP_PROXY) {
            Some(url) => builder.proxy(url, settings.get(&option::NO_PROXY).join(",")).build(),
            None => builder.proxy_from_environment().build(),
        }
    }
}

fn overrides(settings: &Settings) -> Result<ResponderOverrides, ConfigurationError> {
    let mut overrides = ResponderOverrides::new();
    for text in settings.get(&option::RESPONDER) {
        let replaced = overrides.replace_by_text(&text);
        overrides = replaced.map_err(|error| settings.unusable(&option::RESPONDER, error.to_string()))?;
    }
    for certificate in settings.get(&option::OFF) {
        overrides = overrides.off(&certificate).map_err(|error| settings.unusable(&option::OFF, error.to_string()))?;
    }
    let Some(url) = settings.get(&option::DEFAULT_RESPONDER) else { return Ok(overrides) };
    overrides.without_url(&url).map_err(|error| settings.unusable(&option::DEFAULT_RESPONDER, error.to_string()))
}
