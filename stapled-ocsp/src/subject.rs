//! The identity of a certificate, as tasks and the inventory name it.

use std::fmt;
use std::sync::Arc;

/// An opaque name, unique within the system that it is used in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

impl Subject {
    /// Makes a subject with this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Subject(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl From<&str> for Subject {
    fn from(name: &str) -> Self {
        Subject(name.into())
    }
}
