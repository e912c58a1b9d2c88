//! Kinds of difference in the form: we refuse bytes that are not DER, or not of RFC 6960's form, and others read them.

use super::Implementation::{Cryptography, GnuTls, OpenSsl};
use super::refused::{responder_by_key, with_proper_certificates};
use super::{Difference, Kind};
use crate::recipe;
use crate::state::State;
use crate::tlv::{Body, Length, Node};

/// The name of the kind whose lengths are not the shortest.
pub(crate) const LONG_LENGTH: &str = "long_length";

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "bytes_behind",
        implementations: &[OpenSsl],
        applies: |difference| is_malformed(difference, &["bytes after the end"]),
        mend: |state, _| {
            let behind = !std::mem::take(&mut state.behind).is_empty();
            // The OCTET STRING of responseBytes may also have bytes after BasicOCSPResponse.
            let response = state.tree.at_mut(&[1, 0, 1])?.children_mut()?;
            let more = response.len() > 1;
            response.truncate(1);
            (behind || more).then_some(())
        },
    },
    Kind {
        name: LONG_LENGTH,
        implementations: &[OpenSsl, GnuTls],
        applies: |difference| {
            ["a length", "a short length"].iter().any(|what| difference.ours.malformed().contains(what))
        },
        mend: |state, _| {
            every(state, |node| {
                let long = matches!(node.length, Length::Long(_));
                if long {
                    node.length = Length::Shortest;
                }
                long
            })
        },
    },
    Kind {
        name: "indefinite_length",
        implementations: &[OpenSsl],
        applies: |difference| is_malformed(difference, &["an indefinite length"]),
        mend: |state, _| {
            every(state, |node| {
                let indefinite = node.length == Length::Indefinite;
                if indefinite {
                    node.length = Length::Shortest;
                }
                indefinite
            })
        },
    },
    Kind {
        name: "explicit_length",
        implementations: &[GnuTls],
        applies: |difference| {
            let length = ["cut off", "is missing", "leading zeros", "in long form"];
            is_malformed(difference, &length)
                || is_malformed(difference, &["bytes after the end", "another type"])
                || is_malformed(difference, &["constructed"])
        },
        mend: |state, _| {
            every(state, |node| {
                let forced = matches!(node.length, Length::Forced(_));
                if forced {
                    node.length = Length::Shortest;
                }
                forced
            })
        },
    },
    Kind {
        name: "string_in_parts",
        implementations: &[OpenSsl, GnuTls],
        applies: |difference| is_malformed(difference, &["a constructed string"]),
        mend: |state, _| {
            every(state, |node| {
                let in_parts = node.tag & 0xe0 == 0x20 && !matches!(node.tag & 0x1f, 0x08 | 0x0b | 0x10 | 0x11);
                if in_parts {
                    let whole = node.children().iter().flat_map(Node::contents).collect::<Vec<u8>>();
                    *node = Node::new(node.tag & !0x20, &whole);
                    // The contents of an OCTET STRING are parsed again.
                    if let Some(again) = Node::read(&node.encode()) {
                        *node = again;
                    }
                }
                in_parts
            })
        },
    },
    Kind {
        name: "primitive_sequence",
        implementations: &[OpenSsl],
        applies: |difference| is_malformed(difference, &["a primitive sequence"]),
        mend: |state, _| {
            every(state, |node| {
                if !matches!(node.tag, 0x10 | 0x11) {
                    return false;
                }
                let constructed = Node::new(node.tag | 0x20, &node.contents()).encode();
                if let Some(again) = Node::read(&constructed) {
                    *node = again;
                }
                true
            })
        },
    },
    Kind {
        name: "boolean_value",
        implementations: &[OpenSsl, GnuTls],
        applies: |difference| is_malformed(difference, &["a BOOLEAN"]),
        mend: |state, _| primitive(state, 0x01, |bytes| *bytes != [0] && *bytes != [0xff], |_| vec![0xff]),
    },
    Kind {
        name: "null_with_contents",
        implementations: &[GnuTls, Cryptography],
        applies: |difference| is_malformed(difference, &["a NULL with contents"]),
        mend: |state, _| primitive(state, 0x05, |bytes| !bytes.is_empty(), |_| Vec::new()),
    },
    Kind {
        name: "unused_bits",
        implementations: &[GnuTls, Cryptography],
        applies: |difference| is_malformed(difference, &["not whole bytes"]),
        mend: |state, _| {
            let signature = state.basic()?.get_mut(2)?;
            let Body::Bytes(bytes) = &mut signature.body else { return None };
            let first = bytes.first_mut()?;
            (std::mem::take(first) != 0).then_some(())
        },
    },
    Kind {
        name: "time_form",
        implementations: &[OpenSsl, GnuTls],
        applies: |difference| is_malformed(difference, &["a time that is not"]),
        mend: |state, difference| {
            let now = difference.now;
            let tbs = state.tbs()?;
            let produced_at = tbs.iter_mut().find(|node| node.tag == 0x18)?;
            let mut changed = set_time(produced_at, now);
            for single in state.singles()? {
                for (place, field) in single.children_mut()?.iter_mut().enumerate() {
                    changed |= match field.tag {
                        0x18 => set_time(field, now - 3600),
                        0xa1 if place == 1 => {
                            field.children_mut()?.first_mut().is_some_and(|at| set_time(at, now - 7200))
                        }
                        0xa0 => field.children_mut()?.first_mut().is_some_and(|at| set_time(at, now + 86_400)),
                        _ => false,
                    };
                }
            }
            changed.then_some(())
        },
    },
    Kind {
        name: "extension_twice",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| is_malformed(difference, &["an extension that occurs twice"]),
        mend: |state, _| {
            let mut changed = false;
            for list in state.extensions() {
                let mut seen: Vec<Option<Node>> = Vec::new();
                let before = list.len();
                list.retain(|extension| {
                    let oid = extension.children().first().cloned();
                    let is_new = !seen.contains(&oid);
                    seen.push(oid);
                    is_new
                });
                changed |= list.len() != before;
            }
            changed.then_some(())
        },
    },
    Kind {
        name: "hash_parameters",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| {
            is_malformed(
                difference,
                &["parameters other than NULL", "an empty number", "a constructed string", "end-of-contents"],
            )
        },
        mend: |state, _| {
            let mut changed = false;
            for single in state.singles()? {
                let Some(algorithm) = single.at_mut(&[0, 0]).and_then(Node::children_mut) else { continue };
                if algorithm.len() > 1 {
                    algorithm.truncate(1);
                    changed = true;
                }
            }
            changed.then_some(())
        },
    },
    Kind {
        name: "identifier_form",
        implementations: &[GnuTls],
        applies: |difference| is_malformed(difference, &["an object identifier"]),
        mend: |state, _| {
            // An incomplete end is dropped.
            every(state, |node| match &mut node.body {
                Body::Bytes(bytes) if node.tag == 0x06 => {
                    let whole = bytes.iter().rposition(|octet| octet & 0x80 == 0).map_or(0, |last| last + 1);
                    let changed = whole != bytes.len() && whole > 0;
                    bytes.truncate(if changed { whole } else { bytes.len() });
                    changed
                }
                _ => false,
            })
        },
    },
    Kind {
        name: "elements_incomplete",
        implementations: &[GnuTls],
        applies: |difference| is_malformed(difference, &["is missing", "another type", "an empty number"]),
        mend: |state, difference| {
            let mut changed = false;
            let mut prune = |list: &mut Vec<Node>, least: usize| {
                let before = list.len();
                list.retain(|element| element.children().len() >= least);
                changed |= list.len() != before;
            };
            state.extensions().into_iter().for_each(|list| prune(list, 2));
            prune(state.singles()?, 3);
            let now = difference.now;
            let singles = state.singles()?;
            for single in singles.iter_mut() {
                let status = single.at_mut(&[1]).filter(|status| status.tag == 0xa1);
                if let Some(fields) = status.and_then(Node::children_mut).filter(|fields| fields.is_empty()) {
                    fields.push(Node::new(0x18, &stapled_ca::der::generalized_time(now - 7200)[2..]));
                    changed = true;
                }
            }
            let before = singles.len();
            singles.retain(|single| {
                let has = |path: &[usize]| single.at(path).is_some_and(|node| !node.contents().is_empty());
                has(&[0, 0]) && has(&[0, 3])
            });
            changed |= singles.len() != before;
            let tbs = state.tbs()?;
            let before = tbs.len();
            tbs.retain(|field| field.tag != 0xa1 || !field.children().is_empty());
            changed |= tbs.len() != before;
            changed.then_some(())
        },
    },
    Kind {
        name: "responder_name_form",
        implementations: &[GnuTls, Cryptography],
        applies: |difference| is_malformed(difference, ANY),
        mend: |state, difference| {
            let attribute = |attribute: &Node| {
                let [kind, value] = attribute.children() else { return false };
                let text = matches!(value.tag, 0x0c | 0x13) && String::from_utf8(value.contents()).is_ok();
                text && kind.contents().last().is_some_and(|octet| octet & 0x80 == 0)
            };
            let relative = |name: &Node| !name.children().is_empty() && name.children().iter().all(attribute);
            let right = state.responder_id()?.at(&[0])?.children().iter().all(relative);
            (!right).then(|| responder_by_key(state, difference))?
        },
    },
    Kind {
        name: "reason_form",
        implementations: &[OpenSsl, GnuTls],
        applies: |difference| {
            is_malformed(difference, &["CRLReason", "superfluous octets in front", "an empty number"])
        },
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
    Kind {
        name: "number_padded",
        implementations: &[GnuTls],
        applies: |difference| is_malformed(difference, &["superfluous octets in front"]),
        mend: |state, _| {
            every(state, |node| match &mut node.body {
                Body::Bytes(bytes) if matches!(node.tag, 0x02 | 0x0a) => {
                    let before = bytes.len();
                    while matches!(bytes[..], [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..]) {
                        bytes.remove(0);
                    }
                    bytes.len() != before
                }
                _ => false,
            })
        },
    },
    Kind {
        name: "certificate_form",
        implementations: &[OpenSsl, GnuTls, Cryptography],
        applies: |difference| is_malformed(difference, ANY),
        mend: |state, _| with_proper_certificates(state),
    },
];

