//! What is remembered of certificates that their CA has disowned: nothing older than its word makes them good again.

use std::collections::HashMap;

use super::Standing;
use crate::ocsp::CertStatus;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// So many are remembered that lie nowhere any more.
const MAX_GONE: usize = 100_000;

/// The newest answer by which a CA disowned a certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disowned {
    this_update: Timestamp,
    /// Whether no newer answer said otherwise.
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

    /// The same, after a newer answer that said otherwise: a hold has ended.
    pub(super) fn undone(self) -> Self {
        Disowned { stands: false, ..self }
    }

    /// How the certificate stands until its CA was asked again, if that depends on this.
    pub(super) fn standing(self) -> Option<Standing> {
        let status = CertStatus::Revoked { at: self.this_update, reason: None };
        self.stands.then_some(Standing::Revoked { status })
    }

    /// Whether a staple that was kept must not be used.
    pub(super) fn forbids(self, kept: &Staple) -> bool {
        self.stands || kept.this_update() <= self.this_update
    }
}

/// The same of certificates that are forgotten otherwise, until they end: their files may come back, and with them an
/// answer from before, out of somebody's cache.
#[derive(Clone, Debug, Default)]
pub(super) struct DisownedAndGone {
    all: HashMap<Subject, (Disowned, Timestamp)>,
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
