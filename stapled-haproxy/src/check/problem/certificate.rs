//! Problems of a certificate and of the file that it lies in.

use std::fmt;
use std::time::Duration;

use stapled_core::bundle::BundleError;
use stapled_core::chain::ChainError;
use stapled_core::event::faults::PlaceFault;
use stapled_core::reason::ReasonCode;

use super::severity::Severity;
use crate::cli::name::NameError;
use crate::codes;

/// A problem of a certificate and of the file that it lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// Its file cannot be read.
    Unreadable {
        /// The file; or the name under which HAProxy lists the certificate, where no file is known.
        certificate: String,
        /// Why.
        why: Unreadable,
    },
    /// Its file is larger than any file with certificates.
    TooLarge {
        /// The file.
        file: String,
        /// The largest size that is read, in bytes.
        limit: usize,
    },
    /// Its file holds no certificate.
    NoCertificate {
        /// The file.
        file: String,
        /// What it is instead, as far as that can be told.
        error: BundleError,
        /// Whether HAProxy has the file, or would load it, or the file was named. A directory may hold other files.
        is_wanted: bool,
    },
    /// What its file holds is no certificate.
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        error: BundleError,
    },
    /// Its file holds certificates of authorities only, which get no staples.
    OnlyAuthorities,
    /// It gets no staple as it is: expired, not yet valid, or not for servers.
    Unusable {
        /// Which of these.
        error: ChainError,
        /// Its name.
        name: String,
        /// Whether HAProxy has it, or would load it. Old certificates may lie in a directory.
        is_served: bool,
    },
    /// Its stapling is turned off.
    Off,
    /// It names no OCSP responder and needs no staple.
    NoOcspUrl,
    /// It names no OCSP responder, and clients refuse it without a staple.
    MustStapleWithoutUrl,
    /// Its name cannot be sent in a command to HAProxy.
    UnusableName {
        /// Why.
        error: NameError,
    },
    /// HAProxy asks for the responses of this certificate itself.
    TwoWriters,
    /// Its file holds further end-entity certificates behind it, which HAProxy serves to no client as theirs.
    Several {
        /// The name of the first, which is served.
        served: String,
        /// The names of the others.
        others: Vec<String>,
    },
}

/// Why a certificate's file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// No file that can be read holds it.
    NowhereToRead,
    /// The file's mode keeps this user out.
    Denied {
        /// What the system says.
        error: String,
    },
    /// It is no regular file.
    NotAFile,
    /// Any other failure.
    Failed {
        /// What the system says.
        error: String,
    },
    /// Reading took too long.
    TooSlow {
        /// How long reading may take.
        limit: Duration,
    },
    /// The reading broke off.
    BrokenOff {
        /// Why.
        error: String,
    },
}

impl CertificateProblem {
    /// Whether it needs the operator.
    pub fn severity(&self) -> Severity {
        match self {
            CertificateProblem::NoCertificate { is_wanted: false, .. }
            | CertificateProblem::OnlyAuthorities
            | CertificateProblem::Unusable { error: ChainError::Expired { .. }, is_served: false, .. }
            | CertificateProblem::Several { .. }
            | CertificateProblem::Off
            | CertificateProblem::NoOcspUrl => Severity::Note,
            _ => Severity::Problem,
        }
    }

    /// The stable word for it.
    pub fn code(&self) -> ReasonCode {
        match self {
            CertificateProblem::Unreadable { .. } => PlaceFault::Unreadable.code(),
            CertificateProblem::TooLarge { .. } => PlaceFault::TooLarge.code(),
            CertificateProblem::NoCertificate { .. } => PlaceFault::NoCertificate.code(),
            CertificateProblem::Malformed { .. } => PlaceFault::Malformed.code(),
            CertificateProblem::OnlyAuthorities => codes::ONLY_CA_CERTIFICATES,
            CertificateProblem::Unusable { error, .. } => error.code(),
            CertificateProblem::Off => codes::OFF,
            CertificateProblem::NoOcspUrl => codes::NO_OCSP_URL,
            CertificateProblem::MustStapleWithoutUrl => codes::MUST_STAPLE_WITHOUT_URL,
            CertificateProblem::UnusableName { error } => error.code(),
            CertificateProblem::TwoWriters => codes::TWO_WRITERS,
            CertificateProblem::Several { .. } => codes::SEVERAL_CERTIFICATES,
        }
    }

