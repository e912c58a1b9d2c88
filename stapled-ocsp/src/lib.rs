//! OCSP responses, judged as the strictest TLS client would.
//!
//! The crate reads certificates and OCSP responses, builds requests, decides whether a response may be stapled, and
//! plans the time of the next question. It has no clock, no files, no network and no runtime: times and bytes are arguments.
//!
//! # Modules, from the ground up
//!
//! - [`time`], [`hexadecimal`], [`reason`], [`subject`], [`hash`]: instants, digits, reason codes, the identity of a
//!   certificate, SHA-256.
//! - [`ocsp`], [`certificate`], [`bundle`], [`chain`]: the objects on the wire and on disk, not verified.
//! - [`lookup`]: where a server looks for the issuer of a certificate.
//! - [`staple`]: the judgement. A [`Judge`](staple::Judge) is the only origin of a [`Staple`](staple::Staple).
//! - [`refresh`]: when to ask again.
//! - [`exchange`]: one question to a responder, its answer, and, in [`exchange::inquiry`], which question comes next.
//! - [`describe`]: responses, requests and certificates as text.
//!
//! A module has the items that most programs meet. Details for experts are one module deeper, such as
//! [`ocsp::response`], [`chain::issuance`] and [`lookup::search`].

mod about;
pub mod bundle;
pub mod certificate;
pub mod chain;
mod der;
pub mod describe;
#[cfg(feature = "request")]
pub mod exchange;
pub mod hash;
pub mod hexadecimal;
pub mod lookup;
pub mod ocsp;
mod oid;
mod pem;
mod pkcs7;
mod provider;
pub mod reason;
pub mod refresh;
mod shape;
mod signature;
pub mod staple;
pub mod subject;
pub mod time;
mod url_text;

pub use signature::Weak;

/// The code of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
