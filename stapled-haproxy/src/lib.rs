//! HAProxy for `stapled`: staples delivered over the admin socket, without a reload.
//!
//! [`HaproxySink`] is the sink. On the way of a staple, from its top down:
//!
//! - `sink`: checks the staple against what HAProxy takes, has it written, and remembers what was delivered, so that
//!   it can say what HAProxy has lost: everything after a restart or reload, single certificates when others replaced
//!   them.
//! - `writer`: the one writer of a process. Whatever this program says to one HAProxy goes through it, in order, many
//!   responses to a batch.
//! - `introduce`: the first staple of a certificate that HAProxy loaded without one, as a transaction.
//! - `token`: the response that takes a staple out of service.
//! - `connection`: one connection in interactive mode, with limits on time and size for everything that is read.
//! - `address`, `command`, `framing`, `reply`, `process`, `names`: pure: what is said, and what the answers mean.
//!
//! The commands are those of "9.3. Unix Socket commands" in HAProxy's management guide: `prompt`, `show info`, `set
//! timeout cli`, `set ssl ocsp-response`, `show ssl ocsp-response`, `show ssl cert`, `set ssl cert`, `commit ssl cert`
//! and `abort ssl cert`. Commands that print private keys, or hold HAProxy up, are not used.
//!
//! What must never be: a reply taken for success unless it says so word for word; two writers to one process; somebody
//! else's transaction committed or aborted; a response sent that HAProxy would drop the good one for.
//!
//! [`codes`] lists the reason codes of its errors.

mod address;
mod builder;
pub mod codes;
mod command;
pub mod configuration;
mod connection;
mod fault;
mod framing;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(test, not(fuzzing)))]
#[allow(unreachable_pub)] // it is public where it is for a fuzzer
mod fuzzing;
mod introduce;
mod names;
mod process;
mod reply;
mod sink;
mod token;
mod writer;

pub use address::{Address, AddressError};
pub use builder::HaproxySinkBuilder;
pub use sink::HaproxySink;
