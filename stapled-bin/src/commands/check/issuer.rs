//! Who issued a certificate: found where the daemon looks, in its order; and whether HAProxy would find it, too. Pure.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::sink::IssuerPlace;

use super::contents::Contents;

/// So many certificates of authorities are tried whose names are spelled otherwise.
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

/// The certificates of authorities that lie about, and where: whoever misses an issuer looks here.
#[derive(Debug, Default)]
pub(super) struct Pool {
    by_name: HashMap<Vec<u8>, Vec<(Arc<Certificate>, PathBuf)>>,
}

impl Pool {
    /// Takes those that lie in and beside a file.
    pub(super) fn add(&mut self, path: &Path, contents: &Contents) {
        for (certificates, at) in
            [(&contents.certificates, Some(path)), (&contents.beside, contents.beside_path.as_deref())]
        {
            for certificate in certificates.iter().filter(|certificate| certificate.is_ca()) {
                self.add_one(certificate, at.unwrap_or(path));
            }
        }
    }

    /// Takes one that was found there.
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

/// The first whose name and signature fit: in the file, beside it, among the chains, anywhere else.
pub(super) fn find(end_entity: &Arc<Certificate>, path: &Path, contents: &Contents, pool: &Pool) -> Option<Issuer> {
    let chain = |issuer: &Arc<Certificate>| CertChain::new(Arc::clone(end_entity), Arc::clone(issuer)).ok();
    let among = |certificates: &[Arc<Certificate>], at: &Path| {
        certificates.iter().find_map(chain).map(|chain| (chain, at.to_owned()))
    };
    let beside = contents.beside_path.as_deref().unwrap_or(path);
    let chains = || contents.chains.as_ref().and_then(|(directory, firsts)| among(firsts, directory));
    let elsewhere = || pool.candidates(end_entity).find_map(|(issuer, at)| Some((chain(issuer)?, at.clone())));
    let (chain, found_in) = among(&contents.certificates, path)
        .or_else(|| among(&contents.beside, beside))
        .or_else(chains)
        .or_else(elsewhere)?;
    let place = place(&chain, contents);
    Some(Issuer { chain: Arc::new(chain), found_in, place })
}

/// How a HAProxy that loads the file finds the issuer. The file beside it overrules the chain in it.
fn place(chain: &CertChain, contents: &Contents) -> IssuerPlace {
    let end_entity = chain.end_entity();
    let issued = |issuer: &Certificate| *issuer == **chain.issuer() || end_entity.is_issued_by(issuer);
    if let Some(file) = &contents.issuer_file {
        return match &file.first {
            Some(first) if issued(first) => IssuerPlace::IssuerFile(file.path.clone()),
            _ => IssuerPlace::Elsewhere,
        };
    }
    if contents.certificates.iter().any(|certificate| issued(certificate)) {
        return IssuerPlace::SameFile;
    }
    match &contents.chains {
        // Only certificates without any chain are completed.
        Some((directory, firsts))
            if contents.certificates.len() == 1
                && firsts.iter().any(|first| end_entity.names_key_of(first) && issued(first)) =>
        {
            IssuerPlace::Chains(directory.clone())
        }
        _ => IssuerPlace::Elsewhere,
    }
}
