//! Kinds of difference in contents or signer: we refuse the response, and others accept it.

use stapled_core::Weak;
use stapled_core::staple::Refusal;

use super::Implementation::{Cryptography, GnuTls, OpenSsl};
use super::{Difference, Kind};
use crate::state::{State, nodes};
use crate::tlv::Node;

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "too_large",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| matches!(difference.refusal(), Some(Refusal::TooLarge { .. })),
        mend: |state, _| {
            state.policy.max_size = usize::MAX;
            state.policy.max_received = usize::MAX;
            Some(())
        },
    },
    Kind {
        name: "version",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| {
            let odd = difference.ours.malformed().contains("an empty number");
            odd || matches!(difference.refusal(), Some(Refusal::UnsupportedVersion { .. }))
        },
        mend: |state, _| {
            let tbs = state.tbs()?;
            (tbs.first()?.tag == 0xa0).then(|| drop(tbs.remove(0)))
        },
    },
    Kind {
        name: "critical_extension",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| {
            matches!(difference.refusal(), Some(Refusal::UnhandledCriticalExtension { place, .. })
                if !place.contains("certificate"))
        },
        mend: |state, _| {
            let mut changed = false;
            for list in state.extensions() {
                for extension in list {
                    let fields = extension.children_mut()?;
                    let before = fields.len();
                    fields.retain(|field| field.tag != 0x01);
                    changed |= fields.len() != before;
                }
            }
            changed.then_some(())
        },
    },
    Kind {
        name: "delegate_critical_extension",
        implementations: &[Cryptography],
        applies: |difference| {
            matches!(difference.refusal(), Some(Refusal::UnhandledCriticalExtension { place, .. })
                if place.contains("certificate"))
        },
        mend: |state, _| with_proper_delegate(state),
    },
    Kind {
        name: "delegate_purpose",
        implementations: &[GnuTls, Cryptography],
        applies: |difference| matches!(difference.refusal(), Some(Refusal::ResponderMissingEku { .. })),
        mend: |state, _| with_proper_delegate(state),
    },
    Kind {
        name: "delegate_key_usage",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| matches!(difference.refusal(), Some(Refusal::ResponderKeyUsage { .. })),
        mend: |state, _| with_proper_delegate(state),
    },
    Kind {
        name: "delegate_validity",
        implementations: &[Cryptography],
        applies: |difference| {
            matches!(
                difference.refusal(),
                Some(Refusal::ResponderCertNotYetValid { .. } | Refusal::ResponderCertExpired { .. })
            )
        },
        mend: |state, _| with_proper_delegate(state),
    },
    Kind {
        name: "delegate_issuer_name",
        implementations: &[Cryptography],
        applies: |difference| matches!(difference.refusal(), Some(Refusal::ResponderWrongIssuer { .. })),
        mend: |state, _| with_proper_delegate(state),
    },
    Kind {
        name: "delegate_form",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| matches!(difference.refusal(), Some(Refusal::ResponderCertMalformed(_))),
        mend: |state, _| with_proper_certificates(state),
    },
    Kind {
        name: "responder_id",
        implementations: &[GnuTls, Cryptography],
        applies: |difference| {
            matches!(
                difference.refusal(),
                Some(
                    Refusal::ResponderIdMismatch { .. }
                        | Refusal::ResponderCertMissing { .. }
                        | Refusal::BadSignature { .. }
                        | Refusal::UnsupportedAlgorithm { .. }
                )
            )
        },
        mend: responder_by_key,
    },
    Kind {
        name: "signature_algorithm",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| {
            matches!(difference.refusal(), Some(Refusal::UnsupportedAlgorithm { .. } | Refusal::BadSignature { .. }))
        },
        mend: |state, _| {
            let right = Node::read(&state.scheme.algorithm_identifier())?;
            *state.basic()?.get_mut(1)? = right;
            Some(())
        },
    },
    Kind {
        name: "delegate_key_form",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| {
            matches!(difference.refusal(), Some(Refusal::UnsupportedAlgorithm { .. } | Refusal::BadSignature { .. }))
        },
        mend: |state, _| with_proper_delegate(state),
    },
    Kind {
        name: "issuer_key_hash",
        implementations: &[GnuTls],
        applies: |difference| {
            matches!(difference.refusal(), Some(Refusal::WrongIssuer { .. } | Refusal::ConflictingResponses { .. }))
        },
        mend: |state, _| {
            let issuer = state.world.issuer.identity().public_key.clone();
            let mut changed = false;
            for single in state.singles()? {
                let Some(hash) = single
                    .at(&[0])
                    .and_then(|id| stapled_ca::ocsp::CertId::from_der(&id.encode()))
                    .and_then(|id| id.hash())
                else {
                    continue;
                };
                let Some(node) = single.at_mut(&[0, 2]) else { continue };
                let right = Node::new(0x04, &hash.digest(&issuer));
                changed |= *node != right;
                *node = right;
            }
            changed.then_some(())
        },
    },
    Kind {
        name: "several_statuses",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| matches!(difference.refusal(), Some(Refusal::ConflictingResponses { .. })),
        mend: |state, difference| {
            let serial = stapled_ca::der::unsigned(state.world.leaf.serial().as_bytes());
            let tag = match difference.theirs.status.as_deref()? {
                "good" => 0x80,
                "revoked" => 0xa1,
                _ => 0x82,
            };
            // Of the statuses, the one that the implementation reports remains.
            let singles = state.singles()?;
            let before = singles.len();
            singles.retain(|single| {
                let is_same = single.at(&[0, 3]).is_some_and(|node| node.encode() == serial);
                !is_same || single.at(&[1]).is_some_and(|status| status.tag == tag)
            });
            (singles.len() != before && !singles.is_empty()).then_some(())
        },
    },
    Kind {
        name: "no_next_update",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| matches!(difference.refusal(), Some(Refusal::MissingNextUpdate)),
        mend: |state, _| {
            state.policy.missing_next_update = Weak::Allow;
            Some(())
        },
    },
    Kind {
        name: "skew_after_next_update",
        implementations: &[OpenSsl],
        applies: |difference| {
            matches!(difference.refusal(), Some(Refusal::Expired { next_update, .. })
                if next_update.unix() > difference.now - 302)
        },
        mend: |state, difference| set_times(state, None, Some(difference.now + 86_400)),
    },
    Kind {
        name: "equal_times",
        implementations: &[OpenSsl],
        applies: |difference| {
            matches!(difference.refusal(), Some(Refusal::BadTimes { this_update, next_update })
                if this_update == next_update)
        },
        mend: |state, difference| set_times(state, None, Some(difference.now + 86_400)),
    },
    Kind {
        name: "order_of_times",
        implementations: &[GnuTls],
        applies: |difference| matches!(difference.refusal(), Some(Refusal::BadTimes { .. })),
        mend: |state, difference| set_times(state, Some(difference.now - 3600), Some(difference.now + 86_400)),
    },
    Kind {
        name: "this_update_ahead",
        implementations: &[GnuTls],
        applies: |difference| matches!(difference.refusal(), Some(Refusal::NotYetValid { .. })),
        mend: |state, difference| set_times(state, Some(difference.now - 3600), None),
    },
    Kind {
        name: "revoked_for_ever",
        implementations: &[GnuTls],
        applies: |difference| {
            matches!(difference.refusal(), Some(Refusal::Expired { .. }))
                && difference.theirs.status.as_deref() == Some("revoked")
        },
        mend: |state, difference| set_times(state, None, Some(difference.now + 86_400)),
    },
    Kind {
        name: "no_clock",
        implementations: &[Cryptography],
        applies: |difference| {
            matches!(
                difference.refusal(),
                Some(Refusal::NotYetValid { .. } | Refusal::Expired { .. } | Refusal::BadTimes { .. })
            )
        },
        mend: |state, difference| set_times(state, Some(difference.now - 3600), Some(difference.now + 86_400)),
    },
    Kind {
        name: "first_of_several",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| {
            let times = matches!(
                difference.refusal(),
                Some(Refusal::NotYetValid { .. } | Refusal::Expired { .. } | Refusal::BadTimes { .. })
            );
            times || difference.theirs.why.starts_with("times")
        },
        mend: |state, difference| {
            let serial = stapled_ca::der::unsigned(state.world.leaf.serial().as_bytes());
            let singles = state.singles()?;
            let about = |single: &Node| single.at(&[0, 3]).is_some_and(|node| node.encode() == serial);
            let mut places: Vec<usize> = (0..singles.len()).filter(|place| about(&singles[*place])).collect();
            // The implementation accepts the first answer, we accept the newest. The accepted one remains.
            if difference.theirs.status.is_none() {
                places.sort_by_key(|place| std::cmp::Reverse(singles[*place].at(&[2]).map(Node::contents)));
            }
            let (kept, others) = places.split_first()?;
            let kept = singles[*kept].clone();
            let changed = !others.is_empty();
            singles.retain(|single| !about(single));
            singles.push(kept);
            changed.then_some(())
        },
    },
    Kind {
        name: "weak_key",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| matches!(difference.refusal(), Some(Refusal::WeakKey { .. })),
        mend: |state, _| {
            state.policy.weak_keys = Weak::Allow;
            Some(())
        },
    },
    Kind {
        name: "sha1_signature",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| matches!(difference.refusal(), Some(Refusal::WeakSignature { .. })),
        mend: |state, _| {
            state.policy.sha1_signatures = Weak::Allow;
            Some(())
        },
    },
];

