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
#[cfg(feature = "redis")]
use crate::redis_address;

/// Where the answers are shared.
#[cfg(feature = "redis")]
#[derive(Clone, Debug)]
pub(crate) struct SharedCache(RedisAddress);

#[cfg(feature = "redis")]
impl SharedCache {
    /// The shared cache that settings name.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Self>, ConfigurationError> {
        let Some(address) = settings.get(&option::SHARED_CACHE) else { return Ok(None) };
        let instead = "write the address into the configuration file";
        let address = redis_address::read(&address, settings.is_argument(&option::SHARED_CACHE), instead);
        let unusable = |what: String| settings.unusable(&option::SHARED_CACHE, what);
        Ok(Some(SharedCache(address.map_err(unusable)?)))
    }

    /// A fetcher whose answers are shared.
    pub(crate) fn around(&self, fetcher: HttpFetcher, policy: JudgePolicy) -> Arc<dyn OcspFetcher> {
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
