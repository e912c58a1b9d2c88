//! The identity of a certificate, as tasks and the inventory name it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

/// An opaque name, unique within the system that it is used in.
///
/// A copy is cheap, and so is a look into a map by it: the name is hashed once, when the subject is made.
#[derive(Clone)]
pub struct Subject(Arc<Named>);

struct Named {
    hash: u64,
    name: Box<str>,
}

/// What hashes names: by keys of this process, so that nobody can choose names with equal hashes.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Subject {
    /// Makes a subject with this name.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        let name = name.into();
        Subject(Arc::new(Named { hash: HASHES.hash_one(&*name), name }))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0.name
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.hash == other.0.hash && self.0.name == other.0.name
    }
}

impl Eq for Subject {}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl PartialOrd for Subject {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The order of the names.
impl Ord for Subject {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.name.cmp(&other.0.name) }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.name, f)
    }
}

impl From<&str> for Subject {
    fn from(name: &str) -> Self {
        Subject::new(name)
    }
}
