//! HAProxy's configuration: the certificates that it serves, and its admin sockets.
//!
//! From the bottom up; only `disk` and `source` touch files:
//!
//! - `line_problem` has every problem of a line, and `place` says where a line is.
//! - `words` cuts a line into words; `environment` holds its variables.
//! - `condition` and `blocks` handle `.if` and `.elif`. Both branches of an undecidable condition are read.
//! - `statement`, `listener`, `crt_list` and `extra` read single lines; `section` and `settings` are what they depend on.
//! - `reading`, `dispatch`, `global`, `loading` and `sockets` read the whole configuration in HAProxy's order, over an
//!   interface to files; `warnings` notes the problems of its lines.
//! - `zero_warning` says by what HAProxy refuses to start after a warning.
//! - `found` is the result.
//! - `disk` is that interface to the machine's files.
//! - `source` gives the certificates to a stapler as `sightings`, and watches for changes.
//!
//! Where HAProxy's manual is silent, its behaviour was measured with 2.6 and 3.0; `ssl-f-use` (3.2) is read as the manual
//! describes it.

mod blocks;
mod condition;
mod crt_list;
mod disk;
mod dispatch;
mod environment;
mod extra;
mod found;
mod global;
mod line_problem;
mod listener;
mod loading;
mod place;
mod reading;
mod section;
mod settings;
mod sightings;
mod sockets;
mod source;
mod statement;
#[cfg(test)]
mod tests;
mod warnings;
mod words;
mod zero_warning;

pub use crate::cli::level::Level;
pub(crate) use extra::ExtraFiles;
pub use found::{Configuration, ConfigurationError, Served, Socket, Surroundings};
pub use line_problem::{DoubtKind, Effect, LineProblem, Warning};
pub use place::Place;
pub use source::HaproxyConfiguration;
pub use zero_warning::ZeroWarning;
