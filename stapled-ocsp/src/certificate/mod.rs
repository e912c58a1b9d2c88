//! One X.509 certificate (RFC 5280), taken apart as far as stapling needs it.

mod description;
mod x509;

pub(crate) use crate::der::hex_upper;
pub(crate) use description::general_name_in_words;
pub use description::{Description, name_in_full};
pub use x509::{Certificate, CertificateError};
pub(crate) use x509::{name_in_words, same_name};
