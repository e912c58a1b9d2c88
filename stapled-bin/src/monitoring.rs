//! What is shown of the running daemon for monitoring, and where, by the settings.

use std::path::PathBuf;

use stapled_core::clock::SystemClock;
use stapled_core::metrics::Metrics;
use stapled_core::web::address::WebAddress;

use crate::fault::ConfigurationError;
use crate::options::declarations as option;
use crate::options::settings::Settings;

/// What is shown, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Monitoring {
    pub(crate) http: Option<WebAddress>,
    pub(crate) file: Option<PathBuf>,
    /// How many certificates have series of their own.
    certificates: usize,
}

impl Monitoring {
    /// What the settings say.
    pub(crate) fn of(settings: &Settings) -> Result<Self, ConfigurationError> {
        let file = settings.get(&option::METRICS_FILE);
        let address = settings.get(&option::HTTP).map(|text| text.parse::<WebAddress>());
        let http = address.transpose().map_err(|error| settings.unusable(&option::HTTP, error.to_string()))?;
        if file.as_ref().is_some_and(|file| file.extension().is_none_or(|extension| extension != "prom")) {
            let what = "the textfile collector reads only files whose name ends in .prom";
            return Err(settings.unusable(&option::METRICS_FILE, what));
        }
        if http.is_none() && file.is_none() && settings.has(&option::METRICS_CERTIFICATES) {
            return Err(settings.unusable(&option::METRICS_CERTIFICATES, "belongs to http or metrics-file"));
        }
        Ok(Monitoring { http, file, certificates: settings.get(&option::METRICS_CERTIFICATES) })
    }

    /// The numbers, if they are shown anywhere.
    pub(crate) fn metrics(&self) -> Option<Metrics> {
        let is_shown = self.http.is_some() || self.file.is_some();
        is_shown.then(|| Metrics::with(env!("CARGO_PKG_VERSION"), self.certificates, SystemClock))
    }
}
