//! The search for a certificate's issuer, and the certificate that a server takes for the issuer when it loads the
//! certificate's file. The parser, `stapled check` and `stapled fetch` use it.
//!
//! A server that computes CertIDs searches the certificate's file. If that file has no other certificate, the server
//! searches a chain from the directory of chains. It takes the first certificate that OpenSSL takes for the issuer
//! ([`Certificate::seems_issued_by`]). Only if there is none, it reads the issuer file. The contents of the issuer file must seem to be
//! the issuer in any case, or the server does not start with a staple. HAProxy 2.6, 3.0 and 3.2 behave in this way.

use std::path::Path;
use std::sync::Arc;

use super::IssuerPlace;
use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::chain::{CertChain, ChainError};

/// The search for the issuer of one certificate, through one place after the other.
#[derive(Clone, Debug)]
pub struct IssuerSearch {
    end_entity: Arc<Certificate>,
    unsupported: Option<Arc<Certificate>>,
}

impl IssuerSearch {
    /// A search that has examined no place yet.
    pub fn new(end_entity: &Arc<Certificate>) -> Self {
        IssuerSearch { end_entity: Arc::clone(end_entity), unsupported: None }
    }

    /// The chain with the first candidate whose name *and* signature fit. A candidate whose signature cannot be checked
    /// is remembered, but never taken.
    pub fn among<'a>(&mut self, candidates: impl IntoIterator<Item = &'a Arc<Certificate>>) -> Option<CertChain> {
        for candidate in candidates {
            match CertChain::new(Arc::clone(&self.end_entity), Arc::clone(candidate)) {
                Ok(chain) => return Some(chain),
                Err(ChainError::UnsupportedAlgorithm { .. }) => {
                    // A candidate whose key the certificate names is better than one with only the right name.
                    let is_better = || self.end_entity.names_key_of(candidate) && !self.is_named();
                    if self.unsupported.is_none() || is_better() {
                        self.unsupported = Some(Arc::clone(candidate));
                    }
                }
                Err(_) => {}
            }
        }
        None
    }

    /// The chain with an issuer from the contents of a file or of a caIssuers URL, which may hold no certificate.
    pub fn among_contents(&mut self, contents: &[u8]) -> Option<CertChain> {
        let certificates = Bundle::read_issuers(contents).map(|bundle| bundle.certificates).unwrap_or_default();
        let candidates: Vec<_> = certificates.into_iter().map(Arc::new).collect();
        self.among(&candidates)
    }

    /// The candidate that seems to be the issuer but cannot be checked, because its algorithm is not supported.
    pub fn unsupported(&self) -> Option<&Arc<Certificate>> {
        self.unsupported.as_ref()
    }

    /// Whether the certificate names the key of [`unsupported`](Self::unsupported). If so, no other certificate can be
    /// the issuer.
    pub fn is_named(&self) -> bool {
        self.unsupported.as_ref().is_some_and(|candidate| self.end_entity.names_key_of(candidate))
    }

    /// Why no chain was found; `None` if no place has a candidate.
    pub fn error(&self) -> Option<ChainError> {
        let candidate = self.unsupported.as_ref()?;
        CertChain::new(Arc::clone(&self.end_entity), Arc::clone(candidate)).err()
    }
}

/// The certificates in and beside a certificate's file.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Surroundings<'a> {
    /// The certificates of the file in its order, including the certificate itself.
    pub own: &'a [Arc<Certificate>],
    /// The issuer file that servers read, if a file with that name exists, and the first certificate in it, if that can
    /// be read.
    pub issuer_file: Option<(&'a Path, Option<&'a Certificate>)>,
    /// The directory of chains, and the first certificate of each file in it.
    pub chains: Option<(&'a Path, &'a [Arc<Certificate>])>,
}

impl<'a> Surroundings<'a> {
    /// A file with these certificates, with nothing beside it.
    pub fn of(own: &'a [Arc<Certificate>]) -> Self {
        Surroundings { own, issuer_file: None, chains: None }
    }

    /// The place where a server finds the issuer. Certificates with the same key are equal here, because the CertID has
    /// a hash of the key.
    pub fn issuer_place(&self, end_entity: &Certificate, issuer: &Certificate) -> IssuerPlace {
        let is_right = |taken: &Certificate| taken.public_key() == issuer.public_key();
        let file = match self.issuer_file {
            Some((path, Some(first))) if end_entity.seems_issued_by(first) => Some((path, first)),
            // Servers do not start with a staple if the issuer file has any other contents.
            Some(_) => return IssuerPlace::Elsewhere,
            None => None,
        };
        let in_file =
            file.filter(|(_, first)| is_right(first)).map(|(path, _)| IssuerPlace::IssuerFile(path.to_owned()));
        let own = self.own.iter().filter(|one| ***one != *end_entity).find(|one| end_entity.seems_issued_by(one));
        match own {
            Some(taken) if is_right(taken) => return in_file.unwrap_or(IssuerPlace::SameFile),
            Some(_) => return IssuerPlace::Mistaken { chains: None },
            None => {}
        }
        // The directory of chains completes only certificates without any chain.
        if let Some((directory, firsts)) = self.chains.filter(|_| self.own.len() == 1) {
            let taken = firsts.iter().find(|first| end_entity.names_key_of(first) && end_entity.seems_issued_by(first));
            match taken {
                Some(taken) if is_right(taken) => return in_file.unwrap_or(IssuerPlace::Chains(directory.to_owned())),
                Some(_) => return IssuerPlace::Mistaken { chains: Some(directory.to_owned()) },
                None => {}
            }
        }
        in_file.unwrap_or(IssuerPlace::Elsewhere)
    }
}
