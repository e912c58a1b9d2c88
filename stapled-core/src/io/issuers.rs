//! Fetched certificates of issuers, kept in a directory from one run to the next.

use std::io::{self, Read};
use std::path::PathBuf;

use crate::certificate::Certificate;
use crate::hexadecimal::Hexadecimal;
use crate::io::open::regular_file;
use crate::issuers::IssuerStore;

/// The largest file that is read. A larger one was not written here.
const MAX_SIZE: u64 = 64 * 1024;

/// A directory with one file for each certificate, in DER, named by its fingerprint: `1a2b….der`. The contents are not
/// trusted.
#[derive(Debug)]
pub struct IssuerDirectory {
    directory: PathBuf,
}

impl IssuerDirectory {
    /// Opens the directory and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// The system's error if the directory cannot be created.
    pub fn open(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        std::fs::create_dir_all(&directory)?;
        Ok(IssuerDirectory { directory })
    }
}

impl IssuerStore for IssuerDirectory {
    fn load(&self) -> Vec<Certificate> {
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path());
        let kept = paths.filter(|path| path.extension().is_some_and(|extension| extension == "der") && path.is_file());
        // A certificate that cannot be read is fetched again.
        kept.filter_map(|path| {
            let mut bytes = Vec::new();
            regular_file(&path).ok()?.take(MAX_SIZE).read_to_end(&mut bytes).ok()?;
            Certificate::from_der(&bytes).ok().filter(Certificate::is_ca)
        })
        .collect()
    }

    fn keep(&self, issuer: &Certificate) -> io::Result<()> {
        let fingerprint = format!("{:x}", Hexadecimal::of(&issuer.fingerprint()));
        let path = self.directory.join(format!("{fingerprint}.der"));
        if path.exists() {
            return Ok(());
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        io::Write::write_all(&mut file, issuer.as_der())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let store = IssuerDirectory::open(directory.path().join("new")).unwrap();
        assert!(store.load().is_empty());
        let authority = stapled_ca::Authority::root("Root").create().unwrap();
        let issuer = Certificate::from_der(authority.certificate()).unwrap();
        store.keep(&issuer).unwrap();
        store.keep(&issuer).unwrap();
        std::fs::write(directory.path().join("new/rubbish.der"), b"rubbish").unwrap();
        let kept = IssuerDirectory::open(directory.path().join("new")).unwrap().load();
        assert_eq!(kept, [issuer]);
    }
}
