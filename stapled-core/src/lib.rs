//! OCSP staples, kept fresh in running TLS servers.
//!
//! A [`Stapler`] joins [sources](source::CertSource) of certificates with [sinks](sink::StapleSink)
//! for their staples. Four stages around a [scheduler](scheduler::Scheduler) connect them: the *finder* lists the
//! certificates, the *parser* reads them and finds their issuers, the *renewer* asks the CA's responders through a
//! [fetcher](fetch::OcspFetcher), and the *adder* delivers staples to sinks. Each stage takes a task, does it, and
//! commits its result together with the tasks that follow, in one step. The [inventory] holds the state of every
//! certificate. An [observer](event::Observer) receives the events.
//!
//! Only a [`Judge`](staple::Judge) turns an OCSP response into a [`Staple`](staple::Staple); sinks receive nothing else.
//! The judgement is pure and can be used by itself.
//!
//! # The modules, lowest layer first
//!
//! - [`time`], [`reason`], [`task`]: instants, reason codes, the tasks that stages exchange.
//! - [`ocsp`], [`certificate`], [`bundle`], [`chain`]: the formats on the wire and on disk.
//! - [`staple`], [`refresh`]: which responses are valid, and when to ask again. Pure, as all above.
//! - [`clock`], [`chance`], [`source`], [`fetch`], [`sink`], [`scheduler`], [`event`]: the traits that programs
//!   implement.
//! - [`overrides`], [`exchange`]: which responders are asked, and how one responder is asked. [`lookup`]: where a server
//!   finds an issuer. Pure.
//! - [`describe`], [`verdict`]: descriptions of responses, requests and certificates, and of the verdict on a response,
//!   for display. Pure.
//! - [`inventory`]: the state of every certificate. [`overview`]: the same state in rows for people and programs.
//! - [`io`]: the default implementations: directories, HTTP, files, a scheduler in memory.
//! - [`asking`]: the loop over the responders of one certificate.
//! - `hook` (a feature): the program that runs for events. `probe` (a feature): the client of a TLS server, which judges its staple.
//! - [`stapler`]: the builder and the owner of a running stapler.
//! - `metrics`, `web` (features): numbers for monitoring, and a server that shows them, with a page for people.
//! - `responder` (a feature): a local OCSP responder, a cache for servers that ask by themselves.
//! - `control` (a feature): a socket at which clients ask a running program for the state, and for renewals; reports to systemd.

mod adder;
pub mod asking;
mod by_subject;
mod cause;
pub mod chance;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "control")]
pub mod control;
pub mod event;
pub mod fetch;
mod finder;
mod gather;
#[cfg(feature = "hook")]
pub mod hook;
pub mod inventory;
pub mod io;
mod issuers;
mod jumps;
mod lane;
mod memo;
#[cfg(feature = "metrics")]
pub mod metrics;
mod once;
pub mod overrides;
pub mod overview;
mod parser;
#[cfg(feature = "probe")]
pub mod probe;
mod queues;
mod renewer;
pub mod report;
#[cfg(feature = "responder")]
pub mod responder;
mod responders;
pub mod scheduler;
mod severity;
pub mod sink;
pub mod source;
pub mod stapler;
pub mod task;
pub mod verdict;
#[cfg(feature = "web")]
pub mod web;

#[cfg(feature = "files")]
pub use io::directory::DirectorySource;
#[cfg(feature = "files")]
pub use io::file::FileSink;
#[cfg(feature = "http")]
pub use io::http::HttpFetcher;
pub use issuers::IssuerStore;
pub use once::{OnceError, staple_once};
pub use stapled_ocsp::{
    Weak, bundle, certificate, chain, describe, exchange, hash, hexadecimal, lookup, ocsp, reason, refresh, staple,
    time,
};
pub use stapler::Stapler;

/// The code of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
