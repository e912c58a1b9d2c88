//! Which certificate a path belongs to, so that no staple of one certificate replaces that of another.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The paths that certificates have, by their files. Sinks that may write to the same directories share one record.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<HashMap<PathBuf, Claim>>>);

/// Whose a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// The name of the sink that writes there.
    pub(super) sink: String,
    /// The certificate's file.
    pub(super) certificate: PathBuf,
}

impl Claims {
    /// Claims a path.
    ///
    /// # Errors
    ///
    /// The path belongs to this one.
    pub(super) fn claim(&self, path: &Path, claim: Claim) -> Result<(), Claim> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match claims.get(path) {
            Some(other) if *other != claim => Err(other.clone()),
            Some(_) => Ok(()),
            None => {
                claims.insert(path.to_owned(), claim);
                Ok(())
            }
        }
    }

    /// Whether the path is no other's.
    pub(super) fn is_free_for(&self, path: &Path, claim: &Claim) -> bool {
        let claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.get(path).is_none_or(|other| other == claim)
    }

    /// Gives up a path, if it belongs to this certificate.
    pub(super) fn release(&self, path: &Path, claim: &Claim) {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if claims.get(path) == Some(claim) {
            claims.remove(path);
        }
    }
}
