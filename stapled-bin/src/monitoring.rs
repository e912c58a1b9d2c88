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
        let http = settings.tried(&option::HTTP, |text| text.map(|text| text.parse::<WebAddress>()).transpose())?;
        if file.as_ref().is_some_and(|file| file.extension().is_none_or(|extension| extension != "prom")) {
            let what = "the textfile collector reads only files whose name ends in .prom";
            return Err(settings.unusable(&option::METRICS_FILE, what));
        }
        if http.is_none() && file.is_none() {
            settings.refuse(&[&option::METRICS_CERTIFICATES.declaration], "belongs to http or metrics-file")?;
        }
        Ok(Monitoring { http, file, certificates: settings.get(&option::METRICS_CERTIFICATES) })
    }

    /// The numbers, if they are shown anywhere.
    pub(crate) fn metrics(&self) -> Option<Metrics> {
        let is_shown = self.http.is_some() || self.file.is_some();
        is_shown.then(|| Metrics::with(env!("CARGO_PKG_VERSION"), self.certificates, SystemClock))
    }
}
