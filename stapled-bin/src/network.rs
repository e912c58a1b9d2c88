//! How responders are reached: directly or through a proxy, at which addresses, and by which of several processes.

use std::sync::Arc;
use std::time::Duration;

use stapled_core::fetch::OcspFetcher;
use stapled_core::io::http::{HttpFetcher, HttpFetcherError};
use stapled_core::overrides::ResponderOverrides;
use stapled_core::staple::JudgePolicy;

use crate::fault::ConfigurationError;
use crate::options::declarations as option;
use crate::options::settings::Settings;

/// How long one request of the daemon may take.
const TIMEOUT: Duration = Duration::from_secs(15);

#[cfg(feature = "redis")]
type SharedCache = stapled_redis::RedisAddress;
/// A build without Redis has none.
#[cfg(not(feature = "redis"))]
type SharedCache = std::convert::Infallible;

/// How responders are reached.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    settings: Settings,
    /// Responders that are asked instead of others.
    pub(crate) overrides: ResponderOverrides,
    /// The Redis through which several processes share the answers of responders.
    shared_cache: Option<SharedCache>,
}

impl Network {
    /// The network that settings ask for.
    pub(crate) fn of(settings: &Settings) -> Result<Network, ConfigurationError> {
        if !settings.has(&option::HTTP_PROXY) {
            let what = "belongs to http-proxy; for the proxies of the environment, set no_proxy there";
            settings.refuse(&[&option::NO_PROXY.declaration], what)?;
        }
        let (overrides, shared_cache) = (overrides(settings)?, shared_cache(settings)?);
        let network = Network { settings: settings.clone(), overrides, shared_cache };
        // A fetcher is made here so that --check-config finds an unusable proxy.
        settings.tried(&option::HTTP_PROXY, |_| network.fetcher(TIMEOUT))?;
        Ok(network)
    }

    /// The HTTP client of the daemon, whose answers are shared if the settings say so. Shared answers are judged by this policy.
    pub(crate) fn shared_fetcher(&self, policy: JudgePolicy) -> Result<Arc<dyn OcspFetcher>, HttpFetcherError> {
        let fetcher = self.fetcher(TIMEOUT)?;
        Ok(match &self.shared_cache {
            #[cfg(feature = "redis")]
            Some(address) => Arc::new(stapled_redis::SharedFetcher::new(fetcher, address).judge_policy(policy)),
            #[cfg(not(feature = "redis"))]
            Some(never) => match (*never, policy) {},
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

#[cfg(feature = "redis")]
fn shared_cache(settings: &Settings) -> Result<Option<SharedCache>, ConfigurationError> {
    let read = |address: String| match settings.is_argument(&option::SHARED_CACHE) {
        true => SharedCache::from_argument(&address, "write the address into the configuration file"),
        false => address.parse(),
    };
    settings.tried(&option::SHARED_CACHE, |address| address.map(read).transpose())
}

#[cfg(not(feature = "redis"))]
fn shared_cache(settings: &Settings) -> Result<Option<SharedCache>, ConfigurationError> {
    let missing = "this program was built without the feature `redis`";
    settings.refuse(&[&option::SHARED_CACHE.declaration], missing).map(|()| None)
}

fn overrides(settings: &Settings) -> Result<ResponderOverrides, ConfigurationError> {
    let texts = |texts: Vec<String>| {
        texts.iter().try_fold(ResponderOverrides::new(), |overrides, text| overrides.replace_by_text(text))
    };
    let overrides = settings.tried(&option::RESPONDER, texts)?;
    let off = |names: Vec<String>| names.iter().try_fold(overrides, |overrides, name| overrides.off(name));
    let overrides = settings.tried(&option::OFF, off)?;
    let without_url = |url: Option<String>| url.iter().try_fold(overrides, |overrides, url| overrides.without_url(url));
    settings.tried(&option::DEFAULT_RESPONDER, without_url)
}
