//! The commands of `stapled`. Each answers one question on standard output and ends. It has a file of its own with its arguments and
//! its work. [`input`] reads files, and [`answer`] has the exit codes and the errors. The judgement itself is made in `stapled-core`.

pub(crate) mod answer;
pub(crate) mod check;
pub(crate) mod clean;
pub(crate) mod convert_config;
pub(crate) mod fetch;
mod input;
pub(crate) mod inspect;
pub(crate) mod log_level;
pub(crate) mod probe;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod renew;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod verify;
