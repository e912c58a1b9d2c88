//! Reads X.509 certificates (RFC 5280), as far as stapling needs them.

mod alike;
mod as_issuer;
mod description;
mod name;
mod x509;

pub(crate) use description::{general_name_in_words, name_in_full};
pub(crate) use name::{name_in_words, same_name};
pub(crate) use x509::Delegate;
pub use x509::{Certificate, CertificateError};
