//! The responder that answers servers, by the settings.

use stapled_core::responder::allowed::AllowedIssuer;
use stapled_core::web::address::{AddressError, WebAddress};

use crate::fault::ConfigurationError;
use crate::options::declarations as option;
use crate::options::settings::Settings;

/// Where a responder answers, and about which issuers it asks besides those of the daemon's certificates.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) addresses: Vec<WebAddress>,
    pub(crate) issuers: Vec<AllowedIssuer>,
}

impl Serving {
    /// The responder of these settings, if they name an address for it.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Self>, ConfigurationError> {
        let (texts, allowed) = (settings.get(&option::LISTEN), settings.get(&option::ALLOW_ISSUER));
        if texts.is_empty() {
            let stray = || settings.unusable(&option::ALLOW_ISSUER, "belongs to listen");
            return if allowed.is_empty() { Ok(None) } else { Err(stray()) };
        }
        let read = |text: &String| match settings.get(&option::LISTEN_ANYWHERE) {
            true => WebAddress::anywhere(text),
            false => text.parse(),
        };
        let refused = |error| match error {
            AddressError::NotLoopback(at) => {
                let what = format!("{at} is not a loopback address; if other machines may ask, add listen-anywhere");
                settings.unusable(&option::LISTEN, what)
            }
            error => settings.unusable(&option::LISTEN, error.to_string()),
        };
        let addresses = texts.iter().map(read).collect::<Result<_, _>>().map_err(refused)?;
        let issuers = allowed.iter().map(|text| AllowedIssuer::read(text)).collect::<Result<_, _>>();
        let issuers = issuers.map_err(|error| settings.unusable(&option::ALLOW_ISSUER, error.to_string()))?;
        Ok(Some(Serving { addresses, issuers }))
    }
}
