//! A snapshot of a running HAProxy: its version, its sockets, its certificates.

use std::path::PathBuf;

use stapled_core::certificate::Certificate;

use crate::cli::identity::Identity;
use crate::cli::level::Level;
use crate::cli::reply::certificate::Loaded;
use crate::configuration::{Served, ZeroWarning};

/// A snapshot of a running HAProxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessSnapshot {
    /// The process id.
    pub pid: u64,
    /// The version, such as `3.0.11-1+deb13u4`.
    pub version: String,
    /// The level of the socket, if HAProxy shows it.
    pub level: Option<Level>,
    /// The configuration files as HAProxy was given them; relative ones begin in its working directory.
    pub configuration_files: Vec<PathBuf>,
    /// The working directory, if it is known.
    pub working_directory: Option<PathBuf>,
    /// The addresses of its admin sockets, as they are configured.
    pub sockets: Vec<String>,
    /// The name of the certificate that an open transaction changes (`set ssl cert`, not committed yet): until it ends, no
    /// certificate can get its first staple.
    pub transaction: Option<String>,
    /// Whether its version lacks a fix: there, a new response may meet a handshake that reads the former one.
    pub has_response_race: bool,
    /// By what the process refuses a reload after a warning, if the files of its configuration or its command line show it.
    pub zero_warning: Option<ZeroWarning>,
    /// The loaded certificates, in the order of the names.
    pub certificates: Vec<ServedCertificate>,
}

/// A certificate that a process has loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServedCertificate {
    /// HAProxy's name for it.
    pub name: String,
    /// The serial number in hexadecimal.
    pub serial: String,
    /// The SHA-1 hash in hexadecimal; empty if HAProxy does not show it.
    pub fingerprint: String,
    /// Whether a `bind` line or a crt-list uses it.
    pub is_used: bool,
    /// Whether HAProxy takes responses for it, because it has or had one.
    pub takes_responses: bool,
    /// The DER of the CertID for which HAProxy takes responses; empty while it takes none.
    pub cert_id: Vec<u8>,
    /// Whether further certificates came with it, perhaps its issuer.
    pub has_chain: bool,
    /// The file of that name, if there is one.
    pub file: Option<PathBuf>,
    /// Whether that file holds this very certificate.
    pub is_in_file: bool,
    /// The line of the configuration that the process was started with, if that can be read.
    pub configured: Option<Served>,
    /// The file where HAProxy looks for its response when it starts, by its configuration or else by its name.
    pub staple: Option<PathBuf>,
    /// Whether it is a client certificate for servers behind HAProxy (`server … crt`), by the configuration: HAProxy never
    /// staples it.
    pub is_clients: bool,
}

impl ServedCertificate {
    /// A loaded certificate, without its file.
    pub(crate) fn of(name: &str, loaded: &Loaded) -> Self {
        ServedCertificate {
            name: name.to_owned(),
            serial: loaded.serial.clone(),
            fingerprint: loaded.fingerprint.clone(),
            is_used: !loaded.is_unused,
            takes_responses: loaded.takes_responses(),
            cert_id: loaded.response_key.clone(),
            has_chain: loaded.has_chain,
            file: None,
            is_in_file: false,
            configured: None,
            staple: None,
            is_clients: false,
        }
    }

    /// Whether this is the loaded certificate, by its serial number and, if HAProxy shows it, its SHA-1 hash.
    pub fn is(&self, certificate: &Certificate) -> bool {
        Identity::of(certificate).matches(&self.serial, &self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use stapled_ca::{Authority, Profile};

    use super::*;

    #[test]
    fn a_certificate_is_recognized_by_serial_and_fingerprint() {
        let authority = Authority::root("Issuer").create().unwrap();
        let [one, other] = ["one.example", "other.example"]
            .map(|name| Certificate::from_der(authority.issue(&Profile::server(name)).unwrap().der()).unwrap());
        let Identity { serial, fingerprint } = Identity::of(&one);
        let of = |serial: &str, fingerprint: &str| ServedCertificate {
            serial: serial.to_owned(),
            fingerprint: fingerprint.to_owned(),
            ..ServedCertificate::default()
        };
        assert!(of(&serial, &fingerprint).is(&one) && of(&serial, &fingerprint.to_lowercase()).is(&one));
        assert!(of(&format!("00{serial}"), "").is(&one));
        assert!(!of(&serial, &fingerprint).is(&other));
        assert!(!of(&serial, &Identity::of(&other).fingerprint).is(&one));
    }
}
