//! HAProxy's configuration: which certificates it serves, and where its admin sockets are.
//!
//! From the ground up; only `disk` and `source` touch files:
//!
//! - `words`: a line cut into words; `environment`: its variables.
//! - `condition`, `blocks`: `.if` and what follows. What cannot be decided is read both ways.
//! - `statement`, `listener`, `crt_list`, `extra`: what single lines say.
//! - `reading`, `loading`, `sockets`: the whole, read in HAProxy's order, over an interface to files.
//! - `found`: what comes of it.
//! - `disk`: that interface over the machine's files.
//! - `source`: certificates for a stapler, and changes as they come.
//!
//! What is known of HAProxy's ways is measured with 2.6 and 3.0, where its manual is silent; `ssl-f-use` (3.2) is read
//! as the manual has it.

mod blocks;
mod condition;
mod crt_list;
mod disk;
mod environment;
mod extra;
mod found;
mod listener;
mod loading;
mod reading;
mod sockets;
mod source;
mod statement;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use extra::ExtraFiles;
pub use found::{Configuration, ConfigurationError, Effect, Level, Place, Served, Socket, Surroundings, Warning};
pub use source::HaproxyConfiguration;
