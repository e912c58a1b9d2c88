//! Changes any bytes, or single elements with all surrounding lengths and signatures corrected.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::recipe::{Draft, ODD_TIMES};
use crate::tlv::{Body, Length, Node};
use crate::world::World;

/// The path of BasicOCSPResponse in a response: responseBytes, response, and its contents.
const BASIC: &[usize] = &[1, 0, 1, 0];

/// Changes the draft, or leaves it unchanged.
pub(crate) fn mutate(rng: &mut StdRng, draft: &mut Draft, world: &World) {
    match rng.random_range(0..10) {
        0..4 => {}
        4 => raw(rng, draft),
        _ => {
            for _ in 0..*[1, 1, 1, 1, 2].choose(rng).unwrap() {
                element(rng, draft, world);
            }
        }
    }
}

/// Changes the encoded bytes.
fn raw(rng: &mut StdRng, draft: &mut Draft) {
    let bytes = &mut draft.response;
    if bytes.is_empty() {
        return;
    }
    let place = rng.random_range(0..bytes.len());
    draft.story.push(match rng.random_range(0..7) {
        0 | 1 => {
            let bit = 1 << rng.random_range(0..8);
            bytes[place] ^= bit;
            format!("bit {bit:#04x} flipped at {place}")
        }
        2 => {
            bytes[place] = rng.random();
            format!("byte set at {place}")
        }
        3 => {
            bytes.truncate(place);
            format!("cut at {place}")
        }
        4 => {
            bytes.insert(place, rng.random());
            format!("byte put in at {place}")
        }
        5 => {
            bytes.remove(place);
            format!("byte removed at {place}")
        }
        _ => {
            let behind: u8 = rng.random();
            bytes.push(behind);
            "byte behind the end".to_owned()
        }
    });
}

/// Changes one element. Signed parts are mostly signed again.
fn element(rng: &mut StdRng, draft: &mut Draft, world: &World) {
    let Some(mut tree) = Node::read(&draft.response) else { return };
    let tbs = [BASIC, &[0]].concat();
    let certificate = [BASIC, &[3, 0, 0]].concat();
    // Most changes affect the signed part, then the delegate's certificate, then the rest.
    let paths = match rng.random_range(0..10) {
        0..6 => tree.paths(&tbs),
        6 | 7 if tree.at(&certificate).is_some() => tree.paths(&certificate),
        _ => tree.paths(&[]),
    };
    let Some(path) = paths.choose(rng).cloned() else { return };
    let Some(what) = change(rng, &mut tree, &path) else { return };
    let mut words = format!("{what} at {path:?}");
    if path.starts_with(&certificate) && rng.random_bool(0.8) {
        sign_certificate(&mut tree, &certificate, world);
        words.push_str(", certificate signed again");
    }
    if path.starts_with(&tbs) && rng.random_bool(0.85) {
        sign(&mut tree, draft, world);
        words.push_str(", signed again");
    }
    draft.story.push(words);
    draft.response = tree.encode();
}

fn sign(tree: &mut Node, draft: &Draft, world: &World) {
    let Some(tbs) = tree.at(&[BASIC, &[0]].concat()).map(Node::encode) else { return };
    let Ok(signature) = world.signers[draft.candidate].signer.key().sign_with(draft.scheme, &tbs) else { return };
    if let Some(node) = tree.at_mut(&[BASIC, &[2]].concat()) {
        *node = Node::new(0x03, &[&[0], &signature[..]].concat());
    }
}

fn sign_certificate(tree: &mut Node, path: &[usize], world: &World) {
    let Some(certificate) = tree.at_mut(path) else { return };
    let Some(tbs) = certificate.children().first().map(Node::encode) else { return };
    let key = world.issuer.key();
    let Ok(signature) = key.sign_with(key.default_scheme(), &tbs) else { return };
    if let Some([_, _, node, ..]) = certificate.children_mut().map(Vec::as_mut_slice) {
        *node = Node::new(0x03, &[&[0], &signature[..]].concat());
    }
}

const TAGS: &[u8] = &[
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x16, 0x17, 0x18, 0x1f, 0x24, 0x30, 0x31, 0x80, 0x81, 0x82,
    0x83, 0xa0, 0xa1, 0xa2, 0xa3, 0x00,
];

