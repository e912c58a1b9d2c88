//! Reads X.509 certificates (RFC 5280), as far as stapling needs them.

mod description;
mod x509;

pub(crate) use description::{general_name_in_words, name_in_full};
pub use x509::{Certificate, CertificateError};
pub(crate) use x509::{name_in_words, same_name};
