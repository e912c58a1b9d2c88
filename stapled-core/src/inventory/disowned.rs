//! Revocations by the CA: no older response makes a revoked certificate good again.

use super::standing::Standing;
use crate::by_subject::BySubject;
use crate::ocsp::CertStatus;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// The largest number of revocations that are remembered of certificates in no place.
const MAX_GONE: usize = 100_000;

/// The newest response by which a CA revoked a certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disowned {
    this_update: Timestamp,
    /// Whether the revocation stands: no newer response contradicts it.
    stands: bool,
}

impl Disowned {
    pub(super) fn by_answer_of(this_update: Timestamp, before: Option<Disowned>) -> Self {
        let before = before.map_or(this_update, Disowned::this_update);
        Disowned { this_update: this_update.max(before), stands: true }
    }

    pub(super) fn this_update(self) -> Timestamp {
        self.this_update
    }

    /// The same revocation after a newer response that contradicts it: a hold has ended.
    pub(super) fn undone(self) -> Self {
        Disowned { stands: false, ..self }
    }

    /// The standing of the certificate until its CA is asked again, if the revocation stands.
    pub(super) fn standing(self) -> Option<Standing> {
        let status = CertStatus::Revoked { at: self.this_update, reason: None };
        self.stands.then_some(Standing::Revoked { status })
    }

    /// Whether a recycled staple must not be used.
    pub(super) fn forbids(self, kept: &Staple) -> bool {
        self.stands || kept.this_update() <= self.this_update
    }
}

/// Revocations of certificates that are forgotten otherwise, until their validity ends: a certificate's file may
/// return, and a cache may then return an older response.
#[derive(Clone, Debug, Default)]
pub(super) struct DisownedAndGone {
    all: BySubject<(Disowned, Timestamp)>,
}

impl DisownedAndGone {
    pub(super) fn put(&mut self, subject: Subject, disowned: Disowned, not_after: Timestamp, now: Timestamp) {
        if self.all.len() >= MAX_GONE {
            self.all.retain(|_, (_, not_after)| *not_after > now);
        }
        if self.all.len() < MAX_GONE {
            self.all.insert(subject, (disowned, not_after));
        }
    }

    pub(super) fn take(&mut self, subject: &Subject) -> Option<Disowned> {
        self.all.remove(subject).map(|(disowned, _)| disowned)
    }
}
