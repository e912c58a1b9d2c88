//! The running process as a source: the certificates that it has loaded, matched to files.
//!
//! From the bottom up: `stamp` and `files` read files once; `layout` is the configuration that the process was started
//! with; `matching` finds the file of each loaded certificate; `running_only` leaves out what a configuration source
//! gives; `reader` asks the process, and `unanswered` is why it got no answer; `memory` is what the `source` remembers between
//! scans. `snapshot` describes a process, `difference` compares it with its configuration, `forecast` predicts first
//! staples. `served_paths` adapts other sources to a running HAProxy. `unwatched` is what a process serves
//! beside the files that these give, by the rules of `beside`. `ignored` removes what an operator excludes.

pub(crate) mod beside;
pub(crate) mod difference;
pub(crate) mod files;
pub(crate) mod forecast;
pub(crate) mod ignored;
pub(crate) mod layout;
pub(crate) mod matching;
pub(crate) mod memory;
pub(crate) mod reader;
pub(crate) mod running_only;
pub(crate) mod served_paths;
pub(crate) mod snapshot;
pub(crate) mod source;
pub(crate) mod stamp;
pub(crate) mod unanswered;
pub(crate) mod unwatched;
