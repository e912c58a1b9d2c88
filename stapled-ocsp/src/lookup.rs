//! Where a server that loads a certificate's file finds its issuer. Pure.

pub mod search;

use std::path::PathBuf;

/// The place where a server that loads a certificate's file finds the issuer's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuerPlace {
    /// The issuer is in the certificate's own file.
    SameFile,
    /// The issuer is in the issuer file that servers read: the certificate's name plus `.issuer`, or the configured
    /// file.
    IssuerFile(PathBuf),
    /// The issuer is at the beginning of a chain in the directory from which servers take chains.
    Chains(PathBuf),
    /// The issuer is in no place that the server searches, or behind another certificate that the server finds first. A
    /// sink can correct this.
    Elsewhere,
    /// The server takes another certificate with the issuer's name, which comes first. The server then computes another
    /// CertID, so no delivered staple fits. Only a change of the file corrects this.
    Mistaken {
        /// The directory of chains that holds the other certificate; `None`: the certificate's own file holds it.
        chains: Option<PathBuf>,
    },
}
