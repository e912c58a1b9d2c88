//! Whether a finding needs the operator.

/// Whether a finding needs the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Something that a stapler copes with, or that is as it should be.
    Note,
    /// Something that the operator has to mend.
    Problem,
}
