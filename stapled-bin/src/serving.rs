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
        if !settings.has(&option::LISTEN) {
            return settings.refuse(&[&option::ALLOW_ISSUER.declaration], "belongs to listen").map(|()| None);
        }
        let anywhere = settings.get(&option::LISTEN_ANYWHERE);
        let read = |text: &String| if anywhere { WebAddress::anywhere(text) } else { text.parse() };
        let refused = |error| match error {
            AddressError::NotLoopback(at) => {
                let what = format!("{at} is not a loopback address; if other machines may ask, add listen-anywhere");
                settings.unusable(&option::LISTEN, what)
            }
            error => settings.unusable(&option::LISTEN, error.to_string()),
        };
        let addresses = settings.get(&option::LISTEN).iter().map(read).collect::<Result<_, _>>().map_err(refused)?;
        let issuers = |texts: Vec<String>| texts.iter().map(|text| AllowedIssuer::read(text)).collect();
        Ok(Some(Serving { addresses, issuers: settings.tried(&option::ALLOW_ISSUER, issuers)? }))
    }
}
