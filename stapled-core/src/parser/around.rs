//! What lies around a certificate's file: where servers that load it look for its issuer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::read::read_file;
use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::sink::IssuerPlace;
use crate::source::{IssuerChains, IssuerLookup, Sighting};

/// So many files of a directory with chains are read at most.
const MAX_CHAINS: usize = 10_000;
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// What was found around a certificate's file.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// The file that servers look in, if there is anything by that name.
    issuer_file: Option<IssuerFile>,
    /// Certificates beside it: that file's, or those of a file that servers do not look in.
    pub(super) beside: Vec<Arc<Certificate>>,
    directory: Option<PathBuf>,
    /// The certificates that chains begin with.
    pub(super) chains: Firsts,
}

#[derive(Debug)]
struct IssuerFile {
    path: PathBuf,
    /// What servers take for the issuer: the first certificate, in PEM.
    first: Option<Arc<Certificate>>,
}

impl Around {
    /// Reads it. Whatever is wrong with it: the issuer may be found elsewhere, and if not, that is what is told.
    pub(super) fn read(path: &Path, sighting: &Sighting, chains: &ChainReader) -> Self {
        let beside = || {
            let mut name = OsString::from(path);
            name.push(".issuer");
            PathBuf::from(name)
        };
        let (file, is_looked_in) = match &sighting.issuer_lookup {
            IssuerLookup::Beside => (beside(), true),
            IssuerLookup::In(file) => (file.clone(), true),
            IssuerLookup::Nowhere => (beside(), false),
        };
        let bytes = read_file(&file).ok();
        let bundle = bytes.as_ref().and_then(|bytes| Bundle::read(bytes).ok());
        let is_pem = bytes.is_some_and(|bytes| bytes.windows(PEM.len()).any(|part| part == PEM));
        let is_whole = bundle.as_ref().is_some_and(|bundle| bundle.broken.iter().all(|(number, _)| *number != 1));
        let beside: Vec<_> = bundle.into_iter().flat_map(|bundle| bundle.certificates).map(Arc::new).collect();
        let first = beside.first().filter(|_| is_pem && is_whole).cloned();
        let issuer_file =
            (is_looked_in && std::fs::symlink_metadata(&file).is_ok()).then_some(IssuerFile { path: file, first });
        Around {
            issuer_file,
            beside,
            directory: sighting.issuer_chains.as_ref().map(|chains| chains.directory.clone()),
            chains: sighting.issuer_chains.as_ref().map(|wanted| chains.read(wanted)).unwrap_or_default(),
        }
    }

    /// How a server finds the issuer of a certificate that lies in a file with these.
    pub(super) fn issuer_place(&self, own: &[Arc<Certificate>], chain: &CertChain) -> IssuerPlace {
        let end_entity = chain.end_entity();
        let issued = |issuer: &Certificate| *issuer == **chain.issuer() || end_entity.is_issued_by(issuer);
        if let Some(file) = &self.issuer_file {
            // What is in it overrules the chain: a server that finds a wrong issuer there, or rubbish, does not start with
            // a staple.
            return match &file.first {
                Some(first) if issued(first) => IssuerPlace::IssuerFile(file.path.clone()),
                _ => IssuerPlace::Elsewhere,
            };
        }
        if own.iter().any(|certificate| issued(certificate)) {
            return IssuerPlace::SameFile;
        }
        match &self.directory {
            // Only certificates without any chain are completed.
            Some(directory)
                if own.len() == 1
                    && self.chains.iter().any(|first| end_entity.names_key_of(first) && issued(first)) =>
            {
                IssuerPlace::Chains(directory.clone())
            }
            _ => IssuerPlace::Elsewhere,
        }
    }
}

/// Reads directories of chains: each once for all certificates, until it changes.
#[derive(Debug, Default)]
pub(crate) struct ChainReader {
    last: Mutex<Option<(IssuerChains, Firsts)>>,
}

/// The certificates that chains begin with.
type Firsts = Arc<Vec<Arc<Certificate>>>;

impl ChainReader {
    fn read(&self, wanted: &IssuerChains) -> Firsts {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, chains)) if known == wanted => Arc::clone(chains),
            _ => {
                let chains = Arc::new(firsts(&wanted.directory));
                *last = Some((wanted.clone(), Arc::clone(&chains)));
                chains
            }
        }
    }
}

/// The first certificate of each file in a directory.
fn firsts(directory: &Path) -> Vec<Arc<Certificate>> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let bundles = entries.flatten().take(MAX_CHAINS).filter_map(|entry| {
        let bytes = read_file(&entry.path()).ok()?;
        Bundle::read(&bytes).ok().filter(|bundle| bundle.broken.is_empty())
    });
    bundles.filter_map(|bundle| bundle.certificates.into_iter().next()).map(Arc::new).collect()
}
