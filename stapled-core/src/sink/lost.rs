//! Staples that a server has lost, and staples that another client changed there.

use bytes::Bytes;

use crate::task::Subject;

/// The staples that a server has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// Nothing. The server answers again, and failed deliveries are retried at once.
    Retry,
    /// All staples, as after a restart.
    Everything,
    /// The staples of these certificates ([`CertChain::subject`](crate::chain::CertChain::subject)). They are delivered
    /// again from memory.
    Certificates(Vec<Subject>),
    /// Staples that another client removed or replaced. They are not delivered again before the found responses are judged
    /// and the CA is asked.
    Changed(Vec<Change>),
}

/// A change of one certificate's staple by another client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The certificate ([`CertChain::subject`](crate::chain::CertChain::subject)).
    pub subject: Subject,
    /// The response that the server has now.
    pub found: Found,
}

impl Change {
    /// A change of this certificate's staple.
    pub fn new(subject: Subject, found: Found) -> Self {
        Change { subject, found }
    }
}

/// The response, if any, that a server has in place of the delivered staple.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// No staple, or a response that the server does not staple: another client withdrew the staple and may know of a
    /// revocation. The staple stays withdrawn until the CA says that the certificate is good.
    Withdrawn,
    /// This response. The stapler judges it: it keeps a newer one, accepts a revocation, and replaces anything else.
    Response(Bytes),
    /// Something that cannot be judged. The stapler replaces it and asks the CA.
    Unreadable,
}
