//! Kinds of difference in the other direction: others refuse the response, and we accept it.

use super::Implementation::{Cryptography, GnuTls, OpenSsl};
use super::Kind;
use super::forms::every;
use super::refused::by_key;
use crate::state::State;
use crate::tlv::Node;

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "default_spelled_out",
        implementations: &[Cryptography],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.why.contains("EncodedDefault"),
        mend: |state, _| {
            let tbs = state.tbs()?;
            let version = tbs.first()?.tag == 0xa0;
            if version {
                tbs.remove(0);
            }
            // Also in the extensions of certificates: critical, FALSE.
            let extensions = every(state, |node| match node.children() {
                [oid, critical, _] if oid.tag == 0x06 && critical.tag == 0x01 && critical.contents() == [0] => {
                    node.children_mut().map(|fields| fields.remove(1)).is_some()
                }
                _ => false,
            });
            (version || extensions.is_some()).then_some(())
        },
    },
    Kind {
        name: "pss",
        implementations: &[GnuTls, Cryptography],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.status.is_none(),
        mend: |state, _| {
            let pss = format!("{:?}", state.scheme).contains("Pss");
            let key = state.signer().key().default_scheme();
            state.scheme = key;
            *state.basic()?.get_mut(1)? = Node::read(&key.algorithm_identifier())?;
            state.sign();
            pss.then_some(())
        },
    },
    Kind {
        name: "signers_name_twice",
        implementations: &[OpenSsl],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.why.starts_with("verification"),
        mend: |state, _| with_name_of_its_own(state),
    },
    Kind {
        name: "signers_certificate_twice",
        implementations: &[OpenSsl, GnuTls],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.why.starts_with("verification"),
        mend: |state, _| {
            let list = state.certificates()?.clone();
            let last = list.iter().rposition(|certificate| state.is_signers(certificate))?;
            let mut keep =
                (0..list.len()).map(|place| place == last || !state.is_signers(&list[place])).collect::<Vec<_>>();
            let several = keep.contains(&false);
            let mut keep = keep.drain(..);
            state.certificates()?.retain(|_| keep.next().unwrap_or(false));
            several.then_some(())
        },
    },
    Kind {
        name: "others_certificates",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.status.is_none(),
        mend: |state, _| {
            let keep: Vec<bool> = {
                let list = state.certificates()?.clone();
                let proper = !state.world.signers[state.candidate].who.ends_with("embedded");
                list.iter().map(|certificate| proper && state.is_signers(certificate)).collect()
            };
            let list = state.certificates()?;
            let before = list.len();
            let mut keep = keep.into_iter();
            list.retain(|_| keep.next().unwrap_or(false));
            (list.len() != before).then_some(())
        },
    },
    Kind {
        name: "other_issuers_beside",
        implementations: &[OpenSsl],
        applies: |difference| {
            let why = &difference.theirs.why;
            difference.ours.status.is_some() && (why.contains("not trusted") || why.contains("unknown message digest"))
        },
        mend: |state, _| {
            let issuer = state.world.issuer.identity().clone();
            let singles = state.singles()?;
            let before = singles.len();
            singles.retain(|single| {
                let id = single.at(&[0]).and_then(|id| stapled_ca::ocsp::CertId::from_der(&id.encode()));
                id.is_some_and(|id| {
                    id.hash().is_some_and(|hash| {
                        hash.digest(&issuer.name) == id.issuer_name_hash()
                            && hash.digest(&issuer.public_key) == id.issuer_key_hash()
                    })
                })
            });
            (singles.len() != before).then_some(())
        },
    },
    Kind {
        name: "signers_name_in_other_bytes",
        implementations: &[GnuTls],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.why.starts_with("verification"),
        mend: |state, _| (state.responder_id()?.tag == 0xa1).then(|| by_key(state))?,
    },
    Kind {
        name: "delegate_odd_extension",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.status.is_none(),
        mend: |state, _| without_idle_extensions(state),
    },
    Kind {
        name: "year_zero",
        implementations: &[Cryptography],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.why.contains("year 0"),
        mend: |state, _| {
            let mut changed = false;
            let mut set = |node: &mut Node| {
                if node.tag == 0x18 && node.contents().starts_with(b"0000") {
                    *node = Node::new(0x18, b"20000101000000Z");
                    changed = true;
                }
            };
            set(state.tbs()?.iter_mut().find(|node| node.tag == 0x18)?);
            for single in state.singles()? {
                for field in single.children_mut()? {
                    set(field);
                    field.children_mut().into_iter().flatten().for_each(&mut set);
                }
            }
            changed.then_some(())
        },
    },
    Kind {
        name: "undefined_reason",
        implementations: &[Cryptography],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.why.contains("reason"),
        mend: |state, _| {
            let mut changed = false;
            for single in state.singles()? {
                let Some(info) = single.at_mut(&[1]).filter(|status| status.tag == 0xa1) else { continue };
                let fields = info.children_mut()?;
                changed |= fields.len() > 1;
                fields.truncate(1);
            }
            changed.then_some(())
        },
    },
];

/// The name CN=Other.
const OTHER_NAME: &[u8] = b"\x30\x10\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05Other";

/// Gives another name to a delegate that has its issuer's name.
fn with_name_of_its_own(state: &mut State<'_>) -> Option<()> {
    let issuer = state.world.issuer.identity().clone();
    if state.signer().identity().public_key == issuer.public_key {
        return None;
    }
    let other = Node::read(OTHER_NAME)?;
    let of_signer: Vec<bool> = {
        let list = state.certificates()?.clone();
        list.iter().map(|certificate| state.is_signers(certificate)).collect()
    };
    let mut changed = false;
    for (certificate, _) in state.certificates()?.iter_mut().zip(of_signer).filter(|(_, of_signer)| *of_signer) {
        let subject = certificate.at_mut(&[0, 5])?;
        if subject.encode() == issuer.name {
            *subject = other.clone();
            changed = true;
        }
    }
    changed.then(|| by_key(state))?
}

/// Removes the extensions of the signer's certificate that do not decide the right to sign. The others stay unchanged,
/// so that a signer without the right does not gain it.
fn without_idle_extensions(state: &mut State<'_>) -> Option<()> {
    const DECIDING: [&[u64]; 4] = [&[2, 5, 29, 15], &[2, 5, 29, 19], &[2, 5, 29, 37], &[1, 3, 6, 1, 5, 5, 7, 48, 1, 5]];
    let deciding = DECIDING.map(stapled_ca::der::oid);
    let of_signer: Vec<bool> = {
        let list = state.certificates()?.clone();
        list.iter().map(|certificate| state.is_signers(certificate)).collect()
    };
    let mut changed = false;
    for (certificate, _) in state.certificates()?.iter_mut().zip(of_signer).filter(|(_, of_signer)| *of_signer) {
        let fields = certificate.at_mut(&[0]).and_then(Node::children_mut)?;
        let Some(explicit) = fields.iter_mut().find(|field| field.tag == 0xa3) else { continue };
        let extensions = explicit.at_mut(&[0]).and_then(Node::children_mut)?;
        let before = extensions.len();
        // Critical extensions stay too.
        extensions.retain(|extension| {
            let is_critical = extension.at(&[1]).is_some_and(|field| field.tag == 0x01);
            let oid = extension.at(&[0]).map(Node::encode);
            is_critical || oid.is_some_and(|oid| deciding.contains(&oid))
        });
        changed |= extensions.len() != before;
    }
    changed.then_some(())
}
