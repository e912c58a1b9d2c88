//! An authority that a responder answers for.

use std::sync::{Arc, PoisonError, RwLock};

use crate::authority::Authority;
use crate::ocsp::Signer;
use crate::responder::first_questions::FirstQuestions;
use crate::responder::published_crl::PublishedCrl;

/// An authority that a responder answers for, with the signer of its responses.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) authority: Authority,
    signer: RwLock<Arc<Signer>>,
    pub(crate) first_questions: FirstQuestions,
    pub(crate) crl: PublishedCrl,
}

impl Served {
    pub(crate) fn new(authority: Authority, signer: Signer) -> Self {
        Self {
            authority,
            signer: RwLock::new(Arc::new(signer)),
            first_questions: FirstQuestions::default(),
            crl: PublishedCrl::default(),
        }
    }

    /// The signer of the responses from now on.
    pub(crate) fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.signer.read().unwrap_or_else(PoisonError::into_inner))
    }
}
