//! The Redis through which several processes share the answers of responders.

use std::sync::Arc;

use stapled_core::fetch::OcspFetcher;
use stapled_core::io::http::HttpFetcher;
use stapled_core::staple::JudgePolicy;
#[cfg(feature = "redis")]
use stapled_redis::{RedisAddress, SharedFetcher};

use crate::fault::ConfigurationError;
use crate::options::declarations as option;
use crate::options::settings::Settings;

/// Where the answers are shared.
#[cfg(feature = "redis")]
#[derive(Clone, Debug)]
pub(crate) struct SharedCache(RedisAddress);

#[cfg(feature = "redis")]
impl SharedCache {
    /// The shared cache that settings name.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Self>, ConfigurationError> {
        let Some(address) = settings.get(&option::SHARED_CACHE) else { return Ok(None) };
        let unusable = |what: String| settings.unusable(&option::SHARED_CACHE, what);
        let address: RedisAddress = address.parse().map_err(|error| unusable(format!("{error}")))?;
        if address.has_password() && settings.is_argument(&option::SHARED_CACHE) {
            let what = "every user of this machine can see arguments: write an address with a password into the \
                configuration file";
            return Err(unusable(what.to_owned()));
        }
        Ok(Some(SharedCache(address)))
    }

    /// A fetcher whose answers are shared.
    pub(crate) fn around(&self, fetcher: HttpFetcher, policy: JudgePolicy) -> Arc<dyn OcspFetcher> {
        // For addresses with TLS. If this fails, there is a provider.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Arc::new(SharedFetcher::new(fetcher, &self.0).judge_policy(policy))
    }
}

/// A build without Redis has none.
#[cfg(not(feature = "redis"))]
#[derive(Clone, Debug)]
pub(crate) enum SharedCache {}

#[cfg(not(feature = "redis"))]
impl SharedCache {
    pub(crate) fn of(settings: &Settings) -> Result<Option<Self>, ConfigurationError> {
        match settings.has(&option::SHARED_CACHE) {
            true => Err(settings.unusable(&option::SHARED_CACHE, "this program was built without the feature `redis`")),
            false => Ok(None),
        }
    }

    pub(crate) fn around(&self, _: HttpFetcher, _: JudgePolicy) -> Arc<dyn OcspFetcher> {
        match *self {}
    }
}
