//! A small certificate authority with an OCSP responder.
//!
//! An [`Authority`] issues certificates from a [`Profile`] and records them in a ledger, in memory or in a directory. A
//! [`Responder`] answers OCSP requests about the certificates of its authorities. Neither signs a wrong answer. Tests
//! need wrong answers, too: [`lab::Lab`] is a responder that fails on command, and [`ocsp::ResponseBuilder`] builds
//! any response, right or wrong in exactly one place.
//!
//! Certificates and OCSP responses are made without the other crates of this project, so that their tests can judge them by
//! independent code. [`session`] uses their schedulers, and nothing else of them.
//!
//! The modules, from the ground up:
//!
//! - `clock`, `hex`, [`der`], [`pem`], `hash`, `serial`, `identity`: time, text, bytes, numbers, names.
//! - `scheme`, `legacy`, `key_type`, `key`: keys and signatures.
//! - `ledger`, [`store`], `ledger_file`, `old_ledger`, `error`: records, files, errors.
//! - `extension`, `profile`, `issued`, [`ocsp`], `issue`: certificates, requests and responses.
//! - `authority`, `authority_builder`, `crl`, `delegate`: authorities.
//! - `background`, `http_server`, [`responder`], [`lab`]: servers.
//! - [`session`]: the way of a certificate request to its certificate.
//! - `metrics`: numbers for monitoring.

mod authority;
mod authority_builder;
mod background;
mod clock;
mod crl;
mod delegate;
pub mod der;
mod error;
mod extension;
mod hash;
mod hex;
mod http_server;
mod identity;
mod issue;
mod issued;
mod key;
mod key_type;
pub mod lab;
mod ledger;
mod ledger_file;
mod legacy;
mod metrics;
pub mod ocsp;
mod old_ledger;
pub mod pem;
mod profile;
pub mod responder;
mod scheme;
mod serial;
pub mod session;
pub mod store;

pub use authority::Authority;
pub use authority_builder::AuthorityBuilder;
pub use background::interrupted;
pub use crl::Crl;
pub use error::AuthorityError;
pub use extension::Extension;
pub use issued::Issued;
pub use key::Key;
pub use key_type::{KeyError, KeyType};
pub use ledger::{Changes, Kind, Ledger, MemoryLedger, Reason, Record, Status, UnknownReason};
pub use ledger_file::{Entered, LedgerEntry, LedgerFile};
pub use metrics::Metrics;
pub use profile::{ExtendedKeyUsage, KeyUsage, NameAttribute, Profile, SubjectName, Validity};

pub use responder::Responder;
pub use scheme::SignatureScheme;
pub use serial::{Serial, SerialError};

/// The code of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
