//! The answer to a question about one certificate.

use std::sync::Arc;

use super::prepared::Prepared;

/// The answer to a question about one certificate.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// The staple.
    Staple(Arc<Prepared>),
    /// The error `unauthorized`: the issuer may not be asked, or the certificate gets no staple, as after a revocation.
    Unauthorized,
    /// The error `tryLater`: there is no staple now.
    TryLater,
}
