//! What the program says of the state of everything.

use std::sync::Arc;

use crate::overview::Totals;

/// Judges the totals of everything, in the words of the program.
pub type Conclude = Arc<dyn Fn(Totals) -> Conclusion + Send + Sync>;

/// What a program says about the state of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conclusion {
    /// Whether everything is in order.
    pub is_healthy: bool,
    /// The last line of the state as JSON: an object, without the end of the line.
    pub line: String,
}

impl Conclusion {
    /// Whether everything is in order, and the last line of the state as JSON.
    pub fn new(is_healthy: bool, line: impl Into<String>) -> Self {
        Conclusion { is_healthy, line: line.into() }
    }
}