/// Any defect of the form.
const ANY: &[&str] = &["not an OCSP response"];

/// Whether the implementation accepts a response that we refuse for its form, with one of these words.
fn is_malformed(difference: &Difference<'_>, what: &[&str]) -> bool {
    let words = difference.ours.malformed();
    difference.theirs.status.is_some() && what.iter().any(|what| words.contains(what))
}

/// Applies `mend` to every element; `None` if no element changed.
pub(super) fn every(state: &mut State<'_>, mut mend: impl FnMut(&mut Node) -> bool) -> Option<()> {
    fn walk(node: &mut Node, mend: &mut impl FnMut(&mut Node) -> bool) -> bool {
        let mut changed = false;
        for child in node.children_mut().into_iter().flatten() {
            changed |= walk(child, mend);
        }
        mend(node) || changed
    }
    walk(&mut state.tree, &mut mend).then_some(())
}

fn primitive(
    state: &mut State<'_>,
    tag: u8,
    is_wrong: impl Fn(&[u8]) -> bool,
    right: impl Fn(&[u8]) -> Vec<u8>,
) -> Option<()> {
    every(state, |node| match &mut node.body {
        Body::Bytes(bytes) if node.tag == tag && is_wrong(bytes) => {
            *bytes = right(bytes);
            true
        }
        _ => false,
    })
}

/// Replaces a malformed time, or one that is not in RFC 5280's form, by `right`.
fn set_time(node: &mut Node, right: i64) -> bool {
    if node.tag != 0x18 || recipe::is_plain_time(&node.contents()) {
        return false;
    }
    *node = Node::new(0x18, &stapled_ca::der::generalized_time(right)[2..]);
    true
}