    /// What to do, in words.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            CertificateProblem::Unreadable { why, .. } => why.remedy(),
            CertificateProblem::TooLarge { .. } => "leave nothing in it but the certificate, its chain and its key",
            CertificateProblem::NoCertificate { .. } => "put the certificate in it, in PEM, or take it out",
            CertificateProblem::Malformed { .. } => "write the certificate anew, whole and in PEM",
            CertificateProblem::OnlyAuthorities | CertificateProblem::Off | CertificateProblem::NoOcspUrl => {
                return None;
            }
            CertificateProblem::Unusable { error: ChainError::Expired { .. }, .. } => {
                "replace it, and have HAProxy load the new one (reload, or `set ssl cert` and `commit ssl cert`)"
            }
            CertificateProblem::Unusable { error: ChainError::NotYetValid { .. }, .. } => {
                "see that this machine's clock is right; clients refuse the certificate until then"
            }
            CertificateProblem::Unusable { .. } => "have it issued for servers, or leave it out here",
            CertificateProblem::MustStapleWithoutUrl => {
                "have it issued again with an OCSP URL, or without must-staple; or name its responder with \
                 --default-responder"
            }
            CertificateProblem::UnusableName { .. } => "rename the file",
            CertificateProblem::Several { .. } => {
                "give each a file of its own, with its chain and its key, if it shall be served"
            }
            CertificateProblem::TwoWriters => {
                "leave it to one of them: `ocsp-update off` for this certificate, or `ocsp-update.mode off` for all"
            }
        };
        Some(remedy.to_owned())
    }
}

impl Unreadable {
    fn remedy(&self) -> &'static str {
        match self {
            Unreadable::Denied { .. } => "let this user read it: the daemon has to, too (run both as the same user)",
            Unreadable::NotAFile | Unreadable::Failed { .. } => "see that there is a regular file that can be read",
            _ => "let this user read it, and see that it is there",
        }
    }
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateProblem::Unreadable { certificate, why } => match why {
                Unreadable::NowhereToRead => write!(f, "{certificate}: no readable file holds it"),
                Unreadable::Denied { error } | Unreadable::Failed { error } => {
                    write!(f, "{certificate} cannot be read: {error}")
                }
                Unreadable::NotAFile => write!(f, "{certificate} is not a regular file"),
                Unreadable::TooSlow { limit } => {
                    let limit = limit.as_secs();
                    write!(f, "{certificate}: it cannot be read within {limit} s: does its file system hang?")
                }
                Unreadable::BrokenOff { error } => write!(f, "{certificate}: {error}"),
            },
            CertificateProblem::TooLarge { file, limit } => {
                write!(f, "{file}: more than {limit} bytes: too large for certificates")
            }
            CertificateProblem::NoCertificate { file, error, .. } => write!(f, "{file}: {error}"),
            CertificateProblem::Malformed { file, error } => write!(f, "{file}: {error}"),
            CertificateProblem::OnlyAuthorities => {
                f.write_str("it has certificates of authorities only, which get no staples")
            }
            CertificateProblem::Unusable { error: ChainError::Expired { not_after, .. }, name, .. } => {
                write!(f, "{name} expired at {not_after}; it gets no staple")
            }
            CertificateProblem::Unusable { error: error @ ChainError::NotYetValid { .. }, .. } => {
                write!(f, "{error}; until then it gets no staple")
            }
            CertificateProblem::Unusable { error, .. } => write!(f, "{error}: it gets no staple"),
            CertificateProblem::NoOcspUrl => {
                f.write_str("it names no OCSP responder (as Let's Encrypt's), and needs no staple")
            }
            CertificateProblem::MustStapleWithoutUrl => {
                f.write_str("it is must-staple and names no OCSP responder: clients refuse it")
            }
            CertificateProblem::UnusableName { error } => write!(
                f,
                "its name cannot be said on HAProxy's command line ({error}): it gets no staple while HAProxy runs"
            ),
            CertificateProblem::Several { served, others } => write!(
                f,
                "its file has {} end-entity certificates: HAProxy serves the first, {served}, and sends {} along as if of its chain",
                others.len() + 1,
                others.join(", ")
            ),
            CertificateProblem::Off => f.write_str("its stapling is turned off"),
            CertificateProblem::TwoWriters => f.write_str(
                "HAProxy asks for its responses itself (`ocsp-update on`): beside stapled it is a second writer, which \
                 checks no signature and puts its own answers in the place of verified ones",
            ),
        }
    }
}
