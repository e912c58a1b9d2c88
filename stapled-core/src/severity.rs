//! How much an event matters.

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A detail that helps to diagnose a fault.
    Debug,
    /// The ordinary course.
    Info,
    /// Something failed and is tried again; no client is affected yet.
    Warning,
    /// An operator must act.
    Error,
}