/// Changes the element at `path`. Returns a description of the change, or `None` if it is not possible.
fn change(rng: &mut StdRng, tree: &mut Node, path: &[usize]) -> Option<String> {
    if let Some((&place, above)) = path.split_last()
        && rng.random_bool(0.3)
    {
        return change_among(rng, tree.at_mut(above)?.children_mut()?, place);
    }
    let node = tree.at_mut(path)?;
    let tag = node.tag;
    if rng.random_bool(0.5)
        && let Some(what) = change_value(rng, node)
    {
        return Some(what);
    }
    Some(match rng.random_range(0..7) {
        0 => {
            node.tag = if rng.random_bool(0.2) { rng.random() } else { *TAGS.choose(rng)? };
            format!("tag {tag:02x} made {:02x}", node.tag)
        }
        1 => {
            node.length = Length::Long(rng.random_range(1..6));
            format!("length of {tag:02x} {:?}", node.length)
        }
        2 => {
            node.length = Length::Indefinite;
            format!("length of {tag:02x} indefinite")
        }
        3 => {
            let length = node.contents().len();
            let other = if rng.random_bool(0.5) { length.wrapping_add(1) } else { length.saturating_sub(1) };
            node.length = Length::Forced(vec![other.min(127) as u8]);
            format!("length of {tag:02x} {other} instead of {length}")
        }
        4 => {
            let inner = node.clone();
            let outer = *[0x30, 0x31, 0xa0, 0xa1, 0x04].choose(rng)?;
            *node = Node { tag: outer, body: Body::Nodes(vec![inner]), length: Length::Shortest };
            format!("{tag:02x} wrapped in {outer:02x}")
        }
        5 => {
            node.body = Body::Bytes(Vec::new());
            format!("{tag:02x} emptied")
        }
        // A string in several parts.
        _ => {
            let inner = Node { tag, body: node.body.clone(), length: Length::Shortest };
            node.tag |= 0x20;
            node.body = Body::Nodes(vec![inner]);
            format!("{tag:02x} in parts")
        }
    })
}

/// Adds, removes or moves elements.
fn change_among(rng: &mut StdRng, nodes: &mut Vec<Node>, place: usize) -> Option<String> {
    let tag = nodes.get(place)?.tag;
    Some(match rng.random_range(0..4) {
        0 => {
            let twin = nodes.get(place)?.clone();
            nodes.insert(place, twin);
            format!("{tag:02x} doubled")
        }
        1 => {
            nodes.remove(place);
            format!("{tag:02x} removed")
        }
        2 if place + 1 < nodes.len() => {
            nodes.swap(place, place + 1);
            format!("{tag:02x} swapped with the next")
        }
        _ => {
            let new = match rng.random_range(0..7) {
                0 => Node::new(0x05, &[]),
                1 => Node::new(0x02, &[rng.random()]),
                2 => Node::new(0x04, &[rng.random()]),
                3 => Node::new(0x80 | rng.random_range(0..4), &[]),
                4 => Node { tag: 0xa0 | rng.random_range(0..4), body: Body::Nodes(vec![]), length: Length::Shortest },
                5 => Node { tag: 0x30, body: Body::Nodes(vec![]), length: Length::Shortest },
                _ => Node::new(0x01, &[0]),
            };
            let put = new.tag;
            let behind = place + usize::from(rng.random_bool(0.5));
            nodes.insert(behind, new);
            format!("{put:02x} put in beside {tag:02x}")
        }
    })
}

/// Changes the value of a primitive element, by the possible errors of its type.
fn change_value(rng: &mut StdRng, node: &mut Node) -> Option<String> {
    let tag = node.tag;
    let Body::Bytes(bytes) = &mut node.body else { return None };
    let what = match (tag, rng.random_range(0..4)) {
        (0x18 | 0x17, 0 | 1) => {
            *bytes = ODD_TIMES.choose(rng)?.to_vec();
            return Some(format!("time {}", String::from_utf8_lossy(bytes)));
        }
        (0x02 | 0x0a, 0) => {
            bytes.insert(0, 0);
            "zero in front"
        }
        (0x02 | 0x0a, 1) => {
            bytes.insert(0, 0xff);
            "minus one in front"
        }
        (0x0a, 2) => {
            *bytes = vec![rng.random_range(0..12)];
            "another enumerated"
        }
        (0x01, _) => {
            *bytes = vec![*[0, 1, 0x80, 0xff].choose(rng)?];
            "another boolean"
        }
        (0x05 | 0x80 | 0x82, _) => {
            *bytes = vec![0];
            "contents where there are none"
        }
        (0x03, 0) => {
            *bytes.first_mut()? = rng.random_range(0..9);
            "unused bits"
        }
        (_, 0) => {
            bytes.pop()?;
            "last byte removed"
        }
        (_, 1) => {
            bytes.push(rng.random());
            "a byte more"
        }
        _ => {
            let place = rng.random_range(0..bytes.len().max(1));
            *bytes.get_mut(place)? ^= 1 << rng.random_range(0..8);
            "a bit flipped"
        }
    };
    Some(format!("{what} in {tag:02x}"))
}
