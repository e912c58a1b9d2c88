//! Whether the file of a staple is left over: whether it hinders HAProxy's start, or misleads it. Pure.

use stapled_core::hash::Sha256;
use stapled_core::ocsp::{CertStatus, OcspResponse};
use stapled_core::staple::{Judge, Refusal};

use super::at_start::NotTaken;
use super::certificate::Case;
use super::contents::StapleFile;
use super::items::Origin;
use super::verdict::{Leftover, Verdict, Why};

impl From<NotTaken> for Why {
    fn from(not_taken: NotTaken) -> Self {
        Why { code: not_taken.code(), what: not_taken.to_string() }
    }
}

impl Case<'_> {
    /// What is to be done with the staple's file; `None` where there is none.
    pub(super) fn leftover(&self) -> Option<Leftover> {
        let (verdict, hash) = match &self.contents.staple {
            StapleFile::Absent => return None,
            StapleFile::Unreadable(error) => (Verdict::Keep(Why::new("unreadable_file", error.as_str())), [0; 32]),
            StapleFile::Bytes(bytes) => (self.verdict(bytes), Sha256::of(bytes)),
        };
        // HAProxy does not start without a file that its configuration names, and neither does it with an empty one and
        // `zero-warning`.
        let is_needed = self.item.sighting.as_ref().is_some_and(|sighting| sighting.staple_file_needed);
        let verdict = match verdict {
            Verdict::Remove(why) if is_needed && self.item.zero_warning.is_some() => Verdict::Keep(Why {
                what: format!("{}; HAProxy's configuration names this file, so that it cannot be removed", why.what),
                ..why
            }),
            Verdict::Remove(_) if is_needed => Verdict::InOrder,
            verdict => verdict,
        };
        Some(Leftover { verdict, hash, fingerprint: self.end_entity.fingerprint() })
    }

    fn verdict(&self, bytes: &bytes::Bytes) -> Verdict {
        let not_taken = self.not_taken(bytes);
        let goes_to_haproxy = self.item.is_served() || !self.item.processes.is_empty();
        if bytes.is_empty() {
            // Nothing is lost with it. Without `zero-warning`, HAProxy takes responses because of it.
            let stops = self.item.zero_warning.is_some();
            return if stops { Verdict::Remove(NotTaken::Empty.into()) } else { Verdict::InOrder };
        }
        if OcspResponse::from_der(bytes).is_err() {
            // Another program's file, perhaps: only the operator knows.
            let what = format!("{}; remove it, if it is no other program's", NotTaken::NoResponse);
            return Verdict::Keep(Why { code: NotTaken::NoResponse.code(), what });
        }
        if self.is_issuer_hidden() && self.item.origin == Origin::Configuration {
            let what = "HAProxy does not find the certificate's issuer, and does not start with a response then";
            return Verdict::Remove(Why::new("staple_without_issuer", what));
        }
        let Ok(issuer) = self.issuer else {
            return match not_taken {
                Some(NotTaken::Ends(ends)) if ends > self.now && !goes_to_haproxy => Verdict::InOrder,
                Some(
                    why @ (NotTaken::OtherCertificate
                    | NotTaken::ErrorStatus(_)
                    | NotTaken::UnknownStatus
                    | NotTaken::Ends(_)),
                ) => Verdict::Remove(why.into()),
                Some(why) => Verdict::Keep(why.into()),
                None => Verdict::InOrder,
            };
        };
        match Judge::new(&issuer.chain).at(self.now).policy(&self.rules.judging).judge(bytes.clone()) {
            Ok(judgement) => match (judgement.status, judgement.staple()) {
                (CertStatus::Good, Some(_)) => match not_taken.filter(|_| goes_to_haproxy) {
                    Some(why) => Verdict::Remove(why.into()),
                    None => Verdict::InOrder,
                },
                (CertStatus::Good, None) => Verdict::Remove(Why::new("not_stapleable", "clients could not verify it")),
                (CertStatus::Revoked { at, .. }, _) => {
                    Verdict::Remove(Why::new("revoked", format!("by it the CA revoked the certificate at {at}")))
                }
                _ => Verdict::Remove(NotTaken::UnknownStatus.into()),
            },
            // A clock that is behind, as after a start without a battery, would have everything removed.
            Err(refusal @ (Refusal::NotYetValid { .. } | Refusal::ResponderCertNotYetValid { .. })) => {
                Verdict::Keep(Why {
                    code: refusal.code(),
                    what: format!("{refusal}; see that this machine's clock is right"),
                })
            }
            // It may be right: HAProxy's clients decide.
            Err(refusal @ Refusal::UnsupportedAlgorithm { .. }) if not_taken.is_none() => {
                Verdict::Keep(Why { code: refusal.code(), what: refusal.to_string() })
            }
            Err(refusal) => Verdict::Remove(Why { code: refusal.code(), what: refusal.to_string() }),
        }
    }
}
