//! The delegated responder in an authority's directory, and its renewal.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::authority::{Authority, display_name, first_certificate};
use crate::clock::DAY;
use crate::error::AuthorityError;
use crate::identity::IssuerIdentity;
use crate::issue::{self, Subject};
use crate::issued::Issued;
use crate::key::Key;
use crate::ledger::{Kind, StoreError};
use crate::ocsp::Signer;
use crate::profile::Profile;
use crate::store;

/// How often the files are read again when another process replaces them.
const ATTEMPTS: usize = 5;
/// The time from the beginning of a new certificate's validity to its signature, in seconds, for clients with a slow clock.
const BACKDATE: i64 = 60;
/// The usual validity of a delegate's certificate, in seconds.
const USUAL: i64 = 30 * DAY;

impl Authority {
    /// Issues a certificate for a delegated responder and writes it to the authority's directory, in place of an
    /// existing one. A process that renews the delegate at the same time waits.
    ///
    /// # Errors
    /// When the authority is in memory only, and those of [`Authority::issue`].
    pub fn install_delegate(&self, profile: &Profile) -> Result<Issued, AuthorityError> {
        let directory = self.directory().ok_or_else(|| StoreError::Write {
            path: PathBuf::from(store::RESPONDER_KEY),
            source: std::io::Error::other("the authority is in memory only"),
        })?;
        let _lock = lock(directory)?;
        self.replace_delegate(directory, profile)
    }

    /// Like [`Authority::install_delegate`] for a caller that has the lock.
    fn replace_delegate(&self, directory: &Path, profile: &Profile) -> Result<Issued, AuthorityError> {
        let issued = self.issue_as(profile, Kind::Responder, Subject::EndEntity)?;
        let (key_path, certificate_path) =
            (directory.join(store::RESPONDER_KEY), directory.join(store::RESPONDER_CERTIFICATE));
        // Until the certificate is replaced, the key file has both keys: after a crash at any point, one of them belongs to
        // the certificate.
        if key_path.exists() {
            let both = [issued.key_pem().into_bytes(), store::read(&key_path)?].concat();
            store::replace(&key_path, &both, store::SECRET)?;
        } else {
            store::replace(&key_path, issued.key_pem().as_bytes(), store::SECRET)?;
        }
        store::replace(&certificate_path, issued.certificate_pem().as_bytes(), store::READABLE)?;
        store::replace(&key_path, issued.key_pem().as_bytes(), store::SECRET)?;
        Ok(issued)
    }

    /// The signer of the delegated responder in the authority's directory.
    ///
    /// # Errors
    /// When the directory has no delegated responder, or its files cannot be read.
    pub fn installed_delegate(&self) -> Result<Signer, AuthorityError> {
        let directory = self.directory().unwrap_or(Path::new(""));
        let (key_path, certificate_path) =
            (directory.join(store::RESPONDER_KEY), directory.join(store::RESPONDER_CERTIFICATE));
        if self.directory().is_none() || !certificate_path.exists() {
            return Err(AuthorityError::NoDelegate { directory: directory.to_owned() });
        }
        // Another process may replace both files between the two reads.
        for _ in 0..ATTEMPTS {
            let certificate = first_certificate(&certificate_path)?;
            let keys = Key::all_from_pem(&store::read(&key_path)?)
                .map_err(|source| AuthorityError::KeyFile { path: key_path.clone(), source })?;
            let identity = IssuerIdentity::from_certificate(&certificate)
                .ok_or_else(|| AuthorityError::NoCertificate { path: certificate_path.clone() })?;
            if let Some(key) = keys.into_iter().find(|key| key.public_key() == identity.public_key) {
                let not_after = issue::not_after(&certificate).ok_or(AuthorityError::Unreadable)?;
                let signer = Signer::new(Arc::new(key), identity, Some(certificate));
                return Ok(Signer { not_after, ..signer });
            }
        }
        Err(AuthorityError::NotAPair { path: key_path })
    }

    /// Issues and installs a new delegated responder like the one in the authority's directory, if it is time at `now`. The result is the signer of the responder that is in the directory then. Processes
    /// that do this at the same time issue one.
    ///
    /// # Errors
    /// Those of [`Authority::installed_delegate`] and [`Authority::install_delegate`].
    pub(crate) fn renew_delegate(&self, now: i64) -> Result<Signer, AuthorityError> {
        let directory = self.directory().unwrap_or(Path::new(""));
        let _lock = lock(directory)?;
        let installed = self.installed_delegate()?;
        if !self.is_delegate_due(&installed, now) {
            return Ok(installed);
        }
        let certificate = installed.certificate().ok_or(AuthorityError::Unreadable)?;
        let name = display_name(certificate).ok_or(AuthorityError::Unreadable)?;
        let (not_before, not_after) = issue::validity(certificate).ok_or(AuthorityError::Unreadable)?;
        let mut length = not_after - not_before;
        if not_after >= self.not_after() {
            // It was cut to the end of the authority.
            length = length.max(USUAL);
        }
        let start = now - BACKDATE.min(length / 3);
        let end = (start + length).min(self.not_after());
        let profile = Profile::ocsp_responder(&name).key(installed.key().key_type()).valid_between(start, end);
        let issued = self.replace_delegate(directory, &profile)?;
        tracing::info!(authority = self.name(), serial = %issued.serial(), "installed a new OCSP responder's certificate");
        Ok(Signer::delegate(&issued))
    }

