//! HAProxy for `stapled`: staples delivered over the admin socket, without a reload, and the running process as a source
//! of certificates.
//!
//! [`HaproxySource`] is the source (`source`; `files` matches what is loaded to files), [`HaproxySink`] the sink. On the way of a staple, from its top down:
//!
//! - `sink`: one process behind an admin socket (`peer`), or the workers behind a master (`crew`), each a peer.
//! - `peer`: has a staple written and confirmed, remembers what was delivered, and compares that with what HAProxy has
//!   loaded and shows: so it can say what HAProxy has lost.
//! - `lookout` keeps the `register` of what a process has loaded up to date, without burdening it.
//! - `writer`: the one writer of a process. Whatever this program says to one HAProxy goes through it, in order, many
//!   responses to a batch; `shift` is its task.
//! - `introduce`: the first staple of a certificate that HAProxy loaded without one, as a transaction; `first` says
//!   beforehand whether that can be done.
//! - `token`: the response that takes a staple out of service.
//! - `connection`: one connection in interactive mode, with limits on time and size for everything that is read.
//! - `address`, `route`, `command`, `framing`, `reply`, `process`, `master`, `names`, `register`: pure: what is said, and
//!   what the answers mean.
//!
//! [`configuration`] is the other half: what HAProxy's configuration says, as a source of certificates. What a running
//! HAProxy has otherwise is a [`Difference`]; what it serves beyond its configuration, [`HaproxySource::beyond`] gives.
//!
//! The commands are those of "9.3. Unix Socket commands" in HAProxy's management guide: `prompt`, `show info`, `set
//! timeout cli`, `show cli level`, `set ssl ocsp-response`, `show ssl ocsp-response ID`, `show ssl cert`, `set ssl cert`, `commit ssl cert`,
//! `abort ssl cert` and `show env`; and of "9.4. Master CLI": `show proc` and `@!PID`. Commands that print private keys,
//! or hold HAProxy up, are not used.
//!
//! What must never be: a reply taken for success unless it says so word for word; two writers to one process; somebody
//! else's transaction committed or aborted (HAProxy before 3.0 cannot be kept from all of it: see [`Transactions`]); a
//! response sent that HAProxy would drop the good one for.
//!
//! [`codes`] lists the reason codes of its errors.

mod address;
mod agreement;
mod beyond;
mod builder;
mod bypass;
pub mod codes;
mod command;
pub mod configuration;
mod connection;
mod crew;
mod difference;
mod fault;
mod files;
mod first;
mod framing;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(test, not(fuzzing)))]
#[allow(unreachable_pub)] // it is public where it is for a fuzzer
mod fuzzing;
mod introduce;
mod layout;
mod lookout;
mod losses;
mod master;
mod matching;
mod names;
mod peer;
mod process;
mod register;
mod reply;
mod route;
mod served_paths;
mod settings;
mod shift;
mod sink;
mod source;
mod token;
mod transaction;
mod writer;

pub use address::{Address, AddressError};
pub use builder::HaproxySinkBuilder;
pub use command::NameError;
pub use difference::Difference;
pub use first::FirstStaple;
pub use served_paths::ServedPaths;
pub use settings::Transactions;
pub use sink::HaproxySink;
pub use source::{HaproxySource, Picture, ServedCertificate};
