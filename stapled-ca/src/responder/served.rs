//! An authority that a responder answers for.

use std::sync::{Arc, PoisonError, RwLock};

use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::ocsp::Signer;
use crate::responder::first_questions::FirstQuestions;
use crate::responder::published_crl::PublishedCrl;

/// An authority that a responder answers for, with the signer of its responses.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) authority: Authority,
    signer: RwLock<Arc<Signer>>,
    /// Whether the signer is the delegate in the authority's directory, and is renewed.
    is_installed: bool,
    pub(crate) first_questions: FirstQuestions,
    pub(crate) crl: PublishedCrl,
}

impl Served {
    pub(crate) fn new(authority: Authority, signer: Signer) -> Self {
        Self {
            authority,
            signer: RwLock::new(Arc::new(signer)),
            is_installed: false,
            first_questions: FirstQuestions::default(),
            crl: PublishedCrl::default(),
        }
    }

    /// Like [`Served::new`] with the delegate in the authority's directory, which is renewed.
    pub(crate) fn by_installed_delegate(authority: Authority) -> Result<Self, AuthorityError> {
        let signer = authority.installed_delegate()?;
        Ok(Self { is_installed: true, ..Self::new(authority, signer) })
    }

    /// Whether it is time to renew the signer.
    pub(crate) fn is_renewal_due(&self, now: i64) -> bool {
        self.is_installed && self.authority.is_delegate_due(&self.signer(), now)
    }

    /// Renews the delegate in the authority's directory if it is due, and signs with its key from now on. Responses that the delegate
    /// before signed stay valid.
    ///
    /// # Errors
    /// When a new delegate cannot be issued or installed. The signer stays as it was.
    pub(crate) fn renew_signer(&self, now: i64) -> Result<(), AuthorityError> {
        let renewed = Arc::new(self.authority.renew_delegate(now)?);
        *self.signer.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// The signer of the responses from now on.
    pub(crate) fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.signer.read().unwrap_or_else(PoisonError::into_inner))
    }
}
