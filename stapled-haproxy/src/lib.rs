//! HAProxy for `stapled`: staples are delivered over the admin socket, without a reload, and the running process is a
//! source of certificates.
//!
//! [`Haproxy`] joins the parts: [`HaproxySink`] is the sink, [`HaproxySource`] the running process as a source,
//! [`HaproxyConfiguration`](configuration::HaproxyConfiguration) the configuration as a source. The modules, from the
//! bottom up; each imports only from those above it in this list:
//!
//! - `cli`: HAProxy's command line. Addresses, connections, commands, and replies as enums.
//! - [`configuration`]: the certificates and sockets of HAProxy's configuration. It uses the addresses and levels of `cli` and
//!   nothing else.
//! - `instance`: one HAProxy process. Its channel, through which every command of this program goes, in order; the
//!   certificates that it has loaded; its transactions.
//! - `sink`: delivers and withdraws staples, at one process or at the workers behind a master, and notices losses.
//! - `running`: matches the certificates that a process has loaded to files, and compares them with the configuration.
//! - `haproxy`: one [`Haproxy`], known by its configuration, its admin sockets or both; sources and sinks of it, joined.
//! - `statistics` (feature `metrics`): the handshakes with a staple, as HAProxy counts them.
//! - [`check`]: for each certificate, whether it will be stapled, and the reason if not.
//!
//! The commands are those of "9.3. Unix Socket commands" in HAProxy's management guide: `prompt`, `show info`, `set
//! timeout cli`, `show cli level`, `set ssl ocsp-response`, `show ssl ocsp-response ID`, `show ssl cert`, `set ssl cert`,
//! `commit ssl cert`, `abort ssl cert`, `show env` and `show stat`; and of "9.4. Master CLI": `show proc` and `@!PID`. Commands that
//! print private keys, or that block HAProxy, are not used.
//!
//! Invariants: only a reply that matches word for word is a success. One task at a time writes to a process. No foreign
//! transaction is committed or aborted (HAProxy before 3.0 makes some cases unavoidable: see [`Transactions`]). No response
//! is sent that would make HAProxy drop the good one.
//!
//! [`codes`] lists the reason codes of its errors.

pub mod check;
mod cli;
pub mod codes;
pub mod configuration;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(test, not(fuzzing)))]
#[allow(unreachable_pub)] // it is public where it is for a fuzzer
mod fuzzing;
mod haproxy;
mod instance;
mod reports;
mod running;
mod sink;
#[cfg(feature = "metrics")]
mod statistics;

pub use cli::address::{Address, AddressError};
pub use cli::name::NameError;
pub use cli::transactions::Transactions;
pub use haproxy::{Compared, Comparison, Haproxy, HaproxyBuilder, Haproxys, Known, KnownBy, NamedSockets, Processes};
pub use running::difference::Difference;
pub use running::forecast::{FirstStaple, NoFirstStaple};
pub use running::served_paths::ServedPaths;
pub use running::snapshot::{ProcessSnapshot, ServedCertificate};
pub use running::source::HaproxySource;
pub use sink::builder::HaproxySinkBuilder;
pub use sink::haproxy_sink::HaproxySink;
#[cfg(feature = "metrics")]
pub use statistics::Handshakes;

/// The code of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
