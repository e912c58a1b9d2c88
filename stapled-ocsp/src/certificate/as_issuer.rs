//! Facts about a certificate as an issuer that do not change, so that they are found out once and not with each response:
//! the hashes in its CertIDs, its key in the provider's form, and its delegates.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::provider::{self, Digest, Hash};
use crate::signature::Prepared;

/// The most delegates that are remembered of one issuer. A CA has one for each of its responders, and a new one every few
/// weeks.
const MAX_DELEGATES: usize = 8;

/// The facts about one issuer, with its delegates of type `D`. Certificates that issue nothing have none, and need little
/// memory for that.
pub(super) struct AsIssuer<D>(OnceLock<Box<Facts<D>>>);

struct Facts<D> {
    sha1: OnceLock<Hashes>,
    sha256: OnceLock<Hashes>,
    key: Prepared,
    name: OnceLock<Arc<str>>,
    /// The newest is the last.
    delegates: Mutex<Vec<Arc<D>>>,
}

/// The hashes of an issuer in CertIDs.
#[derive(Clone, Copy)]
pub(crate) struct Hashes {
    /// Of the name, as the issuer's own certificate encodes it.
    pub(crate) name: Digest,
    pub(crate) key: Digest,
}

impl<D> AsIssuer<D> {
    pub(super) const fn new() -> Self {
        AsIssuer(OnceLock::new())
    }

    fn facts(&self) -> &Facts<D> {
        let none = || Facts {
            sha1: OnceLock::new(),
            sha256: OnceLock::new(),
            key: Prepared::default(),
            name: OnceLock::new(),
            delegates: Mutex::default(),
        };
        self.0.get_or_init(|| Box::new(none()))
    }

    /// Where the issuer's key is kept in the provider's form.
    pub(super) fn key(&self) -> &Prepared {
        &self.facts().key
    }

    /// The name of the issuer, for the facts about each of its responses.
    pub(super) fn name(&self, name: &str) -> Arc<str> {
        Arc::clone(self.facts().name.get_or_init(|| name.into()))
    }

    /// The hashes of the issuer with this name and key, whose facts these are.
    pub(super) fn hashes(&self, hash: Hash, name: &[u8], key: &[u8]) -> Hashes {
        let make = || Hashes { name: provider::digest(hash, &[name]), key: provider::digest(hash, &[key]) };
        match hash {
            Hash::Sha1 => *self.facts().sha1.get_or_init(make),
            Hash::Sha256 => *self.facts().sha256.get_or_init(make),
            Hash::Sha384 | Hash::Sha512 => make(),
        }
    }

    /// The remembered delegate for which `is_it` is true.
    pub(super) fn delegate(&self, is_it: impl Fn(&D) -> bool) -> Option<Arc<D>> {
        let known = self.0.get()?.delegates.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().rfind(|known| is_it(known)).cloned()
    }

    /// Remembers a delegate, unless one is remembered for which `is_it` is true. The oldest one gives way.
    pub(super) fn remember(&self, delegate: D, is_it: impl Fn(&D) -> bool) {
        let mut known = self.facts().delegates.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|known| is_it(known)) {
            return;
        }
        if known.len() >= MAX_DELEGATES {
            known.remove(0);
        }
        known.push(Arc::new(delegate));
    }
}

/// A copy of a certificate finds out its facts anew.
impl<D> Clone for AsIssuer<D> {
    fn clone(&self) -> Self {
        AsIssuer::new()
    }
}

impl<D> fmt::Debug for AsIssuer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsIssuer")
    }
}
