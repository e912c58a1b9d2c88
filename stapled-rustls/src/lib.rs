//! OCSP stapling for rustls servers.
//!
//! [`Stapling`] wraps the certificate resolver of a server. It tells a [`Stapler`](stapled_core::Stapler) which certificates
//! the server uses, and adds their staples to the handshakes: verified ones only, from memory, and without a lock.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use rustls::ServerConfig;
//! use rustls::server::ResolvesServerCert;
//! use stapled_core::Stapler;
//! use stapled_rustls::Stapling;
//!
//! # fn example(resolver: Arc<dyn ResolvesServerCert>, fetcher: impl stapled_core::fetch::OcspFetcher + 'static)
//! #     -> Result<(), Box<dyn std::error::Error>> {
//! let stapling = Arc::new(Stapling::new(resolver));
//! let stapler = Stapler::builder().group(stapling.group()).fetcher(fetcher).build()?;
//! let config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(stapling);
//! tokio::spawn(stapler.run(std::future::pending()));
//! # Ok(()) }
//! ```
//!
//! `fetcher` can be left out with the feature `http` of `stapled-core`.
//!
//! # Which certificates are stapled
//!
//! A resolver cannot be asked for its certificates. [`Stapling`] learns a certificate at its first handshake, which has
//! no staple; or before, from [`Stapling::announce`]. [`Certificates`] is a table of certificates by host name that announces
//! them by itself, and that may change while the server runs. Certificates that other sources of the stapler find, such as a
//! directory, are stapled from their first handshake, too.
//!
//! A certificate without an OCSP URL needs no staple. A staple that the resolver itself has set is removed: it was not
//! verified.
//!
//! # Cryptography
//!
//! The provider of rustls is the program's choice: this crate brings none.

mod certificates;
mod known;
mod shards;
mod stapling;

pub use certificates::Certificates;
pub use stapling::Stapling;

/// The code of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
