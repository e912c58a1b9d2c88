//! A small certificate authority with an OCSP responder.
//!
//! An [`Authority`] issues certificates from a [`Profile`] and writes them down
//! in a ledger, in memory or in a directory; a [`Responder`] answers OCSP
//! requests for what its authorities issued. Nothing in them signs a wrong
//! answer. What tests and labs need beyond that lies apart: [`lab::Lab`] is a
//! responder that fails on command, and [`ocsp::ResponseBuilder`] builds any
//! response, right or wrong in exactly one place.
//!
//! From the ground up: `der` and `serial` (bytes and numbers), `key`, [`ocsp`]
//! (questions and answers), `profile` and `issue` (certificates), `ledger` and
//! [`store`] (what was issued), `authority`, `responder`, [`lab`].

mod authority;
mod background;
mod clock;
pub mod der;
mod error;
mod issue;
mod issued;
mod key;
pub mod lab;
mod ledger;
mod legacy;
pub mod ocsp;
pub mod pem;
mod profile;
pub mod responder;
mod scheme;
mod serial;
pub mod store;

pub use authority::{Authority, AuthorityBuilder};
pub use error::AuthorityError;
pub use issued::Issued;
pub use key::{Key, KeyError, KeyType};
pub use ledger::{Kind, Ledger, MemoryLedger, Reason, Record, Status, UnknownReason};
pub use profile::{ExtendedKeyUsage, Extension, KeyUsage, NameAttribute, Profile, SubjectName, Validity};

pub use responder::Responder;
pub use scheme::SignatureScheme;
pub use serial::{Serial, SerialError};
