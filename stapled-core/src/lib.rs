//! OCSP staples, kept fresh in running TLS servers.
//!
//! A [`Stapler`](stapler::Stapler) joins [sources](source::CertSource) of certificates with [sinks](sink::StapleSink)
//! for their staples. Between them stand four stages round a [scheduler](scheduler::Scheduler): the *finder* sees which
//! certificates there are, the *parser* makes out what they are and who issued them, the *renewer* asks the CA's
//! responders by a [fetcher](fetch::OcspFetcher), and the *adder* delivers. Each takes a task, does it, and in one step
//! puts what follows. What is known is in the [inventory]; what happens is told to an [observer](event::Observer).
//!
//! An OCSP response becomes a [`Staple`](staple::Staple) only by [`judge`](staple::judge); nothing else is ever
//! delivered. The judgement is pure and can be used by itself.
//!
//! # The map, from the ground up
//!
//! - [`time`], [`reason`], [`task`], [`url_text`]: instants, reason codes, what travels between the stages, URLs as text.
//! - [`oid`], [`ocsp`], [`certificate`], [`bundle`], [`chain`]: what is on the wire and on disk.
//! - [`issuance`], [`staple`], [`refresh`]: what to believe, and when to ask again. Pure, as all above.
//! - [`clock`], [`chance`], [`source`], [`fetch`], [`sink`], [`scheduler`], [`event`]: the seams.
//! - [`overrides`], [`inquiry`], [`not_ocsp`]: which responders are asked, how one is asked, and what came that is no
//!   answer. [`lookup`]: where a server finds an issuer. Pure.
//! - [`certificate_file`]: the file of a certificate and the files around it, read.
//! - [`describe`], [`verdict`]: what is in responses, requests and certificates, and what a response is worth, to be shown.
//!   Pure.
//! - [`inventory`]: what is known of every certificate. [`overview`]: the same in rows for people and programs.
//! - [`io`]: the default implementations: directories, HTTP, files, a scheduler in memory.
//! - [`stapler`]: the builder and owner.

mod adder;
mod cause;
pub mod certificate_file;
pub mod chance;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod event;
pub mod fetch;
mod finder;
pub mod inventory;
pub mod io;
mod issuers;
mod jumps;
mod lane;
pub mod overrides;
pub mod overview;
mod parser;
mod place_fault;
mod queues;
mod renewer;
pub mod report;
mod responders;
pub mod scheduler;
mod severity;
pub mod sink;
pub mod source;
pub mod stapler;
pub mod task;
pub mod verdict;

pub use issuers::IssuerStore;
pub use stapled_ocsp::{
    DerError, Weak, bundle, certificate, chain, describe, encoding, hash, inquiry, issuance, lookup, not_ocsp, ocsp,
    oid, reason, refresh, staple, time, url_text,
};
