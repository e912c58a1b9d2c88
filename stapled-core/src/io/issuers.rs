//! Issuers' certificates that were fetched, kept in a directory from one run to the next.

use std::io::{self, Read};
use std::path::PathBuf;

use crate::certificate::Certificate;
use crate::issuers::IssuerStore;

/// What is larger than this is no certificate that was kept here.
const MAX_SIZE: u64 = 64 * 1024;

/// One file a certificate, in DER, named by its fingerprint: `1a2b….der`. What is in them is trusted for nothing.
#[derive(Debug)]
pub struct IssuerDirectory {
    directory: PathBuf,
}

impl IssuerDirectory {
    /// Makes the directory, where there is none.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot be made.
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
        // What cannot be read is fetched again.
        kept.filter_map(|path| {
            let mut bytes = Vec::new();
            std::fs::File::open(path).ok()?.take(MAX_SIZE).read_to_end(&mut bytes).ok()?;
            Certificate::from_der(&bytes).ok().filter(Certificate::is_ca)
        })
        .collect()
    }

    fn keep(&self, issuer: &Certificate) -> io::Result<()> {
        let fingerprint: String = issuer.fingerprint().iter().map(|byte| format!("{byte:02x}")).collect();
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
