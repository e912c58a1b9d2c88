//! The issuer of a certificate, searched for where a stapler searches and in the same order, and whether HAProxy finds
//! it, too. Pure.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::certificate::Certificate;
use stapled_core::chain::{CertChain, ChainError};
use stapled_core::lookup::IssuerPlace;
use stapled_core::lookup::search::IssuerSearch;

use super::contents::Contents;

/// How many certificates of authorities are tried whose names are encoded otherwise than the issuer's.
const MAX_OTHERS: usize = 1024;

/// The issuer of a certificate.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) chain: Arc<CertChain>,
    /// The file, or for a chain the directory, that it was found in.
    pub(super) found_in: PathBuf,
    /// How HAProxy finds it.
    pub(super) place: IssuerPlace,
}

/// The certificates of authorities among all files, and their places: the last place where an issuer is searched for.
#[derive(Debug, Default)]
pub(super) struct Pool {
    by_name: HashMap<Vec<u8>, Vec<(Arc<Certificate>, PathBuf)>>,
}

impl Pool {
    /// Adds those in and beside a file.
    pub(super) fn add(&mut self, path: &Path, contents: &Contents) {
        for (certificates, at) in
            [(&contents.certificates, Some(path)), (&contents.around.beside, contents.around.beside_path.as_deref())]
        {
            for certificate in certificates.iter().filter(|certificate| certificate.is_ca()) {
                self.add_one(certificate, at.unwrap_or(path));
            }
        }
    }

    /// Adds one with its place.
    pub(super) fn add_one(&mut self, certificate: &Arc<Certificate>, at: &Path) {
        let named = self.by_name.entry(certificate.subject().to_vec()).or_default();
        if named.iter().all(|(known, _)| known != certificate) {
            named.push((Arc::clone(certificate), at.to_owned()));
        }
    }

    fn candidates<'a>(&'a self, certificate: &'a Certificate) -> impl Iterator<Item = &'a (Arc<Certificate>, PathBuf)> {
        let spelled_so = self.by_name.get(certificate.issuer()).into_iter().flatten();
        // Equal names may be encoded in several ways.
        let others = self.by_name.iter().filter(|(name, _)| *name != certificate.issuer()).flat_map(|(_, named)| named);
        spelled_so.chain(others.take(MAX_OTHERS))
    }
}

/// No issuer was found.
#[derive(Debug, Default)]
pub(super) struct NotFound {
    /// A certificate that seems to be the issuer, and cannot be checked.
    pub(super) unsupported: Option<Box<Unsupported>>,
}

/// An issuer whose signatures cannot be checked.
#[derive(Debug)]
pub(super) struct Unsupported {
    pub(super) error: ChainError,
    /// How HAProxy finds it.
    pub(super) place: IssuerPlace,
}

/// The first certificate whose name and signature fit: in the file, beside it, among the chains, anywhere else.
pub(super) fn find(
    end_entity: &Arc<Certificate>,
    path: &Path,
    contents: &Contents,
    pool: &Pool,
) -> Result<Issuer, NotFound> {
    let mut search = IssuerSearch::new(end_entity);
    let mut found = None;
    let beside = contents.around.beside_path.as_deref().unwrap_or(path);
    let chains = contents.around.chains.as_ref().map(|(directory, firsts)| (firsts.as_slice(), directory.as_path()));
    for (candidates, at) in
        [(contents.certificates.as_slice(), path), (&contents.around.beside, beside)].into_iter().chain(chains)
    {
        if found.is_none() {
            found = search.among(candidates).map(|chain| (chain, at.to_owned()));
        }
    }
    for (candidate, at) in pool.candidates(end_entity) {
        if found.is_some() {
            break;
        }
        found = search.among([candidate]).map(|chain| (chain, at.clone()));
    }
    match found {
        Some((chain, found_in)) => {
            let place = contents.surroundings().issuer_place(end_entity, chain.issuer());
            Ok(Issuer { chain: Arc::new(chain), found_in, place })
        }
        None => {
            let unsupported = search.error().zip(search.unsupported()).map(|(error, issuer)| {
                let place = contents.surroundings().issuer_place(end_entity, issuer);
                Box::new(Unsupported { error, place })
            });
            Err(NotFound { unsupported })
        }
    }
}
