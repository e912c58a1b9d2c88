//! Names in JSON.

use std::fmt::Display;

use serde::Serializer;

/// Serializes a name as text.
pub(crate) fn in_words<T: Display, S: Serializer>(name: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}