    /// Whether it is time to renew a delegate: after two thirds of its validity, unless a new one could not be valid for longer. A
    /// delegate that is not valid yet was issued while the clock was ahead, and is renewed at once.
    pub(crate) fn is_delegate_due(&self, delegate: &Signer, now: i64) -> bool {
        let Some((not_before, not_after)) = delegate.certificate().and_then(issue::validity) else { return false };
        now < not_before || (not_after < self.not_after() && now >= not_before + (not_after - not_before) / 3 * 2)
    }
}

/// The lock of the processes that replace the delegate in this directory. It ends with the file.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let unreadable = |source| StoreError::Read { path: directory.to_owned(), source };
    let lock = File::open(directory).map_err(unreadable)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| unreadable(error.into()))?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// An authority in a directory with a delegate that is valid from `now - 100` to `now + 200`.
    fn authority(directory: &Path, now: i64) -> Authority {
        let ca = Authority::root("CA").create_in(directory).unwrap();
        ca.install_delegate(&Profile::ocsp_responder("OCSP").valid_between(now - 100, now + 200)).unwrap();
        ca
    }

    #[test]
    fn a_delegate_is_renewed_once_after_two_thirds() {
        let directory = tempfile::tempdir().unwrap();
        let now = clock::now();
        let ca = authority(directory.path(), now);
        let first = ca.installed_delegate().unwrap();
        assert_eq!(ca.renew_delegate(now + 99).unwrap().certificate(), first.certificate());
        let others: Vec<_> = (0..4).map(|_| Authority::open(directory.path()).unwrap()).collect();
        let renewed: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                others.iter().map(|ca| scope.spawn(|| ca.renew_delegate(now + 100).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().certificate().unwrap().to_vec()).collect()
        });
        assert!(renewed.iter().all(|certificate| *certificate == renewed[0]));
        assert_ne!(Some(&renewed[0][..]), first.certificate());
        assert_eq!(issue::validity(&renewed[0]), Some((now + 40, now + 340)), "as long as the first one");
        assert_eq!(display_name(&renewed[0]).as_deref(), Some("OCSP"));
        assert_eq!(ca.records().unwrap().len(), 2);
    }

    #[test]
    fn a_delegate_that_ends_with_its_authority_is_not_renewed() {
        let directory = tempfile::tempdir().unwrap();
        let ca = Authority::root("CA").create_in(directory.path()).unwrap();
        ca.install_delegate(&Profile::ocsp_responder("OCSP").valid_between(0, ca.not_after())).unwrap();
        assert!(!ca.is_delegate_due(&ca.installed_delegate().unwrap(), ca.not_after() - 1));
    }

    #[test]
    fn a_delegate_of_a_clock_that_was_ahead_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let now = clock::now();
        let ca = Authority::root("CA").create_in(directory.path()).unwrap();
        for (not_after, expected) in [(now + 1300, now + 240), (ca.not_after(), now - 60 + 30 * DAY)] {
            let profile = Profile::ocsp_responder("OCSP").valid_between((not_after - 300).max(now + 1000), not_after);
            ca.install_delegate(&profile).unwrap();
            let renewed = ca.renew_delegate(now).unwrap();
            assert_eq!(issue::validity(renewed.certificate().unwrap()), Some((now - 60, expected)));
        }
    }

    #[test]
    fn a_delegate_is_installed_and_renewed_under_one_lock() {
        let directory = tempfile::tempdir().unwrap();
        let ca = authority(directory.path(), clock::now());
        let lock = File::open(directory.path()).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let waiting = format!(":{} ", std::os::unix::fs::MetadataExt::ino(&lock.metadata().unwrap()));
        let waits = |line: &str| line.contains("-> FLOCK") && line.contains(&waiting);
        std::thread::scope(|scope| {
            let installing = scope.spawn(|| ca.install_delegate(&Profile::ocsp_responder("New")).unwrap());
            while !std::fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
                assert!(!installing.is_finished(), "it did not wait for the lock");
                std::thread::yield_now();
            }
            drop(lock);
        });
    }

    #[test]
    fn a_crash_between_the_files_leaves_a_pair() {
        let directory = tempfile::tempdir().unwrap();
        let ca = authority(directory.path(), clock::now());
        let file = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
        let old = (file(store::RESPONDER_KEY), file(store::RESPONDER_CERTIFICATE));
        ca.install_delegate(&Profile::ocsp_responder("New")).unwrap();
        let new = (file(store::RESPONDER_KEY), file(store::RESPONDER_CERTIFICATE));
        let both = [new.0.clone(), old.0.clone()].concat();
        for (key, certificate) in [(&both, &old.1), (&both, &new.1), (&new.0, &new.1)] {
            std::fs::write(directory.path().join(store::RESPONDER_KEY), key).unwrap();
            std::fs::write(directory.path().join(store::RESPONDER_CERTIFICATE), certificate).unwrap();
            ca.installed_delegate().unwrap();
        }
        std::fs::write(directory.path().join(store::RESPONDER_KEY), old.0).unwrap();
        assert!(matches!(ca.installed_delegate(), Err(AuthorityError::NotAPair { .. })));
    }
}
