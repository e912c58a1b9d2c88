//! Who issued a certificate: the search for the issuer, and which certificate a server takes for it when it loads the
//! certificate's file. Pure; the parser, `stapled check` and `stapled fetch` go by it.
//!
//! A server that computes CertIDs looks in the certificate's file, or, where that has no other certificate, in a chain from
//! the directory of chains: the first that OpenSSL takes for the issuer ([`seems_issued`]) is the one. Only where there is
//! none, the file for the issuer counts; but what is in it must seem to be the issuer in any case, or the server does not
//! start with a staple. HAProxy 2.6, 3.0 and 3.2 do just this.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::chain::{CertChain, ChainError};
use crate::issuance::seems_issued;

/// The search for the issuer of one certificate, from place to place.
#[derive(Clone, Debug)]
pub struct IssuerSearch {
    end_entity: Arc<Certificate>,
    unsupported: Option<Arc<Certificate>>,
}

impl IssuerSearch {
    /// A search that has looked nowhere.
    pub fn new(end_entity: &Arc<Certificate>) -> Self {
        IssuerSearch { end_entity: Arc::clone(end_entity), unsupported: None }
    }

    /// The chain with the first of these whose name *and* signature fit. One whose signature cannot be checked is
    /// remembered, and never taken.
    pub fn among<'a>(&mut self, candidates: impl IntoIterator<Item = &'a Arc<Certificate>>) -> Option<CertChain> {
        for candidate in candidates {
            match CertChain::new(Arc::clone(&self.end_entity), Arc::clone(candidate)) {
                Ok(chain) => return Some(chain),
                Err(ChainError::UnsupportedAlgorithm { .. }) => {
                    // The one whose key the certificate names, rather than any of that name.
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

    /// What seems to be the issuer, and cannot be checked: its algorithm is not supported.
    pub fn unsupported(&self) -> Option<&Arc<Certificate>> {
        self.unsupported.as_ref()
    }

    /// Whether the certificate names the key of [`unsupported`](Self::unsupported): no other can be the issuer then.
    pub fn is_named(&self) -> bool {
        self.unsupported.as_ref().is_some_and(|candidate| self.end_entity.names_key_of(candidate))
    }

    /// Why no chain was found, where that is not that the issuer lies nowhere.
    pub fn error(&self) -> Option<ChainError> {
        let candidate = self.unsupported.as_ref()?;
        CertChain::new(Arc::clone(&self.end_entity), Arc::clone(candidate)).err()
    }
}

/// How a server that loads a certificate's file finds the issuer's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuerPlace {
    /// In the certificate's own file.
    SameFile,
    /// In the file that servers look in: the certificate's name plus `.issuer`, or the configured one.
    IssuerFile(PathBuf),
    /// At the beginning of a chain in the directory from which servers take chains.
    Chains(PathBuf),
    /// Nowhere that the server looks, or behind another certificate that the server finds first. A sink can correct this.
    Elsewhere,
    /// The server takes another certificate with the issuer's name, which comes first. It computes another CertID, so no
    /// staple fits, whatever a sink delivers. Only the file can be corrected.
    Mistaken {
        /// The directory of chains that holds the other certificate; `None`: the certificate's own file holds it.
        chains: Option<PathBuf>,
    },
}

/// What lies in and around a certificate's file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// The certificates of the file, in its order, the certificate itself among them.
    pub own: &'a [Arc<Certificate>],
    /// The file that servers look in for the issuer, if there is anything by that name, and the first certificate in it
    /// where that can be read.
    pub issuer_file: Option<(&'a Path, Option<&'a Certificate>)>,
    /// The directory of chains, and the first certificate of each file in it.
    pub chains: Option<(&'a Path, &'a [Arc<Certificate>])>,
}

impl Surroundings<'_> {
    /// How a server finds the issuer. Certificates with the same key are the same to it: the CertID has a hash of the key.
    pub fn issuer_place(&self, end_entity: &Certificate, issuer: &Certificate) -> IssuerPlace {
        let is_right = |taken: &Certificate| taken.public_key() == issuer.public_key();
        let file = match self.issuer_file {
            Some((path, Some(first))) if seems_issued(end_entity, first) => Some((path, first)),
            // With anything else in it, servers do not start with a staple.
            Some(_) => return IssuerPlace::Elsewhere,
            None => None,
        };
        let in_file =
            file.filter(|(_, first)| is_right(first)).map(|(path, _)| IssuerPlace::IssuerFile(path.to_owned()));
        let own = self.own.iter().filter(|one| ***one != *end_entity).find(|one| seems_issued(end_entity, one));
        match own {
            Some(taken) if is_right(taken) => return in_file.unwrap_or(IssuerPlace::SameFile),
            Some(_) => return IssuerPlace::Mistaken { chains: None },
            None => {}
        }
        // Only certificates without any chain are completed.
        if let Some((directory, firsts)) = self.chains.filter(|_| self.own.len() == 1) {
            let taken = firsts.iter().find(|first| end_entity.names_key_of(first) && seems_issued(end_entity, first));
            match taken {
                Some(taken) if is_right(taken) => return in_file.unwrap_or(IssuerPlace::Chains(directory.to_owned())),
                Some(_) => return IssuerPlace::Mistaken { chains: Some(directory.to_owned()) },
                None => {}
            }
        }
        in_file.unwrap_or(IssuerPlace::Elsewhere)
    }
}