/// Replaces the signer's certificate by a correct one.
pub(super) fn with_proper_delegate(state: &mut State<'_>) -> Option<()> {
    let proper = Node::read(&state.world.signers[state.candidate].proper)?;
    let of_signer: Vec<bool> = {
        let list = state.certificates()?.clone();
        list.iter().map(|certificate| state.is_signers(certificate)).collect()
    };
    let mut changed = false;
    for (certificate, _) in state.certificates()?.iter_mut().zip(of_signer).filter(|(_, of_signer)| *of_signer) {
        *certificate = proper.clone();
        changed = true;
    }
    changed.then_some(())
}

/// Replaces the signer's certificate by a correct one, and removes all others.
pub(super) fn with_proper_certificates(state: &mut State<'_>) -> Option<()> {
    let proper = with_proper_delegate(state).is_some();
    let list = state.certificates()?.clone();
    let is_issuer = state.signer().identity() == state.world.issuer.identity();
    let keep: Vec<bool> = list.iter().map(|one| !is_issuer && state.is_signers(one)).collect();
    let mut places = keep.iter();
    state.certificates()?.retain(|_| *places.next().unwrap_or(&false));
    (proper || keep.contains(&false)).then_some(())
}

/// Names the signer by its key.
pub(super) fn by_key(state: &mut State<'_>) -> Option<()> {
    let key = &state.signer().identity().public_key;
    let hash = stapled_ca::ocsp::HashAlgorithm::Sha1.digest(key);
    *state.responder_id()? = nodes(0xa2, vec![Node::new(0x04, &hash)]);
    Some(())
}

/// Names the signer by its key. If the responderID names none of the certificates, GnuTLS takes the issuer for the
/// signer. Embedded certificates with the issuer's key are then removed, because GnuTLS would judge them as delegates.
pub(super) fn responder_by_key(state: &mut State<'_>, difference: &Difference<'_>) -> Option<()> {
    let of_issuer = state.signer().identity().public_key == state.world.issuer.identity().public_key;
    if difference.implementation == GnuTls && of_issuer {
        state.basic()?.retain(|node| node.tag != 0xa0);
    }
    by_key(state)
}

/// Sets the times of every SingleResponse.
fn set_times(state: &mut State<'_>, this_update: Option<i64>, next_update: Option<i64>) -> Option<()> {
    let time = |at: i64| Node::new(0x18, &stapled_ca::der::generalized_time(at)[2..]);
    for single in state.singles()? {
        for field in single.children_mut()?.iter_mut().skip(2) {
            match (field.tag, this_update, next_update) {
                (0x18, Some(at), _) => *field = time(at),
                (0xa0, _, Some(at)) => *field = nodes(0xa0, vec![time(at)]),
                _ => {}
            }
        }
    }
    Some(())
}
