//! They refuse what we believe.

use super::Kind;
use super::Stranger::{Cryptography, GnuTls, OpenSsl};
use super::refused::{by_key, with_proper_delegate};
use crate::tlv::Node;

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "default_spelled_out",
        strangers: &[Cryptography],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.why.contains("EncodedDefault"),
        mend: |state, _| {
            let tbs = state.tbs()?;
            let version = tbs.first()?.tag == 0xa0;
            if version {
                tbs.remove(0);
            }
            let mut changed = version;
            for list in state.extensions() {
                for extension in list {
                    let fields = extension.children_mut()?;
                    let before = fields.len();
                    fields.retain(|field| field.tag != 0x01 || field.contents() != [0]);
                    changed |= fields.len() != before;
                }
            }
            changed.then_some(())
        },
    },
    Kind {
        name: "pss",
        strangers: &[GnuTls, Cryptography],
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
        strangers: &[OpenSsl],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.why.starts_with("verification"),
        mend: |state, _| {
            let names_issuer = state.responder_id()?.at(&[0])?.encode() == state.world.issuer.identity().name;
            let delegated = state.signer().identity().public_key != state.world.issuer.identity().public_key;
            (names_issuer && delegated).then(|| by_key(state))?
        },
    },
    Kind {
        name: "others_certificates",
        strangers: &[OpenSsl, GnuTls, Cryptography],
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
        strangers: &[OpenSsl],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.why.contains("not trusted"),
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
        strangers: &[GnuTls],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.why.starts_with("verification"),
        mend: |state, _| (state.responder_id()?.tag == 0xa1).then(|| by_key(state))?,
    },
    Kind {
        name: "delegate_odd_extension",
        strangers: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| difference.ours.status.is_some() && difference.theirs.status.is_none(),
        mend: |state, _| with_proper_delegate(state),
    },
    Kind {
        name: "year_zero",
        strangers: &[Cryptography],
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
        strangers: &[Cryptography],
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
